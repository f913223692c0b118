/*
 * BPE training. Texts are cut into pre-tokens, equal ones are counted once, and merges
 * are chosen one by one: the pair that occurs most often over all pre-tokens, of
 * equally frequent ones that with the smaller left id, then the smaller right id. Pairs
 * seen once are not merged, so a short text gives fewer than n_vocab tokens. A merge
 * whose text is already a token adds a rule and no token.
 *
 * Counts are kept up to date word by word. Candidates lie in a heap whose entries may
 * overstate: one that does goes back with its true count, so the top is right.
 */
#include <string.h>
#include <xxhash.h>

#include "core/io.h"
#include "model/tokenizer_private.h"

/* A digit by itself; else GPT-2's splits without its contractions. */
static const char train_pattern[] =
    "\\p{N}| ?\\p{L}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char *const special_tokens[] = {"<pad>", "<s>", "</s>"};
enum { N_SPECIAL = 3, BOS_ID = 1 };

struct word { /* symbols [off, off + n) of trainer.symbols */
    int64_t off, n, count;
    size_t text_off, text_len; /* of the pre-token, in trainer.text */
};

struct pair_count {
    uint64_t pair; /* left << 32 | right */
    int64_t count; /* heap: may be more than the true one */
};

struct trainer {
    struct vocab vocab;
    struct buf text;
    struct word *words;
    int64_t n_words, words_cap;
    int64_t *word_slots; /* hash of pre-tokens -> word + 1 */
    int64_t n_word_slots;
    int32_t *symbols;
    struct pair_count *counts; /* open addressing; pair MERGE_EMPTY: free */
    int64_t n_counts, n_count_slots;
    struct pair_count *heap;
    int64_t n_heap, heap_cap;
    struct buf merges; /* the JSON list's inside */
};

static int64_t *word_slot(struct trainer *t, const char *text, size_t len)
{
    uint64_t h = XXH3_64bits(text, len);
    for (;; h++) {
        int64_t *const slot = &t->word_slots[h & (uint64_t)(t->n_word_slots - 1)];
        const struct word *const w = *slot == 0 ? NULL : &t->words[*slot - 1];
        if (w == NULL ||
            (w->text_len == len && memcmp(t->text.data + w->text_off, text, len) == 0))
            return slot;
    }
}

static void grow_word_slots(struct trainer *t)
{
    mem_free(t->word_slots);
    t->n_word_slots = t->n_word_slots == 0 ? 4096 : 2 * t->n_word_slots;
    t->word_slots = mem_alloc((size_t)t->n_word_slots * sizeof(*t->word_slots));
    for (int64_t i = 0; i < t->n_words; i++)
        *word_slot(t, t->text.data + t->words[i].text_off, t->words[i].text_len) = i +
                                                                                   1;
}

static void count_word(struct trainer *t, const char *text, size_t len)
{
    if (2 * (t->n_words + 1) > t->n_word_slots)
        grow_word_slots(t);
    int64_t *const slot = word_slot(t, text, len);
    if (*slot != 0) {
        t->words[*slot - 1].count++;
        return;
    }
    if (t->n_words == t->words_cap) {
        const int64_t cap = 2 * t->words_cap + 256;
        t->words = mem_realloc(t->words, (size_t)t->words_cap * sizeof(*t->words),
                               (size_t)cap * sizeof(*t->words));
        t->words_cap = cap;
    }
    t->words[t->n_words++] = (struct word){
        .count = 1, .text_off = t->text.len, .text_len = len};
    *slot = t->n_words;
    buf_append(&t->text, text, len);
}

static int count_words(struct trainer *t, const char *const *texts, const size_t *lens,
                       int64_t n_texts)
{
    struct pretokenizer pre = {.n_steps = 1};
    struct encode_scratch s = {.n_heap = 0};
    int status = STATUS_OK;
    pre.steps[0].behavior = SPLIT_ISOLATED;
    TRY(pattern_compile(&pre.steps[0].pattern, train_pattern, strlen(train_pattern),
                        "tokenizer training"));
    for (int64_t i = 0; status == STATUS_OK && i < n_texts; i++) {
        if (!utf8_is_valid(texts[i], lens[i])) {
            status = ERR(ERR_INPUT, "text %lld to train a tokenizer on is not UTF-8",
                         (long long)i);
            break;
        }
        text_set(&s.text, texts[i], 0, lens[i], false);
        status = pretokenizer_run(&pre, &s);
        for (int64_t j = 0; status == STATUS_OK && j < s.spans.n; j++)
            count_word(t, s.text.bytes.data + s.spans.data[j].off, s.spans.data[j].len);
    }
    encode_scratch_release(&s);
    pretokenizer_release(&pre);
    return status;
}

