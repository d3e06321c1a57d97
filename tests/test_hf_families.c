/* test_hf_families.c - Llama's relatives as Hugging Face directories: what their config.json comes to, and where each
 * weight goes.
 *
 * The directories are made here, with a value for each number of each tensor that says where it comes from. Those of
 * ../shared/data/families, if they are there, must open with the configuration that they should have, in both forms of
 * config.json.
 */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */

#include "../tools/formats/source.h"
#include "../tools/shared/inside.h"
#include "../tools/shared/files.h"
#include "test.h"

#include <stdarg.h>
#include <unistd.h>

/* ---- A directory ---- */

enum {
    DIM = 8,
    HIDDEN = 12,
    LAYERS = 4,
    HEADS = 4,
    KV_HEADS = 2,
    HEAD_DIM = 8,
    VOCAB = 10,
    EXPERTS = 3,
    EXPERT_DIM = 5
};
enum { Q = HEADS * HEAD_DIM, KV = KV_HEADS * HEAD_DIM };

#define SIZES                                                                                                          \
    "\"hidden_size\":8,\"intermediate_size\":12,\"num_hidden_layers\":4,\"num_attention_heads\":4,"                    \
    "\"num_key_value_heads\":2,\"head_dim\":8,\"vocab_size\":10,\"max_position_embeddings\":128"

static char directory[] = "tests/bin/families-XXXXXX";
static llama_error err;

static const char *path_of(const char *name) {
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void put_text(const char *name, const char *text) {
    FILE *file = fopen(path_of(name), "wb");
    if (!file || fputs(text, file) < 0 || fclose(file)) exit((perror(name), 1));
}

/* Number i of a tensor, of which other tensors have few. */
static float value(const char *name, int i) {
    unsigned hash = 5381;
    while (*name) hash = hash * 33 + (unsigned char)*name++;
    return (float)((int)((hash % 4099 + (unsigned)i * 37) % 4093) - 2046) / 64;
}

typedef struct { /* a safetensors file in the making */
    char header[1 << 16];
    float data[1 << 16];
    size_t at, n;
} tensors;

static void add_tensor(tensors *t, const char *name, int rows, int cols) {
    char shape[40];
    if (rows) sprintf(shape, "%d,%d", rows, cols);
    else sprintf(shape, "%d", cols);
    const int count = (rows ? rows : 1) * cols;
    t->n += (size_t)sprintf(t->header + t->n, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%d,%d]}",
                            t->n > 1 ? "," : "", name, shape, (int)(4 * t->at), (int)(4 * t->at) + 4 * count);
    for (int i = 0; i < count; i++) t->data[t->at++] = value(name, i);
}

/* Adds what a list says: lines of a letter, for the shape, and the rest of a name, in which # is an expert. */
static void add_list(tensors *t, const char *prefix, const char *list) {
    static const struct {
        char letter;
        int rows, cols;
    } shapes[] = {{'e', VOCAB, DIM},  {'q', Q, DIM},       {'k', KV, DIM},         {'o', DIM, Q},
                  {'g', HIDDEN, DIM}, {'d', DIM, HIDDEN},  {'n', 0, DIM},          {'h', 0, HEAD_DIM},
                  {'Q', 0, Q},        {'K', 0, KV},        {'f', Q + 2 * KV, DIM}, {'F', 0, Q + 2 * KV},
                  {'u', 24, DIM},     {'r', EXPERTS, DIM}, {'x', EXPERT_DIM, DIM}, {'y', DIM, EXPERT_DIM},
                  {0, 0, 0}};
    for (; *list; list = strchr(list, '\n') + 1) {
        char name[200];
        int i = 0;
        while (shapes[i].letter != *list) i++;
        const char *end = strchr(list, '\n'), *number = memchr(list, '#', (size_t)(end - list));
        for (int expert = 0; expert < (number ? EXPERTS : 1); expert++) {
            if (number)
                sprintf(name, "%s%.*s%d%.*s", prefix, (int)(number - list - 2), list + 2, expert,
                        (int)(end - number - 1), number + 1);
            else sprintf(name, "%s%.*s", prefix, (int)(end - list - 2), list + 2);
            add_tensor(t, name, shapes[i].rows, shapes[i].cols);
        }
    }
}

/* model.safetensors with the tensors of whole, and those of layer l that layers[l] lists, or layers[0]. */
static void put_weights(const char *whole, const char *prefix, const char *const layers[LAYERS]) {
    static tensors t;
    unsigned char size[8] = {0};
    t.at = 0, t.n = 1, t.header[0] = '{';
    add_list(&t, "", whole);
    for (int l = 0; l < LAYERS; l++) {
        char name[200];
        sprintf(name, "%s.layers.%d.", prefix, l);
        add_list(&t, name, layers[layers[l] ? l : 0]);
    }
    t.header[t.n++] = '}';
    for (int i = 0; i < 8; i++) size[i] = (unsigned char)(t.n >> 8 * i);
    FILE *file = fopen(path_of("model.safetensors"), "wb");
    if (!file || fwrite(size, 1, 8, file) != 8 || fwrite(t.header, 1, t.n, file) != t.n ||
        fwrite(t.data, 4, t.at, file) != t.at || fclose(file))
        exit((perror("model.safetensors"), 1));
}

static void put_layers(const char *whole, const char *layer) {
    const char *const layers[LAYERS] = {layer};
    put_weights(whole, "model", layers);
}

/* Opens the directory with this config.json; NULL with err. */
static llama_source *open_config(const char *format, ...) {
    static char config[4000];
    va_list args;
    va_start(args, format);
    vsnprintf(config, sizeof config, format, args);
    va_end(args);
    put_text("config.json", config);
    return source_open_hf(directory, NULL, &err);
}

static llama_source *opened(llama_source *s) {
    if (!CHECK(s != NULL)) exit((puts(err.text), 1));
    return s;
}

static float at(llama_source *s, enum tensor tensor, int layer, int row, int col) {
    static float out[4096];
    if (s->rows(s, tensor, layer, row, 1, out, &err)) exit((puts(err.text), 1));
    return out[col];
}

/* ---- Names ---- */

#define WHOLE "e model.embed_tokens.weight\ne lm_head.weight\nn model.norm.weight\n"
#define TIED "e model.embed_tokens.weight\nn model.norm.weight\n"
#define NORMS "n input_layernorm.weight\nn post_attention_layernorm.weight\n"
#define FOUR_NORMS NORMS "n pre_feedforward_layernorm.weight\nn post_feedforward_layernorm.weight\n"
#define ATTENTION                                                                                                      \
    "q self_attn.q_proj.weight\nk self_attn.k_proj.weight\nk self_attn.v_proj.weight\no self_attn.o_proj.weight\n"
#define FFN "g mlp.gate_proj.weight\ng mlp.up_proj.weight\nd mlp.down_proj.weight\n"
#define QKV_BIAS "Q self_attn.q_proj.bias\nK self_attn.k_proj.bias\nK self_attn.v_proj.bias\n"
#define HEAD_NORMS "h self_attn.q_norm.weight\nh self_attn.k_norm.weight\n"
#define LLAMA NORMS ATTENTION FFN

/* The row of a file's matrix of queries or keys that becomes row i, of whose heads the first turning numbers turn. */
static int unpermuted(int i, int turning) {
    const int head = i / HEAD_DIM * HEAD_DIM, n = i % HEAD_DIM;
    return head + (n < turning ? n / 2 + n % 2 * (turning / 2) : n);
}

/* ---- Biases, norms, windows ---- */

