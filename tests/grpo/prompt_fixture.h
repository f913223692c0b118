/*
 * For the tests of prompts: files of the shared folder, lines of JSON, and a session
 * without a model whose tokenizer has <BOS>, <EOS>, <x> and the bytes.
 */
#ifndef TESTS_GRPO_PROMPT_FIXTURE_H
#define TESTS_GRPO_PROMPT_FIXTURE_H

/* clang-format off: cmocka.h needs what stands before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io.h"
#include "core/json.h"
#include "grpo/session.h"

/* Path of a file in the shared folder (mem_free); NULL where it is absent. */
static inline char *shared_file(const char *name)
{
    const char *const root = getenv("MOE_GRPO_SHARED");
    char *const path = io_join(root != NULL ? root : "../shared", name);
    if (io_exists(path))
        return path;
    mem_free(path);
    return NULL;
}

/* The next line's value (json_decref); NULL at the end. */
static inline json_t *next_json(struct io_lines *lines)
{
    const char *line = NULL;
    size_t len = 0;
    json_t *root = NULL;
    if (!io_lines_next(lines, &line, &len))
        return NULL;
    assert_int_equal(json_parse(&root, line, len, "line"), 0);
    return root;
}

struct prompt_dir {
    char path[64];
};

static inline void prompt_dir_make(struct prompt_dir *d)
{
    snprintf(d->path, sizeof(d->path), "/tmp/moe_grpo_prompt_XXXXXX");
    assert_non_null(mkdtemp(d->path));
}

static inline void prompt_dir_put(const struct prompt_dir *d, const char *name,
                                  const char *text)
{
    char *const path = io_join(d->path, name);
    assert_int_equal(io_write_atomic(path, text, strlen(text)), 0);
    mem_free(path);
}

/* tokenizer.json: trained on a line of text, then given three more tokens. */
static inline void prompt_dir_put_tokenizer(const struct prompt_dir *d)
{
    static const char *const added[] = {"<BOS>", "<EOS>", "<x>"};
    const char *const text = "Question: how many apples\nAnswer: 3 apples";
    const size_t len = strlen(text);
    json_t *root = NULL;
    assert_int_equal(tokenizer_train(d->path, &text, &len, 1, 280), 0);
    char *const path = io_join(d->path, "tokenizer.json");
    assert_int_equal(json_parse_file(&root, path), 0);
    json_t *const tokens = json_object_get(root, "added_tokens");
    const json_t *const vocab = json_object_get(json_object_get(root, "model"),
                                                "vocab");
    const int64_t n_vocab = (int64_t)json_object_size(vocab);
    for (int i = 0; i < 3; i++) {
        json_t *const token = json_deep_copy(json_array_get(tokens, 0));
        json_object_set_new(token, "content", json_string(added[i]));
        json_object_set_new(token, "id", json_integer(n_vocab + i));
        json_array_append_new(tokens, token);
    }
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
    mem_free(path);
    char *const config = io_join(d->path, "tokenizer_config.json");
    unlink(config);
    mem_free(config);
}

/* Defaults, then the overrides, NULL at the end. The tokenizer of `dir` where it is not
 * NULL. Released by session_close. */
static inline void prompt_session(struct session *s, const char *dir, ...)
{
    va_list args;
    *s = (struct session){0};
    assert_int_equal(config_parse(&s->config, 0, NULL), 0);
    va_start(args, dir);
    for (const char *a; (a = va_arg(args, const char *)) != NULL;)
        assert_int_equal(options_override(config_options(), &s->config, a), 0);
    va_end(args);
    if (dir != NULL)
        assert_int_equal(session_load_text(s, dir), 0);
}

#endif
