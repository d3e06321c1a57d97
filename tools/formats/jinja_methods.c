/* jinja_methods.c - methods of texts and dicts, functions, and how arguments find their parameters. Contract in
 * jinja_internal.h. */
#include "jinja_internal.h"
#include "jinja_functions.h"

#include <stdio.h>
#include <string.h>

/* ---- Arguments ---- */

void jn_refuse(jn_context *c, const char *what, const char *name, size_t size) {
    const int n = (int)(size < 60 ? size : 60);
    const int known = !strcmp(what, "filter") ? jn_find_filter(name, size) != NULL
                      : !strcmp(what, "test") ? jn_find_test(name, size) != NULL
                                              : 1;
    if (known) jn_fail(c, JINJA_UNSUPPORTED, "the %s \"%.*s\" is not supported", what, n, name);
    jn_fail(c, JINJA_ERROR, "unknown %s \"%.*s\"", what, n, name);
}

/* Gives args[1 ...] what belongs to the names in f->parameters. */
static void jn_take_arguments(jn_context *c, const char *what, const jn_function *f, const jn_list *positional,
                              const jn_dict *named, jn_arguments *a) {
    size_t n = 0, used = 0;
    for (const char *p = f->parameters; *p; n++) {
        const int sign = *p == '-' || *p == '!' ? *p++ : 0;
        const size_t size = strcspn(p, " ");
        if (n < positional->n) a->args[n + 1] = &positional->items[n];
        for (size_t i = 0; i < named->n; i++)
            if (sign != '-' && named->pairs[i].key.size == size && !memcmp(named->pairs[i].key.u.s, p, size)) {
                if (a->args[n + 1]) jn_fail(c, JINJA_ERROR, "%s %s: argument %.*s twice", what, f->name, (int)size, p);
                a->args[n + 1] = &named->pairs[i].value;
                used++;
            }
        if ((int)n < f->required && !a->args[n + 1])
            jn_fail(c, JINJA_ERROR, "%s %s: no argument for %.*s", what, f->name, (int)size, p);
        if (sign == '!' && a->args[n + 1])
            jn_fail(c, JINJA_UNSUPPORTED, "%s %s: the argument %.*s is not supported", what, f->name, (int)size, p);
        p += size + (p[size] == ' ');
    }
    if (positional->n > n || used < named->n)
        jn_fail(c, JINJA_ERROR, "%s %s: an argument that it does not have", what, f->name);
}

jn_value jn_apply(jn_context *c, const char *what, const jn_function *f, const jn_value *self,
                  const jn_list *positional, const jn_dict *named) {
    jn_arguments a = {.args = {self}};
    if (!f->code) jn_refuse(c, what, f->name, strlen(f->name));
    if (*f->parameters == '*') {
        a.rest = *positional;
        a.named = *named;
    } else jn_take_arguments(c, what, f, positional, named, &a);
    jn_enter(c);
    const jn_value v = f->code(c, &a);
    if (*what == 'm' && self->is_safe && (v.type == JN_STRING || v.type == JN_LIST || v.type == JN_TUPLE))
        jn_fail(c, JINJA_UNSUPPORTED, "the method %s of a text that is marked as safe is not supported", f->name);
    c->depth--;
    return v;
}

const jn_function *jn_find(const jn_function *table, const char *name, size_t size) {
    for (; table->name; table++)
        if (strlen(table->name) == size && !memcmp(table->name, name, size)) return table;
    return NULL;
}

jn_value jn_text_argument(jn_context *c, const jn_arguments *a, int i) {
    jn_use(c, *a->args[i]);
    if (a->args[i]->type != JN_STRING)
        jn_fail(c, JINJA_ERROR, "a %s where a text is needed", jn_type_name(*a->args[i]));
    return *a->args[i];
}

int64_t jn_int_argument(jn_context *c, const jn_arguments *a, int i, int64_t otherwise) {
    if (!a->args[i]) return otherwise;
    jn_use(c, *a->args[i]);
    if (!jn_is_integer(*a->args[i]))
        jn_fail(c, JINJA_ERROR, "a %s where a whole number is needed", jn_type_name(*a->args[i]));
    return a->args[i]->u.i;
}

int jn_flag_argument(const jn_arguments *a, int i) { return a->args[i] && jn_truth(*a->args[i]); }

/* ---- Letters ---- */

/* Whether no character up there has a capital: the scripts of East Asia, punctuation, symbols and emoji. */
static int jn_has_no_case(unsigned long u) {
    return (u >= 0x2000 && u < 0x20D0) || (u >= 0x2190 && u < 0x2460) || (u >= 0x2500 && u < 0x2C00) ||
           (u >= 0x2E80 && u < 0xA640) || (u >= 0xAC00 && u < 0xFB00) || (u >= 0xFE00 && u < 0xFF21) ||
           (u >= 0x1F000 && u < 0x1F130) || (u >= 0x1F200 && u < 0x40000) || (u >= 0x5D0 && u < 0x10A0);
}

