/*
 * Dtypes, and the two layouts of weights.
 *
 * Glossary of dimensions: N rows (tokens), D model, F expert ffn, E experts, K top-k, H
 * heads, G kv heads, T time, V vocab, L layers, R ranks. In a product's own terms
 * (gemm): m rows of x, n outputs, k inputs.
 *
 * A weight of matrix products has the layout that the backend reads: PLAIN is
 * row-major, (n_mats, n, k), as on disk (cuda/); PACKED is panels (cpu/).
 *
 * A packed weight holds `n_mats` matrices W (n, k), y = x W^T. Matrix e is ceil(n/32)
 * panels of 32 outputs; panel p stores for each k = 0..k-1 the 32 values W[32p ..
 * 32p+31, k]. Outputs past n are zero. So element (e, j, i) lies at  ((e * n_panels + j
 * / 32) * k + i) * 32 + j % 32. Gradients, master weights and moments use the same
 * layout in fp32, hence optimisers are elementwise and never look inside. A vector
 * (norm weight) is n_mats = 1, n = 1, PLAIN: k values. An embedding table (V, D) is
 * PLAIN: row-major, n = V, k = D; a tied one is PACKED and serves both uses.
 */
#ifndef CORE_TENSOR_H
#define CORE_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum dtype { DTYPE_F32, DTYPE_BF16, DTYPE_F16 };
enum { WEIGHT_PANEL = 32 };
enum weight_layout { WEIGHT_PLAIN, WEIGHT_PACKED };

struct weight {
    const void *data; /* borrowed; 64-byte aligned */
    enum dtype dtype;
    enum weight_layout layout;
    int64_t n_mats, n, k;
};

size_t dtype_bytes(enum dtype dtype);
const char *dtype_name(enum dtype dtype); /* safetensors' names: "F32", "BF16", "F16" */
float dtype_get(const void *p, enum dtype dtype, int64_t i); /* exact widening */
void dtype_put(void *p, enum dtype dtype, int64_t i,
               float v); /* round to nearest even */
/* n values at once; the ranges must not overlap */
void dtype_widen(float *dst, const void *src, enum dtype dtype, int64_t n);
void dtype_narrow(void *dst, enum dtype dtype, const float *src, int64_t n);

/* elements of memory, padding included */
int64_t weight_n_elems(enum weight_layout layout, int64_t n_mats, int64_t n, int64_t k);
/* where element (e, j, i) lies, in elements */
int64_t weight_index(enum weight_layout layout, int64_t n, int64_t k, int64_t e,
                     int64_t j, int64_t i);

#ifdef __cplusplus
}
#endif
#endif
