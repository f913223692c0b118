/*
 * The scheduler: which lanes run which instruction next.
 *
 * A warp is a set of splits, lanes with a common pc. The split of the lowest pc runs;
 * when its pc reaches another's, the two become one. A split whose instruction answers
 * MACHINE_WAIT is set aside for this turn of the warp, and its guarded-off lanes go on
 * without it. It is tried again when others join it and at the warp's next turn.
 *
 * Lanes that spin on what a split of higher pc must do would starve it: a warp that has
 * used up PATIENCE turns in a row while diverged sets the split that ran aside for one.
 *
 * The block gives each warp a turn per round. Seed 0: in order of ids and for a fixed
 * quantum; otherwise both are drawn anew each time, so that runs of other seeds see
 * other interleavings.
 */
#include "emulator/scheduler.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "emulator/async.h"
#include "emulator/settings.h"

enum {
    QUANTUM = 4096,
    DRAWN_QUANTUM = 256, /* the longest of those drawn */
    PATIENCE = 4
};
/* Instructions after which a warp counts as hung: minutes, where no kernel of ours
 * takes more than seconds. */
static const uint64_t hung_after = (uint64_t)1 << 32;

static void remove_split(struct machine_warp *w, int32_t s)
{
    const int32_t last = --w->n_splits;
    w->split[s] = w->split[last];
    const uint32_t moved = w->waiting >> last & 1;
    w->waiting &= ~((uint32_t)1 << last | (uint32_t)1 << s);
    if (s != last)
        w->waiting |= moved << s;
}

/* Splits that met become one, which is then no longer set aside. */
static void merge_splits(struct machine_warp *w)
{
    for (int32_t a = 0; a < w->n_splits; a++) {
        for (int32_t b = w->n_splits - 1; b > a; b--) {
            if (w->split[a].pc != w->split[b].pc)
                continue;
            w->split[a].mask |= w->split[b].mask;
            w->waiting &= ~((uint32_t)1 << a);
            remove_split(w, b);
        }
    }
}

/* The runnable split of the lowest pc, or -1; *limit: the pc where it meets another. */
static int32_t pick_split(struct machine_warp *w, int32_t *limit)
{
    *limit = INT32_MAX;
    if (w->n_splits == 1)
        return (w->waiting & 1) != 0 ? -1 : 0;
    merge_splits(w);
    int32_t best = -1;
    for (int32_t s = 0; s < w->n_splits; s++) {
        if ((w->waiting >> s & 1) == 0 &&
            (best < 0 || w->split[s].pc < w->split[best].pc))
            best = s;
    }
    for (int32_t s = 0; s < w->n_splits && best >= 0; s++) {
        if (w->split[s].pc > w->split[best].pc && w->split[s].pc < *limit)
            *limit = w->split[s].pc;
    }
    return best;
}

enum machine_next machine_jump(struct machine_warp *w, const struct ptx_insn *i,
                               uint32_t lanes, int32_t pc)
{
    struct machine_split *const now = &w->split[w->current];
    if (lanes == now->mask) {
        now->pc = pc;
        return MACHINE_JUMP;
    }
    now->mask &= ~lanes;
    now->pc = machine_pc(w, i) + 1;
    w->split[w->n_splits++] = (struct machine_split){.pc = pc, .mask = lanes};
    return MACHINE_JUMP;
}

enum machine_next machine_exit(struct machine_warp *w, const struct ptx_insn *i,
                               uint32_t lanes)
{
    struct machine_split *const now = &w->split[w->current];
    w->alive &= ~lanes;
    now->mask &= ~lanes;
    now->pc = machine_pc(w, i) + 1;
    if (now->mask == 0)
        remove_split(w, w->current);
    return MACHINE_JUMP;
}

/* The lanes of `waits` stay where they are, set aside; the split's others go on. */
static void set_aside(struct machine_warp *w, uint32_t waits)
{
    struct machine_split *const now = &w->split[w->current];
    const uint32_t others = now->mask & ~waits;
    w->waiting |= (uint32_t)1 << w->current;
    if (others == 0)
        return;
    now->mask = waits;
    w->split[w->n_splits++] = (struct machine_split){.pc = now->pc + 1, .mask = others};
}

/* The hot loop: one split from its pc on, until it meets `limit`, waits, or moves lanes
 * apart. Returns the instructions left of the quantum; -1 after a fault. */
static int64_t run_split(struct machine_warp *w, int32_t limit, int64_t left)
{
    struct machine_split *const now = &w->split[w->current];
    const struct ptx_insn *const insns = w->block->launch->kernel->insns;
    const bool is_alone = w->n_splits == 1;
    while (left > 0 && now->pc < limit) {
        const struct ptx_insn *const i = &insns[now->pc];
        uint32_t mask = now->mask;
        left--;
        if (i->guard >= 0) {
            mask &= *machine_pred(w, i->guard) ^ (uint32_t) - (int32_t)i->guard_not;
            if (mask == 0) {
                now->pc++;
                continue;
            }
        }
        switch (i->run(w, i, mask)) {
        case MACHINE_NEXT:
            now->pc++;
            break;
        case MACHINE_JUMP:
            if (!is_alone || w->n_splits != 1)
                return left;
            break;
        case MACHINE_WAIT:
            set_aside(w, mask);
            return left + 1; /* it was not done */
        case MACHINE_FAULT:
            return -1;
        }
    }
    return left;
}

