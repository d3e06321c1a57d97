/* gguf.c - GGUF files, versions 2 and 3, architecture llama, as input of tools/convert. Contract in source.h.
 *
 * All numbers are little-endian; a string is a u64 length and that many bytes. A file is, without gaps:
 *
 *     "GGUF", u32 version, u64 number of tensors, u64 number of metadata
 *     metadata   string key, u32 value type (gguf_value_types), then the value. An array (9) is a u32 type and a u64
 *                count of its elements, and these.
 *     tensors    string name, u32 number of dimensions, a u64 each (the first is the length of a row), u32 weight
 *                type (gguf_types), u64 offset
 *     data       from the next multiple of general.alignment (default 32) on; offsets count from here
 *
 * Metadata that nothing here asks for is skipped: files are full of it (authors, sampling hints). A tensor that
 * nothing here asks for is an error, since it would take part in the model's arithmetic.
 *
 * Rows of attn_q and attn_k lie in llama.c's rotary order already: whoever writes these files has permuted them.
 *
 * The rooms: weight types; taking bytes off the head; metadata; tensors; configuration; tokenizer; source.
 */
#include "../../tokenizer.h"
#include "../shared/files.h"
#include "../shared/messages.h"
#include "../shared/numbers.h"
#include "source.h"
#include "vocabulary.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define GGUF_MAX_HEAD ((uint64_t)1 << 28) /* metadata and tensor table: the largest known are a tenth of this */
#define GGUF_MAX_ENTRIES 4096             /* known files have fewer than 100; they are searched one by one */
#define GGUF_MAX_KEY 1024
#define GGUF_MAX_NAME 64 /* of a tensor, as the format says */
#define GGUF_SCRATCH ((size_t)1 << 20)

typedef struct {
    size_t at, size; /* in the head */
} gguf_string;

typedef struct {
    gguf_string key;
    uint32_t type; /* of the value, or of an array's elements: never an array */
    int is_array;
    uint64_t count; /* 1 if it is no array */
    size_t at;      /* of the first element, in the head */
} gguf_entry;

typedef struct {
    uint64_t rows, cols;
    uint64_t offset, size; /* in the file; size is 0 for a tensor that the file does not have */
    uint32_t type;
} gguf_tensor;

typedef struct {
    llama_source source; /* first, so that a pointer to it is one to the whole */
    llama_error *err;    /* of the call under way */
    char name[128];      /* the file's, for messages: the end says more of a long path */
    FILE *file;
    uint64_t file_size;

    unsigned char *head; /* (n_head) the file's first bytes, as far as read */
    size_t n_head, at;   /* what is before at is taken */
    char what[80];       /* what is being taken, for messages */
    gguf_entry *entries;
    int n_entries;

    gguf_tensor *tensors; /* (n_tensors) by slot, see gguf_slot; rope_freqs.weight is the last */
    size_t n_tensors;
    unsigned char *scratch; /* (scratch_size) rows as the file has them */
    size_t scratch_size;
} gguf;

/* Returns 0, for the caller to return. */
static int gguf_fail(gguf *g, const char *format, ...) PRINTF_LIKE(2, 3);
static int gguf_fail(gguf *g, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    set_error(g->err, "%s: %s", g->name, text);
    return 0;
}

static float gguf_f16(const unsigned char *p) { return float_of_f16((uint16_t)(p[0] | p[1] << 8)); }

/* ---------------------------------------------------------------------------------------------------
 * Weight types
 *
 * A row is a sequence of blocks. In the layouts below d and m are f16, [n] is n bytes, and w is weight i of the
 * block. All products are exact in float32 (no factor has more than 11, 8 and 7 bits), so that w is the float next to
 * what the formula says, whether or not the compiler fuses multiplications and additions.
 * ------------------------------------------------------------------------------------------------- */

typedef struct gguf_type gguf_type;
struct gguf_type {
    const char *name;
    int block, bytes; /* weights and bytes of a block; 0: not supported */
    void (*decode)(const gguf_type *type, const unsigned char *p, size_t blocks, float *out);
    int has_high, has_min; /* which parts a block has, where several types share a decoder */
};

static void gguf_decode_f32(const gguf_type *type, const unsigned char *p, size_t blocks, float *out) {
    for (size_t i = 0; i < blocks; i++) out[i] = get_f32(p + (size_t)type->bytes * i);
}

static void gguf_decode_f16(const gguf_type *type, const unsigned char *p, size_t blocks, float *out) {
    for (size_t i = 0; i < blocks; i++) out[i] = gguf_f16(p + (size_t)type->bytes * i);
}

static void gguf_decode_bf16(const gguf_type *type, const unsigned char *p, size_t blocks, float *out) {
    for (size_t i = 0; i < blocks; i++, p += type->bytes) out[i] = float_of_bf16((uint16_t)(p[0] | p[1] << 8));
}

/* Q8_0: d, q[32] signed. w = d * q[i]. */
static void gguf_decode_q8_0(const gguf_type *type, const unsigned char *p, size_t blocks, float *out) {
    for (; blocks--; p += type->bytes, out += 32) {
        const float d = gguf_f16(p);
        for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)p[2 + i];
    }
}

/* Bits 4i of low[16]: the low halves of its bytes are weights 0..15, the high halves 16..31. */
static int gguf_nibble(const unsigned char *low, int i) { return low[i & 15] >> (i & 16 ? 4 : 0) & 15; }

/* Q4_0: d, low[16].  Q4_1: d, m, low[16].  Q5_0: d, high[4], low[16].  Q5_1: d, m, high[4], low[16].
 * q = nibble i of low, bit i of high above it; w = d * q + m, or d * (q - half of q's range) where there is no m. */
static void gguf_decode_q4_q5(const gguf_type *type, const unsigned char *p, size_t blocks, float *out) {
    for (; blocks--; p += type->bytes, out += 32) {
        const unsigned char *high = p + (type->has_min ? 4 : 2), *low = high + (type->has_high ? 4 : 0);
        const float d = gguf_f16(p), m = type->has_min ? gguf_f16(p + 2) : 0;
        const int zero = type->has_min ? 0 : type->has_high ? 16 : 8;
        for (int i = 0; i < 32; i++) {
            const int q = gguf_nibble(low, i) | (type->has_high ? (high[i / 8] >> i % 8 & 1) << 4 : 0);
            out[i] = d * (float)(q - zero) + m;
        }
    }
}

/* The 16 levels of IQ4_NL and IQ4_XS: denser around zero, as weights are. */
static const signed char gguf_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* IQ4_NL: d, low[16]. w = d * level of nibble i. */
static void gguf_decode_iq4_nl(const gguf_type *type, const unsigned char *p, size_t blocks, float *out) {
    for (; blocks--; p += type->bytes, out += 32) {
        const float d = gguf_f16(p);
        for (int i = 0; i < 32; i++) out[i] = d * (float)gguf_levels[gguf_nibble(p + 2, i)];
    }
}

/* IQ4_XS: d, scale_high[2], scale_low[4], 8 x low[16]. Each 32 weights, number s, have a scale of 6 bits: nibble s of
 * scale_low and the bit pair s of scale_high above it. w = d * (scale - 32) * level of the nibble. */
static void gguf_decode_iq4_xs(const gguf_type *type, const unsigned char *p, size_t blocks, float *out) {
    for (; blocks--; p += type->bytes)
        for (int s = 0; s < 8; s++, out += 32) {
            const int scale = (p[4 + s / 2] >> s % 2 * 4 & 15) | (p[2 + s / 4] >> s % 4 * 2 & 3) << 4;
            const float d = gguf_f16(p) * (float)(scale - 32);
            for (int i = 0; i < 32; i++) out[i] = d * (float)gguf_levels[gguf_nibble(p + 8 + 16 * s, i)];
        }
}

