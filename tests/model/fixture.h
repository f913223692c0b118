/*
 * The shared checkpoints (fixtures/checkpoints, described in their README): one case's
 * model directory and the values that transformers computed on it. Absent fixtures are
 * skips, which cmocka counts.
 */
#ifndef TESTS_MODEL_FIXTURE_H
#define TESTS_MODEL_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io.h"
#include "core/json.h"
#include "core/mem.h"
#include "model/safetensors.h"

#define FIXTURE_FN static inline __attribute__((unused))

static const char *const fixture_cases[] = {
    "mixtral-f32",          "mixtral-bf16",         "mixtral-f16",
    "mixtral-f16-sharded",  "mixtral-f16-fused-v5", "mixtral-gqa",
    "mixtral-gqa-fused-v4", "mixtral-paper",        "mixtral-e64",
    "mixtral-k1",
};

struct fixture {
    char model[512];   /* directory to load */
    json_t *expected;  /* of the case that holds the values */
    struct st_file st; /* its expected.safetensors */
    int32_t *ids, *offsets;
    float *coef; /* of each predicted token */
    int64_t n_seqs, n_tokens, n_predicted;
};

/* A tensor's 4-byte elements, aligned; mem_free. NULL if absent. */
FIXTURE_FN void *fixture_tensor(const struct fixture *f, const char *name, int64_t *n)
{
    const struct st_tensor *const t = st_find(&f->st, name);
    if (t == NULL)
        return NULL;
    CHECK(t->dtype == ST_F32 || t->dtype == ST_I32, "%s is %s", name,
          st_dtype_name(t->dtype));
    void *const p = mem_alloc(t->bytes);
    memcpy(p, (const char *)f->st.map.data + t->off, t->bytes);
    if (n != NULL)
        *n = (int64_t)(t->bytes / 4);
    return p;
}

/* A number at expected.json's path of up to three keys; the last ones may be NULL. */
FIXTURE_FN double fixture_number(const struct fixture *f, const char *a, const char *b,
                                 const char *c)
{
    const json_t *v = json_object_get(f->expected, a);
    v = b == NULL ? v : json_object_get(v, b);
    v = c == NULL ? v : json_object_get(v, c);
    CHECK(json_is_number(v), "expected.json: no number at %s %s", a,
          b == NULL ? "" : b);
    return json_number_value(v);
}

FIXTURE_FN bool fixture_open(struct fixture *f, const char *name)
{
    const char *const shared = getenv("MOE_GRPO_SHARED");
    const char *const root = shared == NULL ? "../shared" : shared;
    char path[600], dir[400];
    *f = (struct fixture){0};
    snprintf(dir, sizeof(dir), "%s/fixtures/checkpoints/cases", root);
    snprintf(f->model, sizeof(f->model), "%s/%s/model", dir, name);
    snprintf(path, sizeof(path), "%s/%s/expected.json", dir, name);
    if (!io_exists(path))
        return false;
    CHECK(json_parse_file(&f->expected, path) == 0, "%s", status_message());
    const char *const twin = json_string_value(json_object_get(f->expected, "same_as"));
    char values[64];
    snprintf(values, sizeof(values), "%s", twin == NULL ? name : twin);
    if (twin != NULL) {
        json_decref(f->expected);
        snprintf(path, sizeof(path), "%s/%s/expected.json", dir, values);
        CHECK(json_parse_file(&f->expected, path) == 0, "%s", status_message());
    }
    snprintf(path, sizeof(path), "%s/%s/expected.safetensors", dir, values);
    CHECK(st_open(&f->st, path) == 0, "%s", status_message());
    f->ids = fixture_tensor(f, "ids", &f->n_tokens);
    f->offsets = fixture_tensor(f, "offsets", &f->n_seqs);
    f->coef = fixture_tensor(f, "coef", &f->n_predicted);
    f->n_seqs--;
    return true;
}

FIXTURE_FN void fixture_close(struct fixture *f)
{
    mem_free(f->ids);
    mem_free(f->offsets);
    mem_free(f->coef);
    st_close(&f->st);
    json_decref(f->expected);
}

/* expected.json greedy.KEY as int32 or float; returns the count */
FIXTURE_FN int64_t fixture_greedy(const struct fixture *f, const char *key,
                                  int32_t *ints, double *reals)
{
    const json_t *const a = json_object_get(json_object_get(f->expected, "greedy"),
                                            key);
    const int64_t n = (int64_t)json_array_size(a);
    for (int64_t i = 0; i < n; i++) {
        const json_t *const v = json_array_get(a, (size_t)i);
        if (ints != NULL)
            ints[i] = (int32_t)json_integer_value(v);
        if (reals != NULL)
            reals[i] = json_number_value(v);
    }
    return n;
}

#endif
