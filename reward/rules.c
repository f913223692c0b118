/* Tables, compilation, windows. */
#include <stdio.h>
#include <string.h>

#include "reward/rules_types.h"

enum {
    MATCH_LIMIT = 200000,
    HEAP_LIMIT_KIB = 8 * 1024,
    JIT_STACK_MIN = 32 * 1024,
    JIT_STACK_MAX = 256 * 1024,
    WINDOW_BYTES = 8192,
    LEAD_BYTES = 64,     /* before a window, for \b and the like */
    OVERLAP_BYTES = 2200 /* a match may be so long */
};

#define BOX "\\\\(?:boxed|fbox)[ \\t]{0,8}+(?=[{\\d])"
#define TAG "(?i)<answer>|<\\|begin_of_box\\|>"
#define HASHES "#{4,}+"
/* "answer is", "Answer:", "**Answer**:", "answer": , in the languages of the data sets
 */
#define ANSWER                                                                         \
    "(?i)(?:(?:\\b|_)ans(?:wer)?[*_\"'\\h]{0,6}(?:(?:is|are|equals|would "             \
    "be)\\b|[:=])|"                                                                    \
    "(?:\xE7\xAD\x94\xE6\xA1\x88|\xE7\xAD\x94\xE3\x81\x88)"                            \
    "(?:\xE6\x98\xAF|\xE4\xB8\xBA|\xE7\x82\xBA|\xE3\x81\xAF)?|"                        \
    "(?:\xEC\xA0\x95\xEB\x8B\xB5|\xEB\x8B\xB5)(?:\xEC\x9D\x80)?\\h?:|"                 \
    "\\br\xC3\xA9ponse (?:finale )?est\\b|\\brespuesta (?:final )?es\\b|"              \
    "\\bresposta (?:final )?\xC3\xA9|\\brisposta (?:finale )?\xC3\xA8|"                \
    "\\bantwort (?:ist|lautet)\\b|\xD0\xBE\xD1\x82\xD0\xB2\xD0\xB5\xD1\x82)"           \
    "(?:\\h?:|\\h?\xEF\xBC\x9A)?"
#define LETTER_A "(?:^|\\n)[ \\t]{0,8}+A:"
#define MATH                                                                           \
    "\\$\\$?((?:[^$\\\\\\n]++|\\\\[^\\n])++)\\$\\$?|"                                  \
    "\\\\\\[((?:[^\\\\]++|\\\\[^\\[\\]()])++)\\\\\\]|"                                 \
    "\\\\\\(((?:[^\\\\]++|\\\\[^\\[\\]()])++)\\\\\\)"
#define BOLD "\\*\\*([^*\\n]{1,200}+)\\*\\*"
/* a number that nothing makes part of another: not after letters, ^ or \ */
#define NUMBER                                                                         \
    "(?<![\\w^\\\\.,/"                                                                 \
    "])(?:-|\xE2\x88\x92)?+[$]?+(?:\\d{1,3}(?:,\\d{3})++(?![\\d])|\\d++)"              \
    "(?:\\.\\d++)?+(?:/\\d++)?+|(?<![\\d.,])(?:(?<=[\x80-\xFF$( \\[=-])-?|^)\\.\\d++"

static const struct rule rule_box = {"boxed", BOX, COMMIT_BOX, true};
static const struct rule rule_tag = {"tag", TAG, COMMIT_TAG, true};
static const struct rule rule_hashes = {"hashes", HASHES, COMMIT_LINE, true};
static const struct rule rule_code = {"code", NULL, COMMIT_CODE, true};
static const struct rule rule_answer = {"answer", ANSWER, COMMIT_LINE, true};
static const struct rule rule_letter = {"a_line", LETTER_A, COMMIT_LINE, true};
static const struct rule rule_whole = {"whole", NULL, COMMIT_WHOLE, false};
static const struct rule rule_math = {"math", MATH, COMMIT_GROUP, false};
static const struct rule rule_bold = {"bold", BOLD, COMMIT_GROUP, false};
static const struct rule rule_number = {"number", NUMBER, COMMIT_NUMBER, false};

/* The order is the order of trust; the last four only where nothing is marked. */
static const struct rule *const styles[REWARD_N_STYLES][RULES_MAX] = {
    [REWARD_STYLE_AUTO] = {&rule_box, &rule_tag, &rule_hashes, &rule_code, &rule_answer,
                           &rule_letter, &rule_whole, &rule_math, &rule_bold,
                           &rule_number},
    [REWARD_STYLE_GSM8K] = {&rule_hashes, &rule_code, &rule_letter},
    [REWARD_STYLE_MATH] = {&rule_box, &rule_code, &rule_answer},
    [REWARD_STYLE_BOXED] = {&rule_box},
    [REWARD_STYLE_ANSWER] = {&rule_tag, &rule_code, &rule_answer, &rule_letter},
};

