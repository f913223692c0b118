/*
 * mma, ldmatrix, stmatrix and movmatrix against plain loops over matrices.
 */
#include "tests/emulator/run_ptx.h"

#include "core/dtype_bits.h"
#include "tests/emulator/matrix_case.h"

/* Lane l finds in[l * LANE_WORDS + n] in %r10 + n (n_in of them, up to 12), runs the
 * instruction and leaves %r30 + n (n_out of them) in out. */
static void run_lanes(const char *instruction, int32_t n_in, int32_t n_out,
                      const uint32_t *in, uint32_t *out)
{
    struct buf body = {0};
    const size_t bytes = sizeof(uint32_t) * PTX_LANES * LANE_WORDS;
    uint32_t *const d_in = device_words(PTX_LANES * LANE_WORDS);
    uint32_t *const d_out = device_words(PTX_LANES * LANE_WORDS);
    memcpy(d_in, in, bytes);
    buf_printf(&body,
               "mul.wide.u32 %%rd6, %%r1, %d;\nadd.s64 %%rd5, %%rd1, %%rd6;\n"
               "add.s64 %%rd6, %%rd0, %%rd6;\n",
               4 * LANE_WORDS);
    for (int32_t n = 0; n < n_in; n++)
        buf_printf(&body, "ld.global.b32 %%r%d, [%%rd5+%d];\n", 10 + n, 4 * n);
    buf_puts(&body, instruction);
    for (int32_t n = 0; n < n_out; n++)
        buf_printf(&body, "\nst.global.b32 [%%rd6+%d], %%r%d;", 4 * n, 30 + n);
    must_run(&(struct ptx_case){
        .body = body.data,
        .blocks = 1,
        .threads = PTX_LANES,
        .dynamic_bytes = 4096,
        .arg = {(uint64_t)(uintptr_t)d_out, (uint64_t)(uintptr_t)d_in}});
    memcpy(out, d_out, bytes);
    assert_int_equal(machine_free(d_in), STATUS_OK);
    assert_int_equal(machine_free(d_out), STATUS_OK);
    buf_release(&body);
}

struct mma_case {
    const char *shape;
    int32_t k;
    const struct element_type *type;
    const char *d, *c; /* "f32" or "f16" */
    int32_t n_a, n_b, n_d, n_c;
};

/* "{%r10, %r11}" */
static void put_registers(struct buf *b, int32_t first, int32_t n)
{
    for (int32_t k = 0; k < n; k++)
        buf_printf(b, "%s%%r%d", k == 0 ? "{" : ", ", first + k);
    buf_puts(b, "}");
}

static void check_mma(const struct mma_case *c, uint64_t seed)
{
    static uint32_t in[PTX_LANES * LANE_WORDS], out[PTX_LANES * LANE_WORDS];
    uint64_t r = seed;
    struct buf text = {0};
    float a[16][MAX_K], b[MAX_K][8], d[16][8];
    const bool half_c = strcmp(c->c, "f16") == 0, half_d = strcmp(c->d, "f16") == 0;
    uint32_t bits;
    memset(in, 0, sizeof(in));
    for (int32_t k = 0; k < c->k; k++) {
        for (int32_t row = 0; row < 16; row++) {
            a[row][k] = draw_element(&r, c->type, &bits);
            put_element(in, 0, seat_a(c->type, row, k), bits);
        }
        for (int32_t col = 0; col < 8; col++) {
            b[k][col] = draw_element(&r, c->type, &bits);
            put_element(in, c->n_a, seat_b(c->type, k, col), bits);
        }
    }
    for (int32_t n = 0; n < 128; n++) {
        d[n / 8][n % 8] = draw_element(&r, &f16, &bits);
        if (!half_c)
            bits = (uint32_t)bits_of(d[n / 8][n % 8]);
        put_element(in, c->n_a + c->n_b, seat_c(half_c, n / 8, n % 8), bits);
    }
    buf_printf(&text, "mma.sync.aligned.%s.row.col.%s.%s.%s.%s ", c->shape, c->d,
               c->type->name, c->type->name, c->c);
    put_registers(&text, 30, c->n_d);
    buf_puts(&text, ", ");
    put_registers(&text, 10, c->n_a);
    buf_puts(&text, ", ");
    put_registers(&text, 10 + c->n_a, c->n_b);
    buf_puts(&text, ", ");
    put_registers(&text, 10 + c->n_a + c->n_b, c->n_c);
    buf_puts(&text, ";");
    run_lanes(text.data, c->n_a + c->n_b + c->n_c, c->n_d, in, out);
    buf_release(&text);
    for (int32_t row = 0; row < 16; row++)
        for (int32_t col = 0; col < 8; col++) {
            float want = d[row][col];
            for (int32_t k = 0; k < c->k; k++)
                want += a[row][k] * b[k][col];
            const struct seat s = seat_c(half_d, row, col);
            const uint32_t got = out[s.lane * LANE_WORDS + s.reg] >> s.shift;
            if (half_d)
                assert_int_equal(got & 0xffff, f16_from_bits(bits_of(want)));
            else
                assert_int_equal(got, (uint32_t)bits_of(want));
        }
}

