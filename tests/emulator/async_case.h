/*
 * What the tests of asynchronous instructions share.
 */
#ifndef TESTS_EMULATOR_ASYNC_CASE_H
#define TESTS_EMULATOR_ASYNC_CASE_H

#include "tests/emulator/run_ptx.h"

#include "emulator/settings.h"

enum { OLD = 7 }; /* what shared memory holds before a copy */

/* The race checker is off from here on: kernels that wait too late are what is tried.
 */
static inline void set_early(bool is_early)
{
    struct emulator_settings s = *emulator_settings();
    s.is_async_early = is_early;
    s.has_races = false;
    emulator_settings_override(&s);
}

/* Runs with `in` as argument 1; one word of output per thread. */
static inline uint32_t *words_from(const char *body, int32_t threads,
                                   const uint32_t *in, size_t n_in)
{
    uint32_t *const d_in = device_words(n_in);
    uint32_t *const out = device_words((size_t)threads);
    memcpy(d_in, in, n_in * sizeof(*in));
    must_run(&(struct ptx_case){
        .body = body,
        .blocks = 1,
        .threads = threads,
        .dynamic_bytes = 8192,
        .arg = {(uint64_t)(uintptr_t)out, (uint64_t)(uintptr_t)d_in}});
    assert_int_equal(machine_free(d_in), STATUS_OK);
    return out;
}

#endif
