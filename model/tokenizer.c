/*
 * Encoding: tokens added to the raw text are cut out; each gap is normalised by itself;
 * tokens added to the normalised text are cut out; what is left is pre-tokenised, each
 * piece goes to the model; the post-processor finishes. What a call needs besides lies
 * in a scratch, which the next call takes over with its cache.
 */
#include "model/tokenizer.h"

#include <string.h>

#include "core/io.h"
#include "model/tokenizer_private.h"
#include "model/unicode_tables.h"

struct scratch_pool {
    pthread_mutex_t lock;
    struct encode_scratch *idle;
};

void ids_append(struct ids *v, const int32_t *ids, int64_t n)
{
    if (v->n + n > v->cap) {
        const int64_t cap = 2 * (v->n + n) + 64;
        v->data = mem_realloc(v->data, (size_t)v->cap * sizeof(*v->data),
                              (size_t)cap * sizeof(*v->data));
        v->cap = cap;
    }
    if (n > 0)
        memcpy(v->data + v->n, ids, (size_t)n * sizeof(*ids));
    v->n += n;
}

void ids_push(struct ids *v, int32_t id) { ids_append(v, &id, 1); }

void ids_release(struct ids *v)
{
    mem_free(v->data);
    *v = (struct ids){0};
}

struct tokenizer *tokenizer_new(void)
{
    struct tokenizer *const t = mem_alloc(sizeof(*t));
    t->pool = mem_alloc(sizeof(*t->pool));
    pthread_mutex_init(&t->pool->lock, NULL);
    t->unigram.unk_id = t->bpe.unk_id = TOKEN_NONE;
    return t;
}

static void cover(struct tokenizer *t, const struct ids *v)
{
    for (int64_t i = 0; i < v->n; i++)
        if (v->data[i] >= t->n_vocab)
            t->n_vocab = (int64_t)v->data[i] + 1;
}

void tokenizer_settle(struct tokenizer *t)
{
    /* a template may name an id that no token has: it still comes out of encode */
    t->n_vocab = t->vocab.n;
    cover(t, &t->post.prefix);
    cover(t, &t->post.suffix);
    if (t->post.has_padding && t->post.pad_id >= t->n_vocab)
        t->n_vocab = (int64_t)t->post.pad_id + 1;
}

static int settle(struct tokenizer **out, struct tokenizer *t, int status)
{
    if (status != STATUS_OK) {
        tokenizer_free(t);
        return status;
    }
    tokenizer_settle(t);
    *out = t;
    return STATUS_OK;
}

