/*
 * Included before a test of tests/cpu: the same test on the GPU. Buffers are
 * page-locked memory that kernels reach at the host's addresses, so guards, poison and
 * comparisons stay as they are. Without a GPU every test counts as a skip.
 */
#ifndef TESTS_CUDA_ON_CUDA_H
#define TESTS_CUDA_ON_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/ops.h"
#include "cuda/cuda.h"

#ifndef ON_CUDA_MATMUL
#define ON_CUDA_MATMUL CUDA_MATMUL_EXACT
#endif

enum { ON_CUDA_POOL = 192 << 20 };

static struct backend on_cuda_backend;
static char *on_cuda_pool;
static size_t on_cuda_used;
static int64_t on_cuda_n;

/* A stack of buffers: empty again when the last is freed */
static inline void *on_cuda_memory(size_t bytes)
{
    const size_t size = (bytes + 255) / 256 * 256;
    CHECK(on_cuda_used + size <= ON_CUDA_POOL, "the pool is full");
    void *const p = on_cuda_pool + on_cuda_used;
    on_cuda_used += size;
    on_cuda_n++;
    return p;
}

static inline void on_cuda_free(void *p)
{
    (void)p;
    if (--on_cuda_n == 0)
        on_cuda_used = 0;
}

static inline void on_cuda_wait(struct backend *b)
{
    if (b == &on_cuda_backend)
        cuda_backend_sync(b);
}

#define OP_MEMORY(bytes) on_cuda_memory(bytes)
#define OP_MEMORY_FREE(p) on_cuda_free(p)
#define OP_DEVICE &on_cuda_backend
#define OP_WAIT(b) on_cuda_wait(b)

#include "tests/cpu/op_check.h"

static inline int on_cuda_run(const char *name, const struct CMUnitTest *tests,
                              int64_t n)
{
    if (cuda_backend_init(&on_cuda_backend, 0, ON_CUDA_MATMUL) != STATUS_OK) {
        print_message("%s: %s\n[  SKIPPED ] %d test(s).\n", name, status_message(),
                      (int)n);
        return 0;
    }
    on_cuda_pool = cuda_pinned_reserve(ON_CUDA_POOL);
    if (on_cuda_pool == NULL) {
        print_message("%s: no page-locked memory\n[  FAILED  ] 1 test(s).\n", name);
        return 1;
    }
    print_message("%s\n", on_cuda_backend.name);
    const int failed = _cmocka_run_group_tests(name, tests, (size_t)n, NULL, NULL);
    cuda_pinned_release(on_cuda_pool);
    cuda_backend_release(&on_cuda_backend);
    return failed;
}

#undef cmocka_run_group_tests
#define cmocka_run_group_tests(tests, setup, teardown)                                 \
    on_cuda_run(#tests, tests, ARRAY_LEN(tests))

#endif
