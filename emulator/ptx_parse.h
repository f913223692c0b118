/*
 * The parser's own types: tokens, scoped names, and the kernel being built. Used by the
 * ptx*.c files only. Names and tokens point into the module's text, which outlives the
 * parse; what the module keeps is copied into its arena.
 */
#ifndef EMULATOR_PTX_PARSE_H
#define EMULATOR_PTX_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/status.h"
#include "emulator/ptx.h"

/* --- ptx_lex.c --- */
enum ptx_token_kind {
    PTX_T_END,
    PTX_T_NAME,      /* also %name, $name */
    PTX_T_DIRECTIVE, /* .name; text without the dot */
    PTX_T_INT,       /* bits */
    PTX_T_FLOAT,     /* bits of a double, or of a float if is_single (0f3F800000) */
    PTX_T_STRING,    /* text between the quotes */
    PTX_T_PUNCT      /* one character */
};
struct ptx_token {
    enum ptx_token_kind kind;
    const char *text;
    int32_t len;
    int32_t line;
    int64_t bits;
    bool is_single;
};
struct ptx_lex {
    const char *name, *text, *end;
    const char *p; /* what follows the token */
    int32_t line;  /* of p */
    struct ptx_token t;
};
WARN_UNUSED int ptx_lex_open(struct ptx_lex *l, const char *text, size_t n_bytes,
                             const char *name);
WARN_UNUSED int ptx_lex_next(struct ptx_lex *l);
/* The token is this punctuation, or this name or directive. */
bool ptx_lex_is(const struct ptx_lex *l, char punct);
bool ptx_lex_text(const struct ptx_lex *l, enum ptx_token_kind kind, const char *text);
/* Takes the punctuation, or is an error that names what was found. */
WARN_UNUSED int ptx_lex_take(struct ptx_lex *l, char punct);
WARN_UNUSED int ptx_lex_take_int(struct ptx_lex *l, int64_t min, int64_t max,
                                 int64_t *out);
/* The name begins a mnemonic: makes the token "ld.global.v2.f32". */
void ptx_lex_mnemonic(struct ptx_lex *l);
/* The name is a label: a colon follows it. */
bool ptx_lex_is_label(const struct ptx_lex *l);
/* Goes on behind the token's line (.loc has no end mark), behind a ";", or behind the
 * braces that open at the token. */
WARN_UNUSED int ptx_lex_skip_line(struct ptx_lex *l);
WARN_UNUSED int ptx_lex_skip_statement(struct ptx_lex *l);
WARN_UNUSED int ptx_lex_skip_braces(struct ptx_lex *l);
/* How many of `punct` stand in the braces that open at the token; in all depths, or in
 * the outermost alone. */
WARN_UNUSED int ptx_lex_count(const struct ptx_lex *l, char punct, bool is_deep,
                              int64_t *out);
