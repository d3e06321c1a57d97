/* encode.c - contract in encode.h. */
#include "encode.h"
#include "../shared/numbers.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* The whole number next to v, low..high. A cast that truncates vectorises; lrintf is a call. */
static int encode_round(float v, int low, int high) {
    const float bounded = v < (float)low ? (float)low : v > (float)high ? (float)high : v;
    return (int)(bounded < 0 ? bounded - 0.5f : bounded + 0.5f);
}

/* The largest magnitude; nan if there is one. */
static float encode_largest(const float *x, int n) {
    float max = 0;
    for (int i = 0; i < n; i++) max = fabsf(x[i]) <= max ? max : fabsf(x[i]);
    for (int i = 0; i < n; i++) max = x[i] == x[i] ? max : x[i];
    return max;
}

/* ---- q8, and q4_0 ---- */

enum { ENCODE_NAN = 0x7e00 }; /* the scale of a group that holds nan or infinity: damage stays visible */

/* Eight bits leave little to gain from a search: the largest magnitude becomes 127. Where float16 has few bits
 * left, the scale is rounded up, or the largest value would be cut by many steps. */
static uint16_t encode_q8(const float *x, int n, signed char *q) {
    const float max = encode_largest(x, n);
    uint16_t half = inside_to_f16(max / 127.0f);
    if (!(max <= FLT_MAX)) return ENCODE_NAN;
    if (half < 0x400 && 127.0f * float_of_f16(half) < max) half++;
    const float scale = float_of_f16(half), inverse = scale > 0 ? 1.0f / scale : 0;
    for (int i = 0; i < n; i++) q[i] = (signed char)encode_round(x[i] * inverse, -127, 127);
    return half;
}

/* For integers q = -most..most - 1 next to x * inverse, the scale that fits them best is xq / qq, and leaves the
 * squared error xx - xq^2 / qq. Returns what is taken off the error; x is filled up with zeros. In lanes.
 */
static float encode_gain_even(const float x[INSIDE_Q4_GROUP], int most, float inverse, float *scale) {
    float xq[8] = {0}, qq[8] = {0}, sum_xq = 0, sum_qq = 0;
    for (int i = 0; i < INSIDE_Q4_GROUP; i += 8)
        for (int j = 0; j < 8; j++) {
            const float q = (float)encode_round(x[i + j] * inverse, -most, most - 1);
            xq[j] += x[i + j] * q;
            qq[j] += q * q;
        }
    for (int j = 0; j < 8; j++) sum_xq += xq[j], sum_qq += qq[j];
    *scale = sum_qq > 0 ? sum_xq / sum_qq : 0;
    return *scale * sum_xq;
}

/* Four bits are few enough that clipping the largest values, or giving the one value -8 to either sign, pays
 * for itself in finer steps. So scales from max / 6 to max / 9 of both signs are tried, each fitted to the
 * integers it gives, and the one with the least squared error is kept. On Gaussian weights the error is
 * 11% below that of max / -8, and 30% below that of max / 7. */
static uint16_t encode_q4_0(const float *from, int n, signed char *q) {
    enum { STEPS = 7 };
    float x[INSIDE_Q4_GROUP] = {0}, best = 0, most = 0;
    for (int i = 0; i < n; i++) x[i] = from[i];
    const float max = encode_largest(x, INSIDE_Q4_GROUP);
    if (!(max <= FLT_MAX)) return ENCODE_NAN;
    for (int i = 0; max > 1e-30f && i < 2 * STEPS; i++) { /* float16 has no scale for less */
        const int half_steps = i / 2;
        float scale;
        const float gain =
            encode_gain_even(x, 8, (i % 2 ? -1.0f : 1.0f) * (6.0f + 0.5f * (float)half_steps) / max, &scale);
        if (gain > most) most = gain, best = scale;
    }
    const uint16_t half = inside_to_f16(best);
    const float scale = float_of_f16(half), inverse = scale != 0 ? 1.0f / scale : 0;
    for (int i = 0; i < INSIDE_Q4_GROUP; i++) q[i] = (signed char)encode_round(x[i] * inverse, -8, 7);
    return half;
}

