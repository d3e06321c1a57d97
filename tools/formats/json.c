/* json.c - a JSON reader. Contract in json.h. */
#include "json.h"

#include "../shared/files.h"
#include "../shared/messages.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define JSON_MAX_SIZE ((size_t)1 << 30) /* so that 32 bits count bytes and nodes, of which a byte makes one at most */
#define JSON_NONE UINT32_MAX

typedef struct json_key {
    uint64_t hash;
    const json_node *node;
} json_hashed;

typedef struct {
    json_text *j;
    char *at, *end; /* the byte being read; where the text ends, which is a zero */
    uint32_t line;
    uint32_t open;   /* the innermost open container, or JSON_NONE; while open, its skip is the one around it */
    size_t capacity; /* of j->nodes */
    const char *name;
    llama_error *err;
} json_parser;

static int json_fail(json_parser *p, const char *what) {
    return set_error(p->err, "%.120s: line %lu, byte %lu: %s", p->name, (unsigned long)p->line,
                     (unsigned long)(p->at - p->j->text), what);
}

/* ---- Strings: decoded where they lie, since an escape is longer than what it stands for ---- */

/* Bytes of the UTF-8 character at s, or 0 if it is malformed. The zero behind the text ends any sequence. */
static int json_utf8_size(const unsigned char *s) {
    const int n = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xF0 && s[1] < 0x90)) return 0; /* longer than needed */
    if ((s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF4 && s[1] > 0x8F)) return 0; /* surrogate; above U+10FFFF */
    return n;
}

static char *json_put_utf8(char *out, unsigned long c) {
    if (c < 0x80) return *out++ = (char)c, out;
    if (c >= 0x10000) *out++ = (char)(0xF0 | c >> 18), *out++ = (char)(0x80 | (c >> 12 & 63));
    else if (c >= 0x800) *out++ = (char)(0xE0 | c >> 12);
    if (c < 0x800) *out++ = (char)(0xC0 | c >> 6);
    else *out++ = (char)(0x80 | (c >> 6 & 63));
    return *out++ = (char)(0x80 | (c & 63)), out;
}

