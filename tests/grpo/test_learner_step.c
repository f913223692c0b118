/*
 * Recipes in the learner: the loss of each against the same formulas put together here
 * from plain arrays, with recorded log-probs that another policy might have given; and
 * the same bits however the mini-batch is cut.
 */
#include <math.h>
#include <string.h>

#include "core/rng.h"
#include "grpo/objective_step.h"
#include "tests/grpo/learner_setting.h"

struct recipe_case {
    const char *words[8];
    bool has_reference, is_loss_checked;
};

static const struct recipe_case cases[] = {
    {{"grpo.preset=verl"}, false, true},
    {{"grpo.preset=trl"}, false, true},
    {{"grpo.preset=paper", "grpo.micro_loss_tokens=60"}, true, true},
    {{"grpo.preset=dapo"}, false, true},
    {{"grpo.preset=dr_grpo"}, false, true},
    {{"grpo.preset=gspo"}, false, true},
    {{"grpo.preset=cispo"}, false, true},
    {{"grpo.advantage=reinforce_pp", "grpo.gamma=0.9", "grpo.reward_kl_coef=0.1"},
     true,
     true},
    {{"grpo.advantage=reinforce_pp_baseline", "grpo.truncated=mask",
      "grpo.aggregation=sequence_mean"},
     false,
     true},
    {{"grpo.advantage=rloo", "grpo.reward_kl_coef=0.2", "grpo.reward_kl=k3",
      "grpo.objective=sapo", "grpo.aggregation=padded"},
     true,
     true},
    {{"grpo.advantage=opo", "grpo.objective=vespo", "grpo.aggregation=micro_token_mean",
      "grpo.micro_seqs=5", "grpo.is_correction=token_truncate"},
     false,
     true},
    {{"grpo.advantage=batch_std", "grpo.adv_whiten=batch", "grpo.objective=gmpo",
      "grpo.truncated=mask"},
     false,
     true},
    {{"grpo.objective=geo_mean", "grpo.count_eps=1e-8", "grpo.zero_variance=drop"},
     false,
     true},
    {{"grpo.objective=rloo", "grpo.off_policy_mask=true", "grpo.off_policy_max=0"},
     false,
     true},
    {{"grpo.off_policy_mask=true", "grpo.off_policy_max=0.05", "grpo.ratio=sequence"},
     false,
     true},
    {{"grpo.objective=kl_cov", "grpo.cov_share=0.2", "grpo.zero_variance=drop"},
     false,
     true},
    {{"grpo.objective=dppo_kl", "grpo.clip_low=0.05", "grpo.clip_high=0.05"},
     false,
     true},
    {{"grpo.old_logp=learner", "grpo.is_correction=sequence_truncate",
      "grpo.is_normalised=true", "grpo.reject=token_k1", "grpo.reject_limit=0.8_1.3",
      "grpo.reject_counts=after", "grpo.advantage=opo"},
     false,
     true},
    {{"grpo.correct_with=current", "grpo.is_correction=token_mask", "grpo.is_high=1.2",
      "grpo.is_normalised=true", "grpo.reject=seq_mean_k3", "grpo.reject_limit=0.02",
      "grpo.objective=gpg", "grpo.aggregation=sequence_mean"},
     false,
     true},
    {{"grpo.entropy_quantile=0.3", "grpo.entropy_coef=0.1",
      "grpo.entropy_aggregation=micro_token_mean", "grpo.micro_seqs=7"},
     false,
     false},
    {{"grpo.kl_coef=0.1", "grpo.kl_weighted=true", "grpo.kl=k3_clamped+",
      "grpo.kl_aggregation=sequence_mean"},
     true,
     false},
};

static void start_case(struct setting *x, const struct recipe_case *k, int64_t budget,
                       int threads)
{
    static char words[][40] = {"rollout.group_size=4",     "rollout.max_new=24",
                               "rollout.temperature=0.85", "data.max_prompt=80",
                               "grpo.prompts=6",           "grpo.leaves=4"};
    char copies[8][64], *argv[16];
    int n = 0;
    start(x, 3, DTYPE_F32);
    config_release(&x->c);
    for (int64_t i = 0; i < ARRAY_LEN(words); i++)
        argv[n++] = words[i];
    for (int i = 0; i < 8 && k->words[i] != NULL; i++) {
        snprintf(copies[i], sizeof(copies[i]), "%s", k->words[i]);
        argv[n++] = copies[i];
    }
    assert_int_equal(config_parse(&x->c, n, argv), 0);
    x->c.learner.micro_tokens = budget;
    cpu_backend_release(&x->s.b);
    assert_int_equal(cpu_backend_init(&x->s.b, CPU_ISA_AUTO, threads), 0);
    if (k->has_reference)
        start_ref(x);
    start_learner(x);
    for (int64_t i = 0; i < P * G; i++)
        x->g.info[i].finish = i % 5 == 0 ? FINISH_LENGTH : FINISH_EOS;
}

