/* grad.h - a Llama that learns: its loss, the gradient of every weight, and the optimiser's step.
 *
 * The forward pass is that of llama.c, room 4; the backward pass is written out by hand beside it, step for step.
 * Numbers are float32, or double with TRAIN_DOUBLE (compute.h).
 */
#ifndef GRAD_H
#define GRAD_H

#include "../../llama.h"
#include "../shared/tensors.h"
#include "../shared/compute.h"

/* ---- All weights in one array ----
 * Tensors follow one another, rows as they lie: embedding, classifier (if not shared), final_norm, then for each
 * layer attention_norm, ffn_norm, wq, wk, wv, wo, w1, w3, w2, with the shapes of llama.c. So wq, wk and wv together
 * are one matrix, and w1 and w3 another. Gradients and the optimiser's moments have the same layout. */
typedef struct {
    enum tensor id;
    int layer, rows, cols;
    size_t offset; /* of its first value in the array */
} grad_tensor;

int grad_tensor_count(const llama_config *f);
grad_tensor grad_tensor_at(const llama_config *f, int i);
grad_tensor grad_find_tensor(const llama_config *f, enum tensor id, int layer);

/* How many weights; SIZE_MAX if that overflows. */
size_t grad_count(const llama_config *f);

/* ---- The model ---- */

typedef struct grad grad;

/* Sizes must have passed inside_check_config. Sequences are config->seq_len tokens long, at most batch of them at a
 * time. rope is (head_dim / 2) angles per position and is copied, as is config. NULL with a message naming the bytes if
 * memory is short. Weights start as zeros. The threads in c must outlive the model. */
grad *grad_create(const llama_config *config, const real *rope, int batch, compute *c, llama_error *err);
void grad_free(grad *g); /* NULL is allowed */

real *grad_weights(grad *g);   /* (grad_count) */
real *grad_gradients(grad *g); /* (grad_count) */

/* Normal random weights of the usual size: 0.02, and less for wo and w2 by the square root of how many add up. */
void grad_initialise(grad *g, uint64_t seed);

typedef struct {
    int backward;   /* 1: add the gradient of share * the mean loss to the gradients */
    double share;   /* of this batch in the step; 1 without accumulation */
    double dropout; /* 0: none */
    uint64_t seed;  /* of the dropout */
} grad_pass;

/* tokens and next (sequences, seq_len): next[i] is what should follow tokens[i]. Returns the mean negative logarithm of
 * the probability that it does. */
double grad_run(grad *g, const int *tokens, const int *next, int sequences, const grad_pass *pass);

/* Multiply-adds count two; forward and backward, without what is computed a second time. */
double grad_operations(const llama_config *f, int backward); /* per token */

/* ---- AdamW (arXiv:1711.05101) ---- */

typedef struct {
    double rate, beta1, beta2, epsilon, decay; /* decay is for matrices, not for norms */
    double clip;                               /* the longest gradient; longer ones are shortened to it. 0: any */
    int freeze_embedding;                      /* 1: the embedding stays as it is */
    uint64_t step;                             /* 1 for the first */
} adamw;

/* Makes a step along the gradients and sets them to zero. moment1 and moment2 (grad_count) belong to the caller.
 * Returns the length of the gradient; if it is nan or infinity, nothing else was done. */
double adamw_step(grad *g, const adamw *o, real *moment1, real *moment2);

#endif
