/*
 * tiktoken's rank files: one token a line, its bytes in base64, a blank, its rank,
 * which is its id. Merging takes the leftmost pair of lowest rank, where any two parts
 * of a token are a pair; a whole piece that is a token is taken as it is.
 *
 * The files hold neither the pattern nor the special tokens. Both come from a table by
 * the number of ranks, or by config.json's model_type beside the file; names of special
 * tokens also from tokenizer_config.json's added_tokens_decoder, as the checkpoint's
 * own code takes them. Kimi's wrapper also cuts texts of over 400,000 characters and
 * runs of over 25,000 blanks or others; that is left out here.
 */
#include <string.h>

#include "core/io.h"
#include "model/tokenizer_private.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define BLANKS "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define LOWER "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define LEAD "[^\\r\\n\\p{L}\\p{N}]?"

static const char gpt2_pattern[] = "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| "
                                   "?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char cl100k_pattern[] = CONTRACTIONS
    "|" LEAD "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" BLANKS;
static const char qwen_pattern[] = CONTRACTIONS
    "|" LEAD "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" BLANKS;
static const char o200k_pattern[] = LEAD
    "[" UPPER "]*[" LOWER "]+" CONTRACTIONS "?|" LEAD "[" UPPER "]+[" LOWER
    "]*" CONTRACTIONS "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" BLANKS;
static const char kimi_pattern[] =
    "[\\p{Han}]+|" LEAD "[" UPPER "&&[^\\p{Han}]]*[" LOWER
    "&&[^\\p{Han}]]+" CONTRACTIONS "?|" LEAD "[" UPPER "&&[^\\p{Han}]]+[" LOWER
    "&&[^\\p{Han}]]*" CONTRACTIONS
    "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" BLANKS;

struct special {
    int32_t offset; /* from the number of ranks */
    const char *name;
};
struct family {
    const char *name, *model_type; /* model_type: a prefix; NULL: none */
    int64_t n_ranks;
    const char *pattern;
    const char
        *reserved; /* name of unnamed special tokens, with their number; or NULL */
    int32_t n_reserved;
    bool is_numbered_by_id; /* the number in `reserved` is the id, not the offset */
    const struct special *specials;
};

static const struct special llama3_specials[] = {
    {0, "<|begin_of_text|>"}, {1, "<|end_of_text|>"}, {6, "<|start_header_id|>"},
    {7, "<|end_header_id|>"}, {9, "<|eot_id|>"},      {0, NULL}};
static const struct special gpt2_specials[] = {{0, "<|endoftext|>"}, {0, NULL}};
static const struct special cl100k_specials[] = {
    {1, "<|endoftext|>"},  {2, "<|fim_prefix|>"},   {3, "<|fim_middle|>"},
    {4, "<|fim_suffix|>"}, {20, "<|endofprompt|>"}, {0, NULL}};
static const struct special o200k_specials[] = {
    {1, "<|endoftext|>"}, {20, "<|endofprompt|>"}, {0, NULL}};
static const struct special qwen_specials[] = {
    {0, "<|endoftext|>"}, {1, "<|im_start|>"}, {2, "<|im_end|>"}, {0, NULL}};
static const struct special kimi_specials[] = {{0, "[BOS]"},
                                               {1, "[EOS]"},
                                               {2, "<|im_end|>"},
                                               {3, "<|im_user|>"},
                                               {4, "<|im_assistant|>"},
                                               {6, "<|start_header_id|>"},
                                               {7, "<|end_header_id|>"},
                                               {9, "[EOT]"},
                                               {10, "<|im_system|>"},
                                               {11, "<|tool_calls_section_begin|>"},
                                               {12, "<|tool_calls_section_end|>"},
                                               {13, "<|tool_call_begin|>"},
                                               {14, "<|tool_call_argument_begin|>"},
                                               {15, "<|tool_call_end|>"},
                                               {17, "<|im_middle|>"},
                                               {254, "[UNK]"},
                                               {255, "[PAD]"},
                                               {0, NULL}};

static const struct family families[] = {
    {"Kimi", "kimi", 163584, kimi_pattern, "<|reserved_token_%d|>", 256, true,
     kimi_specials},
    {"o200k_base", NULL, 199998, o200k_pattern, NULL, 0, false, o200k_specials},
    {"cl100k_base", NULL, 100256, cl100k_pattern, NULL, 0, false, cl100k_specials},
    {"Qwen", "qwen", 151643, qwen_pattern, "<|extra_%d|>", 208, false, qwen_specials},
    {"Llama 3", NULL, 128000, cl100k_pattern, "<|reserved_special_token_%d|>", 256,
     false, llama3_specials},
    {"r50k_base", NULL, 50256, gpt2_pattern, NULL, 0, false, gpt2_specials},
};

