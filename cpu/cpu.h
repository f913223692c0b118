/*
 * The CPU backend: every op of core/ops.h, deterministic, row-invariant, and equal in
 * bits on all instruction sets.
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include <stdint.h>

#include "core/ops.h"
#include "core/status.h"

enum cpu_isa { CPU_ISA_AUTO, CPU_ISA_PORTABLE, CPU_ISA_AVX2, CPU_ISA_AVX512 };

/* Fills *b. isa AUTO takes the best the machine has; one it lacks is ERR_CONFIG.
 * n_threads 0: OpenMP's default (OMP_NUM_THREADS or the cores this process may use). */
int cpu_backend_init(struct backend *b, enum cpu_isa isa, int n_threads) WARN_UNUSED;
void cpu_backend_release(struct backend *b);
const char *cpu_isa_name(enum cpu_isa isa); /* "portable", "avx2", "avx512" */
enum cpu_isa cpu_isa_best(void);

#endif
