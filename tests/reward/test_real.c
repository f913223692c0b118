/*
 * Ball arithmetic against known digits: each function at each precision must give a
 * ball that holds the true value and is small. The digits are those of mpmath at 80
 * places.
 */
#include "reward/real.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"

struct fixture {
    struct pool pool;
};

static int set_up(void **state)
{
    static struct fixture f;
    pool_init(&f.pool);
    f.pool.max_steps = 1 << 24; /* functions at full precision */
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    pool_release(&((struct fixture *)*state)->pool);
    return 0;
}

/* "0.123" or "-12.3" as an exact rational */
static struct rat decimal(struct pool *p, const char *text)
{
    const bool is_negative = *text == '-';
    const char *const digits = text + is_negative, *const point = strchr(digits, '.');
    const int64_t n = point == NULL ? 0 : (int64_t)strlen(point + 1);
    const struct big num = big_digits(p, digits, strlen(digits), 10),
                     den = big_pow(p, big_small(p, 10), (uint64_t)n);
    return rat_make(p, is_negative ? -1 : 1, num, den);
}

enum function { F_EXP, F_LOG, F_SIN, F_COS, F_ATAN, F_SQRT, F_PI };

static const struct {
    enum function f;
    const char *x, *y;
} known[] = {
    {F_EXP, "1",
     "2.71828182845904523536028747135266249775724709369995957496696762772407663035355"},
    {F_EXP, "-1",
     "0."
     "367879441171442321595523770161460867445811131031767834507836801697461495744900"},
    {F_EXP, "0.5",
     "1.64872127070012814684865078781416357165377610071014801157507931164066102119422"},
    {F_EXP, "5.25",
     "190.566268458629996176895675755420880177460177154622418529883512271125057742170"},
    {F_EXP, "-20.125",
     "0."
     "000000001818961687553045900803691854779415968108581435695397311949701072398356453"
     "90078"},
    {F_EXP, "0.0001",
     "1.00010000500016667083341666805557539707341545417217838103463539097231123597278"},
    {F_LOG, "2",
     "0."
     "693147180559945309417232121458176568075500134360255254120680009493393621969695"},
    {F_LOG, "0.5",
     "-0."
     "693147180559945309417232121458176568075500134360255254120680009493393621969695"},
    {F_LOG, "10",
     "2.30258509299404568401799145468436420760110148862877297603332790096757260967735"},
    {F_LOG, "3.7",
     "1.30833281965017876035010421634708295629897609853886318761158478022541713731301"},
    {F_LOG, "0.0009765625",
     "-6."
     "93147180559945309417232121458176568075500134360255254120680009493393621969695"},
    {F_LOG, "123456.75",
     "11.7236461712858282100335165239779524198525778273613647073849592765953448384050"},
    {F_LOG, "1.0001",
     "0."
     "000099995000333308335333166680951131063482064401071075512661294321644916074071719"
     "1"},
    {F_SIN, "1",
     "0."
     "841470984807896506652502321630298999622563060798371065672751709991910404391240"},
    {F_SIN, "-1",
     "-0."
     "841470984807896506652502321630298999622563060798371065672751709991910404391240"},
    {F_SIN, "0.0001",
     "0."
     "000099999999833333333416666666646825396828152557318973464806814199175309521705024"
     "4"},
    {F_SIN, "3",
     "0."
     "141120008059867222100744802808110279846933264252265584151882641232422009967014"},
    {F_SIN, "100.5",
     "-0."
     "0309599667832713447429753125337393461978668950518871419164197042311617988972141"},
    {F_SIN, "1000000",
     "-0."
     "349993502171292952117652486780771469061406605328716273857059054644641226395451"},
    {F_COS, "1",
     "0."
     "540302305868139717400936607442976603732310420617922227670097255381100394774472"},
    {F_COS, "3",
     "-0."
     "989992496600445457271572794731261302393679096615588328814085932928329197513133"},
    {F_COS, "0.0001",
     "0."
     "999999995000000004166666665277777778025793650766093474428895435839765576868756"},
    {F_COS, "100.5",
     "0."
     "999520625328351458417697849621529356727175021362750549590182311695403441745894"},
    {F_COS, "22",
     "-0."
     "999960826394637126454174739212693774135988467479419293059382204963773339032012"},
    {F_ATAN, "1",
     "0."
     "785398163397448309615660845819875721049292349843776455243736148076954101571552"},
    {F_ATAN, "-1",
     "-0."
     "785398163397448309615660845819875721049292349843776455243736148076954101571552"},
    {F_ATAN, "0.001",
     "0."
     "00099999966666686666652380963492054401162093455426801309143104818764547234066956"
     "2"},
    {F_ATAN, "1000",
     "1.56979632712822975256479788200483089808696376513328489739604124796626273080243"},
    {F_ATAN, "0.5",
     "0."
     "463647609000806116214256231461214402028537054286120263810933088720197864165742"},
    {F_SQRT, "2",
     "1.41421356237309504880168872420969807856967187537694807317667973799073247846211"},
    {F_SQRT, "3",
     "1.73205080756887729352744634150587236694280525381038062805580697945193301690880"},
    {F_SQRT, "0.0625",
     "0."
     "250000000000000000000000000000000000000000000000000000000000000000000000000000"},
    {F_SQRT, "10000.5",
     "100.002499968750781225586791960145301767709001808207667261643218906616961696841"},
    {F_SQRT, "123456789",
     "11111.1110605555554405416661433534692458784098601343510714585706752514714794964"},
    {F_PI, "0",
     "3.14159265358979323846264338327950288419716939937510582097494459230781640628621"},
};

