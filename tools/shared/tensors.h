/* tensors.h - the tensors of a model by number, whatever the file that they are in. */
#ifndef TENSORS_H
#define TENSORS_H

#include "../../llama.h"

/* clang-format off */
enum tensor {
    TENSOR_EMBEDDING, TENSOR_CLASSIFIER, TENSOR_FINAL_NORM, /* of the model: layer is 0 */
    TENSOR_ATTENTION_NORM, TENSOR_FFN_NORM, TENSOR_WQ, TENSOR_WK, TENSOR_WV, TENSOR_WO, TENSOR_W1, TENSOR_W2, TENSOR_W3,
    TENSOR_ROPE /* of the model, and no weights: the angle per position of each pair of a head */
};
/* clang-format on */

/* "wq" and so on: the name in a .llama file, without its layer. */
const char *tensor_name(enum tensor id);

/* (rows, cols), as llama.c has them; a norm is one row. */
void tensor_shape(const llama_config *f, enum tensor id, int *rows, int *cols);

int tensor_is_norm(enum tensor id);

/* TENSOR_ROPE of a model without scaling, (head_dim / 2) theta^(-2i / head_dim), computed as Hugging Face and llama.cpp
 * do; malloc'ed, NULL without memory. */
float *rope_frequencies(int head_dim, float theta);

#endif
