/* What the tests of the verifier share. */
#ifndef TESTS_REWARD_VERIFIER_H
#define TESTS_REWARD_VERIFIER_H

#include <stdint.h>

#include "reward/reward.h"

struct verifier {
    struct reward_rules *rules;
    struct reward_scratch *scratch;
};

/* A failure fails the test. */
void verifier_init(struct verifier *v, const struct reward_options *o);
void verifier_release(struct verifier *v);
struct reward_gold *verifier_gold(const struct verifier *v, const char *text);
/* One completion against one gold, with what holds of every result checked. */
struct reward_result verifier_score(const struct verifier *v, const char *text,
                                    size_t len, bool is_truncated, const char *gold);

/* A completion, or an answer alone, and whether it is right. */
struct verifier_pair {
    const char *gold, *text;
    bool is_paid;
};
enum reward_reason verifier_verdict(const struct verifier *v, const char *gold,
                                    const char *text, enum reward_kind kind);
/* With the default options; names every pair that is judged otherwise. */
void verifier_check(const struct verifier_pair *pairs, int64_t n,
                    enum reward_kind kind);

#endif
