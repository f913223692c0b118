/*
 * The shadow of shared memory: for each word a list of the accesses that a later one
 * may race with. An access by lanes of one warp at one time and of one kind is one
 * entry; a write takes the place of what it overwrites, a lane's read that of its
 * earlier reads, and what all threads know has no entry.
 *
 * Clocks (race_clock.c): an access is known to a thread whose clock of the accessor has
 * reached the time of the access.
 */
#include "emulator/race.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulator/race_clock.h"

enum kind { READ, WRITE, ATOMIC };
enum { NONE = 0, WORD = 4 };

struct entry {
    const struct ptx_insn *insn;
    uint32_t next; /* entry of the same word; NONE: the last */
    uint32_t time; /* of its warp or copy */
    uint32_t lanes;
    int16_t who;   /* a warp, or RACE_FIRST_COPY + k */
    uint8_t bytes; /* of the word, a bit each */
    uint8_t kind;
};

struct race_block {
    struct race_clocks clocks;
    uint32_t *first;       /* (shared words) entries; NONE */
    struct entry *entries; /* [0] is no entry */
    uint32_t n_entries, cap_entries, free_entry;
    const struct ptx_insn *seen; /* the last instruction asked about, and whether its */
    bool is_strong;              /* accesses are morally strong */
};

/* An access under way. */
struct access {
    struct machine_warp *w;
    const struct ptx_insn *i;
    int32_t lane; /* whose clock counts */
    struct entry as;
};

int race_block_start(struct machine_block *b)
{
    struct race_block *const r = calloc(1, sizeof(*r));
    if (r == NULL)
        return ERR(ERR_MEMORY, "the race checker of a block");
    b->race = r;
    r->n_entries = 1;
    r->first = calloc(b->shared_bytes / WORD + 1, sizeof(*r->first));
    if (r->first == NULL || race_clocks_init(&r->clocks, b->n_warps) != STATUS_OK) {
        race_block_end(b);
        return ERR(ERR_MEMORY, "the race checker of a block of %d warps", b->n_warps);
    }
    return STATUS_OK;
}

void race_block_end(struct machine_block *b)
{
    struct race_block *const r = b->race;
    if (r == NULL)
        return;
    race_clocks_release(&r->clocks);
    free(r->first);
    free(r->entries);
    free(r);
    b->race = NULL;
}

/* --- entries --- */
static uint32_t take_entry(struct race_block *r)
{
    if (r->free_entry != NONE) {
        const uint32_t e = r->free_entry;
        r->free_entry = r->entries[e].next;
        return e;
    }
    if (r->n_entries >= r->cap_entries) {
        r->cap_entries = r->cap_entries == 0 ? 1024 : 2 * r->cap_entries;
        r->entries = realloc(r->entries, r->cap_entries * sizeof(*r->entries));
        CHECK(r->entries != NULL, "%u entries of the race checker", r->cap_entries);
    }
    return r->n_entries++;
}

/* Takes the entry that *link names out of its list. */
static void drop_entry(struct race_block *r, uint32_t *link)
{
    const uint32_t e = *link;
    *link = r->entries[e].next;
    r->entries[e].next = r->free_entry;
    r->free_entry = e;
}

/* --- conflicts --- */
static bool is_strong(struct race_block *r, const struct ptx_insn *i)
{
    static const char *const PARTS[] = {"volatile", "relaxed", "acquire", "release",
                                        "acq_rel",  "mmio",    NULL};
    if (r->seen != i) {
        r->seen = i;
        r->is_strong = ptx_which(i, PARTS) >= 0;
    }
    return r->is_strong;
}

static bool same_lane_values(const struct machine_warp *w, const struct ptx_operand *o,
                             int32_t a, int32_t b)
{
    if (o->kind == PTX_VECTOR) {
        for (int32_t k = 0; k < o->n_items; k++) {
            if (!same_lane_values(w, &o->items[k], a, b))
                return false;
        }
        return true;
    }
    if (o->kind != PTX_REG)
        return o->kind == PTX_IMM;
    if (o->bytes == 4)
        return machine_u32(w, o->slot)[a] == machine_u32(w, o->slot)[b];
    return o->bytes == 8 && machine_u64(w, o->slot)[a] == machine_u64(w, o->slot)[b];
}

/* Do two lanes store the same in one run of an instruction? */
static bool is_agreed(const struct access *a, const struct entry *e, int32_t lane)
{
    return e->kind == WRITE && a->as.kind == WRITE && e->insn == a->i &&
           e->who == a->as.who && e->time == a->as.time &&
           strcmp(a->i->part[0], "st") == 0 && a->i->n_operands >= 2 &&
           same_lane_values(a->w, &a->i->o[1], a->lane, lane);
}

/* A lane of e that the access knows nothing of; -1: none. */
static int32_t unordered_lane(const struct race_block *r, const struct access *a,
                              const struct entry *e)
{
    const bool is_own_warp = e->who == a->w->id;
    for (uint32_t left = e->lanes; left != 0; left &= left - 1) {
        const int32_t lane = __builtin_ctz(left);
        if (is_own_warp && lane == a->lane)
            continue;
        if (race_known(&r->clocks, a->w->id, a->lane, e->who, lane) < e->time &&
            !is_agreed(a, e, lane))
            return lane;
    }
    return -1;
}

