/*
 * The tokenizer. Indentation follows CPython: a tab advances to the next multiple of
 * eight, and a second count with tabs of one column must order lines the same way, else
 * the mixture is an error.
 */
#include "reward/code_lex.h"

#include <string.h>

struct word {
    const char *text;
    enum lex_kind kind;
};

static const struct word keywords[] = {
#define X(id, text) {text, id},
    LEX_KEYWORD_LIST(X)
#undef X
};

static const struct word operators[] = {
#define X(id, text) {text, id},
    LEX_OPERATOR_LIST(X)
#undef X
};

void lex_init(struct lex *x, const char *text, size_t len, size_t off, bool is_single)
{
    *x = (struct lex){
        .text = text,
        .len = len,
        .off = off,
        .is_single = is_single,
        .is_line_start = true,
        .n_indents = 1,
    };
}

static int peek(const struct lex *x, size_t ahead)
{
    return x->off + ahead < x->len ? (unsigned char)x->text[x->off + ahead] : -1;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

static bool is_name_start(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_char(int c) { return is_name_start(c) || is_digit(c); }

static struct lex_token token(const struct lex *x, enum lex_kind kind, size_t off)
{
    return (struct lex_token){.kind = kind, .off = off, .len = x->off - off};
}

static struct lex_token fail(struct lex *x, enum code_status status, size_t off)
{
    struct lex_token t = token(x, LEX_ERROR, off);
    t.status = status;
    x->is_done = true;
    return t;
}

static void skip_comment(struct lex *x)
{
    while (x->off < x->len && x->text[x->off] != '\n' && x->text[x->off] != '\r')
        x->off++;
}

/* a line's end: \n, \r\n or \r */
static bool skip_newline(struct lex *x)
{
    const int c = peek(x, 0);
    if (c == '\r')
        x->off += peek(x, 1) == '\n' ? 2 : 1;
    else if (c == '\n')
        x->off++;
    return c == '\r' || c == '\n';
}

/* Leaves off at the first token of a line that has one, and gives its columns. */
static void measure_indent(struct lex *x, int32_t *column, int32_t *narrow)
{
    do {
        *column = *narrow = 0;
        for (int c = peek(x, 0); c == ' ' || c == '\t' || c == '\f'; c = peek(x, 0)) {
            *column = c == ' ' ? *column + 1 : c == '\t' ? (*column / 8 + 1) * 8 : 0;
            *narrow = c == '\f' ? 0 : *narrow + 1;
            x->off++;
        }
        if (peek(x, 0) == '#')
            skip_comment(x);
    } while (skip_newline(x));
}

/* At the start of a logical line: sets n_dedents, or returns an INDENT or an error;
 * LEX_NAME stands for neither. */
static struct lex_token start_line(struct lex *x)
{
    int32_t column, narrow;
    const size_t start = x->off;
    measure_indent(x, &column, &narrow);
    x->is_line_start = false;
    if (x->off == x->len)
        column = narrow = 0;
    const int32_t top = x->n_indents - 1;
    if (column > x->columns[top]) {
        if (narrow <= x->narrow[top])
            return fail(x, CODE_FAULT, start);
        if (x->n_indents == LEX_INDENTS_MAX)
            return fail(x, CODE_LIMIT, start);
        x->columns[x->n_indents] = column;
        x->narrow[x->n_indents++] = narrow;
        return token(x, LEX_INDENT, x->off);
    }
    int32_t level = top;
    while (column < x->columns[level])
        level--;
    if (column != x->columns[level] || narrow != x->narrow[level])
        return fail(x, CODE_FAULT, start);
    x->n_dedents = top - level;
    x->is_done = x->is_single && x->has_statement && level == 0;
    return token(x, LEX_NAME, x->off);
}

/* Digits with single underscores between them. False: not so formed. */
static bool skip_digits(struct lex *x)
{
    while (is_digit(peek(x, 0))) {
        x->off++;
        if (peek(x, 0) == '_') {
            x->off++;
            if (!is_digit(peek(x, 0)))
                return false;
        }
    }
    return true;
}

static struct lex_token lex_number(struct lex *x)
{
    const size_t start = x->off;
    const int second = peek(x, 1);
    enum lex_kind kind = LEX_INT;
    bool is_good = true;
    /* hexadecimal, octal, binary */
    if (peek(x, 0) == '0' && second > 0 && strchr("xXoObB", second) != NULL)
        return fail(x, CODE_UNSUPPORTED, start);
    is_good = skip_digits(x);
    if (peek(x, 0) == '.') {
        kind = LEX_FLOAT;
        x->off++;
        is_good = is_good && skip_digits(x);
    }
    if (peek(x, 0) == 'e' || peek(x, 0) == 'E') {
        const size_t sign = peek(x, 1) == '-' || peek(x, 1) == '+';
        if (is_digit(peek(x, 1 + sign))) {
            kind = LEX_FLOAT;
            x->off += 1 + sign;
            is_good = is_good && skip_digits(x);
        }
    }
    if (is_name_char(peek(x, 0))) /* 5j, 5if: legal at times, and no arithmetic */
        return fail(x, is_good ? CODE_UNSUPPORTED : CODE_FAULT, start);
    const struct lex_token t = token(x, kind, start);
    bool is_zero = true;
    for (size_t i = 0; i < t.len; i++)
        is_zero = is_zero && (x->text[start + i] == '0' || x->text[start + i] == '_');
    if (!is_good || (kind == LEX_INT && t.len > 1 && x->text[start] == '0' && !is_zero))
        return fail(x, CODE_FAULT, start);
    return t;
}

/* A string from its opening quote on */
static struct lex_token lex_string(struct lex *x, size_t start, enum lex_kind kind)
{
    const int quote = peek(x, 0);
    const bool is_triple = peek(x, 1) == quote && peek(x, 2) == quote;
    x->off += is_triple ? 3 : 1;
    const size_t body = x->off;
    for (; x->off < x->len; x->off++) {
        const int c = peek(x, 0);
        if (c == '\\') {
            x->off += peek(x, 1) == '\r' && peek(x, 2) == '\n' ? 2 : 1;
            kind = kind == LEX_STRING ? LEX_TEXT : kind;
        } else if (!is_triple && (c == '\n' || c == '\r')) {
            break;
        } else if (c == '\r') { /* Python reads it as \n */
            kind = kind == LEX_STRING ? LEX_TEXT : kind;
        } else if (c == quote &&
                   (!is_triple || (peek(x, 1) == quote && peek(x, 2) == quote))) {
            struct lex_token t = token(x, kind, body);
            x->off += is_triple ? 3 : 1;
            return t;
        }
    }
    if (x->off > x->len) /* a backslash was the last byte */
        x->off = x->len;
    return fail(x, CODE_FAULT, start);
}

/* A name that is the prefix of a string: r, b, u, f and their pairs; the kind of string
 * in *kind_out */
static bool is_string_prefix(const struct lex *x, size_t start, enum lex_kind *kind_out)
{
    static const char *const prefixes[] = {"r", "u", "b", "f", "br", "rb", "fr", "rf"};
    const size_t len = x->off - start;
    const int quote = peek(x, 0);
    if ((quote != '"' && quote != '\'') || len > 2)
        return false;
    char lower[3] = {0};
    for (size_t i = 0; i < len; i++)
        lower[i] = (char)(x->text[start + i] | 0x20);
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strcmp(lower, prefixes[i]) != 0)
            continue;
        *kind_out = strchr(lower, 'f') != NULL ? LEX_FORMAT : LEX_TEXT;
        return true;
    }
    return false;
}

