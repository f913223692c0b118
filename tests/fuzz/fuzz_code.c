/*
 * Answers written as Python: any text has a status; a value has a text, ended by a NUL,
 * and evaluating again gives the same.
 */
#include <string.h>

#include "core/status.h"
#include "reward/code.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct code_value v, again;
    const char *const text = (const char *)data;
    code_eval(&v, text, size);
    CHECK(v.len < sizeof(v.text) && v.text[v.len] == 0, "%zu bytes", v.len);
    CHECK((v.status == CODE_VALUE) == (v.len > 0), "%s with %zu bytes",
          code_status_name(v.status), v.len);
    CHECK(strlen(v.text) == v.len, "a NUL inside");
    code_eval(&again, text, size);
    CHECK(again.status == v.status && again.is_float == v.is_float &&
              strcmp(again.text, v.text) == 0,
          "%s, then %s", v.text, again.text);
    return 0;
}