/* Groups: 1 a think block opens, 2 it closes, 3 end of a turn, 4 a new question */
#define THINK "think(?:ing)?|thought|reasoning|scratchpad"
#define CONTROL                                                                        \
    "(?i)(<(?:" THINK ")>|\xE2\x97\x81think\xE2\x96\xB7)|"                             \
    "(</(?:" THINK ")>|\xE2\x97\x81/think\xE2\x96\xB7)|"                               \
    "(</"                                                                              \
    "s>|<\\|(?:im_end|im_start|endoftext|eot_id|eom_id|end_of_text|end|user|return|"   \
    "start_header_id)\\|>|<eos>|<(?:end|start)_of_turn>|\\[/?INST\\])|"                \
    "("
#define QUESTION                                                                       \
    "(?:^|\\n)[ \\t*#>]{0,8}+(?:question|q|problem|user|human|"                        \
    "instruction)[*]{0,2}:"
#define GAP                                                                            \
    "(?i)\\A(?:[\\s$.]|\\\\q?quad|\\\\text[ ]?\\{[ ,.;]{0,3}\\}|\\\\[][(),;! \\\\])*+" \
    "(?:([,;&]|and\\b|or\\b|\\\\text[ ]?\\{\\s{0,4}(?:and|or)\\s{0,4}\\})"             \
    "(?:[\\s$.,]|\\\\q?quad|\\\\text[ ]?\\{[ ,.;]{0,3}\\}|\\\\[][(),;! "               \
    "\\\\]|and\\b|or\\b)*+"                                                            \
    "(?:[a-z](?:_\\{?\\w\\}?)?(?:\\([a-z]\\))?[ ]?=[ ]?)?+)?+\\z"
#define CLAUSE                                                                         \
    "(?i)(?:,?[ ](?:because|since|which|where|as|so|when|if|for)\\b|;[ ]|,[ "          \
    "](?=[a-z]{2})|[ ]\\((?:because|since|as)\\b|[ ]\\()"

static void *pcre_alloc(PCRE2_SIZE bytes, void *user)
{
    (void)user;
    return mem_alloc(bytes);
}

static void pcre_free(void *p, void *user)
{
    (void)user;
    mem_free(p);
}

static int compile(pcre2_code **out, pcre2_general_context *general, const char *key,
                   const char *pattern)
{
    const uint32_t flags = PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP;
    int error;
    PCRE2_SIZE off;
    pcre2_compile_context *const context = pcre2_compile_context_create(general);
    CHECK(context != NULL, "no memory for a pattern");
    pcre2_set_max_pattern_length(context, 2048);
    pcre2_code *const code = pcre2_compile((PCRE2_SPTR)pattern, strlen(pattern), flags,
                                           &error, &off, context);
    pcre2_compile_context_free(context);
    if (code == NULL) {
        PCRE2_UCHAR why[120] = "";
        (void)pcre2_get_error_message(error, why, sizeof(why));
        return ERR(ERR_CONFIG,
                   "%s: the pattern does not compile: %s at character %zu of \"%s\"",
                   key, (const char *)why, (size_t)off + 1, pattern);
    }
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* else it is interpreted */
    *out = code;
    return STATUS_OK;
}

/* A pattern of the configuration: of bounded length, and never an empty match. */
static int compile_own(pcre2_code **out, pcre2_general_context *general,
                       const char *key, const char *pattern)
{
    uint32_t least = 0;
    if (strlen(pattern) > REWARD_MAX_PATTERN)
        return ERR(ERR_CONFIG, "%s: %zu characters, at most %d are accepted", key,
                   strlen(pattern), (int)REWARD_MAX_PATTERN);
    TRY(compile(out, general, key, pattern));
    CHECK(pcre2_pattern_info(*out, PCRE2_INFO_MINLENGTH, &least) == 0, "%s", key);
    if (least == 0)
        return ERR(
            ERR_CONFIG,
            "%s: \"%s\" can match nothing at all; give it at least one character "
            "that must be there",
            key, pattern);
    return STATUS_OK;
}

static int compile_control(struct reward_rules *r)
{
    char text[2 * REWARD_MAX_PATTERN + 512];
    const char *const cut = r->cut_text != NULL ? r->cut_text : QUESTION;
    if (r->cut_text != NULL) { /* on its own first, for its own error message */
        pcre2_code *own = NULL;
        const int status = compile_own(&own, r->general, "reward.cut", r->cut_text);
        pcre2_code_free(own);
        TRY(status);
    }
    snprintf(text, sizeof(text), "%s%s)", CONTROL, cut);
    return compile(&r->control, r->general, "reward.cut", text);
}

