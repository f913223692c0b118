/*
 * Integrity sums. The hex form is xxHash's canonical one, so `xxhsum -H2` prints the
 * same digits for a file.
 */
#include "core/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "core/mem.h"

enum { CHUNK_BYTES = 1 << 20 };

static void to_hex(char hex[HASH_HEX_LEN + 1], XXH128_hash_t h)
{
    snprintf(hex, HASH_HEX_LEN + 1, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64,
             (uint64_t)h.low64);
}

void hash_bytes(char hex[HASH_HEX_LEN + 1], const void *data, size_t len)
{
    to_hex(hex, XXH3_128bits(data, len));
}

static int hash_fd(XXH3_state_t *state, int fd, char *chunk, const char *path)
{
    for (;;) {
        const ssize_t n = read(fd, chunk, CHUNK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR(ERR_IO, "%s: read: %s", path, strerror(errno));
        if (n == 0)
            return STATUS_OK;
        (void)XXH3_128bits_update(state, chunk, (size_t)n);
    }
}

int hash_file(char hex[HASH_HEX_LEN + 1], const char *path)
{
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return ERR(errno == ENOENT || errno == ENOTDIR ? ERR_INPUT : ERR_IO,
                   "%s: open: %s", path, strerror(errno));
    XXH3_state_t *const state = XXH3_createState();
    CHECK(state != NULL, "no memory for a hash state");
    (void)XXH3_128bits_reset(state);
    char *const chunk = mem_alloc(CHUNK_BYTES);
    const int status = hash_fd(state, fd, chunk, path);
    if (status == STATUS_OK)
        to_hex(hex, XXH3_128bits_digest(state));
    mem_free(chunk);
    XXH3_freeState(state);
    close(fd);
    return status;
}

/* Polynomial 0x1EDC6F41 reflected, four bits a step: framing bytes are few. */
uint32_t hash_crc32c(const void *data, size_t len)
{
    static const uint32_t step[16] = {
        0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
        0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
        0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
    };
    const unsigned char *const bytes = data;
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ step[crc & 15];
        crc = crc >> 4 ^ step[crc & 15];
    }
    return crc ^ 0xFFFFFFFFu;
}
