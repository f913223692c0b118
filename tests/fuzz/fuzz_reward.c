/*
 * Extraction and comparison in every style. The input is a byte that chooses style and
 * policies, a gold up to the first newline, and a completion. Whatever they are: the
 * answer lies inside the text, the reasons agree with the flags, scoring again gives
 * the same, allocates nothing unless code runs, and its work is bounded by the length.
 */
#include <string.h>

#include "core/mem.h"
#include "core/status.h"
#include "reward/reward.h"
#include "tests/fuzz/fuzz.h"

enum { N_POLICIES = 2 };

static struct reward_rules *rules[REWARD_N_STYLES][N_POLICIES];
static struct reward_scratch *scratches[REWARD_N_STYLES][N_POLICIES];

static void set_up(int style, int policy)
{
    const struct reward_options options = {
        .style = style,
        .percent = policy,
        .order = policy,
        .rounding = policy,
        .fractions = policy,
        .code = policy,
    };
    struct reward_rules **const r = &rules[style][policy];
    const bool is_good = reward_rules_create(r, &options) == STATUS_OK &&
                         reward_scratch_create(&scratches[style][policy], *r) ==
                             STATUS_OK;
    CHECK(is_good, "%s", status_message());
}

static void check(const struct reward_result *r, size_t len)
{
    CHECK(r->answer_off <= len && r->answer_len <= len - r->answer_off,
          "answer at %zu + %zu of %zu", r->answer_off, r->answer_len, len);
    CHECK(r->is_correct == (r->reason == REWARD_CORRECT), "%s",
          reward_reason_name(r->reason));
    CHECK(r->rule != NULL && r->rule[0] != 0, "no rule");
}

static void score(struct reward_scratch *s, const struct reward_input *in,
                  const struct reward_gold *gold, bool has_code)
{
    struct reward_result first, again;
    const int64_t n_allocations = mem_count();
    reward_score(&first, s, in, gold);
    check(&first, in->len);
    CHECK(has_code || mem_count() == n_allocations, "allocated");
    reward_score(&again, s, in, gold);
    CHECK(first.reason == again.reason && first.answer_off == again.answer_off &&
              first.answer_len == again.answer_len,
          "%s, then %s", reward_reason_name(first.reason),
          reward_reason_name(again.reason));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reward_gold *gold;
    if (size == 0)
        return 0;
    const int style = data[0] % REWARD_N_STYLES;
    const int policy = data[0] / REWARD_N_STYLES % N_POLICIES;
    const char *const text = (const char *)data + 1;
    const size_t len = size - 1;
    const char *const end = memchr(text, '\n', len);
    const size_t n = end == NULL ? len : (size_t)(end - text);
    struct reward_input in = {.text = text, .len = len};
    if (end != NULL)
        in = (struct reward_input){.text = end + 1, .len = len - n - 1};
    if (rules[style][policy] == NULL)
        set_up(style, policy);
    struct reward_scratch *const s = scratches[style][policy];
    if (reward_gold_create(&gold, s, text, n) != STATUS_OK) {
        CHECK(status_message()[0] != 0, "refused without a word");
        return 0;
    }
    CHECK(reward_gold_text(gold) != NULL, "a gold without a text");
    score(s, &in, gold, policy == 0);
    in.is_truncated = true;
    score(s, &in, gold, policy == 0);
    in.kind = REWARD_ANSWER;
    score(s, &in, gold, policy == 0);
    reward_gold_free(gold);
    return 0;
}
