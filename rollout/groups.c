/*
 * Slots and their serialisation. The wire form of a group: int64 {p, problem,
 * n_prompt}, prompt ids, then per sample its info and the used parts of tokens, logp
 * and routes, then the prompt's routes. Ranks of one job run one binary on one kind of
 * machine, so native byte order is the wire's.
 */
#include "rollout/groups.h"

#include <stddef.h>
#include <string.h>

#include "core/carve.h"

const char *finish_name(enum finish f)
{
    static const char *const name[] = {
#define X(id, text) text,
        FINISH_LIST(X)
#undef X
    };
    return name[f];
}

static void lay_out(struct groups *g, struct carver *c)
{
    const int64_t n = g->n_groups * g->n_samples;
    g->prompt = carve_i32(c, g->n_groups * g->max_prompt);
    g->n_prompt = carve_i32(c, g->n_groups);
    g->problem = carve(c, g->n_groups, sizeof(*g->problem));
    g->info = carve(c, n, sizeof(*g->info));
    g->tokens = carve_i32(c, n * g->max_new);
    g->logp = carve_f32(c, n, g->max_new);
    g->routes = carve(c, n * g->max_new * g->route_width, sizeof(*g->routes));
    g->prompt_routes = carve(c, g->n_groups * g->max_prompt * g->route_width,
                             sizeof(*g->prompt_routes));
}

int groups_init(struct groups *g, int64_t n_groups, int64_t n_samples,
                int64_t max_prompt, int64_t max_new, int64_t route_width)
{
    *g = (struct groups){.n_groups = n_groups,
                         .n_samples = n_samples,
                         .max_prompt = max_prompt,
                         .max_new = max_new,
                         .route_width = route_width};
    struct carver c = {.base = NULL};
    lay_out(g, &c);
    void *block = NULL;
    TRY(mem_reserve(&block, c.used, "trajectories"));
    g->block = block;
    g->block_bytes = c.used;
    c = (struct carver){.base = block};
    lay_out(g, &c);
    return STATUS_OK;
}

void groups_release(struct groups *g)
{
    mem_release(g->block, g->block_bytes);
    *g = (struct groups){0};
}

void groups_clear(struct groups *g)
{
    memset(g->n_prompt, 0, (size_t)g->n_groups * sizeof(*g->n_prompt));
}

void groups_set_prompt(struct groups *g, int64_t p, int64_t problem, const int32_t *ids,
                       int64_t n)
{
    CHECK(p >= 0 && p < g->n_groups && n >= 1 && n <= g->max_prompt,
          "group %lld of %lld, prompt of %lld tokens (limit %lld)", (long long)p,
          (long long)g->n_groups, (long long)n, (long long)g->max_prompt);
    memcpy(g->prompt + p * g->max_prompt, ids, (size_t)n * sizeof(*ids));
    g->n_prompt[p] = (int32_t)n;
    g->problem[p] = problem;
    memset(groups_info(g, p, 0), 0, (size_t)g->n_samples * sizeof(*g->info));
}

int32_t *groups_tokens(const struct groups *g, int64_t p, int64_t s)
{
    return g->tokens + (p * g->n_samples + s) * g->max_new;
}

float *groups_logp(const struct groups *g, int64_t p, int64_t s)
{
    return g->logp + (p * g->n_samples + s) * g->max_new;
}

uint16_t *groups_routes(const struct groups *g, int64_t p, int64_t s)
{
    return g->routes + (p * g->n_samples + s) * g->max_new * g->route_width;
}

uint16_t *groups_prompt_routes(const struct groups *g, int64_t p)
{
    return g->prompt_routes + p * g->max_prompt * g->route_width;
}

struct sample_info *groups_info(const struct groups *g, int64_t p, int64_t s)
{
    return g->info + p * g->n_samples + s;
}

bool groups_is_flat(const struct groups *g, int64_t p)
{
    const struct sample_info *const info = groups_info(g, p, 0);
    for (int64_t s = 1; s < g->n_samples; s++)
        if (info[s].reward != info[0].reward)
            return false;
    return true;
}

