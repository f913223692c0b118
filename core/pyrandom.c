/*
 * The generator makes its 624 words at once and hands them out tempered. What Python
 * builds on it matters as much as the generator: how many words a call takes, which
 * bits of them, and which of two ways a sample goes.
 */
#include "core/pyrandom.h"

#include <stdbool.h>
#include <string.h>

#include "core/mem.h"
#include "core/status.h"

enum { MT_M = 397 };

static void seed_word(struct pyrandom *r, uint32_t seed)
{
    r->state[0] = seed;
    for (uint32_t i = 1; i < PYRANDOM_N; i++) {
        const uint32_t last = r->state[i - 1];
        r->state[i] = 1812433253u * (last ^ (last >> 30)) + i;
    }
}

/* init_by_array of the reference implementation: two passes that fold the key into the
 * state; place 0 is a copy of the last place whenever the index wraps. */
void pyrandom_init_words(struct pyrandom *r, const uint32_t *words, int64_t n)
{
    CHECK(n >= 1, "a seed of %lld words", (long long)n);
    seed_word(r, 19650218u);
    uint32_t *const s = r->state;
    uint32_t i = 1;
    int64_t j = 0;
    for (int64_t left = n > PYRANDOM_N ? n : PYRANDOM_N; left > 0; left--) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525u)) + words[j] +
               (uint32_t)j;
        j = j + 1 < n ? j + 1 : 0;
        if (++i == PYRANDOM_N) {
            s[0] = s[PYRANDOM_N - 1];
            i = 1;
        }
    }
    for (int left = PYRANDOM_N - 1; left > 0; left--) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941u)) - i;
        if (++i == PYRANDOM_N) {
            s[0] = s[PYRANDOM_N - 1];
            i = 1;
        }
    }
    s[0] = 0x80000000u; /* a state that is not zero, whatever the seed */
    r->next = PYRANDOM_N;
}

void pyrandom_init(struct pyrandom *r, uint64_t seed)
{
    const uint32_t words[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    pyrandom_init_words(r, words, words[1] != 0 ? 2 : 1);
}

static void twist(struct pyrandom *r)
{
    uint32_t *const s = r->state;
    for (int i = 0; i < PYRANDOM_N; i++) {
        const uint32_t y = (s[i] & 0x80000000u) |
                           (s[(i + 1) % PYRANDOM_N] & 0x7FFFFFFFu);
        s[i] = s[(i + MT_M) % PYRANDOM_N] ^ (y >> 1) ^ (y & 1u ? 0x9908B0DFu : 0u);
    }
    r->next = 0;
}

static uint32_t next_word(struct pyrandom *r)
{
    if (r->next == PYRANDOM_N)
        twist(r);
    uint32_t y = r->state[r->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680u;
    y ^= (y << 15) & 0xEFC60000u;
    return y ^ (y >> 18);
}

/* Words fill the result from its low end; of the last one the high bits are taken. */
uint64_t pyrandom_bits(struct pyrandom *r, int n_bits)
{
    CHECK(n_bits >= 1 && n_bits <= 64, "%d bits", n_bits);
    if (n_bits <= 32)
        return next_word(r) >> (32 - n_bits);
    const uint64_t low = next_word(r);
    return low | (uint64_t)(next_word(r) >> (64 - n_bits)) << 32;
}

/* As many bits as n itself has, so that a power of two is rejected half of the time. */
int64_t pyrandom_below(struct pyrandom *r, int64_t n)
{
    CHECK(n >= 1, "a number below %lld", (long long)n);
    const int n_bits = 64 - __builtin_clzll((unsigned long long)n);
    uint64_t x = pyrandom_bits(r, n_bits);
    while (x >= (uint64_t)n)
        x = pyrandom_bits(r, n_bits);
    return (int64_t)x;
}

/* Up to this population a list of it is smaller than a set of the k drawn: 21, and for
 * k > 5 the least power of four from 3 k on besides. (Python takes the ceiling of a
 * floating-point logarithm; 3 k is never a power of four itself, so this is the same.)
 */
static int64_t largest_pool(int64_t k)
{
    int64_t table = 1;
    while (k > 5 && table < 3 * k)
        table *= 4;
    return k > 5 ? 21 + table : 21;
}

static void sample_pool(struct pyrandom *r, int64_t n, int64_t k, int64_t *out)
{
    int64_t *const pool = mem_alloc((size_t)n * sizeof(*pool));
    for (int64_t i = 0; i < n; i++)
        pool[i] = i;
    for (int64_t i = 0; i < k; i++) {
        const int64_t j = pyrandom_below(r, n - i);
        out[i] = pool[j];
        pool[j] = pool[n - i - 1]; /* one not drawn moves into the vacancy */
    }
    mem_free(pool);
}

/* Puts x into the table (of `mask` + 1 places, 0 or number + 1); false if it is there.
 */
static bool insert(int64_t *table, uint64_t mask, int64_t x)
{
    uint64_t at = ((uint64_t)x * 0x9E3779B97F4A7C15u) >> 20 & mask;
    while (table[at] != 0 && table[at] != x + 1)
        at = (at + 1) & mask;
    if (table[at] != 0)
        return false;
    table[at] = x + 1;
    return true;
}

static void sample_set(struct pyrandom *r, int64_t n, int64_t k, int64_t *out)
{
    int64_t size = 16;
    while (size < 2 * k)
        size *= 2;
    int64_t *const table = mem_alloc((size_t)size * sizeof(*table));
    for (int64_t i = 0; i < k; i++) {
        do
            out[i] = pyrandom_below(r, n);
        while (!insert(table, (uint64_t)size - 1, out[i]));
    }
    mem_free(table);
}

void pyrandom_sample(struct pyrandom *r, int64_t n, int64_t k, int64_t *out)
{
    CHECK(k >= 0 && k <= n, "a sample of %lld from %lld", (long long)k, (long long)n);
    if (n <= largest_pool(k))
        sample_pool(r, n, k, out);
    else
        sample_set(r, n, k, out);
}

void pyrandom_shuffle(struct pyrandom *r, int64_t n, int64_t *x)
{
    for (int64_t i = n - 1; i >= 1; i--) {
        const int64_t j = pyrandom_below(r, i + 1);
        const int64_t t = x[i];
        x[i] = x[j];
        x[j] = t;
    }
}