/* The K types have blocks of 256 weights, cut into groups with a scale each. Their 2-bit fields come in runs of 32
 * bytes, which hold 128 weights: bits 0..1 of the run are weights 0..31, bits 2..3 weights 32..63, and so on. */
static int gguf_bit_pair(const unsigned char *p, int i) { return p[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3; }

/* Q2_K: scales[16], q[64] bit pairs, d, m. Each 16 weights have a byte of scales, a scale in its low half and a
 * minimum in its high one. w = d * scale * q - m * minimum. */
static void gguf_decode_q2_k(const gguf_type *type, const unsigned char *p, size_t blocks, float *out) {
    for (; blocks--; p += type->bytes, out += 256)
        for (int k = 0; k < 16; k++) {
            const float d = gguf_f16(p + 80) * (float)(p[k] & 15), m = gguf_f16(p + 82) * (float)(p[k] >> 4);
            for (int i = 16 * k; i < 16 * k + 16; i++) out[i] = d * (float)gguf_bit_pair(p + 16, i) - m;
        }
}

/* Q3_K: high[32], q[64] bit pairs, scales[12], d. Each 16 weights, number k, have a scale of 6 bits: its low four are
 * nibble k of the first 8 scale bytes (low halves first), its high two are bits 2(k / 4) of byte 8 + k % 4. Bit i / 32
 * of high[i % 32] is the third bit of q. w = d * (scale - 32) * (q - 4). */
static void gguf_decode_q3_k(const gguf_type *type, const unsigned char *p, size_t blocks, float *out) {
    for (; blocks--; p += type->bytes, out += 256)
        for (int k = 0; k < 16; k++) {
            const unsigned char *scales = p + 96;
            const int scale = (scales[k % 8] >> k / 8 * 4 & 15) | (scales[8 + k % 4] >> k / 4 * 2 & 3) << 4;
            const float d = gguf_f16(p + 108) * (float)(scale - 32);
            for (int i = 16 * k; i < 16 * k + 16; i++)
                out[i] = d * (float)((gguf_bit_pair(p + 32, i) | (p[i % 32] >> i / 32 & 1) << 2) - 4);
        }
}

/* Scale and minimum, 6 bits each, of group s (0..7) of a Q4_K or Q5_K block. Of groups 0..3, the low bits of bytes s
 * and 4 + s. Of groups 4..7, the halves of byte 4 + s, with the top bits of those same bytes (of s - 4) above. */
static void gguf_scale_min(const unsigned char *p, int s, int *scale, int *min) {
    *scale = s < 4 ? p[s] & 63 : (p[4 + s] & 15) | p[s - 4] >> 6 << 4;
    *min = s < 4 ? p[4 + s] & 63 : p[4 + s] >> 4 | p[s] >> 6 << 4;
}

/* Q4_K: d, m, scales[12], low[128].  Q5_K: d, m, scales[12], high[32], low[128].
 * Each 32 weights, number s, have a scale and a minimum; their low bits are half s % 2 of the bytes low[32 (s / 2)] and
 * following, their fifth bit is bit s of high. w = d * scale * q - m * minimum. */
static void gguf_decode_q4_q5_k(const gguf_type *type, const unsigned char *p, size_t blocks, float *out) {
    for (; blocks--; p += type->bytes)
        for (int s = 0; s < 8; s++, out += 32) {
            const unsigned char *high = p + 16, *low = high + (type->has_high ? 32 : 0) + s / 2 * 32;
            int scale, min;
            gguf_scale_min(p + 4, s, &scale, &min);
            const float d = gguf_f16(p) * (float)scale, m = gguf_f16(p + 2) * (float)min;
            for (int i = 0; i < 32; i++) {
                const int q = (low[i] >> s % 2 * 4 & 15) | (type->has_high ? (high[i] >> s & 1) << 4 : 0);
                out[i] = d * (float)q - m;
            }
        }
}

/* Q6_K: low[128], high[64] bit pairs, scales[16] signed, d. Each 64 bytes of low hold 128 weights, the low halves
 * first; the bit pair is above. w = d * scale of the 16 weights * (q - 32). */
static void gguf_decode_q6_k(const gguf_type *type, const unsigned char *p, size_t blocks, float *out) {
    for (; blocks--; p += type->bytes, out += 256)
        for (int k = 0; k < 16; k++) {
            const float d = gguf_f16(p + 208) * (float)(int8_t)p[192 + k];
            for (int i = 16 * k; i < 16 * k + 16; i++) {
                const int low = p[i / 128 * 64 + i % 64] >> i % 128 / 64 * 4 & 15;
                out[i] = d * (float)((low | gguf_bit_pair(p + 128, i) << 4) - 32);
            }
        }
}

/* By the number that stands in files; those without a decoder have a name for the message that refuses them. */
static const gguf_type gguf_types[] = {
    [0] = {"F32", 1, 4, gguf_decode_f32, 0, 0},
    [1] = {"F16", 1, 2, gguf_decode_f16, 0, 0},
    [30] = {"BF16", 1, 2, gguf_decode_bf16, 0, 0},
    [2] = {"Q4_0", 32, 18, gguf_decode_q4_q5, 0, 0},
    [3] = {"Q4_1", 32, 20, gguf_decode_q4_q5, 0, 1},
    [6] = {"Q5_0", 32, 22, gguf_decode_q4_q5, 1, 0},
    [7] = {"Q5_1", 32, 24, gguf_decode_q4_q5, 1, 1},
    [8] = {"Q8_0", 32, 34, gguf_decode_q8_0, 0, 0},
    [10] = {"Q2_K", 256, 84, gguf_decode_q2_k, 0, 0},
    [11] = {"Q3_K", 256, 110, gguf_decode_q3_k, 0, 0},
    [12] = {"Q4_K", 256, 144, gguf_decode_q4_q5_k, 0, 0},
    [13] = {"Q5_K", 256, 176, gguf_decode_q4_q5_k, 1, 0},
    [14] = {"Q6_K", 256, 210, gguf_decode_q6_k, 0, 0},
    [20] = {"IQ4_NL", 32, 18, gguf_decode_iq4_nl, 0, 0},
    [23] = {"IQ4_XS", 256, 136, gguf_decode_iq4_xs, 0, 0},
    /* clang-format off */
    [9] = {.name = "Q8_1"},     [15] = {.name = "Q8_K"},  [16] = {.name = "IQ2_XXS"}, [17] = {.name = "IQ2_XS"},
    [18] = {.name = "IQ3_XXS"}, [19] = {.name = "IQ1_S"}, [21] = {.name = "IQ3_S"},   [22] = {.name = "IQ2_S"},
    [24] = {.name = "I8"},      [25] = {.name = "I16"},   [26] = {.name = "I32"},     [27] = {.name = "I64"},
    [28] = {.name = "F64"},     [29] = {.name = "IQ1_M"}, [34] = {.name = "TQ1_0"},   [35] = {.name = "TQ2_0"},
    /* clang-format on */
    [39] = {.name = "MXFP4"},
};
enum { GGUF_N_TYPES = sizeof gguf_types / sizeof *gguf_types };

/* ---------------------------------------------------------------------------------------------------
 * Taking bytes off the head
 *
 * The head - all before the data - is read into memory in growing steps, as far as it is taken, so that memory is
 * bounded by what the file holds and not by what it claims. It moves as it grows: what points into it is an index.
 * ------------------------------------------------------------------------------------------------- */

static int gguf_grow(gguf *g, size_t end) {
    size_t size = g->n_head ? g->n_head : (size_t)1 << 16;
    while (size < end) size *= 2;
    if (size > g->file_size) size = (size_t)g->file_size;
    unsigned char *head = realloc(g->head, size);
    if (!head) return gguf_fail(g, "no memory for %zu bytes of metadata", size);
    g->head = head;
    if (file_read_at(g->file, g->n_head, head + g->n_head, size - g->n_head))
        return gguf_fail(g, "cannot read %zu bytes at byte %zu", size - g->n_head, g->n_head);
    g->n_head = size;
    return 1;
}

/* Takes size bytes, and sets *at to where they are. */
static int gguf_take(gguf *g, uint64_t size, size_t *at) {
    if (size > g->file_size - g->at)
        return gguf_fail(g, "%s: %" PRIu64 " bytes at byte %zu, but the file ends at %" PRIu64, g->what, size, g->at,
                         g->file_size);
    if (size > GGUF_MAX_HEAD - g->at)
        return gguf_fail(g, "%s: %" PRIu64 " bytes at byte %zu: more than %" PRIu64 " bytes of metadata", g->what, size,
                         g->at, GGUF_MAX_HEAD);
    const size_t end = g->at + (size_t)size;
    if (end > g->n_head && !gguf_grow(g, end)) return 0;
    *at = g->at;
    g->at = end;
    return 1;
}

static int gguf_take_number(gguf *g, int size, uint64_t *value) {
    size_t at = 0;
    if (!gguf_take(g, (uint64_t)size, &at)) return 0;
    *value = get_uint(g->head + at, size);
    return 1;
}

static int gguf_take_string(gguf *g, gguf_string *s) {
    uint64_t size = 0;
    if (!gguf_take_number(g, 8, &size) || !gguf_take(g, size, &s->at)) return 0;
    s->size = (size_t)size;
    return 1;
}

/* ---------------------------------------------------------------------------------------------------
 * Metadata
 * ------------------------------------------------------------------------------------------------- */

enum { GGUF_I32 = 5, GGUF_F32 = 6, GGUF_BOOL = 7, GGUF_STRING = 8, GGUF_ARRAY = 9, GGUF_F64 = 12 };

static const struct {
    const char *name;
    int size;    /* 0 if it varies */
    int integer; /* 1 unsigned, 2 signed */
} gguf_value_types[] = {
    {"u8", 1, 1},   {"i8", 1, 2},     {"u16", 2, 1},   {"i16", 2, 2}, {"u32", 4, 1}, {"i32", 4, 2}, {"f32", 4, 0},
    {"bool", 1, 0}, {"string", 0, 0}, {"array", 0, 0}, {"u64", 8, 1}, {"i64", 8, 2}, {"f64", 8, 0},
};
enum { GGUF_N_VALUE_TYPES = sizeof gguf_value_types / sizeof *gguf_value_types };

static const gguf_entry *gguf_find_bytes(const gguf *g, const void *key, size_t size) {
    for (int i = 0; i < g->n_entries; i++) {
        const gguf_entry *e = &g->entries[i];
        if (e->key.size == size && memcmp(g->head + e->key.at, key, size) == 0) return e;
    }
    return NULL;
}

static const gguf_entry *gguf_find(const gguf *g, const char *key) { return gguf_find_bytes(g, key, strlen(key)); }

static int gguf_take_type(gguf *g, uint32_t *type) {
    uint64_t number;
    if (!gguf_take_number(g, 4, &number)) return 0;
    if (number >= GGUF_N_VALUE_TYPES) return gguf_fail(g, "%s: unknown value type %" PRIu64, g->what, number);
    *type = (uint32_t)number;
    return 1;
}

static int gguf_take_value(gguf *g, gguf_entry *e) {
    if (!gguf_take_type(g, &e->type)) return 0;
    e->is_array = e->type == GGUF_ARRAY;
    e->count = 1;
    if (e->is_array && (!gguf_take_type(g, &e->type) || !gguf_take_number(g, 8, &e->count))) return 0;
    if (e->type == GGUF_ARRAY) return gguf_fail(g, "%s: an array of arrays", g->what);

    const int size = gguf_value_types[e->type].size;
    const uint64_t least = size ? (uint64_t)size : 8; /* a string has its length at least */
    if (e->count > (g->file_size - g->at) / least)
        return gguf_fail(g, "%s: %" PRIu64 " elements at byte %zu, but the file ends at %" PRIu64, g->what, e->count,
                         g->at, g->file_size);
    e->at = g->at;
    if (size) return gguf_take(g, e->count * least, &e->at);
    gguf_string s;
    for (uint64_t i = 0; i < e->count; i++)
        if (!gguf_take_string(g, &s)) return 0;
    return 1;
}

static int gguf_take_entry(gguf *g, gguf_entry *e) {
    snprintf(g->what, sizeof g->what, "metadata %d", g->n_entries);
    if (!gguf_take_string(g, &e->key)) return 0;
    if (e->key.size > GGUF_MAX_KEY)
        return gguf_fail(g, "%s: a key of %zu bytes, more than %d", g->what, e->key.size, GGUF_MAX_KEY);
    const char *key = (const char *)g->head + e->key.at;
    snprintf(g->what, sizeof g->what, "%.*s", (int)e->key.size, key);
    if (gguf_find_bytes(g, key, e->key.size)) return gguf_fail(g, "%s: the key is there twice", g->what);
    return gguf_take_value(g, e);
}

static int gguf_take_metadata(gguf *g, uint64_t count) {
    if (count > GGUF_MAX_ENTRIES)
        return gguf_fail(g, "number of metadata is %" PRIu64 ", more than %d", count, GGUF_MAX_ENTRIES);
    g->entries = malloc((size_t)(count ? count : 1) * sizeof *g->entries);
    if (!g->entries) return gguf_fail(g, "no memory for %" PRIu64 " metadata", count);
    for (; (uint64_t)g->n_entries < count; g->n_entries++)
        if (!gguf_take_entry(g, &g->entries[g->n_entries])) return 0;
    return 1;
}

/* Element i of a value of numbers. 64-bit integers above 2^53 lose bits, but no field allows those. */
static double gguf_element(const gguf *g, const gguf_entry *e, uint64_t i) {
    const int size = gguf_value_types[e->type].size;
    const unsigned char *p = g->head + e->at + (size_t)i * (size_t)size;
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

static const char *gguf_type_name(const gguf_entry *e) { return gguf_value_types[e->type].name; }

static int gguf_wrong_type(gguf *g, const char *key, const gguf_entry *e, const char *wanted) {
    return gguf_fail(g, "%s is %s%s, not %s", key, e->is_array ? "an array of " : "a value of type ", gguf_type_name(e),
                     wanted);
}

/* *out = an integer of any type, low to high; unchanged if the key is missing and not required. */
static int gguf_int(gguf *g, const char *key, int low, int high, int required, int *out) {
    const gguf_entry *e = gguf_find(g, key);
    if (!e) return required ? gguf_fail(g, "%s is missing", key) : 1;
    if (e->is_array || !gguf_value_types[e->type].integer) return gguf_wrong_type(g, key, e, "an integer");
    const double value = gguf_element(g, e, 0);
    if (!(value >= low && value <= high)) return gguf_fail(g, "%s is %.0f, not %d..%d", key, value, low, high);
    *out = (int)value;
    return 1;
}

/* The same for a size that may be given for each layer: then all must be equal. */
static int gguf_layers_int(gguf *g, const char *key, int required, int *out) {
    const gguf_entry *e = gguf_find(g, key);
    if (!e || !e->is_array) return gguf_int(g, key, 1, INT32_MAX, required, out);
    if (!gguf_value_types[e->type].integer) return gguf_wrong_type(g, key, e, "integers");
    if (e->count != (uint64_t)g->source.config.n_layers)
        return gguf_fail(g, "%s has %" PRIu64 " elements for %d layers", key, e->count, g->source.config.n_layers);
    const double value = gguf_element(g, e, 0);
    if (!(value >= 1 && value <= INT32_MAX)) return gguf_fail(g, "%s is %.0f, not 1..%d", key, value, INT32_MAX);
    for (uint64_t i = 1; i < e->count; i++)
        if (gguf_element(g, e, i) != value)
            return gguf_fail(g, "%s is %.0f in layer 0, %.0f in layer %" PRIu64 ": not supported", key, value,
                             gguf_element(g, e, i), i);
    *out = (int)value;
    return 1;
}

static int gguf_float(gguf *g, const char *key, int required, float *out) {
    const gguf_entry *e = gguf_find(g, key);
    if (!e) return required ? gguf_fail(g, "%s is missing", key) : 1;
    if (e->is_array || (e->type != GGUF_F32 && e->type != GGUF_F64)) return gguf_wrong_type(g, key, e, "a float");
    *out = (float)gguf_element(g, e, 0);
    if (!(*out > 0 && isfinite(*out))) return gguf_fail(g, "%s is %g, not positive and finite", key, (double)*out);
    return 1;
}

static int gguf_bool(gguf *g, const char *key, int *out) {
    const gguf_entry *e = gguf_find(g, key);
    if (!e) return 1;
    if (e->is_array || e->type != GGUF_BOOL) return gguf_wrong_type(g, key, e, "a bool");
    if (g->head[e->at] > 1) return gguf_fail(g, "%s is %d, not 0 or 1", key, g->head[e->at]);
    *out = g->head[e->at];
    return 1;
}

/* *out = a string inside the head, *size bytes; NULL if the key is missing. */
static int gguf_text(gguf *g, const char *key, const char **out, size_t *size) {
    const gguf_entry *e = gguf_find(g, key);
    *out = NULL;
    *size = 0;
    if (!e) return 1;
    if (e->is_array || e->type != GGUF_STRING) return gguf_wrong_type(g, key, e, "a string");
    *size = (size_t)get_uint(g->head + e->at, 8);
    *out = (const char *)g->head + e->at + 8;
    return 1;
}

static int gguf_same(const char *text, size_t size, const char *word) {
    return text && size == strlen(word) && memcmp(text, word, size) == 0;
}

static int gguf_shown(size_t size) { return size < 40 ? (int)size : 40; } /* how much of a text a message shows */

/* ---------------------------------------------------------------------------------------------------
 * Tensors
 *
 * Each that a model of n_layers layers may have has a slot; a name leads to its slot by arithmetic, so that nothing
 * is searched, and a slot that is filled twice is a duplicate.
 * ------------------------------------------------------------------------------------------------- */

/* Those of layers stand behind "blk.N."; NULL: none has that name. */
static const char *const gguf_names[TENSORS] = {
    [TENSOR_EMBEDDING] = "token_embd.weight",
    [TENSOR_CLASSIFIER] = "output.weight",
    [TENSOR_FINAL_NORM] = "output_norm.weight",
    [TENSOR_ATTENTION_NORM] = "attn_norm.weight",
    [TENSOR_FFN_NORM] = "ffn_norm.weight",
    [TENSOR_WQ] = "attn_q.weight",
    [TENSOR_WK] = "attn_k.weight",
    [TENSOR_WV] = "attn_v.weight",
    [TENSOR_WO] = "attn_output.weight",
    [TENSOR_W1] = "ffn_gate.weight",
    [TENSOR_W3] = "ffn_up.weight",
    [TENSOR_W2] = "ffn_down.weight",
};
enum { GGUF_MODEL_TENSORS = TENSOR_OF_LAYER, GGUF_LAYER_TENSORS = TENSORS - TENSOR_OF_LAYER };
#define GGUF_FACTORS "rope_freqs.weight"

static size_t gguf_slot(enum tensor tensor, int layer) {
    const size_t behind = (int)tensor < GGUF_MODEL_TENSORS ? 0 : (size_t)layer * GGUF_LAYER_TENSORS;
    return behind + (size_t)tensor;
}

static enum tensor gguf_slot_tensor(size_t slot) {
    if (slot < GGUF_MODEL_TENSORS) return (enum tensor)slot;
    return (enum tensor)(GGUF_MODEL_TENSORS + (slot - GGUF_MODEL_TENSORS) % GGUF_LAYER_TENSORS);
}

static void gguf_slot_name(const gguf *g, size_t slot, char name[GGUF_MAX_NAME + 1]) {
    const char *last = slot == g->n_tensors - 1 ? GGUF_FACTORS : gguf_names[gguf_slot_tensor(slot)];
    if (slot < GGUF_MODEL_TENSORS || slot == g->n_tensors - 1) snprintf(name, GGUF_MAX_NAME + 1, "%s", last);
    else snprintf(name, GGUF_MAX_NAME + 1, "blk.%zu.%s", (slot - GGUF_MODEL_TENSORS) / GGUF_LAYER_TENSORS, last);
}

/* The slot of a name, or n_tensors. */
static size_t gguf_find_slot(const gguf *g, const char *name) {
    int layer = 0, n = 0, first = 0, last = GGUF_MODEL_TENSORS;
    if (strcmp(name, GGUF_FACTORS) == 0) return g->n_tensors - 1;
    if (strncmp(name, "blk.", 4) == 0) {
        for (name += 4; *name >= '0' && *name <= '9' && n < 9; name++, n++) layer = 10 * layer + (*name - '0');
        /* "blk.00." would be a second name for layer 0 */
        if (n == 0 || (n > 1 && name[-n] == '0') || *name++ != '.' || layer >= g->source.config.n_layers)
            return g->n_tensors;
        first = GGUF_MODEL_TENSORS;
        last = TENSORS;
    }
    for (int i = first; i < last; i++)
        if (gguf_names[i] && strcmp(name, gguf_names[i]) == 0) return gguf_slot((enum tensor)i, layer);
    return g->n_tensors;
}

/* Rows and columns that the configuration asks for. */
static void gguf_shape(const gguf *g, size_t slot, int *rows, int *cols) {
    *rows = 1;
    *cols = g->source.config.head_dim / 2;
    if (slot != g->n_tensors - 1) tensor_shape(&g->source.config, gguf_slot_tensor(slot), 0, rows, cols);
}

/* Dimensions, of which there are four at most; all but the first two must be 1. */
static int gguf_take_dimensions(gguf *g, gguf_tensor *t) {
    uint64_t n, ne[4] = {1, 1, 1, 1};
    if (!gguf_take_number(g, 4, &n)) return 0;
    if (n < 1 || n > 4) return gguf_fail(g, "%s: %" PRIu64 " dimensions, not 1..4", g->what, n);
    for (unsigned i = 0; i < n; i++) {
        if (!gguf_take_number(g, 8, &ne[i])) return 0;
        const uint64_t most = i < 2 ? INT32_MAX : 1;
        if (ne[i] < 1 || ne[i] > most)
            return gguf_fail(g, "%s: dimension %u is %" PRIu64 ", not 1..%" PRIu64, g->what, i, ne[i], most);
    }
    t->cols = ne[0];
    t->rows = ne[1];
    return 1;
}

/* The weight type, and with it the size. */
static int gguf_take_tensor_type(gguf *g, gguf_tensor *t) {
    uint64_t number;
    if (!gguf_take_number(g, 4, &number)) return 0;
    if (number >= GGUF_N_TYPES || !gguf_types[number].name)
        return gguf_fail(g, "%s: unknown weight type %" PRIu64, g->what, number);
    const gguf_type *type = &gguf_types[number];
    if (!type->decode) return gguf_fail(g, "%s: weight type %s is not supported", g->what, type->name);
    if (t->cols % (uint64_t)type->block)
        return gguf_fail(g, "%s: rows of %" PRIu64 " weights are no multiple of %d, %s's block", g->what, t->cols,
                         type->block, type->name);
    t->type = (uint32_t)number;
    t->size = mul_size(mul_size(t->cols / (uint64_t)type->block, (uint64_t)type->bytes), t->rows);
    return 1;
}

static int gguf_take_tensor(gguf *g, uint64_t i, int alignment) {
    gguf_string s;
    char name[GGUF_MAX_NAME + 1];
    snprintf(g->what, sizeof g->what, "tensor %" PRIu64, i);
    if (!gguf_take_string(g, &s)) return 0;
    if (s.size > GGUF_MAX_NAME)
        return gguf_fail(g, "%s: a name of %zu bytes, more than %d", g->what, s.size, GGUF_MAX_NAME);
    memcpy(name, g->head + s.at, s.size);
    name[s.size] = 0;
    snprintf(g->what, sizeof g->what, "%s", name);
    const size_t slot = strlen(name) == s.size ? gguf_find_slot(g, name) : g->n_tensors;
    if (slot == g->n_tensors)
        return gguf_fail(g, "tensor %" PRIu64 ", %s, is none of a Llama with %d layers", i, name,
                         g->source.config.n_layers);
    gguf_tensor *t = &g->tensors[slot];
    if (t->size) return gguf_fail(g, "%s is there twice", name);
    if (!gguf_take_dimensions(g, t) || !gguf_take_tensor_type(g, t) || !gguf_take_number(g, 8, &t->offset)) return 0;
    if (t->offset % (uint64_t)alignment)
        return gguf_fail(g, "%s: offset %" PRIu64 " is no multiple of the alignment %d", name, t->offset, alignment);
    return 1;
}

/* Memory for as many layers as the file can have tensors for. */
static int gguf_take_tensors(gguf *g, uint64_t count, int alignment) {
    const int n_layers = g->source.config.n_layers;
    const uint64_t least = 8 + 4 + 8 + 4 + 8, room = (g->file_size - g->at) / least;
    if (count > room)
        return gguf_fail(g, "number of tensors is %" PRIu64 ", but the file has room for %" PRIu64, count, room);
    const uint64_t needed = (uint64_t)n_layers * 9 + 2; /* of a plain Llama */
    if (count < needed)
        return gguf_fail(g, "number of tensors is %" PRIu64 ", but llama.block_count %d needs %" PRIu64, count,
                         n_layers, needed);
    g->n_tensors = (size_t)needed + 2; /* with output.weight and the rotary factors */
    g->tensors = calloc(g->n_tensors, sizeof *g->tensors);
    if (!g->tensors) return gguf_fail(g, "no memory for %zu tensors", g->n_tensors);
    for (uint64_t i = 0; i < count; i++)
        if (!gguf_take_tensor(g, i, alignment)) return 0;
    return 1;
}

static int gguf_compare_offsets(const void *a, const void *b) {
    const gguf_tensor *p = *(gguf_tensor *const *)a, *q = *(gguf_tensor *const *)b;
    return (p->offset > q->offset) - (p->offset < q->offset);
}

static int gguf_check_overlap(gguf *g) {
    gguf_tensor **order = malloc(g->n_tensors * sizeof *order);
    if (!order) return gguf_fail(g, "no memory for %zu tensors", g->n_tensors);
    size_t n = 0, i = 1;
    for (size_t slot = 0; slot < g->n_tensors; slot++)
        if (g->tensors[slot].size) order[n++] = &g->tensors[slot];
    qsort(order, n, sizeof *order, gguf_compare_offsets);
    while (i < n && order[i]->offset - order[i - 1]->offset >= order[i - 1]->size) i++;
    if (i < n) {
        char a[GGUF_MAX_NAME + 1], b[GGUF_MAX_NAME + 1];
        gguf_slot_name(g, (size_t)(order[i - 1] - g->tensors), a);
        gguf_slot_name(g, (size_t)(order[i] - g->tensors), b);
        gguf_fail(g, "%s and %s overlap at byte %" PRIu64, a, b, order[i]->offset);
    }
    free(order);
    return i >= n;
}

/* Shapes, and places in the file. */
static int gguf_check_tensors(gguf *g, int alignment) {
    const uint64_t start = ((uint64_t)g->at + (uint64_t)alignment - 1) / (uint64_t)alignment * (uint64_t)alignment;
    g->source.config.vocab_size = (int)g->tensors[TENSOR_EMBEDDING].rows;
    for (size_t slot = 0; slot < g->n_tensors; slot++) {
        gguf_tensor *t = &g->tensors[slot];
        char name[GGUF_MAX_NAME + 1];
        int rows, cols;
        gguf_shape(g, slot, &rows, &cols);
        if (t->size == 0 && rows == 0) continue;
        gguf_slot_name(g, slot, name);
        if (t->size == 0) {
            if (slot == TENSOR_CLASSIFIER || slot == g->n_tensors - 1) continue;
            return gguf_fail(g, "%s is missing", name);
        }
        if (t->rows != (uint64_t)rows || t->cols != (uint64_t)cols)
            return gguf_fail(g, "%s is %" PRIu64 " rows of %" PRIu64 ", not %d of %d", name, t->rows, t->cols, rows,
                             cols);
        if (start > g->file_size || t->offset > g->file_size - start || t->size > g->file_size - start - t->offset)
            return gguf_fail(g, "%s: %" PRIu64 " bytes at %" PRIu64 " + %" PRIu64 ", but the file ends at %" PRIu64,
                             name, t->size, start, t->offset, g->file_size);
        t->offset += start;
    }
    return gguf_check_overlap(g);
}

/* ---------------------------------------------------------------------------------------------------
 * Configuration
 * ------------------------------------------------------------------------------------------------- */

/* What llama.c does not compute. Values from low to high mean that it is switched off. */
static const struct {
    const char *key;
    double low, high;
} gguf_refused[] = {
    {"llama.expert_count", 0, 0},
    {"llama.attention.causal", 1, 1},
    {"llama.attention.scale", 0, 0},
    {"llama.attention.clamp_kqv", 0, 0},
    {"llama.attn_logit_softcapping", 0, 0},
    {"llama.final_logit_softcapping", 0, 0},
    {"llama.embedding_scale", 1, 1},
    {"llama.residual_scale", 1, 1},
    {"llama.logit_scale", 1, 1},
    {"llama.rope.scaling.attn_factor", 1, 1},
    {"split.count", 0, 1}, /* the file holds a part of the tensors */
};

static int gguf_check_refused(gguf *g) {
    for (size_t i = 0; i < sizeof gguf_refused / sizeof *gguf_refused; i++) {
        const char *key = gguf_refused[i].key;
        const gguf_entry *e = gguf_find(g, key);
        if (!e) continue;
        if (e->is_array || e->type == GGUF_STRING) return gguf_wrong_type(g, key, e, "a number");
        const double value = gguf_element(g, e, 0);
        if (!(value >= gguf_refused[i].low && value <= gguf_refused[i].high))
            return gguf_fail(g, "%s is %g, which is not supported", key, value);
    }
    return 1;
}

/* The sizes of the model; the vocabulary's comes with the embedding. */
static int gguf_read_config(gguf *g) {
    llama_config *c = &g->source.config;
    if (!gguf_int(g, "llama.block_count", 1, INT32_MAX, 1, &c->n_layers) ||
        !gguf_int(g, "llama.embedding_length", 1, INT32_MAX, 1, &c->dim) ||
        !gguf_int(g, "llama.context_length", 1, INT32_MAX, 1, &c->seq_len) ||
        !gguf_layers_int(g, "llama.feed_forward_length", 1, &c->hidden_dim) ||
        !gguf_layers_int(g, "llama.attention.head_count", 1, &c->n_heads) ||
        !gguf_float(g, "llama.attention.layer_norm_rms_epsilon", 1, &c->norm_eps))
        return 0;
    c->n_kv_heads = c->n_heads;
    c->rope_theta = 10000;
    if (!gguf_layers_int(g, "llama.attention.head_count_kv", 0, &c->n_kv_heads) ||
        !gguf_float(g, "llama.rope.freq_base", 0, &c->rope_theta))
        return 0;
    if (c->n_heads % c->n_kv_heads)
        return gguf_fail(g, "llama.attention.head_count %d is no multiple of head_count_kv %d", c->n_heads,
                         c->n_kv_heads);

    static const char key_length[] = "llama.attention.key_length";
    static const char *const same[] = {"llama.attention.value_length", "llama.rope.dimension_count"};
    if (!gguf_int(g, key_length, 1, INT32_MAX, 0, &c->head_dim)) return 0;
    if (!c->head_dim && c->dim % c->n_heads)
        return gguf_fail(g, "llama.embedding_length %d is no multiple of head_count %d, and there is no %s", c->dim,
                         c->n_heads, key_length);
    if (!c->head_dim) c->head_dim = c->dim / c->n_heads;
    if (c->head_dim > INT32_MAX / c->n_heads)
        return gguf_fail(g, "llama.attention.head_count %d is too much for heads of %d", c->n_heads, c->head_dim);
    if (c->head_dim % 2) return gguf_fail(g, "%s is %d, an odd number", key_length, c->head_dim);
    for (int i = 0; i < 2; i++) {
        int value = c->head_dim;
        if (!gguf_int(g, same[i], 1, INT32_MAX, 0, &value)) return 0;
        if (value != c->head_dim)
            return gguf_fail(g, "%s is %d, but heads have %d: they must agree", same[i], value, c->head_dim);
    }
    return 1;
}

/* What all positions are divided by. */
static int gguf_rope_factor(gguf *g, float *factor) {
    const char *type, *key = "llama.rope.scaling.type";
    size_t size;
    *factor = 1;
    if (!gguf_text(g, key, &type, &size)) return 0;
    if (gguf_same(type, size, "none")) return 1;
    if (type && !gguf_same(type, size, "linear"))
        return gguf_fail(g, "%s is \"%.*s\", not none or linear", key, gguf_shown(size), type);
    return gguf_float(g, "llama.rope.scale_linear", 0, factor) && /* the newer key wins */
           gguf_float(g, "llama.rope.scaling.factor", 0, factor);
}

/* Angles per position: base^(-2i / head_dim), divided by the factor above and by those of each pair, which is how
 * the scaling of Llama 3.1 is stored. */
static int gguf_read_rope(gguf *g) {
    const llama_config *c = &g->source.config;
    const gguf_tensor *t = &g->tensors[g->n_tensors - 1];
    float all;
    if (!gguf_rope_factor(g, &all)) return 0;
    if (t->size && gguf_types[t->type].decode != gguf_decode_f32)
        return gguf_fail(g, GGUF_FACTORS " has weight type %s, not F32", gguf_types[t->type].name);
    float *f = g->source.rope_frequencies = rope_frequencies(c->head_dim, c->rope_theta);
    if (!f) return gguf_fail(g, "no memory for %d rotary frequencies", c->head_dim / 2);
    for (int i = 0; i < c->head_dim / 2; i++) {
        unsigned char p[4] = {0, 0, 0x80, 0x3F}; /* 1 */
        if (t->size && file_read_at(g->file, t->offset + 4 * (uint64_t)i, p, sizeof p))
            return gguf_fail(g, "cannot read " GGUF_FACTORS);
        f[i] /= all * get_f32(p);
        if (!(f[i] > 0 && isfinite(f[i])))
            return gguf_fail(g, "rotary frequency %d is %g: base %g, divided by %g and by %g", i, (double)f[i],
                             (double)c->rope_theta, (double)all, (double)get_f32(p));
    }
    return 1;
}

/* ---------------------------------------------------------------------------------------------------
 * Tokenizer
 * ------------------------------------------------------------------------------------------------- */

/* *e = an array of count elements of a type; of any number of them if count is GGUF_ANY. */
#define GGUF_ANY UINT64_MAX
static int gguf_array(gguf *g, const char *key, uint32_t type, uint64_t count, const gguf_entry **e) {
    *e = gguf_find(g, key);
    if (!*e) return gguf_fail(g, "%s is missing", key);
    if (!(*e)->is_array || (*e)->type != type) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "an array of %s", gguf_value_types[type].name);
        return gguf_wrong_type(g, key, *e, wanted);
    }
    if (count != GGUF_ANY && (*e)->count != count)
        return gguf_fail(g, "%s has %" PRIu64 " elements, not %" PRIu64, key, (*e)->count, count);
    return 1;
}

