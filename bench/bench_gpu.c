/*
 * Benchmarks of the CUDA backend, each as a figure and as a share of what this card
 * reaches in the same process:
 *
 *   bench_gpu [--quick] [--json FILE] [--gpu N] [--vocab V] [PART ...]
 *   bench_gpu --card          names the GPU, no more
 *
 * Parts: decode, learner, ops, exact, step; all without one. The ceilings are measured
 * first in every run. --quick: fewer repetitions and smaller sizes, each part within 10
 * s on an H100. --json appends one object per figure. Without a GPU: says so, status
 * 75.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/gpu_bench.h"
#include "bench/gpu_model.h"
#include "cuda/cuda.h"
#include "dist/comm.h"
#include "grpo/session.h"

struct part {
    const char *name;
    int (*run)(struct gpu_bench *g);
    double quick_s, full_s; /* after these no case of the part is begun */
};

static const struct part parts[] = {
    {"decode", gpu_part_decode, 8.0, 60.0}, {"learner", gpu_part_learner, 5.0, 40.0},
    {"ops", gpu_part_ops, 8.0, 40.0},       {"exact", gpu_part_exact, 4.0, 20.0},
    {"step", gpu_part_step, 6.0, 40.0},
};

static bool is_wanted(const struct args *a, const char *name)
{
    for (int i = 0; i < a->n_words; i++)
        if (strcmp(a->words[i], name) == 0)
            return true;
    return a->n_words == 0;
}

static int check_words(const struct args *a)
{
    for (int w = 0; w < a->n_words; w++) {
        bool is_known = false;
        for (int64_t i = 0; i < ARRAY_LEN(parts); i++)
            is_known = is_known || strcmp(parts[i].name, a->words[w]) == 0;
        if (!is_known)
            return ERR(ERR_USAGE, "no part \"%s\": decode, learner, ops, exact or step",
                       a->words[w]);
    }
    return STATUS_OK;
}

static int run_parts(struct gpu_bench *g, const struct args *a)
{
    const double start = bench_now();
    TRY(gpu_part_ceilings(g));
    for (int64_t i = 0; i < ARRAY_LEN(parts); i++) {
        const struct part *const p = &parts[i];
        if (!is_wanted(a, p->name))
            continue;
        const double from = bench_now();
        g->end_s = from + (g->is_quick ? p->quick_s : p->full_s);
        if (p->run(g) != STATUS_OK)
            gpu_skip(g, p->name, status_message());
        printf("# %s took %.1f s\n", p->name, bench_now() - from);
    }
    printf("# all took %.1f s\n", bench_now() - start);
    return STATUS_OK;
}

static int open_backends(struct gpu_bench *g, int device)
{
    TRY(cuda_backend_init(&g->exact, device, CUDA_MATMUL_EXACT));
    g->has_tensor = cuda_backend_init(&g->tensor, device, CUDA_MATMUL_TENSOR) ==
                    STATUS_OK;
    size_t n_free = 0, n_total = 0;
    cuda_backend_memory(&g->exact, &n_free, &n_total);
    printf("# %s; %.1f of %.1f GiB free\n", gpu_bench_fast(g)->name,
           (double)n_free / 0x1p30, (double)n_total / 0x1p30);
    if (!g->has_tensor)
        printf("# exact products only: %s\n", status_message());
    return STATUS_OK;
}

static void close_backends(struct gpu_bench *g)
{
    if (g->has_tensor)
        cuda_backend_release(&g->tensor);
    cuda_backend_release(&g->exact);
}

static int print_card(int device)
{
    struct backend b;
    TRY(cuda_backend_init(&b, device, CUDA_MATMUL_EXACT));
    char name[256];
    snprintf(name, sizeof(name), "%s", b.name);
    /* "cuda (CARD; exact products)" */
    char *const end = strrchr(name, ';'), *const start = strchr(name, '(');
    if (end != NULL)
        *end = '\0';
    puts(start == NULL ? name : start + 1);
    cuda_backend_release(&b);
    return STATUS_OK;
}

enum { FLAG_QUICK, FLAG_JSON, FLAG_GPU, FLAG_VOCAB, FLAG_HELP, FLAG_CARD };

static int run(int argc, char **argv)
{
    struct args_flag flags[] = {
        [FLAG_QUICK] = {"--quick", false, NULL}, [FLAG_JSON] = {"--json", true, NULL},
        [FLAG_GPU] = {"--gpu", true, NULL},      [FLAG_VOCAB] = {"--vocab", true, NULL},
        [FLAG_HELP] = {"--help", false, NULL},   [FLAG_CARD] = {"--card", false, NULL}};
    struct args a;
    /* V of the paper's tokenizer */
    struct gpu_bench g = {.n_vocab = 99574};
    TRY(args_parse(&a, flags, (int)ARRAY_LEN(flags), argc - 1, argv + 1));
    const int device = flags[FLAG_GPU].value == NULL ? 0 : atoi(flags[FLAG_GPU].value);
    if (flags[FLAG_CARD].value != NULL)
        return print_card(device);
    if (flags[FLAG_HELP].value != NULL) {
        puts("bench_gpu [--quick] [--json FILE] [--gpu N] [--vocab V] "
             "[decode|learner|ops|exact|step ...]");
        return STATUS_OK;
    }
    TRY(check_words(&a));
    g.is_quick = flags[FLAG_QUICK].value != NULL;
    if (flags[FLAG_VOCAB].value != NULL)
        g.n_vocab = atoll(flags[FLAG_VOCAB].value);
    if (g.n_vocab < 64)
        return ERR(ERR_USAGE, "--vocab %s: expected at least 64",
                   flags[FLAG_VOCAB].value);
    TRY(open_backends(&g, device));
    if (flags[FLAG_JSON].value != NULL) {
        g.json = fopen(flags[FLAG_JSON].value, "a");
        if (g.json == NULL)
            return ERR(ERR_IO, "%s: cannot be written", flags[FLAG_JSON].value);
    }
    const int status = run_parts(&g, &a);
    if (g.json != NULL)
        fclose(g.json);
    close_backends(&g);
    return status;
}

int main(int argc, char **argv)
{
    launch_tame_openmp(argv);
    const int status = run(argc, argv);
    if (status == STATUS_OK)
        return 0;
    fprintf(stderr, "bench_gpu: %s\n", status_message());
    return status_exit(status);
}
