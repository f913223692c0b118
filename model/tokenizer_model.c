/*
 * The "model" object of tokenizer.json: BPE or Unigram. Vocabulary and merges come from
 * the large lists (tokenizer_scan.c), the options from the parsed rest. Options that
 * would change the result and are not computed are refused by name.
 */
#include <math.h>
#include <string.h>

#include "model/tokenizer_json.h"

/* entries of a list that are believed before they are read */
enum { MAX_RESERVED = 1 << 19 };

struct reader {
    struct tokenizer *t;
    const struct model_text *large;
    const char *where;
    struct buf room[2]; /* strings with escapes */
    struct buf texts;   /* of the merges that wait to be looked up together */
    struct span spans[VOCAB_BATCH];
    int n_pending; /* a left side, a right side and the whole for each */
    int32_t rank;
};

int64_t tokenizer_id_limit(int64_t n)
{
    const int64_t limit = 2 * n + 1024;
    return limit < MAX_TOKENS ? limit : MAX_TOKENS;
}

static int refuse(const struct reader *r, const char *what, const char *name)
{
    return ERR(ERR_INPUT, "%s: %s \"%s\" is not supported", r->where, what, name);
}

static int add_model_text(struct reader *r, const char *text, size_t len, int32_t id)
{
    const int status = vocab_add(&r->t->vocab, text, len, id);
    return status == STATUS_OK ? status
                               : status_prefix(status, "%s: model.vocab", r->where);
}

/* {"text": id, ...} */
static int read_vocab(struct reader *r, int64_t *n_model)
{
    const int64_t limit = tokenizer_id_limit(r->large->vocab.n_strings);
    struct json_reader j;
    bool more = true;
    json_reader_init(&j, r->large, &r->large->vocab, "model.vocab");
    vocab_reserve(&r->t->vocab, r->large->vocab.n_strings < MAX_RESERVED
                                    ? r->large->vocab.n_strings
                                    : MAX_RESERVED);
    *n_model = 0;
    if (!json_reader_take(&j, '{'))
        return json_reader_error(&j, "an object of tokens and ids");
    if (json_reader_at(&j, '}'))
        return json_reader_error(&j, "at least one token");
    while (more) {
        const char *text = "";
        size_t len = 0;
        int32_t id = 0;
        TRY(json_reader_string(&j, &r->room[0], &text, &len));
        if (!json_reader_take(&j, ':'))
            return json_reader_error(&j, "':'");
        TRY(json_reader_id(&j, limit, &id));
        TRY(add_model_text(r, text, len, id));
        TRY(json_reader_more(&j, '}', &more));
        ++*n_model;
    }
    return json_reader_finish(&j);
}

/* A merge's sides, "a b" or ["a", "b"]; NULL: a line of the old format that is none. */
static int read_sides(struct reader *r, struct json_reader *j, bool is_legacy,
                      const char *text[2], size_t len[2])
{
    if (!is_legacy) {
        if (!json_reader_take(j, '['))
            return json_reader_error(j, "a merge [\"a\", \"b\"]");
        TRY(json_reader_string(j, &r->room[0], &text[0], &len[0]));
        if (!json_reader_take(j, ','))
            return json_reader_error(j, "',' and the merge's second token");
        TRY(json_reader_string(j, &r->room[1], &text[1], &len[1]));
        return json_reader_take(j, ']') ? STATUS_OK
                                        : json_reader_error(j, "the merge's ']'");
    }
    TRY(json_reader_string(j, &r->room[0], &text[0], &len[0]));
    if (len[0] >= 8 && memcmp(text[0], "#version", 8) == 0) {
        text[0] = NULL;
        return STATUS_OK;
    }
    const char *const space = memchr(text[0], ' ', len[0]);
    const size_t n = len[0];
    if (space == NULL ||
        memchr(space + 1, ' ', n - (size_t)(space + 1 - text[0])) != NULL)
        return json_reader_error(j, "a merge of two tokens with one blank between");
    len[0] = (size_t)(space - text[0]);
    text[1] = space + 1;
    len[1] = n - len[0] - 1;
    return STATUS_OK;
}

/* Takes a merge's three texts into the batch. */
static int take_merge(struct reader *r, const char *const text[2], const size_t len[2])
{
    const size_t prefix_len = r->t->bpe.prefix_len;
    struct span *const spans = r->spans + 3 * r->n_pending;
    const size_t off = r->texts.len;
    if (len[1] < prefix_len)
        return ERR(ERR_INPUT,
                   "%s: model.merges[%d]: \"%.*s\" is shorter than "
                   "continuing_subword_prefix",
                   r->where, r->rank + r->n_pending, (int)(len[1] < 80 ? len[1] : 80),
                   text[1]);
    buf_append(&r->texts, text[0], len[0]);
    buf_append(&r->texts, text[1] + prefix_len, len[1] - prefix_len);
    spans[0] = (struct span){off, len[0]};
    spans[1] = (struct span){off + len[0], len[1] - prefix_len};
    spans[2] = (struct span){off, r->texts.len - off};
    if (prefix_len > 0) { /* the right side is not a part of the whole then */
        spans[1] = (struct span){r->texts.len, len[1]};
        buf_append(&r->texts, text[1], len[1]);
    }
    r->n_pending++;
    return STATUS_OK;
}

