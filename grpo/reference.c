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
    TRY(weights_load_to(&r->weights, policy->b, dir, dtype));
    return model_init(&r->model, policy->b, &r->weights.hp, r->weights.data,
                      r->weights.dtype, policy->n_pos, policy->n_softmax);
}

static size_t master_bytes(const struct reference *r)
{
    return (size_t)r->weights.table.n_elems * sizeof(float);
}

void reference_release(struct reference *r)
{
    if (r->master != NULL)
        r->model.b->release(r->model.b, r->master, master_bytes(r));
    model_release(&r->model);
    weights_release(&r->weights);
    *r = (struct reference){0};
}

/* Host memory for a part of the arenas, which may be a device's */
enum { N_PART = 65536 };
struct part {
    float policy[N_PART], ref[N_PART];
    uint16_t narrow[N_PART];
};

static int64_t part_len(const struct reference *r, int64_t first)
{
    const int64_t left = r->weights.table.n_elems - first;
    return left < N_PART ? left : N_PART;
}

static char *weights_at(const struct reference *r, int64_t first)
{
    return (char *)r->weights.data + (size_t)first * dtype_bytes(r->weights.dtype);
}

/* fp32 values x (n) from element `first` on, and the weights that are rounded from them
 */
static void put_values(struct reference *r, struct part *part, const float *x,
                       int64_t first, int64_t n)
{
    struct backend *const b = r->model.b;
    const enum dtype dtype = r->weights.dtype;
    if (r->master == NULL) {
        b->upload(b, weights_at(r, first), x, (size_t)n * sizeof(*x));
        return;
    }
    dtype_narrow(part->narrow, dtype, x, n);
    b->upload(b, r->master + first, x, (size_t)n * sizeof(*x));
    b->upload(b, weights_at(r, first), part->narrow, (size_t)n * dtype_bytes(dtype));
}

/* The fp32 values, made from the weights when they are first needed */
static int need_values(struct reference *r, struct part *part)
{
    struct backend *const b = r->model.b;
    const enum dtype dtype = r->weights.dtype;
    void *block = NULL;
    if (dtype == DTYPE_F32 || r->master != NULL)
        return STATUS_OK;
    TRY(b->reserve(b, &block, master_bytes(r), "reference in fp32"));
    r->master = block;
    for (int64_t i = 0; i < r->weights.table.n_elems; i += N_PART) {
        const int64_t n = part_len(r, i);
        b->download(b, part->narrow, weights_at(r, i), (size_t)n * dtype_bytes(dtype));
        dtype_widen(part->ref, part->narrow, dtype, n);
        b->upload(b, r->master + i, part->ref, (size_t)n * sizeof(float));
    }
    return STATUS_OK;
}

static const float *values(const struct reference *r)
{
    return r->master != NULL ? r->master : r->weights.data;
}

int reference_move(struct reference *r, const struct optim *policy, double share)
{
    struct backend *const b = policy->b;
    struct part *const part = mem_alloc(sizeof(*part));
    const int status = need_values(r, part);
    for (int64_t i = 0; status == STATUS_OK && i < r->weights.table.n_elems;
         i += N_PART) {
        const int64_t n = part_len(r, i);
        b->download(b, part->policy, policy->master + i, (size_t)n * sizeof(float));
        b->download(b, part->ref, values(r) + i, (size_t)n * sizeof(float));
        for (int64_t k = 0; k < n; k++)
            part->ref[k] = (float)(share * (double)part->policy[k] +
                                   (1.0 - share) * (double)part->ref[k]);
        put_values(r, part, part->ref, i, n);
    }
    mem_free(part);
    r->is_moved = r->is_moved || status == STATUS_OK;
    return status;
}

int reference_save(const struct reference *r, const char *path)
{
    const struct weights *const w = &r->weights;
    CHECK(r->master != NULL || w->dtype == DTYPE_F32, "%s: no fp32 values", path);
    return arena_save_from(r->model.b, path, &w->hp, &w->table, values(r));
}

int reference_load(struct reference *r, const char *path)
{
    const struct weights *const w = &r->weights;
    struct backend *const b = r->model.b;
    struct part *const part = mem_alloc(sizeof(*part));
    int status = need_values(r, part);
    float *const data = r->master != NULL ? r->master : w->data;
    if (status == STATUS_OK)
        status = arena_load_to(b, path, &w->hp, &w->table, data);
    for (int64_t i = 0; status == STATUS_OK && i < w->table.n_elems; i += N_PART) {
        const int64_t n = part_len(r, i);
        b->download(b, part->ref, data + i, (size_t)n * sizeof(float));
        put_values(r, part, part->ref, i, n);
    }
    r->is_moved = r->is_moved || status == STATUS_OK;
    mem_free(part);
    return status;
}
