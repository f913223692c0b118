/*
 * Tokens that are cut out of the text before it is split: the leftmost match, of those
 * the longest. A match that single_word rejects is passed over whole, as by the matcher
 * of Hugging Face. lstrip and rstrip take the blanks beside a match, but not those that
 * an earlier match took.
 */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/tokenizer_private.h"

static int compare_tokens(const void *a, const void *b)
{
    const struct added_token *const x = a, *const y = b;
    const unsigned char cx = (unsigned char)x->pattern[0];
    const unsigned char cy = (unsigned char)y->pattern[0];
    if (cx != cy)
        return cx < cy ? -1 : 1;
    if (x->len != y->len)
        return x->len > y->len ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

void added_set_take(struct added_set *a, struct added_token *tokens, int64_t n)
{
    a->tokens = tokens;
    a->n = n;
    if (n > 0)
        qsort(tokens, (size_t)n, sizeof(*tokens), compare_tokens);
    int32_t at = 0;
    for (int byte = 0; byte < 256; byte++) {
        a->first[byte] = at;
        while (at < n && (unsigned char)tokens[at].pattern[0] == byte)
            at++;
    }
    a->first[256] = at;
}

void added_set_release(struct added_set *a)
{
    for (int64_t i = 0; i < a->n; i++)
        mem_free(a->tokens[i].pattern);
    mem_free(a->tokens);
    *a = (struct added_set){0};
}

/* Unicode's White_Space */
static bool is_space(int32_t cp)
{
    return (cp >= 0x9 && cp <= 0xD) || cp == 0x20 || cp == 0x85 || cp == 0xA0 ||
           cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 ||
           cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

/* \w of Unicode's TR 18: alphabetic, marks, decimal digits, connectors, join controls.
 * Alphabetic are, besides letters, marks and letter numbers, the circled and squared
 * Latin letters. */
static bool is_word(int32_t cp)
{
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return cp == 0x200C || cp == 0x200D || (cp >= 0x24B6 && cp <= 0x24E9) ||
               (cp >= 0x1F130 && cp <= 0x1F149) || (cp >= 0x1F150 && cp <= 0x1F169) ||
               (cp >= 0x1F170 && cp <= 0x1F189);
    }
}

/* Start of the character that ends at s + end; end > 0. */
static size_t char_before(const char *s, size_t end)
{
    do
        end--;
    while (((unsigned char)s[end] & 0xC0) == 0x80);
    return end;
}

static const struct added_token *token_at(const struct added_set *a, const char *s,
                                          size_t left)
{
    const unsigned char byte = (unsigned char)s[0];
    for (int32_t i = a->first[byte]; i < a->first[byte + 1]; i++)
        if (a->tokens[i].len <= left &&
            memcmp(a->tokens[i].pattern, s, a->tokens[i].len) == 0)
            return &a->tokens[i];
    return NULL;
}

static bool touches_word(const char *s, size_t len, size_t start, size_t end)
{
    return (start > 0 && is_word(utf8_get(s + char_before(s, start)))) ||
           (end < len && is_word(utf8_get(s + end)));
}

static void strip(struct added_match *m, const struct added_token *t, const char *s,
                  size_t len, size_t gap)
{
    while (t->has_lstrip && m->start > 0 &&
           is_space(utf8_get(s + char_before(s, m->start))))
        m->start = char_before(s, m->start);
    if (t->has_lstrip && m->start < gap)
        m->start = gap;
    while (t->has_rstrip && m->end < len && is_space(utf8_get(s + m->end)))
        m->end += utf8_width((unsigned char)s[m->end]);
}

bool added_set_next(const struct added_set *a, const char *s, size_t len, size_t from,
                    size_t gap, struct added_match *out)
{
    for (size_t i = from; a->n > 0 && i < len; i++) {
        const struct added_token *const t = token_at(a, s + i, len - i);
        if (t == NULL)
            continue;
        if (t->is_single_word && touches_word(s, len, i, i + t->len)) {
            i += t->len - 1;
            continue;
        }
        *out = (struct added_match){
            .start = i, .end = i + t->len, .resume = i + t->len, .id = t->id};
        strip(out, t, s, len, gap);
        return true;
    }
    return false;
}
