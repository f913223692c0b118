/* The tables of names: LaTeX commands, plain words, Unicode signs, short units. */
#include <string.h>
#include <strings.h>

#include "reward/token.h"

/* TOKEN_END: no token (spacing, sizes, styles) */
static const struct token_name commands[] = {
    {"frac", TOKEN_OP, OP_FRAC},
    {"dfrac", TOKEN_OP, OP_FRAC},
    {"tfrac", TOKEN_OP, OP_FRAC},
    {"cfrac", TOKEN_OP, OP_FRAC},
    {"nicefrac", TOKEN_OP, OP_FRAC},
    {"sfrac", TOKEN_OP, OP_FRAC},
    {"sqrt", TOKEN_OP, OP_SQRT},
    {"binom", TOKEN_OP, OP_BINOM},
    {"dbinom", TOKEN_OP, OP_BINOM},
    {"tbinom", TOKEN_OP, OP_BINOM},
    {"pi", TOKEN_CONST, CONST_PI},
    {"infty", TOKEN_CONST, CONST_INF},
    {"emptyset", TOKEN_CONST, CONST_EMPTY},
    {"varnothing", TOKEN_CONST, CONST_EMPTY},
    {"cdot", TOKEN_OP, '*'},
    {"times", TOKEN_OP, '*'},
    {"ast", TOKEN_OP, '*'},
    {"div", TOKEN_OP, '/'},
    {"pm", TOKEN_OP, OP_PM},
    {"mp", TOKEN_OP, OP_MP},
    {"cup", TOKEN_OP, OP_CUP},
    {"bigcup", TOKEN_OP, OP_CUP},
    {"setminus", TOKEN_OP, OP_MINUS_SET},
    {"backslash", TOKEN_OP, OP_MINUS_SET},
    {"circ", TOKEN_OP, OP_DEGREE},
    {"degree", TOKEN_OP, OP_DEGREE},
    {"lfloor", TOKEN_OP, OP_FLOOR},
    {"rfloor", TOKEN_OP, OP_FLOOR_END},
    {"lceil", TOKEN_OP, OP_CEIL},
    {"rceil", TOKEN_OP, OP_CEIL_END},
    {"lvert", TOKEN_OP, OP_BAR},
    {"rvert", TOKEN_OP, OP_BAR},
    {"vert", TOKEN_OP, OP_BAR},
    {"mid", TOKEN_OP, OP_BAR},
    {"colon", TOKEN_OP, ':'},
    {"lbrace", TOKEN_OP, OP_SET},
    {"rbrace", TOKEN_OP, OP_SET_END},
    {"prime", TOKEN_OP, '\''},
    {"lbrack", TOKEN_OP, '['},
    {"rbrack", TOKEN_OP, ']'},
    {"le", TOKEN_REL, 'l'},
    {"leq", TOKEN_REL, 'l'},
    {"leqslant", TOKEN_REL, 'l'},
    {"ge", TOKEN_REL, 'g'},
    {"geq", TOKEN_REL, 'g'},
    {"geqslant", TOKEN_REL, 'g'},
    {"lt", TOKEN_REL, '<'},
    {"gt", TOKEN_REL, '>'},
    {"ne", TOKEN_REL, '!'},
    {"neq", TOKEN_REL, '!'},
    {"approx", TOKEN_REL, '~'},
    {"simeq", TOKEN_REL, '~'},
    {"in", TOKEN_REL, 'e'},
    {"sin", TOKEN_FN, FN_SIN},
    {"cos", TOKEN_FN, FN_COS},
    {"tan", TOKEN_FN, FN_TAN},
    {"cot", TOKEN_FN, FN_COT},
    {"sec", TOKEN_FN, FN_SEC},
    {"csc", TOKEN_FN, FN_CSC},
    {"arcsin", TOKEN_FN, FN_ASIN},
    {"arccos", TOKEN_FN, FN_ACOS},
    {"arctan", TOKEN_FN, FN_ATAN},
    {"sinh", TOKEN_FN, FN_SINH},
    {"cosh", TOKEN_FN, FN_COSH},
    {"tanh", TOKEN_FN, FN_TANH},
    {"ln", TOKEN_FN, FN_LN},
    {"log", TOKEN_FN, FN_LOG},
    {"exp", TOKEN_FN, FN_EXP},
    {"land", TOKEN_SEP, '&'},
    {"lor", TOKEN_SEP, '|'},
    {"left", TOKEN_END, 0},
    {"right", TOKEN_END, 0},
    {"big", TOKEN_END, 0},
    {"Big", TOKEN_END, 0},
    {"bigl", TOKEN_END, 0},
    {"bigr", TOKEN_END, 0},
    {"Bigl", TOKEN_END, 0},
    {"Bigr", TOKEN_END, 0},
    {"bigg", TOKEN_END, 0},
    {"Bigg", TOKEN_END, 0},
    {"biggl", TOKEN_END, 0},
    {"biggr", TOKEN_END, 0},
    {"displaystyle", TOKEN_END, 0},
    {"textstyle", TOKEN_END, 0},
    {"limits", TOKEN_END, 0},
    {"quad", TOKEN_END, 0},
    {"qquad", TOKEN_END, 0},
    {"boxed", TOKEN_END, 0},
    {"fbox", TOKEN_END, 0},
    {"nonumber", TOKEN_END, 0},
    {"noindent", TOKEN_END, 0},
    {"thinspace", TOKEN_END, 0},
    {"underline", TOKEN_END, 0},
    {"small", TOKEN_END, 0},
    {"normalsize", TOKEN_END, 0},
    {"large", TOKEN_END, 0},
    {"Large", TOKEN_END, 0},
    {"LARGE", TOKEN_END, 0},
    {"huge", TOKEN_END, 0},
    {"Huge", TOKEN_END, 0},
    {"pounds", TOKEN_END, 0},
    {"euro", TOKEN_END, 0},
};

