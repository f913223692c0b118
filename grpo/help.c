/*
 * Help texts: one record per command; option lines come from the option table.
 */
#include "grpo/help.h"

#include <string.h>

#include "grpo/commands.h"
#include "grpo/preset.h"
#include "grpo/prompt.h"

struct help {
    const char *name, *usage, *text;
    const char *sections; /* of the option table; NULL: no options */
};

static const struct help helps[] = {
    {"train",
     "grpo train [RUN.ini] [--trajectories FILE.jsonl] [section.key=value ...]",
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
     "SIGTERM or SIGUSR1: a checkpoint after the current step, then exit status 85.\n\n"
     "--trajectories FILE.jsonl learns from completions made elsewhere, or by an "
     "earlier\n"
     "run's log.trajectories=true; nothing is generated. One group a line:\n"
     "  {\"question\": \"2+3?\", \"gold\": \"5\", \"completions\": [\n"
     "    {\"tokens\": [16, 2], \"logp\": [-0.7, -0.1], \"reward\": 1}, {\"text\": "
     "\"6\"}]}\n"
     "prompt: \"prompt_tokens\", else \"prompt\" as it is, else \"question\" rendered "
     "by "
     "prompt.*;\n"
     "completions: rollout.group_size of them; token ids win over \"text\"; \"logp\" "
     "of "
     "the\n"
     "policy that sampled (may be left out); \"reward\", else the verifier's from "
     "\"gold\".\n"
     "docs/trajectories.md has the rest.\n",
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
    {"eval",
     "grpo eval MODEL DATA.jsonl [--out FILE.jsonl] [section.key=value ...]\n"
     "       grpo eval [MODEL] DATA.jsonl --dump-prompts FILE.jsonl|FILE.json",
     "Accuracy on a problem set with its 95 % interval (Wilson), the share answered in "
     "the\n"
     "required form, and the accuracy among those. eval.samples=K also gives pass@K "
     "and\n"
     "majority@K. --out writes every completion. The last line is JSON.\n"
     "--dump-prompts writes what would be asked, lines {\"prompt\", \"answer\"} (or "
     "one "
     "list,\n"
     "indented, where the name ends in .json), and asks nothing; a model is needed "
     "only for\n"
     "the tokens of presets that write bos or eos.\n\n"
     "Examples:\n"
     "  grpo eval runs/a/checkpoints/step_100 gsm8k/test.jsonl eval.max_new=300\n"
     "  grpo eval gsm8k/test.jsonl --dump-prompts gsm8k_4shot.json \\\n"
     "      prompt.preset=gsm8k-4shot prompt.shots_from=gsm8k/train.jsonl\n",
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
     "The verifier alone, on one JSON object per line:\n"
     "  {\"response\": \"... so 9 * 2 = 18.\\n#### 18\", \"gold\": \"18\"}\n"
     "\"response\" (--response KEY) is a completion; its answer is extracted as "
     "--style says.\n"
     "\"gold\" (--gold KEY; else \"answer\", \"Answer\" or \"solution\": rows of GSM8K "
     "and MATH as they\n"
     "are) is a string, a number, or a list of which any counts. --kind answer, or "
     "\"kind\":\n"
     "\"answer\" in a line: the response is the answer alone. \"truncated\": true: it "
     "hit its\n"
     "length limit.\n"
     "\n"
     "Each line gives one line on standard output, in order:\n"
     "  {\"score\":1,\"answer\":\"18\",\"rule\":\"hashes\",\"reason\":\"correct\"}\n"
     "score 1 or 0; answer as extracted, or null; rule that found it; reason: correct, "
     "wrong,\n"
     "no_marker, unparsed, ambiguous (\"12 or 13\"), unclosed, truncated, limit,\n"
     "unsupported_code, code_fault. --explain adds line, gold (as read), offset (in "
     "bytes) and\n"
     "has_form. A line without a usable gold, or that is no such object, scores 0 with "
     "reason\n"
     "bad_gold or malformed and its \"error\"; the others are still scored, and the "
     "exit status\n"
     "is 3. A table by reason goes to standard error.\n"
     "\n"
     "Examples:\n"
     "  grpo score samples.jsonl --gold answer --style gsm8k > scores.jsonl\n"
     "  grpo score math.jsonl --response completion --style math "
     "reward.rounding=gold\n",
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
    {"objective", "grpo objective FILE.jsonl [--explain | --as ours]",
     "For whoever ports a recipe: loss, gradients, advantages and masks of given "
     "log-probs and\n"
     "rewards under another engine's options. One case per line: {\"id\": ..., "
     "\"engine\":\n"
     "\"trl\" | \"verl\", \"options\": {that engine's own names, over its defaults}, "
     "\"input\":\n"
     "{\"group\": [N], \"rewards\": [N][functions], \"logp\": [N][tokens], "
     "\"logp_old\", \"logp_ref\",\n"
     "\"logp_rollout\", \"entropy\", \"mask\", \"truncated\": [N], \"width\"}}; one "
     "line of JSON out\n"
     "for each, in order, with \"error\" where an option has no counterpart. Exit "
     "status "
     "3 when a\n"
     "line was malformed (the others are still done).\n"
     "--explain prints how every option was understood, --as ours the INI lines for "
     "it.\n",
     NULL},
    {"tokenize",
     "grpo tokenize MODEL_DIR|tokenizer.json [FILE|-] [--special] [--whole]\n"
     "       grpo tokenize MODEL_DIR|tokenizer.json [FILE|-] --jsonl | --decode",
     "What a tokenizer makes of each line of FILE (or of standard input): a table of "
     "ids,\n"
     "bytes [start, end) of the line, the vocabulary's piece, and the text it stands "
     "for.\n"
     "--special adds what the post-processor adds (a leading <s>, say); --whole takes "
     "the\n"
     "whole input as one text.\n\n"
     "--jsonl: {\"text\": ...} per line gives {\"ids\", \"ids_special\", "
     "\"decoded\",\n"
     "\"decoded_skip\"}: ids without and with the post-processor's tokens; the text "
     "of ids,\n"
     "special tokens kept; the text of ids_special, special tokens left out.\n"
     "--decode: {\"ids\": [...]} per line gives {\"decoded\", \"decoded_skip\"}.\n"
     "A malformed line gives {\"error\": ...} in its place and a message with its "
     "number;\n"
     "the others are still done, and the exit status is 3.\n\n"
     "Ids are those of Hugging Face's tokenizers 0.23.2, patterns seeing Unicode 16;\n"
     "--old-unicode takes the linked PCRE2's (Unicode 14 in Debian 12), as older "
     "releases did. "
     "MODEL_DIR may\n"
     "hold tokenizer.json or tiktoken.model.\n\n"
     "Examples:\n"
     "  echo 'What is 2+3?' | grpo tokenize MODEL --special\n"
     "  grpo tokenize MODEL texts.jsonl --jsonl > ids.jsonl\n",
     NULL},
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
            if (options_choice(h->sections, "prompt") >= 0)
                prompt_presets_print(out);
            if (strcmp(name, "train") == 0)
                preset_help(out);
        }
        return;
    }
    help_program(out);
}
