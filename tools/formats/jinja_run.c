/* jinja_run.c - runs a template's tree: scopes, expressions, statements. Contract in jinja.h and jinja_internal.h. */
#include "jinja_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Names: an assignment goes to the innermost scope, and a body of a loop, macro or block is one. What a
 * macro does not define it looks for where it was defined, not where it is called. */
typedef struct jn_scope {
    struct jn_scope *outer;
    struct jn_variable *first;
} jn_scope;

typedef struct jn_variable {
    struct jn_variable *next;
    jn_value name, value;
} jn_variable;

typedef struct jn_macro {
    const jn_node *node;
    jn_scope *scope;
} jn_macro;

/* Of a running loop. Items are taken only when needed, since the "if" of a loop may see what its body did. */
typedef struct jn_loop {
    jn_iterator items;
    const jn_node *node;
    jn_scope *scope; /* around the loop */
    jn_list ahead;   /* taken but not yet gone through, from n_past on */
    size_t n_past, index;
    int depth; /* of recursion */
    jn_value previous, current, last_changed;
    int has_previous, has_changed;
} jn_loop;

typedef enum { JN_GO_ON, JN_LEAVE, JN_AGAIN } jn_flow;

static jn_value jn_evaluate(jn_context *c, const jn_node *n);
static jn_flow jn_run(jn_context *c, const jn_node *n);
static jn_flow jn_for(jn_context *c, const jn_node *n, jn_value items, int depth);

/* ---- Scopes ---- */

static jn_scope *jn_new_scope(jn_context *c, jn_scope *outer) {
    jn_scope *s = jn_allocate(c, sizeof *s);
    s->outer = outer;
    return s;
}

static int jn_same_name(jn_value a, jn_value b) {
    return a.size == b.size && (a.u.s == b.u.s || !memcmp(a.u.s, b.u.s, a.size));
}

static jn_variable *jn_find_variable(jn_context *c, const jn_scope *s, jn_value name) {
    for (jn_variable *v = s->first; v; v = v->next) {
        jn_spend(c, 1);
        if (jn_same_name(v->name, name)) return v;
    }
    return NULL;
}

static void jn_assign_name(jn_context *c, jn_value name, jn_value value) {
    jn_variable *v = jn_find_variable(c, c->scope, name);
    if (!v) {
        v = jn_allocate(c, sizeof *v);
        v->next = c->scope->first;
        v->name = name;
        c->scope->first = v;
    }
    v->value = value;
}

static jn_value jn_look_up(jn_context *c, jn_value name) {
    for (const jn_scope *s = c->scope; s; s = s->outer) {
        const jn_variable *v = jn_find_variable(c, s, name);
        if (v) return v->value;
    }
    const jn_function *f = jn_find_global(name.u.s, name.size);
    return f ? (jn_value){.type = JN_FUNCTION, .u.function = f} : jn_undefined(name.u.s, name.size, 0);
}

/* ---- Attributes and items ---- */

static jn_value jn_loop_attribute(jn_context *c, jn_loop *loop, jn_value name);
static jn_value jn_slice_string(jn_context *c, jn_value s, int64_t from, int64_t to, int64_t step);

/* What Python's getattr finds; 0: nothing. */
static int jn_own_attribute(jn_context *c, jn_value of, jn_value name, jn_value *out) {
    if (of.type == JN_LOOP) {
        *out = jn_loop_attribute(c, of.u.loop, name);
        return out->type != JN_UNDEFINED;
    }
    if (of.type == JN_NAMESPACE) {
        const jn_value *v = jn_dict_find(c, of.u.dict, name);
        if (v) *out = *v;
        return v != NULL;
    }
    const jn_function *f = jn_find_method(of, name.u.s, name.size);
    if (!f) return 0;
    if (!f->code) jn_refuse(c, "method", name.u.s, name.size);
    if (f->code == jn_changes_value) {
        *out = jn_undefined(name.u.s, name.size, 1);
        out->is_attribute = 2;
        return 1;
    }
    jn_method *method = jn_allocate(c, sizeof *method);
    *method = (jn_method){of, f};
    *out = (jn_value){.type = JN_METHOD, .u.method = method};
    return 1;
}

static int jn_own_item(jn_context *c, jn_value of, jn_value key, jn_value *out) {
    if (of.type == JN_DICT) {
        const jn_value *v = key.type == JN_LIST || key.type == JN_DICT ? NULL : jn_dict_find(c, of.u.dict, key);
        if (v) *out = *v;
        return v != NULL;
    }
    const int has_items = of.type == JN_STRING || of.type == JN_LIST || of.type == JN_TUPLE || of.type == JN_RANGE;
    if (!has_items || !jn_is_integer(key)) return 0;
    const int64_t n = (int64_t)jn_count(c, of), i = key.u.i < 0 ? key.u.i + n : key.u.i;
    if (i < 0 || i >= n) return 0;
    *out = of.type == JN_STRING ? jn_slice_string(c, of, i, i + 1, 1) : jn_item(of, (size_t)i);
    return 1;
}

