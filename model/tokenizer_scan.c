/*
 * A tokenizer.json is large because of two lists: model.vocab and model.merges. They
 * are cut out of the text and read by a strict reader of their own; what remains is
 * small, and jansson's. The scan below trusts nothing: where the text is not as it
 * expects it stops, and the parser, which then sees the rest, says what is wrong and
 * in which line.
 */
#include <string.h>

#include "model/tokenizer_json.h"

enum { MAX_DEPTH = 64, LEVELS = 2 };

struct scan {
    const char *json;
    size_t len, at, copied;
    struct buf *rest;
    struct model_text *large;
};

static void skip_space(struct scan *s)
{
    const char *p = s->json + s->at, *const end = s->json + s->len;
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    s->at = (size_t)(p - s->json);
}

static bool take(struct scan *s, char c)
{
    skip_space(s);
    if (s->at >= s->len || s->json[s->at] != c)
        return false;
    s->at++;
    return true;
}

static bool skip_string(struct scan *s)
{
    if (!take(s, '"'))
        return false;
    const char *p = s->json + s->at, *const end = s->json + s->len;
    while (p < end && *p != '"')
        p += *p == '\\' ? 2 : 1;
    s->at = p < end ? (size_t)(p + 1 - s->json) : s->len;
    return p < end;
}

/* Any value; *n_strings counts those in it. */
static bool skip_value(struct scan *s, int64_t *n_strings)
{
    int depth = 0;
    do {
        skip_space(s);
        if (s->at >= s->len)
            return false;
        const char c = s->json[s->at];
        if (c == '"') {
            if (!skip_string(s))
                return false;
            ++*n_strings;
            continue;
        }
        if (depth == 0 && (c == ',' || c == ':' || c == '}' || c == ']'))
            return false;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (depth > MAX_DEPTH)
            return false;
        s->at++;
        while (depth == 0 && c != '}' && c != ']' && s->at < s->len &&
               strchr(" \t\r\n,:}]", s->json[s->at]) == NULL)
            s->at++;
    } while (depth > 0);
    return true;
}

/* Puts null there instead, and as many line feeds, so that line numbers stay. */
static void cut_out(struct scan *s, size_t start)
{
    buf_append(s->rest, s->json + s->copied, start - s->copied);
    buf_puts(s->rest, "null");
    for (const char *p = s->json + start;
         (p = memchr(p, '\n', (size_t)(s->json + s->at - p))) != NULL; p++)
        buf_append(s->rest, "\n", 1);
    s->copied = s->at;
}

static bool is_key(const struct scan *s, size_t start, const char *name)
{
    const size_t n = strlen(name);
    return s->at - start == n + 2 && memcmp(s->json + start + 1, name, n) == 0;
}

static bool scan_large(struct scan *s, struct json_slice *out)
{
    skip_space(s);
    const size_t start = s->at;
    const char c = start < s->len ? s->json[start] : '\0';
    struct json_slice part = {.text = s->json + start};
    if (!skip_value(s, &part.n_strings))
        return false;
    if (c != '{' && c != '[')
        return true; /* the parser's to judge */
    part.len = s->at - start;
    if (out->text == NULL) /* a second one is a duplicate key, and refused as that */
        *out = part;
    cut_out(s, start);
    return true;
}

/* The members of an object at `level`: 0 is the file, 1 its "model". */
static bool scan_object(struct scan *s, int level)
{
    int64_t n_strings = 0;
    if (!take(s, '{'))
        return false;
    if (take(s, '}'))
        return true;
    do {
        skip_space(s);
        const size_t key = s->at;
        bool is_good = skip_string(s);
        const bool is_model = level == 0 && is_key(s, key, "model");
        const bool is_vocab = level == 1 && is_key(s, key, "vocab");
        const bool is_merges = level == 1 && is_key(s, key, "merges");
        is_good = is_good && take(s, ':');
        skip_space(s);
        if (!is_good)
            return false;
        if (is_model && s->at < s->len && s->json[s->at] == '{')
            is_good = scan_object(s, 1);
        else if (is_vocab || is_merges)
            is_good = scan_large(s, is_vocab ? &s->large->vocab : &s->large->merges);
        else
            is_good = skip_value(s, &n_strings);
        if (!is_good)
            return false;
    } while (take(s, ','));
    return take(s, '}');
}

int tokenizer_scan(json_t **root, struct model_text *large, const char *json,
                   size_t len, const char *where)
{
    struct buf rest = {0};
    struct scan s = {.json = json, .len = len, .rest = &rest, .large = large};
    *large = (struct model_text){.json = json, .where = where};
    if (!utf8_is_valid(json, len))
        return ERR(ERR_INPUT, "%s: the file is not UTF-8", where);
    (void)scan_object(&s, 0); /* where it stops short the parser goes on */
    buf_append(&rest, json + s.copied, len - s.copied);
    const int status = json_parse(root, rest.data, rest.len, where);
    buf_release(&rest);
    return status;
}
