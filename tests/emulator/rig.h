/*
 * One instruction on a register file filled by hand: parsed and bound as in a module,
 * run on the lanes of a mask. Registers: p0 .. p4, h0 .. (16 bits), r0 .. (32), d0 ..
 * (64), q0 .. (128); 0xa5 in every byte before.
 */
#ifndef TESTS_EMULATOR_RIG_H
#define TESTS_EMULATOR_RIG_H

#include "emulator/machine.h"
#include "tests/emulator/ptx_text.h"

struct rig {
    struct ptx_module *module;
    const struct ptx_insn *i;
    struct machine_warp w;
};

static inline bool rig_try(struct rig *r, const char *instruction)
{
    char text[512];
    const int n = snprintf(text, sizeof text,
                           ".entry k() {\n.reg .pred p<5>; .reg .b16 h<5>;\n"
                           ".reg .b32 r<5>; .reg .b64 d<5>; .reg .b128 q<3>;\n"
                           "%s;\nret;\n}\n",
                           instruction);
    assert_true(n > 0 && n < (int)sizeof text);
    *r = (struct rig){0};
    if (ptx_text_parse(text, &r->module) != 0)
        return false;
    const struct ptx_kernel *k = &r->module->kernels[0];
    r->i = &k->insns[0];
    r->w.file = mem_alloc(k->file_bytes);
    memset(r->w.file, 0xa5, k->file_bytes);
    for (int32_t c = 0; c < k->n_consts; c++) {
        const struct ptx_const *v = &k->consts[c];
        assert_int_equal(v->kind, PTX_CONST_BITS);
        if (v->bytes == 1)
            *machine_pred(&r->w, v->slot) = v->bits ? UINT32_MAX : 0;
        for (int32_t l = 0; l < PTX_LANES && v->bytes == 4; l++)
            machine_u32(&r->w, v->slot)[l] = (uint32_t)v->bits;
        for (int32_t l = 0; l < PTX_LANES && v->bytes == 8; l++)
            machine_u64(&r->w, v->slot)[l] = v->bits;
    }
    return true;
}

static inline void rig_open(struct rig *r, const char *instruction)
{
    if (!rig_try(r, instruction))
        fail_msg("%s", status_message());
}

static inline void rig_close(struct rig *r)
{
    mem_free(r->w.file);
    ptx_module_free(r->module);
}

static inline void rig_run(struct rig *r, uint32_t mask)
{
    assert_int_equal(r->i->run(&r->w, r->i, mask), MACHINE_NEXT);
}

static inline void rig_refuse(const char *instruction)
{
    struct rig r;
    if (rig_try(&r, instruction))
        fail_msg("%s was accepted", instruction);
}

static inline void rig_put(struct rig *r, const struct ptx_operand *o, int32_t l,
                           uint64_t v)
{
    if (o->kind == PTX_PRED) {
        uint32_t *p = machine_pred(&r->w, o->slot);
        *p = (*p & ~(1u << l)) | (uint32_t)(v & 1) << l;
    } else if (o->bytes == 4) {
        machine_u32(&r->w, o->slot)[l] = (uint32_t)v;
    } else {
        machine_u64(&r->w, o->slot)[l] = v;
    }
}

static inline uint64_t rig_get(const struct rig *r, const struct ptx_operand *o,
                               int32_t l)
{
    if (o->kind == PTX_PRED)
        return *machine_pred(&r->w, o->slot) >> l & 1;
    return o->bytes == 4 ? machine_u32(&r->w, o->slot)[l]
                         : machine_u64(&r->w, o->slot)[l];
}

/* splitmix64 */
static inline uint64_t rig_draw(uint64_t *rng)
{
    uint64_t z = *rng += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* all lanes, single ones, some */
static const uint32_t rig_masks[] = {UINT32_MAX, 1, 0x80000000, 0x5a5a1234};

#endif
