/*
 * Mnemonics: cut into parts once per spelling, and what bind functions ask of an
 * instruction.
 */
#include "emulator/ptx_parse.h"

#include <stdio.h>
#include <string.h>

int32_t ptx_type_bytes(const char *part)
{
    static const struct {
        const char *name;
        int32_t bytes;
    } types[] = {{"pred", 1},  {"b8", 1},     {"u8", 1},     {"s8", 1},     {"e4m3", 1},
                 {"e5m2", 1},  {"b16", 2},    {"u16", 2},    {"s16", 2},    {"f16", 2},
                 {"bf16", 2},  {"e4m3x2", 2}, {"e5m2x2", 2}, {"b32", 4},    {"u32", 4},
                 {"s32", 4},   {"f32", 4},    {"f16x2", 4},  {"bf16x2", 4}, {"tf32", 4},
                 {"u16x2", 4}, {"s16x2", 4},  {"b64", 8},    {"u64", 8},    {"s64", 8},
                 {"f64", 8},   {"f32x2", 8},  {"b128", 16}};
    for (int64_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i].name, part) == 0)
            return types[i].bytes;
    return 0;
}

/* An immediate's layout follows the main type: the last one, of slct the first. */
static void set_main_type(struct ptx_mnemonic *m)
{
    const bool is_first = strcmp(m->part[0], "slct") == 0;
    const char *type = NULL;
    for (int32_t i = 1; i < m->n_parts && !(is_first && type); i++)
        if (ptx_type_bytes(m->part[i]) > 0)
            type = m->part[i];
    const int32_t bytes = type ? ptx_type_bytes(type) : 4;
    const bool is_pred = type && strcmp(type, "pred") == 0;
    m->bytes = is_pred ? 1 : bytes < 8 ? 4 : 8;
    m->width = (uint8_t)(bytes < 8 ? bytes : 8);
}

int ptx_intern(struct ptx_parser *p, const struct ptx_mnemonic **out)
{
    const struct ptx_token *t = &p->lex.t;
    const struct ptx_name *known = ptx_names_find(&p->mnemonics, t->text, t->len,
                                                  false);
    if (known) {
        *out = known->mnemonic;
        return 0;
    }
    struct arena *arena = &p->owned->arena;
    struct ptx_mnemonic *m = arena_take(arena, sizeof *m);
    char *text = arena_take(arena, (size_t)t->len + 1);
    memcpy(text, t->text, (size_t)t->len);
    for (char *part = text; part; m->n_parts++) {
        if (m->n_parts == PTX_MAX_PARTS)
            return ptx_lex_error(&p->lex, "'%.*s' has more than %d parts", t->len,
                                 t->text, PTX_MAX_PARTS);
        m->part[m->n_parts] = part;
        char *const dot = strchr(part, '.');
        if (dot)
            *dot = 0;
        part = dot ? dot + 1 : NULL;
    }
    set_main_type(m);
    const bool is_new = ptx_names_add(
        &p->mnemonics,
        &(struct ptx_name){
            .text = t->text, .len = t->len, .kind = PTX_N_MNEMONIC, .mnemonic = m});
    CHECK(is_new, "a mnemonic was looked for and not found");
    *out = m;
    return 0;
}

bool ptx_has(const struct ptx_insn *i, const char *part)
{
    for (int32_t k = 0; k < i->n_parts; k++)
        if (strcmp(i->part[k], part) == 0)
            return true;
    return false;
}

int32_t ptx_which(const struct ptx_insn *i, const char *const *candidates)
{
    for (int32_t k = 0; candidates[k]; k++)
        if (ptx_has(i, candidates[k]))
            return k;
    return -1;
}

bool ptx_fits(int64_t value, int32_t bytes)
{
    if (bytes >= 8)
        return true;
    const int64_t half = (int64_t)1 << (bytes * 8 - 1);
    return value >= -half && value < 2 * half;
}

static double as_double(const struct ptx_operand *o)
{
    if (o->bytes == 8) {
        double v;
        memcpy(&v, &o->bits, sizeof v);
        return v;
    }
    float v;
    memcpy(&v, &o->bits, sizeof v);
    return (double)v;
}

static bool immediate_as(struct ptx_operand *o, int32_t bytes)
{
    if (bytes > 8)
        return false;
    const int32_t slot = bytes < 8 ? 4 : 8;
    if (o->is_float && bytes < 4)
        return false;
    if (o->is_float && slot != o->bytes) {
        const double v = as_double(o);
        const float single = (float)v;
        o->bits = 0;
        if (slot == 8)
            memcpy(&o->bits, &v, sizeof v);
        else
            memcpy(&o->bits, &single, sizeof single);
    }
    o->bytes = slot;
    o->width = (uint8_t)bytes;
    return true;
}

static bool operand_as(struct ptx_operand *o, int32_t bytes)
{
    switch (o->kind) {
    case PTX_REG:
        return o->bytes == (bytes < 4 ? 4 : bytes);
    case PTX_IMM:
        return immediate_as(o, bytes);
    case PTX_VECTOR:
        for (int32_t k = 0; k < o->n_items; k++)
            if (!operand_as(&o->items[k], bytes))
                return false;
        return true;
    case PTX_ADDRESS:
    case PTX_SINK:
        return true;
    case PTX_NONE:
    case PTX_PRED:
    case PTX_LABEL:
        return false;
    }
    return false;
}

bool ptx_want(struct ptx_insn *i, int32_t k, int32_t bytes)
{
    return k >= 0 && k < i->n_operands && operand_as(&i->o[k], bytes);
}

bool ptx_want_pred(struct ptx_insn *i, int32_t k)
{
    if (k < 0 || k >= i->n_operands)
        return false;
    struct ptx_operand *o = &i->o[k];
    if (o->kind == PTX_IMM && !o->is_float) {
        o->bytes = 1;
        return true;
    }
    return o->kind == PTX_PRED;
}

const char *ptx_mnemonic(const struct ptx_insn *i, char *out, size_t out_bytes)
{
    size_t n = 0;
    for (int32_t k = 0; k < i->n_parts && n < out_bytes; k++)
        n += (size_t)snprintf(out + n, out_bytes - n, "%s%s", k ? "." : "", i->part[k]);
    return out;
}
