/*
 * Python's `random.Random`, number for number (CPython 3.11 and later): MT19937
 * (Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8, 1998) seeded from an
 * integer, and the integer methods built on it. For protocols that were fixed by a
 * Python program, such as which examples a few-shot prompt holds; everything else uses
 * core/rng.h.
 */
#ifndef CORE_PYRANDOM_H
#define CORE_PYRANDOM_H

#include <stdint.h>

enum { PYRANDOM_N = 624 };
struct pyrandom {
    uint32_t state[PYRANDOM_N];
    int next; /* word of the state that comes next; PYRANDOM_N: all are used */
};

/* random.Random(seed); Python takes the absolute value of a negative seed. */
void pyrandom_init(struct pyrandom *r, uint64_t seed);
/* The same for a seed of any size: n >= 1 words, least significant first, the last not
 * 0 unless it is the only one. */
void pyrandom_init_words(struct pyrandom *r, const uint32_t *words, int64_t n);

/* getrandbits(n_bits), n_bits in 1..64 */
uint64_t pyrandom_bits(struct pyrandom *r, int n_bits);
/* randrange(n), n >= 1: unbiased, by rejection */
int64_t pyrandom_below(struct pyrandom *r, int64_t n);
/* sample(range(n), k): k different numbers below n, in the order drawn; 0 <= k <= n. */
void pyrandom_sample(struct pyrandom *r, int64_t n, int64_t k, int64_t *out);
/* shuffle(x) */
void pyrandom_shuffle(struct pyrandom *r, int64_t n, int64_t *x);

#endif
