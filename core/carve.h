/*
 * Laying several arrays out in one block: run the same layout function twice, first
 * with base NULL (measuring: every pointer is NULL), then with a block of `used` bytes.
 * Size and pointers cannot disagree. Arrays are 64-byte aligned.
 */
#ifndef CORE_CARVE_H
#define CORE_CARVE_H

#include <stddef.h>
#include <stdint.h>

struct carver {
    char *base; /* NULL: measuring */
    size_t used;
};

static inline void *carve(struct carver *c, int64_t count, size_t size)
{
    void *const p = c->base == NULL ? NULL : c->base + c->used;
    c->used += ((size_t)count * size + 63) / 64 * 64;
    return p;
}

static inline float *carve_f32(struct carver *c, int64_t rows, int64_t cols)
{
    return (float *)carve(c, rows * cols, sizeof(float));
}

static inline int32_t *carve_i32(struct carver *c, int64_t n)
{
    return (int32_t *)carve(c, n, sizeof(int32_t));
}

#endif
