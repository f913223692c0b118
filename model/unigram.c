/*
 * Unigram: the segmentation with the largest sum of scores, by Viterbi over bytes, in
 * Hugging Face's order of additions and comparisons (double, score + best, strictly
 * greater: of equal ones the earlier start stays). A character that no piece covers by
 * itself may also be unknown, at the smallest score minus 10. Unknown characters in a
 * row are one token: of its text if that is in the vocabulary, else its bytes where
 * they all have tokens, else unk_id.
 */
#include <string.h>

#include "model/tokenizer_private.h"

static const double unk_penalty = 10.0;

static void reach(struct best_path *at, double score, int32_t id, size_t start)
{
    if (at->start < 0 || score > at->score)
        *at = (struct best_path){.score = score, .id = id, .start = (int32_t)start};
}

static void reserve_path(struct encode_scratch *s, size_t len)
{
    const int64_t need = (int64_t)len + 1;
    if (need > s->n_path_cap) {
        const int64_t cap = 2 * need + 256;
        mem_free(s->path);
        s->path = mem_alloc((size_t)cap * sizeof(*s->path));
        s->n_path_cap = cap;
    }
    for (int64_t i = 1; i < need; i++)
        s->path[i].start = -1;
    s->path[0] = (struct best_path){.score = 0.0};
}

/* All ways on from byte `at`; whether one of them is its single character. */
static bool walk_trie(const struct unigram *u, struct best_path *path, const char *text,
                      size_t len, size_t at)
{
    const double score = path[at].score;
    const size_t width = utf8_width((unsigned char)text[at]);
    bool has_single = false;
    int32_t node = 0;
    for (size_t i = at; i < len; i++) {
        node = trie_step(&u->trie, node, (unsigned char)text[i]);
        if (node < 0)
            break;
        const int32_t id = u->trie.units[node].value;
        if (id < 0)
            continue;
        reach(&path[i + 1], u->scores[id] + score, id, at);
        has_single = has_single || i + 1 == at + width;
    }
    return has_single;
}

static int find_path(const struct unigram *u, struct best_path *path, const char *text,
                     size_t len)
{
    const double unk_score = u->min_score - unk_penalty;
    for (size_t at = 0; at < len;) {
        const size_t width = utf8_width((unsigned char)text[at]);
        struct best_path *const next = &path[at + width];
        if (!walk_trie(u, path, text, len, at)) {
            const struct best_path old = *next;
            reach(next, unk_score + path[at].score, u->unk_id, at);
            if (u->unk_id == TOKEN_NONE &&
                (next->start != old.start || next->id != old.id))
                return ERR(ERR_INPUT, "the text has an unknown character, but the "
                                      "tokenizer has no unk_id");
        }
        at += width;
    }
    return STATUS_OK;
}

static void push_unknown(const struct tokenizer *t, struct encode_scratch *s,
                         size_t off, size_t len, struct ids *out)
{
    const struct unigram *const u = &t->unigram;
    const char *const text = s->text.bytes.data + off;
    const int32_t id = vocab_find_model(&t->vocab, text, len);
    bool has_bytes = u->has_byte_fallback;
    for (size_t i = 0; has_bytes && i < len; i++)
        has_bytes = u->byte_ids[(unsigned char)text[i]] != TOKEN_NONE;
    if (id != TOKEN_NONE || !has_bytes) {
        encode_push(s, &s->text, out, id != TOKEN_NONE ? id : u->unk_id, off, len);
        return;
    }
    for (size_t i = 0; i < len; i++)
        encode_push(s, &s->text, out, u->byte_ids[(unsigned char)text[i]], off, len);
}

/* Turns the links to starts into links to ends, so that the path reads forward. */
static void reverse_path(struct best_path *path, size_t len)
{
    int32_t end = (int32_t)len;
    int32_t next = path[end].start, id = path[end].id;
    path[end].start = -1;
    while (end > 0) {
        const int32_t start = next;
        const struct best_path at = path[start];
        path[start].start = end;
        path[start].id = id;
        next = at.start;
        id = at.id;
        end = start;
    }
}

int unigram_encode(const struct tokenizer *t, struct encode_scratch *s, size_t off,
                   size_t len, struct ids *out)
{
    const struct unigram *const u = &t->unigram;
    if (len == 0)
        return STATUS_OK;
    reserve_path(s, len);
    TRY(find_path(u, s->path, s->text.bytes.data + off, len));
    reverse_path(s->path, len);
    for (size_t at = 0; at < len;) {
        size_t end = (size_t)s->path[at].start;
        const int32_t id = s->path[at].id;
        if (id != u->unk_id) {
            encode_push(s, &s->text, out, id, off + at, end - at);
            at = end;
            continue;
        }
        while (end < len && s->path[end].id == u->unk_id)
            end = (size_t)s->path[end].start;
        push_unknown(t, s, off + at, end - at, out);
        at = end;
    }
    return STATUS_OK;
}