static const struct token_name plain[] = {
    {"sqrt", TOKEN_OP, OP_SQRT},
    {"pi", TOKEN_CONST, CONST_PI},
    {"infinity", TOKEN_CONST, CONST_INF},
    {"oo", TOKEN_CONST, CONST_INF},
    {"sin", TOKEN_FN, FN_SIN},
    {"cos", TOKEN_FN, FN_COS},
    {"tan", TOKEN_FN, FN_TAN},
    {"cot", TOKEN_FN, FN_COT},
    {"sec", TOKEN_FN, FN_SEC},
    {"csc", TOKEN_FN, FN_CSC},
    {"arcsin", TOKEN_FN, FN_ASIN},
    {"arccos", TOKEN_FN, FN_ACOS},
    {"arctan", TOKEN_FN, FN_ATAN},
    {"asin", TOKEN_FN, FN_ASIN},
    {"acos", TOKEN_FN, FN_ACOS},
    {"atan", TOKEN_FN, FN_ATAN},
    {"sinh", TOKEN_FN, FN_SINH},
    {"cosh", TOKEN_FN, FN_COSH},
    {"tanh", TOKEN_FN, FN_TANH},
    {"ln", TOKEN_FN, FN_LN},
    {"log", TOKEN_FN, FN_LOG},
    {"exp", TOKEN_FN, FN_EXP},
    {"abs", TOKEN_FN, FN_ABS},
    {"floor", TOKEN_FN, FN_FLOOR},
    {"ceil", TOKEN_FN, FN_CEIL},
    {"and", TOKEN_SEP, '&'},
    {"or", TOKEN_SEP, '|'},
    {"percent", TOKEN_OP, '%'},
    {"percentage", TOKEN_OP, '%'},
    {"pct", TOKEN_OP, '%'},
    {"degrees", TOKEN_OP, OP_DEGREE},
    {"degree", TOKEN_OP, OP_DEGREE},
    {"deg", TOKEN_OP, OP_DEGREE},
    {"hundred", TOKEN_SCALE, 100},
    {"thousand", TOKEN_SCALE, 1000},
    {"million", TOKEN_SCALE, 1000000},
    {"billion", TOKEN_SCALE, 1000000000},
    {"dozen", TOKEN_SCALE, 12},
    {"trillion", TOKEN_SCALE, -12}, /* 10^12 does not fit */
};

