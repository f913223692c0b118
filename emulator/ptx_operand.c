/*
 * Instructions and their operands. A name is looked for among registers, then
 * variables, then special registers; what is left is a label, which may be declared
 * later on.
 */
#include "emulator/ptx_parse.h"

#include <stdio.h>
#include <string.h>

enum { WARP_SIZE = 32 };

void ptx_add_ref(struct ptx_parser *p, struct ptx_operand *operand)
{
    struct ptx_build *b = &p->build;
    const struct ptx_token *t = &p->lex.t;
    *operand = (struct ptx_operand){.kind = PTX_LABEL, .slot = -1, .bits = -1};
    b->refs = ptx_grown(b->refs, b->n_refs, &b->refs_cap, sizeof *b->refs);
    b->refs[b->n_refs++] = (struct ptx_ref){
        .operand = operand, .text = t->text, .len = t->len};
}

static void set_immediate(struct ptx_operand *out, const struct ptx_mnemonic *m,
                          int64_t bits)
{
    *out = (struct ptx_operand){.kind = PTX_IMM,
                                .slot = -1,
                                .bytes = m->bytes,
                                .width = m->width,
                                .bits = bits};
}

/* --- special registers --- */

static const struct {
    const char *name;
    enum ptx_const_kind kind;
    uint64_t bits; /* of PTX_CONST_BITS */
} special_registers[] = {
    {"%tid.x", PTX_TID_X, 0},
    {"%tid.y", PTX_TID_Y, 0},
    {"%tid.z", PTX_TID_Z, 0},
    {"%ntid.x", PTX_NTID_X, 0},
    {"%ntid.y", PTX_NTID_Y, 0},
    {"%ntid.z", PTX_NTID_Z, 0},
    {"%ctaid.x", PTX_CTAID_X, 0},
    {"%ctaid.y", PTX_CTAID_Y, 0},
    {"%ctaid.z", PTX_CTAID_Z, 0},
    {"%nctaid.x", PTX_NCTAID_X, 0},
    {"%nctaid.y", PTX_NCTAID_Y, 0},
    {"%nctaid.z", PTX_NCTAID_Z, 0},
    {"%clusterid.x", PTX_CTAID_X, 0},
    {"%clusterid.y", PTX_CTAID_Y, 0},
    {"%clusterid.z", PTX_CTAID_Z, 0},
    {"%nclusterid.x", PTX_NCTAID_X, 0},
    {"%nclusterid.y", PTX_NCTAID_Y, 0},
    {"%nclusterid.z", PTX_NCTAID_Z, 0},
    {"%cluster_ctaid.x", PTX_CONST_BITS, 0},
    {"%cluster_ctaid.y", PTX_CONST_BITS, 0},
    {"%cluster_ctaid.z", PTX_CONST_BITS, 0},
    {"%cluster_nctaid.x", PTX_CONST_BITS, 1},
    {"%cluster_nctaid.y", PTX_CONST_BITS, 1},
    {"%cluster_nctaid.z", PTX_CONST_BITS, 1},
    {"%cluster_ctarank", PTX_CONST_BITS, 0},
    {"%cluster_nctarank", PTX_CONST_BITS, 1},
    {"%laneid", PTX_LANEID, 0},
    {"%warpid", PTX_WARPID, 0},
    {"%smid", PTX_SMID, 0},
    {"%lanemask_lt", PTX_LANEMASK_LT, 0},
    {"%lanemask_le", PTX_LANEMASK_LE, 0},
    {"%lanemask_eq", PTX_LANEMASK_EQ, 0},
    {"%lanemask_ge", PTX_LANEMASK_GE, 0},
    {"%lanemask_gt", PTX_LANEMASK_GT, 0},
};

static const char *const volatile_registers[] = {
    "%clock",          "%clock64",        "%clock_hi",          "%globaltimer",
    "%globaltimer_lo", "%globaltimer_hi", "%dynamic_smem_size", "%total_smem_size",
};

/* The slot of a special register of this kernel; it is filled when a warp starts. */
static int special_slot(struct ptx_parser *p, enum ptx_const_kind kind, int32_t *out)
{
    struct ptx_build *b = &p->build;
    if (b->special[kind] == 0) {
        struct ptx_const c = {.kind = kind, .bytes = 4};
        TRY(ptx_new_slots(p, c.bytes, 1, &c.slot));
        ptx_add_const(b, &c);
        b->special[kind] = c.slot;
    }
    *out = b->special[kind];
    return 0;
}

