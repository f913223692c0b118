/*
 * Memory: checked size arithmetic, a counted allocator, arenas, and growable byte
 * buffers.
 *
 * mem_* never return NULL for a request that fits in the address space: small
 * allocations that fail end the program with the documented status 75 (mem_fail), since
 * no caller could do better. Large requests whose size depends on outside data (a
 * checkpoint, a batch limit) go through mem_reserve, which reports ERR_MEMORY. The
 * counter lets a test show that a training step allocates nothing.
 */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* false on overflow (or a negative result for the int64 forms); *out untouched then */
bool checked_add(int64_t a, int64_t b, int64_t *out);
bool checked_mul(int64_t a, int64_t b, int64_t *out);

void *
mem_alloc(size_t bytes); /* zeroed, 64-byte aligned; 0 bytes gives a unique pointer */
void *mem_realloc(void *p, size_t old_bytes, size_t new_bytes); /* new tail zeroed */
void mem_free(void *p);                                         /* accepts NULL */
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
int64_t mem_count(void); /* allocations since start, mem_reserve's included */
/* Test hook: called before each allocation with its bytes; returning false makes it
 * fail. */
typedef bool (*mem_hook_fn)(size_t bytes, void *user);
void mem_set_hook(mem_hook_fn hook, void *user);

/* Zeroed pages that cost nothing until touched (mmap, MAP_NORESERVE, huge pages
 * advised). */
int mem_reserve(void **out, size_t bytes, const char *what) WARN_UNUSED;
void mem_release(void *p, size_t bytes); /* accepts NULL */

int64_t mem_peak_rss_bytes(void); /* of this process (ru_maxrss) */
int64_t
mem_available_bytes(void); /* the machine's MemAvailable; cgroup limit if lower */

/* Bump allocator over one mem_reserve. take: 64-byte aligned, CHECKs that it fits. */
struct arena {
    char *base;
    size_t size_bytes, used_bytes, peak_bytes;
};
int arena_init(struct arena *a, size_t bytes, const char *what) WARN_UNUSED;
void arena_release(struct arena *a);
void *arena_take(struct arena *a, size_t bytes);
size_t arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, size_t mark);

/* Growable bytes, always followed by a NUL that `len` does not count. Zero-initialise.
 */
struct buf {
    char *data;
    size_t len, cap;
};
void buf_release(struct buf *b);
void buf_reset(struct buf *b); /* len = 0, memory kept */
void buf_append(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_put_json_string(struct buf *b, const char *s,
                         size_t len); /* quoted, escaped; bad UTF-8
                                         becomes U+FFFD */

#ifdef __cplusplus
}
#endif
#endif
