/*
 * wgmma against plain loops over matrices. Where an element lies in shared memory is
 * written down here from the canonical layouts of the PTX ISA; the layouts of
 * cuda/gemm_tensor_tile.h, which a GPU has confirmed, must be among them.
 */
#include "tests/emulator/async_case.h"

#include "core/dtype_bits.h"
#include "cuda/gemm_tensor_tile.h"
#include "tests/emulator/matrix_case.h"

enum { MAX_MN = 256 };

/* How an operand lies in shared memory: the canonical layouts, in units of T elements =
 * 16 bytes. span: bytes of the swizzle, 0 none. */
struct placement {
    bool is_mn_major;
    int32_t span, lead, stride; /* bytes */
};

/* Byte offset of element (mn, k), `bytes` long each, in a pattern that begins at 0 */
static int32_t place(const struct placement *p, int32_t bytes, int32_t mn, int32_t k)
{
    const int32_t per_unit = 16 / bytes;
    int32_t at;
    if (!p->is_mn_major && p->span == 0) /* ((8,m),(T,2k)):((1T,SBO),(1,LBO)) */
        at = mn % 8 * 16 + mn / 8 * p->stride + k % per_unit * bytes +
             k / per_unit * p->lead;
    else if (!p->is_mn_major) /* ((8,m),(T,2k)):((span,SBO),(1,T)) */
        at = mn % 8 * p->span + mn / 8 * p->stride + k * bytes;
    else if (p->span == 0) /* ((T,1,m),(8,k)):((1,T,SBO),(1T,LBO)) */
        at = mn % per_unit * bytes + mn / per_unit * p->stride + k % 8 * 16 +
             k / 8 * p->lead;
    else /* ((T,span/16,m),(8,k)):((1,T,LBO),(span,SBO)) */
        at = mn * bytes % p->span + mn * bytes / p->span * p->lead + k % 8 * p->span +
             k / 8 * p->stride;
    if (p->span == 0)
        return at;
    /* rows of 128 bytes; 16-byte column of each: XOR of some bits of its row */
    const int32_t row = at / 128, column = at % 128 / 16;
    return row * 128 + (column ^ (row % (p->span / 16))) * 16 + at % 16;
}

static uint64_t describe(const struct placement *p, uint32_t address)
{
    const uint64_t mode = p->span == 128  ? 1
                          : p->span == 64 ? 2
                          : p->span == 32 ? 3
                                          : 0;
    return (uint64_t)(address >> 4) | (uint64_t)(p->lead >> 4) << 16 |
           (uint64_t)(p->stride >> 4) << 32 | mode << 62;
}

struct wgmma_case {
    const struct element_type *type;
    int32_t n;
    struct placement a, b;
    bool a_in_registers, keeps, half_d;
    int32_t sign_a, sign_b;
};

enum { B_AT = 32768, SHARED_BYTES = 65536, A_BYTES = B_AT };

struct wgmma_data {
    uint32_t shared[SHARED_BYTES / 4];
    uint32_t regs[128 * LANE_WORDS]; /* A's registers, then D's */
    float a[64][MAX_K], b[MAX_K][MAX_MN], d[64][MAX_MN];
};

static void poke(uint32_t *words, int32_t at, int32_t bytes, uint32_t bits)
{
    memcpy((uint8_t *)words + at, &bits, (size_t)bytes);
}

static struct seat seat_wgmma_d(const struct wgmma_case *c, int32_t row, int32_t col)
{
    struct seat s = seat_c(c->half_d, row % 16, col % 8);
    s.lane += row / 16 * 32;
    s.reg += col / 8 * (c->half_d ? 2 : 4);
    return s;
}