jn_value jn_get_attribute(jn_context *c, jn_value of, jn_value name) {
    jn_value out;
    jn_use(c, of);
    if (jn_own_attribute(c, of, name, &out) || jn_own_item(c, of, name, &out)) return out;
    return jn_undefined(name.u.s, name.size, 1);
}

jn_value jn_get_item(jn_context *c, jn_value of, jn_value key) {
    jn_value out;
    jn_use(c, of);
    if (jn_own_item(c, of, key, &out) || (key.type == JN_STRING && jn_own_attribute(c, of, key, &out))) return out;
    if (key.type != JN_STRING && !jn_is_number(key)) return jn_undefined("?", 1, 1);
    key = jn_str(c, key);
    return jn_undefined(key.u.s, key.size, 1);
}

static jn_value jn_get_or(jn_context *c, jn_value of, jn_value key, const jn_value *otherwise) {
    const jn_value v = jn_get_item(c, of, key);
    return v.type == JN_UNDEFINED && otherwise && otherwise->type != JN_NONE ? *otherwise : v;
}

jn_value jn_get_path(jn_context *c, jn_value of, jn_value path, const jn_value *otherwise) {
    if (path.type != JN_STRING) return jn_get_or(c, of, path, otherwise);
    for (const char *p = path.u.s, *end = p + path.size, *dot; p <= end; p = dot + 1) {
        int64_t number = 0;
        dot = p < end ? memchr(p, '.', (size_t)(end - p)) : NULL;
        if (!dot) dot = end;
        const char *q = p;
        while (q < dot && *q >= '0' && *q <= '9' && q - p < 18) number = number * 10 + (*q++ - '0');
        const jn_value key = q == dot && q > p ? jn_int(number) : jn_string(p, (size_t)(dot - p));
        of = jn_get_or(c, of, key, otherwise);
    }
    return of;
}

/* A part of a slice: what stands for none, and what numbers from the end on and beyond mean. */
static int64_t jn_slice_bound(jn_context *c, jn_value v, int64_t none, int64_t n, int64_t lowest, int64_t highest) {
    jn_use(c, v);
    if (v.type == JN_NONE) return none;
    if (!jn_is_integer(v)) jn_fail(c, JINJA_ERROR, "a slice from or to a %s", jn_type_name(v));
    const int64_t i = v.u.i < 0 && v.u.i >= -n ? v.u.i + n : v.u.i < 0 ? -1 : v.u.i;
    return i < lowest ? lowest : i > highest ? highest : i;
}

static jn_value jn_slice_string(jn_context *c, jn_value s, int64_t from, int64_t to, int64_t step) {
    jn_text t = {0};
    if (step == 1) {
        const size_t a = jn_offset(c, s, from), b = jn_offset(c, s, to);
        return jn_mark(from < to ? jn_string(s.u.s + a, b - a) : jn_string("", 0), s.is_safe);
    }
    const jn_value chars = jn_to_list(c, s);
    for (int64_t i = from; step > 0 ? i < to : i > to; i += step) {
        const jn_value ch = chars.u.list->items[i];
        jn_put(c, &t, ch.u.s, ch.size);
        jn_spend(c, 1);
    }
    return jn_mark(jn_text_value(c, &t), s.is_safe);
}

static jn_value jn_slice(jn_context *c, const jn_node *node) {
    jn_value part[3] = {jn_none(), jn_none(), jn_none()};
    const jn_node *const nodes[] = {node->b, node->c, node->d};
    const jn_value of = jn_evaluate(c, node->a);
    for (int i = 0; i < 3; i++)
        if (nodes[i]) part[i] = jn_evaluate(c, nodes[i]);
    c->line = node->line;
    jn_use(c, of);
    if (of.type != JN_STRING && of.type != JN_LIST && of.type != JN_TUPLE) {
        if (of.type == JN_RANGE) jn_fail(c, JINJA_UNSUPPORTED, "a slice of a range is not supported");
        jn_fail(c, JINJA_ERROR, "a slice of a %s", jn_type_name(of));
    }
    const int64_t n = (int64_t)jn_count(c, of);
    int64_t step = part[2].type == JN_NONE ? 1 : jn_is_integer(part[2]) ? part[2].u.i : 0;
    if (!step) jn_fail(c, JINJA_ERROR, "a slice's step is no number or 0");
    step = step > n ? n + 1 : step < -n ? -n - 1 : step;
    const int64_t from =
        step > 0 ? jn_slice_bound(c, part[0], 0, n, 0, n) : jn_slice_bound(c, part[0], n - 1, n, -1, n - 1);
    const int64_t to = step > 0 ? jn_slice_bound(c, part[1], n, n, 0, n) : jn_slice_bound(c, part[1], -1, n, -1, n - 1);
    if (of.type == JN_STRING) return jn_slice_string(c, of, from, to, step);
    const int64_t count =
        step > 0 ? (to > from ? (to - from + step - 1) / step : 0) : (from > to ? (from - to - step - 1) / -step : 0);
    jn_value out = jn_new_list(c, (jn_type)of.type, (size_t)count);
    for (int64_t i = 0; i < count; i++) out.u.list->items[i] = of.u.list->items[from + i * step];
    return out;
}

