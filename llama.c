/* llama.c - how a Llama runs, top to bottom. The contract is in llama.h. What is computed:
 *
 *   1. Checkpoint        a file of strangers' bytes becomes checked pointers to weights
 *   2. Number formats    how a matrix is stored, and how its rows become floats
 *   3. Operations        the few loops that take the time, each with its formula, and the table that names them
 *   4. Transformer       the forward pass, for many tokens at once
 *   5. Sampler           from logits to a token
 *   6. Public functions
 * and, behind where a reader may stop, how it becomes fast and what few programs need:
 *
 *   7. Fast kernels      the loops of room 3 once more, for x86 and for ARM
 *   8. Saved sequences   what a context remembers, as bytes
 *   9. Looking ahead     speculation and beam search, built on the public functions
 *
 * ---- One token's way ----
 *
 * stories260K tells children's stories with 260,000 weights. It has read "Once upon a" and is given " time", which is
 * number 378 of the 512 pieces of text that it knows. The position is 4: at 0 stands the token that begins a text.
 *
 *   embedding    x = row 378 of a (512, 64) matrix          -0.468  0.075  0.032 -0.265 ...  64 numbers, dim
 *
 * x is the residual stream: 5 layers read it and add to it what they find out. Each has weights of its own. The first:
 *
 *   norm         xn = x / rms(x) * weight                   -1.330  0.147  0.076 -0.676 ...
 *                rms(x) = sqrt(mean(x^2) + 1e-5) = 0.342
 *   q k v        q = wq . xn      (64, 64) . 64 -> 64       8 heads of 8 numbers: what each of them looks for
 *                k = wk . xn      (32, 64) . 64 -> 32       4 kv heads of 8, each for two heads: what is found here
 *                v = wv . xn      (32, 64) . 64 -> 32       and what it tells to who looks at it
 *   rotate       pairs of q and k turn by the position      the pairs of a head by 4 x 1, 0.1, 0.01 and 0.001: the
 *                                                           first, 0.417 -1.426, becomes -1.351 0.617
 *   remember     k and v join those of positions 0 to 3     in the kv cache: no past token is computed again
 *   attend       s = q . k / sqrt(8), for 0 to 4            head 0: -0.269 -0.733  0.309  2.222  2.890
 *                a = softmax(s) = e^s / sum of e^s                   0.026  0.016  0.046  0.309  0.603
 *                sum of a v over the positions              8 numbers of each head, 64 in all
 *   add          x += wo . those     (64, 64) . 64 -> 64
 *   norm         xn = x / rms(x) * other weights
 *   gate and up  g = w1 . xn, u = w3 . xn                   (172, 64) . 64 -> 172 each, hidden_dim
 *   SwiGLU       h = silu(g) * u, silu(z) = z / (1 + e^-z)
 *   down, add    x += w2 . h         (64, 172) . 172 -> 64
 *
 * After the last layer a norm and one more matrix, here the embedding again, make a number for each piece of text:
 *
 *   logits       classifier . norm(x)   (512, 64) . 64      17.80 for ","   14.28 for " there"   9.71 for " in" ...
 *   sampler      softmax once more                           0.969           0.029                0.0003
 *
 * So a comma it is, most likely: number 432, which goes the same way at position 5.
 *
 * A prompt goes it as a matrix of n rows: a weight that was fetched from memory then serves n tokens. That, and which
 * bytes lie beside which, is what makes it fast; nothing else is computed.
 *
 * Shapes stand in comments as (rows, cols), row-major unless said otherwise. Statics are called ll_*
 * and macros LL_* so that this file can be included into a program with names of its own.
 */
#ifndef LLAMA_C
#define LLAMA_C

#include "llama.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(_OPENMP) && defined(__GNUC__)
#define LL_THREADS
#include <omp.h>
#include <sched.h>
#ifdef __linux__
#define LL_FUTEX
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifndef __cplusplus
extern long syscall(long number, ...); /* which unistd.h hides from strict C99 */
#endif
#endif
#endif

#if !defined(LLAMA_NO_MMAP) && (defined(__unix__) || defined(__APPLE__))
#define LL_MMAP
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

/* ==== 1. Checkpoint =============================================================================
 * Four formats, all little-endian. llama2.c's, as its export.py writes them:
 *
 * Version 0   7 x int32 header; float32 tensors, each one for all layers before the next
 * Version 1   256-byte header that starts with "24ka"; float32 tensors in another order
 * Version 2   the same header; norms float32; every other tensor is its int8 values, then one float32
 *             scale for each group of the tensor's values taken in a row (a group may cross rows)
 *
 * and our own, which holds all that generation needs, laid out as the kernels read it:
 *
 * .llama      offset  type
 *                  0  char[8]    "llama.c\n"
 *                  8  uint32     2, the version of the format; 1: the header ends at 128, what it lacks is 0
 *                 12  uint32     1 if the classifier is the embedding, 0 if it is a tensor of its own
 *                 16  uint32[8]  dim, hidden_dim, n_layers, n_heads, n_kv_heads, head_dim, vocab_size, seq_len
 *                 48  float32    norm_eps
 *                 52  float32    rope_theta, for information: the rotation is rope_frequencies
 *                 56  uint64[2]  offset and size of the tokenizer, as tokenizer.c reads it; 0, 0: none
 *                 72  uint32     number of tensors
 *                 76  uint32     extras, a sum of LLAMA_QKV_BIAS and what follows it in llama.h
 *                 80  float32[4] attention_scale, embedding_scale, score_cap, logit_cap
 *                 96  uint32[3]  n_experts, n_experts_used, expert_dim
 *                108  uint32[2]  n_ropes, rope_short
 *                120  uint64     hash of the tensors, by ll_hash; 0: none
 *                128  char[32]   what it was made from, "qwen3" say; llama.c does not ask; the rest is zeros
 *                256             for each layer 16 bytes: uint32[4], llama_layer_kind and 0
 *                                for each tensor 64 bytes:
 *                                char[32] name, padded with zeros
 *                                uint32   type: 0 vector of float32; matrix of 1 f32, 2 bf16, 3 q8, 4 q4_0, 5 q4, 6 q6
 *                                uint32   rows, cols, 0
 *                                uint64   offset, a multiple of 64 (a matrix's better of 1,024); size in bytes
 *             Tensors come in the order of ll_tensor_id, behind the tokenizer, none overlapping, and the last one
 *             ends the file. Matrices are in tiles of 16 rows: see room 2. Query and key rows are in the order that
 *             ll_rotate_plain says. Experts of a layer are one matrix, each filled up to whole tiles.
 *
 * Weights are used where they lie: a pointer into the file, no copy. So a file must be exactly as
 * long as its header implies before anything else is done. A size that does not fit in size_t becomes
 * SIZE_MAX, which no file has: one comparison catches every overflow.
 */

/* Numbers that stand in files are never given to another type. */
typedef enum {
    LL_F32_ROWS,
    LL_F32,
    LL_BF16,
    LL_Q8,
    LL_Q4_0,
    LL_Q4,
    LL_Q6,
    LL_Q8_ROWS,
    LL_TYPES
} ll_type; /* see room 2 */

typedef struct {                 /* a matrix of weights: out = w . x takes cols numbers to rows numbers */
    const void *data;            /* (rows, cols), laid out as the type says */
    const unsigned char *scales; /* LL_Q8_ROWS: float32, one for each group; maybe unaligned */
    size_t group;                /* LL_Q8_ROWS: values to a scale */
    int rows, cols;
    ll_type type;
} ll_matrix;

/* What a layer has learned. Attention moves information between positions, the feed-forward part works on each by
 * itself; room 4 has the formulas. */
typedef struct {
    const float *attention_norm; /* (dim) */
    const float *ffn_norm;       /* (dim) */
    ll_matrix wq;                /* (n_heads * head_dim, dim) queries */
    ll_matrix wk, wv;            /* (n_kv_heads * head_dim, dim) keys, values */
    ll_matrix wo;                /* (dim, n_heads * head_dim) the heads' results, back to dim */
    ll_matrix w1, w3;            /* (hidden_dim, dim) gate, up */
    ll_matrix w2;                /* (dim, hidden_dim) down */
    /* What Llama itself has not: NULL and zeros where a model has it not either. */
    const float *q_bias, *k_bias, *v_bias, *o_bias;   /* as many as their matrix has rows */
    const float *q_norm, *k_norm;                     /* (head_dim), or of all heads side by side */
    const float *attention_post_norm, *ffn_post_norm; /* (dim) */
    ll_matrix router; /* (n_experts, dim); then w1, w3 and w2 are those of n_experts, one behind the other */
} ll_layer;

typedef struct { /* the caller's allocator, or malloc and free */
    void *(*alloc)(void *user, size_t size);
    void (*release)(void *user, void *p);
    void *user;
} ll_allocator;

struct llama_model {
    llama_config config;
    ll_layer *layers;
    llama_layer_kind *kinds;          /* (n_layers) what config.layers points to */
    ll_matrix embedding;              /* (vocab_size, dim) a row a token */
    ll_matrix classifier;             /* (vocab_size, dim) may be the same */
    const float *final_norm;          /* (dim) before the classifier */
    const float *rope_frequencies;    /* (ll_ropes, head_dim / 2) angle per position */
    const float *rope_amplitudes;     /* as many; NULL: 1 */
    size_t tokenizer, tokenizer_size; /* where it is in the file; size 0: none */
    ll_allocator allocator;
    const unsigned char *file; /* what the weights point into */
    size_t file_size;
    void *mapped, *block; /* whose those bytes are: the system's; allocated; both NULL: the caller's */
};

enum { LL_BAD = LLAMA_BAD_FILE, LL_PAGE = 4096 }; /* what most failures of this room are; bytes of a page */

/* Writes code and message, with control characters masked: file names are hostile too. Returns -1. */
static int ll_fail(llama_error *err, int code, const char *format, ...) {
    if (err) {
        err->code = code;
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        for (char *p = err->text; *p; p++)
            if ((unsigned char)*p < 32 || *p == 127) *p = '?';
    }
    return -1;
}

/* The two operations that every size goes through: SIZE_MAX instead of wrapping. */
static size_t ll_mul(size_t a, size_t b) { return b && a > SIZE_MAX / b ? SIZE_MAX : a * b; }
static size_t ll_add(size_t a, size_t b) { return a > SIZE_MAX - b ? SIZE_MAX : a + b; }

/* Zeros, not because a result depends on them, but because a tile's unused lanes are computed with the others, and
 * memory checkers would ask. */
static void *ll_malloc(void *user, size_t size) { return (void)user, calloc(1, size); }
static void ll_mfree(void *user, void *p) { (void)user, free(p); }

/* All memory is asked for here, through what the caller gave, and given back the same way. */
static ll_allocator ll_allocator_of(const llama_options *o) {
    ll_allocator a = {ll_malloc, ll_mfree, NULL};
    if (o && o->alloc && o->release) a.alloc = o->alloc, a.release = o->release, a.user = o->user;
    return a;
}

static void *ll_alloc(const ll_allocator *a, size_t size) {
    return size == SIZE_MAX ? NULL : a->alloc(a->user, size ? size : 1);
}

static unsigned char *ll_align(void *p, size_t step) { return (unsigned char *)p + (0 - (uintptr_t)p) % step; }

static void ll_release(const ll_allocator *a, void *p) {
    if (p) a->release(a->user, p);
}

/* ---- Walking through bytes that are as many as they should be ---- */

/* Each take gives a pointer to the next count items, and no item is looked at: loading takes no time. */
typedef struct {
    const unsigned char *data;
    size_t size, at;
} ll_reader;

static const void *ll_take(ll_reader *r, size_t count, size_t item) {
    const unsigned char *p = r->data + r->at;
    r->at += count * item;
    return p;
}

static ll_matrix ll_take_matrix(ll_reader *r, int rows, int cols, size_t group) {
    ll_matrix m = {NULL, NULL, group, rows, cols, group ? LL_Q8_ROWS : LL_F32_ROWS};
    const size_t count = (size_t)rows * (size_t)cols;
    m.data = ll_take(r, count, group ? 1 : sizeof(float));
    if (group) m.scales = (const unsigned char *)ll_take(r, count / group, sizeof(float));
    return m;
}

/* Numbers of a file, byte by byte: it may be unaligned. */
static uint32_t ll_u32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t ll_u64(const unsigned char *p) { return ll_u32(p) | (uint64_t)ll_u32(p + 4) << 32; }

typedef union { /* a float32 and its bits */
    uint32_t u;
    float f;
} ll_bits;

static float ll_f32(const unsigned char *p) {
    const ll_bits x = {ll_u32(p)};
    return x.f;
}

static int ll_i32(const unsigned char *p) {
    uint32_t u = ll_u32(p);
    return u <= INT32_MAX ? (int)u : -(int)(UINT32_MAX - u) - 1;
}

/* Rotary tables of a model. */
static int ll_ropes(const llama_config *f) { return (f->n_ropes ? f->n_ropes : 1) * (f->rope_short ? 2 : 1); }

static int ll_check_range(const char *name, const char *field, int value, int low, int high, llama_error *err) {
    if (value >= low && value <= high) return 0;
    return ll_fail(err, LL_BAD, "%s: %s is %d, not between %d and %d: not a checkpoint, or a damaged one", name, field,
                   value, low, high);
}

/* Of what Llama's relatives add, all but the layers' kinds. */
static int ll_check_extras(const llama_config *f, const char *name, llama_error *err) {
    static const char *const floats[] = {"attention_scale", "embedding_scale", "score_cap", "logit_cap"};
    const float value[] = {f->attention_scale, f->embedding_scale, f->score_cap, f->logit_cap};
    const int most = 1 << 28, some = f->n_experts > 0, norms = LLAMA_HEAD_NORM | LLAMA_WIDE_NORM;
    for (int i = 0; i < 4; i++)
        if (!(value[i] >= 0 && value[i] <= FLT_MAX))
            return ll_fail(err, LL_BAD, "%s: %s is %g, not 0 or above", name, floats[i], (double)value[i]);
    if (ll_check_range(name, "extras", f->extras, 0, 2 * LLAMA_ROPE_AMPLITUDES - 1, err) ||
        ll_check_range(name, "n_ropes", f->n_ropes, 0, 64, err) ||
        ll_check_range(name, "rope_short", f->rope_short, 0, most, err) ||
        ll_check_range(name, "n_experts", f->n_experts, 0, 65535, err) ||
        ll_check_range(name, "n_experts_used", f->n_experts_used, some, f->n_experts, err) ||
        ll_check_range(name, "expert_dim", f->expert_dim, some, some ? most : 0, err))
        return -1;
    if ((f->extras & norms) == norms)
        return ll_fail(err, LL_BAD, "%s: extras are %d: two kinds of norm for queries and keys", name, f->extras);
    const size_t widest = (size_t)(f->dim > f->expert_dim ? f->dim : f->expert_dim);
    if (ll_mul((size_t)ll_ropes(f), (size_t)f->head_dim) > 1 << 28 || ll_mul((size_t)f->n_experts, widest) > 1 << 28)
        return ll_fail(err, LL_BAD, "%s: %d rotary tables of %d or %d experts of %zu are too large", name, ll_ropes(f),
                       f->head_dim, f->n_experts, widest);
    return 0;
}

/* What can be said of a configuration before looking at the weights. */
static int ll_check_config(const llama_config *f, const char *name, llama_error *err) {
    static const char *const names[] = {"dim",        "hidden_dim", "n_layers",   "n_heads",
                                        "n_kv_heads", "head_dim",   "vocab_size", "seq_len"};
    const int value[] = {f->dim,        f->hidden_dim, f->n_layers,   f->n_heads,
                         f->n_kv_heads, f->head_dim,   f->vocab_size, f->seq_len};
    /* 2^28 keeps a row padded to a tile, or a head's pair of halves, well inside an int. */
    for (int i = 0; i < 8; i++)
        if (ll_check_range(name, names[i], value[i], 1, 1 << 28, err)) return -1;
    if (f->head_dim % 2) return ll_fail(err, LL_BAD, "%s: head_dim is %d, not even", name, f->head_dim);
    if (f->n_heads % f->n_kv_heads)
        return ll_fail(err, LL_BAD, "%s: n_heads %d is no multiple of n_kv_heads %d", name, f->n_heads, f->n_kv_heads);
    if (ll_mul((size_t)f->n_heads, (size_t)f->head_dim) > 1 << 28)
        return ll_fail(err, LL_BAD, "%s: n_heads %d x head_dim %d is too large", name, f->n_heads, f->head_dim);
    if (f->n_layers > 1 << 24)
        return ll_fail(err, LL_BAD, "%s: n_layers is %d, more than %d", name, f->n_layers, 1 << 24);
    if (!(f->norm_eps >= 0 && f->norm_eps <= 1))
        return ll_fail(err, LL_BAD, "%s: norm_eps is %g, not between 0 and 1", name, (double)f->norm_eps);
    if (!(f->rope_theta > 0 && f->rope_theta <= FLT_MAX))
        return ll_fail(err, LL_BAD, "%s: rope_theta is %g, not above 0", name, (double)f->rope_theta);
    return ll_check_extras(f, name, err);
}

/* The seven int32 that all versions share; the rest is what llama2.c's models were trained with. */
static int ll_read_config(llama_config *f, const unsigned char *p, const char *name, llama_error *err) {
    f->dim = ll_i32(p), f->hidden_dim = ll_i32(p + 4), f->n_layers = ll_i32(p + 8), f->n_heads = ll_i32(p + 12);
    f->n_kv_heads = ll_i32(p + 16), f->vocab_size = ll_i32(p + 20), f->seq_len = ll_i32(p + 24);
    if (f->dim > 0 && f->dim <= 1 << 28 && f->n_heads > 0 && f->dim % f->n_heads) /* else ll_check_config says more */
        return ll_fail(err, LL_BAD, "%s: dim %d is no multiple of n_heads %d", name, f->dim, f->n_heads);
    f->head_dim = f->n_heads > 0 ? f->dim / f->n_heads : 1;
    f->norm_eps = 1e-5f;
    f->rope_theta = 10000.0f;
    return 0;
}

/* In the order of a .llama file, which is about that of use, so that a forward pass reads it from front to back. */
/* clang-format off */
typedef enum {
    LL_ROPE_FREQUENCIES, LL_ROPE_AMPLITUDES, LL_FINAL_NORM, LL_EMBEDDING, LL_CLASSIFIER,
    LL_ATTENTION_NORM, LL_FFN_NORM, LL_Q_BIAS, LL_K_BIAS, LL_V_BIAS, LL_O_BIAS, LL_Q_NORM, LL_K_NORM,
    LL_ATTENTION_POST_NORM, LL_FFN_POST_NORM, LL_WQ, LL_WK, LL_WV, LL_WO, LL_ROUTER, LL_W1, LL_W3, LL_W2,
    LL_TENSORS, LL_OF_LAYER = LL_ATTENTION_NORM
} ll_tensor_id;

typedef struct { /* a tensor, as the configuration wants it */
    const char *name;
    int rows, cols, vector; /* rows 0: this model has it not */
    size_t field;           /* which of llama_model, or of ll_layer */
} ll_tensor;

/* Whole tiles: a kernel writes 16 numbers at a time, and experts are stacked so. */
static size_t ll_pad(int n) { return ((size_t)n + 15) / 16 * 16; }

static ll_tensor ll_tensor_of(const llama_config *f, int id, int layer) {
    const int q = f->n_heads * f->head_dim, kv = f->n_kv_heads * f->head_dim, x = f->extras, d = f->dim;
    const int mixture = f->layers && f->layers[layer].experts ? f->n_experts : 0;
    const int hidden = mixture ? mixture * (int)ll_pad(f->expert_dim) : f->hidden_dim;
    const int down = mixture ? mixture * (int)ll_pad(d) : d, inner = mixture ? f->expert_dim : hidden;
    const int turns = ll_ropes(f) * (f->head_dim / 2), pre = !(x & LLAMA_NO_PRE_NORM), post = !!(x & LLAMA_POST_NORM);
    const int qkv_bias = !!(x & LLAMA_QKV_BIAS), wide = x & LLAMA_WIDE_NORM, qk_norm = wide || x & LLAMA_HEAD_NORM;
    const ll_tensor tensor[LL_TENSORS] = {
        {"rope_frequencies", 1, turns, 1, offsetof(llama_model, rope_frequencies)},
        {"rope_amplitudes", !!(x & LLAMA_ROPE_AMPLITUDES), turns, 1, offsetof(llama_model, rope_amplitudes)},
        {"final_norm", 1, d, 1, offsetof(llama_model, final_norm)},
        {"embedding", f->vocab_size, d, 0, offsetof(llama_model, embedding)},
        {"classifier", f->shared_classifier ? 0 : f->vocab_size, d, 0, offsetof(llama_model, classifier)},
        {"attention_norm", pre, d, 1, offsetof(ll_layer, attention_norm)},
        {"ffn_norm", pre, d, 1, offsetof(ll_layer, ffn_norm)},
        {"q_bias", qkv_bias, q, 1, offsetof(ll_layer, q_bias)},
        {"k_bias", qkv_bias, kv, 1, offsetof(ll_layer, k_bias)},
        {"v_bias", qkv_bias, kv, 1, offsetof(ll_layer, v_bias)},
        {"o_bias", !!(x & LLAMA_O_BIAS), d, 1, offsetof(ll_layer, o_bias)},
        {"q_norm", qk_norm, wide ? q : f->head_dim, 1, offsetof(ll_layer, q_norm)},
        {"k_norm", qk_norm, wide ? kv : f->head_dim, 1, offsetof(ll_layer, k_norm)},
        {"attention_post_norm", post, d, 1, offsetof(ll_layer, attention_post_norm)},
        {"ffn_post_norm", post, d, 1, offsetof(ll_layer, ffn_post_norm)},
        {"wq", q, d, 0, offsetof(ll_layer, wq)},
        {"wk", kv, d, 0, offsetof(ll_layer, wk)},
        {"wv", kv, d, 0, offsetof(ll_layer, wv)},
        {"wo", d, q, 0, offsetof(ll_layer, wo)},
        {"router", mixture, d, 0, offsetof(ll_layer, router)},
        {"w1", hidden, d, 0, offsetof(ll_layer, w1)},
        {"w3", hidden, d, 0, offsetof(ll_layer, w3)},
        {"w2", down, inner, 0, offsetof(ll_layer, w2)}};
    return tensor[id];
}
/* clang-format on */

/* Where a tensor of a loaded model is: an ll_matrix, or a vector's const float *. */
static void *ll_tensor_at(llama_model *m, int id, int layer) {
    void *base = id < LL_OF_LAYER ? (void *)m : (void *)&m->layers[layer];
    return (char *)base + ll_tensor_of(&m->config, id, layer).field;
}

/* ---- llama2.c's formats ---- */

/* clang-format off */
/* The orders in which export.py's forms wrote tensors, each of all layers before the next. Version 0 has rotary tables
 * before the classifier. */
static const unsigned char ll_order_v0[] = {LL_EMBEDDING, LL_ATTENTION_NORM, LL_WQ, LL_WK, LL_WV, LL_WO, LL_FFN_NORM,
                                            LL_W1, LL_W2, LL_W3, LL_FINAL_NORM, LL_CLASSIFIER};
static const unsigned char ll_order_v1[] = {LL_ATTENTION_NORM, LL_FFN_NORM, LL_FINAL_NORM, LL_EMBEDDING, LL_WQ, LL_WK,
                                            LL_WV, LL_WO, LL_W1, LL_W2, LL_W3, LL_CLASSIFIER};
/* clang-format on */

/* group 0: all is float32. */
static void ll_lay_out(llama_model *m, ll_reader *r, const unsigned char *order, size_t group) {
    const llama_config *f = &m->config;
    for (int i = 0; i < (int)sizeof ll_order_v0; i++) {
        const size_t tables = order == ll_order_v0 && order[i] == LL_CLASSIFIER ? (size_t)f->seq_len : 0;
        ll_take(r, tables * (size_t)f->head_dim, sizeof(float));
        for (int l = 0; l < (order[i] < LL_OF_LAYER ? 1 : f->n_layers); l++) {
            const ll_tensor t = ll_tensor_of(f, order[i], l);
            void *at = ll_tensor_at(m, order[i], l);
            if (t.vector) *(const float **)at = (const float *)ll_take(r, (size_t)t.cols, sizeof(float));
            else if (t.rows) *(ll_matrix *)at = ll_take_matrix(r, t.rows, t.cols, group);
        }
    }
    if (f->shared_classifier) m->classifier = m->embedding;
}

/* Every tensor must be whole groups; those of one shape are looked at once. */
static int ll_check_group(const llama_config *f, int group, const char *name, llama_error *err) {
    const int q = f->n_heads * f->head_dim, kv = f->n_kv_heads * f->head_dim;
    const int rows[] = {f->vocab_size, q, kv, f->hidden_dim};
    if (group < 1) return ll_fail(err, LL_BAD, "%s: group size is %d, not 1 or more", name, group);
    for (int i = 0; i < 4; i++)
        if (ll_mul((size_t)rows[i], (size_t)f->dim) % (size_t)group)
            return ll_fail(err, LL_BAD, "%s: group size %d does not divide a tensor of %d x %d", name, group, rows[i],
                           f->dim);
    return 0;
}

static size_t ll_matrix_bytes(ll_type type, int rows, int cols);

/* What a matrix takes where it lies. */
static size_t ll_bytes_of(const ll_matrix *m) {
    const size_t count = (size_t)m->rows * (size_t)m->cols;
    return m->type == LL_Q8_ROWS ? count + count / m->group * sizeof(float)
                                 : ll_matrix_bytes(m->type, m->rows, m->cols);
}

/* Bytes of weights that one token reads: everything but the embedding's other rows. Memory's bandwidth divided by this
 * is the most tokens that a second can bring. */
static uint64_t ll_weight_bytes(llama_model *m) {
    const llama_config *f = &m->config;
    uint64_t sum = ll_bytes_of(&m->classifier) + (uint64_t)f->dim * sizeof(float);
    for (int l = 0; l < f->n_layers; l++)
        for (int id = LL_OF_LAYER; id < LL_TENSORS; id++) {
            const ll_tensor t = ll_tensor_of(f, id, l);
            const int mixture = id > LL_ROUTER && f->layers[l].experts;
            const uint64_t used = mixture ? (uint64_t)f->n_experts_used : 1, of = mixture ? (uint64_t)f->n_experts : 1;
            if (t.vector) sum += (uint64_t)t.rows * (uint64_t)t.cols * sizeof(float);
            else if (t.rows) sum += ll_bytes_of((const ll_matrix *)ll_tensor_at(m, id, l)) / of * used;
        }
    return sum;
}

