/* llama.h - run Llama-family language models on a CPU. C99, no dependencies.
 *
 * Two files: compile llama.c beside your program (cc -O2 -c llama.c; add -fopenmp for threads),
 * or write in exactly one C or C++ source file
 *
 *     #define LLAMA_IMPLEMENTATION
 *     #include "llama.h"
 *
 * The whole of a program that continues a list of token ids (tokenizer.h makes ids of text):
 *
 *     llama_error err;
 *     llama_model *model = llama_load("model.bin", NULL, &err);
 *     llama_context *context = llama_context_create(model, NULL, &err);
 *     llama_sampler *sampler = llama_sampler_create(model, NULL, NULL, &err);
 *     const float *logits = llama_forward(context, ids, n, &err);
 *     while (logits) {
 *         int id = llama_sample(sampler, logits, &err);
 *         ... print id, stop when it is the end of the text ...
 *         logits = llama_forward(context, &id, 1, &err);
 *     }
 *
 * Promises: no function here exits, aborts, prints, reads the environment or keeps a global state.
 * What fails says so by its return value and writes one line to err->text, naming the file, the
 * field and the value. err may be NULL. Files are hostile until checked.
 *
 * Threads: a llama_model is read-only once loaded; any number of threads may share it. A context or
 * a sampler belongs to one thread at a time.
 *
 * Compile-time switches, for llama.c:
 *     LLAMA_NO_MMAP   read files with fread instead of mapping them
 *     LLAMA_NO_SIMD   the plain C loops only
 *     LLAMA_NO_AVX512 on x86, AVX2 at most: for the same bits on all machines, and to test that set
 *     LLAMA_API       linkage of the public functions (default: extern)
 */
#ifndef LLAMA_H
#define LLAMA_H

#include <stddef.h>
#include <stdint.h>

#ifndef LLAMA_API
#define LLAMA_API extern
#endif

#define LLAMA_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct llama_model llama_model;     /* weights and configuration, read-only once loaded */
typedef struct llama_context llama_context; /* sequences of tokens: their kv cache and activations */
typedef struct llama_sampler llama_sampler; /* picks a token from logits */

/* What went wrong, for a program. */
enum {
    LLAMA_BAD_FILE = 1, /* it cannot be opened or read, is damaged, or is no checkpoint */
    LLAMA_NO_MEMORY,
    LLAMA_BAD_TOKEN,  /* an id that is not of the vocabulary, or no id at all */
    LLAMA_NO_ROOM,    /* the context is full */
    LLAMA_CANCELLED,  /* by llama_options.progress */
    LLAMA_BAD_OPTION, /* out of its range, or not to be had on this processor */
    LLAMA_BAD_LOGITS  /* nan or +infinity, or every token forbidden: there is nothing to draw */
};

typedef struct {    /* untouched on success */
    int code;       /* one of the above */
    char text[256]; /* for people: one line without a newline, always terminated */
} llama_error;

/* How a layer differs from the next. */
typedef struct {
    int rope;    /* which of the model's rotary tables turns its queries and keys */
    int window;  /* tokens that a token sees, itself included; 0: all (arXiv:2004.05150, 2310.06825) */
    int experts; /* 1: its feed-forward part is a mixture of experts */
} llama_layer_kind;

/* What Llama's relatives add to each layer, or leave out: bits of llama_config.extras. */
enum {
    LLAMA_QKV_BIAS = 1,         /* queries, keys and values are w . x + bias: Qwen 2 (arXiv:2407.10671) */
    LLAMA_O_BIAS = 2,           /* so is what attention adds */
    LLAMA_HEAD_NORM = 4,        /* RMSNorm of each query's and key's head (arXiv:2302.05442): Qwen 3, Gemma 3 */
    LLAMA_WIDE_NORM = 8,        /* ... of all heads side by side: OLMo 2 (arXiv:2501.00656) */
    LLAMA_POST_NORM = 16,       /* RMSNorm of what attention and feed-forward add: Gemma 2 (arXiv:2408.00118), OLMo 2 */
    LLAMA_NO_PRE_NORM = 32,     /* none of what they read: OLMo 2 */
    LLAMA_GELU = 64,            /* GELU (arXiv:1606.08415) in the place of SiLU: Gemma */
    LLAMA_RENORMALISE = 128,    /* the weights of the experts used are made to sum to 1 */
    LLAMA_ROPE_AMPLITUDES = 256 /* rotation changes lengths too: YaRN (arXiv:2309.00071), longrope (2402.13753) */
};

