/* gguf_types.c - the weight types of GGUF files. Contract in gguf.h.
 *
 * A row is a sequence of blocks. In the layouts below d and m are f16, [n] is n bytes, and w is weight i of the
 * block. All products are exact in float32 (no factor has more than 11, 8 and 7 bits), so that w is the float next to
 * what the formula says, whether or not the compiler fuses multiplications and additions.
 */
#include "gguf.h"
#include "../shared/inside.h"
#include "../shared/numbers.h"

#include <float.h>
#include <math.h>

static float gguf_f16(const unsigned char *p) { return float_of_f16((uint16_t)(p[0] | p[1] << 8)); }

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
        const int zero = type->has_high ? 16 : 8;
        for (int i = 0; i < 32; i++) {
            const int q = gguf_nibble(low, i) | (type->has_high ? (high[i / 8] >> i % 8 & 1) << 4 : 0);
            out[i] = type->has_min ? d * (float)q + m : d * (float)(q - zero); /* keeps the sign of 0 */
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

/* ---- Encoding: the types that are written too, quantised as ggml's reference does ---- */

static void gguf_encode_f32(const float *x, size_t blocks, unsigned char *p) {
    for (size_t i = 0; i < blocks; i++) put_f32(p + 4 * i, x[i]);
}

static void gguf_encode_f16(const float *x, size_t blocks, unsigned char *p) {
    for (size_t i = 0; i < blocks; i++) put_uint(p + 2 * i, inside_to_f16(x[i]), 2);
}

static void gguf_encode_bf16(const float *x, size_t blocks, unsigned char *p) {
    for (size_t i = 0; i < blocks; i++) put_uint(p + 2 * i, inside_to_bf16(x[i]), 2);
}

void gguf_pack_q8_0(const signed char *q, uint16_t scale, unsigned char *p) {
    put_uint(p, scale, 2);
    memcpy(p + 2, q, 32);
}

void gguf_pack_q4_0(const signed char *q, uint16_t scale, unsigned char *p) {
    put_uint(p, scale, 2);
    for (int i = 0; i < 16; i++) p[2 + i] = (unsigned char)((q[i] + 8) | (q[i + 16] + 8) << 4);
}

/* The value of the largest magnitude, the first of several; nan if there is one, or an infinity. */
static float gguf_largest(const float *x) {
    float max = 0;
    for (int i = 0; i < 32; i++) {
        if (!(fabsf(x[i]) <= FLT_MAX)) return NAN;
        if (fabsf(x[i]) > fabsf(max)) max = x[i];
    }
    return max;
}

/* The largest becomes 127 or -127. A block with a nan is all nan: damage stays visible. */
static void gguf_encode_q8_0(const float *x, size_t blocks, unsigned char *p) {
    for (; blocks--; x += 32, p += 34) {
        const float max = gguf_largest(x), d = fabsf(max) / 127, inverse = d > 0 ? 1 / d : 0;
        signed char q[32] = {0};
        for (int i = 0; i < 32 && max == max; i++) {
            const float v = x[i] * inverse; /* the inverse of the smallest numbers is infinite */
            q[i] = (signed char)roundf(v > 127 ? 127 : v < -127 ? -127 : v);
        }
        gguf_pack_q8_0(q, inside_to_f16(d), p);
    }
}

/* The largest becomes -8, with the scale's sign to fit. */
static void gguf_encode_q4_0(const float *x, size_t blocks, unsigned char *p) {
    for (; blocks--; x += 32, p += 18) {
        const float max = gguf_largest(x), d = max / -8, inverse = d < 0 || d > 0 ? 1 / d : 0;
        signed char q[32] = {0};
        for (int i = 0; i < 32 && max == max; i++) {
            const float v = x[i] * inverse + 8.5f;
            q[i] = (signed char)((v > 15 ? 15 : v > 0 ? (int)v : 0) - 8);
        }
        gguf_pack_q4_0(q, inside_to_f16(d), p);
    }
}

/* By the number that stands in files; those without a decoder have a name for the message that refuses them. */
static const gguf_type gguf_types[] = {
    [GGUF_TYPE_F32] = {"F32", 1, 4, gguf_decode_f32, 0, 0, gguf_encode_f32, 0},
    [GGUF_TYPE_F16] = {"F16", 1, 2, gguf_decode_f16, 0, 0, gguf_encode_f16, 1},
    [GGUF_TYPE_BF16] = {"BF16", 1, 2, gguf_decode_bf16, 0, 0, gguf_encode_bf16, 32},
    [GGUF_TYPE_Q4_0] = {"Q4_0", 32, 18, gguf_decode_q4_q5, 0, 0, gguf_encode_q4_0, 2},
    [3] = {"Q4_1", 32, 20, gguf_decode_q4_q5, 0, 1, NULL, 0},
    [6] = {"Q5_0", 32, 22, gguf_decode_q4_q5, 1, 0, NULL, 0},
    [7] = {"Q5_1", 32, 24, gguf_decode_q4_q5, 1, 1, NULL, 0},
    [GGUF_TYPE_Q8_0] = {"Q8_0", 32, 34, gguf_decode_q8_0, 0, 0, gguf_encode_q8_0, 7},
    [10] = {"Q2_K", 256, 84, gguf_decode_q2_k, 0, 0, NULL, 0},
    [11] = {"Q3_K", 256, 110, gguf_decode_q3_k, 0, 0, NULL, 0},
    [12] = {"Q4_K", 256, 144, gguf_decode_q4_q5_k, 0, 0, NULL, 0},
    [13] = {"Q5_K", 256, 176, gguf_decode_q4_q5_k, 1, 0, NULL, 0},
    [14] = {"Q6_K", 256, 210, gguf_decode_q6_k, 0, 0, NULL, 0},
    [20] = {"IQ4_NL", 32, 18, gguf_decode_iq4_nl, 0, 0, NULL, 0},
    [23] = {"IQ4_XS", 256, 136, gguf_decode_iq4_xs, 0, 0, NULL, 0},
    /* clang-format off */
    [9] = {.name = "Q8_1"},     [15] = {.name = "Q8_K"},  [16] = {.name = "IQ2_XXS"}, [17] = {.name = "IQ2_XS"},
    [18] = {.name = "IQ3_XXS"}, [19] = {.name = "IQ1_S"}, [21] = {.name = "IQ3_S"},   [22] = {.name = "IQ2_S"},
    [24] = {.name = "I8"},      [25] = {.name = "I16"},   [26] = {.name = "I32"},     [27] = {.name = "I64"},
    [28] = {.name = "F64"},     [29] = {.name = "IQ1_M"}, [34] = {.name = "TQ1_0"},   [35] = {.name = "TQ2_0"},
    /* clang-format on */
    [39] = {.name = "MXFP4"},
};
enum { GGUF_N_TYPES = sizeof gguf_types / sizeof *gguf_types };

const gguf_type *gguf_find_type(uint64_t number) {
    return number < GGUF_N_TYPES && gguf_types[number].name ? &gguf_types[number] : NULL;
}
