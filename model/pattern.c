/*
 * Searching for what Split and Replace name: a literal, a literal at the start, or a
 * regular expression, which runs on PCRE2 (split_pattern.c rewrites it) over a shadow
 * of the text (unicode_shadow.c).
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "model/tokenizer_private.h"
#include "model/unicode_shadow.h"

/* llm-jp's normaliser and decoder: no line feed before, start of a line. That is the
 * start of the text. */
static const char start_anchor[] = "(?<!\\n)^";

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

void search_push(struct search *s, size_t start, size_t end, bool is_match)
{
    spans_push(&s->parts, start, end - start);
    if (s->parts.cap > s->n_match_cap) {
        s->is_match = mem_realloc(s->is_match, (size_t)s->n_match_cap,
                                  (size_t)s->parts.cap);
        s->n_match_cap = s->parts.cap;
    }
    s->is_match[s->parts.n - 1] = is_match;
}

void search_release(struct search *s)
{
    mem_free(s->parts.data);
    mem_free(s->is_match);
    buf_release(&s->shadow);
    pcre2_match_data_free(s->match_data);
    pcre2_match_context_free(s->match_context);
    pcre2_jit_stack_free(s->jit_stack);
    *s = (struct search){.n_match_cap = 0};
}

int pattern_compile(struct pattern *p, const char *regex, size_t len, const char *where)
{
    struct buf text = {0};
    pcre2_compile_context *const context = pcre2_compile_context_create(NULL);
    int status = STATUS_OK, code = 0;
    PCRE2_SIZE at = 0;
    buf_puts(&text, "");
    if (context == NULL)
        TRY_OUT(ERR(ERR_MEMORY, "no memory for a pattern"));
    TRY_OUT(pattern_rewrite(&text, regex, len, where));
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    p->kind = PATTERN_REGEX;
    p->code = pcre2_compile((PCRE2_SPTR)text.data, text.len,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE |
                                PCRE2_NEVER_BACKSLASH_C,
                            &code, &at, context);
    if (p->code == NULL) {
        PCRE2_UCHAR why[128];
        pcre2_get_error_message(code, why, sizeof(why));
        TRY_OUT(ERR(ERR_INPUT, "%s: the pattern \"%s\" does not compile: %s", where,
                    regex, (const char *)why));
    }
    /* without JIT (not built in, or forbidden) the interpreter gives the same matches
     */
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
out:
    pcre2_compile_context_free(context);
    buf_release(&text);
    return status;
}

static bool is_plain(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (strchr("\\^$.[]|()?*+{}", s[i]) != NULL) /* a NUL too */
            return false;
    return len > 0;
}

static void set_literal(struct pattern *p, enum pattern_kind kind, const char *s,
                        size_t len)
{
    p->kind = kind;
    p->literal = mem_strndup(s, len);
    p->len = len;
}

int pattern_load(struct pattern *p, const json_t *spec, const char *what,
                 const char *where)
{
    const size_t n_anchor = strlen(start_anchor);
    const char *regex = NULL, *text = NULL;
    size_t len = 0;
    if (json_is_object(spec)) {
        TRY(json_get_string(spec, "Regex", &regex, &len, where));
        if (regex == NULL)
            TRY(json_get_string(spec, "String", &text, &len, where));
    }
    if (text != NULL && len == 0)
        return pattern_compile(p, "", 0, where);
    if (text != NULL) {
        set_literal(p, PATTERN_LITERAL, text, len);
        return STATUS_OK;
    }
    if (regex == NULL)
        return ERR(ERR_INPUT,
                   "%s: %s needs a \"pattern\" {\"Regex\": ...} or {\"String\": ...}",
                   where, what);
    if (is_plain(regex, len)) {
        set_literal(p, PATTERN_LITERAL, regex, len);
        return STATUS_OK;
    }
    if (len >= n_anchor && memcmp(regex, start_anchor, n_anchor) == 0 &&
        (len == n_anchor || is_plain(regex + n_anchor, len - n_anchor))) {
        set_literal(p, PATTERN_START, regex + n_anchor, len - n_anchor);
        return STATUS_OK;
    }
    return pattern_compile(p, regex, len, where);
}

