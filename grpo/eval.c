/*
 * `grpo eval`: accuracy of a model directory on a problem set; works under mpirun too.
 */
#include <string.h>

#include "core/io.h"
#include "core/log.h"
#include "grpo/commands.h"
#include "grpo/evaluate.h"
#include "grpo/prompt_dump.h"

struct eval_run {
    struct session s;
    struct world world;
    struct dataset *data;
    struct collector *collector;
    struct evaluator evaluator;
};

/* One line per completion: problem, gold, completion, verdict. Rank 0. */
static int write_completions(struct eval_run *e, const char *path)
{
    struct io_file f = {0};
    struct buf line = {0}, text = {0};
    const struct groups *const g = &e->evaluator.g;
    int status = io_create(&f, path);
    for (int64_t i = 0; status == STATUS_OK && i < g->n_groups * g->n_samples; i++) {
        const int64_t p = i / g->n_samples, s = i % g->n_samples;
        const struct sample_info *const info = groups_info(g, p, s);
        const char *const q = dataset_question(e->data, p);
        const char *const gold = reward_gold_text(dataset_gold(e->data, p));
        collector_text(e->s.tokenizer, g, p, s, &text);
        buf_reset(&line);
        buf_printf(&line, "{\"index\":%lld,\"sample\":%lld,\"question\":", (long long)p,
                   (long long)s);
        buf_put_json_string(&line, q, strlen(q));
        buf_puts(&line, ",\"gold\":");
        buf_put_json_string(&line, gold, strlen(gold));
        buf_puts(&line, ",\"response\":");
        buf_put_json_string(&line, text.data == NULL ? "" : text.data, text.len);
        buf_printf(&line, ",\"correct\":%s,\"reason\":\"%s\",\"finish\":\"%s\"}\n",
                   info->is_correct ? "true" : "false",
                   reward_reason_name((enum reward_reason)info->reason),
                   finish_name((enum finish)info->finish));
        status = io_write(&f, line.data, line.len);
    }
    if (status == STATUS_OK)
        status = io_close(&f, true);
    else
        io_abandon(&f);
    buf_release(&line);
    buf_release(&text);
    return status;
}

static int load(struct eval_run *e, const char *dir, const char *data)
{
    const struct config *const c = &e->s.config;
    const int64_t max_new = c->eval.max_new > 0 ? c->eval.max_new : c->rollout.max_new;
    TRY(session_load(&e->s, dir, c->data.max_prompt + max_new, c->model.softmax, true));
    TRY(dataset_load(&e->data, data, c->data.eval_limit, &e->s));
    const struct collector_setup cs = {
        .m = &e->s.model,
        .t = e->s.tokenizer,
        .world = &e->world,
        .config = c,
        .limits = {.n_slots = c->rollout.slots,
                   .max_prompt = c->data.max_prompt,
                   .max_new = max_new,
                   .n_prefill = c->rollout.prefill_tokens}};
    TRY(collector_create(&e->collector, &cs));
    const struct eval_setup es = {.collector = e->collector,
                                  .world = &e->world,
                                  .data = e->data,
                                  .config = c,
                                  .tokenizer = e->s.tokenizer};
    return evaluator_init(&e->evaluator, &es);
}

static int run(struct eval_run *e, const char *dir, const char *data,
               const char *out_path)
{
    struct eval_result r;
    struct buf json = {0};
    const double start = session_seconds();
    TRY(comm_agree(e->world.all, load(e, dir, data)));
    TRY(evaluator_run(&e->evaluator, &r));
    if (e->world.rank != 0)
        return STATUS_OK;
    log_info(
        "%lld problems in %.1f s: accuracy %.2f%% [%.2f, %.2f]; %.1f%% in the required "
        "form, %.1f%% of those right; %.1f tokens; %lld cut at the limit",
        (long long)r.n, session_seconds() - start, 100.0 * r.accuracy, 100.0 * r.lo,
        100.0 * r.hi, 100.0 * r.form, 100.0 * r.accuracy_given_form, r.mean_tokens,
        (long long)r.n_truncated);
    eval_result_json(&r, &json);
    printf("%s\n", json.data);
    buf_release(&json);
    return out_path == NULL ? STATUS_OK : write_completions(e, out_path);
}

/* words: [MODEL] DATA. Without a model there is no tokenizer; not all presets need one.
 */
static int dump(struct session *s, const struct args *a, const char *path)
{
    const char *const dir = a->n_words == 2 ? a->words[0] : s->config.model.tokenizer;
    if (dir[0] != '\0')
        TRY(session_load_text(s, dir));
    return comm_rank(s->program->world) == 0
               ? prompt_dump(s, a->words[a->n_words - 1], path)
               : STATUS_OK;
}

int command_eval(const struct program *p, int argc, char *const *argv)
{
    struct args_flag flags[] = {{"--out", true, NULL}, {"--dump-prompts", true, NULL}};
    struct args a;
    struct config c;
    TRY(args_parse(&a, flags, (int)ARRAY_LEN(flags), argc, argv));
    const char *const dump_path = flags[1].value;
    if (a.n_words != 2 && (a.n_words != 1 || dump_path == NULL))
        return ERR(
            ERR_USAGE,
            "usage: grpo eval MODEL DATA.jsonl [--out FILE.jsonl]\n"
            "       grpo eval [MODEL] DATA.jsonl --dump-prompts FILE.jsonl|.json");
    TRY(config_parse(&c, a.n_overrides, a.overrides));
    struct eval_run e = {0};
    c.run.is_colocated = true;
    int status = session_open(&e.s, p, &c);
    if (status == STATUS_OK && dump_path != NULL) {
        status = dump(&e.s, &a, dump_path);
        session_close(&e.s);
        return status;
    }
    if (status == STATUS_OK)
        status = world_init(&e.world, p->world, &e.s.config);
    if (status == STATUS_OK)
        status = run(&e, a.words[0], a.words[1], flags[0].value);
    evaluator_release(&e.evaluator);
    collector_free(e.collector);
    dataset_free(e.data);
    world_release(&e.world);
    session_close(&e.s);
    return status;
}