/* The capital of a letter, or the small one. Of ASCII, Latin-1, Greek and Cyrillic; what may be a letter beyond them is
 * refused rather than left as it is. */
unsigned long jn_letter(jn_context *c, unsigned long u, int capital) {
    const unsigned long by = u < 0x400 ? 32 : u < 0x410 || u >= 0x450 ? 80 : 32;
    const int small = (u >= 'a' && u <= 'z') || (u >= 0xE0 && u <= 0xFE && u != 0xF7) ||
                      (u >= 0x3B1 && u <= 0x3C9 && u != 0x3C2) || (u >= 0x430 && u <= 0x45F);
    const int large = (u >= 'A' && u <= 'Z') || (u >= 0xC0 && u <= 0xDE && u != 0xD7) ||
                      (u >= 0x391 && u <= 0x3A9 && u != 0x3A2 && u != 0x3A3) || (u >= 0x400 && u <= 0x42F);
    if (small || large) return small && capital ? u - by : large && !capital ? u + by : u;
    const int odd = capital && (u == 0xB5 || u == 0xDF || u == 0xFF); /* their capitals are elsewhere, or two letters */
    if (u > 0xFF ? !jn_has_no_case(u) : odd)
        jn_fail(c, JINJA_UNSUPPORTED, "capitals of the character U+%04lX are not supported", u);
    return u;
}

static int jn_is_cased(jn_context *c, unsigned long u) { return jn_letter(c, u, 0) != jn_letter(c, u, 1); }

/* capital: 1 all, 0 none, 2 the first, 3 the first of each run of letters. */
jn_value jn_change_case(jn_context *c, jn_value s, int capital) {
    jn_text t = {0};
    int in_word = 0;
    for (const char *p = s.u.s, *end = p + s.size; p < end;) {
        size_t size;
        const unsigned long u = jn_code_point(p, end, &size);
        jn_spend(c, 1);
        if (u >= 128 && size == 1) jn_put(c, &t, p, 1); /* of no character */
        else jn_put_utf8(c, &t, jn_letter(c, u, capital == 1 || (capital > 1 && !in_word)));
        in_word = capital == 2 || (capital == 3 && jn_is_cased(c, u));
        p += size;
    }
    return jn_mark(jn_text_value(c, &t), s.is_safe);
}

/* ---- Methods of texts ---- */

static jn_value jn_self(const jn_arguments *a) { return *a->args[0]; }

static int jn_has_char(jn_value chars, const char *p, size_t size) {
    for (const char *q = chars.u.s, *end = q + chars.size; q < end; q += jn_char_size(q, end))
        if (jn_char_size(q, end) == size && !memcmp(p, q, size)) return 1;
    return 0;
}

/* chars: a text of those to take away; NULL or none: white space. */
jn_value jn_strip(jn_context *c, jn_value s, const jn_value *chars, int left, int right) {
    const char *p = s.u.s, *end = p + s.size;
    size_t size;
    if (chars && chars->type == JN_NONE) chars = NULL;
    if (chars && chars->type != JN_STRING) jn_fail(c, JINJA_ERROR, "strip: a %s", jn_type_name(*chars));
    const size_t cost = chars ? 1 + chars->size / 4 : 1;
    for (; left && p < end; p += size) {
        const unsigned long u = jn_code_point(p, end, &size);
        jn_spend(c, cost);
        if (chars ? !jn_has_char(*chars, p, size) : !jn_is_space(u)) break;
    }
    while (right && p < end) {
        const char *last = end - jn_last_char_size(p, end);
        const unsigned long u = jn_code_point(last, end, &size);
        jn_spend(c, cost);
        if (chars ? !jn_has_char(*chars, last, size) : !jn_is_space(u)) break;
        end = last;
    }
    return jn_mark(jn_string(p, (size_t)(end - p)), s.is_safe);
}

static jn_value jn_m_strip(jn_context *c, const jn_arguments *a) { return jn_strip(c, jn_self(a), a->args[1], 1, 1); }
static jn_value jn_m_lstrip(jn_context *c, const jn_arguments *a) { return jn_strip(c, jn_self(a), a->args[1], 1, 0); }
static jn_value jn_m_rstrip(jn_context *c, const jn_arguments *a) { return jn_strip(c, jn_self(a), a->args[1], 0, 1); }

/* The last place where part stands, or NULL. */
static const char *jn_search_last(jn_context *c, const char *begin, const char *end, jn_value part) {
    if ((size_t)(end - begin) < part.size) return NULL;
    for (const char *at = end - part.size;; at--) {
        if (at == begin || (end - at) % 16 == 0) jn_spend(c, 1);
        if (!part.size) return at;
        if (*at == *part.u.s) {
            jn_spend(c, 1 + part.size / 64);
            if (!memcmp(at, part.u.s, part.size)) return at;
        }
        if (at == begin) return NULL;
    }
}

