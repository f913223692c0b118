/*
 * The end of a kernel: addresses of dynamic shared memory, meanings (machine_bind), and
 * slots of immediates, one for each value and layout.
 */
#include "emulator/ptx_parse.h"

#include <stdio.h>
#include <string.h>

#include "emulator/machine.h"

enum { DYNAMIC_ALIGN = 1024, LOCAL_ALIGN = 16, FILE_ALIGN = 64 };

void ptx_add_const(struct ptx_build *b, const struct ptx_const *c)
{
    struct ptx_kernel *k = &b->kernel;
    b->consts = ptx_grown(b->consts, k->n_consts, &b->consts_cap, sizeof *b->consts);
    b->consts[k->n_consts++] = *c;
    k->consts = b->consts;
}

/* Dynamic shared memory lies behind what the kernel declares. */
static void place_dynamic(struct ptx_build *b)
{
    if (b->n_dynamic == 0)
        return;
    struct ptx_kernel *k = &b->kernel;
    k->shared_bytes = (k->shared_bytes + DYNAMIC_ALIGN - 1) & -DYNAMIC_ALIGN;
    for (int64_t i = 0; i < b->n_dynamic; i++)
        b->dynamic[i]->bits += k->shared_bytes;
}

/* --- the end of the instructions --- */

static bool is_end(const struct ptx_insn *i)
{
    return i->guard < 0 &&
           (strcmp(i->part[0], "ret") == 0 || strcmp(i->part[0], "exit") == 0);
}

static bool has_label_behind(const struct ptx_kernel *k)
{
    for (int32_t i = 0; i < k->n_insns; i++) {
        const struct ptx_insn *insn = &k->insns[i];
        for (int32_t j = 0; j < insn->n_operands; j++) {
            const struct ptx_operand *o = &insn->o[j];
            if (o->kind == PTX_LABEL && o->bits == k->n_insns)
                return true;
            for (int32_t m = 0; m < o->n_items; m++)
                if (o->items[m].kind == PTX_LABEL && o->items[m].bits == k->n_insns)
                    return true;
        }
    }
    return false;
}

/* A body that runs into its closing brace returns there. */
static void close_body(struct ptx_build *b, const struct ptx_lex *l)
{
    struct ptx_kernel *k = &b->kernel;
    if (k->n_insns > 0 && is_end(&k->insns[k->n_insns - 1]) && !has_label_behind(k))
        return;
    CHECK(k->n_insns < b->cap, "no room for a ret behind %d instructions", k->n_insns);
    b->places[k->n_insns] = l->t.text;
    k->insns[k->n_insns++] = (struct ptx_insn){
        .guard = -1, .part = {"ret"}, .n_parts = 1, .line = l->t.line};
}

static int bind_all(struct ptx_parser *p)
{
    struct ptx_build *b = &p->build;
    for (int32_t i = 0; i < b->kernel.n_insns; i++) {
        if (machine_bind(&b->kernel.insns[i]) == 0)
            continue;
        const char *place = b->places[i];
        const char *end = place;
        while (end < p->lex.end && *end != ';' && *end != '\n' && end - place < 200)
            end++;
        char why[512];
        snprintf(why, sizeof why, "%s", status_message());
        return ptx_lex_error_at(&p->lex, place, "%s: '%.*s'", why, (int)(end - place),
                                place);
    }
    return 0;
}

/* --- immediates --- */

struct pool {
    int32_t *index; /* of the constant, by hash; -1: free */
    int64_t size;   /* a power of two */
};

static int64_t count_immediates(const struct ptx_operand *o, int32_t n)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += (o[i].kind == PTX_IMM) + count_immediates(o[i].items, o[i].n_items);
    return sum;
}

/* What the lanes of the slot hold: the value's low bytes. */
static uint64_t lane_bits(const struct ptx_operand *o)
{
    if (o->bytes == 1)
        return o->bits != 0;
    const uint64_t bits = (uint64_t)o->bits;
    return o->width < 8 ? bits & (((uint64_t)1 << o->width * 8) - 1) : bits;
}

static int intern_bits(struct ptx_parser *p, const struct pool *pool, uint64_t bits,
                       int32_t bytes, int32_t *slot_out)
{
    struct ptx_build *b = &p->build;
    uint64_t h = (bits + (uint64_t)bytes) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
    int64_t at = (int64_t)(h & (uint64_t)(pool->size - 1));
    for (; pool->index[at] >= 0; at = (at + 1) & (pool->size - 1)) {
        const struct ptx_const *c = &b->consts[pool->index[at]];
        if (c->bits == bits && c->bytes == bytes) {
            *slot_out = c->slot;
            return 0;
        }
    }
    struct ptx_const c = {.kind = PTX_CONST_BITS, .bytes = bytes, .bits = bits};
    TRY(ptx_new_slots(p, bytes, 1, &c.slot));
    pool->index[at] = b->kernel.n_consts;
    ptx_add_const(b, &c);
    *slot_out = c.slot;
    return 0;
}

static int place_immediates(struct ptx_parser *p, const struct pool *pool,
                            const char *place, struct ptx_operand *o, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        TRY(place_immediates(p, pool, place, o[i].items, o[i].n_items));
        if (o[i].kind != PTX_IMM)
            continue;
        if (o[i].is_float && o[i].width < 4)
            return ptx_lex_error_at(&p->lex, place, "a float where an integer belongs");
        if (!o[i].is_float && o[i].bytes != 1 && !ptx_fits(o[i].bits, o[i].width))
            return ptx_lex_error_at(&p->lex, place, "%lld does not fit %d bytes",
                                    (long long)o[i].bits, o[i].width);
        TRY(intern_bits(p, pool, lane_bits(&o[i]), o[i].bytes, &o[i].slot));
    }
    return 0;
}

static int place_all(struct ptx_parser *p)
{
    const struct ptx_build *b = &p->build;
    int64_t n = 1;
    for (int32_t i = 0; i < b->kernel.n_insns; i++)
        n += count_immediates(b->kernel.insns[i].o, b->kernel.insns[i].n_operands);
    struct pool pool = {.size = 1};
    while (pool.size < 2 * n)
        pool.size *= 2;
    pool.index = mem_alloc((size_t)pool.size * sizeof *pool.index);
    memset(pool.index, 0xff, (size_t)pool.size * sizeof *pool.index);
    int status = 0;
    for (int32_t i = 0; i < b->kernel.n_insns; i++) {
        struct ptx_insn *insn = &b->kernel.insns[i];
        TRY_OUT(place_immediates(p, &pool, b->places[i], insn->o, insn->n_operands));
    }
out:
    mem_free(pool.index);
    return status;
}

int ptx_finish(struct ptx_parser *p)
{
    struct ptx_build *b = &p->build;
    close_body(b, &p->lex);
    place_dynamic(b);
    TRY(bind_all(p));
    TRY(place_all(p));
    struct ptx_kernel *k = &b->kernel;
    k->local_bytes = (k->local_bytes + LOCAL_ALIGN - 1) & -LOCAL_ALIGN;
    k->file_bytes = (k->file_bytes + FILE_ALIGN - 1) & ~(size_t)(FILE_ALIGN - 1);
    return 0;
}
