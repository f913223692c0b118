/*
 * Rope keys. Version 4: rope_theta and rope_scaling (null or an object with rope_type,
 * formerly "type") at the top. Version 5: one object rope_parameters. A file may hold
 * both; rope_scaling wins if it is not null, and an object's own rope_theta wins over
 * the top's (specs "architectures" 0.4). An original_max_position_embeddings at the top
 * wins over the object's.
 */
#include "model/hparams_rope.h"

#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"

static const double default_theta = 1e6; /* the family's */
static const char *const rope_names[] = {
    [ROPE_DEFAULT] = "default",
    [ROPE_LINEAR] = "linear",
    [ROPE_LLAMA3] = "llama3",
    [ROPE_YARN] = "yarn",
};

const char *hparams_rope_name(enum rope_type type) { return rope_names[type]; }

static int find_object(const json_t **out, const json_t *config, const char **key_out,
                       const char *where)
{
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    *out = NULL;
    for (int i = 0; i < ARRAY_LEN(keys) && *out == NULL; i++) {
        const json_t *const v = json_object_get(config, keys[i]);
        if (v == NULL || json_is_null(v))
            continue;
        if (!json_is_object(v))
            return ERR(ERR_INPUT, "%s: \"%s\" is %s, expected an object or null", where,
                       keys[i], json_type_name(v));
        *out = v;
        *key_out = keys[i];
    }
    return STATUS_OK;
}

static int check_flat(const json_t *d, const char *where)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)d, key, value)
    {
        if (json_is_object(value))
            return ERR(
                ERR_INPUT,
                "%s: \"%s\" is an object: rope parameters per layer type are not "
                "supported, expected one set for all layers",
                where, key);
    }
    return STATUS_OK;
}

static int read_type(enum rope_type *out, const json_t *d, const char *where)
{
    const char *name = NULL, *legacy = NULL;
    TRY(json_get_string(d, "rope_type", &name, NULL, where));
    TRY(json_get_string(d, "type", &legacy, NULL, where));
    if (name != NULL && legacy != NULL && strcmp(name, legacy) != 0)
        return ERR(ERR_INPUT, "%s: \"rope_type\" is \"%s\" but \"type\" is \"%s\"",
                   where, name, legacy);
    if (name == NULL)
        name = legacy == NULL ? "default" : legacy;
    for (int i = 0; i < ARRAY_LEN(rope_names); i++)
        if (strcmp(name, rope_names[i]) == 0) {
            *out = (enum rope_type)i;
            return STATUS_OK;
        }
    return ERR(ERR_INPUT,
               "%s: \"rope_type\" is \"%s\"; supported: default, linear, llama3, yarn",
               where, name);
}

/* A finite number above zero. */
static int get_positive(const json_t *d, const char *key, double *out, bool *found,
                        const char *where)
{
    double v = 1.0;
    TRY(json_get_real(d, key, &v, found, where));
    if (!(v > 0.0 && v <= 1e15))
        return ERR(ERR_INPUT,
                   "%s: \"%s\" is %g, expected a number above 0, at most 1e15", where,
                   key, v);
    if (*found)
        *out = v;
    return STATUS_OK;
}

static int require_positive(const json_t *d, const char *key, double *out,
                            const char *where)
{
    bool found = false;
    TRY(get_positive(d, key, out, &found, where));
    if (!found)
        return ERR(ERR_INPUT, "%s: no \"%s\", which this rope_type needs", where, key);
    return STATUS_OK;
}

static int read_original_max_pos(struct hparams *hp, const json_t *config,
                                 const json_t *d, const char *where)
{
    static const char key[] = "original_max_position_embeddings";
    bool found = false;
    hp->rope.original_max_pos = hp->max_pos;
    TRY(json_get_int(config, key, 1, INT32_MAX, &hp->rope.original_max_pos, &found,
                     where));
    if (!found)
        TRY(json_get_int(d, key, 1, INT32_MAX, &hp->rope.original_max_pos, &found,
                         where));
    return STATUS_OK;
}

