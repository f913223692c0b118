/*
 * The engine's loop. A prompt is prefilled when a slot is free; its last row's hidden
 * state is kept (samples of a prompt may start at different steps, each samples its
 * first token from that row). Then every decode step forwards one row per running
 * sample and samples the next token. Pages come from one free list; the pool is sized
 * for the worst case in address space only.
 */
#include "rollout/rollout.h"

#include <string.h>

#include "core/carve.h"
#include "core/mem.h"
#include "rollout/stops.h"

struct prompt {
    int64_t group;
    int64_t next_sample; /* not started yet */
    int64_t n_open;      /* samples not finished */
    int64_t n_pages;
    int32_t *pages; /* (max prompt pages) */
};

struct slot {
    bool is_running;
    int64_t group, sample;
    struct prompt *prompt;
    int64_t n_shared, n_pages;
    int32_t *pages; /* (max pages of a sequence); the first ones are the prompt's */
    struct stop_search stops;
};

struct rollout {
    const struct model *m;
    const struct tokenizer *t;
    struct rollout_limits max;
    struct acts acts;
    struct batch batch;
    struct slot *slots;
    struct prompt *prompts; /* (n_slots): at most one per running sample */
    int32_t *free_pages;
    int64_t n_free, n_pages, seq_pages, prompt_pages;
    float *hidden; /* backend (n_slots, D): prompts' last rows */
    struct sample_row *rows_host, *rows_dev;
    int32_t *token_dev, *token_host, *index_host, *route_host;
    int32_t *step_routes_dev, *step_routes_host; /* (L, rows of the step, K) */
    float *logp_dev, *logp_host;
    struct slot **order;     /* (n_slots) slot of each sampled row */
    struct prompt **waiting; /* (n_slots) prefilled, with samples to start */
    uint16_t **route_dst;    /* (n_slots) where a row's routes go */
    void *dev_block, *host_block;
    size_t dev_bytes, host_bytes;
    /* of the running call */
    struct groups *g;
    const struct rollout_args *args;
    struct rollout_stats stats;
    const int64_t *queue; /* groups to generate, in order */
    int64_t n_queue, next_group, n_waiting, n_finished;
};

static int64_t n_blocks(int64_t n) { return (n + KV_BLOCK - 1) / KV_BLOCK; }

static struct acts_limits acts_limits_of(const struct rollout_limits *max)
{
    const int64_t n_prefill = max->n_prefill > max->max_prompt ? max->n_prefill
                                                               : max->max_prompt;
    const int64_t per_seq = n_blocks(max->max_prompt + max->max_new);
    return (struct acts_limits){
        .mode = ACTS_INFER,
        .n_rows = n_prefill > max->n_slots ? n_prefill : max->n_slots,
        /* a prompt's pages, and a sample's own past the shared full ones; a prompt is
         * open only while one of its samples holds a slot or gets the next */
        .n_pages = max->n_slots * (per_seq + 1),
        .n_head_rows = max->n_slots};
}

/* What a step reads back, adjacent on both sides: one download */
static void lay_out_results(int32_t **token, float **logp, int32_t **routes,
                            const struct rollout *r, struct carver *c)
{
    const int64_t n = r->max.n_slots;
    *token = carve_i32(c, n);
    *logp = carve_f32(c, n, 1);
    *routes = carve_i32(c, r->m->hp.n_layers * n * r->m->hp.top_k);
}

static void lay_out_host(struct rollout *r, struct carver *c)
{
    const int64_t n = r->max.n_slots, k = r->m->hp.top_k;
    r->slots = carve(c, n, sizeof(*r->slots));
    r->prompts = carve(c, n, sizeof(*r->prompts));
    r->free_pages = carve_i32(c, r->n_pages);
    r->rows_host = carve(c, n, sizeof(*r->rows_host));
    lay_out_results(&r->token_host, &r->logp_host, &r->step_routes_host, r, c);
    r->index_host = carve_i32(c, n);
    r->route_host = carve_i32(c, r->acts.max.n_rows * k);
    r->order = carve(c, n, sizeof(struct slot *));
    r->waiting = carve(c, n, sizeof(struct prompt *));
    r->route_dst = carve(c, n, sizeof(uint16_t *));
    int32_t *const slot_pages = carve_i32(c, n * r->seq_pages);
    int32_t *const prompt_pages = carve_i32(c, n * r->prompt_pages);
    for (int64_t i = 0; c->base != NULL && i < n; i++) {
        r->slots[i].pages = slot_pages + i * r->seq_pages;
        r->prompts[i].pages = prompt_pages + i * r->prompt_pages;
    }
}

