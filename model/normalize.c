/*
 * Normalisers, one after the other on the whole of a gap. Tables: NFC and its kin are
 * those of Unicode 9, lower case, marks and spaces those of Hugging Face's library.
 */
#include <string.h>

#include "model/tokenizer_private.h"
#include "model/unicode_tables.h"

/* Nothing below U+0300 changes under NFC, nothing below U+0080 (ASCII) under any. */
static bool is_inert(enum utf8_form form, const char *s, size_t len)
{
    const unsigned char limit = form == UTF8_NFC ? 0xCC : 0x80;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] >= limit)
            return false;
    return true;
}

/* Characters that certainly stand alone: what lies before them and after them is
 * normalised by itself. Here: ASCII that another ASCII character follows. */
static size_t alone(const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && (unsigned char)s[n] < 0x80)
        n++;
    return n < len && n > 0 ? n - 1 : n;
}

/* From text that is not ASCII: a part that ends where ASCII follows ASCII. */
static size_t together(const char *s, size_t len)
{
    size_t n = 1;
    while (n < len && ((unsigned char)s[n] >= 0x80 || (unsigned char)s[n - 1] >= 0x80))
        n++;
    return n;
}

/* Characters that the one at s decomposes into; 1 for the forms that compose. */
static int64_t n_decomposed(enum utf8_form form, const char *s, size_t width)
{
    struct buf parts = {0};
    int64_t n = 0;
    if (form == UTF8_NFC || form == UTF8_NFKC ||
        utf8_append_form(&parts, form, s, width) != STATUS_OK)
        return 1;
    for (size_t i = 0; i < parts.len; i++)
        n += ((unsigned char)parts.data[i] & 0xC0) != 0x80;
    buf_release(&parts);
    return n;
}

/* Output characters come from the input characters in turn, each from one, or as many
 * as that decomposes into; what is left over from the last. Where characters compose
 * this says nearly where each comes from. */
static void put_aligned(struct text *to, const struct text *from, size_t off,
                        size_t len, enum utf8_form form, const struct buf *out)
{
    size_t at = off, width = 0;
    int64_t n_left = 0;
    if (!to->is_tracked) {
        buf_append(&to->bytes, out->data, out->len);
        return;
    }
    for (size_t i = 0; i < out->len; n_left--) {
        const char *const next = from->bytes.data + at + width;
        const size_t n = utf8_width((unsigned char)out->data[i]);
        if (n_left == 0 && at + width < off + len) {
            at += width;
            width = utf8_width((unsigned char)*next);
            n_left = n_decomposed(form, next, width);
        }
        text_put(to, out->data + i, n, text_place(from, at, width));
        i += n;
    }
}

static int run_form(struct text *to, const struct text *from, enum utf8_form form)
{
    const char *const s = from->bytes.data;
    const size_t len = from->bytes.len;
    struct buf part = {0};
    int status = STATUS_OK;
    for (size_t i = 0; i < len && status == STATUS_OK;) {
        size_t n = alone(s + i, len - i);
        text_copy(to, from, i, n);
        i += n;
        if (i == len)
            break;
        n = together(s + i, len - i);
        buf_reset(&part);
        status = utf8_append_form(&part, form, s + i, n);
        if (status == STATUS_OK)
            put_aligned(to, from, i, n, form, &part);
        i += n;
    }
    buf_release(&part);
    return status;
}

static void run_lowercase(struct text *to, const struct text *from)
{
    static const char i_dot[] = "i\xCC\x87"; /* of U+0130 */
    for (size_t i = 0; i < from->bytes.len;) {
        const char *const s = from->bytes.data + i;
        const size_t width = utf8_width((unsigned char)*s);
        const int32_t cp = utf8_get(s);
        char lower[4];
        if (cp == 0x130)
            text_put(to, i_dot, strlen(i_dot), text_place(from, i, width));
        else
            text_put(to, lower, utf8_put(lower, unicode_lower(cp)),
                     text_place(from, i, width));
        i += width;
    }
}

