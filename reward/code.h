/*
 * Answers written as Python: finds the program in a completion and evaluates it in an
 * own interpreter of the arithmetic subset. Nothing is executed: no names but the
 * program's own and the built-in functions listed below, bounded steps, memory and
 * nesting, no globals, re-entrant, time linear in the text.
 *
 * Which program
 *   1. `<llm-code>` blocks (the form of OpenMathInstruct-1), if the last one is closed.
 *      The blocks are one session, as in a notebook: a later one sees the names of the
 *      earlier ones. The value is that of the last block: its last expression line;
 *      without one the value last printed; else the name last assigned.
 *   2. Otherwise functions (the form of TinyGSM): every `def name(` at the start of a
 *      line, fenced by ``` or not. A fence that holds a `def` is read whole, with its
 *      other lines; outside fences a function ends where its indentation does, and only
 *      imports are read beside it. The value is what simple_math_problem() returns,
 *      else the last function that can be called without arguments; without any such
 *      function, or when it returns None, the value last printed.
 *   Earlier parts that fail count as absent; what the last part does decides. The
 *   letters "def" in prose are no program.
 *   A printed value is the only argument of print() that is not a plain string; after
 *   an f-string, or several values, what was printed last is not known.
 *
 * The language
 *   int (exact to CODE_INT_BITS), float (IEEE double), bool, None, list, tuple, range;
 *   strings may be printed and compared, no more. + - * / // % ** and comparisons as
 *   Python defines them, chained; and or not, in, is None, x if c else y; indexing and
 *   slices; assignment to names, items and tuples, also augmented; if, for, while (with
 *   else), break, continue, pass, assert, raise, return, def with defaults, keyword
 *   arguments and type hints. round int float bool abs min max sum len range sorted
 *   list tuple print divmod pow; list.append; math.ceil, floor, sqrt and pi.
 *   sum adds floats one by one, as Python does up to 3.11.
 *   Everything else is CODE_UNSUPPORTED: syntax where it is read, operations and names
 *   (open, eval, str) where they are reached. An f-string is never looked into.
 */
#ifndef REWARD_CODE_H
#define REWARD_CODE_H

#include <stdbool.h>
#include <stddef.h>

enum code_status {
    CODE_NONE,        /* no program in the text */
    CODE_VALUE,       /* the program has a value */
    CODE_UNSUPPORTED, /* outside the subset, or its value is a string or a function */
    CODE_FAULT,       /* Python would raise an exception, or there is no value */
    CODE_LIMIT        /* a limit below was hit */
};

enum {
    CODE_TEXT_MAX = 2048,     /* bytes of a value's text, with its NUL */
    CODE_INT_BITS = 4096,     /* of an int */
    CODE_STEPS_MAX = 200000,  /* evaluated nodes, and words touched by big ints */
    CODE_NODES_MAX = 20000,   /* of the parsed program */
    CODE_NAMES_MAX = 2000,    /* different names */
    CODE_NEST_MAX = 64,       /* brackets and blocks inside each other */
    CODE_DEPTH_MAX = 800,     /* of the evaluation, calls included */
    CODE_ITEMS_MAX = 10000,   /* of a list or tuple */
    CODE_MEMORY_MAX = 8 << 20 /* bytes */
};

struct code_value {
    enum code_status status;
    bool is_float;   /* the value is a float, not a list with one in it */
    size_t from, to; /* the program in the text, from its first part up to the end of
                        its last, blanks behind it left out; 0, 0: CODE_NONE */
    size_t len;      /* of text, without its NUL; 0 unless CODE_VALUE */
    char text[CODE_TEXT_MAX]; /* as Python's repr prints it: int, float ("inf" and
                                 "nan" too), bool, or list or tuple of them */
};

/* Whether the text holds a piece of a program, one that code_eval reads or not: a `def
 * name(` anywhere, an <llm-code> tag, or a ``` fence of Python. No number in such a
 * text is an answer by itself. Linear, no allocation. */
bool code_is_in(const char *text, size_t len);
/* The value of the program in a whole completion. Never fails: every text has a status.
 * Allocates only when there is a program, and frees all of it; needs up to 1 MiB of
 * stack. */
void code_eval(struct code_value *out, const char *text, size_t len);
const char *code_status_name(enum code_status s); /* "none", "value", ... */

#endif