/* The name at the token, "%tid" and its ".x" included; the token goes behind it. */
static int take_special(struct ptx_parser *p, const struct ptx_mnemonic *m,
                        struct ptx_operand *out)
{
    struct ptx_lex *l = &p->lex;
    const struct ptx_token t = l->t;
    char name[32];
    TRY(ptx_lex_next(l));
    const bool has_part = l->t.kind == PTX_T_DIRECTIVE && l->t.len == 1;
    snprintf(name, sizeof name, "%.*s%s%.*s", t.len, t.text, has_part ? "." : "",
             has_part ? l->t.len : 0, l->t.text);
    if (has_part)
        TRY(ptx_lex_next(l));
    for (int64_t i = 0; i < ARRAY_LEN(special_registers); i++) {
        if (strcmp(special_registers[i].name, name) != 0)
            continue;
        if (special_registers[i].kind == PTX_CONST_BITS) {
            set_immediate(out, m, (int64_t)special_registers[i].bits);
            return 0;
        }
        *out = (struct ptx_operand){.kind = PTX_REG, .bytes = 4};
        return special_slot(p, special_registers[i].kind, &out->slot);
    }
    for (int64_t i = 0; i < ARRAY_LEN(volatile_registers); i++) {
        if (strcmp(volatile_registers[i], name) != 0)
            continue;
        p->build.volatile_special = volatile_registers[i];
        *out = (struct ptx_operand){0};
        return 0;
    }
    return ptx_lex_error_at(l, t.text, "'%s' is no register that is declared or known",
                            name);
}

/* --- symbols and constants --- */

/* Where a variable of the module's .shared lies in this kernel. */
static int static_offset(struct ptx_parser *p, struct ptx_name *e, int64_t *out)
{
    const int32_t kernel = p->owned->module.n_kernels;
    if (e->kernel != kernel) {
        const struct ptx_shape shape = {.name = {.text = e->text, .len = e->len},
                                        .align = e->align,
                                        .bytes = e->value};
        int64_t off;
        TRY(ptx_place(p, &shape, &p->build.kernel.shared_bytes, &off));
        e->kernel = kernel;
        e->slot = (int32_t)off;
    }
    *out = e->slot;
    return 0;
}

/* The address of a variable: an immediate, or the whole of an address operand. */
static int take_symbol(struct ptx_parser *p, struct ptx_name *e,
                       struct ptx_operand *out)
{
    struct ptx_build *b = &p->build;
    switch (e->kind) {
    case PTX_N_SHARED:
    case PTX_N_LOCAL:
    case PTX_N_PARAM:
    case PTX_N_GLOBAL:
        out->bits = e->value;
        break;
    case PTX_N_STATIC:
        TRY(static_offset(p, e, &out->bits));
        break;
    case PTX_N_DYNAMIC:
        b->dynamic = ptx_grown(b->dynamic, b->n_dynamic, &b->dynamic_cap,
                               sizeof *b->dynamic);
        b->dynamic[b->n_dynamic++] = out;
        out->bits = 0;
        break;
    case PTX_N_EXTERN:
        return ptx_lex_error(&p->lex, "'%.*s' is defined outside this module", e->len,
                             e->text);
    case PTX_N_REG:
    case PTX_N_RANGE:
    case PTX_N_LABEL:
    case PTX_N_TARGETS:
    case PTX_N_MNEMONIC:
        return ptx_lex_error(&p->lex, "'%.*s' is no variable", e->len, e->text);
    }
    return ptx_lex_next(&p->lex);
}

/* "+8", "-8", "+-8" behind a base, any number of them */
static int take_offset(struct ptx_parser *p, int64_t *bits)
{
    struct ptx_lex *l = &p->lex;
    uint64_t sum = (uint64_t)*bits;
    while (ptx_lex_is(l, '+') || ptx_lex_is(l, '-')) {
        bool is_minus = ptx_lex_is(l, '-');
        TRY(ptx_lex_next(l));
        if (ptx_lex_is(l, '-')) {
            is_minus = !is_minus;
            TRY(ptx_lex_next(l));
        }
        if (l->t.kind != PTX_T_INT)
            return ptx_lex_error(l, "expected a number");
        sum += is_minus ? -(uint64_t)l->t.bits : (uint64_t)l->t.bits;
        TRY(ptx_lex_next(l));
    }
    memcpy(bits, &sum, sizeof sum);
    return 0;
}

