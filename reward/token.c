/*
 * The lexer. One pass, each byte looked at a bounded number of times; the number
 * grammar is in reward/token_number.c.
 */
#include "reward/token.h"

#include <string.h>

#include "reward/token_lexer.h"

static bool is_letter(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_high(char c) { return (c & 0x80) != 0; }

/* FNV-1a of a name without blanks and braces; seed 0 keeps the case of letters */
static uint32_t hash_of(const char *text, size_t len, uint32_t seed)
{
    uint32_t h = seed ^ 2166136261u;
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        if (c != ' ' && c != '{' && c != '}')
            h = (h ^ (uint8_t)(is_letter(c) && seed != 0 ? c | 0x20 : c)) * 16777619u;
    }
    return h;
}

struct token *token_put(struct lexer *x, int kind, int32_t id, size_t len)
{
    struct tokens *const t = x->t;
    if (t->n == TOKEN_MAX) {
        x->is_limit = true;
        t->n--;
    }
    struct token *const k = &t->at[t->n++];
    *k = (struct token){.kind = (uint8_t)kind,
                        .id = id,
                        .has_space = x->has_space,
                        .is_text = x->text_depth > 0,
                        .text = x->s + x->i,
                        .len = len};
    x->i += len;
    x->has_space = false;
    return k;
}

static void skip(struct lexer *x, size_t len)
{
    x->i += len;
    x->has_space = true;
}

static char peek(const struct lexer *x, size_t k)
{
    return x->i + k < x->len ? x->s[x->i + k] : 0;
}

/* The bytes of a UTF-8 sequence, at least one, and its code point. */
static size_t decode(const struct lexer *x, uint32_t *out)
{
    const uint8_t c = (uint8_t)peek(x, 0);
    const size_t n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
    uint32_t v = n == 1 ? 0xFFFD : c & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if (((uint8_t)peek(x, i) & 0xC0) != 0x80)
            return *out = 0xFFFD, i;
        v = v << 6 | ((uint8_t)peek(x, i) & 0x3F);
    }
    *out = v;
    return n;
}

/* Signs, digits and numerals that are not ASCII and not in the tables: nobody can say
 * what they make of what stands beside them. */
static bool is_opaque(uint32_t v)
{
    static const uint32_t zeros[] = {
        0x660,   0x6F0,   0x7C0,   0x966,   0x9E6,   0xA66,   0xAE6,   0xB66,   0xBE6,
        0xC66,   0xCE6,   0xD66,   0xDE6,   0xE50,   0xED0,   0xF20,   0x1040,  0x1090,
        0x17E0,  0x1810,  0x1946,  0x19D0,  0x1A80,  0x1A90,  0x1B50,  0x1BB0,  0x1C40,
        0x1C50,  0xA620,  0xA8D0,  0xA900,  0xA9D0,  0xA9F0,  0xAA50,  0xABF0,  0xFF10,
        0x104A0, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650,
        0x116C0, 0x11730, 0x118E0, 0x16A60, 0x16B50, 0x1E950, 0x1FBF0};
    for (int64_t i = 0; i < ARRAY_LEN(zeros); i++)
        if (v >= zeros[i] && v < zeros[i] + 10)
            return true;
    return v == 0xB9 || (v >= 0x2000 && v <= 0x2BFF) || (v >= 0x1D7CE && v <= 0x1D7FF);
}

/* Subscripts and primes belong to the name: x_1, a_{n}, f' */
static void take_suffix(struct lexer *x, struct token *k)
{
    while (peek(x, 0) == '\'')
        k->hash = hash_of("'", 1, k->hash), x->i++;
    if (peek(x, 0) != '_')
        return;
    size_t end = x->i + 1;
    int depth = 0;
    do {
        if (end >= x->len)
            return;
        depth += x->s[end] == '{' ? 1 : x->s[end] == '}' ? -1 : 0;
        end++;
    } while (depth > 0);
    if (x->s[end - 1] == '\\') /* _\max */
        while (end < x->len && is_letter(x->s[end]))
            end++;
    k->hash = hash_of(x->s + x->i, end - x->i, 0) ^ (k->hash * 31);
    x->i = end;
}