/* The string at *at in the head, and *at behind it. In the head that taking has checked, so it does not fail. */
static char *gguf_next_string(gguf *g, size_t *at, size_t *size) {
    *size = (size_t)get_uint(g->head + *at, 8);
    char *text = (char *)g->head + *at + 8;
    *at += 8 + *size;
    return text;
}

enum { GGUF_MAX_ENDS = 64 }; /* as many as a tokenizer takes */

/* The vocabulary as tokenizer_create takes it. Its texts point into the head. */
typedef struct {
    tokenizer_parts parts;
    tokenizer_piece *pieces;
    int (*merges)[2];
    int ends[GGUF_MAX_ENDS];
} gguf_vocabulary;

/* Texts and types; the texts of byte-level pieces as the bytes that they stand for. */
static int gguf_read_pieces(gguf *g, gguf_vocabulary *v) {
    const int n = g->source.config.vocab_size, is_scored = v->parts.kind == TOKENIZER_SENTENCEPIECE;
    const gguf_entry *tokens, *types, *scores = NULL;
    if (!gguf_array(g, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)n, &tokens) ||
        !gguf_array(g, "tokenizer.ggml.token_type", GGUF_I32, (uint64_t)n, &types) ||
        (is_scored && !gguf_array(g, "tokenizer.ggml.scores", GGUF_F32, (uint64_t)n, &scores)))
        return 0;
    v->parts.pieces = v->pieces = malloc((size_t)n * sizeof *v->pieces);
    v->parts.n_pieces = n;
    if (!v->pieces) return gguf_fail(g, "no memory for %d tokens", n);
    size_t at = tokens->at;
    for (int i = 0; i < n; i++) {
        tokenizer_piece *p = &v->pieces[i];
        const double type = gguf_element(g, types, (uint64_t)i);
        char *text = gguf_next_string(g, &at, &p->size);
        if (!(type >= TOKENIZER_NORMAL && type <= TOKENIZER_BYTE))
            return gguf_fail(g, "tokenizer.ggml.token_type[%d] is %.0f, not 1..6", i, type);
        p->text = text;
        p->type = (int)type;
        p->score = scores ? (float)gguf_element(g, scores, (uint64_t)i) : 0;
        if (is_scored || p->type != TOKENIZER_NORMAL) continue;
        const ptrdiff_t size = vocabulary_decode_bytes(text, p->size, text);
        if (size < 0) return gguf_fail(g, "tokenizer.ggml.tokens[%d] has a character that stands for no byte", i);
        p->size = (size_t)size;
    }
    return 1;
}

