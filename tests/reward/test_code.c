/*
 * Answers written as Python: the forms of models, what is no program, faults, limits
 * and what is refused; random programs with the results that Python gave
 * (tests/reward/code_cases.jsonl, made by make_code_cases.py); hostile text.
 */
#include "reward/code.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io.h"
#include "core/json.h"

struct code_case {
    const char *text;
    enum code_status status;
    const char *value; /* NULL: none */
};

static bool check(const char *text, size_t len, enum code_status status,
                  const char *value)
{
    struct code_value v;
    memset(&v, 0xA5, sizeof(v));
    code_eval(&v, text, len);
    assert_true(v.len < sizeof(v.text));
    assert_int_equal(v.text[v.len], 0);
    assert_true(v.status == CODE_VALUE || v.len == 0);
    const bool is_same = v.status == status &&
                         strcmp(v.text, value == NULL ? "" : value) == 0;
    if (!is_same)
        print_error("<%.*s>\n  gave %s <%s>, expected %s <%s>\n",
                    len > 900 ? 900 : (int)len, text, code_status_name(v.status),
                    v.text, code_status_name(status), value == NULL ? "" : value);
    return is_same;
}

static void check_all(const struct code_case *cases, int64_t n)
{
    int64_t n_bad = 0;
    for (int64_t i = 0; i < n; i++)
        n_bad += !check(cases[i].text, strlen(cases[i].text), cases[i].status,
                        cases[i].value);
    assert_int_equal(n_bad, 0);
}

#define CHECK_ALL(cases) check_all((cases), ARRAY_LEN(cases))
#define MAIN "def simple_math_problem() -> int:\n"

