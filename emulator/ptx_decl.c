/*
 * Declarations of variables: shape, place, initial values. Module variables live in
 * machine memory, so their addresses are known as soon as they are declared; initial
 * values may name variables declared before.
 */
#include "emulator/ptx_parse.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "emulator/machine.h"

enum { MAX_ALIGN = 65536, MAX_VARIABLE_BYTES = 1 << 30 };

static bool is_vector(struct ptx_parser *p, struct ptx_shape *s)
{
    if (ptx_lex_text(&p->lex, PTX_T_DIRECTIVE, "v2"))
        s->lanes = 2;
    else if (ptx_lex_text(&p->lex, PTX_T_DIRECTIVE, "v4"))
        s->lanes = 4;
    else
        return false;
    return true;
}

static int take_type(struct ptx_parser *p, struct ptx_shape *s)
{
    char type[16];
    const struct ptx_token *t = &p->lex.t;
    snprintf(type, sizeof type, "%.*s", t->len, t->text);
    s->type_bytes = strcmp(type, "pred") == 0 ? 0 : ptx_type_bytes(type);
    s->is_float = type[0] == 'f';
    if (s->type_bytes == 0)
        return ptx_lex_error(&p->lex, "'.%.*s' is no type of a variable", t->len,
                             t->text);
    return ptx_lex_next(&p->lex);
}

/* ".ptr", ".ptr .global", ".attribute(...)": say nothing of the layout */
static int take_remark(struct ptx_parser *p, bool *is_taken)
{
    struct ptx_lex *l = &p->lex;
    *is_taken = true;
    if (ptx_lex_text(l, PTX_T_DIRECTIVE, "attribute")) {
        while (l->t.kind != PTX_T_END && !ptx_lex_is(l, ')'))
            TRY(ptx_lex_next(l));
        return ptx_lex_take(l, ')');
    }
    static const char *const remarks[] = {"ptr",    "global", "const",
                                          "shared", "local",  "param"};
    for (int64_t i = 0; i < ARRAY_LEN(remarks); i++)
        if (ptx_lex_text(l, PTX_T_DIRECTIVE, remarks[i]))
            return ptx_lex_next(l);
    *is_taken = false;
    return 0;
}

static int take_attributes(struct ptx_parser *p, struct ptx_shape *s)
{
    struct ptx_lex *l = &p->lex;
    while (l->t.kind == PTX_T_DIRECTIVE) {
        bool is_remark;
        TRY(take_remark(p, &is_remark));
        if (is_remark)
            continue;
        if (ptx_lex_text(l, PTX_T_DIRECTIVE, "align")) {
            int64_t align;
            TRY(ptx_lex_next(l));
            /* of ".ptr .align n" behind the type it is the pointee's */
            TRY(ptx_lex_take_int(l, 1, MAX_ALIGN, &align));
            if (align & (align - 1))
                return ptx_lex_error(l, ".align %" PRId64 " is no power of two", align);
            if (s->type_bytes == 0)
                s->align = (int32_t)align;
        } else if (is_vector(p, s)) {
            TRY(ptx_lex_next(l));
        } else {
            TRY(take_type(p, s));
        }
    }
    return 0;
}

static int take_dims(struct ptx_parser *p, struct ptx_shape *s)
{
    struct ptx_lex *l = &p->lex;
    s->n_dims = 0;
    s->bytes = (int64_t)s->type_bytes * s->lanes;
    while (ptx_lex_is(l, '[')) {
        if (s->n_dims == PTX_MAX_DIMS)
            return ptx_lex_error(l, "more than %d dimensions", PTX_MAX_DIMS);
        TRY(ptx_lex_next(l));
        int64_t n = -1;
        if (!ptx_lex_is(l, ']') || s->n_dims > 0)
            TRY(ptx_lex_take_int(l, 0, MAX_VARIABLE_BYTES, &n));
        TRY(ptx_lex_take(l, ']'));
        s->dims[s->n_dims++] = n;
        if (n >= 0 && s->bytes * n > MAX_VARIABLE_BYTES)
            return ptx_lex_error(l, "'%.*s' has more than 1 GiB", s->name.len,
                                 s->name.text);
        s->bytes *= n < 0 ? 1 : n;
    }
    return 0;
}

int ptx_parse_shape(struct ptx_parser *p, struct ptx_shape *out)
{
    struct ptx_lex *l = &p->lex;
    struct ptx_shape s = {.lanes = 1};
    TRY(take_attributes(p, &s));
    if (s.type_bytes == 0)
        return ptx_lex_error(l, "a declaration without a type");
    if (s.align == 0)
        s.align = s.type_bytes * s.lanes;
    if (l->t.kind != PTX_T_NAME)
        return ptx_lex_error(l, "expected the name of a variable");
    s.name = l->t;
    TRY(ptx_lex_next(l));
    TRY(take_dims(p, &s));
    *out = s;
    return 0;
}