static void lay_out_dev(struct rollout *r, struct carver *c)
{
    const int64_t n = r->max.n_slots;
    r->hidden = carve_f32(c, n, r->m->hp.d_model);
    r->rows_dev = carve(c, n, sizeof(*r->rows_dev));
    lay_out_results(&r->token_dev, &r->logp_dev, &r->step_routes_dev, r, c);
}

static int reserve(struct rollout *r)
{
    const struct acts_limits am = acts_limits_of(&r->max);
    TRY(acts_init(&r->acts, r->m, &am));
    const struct batch_limits bm = {.n_rows = am.n_rows,
                                    .n_seqs = am.n_rows,
                                    .n_groups = am.n_rows,
                                    .n_pages = am.n_pages + am.n_rows,
                                    .n_dst = am.n_rows};
    TRY(batch_init(&r->batch, r->m->b, &bm));
    struct carver host = {.base = NULL}, dev = {.base = NULL};
    lay_out_host(r, &host);
    lay_out_dev(r, &dev);
    r->host_bytes = host.used;
    r->dev_bytes = dev.used;
    TRY(mem_reserve(&r->host_block, r->host_bytes, "rollout slots"));
    TRY(r->m->b->reserve(r->m->b, &r->dev_block, r->dev_bytes, "rollout slots"));
    host = (struct carver){.base = r->host_block};
    dev = (struct carver){.base = r->dev_block};
    lay_out_host(r, &host);
    lay_out_dev(r, &dev);
    return STATUS_OK;
}

int rollout_create(struct rollout **out, const struct model *m,
                   const struct tokenizer *t, const struct rollout_limits *max)
{
    struct rollout *const r = mem_alloc(sizeof(*r));
    r->m = m;
    r->t = t;
    r->max = *max;
    if (r->max.n_prefill < max->max_prompt)
        r->max.n_prefill = max->max_prompt;
    r->seq_pages = n_blocks(max->max_prompt + max->max_new);
    r->prompt_pages = n_blocks(max->max_prompt);
    r->n_pages = acts_limits_of(&r->max).n_pages;
    const int status = reserve(r);
    if (status != STATUS_OK) {
        rollout_free(r);
        return status;
    }
    *out = r;
    return STATUS_OK;
}

void rollout_free(struct rollout *r)
{
    if (r == NULL)
        return;
    for (int64_t i = 0; r->slots != NULL && i < r->max.n_slots; i++)
        stop_search_release(&r->slots[i].stops);
    batch_release(&r->batch);
    acts_release(&r->acts);
    r->m->b->forget(r->m->b, r);
    mem_release(r->host_block, r->host_bytes);
    if (r->dev_block != NULL)
        r->m->b->release(r->m->b, r->dev_block, r->dev_bytes);
    mem_free(r);
}

size_t rollout_bytes(const struct model *m, const struct rollout_limits *max)
{
    const struct acts_limits am = acts_limits_of(max);
    return acts_bytes(m, &am);
}

static int32_t take_page(struct rollout *r)
{
    CHECK(r->n_free > 0, "KV pages exhausted (%lld in the pool)",
          (long long)r->n_pages);
    return r->free_pages[--r->n_free];
}

static void give_page(struct rollout *r, int32_t page)
{
    r->free_pages[r->n_free++] = page;
}

/* The experts of all rows of the n prompts prefilled last, which lie one after the
 * other, into the groups. */
static void read_prompt_routes(struct rollout *r, int64_t n)
{
    struct backend *const b = r->m->b;
    const struct groups *const g = r->g;
    const int64_t k = r->m->hp.top_k;
    for (int64_t l = 0; l < r->m->hp.n_layers; l++) {
        b->download(b, r->route_host, r->acts.layers[l].experts,
                    (size_t)(r->batch.n_rows * k) * sizeof(int32_t));
        const int32_t *from = r->route_host;
        for (int64_t i = 0; i < n; i++) {
            const int64_t p = r->waiting[r->n_waiting - n + i]->group;
            uint16_t *to = groups_prompt_routes(g, p) + l * k;
            for (int64_t t = 0; t < g->n_prompt[p]; t++, to += g->route_width)
                for (int64_t s = 0; s < k; s++)
                    to[s] = (uint16_t)*from++;
        }
    }
}