/* ---- Arithmetic: integers of 64 bits, beyond which Python would go on and we stop ---- */

NORETURN static void jn_too_large(jn_context *c) {
    jn_fail(c, JINJA_UNSUPPORTED, "a number beyond 64 bits is not supported");
}

static int64_t jn_add(jn_context *c, int64_t a, int64_t b) {
    if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b) jn_too_large(c);
    return a + b;
}

static int64_t jn_multiply(jn_context *c, int64_t a, int64_t b) {
    const uint64_t x = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, y = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    if (y && x > (uint64_t)INT64_MAX / y) jn_too_large(c);
    return (a < 0) != (b < 0) ? -(int64_t)(x * y) : (int64_t)(x * y);
}

static jn_value jn_power(jn_context *c, int64_t a, int64_t b) {
    int64_t result = 1;
    if (b < 0) return jn_float(pow((double)a, (double)b));
    if (a == 0 || a == 1) return jn_int(b ? a : 1);
    if (a == -1) return jn_int(b % 2 ? -1 : 1);
    while (b-- > 0) result = jn_multiply(c, result, a);
    return jn_int(result);
}

static jn_value jn_integers(jn_context *c, int op, int64_t a, int64_t b) {
    if (op == '+') return jn_int(jn_add(c, a, b));
    if (op == '-' && b == INT64_MIN) jn_too_large(c);
    if (op == '-') return jn_int(jn_add(c, a, -b));
    if (op == '*') return jn_int(jn_multiply(c, a, b));
    if (op == 'p' && (a || b >= 0)) return jn_power(c, a, b);
    if (!b || op == 'p') jn_fail(c, JINJA_ERROR, "a division by zero");
    if (op == '/') return jn_float((double)a / (double)b);
    if (b == -1) return op == 'f' ? jn_int(jn_multiply(c, a, -1)) : jn_int(0);
    const int64_t rest = a % b, below = rest && (rest < 0) != (b < 0); /* Python rounds down */
    return jn_int(op == 'f' ? a / b - below : rest + (below ? b : 0));
}

static jn_value jn_floats(jn_context *c, int op, double a, double b) {
    if (op == '+') return jn_float(a + b);
    if (op == '-') return jn_float(a - b);
    if (op == '*') return jn_float(a * b);
    if (op == 'p') {
        const double result = pow(a, b);
        if (result - result != 0 || (a < 0 && b != floor(b))) jn_fail(c, JINJA_ERROR, "a power that is no number");
        return jn_float(result);
    }
    if (b == 0) jn_fail(c, JINJA_ERROR, "a division by zero");
    if (op == '/') return jn_float(a / b);
    double rest = fmod(a, b);
    if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
    return jn_float(op == '%' ? rest : floor((a - rest) / b + 0.5));
}

jn_value jn_escape_html(jn_context *c, jn_value v) {
    jn_text t = {0};
    if (v.type == JN_STRING && v.is_safe) return v;
    v = jn_str(c, v);
    for (uint32_t i = 0; i < v.size; i++) {
        const char ch = v.u.s[i];
        const char *as = ch == '&' ? "&amp;" : ch == '<' ? "&lt;" : ch == '>' ? "&gt;" : ch == '"' ? "&#34;" : "&#39;";
        jn_spend(c, 1);
        if (ch == '&' || ch == '<' || ch == '>' || ch == '"' || ch == '\'') jn_put_text(c, &t, as);
        else jn_put(c, &t, &ch, 1);
    }
    return jn_mark(jn_text_value(c, &t), 1);
}

static jn_value jn_join(jn_context *c, jn_value a, jn_value b) {
    jn_text t = {0};
    const int is_safe = a.is_safe || b.is_safe;
    if (is_safe) a = jn_escape_html(c, a), b = jn_escape_html(c, b);
    t.capacity = (size_t)a.size + b.size; /* no more than it needs: texts are summed up in loops */
    t.p = jn_allocate(c, t.capacity + 1);
    jn_put(c, &t, a.u.s, a.size);
    jn_put(c, &t, b.u.s, b.size);
    return jn_mark(jn_text_value(c, &t), is_safe);
}

static jn_value jn_repeat(jn_context *c, jn_value of, int64_t times) {
    const size_t size = of.type == JN_STRING ? of.size : of.u.list->n;
    if ((times <= 0 || !size) && of.type == JN_STRING) return jn_mark(jn_string("", 0), of.is_safe);
    if (times <= 0 || !size) return jn_new_list(c, (jn_type)of.type, 0);
    if ((uint64_t)times > c->max_memory / size) jn_allocate(c, c->max_memory + 1); /* which says so */
    if (of.type == JN_STRING) {
        jn_text t = {0};
        while (times-- > 0) jn_spend(c, 1), jn_put(c, &t, of.u.s, of.size);
        return jn_mark(jn_text_value(c, &t), of.is_safe);
    }
    jn_value out = jn_new_list(c, (jn_type)of.type, size * (size_t)times);
    for (size_t i = 0; i < out.u.list->n; i++) out.u.list->items[i] = of.u.list->items[i % size];
    jn_spend(c, out.u.list->n / 8);
    return out;
}

