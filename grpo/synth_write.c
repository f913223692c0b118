/*
 * The three files of a set. Questions of train and heldout are kept apart by a set of
 * 64-bit hashes; a hash that is there already passes its problem over, so a chance
 * collision costs one problem and never lets a repeat through.
 */
#include <xxhash.h>

#include "core/io.h"
#include "grpo/synth.h"

struct seen {
    uint64_t *slots; /* 0: free */
    int64_t n, n_slots;
};

static bool seen_add(struct seen *s, uint64_t hash)
{
    uint64_t i = hash;
    hash += hash == 0;
    for (;; i++) {
        uint64_t *const slot = &s->slots[i & (uint64_t)(s->n_slots - 1)];
        if (*slot == hash)
            return false;
        if (*slot == 0) {
            *slot = hash;
            s->n++;
            return true;
        }
    }
}

static void put_line(struct buf *out, const struct synth_problem *p,
                     const struct synth_options *o, enum synth_split split,
                     int64_t index)
{
    const char *const name = synth_split_name(split);
    buf_reset(out);
    buf_printf(out, "{\"id\": \"synth-%llu-%s-%lld\", \"question\": ",
               (unsigned long long)o->seed, name, (long long)index);
    buf_put_json_string(out, p->question.data, p->question.len);
    buf_puts(out, ", \"answer\": ");
    buf_put_json_string(out, p->answer.data, p->answer.len);
    buf_printf(out,
               ", \"gold\": \"%lld\", \"steps\": %lld, \"style\": \"%s\", \"split\": "
               "\"%s\"}\n",
               (long long)p->gold, (long long)p->n_steps, synth_style_name(p->style),
               name);
}

static int write_lines(struct io_file *f, const struct synth_options *o,
                       enum synth_split split, struct seen *seen)
{
    struct synth_problem p = {0};
    struct buf line = {0};
    int status = STATUS_OK;
    /* passing over this many means that different problems have run out */
    const int64_t n = o->n[split], limit = 20 * n + 1000;
    for (int64_t i = 0, written = 0; status == STATUS_OK && written < n; i++) {
        if (i == limit) {
            status = ERR(ERR_CONFIG,
                         "synth: only %lld different problems for %s among %lld, %lld "
                         "are wanted: raise max_number or max_steps, or ask for fewer",
                         (long long)written, synth_split_name(split), (long long)limit,
                         (long long)n);
            break;
        }
        synth_problem_fill(&p, o, split, i);
        if (split != SYNTH_PRETRAIN &&
            !seen_add(seen, XXH3_64bits(p.question.data, p.question.len)))
            continue;
        put_line(&line, &p, o, split, i);
        status = io_write(f, line.data, line.len);
        written++;
    }
    buf_release(&line);
    synth_problem_release(&p);
    return status;
}

static int write_split(const struct synth_options *o, const char *dir,
                       enum synth_split split)
{
    struct buf name = {0};
    struct io_file f = {0};
    struct seen seen = {.n_slots = 1024};
    while (seen.n_slots < 2 * o->n[split] + 2)
        seen.n_slots *= 2;
    buf_printf(&name, "%s/%s.jsonl", dir, synth_split_name(split));
    int status = io_create(&f, name.data);
    if (status == STATUS_OK) {
        seen.slots = mem_alloc((size_t)seen.n_slots * sizeof(*seen.slots));
        status = write_lines(&f, o, split, &seen);
        if (status == STATUS_OK)
            status = io_close(&f, false);
        else
            io_abandon(&f);
    }
    mem_free(seen.slots);
    buf_release(&name);
    return status;
}

int synth_write(const struct synth_options *o, const char *dir)
{
    TRY(synth_check(o));
    TRY(io_mkdirs(dir));
    for (int split = 0; split < SYNTH_N_SPLITS; split++)
        TRY(write_split(o, dir, (enum synth_split)split));
    return STATUS_OK;
}
