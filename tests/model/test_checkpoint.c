/*
 * Checkpoints: contents and determinism, retention, damage of every file, leftovers of
 * a crash, refusals. Crashes themselves are test_checkpoint_crash.c's.
 */
#include "tests/model/checkpoint_fixture.h"

#include <sys/stat.h>

static bool has(const struct fixture *f, const char *name)
{
    char *const path = fixture_path(f, name);
    const bool is_there = io_exists(path);
    mem_free(path);
    return is_there;
}

static void expect_text(const char *path, const char *want)
{
    struct buf b = {0};
    assert_int_equal(io_read_file(&b, path, 1 << 20), STATUS_OK);
    assert_string_equal(b.data, want);
    buf_release(&b);
}

static void test_round_trip(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_create(&f);
    fixture_expect_latest(&f, -1);
    assert_int_equal(fixture_save(&f, 12, 3), STATUS_OK);
    assert_int_equal(fixture_expect_latest(&f, 12), 3);
    char *const latest = io_join(f.run, "LATEST");
    expect_text(latest, "checkpoints/step_12\n");
    mem_free(latest);
    char *const state = fixture_path(&f, "step_12/trainer/state.json");
    expect_text(state, "{\n \"cursor\": {\n  \"epoch\": 12,\n  \"salt\": 3\n },\n"
                       " \"schema\": 1,\n \"seed\": 7,\n \"step\": 12\n}\n");
    mem_free(state);
    /* and it is a model directory */
    char *const dir = fixture_path(&f, "step_12");
    struct weights w;
    assert_int_equal(weights_load(&w, dir, -1), STATUS_OK);
    assert_int_equal(w.dtype, DTYPE_BF16);
    weights_release(&w);
    assert_true(checkpoint_has_trainer(dir));
    mem_free(dir);
    assert_false(has(&f, "step_12.tmp"));
    fixture_release(&f);
}

static void read_manifest(const struct fixture *f, struct buf *out)
{
    char *const path = fixture_path(f, "step_5/MANIFEST.json");
    assert_int_equal(io_read_file(out, path, 1 << 20), STATUS_OK);
    mem_free(path);
}

static void hash_step(const struct fixture *f, char hex[HASH_HEX_LEN + 1])
{
    char *const dir = fixture_path(f, "step_5");
    assert_int_equal(checkpoint_hash(dir, hex), STATUS_OK);
    mem_free(dir);
}

static void test_same_contents_same_bytes(void **unused)
{
    (void)unused;
    struct fixture a, b;
    struct buf manifest_a = {0}, manifest_b = {0};
    char hex_a[HASH_HEX_LEN + 1], hex_b[HASH_HEX_LEN + 1];
    fixture_create(&a);
    fixture_create(&b);
    assert_int_equal(fixture_save(&a, 1, 0), STATUS_OK); /* another history */
    assert_int_equal(fixture_save(&a, 5, 0), STATUS_OK);
    assert_int_equal(fixture_save(&b, 5, 0), STATUS_OK);
    read_manifest(&a, &manifest_a);
    read_manifest(&b, &manifest_b);
    assert_string_equal(manifest_a.data, manifest_b.data);
    hash_step(&a, hex_a);
    hash_step(&b, hex_b);
    assert_string_equal(hex_a, hex_b);
    assert_int_equal(fixture_save(&b, 5, 1), STATUS_OK);
    hash_step(&b, hex_b);
    assert_string_not_equal(hex_a, hex_b);
    buf_release(&manifest_a);
    buf_release(&manifest_b);
    fixture_release(&a);
    fixture_release(&b);
}

static void put(const char *dir, const char *name, const char *text)
{
    char *const path = io_join(dir, name);
    assert_int_equal(io_write_atomic(path, text, strlen(text)), STATUS_OK);
    mem_free(path);
}