static void put_word(struct lexer *x, size_t len)
{
    struct token *const k = token_put(x, TOKEN_WORD, 0, len);
    k->hash = hash_of(k->text, len, 1);
    k->is_text = true;
}

static void put_letter(struct lexer *x, size_t len)
{
    const char c = peek(x, 0);
    if (len == 1 && (c == 'e' || c == 'i') && peek(x, 1) != '_' && peek(x, 1) != '\'') {
        token_put(x, TOKEN_CONST, c == 'e' ? CONST_E : CONST_I, 1)->hash = (uint8_t)c;
        return;
    }
    const bool is_after_number = x->t->n > 0 && x->t->at[x->t->n - 1].kind == TOKEN_NUM;
    if (c == 'm' && is_after_number && (uint8_t)peek(x, 1) == 0xC2 &&
        ((uint8_t)peek(x, 2) == 0xB2 || (uint8_t)peek(x, 2) == 0xB3)) {
        put_word(x, 1); /* square and cubic metres */
        return;
    }
    const uint32_t hash = len == 1 ? (uint8_t)c : hash_of(x->s + x->i, len, 0);
    struct token *const k = token_put(x, TOKEN_VAR, 0, len);
    k->hash = hash;
    if (!k->is_text)
        take_suffix(x, k);
}

/* Whether a run of two or three letters is a product of variables: beside an operator
 * or a bracket, not beside a word. */
static bool is_product(const struct lexer *x, size_t len)
{
    size_t before = x->i, after = x->i + len;
    if (!x->has_math || len > 3 || token_is_unit(x->s + x->i, len))
        return false;
    while (before > 0 && x->s[before - 1] == ' ')
        before--;
    while (after < x->len && x->s[after] == ' ')
        after++;
    /* a single letter on either side is a variable, no word */
    const bool word_before = before > 1 &&
                             (is_letter(x->s[before - 1]) ||
                              is_high(x->s[before - 1])) &&
                             (is_letter(x->s[before - 2]) || is_high(x->s[before - 2]));
    const bool word_after = after + 1 < x->len && is_letter(x->s[after]) &&
                            (is_letter(x->s[after + 1]) || is_high(x->s[after + 1]));
    return !word_before && !word_after;
}

static void put_letters(struct lexer *x)
{
    size_t len = 0;
    bool is_ascii = true;
    for (char c = peek(x, 0); is_letter(c) || is_high(c); c = peek(x, len)) {
        size_t used = 1;
        if (is_high(c)) {
            const struct lexer at = {.s = x->s, .len = x->len, .i = x->i + len};
            uint32_t v;
            used = decode(&at, &v);
            if (token_symbol(x->s + x->i + len, x->len - x->i - len, &used) != NULL ||
                is_opaque(v))
                break;
            is_ascii = false;
        }
        len += used;
    }
    const struct token_name *const name = is_ascii ? token_plain(x->s + x->i, len)
                                                   : NULL;
    const bool is_greek = len == 2 &&
                          ((uint8_t)peek(x, 0) == 0xCE || (uint8_t)peek(x, 0) == 0xCF);
    if (name != NULL && name->kind == TOKEN_SCALE) {
        struct token *const k = token_put(x, TOKEN_SCALE, name->id, len);
        k->num = rat_int(x->t->pool, name->id < 0 ? 1000000000000 : name->id);
    } else if (name != NULL) {
        token_put(x, name->kind, name->id, len);
    } else if (len == 1 || is_greek) {
        put_letter(x, len);
    } else if (x->text_depth == 0 && is_ascii && is_product(x, len)) {
        for (size_t i = 0; i < len; i++)
            put_letter(x, 1);
    } else {
        put_word(x, len);
    }
}

