/*
 * Writing a checkpoint directory. Pieces are dealt to shards in their order, each shard
 * filled until the next piece would exceed the limit, as the reference does; within a
 * file tensors lie in the order of their names. The rows go out a few MiB at a time, so
 * that saving needs no second copy.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io.h"
#include "core/mem.h"
#include "model/params.h"
#include "model/safetensors.h"

enum { CHUNK_BYTES = 8 << 20, MAX_TOKENIZER_BYTES = 256 << 20 };
static const int64_t default_shard_bytes = 5000000000;
static const char index_name[] = "model.safetensors.index.json";

/* What is written: an arena and its pieces. */
struct content {
    struct backend *b; /* whose memory the arena is; NULL: host memory */
    const struct hparams *hp;
    const struct param_table *table;
    const void *data;
    enum dtype dtype;
};

static enum st_dtype st_dtype_of(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F32:
        return ST_F32;
    case DTYPE_BF16:
        return ST_BF16;
    case DTYPE_F16:
        return ST_F16;
    }
    CHECK(false, "dtype %d", (int)dtype);
}

static int write_piece(struct st_writer *w, const struct content *c,
                       const struct piece *p)
{
    const int64_t row_bytes = p->param->k * (int64_t)dtype_bytes(c->dtype);
    const int64_t step = (CHUNK_BYTES / row_bytes / WEIGHT_PANEL + 1) * WEIGHT_PANEL;
    const int64_t n_rows = p->n_rows < step ? p->n_rows : step;
    char *const chunk = mem_alloc((size_t)(n_rows * row_bytes));
    struct piece part = *p;
    int status = STATUS_OK;
    for (int64_t row = 0; row < p->n_rows && status == STATUS_OK; row += n_rows) {
        part.row0 = p->row0 + row;
        part.n_rows = p->n_rows - row < n_rows ? p->n_rows - row : n_rows;
        piece_fetch(chunk, c->b, c->data, c->dtype, &part);
        status = st_write(w, chunk, (size_t)(part.n_rows * row_bytes));
    }
    mem_free(chunk);
    return status;
}

static int compare_pieces(const void *a, const void *b)
{
    return strcmp(((const struct piece *)a)->name, ((const struct piece *)b)->name);
}

static int write_pieces(struct st_writer *w, const struct content *c,
                        struct piece *pieces, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        TRY(st_declare(w, pieces[i].name, st_dtype_of(c->dtype), pieces[i].rank,
                       pieces[i].shape));
    /* one dtype: the file's order is that of the names */
    qsort(pieces, (size_t)n, sizeof(*pieces), compare_pieces);
    for (int64_t i = 0; i < n; i++) {
        CHECK(strcmp(st_order(w, i)->name, pieces[i].name) == 0, "%s comes before %s",
              st_order(w, i)->name, pieces[i].name);
        TRY(write_piece(w, c, &pieces[i]));
    }
    return STATUS_OK;
}

/* Pieces first .. first + n - 1 as one file. */
static int write_file(const char *path, const struct content *c, int64_t first,
                      int64_t n)
{
    struct st_writer *w;
    TRY(st_create(&w, path));
    struct piece *const pieces = mem_alloc((size_t)n * sizeof(*pieces));
    for (int64_t i = 0; i < n; i++)
        piece_get(&pieces[i], c->table, c->hp, first + i);
    const int status = write_pieces(w, c, pieces, n);
    mem_free(pieces);
    if (status != STATUS_OK) {
        st_abandon(w);
        return status;
    }
    return st_finish(w);
}

static int64_t piece_n_elems(const struct content *c, int64_t i)
{
    struct piece p;
    piece_get(&p, c->table, c->hp, i);
    return p.n_rows * p.param->k;
}

