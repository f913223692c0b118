/*
 * The option table's values: set from text, checked, written back, explained. Reading
 * the text out of INI files is in options_ini.c.
 */
#include "core/options.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/options_text.h"

static void *field(const struct option *item, void *values)
{
    return (char *)values + item->off;
}

static const void *const_field(const struct option *item, const void *values)
{
    return (const char *)values + item->off;
}

int options_choice(const char *choices, const char *word)
{
    const size_t len = strlen(word);
    const char *p = choices;
    for (int i = 0;; i++) {
        const size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, word, len) == 0)
            return i;
        if (p[n] == 0)
            return -1;
        p += n + 1;
    }
}

static bool has_range(const struct option *item)
{
    return item->min != 0.0 || item->max != 0.0;
}

/* "an integer from 1 to 8", what a value of the option must be */
static void describe(const struct option *item, struct buf *out)
{
    switch (item->type) {
    case OPTION_INT:
        buf_puts(out, "an integer");
        break;
    case OPTION_REAL:
        buf_puts(out, "a number");
        break;
    case OPTION_BOOL:
        buf_puts(out, "true or false");
        break;
    case OPTION_STRING:
        buf_puts(out, "text");
        break;
    case OPTION_CHOICE:
        buf_printf(out, "one of %s", item->choices);
        break;
    }
    if ((item->type == OPTION_INT || item->type == OPTION_REAL) && has_range(item))
        buf_printf(out, " from %.15g to %.15g", item->min, item->max);
}

static bool parse_int(const char *text, int64_t *out)
{
    if (isspace((unsigned char)text[0]))
        return false;
    char *end;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || errno != 0)
        return false;
    const int64_t unit = *end == 'k'   ? 1000
                         : *end == 'M' ? 1000000
                         : *end == 'G' ? 1000000000
                                       : 1;
    end += unit != 1;
    int64_t scaled;
    if (*end != 0 || __builtin_mul_overflow((int64_t)value, unit, &scaled))
        return false;
    *out = scaled;
    return true;
}

static bool parse_real(const char *text, double *out)
{
    if (isspace((unsigned char)text[0]))
        return false;
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end != 0 || !isfinite(value))
        return false;
    *out = value;
    return true;
}

static bool parse_bool(const char *text, bool *out)
{
    const int i = options_choice("false|true|no|yes|off|on|0|1", text);
    if (i >= 0)
        *out = i % 2 == 1;
    return i >= 0;
}

static bool is_in_range(const struct option *item, double value)
{
    return !has_range(item) || (value >= item->min && value <= item->max);
}

/* Store `text`; false, and nothing stored, if it is not what describe() says. */
static bool set_value(const struct option *item, void *values, const char *text)
{
    switch (item->type) {
    case OPTION_INT: {
        int64_t v;
        if (!parse_int(text, &v) || !is_in_range(item, (double)v))
            return false;
        *(int64_t *)field(item, values) = v;
        return true;
    }
    case OPTION_REAL: {
        double v;
        if (!parse_real(text, &v) || !is_in_range(item, v))
            return false;
        *(double *)field(item, values) = v;
        return true;
    }
    case OPTION_BOOL:
        return parse_bool(text, field(item, values));
    case OPTION_STRING: {
        char **const s = field(item, values);
        mem_free(*s);
        *s = mem_strdup(text);
        return true;
    }
    case OPTION_CHOICE: {
        const int v = options_choice(item->choices, text);
        if (v >= 0)
            *(int *)field(item, values) = v;
        return v >= 0;
    }
    }
    CHECK(false, "option type %d", (int)item->type);
}

static int value_error(int code, const struct option *item, const char *text,
                       const char *where)
{
    struct buf expected = {0};
    describe(item, &expected);
    const int status = ERR(code, "%s%s = \"%s\": expected %s", where, item->key, text,
                           expected.data);
    buf_release(&expected);
    return status;
}

int options_set_defaults(const struct options *o, void *values)
{
    /* The struct may be fresh from the stack: what lies in it is not freed. */
    for (int64_t i = 0; i < o->n; i++)
        if (o->items[i].type == OPTION_STRING)
            *(char **)field(&o->items[i], values) = NULL;
    for (int64_t i = 0; i < o->n; i++) {
        const struct option *const item = &o->items[i];
        const char *const text = item->def == NULL ? "" : item->def;
        if (!set_value(item, values, text)) {
            options_release(o, values);
            return value_error(ERR_INTERNAL, item, text, "default of ");
        }
    }
    return STATUS_OK;
}

void options_release(const struct options *o, void *values)
{
    for (int64_t i = 0; i < o->n; i++)
        if (o->items[i].type == OPTION_STRING) {
            char **const s = field(&o->items[i], values);
            mem_free(*s);
            *s = NULL;
        }
}

int options_distance(const char *a, const char *b)
{
    enum { MAX_WORD = 63 };
    const int n = (int)strnlen(a, MAX_WORD), m = (int)strnlen(b, MAX_WORD);
    int d[MAX_WORD + 1][MAX_WORD + 1];
    for (int i = 0; i <= n; i++)
        d[i][0] = i;
    for (int j = 0; j <= m; j++)
        d[0][j] = j;
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= m; j++) {
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = d[i - 2][j - 2] + 1 < best ? d[i - 2][j - 2] + 1 : best;
            d[i][j] = best;
        }
    return d[n][m];
}

