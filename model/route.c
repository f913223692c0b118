/*
 * Routing: the routers' own choice, or experts recorded earlier (replay); and the load
 * statistics over several forwards. Under replay the own choice is still made, for the
 * caller to compare.
 */
#include "model/route.h"

static int64_t load_width(const struct hparams *hp) { return 2 * hp->n_experts + 1; }

void model_place_experts(const struct model *m, struct acts *a, int64_t n)
{
    for (int64_t l = 0; l < m->hp.n_layers; l++)
        a->layers[l].experts = a->experts + l * n * m->hp.top_k;
}

void model_route(const struct model *m, struct acts *a, const struct layer_acts *la,
                 int64_t l, int64_t n)
{
    struct backend *const b = m->b;
    const int64_t e = m->hp.n_experts, k = m->hp.top_k;
    const struct weight w = model_weight(m, PARAM_ROUTER, l);
    const struct rows x = acts_rows(a, la->xn2);
    if (a->is_replayed) { /* dweights: scratch of a backward that comes later */
        b->route_fwd(b, a->own_experts + l * a->max.n_rows * k, a->dweights,
                     la->router_logits, x, &w, k, n);
        b->router_given(b, la->weights, la->router_logits, la->experts, e, k, n);
    } else {
        b->route_fwd(b, la->experts, la->weights, la->router_logits, x, &w, k, n);
    }
    if (a->is_counting) {
        double *const s = a->load + l * load_width(&m->hp);
        b->router_stats(b, s, s + e, s + 2 * e, la->router_logits, la->experts, e, k,
                        n);
    }
}

void model_replay(const struct model *m, struct acts *a, const int32_t *routes,
                  int64_t n_rows)
{
    CHECK(a->max.mode != ACTS_INFER && n_rows <= a->max.n_rows,
          "replay of %lld rows in arrays of %lld, mode %d", (long long)n_rows,
          (long long)a->max.n_rows, (int)a->max.mode);
    a->is_replayed = routes != NULL;
    const int64_t n = n_rows * m->hp.top_k;
    if (routes != NULL)
        m->b->upload(m->b, a->experts, routes,
                     (size_t)(m->hp.n_layers * n) * sizeof(*routes));
}

static size_t load_bytes(const struct hparams *hp)
{
    return (size_t)(hp->n_layers * load_width(hp)) * sizeof(double);
}

void model_load_start(const struct model *m, struct acts *a)
{
    CHECK(a->max.mode != ACTS_INFER, "load statistics on activations for inference");
    m->b->zero(m->b, a->load, load_bytes(&m->hp));
    a->is_counting = true;
}

void model_load_end(const struct model *m, struct acts *a, double *load)
{
    m->b->download(m->b, load, a->load, load_bytes(&m->hp));
    a->is_counting = false;
}
