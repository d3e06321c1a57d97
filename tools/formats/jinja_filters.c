/* jinja_filters.c - filters and tests. Contract in jinja_internal.h. */
#include "jinja_internal.h"
#include "jinja_functions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jn_value jn_input(const jn_arguments *a) { return *a->args[0]; }

/* Most filters of texts take anything, as its text. */
static jn_value jn_input_text(jn_context *c, const jn_arguments *a) { return jn_str(c, *a->args[0]); }

/* ---- Texts ---- */

static jn_value jn_f_trim(jn_context *c, const jn_arguments *a) {
    return jn_strip(c, jn_input_text(c, a), a->args[1], 1, 1);
}

static jn_value jn_f_upper(jn_context *c, const jn_arguments *a) { return jn_change_case(c, jn_input_text(c, a), 1); }
static jn_value jn_f_lower(jn_context *c, const jn_arguments *a) { return jn_change_case(c, jn_input_text(c, a), 0); }
static jn_value jn_f_capitalize(jn_context *c, const jn_arguments *a) {
    return jn_change_case(c, jn_input_text(c, a), 2);
}
static jn_value jn_f_string(jn_context *c, const jn_arguments *a) { return jn_input_text(c, a); }
static jn_value jn_f_escape(jn_context *c, const jn_arguments *a) { return jn_escape_html(c, jn_input(a)); }

/* Words are what stands between white space, hyphens and opening brackets. */
static jn_value jn_f_title(jn_context *c, const jn_arguments *a) {
    const jn_value s = jn_input_text(c, a);
    jn_text t = {0};
    int in_word = 0;
    for (const char *p = s.u.s, *end = p + s.size; p < end;) {
        size_t size;
        const unsigned long u = jn_code_point(p, end, &size);
        const int between = jn_is_space(u) || (u && u < 128 && strchr("-({[<", (int)u));
        jn_spend(c, 1);
        jn_put_utf8(c, &t, jn_letter(c, u, !in_word));
        in_word = !between;
        p += size;
    }
    return jn_text_value(c, &t);
}

static jn_value jn_f_safe(jn_context *c, const jn_arguments *a) { return jn_mark(jn_input_text(c, a), 1); }

static jn_value jn_f_replace(jn_context *c, const jn_arguments *a) {
    const int none = !a->args[3] || a->args[3]->type == JN_NONE;
    return jn_replace(c, jn_input_text(c, a), jn_str(c, *a->args[1]), jn_str(c, *a->args[2]),
                      none ? -1 : jn_int_argument(c, a, 3, -1));
}

/* A text of that many spaces, or the text itself. */
static jn_value jn_indentation(jn_context *c, jn_value v) {
    if (v.type == JN_STRING) return v;
    const int64_t n = v.u.i < 0 ? 0 : v.u.i;
    if (!jn_is_integer(v)) jn_fail(c, JINJA_ERROR, "an indentation by a %s", jn_type_name(v));
    if (n > 1000) jn_fail(c, JINJA_LIMIT, "an indentation by more than 1000");
    return n ? jn_string(memset(jn_allocate(c, (size_t)n), ' ', (size_t)n), (size_t)n) : jn_string("", 0);
}

static jn_value jn_f_indent(jn_context *c, const jn_arguments *a) {
    const jn_value by = jn_indentation(c, a->args[1] ? *a->args[1] : jn_int(4)), s = jn_text_argument(c, a, 0);
    const int blank = jn_flag_argument(a, 3);
    jn_text t = {0};
    jn_put(c, &t, s.u.s, s.size);
    jn_put_text(c, &t, "\n"); /* a line that it ends with counts, as an empty one */
    const jn_value lines = jn_split_lines(c, jn_text_value(c, &t));
    t = (jn_text){0};
    if (s.is_safe) jn_fail(c, JINJA_UNSUPPORTED, "indent of a text that is marked as safe is not supported");
    if (jn_flag_argument(a, 2)) jn_put(c, &t, by.u.s, by.size);
    for (size_t i = 0; i < lines.u.list->n; i++) {
        const jn_value line = lines.u.list->items[i];
        if (i) jn_put_text(c, &t, "\n");
        if (i && (line.size || blank)) jn_put(c, &t, by.u.s, by.size);
        jn_put(c, &t, line.u.s, line.size);
    }
    return jn_text_value(c, &t);
}

static jn_value jn_separator(jn_context *c, const jn_value *pair, size_t i, const char *otherwise) {
    if (!pair || pair->type == JN_NONE) return jn_string(otherwise, strlen(otherwise));
    if ((pair->type != JN_TUPLE && pair->type != JN_LIST) || pair->u.list->n != 2 ||
        pair->u.list->items[i].type != JN_STRING)
        jn_fail(c, JINJA_ERROR, "tojson: separators are no two texts");
    return pair->u.list->items[i];
}

