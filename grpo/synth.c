/*
 * A problem is an opening that gives the hero a number of things, changes to that
 * number, and a closing question. Each of the three may take a step of arithmetic; a
 * draft holds how many steps each has left to take. Draws are counter-based: (draw,
 * index, split), so a problem that falls into another split by its hash is drawn again
 * further along its own sequence.
 */
#include "grpo/synth.h"

#include <string.h>
#include <xxhash.h>

#include "core/rng.h"
#include "grpo/synth_words.h"

const char *synth_style_name(enum synth_style style)
{
    static const char *const names[] = {
#define X(id, name) [id] = (name),
        SYNTH_STYLE_LIST(X)
#undef X
    };
    return names[style];
}

const char *synth_split_name(enum synth_split split)
{
    static const char *const names[] = {
#define X(id, name) [id] = (name),
        SYNTH_SPLIT_LIST(X)
#undef X
    };
    return names[split];
}

/* Of 16 parts of the hashes held-out has 4, training 4 and pretraining 8. */
enum synth_split synth_split_of(const char *question, size_t len)
{
    const uint64_t part = XXH3_64bits(question, len) >> 60;
    return part < 4 ? SYNTH_HELDOUT : part < 8 ? SYNTH_TRAIN : SYNTH_PRETRAIN;
}

struct synth_options synth_defaults(void)
{
    return (struct synth_options){
        .seed = 1,
        .n = {[SYNTH_PRETRAIN] = 20000, [SYNTH_TRAIN] = 4000, [SYNTH_HELDOUT] = 500},
        .min_steps = 1,
        .max_steps = 2,
        .max_number = 20,
        .distractor_share = 0.1,
        .fact_share = 0.1,
        .style = {[SYNTH_MARKER] = 0.35,
                  [SYNTH_PROSE] = 0.35,
                  [SYNTH_TERSE] = 0.1,
                  [SYNTH_CARELESS] = 0.2}};
}

static int check_int(const char *name, int64_t v, int64_t min, int64_t max)
{
    if (v < min || v > max)
        return ERR(ERR_CONFIG, "synth: %s is %lld, expected %lld to %lld", name,
                   (long long)v, (long long)min, (long long)max);
    return STATUS_OK;
}

static int check_share(const char *name, double v)
{
    if (!(v >= 0.0 && v <= 1.0))
        return ERR(ERR_CONFIG, "synth: the share of %s is %g, expected 0 to 1", name,
                   v);
    return STATUS_OK;
}

int synth_check(const struct synth_options *o)
{
    double sum = 0.0;
    for (int i = 0; i < SYNTH_N_SPLITS; i++)
        TRY(check_int(synth_split_name((enum synth_split)i), o->n[i], 0, 100000000));
    TRY(check_int("min_steps", o->min_steps, 1, 4));
    TRY(check_int("max_steps", o->max_steps, o->min_steps, 4));
    TRY(check_int("max_number", o->max_number, 10, 1000000));
    TRY(check_share("distractors", o->distractor_share));
    TRY(check_share("facts", o->fact_share));
    for (int i = 0; i < SYNTH_N_STYLES; i++) {
        TRY(check_share(synth_style_name((enum synth_style)i), o->style[i]));
        sum += o->style[i];
    }
    if (sum <= 0.0)
        return ERR(ERR_CONFIG, "synth: the shares of all styles are 0");
    return STATUS_OK;
}

struct draft {
    const struct synth_options *o;
    uint32_t n_draws, index, split;
    struct buf *question, *work; /* work: the steps, "3 + 4 = 7. " each */
    const struct synth_name *hero, *other;
    const struct synth_thing *thing;
    int64_t value;    /* after the steps so far */
    size_t last_step; /* where in `work` the last step's result begins */
};

static int64_t below(struct draft *d, int64_t n)
{
    return rng_below(d->o->seed, RNG_SYNTH, (uint32_t)n, d->n_draws++, d->index,
                     d->split, 0);
}