/* Specials, then the byte alphabet by code point. */
static int start_vocab(struct trainer *t, int32_t byte_ids[256])
{
    int32_t id = 0;
    for (; id < N_SPECIAL; id++)
        TRY(vocab_add(&t->vocab, special_tokens[id], strlen(special_tokens[id]), id));
    for (int32_t cp = 0; cp < 0x200; cp++) {
        char text[5] = "";
        const int byte = byte_from_char(cp);
        if (byte < 0)
            continue;
        TRY(vocab_add(&t->vocab, text, utf8_put(text, cp), id));
        byte_ids[byte] = id++;
    }
    return STATUS_OK;
}

static void spell_words(struct trainer *t, const int32_t byte_ids[256])
{
    t->symbols = mem_alloc(t->text.len * sizeof(*t->symbols));
    for (size_t i = 0; i < t->text.len; i++)
        t->symbols[i] = byte_ids[(unsigned char)t->text.data[i]];
    for (int64_t i = 0; i < t->n_words; i++) {
        t->words[i].off = (int64_t)t->words[i].text_off;
        t->words[i].n = (int64_t)t->words[i].text_len;
    }
}

static struct pair_count *count_slot(struct trainer *t, uint64_t pair)
{
    uint64_t h = (pair ^ pair >> 29) * 0x9E3779B97F4A7C15u;
    for (h ^= h >> 32;; h++) {
        struct pair_count *const c = &t->counts[h & (uint64_t)(t->n_count_slots - 1)];
        if (c->pair == pair || c->pair == MERGE_EMPTY)
            return c;
    }
}

static void grow_counts(struct trainer *t)
{
    struct pair_count *const old = t->counts;
    const int64_t n = t->n_count_slots;
    t->n_count_slots = n == 0 ? 4096 : 2 * n;
    t->counts = mem_alloc((size_t)t->n_count_slots * sizeof(*t->counts));
    for (int64_t i = 0; i < t->n_count_slots; i++)
        t->counts[i].pair = MERGE_EMPTY;
    for (int64_t i = 0; i < n; i++)
        if (old[i].pair != MERGE_EMPTY)
            *count_slot(t, old[i].pair) = old[i];
    mem_free(old);
}

/* Whether a comes out of the heap before b. */
static bool is_better(const struct pair_count *a, const struct pair_count *b)
{
    return a->count != b->count ? a->count > b->count : a->pair < b->pair;
}

static void heap_push(struct trainer *t, struct pair_count e)
{
    if (t->n_heap == t->heap_cap) {
        const int64_t cap = 2 * t->heap_cap + 1024;
        t->heap = mem_realloc(t->heap, (size_t)t->heap_cap * sizeof(*t->heap),
                              (size_t)cap * sizeof(*t->heap));
        t->heap_cap = cap;
    }
    int64_t i = t->n_heap++;
    while (i > 0 && is_better(&e, &t->heap[(i - 1) / 2])) {
        t->heap[i] = t->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    t->heap[i] = e;
}

static struct pair_count heap_pop(struct trainer *t)
{
    const struct pair_count top = t->heap[0], e = t->heap[--t->n_heap];
    int64_t i = 0;
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= t->n_heap)
            break;
        if (child + 1 < t->n_heap && is_better(&t->heap[child + 1], &t->heap[child]))
            child++;
        if (!is_better(&t->heap[child], &e))
            break;
        t->heap[i] = t->heap[child];
        i = child;
    }
    t->heap[i] = e;
    return top;
}

