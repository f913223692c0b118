/* Lists, relations, unions, ratios, sums and products; atoms are in parse_atom.c. */
#include "reward/parse.h"

#include <string.h>
#include <strings.h>

int parse_fail(struct parser *p, enum expr_status status)
{
    if (p->status == EXPR_OK || status == EXPR_LIMIT)
        p->status = status;
    return -1;
}

int parse_node(struct parser *p, int kind)
{
    struct expr *const e = p->e;
    if (e->n == EXPR_MAX_NODES)
        return parse_fail(p, EXPR_LIMIT);
    e->at[e->n] = (struct node){.kind = (uint8_t)kind, .child = -1, .next = -1};
    return e->n++;
}

void parse_link(struct parser *p, int parent, int child)
{
    int16_t *to = &p->e->at[parent].child;
    while (*to >= 0)
        to = &p->e->at[*to].next;
    *to = (int16_t)child;
}

int parse_pair(struct parser *p, int kind, int a, int b)
{
    const int y = a == -1 || b == -1 ? -1 : parse_node(p, kind);
    if (y < 0)
        return -1;
    parse_link(p, y, a);
    if (b >= 0)
        parse_link(p, y, b);
    return y;
}

bool parse_accept(struct parser *p, int32_t op)
{
    const bool is_here = parse_is_op(p, op);
    p->at += is_here;
    return is_here;
}

static bool is_word(const struct token *k)
{
    return k->kind == TOKEN_WORD || (k->kind == TOKEN_VAR && k->is_text) ||
           (k->kind == TOKEN_CONST && k->is_text);
}

static int parse_unary(struct parser *p);

/* y * right: one node for a whole product, so that trees stay shallow */
static int parse_multiply(struct parser *p, int y, int right, bool *is_open)
{
    if (right < 0)
        return -1;
    if (!*is_open)
        y = parse_pair(p, NODE_MUL, y, right);
    else
        parse_link(p, y, right);
    *is_open = true;
    return y;
}

static int parse_scale(struct parser *p)
{
    const int factor = parse_node(p, NODE_NUM);
    if (factor >= 0)
        p->e->at[factor].num = parse_peek(p)->num;
    p->at++;
    return factor;
}

/* factor ((* | / | nothing) factor)* */
static int parse_product(struct parser *p)
{
    int y = parse_unary(p);
    bool is_open = false;
    while (y >= 0) {
        const struct token *const k = parse_peek(p);
        if (k->kind == TOKEN_SCALE) {
            y = parse_multiply(p, y, parse_scale(p), &is_open);
        } else if (parse_is_op(p, '/') && k[1].kind == TOKEN_WORD) {
            break; /* a unit: km/h */
        } else if (parse_is_op(p, '(') && is_word(k + 1)) {
            break; /* "5 (five)" */
        } else if (parse_accept(p, '*')) {
            y = parse_multiply(p, y, parse_unary(p), &is_open);
        } else if (parse_accept(p, '/')) {
            y = parse_pair(p, NODE_DIV, y, parse_unary(p));
            is_open = false;
        } else if (parse_starts_atom(p) && k->kind != TOKEN_NUM && !k->is_text) {
            y = parse_multiply(p, y, parse_factor(p), &is_open);
        } else {
            break;
        }
    }
    return y;
}

static int parse_unary(struct parser *p)
{
    const struct token *const k = parse_peek(p);
    const bool is_sign = k->kind == TOKEN_OP && (k->id == '-' || k->id == '+' ||
                                                 k->id == OP_PM || k->id == OP_MP);
    if (!is_sign)
        return parse_factor(p);
    if (++p->depth > EXPR_MAX_DEPTH)
        return parse_fail(p, EXPR_LIMIT);
    p->at++;
    const int kind = k->id == '-' ? NODE_NEG : k->id == OP_PM ? NODE_PM : NODE_MP;
    const int inner = parse_unary(p);
    p->depth--;
    if (inner >= 0 && kind == NODE_NEG && p->e->at[inner].kind == NODE_BASE) {
        p->e->at[inner].num = rat_neg(p->e->at[inner].num); /* the sign of its digits */
        return inner;
    }
    return k->id == '+' ? inner : parse_pair(p, kind, inner, -2);
}

int parse_sum(struct parser *p)
{
    int y = parse_product(p);
    bool is_open = false;
    while (y >= 0) {
        const int32_t op = parse_peek(p)->kind == TOKEN_OP ? parse_peek(p)->id : 0;
        if (op != '+' && op != '-' && op != OP_PM && op != OP_MP)
            break;
        p->at++;
        int right = parse_product(p);
        if (op != '+')
            right = parse_pair(p,
                               op == '-'     ? NODE_NEG
                               : op == OP_PM ? NODE_PM
                                             : NODE_MP,
                               right, -2);
        if (right < 0)
            return -1;
        if (!is_open)
            y = parse_pair(p, NODE_ADD, y, right);
        else
            parse_link(p, y, right);
        is_open = true;
    }
    return y;
}