static void test_qwen(void) {
    put_layers(WHOLE, LLAMA QKV_BIAS);
    TEST("Qwen 2: biases, in the order of the rows") {
        llama_source *s = opened(open_config("{\"architectures\":[\"Qwen2ForCausalLM\"]," SIZES "}"));
        CHECK_TEXT(s->config.architecture, "qwen2");
        CHECK(s->config.extras == LLAMA_QKV_BIAS && !s->config.shared_classifier && s->config.norm_eps == (float)1e-6);
        int bad = 0;
        for (int i = 0; i < Q; i++)
            bad +=
                at(s, TENSOR_Q_BIAS, 2, 0, i) != value("model.layers.2.self_attn.q_proj.bias", unpermuted(i, HEAD_DIM));
        for (int i = 0; i < KV; i++) {
            bad +=
                at(s, TENSOR_K_BIAS, 3, 0, i) != value("model.layers.3.self_attn.k_proj.bias", unpermuted(i, HEAD_DIM));
            bad += at(s, TENSOR_V_BIAS, 1, 0, i) != value("model.layers.1.self_attn.v_proj.bias", i);
        }
        CHECK(!bad);
        s->close(s);
    }
    TEST("Qwen 2: a window is one if it is switched on") {
        static const struct {
            const char *keys;
            int windows[LAYERS];
        } table[] = {{"\"sliding_window\":16", {0, 0, 0, 0}},
                     {"\"sliding_window\":16,\"use_sliding_window\":false,\"max_window_layers\":0", {0, 0, 0, 0}},
                     {"\"sliding_window\":16,\"use_sliding_window\":true,\"max_window_layers\":2", {0, 0, 16, 16}},
                     {"\"sliding_window\":16,\"use_sliding_window\":true,\"max_window_layers\":0", {16, 16, 16, 16}},
                     {"\"sliding_window\":16,\"use_sliding_window\":true", {0, 0, 0, 0}},
                     {"\"use_sliding_window\":true,\"max_window_layers\":3", {0, 0, 0, 4096}},
                     {"\"sliding_window\":null,\"use_sliding_window\":true,\"max_window_layers\":3", {0, 0, 0, 0}},
                     {"\"sliding_window\":16,\"use_sliding_window\":true,\"max_window_layers\":2,\"layer_types\":["
                      "\"sliding_attention\",\"full_attention\",\"full_attention\",\"sliding_attention\"]",
                      {16, 0, 0, 16}}};
        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
            llama_source *s = opened(open_config("{\"model_type\":\"qwen2\"," SIZES ",%s}", table[i].keys));
            for (int l = 0; l < LAYERS; l++) CHECK(s->config.layers[l].window == table[i].windows[l]);
            s->close(s);
        }
    }
    put_layers(TIED, LLAMA HEAD_NORMS);
    TEST("Qwen 3: a norm of each head") {
        llama_source *s =
            opened(open_config("{\"architectures\":[\"Qwen3ForCausalLM\"]," SIZES ",\"tie_word_embeddings\":true}"));
        CHECK_TEXT(s->config.architecture, "qwen3");
        CHECK(s->config.extras == LLAMA_HEAD_NORM && s->config.shared_classifier);
        for (int i = 0; i < HEAD_DIM; i++)
            CHECK(at(s, TENSOR_K_NORM, 1, 0, i) ==
                  value("model.layers.1.self_attn.k_norm.weight", unpermuted(i, HEAD_DIM)));
        s->close(s);
    }
}

static void test_llama(void) {
    put_layers(WHOLE, LLAMA QKV_BIAS "n self_attn.o_proj.bias\n");
    TEST("Llama's attention_bias: of what attention adds too") {
        llama_source *s = opened(open_config("{\"architectures\":[\"LlamaForCausalLM\"]," SIZES
                                             ",\"attention_bias\":true,\"sliding_window\":16,\"layer_types\":["
                                             "\"sliding_attention\",\"full_attention\",\"full_attention\","
                                             "\"sliding_attention\"]}"));
        CHECK_TEXT(s->config.architecture, "llama");
        CHECK(s->config.extras == (LLAMA_QKV_BIAS | LLAMA_O_BIAS));
        CHECK(at(s, TENSOR_O_BIAS, 1, 0, 5) == value("model.layers.1.self_attn.o_proj.bias", 5));
        for (int l = 0; l < LAYERS; l++) CHECK(s->config.layers[l].window == 0); /* it has none */
        s->close(s);
        CHECK(!open_config("{\"architectures\":[\"LlamaForCausalLM\"]," SIZES "}"));
        CHECK_TEXT(err.text + strlen(directory), "/model.safetensors: tensor model.layers.0.self_attn.q_proj.bias: "
                                                 "config.json implies no such bias");
    }
    put_layers(WHOLE, LLAMA);
    TEST("Mistral's window is its layers', whatever layer_types says") {
        llama_source *s =
            opened(open_config("{\"architectures\":[\"MistralForCausalLM\"]," SIZES ",\"sliding_window\":16}"));
        for (int l = 0; l < LAYERS; l++) CHECK(s->config.layers[l].window == 16);
        CHECK(s->config.seq_len == 128);
        s->close(s);
        s = opened(open_config("{\"architectures\":[\"MistralForCausalLM\"]," SIZES ",\"sliding_window\":null}"));
        CHECK(s->config.layers[3].window == 0);
        s->close(s);
        s = opened(open_config("{\"architectures\":[\"MistralForCausalLM\"]," SIZES ",\"sliding_window\":4096}"));
        CHECK(s->config.layers[3].window == 4096);
        s->close(s);
    }
    put_layers(WHOLE, "n post_attention_layernorm.weight\nn post_feedforward_layernorm.weight\n"
                      "Q self_attn.q_norm.weight\nK self_attn.k_norm.weight\n" ATTENTION FFN);
    TEST("OLMo 2: norms of what is added, and of all heads") {
        llama_source *s = opened(open_config("{\"architectures\":[\"Olmo2ForCausalLM\"]," SIZES "}"));
        CHECK_TEXT(s->config.architecture, "olmo2");
        CHECK(s->config.extras == (LLAMA_WIDE_NORM | LLAMA_POST_NORM | LLAMA_NO_PRE_NORM));
        CHECK(s->config.norm_eps == (float)1e-5);
        for (int i = 0; i < Q; i++)
            CHECK(at(s, TENSOR_Q_NORM, 1, 0, i) ==
                  value("model.layers.1.self_attn.q_norm.weight", unpermuted(i, HEAD_DIM)));
        CHECK(at(s, TENSOR_ATTENTION_POST_NORM, 2, 0, 3) == value("model.layers.2.post_attention_layernorm.weight", 3));
        CHECK(at(s, TENSOR_FFN_POST_NORM, 2, 0, 3) == value("model.layers.2.post_feedforward_layernorm.weight", 3));
        s->close(s);
    }
}

