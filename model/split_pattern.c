/*
 * Patterns of tokenizer.json are written for Oniguruma. They are rewritten for PCRE2
 * where the two differ, and refused by name where a rewrite is not known to be exact:
 * - \s and \S are spelled out (PCRE2's include U+180E);
 * - \p{Han} and other scripts get "sc:" (PCRE2 would read script extensions);
 * - ^ and $ are per line, lines end at \n;
 * - refused: nested classes and &&, \w and what depends on it, {n,m}+ (possessive in
 *   one, repeated in the other), {,n}, options other than (?i: ... ).
 */
#include <string.h>

#include "model/tokenizer_private.h"

/* White_Space, 25 code points */
static const char space_class[] =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}"
    "\\x{202f}\\x{205f}\\x{3000}";
/* what a backslash may stand before with the same meaning in both */
static const char plain_escapes[] = "nrtfaedDx";

struct rewriter {
    const char *p, *end; /* what is left of the pattern */
    struct buf *out;
    bool is_class; /* inside [...] */
};

static bool starts(const struct rewriter *r, const char *what)
{
    const size_t n = strlen(what);
    return (size_t)(r->end - r->p) >= n && memcmp(r->p, what, n) == 0;
}

static void take(struct rewriter *r, size_t n)
{
    buf_append(r->out, r->p, n);
    r->p += n;
}

/* \p{...} or \P{...}; what it is about in *what. */
static int rewrite_property(struct rewriter *r, const char **what)
{
    const char *const close = memchr(r->p, '}', (size_t)(r->end - r->p));
    *what = "a property without {}";
    if (r->end - r->p < 4 || r->p[2] != '{' || close == NULL)
        return ERR_INPUT;
    const bool is_negated = r->p[3] == '^';
    const char *const name = r->p + 3 + is_negated;
    const size_t n = (size_t)(close - name);
    buf_append(r->out, r->p, 3 + (size_t)is_negated);
    if (n > 2)
        buf_puts(r->out, "sc:");
    buf_append(r->out, name, n + 1);
    r->p = close + 1;
    return STATUS_OK;
}

static int rewrite_escape(struct rewriter *r, const char **what)
{
    const char c = r->p + 1 < r->end ? r->p[1] : '\0';
    *what = "this escape";
    if (c == 'p' || c == 'P')
        return rewrite_property(r, what);
    if (c == 's' || c == 'S') {
        if (c == 'S' && r->is_class) {
            *what = "\\S inside [...]";
            return ERR_INPUT;
        }
        if (!r->is_class)
            buf_puts(r->out, c == 's' ? "[" : "[^");
        buf_puts(r->out, space_class);
        if (!r->is_class)
            buf_puts(r->out, "]");
        r->p += 2;
        return STATUS_OK;
    }
    if (c == 'u' && r->end - r->p >= 6) {
        buf_printf(r->out, "\\x{%.4s}", r->p + 2);
        r->p += 6;
        return STATUS_OK;
    }
    const bool is_alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                          (c >= 'a' && c <= 'z');
    if (c == '\0' || (is_alnum && strchr(plain_escapes, c) == NULL))
        return ERR_INPUT;
    take(r, 2);
    return STATUS_OK;
}

static int rewrite_in_class(struct rewriter *r, const char **what)
{
    *what = "a class inside a class";
    if (*r->p == '[')
        return ERR_INPUT;
    *what = "an intersection of classes";
    if (starts(r, "&&"))
        return ERR_INPUT;
    if (*r->p == ']')
        r->is_class = false;
    take(r, 1);
    return STATUS_OK;
}

static int rewrite_outside(struct rewriter *r, const char **what)
{
    static const char *const groups[] = {
        "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"};
    if (starts(r, "(?")) {
        for (int64_t i = 0; i < ARRAY_LEN(groups); i++)
            if (starts(r, groups[i])) {
                take(r, strlen(groups[i]));
                return STATUS_OK;
            }
        *what = "this kind of group";
        return ERR_INPUT;
    }
    *what = "this repetition";
    if (starts(r, "}+") || starts(r, "{,"))
        return ERR_INPUT;
    if (*r->p == '[') {
        r->is_class = true;
        take(r, starts(r, "[^") ? 2 : 1);
        if (r->p < r->end && *r->p == ']')
            buf_puts(r->out, "\\");
        if (r->p < r->end && *r->p == ']')
            take(r, 1);
        return STATUS_OK;
    }
    take(r, 1);
    return STATUS_OK;
}

int pattern_rewrite(struct buf *out, const char *pattern, size_t len, const char *where)
{
    struct rewriter r = {.p = pattern, .end = pattern + len, .out = out};
    while (r.p < r.end) {
        const char *what = "";
        const int status = *r.p == '\\' ? rewrite_escape(&r, &what)
                           : r.is_class ? rewrite_in_class(&r, &what)
                                        : rewrite_outside(&r, &what);
        if (status != STATUS_OK)
            return ERR(ERR_INPUT,
                       "%s: the pattern \"%s\" has %s at \"%.12s\", which is not "
                       "supported",
                       where, pattern, what, r.p);
    }
    return STATUS_OK;
}