static void draw_wgmma(const struct wgmma_case *c, uint64_t seed, struct wgmma_data *w)
{
    const int32_t bytes = c->type->bytes, k_end = 32 / bytes;
    uint64_t r = seed;
    uint32_t bits;
    memset(w->regs, 0, sizeof(w->regs));
    memset(w->shared, 0x7f, sizeof(w->shared)); /* large: must not be read */
    for (int32_t k = 0; k < k_end; k++) {
        for (int32_t m = 0; m < 64; m++) {
            w->a[m][k] = draw_element(&r, c->type, &bits);
            struct seat s = seat_a(c->type, m % 16, k);
            s.lane += m / 16 * 32;
            if (c->a_in_registers)
                put_element(w->regs, 0, s, bits);
            else
                poke(w->shared, place(&c->a, bytes, m, k), bytes, bits);
        }
        for (int32_t n = 0; n < c->n; n++) {
            w->b[k][n] = draw_element(&r, c->type, &bits);
            poke(w->shared, B_AT + place(&c->b, bytes, n, k), bytes, bits);
        }
    }
    for (int32_t m = 0; m < 64; m++)
        for (int32_t n = 0; n < c->n; n++) {
            w->d[m][n] = draw_element(&r, &f16, &bits);
            put_element(w->regs, 4, seat_wgmma_d(c, m, n),
                        c->half_d ? bits : (uint32_t)bits_of(w->d[m][n]));
        }
}

/* Fills shared memory from argument 1 (128 threads, 16 bytes a turn) and loads the
 * registers from argument 2; the results go to argument 0. */
static void put_wgmma(struct buf *b, const struct wgmma_case *c)
{
    const int32_t n_regs = c->n / (c->half_d ? 4 : 2);
    const char *const d = c->half_d ? "f16" : "f32";
    buf_printf(b,
               ".reg .b32 %%d<128>;\nmov.u32 %%r40, dynamic;\n"
               "mul.wide.u32 %%rd6, %%r1, 16;\nadd.s64 %%rd6, %%rd6, %%rd1;\n"
               "mad.lo.u32 %%r41, %%r1, 16, %%r40;\nmov.u32 %%r42, 0;\n"
               "FILL:\nld.global.v4.u32 {%%r43, %%r44, %%r45, %%r46}, [%%rd6];\n"
               "st.shared.v4.u32 [%%r41], {%%r43, %%r44, %%r45, %%r46};\n"
               "add.s64 %%rd6, %%rd6, 2048;\nadd.u32 %%r41, %%r41, 2048;\n"
               "add.u32 %%r42, %%r42, 2048;\nsetp.lt.u32 %%p0, %%r42, %d;\n"
               "@%%p0 bra FILL;\nfence.proxy.async;\nbar.sync 0;\n"
               "mul.wide.u32 %%rd6, %%r1, %d;\nadd.s64 %%rd5, %%rd2, %%rd6;\n"
               "add.s64 %%rd6, %%rd0, %%rd6;\n",
               SHARED_BYTES, 4 * LANE_WORDS);
    for (int32_t n = 0; n < 4; n++)
        buf_printf(b, "ld.global.b32 %%r%d, [%%rd5+%d];\n", 10 + n, 4 * n);
    for (int32_t n = 0; n < n_regs; n++)
        buf_printf(b, "ld.global.b32 %%d%d, [%%rd5+%d];\n", n, 16 + 4 * n);
    /* the descriptors' addresses are relative to the dynamic memory's beginning */
    buf_printf(b,
               "cvt.u64.u32 %%rd7, %%r40;\nshr.u64 %%rd7, %%rd7, 4;\n"
               "add.s64 %%rd8, %%rd7, %llu;\nadd.s64 %%rd9, %%rd7, %llu;\n"
               "setp.ne.u32 %%p1, %%r40, %%r40;\n%s"
               "wgmma.fence.sync.aligned;\n"
               "wgmma.mma_async.sync.aligned.m64n%dk%d.%s.%s.%s {",
               (unsigned long long)describe(&c->a, 0),
               (unsigned long long)describe(&c->b, B_AT),
               c->keeps ? "not.pred %p1, %p1;\n" : "", c->n, 32 / c->type->bytes, d,
               c->type->name, c->type->name);
    for (int32_t n = 0; n < n_regs; n++)
        buf_printf(b, "%s%%d%d", n == 0 ? "" : ", ", n);
    buf_printf(b, "}, %s, %%rd9, %%p1, %d, %d",
               c->a_in_registers ? "{%r10, %r11, %r12, %r13}" : "%rd8", c->sign_a,
               c->sign_b);
    if (c->type->bytes == 2 && !c->a_in_registers)
        buf_printf(b, ", %d", c->a.is_mn_major);
    if (c->type->bytes == 2)
        buf_printf(b, ", %d", c->b.is_mn_major);
    buf_puts(b, ";\nwgmma.commit_group.sync.aligned;\n"
                "wgmma.wait_group.sync.aligned 0;\n");
    for (int32_t n = 0; n < n_regs; n++)
        buf_printf(b, "st.global.b32 [%%rd6+%d], %%d%d;\n", 4 * n, n);
}

