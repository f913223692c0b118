/*
 * `grpo dump`: what the engine computes on given token ids, under the names that
 * comparison scripts use. All sequences form one batch, so that the load-balancing loss
 * pools all tokens as transformers does. Each kind of gradient needs a forward of its
 * own, because the backward consumes the activations.
 */
#include <math.h>
#include <string.h>

#include "core/io.h"
#include "core/json.h"
#include "core/log.h"
#include "grpo/commands.h"
#include "model/safetensors.h"

struct tensor {
    char name[200];
    enum st_dtype dtype;
    int rank;
    int64_t shape[2];
    void *data; /* owned; NULL: unpacked from `arena` when written */
    const float *arena;
    int64_t piece;
};

struct dump {
    struct session s;
    const char *out_path, *grads;
    int32_t *ids;
    float *coef;  /* (P) */
    int64_t *len; /* tokens of each sequence */
    int64_t n_seqs, n_rows, n_predicted, cap_rows, cap_seqs, cap_coef;
    struct acts acts;
    struct batch batch;
    int32_t *rows, *target; /* (P) */
    float *logp, *entropy;
    struct tensor *tensors;
    int64_t n_tensors, cap_tensors;
    float *grad, *aux_grad, *tied;
};

static int read_ids(struct dump *d, const json_t *line, const char *where)
{
    const json_t *const ids = json_object_get(line, "ids");
    if (!json_is_array(ids) || json_array_size(ids) == 0)
        return ERR(ERR_INPUT, "%s: key \"ids\" is %s, expected a list of token ids",
                   where, json_is_array(ids) ? "empty" : json_type_name(ids));
    const int64_t n = (int64_t)json_array_size(ids);
    for (int64_t i = 0; i < n; i++) {
        const json_t *const v = json_array_get(ids, (size_t)i);
        const int64_t id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= d->s.weights.hp.n_vocab)
            return ERR(ERR_INPUT, "%s: ids[%lld] is not a token id in 0 .. %lld", where,
                       (long long)i, (long long)d->s.weights.hp.n_vocab - 1);
        if (d->n_rows + i == d->cap_rows) {
            const int64_t cap = 2 * d->cap_rows + 1024;
            d->ids = mem_realloc(d->ids, (size_t)d->cap_rows * sizeof(*d->ids),
                                 (size_t)cap * sizeof(*d->ids));
            d->cap_rows = cap;
        }
        d->ids[d->n_rows + i] = (int32_t)id;
    }
    if (d->n_seqs == d->cap_seqs) {
        const int64_t cap = 2 * d->cap_seqs + 64;
        d->len = mem_realloc(d->len, (size_t)d->cap_seqs * sizeof(*d->len),
                             (size_t)cap * sizeof(*d->len));
        d->cap_seqs = cap;
    }
    d->len[d->n_seqs++] = n;
    d->n_rows += n;
    return STATUS_OK;
}

static int read_coef(struct dump *d, const json_t *line, const char *where)
{
    const int64_t n = d->len[d->n_seqs - 1] - 1;
    const json_t *const coef = json_object_get(line, "coef");
    if (coef == NULL && strcmp(d->grads, "pg") != 0) {
        d->n_predicted += n;
        return STATUS_OK;
    }
    if (!json_is_array(coef) || (int64_t)json_array_size(coef) != n)
        return ERR(
            ERR_INPUT,
            "%s: key \"coef\" is %s of length %lld, expected a list of %lld numbers, "
            "one per predicted token",
            where, json_type_name(coef), (long long)json_array_size(coef),
            (long long)n);
    for (int64_t i = 0; i < n; i++) {
        const json_t *const v = json_array_get(coef, (size_t)i);
        if (!json_is_number(v))
            return ERR(ERR_INPUT, "%s: coef[%lld] is %s, expected a number", where,
                       (long long)i, json_type_name(v));
        if (d->n_predicted == d->cap_coef) {
            const int64_t cap = 2 * d->cap_coef + 1024;
            d->coef = mem_realloc(d->coef, (size_t)d->cap_coef * sizeof(*d->coef),
                                  (size_t)cap * sizeof(*d->coef));
            d->cap_coef = cap;
        }
        d->coef[d->n_predicted++] = (float)json_number_value(v);
    }
    return STATUS_OK;
}