/* A literal's bits for a slot of 4 or 8 bytes. */
static int64_t float_bits(const struct ptx_token *t, int32_t bytes, bool is_minus)
{
    double v;
    float single;
    uint64_t bits = 0;
    if (t->is_single == (bytes != 8)) {
        bits = (uint64_t)t->bits; /* as it is written, NaNs included */
    } else if (t->is_single) {
        memcpy(&single, &t->bits, sizeof single);
        v = (double)single;
        memcpy(&bits, &v, sizeof v);
    } else {
        memcpy(&v, &t->bits, sizeof v);
        single = (float)v;
        memcpy(&bits, &single, sizeof single);
    }
    if (is_minus)
        bits ^= (uint64_t)1 << (bytes == 8 ? 63 : 31);
    int64_t out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

static int take_constant(struct ptx_parser *p, const struct ptx_mnemonic *m,
                         struct ptx_operand *out)
{
    struct ptx_lex *l = &p->lex;
    const bool is_minus = ptx_lex_is(l, '-');
    const bool is_not = ptx_lex_is(l, '~');
    if (is_minus || is_not || ptx_lex_is(l, '+'))
        TRY(ptx_lex_next(l));
    const struct ptx_token t = l->t;
    if (t.kind != PTX_T_INT && (t.kind != PTX_T_FLOAT || is_not))
        return ptx_lex_error(l, "expected an operand");
    TRY(ptx_lex_next(l));
    if (t.kind == PTX_T_FLOAT) {
        set_immediate(out, m, float_bits(&t, m->bytes, is_minus));
        out->is_float = true;
        out->bytes = m->bytes == 8 ? 8 : 4;
        return 0;
    }
    const uint64_t bits = (uint64_t)t.bits;
    set_immediate(out, m, (int64_t)(is_minus ? -bits : is_not ? ~bits : bits));
    return 0;
}

/* --- operands --- */

static int take_name(struct ptx_parser *p, const struct ptx_mnemonic *m,
                     struct ptx_operand *out)
{
    struct ptx_lex *l = &p->lex;
    const struct ptx_token t = l->t;
    if (ptx_names_register(&p->names, t.text, t.len, out))
        return ptx_lex_next(l);
    if (ptx_lex_text(l, PTX_T_NAME, "_")) {
        *out = (struct ptx_operand){.kind = PTX_SINK, .slot = -1};
        return ptx_lex_next(l);
    }
    struct ptx_name *e = ptx_names_find(&p->names, t.text, t.len, false);
    if (e && e->kind == PTX_N_TARGETS) {
        *out = (struct ptx_operand){.kind = PTX_VECTOR,
                                    .slot = -1,
                                    .items = e->items,
                                    .n_items = (int32_t)e->value};
        return ptx_lex_next(l);
    }
    if (e && e->kind != PTX_N_LABEL) {
        set_immediate(out, m, 0);
        TRY(take_symbol(p, e, out));
        return take_offset(p, &out->bits);
    }
    if (ptx_lex_text(l, PTX_T_NAME, "WARP_SZ")) {
        set_immediate(out, m, WARP_SIZE);
        return ptx_lex_next(l);
    }
    if (*t.text == '%')
        return take_special(p, m, out);
    ptx_add_ref(p, out);
    return ptx_lex_next(l);
}

static int parse_operand(struct ptx_parser *p, const struct ptx_mnemonic *m,
                         struct ptx_operand *out);

/* "{a, b}": items of their own, so that they stay where they are */
static int take_vector(struct ptx_parser *p, const struct ptx_mnemonic *m,
                       struct ptx_operand *out)
{
    struct ptx_lex *l = &p->lex;
    int64_t n_commas;
    TRY(ptx_lex_count(l, ',', false, &n_commas));
    out->items = arena_take(&p->owned->arena,
                            (size_t)(n_commas + 1) * sizeof *out->items);
    TRY(ptx_lex_take(l, '{'));
    for (;;) {
        if (ptx_lex_is(l, '{') || ptx_lex_is(l, '['))
            return ptx_lex_error(l, "'%c' within braces", *l->t.text);
        TRY(parse_operand(p, m, &out->items[out->n_items++]));
        if (ptx_lex_is(l, '}'))
            return ptx_lex_next(l);
        TRY(ptx_lex_take(l, ','));
    }
}

/* "[%rd1+8]", "[name+8]", "[4096]", "[%rd1, {%r1, %r2}]" */
static int take_address(struct ptx_parser *p, const struct ptx_mnemonic *m,
                        struct ptx_operand *out)
{
    struct ptx_lex *l = &p->lex;
    struct ptx_operand base;
    *out = (struct ptx_operand){.kind = PTX_ADDRESS, .slot = -1};
    TRY(ptx_lex_take(l, '['));
    const struct ptx_token t = l->t;
    if (t.kind == PTX_T_INT) {
        out->bits = t.bits;
        TRY(ptx_lex_next(l));
    } else if (t.kind != PTX_T_NAME) {
        return ptx_lex_error(l, "expected an address");
    } else if (ptx_names_register(&p->names, t.text, t.len, &base)) {
        if (base.width != 4 && base.width != 8)
            return ptx_lex_error(l, "'%.*s' cannot hold an address", t.len, t.text);
        out->slot = base.slot;
        out->bytes = base.bytes;
        TRY(ptx_lex_next(l));
    } else {
        struct ptx_name *e = ptx_names_find(&p->names, t.text, t.len, false);
        if (!e)
            return ptx_lex_error(l, "'%.*s' is not declared", t.len, t.text);
        TRY(take_symbol(p, e, out));
    }
    TRY(take_offset(p, &out->bits));
    if (ptx_lex_is(l, ',')) {
        TRY(ptx_lex_next(l));
        if (!ptx_lex_is(l, '{'))
            return ptx_lex_error(l, "expected '{' and coordinates");
        TRY(take_vector(p, m, out));
    }
    return ptx_lex_take(l, ']');
}

/* Behind "!" or "@" */
static int take_predicate(struct ptx_parser *p, struct ptx_operand *out)
{
    struct ptx_lex *l = &p->lex;
    if (l->t.kind != PTX_T_NAME ||
        !ptx_names_register(&p->names, l->t.text, l->t.len, out) ||
        out->kind != PTX_PRED)
        return ptx_lex_error(l, "expected a predicate");
    return ptx_lex_next(l);
}

static int parse_operand(struct ptx_parser *p, const struct ptx_mnemonic *m,
                         struct ptx_operand *out)
{
    struct ptx_lex *l = &p->lex;
    if (ptx_lex_is(l, '['))
        return take_address(p, m, out);
    if (ptx_lex_is(l, '{')) {
        *out = (struct ptx_operand){.kind = PTX_VECTOR, .slot = -1};
        return take_vector(p, m, out);
    }
    if (l->t.kind == PTX_T_NAME)
        return take_name(p, m, out);
    if (!ptx_lex_is(l, '!'))
        return take_constant(p, m, out);
    TRY(ptx_lex_next(l));
    TRY(take_predicate(p, out));
    out->negated = true;
    return 0;
}

/* --- instructions --- */

/* "@p" and "@!p" */
static int take_guard(struct ptx_parser *p, struct ptx_insn *i)
{
    struct ptx_lex *l = &p->lex;
    i->guard = -1;
    if (!ptx_lex_is(l, '@'))
        return 0;
    TRY(ptx_lex_next(l));
    i->guard_not = ptx_lex_is(l, '!');
    if (i->guard_not)
        TRY(ptx_lex_next(l));
    struct ptx_operand guard;
    TRY(take_predicate(p, &guard));
    i->guard = guard.slot;
    return 0;
}

/* mov reads %clock and the like: the name becomes a part of the mnemonic. */
static int move_special(struct ptx_parser *p, struct ptx_insn *i)
{
    const char *name = p->build.volatile_special;
    if (!name)
        return 0;
    if (strcmp(i->part[0], "mov") != 0 || i->n_operands != 2 ||
        i->o[1].kind != PTX_NONE || i->n_parts == PTX_MAX_PARTS)
        return ptx_lex_error(&p->lex, "%s can be read by mov alone", name);
    memmove(i->part + 2, i->part + 1, sizeof *i->part * (size_t)(i->n_parts - 1));
    i->part[1] = name;
    i->n_parts++;
    i->n_operands = 1;
    return 0;
}

static int take_operands(struct ptx_parser *p, const struct ptx_mnemonic *m,
                         struct ptx_insn *i)
{
    struct ptx_lex *l = &p->lex;
    if (ptx_lex_is(l, ';'))
        return ptx_lex_next(l);
    for (;;) {
        if (i->n_operands == PTX_MAX_OPERANDS)
            return ptx_lex_error(l, "more than %d operands", PTX_MAX_OPERANDS);
        TRY(parse_operand(p, m, &i->o[i->n_operands++]));
        if (ptx_lex_is(l, ';'))
            return ptx_lex_next(l);
        if (ptx_lex_is(l, '|'))
            TRY(ptx_lex_next(l));
        else
            TRY(ptx_lex_take(l, ','));
    }
}

int ptx_parse_instruction(struct ptx_parser *p)
{
    struct ptx_lex *l = &p->lex;
    struct ptx_build *b = &p->build;
    const int32_t number = b->kernel.n_insns;
    CHECK(number < b->cap, "instruction %d of at most %d", number, (int)b->cap);
    struct ptx_insn *i = &b->kernel.insns[number];
    *i = (struct ptx_insn){.line = l->t.line};
    b->places[number] = l->t.text;
    b->volatile_special = NULL;
    TRY(take_guard(p, i));
    if (l->t.kind != PTX_T_NAME)
        return ptx_lex_error(l, "expected an instruction");
    ptx_lex_mnemonic(l);
    const struct ptx_mnemonic *m;
    TRY(ptx_intern(p, &m));
    memcpy(i->part, m->part, sizeof i->part);
    i->n_parts = m->n_parts;
    if (strcmp(m->part[0], "call") == 0)
        return ptx_lex_error(l, PTX_NO_CALLS);
    TRY(ptx_lex_next(l));
    TRY(take_operands(p, m, i));
    TRY(move_special(p, i));
    b->kernel.n_insns++;
    return 0;
}
