/*
 * Cases with the outputs that an engine, or the reference program, gave for them: our
 * results against them.
 */
#ifndef TESTS_GRPO_OBJECTIVE_GOLDEN_H
#define TESTS_GRPO_OBJECTIVE_GOLDEN_H

#include <stdint.h>

struct golden_count {
    int64_t n, n_core, n_refused; /* cases; of set "core"; refused by name */
    double worst;                 /* largest relative error */
};

/* Every line of the file: fails the test on a value that is off by more than 1e-9
 * relative to max(1, |value|) (or the case's own tolerance), on a core case that is
 * refused, and on a refusal that names no option. Tokens listed as ties are free. */
void golden_check_file(const char *path, struct golden_count *out);

#endif
