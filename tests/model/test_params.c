/*
 * The table's layout, the pieces' names and ranges, and packing against the index
 * formula of core/tensor.h, element by element.
 */
#include "tests/model/model_dir.h"

#include <time.h>

#include "model/params.h"

static const struct hparams awkward = {.n_vocab = 67,
                                       .d_model = 35,
                                       .d_ff = 19,
                                       .n_layers = 3,
                                       .n_heads = 3,
                                       .n_kv_heads = 1,
                                       .head_dim = 14,
                                       .n_experts = 5,
                                       .top_k = 2,
                                       .max_pos = 64,
                                       .rms_eps = 1e-5,
                                       .init_std = 0.02,
                                       .rope = {.theta = 1e4, .rot = 14}};

static void test_table(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        struct hparams hp = awkward;
        hp.is_tied = tied == 1;
        struct param_table t;
        assert_ok(param_table_create(&t, &hp));
        assert_int_equal(t.n, 2 + 3 * 7 + (tied ? 0 : 1));
        int64_t end = 0, n_params = 0;
        for (int64_t i = 0; i < t.n; i++) {
            const struct param *const p = &t.items[i];
            assert_true(p->off >= end && p->off < end + 32);
            assert_int_equal(p->off % 32, 0);
            assert_int_equal(p->n_held, p->n);
            assert_int_equal(p->n_elems,
                             weight_n_elems(p->layout, p->n_mats, p->n, p->k));
            assert_ptr_equal(param_find(&t, p->role, p->layer), p);
            end = p->off + p->n_elems;
            n_params += p->n_mats * p->n * p->k;
        }
        assert_true(t.n_elems >= end && t.n_elems < end + 32);
        assert_int_equal(n_params, hparams_n_params(&hp));
        assert_int_equal(t.items[0].layout, tied ? WEIGHT_PACKED : WEIGHT_PLAIN);
        assert_true((param_find(&t, PARAM_HEAD, -1) == NULL) == (tied == 1));
        assert_null(param_find(&t, PARAM_QKV, 3));
        assert_null(param_find(&t, PARAM_QKV, -1));
        param_table_release(&t);
        param_table_release(&t);
    }
    struct hparams bad = awkward;
    struct param_table t;
    bad.d_ff = 0;
    assert_error(param_table_create(&t, &bad), "\"intermediate_size\" is 0");
}

/* The matrix that gives logits has rows to spare in the PLAIN layout, and only it;
 * pieces do not reach them. */
static void test_plain_head(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        struct hparams hp = awkward;
        struct param_table t;
        hp.is_tied = tied == 1;
        assert_ok(param_table_create_in(&t, &hp, WEIGHT_PLAIN));
        int64_t n_wider = 0;
        for (int64_t i = 0; i < t.n; i++) {
            const struct param *const p = &t.items[i];
            const bool is_head = p->role == (tied ? PARAM_EMBED : PARAM_HEAD);
            assert_int_equal(p->n_held, is_head ? 72 : p->n);
            assert_int_equal(p->n_elems, p->n_mats * p->n_held * p->k);
            n_wider += is_head;
        }
        assert_int_equal(n_wider, 1);
        const struct param *const head = param_find(&t, tied ? PARAM_EMBED : PARAM_HEAD,
                                                    -1);
        struct piece p;
        piece_get(&p, &t, &hp, tied ? 0 : pieces_count(&t, &hp) - 1);
        assert_ptr_equal(p.param, head);
        assert_int_equal(p.shape[0], 67);
        float *const arena = mem_alloc((size_t)t.n_elems * sizeof(float));
        float *const values = mem_alloc((size_t)(67 * head->k) * sizeof(float));
        for (int64_t i = 0; i < 67 * head->k; i++)
            values[i] = 1.0f;
        piece_pack(arena, DTYPE_F32, values, DTYPE_F32, &p);
        for (int64_t i = 0; i < head->n_elems; i++)
            assert_true(arena[head->off + i] == (i < 67 * head->k ? 1.0f : 0.0f));
        mem_free(values);
        mem_free(arena);
        param_table_release(&t);
    }
}

static void test_init_and_decay(void **state)
{
    (void)state;
    struct param_table t;
    assert_ok(param_table_create(&t, &awkward));
    for (int64_t i = 0; i < t.n; i++) {
        const struct param *const p = &t.items[i];
        const bool is_norm = p->role == PARAM_NORM1 || p->role == PARAM_NORM2 ||
                             p->role == PARAM_NORM_F;
        const bool is_out = p->role == PARAM_O || p->role == PARAM_DOWN;
        assert_int_equal(p->is_decayed, !is_norm);
        const double want = is_norm ? 0.0 : is_out ? 0.02 / 2.449489742783178 : 0.02;
        assert_true((double)p->init_std - want < 1e-9 &&
                    want - (double)p->init_std < 1e-9);
    }
    param_table_release(&t);
}

