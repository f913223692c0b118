/*
 * Loading in every layout and dtype against a formula, initialisation, saving, and the
 * shared fixtures bit for bit. Damaged checkpoints: test_weights_resolve.c,
 * test_shards.c.
 */
#include "tests/model/model_dir.h"

#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/rng.h"
#include "model/params.h"
#include "model/safetensors.h"

static float element(const struct weights *w, enum param_role role, int64_t layer,
                     const int64_t at[3])
{
    const struct param *const p = param_find(&w->table, role, layer);
    assert_non_null(p);
    return dtype_get(w->data, w->dtype,
                     p->off + weight_index(p->layout, p->n, p->k, at[0], at[1], at[2]));
}

/* All rows of one tensor of the test's making, at row0 of matrix mat. */
static void check_tensor(const struct weights *w, const char *hub_name,
                         enum param_role role, int64_t layer, const int64_t place[3])
{
    const int64_t mat = place[0], row0 = place[1], n_rows = place[2];
    const struct param *const p = param_find(&w->table, role, layer);
    for (int64_t row = 0; row < n_rows; row++)
        for (int64_t k = 0; k < p->k; k++)
            assert_true(
                element(w, role, layer, (const int64_t[]){mat, row0 + row, k}) ==
                value_of(hub_name, row, k));
}

static void check_layer(const struct weights *w, int layer)
{
    const struct hparams *const hp = &w->hp;
    const int64_t q = hp->n_heads * hp->head_dim, kv = hp->n_kv_heads * hp->head_dim;
    const struct {
        const char *name;
        enum param_role role;
        int64_t row0, n_rows;
    } parts[] = {{"input_layernorm", PARAM_NORM1, 0, 1},
                 {"self_attn.q_proj", PARAM_QKV, 0, q},
                 {"self_attn.k_proj", PARAM_QKV, q, kv},
                 {"self_attn.v_proj", PARAM_QKV, q + kv, kv},
                 {"self_attn.o_proj", PARAM_O, 0, hp->d_model},
                 {"post_attention_layernorm", PARAM_NORM2, 0, 1},
                 {"block_sparse_moe.gate", PARAM_ROUTER, 0, hp->n_experts}};
    char name[160];
    for (int i = 0; i < ARRAY_LEN(parts); i++) {
        snprintf(name, sizeof(name), "model.layers.%d.%s.weight", layer, parts[i].name);
        check_tensor(w, name, parts[i].role, layer,
                     (const int64_t[]){0, parts[i].row0, parts[i].n_rows});
    }
    for (int e = 0; e < hp->n_experts; e++)
        for (int k = 1; k <= 3; k++) {
            snprintf(name, sizeof(name),
                     "model.layers.%d.block_sparse_moe.experts.%d.w%d.weight", layer, e,
                     k);
            check_tensor(w, name, k == 2 ? PARAM_DOWN : PARAM_GATE_UP, layer,
                         (const int64_t[]){e, k == 3 ? hp->d_ff : 0,
                                           k == 2 ? hp->d_model : hp->d_ff});
        }
}

/* The directory's weights are those of the formula. */
static void check_dir(const char *dir, int dtype, enum dtype want)
{
    struct weights w;
    assert_ok(weights_load(&w, dir, dtype));
    assert_int_equal(w.dtype, want);
    check_tensor(&w, "model.embed_tokens.weight", PARAM_EMBED, -1,
                 (const int64_t[]){0, 0, w.hp.n_vocab});
    for (int layer = 0; layer < w.hp.n_layers; layer++)
        check_layer(&w, layer);
    check_tensor(&w, "model.norm.weight", PARAM_NORM_F, -1, (const int64_t[]){0, 0, 1});
    if (!w.hp.is_tied)
        check_tensor(&w, "lm_head.weight", PARAM_HEAD, -1,
                     (const int64_t[]){0, 0, w.hp.n_vocab});
    weights_release(&w);
}

