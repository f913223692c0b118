/*
 * wgmma: a warpgroup's asynchronous products.
 *
 * A product is done for all four warps at once, when each has issued it and (early) at
 * once or (late) when a wait_group of one of them needs it; a wait whose products some
 * warp has yet to issue answers MACHINE_WAIT. The warps must issue the same products in
 * the same order. A product done late reads its accumulators, its operands in registers
 * and in shared memory, and writes its result when the wait comes: what touches them
 * before shows in the result.
 *
 * Fragments: warp w of the group has rows 16 w .. 16 w + 15; A and D are as in mma
 * (ops_matrix.c), D's tiles of 8 columns one after the other.
 */
#include <stdlib.h>

#include "emulator/async_state.h"
#include "emulator/wgmma.h"

enum { WARPS = 4, ALL_WARPS = 15, WARP_ROWS = 16 };

/* option[] of mma_async */
enum { MMA_N, MMA_TYPE, MMA_FLAGS, MMA_RESULT };
enum { A_IN_REGISTERS = 1, A_MN_MAJOR = 2, B_MN_MAJOR = 4, NEGATED = 8 };

struct product {
    const struct ptx_insn *insn;
    uint64_t a, b; /* descriptors */
    bool keeps;    /* D = A B + D */
    uint32_t issued;
};

struct async_products {
    struct product *list; /* not yet done, in order */
    int32_t n, cap;
    uint64_t first; /* number of list[0], counted from the block's start */
};

static bool has_flag(const struct ptx_insn *i, int32_t flag)
{
    return (i->option[MMA_FLAGS] & flag) != 0;
}

/* --- doing a product --- */

static bool load_b(struct machine_warp *w, const struct product *p, float *b)
{
    const struct ptx_insn *const i = p->insn;
    const struct wgmma_operand o = {.descriptor = p->b,
                                    .n_mn = i->option[MMA_N],
                                    .is_mn_major = has_flag(i, B_MN_MAJOR),
                                    .type = (enum matrix_type)i->option[MMA_TYPE],
                                    .step_mn = 1,
                                    .step_k = i->option[MMA_N]};
    return wgmma_operand_load(w, i, &o, b);
}

/* a (64, k) of the four warps from `w` on */
static bool load_a(struct machine_warp *w, const struct product *p, int32_t k, float *a)
{
    const struct ptx_insn *const i = p->insn;
    const enum matrix_type t = (enum matrix_type)i->option[MMA_TYPE];
    const struct wgmma_operand o = {.descriptor = p->a,
                                    .n_mn = WGMMA_ROWS,
                                    .is_mn_major = has_flag(i, A_MN_MAJOR),
                                    .type = t,
                                    .step_mn = k,
                                    .step_k = 1};
    if (!has_flag(i, A_IN_REGISTERS)) {
        if (!wgmma_operand_load(w, i, &o, a))
            return false;
    } else {
        for (int32_t n = 0; n < WARPS; n++)
            matrix_get_rows(&w[n], i->o[1].items, k, t, a + n * WARP_ROWS * k);
    }
    for (int32_t n = 0; n < WGMMA_ROWS * k && has_flag(i, NEGATED); n++)
        a[n] = -a[n];
    return true;
}

/* w: the group's first warp */
static bool do_product(struct machine_warp *w, const struct product *p)
{
    const struct ptx_insn *const i = p->insn;
    const int32_t n = i->option[MMA_N];
    const enum matrix_type d_type = (enum matrix_type)i->option[MMA_RESULT];
    const int32_t k = WGMMA_K_BYTES /
                      matrix_type_bytes((enum matrix_type)i->option[MMA_TYPE]);
    float a[WGMMA_ROWS * WGMMA_MAX_K], b[WGMMA_MAX_K * WGMMA_MAX_N];
    float d[WARP_ROWS * WGMMA_MAX_N];
    if (!load_b(w, p, b) || !load_a(w, p, k, a))
        return false;
    for (int32_t m = 0; m < WARPS; m++) {
        if (p->keeps)
            matrix_get_tiles(&w[m], i->o[0].items, n / 8, d_type, d);
        else
            memset(d, 0, sizeof(*d) * (size_t)(WARP_ROWS * n));
        wgmma_multiply(d, a + m * WARP_ROWS * k, b, n, k);
        matrix_put_tiles(&w[m], i->o[0].items, n / 8, d_type, d);
    }
    return true;
}

/* Products before number `end` that all warps have issued. */
static bool do_products(struct machine_warp *w, struct async_products *q, uint64_t end)
{
    struct machine_warp *const first = w->block->warps + w->id / WARPS * WARPS;
    int32_t done = 0;
    bool ok = true;
    while (ok && done < q->n && q->first + (uint64_t)done < end &&
           q->list[done].issued == ALL_WARPS)
        ok = do_product(first, &q->list[done++]);
    q->first += (uint64_t)done;
    q->n -= done;
    memmove(q->list, q->list + done, (size_t)q->n * sizeof(*q->list));
    return ok;
}