/* What a file is that is no checkpoint, from its first bytes; NULL if that does not show. */
static const char *ll_other_format(const unsigned char *p, size_t size) {
    static const char *const known[][2] = {{"GGUF", "a GGUF file (tools/convert reads it)"},
                                           {"PK\3\4", "a zip archive, perhaps of PyTorch weights"},
                                           {"<", "a web page"},
                                           {"{", "JSON text"},
                                           {"version https://git-lfs", "a Git LFS pointer, not the file itself"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (size >= strlen(known[i][0]) && !memcmp(p, known[i][0], strlen(known[i][0]))) return known[i][1];
    return NULL;
}

/* 1 if numbers lie in memory as they do in files: floats are used without being turned around. */
static int ll_is_little_endian(void) {
    const uint32_t one = 1;
    return *(const unsigned char *)&one;
}

/* The layers, and behind them their kinds and room for as many frequencies: none for a format that has its own. */
static int ll_new_layers(llama_model *m, int frequencies, const char *name, llama_error *err) {
    llama_config *f = &m->config;
    const size_t bytes = ll_mul((size_t)f->n_layers, sizeof(ll_layer) + sizeof(llama_layer_kind));
    m->layers = (ll_layer *)ll_alloc(&m->allocator, ll_add(bytes, (size_t)frequencies * sizeof(float)));
    if (!m->layers) return ll_fail(err, LLAMA_NO_MEMORY, "%s: no memory for %d layers", name, f->n_layers);
    memset(m->layers, 0, bytes);
    f->layers = m->kinds = (llama_layer_kind *)(void *)(m->layers + f->n_layers);
    float *frequency = (float *)(void *)(m->kinds + f->n_layers);
    for (int i = 0; i < frequencies; i++) frequency[i] = (float)pow(f->rope_theta, -2.0 * i / f->head_dim);
    m->rope_frequencies = frequency;
    return 0;
}

/* The size of a llama2.c file with this header: checked before anything is allocated that the file only claims. */
static size_t ll_implied_size(const llama_config *f, int version, int group) {
    const size_t dim = (size_t)f->dim, q = (size_t)(f->n_heads * f->head_dim),
                 kv = (size_t)(f->n_kv_heads * f->head_dim);
    const size_t layers = (size_t)f->n_layers, rows = 2 * q + 2 * kv + 3 * (size_t)f->hidden_dim;
    const size_t norms = ll_mul(dim, ll_add(ll_mul(2, layers), 1));
    const size_t matrices =
        ll_mul(dim, ll_add(ll_mul(rows, layers), ll_mul((size_t)f->vocab_size, f->shared_classifier ? 1 : 2)));
    const size_t tables = version ? 0 : ll_mul((size_t)f->seq_len, (size_t)f->head_dim); /* cosines and sines */
    const size_t floats = ll_add(ll_add(norms, tables), version == 2 ? matrices / (size_t)group : matrices);
    return ll_add(ll_add(version ? 256 : 28, ll_mul(floats, sizeof(float))), version == 2 ? matrices : 0);
}

/* What is wrong is said of the first field that is wrong, and nothing is believed that the file's size contradicts. */
static int ll_parse_llama2c(llama_model *m, const char *name, llama_error *err) {
    llama_config *f = &m->config;
    ll_reader r = {m->file, m->file_size, 28};
    const unsigned char *p = r.data;
    int version = 0, group = 0;
    if (r.size < 28) return ll_fail(err, LL_BAD, "%s: %zu bytes are too few for a checkpoint's header", name, r.size);
    if (ll_u32(p) == 0x616b3432) { /* "24ka" */
        if (r.size < 256) return ll_fail(err, LL_BAD, "%s: %zu bytes, shorter than the 256-byte header", name, r.size);
        version = ll_i32(p + 4);
        if (version != 1 && version != 2)
            return ll_fail(err, LL_BAD, "%s: version is %d, known are 0, 1 and 2", name, version);
        r.at = 256;
    }
    if (ll_read_config(f, version ? p + 8 : p, name, err)) return -1;
    if (version) {
        if (p[36] > 1) return ll_fail(err, LL_BAD, "%s: shared_classifier is %d, not 0 or 1", name, p[36]);
        f->shared_classifier = p[36];
    } else {
        f->shared_classifier = f->vocab_size > 0; /* a negative size says that it is not */
        if (f->vocab_size < 0 && f->vocab_size > -INT_MAX) f->vocab_size = -f->vocab_size;
    }
    if (ll_check_config(f, name, err)) return -1;
    if (version == 2) {
        group = ll_i32(p + 37); /* right behind the flag: unaligned in the format itself */
        if (ll_check_group(f, group, name, err)) return -1;
    }
    const size_t implied = ll_implied_size(f, version, group);
    if (implied == SIZE_MAX)
        return ll_fail(err, LL_BAD, "%s: the header implies more bytes than memory can address", name);
    if (implied != r.size)
        return ll_fail(err, LL_BAD, "%s: the file has %zu bytes, its header implies %zu%s", name, r.size, implied,
                       implied > r.size ? ": cut short?" : "");
    if (ll_new_layers(m, f->head_dim / 2, name, err)) return -1;
    ll_lay_out(m, &r, version ? ll_order_v1 : ll_order_v0, (size_t)group);
    static const char *const formats[] = {"llama2.c version 0", "llama2.c version 1", "llama2.c version 2"};
    f->format = formats[version];
    return 0;
}

/* ---- .llama ---- */

static const char ll_magic[] = "llama.c\n";
enum { LL_HEADER = 256, LL_HEADER_1 = 128, LL_KIND = 16, LL_ENTRY = 64 }; /* bytes; LL_HEADER_1: of version 1 */

/* Checks an entry of the table against what it must be; its tensor begins at or behind *end, and moves it. */
static int ll_read_tensor(llama_model *m, const unsigned char *p, int id, int layer, uint64_t *end, const char *name,
                          llama_error *err) {
    const ll_tensor want = ll_tensor_of(&m->config, id, layer);
    char got[33] = {0}, wanted[33] = {0}; /* all 32 bytes are compared */
    memcpy(got, p, 32);
    if (id < LL_OF_LAYER) snprintf(wanted, sizeof wanted, "%s", want.name);
    else snprintf(wanted, sizeof wanted, "layers.%d.%s", layer & 0xffffff, want.name);
    if (memcmp(p, wanted, 32)) return ll_fail(err, LL_BAD, "%s: a tensor is \"%s\", not \"%s\"", name, got, wanted);
    const uint32_t code = ll_u32(p + 32), rows = ll_u32(p + 36), cols = ll_u32(p + 40);
    const uint64_t offset = ll_u64(p + 48), size = ll_u64(p + 56);
    const ll_type low = want.vector ? LL_F32_ROWS : LL_F32, high = want.vector || id == LL_ROUTER ? low : LL_Q6;
    if (code < (uint32_t)low || code > (uint32_t)high)
        return ll_fail(err, LL_BAD, "%s: tensor %s has type %" PRIu32 ", not %d to %d", name, got, code, low, high);
    if (rows != (uint32_t)want.rows || cols != (uint32_t)want.cols)
        return ll_fail(err, LL_BAD, "%s: tensor %s is %" PRIu32 " x %" PRIu32 ", the header implies %d x %d", name, got,
                       rows, cols, want.rows, want.cols);
    const size_t bytes = ll_matrix_bytes((ll_type)code, want.rows, want.cols);
    if (size != bytes)
        return ll_fail(err, LL_BAD, "%s: tensor %s has size %" PRIu64 ", its type and shape imply %zu", name, got, size,
                       bytes);
    if (offset % 64)
        return ll_fail(err, LL_BAD, "%s: tensor %s has offset %" PRIu64 ", no multiple of 64", name, got, offset);
    if (offset < *end || offset > m->file_size || size > m->file_size - offset)
        return ll_fail(err, LL_BAD,
                       "%s: tensor %s takes bytes %" PRIu64 " + %" PRIu64 ", allowed are %" PRIu64 " to %zu%s", name,
                       got, offset, size, *end, m->file_size, offset < *end ? "" : ": cut short?");
    *end = offset + size;
    const ll_matrix read = {m->file + (size_t)offset, NULL, 0, want.rows, want.cols, (ll_type)code};
    if (want.vector) *(const float **)ll_tensor_at(m, id, layer) = (const float *)read.data;
    else *(ll_matrix *)ll_tensor_at(m, id, layer) = read;
    return 0;
}

/* Reads the table of count entries at p into the model. Products that share an input must share a type. */
static int ll_read_table(llama_model *m, const unsigned char *p, uint64_t count, uint64_t end, const char *name,
                         llama_error *err) {
    const llama_config *f = &m->config;
    uint64_t n = 0;
    for (int l = -1; l < f->n_layers; l++) {
        const int layer = l < 0 ? 0 : l;
        for (int id = l < 0 ? 0 : LL_OF_LAYER; id < (l < 0 ? LL_OF_LAYER : LL_TENSORS); id++)
            if (ll_tensor_of(f, id, layer).rows && n++ < count &&
                ll_read_tensor(m, p + (n - 1) * LL_ENTRY, id, layer, &end, name, err))
                return -1;
        const ll_layer *w = &m->layers[layer];
        if (w->wk.type != w->wq.type || w->wv.type != w->wq.type || w->w3.type != w->w1.type)
            return ll_fail(err, LL_BAD, "%s: layer %d: the types of wq, wk, wv, or of w1, w3, differ", name, l);
    }
    if (n != count)
        return ll_fail(err, LL_BAD, "%s: %" PRIu64 " tensors are too %s for %d layers", name, count,
                       count < n ? "few" : "many", f->n_layers);
    if (f->shared_classifier) m->classifier = m->embedding;
    if (end != m->file_size)
        return ll_fail(err, LL_BAD, "%s: the file has %zu bytes, its tensors end at %" PRIu64, name, m->file_size, end);
    return 0;
}

/* What version 2 adds to the header. */
static int ll_read_extras(llama_config *f, const unsigned char *p, const char *name, llama_error *err) {
    int *const field[] = {&f->n_experts, &f->n_experts_used, &f->expert_dim, &f->n_ropes, &f->rope_short};
    f->extras = ll_i32(p + 76);
    f->attention_scale = ll_f32(p + 80), f->embedding_scale = ll_f32(p + 84);
    f->score_cap = ll_f32(p + 88), f->logit_cap = ll_f32(p + 92);
    for (int i = 0; i < 5; i++) *field[i] = ll_i32(p + 96 + 4 * i);
    f->hash = ll_u64(p + 120);
    memcpy(f->architecture, p + 128, sizeof f->architecture);
    for (int i = 116; i < LL_HEADER; i++) /* letters with a zero behind them, and zeros around */
        if ((i < 120 || i >= 159 || (i >= 128 && (p[i] < 32 || p[i] > 126))) && p[i])
            return ll_fail(err, LL_BAD, "%s: byte %d of the header is %d: of a later version?", name, i, p[i]);
    return 0;
}

/* The kinds of the layers, at p. */
static int ll_read_kinds(llama_model *m, const unsigned char *p, const char *name, llama_error *err) {
    const llama_config *f = &m->config;
    for (int l = 0, ropes = f->n_ropes ? f->n_ropes : 1; l < f->n_layers; l++, p += LL_KIND) {
        llama_layer_kind *k = &m->kinds[l];
        char layer[160];
        snprintf(layer, sizeof layer, "%.120s: layer %d", name, l);
        k->rope = ll_i32(p), k->window = ll_i32(p + 4), k->experts = ll_i32(p + 8);
        if (ll_check_range(layer, "rope", k->rope, 0, ropes - 1, err) ||
            ll_check_range(layer, "window", k->window, 0, 1 << 28, err) ||
            ll_check_range(layer, "experts", k->experts, 0, f->n_experts > 0, err) ||
            ll_check_range(layer, "what follows", ll_i32(p + 12), 0, 0, err))
            return -1;
    }
    return 0;
}

/* The header, then the table. The fields have the places that the specification above gives them. */
static int ll_parse_llama(llama_model *m, const char *name, llama_error *err) {
    llama_config *f = &m->config;
    const unsigned char *p = m->file;
    if (m->file_size < LL_HEADER_1)
        return ll_fail(err, LL_BAD, "%s: %zu bytes, shorter than the %d-byte header", name, m->file_size, LL_HEADER_1);
    const uint32_t version = ll_u32(p + 8);
    if (version != 1 && version != 2)
        return ll_fail(err, LL_BAD, "%s: version of the format is %" PRIu32 ", known are 1 and 2", name, version);
    const size_t header = version == 1 ? LL_HEADER_1 : LL_HEADER;
    if (m->file_size < header)
        return ll_fail(err, LL_BAD, "%s: %zu bytes, shorter than the %zu-byte header", name, m->file_size, header);
    if (ll_u32(p + 12) > 1)
        return ll_fail(err, LL_BAD, "%s: shared_classifier is %" PRIu32 ", not 0 or 1", name, ll_u32(p + 12));
    int *const field[] = {&f->dim,        &f->hidden_dim, &f->n_layers,   &f->n_heads,
                          &f->n_kv_heads, &f->head_dim,   &f->vocab_size, &f->seq_len};
    for (int i = 0; i < 8; i++) *field[i] = ll_i32(p + 16 + 4 * i);
    f->shared_classifier = (int)ll_u32(p + 12);
    f->norm_eps = ll_f32(p + 48), f->rope_theta = ll_f32(p + 52);
    if (version > 1 && ll_read_extras(f, p, name, err)) return -1;
    if (ll_check_config(f, name, err)) return -1;
    const uint64_t kinds = version == 1 ? 0 : LL_KIND * (uint64_t)f->n_layers, count = ll_u32(p + 72);
    uint64_t end = header + kinds + count * LL_ENTRY;
    if (end > m->file_size || (uint64_t)f->n_layers > count)
        return ll_fail(err, LL_BAD, "%s: %zu bytes, a table of %" PRIu64 " tensors for %d layers: cut short?", name,
                       m->file_size, count, f->n_layers);
    if (ll_new_layers(m, 0, name, err) || (kinds && ll_read_kinds(m, p + header, name, err))) return -1;
    const uint64_t tokenizer = ll_u64(p + 56), size = ll_u64(p + 64);
    if (size) {
        if (tokenizer < end || tokenizer > m->file_size || size > m->file_size - tokenizer)
            return ll_fail(err, LL_BAD,
                           "%s: the tokenizer takes bytes %" PRIu64 " + %" PRIu64 ", allowed are %" PRIu64 " to %zu",
                           name, tokenizer, size, end, m->file_size);
        m->tokenizer = (size_t)tokenizer, m->tokenizer_size = (size_t)size;
        end = tokenizer + size;
    }
    if (ll_read_table(m, p + header + kinds, count, end, name, err)) return -1;
    f->format = ".llama";
    return 0;
}

/* Fills m from m->file. name is for messages. */
static int ll_parse(llama_model *m, const char *name, llama_error *err) {
    static const char *const types[] = {"f32", "f32", "bf16", "q8", "q4_0", "q4", "q6", "int8"};
    if (!ll_is_little_endian()) return ll_fail(err, LL_BAD, "%s: checkpoints need a little-endian processor", name);
    const int ours = m->file_size >= 8 && !memcmp(m->file, ll_magic, 8);
    if (ours ? ll_parse_llama(m, name, err) : ll_parse_llama2c(m, name, err)) {
        const char *other = ll_other_format(m->file, m->file_size); /* only now: any bytes may begin a good header */
        return other ? ll_fail(err, LL_BAD, "%s: not a checkpoint but %s", name, other) : -1;
    }
    m->config.weight_type = types[m->layers->wq.type];
    m->config.weight_bytes = ll_weight_bytes(m);
    return 0;
}

/* ==== 2. Number formats =========================================================================
 * A matrix of a .llama file is cut into tiles of LL_TILE rows, rows beyond the last being zero. In a tile a
 * line of 64 bytes holds 4 bytes from each of the 16 rows, of the same columns:
 *
 *     row 0     row 1     row 2           row 15
 *     [ 4 B ]   [ 4 B ]   [ 4 B ]   ...   [ 4 B ]      columns 0 to 3, say
 *     [ 4 B ]   [ 4 B ]   [ 4 B ]   ...   [ 4 B ]      columns 4 to 7
 *
 * One read brings the weights that one activation meets in 16 rows, and each row keeps a sum of its own: nothing is
 * ever added across a line. Decode and prompt read the same bytes, front to back.
 *
 *   f32    a line is 1 column
 *   bf16   a line is 2 columns: the upper half of a float32 each (arXiv:1905.12322); an odd last column is followed
 *          by zero
 *   q8     groups of 64 columns with a scale s for each row, value = s * q, q = -127..127.
 *          A line is 4 columns of int8. The last group is filled up with zeros.
 *   q4_0   groups of 32 columns with a scale s, value = s * (q - 8), q = 0..15. A line is 8 columns:
 *          the low halves of a row's 4 bytes are columns 0 to 3, the high halves 4 to 7.
 *   q4     the same, value = d k ll_q4_values[q]: float32 d of the row, k = -127..127 of the group. Weights are near a
 *          normal distribution, so the sixteen values lie closer where there are more of them.
 *   q6     value = d k (q - 32), q = 0..63: the lower four bits of a group are lines as of q4, the upper two follow in
 *          two more lines: bits 2 m and 2 m + 1 of a row's byte b belong to column 4 m + b of a line's 16.
 *
 * The scales of q8 and q4_0 are float16 (IEEE 754 binary16). Groups come in pairs, first a line with the 16 scales of
 * the one and the 16 of the other, then their lines; the last pair may have one group only. So q8 takes 8 + 16 / 64 =
 * 8.25 bits a weight, q4_0 4 + 16 / 32 = 4.5. A tile of q4 or q6 begins with a line of its 16 d. Then groups come in
 * fours: a line with the 16 int8 k of each, then theirs. So q4 takes 4 + 8 / 32 = 4.25 bits, q6 6.25, and 32 a row.
 *
 * llama2.c's files stay as they lie: rows of float32, or int8 rows with scales in an array of their own.
 */
enum { LL_TILE = 16, LL_LINE = 64, LL_Q8_GROUP = 64, LL_Q4_GROUP = 32 };

/* Those that lose least of normally distributed weights, by Lloyd's method (1982), as whole numbers: none beyond 63, so
 * that 2 x 127 (63 + 64), two products with bytes that are not negative, fit into 16 bits. */
static const signed char ll_q4_values[16] = {-63, -49, -38, -30, -22, -16, -10, -4, 1, 6, 12, 18, 24, 31, 40, 52};

static int ll_groups(int cols, int group) { return (cols + group - 1) / group; }

/* Of a type with groups: columns of one, and the bytes of its lines; how many have their scales in one line. */
static int ll_group(ll_type type) { return type == LL_Q8 ? LL_Q8_GROUP : LL_Q4_GROUP; }
static size_t ll_group_bytes(ll_type type) { return (type == LL_Q8 ? 16 : type == LL_Q6 ? 6 : 4) * LL_LINE; }
static int ll_has_rows(ll_type type) { return type == LL_Q4 || type == LL_Q6; } /* a scale of the row */
static size_t ll_together(ll_type type) { return ll_has_rows(type) ? 4 : 2; }

/* Bytes of one tile: its lines, and those of scales. */
static size_t ll_tile_bytes(ll_type type, int cols) {
    const size_t groups = (size_t)ll_groups(cols, ll_group(type)), together = ll_together(type);
    switch (type) {
    case LL_F32: return (size_t)cols * LL_LINE;
    case LL_BF16: return ((size_t)cols + 1) / 2 * LL_LINE;
    case LL_Q8:
    case LL_Q4_0:
    case LL_Q4:
    case LL_Q6:
        return ((size_t)ll_has_rows(type) + (groups + together - 1) / together) * LL_LINE +
               groups * ll_group_bytes(type);
    default: return 0;
    }
}

/* Bytes of a matrix, or of a vector, which is one row as it lies; SIZE_MAX if that overflows. */
static size_t ll_matrix_bytes(ll_type type, int rows, int cols) {
    if (type == LL_F32_ROWS) return ll_mul(ll_mul((size_t)rows, (size_t)cols), sizeof(float));
    return ll_mul(((size_t)rows + LL_TILE - 1) / LL_TILE, ll_tile_bytes(type, cols));
}

/* bf16 is a float32 without its lower 16 bits: the same range, 8 bits of precision. */
static float ll_from_bf16(uint16_t b) {
    const ll_bits x = {(uint32_t)b << 16};
    return x.f;
}

static uint16_t ll_to_bf16(float f) { /* to nearest, ties to even; nan stays nan */
    ll_bits x;
    x.f = f;
    if (f != f) return (uint16_t)(x.u >> 16 | 64);
    return (uint16_t)((x.u + 0x7fff + (x.u >> 16 & 1)) >> 16);
}

/* float16 has 5 bits of exponent, biased by 15, and 10 of fraction; float32 8, by 127, and 23. So the fraction moves by
 * 13 and the exponent grows by 112. */
static float ll_from_f16(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest < 0x400) return (sign ? -1.0f : 1.0f) * (float)rest / 16777216.0f; /* subnormal: a multiple of 2^-24 */
    const ll_bits x = {sign | (rest >= 0x7c00 ? 0x7f800000 | rest << 13 : (rest << 13) + (112u << 23))};
    return x.f;
}

/* To nearest, ties to even: half of what is cut off is added first, less one if the number is even already. What is
 * too large becomes infinity, what is too small a multiple of 2^-24. */
static uint16_t ll_to_f16(float f) {
    ll_bits x;
    x.f = f;
    const uint16_t sign = (uint16_t)(x.u >> 16 & 0x8000);
    const uint32_t rest = x.u & 0x7fffffff;
    if (rest > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (rest >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    if (rest < 0x38800000) return (uint16_t)(sign | (uint16_t)lrintf(fabsf(f) * 16777216.0f));
    return (uint16_t)(sign | ((rest - (112u << 23) + 0xfff + (rest >> 13 & 1)) >> 13));
}

static uint16_t ll_u16(const unsigned char *p) { return (uint16_t)(p[0] | p[1] << 8); }

/* The lines of group g of a tile, and the scale of its row r. */
static const unsigned char *ll_group_at(ll_type type, const unsigned char *tile, int g) {
    const size_t together = ll_together(type), lines = (size_t)ll_has_rows(type) + (size_t)g / together + 1;
    return tile + lines * LL_LINE + (size_t)g * ll_group_bytes(type);
}
static float ll_group_scale(ll_type type, const unsigned char *tile, int g, int r) {
    const int n = (int)ll_together(type), i = g % n; /* of groups whose scales share a line, before the first */
    const unsigned char *scales = ll_group_at(type, tile, g - i) - LL_LINE + i * LL_LINE / n;
    return ll_has_rows(type) ? ll_f32(tile + 4 * r) * (float)(signed char)scales[r]
                             : ll_from_f16(ll_u16(scales + 2 * r));
}

/* What column i of row r in a group's lines is, times the scale. */
static int ll_code(ll_type type, const unsigned char *lines, int i, int r) {
    if (type == LL_Q8) return (signed char)lines[i / 4 * LL_LINE + 4 * r + i % 4];
    const int q = lines[i / 8 * LL_LINE + 4 * r + i % 4] >> (i % 8 / 4 * 4) & 15;
    const int upper = type == LL_Q6 ? lines[(4 + i / 16) * LL_LINE + 4 * r + i % 4] >> (i % 16 / 4 * 2) & 3 : 0;
    return type == LL_Q4 ? ll_q4_values[q] : type == LL_Q6 ? q + 16 * upper - 32 : q - 8;
}

/* out (cols) = row r of a tile. This function and the picture above are the definition of the formats. */
static void ll_unpack_tiled(ll_type type, const unsigned char *tile, int r, int cols, float *out) {
    const unsigned char *row = tile + 4 * r;
    const int group = ll_group(type);
    if (type == LL_F32)
        for (int k = 0; k < cols; k++) out[k] = ll_f32(row + (size_t)k * LL_LINE);
    else if (type == LL_BF16)
        for (int k = 0; k < cols; k++) out[k] = ll_from_bf16(ll_u16(row + (size_t)(k / 2) * LL_LINE + 2 * (k % 2)));
    else
        for (int g = 0, k = 0; k < cols; g++) {
            const unsigned char *lines = ll_group_at(type, tile, g);
            const float scale = ll_group_scale(type, tile, g, r);
            for (int i = 0; i < group && k < cols; i++, k++) out[k] = scale * (float)ll_code(type, lines, i, r);
        }
}

/* Values [begin, begin + count) of a tensor of llama2.c's version 2, whose groups may cross rows. */
static void ll_unpack_q8(const ll_matrix *m, size_t begin, size_t count, float *out) {
    const signed char *q = (const signed char *)m->data;
    for (size_t i = begin, end = begin + count; i < end;) {
        const size_t g = i / m->group, stop = (g + 1) * m->group < end ? (g + 1) * m->group : end;
        const float scale = ll_f32(m->scales + g * sizeof(float));
        for (; i < stop; i++) *out++ = (float)q[i] * scale;
    }
}

/* out (cols) = row of m. */
static void ll_unpack_row(const ll_matrix *m, int row, float *out) {
    const size_t begin = (size_t)row * (size_t)m->cols, count = (size_t)m->cols;
    if (m->type == LL_F32_ROWS) memcpy(out, (const float *)m->data + begin, count * sizeof(float));
    else if (m->type == LL_Q8_ROWS) ll_unpack_q8(m, begin, count, out);
    else
        ll_unpack_tiled(m->type,
                        (const unsigned char *)m->data + (size_t)(row / LL_TILE) * ll_tile_bytes(m->type, m->cols),
                        row % LL_TILE, m->cols, out);
}

/* ==== 3. Operations =============================================================================
 * What a forward pass does again and again. The loops here are plain C: they say what is computed, in a few lines each,
 * and are the definition that all others are tested against. Room 7 computes the same faster, with sums in another
 * order. Nearly all of the time goes into one of them, a matrix times a matrix:
 *
 *     out[t][r] = sum over k of a[t][k] * w[r][k]          t: a token, r: a row of the weights, k: a column
 *
 * Each weight is fetched once for a block of tokens, as many as a kernel set can keep sums of. The operations:
 *
 *   pack      brings a block's rows x (tokens, n) into the order, and the precision, that tile reads
 *   tile      out[t][r] (+)= sum over k of a[t][k] * w[r][k]    w is a tile of 16 rows, a a packed block
 *   prompt    the same for many tokens, with `tiles` tiles that follow each other; every LL_STEP columns it fetches the
 *             next `lines` lines from `ahead` on; NULL where tile is as good
 *   scores    tile over the key cache: w is 16 positions' keys, f32 or f16 (n, 16), a packed f32; or all as of q8
 *   mix       tile over the value cache, whose positions lie in a list of pages; rows of a as they lie, LL_KEYS apart.
 *             Its sums go on from page to page, so that they do not depend on where one ends
 *   unpack    makes an f32 tile of up to 16 rows as they lie, stride apart; those that lack are zero
 *   half      float32 to float16
 *   rotate    turns each pair of neighbours by its angle; rope is (n / 2, 2), cosines and sines
 *   dot       out[r] (+)= sum over k of w[r][k] * x[k]          a few rows as they lie, for one token
 *   softmax   max = max(max, x), x = e^(x - max), returns the sum of x
 *   gate      a = silu(a) * b, silu(z) = z / (1 + e^-z), or gelu(a) * b    (arXiv:2002.05202, 1606.08415)
 *
 * What pack makes of t tokens, by the type of the weights:
 *
 *   f32      (n, t) float32
 *   bf16     (n / 2, t, 2) bf16; rounded, but as f32, where there are no instructions for it
 *   others   for each group of columns: (t, group) int8; (t) float32, the scales; (t) int32, the sum of the int8 times
 *            -128, of q4_0 -8, of q4 -64, of q6 -32: what must be added where a processor multiplies weights as
 *            unsigned bytes, so much too large
 *
 * Activations are rounded to int8 for those, a scale for each group: its largest magnitude / 127. Products of
 * integers are exact, so the rounding of weights and of activations is all that is lost.
 */
enum {
    LL_BLOCK = 12,  /* most tokens of any set's block */
    LL_KEYS = 256,  /* positions that attention takes at once */
    LL_LOGITS = 64, /* most rows of logits at once */
    LL_STEP = 32,   /* columns after which a prompt's kernel fetches some of what comes next */
    LL_ADD = 1      /* an operation's result is added to out */
};

typedef void ll_pack_fn(void *out, const float *x, size_t stride, int n, int tokens);
typedef void ll_tile_fn(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens, int add);
typedef void ll_prompt_fn(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens, int add,
                          const void *ahead, int lines);
typedef struct { /* 16 numbers each of n values: LLAMA_PAGE of them in a page, `offset` bytes behind its begin */
    const unsigned char *const *page;
    size_t offset;
} ll_values;
typedef void ll_mix_fn(float *out, size_t out_stride, const ll_values *w, const float *a, int n, int tokens, int add);
typedef void ll_dot_fn(float *out, const float *w, const float *x, int n, int rows, int add);
typedef void ll_unpack_fn(float *tile, const float *w, size_t stride, int n, int rows);
typedef void ll_half_fn(uint16_t *out, const float *x, int n);
typedef void ll_rotate_fn(float *x, const float *rope, int n);
typedef float ll_softmax_fn(float *x, int n, float *max);
typedef void ll_gate_fn(float *a, const float *b, int n);

/* What the kv cache is kept in. */
enum { LL_KV_F32, LL_KV_F16, LL_KV_Q8, LL_N_KV };
static int ll_kv_size(int kv) { return kv == LL_KV_F32 ? 4 : kv == LL_KV_F16 ? 2 : 1; } /* bytes of a value's number */

/* The table of operations: one for each kernel set. The forward pass calls nothing of what takes time but through it.
 */
typedef struct {
    ll_pack_fn *pack;
    ll_tile_fn *tile;
    ll_prompt_fn *prompt;
    int block, tiles; /* most tokens, at most LL_BLOCK; tiles of prompt */
} ll_product_kernels;

typedef struct {
    const char *name;
    ll_product_kernels type[LL_Q6 + 1]; /* from LL_F32 on */
    ll_tile_fn *scores[LL_N_KV];        /* by the type of the cache */
    ll_mix_fn *mix[LL_N_KV];
    int queries[LL_N_KV]; /* that scores and mix take at once, at most LL_BLOCK */
    ll_unpack_fn *unpack;
    ll_half_fn *half;
    ll_rotate_fn *rotate;
    ll_dot_fn *dot;
    ll_softmax_fn *softmax;
    ll_gate_fn *gate[2]; /* silu, gelu */
} ll_kernels;

/* The set of that name, or the fastest if name is NULL; NULL if this processor or build has none such. The only door
 * between what is computed and how fast: it is the last function of room 7. */
static const ll_kernels *ll_find_kernels(const char *name);

/* ---- e^x, softmax, SwiGLU, rotation ---- */

/* e^x to 2 units in the last place, for x clamped to [-87, 88]; nan stays nan. With x = i ln 2 + f, |f| <= ln 2 / 2,
 * e^x = 2^i e^f: 2^i is a float's exponent bits, e^f a polynomial. Not libm's expf, because many of these are computed
 * side by side, and because it gives the same bits on every platform. */
static float ll_exp(float x) {
    float z = x > -87.0f ? x : -87.0f;
    z = z < 88.0f ? z : 88.0f;
    const float y = z * 1.44269504f;
    const int i = (int)(y + 127.5f) - 127; /* positive before the cast: truncation rounds */
    const float f = (z - (float)i * 0.693359375f) + (float)i * 2.12194440e-4f; /* ln 2 in two parts */
    float p = 1.9875691500e-4f;
    p = p * f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1.0f;
    const ll_bits scale = {(uint32_t)(i + 127) << 23};
    return x == x ? p * scale.f : x;
}

/* softmax(x)_i = e^x_i / sum of all e^x. Subtracting the maximum first changes no quotient, and nothing overflows. The
 * division is left to the caller, who may have more numbers to come, and so a larger maximum. */
static float ll_softmax_plain(float *x, int n, float *max) {
    float top = *max, sum = 0;
    for (int i = 0; i < n; i++) top = x[i] > top ? x[i] : top;
    for (int i = 0; i < n; i++) x[i] = ll_exp(x[i] - top);
    for (int i = 0; i < n; i++) sum += x[i];
    *max = top;
    return sum;
}

/* a = silu(a) * b: a soft gate, near 0 for a << 0 and near a for a >> 0, decides how much of b passes. */
static void ll_swiglu_plain(float *a, const float *b, int n) {
    for (int i = 0; i < n; i++) a[i] = a[i] / (1.0f + ll_exp(-a[i])) * b[i];
}

/* gelu(z) = z / 2 (1 + tanh u), u = sqrt(2 / pi) (z + 0.044715 z^3); (1 + tanh u) / 2 is 1 / (1 + e^-2u). */
static void ll_geglu_plain(float *a, const float *b, int n) {
    for (int i = 0; i < n; i++) a[i] = a[i] / (1.0f + ll_exp(-a[i] * (1.59576912f + 0.07135481f * a[i] * a[i]))) * b[i];
}

/* x = cap tanh(x / cap): near 0 as it is, never beyond the cap (arXiv:2408.00118). */
static void ll_cap(float *x, int n, float cap) {
    for (int i = 0; i < n; i++) x[i] = cap - 2 * cap / (1 + ll_exp(2 * x[i] / cap));
}

/* A pair (a, b) as the complex number a + ib, times cos + i sin: it turns by the angle and keeps its length. */
static void ll_rotate_plain(float *x, const float *rope, int n) {
    for (int i = 0; i + 2 <= n; i += 2) {
        const float a = x[i], b = x[i + 1], cosine = rope[i], sine = rope[i + 1];
        x[i] = a * cosine - b * sine;
        x[i + 1] = a * sine + b * cosine;
    }
}

/* ---- f32 ---- */

/* (tokens, n) becomes (n, tokens): what meets one column of weights lies side by side. */
static void ll_pack_f32(void *out, const float *x, size_t stride, int n, int tokens) {
    float *a = (float *)out;
    for (size_t k = 0; k < (size_t)n; k++)
        for (size_t t = 0; t < (size_t)tokens; t++) *a++ = x[t * stride + k];
}

/* The tile product; a is packed. Eight rows at a time: so many sums a compiler keeps at hand. */
static void ll_tile_plain(float *out, size_t out_stride, const float *w, const float *a, int n, int tokens, int add) {
    for (int t = 0; t < tokens; t++, out += out_stride)
        for (int half = 0; half < LL_TILE; half += 8) {
            const float *x = a + t, *line = w + half;
            float sum[8] = {0};
            for (int k = 0; k < n; k++, x += tokens, line += LL_TILE)
                for (int r = 0; r < 8; r++) sum[r] += *x * line[r];
            for (int r = 0; r < 8; r++) out[half + r] = add ? out[half + r] + sum[r] : sum[r];
        }
}
static void ll_tile_f32_plain(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens, int add) {
    ll_tile_plain(out, out_stride, (const float *)w, (const float *)a, n, tokens, add);
}

/* Over float16 keys: some lines become float32, then the same again. */
static void ll_tile_f16_plain(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens, int add) {
    float lines[16 * LL_TILE];
    const uint16_t *h = (const uint16_t *)w;
    const float *x = (const float *)a;
    for (int k = 0; k < n; k += 16, h += 16 * LL_TILE, x += 16 * tokens) {
        const int some = n - k < 16 ? n - k : 16;
        for (int i = 0; i < some * LL_TILE; i++) lines[i] = ll_from_f16(h[i]);
        ll_tile_plain(out, out_stride, lines, x, some, tokens, k ? 1 : add);
    }
}

/* The product with values, each number of so many bytes; those of float16 are summed in sixteens too. */
static void ll_mix_plain(float *out, size_t out_stride, const ll_values *w, const float *a, int n, int tokens, int add,
                         int bytes) {
    for (int t = 0; t < tokens; t++, out += out_stride, a += LL_KEYS)
        for (int k = 0, end, sum_up = add; k < n; sum_up = 1) {
            float sum[LL_TILE] = {0};
            for (end = bytes == 2 && n - k > 16 ? k + 16 : n; k < end; k++) {
                const size_t line = (size_t)(k % LLAMA_PAGE * LL_TILE * bytes);
                const unsigned char *v = w->page[k / LLAMA_PAGE] + w->offset + line;
                for (int r = 0; r < LL_TILE; r++, v += bytes)
                    sum[r] += a[k] * (bytes == 4   ? ll_f32(v)
                                      : bytes == 2 ? ll_from_f16(ll_u16(v))
                                                   : (float)*(const signed char *)v);
            }
            for (int r = 0; r < LL_TILE; r++) out[r] = sum_up ? out[r] + sum[r] : sum[r];
        }
}
#define LL_MIX_PLAIN(name, bytes)                                                                                      \
    static void name(float *out, size_t out_stride, const ll_values *w, const float *a, int n, int tokens, int add) {  \
        ll_mix_plain(out, out_stride, w, a, n, tokens, add, bytes);                                                    \
    }
LL_MIX_PLAIN(ll_mix_f32_plain, 4)
LL_MIX_PLAIN(ll_mix_f16_plain, 2)
LL_MIX_PLAIN(ll_mix_q8_plain, 1)
#undef LL_MIX_PLAIN

/* Keys and values become half as many bytes: the cache is read once a token, as the weights are. */
static void ll_half_plain(uint16_t *out, const float *x, int n) {
    for (int i = 0; i < n; i++) out[i] = ll_to_f16(x[i]);
}

/* 16 rows of n become n lines of 16: for weights of llama2.c's files, and for 16 positions' keys. */
static void ll_unpack_tile_plain(float *tile, const float *w, size_t stride, int n, int rows) {
    for (int r = 0; r < LL_TILE; r++)
        for (int k = 0; k < n; k++)
            tile[(size_t)k * LL_TILE + (size_t)r] = r < rows ? w[(size_t)r * stride + (size_t)k] : 0;
}

/* One token and rows as they lie in the file. 16 sums, each of every 16th product, because a compiler may not reorder
 * a sum by itself. */
static void ll_dot_plain(float *out, const float *w, const float *x, int n, int rows, int add) {
    for (int r = 0; r < rows; r++, w += n) {
        float lane[LL_TILE] = {0}, sum = 0;
        int k = 0;
        for (; k + LL_TILE <= n; k += LL_TILE)
            for (int j = 0; j < LL_TILE; j++) lane[j] += w[k + j] * x[k + j];
        for (; k < n; k++) sum += w[k] * x[k];
        for (int j = 0; j < LL_TILE; j++) sum += lane[j];
        out[r] = add ? out[r] + sum : sum;
    }
}

/* ---- bf16: both factors are rounded to it, products and sums are float32 ---- */

/* Two columns at a time, since a line holds two; an odd last one is followed by zero. */
static void ll_pack_bf16(void *out, const float *x, size_t stride, int n, int tokens) {
    uint16_t *a = (uint16_t *)out;
    for (size_t k = 0; k < (size_t)n; k += 2)
        for (size_t t = 0; t < (size_t)tokens; t++) {
            *a++ = ll_to_bf16(x[t * stride + k]);
            *a++ = k + 1 < (size_t)n ? ll_to_bf16(x[t * stride + k + 1]) : 0;
        }
}

static void ll_tile_bf16_plain(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens,
                               int add) {
    for (int t = 0; t < tokens; t++, out += out_stride) {
        const uint16_t *line = (const uint16_t *)w, *x = (const uint16_t *)a + 2 * t;
        float sum[LL_TILE] = {0};
        for (int k = 0; k < n; k += 2, line += 2 * LL_TILE, x += 2 * tokens) {
            const float x0 = ll_from_bf16(x[0]), x1 = ll_from_bf16(x[1]);
            for (int r = 0; r < LL_TILE; r++)
                sum[r] += x0 * ll_from_bf16(line[2 * r]) + x1 * ll_from_bf16(line[2 * r + 1]);
        }
        for (int r = 0; r < LL_TILE; r++) out[r] = add ? out[r] + sum[r] : sum[r];
    }
}

/* ---- q8 and below: w = s q, x = s' q' in groups, so that a group's sum of w x is s s' times a sum of integers ---- */

/* Bytes that a token takes when packed for weights of a type, in whichever set takes most. */
static size_t ll_packed_bytes(ll_type type, int n) {
    switch (type) {
    case LL_BF16: return 8 * (((size_t)n + 1) / 2);
    case LL_Q8: return (size_t)ll_groups(n, LL_Q8_GROUP) * (2 * LL_Q8_GROUP + 8);
    case LL_Q4_0:
    case LL_Q4:
    case LL_Q6: return (size_t)ll_groups(n, LL_Q4_GROUP) * (LL_Q4_GROUP + 8);
    default: return 4 * (size_t)n;
    }
}

/* Whether 127 / max and max / 127 are numbers. */
static int ll_fits_int8(float max) { return max > 1e-30f && max <= FLT_MAX; }

/* q = round(127 x / max |x|) of n <= group values, zeros behind them; returns the sum of q. Of nan and infinity the
 * scale is what remains, and next to nothing becomes nothing: 127 / max must not overflow. */
static int ll_quantize_plain(signed char *q, const float *x, int n, int group, float *scale) {
    float max = 0;
    int sum = 0;
    for (int i = 0; i < n; i++) max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    const float inverse = ll_fits_int8(max) ? 127.0f / max : 0;
    for (int i = 0; i < group; i++) {
        const float v = i < n ? x[i] * inverse : 0;
        const float shifted = v + 12582912.0f; /* 1.5 x 2^23: no bits are left behind the point, ties went to even */
        q[i] = (signed char)(v == v ? shifted - 12582912.0f : 0);
        sum += q[i];
    }
    *scale = max / 127.0f;
    for (int i = 0; i < n; i++) *scale = x[i] == x[i] ? *scale : x[i];
    return sum;
}

/* Token t's n <= group values of one group, into the place for it in a. A set may want its sums to start elsewhere. */
static void ll_pack_int8_group(unsigned char *a, const float *x, int n, int group, int t, int tokens, int offset,
                               int start) {
    float scale;
    const int32_t minus = start - offset * ll_quantize_plain((signed char *)a + t * group, x, n, group, &scale);
    memcpy(a + tokens * group + 4 * t, &scale, 4);
    memcpy(a + tokens * (group + 4) + 4 * t, &minus, 4);
}

/* All groups of all tokens; the last group of a row may be short. */
static void ll_pack_int8(void *out, const float *x, size_t stride, int n, int tokens, int group, int offset) {
    unsigned char *a = (unsigned char *)out;
    for (int k = 0; k < n; k += group, a += (size_t)tokens * (size_t)(group + 8))
        for (int t = 0; t < tokens; t++)
            ll_pack_int8_group(a, x + (size_t)t * stride + k, n - k < group ? n - k : group, group, t, tokens, offset,
                               0);
}
static void ll_pack_q8(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8(out, x, stride, n, tokens, LL_Q8_GROUP, 128);
}
static void ll_pack_q4_0(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8(out, x, stride, n, tokens, LL_Q4_GROUP, 8);
}
static void ll_pack_q4(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8(out, x, stride, n, tokens, LL_Q4_GROUP, 64);
}
static void ll_pack_q6(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8(out, x, stride, n, tokens, LL_Q4_GROUP, 32);
}

/* Sixteen dot products of a group with one token's int8: no sum can leave 32 bits. */
static void ll_dot_group(int *sum, const unsigned char *q, const signed char *x, ll_type type) {
    const int per_line = type == LL_Q8 ? 4 : 8;
    for (int r = 0; r < LL_TILE; r++) sum[r] = 0;
    for (int i = 0; i < ll_group(type); i += per_line) {
        const unsigned char *line = q + i / per_line * LL_LINE, *upper = q + (4 + i / 16) * LL_LINE;
        const int shift = i % 16 / 8 * 4;
        for (int j = 0; j < LL_LINE; j++) {
            const int b = line[j], low = b & 15, high = b >> 4;
            const signed char x0 = x[i + j % 4], x1 = type == LL_Q8 ? 0 : x[i + 4 + j % 4];
            if (type == LL_Q8) sum[j / 4] += (signed char)b * x0;
            else if (type == LL_Q4_0) sum[j / 4] += (low - 8) * x0 + (high - 8) * x1;
            else if (type == LL_Q4) sum[j / 4] += ll_q4_values[low] * x0 + ll_q4_values[high] * x1;
            else {
                const int u = upper[j] >> shift;
                sum[j / 4] += (low + (u & 3) * 16 - 32) * x0 + (high + (u >> 2 & 3) * 16 - 32) * x1;
            }
        }
    }
}

/* out[t][r] = sum over groups g of (sum of q q') * (s[r][g] * s'[t][g]) */
static void ll_tile_groups_plain(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens,
                                 int add, ll_type type) {
    const int group = ll_group(type), groups = ll_groups(n, group);
    const unsigned char *tile = (const unsigned char *)w;
    for (int t = 0; t < tokens; t++, out += out_stride) {
        const unsigned char *x = (const unsigned char *)a;
        float sum[LL_TILE] = {0};
        for (int g = 0; g < groups; g++, x += (size_t)tokens * (size_t)(group + 8)) {
            const float scale = ll_f32(x + tokens * group + 4 * t);
            int dot[LL_TILE];
            ll_dot_group(dot, ll_group_at(type, tile, g), (const signed char *)x + t * group, type);
            for (int r = 0; r < LL_TILE; r++) sum[r] += (float)dot[r] * (ll_group_scale(type, tile, g, r) * scale);
        }
        for (int r = 0; r < LL_TILE; r++) out[r] = add ? out[r] + sum[r] : sum[r];
    }
}
static void ll_tile_q8_plain(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens, int add) {
    ll_tile_groups_plain(out, out_stride, w, a, n, tokens, add, LL_Q8);
}
static void ll_tile_q4_0_plain(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens,
                               int add) {
    ll_tile_groups_plain(out, out_stride, w, a, n, tokens, add, LL_Q4_0);
}
static void ll_tile_q4_plain(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens, int add) {
    ll_tile_groups_plain(out, out_stride, w, a, n, tokens, add, LL_Q4);
}
static void ll_tile_q6_plain(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens, int add) {
    ll_tile_groups_plain(out, out_stride, w, a, n, tokens, add, LL_Q6);
}

/* clang-format off */
static const ll_kernels ll_plain = {"plain",
    {{NULL, NULL, NULL, 0, 0}, {ll_pack_f32, ll_tile_f32_plain, NULL, 8, 1},
     {ll_pack_bf16, ll_tile_bf16_plain, NULL, 8, 1},
     {ll_pack_q8, ll_tile_q8_plain, NULL, 8, 1}, {ll_pack_q4_0, ll_tile_q4_0_plain, NULL, 8, 1},
     {ll_pack_q4, ll_tile_q4_plain, NULL, 8, 1}, {ll_pack_q6, ll_tile_q6_plain, NULL, 8, 1}},
    {ll_tile_f32_plain, ll_tile_f16_plain, ll_tile_q8_plain},
    {ll_mix_f32_plain, ll_mix_f16_plain, ll_mix_q8_plain}, {8, 8, 8}, ll_unpack_tile_plain, ll_half_plain,
    ll_rotate_plain, ll_dot_plain, ll_softmax_plain, {ll_swiglu_plain, ll_geglu_plain}};
/* clang-format on */

/* ==== 4. Transformer ============================================================================
 * For each layer, with x (n, dim) the residual stream of n tokens (arXiv:1706.03762, 2302.13971):
 *
 *     x += wo . attention(rope(wq . norm(x)), rope(wk . norm(x)), wv . norm(x))
 *     x += w2 . (silu(w1 . norm(x)) * (w3 . norm(x)))
 *
 * and at the end logits = classifier . norm(x). Both parts of a layer only add to x, so what an early layer found is
 * still there for the last one, next to what came since. That is Llama; a field of llama_config says what a relative
 * adds to a formula. The other way round, read from the end of this room: ll_run is a call, ll_evaluate its chunks of
 * tokens, ll_forward_layer the formulas above, and what stands before is their parts.
 *
 * A call's tokens go through in chunks of n_batch, all of them in one parallel region: every thread runs ll_evaluate,
 * takes its part of each step, and waits at the step's end until all parts are done. Parts are cut so that no value
 * depends on how many threads there are.
 *
 * Tokens of several sequences can be in a chunk, each sequence's in a segment: to products they are rows like any
 * others, which is why many sequences cost little more than one; only rotation and the kv cache ask which position a
 * row has, and attention never looks into another sequence.
 *
 * The kv cache holds the keys of 16 positions, and 16 values of a head, as tiles: attention is then the same two tile
 * products as everything else.
 */
typedef struct { /* out (n, w.rows) = packed (n, w.cols) . w + bias, or += */
    ll_matrix w;
    float *out;
    size_t stride;
    int add;           /* 0 or LL_ADD */
    const float *bias; /* NULL: none */
    const unsigned char *packed;
    int n;
} ll_product;

typedef struct {   /* which of n tokens goes to which k of the experts; rows are (token, expert), sorted by expert */
    float *scores; /* (n, n_experts) the router's */
    float *weight; /* (n, k) of the expert of each rank */
    int *row;      /* (n, k) its number, then the row */
    int *token;    /* (n * k) of a row */
    int *begin;    /* (n_experts + 1) an expert's first row */
    int used;      /* experts in use, and their products: */
    ll_product *gate_up, *down; /* (2 * n_experts), (n_experts) */
} ll_mixture;

typedef struct { /* what a context remembers of a text */
    int length;
    int *page;   /* (longest / LLAMA_PAGE) numbers of pages */
    int before;  /* during a call: 1 + the shared page that the unfinished one is a copy of; 0: none */
    int called;  /* 1: an item of the call */
    size_t rows; /* of the item's logits, that are wanted so far */
} ll_sequence;

typedef struct { /* consecutive rows of a chunk of tokens: n of one sequence */
    const llama_item *item;
    const int *page; /* of the sequence */
    int first, n;    /* rows */
    int from;        /* the item's token in the first of them */
    int position;    /* and its position in the sequence */
    int blocks;      /* of queries, in attention */
} ll_segment;

struct llama_context {
    const llama_model *model;
    const ll_kernels *kernels;
    ll_allocator allocator;
    int (*progress)(void *user, float done);
    void *user;
    int n_ctx, n_batch, n_threads;
    int n_sequences, longest, n_pages, n_logits; /* longest: positions of a sequence; n_logits: rows of logits */
    int logits_at;                               /* the length of sequence 0 that logits belong to; 0: none */
    double alone_until, patience; /* when a team is tried again, and in how many times what the last try cost */
    int rope_ready;               /* positions whose rotations are computed */
    volatile int cancelled;       /* written by thread 0 before a barrier, read by all after it */
    /* Rows of activations are padded to whole tiles: a stride is a multiple of LL_TILE. */
    size_t dim_stride, q_stride, kv_stride, hidden_stride, vocab_stride, head_stride, router_stride, query_stride;
    float *x;               /* (n_batch, dim) residual stream */
    float *q;               /* (n_batch, n_heads * head_dim) */
    float *k, *v;           /* (n_batch, n_kv_heads * head_dim) */
    float *heads;           /* (n_batch, n_heads * head_dim) what attention gives */
    float *gate, *up;       /* (n_batch, hidden_dim) w1 . x and w3 . x; with experts a row for each one that is used */
    float *branch;          /* (n_batch, dim) what will be added to x, where more happens to it before; rows as gate */
    unsigned char *packed;  /* the input of the next product, as its kernel reads it */
    float *logits;          /* (n_logits, vocab_size) */
    float *rope;            /* (n_ropes, longest, head_dim / 2, 2) cosine and sine */
    uint64_t hash;          /* of the model, for saved sequences; 0: not computed yet */
    int kv;                 /* the type of the kv cache: LL_KV_F32 ... */
    size_t key_bytes;       /* of a tile of keys */
    unsigned char *keys;    /* (n_layers, n_kv_heads, n_pages, LLAMA_PAGE / 16) tiles */
    unsigned char *values;  /* (n_layers, n_kv_heads, head_dim / 16, n_pages, LLAMA_PAGE, 16) */
    float *value_scales;    /* (n_layers, n_kv_heads, n_pages, LLAMA_PAGE) of q8 */
    ll_sequence *sequences; /* (n_sequences) */
    int *shared;            /* (n_pages) sequences that a page belongs to */
    int *unused, n_unused;  /* (n_pages) the pages that belong to none */
    ll_segment *segments;   /* (n_sequences) of the chunk that is being evaluated */
    int n_segments, at, done; /* where the next chunk begins: an item, and tokens of it that are done */
    int *wanted, n_wanted;    /* (n_batch) rows of the chunk whose logits are wanted */
    float **wanted_at;        /* (n_batch) and where */
    int n_hidden;             /* items of the chunk that want hidden states */
    ll_mixture mixture;
    float *scratch; /* (n_threads, scratch_stride) */
    size_t scratch_stride;
};

/* ---- Threads: who does which part of a step, and when the next one begins ---- */

typedef struct {        /* what the threads of a call share */
    int arrived, phase; /* threads that wait at the barrier; barriers passed */
    int asleep;         /* of those that wait */
    int taken;          /* parts taken since the last barrier: see ll_next_part */
    /* Of thread 0, for ll_judge_team: seconds at work and waiting; its parts of products, and all of them. */
    double busy, waited, own, all;
} ll_sync;

typedef struct {
    int id, count; /* this thread, of how many */
    ll_sync *sync;
} ll_team;

typedef struct {
    int begin, end;
} ll_range;

#ifdef LL_THREADS
/* Waits until the phase has passed. Most waits are over within some microseconds of spinning: OpenMP's own barrier soon
 * sleeps, and waking up takes longer than most steps of a small model. Then the core is given away: to sleep, if the
 * system can do that, is better than to ask for it again and again, because who wakes up is let in before one that
 * never slept. */
static void ll_wait(ll_sync *s, int phase) {
    for (int spins = 0; __atomic_load_n(&s->phase, __ATOMIC_ACQUIRE) == phase; spins++)
        if (spins < 4000) {
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#endif
        } else {
#ifdef LL_FUTEX
            __atomic_add_fetch(&s->asleep, 1, __ATOMIC_SEQ_CST);
            syscall(SYS_futex, &s->phase, FUTEX_WAIT_PRIVATE, phase, NULL, NULL, 0);
            __atomic_sub_fetch(&s->asleep, 1, __ATOMIC_SEQ_CST);
#else
            sched_yield();
#endif
        }
}
#endif

/* Waits until all threads of the team are here. */
static void ll_barrier(ll_team team) {
    ll_sync *s = team.sync;
    if (team.count == 1) {
        s->taken = 0;
        return;
    }
#ifdef LL_THREADS
    const int phase = __atomic_load_n(&s->phase, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&s->arrived, 1, __ATOMIC_ACQ_REL) == team.count) {
        __atomic_store_n(&s->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&s->taken, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&s->phase, (phase + 1) & 0xffff, __ATOMIC_SEQ_CST);
#ifdef LL_FUTEX
        if (__atomic_load_n(&s->asleep, __ATOMIC_SEQ_CST))
            syscall(SYS_futex, &s->phase, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#endif
        return;
    }
    const double begin = team.id ? 0 : omp_get_wtime();
    ll_wait(s, phase);
    if (!team.id) s->waited += omp_get_wtime() - begin;
#endif
}

/* This thread's even part of n pieces of work: the same one for the same n, so that a later step finds in this core's
 * cache what an earlier one left there. */
static ll_range ll_own_part(ll_team team, int n) {
    const ll_range r = {(int)((int64_t)n * team.id / team.count), (int)((int64_t)n * (team.id + 1) / team.count)};
    return r;
}

/* An even number, for tiles in pairs, but not less than `least` before the end. */
static int ll_part_size(int left, int threads, int least) {
    const int even = (int)((int64_t)left * 3 / 4 / threads) / 2 * 2, some = even > least ? even : least;
    return threads == 1 || left < some ? left : some;
}

/* The next part of n pieces of work that no thread has taken since the last barrier: less each time, so that a thread
 * that the system held up takes less of it and all end together, but long stretches first, because memory is
 * read best in those. A range that begins at n is the end. */
static ll_range ll_next_part(ll_team team, int n, int least) {
    ll_range r = {0, n};
#ifdef LL_THREADS
    r.begin = __atomic_load_n(&team.sync->taken, __ATOMIC_RELAXED);
    do r.end = r.begin + ll_part_size(n - r.begin, team.count, least);
    while (!__atomic_compare_exchange_n(&team.sync->taken, &r.begin, r.end, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
#else
    r.begin = team.sync->taken;
    team.sync->taken = r.end = r.begin + ll_part_size(n - r.begin, team.count, least);
#endif
    return r;
}

/* Memory that only this thread uses, and only within a step. */
static float *ll_scratch(ll_team team, const llama_context *c) {
    return c->scratch + (size_t)team.id * c->scratch_stride;
}

/* ---- Products: out = w . input, for n tokens ----
 * out[t][r] = bias[r] + sum over k of input[t][k] * w[r][k]. The input was packed in the step before, once for all
 * matrices that it meets. Threads take tiles of rows; the tokens meet a tile in blocks, while its weights are near.
 */

/* Rows as they lie meet a few tokens one at a time: below LL_FEW, making a tile of 16 rows costs more
 * than it saves. */
enum { LL_FEW = 4 };
static int ll_by_rows(const ll_matrix *w, int n) {
    return (w->type == LL_F32_ROWS || w->type == LL_Q8_ROWS) && n < LL_FEW;
}

/* Rows as they lie become f32 tiles, so their input is packed as for those. */
static ll_type ll_packed_type(const ll_matrix *w) {
    return w->type == LL_F32_ROWS || w->type == LL_Q8_ROWS ? LL_F32 : w->type;
}

/* n tokens that meet w are cut into the fewest blocks that fit the kernel, as even as can be. */
static int ll_blocks(const llama_context *c, const ll_matrix *w, int n) {
    const int block = c->kernels->type[ll_packed_type(w)].block;
    return ll_by_rows(w, n) ? n : (n + block - 1) / block;
}
/* Block b of so many: even, because a last block of one token would take as long as one of several. */
static ll_range ll_block(int n, int blocks, int b) {
    const ll_range tokens = {(int)((int64_t)n * b / blocks), (int)((int64_t)n * (b + 1) / blocks)};
    return tokens;
}

/* A bias is what a product is added to: out = bias, or += it, in rows [first, first + count). */
static void ll_begin_with_bias(const ll_product *p, size_t first, size_t count) {
    for (size_t t = 0; t < (size_t)p->n; t++)
        for (size_t r = first; r < first + count && r < (size_t)p->w.rows; r++)
            p->out[t * p->stride + r] = (p->add ? p->out[t * p->stride + r] : 0) + p->bias[r];
}

/* Rows [first, first + LL_TILE) of a product with few tokens and rows as they lie: each token alone, so to the bit what
 * it would be in a call of its own. */
static void ll_multiply_rows(const llama_context *c, const ll_product *p, int first, float *scratch) {
    const ll_matrix *w = &p->w;
    const int add = p->bias ? LL_ADD : p->add, rows = w->rows - first < LL_TILE ? w->rows - first : LL_TILE;
    const int floats = w->type == LL_F32_ROWS;
    for (int r = 0, step; r < rows; r += step) {
        const float *row = floats ? (const float *)w->data + (size_t)first * (size_t)w->cols : scratch;
        step = floats ? rows : 1;
        if (!floats) ll_unpack_row(w, first + r, scratch);
        for (size_t t = 0; t < (size_t)p->n; t++) {
            const float *x = (const float *)(const void *)p->packed + t * (size_t)w->cols;
            c->kernels->dot(p->out + t * p->stride + first + r, row, x, w->cols, step, add);
        }
    }
}

/* An f32 tile of rows that lie as they are in the file, from row first on. */
static void ll_make_tile(const llama_context *c, const ll_matrix *w, int first, float *tile, float *rows_scratch) {
    const int rows = w->rows - first < LL_TILE ? w->rows - first : LL_TILE;
    const float *from = rows_scratch;
    if (w->type == LL_F32_ROWS) from = (const float *)w->data + (size_t)first * (size_t)w->cols;
    else
        for (int r = 0; r < rows; r++) ll_unpack_row(w, first + r, rows_scratch + (size_t)r * (size_t)w->cols);
    c->kernels->unpack(tile, from, (size_t)w->cols, w->cols, rows);
}

/* Rows from first on of a product, of one tile or of two: all blocks of tokens meet them while they are near. */
static void ll_multiply_tiles(const llama_context *c, const ll_product *p, int first, int tiles, float *scratch) {
    const ll_matrix *w = &p->w;
    const int n = p->n, add = p->bias ? LL_ADD : p->add;
    const int blocks = ll_blocks(c, w, n);
    const ll_type type = ll_packed_type(w);
    const size_t tile_bytes = ll_tile_bytes(type, w->cols);
    const unsigned char *at = (const unsigned char *)w->data + (size_t)(first / LL_TILE) * tile_bytes, *tile = at;
    const int lies_there = type == w->type || w->type == LL_F32_ROWS; /* 16 rows have as many bytes as their tile */
    if (type != w->type) {
        const size_t values = (size_t)LL_TILE * (size_t)w->cols;
        for (int i = 0; i < tiles; i++)
            ll_make_tile(c, w, first + i * LL_TILE, scratch + (size_t)i * values, scratch + 2 * values);
        tile = (const unsigned char *)scratch;
    }
    const ll_product_kernels *k = &c->kernels->type[type];
    /* What comes next is brought nearer by the last blocks: so many lines every LL_STEP columns, evenly, for a burst
     * would keep the lines waiting that a block needs itself. share: the lines of a block. */
    const size_t next = (size_t)tiles * tile_bytes, steps = ((size_t)w->cols + LL_STEP - 1) / LL_STEP;
    const size_t lines = lies_there ? (next / LL_LINE - 1) / (steps * (size_t)blocks) + 1 : 0, share = steps * lines;
    for (int b = 0; b < blocks; b++) {
        const ll_range t = ll_block(n, blocks, b);
        float *out = p->out + (size_t)t.begin * p->stride + first;
        const unsigned char *packed = p->packed + (size_t)t.begin * ll_packed_bytes(type, w->cols);
        const size_t after = (size_t)(blocks - b) * share * LL_LINE; /* what this block and those behind it can fetch */
        /* As a number: a pointer must not leave the matrix, what is only a hint may. */
        const uintptr_t ahead = (uintptr_t)at + 2 * next - after;
        if (n >= LL_FEW && k->prompt && tiles == k->tiles)
            k->prompt(out, p->stride, tile, packed, w->cols, t.end - t.begin, add, (const void *)ahead,
                      after <= next + share * LL_LINE ? (int)lines : 0);
        else k->tile(out, p->stride, tile, packed, w->cols, t.end - t.begin, add);
    }
}

/* Tiles [begin, end) of a product, in whichever of the three ways suits its weights and tokens. */
static void ll_multiply_range(llama_context *c, const ll_product *p, int begin, int end, float *scratch) {
    const int tiles = c->kernels->type[ll_packed_type(&p->w)].tiles, most = p->n >= LL_FEW ? tiles : 1;
    for (int tile = begin, step; tile < end; tile += step) {
        step = end - tile < most ? end - tile : most;
        if (p->bias) ll_begin_with_bias(p, (size_t)tile * LL_TILE, (size_t)step * LL_TILE);
        if (ll_by_rows(&p->w, p->n)) ll_multiply_rows(c, p, tile * LL_TILE, scratch);
        else ll_multiply_tiles(c, p, tile * LL_TILE, step, scratch);
    }
}

/* Several products: their tiles are handed out to the threads as one list. */
static void ll_multiply(ll_team team, llama_context *c, const ll_product *list, int count) {
    float *scratch = ll_scratch(team, c);
    const int least = list->n < LL_FEW ? 4 : 2; /* a prompt's last tiles take long, a token's are too short */
    int tiles = 0;
    for (int i = 0; i < count; i++) tiles += (list[i].w.rows + LL_TILE - 1) / LL_TILE;
    for (ll_range r = ll_next_part(team, tiles, least); r.begin < tiles; r = ll_next_part(team, tiles, least)) {
        if (!team.id) team.sync->own += (double)(r.end - r.begin) * list->w.cols;
        for (int i = 0, before = 0; i < count && before < r.end; i++) {
            const int here = (list[i].w.rows + LL_TILE - 1) / LL_TILE;
            ll_multiply_range(c, &list[i], r.begin > before ? r.begin - before : 0,
                              r.end - before < here ? r.end - before : here, scratch);
            before += here;
        }
    }
    if (!team.id) team.sync->all += (double)tiles * list->w.cols;
    ll_barrier(team);
}

/* ---- The inputs of products: norm(x), the heads' results, silu(gate) * up ---- */

/* RMSNorm (arXiv:1910.07467): out = x / sqrt(mean(x^2) + eps) * weight, one row. Only the length of x is normalised, so
 * that neither many layers nor large weights make it grow. */
static void ll_rms_norm(float *out, const float *x, const float *weight, int dim, float eps) {
    float lane[LL_TILE] = {0}, sum = 0;
    int i = 0;
    for (; i + LL_TILE <= dim; i += LL_TILE)
        for (int j = 0; j < LL_TILE; j++) lane[j] += x[i + j] * x[i + j];
    for (; i < dim; i++) sum += x[i] * x[i];
    for (int j = 0; j < LL_TILE; j++) sum += lane[j];
    const float scale = 1.0f / sqrtf(sum / (float)dim + eps);
    for (i = 0; i < dim; i++) out[i] = weight[i] * (x[i] * scale);
}

typedef struct { /* rows of activations, and what is made of them before they are packed */
    float *x;
    size_t stride;
    const float *norm; /* not NULL: their RMSNorm with these weights */
    const float *up;   /* not NULL: silu(x) * up, in the place of x */
    const int *token;  /* not NULL: row i is that of token[i] in x */
} ll_input;

/* Rows t of the input, counted from `first` on, as w's kernel reads them: to their place in c->packed. */
static void ll_pack_block(ll_team team, llama_context *c, const ll_matrix *w, const ll_input *in, ll_range t,
                          int first) {
    const llama_config *f = &c->model->config;
    const ll_type type = ll_packed_type(w);
    const size_t stride = in->stride, begin = (size_t)(first + t.begin), count = (size_t)(t.end - t.begin);
    float *scratch = ll_scratch(team, c), *x = in->norm || in->token ? scratch : in->x + begin * stride;
    for (size_t i = 0; i < count; i++) {
        float *row = in->x + (in->token ? (size_t)in->token[begin + i] : begin + i) * stride;
        if (in->norm) ll_rms_norm(x + i * stride, row, in->norm, w->cols, f->norm_eps);
        else if (in->token) memcpy(x + i * stride, row, (size_t)w->cols * sizeof *x);
        if (in->up) c->kernels->gate[!!(f->extras & LLAMA_GELU)](row, in->up + (begin + i) * stride, w->cols);
    }
    c->kernels->type[type].pack(c->packed + begin * ll_packed_bytes(type, w->cols), x, stride, w->cols, (int)count);
}

/* c->packed = the input as w's kernel reads it. A thread prepares and packs its blocks of tokens one by one, while
 * they are in its cache: a pass over all of them for each would go through memory. */
static void ll_pack_input(ll_team team, llama_context *c, const ll_matrix *w, const ll_input *in, int n) {
    const int blocks = ll_blocks(c, w, n);
    const ll_range own = ll_own_part(team, blocks);
    for (int b = own.begin; b < own.end; b++) ll_pack_block(team, c, w, in, ll_block(n, blocks, b), 0);
    ll_barrier(team);
}

/* The input of w, and of what else multiplies it, becomes norm(x), or x where the model has no norm there. */
static void ll_norm(ll_team team, llama_context *c, float *x, const float *weight, const ll_matrix *w, int n) {
    const ll_input in = {x, c->dim_stride, weight, NULL, NULL};
    ll_pack_input(team, c, w, &in, n);
}

/* ... the results of all heads, side by side. */
static void ll_join_heads(ll_team team, llama_context *c, const ll_matrix *w, int n) {
    const ll_input in = {c->heads, c->q_stride, NULL, NULL, NULL};
    ll_pack_input(team, c, w, &in, n);
}

/* ... silu(gate) * up. */
static void ll_swiglu(ll_team team, llama_context *c, const ll_matrix *w, int n) {
    const ll_input in = {c->gate, c->hidden_stride, NULL, c->up, NULL};
    ll_pack_input(team, c, w, &in, n);
}

/* x += norm(branch), where norm may be absent; a mixture's branch is the sum of weight * row, in the order of rank. */
static void ll_add_branch(ll_team team, llama_context *c, const float *norm, int experts, int n) {
    const llama_config *f = &c->model->config;
    const ll_range own = ll_own_part(team, n);
    for (int t = own.begin; t < own.end; t++) {
        float *x = c->x + (size_t)t * c->dim_stride, *sum = ll_scratch(team, c);
        if (!experts) memcpy(sum, c->branch + (size_t)t * c->dim_stride, (size_t)f->dim * sizeof *sum);
        for (int i = t * experts; i < (t + 1) * experts; i++) {
            const float *from = c->branch + (size_t)c->mixture.row[i] * c->dim_stride, weight = c->mixture.weight[i];
            for (int d = 0; d < f->dim; d++) sum[d] = (i > t * experts ? sum[d] : 0) + weight * from[d];
        }
        if (norm) ll_rms_norm(sum, sum, norm, f->dim, f->norm_eps);
        for (int d = 0; d < f->dim; d++) x[d] += sum[d];
    }
    ll_barrier(team);
}

/* ---- Positions: rotary embedding (arXiv:2104.09864) ----
 * Pair i of a head's query and key turns by position * rope_frequencies[i], the slower the larger i is. The product of
 * a query turned by p and a key turned by p' is that of the unturned ones with one of them turned by p - p': so a head
 * can look for what stands three tokens back, wherever that is. */

/* Cosines and sines of all positions before end, each computed once in the life of a context. A long context may have
 * frequencies of its own: they are the second half of the tables. */
static void ll_prepare_rope(llama_context *c, int end) {
    const llama_config *f = &c->model->config;
    const size_t half = (size_t)f->head_dim / 2, n = half * (size_t)(f->n_ropes ? f->n_ropes : 1);
    const size_t from = f->rope_short && c->longest > f->rope_short ? n : 0;
    for (; c->rope_ready < end; c->rope_ready++)
        for (size_t i = 0; i < n; i++) {
            const double angle = (double)c->rope_ready * c->model->rope_frequencies[from + i];
            const double amplitude = c->model->rope_amplitudes ? c->model->rope_amplitudes[from + i] : 1;
            const size_t row = i / half * (size_t)c->longest + (size_t)c->rope_ready;
            float *out = c->rope + (row * half + i % half) * 2;
            out[0] = (float)(cos(angle) * amplitude), out[1] = (float)(sin(angle) * amplitude);
        }
}

/* Queries or keys of one token: norm, of each head or of all as one, then rotation. */
static void ll_turn_heads(const llama_context *c, float *x, int heads, const float *norm, const float *rope) {
    const llama_config *f = &c->model->config;
    const int width = f->head_dim, wide = heads * width;
    if (norm && f->extras & LLAMA_WIDE_NORM) ll_rms_norm(x, x, norm, wide, f->norm_eps);
    for (float *head = x; head < x + wide; head += width) {
        if (norm && f->extras & LLAMA_HEAD_NORM) ll_rms_norm(head, head, norm, width, f->norm_eps);
        c->kernels->rotate(head, rope, width);
    }
}

/* Those of a segment's rows that are in a range. */
static ll_range ll_rows_in(const ll_segment *s, ll_range own) {
    const int end = s->first + s->n;
    const ll_range r = {s->first > own.begin ? s->first : own.begin, end < own.end ? end : own.end};
    return r;
}

/* q and k of this thread's tokens. No barrier: the same thread stores them. */
static void ll_rotate(ll_team team, llama_context *c, int layer, int n) {
    const llama_config *f = &c->model->config;
    const ll_layer *w = &c->model->layers[layer];
    const ll_range own = ll_own_part(team, n);
    for (const ll_segment *s = c->segments; s < c->segments + c->n_segments; s++) {
        const ll_range rows = ll_rows_in(s, own);
        for (int t = rows.begin; t < rows.end; t++) {
            const size_t p = (size_t)(s->position + t - s->first);
            const float *rope =
                c->rope + ((size_t)f->layers[layer].rope * (size_t)c->longest + p) * (size_t)f->head_dim;
            ll_turn_heads(c, c->q + (size_t)t * c->q_stride, f->n_heads, w->q_norm, rope);
            ll_turn_heads(c, c->k + (size_t)t * c->kv_stride, f->n_kv_heads, w->k_norm, rope);
        }
    }
}

/* ---- The kv cache ----
 * A token's keys and values depend on it and on those before it only, so they are computed once and kept, in pages of
 * LLAMA_PAGE positions (arXiv:2309.06180): a sequence is a list of pages, and what two sequences have in common they
 * can share. In a page lie, for each layer and kv head, with positions across and the head's numbers down:
 *
 *     keys      tiles of 16 positions, (head_dim, 16) each:    q . k for 16 positions is a tile product over head_dim
 *     values    tiles of 16 numbers, (LLAMA_PAGE, 16) each:    a . v for 16 numbers is one over the positions
 *
 * Their numbers are float32, float16, or int8: then a tile of keys is one of q8, which queries meet in int8 too, and
 * the scale that all numbers of a position's value have in common is multiplied with a, which is its weight.
 *
 * Going back in a text needs no more than a smaller length: what stands behind it is written over before it is seen.
 */

/* Where a page keeps a head's keys, the head's 16 values from number d on, and the values' scales. Each lies beside the
 * same of the next page: a sequence whose pages follow each other is read from front to back. */
static size_t ll_head_at(const llama_context *c, int layer, int head) {
    return (size_t)layer * (size_t)c->model->config.n_kv_heads + (size_t)head;
}
static unsigned char *ll_head_keys(const llama_context *c, int page, int layer, int head) {
    const size_t i = ll_head_at(c, layer, head) * (size_t)c->n_pages + (size_t)page;
    return c->keys + i * ((int)LLAMA_PAGE / LL_TILE) * c->key_bytes;
}
static unsigned char *ll_head_values(const llama_context *c, int page, int layer, int head, size_t d) {
    const size_t tile = ll_head_at(c, layer, head) * (c->head_stride / LL_TILE) + d / LL_TILE;
    return c->values + (tile * (size_t)c->n_pages + (size_t)page) * LLAMA_PAGE * LL_TILE * (size_t)ll_kv_size(c->kv);
}
static float *ll_head_scales(const llama_context *c, int page, int layer, int head) {
    return c->value_scales + (ll_head_at(c, layer, head) * (size_t)c->n_pages + (size_t)page) * LLAMA_PAGE;
}

/* A key as row r of a tile of q8. */
static void ll_store_key_q8(unsigned char *tile, const float *k, int head_dim, size_t r) {
    signed char q[LL_Q8_GROUP];
    float scale;
    for (int g = 0; g * LL_Q8_GROUP < head_dim; g++) {
        unsigned char *lines = tile + (ll_group_at(LL_Q8, tile, g) - tile),
                      *scales = lines - (g % 2 * 16 + 1) * LL_LINE;
        const int left = head_dim - g * LL_Q8_GROUP, n = left < LL_Q8_GROUP ? left : LL_Q8_GROUP;
        ll_quantize_plain(q, k + g * LL_Q8_GROUP, n, LL_Q8_GROUP, &scale);
        const uint16_t half = ll_to_f16(scale);
        memcpy(scales + g % 2 * 32 + 2 * r, &half, 2);
        for (size_t i = 0; i < LL_Q8_GROUP; i += 4) memcpy(lines + i / 4 * LL_LINE + 4 * r, q + i, 4);
    }
}

/* Keys of a head for `count` positions from p of a page on, all in one tile, whose other columns may be another
 * thread's. */
static void ll_store_keys(const llama_context *c, unsigned char *keys, const float *k, size_t p, int count,
                          float *scratch) {
    const int head_dim = c->model->config.head_dim;
    unsigned char *tile = keys + p / LL_TILE * c->key_bytes;
    float *floats = (float *)(void *)tile;
    uint16_t *halves = (uint16_t *)(void *)tile, *row = (uint16_t *)(void *)scratch;
    if (count == LL_TILE && c->kv != LL_KV_Q8) {
        c->kernels->unpack(c->kv == LL_KV_F16 ? scratch : floats, k, c->kv_stride, head_dim, LL_TILE);
        if (c->kv == LL_KV_F16) c->kernels->half(halves, scratch, head_dim * LL_TILE);
        return;
    }
    for (size_t column = p % LL_TILE; count > 0; count--, column++, k += c->kv_stride) {
        if (c->kv == LL_KV_F16) c->kernels->half(row, k, head_dim);
        if (c->kv == LL_KV_Q8) ll_store_key_q8(tile, k, head_dim, column);
        else
            for (size_t d = 0; d < (size_t)head_dim; d++)
                if (c->kv == LL_KV_F16) halves[d * LL_TILE + column] = row[d];
                else floats[d * LL_TILE + column] = k[d];
    }
}

/* A head's value at position p of a page. */
static void ll_store_value(const llama_context *c, int page, int layer, int head, const float *v, size_t p,
                           float *scratch) {
    const int head_dim = c->model->config.head_dim;
    signed char *q = (signed char *)scratch;
    if (c->kv == LL_KV_Q8)
        ll_quantize_plain(q, v, head_dim, (int)c->head_stride, ll_head_scales(c, page, layer, head) + p);
    for (int d = 0; d < head_dim; d += LL_TILE) {
        const int n = head_dim - d < LL_TILE ? head_dim - d : LL_TILE;
        void *to = ll_head_values(c, page, layer, head, (size_t)d) + p * LL_TILE * (size_t)ll_kv_size(c->kv);
        if (n < LL_TILE) memset(to, 0, (size_t)(LL_TILE * ll_kv_size(c->kv)));
        if (c->kv == LL_KV_Q8) memcpy(to, q + d, LL_TILE);
        else if (c->kv == LL_KV_F16) c->kernels->half((uint16_t *)to, v + d, n);
        else memcpy(to, v + d, (size_t)n * sizeof *v);
    }
}

/* k, which is turned already, and v, which needs no position, of this thread's tokens, to their positions: as many at a
 * time as stand in one tile of keys. */
static void ll_remember(ll_team team, llama_context *c, int layer, int n) {
    const llama_config *f = &c->model->config;
    const ll_range own = ll_own_part(team, n);
    for (const ll_segment *s = c->segments; s < c->segments + c->n_segments; s++) {
        const ll_range rows = ll_rows_in(s, own);
        for (int t = rows.begin, count; t < rows.end; t += count) {
            const int at = s->position + t - s->first, page = s->page[at / LLAMA_PAGE];
            const size_t p = (size_t)(at % LLAMA_PAGE);
            count = LL_TILE - (int)(p % LL_TILE);
            if (count > rows.end - t) count = rows.end - t;
            for (int h = 0; h < f->n_kv_heads; h++) {
                const size_t from = (size_t)t * c->kv_stride + (size_t)h * (size_t)f->head_dim;
                ll_store_keys(c, ll_head_keys(c, page, layer, h), c->k + from, p, count, ll_scratch(team, c));
                for (size_t i = 0; i < (size_t)count; i++)
                    ll_store_value(c, page, layer, h, c->v + from + i * c->kv_stride, p + i, ll_scratch(team, c));
            }
        }
    }
    ll_barrier(team);
}

/* ---- Attention ----
 * Of a head, for the query q of a token at position i:
 *
 *     out = sum over p of a[p] v[p],   a = softmax over p of q . k[p] / sqrt(head_dim),   p = 0 .. i
 *
 * p ends at i because a model is trained to predict each token from those before it: what comes later must not be
 * seen (the causal mask). 1 / sqrt(head_dim) keeps the scores of random vectors at a spread of about 1. Several heads
 * look at the same keys and values (grouped queries, arXiv:2305.13245), so all queries that share a kv head, those of
 * different tokens too, go through the cache together, LL_KEYS positions at a time. With a window p begins at
 * i - window + 1. A model may name another scale, and cap the scores.
 */

/* Where query i of a kv head stands in a row of all heads: it is that of token i / group, by head i % group of those
 * that share the kv head. */
static size_t ll_query_at(const llama_context *c, int kv_head, int group, int i) {
    const int head = kv_head * group + i % group;
    return (size_t)(i / group) * c->q_stride + (size_t)head * (size_t)c->model->config.head_dim;
}

/* Of the n positions from p on, those that query i sees: up to its own token's, and within the window. */
static ll_range ll_visible(int position, int group, int i, int window, int p, int n) {
    const int own = position + i / group, end = own + 1 - p, begin = window && own >= window ? own - window + 1 - p : 0;
    const ll_range r = {begin < 0 ? 0 : begin < n ? begin : n, end < 0 ? 0 : end < n ? end : n};
    return r;
}

/* Softmax over all positions in one pass, LL_KEYS at a time (arXiv:1805.02867, 2205.14135). One row of scores becomes
 * weights e^(score - max). If its maximum is a new one, what was summed with the old one is brought down to it:
 * e^(s - new) = e^(s - old) * e^(old - new). Only at the end is there a division by the sum of the weights. */
static void ll_online_softmax(const ll_kernels *kernels, float *score, ll_range visible, int n, float *max, float *sum,
                              float *out, size_t head_stride) {
    const float before = *max, total = kernels->softmax(score + visible.begin, visible.end - visible.begin, max);
    for (int i = 0; i < visible.begin; i++) score[i] = 0;
    for (int i = visible.end; i < n; i++) score[i] = 0;
    if (*max > before) {
        const float scale = ll_exp(before - *max);
        for (size_t d = 0; d < head_stride; d++) out[d] *= scale;
        *sum *= scale;
    }
    *sum += total;
}

/* The block's queries, times the scale of their products, as the keys' kernel reads them. */
static void ll_pack_queries(const llama_context *c, int head, const ll_segment *s, ll_range queries, float *rows,
                            float *packed) {
    const llama_config *f = &c->model->config;
    const int group = f->n_heads / f->n_kv_heads;
    const float scale = f->attention_scale > 0 ? f->attention_scale : 1.0f / sqrtf((float)f->head_dim);
    for (int i = queries.begin; i < queries.end; i++) {
        const float *from = c->q + (size_t)s->first * c->q_stride + ll_query_at(c, head, group, i);
        float *row = rows + (size_t)(i - queries.begin) * c->head_stride;
        for (int d = 0; d < f->head_dim; d++) row[d] = from[d] * scale;
    }
    c->kernels->type[c->kv == LL_KV_Q8 ? LL_Q8 : LL_F32].pack(packed, rows, c->head_stride, f->head_dim,
                                                              queries.end - queries.begin);
}

/* Attention of at most LL_BLOCK queries of one kv head. */
static void ll_attend(llama_context *c, int layer, int head, const ll_segment *s, ll_range queries, float *scratch) {
    const llama_config *f = &c->model->config;
    const int group = f->n_heads / f->n_kv_heads, begin = queries.begin, count = queries.end - begin;
    const int position = s->position, last = position + (queries.end - 1) / group + 1; /* the last sees the most */
    const size_t head_dim = (size_t)f->head_dim, stride = c->head_stride;
    float *q = scratch;                            /* (head_dim, count), packed */
    float *score = q + c->query_stride * LL_BLOCK; /* (count, LL_KEYS) */
    float *out = score + LL_KEYS * LL_BLOCK;       /* (count, head_stride) */
    float max[LL_BLOCK], sum[LL_BLOCK];            /* of each query's scores so far; of their e^(score - max) */
    const int window = f->layers[layer].window;
    const int seen = window ? ll_visible(position, group, begin, window, 0, INT_MAX).begin : 0; /* by the first query */
    ll_pack_queries(c, head, s, queries, out, q);
    for (int i = 0; i < count; i++) max[i] = -FLT_MAX, sum[i] = 0;
    memset(out, 0, (size_t)count * stride * sizeof *out);
    for (int p = seen / LL_KEYS * LL_KEYS; p < last; p += LL_KEYS) { /* a result must not depend on where p begins */
        const int n = last - p < LL_KEYS ? last - p : LL_KEYS, *page = s->page + p / LLAMA_PAGE;
        const unsigned char *list[(int)LL_KEYS / LLAMA_PAGE];
        ll_values values = {list, 0};
        for (int i = 0; i < n; i += LL_TILE) { /* scores = q . k */
            const unsigned char *keys = ll_head_keys(c, page[i / LLAMA_PAGE], layer, head);
            c->kernels->scores[c->kv](score + i, LL_KEYS, keys + (size_t)(i % LLAMA_PAGE / LL_TILE) * c->key_bytes, q,
                                      f->head_dim, count, 0);
        }
        for (int i = 0; i < count; i++) { /* a = e^(score - max), 0 for what is not to be seen */
            const ll_range visible = ll_visible(position, group, begin + i, window, p, n);
            float *row = score + i * LL_KEYS;
            if (f->score_cap > 0) ll_cap(row + visible.begin, visible.end - visible.begin, f->score_cap);
            ll_online_softmax(c->kernels, row, visible, n, &max[i], &sum[i], out + (size_t)i * stride, stride);
            for (int k = 0; c->kv == LL_KV_Q8 && k < n; k += LLAMA_PAGE) {
                const float *scales = ll_head_scales(c, page[k / LLAMA_PAGE], layer, head);
                for (int j = 0; j < LLAMA_PAGE && k + j < n; j++) row[k + j] *= scales[j];
            }
        }
        for (int i = 0; i < n; i += LLAMA_PAGE)
            list[i / LLAMA_PAGE] = ll_head_values(c, page[i / LLAMA_PAGE], layer, head, 0);
        for (size_t d = 0; d < stride; d += LL_TILE) { /* a . v */
            c->kernels->mix[c->kv](out + d, stride, &values, score, n, count, LL_ADD);
            values.offset += (size_t)c->n_pages * LLAMA_PAGE * LL_TILE * (size_t)ll_kv_size(c->kv);
        }
    }
    for (int i = 0; i < count; i++) {
        float *to = c->heads + (size_t)s->first * c->q_stride + ll_query_at(c, head, group, begin + i);
        for (size_t d = 0; d < head_dim; d++) to[d] = out[(size_t)i * stride + d] / sum[i];
    }
}

/* All heads and tokens, block by block of queries. A later block sees more positions and takes longer, so threads take
 * what comes next rather than an even part. */
static void ll_attention(ll_team team, llama_context *c, int layer) {
    const llama_config *f = &c->model->config;
    const int group = f->n_heads / f->n_kv_heads, heads = f->n_kv_heads;
    const ll_segment *last = c->segments + c->n_segments - 1;
    int parts = 0;
    for (const ll_segment *s = c->segments; s <= last; s++) parts += s->blocks * heads;
    for (ll_range r = ll_next_part(team, parts, 1); r.begin < parts; r = ll_next_part(team, parts, 1)) {
        const ll_segment *s = c->segments;
        for (int i = r.begin, before = 0; i < r.end; i++) {
            while (i - before >= s->blocks * heads) before += s++->blocks * heads;
            const int b = (i - before) / heads, head = (i - before) % heads;
            ll_attend(c, layer, head, s, ll_block(s->n * group, s->blocks, b), ll_scratch(team, c));
        }
    }
    ll_barrier(team);
}

/* ---- Mixture of experts (arXiv:2101.03961, 2401.04088) ----
 * A layer has many small feed-forward parts, and its router says which few of them a token needs:
 *
 *     p = softmax(router . norm(x))
 *     x += sum over the k largest p[e] of p[e] w2[e] . (silu(w1[e] . norm(x)) * (w3[e] . norm(x)))
 *
 * with those p made to sum to 1 if the model was trained so. Each expert's weights are read once for all tokens that
 * need it, so tokens are sorted by expert: a row is a token for one of its experts.
 */

/* The k experts of this thread's tokens, the best first, of equal ones the first; and their weights. */
static void ll_choose_experts(ll_team team, llama_context *c, int n) {
    const llama_config *f = &c->model->config;
    const ll_range own = ll_own_part(team, n);
    for (int t = own.begin; t < own.end; t++) {
        float *p = c->mixture.scores + (size_t)t * c->router_stride, *weight = c->mixture.weight;
        float max = -FLT_MAX, sum = c->kernels->softmax(p, f->n_experts, &max), chosen = 0;
        const int first = t * f->n_experts_used, end = first + f->n_experts_used;
        for (int i = first; i < end; i++) {
            int best = -1;
            for (int e = 0; e < f->n_experts; e++) /* nan is not less than 0 either: there is always one */
                if (!(p[e] < 0) && (best < 0 || p[e] > p[best])) best = e;
            c->mixture.row[i] = best, weight[i] = p[best], chosen += p[best], p[best] = -1;
        }
        for (int i = first; i < end; i++) /* a nan shows, whichever were chosen */
            weight[i] /= f->extras & LLAMA_RENORMALISE && sum == sum ? chosen : sum;
    }
    ll_barrier(team);
}

/* The product of expert e, one of those in w that have so many rows each, with n inputs from `row` on. */
static ll_product ll_expert(const llama_context *c, const ll_matrix *w, int e, int rows, float *out, size_t stride,
                            int row, int n) {
    const size_t first = (size_t)row, bytes = ll_packed_bytes(ll_packed_type(w), w->cols);
    ll_product p = {*w, out + first * stride, stride, 0, NULL, c->packed + first * bytes, n};
    p.w.data = (const unsigned char *)w->data + (size_t)e * ll_matrix_bytes(w->type, rows, w->cols);
    p.w.rows = rows;
    return p;
}

/* Gives every token its rows, expert by expert, and makes the lists of products. */
static void ll_sort_by_expert(llama_context *c, const ll_layer *w, int n) {
    const llama_config *f = &c->model->config;
    const int k = f->n_experts_used, hidden = f->expert_dim;
    ll_mixture *m = &c->mixture;
    memset(m->begin, 0, ((size_t)f->n_experts + 1) * sizeof *m->begin);
    for (int i = 0; i < n * k; i++) m->begin[m->row[i] + 1]++;
    m->used = 0;
    for (int e = 0; e < f->n_experts; e++) {
        const int rows = m->begin[e + 1], first = m->begin[e];
        m->begin[e + 1] += first;
        if (!rows) continue;
        m->gate_up[2 * m->used] = ll_expert(c, &w->w1, e, hidden, c->gate, c->hidden_stride, first, rows);
        m->gate_up[2 * m->used + 1] = ll_expert(c, &w->w3, e, hidden, c->up, c->hidden_stride, first, rows);
        m->down[m->used++] = ll_expert(c, &w->w2, e, f->dim, c->branch, c->dim_stride, first, rows);
    }
    for (int i = 0; i < n * k; i++) {
        const int row = m->begin[m->row[i]]++;
        m->token[row] = i / k, m->row[i] = row;
    }
}

/* Packs the inputs of all experts in use, one every `step` of list: blocks are dealt to the threads in turn. */
static void ll_pack_experts(ll_team team, llama_context *c, const ll_product *list, int step, const ll_input *in) {
    for (int e = 0, first = 0, part = 0; e < c->mixture.used; first += list->n, list += step, e++)
        for (int b = 0, blocks = ll_blocks(c, &list->w, list->n); b < blocks; b++, part++)
            if (part % team.count == team.id) ll_pack_block(team, c, &list->w, in, ll_block(list->n, blocks, b), first);
    ll_barrier(team);
}

static void ll_mix_experts(ll_team team, llama_context *c, const ll_layer *w, int n) {
    const ll_mixture *m = &c->mixture;
    const ll_product router = {w->router, m->scores, c->router_stride, 0, NULL, c->packed, n};
    const ll_input tokens = {c->x, c->dim_stride, w->ffn_norm, NULL, m->token};
    const ll_input inner = {c->gate, c->hidden_stride, NULL, c->up, NULL};
    ll_norm(team, c, c->x, w->ffn_norm, &w->router, n);
    ll_multiply(team, c, &router, 1); /* router . norm(x) */
    ll_choose_experts(team, c, n);
    if (team.id == 0) ll_sort_by_expert(c, w, n);
    ll_barrier(team);
    ll_pack_experts(team, c, m->gate_up, 2, &tokens); /* norm(x), once for each expert that a token needs */
    ll_multiply(team, c, m->gate_up, 2 * m->used);
    ll_pack_experts(team, c, m->down, 1, &inner); /* silu(gate) * up */
    ll_multiply(team, c, m->down, m->used);
    ll_add_branch(team, c, w->ffn_post_norm, c->model->config.n_experts_used, n);
}

/* ---- The forward pass ---- */

/* One layer, x (n, dim) to x. Every thread of the team runs it. Products have their input from the step before. */
static void ll_forward_layer(ll_team team, llama_context *c, int layer, int n) {
    const ll_layer *w = &c->model->layers[layer];
    const ll_product qkv[] = {{w->wq, c->q, c->q_stride, 0, w->q_bias, c->packed, n},
                              {w->wk, c->k, c->kv_stride, 0, w->k_bias, c->packed, n},
                              {w->wv, c->v, c->kv_stride, 0, w->v_bias, c->packed, n}};
    const ll_product gate_up[] = {{w->w1, c->gate, c->hidden_stride, 0, NULL, c->packed, n},
                                  {w->w3, c->up, c->hidden_stride, 0, NULL, c->packed, n}};
    /* x += at once, or a branch that ll_add_branch adds */
    const int post = w->attention_post_norm != NULL, add = post ? 0 : LL_ADD;
    const ll_product o = {w->wo, post ? c->branch : c->x, c->dim_stride, add, w->o_bias, c->packed, n};
    const ll_product down = {w->w2, post ? c->branch : c->x, c->dim_stride, add, NULL, c->packed, n};

    ll_norm(team, c, c->x, w->attention_norm, &w->wq, n); /* norm(x) */
    ll_multiply(team, c, qkv, 3);                         /* q, k, v = wq, wk, wv . norm(x) */
    ll_rotate(team, c, layer, n);                         /* q, k turn by their positions */
    ll_remember(team, c, layer, n);                       /* k, v are there for this and all later tokens */
    ll_attention(team, c, layer);                         /* softmax(q . k / sqrt(head_dim)) . v, of each head */
    ll_join_heads(team, c, &w->wo, n);
    ll_multiply(team, c, &o, 1); /* x += wo . heads */
    if (post) ll_add_branch(team, c, w->attention_post_norm, 0, n);

    if (c->model->config.layers[layer].experts) {
        ll_mix_experts(team, c, w, n);
    } else {
        ll_norm(team, c, c->x, w->ffn_norm, &w->w1, n); /* norm(x) */
        ll_multiply(team, c, gate_up, 2);               /* gate, up = w1, w3 . norm(x) */
        ll_swiglu(team, c, &w->w2, n);                  /* silu(gate) * up */
        ll_multiply(team, c, &down, 1);                 /* x += w2 . (silu(gate) * up) */
        if (post) ll_add_branch(team, c, w->ffn_post_norm, 0, n);
    }
}

/* logits (n, vocab_size) = classifier . norm(x), of the n <= n_logits rows of x that are listed: how well each token of
 * the vocabulary would follow. Of a prompt only the last row's are wanted. */
static void ll_classify(ll_team team, llama_context *c, const int *rows, int n) {
    const llama_config *f = &c->model->config;
    const ll_product p = {c->model->classifier, c->logits, c->vocab_stride, 0, NULL, c->packed, n};
    const ll_input in = {c->x, c->dim_stride, c->model->final_norm, NULL, rows};
    ll_pack_input(team, c, &c->model->classifier, &in, n);
    ll_multiply(team, c, &p, 1);
    if (!(f->logit_cap > 0)) return;
    const ll_range own = ll_own_part(team, f->vocab_size);
    for (int t = 0; t < n; t++)
        ll_cap(c->logits + (size_t)t * c->vocab_stride + own.begin, own.end - own.begin, f->logit_cap);
    ll_barrier(team);
}

/* A segment of the next chunk for each item that has tokens in it, and the rows whose logits are wanted. */
static void ll_begin_chunk(llama_context *c, const llama_item *items, int chunk) {
    const int group = c->model->config.n_heads / c->model->config.n_kv_heads, block = c->kernels->queries[c->kv];
    const size_t vocab_size = (size_t)c->model->config.vocab_size;
    c->n_segments = c->n_wanted = c->n_hidden = 0;
    for (int first = 0, n; first < chunk; first += n) {
        const llama_item *it = &items[c->at];
        ll_sequence *q = &c->sequences[it->sequence];
        n = it->n - c->done < chunk - first ? it->n - c->done : chunk - first;
        const ll_segment s = {it, q->page, first, n, c->done, q->length + c->done, (n * group + block - 1) / block};
        for (int i = 0; it->logits && i < n; i++)
            if (it->wanted ? it->wanted[s.from + i] : s.from + i == it->n - 1) {
                c->wanted_at[c->n_wanted] = it->logits + q->rows++ * vocab_size;
                c->wanted[c->n_wanted++] = first + i;
            }
        c->n_hidden += it->hidden != NULL;
        ll_prepare_rope(c, s.position + n);
        c->segments[c->n_segments++] = s;
        c->done += n;
        if (c->done == it->n) c->at++, c->done = 0;
    }
}

/* x = the embedding's row of each token. */
static void ll_embed(ll_team team, llama_context *c, int n) {
    const llama_config *f = &c->model->config;
    const ll_range own = ll_own_part(team, n);
    for (const ll_segment *s = c->segments; s < c->segments + c->n_segments; s++) {
        const ll_range rows = ll_rows_in(s, own);
        for (int t = rows.begin; t < rows.end; t++) {
            float *x = c->x + (size_t)t * c->dim_stride;
            ll_unpack_row(&c->model->embedding, s->item->tokens[s->from + t - s->first], x);
            for (int d = 0; f->embedding_scale > 0 && d < f->dim; d++) x[d] *= f->embedding_scale;
        }
    }
}

/* logprobs[i] of the token that follows row i of x, for count rows. */
static void ll_score_rows(ll_team team, llama_context *c, const int *next, int count, float *logprobs) {
    const int block = c->kernels->type[ll_packed_type(&c->model->classifier)].block;
    for (int first = 0; first < count; first += block) {
        const int n = count - first < block ? count - first : block;
        int rows[LL_BLOCK];
        for (int i = 0; i < n; i++) rows[i] = first + i;
        ll_classify(team, c, rows, n);
        const ll_range own = ll_own_part(team, n);
        for (int t = own.begin; t < own.end; t++)
            logprobs[first + t] =
                llama_logprob(c->logits + (size_t)t * c->vocab_stride, c->model->config.vocab_size, next[first + t]);
        ll_barrier(team);
    }
}

/* The wanted rows' logits, to where their items want them. */
static void ll_deliver_logits(ll_team team, llama_context *c) {
    const size_t bytes = (size_t)c->model->config.vocab_size * sizeof(float);
    for (int first = 0, n; first < c->n_wanted; first += n) {
        n = c->n_wanted - first < c->n_logits ? c->n_wanted - first : c->n_logits;
        ll_classify(team, c, c->wanted + first, n);
        for (int i = team.id; i < n; i += team.count) {
            const float *from = c->logits + (size_t)i * c->vocab_stride;
            if (c->wanted_at[first + i] != from) memcpy(c->wanted_at[first + i], from, bytes);
        }
        ll_barrier(team);
    }
}

/* The rows' final norm, to where their items want it: of the last token, or the mean over all. */
static void ll_deliver_hidden(ll_team team, llama_context *c) {
    const llama_config *f = &c->model->config;
    float *norm = ll_scratch(team, c);
    for (int i = team.id; i < c->n_segments; i += team.count) {
        const ll_segment *s = &c->segments[i];
        const int n = s->item->n, all = s->item->mean;
        float *out = s->item->hidden;
        for (int t = 0; out && t < s->n; t++) {
            const int at = s->from + t;
            if (!all && at < n - 1) continue;
            ll_rms_norm(norm, c->x + (size_t)(s->first + t) * c->dim_stride, c->model->final_norm, f->dim, f->norm_eps);
            for (int d = 0; d < f->dim; d++) out[d] = (all && at ? out[d] : 0) + norm[d];
            for (int d = 0; all && at == n - 1 && d < f->dim; d++) out[d] /= (float)n;
        }
    }
    ll_barrier(team);
}

/* The whole of a call: n tokens of all items, in chunks; or, with logprobs, the probability of each token's successor
 * in the one item there is. Every thread of the team runs it. */
static void ll_evaluate(ll_team team, llama_context *c, const llama_item *items, int n, float *logprobs) {
    const llama_config *f = &c->model->config;
    for (int done = 0; done < n; done += c->n_batch) {
        const int chunk = n - done < c->n_batch ? n - done : c->n_batch;
        if (team.id == 0) ll_begin_chunk(c, items, chunk);
        ll_barrier(team);
        ll_embed(team, c, chunk);
        for (int l = 0; l < f->n_layers; l++) {
            if (team.id == 0 && c->progress) { /* the caller may watch, and stop it */
                const double share = (double)chunk * l / f->n_layers;
                c->cancelled = c->progress(c->user, (float)((done + share) / n));
            }
            ll_barrier(team);
            if (c->cancelled) return;
            ll_forward_layer(team, c, l, chunk);
        }
        if (logprobs)
            ll_score_rows(team, c, items->tokens + done + 1, done + chunk < n ? chunk : chunk - 1, logprobs + done);
        ll_deliver_logits(team, c);
        if (c->n_hidden) ll_deliver_hidden(team, c);
        if (done + chunk < n) ll_barrier(team); /* all have seen what the next chunk writes over */
    }
}

#ifdef LL_THREADS
/* Whether the team was worth its call of so many seconds. Alone, thread 0 would have taken the time that it worked,
 * times all parts over its own. On a machine that is busy with something else that can be less, by far: each step ends
 * with the last thread, and one that is kept from its core comes some milliseconds late. Then calls run alone for as
 * long as this one lost, and where the next try fails too for twenty times that, so that tries cost a twentieth. */
static void ll_judge_team(llama_context *c, const ll_sync *s, double seconds) {
    const double alone = s->own > 0 ? s->busy * s->all / s->own : seconds;
    c->patience = alone >= 0.8 * seconds ? 0 : c->patience > 0 ? 20 : 1;
    c->alone_until = omp_get_wtime() + c->patience * (seconds - alone);
}
#endif

/* Bytes of weights times tokens below which a second thread costs more in barriers than it brings. */
enum { LL_SMALL = 8 << 20 };

/* ---- Pages: which positions of which sequence lie where ---- */

static int ll_pages(int positions) { return (positions + LLAMA_PAGE - 1) / LLAMA_PAGE; }

static int ll_take_page(llama_context *c) {
    const int page = c->unused[--c->n_unused];
    c->shared[page] = 1;
    return page;
}
static void ll_drop_page(llama_context *c, int page) {
    if (!--c->shared[page]) c->unused[c->n_unused++] = page;
}

/* Cuts a sequence to its first n positions. */
static void ll_cut(llama_context *c, ll_sequence *q, int n) {
    for (int i = ll_pages(n); i < ll_pages(q->length); i++) ll_drop_page(c, q->page[i]);
    q->length = n;
}

/* The unfinished page of a sequence that other sequences have too, and so must be copied before it is written to; -1:
 * there is none. */
static int ll_page_to_copy(const llama_context *c, const ll_sequence *q) {
    const int page = q->length % LLAMA_PAGE ? q->page[q->length / LLAMA_PAGE] : -1;
    return page >= 0 && c->shared[page] > 1 ? page : -1;
}

/* Whether there are pages for all items. Of those who have an unfinished page in common all but one need a copy. */
static int ll_check_room(llama_context *c, const llama_item *items, int count, llama_error *err) {
    int64_t missing = 0;
    for (int i = 0; i < count; i++) {
        ll_sequence *q = &c->sequences[items[i].sequence];
        const int copied = ll_page_to_copy(c, q);
        missing += ll_pages(q->length + items[i].n) - ll_pages(q->length) + (copied >= 0);
        if (copied >= 0) c->shared[copied]--;
        q->before = copied + 1;
    }
    for (int i = 0; i < count; i++) {
        ll_sequence *q = &c->sequences[items[i].sequence];
        if (q->before) c->shared[q->before - 1]++, q->before = 0;
    }
    if (missing <= c->n_unused) return 0;
    return ll_fail(err, LLAMA_NO_ROOM, "%" PRId64 " pages of %d tokens are needed, %d of %d are free", missing,
                   LLAMA_PAGE, c->n_unused, c->n_pages);
}

static void ll_copy_page(const llama_context *c, int to, int from) {
    const llama_config *f = &c->model->config;
    const size_t piece = (size_t)(LL_TILE * (int)LLAMA_PAGE * ll_kv_size(c->kv));
    for (int l = 0; l < f->n_layers; l++)
        for (int h = 0; h < f->n_kv_heads; h++) {
            memcpy(ll_head_keys(c, to, l, h), ll_head_keys(c, from, l, h), (int)LLAMA_PAGE / LL_TILE * c->key_bytes);
            if (c->kv == LL_KV_Q8)
                memcpy(ll_head_scales(c, to, l, h), ll_head_scales(c, from, l, h), LLAMA_PAGE * sizeof(float));
            for (size_t d = 0; d < c->head_stride; d += LL_TILE)
                memcpy(ll_head_values(c, to, l, h, d), ll_head_values(c, from, l, h, d), piece);
        }
}

/* Takes the pages that an item needs. */
static void ll_make_room(llama_context *c, const llama_item *it) {
    ll_sequence *q = &c->sequences[it->sequence];
    const int from = ll_page_to_copy(c, q);
    q->rows = 0;
    if (from >= 0) {
        const int copy = q->page[q->length / LLAMA_PAGE] = ll_take_page(c);
        ll_copy_page(c, copy, from);
        c->shared[from]--;
        q->before = from + 1;
    }
    for (int i = ll_pages(q->length); i < ll_pages(q->length + it->n); i++) q->page[i] = ll_take_page(c);
}

/* At the end of a call: they are the sequence's, or, if the call was cancelled, all is as it was. */
static void ll_end_item(llama_context *c, const llama_item *it) {
    ll_sequence *q = &c->sequences[it->sequence];
    const int length = q->length, from = q->before - 1;
    q->length += it->n, q->before = 0;
    if (!c->cancelled) return;
    ll_cut(c, q, length);
    if (from < 0) return;
    ll_drop_page(c, q->page[length / LLAMA_PAGE]);
    c->shared[q->page[length / LLAMA_PAGE] = from]++;
}

/* What is wrong with an item; which names it in messages. */
static int ll_check_item(const llama_context *c, const llama_item *it, const char *which, llama_error *err) {
    const int vocab_size = c->model->config.vocab_size;
    if (it->n < 1) return ll_fail(err, LLAMA_BAD_TOKEN, "%s%d tokens given, at least 1 needed", which, it->n);
    const int length = c->sequences[it->sequence].length;
    if (it->n > c->longest - length)
        return ll_fail(err, LLAMA_NO_ROOM, "%s%d tokens do not fit: the context holds %d and %d are taken", which,
                       it->n, c->longest, length);
    for (int i = 0; i < it->n; i++)
        if (it->tokens[i] < 0 || it->tokens[i] >= vocab_size)
            return ll_fail(err, LLAMA_BAD_TOKEN, "%stoken %d of %d is %d, not between 0 and %d", which, i, it->n,
                           it->tokens[i], vocab_size - 1);
    return 0;
}

/* Runs checked items on all threads, and moves the lengths of their sequences. What fails leaves the context as it
 * was. */
static int ll_run(llama_context *c, const llama_item *items, int count, float *logprobs, llama_error *err) {
    int n = 0;
    if (ll_check_room(c, items, count, err)) return -1;
    /* Of those who have an unfinished page in common the longest comes last and keeps it: it writes there behind what
     * the others have, who get the page back if the call is cancelled. */
    for (int at = 0; at < LLAMA_PAGE; at++)
        for (int i = 0; i < count; i++)
            if (c->sequences[items[i].sequence].length % LLAMA_PAGE == at) ll_make_room(c, &items[i]), n += items[i].n;
    ll_sync sync = {0, 0, 0, 0, 0, 0, 0, 0};
    const ll_team alone = {0, 1, &sync};
    c->cancelled = c->logits_at = c->at = c->done = 0;
#ifdef LL_THREADS
    if (c->n_threads > 1 && (uint64_t)n * c->model->config.weight_bytes > LL_SMALL &&
        omp_get_wtime() >= c->alone_until) {
        const double begin = omp_get_wtime();
#ifdef KMP_VERSION_MAJOR
        kmp_set_blocktime(1); /* LLVM's threads would spin for 200 ms after the call; GNU's stop after some */
#endif
#pragma omp parallel num_threads(c->n_threads)
        {
            const ll_team team = {omp_get_thread_num(), omp_get_num_threads(), &sync};
            const double entered = omp_get_wtime();
            ll_evaluate(team, c, items, n, logprobs);
            if (!team.id) sync.busy = omp_get_wtime() - entered - sync.waited;
        }
        ll_judge_team(c, &sync, omp_get_wtime() - begin);
    } else
#endif
        ll_evaluate(alone, c, items, n, logprobs);
    for (int i = 0; i < count; i++) ll_end_item(c, &items[i]);
    return c->cancelled ? ll_fail(err, LLAMA_CANCELLED, "cancelled") : 0;
}

/* A call of the one sequence of those who have no other. */
static int ll_run_alone(llama_context *c, const int *tokens, int n, float *logprobs, llama_error *err) {
    const llama_item item = {0, n, tokens, NULL, c->logits, NULL, 0};
    if (ll_check_item(c, &item, "", err) || ll_run(c, &item, 1, logprobs, err)) return -1;
    c->logits_at = c->sequences->length;
    return 0;
}

/* ==== 5. Sampler ================================================================================
 * Logits become probabilities, p = softmax(logits / temperature), and one token is drawn: below 1 the temperature
 * favours the likely ones, at 0 the likeliest always wins. Before that come what changes single logits, and the stages
 * that keep the unlikely tail out, in which a model is least to be trusted (top-k; top-p: arXiv:1904.09751; min-p:
 * arXiv:2407.01082). Their order is in llama.h.
 *
 * Nothing sorts the vocabulary: top-k keeps a heap of the k best so far, and most logits fail to beat the worst of
 * them; top-p alone takes the best one off a heap of all until it has enough.
 */
typedef struct {
    float logit;
    int id;
} ll_candidate;

enum { LL_HISTORY = 1024, LL_ASKED = 64 }; /* tokens that a sampler can go back and still know its window */

struct llama_sampler {
    llama_sampling sampling;
    ll_allocator allocator;
    int vocab_size;
    uint64_t state;
    int *history;             /* (capacity) the last tokens, a ring; the window and LL_HISTORY before it */
    int capacity, seen;       /* how many there may be, and are */
    int next;                 /* where the next one goes */
    float *logits;            /* (vocab_size) a copy to change */
    ll_candidate *candidates; /* (vocab_size) */
    unsigned char *repeated;  /* (vocab_size) 1: penalised already */
};

/* From 0 up to but not 1, in steps of 2^-24. SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", 2014. */
static float ll_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (float)((z ^ z >> 31) >> 40) / 16777216.0f;
}

/* 1 if a ranks before b. Of equals the smaller id does, so that the order is one. */
static int ll_ranks(ll_candidate a, ll_candidate b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

/* Lets heap[i] sink below its children 2i + 1 and 2i + 2 to its place, in O(log n) steps. The root is the best
 * candidate, or the worst if worst is 1. */
static void ll_sink(ll_candidate *heap, int n, int i, int worst) {
    const ll_candidate moving = heap[i];
    for (int child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && ll_ranks(heap[child + 1], heap[child]) != worst) child++;
        if (ll_ranks(heap[child], moving) == worst) break;
        heap[i] = heap[child];
    }
    heap[i] = moving;
}

/* The k best of n logits, best first, into out: O(n + k log k), as long as most logits do not get in. */
static void ll_top_k(ll_candidate *out, const float *logits, int n, int k) {
    for (int i = 0; i < k; i++) out[i].logit = logits[i], out[i].id = i;
    for (int i = k / 2 - 1; i >= 0; i--) ll_sink(out, k, i, 1);
    for (int i = k; i < n; i++)
        if (logits[i] > out[0].logit) { /* an equal one has the larger id and loses */
            out[0].logit = logits[i], out[0].id = i;
            ll_sink(out, k, 0, 1);
        }
    for (int end = k - 1; end > 0; end--) { /* the worst goes last */
        const ll_candidate worst = out[0];
        out[0] = out[end], out[end] = worst;
        ll_sink(out, end, 0, 1);
    }
}

/* Keeps the fewest of n candidates whose probabilities sum to p, best first; returns how many. With
 * sorted 0 they are first made a heap, and the best ones moved to the end of it, then turned round. */
static int ll_top_p(ll_candidate *list, int n, float p, float max, int sorted) {
    double total = 0, sum = 0;
    int kept = 0;
    for (int i = 0; i < n; i++) total += ll_exp(list[i].logit - max);
    if (sorted) {
        while (kept < n && sum < p * total) sum += ll_exp(list[kept++].logit - max);
        return kept;
    }
    for (int i = n / 2 - 1; i >= 0; i--) ll_sink(list, n, i, 0);
    while (kept < n && sum < p * total) {
        const ll_candidate best = list[0];
        sum += ll_exp(best.logit - max);
        kept++;
        list[0] = list[n - kept], list[n - kept] = best;
        ll_sink(list, n - kept, 0, 0);
    }
    for (int i = 0; i < kept && i < n - 1 - i; i++) {
        const ll_candidate swap = list[i];
        list[i] = list[n - 1 - i], list[n - 1 - i] = swap;
    }
    return kept;
}

/* One of n candidates, each with probability e^(logit / t) / the sum of all: where a random share of the sum falls. */
static int ll_draw(llama_sampler *s, const ll_candidate *list, int n, float max) {
    const float t = s->sampling.temperature; /* may be so small that its inverse is infinite */
    double total = 0, sum = 0;
    for (int i = 0; i < n; i++) total += ll_exp((list[i].logit - max) / t);
    const double r = ll_random(&s->state) * total;
    for (int i = 0; i < n; i++) {
        sum += ll_exp((list[i].logit - max) / t);
        if (r < sum) return list[i].id;
    }
    return list[n - 1].id;
}

/* The least logit that is within so many standard deviations of all of them from the largest (arXiv:2411.07641): noise
 * among logits is near a normal distribution, and what a model means stands out of it. */
static double ll_sigma_bound(const float *logits, int n, float sigmas, float max) {
    double sum = 0, squares = 0, count = 0;
    for (int i = 0; i < n; i++) {
        const double below = logits[i] >= -FLT_MAX ? (double)max - logits[i] : 0;
        sum += below, squares += below * below, count += logits[i] >= -FLT_MAX;
    }
    const double variance = squares / count - sum / count * (sum / count);
    return max - sigmas * sqrt(variance > 0 ? variance : 0);
}

/* Tokens of the window become less likely, once each (arXiv:1909.05858): a positive logit is divided by the penalty, a
 * negative one multiplied, so that both fall. */
static void ll_penalise(llama_sampler *s, float *logits) {
    const int window = s->seen < s->sampling.repeat_window ? s->seen : s->sampling.repeat_window;
    for (int i = 1; i <= window; i++) {
        const int id = s->history[(s->next - i + s->capacity) % s->capacity];
        if (s->repeated[id]) continue;
        s->repeated[id] = 1;
        logits[id] = logits[id] > 0 ? logits[id] / s->sampling.repeat_penalty : logits[id] * s->sampling.repeat_penalty;
    }
    for (int i = 1; i <= window; i++) s->repeated[s->history[(s->next - i + s->capacity) % s->capacity]] = 0;
}

/* ==== 6. Public functions =======================================================================
 * What llama.h declares and explains, with what only it needs: files, a context's memory.
 */

/* ---- Models ----
 * Read-only once loaded, so that any number of contexts and threads can share one. A file is mapped where the system
 * can do that: its pages come from the disk when they are first read, and a second program shares them.
 */

void llama_free(llama_model *m) {
    if (!m) return;
    const ll_allocator a = m->allocator;
#ifdef LL_MMAP
    if (m->mapped) munmap(m->mapped, m->file_size);
#endif
    ll_release(&a, m->block);
    ll_release(&a, m->layers);
    ll_release(&a, m);
}

/* An empty model that remembers whose memory it lives in. */
static llama_model *ll_new_model(const llama_options *options, const char *name, llama_error *err) {
    const ll_allocator a = ll_allocator_of(options);
    llama_model *m = (llama_model *)ll_alloc(&a, sizeof *m);
    if (!m) return ll_fail(err, LLAMA_NO_MEMORY, "%.120s: no memory", name), (llama_model *)NULL;
    memset(m, 0, sizeof *m);
    m->allocator = a;
    return m;
}

#ifdef LL_MMAP
/* Maps a regular file. 1: not to be mapped (a pipe, say), read it instead; -1: failed. */
static int ll_map_file(llama_model *m, const char *path, llama_error *err) {
    int fd = open(path, O_RDONLY), result = 1;
    struct stat st;
    if (fd < 0) return ll_fail(err, LL_BAD, "%.120s: cannot open: %s", path, strerror(errno));
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t)st.st_size < SIZE_MAX) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p != MAP_FAILED) m->file = (unsigned char *)p, m->file_size = (size_t)st.st_size, m->mapped = p, result = 0;
    }
    close(fd);
    return result;
}
#endif

