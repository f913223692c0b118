/*
 * XXH3-128 (xxHash) over bytes, files and directories, as 32 hex digits.
 */
#ifndef CORE_HASH_H
#define CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

enum { HASH_HEX_LEN = 32 };

void hash_bytes(char hex[HASH_HEX_LEN + 1], const void *data, size_t len);
int hash_file(char hex[HASH_HEX_LEN + 1], const char *path) WARN_UNUSED;
uint32_t hash_crc32c(const void *data,
                     size_t len); /* Castagnoli; TensorBoard's framing */

#endif
