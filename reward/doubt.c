/* Word lists, and a short look back from the number. */
#include "reward/doubt.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"

enum { MAX_WORDS_BACK = 4 };

struct words {
    const char *at[MAX_WORDS_BACK]; /* from the number on backwards */
    size_t len[MAX_WORDS_BACK];
    int n;
};

static bool is_in(const char *set, char c) { return c != 0 && strchr(set, c) != NULL; }

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '\'';
}

/* A word of a list such as "or|maybe". */
static bool is_listed(const char *list, const char *word, size_t len)
{
    for (const char *at = list; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncasecmp(at, word, len) == 0 && (at[len] == 0 || at[len] == '|'))
            return true;
    }
    return false;
}

bool doubt_holds(const char *text, size_t from, size_t to,
                 bool (*is)(const char *word, size_t len))
{
    for (size_t i = from; i < to;) {
        size_t end = i;
        while (end < to && is_letter(text[end]))
            end++;
        const bool is_negated = end - i > 3 && memcmp(text + end - 3, "n't", 3) == 0;
        if (is_negated || (end > i && is(text + i, end - i)))
            return true;
        i = end > i ? end : i + 1;
    }
    return false;
}

bool doubt_is_alternative(const char *word, size_t len)
{
    return is_listed("or|alternatively|maybe|perhaps|possibly|either|otherwise", word,
                     len);
}

static bool is_negation(const char *word, size_t len)
{
    return is_listed("not|never|cannot|neither|nor|either|maybe|perhaps|possibly|"
                     "probably|unlikely|wrong|incorrect",
                     word, len);
}

static bool is_taking_back(const char *word, size_t len)
{
    return is_listed("not|never|cannot|wrong|incorrect|false|impossible|maybe|perhaps|"
                     "possibly|probably|approximately|or|unless",
                     word, len);
}

/* The last words of text[from, at), the nearest first. */
static void last_words(struct words *w, const char *text, size_t from, size_t at)
{
    w->n = 0;
    while (w->n < MAX_WORDS_BACK) {
        while (at > from && !is_letter(text[at - 1]))
            at--;
        const size_t end = at;
        while (at > from && is_letter(text[at - 1]))
            at--;
        if (at == end)
            return;
        w->at[w->n] = text + at;
        w->len[w->n++] = end - at;
    }
}

static bool has_word(const struct words *w, int n, const char *list)
{
    for (int i = 0; i < n && i < w->n; i++)
        if (is_listed(list, w->at[i], w->len[i]))
            return true;
    return false;
}

bool doubt_lead(const char *text, size_t from, size_t to)
{
    struct words w;
    last_words(&w, text, from, to);
    return has_word(&w, 2, "could|might|may|can|cannot|can't|never|not") ||
           has_word(&w, MAX_WORDS_BACK,
                    "maybe|perhaps|possibly|probably|either|neither");
}

/* Bytes back from `at` to the last digit, over no more than n words; 0: none there */
static bool digit_before(const char *text, size_t from, size_t at, int n_words)
{
    while (at > from && !is_digit(text[at - 1])) {
        const bool is_word = is_letter(text[at - 1]);
        if (is_word && n_words-- == 0)
            return false;
        while (is_word && at > from && is_letter(text[at - 1]))
            at--;
        at -= !is_word;
    }
    return at > from;
}

/* "10 and", "10 or", "10 to": the number is one of several, or ends a range. */
static bool is_joined(const char *text, size_t from, const struct words *w)
{
    if (w->n == 0)
        return false;
    const size_t at = (size_t)(w->at[0] - text);
    if (has_word(w, 1, "and") && has_word(w, MAX_WORDS_BACK, "between"))
        return true;
    if (has_word(w, 1, "or|nor|and|vs|versus|plus|minus"))
        return digit_before(text, from, at, 2);
    if (!has_word(w, 1, "to|through|thru|till|until"))
        return false;
    const bool is_verb =
        w->n > 1 && is_listed("comes|come|equals|equal|amounts|adds|up|sums|rounds|"
                              "simplifies|reduces|evaluates|leads|down|back|is|gets",
                              w->at[1], w->len[1]);
    const int room = has_word(w, MAX_WORDS_BACK, "from") ? 3 : is_verb ? 0 : 1;
    return digit_before(text, from, at, room);
}