/* Reads to the end of the file, so that its size need not be known: a pipe works, and so does a file of
 * any size where long has 32 bits. The buffer doubles, at least to what the file says of its size, and
 * begins on a page as a mapped file does: fast kernels like their lines whole, and in pairs. */
static int ll_read_file(llama_model *m, const char *path, llama_error *err) {
    FILE *file = fopen(path, "rb");
    if (!file) return ll_fail(err, LL_BAD, "%.120s: cannot open: %s", path, strerror(errno));
    const long end = fseek(file, 0, SEEK_END) ? -1 : ftell(file);
    rewind(file);
    size_t capacity = end > 0 && end < LONG_MAX ? (size_t)end + 1 : 1 << 20, size = 0;
    for (;; capacity = ll_mul(capacity, 2)) {
        void *block = ll_alloc(&m->allocator, ll_add(capacity, LL_PAGE));
        if (!block)
            return fclose(file), ll_fail(err, LLAMA_NO_MEMORY, "%.120s: no memory for %zu bytes", path, capacity);
        unsigned char *data = ll_align(block, LL_PAGE);
        if (size) memcpy(data, m->file, size);
        ll_release(&m->allocator, m->block);
        m->file = data, m->block = block;
        size += fread(data + size, 1, capacity - size, file); /* ends early at the end or an error only */
        if (size < capacity) break;
    }
    const int failed = ferror(file), why = errno;
    fclose(file);
    m->file_size = size;
    if (failed) return ll_fail(err, LL_BAD, "%.120s: cannot read: %s", path, strerror(why));
    return 0;
}

