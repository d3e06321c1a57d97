/* jinja_values.c - memory, and values as Python has them. Contract in jinja_internal.h. */
#include "jinja_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Failing, and limits ---- */

void jn_fail(jn_context *c, jinja_result result, const char *format, ...) {
    char what[sizeof((llama_error *)0)->text];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    set_error(c->err, "%.80s: line %lu: %s", c->name, (unsigned long)c->line, what);
    c->result = result;
    longjmp(c->out, 1);
}

void jn_enter(jn_context *c) {
    if (++c->depth > JN_MAX_NESTING) jn_fail(c, JINJA_LIMIT, "nested more than %d deep", JN_MAX_NESTING);
}

void jn_spend(jn_context *c, size_t steps) {
    c->steps += steps;
    if (c->steps > c->max_steps) jn_fail(c, JINJA_LIMIT, "more than %llu steps", (unsigned long long)c->max_steps);
}

/* ---- Memory: blocks that are only ever added ---- */

typedef union {
    double f;
    int64_t i;
    void *p;
} jn_aligned;

typedef struct jn_block {
    struct jn_block *next;
    size_t used, size;
    jn_aligned data[];
} jn_block;

void *jn_allocate(jn_context *c, size_t size) {
    enum { SMALLEST = 4096, LARGEST = 1 << 20 };
    jn_block *b = c->blocks;
    if (size > c->max_memory) jn_fail(c, JINJA_LIMIT, "more than %zu bytes of memory", c->max_memory);
    size = (size + sizeof(jn_aligned) - 1) / sizeof(jn_aligned) * sizeof(jn_aligned);
    if (!b || size > b->size - b->used) {
        size_t room = c->memory < SMALLEST ? SMALLEST : c->memory < LARGEST ? c->memory : LARGEST;
        if (room < size) room = size;
        if (room > c->max_memory - c->memory) room = size;
        if (room > c->max_memory - c->memory) jn_fail(c, JINJA_LIMIT, "more than %zu bytes of memory", c->max_memory);
        b = malloc(sizeof *b + room);
        if (!b) jn_fail(c, JINJA_LIMIT, "no memory");
        *b = (jn_block){.next = c->blocks, .size = room};
        c->blocks = b;
        c->memory += room;
    }
    void *p = (char *)b->data + b->used;
    b->used += size;
    return memset(p, 0, size);
}

void jn_release(jn_context *c) {
    for (jn_block *b = c->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    c->blocks = NULL;
}

/* ---- Growing texts ---- */

static void jn_reserve(jn_context *c, jn_text *t, size_t n) {
    if (n > (t->max ? t->max : UINT32_MAX) - t->n)
        jn_fail(c, JINJA_LIMIT, "more than %zu bytes of text", t->max ? t->max : UINT32_MAX);
    if (n <= t->capacity - t->n) return;
    size_t capacity = t->capacity ? 2 * t->capacity : 64;
    if (capacity < t->n + n) capacity = t->n + n;
    char *p = jn_allocate(c, capacity);
    if (t->n) memcpy(p, t->p, t->n);
    jn_spend(c, t->n / 64);
    t->p = p;
    t->capacity = capacity;
}

void jn_put(jn_context *c, jn_text *t, const char *p, size_t n) {
    if (!n) return;
    jn_reserve(c, t, n);
    jn_spend(c, n / 64);
    memcpy(t->p + t->n, p, n);
    t->n += n;
}

void jn_put_text(jn_context *c, jn_text *t, const char *text) { jn_put(c, t, text, strlen(text)); }

void jn_put_utf8(jn_context *c, jn_text *t, unsigned long u) {
    char s[4];
    const int n = u < 0x80 ? 1 : u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, u >>= 6) s[i] = (char)(0x80 | (u & 63));
    static const unsigned char first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    s[0] = (char)(first[n] | u);
    jn_put(c, t, s, (size_t)n);
}

