/*
 * The allocator, its counter and hook, reserved pages, arenas, byte buffers.
 */
#include "core/mem.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/core/tmp_dir.h"

static void test_checked(void **state)
{
    (void)state;
    int64_t v = 77;
    assert_true(checked_add(3, 4, &v));
    assert_int_equal(v, 7);
    assert_true(checked_mul(INT64_MAX / 2, 2, &v));
    assert_int_equal(v, INT64_MAX - 1);
    assert_true(checked_mul(0, INT64_MAX, &v));
    assert_int_equal(v, 0);
    v = 77;
    assert_false(checked_add(INT64_MAX, 1, &v));
    assert_false(checked_add(-5, 4, &v));
    assert_false(checked_mul(INT64_MAX, 2, &v));
    assert_false(checked_mul(-1, 2, &v));
    assert_false(checked_mul((int64_t)1 << 32, (int64_t)1 << 32, &v));
    assert_int_equal(v, 77);
}

static bool is_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != 0)
            return false;
    return true;
}

static void test_alloc(void **state)
{
    (void)state;
    for (size_t n = 0; n < 300; n++) {
        unsigned char *const p = mem_alloc(n);
        assert_int_equal((uintptr_t)p % 64, 0);
        assert_true(is_zero(p, n));
        memset(p, 0xAA, n); /* dirties what the next one may get */
        mem_free(p);
    }
    void *const a = mem_alloc(0), *const b = mem_alloc(0);
    assert_true(a != NULL && b != NULL && a != b);
    mem_free(a);
    mem_free(b);
    mem_free(NULL);
}

static void test_realloc_moves(void **state)
{
    (void)state;
    unsigned char *p = mem_realloc(NULL, 0, 10);
    assert_true(is_zero(p, 10));
    memset(p, 7, 10);
    p = mem_realloc(p, 10, 1000);
    assert_int_equal((uintptr_t)p % 64, 0);
    assert_true(p[0] == 7 && p[9] == 7 && is_zero(p + 10, 990));
    memset(p, 8, 1000);
    p = mem_realloc(p, 1000, 3);
    assert_true(p[0] == 8 && p[2] == 8);
    p = mem_realloc(p, 3, 0);
    assert_non_null(p);
    mem_free(p);
}

static void test_strings(void **state)
{
    (void)state;
    char *const a = mem_strdup("hello"), *const b = mem_strndup("hello", 3);
    char *const c = mem_strndup("hi", 100), *const d = mem_strdup("");
    assert_string_equal(a, "hello");
    assert_string_equal(b, "hel");
    assert_string_equal(c, "hi");
    assert_string_equal(d, "");
    mem_free(a);
    mem_free(b);
    mem_free(c);
    mem_free(d);
}

struct hook_state {
    int64_t calls;
    size_t last_bytes, limit_bytes;
};

static bool hook(size_t bytes, void *user)
{
    struct hook_state *const h = user;
    h->calls++;
    h->last_bytes = bytes;
    return bytes <= h->limit_bytes;
}

static void test_count_and_hook(void **state)
{
    (void)state;
    struct hook_state h = {.limit_bytes = 1 << 20};
    mem_set_hook(hook, &h);
    const int64_t before = mem_count();
    void *p = mem_alloc(100);
    assert_int_equal(h.last_bytes, 100);
    p = mem_realloc(p, 100, 200);
    void *pages = NULL;
    assert_int_equal(mem_reserve(&pages, 5000, "test"), 0);
    assert_int_equal(mem_count() - before, 3);
    assert_int_equal(h.calls, 3);
    mem_release(pages, 5000);
    mem_free(p);
    void *untouched = &h;
    assert_int_equal(mem_reserve(&untouched, 2 << 20, "the cache"), ERR_MEMORY);
    assert_ptr_equal(untouched, &h);
    assert_message("the cache", "2097152", NULL);
    mem_set_hook(NULL, NULL);
    assert_int_equal(mem_reserve(&pages, 2 << 20, "test"), 0);
    mem_release(pages, 2 << 20);
}

/* status 75, from a child that is refused a small allocation */
static void test_failure_ends_the_program(void **state)
{
    (void)state;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(STDERR_FILENO);
        struct hook_state h = {.limit_bytes = 10};
        mem_set_hook(hook, &h);
        (void)mem_strdup("eleven bytes");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 75);
}

static void test_reserve(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        0, 1, 4096, 4097, (2 << 20) - 1, 2 << 20, (7 << 20) + 3};
    for (int64_t i = 0; i < ARRAY_LEN(sizes); i++) {
        void *p = NULL;
        assert_int_equal(mem_reserve(&p, sizes[i], "pages"), 0);
        unsigned char *const bytes = p;
        assert_true(is_zero(bytes, sizes[i]));
        assert_int_equal((uintptr_t)p % (sizes[i] >= 2 << 20 ? 2 << 20 : 4096), 0);
        memset(bytes, 1, sizes[i]); /* writable to the last byte */
        mem_release(p, sizes[i]);
    }
    mem_release(NULL, 100);
    void *p = NULL;
    assert_int_equal(mem_reserve(&p, SIZE_MAX - 5, "too much"), ERR_MEMORY);
    assert_int_equal(mem_reserve(&p, SIZE_MAX / 2, "too much"), ERR_MEMORY);
    assert_null(p);
    assert_message("too much", "GiB", NULL);
}

