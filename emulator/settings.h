/*
 * What the environment says about the emulator, read once when first asked for:
 *   EMULATOR_ASYNC     early | late (default late): when asynchronous copies and
 * products are done, see machine.h EMULATOR_RACES     0 | 1 (default 0): the race
 * checker, see race.h EMULATOR_SEED      a number (default 0): the order in which the
 * warps of a block take turns; 0 is by their ids, others are drawn anew each round
 *   EMULATOR_SMS       multiprocessors that the device reports (default 4; kernels size
 *                      persistent grids by it)
 *   EMULATOR_CC        compute capability times ten that it reports (default 90)
 *   EMULATOR_MEMORY_MB device memory it reports, in MiB (default 8192)
 *   EMULATOR_COUNTS    a file to which a table of counters by kernel is written at
 * exit;
 *                      "-" is stderr
 * A value that is not understood ends the program: a test must not pass with a check
 * turned off by a misspelt word.
 */
#ifndef EMULATOR_SETTINGS_H
#define EMULATOR_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

struct emulator_settings {
    bool is_async_early;
    bool has_races;
    uint64_t seed;
    int32_t n_sms;
    int32_t compute_capability; /* 90 for 9.0 */
    int64_t memory_bytes;
    const char *counts_path; /* NULL: do not count */
};

/* Thread-safe; the same object at each call. */
const struct emulator_settings *emulator_settings(void);

/* For tests, before other threads run: replaces what the environment said. */
void emulator_settings_override(const struct emulator_settings *s);

#endif
