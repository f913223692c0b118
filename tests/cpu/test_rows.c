/*
 * Rows in bf16: moved, rounded and widened exactly; and products of them, which have to
 * give the bits that the same values give as fp32 rows - and, where products round
 * their rows, those of the unrounded rows - and whole numbers exactly.
 */
#include "tests/cpu/op_check.h"

struct move {
    void *y;
    enum dtype y_dtype;
    struct rows x;
    const int32_t *idx;
    int64_t div, d, m;
};

static void run_move(struct backend *b, void *arg)
{
    const struct move *const p = arg;
    b->rows_gather(b, p->y, p->y_dtype, p->x, p->idx, p->div, p->d, p->m);
}

static void *op_rows(enum dtype dtype, int64_t n, float (*value)(void))
{
    void *const p = op_bytes((size_t)n * dtype_bytes(dtype));
    for (int64_t i = 0; i < n; i++)
        dtype_put(p, dtype, i, value());
    return p;
}

static void check_move(const struct move *p)
{
    const size_t bytes = dtype_bytes(p->y_dtype);
    char want[4];
    for (int64_t i = 0; i < p->m * p->d; i++) {
        const int64_t r = p->idx != NULL ? p->idx[i / p->d] / p->div : i / p->d;
        dtype_put(want, p->y_dtype, 0,
                  dtype_get(p->x.data, p->x.dtype, r * p->d + i % p->d));
        assert_memory_equal((const char *)p->y + (size_t)i * bytes, want, bytes);
    }
}

static void test_move(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{0, 4}, {1, 1}, {5, 33}, {7, 40}, {70, 1032}};
    for (int i = 0; i < 8 * ARRAY_LEN(shapes); i++) {
        const int64_t m = shapes[i / 8][0], d = shapes[i / 8][1];
        op_seed((uint64_t)i);
        struct move p = {.y_dtype = i & 1 ? DTYPE_BF16 : DTYPE_F32,
                         .x.dtype = i & 2 ? DTYPE_BF16 : DTYPE_F32,
                         .div = i & 4 ? 2 : 1,
                         .d = d,
                         .m = m};
        p.x.data = op_rows(p.x.dtype, m * d, op_random);
        p.y = op_bytes((size_t)(m * d) * dtype_bytes(p.y_dtype));
        int32_t *const idx = op_ints(m);
        for (int64_t r = 0; r < m; r++)
            idx[r] = (int32_t)op_below(m * p.div);
        p.idx = i & 4 ? idx : NULL;
        const struct op_out out = {p.y, (size_t)(m * d) * dtype_bytes(p.y_dtype)};
        op_all(run_move, &p, &out, 1);
        check_move(&p);
        op_release(NULL);
    }
}

/* Not a number, infinities and what rounds up to one */
static void test_special(void **state)
{
    (void)state;
    static const uint32_t bits[] = {0x7fc00000, 0x7f800001, 0xff800000, 0x7f800000,
                                    0x7f7fffff, 0x80000000, 0x00000001, 0x3f808000};
    static const uint16_t want[] = {0x7fc0, 0x7fc0, 0xff80, 0x7f80,
                                    0x7f80, 0x8000, 0x0000, 0x3f80};
    float *const x = op_floats(8);
    memcpy(x, bits, sizeof(bits));
    struct move p = {.y = op_bytes(16),
                     .y_dtype = DTYPE_BF16,
                     .x = rows_f32(x),
                     .div = 1,
                     .d = 8,
                     .m = 1};
    op_run_best(run_move, &p);
    assert_memory_equal(p.y, want, sizeof(want));
}

struct product {
    struct weight plain, packed;
    float *y, *dx, *dw;
    struct rows x, dy;
    const int32_t *off;
    int64_t m;
};

static void run_product(struct backend *b, void *arg)
{
    const struct product *const p = arg;
    const struct weight *const w = b->product_layout == WEIGHT_PLAIN ? &p->plain
                                                                     : &p->packed;
    b->gemm_fwd(b, p->y, p->x, w, p->off, p->m);
    b->gemm_dx(b, p->dx, p->dy, w, p->off, p->m);
    b->gemm_dw(b, p->dw, p->dy, p->x, w, p->off, p->m);
}

static void run_product_rows(struct backend *b, void *arg)
{
    enum dtype *const dtype = arg;
    *dtype = b->product_rows;
}

static int64_t n_dw(const struct product *p) /* of either layout */
{
    return weight_n_elems(WEIGHT_PACKED, p->packed.n_mats, p->packed.n, p->packed.k);
}

