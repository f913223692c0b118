/*
 * The tokens of PTX. Comments and blanks are passed over; a token points into the text.
 * Numbers: decimal, octal (0..), hexadecimal, binary, all with an optional U; floats as
 * 1.5e-3, or by their bits as 0f3F800000 and 0d3FF0000000000000.
 */
#include "emulator/ptx_parse.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
           c == '%';
}

static bool is_name_char(char c)
{
    return is_digit(c) || (is_name_start(c) && c != '%');
}

int ptx_lex_error_at(const struct ptx_lex *l, const char *place, const char *fmt, ...)
{
    int64_t line = 1;
    const char *start = l->text;
    for (const char *p = l->text; p < place; p++) {
        if (*p == '\n') {
            line++;
            start = p + 1;
        }
    }
    char what[768];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return ERR(ERR_INPUT, "%s:%" PRId64 ":%td: %s", l->name, line, place - start + 1,
               what);
}

int ptx_lex_error(const struct ptx_lex *l, const char *fmt, ...)
{
    char what[768];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    const char *place = l->t.kind == PTX_T_END ? l->end : l->t.text;
    return ptx_lex_error_at(l, place, "%s", what);
}

/* --- numbers --- */

static int32_t digit_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

/* Digits of a base from l->p on; `exact` of them, or at least one if 0. */
static int digits(struct ptx_lex *l, int32_t base, int32_t exact, uint64_t *out)
{
    const char *const start = l->p;
    uint64_t v = 0;
    for (; l->p < l->end && digit_value(*l->p) < base; l->p++) {
        const uint64_t digit = (uint64_t)digit_value(*l->p);
        if (v > (UINT64_MAX - digit) / (uint64_t)base)
            return ptx_lex_error(l, "a number of more than 64 bits");
        v = v * (uint64_t)base + digit;
    }
    if (exact ? l->p - start != exact : l->p == start)
        return ptx_lex_error(l, "a number with %td digits of base %d, expected %s%d",
                             l->p - start, base, exact ? "" : "at least ",
                             exact ? exact : 1);
    *out = v;
    return 0;
}

static int decimal_float(struct ptx_lex *l)
{
    char text[64];
    int32_t n = 0;
    const char *p = l->t.text;
    while (p < l->end && n < (int32_t)sizeof text - 1) {
        const bool is_sign = (*p == '-' || *p == '+') && (p[-1] == 'e' || p[-1] == 'E');
        if (!is_digit(*p) && *p != '.' && *p != 'e' && *p != 'E' && !is_sign)
            break;
        text[n++] = *p++;
    }
    text[n] = 0;
    char *end;
    const double v = strtod(text, &end);
    if (*end)
        return ptx_lex_error(l, "'%s' is no number", text);
    l->p = p;
    l->t.kind = PTX_T_FLOAT;
    memcpy(&l->t.bits, &v, sizeof v);
    return 0;
}

static bool is_decimal_float(const struct ptx_lex *l)
{
    const char *p = l->t.text;
    while (p < l->end && is_digit(*p))
        p++;
    return p < l->end && (*p == '.' || *p == 'e' || *p == 'E');
}

static int number_body(struct ptx_lex *l, uint64_t *v)
{
    const bool has_base = *l->p == '0' && l->end - l->p > 1;
    const char mark = has_base ? l->p[1] : 0;
    switch (mark) {
    case 'x':
    case 'X':
        l->p += 2;
        return digits(l, 16, 0, v);
    case 'b':
    case 'B':
        l->p += 2;
        return digits(l, 2, 0, v);
    case 'f':
    case 'F':
    case 'd':
    case 'D':
        l->t.kind = PTX_T_FLOAT;
        l->t.is_single = mark == 'f' || mark == 'F';
        l->p += 2;
        return digits(l, 16, l->t.is_single ? 8 : 16, v);
    default:
        return digits(l, has_base && is_digit(mark) ? 8 : 10, 0, v);
    }
}

static int number(struct ptx_lex *l)
{
    l->t.kind = PTX_T_INT;
    if (is_decimal_float(l)) {
        TRY(decimal_float(l));
    } else {
        uint64_t v = 0;
        TRY(number_body(l, &v));
        memcpy(&l->t.bits, &v, sizeof v);
    }
    if (l->t.kind == PTX_T_INT && l->p < l->end && *l->p == 'U')
        l->p++;
    if (l->p < l->end && is_name_char(*l->p))
        return ptx_lex_error_at(l, l->p, "'%c' in a number", *l->p);
    return 0;
}

/* --- tokens --- */

static int skip_comment(struct ptx_lex *l)
{
    const char *const start = l->p;
    if (start[1] == '/') {
        while (l->p < l->end && *l->p != '\n')
            l->p++;
        return 0;
    }
    for (l->p += 2; l->end - l->p >= 2; l->p++) {
        if (l->p[0] == '*' && l->p[1] == '/') {
            l->p += 2;
            return 0;
        }
        l->line += *l->p == '\n';
    }
    return ptx_lex_error_at(l, start, "a comment without end");
}

static int skip_blanks(struct ptx_lex *l)
{
    while (l->p < l->end) {
        const char c = *l->p;
        if (c == '/' && l->end - l->p > 1 && (l->p[1] == '/' || l->p[1] == '*')) {
            TRY(skip_comment(l));
            continue;
        }
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            break;
        l->line += c == '\n';
        l->p++;
    }
    return 0;
}