/* One row of a tile of either. */
static void encode_groups(int type, const float *x, int cols, int r, unsigned char *tile) {
    const int group = type == INSIDE_Q8 ? INSIDE_Q8_GROUP : INSIDE_Q4_GROUP;
    const size_t group_bytes = (size_t)group * (type == INSIDE_Q8 ? 16 : 8);
    for (int g = 0, k = 0; k < cols; g++, k += group) {
        const int n = cols - k < group ? cols - k : group;
        unsigned char *scale = tile + g % 2 * 32 + 2 * r, *out = tile + INSIDE_LINE + (g % 2 ? group_bytes : 0) + 4 * r;
        signed char q[INSIDE_Q8_GROUP] = {0};
        put_uint(scale, type == INSIDE_Q8 ? encode_q8(x + k, n, q) : encode_q4_0(x + k, n, q), 2);
        for (int i = 0; i < group; i++) {
            if (type == INSIDE_Q8) out[i / 4 * INSIDE_LINE + i % 4] = (unsigned char)q[i];
            else out[i / 8 * INSIDE_LINE + i % 4] |= (unsigned char)((q[i] + 8) << (i % 8 / 4 * 4));
        }
        if (g % 2) tile += INSIDE_LINE + 2 * group_bytes;
    }
}

/* ---- q4, and q6 ----
 * Trained weights are nearly Gaussian: a book that is denser around 0, and a little longer to one side, than evenly
 * spaced numbers leaves a fifth less squared error. A group's scale is looked for: its largest magnitude goes to
 * several places near the long end of the book, on either side; each time the scale is fitted to the codes that come
 * out, and the one is kept that leaves the least squared error. Then the codes of that scale are fitted once more.
 */
const float encode_book[ENCODE_CODES] = {-63, -49, -38, -30, -22, -16, -10, -4, 1, 6, 12, 18, 24, 31, 40, 52};
const float encode_border[ENCODE_CODES - 1] = {-56,  -43.5f, -34, -26, -19,   -13,   -7, -1.5f,
                                               3.5f, 9,      15,  21,  27.5f, 35.5f, 46};

/* For numbers c of the book next to x * inverse the scale that fits best is xc / cc, sums with the weights, and takes
 * xc^2 / cc off the squared error, which is returned. In lanes, to vectorise: all borders are compared with, because
 * that is faster than a table, and in halves, of which they are whole numbers that fit into a byte. */
static float encode_gain(const float x[INSIDE_Q4_GROUP], const float xw[INSIDE_Q4_GROUP],
                         const float w[INSIDE_Q4_GROUP], float inverse, float *scale) {
    enum { LANES = 8 };
    static const signed char border[] = {-112, -87, -68, -52, -38, -26, -14, -3, 7, 18, 30, 42, 55, 71, 92};
    static const signed char step[] = {14, 11, 8, 8, 6, 6, 6, 5, 5, 6, 6, 6, 7, 9, 12};
    float xc[LANES] = {0}, cc[LANES] = {0}, sum_xc = 0, sum_cc = 0, v[INSIDE_Q4_GROUP];
    signed char halves[INSIDE_Q4_GROUP], number[INSIDE_Q4_GROUP];
    int whole[INSIDE_Q4_GROUP];
    for (int i = 0; i < INSIDE_Q4_GROUP; i++) v[i] = x[i] * inverse * 2;
    for (int i = 0; i < INSIDE_Q4_GROUP; i++) v[i] = v[i] < -127 ? -127 : v[i];
    for (int i = 0; i < INSIDE_Q4_GROUP; i++) v[i] = v[i] > 127 ? 127 : v[i];
    for (int i = 0; i < INSIDE_Q4_GROUP; i++) whole[i] = (int)(v[i] + 128) - 128; /* down: positive before the cast */
    for (int i = 0; i < INSIDE_Q4_GROUP; i++) halves[i] = (signed char)whole[i], number[i] = -63;
    for (int b = 0; b < ENCODE_CODES - 1; b++) {
        const signed char at = border[b], by = step[b];
        for (int i = 0; i < INSIDE_Q4_GROUP; i++) {
            const signed char more = halves[i] >= at ? by : 0;
            number[i] = (signed char)(number[i] + more);
        }
    }
    for (int i = 0; i < INSIDE_Q4_GROUP; i++) whole[i] = (int)number[i];
    for (int i = 0; i < INSIDE_Q4_GROUP; i += LANES)
        for (int j = 0; j < LANES; j++) {
            const float c = (float)whole[i + j];
            xc[j] += xw[i + j] * c, cc[j] += w[i + j] * c * c;
        }
    for (int j = 0; j < LANES; j++) sum_xc += xc[j], sum_cc += cc[j];
    *scale = sum_cc > 0 ? sum_xc / sum_cc : 0;
    return *scale * sum_xc;
}