static void compare_wgmma(const struct wgmma_case *c, const struct wgmma_data *w,
                          const uint32_t *out)
{
    const float sign = (float)(c->sign_a * c->sign_b);
    for (int32_t m = 0; m < 64; m++)
        for (int32_t n = 0; n < c->n; n++) {
            float want = c->keeps ? w->d[m][n] : 0.0f;
            for (int32_t k = 0; k < 32 / c->type->bytes; k++)
                want += sign * w->a[m][k] * w->b[k][n];
            const struct seat s = seat_wgmma_d(c, m, n);
            const uint32_t got = out[s.lane * LANE_WORDS + s.reg] >> s.shift;
            if (c->half_d)
                assert_int_equal(got & 0xffff, f16_from_bits(bits_of(want)));
            else
                assert_int_equal(got, (uint32_t)bits_of(want));
        }
}

static void check_wgmma(const struct wgmma_case *c, uint64_t seed)
{
    static struct wgmma_data w;
    struct buf body = {0};
    draw_wgmma(c, seed, &w);
    put_wgmma(&body, c);
    uint32_t *const shared = device_words(SHARED_BYTES / 4);
    uint32_t *const regs = device_words(128 * LANE_WORDS);
    uint32_t *const out = device_words(128 * LANE_WORDS);
    memcpy(shared, w.shared, sizeof(w.shared));
    memcpy(regs, w.regs, sizeof(w.regs));
    must_run(&(struct ptx_case){.body = body.data,
                                .blocks = 1,
                                .threads = 128,
                                .dynamic_bytes = SHARED_BYTES,
                                .arg = {(uint64_t)(uintptr_t)out,
                                        (uint64_t)(uintptr_t)shared,
                                        (uint64_t)(uintptr_t)regs}});
    compare_wgmma(c, &w, out);
    assert_int_equal(machine_free(shared), STATUS_OK);
    assert_int_equal(machine_free(regs), STATUS_OK);
    assert_int_equal(machine_free(out), STATUS_OK);
    buf_release(&body);
}

/* Strides with gaps, so that mixing them up cannot go unseen. */
static struct placement placement_of(bool is_mn_major, int32_t span, int32_t n_mn)
{
    struct placement p = {is_mn_major, span, 16, 0};
    const int32_t pattern = span == 0 ? 128 : 8 * span;
    if (!is_mn_major) {
        p.stride = pattern + pattern / 2 / 1024 * 1024 + (span == 0 ? 128 : 0);
        p.lead = span == 0 ? n_mn / 8 * p.stride + 128 : 16;
    } else if (span == 0) {
        p.stride = 256;                     /* 8 rows to the next 8 */
        p.lead = n_mn / 8 * p.stride + 128; /* 8 steps to the next 8 */
    } else {
        p.stride = pattern;   /* 8 steps to the next 8 */
        p.lead = 3 * pattern; /* a line's rows to the next */
    }
    return p;
}