/* min..max, both included */
static int64_t between(struct draft *d, int64_t min, int64_t max)
{
    return min + below(d, max - min + 1);
}

static bool chance(struct draft *d, double share)
{
    return (double)rng_uniform(d->o->seed, RNG_SYNTH, d->n_draws++, d->index, d->split,
                               0) < share;
}

/* "1 apple", "3 apples" */
static void put_things(struct draft *d, int64_t n, const struct synth_thing *thing)
{
    buf_printf(d->question, "%lld %s", (long long)n, n == 1 ? thing->one : thing->many);
}

static void step(struct draft *d, int64_t a, char op, int64_t b)
{
    const int64_t c = op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b;
    buf_printf(d->work, "%lld %c %lld = ", (long long)a, op, (long long)b);
    d->last_step = d->work->len;
    buf_printf(d->work, "%lld. ", (long long)c);
    d->value = c;
}

/* A second factor of at least `min` that keeps a product in range. */
static int64_t factor(struct draft *d, int64_t a, int64_t min)
{
    const int64_t most = a == 0 ? 9 : d->o->max_number / a;
    return between(d, min, most < 9 ? most : 9);
}

static void open_plain(struct draft *d)
{
    d->value = between(d, 1, d->o->max_number);
    buf_printf(d->question, "%s has ", d->hero->name);
    put_things(d, d->value, d->thing);
    buf_puts(d->question, ".");
}

static void open_product(struct draft *d)
{
    const int64_t most = d->o->max_number / 2;
    const int64_t each = between(d, 2, most < 9 ? most : 9);
    const int64_t n = factor(d, each, 2);
    buf_printf(d->question, "%s has %lld bags with %lld %s each.", d->hero->name,
               (long long)n, (long long)each, d->thing->many);
    step(d, n, '*', each);
}

static void open_quotient(struct draft *d)
{
    const int64_t n = between(d, 2, 5);
    const int64_t each = between(d, 1, d->o->max_number / n);
    buf_printf(d->question, "%lld %s are put in %lld equal bags. %s takes one bag.",
               (long long)(n * each), d->thing->many, (long long)n, d->hero->name);
    step(d, n * each, '/', n);
}

static void open_fact(struct draft *d)
{
    const struct synth_fact *f;
    do
        f = &synth_facts[below(d, SYNTH_N_FACTS)];
    while (f->size > d->o->max_number);
    const int64_t most = d->o->max_number / f->size;
    const int64_t n = between(d, 1, most < 9 ? most : 9);
    if (f->each != NULL)
        buf_printf(d->question, "%s gets one %s a %s for %lld %s.", d->hero->name,
                   d->thing->one, f->each, (long long)n, n == 1 ? f->one : f->many);
    else
        buf_printf(d->question, "%s has %lld %s of %s.", d->hero->name, (long long)n,
                   n == 1 ? f->one : f->many, d->thing->many);
    buf_printf(d->work, "%s ", f->statement);
    step(d, n, '*', f->size);
}

static void change_sum(struct draft *d)
{
    static const char *const verbs[] = {"buys", "finds", "gets", "makes"};
    const int64_t b = between(d, 1, d->o->max_number - d->value);
    buf_printf(d->question, " %s %s %lld more.", d->hero->pronoun,
               verbs[below(d, ARRAY_LEN(verbs))], (long long)b);
    step(d, d->value, '+', b);
}

static void change_difference(struct draft *d)
{
    static const char *const verbs[] = {"loses", "sells", "uses"};
    const int64_t b = between(d, 1, d->value);
    const int64_t way = below(d, ARRAY_LEN(verbs) + 1);
    if (way == ARRAY_LEN(verbs))
        buf_printf(d->question, " %s gives %lld to %s.", d->hero->pronoun, (long long)b,
                   d->other->name);
    else
        buf_printf(d->question, " %s %s %lld.", d->hero->pronoun, verbs[way],
                   (long long)b);
    step(d, d->value, '-', b);
}

