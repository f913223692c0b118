/*
 * Tensor maps: what encoding refuses, and boxes of 1 .. 5 dimensions in both directions
 * against loops over single elements, with every swizzle, coordinates outside on either
 * side, and strides of elements.
 */
#include "tests/emulator/async_case.h"

#include <stdlib.h>

#include "emulator/async.h"

enum { U8, U16, U32, I32, U64, I64, F16, F32, F64, BF16 }; /* CUtensorMapDataType */

enum { MAX_RANK = 5, MAX_BOX_BYTES = 32768, WORDS = MAX_BOX_BYTES / 4 };

struct tensor_case {
    int32_t type, element, rank, swizzle, oob;
    uint64_t dim[MAX_RANK];
    uint32_t box[MAX_RANK], step[MAX_RANK];
    int32_t coord[MAX_RANK];
};

/* Rows padded to 16 bytes, one multiple further than need be. */
static void strides_of(const struct tensor_case *c, uint64_t stride[MAX_RANK])
{
    uint64_t bytes = c->dim[0] * (uint64_t)c->element;
    for (int32_t k = 0; k + 1 < c->rank; k++) {
        stride[k] = (bytes + 31) / 16 * 16;
        bytes = stride[k] * c->dim[k + 1];
    }
    stride[c->rank - 1] = bytes;
}

static struct async_tensor_args args_of(const struct tensor_case *c, void *base,
                                        const uint64_t *stride)
{
    return (struct async_tensor_args){.data_type = c->type,
                                      .rank = (uint32_t)c->rank,
                                      .base = base,
                                      .dim = c->dim,
                                      .stride_bytes = stride,
                                      .box = c->box,
                                      .element_stride = c->step,
                                      .swizzle = c->swizzle,
                                      .oob_fill = c->oob};
}

/* --- boxes --- */

struct box_walk {
    int64_t shared; /* byte offset in shared memory */
    int64_t global; /* byte offset in the tensor; -1: outside */
};

static int64_t n_elements(const struct tensor_case *c)
{
    int64_t n = 1;
    for (int32_t k = 0; k < c->rank; k++) {
        const int64_t step = k == 0 ? 1 : c->step[k];
        n *= (c->box[k] + step - 1) / step;
    }
    return n;
}

/* Element number n of the box, innermost dimension first. */
static struct box_walk walk(const struct tensor_case *c, const uint64_t *stride,
                            int64_t n)
{
    static const int32_t masks[] = {0, 1, 3, 7};
    struct box_walk at = {n * c->element, 0};
    for (int32_t k = 0; k < c->rank; k++) {
        const int64_t step = k == 0 ? 1 : c->step[k];
        const int64_t extent = (c->box[k] + step - 1) / step;
        const int64_t x = c->coord[k] + n % extent * step;
        n /= extent;
        if (x < 0 || x >= (int64_t)c->dim[k])
            at.global = -1;
        if (at.global >= 0)
            at.global += x * (int64_t)(k == 0 ? (uint64_t)c->element : stride[k - 1]);
    }
    const int64_t line = at.shared / 128;
    at.shared ^= (line & masks[c->swizzle]) * 16;
    return at;
}

/* Argument 0: out, 1: the map, 2: coordinates, 3: bytes. 128 threads. */
static const char begin[] =
    "mov.u32 %r40, dynamic;\nadd.u32 %r41, %r40, 32768;\n" /* behind the box: mbarrier
                                                            */
    "ld.global.s32 %r10, [%rd2];\nld.global.s32 %r11, [%rd2+4];\n"
    "ld.global.s32 %r12, [%rd2+8];\nld.global.s32 %r13, [%rd2+12];\n"
    "ld.global.s32 %r14, [%rd2+16];\ncvt.u32.u64 %r20, %rd3;\n"
    "setp.ne.u32 %p0, %r1, 0;\n";
static const char wait_and_show[] =
    "LOADED:\nbar.sync 0;\n"
    "AGAIN:\nmbarrier.try_wait.parity.shared::cta.b64 %p1, [%r41], 0;\n"
    "@!%p1 bra AGAIN;\n"
    "mul.lo.u32 %r21, %r1, 4;\n"
    "COPY:\nsetp.ge.u32 %p2, %r21, %r20;\n@%p2 bra DONE;\n"
    "add.u32 %r22, %r40, %r21;\nld.shared.u32 %r23, [%r22];\n"
    "cvt.u64.u32 %rd5, %r21;\nadd.s64 %rd6, %rd0, %rd5;\n"
    "st.global.u32 [%rd6], %r23;\nadd.u32 %r21, %r21, 512;\nbra COPY;\nDONE:\n";

