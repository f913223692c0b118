/*
 * What a checkpoint contains, written and read.
 */
#include "model/checkpoint.h"

#include <string.h>

#include "core/io.h"
#include "core/log.h"
#include "model/checkpoint_private.h"

enum { SCHEMA = 1, KEEP_LAST = 3, MESSAGE_BYTES = 1024 };

static const char state_name[] = "trainer/state.json";
static const char master_name[] = "trainer/master.safetensors";
static const char adam_m_name[] = "trainer/adam_m.safetensors";
static const char adam_v_name[] = "trainer/adam_v.safetensors";

/* Headers and JSON are small beside the tensors; the factor two covers them. */
static int check_space(const char *dir, const struct checkpoint *what)
{
    const int64_t n_f32 = (what->master != NULL) + (what->adam_m != NULL) +
                          (what->adam_v != NULL);
    int64_t bytes, wanted;
    if (!checked_mul(hparams_n_params(what->hp),
                     (int64_t)dtype_bytes(what->dtype) + 4 * n_f32, &bytes) ||
        !checked_add(bytes, what->extra_bytes, &bytes) ||
        !checked_mul(bytes, 2, &wanted))
        wanted = bytes = INT64_MAX;
    const int64_t free_bytes = io_free_bytes(dir);
    if (free_bytes >= 0 && free_bytes < wanted)
        return ERR(ERR_IO,
                   "%s: %.3f GB free, but a checkpoint of %.3f GB is written only with "
                   "twice its size free; make room or keep fewer checkpoints",
                   dir, (double)free_bytes * 1e-9, (double)bytes * 1e-9);
    return STATUS_OK;
}

static int write_state(const char *dir, int64_t step, const char *text)
{
    json_t *state = NULL;
    int status = STATUS_OK;
    char *const path = io_join(dir, state_name);
    TRY_OUT(json_parse(&state, text, strlen(text), "checkpoint state"));
    if (!json_is_object(state) || json_object_get(state, "schema") != NULL ||
        json_object_get(state, "step") != NULL) {
        status = ERR(ERR_INTERNAL,
                     "checkpoint state is %s, expected an object without "
                     "the keys \"schema\" and \"step\"",
                     json_type_name(state));
        goto out;
    }
    json_object_set_new(state, "schema", json_integer(SCHEMA));
    json_object_set_new(state, "step", json_integer(step));
    status = checkpoint_write_json(path, state);
out:
    json_decref(state);
    mem_free(path);
    return status;
}

/* data NULL: nothing to save */
static int save_arena(const char *dir, const char *name, const struct checkpoint *what,
                      const float *data)
{
    if (data == NULL)
        return STATUS_OK;
    char *const path = io_join(dir, name);
    const int status = arena_save_from(what->b, path, what->hp, what->table, data);
    mem_free(path);
    return status;
}

static int save_trainer(const char *dir, int64_t step, const struct checkpoint *what)
{
    if (what->state_json == NULL)
        return STATUS_OK;
    char *const trainer = io_join(dir, "trainer");
    int status = io_mkdirs(trainer);
    if (status == STATUS_OK && what->extra != NULL)
        status = what->extra(trainer, what->user);
    mem_free(trainer);
    TRY(status);
    TRY(save_arena(dir, master_name, what, what->master));
    TRY(save_arena(dir, adam_m_name, what, what->adam_m));
    TRY(save_arena(dir, adam_v_name, what, what->adam_v));
    return write_state(dir, step, what->state_json);
}

static int save_contents(const char *dir, int64_t step, const struct checkpoint *what)
{
    TRY(io_mkdirs(dir));
    TRY(weights_save_from(what->b, dir, what->hp, what->table, what->weights,
                          what->dtype, what->tokenizer_dir, what->max_shard_bytes));
    TRY(save_trainer(dir, step, what));
    return manifest_write(dir);
}

static int check_tokenizer_dir(const struct checkpoint *what)
{
    if (what->tokenizer_dir != NULL && !io_is_dir(what->tokenizer_dir))
        return ERR(ERR_INPUT, "%s: no such directory to copy the tokenizer from",
                   what->tokenizer_dir);
    return STATUS_OK;
}

static int build_and_publish(const char *run_dir, const char *tmp, int64_t step,
                             const struct checkpoint *what)
{
    TRY(save_contents(tmp, step, what));
    return step_publish(run_dir, step);
}

/* A full disk must not stay full of what could not be finished. Keeps the message. */
static void clean_up(const char *run_dir, int status)
{
    char message[MESSAGE_BYTES] = "";
    strncat(message, status_message(), sizeof(message) - 1);
    if (steps_recover(run_dir) != STATUS_OK)
        log_warn("after a failed save: %s", status_message());
    status_set(status, "%s", message);
}

