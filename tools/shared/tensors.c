/* tensors.c - contract in tensors.h. */
#include "tensors.h"

#include <math.h>
#include <stdlib.h>

float *rope_frequencies(int head_dim, float theta) {
    float *f = malloc((size_t)(head_dim / 2) * sizeof *f);
    for (int i = 0; f && i < head_dim / 2; i++) f[i] = (float)pow((double)theta, -2.0 * i / head_dim);
    return f;
}
