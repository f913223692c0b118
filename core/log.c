/*
 * Log lines: formatted on the stack, sent with one write(2) so that lines of threads
 * and ranks do not mix.
 */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 4096 };

static atomic_int current_level = LOG_INFO;
static atomic_int world_rank = 0;
static atomic_int world_size = 1;

void log_set_level(enum log_level level) { atomic_store(&current_level, (int)level); }

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load(&current_level);
}

void log_set_rank(int rank, int size)
{
    atomic_store(&world_rank, rank);
    atomic_store(&world_size, size);
}

static const char *level_word(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return "debug: ";
    case LOG_WARN:
        return "warning: ";
    case LOG_ERROR:
    case LOG_OFF:
        return "error: ";
    case LOG_INFO:
        break;
    }
    return "";
}

static int clamp_len(int len, int room)
{
    return len < 0 ? 0 : len >= room ? room - 1 : len;
}

static int format_prefix(char *line, int room, enum log_level level)
{
    const time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    char rank[32] = "";
    if (atomic_load(&world_size) > 1)
        snprintf(rank, sizeof(rank), "[%d] ", atomic_load(&world_rank));
    const int n = snprintf(line, (size_t)room, "%02d:%02d:%02d %s%s", tm.tm_hour,
                           tm.tm_min, tm.tm_sec, rank, level_word(level));
    return clamp_len(n, room);
}

static void write_all(const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(STDERR_FILENO, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* a log that cannot be written has nobody to tell */
        data += n;
        len -= (size_t)n;
    }
}

void log_write(enum log_level level, const char *fmt, ...)
{
    if ((int)level < atomic_load(&current_level))
        return;
    const int saved_errno = errno;
    char line[LINE_BYTES];
    const int room = LINE_BYTES - 1; /* the newline's place is kept */
    int len = format_prefix(line, room, level);
    va_list args;
    va_start(args, fmt);
    len += clamp_len(vsnprintf(line + len, (size_t)(room - len), fmt, args),
                     room - len);
    va_end(args);
    line[len++] = '\n';
    write_all(line, (size_t)len);
    errno = saved_errno;
}
