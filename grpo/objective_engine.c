/*
 * Options are looked up by name in the engine's table; a case's values are checked
 * against their types before any is used.
 */
#include "grpo/objective_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/options_text.h"
#include "grpo/advantage.h"

static int64_t find(const struct engine *e, const char *name)
{
    for (int64_t i = 0; i < e->n_options; i++)
        if (strcmp(e->options[i].name, name) == 0)
            return i;
    return -1;
}

static const struct engine_option *option_of(struct mapping *m, const char *name)
{
    const int64_t i = find(m->engine, name);
    CHECK(i >= 0, "no option %s in the table of %s", name, m->engine->name);
    m->used |= (uint64_t)1 << i;
    return &m->engine->options[i];
}

/* The case's value or the default; a new reference. */
static json_t *value_of(struct mapping *m, const char *name)
{
    const struct engine_option *const o = option_of(m, name);
    json_t *const given = json_object_get(m->given, name);
    return given != NULL ? json_incref(given)
                         : json_loads(o->def, JSON_DECODE_ANY, NULL);
}

bool mapping_is_given(const struct mapping *m, const char *name)
{
    return json_object_get(m->given, name) != NULL;
}

void engine_number_text(char *out, size_t room, double v)
{
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(out, room, "%.*g", precision, v);
        if (strtod(out, NULL) == v)
            return;
    }
}

double mapping_number(struct mapping *m, const char *name)
{
    json_t *const v = value_of(m, name);
    const double x = json_number_value(v);
    json_decref(v);
    return x;
}

bool mapping_bool(struct mapping *m, const char *name)
{
    json_t *const v = value_of(m, name);
    const bool is_true = json_is_true(v) || json_number_value(v) != 0.0;
    json_decref(v);
    return is_true;
}

bool mapping_is_null(struct mapping *m, const char *name)
{
    json_t *const v = value_of(m, name);
    const bool is_null = json_is_null(v);
    json_decref(v);
    return is_null;
}

/* As an option file would have it; null: "" */
static void value_text(const json_t *v, char *buf, size_t room)
{
    buf[0] = '\0';
    if (json_is_string(v))
        snprintf(buf, room, "%s", json_string_value(v));
    else if (json_is_number(v))
        engine_number_text(buf, room, json_number_value(v));
    else if (json_is_boolean(v))
        snprintf(buf, room, "%s", json_is_true(v) ? "true" : "false");
    for (size_t i = 0, n = 0; json_is_array(v) && i < json_array_size(v); i++) {
        char one[40];
        engine_number_text(one, sizeof(one), json_number_value(json_array_get(v, i)));
        n += (size_t)snprintf(buf + n, n < room ? room - n : 0, "%s%s",
                              i == 0 ? "" : ",", one);
    }
}

const char *mapping_text(struct mapping *m, const char *name, char *buf, size_t room)
{
    json_t *const v = value_of(m, name);
    value_text(v, buf, room);
    json_decref(v);
    return buf;
}

bool mapping_is(struct mapping *m, const char *name, const char *word)
{
    char buf[ENGINE_VALUE_LEN];
    return strcmp(mapping_text(m, name, buf, sizeof(buf)), word) == 0;
}

void mapping_put(struct mapping *m, const char *theirs, const char *key,
                 const char *value)
{
    CHECK(m->n < ENGINE_MAX_SETTINGS, "more than %d settings", ENGINE_MAX_SETTINGS);
    struct engine_setting *const s = &m->settings[m->n++];
    s->theirs = theirs;
    s->key = key;
    snprintf(s->value, sizeof(s->value), "%s", value);
}

void mapping_put_number(struct mapping *m, const char *theirs, const char *key,
                        double value)
{
    char text[40];
    engine_number_text(text, sizeof(text), value);
    mapping_put(m, theirs, key, text);
}