static void test_dtypes(void **state)
{
    (void)state;
    static const char *const names[] = {"F32", "BF16", "F16"};
    for (int i = 0; i < 3; i++) {
        char *const dir = temp_dir();
        struct dir_model *const m = small_model(names[i], i == 1);
        write_config(m, dir);
        for (int pad = 0; pad < 3; pad++) { /* data at every alignment */
            write_model_file(m, dir, "model.safetensors", 0, pad);
            check_dir(dir, -1, (enum dtype)i);
        }
        for (int as = 0; as < 3; as++)
            check_dir(dir, as, (enum dtype)as);
        free_model(m);
        drop_dir(dir);
    }
}

static void test_mixed_dtypes(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct dir_model *const m = small_model("BF16", false);
    const struct dir_model *const wide = small_model("F32", false);
    struct dir_tensor *const t = get_tensor(m, "model.layers.1.input_layernorm.weight");
    mem_free(t->data);
    *t = *get_tensor((struct dir_model *)(uintptr_t)wide,
                     "model.layers.1.input_layernorm.weight");
    write_config(m, dir);
    write_model_file(m, dir, "model.safetensors", 0, 0);
    check_dir(dir, -1, DTYPE_F32);
    get_tensor((struct dir_model *)(uintptr_t)wide, t->name)->data = NULL;
    free_model((struct dir_model *)(uintptr_t)wide);
    free_model(m);
    drop_dir(dir);
}

static void test_layouts(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct dir_model *m = small_model("F16", false);
    write_config(m, dir);
    fuse_layer(m, 1); /* one layer fused, the other per expert */
    write_model_file(m, dir, "model.safetensors", 0, 0);
    check_dir(dir, -1, DTYPE_F16);
    fuse_layer(m, 0);
    write_model_file(m, dir, "model.safetensors", 0, 1);
    check_dir(dir, -1, DTYPE_F16);
    for (int i = 0; i < m->n; i++) /* a base model's save has no "model." */
        if (strncmp(m->tensors[i].name, "model.", 6) == 0)
            memmove(m->tensors[i].name, m->tensors[i].name + 6,
                    strlen(m->tensors[i].name + 6) + 1);
    write_model_file(m, dir, "model.safetensors", 0, 0);
    check_dir(dir, -1, DTYPE_F16);
    free_model(m);
    m = small_model("F16", false);
    for (int i = 0; i < m->n; i++) { /* half converted: mlp.experts.E.w1.weight */
        char *const moe = strstr(m->tensors[i].name, "block_sparse_moe");
        if (moe != NULL) {
            memcpy(moe, "mlp", 3);
            memmove(moe + 3, moe + 16, strlen(moe + 16) + 1);
        }
    }
    add_tensor(m, "model.layers.0.self_attn.rotary_emb.inv_freq", "F32", 0, 5);
    write_model_file(m, dir, "model.safetensors", 0, 0);
    check_dir(dir, -1, DTYPE_F16);
    free_model(m);
    drop_dir(dir);
}

static void test_sharded(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct dir_model *const m = small_model("BF16", false);
    fuse_layer(m, 0);
    write_config(m, dir);
    for (int i = 0; i < m->n; i++)
        m->tensors[i].file = i * 7 % 4;
    write_shard_files(m, dir, 4, NULL);
    check_dir(dir, -1, DTYPE_BF16);
    free_model(m);
    drop_dir(dir);
}

/* Tied: the embedding, the head in its place, or both alike. */
static void test_tied(void **state)
{
    (void)state;
    char *const dir = temp_dir();
    struct dir_model *const m = small_model("F32", true);
    struct dir_tensor *const embed = get_tensor(m, "model.embed_tokens.weight");
    write_config(m, dir);
    write_model_file(m, dir, "model.safetensors", 0, 0);
    check_dir(dir, -1, DTYPE_F32);
    snprintf(embed->name, sizeof(embed->name), "lm_head.weight");
    write_model_file(m, dir, "model.safetensors", 0, 0);
    check_dir(dir, -1, DTYPE_F32);
    struct dir_tensor *const both = add_tensor(m, "model.embed_tokens.weight", "F32",
                                               m->hp.n_vocab, m->hp.d_model);
    write_model_file(m, dir, "model.safetensors", 0, 0);
    check_dir(dir, -1, DTYPE_F32);
    both->data[4] ^= 1;
    write_model_file(m, dir, "model.safetensors", 0, 0);
    struct weights w;
    assert_error(weights_load(&w, dir, -1), "lm_head.weight differs from");
    free_model(m);
    drop_dir(dir);
}

