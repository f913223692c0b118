/*
 * A tokenizer.json of any bytes is loaded or refused with a message; one that loads
 * encodes and decodes. The file lies in memory and is opened by its path under /proc.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/status.h"
#include "model/tokenizer.h"
#include "tests/fuzz/fuzz.h"

static const char sample[] =
    "Hello  world, it's 12,345.6 \xC3\xA9\xE2\x82\xAC\n\t x</s>";

static void round_trip(const struct tokenizer *t)
{
    struct ids ids = {0};
    struct buf text = {0};
    const int64_t n_vocab = tokenizer_n_vocab(t);
    if (tokenizer_encode(t, sample, sizeof(sample) - 1, true, &ids) == STATUS_OK) {
        for (int64_t i = 0; i < ids.n; i++)
            CHECK(ids.data[i] >= 0 && ids.data[i] < n_vocab, "id %d of %lld",
                  (int)ids.data[i], (long long)n_vocab);
        tokenizer_decode(t, ids.data, ids.n, false, &text);
        tokenizer_decode(t, ids.data, ids.n, true, &text);
    }
    ids_release(&ids);
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    struct tokenizer *t;
    char path[40];
    if (fd < 0)
        fd = memfd_create("tokenizer.json", 0);
    const bool is_written = ftruncate(fd, 0) == 0 &&
                            pwrite(fd, data, size, 0) == (ssize_t)size;
    CHECK(is_written, "memfd");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (tokenizer_load(&t, path) != STATUS_OK) {
        CHECK(status_message()[0] != 0, "refused without a word");
        return 0;
    }
    round_trip(t);
    tokenizer_free(t);
    return 0;
}