int tokenizer_load_memory(struct tokenizer **out, const char *name, const char *json,
                          size_t len)
{
    struct tokenizer *const t = tokenizer_new();
    return settle(out, t, tokenizer_read(t, json, len, name));
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

static bool is_rank_file(const char *path)
{
    return ends_with(path, ".tiktoken") || ends_with(path, "tiktoken.model");
}

int tokenizer_load(struct tokenizer **out, const char *path)
{
    struct io_map map;
    TRY(io_map_open(&map, path));
    struct tokenizer *const t = tokenizer_new();
    const char *const text = (const char *)map.data;
    const int status = is_rank_file(path)
                           ? tokenizer_read_tiktoken(t, text, map.size, path)
                           : tokenizer_read(t, text, map.size, path);
    io_map_close(&map);
    return settle(out, t, status);
}

/* The only rank file in dir, by name order the first; NULL: none. */
static int find_rank_file(const char *dir, char **path_out)
{
    char **names = NULL;
    int64_t n = 0;
    *path_out = NULL;
    TRY(io_list(dir, &names, &n));
    for (int64_t i = 0; i < n && *path_out == NULL; i++)
        if (is_rank_file(names[i]))
            *path_out = io_join(dir, names[i]);
    io_list_free(names, n);
    return STATUS_OK;
}

int tokenizer_load_dir(struct tokenizer **out, const char *dir)
{
    if (!io_is_dir(dir))
        return tokenizer_load(out, dir);
    char *path = io_join(dir, "tokenizer.json");
    if (!io_exists(path)) {
        mem_free(path);
        TRY(find_rank_file(dir, &path));
    }
    if (path == NULL)
        return ERR(ERR_INPUT,
                   "%s: found neither tokenizer.json nor a tiktoken rank "
                   "file (tiktoken.model, *.tiktoken)",
                   dir);
    const int status = tokenizer_load(out, path);
    mem_free(path);
    return status;
}

void encode_scratch_release(struct encode_scratch *s)
{
    text_release(&s->raw_gap);
    text_release(&s->text);
    text_release(&s->other);
    mem_free(s->spans.data);
    mem_free(s->next.data);
    search_release(&s->search);
    mem_free(s->symbols);
    mem_free(s->heap);
    mem_free(s->path);
    buf_release(&s->mapped);
    mem_free(s->cache);
    mem_free(s->places);
}

static struct encode_scratch *take_scratch(const struct tokenizer *t)
{
    pthread_mutex_lock(&t->pool->lock);
    struct encode_scratch *s = t->pool->idle;
    if (s != NULL)
        t->pool->idle = s->next_idle;
    pthread_mutex_unlock(&t->pool->lock);
    if (s == NULL)
        s = mem_alloc(sizeof(*s));
    s->search.has_no_shadow = t->has_no_shadow;
    return s;
}

static void give_scratch(const struct tokenizer *t, struct encode_scratch *s)
{
    pthread_mutex_lock(&t->pool->lock);
    s->next_idle = t->pool->idle;
    t->pool->idle = s;
    pthread_mutex_unlock(&t->pool->lock);
}

void tokenizer_free(struct tokenizer *t)
{
    if (t == NULL)
        return;
    while (t->pool->idle != NULL) {
        struct encode_scratch *const s = t->pool->idle;
        t->pool->idle = s->next_idle;
        encode_scratch_release(s);
        mem_free(s);
    }
    pthread_mutex_destroy(&t->pool->lock);
    mem_free(t->pool);
    vocab_release(&t->vocab);
    merges_release(&t->bpe.merges);
    mem_free(t->bpe.prefix);
    mem_free(t->bpe.suffix);
    mem_free(t->bpe.unk_token);
    trie_release(&t->unigram.trie);
    mem_free(t->unigram.scores);
    normalizer_release(&t->normal);
    pretokenizer_release(&t->pre);
    added_set_release(&t->raw);
    added_set_release(&t->normalized);
    post_release(&t->post);
    decoder_release(&t->decoder);
    mem_free(t);
}

void tokenizer_set_unicode16(struct tokenizer *t, bool is_on)
{
    t->has_no_shadow = !is_on;
}

int64_t tokenizer_n_vocab(const struct tokenizer *t) { return t->n_vocab; }

int32_t tokenizer_find(const struct tokenizer *t, const char *piece)
{
    return vocab_find(&t->vocab, piece, strlen(piece));
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    const struct piece *const p = vocab_piece(&t->vocab, id);
    return p != NULL && p->is_special;
}

const char *tokenizer_text(const struct tokenizer *t, int32_t id, size_t *len_out)
{
    const struct piece *const p = vocab_piece(&t->vocab, id);
    *len_out = p == NULL ? 0 : p->text_len;
    return p == NULL ? "" : t->vocab.pool.data + p->text_off;
}

const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len_out)
{
    const struct piece *const p = vocab_piece(&t->vocab, id);
    *len_out = p == NULL ? 0 : p->n_bytes;
    return p == NULL ? "" : t->vocab.pool.data + p->bytes_off;
}

void encode_push(struct encode_scratch *s, const struct text *t, struct ids *out,
                 int32_t id, size_t off, size_t len)
{
    ids_push(out, id);
    if (!s->has_places)
        return;
    if (out->n > s->n_places_cap) {
        const int64_t cap = 2 * out->n + 64;
        s->places = mem_realloc(s->places, (size_t)s->n_places_cap * sizeof(*s->places),
                                (size_t)cap * sizeof(*s->places));
        s->n_places_cap = cap;
    }
    s->places[out->n - 1] = text_place(t, off, len);
}

/* s->text holds what lies between added tokens. */
static int encode_plain(const struct tokenizer *t, struct encode_scratch *s,
                        struct ids *out)
{
    TRY(pretokenizer_run(&t->pre, s));
    for (int64_t i = 0; i < s->spans.n; i++) {
        const struct span piece = s->spans.data[i];
        TRY(t->is_unigram ? unigram_encode(t, s, piece.off, piece.len, out)
                          : bpe_encode(t, s, piece.off, piece.len, out));
    }
    return STATUS_OK;
}

