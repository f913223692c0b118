/*
 * One table of options: it parses INI files and section.key=value overrides, checks
 * types and ranges, rejects unknown keys with the nearest match, prints help, and
 * writes the effective values. Values live in one struct of the caller; `off` is the
 * field's offset.
 *
 * INI: [section], key = value, comments start with # or ; at the start of a line or
 * after a blank; read with inih. Values may be quoted with "..." to keep blanks; \n,
 * \t, \\ and \" are understood inside quotes. Precedence: default < file < override,
 * last one wins.
 */
#ifndef CORE_OPTIONS_H
#define CORE_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/mem.h"
#include "core/status.h"

enum option_type {
    OPTION_INT,    /* int64_t; suffixes k, M, G (1000s) accepted */
    OPTION_REAL,   /* double */
    OPTION_BOOL,   /* bool: true/false, yes/no, on/off, 1/0 */
    OPTION_STRING, /* char *, owned by the struct (mem_free); default NULL is "" */
    OPTION_CHOICE, /* int: index into `choices`, "a|b|c" */
};

struct option {
    const char *key; /* "section.name" */
    enum option_type type;
    size_t off;
    const char *def;     /* text of the default, parsed like input */
    double min, max;     /* inclusive, for INT and REAL; both 0: no limit */
    const char *choices; /* for CHOICE */
    const char *help;    /* one line with the unit; shown by --help */
};

struct options {
    const struct option *items;
    int64_t n;
};

int options_set_defaults(const struct options *o, void *values) WARN_UNUSED;
/* Errors name file, line, key, value, and what would be accepted. */
int options_read_file(const struct options *o, void *values,
                      const char *path) WARN_UNUSED;
/* "section.key=value" */
int options_override(const struct options *o, void *values,
                     const char *arg) WARN_UNUSED;
/* The whole effective configuration as INI, sections in table order, readable back to
 * equal values. */
void options_write(const struct options *o, const void *values, struct buf *out);
/* Help lines of the sections named in `sections` ("run|model|grpo"; NULL: all). */
void options_help(const struct options *o, const char *sections, FILE *out);
void options_release(const struct options *o, void *values); /* frees strings */
/* Where in a list of words ("a|b|c") `word` comes; -1 if absent. */
int options_choice(const char *choices, const char *word);

#endif