static jn_value jn_join_lists(jn_context *c, jn_value a, jn_value b) {
    jn_value out = jn_new_list(c, (jn_type)a.type, a.u.list->n + b.u.list->n);
    if (a.u.list->n) memcpy(out.u.list->items, a.u.list->items, a.u.list->n * sizeof a);
    if (b.u.list->n) memcpy(out.u.list->items + a.u.list->n, b.u.list->items, b.u.list->n * sizeof b);
    return out;
}

static int jn_repeats(jn_value of, jn_value times) {
    return (of.type == JN_STRING || of.type == JN_LIST || of.type == JN_TUPLE) && jn_is_integer(times);
}

jn_value jn_calculate(jn_context *c, int op, jn_value a, jn_value b) {
    const char name[] = {op == 'p' ? '*' : op == 'f' ? '/' : (char)op, op == 'p' ? '*' : op == 'f' ? '/' : 0, 0};
    jn_use(c, a);
    if (op == '%' && a.type == JN_STRING) jn_fail(c, JINJA_UNSUPPORTED, "a text %% values is not supported");
    jn_use(c, b);
    if (jn_is_integer(a) && jn_is_integer(b)) return jn_integers(c, op, a.u.i, b.u.i);
    if (jn_is_number(a) && jn_is_number(b)) return jn_floats(c, op, jn_number(a), jn_number(b));
    if (op == '+' && a.type == JN_STRING && b.type == JN_STRING) return jn_join(c, a, b);
    if (op == '+' && a.type == b.type && (a.type == JN_LIST || a.type == JN_TUPLE)) return jn_join_lists(c, a, b);
    if (op == '*' && jn_repeats(a, b)) return jn_repeat(c, a, b.u.i);
    if (op == '*' && jn_repeats(b, a)) return jn_repeat(c, b, a.u.i);
    jn_fail(c, JINJA_ERROR, "%s of a %s and a %s", name, jn_type_name(a), jn_type_name(b));
}

static jn_value jn_negative(jn_context *c, jn_value v) {
    jn_use(c, v);
    if (!jn_is_number(v)) jn_fail(c, JINJA_ERROR, "- of a %s", jn_type_name(v));
    return v.type == JN_FLOAT ? jn_float(-v.u.f) : jn_int(jn_multiply(c, v.u.i, -1));
}

static int jn_compares(jn_context *c, int op, jn_value a, jn_value b) {
    if (op == '=' || op == '!') return jn_equal(c, a, b) == (op == '=');
    if (op == 'i' || op == 'n') return jn_contains(c, a, b) == (op == 'i');
    const char *name = op == '<' ? "<" : op == '>' ? ">" : op == 'l' ? "<=" : ">=";
    const int order = jn_order(c, a, b, name);
    if (order == 2) return 0;
    return op == '<' ? order < 0 : op == '>' ? order > 0 : op == 'l' ? order <= 0 : order >= 0;
}

static jn_value jn_compare(jn_context *c, const jn_node *n) {
    jn_value left = jn_evaluate(c, n->a);
    int result = 1;
    for (const jn_node *operand = n->list; operand && result; operand = operand->next) {
        const jn_value right = jn_evaluate(c, operand->a);
        c->line = operand->line;
        result = jn_compares(c, operand->op, left, right);
        left = right;
    }
    return jn_bool(result);
}

/* ---- Calls ---- */

static void jn_evaluate_arguments(jn_context *c, const jn_node *list, jn_list *positional, jn_dict *named) {
    for (const jn_node *n = list; n; n = n->next) {
        if (n->kind == JN_KEYWORD) {
            if (jn_dict_find(c, named, n->value))
                jn_fail(c, JINJA_ERROR, "argument %.*s twice", (int)(n->value.size < 60 ? n->value.size : 60),
                        n->value.u.s);
            jn_dict_put(c, named, n->value, jn_evaluate(c, n->a));
        } else jn_append(c, positional, jn_evaluate(c, n));
    }
}

/* Takes an argument out of those with names; 0: there is none of this name. */
static int jn_take_named(jn_dict *named, jn_value name, jn_value *out) {
    for (size_t i = 0; i < named->n; i++) {
        if (!jn_same_name(named->pairs[i].key, name)) continue;
        *out = named->pairs[i].value;
        named->n--;
        memmove(named->pairs + i, named->pairs + i + 1, (named->n - i) * sizeof *named->pairs);
        return 1;
    }
    return 0;
}

/* Gives a macro's parameters, as names of the scope, their arguments; returns how many there are. A default may name
 * other parameters, but nothing of their names outside: those that are not given are undefined at first. */
static size_t jn_bind_parameters(jn_context *c, const jn_node *first, const jn_list *positional, jn_dict *named) {
    size_t n = 0, i = 0;
    for (const jn_node *p = first; p; p = p->next) n++;
    char *given = jn_allocate(c, n + 1);
    for (const jn_node *p = first; p; p = p->next, i++) {
        jn_value v = jn_undefined(p->value.u.s, p->value.size, 0);
        given[i] = i < positional->n || jn_take_named(named, p->value, &v);
        jn_assign_name(c, p->value, i < positional->n ? positional->items[i] : v);
    }
    i = 0;
    for (const jn_node *p = first; p; p = p->next)
        if (!given[i++] && p->a) jn_assign_name(c, p->value, jn_evaluate(c, p->a));
    return n;
}

