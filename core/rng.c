/*
 * Philox4x32-10 and what is drawn from it.
 */
#include "core/rng.h"

#include <math.h>

#include "core/philox.h"
#include "core/status.h"

void philox4x32_10(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2])
{
    philox_block(out, counter, key);
}

void rng_block(uint32_t out[4], uint64_t seed, enum rng_stream stream, uint32_t a,
               uint32_t b, uint32_t c, uint32_t d)
{
    uint32_t key[2];
    philox_key(key, seed, (uint32_t)stream);
    const uint32_t counter[4] = {a, b, c, d};
    philox_block(out, counter, key);
}

float rng_uniform(uint64_t seed, enum rng_stream stream, uint32_t a, uint32_t b,
                  uint32_t c, uint32_t d)
{
    const uint32_t counter[4] = {a, b, c, d};
    return philox_uniform(seed, (uint32_t)stream, counter);
}

float rng_normal(uint64_t seed, enum rng_stream stream, uint32_t a, uint32_t b,
                 uint32_t c, uint32_t d)
{
    uint32_t w[4];
    rng_block(w, seed, stream, a, b, c, d);
    const double two_pi = 6.283185307179586476925286766559;
    const double u = ((double)w[0] + 1.0) * 0x1p-32; /* (0, 1]: the log stays finite */
    const double angle = two_pi * ((double)w[1] * 0x1p-32);
    return (float)(sqrt(-2.0 * log(u)) * cos(angle));
}

/* Lemire, "Fast random integer generation in an interval" (2019): the high half of word
 * * n, rejecting the first 2^32 mod n low halves. A block whose four words are all
 * rejected (at most one in 16) is the counter of the next. */
uint32_t rng_below(uint64_t seed, enum rng_stream stream, uint32_t n, uint32_t a,
                   uint32_t b, uint32_t c, uint32_t d)
{
    CHECK(n >= 1 && n <= 0x80000000u, "range of %u", n);
    const uint32_t n_rejected = (0u - n) % n;
    uint32_t key[2], w[4] = {a, b, c, d};
    philox_key(key, seed, (uint32_t)stream);
    for (;;) {
        philox_block(w, w, key);
        for (int i = 0; i < 4; i++) {
            const uint64_t m = (uint64_t)w[i] * n;
            if ((uint32_t)m >= n_rejected)
                return (uint32_t)(m >> 32);
        }
    }
}

/* One round's function; any function gives a permutation, this one mixes well. */
static uint64_t feistel_mix(uint64_t x, uint32_t key)
{
    x = (x ^ key) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93u;
    return x ^ (x >> 32);
}

/* A Feistel network whose halves are xored in turn, so they may differ by a bit and the
 * domain is the power of two just above n: under two tries on average. Below 2^8 halves
 * would be too narrow to mix; there the walk is longer and still short. */
int64_t rng_permute(uint64_t seed, uint32_t epoch, int64_t n, int64_t i)
{
    CHECK(n >= 1 && i >= 0 && i < n, "place %lld of %lld", (long long)i, (long long)n);
    if (n == 1)
        return 0;
    int bits = 8;
    while (bits < 63 && (int64_t)1 << bits < n)
        bits++;
    const int low_bits = bits / 2;
    const uint64_t low_mask = ((uint64_t)1 << low_bits) - 1;
    const uint64_t high_mask = ((uint64_t)1 << (bits - low_bits)) - 1;
    uint32_t keys[8];
    rng_block(keys, seed, RNG_ORDER, 0, epoch, 0, 0);
    rng_block(keys + 4, seed, RNG_ORDER, 1, epoch, 0, 0);
    uint64_t low = (uint64_t)i & low_mask, high = (uint64_t)i >> low_bits;
    do {
        for (int round = 0; round < 8; round += 2) {
            high ^= feistel_mix(low, keys[round]) & high_mask;
            low ^= feistel_mix(high, keys[round + 1]) & low_mask;
        }
    } while ((high << low_bits | low) >= (uint64_t)n);
    return (int64_t)(high << low_bits | low);
}
