/* hf_config.c - config.json of a Hugging Face directory, as transformers 4 and 5 write it. Contract in hf_config.h.
 *
 * A model's class, the first of architectures, decides what its keys mean and what it takes for those that are missing:
 * one table has all classes that are known. Two forms are about: version 4 has rope_theta, rope_scaling and patterns of
 * layers, version 5 has rope_parameters, for each kind of layer if need be, and layer_types. Both are read by the same
 * functions, key by key, as version 5 itself reads old files.
 *
 * What would change the arithmetic and is not understood is refused by its name. What a class ignores is ignored: a
 * window in the file of one that has none, say.
 */
#include "hf_config.h"
#include "../shared/inside.h"
#include "../shared/messages.h"
#include "rope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HF_MAX_SIZE (1 << 28)    /* of any dimension, as in llama.c */
#define HF_MAX_LAYERS 16384      /* a table is allocated for what config.json only claims */
#define HF_MAX_EXPERTS (1 << 17) /* of all layers, likewise */

/* ---- Families ---- */

/* llama.cpp takes Mistral and Mixtral for llama: what sets them apart is said layer by layer. Falcon 3, SmolLM 2, Yi
 * and some of DeepSeek-R1's distillates are LlamaForCausalLM, the others and Qwen 2.5 Qwen2ForCausalLM, Phi-4 is
 * Phi3ForCausalLM. */
static const hf_family hf_families[] = {
    {"LlamaForCausalLM", "llama", "llama", HF_LLAMA | HF_TWO_NORMS, .traits = HF_ATTENTION_BIAS, .seq_len = 2048,
     .norm_eps = 1e-6, .theta = 1e4},
    {"MistralForCausalLM", "mistral", "llama", HF_LLAMA | HF_TWO_NORMS, .traits = HF_WINDOW, .n_kv_heads = 8,
     .seq_len = 131072, .window = 4096, .norm_eps = 1e-6, .theta = 1e4},
    {"MixtralForCausalLM", "mixtral", "llama", HF_LLAMA | HF_TWO_NORMS | HF_MIXTRAL, LLAMA_RENORMALISE,
     .traits = HF_WINDOW | HF_EXPERTS, .n_kv_heads = 8, .seq_len = 131072, .norm_eps = 1e-5, .theta = 1e6},
    {"Qwen2ForCausalLM", "qwen2", "qwen2", HF_LLAMA | HF_TWO_NORMS, .traits = HF_QKV_BIAS | HF_SWITCHED_WINDOW,
     .n_kv_heads = 32, .seq_len = 32768, .window = 4096, .norm_eps = 1e-6, .theta = 1e4},
    {"Qwen3ForCausalLM", "qwen3", "qwen3", HF_LLAMA | HF_TWO_NORMS, LLAMA_HEAD_NORM,
     .traits = HF_ATTENTION_BIAS | HF_SWITCHED_WINDOW, .n_kv_heads = 32, .head_dim = 128, .seq_len = 32768,
     .window = 4096, .norm_eps = 1e-6, .theta = 1e4},
    {"Qwen3MoeForCausalLM", "qwen3_moe", "qwen3moe", HF_LLAMA | HF_TWO_NORMS | HF_QWEN_MOE, LLAMA_HEAD_NORM,
     .traits = HF_ATTENTION_BIAS | HF_SWITCHED_WINDOW | HF_SPARSE_EXPERTS, .n_kv_heads = 4, .seq_len = 32768,
     .window = 4096, .norm_eps = 1e-6, .theta = 1e4},
    {"SmolLM3ForCausalLM", "smollm3", "smollm3", HF_LLAMA | HF_TWO_NORMS,
     .traits = HF_ATTENTION_BIAS | HF_SWITCHED_WINDOW | HF_NOPE | HF_TIED, .n_kv_heads = 4, .seq_len = 32768,
     .norm_eps = 1e-6, .theta = 2e6},
    {"Gemma2ForCausalLM", "gemma2", "gemma2", HF_LLAMA | HF_FOUR_NORMS, LLAMA_POST_NORM | LLAMA_GELU,
     .traits = HF_ATTENTION_BIAS | HF_GEMMA | HF_PATTERN_WINDOW | HF_TIED, .n_heads = 8, .n_kv_heads = 4,
     .head_dim = 256, .vocab_size = 256000, .seq_len = 8192, .window = 4096, .pattern = 2, .norm_eps = 1e-6,
     .theta = 1e4},
    {"Gemma3ForCausalLM", "gemma3_text", "gemma3", HF_LLAMA | HF_FOUR_NORMS,
     LLAMA_POST_NORM | LLAMA_GELU | LLAMA_HEAD_NORM,
     .traits = HF_ATTENTION_BIAS | HF_GEMMA | HF_PATTERN_WINDOW | HF_LOCAL_ROPE | HF_TIED, .n_heads = 8,
     .n_kv_heads = 4, .head_dim = 256, .vocab_size = 262208, .seq_len = 131072, .window = 4096, .pattern = 6,
     .norm_eps = 1e-6, .theta = 1e6},
    {"Gemma3ForConditionalGeneration", "gemma3", "gemma3", HF_LLAMA | HF_FOUR_NORMS,
     LLAMA_POST_NORM | LLAMA_GELU | LLAMA_HEAD_NORM,
     .traits = HF_ATTENTION_BIAS | HF_GEMMA | HF_PATTERN_WINDOW | HF_LOCAL_ROPE | HF_TIED | HF_VISION, .n_heads = 8,
     .n_kv_heads = 4, .head_dim = 256, .vocab_size = 262208, .seq_len = 131072, .window = 4096, .pattern = 6,
     .norm_eps = 1e-6, .theta = 1e6},
    {"Phi3ForCausalLM", "phi3", "phi3", HF_PHI | HF_TWO_NORMS, .traits = HF_WINDOW, .seq_len = 4096, .norm_eps = 1e-5,
     .theta = 1e4},
    {"GraniteForCausalLM", "granite", "granite", HF_LLAMA | HF_TWO_NORMS, .traits = HF_ATTENTION_BIAS | HF_GRANITE,
     .seq_len = 2048, .norm_eps = 1e-6, .theta = 1e4},
    {"MiniCPMForCausalLM", "minicpm", "minicpm", HF_LLAMA | HF_TWO_NORMS,
     .traits = HF_ATTENTION_BIAS | HF_MINICPM | HF_TIED, .seq_len = 2048, .norm_eps = 1e-6, .theta = 1e4},
    {"InternLM2ForCausalLM", "internlm2", "internlm2", HF_INTERNLM, .traits = HF_BIAS, .seq_len = 2048,
     .norm_eps = 1e-6, .theta = 1e4},
    {"Olmo2ForCausalLM", "olmo2", "olmo2", HF_LLAMA | HF_FOUR_NORMS,
     LLAMA_WIDE_NORM | LLAMA_POST_NORM | LLAMA_NO_PRE_NORM, .traits = HF_ATTENTION_BIAS, .seq_len = 2048,
     .norm_eps = 1e-5, .theta = 1e4},
};

