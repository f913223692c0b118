/*
 * Streams that run late, events, captures and graphs of the runtime API.
 */
#include <cuda_runtime_api.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/emulator/runtime_case.h"

/* A launch into a stream of late mode, a read too early, and each way to wait */
static void test_late_stream(void **state)
{
    (void)state;
    runtime_case_use(1 << 20, true);
    int *const p = pinned_ints(4);
    cudaStream_t s = NULL;
    cudaEvent_t e = NULL;
    memset(p, 0, 16);
    assert_int_equal(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), cudaSuccess);
    assert_int_equal(cudaEventCreate(&e), cudaSuccess);
    assert_int_equal(set_ints(p, 4, 1, 4, s), cudaSuccess);
    assert_int_equal(p[3], 0);
    assert_int_equal(cudaStreamSynchronize(s), cudaSuccess);
    assert_int_equal(p[3], 1);
    assert_int_equal(set_ints(p, 4, 2, 4, s), cudaSuccess);
    assert_int_equal(cudaEventRecord(e, s), cudaSuccess);
    assert_int_equal(set_ints(p, 4, 3, 4, s), cudaSuccess);
    assert_int_equal(p[3], 1);
    assert_int_equal(cudaEventSynchronize(e), cudaSuccess);
    assert_int_equal(p[3], 2); /* what came after the event still waits */
    assert_int_equal(cudaStreamQuery(s), cudaErrorNotReady);
    assert_int_equal(cudaStreamQuery(s), cudaSuccess);
    assert_int_equal(p[3], 3);
    assert_int_equal(set_ints(p, 4, 4, 4, s), cudaSuccess);
    /* the default stream does not wait for one that does not block */
    assert_int_equal(cudaStreamSynchronize(NULL), cudaSuccess);
    assert_int_equal(p[3], 3);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    assert_int_equal(p[3], 4);
    assert_int_equal(set_ints(p, 4, 5, 4, s), cudaSuccess);
    assert_int_equal(cudaStreamDestroy(s), cudaSuccess);
    assert_int_equal(p[3], 5);
    assert_int_equal(cudaStreamSynchronize(s), cudaErrorInvalidResourceHandle);
}

static void test_late_copies(void **state)
{
    (void)state;
    runtime_case_use(1 << 20, true);
    int *const pinned = pinned_ints(1), *const d = device_ints(1);
    int pageable = 1, back = 0;
    /* a pageable source is read by the call, a page-locked one when the copy runs */
    assert_int_equal(cudaMemcpyAsync(d, &pageable, 4, cudaMemcpyDefault, NULL),
                     cudaSuccess);
    pageable = 2;
    assert_int_equal(cudaMemcpyAsync(&back, d, 4, cudaMemcpyDefault, NULL),
                     cudaSuccess);
    assert_int_equal(back, 1);
    *pinned = 3;
    assert_int_equal(cudaMemcpyAsync(d, pinned, 4, cudaMemcpyDefault, NULL),
                     cudaSuccess);
    *pinned = 4;
    assert_int_equal(cudaMemcpy(&back, d, 4, cudaMemcpyDefault), cudaSuccess);
    assert_int_equal(back, 4);
}

/* Streams that block and the default stream wait for each other's earlier work. */
static void test_default_stream(void **state)
{
    (void)state;
    runtime_case_use(1 << 20, true);
    int *const p = pinned_ints(2);
    cudaStream_t s = NULL;
    memset(p, 0, 8);
    assert_int_equal(cudaStreamCreate(&s), cudaSuccess);
    assert_int_equal(set_ints(p, 1, 1, 1, s), cudaSuccess);
    assert_int_equal(set_ints(p + 1, 1, 1, 1, NULL), cudaSuccess);
    assert_int_equal(set_ints(p, 1, 2, 1, s), cudaSuccess);
    assert_int_equal(set_ints(p + 1, 1, 2, 1, NULL), cudaSuccess);
    assert_int_equal(p[0] + p[1], 0);
    assert_int_equal(cudaStreamSynchronize(s), cudaSuccess);
    assert_int_equal(p[0], 2);
    assert_int_equal(p[1], 1);
    assert_int_equal(cudaStreamSynchronize(NULL), cudaSuccess);
    assert_int_equal(p[1], 2);
}

