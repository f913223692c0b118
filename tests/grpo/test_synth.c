/*
 * Generated problems: arithmetic read back from their text, splits that cannot meet,
 * files that depend on the options only.
 */
#include "grpo/synth.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/hash.h"
#include "core/io.h"
#include "core/json.h"

static int set_up(void **state)
{
    static char dir[64];
    snprintf(dir, sizeof(dir), "/tmp/moe_grpo_synth_XXXXXX");
    assert_non_null(mkdtemp(dir));
    *state = dir;
    return 0;
}

static int tear_down(void **state) { return io_remove_tree(*state); }

/* Whether n stands in the text as a number of its own. */
static bool has_number(const char *text, int64_t n)
{
    char word[32];
    const int len = snprintf(word, sizeof(word), "%lld", (long long)n);
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += len)
        if ((at == text || !isdigit((unsigned char)at[-1])) &&
            !isdigit((unsigned char)at[len]))
            return true;
    return false;
}

struct equations {          /* of a worked solution */
    int64_t n, last, right; /* right: the last one's true result */
};

/* Reads "a op b = c." one after another: each true but for the last, results within
 * 0..max, each operand from the question, a result before, a fact, or 2 or 3 in words
 * ("doubles", "half"). */
static struct equations read_equations(const struct synth_problem *p, int64_t max)
{
    struct equations e = {0};
    int64_t results[8] = {0};
    const char *at = p->answer.data;
    char statement[64] = ""; /* of a fact, before the first step */
    long long a, b, c;
    char op;
    if (isupper((unsigned char)*at))
        sscanf(at, "%63[^.]", statement);
    for (; *at != '\0' && e.n < 8; at++) {
        int len = 0;
        if (at > p->answer.data && (isdigit((unsigned char)at[-1]) || at[-1] == '-'))
            continue;
        if (sscanf(at, "%lld %c %lld = %lld.%n", &a, &op, &b, &c, &len) != 4 ||
            len == 0)
            continue;
        if (e.n > 0)
            assert_int_equal(e.last, e.right);
        assert_true(op == '+' || op == '-' || op == '*' || (op == '/' && a % b == 0));
        e.right = op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b;
        assert_true(e.right >= 0 && e.right <= max);
        const long long operands[2] = {a, b};
        for (int i = 0; i < 2; i++) {
            bool is_known = has_number(p->question.data, operands[i]);
            for (int64_t j = 0; j < e.n; j++)
                is_known = is_known || results[j] == operands[i];
            const bool is_word = op != '+' && op != '-' && i == 1 &&
                                 (operands[i] == 2 || operands[i] == 3);
            const bool is_fact = op == '*' && e.n == 0 &&
                                 has_number(statement, operands[i]);
            if (!is_known && !is_word && !is_fact)
                fail_msg("%lld in \"%s\" is not in \"%s\"", operands[i], p->answer.data,
                         p->question.data);
        }
        e.last = c;
        results[e.n++] = e.right;
        at += len - 1;
    }
    return e;
}

static int64_t final_answer(const struct synth_problem *p, bool *has_marker)
{
    const char *const marker = strstr(p->answer.data, "\n#### ");
    const char *const prose = strstr(p->answer.data, " So the answer is ");
    char *end = NULL;
    *has_marker = marker != NULL;
    assert_true((marker == NULL) != (prose == NULL));
    const int64_t n = strtoll(
        marker != NULL ? marker + 6 : prose + strlen(" So the answer is "), &end, 10);
    assert_string_equal(end, marker != NULL ? "" : ".");
    return n;
}

static void check_problem(const struct synth_problem *p, const struct synth_options *o)
{
    bool has_marker = false;
    assert_true(p->gold >= 0 && p->gold <= o->max_number);
    assert_true(p->n_steps >= o->min_steps && p->n_steps <= o->max_steps);
    assert_int_equal(p->question.data[p->question.len - 1], '?');
    if (p->style == SYNTH_TERSE) {
        assert_int_equal(strtoll(p->answer.data, NULL, 10), p->gold);
        assert_true(p->answer.len <= 7);
        return;
    }
    const struct equations e = read_equations(p, o->max_number);
    const int64_t final = final_answer(p, &has_marker);
    assert_int_equal(e.n, p->n_steps);
    assert_int_equal(e.right, p->gold);
    assert_int_equal(final, e.last);
    if (p->style == SYNTH_CARELESS)
        assert_true(final != p->gold && final >= 0);
    else
        assert_int_equal(final, p->gold);
    if (p->style == SYNTH_MARKER || p->style == SYNTH_PROSE)
        assert_int_equal(has_marker, p->style == SYNTH_MARKER);
}

