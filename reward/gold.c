/* Golds: where their answer is in a solution, and whether it can be compared. */
#include <string.h>
#include <strings.h>

#include "reward/compare_parts.h"
#include "reward/rules_types.h"

enum { BOX_MAX_SHOWN = 80 };

/* After the last "####" its line; else the last box; else all of it. */
static void locate(struct reward_scratch *s, const char *text, size_t len, size_t *from,
                   size_t *to)
{
    size_t at = len;
    *from = 0;
    *to = len;
    while (at >= 4 && memcmp(text + at - 4, "####", 4) != 0)
        at--;
    if (at >= 4) {
        *from = at;
        while (*from < len && (text[*from] == ' ' || text[*from] == '\n'))
            (*from)++;
        const char *const newline = memchr(text + *from, '\n', len - *from);
        *to = newline == NULL ? len : (size_t)(newline - text);
        return;
    }
    struct commitment c;
    const bool has_box = commit_box(s, RULES_BOX, text, 0, len, &c);
    if (has_box && c.reason != REWARD_UNCLOSED) {
        *from = c.off;
        *to = c.off + c.len;
    }
}

static bool is_nothing(const char *text, size_t len)
{
    static const char *const words[] = {"none", "null", "nan", "inf",       "-inf",
                                        "+inf", "n/a",  "na",  "undefined", "unknown"};
    for (int64_t i = 0; i < ARRAY_LEN(words); i++)
        if (strlen(words[i]) == len && strncasecmp(words[i], text, len) == 0)
            return true;
    return false;
}

/* Text without a value is a gold when it has letters or signs of its own. */
static bool is_text(const struct tokens *t)
{
    for (int32_t i = 0; i < t->n; i++)
        if (t->at[i].kind == TOKEN_WORD || t->at[i].kind == TOKEN_VAR ||
            t->at[i].kind == TOKEN_FN || t->at[i].kind == TOKEN_OTHER ||
            t->at[i].kind == TOKEN_CONST ||
            (t->at[i].kind == TOKEN_OP && t->at[i].id == '_'))
            return true;
    return false;
}

static bool is_usable(struct reward_scratch *s, const char *text, size_t len)
{
    struct plain plain;
    const bool is_number_only = s->rules->options.style == REWARD_STYLE_GSM8K;
    const enum reading reading = answer_read(s, text, len, &plain);
    if (len == 0 || is_nothing(text, len))
        return false;
    if (reading == READ_PLAIN)
        return true;
    if (reading != READ_TREE)
        return (reading == READ_TEXT || reading == READ_HEDGED) && !is_number_only &&
               is_text(&s->answer_tokens);
    const struct term t = term_of(&s->answer, s->answer.root);
    struct rat value;
    if (eval_exact(&s->pool, &t, &value))
        return true;
    if (is_number_only || s->pool.is_over)
        return false;
    const int kind = s->answer.at[t.at].kind;
    return kind >= NODE_BASE || kind == NODE_CONST || expr_has_variable(t.e, t.at) ||
           infinity_sign(&t) != 0 || eval_compare(&s->pool, &t, &t) != EVAL_UNDEFINED;
}

int reward_gold_add(struct reward_gold *g, struct reward_scratch *s, const char *text,
                    size_t len)
{
    size_t from, to;
    pool_reset(&s->pool);
    locate(s, text, len, &from, &to);
    while (from < to && strchr(" \t\r\n", text[from]) != NULL && text[from] != 0)
        from++;
    while (from < to && strchr(" \t\r\n", text[to - 1]) != NULL && text[to - 1] != 0)
        to--;
    pool_reset(&s->pool);
    if (!is_usable(s, text + from, to - from)) {
        const size_t shown = to - from > BOX_MAX_SHOWN ? BOX_MAX_SHOWN : to - from;
        return ERR(
            ERR_INPUT,
            "gold \"%.*s\" has no value; expected %s, alone, after "
            "\"####\" or in \\boxed{}",
            (int)shown, text + from,
            s->rules->options.style == REWARD_STYLE_GSM8K
                ? "a number such as 18, 1,080, -3, $5.50, 25% or 1/2"
                : "an answer such as 18, 1/2, \\sqrt{2}, (1, 2), x + 1 or a word");
    }
    g->at = mem_realloc(g->at, (size_t)g->n * sizeof(*g->at),
                        (size_t)(g->n + 1) * sizeof(*g->at));
    struct answer *const a = &g->at[g->n++];
    a->text = mem_alloc(to - from + 1);
    memcpy(a->text, text + from, to - from);
    a->len = to - from;
    a->is_plain = plain_read(&a->plain, a->text, a->len);
    return STATUS_OK;
}

/* The digits of a number of a few limbs, from the least: groups of nine. */
static void print_big(struct pool *p, struct big a, struct buf *out)
{
    char digits[BIG_MAX_BITS / 3];
    size_t n = 0;
    const struct big billion = big_small(p, 1000000000);
    do {
        uint64_t low;
        struct big rest;
        big_divide(p, a, billion, &a, &rest);
        CHECK(big_get(rest, &low), "%d limbs of rest", (int)rest.n);
        for (int i = 0; i < 9 && (a.n > 0 || low > 0 || i == 0); i++, low /= 10)
            digits[n++] = (char)('0' + low % 10);
    } while (a.n > 0);
    while (n > 0)
        buf_append(out, &digits[--n], 1);
}

/* The first answer: a rational in lowest terms, else its text. */
static char *shown(struct reward_scratch *s, const struct answer *a)
{
    struct buf out = {0};
    struct rat v;
    pool_reset(&s->pool);
    if (a->len <= 200 && tokens_read(&s->answer_tokens, a->text, a->len) == TOKENS_OK &&
        expr_parse(&s->answer, &s->answer_tokens) == EXPR_OK) {
        const struct term t = term_of(&s->answer, s->answer.root);
        if (eval_exact(&s->pool, &t, &v) && v.num.n <= 8 && v.den.n <= 8) {
            if (v.sign < 0)
                buf_puts(&out, "-");
            print_big(&s->pool, v.num, &out);
            if (v.den.n > 1 || v.den.limb[0] != 1) {
                buf_puts(&out, "/");
                print_big(&s->pool, v.den, &out);
            }
        }
    }
    if (out.len == 0) {
        buf_append(&out, a->text, a->len);
    }
    char *const text = mem_strndup(out.data, out.len);
    buf_release(&out);
    return text;
}

int reward_gold_create(struct reward_gold **out, struct reward_scratch *s,
                       const char *text, size_t len)
{
    struct reward_gold *const g = mem_alloc(sizeof(*g));
    const int status = reward_gold_add(g, s, text, len);
    if (status != STATUS_OK) {
        reward_gold_free(g);
        return status;
    }
    g->shown = shown(s, &g->at[0]);
    *out = g;
    return STATUS_OK;
}

void reward_gold_free(struct reward_gold *g)
{
    if (g == NULL)
        return;
    for (int64_t i = 0; i < g->n; i++)
        mem_free(g->at[i].text);
    mem_free(g->at);
    mem_free(g->shown);
    mem_free(g);
}

const char *reward_gold_text(const struct reward_gold *g) { return g->shown; }