static jn_value jn_split_spaces(jn_context *c, jn_value s, int64_t most) {
    jn_value list = jn_new_list(c, JN_LIST, 0);
    for (jn_value rest = jn_strip(c, s, NULL, 1, 0); rest.size; rest = jn_strip(c, rest, NULL, 1, 0)) {
        const char *p = rest.u.s, *end = p + rest.size;
        size_t size;
        if (most >= 0 && (int64_t)list.u.list->n >= most) p = end;
        for (; p < end && !jn_is_space(jn_code_point(p, end, &size)); p += size) jn_spend(c, 1);
        jn_append(c, list.u.list, jn_string(rest.u.s, (size_t)(p - rest.u.s)));
        rest = jn_string(p, (size_t)(end - p));
    }
    return list;
}

static jn_value jn_m_split(jn_context *c, const jn_arguments *a) {
    const int64_t most = jn_int_argument(c, a, 2, -1);
    const jn_value s = jn_self(a);
    if (!a->args[1] || a->args[1]->type == JN_NONE) return jn_split_spaces(c, s, most);
    const jn_value by = jn_text_argument(c, a, 1);
    if (!by.size) jn_fail(c, JINJA_ERROR, "split by an empty text");
    jn_value list = jn_new_list(c, JN_LIST, 0);
    const char *at = s.u.s, *end = at + s.size, *found;
    while ((most < 0 || (int64_t)list.u.list->n < most) && (found = jn_search(c, at, end, by))) {
        jn_append(c, list.u.list, jn_string(at, (size_t)(found - at)));
        at = found + by.size;
    }
    jn_append(c, list.u.list, jn_string(at, (size_t)(end - at)));
    return list;
}

static jn_value jn_m_rsplit(jn_context *c, const jn_arguments *a) {
    const int64_t most = jn_int_argument(c, a, 2, -1);
    const jn_value s = jn_self(a);
    const int at_spaces = !a->args[1] || a->args[1]->type == JN_NONE;
    if (at_spaces && most < 0) return jn_split_spaces(c, s, most);
    if (at_spaces) jn_fail(c, JINJA_UNSUPPORTED, "rsplit at white space is not supported");
    const jn_value by = jn_text_argument(c, a, 1);
    if (!by.size) jn_fail(c, JINJA_ERROR, "split by an empty text");
    jn_value list = jn_new_list(c, JN_LIST, 0);
    const char *end = s.u.s + s.size, *found;
    while ((most < 0 || (int64_t)list.u.list->n < most) && (found = jn_search_last(c, s.u.s, end, by))) {
        jn_append(c, list.u.list, jn_string(found + by.size, (size_t)(end - found) - by.size));
        end = found;
    }
    jn_append(c, list.u.list, jn_string(s.u.s, (size_t)(end - s.u.s)));
    return jn_reversed(c, list, JN_LIST);
}

/* (what is before, by, what is behind); if it is nowhere, two of them are empty. */
static jn_value jn_partition(jn_context *c, const jn_arguments *a, int last) {
    const jn_value s = jn_self(a), by = jn_text_argument(c, a, 1), none = jn_string("", 0);
    const char *end = s.u.s + s.size;
    if (!by.size) jn_fail(c, JINJA_ERROR, "partition by an empty text");
    const char *found = last ? jn_search_last(c, s.u.s, end, by) : jn_search(c, s.u.s, end, by);
    jn_value v = jn_new_list(c, JN_TUPLE, 3), *part = v.u.list->items;
    part[0] = found ? jn_string(s.u.s, (size_t)(found - s.u.s)) : last ? none : s;
    part[1] = found ? by : none;
    part[2] = found ? jn_string(found + by.size, (size_t)(end - found) - by.size) : last ? s : none;
    return v;
}

static jn_value jn_m_partition(jn_context *c, const jn_arguments *a) { return jn_partition(c, a, 0); }
static jn_value jn_m_rpartition(jn_context *c, const jn_arguments *a) { return jn_partition(c, a, 1); }

jn_value jn_split_lines(jn_context *c, jn_value s) {
    jn_value list = jn_new_list(c, JN_LIST, 0);
    const char *line = s.u.s, *end = line + s.size;
    for (const char *p = line; p < end;) {
        size_t size;
        const unsigned long u = jn_code_point(p, end, &size);
        const int ends = (u >= 10 && u <= 13) || (u >= 28 && u <= 30) || u == 0x85 || u == 0x2028 || u == 0x2029;
        jn_spend(c, 1);
        if (ends) jn_append(c, list.u.list, jn_string(line, (size_t)(p - line)));
        if (u == '\r' && p + 1 < end && p[1] == '\n') size = 2;
        p += size;
        if (ends) line = p;
    }
    if (line < end) jn_append(c, list.u.list, jn_string(line, (size_t)(end - line)));
    return list;
}