/* --- Merges are written as two texts with a space between, and wanted as two ids --- */

static int gguf_compare_pieces(const void *a, const void *b) {
    const tokenizer_piece *p = *(const tokenizer_piece *const *)a, *q = *(const tokenizer_piece *const *)b;
    const int c = memcmp(p->text, q->text, p->size < q->size ? p->size : q->size);
    return c ? c : (p->size > q->size) - (p->size < q->size);
}

/* The pieces that text may become, in order of their bytes. */
static const tokenizer_piece **gguf_sort_pieces(gguf *g, const gguf_vocabulary *v, size_t *n) {
    const tokenizer_piece **order = malloc((size_t)v->parts.n_pieces * sizeof *order);
    if (!order) return gguf_fail(g, "no memory for %d tokens", v->parts.n_pieces), NULL;
    *n = 0;
    for (int i = 0; i < v->parts.n_pieces; i++)
        if (v->pieces[i].type == TOKENIZER_NORMAL) order[(*n)++] = &v->pieces[i];
    qsort(order, *n, sizeof *order, gguf_compare_pieces);
    return order;
}

/* Merge i, whose text is at *at. order has the n pieces that it may name. */
static int gguf_read_merge(gguf *g, gguf_vocabulary *v, const tokenizer_piece **order, size_t n, size_t *at, int i) {
    size_t size;
    char *text = gguf_next_string(g, at, &size), *space = memchr(text, ' ', size);
    if (!space) return gguf_fail(g, "tokenizer.ggml.merges[%d] \"%.*s\" has no space", i, gguf_shown(size), text);
    char *const starts[2] = {text, space + 1}, *const ends[2] = {space, text + size};
    for (int side = 0; side < 2; side++) {
        const ptrdiff_t n_bytes =
            vocabulary_decode_bytes(starts[side], (size_t)(ends[side] - starts[side]), starts[side]);
        const tokenizer_piece key = {.text = starts[side], .size = (size_t)n_bytes}, *p = &key;
        const tokenizer_piece **found = n_bytes < 0 ? NULL : bsearch(&p, order, n, sizeof *order, gguf_compare_pieces);
        if (!found) return gguf_fail(g, "tokenizer.ggml.merges[%d]: its %s is no token", i, side ? "right" : "left");
        v->merges[i][side] = (int)(*found - v->pieces);
    }
    return 1;
}

