/* One pass over the text; groups of thousands must be well formed. */
#include "reward/plain.h"

#include <string.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* The digits and groups from i on; false when a comma is out of place. */
static bool read_whole(const char *text, size_t len, size_t *i)
{
    size_t run = 0;
    bool has_comma = false;
    for (; *i < len && (is_digit(text[*i]) || text[*i] == ','); (*i)++) {
        if (text[*i] != ',') {
            run++;
            continue;
        }
        if (run == 0 || run > 3 || (has_comma && run != 3))
            return false;
        has_comma = true;
        run = 0;
    }
    return !has_comma || run == 3;
}

bool plain_read(struct plain *out, const char *text, size_t len)
{
    size_t i = 0;
    while (len > 0 && is_blank(text[len - 1]))
        len--;
    while (i < len && is_blank(text[i]))
        i++;
    struct plain y = {.is_negative = i < len && text[i] == '-'};
    i += i < len && (text[i] == '-' || text[i] == '+');
    i += i < len && text[i] == '$';
    const size_t start = i;
    if (i == len || !(is_digit(text[i]) || text[i] == '.') ||
        !read_whole(text, len, &i))
        return false;
    const size_t end = i;
    i += i < len && text[i] == '.';
    const size_t point = i;
    while (i < len && is_digit(text[i]))
        i++;
    if (i < len || (end == start && i == point))
        return false;
    y.whole = text + start;
    y.whole_len = end - start;
    y.decimal = text + point;
    y.decimal_len = i - point;
    while (y.whole_len > 0 && (*y.whole == '0' || *y.whole == ',')) {
        y.whole++;
        y.whole_len--;
    }
    while (y.decimal_len > 0 && y.decimal[y.decimal_len - 1] == '0')
        y.decimal_len--;
    y.is_negative &= y.whole_len > 0 || y.decimal_len > 0;
    *out = y;
    return true;
}

bool plain_equal(const struct plain *a, const struct plain *b)
{
    if (a->is_negative != b->is_negative || a->decimal_len != b->decimal_len ||
        memcmp(a->decimal, b->decimal, a->decimal_len) != 0)
        return false;
    size_t i = 0, k = 0;
    for (;;) {
        i += i < a->whole_len && a->whole[i] == ',';
        k += k < b->whole_len && b->whole[k] == ',';
        if (i == a->whole_len || k == b->whole_len)
            return i == a->whole_len && k == b->whole_len;
        if (a->whole[i++] != b->whole[k++])
            return false;
    }
}