float encode_scale(const float *from, const float *weight, int n) {
    static const float reach[] = {0.80f, 0.85f, 0.90f, 0.95f, 1.00f, 1.05f, 1.10f};
    float x[INSIDE_Q4_GROUP] = {0}, w[INSIDE_Q4_GROUP] = {0}, xw[INSIDE_Q4_GROUP], most = 0, best = 0, scale;
    const float largest = encode_largest(from, n);
    if (!(largest <= FLT_MAX)) return NAN;
    if (!(largest > 1e-30f)) return 0;
    for (int i = 0; i < n; i++) x[i] = from[i] / largest, w[i] = weight ? weight[i] : 1; /* so nothing overflows */
    for (int i = 0; i < INSIDE_Q4_GROUP; i++) xw[i] = x[i] * w[i];
    for (int i = 0; i < 2 * (int)(sizeof reach / sizeof *reach); i++) {
        const float gain = encode_gain(x, xw, w, (i % 2 ? 1.0f : -1.0f) * reach[i / 2] * encode_book[0], &scale);
        if (gain > most) most = gain, best = scale;
    }
    if (best == 0) return 0;
    if (encode_gain(x, xw, w, 1 / best, &scale) > most) best = scale;
    return best * largest;
}

/* Of even steps: where the largest magnitude goes decides little, but to which end of the steps. */
static float encode_scale_q6(const float *from, int n) {
    static const float top[] = {-32, -31.5f, -31, 31, 31.5f, 32};
    float x[INSIDE_Q4_GROUP] = {0}, most = 0, best = 0, scale;
    const float largest = encode_largest(from, n);
    if (!(largest <= FLT_MAX)) return NAN;
    for (int i = 0; largest > 1e-30f && i < n; i++) x[i] = from[i] / largest;
    for (int i = 0; i < (int)(sizeof top / sizeof *top); i++) {
        const float gain = encode_gain_even(x, 32, top[i], &scale);
        if (gain > most) most = gain, best = scale;
    }
    return best * largest;
}

float encode_unit(float largest) { return largest / 127.0f; }

int encode_units(float scale, float unit) { return unit > 0 ? encode_round(scale / unit, -127, 127) : 0; }

void encode_codes(const float *x, int n, float scale, unsigned char *codes) {
    const float inverse = scale != 0 ? 1.0f / scale : 0;
    for (int i = 0; i < n; i++) codes[i] = (unsigned char)encode_nearest(x[i] * inverse);
}

/* Where a group's lines of codes begin, and the byte of row r's scale. */
static unsigned char *encode_group(int type, unsigned char *tile, int g, int r, unsigned char **scale) {
    const int together = 4, bytes = (type == INSIDE_Q6 ? 6 : 4) * INSIDE_LINE, i = g % together;
    unsigned char *bundle = tile + INSIDE_LINE + (size_t)(g / together) * (size_t)(INSIDE_LINE + together * bytes);
    *scale = bundle + i * INSIDE_TILE + r;
    return bundle + INSIDE_LINE + i * bytes;
}

