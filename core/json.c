/*
 * jansson behind checked getters. Its own nesting limit is 2048 levels of C recursion;
 * ours is counted before it sees the text.
 */
#include "core/json.h"

#include <string.h>

#include "core/io.h"

enum { MAX_DEPTH = 64 };

const char *json_type_name(const json_t *v)
{
    if (v == NULL)
        return "nothing";
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
        return "integer";
    case JSON_REAL:
        return "real";
    case JSON_TRUE:
    case JSON_FALSE:
        return "boolean";
    case JSON_NULL:
        return "null";
    }
    return "nothing";
}

/* Deepest nesting of brackets outside strings; bad text is the parser's to report. */
static int64_t nesting(const char *text, size_t len)
{
    int64_t depth = 0, deepest = 0;
    bool is_string = false;
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        if (is_string) {
            i += c == '\\';
            is_string = c != '"';
        } else if (c == '"') {
            is_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return deepest;
}

static int parse(json_t **out, const char *text, size_t len, size_t flags,
                 const char *where)
{
    const int64_t depth = nesting(text, len);
    if (depth > MAX_DEPTH)
        return ERR(ERR_INPUT, "%s: JSON nested %lld deep, the limit is %d", where,
                   (long long)depth, MAX_DEPTH);
    json_error_t error;
    json_t *const root = json_loadb(
        text, len, flags | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (root == NULL && error.line > 1)
        return ERR(ERR_INPUT, "%s: JSON line %d, column %d: %s", where, error.line,
                   error.column, error.text);
    if (root == NULL)
        return ERR(ERR_INPUT, "%s: JSON column %d: %s", where, error.column,
                   error.text);
    *out = root;
    return STATUS_OK;
}

int json_parse(json_t **out, const char *text, size_t len, const char *where)
{
    return parse(out, text, len, 0, where);
}

static int parse_file(json_t **out, const char *path, size_t flags)
{
    struct io_map map;
    TRY(io_map_open(&map, path));
    const int status = parse(out, (const char *)map.data, map.size, flags, path);
    io_map_close(&map);
    return status;
}

int json_parse_file(json_t **out, const char *path) { return parse_file(out, path, 0); }

int json_parse_file_reals(json_t **out, const char *path)
{
    return parse_file(out, path, JSON_DECODE_INT_AS_REAL);
}

/* *value = NULL when the key is missing or null */
static int lookup(const json_t *obj, const char *key, const json_t **value,
                  const char *where)
{
    if (!json_is_object(obj))
        return ERR(ERR_INPUT, "%s: found %s, expected an object with the key \"%s\"",
                   where, json_type_name(obj), key);
    const json_t *const v = json_object_get(obj, key);
    *value = json_is_null(v) ? NULL : v;
    return STATUS_OK;
}

static int type_error(const json_t *v, const char *key, const char *expected,
                      const char *where)
{
    return ERR(ERR_INPUT, "%s: \"%s\" is %s, expected %s", where, key,
               json_type_name(v), expected);
}

static void set_found(bool *found, bool is_found)
{
    if (found != NULL)
        *found = is_found;
}

int json_get_int(const json_t *obj, const char *key, int64_t min, int64_t max,
                 int64_t *out, bool *found, const char *where)
{
    const json_t *v = NULL;
    TRY(lookup(obj, key, &v, where));
    if (v != NULL && !json_is_integer(v))
        return type_error(v, key, "an integer", where);
    if (v != NULL) {
        const int64_t value = json_integer_value(v);
        if (value < min || value > max)
            return ERR(ERR_INPUT, "%s: \"%s\" is %lld, expected %lld to %lld", where,
                       key, (long long)value, (long long)min, (long long)max);
        *out = value;
    }
    set_found(found, v != NULL);
    return STATUS_OK;
}

int json_get_real(const json_t *obj, const char *key, double *out, bool *found,
                  const char *where)
{
    const json_t *v = NULL;
    TRY(lookup(obj, key, &v, where));
    if (v != NULL && !json_is_number(v))
        return type_error(v, key, "a number", where);
    if (v != NULL)
        *out = json_number_value(v);
    set_found(found, v != NULL);
    return STATUS_OK;
}

int json_get_bool(const json_t *obj, const char *key, bool *out, bool *found,
                  const char *where)
{
    const json_t *v = NULL;
    TRY(lookup(obj, key, &v, where));
    if (v != NULL && !json_is_boolean(v))
        return type_error(v, key, "true or false", where);
    if (v != NULL)
        *out = json_is_true(v);
    set_found(found, v != NULL);
    return STATUS_OK;
}

int json_get_string(const json_t *obj, const char *key, const char **out,
                    size_t *len_out, const char *where)
{
    const json_t *v = NULL;
    TRY(lookup(obj, key, &v, where));
    if (v == NULL)
        return STATUS_OK;
    if (!json_is_string(v))
        return type_error(v, key, "a string", where);
    *out = json_string_value(v);
    if (len_out != NULL)
        *len_out = json_string_length(v);
    return STATUS_OK;
}
