/*
 * The reader against every rule of the format, hostile bytes, and size limits; the
 * writer against the reference writer's bytes.
 */
#include "tests/model/model_dir.h"

#include <time.h>
#include <unistd.h>

#include "core/rng.h"
#include "model/safetensors.h"

static int open_in(struct st_file *f, const char *dir)
{
    char *const path = io_join(dir, "x.safetensors");
    const int status = st_open(f, path);
    mem_free(path);
    return status;
}

#define T(name, dtype, shape, begin, end)                                              \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape                          \
    "],\"data_offsets\":[" #begin "," #end "]}"

struct header_case {
    const char *header;
    size_t data_bytes;
    const char *fragment; /* NULL: opens */
};

static const struct header_case cases[] = {
    /* accepted */
    {"{}", 0, NULL},
    {"{\"__metadata__\":{\"format\":\"pt\"}}", 0, NULL},
    {"  \n{" T("a", "F32", "2", 0, 8) "} \t\r\n ", 8, NULL},
    {"{" T("s", "F32", "", 0, 4) "}", 4, NULL},
    {"{" T("e", "F32", "0,7", 0, 0) "}", 0, NULL},
    {"{" T("b", "U8", "3", 4, 7) "," T("a", "F32", "1", 0, 4) "}", 7, NULL},
    {"{" T("e", "I64", "0", 4, 4) "," T("a", "F16", "2", 0, 4) "}", 4, NULL},
    {"{" T("q", "F4", "2", 0, 1) "}", 1, NULL},
    {"{" T("q", "F6_E3M2", "4", 0, 3) "}", 3, NULL},
    {"{" T("a", "C64", "1,1,1,1,1,1,1,1", 0, 8) "}", 8, NULL},
    {"{\"a\":{\"x\":[1],\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     NULL},
    {"{\"\\u0061\\n\\\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     NULL},
    /* refused */
    {"", 0, "JSON"},
    {"[]", 0, "header is array"},
    {"{", 0, "JSON"},
    {"{} x", 0, "JSON"},
    {"{}{}", 0, "JSON"},
    {"{'a':1}", 0, "JSON"},
    {"{\"a\":1}", 0, "tensor a: entry is integer"},
    {"{\"\xff\":1}", 0, "JSON"},
    {"{" T("a", "U8", "1", 0, 1) "," T("a", "U8", "1", 0, 1) "}", 1, "duplicate"},
    {"{" T("a", "U8", "0", 0, 0) "," T("\\u0061", "U8", "0", 0, 0) "}", 0, "duplicate"},
    {"{" T("a", "U8", "1", 0, 1) "}", 2, "1 bytes after the last tensor"},
    {"{}", 5, "5 bytes after the last tensor"},
    {"{" T("a", "U8", "2", 0, 2) "}", 1, "do not lie in the 1 bytes"},
    {"{" T("a", "U8", "1", 1, 2) "}", 2, "there is a hole"},
    {"{" T("a", "U8", "1", 0, 1) "," T("b", "U8", "1", 2, 3) "}", 3, "there is a hole"},
    {"{" T("a", "U8", "2", 0, 2) "," T("b", "U8", "2", 1, 3) "}", 3, "they overlap"},
    {"{" T("a", "U8", "2", 0, 2) "," T("b", "U8", "2", 0, 2) "}", 2, "they overlap"},
    {"{" T("a", "U8", "1", 2, 1) "}", 2, "do not lie in"},
    {"{" T("a", "F32", "2", 0, 4) "}", 4, "span 4 bytes, shape and dtype need 8"},
    {"{" T("a", "f32", "1", 0, 4) "}", 4, "unknown dtype \"f32\""},
    {"{" T("a", "F32\\u0000", "1", 0, 4) "}", 4, "unknown dtype"},
    {"{" T("a", "Q4", "1", 0, 4) "}", 4, "unknown dtype \"Q4\""},
    {"{" T("a", "F4", "1", 0, 1) "}", 1, "not whole bytes"},
    {"{" T("a", "U8", "-1", 0, 1) "}", 1, "\"shape\"[0] is not a non-negative integer"},
    {"{" T("a", "U8", "1.0", 0, 1) "}", 1, "\"shape\"[0] is not"},
    {"{" T("a", "U8", "1e0", 0, 1) "}", 1, "\"shape\"[0] is not"},
    {"{" T("a", "U8", "true", 0, 1) "}", 1, "\"shape\"[0] is not"},
    {"{" T("a", "U8", "\"1\"", 0, 1) "}", 1, "\"shape\"[0] is not"},
    {"{" T("a", "U8", "1", -1, 0) "}", 1, "\"data_offsets\"[0] is not"},
    {"{" T("a", "U8", "1", 0, 1.5) "}", 1, "\"data_offsets\"[1] is not"},
    {"{" T("a", "U8", "18446744073709551616", 0, 1) "}", 1, "JSON"},
    {"{" T("a", "U8", "9223372036854775807,3", 0, 1) "}", 1, "overflows"},
    {"{" T("a", "F32", "4611686018427387904", 0, 0) "}", 0, "overflows"},
    {"{" T("a", "U8", "4294967296,4294967296,0", 0, 0) "}", 0, "overflows"},
    {"{" T("a", "U8", "1", 0, 9223372036854775807) "}", 1, "do not lie in"},
    {"{" T("a", "U8", "1,1,1,1,1,1,1,1,1", 0, 1) "}", 1, "has 9 entries"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "no \"dtype\""},
    {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "\"dtype\" is"},
    {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "\"shape\" is nothing"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}", 1,
     "\"shape\" is integer"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "\"data_offsets\" is nothing"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1,
     "\"data_offsets\" has 1 entries"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
     1, "duplicate"},
    {"{\"__metadata__\":{\"format\":1}}", 0, "__metadata__ \"format\" is integer"},
    {"{\"__metadata__\":[]}", 0, "__metadata__ is array"},
    {"{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     "JSON"},
    {"{\"a\":{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
     "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}",
     0, "nested"},
};

static void test_headers(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    static const unsigned char data[16];
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct st_file f;
        write_raw(dir, "x.safetensors", cases[i].header, data, cases[i].data_bytes);
        if (cases[i].fragment == NULL) {
            assert_ok(open_in(&f, dir));
            st_close(&f);
        } else {
            assert_error(open_in(&f, dir), cases[i].fragment);
            assert_non_null(strstr(status_message(), "x.safetensors"));
        }
    }
    drop_dir(dir);
}

static void test_lengths(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct st_file f;
    assert_error(open_in(&f, dir), "no such file");
    write_bytes(dir, "x.safetensors", "", 0);
    assert_error(open_in(&f, dir), "0 bytes are too short");
    write_bytes(dir, "x.safetensors", "\2\0\0\0\0\0\0", 7);
    assert_error(open_in(&f, dir), "7 bytes are too short");
    write_bytes(dir, "x.safetensors", "\3\0\0\0\0\0\0\0{}", 10);
    assert_error(open_in(&f, dir), "header of 3 bytes in a file of 10");
    write_bytes(dir, "x.safetensors", "\1\341\365\5\0\0\0\0{}", 10);
    assert_error(open_in(&f, dir), "header of 100000001 bytes, the limit is 100000000");
    write_bytes(dir, "x.safetensors", "\370\377\377\377\377\377\377\377{}", 10);
    assert_error(open_in(&f, dir), "header of 18446744073709551608 bytes");
    drop_dir(dir);
}

static void test_tensor_fields(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct st_file f;
    const char *const header = "{" T("z", "BF16", "2,3", 0, 12) "," T("a", "F32", "1",
                                                                      12, 16) "}";
    write_raw(dir, "x.safetensors", header, "0123456789abcdef", 16);
    assert_ok(open_in(&f, dir));
    assert_int_equal(f.n, 2);
    assert_string_equal(f.tensors[0].name, "a");
    const struct st_tensor *const z = st_find(&f, "z");
    assert_non_null(z);
    assert_int_equal(z->dtype, ST_BF16);
    assert_int_equal(z->rank, 2);
    assert_int_equal(z->shape[0], 2);
    assert_int_equal(z->shape[1], 3);
    assert_int_equal(z->off, 8 + strlen(header));
    assert_int_equal(z->bytes, 12);
    assert_memory_equal(f.map.data + z->off, "0123456789ab", 12);
    assert_memory_equal(f.map.data + st_find(&f, "a")->off, "cdef", 4);
    assert_null(st_find(&f, "b"));
    st_close(&f);
    drop_dir(dir);
}

static void test_dtype_names(void **state)
{
    (void)state;
    assert_string_equal(st_dtype_name(ST_BOOL), "BOOL");
    assert_string_equal(st_dtype_name(ST_F8_E4M3FNUZ), "F8_E4M3FNUZ");
    assert_string_equal(st_dtype_name(ST_BF16), "BF16");
    assert_string_equal(st_dtype_name(ST_U64), "U64");
}

/* Every truncation of a valid file fails; so does every extension. */
static void test_truncations(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct st_file f;
    struct buf b = {0};
    const char *const header = "{" T("z", "BF16", "2,3", 0, 12) "," T("a", "F32", "1",
                                                                      12, 16) "}";
    write_raw(dir, "x.safetensors", header, "0123456789abcdef", 16);
    char *const path = io_join(dir, "x.safetensors");
    assert_ok(io_read_file(&b, path, 4096));
    for (size_t n = 0; n < b.len; n++) {
        write_bytes(dir, "x.safetensors", b.data, n);
        assert_int_not_equal(st_open(&f, path), STATUS_OK);
    }
    write_bytes(dir, "x.safetensors", b.data, b.len + 1); /* with the buffer's NUL */
    assert_error(st_open(&f, path), "1 bytes after the last tensor");
    buf_release(&b);
    mem_free(path);
    drop_dir(dir);
}

/* Whatever opens after a corruption must describe memory inside the file. */
static void check_in_bounds(const struct st_file *f)
{
    size_t total = 0;
    for (int64_t i = 0; i < f->n; i++) {
        assert_true(f->tensors[i].off <= f->map.size);
        assert_true(f->tensors[i].bytes <= f->map.size - f->tensors[i].off);
        assert_ptr_equal(st_find(f, f->tensors[i].name), &f->tensors[i]);
        total += f->tensors[i].bytes;
    }
    assert_true(total <= f->map.size);
}

static void test_byte_corruptions(void **state)
{
    (void)state;
    char *const dir = temp_dir(), *const path = io_join(dir, "x.safetensors");
    struct buf b = {0};
    const char *const header = "{" T("z", "BF16", "2,3", 0, 12) "," T(
        "a", "F32", "1", 12, 16) ",\"__metadata__\":{\"format\":\"pt\"}}";
    write_raw(dir, "x.safetensors", header, "0123456789abcdef", 16);
    assert_ok(io_read_file(&b, path, 4096));
    const size_t n = 8 + strlen(header);
    int n_opened = 0, n_refused = 0;
    static const unsigned char replacements[] = {0,   1,   9,   ' ', '"', ',', '-',
                                                 '0', '1', '9', ':', '[', ']', '\\',
                                                 'e', '{', '}', 'x', 127, 128, 255};
    for (size_t i = 0; i < n; i++)
        for (int64_t j = 0; j < ARRAY_LEN(replacements); j++) {
            const char kept = b.data[i];
            b.data[i] = (char)replacements[j];
            write_bytes(dir, "x.safetensors", b.data, b.len);
            struct st_file f;
            if (st_open(&f, path) == STATUS_OK) {
                check_in_bounds(&f);
                st_close(&f);
                n_opened++;
            } else {
                n_refused++;
            }
            b.data[i] = kept;
        }
    print_message("%d corruptions: %d refused\n", n_opened + n_refused, n_refused);
    assert_true(n_refused > 3 * n_opened && n_opened > 0);
    buf_release(&b);
    mem_free(path);
    drop_dir(dir);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void put_many(struct buf *b, int n)
{
    buf_puts(b, "{");
    for (int i = 0; i < n; i++)
        buf_printf(b,
                   "%s\"model.layers.%d.mlp.experts.%d.w1.weight\":{\"dtype\":\"U8\","
                   "\"shape\":[1],\"data_offsets\":[%d,%d]}",
                   i > 0 ? "," : "", i / 1000, i % 1000, i, i + 1);
    buf_puts(b, "}");
}

static void test_many_tensors(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    char *const data = mem_alloc(100001);
    struct buf b = {0};
    struct st_file f;
    put_many(&b, 100000);
    write_raw(dir, "x.safetensors", b.data, data, 100000);
    const double start = now();
    assert_ok(open_in(&f, dir));
    print_message("100000 tensors, header of %.1f MB: %.0f ms\n", (double)b.len / 1e6,
                  1e3 * (now() - start));
    assert_int_equal(f.n, 100000);
    assert_non_null(st_find(&f, "model.layers.99.mlp.experts.999.w1.weight"));
    st_close(&f);
    buf_reset(&b);
    put_many(&b, 100001);
    write_raw(dir, "x.safetensors", b.data, data, 100001);
    assert_error(open_in(&f, dir), "100001 tensors, the limit is 100000");
    buf_release(&b);
    mem_free(data);
    drop_dir(dir);
}

static void test_limits(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct buf b = {0};
    struct st_file f;
    buf_puts(&b, "{\"");
    for (int i = 0; i < 513; i++)
        buf_puts(&b, "n");
    buf_puts(&b, "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    write_raw(dir, "x.safetensors", b.data, "", 0);
    assert_error(open_in(&f, dir), "tensor name of 513 bytes");
    buf_reset(&b);
    buf_puts(&b, "{\"a\":[0");
    for (int i = 0; i < 4000001; i++)
        buf_puts(&b, ",0");
    buf_puts(&b, "]}");
    write_raw(dir, "x.safetensors", b.data, "", 0);
    assert_error(open_in(&f, dir), "too many entries");
    buf_release(&b);
    drop_dir(dir);
}

/* Order, header and padding of the reference writer, spelt out. */
static void test_writer_layout(void **state)
{
    (void)state;
    char *const dir = temp_dir(), *const path = io_join(dir, "x.safetensors");
    struct st_writer *w;
    assert_ok(st_create(&w, path));
    assert_ok(st_declare(w, "b", ST_F16, 1, (const int64_t[]){2}));
    assert_ok(st_declare(w, "a", ST_F16, 2, (const int64_t[]){1, 2}));
    assert_ok(st_declare(w, "c\"", ST_F32, 0, NULL));
    assert_ok(st_declare(w, "d", ST_U8, 2, (const int64_t[]){0, 5}));
    assert_int_equal(st_n_declared(w), 4);
    const char *const order[] = {"c\"", "a", "b", "d"};
    for (int i = 0; i < 4; i++)
        assert_string_equal(st_order(w, i)->name, order[i]);
    assert_false(io_exists(path));
    assert_ok(st_write(w, "CCC", 3));
    assert_ok(st_write(w, "CAAAAB", 6));
    assert_ok(st_write(w, "BBB", 3));
    assert_ok(st_finish(w));
    const char want[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"c\\\"\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
        "\"a\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[4,8]},"
        "\"b\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[8,12]},"
        "\"d\":{\"dtype\":\"U8\",\"shape\":[0,5],\"data_offsets\":[12,12]}}";
    struct buf b = {0};
    assert_ok(io_read_file(&b, path, 4096));
    const size_t n = sizeof(want) - 1, padded = (n + 7) / 8 * 8;
    assert_int_equal(b.len, 8 + padded + 12);
    assert_int_equal((unsigned char)b.data[0] + 256 * b.data[1], padded);
    assert_memory_equal(b.data + 8, want, n);
    for (size_t i = n; i < padded; i++)
        assert_int_equal(b.data[8 + i], ' ');
    assert_memory_equal(b.data + 8 + padded, "CCCCAAAABBBB", 12);
    struct st_file f;
    assert_ok(st_open(&f, path));
    assert_non_null(st_find(&f, "c\""));
    st_close(&f);
    buf_release(&b);
    mem_free(path);
    drop_dir(dir);
}

static int64_t count_files(const char *dir)
{
    char **names;
    int64_t n;
    assert_ok(io_list(dir, &names, &n));
    io_list_free(names, n);
    return n;
}

static void test_writer_faults(void **state)
{
    (void)state;
    char *const dir = temp_dir(), *const path = io_join(dir, "x.safetensors");
    const int64_t shape[] = {2}, huge[] = {INT64_MAX, 2};
    struct st_writer *w;
    assert_ok(st_create(&w, path));
    assert_ok(st_declare(w, "a", ST_U8, 1, shape));
    assert_error(st_declare(w, "h", ST_U8, 2, huge), "out of range");
    assert_error(st_write(w, "abc", 3), "1 bytes more than the 2 declared");
    assert_ok(st_write(w, "a", 1));
    assert_error(st_finish(w), "1 bytes written, 2 declared");
    assert_int_equal(count_files(dir), 0);
    assert_ok(st_create(&w, path));
    assert_ok(st_declare(w, "a", ST_U8, 1, shape));
    assert_ok(st_declare(w, "a", ST_F16, 1, shape));
    assert_error(st_write(w, "a", 1), "tensor a declared twice");
    st_abandon(w);
    st_abandon(NULL);
    assert_int_equal(count_files(dir), 0);
    assert_error(st_create(&w, "/nowhere/at/all.safetensors"), "/nowhere/at/all");
    mem_free(path);
    drop_dir(dir);
}

/* A file with no tensors at all, and the old file kept until the rename. */
static void test_writer_replaces(void **state)
{
    (void)state;
    char *const dir = temp_dir(), *const path = io_join(dir, "x.safetensors");
    struct st_writer *w;
    struct st_file f;
    write_string(dir, "x.safetensors", "old");
    assert_ok(st_create(&w, path));
    struct buf b = {0};
    assert_ok(io_read_file(&b, path, 10));
    assert_string_equal(b.data, "old");
    assert_ok(st_finish(w));
    assert_ok(st_open(&f, path));
    assert_int_equal(f.n, 0);
    st_close(&f);
    assert_int_equal(count_files(dir), 1);
    buf_release(&b);
    mem_free(path);
    drop_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),         cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_tensor_fields),   cmocka_unit_test(test_dtype_names),
        cmocka_unit_test(test_truncations),     cmocka_unit_test(test_byte_corruptions),
        cmocka_unit_test(test_many_tensors),    cmocka_unit_test(test_limits),
        cmocka_unit_test(test_writer_layout),   cmocka_unit_test(test_writer_faults),
        cmocka_unit_test(test_writer_replaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
