/*
 * From a mnemonic to the function that executes it.
 */
#include <string.h>

#include "emulator/machine.h"

static const struct machine_op *const tables[] = {
    machine_ops_int,     machine_ops_float, machine_ops_move,   machine_ops_memory,
    machine_ops_control, machine_ops_warp,  machine_ops_matrix, machine_ops_async,
};

/* The parts of i that name ("bar.warp.sync") spells, all of it: their number, or 0. */
static int32_t match(const struct ptx_insn *i, const char *name)
{
    int32_t n = 0;
    while (n < i->n_parts) {
        const size_t length = strlen(i->part[n]);
        if (strncmp(name, i->part[n], length) != 0)
            return 0;
        n++;
        if (name[length] == 0)
            return n;
        if (name[length] != '.')
            return 0;
        name += length + 1;
    }
    return 0;
}

int machine_bind(struct ptx_insn *i)
{
    const struct machine_op *best = NULL;
    int32_t best_parts = 0;
    for (int64_t t = 0; t < ARRAY_LEN(tables); t++) {
        for (const struct machine_op *op = tables[t]; op->name != NULL; op++) {
            const int32_t n = match(i, op->name);
            if (n > best_parts) {
                best = op;
                best_parts = n;
            }
        }
    }
    char name[128];
    if (best == NULL)
        return ERR(ERR_INPUT, "line %d: unknown instruction %s", i->line,
                   ptx_mnemonic(i, name, sizeof(name)));
    i->run = best->bind(i);
    if (i->run == NULL)
        return ERR(ERR_INPUT,
                   "line %d: %s is not supported with these types or operands", i->line,
                   ptx_mnemonic(i, name, sizeof(name)));
    return STATUS_OK;
}
