/*
 * Other engines' option names in terms of ours. Each engine has one table: its option,
 * the default, and either our key that takes the value or nothing, where the engine's
 * `map` decides from several options together. What comes out is a list of settings in
 * our [grpo] options, which --as ours prints and the evaluation runs from, and how the
 * batch is cut into micro-batches, which in training is the engine's loop, not an
 * option.
 */
#ifndef GRPO_OBJECTIVE_ENGINE_H
#define GRPO_OBJECTIVE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/status.h"
#include "grpo/config.h"
#include "grpo/objective_case.h"
#include "grpo/objective_recipe.h"

enum engine_value {
    ENGINE_NUMBER,
    ENGINE_BOOL,
    ENGINE_WORD,    /* one of `words` */
    ENGINE_NUMBERS, /* array */
    ENGINE_TEXT     /* string or number, for `map` */
};

struct engine_option {
    const char *name;
    enum engine_value type;
    bool is_nullable;
    const char *def;   /* as JSON */
    const char *ours;  /* our key; NULL: `map` decides */
    const char *words; /* "theirs=ours|...": what a WORD becomes; nothing behind "="
                          where `map` decides */
};

enum { ENGINE_MAX_SETTINGS = 64, ENGINE_VALUE_LEN = 512 };

struct engine_setting {
    const char *theirs; /* option it comes from; "" the engine's own way */
    const char *key;    /* ours */
    char value[ENGINE_VALUE_LEN];
};

/* How losses of micro-batches are cut and divided. */
struct engine_cut {
    int64_t n_micro; /* equal slices in order; 0: micro_batch sequences each */
    int64_t micro_batch;
    double grad_steps; /* TRL: micro-batches per optimiser step */
    bool is_trl;
    bool uses_given_old;   /* else the ratio is 1: old = logp */
    bool knows_rollout;    /* else behaviour = old */
    bool is_bypass;        /* the ratio is against logp_rollout */
    bool is_reward_bypass; /* the KL in the reward takes logp_rollout as policy */
    bool is_first_reward;  /* of several reward functions only the first counts */
    bool is_counted_late;  /* tokens are counted after rejection */
    bool is_width_given;   /* padded width from input.width */
};

struct mapping {
    const struct engine *engine;
    json_t *given; /* options of the case, borrowed; NULL: none */
    int64_t n;
    struct engine_setting settings[ENGINE_MAX_SETTINGS];
    struct engine_cut cut;
    uint64_t used;    /* bit i: option i of the table had a part */
    struct buf notes; /* lines about what has no option of ours */
};

struct engine {
    const char *name, *version;
    const struct engine_option *options;
    int64_t n_options;
    int (*map)(struct mapping *m, const struct objective_case *c);
};

extern const struct engine engine_trl, engine_verl;

/* The shortest decimal that reads back to the same double; finite. */
void engine_number_text(char *out, size_t room, double v);

/* ERR_CONFIG names the option or value that has no counterpart. */
int mapping_make(struct mapping *m, const struct objective_case *c) WARN_UNUSED;
void mapping_release(struct mapping *m);
/* The settings over c's values, and the recipe that comes of them. Messages name the
 * engine's option. */
int mapping_apply(const struct mapping *m, struct config *c,
                  struct recipe *out) WARN_UNUSED;
/* Lines "theirs = value -> ours = value"; then what was given without effect. */
void mapping_explain(const struct mapping *m, struct buf *out);
void mapping_ini(const struct mapping *m, struct buf *out);

/* For the engines' map functions. Values by their option names; absent: the default. */
double mapping_number(struct mapping *m, const char *name);
bool mapping_bool(struct mapping *m, const char *name);
bool mapping_is_null(struct mapping *m, const char *name);
/* The word or text; a number in full precision. Valid until the next call. */
const char *mapping_text(struct mapping *m, const char *name, char *buf, size_t room);
bool mapping_is(struct mapping *m, const char *name, const char *word);
/* A different default for one case, in the engine's trainers; given values stay. */
bool mapping_is_given(const struct mapping *m, const char *name);
void mapping_put(struct mapping *m, const char *theirs, const char *key,
                 const char *value);
void mapping_put_number(struct mapping *m, const char *theirs, const char *key,
                        double value);
/* The option's value as it stands in the table's row. */
int mapping_copy(struct mapping *m, const char *name) WARN_UNUSED;
int mapping_refuse(struct mapping *m, const char *name) WARN_UNUSED;

#endif
