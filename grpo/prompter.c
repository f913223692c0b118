/*
 * A template's strings are copied with their places filled in; those of a custom one
 * come from the configuration.
 */
#include "grpo/prompter.h"

#include <string.h>

#include "core/io.h"
#include "core/log.h"
#include "grpo/prompt_tokens.h"
#include "grpo/session.h"
#include "grpo/shots.h"

enum { N_PARTS = 9 };

struct prompter {
    struct prompt_template t; /* its strings are those below */
    char *strings[N_PARTS];   /* as `parts` */
    struct prompt_text system;
    char *system_text;
    struct shots *shots; /* NULL: none */
    bool has_special;
};

/* A string of a template that may hold places, and the option that gives it to a custom
 * one (NULL: none does); `unset` is that option's default. */
struct part {
    const char *option, *unset;
    size_t config_off, template_off;
};
#define PART(option, field, member, unset)                                             \
    {                                                                                  \
        option, unset, offsetof(struct config_prompt, field),                          \
            offsetof(struct prompt_template, member)                                   \
    }
static const struct part parts[N_PARTS] = {
    PART("prompt.prefix", prefix, question.prefix, ""),
    PART("prompt.suffix", suffix, question.suffix, ""),
    PART("prompt.begin", begin, begin, ""),
    PART("prompt.system_prefix", system_prefix, system.prefix, ""),
    PART("prompt.system_suffix", system_suffix, system.suffix, ""),
    PART("prompt.opening", opening, opening, ""),
    PART("prompt.answer_prefix", answer_prefix, answer.prefix, "auto"),
    PART("prompt.answer_suffix", answer_suffix, answer.suffix, "auto"),
    {NULL, NULL, 0, offsetof(struct prompt_template, no_system)},
};

static const char *option_text(const struct config_prompt *c, const struct part *part)
{
    return *(char *const *)((const char *)c + part->config_off);
}

static const char **text_at(struct prompt_template *t, size_t off)
{
    return (const char **)((char *)t + off);
}

static bool is_set(const struct config_prompt *c, const struct part *part)
{
    return part->option != NULL && strcmp(option_text(c, part), part->unset) != 0;
}

static int find_template(struct prompt_template *out, const struct config_prompt *c)
{
    const bool is_custom = strcmp(c->preset, "custom") == 0;
    const struct prompt_template *preset = NULL;
    if (is_custom) {
        *out = (struct prompt_template){.name = "custom",
                                        .system_place = PROMPT_SYSTEM_BLOCK,
                                        .answer = {NULL, "\n\n"}};
    } else {
        TRY(prompt_preset_find(&preset, c->preset));
        *out = *preset;
    }
    for (int64_t i = 0; i < N_PARTS; i++) {
        if (!is_set(c, &parts[i]))
            continue;
        if (!is_custom)
            return ERR(ERR_CONFIG,
                       "prompt.preset=%s has its own text, but %s is set; with "
                       "prompt.preset=custom it is used",
                       c->preset, parts[i].option);
        *text_at(out, parts[i].template_off) = option_text(c, &parts[i]);
    }
    /* a custom text with a bos of its own has what belongs there */
    if (is_custom &&
        (strstr(c->begin, "{bos}") != NULL || strstr(c->prefix, "{bos}") != NULL))
        out->is_complete = true;
    return STATUS_OK;
}

/* *out: the token's text (mem_free). */
static int find_token(char **out, enum prompt_token which, const char *place,
                      const char *preset, const struct session *s)
{
    const char *const dirs[] = {s->config.model.tokenizer, s->dir};
    char *text = NULL;
    if (s->tokenizer == NULL)
        return ERR(ERR_USAGE,
                   "prompt.preset=%s has the place %s for a token: give the model's "
                   "directory or model.tokenizer=DIR",
                   preset, place);
    for (int64_t i = 0; text == NULL && i < ARRAY_LEN(dirs); i++)
        if (dirs[i] != NULL && dirs[i][0] != '\0')
            TRY(prompt_token_find(&text, which, dirs[i], s->tokenizer));
    if (text == NULL)
        return ERR(ERR_CONFIG,
                   "prompt.preset=%s has the place %s, but no file beside "
                   "tokenizer.json names that token: put \"%s_token\" into "
                   "tokenizer_config.json",
                   preset, place, which == PROMPT_TOKEN_BOS ? "bos" : "eos");
    *out = text;
    return STATUS_OK;
}

