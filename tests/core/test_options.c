/*
 * The option table: defaults, files, overrides, what is rejected and what the message
 * says, and that written values read back equal.
 */
#include "core/options.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "tests/core/tmp_dir.h"

struct values {
    int64_t steps, seed, any;
    double lr, eps;
    bool is_strict;
    char *dir, *stop;
    int mode;
};

#define OFF(name) offsetof(struct values, name)
static const struct option items[] = {
    {"run.steps", OPTION_INT, OFF(steps), "10", 1, 1e6, NULL, "steps to take"},
    {"run.seed", OPTION_INT, OFF(seed), "0", 0, 0, NULL, "seed"},
    {"run.dir", OPTION_STRING, OFF(dir), "runs/a", 0, 0, NULL, "run directory"},
    {"run.any", OPTION_INT, OFF(any), "-5", 0, 0, NULL, "any integer"},
    {"train.learning_rate", OPTION_REAL, OFF(lr), "1e-6", 0, 1, NULL, "step size"},
    {"train.eps", OPTION_REAL, OFF(eps), "1e-8", 0, 0, NULL, "added to the root"},
    {"train.strict", OPTION_BOOL, OFF(is_strict), "true", 0, 0, NULL, "check all"},
    {"sample.stop", OPTION_STRING, OFF(stop), NULL, 0, 0, NULL, "stop string"},
    {"sample.mode", OPTION_CHOICE, OFF(mode), "exact", 0, 0, "fast|exact|off", "mode"},
};
static const struct options table = {items, ARRAY_LEN(items)};

static struct values defaults(void)
{
    struct values v;
    memset(&v, 0xA5, sizeof(v)); /* fresh from the stack */
    assert_int_equal(options_set_defaults(&table, &v), 0);
    return v;
}

static void test_defaults(void **state)
{
    (void)state;
    struct values v = defaults();
    assert_int_equal(v.steps, 10);
    assert_int_equal(v.any, -5);
    assert_true(v.lr == 1e-6 && v.eps == 1e-8 && v.is_strict);
    assert_string_equal(v.dir, "runs/a");
    assert_string_equal(v.stop, "");
    assert_int_equal(v.mode, 1);
    options_release(&table, &v);
    assert_null(v.dir);
    options_release(&table, &v);
    const struct option bad = {"a.b", OPTION_INT, OFF(steps), "zero", 0, 0, NULL, ""};
    const struct options bad_table = {&bad, 1};
    assert_int_equal(options_set_defaults(&bad_table, &v), ERR_INTERNAL);
}

static void test_file(void **state)
{
    (void)state;
    const char *const text = "\xEF\xBB\xBF; a comment\r\n"
                             "# another\n"
                             "  [run]  ; trailing\n"
                             "steps = 5\n"
                             "\tseed=12 # twelve\n"
                             "dir = out/x;y#z ; comment\n"
                             "[ train ]\n"
                             "learning_rate : 0.25\n"
                             "strict = no\n"
                             "\n"
                             "[sample]\n"
                             "stop = \"a; b # c\\n\\t\\\\\\\" \" # comment\n"
                             "mode = off\n"
                             "mode = fast";
    struct values v = defaults();
    const int status = options_read_file(&table, &v, tmp_text("run.ini", text));
    if (status != 0)
        fail_msg("%s", status_message());
    assert_int_equal(v.steps, 5);
    assert_int_equal(v.seed, 12);
    assert_string_equal(v.dir, "out/x;y#z");
    assert_true(v.lr == 0.25 && !v.is_strict);
    assert_string_equal(v.stop, "a; b # c\n\t\\\" ");
    assert_int_equal(v.mode, 0); /* the last one wins */
    assert_int_equal(v.any, -5);
    options_release(&table, &v);
}

