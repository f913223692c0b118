/*
 * The file is mapped; lines are found and checked once, and parsed again when their
 * step comes, so that memory holds one line's JSON at a time.
 */
#include "grpo/trajectories.h"

#include <math.h>
#include <string.h>

#include "core/io.h"
#include "core/json.h"
#include "grpo/prompt.h"
#include "reward/reward.h"

enum { WHERE_BYTES = 512 };

struct line {
    size_t off, len;
    int64_t number;
};

struct trajectories {
    struct trajectories_setup s;
    char *path;
    struct io_map map;
    struct line *lines;
    int64_t n, cap, n_filtered, n_unknown;
    bool has_routes;
    struct prompt_limits limits;
    struct buf text; /* a rendered prompt */
    struct ids ids;
    struct buf question, gold;
    char where[WHERE_BYTES];
};

/* What one reading of a line fills and finds. */
struct reading {
    struct trajectories *t;
    struct groups *g;
    int64_t p;
    const json_t *line;
    bool is_kept, has_routes;
    int64_t n_unknown;
    struct reward_gold *gold;
};

/* Integers min <= v < end of an array into dst, `n` expected (-1: any up to max) */
static int read_ids(const json_t *array, const char *key, int64_t end, int64_t max,
                    int32_t *dst, int64_t *n_out, const char *where)
{
    if (!json_is_array(array))
        return ERR(ERR_INPUT, "%s: \"%s\" is %s, expected an array of token ids", where,
                   key, json_type_name(array));
    const int64_t n = (int64_t)json_array_size(array);
    if (n < 1 || n > max)
        return ERR(ERR_INPUT, "%s: \"%s\" has %lld tokens, expected 1 to %lld", where,
                   key, (long long)n, (long long)max);
    for (int64_t i = 0; i < n; i++) {
        const json_t *const v = json_array_get(array, (size_t)i);
        const int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= end)
            return ERR(ERR_INPUT,
                       "%s: \"%s\"[%lld] is %s, expected a token id below %lld", where,
                       key, (long long)i,
                       json_is_integer(v) ? "out of range" : json_type_name(v),
                       (long long)end);
        dst[i] = (int32_t)id;
    }
    *n_out = n;
    return STATUS_OK;
}

/* n rows of L K distinct-per-layer expert ids */
static int read_routes(struct reading *r, const json_t *array, const char *key,
                       int64_t n, uint16_t *dst, const char *where)
{
    const struct hparams *const hp = r->t->s.hp;
    const int64_t width = hp->n_layers * hp->top_k;
    if (!json_is_array(array) || (int64_t)json_array_size(array) != n)
        return ERR(ERR_INPUT,
                   "%s: \"%s\" must be an array with one row per token, %lld", where,
                   key, (long long)n);
    for (int64_t i = 0; i < n * width; i++) {
        const json_t *const row = json_array_get(array, (size_t)(i / width));
        const json_t *const v = json_array_get(row, (size_t)(i % width));
        const int64_t e = json_is_integer(v) ? json_integer_value(v) : -1;
        bool is_good = (int64_t)json_array_size(row) == width && e >= 0 &&
                       e < hp->n_experts;
        for (int64_t j = i - i % hp->top_k; is_good && j < i; j++)
            is_good = dst[j] != e;
        if (!is_good)
            return ERR(ERR_INPUT,
                       "%s: \"%s\"[%lld] must be %lld expert ids below %lld, %lld "
                       "distinct ones for each layer",
                       where, key, (long long)(i / width), (long long)width,
                       (long long)hp->n_experts, (long long)hp->top_k);
        dst[i] = (uint16_t)e;
    }
    return STATUS_OK;
}

/* The text of the first of two keys that is a string; NULL: neither is there */
static int read_text(const json_t *obj, const char *first, const char *second,
                     const char **out, size_t *len, const char *where)
{
    *out = NULL;
    TRY(json_get_string(obj, first, out, len, where));
    return *out != NULL || second == NULL
               ? STATUS_OK
               : json_get_string(obj, second, out, len, where);
}