static jn_value jn_f_tojson(jn_context *c, const jn_arguments *a) {
    jn_json_style style = {.ascii = jn_flag_argument(a, 1), .sort_keys = jn_flag_argument(a, 4)};
    jn_text t = {0};
    const int indented = a->args[2] && a->args[2]->type != JN_NONE;
    style.indent = indented ? jn_indentation(c, *a->args[2]) : jn_none();
    style.item_separator = jn_separator(c, a->args[3], 0, indented ? "," : ", ");
    style.key_separator = jn_separator(c, a->args[3], 1, ": ");
    jn_put_json(c, &t, jn_input(a), &style);
    return jn_text_value(c, &t);
}

static jn_value jn_f_join(jn_context *c, const jn_arguments *a) {
    const jn_value by = a->args[1] ? jn_str(c, *a->args[1]) : jn_string("", 0);
    jn_text t = {0};
    jn_value item;
    int n = 0;
    for (jn_iterator it = jn_iterate(c, jn_input(a)); jn_next(c, &it, &item); n = 1) {
        if (n) jn_put(c, &t, by.u.s, by.size);
        jn_put_str(c, &t, a->args[2] ? jn_get_path(c, item, *a->args[2], NULL) : item);
    }
    return jn_text_value(c, &t);
}

/* ---- Numbers ---- */

/* The text without white space around it. Python also reads other scripts' digits, and 1_000. */
static jn_value jn_digits(jn_context *c, jn_value s) {
    s = jn_strip(c, s, NULL, 1, 1);
    for (uint32_t i = 0; i < s.size; i++)
        if ((unsigned char)s.u.s[i] >= 128 || (s.u.s[i] == '_' && s.size < 100))
            jn_fail(c, JINJA_UNSUPPORTED, "a number with _ or with digits beyond ASCII is not supported");
    jn_spend(c, s.size / 16);
    return s;
}

/* A whole number that is all of a text but for white space; 0 if it is none. */
static int jn_read_int(jn_context *c, jn_value s, int64_t *out) {
    uint64_t value = 0;
    s = jn_digits(c, s);
    const int sign = s.size && (*s.u.s == '-' || *s.u.s == '+');
    const int negative = sign && *s.u.s == '-';
    if (s.size == (uint32_t)sign) return 0;
    for (uint32_t i = (uint32_t)sign; i < s.size; i++) {
        const char ch = s.u.s[i];
        if (ch < '0' || ch > '9') return 0;
        if (value > (INT64_MAX - 9) / 10) jn_fail(c, JINJA_UNSUPPORTED, "a number beyond 64 bits is not supported");
        value = value * 10 + (uint64_t)(ch - '0');
    }
    *out = negative ? -(int64_t)value : (int64_t)value;
    return 1;
}

static int jn_read_float(jn_context *c, jn_value s, double *out) {
    char text[400], *end;
    s = jn_digits(c, s);
    if (s.size >= sizeof text) jn_fail(c, JINJA_UNSUPPORTED, "a number of %u digits is not supported", s.size);
    if (!s.size) return 0;
    const jn_value word = jn_change_case(c, *s.u.s == '-' || *s.u.s == '+' ? jn_string(s.u.s + 1, s.size - 1u) : s, 0);
    const int is_word = jn_is_text(word, "nan") || jn_is_text(word, "inf") || jn_is_text(word, "infinity");
    for (uint32_t i = 0; i < s.size && !is_word; i++)
        if (!s.u.s[i] || !strchr("0123456789.eE+-", s.u.s[i])) return 0;
    memcpy(text, s.u.s, s.size);
    text[s.size] = 0;
    *out = strtod(text, &end);
    return !*end && end > text;
}

static jn_value jn_f_int(jn_context *c, const jn_arguments *a) {
    const jn_value v = jn_input(a);
    double f = v.type == JN_FLOAT ? v.u.f : 0;
    int64_t i;
    if (jn_int_argument(c, a, 2, 10) != 10) jn_fail(c, JINJA_UNSUPPORTED, "int: a base is not supported");
    jn_use(c, v);
    if (jn_is_integer(v)) return jn_int(v.u.i);
    if (v.type == JN_STRING && jn_read_int(c, v, &i)) return jn_int(i);
    if (v.type != JN_FLOAT && !(v.type == JN_STRING && jn_read_float(c, v, &f)))
        return a->args[1] ? *a->args[1] : jn_int(0);
    if (f - f != 0 && v.type == JN_STRING) return a->args[1] ? *a->args[1] : jn_int(0);
    if (!(fabs(f) < 0x1p63)) jn_fail(c, JINJA_UNSUPPORTED, "a number beyond 64 bits is not supported");
    return jn_int((int64_t)f);
}