static void put_coordinates(struct buf *b, int32_t rank)
{
    for (int32_t k = 0; k < rank; k++)
        buf_printf(b, "%s%%r%d", k == 0 ? "{" : ", ", 10 + k);
    buf_puts(b, "}");
}

static uint8_t *tensor_of(const struct tensor_case *c, size_t *bytes_out)
{
    uint64_t stride[MAX_RANK];
    strides_of(c, stride);
    *bytes_out = stride[c->rank - 1];
    uint8_t *const t = (uint8_t *)device_words(*bytes_out / 4 + 1);
    for (size_t k = 0; k < *bytes_out; k++)
        t[k] = (uint8_t)(k * 7 + k / 251);
    return t;
}

static void *map_of(const struct tensor_case *c, void *base)
{
    uint64_t stride[MAX_RANK];
    void *const map = device_words(32);
    strides_of(c, stride);
    const struct async_tensor_args a = args_of(c, base, stride);
    if (async_tensor_map_encode(&a, map) != STATUS_OK)
        fail_msg("%s", status_message());
    return map;
}

/* A multiple of the element that is all bits but the sign: f32 and f16 NaNs */
static void check_element(const struct tensor_case *c, const uint8_t *got,
                          const uint8_t *tensor, struct box_walk at)
{
    uint8_t outside[8] = {0};
    if (c->oob != 0) {
        memset(outside, 0xff, sizeof(outside));
        outside[c->element - 1] = 0x7f;
    }
    assert_memory_equal(got + at.shared, at.global < 0 ? outside : tensor + at.global,
                        (size_t)c->element);
}

static void run_box(const char *body, uint32_t *out, void *map, const int32_t *coord,
                    int64_t bytes)
{
    uint32_t *const where = device_words(MAX_RANK);
    memcpy(where, coord, MAX_RANK * sizeof(*coord));
    must_run(
        &(struct ptx_case){.body = body,
                           .blocks = 1,
                           .threads = 128,
                           .dynamic_bytes = MAX_BOX_BYTES + 64,
                           .arg = {(uint64_t)(uintptr_t)out, (uint64_t)(uintptr_t)map,
                                   (uint64_t)(uintptr_t)where, (uint64_t)bytes}});
    assert_int_equal(machine_free(where), STATUS_OK);
}

static void check_load(const struct tensor_case *c)
{
    struct buf body = {0};
    size_t tensor_bytes = 0;
    uint64_t stride[MAX_RANK];
    uint8_t *const tensor = tensor_of(c, &tensor_bytes);
    void *const map = map_of(c, tensor);
    uint32_t *const out = device_words(WORDS);
    const int64_t n = n_elements(c);
    strides_of(c, stride);
    buf_puts(&body, begin);
    buf_printf(&body,
               "@%%p0 bra LOADED;\n"
               "mbarrier.init.shared::cta.b64 [%%r41], 1;\n"
               "fence.mbarrier_init.release.cluster;\nprefetch.tensormap [%%rd1];\n"
               "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%%r41], %%r20;\n"
               "cp.async.bulk.tensor.%dd.shared::cluster.global.tile.mbarrier::"
               "complete_tx::bytes [%%r40], [%%rd1, ",
               (int)c->rank);
    put_coordinates(&body, c->rank);
    buf_puts(&body, "], [%r41];\n");
    buf_puts(&body, wait_and_show);
    run_box(body.data, out, map, c->coord, n * c->element);
    for (int64_t k = 0; k < n; k++)
        check_element(c, (const uint8_t *)out, tensor, walk(c, stride, k));
    assert_int_equal(machine_free(out), STATUS_OK);
    assert_int_equal(machine_free(map), STATUS_OK);
    assert_int_equal(machine_free(tensor), STATUS_OK);
    buf_release(&body);
}

