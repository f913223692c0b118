/*
 * Which tensor holds which piece. A piece has up to three spellings, each with and
 * without the leading "model.":
 *   per expert, hub        layers.L.block_sparse_moe.experts.E.w1.weight
 *   per expert, converted  layers.L.mlp.experts.E.w1.weight
 *   fused, version 5       layers.L.mlp.experts.gate_up_proj (E, 2F, D), a slice of it
 * Exactly one may be there. What no piece used must be on the list of tensors that are
 * known to carry no weights: an ignored expert would train on noise unnoticed.
 */
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/weights_read.h"

enum { MAX_NAME = 192 };
static const char prefix[] = "model.", hub_moe[] = ".block_sparse_moe.";
static const char embed_name[] = "model.embed_tokens.weight";
static const char head_name[] = "lm_head.weight";

/* A spelling: the tensor's expected shape, and the first row in it of the piece. */
struct spelling {
    char name[MAX_NAME];
    int rank;
    int64_t shape[3], row0; /* rows counted over all leading dimensions */
};

static int make_spellings(struct spelling out[3], const struct piece *p,
                          const struct hparams *hp)
{
    int n = 1;
    out[0] = (struct spelling){.rank = p->rank, .shape = {p->shape[0], p->shape[1]}};
    snprintf(out[0].name, sizeof(out[0].name), "%s", p->name);
    const char *const moe = strstr(p->name, hub_moe);
    if (moe == NULL)
        return n;
    out[n] = out[0];
    snprintf(out[n++].name, MAX_NAME, "%.*s.mlp.%s", (int)(moe - p->name), p->name,
             moe + strlen(hub_moe));
    const struct param *const w = p->param;
    if (w->role == PARAM_ROUTER)
        return n;
    out[n] = (struct spelling){.rank = 3,
                               .shape = {hp->n_experts, w->n, w->k},
                               .row0 = p->mat * w->n + p->row0};
    snprintf(out[n++].name, MAX_NAME, "%.*s.mlp.experts.%s", (int)(moe - p->name),
             p->name, w->role == PARAM_DOWN ? "down_proj" : "gate_up_proj");
    return n;
}

/* With or without "model."; both present is an error. */
static int find_tensor(struct shard_tensor **out, const struct shards *s,
                       const char *name)
{
    const size_t n = strlen(prefix);
    *out = shards_find(s, name);
    if (strncmp(name, prefix, n) != 0)
        return STATUS_OK;
    struct shard_tensor *const bare = shards_find(s, name + n);
    if (bare != NULL && *out != NULL)
        return ERR(ERR_INPUT, "%s: tensors %s and %s are both present, expected one",
                   bare->file->path, name, name + n);
    if (bare != NULL)
        *out = bare;
    return STATUS_OK;
}

static int check_shape(const struct shard_tensor *found, const struct spelling *sp)
{
    const struct st_tensor *const t = found->tensor;
    bool is_same = t->rank == sp->rank;
    for (int i = 0; is_same && i < sp->rank; i++)
        is_same = t->shape[i] == sp->shape[i];
    if (is_same)
        return STATUS_OK;
    char got[200] = "", want[100] = "";
    for (int i = 0, at = 0; i < t->rank; i++)
        at += snprintf(got + at, sizeof(got) - (size_t)at, "%s%lld", i > 0 ? ", " : "",
                       (long long)t->shape[i]);
    for (int i = 0, at = 0; i < sp->rank; i++)
        at += snprintf(want + at, sizeof(want) - (size_t)at, "%s%lld",
                       i > 0 ? ", " : "", (long long)sp->shape[i]);
    return ERR(ERR_INPUT, "%s: tensor %s has shape [%s], config.json implies [%s]",
               found->file->path, t->name, got, want);
}

static int check_dtype(enum dtype *out, const struct shard_tensor *found)
{
    switch (found->tensor->dtype) {
    case ST_F32:
        *out = DTYPE_F32;
        return STATUS_OK;
    case ST_BF16:
        *out = DTYPE_BF16;
        return STATUS_OK;
    case ST_F16:
        *out = DTYPE_F16;
        return STATUS_OK;
    default:
        return ERR(ERR_INPUT, "%s: tensor %s is %s, expected F32, BF16 or F16",
                   found->file->path, found->tensor->name,
                   st_dtype_name(found->tensor->dtype));
    }
}

static int set_source(struct source *out, struct shard_tensor *found,
                      const struct spelling *sp, const struct piece *p)
{
    TRY(check_dtype(&out->dtype, found));
    TRY(check_shape(found, sp));
    const size_t row_bytes = (size_t)p->param->k * dtype_bytes(out->dtype);
    out->from = found;
    out->off = found->tensor->off + (size_t)sp->row0 * row_bytes;
    out->bytes = (size_t)p->n_rows * row_bytes;
    found->is_used = true;
    return STATUS_OK;
}

