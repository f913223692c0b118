/*
 * The trajectories of one step: P groups (prompts) of G samples, in fixed slots, so
 * that filling them allocates nothing and any rank can hold any subset. Group p of the
 * step is slot p everywhere.
 *
 * Sample s of group p is row i = p G + s of the per-sample arrays. Log-probabilities
 * are those of the full temperature-scaled distribution at sampling time; NaN: not
 * known (trajectories from elsewhere). routes[t] are the experts of the row that
 * predicted token t: (L, K) ids; prompt_routes those of the prompt's rows, of which the
 * last predicted every sample's token 0.
 */
#ifndef ROLLOUT_GROUPS_H
#define ROLLOUT_GROUPS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/status.h"
#include "reward/reward.h"

/* X(enum, name): why a sample ended */
#define FINISH_LIST(X)                                                                 \
    X(FINISH_EOS, "eos")                                                               \
    X(FINISH_STOP, "stop")                                                             \
    X(FINISH_LENGTH, "length")

enum finish {
#define X(id, name) id,
    FINISH_LIST(X)
#undef X
};
const char *finish_name(enum finish f);

struct sample_info {
    int32_t n_tokens; /* eos or stop tokens included; >= 1 once generated */
    float reward;
    uint8_t finish, reason; /* enum finish, enum reward_reason */
    bool is_correct, has_form;
};

struct groups {
    int64_t n_groups, n_samples; /* P, G */
    int64_t max_prompt, max_new, route_width;
    bool is_unrouted;         /* routes are not known, in spite of route_width */
    int32_t *prompt;          /* (P, max_prompt) */
    int32_t *n_prompt;        /* (P); 0: not held here */
    uint16_t *prompt_routes;  /* (P, max_prompt, route_width) */
    int64_t *problem;         /* (P) index into the problem set */
    struct sample_info *info; /* (P G) */
    int32_t *tokens;          /* (P G, max_new) */
    float *logp;              /* (P G, max_new) */
    uint16_t *routes;         /* (P G, max_new, route_width) */
    void *block;
    size_t block_bytes;
};

/* route_width: L K, or 0 to record no routes. */
int groups_init(struct groups *g, int64_t n_groups, int64_t n_samples,
                int64_t max_prompt, int64_t max_new, int64_t route_width) WARN_UNUSED;
void groups_release(struct groups *g);
void groups_clear(struct groups *g); /* marks every group as not held */
void groups_set_prompt(struct groups *g, int64_t p, int64_t problem, const int32_t *ids,
                       int64_t n);
int32_t *groups_tokens(const struct groups *g, int64_t p, int64_t s);
float *groups_logp(const struct groups *g, int64_t p, int64_t s);
uint16_t *groups_routes(const struct groups *g, int64_t p, int64_t s);
uint16_t *groups_prompt_routes(const struct groups *g, int64_t p);
struct sample_info *groups_info(const struct groups *g, int64_t p, int64_t s);

/* All rewards of the group are equal: it teaches nothing. */
bool groups_is_flat(const struct groups *g, int64_t p);

/* A whole group as bytes, and back into its slot. */
void groups_put(const struct groups *g, int64_t p, struct buf *out);
/* Reads the groups in `in` one after the other; malformed bytes are ERR_COMM. */
int groups_take(struct groups *g, const struct buf *in) WARN_UNUSED;

#endif
