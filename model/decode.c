/*
 * Decoding as a chain of stages through which the tokens' texts flow. Each stage passes
 * on what is certain and holds what later tokens may still change: half a character,
 * the start of a pattern, a run of byte tokens, blanks that Strip may cut. So decoding
 * token by token and decoding a list are one thing. Between stages go fragments of
 * whole characters and the ends of tokens.
 */
#include <string.h>

#include "core/log.h"
#include "model/tokenizer_private.h"

struct stage {
    struct buf token;  /* of the current token, what is held */
    struct buf before; /* of tokens that ended: bytes, or the last token */
    int64_t n_tokens;  /* that ended */
    int64_t n_cut;     /* Strip: at the token's start */
    bool is_started;   /* the token's start is behind */
    bool has_before;   /* BPEDecoder */
};
struct chain {
    struct stage stages[MAX_STEPS];
};
struct tokenizer_stream {
    const struct tokenizer *t;
    bool is_skipping;
    struct chain now, probe;
    struct search search;
};
struct flow {
    const struct decoder *d;
    struct chain *c;
    struct search *search;
    struct buf *out;
};

static const char replacement[] = "\xEF\xBF\xBD";

static void put(struct flow *f, int64_t k, const char *s, size_t n);
static void end_token(struct flow *f, int64_t k);
static void finish(struct flow *f, int64_t k);

/* Passes on what is a character; the rest waits, or is_end and becomes U+FFFD. */
static void put_lossy(struct flow *f, int64_t k, bool is_end)
{
    struct stage *const g = &f->c->stages[k];
    buf_reset(&g->token);
    const size_t n = utf8_append_lossy(&g->token, g->before.data, g->before.len,
                                       is_end);
    g->before.len -= n;
    memmove(g->before.data, g->before.data + n, g->before.len);
    put(f, k + 1, g->token.data, g->token.len);
    buf_reset(&g->token);
}

