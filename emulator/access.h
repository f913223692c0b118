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
    ACCESS_FAULT,
    ACCESS_SPARSE, /* few lanes: host[] is given for them alone */
    ACCESS_MIXED, /* host[] is given for all: that of one in the mask where not in it */
    ACCESS_SAME,  /* all the same; host[] as for MIXED */
    ACCESS_ROW    /* all 32 lanes, one behind the other; host[] as for MIXED */
};

/* The host addresses of `bytes` bytes (a power of two, which they must be aligned to)
 * of each lane in mask. Checked as machine_at does. */
enum access_pattern access_locate(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask, const struct ptx_operand *address,
                                  int32_t bytes, enum machine_access access,
                                  uint64_t host[PTX_LANES]);

/* Release before, acquire after an access of shared memory, for the race checker. */
void access_order(struct machine_warp *w, const struct ptx_insn *i, uint32_t mask,
                  const uint64_t host[PTX_LANES], bool is_release);

#endif
