#!/usr/bin/env python3
"""Edges (tests/reward/code_edges.txt) and random programs of the subset of reward/code.h and what Python makes of them.

    tests/reward/make_code_cases.py SEED COUNT [BYTES] > tests/reward/code_cases.jsonl

One JSON object a line: "text", and "value" (Python's repr) or "fault": true where Python
raises. Programs whose value is outside the subset (complex numbers, ints beyond its
limit) are left out, and texts longer than BYTES. The committed file: 1 320 600. A few in a
thousand of other seeds pass through a complex number or a NaN in a list, which the subset
refuses. Needs Python 3.11 or older: later ones sum floats differently.
"""
import contextlib
import io
import json
import os
import random
import signal
import sys
import warnings

sys.set_int_max_str_digits(0)
INT_LIMIT = 1 << 4000


class Gen:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.names = []
        self.lists = []
        self.helpers = []
        self.depth = 0

    def pick(self, *options):
        return self.r.choice(options)

    def number(self):
        r = self.r
        kind = r.randrange(12)
        if kind < 5:
            return str(r.randrange(0, 20))
        if kind == 5:
            return str(r.randrange(0, 10 ** r.randrange(1, 25)))
        if kind == 6:
            return "%d_%03d" % (r.randrange(1, 999), r.randrange(1000))
        if kind == 7:
            return repr(round(r.random() * 100, r.randrange(0, 4)))
        if kind == 8:
            return "%d.%d" % (r.randrange(100), r.randrange(10))
        if kind == 9:
            return "%de%d" % (r.randrange(1, 99), r.randrange(-20, 20))
        if kind == 10:
            return repr(r.uniform(-1, 1) * 10.0 ** r.randrange(-320, 300)).lstrip("-")
        return self.pick("True", "False", ".5", "0", "1", "2", "0.0", "1e16", "100", "0.125", "2.675", "1.005")

    def atom(self):
        k = self.r.randrange(10)
        if k < 4 and self.names:
            return self.r.choice(self.names)
        if k == 4 and self.lists:
            return "%s[%s]" % (self.r.choice(self.lists), self.pick("0", "-1", "1", "2", "i" if "i" in self.names else "0"))
        if k == 5 and self.helpers:
            name, params = self.r.choice(self.helpers)
            args = [self.expr(1) for _ in range(params)]
            if params and self.r.random() < 0.3:
                args[-1] = "p%d=%s" % (params - 1, args[-1])
            if self.r.random() < 0.1 and args:
                args.pop()
            return "%s(%s)" % (name, ", ".join(args))
        return self.number()

    def list_expr(self, d):
        k = self.r.randrange(9)
        if k < 2 and self.lists:
            return self.r.choice(self.lists)
        if k == 2:
            return "list(range(%s))" % ", ".join(str(self.r.randrange(-3, 9)) for _ in range(self.r.randrange(1, 4)))
        if k == 3 and d > 0:
            return "sorted(%s%s)" % (self.list_expr(d - 1), self.pick("", "", ", reverse=True"))
        if k == 4 and d > 0:
            parts = [self.pick("", "1", "-2", "0", "2", "-1") for _ in range(3)]
            return "%s[%s]" % (self.list_expr(d - 1), self.pick(":".join(parts[:2]), ":".join(parts)))
        if k == 5 and d > 0:
            return "(%s + %s)" % (self.list_expr(d - 1), self.list_expr(d - 1))
        if k == 6 and d > 0:
            return "%s * %s" % (self.list_expr(d - 1), self.pick("2", "0", "3", "-1", "1.5"))
        return "[%s]" % ", ".join(self.expr(1) for _ in range(self.r.randrange(0, 5)))

    def condition(self, d):
        k = self.r.randrange(7)
        if k == 0 and d > 0:
            return "%s %s %s" % (self.condition(d - 1), self.pick("and", "or"), self.condition(d - 1))
        if k == 1 and d > 0:
            return "not %s" % self.condition(d - 1)
        if k == 2:
            return "%s %s %s %s %s" % (self.expr(1), self.pick("<", "<=", ">", "==", "!="), self.expr(1), self.pick("<", ">=", "!="), self.expr(1))
        if k == 3:
            return "%s %s %s" % (self.expr(1), self.pick("in", "not in"), self.list_expr(1))
        if k == 4:
            return "%s %s %s" % (self.list_expr(1), self.pick("<", ">=", "==", "!="), self.list_expr(1))
        return "%s %s %s" % (self.expr(1), self.pick("<", "<=", ">", ">=", "==", "!="), self.expr(1))

    def call(self, d):
        e = lambda: self.expr(d - 1)
        return self.pick(
            lambda: "round(%s)" % e(),
            lambda: "round(%s, %s)" % (e(), self.pick("0", "1", "2", "3", "-1", "ndigits=2", "10", "-3", "None", "15")),
            lambda: "int(%s)" % e(),
            lambda: "float(%s)" % e(),
            lambda: "abs(%s)" % e(),
            lambda: "%s(%s)" % (self.pick("min", "max"), ", ".join(e() for _ in range(self.r.randrange(2, 4)))),
            lambda: "%s(%s)" % (self.pick("min", "max", "sum", "len"), self.list_expr(1)),
            lambda: "sum(range(%d, %d))" % (self.r.randrange(50), self.r.randrange(99)),
            lambda: "sum(%s, %s)" % (self.list_expr(1), e()),
            lambda: "len(range(%s, %s))" % (e(), e()),
            lambda: "pow(%s, %s)" % (e(), self.pick("2", "3", "-1", "0.5", "0")),
            lambda: "bool(%s)" % e(),
            lambda: "math.%s(%s)" % (self.pick("ceil", "floor", "sqrt"), e()),
            lambda: "divmod(%s, %s)[%s]" % (e(), e(), self.pick("0", "1")),
        )()

    def expr(self, d):
        k = self.r.randrange(12)
        if d <= 0 or k < 2:
            return self.atom()
        if k < 7:
            return "%s %s %s" % (self.expr(d - 1), self.pick("+", "-", "*", "/", "//", "%", "+", "-", "*"), self.expr(d - 1))
        if k == 7:
            return "(%s)" % self.expr(d - 1)
        if k == 8:
            return "%s ** %s" % (self.atom(), self.pick("2", "3", "0.5", "-1", "-2", "10", "0", "1.5"))
        if k == 9:
            return "%s%s" % (self.pick("-", "+", "-", "not "), self.atom()) if self.r.random() < 0.9 else "(not %s)" % self.atom()
        if k == 10:
            return self.call(d)
        return "(%s if %s else %s)" % (self.expr(d - 1), self.condition(1), self.expr(d - 1))

    def name(self):
        if self.names and self.r.random() < 0.4:
            return self.r.choice(self.names)
        n = self.pick("a", "b", "c", "total", "price_per_kg", "x1", "_y", "n_eggs")
        return n

    def assign(self, pad):
        k = self.r.randrange(12)
        if k < 5:
            e, n = self.expr(3), self.name()
            line = "%s%s = %s" % (n, self.pick("", "", ": float", ": int"), e)
            self.names.append(n)
        elif k < 7 and self.names:
            line = "%s %s= %s" % (self.r.choice(self.names), self.pick("+", "-", "*", "/", "//", "%", "**" if self.r.random() < .1 else "+"), self.expr(2))
        elif k == 7:
            es, ns = (self.expr(2), self.expr(2)), (self.name(), self.name())
            line = "%s, %s = %s, %s" % (ns + es)
            self.names += ns
        elif k == 8:
            e, ns = self.expr(2), (self.name(), self.name())
            line = "%s = %s = %s" % (ns + (e,))
            self.names += ns
        elif k == 9:
            e, n = self.list_expr(2), self.pick("xs", "ys", "prices")
            line = "%s = %s" % (n, e)
            self.lists.append(n)
        elif self.lists:
            n = self.r.choice(self.lists)
            line = self.pick(
                "%s.append(%s)" % (n, self.expr(2)),
                "%s += %s" % (n, self.list_expr(1)),
                "%s[%s] = %s" % (n, self.pick("0", "-1", "1"), self.expr(2)),
                "%s[0] %s= %s" % (n, self.pick("+", "*", "-"), self.expr(1)),
                "%s = %s * 2" % (n, n),
            )
        else:
            line = "pass"
        comment = self.pick("", "", "", "  # " + self.pick("eggs", "$5 per 'kg'", "100%"))
        return [pad + line + comment]

    def block(self, pad, depth, in_loop):
        out = []
        scope = list(self.names), list(self.lists)
        for _ in range(self.r.randrange(1, 4)):
            out += self.statement(pad, depth, in_loop)
        if in_loop and self.r.random() < 0.2:
            out.append(pad + "if %s: %s" % (self.condition(1), self.pick("break", "continue")))
        if self.r.random() < 0.85:
            self.names, self.lists = scope
        return out

    def statement(self, pad, depth, in_loop=False):
        k = self.r.randrange(14)
        step = self.pick("    ", "  ", "\t") if self.r.random() < 0.2 else "    "
        deeper = pad + step
        if depth <= 0 or k < 8:
            return self.assign(pad)
        if k < 10:
            out = [pad + "if %s:" % self.condition(2)] + self.block(deeper, depth - 1, in_loop)
            if self.r.random() < 0.4:
                out += [pad + "elif %s:" % self.condition(1)] + self.block(deeper, depth - 1, in_loop)
            if self.r.random() < 0.5:
                out += [pad + "else:"] + self.block(deeper, depth - 1, in_loop)
            return out
        if k < 12:
            over = self.pick("range(%d)" % self.r.randrange(6), "range(%d, %d, %s)" % (self.r.randrange(9), self.r.randrange(9), self.pick("1", "2", "-1", "-2")), self.list_expr(1))
            self.names.append("i")
            out = [pad + "for i in %s:" % over] + self.block(deeper, depth - 1, True)
            if self.r.random() < 0.2:
                out += [pad + "else:"] + self.block(deeper, depth - 1, in_loop)
            return out
        if k == 12:
            out = [pad + "k = %d" % self.r.randrange(5), pad + "while k > 0:", deeper + "k -= 1"]
            return out + self.block(deeper, depth - 1, True)
        return [pad + self.pick("assert %s" % self.condition(1), "print(%s)" % self.expr(1), '"text"', "%s; %s" % (self.assign("")[0].split("  #")[0], "pass"), "x = None")]

    def function(self, name, n_params):
        self.names, self.lists = [], []
        params = []
        for p in range(n_params):
            params.append("p%d%s" % (p, self.pick("", ": float", "") if p < n_params - 1 or self.r.random() < 0.6 else "=%s" % self.number()))
            self.names.append("p%d" % p)
        out = ["def %s(%s)%s:" % (name, ", ".join(params), self.pick("", " -> float", " -> int"))]
        if self.r.random() < 0.4:
            out.append(self.pick('    """', "    '''") + 'A farmer has "5" eggs\\n\n    and\n' + "    more")
            out[-1] += out[-1].strip()[:3]
        for _ in range(self.r.randrange(1, 6)):
            out += self.statement("    ", 2)
            if self.r.random() < 0.15:
                out.append(self.pick("", "# note", "      # note"))
        what = self.pick(self.expr(2), self.expr(3), self.expr(3), self.condition(2), "(%s, %s)" % (self.expr(1), self.expr(1)), self.list_expr(2), "[%s, (%s,)]" % (self.expr(1), self.expr(1)))
        if self.names and self.r.random() < 0.4:
            what = self.names[-1]
        if self.r.random() < 0.97:
            out.append("    return %s" % what)
        return out

    def program(self):
        out = ["import math"]
        for h in range(self.r.randrange(3)):
            n = self.r.randrange(3)
            out += self.function("helper%d" % h, n) + [""]
            self.helpers.append(("helper%d" % h, n))
        if self.r.random() < 0.3:
            self.helpers.append(("solve", 0)) if self.r.random() < 0.02 else None
        out += self.function("solve", 0)
        return "\n".join(out) + "\n"