llama_model *llama_load(const char *path, const llama_options *options, llama_error *err) {
    llama_model *m = ll_new_model(options, path, err);
    int result = 1;
    char name[128]; /* the end of a long path tells more than its beginning */
    const size_t length = strlen(path);
    snprintf(name, sizeof name, "%s%s", length > 120 ? "..." : "", length > 120 ? path + length - 120 : path);
    if (!m) return NULL;
#ifdef LL_MMAP
    if (!options || !options->copy) result = ll_map_file(m, path, err);
#endif
    if (result == 1) result = ll_read_file(m, path, err);
    if (!result) result = ll_parse(m, name, err);
    if (result) llama_free(m), m = NULL;
    return m;
}

llama_model *llama_load_memory(const void *data, size_t size, const llama_options *options, llama_error *err) {
    if ((uintptr_t)data % sizeof(float))
        return ll_fail(err, LLAMA_BAD_OPTION, "memory: data is not aligned to 4 bytes"), (llama_model *)NULL;
    llama_model *m = ll_new_model(options, "memory", err);
    if (!m) return NULL;
    m->file = (const unsigned char *)data, m->file_size = size;
    if (ll_parse(m, "memory", err)) llama_free(m), m = NULL;
    return m;
}

const llama_config *llama_get_config(const llama_model *m) { return &m->config; }

const void *llama_get_tokenizer(const llama_model *m, size_t *size) {
    *size = m->tokenizer_size;
    return m->tokenizer_size ? m->file + m->tokenizer : NULL;
}

/* ---- Contexts ----
 * All memory that a context will ever need is one block: 2 * n_layers * n_kv_heads * head_dim numbers of cache for each
 * position of each page, and activations for n_batch tokens. Nothing is allocated later, so nothing can fail later.
 */

/* Takes room for a x b floats at a cache line's boundary. With base NULL it only counts. */
static float *ll_carve(unsigned char *base, size_t *at, size_t a, size_t b) {
    const size_t begin = *at, bytes = ll_mul(ll_mul(a, b), sizeof(float));
    *at = ll_mul(ll_add(ll_add(begin, bytes), 63) / 64, 64);
    if (ll_add(begin, bytes) == SIZE_MAX) *at = SIZE_MAX;
    return base ? (float *)(void *)(base + begin) : NULL;
}

static size_t ll_max(size_t a, size_t b) { return a > b ? a : b; }

