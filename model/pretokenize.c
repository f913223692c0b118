/*
 * Splitting text into pieces that merges never cross: a chain of splits, each member
 * seeing each piece of the one before by itself (so look-ahead ends with the piece),
 * the last one ByteLevel's. Patterns run on PCRE2; split_pattern.c rewrites them.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "model/tokenizer_private.h"
#include "model/unicode_shadow.h"

void spans_push(struct spans *v, size_t off, size_t len)
{
    if (v->n == v->cap) {
        const int64_t cap = 2 * v->cap + 64;
        v->data = mem_realloc(v->data, (size_t)v->cap * sizeof(*v->data),
                              (size_t)cap * sizeof(*v->data));
        v->cap = cap;
    }
    v->data[v->n++] = (struct span){off, len};
}

void encode_scratch_release(struct encode_scratch *s)
{
    buf_release(&s->text);
    buf_release(&s->other);
    buf_release(&s->normal);
    buf_release(&s->shadow);
    buf_release(&s->mapped);
    mem_free(s->spans.data);
    mem_free(s->next.data);
    mem_free(s->parts.data);
    mem_free(s->is_match);
    mem_free(s->symbols);
    mem_free(s->heap);
    pcre2_match_data_free(s->match_data);
    pcre2_match_context_free(s->match_context);
    pcre2_jit_stack_free(s->jit_stack);
    *s = (struct encode_scratch){0};
}

void pretokenizer_release(struct pretokenizer *p)
{
    for (int64_t i = 0; i < p->n_steps; i++) {
        pcre2_code_free(p->steps[i].code);
        mem_free(p->steps[i].literal);
    }
    *p = (struct pretokenizer){0};
}

/* Parts of a piece, alternating as they come: [start, end) and whether it matched. */
static void push_part(struct encode_scratch *s, size_t start, size_t end, bool is_match)
{
    spans_push(&s->parts, start, end - start);
    if (s->parts.cap > s->n_match_cap) {
        s->is_match = mem_realloc(s->is_match, (size_t)s->n_match_cap,
                                  (size_t)s->parts.cap);
        s->n_match_cap = s->parts.cap;
    }
    s->is_match[s->parts.n - 1] = is_match;
}

/* PCRE2's 32 KiB of JIT stack is too little for some patterns on long runs; the large
 * one is made when first needed. */
static int grow_jit_stack(struct encode_scratch *s)
{
    if (s->jit_stack != NULL)
        return ERR(ERR_INPUT, "a pre-tokenizer pattern exceeds 64 MiB of stack");
    s->jit_stack = pcre2_jit_stack_create((size_t)1 << 16, (size_t)1 << 26, NULL);
    s->match_context = pcre2_match_context_create(NULL);
    if (s->jit_stack == NULL || s->match_context == NULL)
        return ERR(ERR_MEMORY, "no memory for a pattern's stack");
    pcre2_jit_stack_assign(s->match_context, NULL, s->jit_stack);
    return STATUS_OK;
}

/* Searches text[0 .. len) from `from`; *found false: no match. */
static int find(struct encode_scratch *s, const void *code, const char *text,
                size_t len, size_t from, bool *found)
{
    for (;;) {
        const int rc = pcre2_match(code, (PCRE2_SPTR)text, len, from,
                                   PCRE2_NO_UTF_CHECK, s->match_data, s->match_context);
        *found = rc >= 0;
        if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH)
            return STATUS_OK;
        if (rc != PCRE2_ERROR_JIT_STACKLIMIT) {
            PCRE2_UCHAR why[128];
            pcre2_get_error_message(rc, why, sizeof(why));
            return ERR(ERR_INPUT,
                       "a pre-tokenizer pattern gave up on a piece of %zu bytes: %s",
                       len, (const char *)why);
        }
        TRY(grow_jit_stack(s));
    }
}

/* Matches from left to right. An empty match right behind another is passed over, one
 * elsewhere divides the text, as in Hugging Face's iterator. */
