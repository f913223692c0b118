/*
 * The line into flat arrays. Every ragged array must have the shape of input.logp.
 */
#include "grpo/objective_case.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/options_text.h"

struct reader {
    struct objective_case *c;
    json_t *input;
    const char *where;
};

/* A number, or one of the strings for what JSON has no number for */
static bool number_of(double *out, const json_t *v)
{
    static const struct {
        const char *name;
        double value;
    } names[] = {{"nan", NAN}, {"inf", INFINITY}, {"-inf", -INFINITY}};
    if (json_is_number(v)) {
        *out = json_number_value(v);
        return true;
    }
    for (int64_t i = 0; json_is_string(v) && i < ARRAY_LEN(names); i++)
        if (strcmp(json_string_value(v), names[i].name) == 0) {
            *out = names[i].value;
            return true;
        }
    return false;
}

/* input[key] as an array of n; NULL with *is_absent where it is missing or null. */
static int array_of(const json_t **out, const struct reader *r, const char *key,
                    int64_t n, bool is_needed)
{
    const json_t *const v = json_object_get(r->input, key);
    *out = NULL;
    if (v == NULL || json_is_null(v))
        return is_needed ? ERR(ERR_INPUT, "%s: no input.%s", r->where, key) : STATUS_OK;
    if (!json_is_array(v) || (n >= 0 && (int64_t)json_array_size(v) != n))
        return ERR(ERR_INPUT, "%s: input.%s: expected an array of %lld sequences",
                   r->where, key, (long long)n);
    *out = v;
    return STATUS_OK;
}

/* (n_tokens) numbers of a ragged array; `null_value` stands for null. */
static int ragged(double **out, const struct reader *r, const char *key,
                  const double *null_value)
{
    struct objective_case *const c = r->c;
    const json_t *rows;
    TRY(array_of(&rows, r, key, c->n_seqs, false));
    if (rows == NULL)
        return STATUS_OK;
    *out = mem_alloc((size_t)c->n_tokens * sizeof(**out));
    for (int64_t i = 0; i < c->n_seqs; i++) {
        const json_t *const row = json_array_get(rows, (size_t)i);
        const int64_t n = c->off[i + 1] - c->off[i];
        if (!json_is_array(row) || (int64_t)json_array_size(row) != n)
            return ERR(ERR_INPUT,
                       "%s: input.%s[%lld]: expected %lld tokens, as input.logp has",
                       r->where, key, (long long)i, (long long)n);
        for (int64_t t = 0; t < n; t++) {
            const json_t *const v = json_array_get(row, (size_t)t);
            double *const to = *out + c->off[i] + t;
            if (json_is_null(v) && null_value != NULL)
                *to = *null_value;
            else if (!number_of(to, v))
                return ERR(ERR_INPUT, "%s: input.%s[%lld][%lld]: expected a number",
                           r->where, key, (long long)i, (long long)t);
        }
    }
    return STATUS_OK;
}

static int read_shape(const struct reader *r)
{
    struct objective_case *const c = r->c;
    const json_t *rows;
    TRY(array_of(&rows, r, "logp", -1, true));
    c->n_seqs = (int64_t)json_array_size(rows);
    if (c->n_seqs == 0)
        return ERR(ERR_INPUT, "%s: input.logp has no sequences", r->where);
    c->off = mem_alloc((size_t)(c->n_seqs + 1) * sizeof(*c->off));
    for (int64_t i = 0; i < c->n_seqs; i++) {
        const json_t *const row = json_array_get(rows, (size_t)i);
        if (!json_is_array(row))
            return ERR(ERR_INPUT, "%s: input.logp[%lld]: expected an array", r->where,
                       (long long)i);
        const int64_t n = (int64_t)json_array_size(row);
        c->off[i + 1] = c->off[i] + n;
        c->longest = n > c->longest ? n : c->longest;
    }
    c->n_tokens = c->off[c->n_seqs];
    c->width = c->longest;
    int64_t width = 0;
    TRY(json_get_int(r->input, "width", 0, INT32_MAX, &width, NULL, r->where));
    if (width > 0)
        c->width = width;
    return STATUS_OK;
}

/* Groups may be named by anything; they are numbered in order of appearance. */
static int read_groups(const struct reader *r)
{
    struct objective_case *const c = r->c;
    const json_t *names;
    TRY(array_of(&names, r, "group", c->n_seqs, true));
    c->group = mem_alloc((size_t)c->n_seqs * sizeof(*c->group));
    for (int64_t i = 0; i < c->n_seqs; i++) {
        const json_t *const name = json_array_get(names, (size_t)i);
        int64_t j = 0;
        while (j < i && !json_equal(name, json_array_get(names, (size_t)j)))
            j++;
        c->group[i] = j < i ? c->group[j] : c->n_groups++;
    }
    return STATUS_OK;
}