static void test_scales(void) {
    put_layers(TIED, LLAMA);
    TEST("Granite: its multipliers") {
        llama_source *s = opened(open_config(
            "{\"architectures\":[\"GraniteForCausalLM\"]," SIZES ",\"tie_word_embeddings\":true,\"rms_norm_eps\":1e-5,"
            "\"embedding_multiplier\":12,\"residual_multiplier\":0.25,\"logits_scaling\":8,"
            "\"attention_multiplier\":0.125}"));
        CHECK_TEXT(s->config.architecture, "granite");
        CHECK(s->config.attention_scale == 0.125f && s->config.embedding_scale == 48);
        CHECK_NEAR(s->config.norm_eps, 16e-5, 1e-10);
        CHECK(at(s, TENSOR_FINAL_NORM, 0, 0, 6) == value("model.norm.weight", 6) / 8);
        CHECK(at(s, TENSOR_FFN_NORM, 0, 0, 6) == value("model.layers.0.post_attention_layernorm.weight", 6));
        s->close(s);
    }
    TEST("MiniCPM: its own, and no model_type") {
        llama_source *s =
            opened(open_config("{\"architectures\":[\"MiniCPMForCausalLM\"]," SIZES
                               ",\"scale_emb\":12,\"scale_depth\":1.5,\"dim_model_base\":2,\"rms_norm_eps\":1e-5}"));
        CHECK_TEXT(s->config.architecture, "minicpm");
        CHECK(s->config.shared_classifier && s->config.rope_theta == 10000);
        CHECK(s->config.embedding_scale == 16 && s->config.attention_scale == 0); /* 12 / (1.5 / sqrt(4)) */
        CHECK_NEAR(s->config.norm_eps, 1e-5 / 0.5625, 1e-10);
        CHECK(at(s, TENSOR_FINAL_NORM, 0, 0, 6) == value("model.norm.weight", 6) / 4);
        s->close(s);
    }
}

/* ---- Gemma ---- */

static void test_gemma(void) {
    put_layers(TIED, FOUR_NORMS ATTENTION FFN);
    TEST("Gemma 2: norms, scales, caps, windows") {
        llama_source *s = opened(open_config("{\"architectures\":[\"Gemma2ForCausalLM\"]," SIZES
                                             ",\"sliding_window\":16,\"query_pre_attn_scalar\":64,\"hidden_act\":\"x\","
                                             "\"hidden_activation\":\"gelu_pytorch_tanh\"}"));
        const llama_config *f = &s->config;
        CHECK_TEXT(f->architecture, "gemma2");
        CHECK(f->extras == (LLAMA_POST_NORM | LLAMA_GELU) && f->shared_classifier);
        CHECK(f->attention_scale == 0.125f && f->score_cap == 50 && f->logit_cap == 30 && f->n_ropes == 1);
        CHECK_NEAR(f->embedding_scale, sqrt(DIM), 1e-6);
        CHECK(f->layers[0].window == 16 && !f->layers[1].window && f->layers[2].window == 16 && !f->layers[3].window);
        CHECK(at(s, TENSOR_ATTENTION_NORM, 1, 0, 3) == 1 + value("model.layers.1.input_layernorm.weight", 3));
        CHECK(at(s, TENSOR_ATTENTION_POST_NORM, 1, 0, 3) ==
              1 + value("model.layers.1.post_attention_layernorm.weight", 3));
        CHECK(at(s, TENSOR_FFN_NORM, 1, 0, 3) == 1 + value("model.layers.1.pre_feedforward_layernorm.weight", 3));
        CHECK(at(s, TENSOR_FFN_POST_NORM, 1, 0, 3) == 1 + value("model.layers.1.post_feedforward_layernorm.weight", 3));
        CHECK(at(s, TENSOR_FINAL_NORM, 0, 0, 3) == 1 + value("model.norm.weight", 3));
        s->close(s);
        s = opened(open_config("{\"architectures\":[\"Gemma2ForCausalLM\"]," SIZES
                               ",\"attn_logit_softcapping\":null,\"final_logit_softcapping\":7,\"layer_types\":["
                               "\"full_attention\",\"sliding_attention\",\"full_attention\",\"full_attention\"]}"));
        CHECK(s->config.score_cap == 0 && s->config.logit_cap == 7 && s->config.layers[1].window == 4096);
        CHECK(s->config.layers[0].window == 0 && s->config.attention_scale == 0.0625f);
        s->close(s);
    }
    put_layers(TIED, FOUR_NORMS ATTENTION FFN HEAD_NORMS);
    TEST("Gemma 3: two rotations") {
        llama_source *s =
            opened(open_config("{\"architectures\":[\"Gemma3ForCausalLM\"]," SIZES
                               ",\"sliding_window\":16,\"sliding_window_pattern\":2,\"rope_theta\":1000000,"
                               "\"rope_local_base_freq\":100,\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}}"));
        const llama_config *f = &s->config;
        CHECK(f->extras == (LLAMA_POST_NORM | LLAMA_GELU | LLAMA_HEAD_NORM) && f->score_cap == 0 && f->logit_cap == 0);
        CHECK(f->n_ropes == 2 && f->layers[0].rope == 1 && f->layers[0].window == 16 && f->layers[1].rope == 0 &&
              f->layers[1].window == 0);
        CHECK_NEAR(s->rope_frequencies[1], pow(1e6, -0.25) / 4, 1e-8);
        CHECK_NEAR(s->rope_frequencies[HEAD_DIM / 2 + 1], pow(100, -0.25), 1e-7);
        CHECK(at(s, TENSOR_Q_NORM, 1, 0, 1) == 1 + value("model.layers.1.self_attn.q_norm.weight", 4));
        s->close(s);
        s = opened(open_config("{\"model_type\":\"gemma3_text\"," SIZES "}"));
        CHECK(s->config.rope_theta == 1e6f && s->config.layers[3].window == 4096 && s->config.layers[3].rope == 1);
        CHECK_NEAR(s->rope_frequencies[1], pow(1e6, -0.25), 1e-8);
        CHECK_NEAR(s->rope_frequencies[HEAD_DIM / 2 + 1], 0.1, 1e-7);
        s->close(s);
    }
    TEST("Gemma 3 as transformers 5 writes it") {
        static const char nested[] =
            "{\"architectures\":[\"Gemma3ForCausalLM\"]," SIZES ",\"layer_types\":[\"full_attention\","
            "\"sliding_attention\",\"full_attention\",\"full_attention\"],\"rope_parameters\":{\"full_attention\":{"
            "\"rope_type\":\"linear\",\"factor\":2,\"rope_theta\":10000},\"sliding_attention\":{\"rope_theta\":100,"
            "\"rope_type\":\"default\"}}%s}";
        llama_source *s = opened(open_config(nested, ""));
        CHECK(s->config.layers[0].rope == 0 && s->config.layers[1].rope == 1 && s->config.rope_theta == 10000);
        CHECK_NEAR(s->rope_frequencies[1], 0.05, 1e-9);
        CHECK_NEAR(s->rope_frequencies[HEAD_DIM / 2 + 1], pow(100, -0.25), 1e-7);
        s->close(s);
        s = opened(open_config(nested, ",\"rope_scaling\":{\"factor\":8}")); /* is added to those of the full layers */
        CHECK_NEAR(s->rope_frequencies[1], 0.0125, 1e-9);
        s->close(s);
    }
}

