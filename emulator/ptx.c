/*
 * The module: its directives in the order of the text. Functions are passed over (what
 * calls one is an error), as are debug sections and remarks for the assembler.
 */
#include "emulator/ptx_parse.h"

#include <string.h>

#include "emulator/machine.h"

/* 64 bytes at least for every item, mnemonic and name of the text; see arena_take */
enum { ARENA_PER_BYTE = 64, ARENA_BASE = 1 << 20, MIN_GROWTH = 16 };

void *ptx_grown(void *array, int64_t n, int64_t *cap, size_t item_bytes)
{
    if (n < *cap)
        return array;
    const int64_t grown = *cap ? 2 * *cap : MIN_GROWTH;
    array = mem_realloc(array, (size_t)*cap * item_bytes, (size_t)grown * item_bytes);
    *cap = grown;
    return array;
}

/* ".target sm_90a, debug" */
static int parse_target(struct ptx_parser *p)
{
    struct ptx_lex *l = &p->lex;
    struct ptx_module *m = &p->owned->module;
    const struct ptx_token t = l->t;
    if (t.kind != PTX_T_NAME || t.len < 5 || memcmp(t.text, "sm_", 3) != 0)
        return ptx_lex_error(l, "expected a target like sm_90a");
    for (int32_t i = 3; i < t.len && t.text[i] >= '0' && t.text[i] <= '9'; i++)
        m->target = m->target * 10 + (t.text[i] - '0');
    m->is_specific = t.text[t.len - 1] == 'a';
    TRY(ptx_lex_next(l));
    while (ptx_lex_is(l, ',')) {
        TRY(ptx_lex_next(l));
        TRY(ptx_lex_next(l));
    }
    return 0;
}

static int parse_address_size(struct ptx_parser *p)
{
    int64_t bits;
    TRY(ptx_lex_take_int(&p->lex, 64, 64, &bits));
    return 0;
}

/* A declaration ends with ";", a definition with "}". */
static int skip_function(struct ptx_parser *p)
{
    struct ptx_lex *l = &p->lex;
    while (!ptx_lex_is(l, ';') && !ptx_lex_is(l, '{')) {
        if (l->t.kind == PTX_T_END)
            return ptx_lex_error(l, "the text ends in a .func");
        TRY(ptx_lex_next(l));
    }
    return ptx_lex_is(l, ';') ? ptx_lex_next(l) : ptx_lex_skip_braces(l);
}

static int parse_shared(struct ptx_parser *p, bool is_extern)
{
    struct ptx_shape s;
    TRY(ptx_parse_shape(p, &s));
    const struct ptx_name entry = {.text = s.name.text,
                                   .len = s.name.len,
                                   .kind = is_extern ? PTX_N_DYNAMIC : PTX_N_STATIC,
                                   .value = s.bytes,
                                   .align = s.align,
                                   .kernel = -1};
    if (!is_extern && s.n_dims > 0 && s.dims[0] < 0)
        return ptx_lex_error_at(&p->lex, s.name.text, "'%.*s' has no length",
                                s.name.len, s.name.text);
    if (!ptx_names_add(&p->names, &entry))
        return ptx_lex_error_at(&p->lex, s.name.text, "'%.*s' is declared twice",
                                s.name.len, s.name.text);
    return ptx_lex_take(&p->lex, ';');
}

/* .visible and the like, which say nothing here but .extern */
static bool is_linkage(const struct ptx_lex *l, bool *is_extern)
{
    static const char *const words[] = {"visible", "weak", "common"};
    if (ptx_lex_text(l, PTX_T_DIRECTIVE, "extern")) {
        *is_extern = true;
        return true;
    }
    for (int64_t i = 0; i < ARRAY_LEN(words); i++)
        if (ptx_lex_text(l, PTX_T_DIRECTIVE, words[i]))
            return true;
    return false;
}

/* ".section .debug_info { ... }" */
static int skip_section(struct ptx_parser *p)
{
    struct ptx_lex *l = &p->lex;
    while (l->t.kind != PTX_T_END && !ptx_lex_is(l, '{'))
        TRY(ptx_lex_next(l));
    return ptx_lex_skip_braces(l);
}