static int regex_parts(struct encode_scratch *s, const void *code, const char *text,
                       size_t len)
{
    size_t done = 0, from = 0;
    bool has_last = false, found = false;
    const char *const subject = unicode_shadow(&s->shadow, text, len);
    while (from <= len) {
        TRY(find(s, code, subject, len, from, &found));
        if (!found)
            break;
        const PCRE2_SIZE *const at = pcre2_get_ovector_pointer(s->match_data);
        const size_t start = at[0], end = at[1];
        const bool is_empty = start == end;
        from = end;
        if (is_empty)
            from += end < len ? utf8_width((unsigned char)text[end]) : 1;
        if (is_empty && has_last && start == done)
            continue;
        if (done != start)
            push_part(s, done, start, false);
        push_part(s, start, end, true);
        done = end;
        has_last = true;
    }
    if (done != len)
        push_part(s, done, len, false);
    return STATUS_OK;
}

static void literal_parts(struct encode_scratch *s, const struct split_step *step,
                          const char *text, size_t len)
{
    size_t done = 0;
    for (;;) {
        const char *const hit = memmem(text + done, len - done, step->literal,
                                       step->literal_len);
        if (hit == NULL)
            break;
        const size_t start = (size_t)(hit - text);
        if (done != start)
            push_part(s, done, start, false);
        done = start + step->literal_len;
        push_part(s, start, done, true);
    }
    if (done != len)
        push_part(s, done, len, false);
}

/* Pieces from parts [begin, end) of s->parts go to s->next, shifted by `base`. */
static void push_joined(struct encode_scratch *s, int64_t begin, int64_t end,
                        size_t base)
{
    const struct span first = s->parts.data[begin], last = s->parts.data[end - 1];
    const size_t len = last.off + last.len - first.off;
    if (len > 0)
        spans_push(&s->next, base + first.off, len);
}

/* Whether part i opens a new piece rather than joining the part before it. A
 * delimiter joins its neighbour only when the part on its other side is none itself:
 * in a run of delimiters the first (merging backward) or the last (forward) joins. */
static bool opens_piece(const struct encode_scratch *s, const struct split_step *step,
                        int64_t i)
{
    const bool *const m = s->is_match;
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
    int64_t begin = 0;
    for (int64_t i = 1; i <= s->parts.n; i++) {
        if (i < s->parts.n && !opens_piece(s, step, i))
            continue;
        const bool is_delimiter = s->is_match[begin] != step->is_inverted;
        if (step->behavior != SPLIT_REMOVED || !is_delimiter)
            push_joined(s, begin, i, base);
        begin = i;
    }
}

static void take_next(struct encode_scratch *s)
{
    const struct spans spans = s->spans;
    s->spans = s->next;
    s->next = spans;
}

/* ByteLevel's add_prefix_space: the text anew, with a blank before each piece that has
 * none. */
static void add_prefix_spaces(struct encode_scratch *s)
{
    buf_reset(&s->other);
    s->next.n = 0;
    for (int64_t i = 0; i < s->spans.n; i++) {
        const struct span piece = s->spans.data[i];
        const size_t off = s->other.len;
        if (s->text.data[piece.off] != ' ')
            buf_append(&s->other, " ", 1);
        buf_append(&s->other, s->text.data + piece.off, piece.len);
        spans_push(&s->next, off, s->other.len - off);
    }
    const struct buf text = s->text;
    s->text = s->other;
    s->other = text;
    take_next(s);
}

static int run_step(const struct split_step *step, struct encode_scratch *s)
{
    if (step->has_prefix_space)
        add_prefix_spaces(s);
    if (step->code == NULL && step->literal == NULL)
        return STATUS_OK;
    s->next.n = 0;
    for (int64_t i = 0; i < s->spans.n; i++) {
        const struct span piece = s->spans.data[i];
        s->parts.n = 0;
        if (step->code != NULL)
            TRY(regex_parts(s, step->code, s->text.data + piece.off, piece.len));
        else
            literal_parts(s, step, s->text.data + piece.off, piece.len);
        join_parts(s, step, piece.off);
    }
    take_next(s);
    return STATUS_OK;
}

int pretokenizer_run(const struct pretokenizer *p, struct encode_scratch *s)
{
    s->spans.n = 0;
    if (s->text.len == 0)
        return STATUS_OK;
    spans_push(&s->spans, 0, s->text.len);
    if (s->match_data == NULL)
        s->match_data = pcre2_match_data_create(1, NULL);
    if (s->match_data == NULL)
        return ERR(ERR_MEMORY, "no memory for a pattern's match");
    for (int64_t i = 0; i < p->n_steps; i++)
        TRY(run_step(&p->steps[i], s));
    return STATUS_OK;
}
