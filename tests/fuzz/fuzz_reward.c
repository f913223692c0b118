/*
 * Extraction and comparison. The input is a gold up to the first newline, then a
 * completion. Whatever they are: the answer lies inside the text, what is paid has the
 * form, and an answer that is paid reads as a gold that pays it again.
 */
#include <string.h>

#include "core/status.h"
#include "reward/reward.h"
#include "tests/fuzz/fuzz.h"

static struct reward_rules *rules;
static struct reward_scratch *scratch;

static void set_up(void)
{
    const bool is_good = reward_rules_create(&rules) == STATUS_OK &&
                         reward_scratch_create(&scratch, rules) == STATUS_OK;
    CHECK(is_good, "%s", status_message());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reward_gold *gold;
    struct reward_result r;
    const char *const text = (const char *)data;
    const char *const end = memchr(text, '\n', size);
    const size_t n = end == NULL ? size : (size_t)(end - text);
    const char *const rest = end == NULL ? text : end + 1;
    const size_t n_rest = size - (size_t)(rest - text);
    if (rules == NULL)
        set_up();
    if (reward_gold_create(&gold, text, n) != STATUS_OK)
        return 0;
    for (int is_truncated = 0; is_truncated < 2; is_truncated++) {
        reward_score(&r, rules, scratch, rest, n_rest, is_truncated != 0, gold);
        CHECK(r.answer_off <= n_rest && r.answer_len <= n_rest - r.answer_off,
              "answer at %zu + %zu of %zu", r.answer_off, r.answer_len, n_rest);
        CHECK(r.is_correct == (r.reason == REWARD_CORRECT), "%s",
              reward_reason_name(r.reason));
        CHECK(!r.is_correct || r.has_form, "paid without the form");
    }
    reward_gold_free(gold);
    return 0;
}