/* What a value may be, for messages: "; expected ..." */
static void put_expected(const struct engine_option *o, struct buf *out)
{
    static const char *const types[] = {[ENGINE_NUMBER] = "a number",
                                        [ENGINE_BOOL] = "true or false",
                                        [ENGINE_WORD] = "a word",
                                        [ENGINE_NUMBERS] = "an array of numbers",
                                        [ENGINE_TEXT] = "a text or a number"};
    if (o->words == NULL) {
        buf_printf(out, "; expected %s", types[o->type]);
    } else {
        const char *p = o->words;
        for (const char *gap = "; expected "; *p != '\0'; gap = ", ") {
            buf_puts(out, gap);
            buf_append(out, p, strcspn(p, "="));
            p += strcspn(p, "|");
            p += *p == '|';
        }
    }
    buf_puts(out, o->is_nullable ? " or null" : "");
}

int mapping_refuse(struct mapping *m, const char *name)
{
    json_t *const v = value_of(m, name);
    char *const text = json_dumps(v, JSON_ENCODE_ANY);
    struct buf expected = {0};
    put_expected(option_of(m, name), &expected);
    const int status = ERR(ERR_CONFIG, "option not supported: %s=%s of %s%s", name,
                           text == NULL ? "?" : text, m->engine->name, expected.data);
    buf_release(&expected);
    free(text);
    json_decref(v);
    return status;
}

/* An option that the engine does not have, or that has no counterpart */
static int refuse_unknown(const struct mapping *m, const char *name)
{
    const char *nearest = NULL;
    int least = (int)strlen(name) / 3 + 1;
    for (int64_t i = 0; i < m->engine->n_options; i++) {
        const int distance = options_distance(name, m->engine->options[i].name);
        if (distance < least) {
            least = distance;
            nearest = m->engine->options[i].name;
        }
    }
    if (nearest == NULL)
        return ERR(ERR_CONFIG, "option not supported: %s of %s", name, m->engine->name);
    return ERR(ERR_CONFIG, "option not supported: %s of %s; did you mean %s?", name,
               m->engine->name, nearest);
}

/* Looks `text` up in "theirs=ours|..."; ours may be empty. */
static bool translate(char *out, size_t room, const char *words, const char *text)
{
    const size_t len = strlen(text);
    for (const char *p = words; *p != '\0';) {
        const char *const equals = strchr(p, '=');
        const char *const end = equals + strcspn(equals, "|");
        if ((size_t)(equals - p) == len && memcmp(p, text, len) == 0) {
            snprintf(out, room, "%.*s", (int)(end - equals - 1), equals + 1);
            return true;
        }
        p = *end == '\0' ? end : end + 1;
    }
    return false;
}

int mapping_copy(struct mapping *m, const char *name)
{
    const struct engine_option *const o = option_of(m, name);
    char text[ENGINE_VALUE_LEN], ours[ENGINE_VALUE_LEN];
    mapping_text(m, name, text, sizeof(text));
    if (o->type == ENGINE_WORD) {
        if (!translate(ours, sizeof(ours), o->words, text))
            return mapping_refuse(m, name);
        mapping_put(m, o->name, o->ours, ours);
        return STATUS_OK;
    }
    mapping_put(m, o->name, o->ours, text);
    return STATUS_OK;
}

static bool has_type(const struct engine_option *o, const json_t *v)
{
    if (json_is_null(v))
        return o->is_nullable;
    switch (o->type) {
    case ENGINE_NUMBER:
        return json_is_number(v);
    case ENGINE_BOOL:
        return json_is_boolean(v) || json_is_integer(v);
    case ENGINE_WORD:
        return json_is_string(v) || json_is_boolean(v);
    case ENGINE_NUMBERS:
        for (size_t i = 0; i < json_array_size(v); i++)
            if (!json_is_number(json_array_get(v, i)))
                return false;
        return json_is_array(v) && json_array_size(v) <= ADVANTAGE_MAX_REWARDS;
    case ENGINE_TEXT:
        return (json_is_string(v) && json_string_length(v) < ENGINE_VALUE_LEN) ||
               json_is_number(v);
    }
    return false;
}