static int read_prompt(struct reading *r)
{
    struct trajectories *const t = r->t;
    const char *question = NULL, *prompt = NULL;
    size_t n_question = 0, n_prompt = 0;
    const json_t *const tokens = json_object_get(r->line, "prompt_tokens");
    TRY(read_text(r->line, "question", "problem", &question, &n_question, t->where));
    TRY(read_text(r->line, "prompt", NULL, &prompt, &n_prompt, t->where));
    buf_reset(&t->question);
    if (question != NULL)
        buf_append(&t->question, question, n_question);
    else if (prompt != NULL)
        buf_append(&t->question, prompt, n_prompt);
    t->ids.n = 0;
    if (tokens != NULL) {
        int32_t *const ids = r->g->prompt + r->p * r->g->max_prompt;
        int64_t n = 0;
        TRY(read_ids(tokens, "prompt_tokens", t->s.hp->n_vocab, r->g->max_prompt, ids,
                     &n, t->where));
        for (int64_t i = 0; i < n; i++)
            ids_push(&t->ids, ids[i]);
        r->is_kept = true;
        return STATUS_OK;
    }
    if (prompt == NULL && question == NULL)
        return ERR(ERR_INPUT,
                   "%s: no prompt: expected the key \"prompt_tokens\", \"prompt\", "
                   "\"question\" or \"problem\"",
                   t->where);
    buf_reset(&t->text);
    if (prompt != NULL)
        buf_append(&t->text, prompt, n_prompt);
    else
        prompter_render(t->s.prompter, 0, (struct prompt_text){question, n_question},
                        &t->text);
    const int status = prompt_encode(t->s.tokenizer, &t->limits, &t->text, &t->ids,
                                     &r->is_kept);
    return status == STATUS_OK ? status : status_prefix(status, "%s", t->where);
}

