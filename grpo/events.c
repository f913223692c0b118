/*
 * Protobuf by hand: a field is a key (number << 3 | wire type) and its value; wire
 * types used are 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
 */
#include "grpo/events.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/hash.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void put_le(struct buf *b, uint64_t v, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++) {
        const char byte = (char)(v >> (8 * i) & 0xFF);
        buf_append(b, &byte, 1);
    }
}

static void put_varint(struct buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        put_le(b, (v & 0x7F) | 0x80, 1);
    put_le(b, v, 1);
}

static void put_key(struct buf *b, int field, int wire)
{
    put_varint(b, (uint64_t)(field << 3 | wire));
}

static void put_bytes(struct buf *b, int field, const void *data, size_t len)
{
    put_key(b, field, WIRE_BYTES);
    put_varint(b, len);
    buf_append(b, data, len);
}

/* TFRecord's mask: a CRC stored beside the data it covers would weaken an outer CRC. */
static uint32_t masked_crc(const void *data, size_t len)
{
    const uint32_t crc = hash_crc32c(data, len);
    return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

static double wall_time(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void begin_event(struct events *e, int64_t step)
{
    const double now = wall_time();
    uint64_t bits;
    memcpy(&bits, &now, sizeof(bits));
    buf_reset(&e->event);
    put_le(&e->event, 0, 8); /* the frame's head, known at the end */
    put_le(&e->event, 0, 4);
    put_key(&e->event, 1, WIRE_64);
    put_le(&e->event, bits, 8);
    put_key(&e->event, 2, WIRE_VARINT);
    put_varint(&e->event, (uint64_t)step);
}

static int end_event(struct events *e)
{
    struct buf *const b = &e->event;
    const size_t len = b->len - 12;
    char head_bytes[16] = {0};
    struct buf head = {.data = head_bytes, .cap = sizeof(head_bytes) - 1};
    put_le(&head, len, 8);
    put_le(&head, masked_crc(head.data, 8), 4);
    memcpy(b->data, head.data, 12);
    put_le(b, masked_crc(b->data + 12, len), 4);
    TRY(io_write(&e->file, b->data, b->len));
    return io_flush(&e->file);
}

static int write_head(struct events *e, int64_t next_step)
{
    static const char version[] = "brain.Event:2";
    begin_event(e, 0);
    put_bytes(&e->event, 3, version, sizeof(version) - 1);
    TRY(end_event(e));
    if (next_step <= 0)
        return STATUS_OK;
    static const char session_start[] = {1 << 3 | WIRE_VARINT, 1}; /* status: START */
    begin_event(e, next_step);
    put_bytes(&e->event, 7, session_start, sizeof(session_start));
    return end_event(e);
}

/* A name that no earlier start of the run took: a restart may come within a second. */
static void make_path(struct buf *path, const char *dir)
{
    char host[65] = "localhost";
    if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == 0)
        strcpy(host, "localhost");
    int64_t seconds = (int64_t)time(NULL);
    do {
        buf_reset(path);
        buf_printf(path, "%s/events.out.tfevents.%" PRId64 ".%s", dir, seconds++, host);
    } while (io_exists(path->data));
}

int events_create(struct events *e, const char *dir, int64_t next_step)
{
    struct events made = {0};
    struct buf path = {0};
    make_path(&path, dir);
    int status = io_create(&made.file, path.data);
    buf_release(&path);
    TRY(status);
    status = write_head(&made, next_step);
    if (status != STATUS_OK) {
        events_abandon(&made);
        return status;
    }
    *e = made;
    return STATUS_OK;
}

void events_put(struct events *e, const char *tag, double value)
{
    const float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof(bits));
    const size_t tag_len = strlen(tag);
    size_t value_len = 1 + 1 + tag_len + 1 + 4; /* tag, its length, simple_value */
    for (size_t n = tag_len; n >= 0x80; n >>= 7)
        value_len++;
    put_key(&e->summary, 1, WIRE_BYTES);
    put_varint(&e->summary, value_len);
    put_bytes(&e->summary, 1, tag, tag_len);
    put_key(&e->summary, 2, WIRE_32);
    put_le(&e->summary, bits, 4);
}

int events_write(struct events *e, int64_t step)
{
    if (e->summary.len == 0)
        return STATUS_OK;
    begin_event(e, step);
    put_bytes(&e->event, 5, e->summary.data, e->summary.len);
    buf_reset(&e->summary);
    return end_event(e);
}

int events_close(struct events *e)
{
    buf_release(&e->summary);
    buf_release(&e->event);
    if (e->file.path == NULL)
        return STATUS_OK;
    return io_close(&e->file, true);
}

void events_abandon(struct events *e)
{
    if (e == NULL)
        return;
    buf_release(&e->summary);
    buf_release(&e->event);
    io_abandon(&e->file);
}