/* Shared memory holds its own byte offsets (as words), which go to the tensor. */
static void check_store(const struct tensor_case *c)
{
    struct buf body = {0};
    size_t bytes = 0;
    uint64_t stride[MAX_RANK];
    uint8_t *const tensor = tensor_of(c, &bytes);
    uint8_t *const want = malloc(bytes);
    assert_non_null(want);
    memcpy(want, tensor, bytes);
    void *const map = map_of(c, tensor);
    strides_of(c, stride);
    buf_puts(&body, begin);
    buf_puts(&body, "mul.lo.u32 %r21, %r1, 4;\n"
                    "FILL:\nadd.u32 %r22, %r40, %r21;\nmul.lo.u32 %r23, %r21, 40503;\n"
                    "st.shared.u32 [%r22], %r23;\nadd.u32 %r21, %r21, 512;\n"
                    "setp.lt.u32 %p1, %r21, 32768;\n@%p1 bra FILL;\n"
                    "fence.proxy.async.shared::cta;\nbar.sync 0;\n@%p0 bra END;\n");
    buf_printf(&body, "cp.async.bulk.tensor.%dd.global.shared::cta.bulk_group [%%rd1, ",
               (int)c->rank);
    put_coordinates(&body, c->rank);
    buf_puts(&body, "], [%r40];\ncp.async.bulk.commit_group;\n"
                    "cp.async.bulk.wait_group.read 0;\nEND:\n");
    run_box(body.data, NULL, map, c->coord, 0);
    for (int64_t k = 0; k < n_elements(c); k++) {
        const struct box_walk at = walk(c, stride, k);
        uint32_t pair[2];
        pair[0] = (uint32_t)(at.shared / 4 * 4) * 40503u;
        pair[1] = (uint32_t)(at.shared / 4 * 4 + 4) * 40503u;
        if (at.global >= 0)
            memcpy(want + at.global, (const uint8_t *)pair + at.shared % 4,
                   (size_t)c->element);
    }
    assert_memory_equal(tensor, want, bytes);
    free(want);
    assert_int_equal(machine_free(map), STATUS_OK);
    assert_int_equal(machine_free(tensor), STATUS_OK);
    buf_release(&body);
}

#define ONES                                                                           \
    {                                                                                  \
        1, 1, 1, 1, 1                                                                  \
    }
static const struct tensor_case boxes[] = {
    {F32, 4, 1, 0, 0, {100}, {64}, ONES, {16}},
    {F32, 4, 1, 0, 1, {100}, {64}, ONES, {60}},
    {U8, 1, 1, 0, 0, {1000}, {256}, ONES, {-200}},
    {U8, 1, 2, 3, 0, {300, 9}, {128, 16}, ONES, {250, -3}},
    {BF16, 2, 2, 3, 0, {128, 64}, {64, 64}, ONES, {64, 0}},
    {BF16, 2, 2, 3, 0, {100, 50}, {64, 40}, ONES, {50, 20}},
    {BF16, 2, 2, 2, 0, {100, 50}, {32, 40}, ONES, {-5, 20}},
    {F16, 2, 2, 1, 1, {100, 50}, {16, 33}, ONES, {90, -7}},
    {BF16, 2, 2, 0, 0, {100, 50}, {24, 5}, ONES, {90, 48}},
    {F32, 4, 2, 3, 0, {70, 70}, {32, 16}, ONES, {64, 64}},
    {F32, 4, 2, 3, 0, {70, 70}, {32, 16}, ONES, {70, 0}},    /* all outside */
    {F32, 4, 2, 3, 0, {70, 70}, {32, 16}, ONES, {-32, -16}}, /* all outside */
    {BF16, 2, 3, 3, 0, {72, 10, 5}, {64, 8, 3}, ONES, {8, 3, 3}},
    {U64, 8, 3, 0, 0, {10, 10, 5}, {2, 3, 4}, ONES, {9, -1, 3}},
    {I64, 8, 4, 2, 0, {20, 4, 5, 3}, {8, 3, 2, 2}, ONES, {7, 2, -1, 2}},
    {I32, 4, 5, 1, 0, {20, 4, 5, 3, 4}, {8, 3, 2, 2, 3}, ONES, {13, 2, 1, 2, -1}},
    {F32, 4, 3, 0, 0, {40, 30, 30}, {8, 6, 9}, {4, 2, 4, 1, 1}, {3, -2, 20}},
    {F64, 8, 2, 3, 0, {40, 30}, {16, 256}, ONES, {3, 0}},
};

