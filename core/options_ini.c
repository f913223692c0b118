/*
 * INI text to options. inih finds sections and keys; it cuts lines at 200 bytes, names
 * at 49, and knows no quotes. So the reader that feeds it hands over "name = x" and
 * keeps the value itself, checks the names' lengths, and drops comments and the leading
 * blanks that inih would take for a continued line.
 */
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "core/io.h"
#include "core/options_text.h"

enum { MAX_NAME = 49 };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

void options_trim(struct buf *text)
{
    size_t from = 0, to = text->len;
    while (to > 0 && is_blank(text->data[to - 1]))
        to--;
    while (from < to && is_blank(text->data[from]))
        from++;
    if (text->data == NULL)
        return;
    memmove(text->data, text->data + from, to - from);
    text->len = to - from;
    text->data[text->len] = 0;
}

/* Length of the value's part of `text`: up to a comment (# or ; at the start or after a
 * blank, outside quotes) or the end. */
static size_t value_len(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len && is_blank(text[i]))
        i++;
    if (i < len && text[i] == '"') {
        for (i++; i < len && text[i] != '"'; i++)
            i += text[i] == '\\';
        i += i < len; /* the closing quote */
    }
    for (; i < len; i++)
        if ((text[i] == '#' || text[i] == ';') && (i == 0 || is_blank(text[i - 1])))
            return i;
    return len;
}

int options_unquote(struct buf *text)
{
    if (text->len == 0 || text->data[0] != '"')
        return STATUS_OK;
    size_t n = 0, i = 1;
    for (; i < text->len && text->data[i] != '"'; i++) {
        char c = text->data[i];
        if (c == '\\') {
            c = text->data[++i]; /* at the end this is the NUL */
            if (c == 0 || strchr("nt\\\"", c) == NULL)
                return ERR(ERR_CONFIG,
                           "\"\\%c\" inside quotes, expected \\n, \\t, \\\\ or \\\"",
                           c == 0 ? ' ' : c);
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        text->data[n++] = c;
    }
    if (i >= text->len)
        return ERR(ERR_CONFIG, "a quoted value has no closing quote");
    if (i + 1 != text->len)
        return ERR(ERR_CONFIG, "\"%s\" follows the closing quote", text->data + i + 1);
    text->len = n;
    text->data[n] = 0;
    return STATUS_OK;
}

static bool needs_quotes(const char *s)
{
    const size_t len = strlen(s);
    if (len == 0 || s[0] == '"' || is_blank(s[0]) || is_blank(s[len - 1]))
        return true;
    return strpbrk(s, "\n\r") != NULL || value_len(s, len) != len;
}

void options_put_quoted(struct buf *out, const char *s)
{
    if (!needs_quotes(s)) {
        buf_puts(out, s);
        return;
    }
    buf_puts(out, "\"");
    for (; *s != 0; s++) {
        const char *const escape = *s == '\n'   ? "\\n"
                                   : *s == '\t' ? "\\t"
                                   : *s == '\\' ? "\\\\"
                                   : *s == '"'  ? "\\\""
                                                : NULL;
        if (escape != NULL)
            buf_puts(out, escape);
        else
            buf_append(out, s, 1);
    }
    buf_puts(out, "\"");
}

struct ini_source {
    const struct options *o;
    void *values;
    const char *path;
    struct io_lines lines;
    struct buf value; /* of the line that inih holds */
    int status;
};

static int line_error(struct ini_source *src, const char *what)
{
    src->status = ERR(ERR_CONFIG, "%s:%lld: %s", src->path,
                      (long long)src->lines.number, what);
    return src->status;
}

/* What inih shall see of a line: nothing, "[section]" or "name = x". */
static int shorten(struct ini_source *src, const char *line, size_t len, char *out,
                   size_t room)
{
    while (len > 0 && is_blank(line[0])) {
        line++;
        len--;
    }
    buf_reset(&src->value);
    buf_append(&src->value, "", 0);
    out[0] = 0;
    if (len == 0 || line[0] == '#' || line[0] == ';')
        return STATUS_OK;
    if (memchr(line, 0, len) != NULL)
        return line_error(src, "a NUL byte; is this an INI file?");
    const bool is_section = line[0] == '[';
    const size_t head = strcspn(line, is_section ? "]" : "=:");
    if (head == len)
        return line_error(src, is_section ? "\"[\" without \"]\""
                                          : "expected [section] or key = value");
    const char *name = line + is_section;
    size_t name_len = head - is_section;
    while (name_len > 0 && is_blank(name[0])) {
        name++;
        name_len--;
    }
    while (name_len > 0 && is_blank(name[name_len - 1]))
        name_len--;
    if (name_len > MAX_NAME || name_len + 8 > room)
        return line_error(src, "a name longer than 49 characters");
    const char *const rest = line + head + 1;
    const size_t rest_len = value_len(rest, len - head - 1);
    buf_append(&src->value, rest, rest_len);
    options_trim(&src->value);
    if (is_section && src->value.len > 0)
        return line_error(src, "text after \"]\"");
    snprintf(out, room, is_section ? "[%.*s]" : "%.*s = x", (int)name_len, name);
    return STATUS_OK;
}

/* ini_reader: one line a call, so that inih's count and ours agree */
static char *read_line(char *out, int room, void *user)
{
    struct ini_source *const src = user;
    const char *line;
    size_t len;
    if (src->status != STATUS_OK || !io_lines_next(&src->lines, &line, &len))
        return NULL;
    if (src->lines.number == 1 && len >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0) {
        line += 3;
        len -= 3;
    }
    return shorten(src, line, len, out, (size_t)room) == STATUS_OK ? out : NULL;
}

/* ini_handler: nonzero for success */
static int take_value(void *user, const char *section, const char *name,
                      const char *placeholder)
{
    (void)placeholder;
    struct ini_source *const src = user;
    if (src->status != STATUS_OK)
        return 0;
    struct buf key = {0}, where = {0};
    buf_printf(&key, "%s%s%s", section, section[0] == 0 ? "" : ".", name);
    buf_printf(&where, "%s:%lld: ", src->path, (long long)src->lines.number);
    src->status = options_unquote(&src->value);
    if (src->status != STATUS_OK)
        src->status = status_prefix(src->status, "%s%s", where.data, key.data);
    else
        src->status = options_set(src->o, src->values, key.data, src->value.data,
                                  where.data);
    buf_release(&key);
    buf_release(&where);
    return src->status == STATUS_OK;
}

int options_read_file(const struct options *o, void *values, const char *path)
{
    struct ini_source src = {.o = o, .values = values, .path = path};
    TRY(io_lines_open(&src.lines, path));
    const int line = ini_parse_stream(read_line, &src, take_value, &src);
    if (src.status == STATUS_OK && line != 0)
        src.status = ERR(ERR_CONFIG, "%s:%d: expected [section] or key = value", path,
                         line);
    io_lines_close(&src.lines);
    buf_release(&src.value);
    return src.status;
}
