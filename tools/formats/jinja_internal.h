/* jinja_internal.h - what the files of the Jinja interpreter share.
 *
 *     jinja_lex.c      text -> tokens
 *     jinja_parse.c    tokens -> tree
 *     jinja_run.c      statements, expressions and scopes
 *     jinja_values.c   memory, failing; values as texts, JSON, keys and sequences
 *     jinja_filters.c  filters and tests
 *     jinja_methods.c  methods of texts and dicts, and functions
 *
 * Whatever fails leaves by longjmp: nearly every function can, and all memory hangs on one context that is freed by the
 * one who called setjmp.
 */
#ifndef JINJA_INTERNAL_H
#define JINJA_INTERNAL_H

#include "jinja.h"
#include "../shared/messages.h"

#include <setjmp.h>

enum {
    JN_MAX_DEPTH = 250,  /* of a tree: each level takes some hundred bytes of stack */
    JN_MAX_NESTING = 800 /* of a run: trees and calls of macros; and of values */
};

/* ---- Values: as in Python, with the names that Python gives their types ---- */

typedef enum {
    JN_UNDEFINED,
    JN_NONE,
    JN_BOOL,
    JN_INT,
    JN_FLOAT,
    JN_STRING,
    JN_LIST,
    JN_TUPLE,
    JN_VIEW,      /* what a dict's items(), keys() and values() give */
    JN_GENERATOR, /* what map, select and others give: goes through once */
    JN_RANGE,
    JN_DICT,
    JN_NAMESPACE,
    JN_LOOP,
    JN_MACRO,
    JN_FUNCTION, /* one of the table in jinja_methods.c */
    JN_METHOD    /* such a function with the value whose it is */
} jn_type;

typedef struct jn_value jn_value;
typedef struct {
    jn_value *items; /* (n) */
    size_t n;
} jn_list;

typedef struct {
    struct jn_pair *pairs; /* (n) in the order of their making */
    size_t n, capacity;
} jn_dict;

struct jn_value {
    uint8_t type;
    uint8_t is_safe;      /* a string that was marked by "safe", which a sum of strings escapes the other for */
    uint8_t is_attribute; /* an undefined value: its name is an attribute's; 2: one that the sandbox takes away */
    uint32_t size;        /* bytes of a string or name */
    union {
        int64_t i; /* and of a JN_BOOL */
        double f;
        const char *s; /* UTF-8; the name of an undefined value */
        jn_list *list; /* list, tuple, view, generator */
        jn_dict *dict; /* dict, namespace */
        struct jn_range *range;
        struct jn_loop *loop;
        struct jn_macro *macro;
        const struct jn_function *function;
        struct jn_method *method;
    } u;
};

typedef struct jn_pair {
    jn_value key, value;
} jn_pair;

typedef struct jn_range {
    int64_t start, stop, step;
    size_t n;
} jn_range;

typedef struct jn_method {
    jn_value self;
    const struct jn_function *function;
} jn_method;

/* ---- Trees ---- */

typedef enum {
    /* expressions */
    JN_CONST,     /* value */
    JN_NAME,      /* value: its text */
    JN_ATTRIBUTE, /* a . value */
    JN_SUBSCRIPT, /* a [ b ] */
    JN_SLICE,     /* a [ b : c : d ], each of which may be NULL */
    JN_CALL,      /* a ( list ), with JN_KEYWORDs */
    JN_KEYWORD,   /* value = a */
    JN_FILTER,    /* a | value ( list ); a is NULL in a block */
    JN_TEST,      /* a is value ( list ) */
    JN_NOT,
    JN_NEGATIVE,
    JN_POSITIVE,
    JN_AND,
    JN_OR,
    JN_BINARY,  /* a op b: + - * / % and p for **, f for // */
    JN_CONCAT,  /* all of list */
    JN_COMPARE, /* a, then all of list, each a JN_OPERAND */
    JN_OPERAND, /* op a: < > = and l for <=, g for >=, ! for !=, i for in, n for not in */
    JN_TERNARY, /* a if b else c; c may be NULL */
    JN_MAKE_LIST,
    JN_MAKE_TUPLE,
    JN_MAKE_DICT, /* list: key, value, key, value ... */
    /* statements; body, and what hangs on next, are lists of them */
    JN_TEXT,         /* value */
    JN_PRINT,        /* a */
    JN_IF,           /* if a: body; else what c lists, which for elif is a JN_IF without an end of its own */
    JN_FOR,          /* for a in b if d: body; else c; op: it is recursive */
    JN_SET,          /* a = b */
    JN_SET_BLOCK,    /* a = body through the filters b, whose innermost has no a */
    JN_MACRO_DEF,    /* macro value ( list ) : body; list: names, each with a default at a */
    JN_CALL_BLOCK,   /* call a with the macro of list and body as caller */
    JN_FILTER_BLOCK, /* body through b */
    JN_WITH,         /* list: JN_SETs; body */
    JN_SCOPE,        /* body, with names of its own */
    JN_BREAK,
    JN_CONTINUE
} jn_kind;

