/*
 * Tokenizers on one thread: load time, encode and decode in MB of text per second, in
 * pieces of 4 KiB as prompts come; best rounds count. Beside it, where a Python with
 * the package `tokenizers` is named, the same by that library in the same run.
 *   bench_tokenizer TEXT [TOKENIZER ...] [--peer PYTHON]
 * TEXT: prose, or a .jsonl with texts, questions and answers, or problems and
 * solutions. TOKENIZER: a tokenizer.json or a model directory; none: those of the
 * fixtures.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "core/io.h"
#include "core/json.h"
#include "core/log.h"
#include "model/tokenizer.h"

enum { PIECE = 4096 };

struct bench {
    const struct tokenizer *t;
    struct buf text;
    struct ids ids;
    struct buf decoded;
};

static size_t piece_end(const struct buf *text, size_t at)
{
    size_t end = at + PIECE < text->len ? at + PIECE : text->len;
    while (end < text->len && ((unsigned char)text->data[end] & 0xC0) == 0x80)
        end++;
    return end;
}

static void encode_all(void *arg)
{
    struct bench *const b = arg;
    b->ids.n = 0;
    for (size_t at = 0; at < b->text.len;) {
        const size_t end = piece_end(&b->text, at);
        CHECK(tokenizer_encode(b->t, b->text.data + at, end - at, false, &b->ids) == 0,
              "%s", status_message());
        at = end;
    }
}

static void decode_all(void *arg)
{
    struct bench *const b = arg;
    buf_reset(&b->decoded);
    tokenizer_decode(b->t, b->ids.data, b->ids.n, false, &b->decoded);
}

static void add_line(struct buf *text, const char *line, size_t len, const char *path)
{
    static const char *const keys[] = {"t",      "text",    "question",
                                       "answer", "problem", "solution"};
    json_t *root = NULL;
    CHECK(json_parse(&root, line, len, path) == 0, "%s", status_message());
    const json_t *const group = json_object_get(root, "g"); /* the fixtures' prose */
    if (group == NULL || strcmp(json_string_value(group), "botchan") == 0)
        for (int64_t i = 0; i < ARRAY_LEN(keys); i++) {
            const json_t *const v = json_object_get(root, keys[i]);
            if (json_is_string(v))
                buf_append(text, json_string_value(v), json_string_length(v));
            if (json_is_string(v))
                buf_puts(text, "\n");
        }
    json_decref(root);
}

static void read_text(struct buf *text, const char *path)
{
    const size_t n = strlen(path);
    struct io_lines lines;
    const char *line;
    size_t len;
    if (n < 6 || strcmp(path + n - 6, ".jsonl") != 0) {
        CHECK(io_read_file(text, path, (size_t)1 << 30) == 0, "%s", status_message());
        return;
    }
    CHECK(io_lines_open(&lines, path) == 0, "%s", status_message());
    while (io_lines_next(&lines, &line, &len))
        add_line(text, line, len, path);
    io_lines_close(&lines);
}

/* The peer reads the same bytes from a file of their own. */
static void run_peer(const char *python, const char *tokenizer, const char *text)
{
    struct buf command = {0};
    buf_printf(&command, "'%s' bench/peers/tokenizers_bench.py '%s' '%s'", python,
               tokenizer, text);
    fflush(stdout);
    if (system(command.data) != 0)
        printf("    the peer failed\n");
    buf_release(&command);
}

static void run(struct bench *b, const char *path, const char *peer,
                const char *text_path)
{
    struct tokenizer *t = NULL;
    char *const inside = io_join(path, "tokenizer.json");
    const double start = bench_now();
    CHECK(tokenizer_load_dir(&t, path) == 0, "%s", status_message());
    const double load = bench_now() - start;
    b->t = t;
    const double encode = bench_best(encode_all, b, 1.0);
    const double decode = bench_best(decode_all, b, 0.5);
    const double mb = 1e-6 * (double)b->text.len;
    printf("%s\n    grpo        load %6.3f s   encode %7.1f MB/s   decode %7.1f MB/s   "
           "%lld tokens\n",
           path, load, mb / encode, mb / decode, (long long)b->ids.n);
    if (peer != NULL)
        run_peer(peer, io_is_dir(path) ? inside : path, text_path);
    mem_free(inside);
    tokenizer_free(t);
}

int main(int argc, char **argv)
{
    static const char *const fixtures[] = {"qwen3", "gpt-oss",
                                           "olmoe.gpt-neox-olmo-dolma-v1_5",
                                           "llm-jp-3.v3.0b2", "mixtral-8x7b-v0.1"};
    struct bench b = {.t = NULL};
    const char *peer = NULL, *paths[64];
    const char *const shared = getenv("MOE_GRPO_SHARED");
    char text_path[] = "/tmp/bench_tokenizer_XXXXXX";
    int n = 0;
    log_set_level(LOG_ERROR);
    for (int i = 1; i < argc && n < 64; i++) {
        if (strcmp(argv[i], "--peer") == 0 && i + 1 < argc)
            peer = argv[++i];
        else
            paths[n++] = argv[i];
    }
    if (n == 0) {
        fprintf(stderr,
                "usage: bench_tokenizer TEXT [TOKENIZER ...] [--peer PYTHON]\n");
        return 2;
    }
    read_text(&b.text, paths[0]);
    const int fd = mkstemp(text_path);
    CHECK(fd >= 0 && io_write_atomic(text_path, b.text.data, b.text.len) == 0,
          "no temporary file");
    printf("%zu bytes of text, one thread\n", b.text.len);
    for (int i = 1; i < n; i++)
        run(&b, paths[i], peer, text_path);
    for (int64_t i = 0; n == 1 && i < ARRAY_LEN(fixtures); i++) {
        struct buf path = {0};
        buf_printf(&path, "%s/fixtures/tokenizers/%s",
                   shared != NULL ? shared : "../shared", fixtures[i]);
        if (io_exists(path.data))
            run(&b, path.data, peer, text_path);
        buf_release(&path);
    }
    remove(text_path);
    buf_release(&b.text);
    buf_release(&b.decoded);
    ids_release(&b.ids);
    return 0;
}