const hf_family *hf_family_at(int i) {
    return i < (int)(sizeof hf_families / sizeof *hf_families) ? &hf_families[i] : NULL;
}

#define HF_BOTH_BIASES (LLAMA_QKV_BIAS | LLAMA_O_BIAS)
#define HF_NEVER NAN /* no number is without effect */

/* Keys that change what is computed, the traits with which they are read, and the number without effect. */
static const struct {
    const char *key;
    int traits;
    double neutral;
} hf_special[] = {
    {"attention_bias", HF_ATTENTION_BIAS | HF_QKV_BIAS, 0},
    {"attention_multiplier", HF_GRANITE, HF_NEVER},
    {"embedding_multiplier", HF_GRANITE, 1},
    {"residual_multiplier", HF_GRANITE, 1},
    {"logits_scaling", HF_GRANITE, 1},
    {"scale_emb", HF_MINICPM, 1},
    {"scale_depth", HF_MINICPM, HF_NEVER},
    {"dim_model_base", HF_MINICPM, HF_NEVER},
    {"query_pre_attn_scalar", HF_GEMMA, HF_NEVER},
    {"attn_logit_softcapping", HF_GEMMA, HF_NEVER},
    {"final_logit_softcapping", HF_GEMMA, HF_NEVER},
    {"rope_local_base_freq", HF_LOCAL_ROPE, HF_NEVER},
    {"no_rope_layers", HF_NOPE, HF_NEVER},
    {"no_rope_layer_interval", HF_NOPE, HF_NEVER},
    /* Of other models. */
    {"mlp_bias", 0, 0},
    {"lm_head_bias", 0, 0},
    {"clip_qkv", 0, HF_NEVER},
    {"use_bidirectional_attention", 0, 0},
    {"sparse_config", 0, HF_NEVER},
    {"attention_chunk_size", 0, HF_NEVER},
    {"attn_temperature_tuning", 0, 0},
    {"attn_scale", 0, 1},
    {"attn_logit_scale", 0, 1},
    {"logit_scale", 0, 1},
    {"residual_scale", 0, 1},
    {"alibi", 0, 0},
    {"parallel_attn", 0, 0},
    {"use_parallel_residual", 0, 0},
    {"rope_interleave", 0, 0},
    {"rope_interleaved", 0, 0},
    {"rope_ratio", 0, 1},
    {"rotary_pct", 0, 1},
    {"rotary_dim", 0, HF_NEVER},
    {"full_attn_mod", 0, 1},
    {"interpolate_factor", 0, 1},
};

/* ---- Fields ---- */

/* Reads fields of an object. The first bad one leaves its message and sets failed; null is as good as missing. */
typedef struct {
    const char *path;
    llama_error *err;
    int failed;
} hf_reader;

static void hf_bad(hf_reader *r, const char *key, const json_node *value, const char *wanted) {
    char shown[80];
    if (json_is(value, JSON_NUMBER)) snprintf(shown, sizeof shown, "%.17g", value->number);
    else if (json_is(value, JSON_STRING)) snprintf(shown, sizeof shown, "\"%.60s\"", value->text);
    else snprintf(shown, sizeof shown, "%s", json_type_name(value));
    if (!r->failed) set_error(r->err, "%.120s: %s is %s%s%s", r->path, key, shown, *wanted ? ", not " : "", wanted);
    r->failed = 1;
}

static void hf_bad_number(hf_reader *r, const char *key, double value, const char *wanted) {
    const json_node node = {.type = JSON_NUMBER, .number = value};
    hf_bad(r, key, &node, wanted);
}

static const json_node *hf_field(const json_node *object, const char *key) {
    const json_node *value = json_get(object, key);
    return json_is(value, JSON_NULL) ? NULL : value;
}