static void test_load(void **state)
{
    (void)state;
    for (int32_t early = 0; early < 2; early++) {
        set_early(early != 0);
        for (int64_t n = 0; n < ARRAY_LEN(boxes); n++)
            check_load(&boxes[n]);
    }
    set_early(false);
}

static void test_store(void **state)
{
    (void)state;
    for (int32_t early = 0; early < 2; early++) {
        set_early(early != 0);
        for (int64_t n = 0; n < ARRAY_LEN(boxes); n++)
            check_store(&boxes[n]);
    }
    set_early(false);
}

/* += : twice the same box, with a part outside */
static void test_add(void **state)
{
    (void)state;
    const struct tensor_case c = {F32, 4, 2, 3, 0, {40, 10}, {32, 8}, ONES, {16, 5}};
    uint64_t stride[MAX_RANK];
    strides_of(&c, stride);
    const size_t words = stride[1] / 4;
    float *const tensor = (float *)(void *)device_words(words);
    for (size_t k = 0; k < words; k++)
        tensor[k] = (float)k;
    void *const map = map_of(&c, tensor);
    struct buf body = {0};
    buf_puts(&body, begin);
    buf_puts(&body, "mov.f32 %f0, 0f3f000000;\nmul.lo.u32 %r21, %r1, 4;\n"
                    "FILL:\nadd.u32 %r22, %r40, %r21;\nst.shared.f32 [%r22], %f0;\n"
                    "add.u32 %r21, %r21, 512;\n"
                    "setp.lt.u32 %p1, %r21, 1024;\n@%p1 bra FILL;\n"
                    "fence.proxy.async.shared::cta;\nbar.sync 0;\n@%p0 bra END;\n"
                    "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile."
                    "bulk_group [%rd1, {%r10, %r11}], [%r40];\n"
                    "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.bulk_group "
                    "[%rd1, {%r10, %r11}], [%r40];\n"
                    "cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nEND:\n");
    run_box(body.data, NULL, map, c.coord, 0);
    for (size_t k = 0; k < words; k++) {
        const size_t col = k % (stride[0] / 4), row = k / (stride[0] / 4);
        const bool is_in = col >= 16 && col < 40 && row >= 5 && row < 10;
        assert_true(tensor[k] == (float)k + (is_in ? 1.0f : 0.0f));
    }
    assert_int_equal(machine_free(map), STATUS_OK);
    assert_int_equal(machine_free(tensor), STATUS_OK);
    buf_release(&body);
}

/* --- what encoding refuses --- */

static void must_refuse(const struct async_tensor_args *a, const char *word)
{
    _Alignas(64) uint8_t map[128];
    assert_int_equal(async_tensor_map_encode(a, map), ERR_USAGE);
    if (strstr(status_message(), word) == NULL)
        fail_msg("'%s' is not in: %s", word, status_message());
}

static void test_encode(void **state)
{
    (void)state;
    _Alignas(64) uint8_t map[192];
    _Alignas(64) static uint8_t base[4096];
    struct tensor_case c = {BF16, 2, 3, 3, 0, {64, 8, 4}, {64, 8, 1}, ONES, {0}};
    uint64_t stride[MAX_RANK];
    strides_of(&c, stride);
    const struct async_tensor_args good = args_of(&c, base, stride);
    assert_int_equal(async_tensor_map_encode(&good, map), STATUS_OK);
    assert_int_equal(async_tensor_map_encode(&good, map + 32), ERR_USAGE);
    assert_int_equal(async_tensor_map_encode(&good, NULL), ERR_USAGE);
#define REFUSE(word, change)                                                           \
    do {                                                                               \
        struct async_tensor_args bad = good;                                           \
        change;                                                                        \
        must_refuse(&bad, word);                                                       \
    } while (0)
    REFUSE("data type", bad.data_type = 13);
    REFUSE("data type", bad.data_type = -1);
    REFUSE("rank", bad.rank = 0);
    REFUSE("rank", bad.rank = 6);
    REFUSE("globalAddress", bad.base = base + 8);
    REFUSE("globalAddress", bad.base = NULL);
    REFUSE("globalDim[1]", bad.dim = ((const uint64_t[]){64, 0, 4}));
    REFUSE("globalDim[2]", bad.dim = ((const uint64_t[]){64, 8, (1ull << 32) + 1}));
    REFUSE("globalStrides[0]", bad.stride_bytes = ((const uint64_t[]){136, 2048}));
    REFUSE("globalStrides[1]",
           bad.stride_bytes = ((const uint64_t[]){128, 1ull << 40}));
    REFUSE("boxDim[1]", bad.box = ((const uint32_t[]){64, 257, 1}));
    REFUSE("boxDim[2]", bad.box = ((const uint32_t[]){64, 8, 0}));
    REFUSE("boxDim[0]", bad.box = ((const uint32_t[]){60, 8, 1}));   /* 120 bytes */
    REFUSE("at most 128", bad.box = ((const uint32_t[]){72, 8, 1})); /* 144 > 128 */
    REFUSE("elementStrides[1]", bad.element_stride = ((const uint32_t[]){1, 9, 1}));
    REFUSE("elementStrides[2]", bad.element_stride = ((const uint32_t[]){1, 1, 0}));
    REFUSE("interleave", bad.interleave = 1);
    REFUSE("swizzle", bad.swizzle = 4);
    REFUSE("l2Promotion", bad.l2_promotion = 4);
    REFUSE("oobFill", bad.oob_fill = 2);
    REFUSE("oobFill", bad.data_type = U16; bad.oob_fill = 1);
#undef REFUSE
}