/* dims: n_mats, n, k, m */
static void product_init(struct product *p, const int64_t *dims, float (*value)(void))
{
    const int64_t n_mats = dims[0], n = dims[1], k = dims[2], m = dims[3];
    op_seed((uint64_t)(n * 1000 + k * 10 + m));
    *p = (struct product){.plain = {NULL, DTYPE_BF16, WEIGHT_PLAIN, n_mats, n, k},
                          .packed = {NULL, DTYPE_BF16, WEIGHT_PACKED, n_mats, n, k},
                          .m = m};
    void *const plain = op_rows(DTYPE_BF16, n_mats * n * k, value);
    void *const packed = op_bytes((size_t)n_dw(p) * 2);
    memset(packed, 0, (size_t)n_dw(p) * 2);
    for (int64_t i = 0; i < n_mats * n * k; i++)
        dtype_put(packed, DTYPE_BF16,
                  weight_index(WEIGHT_PACKED, n, k, i / (n * k), i / k % n, i % k),
                  dtype_get(plain, DTYPE_BF16, i));
    p->plain.data = plain;
    p->packed.data = packed;
    p->x = rows_f32(op_filled(m * k, value));
    p->dy = rows_f32(op_filled(m * n, value));
    p->y = op_floats(m * n);
    p->dx = op_floats(m * k);
    p->dw = op_constant(n_dw(p), 0);
    int32_t *const off = op_ints(n_mats + 1);
    off[0] = 0;
    for (int64_t e = 1; e <= n_mats; e++)
        off[e] = (int32_t)(e == n_mats ? m : off[e - 1] + op_below(m - off[e - 1] + 1));
    p->off = n_mats > 1 ? off : NULL;
}

static struct rows rounded(struct rows x, int64_t n)
{
    void *const half = op_bytes((size_t)n * 2);
    dtype_narrow(half, DTYPE_BF16, x.data, n);
    return (struct rows){half, DTYPE_BF16};
}

static struct rows widened(struct rows x, int64_t n)
{
    float *const wide = op_floats(n);
    dtype_widen(wide, x.data, x.dtype, n);
    return rows_f32(wide);
}

static const int64_t dims[][4] = {{1, 48, 64, 0},   {1, 16, 64, 1},  {1, 33, 17, 5},
                                  {1, 8, 100, 70},  {1, 100, 8, 33}, {3, 40, 72, 50},
                                  {5, 19, 36, 140}, {8, 64, 128, 9}};

static void test_products(void **state)
{
    (void)state;
    enum dtype product_rows = DTYPE_F32;
    op_run_best(run_product_rows, &product_rows);
    for (int i = 0; i < ARRAY_LEN(dims); i++) {
        struct product half, wide;
        product_init(&half, dims[i], op_random);
        const int64_t n_y = half.m * dims[i][1], n_dx = half.m * dims[i][2];
        wide = half;
        wide.y = op_floats(n_y);
        wide.dx = op_floats(n_dx);
        wide.dw = op_constant(n_dw(&half), 0);
        half.x = rounded(half.x, n_dx);
        half.dy = rounded(half.dy, n_y);
        if (product_rows == DTYPE_F32) {
            wide.x = widened(half.x, n_dx);
            wide.dy = widened(half.dy, n_y);
        }
        op_run_best(run_product, &wide);
        op_run_best(run_product, &half);
        op_assert_bits(half.y, wide.y, n_y, "y");
        op_assert_bits(half.dx, wide.dx, n_dx, "dx");
        op_assert_bits(half.dw, wide.dw, n_dw(&half), "dw");
        op_release(NULL);
    }
}

static double plain_sum(const struct product *p, int64_t r, int64_t e, int64_t out,
                        bool is_fwd)
{
    const int64_t n = p->plain.n, k = p->plain.k;
    double sum = 0;
    for (int64_t i = 0; i < (is_fwd ? k : n); i++) {
        const int64_t at = is_fwd ? (e * n + out) * k + i : (e * n + i) * k + out;
        const float *const from = is_fwd ? p->x.data : p->dy.data;
        sum += (double)dtype_get(p->plain.data, DTYPE_BF16, at) *
               (double)from[r * (is_fwd ? k : n) + i];
    }
    return sum;
}

/* Sums of small whole numbers, the same in every order and rounding */
static void test_whole_numbers(void **state)
{
    (void)state;
    for (int i = 0; i < ARRAY_LEN(dims); i++) {
        struct product p;
        product_init(&p, dims[i], op_small_int);
        const int64_t n = dims[i][1], k = dims[i][2];
        op_run_best(run_product, &p);
        for (int64_t r = 0, e = 0; r < p.m; r++) {
            while (p.off != NULL && r >= p.off[e + 1])
                e++;
            for (int64_t j = 0; j < n; j++)
                assert_true((double)p.y[r * n + j] == plain_sum(&p, r, e, j, true));
            for (int64_t j = 0; j < k; j++)
                assert_true((double)p.dx[r * k + j] == plain_sum(&p, r, e, j, false));
        }
        op_release(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {OP_TEST(test_move), OP_TEST(test_special),
                                       OP_TEST(test_products),
                                       OP_TEST(test_whole_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