jn_value jn_text_value(jn_context *c, const jn_text *t) { return t->n ? jn_string(t->p, t->n) : jn_copy(c, "", 0); }

/* ---- Making values ---- */

jn_value jn_string(const char *s, size_t size) {
    return (jn_value){.type = JN_STRING, .size = (uint32_t)size, .u.s = s};
}

jn_value jn_copy(jn_context *c, const char *s, size_t size) {
    if (!size) return jn_string("", 0);
    if (size > UINT32_MAX) jn_fail(c, JINJA_LIMIT, "a text of %zu bytes", size);
    jn_spend(c, size / 64);
    return jn_string(memcpy(jn_allocate(c, size), s, size), size);
}

jn_value jn_new_list(jn_context *c, jn_type type, size_t n) {
    jn_list *list = jn_allocate(c, sizeof *list);
    if (n > c->max_memory / sizeof *list->items) n = c->max_memory; /* too much, as the allocation will say */
    jn_spend(c, n / 8);
    list->n = n;
    list->items = n ? jn_allocate(c, n * sizeof *list->items) : NULL;
    return (jn_value){.type = (uint8_t)type, .u.list = list};
}

/* Room is doubled when n is a power of two. */
void jn_append(jn_context *c, jn_list *list, jn_value v) {
    if ((list->n & (list->n - 1)) == 0) {
        jn_value *more = jn_allocate(c, (list->n ? 2 * list->n : 1) * sizeof *more);
        jn_spend(c, list->n / 8);
        if (list->n) memcpy(more, list->items, list->n * sizeof *more);
        list->items = more;
    }
    list->items[list->n++] = v;
}

jn_value jn_new_dict(jn_context *c, jn_type type) {
    return (jn_value){.type = (uint8_t)type, .u.dict = jn_allocate(c, sizeof(jn_dict))};
}

jn_value *jn_dict_find(jn_context *c, const jn_dict *d, jn_value key) {
    for (size_t i = 0; i < d->n; i++)
        if (jn_equal(c, d->pairs[i].key, key)) return &d->pairs[i].value;
    return NULL;
}

void jn_check_key(jn_context *c, jn_value key) {
    if (key.type == JN_VIEW) jn_fail(c, JINJA_UNSUPPORTED, "a dict_view as a key is not supported");
    if (key.type == JN_LIST || key.type == JN_DICT) jn_fail(c, JINJA_ERROR, "a %s as a key", jn_type_name(key));
    if (key.type != JN_TUPLE) return;
    jn_enter(c);
    jn_spend(c, key.u.list->n);
    for (size_t i = 0; i < key.u.list->n; i++) jn_check_key(c, key.u.list->items[i]);
    c->depth--;
}

void jn_dict_put(jn_context *c, jn_dict *d, jn_value key, jn_value value) {
    jn_check_key(c, key);
    jn_value *old = jn_dict_find(c, d, key);
    if (old) {
        *old = value;
        return;
    }
    if (d->n == d->capacity) {
        d->capacity = d->capacity ? 2 * d->capacity : 4;
        jn_pair *more = jn_allocate(c, d->capacity * sizeof *more);
        if (d->n) memcpy(more, d->pairs, d->n * sizeof *more);
        d->pairs = more;
    }
    d->pairs[d->n++] = (jn_pair){key, value};
}

/* An object's keys differ already, so that none needs to be looked for. */
static jn_value jn_dict_from_json(jn_context *c, const json_node *n) {
    jn_value v = jn_new_dict(c, JN_DICT);
    jn_dict *d = v.u.dict;
    d->capacity = n->size;
    d->pairs = n->size ? jn_allocate(c, n->size * sizeof *d->pairs) : NULL;
    JSON_EACH(key, n) d->pairs[d->n++] = (jn_pair){jn_string(key->text, key->size), jn_from_json(c, key + 1)};
    return v;
}