static void test_vision(void) {
    const char *const layers[LAYERS] = {FOUR_NORMS ATTENTION FFN HEAD_NORMS};
    static const char config[] = "{\"architectures\":[\"Gemma3ForConditionalGeneration\"],\"vision_config\":{},"
                                 "\"text_config\":{" SIZES ",\"sliding_window\":16}}";
    TEST("Gemma 3 with vision, whose weights are skipped") {
        put_weights("e language_model.model.embed_tokens.weight\nn language_model.model.norm.weight\n"
                    "n vision_tower.encoder.bias\nq multi_modal_projector.weight\n",
                    "language_model.model", layers);
        llama_source *s = opened(open_config(config));
        CHECK_TEXT(s->config.architecture, "gemma3");
        CHECK_TEXT(s->skipped, "vision tensors: 2");
        CHECK(s->config.layers[0].window == 16 && s->config.layers[0].rope == 1);
        CHECK(at(s, TENSOR_W2, 1, 3, 2) == value("language_model.model.layers.1.mlp.down_proj.weight", 3 * HIDDEN + 2));
        s->close(s);
        CHECK(!open_config("{\"architectures\":[\"Gemma3ForCausalLM\"]," SIZES "}"));
        CHECK(strstr(err.text, "language_model.model.embed_tokens.weight: unknown") != NULL);
    }
    TEST("... by the names of newer files, with a classifier") {
        put_weights("e model.language_model.embed_tokens.weight\nn model.language_model.norm.weight\n"
                    "e lm_head.weight\nn model.vision_tower.encoder.bias\n",
                    "model.language_model", layers);
        llama_source *s = opened(open_config("{\"model_type\":\"gemma3\",\"tie_word_embeddings\":false,"
                                             "\"text_config\":{" SIZES ",\"sliding_window\":16}}"));
        CHECK_TEXT(s->skipped, "vision tensors: 1");
        CHECK(at(s, TENSOR_W2, 1, 3, 2) == value("model.language_model.layers.1.mlp.down_proj.weight", 3 * HIDDEN + 2));
        CHECK(at(s, TENSOR_CLASSIFIER, 0, 3, 2) == value("lm_head.weight", 3 * DIM + 2));
        s->close(s);
    }
    TEST("the text's configuration may be short") { /* 8 heads of 256 */
        CHECK(!open_config("{\"model_type\":\"gemma3\",\"text_config\":{\"hidden_size\":8,\"intermediate_size\":12,"
                           "\"num_hidden_layers\":4,\"vocab_size\":10}}"));
        CHECK_TEXT(strstr(err.text, "shape"), "shape is [32, 8], config.json implies [2048, 8]");
        CHECK(!open_config("{\"model_type\":\"gemma3\"," SIZES "}"));
        CHECK_TEXT(err.text + strlen(directory), "/config.json: text_config is missing, not an object");
    }
}

/* ---- Several matrices in one ---- */

static void test_fused(void) {
    put_layers(WHOLE, NORMS "f self_attn.qkv_proj.weight\no self_attn.o_proj.weight\nu mlp.gate_up_proj.weight\n"
                            "d mlp.down_proj.weight\n");
    TEST("Phi-3: one under the other, and a part of each head turns") {
        static const char qkv[] = "model.layers.2.self_attn.qkv_proj.weight";
        llama_source *s = opened(open_config("{\"architectures\":[\"Phi3ForCausalLM\"]," SIZES
                                             ",\"partial_rotary_factor\":0.75,\"sliding_window\":16}"));
        CHECK_TEXT(s->config.architecture, "phi3");
        CHECK(s->config.layers[2].window == 16 && s->config.norm_eps == (float)1e-5);
        int bad = 0;
        for (int i = 0; i < Q; i++) bad += at(s, TENSOR_WQ, 2, i, 5) != value(qkv, unpermuted(i, 6) * DIM + 5);
        for (int i = 0; i < KV; i++) {
            bad += at(s, TENSOR_WK, 2, i, 5) != value(qkv, (Q + unpermuted(i, 6)) * DIM + 5);
            bad += at(s, TENSOR_WV, 2, i, 5) != value(qkv, (Q + KV + i) * DIM + 5);
        }
        for (int i = 0; i < HIDDEN; i++) {
            bad += at(s, TENSOR_W1, 1, i, 5) != value("model.layers.1.mlp.gate_up_proj.weight", i * DIM + 5);
            bad += at(s, TENSOR_W3, 1, i, 5) != value("model.layers.1.mlp.gate_up_proj.weight", (HIDDEN + i) * DIM + 5);
        }
        CHECK(!bad);
        for (int i = 0; i < 3; i++) CHECK_NEAR(s->rope_frequencies[i], pow(10000, -i / 3.0), 1e-6);
        CHECK(s->rope_frequencies[3] == 0 && !s->rope_amplitudes);
        s->close(s);
    }
    put_layers("e model.tok_embeddings.weight\ne output.weight\nn model.norm.weight\n",
               "n attention_norm.weight\nn ffn_norm.weight\nf attention.wqkv.weight\nF attention.wqkv.bias\n"
               "o attention.wo.weight\nn attention.wo.bias\ng feed_forward.w1.weight\ng feed_forward.w3.weight\n"
               "d feed_forward.w2.weight\n");
    TEST("InternLM 2: by heads of keys; its biases are the default") {
        static const char qkv[] = "model.layers.2.attention.wqkv.weight", bias[] = "model.layers.2.attention.wqkv.bias";
        llama_source *s = opened(open_config("{\"architectures\":[\"InternLM2ForCausalLM\"]," SIZES
                                             ",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}}"));
        CHECK_TEXT(s->config.architecture, "internlm2");
        CHECK(s->config.extras == (LLAMA_QKV_BIAS | LLAMA_O_BIAS));
        int bad = 0;
        for (int i = 0; i < Q; i++) { /* heads 0, 1, then 2, 3 behind keys and values of the first two */
            const int from = unpermuted(i, HEAD_DIM) + i / (2 * HEAD_DIM) * 2 * HEAD_DIM;
            bad += at(s, TENSOR_WQ, 2, i, 5) != value(qkv, from * DIM + 5);
            bad += at(s, TENSOR_Q_BIAS, 2, 0, i) != value(bias, from);
        }
        for (int i = 0; i < KV; i++) {
            const int head = (i / HEAD_DIM * 4 + 2) * HEAD_DIM, key = head + unpermuted(i % HEAD_DIM, HEAD_DIM);
            bad += at(s, TENSOR_WK, 2, i, 5) != value(qkv, key * DIM + 5);
            bad += at(s, TENSOR_K_BIAS, 2, 0, i) != value(bias, key);
            bad += at(s, TENSOR_WV, 2, i, 5) != value(qkv, (head + HEAD_DIM + i % HEAD_DIM) * DIM + 5);
            bad += at(s, TENSOR_V_BIAS, 2, 0, i) != value(bias, head + HEAD_DIM + i % HEAD_DIM);
        }
        CHECK(!bad);
        CHECK(at(s, TENSOR_W3, 0, 7, 5) == value("model.layers.0.feed_forward.w3.weight", 7 * DIM + 5));
        CHECK_NEAR(s->rope_frequencies[1], 0.1, 1e-7);
        s->close(s);
        CHECK(!open_config("{\"architectures\":[\"InternLM2ForCausalLM\"]," SIZES ",\"bias\":false}"));
        CHECK(strstr(err.text, "attention.wqkv.bias: config.json implies no such bias") != NULL);
    }
}

/* ---- Experts ---- */

#define MIXTRAL                                                                                                        \
    NORMS ATTENTION "r block_sparse_moe.gate.weight\nx block_sparse_moe.experts.#.w1.weight\n"                         \
                    "y block_sparse_moe.experts.#.w2.weight\nx block_sparse_moe.experts.#.w3.weight\n"
#define QWEN_MOE                                                                                                       \
    NORMS ATTENTION HEAD_NORMS "r mlp.gate.weight\nx mlp.experts.#.gate_proj.weight\n"                                 \
                               "x mlp.experts.#.up_proj.weight\ny mlp.experts.#.down_proj.weight\n"