/* ByteLevel: a token is bytes if all its characters are of the alphabet. */
static void end_byte_level(struct flow *f, int64_t k)
{
    struct stage *const g = &f->c->stages[k];
    const size_t old = g->before.len;
    for (size_t i = 0; i < g->token.len;) {
        const char *const s = g->token.data + i;
        const int byte = byte_from_char(utf8_get(s));
        const char c = (char)byte;
        if (byte < 0) {
            g->before.len = old;
            buf_append(&g->before, g->token.data, g->token.len);
            break;
        }
        buf_append(&g->before, &c, 1);
        i += utf8_width((unsigned char)*s);
    }
    if (g->before.len > 0)
        put_lossy(f, k, false);
    buf_reset(&g->token);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of "<0xHH>"; -1: another token. Rust's parser takes a sign, too. */
static int byte_of_token(const struct buf *t)
{
    if (t->len != 6 || memcmp(t->data, "<0x", 3) != 0 || t->data[5] != '>')
        return -1;
    const int high = t->data[3] == '+' ? 0 : hex_digit(t->data[3]);
    const int low = hex_digit(t->data[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

/* A run of byte tokens that is no UTF-8 gives one U+FFFD per token. */
static void flush_bytes(struct flow *f, int64_t k)
{
    struct buf *const run = &f->c->stages[k].before;
    if (run->len == 0)
        return;
    if (utf8_is_valid(run->data, run->len)) {
        put(f, k + 1, run->data, run->len);
        end_token(f, k + 1);
    } else {
        for (size_t i = 0; i < run->len; i++) {
            put(f, k + 1, replacement, strlen(replacement));
            end_token(f, k + 1);
        }
    }
    buf_reset(run);
}

static void end_byte_fallback(struct flow *f, int64_t k)
{
    struct stage *const g = &f->c->stages[k];
    const int byte = byte_of_token(&g->token);
    const char c = (char)byte;
    if (byte >= 0) {
        buf_append(&g->before, &c, 1);
    } else {
        flush_bytes(f, k);
        put(f, k + 1, g->token.data, g->token.len);
        end_token(f, k + 1);
    }
    buf_reset(&g->token);
}

/* Bytes at the end of s that may begin the pattern. */
static size_t begun(const struct pattern *p, const char *s, size_t len)
{
    size_t n = len < p->len - 1 ? len : p->len - 1;
    while (n > 0 && memcmp(s + len - n, p->literal, n) != 0)
        n--;
    return n;
}

static void replace_literal(struct flow *f, int64_t k, const char *s, size_t n)
{
    const struct decode_step *const step = &f->d->steps[k];
    const struct pattern *const p = &step->pattern;
    struct buf *const held = &f->c->stages[k].token;
    size_t done = 0;
    buf_append(held, s, n);
    for (;;) {
        const char *const hit = memmem(held->data + done, held->len - done, p->literal,
                                       p->len);
        if (hit == NULL)
            break;
        put(f, k + 1, held->data + done, (size_t)(hit - held->data) - done);
        put(f, k + 1, step->content, step->content_len);
        done = (size_t)(hit - held->data) + p->len;
    }
    const size_t left = held->len - done, kept = begun(p, held->data + done, left);
    put(f, k + 1, held->data + done, left - kept);
    memmove(held->data, held->data + held->len - kept, kept);
    held->len = kept;
}

static void replace_start(struct flow *f, int64_t k, const char *s, size_t n)
{
    const struct decode_step *const step = &f->d->steps[k];
    const struct pattern *const p = &step->pattern;
    struct stage *const g = &f->c->stages[k];
    if (g->is_started) {
        put(f, k + 1, s, n);
        return;
    }
    buf_append(&g->token, s, n);
    const size_t common = g->token.len < p->len ? g->token.len : p->len;
    const bool is_equal = memcmp(g->token.data, p->literal, common) == 0;
    if (is_equal && common < p->len)
        return;
    g->is_started = true;
    if (is_equal)
        put(f, k + 1, step->content, step->content_len);
    put(f, k + 1, g->token.data + (is_equal ? p->len : 0),
        g->token.len - (is_equal ? p->len : 0));
    buf_reset(&g->token);
}

static void end_replace(struct flow *f, int64_t k)
{
    const struct decode_step *const step = &f->d->steps[k];
    struct stage *const g = &f->c->stages[k];
    struct search *const search = f->search;
    if (step->pattern.kind != PATTERN_REGEX || g->token.len == 0) {
        put(f, k + 1, g->token.data, g->token.len);
    } else if (pattern_parts(&step->pattern, search, g->token.data, g->token.len) !=
               STATUS_OK) {
        log_warn("decoder Replace: %s; the text stays as it is", status_message());
        put(f, k + 1, g->token.data, g->token.len);
    } else {
        /* a later stage may search, too: the parts are taken before they go on */
        struct buf text = {0};
        for (int64_t i = 0; i < search->parts.n; i++) {
            const struct span part = search->parts.data[i];
            if (search->is_match[i])
                buf_append(&text, step->content, step->content_len);
            else
                buf_append(&text, g->token.data + part.off, part.len);
        }
        put(f, k + 1, text.data, text.len);
        buf_release(&text);
    }
    buf_reset(&g->token);
    g->is_started = false;
    end_token(f, k + 1);
}

static void put_replace(struct flow *f, int64_t k, const char *s, size_t n)
{
    switch (f->d->steps[k].pattern.kind) {
    case PATTERN_LITERAL:
        replace_literal(f, k, s, n);
        return;
    case PATTERN_START:
        replace_start(f, k, s, n);
        return;
    case PATTERN_NONE:
    case PATTERN_REGEX:
        buf_append(&f->c->stages[k].token, s, n);
        return;
    }
}

/* Up to `start` of the character go at a token's start, up to `stop` at its end, which
 * is known only later: that many are held. */
static void put_strip(struct flow *f, int64_t k, const char *s, size_t n)
{
    const struct decode_step *const step = &f->d->steps[k];
    struct stage *const g = &f->c->stages[k];
    for (size_t i = 0; i < n;) {
        const size_t width = utf8_width((unsigned char)s[i]);
        const bool is_it = utf8_get(s + i) == step->character;
        g->is_started = g->is_started || !is_it || g->n_cut == step->start;
        if (g->is_started && step->stop == 0) {
            put(f, k + 1, s + i, n - i);
            return;
        }
        if (!g->is_started) {
            g->n_cut++;
        } else if (!is_it) {
            put(f, k + 1, g->token.data, g->token.len);
            buf_reset(&g->token);
            put(f, k + 1, s + i, width);
        } else if ((int64_t)(g->token.len / width) < step->stop) {
            buf_append(&g->token, s + i, width);
        } else {
            put(f, k + 1, s + i, width);
        }
        i += width;
    }
}

static void put_metaspace(struct flow *f, int64_t k, const char *s, size_t n)
{
    const struct decode_step *const step = &f->d->steps[k];
    const bool is_dropped = f->c->stages[k].n_tokens == 0 && step->has_prefix;
    size_t done = 0;
    for (size_t i = 0; i < n;) {
        const size_t width = utf8_width((unsigned char)s[i]);
        if (utf8_get(s + i) == step->character) {
            put(f, k + 1, s + done, i - done);
            put(f, k + 1, " ", is_dropped ? 0 : 1);
            done = i + width;
        }
        i += width;
    }
    put(f, k + 1, s + done, n - done);
}

/* BPEDecoder: the suffix becomes a blank, in the last token nothing. */
static void put_before_last(struct flow *f, int64_t k, const char *content)
{
    struct stage *const g = &f->c->stages[k];
    const struct pattern *const p = &f->d->steps[k].pattern;
    const char *s = g->before.data;
    size_t left = g->before.len;
    if (!g->has_before)
        return;
    while (left > 0) {
        const char *const hit = memmem(s, left, p->literal, p->len);
        const size_t n = hit == NULL ? left : (size_t)(hit - s);
        put(f, k + 1, s, n);
        if (hit == NULL)
            break;
        put(f, k + 1, content, strlen(content));
        s += n + p->len;
        left -= n + p->len;
    }
    end_token(f, k + 1);
}

static void end_suffix(struct flow *f, int64_t k)
{
    struct stage *const g = &f->c->stages[k];
    put_before_last(f, k, " ");
    buf_reset(&g->before);
    buf_append(&g->before, g->token.data, g->token.len);
    buf_reset(&g->token);
    g->has_before = true;
}

static void join(struct flow *f, int64_t k)
{
    struct stage *const g = &f->c->stages[k];
    if (!g->is_started && g->n_tokens > 0)
        put(f, k + 1, " ", 1);
    g->is_started = true;
}

static void put(struct flow *f, int64_t k, const char *s, size_t n)
{
    if (n == 0)
        return;
    if (k == f->d->n_steps) {
        buf_append(f->out, s, n);
        return;
    }
    switch (f->d->steps[k].kind) {
    case DECODE_BYTE_LEVEL:
    case DECODE_BYTE_FALLBACK:
    case DECODE_SUFFIX:
        buf_append(&f->c->stages[k].token, s, n);
        return;
    case DECODE_REPLACE:
        put_replace(f, k, s, n);
        return;
    case DECODE_FUSE:
        put(f, k + 1, s, n);
        return;
    case DECODE_STRIP:
        put_strip(f, k, s, n);
        return;
    case DECODE_METASPACE:
        put_metaspace(f, k, s, n);
        return;
    case DECODE_JOIN:
        join(f, k);
        put(f, k + 1, s, n);
        return;
    }
}

static void end_token(struct flow *f, int64_t k)
{
    if (k == f->d->n_steps)
        return;
    struct stage *const g = &f->c->stages[k];
    switch (f->d->steps[k].kind) {
    case DECODE_BYTE_LEVEL:
        end_byte_level(f, k);
        return;
    case DECODE_BYTE_FALLBACK:
        end_byte_fallback(f, k);
        return;
    case DECODE_SUFFIX:
        end_suffix(f, k);
        return;
    case DECODE_REPLACE:
        end_replace(f, k);
        return;
    case DECODE_FUSE:
        return;
    case DECODE_STRIP:
        buf_reset(&g->token);
        g->n_cut = 0;
        g->is_started = false;
        end_token(f, k + 1);
        return;
    case DECODE_JOIN:
        join(f, k);
        g->is_started = false;
        g->n_tokens++;
        return;
    case DECODE_METASPACE:
        g->n_tokens++;
        end_token(f, k + 1);
        return;
    }
}

/* No more tokens. ByteLevel and Fuse make one of all. */
static void finish(struct flow *f, int64_t k)
{
    if (k == f->d->n_steps)
        return;
    switch (f->d->steps[k].kind) {
    case DECODE_BYTE_LEVEL:
        if (f->c->stages[k].before.len > 0)
            put_lossy(f, k, true);
        end_token(f, k + 1);
        break;
    case DECODE_FUSE:
        end_token(f, k + 1);
        break;
    case DECODE_BYTE_FALLBACK:
        flush_bytes(f, k);
        break;
    case DECODE_SUFFIX:
        put_before_last(f, k, "");
        break;
    case DECODE_REPLACE:
    case DECODE_STRIP:
    case DECODE_METASPACE:
    case DECODE_JOIN:
        break;
    }
    finish(f, k + 1);
}

static void push(struct flow *f, const struct tokenizer *t, const struct piece *p)
{
    const char *const pool = t->vocab.pool.data;
    if (f->d->n_steps > 0 && f->d->steps[0].kind == DECODE_BYTE_LEVEL) {
        struct stage *const g = &f->c->stages[0]; /* mapped back at load */
        buf_append(&g->before, pool + p->bytes_off, p->n_bytes);
        if (g->before.len > 0)
            put_lossy(f, 0, false);
        return;
    }
    put(f, 0, pool + p->text_off, p->text_len);
    end_token(f, 0);
}

static struct flow flow_of(struct tokenizer_stream *s, struct chain *c, struct buf *out)
{
    return (struct flow){.d = &s->t->decoder, .c = c, .search = &s->search, .out = out};
}

static void chain_reset(struct chain *c, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        struct stage *const g = &c->stages[k];
        buf_reset(&g->token);
        buf_reset(&g->before);
        g->n_tokens = g->n_cut = 0;
        g->is_started = g->has_before = false;
    }
}

static void chain_release(struct chain *c)
{
    for (int64_t k = 0; k < MAX_STEPS; k++) {
        buf_release(&c->stages[k].token);
        buf_release(&c->stages[k].before);
    }
}

void tokenizer_stream_create(struct tokenizer_stream **out, const struct tokenizer *t,
                             bool skip_special, int64_t n_tokens)
{
    static const char zeros[64] = "";
    struct tokenizer_stream *const s = mem_alloc(sizeof(*s));
    s->t = t;
    s->is_skipping = skip_special;
    s->search.has_no_shadow = t->has_no_shadow;
    for (int64_t k = 0; k < t->decoder.n_steps; k++)
        for (int64_t i = 0; i < n_tokens + 256; i += (int64_t)sizeof(zeros)) {
            buf_append(&s->now.stages[k].token, zeros, sizeof(zeros));
            buf_append(&s->now.stages[k].before, zeros, sizeof(zeros));
            buf_append(&s->probe.stages[k].token, zeros, sizeof(zeros));
            buf_append(&s->probe.stages[k].before, zeros, sizeof(zeros));
        }
    tokenizer_stream_reset(s);
    *out = s;
}

void tokenizer_stream_free(struct tokenizer_stream *s)
{
    if (s == NULL)
        return;
    chain_release(&s->now);
    chain_release(&s->probe);
    search_release(&s->search);
    mem_free(s);
}

void tokenizer_stream_reset(struct tokenizer_stream *s)
{
    chain_reset(&s->now, s->t->decoder.n_steps);
}

void tokenizer_stream_push(struct tokenizer_stream *s, int32_t id, struct buf *out)
{
    const struct piece *const p = vocab_piece(&s->t->vocab, id);
    struct flow f = flow_of(s, &s->now, out);
    if (p != NULL && !(s->is_skipping && p->is_special))
        push(&f, s->t, p);
}

void tokenizer_stream_finish(struct tokenizer_stream *s, struct buf *out)
{
    struct flow f = flow_of(s, &s->now, out);
    finish(&f, 0);
    tokenizer_stream_reset(s);
}

void tokenizer_stream_peek(struct tokenizer_stream *s, struct buf *out)
{
    bool is_holding = false;
    chain_reset(&s->probe, s->t->decoder.n_steps);
    for (int64_t k = 0; k < s->t->decoder.n_steps; k++) {
        const struct stage *const from = &s->now.stages[k];
        struct stage *const to = &s->probe.stages[k];
        if (from->token.len > 0)
            buf_append(&to->token, from->token.data, from->token.len);
        if (from->before.len > 0)
            buf_append(&to->before, from->before.data, from->before.len);
        to->n_tokens = from->n_tokens;
        to->n_cut = from->n_cut;
        to->is_started = from->is_started;
        to->has_before = from->has_before;
        is_holding = is_holding || from->token.len + from->before.len > 0;
    }
    struct flow f = flow_of(s, &s->probe, out);
    if (is_holding)
        finish(&f, 0);
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, int64_t n,
                      bool skip_special, struct buf *out)
{
    struct tokenizer_stream s = {.t = t, .is_skipping = skip_special};
    s.search.has_no_shadow = t->has_no_shadow;
    for (int64_t i = 0; i < n; i++)
        tokenizer_stream_push(&s, ids[i], out);
    tokenizer_stream_finish(&s, out);
    chain_release(&s.now);
    search_release(&s.search);
    buf_append(out, "", 0);
}
