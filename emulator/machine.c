/*
 * A launch: its blocks, spread over as many threads as OpenMP would use.
 *
 * Each thread runs its blocks one after the other in a context: shared memory, register
 * files and local memory for the largest block. Contexts outlive launches, in a pool,
 * so that the many small launches of a program do not pay for fresh pages.
 */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "emulator/async.h"
#include "emulator/counts.h"
#include "emulator/race.h"
#include "emulator/scheduler.h"
#include "emulator/settings.h"
#include "emulator/workers.h"

enum {
    MAX_THREADS = 1024, /* of a block */
    MAX_GRID_YZ = 65535,
    DYNAMIC_ALIGN = 1024,
    PAGE = 4096,
    UNWRITTEN = 0xff /* what memory holds before it is written: NaNs */
};

struct bytes {
    uint8_t *data;
    size_t size;
};

struct context {
    struct context *next; /* in the pool */
    struct bytes shared, files, local;
    struct barrier_state *barriers;
    struct machine_warp warps[MACHINE_MAX_WARPS];
};

static struct {
    pthread_mutex_t lock;
    struct context *first;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The pool grows by what runs at once, at any time of a run: not counted as an
 * allocation of the program, which core/mem.h's would be. */
static void grow(struct bytes *b, size_t bytes)
{
    if (bytes <= b->size)
        return;
    free(b->data);
    b->size = (bytes + PAGE - 1) / PAGE * PAGE;
    b->data = aligned_alloc(PAGE, b->size);
    CHECK(b->data != NULL, "no memory for %zu bytes of the emulator's registers",
          b->size);
    memset(b->data, UNWRITTEN, b->size);
}

static struct context *take_context(void)
{
    pthread_mutex_lock(&pool.lock);
    struct context *c = pool.first;
    if (c != NULL)
        pool.first = c->next;
    pthread_mutex_unlock(&pool.lock);
    if (c != NULL)
        return c;
    c = calloc(1, sizeof(*c));
    CHECK(c != NULL, "no memory for a block of the emulator");
    c->barriers = barrier_create();
    return c;
}

static void give_context(struct context *c)
{
    pthread_mutex_lock(&pool.lock);
    c->next = pool.first;
    pool.first = c;
    pthread_mutex_unlock(&pool.lock);
}

static int32_t n_threads_of(const struct machine_launch *l)
{
    return l->block.x * l->block.y * l->block.z;
}

static int32_t n_warps_of(const struct machine_launch *l)
{
    return (n_threads_of(l) + PTX_LANES - 1) / PTX_LANES;
}

static size_t shared_bytes_of(const struct machine_launch *l)
{
    const size_t declared = (size_t)l->kernel->shared_bytes;
    const size_t begin = (declared + DYNAMIC_ALIGN - 1) / DYNAMIC_ALIGN * DYNAMIC_ALIGN;
    return l->dynamic_bytes > 0 ? begin + l->dynamic_bytes : declared;
}

static uint32_t fill_special(const struct machine_warp *w, enum ptx_const_kind kind,
                             int32_t lane)
{
    const struct machine_dim n = w->block->launch->block;
    const struct machine_dim grid = w->block->launch->grid;
    const int32_t t = w->id * PTX_LANES + lane;
    const uint32_t bit = (uint32_t)1 << lane;
    switch (kind) {
    case PTX_CONST_BITS:
        break;
    case PTX_TID_X:
        return (uint32_t)(t % n.x);
    case PTX_TID_Y:
        return (uint32_t)(t / n.x % n.y);
    case PTX_TID_Z:
        return (uint32_t)(t / n.x / n.y);
    case PTX_NTID_X:
        return (uint32_t)n.x;
    case PTX_NTID_Y:
        return (uint32_t)n.y;
    case PTX_NTID_Z:
        return (uint32_t)n.z;
    case PTX_CTAID_X:
        return (uint32_t)w->block->id.x;
    case PTX_CTAID_Y:
        return (uint32_t)w->block->id.y;
    case PTX_CTAID_Z:
        return (uint32_t)w->block->id.z;
    case PTX_NCTAID_X:
        return (uint32_t)grid.x;
    case PTX_NCTAID_Y:
        return (uint32_t)grid.y;
    case PTX_NCTAID_Z:
        return (uint32_t)grid.z;
    case PTX_LANEID:
        return (uint32_t)lane;
    case PTX_WARPID:
        return (uint32_t)w->id;
    case PTX_SMID:
        return (uint32_t)(w->block->id.x % emulator_settings()->n_sms);
    case PTX_LANEMASK_LT:
        return bit - 1;
    case PTX_LANEMASK_LE:
        return bit | (bit - 1);
    case PTX_LANEMASK_EQ:
        return bit;
    case PTX_LANEMASK_GE:
        return ~(bit - 1);
    case PTX_LANEMASK_GT:
        return ~(bit | (bit - 1));
    }
    return 0;
}

static void fill_const(struct machine_warp *w, const struct ptx_const *c)
{
    const bool is_special = c->kind != PTX_CONST_BITS;
    if (c->bytes == 1) {
        *machine_pred(w, c->slot) = c->bits != 0 ? ~(uint32_t)0 : 0;
        return;
    }
    for (int32_t lane = 0; lane < PTX_LANES; lane++) {
        const uint64_t v = is_special ? fill_special(w, c->kind, lane) : c->bits;
        if (c->bytes == 4)
            machine_u32(w, c->slot)[lane] = (uint32_t)v;
        else
            machine_u64(w, c->slot)[lane] = v;
        if (c->bytes == 16) /* the high half, of a sign-extended value */
            machine_u64(w, c->slot)[PTX_LANES + lane] = (uint64_t)((int64_t)v >> 63);
    }
}

/* What changes from block to block of a launch. */
static bool is_of_block(enum ptx_const_kind kind)
{
    return kind == PTX_CTAID_X || kind == PTX_CTAID_Y || kind == PTX_CTAID_Z ||
           kind == PTX_SMID;
}

/* is_fresh: the register file was another launch's, so all constants are written. */
static void start_warp(struct context *c, struct machine_block *b, int32_t id,
                       bool is_fresh)
{
    const struct ptx_kernel *const k = b->launch->kernel;
    const int32_t n_left = n_threads_of(b->launch) - id * PTX_LANES;
    const uint32_t lanes = n_left >= PTX_LANES ? ~(uint32_t)0
                                               : ((uint32_t)1 << n_left) - 1;
    const size_t local = (size_t)k->local_bytes * PTX_LANES;
    struct machine_warp *const w = &c->warps[id];
    *w = (struct machine_warp){
        .file = c->files.data + (size_t)id * k->file_bytes,
        .block = b,
        .id = id,
        .alive = lanes,
        .exist = lanes,
        .split = {{.pc = 0, .mask = lanes}},
        .n_splits = 1,
        .local = c->local.data + (size_t)id * local,
    };
    if (local > 0)
        memset(w->local, UNWRITTEN, local);
    if (is_fresh && emulator_settings()->has_races)
        memset(w->file, UNWRITTEN, k->file_bytes);
    for (int32_t n = 0; n < k->n_consts; n++) {
        if (is_fresh || is_of_block(k->consts[n].kind))
            fill_const(w, &k->consts[n]);
    }
}

static struct machine_dim block_id(const struct machine_launch *l, int64_t n)
{
    return (struct machine_dim){(int32_t)(n % l->grid.x),
                                (int32_t)(n / l->grid.x % l->grid.y),
                                (int32_t)(n / l->grid.x / l->grid.y)};
}

/* A status of async_ or race_ functions that machine_fault has not heard of. */
static void note(struct machine_block *b, int status)
{
    if (status != STATUS_OK && !b->has_fault)
        (void)machine_fault(&b->warps[0], NULL, -1, "%s", status_message());
}

static void run_block(struct context *c, struct machine_state *state, int64_t n,
                      bool is_fresh, struct counts_kernel *counts)
{
    const struct machine_launch *const l = state->launch;
    struct machine_block b = {
        .launch = l,
        .id = block_id(l, n),
        .shared = c->shared.data,
        .shared_bytes = shared_bytes_of(l),
        .warps = c->warps,
        .n_warps = n_warps_of(l),
        .barriers = c->barriers,
        .counts = counts,
        .state = state,
    };
    if (b.shared_bytes > 0)
        memset(b.shared, UNWRITTEN, b.shared_bytes);
    barrier_reset(c->barriers);
    for (int32_t k = 0; k < b.n_warps; k++)
        start_warp(c, &b, k, is_fresh);
    if (emulator_settings()->has_races)
        note(&b, race_block_start(&b));
    note(&b, async_block_start(&b));
    for (int32_t k = 0; k < b.n_warps; k++)
        note(&b, async_warp_start(&b.warps[k]));
    if (!b.has_fault)
        machine_run_warps(&b);
    note(&b, async_block_end(&b));
    for (int32_t k = 0; k < b.n_warps; k++)
        async_warp_end(&b.warps[k]);
    if (b.race != NULL)
        race_block_end(&b);
    for (int32_t k = 0; k < b.n_warps && counts != NULL; k++)
        counts_add(counts, COUNTS_INSTRUCTIONS, (int64_t)b.warps[k].n_done);
}

/* What the threads of a launch share. */
struct work {
    struct machine_state *state;
    struct counts_kernel *counts;
    int64_t n_blocks;
    atomic_int_fast64_t next;
};

static void run_blocks(void *argument)
{
    struct work *const work = argument;
    const struct machine_launch *const l = work->state->launch;
    const size_t n_warps = (size_t)n_warps_of(l);
    struct context *const c = take_context();
    grow(&c->shared, shared_bytes_of(l) + PAGE);
    grow(&c->files, n_warps * l->kernel->file_bytes);
    grow(&c->local, n_warps * PTX_LANES * (size_t)l->kernel->local_bytes);
    for (bool is_fresh = true;; is_fresh = false) {
        const int64_t n = atomic_fetch_add(&work->next, 1);
        if (n >= work->n_blocks || atomic_load(&work->state->is_stopped))
            break;
        run_block(c, work->state, n, is_fresh, work->counts);
    }
    give_context(c);
}

static int check_sizes(const struct machine_launch *l)
{
    const struct machine_dim g = l->grid, b = l->block;
    const char *const name = l->kernel->name;
    if (g.x < 1 || g.y < 1 || g.z < 1 || g.y > MAX_GRID_YZ || g.z > MAX_GRID_YZ)
        return ERR(ERR_USAGE, "%s: a grid of (%d, %d, %d) blocks", name, g.x, g.y, g.z);
    const int64_t n_threads = (int64_t)b.x * b.y * b.z;
    if (b.x < 1 || b.y < 1 || b.z < 1 || b.x > MAX_THREADS || b.y > MAX_THREADS ||
        b.z > 64 || n_threads > MAX_THREADS)
        return ERR(ERR_USAGE, "%s: a block of (%d, %d, %d) threads", name, b.x, b.y,
                   b.z);
    if (l->kernel->max_threads > 0 && n_threads > l->kernel->max_threads)
        return ERR(ERR_USAGE, "%s: %lld threads in a block, its .maxntid allows %d",
                   name, (long long)n_threads, l->kernel->max_threads);
    const size_t shared = (size_t)l->kernel->shared_bytes + l->dynamic_bytes;
    if (shared > MACHINE_SHARED_LIMIT)
        return ERR(ERR_USAGE,
                   "%s: %zu bytes of shared memory in a block, the limit is %d", name,
                   shared, MACHINE_SHARED_LIMIT);
    return STATUS_OK;
}

int machine_run(const struct machine_launch *launch)
{
    struct machine_state state = {.launch = launch};
    TRY(check_sizes(launch));
    const int64_t n_cores = omp_get_max_threads();
    struct work work = {
        .state = &state,
        .counts = counts_launch(launch->kernel->name),
        .n_blocks = (int64_t)launch->grid.x * launch->grid.y * launch->grid.z,
    };
    pthread_mutex_init(&state.lock, NULL);
    workers_run(run_blocks, &work,
                (int32_t)(work.n_blocks < n_cores ? work.n_blocks : n_cores) - 1);
    pthread_mutex_destroy(&state.lock);
    if (atomic_load(&state.is_stopped))
        return ERR(ERR_DEVICE, "%s", state.text);
    return STATUS_OK;
}
