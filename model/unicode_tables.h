/*
 * Classes of characters where Hugging Face's library asks its own tables and not its
 * regex engine. Generated, so that no library's Unicode version shows.
 */
#ifndef MODEL_UNICODE_TABLES_H
#define MODEL_UNICODE_TABLES_H

#include <stdbool.h>
#include <stdint.h>

bool unicode_is_word(int32_t cp);
bool unicode_is_number(int32_t cp);
bool unicode_is_punctuation(int32_t cp);
bool unicode_is_mark(int32_t cp);
bool unicode_is_unicode9(int32_t cp); /* assigned in Unicode 9 */
/* cp itself where there is none; U+0130 (lower case of two characters) not here */
int32_t unicode_lower(int32_t cp);

/* White_Space: stable since Unicode 6.3 */
static inline bool unicode_is_space(int32_t cp)
{
    return (cp >= 0x9 && cp <= 0xD) || cp == 0x20 || cp == 0x85 || cp == 0xA0 ||
           cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 ||
           cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

#endif
