/*
 * The ops beside the matrix products: attention forward and backward (GFLOP/s over the
 * visible pairs, and share of the probed FMA peak), decode attention and elementwise
 * ops (GB/s of the bytes they must move), exp (results per second). Usage: bench_ops
 * [budget_s per line] [n_threads]. Best rounds count.
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "core/mem.h"
#include "core/rng.h"
#include "cpu/cpu.h"

enum { MAX_SEQS = 64 };

struct bench {
    struct backend b;
    double budget_s, peak_flops, read_bytes;
};

static float *floats(int64_t n, float scale)
{
    void *p = NULL;
    CHECK(mem_reserve(&p, (size_t)n * sizeof(float), "bench") == 0, "%s",
          status_message());
    float *const f = p;
    uint32_t state = 12345;
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        f[i] = ((float)(int32_t)(state >> 8) * 0x1p-23f - 1.0f) * scale;
    }
    return p;
}

static void drop(float *p, int64_t n) { mem_release(p, (size_t)n * sizeof(float)); }

struct attn {
    struct backend *b;
    struct attn_batch a;
    int32_t row_off[MAX_SEQS + 1], first_pos[MAX_SEQS], page_off[MAX_SEQS + 1];
    int32_t group_off[MAX_SEQS + 1], pages[MAX_SEQS * 16];
    float *q, *y, *lse, *dy, *dq, *cache, *dcache;
    int64_t n_q, n_y, n_cache;
};

/* n_seqs sequences with `rows` query rows each, ending at position n_keys - 1 */
static void attn_init(struct attn *p, struct bench *s, int64_t n_seqs, int64_t rows,
                      int64_t n_keys)
{
    const int64_t heads = 8, d = 64, n_pages = (n_keys + KV_BLOCK - 1) / KV_BLOCK;
    *p = (struct attn){.b = &s->b};
    for (int64_t i = 0; i < n_seqs; i++) {
        p->row_off[i + 1] = (int32_t)((i + 1) * rows);
        p->page_off[i + 1] = (int32_t)((i + 1) * n_pages);
        p->group_off[i + 1] = (int32_t)(i + 1);
        p->first_pos[i] = (int32_t)(n_keys - rows);
    }
    for (int64_t i = 0; i < n_seqs * n_pages; i++)
        p->pages[i] = (int32_t)i;
    p->a = (struct attn_batch){.n_rows = n_seqs * rows,
                               .n_seqs = n_seqs,
                               .n_groups = n_seqs,
                               .n_pages = n_seqs * n_pages,
                               .n_heads = heads,
                               .n_kv_heads = heads,
                               .head_dim = d,
                               .ld_q = 3 * heads * d,
                               .scale = 0.125f,
                               .row_off = p->row_off,
                               .first_pos = p->first_pos,
                               .page_off = p->page_off,
                               .pages = p->pages,
                               .group_off = p->group_off};
    p->n_q = p->a.n_rows * p->a.ld_q;
    p->n_y = p->a.n_rows * heads * d;
    p->n_cache = n_seqs * n_pages * 2 * heads * d * KV_BLOCK;
    p->q = floats(p->n_q, 2);
    p->dq = floats(p->n_q, 1);
    p->y = floats(p->n_y, 1);
    p->dy = floats(p->n_y, 1);
    p->lse = floats(p->a.n_rows * heads, 1);
    p->cache = floats(p->n_cache, 1);
    p->dcache = floats(p->n_cache, 1);
}

static void attn_release(struct attn *p)
{
    drop(p->q, p->n_q);
    drop(p->dq, p->n_q);
    drop(p->y, p->n_y);
    drop(p->dy, p->n_y);
    drop(p->lse, p->a.n_rows * p->a.n_heads);
    drop(p->cache, p->n_cache);
    drop(p->dcache, p->n_cache);
}

static void run_attn_fwd(void *arg)
{
    struct attn *const p = arg;
    p->b->attn_fwd(p->b, p->y, p->lse, p->q, p->cache, &p->a);
}

static void run_attn_bwd(void *arg)
{
    struct attn *const p = arg;
    p->b->attn_bwd(p->b, p->dq, p->dcache, p->dy, p->y, p->lse, p->q, p->cache, &p->a);
}