jn_value jn_from_json(jn_context *c, const json_node *n) {
    jn_value v = jn_none();
    jn_enter(c);
    jn_spend(c, 1);
    switch (n->type) {
    case JSON_NULL: break;
    case JSON_FALSE: v = jn_bool(0); break;
    case JSON_TRUE: v = jn_bool(1); break;
    case JSON_NUMBER:
        v = n->number == floor(n->number) && fabs(n->number) < 0x1p53 ? jn_int((int64_t)n->number)
                                                                      : jn_float(n->number);
        break;
    case JSON_STRING: v = jn_string(n->text, n->size); break;
    case JSON_ARRAY: {
        size_t i = 0;
        v = jn_new_list(c, JN_LIST, n->size);
        JSON_EACH(item, n) v.u.list->items[i++] = jn_from_json(c, item);
        break;
    }
    case JSON_OBJECT: v = jn_dict_from_json(c, n); break;
    }
    c->depth--;
    return v;
}

/* ---- What a value is ---- */

const char *jn_type_name(jn_value v) {
    static const char *const names[] = {"Undefined", "NoneType",    "bool",      "int",       "float", "str",
                                        "list",      "tuple",       "dict_view", "generator", "range", "dict",
                                        "Namespace", "LoopContext", "Macro",     "function",  "method"};
    return names[v.type];
}

int jn_is_text(jn_value v, const char *text) {
    return v.type == JN_STRING && v.size == strlen(text) && !memcmp(v.u.s, text, v.size);
}

void jn_use(jn_context *c, jn_value v) {
    if (v.type == JN_UNDEFINED && v.is_attribute == 2)
        jn_fail(c, JINJA_ERROR, "the method %.*s changes a value, which transformers refuses", (int)v.size, v.u.s);
    if (v.type == JN_UNDEFINED)
        jn_fail(c, JINJA_ERROR, "%s'%.*s' is undefined", v.is_attribute ? "attribute " : "",
                (int)(v.size < 60 ? v.size : 60), v.u.s ? v.u.s : "");
}

int jn_truth(jn_value v) {
    switch (v.type) {
    case JN_UNDEFINED:
    case JN_NONE: return 0;
    case JN_BOOL:
    case JN_INT: return v.u.i != 0;
    case JN_FLOAT: return v.u.f != 0;
    case JN_STRING: return v.size > 0;
    case JN_LIST:
    case JN_TUPLE:
    case JN_VIEW: return v.u.list->n > 0;
    case JN_RANGE: return v.u.range->n > 0;
    case JN_DICT: return v.u.dict->n > 0;
    default: return 1;
    }
}

static int jn_equal_dicts(jn_context *c, const jn_dict *a, const jn_dict *b) {
    if (a->n != b->n) return 0;
    for (size_t i = 0; i < a->n; i++) {
        const jn_value *other = jn_dict_find(c, b, a->pairs[i].key);
        if (!other || !jn_equal(c, a->pairs[i].value, *other)) return 0;
    }
    return 1;
}

static int jn_equal_items(jn_context *c, jn_value a, jn_value b) {
    const size_t n = jn_count(c, a);
    if (n != jn_count(c, b)) return 0;
    for (size_t i = 0; i < n; i++)
        if (!jn_equal(c, jn_item(a, i), jn_item(b, i))) return 0;
    return 1;
}

int jn_equal(jn_context *c, jn_value a, jn_value b) {
    int equal = 0;
    jn_spend(c, 1);
    if (jn_is_number(a) && jn_is_number(b))
        return jn_is_integer(a) && jn_is_integer(b) ? a.u.i == b.u.i : jn_number(a) == jn_number(b);
    if (a.type != b.type) return 0;
    jn_enter(c);
    switch (a.type) {
    case JN_UNDEFINED:
    case JN_NONE: equal = 1; break;
    case JN_STRING:
        equal = a.size == b.size && !memcmp(a.u.s, b.u.s, a.size);
        if (a.size == b.size) jn_spend(c, a.size / 64);
        break;
    case JN_LIST:
    case JN_TUPLE:
    case JN_RANGE: equal = jn_equal_items(c, a, b); break;
    case JN_VIEW: jn_fail(c, JINJA_UNSUPPORTED, "comparing dict_views is not supported");
    case JN_DICT: equal = jn_equal_dicts(c, a.u.dict, b.u.dict); break;
    case JN_FUNCTION: equal = a.u.function == b.u.function; break;
    default: equal = a.u.list == b.u.list; break; /* the same thing, whichever pointer it is */
    }
    c->depth--;
    return equal;
}