static void test_mma(void **state)
{
    (void)state;
    static const struct mma_case cases[] = {
        {"m16n8k16", 16, &bf16, "f32", "f32", 4, 2, 4, 4},
        {"m16n8k8", 8, &bf16, "f32", "f32", 2, 1, 4, 4},
        {"m16n8k16", 16, &f16, "f32", "f32", 4, 2, 4, 4},
        {"m16n8k16", 16, &f16, "f16", "f16", 4, 2, 2, 2},
        {"m16n8k8", 8, &f16, "f32", "f32", 2, 1, 4, 4},
        {"m16n8k8", 8, &f16, "f16", "f16", 2, 1, 2, 2},
        {"m16n8k8", 8, &tf32, "f32", "f32", 4, 2, 4, 4},
        {"m16n8k4", 4, &tf32, "f32", "f32", 2, 1, 4, 4},
    };
    for (int64_t n = 0; n < ARRAY_LEN(cases); n++)
        for (uint64_t seed = 1; seed <= 3; seed++)
            check_mma(&cases[n], seed);
}

/* 1 + 2^-24 + ... + 2^-24: each addition is rounded to nearest even, so that the small
 * terms vanish behind the 1; first, they would add up. */
static void test_mma_order(void **state)
{
    (void)state;
    static uint32_t in[PTX_LANES * LANE_WORDS], out[PTX_LANES * LANE_WORDS];
    const uint32_t small = bf16_from_bits(bits_of(0x1p-24f)), one = 0x3f80;
    for (int32_t lane = 0; lane < PTX_LANES; lane++) {
        uint32_t *const w = in + lane * LANE_WORDS;
        for (int32_t n = 0; n < 4; n++)
            w[n] = small | small << 16;
        w[4] = w[5] = one | one << 16;
        w[6] = w[7] = 0x3f800000; /* rows 0 .. 7 begin with 1 */
        w[8] = w[9] = 0;
    }
    run_lanes(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%r30, %r31, %r32, "
        "%r33}, {%r10, %r11, %r12, %r13}, {%r14, %r15}, {%r16, %r17, %r18, %r19};",
        10, 4, in, out);
    for (int32_t lane = 0; lane < PTX_LANES; lane++) {
        assert_int_equal(out[lane * LANE_WORDS], 0x3f800000);
        assert_int_equal(out[lane * LANE_WORDS + 2], bits_of(0x1p-20f));
    }
}

static void test_mma_faults(void **state)
{
    (void)state;
    /* half a warp; then a warp of which half goes elsewhere for good */
    const char *const body =
        "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%f0, %f1, %f2, %f3}, "
        "{%r10, %r11}, {%r12}, {%f0, %f1, %f2, %f3};";
    must_fault(body, 1, 16, 0, "mma", "needs all 32 threads", (char *)NULL);
    char split[512];
    snprintf(split, sizeof(split), "setp.lt.u32 %%p0, %%r1, 16;\n@%%p0 %s", body);
    must_fault(split, 1, 32, 0, "needs all 32 threads", (char *)NULL);
}

/* --- ldmatrix, stmatrix, movmatrix --- */

/* Shared memory holds matrices of rows of 16 bytes, row n of all at offset 32 n (a
 * pitch that is not 16, so that addresses matter): element e of row n is 100 n + e. */
static const char fill_rows[] =
    "mov.u32 %r40, dynamic;\n"
    "mad.lo.u32 %r41, %r1, 32, %r40;\n" /* this lane's row */
    "mul.lo.u32 %r42, %r1, 100;\n"
    "mul.lo.u32 %r42, %r42, 65537;\n"
    "add.u32 %r42, %r42, 65536;\n" /* elements 0 and 1 */
    "st.shared.u32 [%r41], %r42;\n"
    "add.u32 %r42, %r42, 131074;\n"
    "st.shared.u32 [%r41+4], %r42;\n"
    "add.u32 %r42, %r42, 131074;\n"
    "st.shared.u32 [%r41+8], %r42;\n"
    "add.u32 %r42, %r42, 131074;\n"
    "st.shared.u32 [%r41+12], %r42;\n"
    "bar.warp.sync 0xffffffff;\n";