static int check_given(struct mapping *m)
{
    const char *name;
    json_t *v;
    json_object_foreach(m->given, name, v)
    {
        const int64_t i = find(m->engine, name);
        if (i < 0)
            return refuse_unknown(m, name);
        if (!has_type(&m->engine->options[i], v))
            return mapping_refuse(m, name);
    }
    return STATUS_OK;
}

int mapping_make(struct mapping *m, const struct objective_case *c)
{
    static const struct engine *const engines[] = {&engine_trl, &engine_verl};
    *m = (struct mapping){.given = c->options};
    for (int64_t i = 0; i < ARRAY_LEN(engines); i++)
        if (strcmp(engines[i]->name, c->engine) == 0)
            m->engine = engines[i];
    if (m->engine == NULL)
        return ERR(ERR_CONFIG, "engine not supported: \"%s\"; expected trl or verl",
                   c->engine);
    CHECK(m->engine->n_options <= 64, "options of %s", c->engine);
    TRY(check_given(m));
    m->used = 0;
    return m->engine->map(m, c);
}

void mapping_release(struct mapping *m) { buf_release(&m->notes); }

static int refuse_setting(const struct mapping *m, const struct engine_setting *s,
                          int status)
{
    return status_prefix(status, "option not supported: %s of %s",
                         s->theirs[0] == '\0' ? s->key : s->theirs, m->engine->name);
}

int mapping_apply(const struct mapping *m, struct config *c, struct recipe *out)
{
    int status = STATUS_OK;
    for (int64_t i = 0; i < m->n && status == STATUS_OK; i++) {
        const struct engine_setting *const s = &m->settings[i];
        status = options_set(config_options(), c, s->key, s->value, "");
        if (status != STATUS_OK)
            return refuse_setting(m, s, status);
    }
    status = recipe_init(out, c);
    for (int64_t i = 0; i < m->n && status != STATUS_OK; i++)
        if (strstr(status_message(), m->settings[i].key) != NULL)
            return refuse_setting(m, &m->settings[i], status);
    return status;
}

static void put_setting(const struct engine_setting *s, bool is_ini, struct buf *out)
{
    if (!is_ini) {
        buf_printf(out, "%s = ", s->key);
        options_put_quoted(out, s->value);
        return;
    }
    const char *const dot = strchr(s->key, '.');
    buf_printf(out, "%s = ", dot + 1);
    options_put_quoted(out, s->value);
    buf_puts(out, "\n");
}

void mapping_explain(const struct mapping *m, struct buf *out)
{
    const char *name;
    char text[ENGINE_VALUE_LEN];
    json_t *v;
    for (int64_t i = 0; i < m->n; i++) {
        const struct engine_setting *const s = &m->settings[i];
        const int64_t at = s->theirs[0] == '\0' ? -1 : find(m->engine, s->theirs);
        json_t *const given = at < 0 ? NULL : json_object_get(m->given, s->theirs);
        value_text(given, text, sizeof(text));
        buf_printf(out, "  %s %s", m->engine->name, at < 0 ? "always" : s->theirs);
        if (at >= 0)
            buf_printf(out, " = %s%s",
                       given == NULL         ? m->engine->options[at].def
                       : json_is_null(given) ? "null"
                                             : text,
                       given == NULL ? " (default)" : "");
        buf_puts(out, "  ->  ");
        put_setting(s, false, out);
        buf_puts(out, "\n");
    }
    buf_puts(out, m->notes.len == 0 ? "" : m->notes.data);
    json_object_foreach(m->given, name, v)
    {
        const int64_t at = find(m->engine, name);
        if (at >= 0 && !(m->used >> at & 1))
            buf_printf(out, "  %s %s: without effect here\n", m->engine->name, name);
    }
}

void mapping_ini(const struct mapping *m, struct buf *out)
{
    buf_puts(out, "[grpo]\n");
    for (int64_t i = 0; i < m->n; i++)
        put_setting(&m->settings[i], true, out);
}
