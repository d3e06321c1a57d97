/* jinja_parse.c - tokens become a tree. Contract in jinja.h and jinja_internal.h. */
#include "jinja_lex.h"

#include <stdlib.h>
#include <string.h>

enum { JP_MAX_SIZE = 4 << 20, JP_MAX_MEMORY = 128 << 20 };

static void jp_advance(jp_parser *p) {
    const jp_token now = p->next;
    jn_spend(p->c, 1);
    p->next = (jp_token){.type = JP_END, .line = now.line};
    p->now = now; /* what a failing jp_lex names */
    if (now.type != JP_END) p->next = jp_lex(p);
    p->now = now;
}

/* ---- What stands at now ---- */

static int jp_is_op(const jp_parser *p, int op) { return p->now.type == JP_OPERATOR && p->now.op == op; }

static int jp_token_is(const jp_token *t, const char *name) {
    return t->type == JP_NAME && t->size == strlen(name) && !memcmp(t->text, name, t->size);
}

static int jp_is(const jp_parser *p, const char *name) { return jp_token_is(&p->now, name); }

static int jp_take_op(jp_parser *p, int op) {
    if (!jp_is_op(p, op)) return 0;
    jp_advance(p);
    return 1;
}

static int jp_take(jp_parser *p, const char *name) {
    if (!jp_is(p, name)) return 0;
    jp_advance(p);
    return 1;
}

NORETURN static void jp_expected(jp_parser *p, const char *what) {
    static const char *const names[] = {"the end", "text", "{%", "%}", "{{", "}}"};
    const jp_token *t = &p->now;
    p->c->line = t->line;
    if (t->type <= JP_PRINTED) jn_fail(p->c, JINJA_ERROR, "%s where %s is expected", names[t->type], what);
    jn_fail(p->c, JINJA_ERROR, "\"%.*s\" where %s is expected", (int)(t->size < 60 ? t->size : 60), t->text, what);
}

static void jp_expect_op(jp_parser *p, int op) {
    const char text[] = {'"', (char)op, '"', 0};
    if (!jp_take_op(p, op)) jp_expected(p, text);
}

static void jp_expect_close(jp_parser *p) {
    if (p->now.type != JP_CLOSE) jp_expected(p, "%}");
    jp_advance(p);
}

static jn_value jp_name(jp_parser *p) {
    if (p->now.type != JP_NAME) jp_expected(p, "a name");
    const jn_value v = jn_string(p->now.text, p->now.size);
    jp_advance(p);
    return v;
}

/* ---- Making trees ---- */

static void jp_enter(jp_parser *p) {
    p->c->line = p->now.line;
    if (++p->depth > JN_MAX_DEPTH) jn_fail(p->c, JINJA_LIMIT, "nested more than %d deep", JN_MAX_DEPTH);
}

static jn_node *jp_node(jp_parser *p, jn_kind kind) {
    jn_node *n = jn_allocate(p->c, sizeof *n);
    n->kind = (uint8_t)kind;
    n->line = p->now.line;
    n->depth = 1;
    return n;
}

/* Says that n has a child, and returns it: chains such as a|b|c are not deep to parse, but to run. */
static jn_node *jp_child(jp_parser *p, jn_node *n, jn_node *child) {
    if (child && child->depth >= n->depth) n->depth = (uint16_t)(child->depth + 1);
    p->c->line = n->line;
    if (n->depth > JN_MAX_DEPTH) jn_fail(p->c, JINJA_LIMIT, "nested more than %d deep", JN_MAX_DEPTH);
    return child;
}

typedef struct {
    jn_node *first, **last;
} jp_list;

static void jp_add(jp_parser *p, jn_node *parent, jp_list *list, jn_node *n) {
    if (!list->last) list->last = &list->first;
    *list->last = jp_child(p, parent, n);
    list->last = &n->next;
}

static jn_node *jp_unary(jp_parser *p, jn_kind kind, jn_node *a) {
    jn_node *n = jp_node(p, kind);
    n->a = jp_child(p, n, a);
    return n;
}

