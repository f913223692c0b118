/*
 * Splitting text into pieces that the model never crosses: a chain of steps, each
 * seeing each piece of the one before by itself (so look-ahead ends with the piece).
 * Some steps rewrite the text, then all pieces move to a new one.
 */
#include <string.h>

#include "model/tokenizer_private.h"
#include "model/unicode_tables.h"

void pretokenizer_release(struct pretokenizer *p)
{
    for (int64_t i = 0; i < p->n_steps; i++)
        pattern_release(&p->steps[i].pattern);
    p->n_steps = 0;
}

/* A piece goes on from part `first` up to part `end`; empty ones vanish. */
static void push_joined(struct encode_scratch *s, int64_t first, int64_t end,
                        size_t base)
{
    const struct span *const parts = s->search.parts.data;
    const size_t off = parts[first].off;
    const size_t len = parts[end - 1].off + parts[end - 1].len - off;
    if (len > 0)
        spans_push(&s->next, base + off, len);
}

/* Whether part i opens a new piece rather than joining the part before it. A
 * delimiter joins its neighbour only when the part on its other side is none itself:
 * in a run of delimiters the first (merging backward) or the last (forward) joins. */
static bool opens_piece(const struct encode_scratch *s, const struct split_step *step,
                        int64_t i)
{
    const bool *const m = s->search.is_match;
    const bool flip = step->is_inverted;
    const bool is_match = m[i] != flip, was_match = i > 0 && m[i - 1] != flip;
    switch (step->behavior) {
    case SPLIT_REMOVED:
    case SPLIT_ISOLATED:
        return true;
    case SPLIT_CONTIGUOUS:
        return is_match != was_match;
    case SPLIT_MERGED_WITH_PREVIOUS:
        return !is_match || was_match;
    case SPLIT_MERGED_WITH_NEXT:
        return !was_match || is_match;
    }
    return true;
}

static void join_parts(struct encode_scratch *s, const struct split_step *step,
                       size_t base)
{
    int64_t first = 0;
    for (int64_t i = 1; i <= s->search.parts.n; i++) {
        if (i < s->search.parts.n && !opens_piece(s, step, i))
            continue;
        const bool is_delimiter = s->search.is_match[first] != step->is_inverted;
        if (step->behavior != SPLIT_REMOVED || !is_delimiter)
            push_joined(s, first, i, base);
        first = i;
    }
}

static bool is_delimiter(const struct split_step *step, int32_t cp)
{
    switch (step->kind) {
    case STEP_NUMBERS:
        return unicode_is_number(cp);
    case STEP_SPACES:
        return unicode_is_space(cp);
    case STEP_PUNCTUATION:
        return unicode_is_punctuation(cp);
    case STEP_CHAR:
    case STEP_METASPACE:
        return cp == step->character;
    case STEP_PATTERN:
    case STEP_WORDS:
    case STEP_LENGTH:
    case STEP_PREFIX_SPACE:
    case STEP_MAP_BYTES:
        return false;
    }
    return false;
}

/* Each delimiter is a part of its own. */
static void char_parts(struct search *s, const struct split_step *step,
                       const char *text, size_t len)
{
    size_t done = 0;
    s->parts.n = 0;
    for (size_t i = 0; i < len;) {
        const size_t width = utf8_width((unsigned char)text[i]);
        if (is_delimiter(step, utf8_get(text + i))) {
            if (done < i)
                search_push(s, done, i, false);
            search_push(s, i, i + width, true);
            done = i + width;
        }
        i += width;
    }
    if (done < len)
        search_push(s, done, len, false);
}

/* Runs of word characters, and of what is neither those nor blank. */
static void push_words(struct encode_scratch *s, struct span piece)
{
    const char *const text = s->text.bytes.data + piece.off;
    size_t start = 0;
    int kind = 0; /* of text[start ..]: blank, word, other */
    for (size_t i = 0; i <= piece.len;) {
        const bool is_end = i == piece.len;
        const int32_t cp = is_end ? ' ' : utf8_get(text + i);
        const int next = unicode_is_space(cp) ? 0 : unicode_is_word(cp) ? 1 : 2;
        if (next != kind) {
            if (kind != 0)
                spans_push(&s->next, piece.off + start, i - start);
            start = i;
            kind = next;
        }
        i += is_end ? 1 : utf8_width((unsigned char)text[i]);
    }
}