enum { JN_USES_CALLER = 1, JN_USES_VARARGS = 2, JN_USES_KWARGS = 4 }; /* op of a macro */

typedef struct jn_node jn_node;
struct jn_node {
    uint8_t kind; /* a jn_kind */
    uint8_t op;
    uint16_t depth; /* levels below, this one included */
    uint32_t line;
    jn_node *next; /* in a list */
    jn_node *a, *b, *c, *d;
    jn_node *list, *body;
    const struct jn_function *function; /* of a filter or test; NULL: there is none of the name */
    jn_value value;
};

/* ---- Context: of a parse or of a rendering ---- */

typedef struct jn_context {
    jmp_buf out;
    struct jn_block *blocks; /* all memory */
    size_t memory, max_memory;
    uint64_t steps, max_steps;
    int depth;
    uint32_t line; /* of what is done */
    const char *name;
    llama_error *err;
    jinja_result result;
    /* of a rendering */
    const jinja_limits *limits;
    const json_node *variables;
    struct jn_scope *scope;
    struct jn_text *output;
} jn_context;

void *jn_allocate(jn_context *c, size_t size); /* cleared, of the alignment of any value */
void jn_release(jn_context *c);
NORETURN void jn_fail(jn_context *c, jinja_result result, const char *format, ...) PRINTF_LIKE(3, 4);
void jn_enter(jn_context *c); /* one level deeper, which the caller takes back: c->depth-- */
void jn_spend(jn_context *c, size_t steps);

/* A text that grows. */
typedef struct jn_text {
    char *p;
    size_t n, capacity, max;
} jn_text;

void jn_put(jn_context *c, jn_text *t, const char *p, size_t n);
void jn_put_text(jn_context *c, jn_text *t, const char *text);
void jn_put_utf8(jn_context *c, jn_text *t, unsigned long code_point);
jn_value jn_text_value(jn_context *c, const jn_text *t);

/* ---- Values ---- */

static inline jn_value jn_none(void) { return (jn_value){.type = JN_NONE}; }
static inline jn_value jn_bool(int b) { return (jn_value){.type = JN_BOOL, .u.i = b != 0}; }
static inline jn_value jn_int(int64_t i) { return (jn_value){.type = JN_INT, .u.i = i}; }
static inline jn_value jn_float(double f) { return (jn_value){.type = JN_FLOAT, .u.f = f}; }
jn_value jn_string(const char *s, size_t size); /* not copied */
jn_value jn_copy(jn_context *c, const char *s, size_t size);
static inline jn_value jn_undefined(const char *name, size_t size, int is_attribute) {
    return (jn_value){.is_attribute = is_attribute != 0, .size = (uint32_t)size, .u.s = name};
}
static inline jn_value jn_mark(jn_value v, int is_safe) { return v.is_safe = is_safe != 0, v; }
jn_value jn_new_list(jn_context *c, jn_type type, size_t n); /* of n undefined items */
void jn_append(jn_context *c, jn_list *list, jn_value v);    /* to one that began empty */
jn_value jn_new_dict(jn_context *c, jn_type type);
jn_value *jn_dict_find(jn_context *c, const jn_dict *d, jn_value key); /* NULL: none */
void jn_check_key(jn_context *c, jn_value key);                        /* fails if it can be none */
void jn_dict_put(jn_context *c, jn_dict *d, jn_value key, jn_value value);
jn_value jn_from_json(jn_context *c, const json_node *n);

static inline int jn_is_sequence(jn_value v) { return v.type >= JN_LIST && v.type <= JN_RANGE; }
static inline int jn_is_integer(jn_value v) { return v.type == JN_INT || v.type == JN_BOOL; }
static inline int jn_is_number(jn_value v) { return jn_is_integer(v) || v.type == JN_FLOAT; }
static inline double jn_number(jn_value v) { return v.type == JN_FLOAT ? v.u.f : (double)v.u.i; }