static int read_inputs(struct dump *d, const char *path)
{
    struct io_lines lines;
    TRY(io_lines_open(&lines, path));
    const char *text = NULL;
    size_t len = 0;
    int status = STATUS_OK;
    while (status == STATUS_OK && io_lines_next(&lines, &text, &len)) {
        char where[512];
        json_t *line = NULL;
        if (len == 0)
            continue;
        snprintf(where, sizeof(where), "%s:%lld", path, (long long)lines.number);
        status = json_parse(&line, text, len, where);
        if (status == STATUS_OK)
            status = read_ids(d, line, where);
        if (status == STATUS_OK)
            status = read_coef(d, line, where);
        json_decref(line);
    }
    io_lines_close(&lines);
    TRY(status);
    return d->n_seqs > 0 ? STATUS_OK : ERR(ERR_INPUT, "%s: no line with \"ids\"", path);
}

static struct tensor *add_tensor(struct dump *d, const char *name, enum st_dtype dtype,
                                 int rank, int64_t n0, int64_t n1)
{
    if (d->n_tensors == d->cap_tensors) {
        const int64_t cap = 2 * d->cap_tensors + 256;
        d->tensors = mem_realloc(d->tensors,
                                 (size_t)d->cap_tensors * sizeof(*d->tensors),
                                 (size_t)cap * sizeof(*d->tensors));
        d->cap_tensors = cap;
    }
    struct tensor *const t = &d->tensors[d->n_tensors++];
    *t = (struct tensor){.dtype = dtype, .rank = rank, .shape = {n0, n1}};
    snprintf(t->name, sizeof(t->name), "%s", name);
    return t;
}

/* A tensor of 4-byte elements with a copy of `src` (backend memory, or host when
 * is_host). */
static void put(struct dump *d, const char *name, enum st_dtype dtype, int rank,
                int64_t n0, int64_t n1, const void *src, bool is_host)
{
    struct tensor *const t = add_tensor(d, name, dtype, rank, n0, n1);
    const size_t bytes = (size_t)((rank > 0 ? n0 : 1) * (rank > 1 ? n1 : 1)) *
                         sizeof(float);
    t->data = mem_alloc(bytes);
    if (is_host)
        memcpy(t->data, src, bytes);
    else
        d->s.backend.download(&d->s.backend, t->data, src, bytes);
}

static void put_scalar(struct dump *d, const char *name, double value)
{
    const float v = (float)value;
    put(d, name, ST_F32, 0, 1, 1, &v, true);
}

static int build_batch(struct dump *d)
{
    struct batch_limits max = {.n_groups = d->n_seqs, .n_seqs = d->n_seqs};
    for (int64_t s = 0; s < d->n_seqs; s++) {
        const struct batch_limits c = batch_group_cost(d->len[s], NULL, 0);
        max.n_rows += c.n_rows;
        max.n_pages += c.n_pages;
        max.n_dst += c.n_dst;
    }
    TRY(batch_init(&d->batch, &d->s.backend, &max));
    const struct acts_limits al = {.mode = ACTS_KEEP,
                                   .n_rows = max.n_rows,
                                   .n_pages = max.n_pages,
                                   .n_head_rows = max.n_rows < 256 ? max.n_rows : 256};
    TRY(acts_init(&d->acts, &d->s.model, &al));
    d->rows = mem_alloc((size_t)d->n_rows * sizeof(*d->rows));
    d->target = mem_alloc((size_t)d->n_rows * sizeof(*d->target));
    d->logp = mem_alloc((size_t)d->n_rows * sizeof(*d->logp));
    d->entropy = mem_alloc((size_t)d->n_rows * sizeof(*d->entropy));
    int64_t row = 0, n = 0;
    for (int64_t s = 0; s < d->n_seqs; s++) {
        batch_add_prompt(&d->batch, d->ids + row, d->len[s]);
        for (int64_t t = 0; t + 1 < d->len[s]; t++, n++) {
            d->rows[n] = (int32_t)(row + t);
            d->target[n] = d->ids[row + t + 1];
        }
        row += d->len[s];
    }
    batch_upload(&d->batch);
    return STATUS_OK;
}