/* Rows of all experts, read across their bounds, are those of tensors with these names. */
static void check_experts(llama_source *s, int layer, const char *w1, const char *w3, const char *w2) {
    float out[EXPERTS * DIM * DIM];
    const char *const names[] = {w1, w3, w2};
    for (int i = 0; i < 3; i++) {
        int bad = 0, rows, cols;
        char name[100];
        CHECK(tensor_shape(&s->config, (enum tensor)(TENSOR_W1 + i), layer, &rows, &cols) ==
              EXPERTS * (i < 2 ? EXPERT_DIM : DIM));
        CHECK(!s->rows(s, (enum tensor)(TENSOR_W1 + i), layer, 2, rows - 2, out, &err));
        for (int row = 2; row < rows; row++) {
            sprintf(name, names[i], layer, row / (rows / EXPERTS));
            for (int col = 0; col < cols; col++)
                bad += out[(row - 2) * cols + col] != value(name, row % (rows / EXPERTS) * cols + col);
        }
        CHECK(!bad);
    }
}

static void test_experts(void) {
    put_layers(WHOLE, MIXTRAL);
    TEST("Mixtral") {
        llama_source *s = opened(
            open_config("{\"architectures\":[\"MixtralForCausalLM\"],\"hidden_size\":8,\"intermediate_size\":5,"
                        "\"num_hidden_layers\":4,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":8,"
                        "\"vocab_size\":10,\"num_local_experts\":3,\"num_experts_per_tok\":2}"));
        const llama_config *f = &s->config;
        CHECK_TEXT(f->architecture, "llama");
        CHECK(f->extras == LLAMA_RENORMALISE && f->n_experts == 3 && f->n_experts_used == 2 && f->expert_dim == 5);
        CHECK(f->rope_theta == 1e6f && f->seq_len == 131072 && f->norm_eps == (float)1e-5);
        for (int l = 0; l < LAYERS; l++) CHECK(f->layers[l].experts == 1 && f->layers[l].window == 0);
        check_experts(s, 2, "model.layers.%d.block_sparse_moe.experts.%d.w1.weight",
                      "model.layers.%d.block_sparse_moe.experts.%d.w3.weight",
                      "model.layers.%d.block_sparse_moe.experts.%d.w2.weight");
        CHECK(at(s, TENSOR_ROUTER, 1, 2, 3) == value("model.layers.1.block_sparse_moe.gate.weight", 2 * DIM + 3));
        s->close(s);
    }
    {
        static const char dense[] = LLAMA HEAD_NORMS;
        const char *const layers[LAYERS] = {dense, QWEN_MOE, dense, dense};
        put_weights(WHOLE, "model", layers);
    }
    TEST("Qwen 3 MoE: some layers are mixtures") {
#define QWEN_KEYS ",\"moe_intermediate_size\":5,\"num_experts\":3,\"num_experts_per_tok\":2"
        llama_source *s =
            opened(open_config("{\"architectures\":[\"Qwen3MoeForCausalLM\"]," SIZES QWEN_KEYS
                               ",\"decoder_sparse_step\":2,\"mlp_only_layers\":[3,0],\"norm_topk_prob\":true}"));
        const llama_config *f = &s->config;
        CHECK_TEXT(f->architecture, "qwen3moe");
        CHECK(f->extras == (LLAMA_RENORMALISE | LLAMA_HEAD_NORM) && f->hidden_dim == HIDDEN);
        for (int l = 0; l < LAYERS; l++) CHECK(f->layers[l].experts == (l == 1));
        check_experts(s, 1, "model.layers.%d.mlp.experts.%d.gate_proj.weight",
                      "model.layers.%d.mlp.experts.%d.up_proj.weight",
                      "model.layers.%d.mlp.experts.%d.down_proj.weight");
        CHECK(at(s, TENSOR_W1, 2, 11, 3) == value("model.layers.2.mlp.gate_proj.weight", 11 * DIM + 3));
        s->close(s);
        s = opened(open_config("{\"architectures\":[\"Qwen3MoeForCausalLM\"]," SIZES
                               ",\"moe_intermediate_size\":5,\"num_local_experts\":3,\"num_experts_per_tok\":2"
                               ",\"mlp_only_layers\":[3,0,2]}"));
        CHECK(s->config.extras == LLAMA_HEAD_NORM); /* not renormalised unless it says so */
        s->close(s);
    }
    TEST("experts that are missing, or too many") {
        static const char *const table[][2] = {
            {",\"decoder_sparse_step\":2", "tensor model.layers.3.mlp.gate_proj.weight: unknown"},
            {",\"mlp_only_layers\":[0,1,2,3]", "tensor model.layers.1.mlp.gate.weight: unknown"},
            {",\"mlp_only_layers\":[4]", "mlp_only_layers is 4, not a layer"},
            {",\"mlp_only_layers\":0", "mlp_only_layers is 0, not a list"}};
        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
            CHECK(!open_config("{\"model_type\":\"qwen3_moe\"," SIZES QWEN_KEYS "%s}", table[i][0]));
            if (!CHECK(strstr(err.text, table[i][1]) != NULL)) puts(err.text);
        }
        CHECK(!open_config("{\"model_type\":\"qwen3_moe\"," SIZES ",\"moe_intermediate_size\":5,\"num_experts\":2,"
                           "\"num_experts_per_tok\":2,\"mlp_only_layers\":[3,0,2]}"));
        CHECK(strstr(err.text, "model.layers.1.mlp.gate.weight: shape is [3, 8], config.json implies [2, 8]") != NULL);
        CHECK(!open_config("{\"model_type\":\"qwen3_moe\"," SIZES ",\"moe_intermediate_size\":5,\"num_experts\":2,"
                           "\"num_experts_per_tok\":3,\"mlp_only_layers\":[3,0,2]}"));
        CHECK(strstr(err.text, "num_experts_per_tok is 3, not the number of experts or less") != NULL);
        CHECK(!open_config("{\"model_type\":\"qwen3_moe\"," SIZES ",\"moe_intermediate_size\":5,\"num_experts\":65537,"
                           "\"num_experts_per_tok\":3}"));
        CHECK(strstr(err.text, "num_hidden_layers is 4, not 131072 / the number of experts or less") != NULL);
    }
    {
        const char *const layers[LAYERS] = {MIXTRAL, MIXTRAL,
                                            NORMS ATTENTION "r block_sparse_moe.gate.weight\n"
                                                            "x block_sparse_moe.experts.#.w1.weight\n"
                                                            "y block_sparse_moe.experts.#.w2.weight\n"
                                                            "x block_sparse_moe.experts.0.w3.weight\n"
                                                            "x block_sparse_moe.experts.2.w3.weight\n",
                                            MIXTRAL};
        put_weights(WHOLE, "model", layers);
    }
    TEST("one expert's one matrix is missing") {
        CHECK(!open_config("{\"model_type\":\"mixtral\",\"hidden_size\":8,\"intermediate_size\":5,"
                           "\"num_hidden_layers\":4,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":8,"
                           "\"vocab_size\":10,\"num_local_experts\":3,\"num_experts_per_tok\":2}"));
        CHECK_TEXT(err.text + strlen(directory),
                   ": tensor model.layers.2.block_sparse_moe.experts.1.w3.weight is missing");
    }
}

/* ---- Rotation ---- */

/* Opens a model with these keys beside the sizes, of this class. */
static llama_source *open_rope(const char *class, const char *keys) {
    return open_config("{\"architectures\":[\"%s\"]," SIZES ",%s}", class, keys);
}

/* Tables are those numbers, one behind the other. */
static void check_tables(llama_source *s, const double *want, int n) {
    opened(s);
    for (int i = 0; i < n; i++) CHECK_NEAR(s->rope_frequencies[i], want[i], 1e-6 * want[i]);
    s->close(s);
}

