/*
 * What ld, st, atom and red share: the meaning of their mnemonics' parts, and the host
 * addresses of a warp's lanes.
 */
#ifndef EMULATOR_ACCESS_H
#define EMULATOR_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "emulator/machine.h"

/* Of a memory instruction's mnemonic. */
struct access_form {
    enum machine_space space;
    int32_t n;     /* elements of the vector; 1: none */
    int32_t bytes; /* of an element: 1, 2, 4, 8, 16 */
    bool is_signed;
    bool acquires, releases;
    bool has_hint; /* a cache policy follows the operands */
};

/* false where a part is not known. `operation`: NULL, or parts that are the caller's
 * own (NULL-terminated), which are skipped. */
bool access_parse(const struct ptx_insn *i, const char *const *operation,
                  struct access_form *out);

/* What an executor keeps of the form: option[0] the space, option[1] the elements,
 * option[2] their bytes, option[3] flags. */
enum { ACCESS_SIGNED = 1, ACCESS_ACQUIRE = 2, ACCESS_RELEASE = 4 };
void access_store(struct ptx_insn *i, const struct access_form *f);

/* How the addresses of the lanes in a mask lie. */
enum access_pattern {
    ACCESS_SPARSE, /* few lanes */
    ACCESS_MIXED,
    ACCESS_SAME, /* one address */
    ACCESS_ROW   /* all 32 lanes, one behind the other */
};

/* A lane's host address is at[lane] + delta. But for SPARSE, lanes outside of the mask
 * have the address of one inside. */
struct access_lanes {
    enum access_pattern pattern;
    uint64_t delta;
    uint64_t at[PTX_LANES];
};

/* Where the lanes in mask access `bytes` bytes (a power of two, which they must be
 * aligned to). Checked as machine_at does; false after a fault. */
bool access_locate(struct machine_warp *w, const struct ptx_insn *i, uint32_t mask,
                   const struct ptx_operand *address, int32_t bytes,
                   enum machine_access access, struct access_lanes *out);

/* Release before, acquire after an access of shared memory, for the race checker. */
void access_order(struct machine_warp *w, const struct ptx_insn *i, uint32_t mask,
                  const struct access_lanes *lanes, bool is_release);

#endif
