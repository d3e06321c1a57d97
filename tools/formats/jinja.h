/* jinja.h - runs chat templates: the part of Jinja 2 that they are written in, as transformers sets it up.
 *
 * That is jinja2's immutable sandbox with trim_blocks, lstrip_blocks, break and continue, the blocks of
 * {% generation %}, and the functions raise_exception and strftime_now; tojson writes what Python's json.dumps does.
 * What a template does with a thing that is not done here (a filter, a test, a method, a statement) ends with a message
 * that names it and its line, never with another text. Filters that give their items one by one in jinja2 (map, select,
 * batch ...) give all at once, and so may fail at an item that jinja2 would never have come to.
 *
 *     jinja_program *p = jinja_parse(text, size, "chat_template", &err);
 *     if (p && jinja_render(p, variables, NULL, &out, &out_size, &err) == JINJA_DONE) use(out, out_size), free(out);
 *     jinja_free(p);
 *
 * Templates may be hostile: steps, memory, nesting and output are limited, and all that a call allocates it frees.
 */
#ifndef JINJA_H
#define JINJA_H

#include "json.h"

typedef struct jinja_program jinja_program;

typedef enum {
    JINJA_DONE,
    JINJA_RAISED,      /* the template itself refused, by raise_exception */
    JINJA_ERROR,       /* what jinja2 refuses too: an undefined value's attribute, a sum of a number and a text ... */
    JINJA_UNSUPPORTED, /* what jinja2 may do, but we do not */
    JINJA_LIMIT        /* a limit below, or no memory */
} jinja_result;

/* What a rendering may use; 0: the default. */
typedef struct {
    uint64_t max_steps;   /* 2 million: of what a template says, each time it is done, and of the texts gone through */
    size_t max_memory;    /* 64 MB */
    size_t max_output;    /* 4 MB */
    int year, month, day; /* what strftime_now takes for today, at midnight; 0: 2024-07-26 */
} jinja_limits;

/* NULL with a message if the text is no template. The text is copied; name is where it comes from, for messages. */
jinja_program *jinja_parse(const char *text, size_t size, const char *name, llama_error *err);
void jinja_free(jinja_program *p); /* p may be NULL */

/* *out = the text with the keys of variables, an object, defined: malloc'ed, with a zero behind it. Unless the result
 * is JINJA_DONE it is NULL, and err says why. limits may be NULL. Several threads may render one program. */
jinja_result jinja_render(const jinja_program *p, const json_node *variables, const jinja_limits *limits, char **out,
                          size_t *size, llama_error *err);

#endif