/* The value of "\uXXXX" at s, or -1. */
static long json_unit(const char *s) {
    long value = 0;
    if (s[0] != '\\' || s[1] != 'u') return -1;
    for (int i = 2; i < 6; i++) {
        const char c = s[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* The escape at p->at, to *out. */
static int json_escape(json_parser *p, char **out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found = p->at[1] ? strchr(from, p->at[1]) : NULL;
    if (found) {
        *(*out)++ = to[found - from];
        p->at += 2;
        return 0;
    }
    long unit = json_unit(p->at);
    if (unit < 0) return json_fail(p, "an escape that is none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
    if (unit >= 0xD800 && unit <= 0xDFFF) {
        const long low = unit < 0xDC00 ? json_unit(p->at + 6) : -1;
        if (low < 0xDC00 || low > 0xDFFF) return json_fail(p, "a surrogate without the other half of its pair");
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        p->at += 6;
    }
    p->at += 6;
    *out = json_put_utf8(*out, (unsigned long)unit);
    return 0;
}

static int json_string(json_parser *p, json_node *n) {
    char *out = ++p->at;
    n->type = JSON_STRING;
    n->text = out;
    while (*p->at != '"') {
        if (*p->at == '\\') {
            if (json_escape(p, &out)) return -1;
            continue;
        }
        if (p->at == p->end) return json_fail(p, "the text ends inside a string");
        if ((unsigned char)*p->at < 32) return json_fail(p, "a control character inside a string");
        int size = json_utf8_size((unsigned char *)p->at);
        if (!size) return json_fail(p, "invalid UTF-8");
        while (size--) *out++ = *p->at++;
    }
    p->at++;
    *out = 0; /* on the closing quote, or before it */
    n->size = (uint32_t)(out - n->text);
    return 0;
}

/* ---- Numbers and words ---- */

static int json_digits(json_parser *p) {
    const char *begin = p->at;
    while (*p->at >= '0' && *p->at <= '9') p->at++;
    return p->at > begin;
}

static int json_number(json_parser *p, json_node *n) {
    const char *begin = p->at;
    if (*p->at == '-') p->at++;
    int good = *p->at == '0' ? (p->at++, 1) : json_digits(p);
    if (good && *p->at == '.') p->at++, good = json_digits(p);
    if (good && (*p->at == 'e' || *p->at == 'E')) {
        p->at++;
        if (*p->at == '+' || *p->at == '-') p->at++;
        good = json_digits(p);
    }
    if (!good) return json_fail(p, "a malformed number");
    n->type = JSON_NUMBER;
    n->number = strtod(begin, NULL); /* in the C locale, which a program starts with */
    return isfinite(n->number) ? 0 : json_fail(p, "a number too large");
}

static int json_word(json_parser *p, json_node *n) {
    static const char *const words[] = {"null", "false", "true"};
    for (int i = 0; i < 3; i++) {
        const size_t size = strlen(words[i]);
        if (strncmp(p->at, words[i], size)) continue;
        p->at += size;
        n->type = (json_type)(JSON_NULL + i);
        return 0;
    }
    return json_fail(p, p->at == p->end ? "the text ends where a value is expected" : "no value");
}

/* ---- Keys: sorted by hash first, so that most comparisons are of numbers ---- */

static uint64_t json_hash(const char *text, size_t size) { /* FNV-1a */
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++) hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    return hash;
}

static int json_compare(json_hashed a, json_hashed b) {
    if (a.hash != b.hash) return a.hash < b.hash ? -1 : 1;
    if (a.node->size != b.node->size) return a.node->size < b.node->size ? -1 : 1;
    return memcmp(a.node->text, b.node->text, a.node->size);
}

/* Heapsort: n log n on any input, where qsort promises nothing. */
static void json_sort(json_hashed *a, size_t n) {
    for (size_t start = n / 2, end = n; end > 1;) {
        if (start > 0) {
            start--; /* first make a heap, */
        } else {
            const json_hashed largest = a[0]; /* then move its top behind its end */
            a[0] = a[--end];
            a[end] = largest;
        }
        const json_hashed x = a[start];
        size_t i = start;
        for (size_t child; (child = 2 * i + 1) < end; i = child) {
            if (child + 1 < end && json_compare(a[child], a[child + 1]) < 0) child++;
            if (json_compare(x, a[child]) >= 0) break;
            a[i] = a[child];
        }
        a[i] = x;
    }
}

int json_index_make(json_index *index, const json_node *object) {
    size_t n = 0;
    index->count = object->size;
    index->keys = malloc((index->count + 1) * sizeof *index->keys);
    if (!index->keys) return -1;
    JSON_EACH(key, object) index->keys[n++] = (json_hashed){json_hash(key->text, key->size), key};
    json_sort(index->keys, n);
    return 0;
}

void json_index_free(json_index *index) {
    free(index->keys);
    index->keys = NULL;
}

const json_node *json_find(const json_index *index, const char *key, size_t size) {
    const json_node wanted = {.text = key, .size = (uint32_t)size};
    const json_hashed x = {json_hash(key, size), &wanted};
    for (size_t low = 0, high = index->count; low < high;) {
        const size_t middle = low + (high - low) / 2;
        const int c = json_compare(x, index->keys[middle]);
        if (c == 0) return index->keys[middle].node + 1;
        if (c < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

static int json_check_keys(json_parser *p, const json_node *object) {
    json_index index;
    if (json_index_make(&index, object)) return json_fail(p, "no memory");
    int result = 0;
    for (size_t i = 1; i < index.count && !result; i++)
        if (!json_compare(index.keys[i - 1], index.keys[i]))
            result = set_error(p->err, "%.120s: the object that starts in line %lu has the key \"%.60s\" twice",
                               p->name, (unsigned long)object->line, index.keys[i].node->text);
    json_index_free(&index);
    return result;
}

/* ---- The text ---- */

static void json_space(json_parser *p) {
    for (; *p->at == ' ' || *p->at == '\t' || *p->at == '\r' || *p->at == '\n'; p->at++) p->line += *p->at == '\n';
}

/* A node for the value or key at p->at, whose children have yet to come. */
static json_node *json_push(json_parser *p) {
    json_text *j = p->j;
    if (j->count == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 64;
        json_node *more = p->capacity <= SIZE_MAX / sizeof *more ? realloc(j->nodes, p->capacity * sizeof *more) : NULL;
        if (!more) return json_fail(p, "no memory"), NULL;
        j->nodes = more;
    }
    json_node *n = &j->nodes[j->count++];
    *n = (json_node){.skip = 1, .line = p->line};
    return n;
}

static int json_key_and_colon(json_parser *p) {
    if (*p->at != '"')
        return json_fail(p, p->at == p->end ? "the text ends inside an object" : "no \" where a key is expected");
    json_node *key = json_push(p);
    if (!key || json_string(p, key)) return -1;
    json_space(p);
    if (*p->at != ':') return json_fail(p, "no ':' after a key");
    p->at++;
    json_space(p);
    return 0;
}

/* A whole value, or the beginning of a container, which then is the open one. */
static int json_value(json_parser *p) {
    json_node *n = json_push(p);
    if (!n) return -1;
    if (*p->at == '{' || *p->at == '[') {
        n->type = *p->at++ == '{' ? JSON_OBJECT : JSON_ARRAY;
        n->skip = p->open;
        p->open = (uint32_t)(n - p->j->nodes);
        return 0;
    }
    if (*p->at == '"') return json_string(p, n);
    if (*p->at == '-' || (*p->at >= '0' && *p->at <= '9')) return json_number(p, n);
    return json_word(p, n);
}

/* The value at index is complete: counts it where it is. */
static void json_count(json_parser *p, uint32_t index) {
    json_node *nodes = p->j->nodes;
    if (p->open == JSON_NONE) return;
    nodes[p->open].size++;
    if (nodes[p->open].type == JSON_OBJECT) nodes[index - 1].skip = 1 + nodes[index].skip; /* its key's */
}

static int json_close(json_parser *p) {
    const uint32_t index = p->open;
    json_node *n = &p->j->nodes[index];
    p->at++;
    p->open = n->skip;
    n->skip = (uint32_t)p->j->count - index;
    json_count(p, index);
    return n->type == JSON_OBJECT && n->size > 1 ? json_check_keys(p, n) : 0;
}

/* After a value: what it closes, up to the ',' before the next value. 0: there is one; 1: the text is complete; -1 */
static int json_after(json_parser *p) {
    for (;;) {
        json_space(p);
        if (p->open == JSON_NONE) return p->at == p->end ? 1 : json_fail(p, "something after the end of the value");
        const int is_object = p->j->nodes[p->open].type == JSON_OBJECT;
        if (*p->at == ',') return p->at++, 0;
        if (*p->at != (is_object ? '}' : ']'))
            return json_fail(p, p->at == p->end
                                    ? (is_object ? "the text ends inside an object" : "the text ends inside an array")
                                    : (is_object ? "no ',' or '}'" : "no ',' or ']'"));
        if (json_close(p)) return -1;
    }
}

static int json_run(json_parser *p) {
    for (int state = 0; state == 0;) {
        json_space(p);
        if (p->open != JSON_NONE && p->j->nodes[p->open].type == JSON_OBJECT && json_key_and_colon(p)) return -1;
        const uint32_t index = (uint32_t)p->j->count;
        if (json_value(p)) return -1;
        if (p->open == index) { /* a container has begun: go in, unless it is empty */
            json_space(p);
            if (*p->at != (p->j->nodes[index].type == JSON_OBJECT ? '}' : ']')) continue;
            if (json_close(p)) return -1;
        } else {
            json_count(p, index);
        }
        state = json_after(p);
        if (state < 0) return -1;
    }
    return 0;
}

/* Parses j->text, which is size bytes and a zero. */
static int json_parse_own(json_text *j, size_t size, const char *name, llama_error *err) {
    json_parser p = {
        .j = j, .at = j->text, .end = j->text + size, .line = 1, .open = JSON_NONE, .name = name, .err = err};
    const int result = json_run(&p);
    if (result) json_free(j);
    return result;
}

int json_parse(json_text *j, const char *text, size_t size, const char *name, llama_error *err) {
    *j = (json_text){NULL, 0, NULL};
    if (size > JSON_MAX_SIZE) return set_error(err, "%.120s: %zu bytes, more than %zu", name, size, JSON_MAX_SIZE);
    j->text = malloc(size + 1);
    if (!j->text) return set_error(err, "%.120s: no memory for %zu bytes", name, size);
    memcpy(j->text, text, size);
    j->text[size] = 0;
    return json_parse_own(j, size, name, err);
}

int json_load(json_text *j, const char *path, llama_error *err) {
    size_t size;
    *j = (json_text){NULL, 0, NULL};
    j->text = file_read(path, JSON_MAX_SIZE, &size, err);
    return j->text ? json_parse_own(j, size, path, err) : -1;
}

void json_free(json_text *j) {
    free(j->nodes);
    free(j->text);
    *j = (json_text){NULL, 0, NULL};
}

const json_node *json_get(const json_node *object, const char *key) {
    if (!json_is(object, JSON_OBJECT)) return NULL;
    JSON_EACH(k, object)
        if (json_is_text(k, key)) return k + 1;
    return NULL;
}

int json_is(const json_node *n, json_type type) { return n && n->type == type; }

int json_is_text(const json_node *n, const char *text) {
    return json_is(n, JSON_STRING) && n->size == strlen(text) && !memcmp(n->text, text, n->size);
}

int json_whole(const json_node *n, uint64_t *value) {
    if (!json_is(n, JSON_NUMBER) || !(n->number >= 0 && n->number < 0x1p53) || n->number != floor(n->number)) return 0;
    *value = (uint64_t)n->number;
    return 1;
}

const char *json_type_name(const json_node *n) {
    static const char *const names[] = {"null", "false", "true", "a number", "a string", "an array", "an object"};
    return n ? names[n->type] : "missing";
}