/* What a model is. Names and meaning are those of the Llama papers (arXiv:2302.13971, 2307.09288). */
typedef struct {
    int dim;        /* width of the residual stream */
    int hidden_dim; /* width of the feed-forward layer */
    int n_layers;
    int n_heads;    /* query heads */
    int n_kv_heads; /* key and value heads; n_heads / n_kv_heads queries share one (arXiv:2305.13245) */
    int head_dim;   /* width of one head; n_heads * head_dim need not be dim */
    int vocab_size;
    int seq_len;             /* the longest context the model was trained for, in tokens */
    int shared_classifier;   /* 1: the classifier is the embedding */
    float norm_eps;          /* RMSNorm's epsilon */
    float rope_theta;        /* rotary base */
    const char *format;      /* "llama2.c version 0", ... */
    const char *weight_type; /* "f32", ... */
    uint64_t weight_bytes;   /* bytes of weights that one token reads */
    /* What Llama itself has not; the formulas are in llama.c, room 4. Zero: as Llama. */
    int extras;
    float attention_scale;      /* of q . k; 0: 1 / sqrt(head_dim) */
    float embedding_scale;      /* of the embedding; 0: 1 */
    float score_cap, logit_cap; /* cap * tanh(x / cap), of q . k and of logits; 0: none */
    int n_experts, n_experts_used,
        expert_dim; /* of a mixture (arXiv:2101.03961, 2401.04088), each of that hidden width */
    int n_ropes;    /* rotary tables; 0: 1 */
    int rope_short; /* a context longer than this takes the second half of twice as many tables; 0: there is one half */
    const llama_layer_kind *layers; /* (n_layers); NULL: all zeros */
    uint64_t hash;                  /* of the weights; 0: the file does not say */
    char architecture[32];          /* what the model was made from, "qwen3" say; empty: the file does not say */
} llama_config;

/* Options; NULL or all zero means the defaults. The allocator serves whatever it is passed to for
 * its whole life; it may be called from the calling thread only. */
typedef struct {
    void *(*alloc)(void *user, size_t size); /* NULL: malloc; must align as malloc does */
    void (*release)(void *user, void *p);    /* NULL: free; never called with NULL */
    /* llama_load: */
    int copy; /* 1: read the file into memory instead of mapping it. A mapped file must not be
                 written or cut while it is in use: on most systems that ends the process. */
    /* llama_context_create: */
    int n_ctx;          /* length of the context in tokens; 0: the model's seq_len. May exceed seq_len. */
    int n_threads;      /* 0: one per core; at most 1024; ignored without OpenMP */
    int n_batch;        /* most tokens evaluated at once; 0: 256. Memory grows with it. */
    int n_sequences;    /* that share n_ctx, rounded up to whole pages; at most 65,536; 0: 1 */
    int n_ctx_sequence; /* the longest that one of them can be; 0: n_ctx */
    /* The set of inner loops: "plain", "avx2", "avxvnni", "avx512", "avx512bf16", the same two with "wide" behind
       them, "neon", "neondot"; NULL: the fastest that this processor has. Sets round differently in the last bits. */
    const char *kernels;
    /* What keys and values are kept in: "f32", "f16", or "q8": int8 with scales, about half of f16's memory for heads
       of 64 and more, and sooner at the end of a long context. Refused where keys have biases beyond 50, as Qwen 2's,
       for perplexity would suffer. NULL: "f32" for weights of float32, else "f16". */
    const char *kv_type;
    /* Called by the thread in llama_forward or llama_score, at least once a layer, with the share of
     * the call's work that is done, 0..1. Return nonzero to cancel: the call then fails and the
     * context is as it was before. */
    int (*progress)(void *user, float done);
    void *user; /* passed to alloc, release and progress */
} llama_options;