/* Between 1 and HF_MAX_SIZE; fallback if it is missing, where 0 means that it must not be. */
static int hf_int(hf_reader *r, const json_node *object, const char *key, int fallback) {
    const json_node *value = hf_field(object, key);
    uint64_t n = 0;
    if (!value && fallback) return fallback;
    if (json_whole(value, &n) && n >= 1 && n <= HF_MAX_SIZE) return (int)n;
    hf_bad(r, key, value, "a whole number from 1 to 268435456");
    return 1;
}

/* 0 or more. */
static int hf_count(hf_reader *r, const json_node *object, const char *key, int fallback) {
    const json_node *value = hf_field(object, key);
    return json_is(value, JSON_NUMBER) && value->number == 0 ? 0 : hf_int(r, object, key, fallback);
}

/* Above 0; fallback as above. */
static double hf_number(hf_reader *r, const json_node *object, const char *key, double fallback) {
    const json_node *value = hf_field(object, key);
    if (!value && fallback > 0) return fallback;
    if (json_is(value, JSON_NUMBER) && value->number > 1e-30 && value->number < 1e30) return value->number;
    hf_bad(r, key, value, "a number above 0");
    return 1;
}

static int hf_flag(hf_reader *r, const json_node *object, const char *key, int fallback) {
    const json_node *value = hf_field(object, key);
    if (value && value->type != JSON_TRUE && value->type != JSON_FALSE) hf_bad(r, key, value, "true or false");
    return value ? value->type == JSON_TRUE : fallback;
}

/* ---- What kind of model it is ---- */

static const hf_family *hf_find_family(hf_reader *r, const json_node *root) {
    const json_node *list = hf_field(root, "architectures"), *type = hf_field(root, "model_type");
    const json_node *name = list;
    if (json_is(list, JSON_ARRAY) && list->size) name = list + 1;
    for (size_t i = 0; i < sizeof hf_families / sizeof *hf_families; i++)
        if (list ? json_is_text(name, hf_families[i].architecture) : json_is_text(type, hf_families[i].model_type))
            return &hf_families[i];
    char wanted[200] = "a class of";
    size_t n = strlen(wanted);
    for (size_t i = 0; i < sizeof hf_families / sizeof *hf_families; i++)
        n += (size_t)snprintf(wanted + n, sizeof wanted - n, i ? ", %s" : " %s", hf_families[i].model_type);
    if (!list && type) hf_bad(r, "model_type", type, wanted);
    else hf_bad(r, "architectures", name, wanted);
    return NULL;
}

/* What a family has not must have no effect. */
static void hf_check_special(hf_reader *r, const json_node *root, const hf_family *family) {
    for (size_t i = 0; i < sizeof hf_special / sizeof *hf_special; i++) {
        const json_node *value = hf_field(root, hf_special[i].key);
        const double neutral = hf_special[i].neutral;
        char wanted[80];
        if (!value || hf_special[i].traits & family->traits || json_is(value, JSON_FALSE)) continue;
        if (json_is(value, JSON_NUMBER) && value->number == neutral) continue;
        snprintf(wanted, sizeof wanted, hf_special[i].traits ? "%s: %s has none" : "%s",
                 neutral == 0  ? "false"
                 : neutral > 0 ? "1"
                               : "null",
                 family->architecture);
        hf_bad(r, hf_special[i].key, value, wanted);
    }
    if (hf_field(root, "quantization_config"))
        hf_bad(r, "quantization_config", hf_field(root, "quantization_config"),
               "null: quantised weights are not supported");
    if (!hf_flag(r, root, "is_causal", 1)) hf_bad(r, "is_causal", hf_field(root, "is_causal"), "true");
    const char *key = family->traits & HF_GEMMA ? "hidden_activation" : "hidden_act";
    const char *wanted = family->extras & LLAMA_GELU ? "gelu_pytorch_tanh" : "silu";
    const json_node *value = hf_field(root, key);
    if (value && !json_is_text(value, wanted)) hf_bad(r, key, value, wanted);
}

static void hf_read_sizes(hf_reader *r, const json_node *root, const hf_family *family, llama_config *f) {
    const json_node *kv = json_get(root, "num_key_value_heads"); /* null is not the same as missing */
    f->dim = hf_int(r, root, "hidden_size", 0);
    f->n_layers = hf_int(r, root, "num_hidden_layers", 0);
    f->n_heads = hf_int(r, root, "num_attention_heads", family->n_heads);
    f->n_kv_heads = hf_int(r, root, "num_key_value_heads", kv || !family->n_kv_heads ? f->n_heads : family->n_kv_heads);
    f->vocab_size = hf_int(r, root, "vocab_size", family->vocab_size);
    f->seq_len = hf_int(r, root, "max_position_embeddings", family->seq_len);
    if (!hf_field(root, "head_dim") && !family->head_dim && f->dim % f->n_heads)
        hf_bad(r, "hidden_size", hf_field(root, "hidden_size"), "a multiple of num_attention_heads");
    const int share = f->dim >= f->n_heads ? f->dim / f->n_heads : 1;
    f->head_dim = hf_int(r, root, "head_dim", family->head_dim ? family->head_dim : share);
    if (f->n_layers > HF_MAX_LAYERS)
        hf_bad(r, "num_hidden_layers", hf_field(root, "num_hidden_layers"), "16384 or less");
    if (f->head_dim % 2) hf_bad(r, "head_dim", hf_field(root, "head_dim"), "even");
    if (f->n_heads % f->n_kv_heads)
        hf_bad(r, "num_attention_heads", hf_field(root, "num_attention_heads"), "a multiple of num_key_value_heads");
    if ((int64_t)f->n_heads * f->head_dim > HF_MAX_SIZE)
        hf_bad(r, "num_attention_heads", hf_field(root, "num_attention_heads"), "268435456 / head_dim or less");
}