/* shard_of[i] for every piece; returns the number of shards. */
static int64_t deal(int64_t *shard_of, const struct content *c, int64_t max_bytes)
{
    const int64_t n = pieces_count(c->table, c->hp);
    int64_t shard = 0, filled = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t bytes = piece_n_elems(c, i) * (int64_t)dtype_bytes(c->dtype);
        if (filled > 0 && filled + bytes > max_bytes) {
            shard++;
            filled = 0;
        }
        filled += bytes;
        shard_of[i] = shard;
    }
    return shard + 1;
}

static void shard_name(char out[64], int64_t shard, int64_t n_shards)
{
    if (n_shards == 1)
        snprintf(out, 64, "model.safetensors");
    else
        snprintf(out, 64, "model-%05lld-of-%05lld.safetensors", (long long)shard + 1,
                 (long long)n_shards);
}

struct index_line {
    char name[160];
    int64_t shard;
};

static int compare_lines(const void *a, const void *b)
{
    return strcmp(((const struct index_line *)a)->name,
                  ((const struct index_line *)b)->name);
}

static void put_index(struct buf *b, const struct content *c, const int64_t *shard_of,
                      int64_t n_shards)
{
    const int64_t n = pieces_count(c->table, c->hp);
    struct index_line *const lines = mem_alloc((size_t)n * sizeof(*lines));
    int64_t n_elems = 0;
    for (int64_t i = 0; i < n; i++) {
        struct piece p;
        piece_get(&p, c->table, c->hp, i);
        memcpy(lines[i].name, p.name, sizeof(p.name));
        lines[i].shard = shard_of[i];
        n_elems += piece_n_elems(c, i);
    }
    qsort(lines, (size_t)n, sizeof(*lines), compare_lines);
    buf_printf(b,
               "{\n  \"metadata\": {\n    \"total_parameters\": %lld,\n    "
               "\"total_size\": %lld\n  },\n  \"weight_map\": {\n",
               (long long)n_elems,
               (long long)n_elems * (long long)dtype_bytes(c->dtype));
    for (int64_t i = 0; i < n; i++) {
        char file[64];
        shard_name(file, lines[i].shard, n_shards);
        buf_printf(b, "    \"%s\": \"%s\"%s\n", lines[i].name, file,
                   i + 1 < n ? "," : "");
    }
    buf_puts(b, "  }\n}\n");
    mem_free(lines);
}

static int write_text(const char *dir, const char *name, const struct buf *text)
{
    char *const path = io_join(dir, name);
    const int status = io_write_atomic(path, text->data, text->len);
    mem_free(path);
    return status;
}

/* A left-over single file would be read in place of the shards. */
static int check_no_single(const char *dir)
{
    char *const path = io_join(dir, "model.safetensors");
    const bool is_there = io_exists(path);
    mem_free(path);
    if (is_there)
        return ERR(ERR_INPUT,
                   "%s/model.safetensors: in the way of a sharded checkpoint, which "
                   "readers would not see; save into an empty directory",
                   dir);
    return STATUS_OK;
}

static int write_shards(const char *dir, const struct content *c,
                        const int64_t *shard_of, int64_t n_shards)
{
    const int64_t n = pieces_count(c->table, c->hp);
    if (n_shards > 1)
        TRY(check_no_single(dir));
    for (int64_t first = 0; first < n;) {
        int64_t next = first;
        while (next < n && shard_of[next] == shard_of[first])
            next++;
        char name[64];
        shard_name(name, shard_of[first], n_shards);
        char *const path = io_join(dir, name);
        const int status = write_file(path, c, first, next - first);
        mem_free(path);
        TRY(status);
        first = next;
    }
    if (n_shards == 1)
        return STATUS_OK;
    struct buf text = {0};
    put_index(&text, c, shard_of, n_shards);
    const int status = write_text(dir, index_name, &text);
    buf_release(&text);
    return status;
}

