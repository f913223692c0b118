/*
 * Sums and copies of plain memory, cut into chunks for the threads. Host and backend
 * memory are the same here.
 */
#include <omp.h>

#include "cpu/backend.h"
#include "cpu/vmath.h"

enum { CHUNK_BYTES = 1 << 18 };

void CPU_NAME(add)(struct backend *b, float *y, const float *a, const float *c,
                   int64_t n)
{
#pragma omp parallel for num_threads(cpu_team(b, n)) schedule(static)
    for (int64_t i = 0; i < n; i += V16) {
        const int left = v16_left(n, i);
        const v16 sum = v16_add(v16_load_n(a + i, left), v16_load_n(c + i, left));
        v16_store_n(y + i, sum, left);
    }
}

static size_t chunk_bytes(size_t bytes, int64_t off)
{
    const size_t left = bytes - (size_t)off;
    return left < CHUNK_BYTES ? left : CHUNK_BYTES;
}

void CPU_NAME(zero)(struct backend *b, void *p, size_t bytes)
{
#pragma omp parallel for num_threads(cpu_team(b, (int64_t)bytes / 16)) schedule(static)
    for (int64_t i = 0; i < (int64_t)bytes; i += CHUNK_BYTES)
        memset((char *)p + i, 0, chunk_bytes(bytes, i));
}

void CPU_NAME(copy)(struct backend *b, void *dst, const void *src, size_t bytes)
{
#pragma omp parallel for num_threads(cpu_team(b, (int64_t)bytes / 16)) schedule(static)
    for (int64_t i = 0; i < (int64_t)bytes; i += CHUNK_BYTES)
        memcpy((char *)dst + i, (const char *)src + i, chunk_bytes(bytes, i));
}

void CPU_NAME(upload)(struct backend *b, void *dst, const void *host_src, size_t bytes)
{
    CPU_NAME(copy)(b, dst, host_src, bytes);
}

void CPU_NAME(download)(struct backend *b, void *host_dst, const void *src,
                        size_t bytes)
{
    CPU_NAME(copy)(b, host_dst, src, bytes);
}