/* parts of one kind joined by an operator; a single one stays itself */
static int parse_joined(struct parser *p, int32_t op, int kind,
                        int (*part)(struct parser *p))
{
    int y = part(p);
    if (y < 0 || !parse_is_op(p, op))
        return y;
    y = parse_pair(p, kind, y, -2);
    while (y >= 0 && parse_accept(p, op)) {
        const int next = part(p);
        if (next < 0)
            return -1;
        parse_link(p, y, next);
    }
    return y;
}

static int parse_ratio(struct parser *p)
{
    /* in a set a colon is "such that" */
    return p->n_bars > 0 ? parse_sum(p) : parse_joined(p, ':', NODE_RATIO, parse_sum);
}

/* Whether a word is one of those between the bars. */
static bool is_one_of(const struct token *k, const char *words)
{
    for (const char *at = words; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncasecmp(at, k->text, k->len) == 0 &&
            (at[k->len] == 0 || at[k->len] == '|'))
            return true;
    }
    return false;
}

/* "(in words)": brackets that hold words alone */
static bool skip_word_bracket(struct parser *p)
{
    const struct token *const first = parse_peek(p) + 1;
    const struct token *k = first;
    if (!parse_is_op(p, '(') || !is_word(k))
        return false;
    const bool is_about = is_one_of(first, "about|approximately|approx|roughly|around");
    while ((is_word(k) && (is_about || !token_is_hedge(k->text, k->len))) ||
           (is_about && k->kind == TOKEN_NUM))
        k++;
    if (k->kind != TOKEN_OP || k->id != ')')
        return false;
    p->at = (int32_t)(k + 1 - p->t->at);
    return true;
}

/* "for all x", "for some integer t": what follows says where a formula holds */
static bool skip_quantifier(struct parser *p)
{
    const struct token *k = parse_peek(p);
    if (!is_word(k) || !is_word(k + 1) || !is_one_of(k, "for") ||
        !is_one_of(k + 1, "all|any|every|each|some"))
        return false;
    while (k->kind != TOKEN_END && k->kind != TOKEN_SEP)
        k++;
    p->at = (int32_t)(k - p->t->at);
    return true;
}

/* A unit or prose after a value: words, "/ word", "word^2". False when a word takes the
 * value back. */
static bool parse_tail(struct parser *p, int y)
{
    for (bool is_more = true; is_more;) {
        const struct token *const k = parse_peek(p);
        if (skip_quantifier(p))
            return true;
        const bool is_per = parse_is_op(p, '/') &&
                            (is_word(k + 1) ||
                             (p->e->at[y].has_unit && k[1].kind == TOKEN_VAR));
        is_more = is_word(k) || is_per;
        if (is_word(k) && token_is_hedge(k->text, k->len))
            return false;
        if (is_word(k) && !p->e->at[y].has_unit)
            p->e->at[y].measure = (uint8_t)token_measure(k->text, k->len);
        if (!is_more && skip_word_bracket(p)) {
            is_more = true;
        } else if (is_more) {
            p->at += is_per ? 2 : 1;
            if (parse_accept(p, '^')) {
                const bool is_group = parse_accept(p, '{');
                p->at += parse_peek(p)->kind == TOKEN_NUM;
                if (is_group && !parse_accept(p, '}'))
                    return false;
            }
        }
        p->e->at[y].has_unit |= is_more;
    }
    return true;
}

static bool ends_side(const struct token *k)
{
    return k->kind == TOKEN_END || k->kind == TOKEN_SEP || k->kind == TOKEN_REL ||
           k->kind == TOKEN_CELL || k->kind == TOKEN_ROW || k->kind == TOKEN_FINISH ||
           (k->kind == TOKEN_OP && k->id < 128 &&
            (k->id == ')' || k->id == ']' || k->id == '}' || k->id == OP_SET_END ||
             k->id == OP_BAR || k->id == ':'));
}

/* Words alone: their tokens are compared as text. */
static int parse_words(struct parser *p)
{
    const struct token *const first = parse_peek(p);
    const struct token *last = first;
    for (; is_word(parse_peek(p)); p->at++)
        last = parse_peek(p);
    const int64_t value = first == last ? token_number_word(first->text, first->len)
                                        : -1;
    const int y = parse_node(p, value < 0 ? NODE_WORDS : NODE_NUM);
    if (y < 0)
        return -1;
    if (value >= 0)
        p->e->at[y].num = rat_int(p->e->pool, value);
    uint32_t hash = 0;
    for (const struct token *k = first; k <= last; k++)
        hash = hash * 31 + k->hash;
    p->e->at[y].text = first->text;
    p->e->at[y].len = (size_t)(last->text + last->len - first->text);
    p->e->at[y].hash = hash;
    return y;
}

static int parse_union(struct parser *p)
{
    return parse_joined(p, OP_CUP, NODE_UNION, parse_ratio);
}

