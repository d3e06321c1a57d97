/* rope.h - rotary tables, whatever format asks for them.
 *
 * A table has for each pair of a head a frequency, the angle per position, and an amplitude, the factor of cosine and
 * sine. All ways in which models stretch their context come down to such tables, or to two of them.
 */
#ifndef ROPE_H
#define ROPE_H

#include "../../llama.h"

typedef enum { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN, ROPE_FACTORS } rope_kind;

typedef struct {
    rope_kind kind;
    double theta;
    int turning;          /* numbers of a head that turn, even, the first ones; the rest have frequency 0 */
    double factor;        /* by which the context grew: LINEAR, LLAMA3, YARN */
    double original;      /* positions before that: LLAMA3, YARN */
    double low, high;     /* LLAMA3: low_freq_factor, high_freq_factor */
    double fast, slow;    /* YARN: beta_fast, beta_slow (32, 1) */
    int truncate;         /* YARN: whether the bounds between which it blends are whole numbers; usually 1 */
    const float *factors; /* FACTORS: (turning / 2), each frequency is divided by its own (longrope) */
    double amplitude;     /* of the pairs that turn; 0: 1 */
} rope_rule;

/* Writes a table for heads of head_dim: frequency (head_dim / 2), and amplitude as many if it is not NULL. Pair i of a
 * head is the i-th frequency, whether the file's order of rows is neighbours or halves. */
void rope_table(const rope_rule *rule, int head_dim, float *frequency, float *amplitude);

/* YaRN's amplitude for a factor (arXiv:2309.00071, 3.4): 0.1 ln(factor) + 1; with mscale in the place of 0.1 x 10. */
double rope_yarn_amplitude(double factor, double mscale);

/* longrope's (arXiv:2402.13753): sqrt(1 + ln(length / original) / ln(original)); 1 if length is not larger. */
double rope_long_amplitude(double length, double original);

#endif
