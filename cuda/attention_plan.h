/*
 * Attention forward on tensor cores: how a batch is cut into launches and blocks of
 * threads. Functions of integers, for the host and the device, so that tests need no
 * GPU. Which launch or block does a page changes no bit of a line: attention_lines.cuh.
 *
 * Many lines to a sequence (learner, prefill): a block has a tile of lines of one
 * sequence and kv head, and all their pages.
 * Few (decode): two launches. The first has the sequences that begin with the same
 * page, the lines of all of them together over the pages they share, read once, and
 * leaves each line's state; the second has each sequence's lines over its other pages
 * from that state on.
 * Few lines of few sequences, which would leave most of the device idle: a sequence's
 * pages are dealt out to several blocks, and a second launch adds them up in order.
 * Blocks of different sequences then read shared pages at the same time, all but the
 * first from the level-2 cache.
 */
#ifndef CUDA_ATTENTION_PLAN_H
#define CUDA_ATTENTION_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __CUDACC__
#define ATTN_HD __host__ __device__ __forceinline__
#else
#define ATTN_HD inline
#endif

enum {
    ATTN_GROUP_LINES = 64,   /* of 128 threads */
    ATTN_MAX_SEQS = 1024,    /* of a launch: their list lies in shared memory */
    ATTN_SEQS_PER_BLOCK = 4, /* that a block of the first launch looks at */
    ATTN_MAX_SLOTS = 1024,   /* pages of a line that are dealt out */
    ATTN_MIN_SLOTS = 4       /* fewer are not */
};

enum attn_part {
    ATTN_PART_ALL,    /* all pages; y */
    ATTN_PART_SHARED, /* pages that sequences share; states */
    ATTN_PART_OWN,    /* states, the other pages; y */
    ATTN_PART_DEALT,  /* some pages; what each brings */
    ATTN_PART_MERGE   /* what they bring; y */
};

/* Whether a batch counts as few lines, `lines` in all, of one kv head */
static ATTN_HD bool attn_is_decode(int64_t lines, int64_t n_seqs)
{
    return lines <= 16 * n_seqs;
}

/* Blocks that a sequence's pages are dealt out to in decode; 1: they are not */
static ATTN_HD int32_t attn_n_dealt(int64_t n_seqs, int64_t n_kv_heads, int32_t n_sms)
{
    const int64_t blocks = n_seqs * n_kv_heads;
    return 2 * blocks > n_sms ? 1 : (int32_t)(2 * n_sms / blocks);
}

/* Pages of every line for which there is room to leave what they bring, so many floats
 * each */
static ATTN_HD int32_t attn_n_slots(int64_t lines, int64_t floats)
{
    const int64_t room = (int64_t)(16 << 20) / (lines * floats);
    return room < ATTN_MAX_SLOTS ? (int32_t)room : (int32_t)ATTN_MAX_SLOTS;
}

/* Whether n pages are dealt out; else the first block does them all. */
static ATTN_HD bool attn_is_dealt(int32_t n_pages, int32_t n_slots)
{
    return n_pages >= ATTN_MIN_SLOTS && n_pages <= n_slots;
}

/* Blocks of threads of the launches over tiles of sequences, at most: of a sequence
 * with rows, one tile may not be full. */
static ATTN_HD int64_t attn_tile_blocks(int64_t n_rows, int64_t n_seqs, int64_t per_kv,
                                        int64_t n_kv_heads, int64_t tile)
{
    const int64_t used = n_seqs < n_rows ? n_seqs : n_rows;
    return ((n_rows * per_kv - used) / tile + used) * n_kv_heads;
}

/* Tiles of a sequence of so many lines */
static ATTN_HD int32_t attn_n_tiles(int32_t n_lines, int32_t tile)
{
    return n_lines / tile + (n_lines % tile > 0 ? 1 : 0);
}

/* Block number i of a sequence's tiles x kv heads. Heads slowest, so that the blocks at
 * work at one time share pages in the level-2 cache; a head's last tile, which sees
 * most, first, so that short ones fill the gaps at the end. */
struct attn_place {
    int32_t head, tile;
};

static ATTN_HD struct attn_place attn_place_of(int32_t i, int32_t n_tiles)
{
    struct attn_place p;
    p.head = i / n_tiles;
    p.tile = n_tiles - 1 - i % n_tiles;
    return p;
}

/* How many pages two lists that begin alike have in common: pages are shared from the
 * first one on (core/ops.h), so a search by halves finds the end. n >= 1: the shorter
 * list's length; a[0] == b[0]. */
static ATTN_HD int32_t attn_common_pages(const int32_t *a, const int32_t *b, int32_t n)
{
    int32_t low = 1, high = n; /* the first `low` agree; not more than `high` */
    while (low < high) {
        const int32_t middle = low + (high - low + 1) / 2;
        if (a[middle - 1] == b[middle - 1])
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Slots of the page that begins at key0 which [first, last] covers: [begin, end) */
static ATTN_HD int32_t attn_slot_begin(int32_t first, int32_t key0)
{
    return first > key0 ? first - key0 : 0;
}

static ATTN_HD int32_t attn_slot_end(int32_t last, int32_t key0, int32_t n_slots)
{
    const int32_t end = last - key0 + 1;
    return end < n_slots ? end : n_slots;
}

#endif