static jn_value jn_f_float(jn_context *c, const jn_arguments *a) {
    const jn_value v = jn_input(a);
    double f;
    jn_use(c, v);
    if (jn_is_number(v)) return jn_float(jn_number(v));
    if (v.type == JN_STRING && jn_read_float(c, v, &f)) return jn_float(f);
    return a->args[1] ? *a->args[1] : jn_float(0);
}

static jn_value jn_number_input(jn_context *c, const jn_arguments *a) {
    const jn_value v = jn_input(a);
    jn_use(c, v);
    if (!jn_is_number(v)) jn_fail(c, JINJA_ERROR, "a %s where a number is needed", jn_type_name(v));
    return v;
}

static jn_value jn_f_abs(jn_context *c, const jn_arguments *a) {
    const jn_value v = jn_number_input(c, a);
    if (v.type == JN_FLOAT) return jn_float(fabs(v.u.f));
    if (v.u.i == INT64_MIN) jn_fail(c, JINJA_UNSUPPORTED, "a number beyond 64 bits is not supported");
    return jn_int(v.u.i < 0 ? -v.u.i : v.u.i);
}

static jn_value jn_f_round(jn_context *c, const jn_arguments *a) {
    const jn_value v = jn_number_input(c, a);
    const int64_t digits = jn_int_argument(c, a, 1, 0);
    const double f = jn_number(v), power = pow(10, (double)digits);
    char s[400];
    const jn_value how = a->args[2] ? jn_text_argument(c, a, 2) : jn_string("common", 6);
    if (digits < 0 || digits > 30) jn_fail(c, JINJA_UNSUPPORTED, "round: to these digits is not supported");
    if (jn_is_text(how, "ceil")) return jn_float(ceil(f * power) / power);
    if (jn_is_text(how, "floor")) return jn_float(floor(f * power) / power);
    if (!jn_is_text(how, "common")) jn_fail(c, JINJA_ERROR, "round: no such method");
    if (v.type != JN_FLOAT) return jn_int(v.u.i);
    snprintf(s, sizeof s, "%.*f", (int)digits, f); /* exact, as Python's is */
    return jn_float(strtod(s, NULL));
}

/* ---- Sequences ---- */

static jn_value jn_f_length(jn_context *c, const jn_arguments *a) { return jn_int((int64_t)jn_count(c, jn_input(a))); }
static jn_value jn_f_list(jn_context *c, const jn_arguments *a) { return jn_to_list(c, jn_input(a)); }

static jn_value jn_f_first(jn_context *c, const jn_arguments *a) {
    jn_value item;
    jn_iterator it = jn_iterate(c, jn_input(a));
    return jn_next(c, &it, &item) ? item : jn_undefined("first", 5, 0);
}

static jn_value jn_f_last(jn_context *c, const jn_arguments *a) {
    if (jn_input(a).type == JN_GENERATOR) jn_fail(c, JINJA_ERROR, "last of a generator");
    const jn_value list = jn_to_list(c, jn_input(a));
    return list.u.list->n ? list.u.list->items[list.u.list->n - 1] : jn_undefined("last", 4, 0);
}

jn_value jn_reversed(jn_context *c, jn_value v, jn_type type) {
    const jn_value list = jn_to_list(c, v);
    const size_t n = list.u.list->n;
    jn_value out = jn_new_list(c, type, n);
    for (size_t i = 0; i < n; i++) out.u.list->items[i] = list.u.list->items[n - 1 - i];
    return out;
}

static jn_value jn_f_reverse(jn_context *c, const jn_arguments *a) {
    const jn_value v = jn_reversed(c, jn_input(a), JN_GENERATOR);
    jn_text t = {0};
    if (jn_input(a).type != JN_STRING) return v;
    for (size_t i = 0; i < v.u.list->n; i++) jn_put(c, &t, v.u.list->items[i].u.s, v.u.list->items[i].size);
    return jn_mark(jn_text_value(c, &t), jn_input(a).is_safe);
}

static jn_value jn_f_items(jn_context *c, const jn_arguments *a) {
    const jn_value v = jn_input(a);
    if (v.type == JN_UNDEFINED) return jn_new_list(c, JN_GENERATOR, 0);
    if (v.type != JN_DICT) jn_fail(c, JINJA_ERROR, "items of a %s", jn_type_name(v));
    return jn_dict_items(c, v, JN_GENERATOR);
}

static jn_value jn_f_default(jn_context *c, const jn_arguments *a) {
    const jn_value v = jn_input(a);
    const int missing = v.type == JN_UNDEFINED || (jn_flag_argument(a, 2) && !jn_truth(v));
    return (void)c, !missing ? v : a->args[1] ? *a->args[1] : jn_string("", 0);
}