static jn_value jn_m_splitlines(jn_context *c, const jn_arguments *a) { return jn_split_lines(c, jn_self(a)); }

static int jn_begins(jn_value s, jn_value with, int at_end) {
    return with.size <= s.size && !memcmp(s.u.s + (at_end ? s.size - with.size : 0), with.u.s, with.size);
}

static jn_value jn_begins_any(jn_context *c, const jn_arguments *a, int at_end) {
    const jn_value with = *a->args[1];
    if (with.type != JN_TUPLE) return jn_bool(jn_begins(jn_self(a), jn_text_argument(c, a, 1), at_end));
    for (size_t i = 0; i < with.u.list->n; i++) {
        const jn_value one = with.u.list->items[i];
        jn_spend(c, 1);
        if (one.type != JN_STRING) jn_fail(c, JINJA_ERROR, "a %s where a text is needed", jn_type_name(one));
        if (jn_begins(jn_self(a), one, at_end)) return jn_bool(1);
    }
    return jn_bool(0);
}

static jn_value jn_m_startswith(jn_context *c, const jn_arguments *a) { return jn_begins_any(c, a, 0); }
static jn_value jn_m_endswith(jn_context *c, const jn_arguments *a) { return jn_begins_any(c, a, 1); }

static jn_value jn_m_removeprefix(jn_context *c, const jn_arguments *a) {
    const jn_value s = jn_self(a), part = jn_text_argument(c, a, 1);
    return jn_begins(s, part, 0) ? jn_string(s.u.s + part.size, s.size - part.size) : s;
}

static jn_value jn_m_removesuffix(jn_context *c, const jn_arguments *a) {
    const jn_value s = jn_self(a), part = jn_text_argument(c, a, 1);
    return jn_begins(s, part, 1) ? jn_string(s.u.s, s.size - part.size) : s;
}

jn_value jn_replace(jn_context *c, jn_value s, jn_value old, jn_value by, int64_t most) {
    jn_text t = {0};
    const char *at = s.u.s, *end = at + s.size, *found;
    if (!old.size) jn_fail(c, JINJA_UNSUPPORTED, "replace of an empty text is not supported");
    for (; most && (found = jn_search(c, at, end, old)); most--) {
        jn_put(c, &t, at, (size_t)(found - at));
        jn_put(c, &t, by.u.s, by.size);
        at = found + old.size;
    }
    if (at == s.u.s) return jn_string(at, s.size);
    jn_put(c, &t, at, (size_t)(end - at));
    return jn_text_value(c, &t);
}

static jn_value jn_m_replace(jn_context *c, const jn_arguments *a) {
    return jn_replace(c, jn_self(a), jn_text_argument(c, a, 1), jn_text_argument(c, a, 2),
                      jn_int_argument(c, a, 3, -1));
}

static jn_value jn_m_upper(jn_context *c, const jn_arguments *a) { return jn_change_case(c, jn_self(a), 1); }
static jn_value jn_m_lower(jn_context *c, const jn_arguments *a) { return jn_change_case(c, jn_self(a), 0); }
static jn_value jn_m_capitalize(jn_context *c, const jn_arguments *a) { return jn_change_case(c, jn_self(a), 2); }
static jn_value jn_m_title(jn_context *c, const jn_arguments *a) { return jn_change_case(c, jn_self(a), 3); }

/* Where the argument stands in the text; -1: nowhere. */
static int64_t jn_place(jn_context *c, const jn_arguments *a, int last) {
    const jn_value s = jn_self(a), part = jn_text_argument(c, a, 1);
    const char *end = s.u.s + s.size;
    const char *found = last ? jn_search_last(c, s.u.s, end, part) : jn_search(c, s.u.s, end, part);
    return found ? (int64_t)jn_length(c, jn_string(s.u.s, (size_t)(found - s.u.s))) : -1;
}

static jn_value jn_m_find(jn_context *c, const jn_arguments *a) { return jn_int(jn_place(c, a, 0)); }
static jn_value jn_m_rfind(jn_context *c, const jn_arguments *a) { return jn_int(jn_place(c, a, 1)); }

static jn_value jn_must_find(jn_context *c, int64_t place) {
    if (place < 0) jn_fail(c, JINJA_ERROR, "index: it is nowhere");
    return jn_int(place);
}

static jn_value jn_m_index(jn_context *c, const jn_arguments *a) { return jn_must_find(c, jn_place(c, a, 0)); }
static jn_value jn_m_rindex(jn_context *c, const jn_arguments *a) { return jn_must_find(c, jn_place(c, a, 1)); }