static int compile_rules(struct reward_rules *r)
{
    const struct rule *const *const list = styles[r->options.style];
    for (int i = 0; list[i] != NULL && r->pattern == NULL; i++)
        if (list[i]->commit != COMMIT_CODE || r->options.code == REWARD_CODE_ARITHMETIC)
            r->rule[r->n++] = *list[i];
    if (r->pattern != NULL)
        r->rule[r->n++] = (struct rule){"custom", r->pattern, COMMIT_GROUP, true};
    for (int i = 0; i < r->n; i++)
        if (r->rule[i].pattern != NULL && r->pattern == NULL)
            TRY(compile(&r->code[i], r->general, r->rule[i].name, r->rule[i].pattern));
    if (r->pattern == NULL)
        return STATUS_OK;
    TRY(compile_own(&r->code[0], r->general, "reward.pattern", r->pattern));
    uint32_t n_groups = 0;
    CHECK(pcre2_pattern_info(r->code[0], PCRE2_INFO_CAPTURECOUNT, &n_groups) == 0,
          "rule");
    if (n_groups == 0)
        r->rule[0].commit = COMMIT_LINE;
    return STATUS_OK;
}

static int rules_compile(struct reward_rules *r, const struct reward_options *o)
{
    r->options = *o;
    r->policy = (struct policy){.percent = (enum policy_percent)o->percent,
                                .order = (enum policy_order)o->order,
                                .rounding = (enum policy_rounding)o->rounding,
                                .fractions = (enum policy_fractions)o->fractions};
    if (o->pattern != NULL && *o->pattern != 0)
        r->pattern = mem_strdup(o->pattern);
    if (o->cut != NULL && *o->cut != 0)
        r->cut_text = mem_strdup(o->cut);
    r->general = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    r->limits = pcre2_match_context_create(r->general);
    CHECK((r->general != NULL) & (r->limits != NULL), "no memory for PCRE2");
    pcre2_set_match_limit(r->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(r->limits, MATCH_LIMIT);
    pcre2_set_heap_limit(r->limits, HEAP_LIMIT_KIB);
    TRY(compile_control(r));
    const struct {
        pcre2_code **code;
        const char *pattern;
    } parts[] = {{&r->gap, GAP}, {&r->clause, CLAUSE}, {&r->box, BOX}};
    for (int64_t i = 0; i < ARRAY_LEN(parts); i++)
        TRY(compile(parts[i].code, r->general, "built in", parts[i].pattern));
    return compile_rules(r);
}

int reward_rules_create(struct reward_rules **out, const struct reward_options *options)
{
    static const struct reward_options defaults = {0};
    struct reward_rules *const r = mem_alloc(sizeof(*r));
    const int status = rules_compile(r, options == NULL ? &defaults : options);
    if (status == STATUS_OK)
        *out = r;
    else
        reward_rules_free(r);
    return status;
}

void reward_rules_free(struct reward_rules *r)
{
    if (r == NULL)
        return;
    for (int i = 0; i < r->n; i++)
        pcre2_code_free(r->code[i]);
    pcre2_code_free(r->control);
    pcre2_code_free(r->gap);
    pcre2_code_free(r->clause);
    pcre2_code_free(r->box);
    pcre2_match_context_free(r->limits);
    pcre2_general_context_free(r->general);
    mem_free(r->pattern);
    mem_free(r->cut_text);
    mem_free(r);
}

bool reward_rule_at(const struct reward_rules *r, int i, const char **name,
                    const char **pattern)
{
    if (i < 0 || i >= r->n)
        return false;
    *name = r->rule[i].name;
    *pattern = r->rule[i].pattern == NULL ? "" : r->rule[i].pattern;
    return true;
}

int reward_scratch_create(struct reward_scratch **out, const struct reward_rules *r)
{
    struct reward_scratch *const s = mem_alloc(sizeof(*s));
    s->rules = r;
    s->limits = pcre2_match_context_copy(r->limits);
    s->match = pcre2_match_data_create(8, r->general);
    s->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, r->general);
    CHECK((s->limits != NULL) & (s->match != NULL), "no memory for PCRE2");
    if (s->stack != NULL) /* NULL where PCRE2 has no JIT */
        pcre2_jit_stack_assign(s->limits, NULL, s->stack);
    pool_init(&s->pool);
    s->answer.pool = s->gold.pool = &s->pool;
    s->answer_tokens.pool = s->gold_tokens.pool = &s->pool;
    *out = s;
    return STATUS_OK;
}

void reward_scratch_free(struct reward_scratch *s)
{
    if (s == NULL)
        return;
    pcre2_jit_stack_free(s->stack);
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->limits);
    pool_release(&s->pool);
    mem_free(s);
}