static int read_rewards(const struct reader *r)
{
    struct objective_case *const c = r->c;
    const json_t *rows;
    TRY(array_of(&rows, r, "rewards", c->n_seqs, true));
    c->n_rewards = (int64_t)json_array_size(json_array_get(rows, 0));
    if (c->n_rewards < 1)
        return ERR(ERR_INPUT,
                   "%s: input.rewards[0]: expected one number per reward function",
                   r->where);
    c->reward = mem_alloc((size_t)(c->n_seqs * c->n_rewards) * sizeof(*c->reward));
    for (int64_t i = 0; i < c->n_seqs; i++) {
        const json_t *const row = json_array_get(rows, (size_t)i);
        if ((int64_t)json_array_size(row) != c->n_rewards)
            return ERR(ERR_INPUT, "%s: input.rewards[%lld]: expected %lld numbers",
                       r->where, (long long)i, (long long)c->n_rewards);
        for (int64_t k = 0; k < c->n_rewards; k++) {
            const json_t *const v = json_array_get(row, (size_t)k);
            double *const to = &c->reward[i * c->n_rewards + k];
            if (json_is_null(v))
                *to = (double)NAN;
            else if (!number_of(to, v))
                return ERR(ERR_INPUT,
                           "%s: input.rewards[%lld][%lld]: expected a number or null",
                           r->where, (long long)i, (long long)k);
        }
    }
    return STATUS_OK;
}

static int read_masks(const struct reader *r)
{
    struct objective_case *const c = r->c;
    const json_t *truncated;
    double *mask = NULL;
    const int status = ragged(&mask, r, "mask", NULL);
    c->mask = mem_alloc((size_t)c->n_tokens);
    for (int64_t t = 0; t < c->n_tokens; t++)
        c->mask[t] = mask == NULL || mask[t] != 0.0;
    mem_free(mask);
    TRY(status);
    c->truncated = mem_alloc((size_t)c->n_seqs * sizeof(*c->truncated));
    TRY(array_of(&truncated, r, "truncated", c->n_seqs, false));
    for (int64_t i = 0; truncated != NULL && i < c->n_seqs; i++) {
        const json_t *const v = json_array_get(truncated, (size_t)i);
        double x = 0.0;
        if (!json_is_boolean(v) && !number_of(&x, v))
            return ERR(ERR_INPUT, "%s: input.truncated[%lld]: expected 0 or 1",
                       r->where, (long long)i);
        c->truncated[i] = json_is_true(v) || x != 0.0;
    }
    return STATUS_OK;
}

/* Other keys may stand beside these; one that is nearly one of them is a slip that
 * would silently change the case. */
static int check_keys(json_t *object, const char *const *known, int64_t n,
                      const char *where)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        const char *meant = NULL;
        for (int64_t i = 0; i < n && meant != key; i++) {
            const int distance = options_distance(key, known[i]);
            if (distance == 0)
                meant = key;
            else if (distance == 1 && strlen(key) > 3)
                meant = known[i];
        }
        if (meant != NULL && meant != key)
            return ERR(ERR_INPUT, "%s: unknown key \"%s\"; did you mean \"%s\"?", where,
                       key, meant);
    }
    return STATUS_OK;
}

static int read_input(const struct reader *r)
{
    static const char *const keys[] = {
        "group",        "rewards", "logp", "logp_old",  "logp_ref",
        "logp_rollout", "entropy", "mask", "truncated", "width"};
    const double unknown = (double)NAN;
    struct objective_case *const c = r->c;
    TRY(check_keys(r->input, keys, ARRAY_LEN(keys), r->where));
    TRY(read_shape(r));
    TRY(read_groups(r));
    TRY(read_rewards(r));
    TRY(read_masks(r));
    TRY(ragged(&c->logp, r, "logp", NULL));
    TRY(ragged(&c->logp_old, r, "logp_old", NULL));
    TRY(ragged(&c->logp_ref, r, "logp_ref", NULL));
    TRY(ragged(&c->logp_rollout, r, "logp_rollout", &unknown));
    return ragged(&c->entropy, r, "entropy", NULL);
}

static int read_root(struct objective_case *c, const char *where)
{
    static const char *const keys[] = {"id", "engine", "options", "input"};
    size_t len = 0;
    json_t *const input = json_object_get(c->root, "input");
    TRY(check_keys(c->root, keys, ARRAY_LEN(keys), where));
    c->id = json_object_get(c->root, "id");
    c->options = json_object_get(c->root, "options");
    TRY(json_get_string(c->root, "engine", &c->engine, &len, where));
    if (c->engine == NULL)
        return ERR(ERR_INPUT, "%s: no \"engine\"; expected \"trl\" or \"verl\"", where);
    if (c->options != NULL && !json_is_object(c->options))
        return ERR(ERR_INPUT, "%s: options: expected an object, found %s", where,
                   json_type_name(c->options));
    if (!json_is_object(input))
        return ERR(ERR_INPUT, "%s: input: expected an object, found %s", where,
                   json_type_name(input));
    const struct reader r = {.c = c, .input = input, .where = where};
    return read_input(&r);
}

int objective_case_read(struct objective_case *c, const char *text, size_t len,
                        const char *where)
{
    *c = (struct objective_case){0};
    TRY(json_parse(&c->root, text, len, where));
    const int status = json_is_object(c->root)
                           ? read_root(c, where)
                           : ERR(ERR_INPUT, "%s: expected a JSON object, found %s",
                                 where, json_type_name(c->root));
    if (status != STATUS_OK)
        objective_case_release(c);
    return status;
}

void objective_case_release(struct objective_case *c)
{
    mem_free(c->group);
    mem_free(c->off);
    mem_free(c->reward);
    mem_free(c->mask);
    mem_free(c->truncated);
    mem_free(c->logp);
    mem_free(c->logp_old);
    mem_free(c->logp_ref);
    mem_free(c->logp_rollout);
    mem_free(c->entropy);
    json_decref(c->root);
    *c = (struct objective_case){0};
}
