/*
 * A tiny model whose weights and trainer arenas are functions of the step, in a run
 * directory of its own: saved, found again and compared.
 */
#ifndef TESTS_MODEL_CHECKPOINT_FIXTURE_H
#define TESTS_MODEL_CHECKPOINT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/io.h"
#include "core/log.h"
#include "core/rng.h"
#include "model/checkpoint.h"

enum { N_ARENAS = 3 }; /* master, m, v */

struct fixture {
    char run[128];
    struct hparams hp;
    struct param_table table;
    float *arenas[N_ARENAS], *loaded[N_ARENAS];
    char *weights; /* room for fp32 */
    char state[128];
};

static const struct hparams fixture_hp = {
    .n_vocab = 48,
    .d_model = 32,
    .d_ff = 40,
    .n_layers = 1,
    .n_heads = 2,
    .n_kv_heads = 1,
    .head_dim = 16,
    .n_experts = 2,
    .top_k = 1,
    .max_pos = 64,
    .rms_eps = 1e-5,
    .init_std = 0.02,
    .rope = {.type = ROPE_DEFAULT, .theta = 1e4, .factor = 1.0, .rot = 16},
    .bos_id = 1,
    .pad_id = -1,
    .eos_ids = {2},
    .n_eos = 1};

static inline void fixture_create(struct fixture *f)
{
    /* memory where there is some: hundreds of saves sync thousands of files */
    const char *tmp = getenv("TMPDIR");
    if (tmp == NULL)
        tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    *f = (struct fixture){.hp = fixture_hp};
    snprintf(f->run, sizeof(f->run), "%s/checkpoint_test_XXXXXX", tmp);
    assert_non_null(mkdtemp(f->run));
    assert_int_equal(param_table_create(&f->table, &f->hp), STATUS_OK);
    const size_t bytes = (size_t)f->table.n_elems * sizeof(float);
    for (int i = 0; i < N_ARENAS; i++) {
        f->arenas[i] = mem_alloc(bytes);
        f->loaded[i] = mem_alloc(bytes);
    }
    f->weights = mem_alloc(bytes);
}

static inline void fixture_release(struct fixture *f)
{
    assert_int_equal(io_remove_tree(f->run), STATUS_OK);
    for (int i = 0; i < N_ARENAS; i++) {
        mem_free(f->arenas[i]);
        mem_free(f->loaded[i]);
    }
    mem_free(f->weights);
    param_table_release(&f->table);
}

/* Whatever belongs to (step, salt), in the arenas of `f`; BF16 weights. */
static inline void fixture_fill(struct fixture *f, int64_t step, int64_t salt)
{
    uint32_t word[4];
    rng_block(word, (uint64_t)step, RNG_TEST, (uint32_t)salt, 0, 0, 0);
    for (int a = 0; a < N_ARENAS; a++)
        for (int64_t i = 0; i < f->table.n_elems; i++) {
            word[0] = word[0] * 1664525u + 1013904223u;
            f->arenas[a][i] = (float)(int32_t)word[0] * 0x1p-31F;
        }
    dtype_narrow(f->weights, DTYPE_BF16, f->arenas[0], f->table.n_elems);
    snprintf(f->state, sizeof(f->state),
             "{\"seed\": 7, \"cursor\": {\"epoch\": %d, \"salt\": %d}}", (int)step,
             (int)salt);
}

static inline struct checkpoint fixture_checkpoint(const struct fixture *f)
{
    return (struct checkpoint){.hp = &f->hp,
                               .table = &f->table,
                               .weights = f->weights,
                               .dtype = DTYPE_BF16,
                               .master = f->arenas[0],
                               .adam_m = f->arenas[1],
                               .adam_v = f->arenas[2],
                               .state_json = f->state};
}

static inline int fixture_save(struct fixture *f, int64_t step, int64_t salt)
{
    fixture_fill(f, step, salt);
    const struct checkpoint what = fixture_checkpoint(f);
    return checkpoint_save(f->run, step, &what);
}

/* The same tensors on disk, padding aside */
static inline bool fixture_is_same(const struct fixture *f, const float *a,
                                   const float *b)
{
    bool is_same = true;
    for (int64_t i = 0; i < pieces_count(&f->table, &f->hp) && is_same; i++) {
        struct piece p;
        piece_get(&p, &f->table, &f->hp, i);
        const size_t bytes = (size_t)(p.n_rows * p.param->k) * sizeof(float);
        float *const x = mem_alloc(bytes), *const y = mem_alloc(bytes);
        piece_unpack(x, a, DTYPE_F32, &p);
        piece_unpack(y, b, DTYPE_F32, &p);
        is_same = memcmp(x, y, bytes) == 0;
        mem_free(x);
        mem_free(y);
    }
    return is_same;
}

/* Loads dir and compares with what (step, salt) must hold; returns the salt found. */
static inline int64_t fixture_expect(struct fixture *f, const char *dir, int64_t step)
{
    json_t *state;
    int64_t salt = -1;
    assert_int_equal(checkpoint_load_trainer(dir, &f->hp, &f->table, f->loaded[0],
                                             f->loaded[1], f->loaded[2], &state),
                     STATUS_OK);
    assert_int_equal(json_integer_value(json_object_get(state, "step")), step);
    assert_int_equal(json_integer_value(json_object_get(state, "seed")), 7);
    const json_t *const cursor = json_object_get(state, "cursor");
    assert_int_equal(json_integer_value(json_object_get(cursor, "epoch")), step);
    salt = json_integer_value(json_object_get(cursor, "salt"));
    json_decref(state);
    fixture_fill(f, step, salt);
    for (int a = 0; a < N_ARENAS; a++)
        assert_true(fixture_is_same(f, f->arenas[a], f->loaded[a]));
    return salt;
}

/* The newest whole checkpoint is `step` (-1: none) and holds what it should. */
static inline int64_t fixture_expect_latest(struct fixture *f, int64_t step)
{
    char *dir;
    int64_t found, salt = -1;
    assert_int_equal(checkpoint_find_latest(f->run, &dir, &found), STATUS_OK);
    assert_int_equal(found, step);
    assert_true((dir == NULL) == (step < 0));
    if (dir != NULL)
        salt = fixture_expect(f, dir, step);
    mem_free(dir);
    return salt;
}

/* run/checkpoints/<name> (mem_free) */
static inline char *fixture_path(const struct fixture *f, const char *name)
{
    char *const dir = io_join(f->run, "checkpoints");
    char *const path = io_join(dir, name);
    mem_free(dir);
    return path;
}

#endif
