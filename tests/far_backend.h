/*
 * A backend whose memory the host cannot touch: addresses are moved by FAR_AWAY, where
 * nothing is mapped, so a host access to "device" memory ends the test at once. Memory
 * ops only, products PLAIN: what a device asks of everything that is not an op.
 */
#ifndef TESTS_FAR_BACKEND_H
#define TESTS_FAR_BACKEND_H

#include <stdint.h>
#include <string.h>

#include "core/mem.h"
#include "core/ops.h"

#define FAR_AWAY (UINT64_C(1) << 56)

static inline void *far_of(const void *near)
{
    return (void *)((uintptr_t)near + FAR_AWAY);
}

static inline void *near_of(const void *far)
{
    return (void *)((uintptr_t)far - FAR_AWAY);
}

static inline int far_reserve(struct backend *b, void **out, size_t bytes,
                              const char *what)
{
    void *p = NULL;
    (void)b;
    TRY(mem_reserve(&p, bytes, what));
    *out = far_of(p);
    return STATUS_OK;
}

static inline void far_release(struct backend *b, void *p, size_t bytes)
{
    (void)b;
    mem_release(near_of(p), bytes);
}

static inline void far_upload(struct backend *b, void *dst, const void *host_src,
                              size_t bytes)
{
    (void)b;
    memcpy(near_of(dst), host_src, bytes);
}

static inline void far_download(struct backend *b, void *host_dst, const void *src,
                                size_t bytes)
{
    (void)b;
    memcpy(host_dst, near_of(src), bytes);
}

static inline struct backend far_backend(void)
{
    return (struct backend){.name = "far",
                            .product_layout = WEIGHT_PLAIN,
                            .reserve = far_reserve,
                            .release = far_release,
                            .reserve_host = far_reserve,
                            .release_host = far_release,
                            .upload = far_upload,
                            .download = far_download};
}

#endif
