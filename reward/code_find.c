/*
 * Line by line, each looked at once. A ``` line with a language opens a fence even
 * inside another one, which was not closed then.
 */
#include "reward/code_find.h"

#include <string.h>

#include "reward/code.h"

static const char open_tag[] = "<llm-code>", close_tag[] = "</llm-code>";

static size_t find(const char *text, size_t len, size_t off, const char *what)
{
    const char *const at = memmem(text + off, len - off, what, strlen(what));
    return at == NULL ? len : (size_t)(at - text);
}

bool code_has_blocks(const char *text, size_t len)
{
    bool is_closed = false;
    for (size_t off = find(text, len, 0, open_tag); off < len;
         off = find(text, len, off, open_tag)) {
        off = find(text, len, off, close_tag);
        is_closed = off < len;
    }
    return is_closed;
}

void code_find_init(struct code_finder *f, const char *text, size_t len)
{
    *f = (struct code_finder){.text = text, .len = len};
    /* the first line may be indented by a tokenizer's leading blank */
    while (f->off < len && memchr(" \t\r\n", text[f->off], 4) != NULL)
        f->off++;
}

struct code_part code_find_block(struct code_finder *f)
{
    const size_t open = find(f->text, f->len, f->off, open_tag);
    if (open == f->len)
        return (struct code_part){.kind = PART_END};
    const size_t start = open + strlen(open_tag);
    const size_t end = find(f->text, f->len, start, close_tag);
    f->off = end;
    return (struct code_part){.kind = PART_BLOCK, .off = start, .len = end - start};
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_';
}

/* The name in `def name(` at the start of the line, its length; 0: another line */
static size_t def_name(const char *line, size_t len, const char **name_out)
{
    size_t i = 3;
    if (len < 5 || memcmp(line, "def", 3) != 0 || !is_blank(line[3]))
        return 0;
    while (i < len && is_blank(line[i]))
        i++;
    const size_t start = i;
    while (i < len && is_name_char(line[i]))
        i++;
    const size_t end = i;
    while (i < len && is_blank(line[i]))
        i++;
    *name_out = line + start;
    return i < len && line[i] == '(' ? end - start : 0;
}

static bool is_import(const char *line, size_t len)
{
    return (len > 7 && memcmp(line, "import ", 7) == 0) ||
           (len > 5 && memcmp(line, "from ", 5) == 0);
}

/* ``` and in *has_language_out whether more follows */
static bool is_fence(const char *line, size_t len, bool *has_language_out)
{
    if (len < 3 || memcmp(line, "```", 3) != 0)
        return false;
    *has_language_out = len > 3 && is_name_char(line[3]);
    return true;
}

/* without the end of the line */
static size_t line_len(const char *text, size_t len)
{
    const char *const end = memchr(text, '\n', len);
    size_t n = end == NULL ? len : (size_t)(end - text);
    while (n > 0 && (text[n - 1] == '\r' || is_blank(text[n - 1])))
        n--;
    return n;
}

static size_t next_line(const char *text, size_t len, size_t off)
{
    const size_t end = find(text, len, off, "\n");
    return end < len ? end + 1 : len;
}

void code_find_skip(struct code_finder *f, size_t off)
{
    /* at least the line where the part began was read */
    const bool is_start = off > 0 && off < f->len && f->text[off - 1] == '\n';
    if (off < f->off)
        return;
    f->off = is_start ? off : next_line(f->text, f->len, off);
}

/* The fence that ends at `end` */
static struct code_part close_fence(struct code_finder *f, size_t end)
{
    const struct code_part part = {
        .kind = f->has_def ? PART_FENCE : PART_PROSE,
        .off = f->fence_off,
        .len = end - f->fence_off,
    };
    f->is_fence = f->has_def = false;
    return part;
}

/* One line that begins at `start` and is not in a fence */
static struct code_part classify(const struct code_finder *f, size_t start, size_t len)
{
    const char *const line = f->text + start, *name;
    enum code_part_kind kind = PART_PROSE;
    if (def_name(line, len, &name) > 0)
        kind = PART_DEF;
    else if (is_import(line, len))
        kind = PART_IMPORT;
    return (struct code_part){.kind = kind, .off = start, .len = f->len - start};
}

struct code_part code_find_function(struct code_finder *f)
{
    while (f->off < f->len) {
        const size_t start = f->off, len = line_len(f->text + start, f->len - start);
        const char *const line = f->text + start, *name;
        bool has_language, was_fence = f->is_fence;
        f->off = next_line(f->text, f->len, start);
        if (is_fence(line, len, &has_language)) {
            const struct code_part part = close_fence(f, start);
            f->is_fence = !was_fence || has_language;
            f->fence_off = f->off;
            if (was_fence)
                return part;
        } else if (f->is_fence) {
            f->has_def = f->has_def || def_name(line, len, &name) > 0;
        } else if (len > 0 && line[0] != '#') {
            return classify(f, start, len);
        }
    }
    if (f->is_fence)
        return close_fence(f, f->len);
    return (struct code_part){.kind = PART_END};
}

bool code_defines(const char *text, size_t off, size_t len, const char *name)
{
    const size_t end = off + len;
    for (; off < end; off = next_line(text, end, off)) {
        const char *found;
        const size_t n = def_name(text + off, end - off, &found);
        if (n == strlen(name) && memcmp(found, name, n) == 0)
            return true;
    }
    return false;
}

size_t code_function_end(const char *text, size_t len, size_t off, size_t read)
{
    size_t end = next_line(text, len, off);
    for (size_t at = end, next; at < len; at = next) {
        const bool is_empty = line_len(text + at, len - at) == 0 || text[at] == '#';
        next = next_line(text, len, at);
        if (!is_empty && at >= read && !is_blank(text[at]))
            break;
        end = is_empty ? end : next;
    }
    return end;
}

bool code_is_in(const char *text, size_t len)
{
    const char *name;
    for (size_t at = find(text, len, 0, "def"); at < len;
         at = find(text, len, at + 3, "def"))
        if ((at == 0 || !is_name_char(text[at - 1])) &&
            def_name(text + at, len - at, &name) > 0)
            return true;
    for (size_t at = find(text, len, 0, "```"); at < len;
         at = find(text, len, at + 3, "```"))
        if (len - at > 5 && (memcmp(text + at + 3, "py", 2) == 0 ||
                             memcmp(text + at + 3, "Py", 2) == 0))
            return true;
    return find(text, len, 0, open_tag) < len;
}
