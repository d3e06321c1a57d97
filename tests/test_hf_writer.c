/* test_hf_writer.c - models of ours as Hugging Face directories, and those read again: the same configuration, the same
 * weights, the same ids; whatever fails leaves nothing behind.
 *
 * Small models of each family are made here. Those of ../shared/data/families, if they are there, go the whole way:
 * directory, .llama, directory.
 */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */

#include "../tools/formats/hf_writer.h"
#include "../tools/formats/json.h"
#include "../tools/formats/rope.h"
#include "../tools/formats/source.h"
#include "../tools/shared/files.h"
#include "../tools/shared/inside.h"
#include "../tools/shared/numbers.h"
#include "test.h"

#include "checkpoint.c"
#include "models.c"
#include "reference.c"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static char root[] = "tests/bin/hf-writer-XXXXXX";
static llama_error err;
static export_report report;

static const char *path_of(const char *name) {
    static char path[4][300];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", root, name);
    return path[turn];
}

static int remove_file(void *directory, const char *name) {
    char path[700];
    snprintf(path, sizeof path, "%s/%s", (const char *)directory, name);
    remove(path);
    return 0;
}

static void remove_directory(const char *path) {
    char copy[300];
    snprintf(copy, sizeof copy, "%s", path);
    directory_each(path, remove_file, copy, NULL);
    directory_remove(path);
}

static int count_name(void *n, const char *name) {
    (void)name;
    ++*(int *)n;
    return 0;
}

static int names_in(const char *path) {
    int n = 0;
    return directory_each(path, count_name, &n, NULL) ? -1 : n;
}

static void put_text(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    if (!file || fputs(text, file) < 0 || fclose(file)) exit((perror(path), 1));
}

/* ---- Comparing ---- */

typedef struct { /* a loaded model and what it lies in */
    void *data;
    size_t size;
    llama_model *m;
    tokenizer *t; /* NULL: none */
} loaded;

static int source_rows(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *why) {
    llama_source *s = user;
    return s->rows(s, tensor, layer, first, count, out, why);
}

static void begin(loaded *l) {
    size_t size;
    l->m = llama_load_memory(l->data, l->size, NULL, &err);
    if (!CHECK(l->m != NULL)) exit((puts(err.text), 1));
    const void *flat = llama_get_tokenizer(l->m, &size);
    l->t = flat ? tokenizer_load_memory(flat, size, 0, NULL, NULL) : NULL;
}

static loaded of_source(llama_source *s, int type) {
    const writer_input in = {.config = s->config,
                             .rope_frequencies = s->rope_frequencies,
                             .rope_amplitudes = s->rope_amplitudes,
                             .type = type,
                             .tokenizer = s->tokenizer,
                             .tokenizer_size = s->tokenizer_size,
                             .rows = source_rows,
                             .user = s};
    loaded l = {NULL, 0, NULL, NULL};
    if (writer_build(&in, &l.data, &l.size, NULL, &err)) exit((puts(err.text), 1));
    begin(&l);
    return l;
}

static loaded of_model(const model *made) {
    const file f = model_file(made, NULL);
    loaded l = {f.bytes, f.size, NULL, NULL};
    begin(&l);
    return l;
}

static loaded of_directory(const char *path) {
    llama_source *s = source_open_hf(path, NULL, &err);
    if (!CHECK(s != NULL)) exit((puts(err.text), 1));
    loaded l = of_source(s, writer_type("f32"));
    s->close(s);
    return l;
}

static void end(loaded *l) {
    tokenizer_free(l->t);
    llama_free(l->m);
    free(l->data);
}

/* What a value becomes in a type. */
static float as_type(const char *type, float x) {
    return !strcmp(type, "f16")    ? float_of_f16(inside_to_f16(x))
           : !strcmp(type, "bf16") ? float_of_bf16(inside_to_bf16(x))
                                   : x;
}

/* How many numbers of all tensors are others, bit by bit; of matrices in a type. */
static int other_weights(const loaded *a, const loaded *b, const char *type) {
    const llama_config *f = llama_get_config(a->m);
    int n = 0;
    for (int id = 0; id < TENSORS; id++)
        for (int l = 0, rows, cols, again; l < (id < TENSOR_OF_LAYER ? 1 : f->n_layers); l++) {
            const int has = tensor_shape(f, (enum tensor)id, l, &rows, &cols);
            if (tensor_shape(llama_get_config(b->m), (enum tensor)id, l, &again, &(int){0}) != has) return -1;
            float *x = xmalloc(2 * (size_t)cols * sizeof *x), *y = x + cols;
            for (int row = 0; row < rows; row++) {
                inside_rows(a->m, (enum tensor)id, l, row, 1, x);
                inside_rows(b->m, (enum tensor)id, l, row, 1, y);
                for (int i = 0; i < cols; i++) {
                    const float want = tensor_is_vector((enum tensor)id) ? x[i] : as_type(type, x[i]);
                    n += bits_of_float(want) != bits_of_float(y[i]);
                }
            }
            free(x);
        }
    return n;
}

