/*
 * `grpo tokenize`: what a tokenizer makes of texts. For people a table per line; with
 * --jsonl one JSON object per line of input, for comparison with other stacks. A line
 * that is malformed gives an error in its place, and the others go on.
 */
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/log.h"
#include "grpo/commands.h"

enum mode { MODE_TABLE, MODE_JSONL, MODE_DECODE };

struct tokenize {
    struct tokenizer *t;
    enum mode mode;
    bool has_special; /* the table shows what the post-processor adds */
    const char *name; /* of the input, for messages */
    struct ids ids, special;
    struct buf text, skipped, out;
    int64_t n_lines, n_bad;
};

static void put_ids(struct buf *out, const char *key, const struct ids *ids)
{
    buf_printf(out, "\"%s\":[", key);
    for (int64_t i = 0; i < ids->n; i++)
        buf_printf(out, i == 0 ? "%d" : ",%d", ids->data[i]);
    buf_puts(out, "]");
}

/* A JSON string without the characters at which some readers of lines cut, though
 * JSONL does not. */
static void put_string(struct buf *out, const char *s, size_t len)
{
    static const char *const cuts[][2] = {{"\xC2\x85", "\\u0085"},
                                          {"\xE2\x80\xA8", "\\u2028"},
                                          {"\xE2\x80\xA9", "\\u2029"}};
    struct buf plain = {0};
    size_t done = 0;
    buf_put_json_string(&plain, s, len);
    for (size_t i = 0; i < plain.len; i++)
        for (int64_t c = 0; (unsigned char)plain.data[i] >= 0xC2 && c < ARRAY_LEN(cuts);
             c++) {
            const size_t n = strlen(cuts[c][0]);
            if (strncmp(plain.data + i, cuts[c][0], n) != 0)
                continue;
            buf_append(out, plain.data + done, i - done);
            buf_puts(out, cuts[c][1]);
            done = i + n;
        }
    buf_append(out, plain.data + done, plain.len - done);
    buf_release(&plain);
}

static void put_texts(struct tokenize *x, const struct ids *ids,
                      const struct ids *special)
{
    buf_reset(&x->text);
    buf_reset(&x->skipped);
    tokenizer_decode(x->t, ids->data, ids->n, false, &x->text);
    tokenizer_decode(x->t, special->data, special->n, true, &x->skipped);
    buf_puts(&x->out, "\"decoded\":");
    put_string(&x->out, x->text.data, x->text.len);
    buf_puts(&x->out, ",\"decoded_skip\":");
    put_string(&x->out, x->skipped.data, x->skipped.len);
}

static int encode_line(struct tokenize *x, const json_t *line, const char *where)
{
    const char *text = NULL;
    size_t len = 0;
    TRY(json_get_string(line, "text", &text, &len, where));
    if (text == NULL)
        return ERR(ERR_INPUT, "%s: no \"text\", expected {\"text\": \"...\"}", where);
    x->ids.n = x->special.n = 0;
    TRY(tokenizer_encode(x->t, text, len, false, &x->ids));
    TRY(tokenizer_encode(x->t, text, len, true, &x->special));
    buf_puts(&x->out, "{");
    put_ids(&x->out, "ids", &x->ids);
    buf_puts(&x->out, ",");
    put_ids(&x->out, "ids_special", &x->special);
    buf_puts(&x->out, ",");
    put_texts(x, &x->ids, &x->special);
    buf_puts(&x->out, "}\n");
    return STATUS_OK;
}

static int decode_line(struct tokenize *x, const json_t *line, const char *where)
{
    const json_t *const list = json_object_get(line, "ids");
    if (!json_is_array(list))
        return ERR(ERR_INPUT, "%s: \"ids\" is %s, expected {\"ids\": [1, 2, ...]}",
                   where, json_type_name(list));
    x->ids.n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *const v = json_array_get(list, i);
        const int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id > UINT32_MAX)
            return ERR(
                ERR_INPUT, "%s: ids[%zu] is %s, expected an id from 0 to %u", where, i,
                json_is_integer(v) ? "out of range" : json_type_name(v), UINT32_MAX);
        /* an id without a token decodes to nothing, here as in the library */
        ids_push(&x->ids, id > INT32_MAX ? -1 : (int32_t)id);
    }
    buf_puts(&x->out, "{");
    put_texts(x, &x->ids, &x->ids);
    buf_puts(&x->out, "}\n");
    return STATUS_OK;
}

/* Quoted, escaped, and then blanks up to `width` columns of ASCII. */
static void put_quoted(struct buf *out, const char *s, size_t len, size_t width)
{
    const size_t start = out->len;
    buf_put_json_string(out, s, len);
    do
        buf_puts(out, " ");
    while (out->len - start < width);
}

static int show_text(struct tokenize *x, const char *text, size_t len)
{
    struct token_span *spans = NULL;
    x->ids.n = 0;
    TRY(tokenizer_encode_spans(x->t, text, len, x->has_special, &x->ids, &spans));
    buf_printf(&x->out, "line %lld: %lld tokens, %zu bytes\n", (long long)x->n_lines,
               (long long)x->ids.n, len);
    if (x->ids.n > 0)
        buf_printf(&x->out, "%8s %8s %8s  %-20s %s\n", "id", "start", "end", "piece",
                   "text");
    for (int64_t i = 0; i < x->ids.n; i++) {
        const int32_t id = x->ids.data[i];
        size_t n = 0;
        const char *const piece = tokenizer_text(x->t, id, &n);
        buf_printf(&x->out, "%8d %8lld %8lld  ", id, (long long)spans[i].start,
                   (long long)spans[i].end);
        put_quoted(&x->out, piece, n, 21);
        buf_put_json_string(&x->out, text + spans[i].start,
                            (size_t)(spans[i].end - spans[i].start));
        buf_puts(&x->out, tokenizer_is_special(x->t, id) ? "  special\n" : "\n");
    }
    mem_free(spans);
    return STATUS_OK;
}