/* --- issuing --- */

/* The group's queue; NULL after a fault. */
static struct async_products *queue_of(struct machine_warp *w, const struct ptx_insn *i)
{
    struct machine_block *const b = w->block;
    struct async_products **const q = &b->async->products[w->id / WARPS];
    if (w->id / WARPS * WARPS + WARPS > b->n_warps) {
        machine_fault(w, i, -1, "warp %d is not in a group of four: the block has %d",
                      (int)w->id, (int)b->n_warps);
        return NULL;
    }
    if (*q == NULL) {
        *q = calloc(1, sizeof(**q));
        CHECK(*q != NULL, "%zu bytes", sizeof(**q));
    }
    return *q;
}

/* A value that all lanes must agree on. */
static bool same_in_lanes(struct machine_warp *w, const struct ptx_insn *i, int32_t k,
                          uint64_t *out)
{
    const struct ptx_operand *const o = &i->o[k];
    const bool is_pred = o->kind == PTX_PRED;
    *out = is_pred ? async_predicate(w, o, 0) : async_value(w, o, 0);
    for (int32_t lane = 1; lane < PTX_LANES; lane++) {
        const uint64_t v = is_pred ? async_predicate(w, o, lane)
                                   : async_value(w, o, lane);
        if (v == *out)
            continue;
        machine_fault(w, i, lane, "operand %d differs between the threads", (int)k);
        return false;
    }
    return true;
}

/* The product that this warp issues; insn NULL after a fault. */
static struct product product_of(struct machine_warp *w, const struct ptx_insn *i)
{
    struct product p = {.insn = i};
    uint64_t keeps = 0;
    const bool has_a = !has_flag(i, A_IN_REGISTERS);
    if ((has_a && !same_in_lanes(w, i, 1, &p.a)) || !same_in_lanes(w, i, 2, &p.b) ||
        !same_in_lanes(w, i, 3, &keeps) ||
        (has_a && !wgmma_descriptor_check(w, i, p.a)) ||
        !wgmma_descriptor_check(w, i, p.b))
        p.insn = NULL;
    p.keeps = keeps != 0;
    return p;
}

static enum machine_next run_mma(struct machine_warp *w, const struct ptx_insn *i,
                                 uint32_t mask)
{
    const enum machine_next ready = matrix_aligned(w, i, mask);
    if (ready != MACHINE_NEXT)
        return ready;
    if (!w->async->has_fence)
        return machine_fault(w, i, -1, "no wgmma.fence before the first product");
    struct async_products *const q = queue_of(w, i);
    struct product p = product_of(w, i);
    if (q == NULL || p.insn == NULL)
        return MACHINE_FAULT;
    const int32_t at = (int32_t)(w->async->n_products++ - q->first);
    if (at == q->n) {
        q->list = async_grow(q->list, q->n, &q->cap, sizeof(*q->list));
        q->list[q->n++] = p;
    }
    struct product *const own = &q->list[at];
    if (own->insn != i || own->a != p.a || own->b != p.b || own->keeps != p.keeps)
        return machine_fault(w, i, -1,
                             "another warp of the group issued another product here: "
                             "line %d, descriptors 0x%016llx, 0x%016llx",
                             (int)own->insn->line, (unsigned long long)own->a,
                             (unsigned long long)own->b);
    own->issued |= 1u << w->id % WARPS;
    if (async_is_early() && !do_products(w, q, UINT64_MAX))
        return MACHINE_FAULT;
    return MACHINE_NEXT;
}

/* --- fence, commit, wait --- */

static enum machine_next run_fence(struct machine_warp *w, const struct ptx_insn *i,
                                   uint32_t mask)
{
    const enum machine_next ready = matrix_aligned(w, i, mask);
    if (ready == MACHINE_NEXT)
        w->async->has_fence = true;
    return ready;
}

static enum machine_next run_commit(struct machine_warp *w, const struct ptx_insn *i,
                                    uint32_t mask)
{
    const enum machine_next ready = matrix_aligned(w, i, mask);
    struct async_warp *const a = w->async;
    if (ready != MACHINE_NEXT)
        return ready;
    a->product_group = async_grow(a->product_group, a->n_product_groups,
                                  &a->cap_product_groups, sizeof(*a->product_group));
    a->product_group[a->n_product_groups++] = a->n_products;
    return MACHINE_NEXT;
}

static enum machine_next run_wait(struct machine_warp *w, const struct ptx_insn *i,
                                  uint32_t mask)
{
    const enum machine_next ready = matrix_aligned(w, i, mask);
    struct async_warp *const a = w->async;
    if (ready != MACHINE_NEXT)
        return ready;
    const int64_t due = a->n_product_groups - i->o[0].bits;
    struct async_products *const q = w->block->async->products[w->id / WARPS];
    if (due <= 0 || q == NULL)
        return MACHINE_NEXT;
    const uint64_t end = a->product_group[due - 1];
    if (!do_products(w, q, end))
        return MACHINE_FAULT;
    if (q->first < end)
        return MACHINE_WAIT;
    a->n_product_groups -= (int32_t)due;
    memmove(a->product_group, a->product_group + due,
            (size_t)a->n_product_groups * sizeof(*a->product_group));
    return MACHINE_NEXT;
}

