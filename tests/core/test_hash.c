/*
 * Hashes against published values: XXH3-128 of "" (xxHash's sanity test), CRC-32C of
 * RFC 3720 B.4; files against bytes.
 */
#include "core/hash.h"

#include <string.h>

#include "core/mem.h"
#include "tests/core/tmp_dir.h"

static void test_known(void **state)
{
    (void)state;
    char hex[HASH_HEX_LEN + 1];
    hash_bytes(hex, "", 0);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
    hash_bytes(hex, "a", 1);
    assert_int_equal(strlen(hex), HASH_HEX_LEN);
    char other[HASH_HEX_LEN + 1];
    hash_bytes(other, "b", 1);
    assert_string_not_equal(hex, other);
}

/* Streaming over chunk boundaries gives what one call gives. */
static void test_file_is_bytes(void **state)
{
    (void)state;
    static const size_t sizes[] = {
        0, 1, 241, 4096, (1 << 20) - 1, 1 << 20, (3 << 20) + 17};
    for (int64_t i = 0; i < ARRAY_LEN(sizes); i++) {
        unsigned char *const data = mem_alloc(sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++)
            data[j] = (unsigned char)(j * 2654435761u >> 13);
        char of_bytes[HASH_HEX_LEN + 1], of_file[HASH_HEX_LEN + 1];
        hash_bytes(of_bytes, data, sizes[i]);
        assert_int_equal(hash_file(of_file, tmp_file("h", data, sizes[i])), 0);
        assert_string_equal(of_file, of_bytes);
        if (sizes[i] > 0) {
            data[sizes[i] - 1] ^= 1;
            hash_bytes(of_bytes, data, sizes[i]);
            assert_string_not_equal(of_file, of_bytes);
        }
        mem_free(data);
    }
}

static void test_file_errors(void **state)
{
    (void)state;
    char hex[HASH_HEX_LEN + 1] = "untouched";
    assert_int_equal(hash_file(hex, tmp_path("absent")), ERR_INPUT);
    assert_message("absent", NULL);
    assert_int_equal(hash_file(hex, "/tmp"), ERR_IO);
    assert_message("/tmp", NULL);
    assert_string_equal(hex, "untouched");
}

static void test_crc32c(void **state)
{
    (void)state;
    unsigned char b[32];
    assert_int_equal(hash_crc32c("", 0), 0);
    assert_int_equal(hash_crc32c("123456789", 9), 0xE3069283u);
    memset(b, 0, sizeof(b));
    assert_int_equal(hash_crc32c(b, sizeof(b)), 0x8A9136AAu);
    memset(b, 0xFF, sizeof(b));
    assert_int_equal(hash_crc32c(b, sizeof(b)), 0x62A8AB43u);
    for (int i = 0; i < 32; i++)
        b[i] = (unsigned char)i;
    assert_int_equal(hash_crc32c(b, sizeof(b)), 0x46DD794Eu);
    for (int i = 0; i < 32; i++)
        b[i] = (unsigned char)(31 - i);
    assert_int_equal(hash_crc32c(b, sizeof(b)), 0x113FDB5Cu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_file_is_bytes),
        cmocka_unit_test(test_file_errors),
        cmocka_unit_test(test_crc32c),
    };
    return cmocka_run_group_tests(tests, tmp_dir_make, tmp_dir_remove);
}