/* Lays out all buffers of a context whose numbers are set; returns the bytes that they take. */
static size_t ll_layout_context(llama_context *c, unsigned char *base) {
    const llama_config *f = &c->model->config;
    const size_t n = (size_t)c->n_batch, sequences = (size_t)c->n_sequences, pages = (size_t)c->n_pages;
    size_t at = 0;
    c->dim_stride = ll_pad(f->dim), c->vocab_stride = ll_pad(f->vocab_size);
    c->q_stride = ll_pad(f->n_heads * f->head_dim), c->kv_stride = ll_pad(f->n_kv_heads * f->head_dim);
    int dense = 0, mixtures = 0; /* of what no layer has the file may claim any size */
    for (int l = 0; l < f->n_layers; l++) ++*(f->layers[l].experts ? &mixtures : &dense);
    const size_t experts = mixtures ? (size_t)f->n_experts : 0;
    const size_t rows = ll_mul(n, mixtures ? (size_t)f->n_experts_used : 1);
    c->head_stride = ll_pad(f->head_dim), c->router_stride = mixtures ? ll_pad(f->n_experts) : 0;
    c->hidden_stride = ll_max(dense ? ll_pad(f->hidden_dim) : 0, mixtures ? ll_pad(f->expert_dim) : 0);
    c->query_stride = ll_max(c->head_stride, ll_packed_bytes(LL_Q8, f->head_dim) / sizeof(float));
    /* Three tiles: of few columns, a packed group takes more than their floats. */
    const size_t widest = ll_max(ll_max(c->dim_stride, c->q_stride), ll_max(c->hidden_stride, 3 * LL_TILE));
    c->scratch_stride =
        ll_max(ll_mul(widest, 3 * LL_TILE), ll_mul(c->query_stride + c->head_stride + LL_KEYS, LL_BLOCK));
    c->x = ll_carve(base, &at, n, c->dim_stride);
    c->q = ll_carve(base, &at, n, c->q_stride);
    c->k = ll_carve(base, &at, n, c->kv_stride);
    c->v = ll_carve(base, &at, n, c->kv_stride);
    c->heads = ll_carve(base, &at, n, c->q_stride);
    c->gate = ll_carve(base, &at, rows, c->hidden_stride);
    c->up = ll_carve(base, &at, rows, c->hidden_stride);
    if (experts || f->extras & LLAMA_POST_NORM) c->branch = ll_carve(base, &at, rows, c->dim_stride);
    ll_mixture *m = &c->mixture; /* an int takes no more than a float */
    m->scores = ll_carve(base, &at, n, c->router_stride);
    m->weight = ll_carve(base, &at, rows, experts ? 1 : 0);
    m->row = (int *)(void *)ll_carve(base, &at, rows, experts ? 1 : 0);
    m->token = (int *)(void *)ll_carve(base, &at, rows, experts ? 1 : 0);
    m->begin = (int *)(void *)ll_carve(base, &at, experts + 1, experts ? 1 : 0);
    m->gate_up = (ll_product *)(void *)ll_carve(base, &at, 2 * experts, sizeof(ll_product) / sizeof(float));
    m->down = (ll_product *)(void *)ll_carve(base, &at, experts, sizeof(ll_product) / sizeof(float));
    c->packed = (unsigned char *)ll_carve(base, &at, rows, widest); /* no type takes more than f32 */
    c->logits = ll_carve(base, &at, (size_t)c->n_logits, c->vocab_stride);
    c->rope = ll_carve(base, &at, (size_t)c->longest, (size_t)(f->n_ropes ? f->n_ropes : 1) * (size_t)f->head_dim);
    const size_t lines = ll_mul(ll_mul((size_t)f->n_layers, (size_t)f->n_kv_heads), ll_mul(pages, LLAMA_PAGE));
    const size_t tile = (size_t)(LL_TILE * ll_kv_size(c->kv));
    c->key_bytes = c->kv == LL_KV_Q8 ? ll_tile_bytes(LL_Q8, f->head_dim) : tile * (size_t)f->head_dim;
    c->keys = (unsigned char *)ll_carve(base, &at, lines / LL_TILE, c->key_bytes / sizeof(float));
    c->values = (unsigned char *)ll_carve(base, &at, lines / LL_TILE, c->head_stride * tile / sizeof(float));
    c->value_scales = ll_carve(base, &at, c->kv == LL_KV_Q8 ? lines : 0, 1);
    const size_t pointers = sizeof(void *) / sizeof(float);
    c->sequences = (ll_sequence *)(void *)ll_carve(base, &at, sequences, sizeof(ll_sequence) / sizeof(float));
    int *numbers = (int *)(void *)ll_carve(base, &at, sequences, (size_t)ll_pages(c->longest));
    for (size_t i = 0; base && i < sequences; i++) {
        const ll_sequence empty = {0, numbers + i * (size_t)ll_pages(c->longest), 0, 0, 0};
        c->sequences[i] = empty;
    }
    c->shared = (int *)(void *)ll_carve(base, &at, pages, 1);
    c->unused = (int *)(void *)ll_carve(base, &at, pages, 1);
    for (int i = c->n_pages - 1; base && i >= 0; i--) c->shared[i] = 0, c->unused[c->n_unused++] = i; /* 0 on top */
    c->segments = (ll_segment *)(void *)ll_carve(base, &at, sequences, sizeof(ll_segment) / sizeof(float));
    c->wanted = (int *)(void *)ll_carve(base, &at, n, 1);
    c->wanted_at = (float **)(void *)ll_carve(base, &at, n, pointers);
    c->scratch = ll_carve(base, &at, (size_t)c->n_threads, c->scratch_stride);
    return at;
}

#ifdef LL_THREADS
/* Cores this process may use. A second thread on a core brings nothing: its arithmetic and its reads are
 * the same units'. Linux lists a core's threads, the first of them leads. */
static int ll_cores(void) {
    const int procs = omp_get_num_procs();
    int cores = 0;
#ifdef __linux__
    for (int i = 0, first; i < 1024; i++) {
        char path[80];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", i);
        FILE *file = fopen(path, "r");
        if (!file) break;
        cores += fscanf(file, "%d", &first) == 1 && first == i;
        fclose(file);
    }
#endif
    return cores > 0 && cores < procs ? cores : procs;
}
#endif

/* The type of the kv cache. In int8 the largest of 64 numbers of a key decides how fine the others are: where it is a
 * bias beyond LL_MOST_BIAS (Qwen 2's go up to some hundred), perplexity suffers. */
enum { LL_MOST_BIAS = 50 };
static int ll_choose_cache(llama_context *c, const llama_model *m, const char *name, llama_error *err) {
    static const char *const names[LL_N_KV] = {"f32", "f16", "q8"};
    const llama_config *f = &m->config;
    int kv = m->layers->wq.type >= LL_BF16 && m->layers->wq.type <= LL_Q6 ? LL_KV_F16 : LL_KV_F32;
    if (name)
        for (kv = 0; kv < LL_N_KV && strcmp(name, names[kv]);) kv++;
    if (kv == LL_N_KV) return ll_fail(err, LLAMA_BAD_OPTION, "kv_type is \"%.20s\", not f32, f16 or q8", name);
    for (int l = 0; kv == LL_KV_Q8 && f->extras & LLAMA_QKV_BIAS && l < f->n_layers; l++)
        for (int i = 0; i < f->n_kv_heads * f->head_dim; i++)
            if (!(fabsf(m->layers[l].k_bias[i]) <= (float)LL_MOST_BIAS))
                return ll_fail(err, LLAMA_BAD_OPTION, "kv_type q8 is too coarse: layer %d has a key's bias of %g", l,
                               (double)m->layers[l].k_bias[i]);
    c->kv = kv;
    return 0;
}

/* The numbers of a context: options where they are given, defaults where not. */
static int ll_configure_context(llama_context *c, const llama_model *m, const llama_options *o, llama_error *err) {
    llama_options none;
    memset(&none, 0, sizeof none);
    memset(c, 0, sizeof *c);
    if (!o) o = &none;
    c->allocator = ll_allocator_of(o);
    /* A runtime that cannot start its threads ends the process: no number of them that no machine has. */
    static const char *const names[] = {"n_ctx", "n_threads", "n_batch", "n_sequences", "n_ctx_sequence"};
    const int value[] = {o->n_ctx, o->n_threads, o->n_batch, o->n_sequences, o->n_ctx_sequence};
    const int most[] = {1 << 28, 1024, 1 << 28, 1 << 16, 1 << 28};
    for (int i = 0; i < 5; i++)
        if (value[i] < 0 || value[i] > most[i])
            return ll_fail(err, LLAMA_BAD_OPTION, "%s is %d, not between 0 and %d", names[i], value[i], most[i]);
    c->model = m;
    if (ll_choose_cache(c, m, o->kv_type, err)) return -1;
    c->kernels = ll_find_kernels(o->kernels);
    if (!c->kernels)
        return ll_fail(err, LLAMA_BAD_OPTION, "kernels \"%.20s\" are not to be had on this processor or in this build",
                       o->kernels);
    c->progress = o->progress, c->user = o->user;
    c->n_ctx = o->n_ctx ? o->n_ctx : m->config.seq_len;
    c->n_pages = ll_pages(c->n_ctx);
    c->n_sequences = o->n_sequences ? o->n_sequences : 1;
    c->longest = o->n_ctx_sequence && o->n_ctx_sequence < c->n_ctx ? o->n_ctx_sequence : c->n_ctx;
    c->n_logits = c->n_sequences < LL_BLOCK ? LL_BLOCK : c->n_sequences < LL_LOGITS ? c->n_sequences : LL_LOGITS;
    c->n_batch = o->n_batch ? o->n_batch : 256;
    if (c->n_batch > c->n_ctx) c->n_batch = c->n_ctx;
    const int heads = m->config.n_heads, used = m->config.n_experts_used, most_rows = heads > used ? heads : used;
    if (c->n_batch > INT_MAX / most_rows) c->n_batch = INT_MAX / most_rows; /* queries and rows are counted */
    c->n_threads = 1;
#ifdef LL_THREADS
    c->n_threads = o->n_threads ? o->n_threads : ll_cores();
#endif
    return 0;
}

size_t llama_context_bytes(const llama_model *m, const llama_options *options) {
    llama_context c;
    return ll_configure_context(&c, m, options, NULL) ? SIZE_MAX : ll_add(ll_layout_context(&c, NULL), 64 + sizeof c);
}

llama_context *llama_context_create(const llama_model *m, const llama_options *options, llama_error *err) {
    llama_context c;
    if (ll_configure_context(&c, m, options, err)) return NULL;
    const size_t bytes = llama_context_bytes(m, options);
    unsigned char *memory = (unsigned char *)ll_alloc(&c.allocator, bytes);
    if (!memory)
        return ll_fail(err, LLAMA_NO_MEMORY, "no memory: a context of %d tokens needs %zu bytes", c.n_ctx, bytes),
               (llama_context *)NULL;
    /* The struct comes first, because release gets the pointer that alloc gave; buffers from the next line on. */
    ll_layout_context(&c, ll_align(memory + sizeof c, LL_LINE));
    memcpy(memory, &c, sizeof c);
    return (llama_context *)(void *)memory;
}

void llama_context_free(llama_context *c) {
    if (!c) return;
    const ll_allocator a = c->allocator;
    ll_release(&a, c);
}

const float *llama_forward(llama_context *c, const int *tokens, int n, llama_error *err) {
    return ll_run_alone(c, tokens, n, NULL, err) ? NULL : c->logits;
}

const float *llama_logits(const llama_context *c) {
    return c->logits_at && c->logits_at == c->sequences->length ? c->logits : NULL;
}

int llama_score(llama_context *c, const int *tokens, int n, float *logprobs, llama_error *err) {
    return ll_run_alone(c, tokens, n, logprobs, err);
}

int llama_position(const llama_context *c) { return c->sequences->length; }
int llama_context_length(const llama_context *c) { return c->longest; }
int llama_context_threads(const llama_context *c) { return c->n_threads; }
const char *llama_context_kernels(const llama_context *c) { return c->kernels->name; }

void llama_rewind(llama_context *c, int position) {
    if (position < c->sequences->length) ll_cut(c, c->sequences, position < 0 ? 0 : position);
}

/* ---- Sequences ---- */

static int ll_check_sequence(const llama_context *c, int sequence, llama_error *err) {
    if (sequence >= 0 && sequence < c->n_sequences) return 0;
    return ll_fail(err, LLAMA_BAD_OPTION, "sequence is %d, not between 0 and %d", sequence, c->n_sequences - 1);
}

/* Every item, before anything is done about any of them. */
static int ll_check_items(llama_context *c, const llama_item *items, int count, llama_error *err) {
    if (count < 1) return ll_fail(err, LLAMA_BAD_OPTION, "%d items given, at least 1 needed", count);
    int result = 0, checked = 0;
    for (; checked < count && !result; checked++) {
        const llama_item *it = &items[checked];
        char which[64];
        snprintf(which, sizeof which, "item %d, sequence %d: ", checked, it->sequence);
        if (ll_check_sequence(c, it->sequence, err)) break;
        if (c->sequences[it->sequence].called)
            result = ll_fail(err, LLAMA_BAD_OPTION, "%sit is in the list already", which);
        else result = ll_check_item(c, it, which, err);
        c->sequences[it->sequence].called = 1;
    }
    for (int i = 0; i < checked; i++) c->sequences[items[i].sequence].called = 0;
    return result || checked < count ? -1 : 0;
}

int llama_evaluate(llama_context *c, const llama_item *items, int count, llama_error *err) {
    if (ll_check_items(c, items, count, err)) return -1;
    return ll_run(c, items, count, NULL, err);
}

int llama_fork(llama_context *c, int to, int from, int n, llama_error *err) {
    if (ll_check_sequence(c, to, err) || ll_check_sequence(c, from, err)) return -1;
    const ll_sequence *source = &c->sequences[from];
    ll_sequence *copy = &c->sequences[to];
    if (n < 0 || n > source->length)
        return ll_fail(err, LLAMA_BAD_OPTION, "sequence %d has %d tokens, the first %d of them cannot be had", from,
                       source->length, n);
    if (to == from) return ll_cut(c, copy, n), 0;
    ll_cut(c, copy, 0);
    for (int i = 0; i < ll_pages(n); i++) c->shared[copy->page[i] = source->page[i]]++;
    copy->length = n;
    if (!to) c->logits_at = 0;
    return 0;
}

int llama_length(const llama_context *c, int sequence) {
    return sequence >= 0 && sequence < c->n_sequences ? c->sequences[sequence].length : -1;
}

int llama_free_pages(const llama_context *c) { return c->n_unused; }

/* ---- Samplers: a random generator and the last tokens ---- */

llama_sampling llama_sampling_default(void) {
    llama_sampling s;
    memset(&s, 0, sizeof s);
    s.temperature = 0.8f, s.top_k = 40, s.top_p = 0.95f, s.repeat_penalty = 1, s.repeat_window = 64;
    return s;
}

/* One block: the struct, then arrays in falling order of their items' alignment. */
static llama_sampler *ll_new_sampler(int vocab_size, const llama_sampling *o, const llama_options *options,
                                     llama_error *err) {
    const ll_allocator a = ll_allocator_of(options);
    const size_t n = (size_t)vocab_size, capacity = o->repeat_window ? (size_t)o->repeat_window + LL_HISTORY : 0;
    const size_t bytes = ll_add(sizeof(llama_sampler), ll_add(ll_mul(n, sizeof(ll_candidate) + sizeof(float) + 1),
                                                              ll_mul(capacity, sizeof(int))));
    llama_sampler *s = (llama_sampler *)ll_alloc(&a, bytes);
    if (!s) return ll_fail(err, LLAMA_NO_MEMORY, "no memory: a sampler needs %zu bytes", bytes), (llama_sampler *)NULL;
    memset(s, 0, bytes);
    s->sampling = *o, s->allocator = a, s->vocab_size = vocab_size, s->capacity = (int)capacity, s->state = o->seed;
    s->candidates = (ll_candidate *)(void *)(s + 1);
    s->logits = (float *)(void *)(s->candidates + n);
    s->history = (int *)(void *)(s->logits + n);
    s->repeated = (unsigned char *)(s->history + capacity);
    return s;
}

llama_sampler *llama_sampler_create(const llama_model *m, const llama_sampling *sampling, const llama_options *options,
                                    llama_error *err) {
    const llama_sampling o = sampling ? *sampling : llama_sampling_default();
    const struct {
        const char *name, *range;
        double value;
        int ok;
    } field[] = {{"temperature", "0 or more", o.temperature, o.temperature >= 0 && o.temperature <= FLT_MAX},
                 {"top_k", "0 or more", (double)o.top_k, o.top_k >= 0},
                 {"top_p", "above 0 and at most 1", o.top_p, o.top_p > 0 && o.top_p <= 1},
                 {"min_p", "between 0 and 1", o.min_p, o.min_p >= 0 && o.min_p <= 1},
                 {"top_n_sigma", "0 or more", o.top_n_sigma, o.top_n_sigma >= 0 && o.top_n_sigma <= FLT_MAX},
                 {"repeat_penalty", "above 0", o.repeat_penalty, o.repeat_penalty > 0 && o.repeat_penalty <= FLT_MAX},
                 {"repeat_window", "between 0 and 2^28", (double)o.repeat_window,
                  o.repeat_window >= 0 && o.repeat_window <= 1 << 28}};
    for (size_t i = 0; i < sizeof field / sizeof *field; i++)
        if (!field[i].ok)
            return ll_fail(err, LLAMA_BAD_OPTION, "%s is %g, not %s", field[i].name, field[i].value, field[i].range),
                   (llama_sampler *)NULL;
    return ll_new_sampler(m->config.vocab_size, &o, options, err);
}

llama_sampler *llama_sampler_copy(const llama_sampler *from, const llama_options *options, llama_error *err) {
    llama_sampler *s = ll_new_sampler(from->vocab_size, &from->sampling, options, err);
    if (!s) return NULL;
    s->state = from->state, s->seen = from->seen, s->next = from->next;
    memcpy(s->history, from->history, (size_t)s->capacity * sizeof *s->history);
    return s;
}

void llama_sampler_free(llama_sampler *s) {
    if (!s) return;
    const ll_allocator a = s->allocator;
    ll_release(&a, s);
}

void llama_sampler_accept(llama_sampler *s, int token) {
    if (!s->capacity || token < 0 || token >= s->vocab_size) return;
    s->history[s->next] = token;
    s->next = (s->next + 1) % s->capacity;
    if (s->seen < s->capacity) s->seen++;
}

void llama_sampler_rewind(llama_sampler *s, int n) {
    if (n < 0 || !s->capacity) return;
    if (n > s->seen) n = s->seen;
    s->seen -= n;
    s->next = (s->next - n + s->capacity) % s->capacity;
}

void llama_sampler_reset(llama_sampler *s) {
    s->seen = s->next = 0;
    s->state = s->sampling.seed;
}

/* The likeliest token, which -infinity is not, and which nan and +infinity, signs of broken weights, cannot be; -1 with
 * a message if there is none. */
static int ll_best(const float *logits, int n, llama_error *err) {
    int best = 0;
    for (int i = 0; i < n; i++) {
        if (!(logits[i] <= FLT_MAX))
            return ll_fail(err, LLAMA_BAD_LOGITS,
                           "the logit of token %d is %g: the model's weights are damaged or overflow", i,
                           (double)logits[i]);
        if (logits[i] > logits[best]) best = i;
    }
    if (!(logits[best] >= -FLT_MAX))
        return ll_fail(err, LLAMA_BAD_LOGITS, "no token is allowed: every logit is -infinity");
    return best;
}

/* Those of the n logits, of which max is the largest, that the stages keep: so many of s->candidates. */
static int ll_keep_candidates(llama_sampler *s, const float *logits, int n, float max) {
    const llama_sampling *o = &s->sampling;
    ll_candidate *list = s->candidates;
    const int ranked = o->top_k > 0 && o->top_k < n, kept = ranked ? o->top_k : n; /* or in the order of their ids */
    const double least = o->top_n_sigma > 0 ? ll_sigma_bound(logits, n, o->top_n_sigma, max) : -INFINITY;
    int some = 0, left = 0;
    if (ranked) ll_top_k(list, logits, n, kept);
    for (int i = 0; i < kept; i++) {
        const ll_candidate all = {logits[i], i}, next = ranked ? list[i] : all;
        if (next.logit >= least) list[some++] = next;
    }
    if (o->top_p < 1) some = ll_top_p(list, some, o->top_p, max, ranked);
    for (int i = 0; i < some; i++) /* -infinity has probability 0, and is below any other bound */
        if (list[i].logit >= -FLT_MAX && ll_exp(list[i].logit - max) >= o->min_p) list[left++] = list[i];
    return left;
}

/* The candidate to take: drawn, or of a greedy sampler the best. */
static int ll_take_candidate(llama_sampler *s, int n) {
    int best = 0;
    for (int i = 1; i < n; i++) best = ll_ranks(s->candidates[i], s->candidates[best]) ? i : best;
    return s->sampling.temperature > 0 ? ll_draw(s, s->candidates, n, s->candidates[best].logit)
                                       : s->candidates[best].id;
}

/* Another token, after the hook has refused one of `kept` candidates: the next of these, and when it has refused all,
 * any of the vocabulary that it allows. A greedy sampler's candidates are its LL_ASKED best. */
static int ll_take_allowed(llama_sampler *s, const float *logits, int kept, int token, llama_error *err) {
    const llama_sampling *o = &s->sampling;
    const int n = s->vocab_size;
    ll_candidate *list = s->candidates;
    if (!(o->temperature > 0)) ll_top_k(list, logits, n, kept = n < LL_ASKED ? n : LL_ASKED);
    for (;;) {
        int left = 0;
        for (int i = 0; i < kept; i++)
            if (list[i].id != token && list[i].logit >= -FLT_MAX) list[left++] = list[i];
        if (!(kept = left)) break;
        token = ll_take_candidate(s, kept);
        if (o->check(o->user, token)) return token;
    }
    for (int id = 0; id < n; id++)
        if (logits[id] >= -FLT_MAX && o->check(o->user, id)) list[kept].logit = logits[id], list[kept++].id = id;
    if (!kept) return ll_fail(err, LLAMA_BAD_LOGITS, "no token is allowed: all were refused");
    return ll_take_candidate(s, kept);
}

int llama_sample(llama_sampler *s, const float *logits, llama_error *err) {
    const llama_sampling *o = &s->sampling;
    const int n = s->vocab_size, penalise = o->repeat_penalty != 1 && s->seen;
    int kept = 0;
    if (o->adjust || penalise) { /* on a copy: the logits belong to the context */
        memcpy(s->logits, logits, (size_t)n * sizeof *logits);
        if (o->adjust) o->adjust(o->user, s->logits, n);
        if (penalise) ll_penalise(s, s->logits);
        logits = s->logits;
    }
    int token = ll_best(logits, n, err);
    if (token < 0) return -1;
    if (o->temperature > 0) {
        const float max = logits[token];
        kept = ll_keep_candidates(s, logits, n, max);
        token = ll_draw(s, s->candidates, kept, max);
    }
    if (o->check && !o->check(o->user, token)) token = ll_take_allowed(s, logits, kept, token, err);
    if (token >= 0) llama_sampler_accept(s, token);
    return token;
}

/* log softmax(logits)[token] = logits[token] - log of the sum of e^logits, the maximum taken out of the sum. */
float llama_logprob(const float *logits, int vocab_size, int token) {
    float max = logits[0];
    double sum = 0;
    for (int i = 1; i < vocab_size; i++) max = logits[i] > max ? logits[i] : max;
    for (int i = 0; i < vocab_size; i++) sum += ll_exp(logits[i] - max);
    return (float)(logits[token] - max - log(sum));
}

/* ==== 7. Fast kernels ===========================================================================
 * Here a reader may stop: all that is computed has been said. What follows computes it again, faster.
 *
 * What all processors share. A processor multiplies many numbers at a time, in registers of 16, 32 or 64 bytes, and
 * waits for memory most of all. So
 *
 * - tiles: a line of a tile fills registers with the same columns of 16 rows. Multiplied by one activation of each
 *   column, they add to 16 sums that stay in registers from the first column to the last; nothing is ever added across
 *   a register, which would take longer than the products.
 * - blocks: several tokens meet a line while it is there, as many as there are registers to sum in. Then multiplying
 *   takes longer than loading, and a product runs at the speed of the multipliers.
 * - pairs: where loads still are what it waits for, two tiles share each activation that is brought.
 * - groups: q8 and q4 multiply integers, of which a register holds four times as many; scales come in once a group.
 *
 * One instance of a kernel for each number of tokens, since only constants can say which sum stays in which register:
 * TOKENS and other names in capitals are constants wherever a kernel is inlined. A set is a table in the order of
 * ll_plain; ll_find_kernels, at the end, chooses one when the program runs.
 */
#if !defined(LLAMA_NO_SIMD) && defined(__x86_64__) && defined(__GNUC__)
#define LL_X86
#include <cpuid.h>
#include <immintrin.h>
#if defined(__clang__) ? __clang_major__ >= 13 : __GNUC__ >= 11
#define LL_AVX_VNNI __attribute__((target("avxvnni,avx2,fma,f16c")))
#endif
#endif

#if !defined(LLAMA_NO_SIMD) && defined(__aarch64__) && defined(__ARM_NEON) && defined(__GNUC__)
#define LL_NEON
#include <arm_neon.h>
#ifdef __linux__
#include <sys/auxv.h>
#endif
#endif

#if defined(LL_X86) || defined(LL_NEON)
#define LL_INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define LL_UNROLL(...) _Pragma("clang loop unroll(full)") for (__VA_ARGS__)
#define LL_ROLLED(...) _Pragma("clang loop unroll(disable)") for (__VA_ARGS__)
#else
#define LL_UNROLL(...) _Pragma("GCC unroll 16") for (__VA_ARGS__)
#define LL_ROLLED(...) _Pragma("GCC unroll 1") for (__VA_ARGS__)
#endif

/* Rounded to bf16 and kept as float32, so that all sets compute the same: (n, t), an odd n filled up. */
static void ll_pack_bf16_as_f32(void *out, const float *x, size_t stride, int n, int tokens) {
    uint32_t *a = (uint32_t *)out;
    for (int k = 0; k < (n + 1) / 2 * 2; k++)
        for (int t = 0; t < tokens; t++)
            *a++ = k < n ? (uint32_t)ll_to_bf16(x[(size_t)t * stride + (size_t)k]) << 16 : 0;
}

/* Makes a ll_tile_fn or a ll_prompt_fn of a kernel for a constant number of tokens: one instance for each number. What
 * follows the kernel's name are its other constants. */
/* clang-format off */
#define LL_CASE(T, kernel, ...) case T: kernel(out, out_stride, w, a, n, add, __VA_ARGS__, T); break;
#define LL_CASES_4(...)                                                                         \
    LL_CASE(1, __VA_ARGS__) LL_CASE(2, __VA_ARGS__) LL_CASE(3, __VA_ARGS__) LL_CASE(4, __VA_ARGS__)
#define LL_CASES_6(...) LL_CASES_4(__VA_ARGS__) LL_CASE(5, __VA_ARGS__) LL_CASE(6, __VA_ARGS__)
#define LL_CASES_12(...) LL_CASES_6(__VA_ARGS__)                                                \
    LL_CASE(7, __VA_ARGS__) LL_CASE(8, __VA_ARGS__) LL_CASE(9, __VA_ARGS__)                     \
    LL_CASE(10, __VA_ARGS__) LL_CASE(11, __VA_ARGS__) LL_CASE(12, __VA_ARGS__)
#define LL_TILE_FN(name, target, cases, ...)                                                    \
    target static void name(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens, int add) { \
        switch (tokens) { cases(__VA_ARGS__) }                                                  \
    }
#define LL_MIX_FN(name, target, cases, ...)                                                     \
    target static void name(float *out, size_t out_stride, const ll_values *w, const float *a, int n, int tokens,      \
                            int add) {                                                          \
        switch (tokens) { cases(__VA_ARGS__) }                                                  \
    }
#define LL_PROMPT_FN(name, target, cases, ...)                                                  \
    target static void name(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens, int add,   \
                            const void *ahead, int lines) {                                     \
        switch (tokens) { cases(__VA_ARGS__) }                                                  \
    }
/* clang-format on */
#endif

#ifdef LL_X86
#define LL_AVX2 __attribute__((target("avx2,fma,f16c")))
#define LL_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))
#define LL_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma,f16c")))

/* ---- AVX-512 with VNNI ----
 * An activation is a 32-bit broadcast from memory, and a line of weights is loaded once for all tokens. A processor
 * that loads two registers a cycle and multiplies two (AMD's) waits for loads: with one tile, T tokens need T + 1 loads
 * for T products. A pair of tiles uses each broadcast twice: for 2 x 6 sums (q8, q4, which need as many again for the
 * group) 8 loads, for 2 x 12 (f32, bf16) 14. One whose two ports for vectors carry everything (Intel's) waits for
 * operations instead: there one tile and twelve tokens have the fewest, with the broadcast as the instruction's own
 * operand. */

/* Line k of an f32 tile, or of a cache of float16 or int8. */
LL_INLINE LL_AVX512 __m512 ll_line_avx512(const void *w, size_t k, const int BYTES) {
    if (BYTES == 4) return _mm512_loadu_ps((const float *)w + k * LL_TILE);
    if (BYTES == 2) return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)w + k));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)w + k)));
}

LL_INLINE LL_AVX512 void ll_store_avx512(float *out, __m512 v, int add) {
    _mm512_storeu_ps(out, add ? _mm512_add_ps(v, _mm512_loadu_ps(out)) : v);
}

/* What comes next, into the second-level cache: so many lines each time. */
LL_INLINE uintptr_t ll_fetch(uintptr_t ahead, int lines) {
    for (int i = 0; i < lines; i++, ahead += LL_LINE) _mm_prefetch((const char *)ahead, _MM_HINT_T1);
    return ahead;
}

/* A few tokens wait for memory alone: a line is asked for two pages before its turn, past the end of its tile, where
 * the processor's own fetching starts anew. As a number, since it may lie behind the matrix. */
LL_INLINE void ll_fetch_line(const void *line) { _mm_prefetch((const char *)((uintptr_t)line + 8192), _MM_HINT_T0); }

LL_INLINE LL_AVX512 void ll_floats_avx512(float *out, size_t out_stride, const void *w, const void *packed, int n,
                                          int add, const void *ahead, int lines, const int BYTES, const size_t TILES,
                                          const size_t TOKENS) {
    const size_t columns = (size_t)n;
    const float *a = (const float *)packed, *second = (const float *)w + columns * LL_TILE;
    uintptr_t next = (uintptr_t)ahead;
    __m512 c[LL_BLOCK], d[LL_BLOCK];
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t] = d[t] = _mm512_setzero_ps();
    for (size_t k = 0; k < columns; k++, a += TOKENS) {
        const __m512 v = ll_line_avx512(w, k, BYTES), u = TILES == 2 ? _mm512_loadu_ps(second + k * LL_TILE) : v;
        if (TILES == 2 && k % LL_STEP == 0) next = ll_fetch(next, lines);
        if (TILES == 1 && TOKENS < LL_FEW && BYTES == 4) ll_fetch_line((const float *)w + k * LL_TILE);
        LL_UNROLL(size_t t = 0; t < TOKENS; t++) {
            const __m512 x = _mm512_set1_ps(a[t]);
            c[t] = _mm512_fmadd_ps(v, x, c[t]);
            if (TILES == 2) d[t] = _mm512_fmadd_ps(u, x, d[t]);
        }
    }
    LL_UNROLL(size_t t = 0; t < TOKENS; t++, out += out_stride) {
        ll_store_avx512(out, c[t], add);
        if (TILES == 2) ll_store_avx512(out + LL_TILE, d[t], add);
    }
}

LL_INLINE LL_AVX512 void ll_mix_avx512(float *out, size_t out_stride, const ll_values *w, const float *a, int n,
                                       int add, const int BYTES, const size_t TOKENS) {
    const unsigned char *const *page = w->page;
    __m512 c[LL_BLOCK];
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t] = _mm512_setzero_ps();
    for (; n > 0; n -= LLAMA_PAGE, page++)
        for (size_t k = 0; k < (size_t)(n < LLAMA_PAGE ? n : LLAMA_PAGE); k++, a++) {
            const __m512 v = ll_line_avx512(*page + w->offset, k, BYTES);
            LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t] = _mm512_fmadd_ps(v, _mm512_set1_ps(a[t * LL_KEYS]), c[t]);
        }
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) ll_store_avx512(out + t * out_stride, c[t], add);
}

/* bf16 without instructions for it: two columns of a line become float32 by a shift and a mask. */
LL_INLINE LL_AVX512 void ll_bf16_avx512(float *out, size_t out_stride, const void *w, const void *packed, int n,
                                        int add, const int UNUSED, const int UNUSED2, const size_t TOKENS) {
    const float *a = (const float *)packed;
    __m512 c[LL_BLOCK];
    (void)UNUSED, (void)UNUSED2;
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t] = _mm512_setzero_ps();
    for (size_t k = 0; k < ((size_t)n + 1) / 2; k++, a += 2 * TOKENS) {
        const __m512i v = _mm512_loadu_si512((const unsigned char *)w + k * LL_LINE);
        const __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
        const __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(-65536)));
        LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t] = _mm512_fmadd_ps(even, _mm512_set1_ps(a[t]), c[t]);
        LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t] = _mm512_fmadd_ps(odd, _mm512_set1_ps(a[TOKENS + t]), c[t]);
    }
    LL_UNROLL(size_t t = 0; t < TOKENS; t++, out += out_stride) ll_store_avx512(out, c[t], add);
}

LL_INLINE LL_AVX512 __m512i ll_word_avx512(const unsigned char *p) {
    int v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

LL_INLINE LL_AVX512_BF16 void ll_bf16_native(float *out, size_t out_stride, const void *w, const void *packed, int n,
                                             int add, const void *ahead, int lines, const size_t TILES,
                                             const size_t TOKENS) {
    const size_t all = ((size_t)n + 1) / 2; /* a line is two columns */
    const unsigned char *a = (const unsigned char *)packed, *first = (const unsigned char *)w;
    const unsigned char *second = first + all * LL_LINE;
    uintptr_t next = (uintptr_t)ahead;
    __m512 c[LL_BLOCK], d[LL_BLOCK];
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t] = d[t] = _mm512_setzero_ps();
    for (size_t k = 0; k < all; k++, a += 4 * TOKENS) {
        const __m512bh v = (__m512bh)_mm512_loadu_si512(first + k * LL_LINE);
        const __m512bh u = TILES == 2 ? (__m512bh)_mm512_loadu_si512(second + k * LL_LINE) : v;
        if (TILES == 2 && k % (LL_STEP / 2) == 0) next = ll_fetch(next, lines);
        if (TILES == 1 && TOKENS < LL_FEW) ll_fetch_line(first + k * LL_LINE);
        LL_UNROLL(size_t t = 0; t < TOKENS; t++) {
            const __m512bh x = (__m512bh)ll_word_avx512(a + 4 * t);
            c[t] = _mm512_dpbf16_ps(c[t], v, x);
            if (TILES == 2) d[t] = _mm512_dpbf16_ps(d[t], u, x);
        }
    }
    LL_UNROLL(size_t t = 0; t < TOKENS; t++, out += out_stride) {
        ll_store_avx512(out, c[t], add);
        if (TILES == 2) ll_store_avx512(out + LL_TILE, d[t], add);
    }
}

/* Groups. vpdpbusd multiplies unsigned bytes by signed ones and adds four neighbours to a 32-bit sum: q8 becomes
 * unsigned by turning its sign bit, q4_0 is unsigned already, a value of q4 is looked up with 64 added to it, and sums
 * start at what that adds too much.
 *
 * They start at LL_BIAS more: the bits of 1.5 x 2^23 as float32, so that a sum of less than 2^22 is, read as float32,
 * 1.5 x 2^23 + sum. A group ends with fma(that, scale, -1.5 x 2^23 x scale) = sum x scale, rounded once, as converting
 * and multiplying would, in one operation instead of two; and with one more that multiplies by the token's scale and
 * adds. Scales are not multiplied with each other first: such products, ready long before the sum, would be calculated
 * in the place of dot products.
 *
 * There is one variable for each token, not an array of them: those stay in registers, of an array compilers keep some
 * in memory. A token beyond TOKENS leaves no code. c and s are the sums of the first tile, d and r of the second, in a
 * group and in all. With one tile and few tokens d sums the odd lines, since a sum can grow only once in some cycles;
 * of q4_0 those are the high nibbles where they lie, 16 times too large. */
enum { LL_BIAS = 0x4b400000 };

/* v & 15, or of each byte its upper half. */
LL_INLINE LL_AVX512 __m512i ll_nibbles_avx512(__m512i v, const int HIGH) {
    return _mm512_and_si512(HIGH ? _mm512_srli_epi16(v, 4) : v, _mm512_set1_epi8(15));
}

/* Columns 4 K to 4 K + 3 of 16 rows, unsigned, from the lines of a group at q. With IN_PLACE an upper half of q4_0
 * stays where it is. */
LL_INLINE LL_AVX512 __m512i ll_bytes_avx512(const unsigned char *q, const ll_type TYPE, const int K,
                                            const int IN_PLACE) {
    const __m512i v = _mm512_loadu_si512(q + (TYPE == LL_Q8 ? K : K / 2) * LL_LINE);
    if (TYPE == LL_Q8) return _mm512_xor_si512(v, _mm512_set1_epi8(-128));
    if (TYPE == LL_Q4) {
        const __m128i values = _mm_add_epi8(_mm_loadu_si128((const __m128i *)ll_q4_values), _mm_set1_epi8(64));
        return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), ll_nibbles_avx512(v, K % 2));
    }
    if (TYPE == LL_Q6) {
        const __m512i u = _mm512_loadu_si512(q + (4 + K / 4) * LL_LINE);
        const __m512i upper = K % 4 == 0   ? _mm512_slli_epi16(u, 4)
                              : K % 4 == 1 ? _mm512_slli_epi16(u, 2)
                              : K % 4 == 2 ? u
                                           : _mm512_srli_epi16(u, 2);
        return _mm512_or_si512(_mm512_and_si512(upper, _mm512_set1_epi8(48)), ll_nibbles_avx512(v, K % 2));
    }
    return K % 2 && IN_PLACE ? _mm512_and_si512(v, _mm512_set1_epi8(-16)) : ll_nibbles_avx512(v, K % 2);
}