static int gguf_read_merges(gguf *g, gguf_vocabulary *v) {
    const gguf_entry *e;
    size_t n;
    if (!gguf_array(g, "tokenizer.ggml.merges", GGUF_STRING, GGUF_ANY, &e)) return 0;
    const int n_merges = (int)e->count; /* fits: the head is limited to GGUF_MAX_HEAD */
    v->merges = malloc((size_t)(e->count + 1) * sizeof *v->merges);
    if (!v->merges) return gguf_fail(g, "no memory for %d merges", n_merges);
    const tokenizer_piece **order = gguf_sort_pieces(g, v, &n);
    if (!order) return 0;
    size_t at = e->at;
    while (v->parts.n_merges < n_merges && gguf_read_merge(g, v, order, n, &at, v->parts.n_merges)) v->parts.n_merges++;
    free(order);
    v->parts.merges = (const int(*)[2])v->merges;
    return v->parts.n_merges == n_merges;
}

/* *id = a token's id, -1 if the file says that there is none, which it does by 2^32 - 1; else unchanged. */
static int gguf_token_id(gguf *g, const char *key, int *id) {
    const gguf_entry *e = gguf_find(g, key);
    const int is_integer = e && !e->is_array && gguf_value_types[e->type].integer;
    if (is_integer && gguf_element(g, e, 0) == UINT32_MAX) return *id = -1, 1;
    return gguf_int(g, key, 0, g->source.config.vocab_size - 1, 0, id);
}