/* words, or [words "is"] value [unit] */
static int parse_side(struct parser *p)
{
    if (parse_peek(p)->kind == TOKEN_WORD) {
        const int words = parse_words(p);
        if (words < 0 || ends_side(parse_peek(p)))
            return words;
        if (!is_one_of(parse_peek(p) - 1, "is|are|equals|be|was"))
            return parse_fail(p, EXPR_NONE);
        p->e->has_lead = true;
    }
    const int y = parse_union(p);
    if (y >= 0 && !parse_tail(p, y))
        return parse_fail(p, EXPR_HEDGED);
    /* "A triangle", "I think": the letter is no variable */
    if (y >= 0 && p->e->at[y].has_unit && p->e->at[y].measure == 0 &&
        (p->e->at[y].kind == NODE_VAR || p->e->at[y].kind == NODE_CONST))
        return parse_fail(p, EXPR_NONE);
    if (y >= 0 && !ends_side(parse_peek(p)))
        return parse_fail(p, p->e->at[y].has_unit || parse_peek(p)->kind == TOKEN_NUM
                                 ? EXPR_HEDGED
                                 : EXPR_NONE);
    return y;
}

/* Where "=" stands behind something that is no expression; -1 if nowhere. */
static int32_t opaque_end(const struct parser *p)
{
    int depth = 0;
    bool has_name = false;
    for (int32_t i = p->at; p->t->at[i].kind != TOKEN_END; i++) {
        const struct token *const k = &p->t->at[i];
        if (k->kind == TOKEN_OP && (k->id == '(' || k->id == '{' || k->id == '['))
            depth++;
        if (k->kind == TOKEN_OP && (k->id == ')' || k->id == '}' || k->id == ']'))
            depth--;
        has_name |= k->kind == TOKEN_WORD || k->kind == TOKEN_OTHER;
        if (depth == 0 && k->kind == TOKEN_REL)
            return has_name && (k->id == '=' || k->id == '~') ? i : -1;
        if (depth < 0 || (depth == 0 && k->kind == TOKEN_SEP))
            return -1;
    }
    return -1;
}

/* A side, or what stands before "=" without being one. */
static int parse_first_side(struct parser *p)
{
    const int32_t at = p->at, n = p->e->n;
    const int depth = p->depth, n_bars = p->n_bars;
    int y = parse_side(p);
    if (y >= 0 || p->status == EXPR_LIMIT)
        return y;
    p->at = at;
    const int32_t end = opaque_end(p);
    if (end < 0)
        return -1;
    p->e->n = n;
    p->depth = depth;
    p->n_bars = n_bars;
    p->status = EXPR_OK;
    p->at = end;
    return parse_node(p, NODE_OPAQUE);
}

static int parse_chain(struct parser *p)
{
    int y = parse_first_side(p);
    if (y < 0 || parse_peek(p)->kind != TOKEN_REL)
        return y;
    y = parse_pair(p, NODE_CHAIN, y, -2);
    while (y >= 0 && parse_peek(p)->kind == TOKEN_REL) {
        const int32_t op = parse_peek(p)->id;
        p->at++;
        const int side = parse_side(p);
        if (side < 0)
            return -1;
        p->e->at[side].rel = (uint8_t)op;
        parse_link(p, y, side);
    }
    return y;
}

/* ", and" is one separator */
static bool accept_separator(struct parser *p, bool *is_or)
{
    const struct token *k = parse_peek(p);
    if (k->kind != TOKEN_SEP)
        return false;
    const bool is_comma = k->id == ',' || k->id == ';';
    *is_or |= k->id == '|';
    p->at++;
    k = parse_peek(p);
    if (is_comma && k->kind == TOKEN_END)
        return false;
    if (k[-1].id == ',' && k->kind == TOKEN_SEP && (k->id == '|' || k->id == '&')) {
        *is_or |= k->id == '|';
        p->at++;
    }
    return true;
}

int parse_list(struct parser *p)
{
    if (++p->depth > EXPR_MAX_DEPTH)
        return parse_fail(p, EXPR_LIMIT);
    int y = parse_chain(p);
    bool is_or = false;
    if (y >= 0 && accept_separator(p, &is_or)) {
        y = parse_pair(p, NODE_LIST, y, -2);
        int last = -1;
        do {
            const int next = y < 0 ? -1 : parse_chain(p);
            if (next < 0)
                return -1;
            if (last < 0) /* linking from the last child keeps long lists linear */
                parse_link(p, y, next);
            else
                p->e->at[last].next = (int16_t)next;
            last = next;
        } while (accept_separator(p, &is_or));
        p->e->at[y].op = is_or ? '|' : ',';
    }
    p->depth--;
    return y;
}

enum expr_status expr_parse(struct expr *e, const struct tokens *t)
{
    struct parser p = {.e = e, .t = t};
    e->n = 0;
    e->root = -1;
    e->has_lead = false;
    /* "= 5" and "5," of a cut sentence */
    while (parse_peek(&p)->kind == TOKEN_REL && parse_peek(&p)->id == '=')
        p.at++;
    if (parse_peek(&p)->kind == TOKEN_END)
        return EXPR_NONE;
    e->root = parse_list(&p);
    if (e->pool->is_over)
        return EXPR_LIMIT;
    if (e->root < 0)
        return p.status;
    return parse_peek(&p)->kind == TOKEN_END ? EXPR_OK : EXPR_NONE;
}
