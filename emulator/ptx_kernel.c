/*
 * A kernel: its parameters, its directives, and the statements of its body except
 * instructions. A register gets a slot where it is declared; registers of inner scopes
 * have slots of their own, so copies that land late find theirs untouched.
 */
#include "emulator/ptx_parse.h"

#include <inttypes.h>
#include <string.h>

/* of a warp's register file: 64 bytes are a vector of the widest machines */
enum { SLOT_ALIGN = 64, MAX_FILE_BYTES = 64 << 20 };

int ptx_new_slots(struct ptx_parser *p, int32_t bytes, int64_t n, int32_t *slot_out)
{
    const int64_t align = bytes == 1 ? (int64_t)sizeof(uint32_t) : SLOT_ALIGN;
    const int64_t each = bytes == 1 ? (int64_t)sizeof(uint32_t) : bytes * PTX_LANES;
    const int64_t slot = ((int64_t)p->build.kernel.file_bytes + align - 1) & -align;
    if (n > (MAX_FILE_BYTES - slot) / each)
        return ptx_lex_error(&p->lex, "more than %d MiB of registers",
                             MAX_FILE_BYTES >> 20);
    p->build.kernel.file_bytes = (size_t)(slot + n * each);
    *slot_out = (int32_t)slot;
    return 0;
}

/* --- the head --- */

static int add_name(struct ptx_parser *p, const struct ptx_token *t,
                    struct ptx_name entry)
{
    entry.text = t->text;
    entry.len = t->len;
    if (!ptx_names_add(&p->names, &entry))
        return ptx_lex_error_at(&p->lex, t->text, "'%.*s' is declared twice", t->len,
                                t->text);
    return 0;
}

static int parse_params(struct ptx_parser *p)
{
    struct ptx_lex *l = &p->lex;
    struct ptx_kernel *k = &p->build.kernel;
    int64_t n_commas = 0;
    for (const char *c = l->t.text; c < l->end && *c != ')'; c++)
        n_commas += *c == ',';
    struct ptx_param *params = arena_take(&p->owned->arena,
                                          (size_t)(n_commas + 1) * sizeof *params);
    k->params = params;
    TRY(ptx_lex_take(l, '('));
    while (!ptx_lex_is(l, ')')) {
        if (!ptx_lex_text(l, PTX_T_DIRECTIVE, "param"))
            return ptx_lex_error(l, "expected .param");
        if (k->n_params > n_commas)
            return ptx_lex_error(l, "parameters without commas");
        struct ptx_shape s;
        int64_t off;
        TRY(ptx_lex_next(l));
        TRY(ptx_parse_shape(p, &s));
        TRY(ptx_place(p, &s, &k->param_bytes, &off));
        params[k->n_params++] = (struct ptx_param){.off = (int32_t)off,
                                                   .bytes = (int32_t)s.bytes};
        TRY(add_name(p, &s.name, (struct ptx_name){.kind = PTX_N_PARAM, .value = off}));
        if (!ptx_lex_is(l, ')'))
            TRY(ptx_lex_take(l, ','));
    }
    return ptx_lex_next(l);
}

/* "256, 1, 1" */
static int take_product(struct ptx_parser *p, int64_t *out)
{
    int64_t product = 1;
    for (int32_t i = 0; i < 3; i++) {
        int64_t n;
        TRY(ptx_lex_take_int(&p->lex, 1, 65536, &n));
        product *= n;
        if (!ptx_lex_is(&p->lex, ','))
            break;
        TRY(ptx_lex_next(&p->lex));
    }
    *out = product;
    return 0;
}

/* ".maxntid 256, 1, 1": directives between parameters and body */
static int parse_limits(struct ptx_parser *p)
{
    struct ptx_lex *l = &p->lex;
    while (l->t.kind == PTX_T_DIRECTIVE) {
        const struct ptx_token t = l->t;
        const bool is_threads = ptx_lex_text(l, PTX_T_DIRECTIVE, "maxntid") ||
                                ptx_lex_text(l, PTX_T_DIRECTIVE, "reqntid");
        const bool is_cluster = ptx_lex_text(l, PTX_T_DIRECTIVE, "reqnctapercluster");
        if (ptx_lex_text(l, PTX_T_DIRECTIVE, "pragma")) {
            TRY(ptx_lex_skip_statement(l));
            continue;
        }
        TRY(ptx_lex_next(l));
        int64_t product = 1;
        if (l->t.kind == PTX_T_INT)
            TRY(take_product(p, &product));
        if (is_threads)
            p->build.kernel.max_threads = product > 1024 ? 1024 : (int32_t)product;
        if (is_cluster && product != 1)
            return ptx_lex_error_at(
                l, t.text, "clusters of %" PRId64 " blocks, only 1 is supported",
                product);
    }
    return 0;
}

/* --- declarations of the body --- */