static int gguf_add_end(gguf *g, gguf_vocabulary *v, int id) {
    for (int i = 0; i < v->parts.n_ends; i++)
        if (v->ends[i] == id) return 1;
    if (id < 0 || id >= v->parts.n_pieces) return 1; /* none; a default that the vocabulary is too small for */
    if (v->parts.n_ends == GGUF_MAX_ENDS)
        return gguf_fail(g, "tokenizer.ggml.tokens: more than %d end a text", GGUF_MAX_ENDS);
    v->ends[v->parts.n_ends++] = id;
    return 1;
}

/* bos, and all that end a text, eos first: those that have a key, and control tokens with a name that says so. */
static int gguf_read_special(gguf *g, gguf_vocabulary *v) {
    const int is_scored = v->parts.kind == TOKENIZER_SENTENCEPIECE;
    int eos = is_scored ? 2 : -1, eot = -1, eom = -1;
    v->parts.bos = is_scored && v->parts.n_pieces > 1 ? 1 : -1;
    v->parts.add_bos = 1;
    if (!gguf_token_id(g, "tokenizer.ggml.bos_token_id", &v->parts.bos) ||
        !gguf_token_id(g, "tokenizer.ggml.eos_token_id", &eos) ||
        !gguf_token_id(g, "tokenizer.ggml.eot_token_id", &eot) ||
        !gguf_token_id(g, "tokenizer.ggml.eom_token_id", &eom) ||
        !gguf_bool(g, "tokenizer.ggml.add_bos_token", &v->parts.add_bos) || !gguf_add_end(g, v, eos) ||
        !gguf_add_end(g, v, eot) || !gguf_add_end(g, v, eom))
        return 0;
    for (int i = 0; i < v->parts.n_pieces; i++) {
        const tokenizer_piece *p = &v->pieces[i];
        if (p->type == TOKENIZER_CONTROL && vocabulary_ends_turn(p->text, p->size) && !gguf_add_end(g, v, i)) return 0;
    }
    v->parts.ends = v->ends;
    return 1;
}

