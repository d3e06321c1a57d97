/* calibrate.h - q4 of a whole model that knows what goes through it, and what any type changes.
 *
 * Samples go through two models, as it is and as it becomes, layer by layer: so only one layer's weights are in memory,
 * and what each matrix gets as input is known when it is rounded (rounding.h). The last samples are held out: on them
 * both are compared.
 */
#ifndef CALIBRATE_H
#define CALIBRATE_H

#include "samples.h"

typedef struct {
    const writer_input *in; /* without encoded */
    const samples *texts;
    int held;    /* the last so many of them only measure */
    int rounded; /* 1: matrices that become q4 are calibrated; 0: all are rounded to nearest, as the writer does */
    int threads; /* 0: one per core */
    samples_progress *progress; /* NULL: none */
    void *user;
} calibrate_input;

typedef struct {
    double kl;             /* mean over tokens of the sum over p of p (log p - log q), p as it is, q as it becomes */
    double source, result; /* means of -log p and -log q of the next token */
    int measured;          /* tokens of which kl is the mean */
    int matrices, nearest; /* that were calibrated; that had to be rounded to nearest: see rounding_prepare */
} calibrate_report;

typedef struct calibration calibration; /* encoded matrices */

/* What it takes: memory in bytes, UINT64_MAX if too many can be counted; seconds, of which a tenth of a second here
 * tells about how many they are. The texts need no tokens yet. */
void calibrate_predict(const calibrate_input *in, uint64_t *bytes, double *seconds);

/* NULL with a message: there is no memory, the input cannot be read, or it was cancelled. */
calibration *calibrate(const calibrate_input *in, calibrate_report *report, llama_error *err);
void calibrate_free(calibration *c); /* NULL is allowed */

/* For writer_input.encoded; from is the calibration. */
const unsigned char *calibrate_encoded(void *from, enum tensor tensor, int layer);

#endif
