/*
 * The syntax of PTX: a module's text becomes kernels of instructions with resolved
 * registers, labels and immediates. Nothing here knows what an instruction does; a
 * mnemonic is kept as its dotted parts and given a meaning by emulator/machine.h.
 * Source of all facts: NVIDIA, "Parallel Thread Execution ISA" 9.0.
 *
 * Ownership: a module owns everything it points to, until ptx_module_free.
 * Errors: text that is not understood is ERR_INPUT, "name:line:column: what". Functions
 * and call are not: .func is passed over, call is an error.
 */
#ifndef EMULATOR_PTX_H
#define EMULATOR_PTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum { PTX_LANES = 32, PTX_MAX_PARTS = 16, PTX_MAX_OPERANDS = 10 };

/* A register is a slot of a warp's register file: a byte offset. 8- to 32-bit registers
 * hold 32 lanes of uint32_t (narrow values zero-extended), 64-bit ones 32 of uint64_t,
 * 128-bit ones two such arrays (low halves, then high halves), predicates one uint32_t
 * whose bit l is lane l. Immediates and special registers that do not change while a
 * warp runs (%tid, %ctaid, %ntid, %nctaid, %laneid, %warpid) have slots too, filled
 * when the warp starts: an executor sees only slots.
 *
 * Immediates: the parser lays one out for the instruction's main type, which is the
 * last part that names a type ("mul.wide.s32": s32), of slct the first; 32 bits if no
 * part does. So the operands of that type need no care, floats included (0d literals
 * become f32 where the type is f32), and 8- and 16-bit ones are zero-extended as
 * registers are. For every operand of another width (shift counts, the c of mad.wide,
 * masks and lanes of shfl and vote, positions of bfe, ids of barriers, counts of
 * mbarriers, the halves of a mov.b64 {a, b}) the bind function calls ptx_want or
 * ptx_want_pred, which lays it out anew. The slot of an immediate is given after bind:
 * bind functions may read its `bits`, and must not copy its `slot`.
 *
 * Special registers that change, or depend on the launch in another way, are read by
 * mov alone, and then are the mnemonic's second part instead of an operand: "mov.u64
 * %rd1, %clock64" has the parts {"mov", "%clock64", "u64"} and one operand. So are
 * %clock, %clock_hi, %globaltimer, %globaltimer_lo, %globaltimer_hi,
 * %dynamic_smem_size, %total_smem_size. The ones of clusters are those of size 1.
 */
enum ptx_operand_kind {
    PTX_NONE,
    PTX_REG,     /* slot, bytes (4, 8 or 16) */
    PTX_PRED,    /* slot; negated: written !%p */
    PTX_IMM,     /* slot, bytes (4, 8; 1: a predicate); bits: its value, sign-extended
                    (floats: their bits). Symbols' addresses are immediates: relative to
                    their space for .shared, .local and .param */
    PTX_ADDRESS, /* [base + bits]: slot and bytes of the base register, or slot < 0 and
                    bits the whole address, symbols resolved (relative to their space
                    for .shared, .local and .param); items[]: the coordinates of
                    "[base, {x, y}]" in tensor instructions */
    PTX_VECTOR,  /* {a, b, ...}: items */
    PTX_LABEL,   /* bits: index of the target instruction. The list of brx.idx is a
                    PTX_VECTOR of them */
    PTX_SINK     /* "_" */
};

struct ptx_operand {
    enum ptx_operand_kind kind;
    int32_t slot;
    int32_t bytes;
    bool negated;
    bool is_float; /* IMM: was written as one */
    uint8_t width; /* IMM: the bytes that count, 1 2 4 8; those above are 0 in the slot.
                      REG: the bytes it was declared with, 0 of special registers */
    int64_t bits;
    struct ptx_operand *items; /* VECTOR, or the coordinates of an ADDRESS */
    int32_t n_items;
};

struct machine_warp;
struct ptx_insn;

/* What an executor tells the scheduler; see emulator/machine.h. */
enum machine_next {
    MACHINE_NEXT, /* go on with the next instruction */
    MACHINE_JUMP, /* the executor has set the pcs of all active lanes */
    MACHINE_WAIT, /* not possible yet: run other warps or lanes, then try it again */
    MACHINE_FAULT /* machine_fault has been called; the launch ends */
};

/* mask: the active lanes whose guard holds; never 0. A write touches no other lane. */
typedef enum machine_next (*ptx_run_fn)(struct machine_warp *w,
                                        const struct ptx_insn *i, uint32_t mask);

