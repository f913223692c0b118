#include "emulator/runtime_fatbin.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { CONTAINER_MAGIC = (int)0xba55ed50u, KIND_PTX = 1 };

struct container {
    int32_t magic;
    uint16_t version, header_bytes;
    uint64_t payload_bytes;
};

struct entry {
    uint16_t kind, version;
    uint32_t header_bytes;
    uint64_t payload_bytes;
    uint32_t compressed_bytes, options_off;
    uint16_t isa_minor, isa_major;
    uint32_t arch; /* 90 */
    uint32_t name_off, name_bytes;
    uint64_t flags, unused;
    uint64_t plain_bytes; /* 0: not compressed */
};

/* The ".target" of a module's text: 90 of "sm_90a". false if there is none. */
static bool target_of(const char *text, size_t n_bytes, int *target_out,
                      bool *is_specific_out)
{
    static const char key[] = ".target sm_";
    const char *const at = memmem(text, n_bytes, key, sizeof(key) - 1);
    const char *const end = text + n_bytes;
    if (at == NULL)
        return false;
    const char *p = at + sizeof(key) - 1;
    int target = 0;
    while (p < end && *p >= '0' && *p <= '9' && target < 1000)
        target = 10 * target + (*p++ - '0');
    *target_out = target;
    *is_specific_out = p < end && *p == 'a';
    return target > 0;
}

/* Twice the target, and one for "a"; -1: not for this compute capability */
static int rank_of(const char *text, size_t n_bytes, int compute)
{
    int target = 0;
    bool is_specific = false;
    if (!target_of(text, n_bytes, &target, &is_specific) || target > compute ||
        (is_specific && target != compute))
        return -1;
    return 2 * target + is_specific;
}

static bool read_entry(const char *p, const char *end, struct entry *e)
{
    const size_t left = (size_t)(end - p);
    if (left < sizeof(*e))
        return false;
    memcpy(e, p, sizeof(*e));
    return e->header_bytes >= sizeof(*e) && e->header_bytes <= left &&
           e->payload_bytes <= left - e->header_bytes;
}

int runtime_fatbin_ptx(const void *container, int compute, const char **text_out,
                       size_t *n_bytes_out)
{
    struct container c;
    struct entry e;
    int best = -1;
    bool has_compressed = false;
    memcpy(&c, container, sizeof(c));
    if (c.magic != CONTAINER_MAGIC || c.header_bytes < sizeof(c))
        return ERR(ERR_INPUT, "not a fat binary");
    const char *p = (const char *)container + c.header_bytes;
    const char *const end = p + c.payload_bytes;
    for (; read_entry(p, end, &e); p += e.header_bytes + e.payload_bytes) {
        const char *const text = p + e.header_bytes;
        if (e.kind != KIND_PTX)
            continue;
        has_compressed |= e.plain_bytes != 0;
        const size_t n_bytes = strnlen(text, (size_t)e.payload_bytes);
        const int rank = e.plain_bytes != 0 ? -1 : rank_of(text, n_bytes, compute);
        if (rank <= best)
            continue;
        best = rank;
        *text_out = text;
        *n_bytes_out = n_bytes;
    }
    if (p != end)
        return ERR(ERR_INPUT, "a damaged fat binary");
    if (best >= 0)
        return STATUS_OK;
    return ERR(
        ERR_DEVICE, "no PTX for compute capability %d.%d%s", compute / 10, compute % 10,
        has_compressed ? ": it is compressed; use -Xfatbin=-compress=false" : "");
}