/* ---- Model ---- */

/* Loads a checkpoint: a .llama file, or llama2.c's versions 0, 1 and 2. The file is mapped where the platform has mmap
 * and read otherwise. NULL on failure. Free with llama_free. */
LLAMA_API llama_model *llama_load(const char *path, const llama_options *options, llama_error *err);

/* The same from size bytes at data, which are used in place and must stay valid and unchanged until
 * llama_free. data must be aligned to 4 bytes; a page (4,096) is fastest. */
LLAMA_API llama_model *llama_load_memory(const void *data, size_t size, const llama_options *options, llama_error *err);

/* Frees a model after all of its contexts. NULL is allowed. */
LLAMA_API void llama_free(llama_model *model);

/* Valid until llama_free. */
LLAMA_API const llama_config *llama_get_config(const llama_model *model);

/* The tokenizer that a .llama file holds, for tokenizer_load_memory: *size bytes, valid until llama_free.
 * NULL, and size 0, if there is none. */
LLAMA_API const void *llama_get_tokenizer(const llama_model *model, size_t *size);

/* ---- Context ---- */

/* Empty sequences, or one, number 0, which all functions of this section are about. The model must outlive it. All
 * memory is allocated here, none later. NULL on failure; a context too large for memory is refused with the number
 * of bytes. */
LLAMA_API llama_context *llama_context_create(const llama_model *model, const llama_options *options, llama_error *err);
LLAMA_API void llama_context_free(llama_context *context); /* NULL is allowed */

/* Bytes that llama_context_create would allocate with these options; SIZE_MAX if that overflows. */
LLAMA_API size_t llama_context_bytes(const llama_model *model, const llama_options *options);

/* Appends n tokens (n >= 1, each 0..vocab_size-1) to the sequence and returns the logits (vocab_size)
 * after the last one; they stay valid until the next call with this context. NULL on failure: a bad
 * token, more tokens than the context has room for, or a cancelled call; the sequence is then as it
 * was. Many tokens in one call are several times faster than one by one. */
LLAMA_API const float *llama_forward(llama_context *context, const int *tokens, int n, llama_error *err);

/* Like llama_forward, for scoring: logprobs[i], 0 <= i < n-1, becomes the natural logarithm of the
 * probability of tokens[i+1] given all before it. Returns 0, or -1 on failure as above. The logits after the last token
 * are there too, for llama_logits. */
LLAMA_API int llama_score(llama_context *context, const int *tokens, int n, float *logprobs, llama_error *err);

/* The logits (vocab_size) after the last token of the sequence, as llama_forward returned them; NULL if there are none:
 * the sequence is empty, was rewound, or a call was cancelled. */
LLAMA_API const float *llama_logits(const llama_context *context);

LLAMA_API int llama_position(const llama_context *context);       /* tokens in the sequence */
LLAMA_API int llama_context_length(const llama_context *context); /* tokens it can hold */
LLAMA_API int llama_context_threads(const llama_context *context);
LLAMA_API const char *llama_context_kernels(const llama_context *context); /* as in llama_options */

/* Keeps the first position tokens (0..llama_position) and forgets the rest; a value outside that
 * range is clamped. Free of cost. */
LLAMA_API void llama_rewind(llama_context *context, int position);