struct bad_file {
    const char *text, *line, *what;
    int code;
};
static const struct bad_file bad_files[] = {
    {"[run]\nstepz = 4\n", ":2:", "did you mean \"run.steps\"", ERR_CONFIG},
    {"[run]\n\nsteps = x\n",
     ":3:", "run.steps = \"x\": expected an integer from 1 to 1", ERR_CONFIG},
    {"[run]\nsteps = 0\n", ":2:", "from 1 to 1000000", ERR_CONFIG},
    {"[run]\nsteps = 3 4\n", ":2:", "3 4", ERR_CONFIG},
    {"[run]\nsteps =\n", ":2:", "\"\"", ERR_CONFIG},
    {"[run]\nsteps\n", ":2:", "key = value", ERR_CONFIG},
    {"[run\nsteps = 1\n", ":1:", "\"]\"", ERR_CONFIG},
    {"[run] x\n", ":1:", "after \"]\"", ERR_CONFIG},
    {"[run]\n= 3\n", ":2:", "unknown option", ERR_CONFIG},
    {"steps = 1\n", ":1:", "did you mean \"run.steps\"", ERR_CONFIG},
    {"[run]\nlearning_rate = 1\n", ":2:", "\"train.learning_rate\"", ERR_CONFIG},
    {"[train]\nlearning_rate = 1.5\n", ":2:", "from 0 to 1", ERR_CONFIG},
    {"[train]\nlearning_rate = nan\n", ":2:", "a number", ERR_CONFIG},
    {"[train]\neps = inf\n", ":2:", "a number", ERR_CONFIG},
    {"[train]\nstrict = maybe\n", ":2:", "true or false", ERR_CONFIG},
    {"[sample]\nmode = slow\n", ":2:", "fast|exact|off", ERR_CONFIG},
    {"[sample]\nstop = \"open\n", ":2:", "no closing quote", ERR_CONFIG},
    {"[sample]\nstop = \"a\" b\n", ":2:", "follows the closing quote", ERR_CONFIG},
    {"[sample]\nstop = \"\\q\"\n", ":2:", "\\q", ERR_CONFIG},
    {"[zebra]\nunrelated = 1\n", ":2:", "--help", ERR_CONFIG},
    {"[run]\nseed = 99999999999999999999\n", ":2:", "an integer", ERR_CONFIG},
    {"[run]\nseed = 9999999999G\n", ":2:", "an integer", ERR_CONFIG},
    {"[run]\nsteps = 5\n  7\n", ":3:", "key = value", ERR_CONFIG},
    {"[run]\nsteps = 2\nseed = a\nsteps = b\n", ":3:", "run.seed", ERR_CONFIG},
};

static void test_bad_files(void **state)
{
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(bad_files); i++) {
        struct values v = defaults();
        const char *const path = tmp_text("bad.ini", bad_files[i].text);
        assert_int_equal(options_read_file(&table, &v, path), bad_files[i].code);
        assert_message(path, bad_files[i].line, bad_files[i].what, NULL);
        options_release(&table, &v);
    }
    struct values v = defaults();
    assert_int_equal(options_read_file(&table, &v, tmp_path("none.ini")), ERR_INPUT);
    assert_message("none.ini", NULL);
    const char *const binary = tmp_file("bin", "[run]\nseed = 1\0 2\n", 18);
    assert_int_equal(options_read_file(&table, &v, binary), ERR_CONFIG);
    assert_message("NUL", ":2:", NULL);
    options_release(&table, &v);
}

/* inih's line buffer is 200 bytes: longer values arrive whole, longer names are errors,
 * line numbers stay right behind them. */
static void test_long_lines(void **state)
{
    (void)state;
    char path[5001];
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = 0;
    for (size_t n = 150; n <= 5000; n += n < 230 ? 1 : 597) {
        struct buf b = {0};
        buf_printf(&b, "[run]\n# %.*s\ndir = %.*s\nseed = 8\nbad = 1\n", (int)n, path,
                   (int)n, path);
        struct values v = defaults();
        const char *const file = tmp_file("long.ini", b.data, b.len);
        assert_int_equal(options_read_file(&table, &v, file), ERR_CONFIG);
        assert_message(":5:", "run.bad", NULL);
        assert_int_equal(strlen(v.dir), n);
        assert_int_equal(v.seed, 8);
        options_release(&table, &v);
        buf_release(&b);
    }
    for (int n = 45; n <= 400; n += 5) {
        struct buf b = {0};
        buf_printf(&b, "[run]\n%.*s = 1\n", n, path);
        struct values v = defaults();
        const char *const file = tmp_file("long.ini", b.data, b.len);
        assert_int_equal(options_read_file(&table, &v, file), ERR_CONFIG);
        assert_message(":2:", n <= 49 ? "unknown" : "longer than 49", NULL);
        options_release(&table, &v);
        buf_release(&b);
    }
}

static void test_overrides(void **state)
{
    (void)state;
    struct values v = defaults();
    assert_int_equal(options_override(&table, &v, "run.steps=20k"), 0);
    assert_int_equal(v.steps, 20000);
    assert_int_equal(options_override(&table, &v, "run.seed=3M"), 0);
    assert_int_equal(v.seed, 3000000);
    assert_int_equal(options_override(&table, &v, "run.any=-2G"), 0);
    assert_int_equal(v.any, -2000000000);
    assert_int_equal(options_override(&table, &v, "run.dir= a # b ; c "), 0);
    assert_string_equal(v.dir, "a # b ; c"); /* a shell word has no comments */
    assert_int_equal(options_override(&table, &v, "run.dir=a=b"), 0);
    assert_string_equal(v.dir, "a=b");
    assert_int_equal(options_override(&table, &v, "run.dir="), 0);
    assert_string_equal(v.dir, "");
    assert_int_equal(options_override(&table, &v, "sample.stop=\"\\n\\n\""), 0);
    assert_string_equal(v.stop, "\n\n");
    assert_int_equal(options_override(&table, &v, "run.steps"), ERR_USAGE);
    assert_message("run.steps", "section.key=value", NULL);
    assert_int_equal(options_override(&table, &v, "run.sed=1"), ERR_CONFIG);
    assert_message("did you mean \"run.seed\"", NULL);
    assert_int_equal(options_override(&table, &v, "trian.esp=1"), ERR_CONFIG);
    assert_message("did you mean \"train.eps\"", NULL);
    assert_int_equal(options_override(&table, &v, "run.steps=1.5"), ERR_CONFIG);
    assert_int_equal(options_override(&table, &v, "run.steps=1kk"), ERR_CONFIG);
    assert_int_equal(options_override(&table, &v, "sample.stop=\"x"), ERR_CONFIG);
    assert_message("sample.stop", "closing quote", NULL);
    assert_int_equal(options_override(&table, &v, "=1"), ERR_CONFIG);
    assert_int_equal(v.steps, 20000);
    static const char *const words[] = {"false", "true", "no", "yes",
                                        "off",   "on",   "0",  "1"};
    for (int i = 0; i < 8; i++) {
        char arg[40];
        snprintf(arg, sizeof(arg), "train.strict=%s", words[i]);
        assert_int_equal(options_override(&table, &v, arg), 0);
        assert_int_equal(v.is_strict, i % 2);
    }
    options_release(&table, &v);
}

