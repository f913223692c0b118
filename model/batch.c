/*
 * Host side of a batch: index arithmetic only. The prompt's rows are added before its
 * completions, but a row in the prompt's last partial page is also written to each
 * completion's first private page; those extra slots are known only when the group is
 * complete. So dst lists of a group are laid out by close_group, which runs when the
 * next prompt begins or at upload.
 */
#include "model/batch.h"

#include <string.h>

#include "core/carve.h"
#include "core/mem.h"

static int64_t n_blocks(int64_t n_positions)
{
    return (n_positions + KV_BLOCK - 1) / KV_BLOCK;
}

/* The page lists last: their length changes from one decode step to the next, and
 * should move nothing else. */
static void lay_out(struct batch_arrays *a, struct carver *c,
                    const struct batch_limits *max)
{
    a->ids = carve_i32(c, max->n_rows);
    a->pos = carve_i32(c, max->n_rows);
    a->dst_off = carve_i32(c, max->n_rows + 1);
    a->dst = carve_i32(c, max->n_dst);
    a->row_off = carve_i32(c, max->n_seqs + 1);
    a->first_pos = carve_i32(c, max->n_seqs);
    a->page_off = carve_i32(c, max->n_seqs + 1);
    a->group_off = carve_i32(c, max->n_groups + 1);
    a->pages = carve_i32(c, max->n_pages);
}

int batch_init(struct batch *t, struct backend *b, const struct batch_limits *max)
{
    *t = (struct batch){.b = b, .max = *max};
    struct carver c = {.base = NULL};
    lay_out(&t->host, &c, max);
    t->block_bytes = c.used;
    TRY(mem_reserve(&t->host_block, 2 * t->block_bytes, "batch indices"));
    const int status = b->reserve(b, &t->dev_block, t->block_bytes, "batch indices");
    if (status != STATUS_OK) {
        batch_release(t);
        return status;
    }
    c = (struct carver){.base = t->host_block};
    lay_out(&t->host, &c, max);
    t->packed = (char *)t->host_block + t->block_bytes;
    batch_reset(t);
    return STATUS_OK;
}

void batch_release(struct batch *t)
{
    if (t->host_block != NULL)
        mem_release(t->host_block, 2 * t->block_bytes);
    if (t->dev_block != NULL)
        t->b->release(t->b, t->dev_block, t->block_bytes);
    *t = (struct batch){0};
}

void batch_reset(struct batch *t)
{
    t->n_rows = t->n_seqs = t->n_groups = t->n_pages = t->n_dst = t->n_own_pages = 0;
    t->prompt_seq = -1;
    t->host.row_off[0] = t->host.page_off[0] = 0;
    t->host.group_off[0] = t->host.dst_off[0] = 0;
}

struct batch_limits batch_group_cost(int64_t n_prompt, const int64_t *n_rows, int64_t n)
{
    struct batch_limits c = {.n_rows = n_prompt,
                             .n_seqs = 1 + n,
                             .n_groups = 1,
                             .n_pages = n_blocks(n_prompt),
                             .n_dst = n_prompt};
    for (int64_t i = 0; i < n; i++) {
        c.n_rows += n_rows[i];
        c.n_pages += n_blocks(n_prompt + n_rows[i]);
        c.n_dst += n_rows[i] + n_prompt % KV_BLOCK;
    }
    return c;
}

bool batch_fits(const struct batch *t, const struct batch_limits *cost)
{
    return t->n_rows + cost->n_rows <= t->max.n_rows &&
           t->n_seqs + cost->n_seqs <= t->max.n_seqs &&
           t->n_groups + cost->n_groups <= t->max.n_groups &&
           t->n_pages + cost->n_pages <= t->max.n_pages &&
           t->n_dst + cost->n_dst <= t->max.n_dst;
}

/* Appends a sequence without its pages. */
static int64_t add_seq(struct batch *t, const int32_t *ids, int64_t n, int64_t pos)
{
    const int64_t row = t->n_rows, s = t->n_seqs;
    CHECK(row + n <= t->max.n_rows && s < t->max.n_seqs,
          "batch overflow: %lld + %lld rows of %lld", (long long)row, (long long)n,
          (long long)t->max.n_rows);
    if (n > 0)
        memcpy(t->host.ids + row, ids, (size_t)n * sizeof(int32_t));
    for (int64_t i = 0; i < n; i++)
        t->host.pos[row + i] = (int32_t)(pos + i);
    t->host.first_pos[s] = (int32_t)pos;
    t->host.row_off[s + 1] = (int32_t)(row + n);
    t->n_rows += n;
    t->n_seqs++;
    return row;
}

static void push_page(struct batch *t, int32_t page)
{
    CHECK(t->n_pages < t->max.n_pages, "batch overflow: %lld pages",
          (long long)t->max.n_pages);
    t->host.pages[t->n_pages++] = page;
}

static void push_dst(struct batch *t, const int32_t *pages, int64_t pos)
{
    CHECK(t->n_dst < t->max.n_dst, "batch overflow: %lld slots",
          (long long)t->max.n_dst);
    t->host.dst[t->n_dst++] = (int32_t)(pages[pos / KV_BLOCK] * KV_BLOCK +
                                        pos % KV_BLOCK);
}

/* Slots of all rows of the open group: the row's own, then copies for the completions.
 */