static bool is_named(const char *list, const char *text, size_t len)
{
    const char *at = list;
    if (memchr(text, 0, len) != NULL)
        return false;
    while ((at = strstr(at, "|")) != NULL) {
        at++;
        if (strncmp(at, text, len) == 0 && at[len] == '|')
            return true;
    }
    return false;
}

static size_t blanks(const struct lexer *x, size_t k)
{
    while (peek(x, k) == ' ' || peek(x, k) == '\n')
        k++;
    return k;
}

/* \begin{...} and \end{...}; the column list of an array is passed over */
static void put_environment(struct lexer *x, size_t name_len, bool is_begin)
{
    const size_t open = blanks(x, name_len);
    size_t end = open;
    while (x->i + end < x->len && peek(x, end) != '}')
        end++;
    const bool is_matrix = peek(x, open) == '{' &&
                           is_named("|matrix|pmatrix|bmatrix|Bmatrix|"
                                    "smallmatrix|array|",
                                    x->s + x->i + open + 1, end - open - 1);
    const bool is_array = is_matrix && peek(x, open + 1) == 'a';
    if (is_array && is_begin && peek(x, end + 1) == '{')
        for (end++; x->i + end < x->len && peek(x, end) != '}'; end++)
            continue;
    x->matrix_depth += is_begin ? 1 : -1;
    token_put(x,
              !is_matrix ? TOKEN_OTHER
              : is_begin ? TOKEN_BEGIN
                         : TOKEN_FINISH,
              0, x->i + end < x->len ? end + 1 : end);
}

static const char text_commands[] =
    "|text|mbox|textbf|textit|mathrm|mathbf|textnormal|operatorname|mathit|textrm|"
    "textsf|mathsf|hbox|boldsymbol|mathcal|emph|mathbb|";
static const char greek_commands[] =
    "|alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|vartheta|iota|kappa|"
    "lambda|mu|nu|xi|rho|sigma|tau|upsilon|phi|varphi|chi|psi|omega|Gamma|Delta|Theta|"
    "Lambda|Xi|Pi|Sigma|Phi|Psi|Omega|ell|";

static void put_command(struct lexer *x, size_t slash)
{
    size_t len = 0;
    while (is_letter(peek(x, slash + len)))
        len++;
    const char *const name = x->s + x->i + slash;
    const struct token_name *const known = token_command(name, len);
    const size_t after = blanks(x, slash + len);
    if (known != NULL && known->kind == TOKEN_END) {
        skip(x, slash + len);
    } else if (len > 4 && memcmp(name, "quad", 4) == 0) {
        skip(x, slash + 4); /* a blank is missing after it */
    } else if (known != NULL) {
        x->depth += known->id == OP_SET ? 1 : known->id == OP_SET_END ? -1 : 0;
        token_put(x, known->kind, known->id, slash + len);
    } else if (is_named("|begin|end|", name, len)) {
        put_environment(x, slash + len, *name == 'b');
    } else if (is_named("|mathbb|", name, len) && peek(x, after) == '{' &&
               peek(x, after + 1) == 'R') {
        token_put(x, TOKEN_CONST, CONST_REALS, after + 3);
    } else if (is_named(text_commands, name, len) && peek(x, after) == '{') {
        skip(x, after + 1);
        x->text_depth++;
    } else if (is_named(greek_commands, name, len)) {
        struct token *const k = token_put(x, TOKEN_VAR, 0, slash + len);
        k->hash = hash_of(name, len, 0);
        take_suffix(x, k);
    } else {
        token_put(x, TOKEN_OTHER, 0, slash + len)->hash = hash_of(name, len, 0);
    }
}

static bool is_command_name(const struct lexer *x, size_t at)
{
    size_t len = 0;
    while (is_letter(peek(x, at + len)))
        len++;
    return len > 1 && (token_command(x->s + x->i + at, len) != NULL ||
                       is_named(text_commands, x->s + x->i + at, len));
}