static int put_place(struct buf *out, const char *place, size_t len,
                     const struct session *s)
{
    const struct config_prompt *const c = &s->config.prompt;
    char *token = NULL;
    if (strncmp(place, "{date}", len) == 0) {
        buf_puts(out, c->date);
        return STATUS_OK;
    }
    if (strncmp(place, "{bos}", len) == 0)
        TRY(find_token(&token, PROMPT_TOKEN_BOS, "{bos}", c->preset, s));
    else
        TRY(find_token(&token, PROMPT_TOKEN_EOS, "{eos}", c->preset, s));
    buf_puts(out, token);
    mem_free(token);
    return STATUS_OK;
}

/* Length of the place that the text begins with; 0: none. */
static size_t place_len(const char *text)
{
    static const char *const places[] = {"{bos}", "{eos}", "{date}"};
    for (int64_t i = 0; i < ARRAY_LEN(places); i++)
        if (strncmp(text, places[i], strlen(places[i])) == 0)
            return strlen(places[i]);
    return 0;
}

/* A copy of the text with its places filled in; NULL stays NULL. */
static int fill(char **out, const char *text, const struct session *s)
{
    struct buf copy = {0};
    int status = STATUS_OK;
    if (text == NULL)
        return STATUS_OK;
    buf_puts(&copy, "");
    while (status == STATUS_OK && text[0] != '\0') {
        const size_t n = place_len(text);
        if (n > 0)
            status = put_place(&copy, text, n, s);
        else
            buf_append(&copy, text, 1);
        text += n > 0 ? n : 1;
    }
    if (status == STATUS_OK)
        *out = copy.data;
    else
        buf_release(&copy);
    return status;
}

static int fill_template(struct prompter *p, const struct session *s)
{
    for (int64_t i = 0; i < N_PARTS; i++) {
        const char **const text = text_at(&p->t, parts[i].template_off);
        TRY(fill(&p->strings[i], *text, s));
        *text = p->strings[i];
    }
    return STATUS_OK;
}

static int64_t n_shots(const struct prompt_template *t, const struct config_prompt *c)
{
    return c->shots >= 0 ? c->shots : t->n_shots;
}

static const char *shots_from(const struct prompt_template *t,
                              const struct config_prompt *c)
{
    if (c->shots_from[0] != '\0')
        return c->shots_from;
    return t->shots_from == NULL ? "" : t->shots_from;
}

static bool has_date(const struct prompt_template *t)
{
    bool is_found = false;
    for (int64_t i = 0; i < N_PARTS; i++) {
        const char *const text = *(const char *const *)((const char *)t +
                                                        parts[i].template_off);
        is_found = is_found || (text != NULL && strstr(text, "{date}") != NULL);
    }
    return is_found;
}