static void test_init(void **state)
{
    (void)state;
    struct hparams hp = small_hparams();
    struct weights w, tied;
    assert_ok(weights_init(&w, &hp, DTYPE_F32, 42));
    hp.is_tied = true;
    assert_ok(weights_init(&tied, &hp, DTYPE_F32, 42));
    double sum = 0.0, square = 0.0, out_square = 0.0;
    const int64_t v = hp.n_vocab, d = hp.d_model;
    for (int64_t i = 0; i < v; i++)
        for (int64_t j = 0; j < d; j++) {
            const float x = element(&w, PARAM_EMBED, -1, (const int64_t[]){0, i, j});
            /* the draw knows neither the layout nor what else the model has */
            assert_true(x ==
                        element(&tied, PARAM_EMBED, -1, (const int64_t[]){0, i, j}));
            assert_true(
                x == 0.02f * rng_normal(42, RNG_INIT, (uint32_t)(i * d + j), 0, 0, 0));
            sum += (double)x;
            square += (double)x * (double)x;
        }
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < hp.n_heads * hp.head_dim; j++) {
            const float x = element(&w, PARAM_O, 1, (const int64_t[]){0, i, j});
            out_square += (double)x * (double)x;
        }
    const double n = (double)(v * d), n_out = (double)(d * hp.n_heads * hp.head_dim);
    assert_true(fabs(sum / n) < 4.0 * 0.02 / sqrt(n));
    /* the variance of a mean square is 2 / n */
    assert_true(fabs(square / n / 4e-4 - 1.0) < 4.0 * sqrt(2.0 / n));
    assert_true(fabs(out_square / n_out / 1e-4 - 1.0) < 4.0 * sqrt(2.0 / n_out));
    for (int64_t j = 0; j < d; j++)
        assert_true(element(&w, PARAM_NORM2, 0, (const int64_t[]){0, 0, j}) == 1.0f);
    struct piece p;
    piece_get(&p, &w.table, &w.hp, 3); /* k_proj, in the middle of qkv */
    assert_true(element(&w, PARAM_QKV, 0, (const int64_t[]){0, p.row0 + 1, 5}) ==
                0.02f * rng_normal(42, RNG_INIT, (uint32_t)(d + 5), 0, 3, 0));
    weights_release(&w);
    weights_release(&tied);
}

static void assert_same_file(const char *dir_a, const char *dir_b, const char *name)
{
    struct buf a = {0}, b = {0};
    char *const path_a = io_join(dir_a, name), *const path_b = io_join(dir_b, name);
    assert_ok(io_read_file(&a, path_a, 1 << 30));
    assert_ok(io_read_file(&b, path_b, 1 << 30));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    buf_release(&a);
    buf_release(&b);
    mem_free(path_a);
    mem_free(path_b);
}

static void assert_same_weights(const struct weights *a, const struct weights *b)
{
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->table.n_elems, b->table.n_elems);
    assert_memory_equal(a->data, b->data,
                        (size_t)a->table.n_elems * dtype_bytes(a->dtype));
}

static int64_t n_shard_files(const char *dir)
{
    char **names;
    int64_t n, count = 0;
    assert_ok(io_list(dir, &names, &n));
    for (int64_t i = 0; i < n; i++)
        count += strstr(names[i], "model-") == names[i];
    io_list_free(names, n);
    return count;
}

static void save(const char *dir, const struct weights *w, const char *tokenizer_dir,
                 int64_t max_shard_bytes)
{
    assert_ok(weights_save(dir, &w->hp, &w->table, w->data, w->dtype, tokenizer_dir,
                           max_shard_bytes));
}