/* A configuration as a line; layers too. */
static const char *described(const llama_model *m, char *text, size_t size) {
    const llama_config *f = llama_get_config(m);
    size_t n = (size_t)snprintf(
        text, size,
        "%s %d %d %d %d %d %d %d %d tied %d eps %.9g theta %.9g extras %d scales %.9g %.9g %.9g %.9g experts "
        "%d %d %d ropes %d %d:",
        f->architecture, f->dim, f->hidden_dim, f->n_layers, f->n_heads, f->n_kv_heads, f->head_dim, f->vocab_size,
        f->seq_len, f->shared_classifier, (double)f->norm_eps, (double)f->rope_theta, f->extras,
        (double)f->attention_scale, (double)f->embedding_scale, (double)f->score_cap, (double)f->logit_cap,
        f->n_experts, f->n_experts_used, f->expert_dim, f->n_ropes, f->rope_short);
    for (int l = 0; l < f->n_layers && f->layers && n < size; l++)
        n += (size_t)snprintf(text + n, size - n, " %d/%d/%d", f->layers[l].rope, f->layers[l].window,
                              f->layers[l].experts);
    return text;
}

static void check_same(const loaded *a, const loaded *b, const char *type) {
    char text[2][2000];
    CHECK_TEXT(described(b->m, text[1], sizeof text[1]), described(a->m, text[0], sizeof text[0]));
    CHECK(other_weights(a, b, type) == 0);
}

static int export(const loaded *l, const char *name, const char *type, uint64_t shard_bytes) {
    const export_input in = {l->m, l->t, type, NULL, NULL};
    err.text[0] = 0;
    return hf_write_directory(&in, path_of(name), shard_bytes, &report, &err);
}

/* What readers of others look at and ours does not: a file has these words. */
static int says(const char *name, const char *words) {
    size_t size;
    char *text = file_read(path_of(name), (size_t)1 << 24, &size, &err);
    const int found = text && strstr(text, words);
    if (!found) printf("  %s does not say %s\n", name, words);
    free(text);
    return found;
}

/* ---- Small models of each family ---- */

enum { DIM = 24, HEAD = 8 };

typedef struct {
    const char *name, *written; /* config.architecture; the class that is written */
    llama_config add;           /* what is not plain */
    llama_layer_kind kinds[4];
} kind_of_model;

#define BIASES (LLAMA_QKV_BIAS | LLAMA_O_BIAS)
#define GEMMA .shared_classifier = 1, .attention_scale = 0.25f, .embedding_scale = 4.89897949f

static const kind_of_model kinds[] = {
    {"llama", "LlamaForCausalLM", {.norm_eps = 1e-5f}, {{0, 0, 0}}},
    {"", "LlamaForCausalLM", {.shared_classifier = 1}, {{0, 0, 0}}},
    {"llama", "LlamaForCausalLM", {.extras = BIASES}, {{0, 0, 0}}},
    {"llama", "Qwen2ForCausalLM", {.extras = LLAMA_QKV_BIAS}, {{0, 0, 0}}},
    {"unheard of", "Qwen3ForCausalLM", {.extras = LLAMA_HEAD_NORM}, {{0, 0, 0}}},
    {"llama", "MistralForCausalLM", {.n_ropes = 1}, {{0, 9, 0}, {0, 9, 0}, {0, 9, 0}, {0, 9, 0}}},
    {"llama",
     "MixtralForCausalLM",
     {.extras = LLAMA_RENORMALISE, .n_experts = 3, .n_experts_used = 2, .expert_dim = 10, .hidden_dim = 10},
     {{0, 0, 1}, {0, 0, 1}, {0, 0, 1}, {0, 0, 1}}},
    {"qwen2", "Qwen2ForCausalLM", {.extras = LLAMA_QKV_BIAS}, {{0, 0, 0}, {0, 0, 0}, {0, 7, 0}, {0, 7, 0}}},
    {"qwen3", "Qwen3ForCausalLM", {.extras = LLAMA_HEAD_NORM | BIASES}, {{0, 0, 0}}},
    {"qwen3moe",
     "Qwen3MoeForCausalLM",
     {.extras = LLAMA_HEAD_NORM, .n_experts = 3, .n_experts_used = 1, .expert_dim = 10},
     {{0, 0, 1}, {0, 0, 0}, {0, 0, 1}, {0, 0, 1}}},
    {"gemma2",
     "Gemma2ForCausalLM",
     {.extras = LLAMA_POST_NORM | LLAMA_GELU, .score_cap = 50, .logit_cap = 30, GEMMA},
     {{0, 9, 0}, {0, 0, 0}, {0, 9, 0}, {0, 0, 0}}},
    {"gemma3",
     "Gemma3ForCausalLM",
     {.extras = LLAMA_POST_NORM | LLAMA_GELU | LLAMA_HEAD_NORM, .n_ropes = 2, GEMMA},
     {{1, 9, 0}, {0, 0, 0}, {1, 9, 0}, {1, 9, 0}}},
    {"phi3", "Phi3ForCausalLM", {.n_ropes = 1}, {{0, 9, 0}, {0, 9, 0}, {0, 9, 0}, {0, 9, 0}}},
    {"phi3", "Phi3ForCausalLM", {.rope_short = 16, .extras = LLAMA_ROPE_AMPLITUDES}, {{0, 0, 0}}},
    {"granite", "GraniteForCausalLM", {.attention_scale = 0.015625f, .embedding_scale = 54.5454559f}, {{0, 0, 0}}},
    {"minicpm", "MiniCPMForCausalLM", {.embedding_scale = 8.57142925f, .n_heads = 3, .n_kv_heads = 3}, {{0, 0, 0}}},
    {"internlm2",
     "InternLM2ForCausalLM",
     {.extras = BIASES, .n_heads = 6, .n_kv_heads = 2, .head_dim = 4},
     {{0, 0, 0}}},
    {"olmo2", "Olmo2ForCausalLM", {.extras = LLAMA_WIDE_NORM | LLAMA_POST_NORM | LLAMA_NO_PRE_NORM}, {{0, 0, 0}}},
    {"smollm3", "SmolLM3ForCausalLM", {.n_ropes = 2}, {{0, 0, 0}, {1, 0, 0}, {0, 0, 0}, {0, 0, 0}}},
};

