#include "tests/emulator/ops_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/status.h"

float as_f32(uint64_t u)
{
    const uint32_t low = (uint32_t)u;
    float v;
    memcpy(&v, &low, sizeof(v));
    return v;
}
double as_f64(uint64_t u)
{
    double v;
    memcpy(&v, &u, sizeof(v));
    return v;
}
uint64_t of_f32(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof(u));
    return u;
}
uint64_t of_f64(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof(u));
    return u;
}

static int32_t bits_of_operand(char sig)
{
    switch (sig) {
    case '2':
    case 'h':
        return 16;
    case '8':
    case 'd':
        return 64;
    case 'p':
        return 1;
    default:
        return 32;
    }
}

static void write_operands(const char *sig, bool is_in_place, char *out, size_t n_bytes)
{
    size_t n = 0;
    out[0] = '\0';
    for (int32_t k = 0; sig[k]; k++) {
        const int32_t bits = bits_of_operand(sig[k]);
        const char *const name = bits == 16   ? "rs"
                                 : bits == 32 ? "r"
                                 : bits == 64 ? "rd"
                                              : "p";
        n += (size_t)snprintf(out + n, n_bytes - n, "%s%%%s%d", k ? ", " : "", name,
                              k == 0 && is_in_place ? 1 : k);
    }
}

bool ops_open(struct ops_case *c, const char *mnemonic, const char *sig,
              const char *operands)
{
    char written[128], text[512];
    write_operands(sig, c->is_in_place, written, sizeof(written));
    const int n = snprintf(text, sizeof(text),
                           ".version 8.3\n.target sm_90a\n.address_size 64\n"
                           ".visible .entry k()\n{\n.reg .b16 %%rs<6>;\n"
                           ".reg .b32 %%r<6>;\n.reg .b64 %%rd<6>;\n.reg .pred %%p<6>;\n"
                           "%s %s;\nret;\n}\n",
                           mnemonic, operands ? operands : written);
    assert_true(n > 0 && (size_t)n < sizeof(text));
    c->sig = sig;
    if (ptx_module_parse(text, (size_t)n, "test", &c->module) != 0)
        return false;
    const struct ptx_kernel *const k = &c->module->kernels[0];
    c->insn = &k->insns[0];
    c->warp = (struct machine_warp){.file = calloc(k->file_bytes, 1), .alive = ~0u};
    assert_non_null(c->warp.file);
    for (int32_t i = 0; i < k->n_consts; i++) {
        const struct ptx_const *const v = &k->consts[i];
        for (int32_t l = 0; l < PTX_LANES && v->kind == PTX_CONST_BITS; l++) {
            if (v->bytes == 8)
                machine_u64(&c->warp, v->slot)[l] = v->bits;
            else if (v->bytes == 4)
                machine_u32(&c->warp, v->slot)[l] = (uint32_t)v->bits;
        }
    }
    return true;
}

void ops_close(struct ops_case *c)
{
    free(c->warp.file);
    ptx_module_free(c->module);
}

static void set_lane(struct ops_case *c, int32_t k, int32_t l, uint64_t v)
{
    const struct ptx_operand *const o = &c->insn->o[k];
    if (o->kind == PTX_PRED) {
        uint32_t *const p = machine_pred(&c->warp, o->slot);
        *p = (*p & ~(1u << l)) | (uint32_t)(v & 1) << l;
    } else if (o->kind == PTX_REG && o->bytes == 8) {
        machine_u64(&c->warp, o->slot)[l] = v;
    } else if (o->kind == PTX_REG) {
        machine_u32(&c->warp, o->slot)[l] = (uint32_t)v;
    }
}
static uint64_t get_lane(struct ops_case *c, int32_t l)
{
    const struct ptx_operand *const o = &c->insn->o[0];
    if (o->kind == PTX_PRED)
        return *machine_pred(&c->warp, o->slot) >> l & 1;
    return o->bytes == 8 ? machine_u64(&c->warp, o->slot)[l]
                         : machine_u32(&c->warp, o->slot)[l];
}

void ops_call(struct ops_case *c, uint64_t in[5][PTX_LANES], uint32_t mask,
              uint64_t out[PTX_LANES])
{
    for (int32_t k = c->is_in_place ? 1 : 0; k < c->insn->n_operands; k++) {
        for (int32_t l = 0; l < PTX_LANES; l++)
            set_lane(c, k, l, in[k][l]);
    }
    assert_int_equal(c->insn->run(&c->warp, c->insn, mask), MACHINE_NEXT);
    for (int32_t l = 0; l < PTX_LANES; l++)
        out[l] = get_lane(c, l);
}

uint64_t ops_one(const char *mnemonic, const char *sig, uint64_t a, uint64_t b,
                 uint64_t c)
{
    struct ops_case op = {0};
    if (!ops_open(&op, mnemonic, sig, NULL))
        fail_msg("%s: %s", mnemonic, status_message());
    uint64_t in[5][PTX_LANES] = {{0}}, out[PTX_LANES];
    for (int32_t l = 0; l < PTX_LANES; l++) {
        in[1][l] = a;
        in[2][l] = b;
        in[3][l] = c;
    }
    ops_call(&op, in, ~0u, out);
    ops_close(&op);
    return out[7];
}