int jn_order(jn_context *c, jn_value a, jn_value b, const char *op) {
    jn_spend(c, 1);
    jn_use(c, a), jn_use(c, b);
    if (jn_is_integer(a) && jn_is_integer(b)) return (a.u.i > b.u.i) - (a.u.i < b.u.i);
    if (jn_is_number(a) && jn_is_number(b)) {
        const double x = jn_number(a), y = jn_number(b);
        return x != x || y != y ? 2 : (x > y) - (x < y);
    }
    if (a.type == JN_STRING && b.type == JN_STRING) { /* UTF-8 sorts as its code points do */
        const uint32_t n = a.size < b.size ? a.size : b.size;
        const int order = memcmp(a.u.s, b.u.s, n);
        jn_spend(c, n / 64);
        return order ? (order > 0) - (order < 0) : (a.size > b.size) - (a.size < b.size);
    }
    if (a.type != b.type || (a.type != JN_LIST && a.type != JN_TUPLE))
        jn_fail(c, JINJA_ERROR, "'%s' is not supported between a %s and a %s", op, jn_type_name(a), jn_type_name(b));
    jn_enter(c);
    const size_t na = a.u.list->n, nb = b.u.list->n;
    int order = (na > nb) - (na < nb);
    for (size_t i = 0; i < na && i < nb; i++) {
        if (jn_equal(c, a.u.list->items[i], b.u.list->items[i])) continue;
        order = jn_order(c, a.u.list->items[i], b.u.list->items[i], op);
        break;
    }
    c->depth--;
    return order;
}

/* ---- Characters ---- */

size_t jn_char_size(const char *p, const char *end) {
    const unsigned char first = (unsigned char)*p;
    const size_t n = first < 0xC2 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 1;
    if (n > (size_t)(end - p)) return 1;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return 1;
    return n;
}

size_t jn_last_char_size(const char *p, const char *end) {
    const char *last = end - 1;
    while (last > p && ((unsigned char)*last & 0xC0) == 0x80 && end - last < 4) last--;
    return jn_char_size(last, end) == (size_t)(end - last) ? (size_t)(end - last) : 1;
}

unsigned long jn_code_point(const char *p, const char *end, size_t *size) {
    const size_t n = *size = jn_char_size(p, end);
    unsigned long u = (unsigned char)*p;
    if (n > 1) u &= 0xFFu >> (n + 1);
    for (size_t i = 1; i < n; i++) u = u << 6 | ((unsigned char)p[i] & 63);
    return u;
}

int jn_is_space(unsigned long u) {
    return (u >= 9 && u <= 13) || (u >= 28 && u <= 32) || u == 0x85 || u == 0xA0 || u == 0x1680 ||
           (u >= 0x2000 && u <= 0x200A) || u == 0x2028 || u == 0x2029 || u == 0x202F || u == 0x205F || u == 0x3000;
}

size_t jn_length(jn_context *c, jn_value s) {
    size_t n = 0;
    jn_spend(c, s.size / 16);
    for (const char *p = s.u.s, *end = p + s.size; p < end; p += jn_char_size(p, end)) n++;
    return n;
}

size_t jn_offset(jn_context *c, jn_value s, int64_t index) {
    const char *p = s.u.s, *end = p + s.size;
    for (; index > 0 && p < end; index--) p += jn_char_size(p, end);
    jn_spend(c, (size_t)(p - s.u.s) / 16);
    return (size_t)(p - s.u.s);
}