bool wgmma_block_end(struct machine_block *b)
{
    for (int32_t g = 0; g < MACHINE_MAX_WARPS / WARPS; g++) {
        const struct async_products *const q = b->async->products[g];
        if (q == NULL || q->n == 0)
            continue;
        machine_fault(&b->warps[g * WARPS], q->list[0].insn, -1,
                      q->list[0].issued == ALL_WARPS
                          ? "the block ends and nobody waited for this product"
                          : "only some warps of the group issued this product");
        return false;
    }
    return true;
}

void wgmma_release(struct async_products *q)
{
    if (q == NULL)
        return;
    free(q->list);
    free(q);
}

/* --- bind --- */

/* "m64n256k16" with the k of the type -> 256, or 0 */
static int32_t n_of_shape(const char *shape, enum matrix_type t)
{
    const char *const depth = matrix_type_bytes(t) == 2 ? "k16" : "k8";
    if (strncmp(shape, "m64n", 4) != 0)
        return 0;
    char *end;
    const long n = strtol(shape + 4, &end, 10);
    return n >= 8 && n <= WGMMA_MAX_N && n % 8 == 0 && strcmp(end, depth) == 0
               ? (int32_t)n
               : 0;
}

static bool is_immediate(const struct ptx_operand *o, int64_t least, int64_t most)
{
    return o->kind == PTX_IMM && o->bits >= least && o->bits <= most;
}

/* Signs, and for 16-bit types which operands are MN-major. */
static bool bind_immediates(struct ptx_insn *i, bool in_registers, bool has_major)
{
    const int32_t n_major = !has_major ? 0 : in_registers ? 1 : 2;
    if (i->n_operands != 6 + n_major)
        return false;
    int64_t sign = 1;
    for (int32_t k = 4; k < 6; k++) {
        if (!is_immediate(&i->o[k], -1, 1) || i->o[k].bits == 0)
            return false;
        sign *= i->o[k].bits;
    }
    for (int32_t k = 6; k < i->n_operands; k++)
        if (!is_immediate(&i->o[k], 0, 1))
            return false;
    i->option[MMA_FLAGS] = (in_registers ? A_IN_REGISTERS : 0) |
                           (sign < 0 ? NEGATED : 0) |
                           (n_major == 2 && i->o[6].bits != 0 ? A_MN_MAJOR : 0) |
                           (n_major > 0 && i->o[5 + n_major].bits != 0 ? B_MN_MAJOR
                                                                       : 0);
    return true;
}

/* wgmma.mma_async.sync.aligned.shape.dtype.atype.btype d, a, b-desc, scale-d,
 * imm-scale-a, imm-scale-b{, imm-trans-a}{, imm-trans-b} */
ptx_run_fn wgmma_mma_bind(struct ptx_insn *i)
{
    if (i->n_parts != 8 || !ptx_has(i, "sync") || !ptx_has(i, "aligned"))
        return NULL;
    const enum matrix_type d = matrix_type_of(i->part[5]),
                           t = matrix_type_of(i->part[6]);
    if (t != matrix_type_of(i->part[7]) || t == MATRIX_F32 || t == MATRIX_NONE ||
        (d != MATRIX_F32 && !(d == MATRIX_F16 && t == MATRIX_F16)))
        return NULL;
    const int32_t n = n_of_shape(i->part[4], t);
    const bool in_registers = i->o[1].kind == PTX_VECTOR;
    if (n == 0 || !bind_immediates(i, in_registers, t != MATRIX_TF32))
        return NULL;
    if (i->o[0].kind != PTX_VECTOR ||
        i->o[0].n_items != n / (d == MATRIX_F16 ? 4 : 2) || !ptx_want(i, 0, 4) ||
        !ptx_want(i, 1, in_registers ? 4 : 8) ||
        (in_registers && i->o[1].n_items != 4) || !ptx_want(i, 2, 8) ||
        !ptx_want_pred(i, 3))
        return NULL;
    i->option[MMA_N] = n;
    i->option[MMA_TYPE] = (int32_t)t;
    i->option[MMA_RESULT] = (int32_t)d;
    return run_mma;
}

ptx_run_fn wgmma_group_bind(struct ptx_insn *i)
{
    if (!ptx_has(i, "sync") || !ptx_has(i, "aligned"))
        return NULL;
    if (ptx_has(i, "wait_group"))
        return i->n_operands == 1 && is_immediate(&i->o[0], 0, INT32_MAX) ? run_wait
                                                                          : NULL;
    if (i->n_operands != 0)
        return NULL;
    return ptx_has(i, "fence") ? run_fence : run_commit;
}