static jn_value jn_f_attr(jn_context *c, const jn_arguments *a) {
    const jn_value name = jn_text_argument(c, a, 1), v = jn_input(a);
    if (v.type == JN_DICT && !jn_find_method(v, name.u.s, name.size)) return jn_undefined(name.u.s, name.size, 1);
    return jn_get_attribute(c, v, name);
}

/* What is compared: an attribute of the item, texts without regard to capitals unless that is asked for. */
static jn_value jn_sort_key(jn_context *c, jn_value item, const jn_value *attribute, int exact) {
    if (attribute && attribute->type != JN_NONE) item = jn_get_path(c, item, *attribute, NULL);
    return item.type == JN_STRING && !exact ? jn_change_case(c, item, 0) : item;
}

/* What sort compares: a list of keys, for attributes with commas between. */
static jn_value jn_sort_keys_of(jn_context *c, jn_value item, const jn_value *attribute, int exact) {
    jn_value keys = jn_new_list(c, JN_LIST, 0);
    if (!attribute || attribute->type != JN_STRING) {
        jn_append(c, keys.u.list, jn_sort_key(c, item, attribute, exact));
        return keys;
    }
    for (const char *p = attribute->u.s, *end = p + attribute->size, *comma; p <= end; p = comma + 1) {
        comma = p < end ? memchr(p, ',', (size_t)(end - p)) : NULL;
        if (!comma) comma = end;
        const jn_value part = jn_string(p, (size_t)(comma - p));
        jn_append(c, keys.u.list, jn_sort_key(c, item, &part, exact));
    }
    return keys;
}

/* Sorts pairs by their keys and keeps the order of those that are alike: runs of 1, 2, 4 ... are merged. */
static void jn_merge_sort(jn_context *c, jn_pair *pairs, size_t n, int reverse) {
    jn_pair *from = pairs, *to = n ? jn_allocate(c, n * sizeof *to) : NULL;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            const size_t middle = begin + width < n ? begin + width : n, end = middle + width < n ? middle + width : n;
            size_t i = begin, k = middle;
            for (size_t out = begin; out < end; out++) {
                int second = i == middle;
                if (i < middle && k < end)
                    second = reverse ? jn_order(c, from[i].key, from[k].key, "<") < 0
                                     : jn_order(c, from[k].key, from[i].key, "<") < 0;
                to[out] = second ? from[k++] : from[i++];
            }
        }
        jn_pair *swap = from;
        from = to, to = swap;
    }
    if (from != pairs) memcpy(pairs, from, n * sizeof *pairs);
}

typedef jn_value jn_key(jn_context *c, jn_value item, const jn_value *attribute, int exact);

static jn_value jn_sort_values(jn_context *c, jn_value list, jn_key *key, const jn_value *attribute, int exact,
                               int reverse) {
    const size_t n = list.u.list->n;
    jn_pair *pairs = n ? jn_allocate(c, n * sizeof *pairs) : NULL;
    for (size_t i = 0; i < n; i++)
        pairs[i] = (jn_pair){key(c, list.u.list->items[i], attribute, exact), list.u.list->items[i]};
    jn_merge_sort(c, pairs, n, reverse);
    jn_value out = jn_new_list(c, JN_LIST, n);
    for (size_t i = 0; i < n; i++) out.u.list->items[i] = pairs[i].value;
    return out;
}

static jn_value jn_f_sort(jn_context *c, const jn_arguments *a) {
    return jn_sort_values(c, jn_to_list(c, jn_input(a)), jn_sort_keys_of, a->args[3], jn_flag_argument(a, 2),
                          jn_flag_argument(a, 1));
}

static jn_value jn_f_dictsort(jn_context *c, const jn_arguments *a) {
    if (jn_input(a).type != JN_DICT) jn_use(c, jn_input(a)), jn_fail(c, JINJA_ERROR, "dictsort of no dict");
    jn_value by = jn_int(0);
    if (a->args[2]) {
        const jn_value what = jn_text_argument(c, a, 2);
        if (!jn_is_text(what, "key") && !jn_is_text(what, "value")) jn_fail(c, JINJA_ERROR, "dictsort: by what?");
        by = jn_int(jn_is_text(what, "value"));
    }
    return jn_sort_values(c, jn_dict_items(c, jn_input(a), JN_LIST), jn_sort_key, &by, jn_flag_argument(a, 1),
                          jn_flag_argument(a, 3));
}

static jn_value jn_f_unique(jn_context *c, const jn_arguments *a) {
    jn_value out = jn_new_list(c, JN_GENERATOR, 0), seen = jn_new_list(c, JN_LIST, 0), item;
    for (jn_iterator it = jn_iterate(c, jn_input(a)); jn_next(c, &it, &item);) {
        const jn_value key = jn_sort_key(c, item, a->args[2], jn_flag_argument(a, 1));
        jn_check_key(c, key);
        if (jn_contains(c, key, seen)) continue;
        jn_append(c, seen.u.list, key);
        jn_append(c, out.u.list, item);
    }
    return out;
}

