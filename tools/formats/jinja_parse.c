/* jinja_parse.c - a template's text becomes a tree. Contract in jinja.h and jinja_internal.h. */
#include "jinja_internal.h"

#include <stdlib.h>
#include <string.h>

enum { JP_MAX_SIZE = 4 << 20, JP_MAX_MEMORY = 128 << 20 };

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
    int depth, loops, uses;
    int conditional; /* inside an "if": what jinja2 does not know is an error only when it is reached */
} jp_parser;

NORETURN static void jp_fail(jp_parser *p, const char *what, const char *text, size_t size) {
    p->c->line = p->now.line;
    jn_fail(p->c, JINJA_ERROR, "%s%.*s", what, (int)(size < 60 ? size : 60), text);
}

/* ---- Between tags ---- */

static const char *jp_skip_space(jp_parser *p, const char *at) {
    for (size_t size; at < p->end && jn_is_space(jn_code_point(at, p->end, &size)); at += size) p->line += *at == '\n';
    return at;
}

static void jp_count_lines(jp_parser *p, const char *from, const char *to) {
    for (; from < to; from++) p->line += *from == '\n';
}

/* text, up to end, without the white space it ends with. */
static const char *jp_trim_end(const char *text, const char *end) {
    while (end > text) {
        const char *last = end - 1;
        size_t size;
        while (last > text && ((unsigned char)*last & 0xC0) == 0x80 && end - last < 4) last--;
        if (!jn_is_space(jn_code_point(last, end, &size)) || size != (size_t)(end - last)) break;
        end = last;
    }
    return end;
}

/* The next tag's beginning, or the end. */
static const char *jp_find_tag(const char *at, const char *end) {
    for (; at < end && (at = memchr(at, '{', (size_t)(end - at))); at++)
        if (end - at > 1 && (at[1] == '{' || at[1] == '%' || at[1] == '#')) return at;
    return end;
}

/* The text before a tag, without what the tag's sign or lstrip_blocks take away. */
static const char *jp_end_of_data(jp_parser *p, const char *tag) {
    const char sign = tag + 2 < p->end ? tag[2] : 0, *line = tag;
    if (tag == p->end) return tag;
    if (sign == '-') return jp_trim_end(p->at, tag);
    if (tag[1] == '{' || sign == '+') return tag;
    while (line > p->at && line[-1] != '\n') line--;
    return (line > p->at || p->line_begins) && jp_trim_end(line, tag) == line ? line : tag;
}

/* After the end of a block or comment: trim_blocks takes the line break away. */
static void jp_after_tag(jp_parser *p, int sign) {
    const char *from = p->at;
    if (sign == '-') p->at = jp_skip_space(p, p->at);
    else if (sign != '+' && p->inside != JP_PRINTED && p->at < p->end && *p->at == '\n') p->at++, p->line++;
    p->line_begins = p->at > from && p->at[-1] == '\n';
    p->inside = JP_END;
}

static void jp_skip_comment(jp_parser *p) {
    const char *begin = p->at + 2, *at;
    if (begin < p->end && (*begin == '-' || *begin == '+')) begin++;
    for (at = begin; at < p->end && (at = memchr(at, '#', (size_t)(p->end - at))); at++)
        if (p->end - at > 1 && at[1] == '}') break;
    p->now.line = p->line;
    if (!at || at >= p->end) jp_fail(p, "a comment without its end", "", 0);
    const int sign = at > begin ? at[-1] : 0;
    jp_count_lines(p, p->at, at);
    p->at = at + 2;
    p->inside = JP_CLOSE;
    jp_after_tag(p, sign == '-' || sign == '+' ? sign : 0);
}