static jn_node *jp_binary(jp_parser *p, jn_kind kind, int op, jn_node *a, jn_node *b) {
    jn_node *n = jp_unary(p, kind, a);
    n->op = (uint8_t)op;
    n->b = jp_child(p, n, b);
    return n;
}

/* ---- Expressions: a function for each level of what binds how tightly, as in jinja2's grammar ---- */

static jn_node *jp_expression(jp_parser *p);
static jn_node *jp_or(jp_parser *p);
static jn_node *jp_unary_expression(jp_parser *p, int with_filters);
static jn_node *jp_postfix(jp_parser *p, jn_node *n);
static jn_node *jp_primary(jp_parser *p);

/* Whether a list that close ends goes on, with a comma that is taken between its items and may follow the last. */
static int jp_more(jp_parser *p, const jp_list *list, int close) {
    if (list->first && !jp_is_op(p, close)) jp_expect_op(p, ',');
    return !jp_is_op(p, close);
}

/* Arguments at '(', to n->list. */
static void jp_arguments(jp_parser *p, jn_node *n) {
    jp_list list = {0};
    int has_keyword = 0;
    jp_expect_op(p, '(');
    while (jp_more(p, &list, ')')) {
        if (jp_is_op(p, '*') || jp_is_op(p, '*' << 8 | '*'))
            jn_fail(p->c, JINJA_UNSUPPORTED, "* and ** before an argument are not supported");
        jn_node *item;
        if (p->now.type == JP_NAME && p->next.type == JP_OPERATOR && p->next.op == '=') {
            item = jp_node(p, JN_KEYWORD);
            item->value = jp_name(p);
            jp_advance(p);
            item->a = jp_child(p, item, jp_expression(p));
            has_keyword = 1;
        } else {
            if (has_keyword) jp_fail(p, "an argument without a name after one with a name", "", 0);
            item = jp_expression(p);
        }
        jp_add(p, n, &list, item);
    }
    jp_expect_op(p, ')');
    n->list = list.first;
}

/* A name that may have dots. */
static jn_value jp_dotted_name(jp_parser *p) {
    jn_value v = jp_name(p);
    if (!jp_is_op(p, '.')) return v;
    jn_text t = {0};
    jn_put(p->c, &t, v.u.s, v.size);
    while (jp_take_op(p, '.')) {
        v = jp_name(p);
        jn_put_text(p->c, &t, ".");
        jn_put(p->c, &t, v.u.s, v.size);
    }
    return jn_text_value(p->c, &t);
}

static void jp_check_function(jp_parser *p, const jn_node *n) {
    if ((!n->function || !n->function->code) && !p->conditional && !p->unknown) p->unknown = n;
}

/* The name of a filter, and its arguments, applied to a (NULL: to a block). */
static jn_node *jp_filter(jp_parser *p, jn_node *a) {
    jn_node *n = jp_unary(p, JN_FILTER, a);
    n->value = jp_dotted_name(p);
    n->function = jn_find_filter(n->value.u.s, n->value.size);
    jp_check_function(p, n);
    if (jp_is_op(p, '(')) jp_arguments(p, n);
    return n;
}

static int jp_begins_argument(const jp_parser *p) {
    if (p->now.type == JP_OPERATOR) return p->now.op == '(' || p->now.op == '[' || p->now.op == '{';
    return (p->now.type == JP_NAME && !jp_is(p, "else") && !jp_is(p, "or") && !jp_is(p, "and")) ||
           p->now.type == JP_STRING || p->now.type == JP_INTEGER || p->now.type == JP_FLOAT;
}

/* "is" has been taken. A test takes one argument without parentheses. */
static jn_node *jp_test(jp_parser *p, jn_node *a) {
    const int negated = jp_take(p, "not");
    jn_node *n = jp_unary(p, JN_TEST, a);
    n->value = jp_dotted_name(p);
    n->function = jn_find_test(n->value.u.s, n->value.size);
    jp_check_function(p, n);
    if (jp_is_op(p, '(')) jp_arguments(p, n);
    else if (jp_begins_argument(p)) {
        if (jp_is(p, "is")) jp_fail(p, "a test of a test", "", 0);
        n->list = jp_child(p, n, jp_postfix(p, jp_primary(p)));
    }
    return negated ? jp_unary(p, JN_NOT, n) : n;
}