static void change_product(struct draft *d)
{
    const bool is_triple = 3 * d->value <= d->o->max_number && below(d, 2) == 1;
    buf_printf(d->question, " %s %s them.", d->hero->pronoun,
               is_triple ? "triples" : "doubles");
    step(d, d->value, '*', is_triple ? 3 : 2);
}

static void change_quotient(struct draft *d)
{
    buf_printf(d->question, " %s keeps half of them.", d->hero->pronoun);
    step(d, d->value, '/', 2);
}

static void change(struct draft *d)
{
    const int64_t v = d->value, max = d->o->max_number;
    const bool is_possible[] = {v<max, v> 0, v > 0 && 2 * v <= max,
                                v > 0 && v % 2 == 0};
    static void (*const ways[])(struct draft *) = {change_sum, change_difference,
                                                   change_product, change_quotient};
    int64_t i;
    do
        i = below(d, ARRAY_LEN(ways));
    while (!is_possible[i]);
    ways[i](d);
}

static void ask_total(struct draft *d)
{
    const int64_t b = between(d, 1, d->o->max_number - d->value);
    buf_printf(d->question, " %s has ", d->other->name);
    put_things(d, b, d->thing);
    buf_printf(d->question, ". How many %s do they have together?", d->thing->many);
    step(d, d->value, '+', b);
}

static void ask_more(struct draft *d)
{
    const int64_t b = between(d, 1, d->o->max_number - d->value);
    buf_printf(d->question, " %s has %lld more than %s. How many %s does %s have?",
               d->other->name, (long long)b, d->hero->name, d->thing->many,
               d->other->name);
    step(d, d->value, '+', b);
}

static void ask_difference(struct draft *d)
{
    const int64_t v = d->value, b = between(d, 0, d->o->max_number);
    buf_printf(d->question, " %s has ", d->other->name);
    put_things(d, b, d->thing);
    buf_printf(d->question, ". How many more %s does %s have than %s?", d->thing->many,
               b > v ? d->other->name : d->hero->name,
               b > v ? d->hero->name : d->other->name);
    step(d, b > v ? b : v, '-', b > v ? v : b);
}

static void ask_fewer(struct draft *d)
{
    const int64_t b = between(d, 1, d->value);
    buf_printf(d->question, " %s has %lld fewer than %s. How many %s does %s have?",
               d->other->name, (long long)b, d->hero->name, d->thing->many,
               d->other->name);
    step(d, d->value, '-', b);
}

static void ask_times(struct draft *d)
{
    const int64_t b = factor(d, d->value, 2);
    buf_printf(
        d->question, " %s has %lld times as many as %s. How many %s does %s have?",
        d->other->name, (long long)b, d->hero->name, d->thing->many, d->other->name);
    step(d, d->value, '*', b);
}

static void ask_share(struct draft *d)
{
    int64_t b;
    do
        b = between(d, 2, 10);
    while (d->value % b != 0);
    buf_printf(d->question,
               " %s puts them in %lld equal bags. How many %s are in each bag?",
               d->hero->pronoun, (long long)b, d->thing->many);
    step(d, d->value, '/', b);
}

/* A closing that takes a step; a comparison is always possible. */
static void ask_with_step(struct draft *d)
{
    const int64_t v = d->value, max = d->o->max_number;
    bool is_divisible = false;
    for (int64_t b = 2; b <= 10; b++)
        is_divisible = is_divisible || (v > 0 && v % b == 0);
    const bool is_possible[] = {v < max, v<max, true, v> 0, 2 * v <= max && v > 0,
                                is_divisible};
    static void (*const ways[])(struct draft *) = {ask_total, ask_more,  ask_difference,
                                                   ask_fewer, ask_times, ask_share};
    int64_t i;
    do
        i = below(d, ARRAY_LEN(ways));
    while (!is_possible[i]);
    ways[i](d);
}