static void put_backslash(struct lexer *x)
{
    const char next = peek(x, 1);
    if (is_letter(next)) {
        put_command(x, 1);
    } else if (next == '\\' && x->matrix_depth > 0) {
        token_put(x, TOKEN_ROW, 0, 2);
    } else if (next == '\\' && is_command_name(x, 2)) {
        put_command(x, 2); /* written for a language that escapes backslashes */
    } else if (next == '{' || next == '}') {
        x->depth += next == '{' ? 1 : -1;
        token_put(x, TOKEN_OP, next == '{' ? OP_SET : OP_SET_END, 2);
    } else if (next == '%' || next == '|') {
        token_put(x, TOKEN_OP, next, 2);
    } else if (next != 0 && strchr("$,;:! /()[]\n\\", next) != NULL) {
        skip(x, 2);
    } else {
        token_put(x, TOKEN_OTHER, 0, 1)->hash = '\\';
    }
}

static void put_high(struct lexer *x)
{
    uint32_t v;
    size_t used;
    const size_t n = decode(x, &v);
    const struct token_name *const k = token_symbol(x->s + x->i, x->len - x->i, &used);
    const bool is_after_number = x->t->n > 0 && x->t->at[x->t->n - 1].kind == TOKEN_NUM;
    if (k != NULL && k->kind == TOKEN_END) {
        skip(x, used);
    } else if (k != NULL && k->kind == TOKEN_NUM) {
        struct token *const num = token_put(x, TOKEN_NUM, 1, used);
        struct pool *const p = x->t->pool;
        num->num = rat_make(p, 1, big_small(p, (uint64_t)k->id / 100),
                            big_small(p, (uint64_t)k->id % 100));
    } else if (k != NULL && (k->id == '2' || k->id == '3')) {
        token_put(x, TOKEN_OP, '^', 0);
        struct token *const num = token_put(x, TOKEN_NUM, 0, used);
        num->num = rat_int(x->t->pool, k->id - '0');
        num->is_integer = true;
    } else if (k != NULL) {
        token_put(x, k->kind, k->id, used);
    } else if (v == 0x2013 && !is_after_number) {
        token_put(x, TOKEN_OP, '-', n); /* a dash as a sign; between numbers a range */
    } else if (is_opaque(v)) {
        token_put(x, TOKEN_OTHER, 0, n)->hash = v;
    } else {
        put_letters(x);
    }
}

static void put_relation(struct lexer *x)
{
    const char c = peek(x, 0);
    const bool has_equal = peek(x, 1) == '=';
    token_put(x, TOKEN_REL,
              !has_equal || c == '=' ? c
              : c == '<'             ? 'l'
              : c == '>'             ? 'g'
                                     : '!',
              has_equal ? 2 : 1);
}

/* "**" is a power between operands, markdown elsewhere */
static void put_star(struct lexer *x)
{
    const size_t len = peek(x, 1) == '*' ? 2 : 1;
    const char next = peek(x, blanks(x, len));
    /* "*18* dollars": emphasis ends */
    const bool is_closing = !x->has_space && is_letter(next) && peek(x, len) == ' ';
    /* "I got **18** then": bold; 2**3 and 2 ** 3 are powers */
    const bool is_bold = len == 2 && x->has_space != (peek(x, len) == ' ');
    if (x->t->n == 0 || next == 0 || is_closing || is_bold || next == '*')
        skip(x, len);
    else
        token_put(x, TOKEN_OP, len == 2 ? '^' : '*', len);
}

static void put_point(struct lexer *x)
{
    const char next = peek(x, 1);
    if (next == 0 || strchr(" \n\t$)}\\*\"", next) != NULL)
        skip(x, 1); /* of a sentence */
    else
        token_put(x, TOKEN_OTHER, 0, 1)->hash = '.';
}