struct reader {
    struct tokenizer *t;
    const char *path;
    int64_t line, n;
};

static int line_error(const struct reader *r, const char *what)
{
    return ERR(ERR_INPUT, "%s:%lld: %s, expected base64 and a rank", r->path,
               (long long)r->line, what);
}

static int sextet(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                 "0123456789+/";
    const char *const at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits);
}

/* Appends the bytes of strict base64; false where it is none. */
static bool decode_base64(struct buf *out, const char *s, size_t len)
{
    const size_t n_pad = len < 2 ? 0
                                 : (size_t)(s[len - 1] == '=') +
                                       (s[len - 1] == '=' && s[len - 2] == '=');
    uint32_t bits = 0;
    if (len == 0 || len % 4 != 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        const int six = i >= len - n_pad ? 0 : sextet(s[i]);
        if (six < 0)
            return false;
        bits = bits << 6 | (uint32_t)six;
        if (i % 4 == 3) {
            const char three[] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
            buf_append(out, three, 3 - (i + 1 == len ? n_pad : 0));
            bits = 0;
        }
    }
    return true;
}

static int read_line(struct reader *r, const char *s, size_t len, struct buf *bytes)
{
    const int64_t limit = MAX_TOKENS;
    const char *const space = memchr(s, ' ', len);
    int64_t rank = 0;
    buf_reset(bytes);
    if (space == NULL || !decode_base64(bytes, s, (size_t)(space - s)))
        return line_error(r, "not base64");
    for (const char *p = space + 1; p < s + len || p == space + 1; p++) {
        if (p >= s + len || *p < '0' || *p > '9' || rank >= limit)
            return line_error(r, "not a rank");
        rank = 10 * rank + (*p - '0');
    }
    /* every line is a token: a rank far beyond them is damage */
    if (rank > 2 * r->line + 1024)
        return line_error(r, "the rank is out of range");
    struct vocab_text *const e = vocab_text(&r->t->vocab, bytes->data, bytes->len);
    if (e->id != TOKEN_NONE)
        return line_error(r, "the token is listed twice");
    if (vocab_piece(&r->t->vocab, (int32_t)rank) != NULL)
        return line_error(r, "the rank is given twice");
    e->id = (int32_t)rank;
    e->is_model = true;
    vocab_set_piece(&r->t->vocab, (int32_t)rank, bytes->data, bytes->len, false);
    r->n++;
    return STATUS_OK;
}

static int read_ranks(struct reader *r, const char *text, size_t len)
{
    struct buf bytes = {0};
    int status = STATUS_OK;
    for (size_t at = 0; at < len && status == STATUS_OK;) {
        const char *const end = memchr(text + at, '\n', len - at);
        const size_t n = (end == NULL ? len : (size_t)(end - text)) - at;
        const size_t n_text = n > 0 && text[at + n - 1] == '\r' ? n - 1 : n;
        r->line++;
        if (n_text > 0)
            status = read_line(r, text + at, n_text, &bytes);
        at += n + 1;
    }
    buf_release(&bytes);
    return status;
}

/* A file beside the rank file; *out NULL where there is none. */
static int read_beside(const char *path, const char *name, json_t **out)
{
    const char *const slash = strrchr(path, '/');
    char *const dir = slash == NULL ? mem_strdup(".")
                                    : mem_strndup(path, (size_t)(slash - path) + 1);
    char *const file = io_join(dir, name);
    *out = NULL;
    const int status = io_exists(file) ? json_parse_file(out, file) : STATUS_OK;
    mem_free(file);
    mem_free(dir);
    return status;
}

static int find_family(const struct reader *r, const struct family **out)
{
    json_t *config = NULL;
    const char *type = "";
    *out = NULL;
    TRY(read_beside(r->path, "config.json", &config));
    int status = STATUS_OK;
    if (json_is_object(config))
        status = json_get_string(config, "model_type", &type, NULL, r->path);
    for (int64_t i = 0; status == STATUS_OK && i < ARRAY_LEN(families); i++) {
        const char *const prefix = families[i].model_type;
        if (*out == NULL &&
            (families[i].n_ranks == r->n ||
             (prefix != NULL && strncmp(type, prefix, strlen(prefix)) == 0)))
            *out = &families[i];
    }
    if (status == STATUS_OK && *out == NULL)
        status = ERR(ERR_INPUT,
                     "%s: %lld ranks and model_type \"%s\" are of no known model; its "
                     "pattern is not in the file (known: Kimi 163584, o200k_base "
                     "199998, cl100k_base 100256, Qwen 151643, Llama 3 128000, "
                     "r50k_base 50256 ranks)",
                     r->path, (long long)r->n, type);
    json_decref(config);
    return status;
}

