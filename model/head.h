/*
 * Backward of the log-prob head, for model/backward.c. The forward is in model/model.h.
 */
#ifndef MODEL_HEAD_H
#define MODEL_HEAD_H

#include "model/model.h"

struct head_grads {
    float *head, *norm; /* += ; arena slices of PARAM_HEAD and PARAM_NORM_F */
};
/* a->dx (n_rows, D) = gradient of x_last. */
void head_bwd(const struct model *m, struct acts *a, const struct model_loss *loss,
              const struct head_grads *g, int64_t n_rows);

#endif