/* "%r<205>" or "%p", the token at the name */
static int declare_register(struct ptx_parser *p, int32_t bytes, int32_t width)
{
    struct ptx_lex *l = &p->lex;
    const struct ptx_token t = l->t;
    if (t.kind != PTX_T_NAME)
        return ptx_lex_error(l, "expected the name of a register");
    TRY(ptx_lex_next(l));
    int64_t n = 1;
    const bool is_range = ptx_lex_is(l, '<');
    if (is_range) {
        TRY(ptx_lex_next(l));
        TRY(ptx_lex_take_int(l, 0, INT32_MAX, &n));
        TRY(ptx_lex_take(l, '>'));
    }
    struct ptx_name entry = {
        .kind = is_range ? PTX_N_RANGE : PTX_N_REG, .bytes = bytes, .value = n};
    entry.width = width;
    TRY(ptx_new_slots(p, bytes, n, &entry.slot));
    return add_name(p, &t, entry);
}

static int parse_registers(struct ptx_parser *p)
{
    struct ptx_lex *l = &p->lex;
    char type[16] = "";
    if (l->t.kind == PTX_T_DIRECTIVE && l->t.len < (int32_t)sizeof type)
        memcpy(type, l->t.text, (size_t)l->t.len);
    const int32_t bytes = ptx_type_bytes(type);
    if (bytes == 0)
        return ptx_lex_error(l, "'.%.*s' is no type of a register", l->t.len,
                             l->t.text);
    const bool is_pred = strcmp(type, "pred") == 0;
    do {
        TRY(ptx_lex_next(l));
        TRY(declare_register(p, is_pred ? 1 : bytes < 4 ? 4 : bytes, bytes));
    } while (ptx_lex_is(l, ','));
    return ptx_lex_take(l, ';');
}

/* .shared and .local of the body */
static int parse_placed(struct ptx_parser *p, enum ptx_name_kind kind, int32_t *end)
{
    struct ptx_shape s;
    int64_t off;
    TRY(ptx_parse_shape(p, &s));
    TRY(ptx_place(p, &s, end, &off));
    TRY(add_name(p, &s.name, (struct ptx_name){.kind = kind, .value = off}));
    return ptx_lex_take(&p->lex, ';');
}

static int declare_label(struct ptx_parser *p)
{
    struct ptx_lex *l = &p->lex;
    const struct ptx_token t = l->t;
    TRY(ptx_lex_next(l));
    TRY(ptx_lex_take(l, ':'));
    struct ptx_name entry = {.kind = PTX_N_LABEL, .value = p->build.kernel.n_insns};
    if (ptx_lex_text(l, PTX_T_DIRECTIVE, "callprototype"))
        return ptx_lex_error(l, PTX_NO_CALLS);
    if (!ptx_lex_text(l, PTX_T_DIRECTIVE, "branchtargets"))
        return add_name(p, &t, entry);
    int64_t n_commas = 0;
    for (const char *c = l->p; c < l->end && *c != ';'; c++)
        n_commas += *c == ',';
    entry.kind = PTX_N_TARGETS;
    entry.value = 0; /* labels so far */
    entry.items = arena_take(&p->owned->arena,
                             (size_t)(n_commas + 1) * sizeof *entry.items);
    do {
        TRY(ptx_lex_next(l));
        if (l->t.kind != PTX_T_NAME || entry.value > n_commas)
            return ptx_lex_error(l, "expected a label");
        ptx_add_ref(p, &entry.items[entry.value++]);
        TRY(ptx_lex_next(l));
    } while (ptx_lex_is(l, ','));
    TRY(ptx_lex_take(l, ';'));
    return add_name(p, &t, entry);
}

static int parse_directive(struct ptx_parser *p)
{
    struct ptx_lex *l = &p->lex;
    struct ptx_kernel *k = &p->build.kernel;
    const struct ptx_token t = l->t;
    if (ptx_lex_text(l, PTX_T_DIRECTIVE, "loc") ||
        ptx_lex_text(l, PTX_T_DIRECTIVE, "file"))
        return ptx_lex_skip_line(l);
    if (ptx_lex_text(l, PTX_T_DIRECTIVE, "pragma"))
        return ptx_lex_skip_statement(l);
    const bool is_reg = ptx_lex_text(l, PTX_T_DIRECTIVE, "reg");
    const bool is_shared = ptx_lex_text(l, PTX_T_DIRECTIVE, "shared");
    const bool is_local = ptx_lex_text(l, PTX_T_DIRECTIVE, "local");
    const bool is_const = ptx_lex_text(l, PTX_T_DIRECTIVE, "const");
    const bool is_global = ptx_lex_text(l, PTX_T_DIRECTIVE, "global");
    TRY(ptx_lex_next(l));
    if (is_reg)
        return parse_registers(p);
    if (is_shared)
        return parse_placed(p, PTX_N_SHARED, &k->shared_bytes);
    if (is_local)
        return parse_placed(p, PTX_N_LOCAL, &k->local_bytes);
    if (is_const || is_global)
        return ptx_parse_variables(p, is_const, false);
    if (t.len == 5 && memcmp(t.text, "param", 5) == 0)
        return ptx_lex_error_at(l, t.text, PTX_NO_CALLS);
    return ptx_lex_error_at(l, t.text, "'.%.*s' is not supported in a kernel", t.len,
                            t.text);
}

