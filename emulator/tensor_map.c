/*
 * Tensor maps: what the driver API allows, and the copy of a box between a tensor and
 * shared memory. A box lies in shared memory line after line, innermost dimension
 * first, each line swizzled by the bits of its own address.
 * Sources: CUDA driver API, cuTensorMapEncodeTiled; PTX ISA, "Tensors" and
 * "cp.async.bulk.tensor".
 *
 * Left out: im2col, interleaved layouts, the 128-byte swizzles with larger atoms,
 * packed 4- and 6-bit types. A swizzled box must fill its lines (box[0] as long as the
 * span): where shorter ones lie is not documented. The driver's documentation wants
 * each stride to be a multiple of the one before; the driver itself takes any order of
 * dimensions, and so does this.
 */
#include <string.h>

#include "core/dtype_bits.h"
#include "emulator/async_state.h"

static const uint64_t MAP_MAGIC = 0x70616d726f736e74u; /* "tnsormap" */

enum { MAP_BYTES = 128, MAP_ALIGN = 64, MAX_BOX = 256, MAX_ELEMENT_STRIDE = 8 };

/* of CUtensorMapDataType: u8 u16 u32 i32 u64 i64 f16 f32 f64 bf16 and three more f32 */
enum { N_TYPES = 13 };
static const uint8_t type_bytes[N_TYPES] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};

static int check_dims(const struct async_tensor_args *a, int64_t element)
{
    for (uint32_t k = 0; k < a->rank; k++) {
        if (a->dim[k] < 1 || a->dim[k] > (uint64_t)1 << 32)
            return ERR(ERR_USAGE, "tensor map: globalDim[%u] is %llu, not 1 .. 2^32", k,
                       (unsigned long long)a->dim[k]);
        if (a->box[k] < 1 || a->box[k] > MAX_BOX)
            return ERR(ERR_USAGE, "tensor map: boxDim[%u] is %u, not 1 .. %d", k,
                       a->box[k], MAX_BOX);
        if (a->element_stride[k] < 1 || a->element_stride[k] > MAX_ELEMENT_STRIDE)
            return ERR(ERR_USAGE, "tensor map: elementStrides[%u] is %u, not 1 .. %d",
                       k, a->element_stride[k], MAX_ELEMENT_STRIDE);
    }
    for (uint32_t k = 0; k + 1 < a->rank; k++)
        if (a->stride_bytes[k] % 16 != 0 || a->stride_bytes[k] >= (uint64_t)1 << 40)
            return ERR(ERR_USAGE,
                       "tensor map: globalStrides[%u] is %llu: not a multiple of 16 "
                       "below 2^40",
                       k, (unsigned long long)a->stride_bytes[k]);
    if (a->box[0] * element % 16 != 0)
        return ERR(ERR_USAGE,
                   "tensor map: boxDim[0] is %u elements of %lld bytes: not a multiple "
                   "of 16 bytes",
                   a->box[0], (long long)element);
    return 0;
}

/* 0, 32, 64, 128; checked against the box */
static int swizzle_span(const struct async_tensor_args *a, int64_t element,
                        uint8_t *span_out)
{
    static const uint8_t spans[] = {0, 32, 64, 128};
    if (a->swizzle < 0 || a->swizzle >= ARRAY_LEN(spans))
        return ERR(ERR_USAGE, "tensor map: swizzle mode %d is not supported",
                   (int)a->swizzle);
    *span_out = spans[a->swizzle];
    const int64_t line = a->box[0] * element;
    if (*span_out != 0 && line > *span_out)
        return ERR(ERR_USAGE,
                   "tensor map: boxDim[0] spans %lld bytes, the swizzle at most %d",
                   (long long)line, (int)*span_out);
    if (*span_out != 0 && line < *span_out)
        return ERR(ERR_USAGE,
                   "tensor map: boxDim[0] spans %lld bytes: lines shorter than the "
                   "swizzle's %d are not supported",
                   (long long)line, (int)*span_out);
    return 0;
}

static int check_args(const struct async_tensor_args *a, const void *map_out)
{
    if (a->data_type < 0 || a->data_type >= N_TYPES)
        return ERR(ERR_USAGE, "tensor map: data type %d is not supported",
                   (int)a->data_type);
    if (a->rank < 1 || a->rank > ASYNC_MAX_COORDS)
        return ERR(ERR_USAGE, "tensor map: rank %u is not 1 .. 5", a->rank);
    if (map_out == NULL || (uintptr_t)map_out % MAP_ALIGN != 0)
        return ERR(ERR_USAGE, "tensor map: its address %p is not a multiple of 64",
                   map_out);
    if (a->base == NULL || (uintptr_t)a->base % 16 != 0)
        return ERR(ERR_USAGE, "tensor map: globalAddress %p is not a multiple of 16",
                   a->base);
    if (a->interleave != 0)
        return ERR(ERR_USAGE, "tensor map: interleave %d is not supported",
                   (int)a->interleave);
    if (a->l2_promotion < 0 || a->l2_promotion > 3)
        return ERR(ERR_USAGE, "tensor map: l2Promotion %d does not exist",
                   (int)a->l2_promotion);
    const bool is_float = a->data_type >= ASYNC_TYPE_FLOAT16;
    if (a->oob_fill != 0 && (a->oob_fill != 1 || !is_float))
        return ERR(ERR_USAGE, "tensor map: oobFill %d does not go with data type %d",
                   (int)a->oob_fill, (int)a->data_type);
    return 0;
}