static void test_events(void **state)
{
    (void)state;
    runtime_case_use(1 << 20, true);
    int *const p = pinned_ints(1);
    cudaStream_t s = NULL, t = NULL;
    cudaEvent_t start = NULL, end = NULL, plain = NULL;
    float ms = -1;
    *p = 0;
    assert_int_equal(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), cudaSuccess);
    assert_int_equal(cudaStreamCreateWithFlags(&t, cudaStreamNonBlocking), cudaSuccess);
    assert_int_equal(cudaEventCreate(&start), cudaSuccess);
    assert_int_equal(cudaEventCreate(&end), cudaSuccess);
    assert_int_equal(cudaEventCreateWithFlags(&plain, cudaEventDisableTiming),
                     cudaSuccess);
    assert_int_equal(cudaEventSynchronize(end), cudaSuccess); /* never recorded */
    assert_int_equal(cudaEventElapsedTime(&ms, start, end),
                     cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaEventRecord(start, s), cudaSuccess);
    assert_int_equal(set_ints(p, 1, 1, 1, s), cudaSuccess);
    assert_int_equal(cudaEventRecord(end, s), cudaSuccess);
    assert_int_equal(cudaEventElapsedTime(&ms, start, end), cudaErrorNotReady);
    /* work of t waits for that of s */
    assert_int_equal(cudaStreamWaitEvent(t, end, 0), cudaSuccess);
    assert_int_equal(cudaEventRecord(plain, t), cudaSuccess);
    assert_int_equal(*p, 0);
    assert_int_equal(cudaEventQuery(plain), cudaErrorNotReady);
    assert_int_equal(cudaEventQuery(plain), cudaSuccess);
    assert_int_equal(*p, 1);
    assert_int_equal(cudaEventElapsedTime(&ms, start, end), cudaSuccess);
    assert_true(ms >= 0);
    assert_int_equal(cudaEventElapsedTime(&ms, start, plain),
                     cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaEventRecord(end, s), cudaSuccess);
    assert_int_equal(cudaEventDestroy(end), cudaSuccess); /* its record still runs */
    assert_int_equal(cudaEventDestroy(end), cudaErrorInvalidResourceHandle);
    assert_int_equal(cudaStreamSynchronize(s), cudaSuccess);
}

static cudaGraphExec_t capture_set(cudaStream_t s, int *p, int value)
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    assert_int_equal(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal),
                     cudaSuccess);
    assert_int_equal(cudaMemsetAsync(p, 0xff, 8, s), cudaSuccess);
    assert_int_equal(set_ints(p, 1, value, 1, s), cudaSuccess);
    assert_int_equal(cudaMemcpyAsync(p + 2, p, 4, cudaMemcpyDefault, s), cudaSuccess);
    assert_int_equal(cudaStreamEndCapture(s, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
    assert_int_equal(cudaGraphDestroy(graph), cudaErrorInvalidValue);
    return exec;
}

static void check_graph(bool is_late)
{
    runtime_case_use(1 << 20, is_late);
    int *const p = pinned_ints(3);
    cudaStream_t s = NULL;
    memset(p, 0, 12);
    assert_int_equal(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), cudaSuccess);
    cudaGraphExec_t const exec = capture_set(s, p, 9);
    assert_int_equal(cudaStreamSynchronize(s), cudaSuccess);
    assert_int_equal(p[0], 0); /* nothing ran yet */
    for (int i = 0; i < 2; i++) {
        memset(p, 0, 12);
        assert_int_equal(cudaGraphLaunch(exec, s), cudaSuccess);
        if (is_late)
            assert_int_equal(p[0], 0);
        assert_int_equal(cudaStreamSynchronize(s), cudaSuccess);
        assert_int_equal(p[0], 9);
        assert_int_equal(p[1], -1);
        assert_int_equal(p[2], 9);
    }
    assert_int_equal(cudaGraphLaunch(exec, s), cudaSuccess);
    assert_int_equal(cudaGraphExecDestroy(exec), cudaSuccess);
    assert_int_equal(cudaStreamSynchronize(s), cudaSuccess);
    assert_int_equal(cudaGraphLaunch(exec, s), cudaErrorInvalidValue);
}