/* If a block is {% word %}: its end, and the sign before it; else NULL. */
static const char *jp_is_block(jp_parser *p, const char *at, const char *word, int *sign) {
    const uint32_t line = p->line;
    const size_t n = strlen(word);
    at += 2;
    if (at < p->end && (*at == '-' || *at == '+')) at++;
    at = jp_skip_space(p, at);
    const int is_word = (size_t)(p->end - at) > n && !memcmp(at, word, n);
    if (is_word) at = jp_skip_space(p, at + n);
    *sign = is_word && at < p->end && (*at == '-' || *at == '+') ? *at++ : 0;
    p->line = line;
    return is_word && p->end - at > 1 && at[0] == '%' && at[1] == '}' ? at + 2 : NULL;
}

/* {% raw %} at p->at, whose end is after: what stands up to {% endraw %} is text. */
static jp_token jp_raw(jp_parser *p, const char *after, int sign) {
    const char *tag, *end = NULL;
    int end_sign = 0;
    jp_token t = {.type = JP_DATA, .line = p->line};
    jp_count_lines(p, p->at, after);
    p->at = after;
    if (sign == '-') p->at = jp_skip_space(p, p->at);
    p->line_begins = p->at[-1] == '\n';
    for (tag = p->at; tag < p->end; tag++) {
        tag = jp_find_tag(tag, p->end);
        if (tag < p->end && tag[1] == '%' && (end = jp_is_block(p, tag, "endraw", &end_sign))) break;
    }
    p->now = t;
    if (!end) jp_fail(p, "{% raw %} without {% endraw %}", "", 0);
    t.text = p->at;
    t.size = (size_t)(jp_end_of_data(p, tag) - p->at);
    jp_count_lines(p, p->at, end);
    p->at = end;
    p->inside = JP_CLOSE;
    jp_after_tag(p, end_sign);
    return t;
}

static jp_token jp_outside(jp_parser *p) {
    for (;;) {
        int sign;
        const char *tag = jp_find_tag(p->at, p->end), *end = jp_end_of_data(p, tag), *raw = NULL;
        jp_token t = {.type = JP_DATA, .line = p->line, .text = p->at, .size = (size_t)(end - p->at)};
        jp_count_lines(p, p->at, tag);
        if (p->at < tag) p->line_begins = 0;
        p->at = tag;
        if (t.size) return p->line_begins = 0, t;
        if (tag == p->end) return (jp_token){.type = JP_END, .line = p->line};
        if (tag[1] == '#') {
            jp_skip_comment(p);
            continue;
        }
        if (tag[1] == '%' && (raw = jp_is_block(p, tag, "raw", &sign))) {
            t = jp_raw(p, raw, sign);
            if (t.size) return t;
            continue;
        }
        p->inside = tag[1] == '{' ? JP_PRINTED : JP_CLOSE;
        p->brackets = 0;
        p->at += tag + 2 < p->end && (tag[2] == '-' || tag[2] == '+') ? 3 : 2;
        return (jp_token){.type = tag[1] == '{' ? JP_OPEN : JP_BLOCK, .line = p->line};
    }
}

/* ---- Inside of tags ---- */

static int jp_is_name(int ch, int first) {
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_' || (!first && ch >= '0' && ch <= '9');
}

static int jp_is_digit(int ch) { return ch >= '0' && ch <= '9'; }

static unsigned long jp_hex(jp_parser *p, const char *at, int n) {
    unsigned long u = 0;
    for (int i = 0; i < n; i++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *found = at + i < p->end && at[i] ? strchr(digits, at[i]) : NULL;
        if (!found) jp_fail(p, "a malformed escape in a text", "", 0);
        u = u << 4 | (unsigned long)((found - digits) & 15);
    }
    if (u > 0x10FFFF || (u >= 0xD800 && u < 0xE000)) jp_fail(p, "an escape that is no character", "", 0);
    return u;
}

