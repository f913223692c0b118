/*
 * Tokens that are cut out of the text before it is split: the leftmost match, of those
 * the longest. A match that single_word rejects is passed over whole, as by the matcher
 * of Hugging Face. lstrip and rstrip take the blanks beside a match, but not those that
 * an earlier match took; a match of which nothing is left then vanishes.
 */
#include <string.h>

#include "model/tokenizer_private.h"
#include "model/unicode_tables.h"

void added_set_take(struct added_set *a, struct added_token *tokens, int64_t n)
{
    struct trie_key *const keys = mem_alloc((size_t)n * sizeof(*keys));
    for (int64_t i = 0; i < n; i++)
        keys[i] = (struct trie_key){tokens[i].pattern, tokens[i].len, (int32_t)i};
    a->tokens = tokens;
    a->n = n;
    if (n > 0)
        trie_init(&a->trie, keys, n);
    mem_free(keys);
}

const struct added_token *added_set_find(const struct added_set *a, const char *pattern,
                                         size_t len)
{
    int32_t place = 0;
    const bool is_there = a->n > 0 &&
                          trie_longest(&a->trie, pattern, len, &place) == len;
    return is_there ? &a->tokens[place] : NULL;
}

void added_set_release(struct added_set *a)
{
    for (int64_t i = 0; i < a->n; i++)
        mem_free(a->tokens[i].pattern);
    mem_free(a->tokens);
    trie_release(&a->trie);
    *a = (struct added_set){.n = 0};
}

static bool touches_word(const char *s, size_t len, size_t start, size_t end)
{
    return (start > 0 && unicode_is_word(utf8_get(s + utf8_before(s, start)))) ||
           (end < len && unicode_is_word(utf8_get(s + end)));
}

static void strip(struct added_match *m, const struct added_token *t, const char *s,
                  size_t len, size_t gap)
{
    while (t->has_lstrip && m->start > 0 &&
           unicode_is_space(utf8_get(s + utf8_before(s, m->start))))
        m->start = utf8_before(s, m->start);
    if (t->has_lstrip && m->start < gap)
        m->start = gap;
    while (t->has_rstrip && m->end < len && unicode_is_space(utf8_get(s + m->end)))
        m->end += utf8_width((unsigned char)s[m->end]);
}

bool added_set_next(const struct added_set *a, const char *s, size_t len, size_t from,
                    size_t gap, struct added_match *out)
{
    for (size_t i = from; a->n > 0 && i < len; i++) {
        int32_t place = 0;
        if (trie_step(&a->trie, 0, (unsigned char)s[i]) < 0)
            continue;
        const size_t n = trie_longest(&a->trie, s + i, len - i, &place);
        const struct added_token *const t = &a->tokens[place];
        if (n == 0)
            continue;
        if (t->is_single_word && touches_word(s, len, i, i + n)) {
            i += n - 1;
            continue;
        }
        *out = (struct added_match){
            .start = i, .end = i + n, .resume = i + n, .id = t->id};
        strip(out, t, s, len, gap);
        return true;
    }
    return false;
}
