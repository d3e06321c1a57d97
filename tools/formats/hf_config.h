/* hf_config.h - config.json of a Hugging Face directory, for hf.c, which reads the weights, and for what writes such
 * directories: the families, and what each can say. */
#ifndef HF_CONFIG_H
#define HF_CONFIG_H

#include "json.h"
#include "source.h"

/* Which names the tensors of a kind of model have, a sum of these: see the table in hf.c. */
enum {
    HF_LLAMA = 1,       /* each matrix by itself */
    HF_PHI = 2,         /* qkv_proj and gate_up_proj: several, one under the other */
    HF_INTERNLM = 4,    /* wqkv: for each head of keys its heads of queries, it, and its values */
    HF_TWO_NORMS = 8,   /* a layer has norms of what attention and feed-forward read */
    HF_FOUR_NORMS = 16, /* and of what they add, or only of that */
    HF_MIXTRAL = 32,    /* experts are block_sparse_moe */
    HF_QWEN_MOE = 64,   /* experts are mlp.experts */
};

/* How the weights lie in the files of a kind of model, where that differs from what llama.c wants. */
typedef struct {
    int names;           /* HF_LLAMA and so on */
    int vision;          /* 1: weights for images are among them, and the names of the text's have a prefix */
    double norm_offset;  /* what the weights of norms lack: Gemma multiplies by 1 + weight */
    double final_factor; /* of the final norm's weights: what multiplies the logits */
    int turning;         /* numbers of a head that turn, the first ones, i together with i + turning / 2 */
} hf_form;

/* ---- Families ---- */

/* What the file of a class may have, or what is there whatever the file says. */
enum {
    HF_ATTENTION_BIAS = 1,   /* attention_bias: of queries, keys, values and what attention adds */
    HF_QKV_BIAS = 2,         /* biases of queries, keys and values, always */
    HF_BIAS = 4,             /* bias: as attention_bias, true where it is missing */
    HF_TIED = 8,             /* the classifier is the embedding, unless tie_word_embeddings is false */
    HF_WINDOW = 16,          /* sliding_window, in all layers */
    HF_SWITCHED_WINDOW = 32, /* ... if use_sliding_window is true, in layers from max_window_layers on */
    HF_PATTERN_WINDOW = 64,  /* ... in all layers but each n-th */
    HF_NOPE = 128,           /* no_rope_layers: layers without rotation, which alone slide unless layer_types says so */
    HF_GRANITE = 256,        /* its four multipliers */
    HF_MINICPM = 512,        /* its three */
    HF_GEMMA = 1024,         /* the embedding times sqrt(dim), norms by 1 + weight, caps, query_pre_attn_scalar */
    HF_LOCAL_ROPE = 2048,    /* layers with a window rotate by another base */
    HF_EXPERTS = 4096,       /* all layers are mixtures of num_local_experts */
    HF_SPARSE_EXPERTS = 8192, /* some are, of num_experts */
    HF_VISION = 16384,        /* the text's configuration is text_config */
};

typedef struct {
    const char *architecture, *model_type; /* in config.json */
    const char *name;                      /* what llama.cpp calls it */
    int names;                             /* see hf_config.h */
    int extras;                            /* of llama_config, always */
    int traits;                            /* the above */
    /* What the class takes where a key is missing. 0: it must not be, or follows from others. */
    int n_heads, n_kv_heads, head_dim, vocab_size, seq_len, window, pattern;
    double norm_eps, theta;
} hf_family;

/* The families that are known, in the order in which they are tried; NULL behind the last. */
const hf_family *hf_family_at(int i);

/* Sets s->config and s->kinds, but for the rotary tables, and the form. root is config.json, at path. 0, or -1 with a
 * message that names path, key and value. */
int hf_read_config(llama_source *s, hf_form *form, const char *path, const json_node *root, llama_error *err);

/* Sets what hf_read_config has left. It allocates what config.json only claims: call it when the weights have shown
 * that heads are as wide. */
int hf_read_ropes(llama_source *s, hf_form *form, const char *path, const json_node *root, llama_error *err);

#endif