/* The tables that files can say: plain ones of two bases, or, of smollm3, one that turns nothing. */
static void set_tables(model *made) {
    llama_config *f = &made->in.config;
    float *t = made->weights[TENSOR_ROPE][0], *a = made->weights[TENSOR_ROPE_AMPLITUDES][0];
    const int pairs = f->head_dim / 2, nope = !strcmp(f->architecture, "smollm3");
    const float factors[] = {1, 1.5f, 2.25f, 3.3f};
    for (int i = 0; i < f->n_ropes * (f->rope_short ? 2 : 1); i++) {
        rope_rule rule = {.theta = i ? 1e4 : (double)f->rope_theta, .turning = i && nope ? 0 : f->head_dim};
        if (f->rope_short) rule.kind = ROPE_FACTORS, rule.factors = factors, rule.theta = (double)f->rope_theta;
        rule.amplitude = f->rope_short ? 1.25 : 1;
        rope_table(&rule, f->head_dim, t + i * pairs, a ? a + i * pairs : NULL);
    }
}

static model *make(const kind_of_model *kind, int type) {
    llama_config f = {.dim = DIM,
                      .hidden_dim = 20,
                      .n_layers = 4,
                      .n_heads = 6,
                      .n_kv_heads = 2,
                      .head_dim = HEAD,
                      .vocab_size = 30,
                      .seq_len = 64,
                      .norm_eps = 1e-6f,
                      .rope_theta = 50000,
                      .n_ropes = 1};
    const llama_config *add = &kind->add;
    snprintf(f.architecture, sizeof f.architecture, "%s", kind->name);
    f.extras = add->extras, f.shared_classifier = add->shared_classifier, f.rope_short = add->rope_short;
    f.attention_scale = add->attention_scale, f.embedding_scale = add->embedding_scale;
    f.score_cap = add->score_cap, f.logit_cap = add->logit_cap;
    f.n_experts = add->n_experts, f.n_experts_used = add->n_experts_used, f.expert_dim = add->expert_dim;
    if (add->norm_eps > 0) f.norm_eps = add->norm_eps;
    if (add->n_heads) f.n_heads = add->n_heads, f.n_kv_heads = add->n_kv_heads;
    if (add->head_dim) f.head_dim = add->head_dim;
    if (add->hidden_dim) f.hidden_dim = add->hidden_dim;
    if (add->n_ropes) f.n_ropes = add->n_ropes;
    f.layers = kind->kinds;
    model *made = model_make(&f, type, 1);
    set_tables(made);
    return made;
}

/* Values as a file of this family has them, so that 1 added to a weight of a norm is no rounding. */
static void settle_norms(model *made) {
    for (int id = TENSOR_FINAL_NORM; id < TENSOR_WQ; id++)
        for (int l = 0, rows, cols; l < (id < TENSOR_OF_LAYER ? 1 : made->in.config.n_layers); l++) {
            if (!tensor_is_vector((enum tensor)id)) continue;
            if (!tensor_shape(&made->in.config, (enum tensor)id, l, &rows, &cols)) continue;
            for (int i = 0; i < cols; i++)
                made->weights[id][l][i] = float_of_bf16(inside_to_bf16(made->weights[id][l][i]));
        }
}

static void test_kinds(void) {
    static const char *const types[] = {"f32", "f16", "bf16"};
    static const char *const dtypes[] = {"\"torch_dtype\": \"float32\"", "\"torch_dtype\": \"float16\"",
                                         "\"torch_dtype\": \"bfloat16\""};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        TEST(kinds[i].written) {
            model *made = make(&kinds[i], writer_type("f32"));
            settle_norms(made);
            if (!strcmp(kinds[i].name, "") || !strcmp(kinds[i].written, "Qwen2ForCausalLM") ||
                !strcmp(kinds[i].name, "unheard of")) /* what is written is what will be remembered */
                snprintf(made->in.config.architecture, sizeof made->in.config.architecture, "%s",
                         strstr(kinds[i].written, "Llama")   ? "llama"
                         : strstr(kinds[i].written, "Qwen2") ? "qwen2"
                                                             : "qwen3");
            loaded want = of_model(made);
            for (int type = 0; type < 3; type++) {
                if (!CHECK(export(&want, "out", types[type], HF_SHARD_BYTES) == 0)) puts(err.text);
                CHECK_TEXT(report.architecture, kinds[i].written);
                loaded got = of_directory(path_of("out"));
                check_same(&want, &got, types[type]);
                end(&got);
                CHECK(says("out/config.json", dtypes[type]));
                if (!strcmp(kinds[i].name, "qwen2")) CHECK(says("out/config.json", "\"max_window_layers\": 2"));
                if (!strcmp(kinds[i].name, "gemma2")) CHECK(says("out/config.json", "\"sliding_window_pattern\": 2"));
                CHECK(names_in(path_of("out")) == 2 && names_in(root) == 1);
            }
            remove_directory(path_of("out"));
            end(&want);
            model_free(made);
        }
    }
}