/* UTF-8 by bytes. TOKEN_NUM: id is 100 numerator + denominator */
static const struct token_name symbols[] = {
    {"\xE2\x88\x92", TOKEN_OP, '-'}, /* U+2212 minus */
    {"\xC3\x97", TOKEN_OP, '*'},     /* times */
    {"\xC2\xB7", TOKEN_OP, '*'},     /* middle dot */
    {"\xE2\x8B\x85", TOKEN_OP, '*'}, /* dot operator */
    {"\xC3\xB7", TOKEN_OP, '/'},     /* division */
    {"\xC2\xB1", TOKEN_OP, OP_PM},
    {"\xE2\x88\x93", TOKEN_OP, OP_MP},
    {"\xE2\x88\x9A", TOKEN_OP, OP_SQRT},
    {"\xCF\x80", TOKEN_CONST, CONST_PI},
    {"\xE2\x88\x9E", TOKEN_CONST, CONST_INF},
    {"\xE2\x88\x85", TOKEN_CONST, CONST_EMPTY},
    {"\xE2\x84\x9D", TOKEN_CONST, CONST_REALS},
    {"\xC2\xB0", TOKEN_OP, OP_DEGREE},
    {"\xE2\x89\xA4", TOKEN_REL, 'l'},
    {"\xE2\xA9\xBD", TOKEN_REL, 'l'},
    {"\xE2\x89\xA5", TOKEN_REL, 'g'},
    {"\xE2\xA9\xBE", TOKEN_REL, 'g'},
    {"\xE2\x89\xA0", TOKEN_REL, '!'},
    {"\xE2\x89\x88", TOKEN_REL, '~'},
    {"\xE2\x88\x88", TOKEN_REL, 'e'},
    {"\xE2\x88\xAA", TOKEN_OP, OP_CUP},
    {"\xEF\xBC\x8C", TOKEN_SEP, ','}, /* full-width comma */
    {"\xE3\x80\x81", TOKEN_SEP, ','}, /* ideographic comma */
    {"\xC2\xB2", TOKEN_OP, '2'},      /* superscripts: a power */
    {"\xC2\xB3", TOKEN_OP, '3'},
    {"\xC2\xBD", TOKEN_NUM, 102},
    {"\xC2\xBC", TOKEN_NUM, 104},
    {"\xC2\xBE", TOKEN_NUM, 304},
    {"\xE2\x85\x93", TOKEN_NUM, 103},
    {"\xE2\x85\x94", TOKEN_NUM, 203},
    {"\xE2\x85\x95", TOKEN_NUM, 105},
    {"\xE2\x85\x9B", TOKEN_NUM, 108},
    {"\xE2\x80\x89", TOKEN_END, 0}, /* thin, narrow and no-break spaces */
    {"\xE2\x80\xAF", TOKEN_END, 0},
    {"\xC2\xA0", TOKEN_END, 0},
    {"\xE2\x80\x8B", TOKEN_END, 0}, /* zero width space */
    {"\xE2\x80\xAE", TOKEN_END, 0}, /* bidi override and marks */
    {"\xE2\x80\x8E", TOKEN_END, 0},
    {"\xE2\x82\xAC", TOKEN_END, 0}, /* currencies */
    {"\xC2\xA3", TOKEN_END, 0},
    {"\xC2\xA5", TOKEN_END, 0},
    {"\xE2\x82\xB9", TOKEN_END, 0},
    {"\xE2\x82\xA9", TOKEN_END, 0},
    {"\xE2\x80\x99", TOKEN_OP, '\''},
    {"\xE2\x80\x98", TOKEN_END, 0}, /* quotation marks */
    {"\xE2\x80\x9C", TOKEN_END, 0},
    {"\xE2\x80\x9D", TOKEN_END, 0},
};

/* Words of up to three letters that stand after numbers and are no product of letters
 */
static const char *const units[] = {
    "cm",  "mm",  "km",  "dm",  "nm",  "kg",  "mg",  "ml",  "cl",  "ft",  "in",  "yd",
    "mi",  "lb",  "lbs", "oz",  "hr",  "hrs", "min", "sec", "ms",  "mph", "kph", "kmh",
    "am",  "pm",  "usd", "eur", "gbp", "is",  "of",  "the", "to",  "per", "for", "at",
    "by",  "as",  "no",  "yes", "not", "all", "so",  "we",  "it",  "odd", "day", "men",
    "boy", "cup", "egg", "pie", "pen", "cat", "dog", "cow", "hen", "bag", "box", "car",
    "can", "jar", "pig", "fox", "bus", "row", "win", "way", "was", "are", "mod", "sq",
    "cu",  "off", "kid", "toy", "hat", "job", "tip", "gal", "qt",  "pt",  "tsp", "rad",
    "rd",  "nd",  "th",  "st",  "an",  "on",  "her", "his", "he",  "she", "you", "my",
    "has", "had", "if",  "be",  "do",  "did", "its", "mm",  "amp", "kw",  "hz",  "mb",
    "gb",  "kb",  "kj",  "bar", "fee", "now", "out", "low", "one", "two", "six", "ten",
};