/* Recorded log-probs as another policy might have had them. */
static void tamper(struct setting *x)
{
    for (int64_t i = 0; i < P * G; i++)
        for (int64_t t = 0; t < x->g.info[i].n_tokens; t++)
            x->g.logp[i * MAX_NEW + t] += 0.2f * rng_normal(77, RNG_TEST, (uint32_t)i,
                                                            (uint32_t)t, 0, 0);
}

/* Everything of a step in plain arrays; STEP_MAX tokens at most */
enum { STEP_MAX = P * G * MAX_NEW };
struct plain {
    struct recipe r;
    int64_t group[P * G], off[P * G + 1];
    double reward[P * G], logp[STEP_MAX], recorded[STEP_MAX], zero[STEP_MAX];
    uint8_t mask[STEP_MAX], kept[STEP_MAX], policy[STEP_MAX], top[STEP_MAX];
    double adv[P * G], advs[STEP_MAX], weights[STEP_MAX], penalty[STEP_MAX];
    double work[ADVANTAGE_WORK * P * G + STEP_MAX];
    struct objective_cov cov[STEP_MAX];
    bool is_used[P * G];
};

static void read_plain(struct plain *p, const struct setting *x, const float *true_logp)
{
    memset(p, 0, sizeof(*p));
    assert_int_equal(recipe_init(&p->r, &x->c), 0);
    for (int64_t i = 0; i < P * G; i++) {
        const struct sample_info *const info = &x->g.info[i];
        p->group[i] = i / G;
        p->reward[i] = (double)info->reward;
        p->off[i + 1] = p->off[i] + info->n_tokens;
        p->is_used[i] = x->c.grpo.zero_variance == 0 || i / G != FLAT;
        for (int64_t t = 0; t < info->n_tokens; t++) {
            const int64_t at = p->off[i] + t;
            p->logp[at] = (double)true_logp[i * MAX_NEW + t];
            p->recorded[at] = (double)x->g.logp[i * MAX_NEW + t];
            p->mask[at] = !(p->r.is_truncated_masked && info->finish == FINISH_LENGTH);
        }
    }
    memcpy(p->kept, p->mask, sizeof(p->mask));
}

static double count(const struct plain *p, const uint8_t *mask, int64_t first,
                    int64_t end)
{
    double n = 0.0;
    for (int64_t i = first; i < end; i++)
        for (int64_t t = p->off[i]; p->is_used[i] && t < p->off[i + 1]; t++)
            n += mask[t];
    return n;
}

/* Tokens and sequences of the micro-batch of used sequence i */
static void chunk_of(struct plain *p, int64_t i, struct aggregate_counts *c)
{
    const uint8_t *const mask = p->r.is_rejected_counted ? p->mask : p->kept;
    const double n_chunks = ceil(c->n_tokens / (double)p->r.micro_loss_tokens);
    int64_t chunk[P * G], n_used = 0;
    double before = 0.0;
    for (int64_t j = 0; j < P * G; j++) {
        if (!p->is_used[j])
            continue;
        chunk[j] = p->r.micro_seqs > 0 ? n_used / p->r.micro_seqs
                                       : (int64_t)(before / c->n_tokens * n_chunks);
        before += count(p, mask, j, j + 1);
        n_used++;
    }
    c->micro_tokens = c->micro_seqs = 0.0;
    for (int64_t j = 0; j < P * G; j++)
        if (p->is_used[j] && chunk[j] == chunk[i]) {
            c->micro_tokens += count(p, mask, j, j + 1);
            c->micro_seqs += 1.0;
        }
}