int async_tensor_map_encode(const struct async_tensor_args *a, void *map_out)
{
    TRY(check_args(a, map_out));
    struct async_tensor_map m = {.magic = MAP_MAGIC,
                                 .base = (uint64_t)(uintptr_t)a->base,
                                 .rank = (uint8_t)a->rank,
                                 .element_bytes = type_bytes[a->data_type],
                                 .data_type = (uint8_t)a->data_type,
                                 .oob_nan = (uint8_t)a->oob_fill};
    TRY(check_dims(a, m.element_bytes));
    TRY(swizzle_span(a, m.element_bytes, &m.swizzle_span));
    for (uint32_t k = 0; k < ASYNC_MAX_COORDS; k++) {
        const bool has = k < a->rank;
        m.dim[k] = has ? a->dim[k] : 1;
        m.box[k] = (uint16_t)(has ? a->box[k] : 1);
        /* the hardware has no stride along the innermost dimension: ignored */
        m.element_stride[k] = (uint8_t)(has && k > 0 ? a->element_stride[k] : 1);
        if (k + 1 < a->rank)
            m.stride_bytes[k] = a->stride_bytes[k];
    }
    _Static_assert(sizeof(m) == MAP_BYTES, "CUtensorMap has 128 bytes");
    memcpy(map_out, &m, sizeof(m));
    return 0;
}

bool async_tensor_map_read(struct machine_warp *w, const struct ptx_insn *i,
                           int32_t lane, uint64_t address, int32_t rank,
                           struct async_tensor_map *out)
{
    const uint8_t *const at = machine_at(w, i, lane, MACHINE_GENERIC, address,
                                         MAP_BYTES, MAP_ALIGN, MACHINE_READ);
    if (at == NULL)
        return false;
    memcpy(out, at, sizeof(*out));
    if (out->magic != MAP_MAGIC) {
        machine_fault(w, i, lane, "no tensor map at 0x%llx",
                      (unsigned long long)address);
        return false;
    }
    if (rank != 0 && out->rank != rank) {
        machine_fault(w, i, lane, "the tensor map has %d dimensions, the copy %d",
                      (int)out->rank, (int)rank);
        return false;
    }
    return true;
}

/* Elements of a box along a dimension. */
static uint32_t extent(const struct async_tensor_map *m, int32_t k)
{
    return (m->box[k] + m->element_stride[k] - 1u) / m->element_stride[k];
}

uint32_t async_tensor_box_bytes(const struct async_tensor_map *m)
{
    uint32_t n = m->element_bytes;
    for (int32_t k = 0; k < m->rank; k++)
        n *= extent(m, k);
    return n;
}

/* One line of a box: where its part inside the tensor lies. */
struct line {
    uint64_t global; /* of its first element that exists */
    uint32_t skip;   /* bytes before that */
    uint32_t bytes;  /* that exist; 0: the line lies outside */
};

/* at: the line's index in dimensions 1 .. 4 of the box */
static struct line line_at(const struct async_box *box, const uint32_t at[])
{
    const struct async_tensor_map *const m = &box->map;
    uint64_t global = m->base;
    for (int32_t k = 1; k < m->rank; k++) {
        const int64_t x = box->coord[k] + (int64_t)at[k] * m->element_stride[k];
        if (x < 0 || (uint64_t)x >= m->dim[k])
            return (struct line){0, 0, 0};
        global += (uint64_t)x * m->stride_bytes[k - 1];
    }
    const int64_t x0 = box->coord[0], width = (int64_t)m->dim[0];
    const int64_t first = x0 < 0 ? 0 : x0;
    const int64_t end = x0 + m->box[0] < width ? x0 + m->box[0] : width;
    if (first >= end)
        return (struct line){0, 0, 0};
    return (struct line){global + (uint64_t)first * m->element_bytes,
                         (uint32_t)(first - x0) * m->element_bytes,
                         (uint32_t)(end - first) * m->element_bytes};
}

/* The next line's index; false after the last. */
static bool line_next(const struct async_tensor_map *m, uint32_t at[])
{
    for (int32_t k = 1; k < m->rank; k++) {
        if (++at[k] < extent(m, k))
            return true;
        at[k] = 0;
    }
    return false;
}

/* What an element outside the tensor is: zero, or the NaN all of whose bits are set
 * but the sign. */