const char *jn_search(jn_context *c, const char *at, const char *end, jn_value part) {
    for (; (size_t)(end - at) >= part.size; at++) {
        const char *found = part.size ? memchr(at, *part.u.s, (size_t)(end - at) - part.size + 1) : at;
        jn_spend(c, 1 + (size_t)((found ? found : end) - at) / 64 + part.size / 64);
        if (!found || !memcmp(found, part.u.s, part.size)) return found;
        at = found;
    }
    return NULL;
}

/* ---- Going through ---- */

jn_iterator jn_iterate(jn_context *c, jn_value v) {
    if (v.type != JN_UNDEFINED && v.type != JN_STRING && v.type != JN_DICT && v.type != JN_LOOP && !jn_is_sequence(v))
        jn_fail(c, JINJA_ERROR, "a %s cannot be gone through", jn_type_name(v));
    if (v.type == JN_LOOP) jn_fail(c, JINJA_UNSUPPORTED, "going through loop is not supported");
    return (jn_iterator){v, 0};
}

int jn_next(jn_context *c, jn_iterator *it, jn_value *item) {
    const jn_value v = it->of;
    jn_spend(c, 1);
    if (v.type == JN_UNDEFINED) return 0;
    if (v.type == JN_STRING) {
        if (it->i >= v.size) return 0;
        const size_t size = jn_char_size(v.u.s + it->i, v.u.s + v.size);
        *item = jn_string(v.u.s + it->i, size);
        return it->i += size, 1;
    }
    if (v.type == JN_GENERATOR) { /* what was taken is gone, for whoever else goes through it */
        if (!v.u.list->n) return 0;
        *item = *v.u.list->items++;
        return v.u.list->n--, 1;
    }
    if (v.type == JN_DICT) {
        if (it->i >= v.u.dict->n) return 0;
        return *item = v.u.dict->pairs[it->i++].key, 1;
    }
    if (it->i >= jn_count(c, v)) return 0;
    return *item = jn_item(v, it->i++), 1;
}

jn_value jn_to_list(jn_context *c, jn_value v) {
    jn_value out = jn_new_list(c, JN_LIST, 0), item;
    for (jn_iterator it = jn_iterate(c, v); jn_next(c, &it, &item);) jn_append(c, out.u.list, item);
    return out;
}

int jn_has_length(jn_value v) {
    return v.type == JN_UNDEFINED || v.type == JN_STRING || v.type == JN_DICT || v.type == JN_LOOP ||
           (jn_is_sequence(v) && v.type != JN_GENERATOR);
}

size_t jn_count(jn_context *c, jn_value v) {
    if (!jn_has_length(v)) jn_fail(c, JINJA_ERROR, "a %s has no length", jn_type_name(v));
    if (v.type == JN_LOOP) jn_fail(c, JINJA_UNSUPPORTED, "the length of loop: loop.length has it");
    return v.type == JN_UNDEFINED ? 0
           : v.type == JN_STRING  ? jn_length(c, v)
           : v.type == JN_DICT    ? v.u.dict->n
           : v.type == JN_RANGE   ? v.u.range->n
                                  : v.u.list->n;
}

jn_value jn_item(jn_value v, size_t i) {
    return v.type == JN_RANGE ? jn_int(v.u.range->start + (int64_t)i * v.u.range->step) : v.u.list->items[i];
}

int jn_contains(jn_context *c, jn_value item, jn_value in) {
    jn_value each;
    if (in.type == JN_STRING) {
        jn_use(c, item);
        if (item.type != JN_STRING) jn_fail(c, JINJA_ERROR, "a %s in a str", jn_type_name(item));
        return jn_search(c, in.u.s, in.u.s + in.size, item) != NULL;
    }
    if (in.type == JN_DICT) {
        jn_check_key(c, item);
        return jn_dict_find(c, in.u.dict, item) != NULL;
    }
    for (jn_iterator it = jn_iterate(c, in); jn_next(c, &it, &each);)
        if (jn_equal(c, each, item)) return 1;
    return 0;
}

