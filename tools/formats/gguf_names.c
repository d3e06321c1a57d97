/* gguf_names.c - what GGUF files call things: architectures and what is special in each, tensors, and how their rows
 * lie. Contract in gguf.h. */
#include "gguf.h"
#include "../shared/inside.h"

#include <string.h>

/* ---- Architectures ---- */

#define GGUF_BIASES (LLAMA_QKV_BIAS | LLAMA_O_BIAS)
#define GGUF_SANDWICH (LLAMA_POST_NORM | LLAMA_GELU)

static const gguf_architecture gguf_architectures[] = {
    /* Llama, Mistral, Mixtral, Yi, SmolLM 2, Falcon 3 */
    {.name = "llama", .optional = GGUF_BIASES, .features = GGUF_EXPERTS | GGUF_FACTORS | GGUF_WINDOW},
    {.name = "qwen2", .extras = LLAMA_QKV_BIAS, .features = GGUF_HALVES},
    {.name = "qwen3", .extras = LLAMA_HEAD_NORM, .optional = GGUF_BIASES, .features = GGUF_HALVES},
    {.name = "qwen3moe", .extras = LLAMA_HEAD_NORM, .optional = GGUF_BIASES, .features = GGUF_HALVES | GGUF_EXPERTS},
    /* Norms have Gemma's 1 + already. */
    {.name = "gemma2",
     .extras = GGUF_SANDWICH,
     .features = GGUF_HALVES | GGUF_ROOT | GGUF_CAPS | GGUF_WINDOW | GGUF_PATTERN,
     .caps = {50, 30},
     .window = 4096,
     .period = 2,
     .large = 46},
    {.name = "gemma3",
     .extras = GGUF_SANDWICH | LLAMA_HEAD_NORM,
     .features = GGUF_HALVES | GGUF_ROOT | GGUF_CAPS | GGUF_WINDOW | GGUF_PATTERN | GGUF_LOCAL,
     .period = 6,
     .large = 62},
    /* Phi 3 and 4 */
    {.name = "phi3", .features = GGUF_HALVES | GGUF_FUSED | GGUF_FACTORS | GGUF_WINDOW},
    {.name = "granite", .optional = GGUF_BIASES, .features = GGUF_SCALES | GGUF_FACTORS},
    {.name = "minicpm", .features = GGUF_SCALES | GGUF_MINICPM | GGUF_FACTORS},
    {.name = "internlm2"},
    {.name = "olmo2", .extras = LLAMA_WIDE_NORM | LLAMA_POST_NORM | LLAMA_NO_PRE_NORM, .features = GGUF_HALVES},
    {.name = "smollm3", .optional = GGUF_BIASES, .unturned = 4},
};

const gguf_architecture *gguf_architecture_at(int i) {
    const int n = sizeof gguf_architectures / sizeof *gguf_architectures;
    return i >= 0 && i < n ? &gguf_architectures[i] : NULL;
}

/* ---- Tensors ---- */

const gguf_name gguf_names[GGUF_N_NAMES] = {
    {"token_embd.weight", TENSOR_EMBEDDING, 0},
    {"output_norm.weight", TENSOR_FINAL_NORM, 0},
    {"output.weight", TENSOR_CLASSIFIER, 0},
    {"rope_freqs.weight", GGUF_FREQS, 0},
    {"rope_factors_long.weight", GGUF_LONG, 0},
    {"rope_factors_short.weight", GGUF_SHORT, 0},
    /* of layers */
    {"attn_norm.weight", TENSOR_ATTENTION_NORM, 0},
    {"attn_q.weight", TENSOR_WQ, 0},
    {"attn_k.weight", TENSOR_WK, 0},
    {"attn_v.weight", TENSOR_WV, 0},
    {"attn_qkv.weight", GGUF_QKV, 0},
    {"attn_q.bias", TENSOR_Q_BIAS, 0},
    {"attn_k.bias", TENSOR_K_BIAS, 0},
    {"attn_v.bias", TENSOR_V_BIAS, 0},
    {"attn_q_norm.weight", TENSOR_Q_NORM, 0},
    {"attn_k_norm.weight", TENSOR_K_NORM, 0},
    {"attn_output.weight", TENSOR_WO, 0},
    {"attn_output.bias", TENSOR_O_BIAS, 0},
    {"post_attention_norm.weight", TENSOR_ATTENTION_POST_NORM, 0},
    {"ffn_norm.weight", TENSOR_FFN_NORM, 0},
    {"ffn_gate.weight", TENSOR_W1, 0},
    {"ffn_up.weight", TENSOR_W3, 0},
    {"ffn_down.weight", TENSOR_W2, 0},
    {"ffn_gate_inp.weight", TENSOR_ROUTER, 0},
    {"ffn_gate_exps.weight", TENSOR_W1, 1},
    {"ffn_up_exps.weight", TENSOR_W3, 1},
    {"ffn_down_exps.weight", TENSOR_W2, 1},
    {"post_ffw_norm.weight", TENSOR_FFN_POST_NORM, 0},
};