static const struct code_case forms[] = {
    {"", CODE_NONE, NULL},
    {"The answer is definitely 5. I define x = 5.", CODE_NONE, NULL},
    {"def is short for define", CODE_NONE, NULL},
    {"we write def f(): return 5 here", CODE_NONE, NULL},
    {"```python\nx = 5\nprint(x)\n```", CODE_NONE, NULL},
    /* functions */
    {MAIN "    \"\"\"\n    Janet's ducks lay 16 eggs.\n    \"\"\"\n"
          "    eggs = 16\n    # sold\n    result = (eggs - 3 - 4) * 2\n"
          "    return result\n",
     CODE_VALUE, "18"},
    {" " MAIN "    return 5", CODE_VALUE, "5"},
    {"\n\n" MAIN "    return 5\n\n\nThe answer is 6.\n", CODE_VALUE, "5"},
    {"Sure:\n```python\n" MAIN "    return 5\n```\nIt's 6.", CODE_VALUE, "5"},
    {"```\r\n" MAIN "\treturn 5\r\n```\r\n", CODE_VALUE, "5"},
    {"```python\n" MAIN "    return 5", CODE_VALUE, "5"},
    {"It's:\n" MAIN "    return 5\n```\nand so\n", CODE_VALUE, "5"},
    {"```text\nno\n```python\ndef f():\n    return 5\n```", CODE_VALUE, "5"},
    {"```python\nimport math\nrate = 2.5\n\ndef solution(n=3):\n"
     "    return math.ceil(n * rate)\n\nprint(f'It is {solution()}')\n```",
     CODE_VALUE, "8"},
    {"import math\nfrom math import floor, sqrt as root\n\n# fine\ndef f():\n"
     "    return math.ceil(root(17)) + floor(2.5)",
     CODE_VALUE, "7"},
    {"from the store we know\nimport duties\ntoo\ndef f(): return 5", CODE_VALUE, "5"},
    {"def half(x: float) -> float:\n    return x / 2\n\n" MAIN "    return half(9)\n",
     CODE_VALUE, "4.5"},
    /* which function */
    {MAIN "    return 1\n\ndef other():\n    return 2\n", CODE_VALUE, "1"},
    {"def f():\n    return 1\n\ndef g():\n    return 2\n", CODE_VALUE, "2"},
    {"def f():\n    return 1\n\ndef g(x):\n    return x\n", CODE_VALUE, "1"},
    {"def f():\n    return 1\n\ndef f():\n    return 2\n", CODE_VALUE, "2"},
    {"def g(x):\n    return x\n", CODE_UNSUPPORTED, NULL},
    {"```\ndef g(x):\n    return x\nprint(g(4))\n```", CODE_VALUE, "4"},
    {"def simple_math_problem(x):\n    return x\ndef f(): return 1", CODE_FAULT, NULL},
    {"def f():\n    return (1\n\n" MAIN "    return 2\n", CODE_FAULT, NULL},
    {"def f():\n    return 1 +\n\n" MAIN "    return 2\n", CODE_VALUE, "2"},
    {MAIN "    return 1 +\n\ndef f():\n    return 2\n", CODE_FAULT, NULL},
    {MAIN "    return 1 +\n\n" MAIN "    return 2\n", CODE_VALUE, "2"},
    {MAIN "    return {}\n\n" MAIN "    return g()\n", CODE_UNSUPPORTED, NULL},
    {"def f():\n    return 1\n\ndef g():\n    return 1 +\n", CODE_FAULT, NULL},
    {"def f():\n    print('It is', 7)\n", CODE_VALUE, "7"},
    {"def f():\n    print('Six')\n", CODE_FAULT, NULL},
    {"def f():\n    x = 7\n", CODE_FAULT, NULL},
    /* blocks */
    {"<llm-code>\na = 5\nb = a * 2\nb\n</llm-code>\nSo 11.", CODE_VALUE, "10"},
    {"<llm-code>\na = 5\nprint(a + 1)\n</llm-code>", CODE_VALUE, "6"},
    {"<llm-code>\na = 5\nprint(a)\nb = a\nb + 3\n</llm-code>", CODE_VALUE, "8"},
    {"<llm-code>\na = 5\nb = a - 1\n</llm-code>", CODE_VALUE, "4"},
    {"<llm-code>\na, b = 5, 7\n</llm-code>", CODE_VALUE, "7"},
    {"<llm-code>a = 5</llm-code><llm-code-output>9</llm-code-output>then "
     "<llm-code>a * 3</llm-code>",
     CODE_VALUE, "15"},
    {"<llm-code>a = 5\nb</llm-code><llm-code>a * 3</llm-code>", CODE_VALUE, "15"},
    {"<llm-code>a = {}</llm-code><llm-code>a * 3</llm-code>", CODE_UNSUPPORTED, NULL},
    {"<llm-code>a = 5</llm-code><llm-code>a + ", CODE_NONE, NULL},
    {"<llm-code>a = 5", CODE_NONE, NULL},
    {"<llm-code></llm-code>", CODE_FAULT, NULL},
    {"<llm-code>def f():\n    return 3\n</llm-code>", CODE_VALUE, "3"},
    {"<llm-code>def f():\n    return 3\nf()\n</llm-code>", CODE_VALUE, "3"},
    {"<llm-code>x = 3\nprint(f'{x}')\n</llm-code>", CODE_UNSUPPORTED, NULL},
    {"<llm-code>x = 3\nprint(x, x + 1)\n</llm-code>", CODE_UNSUPPORTED, NULL},
    {"<llm-code>x = [1]\nprint(x)\nx.append(2)\n</llm-code>", CODE_VALUE, "[1]"},
    {"<llm-code>import sympy\nx = 3\n</llm-code>", CODE_UNSUPPORTED, NULL},
    {"<llm-code>def f(): return 1\nx = f\n</llm-code>", CODE_UNSUPPORTED, NULL},
};

static void test_forms(void **state)
{
    (void)state;
    CHECK_ALL(forms);
}

