/*
 * The patterns are fixed and free of nested quantifiers; every repetition is possessive
 * or bounded, and both are anchored. The limits below are the second line of defence:
 * a limit error is NUMBER_LIMIT. The subject is a window of the text, because in UTF
 * mode PCRE2 checks the whole subject at each call: windows keep many calls linear.
 * MATCH_INVALID_UTF lets any bytes through. No UCP: \d is 0-9.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "reward/number.h"

#include <pcre2.h>

#include "core/mem.h"

enum {
    WINDOW_BYTES = 2 * RATIONAL_MAX_DIGITS + 240, /* fraction, commas, lead-in */
    TAIL_BYTES = 48,                              /* longest word of the tail */
    MATCH_LIMIT = 100000,
    HEAP_LIMIT_KIB = 16 * 1024,
    JIT_STACK_MIN = 32 * 1024,
    JIT_STACK_MAX = 256 * 1024,
};

enum { GROUP_SIGN = 1, GROUP_SIGN_2, GROUP_INT, GROUP_DEC, GROUP_DEN, N_GROUPS };

#define SIGN "([-+\\x{2212}]?+)"
#define BLANK "[\\h]"

static const char number_pattern[] =
    "[\\s\\h*`\"']{0,64}+\\K" SIGN "(?:\\\\?+[$\\x{20AC}\\x{A3}\\x{A5}]" BLANK
    "?+)?+" SIGN "(?=\\.?\\d)"
    "((?>\\d{1,3}(?:,\\d{3})++(?!\\d|,\\d)|\\d++)?+)(?:\\.(\\d++))?+"
    "(?(4)|(?:" BLANK "?+/" BLANK "?+(\\d++))?+)(?:" BLANK "?+\\\\?+%)?+";

/* Other digits and fractions of Unicode, operators, scales, a second alternative,
 * variables, LaTeX commands other than a unit's. "<" stays allowed: end tokens. */
static const char tail_pattern[] =
    "(?i)(?:\\p{N}|" BLANK "*+(?:[+^\\x{D7}\\x{F7}\\x{B1}\\x{221A}\\x{3C0}]|"
    "(?:or|to|and|through|hundred|thousand|million|billion|trillion|dozen)s?\\b|"
    "\\\\(?!(?:text|mathrm)\\b)[a-z])|" BLANK "?+[xyz]\\b|x[0-9a-f]++\\b|"
    "\\*[\\w(]|" BLANK "++\\*" BLANK "*+\\w)";

struct number_rules {
    pcre2_general_context *general;
    pcre2_match_context *limits;
    pcre2_code *number, *tail;
    bool is_jit;
};

struct number_scratch {
    pcre2_match_context *limits; /* the rules' own, with this thread's JIT stack */
    pcre2_match_data *match;
    pcre2_jit_stack *stack;
};

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

