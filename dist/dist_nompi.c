/*
 * The world of a build without MPI.
 */
#include "dist/dist_private.h"

int comm_world_create(struct comm **out, int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    const int size = launch_size();
    /* each would believe to be alone and write the same run directory */
    if (size > 1)
        return ERR(ERR_CONFIG,
                   "launched as one of %d ranks, but this program was built without "
                   "MPI; build with MPI=1 or start it without a launcher",
                   size);
    return self_create(out);
}
