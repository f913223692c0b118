/*
 * Answers written as Python that mean harm: every limit, megabytes of one pattern,
 * random tokens.
 */
#include "reward/code.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "core/rng.h"

struct limit_case {
    const char *text;
    enum code_status status;
};

/* head, then unit n times, then tail */
static char *repeat(const char *head, const char *unit, int64_t n, const char *tail)
{
    struct buf b = {0};
    buf_puts(&b, head);
    for (int64_t i = 0; i < n; i++)
        buf_puts(&b, unit);
    buf_puts(&b, tail);
    return b.data;
}

static const struct limit_case limits[] = {
    {"def f():\n    while True: pass", CODE_LIMIT},
    {"def f():\n    return f()", CODE_LIMIT},
    {"def f(): return 10 ** 10 ** 10", CODE_LIMIT},
    {"def f(): return 2 ** 2 ** 70", CODE_LIMIT},
    {"def f():\n    if 1:\n        return f()", CODE_LIMIT},
    {"def f():\n    if 1:\n        if 1:\n            return f()", CODE_LIMIT},
    {"def f():\n    while 1: x = [0] * 9999", CODE_LIMIT},
    {"def f():\n    x = []\n    while 1: x = [x] * 9999", CODE_LIMIT},
    {"def f(): return range(2 ** 62)", CODE_LIMIT},
    {"def f(): return range(-2 ** 62)", CODE_LIMIT},
    {"def f(): return range(2 ** 70)", CODE_LIMIT},
    {"def f(): return [1, 2, 3] * 2 ** 62", CODE_LIMIT},
    {"def f(): return [0] * 9999 + [0] * 9999", CODE_LIMIT},
    {"<llm-code>x = 2 ** 5000</llm-code><llm-code>5</llm-code>", CODE_LIMIT},
    {"def g(): return 2 ** 5000\ndef f(): return 5", CODE_VALUE},
    {"def f(): return 2 ** 4095", CODE_VALUE},
    {"def f(): return 2 ** 4096", CODE_LIMIT},
    {"def f(): return [0] * 10 ** 9", CODE_LIMIT},
    {"def f(): return sum(range(10 ** 9))", CODE_LIMIT},
    {"def f(): return [1.5] * 1000", CODE_LIMIT},
    {"def f():\n    x = []\n    x.append(x)\n    return x", CODE_LIMIT},
    {"def f():\n    x = []\n    x.append(x)\n    return x == x[0]", CODE_LIMIT},
    {"def f():\n    x = []\n    x.append(x)\n    print(x)", CODE_LIMIT},
    {"def f():\n    x = [0]\n    for i in x: x.append(i)", CODE_LIMIT},
    {"def f():\n    x = 3\n    for i in range(99): x *= x\n    return x", CODE_LIMIT},
};

static const struct {
    const char *head, *unit, *tail;
    int64_t n;
    enum code_status status;
} grown[] = {
    {"def f(): return ", "(", "1", 500, CODE_LIMIT},
    {"def f(): return ", "[", "1", 500, CODE_LIMIT},
    {"def f(): return ", "-", "1", 5000, CODE_LIMIT},
    {"def f(): return ", "not ", "1", 5000, CODE_LIMIT},
    {"def f(): return ", "1+", "1", 5000, CODE_LIMIT},
    {"def f(): return ", "2**", "1", 5000, CODE_LIMIT},
    {"def f(): return 1", " if 1 else 1", "", 5000, CODE_LIMIT},
    {"def f(): return f", "()", "", 5000, CODE_LIMIT},
    {"def f(): return 1", " < 1", "", 5000, CODE_VALUE},
    {"def f(): return 1", " and 1", "", 5000, CODE_VALUE},
    {"def f(): return ", "9", "", 1200, CODE_VALUE},
    {"def f(): return ", "9", "", 1300, CODE_LIMIT},
    {"def f(): return ", "9", "", 100000, CODE_LIMIT},
    {"def f(): return 0.", "9", "", 700, CODE_VALUE},
    {"def f(): return 0.", "9", "", 900, CODE_LIMIT},
    {"def f(): return ", "x + ", "1", 10, CODE_FAULT},
    {"def f():\n    x = 1\n", "    x = x\n", "    return x", 4000, CODE_VALUE},
    {"def f():\n    x = 1\n", "    x = x\n", "    return x", 9000, CODE_LIMIT},
    {"def f(): return 1 # ", "\xF0\x9D\x9F\x92", "", 100000, CODE_VALUE},
    {"def f():\n    '''", "eggs ", "'''\n    return 1", 100000, CODE_VALUE},
};

static void test_limits(void **state)
{
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct code_value v;
        code_eval(&v, limits[i].text, strlen(limits[i].text));
        if (v.status != limits[i].status)
            print_error("%s\n", limits[i].text);
        assert_int_equal(v.status, limits[i].status);
    }
    for (int64_t i = 0; i < ARRAY_LEN(grown); i++) {
        char *const text = repeat(grown[i].head, grown[i].unit, grown[i].n,
                                  grown[i].tail);
        struct code_value v;
        code_eval(&v, text, strlen(text));
        if (v.status != grown[i].status)
            print_error("%s%s...\n", grown[i].head, grown[i].unit);
        assert_int_equal(v.status, grown[i].status);
        mem_free(text);
    }
}

