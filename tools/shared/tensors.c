/* tensors.c - contract in tensors.h. */
#include "tensors.h"

#include <math.h>
#include <stdlib.h>

const char *tensor_name(enum tensor id) {
    static const char *const names[] = {
        "embedding", "classifier", "final_norm", "attention_norm",  "ffn_norm", "wq", "wk", "wv", "wo",
        "w1",        "w2",         "w3",         "rope_frequencies"};
    return names[id];
}

void tensor_shape(const llama_config *f, enum tensor id, int *rows, int *cols) {
    const int q = f->n_heads * f->head_dim, kv = f->n_kv_heads * f->head_dim;
    *cols = f->dim;
    switch (id) {
    case TENSOR_EMBEDDING:
    case TENSOR_CLASSIFIER: *rows = f->vocab_size; break;
    case TENSOR_FINAL_NORM:
    case TENSOR_ATTENTION_NORM:
    case TENSOR_FFN_NORM: *rows = 1; break;
    case TENSOR_WQ: *rows = q; break;
    case TENSOR_WK:
    case TENSOR_WV: *rows = kv; break;
    case TENSOR_WO: *rows = f->dim, *cols = q; break;
    case TENSOR_W1:
    case TENSOR_W3: *rows = f->hidden_dim; break;
    case TENSOR_W2: *rows = f->dim, *cols = f->hidden_dim; break;
    case TENSOR_ROPE: *rows = 1, *cols = f->head_dim / 2; break;
    }
}

int tensor_is_norm(enum tensor id) {
    return id == TENSOR_FINAL_NORM || id == TENSOR_ATTENTION_NORM || id == TENSOR_FFN_NORM;
}

float *rope_frequencies(int head_dim, float theta) {
    float *f = malloc((size_t)(head_dim / 2) * sizeof *f);
    for (int i = 0; f && i < head_dim / 2; i++) f[i] = (float)pow((double)theta, -2.0 * i / head_dim);
    return f;
}