static int compile(pcre2_code **out, pcre2_general_context *general,
                   const char *pattern, bool is_jit)
{
    const uint32_t flags = PCRE2_ANCHORED | PCRE2_UTF | PCRE2_MATCH_INVALID_UTF |
                           PCRE2_NEVER_BACKSLASH_C;
    pcre2_compile_context *const ctx = pcre2_compile_context_create(general);
    CHECK(ctx != NULL, "no memory for a pattern");
    int code;
    PCRE2_SIZE off;
    pcre2_code *const compiled = pcre2_compile(
        (PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, flags, &code, &off, ctx);
    pcre2_compile_context_free(ctx);
    if (compiled == NULL)
        return ERR(ERR_INTERNAL, "PCRE2 error %d at offset %zu of %s", code,
                   (size_t)off, pattern);
    /* Without JIT support the interpreter does the same. */
    if (is_jit)
        (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
    *out = compiled;
    return STATUS_OK;
}

int number_rules_create(struct number_rules **out, bool is_jit)
{
    struct number_rules *const r = mem_alloc(sizeof(*r));
    int status = STATUS_OK;
    r->is_jit = is_jit;
    r->general = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    CHECK(r->general != NULL, "no memory for PCRE2");
    r->limits = pcre2_match_context_create(r->general);
    CHECK(r->limits != NULL, "no memory for PCRE2");
    pcre2_set_match_limit(r->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(r->limits, MATCH_LIMIT);
    pcre2_set_heap_limit(r->limits, HEAP_LIMIT_KIB);
    TRY_OUT(compile(&r->number, r->general, number_pattern, is_jit));
    TRY_OUT(compile(&r->tail, r->general, tail_pattern, is_jit));
    *out = r;
    return STATUS_OK;
out:
    number_rules_free(r);
    return status;
}

void number_rules_free(struct number_rules *r)
{
    if (r == NULL)
        return;
    pcre2_code_free(r->tail);
    pcre2_code_free(r->number);
    pcre2_match_context_free(r->limits);
    pcre2_general_context_free(r->general);
    mem_free(r);
}

int number_scratch_create(struct number_scratch **out, const struct number_rules *r)
{
    struct number_scratch *const s = mem_alloc(sizeof(*s));
    s->limits = pcre2_match_context_copy(r->limits);
    s->match = pcre2_match_data_create(N_GROUPS, r->general);
    if (r->is_jit)
        s->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, r->general);
    if (s->limits == NULL || s->match == NULL) {
        number_scratch_free(s);
        return ERR(ERR_MEMORY, "no memory for the verifier's match data");
    }
    /* NULL where PCRE2 has no JIT: then there is nothing to assign */
    if (s->stack != NULL)
        pcre2_jit_stack_assign(s->limits, NULL, s->stack);
    *out = s;
    return STATUS_OK;
}

void number_scratch_free(struct number_scratch *s)
{
    if (s == NULL)
        return;
    pcre2_jit_stack_free(s->stack);
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->limits);
    mem_free(s);
}

static struct rational_digits group(const struct number_scratch *s, const char *text,
                                    uint32_t i)
{
    const PCRE2_SIZE *const ends = pcre2_get_ovector_pointer(s->match);
    if (i >= pcre2_get_ovector_count(s->match) || ends[2 * i] == PCRE2_UNSET)
        return (struct rational_digits){"", 0};
    return (struct rational_digits){text + ends[2 * i], ends[2 * i + 1] - ends[2 * i]};
}

static bool is_minus(struct rational_digits sign)
{
    return sign.len > 0 && sign.text[0] != '+'; /* '-' or the bytes of U+2212 */
}

enum number_status number_parse(struct number *out, const struct number_rules *r,
                                struct number_scratch *s, const char *text, size_t len,
                                size_t off)
{
    const char *const at = text + off;
    const size_t left = len - off;
    const size_t window = left < WINDOW_BYTES ? left : WINDOW_BYTES;
    const int rc = pcre2_match(r->number, (PCRE2_SPTR)at, window, 0, 0, s->match,
                               s->limits);
    if (rc == PCRE2_ERROR_NOMATCH)
        return NUMBER_NONE;
    if (rc < 0)
        return NUMBER_LIMIT;
    const PCRE2_SIZE *const ends = pcre2_get_ovector_pointer(s->match);
    const size_t start = ends[0], end = ends[1];
    if (end == window && window < left)
        return NUMBER_LIMIT; /* it may go on past the window */
    const struct rational_digits sign = group(s, at, GROUP_SIGN),
                                 sign_2 = group(s, at, GROUP_SIGN_2);
    if (sign.len > 0 && sign_2.len > 0)
        return NUMBER_NONE;
    struct number n = {.off = off + start, .len = end - start};
    const enum rational_status status = rational_set(
        &n.value, is_minus(sign) || is_minus(sign_2), group(s, at, GROUP_INT),
        group(s, at, GROUP_DEC), group(s, at, GROUP_DEN));
    if (status != RATIONAL_OK)
        return status == RATIONAL_TOO_LONG ? NUMBER_LIMIT : NUMBER_NONE;
    const size_t tail = left - end < TAIL_BYTES ? left - end : TAIL_BYTES;
    const int tail_rc = pcre2_match(r->tail, (PCRE2_SPTR)(at + end), tail, 0, 0,
                                    s->match, s->limits);
    if (tail_rc >= 0)
        return NUMBER_PART;
    if (tail_rc != PCRE2_ERROR_NOMATCH)
        return NUMBER_LIMIT;
    *out = n;
    return NUMBER_OK;
}