static const char *name_part(const char *key)
{
    const char *const dot = strrchr(key, '.');
    return dot == NULL ? key : dot + 1;
}

/* The key that was probably meant: the right name in the wrong section, or at most a
 * third of the letters wrong; NULL if nothing is near. */
static const char *nearest_key(const struct options *o, const char *key)
{
    const char *nearest = NULL;
    int least = (int)strlen(key) / 3 + 1;
    for (int64_t i = 0; i < o->n; i++) {
        const char *const candidate = o->items[i].key;
        int distance = options_distance(key, candidate);
        if (distance > 1 && strcmp(name_part(key), name_part(candidate)) == 0)
            distance = 1;
        if (distance < least) {
            least = distance;
            nearest = candidate;
        }
    }
    return nearest;
}

int options_set(const struct options *o, void *values, const char *key,
                const char *text, const char *where)
{
    for (int64_t i = 0; i < o->n; i++)
        if (strcmp(o->items[i].key, key) == 0)
            return set_value(&o->items[i], values, text)
                       ? STATUS_OK
                       : value_error(ERR_CONFIG, &o->items[i], text, where);
    const char *const nearest = nearest_key(o, key);
    if (nearest != NULL)
        return ERR(ERR_CONFIG, "%sunknown option \"%s\"; did you mean \"%s\"?", where,
                   key, nearest);
    return ERR(ERR_CONFIG, "%sunknown option \"%s\"; --help lists all", where, key);
}

int options_override(const struct options *o, void *values, const char *arg)
{
    const char *const equals = strchr(arg, '=');
    if (equals == NULL)
        return ERR(ERR_USAGE, "found \"%s\", expected section.key=value", arg);
    struct buf key = {0}, value = {0};
    buf_append(&key, arg, (size_t)(equals - arg));
    options_trim(&key);
    buf_puts(&value, equals + 1);
    options_trim(&value);
    int status = options_unquote(&value);
    if (status != STATUS_OK)
        status = status_prefix(status, "%s", key.data);
    else
        status = options_set(o, values, key.data, value.data, "");
    buf_release(&key);
    buf_release(&value);
    return status;
}

/* The shortest of the usual precisions that reads back to the same double. */
static void put_real(struct buf *out, double v)
{
    char text[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_puts(out, text);
}

static void put_choice(struct buf *out, const char *choices, int index)
{
    const char *p = choices;
    for (; index > 0; index--)
        p += strcspn(p, "|") + 1;
    buf_append(out, p, strcspn(p, "|"));
}

static void put_value(const struct option *item, const void *values, struct buf *out)
{
    const void *const p = const_field(item, values);
    switch (item->type) {
    case OPTION_INT:
        buf_printf(out, "%" PRId64, *(const int64_t *)p);
        break;
    case OPTION_REAL:
        put_real(out, *(const double *)p);
        break;
    case OPTION_BOOL:
        buf_puts(out, *(const bool *)p ? "true" : "false");
        break;
    case OPTION_STRING: {
        const char *const s = *(char *const *)p;
        options_put_quoted(out, s == NULL ? "" : s);
        break;
    }
    case OPTION_CHOICE:
        put_choice(out, item->choices, *(const int *)p);
        break;
    }
}

static bool is_same_section(const char *a, const char *b)
{
    const size_t n = strcspn(a, ".");
    return n == strcspn(b, ".") && memcmp(a, b, n) == 0;
}

void options_write(const struct options *o, const void *values, struct buf *out)
{
    for (int64_t i = 0; i < o->n; i++) {
        const struct option *const item = &o->items[i];
        if (i == 0 || !is_same_section(item->key, o->items[i - 1].key))
            buf_printf(out, "%s[%.*s]\n", i == 0 ? "" : "\n",
                       (int)strcspn(item->key, "."), item->key);
        buf_printf(out, "%s = ", name_part(item->key));
        put_value(item, values, out);
        buf_puts(out, "\n");
    }
}

static bool is_listed(const char *sections, const char *key)
{
    char section[64];
    snprintf(section, sizeof(section), "%.*s", (int)strcspn(key, "."), key);
    return sections == NULL || options_choice(sections, section) >= 0;
}

void options_help(const struct options *o, const char *sections, FILE *out)
{
    const char *last = NULL;
    for (int64_t i = 0; i < o->n; i++) {
        const struct option *const item = &o->items[i];
        if (!is_listed(sections, item->key))
            continue;
        if (last == NULL || !is_same_section(item->key, last))
            fprintf(out, "%s[%.*s]\n", last == NULL ? "" : "\n",
                    (int)strcspn(item->key, "."), item->key);
        last = item->key;
        struct buf accepted = {0};
        describe(item, &accepted);
        const char *const def = item->def == NULL ? "" : item->def;
        fprintf(out, "  %s=%s\n      %s (%s)\n", item->key, def[0] == 0 ? "\"\"" : def,
                item->help, accepted.data);
        buf_release(&accepted);
    }
}
