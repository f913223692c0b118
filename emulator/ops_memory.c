/*
 * Loads and stores, fences and hints.
 *
 * Data moves lane by lane between host memory and slots; the widths that matter are
 * compiled for themselves. A load fills a wider register with zeros or the sign; a
 * store takes the low bytes. Lanes that store to one address: the highest wins.
 */
#include <stdatomic.h>
#include <string.h>

#include "emulator/access.h"
#include "emulator/scheduler.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

static const uint32_t all_lanes = 0xffffffffu;

/* --- loads --- */

ALWAYS_INLINE uint64_t read_bytes(uint64_t host, int32_t bytes)
{
    uint64_t v = 0;
    memcpy(&v, (const void *)(uintptr_t)host, (size_t)bytes);
    return v;
}

static uint64_t extend(uint64_t v, int32_t bytes, int32_t register_width)
{
    const int32_t up = 64 - 8 * bytes;
    const uint64_t wide = (uint64_t)((int64_t)(v << up) >> up);
    /* a slot's bytes above its register are zeros */
    return register_width < 4 ? wide & (((uint64_t)1 << 8 * register_width) - 1) : wide;
}

/* An element of every lane. The addresses are n * bytes apart in a row. */
ALWAYS_INLINE void gather(uint64_t *v, const struct access_lanes *l, uint64_t off,
                          int32_t n, int32_t bytes)
{
    const uint64_t first = l->at[0] + l->delta + off;
    if (l->pattern == ACCESS_ROW) {
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            v[lane] = read_bytes(first + (uint64_t)(lane * n * bytes), bytes);
        return;
    }
    if (l->pattern == ACCESS_SAME) {
        const uint64_t one = read_bytes(first, bytes);
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            v[lane] = one;
        return;
    }
    for (int32_t lane = 0; lane < PTX_LANES; lane++) {
        uint64_t at = l->at[lane] + (l->delta + off);
        __asm__("" : "+r"(at)); /* gather instructions are slower than loads */
        v[lane] = read_bytes(at, bytes);
    }
}

/* The bytes of an element into registers of 32 or 64 bits, zeros above them. */
ALWAYS_INLINE void load_element(struct machine_warp *w, const struct ptx_operand *d,
                                const struct access_lanes *l, uint64_t off,
                                uint32_t mask, int32_t n, int32_t bytes)
{
    uint64_t v[PTX_LANES];
    gather(v, l, off, n, bytes);
    if (bytes == 8) {
        uint64_t *const to = machine_u64(w, d->slot);
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            to[lane] = (mask >> lane & 1) != 0 ? v[lane] : to[lane];
        return;
    }
    uint32_t *const to = machine_u32(w, d->slot);
    if (mask == all_lanes) {
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            to[lane] = (uint32_t)v[lane];
        return;
    }
    for (int32_t lane = 0; lane < PTX_LANES; lane++)
        to[lane] = (mask >> lane & 1) != 0 ? (uint32_t)v[lane] : to[lane];
}

/* Any element into any register. */
static void load_any(struct machine_warp *w, const struct ptx_operand *d,
                     bool is_signed, int32_t bytes, const struct access_lanes *l,
                     uint64_t off, uint32_t mask)
{
    const int32_t width = d->width == 0 ? d->bytes : d->width;
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        const uint64_t at = l->at[lane] + l->delta + off;
        uint64_t v = read_bytes(at, bytes < 8 ? bytes : 8);
        if (is_signed && bytes < 8)
            v = extend(v, bytes, width);
        if (d->bytes == 4) {
            machine_u32(w, d->slot)[lane] = (uint32_t)v;
            continue;
        }
        machine_u64(w, d->slot)[lane] = v;
        if (d->bytes == 16)
            machine_u64(w, d->slot)[PTX_LANES + lane] = bytes == 16
                                                            ? read_bytes(at + 8, 8)
                                                            : 0;
    }
}

ALWAYS_INLINE enum machine_next load(struct machine_warp *w, const struct ptx_insn *i,
                                     uint32_t mask, int32_t n, int32_t bytes,
                                     bool is_plain)
{
    struct access_lanes lanes;
    if (!access_locate(w, i, mask, &i->o[1], n * bytes, MACHINE_READ, &lanes))
        return MACHINE_FAULT;
    const struct ptx_operand *const d = i->o[0].kind == PTX_VECTOR ? i->o[0].items
                                                                   : &i->o[0];
    for (int32_t k = 0; k < n; k++) {
        const uint64_t off = (uint64_t)(k * bytes);
        if (d[k].kind != PTX_REG)
            continue; /* "_" */
        if (is_plain && lanes.pattern != ACCESS_SPARSE)
            load_element(w, &d[k], &lanes, off, mask, n, bytes);
        else
            load_any(w, &d[k], (i->option[3] & ACCESS_SIGNED) != 0, bytes, &lanes, off,
                     mask);
    }
    access_order(w, i, mask, &lanes, false);
    return MACHINE_NEXT;
}

