/*
 * `grpo synth`: writes the three problem files and, when asked, a tokenizer trained on
 * them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io.h"
#include "core/log.h"
#include "grpo/commands.h"
#include "grpo/problems.h"
#include "grpo/prompt.h"
#include "grpo/synth.h"

enum flag {
    FLAG_SEED,
    FLAG_TRAIN,
    FLAG_HELDOUT,
    FLAG_PRETRAIN,
    FLAG_MIN_STEPS,
    FLAG_MAX_STEPS,
    FLAG_MAX_NUMBER,
    FLAG_VOCAB,
    FLAG_DISTRACTORS,
    FLAG_FACTS,
    FLAG_MARKER,
    FLAG_PROSE,
    FLAG_TERSE,
    FLAG_CARELESS,
    N_FLAGS
};

static int read_int(int64_t *out, const struct args_flag *f)
{
    char *end = NULL;
    if (f->value == NULL)
        return STATUS_OK;
    errno = 0;
    const long long v = strtoll(f->value, &end, 10);
    if (errno != 0 || end == f->value || *end != '\0' || v < 0)
        return ERR(ERR_USAGE, "%s %s: expected a whole number", f->name, f->value);
    *out = v;
    return STATUS_OK;
}

static int read_share(double *out, const struct args_flag *f)
{
    char *end = NULL;
    if (f->value == NULL)
        return STATUS_OK;
    const double v = strtod(f->value, &end);
    if (end == f->value || *end != '\0' || !(v >= 0.0 && v <= 1.0))
        return ERR(ERR_USAGE, "%s %s: expected a share from 0 to 1", f->name, f->value);
    *out = v;
    return STATUS_OK;
}

static int read_options(struct synth_options *o, int64_t *vocab,
                        const struct args_flag *f)
{
    int64_t seed = (int64_t)o->seed;
    TRY(read_int(&seed, &f[FLAG_SEED]));
    o->seed = (uint64_t)seed;
    TRY(read_int(&o->n[SYNTH_TRAIN], &f[FLAG_TRAIN]));
    TRY(read_int(&o->n[SYNTH_HELDOUT], &f[FLAG_HELDOUT]));
    TRY(read_int(&o->n[SYNTH_PRETRAIN], &f[FLAG_PRETRAIN]));
    TRY(read_int(&o->min_steps, &f[FLAG_MIN_STEPS]));
    TRY(read_int(&o->max_steps, &f[FLAG_MAX_STEPS]));
    TRY(read_int(&o->max_number, &f[FLAG_MAX_NUMBER]));
    TRY(read_int(vocab, &f[FLAG_VOCAB]));
    TRY(read_share(&o->distractor_share, &f[FLAG_DISTRACTORS]));
    TRY(read_share(&o->fact_share, &f[FLAG_FACTS]));
    TRY(read_share(&o->style[SYNTH_MARKER], &f[FLAG_MARKER]));
    TRY(read_share(&o->style[SYNTH_PROSE], &f[FLAG_PROSE]));
    TRY(read_share(&o->style[SYNTH_TERSE], &f[FLAG_TERSE]));
    return read_share(&o->style[SYNTH_CARELESS], &f[FLAG_CARELESS]);
}

/* Rendered as in training, so that the prompt's words become tokens too. */
static int train_tokenizer(const char *dir, int64_t n_vocab)
{
    const struct problems_args args = {.need = PROBLEMS_ANSWER, .limit = 20000};
    const struct prompt_template *qa = NULL;
    struct problems set;
    char *const path = io_join(dir, "pretrain.jsonl");
    int status = problems_load(&set, path, &args);
    mem_free(path);
    TRY(status);
    status = prompt_preset_find(&qa, "qa");
    char **const texts = mem_alloc((size_t)set.n * sizeof(*texts));
    size_t *const lens = mem_alloc((size_t)set.n * sizeof(*lens));
    for (int64_t i = 0; status == STATUS_OK && i < set.n; i++) {
        const struct problem p = problems_at(&set, i);
        const struct prompt_parts parts = {.question = {p.question, p.question_len}};
        struct buf text = {0};
        prompt_render(qa, &parts, &text);
        prompt_render_lead(qa, &text, &text);
        buf_append(&text, p.answer, p.answer_len);
        texts[i] = text.data;
        lens[i] = text.len;
    }
    if (status == STATUS_OK)
        status = tokenizer_train(dir, (const char *const *)texts, lens, set.n, n_vocab);
    for (int64_t i = 0; i < set.n; i++)
        mem_free(texts[i]);
    mem_free(texts);
    mem_free(lens);
    problems_release(&set);
    return status;
}

int command_synth(const struct program *p, int argc, char *const *argv)
{
    struct args_flag flags[N_FLAGS] = {
        [FLAG_SEED] = {"--seed", true, NULL},
        [FLAG_TRAIN] = {"--train", true, NULL},
        [FLAG_HELDOUT] = {"--heldout", true, NULL},
        [FLAG_PRETRAIN] = {"--pretrain", true, NULL},
        [FLAG_MIN_STEPS] = {"--min-steps", true, NULL},
        [FLAG_MAX_STEPS] = {"--max-steps", true, NULL},
        [FLAG_MAX_NUMBER] = {"--max-number", true, NULL},
        [FLAG_VOCAB] = {"--vocab", true, NULL},
        [FLAG_DISTRACTORS] = {"--distractors", true, NULL},
        [FLAG_FACTS] = {"--facts", true, NULL},
        [FLAG_MARKER] = {"--marker", true, NULL},
        [FLAG_PROSE] = {"--prose", true, NULL},
        [FLAG_TERSE] = {"--terse", true, NULL},
        [FLAG_CARELESS] = {"--careless", true, NULL}};
    struct synth_options o = synth_defaults();
    struct args a;
    int64_t n_vocab = 0;
    (void)p;
    TRY(args_parse(&a, flags, N_FLAGS, argc, argv));
    if (a.n_words != 1 || a.n_overrides > 0)
        return ERR(ERR_USAGE, "usage: grpo synth DIR [--seed N] [...] (--help)");
    TRY(read_options(&o, &n_vocab, flags));
    TRY(synth_write(&o, a.words[0]));
    if (n_vocab > 0)
        TRY(train_tokenizer(a.words[0], n_vocab));
    log_info("%s: %lld pretraining texts, %lld training and %lld held-out problems%s",
             a.words[0], (long long)o.n[SYNTH_PRETRAIN], (long long)o.n[SYNTH_TRAIN],
             (long long)o.n[SYNTH_HELDOUT], n_vocab > 0 ? ", tokenizer.json" : "");
    return STATUS_OK;
}
