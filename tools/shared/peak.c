/* peak.c - loops of nothing but multiply-adds, or of loads. Contract in peak.h. */
#include "peak.h"
#include "clock.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define PEAK_X86
#define PEAK_KEEP(x) "+x"(x)
#elif defined(__aarch64__) && defined(__ARM_NEON) && defined(__GNUC__)
#include <arm_neon.h>
#define PEAK_NEON
#define PEAK_KEEP(x) "+w"(x)
#endif

#ifdef PEAK_KEEP
/* Twelve independent sums cover the latency of the instruction and fit the registers. The empty assembler lines
 * keep the compiler from folding the rounds; unrolling by hand makes the figure the same at every -O. OPERATIONS
 * are those of one instruction. */
enum { SUMS = 12, UNROLL = 8 };
static const long rounds = 100000;

/* clang-format off */
#define PEAK_LOOP(name, attribute, vector, start, step, OPERATIONS)                                         \
    attribute static double name(void) {                                                                    \
        vector x[SUMS];                                                                                     \
        _Pragma("GCC unroll 12") for (int k = 0; k < SUMS; k++) x[k] = start;                               \
        for (long i = 0; i < rounds; i++) {                                                                 \
            _Pragma("GCC unroll 8") for (int u = 0; u < UNROLL; u++)                                        \
                _Pragma("GCC unroll 12") for (int k = 0; k < SUMS; k++) x[k] = step;                        \
            __asm__ volatile("" : PEAK_KEEP(x[0]), PEAK_KEEP(x[1]), PEAK_KEEP(x[2]), PEAK_KEEP(x[3]),       \
                             PEAK_KEEP(x[4]), PEAK_KEEP(x[5]), PEAK_KEEP(x[6]), PEAK_KEEP(x[7]),            \
                             PEAK_KEEP(x[8]), PEAK_KEEP(x[9]), PEAK_KEEP(x[10]), PEAK_KEEP(x[11]));         \
        }                                                                                                   \
        return (double)rounds * SUMS * UNROLL * (OPERATIONS);                                               \
    }
/* clang-format on */
#endif

#if defined(PEAK_X86) /* 0.5 x + 1 stays between 1 and 2 */
PEAK_LOOP(f32_512, __attribute__((target("avx512f"))), __m512, _mm512_set1_ps(1),
          _mm512_fmadd_ps(x[k], _mm512_set1_ps(0.5f), _mm512_set1_ps(1)), 32)
PEAK_LOOP(f32_256, __attribute__((target("avx2,fma"))), __m256, _mm256_set1_ps(1),
          _mm256_fmadd_ps(x[k], _mm256_set1_ps(0.5f), _mm256_set1_ps(1)), 16)
PEAK_LOOP(bf16_512, __attribute__((target("avx512f,avx512bf16"))), __m512, _mm512_set1_ps(1),
          _mm512_dpbf16_ps(x[k], (__m512bh)_mm512_set1_epi16(1), (__m512bh)_mm512_set1_epi16(2)), 64)
PEAK_LOOP(int8_512, __attribute__((target("avx512f,avx512vnni"))), __m512i, _mm512_setzero_si512(),
          _mm512_dpbusd_epi32(x[k], _mm512_set1_epi8(3), _mm512_set1_epi8(2)), 128)

__attribute__((target("avx512f"))) static int64_t read_512(const unsigned char *p, size_t n) {
    __m512i sum[4];
    for (int k = 0; k < 4; k++) sum[k] = _mm512_setzero_si512();
    for (size_t i = 0; i + 256 <= n; i += 256) {
        _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) {
            sum[k] = _mm512_add_epi64(sum[k], _mm512_loadu_si512(p + i + 64 * k));
        }
    }
    return _mm512_reduce_or_epi64(_mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3])));
}

static int has(const char *what) {
    __builtin_cpu_init();
    if (!strcmp(what, "avx512")) return __builtin_cpu_supports("avx512f") != 0;
    if (!strcmp(what, "vnni")) return has("avx512") && __builtin_cpu_supports("avx512vnni");
    if (!strcmp(what, "bf16")) return has("avx512") && __builtin_cpu_supports("avx512bf16");
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#elif defined(PEAK_NEON)
PEAK_LOOP(f32_128, , float32x4_t, vdupq_n_f32(1), vfmaq_f32(vdupq_n_f32(1), x[k], vdupq_n_f32(0.5f)), 8)
#endif

static double rate(double (*loop)(void), int threads) {
    double operations = 0;
    if (!loop) return 0;
    const double begin = clock_seconds();
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) reduction(+ : operations)
#endif
    for (int i = 0; i < threads; i++) operations += loop();
    return operations / (clock_seconds() - begin) * 1e-9;
}

double peak_f32(int threads) {
#if defined(PEAK_X86)
    return rate(has("avx512") ? f32_512 : has("avx2") ? f32_256 : NULL, threads);
#elif defined(PEAK_NEON)
    return rate(f32_128, threads);
#else
    return rate(NULL, threads);
#endif
}

double peak_bf16(int threads) {
#if defined(PEAK_X86)
    return rate(has("bf16") ? bf16_512 : NULL, threads);
#else
    return rate(NULL, threads);
#endif
}

double peak_int8(int threads) {
#if defined(PEAK_X86)
    return rate(has("vnni") ? int8_512 : NULL, threads);
#else
    return rate(NULL, threads);
#endif
}

static int64_t read_plain(const unsigned char *p, size_t n) {
    uint64_t sum[8] = {0}, word;
    for (size_t i = 0; i + 64 <= n; i += 64)
        for (size_t k = 0; k < 8; k++) memcpy(&word, p + i + 8 * k, 8), sum[k] += word;
    return (int64_t)(sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7]);
}

static volatile int64_t sink; /* what is read has to be used */

double peak_read(const void *p, size_t n, int threads) {
    int64_t (*read)(const unsigned char *, size_t) = read_plain;
    const size_t part = n / (size_t)threads / 256 * 256;
    int64_t sum = 0;
#ifdef PEAK_X86
    if (has("avx512")) read = read_512;
#endif
    const double begin = clock_seconds();
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) reduction(^ : sum)
#endif
    for (int i = 0; i < threads; i++) sum ^= read((const unsigned char *)p + part * (size_t)i, part);
    sink = sum;
    return (double)part * threads / (clock_seconds() - begin) * 1e-9;
}
