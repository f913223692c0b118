/*
 * From mnemonics to executors: the families of all tables whose name is the longest
 * beginning of an instruction's parts are asked in turn, since one name may have a
 * table for integers and one for floats.
 */
#include "emulator/machine.h"

#include <string.h>

enum { MAX_CANDIDATES = 8 }; /* one for each table */

/* How many parts a family's name has if the mnemonic begins with them, or 0. */
static int32_t match(const char *name, const struct ptx_insn *i)
{
    for (int32_t k = 0; k < i->n_parts; k++) {
        const size_t n = strlen(i->part[k]);
        if (strncmp(name, i->part[k], n) != 0)
            return 0;
        if (name[n] == 0)
            return k + 1;
        if (name[n] != '.')
            return 0;
        name += n + 1;
    }
    return 0;
}

/* The families of the longest matching name; how many parts it has, 0: none. */
static int32_t candidates(const struct ptx_insn *i, const struct machine_op **out,
                          int32_t *n_out)
{
    static const struct machine_op *const tables[] = {
        machine_ops_int,     machine_ops_float, machine_ops_move,   machine_ops_memory,
        machine_ops_control, machine_ops_warp,  machine_ops_matrix, machine_ops_async};
    int32_t longest = 0;
    *n_out = 0;
    for (int64_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (const struct machine_op *op = tables[t]; op->name; op++) {
            const int32_t n = *op->name == *i->part[0] ? match(op->name, i) : 0;
            if (n == 0 || n < longest)
                continue;
            if (n > longest)
                *n_out = 0;
            longest = n;
            CHECK(*n_out < MAX_CANDIDATES, "%s has more than %d families", op->name,
                  MAX_CANDIDATES);
            out[(*n_out)++] = op;
        }
    }
    return longest;
}

int machine_bind(struct ptx_insn *i)
{
    const struct machine_op *op[MAX_CANDIDATES];
    int32_t n;
    const int32_t n_parts = candidates(i, op, &n);
    for (int32_t k = 0; k < n; k++) {
        i->run = op[k]->bind(i);
        if (i->run)
            return 0;
    }
    char text[256];
    ptx_mnemonic(i, text, sizeof text);
    if (n_parts == 0)
        return ERR(ERR_INPUT, "the instruction %s is not known", text);
    return ERR(ERR_INPUT, "this form of %s, or its operands, is not supported", text);
}