static bool match_at(struct reward_scratch *s, const pcre2_code *code, const char *text,
                     size_t len, size_t off, uint32_t flags)
{
    const bool is_match = pcre2_match(code, (PCRE2_SPTR)text, len, off, flags, s->match,
                                      s->limits) > 0;
    const size_t end = is_match ? pcre2_get_ovector_pointer(s->match)[1] : len;
    s->n_scanned += (int64_t)(end - off);
    return is_match;
}

static const PCRE2_SIZE *ends_of(const struct reward_scratch *s)
{
    return pcre2_get_ovector_pointer(s->match);
}

/* The last group that took part, so that alternatives may have their own. */
static void set_match(const struct reward_scratch *s, size_t base,
                      struct rules_match *out)
{
    const PCRE2_SIZE *const ends = ends_of(s);
    *out = (struct rules_match){.start = base + ends[0], .end = base + ends[1]};
    const uint32_t n = pcre2_get_ovector_count(s->match);
    for (uint32_t i = n < 4 ? n - 1 : 3; i >= 1; i--)
        if (ends[2 * i] != PCRE2_UNSET) {
            out->group_start = base + ends[2 * i];
            out->group_end = base + ends[2 * i + 1];
        }
}

/* Matches that begin in [from, to) of a window, the newest kept in a ring of `max`. */
static int window_matches(struct reward_scratch *s, int i, const char *text,
                          size_t lead, size_t from, size_t to, size_t end,
                          struct rules_match *out, int max)
{
    int n = 0;
    size_t off = from;
    while (off < to &&
           match_at(s, i < 0 ? s->rules->box : s->rules->code[i], text + lead,
                    end - lead, off - lead, lead > 0 ? PCRE2_NOTBOL : 0)) {
        struct rules_match m;
        set_match(s, lead, &m);
        if (m.start >= to)
            break;
        out[n++ % max] = m;
        off = m.end; /* no pattern matches nothing */
    }
    return n;
}

/* Turns the ring round: newest first. */
static int newest_first(struct rules_match *out, int n, int max)
{
    struct rules_match ring[32];
    const int kept = n < max ? n : max;
    memcpy(ring, out, (size_t)kept * sizeof(*ring));
    for (int k = 0; k < kept; k++)
        out[k] = ring[(n - 1 - k) % max];
    return kept;
}

int rules_last_few(struct reward_scratch *s, int i, const char *text, size_t from,
                   size_t to, struct rules_match *out, int max)
{
    CHECK(max <= 32, "%d matches", max);
    for (size_t end = to; end > from;) {
        const size_t begin = end - from > WINDOW_BYTES ? end - WINDOW_BYTES : from;
        const size_t lead = begin - from > LEAD_BYTES ? begin - LEAD_BYTES : from;
        const size_t last = to - end > OVERLAP_BYTES ? end + OVERLAP_BYTES : to;
        const int n = window_matches(s, i, text, lead, begin, end, last, out, max);
        if (n > 0)
            return newest_first(out, n, max);
        end = begin;
    }
    return 0;
}

bool rules_last(struct reward_scratch *s, int i, const char *text, size_t from,
                size_t to, struct rules_match *out)
{
    return rules_last_few(s, i, text, from, to, out, 1) > 0;
}

static bool is_blank_between(const char *text, size_t from, size_t to)
{
    while (from < to && memchr(" \t\r\n", text[from], 4) != NULL)
        from++;
    return from == to;
}

bool rules_region(struct reward_scratch *s, const char *text, size_t len, size_t *from,
                  size_t *to)
{
    const PCRE2_SIZE *const ends = ends_of(s);
    size_t start = 0, off = 0;
    bool is_thinking = false;
    while (match_at(s, s->rules->control, text, len, off, 0)) {
        const size_t begin = ends[0];
        const bool is_open = ends[2] != PCRE2_UNSET, is_close = ends[4] != PCRE2_UNSET,
                   is_end = ends[6] != PCRE2_UNSET;
        off = ends[1];
        if (is_end && is_blank_between(text, start, begin) && !is_thinking) {
            start = off; /* a token of the chat format before the text */
        } else if (is_end || (!is_open && !is_close && !is_thinking)) {
            len = begin;
            break;
        } else if (is_open) {
            is_thinking = true;
        } else if (is_close) { /* also one that the prompt has opened */
            is_thinking = false;
            start = off;
        }
    }
    *from = start;
    *to = len;
    return !is_thinking;
}

int rules_gap(struct reward_scratch *s, const char *text, size_t from, size_t to)
{
    if (to - from > 96 || !match_at(s, s->rules->gap, text + from, to - from, 0, 0))
        return 0;
    return ends_of(s)[2] != PCRE2_UNSET ? 1 : 2;
}
