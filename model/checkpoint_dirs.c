/*
 * The directories of a run's checkpoints. Renames are the only steps that change what a
 * loader sees; whatever is being written or deleted is called step_N.tmp. While a step
 * is saved a second time its first version is step_N.old, which the loader takes when
 * step_N is not (yet) there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io.h"
#include "core/log.h"
#include "model/checkpoint_private.h"

static const char *const endings[] = {
    [STEP_DONE] = "", [STEP_OLD] = ".old", [STEP_TMP] = ".tmp"};

struct step {
    int64_t number;
    enum step_kind kind;
};

struct steps {
    struct step *items; /* newest first; step_N before step_N.old */
    int64_t n;
};

char *step_path(const char *run_dir, int64_t step, enum step_kind kind)
{
    struct buf b = {0};
    buf_printf(&b, "%s/checkpoints/step_%" PRId64 "%s", run_dir, step, endings[kind]);
    return b.data;
}

/* Only names as step_path writes them: no sign, no leading zero, at most 18 digits. */
static bool parse_step(struct step *out, const char *name)
{
    if (strncmp(name, "step_", 5) != 0)
        return false;
    const char *const digits = name + 5;
    const size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 18 || (n > 1 && digits[0] == '0'))
        return false;
    for (enum step_kind kind = STEP_DONE; kind <= STEP_TMP; kind++)
        if (strcmp(digits + n, endings[kind]) == 0) {
            *out = (struct step){strtoll(digits, NULL, 10), kind};
            return true;
        }
    return false;
}

static int compare_steps(const void *a, const void *b)
{
    const struct step *const x = a, *const y = b;
    if (x->number != y->number)
        return x->number < y->number ? 1 : -1;
    return (int)x->kind - (int)y->kind;
}

/* No directory, no steps. Free items with mem_free. */
static int list_steps(struct steps *out, const char *run_dir)
{
    char **names;
    int64_t n;
    *out = (struct steps){0};
    char *const dir = io_join(run_dir, "checkpoints");
    const int status = io_exists(dir) ? io_list(dir, &names, &n) : 1;
    mem_free(dir);
    if (status != STATUS_OK)
        return status == 1 ? STATUS_OK : status;
    out->items = mem_alloc((size_t)n * sizeof(struct step));
    for (int64_t i = 0; i < n; i++)
        out->n += parse_step(&out->items[out->n], names[i]);
    io_list_free(names, n);
    if (out->n > 0)
        qsort(out->items, (size_t)out->n, sizeof(struct step), compare_steps);
    return STATUS_OK;
}

static int rename_checked(const char *from, const char *to)
{
    if (rename(from, to) != 0)
        return ERR(ERR_IO, "%s: rename to %s: %s", from, to, strerror(errno));
    return STATUS_OK;
}

/* A half deleted directory must not look like a checkpoint: it leaves its name first.
 */
static int remove_step(const char *run_dir, const struct step *step)
{
    char *const path = step_path(run_dir, step->number, step->kind);
    char *const tmp = step_path(run_dir, step->number, STEP_TMP);
    int status = STATUS_OK;
    if (step->kind != STEP_TMP)
        status = rename_checked(path, tmp);
    if (status == STATUS_OK)
        status = io_remove_tree(tmp);
    mem_free(path);
    mem_free(tmp);
    return status;
}

static int move_back(const char *run_dir, const struct step *step)
{
    char *const old = step_path(run_dir, step->number, STEP_OLD);
    char *const path = step_path(run_dir, step->number, STEP_DONE);
    const int status = rename_checked(old, path);
    mem_free(old);
    mem_free(path);
    return status;
}

static int recover_old(const char *run_dir, const struct step *step)
{
    char *const done = step_path(run_dir, step->number, STEP_DONE);
    const bool is_replaced = io_exists(done);
    mem_free(done);
    return is_replaced ? remove_step(run_dir, step) : move_back(run_dir, step);
}

int steps_recover(const char *run_dir)
{
    struct steps s;
    TRY(list_steps(&s, run_dir));
    int status = STATUS_OK;
    /* *.tmp first: the names are needed to delete *.old */
    for (int64_t i = 0; i < s.n && status == STATUS_OK; i++)
        if (s.items[i].kind == STEP_TMP)
            status = remove_step(run_dir, &s.items[i]);
    for (int64_t i = 0; i < s.n && status == STATUS_OK; i++)
        if (s.items[i].kind == STEP_OLD)
            status = recover_old(run_dir, &s.items[i]);
    mem_free(s.items);
    return status;
}

static int write_latest(const char *run_dir, int64_t step)
{
    char text[64];
    const int n = snprintf(text, sizeof(text), "checkpoints/step_%" PRId64 "\n", step);
    char *const path = io_join(run_dir, "LATEST");
    const int status = io_write_atomic(path, text, (size_t)n);
    mem_free(path);
    return status;
}

int step_publish(const char *run_dir, int64_t step)
{
    char *const tmp = step_path(run_dir, step, STEP_TMP);
    char *const done = step_path(run_dir, step, STEP_DONE);
    char *const old = step_path(run_dir, step, STEP_OLD);
    const bool is_again = io_exists(done);
    int status = STATUS_OK;
    if (is_again)
        TRY_OUT(rename_checked(done, old));
    TRY_OUT(io_rename_dir(tmp, done));
    TRY_OUT(write_latest(run_dir, step));
    if (is_again)
        status = remove_step(run_dir, &(struct step){step, STEP_OLD});
out:
    mem_free(tmp);
    mem_free(done);
    mem_free(old);
    return status;
}

int steps_prune(const char *run_dir, int64_t step, int64_t keep_last,
                int64_t keep_every)
{
    struct steps s;
    TRY(list_steps(&s, run_dir));
    int status = STATUS_OK;
    int64_t n_newer = 0;
    for (int64_t i = 0; i < s.n && status == STATUS_OK; i++) {
        if (s.items[i].kind != STEP_DONE)
            continue;
        const int64_t number = s.items[i].number;
        const bool is_kept = n_newer++ < keep_last || number == step ||
                             (keep_every > 0 && number % keep_every == 0);
        if (!is_kept)
            status = remove_step(run_dir, &s.items[i]);
    }
    mem_free(s.items);
    return status;
}

int checkpoint_find_latest(const char *run_dir, char **dir_out, int64_t *step_out)
{
    struct steps s;
    TRY(list_steps(&s, run_dir));
    int64_t n_damaged = 0, step = -1;
    char *dir = NULL;
    for (int64_t i = 0; i < s.n && dir == NULL; i++) {
        if (s.items[i].kind == STEP_TMP)
            continue;
        dir = step_path(run_dir, s.items[i].number, s.items[i].kind);
        step = s.items[i].number;
        if (checkpoint_verify(dir) == STATUS_OK)
            break;
        log_warn("damaged checkpoint passed over: %s", status_message());
        n_damaged++;
        mem_free(dir);
        dir = NULL;
    }
    mem_free(s.items);
    if (dir == NULL && n_damaged > 0)
        return ERR(ERR_INPUT,
                   "%s/checkpoints: none of %" PRId64 " checkpoints is whole (last: "
                   "%s); restore one, or move them away to start afresh",
                   run_dir, n_damaged, status_message());
    *dir_out = dir;
    *step_out = dir == NULL ? -1 : step;
    return STATUS_OK;
}