/* ---- Many sequences ----
 * Reading the weights is what a token costs; sequences that are evaluated in one call share it. They share memory
 * too: the kv cache is kept in pages of LLAMA_PAGE tokens (arXiv:2309.06180), a page that several sequences have in
 * common is stored once, and copied when one of them writes to it. A sequence's results are the same bits whoever is
 * evaluated beside it, whatever the number of threads, and however it is cut into calls (with rows of llama2.c's
 * files, the same to about 1e-5, if the kv cache is float32 as there it is). */
enum { LLAMA_PAGE = 64 };

typedef struct {
    int sequence;                /* 0..n_sequences-1 */
    int n;                       /* tokens that are appended to it, at least 1 */
    const int *tokens;           /* (n) */
    const unsigned char *wanted; /* (n) not 0: logits after that token are wanted; NULL: after the last one */
    float *logits;               /* (as many as are wanted, vocab_size), in the order of the tokens; NULL: none are */
    float *hidden;               /* (dim) the last layer's output, normalised, of the last token; NULL: not wanted */
    int mean;                    /* 1: hidden is the mean over the n tokens, an embedding of the text */
} llama_item;

/* Evaluates the tokens of all items, at most one for a sequence, in one pass over the weights for every n_batch tokens
 * of them all. What they point to is the caller's. Returns 0, or -1 on failure: a bad token, a sequence out of range or
 * twice, too few free pages, or a cancelled call; the sequences are then as they were, and what logits and hidden
 * point to is not defined. llama_logits has none afterwards. */
LLAMA_API int llama_evaluate(llama_context *context, const llama_item *items, int n_items, llama_error *err);

/* Makes `to`, whatever it held, the first n tokens of `from`, 0 <= n <= its length; with to == from it is cut to them.
 * n = 0 forgets `to`. No token is copied: microseconds. Returns 0, or -1 on failure. */
LLAMA_API int llama_fork(llama_context *context, int to, int from, int n, llama_error *err);

LLAMA_API int llama_length(const llama_context *context, int sequence); /* tokens; -1: there is no such sequence */
LLAMA_API int llama_free_pages(const llama_context *context);           /* of ceil(n_ctx / LLAMA_PAGE) */

/* A sequence as bytes, on disk say, to go on with later or elsewhere. llama_restore makes of them what the sequence
 * was, in any context of the same model with the same type of cache, whatever the sequence held there: the logits of
 * the next token are the same bits. All or nothing: other or damaged bytes, another model, too few free pages are
 * refused, and nothing is changed. Bytes of the cache that are used, and 64. For a file without a hash of its
 * weights one is computed at the first call, which reads all of them. Each returns 0, or -1 on failure; bytes are 0
 * for a sequence that is none. */
LLAMA_API size_t llama_state_bytes(const llama_context *context, int sequence);
LLAMA_API int llama_save(llama_context *context, int sequence, void *data, size_t size, llama_error *err);
LLAMA_API int llama_restore(llama_context *context, int sequence, const void *data, size_t size, llama_error *err);

/* ---- Sampler ----
 * llama_sample applies, in this order, what its options switch on:
 *   1. adjust        the caller's hook on a copy of the logits: bias them, forbid with -INFINITY
 *   2. repetition    logits of the last repeat_window tokens: / penalty if > 0, * penalty if < 0
 *                    (CTRL, arXiv:1909.05858)
 *   3. top-n-sigma   keep the logits at most n standard deviations of all below the largest (arXiv:2411.07641)
 *   4. top-k         keep the k largest (arXiv:1805.04833)
 *   5. top-p         keep the fewest tokens whose probabilities sum to p or more (arXiv:1904.09751)
 *   6. min-p         keep tokens at least min_p times as probable as the best (arXiv:2407.01082)
 *   7. temperature   divide the logits, then draw
 *   8. check         the caller's hook is asked about the token: one that it refuses is left out, and another drawn
 * with                    the next random number (greedy: the next best). When all that was kept is refused, all of the
 *                    vocabulary is asked, and one that is allowed is drawn. Cheap where masking all of it is not
 * with probabilities before temperature in 5 and 6; equal logits rank by the smaller id. What is left is drawn
 * from in the order of rank where 4 or 5 ranked it, else in the order of ids. The generator
 * is SplitMix64 (Steele, Lea, Flood 2014) started at seed: its top 24 bits / 2^24 are the uniform
 * number, one per drawn token, none for a greedy one. */