static void put_logits(struct dump *d)
{
    const struct hparams *const hp = &d->s.model.hp;
    struct tensor *const t = add_tensor(d, "logits", ST_F32, 2, d->n_rows, hp->n_vocab);
    float *const all = mem_alloc((size_t)(d->n_rows * hp->n_vocab) * sizeof(float));
    t->data = all;
    int32_t rows[256];
    for (int64_t i = 0; i < d->n_rows; i += d->acts.max.n_head_rows) {
        int64_t n = 0;
        for (; n < d->acts.max.n_head_rows && i + n < d->n_rows; n++)
            rows[n] = (int32_t)(i + n);
        model_logits(&d->s.model, &d->acts, d->acts.x_last, rows, n);
        for (int64_t r = 0; r < n; r++)
            d->s.backend.download(&d->s.backend, all + (i + r) * hp->n_vocab,
                                  d->acts.logits + r * d->acts.ld_logits,
                                  (size_t)hp->n_vocab * sizeof(float));
    }
}

static void put_layer(struct dump *d, int64_t l)
{
    struct backend *const b = &d->s.backend;
    const struct hparams *const hp = &d->s.model.hp;
    const struct layer_acts *const la = &d->acts.layers[l];
    const struct weight w_o = model_weight(&d->s.model, PARAM_O, l);
    const int64_t n = d->n_rows;
    char name[64];
    b->gemm_fwd(b, d->acts.o, rows_f32(la->att), &w_o, NULL, n);
    snprintf(name, sizeof(name), "mixer.%lld", (long long)l);
    put(d, name, ST_F32, 2, n, hp->d_model, d->acts.o, false);
    snprintf(name, sizeof(name), "hidden.%lld", (long long)l);
    put(d, name, ST_F32, 2, n, hp->d_model,
        l + 1 < hp->n_layers ? d->acts.layers[l + 1].x : d->acts.x_last, false);
    snprintf(name, sizeof(name), "router.%lld.logits", (long long)l);
    put(d, name, ST_F32, 2, n, hp->n_experts, la->router_logits, false);
    snprintf(name, sizeof(name), "router.%lld.experts", (long long)l);
    put(d, name, ST_I32, 2, n, hp->top_k, la->experts, false);
    snprintf(name, sizeof(name), "router.%lld.weights", (long long)l);
    put(d, name, ST_F32, 2, n, hp->top_k, la->weights, false);
}

/* transformers' load-balancing loss; f (E) = the coefficients its gradient needs */
static double aux_loss(struct dump *d, float *f)
{
    const struct hparams *const hp = &d->s.model.hp;
    const int64_t e = hp->n_experts;
    const double n = (double)(hp->n_layers * d->n_rows);
    double *const sums = mem_alloc((size_t)(2 * e + 1) * sizeof(double));
    model_router_sums(&d->s.model, &d->acts, &d->batch, sums, sums + e, sums + 2 * e);
    double loss = 0.0;
    for (int64_t i = 0; i < e; i++) {
        loss += (double)e * (sums[e + i] / n) * (sums[i] / n);
        f[i] = (float)((double)e / n * (sums[e + i] / n));
    }
    mem_free(sums);
    return loss;
}

static void put_forward(struct dump *d, float *aux_f)
{
    int32_t *const offsets = mem_alloc((size_t)(d->n_seqs + 1) * sizeof(*offsets));
    const int64_t p = d->n_predicted;
    model_forward(&d->s.model, &d->acts, &d->batch);
    for (int64_t s = 0; s < d->n_seqs; s++)
        offsets[s + 1] = (int32_t)(offsets[s] + d->len[s]);
    put(d, "ids", ST_I32, 1, d->n_rows, 1, d->ids, true);
    put(d, "offsets", ST_I32, 1, d->n_seqs + 1, 1, offsets, true);
    mem_free(offsets);
    put_logits(d);
    for (int64_t l = 0; l < d->s.model.hp.n_layers; l++)
        put_layer(d, l);
    /* the entropy of every row; targets do not matter for it */
    int32_t *const all = mem_alloc((size_t)d->n_rows * sizeof(*all));
    for (int64_t i = 0; i < d->n_rows; i++)
        all[i] = (int32_t)i;
    model_logprobs(&d->s.model, &d->acts, d->acts.x_last, all, d->ids, d->n_rows, 1.0f,
                   d->logp, d->entropy);
    mem_free(all);
    put(d, "entropy", ST_F32, 1, d->n_rows, 1, d->entropy, true);
    model_logprobs(&d->s.model, &d->acts, d->acts.x_last, d->rows, d->target, p, 1.0f,
                   d->logp, NULL);
    put(d, "logp", ST_F32, 1, p, 1, d->logp, true);
    put_scalar(d, "aux", aux_loss(d, aux_f));
    double ce = 0.0, pg = 0.0;
    for (int64_t i = 0; i < p; i++) {
        ce -= (double)d->logp[i] / (double)p;
        pg -= d->coef == NULL ? 0.0 : (double)d->coef[i] * (double)d->logp[i];
    }
    put_scalar(d, "ce", ce);
    if (d->coef != NULL) {
        put(d, "coef", ST_F32, 1, p, 1, d->coef, true);
        put_scalar(d, "pg", pg);
    }
}