/* Between the brackets of a subscript: an expression, or a slice. */
static jn_node *jp_subscript(jp_parser *p, jn_node *a) {
    jn_node *n = jp_unary(p, JN_SUBSCRIPT, a), **parts[] = {&n->b, &n->c, &n->d};
    int i = 0;
    jp_advance(p);
    if (jp_is_op(p, ']')) jp_expected(p, "a subscript");
    while (!jp_is_op(p, ']')) {
        if (jp_is_op(p, ':')) {
            if (++i > 2) jp_expected(p, "]");
            n->kind = JN_SLICE;
            jp_advance(p);
        } else if (!*parts[i]) *parts[i] = jp_child(p, n, jp_expression(p));
        else if (jp_is_op(p, ',')) jn_fail(p->c, JINJA_UNSUPPORTED, "several subscripts are not supported");
        else jp_expected(p, "]");
    }
    jp_advance(p);
    return n;
}

static jn_node *jp_attribute(jp_parser *p, jn_node *a) {
    jn_node *n = jp_unary(p, JN_ATTRIBUTE, a);
    jp_advance(p);
    if (p->now.type == JP_INTEGER) {
        n->kind = JN_SUBSCRIPT;
        n->b = jp_node(p, JN_CONST);
        n->b->value = p->now.value;
        jp_child(p, n, n->b);
        jp_advance(p);
    } else n->value = jp_name(p);
    return n;
}

static jn_node *jp_call(jp_parser *p, jn_node *a) {
    jn_node *n = jp_unary(p, JN_CALL, a);
    jp_arguments(p, n);
    return n;
}

static jn_node *jp_postfix(jp_parser *p, jn_node *n) {
    for (;;) {
        if (jp_is_op(p, '.')) n = jp_attribute(p, n);
        else if (jp_is_op(p, '[')) n = jp_subscript(p, n);
        else if (jp_is_op(p, '(')) n = jp_call(p, n);
        else return n;
    }
}

static jn_node *jp_filters(jp_parser *p, jn_node *n) {
    for (;;) {
        if (jp_take_op(p, '|')) n = jp_filter(p, n);
        else if (jp_take(p, "is")) n = jp_test(p, n);
        else if (jp_is_op(p, '(')) n = jp_call(p, n);
        else return n;
    }
}

/* One expression; or several with commas between, which are a tuple. with_ternary: "if" belongs to it. */
static jn_node *jp_tuple(jp_parser *p, int with_ternary, int in_parentheses) {
    jn_node *n = jp_node(p, JN_MAKE_TUPLE);
    jp_list list = {0};
    int is_tuple = 0;
    for (;;) {
        if (list.first && !jp_take_op(p, ',')) break;
        is_tuple = list.first != NULL;
        if (jp_is_op(p, ')') || p->now.type == JP_CLOSE || p->now.type == JP_PRINTED) break;
        jp_add(p, n, &list, with_ternary ? jp_expression(p) : jp_or(p));
    }
    if (!list.first && !in_parentheses) jp_expected(p, "an expression");
    if (list.first && !is_tuple) return list.first;
    n->list = list.first;
    return n;
}

static jn_node *jp_list_literal(jp_parser *p) {
    jn_node *n = jp_node(p, JN_MAKE_LIST);
    jp_list list = {0};
    jp_advance(p);
    while (jp_more(p, &list, ']')) jp_add(p, n, &list, jp_expression(p));
    jp_advance(p);
    n->list = list.first;
    return n;
}

static jn_node *jp_dict_literal(jp_parser *p) {
    jn_node *n = jp_node(p, JN_MAKE_DICT);
    jp_list list = {0};
    jp_advance(p);
    while (jp_more(p, &list, '}')) {
        jp_add(p, n, &list, jp_expression(p));
        jp_expect_op(p, ':');
        jp_add(p, n, &list, jp_expression(p));
    }
    jp_advance(p);
    n->list = list.first;
    return n;
}