static void hf_read_experts(hf_reader *r, const json_node *root, const hf_family *family, llama_config *f) {
    if (family->traits & HF_EXPERTS) {
        f->n_experts = hf_int(r, root, "num_local_experts", 0);
        f->expert_dim = hf_int(r, root, "intermediate_size", 0);
    } else if (family->traits & HF_SPARSE_EXPERTS) {
        const char *local = "num_local_experts"; /* version 5 may call them so */
        f->n_experts = hf_int(r, root, hf_field(root, local) ? local : "num_experts", 0);
        f->expert_dim = hf_int(r, root, "moe_intermediate_size", 0);
        if (hf_flag(r, root, "norm_topk_prob", 0)) f->extras |= LLAMA_RENORMALISE;
    }
    f->hidden_dim = hf_int(r, root, "intermediate_size", f->expert_dim);
    if (!f->n_experts) return;
    f->n_experts_used = hf_int(r, root, "num_experts_per_tok", 0);
    if (f->n_experts_used > f->n_experts)
        hf_bad(r, "num_experts_per_tok", hf_field(root, "num_experts_per_tok"), "the number of experts or less");
    if ((int64_t)f->n_experts * f->n_layers > HF_MAX_EXPERTS)
        hf_bad(r, "num_hidden_layers", hf_field(root, "num_hidden_layers"), "131072 / the number of experts or less");
}

/* cap * tanh(x / cap): null is none, and so is a missing key where fallback is 0. */
static float hf_cap(hf_reader *r, const json_node *root, const char *key, double fallback) {
    const json_node *value = json_get(root, key);
    return value ? json_is(value, JSON_NULL) ? 0 : (float)hf_number(r, root, key, 0) : (float)fallback;
}

/* What is linear is settled here. A residual multiplier r is divided out of the whole residual stream: it begins as
 * embedding / r, the layers add to it as they are, and a norm of x / r with epsilon / r^2 is that of x. */
static void hf_read_scales(hf_reader *r, const json_node *root, const hf_family *family, llama_config *f,
                           hf_form *form) {
    double embedding = 1, residual = 1;
    form->final_factor = 1;
    if (family->traits & HF_GRANITE) {
        embedding = hf_number(r, root, "embedding_multiplier", 1);
        residual = hf_number(r, root, "residual_multiplier", 1);
        form->final_factor = 1 / hf_number(r, root, "logits_scaling", 1);
        f->attention_scale = (float)hf_number(r, root, "attention_multiplier", 1);
    }
    if (family->traits & HF_MINICPM) {
        embedding = hf_number(r, root, "scale_emb", 1);
        residual = hf_number(r, root, "scale_depth", 1) / sqrt(f->n_layers);
        form->final_factor = hf_number(r, root, "dim_model_base", 1) / f->dim;
    }
    if (family->traits & HF_GEMMA) {
        const int capped = !(family->extras & LLAMA_HEAD_NORM); /* Gemma 2, but for null; Gemma 3 has norms instead */
        embedding = sqrt(f->dim);
        form->norm_offset = 1;
        f->attention_scale = (float)(1 / sqrt(hf_number(r, root, "query_pre_attn_scalar", 256)));
        f->score_cap = hf_cap(r, root, "attn_logit_softcapping", capped ? 50 : 0);
        f->logit_cap = hf_cap(r, root, "final_logit_softcapping", capped ? 30 : 0);
    }
    if (!(embedding / residual < 1e30)) hf_bad_number(r, "the embedding's scale", embedding / residual, "below 1e30");
    else if (embedding != 1 || residual != 1) f->embedding_scale = (float)(embedding / residual);
    const double eps = hf_number(r, root, "rms_norm_eps", family->norm_eps) / (residual * residual);
    if (!(eps < 1)) hf_bad_number(r, "rms_norm_eps / residual multiplier^2", eps, "below 1");
    f->norm_eps = (float)eps;
}

/* ---- Layers ---- */

enum { HF_ROPE_FULL, HF_ROPE_SLIDING, HF_ROPE_NONE, HF_ROPES }; /* kinds of rotation, until the tables have numbers */

/* Of the layers that slide, as the family has it or as layer_types says; 0: the window is switched off. */
static int hf_read_window(hf_reader *r, const json_node *root, const hf_family *family) {
    const json_node *said = json_get(root, "sliding_window");
    const int missing = !said && !family->window; /* null is none, but missing is the class's own */
    if (!(family->traits & (HF_WINDOW | HF_SWITCHED_WINDOW | HF_PATTERN_WINDOW))) return 0;
    if (family->traits & HF_SWITCHED_WINDOW && !hf_flag(r, root, "use_sliding_window", 0)) return 0;
    return missing || json_is(said, JSON_NULL) ? 0 : hf_int(r, root, "sliding_window", family->window);
}

