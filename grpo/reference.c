/*
 * The model's dtype F32 needs no second copy: its weights are the fp32 values.
 */
#include "grpo/reference.h"

#include <string.h>

#include "core/mem.h"

int reference_init(struct reference *r, const char *dir, int dtype,
                   const struct model *policy)
{
    *r = (struct reference){0};
    TRY(weights_load(&r->weights, dir, dtype));
    return model_init(&r->model, policy->b, &r->weights.hp, r->weights.data,
                      r->weights.dtype, policy->n_pos, policy->n_softmax);
}

static size_t master_bytes(const struct reference *r)
{
    return (size_t)r->weights.table.n_elems * sizeof(float);
}

void reference_release(struct reference *r)
{
    mem_release(r->master, master_bytes(r));
    model_release(&r->model);
    weights_release(&r->weights);
    *r = (struct reference){0};
}

/* The fp32 values, made from the weights when they are first needed */
static int values(struct reference *r, float **out)
{
    const struct weights *const w = &r->weights;
    if (w->dtype != DTYPE_F32 && r->master == NULL) {
        void *block = NULL;
        TRY(mem_reserve(&block, master_bytes(r), "reference in fp32"));
        r->master = block;
        dtype_widen(r->master, w->data, w->dtype, w->table.n_elems);
    }
    *out = w->dtype == DTYPE_F32 ? w->data : r->master;
    return STATUS_OK;
}

/* The compute weights from the fp32 values, elements first .. first + n - 1 */
static void narrow(struct reference *r, int64_t first, int64_t n)
{
    const enum dtype dtype = r->weights.dtype;
    if (r->master != NULL)
        dtype_narrow((char *)r->weights.data + (size_t)first * dtype_bytes(dtype),
                     dtype, r->master + first, n);
}

int reference_move(struct reference *r, const struct optim *policy, double share)
{
    enum { N = 65536 };
    struct backend *const b = policy->b;
    const int64_t n_all = r->weights.table.n_elems;
    float *ref = NULL;
    TRY(values(r, &ref));
    float *const now = mem_alloc(N * sizeof(*now));
    for (int64_t first = 0; first < n_all; first += N) {
        const int64_t n = n_all - first < N ? n_all - first : N;
        b->download(b, now, policy->master + first, (size_t)n * sizeof(*now));
        for (int64_t i = 0; i < n; i++) {
            const double old = (double)ref[first + i];
            ref[first + i] = (float)(share * (double)now[i] + (1.0 - share) * old);
        }
        narrow(r, first, n);
    }
    mem_free(now);
    r->is_moved = true;
    return STATUS_OK;
}

int reference_save(const struct reference *r, const char *path)
{
    const struct weights *const w = &r->weights;
    const float *const data = r->master != NULL ? r->master : w->data;
    CHECK(r->master != NULL || w->dtype == DTYPE_F32, "%s: no fp32 values", path);
    return arena_save(path, &w->hp, &w->table, data);
}

int reference_load(struct reference *r, const char *path)
{
    float *data = NULL;
    TRY(values(r, &data));
    TRY(arena_load(path, &r->weights.hp, &r->weights.table, data));
    narrow(r, 0, r->weights.table.n_elems);
    r->is_moved = true;
    return STATUS_OK;
}
