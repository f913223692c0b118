/*
 * What the environment says about the emulator, read once when first asked for:
 *
 *   EMULATOR_ASYNC    early | late (default late): when asynchronous copies and
 *                     products are done, see machine.h
 *   EMULATOR_STREAMS  early | late (default early): when the work of streams is
 *                     done, see runtime.h
 *   EMULATOR_RACES    0 | 1 (default 0): the race checker, see race.h
 *   EMULATOR_SEED     a number (default 0): the order in which the warps of a block
 *                     take turns and how long these are; 0: by their ids, all alike,
 *                     others: drawn anew each round
 *   EMULATOR_SM       80 | 90 (default 90): the compute capability times ten, for
 *                     which code is chosen (90 takes that of sm_90a)
 *   EMULATOR_SMS      multiprocessors that the device reports (default 4; kernels
 *                     size persistent grids by it)
 *   EMULATOR_MEMORY   device memory in bytes, or with K, M or G (default 4G); more
 *                     is refused
 *   EMULATOR_TRACE    0 | 1 (default 0): a line on stderr for each launch
 *   EMULATOR_PTX      a folder to which the text of every module used is written,
 *                     whose lines faults name
 *   EMULATOR_COUNTS   a file to which a table of counters by kernel is written at
 *                     exit; "-" is stderr
 *
 * A value that is not understood ends the program: a test must not pass with a check
 * turned off by a misspelt word.
 */
#ifndef EMULATOR_SETTINGS_H
#define EMULATOR_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct emulator_settings {
    bool is_async_early;
    bool is_stream_late;
    bool has_races;
    bool has_trace;
    uint64_t seed;
    int32_t n_sms;
    int32_t compute_capability; /* 90 for 9.0 */
    size_t memory_bytes;
    const char *ptx_folder;  /* NULL: texts are not written */
    const char *counts_path; /* NULL: do not count */
};

/* Thread-safe; the same object at each call. */
const struct emulator_settings *emulator_settings(void);

/* For tests, before other threads run: replaces what the environment said. */
void emulator_settings_override(const struct emulator_settings *s);

#endif