static struct prompt *free_prompt(struct rollout *r)
{
    for (int64_t i = 0; i < r->max.n_slots; i++)
        if (r->prompts[i].n_open == 0)
            return &r->prompts[i];
    return NULL;
}

/* Prefills groups from the queue: as many as free slots want, within one pass's rows.
 */
static void prefill(struct rollout *r, int64_t n_wanted)
{
    const struct groups *const g = r->g;
    const int64_t d = r->m->hp.d_model;
    struct backend *const b = r->m->b;
    batch_reset(&r->batch);
    int64_t n = 0;
    while (n < n_wanted && r->next_group < r->n_queue) {
        const int64_t p = r->queue[r->next_group], n_prompt = g->n_prompt[p];
        struct prompt *const pr = free_prompt(r);
        if (pr == NULL || r->batch.n_rows + n_prompt > r->max.n_prefill)
            break;
        pr->group = p;
        pr->next_sample = 0;
        pr->n_open = g->n_samples;
        pr->n_pages = n_blocks(n_prompt);
        for (int64_t i = 0; i < pr->n_pages; i++)
            pr->pages[i] = take_page(r);
        const int64_t row = batch_add_rows(&r->batch, g->prompt + p * g->max_prompt,
                                           n_prompt, 0, pr->pages);
        r->index_host[n] = (int32_t)(row + n_prompt - 1);
        r->waiting[r->n_waiting++] = pr;
        r->next_group++;
        n++;
    }
    batch_upload(&r->batch);
    model_forward(r->m, &r->acts, &r->batch);
    for (int64_t i = 0; i < n; i++) {
        const struct prompt *const pr = r->waiting[r->n_waiting - n + i];
        b->copy(b, r->hidden + (pr - r->prompts) * d,
                r->acts.x_last + r->index_host[i] * d, (size_t)d * sizeof(float));
    }
    if (g->route_width > 0)
        read_prompt_routes(r, n);
    r->stats.n_prefill_tokens += r->batch.n_rows;
}

/* A private copy of the prompt's partly filled page, in every layer. */
static int32_t copy_page(struct rollout *r, int32_t from)
{
    struct backend *const b = r->m->b;
    const size_t bytes = r->acts.cache_layer_bytes / (size_t)r->n_pages;
    const size_t floats = bytes / sizeof(float);
    const int32_t to = take_page(r);
    for (int64_t l = 0; l < r->m->hp.n_layers; l++) {
        float *const cache = r->acts.layers[l].cache;
        b->copy(b, cache + (size_t)to * floats, cache + (size_t)from * floats, bytes);
    }
    return to;
}

static void start_sample(struct rollout *r, struct slot *sl, struct prompt *pr)
{
    const int64_t n_prompt = r->g->n_prompt[pr->group];
    const int64_t n_shared = n_prompt / KV_BLOCK;
    sl->is_running = true;
    sl->group = pr->group;
    sl->sample = pr->next_sample++;
    sl->prompt = pr;
    sl->n_shared = n_shared;
    sl->n_pages = n_shared;
    memcpy(sl->pages, pr->pages, (size_t)n_shared * sizeof(int32_t));
    if (n_prompt % KV_BLOCK != 0)
        sl->pages[sl->n_pages++] = copy_page(r, pr->pages[n_shared]);
    stop_search_reset(&sl->stops);
    groups_info(r->g, sl->group, sl->sample)->n_tokens = 0;
}

/* Gives every free slot a sample, as long as there are any. */
static void fill_slots(struct rollout *r)
{
    int64_t n_idle = 0;
    for (int64_t i = 0; i < r->max.n_slots; i++)
        n_idle += !r->slots[i].is_running;
    for (int64_t i = 0; i < r->max.n_slots && n_idle > 0; i++) {
        if (r->slots[i].is_running)
            continue;
        if (r->n_waiting == 0 && r->next_group < r->n_queue)
            prefill(r, (n_idle + r->g->n_samples - 1) / r->g->n_samples);
        if (r->n_waiting == 0)
            return;
        struct prompt *const pr = r->waiting[0];
        start_sample(r, &r->slots[i], pr);
        n_idle--;
        if (pr->next_sample == r->g->n_samples)
            memmove(r->waiting, r->waiting + 1,
                    (size_t)--r->n_waiting * sizeof(struct prompt *));
    }
}

