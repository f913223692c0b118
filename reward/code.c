/*
 * One completion: its parts in order, then which value counts.
 */
#include "reward/code.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "reward/code_eval.h"
#include "reward/code_find.h"
#include "reward/code_float.h"
#include "reward/code_ops.h"
#include "reward/code_parse.h"

static const char main_function[] = "simple_math_problem";

static const char *const status_names[] = {
    [CODE_NONE] = "none",   [CODE_VALUE] = "value", [CODE_UNSUPPORTED] = "unsupported",
    [CODE_FAULT] = "fault", [CODE_LIMIT] = "limit",
};

const char *code_status_name(enum code_status s) { return status_names[s]; }

/* The evaluation of one part */
struct task {
    struct code_parser parser;
    const char *text;
    struct code_part part;
    const struct node *last; /* its last statement */
    size_t from, to;         /* of all parts of the program; to 0: none so far */
};

/* text[from, to) is a part of the program. */
static void note_extent(struct task *t, size_t from, size_t to)
{
    if (t->to == 0)
        t->from = from;
    t->to = to;
}

static void run_part(struct code_run *r, void *arg)
{
    struct task *const t = arg;
    struct code_parser *const p = &t->parser;
    const bool is_single = t->part.kind == PART_DEF || t->part.kind == PART_IMPORT;
    code_parse(p, r, t->text, t->part.off + t->part.len, t->part.off, is_single);
    const struct node *n = code_parse_statements(p);
    t->last = NULL;
    for (const struct node *i = n; i != NULL; i = i->next)
        t->last = i;
    (void)code_exec(r, n);
}

static enum code_status do_part(struct code_run *r, struct task *t)
{
    const enum code_status status = code_guard(r, run_part, t);
    /* names of a function whose parsing ended early */
    for (struct name *n = t->parser.locals; n != NULL; n = n->next_local)
        n->slot = -1;
    t->parser.locals = NULL;
    if (status != CODE_VALUE)
        r->has_absent = true;
    return status;
}

static void call_function(struct code_run *r, void *arg)
{
    const struct code_args none = {0};
    r->printed = value_none();
    r->result = code_call(r, arg, &none, NULL);
}

/* The value that `name`, a function without required parameters, returns or prints */
static enum code_status call_name(struct code_run *r, const struct name *name,
                                  struct value *out)
{
    const struct function *const f = name->global.function;
    if (name->global.kind != VALUE_FUNCTION || !code_takes_none(f))
        return CODE_FAULT;
    struct function copy = *f;
    const enum code_status status = code_guard(r, call_function, &copy);
    *out = r->result.kind == VALUE_NONE ? r->printed : r->result;
    return status;
}

/* Blocks are one session; the last one has the value. */
static enum code_status run_blocks(struct code_run *r, struct task *t,
                                   struct code_finder *f, struct value *out)
{
    enum code_status status = CODE_NONE;
    for (t->part = code_find_block(f); t->part.kind != PART_END;
         t->part = code_find_block(f)) {
        r->printed = r->shown = value_none();
        r->assigned = r->last_def = NULL;
        note_extent(t, t->part.off, f->off);
        status = do_part(r, t);
        if (status == CODE_LIMIT)
            return status;
    }
    if (status != CODE_VALUE)
        return status;
    if (t->last != NULL && t->last->kind == NODE_EXPRESSION &&
        r->shown.kind != VALUE_NONE)
        *out = r->shown;
    else if (r->printed.kind != VALUE_NONE)
        *out = r->printed;
    else if (r->assigned != NULL)
        *out = r->assigned->global;
    else if (r->last_def != NULL)
        return call_name(r, r->last_def, out);
    return CODE_VALUE;
}

/* What the functions of a text came to */
struct functions {
    bool has_any;
    enum code_status main_failed; /* of the part that defines main_function; or */
    enum code_status last_failed; /* of the last part; CODE_VALUE: it did not */
    enum code_status imports;     /* of the imports right above */
};

static void note_function(const struct task *t, struct functions *fs,
                          enum code_status status)
{
    fs->has_any = true;
    fs->last_failed = status;
    if (!code_defines(t->text, t->part.off, t->part.len, main_function))
        return;
    fs->main_failed = status;
}

static void run_functions(struct code_run *r, struct task *t, struct code_finder *f,
                          struct functions *fs)
{
    enum code_status status;
    for (t->part = code_find_function(f); t->part.kind != PART_END;
         t->part = code_find_function(f)) {
        const enum code_part_kind kind = t->part.kind;
        status = CODE_VALUE;
        if (kind != PART_PROSE)
            status = do_part(r, t);
        if (kind == PART_DEF || kind == PART_IMPORT) {
            code_find_skip(f, t->parser.lex.off);
            t->part.len = f->off - t->part.off;
        }
        if (kind == PART_IMPORT && status == CODE_UNSUPPORTED)
            fs->imports = status;
        else if (kind == PART_PROSE || (kind == PART_IMPORT && status != CODE_VALUE))
            fs->imports = CODE_VALUE; /* a line of prose that begins like an import */
        if (kind == PART_DEF && fs->imports != CODE_VALUE)
            status = fs->imports;
        if (kind == PART_FENCE || kind == PART_DEF) {
            const size_t off = t->part.off;
            const size_t end = kind == PART_FENCE
                                   ? f->off
                                   : code_function_end(t->text, f->len, off, f->off);
            note_extent(t, off, end);
            note_function(t, fs, status);
        }
        if (status == CODE_LIMIT)
            return;
    }
}