static int encode_part(const struct tokenizer *t, struct encode_scratch *s, size_t off,
                       size_t len, struct ids *out)
{
    text_reset(&s->text, &s->raw_gap);
    s->text.origin += (uint32_t)off;
    text_copy(&s->text, &s->raw_gap, off, len);
    return encode_plain(t, s, out);
}

/* text[off .. off + len): a gap between raw added tokens */
static int encode_gap(const struct tokenizer *t, struct encode_scratch *s,
                      const char *text, size_t off, size_t len, struct ids *out)
{
    const bool is_tracked = s->has_places || t->is_tracked;
    struct added_match m;
    size_t gap = 0, from = 0;
    if (t->normal.n_steps == 0 && t->normalized.n == 0) {
        text_set(&s->text, text, off, len, is_tracked);
        return encode_plain(t, s, out);
    }
    struct text *const g = &s->raw_gap;
    text_set(g, text, off, len, is_tracked);
    TRY(normalizer_run(&t->normal, g, &s->other, &s->search));
    while (added_set_next(&t->normalized, g->bytes.data, g->bytes.len, from, gap, &m)) {
        if (gap < m.start)
            TRY(encode_part(t, s, gap, m.start - gap, out));
        if (m.start < m.end)
            encode_push(s, g, out, m.id, m.start, m.end - m.start);
        gap = m.end;
        from = m.resume;
    }
    return gap < g->bytes.len ? encode_part(t, s, gap, g->bytes.len - gap, out)
                              : STATUS_OK;
}

static int encode_text(const struct tokenizer *t, struct encode_scratch *s,
                       const char *text, size_t len, struct ids *out)
{
    struct added_match m;
    size_t gap = 0, from = 0;
    while (added_set_next(&t->raw, text, len, from, gap, &m)) {
        if (gap < m.start)
            TRY(encode_gap(t, s, text, gap, m.start - gap, out));
        if (m.start < m.end)
            encode_push(s, &s->text, out, m.id, 0, 0);
        if (m.start < m.end && s->has_places)
            s->places[out->n - 1] = (struct place){(uint32_t)m.start, (uint32_t)m.end};
        gap = m.end;
        from = m.resume;
    }
    return gap < len ? encode_gap(t, s, text, gap, len - gap, out) : STATUS_OK;
}

static int encode(const struct tokenizer *t, struct encode_scratch *s, const char *text,
                  size_t len, bool add_special, struct ids *out)
{
    const int64_t before = out->n;
    if (len >= INT32_MAX)
        return ERR(ERR_INPUT, "a text of %zu bytes to tokenise, the limit is %d", len,
                   INT32_MAX - 1);
    if (!utf8_is_valid(text, len))
        return ERR(ERR_INPUT, "a text of %zu bytes to tokenise is not UTF-8", len);
    const int status = encode_text(t, s, text, len, out);
    if (status != STATUS_OK) {
        out->n = before;
        return status;
    }
    if (s->has_places)
        post_trim(t, s, text, out, before);
    post_run(&t->post, add_special, out, before, s);
    return STATUS_OK;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                     bool add_special, struct ids *out)
{
    struct encode_scratch *const s = take_scratch(t);
    s->has_places = false;
    const int status = encode(t, s, text, len, add_special, out);
    give_scratch(t, s);
    return status;
}

int tokenizer_encode_spans(const struct tokenizer *t, const char *text, size_t len,
                           bool add_special, struct ids *out,
                           struct token_span **spans_out)
{
    struct encode_scratch *const s = take_scratch(t);
    const int64_t before = out->n;
    s->has_places = true;
    const int status = encode(t, s, text, len, add_special, out);
    if (status == STATUS_OK) {
        const int64_t n = out->n - before;
        struct token_span *const spans = mem_alloc((size_t)n * sizeof(*spans));
        for (int64_t i = 0; i < n; i++)
            spans[i] = (struct token_span){s->places[before + i].start,
                                           s->places[before + i].end};
        *spans_out = spans;
    }
    give_scratch(t, s);
    return status;
}
