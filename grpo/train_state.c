/*
 * Checkpoints of a GRPO run. state.json holds only what is the same for every split
 * into ranks: updates made, the seed, the evaluation before training.
 */
#include <string.h>

#include "core/io.h"
#include "core/log.h"
#include "grpo/trainer.h"
#include "model/checkpoint.h"

/* Rank 0 looks; all ranks get its answer. */
int trainer_find_checkpoint(struct trainer *t, char **dir_out, int64_t *step_out)
{
    struct comm *const all = t->world.all;
    const struct config_run *const run = &t->s.config.run;
    char path[4096] = {0};
    int64_t step = -1;
    int status = STATUS_OK;
    if (t->world.rank == 0 && run->resume != RESUME_NEVER) {
        char *dir = NULL;
        status = checkpoint_find_latest(run->dir, &dir, &step);
        if (status == STATUS_OK && dir == NULL && run->resume == RESUME_MUST)
            status = ERR(ERR_INPUT, "%s: run.resume=must, but there is no checkpoint",
                         run->dir);
        if (dir != NULL && strlen(dir) >= sizeof(path))
            status = ERR(ERR_INPUT, "%s: the path is too long", dir);
        else if (dir != NULL)
            strcpy(path, dir);
        mem_free(dir);
    }
    TRY(comm_agree(all, status));
    TRY(comm_bcast(all, path, sizeof(path), 0));
    TRY(comm_bcast(all, &step, sizeof(step), 0));
    *dir_out = path[0] == '\0' ? NULL : mem_strdup(path);
    *step_out = step;
    return STATUS_OK;
}

static int read_eval(struct trainer *t, const json_t *state, const char *where)
{
    const json_t *const e = json_object_get(state, "eval_start");
    struct eval_result r = {.n_samples = 1};
    if (!json_is_object(e))
        return STATUS_OK;
    const int64_t max = INT64_MAX;
    TRY(json_get_int(e, "n", 0, max, &r.n, NULL, where));
    TRY(json_get_int(e, "n_samples", 1, max, &r.n_samples, NULL, where));
    TRY(json_get_int(e, "n_correct", 0, max, &r.n_correct, NULL, where));
    TRY(json_get_int(e, "n_form", 0, max, &r.n_form, NULL, where));
    TRY(json_get_int(e, "n_correct_form", 0, max, &r.n_correct_form, NULL, where));
    TRY(json_get_int(e, "n_truncated", 0, max, &r.n_truncated, NULL, where));
    TRY(json_get_int(e, "n_tokens", 0, max, &r.n_tokens, NULL, where));
    eval_result_finish(&r);
    t->eval_start = r;
    t->has_eval_start = true;
    return STATUS_OK;
}

static int read_state(struct trainer *t, const json_t *state, const char *where)
{
    int64_t step = 0, updates = 0, seed = 0;
    TRY(json_get_int(state, "step", 0, INT64_MAX, &step, NULL, where));
    TRY(json_get_int(state, "updates", 0, INT64_MAX, &updates, NULL, where));
    TRY(json_get_int(state, "seed", 0, INT64_MAX, &seed, NULL, where));
    if (seed != t->s.config.run.seed)
        return ERR(
            ERR_CONFIG,
            "%s: the run began with run.seed=%lld, now it is %lld; give the same "
            "seed, or another run.dir",
            where, (long long)seed, (long long)t->s.config.run.seed);
    TRY(read_eval(t, state, where));
    t->step = step;
    if (t->learner != NULL)
        learner_optim(t->learner)->n_updates = updates;
    return STATUS_OK;
}

int trainer_restore(struct trainer *t, const char *dir)
{
    const struct model *const m = &t->s.model;
    struct optim *const o = t->learner == NULL ? NULL : learner_optim(t->learner);
    json_t *state = NULL;
    /* F32 weights are their own master and came with the model directory */
    float *const master = o == NULL || o->copy == NULL ? NULL : o->master;
    TRY(checkpoint_load_trainer_to(m->b, dir, &m->hp, &m->table, master,
                                   o == NULL ? NULL : o->m, o == NULL ? NULL : o->v,
                                   &state));
    const int status = read_state(t, state, dir);
    json_decref(state);
    if (status == STATUS_OK && t->world.rank == 0)
        log_info("resumed from %s after step %lld", dir, (long long)t->step);
    return status;
}

static void put_state(const struct trainer *t, struct buf *out)
{
    const struct optim *const o = learner_optim(t->learner);
    buf_printf(out, "{\"kind\":\"grpo\",\"updates\":%lld,\"seed\":%lld",
               (long long)o->n_updates, (long long)t->s.config.run.seed);
    if (t->has_eval_start) {
        const struct eval_result *const r = &t->eval_start;
        buf_printf(out,
                   ",\"eval_start\":{\"n\":%lld,\"n_samples\":%lld,\"n_correct\":%lld,"
                   "\"n_form\":%lld,\"n_correct_form\":%lld,\"n_truncated\":%lld,"
                   "\"n_tokens\":%lld}",
                   (long long)r->n, (long long)r->n_samples, (long long)r->n_correct,
                   (long long)r->n_form, (long long)r->n_correct_form,
                   (long long)r->n_truncated, (long long)r->n_tokens);
    }
    buf_puts(out, "}");
}

int trainer_save(struct trainer *t)
{
    const struct config *const c = &t->s.config;
    int status = STATUS_OK;
    if (t->world.rank == 0) {
        const struct optim *const o = learner_optim(t->learner);
        const char *const text_dir = c->model.tokenizer[0] != '\0' ? c->model.tokenizer
                                                                   : c->model.path;
        struct buf state = {0};
        put_state(t, &state);
        const struct checkpoint what = {.hp = &t->s.model.hp,
                                        .table = &t->s.model.table,
                                        .b = t->s.weights.b,
                                        .weights = t->s.weights.data,
                                        .dtype = t->s.weights.dtype,
                                        .master = o->copy == NULL ? NULL : o->master,
                                        .adam_m = o->m,
                                        .adam_v = o->v,
                                        .state_json = state.data,
                                        .tokenizer_dir = text_dir,
                                        .max_shard_bytes = c->checkpoint.shard_mb *
                                                           1000000,
                                        .keep_last = c->checkpoint.keep_last,
                                        .keep_every = c->checkpoint.keep_every};
        watchdog_beat("checkpoint");
        status = checkpoint_save(c->run.dir, t->step, &what);
        buf_release(&state);
    }
    return comm_agree(t->world.all, status);
}