static void test_ropes(void) {
    static const double plain[] = {1, 0.1, 0.01, 0.001}, quarter[] = {0.25, 0.025, 0.0025, 0.00025};
    static const double hundred[] = {1, 0.316227766, 0.1, 0.0316227766};
    put_layers(WHOLE, LLAMA);
    TEST("rope_scaling takes the place of rope_parameters") {
        check_tables(open_rope("LlamaForCausalLM",
                               "\"rope_theta\":1e4,\"rope_parameters\":{\"rope_theta\":1e4,\"rope_type\":\"default\"},"
                               "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4}"),
                     quarter, 4);
        check_tables(open_rope("LlamaForCausalLM", "\"rope_parameters\":{\"rope_theta\":100},\"rope_scaling\":{}"),
                     hundred, 4);
        CHECK(!open_rope("LlamaForCausalLM", "\"rope_parameters\":{\"rope_theta\":100},"
                                             "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4}"));
        CHECK_TEXT(err.text + strlen(directory), "/config.json: rope_theta of rope_parameters is 100, not in "
                                                 "rope_scaling, which takes the place of rope_parameters");
    }
    TEST("rope_parameters by kind of layer") {
        check_tables(open_rope("LlamaForCausalLM", "\"rope_parameters\":{\"full_attention\":{\"rope_theta\":100}}"),
                     hundred, 4);
        CHECK(!open_rope("LlamaForCausalLM", "\"rope_parameters\":{\"sliding_attention\":{\"rope_theta\":100}}"));
        CHECK_TEXT(err.text + strlen(directory), "/config.json: full_attention is missing, not in rope_parameters");
        CHECK(!open_rope("LlamaForCausalLM",
                         "\"rope_parameters\":{\"full_attention\":{\"rope_theta\":100},\"rope_theta\":100}"));
        CHECK_TEXT(err.text + strlen(directory), "/config.json: rope_parameters' kind of layer is \"rope_theta\", not "
                                                 "full_attention or sliding_attention");
    }
    TEST("a part of each head") {
        static const double part[] = {1, 0.01, 0, 0};
        check_tables(open_rope("LlamaForCausalLM", "\"partial_rotary_factor\":0.5"), part, 4);
        check_tables(open_rope("LlamaForCausalLM", "\"rope_parameters\":{\"partial_rotary_factor\":0.5}"), part, 4);
        CHECK(!open_rope("LlamaForCausalLM",
                         "\"rope_parameters\":{\"partial_rotary_factor\":0.5},\"partial_rotary_factor\":1"));
        CHECK_TEXT(err.text + strlen(directory),
                   "/config.json: partial_rotary_factor is 1, not what rope_parameters says");
    }
    TEST("dynamic is plain up to max_position_embeddings") {
        check_tables(open_rope("LlamaForCausalLM", "\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":4}"), plain, 4);
    }
    TEST("YaRN") { /* 8 numbers, base 10000, 64 positions: bounds 0 and 2 */
        static const double yarn[] = {1, 0.0625, 0.0025, 0.00025};
        static const struct {
            const char *keys;
            double amplitude;
        } table[] = {{"\"factor\":4", 1.138629436},
                     {"\"factor\":4,\"attention_factor\":1.5", 1.5},
                     {"\"factor\":4,\"mscale\":0.707,\"mscale_all_dim\":0.707", 1},
                     {"\"factor\":4,\"mscale\":0.5,\"mscale_all_dim\":1", 0.939124405},
                     {"\"factor\":4,\"mscale\":0.5", 1.138629436},
                     {"\"factor\":4,\"mscale\":0.5,\"mscale_all_dim\":0", 1.138629436},
                     {"\"factor\":4,\"mscale\":0,\"mscale_all_dim\":1.0", 1.138629436},
                     {"\"factor\":4,\"beta_fast\":32,\"beta_slow\":1,\"truncate\":true", 1.138629436}};
        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
            char keys[300];
            sprintf(keys, "\"rope_scaling\":{\"type\":\"yarn\",\"original_max_position_embeddings\":64,%s}",
                    table[i].keys);
            llama_source *s = opened(open_rope("LlamaForCausalLM", keys));
            CHECK(!s->rope_amplitudes == (table[i].amplitude == 1));
            CHECK(!(s->config.extras & LLAMA_ROPE_AMPLITUDES) == !s->rope_amplitudes);
            if (s->rope_amplitudes) CHECK_NEAR(s->rope_amplitudes[3], table[i].amplitude, 1e-6);
            check_tables(s, yarn, 4);
        }
        llama_source *s =
            opened(open_rope("LlamaForCausalLM", "\"rope_scaling\":{\"type\":\"yarn\"},"
                                                 "\"original_max_position_embeddings\":32")); /* 128 / 32 */
        CHECK_NEAR(s->rope_amplitudes[0], 1.138629436, 1e-6);
        s->close(s);
        CHECK(!open_rope("LlamaForCausalLM", "\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,\"beta_fast\":2,"
                                             "\"beta_slow\":3}"));
        CHECK_TEXT(err.text + strlen(directory), "/config.json: beta_fast is 2, not beta_slow or more");
    }
    put_layers(TIED, LLAMA);
    TEST("SmolLM 3: layers that do not turn") {
        llama_source *s = opened(open_rope("SmolLM3ForCausalLM", "\"rope_theta\":1e4"));
        CHECK(s->config.n_ropes == 2 && s->config.shared_classifier);
        for (int l = 0; l < LAYERS; l++) CHECK(s->config.layers[l].rope == (l == 3) && !s->config.layers[l].window);
        check_tables(s, (double[]){1, 0.1, 0.01, 0.001, 0, 0, 0, 0}, 8);
        s = opened(open_rope("SmolLM3ForCausalLM", "\"no_rope_layers\":[0,1,1,0,7],\"no_rope_layer_interval\":2,"
                                                   "\"use_sliding_window\":true,\"sliding_window\":16"));
        for (int l = 0; l < LAYERS; l++) {
            CHECK(s->config.layers[l].rope == (l == 0 || l == 3));
            CHECK(s->config.layers[l].window == (l == 0 || l == 3 ? 16 : 0));
        }
        s->close(s);
        s = opened(open_rope("SmolLM3ForCausalLM", "\"no_rope_layers\":[1,1,1,1]"));
        CHECK(s->config.n_ropes == 1 && s->config.rope_theta == 2e6f);
        s->close(s);
    }
}