static void jn_bind_all(jn_context *c, const jn_node *node, const jn_list *positional, jn_dict *named) {
    static const jn_value caller = {.type = JN_STRING, .size = 6, .u.s = "caller"};
    if (node->op & JN_USES_CALLER) {
        jn_value v = jn_undefined("caller", 6, 0);
        jn_take_named(named, caller, &v);
        jn_assign_name(c, caller, v);
    }
    const size_t n = jn_bind_parameters(c, node->list, positional, named);
    const size_t more = positional->n > n ? positional->n - n : 0;
    if ((more && !(node->op & JN_USES_VARARGS)) || (named->n && !(node->op & JN_USES_KWARGS)))
        jn_fail(c, JINJA_ERROR, "macro %.*s has no such argument", (int)(node->value.size < 60 ? node->value.size : 60),
                node->value.u.s);
    if (node->op & JN_USES_VARARGS) {
        jn_value v = jn_new_list(c, JN_TUPLE, more);
        if (more) memcpy(v.u.list->items, positional->items + n, more * sizeof v);
        jn_assign_name(c, jn_string("varargs", 7), v);
    }
    if (node->op & JN_USES_KWARGS) {
        jn_value v = jn_new_dict(c, JN_DICT);
        *v.u.dict = *named;
        jn_assign_name(c, jn_string("kwargs", 6), v);
    }
}

/* Runs a list of statements in a scope inside of the given one, and returns what they print. */
static jn_value jn_capture(jn_context *c, const jn_node *body, jn_flow *flow) {
    jn_text t = {0}, *outer = c->output;
    c->output = &t;
    *flow = jn_run(c, body);
    c->output = outer;
    return jn_text_value(c, &t);
}

static jn_value jn_call_macro(jn_context *c, const jn_macro *m, const jn_list *positional, jn_dict *named) {
    jn_scope *scope = c->scope;
    jn_flow flow;
    c->scope = jn_new_scope(c, m->scope);
    jn_bind_all(c, m->node, positional, named);
    const jn_value v = jn_capture(c, m->node->body, &flow);
    c->scope = scope;
    return v;
}

/* loop(items) in a recursive loop: the text of the same loop over other items. */
static jn_value jn_call_loop(jn_context *c, const jn_loop *loop, const jn_list *positional, const jn_dict *named) {
    jn_text t = {0}, *outer = c->output;
    jn_scope *scope = c->scope;
    if (!loop->node->op) jn_fail(c, JINJA_ERROR, "loop is called, but is not recursive");
    if (positional->n != 1 || named->n) jn_fail(c, JINJA_ERROR, "loop is not called with one value");
    c->output = &t;
    c->scope = loop->scope;
    jn_for(c, loop->node, positional->items[0], loop->depth + 1);
    c->output = outer;
    c->scope = scope;
    return jn_text_value(c, &t);
}

static jn_value jn_call_value(jn_context *c, jn_value callee, const jn_list *positional, jn_dict *named) {
    if (callee.type == JN_MACRO) return jn_call_macro(c, callee.u.macro, positional, named);
    if (callee.type == JN_LOOP) return jn_call_loop(c, callee.u.loop, positional, named);
    if (callee.type == JN_FUNCTION) return jn_apply(c, "function", callee.u.function, NULL, positional, named);
    if (callee.type == JN_METHOD)
        return jn_apply(c, "method", callee.u.method->function, &callee.u.method->self, positional, named);
    jn_use(c, callee);
    jn_fail(c, JINJA_ERROR, "a %s cannot be called", jn_type_name(callee));
}

/* caller: of a call block, or NULL. */
static jn_value jn_call(jn_context *c, const jn_node *n, const jn_value *caller) {
    jn_list positional = {0};
    jn_dict named = {0};
    const jn_value callee = jn_evaluate(c, n->a);
    jn_evaluate_arguments(c, n->list, &positional, &named);
    if (caller) jn_dict_put(c, &named, jn_string("caller", 6), *caller);
    c->line = n->line;
    return jn_call_value(c, callee, &positional, &named);
}

/* Applies the filter or test of n to self. */
static jn_value jn_apply_node(jn_context *c, const char *what, const jn_node *n, jn_value self) {
    jn_list positional = {0};
    jn_dict named = {0};
    jn_evaluate_arguments(c, n->list, &positional, &named);
    c->line = n->line;
    if (!n->function) jn_refuse(c, what, n->value.u.s, n->value.size);
    return jn_apply(c, what, n->function, &self, &positional, &named);
}

/* n: a chain of filters, whose innermost is applied to what is given if it has nothing itself. */
static jn_value jn_filter(jn_context *c, const jn_node *n, const jn_value *given) {
    jn_value self;
    if (!n->a) self = *given;
    else if (given) { /* of a block: down to the innermost, through filters only */
        if (n->a->kind != JN_FILTER)
            jn_fail(c, JINJA_UNSUPPORTED, "a block through what is no filter is not supported");
        jn_enter(c);
        self = jn_filter(c, n->a, given);
        c->depth--;
    } else self = jn_evaluate(c, n->a);
    return jn_apply_node(c, "filter", n, self);
}

