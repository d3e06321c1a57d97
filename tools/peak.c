/* peak.c - a loop of nothing but multiply-adds. Contract in peak.h.
 *
 * Twelve independent sums: enough to cover the latency of the instruction, few enough for the registers.
 */
#if defined(__unix__) || defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#endif
#include "peak.h"

#include <stddef.h>
#include <time.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define PEAK_X86
#elif defined(__aarch64__) && defined(__ARM_NEON) && defined(__GNUC__)
#include <arm_neon.h>
#define PEAK_NEON
#endif

static double now(void) {
#ifdef CLOCK_MONOTONIC
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
#else
    return (double)clock() / CLOCKS_PER_SEC;
#endif
}

enum { SUMS = 12, ROUNDS = 400000 };

/* 0.5 x + 1 stays between 1 and 2. The empty assembler lines keep the compiler from folding the rounds. */
#define PEAK_LOOP(name, attribute, vector, one, step)                                        \
    attribute static double name(void) {                                                     \
        vector x[SUMS];                                                                      \
        for (int k = 0; k < SUMS; k++) x[k] = one;                                           \
        for (long i = 0; i < ROUNDS; i++) {                                                  \
            _Pragma("GCC unroll 12") for (int k = 0; k < SUMS; k++) x[k] = step;             \
            __asm__ volatile("" : PEAK_KEEP(x[0]), PEAK_KEEP(x[1]), PEAK_KEEP(x[2]),         \
                             PEAK_KEEP(x[3]), PEAK_KEEP(x[4]), PEAK_KEEP(x[5]),              \
                             PEAK_KEEP(x[6]), PEAK_KEEP(x[7]), PEAK_KEEP(x[8]),              \
                             PEAK_KEEP(x[9]), PEAK_KEEP(x[10]), PEAK_KEEP(x[11]));           \
        }                                                                                    \
        return (double)ROUNDS * SUMS * 2 * (sizeof(vector) / sizeof(float));                 \
    }

#if defined(PEAK_X86)
#define PEAK_KEEP(x) "+x"(x)
PEAK_LOOP(loop_512, __attribute__((target("avx512f"))), __m512, _mm512_set1_ps(1),
          _mm512_fmadd_ps(x[k], _mm512_set1_ps(0.5f), _mm512_set1_ps(1)))
PEAK_LOOP(loop_256, __attribute__((target("avx2,fma"))), __m256, _mm256_set1_ps(1),
          _mm256_fmadd_ps(x[k], _mm256_set1_ps(0.5f), _mm256_set1_ps(1)))
#elif defined(PEAK_NEON)
#define PEAK_KEEP(x) "+w"(x)
PEAK_LOOP(loop_128, , float32x4_t, vdupq_n_f32(1), vfmaq_f32(vdupq_n_f32(1), x[k], vdupq_n_f32(0.5f)))
#endif

double peak_f32(int threads) {
    double (*loop)(void) = NULL;
#if defined(PEAK_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) loop = loop_512;
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) loop = loop_256;
#elif defined(PEAK_NEON)
    loop = loop_128;
#endif
    if (!loop) return 0;
    double operations = 0;
    const double begin = now();
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) reduction(+ : operations)
#endif
    for (int i = 0; i < threads; i++) operations += loop();
    return operations / (now() - begin) * 1e-9;
}