int checkpoint_save(const char *run_dir, int64_t step, const struct checkpoint *what)
{
    CHECK(step >= 0, "checkpoint of step %lld", (long long)step);
    CHECK(what->state_json != NULL ||
              (what->master == NULL && what->adam_m == NULL && what->adam_v == NULL),
          "trainer arenas without a state");
    char *const dir = io_join(run_dir, "checkpoints");
    char *const tmp = step_path(run_dir, step, STEP_TMP);
    int status;
    TRY_OUT(io_mkdirs(dir));
    TRY_OUT(steps_recover(run_dir));
    TRY_OUT(check_space(dir, what));
    TRY_OUT(check_tokenizer_dir(what));
    status = build_and_publish(run_dir, tmp, step, what);
    if (status != STATUS_OK)
        clean_up(run_dir, status);
    else
        status = steps_prune(run_dir, step,
                             what->keep_last > 0 ? what->keep_last : KEEP_LAST,
                             what->keep_every);
out:
    mem_free(dir);
    mem_free(tmp);
    return status;
}

char *checkpoint_trainer_path(const char *dir, const char *name)
{
    char *const trainer = io_join(dir, "trainer");
    char *const path = io_join(trainer, name);
    mem_free(trainer);
    return path;
}

bool checkpoint_has_trainer(const char *dir)
{
    char *const path = io_join(dir, state_name);
    const bool is_there = io_exists(path);
    mem_free(path);
    return is_there;
}

static int read_state(json_t **out, const char *dir)
{
    json_t *state = NULL;
    int64_t schema = 0;
    char *const path = io_join(dir, state_name);
    int status = json_parse_file(&state, path);
    if (status == STATUS_OK)
        status = json_get_int(state, "schema", 0, INT64_MAX, &schema, NULL, path);
    if (status == STATUS_OK && schema != SCHEMA)
        status = ERR(ERR_INPUT, "%s: \"schema\" is %lld, this program reads %d", path,
                     (long long)schema, SCHEMA);
    mem_free(path);
    if (status == STATUS_OK)
        *out = state;
    else
        json_decref(state);
    return status;
}

static int load_arena(struct backend *b, const char *dir, const char *name,
                      const struct hparams *hp, const struct param_table *t,
                      float *data)
{
    if (data == NULL)
        return STATUS_OK;
    char *const path = io_join(dir, name);
    const int status = arena_load_to(b, path, hp, t, data);
    mem_free(path);
    return status;
}

/* The weights are their own master when they were trained in fp32. */
static int master_from_weights(struct backend *b, const char *dir,
                               const struct param_table *t, float *master)
{
    const size_t bytes = (size_t)t->n_elems * sizeof(float);
    struct weights w = {0};
    TRY(weights_load_in(&w, t->layout, dir, -1));
    int status = STATUS_OK;
    if (w.dtype != DTYPE_F32)
        status = ERR(ERR_INPUT,
                     "%s: %s is missing and the weights are %s, expected F32", dir,
                     master_name, dtype_name(w.dtype));
    else if (w.table.n_elems != t->n_elems)
        status = ERR(ERR_INPUT, "%s: the weights have %lld elements, expected %lld",
                     dir, (long long)w.table.n_elems, (long long)t->n_elems);
    else if (b == NULL || b->is_host)
        memcpy(master, w.data, bytes);
    else
        b->upload(b, master, w.data, bytes);
    weights_release(&w);
    return status;
}

static int load_master(struct backend *b, const char *dir, const struct hparams *hp,
                       const struct param_table *t, float *master)
{
    if (master == NULL)
        return STATUS_OK;
    char *const path = io_join(dir, master_name);
    const bool is_there = io_exists(path);
    mem_free(path);
    return is_there ? load_arena(b, dir, master_name, hp, t, master)
                    : master_from_weights(b, dir, t, master);
}

int checkpoint_load_trainer(const char *dir, const struct hparams *hp,
                            const struct param_table *t, float *master, float *adam_m,
                            float *adam_v, json_t **state_out)
{
    return checkpoint_load_trainer_to(NULL, dir, hp, t, master, adam_m, adam_v,
                                      state_out);
}

int checkpoint_load_trainer_to(struct backend *b, const char *dir,
                               const struct hparams *hp, const struct param_table *t,
                               float *master, float *adam_m, float *adam_v,
                               json_t **state_out)
{
    json_t *state = NULL;
    int status;
    TRY(read_state(&state, dir));
    TRY_OUT(load_master(b, dir, hp, t, master));
    TRY_OUT(load_arena(b, dir, adam_m_name, hp, t, adam_m));
    TRY_OUT(load_arena(b, dir, adam_v_name, hp, t, adam_v));
    if (state_out != NULL)
        *state_out = json_incref(state);
out:
    json_decref(state);
    return status;
}