static void test_arithmetic(void **state)
{
    static const int64_t limits[] = {10, 20, 100, 1000000};
    struct synth_problem p = {0};
    int64_t n_styles[SYNTH_N_STYLES] = {0}, n_steps[5] = {0};
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct synth_options o = synth_defaults();
        o.max_steps = 4;
        o.max_number = limits[i];
        o.distractor_share = 0.3;
        o.fact_share = 0.3;
        assert_int_equal(synth_check(&o), 0);
        for (int split = 0; split < SYNTH_N_SPLITS; split++)
            for (int64_t j = 0; j < 400; j++) {
                synth_problem_fill(&p, &o, (enum synth_split)split, j);
                assert_int_equal(synth_split_of(p.question.data, p.question.len),
                                 split);
                if (split != SYNTH_PRETRAIN)
                    assert_int_equal(p.style, SYNTH_MARKER);
                check_problem(&p, &o);
                n_styles[p.style]++;
                n_steps[p.n_steps]++;
            }
    }
    for (int i = 0; i < SYNTH_N_STYLES; i++)
        assert_true(n_styles[i] > 100);
    for (int i = 1; i <= 4; i++)
        assert_true(n_steps[i] > 800);
    synth_problem_release(&p);
}

/* The shares are what was asked for, and the texts as short as the demo needs. */
static void test_shares(void **state)
{
    enum { N = 4000 };
    struct synth_options o = synth_defaults();
    struct synth_problem p = {0};
    int64_t n_styles[SYNTH_N_STYLES] = {0}, n_facts = 0, n_bytes = 0;
    (void)state;
    o.style[SYNTH_TERSE] = 0.0;
    o.style[SYNTH_MARKER] = 0.6;
    o.style[SYNTH_PROSE] = 0.6;
    o.style[SYNTH_CARELESS] = 0.3;
    o.fact_share = 0.25;
    for (int64_t i = 0; i < N; i++) {
        synth_problem_fill(&p, &o, SYNTH_PRETRAIN, i);
        n_styles[p.style]++;
        n_facts += p.answer.data[0] == 'A';
        n_bytes += (int64_t)p.question.len;
    }
    assert_int_equal(n_styles[SYNTH_TERSE], 0);
    assert_in_range(n_styles[SYNTH_MARKER], 40 * N / 100 - 130, 40 * N / 100 + 130);
    assert_in_range(n_styles[SYNTH_CARELESS], 20 * N / 100 - 110, 20 * N / 100 + 110);
    assert_in_range(n_facts, 25 * N / 100 - 120, 25 * N / 100 + 120);
    assert_true(n_bytes / N < 100);
    synth_problem_release(&p);
}

static void test_pure(void **state)
{
    struct synth_options o = synth_defaults(), other = o;
    struct synth_problem p = {0}, q = {0};
    int64_t n_same = 0;
    (void)state;
    other.seed = o.seed + 1;
    for (int64_t i = 0; i < 300; i++) {
        synth_problem_fill(&p, &o, SYNTH_TRAIN, i);
        synth_problem_fill(&q, &o, SYNTH_TRAIN, 299 - i);
        synth_problem_fill(&q, &o, SYNTH_TRAIN, i);
        assert_string_equal(p.question.data, q.question.data);
        assert_string_equal(p.answer.data, q.answer.data);
        synth_problem_fill(&q, &other, SYNTH_TRAIN, i);
        n_same += strcmp(p.question.data, q.question.data) == 0;
    }
    assert_true(n_same < 5);
    synth_problem_release(&p);
    synth_problem_release(&q);
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The questions of dir/name, sorted; checks each line's keys. */
static char **read_questions(const char *dir, const char *split, int64_t n_lines)
{
    struct buf path = {0};
    struct io_lines r;
    const char *line = NULL;
    size_t len = 0;
    int64_t n = 0;
    char **const out = mem_alloc((size_t)n_lines * sizeof(*out));
    buf_printf(&path, "%s/%s.jsonl", dir, split);
    assert_int_equal(io_lines_open(&r, path.data), 0);
    while (io_lines_next(&r, &line, &len)) {
        json_t *root = NULL;
        const char *question = NULL, *answer = NULL, *gold = NULL, *name = NULL;
        assert_true(n < n_lines);
        assert_int_equal(json_parse(&root, line, len, split), 0);
        assert_int_equal(json_get_string(root, "question", &question, NULL, split), 0);
        assert_int_equal(json_get_string(root, "answer", &answer, NULL, split), 0);
        assert_int_equal(json_get_string(root, "gold", &gold, NULL, split), 0);
        assert_int_equal(json_get_string(root, "split", &name, NULL, split), 0);
        assert_string_equal(name, split);
        if (strcmp(split, "pretrain") != 0) {
            const char *const marker = strstr(answer, "\n#### ");
            assert_non_null(marker);
            assert_string_equal(marker + 6, gold);
        }
        out[n++] = mem_strdup(question);
        json_decref(root);
    }
    assert_int_equal(n, n_lines);
    io_lines_close(&r);
    buf_release(&path);
    qsort(out, (size_t)n, sizeof(*out), compare_strings);
    return out;
}

static void free_questions(char **q, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        mem_free(q[i]);
    mem_free(q);
}

static bool has_question(char *const *sorted, int64_t n, const char *question)
{
    return bsearch(&question, sorted, (size_t)n, sizeof(*sorted), compare_strings) !=
           NULL;
}

/* Held-out of one seed against training and pretraining of others. */
static void test_splits(void **state)
{
    enum { N_SEEDS = 3 };
    char **held = NULL;
    int64_t n_common = 0;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        struct synth_options o = synth_defaults();
        o.seed = seed;
        o.max_number = 10 * (int64_t)seed;
        o.max_steps = (int64_t)seed;
        o.n[SYNTH_PRETRAIN] = 3000;
        o.n[SYNTH_TRAIN] = 3000;
        assert_int_equal(synth_write(&o, *state), 0);
        char **const train = read_questions(*state, "train", 3000);
        char **const pre = read_questions(*state, "pretrain", 3000);
        char **const own = read_questions(*state, "heldout", 500);
        for (int64_t i = 1; i < 3000; i++)
            assert_string_not_equal(train[i - 1], train[i]);
        if (held == NULL)
            held = own;
        for (int64_t i = 0; i < 500; i++) {
            assert_true(i == 0 || strcmp(own[i - 1], own[i]) != 0);
            assert_false(has_question(train, 3000, own[i]));
            assert_false(has_question(pre, 3000, own[i]));
            assert_false(has_question(train, 3000, held[i]));
            assert_false(has_question(pre, 3000, held[i]));
        }
        for (int64_t i = 0; i < 3000; i++)
            n_common += has_question(pre, 3000, train[i]);
        free_questions(train, 3000);
        free_questions(pre, 3000);
        if (own != held)
            free_questions(own, 500);
    }
    assert_int_equal(n_common, 0);
    free_questions(held, 500);
}

