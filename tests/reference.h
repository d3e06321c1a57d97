/* reference.h - a Llama or a relative in double precision, one formula after the other: what llama_forward is tested
 * against.
 *
 * Nothing here is fast and nothing is clever: no cache of keys and values, no threads, every weight a double. A test
 * compiles it in by  #include "reference.c".
 */
#ifndef REFERENCE_H
#define REFERENCE_H

/* NULL and 0: a Llama has it not. */
typedef struct {
    const double *attention_norm, *ffn_norm; /* (dim) of what attention and feed-forward read; NULL: they read x */
    const double *wq, *q_bias;               /* (n_heads * head_dim, dim), (n_heads * head_dim) */
    const double *wk, *k_bias, *wv, *v_bias; /* (n_kv_heads * head_dim, dim), (n_kv_heads * head_dim) */
    const double *wo, *o_bias;               /* (dim, n_heads * head_dim), (dim) */
    const double *w1, *w3;                   /* (hidden_dim, dim), the gate, up; or (n_experts, expert_dim, dim) */
    const double *w2;                        /* (dim, hidden_dim), down; or (n_experts, dim, expert_dim) */
    const double *q_norm, *k_norm;           /* (head_dim), or (heads * head_dim) if wide_norm is 1 */
    const double *attention_post_norm, *ffn_post_norm; /* (dim) of what attention and feed-forward add */
    const double *router;                              /* (n_experts, dim); not NULL: a mixture of experts */
    int rope;                                          /* the table that turns its heads */
    int window;                                        /* tokens that a token sees, itself included; 0: all */
} reference_layer;

enum { REFERENCE_LAYERS = 8 };

typedef struct {
    int dim, hidden_dim, n_layers, n_heads, n_kv_heads, head_dim, vocab_size;
    double norm_eps;
    const double *rope_freq;      /* (n_ropes, head_dim / 2) radians per position by which each pair of a head turns */
    const double *rope_amplitude; /* as many factors of their lengths; NULL: 1 */
    int n_ropes, rope_short, n_ctx; /* if the context's length, n_ctx, is above rope_short, which is not 0, the tables
                                       are those behind the first n_ropes */
    const double *embedding;        /* (vocab_size, dim) */
    const double *final_norm;       /* (dim) */
    const double *classifier;       /* (vocab_size, dim); may be the embedding */
    double attention_scale;         /* of q . k; 0: 1 / sqrt(head_dim) */
    double embedding_scale;         /* 0: 1 */
    double score_cap, logit_cap;    /* 0: none */
    int wide_norm;                  /* 1: q and k are normalised before they are heads */
    int gelu;                       /* 1: GELU in the place of SiLU */
    int n_experts, n_experts_used, expert_dim;
    int renormalise; /* 1: the weights of the experts used sum to 1 */
    reference_layer layers[REFERENCE_LAYERS];
} reference_model;

/* freq[i] = theta ^ (-2i / head_dim), the rotary frequencies of RoFormer (arXiv:2104.09864). */
void reference_rope_freq(double *freq, int head_dim, double theta);

/* Evaluates tokens[0..n-1] from an empty context; logits (n, vocab_size) after each of them. margins, if it is not
 * NULL, (n): how far above that of the best expert left out was the router's product of the worst one used, where that
 * was least; infinite where none is left out. Where it is tiny, rounding decides which expert a token gets. */
void reference_forward(const reference_model *m, const int *tokens, int n, double *logits, double *margins);

/* The natural logarithm of the probability that softmax(logits) gives token. */
double reference_logprob(const double *logits, int vocab_size, int token);

#endif