struct ptx_insn {
    ptx_run_fn run;
    int32_t guard; /* slot of the predicate, or -1 */
    bool guard_not;
    int32_t n_operands;
    int32_t option[4]; /* what the op's bind function worked out from the mnemonic */
    struct ptx_operand o[PTX_MAX_OPERANDS]; /* in the order written; "d|p" are two */
    /* the mnemonic's parts: "ld.global.v2.f32" is {"ld", "global", "v2", "f32"} */
    const char *part[PTX_MAX_PARTS];
    int32_t n_parts;
    int32_t line; /* of the module's text */
};

/* A slot to fill when a warp starts: an immediate or a special register. */
enum ptx_const_kind {
    PTX_CONST_BITS,
    PTX_TID_X,
    PTX_TID_Y,
    PTX_TID_Z,
    PTX_NTID_X,
    PTX_NTID_Y,
    PTX_NTID_Z,
    PTX_CTAID_X,
    PTX_CTAID_Y,
    PTX_CTAID_Z,
    PTX_NCTAID_X,
    PTX_NCTAID_Y,
    PTX_NCTAID_Z,
    PTX_LANEID,
    PTX_WARPID,
    PTX_SMID,
    PTX_LANEMASK_LT,
    PTX_LANEMASK_LE,
    PTX_LANEMASK_EQ,
    PTX_LANEMASK_GE,
    PTX_LANEMASK_GT
};
struct ptx_const {
    enum ptx_const_kind kind;
    int32_t slot;
    int32_t bytes; /* 4 or 8; 1: a predicate (bits 0 or 1) */
    uint64_t bits;
};

struct ptx_param {
    int32_t off; /* in the parameter block, aligned as declared */
    int32_t bytes;
};

struct ptx_kernel {
    const char *name;
    const struct ptx_param *params;
    int32_t n_params;
    int32_t param_bytes;
    int32_t shared_bytes; /* declared. Dynamic shared memory begins here, aligned to
                             1024: what ".extern .shared" symbols resolve to. A multiple
                             of 1024 if the kernel uses such a symbol */
    int32_t local_bytes;  /* per thread, a multiple of 16 */
    int32_t max_threads;  /* .maxntid's product, 0 if none */
    size_t file_bytes;    /* of a warp's register file */
    const struct ptx_const *consts;
    int32_t n_consts;
    struct ptx_insn *insns; /* the last one is ret, exit, or no way leads past it */
    int32_t n_insns;
};

/* A variable of the module: .global or .const, initialised. */
struct ptx_variable {
    const char *name;
    uint8_t *data; /* machine memory: its address is what symbols resolve to */
    size_t bytes;
    bool is_const;
};

struct ptx_module {
    struct ptx_kernel *kernels;
    int32_t n_kernels;
    struct ptx_variable *variables;
    int32_t n_variables;
    int32_t target;   /* 90 of "sm_90a" */
    bool is_specific; /* the "a" */
};

/* text: n_bytes, need not end in NUL. Every instruction has been bound (machine_bind)
 * on return. */
WARN_UNUSED int ptx_module_parse(const char *text, size_t n_bytes, const char *name,
                                 struct ptx_module **out);
void ptx_module_free(struct ptx_module *m);
const struct ptx_kernel *ptx_module_kernel(const struct ptx_module *m,
                                           const char *name);

/* --- for bind functions --- */
/* Does the mnemonic have this part? Index of the first candidate (NULL-terminated list)
 * that it has, or -1. */
bool ptx_has(const struct ptx_insn *i, const char *part);
int32_t ptx_which(const struct ptx_insn *i, const char *const *candidates);
/* Bytes of a type's name, 4 for "f32" and "bf16x2", 1 for "pred" and "b8"; 0: no type.
 */
int32_t ptx_type_bytes(const char *part);
/* Says that operand k is a value of `bytes` (1, 2, 4, 8, 16) bytes, or a vector of
 * such. Registers: true if they have this width (4 for narrower ones). Immediates: lays
 * them out in this width. Sinks and addresses: true. false for a missing operand, a
 * predicate, a label. */
bool ptx_want(struct ptx_insn *i, int32_t k, int32_t bytes);
/* Operand k is a predicate, or an immediate that becomes one (0 is false); its value is
 * *machine_pred(w, slot), complemented if `negated`. */
bool ptx_want_pred(struct ptx_insn *i, int32_t k);
/* The mnemonic's parts joined again, for messages; cut to fit. Returns out. */
const char *ptx_mnemonic(const struct ptx_insn *i, char *out, size_t out_bytes);

#endif