/* Sets the windows, and the kind of rotation where that depends on them. */
static void hf_read_slides(hf_reader *r, const json_node *root, const hf_family *family, llama_layer_kind *kinds,
                           int n) {
    const json_node *types = hf_field(root, "layer_types"), *type = NULL;
    const int window = hf_read_window(r, root, family), switched = !!(family->traits & HF_SWITCHED_WINDOW);
    const int from = switched ? hf_count(r, root, "max_window_layers", 28) : 0;
    const int pattern = family->pattern ? hf_int(r, root, "sliding_window_pattern", family->pattern) : 1;
    if (types && (!json_is(types, JSON_ARRAY) || types->size != (uint32_t)n)) {
        hf_bad(r, "layer_types", types, "a list of num_hidden_layers kinds");
        return;
    }
    for (int i = 0; i < n; i++) {
        int slides = switched ? window && (family->traits & HF_NOPE ? kinds[i].rope == HF_ROPE_NONE : i >= from)
                              : (i + 1) % pattern != 0;
        if (types) {
            type = i ? type + type->skip : types + 1;
            slides = json_is_text(type, "sliding_attention");
            if (!slides && !json_is_text(type, "full_attention"))
                hf_bad(r, "layer_types", type, "full_attention or sliding_attention");
        }
        if (family->traits & HF_WINDOW) slides = 1; /* of these classes layer_types says nothing */
        else if (slides && kinds[i].rope == HF_ROPE_FULL) kinds[i].rope = HF_ROPE_SLIDING;
        kinds[i].window = slides ? window : 0;
    }
}

/* SmolLM 3: no_rope_layers has 0 where a layer does not rotate, against what its name says. */
static void hf_read_nope(hf_reader *r, const json_node *root, llama_layer_kind *kinds, int n) {
    const json_node *list = hf_field(root, "no_rope_layers");
    const int interval = hf_int(r, root, "no_rope_layer_interval", 4);
    int i = 0;
    if (!list)
        for (; i < n; i++) kinds[i].rope = (i + 1) % interval ? HF_ROPE_FULL : HF_ROPE_NONE;
    else if (!json_is(list, JSON_ARRAY) || list->size < (uint32_t)n)
        hf_bad(r, "no_rope_layers", list, "a list of num_hidden_layers numbers");
    else
        JSON_EACH(item, list) {
            if (i == n) break;
            if (!json_is(item, JSON_NUMBER) || (item->number != 0 && item->number != 1))
                hf_bad(r, "no_rope_layers", item, "0 or 1");
            kinds[i++].rope = item->number == 0 ? HF_ROPE_NONE : HF_ROPE_FULL;
        }
}

static void hf_read_mixtures(hf_reader *r, const json_node *root, const hf_family *family, llama_layer_kind *kinds,
                             int n) {
    const int sparse = family->traits & HF_SPARSE_EXPERTS;
    const int step = sparse ? hf_int(r, root, "decoder_sparse_step", 1) : 1;
    const json_node *dense = sparse ? hf_field(root, "mlp_only_layers") : NULL;
    uint64_t layer;
    for (int i = 0; i < n; i++) kinds[i].experts = (i + 1) % step == 0;
    if (!dense) return;
    if (!json_is(dense, JSON_ARRAY)) {
        hf_bad(r, "mlp_only_layers", dense, "a list");
        return;
    }
    JSON_EACH(item, dense) {
        if (json_whole(item, &layer) && layer < (uint64_t)n) kinds[layer].experts = 0;
        else hf_bad(r, "mlp_only_layers", item, "a layer");
    }
}

static int hf_read_layers(hf_reader *r, const json_node *root, const hf_family *family, llama_source *s) {
    const llama_config *f = &s->config;
    llama_layer_kind *kinds = s->kinds = calloc((size_t)f->n_layers, sizeof *kinds);
    if (!kinds) return set_error(r->err, "%.120s: no memory for %d layers", r->path, f->n_layers);
    if (family->traits & HF_NOPE) hf_read_nope(r, root, kinds, f->n_layers);
    hf_read_slides(r, root, family, kinds, f->n_layers);
    if (f->n_experts) hf_read_mixtures(r, root, family, kinds, f->n_layers);
    s->config.layers = kinds;
    return 0;
}

/* The part of the file that is about the text. */
static const json_node *hf_text_config(hf_reader *r, const json_node *root, const hf_family *family) {
    const json_node *text = family->traits & HF_VISION ? hf_field(root, "text_config") : root;
    if (json_is(text, JSON_OBJECT)) return text;
    hf_bad(r, "text_config", text, "an object");
    return root;
}

int hf_read_config(llama_source *s, hf_form *form, const char *path, const json_node *root, llama_error *err) {
    hf_reader r = {path, err, 0};
    llama_config *f = &s->config;
    if (!json_is(root, JSON_OBJECT)) return set_error(err, "%.120s: %s, not an object", path, json_type_name(root));
    const hf_family *family = hf_find_family(&r, root);
    if (!family) return -1;
    const json_node *text = hf_text_config(&r, root, family);
    f->format = "Hugging Face";
    f->extras = family->extras;
    snprintf(f->architecture, sizeof f->architecture, "%s", family->name);
    form->names = family->names;
    form->vision = !!(family->traits & HF_VISION);
    if (text != root) hf_check_special(&r, text, family);
    hf_check_special(&r, root, family);
    hf_read_sizes(&r, text, family, f);
    hf_read_experts(&r, text, family, f);
    if (hf_flag(&r, text, "attention_bias", 0) && family->traits & HF_ATTENTION_BIAS) f->extras |= HF_BOTH_BIASES;
    if (family->traits & HF_BIAS && hf_flag(&r, text, "bias", 1)) f->extras |= HF_BOTH_BIASES;
    if (family->traits & HF_QKV_BIAS) f->extras |= LLAMA_QKV_BIAS;
    const json_node *tie = hf_field(text, "tie_word_embeddings") ? text : root;
    f->shared_classifier = hf_flag(&r, tie, "tie_word_embeddings", !!(family->traits & HF_TIED));
    hf_read_scales(&r, text, family, f, form);
    if (r.failed || hf_read_layers(&r, text, family, s) || r.failed) return -1;
    f->rope_theta = 1;                        /* hf_read_ropes sets it */
    return inside_check_config(f, path, err); /* before its numbers are multiplied */
}