/* Query-key pairs under the causal mask, all heads, times head_dim */
static double pair_work(const struct attn *p)
{
    double pairs = 0;
    for (int64_t s = 0; s < p->a.n_seqs; s++)
        for (int64_t r = p->row_off[s]; r < p->row_off[s + 1]; r++)
            pairs += (double)(p->first_pos[s] + r - p->row_off[s] + 1);
    return pairs * (double)(p->a.n_heads * p->a.head_dim);
}

static void bench_attn(struct bench *s, int64_t n_seqs, int64_t n_keys)
{
    struct attn p;
    attn_init(&p, s, n_seqs, n_keys, n_keys);
    const double fwd = bench_best(run_attn_fwd, &p, s->budget_s);
    const double bwd = bench_best(run_attn_bwd, &p, s->budget_s);
    /* a multiply and an add; 2 products forward, 5 backward */
    const double fwd_rate = 4 * pair_work(&p) / fwd,
                 bwd_rate = 10 * pair_work(&p) / bwd;
    printf("attention %lld x T=%lld, H=8, dh=64: fwd %.3f ms %.0f GFLOP/s (%.0f %%), "
           "bwd %.3f ms %.0f GFLOP/s (%.0f %%)\n",
           (long long)n_seqs, (long long)n_keys, fwd * 1e3, fwd_rate * 1e-9,
           100 * fwd_rate / s->peak_flops, bwd * 1e3, bwd_rate * 1e-9,
           100 * bwd_rate / s->peak_flops);
    attn_release(&p);
}

static void bench_decode(struct bench *s)
{
    struct attn p;
    attn_init(&p, s, 64, 1, 200);
    const double t = bench_best(run_attn_fwd, &p, s->budget_s);
    const double bytes = 2 * pair_work(&p) * sizeof(float);
    printf("decode attention B=64 T=200 H=8 dh=64: %.3f ms, %.1f GB/s of keys and "
           "values (memory read %.1f)\n",
           t * 1e3, bytes / t * 1e-9, s->read_bytes * 1e-9);
    attn_release(&p);
}

struct flat {
    struct backend *b;
    float *x, *y, *z, *w;
    int32_t *ids;
    struct sample_row *rows;
    int64_t n, m;
    double sum[2];
};

static void run_logprob(void *arg)
{
    struct flat *const p = arg;
    p->b->logprob_fwd(p->b, p->y, p->y + p->m, p->y + 2 * p->m, p->x, p->ids, 1.0f,
                      p->n, p->n, p->m);
}

static void run_logprob_bwd(void *arg)
{
    struct flat *const p = arg;
    p->b->logprob_bwd(p->b, p->z, DTYPE_F32, p->z, p->y + p->m, p->y + 2 * p->m, p->ids,
                      p->y, p->y, 1.0f, p->n, p->n, p->m);
}

static void run_sample(void *arg)
{
    struct flat *const p = arg;
    p->b->sample_fwd(p->b, p->ids, p->y, p->x, p->rows, p->n, p->n, p->m);
}

static void sample_lines(struct bench *s, struct flat *p)
{
    static const struct sample_row kinds[] = {
        {.temperature = 0, .top_p = 1},
        {.temperature = 1, .top_p = 1},
        {.temperature = 1, .top_p = 0.95f},
        {.temperature = 1, .top_p = 0.95f, .top_k = 50}};
    for (int64_t k = 0; k < ARRAY_LEN(kinds); k++) {
        for (int64_t r = 0; r < p->m; r++) {
            p->rows[r] = kinds[k];
            p->rows[r].stream = RNG_SAMPLE;
            p->rows[r].counter[0] = (uint32_t)r;
        }
        const double t = bench_best(run_sample, p, s->budget_s);
        printf("sample V=32000 temperature %.0f top_p %.2f top_k %d: %.1f us a row\n",
               (double)kinds[k].temperature, (double)kinds[k].top_p, kinds[k].top_k,
               t * 1e6 / (double)p->m);
    }
}