static int report_missing(const struct shards *s, const struct spelling *sp, int n)
{
    struct buf b = {0};
    for (int i = 1; i < n; i++)
        buf_printf(&b, "%s%s", i > 1 ? ", " : ", nor as ", sp[i].name);
    const int status = ERR(ERR_INPUT, "%s%s: no tensor %s%s%s", s->files[0].path,
                           s->n_files > 1 ? " and the other shards" : "", sp[0].name,
                           b.data == NULL ? "" : b.data,
                           strcmp(sp[0].name, head_name) == 0
                               ? " (and tie_word_embeddings is not true)"
                               : "");
    buf_release(&b);
    return status;
}

static int resolve_piece(struct source *out, const struct shards *s,
                         const struct piece *p, const struct hparams *hp)
{
    struct spelling spellings[3];
    const int n = make_spellings(spellings, p, hp);
    struct shard_tensor *found = NULL;
    int which = 0;
    for (int i = 0; i < n; i++) {
        struct shard_tensor *t;
        TRY(find_tensor(&t, s, spellings[i].name));
        if (t != NULL && found != NULL)
            return ERR(ERR_INPUT,
                       "%s: %s and %s hold the same weights, expected one of them",
                       t->file->path, found->tensor->name, t->tensor->name);
        if (t != NULL) {
            found = t;
            which = i;
        }
    }
    if (found == NULL)
        return report_missing(s, spellings, n);
    return set_source(out, found, &spellings[which], p);
}

static bool is_equal_data(const struct shard_tensor *a, const struct shard_tensor *b)
{
    enum { CHUNK = 1 << 20 };
    if (a->tensor->dtype != b->tensor->dtype || a->tensor->bytes != b->tensor->bytes)
        return false;
    for (size_t i = 0; i < a->tensor->bytes; i += CHUNK) {
        const size_t n = a->tensor->bytes - i < CHUNK ? a->tensor->bytes - i : CHUNK;
        const size_t a_off = a->tensor->off + i, b_off = b->tensor->off + i;
        if (memcmp(a->file->map.data + a_off, b->file->map.data + b_off, n) != 0)
            return false;
        io_map_done(&a->file->map, a_off, n);
        io_map_done(&b->file->map, b_off, n);
    }
    return true;
}

/* A tied model holds the embedding, the head (then it is the embedding), or both with
 * the same bytes. */
static int resolve_tied(struct source *out, const struct shards *s,
                        const struct piece *p)
{
    struct shard_tensor *embed, *const head = shards_find(s, head_name);
    TRY(find_tensor(&embed, s, embed_name));
    struct spelling sp = {.rank = 2, .shape = {p->shape[0], p->shape[1]}};
    snprintf(sp.name, sizeof(sp.name), "%s", embed_name);
    if (embed == NULL && head == NULL)
        return report_missing(s, &sp, 1);
    if (embed != NULL && head != NULL && !is_equal_data(embed, head))
        return ERR(ERR_INPUT,
                   "%s: %s differs from %s, but config.json says tie_word_embeddings",
                   head->file->path, head_name, embed->tensor->name);
    if (head != NULL)
        head->is_used = true;
    return set_source(out, embed != NULL ? embed : head, &sp, p);
}

static bool is_ignored(const char *name)
{
    static const char inv_freq[] = ".rotary_emb.inv_freq";
    const size_t n = strlen(name), m = strlen(inv_freq);
    return strncmp(name, "mtp.", 4) == 0 ||
           (n > m && strcmp(name + n - m, inv_freq) == 0);
}

static int check_all_used(const struct shards *s, const struct hparams *hp)
{
    for (int64_t i = 0; i < s->n; i++)
        if (!s->items[i].is_used && !is_ignored(s->items[i].tensor->name))
            return ERR(ERR_INPUT,
                       "%s: tensor %s is no weight of a Mixtral with %lld layers, %lld "
                       "experts%s",
                       s->items[i].file->path, s->items[i].tensor->name,
                       (long long)hp->n_layers, (long long)hp->n_experts,
                       hp->is_tied ? ", tied embeddings" : "");
    return STATUS_OK;
}

int sources_resolve(struct source **out, struct shards *s, const struct hparams *hp,
                    const struct param_table *t)
{
    const int64_t n = pieces_count(t, hp);
    struct source *const sources = mem_alloc((size_t)n * sizeof(*sources));
    int status = STATUS_OK;
    for (int64_t i = 0; i < n && status == STATUS_OK; i++) {
        struct piece p;
        piece_get(&p, t, hp, i);
        sources[i].piece = i;
        status = i == 0 && hp->is_tied ? resolve_tied(&sources[i], s, &p)
                                       : resolve_piece(&sources[i], s, &p, hp);
    }
    if (status == STATUS_OK)
        status = check_all_used(s, hp);
    if (status == STATUS_OK)
        *out = sources;
    else
        mem_free(sources);
    return status;
}
