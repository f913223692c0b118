/*
 * The index of a sharded checkpoint and the files it may name.
 */
#include "tests/model/model_dir.h"

#include <unistd.h>

#include "model/shards.h"

#define MAP(a, b) "{\"weight_map\":{\"a\":\"" a "\",\"b\":\"" b "\"}}"

/* x holds a, y holds b */
static void write_pair(const char *dir)
{
    write_raw(dir, "x.safetensors",
              "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "A",
              1);
    write_raw(dir, "y.safetensors",
              "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", "BB",
              2);
}

static void write_index(const char *dir, const char *text)
{
    write_string(dir, "model.safetensors.index.json", text);
}

static void test_index(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct shards s;
    write_pair(dir);
    write_index(dir, MAP("x.safetensors", "y.safetensors"));
    assert_ok(shards_open(&s, dir));
    assert_int_equal(s.n_files, 2);
    assert_int_equal(s.n, 2);
    const struct shard_tensor *const b = shards_find(&s, "b");
    assert_non_null(b);
    assert_int_equal(b->tensor->bytes, 2);
    assert_memory_equal(b->file->map.data + b->tensor->off, "BB", 2);
    assert_null(shards_find(&s, "c"));
    shards_close(&s);
    shards_close(&s);
    /* one file is enough, and the single file comes first */
    write_index(dir, "{\"metadata\":{},\"weight_map\":{\"b\":\"y.safetensors\"}}");
    assert_ok(shards_open(&s, dir));
    assert_int_equal(s.n, 1);
    shards_close(&s);
    write_raw(dir, "model.safetensors", "{}", "", 0);
    assert_ok(shards_open(&s, dir));
    assert_int_equal(s.n, 0);
    assert_null(shards_find(&s, "b"));
    shards_close(&s);
    drop_dir(dir);
}

static void test_bad_index(void **state)
{
    (void)state;
    static const struct {
        const char *index, *fragment;
    } cases[] = {
        {"", "JSON"},
        {"[]", "\"weight_map\" is nothing"},
        {"{}", "\"weight_map\" is nothing"},
        {"{\"weight_map\":[]}", "\"weight_map\" is array"},
        {"{\"weight_map\":{}}", "weight_map names 0 files"},
        {"{\"weight_map\":{\"a\":1}}", "a is mapped to integer"},
        {"{\"weight_map\":{\"a\":\"x.safetensors\",\"a\":\"x.safetensors\"}}",
         "duplicate"},
        {MAP("../x.safetensors", "y.safetensors"),
         "a is mapped to \"../x.safetensors\""},
        {MAP("/tmp/x.safetensors", "y.safetensors"), "expected the name of a file"},
        {MAP("sub/x.safetensors", "y.safetensors"), "expected the name of a file"},
        {MAP("..\\\\x.safetensors", "y.safetensors"), "expected the name of a file"},
        {MAP(".safetensors", "y.safetensors"), "expected the name of a file"},
        {MAP("", "y.safetensors"), "expected the name of a file"},
        {MAP("x.safetensors\\u0000.bin", "y.safetensors"), "a name with a NUL in it"},
        {MAP("pytorch_model.bin", "y.safetensors"), "not a .safetensors file"},
        {MAP("missing.safetensors", "y.safetensors"),
         "/missing.safetensors: no such file"},
        {MAP("y.safetensors", "x.safetensors"), "tensor a is not in y.safetensors"},
        {MAP("x.safetensors", "x.safetensors"), "tensor b is not in x.safetensors"},
        {"{\"weight_map\":{\"a\":\"x.safetensors\",\"c\":\"y.safetensors\"}}",
         "tensor c is not in y.safetensors"},
        {"{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"y.safetensors\","
         "\"c\":\"y.safetensors\"}}",
         "tensor c is not in y.safetensors"},
        {"{\"weight_map\":{\"b\":\"z.safetensors\"}}", "tensor d is not in the index"},
        {"{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"y.safetensors\","
         "\"d\":\"z.safetensors\"}}",
         "tensor b is in"},
    };
    char *const dir = temp_dir();
    write_pair(dir);
    write_raw(dir, "z.safetensors",
              "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
              "\"d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
              "BD", 2);
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct shards s;
        write_index(dir, cases[i].index);
        assert_error(shards_open(&s, dir), cases[i].fragment);
        assert_non_null(strstr(status_message(), dir));
    }
    drop_dir(dir);
}

static void test_no_weights(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct shards s;
    assert_error(shards_open(&s, dir), "holds neither model.safetensors nor");
    write_string(dir, "pytorch_model.bin", "PK");
    assert_error(shards_open(&s, dir), "pytorch_model.bin: a pickle, which is never");
    assert_error(shards_open(&s, "/nowhere"), "/nowhere");
    drop_dir(dir);
}

static void link_in(const char *dir, const char *target, const char *name)
{
    char *const path = io_join(dir, name);
    assert_int_equal(symlink(target, path), 0);
    mem_free(path);
}

/* Links may stay inside, or go into the blobs of a hub cache, and nowhere else. */
static void test_links(void **state)
{
    (void)state;
    char *const root = temp_dir();
    char *const blobs = io_join(root, "blobs");
    char *const inner = io_join(root, "snapshots/abc");
    struct shards s;
    assert_ok(io_mkdirs(blobs));
    assert_ok(io_mkdirs(inner));
    write_pair(blobs);
    link_in(inner, "../../blobs/x.safetensors", "x.safetensors");
    link_in(inner, "../../blobs/y.safetensors", "y.safetensors");
    write_index(inner, MAP("x.safetensors", "y.safetensors"));
    assert_ok(shards_open(&s, inner));
    assert_int_equal(s.n, 2);
    shards_close(&s);
    write_pair(root);
    write_index(blobs, MAP("x.safetensors", "z.safetensors"));
    link_in(blobs, "../y.safetensors", "z.safetensors");
    assert_error(shards_open(&s, blobs), "z.safetensors: a link out of the checkpoint");
    link_in(inner, "../../x.safetensors", "model.safetensors");
    assert_error(shards_open(&s, inner), "model.safetensors: a link out of");
    mem_free(blobs);
    mem_free(inner);
    drop_dir(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_bad_index),
        cmocka_unit_test(test_no_weights),
        cmocka_unit_test(test_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
