/*
 * Hugging Face's patterns see the character classes of Unicode 16, PCRE2 10.42 those of
 * Unicode 14. Patterns are therefore matched on a shadow of the text in which each code
 * point whose class changed is replaced by an older one of the new class, with the same
 * script (where Unicode 14 has it) and UTF-8 length, so that offsets stay. Under a
 * newer PCRE2 both have the same class and the shadow changes nothing.
 */
#include "model/unicode_shadow.h"

#include "model/tokenizer_private.h"
#include "model/unicode_shadow_table.h"

/* 0: unchanged */
static int32_t stand_in(int32_t cp)
{
    int64_t low = 0, high = ARRAY_LEN(changed);
    while (low < high) {
        const int64_t mid = (low + high) / 2;
        if (changed[mid].last < cp)
            low = mid + 1;
        else
            high = mid;
    }
    const bool is_changed = low < ARRAY_LEN(changed) && changed[low].first <= cp;
    return is_changed ? changed[low].stand_in : 0;
}

const char *unicode_shadow(struct buf *shadow, const char *s, size_t len)
{
    bool is_copied = false;
    for (size_t i = 0; i < len;) {
        const size_t width = utf8_width((unsigned char)s[i]);
        const int32_t other = width > 1 ? stand_in(utf8_get(s + i)) : 0;
        if (other != 0) {
            if (!is_copied) {
                buf_reset(shadow);
                buf_append(shadow, s, len);
                is_copied = true;
            }
            utf8_put(shadow->data + i, other);
        }
        i += width;
    }
    return is_copied ? shadow->data : s;
}