static const char *const hedges[] = {
    "about",    "around",     "roughly",    "nearly",        "almost",
    "not",      "incorrect",  "wrong",      "isn't",         "or",
    "plus",     "minus",      "times",      "divided",       "over",
    "squared",  "cubed",      "to",         "through",       "between",
    "than",     "least",      "most",       "half",          "halves",
    "third",    "thirds",     "quarter",    "quarters",      "fourths",
    "fifths",   "tenths",     "hundredths", "thousandths",   "point",
    "maybe",    "perhaps",    "possibly",   "either",        "unless",
    "false",    "multiplied", "factorial",  "negative",      "approximately",
    "hundreds", "thousands",  "millions",   "billions",      "dozens",
    "vs",       "versus",     "otherwise",  "alternatively", "isn",
    "isnt",     "twice",      "double",     "triple",        "ou",
    "oder",     "o",          "sqrt",       "mod",
};

static const struct token_name *find(const struct token_name *names, int64_t n,
                                     const char *text, size_t len)
{
    for (int64_t i = 0; i < n; i++)
        if (strlen(names[i].name) == len && memcmp(names[i].name, text, len) == 0)
            return &names[i];
    return NULL;
}

const struct token_name *token_command(const char *text, size_t len)
{
    return find(commands, ARRAY_LEN(commands), text, len);
}

const struct token_name *token_plain(const char *text, size_t len)
{
    char lower[16];
    if (len >= sizeof(lower))
        return NULL;
    for (size_t i = 0; i < len; i++)
        lower[i] = (char)(text[i] | 0x20);
    return find(plain, ARRAY_LEN(plain), lower, len);
}

const struct token_name *token_symbol(const char *text, size_t len, size_t *used)
{
    for (int64_t i = 0; i < ARRAY_LEN(symbols); i++) {
        const size_t n = strlen(symbols[i].name);
        if (n <= len && memcmp(symbols[i].name, text, n) == 0) {
            *used = n;
            return &symbols[i];
        }
    }
    return NULL;
}

static bool is_listed(const char *const *words, int64_t n, const char *text, size_t len)
{
    for (int64_t i = 0; i < n; i++)
        if (strncasecmp(words[i], text, len) == 0 && words[i][len] == 0)
            return true;
    return false;
}

/* Measures that exclude each other: the names of one, with and without "s" */
static const char *const measures[] = {"mm|millimeter|millimetre",
                                       "cm|centimeter|centimetre",
                                       "m|meter|metre",
                                       "km|kilometer|kilometre",
                                       "in|inch|inches|inche",
                                       "ft|foot|feet",
                                       "yd|yard",
                                       "mi|mile",
                                       "mg|milligram",
                                       "g|gram",
                                       "kg|kilogram|kilo",
                                       "lb|pound",
                                       "oz|ounce",
                                       "ton|tonne",
                                       "ms|millisecond",
                                       "s|sec|second",
                                       "min|minute",
                                       "h|hr|hour",
                                       "day",
                                       "week",
                                       "month",
                                       "year",
                                       "cent|penny|pennies",
                                       "dollar|usd|buck",
                                       "ml|milliliter",
                                       "l|liter|litre",
                                       "gallon|gal",
                                       "cup",
                                       "percent"};

int token_measure(const char *text, size_t len)
{
    if (len > 1 && (text[len - 1] | 0x20) == 's' && len != 2)
        len--;
    for (int64_t i = 0; i < ARRAY_LEN(measures); i++)
        for (const char *at = measures[i]; at != NULL; at = strchr(at, '|')) {
            at += *at == '|';
            if (strncasecmp(at, text, len) == 0 && (at[len] == 0 || at[len] == '|'))
                return (int)i + 1;
        }
    return 0;
}

bool token_is_unit(const char *text, size_t len)
{
    return is_listed(units, ARRAY_LEN(units), text, len);
}

bool token_is_hedge(const char *text, size_t len)
{
    return is_listed(hedges, ARRAY_LEN(hedges), text, len);
}

int64_t token_number_word(const char *text, size_t len)
{
    static const char *const words[] = {
        "zero",     "one",      "two",      "three",   "four",    "five",
        "six",      "seven",    "eight",    "nine",    "ten",     "eleven",
        "twelve",   "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
        "eighteen", "nineteen", "twenty"};
    static const char *const tens[] = {"thirty",  "forty",  "fifty", "sixty",
                                       "seventy", "eighty", "ninety"};
    for (int64_t i = 0; i < ARRAY_LEN(words); i++)
        if (is_listed(&words[i], 1, text, len))
            return i;
    for (int64_t i = 0; i < ARRAY_LEN(tens); i++)
        if (is_listed(&tens[i], 1, text, len))
            return 30 + 10 * i;
    return -1;
}
