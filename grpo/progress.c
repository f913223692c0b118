/*
 * The rate is that of this process's own steps: a resumed run does not count what an
 * earlier one did.
 */
#include "grpo/progress.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Ten times a second is as fast as anyone reads; a batch log wants little. */
static const double redraw_s = 0.1, line_s = 10;

enum { LINE_BYTES = 512, DEFAULT_COLUMNS = 80 };

static double monotonic_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_start(struct progress *p, FILE *out, const char *label, int64_t first,
                    int64_t n)
{
    FILE *const file = out == NULL ? stderr : out;
    const int fd = fileno(file); /* -1: a memory stream */
    *p = (struct progress){.out = file,
                           .label = label,
                           .is_tty = fd >= 0 && isatty(fd) == 1,
                           .first = first,
                           .n = n,
                           .clock = monotonic_s};
    p->start_s = p->drawn_s = p->clock();
}

/* "42s", "4m41s", "3h07m", "2d05h" */
static void format_duration(char *to, size_t size, double s)
{
    const int64_t t = (int64_t)(s + 0.5);
    if (t < 60)
        snprintf(to, size, "%" PRId64 "s", t);
    else if (t < 3600)
        snprintf(to, size, "%" PRId64 "m%02" PRId64 "s", t / 60, t % 60);
    else if (t < 86400)
        snprintf(to, size, "%" PRId64 "h%02" PRId64 "m", t / 3600, t / 60 % 60);
    else
        snprintf(to, size, "%" PRId64 "d%02" PRId64 "h", t / 86400, t / 3600 % 24);
}

static void format_line(const struct progress *p, char *line, int64_t done,
                        const char *tail, double now)
{
    const int64_t n_own = done - p->first;
    const double each = n_own > 0 ? (now - p->start_s) / (double)n_own : 0;
    char eta[32] = "?", rate[48] = "";
    if (n_own > 0)
        format_duration(eta, sizeof(eta), each * (double)(p->n - done));
    if (n_own > 0 && each >= 1)
        snprintf(rate, sizeof(rate), "  %.1f s/step", each);
    else if (n_own > 0 && each > 0)
        snprintf(rate, sizeof(rate), "  %.1f steps/s", 1 / each);
    snprintf(line, LINE_BYTES, "%s %" PRId64 "/%" PRId64 "%s  ETA %s%s%s", p->label,
             done, p->n, rate, eta, tail[0] == 0 ? "" : "  ", tail);
}

static int columns(FILE *out)
{
    struct winsize w;
    const int fd = fileno(out);
    if (fd >= 0 && ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
        return w.ws_col;
    return DEFAULT_COLUMNS;
}

/* A line that wrapped could not be redrawn in place, so it is cut to the terminal,
 * never inside a UTF-8 character. */
static void cut_line(char *line, int width)
{
    int n_columns = 0;
    for (char *c = line; *c != 0; c++) {
        const bool is_start = ((unsigned char)*c & 0xC0) != 0x80;
        if (is_start && n_columns++ == width) {
            *c = 0;
            return;
        }
    }
}

void progress_update(struct progress *p, int64_t done, const char *tail)
{
    const double now = p->clock();
    const bool is_due = now - p->drawn_s >= (p->is_tty ? redraw_s : line_s);
    if (!is_due && done < p->n)
        return;
    char line[LINE_BYTES];
    format_line(p, line, done, tail, now);
    if (p->is_tty) {
        cut_line(line, columns(p->out) - 1);
        fprintf(p->out, "\r%s\033[K", line);
    } else {
        fprintf(p->out, "%s\n", line);
    }
    fflush(p->out);
    p->drawn_len = p->is_tty ? (int)strlen(line) : 0;
    p->drawn_s = now;
}

void progress_clear(struct progress *p)
{
    if (p->drawn_len == 0)
        return;
    fputs("\r\033[K", p->out);
    fflush(p->out);
    p->drawn_len = 0;
    p->drawn_s = 0; /* the next update draws at once */
}

void progress_end(struct progress *p)
{
    if (p->drawn_len > 0)
        fputc('\n', p->out);
    fflush(p->out);
    p->drawn_len = 0;
}