static void put_brace(struct lexer *x)
{
    const char c = peek(x, 0);
    if (c == '}' && x->text_depth > 0 && x->text_depth-- == 1) {
        skip(x, 1);
        return;
    }
    if (x->text_depth > 0) {
        x->text_depth += c == '{' ? 1 : 0; /* nested in text: matched above */
        skip(x, 1);
        return;
    }
    token_put(x, TOKEN_OP, c, 1);
}

static void put_ascii(struct lexer *x)
{
    const char c = peek(x, 0);
    if (memchr("()[]", c, 4) != NULL) {
        x->depth += c == '(' || c == '[' ? 1 : -1;
        token_put(x, TOKEN_OP, c, 1);
    } else if (memchr("=<>", c, 3) != NULL || (c == '!' && peek(x, 1) == '=')) {
        put_relation(x);
    } else if (c == '!' && x->t->n > 0 && x->t->at[x->t->n - 1].kind == TOKEN_WORD) {
        skip(x, 1); /* no factorial of a word */
    } else if (memchr("+-/^_|:%'!", c, 10) != NULL) {
        token_put(x, TOKEN_OP, c, 1);
    } else if (c == ',' || c == ';') {
        token_put(x, TOKEN_SEP, c, 1);
    } else if (c == '*') {
        put_star(x);
    } else if (c == '.') {
        put_point(x);
    } else if (c == '&' && x->matrix_depth > 0) {
        token_put(x, TOKEN_CELL, 0, 1);
    } else if (c == '\f' && peek(x, 1) == 'r' && peek(x, 2) == 'a' &&
               peek(x, 3) == 'c') {
        token_put(x, TOKEN_OP, OP_FRAC,
                  4); /* \frac that JSON has read as a form feed */
    } else if (memchr(" \t\r\n$~`\"?", c, 9) != NULL) {
        skip(x, 1);
    } else {
        token_put(x, TOKEN_OTHER, 0, 1)->hash = (uint8_t)c;
    }
}

static bool shows_math(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] != 0 && strchr("0123456789+-*/^=<>()_\\", s[i]) != NULL)
            return true;
    return false;
}

enum token_status tokens_read(struct tokens *t, const char *text, size_t len)
{
    t->text = text;
    t->len = len;
    t->n = 0;
    t->at[0] = (struct token){.kind = TOKEN_END};
    if (len > TOKEN_MAX_BYTES)
        return TOKENS_LIMIT;
    struct lexer x = {.t = t, .s = text, .len = len, .has_math = shows_math(text, len)};
    while (x.i < len && !x.is_limit) {
        const char c = text[x.i];
        if (is_digit(c) || (c == '.' && is_digit(peek(&x, 1))))
            token_number(&x);
        else if (is_letter(c))
            put_letters(&x);
        else if (c == '{' || c == '}')
            put_brace(&x);
        else if (c == '\\')
            put_backslash(&x);
        else if (is_high(c))
            put_high(&x);
        else
            put_ascii(&x);
    }
    t->at[t->n] = (struct token){.kind = TOKEN_END, .text = text + len};
    return x.is_limit || t->pool->is_over ? TOKENS_LIMIT : TOKENS_OK;
}

void tokens_flatten(struct tokens *t)
{
    int32_t n = 0;
    for (int32_t i = 0; i <= t->n; i++) {
        const uint8_t kind = t->at[i].kind;
        if (kind != TOKEN_BEGIN && kind != TOKEN_FINISH && kind != TOKEN_ROW)
            t->at[n++] = t->at[i];
    }
    t->n = n - 1;
}

static bool is_same(struct pool *p, const struct token *a, const struct token *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind == TOKEN_NUM)
        return rat_compare(p, a->num, b->num) == 0;
    return a->kind == TOKEN_SEP || (a->id == b->id && a->hash == b->hash);
}

bool tokens_equal(struct pool *p, const struct tokens *a, const struct tokens *b)
{
    bool is_equal = a->n == b->n;
    for (int32_t i = 0; i < a->n && is_equal; i++)
        is_equal = is_same(p, &a->at[i], &b->at[i]);
    return is_equal;
}