static void test_save_round_trip(void **state)
{
    (void)state;
    for (int dtype = 0; dtype < 3; dtype++) {
        struct hparams hp = small_hparams();
        hp.is_tied = dtype == 2;
        struct weights w, back;
        assert_ok(weights_init(&w, &hp, (enum dtype)dtype, 7));
        char *const dir = temp_dir(), *const sharded = temp_dir();
        save(dir, &w, NULL, 0);
        assert_ok(weights_load(&back, dir, -1));
        assert_same_weights(&w, &back);
        weights_release(&back);
        save(sharded, &w, dir, 9000);
        assert_true(n_shard_files(sharded) > 4);
        assert_ok(weights_load(&back, sharded, -1));
        assert_same_weights(&w, &back);
        assert_int_equal(back.hp.n_eos, 1);
        weights_release(&back);
        assert_error(weights_save(dir, &w.hp, &w.table, w.data, w.dtype, NULL, 20000),
                     "in the way of a sharded checkpoint");
        weights_release(&w);
        drop_dir(dir);
        drop_dir(sharded);
    }
}

/* No shard exceeds the limit unless one tensor alone does. */
static void test_shard_sizes(void **state)
{
    (void)state;
    const struct hparams hp = small_hparams();
    struct weights w;
    assert_ok(weights_init(&w, &hp, DTYPE_F32, 7));
    char *const dir = temp_dir();
    save(dir, &w, NULL, 12000);
    const int64_t n = n_shard_files(dir);
    assert_true(n >= 4 * hparams_n_params(&hp) / 12000);
    for (int64_t i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof(name), "model-%05d-of-%05d.safetensors", (int)i + 1,
                 (int)n);
        char *const path = io_join(dir, name);
        struct st_file f;
        assert_ok(st_open(&f, path));
        size_t bytes = 0;
        for (int64_t j = 0; j < f.n; j++)
            bytes += f.tensors[j].bytes;
        assert_true(bytes <= 12000 || f.n == 1);
        st_close(&f);
        mem_free(path);
    }
    weights_release(&w);
    drop_dir(dir);
}

static void test_saved_configs(void **state)
{
    (void)state;
    struct hparams hp = small_hparams();
    hp.n_eos = 2;
    hp.eos_ids[1] = 5;
    hp.pad_id = 0;
    struct weights w;
    assert_ok(weights_init(&w, &hp, DTYPE_BF16, 7));
    char *const dir = temp_dir(), *const from = temp_dir();
    write_string(from, "tokenizer.json", "{\"a\": 1}");
    write_string(from, "chat_template.jinja", "{{ x }}");
    write_string(from, "unrelated.txt", "no");
    save(dir, &w, from, 0);
    assert_same_file(dir, from, "tokenizer.json");
    assert_same_file(dir, from, "chat_template.jinja");
    char *const unrelated = io_join(dir, "unrelated.txt");
    assert_false(io_exists(unrelated));
    mem_free(unrelated);
    struct buf b = {0};
    char *const path = io_join(dir, "generation_config.json");
    assert_ok(io_read_file(&b, path, 4096));
    assert_string_equal(b.data,
                        "{\n  \"bos_token_id\": 1,\n  \"eos_token_id\": [2, 5],\n"
                        "  \"pad_token_id\": 0\n}\n");
    save(from, &w, from, 0); /* onto itself: the tokenizer stays */
    assert_same_file(dir, from, "tokenizer.json");
    assert_error(weights_save("/nowhere", &w.hp, &w.table, w.data, w.dtype, NULL, 0),
                 "/nowhere");
    mem_free(path);
    buf_release(&b);
    weights_release(&w);
    drop_dir(dir);
    drop_dir(from);
}