static int parse_directive(struct ptx_parser *p, const char *word, bool is_extern)
{
    TRY(ptx_lex_next(&p->lex));
    if (strcmp(word, "version") == 0)
        return ptx_lex_next(&p->lex); /* what is used of it is known, or an error */
    if (strcmp(word, "target") == 0)
        return parse_target(p);
    if (strcmp(word, "address_size") == 0)
        return parse_address_size(p);
    if (strcmp(word, "entry") == 0)
        return ptx_parse_entry(p);
    if (strcmp(word, "func") == 0)
        return skip_function(p);
    if (strcmp(word, "shared") == 0)
        return parse_shared(p, is_extern);
    if (strcmp(word, "global") == 0)
        return ptx_parse_variables(p, false, is_extern);
    if (strcmp(word, "const") == 0)
        return ptx_parse_variables(p, true, is_extern);
    if (strcmp(word, "section") == 0)
        return skip_section(p);
    if (strcmp(word, "pragma") == 0 || strcmp(word, "alias") == 0)
        return ptx_lex_skip_statement(&p->lex);
    return ptx_lex_error(&p->lex, "'.%s' is not supported here", word);
}

static int parse_statement(struct ptx_parser *p)
{
    struct ptx_lex *l = &p->lex;
    bool is_extern = false;
    while (is_linkage(l, &is_extern))
        TRY(ptx_lex_next(l));
    if (ptx_lex_text(l, PTX_T_DIRECTIVE, "file") ||
        ptx_lex_text(l, PTX_T_DIRECTIVE, "loc"))
        return ptx_lex_skip_line(l);
    char word[32];
    if (l->t.kind != PTX_T_DIRECTIVE || l->t.len >= (int32_t)sizeof word)
        return ptx_lex_error(l, "expected a directive such as .entry");
    memcpy(word, l->t.text, (size_t)l->t.len);
    word[l->t.len] = 0;
    return parse_directive(p, word, is_extern);
}

static void build_release(struct ptx_build *b)
{
    mem_free(b->consts);
    mem_free(b->kernel.insns);
    mem_free(b->places);
    mem_free(b->refs);
    mem_free(b->dynamic);
}

static int parse_module(struct ptx_parser *p, const char *text, size_t n_bytes,
                        const char *name)
{
    TRY(ptx_lex_open(&p->lex, text, n_bytes, name));
    while (p->lex.t.kind != PTX_T_END)
        TRY(parse_statement(p));
    if (p->owned->module.target == 0)
        return ptx_lex_error(&p->lex, "no .target");
    return 0;
}

int ptx_module_parse(const char *text, size_t n_bytes, const char *name,
                     struct ptx_module **out)
{
    struct ptx_parser p = {.owned = mem_alloc(sizeof *p.owned)};
    int status = arena_init(&p.owned->arena, n_bytes * ARENA_PER_BYTE + ARENA_BASE,
                            "the parts of a PTX module");
    if (status != 0) {
        mem_free(p.owned);
        return status;
    }
    ptx_names_init(&p.names);
    ptx_names_init(&p.mnemonics);
    status = parse_module(&p, text, n_bytes, name);
    build_release(&p.build);
    ptx_names_release(&p.names);
    ptx_names_release(&p.mnemonics);
    if (status == 0)
        *out = &p.owned->module;
    else
        ptx_module_free(&p.owned->module);
    return status;
}

void ptx_module_free(struct ptx_module *m)
{
    if (!m)
        return;
    struct ptx_owned_module *owned = (struct ptx_owned_module *)m;
    for (int32_t i = 0; i < m->n_kernels; i++)
        mem_free(m->kernels[i].insns);
    for (int32_t i = 0; i < m->n_variables; i++)
        CHECK(machine_free(m->variables[i].data) == 0, "variable %s: %s",
              m->variables[i].name, status_message());
    mem_free(m->kernels);
    mem_free(m->variables);
    arena_release(&owned->arena);
    mem_free(owned);
}

const struct ptx_kernel *ptx_module_kernel(const struct ptx_module *m, const char *name)
{
    for (int32_t i = 0; i < m->n_kernels; i++)
        if (strcmp(m->kernels[i].name, name) == 0)
            return &m->kernels[i];
    return NULL;
}