static void name(struct ptx_lex *l)
{
    l->p++;
    while (l->p < l->end && is_name_char(*l->p))
        l->p++;
    l->t.len = (int32_t)(l->p - l->t.text);
}

static int string(struct ptx_lex *l)
{
    const char *const close = memchr(l->p + 1, '"', (size_t)(l->end - l->p - 1));
    if (!close || memchr(l->p, '\n', (size_t)(close - l->p)))
        return ptx_lex_error(l, "a string without end");
    l->t.kind = PTX_T_STRING;
    l->t.text++;
    l->t.len = (int32_t)(close - l->t.text);
    l->p = close + 1;
    return 0;
}

int ptx_lex_next(struct ptx_lex *l)
{
    TRY(skip_blanks(l));
    l->t = (struct ptx_token){.text = l->p, .line = l->line};
    if (l->p == l->end || *l->p == 0)
        return 0;
    const char c = *l->p;
    /* "128B" of "L2::128B", where the body is only counted, is no number */
    const bool is_qualifier = l->p > l->text && l->p[-1] == ':';
    if (is_name_start(c) || (is_digit(c) && is_qualifier)) {
        l->t.kind = PTX_T_NAME;
        name(l);
    } else if (c == '.' && l->end - l->p > 1 && is_name_char(l->p[1])) {
        l->t.kind = PTX_T_DIRECTIVE;
        l->t.text++;
        name(l);
    } else if (is_digit(c)) {
        return number(l);
    } else if (c == '"') {
        return string(l);
    } else if (memchr(",;:{}[]()<>|!@+-~=*/&^?", c, 23)) {
        l->t.kind = PTX_T_PUNCT;
        l->t.len = 1;
        l->p++;
    } else {
        return ptx_lex_error_at(l, l->p, "the byte 0x%02x is not part of PTX",
                                (unsigned char)c);
    }
    return 0;
}

int ptx_lex_open(struct ptx_lex *l, const char *text, size_t n_bytes, const char *name)
{
    *l = (struct ptx_lex){
        .name = name, .text = text, .end = text + n_bytes, .p = text, .line = 1};
    if (n_bytes > INT32_MAX)
        return ERR(ERR_INPUT, "%s: %zu bytes of PTX, at most 2 GiB are read", name,
                   n_bytes);
    return ptx_lex_next(l);
}

bool ptx_lex_is(const struct ptx_lex *l, char punct)
{
    return l->t.kind == PTX_T_PUNCT && *l->t.text == punct;
}

bool ptx_lex_text(const struct ptx_lex *l, enum ptx_token_kind kind, const char *text)
{
    return l->t.kind == kind && (size_t)l->t.len == strlen(text) &&
           memcmp(l->t.text, text, (size_t)l->t.len) == 0;
}

int ptx_lex_take(struct ptx_lex *l, char punct)
{
    if (ptx_lex_is(l, punct))
        return ptx_lex_next(l);
    if (l->t.kind == PTX_T_END)
        return ptx_lex_error(l, "the text ends, expected '%c'", punct);
    const int32_t len = l->t.len ? l->t.len : (int32_t)(l->p - l->t.text);
    return ptx_lex_error(l, "found '%.*s', expected '%c'", len, l->t.text, punct);
}

int ptx_lex_take_int(struct ptx_lex *l, int64_t min, int64_t max, int64_t *out)
{
    if (l->t.kind != PTX_T_INT || l->t.bits < min || l->t.bits > max)
        return ptx_lex_error(l, "expected a number of %" PRId64 " to %" PRId64, min,
                             max);
    *out = l->t.bits;
    return ptx_lex_next(l);
}

void ptx_lex_mnemonic(struct ptx_lex *l)
{
    while (l->p < l->end && (is_name_char(*l->p) || *l->p == '.' || *l->p == ':'))
        l->p++;
    l->t.len = (int32_t)(l->p - l->t.text);
}

bool ptx_lex_is_label(const struct ptx_lex *l)
{
    const char *p = l->p;
    while (p < l->end && (*p == ' ' || *p == '\t'))
        p++;
    return p < l->end && *p == ':' && (l->end - p < 2 || p[1] != ':');
}

int ptx_lex_skip_line(struct ptx_lex *l)
{
    while (l->p < l->end && *l->p != '\n')
        l->p++;
    return ptx_lex_next(l);
}

int ptx_lex_skip_statement(struct ptx_lex *l)
{
    while (l->t.kind != PTX_T_END && !ptx_lex_is(l, ';'))
        TRY(ptx_lex_next(l));
    return ptx_lex_take(l, ';');
}

int ptx_lex_skip_braces(struct ptx_lex *l)
{
    int32_t depth = 0;
    do {
        if (l->t.kind == PTX_T_END)
            return ptx_lex_error(l, "the text ends, expected '}'");
        depth += ptx_lex_is(l, '{') - ptx_lex_is(l, '}');
        TRY(ptx_lex_next(l));
    } while (depth > 0);
    return 0;
}

int ptx_lex_count(const struct ptx_lex *l, char punct, bool is_deep, int64_t *out)
{
    struct ptx_lex ahead = *l;
    int32_t depth = 0;
    int64_t n = 0;
    do {
        if (ahead.t.kind == PTX_T_END)
            return ptx_lex_error(l, "braces without end");
        depth += ptx_lex_is(&ahead, '{') - ptx_lex_is(&ahead, '}');
        n += ptx_lex_is(&ahead, punct) && (is_deep || depth == 1);
        TRY(ptx_lex_next(&ahead));
    } while (depth > 0);
    *out = n;
    return 0;
}
