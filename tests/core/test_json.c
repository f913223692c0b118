/*
 * Strictness of the parser and what the getters say.
 */
#include "core/json.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "tests/core/tmp_dir.h"

static const char *const bad_texts[] = {
    "",
    "   ",
    "{",
    "[1,]",
    "{\"a\":1,\"a\":2}",
    "{\"a\":1} x",
    "{'a':1}",
    "[\"\xC0\xAF\"]",
    "[\"\xED\xA0\x80\"]",
    "[\"\\ud800\"]",
    "[\"tab\t\"]",
    "[01]",
    "[NaN]",
    "[Infinity]",
    "[1e999]",
    "[99999999999999999999]",
    "\xEF\xBB\xBF{}",
    "null",
    "[\"open",
    "[\"\\",
};

static void test_bad_texts(void **state)
{
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(bad_texts); i++) {
        json_t *v = NULL;
        if (json_parse(&v, bad_texts[i], strlen(bad_texts[i]), "f.jsonl:7") !=
            ERR_INPUT)
            fail_msg("accepted: %s", bad_texts[i]);
        assert_null(v);
        assert_message("f.jsonl:7: JSON", "column", NULL);
    }
    json_t *v = NULL;
    assert_int_equal(json_parse(&v, "{\n\n\"a\": x}", 11, "f.json"), ERR_INPUT);
    assert_message("f.json: JSON line 3", NULL);
    assert_int_equal(json_parse(&v, "[1]\0", 4, "f"), ERR_INPUT); /* a NUL after it */
}

static void test_depth(void **state)
{
    (void)state;
    for (int depth = 60; depth <= 70; depth++) {
        struct buf b = {0};
        for (int i = 0; i < depth; i++)
            buf_puts(&b, i % 2 == 0 ? "[" : "{\"[{\\\"[\":");
        buf_puts(&b, "1");
        for (int i = depth - 1; i >= 0; i--)
            buf_puts(&b, i % 2 == 0 ? "]" : "}");
        json_t *v = NULL;
        const int status = json_parse(&v, b.data, b.len, "deep");
        assert_int_equal(status, depth <= 64 ? 0 : ERR_INPUT);
        if (depth > 64)
            assert_message("deep", "limit is 64", NULL);
        json_decref(v);
        buf_release(&b);
    }
    struct buf b = {0}; /* what would overflow a stack */
    for (int i = 0; i < 1000000; i++)
        buf_puts(&b, "[");
    json_t *v = NULL;
    assert_int_equal(json_parse(&v, b.data, b.len, "deep"), ERR_INPUT);
    buf_release(&b);
}

static json_t *parse(const char *text)
{
    json_t *v = NULL;
    assert_int_equal(json_parse(&v, text, strlen(text), "f.json"), 0);
    return v;
}

static void test_int(void **state)
{
    (void)state;
    json_t *const v = parse("{\"n\":5,\"z\":null,\"r\":5.0,\"b\":true}");
    int64_t n = 77;
    bool found = true;
    assert_int_equal(json_get_int(v, "none", 0, 9, &n, &found, "f.json"), 0);
    assert_true(!found && n == 77);
    found = true;
    assert_int_equal(json_get_int(v, "z", 0, 9, &n, &found, "f.json"), 0);
    assert_true(!found && n == 77);
    assert_int_equal(json_get_int(v, "n", 6, 9, &n, &found, "f.json"), ERR_INPUT);
    assert_message("f.json", "\"n\"", "5", "6 to 9", NULL);
    assert_int_equal(json_get_int(v, "n", 0, 4, &n, NULL, "f.json"), ERR_INPUT);
    assert_int_equal(json_get_int(v, "r", 0, 9, &n, NULL, "f.json"), ERR_INPUT);
    assert_message("\"r\" is real, expected an integer", NULL);
    assert_int_equal(json_get_int(v, "b", 0, 9, &n, NULL, "f.json"), ERR_INPUT);
    assert_int_equal(n, 77);
    assert_int_equal(json_get_int(v, "n", 5, 5, &n, &found, "f.json"), 0);
    assert_true(found && n == 5);
    json_decref(v);
}