static jn_value jn_m_count(jn_context *c, const jn_arguments *a) {
    const jn_value s = jn_self(a), part = jn_text_argument(c, a, 1);
    int64_t n = 0;
    if (!part.size) return jn_int((int64_t)jn_length(c, s) + 1);
    for (const char *at = s.u.s; (at = jn_search(c, at, s.u.s + s.size, part)); at += part.size) n++;
    return jn_int(n);
}

static jn_value jn_m_join(jn_context *c, const jn_arguments *a) {
    jn_text t = {0};
    jn_value item;
    int n = 0;
    for (jn_iterator it = jn_iterate(c, *a->args[1]); jn_next(c, &it, &item); n = 1) {
        if (item.type != JN_STRING) jn_fail(c, JINJA_ERROR, "join of a %s", jn_type_name(item));
        if (n) jn_put(c, &t, jn_self(a).u.s, jn_self(a).size);
        jn_put(c, &t, item.u.s, item.size);
    }
    return jn_text_value(c, &t);
}

typedef enum { JN_DIGITS, JN_LETTERS, JN_BOTH } jn_class;

/* Whether all characters, and at least one, are of a class; of ASCII, beyond which we have no tables. */
static jn_value jn_is_all(jn_context *c, jn_value s, jn_class class) {
    for (uint32_t i = 0; i < s.size; i++) {
        const unsigned char ch = (unsigned char)s.u.s[i];
        jn_spend(c, 1);
        if (ch >= 128) jn_fail(c, JINJA_UNSUPPORTED, "classes of characters beyond ASCII are not supported");
        const int digit = ch >= '0' && ch <= '9', letter = (ch | 32) >= 'a' && (ch | 32) <= 'z';
        if (!((digit && class != JN_LETTERS) || (letter && class != JN_DIGITS))) return jn_bool(0);
    }
    return jn_bool(s.size > 0);
}

static jn_value jn_m_isdigit(jn_context *c, const jn_arguments *a) { return jn_is_all(c, jn_self(a), JN_DIGITS); }
static jn_value jn_m_isalpha(jn_context *c, const jn_arguments *a) { return jn_is_all(c, jn_self(a), JN_LETTERS); }
static jn_value jn_m_isalnum(jn_context *c, const jn_arguments *a) { return jn_is_all(c, jn_self(a), JN_BOTH); }

static jn_value jn_m_isspace(jn_context *c, const jn_arguments *a) {
    return jn_bool(jn_self(a).size && !jn_strip(c, jn_self(a), NULL, 1, 0).size);
}

/* Whether there are letters, and all of them are capitals, or none is. */
int jn_is_case(jn_context *c, jn_value s, int capital) {
    int found = 0;
    for (const char *p = s.u.s, *end = p + s.size; p < end;) {
        size_t size;
        const unsigned long u = jn_code_point(p, end, &size);
        jn_spend(c, 1);
        if (jn_letter(c, u, capital) != u) return 0;
        found |= jn_is_cased(c, u);
        p += size;
    }
    return found;
}

static jn_value jn_m_isupper(jn_context *c, const jn_arguments *a) { return jn_bool(jn_is_case(c, jn_self(a), 1)); }
static jn_value jn_m_islower(jn_context *c, const jn_arguments *a) { return jn_bool(jn_is_case(c, jn_self(a), 0)); }

static const jn_function jn_text_methods[] = {{"strip", jn_m_strip, "-chars", 0},
                                              {"lstrip", jn_m_lstrip, "-chars", 0},
                                              {"rstrip", jn_m_rstrip, "-chars", 0},
                                              {"split", jn_m_split, "sep maxsplit", 0},
                                              {"rsplit", jn_m_rsplit, "sep maxsplit", 0},
                                              {"partition", jn_m_partition, "-sep", 1},
                                              {"rpartition", jn_m_rpartition, "-sep", 1},
                                              {"splitlines", jn_m_splitlines, "!keepends", 0},
                                              {"startswith", jn_m_startswith, "-prefix !start !end", 1},
                                              {"endswith", jn_m_endswith, "-suffix !start !end", 1},
                                              {"removeprefix", jn_m_removeprefix, "-prefix", 1},
                                              {"removesuffix", jn_m_removesuffix, "-suffix", 1},
                                              {"replace", jn_m_replace, "-old -new -count", 2},
                                              {"upper", jn_m_upper, "", 0},
                                              {"lower", jn_m_lower, "", 0},
                                              {"title", jn_m_title, "", 0},
                                              {"capitalize", jn_m_capitalize, "", 0},
                                              {"find", jn_m_find, "-sub !start !end", 1},
                                              {"rfind", jn_m_rfind, "-sub !start !end", 1},
                                              {"index", jn_m_index, "-sub !start !end", 1},
                                              {"rindex", jn_m_rindex, "-sub !start !end", 1},
                                              {"count", jn_m_count, "-sub !start !end", 1},
                                              {"join", jn_m_join, "-iterable", 1},
                                              {"isdigit", jn_m_isdigit, "", 0},
                                              {"isdecimal", jn_m_isdigit, "", 0},
                                              {"isnumeric", jn_m_isdigit, "", 0},
                                              {"isalpha", jn_m_isalpha, "", 0},
                                              {"isalnum", jn_m_isalnum, "", 0},
                                              {"isspace", jn_m_isspace, "", 0},
                                              {"isupper", jn_m_isupper, "", 0},
                                              {"islower", jn_m_islower, "", 0},
                                              {"casefold", NULL, "", 0},
                                              {"center", NULL, "", 0},
                                              {"encode", NULL, "", 0},
                                              {"expandtabs", NULL, "", 0},
                                              {"format", NULL, "", 0},
                                              {"format_map", NULL, "", 0},
                                              {"isascii", NULL, "", 0},
                                              {"isidentifier", NULL, "", 0},
                                              {"isprintable", NULL, "", 0},
                                              {"istitle", NULL, "", 0},
                                              {"ljust", NULL, "", 0},
                                              {"maketrans", NULL, "", 0},
                                              {"rjust", NULL, "", 0},
                                              {"swapcase", NULL, "", 0},
                                              {"translate", NULL, "", 0},
                                              {"zfill", NULL, "", 0},
                                              {NULL, NULL, NULL, 0}};