/* *kind = the kind of vocabulary, 0 if there is none. */
static int gguf_vocabulary_kind(gguf *g, int *kind) {
    static const char *const pres[] = {"llama-bpe", "llama3", "llama-v3"};
    const char *model, *pre;
    size_t model_size, pre_size;
    *kind = 0;
    if (!gguf_text(g, "tokenizer.ggml.model", &model, &model_size) ||
        !gguf_text(g, "tokenizer.ggml.pre", &pre, &pre_size))
        return 0;
    if (!model) return gguf_find(g, "tokenizer.ggml.tokens") ? gguf_fail(g, "tokenizer.ggml.model is missing") : 1;
    if (gguf_same(model, model_size, "none") || gguf_same(model, model_size, "no_vocab")) return 1;
    if (gguf_same(model, model_size, "llama")) return *kind = TOKENIZER_SENTENCEPIECE, 1;
    if (!gguf_same(model, model_size, "gpt2"))
        return gguf_fail(g, "tokenizer.ggml.model is \"%.*s\", not llama or gpt2", gguf_shown(model_size), model);
    for (int i = 0; i < 3; i++)
        if (gguf_same(pre, pre_size, pres[i])) return *kind = TOKENIZER_BYTE_LEVEL, 1;
    return gguf_fail(g, "tokenizer.ggml.pre is \"%.*s\", not llama-bpe", gguf_shown(pre_size), pre ? pre : "");
}