static void test_longrope(void) {
#define FACTORS "\"short_factor\":[1,1,2,2],\"long_factor\":[1,2,4,8]"
    static const double tables[] = {1, 0.1, 0.005, 0.0005, 1, 0.05, 0.0025, 0.000125};
    static const struct {
        const char *keys;
        double amplitude;
        int original;
    } table[] = {
        {"\"original_max_position_embeddings\":64,\"rope_scaling\":{\"type\":\"longrope\"," FACTORS "}", 1.08012345,
         64},
        {"\"original_max_position_embeddings\":64,\"rope_scaling\":{\"type\":\"su\"," FACTORS "}", 1.08012345, 64},
        {"\"original_max_position_embeddings\":64,\"rope_scaling\":{\"type\":\"yarn\"," FACTORS "}", 1.08012345, 64},
        {"\"rope_scaling\":{\"rope_type\":\"longrope\",\"original_max_position_embeddings\":64," FACTORS "}",
         1.08012345, 64},
        {"\"rope_scaling\":{\"rope_type\":\"longrope\",\"original_max_position_embeddings\":64,"
         "\"attention_factor\":1.25," FACTORS "}",
         1.25, 64},
        {"\"rope_scaling\":{\"rope_type\":\"longrope\",\"original_max_position_embeddings\":64,\"factor\":8," FACTORS
         "}",
         1.22474487, 64},
        {"\"rope_scaling\":{\"rope_type\":\"longrope\"," FACTORS "}", 1, 4096}};
    put_layers(WHOLE, NORMS "f self_attn.qkv_proj.weight\no self_attn.o_proj.weight\nu mlp.gate_up_proj.weight\n"
                            "d mlp.down_proj.weight\n");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        TEST(table[i].keys) {
            llama_source *s = opened(open_rope("Phi3ForCausalLM", table[i].keys));
            CHECK(s->config.n_ropes == 1 && s->config.rope_short == table[i].original);
            CHECK(!s->rope_amplitudes == (table[i].amplitude == 1));
            for (int k = 0; k < 8 && s->rope_amplitudes; k++)
                CHECK_NEAR(s->rope_amplitudes[k], table[i].amplitude, 1e-6);
            check_tables(s, tables, 8);
        }
    TEST("factors that do not fit") {
        static const char *const refused[][2] = {
            {"[1,1,2]", "short_factor is an array, not a list of 4 numbers above 0"},
            {"[1,1,2,0]", "short_factor is 0, not a list of 4 numbers above 0"},
            {"[1,1,2,\"2\"]", "short_factor is \"2\", not a list of 4 numbers above 0"},
            {"null", "short_factor is missing, not a list of 4 numbers above 0"}};
        for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
            char keys[300];
            sprintf(keys, "\"rope_scaling\":{\"type\":\"longrope\",\"long_factor\":[1,1,1,1],\"short_factor\":%s}",
                    refused[i][0]);
            CHECK(!open_rope("Phi3ForCausalLM", keys));
            CHECK_TEXT(err.text + strlen(directory) + strlen("/config.json: "), refused[i][1]);
        }
    }
}

/* ---- What is not understood ---- */

static void test_refusals(void) {
    static const struct {
        const char *class, *keys, *want;
    } table[] = {
        {"LlamaForCausalLM", "\"attention_multiplier\":0.5",
         "attention_multiplier is 0.5, not null: LlamaForCausalLM has none"},
        {"LlamaForCausalLM", "\"embedding_multiplier\":2",
         "embedding_multiplier is 2, not 1: LlamaForCausalLM has none"},
        {"LlamaForCausalLM", "\"scale_depth\":1", "scale_depth is 1, not null: LlamaForCausalLM has none"},
        {"Qwen2ForCausalLM", "\"final_logit_softcapping\":30.0",
         "final_logit_softcapping is 30, not null: Qwen2ForCausalLM has none"},
        {"LlamaForCausalLM", "\"attn_logit_softcapping\":50",
         "attn_logit_softcapping is 50, not null: LlamaForCausalLM has none"},
        {"LlamaForCausalLM", "\"query_pre_attn_scalar\":64",
         "query_pre_attn_scalar is 64, not null: LlamaForCausalLM has none"},
        {"LlamaForCausalLM", "\"no_rope_layers\":[1]",
         "no_rope_layers is an array, not null: LlamaForCausalLM has none"},
        {"MistralForCausalLM", "\"attention_bias\":true",
         "attention_bias is true, not false: MistralForCausalLM has none"},
        {"Qwen3ForCausalLM", "\"quantization_config\":{\"bits\":4}",
         "quantization_config is an object, not null: quantised weights are not supported"},
        {"GraniteForCausalLM", "\"mlp_bias\":true", "mlp_bias is true, not false"},
        {"LlamaForCausalLM", "\"clip_qkv\":8", "clip_qkv is 8, not null"},
        {"LlamaForCausalLM", "\"attn_logit_scale\":2", "attn_logit_scale is 2, not 1"},
        {"LlamaForCausalLM", "\"is_causal\":false", "is_causal is false, not true"},
        {"Gemma3ForCausalLM", "\"use_bidirectional_attention\":true", "use_bidirectional_attention is true, not false"},
        {"LlamaForCausalLM", "\"hidden_act\":\"gelu\"", "hidden_act is \"gelu\", not silu"},
        {"Gemma2ForCausalLM", "\"hidden_activation\":\"gelu\"", "hidden_activation is \"gelu\", not gelu_pytorch_tanh"},
        {"Qwen2ForCausalLM", "\"layer_types\":[\"full_attention\"]",
         "layer_types is an array, not a list of num_hidden_layers kinds"},
        {"LlamaForCausalLM", "\"layer_types\":[\"full_attention\",\"chunked_attention\",\"x\",\"x\"]",
         "layer_types is \"chunked_attention\", not full_attention or sliding_attention"},
        {"SmolLM3ForCausalLM", "\"no_rope_layers\":[1,1,1]",
         "no_rope_layers is an array, not a list of num_hidden_layers numbers"},
        {"SmolLM3ForCausalLM", "\"no_rope_layers\":[1,1,1,2]", "no_rope_layers is 2, not 0 or 1"},
        {"MistralForCausalLM", "\"sliding_window\":0", "sliding_window is 0, not a whole number from 1 to 268435456"},
        {"Qwen2ForCausalLM", "\"use_sliding_window\":1", "use_sliding_window is 1, not true or false"},
        {"GraniteForCausalLM", "\"residual_multiplier\":0", "residual_multiplier is 0, not a number above 0"},
        {"GraniteForCausalLM", "\"residual_multiplier\":1e-4",
         "rms_norm_eps / residual multiplier^2 is 100, not below 1"},
        {"GraniteForCausalLM", "\"residual_multiplier\":1e-20,\"embedding_multiplier\":1e20",
         "the embedding's scale is 1e+40, not below 1e30"},
        {"Gemma2ForCausalLM", "\"final_logit_softcapping\":-1", "final_logit_softcapping is -1, not a number above 0"},
        /* found when the weights have been: */
        {"LlamaForCausalLM", "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2,\"alpha\":1000}",
         "rope_scaling has the key \"alpha\", which is not known"},
        {"LlamaForCausalLM", "\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2},\"rope_theta\":1",
         "rope_theta is 1, not above 1"},
        {"LlamaForCausalLM", "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":1e-7}",
         "factor is 9.9999999999999995e-08, not 1e-6 or more"},
        {"LlamaForCausalLM",
         "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,"
         "\"high_freq_factor\":4}",
         "high_freq_factor is 4, not above low_freq_factor"},
        {"LlamaForCausalLM", "\"partial_rotary_factor\":0.4",
         "partial_rotary_factor is 0.40000000000000002, not a share of head_dim that is an even number"},
        {"LlamaForCausalLM", "\"partial_rotary_factor\":2",
         "partial_rotary_factor is 2, not a share of head_dim that is an even number"}};
    put_layers(WHOLE, LLAMA);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        TEST(table[i].keys) {
            llama_source *s = open_rope(table[i].class, table[i].keys);
            CHECK(!s);
            CHECK_TEXT(s ? "" : err.text + strlen(directory) + strlen("/config.json: "), table[i].want);
            if (s) s->close(s);
        }
    TEST("what has no effect is nothing") {
        llama_source *s = opened(open_rope(
            "LlamaForCausalLM", "\"embedding_multiplier\":1.0,\"attn_logit_softcapping\":null,\"lm_head_bias\":false,"
                                "\"interpolate_factor\":1,\"use_bidirectional_attention\":null,\"is_causal\":true"));
        s->close(s);
    }
    TEST("a layer's tensors twice, as one and by themselves") {
        put_layers(WHOLE, LLAMA "f self_attn.qkv_proj.weight\n");
        CHECK(!open_rope("LlamaForCausalLM", "\"rope_theta\":1"));
        CHECK(strstr(err.text, "qkv_proj.weight: unknown") != NULL);
    }
}

