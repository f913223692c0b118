/*
 * UTF-8 and normalisation form C. Hugging Face normalises with Unicode 9 tables;
 * utf8proc's are newer. Canonical composition is stable between versions but for marks
 * assigned since: Unicode 9 takes them for starters, across which nothing moves or
 * composes, so the text is cut around them and each part normalised by itself. The list
 * is every code point for which the two differ, measured over all of Unicode.
 */
#include "model/tokenizer_private.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

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

void utf8_append_lossy(struct buf *out, const char *s, size_t len)
{
    const unsigned char *const u = (const unsigned char *)s;
    size_t start = 0, i = 0, bad;
    while (i < len) {
        const size_t n = char_at(u + i, len - i, &bad);
        if (n == 0) {
            buf_append(out, s + start, i - start);
            buf_puts(out, replacement);
            start = i + bad;
        }
        i += n == 0 ? bad : n;
    }
    buf_append(out, s + start, len - start);
}

/* First and last code point of the marks that Unicode 9 does not know. */
static const int32_t late_marks[][2] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x10D24, 0x10D27},
    {0x10EAB, 0x10EAC}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070},
    {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x1193D, 0x1193E},
    {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47},
    {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97},
    {0x16FF0, 0x16FF1}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}};

static bool is_late_mark(int32_t cp)
{
    for (int64_t i = 0; i < ARRAY_LEN(late_marks) && cp >= late_marks[i][0]; i++)
        if (cp <= late_marks[i][1])
            return true;
    return false;
}

static int append_nfc_part(struct buf *out, const char *s, size_t len)
{
    utf8proc_uint8_t *composed = NULL;
    if (len == 0)
        return STATUS_OK;
    const utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)s,
                                            (utf8proc_ssize_t)len, &composed,
                                            UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (n < 0)
        return ERR(ERR_INPUT, "normalising %zu bytes of text: %s", len,
                   utf8proc_errmsg(n));
    buf_append(out, composed, (size_t)n);
    free(composed); /* malloced by utf8proc */
    return STATUS_OK;
}

int utf8_append_nfc(struct buf *out, const char *s, size_t len)
{
    size_t start = 0;
    int32_t last = 0;
    for (size_t i = 0; i < len;) {
        const size_t width = utf8_width((unsigned char)s[i]);
        const int32_t cp = width > 1 ? utf8_get(s + i) : 0;
        if (is_late_mark(cp)) {
            TRY(append_nfc_part(out, s + start, i - start));
            buf_append(out, s + i, width);
            start = i + width;
        } else if (cp == 0x11930 && last == 0x11935) { /* a pair of Unicode 13 */
            TRY(append_nfc_part(out, s + start, i - start));
            start = i;
        }
        last = cp;
        i += width;
    }
    return append_nfc_part(out, s + start, len - start);
}
