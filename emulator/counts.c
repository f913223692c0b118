/*
 * The counters of all kernels: a list by name, written when the program ends.
 */
#include "emulator/counts.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "emulator/settings.h"

enum { SECTOR = 32, WORD = 4, BANKS = 32, GENERATION_BYTES = BANKS * WORD };

struct counts_kernel {
    struct counts_kernel *next;
    char *name;
    atomic_int_fast64_t n[COUNTS_N];
};

static struct {
    pthread_mutex_t lock;
    struct counts_kernel *first;
    bool is_registered; /* to be written at exit */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int64_t get(struct counts_kernel *c, enum counts_kind kind)
{
    return (int64_t)atomic_load_explicit(&c->n[kind], memory_order_relaxed);
}

void counts_add(struct counts_kernel *c, enum counts_kind kind, int64_t n)
{
    atomic_fetch_add_explicit(&c->n[kind], n, memory_order_relaxed);
}

static void write_row(FILE *f, struct counts_kernel *c)
{
    static const enum counts_kind kinds[] = {
        COUNTS_LAUNCHES,      COUNTS_INSTRUCTIONS,   COUNTS_LOADS,
        COUNTS_LOAD_SECTORS,  COUNTS_LOAD_IDEAL,     COUNTS_STORES,
        COUNTS_STORE_SECTORS, COUNTS_STORE_IDEAL,    COUNTS_SHARED,
        COUNTS_WAVEFRONTS,    COUNTS_WAVEFRONT_IDEAL};
    for (int64_t k = 0; k < ARRAY_LEN(kinds); k++)
        fprintf(f, "%12" PRId64 " ", get(c, kinds[k]));
    fprintf(f, "%s\n", c->name);
}

static int by_instructions(const void *a, const void *b)
{
    struct counts_kernel *const x = *(struct counts_kernel *const *)a;
    struct counts_kernel *const y = *(struct counts_kernel *const *)b;
    const int64_t m = get(x, COUNTS_INSTRUCTIONS), n = get(y, COUNTS_INSTRUCTIONS);
    return m != n ? (m < n ? 1 : -1) : strcmp(x->name, y->name);
}

static void write_rows(FILE *f)
{
    struct counts_kernel *c = all.first;
    size_t n = 0;
    for (; c != NULL; c = c->next)
        n++;
    struct counts_kernel **const rows = calloc(n + 1, sizeof(struct counts_kernel *));
    if (rows == NULL)
        return;
    n = 0;
    for (c = all.first; c != NULL; c = c->next)
        rows[n++] = c;
    qsort(rows, n, sizeof(struct counts_kernel *), by_instructions);
    fprintf(f, "%12s %12s %12s %12s %12s %12s %12s %12s %12s %12s %12s kernel\n",
            "launches", "warp_insns", "loads", "sectors", "ideal", "stores", "sectors",
            "ideal", "shared", "wavefronts", "ideal");
    for (size_t k = 0; k < n; k++)
        write_row(f, rows[k]);
    free(rows);
}

static void write_table(void)
{
    const char *const path = emulator_settings()->counts_path;
    const bool is_stderr = strcmp(path, "-") == 0;
    FILE *const f = is_stderr ? stderr : fopen(path, "w");
    if (f == NULL) {
        log_error("EMULATOR_COUNTS=%s cannot be written", path);
        return;
    }
    pthread_mutex_lock(&all.lock);
    write_rows(f);
    pthread_mutex_unlock(&all.lock);
    if (!is_stderr)
        fclose(f);
}

/* The lock is held. */
static struct counts_kernel *find(const char *name)
{
    struct counts_kernel *c = all.first;
    while (c != NULL && strcmp(c->name, name) != 0)
        c = c->next;
    if (c != NULL)
        return c;
    c = calloc(1, sizeof(*c));
    char *const kept = strdup(name);
    CHECK(c != NULL && kept != NULL, "no memory for the counters of %s", name);
    c->name = kept;
    c->next = all.first;
    all.first = c;
    return c;
}

struct counts_kernel *counts_launch(const char *name)
{
    if (emulator_settings()->counts_path == NULL)
        return NULL;
    pthread_mutex_lock(&all.lock);
    if (!all.is_registered)
        all.is_registered = atexit(write_table) == 0;
    struct counts_kernel *const c = find(name);
    pthread_mutex_unlock(&all.lock);
    counts_add(c, COUNTS_LAUNCHES, 1);
    return c;
}

int64_t counts_of(const char *name, enum counts_kind kind)
{
    pthread_mutex_lock(&all.lock);
    struct counts_kernel *const c = find(name);
    pthread_mutex_unlock(&all.lock);
    return get(c, kind);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Ascending and distinct; returns their number. */
static int32_t sort_distinct(uint64_t *v, int32_t n)
{
    qsort(v, (size_t)n, sizeof(*v), by_value);
    int32_t kept = 0;
    for (int32_t k = 0; k < n; k++) {
        if (kept == 0 || v[kept - 1] != v[k])
            v[kept++] = v[k];
    }
    return kept;
}

/* The units of `unit` bytes that the lanes' bytes lie in. An access is aligned to its
 * power of two, so it covers whole units or lies in one. */
static int32_t units(uint32_t mask, const uint64_t *at, int32_t bytes, uint64_t unit,
                     uint64_t *out)
{
    int32_t n = 0;
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const uint64_t begin = at[__builtin_ctz(left)];
        for (uint64_t u = begin / unit; u <= (begin + (uint64_t)bytes - 1) / unit; u++)
            out[n++] = u;
    }
    return sort_distinct(out, n);
}

/* Distinct bytes moved, in whole sectors. */
static int32_t ideal_sectors(uint32_t mask, const uint64_t *at, int32_t bytes,
                             uint64_t *scratch)
{
    const int32_t n = units(mask, at, bytes, (uint64_t)bytes, scratch);
    return (n * bytes + SECTOR - 1) / SECTOR;
}

/* The most distinct words of one bank. */
static int32_t wavefronts(const uint64_t *words, int32_t n)
{
    int32_t of_bank[BANKS] = {0}, most = 0;
    for (int32_t k = 0; k < n; k++) {
        const int32_t here = ++of_bank[words[k] % BANKS];
        most = here > most ? here : most;
    }
    return most;
}

/* Accesses of 8 and 16 bytes go by halves and quarters of the warp, as the hardware
 * does: lanes of different parts never conflict. */
static void count_shared(struct counts_kernel *c, uint32_t mask, const uint64_t *at,
                         int32_t bytes, uint64_t *scratch)
{
    const int32_t n_parts = bytes >= 16 ? 4 : bytes == 8 ? 2 : 1;
    const int32_t lanes = PTX_LANES / n_parts;
    int32_t taken = 0, n_words = 0;
    for (int32_t p = 0; p < n_parts; p++) {
        const uint32_t part = (uint32_t)(((uint64_t)1 << lanes) - 1) << (p * lanes);
        const int32_t n = units(mask & part, at, bytes, WORD, scratch);
        taken += wavefronts(scratch, n);
        n_words += n;
    }
    counts_add(c, COUNTS_SHARED, 1);
    counts_add(c, COUNTS_WAVEFRONTS, taken);
    counts_add(c, COUNTS_WAVEFRONT_IDEAL,
               (n_words * WORD + GENERATION_BYTES - 1) / GENERATION_BYTES);
}

void counts_access(struct counts_kernel *c, enum machine_space space,
                   enum machine_access access, uint32_t mask, const uint64_t *at,
                   int32_t bytes)
{
    uint64_t scratch[PTX_LANES * 9]; /* 32 bytes of a lane: 8 words, 9 if misaligned */
    if (mask == 0)
        return;
    if (space == MACHINE_SHARED) {
        count_shared(c, mask, at, bytes, scratch);
        return;
    }
    if (space != MACHINE_GLOBAL)
        return;
    const bool is_load = access == MACHINE_READ;
    const int32_t n = units(mask, at, bytes, SECTOR, scratch);
    counts_add(c, is_load ? COUNTS_LOADS : COUNTS_STORES, 1);
    counts_add(c, is_load ? COUNTS_LOAD_SECTORS : COUNTS_STORE_SECTORS, n);
    counts_add(c, is_load ? COUNTS_LOAD_IDEAL : COUNTS_STORE_IDEAL,
               ideal_sectors(mask, at, bytes, scratch));
}
