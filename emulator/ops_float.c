/*
 * Arithmetic of f32 and f64. An instruction of plain .rn runs one executor, one with
 * any other modifier a second that reads the modifiers and sets the rounding mode of
 * the CPU meanwhile. Approximate instructions give the correctly rounded value,
 * computed in double: a device's differ in the last bits.
 */
#include <fenv.h>
#include <math.h>

#include "emulator/ops_float.h"

int32_t ops_modifier(const char *part)
{
    static const struct {
        const char *part;
        int32_t bits;
    } MODIFIERS[] = {
        {"rn", OPS_RN},           {"rz", OPS_RZ},
        {"rm", OPS_RM},           {"rp", OPS_RP},
        {"rna", OPS_RNA},         {"ftz", OPS_FTZ},
        {"sat", OPS_SAT},         {"NaN", OPS_NAN},
        {"relu", OPS_RELU},       {"satfinite", OPS_SATFINITE},
        {"xorsign", OPS_XORSIGN},
    };
    for (int64_t k = 0; k < ARRAY_LEN(MODIFIERS); k++) {
        if (strcmp(part, MODIFIERS[k].part) == 0)
            return MODIFIERS[k].bits;
    }
    return -1;
}

/* Parts that are modifiers go to *flags, the others are joined in name. */
static bool split_modifiers(const struct ptx_insn *i, char name[64], int32_t *flags,
                            bool *has_mode)
{
    size_t n = 0;
    *flags = 0;
    *has_mode = false;
    for (int32_t k = 0; k < i->n_parts; k++) {
        const char *const part = i->part[k];
        const int32_t bits = k == 0 ? -1 : ops_modifier(part);
        if (bits >= 0) {
            *flags |= bits;
            *has_mode |= bits <= OPS_ROUND;
            continue;
        }
        if (k > 0 && strcmp(part, "abs") == 0) { /* of .xorsign.abs */
            if (strcmp(i->part[k - 1], "xorsign") != 0)
                return false;
            continue;
        }
        const size_t len = strlen(part);
        if (n + len + 2 > 64)
            return false;
        if (n > 0)
            name[n++] = '.';
        memcpy(name + n, part, len);
        n += len;
    }
    name[n] = '\0';
    return true;
}

ptx_run_fn ops_float_bind(struct ptx_insn *i, const struct ops_float_form *forms,
                          int64_t n)
{
    char name[64];
    int32_t flags = 0;
    bool has_mode = false;
    if (!split_modifiers(i, name, &flags, &has_mode))
        return NULL;
    for (int64_t k = 0; k < n; k++) {
        if (strcmp(name, forms[k].name) != 0)
            continue;
        const int32_t allowed = forms[k].allowed;
        const int32_t modes = allowed & OPS_MODES ? OPS_RZ | OPS_RM | OPS_RP : 0;
        if (flags & ~(allowed | modes) ||
            (has_mode && !(allowed & (OPS_MODES | OPS_MODE_RN))) ||
            (!has_mode && allowed & OPS_MODE_MUST))
            return NULL;
        i->option[0] = flags;
        if (!ops_fit(i, forms[k].bytes))
            return NULL;
        return flags == 0 ? forms[k].run : forms[k].run_modified;
    }
    return NULL;
}

/* The loops between these load operands from memory and store results there, which the
 * compiler cannot move across calls it does not see into. */
static void round_begin(int32_t m)
{
    static const int MODE[] = {[OPS_RN] = FE_TONEAREST,
                               [OPS_RZ] = FE_TOWARDZERO,
                               [OPS_RM] = FE_DOWNWARD,
                               [OPS_RP] = FE_UPWARD};
    if (m & OPS_ROUND)
        fesetround(MODE[m & OPS_ROUND]);
}
static void round_end(int32_t m)
{
    if (m & OPS_ROUND)
        fesetround(FE_TONEAREST);
}