bool pattern_can_be_empty(const struct pattern *p)
{
    uint32_t is_empty = 0;
    if (p->kind == PATTERN_REGEX)
        (void)pcre2_pattern_info(p->code, PCRE2_INFO_MATCHEMPTY, &is_empty);
    return is_empty != 0 || (p->kind == PATTERN_START && p->len == 0);
}

void pattern_release(struct pattern *p)
{
    pcre2_code_free(p->code);
    mem_free(p->literal);
    *p = (struct pattern){.kind = PATTERN_NONE};
}

/* PCRE2's 32 KiB of JIT stack is too little for some patterns on long runs; the large
 * one is made when first needed. */
static int grow_jit_stack(struct search *s)
{
    if (s->jit_stack != NULL)
        return ERR(ERR_INPUT, "a pattern of the tokenizer exceeds 64 MiB of stack");
    s->jit_stack = pcre2_jit_stack_create((size_t)1 << 16, (size_t)1 << 26, NULL);
    s->match_context = pcre2_match_context_create(NULL);
    if (s->jit_stack == NULL || s->match_context == NULL)
        return ERR(ERR_MEMORY, "no memory for a pattern's stack");
    pcre2_jit_stack_assign(s->match_context, NULL, s->jit_stack);
    return STATUS_OK;
}

/* Searches text[0 .. len) from `from`; *found false: no match. */
static int find(struct search *s, const void *code, const char *text, size_t len,
                size_t from, bool *found)
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
                       "a pattern of the tokenizer gave up on a piece of %zu bytes: %s",
                       len, (const char *)why);
        }
        TRY(grow_jit_stack(s));
    }
}

/* Matches from left to right. An empty match right behind another is passed over, one
 * elsewhere divides the text, as in Hugging Face's iterator. */
static int regex_parts(struct search *s, const void *code, const char *text, size_t len)
{
    size_t done = 0, from = 0;
    bool has_last = false, found = false;
    if (s->match_data == NULL)
        s->match_data = pcre2_match_data_create(1, NULL);
    if (s->match_data == NULL)
        return ERR(ERR_MEMORY, "no memory for a pattern's match");
    const char *const subject = s->has_no_shadow
                                    ? text
                                    : unicode_shadow(&s->shadow, text, len);
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
            search_push(s, done, start, false);
        search_push(s, start, end, true);
        done = end;
        has_last = true;
    }
    if (done != len)
        search_push(s, done, len, false);
    return STATUS_OK;
}

static void literal_parts(const struct pattern *p, struct search *s, const char *text,
                          size_t len)
{
    size_t done = 0;
    for (;;) {
        const char *const hit = p->len == 1
                                    ? memchr(text + done, p->literal[0], len - done)
                                    : memmem(text + done, len - done, p->literal,
                                             p->len);
        const size_t start = hit == NULL ? len : (size_t)(hit - text);
        if (done != start)
            search_push(s, done, start, false);
        if (hit == NULL)
            return;
        search_push(s, start, start + p->len, true);
        done = start + p->len;
    }
}

int pattern_parts(const struct pattern *p, struct search *s, const char *text,
                  size_t len)
{
    s->parts.n = 0;
    if (len == 0)
        return STATUS_OK;
    switch (p->kind) {
    case PATTERN_NONE:
        search_push(s, 0, len, false);
        return STATUS_OK;
    case PATTERN_LITERAL:
        literal_parts(p, s, text, len);
        return STATUS_OK;
    case PATTERN_START:
        if (p->len <= len && memcmp(text, p->literal, p->len) == 0)
            search_push(s, 0, p->len, true);
        if (s->parts.n == 0 || p->len < len)
            search_push(s, s->parts.n == 0 ? 0 : p->len, len, false);
        return STATUS_OK;
    case PATTERN_REGEX:
        return regex_parts(s, p->code, text, len);
    }
    return STATUS_OK;
}