/* ---- Expressions ---- */

static jn_value jn_make_list(jn_context *c, const jn_node *n) {
    jn_value v = jn_new_list(c, n->kind == JN_MAKE_LIST ? JN_LIST : JN_TUPLE, 0);
    for (const jn_node *item = n->list; item; item = item->next) jn_append(c, v.u.list, jn_evaluate(c, item));
    return v;
}

static jn_value jn_make_dict(jn_context *c, const jn_node *n) {
    jn_value v = jn_new_dict(c, JN_DICT);
    for (const jn_node *key = n->list; key; key = key->next->next) {
        const jn_value k = jn_evaluate(c, key);
        jn_dict_put(c, v.u.dict, k, jn_evaluate(c, key->next));
    }
    return v;
}

static jn_value jn_concat(jn_context *c, const jn_node *n) {
    jn_text t = {0};
    for (const jn_node *item = n->list; item; item = item->next) jn_put_str(c, &t, jn_evaluate(c, item));
    return jn_text_value(c, &t);
}

static jn_value jn_evaluate_kind(jn_context *c, const jn_node *n) {
    jn_value v;
    switch (n->kind) {
    case JN_CONST: return n->value;
    case JN_NAME: return jn_look_up(c, n->value);
    case JN_ATTRIBUTE: return v = jn_evaluate(c, n->a), c->line = n->line, jn_get_attribute(c, v, n->value);
    case JN_SUBSCRIPT: {
        const jn_value of = jn_evaluate(c, n->a);
        return v = jn_evaluate(c, n->b), c->line = n->line, jn_get_item(c, of, v);
    }
    case JN_SLICE: return jn_slice(c, n);
    case JN_CALL: return jn_call(c, n, NULL);
    case JN_FILTER: return jn_filter(c, n, NULL);
    case JN_TEST: return v = jn_evaluate(c, n->a), jn_apply_node(c, "test", n, v);
    case JN_NOT: return jn_bool(!jn_truth(jn_evaluate(c, n->a)));
    case JN_NEGATIVE: return jn_negative(c, jn_evaluate(c, n->a));
    case JN_POSITIVE: return jn_negative(c, jn_negative(c, jn_evaluate(c, n->a)));
    case JN_AND: return v = jn_evaluate(c, n->a), jn_truth(v) ? jn_evaluate(c, n->b) : v;
    case JN_OR: return v = jn_evaluate(c, n->a), jn_truth(v) ? v : jn_evaluate(c, n->b);
    case JN_BINARY: {
        const jn_value left = jn_evaluate(c, n->a);
        return v = jn_evaluate(c, n->b), c->line = n->line, jn_calculate(c, n->op, left, v);
    }
    case JN_CONCAT: return jn_concat(c, n);
    case JN_COMPARE: return jn_compare(c, n);
    case JN_TERNARY:
        if (jn_truth(jn_evaluate(c, n->b))) return jn_evaluate(c, n->a);
        return n->c ? jn_evaluate(c, n->c) : jn_undefined("the inline if without else", 26, 0);
    case JN_MAKE_LIST:
    case JN_MAKE_TUPLE: return jn_make_list(c, n);
    default: return jn_make_dict(c, n);
    }
}

static jn_value jn_evaluate(jn_context *c, const jn_node *n) {
    jn_enter(c);
    jn_spend(c, 1);
    c->line = n->line;
    const jn_value v = jn_evaluate_kind(c, n);
    c->depth--;
    return v;
}

/* ---- Loops ---- */

static void jn_assign(jn_context *c, const jn_node *target, jn_value v);

/* The next item that the loop's "if" lets through; 0: none is left. */
static int jn_loop_take(jn_context *c, jn_loop *loop, jn_value *item) {
    jn_scope *scope = c->scope;
    const uint32_t line = c->line;
    int found = 0;
    while (!found && jn_next(c, &loop->items, item)) {
        found = !loop->node->d;
        if (found) break;
        c->scope = jn_new_scope(c, loop->scope);
        jn_assign(c, loop->node->a, *item);
        found = jn_truth(jn_evaluate(c, loop->node->d));
        c->scope = scope;
    }
    c->line = line;
    return found;
}

/* Whether there is an item after the current one. */
static int jn_loop_peek(jn_context *c, jn_loop *loop) {
    jn_value item;
    if (loop->n_past < loop->ahead.n) return 1;
    if (!jn_loop_take(c, loop, &item)) return 0;
    jn_append(c, &loop->ahead, item);
    return 1;
}

static int jn_loop_next(jn_context *c, jn_loop *loop) {
    jn_value item;
    if (loop->n_past < loop->ahead.n) item = loop->ahead.items[loop->n_past++];
    else if (!jn_loop_take(c, loop, &item)) return 0;
    loop->has_previous = loop->index > 0;
    loop->previous = loop->current;
    loop->current = item;
    loop->index++;
    return 1;
}