/* The definition, by hand: lines sorted by whole path ('.' < '/'), no manifest. */
static void test_directory_hash(void **unused)
{
    (void)unused;
    struct fixture f;
    char got[HASH_HEX_LEN + 1], want[HASH_HEX_LEN + 1], hex[HASH_HEX_LEN + 1];
    fixture_create(&f);
    assert_int_equal(checkpoint_hash(f.run, got), ERR_INPUT); /* empty */
    assert_int_equal(checkpoint_hash("/nowhere/at/all", got), ERR_INPUT);
    char *const sub = io_join(f.run, "a");
    assert_int_equal(io_mkdirs(sub), STATUS_OK);
    put(f.run, "a.txt", "dot");
    put(sub, "b", "below");
    put(f.run, "c", "");
    put(f.run, "MANIFEST.json", "left out");
    struct buf lines = {0};
    const char *const files[][2] = {{"a.txt", "dot"}, {"a/b", "below"}, {"c", ""}};
    for (int i = 0; i < 3; i++) {
        hash_bytes(hex, files[i][1], strlen(files[i][1]));
        buf_printf(&lines, "%s  %s\n", hex, files[i][0]);
    }
    hash_bytes(want, lines.data, lines.len);
    assert_int_equal(checkpoint_hash(f.run, got), STATUS_OK);
    assert_string_equal(got, want);
    /* a link to a file is its content; one to a directory would never end */
    char *const link = io_join(f.run, "c"), *const loop = io_join(f.run, "loop");
    char *const target = io_join(f.run, "MANIFEST.json");
    assert_int_equal(unlink(link), 0);
    put(f.run, "MANIFEST.json", "");
    assert_int_equal(symlink("MANIFEST.json", link), 0);
    assert_int_equal(symlink("..", loop), 0);
    assert_int_equal(checkpoint_hash(f.run, got), STATUS_OK);
    assert_string_equal(got, want);
    put(f.run, "a.txt", "Dot");
    assert_int_equal(checkpoint_hash(f.run, got), STATUS_OK);
    assert_string_not_equal(got, want);
    buf_release(&lines);
    mem_free(sub);
    mem_free(link);
    mem_free(loop);
    mem_free(target);
    fixture_release(&f);
}

/* fp32 weights without a master file are the master; BF16 ones cannot be. */
static void test_master_from_weights(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_create(&f);
    fixture_fill(&f, 4, 0);
    struct checkpoint what = fixture_checkpoint(&f);
    what.master = NULL;
    assert_int_equal(checkpoint_save(f.run, 3, &what), STATUS_OK);
    what.weights = f.arenas[0];
    what.dtype = DTYPE_F32;
    assert_int_equal(checkpoint_save(f.run, 4, &what), STATUS_OK);
    assert_false(has(&f, "step_4/trainer/master.safetensors"));
    fixture_expect_latest(&f, 4);
    char *const dir = fixture_path(&f, "step_3");
    assert_int_equal(
        checkpoint_load_trainer(dir, &f.hp, &f.table, f.loaded[0], NULL, NULL, NULL),
        ERR_INPUT);
    assert_non_null(strstr(status_message(), "master.safetensors is missing"));
    assert_int_equal(
        checkpoint_load_trainer(dir, &f.hp, &f.table, NULL, f.loaded[1], NULL, NULL),
        STATUS_OK);
    mem_free(dir);
    /* weights alone */
    what = (struct checkpoint){
        .hp = &f.hp, .table = &f.table, .weights = f.weights, .dtype = DTYPE_BF16};
    assert_int_equal(checkpoint_save(f.run, 9, &what), STATUS_OK);
    char *const alone = fixture_path(&f, "step_9");
    assert_int_equal(checkpoint_verify(alone), STATUS_OK);
    assert_false(checkpoint_has_trainer(alone));
    mem_free(alone);
    fixture_release(&f);
}

static void expect_steps(const struct fixture *f, const char *want)
{
    char **names;
    int64_t n;
    struct buf got = {0};
    char *const dir = io_join(f->run, "checkpoints");
    assert_int_equal(io_list(dir, &names, &n), STATUS_OK);
    buf_puts(&got, "");
    for (int64_t i = 0; i < n; i++)
        buf_printf(&got, "%s%s", i == 0 ? "" : " ", names[i]);
    assert_string_equal(got.data, want);
    io_list_free(names, n);
    buf_release(&got);
    mem_free(dir);
}

static void test_retention(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_create(&f);
    for (int64_t step = 1; step <= 5; step++)
        assert_int_equal(fixture_save(&f, step, 0), STATUS_OK);
    expect_steps(&f, "step_3 step_4 step_5"); /* 3 by default */
    struct checkpoint what = fixture_checkpoint(&f);
    what.keep_last = 2;
    what.keep_every = 4;
    for (int64_t step = 8; step <= 13; step++)
        assert_int_equal(checkpoint_save(f.run, step, &what), STATUS_OK);
    expect_steps(&f, "step_12 step_13 step_4 step_8");
    /* a step below the others (restarted by hand) is not deleted at birth */
    what.keep_last = 1;
    assert_int_equal(checkpoint_save(f.run, 7, &what), STATUS_OK);
    expect_steps(&f, "step_12 step_13 step_4 step_7 step_8");
    fixture_release(&f);
}

