/* reference.h - a Llama in double precision, one formula after the other: what llama_forward is tested against.
 *
 * Nothing here is fast and nothing is clever: no cache of keys and values, no threads, every weight a double. A test
 * compiles it in by  #include "reference.c".
 */
#ifndef REFERENCE_H
#define REFERENCE_H

typedef struct {
    int dim, hidden_dim, n_layers, n_heads, n_kv_heads, head_dim, vocab_size;
    double norm_eps;
    const double *rope_freq;      /* (head_dim / 2) radians per position by which each pair of a head turns */
    const double *embedding;      /* (vocab_size, dim) */
    const double *attention_norm; /* (n_layers, dim) */
    const double *wq;             /* (n_layers, n_heads * head_dim, dim) */
    const double *wk;             /* (n_layers, n_kv_heads * head_dim, dim) */
    const double *wv;             /* (n_layers, n_kv_heads * head_dim, dim) */
    const double *wo;             /* (n_layers, dim, n_heads * head_dim) */
    const double *ffn_norm;       /* (n_layers, dim) */
    const double *w1;             /* (n_layers, hidden_dim, dim), the gate */
    const double *w2;             /* (n_layers, dim, hidden_dim), down */
    const double *w3;             /* (n_layers, hidden_dim, dim), up */
    const double *final_norm;     /* (dim) */
    const double *classifier;     /* (vocab_size, dim); may be the embedding */
} reference_model;

/* freq[i] = theta ^ (-2i / head_dim), the rotary frequencies of RoFormer (arXiv:2104.09864). */
void reference_rope_freq(double *freq, int head_dim, double theta);

/* Evaluates tokens[0..n-1] from an empty context; logits (n, vocab_size) after each of them. */
void reference_forward(const reference_model *m, const int *tokens, int n, double *logits);

/* The natural logarithm of the probability that softmax(logits) gives token. */
double reference_logprob(const double *logits, int vocab_size, int token);

#endif