/* --- stores --- */

ALWAYS_INLINE void write_bytes(uint64_t host, uint64_t v, int32_t bytes)
{
    memcpy((void *)(uintptr_t)host, &v, (size_t)bytes);
}

ALWAYS_INLINE void store_words(const uint32_t *s, const struct access_lanes *l,
                               uint64_t off, uint32_t mask, int32_t n)
{
    const uint64_t by = l->delta + off;
    if (l->pattern == ACCESS_ROW) {
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            write_bytes(l->at[0] + by + (uint64_t)(lane * n * 4), s[lane], 4);
        return;
    }
    if (mask == all_lanes) {
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            write_bytes(l->at[lane] + by, s[lane], 4);
        return;
    }
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        write_bytes(l->at[lane] + by, s[lane], 4);
    }
}

static void store_any(struct machine_warp *w, const struct ptx_operand *s,
                      int32_t bytes, const struct access_lanes *l, uint64_t off,
                      uint32_t mask)
{
    for (uint32_t left = mask; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        const uint64_t v = s->bytes == 4 ? machine_u32(w, s->slot)[lane]
                                         : machine_u64(w, s->slot)[lane];
        const uint64_t at = l->at[lane] + l->delta + off;
        write_bytes(at, v, bytes < 8 ? bytes : 8);
        if (bytes == 16)
            write_bytes(at + 8, machine_u64(w, s->slot)[PTX_LANES + lane], 8);
    }
}

ALWAYS_INLINE enum machine_next store(struct machine_warp *w, const struct ptx_insn *i,
                                      uint32_t mask, int32_t n, int32_t bytes,
                                      bool is_plain)
{
    struct access_lanes lanes;
    if (!access_locate(w, i, mask, &i->o[0], n * bytes, MACHINE_WRITE, &lanes))
        return MACHINE_FAULT;
    const struct ptx_operand *const s = i->o[1].kind == PTX_VECTOR ? i->o[1].items
                                                                   : &i->o[1];
    access_order(w, i, mask, &lanes, true);
    for (int32_t k = 0; k < n; k++) {
        const uint64_t off = (uint64_t)(k * bytes);
        if (is_plain && bytes == 4)
            store_words(machine_u32(w, s[k].slot), &lanes, off, mask, n);
        else
            store_any(w, &s[k], bytes, &lanes, off, mask);
    }
    return MACHINE_NEXT;
}

/* --- the executors --- */

#define EXECUTOR(name, what, n, bytes, is_plain)                                       \
    static enum machine_next name(struct machine_warp *w, const struct ptx_insn *i,    \
                                  uint32_t mask)                                       \
    {                                                                                  \
        return what(w, i, mask, n, bytes, is_plain);                                   \
    }
EXECUTOR(load_half, load, 1, 2, true)
EXECUTOR(load_word, load, 1, 4, true)
EXECUTOR(load_2_words, load, 2, 4, true)
EXECUTOR(load_4_words, load, 4, 4, true)
EXECUTOR(load_long, load, 1, 8, true)
EXECUTOR(load_2_longs, load, 2, 8, true)
EXECUTOR(load_other, load, i->option[1], i->option[2], false)
EXECUTOR(store_word, store, 1, 4, true)
EXECUTOR(store_2_words, store, 2, 4, true)
EXECUTOR(store_4_words, store, 4, 4, true)
EXECUTOR(store_other, store, i->option[1], i->option[2], false)

static const struct {
    int32_t n, bytes;
    ptx_run_fn load, store;
} plain[] = {
    {1, 2, load_half, NULL},
    {1, 4, load_word, store_word},
    {2, 4, load_2_words, store_2_words},
    {4, 4, load_4_words, store_4_words},
    {1, 8, load_long, NULL},
    {2, 8, load_2_longs, NULL},
};

/* Whether the data operands are registers (or immediates, sinks) as the form says; and
 * whether they have just its width, so that words move as they are. */