static enum code_status
value_of_functions(struct code_run *r, const struct functions *fs, struct value *out)
{
    if (!fs->has_any)
        return CODE_NONE;
    if (fs->last_failed == CODE_LIMIT)
        return CODE_LIMIT;
    if (fs->main_failed != CODE_VALUE)
        return fs->main_failed;
    if (r->main_name->global.kind == VALUE_FUNCTION)
        return call_name(r, r->main_name, out);
    if (fs->last_failed != CODE_VALUE)
        return fs->last_failed;
    if (r->last_def != NULL)
        return call_name(r, r->last_def, out);
    *out = r->printed;
    return r->printed.kind == VALUE_NONE ? CODE_UNSUPPORTED : CODE_VALUE;
}

/* The text of a value while it is written */
struct writer {
    struct code_run *run;
    struct code_value *out;
    int depth;
};

static void put(struct writer *w, const char *text, size_t len)
{
    if (len >= sizeof(w->out->text) - w->out->len)
        code_raise(w->run, CODE_LIMIT);
    memcpy(w->out->text + w->out->len, text, len);
    w->out->len += len;
}

static void put_value(struct writer *w, struct value v);

static void put_items(struct writer *w, struct value v)
{
    const bool is_list = v.kind == VALUE_LIST;
    if (++w->depth > CODE_NEST_MAX)
        code_raise(w->run, CODE_LIMIT);
    put(w, is_list ? "[" : "(", 1);
    for (int64_t i = 0; i < v.seq->n; i++) {
        if (i > 0)
            put(w, ", ", 2);
        put_value(w, v.seq->items[i]);
    }
    if (!is_list && v.seq->n == 1)
        put(w, ",", 1);
    put(w, is_list ? "]" : ")", 1);
    w->depth--;
}

static void put_value(struct writer *w, struct value v)
{
    char text[WIDE_DIGITS + 2];
    struct wide big;
    switch (v.kind) {
    case VALUE_BOOL:
        put(w, v.i != 0 ? "True" : "False", v.i != 0 ? 4 : 5);
        break;
    case VALUE_INT:
    case VALUE_BIG:
        code_to_wide(&big, v);
        put(w, text, wide_print(text, &big));
        break;
    case VALUE_FLOAT:
        put(w, text, float_print(text, v.f));
        break;
    case VALUE_LIST:
    case VALUE_TUPLE:
        put_items(w, v);
        break;
    case VALUE_UNBOUND:
    case VALUE_NONE:
        code_raise(w->run, w->depth == 0 ? CODE_FAULT : CODE_UNSUPPORTED);
    case VALUE_TEXT:
    case VALUE_RANGE:
    case VALUE_FUNCTION:
    case VALUE_BUILTIN:
    case VALUE_MODULE:
        code_raise(w->run, CODE_UNSUPPORTED);
    }
}

struct output {
    struct value value;
    struct code_value *out;
};

static void write_value(struct code_run *r, void *arg)
{
    const struct output *const o = arg;
    struct writer w = {.run = r, .out = o->out};
    put_value(&w, o->value);
}

static enum code_status evaluate(struct code_run *r, struct task *task, size_t len,
                                 struct value *out)
{
    struct code_finder finder;
    code_find_init(&finder, task->text, len);
    if (code_has_blocks(task->text, len))
        return run_blocks(r, task, &finder, out);
    struct functions fs = {
        .main_failed = CODE_VALUE,
        .last_failed = CODE_VALUE,
        .imports = CODE_VALUE,
    };
    run_functions(r, task, &finder, &fs);
    return value_of_functions(r, &fs, out);
}

/* Whether it is worth while to look closer: "definitely" is not. */
static bool may_hold_program(const char *text, size_t len)
{
    const char *const end = text + len;
    for (const char *at = memmem(text, len, "def", 3); at != NULL;
         at = memmem(at + 3, (size_t)(end - at) - 3, "def", 3))
        if (end - at > 3 && (at[3] == ' ' || at[3] == '\t'))
            return true;
    return memmem(text, len, "<llm-code>", 10) != NULL;
}

void code_eval(struct code_value *out, const char *text, size_t len)
{
    out->status = CODE_NONE;
    out->is_float = false;
    out->len = out->from = out->to = 0;
    out->text[0] = 0;
    if (!may_hold_program(text, len))
        return;
    struct code_run *const r = mem_alloc(sizeof(*r));
    struct output o = {.value = value_none(), .out = out};
    r->printed = r->shown = value_none();
    r->main_name = code_name(r, main_function, strlen(main_function));
    struct task task = {.text = text};
    out->status = evaluate(r, &task, len, &o.value);
    if (out->status != CODE_NONE) {
        out->from = task.from;
        out->to = task.to;
        while (out->to > out->from && memchr(" \t\r\n", text[out->to - 1], 4) != NULL)
            out->to--;
    }
    if (out->status == CODE_VALUE)
        out->status = code_guard(r, write_value, &o);
    out->is_float = out->status == CODE_VALUE && o.value.kind == VALUE_FLOAT;
    if (out->status != CODE_VALUE)
        out->len = 0;
    out->text[out->len] = 0;
    code_run_release(r);
    mem_free(r);
}