/* ---- As text ---- */

/* Python's: the shortest digits that are read as the same number, without an exponent from 1e-4 up to 1e16. */
static void jn_put_float(jn_context *c, jn_text *t, double f) {
    char s[40];
    if (f != f || f - f != 0) {
        jn_put_text(c, t, f != f ? "nan" : f > 0 ? "inf" : "-inf");
        return;
    }
    int digits = 1;
    jn_spend(c, 20);
    while (snprintf(s, sizeof s, "%.*e", digits - 1, f), digits < 17 && strtod(s, NULL) != f) digits++;
    const int exponent = atoi(strchr(s, 'e') + 1);
    if (exponent >= -4 && exponent < 16) {
        snprintf(s, sizeof s, "%.*f", digits - 1 - exponent > 1 ? digits - 1 - exponent : 1, f);
    }
    jn_put_text(c, t, s);
}

void jn_put_number(jn_context *c, jn_text *t, jn_value v) {
    char s[24];
    if (v.type == JN_FLOAT) {
        jn_put_float(c, t, v.u.f);
        return;
    }
    snprintf(s, sizeof s, "%lld", (long long)v.u.i);
    jn_put_text(c, t, s);
}

/* Whether repr() writes a character by its number: what has no glyph. Not all of Unicode's, but all that are assigned
 * in blocks that people use. */
static int jn_is_hidden(unsigned long u) {
    return u < 32 || (u >= 0x7F && u <= 0xA0) || u == 0xAD || (u >= 0x600 && u <= 0x605) || u == 0x61C || u == 0x1680 ||
           u == 0x180E || (u >= 0x2000 && u <= 0x200F) || (u >= 0x2028 && u <= 0x202F) ||
           (u >= 0x205F && u <= 0x206F) || u == 0x3000 || (u >= 0xE000 && u <= 0xF8FF) || u == 0xFEFF ||
           (u >= 0xFFF0 && u <= 0xFFFB) || u >= 0xE0000;
}

static void jn_put_quoted(jn_context *c, jn_text *t, jn_value v) {
    const char *p = v.u.s, *end = p + v.size;
    const int has_single = v.size && memchr(p, '\'', v.size), has_double = v.size && memchr(p, '"', v.size);
    const char quote = has_single && !has_double ? '"' : '\'';
    jn_put(c, t, &quote, 1);
    for (size_t size; p < end; p += size) {
        char s[24];
        const unsigned long u = jn_code_point(p, end, &size);
        const char *escape = u == '\n' ? "\\n" : u == '\r' ? "\\r" : u == '\t' ? "\\t" : u == '\\' ? "\\\\" : NULL;
        jn_spend(c, 1);
        if (!escape && jn_is_hidden(u))
            snprintf(s, sizeof s, u < 0x100 ? "\\x%02lx" : u < 0x10000 ? "\\u%04lx" : "\\U%08lx", u), escape = s;
        if (u == (unsigned char)quote) jn_put_text(c, t, "\\");
        if (escape) jn_put_text(c, t, escape);
        else jn_put(c, t, p, size);
    }
    jn_put(c, t, &quote, 1);
}

static void jn_put_items(jn_context *c, jn_text *t, jn_value v) {
    const size_t n = v.u.list->n;
    jn_put_text(c, t, v.type == JN_TUPLE ? "(" : "[");
    for (size_t i = 0; i < n; i++) {
        if (i) jn_put_text(c, t, ", ");
        jn_put_repr(c, t, v.u.list->items[i]);
    }
    jn_put_text(c, t, v.type != JN_TUPLE ? "]" : n == 1 ? ",)" : ")");
}

