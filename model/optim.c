/*
 * Norms are computed over the whole arena (padding is 0); the update runs per parameter
 * because decay differs.
 */
#include "model/optim.h"

#include <math.h>
#include <string.h>

#include "core/carve.h"
#include "core/mem.h"

static void lay_out(struct optim *o, struct carver *device, struct carver *host,
                    bool has_master, enum optim_place place)
{
    const int64_t n = o->table->n_elems;
    struct carver *const moments = place == OPTIM_ON_DEVICE ? device : host;
    o->m = carve_f32(moments, n, 1);
    o->v = carve_f32(moments, n, 1);
    if (has_master)
        o->master = carve_f32(place == OPTIM_ON_HOST ? host : device, n, 1);
}

struct optim_bytes optim_bytes(const struct param_table *t, enum dtype dtype,
                               enum optim_place place)
{
    struct optim o = {.table = t};
    struct carver device = {.base = NULL}, host = {.base = NULL};
    lay_out(&o, &device, &host, dtype != DTYPE_F32, place);
    return (struct optim_bytes){.device = device.used, .host = host.used};
}

enum optim_place optim_place_fit(const struct param_table *t, enum dtype dtype,
                                 enum optim_place first, enum optim_place last,
                                 size_t room)
{
    enum optim_place p = first;
    while (p < last && optim_bytes(t, dtype, p).device > room)
        p++;
    return p;
}

/* master = widened compute weights, through a host buffer: large, since a device waits
 * twice for each part */
static void widen(struct optim *o)
{
    enum { N = 1 << 22 };
    float *const wide = mem_alloc(N * sizeof(float));
    char *const raw = mem_alloc(N * sizeof(float));
    const size_t size = dtype_bytes(o->copy_dtype);
    for (int64_t i = 0; i < o->table->n_elems; i += N) {
        const int64_t n = o->table->n_elems - i < N ? o->table->n_elems - i : N;
        o->b->download(o->b, raw, (const char *)o->copy + (size_t)i * size,
                       (size_t)n * size);
        dtype_widen(wide, raw, o->copy_dtype, n);
        o->b->upload(o->b, o->master + i, wide, (size_t)n * sizeof(float));
    }
    mem_free(raw);
    mem_free(wide);
}

int optim_init(struct optim *o, struct backend *b, const struct param_table *t,
               void *data, enum dtype dtype, enum optim_place place)
{
    const bool has_master = dtype != DTYPE_F32;
    *o = (struct optim){.b = b, .table = t, .copy_dtype = dtype};
    const struct optim_bytes bytes = optim_bytes(t, dtype, place);
    if (bytes.device > 0)
        TRY(b->reserve(b, &o->block, bytes.device, "optimiser state"));
    o->block_bytes = bytes.device;
    if (bytes.host > 0)
        TRY(b->reserve_host(b, &o->host_block, bytes.host, "optimiser state"));
    o->host_bytes = bytes.host;
    struct carver device = {.base = o->block}, host = {.base = o->host_block};
    lay_out(o, &device, &host, has_master, place);
    if (has_master) {
        o->copy = data;
        widen(o);
    } else {
        o->master = data;
    }
    return STATUS_OK;
}

void optim_release(struct optim *o)
{
    if (o->block != NULL)
        o->b->release(o->b, o->block, o->block_bytes);
    if (o->host_block != NULL)
        o->b->release_host(o->b, o->host_block, o->host_bytes);
    *o = (struct optim){0};
}

/* The factor that brings `norm` to at most `limit` (0: off). The 1e-6 is torch's. */
static double clip_scale(double norm, double limit)
{
    const double scale = limit / (norm + 1e-6);
    return limit > 0.0 && scale < 1.0 ? scale : 1.0;
}

int optim_step(struct optim *o, const float *grad, const struct optim_args *args,
               struct optim_report *report_out)
{
    struct optim_report rep = {.scale = 1.0};
    double sum_sq = 0.0, sum_abs = 0.0;
    o->b->norms(o->b, &sum_sq, &sum_abs, grad, o->table->n_elems);
    if (!isfinite(sum_sq) || !isfinite(sum_abs))
        return ERR(ERR_NUMERIC,
                   "the gradient of update %lld is not finite (sum of squares %g); no "
                   "weight was changed; lower optim.lr or look at the data",
                   (long long)o->n_updates, sum_sq);
    rep.grad_l2 = sqrt(sum_sq);
    rep.grad_l1 = sum_abs;
    rep.scale = clip_scale(rep.grad_l2, args->clip_l2);
    rep.scale *= clip_scale(rep.grad_l1 * rep.scale, args->clip_l1);
    o->n_updates++;
    struct adamw_args a = {.lr = (float)args->lr,
                           .beta1 = (float)args->beta1,
                           .beta2 = (float)args->beta2,
                           .eps = (float)args->eps,
                           .grad_scale = (float)rep.scale};
    a.bias1 = (float)(1.0 - pow(args->beta1, (double)o->n_updates));
    a.bias2 = (float)(1.0 - pow(args->beta2, (double)o->n_updates));
    for (int64_t i = 0; i < o->table->n; i++) {
        const struct param *const p = &o->table->items[i];
        if (args->is_router_frozen && p->role == PARAM_ROUTER)
            continue;
        a.decay = p->is_decayed ? (float)args->weight_decay : 0.0f;
        char *const copy = o->copy == NULL
                               ? NULL
                               : (char *)o->copy +
                                     (size_t)p->off * dtype_bytes(o->copy_dtype);
        o->b->adamw(o->b, o->master + p->off, copy, o->copy_dtype, o->m + p->off,
                    o->v + p->off, grad + p->off, &a, p->n_elems);
    }
    *report_out = rep;
    return STATUS_OK;
}

double optim_lr(enum optim_schedule s, double peak, double last, int64_t warmup,
                int64_t n, int64_t u)
{
    static const double pi = 3.14159265358979323846;
    if (u < warmup)
        return peak * (double)(u + 1) / (double)(warmup + 1);
    const double span = n - warmup > 1 ? (double)(n - warmup - 1) : 1.0;
    const double x = (double)(u - warmup) / span;
    const double at = x > 1.0 ? 1.0 : x;
    switch (s) {
    case OPTIM_CONSTANT:
        break;
    case OPTIM_LINEAR:
        return peak + (last - peak) * at;
    case OPTIM_COSINE:
        return last + 0.5 * (peak - last) * (1.0 + cos(pi * at));
    }
    return peak;
}
