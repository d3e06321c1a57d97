/* inside.h - what programs of tools/ have to see of the inside of llama.c: how a .llama file is laid out, the weights
 * of a loaded model as float32, and the arithmetic. inside.c is the one file of tools/ that contains llama.c; it is
 * the functions of llama.h for the programs too, so that llama.c is compiled once for all of them.
 */
#ifndef INSIDE_H
#define INSIDE_H

#include "../../llama.h"
#include "tensors.h"

/* ---- The layout of a .llama file: llama.c, rooms 1 and 2 ---- */

enum { INSIDE_HEADER = 256, INSIDE_KIND = 16, INSIDE_ENTRY = 64 }; /* bytes: header, of a layer, of a tensor's entry */
enum {
    INSIDE_VECTOR,
    INSIDE_F32,
    INSIDE_BF16,
    INSIDE_Q8,
    INSIDE_Q4_0,
    INSIDE_Q4,
    INSIDE_Q6
};                                                   /* types, as in the file */
enum { INSIDE_TILE = 16, INSIDE_LINE = 64 };         /* rows of a tile; bytes of all its rows' next few columns */
enum { INSIDE_Q8_GROUP = 64, INSIDE_Q4_GROUP = 32 }; /* columns that share a scale */

const char *inside_magic(void); /* the 8 bytes that a file begins with */

typedef struct {
    const char *name;
    int rows, cols;           /* rows 0: a model with this configuration has it not */
    int vector;               /* 1: INSIDE_VECTOR; else a matrix */
    int experts, expert_rows; /* matrices that are one here, each filled up to whole tiles; their rows. 0: it is one */
} inside_tensor;

/* A tensor of the file: of all layers with layer 0, then of each layer; in the order of the numbers. */
inside_tensor inside_tensor_of(const llama_config *f, enum tensor id, int layer);
size_t inside_tensor_count(const llama_config *f);

/* "wq" and so on: the name in a .llama file, without its layer. */
const char *tensor_name(enum tensor id);

/* (rows, cols), as llama.c has them, and 1 for a vector, which is one row; rows 0: this model has it not in this layer.
 * Experts' matrices stand one behind the other without what a .llama file puts between: (n_experts * expert_dim, dim).
 * Returns rows. */
int tensor_shape(const llama_config *f, enum tensor id, int layer, int *rows, int *cols);

int tensor_is_vector(enum tensor id);

size_t inside_tile_bytes(int type, int cols);
size_t inside_matrix_bytes(int type, int rows, int cols);

/* FNV-1a over words of 64 bits: of a file's tensors, each filled up to whole lines, it is the file's hash. */
uint64_t inside_hash(uint64_t hash, const unsigned char *p, size_t size);

const signed char *inside_q4_values(void); /* the 16 that q4 counts in */

uint16_t inside_to_f16(float f); /* to nearest, ties to even */
uint16_t inside_to_bf16(float f);

/* out (cols) = row r of a tile. */
void inside_decode_tile(int type, const unsigned char *tile, int r, int cols, float *out);

/* What llama.c would refuse, by a message that begins with name. 0, or -1. */
int inside_check_config(const llama_config *f, const char *name, llama_error *err);

/* ---- A loaded model ---- */

/* out (count, cols) = rows [first, first + count) of a tensor; vectors are one row. Experts' rows are
 * numbered as tensor_shape counts them. */
void inside_rows(const llama_model *m, enum tensor id, int layer, int first, int count, float *out);

/* What a matrix is stored as: INSIDE_F32 and so on; INSIDE_VECTOR: as rows, those of llama2.c's files. */
int inside_type(const llama_model *m, enum tensor id, int layer);

/* A row of a matrix of type INSIDE_Q8 or INSIDE_Q4_0 as it is stored: codes (cols), integers, -8..7 of the latter;
 * scales, float16, one for each group of INSIDE_Q8_GROUP or INSIDE_Q4_GROUP columns. Weights are their products. */
void inside_codes(const llama_model *m, enum tensor id, int layer, int row, signed char *codes, uint16_t *scales);

const void *inside_file(const llama_model *m, size_t *size); /* the bytes that its weights lie in */
double inside_kv_bytes(const llama_context *c);              /* of a position in the kv cache */

/* ---- Arithmetic: llama.c, room 3, says what each computes ---- */

enum { INSIDE_BLOCK = 12 }; /* most rows of a block */

typedef void inside_tile_fn(float *out, size_t out_stride, const void *w, const void *a, int n, int rows, int add);
typedef void inside_pair_fn(float *out, size_t out_stride, const void *w, const void *a, int n, int rows, int add,
                            const void *ahead, int lines); /* lines 0: nothing is fetched ahead */

/* The float32 kernels that are the fastest here. */
typedef struct {
    int block; /* rows of a that a tile is multiplied by at a time */
    void (*pack)(void *out, const float *x, size_t stride, int n, int rows);
    inside_tile_fn *tile; /* by one tile */
    inside_pair_fn *pair; /* by two that follow each other, with the same bits; NULL if that is no faster */
    float (*softmax)(float *x, int n, float *max);
    void (*swiglu)(float *a, const float *b, int n);
} inside_kernels;

inside_kernels inside_find_kernels(void);

int inside_cores(void); /* that this process may use; 1 without OpenMP */

/* ---- One layer by itself, in float32: llama.c, room 4 ---- */

/* Its products, in their order, by what they have as input: wq, wk, wv; wo; w1, w3; w2. */
enum inside_part { INSIDE_QKV, INSIDE_O, INSIDE_GATE_UP, INSIDE_DOWN, INSIDE_PARTS };

typedef struct inside_layer inside_layer; /* for one thread at a time */

/* A layer of a model with this configuration, for sequences of up to n_ctx tokens. tensor[id] is (rows, cols), as
 * tensor_shape has them, used where it lies, and may change between two calls; NULL where the layer has it not. The
 * rotary tables are those of all layers. NULL without memory. */
inside_layer *inside_layer_open(const llama_config *f, int layer, const float *rope_frequencies,
                                const float *rope_amplitudes, float *const tensor[TENSORS], int n_ctx);
void inside_layer_close(inside_layer *l);                               /* NULL is allowed */
size_t inside_layer_bytes(const llama_config *f, int layer, int n_ctx); /* that it takes; SIZE_MAX: too many */

typedef struct { /* of the experts of a layer: those of expert e are rows [begin[e], begin[e + 1]) */
    int *token;  /* (n * n_experts_used) of a row */
    int *begin;  /* (n_experts + 1) */
} inside_routes;

/* What the inputs of a part are for a sequence x (n, dim): out (n, cols). Experts' w1 and w3 share one, and routes says
 * which of its rows each has; of their w2 out is (n * n_experts_used, cols), in the order of routes. x becomes what it
 * is when the part begins. With INSIDE_PARTS x becomes what the layer makes of it, and out is not used. */
void inside_layer_run(inside_layer *l, float *x, int n, enum inside_part part, float *out, inside_routes *routes);

/* out (dim) = RMSNorm of x, with weights. */
void inside_norm(float *out, const float *x, const float *weight, int dim, float eps);

/* cap tanh(x / cap) */
void inside_cap(float *x, int n, float cap);

#endif
