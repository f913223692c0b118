/*
 * Runs a fuzz target without libFuzzer: first every file of the corpus, then mutations
 * of them, the same ones in every run, until the time is over. It knows no coverage, so
 * it finds less; it takes libFuzzer's options of the same names.
 *
 *   fuzz_x [-max_total_time=SECONDS] [-artifact_prefix=PREFIX] FILE|DIRECTORY...
 *
 * The input at hand is kept in the mapped file PREFIXcurrent, which is left behind when
 * the target crashes or takes longer than 30 s.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/rng.h"
#include "core/status.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_INPUTS = 1024, MAX_BYTES = 1 << 16, SLOW_S = 30 };

struct corpus {
    char *data[MAX_INPUTS];
    size_t len[MAX_INPUTS];
    int64_t n;
};

static void load_file(struct corpus *c, const char *path)
{
    FILE *const f = fopen(path, "rb");
    CHECK(f != NULL && c->n < MAX_INPUTS, "%s", path);
    c->data[c->n] = mem_alloc(MAX_BYTES);
    c->len[c->n] = fread(c->data[c->n], 1, MAX_BYTES, f);
    c->n++;
    fclose(f);
}

static void load(struct corpus *c, const char *path)
{
    struct dirent **names;
    struct stat st;
    CHECK(stat(path, &st) == 0, "%s", path);
    if (!S_ISDIR(st.st_mode)) {
        load_file(c, path);
        return;
    }
    const int n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char full[4096];
        snprintf(full, sizeof(full), "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            load_file(c, full);
        free(names[i]);
    }
    free(names);
}

/* draws of one mutation */
struct draw {
    uint32_t round, i;
};

static uint32_t below(struct draw *d, size_t n)
{
    const uint32_t limit = n == 0 ? 1 : (uint32_t)n;
    return rng_below(1, RNG_TEST, limit, d->round, d->i++, 0, 0);
}

/* One edit of text[0, len) within MAX_BYTES; the new length */
static size_t mutate(struct draw *d, const struct corpus *c, char *text, size_t len)
{
    const uint32_t at = below(d, len), n = 1 + below(d, 16);
    const char *const other = c->data[below(d, (size_t)c->n)];
    const size_t room = MAX_BYTES - len, left = len - at;
    switch (below(d, 6)) {
    case 0: /* another byte */
        if (len > 0)
            text[at] = (char)below(d, 256);
        return len;
    case 1: /* a changed bit */
        if (len > 0)
            text[at] = (char)(text[at] ^ 1 << below(d, 8));
        return len;
    case 2: { /* a piece less */
        const size_t gone = n < left ? n : left;
        memmove(text + at, text + at + gone, left - gone);
        return len - gone;
    }
    case 3: /* a piece twice */
    case 4: /* a piece of another input */
        if (n > room || n > left)
            return len;
        memmove(text + at + n, text + at, left);
        if (below(d, 2) == 0)
            memcpy(text + at, other + below(d, MAX_BYTES - n), n);
        return len + n;
    default: /* cut */
        return at;
    }
}

static char *map_current(const char *prefix, char *path, size_t size)
{
    snprintf(path, size, "%scurrent", prefix);
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    CHECK(fd >= 0 && ftruncate(fd, MAX_BYTES) == 0, "%s", path);
    char *const p = mmap(NULL, MAX_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED, "%s", path);
    close(fd);
    return p;
}

static void run(const char *text, size_t len)
{
    /* exactly the bytes of the input, so that reading past them is seen */
    uint8_t *const copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, text, len);
    alarm(SLOW_S);
    (void)LLVMFuzzerTestOneInput(copy, len);
    alarm(0);
    free(copy);
}

static int64_t fuzz(const struct corpus *c, char *current, double seconds)
{
    const time_t end = time(NULL) + (time_t)seconds;
    int64_t n_runs = 0;
    for (; n_runs < c->n || (c->n > 0 && time(NULL) < end); n_runs++) {
        struct draw d = {.round = (uint32_t)n_runs};
        const int64_t i = n_runs < c->n ? n_runs : below(&d, (size_t)c->n);
        size_t len = c->len[i];
        memcpy(current, c->data[i], MAX_BYTES);
        for (uint32_t k = n_runs < c->n ? 0 : 1 + below(&d, 8); k > 0; k--)
            len = mutate(&d, c, current, len);
        memset(current + len, 0, MAX_BYTES - len);
        run(current, len);
    }
    return n_runs;
}

int main(int argc, char **argv)
{
    static struct corpus c;
    const char *prefix = "";
    char path[4096];
    double seconds = 0;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-max_total_time=", 16) == 0)
            seconds = atof(argv[i] + 16);
        else if (strncmp(argv[i], "-artifact_prefix=", 17) == 0)
            prefix = argv[i] + 17;
        else if (argv[i][0] != '-')
            load(&c, argv[i]);
    }
    char *const current = map_current(prefix, path, sizeof(path));
    const int64_t n = fuzz(&c, current, seconds);
    unlink(path);
    printf("%lld runs on %lld inputs\n", (long long)n, (long long)c.n);
    return 0;
}
