/*
 * `grpo objective`: cases of other engines' options and log-probs through our
 * objectives, one JSON line out per line in.
 */
#ifndef GRPO_OBJECTIVE_COMMAND_H
#define GRPO_OBJECTIVE_COMMAND_H

#include <stdio.h>

#include "core/status.h"

enum objective_print {
    OBJECTIVE_VALUES,  /* losses, gradients, advantages, as JSON lines */
    OBJECTIVE_EXPLAIN, /* how each option was understood */
    OBJECTIVE_INI      /* our [grpo] options for the case */
};

/* Lines of the file `path` to out, messages to err. A malformed line becomes an
 * error object with its number and the others are still done; the status is then
 * ERR_INPUT. An option that is not supported is an error object too, and no failure. */
int objective_command(const char *path, enum objective_print what, FILE *out,
                      FILE *err) WARN_UNUSED;

#endif