/* The escape at at, which is a backslash. Python's: one that it does not know stays as it is. */
static const char *jp_escape(jp_parser *p, jn_text *t, const char *at) {
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char e = at[1], *found = e ? strchr(from, e) : NULL;
    if (found) jn_put(p->c, t, &to[found - from], 1);
    if (found || e == '\n') return at + 2;
    if (e == 'x' || e == 'u' || e == 'U') {
        const int n = e == 'x' ? 2 : e == 'u' ? 4 : 8;
        jn_put_utf8(p->c, t, jp_hex(p, at + 2, n));
        return at + 2 + n;
    }
    if (e >= '0' && e <= '7') {
        unsigned long u = 0;
        int n = 1;
        for (; n < 4 && at + n < p->end && at[n] >= '0' && at[n] <= '7'; n++) u = u * 8 + (unsigned long)(at[n] - '0');
        jn_put_utf8(p->c, t, u);
        return at + n;
    }
    if (e == 'N') jp_fail(p, "an escape by a character's name is not supported", "", 0);
    jn_put(p->c, t, at, 1);
    return at + 1;
}

static void jp_string(jp_parser *p, jp_token *t) {
    const char quote = *p->at, *at = p->at + 1;
    jn_text text = {0};
    p->now = *t;
    t->type = JP_STRING;
    for (;;) {
        const char *from = at;
        while (at < p->end && *at != quote && *at != '\\') at++;
        jn_put(p->c, &text, from, (size_t)(at - from));
        if (at + 1 >= p->end && !(at < p->end && *at == quote)) jp_fail(p, "a text without its end", "", 0);
        if (*at == quote) break;
        at = jp_escape(p, &text, at);
    }
    jp_count_lines(p, p->at, at);
    p->at = at + 1;
    t->value = jn_text_value(p->c, &text);
}

/* Digits with single underscores between them, without these to out. */
static const char *jp_digits(const char *at, const char *end, char *out, size_t *n, size_t max) {
    while (at < end && (jp_is_digit(*at) || (*at == '_' && end - at > 1 && jp_is_digit(at[1])))) {
        if (*at != '_' && *n < max) out[(*n)++] = *at;
        at++;
    }
    return at;
}

static void jp_number(jp_parser *p, jp_token *t) {
    char s[400];
    size_t n = 0;
    const char *at = jp_digits(p->at, p->end, s, &n, 300);
    t->type = JP_INTEGER;
    if (p->end - at > 1 && *at == '.' && jp_is_digit(at[1])) {
        s[n++] = '.';
        at = jp_digits(at + 1, p->end, s, &n, 350);
        t->type = JP_FLOAT;
    }
    const char *e = at < p->end && (*at | 32) == 'e' ? at + 1 : NULL;
    const int sign = e && e < p->end && (*e == '-' || *e == '+') ? *e++ : '+';
    if (e && e < p->end && jp_is_digit(*e)) {
        s[n++] = 'e', s[n++] = (char)sign;
        at = jp_digits(e, p->end, s, &n, 390);
        t->type = JP_FLOAT;
    }
    s[n] = 0;
    p->now = *t;
    if (t->type == JP_INTEGER && (n > 18 || (n > 1 && *s == '0') || (at < p->end && jp_is_name(*at, 1))))
        jp_fail(p, "a number that is not supported: ", p->at, (size_t)(at - p->at) + (at < p->end));
    t->value = t->type == JP_INTEGER ? jn_int(atoll(s)) : jn_float(strtod(s, NULL));
    p->at = at;
}

static void jp_operator(jp_parser *p, jp_token *t) {
    static const char *const pairs[] = {"==", "!=", "<=", ">=", "//", "**"};
    const char ch = *p->at;
    t->type = JP_OPERATOR;
    t->op = (unsigned char)ch;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (p->end - p->at > 1 && ch == pairs[i][0] && p->at[1] == pairs[i][1]) t->op = ch << 8 | pairs[i][1];
    p->now = *t;
    if (!ch || !strchr("+-*/%~<>=()[]{}|,.:!", ch) || t->op == '!')
        jp_fail(p, "nothing begins with ", p->at, jn_char_size(p->at, p->end));
    if (strchr("([{", ch)) p->brackets++;
    if (strchr(")]}", ch) && !p->brackets--) jp_fail(p, "unexpected ", p->at, 1);
    p->at += t->op > 255 ? 2 : 1;
}