static int read_llama3(struct rope_params *r, const json_t *d, const char *where)
{
    TRY(require_positive(d, "factor", &r->factor, where));
    TRY(require_positive(d, "low_freq_factor", &r->low_freq_factor, where));
    TRY(require_positive(d, "high_freq_factor", &r->high_freq_factor, where));
    if (r->high_freq_factor <= r->low_freq_factor)
        return ERR(ERR_INPUT,
                   "%s: \"high_freq_factor\" is %g, expected more than "
                   "\"low_freq_factor\", %g",
                   where, r->high_freq_factor, r->low_freq_factor);
    return STATUS_OK;
}

static int read_yarn(struct hparams *hp, const json_t *d, const char *where)
{
    struct rope_params *const r = &hp->rope;
    bool found = false;
    r->factor = (double)hp->max_pos / (double)r->original_max_pos;
    r->beta_fast = 32.0;
    r->beta_slow = 1.0;
    r->is_truncated = true;
    TRY(get_positive(d, "factor", &r->factor, &found, where));
    TRY(get_positive(d, "beta_fast", &r->beta_fast, &found, where));
    TRY(get_positive(d, "beta_slow", &r->beta_slow, &found, where));
    TRY(get_positive(d, "attention_factor", &r->attention_factor, &found, where));
    TRY(json_get_bool(d, "truncate", &r->is_truncated, &found, where));
    /* 0 means absent for these two, as in the reference */
    TRY(json_get_real(d, "mscale", &r->mscale, &found, where));
    TRY(json_get_real(d, "mscale_all_dim", &r->mscale_all_dim, &found, where));
    if (!(r->mscale >= 0.0 && r->mscale_all_dim >= 0.0))
        return ERR(
            ERR_INPUT,
            "%s: \"mscale\" is %g, \"mscale_all_dim\" is %g, expected at least 0",
            where, r->mscale, r->mscale_all_dim);
    return STATUS_OK;
}

/* The family rotates whole heads; versions differ in whether they read this key. */
static int check_partial(const json_t *obj, const char *where)
{
    double partial = 1.0;
    bool found = false;
    TRY(json_get_real(obj, "partial_rotary_factor", &partial, &found, where));
    if (partial != 1.0)
        return ERR(ERR_INPUT, "%s: \"partial_rotary_factor\" is %g, supported: 1",
                   where, partial);
    return STATUS_OK;
}

static int read_object(struct hparams *hp, const json_t *config, const json_t *d,
                       const char *where)
{
    struct rope_params *const r = &hp->rope;
    bool found = false;
    TRY(check_flat(d, where));
    TRY(read_type(&r->type, d, where));
    TRY(check_partial(d, where));
    TRY(get_positive(d, "rope_theta", &r->theta, &found, where));
    switch (r->type) {
    case ROPE_DEFAULT:
        return STATUS_OK;
    case ROPE_LINEAR:
        return require_positive(d, "factor", &r->factor, where);
    case ROPE_LLAMA3:
        TRY(read_original_max_pos(hp, config, d, where));
        return read_llama3(r, d, where);
    case ROPE_YARN:
        TRY(read_original_max_pos(hp, config, d, where));
        return read_yarn(hp, d, where);
    }
    return STATUS_OK;
}

int hparams_read_rope(struct hparams *hp, const json_t *config, const char *where)
{
    const json_t *d;
    const char *key = "";
    bool found = false;
    hp->rope = (struct rope_params){
        .type = ROPE_DEFAULT, .theta = default_theta, .rot = hp->head_dim};
    TRY(find_object(&d, config, &key, where));
    TRY(check_partial(config, where));
    TRY(get_positive(config, "rope_theta", &hp->rope.theta, &found, where));
    if (d == NULL)
        return STATUS_OK;
    struct buf inside = {0};
    buf_printf(&inside, "%s: %s", where, key);
    const int status = read_object(hp, config, d, inside.data);
    buf_release(&inside);
    return status;
}