/* One that no family remembers, or can say. */
static void test_fallback(void) {
    TEST("a model that forgot what it was") {
        for (int i = 1; i < 5; i++) {
            model *made = make(&kinds[i], writer_type("f32"));
            loaded l = of_model(made);
            CHECK(export(&l, "out", "f32", HF_SHARD_BYTES) == 0);
            CHECK_TEXT(report.architecture, kinds[i].written);
            CHECK(strstr(report.note, "without a tokenizer") != NULL);
            end(&l);
            model_free(made);
        }
        remove_directory(path_of("out"));
    }
    static const struct {
        llama_config add;
        llama_layer_kind kinds[4];
        float table;
        const char *why;
    } bad[] = {
        {{.extras = LLAMA_O_BIAS}, {{0, 0, 0}}, 0, "LlamaForCausalLM differs in biases of queries, keys and values"},
        {{.extras = LLAMA_GELU}, {{0, 0, 0}}, 0, "LlamaForCausalLM differs in the activation"},
        {{.score_cap = 3}, {{0, 0, 0}}, 0, "LlamaForCausalLM differs in caps of scores and logits"},
        {{.embedding_scale = 2, .extras = LLAMA_HEAD_NORM},
         {{0, 0, 0}},
         0,
         "LlamaForCausalLM differs in norms of each head"},
        {{.n_ropes = 1}, {{0, 8, 0}, {0, 7, 0}}, 0, "LlamaForCausalLM differs in windows as these layers have them"},
        {{.n_ropes = 1}, {{0, 0, 0}}, 1.5f, "LlamaForCausalLM differs in the rotary table"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        TEST(bad[i].why) {
            kind_of_model kind = {.name = "llama", .add = bad[i].add};
            memcpy(kind.kinds, bad[i].kinds, sizeof kind.kinds);
            model *made = make(&kind, writer_type("f32"));
            if (bad[i].table > 0) made->weights[TENSOR_ROPE][0][1] *= bad[i].table;
            loaded l = of_model(made);
            CHECK(export(&l, "out", "f32", HF_SHARD_BYTES) == -1);
            if (!CHECK(strstr(err.text, bad[i].why) && strstr(err.text, root))) puts(err.text);
            CHECK(names_in(root) == 0);
            end(&l);
            model_free(made);
        }
}

/* ---- Rotary tables ---- */

static void test_tables(void) {
    static const struct {
        const char *name, *key;
        rope_rule rule;
    } rules[] = {
        {"theta alone", "\"rope_scaling\": null", {ROPE_PLAIN, 5e5, 64, 0, 0, 0, 0, 0, 0, 0, NULL, 0}},
        {"a theta that is no round number",
         "\"rope_theta\": 123456.7",
         {ROPE_PLAIN, 123456.7, 64, 0, 0, 0, 0, 0, 0, 0, NULL, 0}},
        {"linear", "\"factor\": 2.5", {ROPE_LINEAR, 1e4, 64, 2.5, 0, 0, 0, 0, 0, 0, NULL, 0}},
        {"Llama 3.1",
         "\"original_max_position_embeddings\": 8192",
         {ROPE_LLAMA3, 5e5, 64, 8, 8192, 1, 4, 0, 0, 0, NULL, 0}},
        {"Llama 3.2", "\"factor\": 32.0", {ROPE_LLAMA3, 5e5, 64, 32, 8192, 1, 4, 0, 0, 0, NULL, 0}},
        {"Llama 3 with numbers of its own", "llama3", {ROPE_LLAMA3, 5e5, 64, 6, 5000, 1, 7, 0, 0, 0, NULL, 0}},
        {"YaRN", "\"factor\": 4.0", {ROPE_YARN, 1e6, 64, 4, 32768, 0, 0, 32, 1, 1, NULL, 1.13862944}},
        {"YaRN without whole numbers",
         "\"truncate\": false",
         {ROPE_YARN, 15e4, 64, 32, 4096, 0, 0, 32, 1, 0, NULL, 1.34657359}},
        {"YaRN with an amplitude",
         "\"attention_factor\": 1.5",
         {ROPE_YARN, 1e6, 64, 4, 32768, 0, 0, 32, 1, 1, NULL, 1.5}},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        TEST(rules[i].name) {
            const llama_config f = {.dim = 16,
                                    .hidden_dim = 16,
                                    .n_layers = 1,
                                    .n_heads = 1,
                                    .n_kv_heads = 1,
                                    .head_dim = 64,
                                    .vocab_size = 10,
                                    .seq_len = 131072,
                                    .norm_eps = 1e-6f,
                                    .rope_theta = (float)rules[i].rule.theta,
                                    .n_ropes = 1,
                                    .architecture = "llama",
                                    .extras = rules[i].rule.amplitude > 0 ? LLAMA_ROPE_AMPLITUDES : 0};
            model *made = model_make(&f, writer_type("f32"), 1);
            rope_table(&rules[i].rule, 64, made->weights[TENSOR_ROPE][0], made->weights[TENSOR_ROPE_AMPLITUDES][0]);
            loaded want = of_model(made);
            if (!CHECK(export(&want, "out", NULL, HF_SHARD_BYTES) == 0)) puts(err.text);
            loaded got = of_directory(path_of("out"));
            check_same(&want, &got, "f32");
            size_t size;
            char *text = file_read(path_of("out/config.json"), 10000, &size, &err);
            if (!CHECK(text && strstr(text, rules[i].key) && strstr(text, "\"pad_token_id\": null"))) puts(text);
            free(text);
            remove_directory(path_of("out"));
            end(&got), end(&want);
            model_free(made);
        }
}

/* ---- Types ---- */

static void test_types(void) {
    model *made = make(&kinds[0], writer_type("q8"));
    loaded l = of_model(made);
    TEST("q8 becomes F16") CHECK(!export(&l, "out", NULL, HF_SHARD_BYTES) && !strcmp(report.type, "F16"));
    TEST("no such type") {
        CHECK(export(&l, "out", "q8_0", HF_SHARD_BYTES) == -1);
        CHECK(strstr(err.text, "out: type q8_0: a Hugging Face directory has f32, f16 or bf16"));
    }
    end(&l);
    remove_directory(path_of("out"));
    TEST("or BF16 if it does not fit") {
        for (int i = 0; i < DIM; i++) made->weights[TENSOR_WO][2][i] = 70000;
        l = of_model(made);
        CHECK(!export(&l, "out", NULL, HF_SHARD_BYTES) && !strcmp(report.type, "BF16"));
        remove_directory(path_of("out"));
        CHECK(export(&l, "out", "f16", HF_SHARD_BYTES) == -1 && names_in(root) == 0);
        CHECK(
            strstr(err.text, "model.layers.2.self_attn.o_proj.weight has numbers beyond 65504, which F16 cannot hold"));
        end(&l);
    }
    TEST("vectors that would be rounded are F32, and what is larger comes first") {
        made->weights[TENSOR_ATTENTION_NORM][1][3] = 1.2345678f, made->weights[TENSOR_WO][2][0] = 1;
        l = of_model(made);
        CHECK(!export(&l, "out", "bf16", HF_SHARD_BYTES) &&
              strstr(report.note, "vectors in F32, which BF16 would round"));
        loaded got = of_directory(path_of("out"));
        CHECK(other_weights(&l, &got, "bf16") == 0);
        FILE *file = fopen(path_of("out/model.safetensors"), "rb");
        unsigned char size[8] = {1};
        CHECK(file && fread(size, 1, 8, file) == 8 && get_uint(size, 8) % 8 == 0);
        if (file) fclose(file);
        end(&got), end(&l);
        remove_directory(path_of("out"));
    }
    model_free(made);
}

/* ---- Several files ---- */

static void test_shards(void) {
    model *made = make(&kinds[9], writer_type("f32"));
    loaded want = of_model(made);
    TEST("files of at most so many bytes, and an index") {
        json_text index;
        CHECK(export(&want, "out", "f32", 6000) == 0);
        loaded got = of_directory(path_of("out"));
        check_same(&want, &got, "f32");
        end(&got);
        const int n = names_in(path_of("out"));
        CHECK(n > 8 && file_is_in(path_of("out"), "model.safetensors.index.json"));
        if (CHECK(!json_load(&index, path_of("out/model.safetensors.index.json"), &err))) {
            const json_node *total = json_get(json_get(index.nodes, "metadata"), "total_size");
            CHECK(json_is(total, JSON_NUMBER) && total->number > 6000 && total->number < (double)report.bytes);
            json_free(&index);
        }
    }
    TEST("written again as one file: the others go") {
        CHECK(export(&want, "out", "f32", HF_SHARD_BYTES) == 0);
        CHECK(names_in(path_of("out")) == 2 && file_is_in(path_of("out"), "model.safetensors"));
        loaded got = of_directory(path_of("out"));
        check_same(&want, &got, "f32");
        end(&got);
    }
    remove_directory(path_of("out"));
    end(&want);
    model_free(made);
}

/* ---- What fails leaves nothing ---- */

typedef struct {
    int calls, cancel_at, falls;
    uint64_t last;
} progress;

static int on_progress(void *user, uint64_t done, uint64_t total) {
    progress *p = user;
    p->falls += done < p->last || done > total;
    p->last = done;
    return ++p->calls == p->cancel_at;
}

static void test_cancelled(const loaded *l, const char *type) {
    const export_input plain = {l->m, l->t, type, NULL, NULL};
    TEST("cancelled at any call") {
        int result = -1, n = 0;
        for (int made = 0; made < 2; made++, result = -1)
            for (n = 1; result && n < 1000; n++) {
                progress p = {0, n, 0, 0};
                export_input in = plain;
                in.progress = on_progress, in.user = &p;
                result = hf_write_directory(&in, path_of("out"), 6000, NULL, &err);
                CHECK(p.falls == 0);
                if (!result) break;
                CHECK(err.code == LLAMA_CANCELLED && names_in(root) == made);
                if (made) CHECK(names_in(path_of("out")) == 2);
                if (result && made && n > 40) result = 0; /* long enough */
                if (!made && n == 30) {
                    CHECK(!hf_write_directory(&plain, path_of("out"), HF_SHARD_BYTES, NULL, &err));
                    break;
                }
            }
        CHECK(n > 20);
        remove_directory(path_of("out"));
    }
}

/* Somebody makes the directory in the meantime. */
static int on_late_progress(void *user, uint64_t done, uint64_t total) {
    (void)user;
    if (done < total || is_directory(path_of("out"))) return 0;
    directory_make(path_of("out"), NULL);
    put_text(path_of("out/mine"), "mine");
    return 0;
}

static void test_late(const loaded *l) {
    TEST("a directory that cannot get its name") {
        const export_input in = {l->m, NULL, "f32", on_late_progress, NULL};
        CHECK(hf_write_directory(&in, path_of("out"), 6000, NULL, &err) == -1 && strstr(err.text, "cannot rename"));
        CHECK(names_in(root) == 1 && names_in(path_of("out")) == 1);
        remove_directory(path_of("out"));
    }
}

static void test_full(const loaded *l) {
    TEST("a disk that fills, at any byte") {
        struct rlimit limit, old;
        getrlimit(RLIMIT_FSIZE, &old);
        signal(SIGXFSZ, SIG_IGN);
        for (rlim_t size = 0; size < 100000; size += size < 600 ? 101 : 5003) {
            limit = old;
            limit.rlim_cur = size;
            setrlimit(RLIMIT_FSIZE, &limit);
            const int result = export(l, "out", "f32", HF_SHARD_BYTES);
            setrlimit(RLIMIT_FSIZE, &old);
            if (result) CHECK(*err.text && names_in(root) == 0);
            else CHECK(size > 20000);
            if (!result) remove_directory(path_of("out"));
        }
        signal(SIGXFSZ, SIG_DFL);
    }
}

static void test_refused(const loaded *l) {
    TEST("where no directory can be made") {
        CHECK(export(l, "none/out", "f32", HF_SHARD_BYTES) == -1 && strstr(err.text, "cannot make this directory"));
        put_text(path_of("out"), "text");
        CHECK(export(l, "out", "f32", HF_SHARD_BYTES) == -1 && strstr(err.text, "exists and is no directory"));
        CHECK(names_in(root) == 1);
        remove(path_of("out"));
    }
    TEST("a directory with other files") {
        CHECK(!export(l, "out/", "f32", HF_SHARD_BYTES));
        put_text(path_of("out/notes.txt"), "mine");
        CHECK(export(l, "out", "f32", HF_SHARD_BYTES) == -1 && strstr(err.text, "has the file notes.txt"));
        CHECK(names_in(path_of("out")) == 3);
        remove(path_of("out/notes.txt"));
        put_text(path_of("out/model-1-of-2.safetensors"), "mine"); /* too few digits */
        CHECK(export(l, "out", "f32", HF_SHARD_BYTES) == -1);
        remove(path_of("out/model-1-of-2.safetensors"));
        CHECK(!export(l, "out", "f32", HF_SHARD_BYTES));
        put_text(path_of("out/config.json"), "{}");
        CHECK(export(l, "out", "f32", HF_SHARD_BYTES) == -1 && strstr(err.text, "a model that was not written here"));
        remove(path_of("out/config.json"));
        CHECK(export(l, "out", "f32", HF_SHARD_BYTES) == -1 && strstr(err.text, "has a model.safetensors"));
        remove_directory(path_of("out"));
    }
    TEST("an empty directory, and what an interrupted run left") {
        CHECK(!directory_make(path_of("out"), &err) && !export(l, "out", "f32", HF_SHARD_BYTES));
        remove_directory(path_of("out"));
        CHECK(!directory_make(path_of("out.part"), &err));
        put_text(path_of("out.part/model.safetensors.part"), "half");
        CHECK(!export(l, "out", "f32", HF_SHARD_BYTES) && names_in(root) == 1);
        remove_directory(path_of("out"));
        CHECK(!directory_make(path_of("out.part"), &err));
        put_text(path_of("out.part/mine"), "whole");
        CHECK(export(l, "out", "f32", HF_SHARD_BYTES) == -1 && names_in(path_of("out.part")) == 1);
        remove_directory(path_of("out.part"));
    }
}

/* ---- Tokenizers ---- */

static void test_tokenizer(void) {
    static const char *const texts[] = {
        "a", "Hello, world!  12345", "\xC3\xA9\n\n x", "It is a truth, acknowledged", "<s>", "   "};
    static const char *const words[] = {
        "\"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \"\xE2\x96\x81\"}, {\"type\": \"Replace\", "
        "\"pattern\": {\"String\": \" \"}, \"content\": \"\xE2\x96\x81\"}]}",
        "\"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\": \"\xE2\x96\x81\"}, \"content\": \" "
        "\"}, {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}, "
        "{\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]}",
        "\"unk_token\": \"<unk>\"", "\"fuse_unk\": true,\n    \"byte_fallback\": true,\n    \"ignore_merges\": false",
        "{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 1}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}]"};
    TEST("austen.llama, there and back") {
        loaded a = {NULL, 0, NULL, NULL};
        a.data = file_read("tools/model/austen.llama", (size_t)1 << 30, &a.size, &err);
        if (!CHECK(a.data != NULL)) return;
        begin(&a);
        CHECK(!export(&a, "out", "bf16", HF_SHARD_BYTES) && names_in(path_of("out")) == 5);
        loaded b = of_directory(path_of("out"));
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            int x[200], y[200];
            const ptrdiff_t n = tokenizer_encode(a.t, texts[i], strlen(texts[i]), TOKENIZER_BOS, x, 200, NULL);
            CHECK(n == tokenizer_encode(b.t, texts[i], strlen(texts[i]), TOKENIZER_BOS, y, 200, NULL));
            CHECK(n > 0 && !memcmp(x, y, (size_t)n * sizeof *x));
        }
        CHECK(tokenizer_template(a.t) == tokenizer_template(b.t));
        end(&b), end(&a);
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) CHECK(says("out/tokenizer.json", words[i]));
        CHECK(says("out/tokenizer_config.json", "\"bos_token\": \"<s>\",\n  \"eos_token\": \"</s>\",\n  "
                                                "\"unk_token\": \"<unk>\",\n  \"add_bos_token\": true"));
        CHECK(says("out/tokenizer_config.json", "\"model_max_length\": 256"));
        remove_directory(path_of("out"));
    }
}

/* Pieces of all types with all flags, at ids that the library would not give them, and one id that is nobody's. */
static tokenizer *make_tokenizer(int outside) {
    static char bytes[256];
    tokenizer_piece pieces[264];
    const int flags = TOKENIZER_SEGMENT | (outside ? TOKENIZER_ADDED : 0), n = outside ? 262 : 264;
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        pieces[i] = (tokenizer_piece){bytes + i, 1, 0, TOKENIZER_NORMAL, 0};
    }
    pieces[256] = (tokenizer_piece){"ab", 2, 0, TOKENIZER_NORMAL, 0};
    pieces[257] = (tokenizer_piece){"<s>", 3, 0, TOKENIZER_CONTROL, TOKENIZER_LSTRIP};
    pieces[258] = (tokenizer_piece){"</s>", 4, 0, TOKENIZER_CONTROL, TOKENIZER_RSTRIP | TOKENIZER_NORMALIZED};
    pieces[259] = (tokenizer_piece){"one", 3, 0, TOKENIZER_USER_DEFINED, flags | TOKENIZER_SINGLE_WORD};
    pieces[260] = (tokenizer_piece){"\xC3\xA9t\"", 4, 0, TOKENIZER_USER_DEFINED, flags | TOKENIZER_NORMALIZED};
    pieces[261] = (tokenizer_piece){"two", 3, 0, TOKENIZER_USER_DEFINED, flags | TOKENIZER_RSTRIP};
    pieces[262] = (tokenizer_piece){"", 0, 0, TOKENIZER_UNUSED, 0};
    pieces[263] = (tokenizer_piece){"abab", 4, 0, TOKENIZER_NORMAL, 0};
    static const int merges[][2] = {{'a', 'b'}, {256, 256}}, end_ids[] = {258, 257};
    const tokenizer_parts parts = {.kind = TOKENIZER_BYTE_LEVEL,
                                   .pieces = pieces,
                                   .n_pieces = n,
                                   .merges = merges,
                                   .n_merges = outside ? 1 : 2,
                                   .bos = 257,
                                   .add_bos = 1,
                                   .ends = end_ids,
                                   .n_ends = 2,
                                   .split = TOKENIZER_SPLIT_STARCODER,
                                   .nfc = 1,
                                   .ignore_merges = 1};
    return tokenizer_create(&parts, NULL, NULL);
}