/* ---- Rotation ---- */

/* Where the keys of one kind of layers stand: in over, and those that are missing there in under. */
typedef struct {
    const json_node *over, *under;
} hf_rope;

typedef struct { /* how one kind of layers rotates */
    rope_rule rule;
    float *factors[2]; /* longrope: (turning / 2) each, for contexts up to original and for longer ones */
    int original;      /* longrope */
} hf_rotation;

static const json_node *hf_rope_of(const hf_rope *k, const char *key) {
    return hf_field(k->over, key) ? k->over : k->under;
}

/* A key inside that is not known may mean anything. */
static void hf_check_rope_keys(hf_reader *r, const json_node *object) {
    static const char *const known[] = {"rope_type",        "type",
                                        "rope_theta",       "partial_rotary_factor",
                                        "factor",           "original_max_position_embeddings",
                                        "low_freq_factor",  "high_freq_factor",
                                        "attention_factor", "beta_fast",
                                        "beta_slow",        "mscale",
                                        "mscale_all_dim",   "truncate",
                                        "short_factor",     "long_factor",
                                        "finetuned"};
    if (!json_is(object, JSON_OBJECT)) return;
    JSON_EACH(key, object) {
        size_t i = 0;
        while (i < sizeof known / sizeof *known && !json_is_text(key, known[i])) i++;
        if (i < sizeof known / sizeof *known || json_is(key + 1, JSON_NULL)) continue;
        if (!r->failed)
            set_error(r->err, "%.120s: rope_scaling has the key \"%.60s\", which is not known", r->path, key->text);
        r->failed = 1;
    }
}

/* Positions that the model was trained for before it was stretched: beside the others or, as transformers prefers,
 * outside of them. */
static int hf_original(hf_reader *r, const json_node *root, const hf_rope *k, const llama_config *f, int phi) {
    static const char key[] = "original_max_position_embeddings";
    return hf_int(r, hf_field(root, key) ? root : hf_rope_of(k, key), key, phi ? 4096 : f->seq_len);
}

/* By how much: not so little that a frequency, divided by it, were too large for a float. */
static double hf_stretch(hf_reader *r, const hf_rope *k, double fallback) {
    const json_node *object = hf_rope_of(k, "factor");
    const double factor = hf_number(r, object, "factor", fallback);
    if (hf_field(object, "factor") && factor < 1e-6) hf_bad(r, "factor", hf_field(object, "factor"), "1e-6 or more");
    return factor;
}

/* The amplitude that the file gives, or else the one that its kind has. */
static double hf_amplitude(hf_reader *r, const hf_rope *k, double usual) {
    return hf_number(r, hf_rope_of(k, "attention_factor"), "attention_factor", usual);
}

/* 1 unless the key is missing or 0, which transformers takes for the same. */
static int hf_has_number(const json_node *object, const char *key) {
    const json_node *value = hf_field(object, key);
    return value && !(json_is(value, JSON_NUMBER) && value->number == 0);
}

static void hf_read_yarn(hf_reader *r, const json_node *root, const hf_rope *k, const llama_config *f,
                         rope_rule *rule) {
    rule->kind = ROPE_YARN;
    rule->original = hf_original(r, root, k, f, 0);
    rule->factor = hf_stretch(r, k, f->seq_len / rule->original);
    rule->fast = hf_number(r, hf_rope_of(k, "beta_fast"), "beta_fast", 32);
    rule->slow = hf_number(r, hf_rope_of(k, "beta_slow"), "beta_slow", 1);
    rule->truncate = hf_flag(r, hf_rope_of(k, "truncate"), "truncate", 1);
    if (rule->fast < rule->slow) hf_bad_number(r, "beta_fast", rule->fast, "beta_slow or more");
    if (!(rule->theta > 1)) hf_bad_number(r, "rope_theta", rule->theta, "above 1");
    double usual = rope_yarn_amplitude(rule->factor, 1);
    const json_node *m = hf_rope_of(k, "mscale"), *all = hf_rope_of(k, "mscale_all_dim");
    if (hf_has_number(m, "mscale") && hf_has_number(all, "mscale_all_dim")) /* DeepSeek's, of which both are needed */
        usual = rope_yarn_amplitude(rule->factor, hf_number(r, m, "mscale", 0)) /
                rope_yarn_amplitude(rule->factor, hf_number(r, all, "mscale_all_dim", 0));
    rule->amplitude = hf_amplitude(r, k, usual);
}

static void hf_read_llama3(hf_reader *r, const json_node *root, const hf_rope *k, const llama_config *f,
                           rope_rule *rule) {
    rule->kind = ROPE_LLAMA3;
    rule->factor = hf_stretch(r, k, 0);
    rule->low = hf_number(r, hf_rope_of(k, "low_freq_factor"), "low_freq_factor", 0);
    rule->high = hf_number(r, hf_rope_of(k, "high_freq_factor"), "high_freq_factor", 0);
    rule->original = hf_original(r, root, k, f, 0);
    if (rule->high <= rule->low)
        hf_bad(r, "high_freq_factor", hf_field(hf_rope_of(k, "high_freq_factor"), "high_freq_factor"),
               "above low_freq_factor");
}