/* SentencePiece's "nmt" rules: control characters go, other blanks become spaces. */
static bool is_nmt_removed(int32_t cp)
{
    return (cp >= 1 && cp <= 8) || cp == 0xB || (cp >= 0xE && cp <= 0x1F) ||
           cp == 0x7F || cp == 0x8F || cp == 0x9F;
}

static bool is_nmt_space(int32_t cp)
{
    return cp == 0x9 || cp == 0xA || cp == 0xC || cp == 0xD || cp == 0x1680 ||
           (cp >= 0x200B && cp <= 0x200F) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x2581 || cp == 0xFEFF || cp == 0xFFFD;
}

static void run_filter(struct text *to, const struct text *from,
                       enum normalize_kind kind)
{
    for (size_t i = 0; i < from->bytes.len;) {
        const char *const s = from->bytes.data + i;
        const size_t width = utf8_width((unsigned char)*s);
        const int32_t cp = utf8_get(s);
        const bool is_nmt = kind == NORMALIZE_NMT;
        if (is_nmt && is_nmt_space(cp))
            text_put(to, " ", 1, text_place(from, i, width));
        else if (!(is_nmt ? is_nmt_removed(cp) : unicode_is_mark(cp)))
            text_copy(to, from, i, width);
        i += width;
    }
}

static void run_strip(struct text *to, const struct text *from, bool is_left,
                      bool is_right)
{
    const char *const s = from->bytes.data;
    size_t start = 0, end = from->bytes.len;
    while (is_left && start < end && unicode_is_space(utf8_get(s + start)))
        start += utf8_width((unsigned char)s[start]);
    while (is_right && end > start &&
           unicode_is_space(utf8_get(s + utf8_before(s, end))))
        end = utf8_before(s, end);
    text_copy(to, from, start, end - start);
}

static int run_replace(struct text *to, const struct text *from,
                       const struct normalize_step *step, struct search *search)
{
    TRY(pattern_parts(&step->pattern, search, from->bytes.data, from->bytes.len));
    for (int64_t i = 0; i < search->parts.n; i++) {
        const struct span part = search->parts.data[i];
        if (search->is_match[i])
            text_put(to, step->content, step->content_len,
                     text_place_before(from, part.off + part.len));
        else
            text_copy(to, from, part.off, part.len);
    }
    return STATUS_OK;
}

static int run_step(const struct normalize_step *step, struct text *to,
                    const struct text *from, struct search *search)
{
    const size_t len = from->bytes.len;
    switch (step->kind) {
    case NORMALIZE_FORM:
        return run_form(to, from, step->form);
    case NORMALIZE_LOWERCASE:
        run_lowercase(to, from);
        return STATUS_OK;
    case NORMALIZE_STRIP_ACCENTS:
    case NORMALIZE_NMT:
        run_filter(to, from, step->kind);
        return STATUS_OK;
    case NORMALIZE_STRIP:
        run_strip(to, from, step->is_left, step->is_right);
        return STATUS_OK;
    case NORMALIZE_BYTE_LEVEL:
        text_map_bytes(to, from, 0, len);
        return STATUS_OK;
    case NORMALIZE_PREPEND: /* what it stands before gives its place */
        text_put(to, step->content, step->content_len,
                 text_place(from, 0, utf8_width((unsigned char)from->bytes.data[0])));
        text_copy(to, from, 0, len);
        return STATUS_OK;
    case NORMALIZE_REPLACE:
        return run_replace(to, from, step, search);
    }
    return STATUS_OK;
}

int normalizer_run(const struct normalizer *n, struct text *t, struct text *other,
                   struct search *search)
{
    for (int64_t i = 0; i < n->n_steps && t->bytes.len > 0; i++) {
        const struct normalize_step *const step = &n->steps[i];
        if (step->kind == NORMALIZE_FORM &&
            is_inert(step->form, t->bytes.data, t->bytes.len))
            continue;
        text_reset(other, t);
        TRY(run_step(step, other, t, search));
        text_swap(t, other);
    }
    return STATUS_OK;
}
