/* models.h - small models with random weights, of any configuration that llama.h knows, to be written as .llama files,
 * and what such a file holds for reference.h. Needs reference.c and checkpoint.c; a test compiles it in by
 * #include "models.c"  and is linked with tools/parts.a.
 */
#ifndef MODELS_H
#define MODELS_H

#include "../tools/formats/writer.h"
#include "checkpoint.h"

typedef struct {
    writer_input in; /* user is this struct */
    llama_layer_kind kinds[REFERENCE_LAYERS];
    float *weights[TENSORS][REFERENCE_LAYERS]; /* (rows, cols) of tensor_shape; NULL: none */
} model;

/* What the configuration points to is copied. Exits when it cannot be had: it is a test. */
model *model_make(const llama_config *config, int type, uint64_t seed);
void model_free(model *m);

/* writer_input.rows */
int model_rows(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *err);

/* The file of a model, in a block of exactly its size. */
typedef struct {
    unsigned char *bytes;
    size_t size;
} file;
file model_file(const model *m, writer_report *report);

/* The version 1 file of a plain Llama, as it was written before there was a version 2: a header of 128 bytes, no kinds
 * of layers, and the tensors so much nearer to the beginning. */
file model_version_1(const file *two);

/* The reference of a model as its file holds it, for a context of n_ctx tokens; *weights, to be freed, is what it
 * points into. */
reference_model model_reference(const llama_model *loaded, int n_ctx, double **weights);

/* All sets of kernels; some are not to be had. */
enum { N_SETS = 9 };
extern const char *const sets[N_SETS];

/* NULL where the set is not to be had; ends the program on any other failure. */
llama_context *model_context(const char *set, const llama_model *m, int n_ctx, int n_batch, int n_threads);

/* How many of the calls that a text of n tokens is cut into, at random places, give other logits than its tokens one by
 * one, which are in want (n, vocab_size); -1 if one fails. cut: the most tokens of a call; 0: all. */
int model_other_logits(llama_context *c, const int *tokens, int n, int cut, const float *want, int vocab_size,
                       uint64_t *seed);

/* What goes on in a context, or in what uses one: for llama_options.user. Memory is filled with nan, in every type. */
typedef struct {
    size_t bytes;              /* in all */
    long live, calls, fail_at; /* blocks; allocations; the one that fails, from 1; 0: none */
    long seen, cancel_at;      /* the same of progress */
} model_watch;
void *model_watch_alloc(void *watch, size_t size);
void model_watch_release(void *watch, void *p);
int model_watch_progress(void *watch, float done);

/* Differences of n logits: sums of squares, which of want's, and the largest. */
typedef struct {
    double error, signal, worst, largest; /* largest: of want */
} difference;
void difference_add(difference *d, const float *got, const double *want, int n);
double difference_rms(const difference *d);   /* as a share of want's */
double difference_worst(const difference *d); /* as a share of the largest */

/* How many threads the writer uses. Most tests take one: where other programs keep the processors busy, a small model
 * spends its time waiting for the second. */
void writer_threads(int n);

#endif