static void flip(const char *path, int64_t at)
{
    FILE *const file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    const int c = fgetc(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    fputc(c ^ 1, file);
    assert_int_equal(fclose(file), 0);
}

static int64_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void expect_damaged(struct fixture *f, const char *dir)
{
    assert_int_not_equal(checkpoint_verify(dir), STATUS_OK);
    fixture_expect_latest(f, 1);
}

static void damage(struct fixture *f, const char *dir, const char *name)
{
    char *const path = io_join(dir, name), *const aside = io_join(f->run, "aside");
    const int64_t size = size_of(path);
    const int64_t places[] = {0, size / 2, size - 1};
    for (int i = 0; i < 3; i++) {
        flip(path, places[i]);
        expect_damaged(f, dir);
        flip(path, places[i]);
    }
    assert_int_equal(rename(path, aside), 0);
    expect_damaged(f, dir);
    const int64_t kept[] = {0, 1, size / 2, size - 2};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(io_copy_file(path, aside), STATUS_OK);
        assert_int_equal(io_truncate(path, kept[i]), STATUS_OK);
        expect_damaged(f, dir);
    }
    assert_int_equal(rename(aside, path), 0);
    assert_int_equal(checkpoint_verify(dir), STATUS_OK);
    mem_free(path);
    mem_free(aside);
}

static void test_damage_of_every_file(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_create(&f);
    assert_int_equal(fixture_save(&f, 1, 0), STATUS_OK);
    assert_int_equal(fixture_save(&f, 2, 0), STATUS_OK);
    char *const dir = fixture_path(&f, "step_2"), *const one = fixture_path(&f,
                                                                            "step_1");
    const char *const files[] = {"config.json",
                                 "generation_config.json",
                                 "model.safetensors",
                                 "trainer/master.safetensors",
                                 "trainer/adam_m.safetensors",
                                 "trainer/adam_v.safetensors",
                                 "trainer/state.json",
                                 "MANIFEST.json"};
    log_set_level(LOG_OFF);
    for (int64_t i = 0; i < ARRAY_LEN(files); i++)
        damage(&f, dir, files[i]);
    log_set_level(LOG_WARN);
    put(dir, "README.md", "a file of the user's");
    fixture_expect_latest(&f, 2);
    /* nothing whole is left: that is an error, not a fresh start */
    assert_int_equal(io_remove_tree(one), STATUS_OK);
    put(dir, "config.json", "{}");
    char *found = NULL;
    int64_t step = 0;
    log_set_level(LOG_OFF);
    assert_int_equal(checkpoint_find_latest(f.run, &found, &step), ERR_INPUT);
    log_set_level(LOG_WARN);
    assert_non_null(strstr(status_message(), "config.json"));
    mem_free(dir);
    mem_free(one);
    fixture_release(&f);
}

static void test_every_bit_of_the_manifest(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_create(&f);
    assert_int_equal(fixture_save(&f, 2, 0), STATUS_OK);
    char *const dir = fixture_path(&f, "step_2");
    char *const path = io_join(dir, "MANIFEST.json");
    for (int64_t i = 0; i < size_of(path); i++) {
        flip(path, i);
        if (checkpoint_verify(dir) == STATUS_OK)
            fail_msg("flipped bit in byte %lld goes unseen", (long long)i);
        flip(path, i);
    }
    const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"version\": 1}",
        "{\"version\": 1, \"files\": []}",
        "{\"version\": 1, \"files\": {}}",
        "{\"version\": 1, \"files\": {\"config.json\": 3}}",
        "{\"version\": 1, \"files\": {\"config.json\": {}}}",
        "{\"version\": 1, \"files\": {\"config.json\": {\"size\": -1}}}",
        "{\"version\": 2, \"files\": {\"config.json\": {}}}",
        "{\"version\": 1, \"files\": {\"config.json\": {}, \"/etc/passwd\": {}}}",
    };
    for (int64_t i = 0; i < ARRAY_LEN(bad); i++) {
        put(dir, "MANIFEST.json", bad[i]);
        assert_int_equal(checkpoint_verify(dir), ERR_INPUT);
    }
    const char *const outside[] = {"../x", "a/../../x", "/x", "a//x", "..", ""};
    for (int64_t i = 0; i < ARRAY_LEN(outside); i++) {
        char text[200];
        snprintf(text, sizeof(text),
                 "{\"version\": 1, \"files\": {\"%s\": {}, \"config.json\": {}}}",
                 outside[i]);
        put(dir, "MANIFEST.json", text);
        assert_int_equal(checkpoint_verify(dir), ERR_INPUT);
        assert_non_null(strstr(status_message(), i == 5 ? "" : "not a path below"));
    }
    mem_free(dir);
    mem_free(path);
    fixture_release(&f);
}

