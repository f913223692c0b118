/*
 * Rows with none, one or two slots in shuffled pages, for the tests of kv_write and
 * kv_read_bwd.
 */
#ifndef TESTS_CPU_KV_CASE_H
#define TESTS_CPU_KV_CASE_H

#include "tests/cpu/op_check.h"

enum { KV_PAGES = 5 };

struct kv_case {
    float *cache, *kv;
    int32_t *dst_off, *dst;
    int64_t g, d, ld, m;
};

OP_FN int64_t kv_floats(const struct kv_case *p)
{
    return KV_PAGES * 2 * p->g * p->d * KV_BLOCK;
}

/* Row r, of 2 g d values and `gap` more, goes to r % 3 slots, all different. */
OP_FN void kv_init(struct kv_case *p, int64_t m, int64_t g, int64_t d, int64_t gap)
{
    op_seed((uint64_t)(m * 31 + d + 1000 * gap));
    *p = (struct kv_case){.g = g, .d = d, .ld = 2 * g * d + gap, .m = m};
    p->cache = op_filled(kv_floats(p), op_random);
    p->kv = op_filled(m * p->ld, op_random);
    p->dst_off = op_ints(m + 1);
    p->dst = op_ints(2 * m);
    int32_t slots[KV_PAGES * KV_BLOCK];
    for (int32_t i = 0; i < KV_PAGES * KV_BLOCK; i++) {
        const int64_t j = op_below(i + 1);
        slots[i] = slots[j];
        slots[j] = i;
    }
    p->dst_off[0] = 0;
    for (int64_t r = 0; r < m; r++) {
        p->dst_off[r + 1] = p->dst_off[r] + (int32_t)(r % 3);
        for (int32_t i = p->dst_off[r]; i < p->dst_off[r + 1]; i++)
            p->dst[i] = slots[i];
    }
}

#endif
