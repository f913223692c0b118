/*
 * Tables of lane-wise instructions: finding a mnemonic, checking operands.
 */
#include "emulator/ops.h"

/* Do the parts of i, joined by dots, make this text? */
static bool is_mnemonic(const struct ptx_insn *i, const char *text)
{
    for (int32_t k = 0; k < i->n_parts; k++) {
        const size_t n = strlen(i->part[k]);
        if (strncmp(text, i->part[k], n) != 0)
            return false;
        text += n;
        if (*text != (k + 1 < i->n_parts ? '.' : '\0'))
            return false;
        text++;
    }
    return true;
}

bool ops_fit(struct ptx_insn *i, const char *bytes)
{
    const int32_t n = (int32_t)strlen(bytes);
    if (i->n_operands != n || i->o[0].kind != PTX_REG)
        return false;
    for (int32_t k = 0; k < n; k++) {
        const bool is_value = i->o[k].kind == PTX_REG || i->o[k].kind == PTX_IMM;
        if (!is_value || !ptx_want(i, k, bytes[k] - '0'))
            return false;
    }
    return true;
}

ptx_run_fn ops_bind(struct ptx_insn *i, const struct ops_form *forms, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        if (!is_mnemonic(i, forms[k].mnemonic))
            continue;
        i->option[0] = forms[k].option;
        return ops_fit(i, forms[k].bytes) ? forms[k].run : NULL;
    }
    return NULL;
}
