/*
 * Token lookup, the byte-level alphabet, and UTF-8.
 *
 * The alphabet: bytes that print (! to ~, and the Latin-1 letters and signs from U+00A1
 * on, but the soft hyphen) stand for themselves; the other 68, in order, are U+0100 ..
 * U+0143.
 */
#include "model/tokenizer_private.h"

#include <string.h>
#include <xxhash.h>

static bool is_own_char(int byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

int32_t byte_to_char(int byte)
{
    int32_t shifted = 0x100;
    if (is_own_char(byte))
        return byte;
    for (int b = 0; b < byte; b++)
        shifted += !is_own_char(b);
    return shifted;
}

int char_to_byte(int32_t c)
{
    if (c < 0x100)
        return c >= 0 && is_own_char(c) ? c : -1;
    for (int b = 0; b < 256; b++)
        if (!is_own_char(b) && byte_to_char(b) == c)
            return b;
    return -1;
}

size_t put_utf8(char *out, int32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

int32_t next_utf8(const char *s, size_t len, size_t *off)
{
    const unsigned char *const p = (const unsigned char *)s + *off;
    const size_t left = len - *off;
    const unsigned char lead = p[0];
    const size_t n = lead < 0x80   ? 1
                     : lead < 0xC2 ? 0
                     : lead < 0xE0 ? 2
                     : lead < 0xF0 ? 3
                     : lead < 0xF5 ? 4
                                   : 0;
    int32_t c = n < 2 ? lead : lead & (0xFF >> (n + 1));
    *off += 1;
    if (n == 0)
        return -1;
    for (size_t i = 1; i < n; i++) {
        /* the second byte's range excludes overlong forms, surrogates and beyond
         * U+10FFFF */
        const int lo = i > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        const int hi = i > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        if (i >= left || p[i] < lo || p[i] > hi)
            return -1; /* *off stands after the valid part */
        c = c << 6 | (p[i] & 0x3F);
        *off += 1;
    }
    return c;
}

bool is_utf8(const char *s, size_t len)
{
    for (size_t off = 0; off < len;)
        if (next_utf8(s, len, &off) < 0)
            return false;
    return true;
}

void token_map_init(struct token_map *m, int64_t n_tokens)
{
    uint64_t n = 64;
    while (n < 2 * (uint64_t)n_tokens + 2)
        n *= 2;
    m->slots = mem_alloc((size_t)n * sizeof(*m->slots));
    m->mask = n - 1;
}

static const char *key_of(const struct token *t, bool by_bytes, size_t *len)
{
    *len = by_bytes ? t->n_bytes : t->text_len;
    return by_bytes ? t->bytes : t->text;
}

/* The slot of a key: its own, or the free one where it belongs. */
static uint64_t slot_of(const struct token_map *m, const struct token *tokens,
                        const char *s, size_t len, bool by_bytes)
{
    uint64_t i = XXH3_64bits(s, len) & m->mask;
    for (; m->slots[i] != 0; i = (i + 1) & m->mask) {
        size_t n = 0;
        const char *const key = key_of(&tokens[m->slots[i] - 1], by_bytes, &n);
        if (n == len && memcmp(key, s, len) == 0)
            break;
    }
    return i;
}

void token_map_put(struct token_map *m, const struct token *tokens, int32_t id,
                   bool by_bytes)
{
    size_t len = 0;
    const char *const key = key_of(&tokens[id], by_bytes, &len);
    m->slots[slot_of(m, tokens, key, len, by_bytes)] = id + 1;
}

int32_t token_map_find(const struct token_map *m, const struct token *tokens,
                       const char *s, size_t len, bool by_bytes)
{
    return m->slots[slot_of(m, tokens, s, len, by_bytes)] - 1;
}
