/*
 * Rendering is concatenation. White space at the ends of a text is found from both
 * sides by whole characters; a byte that is no UTF-8 is no white space.
 */
#include "grpo/prompt.h"

#include <string.h>

static void put(struct buf *out, const char *s)
{
    if (s != NULL)
        buf_puts(out, s);
}

/* Length of the white-space character that the n >= 1 bytes at s begin with, 0 if it is
 * another: the 29 characters for which Python's str.isspace() holds. */
static size_t space_len(const char *s, size_t n)
{
    static const char *const wide[] = {"\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80",
                                       "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF",
                                       "\xE2\x81\x9F", "\xE3\x80\x80"};
    const unsigned char c = (unsigned char)s[0];
    if (c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F))
        return 1;
    for (int64_t i = 0; i < ARRAY_LEN(wide); i++)
        if (n >= strlen(wide[i]) && memcmp(s, wide[i], strlen(wide[i])) == 0)
            return strlen(wide[i]);
    /* U+2000 to U+200A */
    const bool is_quad = n >= 3 && memcmp(s, "\xE2\x80", 2) == 0 &&
                         (unsigned char)s[2] >= 0x80 && (unsigned char)s[2] <= 0x8A;
    return is_quad ? 3 : 0;
}

/* Length of the white-space character that s ends with; 0: it ends with another. */
static size_t last_space_len(const char *s, size_t n)
{
    for (size_t len = 1; len <= 3 && len <= n; len++)
        if (space_len(s + n - len, len) == len)
            return len;
    return 0;
}

static struct prompt_text trimmed(struct prompt_text x)
{
    for (size_t n; x.len > 0 && (n = space_len(x.data, x.len)) > 0;) {
        x.data += n;
        x.len -= n;
    }
    for (size_t n; (n = last_space_len(x.data, x.len)) > 0;)
        x.len -= n;
    return x;
}

/* `least`: the weakest rule under which this text is trimmed. */
static void put_text(struct buf *out, const struct prompt_template *t,
                     enum prompt_trim least, struct prompt_text x)
{
    const struct prompt_text y = t->trim >= least ? trimmed(x) : x;
    buf_append(out, y.data, y.len);
}

static void put_system(struct buf *out, const struct prompt_template *t,
                       struct prompt_text system)
{
    put(out, t->system.prefix);
    put_text(out, t, PROMPT_TRIM_ALL, system);
    put(out, t->system.suffix);
}

/* Question i of the conversation; the one asked comes after all shots. */
static void put_question(struct buf *out, const struct prompt_template *t,
                         const struct prompt_parts *p, struct prompt_text question,
                         int64_t i)
{
    const bool has_system = p->system.len > 0 &&
                            ((t->system_place == PROMPT_SYSTEM_IN_FIRST && i == 0) ||
                             (t->system_place == PROMPT_SYSTEM_IN_LAST &&
                              i == p->n_shots));
    put(out, t->question.prefix);
    if (has_system)
        put_system(out, t, p->system);
    put_text(out, t, PROMPT_TRIM_ALL, question);
    put(out, t->question.suffix);
}

/* The prefix where the template names none. */
static const char *blank_after(const struct buf *text)
{
    return text->len > 0 && last_space_len(text->data, text->len) == 0 ? " " : "";
}

void prompt_render(const struct prompt_template *t, const struct prompt_parts *p,
                   struct buf *out)
{
    put(out, t->begin);
    if (t->system_place == PROMPT_SYSTEM_BLOCK && p->system.len > 0)
        put_system(out, t, p->system);
    else
        put(out, t->no_system);
    for (int64_t i = 0; i < p->n_shots; i++) {
        put_question(out, t, p, p->shots[i].question, i);
        put(out, t->answer.prefix != NULL ? t->answer.prefix : blank_after(out));
        put_text(out, t, PROMPT_TRIM_ANSWERS, p->shots[i].answer);
        put(out, t->answer.suffix);
    }
    put_question(out, t, p, p->question, p->n_shots);
    put(out, t->opening);
}

void prompt_render_lead(const struct prompt_template *t, const struct buf *prompt,
                        struct buf *out)
{
    const char *const prefix = t->answer.prefix;
    const char *const opening = t->opening == NULL ? "" : t->opening;
    const size_t n = strlen(opening);
    if (prefix == NULL)
        put(out, blank_after(prompt));
    else if (strncmp(prefix, opening, n) == 0)
        put(out, prefix + n);
}

int prompt_encode(const struct tokenizer *t, const struct prompt_limits *l,
                  const struct buf *text, struct ids *out, bool *is_kept)
{
    const int64_t before = out->n;
    const char *const data = text->data == NULL ? "" : text->data;
    int status = tokenizer_encode(t, data, text->len, l->has_special, out);
    const int64_t n = out->n - before;
    const bool is_long = l->max_tokens > 0 && n > l->max_tokens;
    if (status == STATUS_OK && n == 0)
        status = ERR(ERR_INPUT, "the prompt has no tokens (\"%.60s\")", data);
    else if (status == STATUS_OK && is_long && !l->is_filter)
        status = ERR(ERR_INPUT,
                     "a prompt of %lld tokens (\"%.60s...\"); data.max_prompt=%lld "
                     "allows no more: raise it, or leave such prompts out with "
                     "data.overlong=filter",
                     (long long)n, data, (long long)l->max_tokens);
    if (status != STATUS_OK || is_long)
        out->n = before;
    if (status == STATUS_OK)
        *is_kept = !is_long;
    return status;
}