static int run_line(struct tokenize *x, const char *line, size_t len, const char *where)
{
    json_t *root = NULL;
    if (x->mode == MODE_TABLE)
        return show_text(x, line, len);
    TRY(json_parse(&root, line, len, where));
    const int status = x->mode == MODE_JSONL ? encode_line(x, root, where)
                                             : decode_line(x, root, where);
    json_decref(root);
    return status;
}

static int put_line(struct tokenize *x, const char *line, size_t len)
{
    char where[256];
    snprintf(where, sizeof(where), "%s:%lld", x->name, (long long)++x->n_lines);
    buf_reset(&x->out);
    if (run_line(x, line, len, where) != STATUS_OK) {
        const bool is_named = strncmp(status_message(), where, strlen(where)) == 0;
        struct buf why = {0};
        buf_printf(&why, "%s%s%s", is_named ? "" : where, is_named ? "" : ": ",
                   status_message());
        x->n_bad++;
        fprintf(stderr, "%s\n", why.data);
        buf_reset(&x->out);
        if (x->mode != MODE_TABLE) {
            buf_puts(&x->out, "{\"error\":");
            buf_put_json_string(&x->out, why.data, why.len);
            buf_puts(&x->out, "}\n");
        }
        buf_release(&why);
    }
    if (fwrite(x->out.data == NULL ? "" : x->out.data, 1, x->out.len, stdout) !=
        x->out.len)
        return ERR(ERR_IO, "writing the tokens failed; is the disk full?");
    return STATUS_OK;
}

static int read_lines(struct tokenize *x, FILE *in, bool is_whole)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len = 0;
    int status = STATUS_OK;
    struct buf all = {0};
    while (status == STATUS_OK && (len = getline(&line, &cap, in)) >= 0) {
        if (is_whole)
            buf_append(&all, line, (size_t)len);
        else
            status = put_line(x, line, (size_t)len - (line[len - 1] == '\n'));
    }
    if (status == STATUS_OK && ferror(in) != 0)
        status = ERR(ERR_IO, "%s: reading failed", x->name);
    if (status == STATUS_OK && is_whole)
        status = put_line(x, all.data == NULL ? "" : all.data, all.len);
    buf_release(&all);
    free(line);
    return status;
}

static int run(struct tokenize *x, const char *path, bool is_whole)
{
    const bool is_stdin = path == NULL || strcmp(path, "-") == 0;
    x->name = is_stdin ? "standard input" : path;
    FILE *const in = is_stdin ? stdin : fopen(path, "rb");
    if (in == NULL)
        return ERR(ERR_INPUT, "%s: cannot be opened", path);
    int status = read_lines(x, in, is_whole);
    if (!is_stdin)
        fclose(in);
    if (status == STATUS_OK && fflush(stdout) != 0)
        status = ERR(ERR_IO, "writing the tokens failed; is the disk full?");
    if (status == STATUS_OK && x->n_bad > 0)
        status = ERR(ERR_INPUT, "%s: %lld of %lld lines are malformed", x->name,
                     (long long)x->n_bad, (long long)x->n_lines);
    return status;
}

int command_tokenize(const struct program *p, int argc, char *const *argv)
{
    enum { JSONL, DECODE, SPECIAL, WHOLE, OLD_UNICODE };
    struct args_flag flags[] = {{"--jsonl", false, NULL},
                                {"--decode", false, NULL},
                                {"--special", false, NULL},
                                {"--whole", false, NULL},
                                {"--old-unicode", false, NULL}};
    struct args a;
    (void)p;
    TRY(args_parse(&a, flags, (int)ARRAY_LEN(flags), argc, argv));
    const bool is_json = flags[JSONL].value != NULL || flags[DECODE].value != NULL;
    const bool is_whole = flags[WHOLE].value != NULL;
    if (a.n_words < 1 || a.n_words > 2 || a.n_overrides > 0 ||
        (is_json && (is_whole || flags[SPECIAL].value != NULL)))
        return ERR(ERR_USAGE, "usage: grpo tokenize MODEL_DIR|tokenizer.json [FILE|-] "
                              "[--special] [--whole] | [--jsonl] [--decode]");
    struct tokenize x = {.mode = flags[DECODE].value != NULL  ? MODE_DECODE
                                 : flags[JSONL].value != NULL ? MODE_JSONL
                                                              : MODE_TABLE,
                         .has_special = flags[SPECIAL].value != NULL};
    TRY(tokenizer_load_dir(&x.t, a.words[0]));
    tokenizer_set_unicode16(x.t, flags[OLD_UNICODE].value == NULL);
    const int status = run(&x, a.n_words > 1 ? a.words[1] : NULL, is_whole);
    tokenizer_free(x.t);
    ids_release(&x.ids);
    ids_release(&x.special);
    buf_release(&x.text);
    buf_release(&x.skipped);
    buf_release(&x.out);
    return status;
}