static void prepare(struct plain *p)
{
    const bool is_now = p->r.is_corrected_now;
    const bool has_is = p->r.correction.is != IS_NONE;
    struct objective_step s = {
        .n_seqs = P * G,
        .n_groups = P,
        .n_rewards = 1,
        .group = p->group,
        .off = p->off,
        .reward = p->reward,
        .mask = p->mask,
        .old = p->r.is_old_recomputed ? p->logp : p->recorded,
        .behaviour = p->recorded,
        .ref = p->logp, /* the reference is the policy still */
        .advantage = p->adv,
        .advantages = p->advs,
        .weights = has_is && !is_now ? p->weights : NULL,
        .kept = p->r.correction.n_rules > 0 && !is_now ? p->kept : NULL,
        .penalty = p->r.reward_kl_coef != 0.0 ? p->penalty : NULL,
        .work = p->work};
    assert_int_equal(objective_step_run(&s, &p->r), 0);
    if (is_now)
        objective_correct(p->weights, p->policy, p->logp, p->recorded, p->mask, p->off,
                          0, P * G, &p->r.correction, p->work);
    if (objective_needs_covariance(p->r.objective.kind)) {
        uint8_t used[STEP_MAX];
        for (int64_t i = 0; i < P * G; i++)
            for (int64_t t = p->off[i]; t < p->off[i + 1]; t++)
                used[t] = p->is_used[i] && p->kept[t];
        objective_cov_mask(p->top, p->advs, p->logp, used, p->off[P * G],
                           p->r.cov_share, p->cov);
    }
}

static double plain_loss(struct plain *p)
{
    const struct recipe *const r = &p->r;
    const uint8_t *const counted = r->is_rejected_counted ? p->mask : p->kept;
    struct objective_sums sums = {0};
    struct aggregate_counts c = {.n_tokens = count(p, counted, 0, P * G),
                                 .constant = r->norm_tokens,
                                 .eps = r->objective.count_eps};
    double loss = 0.0, dlogp[MAX_NEW], dent[MAX_NEW], work[OBJECTIVE_WORK * MAX_NEW];
    prepare(p);
    c.n_tokens = count(p, counted, 0, P * G);
    for (int64_t i = 0; i < P * G; i++) {
        c.n_seqs += p->is_used[i];
        if (p->is_used[i])
            c.width = fmax(c.width, (double)(p->off[i + 1] - p->off[i]));
    }
    for (int64_t i = 0; i < P * G; i++) {
        const int64_t at = p->off[i];
        if (!p->is_used[i])
            continue;
        struct objective_sample in = {
            .n = p->off[i + 1] - at,
            .logp = p->logp + at,
            .logp_old = (r->is_old_recomputed ? p->logp : p->recorded) + at,
            .behaviour = p->recorded + at,
            .logp_ref = p->logp + at,
            .entropy = p->zero + at,
            .advantage = p->adv[i],
            .advantages = p->advs + at,
            .mask = p->kept + at,
            .offered = p->mask + at,
            .cov_mask = p->top + at,
            .policy_mask = r->is_corrected_now ? p->policy + at : NULL,
            .weights = r->correction.is != IS_NONE ? p->weights + at : NULL};
        chunk_of(p, i, &c);
        c.seq_tokens = count(p, in.policy_mask == NULL ? p->kept : p->policy, i, i + 1);
        in.scale = objective_is_per_sequence(r->objective.kind)
                       ? 1.0 / c.n_seqs
                       : r->aggregation->fn(&c);
        in.kl_scale = r->kl_aggregation->fn(&c);
        loss += objective_evaluate(dlogp, dent, &sums, &in, &r->objective, work);
    }
    return loss;
}

static void test_losses(void **state)
{
    (void)state;
    for (int64_t k = 0; k < ARRAY_LEN(cases); k++) {
        static struct plain p;
        struct setting x;
        struct learner_report r;
        float true_logp[STEP_MAX];
        start_case(&x, &cases[k], 150, 1);
        memcpy(true_logp, x.g.logp, sizeof(true_logp));
        tamper(&x);
        read_plain(&p, &x, true_logp);
        const double want = plain_loss(&p);
        assert_int_equal(update(&x, false, &r), 0);
        if (cases[k].is_loss_checked && !(fabs(r.sums.loss - want) <= 1e-12))
            fail_msg("%s: loss %.15g, expected %.15g", cases[k].words[0], r.sums.loss,
                     want);
        print_message("  %-40s loss %+.12f\n", cases[k].words[0], r.sums.loss);
        assert_true(r.optim.grad_l2 > 0.0);
        stop(&x);
    }
}

static void find_rejected(void *share, const char *metric, double value)
{
    if (strcmp(metric, "rejected_share") == 0)
        *(double *)share = value;
}