/* Texts that follow each other are one. */
static jn_node *jp_string_literal(jp_parser *p) {
    jn_node *n = jp_node(p, JN_CONST);
    n->value = p->now.value;
    jp_advance(p);
    if (p->now.type != JP_STRING) return n;
    jn_text t = {0};
    jn_put(p->c, &t, n->value.u.s, n->value.size);
    for (; p->now.type == JP_STRING; jp_advance(p)) jn_put(p->c, &t, p->now.value.u.s, p->now.value.size);
    n->value = jn_text_value(p->c, &t);
    return n;
}

/* What a macro is given besides its parameters, if that is the name of it; else 0. */
static int jp_use(jn_value name) {
    return jn_is_text(name, "caller")    ? JN_USES_CALLER
           : jn_is_text(name, "varargs") ? JN_USES_VARARGS
           : jn_is_text(name, "kwargs")  ? JN_USES_KWARGS
                                         : 0;
}

static jn_node *jp_name_or_word(jp_parser *p) {
    static const char *const words[] = {"none", "None", "false", "False", "true", "True"};
    jn_node *n = jp_node(p, JN_NAME);
    n->value = jp_name(p);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (jn_is_text(n->value, words[i])) {
            n->kind = JN_CONST;
            n->value = i < 2 ? jn_none() : jn_bool(i > 3);
            return n;
        }
    p->uses |= jp_use(n->value);
    return n;
}

static jn_node *jp_primary(jp_parser *p) {
    jn_node *n;
    jp_enter(p);
    if (p->now.type == JP_NAME) n = jp_name_or_word(p);
    else if (p->now.type == JP_STRING) n = jp_string_literal(p);
    else if (p->now.type == JP_INTEGER || p->now.type == JP_FLOAT) {
        n = jp_node(p, JN_CONST);
        n->value = p->now.value;
        jp_advance(p);
    } else if (jp_take_op(p, '(')) {
        n = jp_tuple(p, 1, 1);
        jp_expect_op(p, ')');
    } else if (jp_is_op(p, '[')) n = jp_list_literal(p);
    else if (jp_is_op(p, '{')) n = jp_dict_literal(p);
    else jp_expected(p, "an expression");
    p->depth--;
    return n;
}

static jn_node *jp_unary_expression(jp_parser *p, int with_filters) {
    jn_node *n;
    jp_enter(p);
    if (jp_is_op(p, '-') || jp_is_op(p, '+')) {
        const jn_kind kind = jp_is_op(p, '-') ? JN_NEGATIVE : JN_POSITIVE;
        jp_advance(p);
        n = jp_unary(p, kind, jp_unary_expression(p, 0));
    } else n = jp_primary(p);
    n = jp_postfix(p, n);
    if (with_filters) n = jp_filters(p, n);
    p->depth--;
    return n;
}

static jn_node *jp_power(jp_parser *p) {
    jn_node *n = jp_unary_expression(p, 1);
    while (jp_take_op(p, '*' << 8 | '*')) n = jp_binary(p, JN_BINARY, 'p', n, jp_unary_expression(p, 1));
    return n;
}

static jn_node *jp_product(jp_parser *p) {
    jn_node *n = jp_power(p);
    for (;;) {
        const int op = p->now.type == JP_OPERATOR ? p->now.op : 0;
        if (op != '*' && op != '/' && op != '%' && op != ('/' << 8 | '/')) return n;
        jp_advance(p);
        n = jp_binary(p, JN_BINARY, op > 255 ? 'f' : op, n, jp_power(p));
    }
}

static jn_node *jp_concat(jp_parser *p) {
    jn_node *first = jp_product(p);
    if (!jp_is_op(p, '~')) return first;
    jn_node *n = jp_node(p, JN_CONCAT);
    jp_list list = {0};
    jp_add(p, n, &list, first);
    while (jp_take_op(p, '~')) jp_add(p, n, &list, jp_product(p));
    n->list = list.first;
    return n;
}