static struct real apply(struct real_ctx *c, enum function f, struct rat x)
{
    const struct real v = real_rat(c, x), one = real_int(c, 1);
    struct real s, co;
    switch (f) {
    case F_EXP:
        return real_exp(c, &v);
    case F_LOG:
        return real_log(c, &v);
    case F_SIN:
    case F_COS:
        real_sin_cos(c, &v, &s, &co);
        return f == F_SIN ? s : co;
    case F_ATAN:
        return real_angle(c, &v, &one);
    case F_SQRT:
        return real_sqrt(c, &v);
    case F_PI:
        break;
    }
    return real_pi(c);
}

static void test_functions(void **state)
{
    struct pool *const p = &((struct fixture *)*state)->pool;
    static const int precisions[] = {4, 12, 24, 64};
    for (int64_t i = 0; i < ARRAY_LEN(known); i++)
        for (int64_t k = 0; k < ARRAY_LEN(precisions); k++) {
            pool_reset(p);
            struct real_ctx c = {.pool = p, .n = precisions[k]};
            const struct real y = apply(&c, known[i].f, decimal(p, known[i].x));
            /* the digits are good to 1e-75 of a value below 10^3 */
            struct real expected = real_rat(&c, decimal(p, known[i].y));
            const int64_t digits_err = -240;
            expected.err = expected.err > digits_err ? expected.err : digits_err;
            const struct real off = real_sub(&c, &y, &expected);
            const int sign = real_sign(&off);
            if (c.is_undefined || p->is_over || sign == 1 || sign == -1)
                fail_msg("case %d, %d limbs: outside of its ball", (int)i, c.n);
            /* and the ball is small: at most 96 bits below one are lost */
            if (y.err > (y.exp > 0 ? y.exp : 0) - 32 * c.n + 96)
                fail_msg("case %d, %d limbs: error 2^%lld of 2^%lld", (int)i, c.n,
                         (long long)y.err, (long long)y.exp);
        }
}

static struct rat random_rat(struct pool *p, uint32_t i, uint32_t k)
{
    const int64_t n = (int64_t)rng_below(3, RNG_TEST, 2000001, i, k, 0, 0) - 1000000;
    return rat_make(p, n < 0 ? -1 : 1, big_small(p, (uint64_t)(n < 0 ? -n : n)),
                    big_small(p, 1 + rng_below(3, RNG_TEST, 100000, i, k, 1, 0)));
}

/* Sums, products and quotients of rationals against exact arithmetic. */
static void test_arithmetic(void **state)
{
    struct pool *const p = &((struct fixture *)*state)->pool;
    for (uint32_t i = 0; i < 3000; i++) {
        pool_reset(p);
        struct real_ctx c = {.pool = p, .n = 2 + (int)(i % 7)};
        const struct rat a = random_rat(p, i, 0), b = random_rat(p, i, 1);
        const struct real x = real_rat(&c, a), y = real_rat(&c, b);
        struct real got[4] = {real_add(&c, &x, &y), real_sub(&c, &x, &y),
                              real_mul(&c, &x, &y), x};
        struct rat want[4] = {rat_add(p, a, b), rat_add(p, a, rat_neg(b)),
                              rat_mul(p, a, b), a};
        if (b.sign != 0) {
            got[3] = real_div(&c, &x, &y);
            want[3] = rat_mul(p, a, rat_inverse(b));
        }
        for (int k = 0; k < 4; k++) {
            const struct real w = real_rat(&c, want[k]),
                              off = real_sub(&c, &got[k], &w);
            assert_true(real_sign(&off) == 0 || real_sign(&off) == 2);
            /* no wider than a few units in the last place of the operands */
            const int64_t scale = real_mag(&x) > real_mag(&y) ? real_mag(&x)
                                                              : real_mag(&y);
            if (k < 2)
                assert_true(got[k].err <= scale - 32 * c.n + 6);
        }
        assert_false(c.is_undefined || p->is_over);
    }
}

