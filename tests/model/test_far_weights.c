/*
 * Weights and trainer state in memory that the host cannot touch, in the layout of a
 * device: the files are those of host memory, whichever way values travelled.
 */
#include "core/hash.h"
#include "tests/far_backend.h"
#include "tests/model/checkpoint_fixture.h"

static void dir_hash(char hex[HASH_HEX_LEN + 1], const char *dir)
{
    assert_int_equal(checkpoint_hash(dir, hex), STATUS_OK);
}

static char *subdir(const struct fixture *f, const char *name)
{
    char *const dir = io_join(f->run, name);
    assert_int_equal(io_mkdirs(dir), STATUS_OK);
    return dir;
}

/* Host -> files -> far memory -> files: the same bytes, in every dtype, tied or not */
static void test_weights(void **state)
{
    (void)state;
    struct backend b = far_backend();
    for (int i = 0; i < 6; i++) {
        struct fixture f;
        struct weights near, far;
        char want[HASH_HEX_LEN + 1], got[HASH_HEX_LEN + 1];
        fixture_create(&f);
        struct hparams hp = fixture_hp;
        hp.is_tied = i % 2;
        const enum dtype dtype = (enum dtype)(i / 2);
        char *const a = subdir(&f, "near"), *const c = subdir(&f, "far");
        assert_int_equal(weights_init(&near, &hp, dtype, 5), STATUS_OK);
        assert_int_equal(weights_save(a, &hp, &near.table, near.data, dtype, NULL, 0),
                         STATUS_OK);
        assert_int_equal(weights_load_to(&far, &b, a, -1), STATUS_OK);
        assert_ptr_equal(far.b, &b);
        assert_int_equal(far.table.layout, WEIGHT_PLAIN);
        assert_int_equal(
            weights_save_from(&b, c, &hp, &far.table, far.data, dtype, NULL, 0),
            STATUS_OK);
        dir_hash(want, a);
        dir_hash(got, c);
        assert_string_equal(got, want);
        weights_release(&far);
        assert_int_equal(weights_init_to(&far, &b, &hp, dtype, 5), STATUS_OK);
        assert_int_equal(
            weights_save_from(&b, c, &hp, &far.table, far.data, dtype, NULL, 0),
            STATUS_OK);
        dir_hash(got, c);
        assert_string_equal(got, want);
        weights_release(&far);
        weights_release(&near);
        mem_free(a);
        mem_free(c);
        fixture_release(&f);
    }
}

/* A checkpoint saved from host memory, read into far memory and saved from there */
static void test_trainer(void **state)
{
    (void)state;
    struct backend b = far_backend();
    struct fixture f;
    struct param_table t;
    char want[HASH_HEX_LEN + 1], got[HASH_HEX_LEN + 1];
    void *arenas[N_ARENAS];
    struct weights w;
    fixture_create(&f);
    fixture_fill(&f, 3, 1);
    struct checkpoint what = fixture_checkpoint(&f);
    assert_int_equal(checkpoint_save(f.run, 3, &what), STATUS_OK);
    char *const dir = io_join(f.run, "checkpoints/step_3");
    dir_hash(want, dir);
    assert_int_equal(param_table_create_in(&t, &f.hp, b.product_layout), STATUS_OK);
    const size_t bytes = (size_t)t.n_elems * sizeof(float);
    for (int i = 0; i < N_ARENAS; i++)
        assert_int_equal(b.reserve(&b, &arenas[i], bytes, "arena"), STATUS_OK);
    assert_int_equal(checkpoint_load_trainer_to(&b, dir, &f.hp, &t, arenas[0],
                                                arenas[1], arenas[2], NULL),
                     STATUS_OK);
    assert_int_equal(weights_load_to(&w, &b, dir, -1), STATUS_OK);
    what.b = &b;
    what.table = &t;
    what.weights = w.data;
    what.master = arenas[0];
    what.adam_m = arenas[1];
    what.adam_v = arenas[2];
    assert_int_equal(checkpoint_save(f.run, 3, &what), STATUS_OK);
    dir_hash(got, dir);
    assert_string_equal(got, want);
    for (int i = 0; i < N_ARENAS; i++)
        b.release(&b, arenas[i], bytes);
    weights_release(&w);
    param_table_release(&t);
    mem_free(dir);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_weights),
                                       cmocka_unit_test(test_trainer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