static void finish_sample(struct rollout *r, struct slot *sl, enum finish why)
{
    groups_info(r->g, sl->group, sl->sample)->finish = (uint8_t)why;
    for (int64_t i = sl->n_shared; i < sl->n_pages; i++)
        give_page(r, sl->pages[i]);
    struct prompt *const pr = sl->prompt;
    if (--pr->n_open == 0)
        for (int64_t i = 0; i < pr->n_pages; i++)
            give_page(r, pr->pages[i]);
    sl->is_running = false;
    r->n_finished++;
}

static bool is_eos(const struct hparams *hp, int32_t token)
{
    for (int i = 0; i < hp->n_eos; i++)
        if (hp->eos_ids[i] == token)
            return true;
    return false;
}

static void accept_token(struct rollout *r, struct slot *sl, int32_t token, float logp)
{
    struct sample_info *const info = groups_info(r->g, sl->group, sl->sample);
    const int64_t i = info->n_tokens++;
    groups_tokens(r->g, sl->group, sl->sample)[i] = token;
    groups_logp(r->g, sl->group, sl->sample)[i] = logp;
    r->stats.n_decode_tokens++;
    if (!r->args->is_eos_ignored && is_eos(&r->m->hp, token))
        finish_sample(r, sl, FINISH_EOS);
    else if (r->args->n_stops > 0 &&
             stop_search_push(&sl->stops, token, r->args->stops, r->args->n_stops))
        finish_sample(r, sl, FINISH_STOP);
    else if (info->n_tokens == r->args->max_new)
        finish_sample(r, sl, FINISH_LENGTH);
}

/* How to sample the next token of order[0 .. n-1] */
static void upload_rows(struct rollout *r, int64_t n)
{
    struct backend *const b = r->m->b;
    const struct rollout_args *const args = r->args;
    for (int64_t i = 0; i < n; i++) {
        const struct slot *const sl = r->order[i];
        const int32_t pos = groups_info(r->g, sl->group, sl->sample)->n_tokens;
        r->rows_host[i] = (struct sample_row){
            .temperature = args->temperature,
            .top_p = args->top_p,
            .top_k = args->top_k,
            .stream = RNG_SAMPLE,
            .seed = args->seed,
            .counter = {(uint32_t)pos, (uint32_t)sl->sample,
                        (uint32_t)(sl->group + args->first_prompt),
                        (uint32_t)args->step}};
    }
    b->upload(b, r->rows_dev, r->rows_host, (size_t)n * sizeof(*r->rows_host));
}

static void sample(struct rollout *r, int64_t n)
{
    struct backend *const b = r->m->b;
    b->sample_fwd(b, r->token_dev, r->logp_dev, r->acts.logits, r->rows_dev,
                  r->m->n_softmax, r->acts.ld_logits, n);
}

/* Tokens, log-probabilities and n_routes ids of the step: its one wait for the backend
 */
static void download_results(struct rollout *r, int64_t n_routes)
{
    const char *const from = (const char *)r->token_dev;
    const char *const end = (const char *)(r->step_routes_dev + n_routes);
    r->m->b->download(r->m->b, r->token_host, from, (size_t)(end - from));
}

static void accept_tokens(struct rollout *r, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        accept_token(r, r->order[i], r->token_host[i], r->logp_host[i]);
}

/* Samples that have no token yet: from their prompt's last row. */
static void first_tokens(struct rollout *r)
{
    int64_t n = 0;
    for (int64_t i = 0; i < r->max.n_slots; i++) {
        struct slot *const sl = &r->slots[i];
        if (!sl->is_running || groups_info(r->g, sl->group, sl->sample)->n_tokens > 0)
            continue;
        r->order[n] = sl;
        r->index_host[n++] = (int32_t)(sl->prompt - r->prompts);
        if (r->g->route_width > 0)
            memcpy(groups_routes(r->g, sl->group, sl->sample),
                   groups_prompt_routes(r->g, sl->group) +
                       (r->g->n_prompt[sl->group] - 1) * r->g->route_width,
                   (size_t)r->g->route_width * sizeof(uint16_t));
    }
    if (n == 0)
        return;
    upload_rows(r, n);
    model_logits(r->m, &r->acts, r->hidden, r->index_host, n);
    sample(r, n);
    download_results(r, 0);
    accept_tokens(r, n);
}

/* The routes of a step of n rows, all layers, beside its other results */
static void gather_routes(struct rollout *r, int64_t n)
{
    struct backend *const b = r->m->b;
    const int64_t n_routes = r->m->hp.n_layers * n * r->m->hp.top_k;
    b->copy(b, r->step_routes_dev, r->acts.experts, (size_t)n_routes * sizeof(int32_t));
}