static jn_node *jp_sum(jp_parser *p) {
    jn_node *n = jp_concat(p);
    for (;;) {
        const int op = jp_is_op(p, '+') ? '+' : jp_is_op(p, '-') ? '-' : 0;
        if (!op) return n;
        jp_advance(p);
        n = jp_binary(p, JN_BINARY, op, n, jp_concat(p));
    }
}

/* A comparison at now, which it takes; 0 if there is none. */
static int jp_comparison(jp_parser *p) {
    static const struct {
        int op, as;
    } table[] = {{'<', '<'},           {'>', '>'}, {'=' << 8 | '=', '='}, {'!' << 8 | '=', '!'}, {'<' << 8 | '=', 'l'},
                 {'>' << 8 | '=', 'g'}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (jp_take_op(p, table[i].op)) return table[i].as;
    if (jp_take(p, "in")) return 'i';
    if (!jp_is(p, "not") || !jp_token_is(&p->next, "in")) return 0;
    jp_advance(p), jp_advance(p);
    return 'n';
}

static jn_node *jp_compare(jp_parser *p) {
    jn_node *first = jp_sum(p), *n = NULL;
    jp_list list = {0};
    for (int op; (op = jp_comparison(p)) != 0;) {
        if (!n) n = jp_unary(p, JN_COMPARE, first);
        jn_node *operand = jp_unary(p, JN_OPERAND, jp_sum(p));
        operand->op = (uint8_t)op;
        jp_add(p, n, &list, operand);
    }
    if (n) n->list = list.first;
    return n ? n : first;
}

static jn_node *jp_not(jp_parser *p) {
    if (!jp_is(p, "not")) return jp_compare(p);
    jp_enter(p);
    jp_advance(p);
    jn_node *n = jp_unary(p, JN_NOT, jp_not(p));
    p->depth--;
    return n;
}

static jn_node *jp_and(jp_parser *p) {
    jn_node *n = jp_not(p);
    while (jp_take(p, "and")) n = jp_binary(p, JN_AND, 0, n, jp_not(p));
    return n;
}

static jn_node *jp_or(jp_parser *p) {
    jn_node *n = jp_and(p);
    while (jp_take(p, "or")) n = jp_binary(p, JN_OR, 0, n, jp_and(p));
    return n;
}

static jn_node *jp_expression(jp_parser *p) {
    const jn_node *unknown = p->unknown;
    jp_enter(p);
    jn_node *n = jp_or(p);
    while (jp_take(p, "if")) {
        jn_node *ternary = jp_binary(p, JN_TERNARY, 0, n, jp_or(p));
        if (jp_take(p, "else")) ternary->c = jp_child(p, ternary, jp_expression(p));
        n = ternary;
        p->unknown = unknown;
    }
    p->depth--;
    return n;
}

/* ---- Statements ---- */

static jn_node *jp_body(jp_parser *p, jn_node *parent, const char *const *ends);

static const char *const jp_end_for[] = {"endfor", NULL}, *const jp_end_if[] = {"endif", NULL};

/* A body with names of its own, for which jinja2 forgets that it is inside an "if". */
static jn_node *jp_scope(jp_parser *p, jn_node *parent, const char *const *ends) {
    const int conditional = p->conditional;
    p->conditional = 0;
    jn_node *body = jp_body(p, parent, ends);
    p->conditional = conditional;
    return body;
}

/* What is assigned to: a name, an attribute of a namespace if that is allowed, or several with commas between. */
static jn_node *jp_target(jp_parser *p, int with_attribute) {
    jn_node *tuple = jp_node(p, JN_MAKE_TUPLE), *n = NULL;
    jp_list list = {0};
    int is_tuple = 0;
    jp_enter(p);
    do {
        if (list.first && p->now.type != JP_NAME && !jp_is_op(p, '(')) break;
        if (jp_take_op(p, '(')) {
            n = jp_target(p, 0);
            jp_expect_op(p, ')');
        } else n = jp_name_or_word(p);
        if (n->kind == JN_CONST) jp_fail(p, "a constant cannot be assigned to", "", 0);
        if (p->fors && jn_is_text(n->value, "loop")) jp_fail(p, "\"loop\" is assigned to inside of a loop", "", 0);
        if (with_attribute && jp_is_op(p, '.')) n = jp_attribute(p, n);
        if (n->kind == JN_SUBSCRIPT) jp_fail(p, "an item is assigned to", "", 0);
        jp_add(p, tuple, &list, n);
    } while (jp_take_op(p, ',') && (is_tuple = 1));
    p->depth--;
    tuple->list = list.first;
    return is_tuple ? tuple : n;
}

static jn_node *jp_if(jp_parser *p) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    jn_node *first = jp_node(p, JN_IF), *n = first;
    p->conditional++;
    for (;;) {
        jp_advance(p);
        n->a = jp_child(p, n, jp_tuple(p, 0, 0));
        jp_expect_close(p);
        n->body = jp_body(p, n, ends);
        jp_child(p, first, n == first ? NULL : n);
        if (!jp_is(p, "elif")) break;
        n->c = jp_node(p, JN_IF);
        n = n->c;
        n->op = 1;
    }
    if (jp_take(p, "else")) {
        jp_expect_close(p);
        n->c = jp_body(p, first, jp_end_if);
    }
    jp_advance(p);
    p->conditional--;
    return first;
}