static void test_graph(void **state)
{
    check_graph(false);
    (void)runtime_case_teardown(state);
    check_graph(true);
}

/* What may not happen while a stream captures makes the capture void. */
static void test_capture_rules(void **state)
{
    (void)state;
    int *const d = device_ints(4);
    int host[4];
    void *p = NULL;
    cudaStream_t s = NULL, blocking = NULL;
    cudaGraph_t graph = NULL;
    cudaEvent_t e = NULL;
    assert_int_equal(cudaEventCreate(&e), cudaSuccess);
    assert_int_equal(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), cudaSuccess);
    assert_int_equal(cudaStreamCreate(&blocking), cudaSuccess);
    assert_int_equal(cudaStreamEndCapture(s, &graph), cudaErrorStreamCaptureUnmatched);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal),
                         cudaSuccess);
        assert_int_equal(i == 0   ? cudaStreamSynchronize(s)
                         : i == 1 ? cudaDeviceSynchronize()
                         : i == 2 ? cudaMalloc(&p, 4)
                         : i == 3 ? cudaFree(d)
                         : i == 4 ? cudaMemcpy(host, d, 4, cudaMemcpyDefault)
                         : i == 5 ? cudaMemset(d, 0, 4)
                                  : cudaErrorStreamCaptureUnsupported,
                         cudaErrorStreamCaptureUnsupported);
        if (i == 6) {
            assert_int_equal(cudaEventRecord(e, s), cudaSuccess);
            assert_int_equal(cudaEventSynchronize(e), cudaErrorCapturedEvent);
        }
        assert_int_equal(cudaStreamEndCapture(s, &graph),
                         i < 6 ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
        if (i >= 6)
            assert_int_equal(cudaGraphDestroy(graph), cudaSuccess);
    }
    assert_int_equal(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed),
                     cudaSuccess);
    assert_int_equal(cudaMalloc(&p, 4), cudaSuccess); /* allowed in this mode */
    assert_int_equal(set_ints(d, 1, 1, 1, NULL), cudaErrorStreamCaptureImplicit);
    assert_int_equal(cudaStreamEndCapture(blocking, &graph),
                     cudaErrorStreamCaptureInvalidated);
    assert_int_equal(cudaStreamBeginCapture(NULL, cudaStreamCaptureModeGlobal),
                     cudaErrorStreamCaptureUnsupported);
}

/* In late mode the fault is found by what waits for it. */
static void test_late_fault(void **state)
{
    (void)state;
    runtime_case_use(1 << 20, true);
    int *const d = device_ints(4);
    assert_int_equal(set_ints(d, 5, 1, 5, NULL), cudaSuccess);
    assert_int_equal(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
}

static void test_use_after_free(void **state)
{
    (void)state;
    int *const d = device_ints(4);
    cudaStream_t s = NULL;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    assert_int_equal(cudaStreamCreate(&s), cudaSuccess);
    assert_int_equal(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed),
                     cudaSuccess);
    assert_int_equal(cudaMemsetAsync(d, 0, 16, s), cudaSuccess);
    assert_int_equal(cudaStreamEndCapture(s, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    assert_int_equal(cudaFree(d), cudaSuccess);
    assert_int_equal(cudaGraphLaunch(exec, s), cudaErrorIllegalAddress);
    assert_int_equal(cudaGetLastError(), cudaErrorIllegalAddress);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUNTIME_TEST(test_late_stream),    RUNTIME_TEST(test_late_copies),
        RUNTIME_TEST(test_default_stream), RUNTIME_TEST(test_events),
        RUNTIME_TEST(test_graph),          RUNTIME_TEST(test_capture_rules),
        RUNTIME_TEST(test_late_fault),     RUNTIME_TEST(test_use_after_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