typedef struct {
    float temperature;    /* >= 0; 0: greedy, the largest logit; then top-k, top-p and min-p do nothing */
    int top_k;            /* >= 0; 0: off */
    float top_p;          /* 0 < p <= 1; 1: off */
    float min_p;          /* 0 <= p <= 1; 0: off */
    float repeat_penalty; /* > 0; 1: off */
    int repeat_window;    /* >= 0, in tokens */
    uint64_t seed;
    void (*adjust)(void *user, float *logits, int vocab_size); /* NULL: none */
    void *user;                                                /* passed to adjust and check */
    float top_n_sigma;                                         /* >= 0; 0: off */
    int (*check)(void *user, int token);                       /* 0: the token is refused; NULL: none is */
} llama_sampling;

/* temperature 0.8, top_k 40, top_p 0.95, the rest off, repeat_window 64, seed 0. */
LLAMA_API llama_sampling llama_sampling_default(void);

/* NULL sampling means the default; options give the allocator only and may be NULL. NULL on failure: a
 * value out of its range, or no memory. The model need not outlive the sampler. */
LLAMA_API llama_sampler *llama_sampler_create(const llama_model *model, const llama_sampling *sampling,
                                              const llama_options *options, llama_error *err);
LLAMA_API void llama_sampler_free(llama_sampler *sampler); /* NULL is allowed */

/* Picks a token from logits (vocab_size) and remembers it for the repetition penalty. Returns -1 if
 * there is none: a logit is nan or +infinity, or all are forbidden. */
LLAMA_API int llama_sample(llama_sampler *sampler, const float *logits, llama_error *err);

/* Remembers a token that was not sampled, one of the prompt's say, for the repetition penalty. */
LLAMA_API void llama_sampler_accept(llama_sampler *sampler, int token);

/* Forgets the last n tokens, sampled or accepted, when the context they went into is rewound by n. The penalty then
 * sees the window of that time, if all that was taken back in a row is at most 1024; beyond that it sees what is left.
 * The random generator goes on. */
LLAMA_API void llama_sampler_rewind(llama_sampler *sampler, int n);

/* As it was when it was created: no tokens, the generator at its seed. */
LLAMA_API void llama_sampler_reset(llama_sampler *sampler);

/* A second sampler in the same state, which then goes its own way; options give the allocator only and may be NULL.
 * NULL without memory. */
LLAMA_API llama_sampler *llama_sampler_copy(const llama_sampler *sampler, const llama_options *options,
                                            llama_error *err);

/* The natural logarithm of the probability that softmax(logits) gives token; 0 <= token < vocab_size. */
LLAMA_API float llama_logprob(const float *logits, int vocab_size, int token);

/* ---- Speculation ----
 * A pass over some tokens takes little longer than over one. So a guess at how the text goes on is evaluated together
 * with its last token: what followed the same tokens earlier in the text (lookup), or what a smaller model says
 * (draft). Each token is drawn by the caller from the very logits that llama_forward would have given, with one random
 * number and one call of each hook, so the text is byte for byte the same, only sooner: a list or code that repeats
 * itself in half the time or less. How far it looks ahead follows from how often guesses of the kind were right; where
 * no lookup is worth it, it costs next to nothing.
 *
 *     llama_speculator *s = llama_speculator_create(context, NULL, NULL, 11, NULL, &err);
 *     const float *logits = llama_speculate(s, text, n, &err);
 *     while (logits && (text[n] = llama_sample(sampler, logits, &err)) >= 0 && ...)
 *         logits = llama_speculate(s, text, ++n, &err);
 */
