/*
 * What the emulated device can do: the limits of compute capability 9.0, or 8.0 with
 * EMULATOR_SM=80. Source: CUDA C++ Programming Guide, "Compute Capabilities".
 */
#ifndef EMULATOR_RUNTIME_DEVICE_H
#define EMULATOR_RUNTIME_DEVICE_H

enum {
    RUNTIME_MAX_THREADS = 1024, /* of a block */
    RUNTIME_MAX_BLOCK_Z = 64,
    RUNTIME_MAX_GRID_X = 2147483647,
    RUNTIME_MAX_GRID_YZ = 65535,
    RUNTIME_MAX_SM_THREADS = 2048,
    RUNTIME_MAX_SM_BLOCKS = 32
};

int runtime_shared_limit(void); /* bytes that a block may have, asked for */

#endif