/* One backward; `dlogp` NULL: of the load-balancing loss. */
static int gradient(struct dump *d, float **out, const float *dlogp, const float *aux_f)
{
    const struct model *const m = &d->s.model;
    const struct param *const embed = param_find(&m->table, PARAM_EMBED, -1);
    void *data = NULL, *tied = NULL;
    const size_t bytes = (size_t)m->table.n_elems * sizeof(float);
    TRY(m->b->reserve(m->b, &data, bytes, "gradients"));
    *out = data;
    if (m->hp.is_tied && d->tied == NULL) {
        TRY(m->b->reserve(m->b, &tied, (size_t)embed->n_elems * sizeof(float),
                          "gradients"));
        d->tied = tied;
    }
    if (d->tied != NULL)
        m->b->zero(m->b, d->tied, (size_t)embed->n_elems * sizeof(float));
    const struct model_grads g = {.data = data, .tied = d->tied};
    const struct model_loss loss = {.rows = d->rows,
                                    .target = d->target,
                                    .dlogp = dlogp,
                                    .n = dlogp == NULL ? 0 : d->n_predicted,
                                    .inv_temp = 1.0f,
                                    .aux_f = aux_f};
    model_forward(m, &d->acts, &d->batch);
    model_backward(m, &d->acts, &d->batch, &loss, &g);
    model_grads_finish(m, &g);
    return STATUS_OK;
}

static void put_gradients(struct dump *d, const char *kind, const float *arena,
                          bool is_router_only)
{
    const struct model *const m = &d->s.model;
    const int64_t n = pieces_count(&m->table, &m->hp);
    for (int64_t i = 0; i < n; i++) {
        struct piece p;
        char name[200];
        piece_get(&p, &m->table, &m->hp, i);
        if (is_router_only && p.param->role != PARAM_ROUTER)
            continue;
        snprintf(name, sizeof(name), "grad.%s.%s", kind, p.name);
        struct tensor *const t = add_tensor(d, name, ST_F32, p.rank, p.shape[0],
                                            p.rank > 1 ? p.shape[1] : 1);
        t->arena = arena;
        t->piece = i;
    }
}