static void bench_head(struct bench *s)
{
    struct flat p = {.b = &s->b, .n = 32000, .m = 64};
    p.x = floats(p.n * p.m, 5);
    p.z = floats(p.n * p.m, 5);
    p.y = floats(3 * p.m, 1);
    p.ids = mem_alloc((size_t)p.m * sizeof(int32_t));
    p.rows = mem_alloc((size_t)p.m * sizeof(*p.rows));
    const double bytes = (double)(p.n * p.m) * sizeof(float);
    const double fwd = bench_best(run_logprob, &p, s->budget_s);
    const double bwd = bench_best(run_logprob_bwd, &p, s->budget_s);
    printf(
        "logprob 64 x V=32000: fwd %.1f GB/s of logits (%.2f G exp/s), bwd %.1f GB/s "
        "read and written\n",
        bytes / fwd * 1e-9, bytes / 4 / fwd * 1e-9, 2 * bytes / bwd * 1e-9);
    sample_lines(s, &p);
    drop(p.x, p.n * p.m);
    drop(p.z, p.n * p.m);
    drop(p.y, 3 * p.m);
    mem_free(p.ids);
    mem_free(p.rows);
}

static void run_adamw(void *arg)
{
    struct flat *const p = arg;
    const struct adamw_args args = {.lr = 1e-6f,
                                    .beta1 = 0.9f,
                                    .beta2 = 0.99f,
                                    .eps = 1e-8f,
                                    .bias1 = 0.5f,
                                    .bias2 = 0.5f,
                                    .grad_scale = 1};
    p->b->adamw(p->b, p->x, p->ids, DTYPE_BF16, p->y, p->z, p->w, &args, p->n);
}

static void run_norms(void *arg)
{
    struct flat *const p = arg;
    p->b->norms(p->b, &p->sum[0], &p->sum[1], p->x, p->n);
}

static void run_swiglu(void *arg)
{
    struct flat *const p = arg;
    p->b->swiglu_fwd(p->b, p->y, DTYPE_F32, p->x, 512, p->n / 1024);
}

static void bench_flat(struct bench *s, int64_t n)
{
    struct flat p = {.b = &s->b, .n = n};
    p.x = floats(n, 1);
    p.y = floats(n, 1);
    p.w = floats(n, 1);
    p.z = floats(n, 1);
    for (int64_t i = 0; i < n; i++)
        p.z[i] = p.z[i] * p.z[i];
    p.ids = (int32_t *)(void *)floats(n, 1);
    const double adamw = bench_best(run_adamw, &p, s->budget_s);
    const double norms = bench_best(run_norms, &p, s->budget_s);
    const double swiglu = bench_best(run_swiglu, &p, s->budget_s);
    /* reads w, m, v, g; writes w, m, v and a 16-bit copy */
    printf("%.1fM elements: adamw %.1f GB/s (%.2f ns each), norms %.1f GB/s, "
           "swiglu_fwd %.2f G exp/s\n",
           (double)n * 1e-6, 30 * (double)n / adamw * 1e-9, adamw / (double)n * 1e9,
           4 * (double)n / norms * 1e-9, (double)n / 2 / swiglu * 1e-9);
    drop(p.x, n);
    drop(p.y, n);
    drop(p.w, n);
    drop(p.z, n);
    drop((float *)(void *)p.ids, n);
}

int main(int argc, char **argv)
{
    struct bench s = {.budget_s = argc > 1 ? strtod(argv[1], NULL) : 0.3};
    const int n_threads = argc > 2 ? atoi(argv[2]) : omp_get_max_threads();
    if (cpu_backend_init(&s.b, CPU_ISA_AUTO, n_threads) != 0) {
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
    s.peak_flops = bench_peak_flops(n_threads, 0.2);
    s.read_bytes = bench_read_bytes(n_threads, 0.3);
    printf("%s; fp32 FMA peak %.0f GFLOP/s, memory read %.1f GB/s\n", s.b.name,
           s.peak_flops * 1e-9, s.read_bytes * 1e-9);
    bench_attn(&s, 1, 160);
    bench_attn(&s, 16, 160);
    bench_attn(&s, 4, 512);
    bench_decode(&s);
    bench_head(&s);
    bench_flat(&s, 1 << 16);
    bench_flat(&s, 1 << 24);
    cpu_backend_release(&s.b);
    return 0;
}