static void check_piece(const struct piece *p, const char *name, int64_t row0,
                        int64_t rows, int64_t cols)
{
    assert_string_equal(p->name, name);
    assert_int_equal(p->row0, row0);
    assert_int_equal(p->rank, rows > 0 ? 2 : 1);
    assert_int_equal(p->shape[0], rows > 0 ? rows : cols);
    if (rows > 0)
        assert_int_equal(p->shape[1], cols);
}

static void test_pieces(void **state)
{
    (void)state;
    struct param_table t;
    struct piece p;
    assert_ok(param_table_create(&t, &awkward));
    assert_int_equal(pieces_count(&t, &awkward), 3 + 3 * (7 + 15));
    piece_get(&p, &t, &awkward, 0);
    check_piece(&p, "model.embed_tokens.weight", 0, 67, 35);
    const struct {
        const char *name;
        int64_t row0, rows, cols, mat;
    } layer1[] = {
        {"model.layers.1.input_layernorm.weight", 0, 0, 35, 0},
        {"model.layers.1.self_attn.q_proj.weight", 0, 42, 35, 0},
        {"model.layers.1.self_attn.k_proj.weight", 42, 14, 35, 0},
        {"model.layers.1.self_attn.v_proj.weight", 56, 14, 35, 0},
        {"model.layers.1.self_attn.o_proj.weight", 0, 35, 42, 0},
        {"model.layers.1.post_attention_layernorm.weight", 0, 0, 35, 0},
        {"model.layers.1.block_sparse_moe.gate.weight", 0, 5, 35, 0},
        {"model.layers.1.block_sparse_moe.experts.0.w1.weight", 0, 19, 35, 0},
        {"model.layers.1.block_sparse_moe.experts.0.w2.weight", 0, 35, 19, 0},
        {"model.layers.1.block_sparse_moe.experts.0.w3.weight", 19, 19, 35, 0},
        {"model.layers.1.block_sparse_moe.experts.1.w1.weight", 0, 19, 35, 1},
    };
    for (int64_t i = 0; i < ARRAY_LEN(layer1); i++) {
        piece_get(&p, &t, &awkward, 1 + 22 + i);
        check_piece(&p, layer1[i].name, layer1[i].row0, layer1[i].rows, layer1[i].cols);
        assert_int_equal(p.mat, layer1[i].mat);
        assert_int_equal(p.param->layer, 1);
    }
    piece_get(&p, &t, &awkward, 67);
    check_piece(&p, "model.norm.weight", 0, 0, 35);
    piece_get(&p, &t, &awkward, 68);
    check_piece(&p, "lm_head.weight", 0, 67, 35);
    param_table_release(&t);
}

/* Every element of the arena that is no padding belongs to exactly one piece. */
static void test_pieces_cover(void **state)
{
    (void)state;
    struct param_table t;
    assert_ok(param_table_create(&t, &awkward));
    char *const hits = mem_alloc((size_t)t.n_elems);
    for (int64_t i = 0; i < pieces_count(&t, &awkward); i++) {
        struct piece p;
        piece_get(&p, &t, &awkward, i);
        const struct param *const w = p.param;
        for (int64_t row = 0; row < p.n_rows; row++)
            for (int64_t k = 0; k < w->k; k++)
                hits[w->off +
                     weight_index(w->layout, w->n, w->k, p.mat, p.row0 + row, k)]++;
    }
    int64_t n_once = 0;
    for (int64_t i = 0; i < t.n_elems; i++) {
        assert_true(hits[i] <= 1);
        n_once += hits[i];
    }
    assert_int_equal(n_once, hparams_n_params(&awkward));
    mem_free(hits);
    param_table_release(&t);
}

static float plain_value(int64_t i)
{
    return (float)((i * 37 + 11) % 251 - 125) / 64.0f;
}

/* Packs one piece from unaligned memory, checks by formula that its elements and
 * nothing else changed, and unpacks it again. */
