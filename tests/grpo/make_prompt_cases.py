#!/usr/bin/env python3
"""Makes tests/grpo/prompt_cases.jsonl: chat templates rendered with jinja2 under
transformers' settings (trim_blocks, lstrip_blocks), as a check of the presets.

usage: make_prompt_cases.py TEMPLATE_DIR OUT

TEMPLATE_DIR holds NAME.jinja for each name below, from
  huggingface/trl trl/chat_templates/: qwen2_5, qwen3, qwen3_instruct_2507, llama3,
    glm4moe, gptoss
  mistralai/mistral-common tests/data/chat_templates/: v1_spm, v3_spm, v3
  ggml-org/llama.cpp models/templates/: moonshotai-Kimi-K2 (as kimi-k2), deepseek-ai-
    DeepSeek-V3.1 (as deepseek-v3.1), deepseek-ai-DeepSeek-R1-Distill-Qwen-32B (as
    deepseek-r1)
  llm-jp/llm-jp-tokenizer hf/ver4.0/alpha_1.0/chat_template.jinja (as llm-jp-4)
  microsoft/onnxruntime-extensions test/data/gpt-oss/chat_template.jinja (as gpt-oss)
  radixark/miles miles/utils/chat_template_utils/templates/:
    qwen3_thinking_2507_and_next_fixed
Each line: "preset", "system" (null: none), "turns" (question, answer, ..., question), and
"text" with <BOS> and <EOS> for the two tokens; the date is 2026-01-02.
"""
import json
import sys

import jinja2
import jinja2.ext

TEMPLATES = {  # preset -> template, further variables
    "chatml": ("qwen3_instruct_2507", {}), "qwen2.5": ("qwen2_5", {}), "qwen3": ("qwen3", {}),
    "qwen3-nothink": ("qwen3", {"enable_thinking": False}), "llama": ("llama3", {}),
    "mixtral": ("v1_spm", {}), "mistral": ("v3_spm", {}),
    "glm": ("glm4moe", {}), "glm-nothink": ("glm4moe", {"enable_thinking": False}),
    "qwen3-think": ("qwen3_thinking_2507_and_next_fixed", {}),
    "mistral-nemo": ("v3", {}), "kimi": ("kimi-k2", {}),
    "deepseek": ("deepseek-v3.1", {}), "deepseek-think": ("deepseek-v3.1", {"thinking": True}),
    "deepseek-r1": ("deepseek-r1", {}), "llm-jp-4": ("llm-jp-4", {}),
    "gpt-oss": ("gpt-oss", {}), "gpt-oss-channels": ("gptoss", {}),
}
PLAIN = ["What is 2+3?", "5", "And 4+4?", "8\n#### 8", "日本語: 1+1は?"]
BLANK = [" \u00a0\tWhat\n is 2+3?\n \u3000", "\n\n  5 is it. \u2028", "\u200b And <b>{bos}</b>? ", "8 ",
         "\n last\x1f\n"]
CASES = [(None, PLAIN[:1]), ("Be terse.", PLAIN[:1]), (None, PLAIN), ("Be terse.", PLAIN),
         ("\n Be\n\nterse. \u2003", BLANK), (None, BLANK)]


def refuse(message):
    raise ValueError(message)


def main():
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True,
                             extensions=[jinja2.ext.loopcontrols])
    env.globals.update(raise_exception=refuse, strftime_now=lambda f: "2026-01-02")
    env.filters["tojson"] = lambda x, **_: json.dumps(x, ensure_ascii=False)
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        for preset, (name, extra) in TEMPLATES.items():
            with open(f"{sys.argv[1]}/{name}.jinja", encoding="utf-8") as f:
                template = env.from_string(f.read())
            for system, turns in CASES:
                messages = [] if system is None else [{"role": "system", "content": system}]
                messages += [{"role": ("user", "assistant")[i % 2], "content": t}
                             for i, t in enumerate(turns)]
                text = template.render(messages=messages, add_generation_prompt=True,
                                       bos_token="<BOS>", eos_token="<EOS>", **extra)
                line = {"preset": preset, "system": system, "turns": turns, "text": text}
                out.write(json.dumps(line, ensure_ascii=False) + "\n")


main()