static void test_wgmma_layouts(void **state)
{
    (void)state;
    static const int32_t spans[] = {0, 32, 64, 128};
    static const int32_t widths[] = {8, 24, 64, 72, 136};
    for (int32_t major = 0; major < 4; major++)
        for (int32_t s = 0; s < 16; s++) {
            const int32_t n = widths[(s + major) % 5];
            const struct wgmma_case c = {
                .type = s % 2 != 0 ? &f16 : &bf16,
                .n = n,
                .a = placement_of(major % 2 != 0, spans[s / 4], 64),
                .b = placement_of(major / 2 != 0, spans[s % 4], n),
                .keeps = s % 3 != 0,
                .sign_a = 1,
                .sign_b = s % 5 == 4 ? -1 : 1,
            };
            set_early(s % 2 == 0);
            check_wgmma(&c, (uint64_t)(100 * major + s));
        }
    set_early(false);
}

/* All widths, A in registers, both signs, f16 results, tf32. */
static void test_wgmma_forms(void **state)
{
    (void)state;
    for (int32_t n = 8; n <= 256; n += 8) {
        struct wgmma_case c = {.type = n % 16 == 0 ? &bf16 : &f16,
                               .n = n,
                               .a = placement_of(false, 128, 64),
                               .b = placement_of(false, n % 24 == 0 ? 64 : 32, n),
                               .a_in_registers = n % 3 != 0,
                               .keeps = n % 5 != 0,
                               .half_d = n % 16 != 0 && n % 3 == 0,
                               .sign_a = n % 7 == 0 ? -1 : 1,
                               .sign_b = n % 11 == 0 ? -1 : 1};
        check_wgmma(&c, (uint64_t)n);
        c.type = &tf32;
        c.half_d = false;
        check_wgmma(&c, (uint64_t)n + 1000);
    }
}

/* The layouts that products of the CUDA backend have on a GPU. */
static void test_wgmma_backend_layouts(void **state)
{
    (void)state;
    for (int32_t mn = 0; mn < 64; mn++)
        for (int32_t step = 0; step < 64; step++) {
            const struct placement k_major = {false, 128, 16, 1024};
            const struct placement mn_major = {true, 128, 8192, 1024};
            assert_int_equal(gemm_smem_k_major(mn, step), place(&k_major, 2, mn, step));
            assert_int_equal(gemm_smem_mn_major(mn, step),
                             place(&mn_major, 2, mn, step));
            assert_int_equal(gemm_descriptor(0x8400, false),
                             describe(&k_major, 0x8400));
            assert_int_equal(gemm_descriptor(0x8400, true),
                             describe(&mn_major, 0x8400));
        }
}

/* A product in flight: a kernel that waits too late or not at all sees the accumulators
 * as they were, and one that overwrites an operand before it waits gets another sum. */
static const char in_flight[] =
    "mov.u32 %%r40, dynamic;\nmad.lo.u32 %%r41, %%r1, 16, %%r40;\n"
    "mov.u32 %%r42, 0x3f803f80;\n" /* ones everywhere */
    "st.shared.v4.u32 [%%r41], {%%r42, %%r42, %%r42, %%r42};\n"
    "fence.proxy.async;\nbar.sync 0;\nmov.f32 %%f0, 0f41200000;\n"
    "mov.f32 %%f1, %%f0;\nmov.f32 %%f2, %%f0;\nmov.f32 %%f3, %%f0;\n"
    "cvt.u64.u32 %%rd7, %%r40;\nshr.u64 %%rd7, %%rd7, 4;\n"
    "or.b64 %%rd8, %%rd7, %llu;\nsetp.eq.u32 %%p1, %%r40, %%r40;\n"
    "wgmma.fence.sync.aligned;\n"
    "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%%f0, %%f1, %%f2, %%f3}, "
    "%%rd8, %%rd8, %%p1, 1, 1, 0, 0;\nwgmma.commit_group.sync.aligned;\n"
    "%s"
    "wgmma.wait_group.sync.aligned 0;\nmov.f32 %%f%d, %%f0;\n"
    "st.global.f32 [%%rd4], %%f%d;\n";