/* ---- Methods of dicts and lists ---- */

static jn_value jn_m_get(jn_context *c, const jn_arguments *a) {
    const jn_value *v = jn_dict_find(c, jn_self(a).u.dict, *a->args[1]);
    return v ? *v : a->args[2] ? *a->args[2] : jn_none();
}

jn_value jn_dict_items(jn_context *c, jn_value dict, jn_type type) {
    const jn_dict *d = dict.u.dict;
    jn_value out = jn_new_list(c, type, d->n);
    for (size_t i = 0; i < d->n; i++) {
        out.u.list->items[i] = jn_new_list(c, JN_TUPLE, 2);
        out.u.list->items[i].u.list->items[0] = d->pairs[i].key;
        out.u.list->items[i].u.list->items[1] = d->pairs[i].value;
    }
    return out;
}

static jn_value jn_m_items(jn_context *c, const jn_arguments *a) { return jn_dict_items(c, jn_self(a), JN_VIEW); }

static jn_value jn_dict_column(jn_context *c, const jn_dict *d, int of_values) {
    jn_value out = jn_new_list(c, JN_VIEW, d->n);
    for (size_t i = 0; i < d->n; i++) out.u.list->items[i] = of_values ? d->pairs[i].value : d->pairs[i].key;
    return out;
}

static jn_value jn_m_keys(jn_context *c, const jn_arguments *a) { return jn_dict_column(c, jn_self(a).u.dict, 0); }
static jn_value jn_m_values(jn_context *c, const jn_arguments *a) { return jn_dict_column(c, jn_self(a).u.dict, 1); }
static jn_value jn_m_copy(jn_context *c, const jn_arguments *a) { return (void)c, jn_self(a); } /* none can change */

/* The sandbox lets no template change a value that it was given, or made: never called, but undefined. */
jn_value jn_changes_value(jn_context *c, const jn_arguments *a) { return (void)c, (void)a, jn_none(); }

/* Counts what is equal to the argument; or finds the first of it, or -1. */
static int64_t jn_count_equal(jn_context *c, const jn_arguments *a, int find) {
    const jn_list *list = jn_self(a).u.list;
    int64_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        if (!jn_equal(c, list->items[i], *a->args[1])) continue;
        if (find) return (int64_t)i;
        n++;
    }
    return find ? -1 : n;
}

static jn_value jn_m_list_count(jn_context *c, const jn_arguments *a) { return jn_int(jn_count_equal(c, a, 0)); }
static jn_value jn_m_list_index(jn_context *c, const jn_arguments *a) {
    return jn_must_find(c, jn_count_equal(c, a, 1));
}

static const jn_function jn_dict_methods[] = {{"get", jn_m_get, "-key -default", 1},
                                              {"items", jn_m_items, "", 0},
                                              {"keys", jn_m_keys, "", 0},
                                              {"values", jn_m_values, "", 0},
                                              {"copy", jn_m_copy, "", 0},
                                              {"fromkeys", NULL, "", 0},
                                              {"clear", jn_changes_value, "*", 0},
                                              {"pop", jn_changes_value, "*", 0},
                                              {"popitem", jn_changes_value, "*", 0},
                                              {"setdefault", jn_changes_value, "*", 0},
                                              {"update", jn_changes_value, "*", 0},
                                              {NULL, NULL, NULL, 0}};

