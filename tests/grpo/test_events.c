/*
 * TensorBoard files read back by a separate small parser: frames, checksums (a bitwise
 * CRC), protobuf fields in any order, and what a resumed run tells the reader.
 */
#include "grpo/events.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_VALUES = 8, TAG_BYTES = 400 };

struct event {
    double wall_time;
    uint64_t step;
    char version[32];
    bool is_session_start;
    int n_values;
    char tag[MAX_VALUES][TAG_BYTES];
    float value[MAX_VALUES];
};

/* Bit by bit from the polynomial: shares nothing with core/hash.c. */
static uint32_t slow_crc32c(const unsigned char *p, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n * 8; i++) {
        const uint32_t bit = (crc ^ (uint32_t)p[i / 8] >> i % 8) & 1;
        crc = crc >> 1 ^ (bit != 0 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static uint64_t le(const unsigned char *p, int n)
{
    uint64_t v = 0;
    for (int i = n - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static bool is_masked(const unsigned char *stored, const unsigned char *p, size_t n)
{
    const uint32_t v = (uint32_t)le(stored, 4) - 0xA282EAD8u;
    return (v << 15 | v >> 17) == slow_crc32c(p, n);
}

struct field {
    int number, wire;
    uint64_t v; /* varint or fixed; the length of bytes */
    const unsigned char *bytes;
};

static const unsigned char *varint(const unsigned char *p, const unsigned char *end,
                                   uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        assert_true(p < end);
        *v |= (uint64_t)(*p & 0x7F) << shift;
        if ((*p++ & 0x80) == 0)
            return p;
    }
    fail_msg("varint too long");
    return p;
}

static const unsigned char *next_field(struct field *f, const unsigned char *p,
                                       const unsigned char *end)
{
    uint64_t key;
    p = varint(p, end, &key);
    f->number = (int)(key >> 3);
    f->wire = (int)(key & 7);
    assert_true(f->wire == 0 || f->wire == 1 || f->wire == 2 || f->wire == 5);
    if (f->wire == 0)
        return varint(p, end, &f->v);
    uint64_t n = f->wire == 1 ? 8 : 4;
    if (f->wire == 2)
        p = varint(p, end, &n);
    assert_true(n <= (uint64_t)(end - p));
    f->bytes = p;
    f->v = f->wire == 2 ? n : le(p, (int)n);
    return p + n;
}

static void copy_text(char *to, size_t size, const struct field *f)
{
    assert_true(f->wire == 2 && f->v < size);
    memcpy(to, f->bytes, f->v);
    to[f->v] = 0;
}

static void read_value(struct event *e, const struct field *value)
{
    struct field f;
    assert_true(value->number == 1 && value->wire == 2 && e->n_values < MAX_VALUES);
    const int i = e->n_values++;
    for (const unsigned char *p = value->bytes, *end = p + value->v; p < end;) {
        p = next_field(&f, p, end);
        if (f.number == 1) {
            copy_text(e->tag[i], TAG_BYTES, &f);
        } else {
            assert_true(f.number == 2 && f.wire == 5);
            const uint32_t bits = (uint32_t)f.v;
            memcpy(&e->value[i], &bits, 4);
        }
    }
}

static void read_event(struct event *e, const unsigned char *p, size_t len)
{
    const unsigned char *const end = p + len;
    struct field f, inner;
    *e = (struct event){0};
    while (p < end) {
        p = next_field(&f, p, end);
        if (f.number == 1 && f.wire == 1)
            memcpy(&e->wall_time, &f.v, 8);
        else if (f.number == 2 && f.wire == 0)
            e->step = f.v;
        else if (f.number == 3)
            copy_text(e->version, sizeof(e->version), &f);
        else if (f.number == 5 && f.wire == 2)
            for (const unsigned char *q = f.bytes, *stop = q + f.v; q < stop;) {
                q = next_field(&inner, q, stop);
                read_value(e, &inner);
            }
        else if (f.number == 7 && f.wire == 2)
            e->is_session_start = next_field(&inner, f.bytes, f.bytes + f.v) != NULL &&
                                  inner.number == 1 && inner.v == 1;
        else
            fail_msg("field %d wire %d", f.number, f.wire);
    }
}

/* All events of a file into out; returns how many. */
static int64_t read_file(struct event *out, int64_t max, const char *path)
{
    struct buf b = {0};
    assert_int_equal(io_read_file(&b, path, 1 << 22), 0);
    const unsigned char *const p = (const unsigned char *)b.data;
    int64_t n = 0;
    size_t off = 0;
    while (off < b.len) {
        assert_true(b.len - off >= 16);
        const uint64_t len = le(p + off, 8);
        assert_true(is_masked(p + off + 8, p + off, 8));
        assert_true(len <= b.len - off - 16);
        assert_true(is_masked(p + off + 12 + len, p + off + 12, len));
        assert_true(n < max);
        read_event(&out[n++], p + off + 12, len);
        off += 16 + len;
    }
    buf_release(&b);
    return n;
}

static void test_checksum(void **state)
{
    (void)state;
    /* RFC 3720, B.4 */
    const unsigned char zeros[32] = {0};
    assert_int_equal(slow_crc32c(zeros, 32), 0x8A9136AAu);
    assert_int_equal(slow_crc32c((const unsigned char *)"123456789", 9), 0xE3069283u);
}

static char *only_name(const char *dir, int64_t i, int64_t n_expected)
{
    char **names;
    int64_t n;
    assert_int_equal(io_list(dir, &names, &n), 0);
    assert_int_equal(n, n_expected);
    char *const path = io_join(dir, names[i]);
    assert_memory_equal(names[i], "events.out.tfevents.", 20);
    const long long seconds = strtoll(names[i] + 20, NULL, 10);
    assert_in_range(seconds, time(NULL) - 100, time(NULL) + 100);
    io_list_free(names, n);
    return path;
}

static void test_events(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_events_XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct events e;
    assert_int_equal(events_create(&e, dir, 0), 0);
    char long_tag[300];
    memset(long_tag, 't', sizeof(long_tag) - 1);
    long_tag[sizeof(long_tag) - 1] = 0;
    int64_t before = 0;
    for (int64_t step = 0; step < 40; step++) {
        events_put(&e, "train/reward", 0.1 * (double)step);
        events_put(&e, long_tag, step == 3 ? (double)NAN : 1e300);
        events_put(&e, "", -0.5);
        assert_int_equal(events_write(&e, step * 1000000007), 0);
        assert_int_equal(events_write(&e, step), 0); /* nothing put: nothing written */
        if (step == 0)
            before = mem_count();
    }
    assert_int_equal(mem_count(), before);
    static struct event got[64];
    char *path = only_name(dir, 0, 1);
    assert_int_equal(read_file(got, 64, path), 41); /* flushed, not yet closed */
    mem_free(path);
    assert_int_equal(events_close(&e), 0);
    assert_string_equal(got[0].version, "brain.Event:2");
    assert_int_equal(got[0].n_values, 0);
    assert_true(fabs(got[0].wall_time - (double)time(NULL)) < 100);
    for (int64_t step = 0; step < 40; step++) {
        const struct event *const v = &got[step + 1];
        assert_int_equal(v->step, step * 1000000007);
        assert_int_equal(v->n_values, 3);
        assert_string_equal(v->tag[0], "train/reward");
        assert_true(v->value[0] == (float)(0.1 * (double)step));
        assert_string_equal(v->tag[1], long_tag);
        assert_int_equal(isnan(v->value[1]) != 0, step == 3);
        assert_int_equal(isinf(v->value[1]) != 0, step != 3);
        assert_string_equal(v->tag[2], "");
        assert_true(v->value[2] == -0.5f);
        assert_false(v->is_session_start);
        assert_true(v->wall_time >= got[step].wall_time);
    }
    /* a restart within the same second gets its own file and forgets step 20 on */
    assert_int_equal(events_create(&e, dir, 20), 0);
    assert_int_equal(events_close(&e), 0);
    path = only_name(dir, 1, 2);
    assert_int_equal(read_file(got, 64, path), 2);
    assert_true(got[1].is_session_start);
    assert_int_equal(got[1].step, 20);
    mem_free(path);
    assert_int_equal(io_remove_tree(dir), 0);
    struct events none = {0};
    assert_int_equal(events_create(&none, "/nonexistent/dir", 0), ERR_IO);
    events_abandon(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