static int check(const struct prompt_template *t, const struct config_prompt *c)
{
    if (c->system[0] != '\0' && t->system_place == PROMPT_SYSTEM_NONE)
        return ERR(ERR_CONFIG,
                   "prompt.preset=%s has no place for prompt.system; with "
                   "prompt.preset=custom it stands first",
                   c->preset);
    if (c->date[0] == '\0' && has_date(t))
        return ERR(ERR_CONFIG,
                   "prompt.preset=%s states the date: set prompt.date=YYYY-MM-DD "
                   "(transformers takes today; a run that is resumed needs the same)",
                   c->preset);
    if (n_shots(t, c) > 0 && shots_from(t, c)[0] == '\0')
        return ERR(ERR_CONFIG,
                   "%lld worked examples (prompt.preset=%s, prompt.shots=%lld), but no "
                   "file: set prompt.shots_from to a JSONL file, for instance of the "
                   "training problems, or to self",
                   (long long)n_shots(t, c), c->preset, (long long)c->shots);
    if (c->shots_from[0] != '\0' && c->shots < 0 && n_shots(t, c) == 0)
        return ERR(ERR_CONFIG,
                   "prompt.shots_from is set, but prompt.preset=%s has no shots: set "
                   "prompt.shots to how many (0: none)",
                   c->preset);
    return STATUS_OK;
}

int prompter_check(const struct config_prompt *c)
{
    struct prompt_template t;
    TRY(find_template(&t, c));
    return check(&t, c);
}

static int load_shots(struct prompter *p, const struct config_prompt *c,
                      const char *data)
{
    const int64_t n = n_shots(&p->t, c);
    const char *const from = shots_from(&p->t, c);
    if (n == 0)
        return STATUS_OK;
    const bool is_self = strcmp(from, "self") == 0;
    if (is_self && data == NULL)
        return ERR(ERR_CONFIG, "prompt.shots_from=self: there is no file of problems "
                               "here; name one");
    const char *const path = is_self ? data : from;
    return shots_load(&p->shots, path, n, (uint64_t)c->shots_seed,
                      data != NULL && io_is_same(path, data));
}

int prompter_create(struct prompter **out, const struct session *s, const char *data)
{
    const struct config_prompt *const c = &s->config.prompt;
    struct prompt_template t;
    TRY(find_template(&t, c));
    TRY(check(&t, c));
    if (c->bos == BOS_TRUE && t.begin != NULL && strstr(t.begin, "{bos}") != NULL)
        log_warn("prompt.bos=true: what the tokenizer adds stands before the bos of "
                 "prompt.preset=%s",
                 c->preset);
    struct prompter *const p = mem_alloc(sizeof(*p));
    p->t = t;
    int status = fill_template(p, s);
    p->has_special = c->bos == BOS_AUTO ? !t.is_complete : c->bos == BOS_TRUE;
    p->system_text = mem_strdup(c->system);
    p->system = (struct prompt_text){p->system_text, strlen(c->system)};
    if (status == STATUS_OK)
        status = load_shots(p, c, data);
    if (status == STATUS_OK)
        *out = p;
    else
        prompter_free(p);
    return status;
}

void prompter_free(struct prompter *p)
{
    if (p == NULL)
        return;
    for (int64_t i = 0; i < N_PARTS; i++)
        mem_free(p->strings[i]);
    mem_free(p->system_text);
    shots_free(p->shots);
    mem_free(p);
}

void prompter_render(struct prompter *p, int64_t row, struct prompt_text question,
                     struct buf *out)
{
    struct prompt_parts x = {.system = p->system, .question = question};
    if (p->shots != NULL)
        x.shots = shots_draw(p->shots, row, &x.n_shots);
    prompt_render(&p->t, &x, out);
}

void prompter_render_lead(const struct prompter *p, const struct buf *prompt,
                          struct buf *out)
{
    prompt_render_lead(&p->t, prompt, out);
}

bool prompter_has_special(const struct prompter *p) { return p->has_special; }

bool prompter_has_shots(const struct prompter *p) { return p->shots != NULL; }

const char *prompter_stop(const struct config *c)
{
    if (c->rollout.stop[0] != '\0')
        return c->rollout.stop;
    for (int64_t i = 0; i < prompt_n_presets(); i++)
        if (strcmp(prompt_preset(i)->name, c->prompt.preset) == 0)
            return prompt_preset(i)->stop == NULL ? "" : prompt_preset(i)->stop;
    return "";
}