static const jn_function jn_list_methods[] = {{"copy", jn_m_copy, "", 0},
                                              {"count", jn_m_list_count, "-value", 1},
                                              {"index", jn_m_list_index, "-value !start !stop", 1},
                                              {"append", jn_changes_value, "*", 0},
                                              {"clear", jn_changes_value, "*", 0},
                                              {"extend", jn_changes_value, "*", 0},
                                              {"insert", jn_changes_value, "*", 0},
                                              {"pop", jn_changes_value, "*", 0},
                                              {"remove", jn_changes_value, "*", 0},
                                              {"reverse", jn_changes_value, "*", 0},
                                              {"sort", jn_changes_value, "*", 0},
                                              {NULL, NULL, NULL, 0}};

/* The attributes of others, none of which is done here but what tuples share with lists. */
static const jn_function jn_tuple_methods[] = {{"count", jn_m_list_count, "-value", 1},
                                               {"index", jn_m_list_index, "-value !start !stop", 1},
                                               {NULL, NULL, NULL, 0}};
static const jn_function jn_number_methods[] = {
    {"as_integer_ratio", NULL, "", 0}, {"bit_count", NULL, "", 0},   {"bit_length", NULL, "", 0},
    {"conjugate", NULL, "", 0},        {"denominator", NULL, "", 0}, {"from_bytes", NULL, "", 0},
    {"fromhex", NULL, "", 0},          {"hex", NULL, "", 0},         {"imag", NULL, "", 0},
    {"is_integer", NULL, "", 0},       {"numerator", NULL, "", 0},   {"real", NULL, "", 0},
    {"to_bytes", NULL, "", 0},         {NULL, NULL, NULL, 0}};
static const jn_function jn_range_methods[] = {{"count", NULL, "", 0}, {"index", NULL, "", 0}, {"start", NULL, "", 0},
                                               {"step", NULL, "", 0},  {"stop", NULL, "", 0},  {NULL, NULL, NULL, 0}};
static const jn_function jn_view_methods[] = {
    {"isdisjoint", NULL, "", 0}, {"mapping", NULL, "", 0}, {NULL, NULL, NULL, 0}};
static const jn_function jn_macro_methods[] = {
    {"arguments", NULL, "", 0},     {"caller", NULL, "", 0},          {"catch_kwargs", NULL, "", 0},
    {"catch_varargs", NULL, "", 0}, {"explicit_caller", NULL, "", 0}, {"name", NULL, "", 0},
    {NULL, NULL, NULL, 0}};

static jn_value jn_m_cycle(jn_context *c, const jn_arguments *a) { return jn_loop_call(c, a, 0); }
static jn_value jn_m_changed(jn_context *c, const jn_arguments *a) { return jn_loop_call(c, a, 1); }

static const jn_function jn_loop_methods[] = {
    {"cycle", jn_m_cycle, "*", 0}, {"changed", jn_m_changed, "*", 0}, {NULL, NULL, NULL, 0}};

const jn_function *jn_find_method(jn_value self, const char *name, size_t size) {
    switch (self.type) {
    case JN_STRING: return jn_find(jn_text_methods, name, size);
    case JN_DICT: return jn_find(jn_dict_methods, name, size);
    case JN_LIST: return jn_find(jn_list_methods, name, size);
    case JN_TUPLE: return jn_find(jn_tuple_methods, name, size);
    case JN_BOOL:
    case JN_INT:
    case JN_FLOAT: return jn_find(jn_number_methods, name, size);
    case JN_RANGE: return jn_find(jn_range_methods, name, size);
    case JN_VIEW: return jn_find(jn_view_methods, name, size);
    case JN_MACRO: return jn_find(jn_macro_methods, name, size);
    case JN_LOOP: return jn_find(jn_loop_methods, name, size);
    default: return NULL;
    }
}

/* ---- Functions ---- */

static jn_value jn_g_range(jn_context *c, const jn_arguments *a) {
    enum { MOST = 100000 }; /* jinja2's sandbox's */
    const int64_t first = jn_int_argument(c, a, 1, 0), step = jn_int_argument(c, a, 3, 1);
    const int64_t start = a->args[2] ? first : 0, stop = jn_int_argument(c, a, 2, first);
    if (!step) jn_fail(c, JINJA_ERROR, "range: a step of 0");
    const uint64_t way = step > 0 ? (stop > start ? (uint64_t)stop - (uint64_t)start : 0)
                                  : (start > stop ? (uint64_t)start - (uint64_t)stop : 0);
    const uint64_t by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step, n = way / by + (way % by != 0);
    if (n > MOST) jn_fail(c, JINJA_ERROR, "range: more than %d numbers", MOST);
    jn_range *r = jn_allocate(c, sizeof *r);
    *r = (jn_range){start, stop, step, (size_t)n};
    return (jn_value){.type = JN_RANGE, .u.range = r};
}