static void hash_of(char hex[HASH_HEX_LEN + 1], const char *dir, const char *name)
{
    char *const path = io_join(dir, name);
    assert_int_equal(hash_file(hex, path), 0);
    mem_free(path);
}

static void test_files_repeat(void **state)
{
    static const char *const names[] = {"pretrain.jsonl", "train.jsonl",
                                        "heldout.jsonl"};
    char first[3][HASH_HEX_LEN + 1], again[HASH_HEX_LEN + 1];
    struct synth_options o = synth_defaults();
    o.n[SYNTH_PRETRAIN] = 500;
    o.n[SYNTH_TRAIN] = 300;
    o.n[SYNTH_HELDOUT] = 0;
    char *const sub = io_join(*state, "deep/er");
    assert_int_equal(synth_write(&o, sub), 0);
    for (int i = 0; i < 3; i++)
        hash_of(first[i], sub, names[i]);
    assert_int_equal(synth_write(&o, *state), 0);
    for (int i = 0; i < 3; i++) {
        hash_of(again, *state, names[i]);
        assert_string_equal(first[i], again);
    }
    o.seed++;
    assert_int_equal(synth_write(&o, sub), 0);
    hash_of(again, sub, names[1]);
    assert_string_not_equal(first[1], again);
    mem_free(sub);
}

static void test_options(void **state)
{
    struct synth_options o = synth_defaults();
    assert_int_equal(synth_check(&o), 0);
    o.max_steps = 5;
    assert_int_equal(synth_check(&o), ERR_CONFIG);
    assert_non_null(strstr(status_message(), "max_steps is 5"));
    o = synth_defaults();
    o.min_steps = 3;
    assert_int_equal(synth_check(&o), ERR_CONFIG);
    o = synth_defaults();
    o.max_number = 9;
    assert_int_equal(synth_check(&o), ERR_CONFIG);
    o = synth_defaults();
    o.fact_share = 1.5;
    assert_int_equal(synth_check(&o), ERR_CONFIG);
    assert_non_null(strstr(status_message(), "facts"));
    o = synth_defaults();
    memset(o.style, 0, sizeof(o.style));
    assert_int_equal(synth_check(&o), ERR_CONFIG);
    o = synth_defaults();
    o.n[SYNTH_HELDOUT] = -1;
    assert_int_equal(synth_write(&o, *state), ERR_CONFIG);
    /* more one-step problems to 10 than there are */
    o = synth_defaults();
    o.max_number = 10;
    o.max_steps = 1;
    o.fact_share = 1.0;
    o.distractor_share = 0.0;
    o.n[SYNTH_PRETRAIN] = 0;
    o.n[SYNTH_TRAIN] = 20000;
    assert_int_equal(synth_write(&o, *state), ERR_CONFIG);
    assert_non_null(strstr(status_message(), "different problems"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic),   cmocka_unit_test(test_shares),
        cmocka_unit_test(test_pure),         cmocka_unit_test(test_splits),
        cmocka_unit_test(test_files_repeat), cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
