/*
 * What the tokenizer's tests share: a directory, and tokenizers from the goldens of
 * tests/model/make_tokenizer_cases.py.
 */
#ifndef TESTS_MODEL_TOKENIZER_GOLDEN_H
#define TESTS_MODEL_TOKENIZER_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/io.h"
#include "core/json.h"
#include "core/log.h"
#include "model/tokenizer.h"

static const char golden_path[] = "tests/model/tokenizer_cases.jsonl";

static inline int set_up(void **state)
{
    static char dir[64];
    snprintf(dir, sizeof(dir), "/tmp/moe_grpo_tokenizer_XXXXXX");
    assert_non_null(mkdtemp(dir));
    log_set_level(LOG_ERROR); /* ids of added tokens that the library ignores */
    *state = dir;
    return 0;
}

static inline int tear_down(void **state) { return io_remove_tree(*state); }

static inline int load_text(struct tokenizer **out, const char *dir, const char *text,
                            size_t len)
{
    char *const path = io_join(dir, "tokenizer.json");
    FILE *const f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
    const int status = tokenizer_load(out, path);
    if (status != STATUS_OK)
        assert_non_null(strstr(status_message(), "tokenizer.json"));
    mem_free(path);
    return status;
}

static inline int load_json(struct tokenizer **out, const char *dir, const json_t *root)
{
    char *const text = json_dumps(root, JSON_COMPACT);
    const int status = load_text(out, dir, text, strlen(text));
    free(text);
    return status;
}

static inline json_t *next_line(struct io_lines *r)
{
    const char *line = NULL;
    size_t len = 0;
    json_t *root = NULL;
    if (io_lines_next(r, &line, &len))
        assert_int_equal(json_parse(&root, line, len, "a line"), 0);
    return root;
}

/* base with the keys of `change`; those of "model" go into the model. */
static inline json_t *changed(const json_t *base, const json_t *change)
{
    json_t *const root = json_deep_copy(base);
    json_t *const model = json_incref(json_object_get(root, "model"));
    json_t *const other = json_deep_copy(change);
    json_t *const in_model = json_object_get(other, "model");
    if (json_is_object(in_model)) {
        assert_int_equal(json_object_update(model, in_model), 0);
        json_object_del(other, "model");
    }
    assert_int_equal(json_object_update(root, other), 0);
    json_decref(model);
    json_decref(other);
    return root;
}

static inline json_t *golden_base(json_t **texts)
{
    struct io_lines r;
    assert_int_equal(io_lines_open(&r, golden_path), 0);
    json_t *const line = next_line(&r);
    json_t *const base = json_incref(json_object_get(line, "base"));
    if (texts != NULL)
        *texts = json_incref(json_object_get(line, "texts"));
    json_decref(line);
    io_lines_close(&r);
    return base;
}

#endif