/* --- scopes --- */

/* Labels named in the scope that ends, and declared in it; the others may be declared
 * further out. */
static void resolve_labels(struct ptx_parser *p, int64_t first_ref)
{
    struct ptx_build *b = &p->build;
    int64_t n = first_ref;
    for (int64_t i = first_ref; i < b->n_refs; i++) {
        const struct ptx_ref ref = b->refs[i];
        const struct ptx_name *e = ptx_names_find(&p->names, ref.text, ref.len, false);
        if (e && e->kind == PTX_N_LABEL && e->depth == p->names.depth)
            ref.operand->bits = e->value;
        else
            b->refs[n++] = ref;
    }
    b->n_refs = n;
}

static int parse_scope(struct ptx_parser *p, int32_t depth);

static int parse_body_statement(struct ptx_parser *p, int32_t depth)
{
    struct ptx_lex *l = &p->lex;
    if (ptx_lex_is(l, '{'))
        return parse_scope(p, depth + 1);
    if (ptx_lex_is(l, ';'))
        return ptx_lex_next(l);
    if (l->t.kind == PTX_T_DIRECTIVE)
        return parse_directive(p);
    if (l->t.kind == PTX_T_NAME && ptx_lex_is_label(l))
        return declare_label(p);
    if (l->t.kind == PTX_T_NAME || ptx_lex_is(l, '@'))
        return ptx_parse_instruction(p);
    return ptx_lex_error(l, "expected an instruction");
}

static int parse_scope(struct ptx_parser *p, int32_t depth)
{
    struct ptx_lex *l = &p->lex;
    const char *const start = l->t.text;
    if (depth > 64)
        return ptx_lex_error(l, "braces nested more than 64 deep");
    TRY(ptx_lex_take(l, '{'));
    ptx_names_open(&p->names);
    const int64_t first_ref = p->build.n_refs;
    while (!ptx_lex_is(l, '}')) {
        if (l->t.kind == PTX_T_END)
            return ptx_lex_error_at(l, start, "a brace without end");
        TRY(parse_body_statement(p, depth));
    }
    resolve_labels(p, first_ref);
    ptx_names_close(&p->names);
    return ptx_lex_next(l);
}

static int parse_body(struct ptx_parser *p)
{
    struct ptx_build *b = &p->build;
    int64_t n_statements;
    TRY(ptx_lex_count(&p->lex, ';', true, &n_statements));
    b->cap = n_statements + 1; /* a ret may be added */
    b->kernel.insns = mem_alloc((size_t)b->cap * sizeof *b->kernel.insns);
    b->places = mem_alloc((size_t)b->cap * sizeof *b->places);
    TRY(parse_scope(p, 0));
    if (b->n_refs > 0)
        return ptx_lex_error_at(&p->lex, b->refs[0].text,
                                "'%.*s' is neither declared nor a label",
                                b->refs[0].len, b->refs[0].text);
    return 0;
}

static void build_reset(struct ptx_build *b)
{
    mem_free(b->places);
    b->places = NULL;
    b->n_refs = 0;
    b->n_dynamic = 0;
    b->consts_cap = 0;
    memset(b->special, 0, sizeof b->special);
    /* slot 0 stays unused, so that 0 can mean none */
    b->kernel = (struct ptx_kernel){.file_bytes = SLOT_ALIGN};
}

static void take_kernel(struct ptx_parser *p)
{
    struct ptx_module *m = &p->owned->module;
    m->kernels = ptx_grown(m->kernels, m->n_kernels, &p->owned->kernels_cap,
                           sizeof *m->kernels);
    struct ptx_kernel *k = &m->kernels[m->n_kernels++];
    *k = p->build.kernel;
    const size_t bytes = (size_t)k->n_consts * sizeof *k->consts;
    struct ptx_const *consts = arena_take(&p->owned->arena, bytes);
    if (bytes > 0)
        memcpy(consts, k->consts, bytes);
    k->consts = consts;
    p->build.kernel = (struct ptx_kernel){0};
}

int ptx_parse_entry(struct ptx_parser *p)
{
    struct ptx_lex *l = &p->lex;
    if (l->t.kind != PTX_T_NAME)
        return ptx_lex_error(l, "expected the name of a kernel");
    build_reset(&p->build);
    char *name = arena_take(&p->owned->arena, (size_t)l->t.len + 1);
    memcpy(name, l->t.text, (size_t)l->t.len);
    p->build.kernel.name = name;
    if (ptx_module_kernel(&p->owned->module, name))
        return ptx_lex_error(l, "the kernel '%s' is defined twice", name);
    TRY(ptx_lex_next(l));
    ptx_names_open(&p->names);
    if (ptx_lex_is(l, '('))
        TRY(parse_params(p));
    TRY(parse_limits(p));
    if (ptx_lex_is(l, ';')) { /* declared only */
        ptx_names_close(&p->names);
        return ptx_lex_next(l);
    }
    TRY(parse_body(p));
    TRY(ptx_finish(p));
    ptx_names_close(&p->names);
    take_kernel(p);
    return 0;
}