/* sign: -1 for the smallest, 1 for the largest; the first of those that are alike. */
static jn_value jn_extreme(jn_context *c, const jn_arguments *a, int sign) {
    jn_value best = jn_undefined("the item of an empty sequence", 29, 0), best_key = best, item;
    int found = 0;
    for (jn_iterator it = jn_iterate(c, jn_input(a)); jn_next(c, &it, &item); found = 1) {
        const jn_value key = jn_sort_key(c, item, a->args[2], jn_flag_argument(a, 1));
        if (found && jn_order(c, key, best_key, "<") * sign <= 0) continue;
        best = item, best_key = key;
    }
    return best;
}

static jn_value jn_f_min(jn_context *c, const jn_arguments *a) { return jn_extreme(c, a, -1); }
static jn_value jn_f_max(jn_context *c, const jn_arguments *a) { return jn_extreme(c, a, 1); }

/* Newer Pythons add floats up in another way than older ones. */
static jn_value jn_f_sum(jn_context *c, const jn_arguments *a) {
    jn_value sum = a->args[2] ? *a->args[2] : jn_int(0), item;
    if (sum.type == JN_STRING) jn_fail(c, JINJA_ERROR, "sum of texts");
    const int by_attribute = a->args[1] && a->args[1]->type != JN_NONE;
    for (jn_iterator it = jn_iterate(c, jn_input(a)); jn_next(c, &it, &item);) {
        if (by_attribute) item = jn_get_path(c, item, *a->args[1], NULL);
        if (item.type == JN_FLOAT) jn_fail(c, JINJA_UNSUPPORTED, "sum of floats is not supported");
        sum = jn_calculate(c, '+', sum, item);
    }
    return sum;
}

/* Appends items [from, to) of a list, as a list that is filled up to a size. */
static void jn_append_part(jn_context *c, jn_value out, const jn_list *list, size_t from, size_t to, size_t size,
                           const jn_value *fill) {
    jn_value part = jn_new_list(c, JN_LIST, 0);
    for (size_t i = from; i < to; i++) jn_append(c, part.u.list, list->items[i]);
    while (fill && fill->type != JN_NONE && part.u.list->n < size) jn_append(c, part.u.list, *fill);
    jn_append(c, out.u.list, part);
}

/* Lists of so many items each; 0, as jinja2 has it: an empty one before all of them. */
static jn_value jn_f_batch(jn_context *c, const jn_arguments *a) {
    const int64_t count = jn_int_argument(c, a, 1, 0);
    const jn_list *list = jn_to_list(c, jn_input(a)).u.list;
    const size_t size = count > 0 ? (size_t)count : 0;
    jn_value out = jn_new_list(c, JN_GENERATOR, 0);
    if (!count && list->n) jn_append(c, out.u.list, jn_new_list(c, JN_LIST, 0));
    for (size_t i = 0, to; i < list->n; i = to) {
        to = size && size < list->n - i ? i + size : list->n;
        jn_append_part(c, out, list, i, to, size, a->args[2]);
    }
    return out;
}

/* So many lists, of which the first have one item more. */
static jn_value jn_f_slice(jn_context *c, const jn_arguments *a) {
    const int64_t count = jn_int_argument(c, a, 1, 0);
    const jn_list *list = jn_to_list(c, jn_input(a)).u.list;
    jn_value out = jn_new_list(c, JN_GENERATOR, 0);
    if (!count) jn_fail(c, JINJA_ERROR, "a division by zero");
    if (count < 0) return out;
    const size_t n = (size_t)count, each = list->n / n, longer = list->n % n;
    for (size_t i = 0, from = 0, to; i < n; i++, from = to) {
        to = from + each + (i < longer);
        jn_append_part(c, out, list, from, to, i < longer ? 0 : each + 1, a->args[2]);
    }
    return out;
}

/* ---- Filters and tests of each item ---- */

/* The arguments behind the first n, for the filter or test that the one before names. */
static jn_list jn_rest(const jn_arguments *a, size_t n) {
    return (jn_list){a->rest.n > n ? a->rest.items + n : NULL, a->rest.n > n ? a->rest.n - n : 0};
}

static const jn_function *jn_named_function(jn_context *c, const jn_arguments *a, size_t i, const char *what) {
    const jn_value name = a->rest.items[i];
    if (name.type != JN_STRING) jn_fail(c, JINJA_ERROR, "a %s that is named by a %s", what, jn_type_name(name));
    const jn_function *f =
        !strcmp(what, "test") ? jn_find_test(name.u.s, name.size) : jn_find_filter(name.u.s, name.size);
    if (!f) jn_refuse(c, what, name.u.s, name.size);
    return f;
}