int ptx_place(struct ptx_parser *p, const struct ptx_shape *s, int32_t *end,
              int64_t *off_out)
{
    const int64_t off = (*end + (int64_t)s->align - 1) / s->align * s->align;
    if (s->n_dims > 0 && s->dims[0] < 0)
        return ptx_lex_error_at(&p->lex, s->name.text, "'%.*s' has no length",
                                s->name.len, s->name.text);
    if (off + s->bytes > MAX_VARIABLE_BYTES)
        return ptx_lex_error_at(&p->lex, s->name.text,
                                "the variables here have more than 1 GiB");
    *end = (int32_t)(off + s->bytes);
    *off_out = off;
    return 0;
}

/* --- initial values --- */

static int take_addend(struct ptx_parser *p, uint64_t *sum)
{
    struct ptx_lex *l = &p->lex;
    while (ptx_lex_is(l, '+') || ptx_lex_is(l, '-')) {
        const bool is_minus = ptx_lex_is(l, '-');
        int64_t add;
        TRY(ptx_lex_next(l));
        TRY(ptx_lex_take_int(l, 0, INT64_MAX, &add));
        *sum += is_minus ? -(uint64_t)add : (uint64_t)add;
    }
    return 0;
}

static int symbol_address(struct ptx_parser *p, uint64_t *out)
{
    struct ptx_lex *l = &p->lex;
    const struct ptx_name *n = NULL;
    if (l->t.kind == PTX_T_NAME)
        n = ptx_names_find(&p->names, l->t.text, l->t.len, false);
    if (!n || n->kind != PTX_N_GLOBAL)
        return ptx_lex_error(l, "'%.*s' is no variable declared before", l->t.len,
                             l->t.text);
    *out = (uint64_t)n->value;
    TRY(ptx_lex_next(l));
    return take_addend(p, out);
}

/* "generic(x)", "0xff00(x)": mask selects bits of the address, moved down to bit 0 */
static int masked_address(struct ptx_parser *p, uint64_t mask, uint64_t *out)
{
    TRY(ptx_lex_take(&p->lex, '('));
    TRY(symbol_address(p, out));
    if (mask == 0)
        return ptx_lex_error(&p->lex, "a mask of 0");
    *out = (*out & mask) >> __builtin_ctzll(mask);
    TRY(ptx_lex_take(&p->lex, ')'));
    return take_addend(p, out);
}

/* The bits of one value of the type. */
static int take_value(struct ptx_parser *p, const struct ptx_shape *s, uint64_t *out)
{
    struct ptx_lex *l = &p->lex;
    if (ptx_lex_text(l, PTX_T_NAME, "generic")) {
        TRY(ptx_lex_next(l));
        return masked_address(p, UINT64_MAX, out);
    }
    if (l->t.kind == PTX_T_NAME)
        return symbol_address(p, out);
    const bool is_minus = ptx_lex_is(l, '-');
    if (is_minus)
        TRY(ptx_lex_next(l));
    const struct ptx_token t = l->t;
    const uint64_t bits = (uint64_t)t.bits;
    if (t.kind == PTX_T_INT) {
        TRY(ptx_lex_next(l));
        if (ptx_lex_is(l, '('))
            return masked_address(p, bits, out);
        if (s->is_float && bits)
            return ptx_lex_error_at(l, t.text, "an integer for a float variable");
        if (!ptx_fits(is_minus ? -t.bits : t.bits, s->type_bytes))
            return ptx_lex_error_at(l, t.text, "the value does not fit %d bytes",
                                    s->type_bytes);
        *out = is_minus ? -bits : bits;
        return 0;
    }
    if (t.kind != PTX_T_FLOAT || !s->is_float || s->type_bytes < 4)
        return ptx_lex_error(l, "'%.*s' is no initial value here", l->t.len, l->t.text);
    double v;
    float single;
    memcpy(&v, &bits, sizeof v);
    memcpy(&single, &bits, sizeof single);
    if (t.is_single)
        v = (double)single;
    else
        single = (float)v;
    v = is_minus ? -v : v;
    single = is_minus ? -single : single;
    *out = 0;
    memcpy(out, s->type_bytes == 4 ? (void *)&single : (void *)&v,
           (size_t)s->type_bytes);
    return ptx_lex_next(l);
}

