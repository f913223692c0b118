/*
 * Rotary frequencies and the elementary functions they need, in double, from additions,
 * multiplications and divisions only: the same bits on every machine and with every C
 * library. model/hparams.h offers the finished table.
 */
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H

#include "model/hparams.h"

/* Within 1 unit in the last place. x > 0; exact powers give exact results. */
double rope_log(double x);
double rope_pow(double base, double exponent); /* base > 0; |result's log| < 700 */
/* Within 1 unit in the last place for |x| < 2^50. */
void rope_sincos(double x, double *sin_out, double *cos_out);

/* inv_freq (rot / 2) in double, and the factor on cos and sin. */
void rope_frequencies(const struct rope_params *rope, double *inv_freq_out,
                      double *scale_out);

#endif
