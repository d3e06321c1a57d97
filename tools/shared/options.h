/* options.h - a program's command line as a table of its options.
 *
 * -n 5, -n5, --name 5 and --name=5 are the same option; "--" ends the options. The last of an option counts.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <math.h>

typedef enum {
    FLAG,   /* takes no value, and makes an int 1 */
    OFF,    /* makes it 0 */
    TEXT,   /* const char * */
    WHOLE,  /* int */
    REAL,   /* double */
    HELP,   /* prints it, and ends the program */
    VERSION /* so does this */
} option_kind;

typedef struct {
    char letter;       /* 0: none */
    const char *name;  /* NULL: the letter only */
    const char *value; /* what the help calls it; NULL: the option takes none */
    option_kind kind;
    void *to;         /* the variable */
    double low, high; /* what a number must be between */
    int mark;         /* for the program's own use */
    const char *help; /* NULL: not in the list that --help prints */
} option;

typedef struct {
    const char *program;
    const char *hint; /* behind messages about wrong usage */
    const char *help; /* what --help prints before the list of options */
    const option *options;
    int n_options;
    const char **names[2]; /* what the first arguments that are no options go to; NULL: there is none such */
} command_line;

/* Sets the variables. If anything is wrong, or on --help and --version, ends the program. */
void options_parse(const command_line *line, int argc, char **argv);

int option_was_given(const void *to); /* any of those that set this variable */

/* ---- A number as an option has it: FLAG, OFF, WHOLE, REAL; inline, for who reads other texts by such a table ---- */

static inline int option_allows(const option *o, double x) { /* whether it may stand there; nan may not */
    return x >= o->low && x <= o->high && (o->kind == REAL || x == floor(x));
}
static inline double option_value(const option *o) { return o->kind == REAL ? *(double *)o->to : *(int *)o->to; }
static inline void option_store(const option *o, double x) {
    if (o->kind == REAL) *(double *)o->to = x;
    else *(int *)o->to = (int)x;
}

#endif