static int add_special(struct reader *r, struct ids *taken, int64_t id,
                       const char *name, size_t len)
{
    if (id < r->n || id >= r->n + 4096)
        return ERR(ERR_INPUT,
                   "%s: special token \"%.80s\" has id %lld, expected %lld to "
                   "%lld",
                   r->path, name, (long long)id, (long long)r->n,
                   (long long)r->n + 4095);
    struct vocab_text *const e = vocab_text(&r->t->vocab, name, len);
    if (e->id != TOKEN_NONE || vocab_piece(&r->t->vocab, (int32_t)id) != NULL)
        return STATUS_OK; /* named already */
    e->id = (int32_t)id;
    e->is_special = true;
    vocab_set_piece(&r->t->vocab, (int32_t)id, name, len, false);
    r->t->vocab.pieces[id].is_special = r->t->vocab.pieces[id].is_added = true;
    ids_push(taken, (int32_t)id);
    return STATUS_OK;
}

/* {"163584": {"content": "[BOS]", ...}, ...} */
static int add_configured(struct reader *r, struct ids *taken)
{
    json_t *config = NULL, *value;
    const char *key;
    int status = STATUS_OK;
    TRY(read_beside(r->path, "tokenizer_config.json", &config));
    json_object_foreach(json_object_get(config, "added_tokens_decoder"), key, value)
    {
        const json_t *const content = json_object_get(value, "content");
        char *end = NULL;
        const long long id = strtoll(key, &end, 10);
        if (status != STATUS_OK)
            break;
        if (end == key || *end != '\0' || json_string_length(content) == 0)
            status = ERR(ERR_INPUT,
                         "%s: tokenizer_config.json: added_tokens_decoder[\"%s\"] has "
                         "no \"content\"",
                         r->path, key);
        else if (id >= r->n)
            status = add_special(r, taken, id, json_string_value(content),
                                 json_string_length(content));
    }
    json_decref(config);
    return status;
}

static int add_specials(struct reader *r, const struct family *f)
{
    struct ids taken = {0};
    int status = add_configured(r, &taken);
    int32_t n_unnamed = 0;
    for (const struct special *s = f->specials; status == STATUS_OK && s->name != NULL;
         s++)
        status = add_special(r, &taken, r->n + s->offset, s->name, strlen(s->name));
    for (int64_t id = r->n; status == STATUS_OK && id < r->n + f->n_reserved; id++) {
        struct buf name = {0};
        if (vocab_piece(&r->t->vocab, (int32_t)id) != NULL)
            continue;
        const char *const number = strchr(f->reserved, '%');
        buf_append(&name, f->reserved, (size_t)(number - f->reserved));
        buf_printf(&name, "%lld",
                   f->is_numbered_by_id ? (long long)id : (long long)n_unnamed++);
        buf_puts(&name, number + 2);
        status = add_special(r, &taken, id, name.data, name.len);
        buf_release(&name);
    }
    struct added_token *const list = mem_alloc((size_t)taken.n * sizeof(*list));
    for (int64_t i = 0; i < taken.n; i++) {
        const struct piece *const p = &r->t->vocab.pieces[taken.data[i]];
        list[i] = (struct added_token){
            .id = taken.data[i],
            .pattern = mem_strndup(r->t->vocab.pool.data + p->text_off, p->text_len),
            .len = p->text_len};
    }
    added_set_take(&r->t->raw, list, taken.n);
    ids_release(&taken);
    return status;
}

int tokenizer_read_tiktoken(struct tokenizer *t, const char *text, size_t len,
                            const char *path)
{
    struct reader r = {.t = t, .path = path};
    const struct family *f = NULL;
    TRY(read_ranks(&r, text, len));
    TRY(find_family(&r, &f));
    TRY(add_specials(&r, f));
    t->bpe.is_raw = t->bpe.is_rank = t->bpe.has_ignore_merges = true;
    for (int byte = 0; byte < 256; byte++) {
        const char c = (char)byte;
        t->bpe.byte_ids[byte] = vocab_find_model(&t->vocab, &c, 1);
        if (t->bpe.byte_ids[byte] == TOKEN_NONE)
            return ERR(ERR_INPUT, "%s: no token for the byte 0x%02X", path,
                       (unsigned)byte);
    }
    struct split_step *const step = &t->pre.steps[t->pre.n_steps++];
    *step = (struct split_step){.kind = STEP_PATTERN, .behavior = SPLIT_ISOLATED};
    t->decoder.steps[t->decoder.n_steps++].kind = DECODE_BYTE_LEVEL;
    return pattern_compile(&step->pattern, f->pattern, strlen(f->pattern), path);
}