static void check_ldmatrix(int32_t n, bool is_trans)
{
    static uint32_t in[PTX_LANES * LANE_WORDS], out[PTX_LANES * LANE_WORDS];
    struct buf text = {0};
    buf_puts(&text, fill_rows);
    buf_printf(&text, "ldmatrix.sync.aligned.m8n8.x%d%s.shared.b16 ", n,
               is_trans ? ".trans" : "");
    put_registers(&text, 30, n);
    buf_puts(&text, ", [%r41];");
    run_lanes(text.data, 0, n, in, out);
    buf_release(&text);
    for (int32_t m = 0; m < n; m++)
        for (int32_t row = 0; row < 8; row++)
            for (int32_t col = 0; col < 8; col++) {
                const int32_t i = is_trans ? col : row, j = is_trans ? row : col;
                const int32_t lane = i * 4 + j / 2;
                const uint32_t got = out[lane * LANE_WORDS + m] >> j % 2 * 16 & 0xffff;
                assert_int_equal(got, 100 * (8 * m + row) + col);
            }
}

static void test_ldmatrix(void **state)
{
    (void)state;
    for (int32_t n = 1; n <= 4; n *= 2) {
        check_ldmatrix(n, false);
        check_ldmatrix(n, true);
    }
    must_fault("mov.u32 %r40, dynamic;\nmad.lo.u32 %r41, %r1, 8, %r40;\n"
               "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r30}, [%r41];",
               1, 32, 0, "ldmatrix", "16", (char *)NULL);
}

/* stmatrix writes what ldmatrix reads: through it and back, and transposed once. */
static void test_stmatrix(void **state)
{
    (void)state;
    static uint32_t in[PTX_LANES * LANE_WORDS], out[PTX_LANES * LANE_WORDS];
    static const char back[] =
        "ldmatrix.sync.aligned.m8n8.x4.shared.b16 "
        "{%r10, %r11, %r12, %r13}, [%r41];\n"
        "add.u32 %r43, %r41, 1024;\n"
        "stmatrix.sync.aligned.m8n8.x4%s.shared.b16 [%%r43], "
        "{%%r10, %%r11, %%r12, %%r13};\nbar.warp.sync -1;\n"
        "ld.shared.v4.u32 {%%r30, %%r31, %%r32, %%r33}, [%%r43];";
    for (int32_t trans = 0; trans < 2; trans++) {
        struct buf text = {0};
        buf_puts(&text, fill_rows);
        const char *const split = strstr(back, "%s");
        buf_printf(&text, "%.*s", (int)(split - back), back);
        buf_puts(&text, trans ? ".trans" : "");
        for (const char *p = split + 2; *p != 0; p++)
            if (p[0] != '%' || p[1] != '%')
                buf_printf(&text, "%c", *p);
        run_lanes(text.data, 0, 4, in, out);
        buf_release(&text);
        for (int32_t lane = 0; lane < PTX_LANES; lane++)
            for (int32_t e = 0; e < 8; e++) {
                const int32_t row = trans ? lane / 8 * 8 + e : lane;
                const int32_t col = trans ? lane % 8 : e;
                const uint32_t got = out[lane * LANE_WORDS + e / 2] >> e % 2 * 16;
                assert_int_equal(got & 0xffff, 100 * row + col);
            }
    }
}

static void test_movmatrix(void **state)
{
    (void)state;
    static uint32_t in[PTX_LANES * LANE_WORDS], out[PTX_LANES * LANE_WORDS];
    for (uint32_t lane = 0; lane < PTX_LANES; lane++)
        in[lane * LANE_WORDS] = (2 * lane) | (2 * lane + 1) << 16; /* 8 row + col */
    run_lanes("movmatrix.sync.aligned.m8n8.trans.b16 %r30, %r10;", 1, 1, in, out);
    for (int32_t row = 0; row < 8; row++)
        for (int32_t col = 0; col < 8; col++) {
            const uint32_t got = out[(row * 4 + col / 2) * LANE_WORDS] >> col % 2 * 16;
            assert_int_equal(got & 0xffff, 8 * col + row);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mma),        cmocka_unit_test(test_mma_order),
        cmocka_unit_test(test_mma_faults), cmocka_unit_test(test_ldmatrix),
        cmocka_unit_test(test_stmatrix),   cmocka_unit_test(test_movmatrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
