#!/usr/bin/env python3
"""Writes tests/model/tokenizer_oracle.jsonl: random tokenizers of all supported kinds, random Unicode texts
and ids, and what Hugging Face's library makes of them.
    pip install tokenizers==0.23.2; python tests/model/make_tokenizer_oracle.py
A line is {"name", "tokenizer", "extra", "cases"}. A BPE model's vocabulary is <0x00> to <0xFF> and then
`extra`, where that is given. Cases: {"t": text, "ids", "sp"} or {"d": ids}, each with "dec" and "decskip".
"""
import json
import random
import unicodedata

from tokenizers import Tokenizer

R = random.Random(20261126)
BYTES = [f"<0x{i:02X}>" for i in range(256)]
POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
ASSIGNED = [c for c in POINTS if unicodedata.category(chr(c)) not in ("Cn", "Co")
            and not (0x4E00 <= c <= 0x9FFF or 0xAC00 <= c <= 0xD7A3 or 0x20000 <= c < 0x32000)]
MARKS = [c for c in POINTS if unicodedata.combining(chr(c))]
DECOMPOSED = [c for c in POINTS if unicodedata.decomposition(chr(c))]
# assigned since Unicode 14: blocks and single characters
LATE = [0x897, 0xCF3, 0xECE, 0x1C89, 0x1C8A, 0x2427, 0x2FFC, 0x31EF, 0xA7CB, 0xA7CD, 0xA7DA, 0x105C0, 0x10D40,
        0x10D4A, 0x10D50, 0x10D69, 0x10D70, 0x11380, 0x113B8, 0x11F04, 0x11F50, 0x13441, 0x16130, 0x1CC00, 0x1CCF4,
        0x1E030, 0x1E4D0, 0x1E5F1, 0x1FAE8, 0x2EBF0, 0x2EE5D, 0x31350, 0x318CB, 0x323AF]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
CL = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + BLANKS
O2 = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + CONTRACTIONS +
      r"?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + CONTRACTIONS +
      r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + BLANKS)
MARK = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": False}


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def sequence(*pre):
    return {"type": "Sequence", "pretokenizers": list(pre)}


def file(**parts):
    out = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
           "pre_tokenizer": None, "post_processor": None, "decoder": None,
           "model": {"type": "BPE", "byte_fallback": True, "merges": []}}
    out.update(parts)
    return out


def char():
    x = R.random()
    if x < .35:
        return R.choice("abcdefl   \n\t.,'!0129-_\u2581<>sS")
    for limit, pool in ((.5, ASSIGNED), (.6, MARKS), (.7, DECOMPOSED), (.8, LATE), (.84, POINTS)):
        if x < limit:
            return chr(R.choice(pool))
    return R.choice(["'s", "'\u017f", "\r\n", "  ", "   ", "e\u0301", "\uac00\u11a8", "\U00011935\U00011930", "<s>",
                     "</s>", "hello", "\u0344", "\u0958", "\u3000", "\u00a0", "\u2028", "\u0085", "\0", "\u212a", "\u6f22"])


def text(n=None):
    return "".join(char() for _ in range(n or R.choice([0, 1, 2, 4, 8, 14])))


def added(content):
    return {"id": 9, "content": content, "single_word": R.random() < .25, "lstrip": R.random() < .25,
            "rstrip": R.random() < .25, "normalized": R.random() < .4, "special": R.random() < .4}


def normalizer():
    return R.choice([
        {"type": "NFC"}, {"type": "NFD"}, {"type": "NFKC"}, {"type": "NFKD"}, {"type": "Lowercase"}, {"type": "Nmt"},
        {"type": "StripAccents"}, {"type": "Strip", "strip_left": R.random() < .5, "strip_right": R.random() < .5},
        {"type": "Prepend", "prepend": R.choice(["\u2581", "ab"])},
        {"type": "Replace", "pattern": {"String": R.choice([" ", "a", "ab"])}, "content": R.choice(["\u2581", "xy"])},
        {"type": "Replace", "pattern": {"Regex": R.choice(["\\s+", "[a-c]", "(?<=a)b"])}, "content": "\u2581"}])


def pretokenizer():
    return R.choice([
        split(R.choice([" ", "[a-e]+", "\\p{L}+", "\\d", "a|b", "(?=a)", ".", "[^ ]+"]), R.choice(BEHAVIORS), R.random() < .5),
        split(R.choice([" ", "a", "ab", "."]), R.choice(BEHAVIORS), R.random() < .5, "String"),
        {"type": "Digits", "individual_digits": R.random() < .5},
        {"type": "ByteLevel", "add_prefix_space": R.random() < .5, "trim_offsets": True, "use_regex": R.random() < .5},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": R.choice(["always", "first", "never"]),
         "split": R.random() < .5},
        {"type": "WhitespaceSplit"}, {"type": "Whitespace"}, {"type": "Punctuation", "behavior": R.choice(BEHAVIORS)},
        {"type": "FixedLength", "length": R.randint(1, 5)}, {"type": "BertPreTokenizer"}])


