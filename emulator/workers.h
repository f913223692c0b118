/*
 * Threads that help with a launch's blocks. OpenMP's would spin between launches,
 * beside those of the program's other threads that use OpenMP: on few cores that takes
 * a third of the time.
 */
#ifndef EMULATOR_WORKERS_H
#define EMULATOR_WORKERS_H

#include <stdint.h>

typedef void (*workers_fn)(void *argument);

/* Calls fn(argument) on the calling thread and, as they are free, on up to n_helpers
 * others; returns when all calls have. fn takes its share of the work from what
 * argument points to, and must do all of it where it is called once. Thread-safe. */
void workers_run(workers_fn fn, void *argument, int32_t n_helpers);

#endif