static void move(const struct fixture *f, const char *from, const char *to)
{
    char *const a = fixture_path(f, from), *const b = fixture_path(f, to);
    assert_int_equal(rename(a, b), 0);
    mem_free(a);
    mem_free(b);
}

static void make(const struct fixture *f, const char *name)
{
    char *const path = fixture_path(f, name);
    assert_int_equal(io_mkdirs(path), STATUS_OK);
    put(path, "config.json", "half");
    mem_free(path);
}

static void test_leftovers(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_create(&f);
    make(&f, "step_1.tmp"); /* a first save that died */
    fixture_expect_latest(&f, -1);
    assert_int_equal(fixture_save(&f, 3, 1), STATUS_OK);
    assert_int_equal(fixture_save(&f, 6, 1), STATUS_OK);
    expect_steps(&f, "step_3 step_6");
    /* died while step 6 was replaced: before the second rename, and after it */
    move(&f, "step_6", "step_6.old");
    make(&f, "step_6.tmp");
    assert_int_equal(fixture_expect_latest(&f, 6), 1);
    assert_int_equal(fixture_save(&f, 3, 2), STATUS_OK);
    expect_steps(&f, "step_3 step_6");
    make(&f, "step_6.old");
    fixture_expect_latest(&f, 6);
    make(&f, "step_7.tmp");
    make(&f, "step_x");
    make(&f, "step_");
    make(&f, "step_07");
    make(&f, "step_9999999999999999999");
    make(&f, "notes.tmp");
    assert_int_equal(fixture_save(&f, 6, 2), STATUS_OK);
    assert_int_equal(fixture_expect_latest(&f, 6), 2);
    expect_steps(&f, "notes.tmp step_ step_07 step_3 step_6 step_9999999999999999999 "
                     "step_x");
    fixture_release(&f);
}

static void test_same_step_twice(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_create(&f);
    for (int64_t salt = 0; salt < 3; salt++) {
        assert_int_equal(fixture_save(&f, 0, salt), STATUS_OK);
        assert_int_equal(fixture_expect_latest(&f, 0), salt);
        expect_steps(&f, "step_0");
    }
    fixture_release(&f);
}

static void test_refusals(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_create(&f);
    assert_int_equal(fixture_save(&f, 1, 0), STATUS_OK);
    struct checkpoint what = fixture_checkpoint(&f);
    /* more bytes than any disk has; refused before anything is read or written */
    struct hparams huge = f.hp;
    huge.n_experts = INT64_C(1) << 33;
    what.hp = &huge;
    assert_int_equal(checkpoint_save(f.run, 2, &what), ERR_IO);
    assert_non_null(strstr(status_message(), "GB free"));
    huge.n_experts = INT64_C(1) << 48; /* bytes past 2^63 */
    assert_int_equal(checkpoint_save(f.run, 2, &what), ERR_IO);
    what.hp = &f.hp;
    const char *const states[] = {"[]", "{\"step\": 1}", "{\"schema\": 1}"};
    for (int64_t i = 0; i < ARRAY_LEN(states); i++) {
        what.state_json = states[i];
        assert_int_equal(checkpoint_save(f.run, 2, &what), ERR_INTERNAL);
    }
    what.state_json = "{\"cut\": ";
    assert_int_equal(checkpoint_save(f.run, 1, &what), ERR_INPUT);
    what.state_json = f.state;
    what.tokenizer_dir = "/nowhere/at/all";
    assert_int_equal(checkpoint_save(f.run, 2, &what), ERR_INPUT);
    expect_steps(&f, "step_1"); /* nothing half made stays */
    fixture_expect_latest(&f, 1);
    what.tokenizer_dir = NULL;
    put(f.run, "file", "");
    char *const file = io_join(f.run, "file");
    assert_int_equal(checkpoint_save(file, 2, &what), ERR_IO);
    mem_free(file);
    /* a state of another time */
    char *const dir = fixture_path(&f, "step_1");
    put(dir, "trainer/state.json", "{\"schema\": 2, \"step\": 1}");
    assert_int_equal(
        checkpoint_load_trainer(dir, &f.hp, &f.table, NULL, NULL, NULL, NULL),
        ERR_INPUT);
    assert_non_null(strstr(status_message(), "\"schema\" is 2"));
    mem_free(dir);
    fixture_release(&f);
}

int main(void)
{
    log_set_level(LOG_WARN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_same_contents_same_bytes),
        cmocka_unit_test(test_directory_hash),
        cmocka_unit_test(test_master_from_weights),
        cmocka_unit_test(test_retention),
        cmocka_unit_test(test_damage_of_every_file),
        cmocka_unit_test(test_every_bit_of_the_manifest),
        cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_same_step_twice),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