static float in_flight_result(bool is_early, const char *before_wait, int32_t reads)
{
    char body[2048];
    const struct placement p = {false, 0, 128, 256};
    snprintf(body, sizeof(body), in_flight, (unsigned long long)describe(&p, 0),
             before_wait, 11, reads);
    uint32_t *const out = device_words(128);
    set_early(is_early);
    must_run(&(struct ptx_case){.body = body,
                                .blocks = 1,
                                .threads = 128,
                                .dynamic_bytes = 2048,
                                .arg = {(uint64_t)(uintptr_t)out}});
    set_early(false);
    const float v = float_of((int32_t)out[5]);
    assert_int_equal(machine_free(out), STATUS_OK);
    return v;
}

static void test_wgmma_in_flight(void **state)
{
    (void)state;
    /* the first barrier: all warps have issued the product */
    static const char overwrite[] =
        "bar.sync 0;\nmov.u32 %r42, 0;\n"
        "st.shared.v4.u32 [%r41], {%r42, %r42, %r42, %r42};\n"
        "bar.sync 0;\n";
    static const char read_now[] = "bar.sync 0;\nmov.f32 %f12, %f0;\nbar.sync 0;\n";
    for (int32_t is_early = 0; is_early < 2; is_early++) {
        assert_true(in_flight_result(is_early != 0, "", 11) == 26.0f);
        assert_true(in_flight_result(is_early != 0, overwrite, 11) ==
                    (is_early ? 26.0f : 10.0f));
        assert_true(in_flight_result(is_early != 0, read_now, 12) ==
                    (is_early ? 26.0f : 10.0f));
    }
}

static void test_wgmma_faults(void **state)
{
    (void)state;
    static const char product[] =
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3}, "
        "%rd8, %rd9, %p1, 1, 1, 0, 0;\n";
    static const char end[] = "wgmma.commit_group.sync.aligned;\n"
                              "wgmma.wait_group.sync.aligned 0;\n";
    char body[1024];
    snprintf(body, sizeof(body), "mov.u64 %%rd8, 0;\nmov.u64 %%rd9, 0;\n%s%s", product,
             end);
    must_fault(body, 1, 128, 0, "no wgmma.fence", (char *)NULL);
    static const char *const starts[] = {
        "mov.u64 %rd8, 0x3fff;\nmov.u64 %rd9, 0;\n",
        "shared",
        "mov.u64 %rd8, 0x4000;\nmov.u64 %rd9, 0;\n",
        "bits outside its fields",
        "mov.u64 %rd8, 0;\ncvt.u64.u32 %rd9, %r1;\n",
        "differs between the threads",
        "mov.u64 %rd8, 0;\nmov.u32 %r9, %warpid;\ncvt.u64.u32 %rd9, %r9;\n",
        "another warp of the group",
    };
    for (int64_t n = 0; n < ARRAY_LEN(starts); n += 2) {
        snprintf(body, sizeof(body),
                 "%ssetp.eq.u32 %%p1, %%r1, 999;\nwgmma.fence.sync.aligned;\n%s%s",
                 starts[n], product, end);
        must_fault(body, 1, 128, 0, starts[n + 1], (char *)NULL);
    }
    snprintf(body, sizeof(body), "wgmma.fence.sync.aligned;\n%s", product);
    must_fault(body, 1, 64, 0, "group of four", (char *)NULL);
    snprintf(body, sizeof(body),
             "mov.u64 %%rd8, 0;\nmov.u64 %%rd9, 0;\nsetp.eq.u32 %%p1, %%r1, 999;\n"
             "wgmma.fence.sync.aligned;\n%s",
             product);
    must_fault(body, 1, 128, 0, "nobody waited", (char *)NULL);
    snprintf(body, sizeof(body),
             "mov.u64 %%rd8, 0;\nmov.u64 %%rd9, 0;\nsetp.gt.u32 %%p0, %%r1, 95;\n"
             "@%%p0 exit;\nwgmma.fence.sync.aligned;\n%s%s",
             product, end);
    must_fault(body, 1, 128, 0, "deadlock", (char *)NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wgmma_layouts),
        cmocka_unit_test(test_wgmma_forms),
        cmocka_unit_test(test_wgmma_backend_layouts),
        cmocka_unit_test(test_wgmma_in_flight),
        cmocka_unit_test(test_wgmma_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
