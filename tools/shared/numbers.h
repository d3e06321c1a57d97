/* numbers.h - numbers as files have them. Inline, since they are called for each weight. */
#ifndef NUMBERS_H
#define NUMBERS_H

#include <stdint.h>
#include <string.h>

/* a * b; UINT64_MAX, which no file has and no allocation gives, instead of wrapping. */
static inline uint64_t mul_size(uint64_t a, uint64_t b) { return b && a > UINT64_MAX / b ? UINT64_MAX : a * b; }

/* ---- Random bits: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014) ---- */

static inline uint64_t mix_bits(uint64_t z) {
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
static inline uint64_t split_mix(uint64_t *state) { return mix_bits(*state += 0x9E3779B97F4A7C15u); }

/* ---- Little-endian, whatever the processor is, and at any address ---- */

static inline uint64_t get_uint(const unsigned char *p, int bytes) {
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static inline void put_uint(unsigned char *p, uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++, v >>= 8) p[i] = (unsigned char)(v & 255);
}

static inline float float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t bits_of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float get_f32(const unsigned char *p) { return float_of_bits((uint32_t)get_uint(p, 4)); }
static inline void put_f32(unsigned char *p, float f) { put_uint(p, bits_of_float(f), 4); }

/* ---- Half as long ---- */

static inline float float_of_bf16(uint16_t bits) { return float_of_bits((uint32_t)bits << 16); }

/* Read with float32's exponent, whose bias is larger by 112, a half is too small by that much; a multiplication puts it
 * right, subnormal numbers included. Infinities and nans need the rest of the exponent's bits too. */
static inline float float_of_f16(uint16_t bits) {
    const float magnitude = float_of_bits((uint32_t)(bits & 0x7FFF) << 13) * 0x1p112f;
    const uint32_t sign = (uint32_t)(bits & 0x8000) << 16, top = (bits & 0x7C00) == 0x7C00 ? 0x7F800000u : 0;
    return float_of_bits(bits_of_float(magnitude) | sign | top);
}

#endif