/* Forward, logits and sampling of n uploaded rows: the same sequence of ops in every
 * step of n rows, so it may be replayed. */
static void decode_rows(struct rollout *r, int64_t n)
{
    struct backend *const b = r->m->b;
    const int64_t key = n * 2 + (r->g->route_width > 0);
    if (b->replay(b, r, key))
        return;
    b->record_begin(b, r, key);
    model_forward(r->m, &r->acts, &r->batch);
    if (r->g->route_width > 0)
        gather_routes(r, n);
    model_logits_first(r->m, &r->acts, r->acts.x_last, n);
    sample(r, n);
    b->record_end(b);
}

static void take_routes(struct rollout *r, int64_t n)
{
    const int64_t k = r->m->hp.top_k;
    const int32_t *from = r->step_routes_host;
    for (int64_t l = 0; l < r->m->hp.n_layers; l++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t s = 0; s < k; s++)
                r->route_dst[i][l * k + s] = (uint16_t)*from++;
}

/* One row per running sample: its newest token. Returns how many ran. */
static int64_t decode_step(struct rollout *r)
{
    int64_t n = 0;
    batch_reset(&r->batch);
    for (int64_t i = 0; i < r->max.n_slots; i++) {
        struct slot *const sl = &r->slots[i];
        if (!sl->is_running)
            continue;
        const int64_t t = groups_info(r->g, sl->group, sl->sample)->n_tokens;
        const int64_t pos = r->g->n_prompt[sl->group] + t - 1;
        if (pos / KV_BLOCK >= sl->n_pages)
            sl->pages[sl->n_pages++] = take_page(r);
        const int32_t *const tokens = groups_tokens(r->g, sl->group, sl->sample);
        batch_add_rows(&r->batch, tokens + t - 1, 1, pos, sl->pages);
        r->route_dst[n] = groups_routes(r->g, sl->group, sl->sample) +
                          t * r->g->route_width;
        r->order[n++] = sl;
    }
    if (n == 0)
        return 0;
    const bool has_routes = r->g->route_width > 0;
    batch_upload(&r->batch);
    upload_rows(r, n);
    decode_rows(r, n);
    download_results(r, has_routes ? r->m->hp.n_layers * n * r->m->hp.top_k : 0);
    if (has_routes)
        take_routes(r, n);
    r->stats.n_decode_steps++;
    accept_tokens(r, n);
    return n;
}

static int check_args(const struct rollout *r, const struct groups *g,
                      const struct rollout_args *args)
{
    const int64_t width = r->m->hp.n_layers * r->m->hp.top_k;
    CHECK(g->route_width == 0 || g->route_width == width, "route width %lld, not %lld",
          (long long)g->route_width, (long long)width);
    CHECK(args->n_stops == 0 || r->t != NULL, "stop strings without a tokenizer");
    if (args->max_new < 1 || args->max_new > r->max.max_new ||
        args->max_new > g->max_new)
        return ERR(ERR_INTERNAL, "%lld new tokens asked for, %lld reserved",
                   (long long)args->max_new, (long long)r->max.max_new);
    return STATUS_OK;
}

int rollout_run(struct rollout *r, struct groups *g, const int64_t *slots, int64_t n,
                const struct rollout_args *args, rollout_tick_fn tick, void *user,
                struct rollout_stats *stats_out)
{
    TRY(check_args(r, g, args));
    r->g = g;
    r->args = args;
    r->stats = (struct rollout_stats){0};
    r->queue = slots;
    r->n_queue = n;
    r->next_group = r->n_waiting = r->n_finished = r->n_free = 0;
    for (int64_t i = r->n_pages - 1; i >= 0; i--)
        give_page(r, (int32_t)i);
    for (int64_t i = 0; i < r->max.n_slots; i++) {
        r->prompts[i].n_open = 0;
        r->slots[i].is_running = false;
        if (args->n_stops > 0)
            stop_search_open(&r->slots[i].stops, r->t, r->max.max_new);
    }
    while (r->n_finished < n * g->n_samples) {
        decode_step(r);
        fill_slots(r);
        first_tokens(r);
        if (tick != NULL)
            tick(user, r->n_finished, r->stats.n_decode_tokens);
    }
    if (stats_out != NULL)
        *stats_out = r->stats;
    return STATUS_OK;
}