static void test_flags(void) {
    llama_config f = {.dim = 16,
                      .hidden_dim = 16,
                      .n_layers = 1,
                      .n_heads = 2,
                      .n_kv_heads = 2,
                      .head_dim = 8,
                      .vocab_size = 264,
                      .seq_len = 64,
                      .norm_eps = 1e-6f,
                      .rope_theta = 50000,
                      .n_ropes = 1};
    model *made = model_make(&f, writer_type("f32"), 1);
    set_tables(made);
    loaded a = of_model(made);
    for (int outside = 0; outside < 2; outside++)
        TEST(outside ? "flags of added tokens, outside of the vocabulary" : "flags of added tokens, inside of it") {
            a.t = make_tokenizer(outside);
            if (!CHECK(a.t && !export(&a, "out", "f32", HF_SHARD_BYTES))) exit((puts(err.text), 1));
            loaded b = of_directory(path_of("out"));
            for (int id = 0; CHECK(b.t) && id < tokenizer_vocab_size(a.t); id++) {
                tokenizer_piece x, y;
                tokenizer_get_piece(a.t, id, &x), tokenizer_get_piece(b.t, id, &y);
                CHECK(x.size == y.size && !memcmp(x.text, y.text, x.size) && x.type == y.type && x.flags == y.flags);
            }
            tokenizer_parts x, y;
            tokenizer_get_parts(a.t, &x), tokenizer_get_parts(b.t, &y);
            CHECK(x.n_merges == y.n_merges && x.bos == y.bos && x.add_bos == y.add_bos && y.n_ends == 2 &&
                  y.ends[0] == 258 && y.ends[1] == 257 && x.split == y.split && y.nfc && y.ignore_merges);
            end(&b);
            tokenizer_free(a.t), a.t = NULL;
            remove_directory(path_of("out"));
        }
    end(&a);
    model_free(made);
}