/* ERR_INPUT at a place of the text, or at the token. */
int ptx_lex_error_at(const struct ptx_lex *l, const char *place, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
int ptx_lex_error(const struct ptx_lex *l, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* --- ptx_names.c: names in nested scopes; an inner one hides an outer one --- */
enum ptx_name_kind {
    PTX_N_REG,     /* slot, bytes (1: a predicate) */
    PTX_N_RANGE,   /* %r<n>: slot and bytes of the first, value: n */
    PTX_N_LABEL,   /* value: instruction */
    PTX_N_TARGETS, /* items, value: how many */
    PTX_N_SHARED,  /* value: offset */
    PTX_N_STATIC,  /* .shared of the module: value: bytes, align. Placed in each kernel
                      that uses it: slot: offset in the one of number `kernel` */
    PTX_N_DYNAMIC, /* .extern .shared */
    PTX_N_LOCAL,   /* value: offset */
    PTX_N_PARAM,   /* value: offset */
    PTX_N_GLOBAL,  /* value: address */
    PTX_N_EXTERN,  /* declared, but not here */
    PTX_N_MNEMONIC /* mnemonic */
};
struct ptx_mnemonic {
    const char *part[PTX_MAX_PARTS];
    int32_t n_parts;
    int32_t bytes; /* of an immediate's slot: 4, 8, 1 for predicates */
    uint8_t width; /* of its value */
};
struct ptx_name {
    const char *text;
    int32_t len;
    enum ptx_name_kind kind;
    int32_t slot, bytes, align, kernel;
    int32_t width; /* of a register: as declared, 2 of .b16 */
    int64_t value;
    struct ptx_operand *items;
    const struct ptx_mnemonic *mnemonic;
    /* the table's own */
    uint32_t hash;
    int32_t depth, next;
};
struct ptx_names {
    struct ptx_name *entries;
    int32_t n, cap, depth;
    int32_t *buckets;
};
void ptx_names_init(struct ptx_names *s);
void ptx_names_release(struct ptx_names *s);
void ptx_names_open(struct ptx_names *s);
void ptx_names_close(struct ptx_names *s);
/* The innermost of this text, a range or not; NULL: none. Valid until the next add. */
struct ptx_name *ptx_names_find(const struct ptx_names *s, const char *text,
                                int32_t len, bool is_range);
/* The operand that a register's name is, also of one of a range. */
bool ptx_names_register(const struct ptx_names *s, const char *text, int32_t len,
                        struct ptx_operand *out);
/* false if the innermost scope has defined this name already */
bool ptx_names_add(struct ptx_names *s, const struct ptx_name *entry);

#define PTX_NO_CALLS "calls of functions are not supported: have them inlined"

/* --- the module and the kernel being built --- */
struct ptx_ref {
    struct ptx_operand *operand; /* a label whose target is not known yet */
    const char *text;
    int32_t len;
};
struct ptx_build {
    struct ptx_kernel kernel;
    const char **places; /* in the text, of every instruction */
    int64_t cap;         /* of insns and places */
    struct ptx_ref *refs;
    int64_t n_refs, refs_cap;
    struct ptx_operand **dynamic; /* operands with addresses of dynamic shared memory */
    int64_t n_dynamic, dynamic_cap;
    struct ptx_const *consts; /* = kernel.consts */
    int64_t consts_cap;
    int32_t special[PTX_LANEMASK_GT + 1]; /* slot, 0: not used */
    const char *volatile_special;         /* of the instruction being read */
};
struct ptx_owned_module {
    struct ptx_module module; /* first, for ptx_module_free */
    struct arena arena;
    int64_t kernels_cap, variables_cap;
};
struct ptx_parser {
    struct ptx_lex lex;
    struct ptx_names names, mnemonics;
    struct ptx_build build;
    struct ptx_owned_module *owned;
};

/* A declaration's "<.align n> <.vN> .type name[n]...". */
enum { PTX_MAX_DIMS = 4 };
struct ptx_shape {
    struct ptx_token name;
    int32_t type_bytes, align, lanes; /* lanes: of .v2, .v4 */
    bool is_float;
    int64_t dims[PTX_MAX_DIMS]; /* the first is -1 where written [] */
    int32_t n_dims;
    int64_t bytes; /* in all; -1 where the first dimension is open */
};
WARN_UNUSED int ptx_parse_shape(struct ptx_parser *p, struct ptx_shape *out);
/* The first multiple of align at or above *end; *end moves behind the shape. */
WARN_UNUSED int ptx_place(struct ptx_parser *p, const struct ptx_shape *shape,
                          int32_t *end, int64_t *off_out);
/* The integer is one of so many bytes, signed or unsigned. */
bool ptx_fits(int64_t value, int32_t bytes);
/* Of the module; the token is behind .global, .const. */
WARN_UNUSED int ptx_parse_variables(struct ptx_parser *p, bool is_const,
                                    bool is_extern);
WARN_UNUSED int ptx_parse_entry(struct ptx_parser *p);
WARN_UNUSED int ptx_parse_instruction(struct ptx_parser *p);
void ptx_add_ref(struct ptx_parser *p, struct ptx_operand *operand);
/* The mnemonic at the token, cut into parts once. */
WARN_UNUSED int ptx_intern(struct ptx_parser *p, const struct ptx_mnemonic **out);
/* Space in the register file of one register of `bytes` (1: a predicate), times n. */
WARN_UNUSED int ptx_new_slots(struct ptx_parser *p, int32_t bytes, int64_t n,
                              int32_t *slot_out);
void ptx_add_const(struct ptx_build *b, const struct ptx_const *c);
/* Resolves what waits for the end of the kernel, binds every instruction, gives the
 * immediates their slots. */
WARN_UNUSED int ptx_finish(struct ptx_parser *p);
/* Doubles the capacity of an array that is full. */
void *ptx_grown(void *array, int64_t n, int64_t *cap, size_t item_bytes);

#endif
