/*
 * The one file of this folder that reads the environment.
 */
#include "emulator/settings.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"

static struct emulator_settings settings;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int64_t number(const char *name, int64_t low, int64_t high, int64_t otherwise)
{
    const char *const text = getenv(name);
    if (text == NULL || text[0] == 0)
        return otherwise;
    char *end = NULL;
    errno = 0;
    const long long value = strtoll(text, &end, 0);
    CHECK(errno == 0 && *end == 0 && value >= low && value <= high,
          "%s=%s: expected a number from %lld to %lld", name, text, (long long)low,
          (long long)high);
    return value;
}

static bool is_early(void)
{
    const char *const text = getenv("EMULATOR_ASYNC");
    if (text == NULL || text[0] == 0 || strcmp(text, "late") == 0)
        return false;
    CHECK(strcmp(text, "early") == 0, "EMULATOR_ASYNC=%s: expected early or late",
          text);
    return true;
}

static void read_environment(void)
{
    settings.is_async_early = is_early();
    settings.has_races = number("EMULATOR_RACES", 0, 1, 0) == 1;
    settings.seed = (uint64_t)number("EMULATOR_SEED", 0, INT64_MAX, 0);
    settings.n_sms = (int32_t)number("EMULATOR_SMS", 1, 1024, 4);
    settings.compute_capability = (int32_t)number("EMULATOR_CC", 70, 129, 90);
    settings.memory_bytes = number("EMULATOR_MEMORY_MB", 1, 1 << 20, 8192) << 20;
    const char *const path = getenv("EMULATOR_COUNTS");
    settings.counts_path = path != NULL && path[0] != 0 ? path : NULL;
}

const struct emulator_settings *emulator_settings(void)
{
    const int status = pthread_once(&once, read_environment);
    CHECK(status == 0, "pthread_once: %d", status);
    return &settings;
}

void emulator_settings_override(const struct emulator_settings *s)
{
    emulator_settings();
    settings = *s;
}