int gguf_slot_name(size_t slot) {
    return slot < GGUF_MODEL_NAMES ? (int)slot : GGUF_MODEL_NAMES + (int)((slot - GGUF_MODEL_NAMES) % GGUF_LAYER_NAMES);
}

int gguf_slot_layer(size_t slot) {
    return slot < GGUF_MODEL_NAMES ? 0 : (int)((slot - GGUF_MODEL_NAMES) / GGUF_LAYER_NAMES);
}

size_t gguf_slots(int n_layers) { return GGUF_MODEL_NAMES + (size_t)n_layers * GGUF_LAYER_NAMES; }

void gguf_spell(size_t slot, char name[GGUF_MAX_NAME + 1]) {
    const char *last = gguf_names[gguf_slot_name(slot)].name;
    if (slot < GGUF_MODEL_NAMES) snprintf(name, GGUF_MAX_NAME + 1, "%s", last);
    else snprintf(name, GGUF_MAX_NAME + 1, "blk.%d.%s", gguf_slot_layer(slot), last);
}

size_t gguf_slot(const llama_config *c, int tensor, int layer) {
    const int experts = c->n_experts > 0 && tensor >= TENSOR_W1 && tensor < TENSORS;
    int i = 0;
    while (gguf_names[i].tensor != tensor || gguf_names[i].experts != experts) i++;
    return (size_t)layer * GGUF_LAYER_NAMES * (i >= GGUF_MODEL_NAMES) + (size_t)i;
}

int gguf_shape(const gguf_architecture *a, const llama_config *c, int turning, int name, int layer, int *rows,
               int *cols) {
    const int tensor = gguf_names[name].tensor, fused = a->features & GGUF_FUSED;
    const int experts = gguf_names[name].experts;
    if (tensor == GGUF_FREQS || tensor == GGUF_LONG || tensor == GGUF_SHORT) {
        *rows = !!(a->features & GGUF_FACTORS), *cols = turning / 2;
        return 0;
    }
    if (tensor == GGUF_QKV) {
        *rows = fused ? (c->n_heads + 2 * c->n_kv_heads) * c->head_dim : 0, *cols = c->dim;
        return fused;
    }
    tensor_shape(c, (enum tensor)tensor, layer, rows, cols);
    if (fused && (tensor == TENSOR_WQ || tensor == TENSOR_WK || tensor == TENSOR_WV || tensor == TENSOR_W1)) *rows = 0;
    if (fused && tensor == TENSOR_W3) *rows *= 2;
    if (tensor >= TENSOR_W1 && experts != (c->n_experts > 0)) *rows = 0;
    if (experts && *rows) *rows /= c->n_experts;
    return *rows && tensor != TENSOR_CLASSIFIER;
}

/* ---- The order of rows ---- */

int gguf_place(const gguf_architecture *a, int head_dim, int turning, int i) {
    const int in_head = i % head_dim, pairs = turning / 2;
    if (!(a->features & GGUF_HALVES) || in_head >= turning) return i;
    return i - in_head + in_head / 2 + in_head % 2 * pairs;
}

int gguf_unplace(const gguf_architecture *a, int head_dim, int turning, int i) {
    const int in_head = i % head_dim, pairs = turning / 2;
    if (!(a->features & GGUF_HALVES) || in_head >= turning) return i;
    return i - in_head + in_head % pairs * 2 + in_head / pairs;
}

int gguf_is_of_heads(int tensor) {
    return tensor == TENSOR_WQ || tensor == TENSOR_WK || tensor == TENSOR_Q_BIAS || tensor == TENSOR_K_BIAS ||
           tensor == TENSOR_Q_NORM || tensor == TENSOR_K_NORM;
}