/* Adds `by` to the counts of all pairs of a word; grown counts become candidates. */
static void count_pairs(struct trainer *t, const struct word *w, int64_t by)
{
    const int32_t *const s = t->symbols + w->off;
    for (int64_t i = 0; i + 1 < w->n; i++) {
        if (2 * (t->n_counts + 1) > t->n_count_slots)
            grow_counts(t);
        const uint64_t pair = (uint64_t)(uint32_t)s[i] << 32 | (uint32_t)s[i + 1];
        struct pair_count *const c = count_slot(t, pair);
        if (c->pair == MERGE_EMPTY) {
            *c = (struct pair_count){.pair = pair};
            t->n_counts++;
        }
        c->count += by;
        if (by > 0)
            heap_push(t, *c);
    }
}

static bool has_pair(const struct trainer *t, const struct word *w, int32_t left,
                     int32_t right)
{
    const int32_t *const s = t->symbols + w->off;
    for (int64_t i = 0; i + 1 < w->n; i++)
        if (s[i] == left && s[i + 1] == right)
            return true;
    return false;
}

static void merge_word(struct trainer *t, struct word *w, int32_t left, int32_t right,
                       int32_t id)
{
    int32_t *const s = t->symbols + w->off;
    int64_t n = 0;
    for (int64_t i = 0; i < w->n; i++) {
        const bool is_here = i + 1 < w->n && s[i] == left && s[i + 1] == right;
        s[n++] = is_here ? id : s[i];
        i += is_here;
    }
    w->n = n;
}

static int merge_pair(struct trainer *t, uint64_t pair)
{
    const int32_t left = (int32_t)(pair >> 32), right = (int32_t)(uint32_t)pair;
    const struct piece *const a = &t->vocab.pieces[left];
    const struct piece *const b = &t->vocab.pieces[right];
    const size_t n_left = a->text_len;
    struct buf text = {0};
    int status = STATUS_OK;
    buf_append(&text, t->vocab.pool.data + a->text_off, a->text_len);
    buf_append(&text, t->vocab.pool.data + b->text_off, b->text_len);
    int32_t id = vocab_find(&t->vocab, text.data, text.len);
    const bool is_special = id >= 0 && id < N_SPECIAL; /* never made of text */
    if (id == TOKEN_NONE) {
        id = (int32_t)t->vocab.n;
        status = vocab_add(&t->vocab, text.data, text.len, id);
    }
    if (!is_special) {
        buf_puts(&t->merges, t->merges.len == 0 ? "\n      [" : ",\n      [");
        buf_put_json_string(&t->merges, text.data, n_left);
        buf_puts(&t->merges, ", ");
        buf_put_json_string(&t->merges, text.data + n_left, text.len - n_left);
        buf_puts(&t->merges, "]");
    }
    buf_release(&text);
    TRY(status);
    for (int64_t i = 0; i < t->n_words && !is_special; i++) {
        struct word *const w = &t->words[i];
        if (!has_pair(t, w, left, right))
            continue;
        count_pairs(t, w, -w->count);
        merge_word(t, w, left, right, id);
        count_pairs(t, w, w->count);
    }
    return STATUS_OK;
}

static int learn_merges(struct trainer *t, int64_t n_vocab)
{
    for (int64_t i = 0; i < t->n_words; i++)
        count_pairs(t, &t->words[i], t->words[i].count);
    while (t->n_heap > 0 && t->vocab.n < n_vocab) {
        const struct pair_count top = heap_pop(t);
        const int64_t count = count_slot(t, top.pair)->count;
        if (count < 2)
            continue;
        if (count != top.count)
            heap_push(t, (struct pair_count){.pair = top.pair, .count = count});
        else
            TRY(merge_pair(t, top.pair));
    }
    return STATUS_OK;
}

static void put_special(struct buf *out, int32_t id)
{
    buf_printf(out,
               "%s\n    {\"id\": %d, \"content\": \"%s\", \"single_word\": false, "
               "\"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
               "\"special\": true}",
               id == 0 ? "" : ",", id, special_tokens[id]);
}