static void test_real_bool_string(void **state)
{
    (void)state;
    json_t *const v = parse("{\"n\":5,\"r\":0.5,\"t\":true,\"f\":false,\"z\":null,"
                            "\"s\":\"a\\u0000\\u00e9\",\"l\":[]}");
    double r = 7.0;
    bool b = true, found = false;
    const char *s = "kept";
    size_t len = 9;
    assert_int_equal(json_get_real(v, "n", &r, &found, "f"), 0);
    assert_true(r == 5.0 && found);
    assert_int_equal(json_get_real(v, "r", &r, NULL, "f"), 0);
    assert_true(r == 0.5);
    assert_int_equal(json_get_real(v, "s", &r, NULL, "f"), ERR_INPUT);
    assert_message("f: \"s\" is string, expected a number", NULL);
    assert_int_equal(json_get_real(v, "z", &r, &found, "f"), 0);
    assert_true(r == 0.5 && !found);
    assert_int_equal(json_get_bool(v, "f", &b, &found, "f"), 0);
    assert_true(!b && found);
    assert_int_equal(json_get_bool(v, "t", &b, NULL, "f"), 0);
    assert_true(b);
    assert_int_equal(json_get_bool(v, "n", &b, NULL, "f"), ERR_INPUT);
    assert_int_equal(json_get_string(v, "none", &s, &len, "f"), 0);
    assert_int_equal(json_get_string(v, "z", &s, &len, "f"), 0);
    assert_string_equal(s, "kept");
    assert_int_equal(json_get_string(v, "l", &s, &len, "f"), ERR_INPUT);
    assert_message("\"l\" is array, expected a string", NULL);
    assert_int_equal(json_get_string(v, "s", &s, &len, "f"), 0);
    assert_int_equal(len, 4);
    assert_memory_equal(s, "a\0\xC3\xA9", 5);
    assert_int_equal(json_get_string(v, "s", &s, NULL, "f"), 0);
    json_t *const list = parse("[1]");
    assert_int_equal(json_get_real(list, "x", &r, NULL, "f"), ERR_INPUT);
    assert_message("found array, expected an object", "\"x\"", NULL);
    assert_int_equal(json_get_real(NULL, "x", &r, NULL, "f"), ERR_INPUT);
    assert_message("found nothing", NULL);
    json_decref(list);
    json_decref(v);
}

static void test_file(void **state)
{
    (void)state;
    json_t *v = NULL;
    assert_int_equal(json_parse_file(&v, tmp_text("a.json", "{\"k\": [1, 2]}")), 0);
    assert_int_equal(json_array_size(json_object_get(v, "k")), 2);
    json_decref(v);
    v = NULL;
    assert_int_equal(json_parse_file(&v, tmp_text("b.json", "{\"k\":\n oops}")),
                     ERR_INPUT);
    assert_message("b.json", "line 2", NULL);
    const char *const large = tmp_text("large.json", "{\"k\": 1000000000000000019884}");
    assert_int_equal(json_parse_file(&v, large), ERR_INPUT);
    assert_int_equal(json_parse_file_reals(&v, large), 0);
    assert_true(json_real_value(json_object_get(v, "k")) == 1e21);
    json_decref(v);
    v = NULL;
    assert_int_equal(json_parse_file(&v, tmp_text("empty.json", "")), ERR_INPUT);
    assert_message("empty.json", NULL);
    assert_int_equal(json_parse_file(&v, tmp_path("absent.json")), ERR_INPUT);
    assert_message("absent.json", "no such file", NULL);
    assert_null(v);
}

static void test_type_names(void **state)
{
    (void)state;
    json_t *const v = parse("[{},[],\"\",1,1.5,true,false,null]");
    static const char *const names[] = {"object", "array",   "string",  "integer",
                                        "real",   "boolean", "boolean", "null"};
    for (int64_t i = 0; i < ARRAY_LEN(names); i++)
        assert_string_equal(json_type_name(json_array_get(v, (size_t)i)), names[i]);
    assert_string_equal(json_type_name(NULL), "nothing");
    json_decref(v);
}

/* What buf_put_json_string writes reads back, for every byte and for bad UTF-8. */
static void test_written_strings_parse(void **state)
{
    (void)state;
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    struct buf b = {0};
    buf_puts(&b, "[");
    buf_put_json_string(&b, bytes, sizeof(bytes));
    buf_puts(&b, "]");
    json_t *const v = parse(b.data);
    const json_t *const s = json_array_get(v, 0);
    assert_memory_equal(json_string_value(s), bytes, 128);
    assert_int_equal(json_string_length(s), 128 + 128 * 3); /* all become U+FFFD */
    json_decref(v);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_int),
        cmocka_unit_test(test_real_bool_string),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_type_names),
        cmocka_unit_test(test_written_strings_parse),
    };
    return cmocka_run_group_tests(tests, tmp_dir_make, tmp_dir_remove);
}
