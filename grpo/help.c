/*
 * Help texts: one record per command; option lines come from the option table.
 */
#include "grpo/help.h"

#include <string.h>

#include "grpo/commands.h"

struct help {
    const char *name, *usage, *text;
    const char *sections; /* of the option table; NULL: no options */
};

static const struct help helps[] = {
    {"train", "grpo train [RUN.ini] [section.key=value ...]",
     "Post-trains a Mixture-of-Experts model with GRPO. Under mpirun, ranks split "
     "into\n"
     "rollout workers and learners; results do not depend on how. A run that was "
     "stopped\n"
     "continues from its newest checkpoint when the same command is given again.\n\n"
     "Example:\n"
     "  mpirun -n 2 grpo train configs/smoke.ini model.path=DIR data.train=train.jsonl "
     "\\\n"
     "      run.dir=runs/first\n\n"
     "Writes run.dir/{config.ini, metrics.jsonl, samples.jsonl, "
     "events.out.tfevents.*,\n"
     "checkpoints/step_N/ (a Hugging Face directory), summary.json, report.html}.\n"
     "SIGTERM or SIGUSR1: a checkpoint after the current step, then exit status 85.\n",
     "run|model|data|prompt|rollout|reward|grpo|optim|learner|eval|checkpoint|log"},
    {"pretrain", "grpo pretrain [RUN.ini] [section.key=value ...]",
     "Next-token training on JSONL pairs {\"question\", \"answer\"}: from scratch "
     "(shape.*,\n"
     "model.tokenizer=DIR), or from model.path=DIR (continued; SFT with\n"
     "pretrain.loss_on=completion).\n\n"
     "Example:\n"
     "  grpo pretrain model.tokenizer=data data.train=data/pretrain.jsonl \\\n"
     "      run.dir=runs/base pretrain.steps=500 optim.lr=2e-3 optim.schedule=cosine\n",
     "run|model|data|prompt|optim|learner|checkpoint|pretrain|shape"},
    {"eval", "grpo eval MODEL DATA.jsonl [--out FILE.jsonl] [section.key=value ...]",
     "Accuracy on a problem set with its 95 % interval (Wilson), the share answered in "
     "the\n"
     "required form, and the accuracy among those. eval.samples=K also gives pass@K "
     "and\n"
     "majority@K. --out writes every completion. The last line is JSON.\n\n"
     "Example:\n"
     "  grpo eval runs/a/checkpoints/step_100 gsm8k/test.jsonl eval.max_new=300\n",
     "run|model|data|prompt|eval"},
    {"generate", "grpo generate MODEL [PROMPT] [--question] [section.key=value ...]",
     "Completes a prompt (or, without one, each line of standard input), as it is or, "
     "with\n"
     "--question, rendered by prompt.*; text appears as it is sampled.\n\n"
     "Example:\n"
     "  grpo generate MODEL \"Tom has 3 apples\" rollout.temperature=0.7 "
     "rollout.max_new=64\n",
     "run|model|prompt|rollout"},
    {"score",
     "grpo score FILE.jsonl [--response KEY] [--gold KEY] [--kind response|answer]\n"
     "           [--style auto|gsm8k|math|boxed|answer] [--explain] [reward.key=value "
     "...]",
     "The verifier alone. Input lines are objects with a completion (\"response\") and "
     "a "
     "gold\n"
     "(\"gold\", else \"answer\" or \"solution\": GSM8K, MATH and plain pairs; a "
     "string, a "
     "number,\n"
     "or a list of which any counts). One line of JSON comes out per line, in order, "
     "with\n"
     "score, answer, rule and reason; a table by reason on standard error. --kind "
     "answer:\n"
     "the completion is the answer alone (also \"kind\": \"answer\" in a line). Exit "
     "status 3\n"
     "when a line was malformed (the others are still scored).\n\n"
     "Example:\n"
     "  grpo score samples.jsonl --gold answer --style gsm8k > scores.jsonl\n",
     "reward"},
    {"synth",
     "grpo synth DIR [--seed N] [--train N] [--heldout N] [--pretrain N] [--min-steps "
     "N]\n"
     "           [--max-steps N] [--max-number N] [--distractors SHARE] [--facts "
     "SHARE]\n"
     "           [--marker SHARE] [--prose SHARE] [--terse SHARE] [--careless SHARE]\n"
     "           [--vocab N]",
     "Word problems with worked solutions, from a seed: DIR/pretrain.jsonl (answers in "
     "mixed\n"
     "styles, in the given shares), DIR/train.jsonl and DIR/heldout.jsonl (answers end "
     "in\n"
     "\"#### n\"), which share no problem with each other; and, with --vocab, a "
     "byte-level BPE\n"
     "tokenizer trained on them (tokenizer.json).\n",
     NULL},
    {"inspect", "grpo inspect MODEL [--hash] [--tensors] [section.key=value ...]",
     "Shape, parameters (total, active), sparsity (E-k)/E, and the memory a run would "
     "need.\n"
     "--hash prints one XXH3-128 over all files (its last line); --tensors lists "
     "every\n"
     "tensor by its name on disk.\n",
     "model|grpo|rollout|learner"},
    {"dump",
     "grpo dump MODEL --ids FILE.jsonl --out FILE.safetensors [--grads ce|pg]\n"
     "          [section.key=value ...]",
     "For comparison with other stacks: logits, log-probs, entropies, routes, hidden "
     "states,\n"
     "losses and gradients of given token ids. Input lines: {\"ids\": [...]}, and for "
     "pg\n"
     "{\"coef\": [...]}, one number per predicted token (the loss is -sum coef logp).\n"
     "Tensors: logits, logp, entropy, mixer.I, hidden.I, "
     "router.I.{logits,experts,weights},\n"
     "ce, pg, aux, ce_grad_norm, pg_grad_norm, grad.ce.NAME, grad.pg.NAME, "
     "grad.aux.NAME.\n"
     "The softmax counts all vocabulary rows, as transformers does.\n",
     "run|model"},
    {"report", "grpo report RUN_DIR ... [--out FILE.html]",
     "One self-contained page with the curves of one or several runs (default:\n"
     "report.html in the first).\n",
     NULL},
};

void help_program(FILE *out)
{
    fputs("grpo - GRPO post-training for Mixture-of-Experts checkpoints\n\n"
          "usage: grpo <command> [...]        grpo <command> --help\n\ncommands:\n",
          out);
#define X(name, summary) fprintf(out, "  %-10s %s\n", #name, summary);
    COMMAND_LIST(X)
#undef X
    fputs("\nA configuration is an INI file, then section.key=value overrides.\n"
          "exit status: 0 done; 2 usage or configuration; 3 bad input; 70 internal "
          "fault;\n"
          "75 out of memory or device; 85 checkpointed on request; 93 do not retry\n",
          out);
}

void help_command(const char *name, FILE *out)
{
    for (int64_t i = 0; i < ARRAY_LEN(helps); i++) {
        const struct help *const h = &helps[i];
        if (strcmp(h->name, name) != 0)
            continue;
        fprintf(out, "usage: %s\n\n%s", h->usage, h->text);
        if (h->sections != NULL) {
            fputs("\noptions:\n", out);
            options_help(config_options(), h->sections, out);
        }
        return;
    }
    help_program(out);
}
