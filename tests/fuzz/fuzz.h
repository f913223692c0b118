/*
 * A fuzz target is one function, called with any bytes; it returns 0 and aborts on a
 * broken promise. libFuzzer calls it where clang has it, else tests/fuzz/driver.c.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