static const struct code_case values[] = {
    {"def f(): return 0.1 + 0.2", CODE_VALUE, "0.30000000000000004"},
    {"def f(): return 7 / 2, -7 // 2, -7 % 3, 7.5 % -2", CODE_VALUE,
     "(3.5, -4, 2, -0.5)"},
    {"def f(): return round(0.5), round(1.5), round(2.675, 2), round(1250, -2)",
     CODE_VALUE, "(0, 2, 2.67, 1200)"},
    {"def f(): return 2 ** 100, 2 ** -1, -2 ** 2, 9 ** 0.5", CODE_VALUE,
     "(1267650600228229401496703205376, 0.5, -4, 3.0)"},
    {"def f(): return (2 ** 70 + 1) / 2 ** 70, 10 ** 400 / 10 ** 399, 2**63 - 1",
     CODE_VALUE, "(1.0, 10.0, 9223372036854775807)"},
    {"def f(): return 1e16, 123456789012345680.0, 1e-5, 0.0001, 5e-324, 2.0**-44",
     CODE_VALUE,
     "(1e+16, 1.2345678901234568e+17, 1e-05, 0.0001, 5e-324, "
     "5.684341886080802e-14)"},
    {"def f(): return 1e400, -1e400, 1e400 - 1e400, -0.0, 1e-400", CODE_VALUE,
     "(inf, -inf, nan, -0.0, 0.0)"},
    {"def f(): return [True, (1,), (), [[2.50]]]", CODE_VALUE,
     "[True, (1,), (), [[2.5]]]"},
    {"def f(): return 1 < 2 < 3 != 3, not 1, 0 or 5, 3 and 4, 2 in [1, 2]", CODE_VALUE,
     "(False, False, 5, 4, True)"},
    {"def f(): return 2 ** 53 + 1 == 2.0 ** 53, 2 ** 53 + 1 > 2.0 ** 53", CODE_VALUE,
     "(False, True)"},
    {"def f(): return [1, 2, 3][-1], (4, 5, 6)[::2], range(0, 9, 3)[1], "
     "[1] * 2 + [0]",
     CODE_VALUE, "(3, (4, 6), 3, [1, 1, 0])"},
    {"def f(): return sum([1, 2.5]), max(3, 4), min([2, 1]), len([]), abs(-3), "
     "sorted([3, 1, 2], reverse=True), divmod(-7, 2), list(range(3)), tuple([1])",
     CODE_VALUE, "(3.5, 4, 1, 0, 3, [3, 2, 1], (-4, 1), [0, 1, 2], (1,))"},
    {"def f(): return int(-2.7), int(1e20), float(3), bool([]), int(), float()",
     CODE_VALUE, "(-2, 100000000000000000000, 3.0, False, 0, 0.0)"},
    {"def f():\n    t = 0\n    for i in range(5):\n        if i == 3: break\n"
     "        t += i\n    else:\n        t = 100\n    return t",
     CODE_VALUE, "3"},
    {"def f():\n    x = 100; n = 0\n    while x > 10:\n        x //= 2\n"
     "        n += 1\n    return n if n else -1",
     CODE_VALUE, "4"},
    {"def f():\n    x = y = []\n    x.append(1)\n    y += [2]\n    (a, b), c = x, "
     "3\n"
     "    x[0] *= 10\n    return x, a, b, c",
     CODE_VALUE, "([10, 2], 1, 2, 3)"},
    {"def fact(n):\n    return 1 if n < 2 else n * fact(n - 1)\n"
     "def f():\n    return fact(n=20)",
     CODE_VALUE, "2432902008176640000"},
    {"def f():\n    day = 'Mon'\n    if day == \"Mon\" and day is not None:\n"
     "        return 1\n    return 2",
     CODE_VALUE, "1"},
    {"def f():\n    x: int = 3\n    y: float\n    return (x\n            + 1) \\\n"
     "        * 2\n",
     CODE_VALUE, "8"},
    {"def f():\n\tif 1:\n\t\tx = 1_000\n\treturn x # it's", CODE_VALUE, "1000"},
    {"def f():\r\n  '''a\rb'''\r\n  'a\\\r\nb'\r\n  return 3\r\n", CODE_VALUE, "3"},
    {"def f():\r  x = 1\r  return 3\r", CODE_VALUE, "3"},
    {"def f():\n  \"\"\"a'''b''\\\"\"\" \"\"\"\n  \f\n\f  return 3", CODE_VALUE, "3"},
    {"def f( ): # note\n\n  # note\n  return 3\n# note", CODE_VALUE, "3"},
    {"def f(): return ([1,\n2] # x\n, (3))", CODE_VALUE, "([1, 2], 3)"},
    {"def f(): x = 'a\\n', B'a', Rb'a', u'a', F'a', fR'a'; return 3", CODE_VALUE, "3"},
    {"def f(): return ('a',) == ('b',), 1 if 0 else 3", CODE_VALUE, "(False, 3)"},
    {"<llm-code>\\\n\n5</llm-code>", CODE_VALUE, "5"},
    {"<llm-code>\n\n# note\n;\n</llm-code>", CODE_FAULT, NULL},
    {"<llm-code>\nimport math as m\nm.pi\n\n\n</llm-code>", CODE_VALUE,
     "3.141592653589793"},
    {"<llm-code>\nfrom math import pi as p\nx = -p\n</llm-code>", CODE_VALUE,
     "-3.141592653589793"},
    {"<llm-code>\nx = [0, 1]\nx[0] = 3\nfor i in x: y = i\n</llm-code>", CODE_VALUE,
     "1"},
};

