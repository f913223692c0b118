/*
 * Walks the tree of reward/code_run.h. Recursion is bounded by CODE_DEPTH_MAX, work by
 * CODE_STEPS_MAX.
 */
#ifndef REWARD_CODE_EVAL_H
#define REWARD_CODE_EVAL_H

#include "reward/code_run.h"

struct code_args;

enum code_flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE, FLOW_RETURN };

struct value code_eval_expr(struct code_run *r, const struct node *n);
/* A chain of statements; after FLOW_RETURN the value is in r->result. */
enum code_flow code_exec(struct code_run *r, const struct node *n);
bool code_takes_none(const struct function *f); /* callable without arguments */
struct value code_call(struct code_run *r, const struct function *f,
                       const struct code_args *args, const struct node *keywords);

#endif