static const jn_value *jn_named_argument(jn_context *c, const jn_arguments *a, const char *name) {
    return jn_dict_find(c, &a->named, jn_string(name, strlen(name)));
}

static jn_value jn_f_map(jn_context *c, const jn_arguments *a) {
    if (!jn_truth(jn_input(a))) return jn_new_list(c, JN_GENERATOR, 0); /* None too, and whatever the arguments */
    const jn_value *attribute = a->rest.n ? NULL : jn_named_argument(c, a, "attribute");
    const jn_value *otherwise = attribute ? jn_named_argument(c, a, "default") : NULL;
    if (!attribute && !a->rest.n) jn_fail(c, JINJA_ERROR, "map without a filter or attribute");
    if (attribute && a->named.n > 1u + (otherwise != NULL)) jn_fail(c, JINJA_ERROR, "map: an unknown argument");
    const jn_function *f = attribute ? NULL : jn_named_function(c, a, 0, "filter");
    const jn_list rest = jn_rest(a, 1);
    jn_value out = jn_new_list(c, JN_GENERATOR, 0), item;
    for (jn_iterator it = jn_iterate(c, jn_input(a)); jn_next(c, &it, &item);) {
        if (f) item = jn_apply(c, "filter", f, &item, &rest, &a->named);
        else item = jn_get_path(c, item, *attribute, otherwise);
        jn_append(c, out.u.list, item);
    }
    return out;
}

/* Items, or with by_attribute those whose attribute, passes a test, or which are true if none is named. */
static jn_value jn_filter_items(jn_context *c, const jn_arguments *a, int wanted, int by_attribute) {
    if (!jn_truth(jn_input(a))) return jn_new_list(c, JN_GENERATOR, 0);
    const size_t first = by_attribute != 0;
    if (a->rest.n < first) jn_fail(c, JINJA_ERROR, "selectattr without an attribute");
    const jn_function *f = a->rest.n > first ? jn_named_function(c, a, first, "test") : NULL;
    const jn_list rest = jn_rest(a, first + 1);
    jn_value out = jn_new_list(c, JN_GENERATOR, 0), item;
    for (jn_iterator it = jn_iterate(c, jn_input(a)); jn_next(c, &it, &item);) {
        jn_value v = by_attribute ? jn_get_path(c, item, a->rest.items[0], NULL) : item;
        if (f) v = jn_apply(c, "test", f, &v, &rest, &a->named);
        if (jn_truth(v) == wanted) jn_append(c, out.u.list, item);
    }
    return out;
}

static jn_value jn_f_select(jn_context *c, const jn_arguments *a) { return jn_filter_items(c, a, 1, 0); }
static jn_value jn_f_reject(jn_context *c, const jn_arguments *a) { return jn_filter_items(c, a, 0, 0); }
static jn_value jn_f_selectattr(jn_context *c, const jn_arguments *a) { return jn_filter_items(c, a, 1, 1); }
static jn_value jn_f_rejectattr(jn_context *c, const jn_arguments *a) { return jn_filter_items(c, a, 0, 1); }

