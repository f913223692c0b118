/*
 * Where the programs of a completion are: reward/code.h says which parts count. Linear
 * in the text.
 */
#ifndef REWARD_CODE_FIND_H
#define REWARD_CODE_FIND_H

#include <stdbool.h>
#include <stddef.h>

enum code_part_kind {
    PART_END,
    PART_BLOCK,  /* between <llm-code> and </llm-code> */
    PART_FENCE,  /* between ``` lines, with a def in it */
    PART_DEF,    /* from a def at the start of a line; it ends where the parser stops */
    PART_IMPORT, /* from a line that may be an import; likewise */
    PART_PROSE   /* any other line that is not blank */
};

struct code_part {
    enum code_part_kind kind;
    size_t off, len; /* len: of what may be read */
};

struct code_finder {
    const char *text;
    size_t len, off;
    bool is_fence; /* inside one */
    size_t fence_off;
    bool has_def; /* in the fence so far */
};

/* <llm-code> blocks, if the text has any and closes the last one; else functions. */
bool code_has_blocks(const char *text, size_t len);
void code_find_init(struct code_finder *f, const char *text, size_t len);
struct code_part code_find_block(struct code_finder *f);
struct code_part code_find_function(struct code_finder *f);
/* Goes on after a PART_DEF or PART_IMPORT that was read up to `off`. */
void code_find_skip(struct code_finder *f, size_t off);
/* Whether a line of text[off, off + len) defines `name`. */
bool code_defines(const char *text, size_t off, size_t len, const char *name);
/* Where the function at `off` ends that was read up to `read`: behind its last line
 * that is indented or was read, comments at the start of a line left out. */
size_t code_function_end(const char *text, size_t len, size_t off, size_t read);

#endif
