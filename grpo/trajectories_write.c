/*
 * fp32 numbers are written with nine digits, which read back to the same bits.
 */
#include <math.h>
#include <string.h>

#include "grpo/trajectories.h"

static void put_ids(struct buf *b, const char *key, const int32_t *ids, int64_t n)
{
    buf_printf(b, ",\"%s\":[", key);
    for (int64_t i = 0; i < n; i++)
        buf_printf(b, i == 0 ? "%d" : ",%d", (int)ids[i]);
    buf_puts(b, "]");
}

static void put_logp(struct buf *b, const float *x, int64_t n)
{
    buf_puts(b, ",\"logp\":[");
    for (int64_t i = 0; i < n; i++) {
        buf_puts(b, i == 0 ? "" : ",");
        if (isfinite(x[i]))
            buf_printf(b, "%.9g", (double)x[i]);
        else
            buf_puts(b, "null");
    }
    buf_puts(b, "]");
}

static void put_routes(struct buf *b, const char *key, const uint16_t *routes,
                       int64_t n, int64_t width)
{
    buf_printf(b, ",\"%s\":[", key);
    for (int64_t i = 0; i < n * width; i++)
        buf_printf(b, "%s%d%s",
                   i % width > 0 ? ","
                   : i > 0       ? ",["
                                 : "[",
                   (int)routes[i], i % width == width - 1 ? "]" : "");
    buf_puts(b, "]");
}

static void put_completion(struct buf *b, const struct trajectory_line *l, int64_t s,
                           struct buf *text)
{
    const struct groups *const g = l->g;
    const struct sample_info *const info = groups_info(g, l->p, s);
    collector_text(l->tokenizer, g, l->p, s, text);
    buf_puts(b, s == 0 ? "{\"text\":" : ",{\"text\":");
    buf_put_json_string(b, text->data == NULL ? "" : text->data, text->len);
    put_ids(b, "tokens", groups_tokens(g, l->p, s), info->n_tokens);
    put_logp(b, groups_logp(g, l->p, s), info->n_tokens);
    buf_printf(b, ",\"reward\":%.9g,\"finish\":\"%s\"", (double)info->reward,
               finish_name((enum finish)info->finish));
    if (l->has_routes)
        put_routes(b, "routes", groups_routes(g, l->p, s), info->n_tokens,
                   g->route_width);
    buf_puts(b, "}");
}

int trajectories_write(struct metrics *m, int64_t step, const struct trajectory_line *l,
                       struct buf *text)
{
    const struct groups *const g = l->g;
    struct buf *const b = &m->line;
    CHECK(g->n_prompt[l->p] > 0, "group %lld is not held here", (long long)l->p);
    metrics_begin(m, step);
    if (l->question[0] != '\0')
        metrics_put_string(m, "question", l->question, strlen(l->question));
    if (l->gold[0] != '\0')
        metrics_put_string(m, "gold", l->gold, strlen(l->gold));
    put_ids(b, "prompt_tokens", g->prompt + l->p * g->max_prompt, g->n_prompt[l->p]);
    if (l->has_routes)
        put_routes(b, "prompt_routes", groups_prompt_routes(g, l->p), g->n_prompt[l->p],
                   g->route_width);
    buf_puts(b, ",\"completions\":[");
    for (int64_t s = 0; s < g->n_samples; s++)
        put_completion(b, l, s, text);
    buf_puts(b, "]");
    return metrics_end(m);
}
