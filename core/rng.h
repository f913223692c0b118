/*
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers:
 * as easy as 1, 2, 3", SC'11). No state: every number is a function of (seed, stream,
 * a, b, c, d).
 */
#ifndef CORE_RNG_H
#define CORE_RNG_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Streams keep uses apart that would otherwise share counters. */
enum rng_stream {
    RNG_SAMPLE = 1, /* a token: (position, sample, prompt, step) */
    RNG_ORDER,      /* data order: (index, epoch, 0, 0) */
    RNG_INIT,       /* weights: (element low, element high, parameter, 0) */
    RNG_SYNTH,      /* generated problems: (draw, problem, split, 0) */
    RNG_TEST,
};

void philox4x32_10(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);
/* The raw block: key = (seed low, seed high ^ stream * 0x9E3779B9), counter = (a, b, c,
 * d). */
void rng_block(uint32_t out[4], uint64_t seed, enum rng_stream stream, uint32_t a,
               uint32_t b, uint32_t c, uint32_t d);
/* in [0, 1), 24 bits: word 0 of the block >> 8, times 2^-24 */
float rng_uniform(uint64_t seed, enum rng_stream stream, uint32_t a, uint32_t b,
                  uint32_t c, uint32_t d);
/* standard normal (Box-Muller in double from words 0 and 1, own log/cos not needed:
 * libm) */
float rng_normal(uint64_t seed, enum rng_stream stream, uint32_t a, uint32_t b,
                 uint32_t c, uint32_t d);
/* unbiased in [0, n), n in 1..2^31: rejection inside the four words, then Lemire's rest
 */
uint32_t rng_below(uint64_t seed, enum rng_stream stream, uint32_t n, uint32_t a,
                   uint32_t b, uint32_t c, uint32_t d);
/* i-th place of a pseudo-random permutation of 0..n-1 keyed by (seed, epoch): a
 * cycle-walking Feistel network, so that no table is kept. n >= 1, 0 <= i < n. */
int64_t rng_permute(uint64_t seed, uint32_t epoch, int64_t n, int64_t i);

#ifdef __cplusplus
}
#endif
#endif
