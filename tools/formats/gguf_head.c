/* gguf_head.c - the head of a GGUF file: all before the data. Contract in gguf.h.
 *
 * It is read into memory in growing steps, as far as it is taken, so that memory is bounded by what the file holds and
 * not by what it claims. It moves as it grows: what points into it is an index.
 */
#include "../shared/files.h"
#include "../shared/numbers.h"
#include "gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define GGUF_MAX_HEAD ((uint64_t)1 << 28) /* metadata and tensor table: the largest known are a tenth of this */
#define GGUF_MAX_ENTRIES 4096             /* known files have fewer than 100; they are searched one by one */
#define GGUF_MAX_KEY 1024

int gguf_fail(gguf_head *h, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    set_error(h->err, "%s: %s", h->name, text);
    return 0;
}

int gguf_open_file(gguf_head *h, const char *path) {
    const size_t size = strlen(path), most = 100;
    snprintf(h->name, sizeof h->name, "%s%s", size > most ? "..." : "", size > most ? path + size - most : path);
    h->file = fopen(path, "rb");
    if (!h->file) return gguf_fail(h, "cannot open");
    if (file_size(h->file, &h->file_size)) return gguf_fail(h, "cannot tell its size");
    setvbuf(h->file, NULL, _IONBF, 0); /* rows are large and read once: do not copy them through a buffer */
    return 1;
}

void gguf_free_bytes(gguf_head *h) {
    free(h->bytes);
    free(h->entries);
    h->bytes = NULL;
    h->entries = NULL;
    h->n_bytes = 0;
    h->n_entries = 0;
}

/* ---- Taking bytes ---- */

static int gguf_grow(gguf_head *h, size_t end) {
    size_t size = h->n_bytes ? h->n_bytes : (size_t)1 << 16;
    while (size < end) size *= 2;
    if (size > h->file_size) size = (size_t)h->file_size;
    unsigned char *bytes = realloc(h->bytes, size);
    if (!bytes) return gguf_fail(h, "no memory for %zu bytes of metadata", size);
    h->bytes = bytes;
    if (file_read_at(h->file, h->n_bytes, bytes + h->n_bytes, size - h->n_bytes))
        return gguf_fail(h, "cannot read %zu bytes at byte %zu", size - h->n_bytes, h->n_bytes);
    h->n_bytes = size;
    return 1;
}

int gguf_take(gguf_head *h, uint64_t size, size_t *at) {
    if (size > h->file_size - h->at)
        return gguf_fail(h, "%s: %" PRIu64 " bytes at byte %zu, but the file ends at %" PRIu64, h->what, size, h->at,
                         h->file_size);
    if (size > GGUF_MAX_HEAD - h->at)
        return gguf_fail(h, "%s: %" PRIu64 " bytes at byte %zu: more than %" PRIu64 " bytes of metadata", h->what, size,
                         h->at, GGUF_MAX_HEAD);
    const size_t end = h->at + (size_t)size;
    if (end > h->n_bytes && !gguf_grow(h, end)) return 0;
    *at = h->at;
    h->at = end;
    return 1;
}

int gguf_take_number(gguf_head *h, int size, uint64_t *value) {
    size_t at = 0;
    if (!gguf_take(h, (uint64_t)size, &at)) return 0;
    *value = get_uint(h->bytes + at, size);
    return 1;
}

int gguf_take_string(gguf_head *h, gguf_string *s) {
    uint64_t size = 0;
    if (!gguf_take_number(h, 8, &size) || !gguf_take(h, size, &s->at)) return 0;
    s->size = (size_t)size;
    return 1;
}

/* ---- Taking metadata ---- */

static const struct {
    const char *name;
    int size;    /* 0 if it varies */
    int integer; /* 1 unsigned, 2 signed */
} gguf_value_types[] = {
    {"u8", 1, 1},   {"i8", 1, 2},     {"u16", 2, 1},   {"i16", 2, 2}, {"u32", 4, 1}, {"i32", 4, 2}, {"f32", 4, 0},
    {"bool", 1, 0}, {"string", 0, 0}, {"array", 0, 0}, {"u64", 8, 1}, {"i64", 8, 2}, {"f64", 8, 0},
};
enum { GGUF_N_VALUE_TYPES = sizeof gguf_value_types / sizeof *gguf_value_types };