/* --- what kernels may not do --- */

static void must_fault_box(const char *copy, void *map, const char *word)
{
    struct buf body = {0};
    buf_puts(&body,
             "mov.u32 %r40, dynamic;\nmov.u32 %r10, 0;\nmov.u64 %rd1, %rd0;\n"
             "setp.ne.u32 %p0, %r1, 0;\n@%p0 exit;\n"
             ".shared .align 1024 .b8 box[2048];\n.shared .align 8 .b8 bar[16];\n"
             "mov.u32 %r40, box;\nmov.u32 %r41, bar;\n"
             "mbarrier.init.shared::cta.b64 [%r41], 1;\n");
    buf_puts(&body, copy);
    must_fault(body.data, 1, 32, (uint64_t)(uintptr_t)map, word, (char *)NULL);
    buf_release(&body);
}

#define LOAD_2D                                                                        \
    "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "

static void test_faults(void **state)
{
    (void)state;
    const struct tensor_case c = {F32, 4, 2, 3, 0, {40, 10}, {32, 8}, ONES, {0}};
    size_t bytes = 0;
    uint8_t *const tensor = tensor_of(&c, &bytes);
    void *const map = map_of(&c, tensor);
    must_fault_box("add.u32 %r40, %r40, 64;\n" LOAD_2D
                   "[%r40], [%rd1, {%r10, %r10}], [%r41];",
                   map, "not a multiple of 128");
    must_fault_box("add.u32 %r40, %r40, 2560;\n" LOAD_2D
                   "[%r40], [%rd1, {%r10, %r10}], [%r41];",
                   map, "go beyond the block's");
    must_fault_box("add.u32 %r41, %r41, 8;\n" LOAD_2D
                   "[%r40], [%rd1, {%r10, %r10}], [%r41];",
                   map, "no mbarrier");
    must_fault_box(LOAD_2D "[%r40], [%rd1, {%r10, %r10}], [%r41];", tensor,
                   "no tensor map");
    must_fault_box("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group "
                   "[%rd1, {%r10, %r10, %r10}], [%r40];",
                   map, "has 2 dimensions");
    /* nobody waits for the load; the bytes that land are not expected */
    must_fault_box(LOAD_2D "[%r40], [%rd1, {%r10, %r10}], [%r41];", map,
                   "nobody waited");
    must_fault_box("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group "
                   "[%rd1, {%r10, %r10}], [%r40];\ncp.async.bulk.commit_group;",
                   map, "nobody waited until this store had read");
    /* the tensor is gone */
    assert_int_equal(machine_free(tensor), STATUS_OK);
    must_fault_box(LOAD_2D "[%r40], [%rd1, {%r10, %r10}], [%r41];\n"
                           "AGAIN:\nmbarrier.try_wait.parity.shared::cta.b64 %p1, "
                           "[%r41], 0;\n@!%p1 bra AGAIN;\n",
                   map, "outside of every allocation");
    assert_int_equal(machine_free(map), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),   cmocka_unit_test(test_store),
        cmocka_unit_test(test_add),    cmocka_unit_test(test_encode),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
