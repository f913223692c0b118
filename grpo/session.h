/*
 * What every command starts from: the world, the configuration, a backend, and a model
 * with its tokenizer.
 */
#ifndef GRPO_SESSION_H
#define GRPO_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/status.h"
#include "dist/comm.h"
#include "grpo/config.h"
#include "model/model.h"
#include "model/tokenizer.h"

/* Given by main to each command. */
struct program {
    struct comm *world;
    /* Only main.c names a backend. */
    int (*backend_open)(struct backend *b, const struct config *c);
    void (*backend_close)(struct backend *b);
};

/* A command's words: positional ones, --key value pairs, and section.key=value
 * overrides. */
enum { ARGS_MAX_FLAGS = 16, ARGS_MAX_WORDS = 256 };
struct args_flag {
    const char *name; /* "--ids" */
    bool has_value;
    const char *value; /* set by args_parse; "" for a flag without a value */
};
struct args {
    const char *words[ARGS_MAX_WORDS]; /* positional */
    int n_words;
    char *overrides[ARGS_MAX_WORDS]; /* section.key=value */
    int n_overrides;
};
/* Fills flags' values. Unknown flags and missing values are ERR_USAGE. */
int args_parse(struct args *a, struct args_flag *flags, int n_flags, int argc,
               char *const *argv) WARN_UNUSED;

struct session {
    const struct program *program;
    struct config config; /* owned by the session once opened */
    struct backend backend;
    bool has_backend;
    struct weights weights; /* in the backend's memory */
    char *dir;              /* the model's, once loaded; NULL: none */
    struct tokenizer *tokenizer;
    struct model model;
};

/* Sets log level and rank, opens the backend. Takes over *c. */
int session_open(struct session *s, const struct program *p,
                 struct config *c) WARN_UNUSED;
/* Loads weights from `dir` and, unless it has none and is_text is false, the tokenizer
 * (model.tokenizer or dir). n_pos: longest sequence. softmax: enum config_softmax. */
int session_load(struct session *s, const char *dir, int64_t n_pos, int softmax,
                 bool is_text) WARN_UNUSED;
/* The tokenizer alone. */
int session_load_text(struct session *s, const char *dir) WARN_UNUSED;
void session_close(struct session *s);

/* `bytes` of the backend's memory from rank 0 of c to the others, through host memory
 * where it is not that itself */
int session_bcast(struct session *s, struct comm *c, void *data,
                  size_t bytes) WARN_UNUSED;

/* dir/tokenizer.json */
int session_load_tokenizer(struct tokenizer **out, const char *dir) WARN_UNUSED;
double session_seconds(void); /* monotonic */

#endif
