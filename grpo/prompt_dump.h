/*
 * `grpo eval --dump-prompts`: the prompts of a problem set, to be read or compared.
 */
#ifndef GRPO_PROMPT_DUMP_H
#define GRPO_PROMPT_DUMP_H

#include "core/status.h"
#include "grpo/session.h"

/* Writes prompt and answer (the solution, or the gold where the file has no more) of
 * each problem that an evaluation asks; lengths are not looked at. A path that ends in
 * ".json" gets a list as Python's json.dump(rows, f, indent=2, ensure_ascii=False)
 * writes it, any other a line for each as json.dumps(row, ensure_ascii=False). */
int prompt_dump(const struct session *s, const char *data,
                const char *path) WARN_UNUSED;

#endif