/* --- random operands --- */
static uint64_t random_bits(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t pick_int(uint64_t *state)
{
    static const uint64_t EDGES[] = {
        0,          1,          2,          31,          32,         33,
        63,         64,         65,         0x7f,        0x80,       0xff,
        0x100,      0x7fff,     0x8000,     0xffff,      0x10000,    0x7fffffff,
        0x80000000, 0x80000001, 0xfffffffe, 0xffffffffu, 1ull << 32, 1ull << 63,
        UINT64_MAX, INT64_MAX,
    };
    const uint64_t r = random_bits(state);
    switch (r >> 62) {
    case 0:
        return EDGES[r % (uint64_t)ARRAY_LEN(EDGES)];
    case 1:
        return r % 70;
    case 2:
        return random_bits(state) >> (r & 63);
    default:
        return random_bits(state);
    }
}

/* any bits, edges, and numbers between 1/8 and 8, whose sums are rounded */
static uint64_t pick_f32(uint64_t *state)
{
    static const uint32_t EDGES[] = {
        0,          1,          0x007fffff, 0x00800000, 0x3f000000, 0x3f7fffff,
        0x3f800000, 0x3f800001, 0x3fc00000, 0x4b000000, 0x4b800001, 0x4effffff,
        0x4f000000, 0x4f800000, 0x5f000000, 0x7f7fffff, 0x7f800000, 0x7fc00001,
    };
    const uint64_t r = random_bits(state);
    const uint64_t sign = r & 1 ? 0x80000000 : 0;
    if (r >> 62 == 0)
        return EDGES[r / 2 % (uint64_t)ARRAY_LEN(EDGES)] | sign;
    if (r >> 62 == 1)
        return random_bits(state) & 0xffffffff;
    return sign | (0x3e000000 + (r >> 8 & 0x2ffffff));
}
static uint64_t pick_f64(uint64_t *state)
{
    static const uint64_t EDGES[] = {
        0,
        1,
        0x000fffffffffffff,
        0x0010000000000000,
        0x3fe0000000000000,
        0x3ff0000000000000,
        0x3ff8000000000000,
        0x41dfffffffc00000,
        0x41e0000000000000,
        0x41efffffffe00000,
        0x43e0000000000000,
        0x43f0000000000000,
        0x47efffffe0000000, /* FLT_MAX, and halfway to what would be next */
        0x47effffff0000000,
        0x7fefffffffffffff,
        0x7ff0000000000000,
        0x7ff8000000000001,
    };
    const uint64_t r = random_bits(state);
    const uint64_t sign = r << 63;
    if (r >> 62 == 0)
        return EDGES[r / 2 % (uint64_t)ARRAY_LEN(EDGES)] | sign;
    if (r >> 62 == 1)
        return random_bits(state);
    return sign | (of_f64(0.125) + (random_bits(state) & 0x5fffffffffffff));
}
static uint64_t pick(char sig, uint64_t *state)
{
    switch (sig) {
    case '2':
        return pick_int(state) & 0xffff;
    case '4':
        return pick_int(state) & 0xffffffff;
    case 'h':
        return random_bits(state) & 0xffff;
    case 'H':
        return random_bits(state) & 0xffffffff;
    case 'f':
        return pick_f32(state);
    case 'd':
        return pick_f64(state);
    default:
        return pick_int(state);
    }
}

static void check_batch(struct ops_case *c, const char *mnemonic, ops_ref_fn ref,
                        uint64_t *state, uint32_t mask)
{
    uint64_t in[5][PTX_LANES] = {{0}}, out[PTX_LANES];
    for (int32_t k = 0; c->sig[k]; k++) {
        for (int32_t l = 0; l < PTX_LANES; l++)
            in[k][l] = pick(c->sig[k], state);
    }
    if (c->is_in_place)
        memcpy(in[0], in[1], sizeof(in[0]));
    else if (c->sig[0] == 'p')
        memset(in[0], 0, sizeof(in[0]));
    ops_call(c, in, mask, out);
    for (int32_t l = 0; l < PTX_LANES; l++) {
        const uint64_t expected = mask >> l & 1
                                      ? ref(in[1][l], in[2][l], in[3][l], in[4][l])
                                      : in[0][l];
        if (out[l] != expected)
            fail_msg("%s of 0x%llx 0x%llx 0x%llx 0x%llx, mask 0x%x, lane %d: 0x%llx, "
                     "expected 0x%llx",
                     mnemonic, (unsigned long long)in[1][l],
                     (unsigned long long)in[2][l], (unsigned long long)in[3][l],
                     (unsigned long long)in[4][l], mask, l, (unsigned long long)out[l],
                     (unsigned long long)expected);
    }
}

void ops_check(const char *mnemonic, const char *sig, ops_ref_fn ref)
{
    uint64_t state = 1234;
    const bool may_alias = bits_of_operand(sig[0]) == bits_of_operand(sig[1]);
    for (int32_t in_place = 0; in_place <= may_alias; in_place++) {
        struct ops_case c = {.is_in_place = in_place};
        if (!ops_open(&c, mnemonic, sig, NULL))
            fail_msg("%s: %s", mnemonic, status_message());
        for (int32_t k = 0; k < 200; k++)
            check_batch(&c, mnemonic, ref, &state,
                        k % 2 ? ~0u : (uint32_t)random_bits(&state) | 1);
        ops_close(&c);
    }
}

void ops_check_refused(const char *mnemonic, const char *sig)
{
    struct ops_case c = {0};
    if (ops_open(&c, mnemonic, sig, NULL))
        fail_msg("%s was accepted", mnemonic);
}