/* "half of 12", "the square root of 12", but "a total of 12" */
static bool is_part(const struct words *w)
{
    return has_word(w, 1, "of") &&
           !(w->n > 1 &&
             is_listed(
                 "total|sum|amount|cost|profit|price|value|age|number|distance|"
                 "length|width|height|area|volume|speed|weight|balance|loss|"
                 "savings|difference|average|mean|perimeter|revenue|income|score|"
                 "answer|result|consisting|made|maximum|minimum|tip|rate|discount",
                 w->at[1], w->len[1]));
}

/* A bound, an estimate, an exception, a label. */
static bool is_bounded(const struct words *w)
{
    if (has_word(w, 2, "up") && has_word(w, 1, "to"))
        return !has_word(w, 3, "add|adds|adding|added|sum|sums|comes|total|totals");
    return has_word(
               w, 1,
               "about|around|roughly|nearly|almost|approximately|approx|over|under|"
               "above|below|beyond|within|least|most|minimum|maximum|except|"
               "excluding|without|unless|step|question|problem|chapter|page|case|"
               "option|choice|example|figure|equation|leq|geq|le|ge|lt|gt|neq|ne|"
               "pm|mp|sim|times|cdot|div|than|exceeds|exceed") ||
           has_word(w, 2, "than|least|most|minimum|maximum|excluding|instead") ||
           (has_word(w, 1, "be") && has_word(w, 2, "could|might|may|can|cannot"));
}

/* Whether a number ends in front of `at`, or a letter by itself. */
static bool is_operand(const char *text, size_t from, size_t at, bool may_be_letter)
{
    while (at > from && is_in(" )%$", text[at - 1]))
        at--;
    if (at == from)
        return false;
    const bool is_alone = at - from < 2 || !is_letter(text[at - 2]);
    return is_digit(text[at - 1]) ||
           (may_be_letter && is_alone && is_letter(text[at - 1]));
}

/* x >= , +/-, ~ and the like, but not an arrow or the end of a tag */
static bool is_sign(const char *text, size_t from, size_t at)
{
    const char c = text[at - 1], before = at - 1 > from ? text[at - 2] : 0;
    if (c == '=')
        return is_in("!<>~", before);
    if (c == '>' && is_in("-=>", before))
        return false;
    for (size_t i = at - 1; c == '>' && i > from && at - i < 16; i--)
        if (text[i - 1] == '<' && (is_letter(text[i]) || text[i] == '/'))
            return false; /* <b> */
    if (is_in("<>~#", c) || (c == '-' && before == '/'))
        return true;
    return is_in("+*/-,&", c) && is_operand(text, from, at - 1, c != ',');
}

/* The same for signs of several bytes. */
static bool is_long_sign(const char *text, size_t from, size_t at)
{
    static const char *const signs[] = {
        "\xE2\x89\x88", "\xE2\x89\xA4", "\xE2\x89\xA5", "\xE2\x89\xA0", "\xC2\xB1",
        "\xC3\x97",     "\xC3\xB7",     "\xE2\x88\xBC", "\xE2\x88\x93", "\xC2\xB7"};
    static const char *const dashes[] = {"\xE2\x80\x93", "\xE2\x80\x94", "\xE2\x88\x92",
                                         "\xE2\x80\x92"};
    for (int64_t i = 0; i < ARRAY_LEN(signs); i++) {
        const size_t n = strlen(signs[i]);
        if (at - from >= n && memcmp(text + at - n, signs[i], n) == 0)
            return true;
    }
    for (int64_t i = 0; i < ARRAY_LEN(dashes); i++) /* only behind a number */
        if (at - from > 3 && memcmp(text + at - 3, dashes[i], 3) == 0)
            return digit_before(text, from, at - 3, 0);
    return false;
}

bool doubt_before(const char *text, size_t from, size_t at)
{
    struct words w;
    size_t sign = at + (text[at] == '-'); /* behind it: 10 -12 */
    while (sign == at && at > from && is_in(" \t$\\(_`", text[at - 1]))
        sign = --at;
    const bool is_marked = sign > from && (is_sign(text, from, sign) ||
                                           is_long_sign(text, from, sign));
    const bool is_beside = sign == at && at > from && is_digit(text[at - 1]);
    if (is_marked || is_beside || doubt_holds(text, from, at, is_negation))
        return true;
    if (at == from || !is_letter(text[at - 1]))
        return false;
    last_words(&w, text, from, at);
    return is_bounded(&w) || is_part(&w) || is_joined(text, from, &w);
}

bool doubt_after(const char *text, size_t from, size_t to)
{
    return doubt_holds(text, from, to, is_taking_back);
}