def decoder():
    return R.choice([
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, {"type": "ByteFallback"},
        {"type": "Fuse"}, {"type": "Strip", "content": R.choice([" ", "a"]), "start": R.randint(0, 2), "stop": 0},
        {"type": "Replace", "pattern": {R.choice(["String", "Regex"]): R.choice(["\u2581", "ab"])}, "content": R.choice([" ", ""])},
        {"type": "Replace", "pattern": {"Regex": R.choice(["(?<!\\n)^ ", "\\s+"])}, "content": R.choice(["", "q"])},
        {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": R.choice(["always", "never"]), "split": True},
        {"type": "BPEDecoder", "suffix": R.choice(["</w>", "a"])}])


def random_file():
    extra = ["\u2581", "a", "b", "c", "ab", "bc", "abc", "\u2581a", "\u0120", "\u0120a", "ll", "l", "1", "2", "12", "<unk>",
             "hello", "\u00e9", "a</w>", "##a", "##b"]
    merges = [["a", "b"], ["b", "c"], ["a", "bc"], ["ab", "c"], ["\u2581", "a"], ["\u0120", "a"], ["l", "l"], ["1", "2"]]
    R.shuffle(merges)
    model = {"type": "BPE", "byte_fallback": R.random() < .7, "fuse_unk": R.random() < .5, "merges": merges,
             "ignore_merges": R.random() < .3, "unk_token": R.choice([None, "<unk>"])}
    if R.random() < .2:
        model["end_of_word_suffix"] = "</w>"
    if R.random() < .3:
        scores = [[x, round(R.uniform(-12, 0), R.randint(0, 16))] for x in extra]
        model = {"type": "Unigram", "unk_id": 15, "vocab": scores, "byte_fallback": False}
        extra = None
    several = [normalizer() for _ in range(R.randint(0, 2))]
    pool = ["<s>", "</s>", "  ", "   ", "ab", "hello", "\u00e9", "l", "\n"]
    return extra, file(
        model=model, normalizer=R.choice([None, {"type": "Sequence", "normalizers": several}]),
        pre_tokenizer=R.choice([None, pretokenizer(), sequence(*[pretokenizer() for _ in range(R.randint(0, 2))])]),
        added_tokens=[added(c) for c in R.sample(pool, R.randint(0, 4))],
        decoder=R.choice([None, decoder(), {"type": "Sequence", "decoders": [decoder() for _ in range(R.randint(0, 3))]}]))


def cases(tok, texts, id_lists):
    out = []
    for t in texts:
        ids, special = tok.encode(t, add_special_tokens=False).ids, tok.encode(t).ids
        case = {"t": t, "ids": ids, "dec": tok.decode(ids, skip_special_tokens=False),
                "decskip": tok.decode(special, skip_special_tokens=True)}
        out.append(case)
    for d in id_lists:
        out.append({"d": d, "dec": tok.decode(d, skip_special_tokens=False), "decskip": tok.decode(d, skip_special_tokens=True)})
    return out


def put(out, name, extra, tokenizer, texts, id_lists=()):
    full = json.loads(json.dumps(tokenizer))
    if extra is not None:
        full["model"]["vocab"] = {t: i for i, t in enumerate(BYTES + extra)}
    try:
        line = {"name": name, "tokenizer": tokenizer, "extra": extra,
                "cases": cases(Tokenizer.from_str(json.dumps(full)), texts, id_lists)}
    except BaseException:  # the library panics on some
        return
    out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def pools():
    return ["".join(R.choice(["%s", "a%s", " %s", "1%s", "%s ", "!%s", "\u6f22%s", "A%s"]) % chr(R.choice(pool))
                    for _ in range(24)) for pool in (LATE, LATE, ASSIGNED, ASSIGNED, MARKS, POINTS)]


with open("tests/model/tokenizer_oracle.jsonl", "w") as f:
    for name, pre in (("cl100k", [split(CL)]), ("o200k", [split(O2)]), ("removed", [split(CL, "Removed", True)]),
                      ("han", [split(r"[\p{Han}]+")]), ("digits", [split(r"\d"), {"type": "Digits", "individual_digits": True}]),
                      ("sub-categories", [split(r"\p{Nd}+|\p{Nl}|\p{Lt}|\p{Lm}|\p{M}+|\p{P}|\p{S}")]),
                      ("regex words", [split(r"\w+|[^\w\s]+")]), ("borders", [split(r"\b|\W")]),
                      ("scripts", [split(r"\p{Hiragana}|\p{Katakana}+|\p{Latin}+|\p{Greek}|\p{Thai}")]),
                      ("repetitions", [split(r"a{1,2}?b|\d{2}|x*+|(?i:ab|k)")]),
                      ("words", [{"type": "Whitespace"}]), ("punctuation", [{"type": "Punctuation", "behavior": "Isolated"}])):
        put(f, "classes: " + name, ["\u2581"], file(pre_tokenizer=sequence(*pre, MARK)), pools())
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"):
        torture = ["".join(chr(R.choice(R.choice([MARKS, DECOMPOSED, LATE, range(0x1100, 0x1200), [0x11935, 0x11930, 0x61]])))
                           for _ in range(12)) for _ in range(8)]
        put(f, "normalizer: " + form, ["\u2581"], file(normalizer={"type": form}), pools() + torture)
    for k in range(90):
        extra, tokenizer = random_file()
        n = 21 if extra is None else 277
        put(f, f"random {k}", extra, tokenizer, [text() for _ in range(7)],
            [[R.randint(max(0, n - 40), n + 4) for _ in range(R.randint(0, 10))] for _ in range(5)])
