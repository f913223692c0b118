/*
 * One instruction, parsed and bound as in a module, run on a register file filled by
 * hand, against a scalar function of the operands' bits.
 */
#ifndef TESTS_EMULATOR_OPS_FIXTURE_H
#define TESTS_EMULATOR_OPS_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "emulator/machine.h"

struct ops_case {
    struct ptx_module *module;
    struct ptx_insn *insn;
    struct machine_warp warp;
    const char *sig;
    bool is_in_place; /* the destination is the first source */
};

/* sig: a letter per operand, the destination first. 2 4 8: an integer of so many bytes;
 * h, H: f16 or bf16 and a pair of them, any bits; f d: f32, f64; p: a predicate.
 * Operand k is the register %rs<k>, %r<k>, %rd<k> or %p<k>; `operands` replaces them if
 * not NULL. false: the parser has refused it. */
bool ops_open(struct ops_case *c, const char *mnemonic, const char *sig,
              const char *operands);
void ops_close(struct ops_case *c);
/* in[k]: the lanes of operand k (in[0]: the destination's before); out: its lanes
 * after. */
void ops_call(struct ops_case *c, uint64_t in[5][PTX_LANES], uint32_t mask,
              uint64_t out[PTX_LANES]);
/* One lane's result; all lanes are given the same operands. */
uint64_t ops_one(const char *mnemonic, const char *sig, uint64_t a, uint64_t b,
                 uint64_t c);

typedef uint64_t (*ops_ref_fn)(uint64_t a, uint64_t b, uint64_t c, uint64_t e);
/* Runs it on edges and random operands, with all and with some lanes, in place or not,
 * and fails the test at the first lane that is not ref's, or was written and must not.
 */
void ops_check(const char *mnemonic, const char *sig, ops_ref_fn ref);
/* Fails unless the mnemonic is refused. */
void ops_check_refused(const char *mnemonic, const char *sig);

/* bits */
float as_f32(uint64_t u);
double as_f64(uint64_t u);
uint64_t of_f32(float v);
uint64_t of_f64(double v);

#endif
