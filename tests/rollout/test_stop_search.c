/*
 * Stop strings where the decoder holds text back: runs of byte tokens, blanks at the
 * start, tokens joined by blanks. Judged by a search in the decode of each prefix.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/rng.h"
#include "rollout/stops.h"

static const char model[] =
    "\"added_tokens\":[{\"id\":0,\"content\":\"</s>\",\"single_word\":false,"
    "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}],"
    "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":true,\"vocab\":["
    "[\"<unk>\",0],[\"<0x0A>\",0],[\"<0xE3>\",0],[\"<0x81>\",0],[\"<0x82>\",0],"
    "[\"\xE2\x96\x81\",-1],[\"a\",-1],[\"\xE2\x96\x81"
    "b\",-1],[\"ab\",-2],"
    "[\"#\",-2],[\"\xE3\x81\x82\",-3]]}";

static const char *const decoders[] = {
    "null",
    "{\"type\":\"ByteLevel\"}",
    "{\"type\":\"ByteFallback\"}",
    "{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\"}",
    "{\"type\":\"BPEDecoder\",\"suffix\":\"b\"}",
    "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{"
    "\"String\":"
    "\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":"
    "\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}",
    "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":"
    "\"Fuse\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\"aba\"},\"content\":"
    "\"X\"},{\"type\":\"Strip\",\"content\":\"\xE2\x96\x81\",\"start\":0,\"stop\":2}]}",
};

static const char *const stops[] = {"\n\n", "\xE3\x81\x82", "a b", "##", "ab</s>"};

/* Tokens after which a prefix's decode first holds a stop; 0: never */
static int64_t first_stop(const struct tokenizer *t, const int32_t *ids, int64_t n)
{
    for (int64_t k = 1; k <= n; k++) {
        struct buf text = {0};
        bool is_found = false;
        tokenizer_decode(t, ids, k, false, &text);
        for (int64_t i = 0; i < ARRAY_LEN(stops); i++)
            is_found = is_found || strstr(text.data, stops[i]) != NULL;
        buf_release(&text);
        if (is_found)
            return k;
    }
    return 0;
}

static void test_held_text(void **state)
{
    (void)state;
    enum { N = 24 };
    int64_t n_found = 0;
    log_set_level(LOG_ERROR);
    for (int64_t d = 0; d < ARRAY_LEN(decoders); d++) {
        struct buf json = {0};
        struct tokenizer *t = NULL;
        struct stop_search search = {0};
        buf_printf(&json, "{\"decoder\":%s,%s}", decoders[d], model);
        if (tokenizer_load_memory(&t, "a tokenizer", json.data, json.len) != 0)
            fail_msg("%s", status_message());
        stop_search_open(&search, t, N);
        for (uint32_t i = 0; i < 300; i++) {
            int32_t ids[N];
            int64_t found = 0;
            for (uint32_t j = 0; j < N; j++)
                ids[j] = (int32_t)rng_below(5, RNG_TEST, 11, i, j, (uint32_t)d, 0);
            stop_search_reset(&search);
            for (int64_t j = 0; j < N && found == 0; j++)
                if (stop_search_push(&search, ids[j], stops, (int)ARRAY_LEN(stops)))
                    found = j + 1;
            assert_int_equal(found, first_stop(t, ids, N));
            n_found += found > 0;
        }
        stop_search_release(&search);
        tokenizer_free(t);
        buf_release(&json);
    }
    assert_true(n_found > 500);
}

/* After a first text the buffers have grown: the next allocates nothing. */
static void test_no_allocation(void **state)
{
    (void)state;
    struct buf json = {0};
    struct tokenizer *t = NULL;
    struct stop_search search = {0};
    int64_t before = 0;
    buf_printf(&json, "{\"decoder\":%s,%s}", decoders[5], model);
    assert_int_equal(tokenizer_load_memory(&t, "a tokenizer", json.data, json.len), 0);
    stop_search_open(&search, t, 1000);
    for (int round = 0; round < 2; round++) {
        before = mem_count();
        stop_search_reset(&search);
        for (int32_t i = 0; i < 1000; i++)
            (void)stop_search_push(&search, i % 11, stops, (int)ARRAY_LEN(stops));
    }
    assert_int_equal(mem_count(), before);
    stop_search_release(&search);
    tokenizer_free(t);
    buf_release(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held_text),
        cmocka_unit_test(test_no_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