static void jn_put_dict(jn_context *c, jn_text *t, const jn_dict *d) {
    jn_put_text(c, t, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i) jn_put_text(c, t, ", ");
        jn_put_repr(c, t, d->pairs[i].key);
        jn_put_text(c, t, ": ");
        jn_put_repr(c, t, d->pairs[i].value);
    }
    jn_put_text(c, t, "}");
}

void jn_put_repr(jn_context *c, jn_text *t, jn_value v) {
    jn_enter(c);
    jn_spend(c, 1);
    switch (v.type) {
    case JN_UNDEFINED: jn_put_text(c, t, "Undefined"); break;
    case JN_STRING:
        if (v.is_safe) jn_put_text(c, t, "Markup(");
        jn_put_quoted(c, t, v);
        if (v.is_safe) jn_put_text(c, t, ")");
        break;
    case JN_LIST:
    case JN_TUPLE: jn_put_items(c, t, v); break;
    case JN_DICT: jn_put_dict(c, t, v.u.dict); break;
    default: jn_put_str(c, t, v);
    }
    c->depth--;
}

static void jn_put_range(jn_context *c, jn_text *t, const jn_range *r) {
    char s[80];
    int n = snprintf(s, sizeof s, "range(%lld, %lld", (long long)r->start, (long long)r->stop);
    if (r->step != 1) n += snprintf(s + n, sizeof s - (size_t)n, ", %lld", (long long)r->step);
    snprintf(s + n, sizeof s - (size_t)n, ")");
    jn_put_text(c, t, s);
}

void jn_put_str(jn_context *c, jn_text *t, jn_value v) {
    jn_spend(c, 1);
    switch (v.type) {
    case JN_UNDEFINED: break;
    case JN_NONE: jn_put_text(c, t, "None"); break;
    case JN_BOOL: jn_put_text(c, t, v.u.i ? "True" : "False"); break;
    case JN_INT:
    case JN_FLOAT: jn_put_number(c, t, v); break;
    case JN_STRING: jn_put(c, t, v.u.s, v.size); break;
    case JN_LIST:
    case JN_TUPLE:
    case JN_DICT: jn_put_repr(c, t, v); break;
    case JN_RANGE: jn_put_range(c, t, v.u.range); break;
    default: jn_fail(c, JINJA_UNSUPPORTED, "a %s as a text is not supported", jn_type_name(v));
    }
}

jn_value jn_str(jn_context *c, jn_value v) {
    jn_text t = {0};
    if (v.type == JN_STRING) return v;
    jn_put_str(c, &t, v);
    return jn_text_value(c, &t);
}

/* ---- As JSON ---- */

static void jn_put_json_string(jn_context *c, jn_text *t, jn_value v, int ascii) {
    static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
    const char *p = v.u.s, *end = p + v.size;
    jn_put_text(c, t, "\"");
    for (size_t size; p < end; p += size) {
        char s[40];
        const unsigned long u = jn_code_point(p, end, &size);
        const char *found = u && u < 128 ? strchr(from, (int)u) : NULL;
        jn_spend(c, 1);
        if (found) snprintf(s, sizeof s, "\\%c", to[found - from]);
        else if (u < 32 || (ascii && u >= 127 && u < 0x10000 && u != 127)) snprintf(s, sizeof s, "\\u%04lx", u);
        else if (ascii && u >= 0x10000)
            snprintf(s, sizeof s, "\\u%04lx\\u%04lx", 0xD7C0 + (u >> 10), 0xDC00 + (u & 0x3FF));
        else {
            jn_put(c, t, p, size);
            continue;
        }
        jn_put_text(c, t, s);
    }
    jn_put_text(c, t, "\"");
}