static jp_token jp_lex(jp_parser *p) {
    if (p->inside == JP_END) return jp_outside(p);
    p->at = jp_skip_space(p, p->at);
    jp_token t = {.type = JP_END, .line = p->line, .text = p->at};
    const char *at = p->at;
    if (at == p->end) return t;
    const char *close = p->inside == JP_CLOSE ? "%}" : "}}";
    const int sign = *at == '-' || (*at == '+' && p->inside == JP_CLOSE) ? *at++ : 0;
    if (!p->brackets && p->end - at > 1 && at[0] == close[0] && at[1] == close[1]) {
        t.type = p->inside;
        p->at = at + 2;
        jp_after_tag(p, sign);
        return t;
    }
    at = p->at;
    if (jp_is_name(*at, 1)) {
        while (at < p->end && jp_is_name(*at, 0)) at++;
        t.type = JP_NAME;
        p->at = at;
    } else if (*at == '"' || *at == '\'') jp_string(p, &t);
    else if (jp_is_digit(*at)) jp_number(p, &t);
    else jp_operator(p, &t);
    t.size = (size_t)(p->at - t.text);
    return t;
}

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

/* Arguments at '(', to n->list. */
static void jp_arguments(jp_parser *p, jn_node *n) {
    jp_list list = {0};
    int has_keyword = 0;
    jp_expect_op(p, '(');
    while (!jp_is_op(p, ')')) {
        if (list.first) jp_expect_op(p, ',');
        if (list.first && jp_is_op(p, ')')) break;
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

static void jp_check_function(jp_parser *p, const jn_node *n, const char *what) {
    p->c->line = n->line;
    if ((!n->function || !n->function->code) && !p->conditional) jn_refuse(p->c, what, n->value.u.s, n->value.size);
}

/* The name of a filter, and its arguments, applied to a (NULL: to a block). */
static jn_node *jp_filter(jp_parser *p, jn_node *a) {
    jn_node *n = jp_unary(p, JN_FILTER, a);
    n->value = jp_dotted_name(p);
    n->function = jn_find_filter(n->value.u.s, n->value.size);
    jp_check_function(p, n, "filter");
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
    jp_check_function(p, n, "test");
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
    while (!jp_is_op(p, ']')) {
        if (list.first) jp_expect_op(p, ',');
        if (jp_is_op(p, ']')) break;
        jp_add(p, n, &list, jp_expression(p));
    }
    jp_advance(p);
    n->list = list.first;
    return n;
}

static jn_node *jp_dict_literal(jp_parser *p) {
    jn_node *n = jp_node(p, JN_MAKE_DICT);
    jp_list list = {0};
    jp_advance(p);
    while (!jp_is_op(p, '}')) {
        if (list.first) jp_expect_op(p, ',');
        if (jp_is_op(p, '}')) break;
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

static jn_node *jp_name_or_word(jp_parser *p) {
    static const char *const words[] = {"none", "None", "false", "False", "true", "True"};
    static const struct {
        const char *name;
        int use;
    } uses[] = {{"caller", JN_USES_CALLER}, {"varargs", JN_USES_VARARGS}, {"kwargs", JN_USES_KWARGS}};
    jn_node *n = jp_node(p, JN_NAME);
    n->value = jp_name(p);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (jn_is_text(n->value, words[i])) {
            n->kind = JN_CONST;
            n->value = i < 2 ? jn_none() : jn_bool(i > 3);
            return n;
        }
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        if (jn_is_text(n->value, uses[i].name)) p->uses |= uses[i].use;
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
    jp_enter(p);
    jn_node *n = jp_or(p);
    while (jp_take(p, "if")) {
        jn_node *ternary = jp_binary(p, JN_TERNARY, 0, n, jp_or(p));
        if (jp_take(p, "else")) ternary->c = jp_child(p, ternary, jp_expression(p));
        n = ternary;
    }
    p->depth--;
    return n;
}

/* ---- Statements ---- */

static jn_node *jp_body(jp_parser *p, jn_node *parent, const char *const *ends);

static const char *const jp_end_for[] = {"endfor", NULL}, *const jp_end_if[] = {"endif", NULL};

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
        if (with_attribute && !list.first && jp_is_op(p, '.')) return p->depth--, jp_attribute(p, n);
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
    jn_node *n = jp_node(p, JN_FOR);
    jp_advance(p);
    n->a = jp_child(p, n, jp_target(p, 0));
    if (!jp_take(p, "in")) jp_expected(p, "\"in\"");
    n->b = jp_child(p, n, jp_tuple(p, 0, 0));
    if (jp_take(p, "if")) n->d = jp_child(p, n, jp_expression(p));
    if (jp_is(p, "recursive")) jn_fail(p->c, JINJA_UNSUPPORTED, "a \"recursive\" loop is not supported");
    jp_expect_close(p);
    p->loops++;
    n->body = jp_body(p, n, ends);
    p->loops--;
    if (jp_take(p, "else")) {
        jp_expect_close(p);
        n->c = jp_body(p, n, jp_end_for);
    }
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
    n->body = jp_body(p, n, ends);
    jp_advance(p);
    return n;
}

/* (a, b=1): names, with their defaults. */
static jn_node *jp_parameters(jp_parser *p, jn_node *parent) {
    jp_list list = {0};
    int has_default = 0;
    jp_expect_op(p, '(');
    while (!jp_is_op(p, ')')) {
        if (list.first) jp_expect_op(p, ',');
        jn_node *n = jp_node(p, JN_NAME);
        n->value = jp_name(p);
        if (jp_take_op(p, '=')) n->a = jp_child(p, n, jp_expression(p)), has_default = 1;
        else if (has_default) jp_fail(p, "a parameter without a default after one with a default", "", 0);
        jp_add(p, parent, &list, n);
    }
    jp_advance(p);
    return list.first;
}

/* The body of a macro or a call block, with what it uses; no loop around it is its own. */
static void jp_macro_body(jp_parser *p, jn_node *n, const char *const *ends) {
    const int loops = p->loops, uses = p->uses;
    jp_expect_close(p);
    p->loops = p->uses = 0;
    n->body = jp_body(p, n, ends);
    n->op = (uint8_t)p->uses;
    p->loops = loops, p->uses = uses;
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
    n->body = jp_body(p, n, ends);
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
    n->body = jp_body(p, n, ends);
    jp_advance(p);
    return n;
}

/* transformers' extension, which marks what the assistant says, and renders it. */
static jn_node *jp_generation(jp_parser *p) {
    static const char *const ends[] = {"endgeneration", NULL};
    jn_node *n = jp_node(p, JN_SCOPE);
    jp_advance(p);
    jp_expect_close(p);
    n->body = jp_body(p, n, ends);
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

/* Statements up to a {% with one of the names in ends, at which it stops; ends NULL: up to the end. */
static jn_node *jp_body(jp_parser *p, jn_node *parent, const char *const *ends) {
    jp_list list = {0};
    const uint32_t line = p->now.line;
    jp_enter(p);
    while (p->now.type != JP_END) {
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

/* The text with line breaks as \n, and without one that ends it. */
static void jp_begin(jp_parser *p, const char *text, size_t size) {
    char *copy = jn_allocate(p->c, size + 1), *to = copy;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\r' && i + 1 < size && text[i + 1] == '\n') continue;
        *to++ = text[i] == '\r' ? '\n' : text[i];
    }
    if (to > copy && to[-1] == '\n') to--;
    *to = 0;
    p->at = copy, p->end = to;
    p->line = 1;
    p->line_begins = 1;
    p->inside = JP_END;
}

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
