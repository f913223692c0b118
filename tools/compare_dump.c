/*
 * Whether what `grpo dump` wrote agrees with stored values:
 *
 *   compare_dump EXPECTED.json EXPECTED.safetensors DUMP.safetensors
 *
 * EXPECTED.json: {"tensors": {NAME: {"limit": l, "shape": [...]}}, "scalars": {NAME:
 * {"value": v, "limit": l}}}. Every F32 tensor with a limit must lie within it, entry
 * by entry; I32 tensors (chosen experts) must be equal. Columns of "logits" past the
 * stored shape are padding rows of the vocabulary, with the limit "logits.padding".
 * Tensors that one side lacks are left out. Prints one line; status 0 within the
 * limits, 1 not, 3 a file that cannot be read.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "model/safetensors.h"

struct comparison {
    json_t *expected;
    struct st_file want, got;
    double worst; /* largest error / limit */
    char where[200];
    int64_t n_values, n_tensors, n_routes;
};

/* limit of a tensor or scalar; < 0: none stored */
static double limit_of(const struct comparison *c, const char *kind, const char *name)
{
    const json_t *const at = json_object_get(json_object_get(c->expected, kind), name);
    const json_t *const limit = json_object_get(at, "limit");
    return json_is_number(limit) ? json_number_value(limit) : -1.0;
}

static int64_t stored_columns(const struct comparison *c, const char *name)
{
    const json_t *const at = json_object_get(json_object_get(c->expected, "tensors"),
                                             name);
    return (int64_t)json_integer_value(json_array_get(json_object_get(at, "shape"), 1));
}

static void judge(struct comparison *c, const char *name, double error, double limit)
{
    const double size = fabs(error);
    const double share = size == 0.0 ? 0.0 : limit > 0.0 ? size / limit : HUGE_VAL;
    c->n_values++;
    if (share <= c->worst)
        return;
    c->worst = share >= 0.0 ? share : HUGE_VAL; /* a NaN must not pass */
    snprintf(c->where, sizeof(c->where), "%s", name);
}

static float value(const struct st_file *f, const struct st_tensor *t, int64_t i)
{
    float v;
    memcpy(&v, f->map.data + t->off + (size_t)i * sizeof(v), sizeof(v));
    return v;
}

static void compare_floats(struct comparison *c, const struct st_tensor *want,
                           const struct st_tensor *got, double limit)
{
    const int64_t n = (int64_t)(want->bytes / sizeof(float));
    const bool is_logits = strcmp(want->name, "logits") == 0;
    const int64_t n_columns = is_logits ? want->shape[1] : 1;
    const int64_t n_stored = is_logits ? stored_columns(c, "logits") : 1;
    const double padding = limit_of(c, "tensors", "logits.padding");
    for (int64_t i = 0; i < n; i++) {
        const double error = (double)value(&c->got, got, i) -
                             (double)value(&c->want, want, i);
        judge(c, want->name, error, i % n_columns < n_stored ? limit : padding);
    }
}

static void compare_tensor(struct comparison *c, const struct st_tensor *want)
{
    const struct st_tensor *const got = st_find(&c->got, want->name);
    const double limit = limit_of(c, "tensors", want->name);
    if (got == NULL || got->bytes != want->bytes || got->dtype != want->dtype)
        return;
    if (want->dtype == ST_I32 && strncmp(want->name, "router.", 7) == 0) {
        const bool is_same = memcmp(c->want.map.data + want->off,
                                    c->got.map.data + got->off, want->bytes) == 0;
        judge(c, want->name, is_same ? 0.0 : 1.0, 0.0);
        c->n_routes++;
    } else if (want->dtype == ST_F32 && limit >= 0.0) {
        compare_floats(c, want, got, limit);
        c->n_tensors++;
    }
}

static void compare_scalars(struct comparison *c)
{
    const char *name;
    json_t *at;
    json_object_foreach(json_object_get(c->expected, "scalars"), name, at)
    {
        const struct st_tensor *const got = st_find(&c->got, name);
        if (got != NULL && got->dtype == ST_F32)
            judge(c, name,
                  (double)value(&c->got, got, 0) -
                      json_number_value(json_object_get(at, "value")),
                  limit_of(c, "scalars", name));
    }
}

static int run(struct comparison *c, char *const *argv)
{
    TRY(json_parse_file(&c->expected, argv[1]));
    TRY(st_open(&c->want, argv[2]));
    TRY(st_open(&c->got, argv[3]));
    for (int64_t i = 0; i < c->want.n; i++)
        compare_tensor(c, &c->want.tensors[i]);
    compare_scalars(c);
    if (c->n_tensors == 0 || c->n_routes == 0)
        return ERR(ERR_INPUT, "%s and %s: nothing in common", argv[2], argv[3]);
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    struct comparison c = {0};
    if (argc != 4) {
        fprintf(stderr, "usage: compare_dump EXPECTED.json EXPECTED.safetensors "
                        "DUMP.safetensors\n");
        return 2;
    }
    const int status = run(&c, argv);
    if (status != STATUS_OK) {
        fprintf(stderr, "compare_dump: %s\n", status_message());
        return status_exit(status);
    }
    printf("%.3f of the limit at worst (%s): %lld values of %lld tensors, %lld layers "
           "of routes\n",
           c.worst, c.where, (long long)c.n_values, (long long)c.n_tensors,
           (long long)c.n_routes);
    const bool is_within = c.worst <= 1.0;
    st_close(&c.want);
    st_close(&c.got);
    json_decref(c.expected);
    return is_within ? 0 : 1;
}
