/*
 * What the executors of lane-wise instructions share: macros that make one function per
 * operation and type, loops over the 32 lanes that vectorise, and tables from mnemonics
 * to executors.
 *
 * An executor computes all lanes, also inactive ones (whose registers may hold
 * anything: an expression must not trap), and writes those of the mask. Operand
 * registers overlap only where they are the same one, so lanes are independent.
 */
#ifndef EMULATOR_OPS_H
#define EMULATOR_OPS_H

#include <stdint.h>
#include <string.h>

#include "emulator/machine.h"

#define OPS_INLINE static inline __attribute__((always_inline, unused))

/* Lanes as instructions see them; all share the storage of uint32_t (4 bytes) or
 * uint64_t (8 bytes), which the compiler must know. */
typedef uint32_t ops_u32 __attribute__((may_alias));
typedef int32_t ops_s32 __attribute__((may_alias));
typedef uint64_t ops_u64 __attribute__((may_alias));
typedef int64_t ops_s64 __attribute__((may_alias));
typedef float ops_f32 __attribute__((may_alias));
typedef double ops_f64 __attribute__((may_alias));

OPS_INLINE void *ops_slot(const struct machine_warp *w, const struct ptx_insn *i,
                          int32_t k)
{
    return w->file + i->o[k].slot;
}

#define OPS_RUN(name)                                                                  \
    static enum machine_next run_##name(struct machine_warp *w,                        \
                                        const struct ptx_insn *i, uint32_t mask)
#define OPS_EACH_LANE _Pragma("omp simd") for (int32_t l = 0; l < PTX_LANES; l++)
#define OPS_FROM(T, x, k) const ops_##T *const x##_ = ops_slot(w, i, k)
#define OPS_GET(T, x) const ops_##T x = x##_[l]

/* In a function of (w, i, mask): d = expr of what `get` defines, in lanes of the mask.
 */
#define OPS_TO(D, get, ...)                                                            \
    ops_##D *const d_ = ops_slot(w, i, 0);                                             \
    if (mask == ~0u) {                                                                 \
        OPS_EACH_LANE                                                                  \
        {                                                                              \
            get;                                                                       \
            d_[l] = (ops_##D)(__VA_ARGS__);                                            \
        }                                                                              \
    } else {                                                                           \
        OPS_EACH_LANE                                                                  \
        {                                                                              \
            get;                                                                       \
            OPS_PUT(D, (ops_##D)(__VA_ARGS__));                                        \
        }                                                                              \
    }
#define OPS_PUT(D, value)                                                              \
    const ops_##D r_ = value;                                                          \
    d_[l] = mask >> l & 1 ? r_ : d_[l]

/* OPS_<n>(name, D, types..., expr): run_<name> writes expr of the operands a, b, c, e.
 * The types are the ops_* above without the prefix; `w`, `i` and `l` are in scope. */
#define OPS_1(name, D, A, ...)                                                         \
    OPS_RUN(name)                                                                      \
    {                                                                                  \
        OPS_FROM(A, a, 1);                                                             \
        OPS_TO(D, OPS_GET(A, a), __VA_ARGS__)                                          \
        return MACHINE_NEXT;                                                           \
    }
#define OPS_2(name, D, A, B, ...)                                                      \
    OPS_RUN(name)                                                                      \
    {                                                                                  \
        OPS_FROM(A, a, 1);                                                             \
        OPS_FROM(B, b, 2);                                                             \
        OPS_TO(D, OPS_GET(A, a); OPS_GET(B, b), __VA_ARGS__)                           \
        return MACHINE_NEXT;                                                           \
    }
#define OPS_3(name, D, A, B, C, ...)                                                   \
    OPS_RUN(name)                                                                      \
    {                                                                                  \
        OPS_FROM(A, a, 1);                                                             \
        OPS_FROM(B, b, 2);                                                             \
        OPS_FROM(C, c, 3);                                                             \
        OPS_TO(D, OPS_GET(A, a); OPS_GET(B, b); OPS_GET(C, c), __VA_ARGS__)            \
        return MACHINE_NEXT;                                                           \
    }

#define OPS_4(name, D, A, B, C, E, ...)                                                \
    OPS_RUN(name)                                                                      \
    {                                                                                  \
        OPS_FROM(A, a, 1);                                                             \
        OPS_FROM(B, b, 2);                                                             \
        OPS_FROM(C, c, 3);                                                             \
        OPS_FROM(E, e, 4);                                                             \
        OPS_TO(D, OPS_GET(A, a); OPS_GET(B, b); OPS_GET(C, c);                         \
               OPS_GET(E, e), __VA_ARGS__)                                             \
        return MACHINE_NEXT;                                                           \
    }

/* A row of a table: the mnemonic, its executor, the bytes of each operand ("8444": d of
 * 8, three sources of 4), and what becomes option[0]. */
struct ops_form {
    const char *mnemonic;
    ptx_run_fn run;
    const char *bytes;
    int32_t option;
};

/* The executor of i's mnemonic if the table (of n rows) has it and the operands fit. */
ptx_run_fn ops_bind(struct ptx_insn *i, const struct ops_form *forms, int64_t n);
/* Do the operands have these widths (and is the first a register)? */
bool ops_fit(struct ptx_insn *i, const char *bytes);

/* What ops_int.c's and ops_float.c's tables send to other files. */
ptx_run_fn ops_bind_bits(struct ptx_insn *i); /* ops_bits.c */
ptx_run_fn ops_bind_half(struct ptx_insn *i); /* ops_half.c: f16, bf16 and pairs */
ptx_run_fn ops_bind_cvt(struct ptx_insn *i);  /* ops_cvt.c */

#endif