#define GET_IN(T, x) const ops_##T x = T##_in(x##_[l], m)
#define MODIFIED(T, get, ...)                                                          \
    const int32_t m = i->option[0];                                                    \
    round_begin(m);                                                                    \
    OPS_TO(T, get, T##_out(__VA_ARGS__, m))                                            \
    round_end(m);                                                                      \
    return MACHINE_NEXT

#define PRODUCT(a, b) ((a) * (b)) /* a * b reads as a pointer to clang-format */

/* run_<name>_<T> and run_<name>_<T>_mod: expr of a, b, c */
#define FLOAT_1(name, T, ...)                                                          \
    OPS_1(name##_##T, T, T, canon_##T(__VA_ARGS__))                                    \
    OPS_RUN(name##_##T##_mod)                                                          \
    {                                                                                  \
        OPS_FROM(T, a, 1);                                                             \
        MODIFIED(T, GET_IN(T, a), __VA_ARGS__);                                        \
    }
#define FLOAT_2(name, T, ...)                                                          \
    OPS_2(name##_##T, T, T, T, canon_##T(__VA_ARGS__))                                 \
    OPS_RUN(name##_##T##_mod)                                                          \
    {                                                                                  \
        OPS_FROM(T, a, 1);                                                             \
        OPS_FROM(T, b, 2);                                                             \
        MODIFIED(T, GET_IN(T, a); GET_IN(T, b), __VA_ARGS__);                          \
    }
#define FLOAT_3(name, T, ...)                                                          \
    OPS_3(name##_##T, T, T, T, T, canon_##T(__VA_ARGS__))                              \
    OPS_RUN(name##_##T##_mod)                                                          \
    {                                                                                  \
        OPS_FROM(T, a, 1);                                                             \
        OPS_FROM(T, b, 2);                                                             \
        OPS_FROM(T, c, 3);                                                             \
        MODIFIED(T, GET_IN(T, a); GET_IN(T, b); GET_IN(T, c), __VA_ARGS__);            \
    }

FLOAT_2(add, f32, a + b)
FLOAT_2(sub, f32, a - b)
FLOAT_2(mul, f32, PRODUCT(a, b))
FLOAT_3(fma, f32, fmaf(a, b, c))
FLOAT_2(div, f32, a / b)
FLOAT_1(rcp, f32, 1 / a)
FLOAT_1(sqrt, f32, sqrtf(a))
FLOAT_2(add, f64, a + b)
FLOAT_2(sub, f64, a - b)
FLOAT_2(mul, f64, PRODUCT(a, b))
FLOAT_3(fma, f64, fma(a, b, c))
FLOAT_2(div, f64, a / b)
FLOAT_1(rcp, f64, 1 / a)
FLOAT_1(sqrt, f64, sqrt(a))

/* --- approximations --- */
/* 2^x = 2^n 2^f with |f| <= 1/2; the series of 2^f to ln(2)^13 / 13! f^13 leaves less
 * than 2^-52. Outside the bounds fp32 has no finite number but 0. */
OPS_INLINE double exp2_poly(double x)
{
    static const double C[] = {1.0,
                               0.6931471805599453,
                               0.24022650695910072,
                               0.05550410866482158,
                               0.009618129107628477,
                               0.0013333558146428443,
                               0.0001540353039338161,
                               1.5252733804059841e-05,
                               1.321548679014431e-06,
                               1.01780860092397e-07,
                               7.054911620801123e-09,
                               4.4455382718708116e-10,
                               2.5678435993488206e-11,
                               1.3691488853904128e-12};
    const double bounded = x > -200 ? (x < 200 ? x : 200) : -200; /* NaN: -200 */
    const double n = rint(bounded), f = bounded - n;
    double p = C[13];
    p = p * f + C[12];
    p = p * f + C[11];
    p = p * f + C[10];
    p = p * f + C[9];
    p = p * f + C[8];
    p = p * f + C[7];
    p = p * f + C[6];
    p = p * f + C[5];
    p = p * f + C[4];
    p = p * f + C[3];
    p = p * f + C[2];
    p = p * f + C[1];
    p = p * f + C[0];
    const double power = f64_of((uint64_t)((int64_t)n + 1023) << 52);
    return x != x ? x : p * power;
}
double ops_exp2(double x) { return exp2_poly(x); }

FLOAT_1(ex2, f32, (float)exp2_poly((double)a))
FLOAT_1(lg2, f32, (float)log2((double)a))
FLOAT_1(sin, f32, (float)sin((double)a))
FLOAT_1(cos, f32, (float)cos((double)a))
FLOAT_1(tanh, f32, (float)tanh((double)a))
FLOAT_1(rsqrt, f32, (float)(1 / sqrt((double)a)))
OPS_1(rsqrt_f64, f64, f64, canon_f64(1 / sqrt(a)))

/* rcp and rsqrt.approx.ftz.f64: the upper half of the bits, subnormals taken as zero */
OPS_INLINE double coarse_in(double v)
{
    const uint64_t u = f64_bits(v);
    return f64_of(u & 0x7ff0000000000000 ? u : u & ~(uint64_t)INT64_MAX);
}
OPS_INLINE double coarse_out(double v)
{
    return coarse_in(f64_of(f64_bits(canon_f64(v)) & 0xffffffff00000000));
}
OPS_1(rcp_coarse, f64, f64, coarse_out(1 / coarse_in(a)))
OPS_1(rsqrt_coarse, f64, f64, coarse_out(1 / sqrt(coarse_in(a))))

/* --- order and sign --- */
OPS_INLINE float min_f32(float a, float b, int32_t m)
{
    return (float)min_max((double)a, (double)b, m, false);
}
OPS_INLINE float max_f32(float a, float b, int32_t m)
{
    return (float)min_max((double)a, (double)b, m, true);
}
/* these read the modifiers always */
#define ORDER(name, T)                                                                 \
    OPS_RUN(name##_##T)                                                                \
    {                                                                                  \
        OPS_FROM(T, a, 1);                                                             \
        OPS_FROM(T, b, 2);                                                             \
        MODIFIED(T, GET_IN(T, a); GET_IN(T, b), name##_##T(a, b, m));                  \
    }
OPS_INLINE double min_f64(double a, double b, int32_t m)
{
    return min_max(a, b, m, false);
}
OPS_INLINE double max_f64(double a, double b, int32_t m)
{
    return min_max(a, b, m, true);
}
ORDER(min, f32)
ORDER(max, f32)
ORDER(min, f64)
ORDER(max, f64)

/* bits, also of NaNs; with .ftz a subnormal is a zero first */
OPS_INLINE uint32_t bits_in(uint32_t u, int32_t m)
{
    return m & OPS_FTZ && !(u & 0x7f800000) ? u & 0x80000000 : u;
}
enum { SIGN_F32 = INT32_MIN };
#define SIGN_F64 (~(uint64_t)INT64_MAX)
OPS_1(neg_f32, u32, u32, bits_in(a, i->option[0]) ^ (uint32_t)SIGN_F32)
OPS_1(abs_f32, u32, u32, bits_in(a, i->option[0]) & INT32_MAX)
OPS_1(neg_f64, u64, u64, a ^ SIGN_F64)
OPS_1(abs_f64, u64, u64, a &INT64_MAX)
/* a's sign, b's magnitude */
OPS_2(copysign_f32, u32, u32, u32, (a & (uint32_t)SIGN_F32) | (b & INT32_MAX))
OPS_2(copysign_f64, u64, u64, u64, (a & SIGN_F64) | (b & INT64_MAX))

/* testp.<what>: option[0] has the bits 1 << FP_<class> of the classes that it is true
 * of */
static void put_pred(struct machine_warp *w, const struct ptx_insn *i, uint32_t mask,
                     uint32_t bits)
{
    uint32_t *const p = machine_pred(w, i->o[0].slot);
    *p = (*p & ~mask) | (bits & mask);
}
OPS_RUN(testp_f32)
{
    uint32_t bits = 0;
    for (int32_t l = 0; l < PTX_LANES; l++) {
        const int class = fpclassify(machine_f32(w, i->o[1].slot)[l]);
        bits |= (uint32_t)(i->option[0] >> class & 1) << l;
    }
    put_pred(w, i, mask, bits);
    return MACHINE_NEXT;
}
OPS_RUN(testp_f64)
{
    uint32_t bits = 0;
    for (int32_t l = 0; l < PTX_LANES; l++) {
        const int class = fpclassify(machine_f64(w, i->o[1].slot)[l]);
        bits |= (uint32_t)(i->option[0] >> class & 1) << l;
    }
    put_pred(w, i, mask, bits);
    return MACHINE_NEXT;
}

static ptx_run_fn bind_testp(struct ptx_insn *i)
{
    enum {
        FINITE = 1 << FP_ZERO | 1 << FP_SUBNORMAL | 1 << FP_NORMAL,
        NUMBER = FINITE | 1 << FP_INFINITE
    };
    static const struct {
        const char *part;
        int32_t classes;
    } TESTS[] = {
        {"finite", FINITE},         {"infinite", 1 << FP_INFINITE},
        {"number", NUMBER},         {"notanumber", 1 << FP_NAN},
        {"normal", 1 << FP_NORMAL}, {"subnormal", 1 << FP_SUBNORMAL},
    };
    if (i->n_parts != 3 || i->n_operands != 2 || i->o[0].kind != PTX_PRED)
        return NULL;
    const bool is_64 = strcmp(i->part[2], "f64") == 0;
    if (!is_64 && strcmp(i->part[2], "f32") != 0)
        return NULL;
    for (int64_t k = 0; k < ARRAY_LEN(TESTS); k++) {
        if (strcmp(i->part[1], TESTS[k].part) != 0)
            continue;
        i->option[0] = TESTS[k].classes;
        if (!ptx_want(i, 1, is_64 ? 8 : 4))
            return NULL;
        return is_64 ? run_testp_f64 : run_testp_f32;
    }
    return NULL;
}

/* --- tables --- */
enum {
    ALL_F32 = OPS_MODES | OPS_FTZ | OPS_SAT,
    MUST_F32 = OPS_MODES | OPS_MODE_MUST | OPS_FTZ,
    MUST_F64 = OPS_MODES | OPS_MODE_MUST,
    ORDER_F32 = OPS_FTZ | OPS_NAN | OPS_XORSIGN
};
#define FORM(name, f, bytes, allowed)                                                  \
    {                                                                                  \
        name, run_##f, run_##f##_mod, bytes, allowed                                   \
    }
#define SAME(name, f, bytes, allowed)                                                  \
    {                                                                                  \
        name, run_##f, run_##f, bytes, allowed                                         \
    }

static const struct ops_float_form FORMS[] = {
    FORM("add.f32", add_f32, "444", ALL_F32),
    FORM("sub.f32", sub_f32, "444", ALL_F32),
    FORM("mul.f32", mul_f32, "444", ALL_F32),
    FORM("fma.f32", fma_f32, "4444", ALL_F32 | OPS_MODE_MUST),
    FORM("mad.f32", fma_f32, "4444", ALL_F32),
    FORM("div.f32", div_f32, "444", MUST_F32),
    FORM("div.approx.f32", div_f32, "444", OPS_FTZ),
    FORM("div.full.f32", div_f32, "444", OPS_FTZ),
    FORM("rcp.f32", rcp_f32, "44", MUST_F32),
    FORM("rcp.approx.f32", rcp_f32, "44", OPS_FTZ),
    FORM("sqrt.f32", sqrt_f32, "44", MUST_F32),
    FORM("sqrt.approx.f32", sqrt_f32, "44", OPS_FTZ),
    FORM("rsqrt.approx.f32", rsqrt_f32, "44", OPS_FTZ),
    FORM("ex2.approx.f32", ex2_f32, "44", OPS_FTZ),
    FORM("lg2.approx.f32", lg2_f32, "44", OPS_FTZ),
    FORM("sin.approx.f32", sin_f32, "44", OPS_FTZ),
    FORM("cos.approx.f32", cos_f32, "44", OPS_FTZ),
    FORM("tanh.approx.f32", tanh_f32, "44", 0),
    SAME("min.f32", min_f32, "444", ORDER_F32),
    SAME("max.f32", max_f32, "444", ORDER_F32),
    SAME("neg.f32", neg_f32, "44", OPS_FTZ),
    SAME("abs.f32", abs_f32, "44", OPS_FTZ),
    SAME("copysign.f32", copysign_f32, "444", 0),
    FORM("add.f64", add_f64, "888", OPS_MODES),
    FORM("sub.f64", sub_f64, "888", OPS_MODES),
    FORM("mul.f64", mul_f64, "888", OPS_MODES),
    FORM("fma.f64", fma_f64, "8888", MUST_F64),
    FORM("mad.f64", fma_f64, "8888", MUST_F64),
    FORM("div.f64", div_f64, "888", MUST_F64),
    FORM("rcp.f64", rcp_f64, "88", MUST_F64),
    FORM("sqrt.f64", sqrt_f64, "88", MUST_F64),
    {"rcp.approx.f64", NULL, run_rcp_coarse, "88", OPS_FTZ},
    {"rsqrt.approx.f64", run_rsqrt_f64, run_rsqrt_coarse, "88", OPS_FTZ},
    SAME("min.f64", min_f64, "888", 0),
    SAME("max.f64", max_f64, "888", 0),
    SAME("neg.f64", neg_f64, "88", 0),
    SAME("abs.f64", abs_f64, "88", 0),
    SAME("copysign.f64", copysign_f64, "888", 0),
};

static ptx_run_fn bind(struct ptx_insn *i)
{
    const ptx_run_fn run = ops_float_bind(i, FORMS, ARRAY_LEN(FORMS));
    return run ? run : ops_bind_half(i);
}

const struct machine_op machine_ops_float[] = {
    {"add", bind},         {"sub", bind},  {"mul", bind},      {"fma", bind},
    {"mad", bind},         {"div", bind},  {"rcp", bind},      {"sqrt", bind},
    {"rsqrt", bind},       {"ex2", bind},  {"lg2", bind},      {"sin", bind},
    {"cos", bind},         {"tanh", bind}, {"min", bind},      {"max", bind},
    {"neg", bind},         {"abs", bind},  {"copysign", bind}, {"testp", bind_testp},
    {"cvt", ops_bind_cvt}, {NULL, NULL}};
