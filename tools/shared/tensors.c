/* tensors.c - contract in tensors.h. What tensors a model has, llama.c knows. */
#include "inside.h"

#include <math.h>
#include <stdlib.h>

const char *tensor_name(enum tensor id) {
    static const llama_config any;
    return inside_tensor_of(&any, id, 0).name;
}

int tensor_shape(const llama_config *f, enum tensor id, int layer, int *rows, int *cols) {
    const inside_tensor t = inside_tensor_of(f, id, layer);
    *rows = t.experts ? t.experts * t.expert_rows : t.rows, *cols = t.cols;
    return *rows;
}

int tensor_is_vector(enum tensor id) { return id != TENSOR_EMBEDDING && id != TENSOR_CLASSIFIER && id < TENSOR_WQ; }

float *rope_frequencies(int head_dim, float theta) {
    float *f = malloc((size_t)(head_dim / 2) * sizeof *f);
    for (int i = 0; f && i < head_dim / 2; i++) f[i] = (float)pow((double)theta, -2.0 * i / head_dim);
    return f;
}