/* The share of the step's tokens that the rules take out, from counts made here; the
 * rules before the step, and those against the current policy. */
static void test_rejected_share(void **state)
{
    (void)state;
    static const struct recipe_case rules[] = {
        {{"grpo.old_logp=learner", "grpo.reject=token_k1",
          "grpo.reject_limit=0.85_1.2"}},
        {{"grpo.old_logp=learner", "grpo.reject=token_k1", "grpo.reject_limit=0.85_1.2",
          "grpo.reject_counts=after", "grpo.zero_variance=drop"}},
        {{"grpo.correct_with=current", "grpo.reject=token_k1",
          "grpo.reject_limit=0.85_1.2"}},
    };
    for (int64_t k = 0; k < ARRAY_LEN(rules); k++) {
        static struct plain p;
        struct setting x;
        struct learner_report r;
        float true_logp[STEP_MAX];
        double n = 0.0, n_rejected = 0.0, share = 0.0;
        start_case(&x, &rules[k], 150, 1);
        memcpy(true_logp, x.g.logp, sizeof(true_logp));
        tamper(&x);
        read_plain(&p, &x, true_logp);
        for (int64_t i = 0; i < P * G; i++)
            for (int64_t t = p.off[i]; p.is_used[i] && t < p.off[i + 1]; t++) {
                const double ratio = exp(p.recorded[t] - p.logp[t]);
                n += 1.0;
                n_rejected += ratio < 0.85 || ratio > 1.2;
            }
        assert_true(n_rejected > 0.1 * n && n_rejected < 0.9 * n);
        assert_int_equal(update(&x, false, &r), 0);
        assert_true(r.sums.n_offered == n && r.sums.n_rejected == n_rejected);
        objective_metrics(&r.sums, find_rejected, &share);
        assert_true(share == n_rejected / n);
        stop(&x);
    }
}

/* Two updates each */
static void run_cut(struct setting *x, const struct recipe_case *k, int64_t budget,
                    int threads, struct learner_report *r)
{
    start_case(x, k, budget, threads);
    tamper(x);
    assert_int_equal(learner_begin(x->l, &x->g), 0);
    for (int i = 0; i < 2; i++) {
        const struct minibatch mb = {.g = &x->g, .n = P, .lr = 1e-3};
        assert_int_equal(learner_update(x->l, &mb, r), 0);
    }
}

static void test_same_bits(void **state)
{
    (void)state;
    static const struct {
        int64_t budget;
        int threads;
    } cuts[] = {{150, 1}, {1, 1}, {100000, 2}};
    for (int64_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct setting first, x;
        struct learner_report want, got;
        run_cut(&first, &cases[k], cuts[0].budget, cuts[0].threads, &want);
        const int64_t n = first.s.w.table.n_elems;
        for (int64_t i = 1; i < ARRAY_LEN(cuts); i++) {
            run_cut(&x, &cases[k], cuts[i].budget, cuts[i].threads, &got);
            assert_memory_equal(&want, &got, sizeof(want));
            assert_memory_equal(learner_optim(first.l)->master,
                                learner_optim(x.l)->master, (size_t)n * sizeof(float));
            stop(&x);
        }
        stop(&first);
    }
}

/* A later mini-batch keeps the step's advantages and recomputed log-probs. */
static void test_mini_batches(void **state)
{
    (void)state;
    const struct recipe_case k = {{"grpo.old_logp=learner", "grpo.mini_batch=3",
                                   "grpo.advantage=reinforce_pp_baseline",
                                   "grpo.entropy_quantile=0.5"}};
    struct setting x;
    struct learner_report r;
    start_case(&x, &k, 150, 1);
    tamper(&x);
    const int64_t before = mem_count();
    assert_int_equal(learner_begin(x.l, &x.g), 0);
    for (int64_t first = 0; first < P; first += P / 2) {
        const struct minibatch mb = {.g = &x.g, .first = first, .n = P / 2, .lr = 1e-3};
        assert_int_equal(learner_update(x.l, &mb, &r), 0);
        /* against the policy at the start of the step, not the tampered record */
        assert_true((r.sums.logp_diff_max == 0.0) == (first == 0));
        assert_true(r.sums.mismatch.abs_max > 0.1);
        assert_true(r.sums.n_kept < r.sums.n_tokens && r.sums.n_kept > 0.0);
    }
    assert_int_equal(mem_count(), before);
    stop(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_rejected_share),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_mini_batches),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