static void test_arena(void **state)
{
    (void)state;
    struct hparams hp = small_hparams();
    struct weights w, half;
    assert_ok(weights_init(&w, &hp, DTYPE_F32, 3));
    assert_ok(weights_init(&half, &hp, DTYPE_BF16, 3));
    char *const dir = temp_dir(), *const path = io_join(dir, "m.safetensors");
    float *const back = mem_alloc((size_t)w.table.n_elems * sizeof(float));
    assert_ok(arena_save(path, &hp, &w.table, w.data));
    assert_ok(arena_load(path, &hp, &w.table, back));
    assert_memory_equal(back, w.data, (size_t)w.table.n_elems * sizeof(float));
    hp.d_ff++;
    struct param_table other;
    assert_ok(param_table_create(&other, &hp));
    assert_error(arena_load(path, &hp, &other, back), "config.json implies [21, 36]");
    save(dir, &half, NULL, 0);
    char *const narrow = io_join(dir, "model.safetensors");
    assert_error(arena_load(narrow, &w.hp, &w.table, back), "is BF16, expected F32");
    assert_error(arena_load("/nowhere", &w.hp, &w.table, back),
                 "/nowhere: no such file");
    param_table_release(&other);
    mem_free(narrow);
    mem_free(back);
    mem_free(path);
    weights_release(&w);
    weights_release(&half);
    drop_dir(dir);
}

static void test_not_finite(void **state)
{
    (void)state;
    static const struct {
        const char *dtype;
        uint32_t bits;
        int as;
        const char *fragment;
    } cases[] = {
        {"F32", 0x7FC00000, -1, "row 2, column 5 is nan, not finite"},
        {"F32", 0xFF800000, -1, "row 2, column 5 is -inf, not finite"},
        {"BF16", 0x7F80, -1, "row 2, column 5 is inf, not finite"},
        {"F16", 0xFC01, -1, "row 2, column 5 is -nan, not finite"},
        {"F32", 0x477FF000, DTYPE_F16, "row 2, column 5 is 65520, not finite in F16"},
        {"BF16", 0x4780, DTYPE_F16, "row 2, column 5 is 65536, not finite in F16"},
        {"F32", 0xFF7FFFFF, DTYPE_BF16, "column 5 is -3.40282e+38, not finite in BF16"},
        {"F32", 0x477FEFFF, DTYPE_F16, NULL},
        {"BF16", 0x477F, DTYPE_F16, NULL},
        {"F32", 0x7F7F7FFF, DTYPE_BF16, NULL},
        {"F32", 0x7F7FFFFF, -1, NULL},
        {"F16", 0x7BFF, DTYPE_F32, NULL},
    };
    static const char name[] = "model.layers.1.self_attn.o_proj.weight";
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *const dir = temp_dir();
        struct dir_model *const m = small_model(cases[i].dtype, false);
        struct dir_tensor *const t = get_tensor(m, name);
        const size_t size = size_of_dtype(t->dtype);
        memcpy(t->data + (size_t)(2 * t->shape[1] + 5) * size, &cases[i].bits, size);
        write_config(m, dir);
        write_model_file(m, dir, "model.safetensors", 0, 0);
        struct weights w;
        if (cases[i].fragment == NULL) {
            assert_ok(weights_load(&w, dir, cases[i].as));
            weights_release(&w);
        } else {
            assert_error(weights_load(&w, dir, cases[i].as), cases[i].fragment);
            assert_non_null(strstr(status_message(), name));
        }
        free_model(m);
        drop_dir(dir);
    }
}