static const jn_function jn_filters[] = {{"abs", jn_f_abs, "", 0},
                                         {"attr", jn_f_attr, "name", 1},
                                         {"batch", jn_f_batch, "linecount fill_with", 1},
                                         {"capitalize", jn_f_capitalize, "", 0},
                                         {"count", jn_f_length, "", 0},
                                         {"d", jn_f_default, "default_value boolean", 0},
                                         {"default", jn_f_default, "default_value boolean", 0},
                                         {"dictsort", jn_f_dictsort, "case_sensitive by reverse", 0},
                                         {"e", jn_f_escape, "", 0},
                                         {"escape", jn_f_escape, "", 0},
                                         {"first", jn_f_first, "", 0},
                                         {"float", jn_f_float, "default", 0},
                                         {"indent", jn_f_indent, "width first blank", 0},
                                         {"int", jn_f_int, "default base", 0},
                                         {"items", jn_f_items, "", 0},
                                         {"join", jn_f_join, "d attribute", 0},
                                         {"last", jn_f_last, "", 0},
                                         {"length", jn_f_length, "", 0},
                                         {"list", jn_f_list, "", 0},
                                         {"lower", jn_f_lower, "", 0},
                                         {"map", jn_f_map, "*", 0},
                                         {"max", jn_f_max, "case_sensitive attribute", 0},
                                         {"min", jn_f_min, "case_sensitive attribute", 0},
                                         {"reject", jn_f_reject, "*", 0},
                                         {"rejectattr", jn_f_rejectattr, "*", 0},
                                         {"replace", jn_f_replace, "old new count", 2},
                                         {"reverse", jn_f_reverse, "", 0},
                                         {"round", jn_f_round, "precision method", 0},
                                         {"safe", jn_f_safe, "", 0},
                                         {"select", jn_f_select, "*", 0},
                                         {"selectattr", jn_f_selectattr, "*", 0},
                                         {"slice", jn_f_slice, "slices fill_with", 1},
                                         {"sort", jn_f_sort, "reverse case_sensitive attribute", 0},
                                         {"string", jn_f_string, "", 0},
                                         {"sum", jn_f_sum, "attribute start", 0},
                                         {"title", jn_f_title, "", 0},
                                         {"tojson", jn_f_tojson, "ensure_ascii indent separators sort_keys", 0},
                                         {"trim", jn_f_trim, "chars", 0},
                                         {"unique", jn_f_unique, "case_sensitive attribute", 0},
                                         {"upper", jn_f_upper, "", 0},
                                         {"center", NULL, "", 0},
                                         {"filesizeformat", NULL, "", 0},
                                         {"forceescape", NULL, "", 0},
                                         {"format", NULL, "", 0},
                                         {"groupby", NULL, "", 0},
                                         {"pprint", NULL, "", 0},
                                         {"random", NULL, "", 0},
                                         {"striptags", NULL, "", 0},
                                         {"truncate", NULL, "", 0},
                                         {"urlencode", NULL, "", 0},
                                         {"urlize", NULL, "", 0},
                                         {"wordcount", NULL, "", 0},
                                         {"wordwrap", NULL, "", 0},
                                         {"xmlattr", NULL, "", 0},
                                         {NULL, NULL, NULL, 0}};

const jn_function *jn_find_filter(const char *name, size_t size) { return jn_find(jn_filters, name, size); }

/* ---- Tests ---- */

static jn_value jn_t_defined(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_input(a).type != JN_UNDEFINED);
}

static jn_value jn_t_undefined(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_input(a).type == JN_UNDEFINED);
}

static jn_value jn_t_none(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_input(a).type == JN_NONE);
}

static jn_value jn_t_string(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_input(a).type == JN_STRING);
}

static jn_value jn_t_mapping(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_input(a).type == JN_DICT);
}

static jn_value jn_t_iterable(jn_context *c, const jn_arguments *a) {
    const jn_value v = jn_input(a);
    return (void)c, jn_bool(v.type == JN_UNDEFINED || v.type == JN_STRING || v.type == JN_DICT || v.type == JN_LOOP ||
                            jn_is_sequence(v));
}

static jn_value jn_t_sequence(jn_context *c, const jn_arguments *a) {
    const jn_value v = jn_input(a);
    return (void)c, jn_bool(jn_has_length(v) && v.type != JN_VIEW && v.type != JN_LOOP);
}

static jn_value jn_t_number(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_is_number(jn_input(a)));
}
static jn_value jn_t_integer(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_input(a).type == JN_INT);
}
static jn_value jn_t_float(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_input(a).type == JN_FLOAT);
}
static jn_value jn_t_boolean(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_input(a).type == JN_BOOL);
}

static jn_value jn_t_true(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_input(a).type == JN_BOOL && jn_input(a).u.i);
}

static jn_value jn_t_false(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_input(a).type == JN_BOOL && !jn_input(a).u.i);
}

static jn_value jn_t_callable(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_input(a).type == JN_UNDEFINED || jn_input(a).type >= JN_MACRO);
}

/* Whether the rest of a division is that. */
static jn_value jn_has_rest(jn_context *c, const jn_arguments *a, jn_value by, int64_t rest) {
    return jn_bool(jn_equal(c, jn_calculate(c, '%', jn_input(a), by), jn_int(rest)));
}

static jn_value jn_t_odd(jn_context *c, const jn_arguments *a) { return jn_has_rest(c, a, jn_int(2), 1); }
static jn_value jn_t_even(jn_context *c, const jn_arguments *a) { return jn_has_rest(c, a, jn_int(2), 0); }
static jn_value jn_t_divisibleby(jn_context *c, const jn_arguments *a) { return jn_has_rest(c, a, *a->args[1], 0); }

/* Of what is one thing wherever it is; whether others are the same Python alone knows. */
static jn_value jn_t_sameas(jn_context *c, const jn_arguments *a) {
    const jn_value v = jn_input(a), other = *a->args[1];
    if (v.type == other.type && v.type != JN_NONE && v.type != JN_BOOL)
        jn_fail(c, JINJA_UNSUPPORTED, "sameas of two %ss is not supported", jn_type_name(v));
    return jn_bool(v.type == other.type && (v.type == JN_NONE || v.u.i == other.u.i));
}

