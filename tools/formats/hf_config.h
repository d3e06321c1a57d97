/* hf_config.h - config.json of a Hugging Face directory, for hf.c, which reads the weights. */
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

/* Sets s->config and s->kinds, but for the rotary tables, and the form. root is config.json, at path. 0, or -1 with a
 * message that names path, key and value. */
int hf_read_config(llama_source *s, hf_form *form, const char *path, const json_node *root, llama_error *err);

/* Sets what hf_read_config has left. It allocates what config.json only claims: call it when the weights have shown
 * that heads are as wide. */
int hf_read_ropes(llama_source *s, hf_form *form, const char *path, const json_node *root, llama_error *err);

#endif