static void push_chunks(struct encode_scratch *s, struct span piece, int64_t length)
{
    const char *const text = s->text.bytes.data + piece.off;
    size_t start = 0;
    int64_t n = 0;
    for (size_t i = 0; i < piece.len;) {
        i += utf8_width((unsigned char)text[i]);
        n++;
        if (n == length || i == piece.len) {
            spans_push(&s->next, piece.off + start, i - start);
            start = i;
            n = 0;
        }
    }
}

static void take_next(struct encode_scratch *s)
{
    const struct spans spans = s->spans;
    s->spans = s->next;
    s->next = spans;
}

/* What is put before a piece comes from where its first character does. */
static void put_before(struct encode_scratch *s, struct span piece, const char *c,
                       size_t n)
{
    const char *const first = s->text.bytes.data + piece.off;
    const size_t width = utf8_width((unsigned char)*first);
    text_put(&s->other, c, n, text_place(&s->text, piece.off, width));
}

static bool is_at_start(const struct text *t, struct span piece)
{
    if (t->is_tracked)
        return text_place(t, piece.off, piece.len).start == 0;
    return t->origin + piece.off == 0;
}

/* Metaspace before its split: blanks become its character, one is put before. */
static void mark_blanks(struct encode_scratch *s, const struct split_step *step,
                        struct span piece)
{
    const char *const text = s->text.bytes.data + piece.off;
    char c[4];
    const size_t n = utf8_put(c, step->character);
    const bool has_it = text[0] == ' ' || utf8_get(text) == step->character;
    const bool is_first = step->scheme == PREPEND_ALWAYS ||
                          (step->scheme == PREPEND_FIRST &&
                           is_at_start(&s->text, piece));
    size_t done = 0;
    if (!has_it && is_first)
        put_before(s, piece, c, n);
    for (size_t i = 0; i < piece.len; i++)
        if (text[i] == ' ') {
            text_copy(&s->other, &s->text, piece.off + done, i - done);
            text_put(&s->other, c, n, text_place(&s->text, piece.off + i, 1));
            done = i + 1;
        }
    text_copy(&s->other, &s->text, piece.off + done, piece.len - done);
}

/* The steps that write the text anew. */
static void rewrite_pieces(struct encode_scratch *s, const struct split_step *step)
{
    text_reset(&s->other, &s->text);
    s->next.n = 0;
    for (int64_t i = 0; i < s->spans.n; i++) {
        const struct span piece = s->spans.data[i];
        const size_t off = s->other.bytes.len;
        if (step->kind == STEP_METASPACE) {
            mark_blanks(s, step, piece);
        } else if (step->kind == STEP_MAP_BYTES) {
            text_map_bytes(&s->other, &s->text, piece.off, piece.len);
        } else {
            if (s->text.bytes.data[piece.off] != ' ')
                put_before(s, piece, " ", 1);
            text_copy(&s->other, &s->text, piece.off, piece.len);
        }
        spans_push(&s->next, off, s->other.bytes.len - off);
    }
    text_swap(&s->text, &s->other);
    take_next(s);
}

static int split_piece(struct encode_scratch *s, const struct split_step *step,
                       struct span piece)
{
    const char *const text = s->text.bytes.data + piece.off;
    if (step->kind == STEP_WORDS) {
        push_words(s, piece);
        return STATUS_OK;
    }
    if (step->kind == STEP_LENGTH) {
        push_chunks(s, piece, step->length);
        return STATUS_OK;
    }
    if (step->kind == STEP_PATTERN)
        TRY(pattern_parts(&step->pattern, &s->search, text, piece.len));
    else
        char_parts(&s->search, step, text, piece.len);
    join_parts(s, step, piece.off);
    return STATUS_OK;
}

static int run_step(const struct split_step *step, struct encode_scratch *s)
{
    const bool is_rewriting = step->kind == STEP_PREFIX_SPACE ||
                              step->kind == STEP_METASPACE ||
                              step->kind == STEP_MAP_BYTES;
    if (is_rewriting)
        rewrite_pieces(s, step);
    if (is_rewriting && !step->is_split)
        return STATUS_OK;
    s->next.n = 0;
    for (int64_t i = 0; i < s->spans.n; i++)
        TRY(split_piece(s, step, s->spans.data[i]));
    take_next(s);
    return STATUS_OK;
}

int pretokenizer_run(const struct pretokenizer *p, struct encode_scratch *s)
{
    s->spans.n = 0;
    if (s->text.bytes.len == 0)
        return STATUS_OK;
    spans_push(&s->spans, 0, s->text.bytes.len);
    for (int64_t i = 0; i < p->n_steps; i++)
        TRY(run_step(&p->steps[i], s));
    return STATUS_OK;
}