static bool check_data(struct ptx_insn *i, int32_t operand, const struct access_form *f,
                       bool *is_plain)
{
    const enum ptx_operand_kind other = operand == 0 ? PTX_SINK : PTX_IMM;
    struct ptx_operand *const o = &i->o[operand];
    const bool is_vector = o->kind == PTX_VECTOR;
    const int32_t n = is_vector ? o->n_items : 1;
    *is_plain = f->bytes != 1 && f->bytes != 16 && (f->bytes != 2 || !f->is_signed);
    if (n != f->n)
        return false;
    for (int32_t k = 0; k < n; k++) {
        const struct ptx_operand *const item = is_vector ? &o->items[k] : o;
        if (item->kind != PTX_REG && item->kind != other)
            return false;
        /* a register may be wider than what moves, not narrower */
        if (item->kind == PTX_REG && item->bytes < f->bytes)
            return false;
        *is_plain &= item->kind != PTX_REG || item->bytes == (f->bytes == 8 ? 8 : 4);
    }
    return true;
}

static ptx_run_fn bind_access(struct ptx_insn *i, bool is_load)
{
    struct access_form f;
    bool is_plain = false;
    const int32_t address = is_load ? 1 : 0, data = is_load ? 0 : 1;
    if (!access_parse(i, NULL, &f) || i->n_operands != 2 + (int32_t)f.has_hint ||
        i->o[address].kind != PTX_ADDRESS || !check_data(i, data, &f, &is_plain) ||
        f.n * f.bytes > 32)
        return NULL;
    access_store(i, &f);
    for (int64_t k = 0; k < ARRAY_LEN(plain) && is_plain; k++) {
        const ptx_run_fn run = is_load ? plain[k].load : plain[k].store;
        if (plain[k].n == f.n && plain[k].bytes == f.bytes && run != NULL)
            return run;
    }
    return is_load ? load_other : store_other;
}

static ptx_run_fn bind_ld(struct ptx_insn *i) { return bind_access(i, true); }

static ptx_run_fn bind_st(struct ptx_insn *i)
{
    return ptx_has(i, "const") ? NULL : bind_access(i, false);
}

/* --- fences and hints --- */

static enum machine_next run_fence(struct machine_warp *w, const struct ptx_insn *i,
                                   uint32_t mask)
{
    (void)w;
    (void)i;
    (void)mask;
    /* a locked operation orders all before and after it; the compiler's fence is not
     * known to its thread sanitizer */
    atomic_int lock = 0;
    atomic_fetch_add(&lock, 1);
    return MACHINE_NEXT;
}

static ptx_run_fn bind_fence(struct ptx_insn *i)
{
    static const char *const known[] = {"sc",      "acq_rel", "acquire", "release",
                                        "cta",     "gl",      "sys",     "gpu",
                                        "cluster", "membar",  "fence",   NULL};
    for (int32_t k = 0; k < i->n_parts; k++) {
        struct ptx_insn one = {.part = {i->part[k]}, .n_parts = 1};
        if (ptx_which(&one, known) < 0)
            return NULL;
    }
    return i->n_operands == 0 ? run_fence : NULL;
}

static ptx_run_fn bind_hint(struct ptx_insn *i)
{
    return i->n_operands >= 1 && i->o[0].kind == PTX_ADDRESS ? machine_nothing : NULL;
}

static enum machine_next run_policy(struct machine_warp *w, const struct ptx_insn *i,
                                    uint32_t mask)
{
    uint64_t *const d = machine_u64(w, i->o[0].slot);
    for (uint32_t left = mask; left != 0; left &= left - 1)
        d[__builtin_ctz(left)] = 0;
    return MACHINE_NEXT;
}

static ptx_run_fn bind_policy(struct ptx_insn *i)
{
    return i->n_operands >= 1 && i->o[0].kind == PTX_REG && i->o[0].bytes == 8
               ? run_policy
               : NULL;
}

const struct machine_op machine_ops_memory[] = {
    {"ld", bind_ld},
    {"ldu", bind_ld},
    {"st", bind_st},
    {"atom", atomic_bind_atom},
    {"red", atomic_bind_red},
    {"membar", bind_fence},
    {"fence", bind_fence},
    {"prefetch", bind_hint},
    {"prefetchu", bind_hint},
    {"discard", bind_hint},
    {"applypriority", bind_hint},
    {"createpolicy", bind_policy},
    {NULL, NULL},
};