static int gradients(struct dump *d, const float *aux_f)
{
    const bool is_ce = strcmp(d->grads, "ce") == 0;
    char name[32];
    float *const dlogp = mem_alloc((size_t)d->n_rows * sizeof(*dlogp));
    for (int64_t i = 0; i < d->n_predicted; i++)
        dlogp[i] = is_ce ? (float)(-1.0 / (double)d->n_predicted) : -d->coef[i];
    int status = gradient(d, &d->grad, dlogp, NULL);
    mem_free(dlogp);
    TRY(status);
    TRY(gradient(d, &d->aux_grad, NULL, aux_f));
    put_gradients(d, d->grads, d->grad, false);
    put_gradients(d, "aux", d->aux_grad, true);
    double sum_sq = 0.0, sum_abs = 0.0;
    d->s.backend.norms(&d->s.backend, &sum_sq, &sum_abs, d->grad,
                       d->s.model.table.n_elems);
    snprintf(name, sizeof(name), "%s_grad_norm", d->grads);
    put_scalar(d, name, sqrt(sum_sq));
    return STATUS_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

static int write_tensor(struct dump *d, struct st_writer *w, const struct st_tensor *st)
{
    struct tensor key;
    snprintf(key.name, sizeof(key.name), "%s", st->name);
    const struct tensor *const t = bsearch(&key, d->tensors, (size_t)d->n_tensors,
                                           sizeof(key), by_name);
    CHECK(t != NULL, "tensor %s was declared, but is not there", st->name);
    if (t->data != NULL)
        return st_write(w, t->data, st->bytes);
    struct piece p;
    piece_get(&p, &d->s.model.table, &d->s.model.hp, t->piece);
    float *const plain = mem_alloc(st->bytes);
    piece_fetch(plain, &d->s.backend, t->arena, DTYPE_F32, &p);
    const int status = st_write(w, plain, st->bytes);
    mem_free(plain);
    return status;
}

static int write_all(struct dump *d)
{
    struct st_writer *w = NULL;
    int status = STATUS_OK;
    qsort(d->tensors, (size_t)d->n_tensors, sizeof(*d->tensors), by_name);
    TRY(st_create(&w, d->out_path));
    for (int64_t i = 0; i < d->n_tensors; i++)
        TRY_OUT(st_declare(w, d->tensors[i].name, d->tensors[i].dtype,
                           d->tensors[i].rank, d->tensors[i].shape));
    for (int64_t i = 0; i < st_n_declared(w); i++)
        TRY_OUT(write_tensor(d, w, st_order(w, i)));
    return st_finish(w);
out:
    st_abandon(w);
    return status;
}

static void release(struct dump *d)
{
    struct backend *const b = &d->s.backend;
    const size_t bytes = (size_t)d->s.model.table.n_elems * sizeof(float);
    if (d->grad != NULL)
        b->release(b, d->grad, bytes);
    if (d->aux_grad != NULL)
        b->release(b, d->aux_grad, bytes);
    if (d->tied != NULL)
        b->release(b, d->tied,
                   (size_t)param_find(&d->s.model.table, PARAM_EMBED, -1)->n_elems *
                       sizeof(float));
    for (int64_t i = 0; i < d->n_tensors; i++)
        mem_free(d->tensors[i].data);
    mem_free(d->tensors);
    mem_free(d->ids);
    mem_free(d->coef);
    mem_free(d->len);
    mem_free(d->rows);
    mem_free(d->target);
    mem_free(d->logp);
    mem_free(d->entropy);
    batch_release(&d->batch);
    acts_release(&d->acts);
    session_close(&d->s);
}

static int run(struct dump *d, const char *dir, const char *ids_path)
{
    TRY(session_load(&d->s, dir, 1, SOFTMAX_FULL, false));
    TRY(read_inputs(d, ids_path));
    int64_t longest = 1;
    for (int64_t s = 0; s < d->n_seqs; s++)
        longest = d->len[s] > longest ? d->len[s] : longest;
    model_release(&d->s.model);
    TRY(model_init(&d->s.model, &d->s.backend, &d->s.weights.hp, d->s.weights.data,
                   d->s.weights.dtype, longest, d->s.weights.hp.n_vocab));
    TRY(build_batch(d));
    float *const aux_f = mem_alloc((size_t)d->s.model.hp.n_experts * sizeof(*aux_f));
    put_forward(d, aux_f);
    const int status = d->grads[0] == '\0' ? STATUS_OK : gradients(d, aux_f);
    mem_free(aux_f);
    TRY(status);
    TRY(write_all(d));
    log_info("%s: %lld sequences, %lld tokens, %lld tensors", d->out_path,
             (long long)d->n_seqs, (long long)d->n_rows, (long long)d->n_tensors);
    return STATUS_OK;
}

int command_dump(const struct program *p, int argc, char *const *argv)
{
    struct args_flag flags[] = {
        {"--ids", true, NULL}, {"--out", true, NULL}, {"--grads", true, ""}};
    struct args a;
    struct config c;
    TRY(args_parse(&a, flags, (int)ARRAY_LEN(flags), argc, argv));
    if (a.n_words != 1 || flags[0].value == NULL || flags[1].value == NULL)
        return ERR(ERR_USAGE, "usage: grpo dump MODEL --ids FILE.jsonl --out "
                              "FILE.safetensors [--grads ce|pg]");
    const char *const grads = flags[2].value;
    if (strcmp(grads, "") != 0 && strcmp(grads, "ce") != 0 && strcmp(grads, "pg") != 0)
        return ERR(ERR_USAGE, "--grads %s: expected ce or pg", grads);
    TRY(config_parse(&c, a.n_overrides, a.overrides));
    struct dump d = {.out_path = flags[1].value, .grads = grads};
    int status = session_open(&d.s, p, &c);
    if (status == STATUS_OK)
        status = run(&d, a.words[0], flags[0].value);
    release(&d);
    return status;
}