static void test_undefined(void **state)
{
    struct pool *const p = &((struct fixture *)*state)->pool;
    pool_reset(p);
    const struct rat none = rat_int(p, 0), minus = rat_int(p, -2);
    for (int i = 0; i < 7; i++) {
        struct real_ctx c = {.pool = p, .n = 8};
        struct real s, co;
        const struct real zero = real_rat(&c, none), two = real_int(&c, 2),
                          negative = real_rat(&c, minus);
        struct real blurred = real_int(&c, 3);
        blurred.err = 4; /* 3 plus or minus 16 */
        if (i == 0)
            (void)real_div(&c, &two, &zero);
        else if (i == 1)
            (void)real_log(&c, &negative);
        else if (i == 2)
            (void)real_sqrt(&c, &negative);
        else if (i == 3)
            (void)real_floor(&c, &blurred);
        else if (i == 4)
            (void)real_exp(&c, &blurred);
        else if (i == 5)
            (void)real_angle(&c, &zero, &zero);
        else
            real_sin_cos(&c, &blurred, &s, &co);
        assert_true(c.is_undefined);
        assert_false(p->is_over);
    }
}

static void test_floor(void **state)
{
    struct pool *const p = &((struct fixture *)*state)->pool;
    static const struct {
        const char *x;
        int64_t floor;
    } cases[] = {{"3.7", 3}, {"-3.7", -4}, {"0.5", 0}, {"-0.5", -1},
                 {"3.0", 3}, {"-3.0", -3}, {"0", 0},   {"4294967296.5", 4294967296},
                 {"1e0", 10} /* the letter is skipped */};
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        pool_reset(p);
        struct real_ctx c = {.pool = p, .n = 6};
        const struct rat exact = decimal(p, cases[i].x);
        int64_t v;
        assert_true(rat_get(rat_floor(p, exact), &v));
        assert_int_equal(v, cases[i].floor);
        const struct real x = real_rat(&c, exact), y = real_floor(&c, &x),
                          w = real_int(&c, cases[i].floor), off = real_sub(&c, &y, &w);
        /* a quotient that is an integer may be cut: then the floor is left open */
        assert_true(c.is_undefined || real_sign(&off) == 0);
    }
}

/* a = q b + r against what 128-bit integers say, and long division by its own rule. */
static void test_division(void **state)
{
    struct pool *const p = &((struct fixture *)*state)->pool;
    for (uint32_t i = 0; i < 4000; i++) {
        pool_reset(p);
        struct big a = big_small(p, 1), b = big_small(p, 1);
        for (uint32_t k = 0; k < 1 + i % 9; k++)
            a = big_add(p, big_mul(p, a, big_small(p, (uint64_t)1 << 32)),
                        big_small(p, i % 3 == 0 ? 0xFFFFFFFF
                                                : rng_below(4, RNG_TEST, 1u << 31, i, k,
                                                            0, 0)));
        for (uint32_t k = 0; k < i % 5; k++)
            b = big_add(
                p, big_mul(p, b, big_small(p, (uint64_t)1 << 32)),
                big_small(
                    p, i % 2 == 0 ? 0 : rng_below(4, RNG_TEST, 1u << 31, i, k, 1, 0)));
        struct big q, r;
        big_divide(p, a, b, &q, &r);
        assert_true(big_compare(r, b) < 0);
        assert_int_equal(big_compare(big_add(p, big_mul(p, q, b), r), a), 0);
        assert_false(p->is_over);
    }
}

static void test_limits(void **state)
{
    struct pool *const p = &((struct fixture *)*state)->pool;
    pool_reset(p);
    const struct big three = big_small(p, 3);
    assert_int_equal(big_bits(big_pow(p, three, 40000)), 63399);
    assert_false(p->is_over);
    assert_int_equal(big_pow(p, three, 50000).n, 0);
    assert_true(p->is_over);
    pool_reset(p);
    assert_int_equal(big_pow(p, big_small(p, 1), UINT64_MAX).n, 1);
    assert_int_equal(big_pow(p, big_small(p, 0), 5).n, 0);
    assert_false(p->is_over);
    pool_work(p, p->max_steps + 1);
    assert_true(p->is_over);
    pool_clear(p); /* the steps stay used up */
    assert_true(p->is_over);
    assert_null(pool_take(p, 1));
    assert_int_equal(big_small(p, 7).n, 0);
    assert_int_equal(big_add(p, three, three).n, 0);
    assert_int_equal(big_sub(p, three, three).n, 0);
    pool_reset(p);
    assert_null(pool_take(p, p->cap + 1));
    assert_true(p->is_over);
    pool_reset(p);
    assert_int_equal(big_pow(p, big_small(p, 3), (uint64_t)BIG_MAX_BITS + 1).n, 0);
    assert_true(p->is_over);
    pool_reset(p);
    assert_int_equal(big_falling(p, 20000, 20000).n, 0);
    assert_true(p->is_over);
    pool_reset(p);
    char digits[2 * BIG_MAX_DIGITS + 1];
    memset(digits, '1', sizeof(digits));
    assert_int_equal(big_digits(p, digits, sizeof(digits), 10).n, 0);
    assert_true(p->is_over);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_functions), cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_undefined), cmocka_unit_test(test_floor),
        cmocka_unit_test(test_division),  cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
