/*
 * How the process was started, and how it should start. MPI_Init takes a second even
 * for one rank, so a plain start asks here first.
 */
#include <stdlib.h>
#include <unistd.h>

#include "dist/dist_private.h"

/* 0 where the variable is missing or no count */
static int count_of(const char *name)
{
    const char *const text = getenv(name);
    if (text == NULL)
        return 0;
    const long n = strtol(text, NULL, 10);
    return n > 0 && n < INT32_MAX ? (int)n : 0;
}

int launch_size(void)
{
    const int mpirun = count_of("OMPI_COMM_WORLD_SIZE");
    if (mpirun > 0)
        return mpirun;
    const int pmi = count_of("PMI_SIZE"); /* hydra; srun --mpi=pmi2 */
    if (pmi > 0)
        return pmi;
    if (getenv("PMIX_RANK") == NULL) /* srun --mpi=pmix, prte */
        return 0;
    const int tasks = count_of("SLURM_STEP_NUM_TASKS");
    return tasks > 0 ? tasks : 1;
}

void launch_tame_openmp(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") != NULL || getenv("OMP_WAIT_POLICY") != NULL)
        return;
    /* read by libgomp before main, so only a fresh start sees it */
    if (setenv("GOMP_SPINCOUNT", "10000", 1) == 0)
        (void)execv("/proc/self/exe", argv); /* returns only on failure: go on as is */
}