static jn_value jn_make(jn_context *c, const jn_arguments *a, jn_type type) {
    jn_value out = jn_new_dict(c, type);
    if (a->rest.n > 1 || (a->rest.n && a->rest.items[0].type != JN_DICT))
        jn_fail(c, JINJA_UNSUPPORTED, "arguments of dict or namespace that are no dict are not supported");
    if (a->rest.n) {
        const jn_dict *from = a->rest.items[0].u.dict;
        for (size_t i = 0; i < from->n; i++) jn_dict_put(c, out.u.dict, from->pairs[i].key, from->pairs[i].value);
    }
    for (size_t i = 0; i < a->named.n; i++) jn_dict_put(c, out.u.dict, a->named.pairs[i].key, a->named.pairs[i].value);
    return out;
}

static jn_value jn_g_namespace(jn_context *c, const jn_arguments *a) { return jn_make(c, a, JN_NAMESPACE); }
static jn_value jn_g_dict(jn_context *c, const jn_arguments *a) { return jn_make(c, a, JN_DICT); }

static jn_value jn_g_raise(jn_context *c, const jn_arguments *a) {
    const jn_value what = jn_str(c, *a->args[1]);
    jn_fail(c, JINJA_RAISED, "%.*s", (int)(what.size < 200 ? what.size : 200), what.u.s);
}

/* Days since 1970-01-01, of the Gregorian calendar. */
static int64_t jn_days(int64_t y, int m, int d) {
    y -= m <= 2;
    const int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    const int64_t of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

typedef struct {
    int year, month, day;
} jn_date;

/* What %what stands for, of midnight; bare: without the zero in front, as after %-. s has room for it. */
static const char *jn_date_part(jn_context *c, const jn_date *d, int what, int bare, char *s, size_t size) {
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    const int64_t today = jn_days(d->year, d->month, d->day);
    const char *month = months[d->month - 1], *weekday = days[((today + 4) % 7 + 7) % 7];
    switch (what) {
    case 'Y': snprintf(s, size, "%d", d->year); break;
    case 'y': snprintf(s, size, bare ? "%d" : "%02d", d->year % 100); break;
    case 'm': snprintf(s, size, bare ? "%d" : "%02d", d->month); break;
    case 'd': snprintf(s, size, bare ? "%d" : "%02d", d->day); break;
    case 'e': snprintf(s, size, bare ? "%d" : "%2d", d->day); break;
    case 'j': snprintf(s, size, bare ? "%d" : "%03d", (int)(today - jn_days(d->year, 1, 1)) + 1); break;
    case 'F': snprintf(s, size, "%d-%02d-%02d", d->year, d->month, d->day); break;
    case 'b': snprintf(s, size, "%.3s", month); break;
    case 'a': snprintf(s, size, "%.3s", weekday); break;
    case 'B': return month;
    case 'A': return weekday;
    case 'H':
    case 'M':
    case 'S': return bare ? "0" : "00";
    case 'I': return "12";
    case 'p': return "AM";
    case 'T': return "00:00:00";
    case '%': return "%";
    default: jn_fail(c, JINJA_UNSUPPORTED, "strftime_now: %%%c is not supported", what);
    }
    return s;
}

static jn_value jn_g_strftime(jn_context *c, const jn_arguments *a) {
    const jn_value format = jn_text_argument(c, a, 1);
    const jinja_limits *l = c->limits;
    const int is_given = l->year >= 1 && l->year <= 9999 && l->month >= 1 && l->month <= 12;
    const jn_date date = is_given ? (jn_date){l->year, l->month, l->day} : (jn_date){2024, 7, 26};
    jn_text t = {0};
    for (const char *p = format.u.s, *end = p + format.size; p < end; p++) {
        char s[40];
        jn_spend(c, 1);
        if (*p != '%' || p + 1 == end) {
            jn_put(c, &t, p, 1);
            continue;
        }
        const int bare = *++p == '-' && p + 1 < end;
        if (bare) p++;
        jn_put_text(c, &t, jn_date_part(c, &date, *p, bare, s, sizeof s));
    }
    return jn_text_value(c, &t);
}

static const jn_function jn_globals[] = {{"range", jn_g_range, "start stop step", 1},
                                         {"namespace", jn_g_namespace, "*", 0},
                                         {"dict", jn_g_dict, "*", 0},
                                         {"raise_exception", jn_g_raise, "message", 1},
                                         {"strftime_now", jn_g_strftime, "format", 1},
                                         {"self", NULL, "", 0},
                                         {"cycler", NULL, "", 0},
                                         {"joiner", NULL, "", 0},
                                         {"lipsum", NULL, "", 0},
                                         {NULL, NULL, NULL, 0}};

const jn_function *jn_find_global(const char *name, size_t size) { return jn_find(jn_globals, name, size); }
