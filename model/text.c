/*
 * Text on its way through the normaliser and the pre-tokenizers. Places follow Hugging
 * Face's alignments: a character that replaces another has that one's place, an
 * inserted one that of the byte before it.
 */
#include <string.h>

#include "model/tokenizer_private.h"

void text_reset(struct text *t, const struct text *like)
{
    buf_reset(&t->bytes);
    t->is_tracked = like->is_tracked;
    t->origin = like->origin;
}

void text_release(struct text *t)
{
    buf_release(&t->bytes);
    mem_free(t->from);
    *t = (struct text){.from_cap = 0};
}

void text_swap(struct text *a, struct text *b)
{
    const struct text t = *a;
    *a = *b;
    *b = t;
}

static struct place *grow(struct text *t, size_t len)
{
    const size_t need = t->bytes.len + len;
    if (need > t->from_cap) {
        const size_t cap = 2 * need + 64;
        t->from = mem_realloc(t->from, t->from_cap * sizeof(*t->from),
                              cap * sizeof(*t->from));
        t->from_cap = cap;
    }
    return t->from + t->bytes.len;
}

void text_set(struct text *t, const char *raw, size_t off, size_t len, bool is_tracked)
{
    buf_reset(&t->bytes);
    t->is_tracked = is_tracked;
    t->origin = (uint32_t)off;
    if (is_tracked) {
        struct place *const from = grow(t, len);
        for (size_t i = 0; i < len;) {
            const size_t width = utf8_width((unsigned char)raw[off + i]);
            for (size_t j = i; j < i + width; j++)
                from[j] = (struct place){(uint32_t)(off + i),
                                         (uint32_t)(off + i + width)};
            i += width;
        }
    }
    buf_append(&t->bytes, raw + off, len);
}

void text_copy(struct text *t, const struct text *from, size_t off, size_t len)
{
    if (len == 0)
        return;
    if (t->is_tracked)
        memcpy(grow(t, len), from->from + off, len * sizeof(*from->from));
    buf_append(&t->bytes, from->bytes.data + off, len);
}

void text_put(struct text *t, const char *s, size_t len, struct place p)
{
    if (t->is_tracked) {
        struct place *const from = grow(t, len);
        for (size_t i = 0; i < len; i++)
            from[i] = p;
    }
    buf_append(&t->bytes, s, len);
}

struct place text_place(const struct text *t, size_t off, size_t len)
{
    if (!t->is_tracked || len == 0 || off + len > t->bytes.len)
        return (struct place){0, 0};
    return (struct place){t->from[off].start, t->from[off + len - 1].end};
}

struct place text_place_before(const struct text *t, size_t off)
{
    return off == 0 ? (struct place){t->origin, t->origin} : text_place(t, off - 1, 1);
}

void text_map_bytes(struct text *to, const struct text *from, size_t off, size_t len)
{
    for (size_t i = off; i < off + len; i++) {
        char c[4];
        const size_t n = utf8_put(c, byte_to_char((unsigned char)from->bytes.data[i]));
        text_put(to, c, n, text_place(from, i, 1));
    }
}