static void fill_outside(const struct async_tensor_map *m, uint8_t *line, uint32_t n)
{
    memset(line, 0, n);
    if (m->oob_nan == 0)
        return;
    memset(line, 0xff, n);
    for (uint32_t k = m->element_bytes - 1u; k < n; k += m->element_bytes)
        line[k] = 0x7f;
}

/* A line of n bytes between its place `shared` in shared memory and a plain buffer: 16
 * bytes at a time, as the swizzle moves them. data: of offset `origin` onwards. */
static void line_swizzle(const struct async_box *box, uint32_t shared, uint32_t n,
                         uint8_t *data, uint8_t *plain, bool to_shared)
{
    for (uint32_t k = 0; k < n; k += 16) {
        const uint32_t at = async_swizzle(shared + k, box->map.swizzle_span);
        uint8_t *const p = data + (at - box->shared);
        memcpy(to_shared ? p : plain + k, to_shared ? plain + k : p, 16);
    }
}

static bool tensor_load(struct machine_warp *w, const struct ptx_insn *i,
                        const struct async_box *box, uint8_t *shared)
{
    const struct async_tensor_map *const m = &box->map;
    const uint32_t line_bytes = (uint32_t)m->box[0] * m->element_bytes;
    uint8_t plain[MAX_BOX * 8];
    uint32_t at[ASYNC_MAX_COORDS] = {0}, to = box->shared;
    do {
        const struct line line = line_at(box, at);
        if (line.bytes < line_bytes)
            fill_outside(m, plain, line_bytes);
        if (line.bytes > 0) {
            const uint8_t *const from = machine_at(w, i, -1, MACHINE_GLOBAL,
                                                   line.global, line.bytes,
                                                   m->element_bytes, MACHINE_READ);
            if (from == NULL)
                return false;
            memcpy(plain + line.skip, from, line.bytes);
        }
        line_swizzle(box, to, line_bytes, shared, plain, true);
        to += line_bytes;
    } while (line_next(m, at));
    return true;
}

/* += of floats that other blocks may be adding to */
static void add_floats(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    for (uint32_t k = 0; k < bytes; k += 4) {
        uint32_t *const p = (uint32_t *)(void *)(to + k);
        uint32_t old = __atomic_load_n(p, __ATOMIC_RELAXED), sum;
        float v;
        memcpy(&v, from + k, sizeof(v));
        do
            sum = (uint32_t)bits_of(float_of((int32_t)old) + v);
        while (!__atomic_compare_exchange_n(p, &old, sum, false, __ATOMIC_RELAXED,
                                            __ATOMIC_RELAXED));
    }
}

static bool put_bytes(struct machine_warp *w, const struct ptx_insn *i, uint64_t global,
                      const uint8_t *from, uint32_t bytes, uint32_t align, bool is_add)
{
    uint8_t *const to = machine_at(w, i, -1, MACHINE_GLOBAL, global, bytes, align,
                                   is_add ? MACHINE_ATOMIC : MACHINE_WRITE);
    if (to == NULL)
        return false;
    if (is_add)
        add_floats(to, from, bytes);
    else
        memcpy(to, from, bytes);
    return true;
}

static bool tensor_store(struct machine_warp *w, const struct ptx_insn *i,
                         const struct async_box *box, uint8_t *data, bool is_add)
{
    const struct async_tensor_map *const m = &box->map;
    const uint32_t line_bytes = (uint32_t)m->box[0] * m->element_bytes;
    uint8_t plain[MAX_BOX * 8];
    uint32_t at[ASYNC_MAX_COORDS] = {0}, from = box->shared;
    do {
        const struct line line = line_at(box, at);
        line_swizzle(box, from, line_bytes, data, plain, false);
        if (line.bytes > 0 && !put_bytes(w, i, line.global, plain + line.skip,
                                         line.bytes, m->element_bytes, is_add))
            return false;
        from += line_bytes;
    } while (line_next(m, at));
    return true;
}

bool async_box_load(struct machine_warp *w, const struct ptx_insn *i,
                    const struct async_box *box)
{
    uint8_t *const shared = machine_at(w, i, -1, MACHINE_SHARED, box->shared,
                                       box->bytes, ASYNC_BULK_ALIGN, MACHINE_WRITE);
    if (shared == NULL)
        return false;
    if (box->is_tensor)
        return tensor_load(w, i, box, shared);
    const uint8_t *const from = machine_at(w, i, -1, box->from, box->global, box->bytes,
                                           ASYNC_BULK_ALIGN, MACHINE_READ);
    if (from == NULL)
        return false;
    memmove(shared, from, box->bytes);
    return true;
}

bool async_box_store(struct machine_warp *w, const struct ptx_insn *i,
                     const struct async_box *box, uint8_t *data, bool is_add)
{
    if (box->is_tensor)
        return tensor_store(w, i, box, data, is_add);
    return put_bytes(w, i, box->global, data, box->bytes, ASYNC_BULK_ALIGN, is_add);
}