/* (n) numbers of a list, malloc'ed. */
static float *hf_read_factors(hf_reader *r, const hf_rope *k, const char *key, int n) {
    const json_node *list = hf_field(hf_rope_of(k, key), key);
    float *factors = malloc((size_t)n * sizeof *factors + 1), *next = factors;
    char wanted[60];
    snprintf(wanted, sizeof wanted, "a list of %d numbers above 0", n);
    if (!json_is(list, JSON_ARRAY) || list->size != (uint32_t)n) hf_bad(r, key, list, wanted);
    else if (!factors) hf_bad(r, key, list, "of a size for which there is memory");
    else
        JSON_EACH(item, list) {
            if (!json_is(item, JSON_NUMBER) || !(item->number > 1e-6 && item->number < 1e9))
                hf_bad(r, key, item, wanted);
            else *next++ = (float)item->number;
        }
    return factors;
}

static void hf_read_longrope(hf_reader *r, const json_node *root, const hf_rope *k, const llama_config *f, int phi,
                             hf_rotation *out) {
    rope_rule *rule = &out->rule;
    rule->kind = ROPE_FACTORS;
    rule->original = out->original = hf_original(r, root, k, f, phi);
    out->factors[0] = hf_read_factors(r, k, "short_factor", rule->turning / 2);
    out->factors[1] = hf_read_factors(r, k, "long_factor", rule->turning / 2);
    rule->factor = hf_stretch(r, k, f->seq_len / rule->original);
    if (rule->original < 2) hf_bad(r, "original_max_position_embeddings", NULL, "2 or more");
    else rule->amplitude = hf_amplitude(r, k, rope_long_amplitude(rule->factor * rule->original, rule->original));
}

/* dynamic stretches only contexts beyond max_position_embeddings. Phi-3's first files call longrope su, or yarn. */
static void hf_read_rotation(hf_reader *r, const json_node *root, const hf_rope *k, const llama_config *f, int phi,
                             hf_rotation *out) {
    const json_node *both[] = {k->over, k->under}, *kind = NULL;
    for (int i = 0; i < 4 && !kind; i++) kind = hf_field(both[i / 2], i % 2 ? "type" : "rope_type");
    hf_check_rope_keys(r, k->over);
    hf_check_rope_keys(r, k->under);
    if (json_is_text(kind, "longrope") || json_is_text(kind, "su") || (phi && json_is_text(kind, "yarn"))) {
        hf_read_longrope(r, root, k, f, phi, out);
    } else if (json_is_text(kind, "yarn")) {
        hf_read_yarn(r, root, k, f, &out->rule);
    } else if (json_is_text(kind, "llama3")) {
        hf_read_llama3(r, root, k, f, &out->rule);
    } else if (json_is_text(kind, "linear")) {
        out->rule.kind = ROPE_LINEAR;
        out->rule.factor = hf_stretch(r, k, 0);
    } else if (kind ? !json_is_text(kind, "default") && !json_is_text(kind, "dynamic")
                    : hf_field(hf_rope_of(k, "factor"), "factor") != NULL) {
        hf_bad(r, "rope_scaling's rope_type", kind, "default, linear, dynamic, llama3, yarn or longrope");
    }
}

/* How much of a head turns: outside or, in newer files, inside. */
static int hf_turning(hf_reader *r, const json_node *root, const hf_rope *k, int head_dim) {
    static const char key[] = "partial_rotary_factor";
    const json_node *inner = hf_rope_of(k, key), *inside = hf_field(inner, key), *outside = hf_field(root, key);
    const double share = hf_number(r, inside ? inner : root, key, 1);
    const int turning = share <= 1 ? (int)(head_dim * share) : 0;
    if (inside && outside && inside->number != outside->number)
        hf_bad(r, "partial_rotary_factor", outside, "what rope_parameters says");
    if (turning < 2 || turning % 2)
        hf_bad(r, key, inside ? inside : outside, "a share of head_dim that is an even number");
    return turning;
}

static const json_node *hf_object(hf_reader *r, const json_node *object, const char *key) {
    const json_node *value = hf_field(object, key);
    if (!value || json_is(value, JSON_OBJECT)) return value && value->size ? value : NULL;
    hf_bad(r, key, value, "an object");
    return NULL;
}

/* rope_parameters by kind of layer. Gemma 3 has its own values for a kind that is missing. */
static void hf_find_nested(hf_reader *r, const json_node *all, const llama_source *s, int local, hf_rope rope[2]) {
    static const char *const kinds[] = {"full_attention", "sliding_attention"};
    for (int i = 0; i < 2; i++) rope[i] = (hf_rope){hf_object(r, all, kinds[i]), NULL};
    for (int l = 0; l < s->config.n_layers && !local; l++)
        if (s->kinds[l].rope < 2 && !rope[s->kinds[l].rope].over)
            hf_bad(r, kinds[s->kinds[l].rope], NULL, "in rope_parameters");
    JSON_EACH(key, all)
        if (!json_is_text(key, kinds[0]) && !json_is_text(key, kinds[1]))
            hf_bad(r, "rope_parameters' kind of layer", key, "full_attention or sliding_attention");
}

/* Finds the keys of full and of sliding layers. 1: they differ. rope_scaling takes the place of rope_parameters, as a
 * user means who adds it to a file of version 5; Gemma 3 adds it to those of the full layers. */