/* The 16 scales of a group. */
LL_INLINE LL_AVX512 __m512 ll_scales_avx512(const unsigned char *p, const ll_type TYPE) {
    if (ll_has_rows(TYPE)) return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

/* out (+)= sum, times what all groups of a row have in common. */
LL_INLINE LL_AVX512 void ll_store_groups_avx512(float *out, __m512 sum, const unsigned char *tile, const ll_type TYPE,
                                                int add) {
    ll_store_avx512(out, ll_has_rows(TYPE) ? _mm512_mul_ps(sum, _mm512_loadu_ps(tile)) : sum, add);
}

/* c + the bytes of v times the four at p, broadcast by the instruction itself. Compilers make two of the intrinsics. */
typedef int ll_any_int __attribute__((may_alias, aligned(1)));
LL_INLINE LL_AVX512 __m512i ll_dot_word_avx512(__m512i c, __m512i v, const unsigned char *p) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(c) : "v"(v), "m"(*(const ll_any_int *)(const void *)p));
    return c;
}

/* clang-format off */
#define LL_EACH_TOKEN(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define LL_DECLARE(t) __m512i c##t = _mm512_setzero_si512(), d##t = c##t;                                 \
        __m512 s##t = _mm512_setzero_ps(), r##t = s##t;
#define LL_START(t) if (t < TOKENS)                                                                       \
        c##t = ll_word_avx512(a + TOKENS * (GROUP + 4) + 4 * t), d##t = TILES == 2 ? c##t : _mm512_setzero_si512();
#define LL_DOT(t) if (t < TOKENS) {                                                                       \
        const unsigned char *p = y + t * GROUP + 4 * K;                                                   \
        if (TILES == 2) {                                                                                 \
            const __m512i x = ll_word_avx512(p);                                                          \
            c##t = _mm512_dpbusd_epi32(c##t, v, x), d##t = _mm512_dpbusd_epi32(d##t, u, x);               \
        } else if (K % 2 && APART) d##t = ll_dot_word_avx512(d##t, v, p);                                 \
        else c##t = ll_dot_word_avx512(c##t, v, p); }
#define LL_FOUR_COLUMNS(k) {                                                                              \
        enum { K = k };                                                                                   \
        const __m512i v = ll_bytes_avx512(q, TYPE, K, APART);                                             \
        const __m512i u = TILES == 2 ? ll_bytes_avx512(q + next, TYPE, K, 0) : v;                         \
        (void)u;                                                                                          \
        LL_EACH_TOKEN(LL_DOT) }
#define LL_JOIN(t) if (t < TOKENS && APART)                                                               \
        c##t = _mm512_add_epi32(c##t, TYPE == LL_Q4_0 ? _mm512_srai_epi32(d##t, 4) : d##t);
/* The empty assembler lines keep a group's end here: clang would put it off behind the next group, and run out of
 * registers. */
#define LL_SUM(t) if (t < TOKENS) {                                                                       \
        const __m512 x = _mm512_castsi512_ps(ll_word_avx512(a + TOKENS * GROUP + 4 * t));                 \
        s##t = _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_castsi512_ps(c##t), f, minus_f), x, s##t);          \
        __asm__ volatile("" : "+v"(s##t));                                                                \
        if (TILES == 2) {                                                                                 \
            r##t = _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_castsi512_ps(d##t), g, minus_g), x, r##t);      \
            __asm__ volatile("" : "+v"(r##t)); } }
#define LL_STORE(t) if (t < TOKENS) {                                                                     \
        ll_store_groups_avx512(out + t * out_stride, s##t, first, TYPE, add);                             \
        if (TILES == 2) ll_store_groups_avx512(out + t * out_stride + LL_TILE, r##t, first + next, TYPE, add); }
/* clang-format on */

LL_INLINE LL_AVX512 void ll_groups_avx512(float *out, size_t out_stride, const void *tile, const void *packed, int n,
                                          int add, const void *ahead, int lines, const ll_type TYPE, const size_t TILES,
                                          const size_t TOKENS) {
    const size_t GROUP = (size_t)ll_group(TYPE), BYTES = ll_group_bytes(TYPE), TOGETHER = ll_together(TYPE);
    const int APART = TILES == 1 && TOKENS <= 8;
    const size_t next = ll_tile_bytes(TYPE, n), groups = (size_t)ll_groups(n, (int)GROUP);
    const unsigned char *first = (const unsigned char *)tile, *w = first + (size_t)ll_has_rows(TYPE) * LL_LINE;
    const unsigned char *a = (const unsigned char *)packed;
    uintptr_t fetched = (uintptr_t)ahead;
    const __m512 bias = _mm512_set1_ps(-12582912.0f);
    LL_EACH_TOKEN(LL_DECLARE)
    LL_ROLLED(size_t i = 0; i < groups; i++, a += TOKENS * (GROUP + 8)) {
        const size_t j = i % TOGETHER;
        const unsigned char *scale = w + LL_LINE / TOGETHER * j, *q = w + LL_LINE + j * BYTES, *y = a, *end = a + GROUP;
        LL_EACH_TOKEN(LL_START)
        LL_ROLLED(; y < end; y += LL_STEP, q += BYTES / (GROUP / LL_STEP)) {
            fetched = ll_fetch(fetched, lines);
            __asm__(""
                    : "+r"(y)); /* else clang adds an index to it, which takes the broadcast out of the instruction */
            LL_FOUR_COLUMNS(0)
            LL_FOUR_COLUMNS(1)
            LL_FOUR_COLUMNS(2)
            LL_FOUR_COLUMNS(3) LL_FOUR_COLUMNS(4) LL_FOUR_COLUMNS(5) LL_FOUR_COLUMNS(6) LL_FOUR_COLUMNS(7)
        }
        const __m512 f = ll_scales_avx512(scale, TYPE), g = TILES == 2 ? ll_scales_avx512(scale + next, TYPE) : f;
        const __m512 minus_f = _mm512_mul_ps(f, bias), minus_g = _mm512_mul_ps(g, bias);
        (void)minus_g;
        LL_EACH_TOKEN(LL_JOIN)
        LL_EACH_TOKEN(LL_SUM)
        if (j == TOGETHER - 1) w += LL_LINE + TOGETHER * BYTES;
    }
    LL_EACH_TOKEN(LL_STORE)
}

/* Four bits for a few tokens, which wait for memory: all groups that share a line of scales, in one straight piece of
 * code, ask for it soonest. */
LL_INLINE LL_AVX512 void ll_few_group_avx512(__m512 *sum, const unsigned char *scale, const unsigned char *q,
                                             const unsigned char *a, const ll_type TYPE, const size_t TOKENS) {
    const __m512 s = ll_scales_avx512(scale, TYPE);
    const __m512 minus_s = _mm512_mul_ps(s, _mm512_set1_ps(-12582912.0f));
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) {
        __m512i c = ll_word_avx512(a + TOKENS * (LL_Q4_GROUP + 4) + 4 * t), d = _mm512_setzero_si512();
        LL_UNROLL(size_t k = 0; k < LL_Q4_GROUP / 8; k++) {
            const unsigned char *x = a + t * LL_Q4_GROUP + 8 * k;
            c = _mm512_dpbusd_epi32(c, ll_bytes_avx512(q, TYPE, 2 * (int)k, 1), ll_word_avx512(x));
            d = _mm512_dpbusd_epi32(d, ll_bytes_avx512(q, TYPE, 2 * (int)k + 1, 1), ll_word_avx512(x + 4));
        }
        c = _mm512_add_epi32(c, TYPE == LL_Q4_0 ? _mm512_srai_epi32(d, 4) : d);
        const __m512 x = _mm512_castsi512_ps(ll_word_avx512(a + TOKENS * LL_Q4_GROUP + 4 * t));
        sum[t] = _mm512_fmadd_ps(_mm512_fmadd_ps(_mm512_castsi512_ps(c), s, minus_s), x, sum[t]);
    }
}

LL_INLINE LL_AVX512 void ll_few_avx512(float *out, size_t out_stride, const void *tile, const void *packed, int n,
                                       int add, const ll_type TYPE, const size_t TOKENS) {
    const size_t BYTES = ll_group_bytes(TYPE), TOGETHER = ll_together(TYPE);
    const unsigned char *w = (const unsigned char *)tile + (size_t)ll_has_rows(TYPE) * LL_LINE,
                        *a = (const unsigned char *)packed;
    __m512 sum[3];
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) sum[t] = _mm512_setzero_ps();
    for (int left = ll_groups(n, LL_Q4_GROUP); left > 0; left -= (int)TOGETHER, w += LL_LINE + TOGETHER * BYTES)
        LL_UNROLL(size_t g = 0; g < TOGETHER; g++, a += TOKENS * (LL_Q4_GROUP + 8))
            if ((int)g < left)
                ll_few_group_avx512(sum, w + LL_LINE / TOGETHER * g, w + LL_LINE + g * BYTES, a, TYPE, TOKENS);
    LL_UNROLL(size_t t = 0; t < TOKENS; t++)
        ll_store_groups_avx512(out + t * out_stride, sum[t], (const unsigned char *)tile, TYPE, add);
}

/* 16 rows of 16 words become 16 columns: four rounds that each exchange half of a row with its partner's. */
LL_INLINE LL_AVX512 void ll_transpose_avx512(__m512i r[16]) {
    __m512i s[16];
    LL_UNROLL(int i = 0; i < 16; i += 2) {
        s[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        s[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    LL_UNROLL(int i = 0; i < 16; i += 4)
        LL_UNROLL(int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm512_unpacklo_epi64(s[i + j], s[i + j + 2]);
            r[i + 2 * j + 1] = _mm512_unpackhi_epi64(s[i + j], s[i + j + 2]);
        }
    LL_UNROLL(int i = 0; i < 16; i += 8)
        LL_UNROLL(int j = 0; j < 4; j++) {
            s[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0x88);
            s[i + j + 4] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0xdd);
        }
    LL_UNROLL(int j = 0; j < 8; j++) {
        r[j] = _mm512_shuffle_i32x4(s[j], s[j + 8], 0x88);
        r[j + 8] = _mm512_shuffle_i32x4(s[j], s[j + 8], 0xdd);
    }
}

static inline __mmask16 ll_mask(int n) { return n < 16 ? (__mmask16)((1u << n) - 1) : 0xffff; }

LL_AVX512 static void ll_pack_f32_avx512(void *out, const float *x, size_t stride, int n, int tokens) {
    float *a = (float *)out;
    for (int k = 0; k < n; k += 16) {
        __m512i r[16];
        LL_UNROLL(int t = 0; t < 16; t++)
            r[t] = t < tokens ? _mm512_maskz_loadu_epi32(ll_mask(n - k), x + (size_t)t * stride + k)
                              : _mm512_setzero_si512();
        ll_transpose_avx512(r);
        LL_UNROLL(int i = 0; i < 16; i++, a += tokens)
            if (k + i < n) _mm512_mask_storeu_epi32(a, ll_mask(tokens), r[i]);
    }
}

LL_AVX512 static void ll_unpack_tile_avx512(float *tile, const float *w, size_t stride, int n, int rows) {
    for (int k = 0; k < n; k += 16, tile += 16 * LL_TILE) {
        __m512i r[16];
        LL_UNROLL(int i = 0; i < 16; i++)
            r[i] = i < rows ? _mm512_maskz_loadu_epi32(ll_mask(n - k), w + (size_t)i * stride + k)
                            : _mm512_setzero_si512();
        ll_transpose_avx512(r);
        LL_UNROLL(int i = 0; i < 16; i++)
            if (k + i < n) _mm512_storeu_si512(tile + i * LL_TILE, r[i]);
    }
}

LL_AVX512_BF16 static void ll_pack_bf16_native(void *out, const float *x, size_t stride, int n, int tokens) {
    uint32_t *a = (uint32_t *)out; /* a word is a pair of columns */
    for (int k = 0; k < n; k += 32) {
        const int pairs = (n - k + 1) / 2;
        __m512i r[16];
        LL_UNROLL(int t = 0; t < 16; t++) {
            const float *from = x + (size_t)t * stride + k;
            r[t] = _mm512_setzero_si512();
            if (t < tokens)
                r[t] = (__m512i)_mm512_cvtne2ps_pbh(n - k > 16 ? _mm512_maskz_loadu_ps(ll_mask(n - k - 16), from + 16)
                                                               : _mm512_setzero_ps(),
                                                    _mm512_maskz_loadu_ps(ll_mask(n - k), from));
        }
        ll_transpose_avx512(r);
        LL_UNROLL(int i = 0; i < 16; i++, a += tokens)
            if (i < pairs) _mm512_mask_storeu_epi32(a, ll_mask(tokens), r[i]);
    }
}

/* As ll_quantize_plain does. Whole groups only: the last one may need zeros behind it. */
LL_INLINE LL_AVX512 void ll_pack_int8_avx512(void *out, const float *x, size_t stride, int n, int tokens,
                                             const int GROUP, int offset) {
    unsigned char *a = (unsigned char *)out;
    const int whole = n / GROUP * GROUP;
    for (int k = 0; k < whole; k += GROUP, a += (size_t)tokens * (size_t)(GROUP + 8))
        for (int t = 0; t < tokens; t++) {
            const float *from = x + (size_t)t * stride + k;
            __m512i top = _mm512_setzero_si512(), sum = top; /* bits of magnitudes order as they do, nan above all */
            LL_UNROLL(int i = 0; i < GROUP; i += 16)
                top = _mm512_max_epi32(top,
                                       _mm512_and_si512(_mm512_loadu_si512(from + i), _mm512_set1_epi32(0x7fffffff)));
            const ll_bits largest = {(uint32_t)_mm512_reduce_max_epi32(top)};
            const float max = largest.f, scale = max / 127.0f;
            if (!ll_fits_int8(max)) {
                ll_pack_int8_group(a, from, GROUP, GROUP, t, tokens, offset, LL_BIAS);
                continue;
            }
            LL_UNROLL(int i = 0; i < GROUP; i += 16) {
                const __m512i q =
                    _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(from + i), _mm512_set1_ps(127.0f / max)));
                sum = _mm512_add_epi32(sum, q);
                _mm_storeu_si128((__m128i *)(a + t * GROUP + i), _mm512_cvtepi32_epi8(q));
            }
            const int32_t minus = LL_BIAS - offset * _mm512_reduce_add_epi32(sum);
            memcpy(a + tokens * GROUP + 4 * t, &scale, 4);
            memcpy(a + tokens * (GROUP + 4) + 4 * t, &minus, 4);
        }
    for (int t = 0; whole < n && t < tokens; t++)
        ll_pack_int8_group(a, x + (size_t)t * stride + whole, n - whole, GROUP, t, tokens, offset, LL_BIAS);
}
LL_AVX512 static void ll_pack_q8_avx512(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8_avx512(out, x, stride, n, tokens, LL_Q8_GROUP, 128);
}
LL_AVX512 static void ll_pack_q4_0_avx512(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8_avx512(out, x, stride, n, tokens, LL_Q4_GROUP, 8);
}
LL_AVX512 static void ll_pack_q4_avx512(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8_avx512(out, x, stride, n, tokens, LL_Q4_GROUP, 64);
}
LL_AVX512 static void ll_pack_q6_avx512(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8_avx512(out, x, stride, n, tokens, LL_Q4_GROUP, 32);
}

/* ---- AVX2 ---- */

LL_INLINE LL_AVX2 __m256 ll_half_line_avx2(const void *w, size_t k, const int BYTES) {
    if (BYTES == 4) return _mm256_loadu_ps((const float *)w + k * 8);
    if (BYTES == 2) return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)w + k));
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)((const char *)w + 8 * k))));
}

/* The same with two registers of 8 rows to a line. */
LL_INLINE LL_AVX2 void ll_store_avx2(float *out, const __m256 v[2], int add) {
    LL_UNROLL(int h = 0; h < 2; h++)
        _mm256_storeu_ps(out + 8 * h, add ? _mm256_add_ps(v[h], _mm256_loadu_ps(out + 8 * h)) : v[h]);
}

LL_INLINE LL_AVX2 void ll_tile_avx2(float *out, size_t out_stride, const void *w, const void *packed, int n, int add,
                                    const int BYTES, const int UNUSED, const size_t TOKENS) {
    const float *a = (const float *)packed;
    __m256 c[LL_BLOCK][2];
    (void)UNUSED;
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t][0] = c[t][1] = _mm256_setzero_ps();
    for (size_t k = 0; k < (size_t)n; k++, a += TOKENS) {
        const __m256 lo = ll_half_line_avx2(w, 2 * k, BYTES), hi = ll_half_line_avx2(w, 2 * k + 1, BYTES);
        LL_UNROLL(size_t t = 0; t < TOKENS; t++) {
            const __m256 b = _mm256_broadcast_ss(a + t);
            c[t][0] = _mm256_fmadd_ps(lo, b, c[t][0]);
            c[t][1] = _mm256_fmadd_ps(hi, b, c[t][1]);
        }
    }
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) ll_store_avx2(out + t * out_stride, c[t], add);
}

LL_INLINE LL_AVX2 void ll_mix_avx2(float *out, size_t out_stride, const ll_values *w, const float *a, int n, int add,
                                   const int BYTES, const size_t TOKENS) {
    const unsigned char *const *page = w->page;
    __m256 c[LL_BLOCK][2];
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t][0] = c[t][1] = _mm256_setzero_ps();
    for (; n > 0; n -= LLAMA_PAGE, page++)
        for (size_t k = 0; k < (size_t)(n < LLAMA_PAGE ? n : LLAMA_PAGE); k++, a++) {
            const unsigned char *v = *page + w->offset;
            const __m256 lo = ll_half_line_avx2(v, 2 * k, BYTES), hi = ll_half_line_avx2(v, 2 * k + 1, BYTES);
            LL_UNROLL(size_t t = 0; t < TOKENS; t++) {
                const __m256 b = _mm256_broadcast_ss(a + t * LL_KEYS);
                c[t][0] = _mm256_fmadd_ps(lo, b, c[t][0]);
                c[t][1] = _mm256_fmadd_ps(hi, b, c[t][1]);
            }
        }
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) ll_store_avx2(out + t * out_stride, c[t], add);
}

LL_INLINE LL_AVX2 void ll_bf16_avx2(float *out, size_t out_stride, const void *w, const void *packed, int n, int add,
                                    const int UNUSED, const int UNUSED2, const size_t TOKENS) {
    (void)UNUSED, (void)UNUSED2;
    LL_UNROLL(size_t h = 0; h < 2; h++) { /* 8 rows at a time, or the registers would not do */
        const float *a = (const float *)packed;
        __m256 c[LL_BLOCK];
        LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t] = _mm256_setzero_ps();
        for (size_t k = 0; k < ((size_t)n + 1) / 2; k++, a += 2 * TOKENS) {
            const __m256i v = _mm256_loadu_si256((const __m256i *)w + 2 * k + h);
            const __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
            const __m256 odd = _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32(-65536)));
            LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t] = _mm256_fmadd_ps(even, _mm256_broadcast_ss(a + t), c[t]);
            LL_UNROLL(size_t t = 0; t < TOKENS; t++)
                c[t] = _mm256_fmadd_ps(odd, _mm256_broadcast_ss(a + TOKENS + t), c[t]);
        }
        LL_UNROLL(size_t t = 0; t < TOKENS; t++) {
            float *o = out + t * out_stride + 8 * h;
            _mm256_storeu_ps(o, add ? _mm256_add_ps(c[t], _mm256_loadu_ps(o)) : c[t]);
        }
    }
}

LL_INLINE LL_AVX2 __m256i ll_word_avx2(const unsigned char *p) {
    int v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* Groups. Eight columns are two steps, in each of which a word of a token's activations, broadcast once, meets both
 * halves of a line: 2 x 4 sums, in registers throughout a group; those of the row need not be.
 *
 * q8: vpmaddwd multiplies 16-bit numbers and adds two neighbours, so bytes are widened by one shift: those of even
 * columns up, which makes them 256 times too large; those of odd columns down, and these meet activations that are 256
 * times too large. 64 x 256 x 128 x 127 < 2^31; the token's scale is 256 times smaller.
 *
 * q4_0: vpmaddubsw does so for unsigned bytes times signed ones, and sums of 16 bits are enough for a group: they start
 * at what that adds too much, each at that of its own 16 columns, so that none is ever beyond 16 x 8 x 127 < 2^15.
 *
 * q4: values looked up with 64 added to them; of vpmaddubsw's sums one has room in 16 bits, so each is widened.
 *
 * The empty assembler lines keep each addition at its product: gcc would add products to each other first, and keep
 * them in memory until then. */
LL_INLINE LL_AVX2 __m256i ll_add_dot_avx2(__m256i c, __m256i v, __m256i x, const ll_type TYPE) {
    if (TYPE == LL_Q8) c = _mm256_add_epi32(c, _mm256_madd_epi16(v, x));
    else if (TYPE == LL_Q4_0) c = _mm256_add_epi16(c, _mm256_maddubs_epi16(v, x));
    else c = _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_maddubs_epi16(v, x), _mm256_set1_epi16(1)));
    __asm__("" : "+x"(c));
    return c;
}

/* Rows 8 h to 8 h + 7 of columns 4 k to 4 k + 3 of a group's lines, as the products want them, unsigned. But of q8
 * with WIDE the even columns of one half of the line, or with an odd k the others: k counts in twos there. */
LL_INLINE LL_AVX2 __m256i ll_bytes_avx2(const unsigned char *q, const ll_type TYPE, const size_t k, const size_t h,
                                        const int WIDE) {
    const __m256i v = _mm256_loadu_si256((const __m256i *)(q + (TYPE == LL_Q8 && !WIDE ? k : k / 2) * LL_LINE) + h);
    if (TYPE == LL_Q8 && WIDE) return k % 2 ? _mm256_srai_epi16(v, 8) : _mm256_slli_epi16(v, 8);
    if (TYPE == LL_Q8) return _mm256_xor_si256(v, _mm256_set1_epi8(-128));
    const __m256i low = _mm256_and_si256(k % 2 ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
    if (TYPE == LL_Q4) {
        const __m128i values = _mm_add_epi8(_mm_loadu_si128((const __m128i *)ll_q4_values), _mm_set1_epi8(64));
        return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), low);
    }
    if (TYPE == LL_Q4_0) return low;
    const __m256i u = _mm256_loadu_si256((const __m256i *)(q + (4 + k / 4) * LL_LINE) + h);
    const __m256i upper = _mm256_srl_epi16(u, _mm_cvtsi32_si128((int)(k % 4 * 2)));
    return _mm256_or_si256(low, _mm256_slli_epi16(_mm256_and_si256(upper, _mm256_set1_epi8(3)), 4));
}

/* The scales of a group's rows 8 h to 8 h + 7. */
LL_INLINE LL_AVX2 __m256 ll_scales_avx2(const unsigned char *p, const ll_type TYPE, const size_t h) {
    if (ll_has_rows(TYPE))
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8 * h))));
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p + h));
}

/* out (+)= the sums of half a tile's rows, times what all groups of a row have in common. */
LL_INLINE LL_AVX2 void ll_store_groups_avx2(float *out, __m256 sum, const void *tile, const ll_type TYPE,
                                            const size_t h, int add) {
    if (ll_has_rows(TYPE)) sum = _mm256_mul_ps(sum, _mm256_loadu_ps((const float *)tile + 8 * h));
    _mm256_storeu_ps(out + 8 * h, add ? _mm256_add_ps(sum, _mm256_loadu_ps(out + 8 * h)) : sum);
}

LL_INLINE LL_AVX2 void ll_groups_avx2(float *out, size_t out_stride, const void *tile, const void *packed, int n,
                                      int add, const ll_type TYPE, const int UNUSED, const size_t TOKENS) {
    const size_t GROUP = (size_t)ll_group(TYPE), VALUES = TYPE == LL_Q8 ? 2 * GROUP : GROUP,
                 BYTES = ll_group_bytes(TYPE), TOGETHER = ll_together(TYPE);
    const unsigned char *w = (const unsigned char *)tile + (size_t)ll_has_rows(TYPE) * LL_LINE,
                        *a = (const unsigned char *)packed;
    __m256 sum[4][2];
    (void)UNUSED;
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) sum[t][0] = sum[t][1] = _mm256_setzero_ps();
    LL_ROLLED(size_t g = 0, groups = (size_t)ll_groups(n, (int)GROUP); g < groups; g++, a += TOKENS * (VALUES + 8)) {
        const size_t i = g % TOGETHER;
        const unsigned char *q = w + LL_LINE + i * BYTES;
        __m256i c[4][2];
        LL_UNROLL(size_t t = 0; t < TOKENS; t++)
            c[t][0] = c[t][1] =
                TYPE == LL_Q8 ? _mm256_setzero_si256() : ll_word_avx2(a + TOKENS * (VALUES + 4) + 4 * t);
        LL_ROLLED(size_t k = 0; k < VALUES / 4; k += 2)
            LL_UNROLL(size_t odd = 0; odd < 2; odd++) {
                const __m256i v = ll_bytes_avx2(q, TYPE, k + odd, 0, 1), u = ll_bytes_avx2(q, TYPE, k + odd, 1, 1);
                LL_UNROLL(size_t t = 0; t < TOKENS; t++) {
                    const __m256i x = ll_word_avx2(a + t * VALUES + 4 * (k + odd));
                    c[t][0] = ll_add_dot_avx2(c[t][0], v, x, TYPE), c[t][1] = ll_add_dot_avx2(c[t][1], u, x, TYPE);
                }
            }
        const unsigned char *s = w + LL_LINE / TOGETHER * i;
        const __m256 scale[2] = {ll_scales_avx2(s, TYPE, 0), ll_scales_avx2(s, TYPE, 1)};
        LL_UNROLL(size_t t = 0; t < TOKENS; t++) {
            const __m256 x = _mm256_castsi256_ps(ll_word_avx2(a + TOKENS * VALUES + 4 * t));
            LL_UNROLL(size_t h = 0; h < 2; h++) {
                const __m256i wide = TYPE == LL_Q4_0 ? _mm256_madd_epi16(c[t][h], _mm256_set1_epi16(1)) : c[t][h];
                sum[t][h] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(wide), scale[h]), x, sum[t][h]);
            }
        }
        if (i == TOGETHER - 1) w += LL_LINE + TOGETHER * BYTES;
    }
    LL_UNROLL(size_t t = 0; t < TOKENS; t++, out += out_stride)
        LL_UNROLL(size_t h = 0; h < 2; h++) ll_store_groups_avx2(out, sum[t][h], tile, TYPE, h, add);
}

LL_INLINE LL_AVX2 void ll_transpose_avx2(__m256 r[8]) {
    __m256 s[8];
    LL_UNROLL(int i = 0; i < 8; i += 2)
        s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]), s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    LL_UNROLL(int i = 0; i < 8; i += 4)
        LL_UNROLL(int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm256_shuffle_ps(s[i + j], s[i + j + 2], 0x44);
            r[i + 2 * j + 1] = _mm256_shuffle_ps(s[i + j], s[i + j + 2], 0xee);
        }
    LL_UNROLL(int j = 0; j < 4; j++) {
        s[j] = _mm256_permute2f128_ps(r[j], r[j + 4], 0x20);
        s[j + 4] = _mm256_permute2f128_ps(r[j], r[j + 4], 0x31);
    }
    LL_UNROLL(int j = 0; j < 8; j++) r[j] = s[j];
}

LL_AVX2 static void ll_unpack_tile_avx2(float *tile, const float *w, size_t stride, int n, int rows) {
    const int whole = n / 8 * 8;
    for (int k = 0; k < whole; k += 8, tile += 8 * LL_TILE)
        for (int h = 0; h < LL_TILE; h += 8) {
            __m256 r[8];
            LL_UNROLL(int i = 0; i < 8; i++)
                r[i] = h + i < rows ? _mm256_loadu_ps(w + (size_t)(h + i) * stride + k) : _mm256_setzero_ps();
            ll_transpose_avx2(r);
            LL_UNROLL(int i = 0; i < 8; i++) _mm256_storeu_ps(tile + i * LL_TILE + h, r[i]);
        }
    for (int k = whole; k < n; k++, tile += LL_TILE)
        for (int i = 0; i < LL_TILE; i++) tile[i] = i < rows ? w[(size_t)i * stride + (size_t)k] : 0;
}

/* Rounds a group as ll_quantize_plain does. For ll_groups_avx2, WIDE: to int16, in fours of the order 0 2 1 3, the odd
 * ones times 256; APART: not one sum of all columns, but two int16, of 0 1 4 5 ... and of 2 3 6 7 ... */
LL_INLINE LL_AVX2 void ll_pack_int8_avx2(void *out, const float *x, size_t stride, int n, int tokens, const int GROUP,
                                         const int WIDE, const int APART, int offset) {
    const int values = WIDE ? 2 * GROUP : GROUP;
    unsigned char *a = (unsigned char *)out;
    signed char q[LL_Q8_GROUP];
    for (int k = 0; k < n; k += GROUP, a += (size_t)tokens * (size_t)(values + 8))
        for (int t = 0; t < tokens; t++) {
            const float *from = x + (size_t)t * stride + k;
            ll_bits max = {0};
            float scale;
            int sum = 0, lane[8];
            __m256i top = _mm256_setzero_si256(); /* bits of magnitudes order as they do, nan above all */
            for (int i = 0; n - k >= GROUP && i < GROUP; i += 8)
                top = _mm256_max_epi32(top,
                                       _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(const void *)(from + i)),
                                                        _mm256_set1_epi32(0x7fffffff)));
            _mm256_storeu_si256((__m256i *)(void *)lane, top);
            for (int i = 0; i < 8; i++) max.u = (uint32_t)lane[i] > max.u ? (uint32_t)lane[i] : max.u;
            if (n - k < GROUP || !ll_fits_int8(max.f))
                sum = ll_quantize_plain(q, from, n - k < GROUP ? n - k : GROUP, GROUP, &scale);
            else {
                const __m256 inverse = _mm256_set1_ps(127.0f / max.f);
                __m256i total = _mm256_setzero_si256();
                int part[8];
                LL_UNROLL(int i = 0; i < GROUP; i += 8) {
                    const __m256i v = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(from + i), inverse));
                    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
                    total = _mm256_add_epi32(total, v);
                    _mm_storel_epi64((__m128i *)(q + i), _mm_packs_epi16(words, words));
                }
                _mm256_storeu_si256((__m256i *)part, total);
                for (int i = 0; i < 8; i++) sum += part[i];
                scale = max.f / 127.0f;
            }
            int32_t minus = -offset * sum;
            if (WIDE) {
                LL_UNROLL(int i = 0; i < GROUP; i += 8) {
                    const __m128i w = _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)(q + i)));
                    _mm_storeu_si128((__m128i *)(a + t * values + 2 * i),
                                     _mm_mullo_epi16(_mm_shufflehi_epi16(_mm_shufflelo_epi16(w, 0xd8), 0xd8),
                                                     _mm_set1_epi64x(0x0100010000010001)));
                }
                scale *= 1.0f / 256;
            } else memcpy(a + t * values, q, (size_t)GROUP);
            if (APART) {
                const __m256i each =
                    _mm256_maddubs_epi16(_mm256_set1_epi8((char)offset), _mm256_loadu_si256((const __m256i *)q));
                __m128i s = _mm_add_epi16(_mm256_castsi256_si128(each), _mm256_extracti128_si256(each, 1));
                s = _mm_add_epi16(s, _mm_shuffle_epi32(s, 0x4e));
                s = _mm_add_epi16(s, _mm_shuffle_epi32(s, 0xb1));
                minus = _mm_cvtsi128_si32(_mm_sub_epi16(_mm_setzero_si128(), s));
            }
            memcpy(a + tokens * values + 4 * t, &scale, 4);
            memcpy(a + tokens * (values + 4) + 4 * t, &minus, 4);
        }
}
LL_AVX2 static void ll_pack_q8_avx2(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8_avx2(out, x, stride, n, tokens, LL_Q8_GROUP, 1, 0, 128);
}
LL_AVX2 static void ll_pack_q4_0_avx2(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8_avx2(out, x, stride, n, tokens, LL_Q4_GROUP, 0, 1, 8);
}
LL_AVX2 static void ll_pack_q4_avx2(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8_avx2(out, x, stride, n, tokens, LL_Q4_GROUP, 0, 0, 64);
}
LL_AVX2 static void ll_pack_q6_avx2(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8_avx2(out, x, stride, n, tokens, LL_Q4_GROUP, 0, 0, 32);
}

#ifdef LL_AVX_VNNI
/* ---- AVX-VNNI ----
 * The instruction that multiplies bytes, for processors without AVX-512; half as wide, so that a line of weights
 * takes two registers, and with half as many registers: 2 x 4 sums of a group stay in them, those of the row do not. */
LL_INLINE LL_AVX_VNNI void ll_groups_avx_vnni(float *out, size_t out_stride, const void *tile, const void *packed,
                                              int n, int add, const ll_type TYPE, const int UNUSED,
                                              const size_t TOKENS) {
    const size_t GROUP = (size_t)ll_group(TYPE), BYTES = ll_group_bytes(TYPE), TOGETHER = ll_together(TYPE);
    const unsigned char *w = (const unsigned char *)tile + (size_t)ll_has_rows(TYPE) * LL_LINE,
                        *a = (const unsigned char *)packed;
    __m256 sum[2][4];
    (void)UNUSED;
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) sum[0][t] = sum[1][t] = _mm256_setzero_ps();
    for (size_t g = 0, groups = (size_t)ll_groups(n, (int)GROUP); g < groups; g++, a += TOKENS * (GROUP + 8)) {
        const size_t i = g % TOGETHER;
        const unsigned char *q = w + LL_LINE + i * BYTES;
        __m256i c[2][4];
        LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[0][t] = c[1][t] = ll_word_avx2(a + TOKENS * (GROUP + 4) + 4 * t);
        LL_UNROLL(size_t k = 0; k < GROUP / 4; k++) {
            __m256i v[2];
            LL_UNROLL(size_t h = 0; h < 2; h++) v[h] = ll_bytes_avx2(q, TYPE, k, h, 0);
            LL_UNROLL(size_t t = 0; t < TOKENS; t++) {
                const __m256i x = ll_word_avx2(a + t * GROUP + 4 * k);
                LL_UNROLL(size_t h = 0; h < 2; h++) c[h][t] = _mm256_dpbusd_avx_epi32(c[h][t], v[h], x);
            }
        }
        LL_UNROLL(size_t h = 0; h < 2; h++) {
            const __m256 s = ll_scales_avx2(w + LL_LINE / TOGETHER * i, TYPE, h);
            LL_UNROLL(size_t t = 0; t < TOKENS; t++) {
                const __m256 x = _mm256_castsi256_ps(ll_word_avx2(a + TOKENS * GROUP + 4 * t));
                sum[h][t] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(c[h][t]), s), x, sum[h][t]);
            }
        }
        if (i == TOGETHER - 1) w += LL_LINE + TOGETHER * BYTES;
    }
    LL_UNROLL(size_t t = 0; t < TOKENS; t++, out += out_stride)
        LL_UNROLL(size_t h = 0; h < 2; h++) ll_store_groups_avx2(out, sum[h][t], tile, TYPE, h, add);
}
LL_AVX2 static void ll_pack_q8_avx_vnni(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8_avx2(out, x, stride, n, tokens, LL_Q8_GROUP, 0, 0, 128);
}
LL_AVX2 static void ll_pack_q4_0_avx_vnni(void *out, const float *x, size_t stride, int n, int tokens) {
    ll_pack_int8_avx2(out, x, stride, n, tokens, LL_Q4_GROUP, 0, 0, 8);
}
#endif

