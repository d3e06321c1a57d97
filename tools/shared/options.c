/* options.c - contract in options.h. */
#include "options.h"
#include "terminal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const command_line *command;
static unsigned char given[64]; /* by the option's place in the table */

int option_was_given(const void *to) {
    for (int i = 0; i < command->n_options; i++)
        if (command->options[i].to == to && given[i]) return 1;
    return 0;
}

int option_allows(const option *o, double x) {
    return x >= o->low && x <= o->high && (o->kind == REAL || x == floor(x));
}

double option_value(const option *o) { return o->kind == REAL ? *(double *)o->to : *(int *)o->to; }

void option_store(const option *o, double x) {
    if (o->kind == REAL) *(double *)o->to = x;
    else *(int *)o->to = (int)x;
}

NORETURN static void wrong(option_fault fault, const option *o, const char *argument) {
    if (command->wrong) command->wrong(fault, o, argument);
    switch (fault) {
    case OPTION_UNKNOWN: misuse("unknown option %.80s", argument);
    case OPTION_HAS_NO_VALUE: misuse("--%s takes no value", o->name);
    case OPTION_NEEDS_VALUE: misuse("%.80s needs a value", argument);
    case OPTION_EXTRA_NAME: misuse("one name too many: %.80s", argument);
    case OPTION_BAD_NUMBER:
        misuse("--%s %.40s: expected a %snumber from %.10g to %.10g", o->name, argument,
               o->kind == WHOLE ? "whole " : "", o->low, o->high);
    }
    exit(STATUS_USAGE);
}

static void print_help(void) {
    fputs(command->help, stdout);
    for (int i = 0; i < command->n_options; i++) {
        const option *o = &command->options[i];
        char letter[8] = "   ";
        if (!o->help) continue;
        if (o->letter) snprintf(letter, sizeof letter, "-%c,", o->letter);
        printf(" %s --%s %-*s %s\n", letter, o->name, 18 - (int)strlen(o->name), o->value ? o->value : "", o->help);
    }
}

/* The place in the table of the option that the argument names; *value becomes what is attached to it, or NULL. (A
 * value right behind a letter, -n5, would be found here.) */
static int find_option(const char *argument, const char **value) {
    const char *equals = strchr(argument, '=');
    const size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    *value = NULL;
    for (int i = 0; i < command->n_options; i++) {
        const option *o = &command->options[i];
        if (o->letter && argument[1] == o->letter && !argument[2]) return i;
        if (!o->name || argument[1] != '-' || length - 2 != strlen(o->name) ||
            strncmp(argument + 2, o->name, length - 2))
            continue;
        if (equals) *value = equals + 1;
        return i;
    }
    wrong(OPTION_UNKNOWN, NULL, argument);
}

static void set_option(const option *o, const char *text) {
    char *end;
    double x;
    switch (o->kind) {
    case HELP: print_help(); exit(fflush(stdout) ? STATUS_FAILED : 0);
    case VERSION: puts("llama.c " LLAMA_VERSION); exit(fflush(stdout) ? STATUS_FAILED : 0);
    case FLAG: *(int *)o->to = 1; break;
    case OFF: *(int *)o->to = 0; break;
    case TEXT: *(const char **)o->to = text; break;
    case WHOLE:
    case REAL:
        /* strtod takes leading space, hexadecimal, nan and trailing text; here the argument is a plain number */
        x = strtod(text, &end);
        if (end == text || *end || strspn(text, "0123456789.eE+-") != strlen(text) || !option_allows(o, x))
            wrong(OPTION_BAD_NUMBER, o, text);
        option_store(o, x);
    }
}

void options_parse(const command_line *line, int argc, char **argv) {
    int only_names = 0, n_names = 0;
    command = line;
    terminal_begin(line->program, line->hint);
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i], *value;
        if (only_names || argument[0] != '-' || !argument[1]) {
            if (n_names == 2 || !line->names[n_names]) wrong(OPTION_EXTRA_NAME, NULL, argument);
            *line->names[n_names++] = argument;
        } else if (!strcmp(argument, "--")) {
            only_names = 1;
        } else {
            const int k = find_option(argument, &value);
            const option *o = &line->options[k];
            if (!o->value && value) wrong(OPTION_HAS_NO_VALUE, o, argument);
            if (o->value && !value && i + 1 == argc) wrong(OPTION_NEEDS_VALUE, o, argument);
            given[k] = 1;
            set_option(o, o->value && !value ? argv[++i] : value);
        }
    }
}