static int hf_find_ropes(hf_reader *r, const json_node *root, const hf_family *family, const llama_source *s,
                         hf_rope rope[2]) {
    const json_node *scaling = hf_object(r, root, "rope_scaling"), *all = hf_object(r, root, "rope_parameters");
    const int local = family->traits & HF_LOCAL_ROPE;
    if (!local && scaling) {
        if (!hf_field(scaling, "rope_theta") && !hf_field(root, "rope_theta") && hf_field(all, "rope_theta"))
            hf_bad(r, "rope_theta of rope_parameters", hf_field(all, "rope_theta"),
                   "in rope_scaling, which takes the place of rope_parameters");
        all = scaling;
    }
    rope[0] = rope[1] = (hf_rope){local ? NULL : all, NULL};
    if (hf_field(all, "full_attention") || hf_field(all, "sliding_attention")) hf_find_nested(r, all, s, local, rope);
    else if (local && all) hf_bad(r, "rope_parameters", all, "one for each kind of layer");
    else if (!local) return 0;
    if (local && scaling) rope[0] = (hf_rope){scaling, rope[0].over};
    return local || rope[1].over;
}

/* The tables that the layers name: of full layers, of sliding ones if they differ, and one that turns nothing. */
static int hf_number_ropes(llama_source *s, int differ, int kind_of[HF_ROPES]) {
    int number[HF_ROPES] = {0, differ, -1}, n = 1 + differ;
    kind_of[0] = HF_ROPE_FULL, kind_of[1] = HF_ROPE_SLIDING;
    for (int l = 0; l < s->config.n_layers; l++) {
        int *rope = &s->kinds[l].rope;
        if (*rope == HF_ROPE_NONE && number[HF_ROPE_NONE] < 0) kind_of[number[HF_ROPE_NONE] = n++] = HF_ROPE_NONE;
        *rope = number[*rope];
    }
    return n;
}

/* Writes the tables; those of longer contexts follow those of shorter ones. */
static int hf_write_ropes(hf_reader *r, llama_source *s, hf_rotation rotation[HF_ROPES], const int *kind_of) {
    llama_config *f = &s->config;
    const int pairs = f->head_dim / 2, halves = f->rope_short ? 2 : 1, n = f->n_ropes * halves;
    const size_t bytes = (size_t)n * (size_t)pairs * sizeof(float); /* heads of a file's own width: no overflow */
    s->rope_frequencies = malloc(bytes), s->rope_amplitudes = malloc(bytes);
    if (!s->rope_frequencies || !s->rope_amplitudes) return set_error(r->err, "%.120s: no memory", r->path);
    int stretched = 0;
    for (int i = 0; i < n; i++) {
        hf_rotation *a = &rotation[kind_of[i % f->n_ropes]];
        float *frequency = s->rope_frequencies + (size_t)i * (size_t)pairs;
        a->rule.factors = a->factors[i / f->n_ropes];
        rope_table(&a->rule, f->head_dim, frequency, s->rope_amplitudes + (size_t)i * (size_t)pairs);
        for (int pair = 0; pair < pairs; pair++)
            stretched |= s->rope_amplitudes[(size_t)i * (size_t)pairs + (size_t)pair] != 1;
    }
    if (stretched) f->extras |= LLAMA_ROPE_AMPLITUDES;
    else free(s->rope_amplitudes), s->rope_amplitudes = NULL;
    return 0;
}

int hf_read_ropes(llama_source *s, hf_form *form, const char *path, const json_node *root, llama_error *err) {
    hf_reader r = {path, err, 0};
    llama_config *f = &s->config;
    hf_rotation rotation[HF_ROPES] = {{.original = 0}};
    hf_rope rope[2];
    int kind_of[HF_ROPES], result = -1;
    const hf_family *family = hf_find_family(&r, root);
    if (!family) return -1;
    root = hf_text_config(&r, root, family);
    const int differ = hf_find_ropes(&r, root, family, s, rope);
    for (int i = 0; i <= differ; i++) {
        const int local = i && family->traits & HF_LOCAL_ROPE;
        const char *outside = local ? "rope_local_base_freq" : "rope_theta";
        const json_node *inner = hf_rope_of(&rope[i], "rope_theta");
        rope_rule *rule = &rotation[i].rule;
        rule->theta = hf_field(inner, "rope_theta") ? hf_number(&r, inner, "rope_theta", 0)
                                                    : hf_number(&r, root, outside, local ? 1e4 : family->theta);
        rule->turning = hf_turning(&r, root, &rope[i], f->head_dim);
        if (!r.failed) hf_read_rotation(&r, root, &rope[i], f, family->names & HF_PHI, &rotation[i]);
    }
    if (rotation[1].rule.turning && rotation[1].rule.turning != rotation[0].rule.turning)
        hf_bad(&r, "partial_rotary_factor", NULL, "the same for all layers");
    if (rotation[0].original && rotation[1].original && rotation[0].original != rotation[1].original)
        hf_bad(&r, "original_max_position_embeddings", NULL, "the same for all layers");
    form->turning = rotation[0].rule.turning;
    f->rope_theta = (float)rotation[0].rule.theta;
    f->rope_short = rotation[0].original ? rotation[0].original : rotation[1].original;
    f->n_ropes = hf_number_ropes(s, differ, kind_of);
    if (!r.failed) result = hf_write_ropes(&r, s, rotation, kind_of);
    for (int i = 0; i < 4; i++) free(rotation[i / 2].factors[i % 2]);
    return result;
}