static size_t jn_loop_length(jn_context *c, jn_loop *loop) {
    jn_value item;
    while (jn_loop_take(c, loop, &item)) jn_append(c, &loop->ahead, item);
    return loop->index + loop->ahead.n - loop->n_past;
}

static jn_value jn_loop_attribute(jn_context *c, jn_loop *loop, jn_value name) {
    const int64_t index = (int64_t)loop->index;
    if (jn_is_text(name, "index")) return jn_int(index);
    if (jn_is_text(name, "index0")) return jn_int(index - 1);
    if (jn_is_text(name, "first")) return jn_bool(index == 1);
    if (jn_is_text(name, "last")) return jn_bool(!jn_loop_peek(c, loop));
    if (jn_is_text(name, "length")) return jn_int((int64_t)jn_loop_length(c, loop));
    if (jn_is_text(name, "revindex")) return jn_int((int64_t)jn_loop_length(c, loop) - index + 1);
    if (jn_is_text(name, "revindex0")) return jn_int((int64_t)jn_loop_length(c, loop) - index);
    if (jn_is_text(name, "previtem")) return loop->has_previous ? loop->previous : jn_undefined("previtem", 8, 1);
    if (jn_is_text(name, "nextitem"))
        return jn_loop_peek(c, loop) ? loop->ahead.items[loop->n_past] : jn_undefined("nextitem", 8, 1);
    if (jn_is_text(name, "depth")) return jn_int(loop->depth);
    if (jn_is_text(name, "depth0")) return jn_int(loop->depth - 1);
    const jn_function *f = jn_find_method((jn_value){.type = JN_LOOP}, name.u.s, name.size);
    if (!f) return jn_undefined(name.u.s, name.size, 1);
    jn_method *method = jn_allocate(c, sizeof *method);
    *method = (jn_method){{.type = JN_LOOP, .u.loop = loop}, f};
    return (jn_value){.type = JN_METHOD, .u.method = method};
}

jn_value jn_loop_call(jn_context *c, const jn_arguments *a, int changed) {
    jn_loop *loop = a->args[0]->u.loop;
    if (!changed) {
        if (!a->rest.n) jn_fail(c, JINJA_ERROR, "loop.cycle of nothing");
        return a->rest.items[(loop->index - 1) % a->rest.n];
    }
    jn_value v = jn_new_list(c, JN_TUPLE, 0);
    for (size_t i = 0; i < a->rest.n; i++) jn_append(c, v.u.list, a->rest.items[i]);
    const int differs = !loop->has_changed || !jn_equal(c, loop->last_changed, v);
    loop->has_changed = 1;
    loop->last_changed = v;
    return jn_bool(differs);
}

static jn_flow jn_for(jn_context *c, const jn_node *n, jn_value items, int depth) {
    jn_scope *outer = c->scope;
    jn_loop *loop = jn_allocate(c, sizeof *loop);
    jn_flow flow = JN_GO_ON;
    c->line = n->line;
    *loop = (jn_loop){.items = jn_iterate(c, items), .node = n, .scope = outer, .depth = depth};
    while (flow != JN_LEAVE && jn_loop_next(c, loop)) {
        c->scope = jn_new_scope(c, outer);
        jn_assign_name(c, jn_string("loop", 4), (jn_value){.type = JN_LOOP, .u.loop = loop});
        jn_assign(c, n->a, loop->current);
        flow = jn_run(c, n->body);
        c->scope = outer;
    }
    if (loop->index || !n->c) return JN_GO_ON;
    c->scope = jn_new_scope(c, outer);
    flow = jn_run(c, n->c);
    c->scope = outer;
    return flow;
}

/* ---- Statements ---- */

static void jn_unpack(jn_context *c, const jn_node *target, jn_value v) {
    const jn_value items = jn_to_list(c, v);
    size_t n = 0;
    for (const jn_node *t = target->list; t; t = t->next) n++;
    if (items.u.list->n != n) jn_fail(c, JINJA_ERROR, "%zu values for %zu names", items.u.list->n, n);
    n = 0;
    for (const jn_node *t = target->list; t; t = t->next) jn_assign(c, t, items.u.list->items[n++]);
}

static void jn_assign(jn_context *c, const jn_node *target, jn_value v) {
    if (target->kind == JN_NAME) jn_assign_name(c, target->value, v);
    else if (target->kind == JN_ATTRIBUTE) {
        const jn_value of = jn_evaluate(c, target->a);
        if (of.type != JN_NAMESPACE) jn_fail(c, JINJA_ERROR, "an attribute of what is no namespace is set");
        jn_dict_put(c, of.u.dict, target->value, v);
    } else jn_unpack(c, target, v);
}

static jn_value jn_make_macro(jn_context *c, const jn_node *n) {
    jn_macro *m = jn_allocate(c, sizeof *m);
    *m = (jn_macro){n, c->scope};
    return (jn_value){.type = JN_MACRO, .u.macro = m};
}

static jn_flow jn_if(jn_context *c, const jn_node *n) {
    for (;;) {
        c->line = n->line;
        if (jn_truth(jn_evaluate(c, n->a))) return jn_run(c, n->body);
        if (!n->c) return JN_GO_ON;
        if (n->c->kind != JN_IF || !n->c->op) return jn_run(c, n->c);
        n = n->c;
    }
}

