/*
 * Counters of accesses, for patterns whose sectors and wavefronts are known.
 */
#include "tests/emulator/run_ptx.h"

#include "emulator/counts.h"
#include "emulator/settings.h"

/* The counter's growth by one launch of a warp. */
struct growth {
    int64_t by[COUNTS_N];
};

static struct growth run_counted(const char *body)
{
    struct growth g;
    for (int32_t k = 0; k < COUNTS_N; k++)
        g.by[k] = -counts_of("k", (enum counts_kind)k);
    uint32_t *const in = device_words(4096);
    must_run(&(struct ptx_case){
        .body = body, .blocks = 1, .threads = 32, .arg = {(uint64_t)(uintptr_t)in}});
    assert_int_equal(machine_free(in), STATUS_OK);
    for (int32_t k = 0; k < COUNTS_N; k++)
        g.by[k] += counts_of("k", (enum counts_kind)k);
    return g;
}

static void test_launches(void **state)
{
    (void)state;
    const struct growth g = run_counted("add.u32 %r5, %r1, 1;\n");
    assert_int_equal(g.by[COUNTS_LAUNCHES], 1);
    assert_int_equal(g.by[COUNTS_INSTRUCTIONS], 12);
    assert_int_equal(g.by[COUNTS_LOADS], 0);
    assert_int_equal(g.by[COUNTS_SHARED], 0);
}

/* A load at words `scale` * lane + `off` touches this many sectors. */
static void check_load(int32_t scale, int32_t off, int32_t sectors, int32_t ideal)
{
    char body[256];
    snprintf(body, sizeof(body),
             "mad.lo.u32 %%r5, %%r1, %d, %d;\nmul.wide.u32 %%rd5, %%r5, 4;\n"
             "add.s64 %%rd5, %%rd5, %%rd0;\nld.global.u32 %%r6, [%%rd5];\n",
             scale, off);
    const struct growth g = run_counted(body);
    assert_int_equal(g.by[COUNTS_LOADS], 1);
    assert_int_equal(g.by[COUNTS_LOAD_SECTORS], sectors);
    assert_int_equal(g.by[COUNTS_LOAD_IDEAL], ideal);
    assert_int_equal(g.by[COUNTS_STORES], 0);
}

static void test_global(void **state)
{
    (void)state;
    check_load(1, 0, 4, 4);
    check_load(1, 1, 5, 4);
    check_load(2, 0, 8, 4);
    check_load(8, 0, 32, 4);
    check_load(0, 3, 1, 1);
    const struct growth g = run_counted(
        "mul.wide.u32 %rd5, %r1, 16;\nadd.s64 %rd5, %rd5, %rd0;\n"
        "setp.lt.u32 %p0, %r1, 8;\n"
        "@%p0 st.v4.u32 [%rd5], {%r1, %r1, %r1, %r1};\n");
    assert_int_equal(g.by[COUNTS_STORES], 1);
    assert_int_equal(g.by[COUNTS_STORE_SECTORS], 4);
    assert_int_equal(g.by[COUNTS_STORE_IDEAL], 4);
}

static void check_shared(int32_t scale, const char *load, int32_t wavefronts,
                         int32_t ideal)
{
    char body[512];
    snprintf(body, sizeof(body),
             ".shared .align 16 .b8 s[8192];\nmov.u32 %%r5, s;\n"
             "mad.lo.u32 %%r5, %%r1, %d, %%r5;\n%s\n",
             scale, load);
    const struct growth g = run_counted(body);
    assert_int_equal(g.by[COUNTS_SHARED], 1);
    assert_int_equal(g.by[COUNTS_WAVEFRONTS], wavefronts);
    assert_int_equal(g.by[COUNTS_WAVEFRONT_IDEAL], ideal);
}

static void test_shared(void **state)
{
    (void)state;
    check_shared(4, "ld.shared.u32 %r6, [%r5];", 1, 1);
    check_shared(0, "ld.shared.u32 %r6, [%r5];", 1, 1);
    check_shared(8, "st.shared.u32 [%r5], %r1;", 2, 1);
    check_shared(128, "ld.shared.u32 %r6, [%r5];", 32, 1);
    check_shared(132, "ld.shared.u32 %r6, [%r5];", 1, 1);
    check_shared(2, "ld.shared.u16 %rs6, [%r5];", 1, 1);
    check_shared(16, "ld.shared.v4.u32 {%r6, %r7, %r8, %r9}, [%r5];", 4, 4);
    check_shared(32, "ld.shared.v4.u32 {%r6, %r7, %r8, %r9}, [%r5];", 8, 4);
    check_shared(8, "ld.shared.u64 %rd6, [%r5];", 2, 2);
}

/* 8 lanes a matrix, rows of 16 bytes `scale` bytes apart: one wavefront a matrix, and
 * eight where all its rows lie in the same banks. */
static void check_rows(const char *name, int32_t scale, int32_t wavefronts,
                       int32_t ideal)
{
    char load[128];
    snprintf(load, sizeof(load), "ldmatrix.sync.aligned.m8n8.%s.shared.b16 %s, [%%r5];",
             name, name[1] == '4' ? "{%r6, %r7, %r8, %r9}" : "{%r6, %r7}");
    check_shared(scale, load, wavefronts, ideal);
}

static void test_matrices(void **state)
{
    (void)state;
    check_rows("x4", 16, 4, 4);
    check_rows("x2", 16, 2, 2);
    check_rows("x4", 128, 32, 4);
    check_rows("x4", 144, 4, 4);
}

static void test_copies(void **state)
{
    (void)state;
    const struct growth g = run_counted(
        ".shared .align 16 .b8 s[1024];\nmov.u32 %r5, s;\nmad.lo.u32 %r5, %r1, 16, "
        "%r5;\n"
        "mul.wide.u32 %rd5, %r1, 32;\nadd.s64 %rd5, %rd5, %rd0;\n"
        "cp.async.cg.shared.global [%r5], [%rd5], 16;\ncp.async.commit_group;\n"
        "cp.async.wait_group 0;\n");
    assert_int_equal(g.by[COUNTS_LOADS], 1);
    assert_int_equal(g.by[COUNTS_LOAD_SECTORS], 32);
    assert_int_equal(g.by[COUNTS_LOAD_IDEAL], 16);
    assert_int_equal(g.by[COUNTS_SHARED], 1);
    assert_int_equal(g.by[COUNTS_WAVEFRONTS], 4);
}

int main(void)
{
    struct emulator_settings s = *emulator_settings();
    s.counts_path = "/dev/null";
    emulator_settings_override(&s);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launches), cmocka_unit_test(test_global),
        cmocka_unit_test(test_shared),   cmocka_unit_test(test_matrices),
        cmocka_unit_test(test_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