static void close_group(struct batch *t)
{
    if (t->prompt_seq < 0)
        return;
    const struct batch_arrays *const h = &t->host;
    const int64_t p = t->prompt_seq;
    const int64_t n_prompt = h->row_off[p + 1] - h->row_off[p];
    const int64_t shared = n_prompt / KV_BLOCK * KV_BLOCK;
    for (int64_t s = p; s < t->n_seqs; s++) {
        const int32_t *const pages = h->pages + h->page_off[s];
        for (int64_t r = h->row_off[s]; r < h->row_off[s + 1]; r++) {
            push_dst(t, pages, h->pos[r]);
            const bool is_copied = s == p && h->pos[r] >= shared;
            for (int64_t c = p + 1; is_copied && c < t->n_seqs; c++)
                if (h->row_off[c + 1] > h->row_off[c])
                    push_dst(t, h->pages + h->page_off[c], h->pos[r]);
            h->dst_off[r + 1] = (int32_t)t->n_dst;
        }
    }
    h->group_off[++t->n_groups] = (int32_t)t->n_seqs;
    t->prompt_seq = -1;
}

int64_t batch_add_prompt(struct batch *t, const int32_t *ids, int64_t n)
{
    close_group(t);
    CHECK(n >= 1 && t->n_groups < t->max.n_groups, "prompt of %lld tokens, group %lld",
          (long long)n, (long long)t->n_groups);
    t->prompt_seq = t->n_seqs;
    const int64_t row = add_seq(t, ids, n, 0);
    for (int64_t i = 0; i < n_blocks(n); i++)
        push_page(t, (int32_t)t->n_own_pages++);
    t->host.page_off[t->n_seqs] = (int32_t)t->n_pages;
    return row;
}

int64_t batch_add_completion(struct batch *t, const int32_t *ids, int64_t n)
{
    const int64_t p = t->prompt_seq;
    CHECK(p >= 0, "a completion without a prompt");
    const int64_t n_prompt = t->host.row_off[p + 1] - t->host.row_off[p];
    const int64_t row = add_seq(t, ids, n, n_prompt);
    const int64_t n_shared = n_prompt / KV_BLOCK;
    if (n > 0) {
        for (int64_t i = 0; i < n_shared; i++)
            push_page(t, t->host.pages[t->host.page_off[p] + i]);
        for (int64_t i = n_shared; i < n_blocks(n_prompt + n); i++)
            push_page(t, (int32_t)t->n_own_pages++);
    }
    t->host.page_off[t->n_seqs] = (int32_t)t->n_pages;
    return row;
}

int64_t batch_add_rows(struct batch *t, const int32_t *ids, int64_t n, int64_t pos,
                       const int32_t *pages)
{
    close_group(t);
    const int64_t row = add_seq(t, ids, n, pos);
    for (int64_t i = 0; i < n_blocks(pos + n); i++)
        push_page(t, pages[i]);
    t->host.page_off[t->n_seqs] = (int32_t)t->n_pages;
    for (int64_t r = row; r < row + n; r++) {
        push_dst(t, pages, t->host.pos[r]);
        t->host.dst_off[r + 1] = (int32_t)t->n_dst;
    }
    CHECK(t->n_groups < t->max.n_groups, "batch overflow: %lld groups",
          (long long)t->max.n_groups);
    t->host.group_off[++t->n_groups] = (int32_t)t->n_seqs;
    return row;
}

void batch_upload(struct batch *t)
{
    close_group(t);
    const struct batch_limits used = {.n_rows = t->n_rows,
                                      .n_seqs = t->n_seqs,
                                      .n_groups = t->n_groups,
                                      .n_pages = t->n_pages,
                                      .n_dst = t->n_dst};
    struct batch_arrays packed;
    struct carver c = {.base = t->packed};
    lay_out(&packed, &c, &used);
    const size_t bytes = c.used;
    c = (struct carver){.base = t->dev_block};
    lay_out(&t->dev, &c, &used);
    const int32_t *const from[] = {
        t->host.ids,      t->host.pos,       t->host.dst_off,
        t->host.dst,      t->host.row_off,   t->host.first_pos,
        t->host.page_off, t->host.group_off, t->host.pages};
    int32_t *const to[] = {packed.ids,      packed.pos,       packed.dst_off,
                           packed.dst,      packed.row_off,   packed.first_pos,
                           packed.page_off, packed.group_off, packed.pages};
    const int64_t len[] = {t->n_rows,     t->n_rows,       t->n_rows + 1,
                           t->n_dst,      t->n_seqs + 1,   t->n_seqs,
                           t->n_seqs + 1, t->n_groups + 1, t->n_pages};
    for (int64_t i = 0; i < ARRAY_LEN(len); i++)
        if (len[i] > 0)
            memcpy(to[i], from[i], (size_t)len[i] * sizeof(int32_t));
    t->b->upload(t->b, t->dev_block, t->packed, bytes);
}

struct attn_batch batch_attention(const struct batch *t)
{
    return (struct attn_batch){.n_rows = t->n_rows,
                               .n_seqs = t->n_seqs,
                               .n_groups = t->n_groups,
                               .n_pages = t->n_pages,
                               .row_off = t->dev.row_off,
                               .first_pos = t->dev.first_pos,
                               .page_off = t->dev.page_off,
                               .pages = t->dev.pages,
                               .group_off = t->dev.group_off};
}