/* Values of dimension `dim` and below, at data, which has `bytes` for them. */
static int take_values(struct ptx_parser *p, const struct ptx_shape *s, int32_t dim,
                       uint8_t *data, int64_t bytes)
{
    struct ptx_lex *l = &p->lex;
    if (dim > s->n_dims && ptx_lex_is(l, '{'))
        return ptx_lex_error(l, "more braces than '%.*s' has dimensions", s->name.len,
                             s->name.text);
    if (!ptx_lex_is(l, '{')) {
        uint64_t v;
        if (bytes < s->type_bytes)
            return ptx_lex_error(l, "more values than '%.*s' holds", s->name.len,
                                 s->name.text);
        TRY(take_value(p, s, &v));
        memcpy(data, &v, (size_t)s->type_bytes);
        return 0;
    }
    int64_t step = s->type_bytes;
    if (dim < s->n_dims) {
        step *= s->lanes;
        for (int32_t i = dim + 1; i < s->n_dims; i++)
            step *= s->dims[i];
    }
    TRY(ptx_lex_next(l));
    for (int64_t off = 0; !ptx_lex_is(l, '}'); off += step) {
        if (off + step > bytes)
            return ptx_lex_error(l, "more values than '%.*s' holds", s->name.len,
                                 s->name.text);
        TRY(take_values(p, s, dim + 1, data + off, step));
        if (!ptx_lex_is(l, '}'))
            TRY(ptx_lex_take(l, ','));
    }
    return ptx_lex_next(l);
}

/* "x[]" has as many elements as values are given. */
static int close_open_dimension(struct ptx_parser *p, struct ptx_shape *s,
                                bool has_values)
{
    if (s->n_dims == 0 || s->dims[0] >= 0)
        return 0;
    int64_t n_commas;
    if (!has_values)
        return ptx_lex_error_at(&p->lex, s->name.text, "'%.*s' has no length",
                                s->name.len, s->name.text);
    if (p->lex.t.kind == PTX_T_STRING)
        n_commas = p->lex.t.len;
    else
        TRY(ptx_lex_count(&p->lex, ',', false, &n_commas));
    s->dims[0] = n_commas + 1;
    if (s->bytes * s->dims[0] > MAX_VARIABLE_BYTES)
        return ptx_lex_error_at(&p->lex, s->name.text, "'%.*s' has more than 1 GiB",
                                s->name.len, s->name.text);
    s->bytes *= s->dims[0];
    return 0;
}

static int take_string(struct ptx_parser *p, const struct ptx_shape *s, uint8_t *data)
{
    const struct ptx_token *t = &p->lex.t;
    if (s->type_bytes != 1 || t->len > s->bytes)
        return ptx_lex_error(&p->lex, "the string does not fit '%.*s'", s->name.len,
                             s->name.text);
    memcpy(data, t->text, (size_t)t->len);
    return ptx_lex_next(&p->lex);
}

static int add_variable(struct ptx_parser *p, const struct ptx_shape *s, uint8_t *data,
                        bool is_const)
{
    struct ptx_module *m = &p->owned->module;
    m->variables = ptx_grown(m->variables, m->n_variables, &p->owned->variables_cap,
                             sizeof *m->variables);
    char *name = arena_take(&p->owned->arena, (size_t)s->name.len + 1);
    memcpy(name, s->name.text, (size_t)s->name.len);
    m->variables[m->n_variables++] = (struct ptx_variable){
        .name = name, .data = data, .bytes = (size_t)s->bytes, .is_const = is_const};
    const struct ptx_name entry = {.text = s->name.text,
                                   .len = s->name.len,
                                   .kind = PTX_N_GLOBAL,
                                   .value = (int64_t)(uintptr_t)data};
    if (!ptx_names_add(&p->names, &entry))
        return ptx_lex_error_at(&p->lex, s->name.text, "'%s' is declared twice", name);
    return 0;
}

/* Behind the shape: "= values", or nothing, which means zeros. */
static int define_variable(struct ptx_parser *p, struct ptx_shape *s, bool is_const)
{
    const bool has_values = ptx_lex_is(&p->lex, '=');
    if (has_values)
        TRY(ptx_lex_next(&p->lex));
    TRY(close_open_dimension(p, s, has_values));
    void *data;
    TRY(machine_alloc(s->bytes > 0 ? (size_t)s->bytes : 1, false, &data));
    memset(data, 0, (size_t)s->bytes);
    TRY(add_variable(p, s, data, is_const));
    if (!has_values)
        return 0;
    if (p->lex.t.kind == PTX_T_STRING)
        return take_string(p, s, data);
    return take_values(p, s, 0, data, s->bytes);
}

int ptx_parse_variables(struct ptx_parser *p, bool is_const, bool is_extern)
{
    struct ptx_shape s;
    TRY(ptx_parse_shape(p, &s));
    for (;;) {
        const struct ptx_name outside = {
            .text = s.name.text, .len = s.name.len, .kind = PTX_N_EXTERN};
        if (!is_extern)
            TRY(define_variable(p, &s, is_const));
        else
            (void)ptx_names_add(&p->names, &outside); /* an error where it is used */
        if (!ptx_lex_is(&p->lex, ','))
            return ptx_lex_take(&p->lex, ';');
        TRY(ptx_lex_next(&p->lex));
        if (p->lex.t.kind != PTX_T_NAME)
            return ptx_lex_error(&p->lex, "expected the name of a variable");
        s.name = p->lex.t;
        TRY(ptx_lex_next(&p->lex));
        TRY(take_dims(p, &s));
    }
}