static void check_pack(const struct piece *p, int64_t n_elems, enum dtype dtype,
                       enum dtype src_dtype)
{
    const struct param *const w = p->param;
    const int64_t n = p->n_rows * w->k;
    const size_t size = dtype_bytes(dtype), src_size = dtype_bytes(src_dtype);
    unsigned char *const arena = mem_alloc((size_t)n_elems * size);
    unsigned char *const want = mem_alloc((size_t)n_elems * size);
    unsigned char *const src = mem_alloc((size_t)n * src_size + 1);
    void *const aligned = mem_alloc((size_t)n * src_size);
    unsigned char *const back = mem_alloc((size_t)n * size + 1);
    for (int64_t i = 0; i < n; i++)
        dtype_put(aligned, src_dtype, i, plain_value(i));
    memcpy(src + 1, aligned, (size_t)n * src_size);
    memset(arena, 0x41, (size_t)n_elems * size);
    memset(want, 0x41, (size_t)n_elems * size);
    for (int64_t row = 0; row < p->n_rows; row++)
        for (int64_t k = 0; k < w->k; k++)
            dtype_put(want, dtype,
                      w->off +
                          weight_index(w->layout, w->n, w->k, p->mat, p->row0 + row, k),
                      plain_value(row * w->k + k));
    /* the last rows of a packed matrix bring the padding lanes' zeros */
    if (w->layout == WEIGHT_PACKED && p->row0 + p->n_rows == w->n)
        for (int64_t row = w->n; row % WEIGHT_PANEL != 0; row++)
            for (int64_t k = 0; k < w->k; k++)
                dtype_put(want, dtype,
                          w->off + weight_index(w->layout, w->n, w->k, p->mat, row, k),
                          0.0f);
    piece_pack(arena, dtype, src + 1, src_dtype, p);
    assert_memory_equal(arena, want, (size_t)n_elems * size);
    piece_unpack(back + 1, arena, dtype, p);
    memcpy(arena, back + 1, (size_t)n * size);
    for (int64_t i = 0; i < n; i++)
        assert_true(dtype_get(arena, dtype, i) == plain_value(i));
    mem_free(arena);
    mem_free(want);
    mem_free(src);
    mem_free(aligned);
    mem_free(back);
}

static void test_pack(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        struct hparams hp = awkward;
        hp.is_tied = tied == 1;
        hp.n_layers = 1;
        struct param_table t;
        assert_ok(param_table_create(&t, &hp));
        for (int64_t i = 0; i < pieces_count(&t, &hp); i++)
            for (int dtype = 0; dtype < 9; dtype++) {
                struct piece p;
                piece_get(&p, &t, &hp, i);
                check_pack(&p, t.n_elems, (enum dtype)(dtype / 3),
                           (enum dtype)(dtype % 3));
            }
        param_table_release(&t);
    }
}

/* Widths that are no multiple of the tile, and whole tiles. */
static void test_pack_widths(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 31, 32, 33, 64, 100};
    for (int64_t i = 0; i < ARRAY_LEN(widths); i++) {
        struct param w = {.layout = WEIGHT_PACKED,
                          .n_mats = 2,
                          .n = 70,
                          .k = widths[i],
                          .off = 64,
                          .is_decayed = true};
        w.n_elems = weight_n_elems(w.layout, w.n_mats, w.n, w.k);
        static const int64_t ranges[][2] = {
            {0, 70}, {0, 32}, {32, 32}, {5, 1}, {30, 40}};
        for (int64_t r = 0; r < ARRAY_LEN(ranges); r++) {
            const struct piece p = {
                .param = &w, .mat = 1, .row0 = ranges[r][0], .n_rows = ranges[r][1]};
            for (int dtype = 0; dtype < 3; dtype++)
                check_pack(&p, 64 + w.n_elems, (enum dtype)dtype, (enum dtype)dtype);
        }
    }
}

/* Bits that are no numbers survive a copy without conversion. */
static void test_pack_keeps_bits(void **state)
{
    (void)state;
    struct param w = {.layout = WEIGHT_PACKED, .n_mats = 1, .n = 32, .k = 3};
    const struct piece p = {.param = &w, .n_rows = 32};
    uint16_t src[96], arena[96], back[96];
    for (int i = 0; i < 96; i++)
        src[i] = (uint16_t)(0x7F80 + i * 331);
    piece_pack(arena, DTYPE_BF16, src, DTYPE_BF16, &p);
    piece_unpack(back, arena, DTYPE_BF16, &p);
    assert_memory_equal(src, back, sizeof(src));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),          cmocka_unit_test(test_plain_head),
        cmocka_unit_test(test_init_and_decay), cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_pieces_cover),   cmocka_unit_test(test_pack),
        cmocka_unit_test(test_pack_widths),    cmocka_unit_test(test_pack_keeps_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
