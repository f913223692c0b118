/*
 * Checkpoints of a GRPO run. Everything is the same for every split into ranks:
 * state.json holds updates made, the seed, the place in the data and the evaluation
 * before training; trainer/pending.safetensors the samples that were generated ahead
 * (grpo.staleness) - saved, since to generate them again would need the weights from
 * before the last update, which are larger than the samples on all but toy runs -;
 * trainer/ref.safetensors a reference that has moved.
 */
#include <string.h>

#include "core/io.h"
#include "core/log.h"
#include "grpo/trainer.h"
#include "model/checkpoint.h"
#include "rollout/groups_file.h"

static const char pending_name[] = "pending.safetensors";
static const char ref_name[] = "ref.safetensors";

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

static int read_draw(struct trainer *t, const json_t *state, const char *where)
{
    const json_t *const p = json_object_get(state, "pending");
    struct draw *const d = &t->now->draw;
    const int64_t max = INT64_MAX;
    if (!json_is_object(p))
        return ERR(ERR_INPUT, "%s: state.json has no \"pending\" for %s", where,
                   pending_name);
    *d = (struct draw){.cursor = t->cursor};
    TRY(json_get_int(p, "prompts", 0, max, &d->n_prompts, NULL, where));
    TRY(json_get_int(p, "rounds", 0, max, &d->n_rounds, NULL, where));
    TRY(json_get_int(p, "samples", 0, max, &d->n_samples, NULL, where));
    TRY(json_get_int(p, "correct", 0, max, &d->n_correct, NULL, where));
    return json_get_real(p, "reward", &d->reward, NULL, where);
}

/* Samples that were generated ahead; on every rank, whole. */
static int read_pending(struct trainer *t, const json_t *state, const char *dir)
{
    char *const path = checkpoint_trainer_path(dir, pending_name);
    int status = STATUS_OK;
    if (!io_exists(path))
        goto out;
    status = groups_load(&t->now->g, path);
    if (status != STATUS_OK) {
        status_prefix(status, "samples generated ahead; continue with the same "
                              "grpo.prompts, rollout.group_size, rollout.max_new and "
                              "data.max_prompt");
        goto out;
    }
    TRY_OUT(read_draw(t, state, dir));
    t->now->step = t->step;
    t->now->is_on_policy = false;
out:
    mem_free(path);
    return status;
}

static int read_reference(struct trainer *t, const char *dir)
{
    char *const path = checkpoint_trainer_path(dir, ref_name);
    const int status = t->has_ref && io_exists(path) ? reference_load(&t->ref, path)
                                                     : STATUS_OK;
    mem_free(path);
    return status;
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
    t->cursor = step * t->s.config.grpo.prompts; /* checkpoints without a cursor */
    TRY(json_get_int(state, "cursor", 0, INT64_MAX, &t->cursor, NULL, where));
    if (t->learner != NULL)
        learner_optim(t->learner)->n_updates = updates;
    TRY(read_pending(t, state, where));
    return read_reference(t, where);
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

static bool has_pending(const struct trainer *t) { return t->now->step == t->step; }

static void put_state(const struct trainer *t, struct buf *out)
{
    const struct optim *const o = learner_optim(t->learner);
    buf_printf(out, "{\"kind\":\"grpo\",\"updates\":%lld,\"seed\":%lld,\"cursor\":%lld",
               (long long)o->n_updates, (long long)t->s.config.run.seed,
               (long long)t->cursor);
    if (has_pending(t)) {
        const struct draw *const d = &t->now->draw;
        buf_printf(out,
                   ",\"pending\":{\"prompts\":%lld,\"rounds\":%lld,"
                   "\"samples\":%lld,\"correct\":%lld,\"reward\":%.17g}",
                   (long long)d->n_prompts, (long long)d->n_rounds,
                   (long long)d->n_samples, (long long)d->n_correct, d->reward);
    }
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

/* The files of struct checkpoint's `extra` */
static int save_extra(const char *dir, void *user)
{
    const struct trainer *const t = user;
    char *const pending = io_join(dir, pending_name);
    char *const ref = io_join(dir, ref_name);
    int status = STATUS_OK;
    if (has_pending(t))
        TRY_OUT(groups_save(&t->now->g, pending));
    if (t->has_ref && t->ref.is_moved)
        TRY_OUT(reference_save(&t->ref, ref));
out:
    mem_free(pending);
    mem_free(ref);
    return status;
}

static int64_t extra_bytes(const struct trainer *t)
{
    const int64_t ref = t->has_ref && t->ref.is_moved
                            ? t->s.model.table.n_elems * (int64_t)sizeof(float)
                            : 0;
    return ref + (has_pending(t) ? groups_file_bytes(&t->now->g) : 0);
}

static int save(struct trainer *t)
{
    const struct config *const c = &t->s.config;
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
                                    .extra = save_extra,
                                    .user = t,
                                    .extra_bytes = extra_bytes(t),
                                    .tokenizer_dir = text_dir,
                                    .max_shard_bytes = c->checkpoint.shard_mb * 1000000,
                                    .keep_last = c->checkpoint.keep_last,
                                    .keep_every = c->checkpoint.keep_every};
    watchdog_beat("checkpoint");
    const int status = checkpoint_save(c->run.dir, t->step, &what);
    buf_release(&state);
    return status;
}

int trainer_save(struct trainer *t)
{
    if (has_pending(t))
        TRY(draw_gather(t, t->now));
    return comm_agree(t->world.all, t->world.rank == 0 ? save(t) : STATUS_OK);
}