/* A turn of a warp that has used its quantum while diverged. */
static void lose_patience(struct machine_warp *w)
{
    if (w->n_splits <= 1 || ++w->patience < PATIENCE)
        return;
    w->patience = 0;
    w->waiting = (uint32_t)1 << w->current;
}

/* Runs the warp until all its lanes wait or have exited, a fault, or `quantum`
 * instructions. Adds what was done to the block's progress. */
static void run_turn(struct machine_warp *w, int64_t quantum)
{
    int64_t left = quantum;
    bool has_excluded = w->waiting != 0 && !w->is_waiting;
    if (!has_excluded)
        w->waiting = 0;
    w->is_waiting = false;
    while (w->n_splits > 0 && left > 0) {
        int32_t limit = INT32_MAX;
        const int32_t s = pick_split(w, &limit);
        if (s < 0 && !has_excluded) {
            w->is_waiting = true;
            w->patience = 0;
            break;
        }
        if (s < 0) {
            w->waiting = 0;
            has_excluded = false;
            continue;
        }
        w->current = s;
        left = run_split(w, limit, left);
        if (left < 0)
            return;
    }
    w->block->progress += (uint64_t)(quantum - left);
    w->n_done += (uint64_t)(quantum - left);
    if (!w->is_waiting) {
        w->waiting = 0;
        lose_patience(w);
    }
    if (w->n_done > hung_after)
        (void)machine_fault(w, NULL, -1,
                            "hung: a warp has run %llu instructions without an end",
                            (unsigned long long)w->n_done);
}

/* What each warp that has not exited waits for. */
static void report_deadlock(struct machine_block *b)
{
    const struct ptx_kernel *const k = b->launch->kernel;
    char text[MACHINE_TEXT - 1024];
    size_t used = 0;
    struct machine_warp *first = NULL;
    for (int32_t n = 0; n < b->n_warps; n++) {
        struct machine_warp *const w = &b->warps[n];
        if (first == NULL && w->n_splits > 0)
            first = w;
        for (int32_t s = 0; s < w->n_splits && used + 1 < sizeof(text); s++) {
            char name[128];
            const struct ptx_insn *const i = &k->insns[w->split[s].pc];
            const int wrote = snprintf(text + used, sizeof(text) - used,
                                       "\n  warp %d, lanes 0x%08x: PTX line %d: %s", n,
                                       w->split[s].mask, i->line,
                                       ptx_mnemonic(i, name, sizeof(name)));
            used += wrote > 0 ? (size_t)wrote : 0;
        }
    }
    if (used >= sizeof(text))
        used = sizeof(text) - 1;
    text[used] = 0;
    if (first != NULL)
        (void)machine_fault(
            first, &k->insns[first->split[0].pc], -1,
            "deadlock: all warps that have not exited wait, and nothing "
            "is pending:%s",
            text);
    b->has_fault = true;
}

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t block_seed(const struct machine_block *b, uint64_t seed)
{
    uint64_t state = seed ^ ((uint64_t)(uint32_t)b->id.x << 32 | (uint32_t)b->id.y);
    (void)draw(&state);
    state ^= (uint32_t)b->id.z;
    return draw(&state);
}

static void shuffle(int32_t *order, int32_t n, uint64_t *rng)
{
    for (int32_t k = n - 1; k > 0; k--) {
        const int32_t other = (int32_t)(draw(rng) % (uint64_t)(k + 1));
        const int32_t kept = order[k];
        order[k] = order[other];
        order[other] = kept;
    }
}

/* One turn of every warp; whether any has lanes left. */
static bool run_round(struct machine_block *b, const int32_t *order, uint64_t *rng)
{
    bool has_lanes = false;
    for (int32_t n = 0; n < b->n_warps && !b->has_fault; n++) {
        struct machine_warp *const w = &b->warps[order[n]];
        if (w->n_splits == 0)
            continue;
        const bool is_drawn = rng != NULL;
        run_turn(w, is_drawn ? 1 + (int64_t)(draw(rng) % DRAWN_QUANTUM) : QUANTUM);
        has_lanes |= w->n_splits > 0;
    }
    return has_lanes;
}

void machine_run_warps(struct machine_block *b)
{
    const uint64_t seed = emulator_settings()->seed;
    int32_t order[MACHINE_MAX_WARPS];
    uint64_t rng = block_seed(b, seed);
    int32_t n_idle = 0;
    for (int32_t n = 0; n < b->n_warps; n++)
        order[n] = n;
    for (;;) {
        const uint64_t before = b->progress;
        if (seed != 0)
            shuffle(order, b->n_warps, &rng);
        const bool has_lanes = run_round(b, order, seed != 0 ? &rng : NULL);
        if (!has_lanes || b->has_fault)
            return;
        if (b->state != NULL &&
            atomic_load_explicit(&b->state->is_stopped, memory_order_relaxed))
            return;
        /* An arrival answers MACHINE_WAIT, too: only the second idle round is final. */
        n_idle = b->progress == before ? n_idle + 1 : 0;
        if (n_idle < 2)
            continue;
        n_idle = 0;
        if (!async_push(b)) {
            if (!b->has_fault)
                report_deadlock(b);
            return;
        }
    }
}