def in_subset(v):
    if isinstance(v, (list, tuple)):
        return all(in_subset(i) for i in v)
    if isinstance(v, int):
        return abs(v) < INT_LIMIT
    return isinstance(v, float)


def compile_quietly(text):
    """None: not a program"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return compile(text, "case", "exec")
        except SyntaxError:
            return None


class TooLong(BaseException):
    pass


def give_up(*_):
    raise TooLong


def watch(frame, event, arg):
    """Stops a program whose numbers or lists grow out of hand, line by line."""
    for v in frame.f_locals.values():
        if isinstance(v, int) and abs(v) > INT_LIMIT or isinstance(v, list) and len(v) > 5000:
            raise TooLong
    return watch


def run(text):
    env = {}
    code = compile_quietly(text)
    if code is None:
        return {"fault": True, "error": "SyntaxError"}
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            sys.settrace(watch)
            exec(code, env)
            v = env["solve"]()
            sys.settrace(None)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if v is None or not in_subset(v):
            return None
        text = repr(v)
        return {"value": text} if len(text) < 2000 else None
    except (TooLong, RecursionError, MemoryError):
        return None
    except Exception as e:
        return {"fault": True, "error": type(e).__name__}
    finally:
        sys.settrace(None)
        signal.setitimer(signal.ITIMER_REAL, 0)


def edges():
    """Bodies of functions: first expressions, one a line, then statements."""
    with open(os.path.join(os.path.dirname(__file__), "code_edges.txt")) as f:
        expressions, *bodies = f.read().rstrip("\n").split("\n---\n")
    for body in ["return " + e for e in expressions.split("\n")] + bodies:
        lines = "".join("    %s\n" % line for line in body.split("\n"))
        yield "import math\ndef solve(unused=0):\n" + lines


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    longest = int(sys.argv[3]) if len(sys.argv) > 3 else 1 << 30
    signal.signal(signal.SIGALRM, give_up)
    for text in edges():
        result = run(text)
        if result is not None:
            result.pop("error", None)
            print(json.dumps({"text": text, **result}))
    done, n_faults = 0, 0
    while done < count:
        text = Gen(seed).program()
        seed += 1
        if len(text) > longest:
            continue
        result = run(text)
        # a helper with a syntax error counts as absent, which Python does not do
        if result is None or result.get("error") == "SyntaxError":
            continue
        if (result.get("fault") and n_faults * 4 > done):
            continue
        n_faults += bool(result.pop("error", None))
        done += 1
        print(json.dumps({"text": text, **result}))


main()