/* A number becomes the shortest text that reads back to it. */
static int read_gold(struct reading *r)
{
    struct trajectories *const t = r->t;
    const json_t *v = json_object_get(r->line, "gold");
    const char *const key = v != NULL ? "gold" : "answer";
    v = v != NULL ? v : json_object_get(r->line, key);
    buf_reset(&t->gold);
    if (v == NULL || json_is_null(v))
        return STATUS_OK;
    if (json_is_string(v))
        buf_append(&t->gold, json_string_value(v), json_string_length(v));
    else if (json_is_integer(v))
        buf_printf(&t->gold, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        buf_printf(&t->gold, "%.15g", json_real_value(v));
    else
        return ERR(ERR_INPUT, "%s: \"%s\" is %s, expected a string or a number",
                   t->where, key, json_type_name(v));
    const int status = collector_gold(&r->gold, t->s.collector, t->gold.data,
                                      t->gold.len);
    return status == STATUS_OK ? status
                               : status_prefix(status, "%s: \"%s\"", t->where, key);
}

static bool is_eos(const struct hparams *hp, int32_t id)
{
    for (int i = 0; i < hp->n_eos; i++)
        if (hp->eos_ids[i] == id)
            return true;
    return false;
}

/* *out: as given, or -1 */
static int read_finish(const json_t *c, int *out, const char *where)
{
    const char *text = NULL;
    size_t len = 0;
    TRY(json_get_string(c, "finish", &text, &len, where));
    *out = -1;
    for (int f = 0; text != NULL && f <= FINISH_LENGTH; f++)
        if (strcmp(text, finish_name((enum finish)f)) == 0)
            *out = f;
    if (text != NULL && *out < 0)
        return ERR(ERR_INPUT,
                   "%s: \"finish\" is \"%s\", expected \"eos\", \"stop\" or \"length\"",
                   where, text);
    return STATUS_OK;
}

/* The completion's text as tokens, with its end */
static int encode_text(struct reading *r, const json_t *c, int finish, int32_t *dst,
                       int64_t *n_out, const char *where)
{
    struct trajectories *const t = r->t;
    const char *text = NULL;
    size_t len = 0;
    TRY(json_get_string(c, "text", &text, &len, where));
    if (text == NULL)
        return ERR(ERR_INPUT, "%s: expected the key \"tokens\" or \"text\"", where);
    t->ids.n = 0;
    const int status = tokenizer_encode(t->s.tokenizer, text, len, false, &t->ids);
    if (status != STATUS_OK)
        return status_prefix(status, "%s: \"text\"", where);
    if (finish < 0 || finish == FINISH_EOS) {
        if (t->s.hp->n_eos == 0)
            return ERR(ERR_INPUT,
                       "%s: the model has no end-of-text token to put after \"text\": "
                       "give \"tokens\", or \"finish\"",
                       where);
        ids_push(&t->ids, t->s.hp->eos_ids[0]);
    }
    if (t->ids.n < 1 || t->ids.n > r->g->max_new)
        return ERR(ERR_INPUT,
                   "%s: \"text\" has %lld tokens, expected 1 to %lld "
                   "(rollout.max_new)",
                   where, (long long)t->ids.n, (long long)r->g->max_new);
    memcpy(dst, t->ids.data, (size_t)t->ids.n * sizeof(*dst));
    *n_out = t->ids.n;
    return STATUS_OK;
}

static int read_logp(struct reading *r, const json_t *c, float *dst, int64_t n,
                     const char *where)
{
    const json_t *v = json_object_get(c, "logp");
    const char *const key = v != NULL ? "logp" : "logprobs";
    v = v != NULL ? v : json_object_get(c, key);
    const bool is_given = v != NULL && !json_is_null(v);
    if (is_given && !json_is_array(v))
        return ERR(ERR_INPUT, "%s: \"%s\" is %s, expected an array of numbers", where,
                   key, json_type_name(v));
    if (is_given && (int64_t)json_array_size(v) != n)
        return ERR(ERR_INPUT, "%s: \"%s\" has %lld numbers for %lld tokens%s", where,
                   key, (long long)json_array_size(v), (long long)n,
                   json_object_get(c, "tokens") != NULL
                       ? ""
                       : " of \"text\" as tokenised here; give \"tokens\" as well");
    for (int64_t i = 0; i < n; i++) {
        const json_t *const x = is_given ? json_array_get(v, (size_t)i) : NULL;
        dst[i] = json_is_number(x) ? (float)json_number_value(x) : NAN;
        const bool is_unknown = x == NULL || json_is_null(x);
        r->n_unknown += is_unknown;
        /* a log of a probability; 1e-4: other engines' rounding */
        if (!is_unknown && !(dst[i] <= 1e-4f && isfinite(dst[i])))
            return ERR(ERR_INPUT,
                       "%s: \"%s\"[%lld] is not the logarithm of a probability", where,
                       key, (long long)i);
    }
    return STATUS_OK;
}

/* *has_reward: whether it was given; else the verifier must find it. */
static int read_completion(struct reading *r, int64_t s, const json_t *c,
                           double *reward, bool *has_reward)
{
    struct trajectories *const t = r->t;
    struct sample_info *const info = groups_info(r->g, r->p, s);
    int32_t *const tokens = groups_tokens(r->g, r->p, s);
    const json_t *const given = json_object_get(c, "tokens");
    char where[WHERE_BYTES + 64];
    int64_t n = 0;
    int finish = -1;
    snprintf(where, sizeof(where), "%s: completion %lld", t->where, (long long)s);
    if (!json_is_object(c))
        return ERR(ERR_INPUT, "%s is %s, expected an object", where, json_type_name(c));
    TRY(read_finish(c, &finish, where));
    if (given != NULL)
        TRY(read_ids(given, "tokens", t->s.n_softmax, r->g->max_new, tokens, &n,
                     where));
    else
        TRY(encode_text(r, c, finish, tokens, &n, where));
    TRY(read_logp(r, c, groups_logp(r->g, r->p, s), n, where));
    TRY(json_get_real(c, "reward", reward, has_reward, where));
    if (*has_reward && !isfinite((float)*reward))
        return ERR(ERR_INPUT, "%s: \"reward\" is not finite in fp32", where);
    if (!*has_reward && r->gold == NULL)
        return ERR(ERR_INPUT,
                   "%s: no \"reward\", and the line has no \"gold\" or \"answer\" to "
                   "find one by",
                   where);
    const json_t *const routes = json_object_get(c, "routes");
    r->has_routes = r->has_routes && routes != NULL;
    if (routes != NULL)
        TRY(read_routes(r, routes, "routes", n, groups_routes(r->g, r->p, s), where));
    if (finish < 0)
        finish = is_eos(t->s.hp, tokens[n - 1]) ? FINISH_EOS : FINISH_LENGTH;
    info->n_tokens = (int32_t)n;
    info->finish = (uint8_t)finish;
    return STATUS_OK;
}

static int read_completions(struct reading *r)
{
    struct trajectories *const t = r->t;
    const json_t *const all = json_object_get(r->line, "completions");
    double reward[4096]; /* the option table's limit of group_size */
    bool has_reward[4096];
    if (!json_is_array(all))
        return ERR(ERR_INPUT, "%s: \"completions\" is %s, expected an array", t->where,
                   json_type_name(all));
    if ((int64_t)json_array_size(all) != r->g->n_samples)
        return ERR(ERR_INPUT,
                   "%s: %lld completions, but rollout.group_size=%lld: groups are of "
                   "one size",
                   t->where, (long long)json_array_size(all),
                   (long long)r->g->n_samples);
    for (int64_t s = 0; s < r->g->n_samples; s++)
        TRY(read_completion(r, s, json_array_get(all, (size_t)s), &reward[s],
                            &has_reward[s]));
    const json_t *const routes = json_object_get(r->line, "prompt_routes");
    r->has_routes = r->has_routes && routes != NULL;
    if (routes != NULL)
        TRY(read_routes(r, routes, "prompt_routes", r->g->n_prompt[r->p],
                        groups_prompt_routes(r->g, r->p), t->where));
    if (r->gold != NULL)
        collector_score(t->s.collector, r->g, r->p, r->gold);
    for (int64_t s = 0; s < r->g->n_samples; s++) {
        struct sample_info *const info = groups_info(r->g, r->p, s);
        if (r->gold == NULL)
            info->reason = REWARD_WRONG; /* nobody said that it is right */
        if (has_reward[s])
            info->reward = (float)reward[s];
    }
    return STATUS_OK;
}

static int read_line(struct reading *r, int64_t i)
{
    struct trajectories *const t = r->t;
    const struct line *const at = &t->lines[i];
    json_t *line = NULL;
    snprintf(t->where, sizeof(t->where), "%s:%lld", t->path, (long long)at->number);
    TRY(json_parse(&line, (const char *)t->map.data + at->off, at->len, t->where));
    int status = json_is_object(line)
                     ? STATUS_OK
                     : ERR(ERR_INPUT, "%s: found %s, expected an object", t->where,
                           json_type_name(line));
    r->line = line;
    r->has_routes = true;
    if (status == STATUS_OK)
        status = read_prompt(r);
    if (status == STATUS_OK && r->is_kept) {
        groups_set_prompt(r->g, r->p, i, t->ids.data, t->ids.n);
        status = read_gold(r);
        if (status == STATUS_OK)
            status = read_completions(r);
    }
    reward_gold_free(r->gold);
    r->gold = NULL;
    json_decref(line);
    return status;
}

static void push_line(struct trajectories *t, size_t off, size_t len, int64_t number)
{
    if (t->n == t->cap) {
        const int64_t cap = 2 * t->cap + 64;
        t->lines = mem_realloc(t->lines, (size_t)t->cap * sizeof(*t->lines),
                               (size_t)cap * sizeof(*t->lines));
        t->cap = cap;
    }
    t->lines[t->n++] = (struct line){.off = off, .len = len, .number = number};
}

/* Lines that are not blank */
static void find_lines(struct trajectories *t)
{
    const char *const data = (const char *)t->map.data;
    int64_t number = 0;
    for (size_t off = 0; off < t->map.size; number++) {
        const char *const end = memchr(data + off, '\n', t->map.size - off);
        const size_t len = end == NULL ? t->map.size - off : (size_t)(end - data) - off;
        size_t i = 0;
        while (i < len && strchr(" \t\r", data[off + i]) != NULL)
            i++;
        if (i < len)
            push_line(t, off, len, number + 1);
        off += len + 1;
    }
}

/* Every line into one slot of its own, kept ones counted */
static int check_lines(struct trajectories *t)
{
    const struct config *const c = t->s.config;
    struct groups g;
    int64_t n_kept = 0;
    int status = STATUS_OK;
    TRY(groups_init(&g, 1, c->rollout.group_size, c->data.max_prompt,
                    c->rollout.max_new, t->s.hp->n_layers * t->s.hp->top_k));
    t->has_routes = true;
    for (int64_t i = 0; i < t->n; i++) {
        struct reading r = {.t = t, .g = &g};
        TRY_OUT(read_line(&r, i));
        if (!r.is_kept) {
            t->n_filtered++;
            continue;
        }
        t->n_unknown += r.n_unknown;
        t->has_routes = t->has_routes && r.has_routes;
        if (r.n_unknown > 0 && c->grpo.old_logp == OLD_LOGP_ROLLOUT)
            TRY_OUT(ERR(ERR_CONFIG,
                        "%s: tokens without \"logp\", which grpo.old_logp=rollout "
                        "needs; leave it at auto or learner",
                        t->where));
        if (!r.has_routes && c->grpo.routing_replay == REPLAY_R3)
            TRY_OUT(ERR(ERR_CONFIG,
                        "%s: no \"routes\" and \"prompt_routes\" of every token, which "
                        "grpo.routing_replay=r3 needs",
                        t->where));
        t->lines[n_kept++] = t->lines[i];
    }
    t->n = n_kept;
out:
    groups_release(&g);
    return status;
}

int trajectories_open(struct trajectories **out, const char *path,
                      const struct trajectories_setup *s)
{
    const struct config *const c = s->config;
    struct trajectories *const t = mem_alloc(sizeof(*t));
    int status = STATUS_OK;
    t->s = *s;
    t->path = mem_strdup(path);
    t->limits = (struct prompt_limits){.has_special = prompter_has_special(s->prompter),
                                       .max_tokens = c->data.max_prompt,
                                       .is_filter = c->data.overlong ==
                                                    OVERLONG_FILTER};
    if (prompter_has_shots(s->prompter))
        TRY_OUT(ERR(ERR_CONFIG,
                    "%s: worked examples (prompt.shots, prompt.preset=%s) are "
                    "drawn per problem of data.train; trajectories carry their "
                    "whole \"prompt\": use prompt.shots=0",
                    path, c->prompt.preset));
    TRY_OUT(io_map_open(&t->map, path));
    find_lines(t);
    TRY_OUT(check_lines(t));
    if (t->n < c->grpo.prompts)
        TRY_OUT(ERR(ERR_INPUT,
                    "%s: %lld groups (%lld left out as longer than "
                    "data.max_prompt=%lld), fewer than grpo.prompts=%lld of a step",
                    path, (long long)t->n, (long long)t->n_filtered,
                    (long long)c->data.max_prompt, (long long)c->grpo.prompts));
    *out = t;
    return STATUS_OK;
out:
    trajectories_free(t);
    return status;
}

void trajectories_free(struct trajectories *t)
{
    if (t == NULL)
        return;
    io_map_close(&t->map);
    ids_release(&t->ids);
    buf_release(&t->question);
    buf_release(&t->gold);
    buf_release(&t->text);
    mem_free(t->lines);
    mem_free(t->path);
    mem_free(t);
}

int64_t trajectories_n(const struct trajectories *t) { return t->n; }

int64_t trajectories_n_filtered(const struct trajectories *t) { return t->n_filtered; }

int64_t trajectories_n_unknown(const struct trajectories *t) { return t->n_unknown; }

bool trajectories_has_routes(const struct trajectories *t) { return t->has_routes; }

int trajectories_read(struct trajectories *t, int64_t i, struct groups *g, int64_t p)
{
    struct reading r = {.t = t, .g = g, .p = p};
    TRY(read_line(&r, i));
    if (!r.is_kept)
        return ERR(ERR_INPUT, "%s: the file has changed since it was opened", t->where);
    return STATUS_OK;
}

int trajectories_texts(struct trajectories *t, int64_t i, const char **question_out,
                       const char **gold_out)
{
    struct groups g;
    const struct config *const c = t->s.config;
    TRY(groups_init(&g, 1, c->rollout.group_size, c->data.max_prompt,
                    c->rollout.max_new, t->s.hp->n_layers * t->s.hp->top_k));
    const int status = trajectories_read(t, i, &g, 0);
    groups_release(&g);
    buf_puts(&t->question, "");
    buf_puts(&t->gold, "");
    *question_out = t->question.data;
    *gold_out = t->gold.data;
    return status;
}