/* The codes of n <= INSIDE_Q4_GROUP columns of row r into the lines of their group. */
static void encode_put_group(int type, unsigned char *lines, int r, const unsigned char *codes, int n) {
    for (int i = 0; i < n; i++)
        lines[i / 8 * INSIDE_LINE + 4 * r + i % 4] |= (unsigned char)((codes[i] & 15) << (i % 8 / 4 * 4));
    for (int i = 0; type == INSIDE_Q6 && i < n; i++)
        lines[(4 + i / 16) * INSIDE_LINE + 4 * r + i % 4] |= (unsigned char)(codes[i] >> 4 << (i % 16 / 4 * 2));
}

void encode_put(unsigned char *tile, int cols, int r, float unit, const signed char *scales,
                const unsigned char *codes) {
    unsigned char *scale;
    put_f32(tile + 4 * r, unit);
    for (int g = 0, k = 0; k < cols; g++, k += INSIDE_Q4_GROUP) {
        unsigned char *lines = encode_group(INSIDE_Q4, tile, g, r, &scale);
        *scale = (unsigned char)scales[g];
        encode_put_group(INSIDE_Q4, lines, r, codes + k, cols - k < INSIDE_Q4_GROUP ? cols - k : INSIDE_Q4_GROUP);
    }
}

/* Its unit is known after all scales: until then they wait in the row's bytes of the first line of each group. */
void encode_row(int type, const float *x, int cols, int r, unsigned char *tile) {
    const int group = INSIDE_Q4_GROUP;
    unsigned char *at, codes[INSIDE_Q4_GROUP];
    float largest = 0;
    for (int g = 0, k = 0; k < cols; g++, k += group) {
        const int n = cols - k < group ? cols - k : group;
        const float scale = type == INSIDE_Q6 ? encode_scale_q6(x + k, n) : encode_scale(x + k, NULL, n);
        put_f32(encode_group(type, tile, g, r, &at) + 4 * r, scale);
        if (!(fabsf(scale) <= largest)) largest = largest == largest ? fabsf(scale) : largest;
    }
    const float unit = encode_unit(largest);
    put_f32(tile + 4 * r, unit);
    for (int g = 0, k = 0; k < cols; g++, k += group) {
        const int n = cols - k < group ? cols - k : group;
        unsigned char *lines = encode_group(type, tile, g, r, &at);
        const int units = encode_units(get_f32(lines + 4 * r), unit);
        put_uint(lines + 4 * r, 0, 4);
        if (!units) continue; /* of nan too */
        *at = (unsigned char)units;
        const float scale = unit * (float)units, inverse = scale != 0 ? 1.0f / scale : 0;
        if (type == INSIDE_Q4) encode_codes(x + k, n, scale, codes);
        else
            for (int i = 0; i < n; i++) codes[i] = (unsigned char)(encode_round(x[k + i] * inverse, -32, 31) + 32);
        encode_put_group(type, lines, r, codes, n);
    }
}

/* ---- Any type ---- */

void encode_tile(int type, const float *rows, int count, int cols, unsigned char *tile) {
    memset(tile, 0, inside_tile_bytes(type, cols));
    for (int r = 0; r < count && r < INSIDE_TILE; r++) {
        const float *x = rows + (size_t)r * (size_t)cols;
        for (int k = 0; type == INSIDE_F32 && k < cols; k++) put_f32(tile + (size_t)k * INSIDE_LINE + 4 * r, x[k]);
        for (int k = 0; type == INSIDE_BF16 && k < cols; k++)
            put_uint(tile + (size_t)(k / 2) * INSIDE_LINE + 4 * r + 2 * (k % 2), inside_to_bf16(x[k]), 2);
        if (type == INSIDE_Q8 || type == INSIDE_Q4_0) encode_groups(type, x, cols, r, tile);
        if (type == INSIDE_Q4 || type == INSIDE_Q6) encode_row(type, x, cols, r, tile);
    }
}
