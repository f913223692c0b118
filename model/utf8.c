/*
 * UTF-8 and normalisation forms. Hugging Face normalises with Unicode 9 tables;
 * utf8proc's are newer. What Unicode 9 knows is normalised alike by every later version
 * (Unicode's stability policy). What it does not know it takes for starters that
 * neither decompose nor compose nor let marks move past them: the text is cut around
 * those, and each part normalised by itself.
 */
#include "model/tokenizer_private.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "model/unicode_tables.h"

static const char replacement[] = "\xEF\xBF\xBD";

/* Length of the well-formed character at s, or 0 with *bad the length of the maximal
 * part that could still have begun one (at least 1). The second byte's range keeps
 * out overlong forms, surrogates and what lies beyond U+10FFFF. */
static size_t char_at(const unsigned char *s, size_t len, size_t *bad)
{
    const unsigned c = s[0];
    *bad = 1;
    if (c < 0x80)
        return 1;
    if (c < 0xC2 || c > 0xF4)
        return 0;
    const size_t n = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    const unsigned low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    const unsigned high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (len < 2 || s[1] < low || s[1] > high)
        return 0;
    for (*bad = 2; *bad < n; ++*bad)
        if (*bad >= len || (s[*bad] & 0xC0) != 0x80)
            return 0;
    return n;
}

bool utf8_is_valid(const char *s, size_t len)
{
    const unsigned char *const u = (const unsigned char *)s;
    size_t bad;
    for (size_t i = 0; i < len;) {
        uint64_t eight = 0;
        if (len - i >= sizeof(eight))
            memcpy(&eight, s + i, sizeof(eight));
        if (len - i >= sizeof(eight) && (eight & 0x8080808080808080u) == 0) {
            i += sizeof(eight); /* all ASCII */
            continue;
        }
        const size_t n = char_at(u + i, len - i, &bad);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

size_t utf8_width(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

int32_t utf8_get(const char *s)
{
    const unsigned char *const u = (const unsigned char *)s;
    if (u[0] < 0x80)
        return u[0];
    if (u[0] < 0xE0)
        return (u[0] & 0x1F) << 6 | (u[1] & 0x3F);
    if (u[0] < 0xF0)
        return (u[0] & 0x0F) << 12 | (u[1] & 0x3F) << 6 | (u[2] & 0x3F);
    return (u[0] & 0x07) << 18 | (u[1] & 0x3F) << 12 | (u[2] & 0x3F) << 6 |
           (u[3] & 0x3F);
}

size_t utf8_put(char out[4], int32_t cp)
{
    return (size_t)utf8proc_encode_char(cp, (utf8proc_uint8_t *)out);
}

size_t utf8_before(const char *s, size_t end)
{
    do
        end--;
    while (((unsigned char)s[end] & 0xC0) == 0x80);
    return end;
}

size_t utf8_append_lossy(struct buf *out, const char *s, size_t len, bool is_end)
{
    const unsigned char *const u = (const unsigned char *)s;
    size_t start = 0, i = 0, bad;
    while (i < len) {
        const size_t n = char_at(u + i, len - i, &bad);
        if (n == 0 && !is_end && i + bad == len && u[i] >= 0xC2 && u[i] <= 0xF4)
            break;
        if (n == 0) {
            buf_append(out, s + start, i - start);
            buf_puts(out, replacement);
            start = i + bad;
        }
        i += n == 0 ? bad : n;
    }
    buf_append(out, s + start, i - start);
    return i;
}

static int append_part(struct buf *out, enum utf8_form form, const char *s, size_t len)
{
    static const utf8proc_option_t options[] = {
        [UTF8_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [UTF8_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [UTF8_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [UTF8_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT};
    utf8proc_uint8_t *result = NULL;
    if (len == 0)
        return STATUS_OK;
    const utf8proc_ssize_t n = utf8proc_map(
        (const utf8proc_uint8_t *)s, (utf8proc_ssize_t)len, &result, options[form]);
    if (n < 0)
        return ERR(ERR_INPUT, "normalising %zu bytes of text: %s", len,
                   utf8proc_errmsg(n));
    buf_append(out, result, (size_t)n);
    free(result); /* malloced by utf8proc */
    return STATUS_OK;
}

int utf8_append_form(struct buf *out, enum utf8_form form, const char *s, size_t len)
{
    size_t start = 0;
    for (size_t i = 0; i < len;) {
        const size_t width = utf8_width((unsigned char)s[i]);
        if (width > 1 && !unicode_is_unicode9(utf8_get(s + i))) {
            TRY(append_part(out, form, s + start, i - start));
            buf_append(out, s + i, width);
            start = i + width;
        }
        i += width;
    }
    return append_part(out, form, s + start, len - start);
}
