/* weights.h - the weights of grad.h from a model file and to one. */
#ifndef WEIGHTS_H
#define WEIGHTS_H

#include "../../llama.h"

/* A model in memory. What weights_load fills is malloc'ed: weights_free. */
typedef struct {
    llama_config config;
    float *rope;     /* (head_dim / 2) angles per position */
    float *values;   /* (grad_count) */
    void *tokenizer; /* the flat form; NULL: none */
    size_t tokenizer_size;
} model_weights;

/* Any file that llama.c loads, decoded to float32. 0, or -1. */
int weights_load(model_weights *m, const char *path, llama_error *err);
void weights_free(model_weights *m);

/* Replaces the file at path, or leaves it alone if anything fails. type is writer.h's. 0, or -1. */
int weights_save(const model_weights *m, int type, const char *path, llama_error *err);

/* The same into memory, malloc'ed. */
int weights_build(const model_weights *m, int type, void **data, size_t *size, llama_error *err);

#endif