static int gguf_read_vocabulary(gguf *g, gguf_vocabulary *v) {
    const char *jinja;
    size_t size;
    v->parts.ignore_merges = v->parts.kind == TOKENIZER_BYTE_LEVEL; /* as all with this pre-tokenizer */
    v->parts.add_dummy_prefix = v->parts.kind == TOKENIZER_SENTENCEPIECE;
    if (!gguf_read_pieces(g, v) || (v->parts.kind == TOKENIZER_BYTE_LEVEL && !gguf_read_merges(g, v)) ||
        !gguf_read_special(g, v) || !gguf_bool(g, "tokenizer.ggml.add_space_prefix", &v->parts.add_dummy_prefix) ||
        !gguf_bool(g, "tokenizer.ggml.remove_extra_whitespaces", &v->parts.remove_extra_whitespaces) ||
        !gguf_text(g, "tokenizer.chat_template", &jinja, &size))
        return 0;
    v->parts.chat_template = jinja ? tokenizer_template_find(vocabulary_template(jinja, size)) : 0;
    return 1;
}

/* The flat form, as the source holds it. */
static int gguf_build_tokenizer(gguf *g, const tokenizer_parts *parts) {
    llama_source *s = &g->source;
    tokenizer_error why;
    tokenizer *t = tokenizer_create(parts, NULL, &why);
    if (!t) return gguf_fail(g, "tokenizer.ggml: %.120s", why.text);
    s->tokenizer = vocabulary_save(t, &s->tokenizer_size);
    tokenizer_free(t);
    return s->tokenizer ? 1 : gguf_fail(g, "no memory for a tokenizer of %zu bytes", s->tokenizer_size);
}

static int gguf_read_tokenizer(gguf *g) {
    gguf_vocabulary v = {.pieces = NULL};
    if (!gguf_vocabulary_kind(g, &v.parts.kind)) return 0;
    const int ok = !v.parts.kind || (gguf_read_vocabulary(g, &v) && gguf_build_tokenizer(g, &v.parts));
    free(v.pieces);
    free(v.merges);
    return ok;
}

/* ---------------------------------------------------------------------------------------------------
 * Source
 * ------------------------------------------------------------------------------------------------- */

static int gguf_rows(llama_source *s, enum tensor tensor, int layer, int first, int count, float *out,
                     llama_error *err) {
    gguf *g = (gguf *)s;
    const size_t slot = gguf_slot(tensor, layer);
    const gguf_tensor *t = &g->tensors[slot];
    const gguf_type *type = &gguf_types[t->type];
    char name[GGUF_MAX_NAME + 1];
    g->err = err;
    gguf_slot_name(g, slot, name);
    if (t->size == 0) return gguf_fail(g, "%s is missing", name), -1;
    if (first < 0 || count < 0 || (uint64_t)first + (uint64_t)count > t->rows)
        return gguf_fail(g, "%s has no rows %d + %d", name, first, count), -1;
    const size_t row_size = (size_t)(t->size / t->rows), most = g->scratch_size / row_size;
    uint64_t offset = t->offset + (uint64_t)first * row_size;
    for (size_t left = (size_t)count; left;) {
        const size_t n = left < most ? left : most;
        if (file_read_at(g->file, offset, g->scratch, n * row_size))
            return gguf_fail(g, "%s: cannot read %zu bytes at byte %" PRIu64, name, n * row_size, offset), -1;
        type->decode(type, g->scratch, n * row_size / (size_t)type->bytes, out);
        out += n * (size_t)t->cols;
        offset += n * row_size;
        left -= n;
    }
    return 0;
}

static void gguf_close(llama_source *s) {
    gguf *g = (gguf *)s;
    if (g->file) fclose(g->file);
    source_release(s);
    free(g->head);
    free(g->entries);
    free(g->tensors);
    free(g->scratch);
    free(g);
}

/* Magic, version and counts, then all of the head. */
static int gguf_read_head(gguf *g) {
    uint64_t version, n_tensors, n_entries;
    size_t at = 0;
    int alignment = 32;
    snprintf(g->what, sizeof g->what, "header");
    if (!gguf_take(g, 4, &at)) return 0;
    if (memcmp(g->head, "GGUF", 4)) return gguf_fail(g, "does not begin with GGUF");
    if (!gguf_take_number(g, 4, &version)) return 0;
    if (version != 2 && version != 3)
        return gguf_fail(g, "version is %" PRIu64 ", not 2 or 3%s", version,
                         version & 0xFFFF ? "" : ": a big-endian file");
    g->source.config.format = version == 2 ? "GGUF version 2" : "GGUF version 3";
    if (!gguf_take_number(g, 8, &n_tensors) || !gguf_take_number(g, 8, &n_entries) || !gguf_take_metadata(g, n_entries))
        return 0;

    const char *architecture, *key = "general.architecture";
    size_t size;
    if (!gguf_text(g, key, &architecture, &size)) return 0;
    if (!architecture) return gguf_fail(g, "%s is missing", key);
    if (!gguf_same(architecture, size, "llama"))
        return gguf_fail(g, "%s is \"%.*s\", not llama", key, gguf_shown(size), architecture);
    if (!gguf_check_refused(g) || !gguf_int(g, "general.alignment", 8, 1 << 20, 0, &alignment)) return 0;
    if (alignment & (alignment - 1)) return gguf_fail(g, "general.alignment is %d, no power of two", alignment);
    return gguf_read_config(g) && gguf_take_tensors(g, n_tensors, alignment) && gguf_check_tensors(g, alignment);
}

/* What of the configuration follows from the tensors, and room for their rows. */
static int gguf_survey(gguf *g) {
    llama_config *c = &g->source.config;
    uint64_t largest = GGUF_SCRATCH;
    c->shared_classifier = g->tensors[TENSOR_CLASSIFIER].size == 0;
    c->weight_type = gguf_types[g->tensors[TENSOR_W1].type].name;
    for (size_t slot = 0; slot < g->n_tensors - 1; slot++) {
        const gguf_tensor *t = &g->tensors[slot];
        if (slot != TENSOR_EMBEDDING || c->shared_classifier) c->weight_bytes += t->size;
        if (t->size && t->size / t->rows > largest) largest = t->size / t->rows;
    }
    g->scratch_size = (size_t)largest;
    g->scratch = largest <= SIZE_MAX ? malloc(g->scratch_size) : NULL;
    return g->scratch ? 1 : gguf_fail(g, "no memory for a row of %" PRIu64 " bytes", largest);
}

static int gguf_open(gguf *g, const char *path) {
    const size_t size = strlen(path), most = 100;
    snprintf(g->name, sizeof g->name, "%s%s", size > most ? "..." : "", size > most ? path + size - most : path);
    g->file = fopen(path, "rb");
    if (!g->file) return gguf_fail(g, "cannot open");
    if (file_size(g->file, &g->file_size)) return gguf_fail(g, "cannot tell its size");
    if (!gguf_read_head(g) || !gguf_survey(g) || !gguf_read_rope(g) || !gguf_read_tokenizer(g)) return 0;
    free(g->head);
    free(g->entries);
    g->head = NULL;
    g->entries = NULL;
    g->n_entries = 0;
    return 1;
}

llama_source *source_open_gguf(const char *path, llama_error *err) {
    gguf *g = calloc(1, sizeof *g);
    if (!g) return set_error(err, "%s: no memory", path), NULL;
    g->err = err;
    g->source.rows = gguf_rows;
    g->source.close = gguf_close;
    if (gguf_open(g, path)) return &g->source;
    gguf_close(&g->source);
    return NULL;
}
