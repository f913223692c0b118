/*
 * A model's weights in host memory: loaded, initialised, and arenas of fp32 saved
 * beside them read back.
 */
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "model/params.h"
#include "model/weights_read.h"

/* The dtype of all sources, or F32, which holds both 16-bit ones. */
static enum dtype widest(const struct source *sources, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (sources[i].dtype != sources[0].dtype)
            return DTYPE_F32;
    return sources[0].dtype;
}

static int load_data(struct weights *w, struct shards *s, int dtype)
{
    struct source *sources = NULL;
    TRY(sources_resolve(&sources, s, &w->hp, &w->table));
    w->dtype = dtype < 0 ? widest(sources, pieces_count(&w->table, &w->hp))
                         : (enum dtype)dtype;
    int status = mem_reserve(&w->data, (size_t)w->table.n_elems * dtype_bytes(w->dtype),
                             "weights");
    if (status == STATUS_OK)
        status = sources_fill(w->data, w->dtype, sources, &w->hp, &w->table);
    mem_free(sources);
    return status;
}

int weights_load(struct weights *w, const char *dir, int dtype)
{
    return weights_load_in(w, WEIGHT_PACKED, dir, dtype);
}

int weights_load_in(struct weights *w, enum weight_layout layout, const char *dir,
                    int dtype)
{
    CHECK(dtype >= -1 && dtype <= DTYPE_F16, "dtype %d", dtype);
    struct weights loaded = {0};
    struct shards s = {0};
    int status;
    TRY_OUT(hparams_read(&loaded.hp, dir));
    TRY_OUT(param_table_create_in(&loaded.table, &loaded.hp, layout));
    TRY_OUT(shards_open(&s, dir));
    TRY_OUT(load_data(&loaded, &s, dtype));
    *w = loaded;
    loaded = (struct weights){0};
out:
    shards_close(&s);
    weights_release(&loaded);
    return status;
}

/* From host memory to b's, unless that is the same; *w is released on failure. */
static int place(struct weights *w, struct backend *b)
{
    const size_t bytes = (size_t)w->table.n_elems * dtype_bytes(w->dtype);
    void *data = NULL;
    if (b->is_host)
        return STATUS_OK;
    const int status = b->reserve(b, &data, bytes, "weights");
    if (status != STATUS_OK) {
        weights_release(w);
        return status;
    }
    b->upload(b, data, w->data, bytes);
    mem_release(w->data, bytes);
    w->data = data;
    w->b = b;
    return STATUS_OK;
}

int weights_load_to(struct weights *w, struct backend *b, const char *dir, int dtype)
{
    TRY(weights_load_in(w, b->product_layout, dir, dtype));
    return place(w, b);
}

void weights_release(struct weights *w)
{
    if (w == NULL)
        return;
    const size_t bytes = (size_t)w->table.n_elems * dtype_bytes(w->dtype);
    if (w->b != NULL)
        w->b->release(w->b, w->data, bytes);
    else
        mem_release(w->data, bytes);
    param_table_release(&w->table);
    *w = (struct weights){0};
}

/* Element i of a piece is drawn by (i, piece), so its value depends neither on layout
 * nor on dtype (rounding apart) nor on the thread. */
static void init_rows(const struct weights *w, const struct piece *p, int64_t piece,
                      uint64_t seed)
{
    const struct param *const param = p->param;
    const size_t size = dtype_bytes(w->dtype);
    unsigned char *const base = (unsigned char *)w->data + (size_t)param->off * size;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < p->n_rows; row++)
        for (int64_t i = 0; i < param->k; i++) {
            const uint64_t at = (uint64_t)(row * param->k + i);
            const float v = param->is_decayed
                                ? param->init_std * rng_normal(seed, RNG_INIT,
                                                               (uint32_t)at,
                                                               (uint32_t)(at >> 32),
                                                               (uint32_t)piece, 0)
                                : 1.0f;
            dtype_put(base, w->dtype,
                      weight_index(param->layout, param->n, param->k, p->mat,
                                   p->row0 + row, i),
                      v);
        }
}

static int init_in(struct weights *w, enum weight_layout layout,
                   const struct hparams *hp, enum dtype dtype, uint64_t seed)
{
    struct weights made = {.hp = *hp, .dtype = dtype};
    TRY(param_table_create_in(&made.table, hp, layout));
    const int status = mem_reserve(
        &made.data, (size_t)made.table.n_elems * dtype_bytes(dtype), "weights");
    if (status != STATUS_OK) {
        weights_release(&made);
        return status;
    }
    for (int64_t i = 0; i < pieces_count(&made.table, hp); i++) {
        struct piece p;
        piece_get(&p, &made.table, hp, i);
        init_rows(&made, &p, i, seed);
    }
    *w = made;
    return STATUS_OK;
}

int weights_init(struct weights *w, const struct hparams *hp, enum dtype dtype,
                 uint64_t seed)
{
    return init_in(w, WEIGHT_PACKED, hp, dtype, seed);
}

int weights_init_to(struct weights *w, struct backend *b, const struct hparams *hp,
                    enum dtype dtype, uint64_t seed)
{
    TRY(init_in(w, b->product_layout, hp, dtype, seed));
    return place(w, b);
}

int arena_load(const char *path, const struct hparams *hp, const struct param_table *t,
               float *data)
{
    struct shards s = {0};
    struct source *sources = NULL;
    int status;
    TRY_OUT(shards_open_file(&s, path));
    TRY_OUT(sources_resolve(&sources, &s, hp, t));
    for (int64_t i = 0; i < pieces_count(t, hp); i++)
        if (sources[i].dtype != DTYPE_F32) {
            status = ERR(ERR_INPUT, "%s: tensor %s is %s, expected F32", path,
                         sources[i].from->tensor->name, dtype_name(sources[i].dtype));
            goto out;
        }
    status = sources_fill(data, DTYPE_F32, sources, hp, t);
out:
    mem_free(sources);
    shards_close(&s);
    return status;
}

int arena_load_to(struct backend *b, const char *path, const struct hparams *hp,
                  const struct param_table *t, float *data)
{
    const size_t bytes = (size_t)t->n_elems * sizeof(float);
    void *host = NULL;
    if (b == NULL || b->is_host)
        return arena_load(path, hp, t, data);
    TRY(mem_reserve(&host, bytes, "an arena on its way to the device"));
    const int status = arena_load(path, hp, t, host);
    if (status == STATUS_OK)
        b->upload(b, data, host, bytes);
    mem_release(host, bytes);
    return status;
}