static jn_node *jp_for(jp_parser *p) {
    static const char *const ends[] = {"endfor", "else", NULL};
    const int loops = p->loops;
    jn_node *n = jp_node(p, JN_FOR);
    jp_advance(p);
    p->fors++;
    n->a = jp_child(p, n, jp_target(p, 0));
    if (!jp_take(p, "in")) jp_expected(p, "\"in\"");
    n->b = jp_child(p, n, jp_tuple(p, 0, 0));
    if (jp_take(p, "if")) n->d = jp_child(p, n, jp_expression(p));
    n->op = (uint8_t)jp_take(p, "recursive");
    jp_expect_close(p);
    p->loops++;
    n->body = jp_scope(p, n, ends);
    p->loops = n->op ? 0 : loops; /* a recursive loop is called, as a macro is */
    if (jp_take(p, "else")) {
        jp_expect_close(p);
        n->c = jp_scope(p, n, jp_end_for);
    }
    p->loops = loops;
    p->fors--;
    jp_advance(p);
    return n;
}

static jn_node *jp_set(jp_parser *p) {
    static const char *const ends[] = {"endset", NULL};
    jn_node *n = jp_node(p, JN_SET);
    jp_advance(p);
    n->a = jp_child(p, n, jp_target(p, 1));
    if (jp_take_op(p, '=')) {
        n->b = jp_child(p, n, jp_tuple(p, 1, 0));
        return n;
    }
    n->kind = JN_SET_BLOCK;
    if (jp_take_op(p, '|')) n->b = jp_child(p, n, jp_filters(p, jp_filter(p, NULL)));
    jp_expect_close(p);
    n->body = jp_scope(p, n, ends);
    jp_advance(p);
    return n;
}

/* (a, b=1): names, with their defaults. */
static jn_node *jp_parameters(jp_parser *p, jn_node *parent) {
    enum { MOST = 255 };
    jp_list list = {0};
    int has_default = 0, count = 0;
    jp_expect_op(p, '(');
    while (!jp_is_op(p, ')')) {
        if (list.first) jp_expect_op(p, ',');
        if (++count > MOST) jn_fail(p->c, JINJA_LIMIT, "more than %d parameters", MOST);
        jn_node *n = jp_node(p, JN_NAME);
        n->value = jp_name(p);
        for (const jn_node *other = list.first; other; other = other->next)
            if (jn_equal(p->c, other->value, n->value)) jp_fail(p, "a parameter twice", "", 0);
        if (jp_take_op(p, '=')) n->a = jp_child(p, n, jp_expression(p)), has_default = 1;
        else if (has_default) jp_fail(p, "a parameter without a default after one with a default", "", 0);
        jp_add(p, parent, &list, n);
    }
    jp_advance(p);
    return list.first;
}

