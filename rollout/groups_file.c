/*
 * One table describes the tensors: how many elements a group has, and where they lie.
 * Writing goes through a buffer per tensor, reading checks counts before values.
 */
#include "rollout/groups_file.h"

#include <stddef.h>
#include <string.h>

#include "model/safetensors.h"

/* A field of sample_info that is added must be saved too: add it to the list. */
_Static_assert(sizeof(struct sample_info) == 12, "sample_info has a field not saved");

enum part {
    PART_GROUP,  /* (P): elements of a group's own array */
    PART_INFO,   /* (P, G): a field of sample_info */
    PART_PROMPT, /* (M): n_prompt of each group */
    PART_PROMPT_ROUTES,
    PART_TOKENS, /* (N): n_tokens of each sample */
    PART_ROUTES,
};

/* X(name, dtype, part, element type, where): the field of sample_info, or the array of
 * struct groups. Counts come first: the others' sizes depend on them. */
#define TENSOR_LIST(X)                                                                 \
    X(n_prompt, ST_I32, PART_GROUP, int32_t, g->n_prompt)                              \
    X(problem, ST_I64, PART_GROUP, int64_t, g->problem)                                \
    X(n_tokens, ST_I32, PART_INFO, int32_t, &g->info->n_tokens)                        \
    X(reward, ST_F32, PART_INFO, float, &g->info->reward)                              \
    X(finish, ST_U8, PART_INFO, uint8_t, &g->info->finish)                             \
    X(reason, ST_U8, PART_INFO, uint8_t, &g->info->reason)                             \
    X(is_correct, ST_U8, PART_INFO, bool, &g->info->is_correct)                        \
    X(has_form, ST_U8, PART_INFO, bool, &g->info->has_form)                            \
    X(prompt, ST_I32, PART_PROMPT, int32_t, g->prompt)                                 \
    X(prompt_routes, ST_U16, PART_PROMPT_ROUTES, uint16_t, g->prompt_routes)           \
    X(tokens, ST_I32, PART_TOKENS, int32_t, g->tokens)                                 \
    X(logp, ST_F32, PART_TOKENS, float, g->logp)                                       \
    X(routes, ST_U16, PART_ROUTES, uint16_t, g->routes)

struct tensor {
    const char *name;
    enum st_dtype dtype;
    enum part part;
    size_t size; /* bytes of an element */
    char *at;    /* first element */
};
enum {
    N_TENSORS = 0
#define X(name, dtype, part, type, where) +1
    TENSOR_LIST(X)
#undef X
};

