/*
 * Command words and common set-up.
 */
#include "grpo/session.h"

#include <string.h>
#include <time.h>

#include "core/io.h"
#include "core/log.h"
#include "grpo/prompter.h"

static struct args_flag *find_flag(struct args_flag *flags, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(flags[i].name, name) == 0)
            return &flags[i];
    return NULL;
}

int args_parse(struct args *a, struct args_flag *flags, int n_flags, int argc,
               char *const *argv)
{
    *a = (struct args){0};
    for (int i = 0; i < argc; i++) {
        char *const word = argv[i];
        if (a->n_words == ARGS_MAX_WORDS || a->n_overrides == ARGS_MAX_WORDS)
            return ERR(ERR_USAGE, "more than %d arguments", (int)ARGS_MAX_WORDS);
        if (strncmp(word, "--", 2) != 0) {
            const bool is_override = strchr(word, '=') != NULL &&
                                     strchr(word, '/') == NULL;
            const char *const eq = strchr(word, '=');
            const char *const dot = strchr(word, '.');
            if (is_override || (eq != NULL && dot != NULL && dot < eq))
                a->overrides[a->n_overrides++] = word;
            else
                a->words[a->n_words++] = word;
            continue;
        }
        struct args_flag *const flag = find_flag(flags, n_flags, word);
        if (flag == NULL)
            return ERR(ERR_USAGE, "unknown option %s (--help lists them)", word);
        if (flag->has_value && i + 1 == argc)
            return ERR(ERR_USAGE, "%s needs a value", word);
        flag->value = flag->has_value ? argv[++i] : "";
    }
    return STATUS_OK;
}

int session_open(struct session *s, const struct program *p, struct config *c)
{
    *s = (struct session){.program = p, .config = *c};
    *c = (struct config){0};
    log_set_level((enum log_level)s->config.run.log);
    log_set_rank(comm_rank(p->world), comm_size(p->world));
    TRY(prompter_check(&s->config.prompt));
    TRY(p->backend_open(&s->backend, &s->config));
    s->has_backend = true;
    return STATUS_OK;
}

int session_load_tokenizer(struct tokenizer **out, const char *dir)
{
    return tokenizer_load_dir(out, dir);
}

int session_load_text(struct session *s, const char *dir)
{
    const char *const text_dir = s->config.model.tokenizer;
    mem_free(s->dir);
    s->dir = mem_strdup(dir);
    return session_load_tokenizer(&s->tokenizer, text_dir[0] != '\0' ? text_dir : dir);
}

static bool has_tokenizer(const char *dir)
{
    char *const path = io_join(dir, "tokenizer.json");
    const bool is_there = io_exists(path);
    mem_free(path);
    return is_there;
}

int session_load(struct session *s, const char *dir, int64_t n_pos, int softmax,
                 bool is_text)
{
    const struct config_model *const cm = &s->config.model;
    if (dir[0] == '\0')
        return ERR(ERR_USAGE,
                   "no model: give its Hugging Face directory (model.path=DIR)");
    const char *const text_dir = cm->tokenizer[0] != '\0' ? cm->tokenizer : dir;
    if (is_text || has_tokenizer(text_dir))
        TRY(session_load_text(s, dir));
    const int dtype = cm->dtype == CONFIG_DTYPE_AUTO ? -1
                                                     : cm->dtype - CONFIG_DTYPE_F32;
    TRY(weights_load_to(&s->weights, &s->backend, dir, dtype));
    const struct hparams *const hp = &s->weights.hp;
    if (s->config.run.matmul == MATMUL_TENSOR && s->weights.dtype != DTYPE_BF16)
        return ERR(ERR_CONFIG,
                   "run.matmul=tensor: the weights are %s, tensor cores take BF16; set "
                   "model.dtype=bf16, or run.matmul=auto",
                   dtype_name(s->weights.dtype));
    if (n_pos > hp->max_pos)
        log_warn("sequences of up to %lld tokens, but %s/config.json says "
                 "max_position_embeddings %lld",
                 (long long)n_pos, dir, (long long)hp->max_pos);
    const bool is_full = softmax == SOFTMAX_FULL || s->tokenizer == NULL;
    const int64_t n_softmax = is_full ? hp->n_vocab : tokenizer_n_vocab(s->tokenizer);
    return model_init(&s->model, &s->backend, hp, s->weights.data, s->weights.dtype,
                      n_pos, n_softmax);
}

int session_bcast(struct session *s, struct comm *c, void *data, size_t bytes)
{
    enum { CHUNK = 16 << 20 };
    struct backend *const b = &s->backend;
    int status = STATUS_OK;
    if (b->is_host)
        return comm_bcast(c, data, bytes, 0);
    char *const host = mem_alloc(CHUNK);
    for (size_t i = 0; i < bytes && status == STATUS_OK; i += CHUNK) {
        const size_t n = bytes - i < CHUNK ? bytes - i : CHUNK;
        if (comm_rank(c) == 0)
            b->download(b, host, (const char *)data + i, n);
        status = comm_bcast(c, host, n, 0);
        if (comm_rank(c) > 0 && status == STATUS_OK)
            b->upload(b, (char *)data + i, host, n);
    }
    mem_free(host);
    return status;
}

void session_close(struct session *s)
{
    model_release(&s->model);
    weights_release(&s->weights);
    tokenizer_free(s->tokenizer);
    mem_free(s->dir);
    if (s->has_backend)
        s->program->backend_close(&s->backend);
    config_release(&s->config);
    *s = (struct session){0};
}

double session_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