static int save_weights(const char *dir, const struct content *c, int64_t max_bytes)
{
    int64_t *const shard_of = mem_alloc((size_t)pieces_count(c->table, c->hp) *
                                        sizeof(*shard_of));
    const int64_t n_shards = deal(shard_of, c,
                                  max_bytes > 0 ? max_bytes : default_shard_bytes);
    const int status = write_shards(dir, c, shard_of, n_shards);
    mem_free(shard_of);
    return status;
}

static void put_generation(struct buf *b, const struct hparams *hp)
{
    const char *separator = "";
    buf_puts(b, "{");
    if (hp->bos_id >= 0) {
        buf_printf(b, "\n  \"bos_token_id\": %d", hp->bos_id);
        separator = ",";
    }
    if (hp->n_eos > 0) {
        buf_printf(b, "%s\n  \"eos_token_id\": %s", separator,
                   hp->n_eos > 1 ? "[" : "");
        for (int i = 0; i < hp->n_eos; i++)
            buf_printf(b, "%s%d", i > 0 ? ", " : "", hp->eos_ids[i]);
        buf_puts(b, hp->n_eos > 1 ? "]" : "");
        separator = ",";
    }
    if (hp->pad_id >= 0)
        buf_printf(b, "%s\n  \"pad_token_id\": %d", separator, hp->pad_id);
    buf_puts(b, "\n}\n");
}

static int save_configs(const char *dir, const struct hparams *hp, enum dtype dtype)
{
    struct buf text = {0};
    hparams_write(hp, dtype, &text);
    int status = write_text(dir, "config.json", &text);
    buf_reset(&text);
    put_generation(&text, hp);
    if (status == STATUS_OK)
        status = write_text(dir, "generation_config.json", &text);
    buf_release(&text);
    return status;
}

static bool is_same_dir(const char *a, const char *b)
{
    char real_a[PATH_MAX], real_b[PATH_MAX];
    return realpath(a, real_a) != NULL && realpath(b, real_b) != NULL &&
           strcmp(real_a, real_b) == 0;
}

static int copy_tokenizer(const char *dir, const char *from_dir)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json", "added_tokens.json",
                                        "chat_template.jinja"};
    struct buf text = {0};
    int status = STATUS_OK;
    for (int i = 0; i < ARRAY_LEN(names) && status == STATUS_OK; i++) {
        char *const from = io_join(from_dir, names[i]);
        if (io_exists(from)) {
            status = io_read_file(&text, from, MAX_TOKENIZER_BYTES);
            if (status == STATUS_OK)
                status = write_text(dir, names[i], &text);
        }
        mem_free(from);
    }
    buf_release(&text);
    return status;
}

int weights_save(const char *dir, const struct hparams *hp, const struct param_table *t,
                 const void *data, enum dtype dtype, const char *tokenizer_dir,
                 int64_t max_shard_bytes)
{
    return weights_save_from(NULL, dir, hp, t, data, dtype, tokenizer_dir,
                             max_shard_bytes);
}

int weights_save_from(struct backend *b, const char *dir, const struct hparams *hp,
                      const struct param_table *t, const void *data, enum dtype dtype,
                      const char *tokenizer_dir, int64_t max_shard_bytes)
{
    const struct content c = {b, hp, t, data, dtype};
    TRY(save_weights(dir, &c, max_shard_bytes));
    TRY(save_configs(dir, hp, dtype));
    if (tokenizer_dir != NULL && !is_same_dir(dir, tokenizer_dir))
        TRY(copy_tokenizer(dir, tokenizer_dir));
    return STATUS_OK;
}

int arena_save(const char *path, const struct hparams *hp, const struct param_table *t,
               const float *data)
{
    return arena_save_from(NULL, path, hp, t, data);
}

int arena_save_from(struct backend *b, const char *path, const struct hparams *hp,
                    const struct param_table *t, const float *data)
{
    const struct content c = {b, hp, t, data, DTYPE_F32};
    return write_file(path, &c, 0, pieces_count(t, hp));
}