/* A string of n characters, most of them the ones that INI treats specially. */
static char *awkward_string(uint32_t which)
{
    static const char letters[] = " \t\n\\\"#;=:[]%'ax\r\v\xC3\xA9";
    const uint32_t n = rng_below(9, RNG_TEST, 12, which, 0, 0, 0);
    char *const s = mem_alloc(n + 1);
    for (uint32_t i = 0; i < n; i++)
        s[i] = letters[rng_below(9, RNG_TEST, sizeof(letters) - 1, which, 1, i, 0)];
    return s;
}

static void test_round_trip(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 3000; k++) {
        struct values v = defaults();
        mem_free(v.dir);
        mem_free(v.stop);
        v.dir = awkward_string(2 * k);
        v.stop = awkward_string(2 * k + 1);
        uint32_t w[4];
        rng_block(w, 10, RNG_TEST, k, 0, 0, 0);
        v.lr = (double)w[0] * 0x1p-32;
        v.eps = ldexp((double)w[1] - 0x1p31, (int)(w[2] % 1800) - 900);
        v.any = (int64_t)((uint64_t)w[2] << 32 | w[3]);
        v.seed = k == 0 ? INT64_MIN : INT64_MAX;
        v.is_strict = w[3] & 1;
        v.mode = (int)(w[3] % 3);
        struct buf text = {0};
        options_write(&table, &v, &text);
        struct values back = defaults();
        const char *const path = tmp_file("back.ini", text.data, text.len);
        if (options_read_file(&table, &back, path) != 0)
            fail_msg("%s\n%s", status_message(), text.data);
        assert_string_equal(back.dir, v.dir);
        assert_string_equal(back.stop, v.stop);
        assert_true(back.lr == v.lr && back.eps == v.eps);
        assert_true(back.any == v.any && back.seed == v.seed && back.mode == v.mode);
        assert_int_equal(back.is_strict, v.is_strict);
        buf_release(&text);
        options_release(&table, &back);
        options_release(&table, &v);
    }
}

static void test_write_and_help(void **state)
{
    (void)state;
    struct values v = defaults();
    struct buf text = {0};
    options_write(&table, &v, &text);
    assert_string_equal(text.data, "[run]\nsteps = 10\nseed = 0\ndir = runs/a\n"
                                   "any = -5\n\n[train]\nlearning_rate = 1e-06\n"
                                   "eps = 1e-08\nstrict = true\n\n"
                                   "[sample]\nstop = \"\"\nmode = exact\n");
    char *help = NULL;
    size_t len;
    FILE *f = open_memstream(&help, &len);
    options_help(&table, "run|sample", f);
    fclose(f);
    assert_non_null(strstr(help, "run.steps=10"));
    assert_non_null(strstr(help, "from 1 to 1000000"));
    assert_non_null(strstr(help, "stop string"));
    assert_non_null(strstr(help, "fast|exact|off"));
    assert_null(strstr(help, "train."));
    free(help);
    f = open_memstream(&help, &len);
    options_help(&table, NULL, f);
    fclose(f);
    for (int64_t i = 0; i < table.n; i++)
        assert_true(strstr(help, items[i].key) != NULL &&
                    strstr(help, items[i].help) != NULL);
    free(help);
    buf_release(&text);
    options_release(&table, &v);
}

static void test_choice(void **state)
{
    (void)state;
    assert_int_equal(options_choice("a|bc|d", "a"), 0);
    assert_int_equal(options_choice("a|bc|d", "bc"), 1);
    assert_int_equal(options_choice("a|bc|d", "d"), 2);
    assert_int_equal(options_choice("a|bc|d", "b"), -1);
    assert_int_equal(options_choice("a|bc|d", "bcd"), -1);
    assert_int_equal(options_choice("a|bc|d", "a|bc"), -1);
    assert_int_equal(options_choice("a|bc|d", ""), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),       cmocka_unit_test(test_file),
        cmocka_unit_test(test_bad_files),      cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_overrides),      cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_write_and_help), cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, tmp_dir_make, tmp_dir_remove);
}
