/*
 * Growable bytes. Capacity doubles, and one byte more than `cap` is held for the NUL.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"

void buf_release(struct buf *b)
{
    if (b == NULL)
        return;
    mem_free(b->data);
    *b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    if (b->data != NULL)
        b->data[0] = 0;
}

/* Room for `more` bytes after len. */
static void buf_grow(struct buf *b, size_t more)
{
    if (b->data != NULL && more <= b->cap - b->len)
        return;
    CHECK(more < SIZE_MAX / 4 && b->len < SIZE_MAX / 4, "buffer of %zu + %zu bytes",
          b->len, more);
    size_t cap = b->cap < 64 ? 63 : 2 * b->cap + 1; /* cap + 1 stays a power of two */
    if (cap < b->len + more)
        cap = b->len + more;
    b->data = mem_realloc(b->data, b->data == NULL ? 0 : b->len, cap + 1);
    b->cap = cap;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
    buf_grow(b, len);
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
}

void buf_puts(struct buf *b, const char *s) { buf_append(b, s, strlen(s)); }

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    CHECK(n >= 0, "format \"%s\" cannot be printed", fmt);
    buf_grow(b, (size_t)n);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
    va_end(again);
    b->len += (size_t)n;
}

/* Second byte's range after a lead byte (Unicode, table 3-7): excludes overlong forms,
 * surrogates and values past U+10FFFF. */
static bool is_second_byte(unsigned char lead, unsigned char c)
{
    switch (lead) {
    case 0xE0:
        return c >= 0xA0 && c <= 0xBF;
    case 0xED:
        return c >= 0x80 && c <= 0x9F;
    case 0xF0:
        return c >= 0x90 && c <= 0xBF;
    case 0xF4:
        return c >= 0x80 && c <= 0x8F;
    default:
        return c >= 0x80 && c <= 0xBF;
    }
}

/* Length of the character at s, or 0 with *bad the length of the longest start of one
 * (at least 1), which a single U+FFFD replaces. */
static size_t utf8_len(const unsigned char *s, size_t len, size_t *bad)
{
    const size_t want = s[0] < 0x80                    ? 1
                        : s[0] >= 0xC2 && s[0] <= 0xDF ? 2
                        : s[0] >= 0xE0 && s[0] <= 0xEF ? 3
                        : s[0] >= 0xF0 && s[0] <= 0xF4 ? 4
                                                       : 0;
    *bad = 1;
    if (want <= 1)
        return want;
    size_t got = 1;
    while (got < want && got < len &&
           (got == 1 ? is_second_byte(s[0], s[1]) : (s[got] & 0xC0) == 0x80))
        got++;
    *bad = got;
    return got == want ? want : 0;
}

static void put_json_ascii(struct buf *b, char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *const special = c == 0 ? NULL : strchr(from, c);
    if (special != NULL) {
        const char pair[2] = {'\\', to[special - from]};
        buf_append(b, pair, 2);
    } else if ((unsigned char)c < 0x20) {
        buf_printf(b, "\\u%04x", (unsigned)c);
    } else {
        buf_append(b, &c, 1);
    }
}

void buf_put_json_string(struct buf *b, const char *s, size_t len)
{
    buf_puts(b, "\"");
    for (size_t i = 0; i < len;) {
        const unsigned char *const at = (const unsigned char *)s + i;
        size_t bad;
        const size_t n = utf8_len(at, len - i, &bad);
        if (n == 1)
            put_json_ascii(b, s[i]);
        else if (n > 1)
            buf_append(b, s + i, n);
        else
            buf_puts(b, "\xEF\xBF\xBD");
        i += n > 0 ? n : bad;
    }
    buf_puts(b, "\"");
}