/* The body of a macro or a call block, with what it uses and is no parameter; no loop around it is its own. */
static void jp_macro_body(jp_parser *p, jn_node *n, const char *const *ends) {
    const int loops = p->loops, uses = p->uses;
    jp_expect_close(p);
    p->loops = p->uses = 0;
    n->body = jp_scope(p, n, ends);
    for (const jn_node *parameter = n->list; parameter; parameter = parameter->next) {
        const int use = jp_use(parameter->value) & p->uses;
        if (use == JN_USES_CALLER && !parameter->a) jp_fail(p, "a parameter \"caller\" without a default", "", 0);
        p->uses &= ~use;
    }
    n->op = (uint8_t)p->uses;
    p->loops = loops, p->uses |= uses; /* what a macro in it uses counts for both */
    jp_advance(p);
}

static jn_node *jp_macro(jp_parser *p) {
    static const char *const ends[] = {"endmacro", NULL};
    jn_node *n = jp_node(p, JN_MACRO_DEF);
    jp_advance(p);
    n->value = jp_name(p);
    n->list = jp_parameters(p, n);
    jp_macro_body(p, n, ends);
    return n;
}

static jn_node *jp_call_block(jp_parser *p) {
    static const char *const ends[] = {"endcall", NULL};
    jn_node *n = jp_node(p, JN_CALL_BLOCK);
    jp_advance(p);
    n->value = jn_string("caller", 6);
    if (jp_is_op(p, '(')) n->list = jp_parameters(p, n);
    n->a = jp_child(p, n, jp_expression(p));
    if (n->a->kind != JN_CALL) jp_fail(p, "{% call %} of what is no call", "", 0);
    jp_macro_body(p, n, ends);
    return n;
}

static jn_node *jp_filter_block(jp_parser *p) {
    static const char *const ends[] = {"endfilter", NULL};
    jn_node *n = jp_node(p, JN_FILTER_BLOCK);
    jp_advance(p);
    n->b = jp_child(p, n, jp_filters(p, jp_filter(p, NULL)));
    jp_expect_close(p);
    n->body = jp_scope(p, n, ends);
    jp_advance(p);
    return n;
}

static jn_node *jp_with(jp_parser *p) {
    static const char *const ends[] = {"endwith", NULL};
    jn_node *n = jp_node(p, JN_WITH);
    jp_list list = {0};
    jp_advance(p);
    while (p->now.type != JP_CLOSE) {
        if (list.first) jp_expect_op(p, ',');
        jn_node *set = jp_node(p, JN_SET);
        set->a = jp_child(p, set, jp_target(p, 0));
        jp_expect_op(p, '=');
        set->b = jp_child(p, set, jp_expression(p));
        jp_add(p, n, &list, set);
    }
    jp_advance(p);
    n->list = list.first;
    n->body = jp_scope(p, n, ends);
    jp_advance(p);
    return n;
}

/* transformers' extension, which marks what the assistant says, and renders it. */
static jn_node *jp_generation(jp_parser *p) {
    static const char *const ends[] = {"endgeneration", NULL};
    jn_node *n = jp_node(p, JN_SCOPE);
    jp_advance(p);
    jp_expect_close(p);
    n->body = jp_scope(p, n, ends);
    jp_advance(p);
    return n;
}

static jn_node *jp_leave_loop(jp_parser *p) {
    jn_node *n = jp_node(p, jp_is(p, "break") ? JN_BREAK : JN_CONTINUE);
    if (!p->loops) jp_fail(p, "outside of a loop: ", p->now.text, p->now.size);
    jp_advance(p);
    return n;
}

