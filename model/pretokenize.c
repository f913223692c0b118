/*
 * Splitting text into pieces that merges never cross. Patterns run on PCRE2 with JIT,
 * UTF and UCP; white space is spelled out, because PCRE2's \s and that of Hugging
 * Face's engine differ in U+180E.
 */
#include "model/tokenizer_private.h"

#include <string.h>

const char *const PRETOKENIZE_GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| "
                                     "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static const char SPACE[] =
    "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}"
    "\\x{2029}\\x{202f}\\x{205f}\\x{3000}";

void spans_push(struct spans *v, size_t off, size_t len)
{
    if (len == 0)
        return;
    if (v->n == v->cap) {
        const int64_t cap = 2 * v->cap + 64;
        v->items = mem_realloc(v->items, (size_t)v->cap * sizeof(*v->items),
                               (size_t)cap * sizeof(*v->items));
        v->cap = cap;
    }
    v->items[v->n++] = (struct span){off, len};
}

static int spell_spaces(const char *pattern, const char *where, struct buf *out)
{
    bool in_class = false;
    for (const char *p = pattern; *p != '\0'; p++) {
        if (strncmp(p, "&&", 2) == 0 || strncmp(p, "\\p{Han}", 7) == 0)
            return ERR(ERR_INPUT,
                       "%s: the pattern \"%s\" uses \"%.7s\", which is not "
                       "supported",
                       where, pattern, p);
        if (p[0] == '\\' && (p[1] == 's' || p[1] == 'S')) {
            if (in_class && p[1] == 'S')
                return ERR(ERR_INPUT,
                           "%s: the pattern \"%s\" has \\S inside [...], which "
                           "is not supported",
                           where, pattern);
            if (in_class)
                buf_puts(out, SPACE);
            else
                buf_printf(out, "[%s%s]", p[1] == 'S' ? "^" : "", SPACE);
            p++;
        } else if (p[0] == '\\' && p[1] != '\0') {
            buf_append(out, p++, 2);
        } else {
            in_class = p[0] == '[' ? true : p[0] == ']' ? false : in_class;
            buf_append(out, p, 1);
        }
    }
    return STATUS_OK;
}

int pretokenize_compile(pcre2_code **out, const char *pattern, const char *where)
{
    struct buf spelled = {0};
    int code = 0;
    PCRE2_SIZE at = 0;
    int status = spell_spaces(pattern, where, &spelled);
    if (status == STATUS_OK) {
        *out = pcre2_compile((PCRE2_SPTR)spelled.data, spelled.len,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE |
                                 PCRE2_NEVER_BACKSLASH_C,
                             &code, &at, NULL);
        if (*out == NULL) {
            PCRE2_UCHAR why[128];
            pcre2_get_error_message(code, why, sizeof(why));
            status = ERR(ERR_INPUT, "%s: the pattern \"%s\" does not compile: %s",
                         where, pattern, (const char *)why);
        } else {
            (void)pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE);
        }
    }
    buf_release(&spelled);
    return status;
}

/* The text is a subject of its own: look-ahead sees the end of the piece. */
int pretokenize_split(const pcre2_code *regex, const char *text, size_t len,
                      size_t base, struct spans *out)
{
    pcre2_match_data *const md = pcre2_match_data_create(1, NULL);
    const PCRE2_SIZE *const ov = pcre2_get_ovector_pointer(md);
    size_t at = 0;
    int rc = 0;
    while (at < len) {
        rc = pcre2_match(regex, (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK, md,
                         NULL);
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
            rc = pcre2_match(regex, (PCRE2_SPTR)text, len, at,
                             PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, md, NULL);
        if (rc < 0 || ov[1] == ov[0])
            break;
        spans_push(out, base + at, ov[0] - at);
        spans_push(out, base + ov[0], ov[1] - ov[0]);
        at = ov[1];
    }
    pcre2_match_data_free(md);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        return ERR(ERR_INPUT,
                   "a pre-tokenizer pattern gave up on a text of %zu bytes "
                   "(PCRE2 error %d)",
                   len, rc);
    spans_push(out, base + at, len - at);
    return STATUS_OK;
}

int pretokenize(const struct tokenizer *t, const char *text, size_t len,
                struct spans *out)
{
    struct spans a = {0}, b = {0};
    int status = STATUS_OK;
    spans_push(&a, 0, len);
    for (int i = 0; i < t->n_stages; i++) {
        b.n = 0;
        for (int64_t j = 0; status == STATUS_OK && j < a.n; j++)
            status = pretokenize_split(t->stages[i].regex, text + a.items[j].off,
                                       a.items[j].len, a.items[j].off, &b);
        const struct spans swap = a;
        a = b;
        b = swap;
    }
    for (int64_t j = 0; status == STATUS_OK && j < a.n; j++)
        spans_push(out, a.items[j].off, a.items[j].len);
    mem_free(a.items);
    mem_free(b.items);
    return status;
}