/* ---- ../shared/data/families ---- */

/* The configuration in a line: what it was made from, extras, scales, caps, experts, rotation; then of each layer its
 * window, R and the number of a rotary table if that is not the first, E if it is a mixture. */
static const char *described(const llama_source *s) {
    static char text[400];
    const llama_config *f = &s->config;
    int n = sprintf(text, "%s %d tied %d eps %.4g scales %.5g %.5g caps %g %g experts %d %d %d theta %g ropes %d %d:",
                    f->architecture, f->extras, f->shared_classifier, (double)f->norm_eps, (double)f->attention_scale,
                    (double)f->embedding_scale, (double)f->score_cap, (double)f->logit_cap, f->n_experts,
                    f->n_experts_used, f->expert_dim, (double)f->rope_theta, f->n_ropes, f->rope_short);
    for (int l = 0; l < f->n_layers; l++) {
        n += sprintf(text + n, " %d", f->layers[l].window);
        if (f->layers[l].rope) n += sprintf(text + n, "R%d", f->layers[l].rope);
        if (f->layers[l].experts) n += sprintf(text + n, "E");
    }
    return text;
}

/* Copies the files of a directory to ours; the second form of config.json in the place of the first. */
static void copy_files(const char *from, int second_form) {
    static const char *const files[] = {"model.safetensors", "model.safetensors.index.json",
                                        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                        "config.json"};
    for (int i = 0; i < 5; i++) {
        char path[300];
        size_t size;
        snprintf(path, sizeof path, "%s/%s", from, i == 4 && second_form ? "config.v5.json" : files[i]);
        char *data = file_read(path, (size_t)1 << 24, &size, NULL);
        remove(path_of(files[i]));
        if (!data) continue;
        FILE *file = fopen(path_of(files[i]), "wb");
        if (!file || fwrite(data, 1, size, file) != size || fclose(file)) exit((perror(path), 1));
        free(data);
    }
}

static void test_shared(void) {
    static const char *const table[][2] = {
        {"gemma2",
         "gemma2 80 tied 1 eps 1e-06 scales 0.125 6.9282 caps 6 9 experts 0 0 0 theta 10000 ropes 1 0: 16 0 16 0"},
        {"gemma3", "gemma3 84 tied 1 eps 1e-06 scales 0.125 6.9282 caps 0 0 experts 0 0 0 theta 1e+06 ropes 2 0: 12R1 "
                   "12R1 12R1 12R1 12R1 0 12R1"},
        {"gemma3-mm", "gemma3 84 tied 1 eps 1e-06 scales 0.17678 6.9282 caps 0 0 experts 0 0 0 theta 1e+06 ropes 2 0: "
                      "14R1 0 14R1 14R1"},
        {"granite", "granite 0 tied 1 eps 0.0002066 scales 0.125 54.545 caps 0 0 experts 0 0 0 theta 5e+06 ropes 1 0: "
                    "0 0 0"},
        {"granite-untied", "granite 0 tied 0 eps 0.0001111 scales 0.5 40 caps 0 0 experts 0 0 0 theta 5e+06 ropes 1 0: "
                           "0 0"},
        {"internlm2", "internlm2 0 tied 0 eps 1e-05 scales 0 0 caps 0 0 experts 0 0 0 theta 1e+06 ropes 1 0: 0 0 0"},
        {"llama-null", "llama 0 tied 0 eps 1e-05 scales 0 0 caps 0 0 experts 0 0 0 theta 10000 ropes 1 0: 0 0"},
        {"llama-v5", "llama 0 tied 1 eps 1e-05 scales 0 0 caps 0 0 experts 0 0 0 theta 500000 ropes 1 0: 0 0 0"},
        {"minicpm",
         "minicpm 0 tied 1 eps 1.531e-05 scales 0 14.846 caps 0 0 experts 0 0 0 theta 10000 ropes 1 0: 0 0 0"},
        {"mistral-sw", "llama 0 tied 0 eps 1e-05 scales 0 0 caps 0 0 experts 0 0 0 theta 10000 ropes 1 0: 16 16 16"},
        {"mixtral", "llama 128 tied 0 eps 1e-05 scales 0 0 caps 0 0 experts 4 2 64 theta 1e+06 ropes 1 0: 0E 0E"},
        {"olmo2", "olmo2 56 tied 0 eps 1e-06 scales 0 0 caps 0 0 experts 0 0 0 theta 500000 ropes 1 0: 0 0"},
        {"phi3", "phi3 256 tied 0 eps 1e-05 scales 0 0 caps 0 0 experts 0 0 0 theta 10000 ropes 1 64: 262144 262144 "
                 "262144"},
        {"phi3-4k", "phi3 0 tied 0 eps 1e-05 scales 0 0 caps 0 0 experts 0 0 0 theta 10000 ropes 1 0: 20 20"},
        {"phi4-mini", "phi3 256 tied 1 eps 1e-05 scales 0 0 caps 0 0 experts 0 0 0 theta 10000 ropes 1 64: 262144 "
                      "262144 262144"},
        {"qwen2", "qwen2 1 tied 1 eps 1e-06 scales 0 0 caps 0 0 experts 0 0 0 theta 1e+06 ropes 1 0: 0 0 0"},
        {"qwen2-yarn", "qwen2 257 tied 0 eps 1e-06 scales 0 0 caps 0 0 experts 0 0 0 theta 10000 ropes 1 0: 0 0"},
        {"qwen3", "qwen3 4 tied 1 eps 1e-06 scales 0 0 caps 0 0 experts 0 0 0 theta 1e+06 ropes 1 0: 0 0 0"},
        {"qwen3_moe", "qwen3moe 132 tied 0 eps 1e-06 scales 0 0 caps 0 0 experts 8 2 32 theta 1e+06 ropes 1 0: 0E 0E"},
        {"smollm3", "smollm3 0 tied 1 eps 1e-06 scales 0 0 caps 0 0 experts 0 0 0 theta 5e+06 ropes 2 0: 0 0 0 0R1 0"},
        {"smollm3-irregular", "smollm3 0 tied 1 eps 1e-06 scales 0 0 caps 0 0 experts 0 0 0 theta 5e+06 ropes 2 0: 0 "
                              "0R1 0R1 0"}};
    const char *data = getenv("LLAMA_TEST_DATA");
    char path[300];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(path, sizeof path, "%s/families/%s", data && *data ? data : "../shared/data", table[i][0]);
        if (!file_is_in(path, "config.json")) {
            SKIP(table[i][0], "no ../shared/data/families");
            continue;
        }
        TEST(table[i][0])
            for (int form = 0; form < 1 + file_is_in(path, "config.v5.json"); form++) {
                copy_files(path, form);
                llama_source *s = opened(source_open_hf(directory, NULL, &err));
                CHECK_TEXT(described(s), table[i][1]);
                s->close(s);
            }
    }
    copy_files("none", 0);
}

int main(void) {
    if (!mkdtemp(directory)) return perror(directory), 1;
    test_qwen();
    test_llama();
    test_scales();
    test_gemma();
    test_vision();
    test_fused();
    test_experts();
    test_ropes();
    test_longrope();
    test_refusals();
    remove(path_of("config.json")), remove(path_of("model.safetensors"));
    test_shared();
    rmdir(directory);
    return test_end();
}
