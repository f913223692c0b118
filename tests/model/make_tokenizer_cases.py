#!/usr/bin/env python3
"""Makes tests/model/tokenizer_cases.jsonl with the tokenizers library (0.23).

Line 1 holds the texts and a base tokenizer.json whose merges cross every kind of border,
so that a wrong split shows in the ids. Each further line changes some of its keys ("set": model keys
go into "model") and gives, for each text, ids, ids with specials where different, and
both decodings where different from the text.
"""
import json
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXTS = [
    "", " ", "  ", "Hello, world. It's 12 o'clock\n\n  now", "low lower,lowest .. low",
    "a\u0301 e\u0301\u0301 \u00e9 \uac00\u1100\u1161", "x=3.14159, y=-2\u00d710^8\t\u00bd \u0664\u0665",
    "\u3001\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8\u3002abc", "a\u180eb\u00a0c\u0085d\u2003e\u3000f",
    "\U0001f600\u200d\U0001f680 na\u00efve caf\u00e9", "<s>low</s> <x>  <xy> w<x>w <xyz>\n",
    "IT'\u017f I'LL we're\r\n\r\n\n ok", "l ll lll  l,.l. ,", "\u1c89\u1c8a a\ua7cb 12\U00010d4034\u0897\u0301",
    "\ufefftext\u0000nul\x7f\u00ad", "  leading and trailing   ",
]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
              "use_regex": False}


def chain(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps) + [BYTE_LEVEL]}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior,
            "invert": invert}


def added(content, **flags):
    token = {"id": 0, "content": content, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False, "special": True}
    token.update(flags)
    return token


CL = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
      r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DS3 = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?"
       "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")
TEMPLATE = {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]},
                               "</s>": {"id": "</s>", "ids": [2, 1],
                                        "tokens": ["</s>", "<s>"]}}}


def base():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(TEXTS * 2, trainers.BpeTrainer(
        vocab_size=400, min_frequency=2, show_progress=False,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    j = json.loads(t.to_str())
    j["pre_tokenizer"] = BYTE_LEVEL
    return j


def cases(b):
    vocab, merges = b["model"]["vocab"], b["model"]["merges"]
    yield "no split", {}
    for prefix in (False, True):
        for regex in (False, True):
            yield f"ByteLevel prefix={prefix} regex={regex}", {"pre_tokenizer": dict(
                BYTE_LEVEL, add_prefix_space=prefix, use_regex=regex)}
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                     "Contiguous"):
        for invert in (False, True):
            yield f"Split {behavior} invert={invert}", {
                "pre_tokenizer": chain(split(r"[ \n,.l]", behavior, invert))}
    yield "Split runs", {"pre_tokenizer": chain(split(r"l+|\s", "MergedWithNext"))}
    yield "Split string", {"pre_tokenizer": chain(split("l.", kind="String"))}
    yield "Split empty matches", {"pre_tokenizer": chain(split("l*"))}
    yield "Split empty matches merged", {
        "pre_tokenizer": chain(split("l*", "MergedWithPrevious"))}
    yield "Split look-behind", {"pre_tokenizer": chain(split(r"(?<=[a-z])(?=\s)|^."))}
    for individual in (False, True):
        yield f"Digits {individual}", {"pre_tokenizer": chain(
            {"type": "Digits", "individual_digits": individual})}
    yield "cl100k", {"pre_tokenizer": chain(split(CL))}
    yield "dolma2", {"pre_tokenizer": chain(split(CL, "Removed", True))}
    yield "han", {"pre_tokenizer": chain(split(r"[\p{Han}]+|\p{Hiragana}+"))}
    yield "three splits", {"pre_tokenizer": chain(
        split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DS3))}
    yield "prefix space of each piece", {"pre_tokenizer": {
        "type": "Sequence", "pretokenizers": [
            split(r"\p{N}"), dict(BYTE_LEVEL, add_prefix_space=True, use_regex=True)]}}
    yield "NFC", {"normalizer": {"type": "NFC"}}
    yield "NFC sequence", {"normalizer": {"type": "Sequence",
                                          "normalizers": [{"type": "NFC"}]}}
    x = ["<x>", "<xy>", " "]
    for flags in ({}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True},
                  {"single_word": True}, {"normalized": True}, {"special": False},
                  {"normalized": True, "lstrip": True, "single_word": True}):
        yield f"added {flags}", {"added_tokens": b["added_tokens"] + [
            added(c, **flags) for c in x[:2]]}
    yield "added runs of blanks", {"added_tokens": b["added_tokens"] + [
        added(" " * n, normalized=True, special=False) for n in (2, 3)]
        + [added("<x>", rstrip=True)]}
    yield "added normalized by NFC", {"normalizer": {"type": "NFC"}, "added_tokens":
        b["added_tokens"] + [added("e\u0301", normalized=True), added("a\u0301")]}
    yield "added in the vocabulary", {"added_tokens": b["added_tokens"] + [
        added("low"), added("low", lstrip=True), added("", special=False)]}
    yield "ignore_merges", {"model": {"ignore_merges": True, "merges": merges[:20]},
                            "pre_tokenizer": chain(split(CL))}
    yield "merges as strings", {"model": {"merges": [
        "#version: 0.2"] + [" ".join(m) for m in merges]}}
    yield "a merge twice", {"model": {"merges": merges + merges[:9]}}
    few = {k: v for k, v in vocab.items() if k not in ("Q", "\u0120", "x", "\u00e7")}
    yield "bytes without a token", {"model": {"vocab": few, "merges": [
        m for m in merges if all(p in few for p in (m[0], m[1], m[0] + m[1]))
        and not set("".join(m)) & set("Q\u0120x\u00e7")]}}
    yield "template", {"post_processor": TEMPLATE}
    yield "template in a sequence", {"post_processor": {"type": "Sequence", "processors": [
        dict(BYTE_LEVEL), TEMPLATE]}}
    yield "decoder sequence", {"decoder": {"type": "Sequence", "decoders": [
        b["decoder"]]}}


def main():
    b = base()
    print(json.dumps({"texts": TEXTS, "base": b}, separators=(",", ":")))
    for name, change in cases(b):
        j = json.loads(json.dumps(b))
        for key, value in change.items():
            if key == "model":
                j["model"].update(value)
            else:
                j[key] = value
        t = Tokenizer.from_str(json.dumps(j))
        out = []
        for text in TEXTS:
            e = {"ids": t.encode(text, add_special_tokens=False).ids}
            special = t.encode(text).ids
            if special != e["ids"]:
                e["sp"] = special
            for key, skip in (("dec", False), ("skip", True)):
                decoded = t.decode(special, skip_special_tokens=skip)
                if decoded != text:
                    e[key] = decoded
            out.append(e)
        print(json.dumps({"name": name, "set": change, "cases": out}, separators=(",", ":")))


if __name__ == "__main__":
    sys.exit(main())
