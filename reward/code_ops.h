/*
 * Python's operators and built-in functions on the values of reward/code_run.h. They
 * raise CODE_FAULT for Python's exceptions, CODE_UNSUPPORTED for operands outside the
 * subset, CODE_LIMIT for too large results.
 */
#ifndef REWARD_CODE_OPS_H
#define REWARD_CODE_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "reward/code_run.h"

/* numbers */
bool code_is_int(struct value v);    /* int or bool */
bool code_is_number(struct value v); /* or float */
double code_to_double(struct code_run *r, struct value v);
/* an int as wide; a float has none */
void code_to_wide(struct wide *out, struct value v);
struct value code_from_double(struct code_run *r, double whole); /* the int of it */
struct value code_arithmetic(struct code_run *r, enum lex_kind op, struct value a,
                             struct value b);
int code_number_order(struct code_run *r, struct value a, struct value b);
enum { ORDER_NONE = 2 }; /* with a NaN; else <0, 0, >0 */

/* all values */
bool code_truth(struct code_run *r, struct value v);
struct value code_unary(struct code_run *r, enum lex_kind op, struct value a);
struct value code_binary(struct code_run *r, enum lex_kind op, struct value a,
                         struct value b);
bool code_equal(struct code_run *r, struct value a, struct value b);
bool code_compare(struct code_run *r, enum lex_kind op, struct value a, struct value b);

/* sequences: list, tuple, range */
bool code_is_seq(struct value v); /* list or tuple */
int64_t code_len(struct code_run *r, struct value v);
struct value code_item(struct value v, int64_t i); /* in range */
int64_t code_position(struct code_run *r, struct value index, int64_t n);
struct value code_index(struct code_run *r, struct value base, struct value index);
struct value code_slice(struct code_run *r, struct value base,
                        const struct value part[3]);
struct value code_copy_items(struct code_run *r, enum value_kind kind, struct value v);
void code_append(struct code_run *r, struct seq *s, struct value v);
bool code_contains(struct code_run *r, struct value v, struct value item);
struct value code_sorted(struct code_run *r, struct value v, bool is_reverse);

struct code_args {
    struct value *items;
    int64_t n;
    const struct name *keyword; /* NULL: none */
    struct value keyword_value;
};
/* id: not BUILTIN_OTHER */
struct value code_call_builtin(struct code_run *r, enum builtin id,
                               const struct code_args *args);

#endif
