/* checkpoint.h - small llama2.c checkpoints with random weights, made in memory for the tests, and the same weights
 * for reference.h. Needs reference.c; a test compiles both in by  #include "reference.c"  and  #include "checkpoint.c".
 */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "reference.h"

typedef struct {
    int version; /* 0, 1 or 2 */
    int dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len;
    int shared;     /* 1: the classifier is the embedding */
    int group_size; /* version 2: weights per scale; must divide the number of weights of every tensor */
} checkpoint_shape;

typedef struct {
    checkpoint_shape shape;
    unsigned char *bytes; /* the file */
    size_t size;
    size_t header_size;
    reference_model model; /* exactly the weights that the file holds */
    double *weights;       /* what model points into */
} checkpoint;

/* Byte offsets of the fields in the header: the same order everywhere, after magic and version in versions 1 and 2. */
enum { FIELD_DIM, FIELD_HIDDEN_DIM, FIELD_N_LAYERS, FIELD_N_HEADS, FIELD_N_KV_HEADS, FIELD_VOCAB_SIZE, FIELD_SEQ_LEN };
size_t checkpoint_field(int version, int field);
enum { OFFSET_SHARED = 36, OFFSET_GROUP_SIZE = 37 }; /* versions 1 and 2; the group size is not aligned */

/* Exits when memory runs out: it is a test. */
checkpoint checkpoint_make(checkpoint_shape shape, uint64_t seed);
void checkpoint_free(checkpoint *c);

/* Little-endian, whatever the machine. */
void checkpoint_put_int(unsigned char *p, int32_t value);

/* ---- What several test programs need ---- */

/* SplitMix64: its own, so that a test does not depend on what it tests. */
uint64_t random_next(uint64_t *state);
int random_int(uint64_t *state, int low, int high);           /* low..high, both included */
double random_real(uint64_t *state, double low, double high); /* uniform */

void *xmalloc(size_t size);

/* A name for a file that does not exist yet: in tests/bin if that exists, else in the current directory. */
const char *temporary_path(void);
int write_file(const char *path, const void *data, size_t size); /* 1 done, 0 failed */

/* Path of a file of the development data, in $LLAMA_TEST_DATA or ../shared/data; NULL if it is not there. */
const char *data_path(const char *name);

#endif