static void describe(struct tensor out[N_TENSORS], const struct groups *g)
{
    int64_t n = 0;
#define X(name, dtype, part, type, where)                                              \
    out[n++] = (struct tensor){#name, dtype, part, sizeof(type), (char *)(where)};
    TENSOR_LIST(X)
#undef X
}

/* Runs of adjacent elements: `f` for each, in file order; stride between their starts
 */
struct run {
    char *at;
    size_t bytes;
};
static int64_t n_runs(const struct groups *g, enum part part)
{
    switch (part) {
    case PART_GROUP:
        return 1;
    case PART_PROMPT:
    case PART_PROMPT_ROUTES:
        return g->n_groups;
    case PART_INFO:
    case PART_TOKENS:
    case PART_ROUTES:
        break;
    }
    return g->n_groups * g->n_samples;
}

static struct run run_at(const struct groups *g, const struct tensor *t, int64_t i)
{
    int64_t stride = 0, n = 0, width = 1;
    switch (t->part) {
    case PART_GROUP:
        n = g->n_groups;
        break;
    case PART_INFO:
        return (struct run){t->at + (size_t)i * sizeof(struct sample_info), t->size};
    case PART_PROMPT_ROUTES:
        width = g->route_width;
        stride = g->max_prompt;
        n = g->n_prompt[i];
        break;
    case PART_PROMPT:
        stride = g->max_prompt;
        n = g->n_prompt[i];
        break;
    case PART_ROUTES:
        width = g->route_width;
        stride = g->max_new;
        n = g->info[i].n_tokens;
        break;
    case PART_TOKENS:
        stride = g->max_new;
        n = g->info[i].n_tokens;
        break;
    }
    return (struct run){t->at + (size_t)(i * stride * width) * t->size,
                        (size_t)(n * width) * t->size};
}

static size_t n_bytes(const struct groups *g, const struct tensor *t)
{
    size_t sum = 0;
    for (int64_t i = 0; i < n_runs(g, t->part); i++)
        sum += run_at(g, t, i).bytes;
    return sum;
}

static bool is_absent(const struct groups *g, const struct tensor *t)
{
    const bool is_route = t->part == PART_ROUTES || t->part == PART_PROMPT_ROUTES;
    return is_route && g->route_width == 0;
}

/* (P), (P, G), (M), (M, W), (N), (N, W) */
static int shape_of(const struct groups *g, const struct tensor *t, int64_t shape[2])
{
    const bool is_route = t->part == PART_ROUTES || t->part == PART_PROMPT_ROUTES;
    const int64_t n = (int64_t)(n_bytes(g, t) / t->size);
    shape[0] = t->part == PART_INFO ? g->n_groups : is_route ? n / g->route_width : n;
    shape[1] = t->part == PART_INFO ? g->n_samples : g->route_width;
    return t->part == PART_INFO || is_route ? 2 : 1;
}

int64_t groups_file_bytes(const struct groups *g)
{
    struct tensor t[N_TENSORS];
    int64_t sum = 0;
    describe(t, g);
    for (int i = 0; i < N_TENSORS; i++)
        sum += (int64_t)n_bytes(g, &t[i]);
    return sum;
}

static int write_tensor(struct st_writer *w, const struct groups *g,
                        const struct tensor *t)
{
    for (int64_t i = 0; i < n_runs(g, t->part); i++) {
        const struct run r = run_at(g, t, i);
        TRY(st_write(w, r.at, r.bytes));
    }
    return STATUS_OK;
}

int groups_save(const struct groups *g, const char *path)
{
    struct tensor t[N_TENSORS];
    struct st_writer *w = NULL;
    int status = STATUS_OK;
    describe(t, g);
    for (int64_t p = 0; p < g->n_groups; p++)
        CHECK(g->n_prompt[p] > 0, "%s: group %lld is not held here", path,
              (long long)p);
    TRY(st_create(&w, path));
    for (int i = 0; i < N_TENSORS; i++) {
        int64_t shape[2];
        if (is_absent(g, &t[i]))
            continue;
        const int rank = shape_of(g, &t[i], shape);
        TRY_OUT(st_declare(w, t[i].name, t[i].dtype, rank, shape));
    }
    for (int64_t k = 0; k < st_n_declared(w); k++) {
        int i = 0;
        while (strcmp(st_order(w, k)->name, t[i].name) != 0)
            i++;
        TRY_OUT(write_tensor(w, g, &t[i]));
    }
    return st_finish(w);
out:
    st_abandon(w);
    return status;
}

/* The counts just read decide where the next tensors go: before those, none may pass
 * the slots. */
static int check_counts(const struct groups *g, const struct tensor *t,
                        const char *path)
{
    for (int64_t p = 0; strcmp(t->name, "n_prompt") == 0 && p < g->n_groups; p++)
        if (g->n_prompt[p] < 1 || g->n_prompt[p] > g->max_prompt)
            return ERR(ERR_INPUT, "%s: a prompt of %d tokens, expected 1 to %lld", path,
                       g->n_prompt[p], (long long)g->max_prompt);
    for (int64_t i = 0; strcmp(t->name, "n_tokens") == 0 && i < n_runs(g, PART_INFO);
         i++)
        if (g->info[i].n_tokens < 1 || g->info[i].n_tokens > g->max_new)
            return ERR(ERR_INPUT, "%s: a sample of %d tokens, expected 1 to %lld", path,
                       g->info[i].n_tokens, (long long)g->max_new);
    return STATUS_OK;
}

/* Bytes of the one-byte fields as they may be */
static int check_bytes(const struct tensor *t, const unsigned char *data, size_t n,
                       const char *path)
{
    const int max = strcmp(t->name, "finish") == 0   ? FINISH_LENGTH
                    : strcmp(t->name, "reason") == 0 ? REWARD_N_REASONS - 1
                                                     : 1;
    for (size_t i = 0; t->dtype == ST_U8 && i < n; i++)
        if (data[i] > max)
            return ERR(ERR_INPUT, "%s: %s is %d, expected at most %d", path, t->name,
                       data[i], max);
    return STATUS_OK;
}

static int read_tensor(struct groups *g, const struct tensor *t,
                       const struct st_file *f)
{
    const struct st_tensor *const in = st_find(f, t->name);
    int64_t shape[2];
    const int rank = shape_of(g, t, shape);
    if (in == NULL || in->dtype != t->dtype || in->rank != rank ||
        in->shape[0] != shape[0] || (rank == 2 && in->shape[1] != shape[1]))
        return ERR(ERR_INPUT, "%s: no tensor \"%s\", %s with %lld rows", f->path,
                   t->name, st_dtype_name(t->dtype), (long long)shape[0]);
    const unsigned char *from = f->map.data + in->off;
    TRY(check_bytes(t, from, in->bytes, f->path));
    for (int64_t i = 0; i < n_runs(g, t->part); i++) {
        const struct run r = run_at(g, t, i);
        memcpy(r.at, from, r.bytes);
        from += r.bytes;
    }
    return check_counts(g, t, f->path);
}

int groups_load(struct groups *g, const char *path)
{
    struct tensor t[N_TENSORS];
    struct st_file f;
    int status = STATUS_OK;
    describe(t, g);
    TRY(st_open(&f, path));
    for (int i = 0; i < N_TENSORS; i++)
        if (!is_absent(g, &t[i]))
            TRY_OUT(read_tensor(g, &t[i], &f));
out:
    if (status != STATUS_OK)
        groups_clear(g);
    st_close(&f);
    return status;
}
