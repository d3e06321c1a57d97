/* jinja_lex.h - the tokens of a template, between what reads them and what makes a tree of them. */
#ifndef JINJA_LEX_H
#define JINJA_LEX_H

#include "jinja_internal.h"

typedef enum {
    JP_END,     /* of the template */
    JP_DATA,    /* text outside of all tags */
    JP_BLOCK,   /* {% */
    JP_CLOSE,   /* %} */
    JP_OPEN,    /* {{ */
    JP_PRINTED, /* }} */
    JP_NAME,
    JP_STRING,
    JP_INTEGER,
    JP_FLOAT,
    JP_OPERATOR
} jp_type;

typedef struct {
    jp_type type;
    int op; /* of an operator: its character; two of them: the first << 8 | the second */
    uint32_t line;
    const char *text; /* data, a name or a number as it stands there */
    size_t size;
    jn_value value; /* of a string or number */
} jp_token;

typedef struct {
    jn_context *c;
    const char *at, *end;
    uint32_t line;
    jp_type inside;  /* JP_END: between tags; else JP_CLOSE or JP_PRINTED, whichever will end the tag */
    int brackets;    /* open in this tag */
    int line_begins; /* what comes next begins a line, so that white space before a tag is its indentation */
    jp_token now, next;
    int depth, uses;
    int loops;              /* around what comes, that a break may leave */
    int fors;               /* around what comes, outside of macros too: "loop" is theirs */
    int conditional;        /* inside an "if": what jinja2 does not know is an error only when it is reached */
    const jn_node *unknown; /* a filter or test that there is not, unless an "if" follows in the same expression */
} jp_parser;

NORETURN void jp_fail(jp_parser *p, const char *what, const char *text, size_t size); /* at now */
void jp_begin(jp_parser *p, const char *text, size_t size);
jp_token jp_lex(jp_parser *p);

#endif
