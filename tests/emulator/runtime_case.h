/*
 * What the tests of the runtime share: a kernel that sets ints, the settings, and a
 * device that is mended after each test. An `int` result is a cudaError_t.
 */
#ifndef TESTS_EMULATOR_RUNTIME_CASE_H
#define TESTS_EMULATOR_RUNTIME_CASE_H

#include <stdbool.h>
#include <stddef.h>

struct CUstream_st;

int runtime_case_setup(void **state);
int runtime_case_teardown(void **state);
#define RUNTIME_TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, runtime_case_setup, runtime_case_teardown)

/* Device memory, and streams early or late (emulator/settings.h), until teardown */
void runtime_case_use(size_t memory_bytes, bool is_late);

/* y[i] = value for i < n: a kernel of arguments y, n, value, at most 64 threads a
 * block.
 */
extern const char runtime_case_kernel;
int set_ints(int *y, int n, int value, int n_threads, struct CUstream_st *stream);
int *device_ints(size_t n);
int *pinned_ints(size_t n);

#endif
