/*
 * The strict reader. Numbers: RFC 8259's grammar; scores by serde_json's arithmetic.
 */
#include "model/tokenizer_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void json_reader_init(struct json_reader *r, const struct model_text *file,
                      const struct json_slice *part, const char *key)
{
    *r = (struct json_reader){
        .p = part->text, .end = part->text + part->len, .file = file, .key = key};
}

static void skip_space(struct json_reader *r)
{
    while (r->p < r->end &&
           (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
        r->p++;
}

bool json_reader_at(struct json_reader *r, char c)
{
    skip_space(r);
    return r->p < r->end && *r->p == c;
}

bool json_reader_take(struct json_reader *r, char c)
{
    const bool is_there = json_reader_at(r, c);
    r->p += is_there;
    return is_there;
}

static long long line_of(const struct json_reader *r)
{
    long long line = 1;
    for (const char *p = r->file->json; p < r->p; p++)
        line += *p == '\n';
    return line;
}

int json_reader_error(const struct json_reader *r, const char *expected)
{
    const int n = (int)(r->end - r->p < 20 ? r->end - r->p : 20);
    return ERR(ERR_INPUT, "%s: %s, line %lld: found \"%.*s\", expected %s",
               r->file->where, r->key, line_of(r), n, n > 0 ? r->p : "", expected);
}

static int hex4(const char *s, const char *end)
{
    int value = 0;
    if (end - s < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const char c = s[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        value = 16 * value + digit;
    }
    return value;
}

/* \uXXXX at r->p, or two of them that are one character beyond U+FFFF. */
static int read_unicode(struct json_reader *r, struct buf *room)
{
    int32_t cp = hex4(r->p + 2, r->end);
    char c[4];
    if (cp >= 0xD800 && cp <= 0xDBFF && r->end - r->p >= 12 &&
        memcmp(r->p + 6, "\\u", 2) == 0) {
        const int low = hex4(r->p + 8, r->end);
        if (low < 0xDC00 || low > 0xDFFF)
            return json_reader_error(r, "the second half of a surrogate pair");
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        r->p += 6;
    }
    if (cp < 0 || (cp >= 0xD800 && cp <= 0xDFFF))
        return json_reader_error(r, "\\u and four hexadecimal digits of a character");
    buf_append(room, c, utf8_put(c, cp));
    r->p += 6;
    return STATUS_OK;
}

static int read_escape(struct json_reader *r, struct buf *room)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char c = r->end - r->p >= 2 ? r->p[1] : '\0';
    if (c == 'u')
        return read_unicode(r, room);
    const char *const at = c == '\0' ? NULL : strchr(names, c);
    if (at == NULL)
        return json_reader_error(r, "an escape of JSON");
    buf_append(room, values + (at - names), 1);
    r->p += 2;
    return STATUS_OK;
}

int json_reader_string(struct json_reader *r, struct buf *room, const char **text,
                       size_t *len)
{
    if (!json_reader_take(r, '"'))
        return json_reader_error(r, "a string");
    const char *start = r->p;
    bool has_escape = false;
    buf_reset(room);
    for (;;) {
        while (r->p < r->end && *r->p != '"' && *r->p != '\\' &&
               (unsigned char)*r->p >= 0x20)
            r->p++;
        if (r->p >= r->end || (unsigned char)*r->p < 0x20)
            return json_reader_error(r, "the end of a string");
        if (*r->p == '"')
            break;
        has_escape = true;
        buf_append(room, start, (size_t)(r->p - start));
        TRY(read_escape(r, room));
        start = r->p;
    }
    if (has_escape)
        buf_append(room, start, (size_t)(r->p - start));
    *text = has_escape ? room->data : start;
    *len = has_escape ? room->len : (size_t)(r->p - start);
    r->p++;
    return STATUS_OK;
}

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

int json_reader_id(struct json_reader *r, int64_t limit, int32_t *id)
{
    char expected[64];
    int64_t value = 0;
    skip_space(r);
    snprintf(expected, sizeof(expected), "an integer from 0 to %lld",
             (long long)limit - 1);
    const char *p = r->p;
    while (is_digit(p, r->end) && value < limit)
        value = 10 * value + (*p++ - '0');
    const bool is_padded = p - r->p > 1 && *r->p == '0';
    if (p == r->p || is_padded || value >= limit ||
        (p < r->end && strchr(".eE0123456789", *p) != NULL && *p != '\0'))
        return json_reader_error(r, expected);
    r->p = p;
    *id = (int32_t)value;
    return STATUS_OK;
}

/* What serde_json keeps of a number's digits. */
struct decimal {
    uint64_t digits;
    int64_t exponent;
    bool is_full; /* a further digit would overflow: those after it are dropped */
};

static void add_digit(struct decimal *d, int digit, bool is_fraction)
{
    const uint64_t n = (uint64_t)digit;
    if (!d->is_full && (d->digits < UINT64_MAX / 10 ||
                        (d->digits == UINT64_MAX / 10 && n <= UINT64_MAX % 10))) {
        d->digits = 10 * d->digits + n;
        d->exponent -= is_fraction;
        return;
    }
    d->is_full = true;
    d->exponent += !is_fraction;
}

/* serde_json tries again for each fraction digit after an overlong integer part. */
static void start_fraction(struct decimal *d) { d->is_full = false; }

static bool scale(const struct decimal *d, double *out)
{
    int64_t exponent = d->exponent;
    char power[16];
    double f = (double)d->digits;
    while (exponent < -308 || exponent > 308) {
        if (f == 0.0)
            break;
        if (exponent > 0)
            return false;
        f /= 1e308;
        exponent += 308;
    }
    if (f != 0.0) {
        snprintf(power, sizeof(power), "1e%d", abs((int)exponent));
        f = exponent >= 0 ? f * strtod(power, NULL) : f / strtod(power, NULL);
    }
    *out = f;
    return isfinite(f);
}

static const char *read_exponent(const char *p, const char *end, struct decimal *d)
{
    int64_t value = 0;
    p++;
    const bool is_negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    if (!is_digit(p, end))
        return NULL;
    for (; is_digit(p, end); p++)
        value = value > 100000 ? value : 10 * value + (*p - '0');
    d->exponent += is_negative ? -value : value;
    return p;
}

int json_reader_score(struct json_reader *r, double *score)
{
    struct decimal d = {.exponent = 0};
    double f = 0.0;
    skip_space(r);
    const char *p = r->p, *const end = r->end;
    const bool is_negative = p < end && *p == '-';
    p += is_negative;
    const bool is_padded = end - p > 1 && p[0] == '0' && is_digit(p + 1, end);
    if (!is_digit(p, end) || is_padded)
        return json_reader_error(r, "a number");
    for (; is_digit(p, end); p++)
        add_digit(&d, *p - '0', false);
    if (p < end && *p == '.') {
        start_fraction(&d);
        if (!is_digit(++p, end))
            return json_reader_error(r, "a number");
        for (; is_digit(p, end); p++)
            add_digit(&d, *p - '0', true);
    }
    if (p < end && (*p == 'e' || *p == 'E'))
        p = read_exponent(p, end, &d);
    if (p == NULL)
        return json_reader_error(r, "a number");
    if (!scale(&d, &f))
        return json_reader_error(r, "a number within double's range");
    r->p = p;
    *score = is_negative ? -f : f;
    return STATUS_OK;
}

int json_reader_more(struct json_reader *r, char close, bool *more)
{
    char expected[16] = "',' or '?'";
    expected[8] = close;
    *more = json_reader_take(r, ',');
    if (*more || json_reader_take(r, close))
        return STATUS_OK;
    return json_reader_error(r, expected);
}

int json_reader_finish(struct json_reader *r)
{
    skip_space(r);
    return r->p == r->end ? STATUS_OK : json_reader_error(r, "the end of the list");
}