static void put_tokenizer(const struct trainer *t, struct buf *out)
{
    buf_puts(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n"
                  "  \"padding\": null,\n  \"added_tokens\": [");
    for (int32_t id = 0; id < N_SPECIAL; id++)
        put_special(out, id);
    buf_puts(out, "\n  ],\n  \"normalizer\": null,\n  \"pre_tokenizer\": {\n"
                  "    \"type\": \"Sequence\",\n    \"pretokenizers\": [\n"
                  "      {\"type\": \"Split\", \"pattern\": {\"Regex\": ");
    buf_put_json_string(out, train_pattern, strlen(train_pattern));
    buf_puts(out,
             "},\n       \"behavior\": \"Isolated\", \"invert\": false},\n"
             "      {\"type\": \"ByteLevel\", \"add_prefix_space\": false,\n"
             "       \"trim_offsets\": true, \"use_regex\": false}\n    ]\n  },\n");
    buf_printf(
        out,
        "  \"post_processor\": {\n    \"type\": \"TemplateProcessing\",\n"
        "    \"single\": [{\"SpecialToken\": {\"id\": \"%s\", \"type_id\": 0}},\n"
        "               {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],\n"
        "    \"pair\": [{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}},\n"
        "             {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}],\n"
        "    \"special_tokens\": {\"%s\": {\"id\": \"%s\", \"ids\": [%d], "
        "\"tokens\": [\"%s\"]}}\n  },\n",
        special_tokens[BOS_ID], special_tokens[BOS_ID], special_tokens[BOS_ID], BOS_ID,
        special_tokens[BOS_ID]);
    buf_puts(out, "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true,"
                  " \"trim_offsets\": true,\n              \"use_regex\": true},\n"
                  "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                  "    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n"
                  "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
                  "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n"
                  "    \"vocab\": {");
    for (int64_t id = 0; id < t->vocab.n; id++) {
        const struct piece *const p = &t->vocab.pieces[id];
        buf_puts(out, id == 0 ? "\n      " : ",\n      ");
        buf_put_json_string(out, t->vocab.pool.data + p->text_off, p->text_len);
        buf_printf(out, ": %lld", (long long)id);
    }
    buf_puts(out, "\n    },\n    \"merges\": [");
    buf_append(out, t->merges.data, t->merges.len);
    buf_puts(out, "\n    ]\n  }\n}\n");
}

static int write_file(const char *dir, const char *name, const struct buf *text)
{
    char *const path = io_join(dir, name);
    const int status = io_write_atomic(path, text->data, text->len);
    mem_free(path);
    return status;
}

static int write_files(const struct trainer *t, const char *dir)
{
    static const char config[] =
        "{\n  \"bos_token\": \"<s>\",\n  \"eos_token\": \"</s>\",\n"
        "  \"pad_token\": \"<pad>\",\n  \"clean_up_tokenization_spaces\": false,\n"
        "  \"model_max_length\": 1000000000000000019884624838656,\n"
        "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n";
    struct buf out = {0};
    int status = STATUS_OK;
    TRY_OUT(io_mkdirs(dir));
    put_tokenizer(t, &out);
    TRY_OUT(write_file(dir, "tokenizer.json", &out));
    buf_reset(&out);
    buf_puts(&out, config);
    TRY_OUT(write_file(dir, "tokenizer_config.json", &out));
out:
    buf_release(&out);
    return status;
}

static void trainer_release(struct trainer *t)
{
    vocab_release(&t->vocab);
    buf_release(&t->text);
    buf_release(&t->merges);
    mem_free(t->words);
    mem_free(t->word_slots);
    mem_free(t->symbols);
    mem_free(t->counts);
    mem_free(t->heap);
}

int tokenizer_train(const char *dir, const char *const *texts, const size_t *lens,
                    int64_t n_texts, int64_t n_vocab)
{
    struct trainer t = {0};
    int32_t byte_ids[256];
    int status = STATUS_OK;
    if (n_vocab < 256 + N_SPECIAL || n_vocab > MAX_TOKENS / 2)
        return ERR(ERR_CONFIG, "a tokenizer of %lld tokens; %d to %d are possible",
                   (long long)n_vocab, 256 + N_SPECIAL, MAX_TOKENS / 2);
    TRY_OUT(start_vocab(&t, byte_ids));
    TRY_OUT(count_words(&t, texts, lens, n_texts));
    spell_words(&t, byte_ids);
    TRY_OUT(learn_merges(&t, n_vocab));
    TRY_OUT(write_files(&t, dir));
out:
    trainer_release(&t);
    return status;
}
