/* test_hf.c - Hugging Face directories as input of tools/convert: configuration, weights, rotary order, refusals.
 *
 * The directories are made here. A malformed one is the good one with a piece of one of its texts replaced.
 */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */

#include "../tokenizer.h"
#include "../tools/formats/hf_tokenizer.h"
#include "../tools/formats/vocabulary.h"
#include "../tools/formats/writer.h"
#include "../tools/shared/inside.h"
#include "../tools/shared/files.h"
#include "../tools/shared/numbers.h"
#include "templates.h"
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

/* ---- A directory ---- */

enum { DIM = 8, HIDDEN = 12, LAYERS = 2, HEADS = 2, KV_HEADS = 1, HEAD_DIM = 6, VOCAB = 10 };
enum { MOST = 3 + 9 * LAYERS };

static const char config_text[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 8, \"intermediate_size\": 12, \"num_hidden_layers\": "
    "2,"
    " \"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": 6, \"vocab_size\": 10, \"rms_norm_eps\": "
    "1e-06,"
    " \"rope_theta\": 10000.0, \"max_position_embeddings\": 128, \"tie_word_embeddings\": false, \"hidden_act\": "
    "\"silu\","
    " \"attention_bias\": false, \"mlp_bias\": false, \"rope_scaling\": null, \"sliding_window\": null}";

typedef struct {
    enum tensor tensor;
    int layer;
    char name[80];
} named_tensor;

static char directory[] = "tests/bin/hf-XXXXXX";
static llama_error err;

static const char *path_of(const char *name) {
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void put_file(const char *name, const void *data, size_t size) {
    FILE *file = fopen(path_of(name), "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file)) exit((perror(name), 1));
}

static void put_text(const char *name, const char *text) { put_file(name, text, strlen(text)); }

static void remove_file(const char *name) { remove(path_of(name)); }

/* text with the first from replaced by to; malloc'ed. from NULL: text itself. */
static char *replace(const char *text, const char *from, const char *to) {
    const char *at = from ? strstr(text, from) : text;
    if (!at) exit((fprintf(stderr, "\"%s\" is not in %s\n", from, text), 1));
    char *out = malloc(strlen(text) + (from ? strlen(to) : 0) + 1);
    sprintf(out, "%.*s%s%s", (int)(at - text), text, from ? to : "", from ? at + strlen(from) : text);
    return out;
}

/* ---- safetensors ---- */

static int list_tensors(named_tensor *list) {
    static const struct {
        const char *name;
        enum tensor tensor;
    } whole[] = {{"model.embed_tokens", TENSOR_EMBEDDING},
                 {"lm_head", TENSOR_CLASSIFIER},
                 {"model.norm", TENSOR_FINAL_NORM}},
      layered[] = {{"input_layernorm", TENSOR_ATTENTION_NORM},
                   {"post_attention_layernorm", TENSOR_FFN_NORM},
                   {"self_attn.q_proj", TENSOR_WQ},
                   {"self_attn.k_proj", TENSOR_WK},
                   {"self_attn.v_proj", TENSOR_WV},
                   {"self_attn.o_proj", TENSOR_WO},
                   {"mlp.gate_proj", TENSOR_W1},
                   {"mlp.down_proj", TENSOR_W2},
                   {"mlp.up_proj", TENSOR_W3}};
    int n = 0;
    for (int i = 0; i < 3; i++) {
        list[n].tensor = whole[i].tensor, list[n].layer = 0;
        sprintf(list[n++].name, "%s.weight", whole[i].name);
    }
    for (int layer = LAYERS; layer--;) /* in an order that is not llama.c's */
        for (int i = 9; i--;) {
            list[n].tensor = layered[i].tensor, list[n].layer = layer;
            sprintf(list[n++].name, "model.layers.%d.%s.weight", layer, layered[i].name);
        }
    return n;
}

static int twist; /* for other values */

/* Value i of a tensor as it lies in the file: a number that all three types hold exactly. */
static float value_of(enum tensor tensor, int layer, int i) {
    return (float)((i * 37 + (int)tensor * 11 + layer * 5 + twist) % 253 - 126) * 0.125f;
}

static size_t put_value(unsigned char *p, float value, const char *type) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (!strcmp(type, "BF16")) bits >>= 16;
    if (!strcmp(type, "F16"))
        bits = value == 0 ? 0 : (bits >> 16 & 0x8000u) | ((bits & 0x7FFFFFFFu) - (112u << 23)) >> 13;
    const size_t size = strcmp(type, "F32") ? 2 : 4;
    for (size_t i = 0; i < size; i++) p[i] = (unsigned char)(bits >> 8 * i);
    return size;
}

/* The tensors [first, end) of the list, as one file; in its header, from is replaced by to. */
static void put_tensors(const char *name, int first, int end, const char *type, const char *from, const char *to) {
    static const llama_config shape = {.dim = DIM,
                                       .hidden_dim = HIDDEN,
                                       .n_layers = LAYERS,
                                       .n_heads = HEADS,
                                       .n_kv_heads = KV_HEADS,
                                       .head_dim = HEAD_DIM,
                                       .vocab_size = VOCAB};
    named_tensor list[MOST];
    static char header[8192];
    static unsigned char data[65536];
    size_t at = 0, n = (size_t)sprintf(header, "{\"__metadata__\":{\"format\":\"pt\"}");
    list_tensors(list);
    for (int t = first; t < end; t++) {
        int rows, cols;
        const size_t begin = at;
        tensor_shape(&shape, list[t].tensor, 0, &rows, &cols);
        for (int i = 0; i < rows * cols; i++)
            at += put_value(data + at, value_of(list[t].tensor, list[t].layer, i), type);
        n += (size_t)sprintf(header + n, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", list[t].name, type);
        if (!strstr(list[t].name, "norm")) n += (size_t)sprintf(header + n, "%d,", rows);
        n += (size_t)sprintf(header + n, "%d],\"data_offsets\":[%d,%d]}", cols, (int)begin, (int)at);
    }
    strcpy(header + n, "}   "); /* padding is allowed */
    char *text = replace(header, from, to);
    const size_t size = strlen(text);
    unsigned char *file = malloc(8 + size + at);
    for (size_t i = 0; i < 8; i++) file[i] = (unsigned char)(i < 4 ? size >> 8 * i : 0);
    memcpy(file + 8, text, size);
    memcpy(file + 8 + size, data, at);
    put_file(name, file, 8 + size + at);
    free(file), free(text);
}

static void put_model(const char *type) {
    put_text("config.json", config_text);
    put_tensors("model.safetensors", 0, MOST, type, NULL, NULL);
}

/* ---- Weights ---- */

/* All tensors, asked for in pieces, are what they should be. */
static void check_weights(llama_source *s) {
    const llama_config *f = &s->config;
    float out[HIDDEN * HIDDEN];
    for (int t = TENSOR_FINAL_NORM; t < TENSORS; t++)
        for (int layer = 0; layer < (t < TENSOR_OF_LAYER ? 1 : LAYERS); layer++) {
            int rows, cols, bad = 0;
            const int permuted = t == TENSOR_WQ || t == TENSOR_WK;
            if (!tensor_shape(f, (enum tensor)t, layer, &rows, &cols)) continue;
            for (int first = 0, count; first < rows; first += count) {
                count = rows - first < 5 ? rows - first : 5;
                CHECK(!s->rows(s, (enum tensor)t, layer, first, count, out, &err));
                for (int i = 0; i < count * cols; i++) {
                    const int row = first + i / cols, head = row / HEAD_DIM, pair = row % HEAD_DIM / 2,
                              second = row % 2;
                    const int from = permuted ? head * HEAD_DIM + second * (HEAD_DIM / 2) + pair : row;
                    bad += out[i] != value_of((enum tensor)t, layer, from * cols + i % cols);
                }
            }
            CHECK(!bad);
        }
}

static void test_weights(void) {
    static const char *const types[] = {"F32", "F16", "BF16"}, *const names[] = {"f32", "f16", "bf16"};
    for (int i = 0; i < 3; i++)
        TEST(types[i]) {
            put_model(types[i]);
            llama_source *s = source_open_hf(directory, NULL, &err);
            if (!CHECK(s != NULL)) exit((puts(err.text), 1));
            const llama_config *f = &s->config;
            CHECK(f->dim == DIM && f->hidden_dim == HIDDEN && f->n_layers == LAYERS && f->n_heads == HEADS &&
                  f->vocab_size == VOCAB);
            CHECK(f->n_kv_heads == KV_HEADS && f->head_dim == HEAD_DIM && f->seq_len == 128 && !f->shared_classifier);
            CHECK(f->norm_eps == (float)1e-6 && f->rope_theta == 10000.0f && !s->tokenizer);
            CHECK_TEXT(f->weight_type, names[i]);
            check_weights(s);
            s->close(s);
        }
    TEST("half precision") {
        CHECK(float_of_f16(0x0001) == 0x1p-24f && float_of_f16(0x03FF) == 1023 * 0x1p-24f &&
              float_of_f16(0x0400) == 0x1p-14f);
        CHECK(float_of_f16(0x7BFF) == 65504 && float_of_f16(0xC000) == -2 && float_of_f16(0x3C01) == 1 + 0x1p-10f);
        CHECK(float_of_f16(0x8000) == 0 && signbit(float_of_f16(0x8000)) && float_of_f16(0x7C00) == INFINITY);
        CHECK(float_of_f16(0xFC00) == -INFINITY && isnan(float_of_f16(0x7E00)) && float_of_bf16(0xBF80) == -1);
    }
    TEST("shards") {
        put_tensors("a.safetensors", 0, 9, "BF16", NULL, NULL);
        put_tensors("b.safetensors", 9, MOST, "F16", NULL, NULL);
        put_text("model.safetensors.index.json",
                 "{\"weight_map\":{\"x\":\"b.safetensors\",\"y\":\"a.safetensors\",\"z\":\"b.safetensors\"}}");
        remove_file("model.safetensors");
        llama_source *s = source_open_hf(directory, NULL, &err);
        if (CHECK(s != NULL)) check_weights(s), s->close(s);
    }
    TEST("an overlay: the index says which of two tensors is meant, whichever comes first") {
        static const char *const index[] = {
            "{\"weight_map\":{\"x\":\"a.safetensors\",\"lm_head.weight\":\"b.safetensors\"}}",
            "{\"weight_map\":{\"lm_head.weight\":\"b.safetensors\",\"x\":\"a.safetensors\"}}",
            "{\"weight_map\":{\"lm_head.weight\":\"a.safetensors\",\"x\":\"b.safetensors\"}}"};
        put_tensors("a.safetensors", 0, MOST, "F32", NULL, NULL);
        twist = 1;
        put_tensors("b.safetensors", 1, 2, "F32", NULL, NULL);
        for (int i = 0; i < 3; i++) {
            float row[DIM];
            put_text("model.safetensors.index.json", index[i]);
            llama_source *s = source_open_hf(directory, NULL, &err);
            if (!CHECK(s != NULL)) exit((puts(err.text), 1));
            twist = i < 2;
            CHECK(!s->rows(s, TENSOR_CLASSIFIER, 0, 3, 1, row, &err));
            CHECK(row[2] == value_of(TENSOR_CLASSIFIER, 0, 3 * DIM + 2));
            twist = 0;
            CHECK(!s->rows(s, TENSOR_EMBEDDING, 0, 3, 1, row, &err));
            CHECK(row[2] == value_of(TENSOR_EMBEDDING, 0, 3 * DIM + 2));
            s->close(s);
        }
        put_text("model.safetensors.index.json",
                 "{\"weight_map\":{\"x\":\"b.safetensors\",\"y\":\"a.safetensors\",\"z\":\"b.safetensors\"}}");
    }
    TEST("a shared classifier") {
        char *config = replace(config_text, "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
        put_text("config.json", config);
        put_tensors("a.safetensors", 0, 1, "F32", NULL, NULL);
        put_tensors("b.safetensors", 2, MOST, "F32", NULL, NULL);
        llama_source *s = source_open_hf(directory, NULL, &err);
        if (CHECK(s != NULL)) CHECK(s->config.shared_classifier), s->close(s);
        /* There, too: tensor 0, the embedding, under the name of tensor 1. */
        put_text("model.safetensors.index.json",
                 "{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"b.safetensors\",\"z\":\"c.safetensors\"}}");
        put_tensors("c.safetensors", 0, 1, "F16", "model.embed_tokens", "lm_head");
        s = source_open_hf(directory, NULL, &err);
        if (CHECK(s != NULL)) CHECK(s->config.shared_classifier), s->close(s);
        put_tensors("c.safetensors", 1, 2, "F32", NULL, NULL);
        CHECK(!source_open_hf(directory, NULL, &err));
        CHECK_TEXT(err.text, "config.json: tie_word_embeddings is true, but lm_head.weight differs from "
                             "model.embed_tokens.weight in row 0");
        free(config);
    }
    for (const char *name = "a.safetensors\0b.safetensors\0c.safetensors\0model.safetensors.index.json\0"; *name;
         name += strlen(name) + 1)
        remove_file(name);
}

/* ---- The rotation ---- */

/* Frequency i of the good model with this in place of rope_scaling's null. */
static void check_rope(const char *scaling, double (*want)(double frequency)) {
    char *config = replace(config_text, "\"rope_scaling\": null", scaling);
    put_text("config.json", config);
    llama_source *s = source_open_hf(directory, NULL, &err);
    if (!CHECK(s != NULL)) puts(err.text);
    for (int i = 0; s && i < HEAD_DIM / 2; i++) {
        const double frequency = pow(10000, -2.0 * i / HEAD_DIM);
        CHECK_NEAR(s->rope_frequencies[i] / want(frequency), 1, 1e-6);
    }
    if (s) s->close(s);
    free(config);
}

static double unscaled(double frequency) { return frequency; }
static double by_four(double frequency) { return frequency / 4; }

/* As transformers' _compute_llama3_parameters has it, in wavelengths. */
static double by_llama3(double frequency) {
    const double factor = 8, low = 1, high = 4, context = 200, wavelength = 2 * 3.14159265358979323846 / frequency;
    if (wavelength < context / high) return frequency;
    if (wavelength > context / low) return frequency / factor;
    const double smooth = (context / wavelength - low) / (high - low);
    return (1 - smooth) * frequency / factor + smooth * frequency;
}

#define LLAMA3                                                                                                         \
    "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":200"

static void test_rope(void) {
    put_model("F32");
    TEST("no scaling") {
        check_rope("\"rope_scaling\": null", unscaled);
        check_rope("\"rope_scaling\": {\"rope_type\": \"default\"}", unscaled);
        check_rope("\"rope_parameters\": {\"rope_theta\": 10000}", unscaled);
    }
    TEST("linear") {
        check_rope("\"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}", by_four);
        check_rope("\"rope_scaling\": {\"rope_type\": \"linear\", \"type\": \"x\", \"factor\": 4.0}", by_four);
        check_rope("\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 4.0, \"rope_theta\": 10000}", by_four);
    }
    TEST("llama3: kept, blended and slowed") { /* wavelengths 6, 135 and 2916 */
        CHECK(by_llama3(1) == 1 && by_llama3(pow(10000, -2.0 / 3)) == pow(10000, -2.0 / 3) / 8);
        check_rope("\"rope_scaling\": {" LLAMA3 ",\"rope_type\":\"llama3\"}", by_llama3);
    }
    TEST("the base inside") {
        put_text("config.json",
                 "{\"architectures\": [\"MistralForCausalLM\"], \"hidden_size\": 8, \"intermediate_size\": 12,"
                 "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": "
                 "6,\"vocab_size\": 10,"
                 "\"rope_parameters\":{\"rope_theta\":100,\"rope_type\":\"default\"},\"max_position_embeddings\":128,"
                 "\"sliding_window\":32}");
        llama_source *s = source_open_hf(directory, NULL, &err);
        if (!CHECK(s != NULL)) exit((puts(err.text), 1));
        CHECK(s->config.rope_theta == 100 && s->config.seq_len == 128 && s->config.norm_eps == (float)1e-6);
        CHECK(s->config.layers[0].window == 32 && s->config.layers[1].window == 32);
        CHECK_NEAR(s->rope_frequencies[1], pow(100, -1.0 / 3), 1e-6);
        s->close(s);
    }
}

/* ---- Refusals ---- */

/* The message with which the directory is refused, without the directory's name; "" if it is not. */
static const char *refusal(void) {
    llama_source *s = source_open_hf(directory, NULL, &err);
    const size_t n = strlen(directory);
    if (s) s->close(s);
    if (s) return "";
    return strncmp(err.text, directory, n) ? err.text : err.text + n + (err.text[n] == '/');
}

#define KNOWN                                                                                                          \
    "a class of llama, mistral, mixtral, qwen2, qwen3, qwen3_moe, smollm3, gemma2, gemma3_text, gemma3, phi3, "        \
    "granite, minicpm, internlm2, olmo2"

static void test_config(void) {
    static const struct {
        const char *from, *to, *want;
    } table[] = {
        {"\"hidden_size\": 8", "\"hidden_size\": 0",
         "config.json: hidden_size is 0, not a whole number from 1 to 268435456"},
        {"\"hidden_size\": 8", "\"hidden_size\": -8",
         "config.json: hidden_size is -8, not a whole number from 1 to 268435456"},
        {"\"hidden_size\": 8", "\"hidden_size\": 8.5",
         "config.json: hidden_size is 8.5, not a whole number from 1 to 268435456"},
        {"\"hidden_size\": 8", "\"hidden_size\": 1e18",
         "config.json: hidden_size is 1e+18, not a whole number from 1 to 268435456"},
        {"\"hidden_size\": 8", "\"hidden_size\": \"8\"",
         "config.json: hidden_size is \"8\", not a whole number from 1 to 268435456"},
        {"\"hidden_size\": 8", "\"hidden_size\": null",
         "config.json: hidden_size is missing, not a whole number from 1 to 268435456"},
        {"\"hidden_size\": 8, ", "", "config.json: hidden_size is missing, not a whole number from 1 to 268435456"},
        {"\"hidden_size\": 8", "\"hidden_size\": 16",
         "model.safetensors: tensor model.embed_tokens.weight: shape is [10, 8], config.json implies [10, 16]"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3",
         ": tensor model.layers.2.input_layernorm.weight is missing"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1",
         "model.safetensors: tensor model.layers.1.mlp.up_proj.weight: unknown, or of a layer or an "
         "expert beyond config.json's"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 100000",
         "config.json: num_hidden_layers is 100000, not 16384 or less"},
        {"_heads\": 2", "_heads\": 3",
         "model.safetensors: tensor model.layers.1.self_attn.o_proj.weight: shape is [8, 12], config.json implies [8, "
         "18]"},
        {"\"num_key_value_heads\": 1", "\"num_key_value_heads\": 3",
         "config.json: num_attention_heads is 2, not a multiple of num_key_value_heads"},
        {"\"head_dim\": 6", "\"head_dim\": 7", "config.json: head_dim is 7, not even"},
        {"\"head_dim\": 6", "\"head_dim\": 268435456",
         "config.json: num_attention_heads is 2, not 268435456 / head_dim or less"},
        {"2, \"num_key_value_heads\": 1, \"head_dim\": 6", "3",
         "config.json: hidden_size is 8, not a multiple of num_attention_heads"},
        {"\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": 0", "config.json: rms_norm_eps is 0, not a number above 0"},
        {"\"rope_theta\": 10000.0", "\"rope_theta\": -1", "config.json: rope_theta is -1, not a number above 0"},
        {"\"LlamaForCausalLM\"", "\"GPT2LMHeadModel\"",
         "config.json: architectures is \"GPT2LMHeadModel\", not " KNOWN},
        {"[\"LlamaForCausalLM\"]", "[]", "config.json: architectures is an array, not " KNOWN},
        {"architectures", "architecture", "config.json: architectures is missing, not " KNOWN},
        {"\"silu\"", "\"gelu\"", "config.json: hidden_act is \"gelu\", not silu"},
        {"\"attention_bias\": false", "\"attention_bias\": true",
         ": tensor model.layers.0.self_attn.q_proj.bias is missing"},
        {"\"mlp_bias\": false", "\"mlp_bias\": true", "config.json: mlp_bias is true, not false"},
        {"\"mlp_bias\": false", "\"mlp_bias\": 1", "config.json: mlp_bias is 1, not false"},
        {"\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"mrope\", \"factor\": 2}",
         "config.json: rope_scaling's rope_type is \"mrope\", not default, linear, dynamic, llama3, yarn or longrope"},
        {"\"rope_scaling\": null", "\"rope_scaling\": {\"factor\": 2}",
         "config.json: rope_scaling's rope_type is missing, not default, linear, dynamic, llama3, yarn or longrope"},
        {"\"rope_scaling\": null", "\"rope_scaling\": 2", "config.json: rope_scaling is 2, not an object"},
        {"\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"linear\"}",
         "config.json: factor is missing, not a number above 0"},
        {"\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"llama3\", \"factor\": 8}",
         "config.json: low_freq_factor is missing, not a number above 0"},
        {"\"mlp_bias\": false", "\"quantization_config\": {}",
         "config.json: quantization_config is an object, not null: quantised weights are not supported"},
        {"\"mlp_bias\": false", "\"partial_rotary_factor\": 0.5",
         "config.json: partial_rotary_factor is 0.5, not a share of head_dim that is an even number"},
        {"\"mlp_bias\": false", "\"hidden_size\": 9",
         "config.json: the object that starts in line 1 has the key \"hidden_size\" twice"},
        {"null}", "null", "config.json: line 1, byte 410: the text ends inside an object"},
        {"{", "[{", "config.json: line 1, byte 412: the text ends inside an array"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        TEST(table[i].to) {
            char *config = replace(config_text, table[i].from, table[i].to);
            put_text("config.json", config);
            CHECK_TEXT(refusal(), table[i].want);
            free(config);
        }
    TEST("no object") {
        put_text("config.json", "[1]");
        CHECK_TEXT(refusal(), "config.json: an array, not an object");
        remove_file("config.json");
        CHECK_TEXT(refusal(), "config.json: cannot open: No such file or directory");
    }
    put_text("config.json", config_text);
}

static void test_header(void) {
    static const struct {
        const char *from, *to, *want;
    } table[] = {
        {"\"dtype\":\"F32\"", "\"dtype\":\"F64\"",
         "tensor model.embed_tokens.weight: dtype is F64, not F32, F16 or BF16"},
        {"\"dtype\":\"F32\"", "\"dtype\":\"F16\"",
         "tensor model.embed_tokens.weight: data_offsets span 320 bytes, its shape and dtype 160"},
        {"\"dtype\":\"F32\",", "", "tensor model.embed_tokens.weight: dtype is missing, not F32, F16 or BF16"},
        {"[10,8]", "[10,9]", "tensor model.embed_tokens.weight: shape is [10, 9], config.json implies [10, 8]"},
        {"[10,8]", "[80]", "tensor model.embed_tokens.weight: shape is [80], config.json implies [10, 8]"},
        {"[10,8]", "[10,8,1]", "tensor model.embed_tokens.weight: shape is [10, 8, 1], config.json implies [10, 8]"},
        {"[10,8]", "[10,[8]]", "tensor model.embed_tokens.weight: shape is [10, 0], config.json implies [10, 8]"},
        {"[10,8]", "[4294967296,4294967296]",
         "tensor model.embed_tokens.weight: shape is [4294967296, 4294967296], config.json implies [10, 8]"},
        {"[10,8]", "7", "tensor model.embed_tokens.weight: shape is [], config.json implies [10, 8]"},
        {"\"shape\":[8]", "\"shape\":[8,1]", "tensor model.norm.weight: shape is [8, 1], config.json implies [8]"},
        {"[0,320]", "[0,319]",
         "tensor model.embed_tokens.weight: data_offsets span 319 bytes, its shape and dtype 320"},
        {"[0,320]", "[320,0]",
         "tensor model.embed_tokens.weight: data_offsets are 320 and 0, the file has 5408 bytes of data"},
        {"[0,320]", "[5400,5720]",
         "tensor model.embed_tokens.weight: data_offsets are 5400 and 5720, the file has 5408 bytes of data"},
        {"[0,320]", "[0,1e15]",
         "tensor model.embed_tokens.weight: data_offsets are 0 and 1000000000000000, the file has 5408 bytes of data"},
        {"[0,320]", "[-320,0]", "tensor model.embed_tokens.weight: data_offsets is not two whole numbers"},
        {"[0,320]", "[0,320,640]", "tensor model.embed_tokens.weight: data_offsets is not two whole numbers"},
        {"[0,320]", "[[0],320]", "tensor model.embed_tokens.weight: data_offsets is not two whole numbers"},
        {"[0,320]", "[18446744073709551296,0]",
         "tensor model.embed_tokens.weight: data_offsets is not two whole numbers"},
        {"[0,320]", "[4,324]",
         "tensor model.embed_tokens.weight: data_offsets begin at 4, the tensor before ends at 0"},
        {"[320,640]", "[0,320]", "tensor lm_head.weight: data_offsets begin at 0, the tensor before ends at 320"},
        {"\"data_offsets\":[0,320]", "\"x\":1",
         "tensor model.embed_tokens.weight: data_offsets is not two whole numbers"},
        {"{\"dtype\":\"F32\",\"shape\":[10,8],\"data_offsets\":[0,320]}", "1",
         "tensor model.embed_tokens.weight: its entry is not an object"},
        {"model.norm.weight", "model.norm.bias", "tensor model.norm.bias: config.json implies no such bias"},
        {"model.norm.weight", "model.norm.weigh",
         "tensor model.norm.weigh: unknown, or of a layer or an expert beyond config.json's"},
        {"model.norm.weight", "model.norm.weight\\u0000",
         "tensor model.norm.weight: unknown, or of a layer or an expert beyond config.json's"},
        {"layers.1.", "layers.2.",
         "tensor model.layers.2.mlp.up_proj.weight: unknown, or of a layer or an expert beyond config.json's"},
        {"layers.1.", "layers.01.",
         "tensor model.layers.01.mlp.up_proj.weight: unknown, or of a layer or an expert beyond config.json's"},
        {"layers.1.", "layers.-1.",
         "tensor model.layers.-1.mlp.up_proj.weight: unknown, or of a layer or an expert beyond config.json's"},
        {"layers.1.", "layers.18446744073709551617.",
         "tensor model.layers.18446744073709551617.mlp.up_proj.weight: unknown, or of a layer or an "
         "expert beyond config.json's"},
        {"model.layers.1.mlp.up_proj", "mlp.up_proj",
         "tensor mlp.up_proj.weight: unknown, or of a layer or an expert beyond config.json's"},
        {"model.layers.1.mlp.up_proj", "model.layers.0.mlp.up_proj",
         "the object that starts in line 1 has the key \"model.layers.0.mlp.up_proj.weight\" twice"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        TEST(table[i].to) {
            char want[200];
            put_tensors("model.safetensors", 0, MOST, "F32", table[i].from, table[i].to);
            snprintf(want, sizeof want, "model.safetensors: %s", table[i].want);
            CHECK_TEXT(refusal(), want);
        }
    TEST("a tensor that is not needed") {
        put_tensors("model.safetensors", 0, MOST, "F32", ",\"model.embed",
                    ",\"model.layers.0.self_attn.rotary_emb.inv_freq\":{\"dtype\":\"F64\",\"shape\":[0],\"data_"
                    "offsets\":[0,0]},\"model.embed");
        CHECK_TEXT(refusal(), "");
    }
    TEST("a missing tensor") {
        put_tensors("model.safetensors", 1, MOST, "F32", NULL, NULL);
        CHECK_TEXT(refusal(), ": tensor model.embed_tokens.weight is missing");
    }
}

static void test_files(void) {
    static const struct {
        const char *index, *want;
    } table[] = {
        {"{}", "model.safetensors.index.json: weight_map is missing, not an object of tensors"},
        {"{\"weight_map\":{}}", "model.safetensors.index.json: weight_map is empty, not an object of tensors"},
        {"{\"weight_map\":{\"x\":\"../a.safetensors\"}}",
         "model.safetensors.index.json: weight_map names the file \"../a.safetensors\", which is no plain name"},
        {"{\"weight_map\":{\"x\":\"/etc/passwd\"}}",
         "model.safetensors.index.json: weight_map names the file \"/etc/passwd\", which is no plain name"},
        {"{\"weight_map\":{\"x\":\"..\"}}",
         "model.safetensors.index.json: weight_map names the file \"..\", which is no plain name"},
        {"{\"weight_map\":{\"x\":\"\"}}",
         "model.safetensors.index.json: weight_map names the file \"\", which is no plain name"},
        {"{\"weight_map\":{\"x\":\"a\\u0000b\"}}",
         "model.safetensors.index.json: weight_map names the file \"a\", which is no plain name"},
        {"{\"weight_map\":{\"x\":1}}",
         "model.safetensors.index.json: weight_map names the file \"a number\", which is no plain name"},
        {"{\"weight_map\":{\"x\":\"none\"}}", "none: cannot open: No such file or directory"},
        {"{\"weight_map\":{\"x\":\"a\"}}", ": tensor model.layers.0.input_layernorm.weight is missing"},
        {"{\"weight_map\":{\"x\":\"a\",\"y\":\"b\"}}", "b: tensor model.layers.1.self_attn.q_proj.weight: is in "
                                                       "another file too, and the index does not say which is meant"}};
    remove_file("model.safetensors");
    TEST("no weights") CHECK_TEXT(refusal(), ": neither model.safetensors nor model.safetensors.index.json is there");
    put_tensors("a", 0, 10, "F32", NULL, NULL);
    put_tensors("b", 9, MOST, "F32", NULL, NULL);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        TEST(table[i].index) {
            put_text("model.safetensors.index.json", table[i].index);
            CHECK_TEXT(refusal(), table[i].want);
        }
    remove_file("a"), remove_file("b"), remove_file("model.safetensors.index.json");
    TEST("headers longer than the file") {
        put_file("model.safetensors", "1234567", 7);
        CHECK_TEXT(refusal(), "model.safetensors: 7 bytes, too few for safetensors");
        put_file("model.safetensors", "\3\0\0\0\0\0\0\0{}", 10);
        CHECK_TEXT(refusal(),
                   "model.safetensors: the header has 3 bytes in a file of 10: not safetensors, or cut short");
        put_file("model.safetensors", "\377\377\377\377\377\377\377\377{}", 10);
        CHECK_TEXT(refusal(), "model.safetensors: the header has 18446744073709551615 bytes in a file of 10: not "
                              "safetensors, or cut short");
        put_file("model.safetensors", "\2\0\0\0\0\0\0\0[]", 10);
        CHECK_TEXT(refusal(), "model.safetensors: the header is not an object");
        put_file("model.safetensors", "\0\0\0\0\0\0\0\0", 8);
        CHECK_TEXT(refusal(), "model.safetensors: line 1, byte 0: the text ends where a value is expected");
    }
}

/* A file cut at any place is refused; one with any byte of its header changed does no harm. */
static void test_damaged(void) {
    static unsigned char data[65536];
    put_model("BF16");
    FILE *file = fopen(path_of("model.safetensors"), "rb");
    const size_t size = file ? fread(data, 1, sizeof data, file) : 0, header = 8 + data[0] + 256u * data[1];
    if (file) fclose(file);
    TEST("every prefix") {
        for (size_t n = 0; n < size; n += n < header ? 7 : 101) {
            put_file("model.safetensors", data, n);
            CHECK(*refusal());
        }
    }
    TEST("changed bytes") {
        uint32_t random = 1;
        for (int i = 0; i < 2000; i++) {
            random = random * 1664525u + 1013904223u;
            unsigned char *p = &data[(random >> 8) % header], before = *p;
            *p = (unsigned char)(random >> 24);
            put_file("model.safetensors", data, size);
            refusal();
            *p = before;
        }
    }
    put_file("model.safetensors", data, size);
}

/* ---- Tokenizers ---- */

enum { TOKENS = 270 }; /* rows of the embedding */

#define SPLIT                                                                                                          \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| "                             \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

/* tokenizer.json of either kind. Byte-level: ids 0..255 are the bytes, then "th", "the" and " the"; 259, 260 and
 * 262 are added. SentencePiece: <unk>, <s>, </s>, the bytes, then "_", "a", "b", "ab", "_ab". */
static char *byte_level_json(void) {
    static char text[16384];
    int next = 256;
    size_t n = (size_t)sprintf(
        text,
        "{\"added_tokens\":[{\"id\":259,\"content\":\"<|begin|>\",\"special\":true},"
        "{\"id\":260,\"content\":\"<|eot_id|>\",\"special\":true},{\"id\":262,\"content\":\"<tool>\",\"special\":false}"
        "],\"normalizer\":null,"
        "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
        "\"" SPLIT "\"},"
        "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":"
        "false}]},"
        "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":"
        "\"TemplateProcessing\",\"single\":"
        "[{\"SpecialToken\":{\"id\":\"<|begin|>\"}},{\"Sequence\":{\"id\":\"A\"}}]}]},"
        "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"byte_fallback\":false,\"ignore_merges\":true,\"vocab\":{");
    for (int b = 0; b < 256; b++) {
        const int shown = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        n += (size_t)sprintf(text + n, "\"\\u%04x\":%d,", (unsigned)(shown ? b : next++), b);
    }
    sprintf(text + n,
            "\"th\":256,\"the\":257,\"\\u0120the\":258},\"merges\":[\"t h\",[\"th\",\"e\"],\"\\u0120 the\"]}}");
    return text;
}

static char *sentencepiece_json(void) {
    static char text[16384];
    size_t n = (size_t)sprintf(text, "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},{\"id\":1,"
                                     "\"content\":\"<s>\",\"special\":true},"
                                     "{\"id\":2,\"content\":\"</"
                                     "s>\",\"special\":true}],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{"
                                     "\"type\":\"Prepend\",\"prepend\":\"\\u2581\"},"
                                     "{\"type\":\"Replace\",\"pattern\":{\"String\":\" "
                                     "\"},\"content\":\"\\u2581\"}]},\"pre_tokenizer\":null,\"post_processor\":null,"
                                     "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"byte_fallback\":true,"
                                     "\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</s>\":2");
    for (int b = 0; b < 256; b++) n += (size_t)sprintf(text + n, ",\"<0x%02X>\":%d", (unsigned)b, 3 + b);
    sprintf(text + n,
            ",\"\\u2581\":259,\"a\":260,\"b\":261,\"ab\":262,\"\\u2581ab\":263},\"merges\":[\"a b\",\"\\u2581 ab\"]}}");
    return text;
}

static char tokenizer_note[200];

/* The tokenizer of the directory, for a model with so many rows; NULL with err. config is config.json. */
static tokenizer *open_tokenizer(const char *config, int rows) {
    llama_source s = {.config = {.vocab_size = rows}};
    json_text j;
    tokenizer_error why = {0, "no tokenizer"};
    if (json_parse(&j, config, strlen(config), "config.json", &err)) exit((puts(err.text), 1));
    tokenizer *t = NULL;
    if (!hf_read_tokenizer(&s, directory, j.nodes, &err)) {
        t = tokenizer_load_memory(s.tokenizer, s.tokenizer_size, rows, NULL, &why);
        if (!t) strcpy(err.text, why.text);
    }
    strcpy(tokenizer_note, s.note);
    free(s.tokenizer);
    json_free(&j);
    return t;
}

/* The ids of a text, as words. */
static const char *ids_of(const tokenizer *t, const char *text, int flags) {
    static char words[400];
    int ids[40];
    const ptrdiff_t n = tokenizer_encode(t, text, strlen(text), flags, ids, 40, NULL);
    char *out = words;
    for (ptrdiff_t i = 0; i < n && i < 40; i++) out += sprintf(out, i ? " %d" : "%d", ids[i]);
    *out = 0;
    return words;
}

static const char *template_of(const tokenizer *t) {
    const char *name = tokenizer_template_name(tokenizer_template(t));
    return name ? name : tokenizer_template(t) == TOKENIZER_OWN ? "own" : "none";
}

static void test_byte_level(void) {
    put_text("tokenizer.json", byte_level_json());
    TEST("byte-level") {
        tokenizer *t = open_tokenizer("{\"bos_token_id\":259,\"eos_token_id\":[260,3]}", TOKENS);
        if (!CHECK(t != NULL)) exit((puts(err.text), 1));
        CHECK_TEXT(ids_of(t, "the the\xFF", TOKENIZER_BOS), "259 257 258 255");
        CHECK_TEXT(ids_of(t, "<|eot_id|>", TOKENIZER_SPECIAL), "260");
        CHECK_TEXT(ids_of(t, "a<tool>", 0), "97 262");
        CHECK(tokenizer_vocab_size(t) == TOKENS && tokenizer_bos(t) == 259 && tokenizer_find(t, "<|begin|>", 9) == 259);
        CHECK(tokenizer_is_end(t, 260) && tokenizer_is_end(t, 3) && !tokenizer_is_end(t, 4));
        CHECK_TEXT(template_of(t), "none");
        tokenizer_free(t);
    }
    TEST("a token that is listed twice, and special ones beyond the embedding") {
        char *json = replace(byte_level_json(), "{\"id\":260",
                             "{\"id\":259,\"content\":\"<|begin|>\",\"special\":true},"
                             "{\"id\":270,\"content\":\"<pad>\",\"special\":true},{\"id\":260");
        put_text("tokenizer.json", json);
        llama_source s = {.config = {.vocab_size = TOKENS}};
        CHECK(!hf_read_tokenizer(&s, directory, NULL, &err) && s.tokenizer);
        CHECK_TEXT(s.skipped, "token <pad>: its id is 270, the embedding has 270 rows");
        free(s.tokenizer), free(json);
        put_text("tokenizer.json", byte_level_json());
    }
    TEST("its other files") {
        put_text("tokenizer_config.json",
                 "{\"bos_token\":{\"content\":\"<|begin|>\"},\"eos_token\":\"the\",\"add_bos_token\":false,"
                 "\"chat_template\":[{\"name\":\"tool\",\"template\":\"[INST]\"},{\"name\":\"default\",\"template\":\""
                 "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
                 "{% endfor %}{{ '<|im_start|>assistant\\n' }}\"}]}");
        put_text("generation_config.json", "{\"bos_token_id\":1,\"eos_token_id\":[5,6]}");
        tokenizer *t = open_tokenizer("{\"bos_token_id\":2,\"eos_token_id\":7}", TOKENS);
        if (!CHECK(t != NULL)) exit((puts(err.text), 1));
        CHECK(tokenizer_bos(t) == 259);
        CHECK_TEXT(ids_of(t, "a", TOKENIZER_BOS), "97");
        for (int id = 0; id < TOKENS; id++) /* <|eot_id|> by its name */
            CHECK(tokenizer_is_end(t, id) == (id == 257 || id == 5 || id == 6 || id == 7 || id == 260));
        CHECK_TEXT(template_of(t), "chatml");
        tokenizer_free(t);
        put_text("chat_template.jinja", TEMPLATE_LLAMA3);
        t = open_tokenizer("{}", TOKENS);
        CHECK(t != NULL);
        CHECK_TEXT(template_of(t), "llama3");
        tokenizer_free(t);
    }
    remove_file("tokenizer_config.json"), remove_file("generation_config.json"), remove_file("chat_template.jinja");
}

/* Each of the patterns, in steps as real files have them. */
static void test_patterns(void) {
    static const char *const forms[][3] = {
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":false}", "a'S 12", "97 39 83 32 49 50"},
        {"{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}", "thth", "256 256"},
        {"[{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]",
         "thth", "256 256"},
        {"[{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" SPLIT
         "\"},\"behavior\":\"Removed\",\"invert\":true}]},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_"
         "regex\":false}]",
         "thth", "256 256"},
        {"[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\p{N}{1,3}\"},\"behavior\":\"Isolated\"},"
         "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[\\u4e00-\\u9fa5\\u3040-\\u309f\\u30a0-\\u30ff]+\"},"
         "\"behavior\":\"Isolated\"},{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[!\\\"#$%&'()*+,\\\\-./"
         ":;<=>?@\\\\[\\\\\\\\\\\\]^_`{|}~]"
         "[A-Za-z]+|[^\r\n\\\\p{L}\\\\p{P}\\\\p{S}]?[\\\\p{L}\\\\p{M}]+| "
         "?[\\\\p{P}\\\\p{S}]+[\r\n]*|\\\\s*[\r\n]+|\\\\s+(?!\\\\S)|"
         "\\\\s+\"},\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"
         "]",
         "thth", "256 256"}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        TEST(forms[i][0]) {
            char *json = replace(byte_level_json(), "\"pre_tokenizer\":", "\"old\":"), *start, steps[4096];
            char *out = steps;
            for (const char *p = forms[i][0]; *p; p++) /* JSON has no ends of lines in strings */
                if (*p == '\r' || *p == '\n') out += sprintf(out, "\\%c", *p == '\r' ? 'r' : 'n');
                else *out++ = *p;
            *out = 0;
            const int is_list = *steps == '[';
            start = malloc(strlen(steps) + 200);
            sprintf(start, "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":%s%s%s,\"x\":",
                    is_list ? "{\"type\":\"Sequence\",\"pretokenizers\":" : "", steps, is_list ? "}" : "");
            char *whole = replace(json, "\"normalizer\":", start);
            put_text("tokenizer.json", whole);
            tokenizer *t = open_tokenizer("{}", TOKENS);
            if (!CHECK(t != NULL)) printf("  %s\n", err.text);
            CHECK_TEXT(t ? ids_of(t, forms[i][1], 0) : "", forms[i][2]);
            CHECK_TEXT(t ? ids_of(t, "e\xCC\x81", 0) : "", "195 169"); /* NFC */
            tokenizer_free(t);
            free(json), free(start), free(whole);
        }
}

/* A user's text must not have what a template has. */
static void test_marks(void) {
    static const char *const templates[] = {"{{ '<tool>' }}", "{{ \"x<tool>\\n\" }}", "{% if a %}<tool>{% endif %}",
                                            "{{ '<' + name + '>' }}", "{# '{{ #}{{ 'it\\'s' }}<tool>"};
    static const char *const others[] = {"{{ tool }}", "{# <tool> #}", "{{ '<' }}{{ '{' }}", "{{ '<tool' + x + ']' }}",
                                         "{{ '"};
    put_text("tokenizer.json", byte_level_json());
    TEST("what a template has between quotes or as text is not typed, and is shown") {
        for (int i = 0; i < 10; i++) {
            const char *text = i < 5 ? templates[i] : others[i - 5];
            put_text("chat_template.jinja", text);
            tokenizer *t = open_tokenizer("{}", TOKENS);
            size_t size = 0;
            if (!CHECK(t != NULL)) exit((puts(err.text), 1));
            if (!CHECK_TEXT(ids_of(t, "<tool>", 0), i < 5 ? "60 116 111 111 108 62" : "262")) printf("  %s\n", text);
            CHECK_TEXT(ids_of(t, "<tool>", TOKENIZER_SPECIAL), "262");
            CHECK(tokenizer_decode(t, -1, 262, &size) && size == 6);
            tokenizer_free(t);
        }
    }
    TEST("an ordinary piece needs brackets, and white space is no mark") {
        char *json = replace(byte_level_json(), "\"the\":257", "\"<the>\":257");
        char *merges = replace(json, ",[\"th\",\"e\"],\"\\u0120 the\"", "");
        put_text("tokenizer.json", merges);
        put_text("chat_template.jinja", "<the>\n\nth the{{ 'a' }}");
        tokenizer *t = open_tokenizer("{}", TOKENS);
        if (!CHECK(t != NULL)) exit((puts(err.text), 1));
        CHECK_TEXT(ids_of(t, "th", 0), "256");
        CHECK_TEXT(ids_of(t, "<the>", TOKENIZER_SPECIAL), "257");
        CHECK_TEXT(ids_of(t, "<the>", 0), "60 256 101 62");
        tokenizer_free(t);
        free(json), free(merges);
    }
    remove_file("chat_template.jinja");
}

static void test_sentencepiece(void) {
    put_text("tokenizer.json", sentencepiece_json());
    TEST("SentencePiece from its merges") {
        tokenizer *t = open_tokenizer("{\"bos_token_id\":1,\"eos_token_id\":2}", TOKENS);
        if (!CHECK(t != NULL)) exit((puts(err.text), 1));
        CHECK_TEXT(ids_of(t, "ab ba", TOKENIZER_BOS), "1 263 259 261 260");
        CHECK_TEXT(ids_of(t, "<s>\n", 0), "259 63 118 65 13");
        CHECK(tokenizer_vocab_size(t) == TOKENS && tokenizer_bos(t) == 1 && tokenizer_is_end(t, 2));
        tokenizer_free(t);
    }
    TEST("the other form of its rules") {
        char *json = replace(sentencepiece_json(), "\"pre_tokenizer\":null",
                             "\"pre_tokenizer\":{\"type\":\"Metaspace\","
                             "\"replacement\":\"\\u2581\",\"prepend_scheme\":\"never\",\"split\":false}");
        char *other = replace(json, "\"normalizer\":", "\"normalizer\":null,\"x\":");
        char *open =
            replace(other, "\"pre_tokenizer\":", "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
        char *one = replace(open, "\"split\":false}", "\"split\":false}]}"); /* a list of one step is that step */
        for (int i = 0; i < 2; i++) {
            put_text("tokenizer.json", i ? one : other);
            tokenizer *t = open_tokenizer("{}", TOKENS);
            CHECK(t != NULL);
            CHECK_TEXT(t ? ids_of(t, "ab", 0) : err.text, "262");
            tokenizer_free(t);
        }
        free(json), free(other), free(open), free(one);
    }
    TEST("Metaspace and where it puts a space; Gemma's form; no unknown piece") {
        static const char *const forms[][3] = {
            {"null",
             "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"first\",\"split\":false}",
             "263 1 262"},
            {"null",
             "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"always\",\"split\":false}",
             "263 1 263"},
            {"null", "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"add_prefix_space\":true,\"split\":false}",
             "263 1 263"},
            {"null", "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"add_prefix_space\":false,\"split\":false}",
             "262 1 262"},
            {"{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}",
             "{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"MergedWithPrevious\",\"invert\":false}",
             "262 1 262"}};
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
            char rules[600];
            snprintf(rules, sizeof rules, "\"normalizer\":%s,\"pre_tokenizer\":%s,\"x\":", forms[i][0], forms[i][1]);
            char *json = replace(sentencepiece_json(), "\"pre_tokenizer\":null,", ""),
                 *other = replace(json, "\"normalizer\":", rules);
            char *unknown = replace(other, "\"unk_token\":\"<unk>\"", "\"unk_token\":null");
            put_text("tokenizer.json", unknown);
            tokenizer *t = open_tokenizer("{}", TOKENS);
            if (!CHECK(t != NULL)) printf("  %s\n", err.text);
            CHECK_TEXT(t ? ids_of(t, "ab<s>ab", TOKENIZER_SPECIAL) : "", forms[i][2]);
            tokenizer_free(t);
            free(json), free(other), free(unknown);
        }
    }
    TEST("added tokens, with Prepend, Metaspace first and always: as Hugging Face's library has them") {
        static const char *const rules[] = {
            "null,\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\","
            "\"prepend_scheme\":\"first\",\"split\":false},\"x\":",
            "null,\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\","
            "\"prepend_scheme\":\"always\",\"split\":false},\"x\":"};
        static const char *const cases[][4] = {
            {"ab<tool>ab", "263 264 263", "263 264 262", "263 264 263"},
            {"<tool>", "264", "264", "264"},
            {"<|user|>\n ab", "265 263", "265 262", "265 263"},
            {"ab \n<l>ab", "263 266 263", "263 266 262", "263 266 263"},
            {"c", "267", "267", "267"},
            {"cb", "259 102 261", "259 102 261", "259 102 261"},
            {"aab a", "259 260 262 259 260", "259 260 262 259 260", "259 260 262 259 260"},
            {" ab", "259 263", "263", "263"},
            {"ab<s> ab", "263 1 259 263", "263 1 263", "263 1 263"}};
        char *json = replace(sentencepiece_json(), "\"added_tokens\":[",
                             "\"added_tokens\":[{\"id\":264,\"content\":\"<tool>\",\"special\":false},"
                             "{\"id\":265,\"content\":\"<|user|>\",\"special\":true,\"rstrip\":true},"
                             "{\"id\":266,\"content\":\"<l>\",\"special\":true,\"lstrip\":true},"
                             "{\"id\":267,\"content\":\"c\",\"single_word\":true,\"special\":false},"
                             "{\"id\":260,\"content\":\"a\",\"single_word\":true,\"special\":false},");
        char *without = replace(json, "\"pre_tokenizer\":null,", "");
        for (int form = 0; form < 3; form++) {
            char *rule = malloc(200);
            sprintf(rule, "\"normalizer\":%s", form ? rules[form - 1] : "");
            char *one = replace(without, "\"normalizer\":", rule);
            put_text("tokenizer.json", one);
            tokenizer *t = open_tokenizer("{}", TOKENS);
            if (!CHECK(t != NULL)) printf("  %s\n", err.text);
            for (size_t i = 0; t && i < sizeof cases / sizeof *cases; i++)
                if (!CHECK_TEXT(ids_of(t, cases[i][0], TOKENIZER_SPECIAL), cases[i][1 + form]))
                    printf("  form %d, text %s\n", form, cases[i][0]);
            tokenizer_free(t);
            free(rule), free(one);
        }
        free(json), free(without);
    }
    TEST("a piece that no merge makes") {
        char *json = replace(sentencepiece_json(), ",\"\\u2581 ab\"", "");
        put_text("tokenizer.json", json);
        tokenizer *t = open_tokenizer("{}", TOKENS);
        CHECK(t != NULL);
        CHECK_TEXT(t ? ids_of(t, "ab", 0) : err.text, "259 262");
        tokenizer_free(t);
        free(json);
    }
}

static void check_tokenizer_refusals(const char *json, const char *const table[][3], size_t n) {
    for (size_t i = 0; i < n; i++)
        TEST(table[i][1]) {
            char *text = replace(json, table[i][0], table[i][1]), want[300];
            put_text("tokenizer.json", text);
            snprintf(want, sizeof want, "%s%s", directory, table[i][2]);
            err.text[0] = 0;
            tokenizer *t = open_tokenizer("{}", TOKENS);
            CHECK(!t);
            CHECK_TEXT(err.text, want);
            tokenizer_free(t);
            free(text);
        }
}

static void test_tokenizer_refusals(void) {
    static const char *const byte_level[][3] = {
        {"\"BPE\"", "\"Unigram\"", "/tokenizer.json: model's type is Unigram, not BPE"},
        {"\"model\"", "\"mode\"", "/tokenizer.json: model's type is missing, not BPE"},
        {"\"merges\"", "\"merge\"",
         "/tokenizer.json: model's vocab is an object and its merges are missing, not an object and an array"},
        {"\\\\p{N}{1,3}", "\\\\p{N}{1,2}",
         "/tokenizer.json: pre_tokenizer splits by "
         "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,2}| ?[^\\s\\p{L}\\p{N\", a pattern "
         "that "
         "is not known"},
        {"\"Isolated\"", "\"Removed\"", "/tokenizer.json: pre_tokenizer Split with behavior Removed is not supported"},
        {"\"Isolated\"", "\"MergedWithNext\"",
         "/tokenizer.json: pre_tokenizer Split with behavior MergedWithNext is not supported"},
        {"\"Regex\"", "\"String\"", "/tokenizer.json: pre_tokenizer Split with pattern an object is not supported"},
        {"\"use_regex\":false", "\"use_regex\":true",
         "/tokenizer.json: pre_tokenizer splits by "
         "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N\" and more, a "
         "pattern that is not known"},
        {"\"type\":\"Split\"", "\"type\":\"Digits\"",
         "/tokenizer.json: pre_tokenizer splits by \"\\p{N}+\", a pattern that is not known"},
        {"\"type\":\"Split\"", "\"type\":\"Whitespace\"", "/tokenizer.json: pre_tokenizer Whitespace is not supported"},
        {"\"add_prefix_space\":false", "\"add_prefix_space\":true",
         "/tokenizer.json: pre_tokenizer ByteLevel with add_prefix_space true is not supported"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"NFKC\"}",
         "/tokenizer.json: normalizer NFKC is not supported"},
        {"\"normalizer\":null",
         "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Strip\"}]}",
         "/tokenizer.json: normalizer Strip is not supported"},
        {"\"dropout\":null", "\"dropout\":0.1", "/tokenizer.json: dropout is not supported"},
        {"\"dropout\":null", "\"end_of_word_suffix\":\"</w>\"", "/tokenizer.json: end_of_word_suffix is not supported"},
        {"\"the\":257", "\"the\":270", "/tokenizer.json: token \"the\": its id is 270, the embedding has 270 rows"},
        {"\"the\":257", "\"the\":1e9",
         "/tokenizer.json: token \"the\": its id is 1000000000, the embedding has 270 rows"},
        {"\"the\":257", "\"the\":-1", "/tokenizer.json: token \"the\": its id is not a whole number"},
        {"\"the\":257", "\"the\":\"257\"", "/tokenizer.json: token \"the\": its id is not a whole number"},
        {"\"the\":257", "\"the\":256", "/tokenizer.json: token \"the\": its id is another's too"},
        {"\"the\":257", "\"the\":260", "/tokenizer.json: token \"the\": its id is another's too"},
        {"\"the\":257", "\"\":257", "/tokenizer.json: a token's content is empty, not a text"},
        {"\"the\":257", "\"th e\":257",
         "/tokenizer.json: token \"th e\": it has characters outside the byte-level alphabet"},
        {"\"id\":260", "\"id\":259", "/tokenizer.json: added token \"<|eot_id|>\": its id is another's too"},
        {"\"id\":262", "\"id\":270", "/tokenizer.json: token \"<tool>\": its id is 270, the embedding has 270 rows"},
        {"\"content\":\"<tool>\"", "\"content\":7", "/tokenizer.json: a token's content is a number, not a text"},
        {"\"t h\"", "\"th\"", "/tokenizer.json: line 1: a merge is not two tokens"},
        {"\"t h\"", "[\"t\"]", "/tokenizer.json: line 1: a merge is not two tokens"},
        {"\"t h\"", "[\"t\",1]", "/tokenizer.json: line 1: a merge is not two tokens"},
        {"\"t h\"", "\"tx h\"", "/tokenizer.json: merge \"tx h\": its left part is not in the vocabulary"},
        {"\"t h\"", "\"t h h\"", "/tokenizer.json: merge \"t h h\": its right part is not in the vocabulary"},
        {"\"t h\"", "\"t e\"", "/tokenizer.json: merge \"t e\": what it makes is not in the vocabulary"}};
    static const char *const sentencepiece[][3] = {
        {"\"Prepend\"", "\"Append\"", "/tokenizer.json: normalizer Append is not supported"},
        {"\"Replace\"", "\"Prepend\"", "/tokenizer.json: normalizer Prepend is not supported"},
        {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"Metaspace\"}",
         "/tokenizer.json: pre_tokenizer Metaspace is not supported"},
        {"\"normalizer\":", "\"normalizer\":null,\"x\":",
         "/tokenizer.json: neither the normalizer nor the pre_tokenizer replaces spaces, nor is it a byte-level one"},
        {"\"byte_fallback\":true", "\"byte_fallback\":true,\"ignore_merges\":true",
         "/tokenizer.json: ignore_merges without a byte-level pre_tokenizer is not supported"},
        {"\"byte_fallback\":true", "\"byte_fallback\":false,\"fuse_unk\":false",
         "/tokenizer.json: neither byte_fallback nor fuse_unk is true: that is not supported"},
        {"\"<0x41>\":68", "\"<0x4>\":68", ": tokenizer: 255 byte pieces of 256"}};
    check_tokenizer_refusals(byte_level_json(), byte_level, sizeof byte_level / sizeof *byte_level);
    check_tokenizer_refusals(sentencepiece_json(), sentencepiece, sizeof sentencepiece / sizeof *sentencepiece);
    TEST("ids and names in other files") {
        static const struct {
            const char *file, *text, *config, *want;
        } table[] = {{"tokenizer_config.json", "{\"bos_token\":\"<x>\"}", "{}",
                      "/tokenizer_config.json: bos_token is \"<x>\", which is not in the vocabulary"},
                     {"tokenizer_config.json", "{\"eos_token\":\"<x>\"}", "{}",
                      "/tokenizer_config.json: eos_token is \"<x>\", which is not in the vocabulary"},
                     {"tokenizer_config.json", "{", "{}",
                      "/tokenizer_config.json: line 1, byte 1: the text ends inside an object"},
                     {"generation_config.json", "{\"eos_token_id\":[1,270]}", "{}",
                      "/generation_config.json: eos_token_id is 270, not an id below 270"},
                     {"generation_config.json", "{}", "{\"eos_token_id\":-1}",
                      "/config.json: eos_token_id is -1, not an id below 270"},
                     {"generation_config.json", "{}", "{\"bos_token_id\":1.5}",
                      "/config.json: bos_token_id is 1.5, not an id below 270"}};
        put_text("tokenizer.json", sentencepiece_json());
        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
            put_text(table[i].file, table[i].text);
            CHECK(!open_tokenizer(table[i].config, TOKENS));
            CHECK_TEXT(err.text + strlen(directory), table[i].want);
            remove_file(table[i].file);
        }
    }
    TEST("a tokenizer that is not understood does not stop who needs none") {
        put_text("tokenizer.json", "{}");
        llama_source *s = source_open_hf(directory, NULL, &err);
        if (!CHECK(s != NULL)) exit((puts(err.text), 1));
        CHECK(!s->tokenizer);
        CHECK_TEXT(s->tokenizer_error.text + strlen(directory), "/tokenizer.json: model's type is missing, not BPE");
        s->close(s);
    }
    remove_file("tokenizer.json");
    TEST("no tokenizer") {
        llama_source s = {.config = {.vocab_size = 10}};
        CHECK(!hf_read_tokenizer(&s, directory, NULL, &err) && !s.tokenizer);
    }
}

/* ---- The real thing ---- */

static int rows_of(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *why) {
    llama_source *s = user;
    return s->rows(s, tensor, layer, first, count, out, why);
}

static void test_stories(void) {
    const char *data = getenv("LLAMA_TEST_DATA");
    char hf[300], bin[300];
    snprintf(hf, sizeof hf, "%s/hf-stories260K", data && *data ? data : "../shared/data");
    snprintf(bin, sizeof bin, "%s/stories260K.bin", data && *data ? data : "../shared/data");
    if (!file_is_in(hf, "config.json")) {
        SKIP("stories260K", "no ../shared/data");
        return;
    }
    TEST("stories260K, bit for bit as llama2.c's") {
        llama_source *a = source_open_hf(hf, NULL, &err);
        if (!CHECK(a != NULL)) exit((puts(err.text), 1));
        llama_source *b = source_open_llama2c(bin, &err);
        if (!CHECK(b != NULL)) exit((puts(err.text), 1));
        const llama_config *f = &a->config;
        CHECK(f->seq_len == b->config.seq_len && f->norm_eps == b->config.norm_eps && f->shared_classifier &&
              b->config.shared_classifier);
        CHECK(!memcmp(a->rope_frequencies, b->rope_frequencies, (size_t)f->head_dim / 2 * sizeof(float)));
        float *x = malloc(2 * 512 * 64 * sizeof *x), *y = x + 512 * 64;
        for (int t = TENSOR_FINAL_NORM; t < TENSORS; t++)
            for (int layer = 0; layer < (t < TENSOR_OF_LAYER ? 1 : f->n_layers); layer++) {
                int rows, cols;
                if (!tensor_shape(f, (enum tensor)t, layer, &rows, &cols)) continue;
                CHECK(!a->rows(a, (enum tensor)t, layer, 0, rows, x, &err));
                CHECK(!b->rows(b, (enum tensor)t, layer, 0, rows, y, &err));
                CHECK(!memcmp(x, y, (size_t)rows * (size_t)cols * sizeof *x));
            }
        free(x);
        a->close(a), b->close(b);
    }
}

/* From path to the directory. */
static void copy_file(const char *path, const char *name) {
    size_t size;
    char *data = file_read(path, (size_t)1 << 24, &size, &err);
    if (!data) exit((puts(err.text), 1));
    put_file(name, data, size);
    free(data);
}

static void test_stories_tokenizer(void) {
    const char *data = getenv("LLAMA_TEST_DATA"), *config = "{\"bos_token_id\":1,\"eos_token_id\":2}";
    char path[300];
    snprintf(path, sizeof path, "%s/hf-stories260K", data && *data ? data : "../shared/data");
    if (!file_is_in(path, "tokenizer.json")) {
        SKIP("the tokenizer of stories260K", "no ../shared/data");
        return;
    }
    TEST("the same ids with and without tokenizer.model") {
        static const char *const texts[] = {"Once upon a time, there was a little girl named Lily.", "  a\n\tb  ",
                                            "<s>\xE2\x82\xAC\xFF", ""};
        char file[340], json[16];
        strcpy(json, "tokenizer.json");
        snprintf(file, sizeof file, "%s/%s", path, json);
        copy_file(file, json);
        tokenizer *without = open_tokenizer(config, 512);
        snprintf(file, sizeof file, "%s/tokenizer.model", path);
        copy_file(file, "tokenizer.model");
        tokenizer *with = open_tokenizer(config, 512);
        if (!CHECK(with && without)) exit((puts(err.text), 1));
        CHECK_TEXT(tokenizer_note, "");
        for (int i = 0; i < 4; i++) {
            char ids[400];
            strcpy(ids, ids_of(with, texts[i], TOKENIZER_BOS));
            CHECK_TEXT(ids_of(without, texts[i], TOKENIZER_BOS), ids);
        }
        tokenizer_free(with), tokenizer_free(without);
    }
    TEST("tokenizer.model and tokenizer.json that differ: the richer one") {
        char file[340];
        size_t size;
        snprintf(file, sizeof file, "%s/tokenizer.json", path);
        char *json = file_read(file, 1 << 20, &size, &err);
        if (!json) exit((puts(err.text), 1));
        char *text = malloc(size + 1);
        memcpy(text, json, size), text[size] = 0;
        char *more = replace(text, "\"vocab\": {", "\"vocab\": {\"hers\":512,");
        char *made = replace(more, "\"merges\": [", "\"merges\": [\"her s\",");
        put_text("tokenizer.json", made);
        tokenizer *t = open_tokenizer(config, 513);
        CHECK_TEXT(tokenizer_note, "tokenizer.json is taken, since tokenizer.model lacks 1 of its pieces");
        CHECK(t && tokenizer_find(t, "hers", 4) == 512);
        tokenizer_free(t);
        char *other = replace(text, "\"<0x00>\"", "\"<00>\"");
        put_text("tokenizer.json", other);
        CHECK(!open_tokenizer(config, 512)); /* and is none */
        put_text("tokenizer.model", "\n");
        put_text("tokenizer.json", text);
        t = open_tokenizer(config, 512);
        CHECK(t && strstr(tokenizer_note, "tokenizer.json is taken, since ") &&
              strstr(tokenizer_note, "tokenizer.model: "));
        tokenizer_free(t);
        snprintf(file, sizeof file, "%s/tokenizer.model", path);
        copy_file(file, "tokenizer.model");
        free(json), free(text), free(more), free(made), free(other);
    }
    TEST("tokens added to tokenizer.model, in a tokenizer.json that has nothing else") {
        static const char added[] = "{\"added_tokens\":[{\"id\":1,\"content\":\"<s>\",\"special\":true},{\"id\":513,"
                                    "\"content\":\"<|im_end|>\",\"special\":true}],"
                                    "\"model\":{\"type\":\"BPE\",\"byte_fallback\":true}}";
        put_text("tokenizer.json", added);
        tokenizer *t = open_tokenizer(config, 520);
        if (!CHECK(t != NULL)) exit((puts(err.text), 1));
        CHECK_TEXT(ids_of(t, "<|im_end|>", TOKENIZER_SPECIAL), "513");
        tokenizer_free(t);
        remove_file("tokenizer.json");
    }
    TEST("tokens added to tokenizer.model") {
        remove_file("tokenizer.json");
        put_text("added_tokens.json", "{\"<|im_end|>\":513,\"<x>\":512,\"<y>\":514}");
        put_text("special_tokens_map.json", "{\"additional_special_tokens\":[\"<y>\"]}");
        put_text("tokenizer_config.json",
                 "{\"eos_token\":\"<|im_end|>\",\"added_tokens_decoder\":{\"515\":{\"content\":"
                 "\"<z>\",\"lstrip\":true,\"special\":false},\"1\":{\"content\":\"<s>\",\"special\":true}}}");
        tokenizer *t = open_tokenizer(config, 520);
        if (!CHECK(t != NULL)) exit((puts(err.text), 1));
        CHECK(tokenizer_vocab_size(t) == 520 && tokenizer_find(t, "<|im_end|>", 10) == 513 &&
              tokenizer_is_end(t, 513) && tokenizer_is_end(t, 2));
        CHECK_TEXT(ids_of(t, "<|im_end|><y>", TOKENIZER_SPECIAL), "513 514");
        CHECK_TEXT(ids_of(t, "<x> <z>", 0), "512 515");
        CHECK(!strstr(ids_of(t, "<|im_end|><y>", 0), "51"));
        tokenizer_free(t);
        put_text("added_tokens.json", "{\"<x>\":1}");
        CHECK(!open_tokenizer(config, 520));
        CHECK_TEXT(err.text + strlen(directory), "/added_tokens.json: added token \"<x>\": its id is another's too");
        remove_file("added_tokens.json"), remove_file("special_tokens_map.json");
        put_text("tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{\"content\":\"<z>\"}}}");
        CHECK(!open_tokenizer(config, 520));
        CHECK_TEXT(err.text + strlen(directory), "/tokenizer_config.json: added_tokens_decoder \"x\": that is no id");
        remove_file("tokenizer_config.json");
        CHECK(!open_tokenizer(config, 511));
        CHECK_TEXT(err.text + strlen(directory), "/tokenizer.model: 512 pieces, the embedding has 511 rows");
        t = open_tokenizer(config, 512);
        CHECK(t != NULL);
        CHECK_TEXT(t ? ids_of(t, " there", 0) : "", "410 383");
        tokenizer_free(t);
        put_text("tokenizer_config.json", "{\"legacy\":false}");
        t = open_tokenizer(config, 512);
        CHECK_TEXT(t ? ids_of(t, " there", 0) : "", "383");
        tokenizer_free(t);
        for (int legacy = 0; legacy < 2; legacy++) {
            put_text("tokenizer_config.json",
                     legacy ? "{\"add_prefix_space\":false}" : "{\"legacy\":false,\"add_prefix_space\":false}");
            t = open_tokenizer(config, 512);
            CHECK_TEXT(t ? ids_of(t, "there", 0) : "", "413 260 276");
            CHECK_TEXT(t ? ids_of(t, " there", 0) : "", "383");
            tokenizer_free(t);
        }
        remove_file("tokenizer_config.json");
    }
    remove_file("tokenizer.model"), remove_file("tokenizer.json");
}

/* The logits of a converted model against those of an independent implementation. */
static void test_golden(void) {
    static const int ids[] = {280, 5, 17, 203, 44, 91, 120, 7, 66, 31, 250, 12};
    const char *data = getenv("LLAMA_TEST_DATA");
    char path[300], line[200];
    snprintf(path, sizeof path, "%s/GOLDEN.txt", data && *data ? data : "../shared/data");
    FILE *golden = fopen(path, "r");
    if (!golden) {
        SKIP("logits of hf-llama3-tiny", "no ../shared/data");
        return;
    }
    TEST("logits of hf-llama3-tiny") {
        snprintf(path, sizeof path, "%s/hf-llama3-tiny", data && *data ? data : "../shared/data");
        llama_source *s = source_open_hf(path, NULL, &err);
        if (!CHECK(s != NULL)) exit((puts(err.text), 1));
        writer_input in = {.config = s->config,
                           .rope_frequencies = s->rope_frequencies,
                           .type = writer_type("f32"),
                           .tokenizer = s->tokenizer,
                           .tokenizer_size = s->tokenizer_size,
                           .rows = rows_of,
                           .user = s};
        void *bytes;
        size_t size;
        if (!CHECK(!writer_build(&in, &bytes, &size, NULL, &err))) exit((puts(err.text), 1));
        llama_model *m = llama_load_memory(bytes, size, NULL, &err);
        if (!CHECK(m != NULL)) exit((puts(err.text), 1));
        llama_options options = {.n_ctx = 64};
        llama_context *c = llama_context_create(m, &options, &err);
        const float *logits = c ? llama_forward(c, ids, sizeof ids / sizeof *ids, &err) : NULL;
        if (!CHECK(logits != NULL)) exit((puts(err.text), 1));
        int id, n = -1;
        float want;
        while (fgets(line, sizeof line, golden) && n < 10) {
            if (!strncmp(line, "hf-llama3-tiny logits", 21)) n = 0;
            else if (n >= 0 && CHECK(sscanf(line, "%d %f", &id, &want) == 2 && id < s->config.vocab_size))
                n++, CHECK_NEAR(logits[id], want, 1e-3);
        }
        CHECK(n == 10);
        llama_context_free(c), llama_free(m), free(bytes);
        s->close(s);
    }
    fclose(golden);
}

/* ---- What the inputs share ---- */

static void test_shared(void) {
    TEST("the byte alphabet is GPT-2's") {
        int next = 256, bad = 0;
        for (int b = 0; b < 256; b++) {
            const int shown = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174, c = shown ? b : next++;
            char text[2] = {(char)(c < 128 ? c : 0xC0 | c >> 6), (char)(0x80 | (c & 63))};
            bad += vocabulary_decode_bytes(text, c < 128 ? 1 : 2, text) != 1 || (unsigned char)*text != b;
        }
        CHECK(!bad && next == 256 + 68);
        char out[16];
        CHECK(vocabulary_decode_bytes("\xC4\xA0the", 5, out) == 4 && !memcmp(out, " the", 4));
        CHECK(vocabulary_decode_bytes("a b", 3, out) == -1 && vocabulary_decode_bytes("\xC5\x84", 2, out) == -1);
        CHECK(vocabulary_decode_bytes("\xC4", 1, out) == -1 && vocabulary_decode_bytes("\xE2\x96\x81", 3, out) == -1);
        CHECK(vocabulary_decode_bytes("\x7F", 1, out) == -1 && vocabulary_decode_bytes("\xC2\xAD", 2, out) == -1 &&
              vocabulary_decode_bytes("", 0, out) == 0);
    }
}

int main(void) {
    if (!mkdtemp(directory)) return perror(directory), 1;
    test_shared();
    test_weights();
    test_rope();
    test_config();
    test_header();
    test_files();
    test_damaged();
    test_byte_level();
    test_patterns();
    test_marks();
    test_sentencepiece();
    test_tokenizer_refusals();
    test_golden();
    test_stories();
    test_stories_tokenizer();
    remove_file("config.json"), remove_file("model.safetensors");
    rmdir(directory);
    return test_end();
}