static const char *verb(const struct entry *e)
{
    static const char *const VERBS[] = {"reads", "writes", "updates"};
    return VERBS[e->kind];
}

static bool report(const struct access *a, const struct entry *e, int32_t lane,
                   uint32_t off)
{
    char who[64];
    if (e->who >= RACE_FIRST_COPY)
        (void)snprintf(who, sizeof(who), "an asynchronous copy");
    else
        (void)snprintf(who, sizeof(who), "thread %d of the block",
                       e->who * PTX_LANES + lane);
    (void)machine_fault(a->w, a->i, a->lane,
                        "a race: it %s shared offset %u, which %s %s at PTX line %d, "
                        "and nothing orders the two",
                        verb(&a->as), off, who, verb(e),
                        e->insn != NULL ? e->insn->line : 0);
    return false;
}

/* --- accesses --- */
/* Will the new access say for these what the entry said? */
static void supersede(struct entry *e, const struct access *a)
{
    const struct entry *const n = &a->as;
    if (n->kind == WRITE)
        e->bytes &= (uint8_t)~n->bytes;
    else if (e->kind == n->kind && e->who == n->who && (e->bytes & ~n->bytes) == 0)
        e->lanes &= ~n->lanes;
}

static bool visit_word(struct race_block *r, const struct access *a, uint32_t word)
{
    const struct entry *const n = &a->as;
    uint32_t *link = &r->first[word];
    uint32_t same = NONE;
    while (*link != NONE) {
        struct entry *const e = &r->entries[*link];
        if (e->time <= race_known_to_all(&r->clocks, e->who)) {
            drop_entry(r, link);
            continue;
        }
        const bool is_pair = (e->bytes & n->bytes) != 0 &&
                             (e->kind == WRITE || n->kind == WRITE ||
                              e->kind != n->kind);
        const int32_t lane = is_pair ? unordered_lane(r, a, e) : -1;
        if (lane >= 0) {
            const uint32_t byte = (uint32_t)__builtin_ctz(e->bytes & n->bytes);
            return report(a, e, lane, word * WORD + byte);
        }
        supersede(e, a);
        if (e->bytes == 0 || e->lanes == 0) {
            drop_entry(r, link);
            continue;
        }
        if (n->kind != WRITE && e->kind == n->kind && e->who == n->who &&
            e->time == n->time && e->bytes == n->bytes)
            same = *link;
        link = &e->next;
    }
    if (same != NONE) {
        r->entries[same].lanes |= n->lanes;
        return true;
    }
    const uint32_t added = take_entry(r);
    r->entries[added] = *n;
    r->entries[added].next = r->first[word];
    r->first[word] = added;
    return true;
}

static bool visit(struct race_block *r, struct access *a, uint32_t off, size_t bytes)
{
    const uint32_t end = off + (uint32_t)bytes;
    for (uint32_t word = off / WORD; word * WORD < end; word++) {
        const uint32_t from = word * WORD < off ? off - word * WORD : 0;
        const uint32_t to = end - word * WORD < WORD ? end - word * WORD : WORD;
        a->as.bytes = (uint8_t)((1u << to) - (1u << from));
        if (!visit_word(r, a, word))
            return false;
    }
    return true;
}

bool race_shared(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                 uint32_t off, size_t bytes, enum machine_access access)
{
    static const uint8_t KINDS[] = {
        [MACHINE_READ] = READ, [MACHINE_WRITE] = WRITE, [MACHINE_ATOMIC] = ATOMIC};
    struct race_block *const r = w->block->race;
    if (lane < 0 && (access == MACHINE_WRITE || w->alive == 0))
        return true;
    const int32_t who = lane < 0 ? __builtin_ctz(w->alive) : lane;
    struct access a = {.w = w, .i = i, .lane = who};
    a.as = (struct entry){.insn = i,
                          .time = race_now(&r->clocks, w->id),
                          .lanes = 1u << who,
                          .who = (int16_t)w->id,
                          .kind = is_strong(r, i) ? ATOMIC : KINDS[access]};
    return visit(r, &a, off, bytes);
}

bool race_async_write(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                      uint32_t off, size_t bytes, uint32_t barrier)
{
    struct race_block *const r = w->block->race;
    struct access a = {.w = w, .i = i, .lane = lane};
    uint32_t time = 0;
    const int32_t copy = race_copy_begin(&r->clocks, barrier, &time);
    a.as = (struct entry){
        .insn = i, .time = time, .lanes = 1, .who = (int16_t)copy, .kind = WRITE};
    return visit(r, &a, off, bytes);
}

void race_barrier(struct machine_block *b, uint32_t warps)
{
    uint32_t all = 0;
    for (int32_t k = 0; k < b->n_warps; k++)
        all |= (uint32_t)(b->warps[k].alive != 0) << k;
    race_join_warps(&b->race->clocks, warps, (all & ~warps) == 0);
}

void race_warp_sync(struct machine_warp *w, uint32_t lanes)
{
    race_join_lanes(&w->block->race->clocks, w->id, lanes);
}

void race_release(struct machine_warp *w, int32_t lane, uint32_t off)
{
    race_give(&w->block->race->clocks, w->id, lane, off);
}

void race_acquire(struct machine_warp *w, int32_t lane, uint32_t off)
{
    race_take(&w->block->race->clocks, w->id, lane, off);
}