/* Blocks inside each other, and names */
static void test_many(void **state)
{
    (void)state;
    struct buf b = {0};
    struct code_value v;
    for (int depth = 20; depth < 90; depth += 60) {
        buf_reset(&b);
        buf_puts(&b, "def f():\n");
        for (int i = 1; i <= depth; i++)
            buf_printf(&b, "%*sif %d:\n", i, "", i);
        buf_printf(&b, "%*sreturn 5", depth + 1, "");
        code_eval(&v, b.data, b.len);
        assert_int_equal(v.status, depth < 64 ? CODE_VALUE : CODE_LIMIT);
    }
    for (int n = 1500; n < 3000; n += 1000) {
        buf_reset(&b);
        buf_puts(&b, "def f():\n");
        for (int i = 0; i < n; i++)
            buf_printf(&b, "    x%d = %d\n", i, i);
        buf_puts(&b, "    return x1499");
        code_eval(&v, b.data, b.len);
        assert_int_equal(v.status, n < 2000 ? CODE_VALUE : CODE_LIMIT);
    }
    buf_release(&b);
}

static const char *const units[] = {
    "def ",
    "def f(\n",
    "def f():\n x\n",
    "def f():\n \"\"\"\n",
    "'''\n",
    "```\n",
    "```python\ndef f():\n",
    "<llm-code>",
    "</llm-code>",
    "<llm-code>x\n",
    "(",
    "[",
    ")",
    "9",
    "1e-300 ",
    ".",
    "\\\n",
    "\n",
    " ",
    "\t",
    "#",
    "#\n",
    "\xFF",
    "é",
    "x=",
    "x,",
    "if x:\n",
    "  x\n x\n",
    "\"",
    "'",
    "f''",
    "not ",
    "x.",
    "x[",
    "import x\n",
    "from x import y\n",
    "def f():return 1\n",
    "x;",
};

static const char *const heads[] = {"", "def f():\n  ", "<llm-code>", "```\ndef f()"};

/* Megabytes of one pattern, with and without a beginning that makes them code: any
 * status, no value that was not computed, all memory freed (by the sanitizers). */
static void test_hostile(void **state)
{
    (void)state;
    enum { BYTES = 1 << 18 };
    char *const text = malloc(BYTES);
    for (int64_t i = 0; i < ARRAY_LEN(units); i++) {
        for (int64_t h = 0; h < ARRAY_LEN(heads); h++) {
            const size_t n = strlen(units[i]), n_head = strlen(heads[h]);
            memcpy(text, heads[h], n_head);
            for (size_t k = n_head; k < BYTES; k++)
                text[k] = units[i][(k - n_head) % n];
            memcpy(text + BYTES - 11, "</llm-code>", 11);
            struct code_value v;
            code_eval(&v, text, BYTES);
            assert_true(v.status != CODE_VALUE || v.len > 0);
        }
    }
    memset(text, 0, BYTES);
    struct code_value v;
    memcpy(text, "def f():", 8);
    code_eval(&v, text, BYTES);
    assert_int_equal(v.status, CODE_FAULT);
    free(text);
}

/* Random tokens: any status, never outside the text */
static void test_random(void **state)
{
    (void)state;
    static const char *const bits[] = {
        "def f():\n", "\n",
        "    ",       "  ",
        "\t",         "return ",
        "x",          "y",
        "1",          "2.5",
        " + ",        " - ",
        "*",          "**",
        "//",         "/",
        "%",          "(",
        ")",          "[",
        "]",          ",",
        ":",          "=",
        "==",         "<",
        "if ",        "else",
        "elif ",      "for ",
        " in ",       "range(3)",
        "while ",     "break\n",
        "not ",       " and ",
        "print(",     "round(",
        "sum(",       "'a'",
        "\"\"\"",     "#",
        "\\\n",       "lambda",
        ".append(",   "None",
        "<llm-code>", "</llm-code>",
        "```\n",      "import math\n",
        "math.",      "def g(a, b=1):\n",
    };
    struct buf b = {0};
    for (uint32_t round = 0; round < 20000; round++) {
        buf_reset(&b);
        buf_puts(&b, "def f():\n    ");
        const uint32_t n = 1 + rng_below(77, RNG_TEST, 40, round, 0, 0, 0);
        for (uint32_t i = 1; i <= n; i++)
            buf_puts(&b, bits[rng_below(77, RNG_TEST, (uint32_t)ARRAY_LEN(bits), round,
                                        i, 0, 0)]);
        /* exactly the bytes of the text, for the sanitizers */
        char *const text = malloc(b.len);
        memcpy(text, b.data, b.len);
        struct code_value v;
        code_eval(&v, text, b.len);
        assert_true(v.status != CODE_NONE || v.len == 0);
        free(text);
    }
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