static int flush_merges(struct reader *r)
{
    struct merges *const m = &r->t->bpe.merges;
    int32_t ids[VOCAB_BATCH];
    vocab_find_many(&r->t->vocab, r->spans, r->texts.data, 3 * r->n_pending, ids);
    for (int i = 0; i < 3 * r->n_pending; i++)
        if (ids[i] == TOKEN_NONE) {
            const struct span s = r->spans[i];
            return ERR(ERR_INPUT,
                       "%s: model.merges[%d]: \"%.*s\" is not in the vocabulary",
                       r->where, r->rank + i / 3, (int)(s.len < 80 ? s.len : 80),
                       r->texts.data + s.off);
        }
    for (int i = 0; i < r->n_pending; i++)
        merges_prefetch(m, ids[3 * i], ids[3 * i + 1]);
    for (int i = 0; i < r->n_pending; i++)
        merges_put(m, ids[3 * i], ids[3 * i + 1], r->rank++, ids[3 * i + 2]);
    r->n_pending = 0;
    buf_reset(&r->texts);
    return STATUS_OK;
}

static int read_merges(struct reader *r)
{
    struct json_reader j;
    bool more = true;
    json_reader_init(&j, r->large, &r->large->merges, "model.merges");
    if (!json_reader_take(&j, '['))
        return json_reader_error(&j, "a list of merges");
    const bool is_legacy = json_reader_at(&j, '"');
    const int64_t n = r->large->merges.n_strings / (is_legacy ? 1 : 2);
    if (n > INT32_MAX / 4)
        return ERR(ERR_INPUT, "%s: model.merges has %lld entries, the limit is %d",
                   r->where, (long long)n, INT32_MAX / 4);
    merges_init(&r->t->bpe.merges, n < MAX_RESERVED ? n : MAX_RESERVED);
    if (json_reader_take(&j, ']'))
        return json_reader_finish(&j);
    while (more) {
        const char *text[2] = {"", ""};
        size_t len[2] = {0, 0};
        TRY(read_sides(r, &j, is_legacy, text, len));
        if (text[0] != NULL)
            TRY(take_merge(r, text, len));
        TRY(json_reader_more(&j, ']', &more));
        if (3 * (r->n_pending + 1) > VOCAB_BATCH || !more)
            TRY(flush_merges(r));
    }
    return json_reader_finish(&j);
}

/* An optional string of the model; "" is as good as none. */
static int read_affix(const json_t *model, const char *key, char **out, size_t *len,
                      const char *where)
{
    const char *text = NULL;
    size_t n = 0;
    TRY(json_get_string(model, key, &text, &n, where));
    if (text != NULL) {
        *out = mem_strndup(text, n);
        *len = n;
    }
    return STATUS_OK;
}

static int read_bpe_options(struct reader *r, const json_t *model)
{
    struct bpe *const b = &r->t->bpe;
    const char *const where = r->where;
    double dropout = 0.0;
    size_t unk_len = 0;
    TRY(read_affix(model, "continuing_subword_prefix", &b->prefix, &b->prefix_len,
                   where));
    TRY(read_affix(model, "end_of_word_suffix", &b->suffix, &b->suffix_len, where));
    TRY(read_affix(model, "unk_token", &b->unk_token, &unk_len, where));
    TRY(json_get_bool(model, "fuse_unk", &b->has_fuse_unk, NULL, where));
    TRY(json_get_bool(model, "byte_fallback", &b->has_byte_fallback, NULL, where));
    TRY(json_get_bool(model, "ignore_merges", &b->has_ignore_merges, NULL, where));
    TRY(json_get_real(model, "dropout", &dropout, NULL, where));
    if (dropout != 0.0)
        return ERR(ERR_INPUT, "%s: model.dropout=%g is not supported, only null", where,
                   dropout);
    return STATUS_OK;
}

/* <0xHH> for each byte */
static void find_bytes(const struct vocab *v, int32_t byte_ids[256])
{
    for (int byte = 0; byte < 256; byte++) {
        char text[8];
        snprintf(text, sizeof(text), "<0x%02X>", (unsigned)byte);
        byte_ids[byte] = vocab_find_model(v, text, strlen(text));
    }
}

