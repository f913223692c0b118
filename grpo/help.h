/*
 * What `grpo --help` and `grpo <command> --help` print.
 */
#ifndef GRPO_HELP_H
#define GRPO_HELP_H

#include <stdio.h>

void help_program(FILE *out);
/* Usage, explanation, an example and the options of the command's sections. An unknown
 * name prints the program's help. */
void help_command(const char *name, FILE *out);

#endif