/* ---- Instances ---- */
LL_TILE_FN(ll_tile_f32_avx512, LL_AVX512, LL_CASES_12, ll_floats_avx512, NULL, 0, 4, 1)
LL_TILE_FN(ll_tile_f16_avx512, LL_AVX512, LL_CASES_12, ll_floats_avx512, NULL, 0, 2, 1)
LL_MIX_FN(ll_mix_f32_avx512, LL_AVX512, LL_CASES_12, ll_mix_avx512, 4)
LL_MIX_FN(ll_mix_f16_avx512, LL_AVX512, LL_CASES_12, ll_mix_avx512, 2)
LL_MIX_FN(ll_mix_q8_avx512, LL_AVX512, LL_CASES_12, ll_mix_avx512, 1)
LL_TILE_FN(ll_tile_bf16_avx512, LL_AVX512, LL_CASES_12, ll_bf16_avx512, 0, 0)
LL_TILE_FN(ll_tile_bf16_native, LL_AVX512_BF16, LL_CASES_12, ll_bf16_native, NULL, 0, 1)
LL_PROMPT_FN(ll_pair_f32_avx512, LL_AVX512, LL_CASES_12, ll_floats_avx512, ahead, lines, 4, 2)
LL_PROMPT_FN(ll_pair_bf16_native, LL_AVX512_BF16, LL_CASES_12, ll_bf16_native, ahead, lines, 2)
LL_PROMPT_FN(ll_pair_q8_avx512, LL_AVX512, LL_CASES_6, ll_groups_avx512, ahead, lines, LL_Q8, 2)
LL_PROMPT_FN(ll_pair_q4_0_avx512, LL_AVX512, LL_CASES_6, ll_groups_avx512, ahead, lines, LL_Q4_0, 2)
LL_PROMPT_FN(ll_pair_q4_avx512, LL_AVX512, LL_CASES_6, ll_groups_avx512, ahead, lines, LL_Q4, 2)
LL_PROMPT_FN(ll_pair_q6_avx512, LL_AVX512, LL_CASES_6, ll_groups_avx512, ahead, lines, LL_Q6, 2)
LL_PROMPT_FN(ll_wide_q8_avx512, LL_AVX512, LL_CASES_12, ll_groups_avx512, ahead, lines, LL_Q8, 1)
LL_PROMPT_FN(ll_wide_q4_0_avx512, LL_AVX512, LL_CASES_12, ll_groups_avx512, ahead, lines, LL_Q4_0, 1)
LL_PROMPT_FN(ll_wide_q4_avx512, LL_AVX512, LL_CASES_12, ll_groups_avx512, ahead, lines, LL_Q4, 1)
LL_PROMPT_FN(ll_wide_q6_avx512, LL_AVX512, LL_CASES_12, ll_groups_avx512, ahead, lines, LL_Q6, 1)
static void ll_tile_q8_avx512(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens, int add) {
    ll_wide_q8_avx512(out, out_stride, w, a, n, tokens, add, NULL, 0);
}
#define LL_FEW_FN(name, wide, TYPE)                                                                                    \
    LL_AVX512 static void name(float *out, size_t out_stride, const void *w, const void *a, int n, int tokens,         \
                               int add) {                                                                              \
        switch (tokens) {                                                                                              \
        case 1: ll_few_avx512(out, out_stride, w, a, n, add, TYPE, 1); break;                                          \
        case 2: ll_few_avx512(out, out_stride, w, a, n, add, TYPE, 2); break;                                          \
        case 3: ll_few_avx512(out, out_stride, w, a, n, add, TYPE, 3); break;                                          \
        default: wide(out, out_stride, w, a, n, tokens, add, NULL, 0);                                                 \
        }                                                                                                              \
    }
LL_FEW_FN(ll_tile_q4_0_avx512, ll_wide_q4_0_avx512, LL_Q4_0)
LL_FEW_FN(ll_tile_q4_avx512, ll_wide_q4_avx512, LL_Q4)
LL_FEW_FN(ll_tile_q6_avx512, ll_wide_q6_avx512, LL_Q6)
LL_TILE_FN(ll_tile_f32_avx2, LL_AVX2, LL_CASES_6, ll_tile_avx2, 4, 0)
LL_TILE_FN(ll_tile_f16_avx2, LL_AVX2, LL_CASES_6, ll_tile_avx2, 2, 0)
LL_MIX_FN(ll_mix_f32_avx2, LL_AVX2, LL_CASES_6, ll_mix_avx2, 4)
LL_MIX_FN(ll_mix_f16_avx2, LL_AVX2, LL_CASES_6, ll_mix_avx2, 2)
LL_MIX_FN(ll_mix_q8_avx2, LL_AVX2, LL_CASES_6, ll_mix_avx2, 1)
LL_TILE_FN(ll_tile_q8_avx2, LL_AVX2, LL_CASES_4, ll_groups_avx2, LL_Q8, 0)
LL_TILE_FN(ll_tile_q4_0_avx2, LL_AVX2, LL_CASES_4, ll_groups_avx2, LL_Q4_0, 0)
LL_TILE_FN(ll_tile_q4_avx2, LL_AVX2, LL_CASES_4, ll_groups_avx2, LL_Q4, 0)
LL_TILE_FN(ll_tile_q6_avx2, LL_AVX2, LL_CASES_4, ll_groups_avx2, LL_Q6, 0)
LL_TILE_FN(ll_tile_bf16_avx2, LL_AVX2, LL_CASES_6, ll_bf16_avx2, 0, 0)
#ifdef LL_AVX_VNNI
LL_TILE_FN(ll_tile_q8_avx_vnni, LL_AVX_VNNI, LL_CASES_4, ll_groups_avx_vnni, LL_Q8, 0)
LL_TILE_FN(ll_tile_q4_0_avx_vnni, LL_AVX_VNNI, LL_CASES_4, ll_groups_avx_vnni, LL_Q4_0, 0)
LL_TILE_FN(ll_tile_q4_avx_vnni, LL_AVX_VNNI, LL_CASES_4, ll_groups_avx_vnni, LL_Q4, 0)
LL_TILE_FN(ll_tile_q6_avx_vnni, LL_AVX_VNNI, LL_CASES_4, ll_groups_avx_vnni, LL_Q6, 0)
#endif

/* The sums of the lanes of a, b, c and d, side by side. */
LL_INLINE LL_AVX2 __m128 ll_sum4(__m256 a, __m256 b, __m256 c, __m256 d) {
    const __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    return _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

/* Four rows at a time share the loads of x, and 16 columns are two registers, for AVX-512 too: rows as they lie wait
 * for memory. A last row or two are summed again from the row above, so that there is no second loop for them; rows of
 * a tile never overlap another's. */
LL_AVX2 static void ll_dot_avx2(float *out, const float *w, const float *x, int n, int rows, int add) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (int r = 0; r < rows; r += 4) {
        const float *row[4];
        __m256 c[4][2];
        LL_UNROLL(int j = 0; j < 4; j++) {
            row[j] = w + (size_t)(r + j < rows ? r + j : rows - 1) * (size_t)n;
            c[j][0] = c[j][1] = _mm256_setzero_ps();
        }
        int k = 0;
        for (; k + 16 <= n; k += 16)
            LL_UNROLL(int h = 0; h < 2; h++) {
                const __m256 b = _mm256_loadu_ps(x + k + 8 * h);
                LL_UNROLL(int j = 0; j < 4; j++)
                    c[j][h] = _mm256_fmadd_ps(_mm256_loadu_ps(row[j] + k + 8 * h), b, c[j][h]);
            }
        for (int h = 0; h < 2 && k < n; h++, k += 8) { /* the last columns */
            const __m256i there = _mm256_cmpgt_epi32(_mm256_set1_epi32(n - k), lane);
            const __m256 b = _mm256_maskload_ps(x + k, there);
            LL_UNROLL(int j = 0; j < 4; j++)
                c[j][h] = _mm256_fmadd_ps(_mm256_maskload_ps(row[j] + k, there), b, c[j][h]);
        }
        float sum[4];
        LL_UNROLL(int j = 0; j < 4; j++) c[j][0] = _mm256_add_ps(c[j][0], c[j][1]);
        _mm_storeu_ps(sum, ll_sum4(c[0][0], c[1][0], c[2][0], c[3][0]));
        for (int j = 0; j < 4 && r + j < rows; j++) out[r + j] = add ? out[r + j] + sum[j] : sum[j];
    }
}

/* ll_exp in every lane. The order of max's and min's operands lets nan through. */
LL_INLINE LL_AVX512 __m512 ll_exp_avx512(__m512 x) {
    x = _mm512_min_ps(_mm512_set1_ps(88.0f), _mm512_max_ps(_mm512_set1_ps(-87.0f), x));
    const __m512i i = _mm512_cvtps_epi32(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)));
    const __m512 y = _mm512_cvtepi32_ps(i);
    const __m512 f =
        _mm512_fmadd_ps(y, _mm512_set1_ps(2.12194440e-4f), _mm512_fnmadd_ps(y, _mm512_set1_ps(0.693359375f), x));
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_add_ps(_mm512_fmadd_ps(_mm512_mul_ps(p, f), f, f), _mm512_set1_ps(1.0f));
    return _mm512_mul_ps(p, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(i, _mm512_set1_epi32(127)), 23)));
}

LL_AVX512 static float ll_softmax_avx512(float *x, int n, float *max) {
    const __m512 low = _mm512_set1_ps(*max);
    __m512 top = low, sum = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 16) {
        const __mmask16 m = ll_mask(n - i);
        top = _mm512_max_ps(top, _mm512_mask_loadu_ps(low, m, x + i));
    }
    *max = _mm512_reduce_max_ps(top);
    top = _mm512_set1_ps(*max);
    for (int i = 0; i < n; i += 16) {
        const __mmask16 m = ll_mask(n - i);
        const __m512 e = ll_exp_avx512(_mm512_sub_ps(_mm512_maskz_loadu_ps(m, x + i), top));
        _mm512_mask_storeu_ps(x + i, m, e);
        sum = _mm512_mask_add_ps(sum, m, sum, e);
    }
    return _mm512_reduce_add_ps(sum);
}

LL_INLINE LL_AVX512 void ll_gate_avx512(float *a, const float *b, int n, const int GELU) {
    const __m512 one = _mm512_set1_ps(1.0f), bend = _mm512_set1_ps(0.07135481f), slope = _mm512_set1_ps(1.59576912f);
    for (int i = 0; i < n; i += 16) {
        const __mmask16 m = ll_mask(n - i);
        const __m512 z = _mm512_maskz_loadu_ps(m, a + i), minus_z = _mm512_sub_ps(_mm512_setzero_ps(), z);
        const __m512 bent = _mm512_mul_ps(minus_z, _mm512_fmadd_ps(bend, _mm512_mul_ps(z, z), slope));
        const __m512 e = ll_exp_avx512(GELU ? bent : minus_z);
        _mm512_mask_storeu_ps(a + i, m,
                              _mm512_mul_ps(_mm512_div_ps(z, _mm512_add_ps(one, e)), _mm512_maskz_loadu_ps(m, b + i)));
    }
}
LL_AVX512 static void ll_swiglu_avx512(float *a, const float *b, int n) { ll_gate_avx512(a, b, n, 0); }
LL_AVX512 static void ll_geglu_avx512(float *a, const float *b, int n) { ll_gate_avx512(a, b, n, 1); }

/* Neighbours change places; even lanes subtract their product with the sine, odd ones add it. */
LL_AVX512 static void ll_rotate_avx512(float *x, const float *rope, int n) {
    for (int i = 0; i < n; i += 16) {
        const __mmask16 m = ll_mask(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(m, x + i), r = _mm512_maskz_loadu_ps(m, rope + i);
        const __m512 other = _mm512_mul_ps(_mm512_permute_ps(v, 0xb1), _mm512_movehdup_ps(r));
        _mm512_mask_storeu_ps(x + i, m, _mm512_fmaddsub_ps(v, _mm512_moveldup_ps(r), other));
    }
}

LL_INLINE LL_AVX2 __m256 ll_exp_avx2(__m256 x) {
    x = _mm256_min_ps(_mm256_set1_ps(88.0f), _mm256_max_ps(_mm256_set1_ps(-87.0f), x));
    const __m256i i = _mm256_cvtps_epi32(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)));
    const __m256 y = _mm256_cvtepi32_ps(i);
    const __m256 f =
        _mm256_fmadd_ps(y, _mm256_set1_ps(2.12194440e-4f), _mm256_fnmadd_ps(y, _mm256_set1_ps(0.693359375f), x));
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_add_ps(_mm256_fmadd_ps(_mm256_mul_ps(p, f), f, f), _mm256_set1_ps(1.0f));
    return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(i, _mm256_set1_epi32(127)), 23)));
}

/* Whole registers first; the plain loop takes the rest, and the largest of what both saw holds for both. */
LL_AVX2 static float ll_softmax_avx2(float *x, int n, float *max) {
    const int whole = n / 8 * 8;
    float lane[8], total = 0;
    __m256 top = _mm256_set1_ps(*max), sum = _mm256_setzero_ps();
    for (int i = 0; i < whole; i += 8) top = _mm256_max_ps(top, _mm256_loadu_ps(x + i));
    _mm256_storeu_ps(lane, top);
    for (int j = 0; j < 8; j++) *max = lane[j] > *max ? lane[j] : *max;
    total = ll_softmax_plain(x + whole, n - whole, max);
    top = _mm256_set1_ps(*max);
    for (int i = 0; i < whole; i += 8) {
        const __m256 e = ll_exp_avx2(_mm256_sub_ps(_mm256_loadu_ps(x + i), top));
        _mm256_storeu_ps(x + i, e);
        sum = _mm256_add_ps(sum, e);
    }
    _mm256_storeu_ps(lane, sum);
    for (int j = 0; j < 8; j++) total += lane[j];
    return total;
}

LL_INLINE LL_AVX2 void ll_gate_avx2(float *a, const float *b, int n, const int GELU) {
    const __m256 one = _mm256_set1_ps(1.0f), bend = _mm256_set1_ps(0.07135481f), slope = _mm256_set1_ps(1.59576912f);
    const int whole = n / 8 * 8;
    for (int i = 0; i < whole; i += 8) {
        const __m256 z = _mm256_loadu_ps(a + i), minus_z = _mm256_sub_ps(_mm256_setzero_ps(), z);
        const __m256 bent = _mm256_mul_ps(minus_z, _mm256_fmadd_ps(bend, _mm256_mul_ps(z, z), slope));
        const __m256 e = ll_exp_avx2(GELU ? bent : minus_z);
        _mm256_storeu_ps(a + i, _mm256_mul_ps(_mm256_div_ps(z, _mm256_add_ps(one, e)), _mm256_loadu_ps(b + i)));
    }
    (GELU ? ll_geglu_plain : ll_swiglu_plain)(a + whole, b + whole, n - whole);
}
LL_AVX2 static void ll_swiglu_avx2(float *a, const float *b, int n) { ll_gate_avx2(a, b, n, 0); }
LL_AVX2 static void ll_geglu_avx2(float *a, const float *b, int n) { ll_gate_avx2(a, b, n, 1); }

LL_AVX2 static void ll_rotate_avx2(float *x, const float *rope, int n) {
    const int whole = n / 8 * 8;
    for (int i = 0; i < whole; i += 8) {
        const __m256 v = _mm256_loadu_ps(x + i), r = _mm256_loadu_ps(rope + i);
        const __m256 other = _mm256_mul_ps(_mm256_permute_ps(v, 0xb1), _mm256_movehdup_ps(r));
        _mm256_storeu_ps(x + i, _mm256_fmaddsub_ps(v, _mm256_moveldup_ps(r), other));
    }
    ll_rotate_plain(x + whole, rope + whole, n - whole);
}

LL_AVX2 static void ll_half_avx2(uint16_t *out, const float *x, int n) {
    const int whole = n / 8 * 8;
    for (int i = 0; i < whole; i += 8)
        _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    ll_half_plain(out + whole, x + whole, n - whole);
}

/* clang-format off */
static const ll_kernels ll_avx2 = {"avx2",
    {{NULL, NULL, NULL, 0, 0}, {ll_pack_f32, ll_tile_f32_avx2, NULL, 6, 1},
     {ll_pack_bf16_as_f32, ll_tile_bf16_avx2, NULL, 6, 1},
     {ll_pack_q8_avx2, ll_tile_q8_avx2, NULL, 4, 1}, {ll_pack_q4_0_avx2, ll_tile_q4_0_avx2, NULL, 4, 1},
     {ll_pack_q4_avx2, ll_tile_q4_avx2, NULL, 4, 1}, {ll_pack_q6_avx2, ll_tile_q6_avx2, NULL, 4, 1}},
    {ll_tile_f32_avx2, ll_tile_f16_avx2, ll_tile_q8_avx2},
    {ll_mix_f32_avx2, ll_mix_f16_avx2, ll_mix_q8_avx2}, {6, 6, 4}, ll_unpack_tile_avx2, ll_half_avx2,
    ll_rotate_avx2, ll_dot_avx2, ll_softmax_avx2, {ll_swiglu_avx2, ll_geglu_avx2}};
#ifdef LL_AVX_VNNI
static const ll_kernels ll_avx_vnni = {"avxvnni",
    {{NULL, NULL, NULL, 0, 0}, {ll_pack_f32, ll_tile_f32_avx2, NULL, 6, 1},
     {ll_pack_bf16_as_f32, ll_tile_bf16_avx2, NULL, 6, 1},
     {ll_pack_q8_avx_vnni, ll_tile_q8_avx_vnni, NULL, 4, 1}, {ll_pack_q4_0_avx_vnni, ll_tile_q4_0_avx_vnni, NULL, 4, 1},
     {ll_pack_q4_avx2, ll_tile_q4_avx_vnni, NULL, 4, 1}, {ll_pack_q6_avx2, ll_tile_q6_avx_vnni, NULL, 4, 1}},
    {ll_tile_f32_avx2, ll_tile_f16_avx2, ll_tile_q8_avx_vnni},
    {ll_mix_f32_avx2, ll_mix_f16_avx2, ll_mix_q8_avx2}, {6, 6, 4}, ll_unpack_tile_avx2, ll_half_avx2,
    ll_rotate_avx2, ll_dot_avx2, ll_softmax_avx2, {ll_swiglu_avx2, ll_geglu_avx2}};
#endif
/* For each of two ways to multiply bf16, and two ways that suit processors: see above. */
#define LL_AVX512_SET(name, text, PACK, TILE, PROMPT, TILES, WAY, BLOCK, INT8_TILES)                                  \
    static const ll_kernels name = {text, {{NULL, NULL, NULL, 0, 0},                                                  \
        {ll_pack_f32_avx512, ll_tile_f32_avx512, ll_pair_f32_avx512, 12, 2}, {PACK, TILE, PROMPT, 12, TILES},         \
        {ll_pack_q8_avx512, ll_tile_q8_avx512, ll_##WAY##_q8_avx512, BLOCK, INT8_TILES},                              \
        {ll_pack_q4_0_avx512, ll_tile_q4_0_avx512, ll_##WAY##_q4_0_avx512, BLOCK, INT8_TILES},                        \
        {ll_pack_q4_avx512, ll_tile_q4_avx512, ll_##WAY##_q4_avx512, BLOCK, INT8_TILES},                              \
        {ll_pack_q6_avx512, ll_tile_q6_avx512, ll_##WAY##_q6_avx512, BLOCK, INT8_TILES}},                             \
        {ll_tile_f32_avx512, ll_tile_f16_avx512, ll_tile_q8_avx512},                                                  \
        {ll_mix_f32_avx512, ll_mix_f16_avx512, ll_mix_q8_avx512}, {12, 12, 12}, ll_unpack_tile_avx512,                \
        ll_half_avx2, ll_rotate_avx512, ll_dot_avx2, ll_softmax_avx512, {ll_swiglu_avx512, ll_geglu_avx512}};
#define LL_NO_BF16 ll_pack_bf16_as_f32, ll_tile_bf16_avx512, NULL, 1
#define LL_HAS_BF16 ll_pack_bf16_native, ll_tile_bf16_native, ll_pair_bf16_native, 2
#define LL_AVX512_SETS(...) LL_AVX512_SET(__VA_ARGS__)
LL_AVX512_SETS(ll_avx512, "avx512", LL_NO_BF16, pair, 6, 2)
LL_AVX512_SETS(ll_avx512_wide, "avx512wide", LL_NO_BF16, wide, 12, 1)
LL_AVX512_SETS(ll_avx512_bf16, "avx512bf16", LL_HAS_BF16, pair, 6, 2)
LL_AVX512_SETS(ll_avx512_bf16_wide, "avx512bf16wide", LL_HAS_BF16, wide, 12, 1)
/* clang-format on */
#endif

#ifdef LL_NEON
/* ---- NEON ----
 * A line is four registers of four rows. The dot-product extension (ARMv8.2) multiplies 16 signed bytes by
 * four of one token, taken from a lane, and adds fours: no offset is needed. Without it bytes are multiplied
 * to 16 bits and added in pairs. Eight rows at a time for integers, or 32 registers would not do. */
#ifdef __clang__
#define LL_DOTPROD __attribute__((target("dotprod")))
#else
#define LL_DOTPROD __attribute__((target("arch=armv8.2-a+dotprod")))
#endif

LL_INLINE float32x4_t ll_quarter_neon(const void *w, size_t k, const int BYTES) {
    if (BYTES == 4) return vld1q_f32((const float *)w + 4 * k);
    if (BYTES == 2) return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)w + 4 * k)));
    int32_t four;
    memcpy(&four, (const char *)w + 4 * k, sizeof four);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four))))));
}

LL_INLINE void ll_store_neon(float *out, const float32x4_t v[4], int add) {
    LL_UNROLL(int i = 0; i < 4; i++) vst1q_f32(out + 4 * i, add ? vaddq_f32(v[i], vld1q_f32(out + 4 * i)) : v[i]);
}

LL_INLINE void ll_tile_neon(float *out, size_t out_stride, const void *w, const void *packed, int n, int add,
                            const int BYTES, const int UNUSED, const size_t TOKENS) {
    const float *a = (const float *)packed;
    float32x4_t c[6][4];
    (void)UNUSED;
    LL_UNROLL(size_t t = 0; t < TOKENS; t++)
        LL_UNROLL(int i = 0; i < 4; i++) c[t][i] = vdupq_n_f32(0);
    for (size_t k = 0; k < (size_t)n; k++, a += TOKENS) {
        float32x4_t v[4];
        LL_UNROLL(size_t i = 0; i < 4; i++) v[i] = ll_quarter_neon(w, 4 * k + i, BYTES);
        LL_UNROLL(size_t t = 0; t < TOKENS; t++)
            LL_UNROLL(int i = 0; i < 4; i++) c[t][i] = vfmaq_n_f32(c[t][i], v[i], a[t]);
    }
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) ll_store_neon(out + t * out_stride, c[t], add);
}

LL_INLINE void ll_mix_neon(float *out, size_t out_stride, const ll_values *w, const float *a, int n, int add,
                           const int BYTES, const size_t TOKENS) {
    const unsigned char *const *page = w->page;
    float32x4_t c[6][4];
    LL_UNROLL(size_t t = 0; t < TOKENS; t++)
        LL_UNROLL(int i = 0; i < 4; i++) c[t][i] = vdupq_n_f32(0);
    for (; n > 0; n -= LLAMA_PAGE, page++)
        for (size_t k = 0; k < (size_t)(n < LLAMA_PAGE ? n : LLAMA_PAGE); k++, a++) {
            float32x4_t v[4];
            LL_UNROLL(size_t i = 0; i < 4; i++) v[i] = ll_quarter_neon(*page + w->offset, 4 * k + i, BYTES);
            LL_UNROLL(size_t t = 0; t < TOKENS; t++)
                LL_UNROLL(int i = 0; i < 4; i++) c[t][i] = vfmaq_n_f32(c[t][i], v[i], a[t * LL_KEYS]);
        }
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) ll_store_neon(out + t * out_stride, c[t], add);
}

LL_INLINE void ll_bf16_neon(float *out, size_t out_stride, const void *w, const void *packed, int n, int add,
                            const int UNUSED, const int UNUSED2, const size_t TOKENS) {
    (void)UNUSED, (void)UNUSED2;
    for (size_t h = 0; h < 2; h++) {
        const float *a = (const float *)packed;
        float32x4_t c[6][2];
        LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t][0] = c[t][1] = vdupq_n_f32(0);
        for (size_t k = 0; k < ((size_t)n + 1) / 2; k++, a += 2 * TOKENS)
            LL_UNROLL(size_t i = 0; i < 2; i++) {
                const uint32x4_t v = vld1q_u32((const uint32_t *)w + 16 * k + 8 * h + 4 * i);
                const float32x4_t even = vreinterpretq_f32_u32(vshlq_n_u32(v, 16));
                const float32x4_t odd = vreinterpretq_f32_u32(vandq_u32(v, vdupq_n_u32(0xffff0000u)));
                LL_UNROLL(size_t t = 0; t < TOKENS; t++)
                    c[t][i] = vfmaq_n_f32(vfmaq_n_f32(c[t][i], even, a[t]), odd, a[TOKENS + t]);
            }
        LL_UNROLL(size_t t = 0; t < TOKENS; t++)
            LL_UNROLL(size_t i = 0; i < 2; i++) {
                float *o = out + t * out_stride + 8 * h + 4 * i;
                vst1q_f32(o, add ? vaddq_f32(c[t][i], vld1q_f32(o)) : c[t][i]);
            }
    }
}

/* c += for each of four rows the product of its four bytes of w with those of x. */
LL_INLINE int32x4_t ll_dot4_neon(int32x4_t c, int8x16_t w, int8x16_t x) {
    const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x)), high = vmull_high_s8(w, x);
    return vaddq_s32(c, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}

LL_INLINE int8x16_t ll_word_neon(const unsigned char *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return vreinterpretq_s8_s32(vdupq_n_s32(v));
}

/* Columns 4 k to 4 k + 3 of the four rows at q, in a group's lines, signed. */
LL_INLINE int8x16_t ll_bytes_neon(const unsigned char *q, const ll_type TYPE, const size_t k) {
    const uint8x16_t v = vld1q_u8(q + (TYPE == LL_Q8 ? k : k / 2) * LL_LINE);
    if (TYPE == LL_Q8) return vreinterpretq_s8_u8(v);
    const uint8x16_t low = k % 2 ? vshrq_n_u8(v, 4) : vandq_u8(v, vdupq_n_u8(15));
    if (TYPE == LL_Q4) return vqtbl1q_s8(vld1q_s8(ll_q4_values), low);
    if (TYPE == LL_Q4_0) return vsubq_s8(vreinterpretq_s8_u8(low), vdupq_n_s8(8));
    const uint8x16_t upper = vshlq_u8(vld1q_u8(q + (4 + k / 4) * LL_LINE), vdupq_n_s8((signed char)(4 - k % 4 * 2)));
    return vsubq_s8(vreinterpretq_s8_u8(vorrq_u8(low, vandq_u8(upper, vdupq_n_u8(48)))), vdupq_n_s8(32));
}

/* One definition of a group's end for both of the loops below: sums to float32, times both scales. */
LL_INLINE void ll_end_group_neon(float32x4_t sum[][2], int32x4_t c[][2], const unsigned char *scales,
                                 const unsigned char *activation_scale, const ll_type TYPE, const size_t TOKENS) {
    float32x4_t s[2];
    if (ll_has_rows(TYPE)) {
        const int16x8_t k = vmovl_s8(vld1_s8((const signed char *)scales));
        s[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(k))), s[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(k)));
    } else {
        const uint16x8_t half = vld1q_u16((const uint16_t *)(const void *)scales);
        s[0] = vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(half)));
        s[1] = vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(half)));
    }
    LL_UNROLL(size_t t = 0; t < TOKENS; t++) {
        const float scale = ll_f32(activation_scale + 4 * t);
        LL_UNROLL(size_t i = 0; i < 2; i++)
            sum[t][i] = vfmaq_f32(sum[t][i], vcvtq_f32_s32(c[t][i]), vmulq_n_f32(s[i], scale));
    }
}

/* Eight rows' sums, times what all groups of a row have in common. */
LL_INLINE void ll_store_groups_neon(float *out, float32x4_t sum[2], const void *tile, size_t h, const ll_type TYPE,
                                    int add) {
    LL_UNROLL(size_t i = 0; i < 2; i++) {
        float *o = out + 8 * h + 4 * i;
        if (ll_has_rows(TYPE)) sum[i] = vmulq_f32(sum[i], vld1q_f32((const float *)tile + 8 * h + 4 * i));
        vst1q_f32(o, add ? vaddq_f32(sum[i], vld1q_f32(o)) : sum[i]);
    }
}

/* The two kernels for groups differ only in DOT4: an instruction that needs its own target attribute. */
#define LL_GROUPS_NEON(name, target, DOT4)                                                                             \
    LL_INLINE target void name(float *out, size_t out_stride, const void *tile, const void *packed, int n, int add,    \
                               const ll_type TYPE, const int UNUSED, const size_t TOKENS) {                            \
        const size_t GROUP = (size_t)ll_group(TYPE), BYTES = ll_group_bytes(TYPE), TOGETHER = ll_together(TYPE);       \
        (void)UNUSED;                                                                                                  \
        for (size_t h = 0; h < 2; h++) {                                                                               \
            const unsigned char *w = (const unsigned char *)tile + (size_t)ll_has_rows(TYPE) * LL_LINE;                \
            const unsigned char *a = (const unsigned char *)packed;                                                    \
            float32x4_t sum[6][2];                                                                                     \
            LL_UNROLL(size_t t = 0; t < TOKENS; t++) sum[t][0] = sum[t][1] = vdupq_n_f32(0);                           \
            for (size_t g = 0, groups = (size_t)ll_groups(n, (int)GROUP); g < groups;                                  \
                 g++, a += TOKENS * (GROUP + 8)) {                                                                     \
                const size_t part = g % TOGETHER;                                                                      \
                const unsigned char *q = w + LL_LINE + part * BYTES + 32 * h;                                          \
                int32x4_t c[6][2];                                                                                     \
                LL_UNROLL(size_t t = 0; t < TOKENS; t++) c[t][0] = c[t][1] = vdupq_n_s32(0);                           \
                for (size_t k = 0; k < GROUP / 4; k++)                                                                 \
                    LL_UNROLL(size_t i = 0; i < 2; i++) {                                                              \
                        const int8x16_t v = ll_bytes_neon(q + 16 * i, TYPE, k);                                        \
                        LL_UNROLL(size_t t = 0; t < TOKENS; t++)                                                       \
                            c[t][i] = DOT4(c[t][i], v, ll_word_neon(a + t * GROUP + 4 * k));                           \
                    }                                                                                                  \
                ll_end_group_neon(sum, c, w + LL_LINE / TOGETHER * part + LL_LINE / TOGETHER / 2 * h,                  \
                                  a + TOKENS * GROUP, TYPE, TOKENS);                                                   \
                if (part == TOGETHER - 1) w += LL_LINE + TOGETHER * BYTES;                                             \
            }                                                                                                          \
            LL_UNROLL(size_t t = 0; t < TOKENS; t++)                                                                   \
                ll_store_groups_neon(out + t * out_stride, sum[t], tile, h, TYPE, add);                                \
        }                                                                                                              \
    }
LL_GROUPS_NEON(ll_groups_neon, , ll_dot4_neon)
LL_GROUPS_NEON(ll_groups_neon_dot, LL_DOTPROD, vdotq_s32)

static void ll_dot_neon(float *out, const float *w, const float *x, int n, int rows, int add) {
    for (int r = 0; r < rows; r++, w += n) {
        float32x4_t c[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
        int k = 0;
        for (; k + 16 <= n; k += 16)
            LL_UNROLL(int i = 0; i < 4; i++) c[i] = vfmaq_f32(c[i], vld1q_f32(w + k + 4 * i), vld1q_f32(x + k + 4 * i));
        float sum = vaddvq_f32(vaddq_f32(vaddq_f32(c[0], c[1]), vaddq_f32(c[2], c[3])));
        for (; k < n; k++) sum += w[k] * x[k];
        out[r] = add ? out[r] + sum : sum;
    }
}

/* ll_exp in every lane: minimum and maximum let nan through. */
LL_INLINE float32x4_t ll_exp_neon(float32x4_t x) {
    x = vminq_f32(vmaxq_f32(x, vdupq_n_f32(-87.0f)), vdupq_n_f32(88.0f));
    const int32x4_t i = vcvtnq_s32_f32(vmulq_n_f32(x, 1.44269504f));
    const float32x4_t y = vcvtq_f32_s32(i), f = vfmaq_n_f32(vfmsq_n_f32(x, y, 0.693359375f), y, 2.12194440e-4f);
    float32x4_t p = vdupq_n_f32(1.9875691500e-4f);
    p = vfmaq_f32(vdupq_n_f32(1.3981999507e-3f), p, f);
    p = vfmaq_f32(vdupq_n_f32(8.3334519073e-3f), p, f);
    p = vfmaq_f32(vdupq_n_f32(4.1665795894e-2f), p, f);
    p = vfmaq_f32(vdupq_n_f32(1.6666665459e-1f), p, f);
    p = vfmaq_f32(vdupq_n_f32(5.0000001201e-1f), p, f);
    p = vaddq_f32(vfmaq_f32(f, vmulq_f32(p, f), f), vdupq_n_f32(1.0f));
    return vmulq_f32(p, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(i, vdupq_n_s32(127)), 23)));
}

/* Whole registers first; the plain loop takes the rest, and the largest of what both saw holds for both. */
static float ll_softmax_neon(float *x, int n, float *max) {
    const int whole = n / 4 * 4;
    float32x4_t top = vdupq_n_f32(*max), sum = vdupq_n_f32(0);
    for (int i = 0; i < whole; i += 4) top = vmaxq_f32(top, vld1q_f32(x + i));
    *max = vmaxvq_f32(top);
    const float rest = ll_softmax_plain(x + whole, n - whole, max);
    for (int i = 0; i < whole; i += 4) {
        const float32x4_t e = ll_exp_neon(vsubq_f32(vld1q_f32(x + i), vdupq_n_f32(*max)));
        vst1q_f32(x + i, e);
        sum = vaddq_f32(sum, e);
    }
    return rest + vaddvq_f32(sum);
}

LL_INLINE void ll_gate_neon(float *a, const float *b, int n, const int GELU) {
    const float32x4_t one = vdupq_n_f32(1.0f), bend = vdupq_n_f32(0.07135481f), slope = vdupq_n_f32(1.59576912f);
    const int whole = n / 4 * 4;
    for (int i = 0; i < whole; i += 4) {
        const float32x4_t z = vld1q_f32(a + i), minus_z = vnegq_f32(z);
        const float32x4_t bent = vmulq_f32(minus_z, vfmaq_f32(slope, bend, vmulq_f32(z, z)));
        const float32x4_t e = ll_exp_neon(GELU ? bent : minus_z);
        vst1q_f32(a + i, vmulq_f32(vdivq_f32(z, vaddq_f32(one, e)), vld1q_f32(b + i)));
    }
    (GELU ? ll_geglu_plain : ll_swiglu_plain)(a + whole, b + whole, n - whole);
}
static void ll_swiglu_neon(float *a, const float *b, int n) { ll_gate_neon(a, b, n, 0); }
static void ll_geglu_neon(float *a, const float *b, int n) { ll_gate_neon(a, b, n, 1); }

static void ll_rotate_neon(float *x, const float *rope, int n) {
    const int whole = n / 8 * 8;
    for (int i = 0; i < whole; i += 8) {
        const float32x4x2_t v = vld2q_f32(x + i), r = vld2q_f32(rope + i);
        const float32x4x2_t turned = {{vfmsq_f32(vmulq_f32(v.val[0], r.val[0]), v.val[1], r.val[1]),
                                       vfmaq_f32(vmulq_f32(v.val[1], r.val[0]), v.val[0], r.val[1])}};
        vst2q_f32(x + i, turned);
    }
    ll_rotate_plain(x + whole, rope + whole, n - whole);
}

