#include "reward/shape.h"

double shape_overlong(const struct shape_options *o, int64_t n_tokens)
{
    const int64_t over = n_tokens - (o->overlong_limit - o->overlong_buffer);
    if (o->overlong_buffer == 0 || over <= 0)
        return 0.0;
    if (over >= o->overlong_buffer)
        return -o->overlong_penalty;
    return -o->overlong_penalty * (double)over / (double)o->overlong_buffer;
}

double shape_reward(const struct shape_options *o, const struct reward_result *r,
                    int64_t n_tokens, bool is_truncated)
{
    const bool is_lost = is_truncated && o->truncation == SHAPE_TRUNCATED_WRONG;
    const double base = is_lost         ? o->wrong
                        : r->is_correct ? o->correct
                                        : o->wrong + (r->has_form ? o->form : 0.0);
    return base + shape_overlong(o, n_tokens);
}
