/*
 * Allocations and the checks of single accesses.
 *
 * The table of allocations is sorted by address. A warp remembers the last it hit
 * (w->seen); freeing any makes a new version of the table and so forgets them all.
 * Around each allocation lie GUARD bytes of a pattern that machine_free verifies.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulator/machine.h"
#include "emulator/race.h"

enum { GUARD = 256, GUARD_BYTE = 0xa5, POISON = 0xff };

struct allocation {
    struct machine_range range;
    bool is_host;
};

static struct {
    pthread_rwlock_t lock;
    struct allocation *all; /* by ascending begin */
    size_t n, capacity;
    size_t device_bytes;
    atomic_uint_fast64_t version;
} table = {.lock = PTHREAD_RWLOCK_INITIALIZER, .version = 1};

static size_t padded(size_t bytes) { return (bytes + GUARD - 1) / GUARD * GUARD; }

/* The first allocation that begins above p. The lock is held. */
static size_t above(uintptr_t p)
{
    size_t low = 0, high = table.n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (table.all[middle].range.begin > p)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool holds(const struct machine_range *r, uintptr_t p, size_t bytes)
{
    const uintptr_t off = p - r->begin;
    return off < r->bytes && bytes <= r->bytes - off;
}

static int insert(struct allocation a)
{
    if (table.n == table.capacity) {
        const size_t capacity = table.capacity == 0 ? 256 : 2 * table.capacity;
        void *const grown = realloc(table.all, capacity * sizeof(*table.all));
        if (grown == NULL)
            return ERR(ERR_MEMORY, "no memory for a table of %zu allocations",
                       capacity);
        table.all = grown;
        table.capacity = capacity;
    }
    const size_t at = above(a.range.begin);
    memmove(&table.all[at + 1], &table.all[at], (table.n - at) * sizeof(*table.all));
    table.all[at] = a;
    table.n++;
    table.device_bytes += a.is_host ? 0 : a.range.bytes;
    return STATUS_OK;
}

int machine_alloc(size_t bytes, bool is_host, void **out)
{
    /* Not core/mem.h: what a device holds is not the program's memory, and its counter
     * must not move. */
    uint8_t *const raw = bytes > SIZE_MAX / 2
                             ? NULL
                             : aligned_alloc(GUARD, padded(bytes) + 2 * GUARD);
    if (raw == NULL)
        return ERR(ERR_MEMORY,
                   "the emulator has no memory for an allocation of %zu bytes", bytes);
    memset(raw, GUARD_BYTE, GUARD);
    memset(raw + GUARD, POISON, bytes);
    memset(raw + GUARD + bytes, GUARD_BYTE, padded(bytes) - bytes + GUARD);
    pthread_rwlock_wrlock(&table.lock);
    const int status = insert((struct allocation){
        .range = {.begin = (uintptr_t)(raw + GUARD), .bytes = bytes},
        .is_host = is_host});
    pthread_rwlock_unlock(&table.lock);
    if (status != STATUS_OK) {
        free(raw);
        return status;
    }
    *out = raw + GUARD;
    return STATUS_OK;
}

static int check_guards(const uint8_t *begin, size_t bytes)
{
    for (size_t k = 0; k < GUARD; k++) {
        if (begin[-1 - (ptrdiff_t)k] != GUARD_BYTE)
            return ERR(ERR_DEVICE,
                       "the allocation of %zu bytes at %p was written to %zu bytes "
                       "before its begin",
                       bytes, (const void *)begin, k + 1);
        if (begin[bytes + k] != GUARD_BYTE)
            return ERR(
                ERR_DEVICE,
                "the allocation of %zu bytes at %p was written to %zu bytes past "
                "its end",
                bytes, (const void *)begin, k);
    }
    return STATUS_OK;
}

int machine_free(void *p)
{
    struct allocation found = {0};
    pthread_rwlock_wrlock(&table.lock);
    const size_t at = above((uintptr_t)p);
    const bool is_known = at > 0 && table.all[at - 1].range.begin == (uintptr_t)p;
    if (is_known) {
        found = table.all[at - 1];
        table.n--;
        memmove(&table.all[at - 1], &table.all[at],
                (table.n - (at - 1)) * sizeof(*table.all));
        table.device_bytes -= found.is_host ? 0 : found.range.bytes;
        atomic_fetch_add(&table.version, 1);
    }
    pthread_rwlock_unlock(&table.lock);
    if (!is_known)
        return ERR(ERR_USAGE, "%p is not the start of an allocation", p);
    const int status = check_guards(p, found.range.bytes);
    free((uint8_t *)p - GUARD);
    return status;
}

static bool find(uintptr_t p, size_t bytes, struct machine_range *out)
{
    pthread_rwlock_rdlock(&table.lock);
    const size_t at = above(p);
    const bool is_held = at > 0 && holds(&table.all[at - 1].range, p, bytes);
    if (is_held)
        *out = table.all[at - 1].range;
    pthread_rwlock_unlock(&table.lock);
    return is_held;
}

bool machine_holds(const void *p, size_t bytes)
{
    struct machine_range ignored;
    return find((uintptr_t)p, bytes, &ignored);
}

size_t machine_bytes_in_use(void)
{
    pthread_rwlock_rdlock(&table.lock);
    const size_t bytes = table.device_bytes;
    pthread_rwlock_unlock(&table.lock);
    return bytes;
}

bool machine_reaches(struct machine_warp *w, uint64_t address, size_t bytes)
{
    const uint64_t version = atomic_load_explicit(&table.version, memory_order_relaxed);
    if (w->seen_version != version) {
        memset(w->seen, 0, sizeof(w->seen));
        w->seen_version = version;
    }
    if (holds(&w->seen[0], address, bytes))
        return true;
    struct machine_range r = {0};
    int32_t k = 1;
    while (k < MACHINE_SEEN - 1 && !holds(&w->seen[k], address, bytes))
        k++;
    r = w->seen[k];
    if (!holds(&r, address, bytes) && !find(address, bytes, &r))
        return false;
    for (; k > 0; k--) /* the last hit comes first */
        w->seen[k] = w->seen[k - 1];
    w->seen[0] = r;
    return true;
}

/* Where an address lies, for the text of a fault: the nearest allocation. */
static void describe(uint64_t address, char *text, size_t bytes)
{
    pthread_rwlock_rdlock(&table.lock);
    const size_t at = above(address);
    const struct machine_range *const below = at > 0 ? &table.all[at - 1].range : NULL;
    const struct machine_range *const next = at < table.n ? &table.all[at].range : NULL;
    const uint64_t from_below = below != NULL ? address - below->begin : UINT64_MAX;
    if (below != NULL && from_below < below->bytes)
        snprintf(text, bytes,
                 "the allocation of %zu bytes at 0x%llx ends %llu bytes after it",
                 below->bytes, (unsigned long long)below->begin,
                 (unsigned long long)(below->bytes - from_below));
    else if (below != NULL &&
             (next == NULL || from_below - below->bytes < next->begin - address))
        snprintf(text, bytes, "%llu bytes past the end of the %zu bytes at 0x%llx",
                 (unsigned long long)(from_below - below->bytes), below->bytes,
                 (unsigned long long)below->begin);
    else if (next != NULL)
        snprintf(text, bytes, "%llu bytes before the %zu bytes at 0x%llx",
                 (unsigned long long)(next->begin - address), next->bytes,
                 (unsigned long long)next->begin);
    else
        snprintf(text, bytes, "there are no allocations");
    pthread_rwlock_unlock(&table.lock);
}

static const char *verb(enum machine_access access)
{
    switch (access) {
    case MACHINE_READ:
        return "reads";
    case MACHINE_WRITE:
        return "writes";
    case MACHINE_ATOMIC:
        return "updates";
    }
    return "";
}

static const char *space_name(enum machine_space space)
{
    switch (space) {
    case MACHINE_GENERIC:
        return "generic";
    case MACHINE_GLOBAL:
        return "global";
    case MACHINE_SHARED:
        return "shared";
    case MACHINE_LOCAL:
        return "local";
    case MACHINE_PARAM:
        return "parameter";
    case MACHINE_CONST:
        return "constant";
    }
    return "";
}

/* An access and where its space lies on the host. */
struct place {
    enum machine_space space;
    uint64_t address; /* relative to the space, but in global memory */
    uint8_t *base;    /* NULL: global memory */
    size_t limit;     /* of relative addresses */
};

static struct place place_of(const struct machine_warp *w, int32_t lane,
                             enum machine_space space, uint64_t address)
{
    const struct machine_block *const b = w->block;
    const struct ptx_kernel *const k = b->launch->kernel;
    const uint64_t window = address & MACHINE_WINDOW_MASK;
    struct place p = {.space = space, .address = address};
    if (space == MACHINE_GENERIC) {
        p.space = window == MACHINE_SHARED_WINDOW  ? MACHINE_SHARED
                  : window == MACHINE_LOCAL_WINDOW ? MACHINE_LOCAL
                  : window == MACHINE_PARAM_WINDOW ? MACHINE_PARAM
                                                   : MACHINE_GLOBAL;
        p.address = p.space == MACHINE_GLOBAL ? address : address - window;
    }
    switch (p.space) {
    case MACHINE_SHARED:
        p.address &= 0xffffffffu;
        p.base = b->shared;
        p.limit = b->shared_bytes;
        break;
    case MACHINE_LOCAL:
        p.limit = (size_t)k->local_bytes;
        p.base = w->local + (size_t)(lane < 0 ? 0 : lane) * p.limit;
        break;
    case MACHINE_PARAM:
        p.limit = (size_t)k->param_bytes;
        /* never written: machine_at refuses */
        memcpy(&p.base, &b->launch->params, sizeof(p.base));
        break;
    case MACHINE_GENERIC:
    case MACHINE_GLOBAL:
    case MACHINE_CONST:
        break;
    }
    return p;
}

uint8_t *machine_at(struct machine_warp *w, const struct ptx_insn *i, int32_t lane,
                    enum machine_space space, uint64_t address, size_t bytes,
                    size_t align, enum machine_access access)
{
    const struct place p = place_of(w, lane, space, address);
    const bool is_constant = p.space == MACHINE_PARAM || p.space == MACHINE_CONST;
    char near[160];
    if (align > 1 && p.address % align != 0) {
        (void)machine_fault(
            w, i, lane,
            "%s %zu bytes at %s address 0x%llx, which is not aligned to "
            "%zu",
            verb(access), bytes, space_name(p.space), (unsigned long long)p.address,
            align);
        return NULL;
    }
    if (is_constant && access != MACHINE_READ) {
        (void)machine_fault(w, i, lane, "%s %zu bytes of %s memory, which is read-only",
                            verb(access), bytes, space_name(p.space));
        return NULL;
    }
    if (p.base == NULL && p.limit == 0 &&
        (p.space == MACHINE_GLOBAL || p.space == MACHINE_CONST)) {
        if (machine_reaches(w, p.address, bytes))
            return (uint8_t *)(uintptr_t)p.address;
        describe(p.address, near, sizeof(near));
        (void)machine_fault(w, i, lane,
                            "%s %zu bytes at %s address 0x%llx, outside of every "
                            "allocation: %s",
                            verb(access), bytes, space_name(p.space),
                            (unsigned long long)p.address, near);
        return NULL;
    }
    if (p.address > p.limit || bytes > p.limit - p.address) {
        (void)machine_fault(
            w, i, lane, "%s %zu bytes at %s address 0x%llx of %zu bytes", verb(access),
            bytes, space_name(p.space), (unsigned long long)p.address, p.limit);
        return NULL;
    }
    if (p.space == MACHINE_SHARED && w->block->race != NULL &&
        !race_shared(w, i, lane, (uint32_t)p.address, bytes, access))
        return NULL;
    return p.base + p.address;
}