/* Peak memory of a fresh process that loads a sparse file of 200 MB. */
static void test_peak_memory(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); /* shadow memory is counted */
#endif
    struct hparams hp = small_hparams();
    hp.d_model = 1024;
    hp.d_ff = 1024;
    hp.n_heads = 8;
    hp.head_dim = 128;
    hp.rope.rot = 128;
    hp.n_kv_heads = 8;
    hp.n_experts = 10;
    hp.n_vocab = 8192;
    struct dir_model m = {.hp = hp};
    char *const dir = temp_dir(), *const path = io_join(dir, "model.safetensors");
    write_config(&m, dir);
    struct param_table t;
    assert_ok(param_table_create(&t, &hp));
    struct buf header = {0};
    size_t off = 0;
    buf_puts(&header, "{");
    for (int64_t i = 0; i < pieces_count(&t, &hp); i++) {
        struct piece p;
        struct dir_tensor d = {.dtype = "BF16"};
        piece_get(&p, &t, &hp, i);
        memcpy(d.name, p.name, sizeof(d.name));
        d.rank = p.rank;
        memcpy(d.shape, p.shape, sizeof(p.shape));
        d.bytes = (size_t)(p.n_rows * p.param->k) * 2;
        put_entry(&header, &d, off);
        off += d.bytes;
    }
    buf_puts(&header, "}");
    write_raw(dir, "model.safetensors", header.data, "", 0);
    assert_int_equal(truncate(path, (off_t)(8 + header.len + off)), 0);
    assert_true(off > 150000000);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl("/proc/self/exe", "test_weights", "--load", dir, NULL);
        _exit(255);
    }
    int status;
    assert_true(waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    print_message("peak memory: %d %% of the file\n", WEXITSTATUS(status));
    assert_true(WEXITSTATUS(status) >= 90 && WEXITSTATUS(status) <= 125);
    buf_release(&header);
    param_table_release(&t);
    mem_free(path);
    drop_dir(dir);
}

/* In the fresh process: percent of the weights' bytes, as the exit status. */
static int load_and_measure(const char *dir)
{
    struct weights w;
    if (weights_load(&w, dir, -1) != STATUS_OK)
        return 255;
    const int64_t bytes = w.table.n_elems * (int64_t)dtype_bytes(w.dtype);
    const int64_t percent = 100 * mem_peak_rss_bytes() / bytes;
    weights_release(&w);
    return percent > 250 ? 250 : (int)percent;
}

static char *fixture_model(const char *name)
{
    char *const dir = fixture_path(name);
    char *const model = dir == NULL ? NULL : io_join(dir, "model");
    mem_free(dir);
    return model;
}

/* load -> save gives the same bytes, and loads to the same arena. */
static void test_fixtures(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool is_exact; /* one file, per expert */
    } cases[] = {{"mixtral-f32", true},           {"mixtral-bf16", true},
                 {"mixtral-f16", true},           {"mixtral-f16-sharded", false},
                 {"mixtral-f16-fused-v5", false}, {"mixtral-gqa", true},
                 {"mixtral-gqa-fused-v4", false}, {"mixtral-paper", true},
                 {"mixtral-e64", true},           {"mixtral-k1", true}};
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *const from = fixture_model(cases[i].name);
        if (from == NULL)
            skip();
        char *const to = temp_dir();
        struct weights w, back;
        assert_ok(weights_load(&w, from, -1));
        save(to, &w, from, 0);
        if (cases[i].is_exact)
            assert_same_file(from, to, "model.safetensors");
        assert_ok(weights_load(&back, to, -1));
        assert_same_weights(&w, &back);
        weights_release(&w);
        weights_release(&back);
        mem_free(from);
        drop_dir(to);
    }
}

static void test_twins(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"mixtral-f16", "mixtral-f16-sharded"},
        {"mixtral-f16", "mixtral-f16-fused-v5"},
        {"mixtral-gqa", "mixtral-gqa-fused-v4"},
    };
    for (int64_t i = 0; i < ARRAY_LEN(pairs); i++) {
        char *const a = fixture_model(pairs[i][0]), *const b = fixture_model(
                                                        pairs[i][1]);
        if (a == NULL || b == NULL)
            skip();
        struct weights wa, wb;
        assert_ok(weights_load(&wa, a, -1));
        assert_ok(weights_load(&wb, b, -1));
        assert_same_weights(&wa, &wb);
        weights_release(&wa);
        weights_release(&wb);
        mem_free(a);
        mem_free(b);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--load") == 0)
        return load_and_measure(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_mixed_dtypes),
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_sharded),
        cmocka_unit_test(test_tied),
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_save_round_trip),
        cmocka_unit_test(test_shard_sizes),
        cmocka_unit_test(test_saved_configs),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_peak_memory),
        cmocka_unit_test(test_fixtures),
        cmocka_unit_test(test_twins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
