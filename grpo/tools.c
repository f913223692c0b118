/*
 * The small commands: score, report.
 */
#include "core/io.h"
#include "core/log.h"
#include "grpo/commands.h"
#include "grpo/report.h"
#include "grpo/score.h"

int command_score(const struct program *p, int argc, char *const *argv)
{
    struct args_flag flags[] = {{"--response", true, NULL},
                                {"--gold", true, NULL},
                                {"--kind", true, NULL},
                                {"--style", true, NULL},
                                {"--explain", false, NULL}};
    struct args a;
    struct config c = {0};
    (void)p;
    TRY(args_parse(&a, flags, (int)ARRAY_LEN(flags), argc, argv));
    const char *const kind = flags[2].value, *const style = flags[3].value;
    if (a.n_words != 1)
        return ERR(ERR_USAGE,
                   "usage: grpo score FILE.jsonl [--response KEY] [--gold KEY] "
                   "[--kind KIND] [--style STYLE] [--explain] "
                   "[reward.key=value ...]");
    if (kind != NULL && options_choice(SCORE_KINDS, kind) < 0)
        return ERR(ERR_USAGE, "--kind %s: expected one of " SCORE_KINDS, kind);
    if (style != NULL && options_choice(REWARD_STYLES, style) < 0)
        return ERR(ERR_USAGE, "--style %s: expected one of " REWARD_STYLES, style);
    int status = config_parse(&c, a.n_overrides, a.overrides);
    if (style != NULL)
        c.reward.style = options_choice(REWARD_STYLES, style);
    const struct score_options o = {.path = a.words[0],
                                    .response_key = flags[0].value,
                                    .gold_key = flags[1].value,
                                    .kind = kind,
                                    .verifier = config_verifier(&c),
                                    .is_explained = flags[4].value != NULL};
    if (status == STATUS_OK)
        status = score_command(&o);
    config_release(&c);
    return status;
}

int command_report(const struct program *p, int argc, char *const *argv)
{
    struct args_flag flags[] = {{"--out", true, NULL}};
    struct args a;
    (void)p;
    TRY(args_parse(&a, flags, (int)ARRAY_LEN(flags), argc, argv));
    if (a.n_words < 1)
        return ERR(ERR_USAGE, "usage: grpo report RUN_DIR ... [--out FILE.html]");
    char *const path = flags[0].value != NULL ? mem_strdup(flags[0].value)
                                              : io_join(a.words[0], "report.html");
    const int status = report_write(path, a.words, a.n_words);
    if (status == STATUS_OK)
        printf("%s\n", path);
    mem_free(path);
    return status;
}
