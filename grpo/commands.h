/*
 * The commands of the program. Each takes the words after its name and returns a
 * status.
 */
#ifndef GRPO_COMMANDS_H
#define GRPO_COMMANDS_H

#include "grpo/session.h"

/* X(name, summary) */
#define COMMAND_LIST(X)                                                                \
    X(train, "post-train a model with GRPO on math problems")                          \
    X(pretrain, "next-token training: from scratch, continued, or SFT")                \
    X(eval, "accuracy of a model on a problem set, with its interval")                 \
    X(generate, "complete a prompt")                                                   \
    X(score, "run the verifier on a JSONL file")                                       \
    X(synth, "generate word problems with worked solutions")                           \
    X(inspect, "shapes, parameters, memory plan, hash of a model directory")           \
    X(tokenize, "token ids of texts, and texts of ids; for people or as JSONL")        \
    X(objective,                                                                       \
      "losses and gradients of given log-probs, as another engine has them")           \
    X(dump, "logits, routes and gradients of given token ids, as safetensors")         \
    X(report, "one HTML page about one or several runs")

#define X(name, summary)                                                               \
    int command_##name(const struct program *p, int argc, char *const *argv)           \
        WARN_UNUSED;
COMMAND_LIST(X)
#undef X

#endif
