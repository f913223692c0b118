/*
 * The presets: what they render is what the checkpoints' own chat templates render for
 * text turns without tools (tests/grpo/test_prompt.c compares them). Left out:
 * templates that cut thoughts out of past answers, which stand here as they are. All
 * that the program knows of a model family's prompts is in this table.
 */
#include <string.h>

#include "core/options_text.h"
#include "grpo/prompt.h"

static const char chatml_question[] = "<|im_start|>user\n";
static const char chatml_opening[] = "<|im_start|>assistant\n";
static const char chatml_system[] = "<|im_start|>system\n";
static const char chatml_end[] = "<|im_end|>\n";
static const struct prompt_template presets[] = {
    {
        .name = "raw",
        .summary = "the question and nothing else",
        .answer = {NULL, "\n\n"},
    },
    {
        .name = "paper",
        .summary = "arXiv 2508.18672's GRPO: the question, two newlines, no bos",
        .question = {"", "\n\n"},
        .answer = {"", "\n\n"},
        .is_complete = true,
    },
    {
        .name = "qa",
        .summary = "\"Question: ...\", \"Answer:\" (lm-evaluation-harness' gsm8k)",
        .question = {"Question: ", "\nAnswer:"},
        .answer = {" ", "\n\n"},
    },
    {
        .name = "gsm8k",
        .summary = "qa that asks for steps and \"#### \" before the number",
        .question = {"Question: ", "\nThink step by step and end with #### and the "
                                   "number.\nAnswer:"},
        .answer = {" ", "\n\n"},
    },
    {
        .name = "gsm8k-4shot",
        .summary = "qa after 4 training problems, as the paper evaluates; no bos",
        .question = {"Question: ", "\nAnswer:"},
        .answer = {" ", "\n\n"},
        .is_complete = true,
        .n_shots = 4,
        .stop = "Question:|</s>|<|im_end|>",
    },
    {
        .name = "gsm-plus-5shot",
        .summary = "qa after 5 others of the same file, as the paper; no bos",
        .question = {"Question: ", "\nAnswer:"},
        .answer = {" ", "\n\n"},
        .is_complete = true,
        .n_shots = 5,
        .stop = "Question:|</s>|<|im_end|>",
        .shots_from = "self",
    },
    {
        .name = "chatml",
        .summary = "<|im_start|>user (Qwen3, Qwen3-Next Instruct-2507, others)",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .system = {chatml_system, chatml_end},
        .question = {chatml_question, chatml_end},
        .opening = chatml_opening,
        .answer = {chatml_opening, chatml_end},
        .is_complete = true,
    },
    {
        .name = "qwen2.5",
        .summary = "Qwen2.5: chatml with a system text unless one is given",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .system = {chatml_system, chatml_end},
        .no_system = "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You "
                     "are a helpful assistant.<|im_end|>\n",
        .question = {chatml_question, chatml_end},
        .opening = chatml_opening,
        .answer = {chatml_opening, chatml_end},
        .is_complete = true,
    },
    {
        .name = "qwen3",
        .summary = "Qwen3, thinking as the model likes",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .system = {chatml_system, chatml_end},
        .question = {chatml_question, chatml_end},
        .opening = chatml_opening,
        .answer = {chatml_opening, chatml_end},
        .is_complete = true,
    },
    {
        .name = "qwen3-nothink",
        .summary = "Qwen3 with enable_thinking=false: an empty think block",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .system = {chatml_system, chatml_end},
        .question = {chatml_question, chatml_end},
        .opening = "<|im_start|>assistant\n<think>\n\n</think>\n\n",
        .answer = {chatml_opening, chatml_end},
        .is_complete = true,
    },
    {
        .name = "qwen3-think",
        .summary = "Qwen3 Thinking-2507, Qwen3-Next Thinking: an open block",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .system = {chatml_system, chatml_end},
        .question = {chatml_question, chatml_end},
        .opening = "<|im_start|>assistant\n<think>\n",
        .answer = {chatml_opening, chatml_end},
        .is_complete = true,
    },
    {
        .name = "llama",
        .summary = "Llama 3 (without the date header of 3.1)",
        .begin = "{bos}",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .system = {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
        .question = {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
        .opening = "<|start_header_id|>assistant<|end_header_id|>\n\n",
        .answer = {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"},
        .trim = PROMPT_TRIM_ALL,
        .is_complete = true,
    },
    {
        .name = "mixtral",
        .summary = "Mixtral-8x7B-Instruct, Mistral-7B-Instruct v0.1 (v1)",
        .begin = "{bos}",
        .system_place = PROMPT_SYSTEM_IN_FIRST,
        .system = {"", "\n\n"},
        .question = {" [INST] ", " [/INST]"},
        .answer = {" ", "{eos}"},
        .is_complete = true,
    },
    {
        .name = "mistral",
        .summary = "Mixtral-8x22B-Instruct, Mistral-7B-Instruct v0.3 (v3)",
        .begin = "{bos}",
        .system_place = PROMPT_SYSTEM_IN_LAST,
        .system = {"", "\n\n"},
        .question = {"[INST] ", "[/INST]"},
        .answer = {" ", "{eos}"},
        .is_complete = true,
    },
    {
        .name = "mistral-nemo",
        .summary = "Mistral-Nemo-Instruct (tokenizer v3, tekken: no blanks)",
        .begin = "{bos}",
        .system_place = PROMPT_SYSTEM_IN_LAST,
        .system = {"", "\n\n"},
        .question = {"[INST]", "[/INST]"},
        .answer = {"", "{eos}"},
        .is_complete = true,
    },
    {
        .name = "deepseek",
        .summary = "DeepSeek-V3.1 without thinking",
        .begin = "{bos}",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .question = {"<｜User｜>", ""},
        .opening = "<｜Assistant｜></think>",
        .answer = {"<｜Assistant｜></think>", "<｜end▁of▁sentence｜>"},
        .is_complete = true,
    },
    {
        .name = "deepseek-think",
        .summary = "DeepSeek-V3.1 with thinking",
        .begin = "{bos}",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .question = {"<｜User｜>", ""},
        .opening = "<｜Assistant｜><think>",
        .answer = {"<｜Assistant｜></think>", "<｜end▁of▁sentence｜>"},
        .is_complete = true,
    },
    {
        .name = "deepseek-r1",
        .summary = "DeepSeek-R1 and its distilled models",
        .begin = "{bos}",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .question = {"<｜User｜>", ""},
        .opening = "<｜Assistant｜><think>\n",
        .answer = {"<｜Assistant｜>", "<｜end▁of▁sentence｜>"},
        .is_complete = true,
    },
    {
        .name = "kimi",
        .summary = "Kimi-K2-Instruct",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .system = {"<|im_system|>system<|im_middle|>", "<|im_end|>"},
        .no_system = "<|im_system|>system<|im_middle|>You are a helpful assistant"
                     "<|im_end|>",
        .question = {"<|im_user|>user<|im_middle|>", "<|im_end|>"},
        .opening = "<|im_assistant|>assistant<|im_middle|>",
        .answer = {"<|im_assistant|>assistant<|im_middle|>", "<|im_end|>"},
        .is_complete = true,
    },
    {
        .name = "glm",
        .summary = "GLM-4.5, GLM-4.6, thinking as the model likes",
        .begin = "[gMASK]<sop>",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .system = {"<|system|>\n", ""},
        .question = {"<|user|>\n", ""},
        .opening = "<|assistant|>",
        .answer = {"<|assistant|>\n<think></think>\n", ""},
        .trim = PROMPT_TRIM_ANSWERS,
        .is_complete = true,
    },
    {
        .name = "glm-nothink",
        .summary = "GLM-4.5, GLM-4.6 with enable_thinking=false",
        .begin = "[gMASK]<sop>",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .system = {"<|system|>\n", ""},
        .question = {"<|user|>\n", "/nothink"},
        .opening = "<|assistant|>\n<think></think>",
        .answer = {"<|assistant|>\n<think></think>\n", ""},
        .trim = PROMPT_TRIM_ANSWERS,
        .is_complete = true,
    },
    {
        .name = "gpt-oss",
        .summary = "gpt-oss as first published; needs prompt.date",
        .begin = "<|start|>system<|message|>You are ChatGPT, a large language model "
                 "trained by OpenAI.\nKnowledge cutoff: 2024-06\nCurrent date: "
                 "{date}\n\nreasoning: medium\n\n# Valid channels: analysis, "
                 "commentary, final. Channel must be included for every message.\n"
                 "Calls to these tools must go to the commentary channel: "
                 "'functions'.<|end|>",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .system = {"<|start|>developer<|message|># Instructions\n\n", "<|end|>"},
        .question = {"<|start|>user<|message|>", "<|end|>"},
        .opening = "<|start|>assistant",
        .answer = {"<|start|>assistant<|message|>", "<|end|>"},
        .is_complete = true,
    },
    {
        .name = "gpt-oss-channels",
        .summary = "gpt-oss as revised (channel final); needs prompt.date",
        .begin = "<|start|>system<|message|>You are ChatGPT, a large language model "
                 "trained by OpenAI.\nKnowledge cutoff: 2024-06\nCurrent date: "
                 "{date}\n\nReasoning: medium\n\n# Valid channels: analysis, "
                 "commentary, final. Channel must be included for every message."
                 "<|end|>",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .system = {"<|start|>developer<|message|># Instructions\n\n", "\n\n<|end|>"},
        .question = {"<|start|>user<|message|>", "<|end|>"},
        .opening = "<|start|>assistant",
        .answer = {"<|start|>assistant<|channel|>final<|message|>", "<|end|>"},
        .is_complete = true,
    },
    {
        .name = "llm-jp-4",
        .summary = "LLM-jp-4; needs prompt.date",
        .begin = "<|start|>system<|message|>You are LLM-jp-4, a large language model "
                 "trained by LLM-jp.\nKnowledge cutoff: 2025-12\nCurrent date: "
                 "{date}\n\nReasoning: medium\n\n# Valid channels: analysis, "
                 "commentary, final. Channel must be included for every message."
                 "<|end|>",
        .system_place = PROMPT_SYSTEM_BLOCK,
        .system = {"<|start|>developer<|message|># Instructions\n\n", "\n\n<|end|>"},
        .question = {"<|start|>user<|message|>", "<|end|>"},
        .opening = "<|start|>assistant",
        .answer = {"<|start|>assistant<|channel|>final<|message|>", "<|end|>"},
        .is_complete = true,
    },
};

int64_t prompt_n_presets(void) { return ARRAY_LEN(presets); }

const struct prompt_template *prompt_preset(int64_t i)
{
    CHECK(i >= 0 && i < ARRAY_LEN(presets), "preset %lld", (long long)i);
    return &presets[i];
}

static void put_names(struct buf *out)
{
    for (int64_t i = 0; i < ARRAY_LEN(presets); i++)
        buf_printf(out, "%s, ", presets[i].name);
    buf_puts(out, "custom");
}

int prompt_preset_find(const struct prompt_template **out, const char *name)
{
    const char *nearest = NULL;
    int least = (int)strlen(name) / 3 + 2;
    for (int64_t i = 0; i < ARRAY_LEN(presets); i++) {
        if (strcmp(presets[i].name, name) == 0) {
            *out = &presets[i];
            return STATUS_OK;
        }
        /* "qwen3-next" means qwen3 rather than another with as many letters right */
        const bool is_start = strncmp(name, presets[i].name, strlen(presets[i].name)) ==
                              0;
        const int typing = options_distance(name, presets[i].name);
        const int distance = is_start && typing > 2 ? 2 : typing;
        if (distance < least) {
            least = distance;
            nearest = presets[i].name;
        }
    }
    struct buf names = {0};
    put_names(&names);
    const int status = ERR(ERR_CONFIG, "prompt.preset=%s: no such preset%s%s%s (%s)",
                           name, nearest == NULL ? "" : "; did you mean \"",
                           nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?",
                           names.data);
    buf_release(&names);
    return status;
}

void prompt_presets_print(FILE *out)
{
    fputs(
        "\nprompt.preset, with shots (worked examples) and special tokens (tok: as "
        "the\ntokenizer adds them; own: the text has its own, or none belong there):\n",
        out);
    for (int64_t i = 0; i < ARRAY_LEN(presets); i++) {
        const struct prompt_template *const t = &presets[i];
        fprintf(out, "  %-16s %lld  %s  %s\n", t->name, (long long)t->n_shots,
                t->is_complete ? "own" : "tok", t->summary);
    }
    fputs("  custom           0  tok  prompt.begin, system_*, prefix, suffix, opening, "
          "answer_*\n",
          out);
}