typedef struct llama_speculator llama_speculator;

/* Looks ahead in sequence 0 of a context by at most `most` tokens, 0 to 255: 11 is good, 0 looks nowhere (and rows of
 * llama2.c's files by 2, for the sake of the bits). A draft has the same vocabulary; its guesses are drawn as the
 * sampler, with which the caller draws, would draw them next; sampler NULL: the likeliest. One that is seldom right, or
 * not small beside the model, is hardly asked. Context, draft and sampler must outlive it. options give the allocator,
 * and n_threads, n_batch, kernels, kv_type and progress of the draft's context. All memory is allocated here: most + 1
 * times vocab_size floats, and a context for the draft. NULL on failure. */
LLAMA_API llama_speculator *llama_speculator_create(llama_context *context, const llama_model *draft,
                                                    const llama_sampler *sampler, int most,
                                                    const llama_options *options, llama_error *err);
LLAMA_API void llama_speculator_free(llama_speculator *speculator); /* NULL is allowed */

/* The logits (vocab_size) after a text of n tokens, all of it from the beginning; they stay valid until the next call
 * with the context. What the context holds of it already is not evaluated again, so a text may be anything: one token
 * more than last time, or cut, or another. Tokens that the caller has evaluated with llama_forward are taken to be
 * those of text. NULL on failure, as llama_forward; the context then holds less of the text.
 * Afterwards the context may hold guesses behind the text: llama_rewind(context, n) before others use it. */
LLAMA_API const float *llama_speculate(llama_speculator *speculator, const int *text, int n, llama_error *err);

typedef struct {
    uint64_t passes;             /* calls that evaluated something */
    uint64_t proposed, accepted; /* tokens that were guessed in them, and those that the text then had */
} llama_speculation;
LLAMA_API llama_speculation llama_speculated(const llama_speculator *speculator);

/* ---- Beam search ----
 * Looks for a likely text as a whole instead of drawing it token by token. Of all continuations of the n_beams open
 * texts by one token the n_beams likeliest that do not end the text are open next; one that ends it, and is as likely
 * as the least of them, is done. It stops when no open text can win any more, or at the length. The score, by which
 * texts of different lengths are compared, is that of arXiv:1609.08144: sum / ((5 + n) / 6)^length_penalty, sum being
 * that of the logarithms of its tokens' probabilities. */
typedef struct {
    int n_beams;                          /* 1 to the context's n_sequences, at most 255 */
    int most;                             /* tokens of a text, at most */
    float length_penalty;                 /* 0 to 10; 0: the score is the sum, 0.6 to 1 is usual */
    int (*is_end)(void *user, int token); /* 1: it ends a text, and is its last token; NULL: none does */
    void *user;                           /* passed to is_end */
} llama_beaming;

typedef struct {
    double sum, score;
    int n;       /* tokens, at least 1 */
    int ended;   /* 1: by its last token; 0: by its length, or it was open when another had won */
    int *tokens; /* (most) the caller's */
} llama_beam;

/* Texts that follow what sequence 0 holds, for which llama_logits has logits. Puts the n_beams best, ended or not, into
 * beams (n_beams), best first, and returns how many there are, or -1 on failure: an option out of its range, too few
 * pages (a beam needs those of its own tokens, and one), no memory, a cancelled call. Sequences 1 to n_beams - 1 are
 * used and forgotten; sequence 0 is then as it was, without logits. options give the allocator, of n_beams times
 * vocab_size floats and some more. */
LLAMA_API int llama_beam_search(llama_context *context, const llama_beaming *beaming, llama_beam *beams,
                                const llama_options *options, llama_error *err);

#ifdef __cplusplus
}
#endif
#endif /* LLAMA_H */

#ifdef LLAMA_IMPLEMENTATION
#undef LLAMA_IMPLEMENTATION
#include "llama.c"
#endif