static int read_bpe(struct reader *r, const json_t *model, int64_t *n_model)
{
    struct bpe *const b = &r->t->bpe;
    if (r->large->vocab.text == NULL)
        return ERR(ERR_INPUT, "%s: model.vocab is %s, expected an object", r->where,
                   json_type_name(json_object_get(model, "vocab")));
    if (r->large->merges.text == NULL)
        return ERR(ERR_INPUT, "%s: model.merges is %s, expected a list", r->where,
                   json_type_name(json_object_get(model, "merges")));
    TRY(read_bpe_options(r, model));
    TRY(read_vocab(r, n_model));
    TRY(read_merges(r));
    b->unk_id = b->unk_token == NULL
                    ? TOKEN_NONE
                    : vocab_find(&r->t->vocab, b->unk_token, strlen(b->unk_token));
    find_bytes(&r->t->vocab, b->byte_ids);
    return STATUS_OK;
}

/* [["piece", score], ...] */
static int read_pieces(struct reader *r)
{
    struct unigram *const u = &r->t->unigram;
    struct vocab *const v = &r->t->vocab;
    const int64_t max = r->large->vocab.n_strings;
    struct json_reader j;
    bool more = true;
    json_reader_init(&j, r->large, &r->large->vocab, "model.vocab");
    if (max > MAX_TOKENS)
        return ERR(ERR_INPUT, "%s: model.vocab has %lld entries, the limit is %d",
                   r->where, (long long)max, MAX_TOKENS);
    vocab_reserve(v, max < MAX_RESERVED ? max : MAX_RESERVED);
    u->scores = mem_alloc((size_t)max * sizeof(*u->scores));
    u->min_score = INFINITY;
    if (!json_reader_take(&j, '['))
        return json_reader_error(&j, "a list of pieces and scores");
    for (more = !json_reader_take(&j, ']'); more; u->n++) {
        const char *text = "";
        size_t len = 0;
        double score = 0.0;
        if (!json_reader_take(&j, '['))
            return json_reader_error(&j, "a piece [\"text\", score]");
        TRY(json_reader_string(&j, &r->room[0], &text, &len));
        if (!json_reader_take(&j, ','))
            return json_reader_error(&j, "',' and the piece's score");
        TRY(json_reader_score(&j, &score));
        if (!json_reader_take(&j, ']'))
            return json_reader_error(&j, "the piece's ']'");
        struct vocab_text *const e = vocab_text(v, text, len);
        e->id = (int32_t)u->n; /* of equal pieces the last counts */
        e->is_model = true;
        vocab_set_piece(v, (int32_t)u->n, text, len, true);
        u->scores[u->n] = score;
        u->min_score = score < u->min_score ? score : u->min_score;
        TRY(json_reader_more(&j, ']', &more));
    }
    return json_reader_finish(&j);
}

static void build_trie(struct tokenizer *t)
{
    struct unigram *const u = &t->unigram;
    struct trie_key *const keys = mem_alloc((size_t)u->n * sizeof(*keys));
    int64_t n = 0;
    for (int64_t id = 0; id < u->n; id++) {
        const struct piece *const p = &t->vocab.pieces[id];
        if (p->text_len > 0) /* nothing matches an empty piece */
            keys[n++] = (struct trie_key){t->vocab.pool.data + p->text_off, p->text_len,
                                          (int32_t)id};
    }
    trie_init(&u->trie, keys, n);
    mem_free(keys);
}

static int read_unigram(struct reader *r, const json_t *model, int64_t *n_model)
{
    struct unigram *const u = &r->t->unigram;
    int64_t unk = TOKEN_NONE;
    r->t->is_unigram = true;
    if (r->large->vocab.text == NULL)
        return ERR(ERR_INPUT, "%s: model.vocab is %s, expected a list", r->where,
                   json_type_name(json_object_get(model, "vocab")));
    TRY(read_pieces(r));
    if (u->n == 0)
        return ERR(ERR_INPUT, "%s: model.vocab is empty", r->where);
    TRY(json_get_bool(model, "byte_fallback", &u->has_byte_fallback, NULL, r->where));
    TRY(json_get_int(model, "unk_id", 0, u->n - 1, &unk, NULL, r->where));
    u->unk_id = (int32_t)unk;
    find_bytes(&r->t->vocab, u->byte_ids);
    build_trie(r->t);
    *n_model = u->n;
    return STATUS_OK;
}

int tokenizer_read_model(struct tokenizer *t, const json_t *model,
                         const struct model_text *large, int64_t *n_model,
                         const char *where)
{
    struct reader r = {.t = t, .large = large, .where = where};
    const bool is_list = large->vocab.text != NULL && large->vocab.text[0] == '[';
    const char *type = is_list ? "Unigram" : "BPE"; /* old files have no type */
    int status = STATUS_OK;
    if (!json_is_object(model))
        return ERR(ERR_INPUT, "%s: \"model\" is of type %s, expected an object", where,
                   json_type_name(model));
    TRY(json_get_string(model, "type", &type, NULL, where));
    if (strcmp(type, "BPE") == 0)
        status = read_bpe(&r, model, n_model);
    else if (strcmp(type, "Unigram") == 0)
        status = read_unigram(&r, model, n_model);
    else
        status = refuse(&r, "model", type);
    buf_release(&r.room[0]);
    buf_release(&r.room[1]);
    buf_release(&r.texts);
    return status;
}