static const gguf_entry *gguf_find_bytes(const gguf_head *h, const void *key, size_t size) {
    for (int i = 0; i < h->n_entries; i++) {
        const gguf_entry *e = &h->entries[i];
        if (e->key.size == size && memcmp(h->bytes + e->key.at, key, size) == 0) return e;
    }
    return NULL;
}

static int gguf_take_type(gguf_head *h, uint32_t *type) {
    uint64_t number;
    if (!gguf_take_number(h, 4, &number)) return 0;
    if (number >= GGUF_N_VALUE_TYPES) return gguf_fail(h, "%s: unknown value type %" PRIu64, h->what, number);
    *type = (uint32_t)number;
    return 1;
}

static int gguf_take_value(gguf_head *h, gguf_entry *e) {
    if (!gguf_take_type(h, &e->type)) return 0;
    e->is_array = e->type == GGUF_ARRAY;
    e->count = 1;
    if (e->is_array && (!gguf_take_type(h, &e->type) || !gguf_take_number(h, 8, &e->count))) return 0;
    if (e->type == GGUF_ARRAY) return gguf_fail(h, "%s: an array of arrays", h->what);

    const int size = gguf_value_types[e->type].size;
    const uint64_t least = size ? (uint64_t)size : 8; /* a string has its length at least */
    if (e->count > (h->file_size - h->at) / least)
        return gguf_fail(h, "%s: %" PRIu64 " elements at byte %zu, but the file ends at %" PRIu64, h->what, e->count,
                         h->at, h->file_size);
    e->at = h->at;
    if (size) return gguf_take(h, e->count * least, &e->at);
    gguf_string s;
    for (uint64_t i = 0; i < e->count; i++)
        if (!gguf_take_string(h, &s)) return 0;
    return 1;
}

static int gguf_take_entry(gguf_head *h, gguf_entry *e) {
    snprintf(h->what, sizeof h->what, "metadata %d", h->n_entries);
    if (!gguf_take_string(h, &e->key)) return 0;
    if (e->key.size > GGUF_MAX_KEY)
        return gguf_fail(h, "%s: a key of %zu bytes, more than %d", h->what, e->key.size, GGUF_MAX_KEY);
    const char *key = (const char *)h->bytes + e->key.at;
    snprintf(h->what, sizeof h->what, "%.*s", (int)e->key.size, key);
    if (gguf_find_bytes(h, key, e->key.size)) return gguf_fail(h, "%s: the key is there twice", h->what);
    return gguf_take_value(h, e);
}

int gguf_take_metadata(gguf_head *h, uint64_t count) {
    if (count > GGUF_MAX_ENTRIES)
        return gguf_fail(h, "number of metadata is %" PRIu64 ", more than %d", count, GGUF_MAX_ENTRIES);
    h->entries = malloc((size_t)(count ? count : 1) * sizeof *h->entries);
    if (!h->entries) return gguf_fail(h, "no memory for %" PRIu64 " metadata", count);
    for (; (uint64_t)h->n_entries < count; h->n_entries++)
        if (!gguf_take_entry(h, &h->entries[h->n_entries])) return 0;
    return 1;
}

/* ---- Asking for metadata ---- */

const gguf_entry *gguf_find(const gguf_head *h, const char *key, char full[GGUF_KEY]) {
    snprintf(full, GGUF_KEY, "%s%s", *key == '.' ? h->architecture : "", key);
    return gguf_find_bytes(h, full, strlen(full));
}

int gguf_has(const gguf_head *h, const char *key) {
    char full[GGUF_KEY];
    return gguf_find(h, key, full) != NULL;
}

int gguf_is_integer(const gguf_entry *e) { return gguf_value_types[e->type].integer; }

