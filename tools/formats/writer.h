/* writer.h - writes .llama files, whose format is described in llama.c.
 *
 * Tensors stream through: a few tiles of rows at a time are asked for as float32, encoded by all threads, and
 * written. Memory does not grow with the model.
 */
#ifndef WRITER_H
#define WRITER_H

#include "../../llama.h"
#include "../shared/tensors.h"

typedef struct {
    llama_config config;           /* all that a file says of it; the hash is computed */
    const float *rope_frequencies; /* (rotary tables, head_dim / 2) */
    const float *rope_amplitudes;  /* as many; with LLAMA_ROPE_AMPLITUDES */
    int type;                      /* of the matrices, from writer_type */
    int embedding_type;            /* of the embedding, and of a classifier of its own; 0: the same, q6 for q4 */
    const void *tokenizer;         /* as tokenizer.h describes it; NULL: none */
    size_t tokenizer_size;
    /* The tiles of a matrix that was encoded already; NULL: this one was not. May be NULL. */
    const unsigned char *(*encoded)(void *from, enum tensor tensor, int layer);
    void *from; /* passed to encoded */
    /* As in source.h. */
    int (*rows)(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *err);
    int (*progress)(void *user, uint64_t done, uint64_t total); /* bytes of output; NULL: none; nonzero cancels */
    void *user;
} writer_input;

typedef struct {
    uint64_t bytes;         /* of the file */
    uint64_t weights;       /* values in matrices */
    double bits_per_weight; /* of matrices, padding and scales included */
    double mse, signal;     /* mean squared error of the weights in matrices; their mean square */
} writer_report;

/* What a tensor of this shape is written as. */
int writer_type_of(const writer_input *in, enum tensor id, int layer, int vector);

/* Their names, for messages, to a type; -1: none of them. */
#define WRITER_TYPES "f32, bf16, q8, q6, q4 or q4_0"
int writer_type(const char *name);

/* Writes to a temporary name beside path, and renames it once all is on the disk: whatever fails, what was at
 * path stays, and nothing else is left. report may be NULL. Returns 0, or -1 with a message. */
int writer_write(const writer_input *in, const char *path, writer_report *report, llama_error *err);

/* The same into memory: *data is malloc'ed and 64-byte alignment is not promised. */
int writer_build(const writer_input *in, void **data, size_t *size, writer_report *report, llama_error *err);

/* For who fills in the tensors otherwise: header and table of tensors into p, which is zeros, or only their size if p
 * is NULL; *end becomes the size of the file. */
size_t writer_header(const writer_input *in, unsigned char *p, uint64_t *end);

#endif
