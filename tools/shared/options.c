/* options.c - contract in options.h. */
#include "options.h"
#include "terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const command_line *command;
static unsigned char given[256]; /* by the option's place in the table */

int option_was_given(const void *to) {
    for (int i = 0; i < command->n_options; i++)
        if (command->options[i].to == to && given[i]) return 1;
    return 0;
}

/* As it is written on the command line. */
static const char *name_of(const option *o) {
    static char name[32];
    if (o->name) snprintf(name, sizeof name, "--%.28s", o->name);
    else snprintf(name, sizeof name, "-%c", o->letter);
    return name;
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

/* The place in the table of the option that the argument names; *value becomes what is attached to it, or NULL. */
static int find_option(const char *argument, const char **value) {
    const char *equals = strchr(argument, '=');
    const size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    *value = NULL;
    for (int i = 0; i < command->n_options; i++) {
        const option *o = &command->options[i];
        if (o->letter && argument[1] == o->letter && (!argument[2] || o->value)) {
            if (argument[2]) *value = argument + 2; /* -n5 */
            return i;
        }
        if (!o->name || argument[1] != '-' || length - 2 != strlen(o->name) ||
            strncmp(argument + 2, o->name, length - 2))
            continue;
        if (equals) *value = equals + 1;
        return i;
    }
    misuse("unknown option %.80s", argument);
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
            misuse("%s %.40s: expected a %snumber from %.10g to %.10g", name_of(o), text,
                   o->kind == WHOLE ? "whole " : "", o->low, o->high);
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
            if (n_names == 2 || !line->names[n_names]) misuse("one name too many: %.80s", argument);
            *line->names[n_names++] = argument;
        } else if (!strcmp(argument, "--")) {
            only_names = 1;
        } else {
            const int k = find_option(argument, &value);
            const option *o = &line->options[k];
            if (!o->value && value) misuse("%s takes no value", name_of(o));
            if (o->value && !value && i + 1 == argc) misuse("%.80s needs a value", argument);
            given[k] = 1;
            set_option(o, o->value && !value ? argv[++i] : value);
        }
    }
}