static void ll_half_neon(uint16_t *out, const float *x, int n) {
    const int whole = n / 4 * 4;
    for (int i = 0; i < whole; i += 4) vst1_u16(out + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
    ll_half_plain(out + whole, x + whole, n - whole);
}

LL_TILE_FN(ll_tile_f32_neon, , LL_CASES_6, ll_tile_neon, 4, 0)
LL_TILE_FN(ll_tile_f16_neon, , LL_CASES_6, ll_tile_neon, 2, 0)
LL_MIX_FN(ll_mix_f32_neon, , LL_CASES_6, ll_mix_neon, 4)
LL_MIX_FN(ll_mix_f16_neon, , LL_CASES_6, ll_mix_neon, 2)
LL_MIX_FN(ll_mix_q8_neon, , LL_CASES_6, ll_mix_neon, 1)
LL_TILE_FN(ll_tile_bf16_neon, , LL_CASES_6, ll_bf16_neon, 0, 0)
LL_TILE_FN(ll_tile_q8_neon, , LL_CASES_6, ll_groups_neon, LL_Q8, 0)
LL_TILE_FN(ll_tile_q4_0_neon, , LL_CASES_6, ll_groups_neon, LL_Q4_0, 0)
LL_TILE_FN(ll_tile_q4_neon, , LL_CASES_6, ll_groups_neon, LL_Q4, 0)
LL_TILE_FN(ll_tile_q6_neon, , LL_CASES_6, ll_groups_neon, LL_Q6, 0)
LL_TILE_FN(ll_tile_q8_neon_dot, LL_DOTPROD, LL_CASES_6, ll_groups_neon_dot, LL_Q8, 0)
LL_TILE_FN(ll_tile_q4_0_neon_dot, LL_DOTPROD, LL_CASES_6, ll_groups_neon_dot, LL_Q4_0, 0)
LL_TILE_FN(ll_tile_q4_neon_dot, LL_DOTPROD, LL_CASES_6, ll_groups_neon_dot, LL_Q4, 0)
LL_TILE_FN(ll_tile_q6_neon_dot, LL_DOTPROD, LL_CASES_6, ll_groups_neon_dot, LL_Q6, 0)

/* clang-format off */
static const ll_kernels ll_neon = {"neon",
    {{NULL, NULL, NULL, 0, 0}, {ll_pack_f32, ll_tile_f32_neon, NULL, 6, 1},
     {ll_pack_bf16_as_f32, ll_tile_bf16_neon, NULL, 6, 1},
     {ll_pack_q8, ll_tile_q8_neon, NULL, 6, 1}, {ll_pack_q4_0, ll_tile_q4_0_neon, NULL, 6, 1},
     {ll_pack_q4, ll_tile_q4_neon, NULL, 6, 1}, {ll_pack_q6, ll_tile_q6_neon, NULL, 6, 1}},
    {ll_tile_f32_neon, ll_tile_f16_neon, ll_tile_q8_neon},
    {ll_mix_f32_neon, ll_mix_f16_neon, ll_mix_q8_neon}, {6, 6, 6}, ll_unpack_tile_plain, ll_half_neon,
    ll_rotate_neon, ll_dot_neon, ll_softmax_neon, {ll_swiglu_neon, ll_geglu_neon}};
static const ll_kernels ll_neon_dot = {"neondot",
    {{NULL, NULL, NULL, 0, 0}, {ll_pack_f32, ll_tile_f32_neon, NULL, 6, 1},
     {ll_pack_bf16_as_f32, ll_tile_bf16_neon, NULL, 6, 1},
     {ll_pack_q8, ll_tile_q8_neon_dot, NULL, 6, 1}, {ll_pack_q4_0, ll_tile_q4_0_neon_dot, NULL, 6, 1},
     {ll_pack_q4, ll_tile_q4_neon_dot, NULL, 6, 1}, {ll_pack_q6, ll_tile_q6_neon_dot, NULL, 6, 1}},
    {ll_tile_f32_neon, ll_tile_f16_neon, ll_tile_q8_neon_dot},
    {ll_mix_f32_neon, ll_mix_f16_neon, ll_mix_q8_neon}, {6, 6, 6}, ll_unpack_tile_plain, ll_half_neon,
    ll_rotate_neon, ll_dot_neon, ll_softmax_neon, {ll_swiglu_neon, ll_geglu_neon}};
/* clang-format on */
#endif

/* The set of that name, or the fastest if name is NULL; NULL if this processor or build has none such. */
static const ll_kernels *ll_find_kernels(const char *name) {
#ifdef LL_X86
    __builtin_cpu_init();
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#ifdef LLAMA_NO_AVX512
    const int avx512 = 0, avx_vnni = 0;
#else
    unsigned leaf[4] = {0};
    const int avx_vnni = avx2 && __get_cpuid_count(7, 1, &leaf[0], &leaf[1], &leaf[2], &leaf[3]) && (leaf[0] >> 4 & 1);
    const int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512vnni");
#endif
    const int bf16 = avx512 && __builtin_cpu_supports("avx512bf16");
    const int wide = __builtin_cpu_is("intel"); /* see at the kernels why */
    if (bf16 && (name ? !strcmp(name, ll_avx512_bf16_wide.name) : wide)) return &ll_avx512_bf16_wide;
    if (bf16 && (!name || !strcmp(name, ll_avx512_bf16.name))) return &ll_avx512_bf16;
    if (avx512 && (name ? !strcmp(name, ll_avx512_wide.name) : wide)) return &ll_avx512_wide;
    if (avx512 && (!name || !strcmp(name, ll_avx512.name))) return &ll_avx512;
#ifdef LL_AVX_VNNI
    if (avx_vnni && (!name || !strcmp(name, ll_avx_vnni.name))) return &ll_avx_vnni;
#else
    (void)avx_vnni;
#endif
    if (avx2 && (!name || !strcmp(name, ll_avx2.name))) return &ll_avx2;
#endif
#ifdef LL_NEON
#if defined(__linux__)
    const int dot = (getauxval(AT_HWCAP) & (1ul << 20)) != 0; /* HWCAP_ASIMDDP */
#elif defined(__ARM_FEATURE_DOTPROD)
    const int dot = 1;
#else
    const int dot = 0;
#endif
    if (dot && (!name || !strcmp(name, ll_neon_dot.name))) return &ll_neon_dot;
    if (!name || !strcmp(name, ll_neon.name)) return &ll_neon;
#endif
    return !name || !strcmp(name, ll_plain.name) ? &ll_plain : NULL;
}

/* ==== 8. Saved sequences ========================================================================
 * A header of LL_STATE bytes: "llama.cs", uint32 version 1, uint32[6] what keys and values depend on beside the weights
 * (ll_state_shape), uint64 hash of the model, uint64 hash of what follows: for each layer and kv head, and LLAMA_PAGE
 * positions at a time, the tiles of keys, those of values, and the values' scales.
 */
enum { LL_STATE = 64 };

/* FNV-1a (Fowler, Noll, Vo) over words of 64 bits instead of bytes, the last one filled up with zeros. */
static uint64_t ll_hash(uint64_t hash, const unsigned char *p, size_t size) {
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, p + i, size - i < 8 ? size - i : 8);
        hash = (hash ^ word) * UINT64_C(0x100000001b3);
        hash ^= hash >> 29; /* a product's high bits depend on all of a word, its low ones do not */
    }
    return hash;
}

static uint64_t ll_model_hash(llama_context *c) {
    if (!c->hash) c->hash = c->model->config.hash;
    if (!c->hash) c->hash = ll_hash(1, c->model->file, c->model->file_size) | 1;
    return c->hash;
}

static void ll_state_shape(const llama_context *c, int length, uint32_t shape[6]) {
    const llama_config *f = &c->model->config;
    const int numbers[] = {length,      f->n_layers,       f->n_kv_heads,
                           f->head_dim, ll_kv_size(c->kv), f->rope_short && c->longest > f->rope_short};
    for (int i = 0; i < 6; i++) shape[i] = (uint32_t)numbers[i];
}

static size_t ll_state_bytes(const llama_context *c, int length) {
    const llama_config *f = &c->model->config;
    const size_t heads = ll_mul((size_t)f->n_layers, (size_t)f->n_kv_heads), positions = (size_t)length;
    const size_t value = c->head_stride * (size_t)ll_kv_size(c->kv) + (c->kv == LL_KV_Q8 ? sizeof(float) : 0);
    const size_t keys = ll_mul(ll_pad(length) / LL_TILE, c->key_bytes);
    return ll_add(LL_STATE, ll_mul(heads, ll_add(keys, ll_mul(positions, value))));
}

/* Zeros in a tile of keys for positions from `first` on: 16 numbers after the other, but of q8 four bytes of each. */
static void ll_clear_keys(const llama_context *c, unsigned char *tile, int first) {
    for (size_t at = 0, size; at < c->key_bytes; at += LL_TILE * size) {
        const int scales = c->kv == LL_KV_Q8 && at % (33 * LL_LINE) < LL_LINE; /* of two groups, before their lines */
        size = c->kv == LL_KV_F16 || scales ? 2 : 4;
        memset(tile + at + (size_t)first * size, 0, (size_t)(LL_TILE - first) * size);
    }
}

static void ll_move(unsigned char **data, void *at, size_t bytes, int back) {
    memcpy(back ? at : *data, back ? *data : at, bytes);
    *data += bytes;
}

/* What a sequence's pages hold, to data, or, if back, from it. */
static void ll_copy_state(const llama_context *c, const ll_sequence *q, unsigned char *data, int back) {
    const llama_config *f = &c->model->config;
    const size_t line = (size_t)(LL_TILE * ll_kv_size(c->kv));
    for (int i = 0; i < f->n_layers * f->n_kv_heads; i++)
        for (int p = 0; p < q->length; p += LLAMA_PAGE) {
            const int l = i / f->n_kv_heads, h = i % f->n_kv_heads, page = q->page[p / LLAMA_PAGE];
            const int left = q->length - p, n = left < LLAMA_PAGE ? left : LLAMA_PAGE;
            ll_move(&data, ll_head_keys(c, page, l, h), ll_pad(n) / LL_TILE * c->key_bytes, back);
            if (!back && n % LL_TILE) ll_clear_keys(c, data - c->key_bytes, n % LL_TILE);
            for (size_t d = 0; d < c->head_stride; d += LL_TILE)
                ll_move(&data, ll_head_values(c, page, l, h, d), (size_t)n * line, back);
            if (c->kv == LL_KV_Q8) ll_move(&data, ll_head_scales(c, page, l, h), (size_t)n * sizeof(float), back);
        }
}

size_t llama_state_bytes(const llama_context *c, int sequence) {
    const int length = llama_length(c, sequence);
    return length < 0 ? 0 : ll_state_bytes(c, length);
}

static void ll_put(unsigned char *p, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) p[i] = (unsigned char)(value >> 8 * i);
}

int llama_save(llama_context *c, int sequence, void *data, size_t size, llama_error *err) {
    static const unsigned char magic[] = "llama.cs";
    unsigned char *p = (unsigned char *)data;
    uint32_t shape[6];
    if (ll_check_sequence(c, sequence, err)) return -1;
    const ll_sequence *q = &c->sequences[sequence];
    const size_t bytes = ll_state_bytes(c, q->length);
    if (size < bytes)
        return ll_fail(err, LLAMA_BAD_OPTION, "sequence %d needs %zu bytes, %zu are given", sequence, bytes, size);
    memset(p, 0, LL_STATE), memcpy(p, magic, 8);
    ll_put(p + 8, 1, 4);
    ll_state_shape(c, q->length, shape);
    for (int i = 0; i < 6; i++) ll_put(p + 12 + 4 * i, shape[i], 4);
    ll_put(p + 36, ll_model_hash(c), 8);
    ll_copy_state(c, q, p + LL_STATE, 0);
    ll_put(p + 44, ll_hash(2, p + LL_STATE, bytes - LL_STATE), 8);
    return 0;
}

int llama_restore(llama_context *c, int sequence, const void *data, size_t size, llama_error *err) {
    static const char *const names[] = {"length",       "layers", "kv heads", "head_dim", "bytes of a number",
                                        "long rotation"};
    const unsigned char *p = (const unsigned char *)data;
    uint32_t shape[6];
    if (ll_check_sequence(c, sequence, err)) return -1;
    if (size < LL_STATE || memcmp(p, "llama.cs", 8) || ll_u32(p + 8) != 1)
        return ll_fail(err, LL_BAD, "saved sequence: %zu bytes that are none, or of another version", size);
    const uint32_t length = ll_u32(p + 12);
    if (length > (uint32_t)c->longest)
        return ll_fail(err, LLAMA_NO_ROOM, "saved sequence: %" PRIu32 " tokens, a sequence holds %d", length,
                       c->longest);
    ll_state_shape(c, (int)length, shape);
    for (int i = 0; i < 6; i++)
        if (ll_u32(p + 12 + 4 * i) != shape[i])
            return ll_fail(err, LL_BAD, "saved sequence: %s %" PRIu32 ", here %" PRIu32 ": of another model or cache",
                           names[i], ll_u32(p + 12 + 4 * i), shape[i]);
    if (ll_u64(p + 36) != ll_model_hash(c))
        return ll_fail(err, LL_BAD, "saved sequence: of a model with other weights");
    const size_t bytes = ll_state_bytes(c, (int)length);
    for (int i = 52; i < LL_STATE; i++)
        if (p[i]) return ll_fail(err, LL_BAD, "saved sequence: byte %d is %d, not 0", i, p[i]);
    if (size != bytes)
        return ll_fail(err, LL_BAD, "saved sequence: %zu bytes, its header implies %zu: cut short?", size, bytes);
    if (ll_u64(p + 44) != ll_hash(2, p + LL_STATE, bytes - LL_STATE))
        return ll_fail(err, LL_BAD, "saved sequence: damaged, its bytes have another hash");
    ll_sequence *q = &c->sequences[sequence];
    int own = 0; /* pages that it gives back */
    for (int i = 0; i < ll_pages(q->length); i++) own += c->shared[q->page[i]] == 1;
    if (ll_pages((int)length) > c->n_unused + own)
        return ll_fail(err, LLAMA_NO_ROOM, "saved sequence: %d pages of %d tokens are needed, %d of %d are free",
                       ll_pages((int)length), LLAMA_PAGE, c->n_unused + own, c->n_pages);
    ll_cut(c, q, 0);
    for (int i = 0; i < ll_pages((int)length); i++) q->page[i] = ll_take_page(c);
    q->length = (int)length;
    if (!sequence) c->logits_at = 0;
    ll_copy_state(c, q, (unsigned char *)data + LL_STATE, 1);
    return 0;
}

/* ==== 9. Looking ahead ==========================================================================
 * Reading the weights is what a token costs, and several tokens share it: those of a guess at how the text goes on, or
 * those of several texts. All is done by public functions; only of a sampler the numbers that it will draw are looked
 * at, of a context its model.
 *
 * ---- Speculation ----
 * A guess is evaluated together with the token before it. The caller draws from the logits of each position as ever,
 * and as long as what is drawn is what was guessed, the logits after it are there already. Nothing depends on the
 * guess but time: the caller sees, of each position once, the logits that llama_forward would have given. (Accepting
 * guesses at random instead, arXiv:2211.17192, keeps the distribution but not the text of a seed.)
 *
 * How long a guess is to be: a pass over 1 + k tokens takes about 1 + k cost times that of one, and gives 1 + r1 +
 * r1 r2 + ... tokens, r being how often guesses of that kind were right. The k of the largest quotient is taken, which
 * is 0 as soon as r1 < cost. That is learned from tokens alone and never from a clock, so that a run can be repeated. A
 * lookup need not be evaluated to be judged: the next token shows whether it would have been right, so a text in which
 * nothing repeats itself costs nothing but the search. A draft is tried now and then, ever more rarely as it fails.
 */
enum {
    LL_MATCH = 8,      /* tokens in front of a guess that agree, at most: so many kinds of lookups */
    LL_MOST = 255,     /* guesses at once */
    LL_PATIENCE = 128, /* passes after which a draft that fails is tried again, at most */
    LL_TRY = 2         /* guesses of such a try */
};

/* What a guess adds to the time of a pass, as a share of a token's. Measured, of 12 at once: 0.05 where weights come
 * from memory, 0.1 where they come from a large cache; more of small models, where arithmetic is all. */
static float ll_guess_cost(const llama_config *f) { return f->weight_bytes > (16 << 20) ? 0.12f : 0.3f; }

struct llama_speculator {
    llama_context *context;
    ll_allocator allocator;
    int most;
    float cost;
    int *text, held, given;    /* (length of the context) what it holds: `given` tokens by the caller, then guesses */
    float *logits;             /* (most + 1, vocab_size) from the last one that was given on */
    int first, rows;           /* the position of the first row; how many there are */
    int *lookup, found;        /* (most) what followed the last tokens before; the next one to be judged, most: none */
    int match, base;           /* tokens that agreed; the position of lookup[0] */
    float right[LL_MATCH + 1]; /* the share of lookups that were right, by tokens that agreed */
    llama_context *draft;      /* NULL: none */
    llama_sampler *dice;       /* draws what the caller's sampler would */
    const llama_sampler *sampler;
    int *drafted; /* (length of the context) what the draft's context holds */
    float draft_cost, draft_right;
    int drafting;         /* 1: the guesses are the draft's */
    int waited, patience; /* passes without it; how many there are to be */
    llama_speculation count;
};

static int ll_common(const int *a, int n_a, const int *b, int n_b) {
    int n = 0;
    while (n < n_a && n < n_b && a[n] == b[n]) n++;
    return n;
}

/* `to` will draw as `from` does. Both have the same options. */
static void ll_follow(llama_sampler *to, const llama_sampler *from) {
    to->state = from->state, to->seen = from->seen, to->next = from->next;
    memcpy(to->history, from->history, (size_t)to->capacity * sizeof *to->history);
}

/* The sampler of drafts: a copy without hooks, which are to see what is really drawn; greedy if there is none. */
static llama_sampler *ll_new_dice(const llama_model *m, const llama_sampler *from, const llama_options *o,
                                  llama_error *err) {
    llama_sampling greedy = llama_sampling_default();
    greedy.temperature = 0;
    llama_sampler *s = from ? llama_sampler_copy(from, o, err) : llama_sampler_create(m, &greedy, o, err);
    if (s) s->sampling.adjust = NULL, s->sampling.check = NULL;
    return s;
}

static int ll_add_draft(llama_speculator *s, const llama_model *draft, const llama_options *options, llama_error *err) {
    const llama_config *f = &s->context->model->config, *other = &draft->config;
    llama_options o;
    if (other->vocab_size != f->vocab_size)
        return ll_fail(err, LLAMA_BAD_OPTION, "the draft has a vocabulary of %d tokens, the model one of %d",
                       other->vocab_size, f->vocab_size);
    memset(&o, 0, sizeof o);
    if (options) o = *options;
    o.n_ctx = llama_context_length(s->context), o.n_sequences = o.n_ctx_sequence = 0;
    s->draft_cost = s->cost + (float)other->weight_bytes / (float)(f->weight_bytes + 1);
    s->dice = ll_new_dice(draft, s->sampler, &o, err);
    s->draft = s->dice ? llama_context_create(draft, &o, err) : NULL;
    return s->draft ? 0 : -1;
}

llama_speculator *llama_speculator_create(llama_context *c, const llama_model *draft, const llama_sampler *sampler,
                                          int most, const llama_options *options, llama_error *err) {
    const ll_allocator a = ll_allocator_of(options);
    const size_t length = (size_t)llama_context_length(c), vocab_size = (size_t)c->model->config.vocab_size;
    if (most < 0 || most > LL_MOST)
        return ll_fail(err, LLAMA_BAD_OPTION, "most is %d, not between 0 and %d", most, LL_MOST),
               (llama_speculator *)NULL;
    if (sampler && sampler->vocab_size != c->model->config.vocab_size)
        return ll_fail(err, LLAMA_BAD_OPTION, "the sampler has a vocabulary of %d tokens, the model one of %d",
                       sampler->vocab_size, c->model->config.vocab_size),
               (llama_speculator *)NULL;
    /* Rows as they lie give one token's very bits only to few at once. */
    if (ll_packed_type(&c->model->layers->wq) != c->model->layers->wq.type && most > LL_FEW - 2) most = LL_FEW - 2;
    const size_t floats = ll_mul((size_t)most + 1, vocab_size), ints = 2 * length + (size_t)most;
    const size_t bytes = ll_add(sizeof(llama_speculator), ll_mul(ll_add(floats, ints), sizeof(float)));
    llama_speculator *s = (llama_speculator *)ll_alloc(&a, bytes);
    if (!s) return ll_fail(err, LLAMA_NO_MEMORY, "no memory: a speculator needs %zu bytes", bytes), s;
    memset(s, 0, sizeof *s);
    s->context = c, s->allocator = a, s->most = s->found = most, s->sampler = sampler, s->patience = LL_PATIENCE / 16;
    s->cost = ll_guess_cost(&c->model->config), s->draft_right = 0.6f;
    for (int i = 0; i <= LL_MATCH; i++) s->right[i] = (float)(i * i) / (float)(i * i + 16);
    s->logits = (float *)(void *)(s + 1);
    s->text = (int *)(void *)(s->logits + floats), s->drafted = s->text + length, s->lookup = s->drafted + length;
    if (draft && ll_add_draft(s, draft, options, err)) llama_speculator_free(s), s = NULL;
    return s;
}

void llama_speculator_free(llama_speculator *s) {
    if (!s) return;
    const ll_allocator a = s->allocator;
    llama_context_free(s->draft);
    llama_sampler_free(s->dice);
    ll_release(&a, s);
}

llama_speculation llama_speculated(const llama_speculator *s) { return s->count; }

/* Of all places of the text (n) before its end the newest one with the most tokens, up to LL_MATCH, that the end has
 * too: s->lookup becomes what followed there, over and over if that is the end. */
static void ll_look_up(llama_speculator *s, int n) {
    const int *text = s->text;
    int from = 0;
    s->match = 0, s->base = n, s->found = s->most;
    for (int i = n - 1; i > 0 && s->match < LL_MATCH; i--) {
        int same = 0;
        while (same < LL_MATCH && same < i && text[i - 1 - same] == text[n - 1 - same]) same++;
        if (same > s->match) s->match = same, from = i;
    }
    if (!s->match) return;
    s->found = 0;
    for (int i = 0; i < s->most; i++) s->lookup[i] = from + i < n ? text[from + i] : s->lookup[from + i - n];
}

/* How many guesses, up to most, promise most tokens for the time; *gain: in how many times that of one token each. The
 * first is right as often as right[i] says, i <= last, the one after it as right[i + 1], and so on. */
static int ll_best_length(const float *right, int i, int last, float cost, int most, float *gain) {
    float tokens = 1, all = 1;
    int best = 0;
    *gain = 1.05f; /* less is not worth the risk */
    for (int k = 1; k <= most; k++, i++) {
        all *= right[i < last ? i : last], tokens += all;
        if (tokens > *gain * (1 + (float)k * cost)) best = k, *gain = tokens / (1 + (float)k * cost);
    }
    return best;
}

/* Lets the draft go on with the text (n) for k tokens, which go behind it, as the caller's sampler would draw them:
 * its next random numbers are known, so where both models think alike even an unlikely token is the same. Returns how
 * many there are. */
static int ll_draft(llama_speculator *s, int n, int k) {
    const int same = ll_common(s->drafted, llama_position(s->draft), s->text, n), keep = same < n ? same : n - 1;
    llama_rewind(s->draft, keep);
    memcpy(s->drafted + keep, s->text + keep, (size_t)(n - keep) * sizeof *s->text);
    const float *logits = llama_forward(s->draft, s->text + keep, n - keep, NULL);
    if (s->sampler) ll_follow(s->dice, s->sampler);
    for (int i = 0; i < k; i++) {
        const int id = logits ? llama_sample(s->dice, logits, NULL) : -1;
        if (id < 0) return i;
        s->text[n + i] = s->drafted[n + i] = id;
        if (i + 1 < k) logits = llama_forward(s->draft, &id, 1, NULL);
    }
    return k;
}

/* Puts guesses behind the text (n), by whom they promise more of. Returns how many. */
static int ll_guess(llama_speculator *s, int n) {
    const int room = llama_context_length(s->context) - n, most = room < s->most ? room : s->most;
    float gain, other = 0;
    if (!most) return 0;
    ll_look_up(s, n);
    int k = s->match ? ll_best_length(s->right, s->match, LL_MATCH, s->cost, most, &gain) : 0, drafts = 0;
    s->drafting = 0;
    if (s->draft) {
        drafts = ll_best_length(&s->draft_right, 0, 0, s->draft_cost, most, &other);
        if (drafts) s->patience = LL_PATIENCE / 16, s->waited = 0;
        else if (++s->waited > s->patience) {
            drafts = most < LL_TRY ? most : LL_TRY, s->waited = 0;
            s->patience = s->patience < LL_PATIENCE ? 2 * s->patience : LL_PATIENCE;
        }
    }
    if (drafts && (!k || other > gain)) s->drafting = 1, k = ll_draft(s, n, drafts);
    else memcpy(s->text + n, s->lookup, (size_t)k * sizeof *s->text);
    return k;
}

/* What the caller's text (n), of which `own` tokens are those of s->text, tells of guesses. */
static void ll_judge(llama_speculator *s, const int *text, int n, int own) {
    for (int i = s->given, good = own >= i; good && i < n; i++) {
        const int j = i - s->base, length = s->match + j < LL_MATCH ? s->match + j : LL_MATCH;
        if (i < s->held) {
            good = text[i] == s->text[i], s->count.accepted += (uint64_t)good;
            if (s->drafting) s->draft_right += ((float)good - s->draft_right) / 8;
        }
        if (j == s->found && j < s->most) {
            const int hit = text[i] == s->lookup[j];
            s->right[length] += ((float)hit - s->right[length]) / 16;
            s->found = hit ? j + 1 : s->most;
        }
        good = good && i < s->held;
    }
}

/* Evaluates the text (n) from position keep on, and k guesses behind it. Returns the logits after the text. */
static const float *ll_look_ahead(llama_speculator *s, int keep, int n, int k, llama_error *err) {
    unsigned char wanted[LL_MOST + 1];
    llama_error own = {0, ""};
    const float *logits = s->logits;
    memset(wanted, 1, sizeof wanted);
    s->rows = 0, s->given = s->held = keep;
    if (k) {
        const llama_item item = {0, n - keep + k, s->text + keep, wanted, s->logits, NULL, 0};
        if (llama_evaluate(s->context, &item, 1, &own)) logits = NULL;
        if (own.code == LLAMA_NO_ROOM) return ll_look_ahead(s, keep, n, 0, err); /* others have the pages */
    } else logits = llama_forward(s->context, s->text + keep, n - keep, &own);
    if (!logits) return ll_fail(err, own.code, "%s", own.text), logits;
    s->given = n, s->held = n + k, s->first = n - 1, s->rows = k ? 1 + k : 0;
    s->count.passes++, s->count.proposed += (uint64_t)k;
    return logits;
}

const float *llama_speculate(llama_speculator *s, const int *text, int n, llama_error *err) {
    llama_context *c = s->context;
    const int position = llama_position(c), vocab_size = c->model->config.vocab_size;
    const float *none = NULL;
    if (n < 1) return ll_fail(err, LLAMA_BAD_TOKEN, "%d tokens given, at least 1 needed", n), none;
    if (n > llama_context_length(c))
        return ll_fail(err, LLAMA_NO_ROOM, "a text of %d tokens does not fit: the context holds %d", n,
                       llama_context_length(c)),
               none;
    /* What the caller has evaluated himself since then is known by what he says now. */
    if (position < s->held) s->held = position;
    if (s->given > s->held) s->given = s->held;
    const int own = ll_common(s->text, s->held, text, n), theirs = position < n ? position : n;
    const int same = own == s->held && theirs > own ? theirs : own;
    for (int i = own; i < n; i++)
        if (text[i] < 0 || text[i] >= vocab_size)
            return ll_fail(err, LLAMA_BAD_TOKEN, "token %d of %d is %d, not between 0 and %d", i, n, text[i],
                           vocab_size - 1),
                   none;
    ll_judge(s, text, n, own);
    if (own == n && s->rows && n > s->first && n <= s->first + s->rows) {
        if (s->given < n) s->given = n;
        return s->logits + (size_t)(n - 1 - s->first) * (size_t)vocab_size;
    }
    memcpy(s->text + own, text + own, (size_t)(n - own) * sizeof *text);
    if (same == n && position == n && llama_logits(c)) return s->given = s->held = n, llama_logits(c);
    const int keep = same < n ? same : n - 1;
    llama_rewind(c, keep);
    return ll_look_ahead(s, keep, n, keep == n - 1 ? ll_guess(s, n) : 0, err);
}

/* ---- Beam search ----
 * The likeliest of all vocab_size^n texts cannot be found. A beam is one that may become it: of all tokens behind all
 * beams the n_beams likeliest go on. They share the pages of what they have in common, and each reading of the weights.
 */
typedef struct {
    double sum, score; /* lists are sorted by score */
    int before, token; /* the node of all tokens but the last; that one */
    int n, ended, sequence;
} ll_beam;

typedef struct {
    int before, token; /* before: -1 for the first token */
} ll_node;

typedef struct {
    llama_context *context;
    const llama_beaming *o;
    int prompt, most;
    ll_beam *open, *next, *ends, *done; /* (n_beams) each: with this many tokens; with one more; ended there; ended */
    int n_open, n_next, n_ends, n_done;
    ll_node *nodes;    /* (most, n_beams) the open beams of each length */
    llama_item *items; /* (n_beams) */
    float *logits;     /* (n_beams, vocab_size) after each open beam */
} ll_search;

static double ll_beam_score(const ll_search *s, double sum, int n) {
    return sum / pow((5.0 + n) / 6, (double)s->o->length_penalty);
}

/* Puts a beam into a list of the n_beams best, behind its equals. Returns how many there are now. */
static int ll_insert(const ll_search *s, ll_beam *list, int n, ll_beam beam) {
    int at = n;
    while (at && list[at - 1].score < beam.score) at--;
    if (at == s->o->n_beams) return n;
    if (n < s->o->n_beams) n++;
    memmove(list + at + 1, list + at, (size_t)(n - 1 - at) * sizeof *list);
    list[at] = beam;
    return n;
}

/* All tokens behind open beam b: those that may be among the n_beams best to s->next, or to s->ends. */
static int ll_continue(ll_search *s, int b, llama_error *err) {
    const llama_beaming *o = s->o;
    const int vocab_size = s->context->model->config.vocab_size, parent = s->open[b].sequence;
    const float *logits = s->logits + (size_t)b * (size_t)vocab_size;
    const int best = ll_best(logits, vocab_size, err);
    if (best < 0) return -1;
    const double all = (double)logits[best] - (double)llama_logprob(logits, vocab_size, best);
    const int before = s->open[b].n ? (s->open[b].n - 1) * o->n_beams + b : -1;
    for (int id = 0; id < vocab_size; id++) {
        const double sum = s->open[b].sum + ((double)logits[id] - all);
        if (!(logits[id] >= -FLT_MAX) || (s->n_next == o->n_beams && sum < s->next[s->n_next - 1].sum)) continue;
        ll_beam beam = {sum, sum, before, id, s->open[b].n + 1, 0, parent};
        beam.ended = o->is_end && o->is_end(o->user, id);
        if (beam.ended) s->n_ends = ll_insert(s, s->ends, s->n_ends, beam);
        else s->n_next = ll_insert(s, s->next, s->n_next, beam);
    }
    return 0;
}

/* The next beams become the open ones, and what ended before the last of them is done. Returns 0 when none of the open
 * ones can win any more: a sum can only fall, and what lengthening makes of it is known. */
static int ll_end_step(ll_search *s) {
    ll_beam *const swap = s->open;
    for (int i = 0; i < s->n_ends; i++)
        if (s->n_next < s->o->n_beams || s->ends[i].sum >= s->next[s->n_next - 1].sum) {
            s->ends[i].score = ll_beam_score(s, s->ends[i].sum, s->ends[i].n);
            s->n_done = ll_insert(s, s->done, s->n_done, s->ends[i]);
        }
    s->open = s->next, s->next = swap, s->n_open = s->n_next, s->n_next = s->n_ends = 0;
    for (int i = 0; i < s->n_open; i++) {
        const ll_beam *beam = &s->open[i];
        const ll_node node = {beam->before, beam->token};
        s->nodes[(size_t)(beam->n - 1) * (size_t)s->o->n_beams + (size_t)i] = node;
    }
    if (!s->n_open || s->open->n == s->most) return 0;
    return !s->n_done || ll_beam_score(s, s->open->sum, s->most) > s->done->score;
}

/* Gives each open beam a sequence: the first of a parent's children his own, the others one that is free, as a fork;
 * and evaluates their last tokens. */
static int ll_step(ll_search *s, llama_error *err) {
    const size_t vocab_size = (size_t)s->context->model->config.vocab_size;
    int parent[LL_MOST + 1], owner[LL_MOST + 1], free_one = 0;
    for (int i = 0; i < s->o->n_beams; i++) owner[i] = -1;
    for (int i = 0; i < s->n_open; i++) {
        parent[i] = s->open[i].sequence, s->open[i].sequence = -1;
        if (owner[parent[i]] < 0) owner[s->open[i].sequence = parent[i]] = i;
    }
    for (int i = 0; i < s->n_open; i++) {
        if (s->open[i].sequence >= 0) continue;
        while (owner[free_one] >= 0) free_one++;
        owner[s->open[i].sequence = free_one] = i;
        if (llama_fork(s->context, free_one, parent[i], llama_length(s->context, parent[i]), err)) return -1;
    }
    for (int q = 0; q < s->o->n_beams; q++) /* the prompt stays in sequence 0 */
        if (owner[q] < 0 && llama_fork(s->context, q, q, q ? 0 : s->prompt, err)) return -1;
    for (int i = 0; i < s->n_open; i++) {
        const llama_item item = {
            s->open[i].sequence, 1, &s->open[i].token, NULL, s->logits + (size_t)i * vocab_size, NULL, 0};
        s->items[i] = item;
    }
    return llama_evaluate(s->context, s->items, s->n_open, err);
}

/* The best of those that ended and those still open, to the caller. Returns how many. */
static int ll_deliver_beams(ll_search *s, llama_beam *beams) {
    for (int i = 0; i < s->n_open; i++) {
        s->open[i].score = ll_beam_score(s, s->open[i].sum, s->open[i].n);
        s->n_done = ll_insert(s, s->done, s->n_done, s->open[i]);
    }
    for (int i = 0; i < s->n_done; i++) {
        const ll_beam *from = &s->done[i];
        beams[i].sum = from->sum, beams[i].score = from->score, beams[i].n = from->n, beams[i].ended = from->ended;
        beams[i].tokens[from->n - 1] = from->token;
        for (int at = from->n - 2, node = from->before; at >= 0; at--, node = s->nodes[node].before)
            beams[i].tokens[at] = s->nodes[node].token;
    }
    return s->n_done;
}

static int ll_check_beaming(const llama_context *c, const llama_beaming *o, llama_error *err) {
    const int most = c->n_sequences < LL_MOST ? c->n_sequences : LL_MOST;
    if (o->n_beams < 1 || o->n_beams > most)
        return ll_fail(err, LLAMA_BAD_OPTION, "n_beams is %d, not between 1 and %d: the context has %d sequences",
                       o->n_beams, most, c->n_sequences);
    if (o->most < 1) return ll_fail(err, LLAMA_BAD_OPTION, "most is %d, not 1 or more", o->most);
    if (!(o->length_penalty >= 0 && o->length_penalty <= 10))
        return ll_fail(err, LLAMA_BAD_OPTION, "length_penalty is %g, not between 0 and 10", (double)o->length_penalty);
    if (!llama_logits(c))
        return ll_fail(err, LLAMA_BAD_LOGITS, "there are no logits to begin with: llama_forward first");
    return 0;
}

/* One block for all of it, which begins with the lists. NULL without memory. */
static void *ll_lay_out_search(ll_search *s, const ll_allocator *a, llama_error *err) {
    const size_t beams = (size_t)s->o->n_beams, nodes = ll_mul(beams, (size_t)s->most);
    const size_t floats = ll_mul(beams, (size_t)s->context->model->config.vocab_size);
    const size_t bytes = ll_add(beams * (4 * sizeof(ll_beam) + sizeof(llama_item)),
                                ll_add(ll_mul(nodes, sizeof(ll_node)), ll_mul(floats, sizeof(float))));
    void *block = ll_alloc(a, nodes > INT_MAX ? SIZE_MAX : bytes);
    if (!block) return ll_fail(err, LLAMA_NO_MEMORY, "no memory: %d beams need %zu bytes", s->o->n_beams, bytes), block;
    s->open = (ll_beam *)block, s->next = s->open + beams, s->ends = s->next + beams, s->done = s->ends + beams;
    s->items = (llama_item *)(void *)(s->done + beams);
    s->nodes = (ll_node *)(void *)(s->items + beams);
    s->logits = (float *)(void *)(s->nodes + nodes);
    return block;
}

int llama_beam_search(llama_context *c, const llama_beaming *o, llama_beam *beams, const llama_options *options,
                      llama_error *err) {
    const ll_allocator a = ll_allocator_of(options);
    const ll_beam begin = {0, 0, -1, -1, 0, 0, 0};
    ll_search s;
    int bad = 0;
    if (ll_check_beaming(c, o, err)) return -1;
    memset(&s, 0, sizeof s);
    s.context = c, s.o = o, s.prompt = llama_position(c), s.n_open = 1;
    const int room = llama_context_length(c) - s.prompt + 1; /* the last token is not evaluated */
    s.most = o->most < room ? o->most : room;
    void *block = ll_lay_out_search(&s, &a, err);
    if (!block) return -1;
    s.open[0] = begin;
    memcpy(s.logits, llama_logits(c), (size_t)c->model->config.vocab_size * sizeof(float));
    for (int q = 1; q < o->n_beams; q++) llama_fork(c, q, q, 0, NULL);
    for (int more = 1; more && !bad;) {
        for (int b = 0; b < s.n_open && !bad; b++) bad = ll_continue(&s, b, err);
        more = !bad && ll_end_step(&s);
        if (more) bad = ll_step(&s, err);
    }
    const int found = bad ? -1 : ll_deliver_beams(&s, beams);
    for (int q = 0; q < o->n_beams; q++) llama_fork(c, q, q, q ? 0 : s.prompt, NULL);
    c->logits_at = 0;
    ll_release(&a, block);
    return found;
}
#undef LL_EACH_LAYER
#undef LL_MMAP
#undef LL_X86
#undef LL_NEON
#undef LL_DOTPROD
#undef LL_GROUPS_NEON
#undef LL_INLINE
#undef LL_AVX2
#undef LL_AVX_VNNI
#undef LL_AVX512
#undef LL_AVX512_BF16
#undef LL_ROLLED
#undef LL_UNROLL
#undef LL_CASE
#undef LL_CASES_4
#undef LL_CASES_6
#undef LL_CASES_12
#undef LL_PROMPT_FN
#undef LL_AVX512_SET
#undef LL_AVX512_SETS
#undef LL_NO_BF16
#undef LL_HAS_BF16
#undef LL_EACH_TOKEN
#undef LL_DECLARE
#undef LL_START
#undef LL_DOT
#undef LL_FOUR_COLUMNS
#undef LL_JOIN
#undef LL_SUM
#undef LL_STORE
#undef LL_FUTEX
#undef LL_THREADS
#undef LL_TILE_FN

#endif /* LLAMA_C */