static jn_value jn_t_escaped(jn_context *c, const jn_arguments *a) {
    return (void)c, jn_bool(jn_input(a).type == JN_STRING && jn_input(a).is_safe);
}

static jn_value jn_t_equal(jn_context *c, const jn_arguments *a) {
    return jn_bool(jn_equal(c, jn_input(a), *a->args[1]));
}
static jn_value jn_t_unequal(jn_context *c, const jn_arguments *a) {
    return jn_bool(!jn_equal(c, jn_input(a), *a->args[1]));
}

static int jn_ordered(jn_context *c, const jn_arguments *a, const char *op) {
    return jn_order(c, jn_input(a), *a->args[1], op);
}

static jn_value jn_t_less(jn_context *c, const jn_arguments *a) { return jn_bool(jn_ordered(c, a, "<") < 0); }
static jn_value jn_t_most(jn_context *c, const jn_arguments *a) { return jn_bool(jn_ordered(c, a, "<=") <= 0); }
static jn_value jn_t_more(jn_context *c, const jn_arguments *a) { return jn_bool(jn_ordered(c, a, ">") == 1); }

static jn_value jn_t_least(jn_context *c, const jn_arguments *a) {
    const int order = jn_ordered(c, a, ">=");
    return jn_bool(order == 0 || order == 1);
}

static jn_value jn_t_in(jn_context *c, const jn_arguments *a) {
    return jn_bool(jn_contains(c, jn_input(a), *a->args[1]));
}
static jn_value jn_t_upper(jn_context *c, const jn_arguments *a) {
    return jn_bool(jn_is_case(c, jn_input_text(c, a), 1));
}
static jn_value jn_t_lower(jn_context *c, const jn_arguments *a) {
    return jn_bool(jn_is_case(c, jn_input_text(c, a), 0));
}

static jn_value jn_t_filter(jn_context *c, const jn_arguments *a) {
    const jn_value name = jn_input(a);
    jn_check_key(c, name);
    return jn_bool(name.type == JN_STRING && jn_find_filter(name.u.s, name.size) != NULL);
}

static jn_value jn_t_test(jn_context *c, const jn_arguments *a) {
    const jn_value name = jn_input(a);
    jn_check_key(c, name);
    return jn_bool(name.type == JN_STRING && jn_find_test(name.u.s, name.size) != NULL);
}

static const jn_function jn_tests[] = {{"defined", jn_t_defined, "", 0},
                                       {"undefined", jn_t_undefined, "", 0},
                                       {"none", jn_t_none, "", 0},
                                       {"string", jn_t_string, "", 0},
                                       {"mapping", jn_t_mapping, "", 0},
                                       {"iterable", jn_t_iterable, "", 0},
                                       {"sequence", jn_t_sequence, "", 0},
                                       {"number", jn_t_number, "", 0},
                                       {"integer", jn_t_integer, "", 0},
                                       {"float", jn_t_float, "", 0},
                                       {"boolean", jn_t_boolean, "", 0},
                                       {"true", jn_t_true, "", 0},
                                       {"false", jn_t_false, "", 0},
                                       {"callable", jn_t_callable, "", 0},
                                       {"odd", jn_t_odd, "", 0},
                                       {"even", jn_t_even, "", 0},
                                       {"divisibleby", jn_t_divisibleby, "num", 1},
                                       {"eq", jn_t_equal, "b", 1},
                                       {"equalto", jn_t_equal, "b", 1},
                                       {"==", jn_t_equal, "b", 1},
                                       {"ne", jn_t_unequal, "b", 1},
                                       {"!=", jn_t_unequal, "b", 1},
                                       {"lt", jn_t_less, "b", 1},
                                       {"lessthan", jn_t_less, "b", 1},
                                       {"<", jn_t_less, "b", 1},
                                       {"le", jn_t_most, "b", 1},
                                       {"<=", jn_t_most, "b", 1},
                                       {"gt", jn_t_more, "b", 1},
                                       {"greaterthan", jn_t_more, "b", 1},
                                       {">", jn_t_more, "b", 1},
                                       {"ge", jn_t_least, "b", 1},
                                       {">=", jn_t_least, "b", 1},
                                       {"in", jn_t_in, "seq", 1},
                                       {"upper", jn_t_upper, "", 0},
                                       {"lower", jn_t_lower, "", 0},
                                       {"filter", jn_t_filter, "", 0},
                                       {"test", jn_t_test, "", 0},
                                       {"sameas", jn_t_sameas, "other", 1},
                                       {"escaped", jn_t_escaped, "", 0},
                                       {NULL, NULL, NULL, 0}};

const jn_function *jn_find_test(const char *name, size_t size) { return jn_find(jn_tests, name, size); }
