/*
 * The arithmetic of core/rng.h that device code shares: Philox4x32-10 and the uniform
 * number taken from a block of it.
 */
#ifndef CORE_PHILOX_H
#define CORE_PHILOX_H

#include <stdint.h>

#include "core/device.h"

CORE_FN void philox_block(uint32_t out[4], const uint32_t counter[4],
                          const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* key = (seed low, seed high ^ stream * 0x9E3779B9) */
CORE_FN void philox_key(uint32_t key[2], uint64_t seed, uint32_t stream)
{
    key[0] = (uint32_t)seed;
    key[1] = (uint32_t)(seed >> 32) ^ stream * 0x9E3779B9u;
}

/* in [0, 1), 24 bits: word 0 of the block >> 8, times 2^-24 */
CORE_FN float philox_uniform(uint64_t seed, uint32_t stream, const uint32_t counter[4])
{
    uint32_t key[2], w[4];
    philox_key(key, seed, stream);
    philox_block(w, counter, key);
    return (float)(w[0] >> 8) * 0x1p-24f;
}

#endif