/* What a block prints, in a scope of its own, through its filters. */
static jn_flow jn_run_block(jn_context *c, const jn_node *n, jn_value *text) {
    jn_scope *outer = c->scope;
    jn_flow flow;
    c->scope = jn_new_scope(c, outer);
    *text = jn_capture(c, n->body, &flow);
    if (n->b && flow == JN_GO_ON) *text = jn_filter(c, n->b, text);
    c->scope = outer;
    return flow;
}

static jn_flow jn_with(jn_context *c, const jn_node *n) {
    jn_scope *outer = c->scope, *inner = jn_new_scope(c, outer);
    for (const jn_node *set = n->list; set; set = set->next) {
        c->scope = outer; /* the values see nothing of each other */
        const jn_value v = jn_evaluate(c, set->b);
        c->scope = inner;
        jn_assign(c, set->a, v);
    }
    c->scope = inner;
    const jn_flow flow = jn_run(c, n->body);
    c->scope = outer;
    return flow;
}

static jn_flow jn_statement(jn_context *c, const jn_node *n) {
    jn_value v;
    jn_flow flow = JN_GO_ON;
    switch (n->kind) {
    case JN_TEXT: jn_put(c, c->output, n->value.u.s, n->value.size); break;
    case JN_PRINT: jn_put_str(c, c->output, jn_evaluate(c, n->a)); break;
    case JN_IF: return jn_if(c, n);
    case JN_FOR: return v = jn_evaluate(c, n->b), jn_for(c, n, v, 1);
    case JN_SET: v = jn_evaluate(c, n->b), jn_assign(c, n->a, v); break;
    case JN_SET_BLOCK:
        flow = jn_run_block(c, n, &v);
        if (flow == JN_GO_ON) jn_assign(c, n->a, v);
        break;
    case JN_MACRO_DEF: jn_assign_name(c, n->value, jn_make_macro(c, n)); break;
    case JN_CALL_BLOCK:
        v = jn_make_macro(c, n);
        jn_put_str(c, c->output, jn_call(c, n->a, &v));
        break;
    case JN_FILTER_BLOCK:
        flow = jn_run_block(c, n, &v);
        if (flow == JN_GO_ON) jn_put_str(c, c->output, v);
        break;
    case JN_WITH:
    case JN_SCOPE: return jn_with(c, n);
    case JN_BREAK: return JN_LEAVE;
    default: return JN_AGAIN;
    }
    return flow;
}

static jn_flow jn_run(jn_context *c, const jn_node *n) {
    jn_flow flow = JN_GO_ON;
    jn_enter(c);
    for (; n && flow == JN_GO_ON; n = n->next) {
        jn_spend(c, 1);
        c->line = n->line;
        flow = jn_statement(c, n);
    }
    c->depth--;
    return flow;
}

/* ---- Renderings ---- */

static void jn_render(jn_context *c, const jinja_program *p, const json_node *variables, jn_text *t) {
    jn_scope *outermost = jn_new_scope(c, NULL); /* the variables: under what the template defines itself */
    c->scope = outermost;
    c->output = t;
    if (variables)
        JSON_EACH(key, variables) {
            jn_variable *v = jn_allocate(c, sizeof *v);
            *v = (jn_variable){outermost->first, jn_string(key->text, key->size), jn_from_json(c, key + 1)};
            outermost->first = v;
        }
    c->scope = jn_new_scope(c, outermost);
    jn_run(c, p->body);
}

/* The context is the caller's, since longjmp may lose what changes in the function that it comes back to. */
static jinja_result jn_try(jn_context *c, const jinja_program *p, const json_node *variables, jn_text *t, char **out) {
    if (setjmp(c->out)) return c->result;
    jn_render(c, p, json_is(variables, JSON_OBJECT) ? variables : NULL, t);
    *out = malloc(t->n + 1);
    if (!*out) jn_fail(c, JINJA_LIMIT, "no memory");
    if (t->n) memcpy(*out, t->p, t->n);
    (*out)[t->n] = 0;
    return JINJA_DONE;
}

jinja_result jinja_render(const jinja_program *p, const json_node *variables, const jinja_limits *limits, char **out,
                          size_t *size, llama_error *err) {
    static const jinja_limits none = {0};
    jn_text t = {0};
    jn_context c = {.line = 1, .name = p->memory.name, .err = err, .limits = limits ? limits : &none};
    c.max_steps = c.limits->max_steps ? c.limits->max_steps : 2000000;
    c.max_memory = c.limits->max_memory ? c.limits->max_memory : (size_t)64 << 20;
    if (c.max_memory > UINT32_MAX / 2) c.max_memory = UINT32_MAX / 2; /* texts have sizes of 32 bits */
    t.max = c.limits->max_output ? c.limits->max_output : (size_t)4 << 20;
    *out = NULL;
    const jinja_result result = jn_try(&c, p, variables, &t, out);
    *size = *out ? t.n : 0;
    jn_release(&c);
    return result;
}