static void distract(struct draft *d)
{
    const struct synth_thing *thing;
    do
        thing = &synth_things[below(d, SYNTH_N_THINGS)];
    while (thing == d->thing);
    buf_printf(d->question, "%s has ", d->other->name);
    put_things(d, between(d, 1, d->o->max_number), thing);
    buf_puts(d->question, ". ");
}

static void fill_draft(struct draft *d, int64_t n_steps)
{
    buf_reset(d->question);
    buf_reset(d->work);
    const int64_t hero = below(d, SYNTH_N_NAMES);
    const int64_t other = (hero + 1 + below(d, SYNTH_N_NAMES - 1)) % SYNTH_N_NAMES;
    d->hero = &synth_names[hero];
    d->other = &synth_names[other];
    d->thing = &synth_things[below(d, SYNTH_N_THINGS)];
    const bool has_fact = chance(d, d->o->fact_share);
    const bool has_distractor = chance(d, d->o->distractor_share);
    const bool is_opening = has_fact || below(d, 3) == 0;
    n_steps -= is_opening;
    const bool is_closing = n_steps > 0 && below(d, 2) == 0;
    n_steps -= is_closing;
    if (has_distractor) /* first, so that "He" and "them" stay clear */
        distract(d);
    if (!is_opening)
        open_plain(d);
    else if (has_fact)
        open_fact(d);
    else if (below(d, 2) == 0)
        open_product(d);
    else
        open_quotient(d);
    for (; n_steps > 0; n_steps--)
        change(d);
    if (is_closing)
        ask_with_step(d);
    else
        buf_printf(d->question, " How many %s does %s have?", d->thing->many,
                   d->hero->name);
}

static enum synth_style draw_style(struct draft *d)
{
    double sum = 0.0, at;
    int style = 0;
    if (d->split != SYNTH_PRETRAIN)
        return SYNTH_MARKER;
    for (int i = 0; i < SYNTH_N_STYLES; i++)
        sum += d->o->style[i];
    at = sum * (double)rng_uniform(d->o->seed, RNG_SYNTH, d->n_draws++, d->index,
                                   d->split, 0);
    while (style < SYNTH_N_STYLES - 1 && at >= d->o->style[style])
        at -= d->o->style[style++];
    while (d->o->style[style] == 0.0) /* rounding past the last share */
        style--;
    return (enum synth_style)style;
}

/* One to three off, in range. */
static int64_t draw_slip(struct draft *d)
{
    const int64_t off = between(d, 1, 3);
    const bool is_up = below(d, 2) == 0 || d->value < off;
    return is_up ? d->value + off : d->value - off;
}

static void put_answer(struct synth_problem *p, struct draft *d)
{
    int64_t stated = d->value;
    bool has_marker = p->style == SYNTH_MARKER;
    buf_reset(&p->answer);
    if (p->style == SYNTH_TERSE) {
        buf_printf(&p->answer, "%lld", (long long)stated);
        return;
    }
    if (p->style == SYNTH_CARELESS) {
        stated = draw_slip(d);
        has_marker = below(d, 2) == 0;
    }
    buf_append(&p->answer, d->work->data, d->last_step);
    buf_printf(&p->answer, "%lld.", (long long)stated);
    buf_printf(&p->answer, has_marker ? "\n#### %lld" : " So the answer is %lld.",
               (long long)stated);
}

void synth_problem_fill(struct synth_problem *p, const struct synth_options *o,
                        enum synth_split split, int64_t index)
{
    struct buf work = {0};
    struct draft d = {.o = o,
                      .index = (uint32_t)index,
                      .split = (uint32_t)split,
                      .question = &p->question,
                      .work = &work};
    p->n_steps = between(&d, o->min_steps, o->max_steps);
    do
        fill_draft(&d, p->n_steps);
    while (synth_split_of(p->question.data, p->question.len) != split);
    p->style = draw_style(&d);
    p->gold = d.value;
    put_answer(p, &d);
    buf_release(&work);
}

void synth_problem_release(struct synth_problem *p)
{
    buf_release(&p->question);
    buf_release(&p->answer);
    *p = (struct synth_problem){0};
}