static void test_values(void **state)
{
    (void)state;
    CHECK_ALL(values);
    struct code_value v;
    code_eval(&v, "def f(): return 4 / 2", 21);
    assert_true(v.is_float);
    code_eval(&v, "def f(): return [4 / 2]", 23);
    assert_false(v.is_float);
    static const char *const names[] = {"none", "value", "unsupported", "fault",
                                        "limit"};
    for (int i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(code_status_name((enum code_status)i), names[i]);
}

static const char *const unsupported[] = {
    "import os\ndef f():\n    return 5",
    "def f():\n    import os\n    return 5",
    "def f(): return open('/etc/passwd')",
    "def f(): return eval('5')",
    "def f(): return __import__('os')",
    "def f(): return (5).real",
    "def f(): return [i for i in range(3)]",
    "def f(): return {1: 2}",
    "def f(): return (lambda: 5)()",
    "def f(): return f'{5}'",
    "def f(): return '5'",
    "def f(): return 'a' + 'b'",
    "def f(): return 'a' 'b' == 'ab'",
    "def f(): return '\\n' == 'n'",
    "def f(): return (-8) ** 0.5",
    "def f(): return 0x10",
    "def f(): return 5 & 3",
    "def f(): return ~5",
    "def f(): return round",
    "def f(): return [None]",
    "def f(): return range(3)",
    "def f(): return int('5')",
    "def f(): return max([1], key=abs)",
    "def f(*a): return 5",
    "def f():\n    try:\n        return 5\n    except: pass",
    "def f():\n    global x\n    return 5",
    "def f():\n    def g(): return 5\n    return g()",
    "def f():\n    x = [1]\n    x.pop()\n    return x",
    "def f():\n    x = [1]\n    x[0:1] = [2]\n    return x",
    "def f(): return \xC3\xA9",
    "def f(): return 5j",
    "import math\ndef f(): return math.log(5)",
    "from math import log\ndef f(): return 5",
    "from math import *\ndef f(): return 5",
    "from os import path\ndef f(): return 5",
    "from math.x import ceil\ndef f(): return 5",
    "from . import x\ndef f(): return 5",
    "import math, os\ndef f(): return 5",
    "import os.path\ndef f(): return 5",
    "import math\ndef f():\n    x = math.log\n    return x(5)",
    "def f(): return 5 | 3",
    "def f(): return 5 ^ 3",
    "def f(): return 5 << 3",
    "def f(): return 5 @ 3",
    "def f(): return 1 if 'a\\n' else 2",
    "def f(): return [1e400 - 1e400] == [1.0]",
    "def f(): return [1.0] == [1e400 - 1e400]",
    "def f(): return sorted([1e400 - 1e400])",
    "def f(): return range(3) == range(3)",
    "def f(): return 3 == range(3)",
    "def f(): return abs == 3",
    "def f(): return abs + 3",
    "def f(): return 3 + 'a'",
    "def f(): return 'ab' == 'a\\n'",
    "def f(): return 5 is 5",
    "def f(): return True is 5",
    "def f(): return range(5)[1:2]",
    "def f(): return [1][::2 ** 70]",
    "def f(): return [1][0:1, 2]",
    "def f(): return round(1, 2 ** 70)",
    "def f(): return round(1, 'a')",
    "def f(): return abs('a')",
    "def f(): return float('5')",
    "def f(): return round('5')",
    "def f(): return len('abc')",
    "def f(): return 'abc'[0]",
    "def f(): return sorted('abc')",
    "def f(): return len(abs)",
    "def f(): return abs(x=1)",
    "def f(): return pow(2, 3, 5)",
    "def f(): return int('5', 10)",
    "def f(): return str(5)",
    "def f(): return (lambda_)(5) if 0 else [5].count(5)",
    "def f():\n    print(1, sep='', end='')\n    return 5",
    "def f():\n    print(1, sep='')\n    return 5",
    "def f():\n    x = 5\n    x.append(1)\n    return x",
    "def f():\n    x = 5\n    x.a = 1\n    return x",
    "def f():\n    x = 5\n    x.a += 1\n    return x",
    "def f():\n    x = [5]\n    x[0:1] += [1]\n    return x",
    "def f():\n    x = [5]\n    x.insert(0, 1)\n    return x",
    "def f():\n    a, b = 'ab'\n    return a",
    "def f():\n    abs[0] = 1\n    return 1",
    "def f():\n    x = [1]\n    x += 'a'\n    return x",
    "def f(): return (yield)",
    "def f(): return ...",
    "def f(): return (x := 5)",
    "def f(): return max(*[1, 2])",
    "def f(): return f(**x)",
    "def f():\n    with x: pass",
    "def f():\n    del x",
    "def f(a, /): return 5",
    "def f(a, **k): return 5",
    "def f(): return x\xC3\xA9",
    "```\n@dec\ndef f(): return 5\n```",
    "```\nclass A:\n    pass\ndef f(): return A()\n```",
    "```\nx = input()\ndef f(): return 5\n```",
};

static const char *const faults[] = {
    "def f(): return x",
    "def f(): return 1 / 0",
    "def f(): return 1 % 0",
    "def f(): return 0 ** -1",
    "def f(): return 1.5 // 0",
    "def f(): return [1][1]",
    "def f(): return [1]['a' == 'b':0:0]",
    "def f(): return 5()",
    "def f(): return f(1)",
    "def f(a=1): return f(a=1, a=2)",
    "def f(): return None + 1",
    "def f(): return [1] + (2,)",
    "def f(): return int(1e400)",
    "def f(): return 10 ** 400 * 1.0",
    "def f(): return 10.0 ** 400",
    "def f(): return max([])",
    "def f(): return len(5)",
    "def f(): return round(1.7e308, -308)",
    "def f(): raise ValueError('no')",
    "def f():\n    assert 1 > 2\n    return 5",
    "def f():\n    x += 1\n    return x",
    "def f():\n    a, b = 1, 2, 3\n    return a",
    "def f():\nreturn 5",
    "def f():\n    x = 1\n      y = 2\n    return x",
    "def f():\n    if 1:\n        x = 1\n      y = 2\n    return x",
    "def f():\n\tx = 1\n        return x",
    "def f(): return 007",
    "def f(): return 1__0",
    "def f(): return (1",
    "def f(): return 'a",
    "def f(): return 'a\\",
    "def f(): return 5 $ 3",
    "def f(): 5 = 3",
    "def f(a=1, b): return 5",
    "def f(a, a): return 5",
    "def f(): break",
    "def f(): return f(b=1, 2)",
    "def f(): print 5",
    "def f(): return math.log(5)",
    "def f(): return 'a\nb'",
    "def f(): return 'a\rb'",
    "def f():\n    return f(b=1)\n",
    "def f(a=1):\n    return f(2, a=1)\n",
    "```\ndef f(): return 1\nf = 5\n```",
    "def f():\n    a, b = abs\n    return a",
    "def f(): return [1] * 2 ** 70",
    "def f(): return \"\"\"abc\"\"",
    "def f(): return 5 \\",
    "<llm-code>\n  x = 5\n</llm-code>",
    "<llm-code>return 5</llm-code>",
    "def f():\n    return 5 \\ 3",
};

static void test_refused(void **state)
{
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(unsupported); i++) {
        assert_true(
            check(unsupported[i], strlen(unsupported[i]), CODE_UNSUPPORTED, NULL));
    }
    for (int64_t i = 0; i < ARRAY_LEN(faults); i++)
        assert_true(check(faults[i], strlen(faults[i]), CODE_FAULT, NULL));
}