/* ---- ../shared/data/families ---- */

static int read_ids(const json_node *array, int *out, int most) {
    int n = 0;
    JSON_EACH(id, array)
        if (n < most) out[n++] = (int)id->number;
    return n;
}

/* How many of the lines have other ids. */
static int other_ids(const tokenizer *t, const char *path) {
    size_t size;
    char *all = file_read(path, (size_t)1 << 24, &size, &err);
    int wrong = all ? 0 : -1;
    for (char *line = all, *next; line && *line; line = next) {
        static int want[5000], got[5000];
        json_text j;
        next = strchr(line, '\n');
        const size_t n = next ? (size_t)(next++ - line) : strlen(line);
        if (!n || json_parse(&j, line, n, path, &err)) break;
        const json_node *text = json_get(j.nodes, "text");
        const int n_want = read_ids(json_get(j.nodes, "ids"), want, 5000);
        const ptrdiff_t n_got = tokenizer_encode(t, text->text, text->size, TOKENIZER_BOS, got, 5000, NULL);
        wrong += n_got != n_want || memcmp(got, want, (size_t)n_want * sizeof *got);
        json_free(&j);
    }
    free(all);
    return wrong;
}

/* The logits that the reference gives. */
static void check_golden(const llama_model *m, const char *path) {
    static int ids[4096];
    json_text j;
    if (!CHECK(!json_load(&j, path, &err))) return;
    const int n = read_ids(json_get(j.nodes, "ids"), ids, 4096);
    const llama_options o = {.n_ctx = n, .n_threads = 1};
    llama_context *c = llama_context_create(m, &o, &err);
    const float *logits = c ? llama_forward(c, ids, n, &err) : NULL;
    const json_node *last = json_get(j.nodes, "last_logits");
    if (CHECK(logits && last && last->size > 0))
        JSON_EACH(id, last) CHECK_NEAR((double)logits[atoi(id->text)], id[1].number, 1e-4);
    llama_context_free(c);
    json_free(&j);
}