/* Reserved and untouched pages do not count as used memory. */
static void test_reserve_is_lazy(void **state)
{
    (void)state;
    const size_t bytes = (size_t)8 << 30;
    const int64_t before = mem_peak_rss_bytes();
    void *p = NULL;
    assert_int_equal(mem_reserve(&p, bytes, "lazy"), 0);
    ((char *)p)[bytes - 1] = 1;
    assert_true(mem_peak_rss_bytes() - before < 64 << 20);
    mem_release(p, bytes);
}

static void test_sizes_of_the_machine(void **state)
{
    (void)state;
    const int64_t available = mem_available_bytes();
    const int64_t total = (int64_t)sysconf(_SC_PHYS_PAGES) *
                          (int64_t)sysconf(_SC_PAGESIZE);
    assert_true(available > 0 && available <= total);
    assert_true(mem_peak_rss_bytes() > 100000 && mem_peak_rss_bytes() <= total);
}

static void test_arena(void **state)
{
    (void)state;
    struct arena a;
    assert_int_equal(arena_init(&a, 1000, "arena"), 0);
    unsigned char *const p = arena_take(&a, 1);
    unsigned char *const q = arena_take(&a, 65);
    assert_int_equal((uintptr_t)p % 64, 0);
    assert_ptr_equal(q, p + 64);
    const size_t mark = arena_mark(&a);
    assert_int_equal(mark, 64 + 128);
    const int64_t before = mem_count();
    void *const r = arena_take(&a, 1000 - mark);
    assert_int_equal(mem_count(), before);
    memset(r, 1, 1000 - mark);
    assert_int_equal(a.peak_bytes, 1000);
    assert_non_null(arena_take(&a, 0));
    arena_rewind(&a, mark);
    assert_ptr_equal(arena_take(&a, 8), r);
    assert_int_equal(a.peak_bytes, 1000);
    arena_release(&a);
    assert_null(a.base);
    arena_release(&a);
    arena_release(NULL);
}

static void test_buf(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_append(&b, NULL, 0);
    assert_string_equal(b.data, "");
    char expected[4000] = "";
    for (int i = 0; i < 300; i++) {
        buf_printf(&b, "%d,", i);
        snprintf(expected + strlen(expected), 16, "%d,", i);
        assert_int_equal(b.len, strlen(expected));
        assert_int_equal(b.data[b.len], 0);
        assert_true(b.len <= b.cap);
    }
    assert_string_equal(b.data, expected);
    const char *const kept = b.data;
    buf_reset(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_puts(&b, "again");
    assert_ptr_equal(b.data, kept);
    buf_append(&b, "\0x", 2);
    assert_int_equal(b.len, 7);
    assert_memory_equal(b.data, "again\0x", 8);
    buf_release(&b);
    assert_null(b.data);
    buf_release(&b);
    buf_release(NULL);
    struct buf untouched = {0};
    buf_reset(&untouched);
}

struct json_case {
    const char *in, *out;
    size_t len;
};
#define CASE(in, out)                                                                  \
    {                                                                                  \
        in, "\"" out "\"", sizeof(in) - 1                                              \
    }
#define BAD "\xEF\xBF\xBD"
static const struct json_case json_cases[] = {
    CASE("", ""),
    CASE("plain", "plain"),
    CASE("a\"b\\c/d", "a\\\"b\\\\c/d"),
    CASE("\b\f\n\r\t", "\\b\\f\\n\\r\\t"),
    CASE("\0\x01\x1f\x7f", "\\u0000\\u0001\\u001f\x7f"),
    CASE("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
         "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"),
    CASE("\xEF\xBF\xBD", BAD),
    CASE("a\x80z", "a" BAD "z"),
    CASE("\xC0\xAF", BAD BAD),                 /* overlong slash */
    CASE("\xE0\x80\xAF", BAD BAD BAD),         /* overlong in three */
    CASE("\xED\xA0\x80", BAD BAD BAD),         /* a surrogate */
    CASE("\xF4\x90\x80\x80", BAD BAD BAD BAD), /* past U+10FFFF */
    CASE("\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"),
    CASE("\xF5\xFF", BAD BAD),
    CASE("\xE2\x82", BAD), /* cut at the end: one mark */
    CASE("\xE2\x82z", BAD "z"),
    CASE("\xF0\x9F\x98\"", BAD "\\\""),
    CASE("\xC3", BAD),
};

static void test_json_string(void **state)
{
    (void)state;
    for (int64_t i = 0; i < ARRAY_LEN(json_cases); i++) {
        struct buf b = {0};
        buf_put_json_string(&b, json_cases[i].in, json_cases[i].len);
        assert_string_equal(b.data, json_cases[i].out);
        buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checked),
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_realloc_moves),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_count_and_hook),
        cmocka_unit_test(test_failure_ends_the_program),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_reserve_is_lazy),
        cmocka_unit_test(test_sizes_of_the_machine),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_buf),
        cmocka_unit_test(test_json_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