static void jn_put_json_key(jn_context *c, jn_text *t, jn_value key, const jn_json_style *style) {
    jn_text text = {0};
    if (key.type == JN_NONE) key = jn_string("null", 4);
    else if (key.type == JN_BOOL) key = key.u.i ? jn_string("true", 4) : jn_string("false", 5);
    else if (jn_is_number(key)) jn_put_number(c, &text, key), key = jn_text_value(c, &text);
    else if (key.type != JN_STRING) jn_fail(c, JINJA_ERROR, "tojson: a %s as a key", jn_type_name(key));
    jn_put_json_string(c, t, key, style->ascii);
}

static void jn_put_json_break(jn_context *c, jn_text *t, const jn_json_style *style, int level) {
    if (style->indent.type != JN_STRING) return;
    jn_put_text(c, t, "\n");
    for (int i = 0; i < level; i++) jn_put(c, t, style->indent.u.s, style->indent.size);
}

static void jn_sort_keys(jn_context *c, jn_pair *pairs, size_t n) {
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && jn_order(c, pairs[k - 1].key, pairs[k].key, "<") > 0; k--) {
            const jn_pair other = pairs[k];
            pairs[k] = pairs[k - 1];
            pairs[k - 1] = other;
        }
}

static void jn_put_json_at(jn_context *c, jn_text *t, jn_value v, const jn_json_style *style, int level);

static void jn_put_json_dict(jn_context *c, jn_text *t, const jn_dict *d, const jn_json_style *style, int level) {
    jn_pair *pairs = d->pairs;
    if (style->sort_keys && d->n) {
        pairs = memcpy(jn_allocate(c, d->n * sizeof *pairs), d->pairs, d->n * sizeof *pairs);
        jn_sort_keys(c, pairs, d->n);
    }
    jn_put_text(c, t, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i) jn_put(c, t, style->item_separator.u.s, style->item_separator.size);
        jn_put_json_break(c, t, style, level + 1);
        jn_put_json_key(c, t, pairs[i].key, style);
        jn_put(c, t, style->key_separator.u.s, style->key_separator.size);
        jn_put_json_at(c, t, pairs[i].value, style, level + 1);
    }
    if (d->n) jn_put_json_break(c, t, style, level);
    jn_put_text(c, t, "}");
}

static void jn_put_json_list(jn_context *c, jn_text *t, const jn_list *list, const jn_json_style *style, int level) {
    jn_put_text(c, t, "[");
    for (size_t i = 0; i < list->n; i++) {
        if (i) jn_put(c, t, style->item_separator.u.s, style->item_separator.size);
        jn_put_json_break(c, t, style, level + 1);
        jn_put_json_at(c, t, list->items[i], style, level + 1);
    }
    if (list->n) jn_put_json_break(c, t, style, level);
    jn_put_text(c, t, "]");
}

static void jn_put_json_at(jn_context *c, jn_text *t, jn_value v, const jn_json_style *style, int level) {
    jn_enter(c);
    jn_spend(c, 1);
    switch (v.type) {
    case JN_NONE: jn_put_text(c, t, "null"); break;
    case JN_BOOL: jn_put_text(c, t, v.u.i ? "true" : "false"); break;
    case JN_FLOAT:
        if (v.u.f - v.u.f != 0) jn_put_text(c, t, v.u.f != v.u.f ? "NaN" : v.u.f > 0 ? "Infinity" : "-Infinity");
        else jn_put_number(c, t, v);
        break;
    case JN_INT: jn_put_number(c, t, v); break;
    case JN_STRING: jn_put_json_string(c, t, v, style->ascii); break;
    case JN_LIST:
    case JN_TUPLE: jn_put_json_list(c, t, v.u.list, style, level); break;
    case JN_DICT: jn_put_json_dict(c, t, v.u.dict, style, level); break;
    default: jn_use(c, v); jn_fail(c, JINJA_ERROR, "tojson: a %s is nothing in JSON", jn_type_name(v));
    }
    c->depth--;
}

void jn_put_json(jn_context *c, jn_text *t, jn_value v, const jn_json_style *style) {
    jn_put_json_at(c, t, v, style, 0);
}