static void check_family(const char *path) {
    char file[400];
    loaded a = of_directory(path);
    if (!CHECK(export(&a, "out", "f32", HF_SHARD_BYTES) == 0)) puts(err.text);
    loaded b = of_directory(path_of("out"));
    check_same(&a, &b, "f32");
    snprintf(file, sizeof file, "%s/tokens.jsonl", path);
    CHECK(b.t && other_ids(b.t, file) == 0);
    snprintf(file, sizeof file, "%s/golden.json", path);
    check_golden(b.m, file);
    if (a.t && b.t) CHECK(tokenizer_template(a.t) == tokenizer_template(b.t));
    end(&b);
    CHECK(export(&a, "out", NULL, HF_SHARD_BYTES) == 0); /* over what is there */
    CHECK(export(&a, "out", "bf16", HF_SHARD_BYTES) == 0);
    end(&a);
    remove_directory(path_of("out"));
}

static void test_families(void) {
    static const char *const names[] = {
        "gemma2",    "gemma3",  "gemma3-mm",  "granite", "granite-untied", "internlm2", "llama-null",
        "llama-v5",  "minicpm", "mistral-sw", "mixtral", "olmo2",          "phi3",      "phi3-4k",
        "phi4-mini", "qwen2",   "qwen2-yarn", "qwen3",   "qwen3_moe",      "smollm3",   "smollm3-irregular"};
    const char *data = getenv("LLAMA_TEST_DATA");
    char path[300];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/families/%s", data && *data ? data : "../shared/data", names[i]);
        if (!file_is_in(path, "config.json")) {
            SKIP(names[i], "no ../shared/data/families");
            continue;
        }
        TEST(names[i]) check_family(path);
    }
}

int main(void) {
    if (!mkdtemp(root)) return perror(root), 1;
    writer_threads(1);
    test_kinds();
    test_fallback();
    test_tables();
    test_types();
    test_shards();
    model *made = make(&kinds[0], writer_type("f32")), *small = make(&kinds[0], writer_type("q8"));
    loaded l = of_model(made), q = of_model(small);
    test_cancelled(&l, "f32");
    test_cancelled(&q, NULL);
    test_late(&l);
    test_full(&l);
    test_refused(&l);
    end(&q), end(&l);
    model_free(small), model_free(made);
    test_tokenizer();
    test_flags();
    test_families();
    rmdir(root);
    return test_end();
}
