/*
 * mma, ldmatrix, stmatrix, movmatrix and wgmma against plain loops over matrices. Where
 * an element lies (which thread, register and half; which byte of shared memory) is
 * written down here from the figures of the PTX ISA, going from element to place; the
 * emulator goes from place to element. The layouts of cuda/gemm_tensor_tile.h, which a
 * GPU has confirmed, are tried as well.
 */
#include "tests/emulator/run_ptx.h"

#include "core/dtype_bits.h"
#include "cuda/gemm_tensor_tile.h"
#include "emulator/settings.h"

enum { MAX_MN = 256, MAX_K = 16, LANE_WORDS = 160 };

struct element_type {
    const char *name;
    int32_t bytes;
    bool is_f16, is_tf32;
};
static const struct element_type bf16 = {"bf16", 2, false, false};
static const struct element_type f16 = {"f16", 2, true, false};
static const struct element_type tf32 = {"tf32", 4, false, true};

/* splitmix64's upper half */
static uint32_t draw_u32(uint64_t *r)
{
    uint64_t z = (*r += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

/* A number of few bits and its representation. tf32's low bits are noise that must be
 * ignored. */
static float draw(uint64_t *r, const struct element_type *t, uint32_t *bits_out)
{
    const float v = (float)((int32_t)(draw_u32(r) % 64) - 32) * 0.125f;
    *bits_out = t->is_tf32  ? (uint32_t)bits_of(v) | (draw_u32(r) & 0x1fff)
                : t->is_f16 ? f16_from_bits(bits_of(v))
                            : bf16_from_bits(bits_of(v));
    return v;
}

static void set_early(bool is_early)
{
    struct emulator_settings s = *emulator_settings();
    s.is_async_early = is_early;
    emulator_settings_override(&s);
}

/* --- one warp: words of each lane in, words out --- */

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

/* --- mma --- */

/* The place of an element in a fragment: lane, register, and bit of the register. */
struct seat {
    int32_t lane, reg, shift;
};

/* A (16, k): "groupID = lane / 4, threadID_in_group = lane % 4" */
static struct seat seat_a(const struct element_type *t, int32_t row, int32_t col)
{
    const int32_t group = row % 8, low_rows = row / 8;
    if (t->is_tf32)
        return (struct seat){group * 4 + col % 4, low_rows + 2 * (col / 4), 0};
    return (struct seat){group * 4 + col % 8 / 2, low_rows + 2 * (col / 8),
                         col % 2 * 16};
}

/* B (k, 8) */
static struct seat seat_b(const struct element_type *t, int32_t row, int32_t col)
{
    if (t->is_tf32)
        return (struct seat){col * 4 + row % 4, row / 4, 0};
    return (struct seat){col * 4 + row % 8 / 2, row / 8, row % 2 * 16};
}

/* C and D (16, 8) of 32 or of 16 bits */
static struct seat seat_c(bool is_half, int32_t row, int32_t col)
{
    const int32_t lane = row % 8 * 4 + col / 2;
    if (is_half)
        return (struct seat){lane, row / 8, col % 2 * 16};
    return (struct seat){lane, row / 8 * 2 + col % 2, 0};
}

static void put(uint32_t *words, int32_t first, struct seat s, uint32_t bits)
{
    words[s.lane * LANE_WORDS + first + s.reg] |= bits << s.shift;
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
            a[row][k] = draw(&r, c->type, &bits);
            put(in, 0, seat_a(c->type, row, k), bits);
        }
        for (int32_t col = 0; col < 8; col++) {
            b[k][col] = draw(&r, c->type, &bits);
            put(in, c->n_a, seat_b(c->type, k, col), bits);
        }
    }
    for (int32_t n = 0; n < 128; n++) {
        d[n / 8][n % 8] = draw(&r, &f16, &bits);
        if (!half_c)
            bits = (uint32_t)bits_of(d[n / 8][n % 8]);
        put(in, c->n_a + c->n_b, seat_c(half_c, n / 8, n % 8), bits);
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

/* --- wgmma --- */

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
            w->a[m][k] = draw(&r, c->type, &bits);
            struct seat s = seat_a(c->type, m % 16, k);
            s.lane += m / 16 * 32;
            if (c->a_in_registers)
                put(w->regs, 0, s, bits);
            else
                poke(w->shared, place(&c->a, bytes, m, k), bytes, bits);
        }
        for (int32_t n = 0; n < c->n; n++) {
            w->b[k][n] = draw(&r, c->type, &bits);
            poke(w->shared, B_AT + place(&c->b, bytes, n, k), bytes, bits);
        }
    }
    for (int32_t m = 0; m < 64; m++)
        for (int32_t n = 0; n < c->n; n++) {
            w->d[m][n] = draw(&r, &f16, &bits);
            put(w->regs, 4, seat_wgmma_d(c, m, n),
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
        cmocka_unit_test(test_mma),
        cmocka_unit_test(test_mma_order),
        cmocka_unit_test(test_mma_faults),
        cmocka_unit_test(test_ldmatrix),
        cmocka_unit_test(test_stmatrix),
        cmocka_unit_test(test_movmatrix),
        cmocka_unit_test(test_wgmma_layouts),
        cmocka_unit_test(test_wgmma_forms),
        cmocka_unit_test(test_wgmma_backend_layouts),
        cmocka_unit_test(test_wgmma_in_flight),
        cmocka_unit_test(test_wgmma_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