/* What Python 3.11 made of random programs. Where it raised, the subset may refuse
 * earlier: (-8) ** 0.5 is a complex number there. */
static void test_python(void **state)
{
    (void)state;
    struct io_lines lines;
    const char *line;
    size_t len;
    int64_t n = 0, n_bad = 0;
    assert_int_equal(io_lines_open(&lines, "tests/reward/code_cases.jsonl"), 0);
    while (io_lines_next(&lines, &line, &len)) {
        json_t *row;
        assert_int_equal(json_parse(&row, line, len, "case"), 0);
        const char *const text = json_string_value(json_object_get(row, "text"));
        const char *const value = json_string_value(json_object_get(row, "value"));
        struct code_value v;
        code_eval(&v, text, strlen(text));
        const bool is_good = value == NULL
                                 ? v.status == CODE_FAULT ||
                                       v.status == CODE_UNSUPPORTED
                                 : v.status == CODE_VALUE && strcmp(v.text, value) == 0;
        if (!is_good)
            print_error("line %d: %s %s, Python: %s\n%s\n", (int)lines.number,
                        code_status_name(v.status), v.text,
                        value == NULL ? "raises" : value, text);
        n += 1;
        n_bad += !is_good;
        json_decref(row);
    }
    io_lines_close(&lines);
    assert_true(n > 200);
    assert_int_equal(n_bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