static jn_node *jp_statement(jp_parser *p) {
    static const struct {
        const char *name;
        jn_node *(*parse)(jp_parser *);
    } table[] = {{"if", jp_if},
                 {"for", jp_for},
                 {"set", jp_set},
                 {"macro", jp_macro},
                 {"call", jp_call_block},
                 {"filter", jp_filter_block},
                 {"with", jp_with},
                 {"generation", jp_generation},
                 {"break", jp_leave_loop},
                 {"continue", jp_leave_loop}};
    static const char *const refused[] = {"print", "block", "extends", "include", "import", "from", "autoescape"};
    p->c->line = p->now.line;
    if (p->now.type != JP_NAME) jp_expected(p, "a statement's name");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (jp_is(p, table[i].name)) {
            jn_node *n = table[i].parse(p);
            jp_expect_close(p);
            return n;
        }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (jp_is(p, refused[i])) jn_fail(p->c, JINJA_UNSUPPORTED, "the statement \"%s\" is not supported", refused[i]);
    jn_fail(p->c, JINJA_ERROR, "unknown statement \"%.*s\"", (int)(p->now.size < 60 ? p->now.size : 60), p->now.text);
}

static jn_node *jp_text_or_print(jp_parser *p) {
    jn_node *n = jp_node(p, p->now.type == JP_DATA ? JN_TEXT : JN_PRINT);
    n->value = jn_string(p->now.text, p->now.size);
    jp_advance(p);
    if (n->kind == JN_TEXT) return n;
    n->a = jp_child(p, n, jp_tuple(p, 1, 0));
    if (p->now.type != JP_PRINTED) jp_expected(p, "}}");
    jp_advance(p);
    return n;
}

static void jp_check_unknown(jp_parser *p) {
    const jn_node *n = p->unknown;
    if (!n) return;
    p->c->line = n->line;
    jn_refuse(p->c, n->kind == JN_FILTER ? "filter" : "test", n->value.u.s, n->value.size);
}

/* Statements up to a {% with one of the names in ends, at which it stops; ends NULL: up to the end. */
static jn_node *jp_body(jp_parser *p, jn_node *parent, const char *const *ends) {
    jp_list list = {0};
    const uint32_t line = p->now.line;
    jp_enter(p);
    for (; p->now.type != JP_END; jp_check_unknown(p)) {
        if (p->now.type != JP_BLOCK) {
            jp_add(p, parent, &list, jp_text_or_print(p));
            continue;
        }
        jp_advance(p);
        for (int i = 0; ends && ends[i]; i++)
            if (jp_is(p, ends[i])) return p->depth--, list.first;
        jp_add(p, parent, &list, jp_statement(p));
    }
    p->now.line = line;
    if (ends) jp_fail(p, "the template ends where there should be: ", ends[0], strlen(ends[0]));
    p->depth--;
    return list.first;
}

/* ---- Programs ---- */

static void jp_parse(jinja_program *program, const char *text, size_t size) {
    jn_node root = {.depth = 1, .line = 1};
    jp_parser p = {.c = &program->memory};
    jp_begin(&p, text, size);
    p.next.type = JP_DATA;
    jp_advance(&p), jp_advance(&p);
    program->body = jp_body(&p, &root, NULL);
}

/* 0, or -1 with a message. */
static int jp_try(jinja_program *program, const char *text, size_t size, const char *name) {
    jn_context *c = &program->memory;
    const size_t n = strlen(name) + 1;
    if (setjmp(c->out)) return -1;
    if (size > JP_MAX_SIZE) jn_fail(c, JINJA_LIMIT, "%zu bytes, more than %d", size, JP_MAX_SIZE);
    c->name = memcpy(jn_allocate(c, n), name, n);
    jp_parse(program, text, size);
    return 0;
}

jinja_program *jinja_parse(const char *text, size_t size, const char *name, llama_error *err) {
    jinja_program *program = calloc(1, sizeof *program);
    if (!program) return set_error(err, "%.80s: no memory", name), NULL;
    program->memory =
        (jn_context){.max_memory = JP_MAX_MEMORY, .max_steps = UINT64_MAX, .line = 1, .name = name, .err = err};
    if (!jp_try(program, text, size, name)) return program;
    jinja_free(program);
    return NULL;
}

void jinja_free(jinja_program *p) {
    if (!p) return;
    jn_release(&p->memory);
    free(p);
}
