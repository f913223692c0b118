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

static const char *text_of(const char *name)
{
    const char *const text = getenv(name);
    return text != NULL && text[0] != 0 ? text : NULL;
}

static int64_t number(const char *name, int64_t low, int64_t high, int64_t otherwise)
{
    const char *const text = text_of(name);
    if (text == NULL)
        return otherwise;
    char *end = NULL;
    errno = 0;
    const long long value = strtoll(text, &end, 0);
    CHECK(errno == 0 && *end == 0 && value >= low && value <= high,
          "%s=%s: expected a number from %lld to %lld", name, text, (long long)low,
          (long long)high);
    return value;
}

/* Is the setting the first of two words? The second, which is the default, if unset. */
static bool is_word(const char *name, const char *word, const char *otherwise)
{
    const char *const text = text_of(name);
    if (text == NULL || strcmp(text, otherwise) == 0)
        return false;
    CHECK(strcmp(text, word) == 0, "%s=%s: expected %s or %s", name, text, word,
          otherwise);
    return true;
}

/* Bytes, with K, M or G after the number */
static size_t size_of(const char *name, int64_t otherwise)
{
    static const char units[] = "KMG";
    const char *const text = text_of(name);
    if (text == NULL)
        return (size_t)otherwise;
    char *end = NULL;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    const char *const unit = *end != 0 ? strchr(units, *end) : NULL;
    const int shift = unit != NULL ? 10 * (int)(unit - units + 1) : 0;
    CHECK(errno == 0 && (*end == 0 || (unit != NULL && end[1] == 0)) && value >= 1 &&
              value <= INT64_MAX >> shift,
          "%s=%s: expected bytes, or a number with K, M or G", name, text);
    return (size_t)value << shift;
}

static int32_t compute_capability(void)
{
    const char *const text = text_of("EMULATOR_SM");
    if (text == NULL || strcmp(text, "90") == 0 || strcmp(text, "90a") == 0)
        return 90;
    CHECK(strcmp(text, "80") == 0, "EMULATOR_SM=%s: expected 80 or 90", text);
    return 80;
}

static void read_environment(void)
{
    settings.is_async_early = is_word("EMULATOR_ASYNC", "early", "late");
    settings.is_stream_late = is_word("EMULATOR_STREAMS", "late", "early");
    settings.has_races = is_word("EMULATOR_RACES", "1", "0");
    settings.has_trace = is_word("EMULATOR_TRACE", "1", "0");
    settings.seed = (uint64_t)number("EMULATOR_SEED", 0, INT64_MAX, 0);
    settings.n_sms = (int32_t)number("EMULATOR_SMS", 1, 1024, 4);
    settings.compute_capability = compute_capability();
    settings.memory_bytes = size_of("EMULATOR_MEMORY", (int64_t)4 << 30);
    settings.ptx_folder = text_of("EMULATOR_PTX");
    settings.counts_path = text_of("EMULATOR_COUNTS");
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