static struct lex_token lex_word(struct lex *x)
{
    const size_t start = x->off;
    while (is_name_char(peek(x, 0)))
        x->off++;
    enum lex_kind kind = LEX_NAME;
    if (is_string_prefix(x, start, &kind))
        return lex_string(x, start, kind);
    const size_t len = x->off - start;
    if (peek(x, 0) >= 0x80) /* names beyond ASCII */
        return fail(x, CODE_UNSUPPORTED, start);
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
        if (strlen(keywords[i].text) == len &&
            memcmp(keywords[i].text, x->text + start, len) == 0)
            kind = keywords[i].kind;
    return token(x, kind, start);
}

static struct lex_token lex_operator(struct lex *x)
{
    const size_t start = x->off;
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        const size_t len = strlen(operators[i].text);
        if (len > x->len - start ||
            memcmp(operators[i].text, x->text + start, len) != 0)
            continue;
        x->off += len;
        const enum lex_kind kind = operators[i].kind;
        if (kind == OP_LPAREN || kind == OP_LBRACKET || kind == OP_LBRACE)
            x->n_brackets++;
        if (kind == OP_RPAREN || kind == OP_RBRACKET || kind == OP_RBRACE)
            x->n_brackets -= x->n_brackets > 0;
        return token(x, kind, start);
    }
    return fail(x, peek(x, 0) >= 0x80 ? CODE_UNSUPPORTED : CODE_FAULT, start);
}

/* Blanks, comments, joined lines. False: a backslash that joins nothing. */
static bool skip_blanks(struct lex *x)
{
    for (;;) {
        const int c = peek(x, 0);
        if (c == ' ' || c == '\t' || c == '\f') {
            x->off++;
        } else if (c == '#') {
            skip_comment(x);
        } else if (c == '\\') {
            x->off++;
            if (!skip_newline(x) || x->off == x->len)
                return false;
        } else if (x->n_brackets == 0 || !skip_newline(x)) {
            return true;
        }
    }
}

/* At the end of the text: closes the last line, then the blocks. */
static struct lex_token finish(struct lex *x)
{
    if (x->has_token) {
        x->has_token = false;
        return token(x, LEX_NEWLINE, x->off);
    }
    if (x->n_indents > 1) {
        x->n_indents--;
        return token(x, LEX_DEDENT, x->off);
    }
    return token(x, LEX_END, x->off);
}

struct lex_token lex_next(struct lex *x)
{
    if (x->is_line_start) {
        const struct lex_token t = start_line(x);
        if (t.kind != LEX_NAME)
            return t;
    }
    if (x->n_dedents > 0) {
        x->n_dedents--;
        x->n_indents--;
        return token(x, LEX_DEDENT, x->off);
    }
    if (x->is_done)
        return token(x, LEX_END, x->off);
    if (!skip_blanks(x))
        return fail(x, CODE_FAULT, x->off);
    if (x->off == x->len)
        return finish(x);
    const size_t start = x->off;
    if (skip_newline(x)) {
        x->is_line_start = true;
        x->has_token = false;
        return token(x, LEX_NEWLINE, start);
    }
    x->has_token = x->has_statement = true;
    const int c = peek(x, 0);
    if (is_digit(c) || (c == '.' && is_digit(peek(x, 1))))
        return lex_number(x);
    if (is_name_start(c))
        return lex_word(x);
    if (c == '"' || c == '\'')
        return lex_string(x, start, LEX_STRING);
    return lex_operator(x);
}
