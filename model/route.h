/*
 * Which experts a layer's rows go to: shared by forward and recomputation.
 */
#ifndef MODEL_ROUTE_H
#define MODEL_ROUTE_H

#include "model/model.h"

/* Where a forward of n rows has its layers' experts: one after the other. */
void model_place_experts(const struct model *m, struct acts *a, int64_t n);

/* From la->xn2 of layer l (n rows): la->router_logits, la->experts - under replay they
 * are there already - and la->weights; adds to the load while that is counted. */
void model_route(const struct model *m, struct acts *a, const struct layer_acts *la,
                 int64_t l, int64_t n);

#endif