void groups_put(const struct groups *g, int64_t p, struct buf *out)
{
    const int64_t head[3] = {p, g->problem[p], g->n_prompt[p]};
    buf_append(out, head, sizeof(head));
    buf_append(out, g->prompt + p * g->max_prompt, (size_t)head[2] * sizeof(int32_t));
    for (int64_t s = 0; s < g->n_samples; s++) {
        const struct sample_info *const info = groups_info(g, p, s);
        const size_t n = (size_t)info->n_tokens;
        buf_append(out, info, sizeof(*info));
        buf_append(out, groups_tokens(g, p, s), n * sizeof(int32_t));
        buf_append(out, groups_logp(g, p, s), n * sizeof(float));
        buf_append(out, groups_routes(g, p, s),
                   n * (size_t)g->route_width * sizeof(uint16_t));
    }
    buf_append(out, groups_prompt_routes(g, p),
               (size_t)(head[2] * g->route_width) * sizeof(uint16_t));
}

/* Takes `bytes` from the front of the buffer into dst. */
static int take(const struct buf *in, size_t *off, void *dst, size_t bytes)
{
    if (bytes > in->len - *off)
        return ERR(ERR_COMM, "a group of trajectories ends after %zu of %zu bytes",
                   in->len - *off, bytes);
    memcpy(dst, in->data + *off, bytes);
    *off += bytes;
    return STATUS_OK;
}

/* What a sender's struct can hold. The flags are looked at as bytes: to read a bool
 * that is neither 0 nor 1 is itself undefined. */
static int check_info(const struct groups *g, const struct sample_info *info)
{
    const unsigned char *const raw = (const unsigned char *)info;
    if (info->n_tokens < 0 || info->n_tokens > g->max_new)
        return ERR(ERR_COMM, "received a sample of %d tokens (limit %lld)",
                   info->n_tokens, (long long)g->max_new);
    if (info->finish > FINISH_LENGTH || info->reason >= REWARD_N_REASONS ||
        raw[offsetof(struct sample_info, is_correct)] > 1 ||
        raw[offsetof(struct sample_info, has_form)] > 1)
        return ERR(ERR_COMM, "received a sample with finish %d, reason %d, flags %d %d",
                   info->finish, info->reason,
                   raw[offsetof(struct sample_info, is_correct)],
                   raw[offsetof(struct sample_info, has_form)]);
    return STATUS_OK;
}

static int take_group(struct groups *g, const struct buf *in, size_t *off)
{
    int64_t head[3];
    TRY(take(in, off, head, sizeof(head)));
    const int64_t p = head[0], n_prompt = head[2];
    if (p < 0 || p >= g->n_groups || n_prompt < 1 || n_prompt > g->max_prompt)
        return ERR(ERR_COMM,
                   "received group %lld (of %lld) with a prompt of %lld tokens",
                   (long long)p, (long long)g->n_groups, (long long)n_prompt);
    g->problem[p] = head[1];
    g->n_prompt[p] = (int32_t)n_prompt;
    TRY(take(in, off, g->prompt + p * g->max_prompt,
             (size_t)n_prompt * sizeof(int32_t)));
    for (int64_t s = 0; s < g->n_samples; s++) {
        struct sample_info *const info = groups_info(g, p, s);
        TRY(take(in, off, info, sizeof(*info)));
        TRY(check_info(g, info));
        const size_t n = (size_t)info->n_tokens;
        TRY(take(in, off, groups_tokens(g, p, s), n * sizeof(int32_t)));
        TRY(take(in, off, groups_logp(g, p, s), n * sizeof(float)));
        TRY(take(in, off, groups_routes(g, p, s),
                 n * (size_t)g->route_width * sizeof(uint16_t)));
    }
    return take(in, off, groups_prompt_routes(g, p),
                (size_t)(n_prompt * g->route_width) * sizeof(uint16_t));
}

int groups_take(struct groups *g, const struct buf *in)
{
    size_t off = 0;
    while (off < in->len)
        TRY(take_group(g, in, &off));
    return STATUS_OK;
}
