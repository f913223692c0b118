#!/usr/bin/env python3
"""Makes tests/grpo/shots_{train,asked}.jsonl and shots_cases.jsonl: few-shot prompts drawn
with Python's random module in the manner of lm-evaluation-harness' sampler.

Each case: "seed", "shots", "self" (drawn from the file asked), "prompts" of all its rows.
"""
import json
import random
import sys

CASES = [(42, 4, False), (42, 1, False), (7, 6, False), (9007199254740991, 5, False), (42, 5, True),
         (1234, 12, True), (0, 1, True)]


def problem(i):
    if i == 11:
        i = 4  # the same problem twice: neither is shown to the other
    return {"question": f"What is {i} + {3 * i}?", "answer": f"{i} + {3 * i} = {4 * i}\n#### {4 * i}"}


def text(doc):
    return f"Question: {doc['question']}\nAnswer:"


def prompts(asked, shown, seed, k, is_self):
    r = random.Random(seed)
    for doc in asked:
        drawn = r.sample(shown, k + 1 if is_self else k)
        kept = [d for d in drawn if not is_self or d != doc][:k]
        yield "".join(f"{text(d)} {d['answer']}\n\n" for d in kept) + text(doc)


def write(path, rows):
    with open(path, "w", encoding="ascii") as f:
        f.writelines(json.dumps(row) + "\n" for row in rows)


def main():
    folder = sys.argv[1]
    train = [problem(100 + i) for i in range(60)]
    asked = [problem(i) for i in range(18)]
    write(f"{folder}/shots_train.jsonl", train)
    write(f"{folder}/shots_asked.jsonl", asked)
    write(f"{folder}/shots_cases.jsonl",
          [{"seed": seed, "shots": k, "self": is_self,
            "prompts": list(prompts(asked, asked if is_self else train, seed, k, is_self))}
           for seed, k, is_self in CASES])


main()