double gguf_element(const gguf_head *h, const gguf_entry *e, uint64_t i) {
    const int size = gguf_value_types[e->type].size;
    const unsigned char *p = h->bytes + e->at + (size_t)i * (size_t)size;
    const uint64_t bits = get_uint(p, size);
    if (e->type == GGUF_F32) return (double)get_f32(p);
    if (e->type == GGUF_F64) {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    const int negative = gguf_value_types[e->type].integer == 2 && bits >> (8 * size - 1);
    return negative ? -(double)((~bits & UINT64_MAX >> (64 - 8 * size)) + 1) : (double)bits;
}

int gguf_wrong_type(gguf_head *h, const char *full, const gguf_entry *e, const char *wanted) {
    return gguf_fail(h, "%s is %s%s, not %s", full, e->is_array ? "an array of " : "a value of type ",
                     gguf_value_types[e->type].name, wanted);
}

int gguf_int(gguf_head *h, const char *key, int low, int high, int required, int *out) {
    char full[GGUF_KEY];
    const gguf_entry *e = gguf_find(h, key, full);
    if (!e) return required ? gguf_fail(h, "%s is missing", full) : 1;
    if (e->is_array || !gguf_is_integer(e)) return gguf_wrong_type(h, full, e, "an integer");
    const double value = gguf_element(h, e, 0);
    if (!(value >= low && value <= high)) return gguf_fail(h, "%s is %.0f, not %d..%d", full, value, low, high);
    *out = (int)value;
    return 1;
}

int gguf_layers_int(gguf_head *h, const char *key, int n, int high, int required, int *out) {
    char full[GGUF_KEY];
    const gguf_entry *e = gguf_find(h, key, full);
    if (!e || !e->is_array) return gguf_int(h, key, 1, high, required, out);
    if (!gguf_is_integer(e)) return gguf_wrong_type(h, full, e, "integers");
    if (e->count != (uint64_t)n) return gguf_fail(h, "%s has %" PRIu64 " elements for %d layers", full, e->count, n);
    const double value = gguf_element(h, e, 0);
    if (!(value >= 1 && value <= high)) return gguf_fail(h, "%s is %.0f, not 1..%d", full, value, high);
    for (uint64_t i = 1; i < e->count; i++)
        if (gguf_element(h, e, i) != value)
            return gguf_fail(h, "%s is %.0f in layer 0, %.0f in layer %" PRIu64 ": not supported", full, value,
                             gguf_element(h, e, i), i);
    *out = (int)value;
    return 1;
}

int gguf_float(gguf_head *h, const char *key, int required, float *out) {
    char full[GGUF_KEY];
    const gguf_entry *e = gguf_find(h, key, full);
    if (!e) return required ? gguf_fail(h, "%s is missing", full) : 1;
    if (e->is_array || (e->type != GGUF_F32 && e->type != GGUF_F64)) return gguf_wrong_type(h, full, e, "a float");
    *out = (float)gguf_element(h, e, 0);
    if (!(*out > 0 && isfinite(*out))) return gguf_fail(h, "%s is %g, not positive and finite", full, (double)*out);
    return 1;
}

int gguf_bool(gguf_head *h, const char *key, int *out) {
    char full[GGUF_KEY];
    const gguf_entry *e = gguf_find(h, key, full);
    if (!e) return 1;
    if (e->is_array || e->type != GGUF_BOOL) return gguf_wrong_type(h, full, e, "a bool");
    if (h->bytes[e->at] > 1) return gguf_fail(h, "%s is %d, not 0 or 1", full, h->bytes[e->at]);
    *out = h->bytes[e->at];
    return 1;
}

int gguf_text(gguf_head *h, const char *key, const char **out, size_t *size) {
    char full[GGUF_KEY];
    const gguf_entry *e = gguf_find(h, key, full);
    *out = NULL;
    *size = 0;
    if (!e) return 1;
    if (e->is_array || e->type != GGUF_STRING) return gguf_wrong_type(h, full, e, "a string");
    *size = (size_t)get_uint(h->bytes + e->at, 8);
    *out = (const char *)h->bytes + e->at + 8;
    return 1;
}

int gguf_same(const char *text, size_t size, const char *word) {
    return text && size == strlen(word) && memcmp(text, word, size) == 0;
}

int gguf_shown(size_t size) { return size < 40 ? (int)size : 40; }

int gguf_array(gguf_head *h, const char *key, uint32_t type, uint64_t count, const gguf_entry **e) {
    char full[GGUF_KEY];
    *e = gguf_find(h, key, full);
    if (!*e) return gguf_fail(h, "%s is missing", full);
    if (!(*e)->is_array || (*e)->type != type) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "an array of %s", gguf_value_types[type].name);
        return gguf_wrong_type(h, full, *e, wanted);
    }
    if (count != GGUF_ANY && (*e)->count != count)
        return gguf_fail(h, "%s has %" PRIu64 " elements, not %" PRIu64, full, (*e)->count, count);
    return 1;
}

char *gguf_next_string(gguf_head *h, size_t *at, size_t *size) {
    *size = (size_t)get_uint(h->bytes + *at, 8);
    char *text = (char *)h->bytes + *at + 8;
    *at += 8 + *size;
    return text;
}
