/*
 * The counted allocator, reserved pages and the arena over them.
 */
#include "core/mem.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/log.h"

enum { ALIGN_BYTES = 64, HUGE_PAGE_BYTES = 2 << 20 };

static atomic_llong n_allocations;
static mem_hook_fn alloc_hook;
static void *alloc_hook_user;

bool checked_add(int64_t a, int64_t b, int64_t *out)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum) || sum < 0)
        return false;
    *out = sum;
    return true;
}

bool checked_mul(int64_t a, int64_t b, int64_t *out)
{
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product) || product < 0)
        return false;
    *out = product;
    return true;
}

/* Not abort: a batch system tells "needs more memory" from a fault by the status. And
 * not exit: handlers would run under locks that other threads hold. */
static _Noreturn void mem_fail(size_t bytes)
{
    log_write(LOG_OFF,
              "out of memory: %zu bytes refused after %lld allocations; peak use %lld "
              "MiB, available %lld MiB",
              bytes, (long long)mem_count(), (long long)(mem_peak_rss_bytes() >> 20),
              (long long)(mem_available_bytes() >> 20));
    _exit(status_exit(ERR_MEMORY));
}

static bool count_allocation(size_t bytes)
{
    atomic_fetch_add_explicit(&n_allocations, 1, memory_order_relaxed);
    return alloc_hook == NULL || alloc_hook(bytes, alloc_hook_user);
}

/* bytes rounded up to a multiple of unit (a power of two), at least one; 0: too big */
static size_t round_up(size_t bytes, size_t unit)
{
    if (bytes > SIZE_MAX - unit)
        return 0;
    return bytes == 0 ? unit : (bytes + unit - 1) & ~(unit - 1);
}

static void *alloc_raw(size_t bytes)
{
    const size_t rounded = round_up(bytes, ALIGN_BYTES);
    void *p = NULL;
    if (count_allocation(bytes) && rounded != 0)
        p = aligned_alloc(ALIGN_BYTES, rounded);
    if (p == NULL)
        mem_fail(bytes);
    return p;
}

void *mem_alloc(size_t bytes)
{
    void *p = alloc_raw(bytes);
    memset(p, 0, bytes);
    return p;
}

/* realloc(3) would lose the alignment, so it is always a move. */
void *mem_realloc(void *p, size_t old_bytes, size_t new_bytes)
{
    char *moved = alloc_raw(new_bytes);
    const size_t kept = p == NULL ? 0 : old_bytes < new_bytes ? old_bytes : new_bytes;
    if (kept > 0)
        memcpy(moved, p, kept);
    memset(moved + kept, 0, new_bytes - kept);
    free(p);
    return moved;
}

void mem_free(void *p) { free(p); }

char *mem_strdup(const char *s) { return mem_strndup(s, strlen(s)); }

char *mem_strndup(const char *s, size_t n)
{
    const size_t len = strnlen(s, n);
    CHECK(len < SIZE_MAX, "string of %zu bytes", len);
    char *copy = alloc_raw(len + 1);
    memcpy(copy, s, len);
    copy[len] = 0;
    return copy;
}

int64_t mem_count(void)
{
    return atomic_load_explicit(&n_allocations, memory_order_relaxed);
}

void mem_set_hook(mem_hook_fn hook, void *user)
{
    alloc_hook = hook;
    alloc_hook_user = user;
}

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* Large reservations start on a huge page, otherwise the kernel leaves the ends small;
 * the surplus address space goes back. */
static void *map_pages(size_t bytes)
{
    const bool is_huge = bytes >= HUGE_PAGE_BYTES;
    const size_t mapped = is_huge ? bytes + HUGE_PAGE_BYTES : bytes;
    if (mapped < bytes)
        return NULL;
    char *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (!is_huge)
        return p;
    const size_t skip = -(uintptr_t)p & (HUGE_PAGE_BYTES - 1);
    if (skip > 0)
        munmap(p, skip);
    munmap(p + skip + bytes, HUGE_PAGE_BYTES - skip);
    /* advice only: a kernel without huge pages refuses, and nothing is lost */
    (void)madvise(p + skip, bytes, MADV_HUGEPAGE);
    return p + skip;
}

int mem_reserve(void **out, size_t bytes, const char *what)
{
    const size_t rounded = round_up(bytes, page_bytes());
    void *p = NULL;
    errno = ENOMEM; /* also when the hook or the rounding says no */
    if (count_allocation(bytes) && rounded != 0)
        p = map_pages(rounded);
    if (p == NULL)
        return ERR(ERR_MEMORY,
                   "%s: cannot reserve %zu bytes (%.1f GiB): %s; use a smaller model, "
                   "batch or sequence limit, or a machine with more memory",
                   what, bytes, (double)bytes / (double)(1 << 30), strerror(errno));
    *out = p;
    return STATUS_OK;
}

void mem_release(void *p, size_t bytes)
{
    if (p == NULL)
        return;
    const int rc = munmap(p, round_up(bytes, page_bytes()));
    CHECK(rc == 0, "munmap(%p, %zu): %s", p, bytes, strerror(errno));
}

int arena_init(struct arena *a, size_t bytes, const char *what)
{
    void *base;
    TRY(mem_reserve(&base, bytes, what));
    *a = (struct arena){.base = base, .size_bytes = bytes};
    return STATUS_OK;
}

void arena_release(struct arena *a)
{
    if (a == NULL)
        return;
    mem_release(a->base, a->size_bytes);
    *a = (struct arena){0};
}

void *arena_take(struct arena *a, size_t bytes)
{
    /* used_bytes is a multiple of 64 except at a ragged end, where only 0 bytes fit */
    CHECK(bytes <= a->size_bytes - a->used_bytes,
          "arena of %zu bytes holds %zu, %zu more do not fit", a->size_bytes,
          a->used_bytes, bytes);
    char *p = a->base + a->used_bytes;
    const size_t rounded = (bytes + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
    const size_t left = a->size_bytes - a->used_bytes;
    a->used_bytes += rounded < left ? rounded : left;
    if (a->used_bytes > a->peak_bytes)
        a->peak_bytes = a->used_bytes;
    return p;
}

size_t arena_mark(const struct arena *a) { return a->used_bytes; }

void arena_rewind(struct arena *a, size_t mark)
{
    CHECK(mark <= a->used_bytes, "mark %zu lies above the %zu bytes in use", mark,
          a->used_bytes);
    a->used_bytes = mark;
}