const char *jn_type_name(jn_value v); /* Python's */
int jn_is_text(jn_value v, const char *text);
int jn_truth(jn_value v);
int jn_equal(jn_context *c, jn_value a, jn_value b);
int jn_order(jn_context *c, jn_value a, jn_value b, const char *op); /* < 0, 0, > 0; 2 for NaN */
int jn_contains(jn_context *c, jn_value item, jn_value in);
jn_value jn_str(jn_context *c, jn_value v); /* Python's str() */
void jn_put_str(jn_context *c, jn_text *t, jn_value v);
void jn_put_repr(jn_context *c, jn_text *t, jn_value v);
void jn_put_number(jn_context *c, jn_text *t, jn_value v);
void jn_use(jn_context *c, jn_value v); /* fails if v is undefined */

/* Texts are counted in characters. */
size_t jn_char_size(const char *p, const char *end);      /* bytes of the one at p; 1 for what is none */
size_t jn_last_char_size(const char *p, const char *end); /* of the one that ends at end */
/* The first place from at on where part stands, or NULL. */
const char *jn_search(jn_context *c, const char *at, const char *end, jn_value part);
size_t jn_length(jn_context *c, jn_value s);
unsigned long jn_code_point(const char *p, const char *end, size_t *size);
int jn_is_space(unsigned long code_point);
size_t jn_offset(jn_context *c, jn_value s, int64_t index); /* in bytes, of a character in it or its end */

/* Goes through anything that Python goes through. */
typedef struct {
    jn_value of;
    size_t i;
} jn_iterator;
jn_iterator jn_iterate(jn_context *c, jn_value v); /* fails if it cannot be gone through */
int jn_next(jn_context *c, jn_iterator *it, jn_value *item);
jn_value jn_to_list(jn_context *c, jn_value v);
int jn_has_length(jn_value v);
size_t jn_count(jn_context *c, jn_value v); /* fails if it has no length */
jn_value jn_item(jn_value v, size_t i);     /* of a sequence */

typedef struct jn_json_style {
    jn_value indent; /* a string, or none */
    jn_value item_separator, key_separator;
    int ascii, sort_keys;
} jn_json_style;

void jn_put_json(jn_context *c, jn_text *t, jn_value v, const jn_json_style *style);

/* ---- Functions: filters, tests, methods and globals are tables of them ---- */

enum { JN_MAX_ARGUMENTS = 8 };

/* args[i]: the parameter's value, or NULL where it was not given. A filter's, test's or method's first is what it is
 * applied to. */
typedef struct jn_arguments {
    const jn_value *args[JN_MAX_ARGUMENTS + 1];
    jn_list rest;  /* of a function that takes any number: those without a name */
    jn_dict named; /* and those with */
} jn_arguments;

typedef jn_value jn_code(jn_context *c, const jn_arguments *a);

typedef struct jn_function {
    const char *name;
    jn_code *code;          /* NULL: known to jinja2 or Python, but not done here */
    const char *parameters; /* names behind the first, with spaces between, '-' before one that cannot be
                               said and '!' before one that is not done here; "*": any number */
    int required;           /* how many of them */
} jn_function;

const jn_function *jn_find_filter(const char *name, size_t size);
const jn_function *jn_find_test(const char *name, size_t size);
const jn_function *jn_find_global(const char *name, size_t size);
const jn_function *jn_find_method(jn_value self, const char *name, size_t size);
jn_code jn_changes_value; /* of the methods that the sandbox takes away */
/* Calls a filter, test, method (self: what it is applied to) or global (self: NULL). what is for messages: "filter". */
jn_value jn_apply(jn_context *c, const char *what, const jn_function *f, const jn_value *self,
                  const jn_list *positional, const jn_dict *named);
NORETURN void jn_refuse(jn_context *c, const char *what, const char *name, size_t size); /* unsupported, or unknown */

/* In jinja_run.c, for filters */
jn_value jn_get_attribute(jn_context *c, jn_value of, jn_value name); /* of.name */
jn_value jn_get_item(jn_context *c, jn_value of, jn_value key);       /* of[key] */
/* of["a"]["b"] for "a.b"; otherwise, unless NULL or none, stands for what is undefined at any of them. */
jn_value jn_get_path(jn_context *c, jn_value of, jn_value path, const jn_value *otherwise);
jn_value jn_calculate(jn_context *c, int op, jn_value a, jn_value b); /* op as in a JN_BINARY */
jn_value jn_escape_html(jn_context *c, jn_value v);                   /* marked as safe */
jn_value jn_loop_call(jn_context *c, const jn_arguments *a, int changed);

struct jinja_program {
    jn_context memory;
    jn_node *body;
};

#endif
