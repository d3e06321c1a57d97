/* test_gguf_writer.c - models of ours as GGUF files, read back: the same weights, by the formulas of each type, the
 * same rotation, tokens and logits; what GGUF cannot say, and all that can go wrong.
 *
 * The checkpoints of ../shared/data/families (or LLAMA_TEST_DATA's), if they are there, go all the way: from Hugging
 * Face to .llama, to GGUF and back. To see allocations fail, the writer's own files are included. */
#define _POSIX_C_SOURCE 200809L
#include "../tools/formats/json.h"
#include "../tools/formats/rope.h"
#include "../tools/shared/files.h"
#include "../tools/shared/inside.h"
#include "../tools/shared/numbers.h"
#include "test.h"

#include <errno.h>
#include <inttypes.h>

#include "checkpoint.c"
#include "models.c"
#include "rebuilt.h"
#include "reference.c"

#if defined(__unix__) || defined(__APPLE__)
#define HAVE_POSIX
#include <unistd.h>
#endif

/* Allocation number fail_at, from 1 on, fails. */
static long allocations, fail_at;
static void *counted_malloc(size_t size) { return ++allocations == fail_at ? NULL : malloc(size); }

#define malloc(size) counted_malloc(size)
#include "../tools/formats/gguf_metadata.c"
#include "../tools/formats/gguf_plan.c"
#include "../tools/formats/gguf_writer.c"
#undef malloc

static llama_error err;
static const char path[] = "tests/bin/writer.gguf", part[] = "tests/bin/writer.gguf.part";

static int exists(const char *name) {
    FILE *f = fopen(name, "rb");
    if (f) fclose(f);
    return f != NULL;
}

/* ---- Reading back ---- */

typedef struct {
    llama_model *model;
    void *bytes; /* what it lies in */
    tokenizer *tokens;
} loaded;

static loaded load(void *bytes, size_t size) {
    loaded l = {.bytes = bytes};
    l.model = llama_load_memory(bytes, size, NULL, &err);
    if (!CHECK(l.model != NULL)) exit((puts(err.text), 1));
    const void *flat = llama_get_tokenizer(l.model, &size);
    if (flat) l.tokens = tokenizer_load_memory(flat, size, 0, NULL, NULL);
    return l;
}

static void unload(loaded *l) {
    tokenizer_free(l->tokens);
    llama_free(l->model);
    free(l->bytes);
}

static int source_rows(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *why) {
    llama_source *s = user;
    return s->rows(s, tensor, layer, first, count, out, why);
}

/* A .llama file of a source, in memory. */
static loaded load_source(llama_source *s, int type) {
    const writer_input in = {.config = s->config,
                             .rope_frequencies = s->rope_frequencies,
                             .rope_amplitudes = s->rope_amplitudes,
                             .type = type,
                             .tokenizer = s->tokenizer,
                             .tokenizer_size = s->tokenizer_size,
                             .rows = source_rows,
                             .user = s};
    void *data;
    size_t size;
    if (writer_build(&in, &data, &size, NULL, &err)) exit((puts(err.text), 1));
    return load(data, size);
}

static loaded load_made(const model *m) {
    const file f = model_file(m, NULL);
    return load(f.bytes, f.size);
}

/* The file written and opened; ends the program when that cannot be. */
static llama_source *write_and_open(const loaded *l, const char *type, export_report *report) {
    const export_input in = {.model = l->model, .tokenizer = l->tokens, .type = type};
    if (export_gguf(&in, path, report, &err)) exit((puts(err.text), 1));
    llama_source *s = source_open_gguf(path, NULL, &err);
    if (!s) exit((puts(err.text), 1));
    FILE *f = fopen(path, "rb");
    uint64_t size = 0;
    CHECK(f && !file_size(f, &size) && size == report->bytes && !exists(part));
    if (f) fclose(f);
    return s;
}

/* ---- Comparing ---- */

/* What a file of a type holds for the weights x of a row of n, by the formulas in ggml. */
static void settle(const char *type, int is_matrix, const float *x, int n, float *out) {
    const int blocks = !strcmp(type, "q8_0") || !strcmp(type, "q4_0");
    if (!is_matrix) type = "f32";
    else if (blocks && n % 32) type = "f16";
    for (int i = 0; i < n; i++) {
        out[i] = x[i];
        if (!strcmp(type, "f16")) out[i] = float_of_f16(inside_to_f16(x[i]));
        if (!strcmp(type, "bf16")) out[i] = float_of_bf16(inside_to_bf16(x[i]));
    }
    for (int b = 0; b < n && blocks && strcmp(type, "f16") && is_matrix; b += 32) {
        float most = 0;
        for (int i = b; i < b + 32; i++)
            if (fabsf(x[i]) > fabsf(most)) most = x[i];
        const float d = *(type + 1) == '8' ? fabsf(most) / 127.0f : most / -8.0f, id = d != 0 ? 1.0f / d : 0;
        const float scale = float_of_f16(inside_to_f16(d));
        for (int i = b; i < b + 32; i++) {
            int q = *(type + 1) == '8' ? (int)roundf(x[i] * id) : (int)(x[i] * id + 8.5f);
            if (*(type + 1) == '4') q = (q > 15 ? 15 : q) - 8;
            out[i] = scale * (float)q;
        }
    }
}

/* How many rows of a source differ from a model's, as a file of this type has them; exact: from those of the model.
 * What a scale went into may differ by a rounding. */
static int other_rows(const loaded *l, llama_source *s, const char *type, int exact, float query_factor) {
    const llama_config *c = llama_get_config(l->model);
    const int normed = c->extras & (LLAMA_HEAD_NORM | LLAMA_WIDE_NORM);
    int bad = 0, rows, cols;
    for (int id = TENSOR_FINAL_NORM; id < TENSORS; id++)
        for (int layer = 0; layer < (id < TENSOR_OF_LAYER ? 1 : c->n_layers); layer++) {
            const enum tensor tensor = (enum tensor)id;
            if (!tensor_shape(c, tensor, layer, &rows, &cols)) continue;
            const int is_matrix = !tensor_is_vector(tensor) && tensor != TENSOR_ROUTER;
            const int scaled = normed ? id == TENSOR_Q_NORM : id == TENSOR_WQ || id == TENSOR_Q_BIAS;
            float *x = xmalloc((size_t)cols * sizeof *x), *want = xmalloc((size_t)cols * sizeof *x),
                  *got = xmalloc((size_t)cols * sizeof *x);
            for (int r = 0; r < rows; r++) {
                inside_rows(l->model, tensor, layer, r, 1, x);
                for (int i = 0; i < cols && scaled; i++) x[i] *= query_factor;
                if (exact && cols % 32 == 0 && (!scaled || query_factor == 1))
                    memcpy(want, x, (size_t)cols * sizeof *x);
                else settle(type, is_matrix, x, cols, want);
                const int same =
                    !s->rows(s, tensor, layer, r, 1, got, &err) && !memcmp(got, want, (size_t)cols * sizeof *got);
                if (!same && !bad++) printf("  %s %d, row %d: %s\n", tensor_name(tensor), layer, r, type);
            }
            free(x), free(want), free(got);
        }
    return bad;
}

/* How many layers turn otherwise, see otherwise, or are of another kind; a frequency may be off by a rounding. */
static int other_layers(const loaded *l, const llama_source *s) {
    const llama_config *a = llama_get_config(l->model), *b = &s->config;
    const int pairs = a->head_dim / 2, halves = a->rope_short ? 2 : 1;
    const int n[2] = {a->n_ropes ? a->n_ropes : 1, b->n_ropes ? b->n_ropes : 1};
    float *tables = xmalloc((size_t)(n[0] * halves * pairs) * 2 * sizeof *tables),
          *of_a = tables + n[0] * halves * pairs;
    int bad = 0;
    inside_rows(l->model, TENSOR_ROPE, 0, 0, 1, tables);
    for (int i = 0; i < n[0] * halves * pairs; i++) of_a[i] = 1;
    if (a->extras & LLAMA_ROPE_AMPLITUDES) inside_rows(l->model, TENSOR_ROPE_AMPLITUDES, 0, 0, 1, of_a);
    for (int layer = 0; layer < a->n_layers; layer++) {
        const llama_layer_kind none = {0, 0, 0}, *x = a->layers ? &a->layers[layer] : &none, *y = &b->layers[layer];
        int same = x->window == y->window && x->experts == y->experts && a->rope_short == b->rope_short;
        for (int half = 0; half < halves && same; half++)
            for (int i = 0; i < pairs; i++) {
                const int from = (half * n[0] + x->rope) * pairs + i, to = (half * n[1] + y->rope) * pairs + i;
                const float amplitude = s->rope_amplitudes ? s->rope_amplitudes[to] : 1;
                same = same && fabsf(tables[from] - s->rope_frequencies[to]) <= 1.2e-7f * tables[from] &&
                       fabsf(of_a[from] - amplitude) <= 1.2e-7f * of_a[from];
            }
        bad += !same;
    }
    free(tables);
    return bad;
}

static int near(float a, float b) { return fabsf(a - b) <= 1e-6f * fabsf(a); }

/* The configuration, but for layers and what is settled: attention_scale in queries, and no 1 where 0 says the same. */
static int same_config(const llama_config *a, const llama_config *b) {
    const int hidden = a->n_experts ? a->hidden_dim == b->hidden_dim || a->expert_dim == b->hidden_dim
                                    : a->hidden_dim == b->hidden_dim;
    return hidden && a->dim == b->dim && a->n_layers == b->n_layers && a->n_heads == b->n_heads &&
           a->n_kv_heads == b->n_kv_heads && a->head_dim == b->head_dim && a->vocab_size == b->vocab_size &&
           a->seq_len == b->seq_len && a->shared_classifier == b->shared_classifier && a->norm_eps == b->norm_eps &&
           a->extras == b->extras && a->score_cap == b->score_cap && a->logit_cap == b->logit_cap &&
           near(a->embedding_scale > 0 ? a->embedding_scale : 1, b->embedding_scale > 0 ? b->embedding_scale : 1) &&
           a->n_experts == b->n_experts && a->n_experts_used == b->n_experts_used && a->expert_dim == b->expert_dim;
}

/* The largest difference of logits, over texts of n tokens. */
static double other_logits(const llama_model *a, const llama_model *b, const int *tokens, int n) {
    const llama_options options = {.n_ctx = n, .n_threads = 1};
    llama_context *c[2] = {llama_context_create(a, &options, &err), llama_context_create(b, &options, &err)};
    double worst = 0;
    for (int i = 0; i < n && c[0] && c[1]; i++) {
        const float *x = llama_forward(c[0], tokens + i, 1, &err), *y = llama_forward(c[1], tokens + i, 1, &err);
        for (int k = 0; k < llama_get_config(a)->vocab_size; k++) {
            const double d = fabs((double)x[k] - (double)y[k]);
            if (!(d <= worst)) worst = d;
        }
    }
    if (!c[0] || !c[1]) worst = INFINITY;
    llama_context_free(c[0]), llama_context_free(c[1]);
    return worst;
}

/* ---- Small models, one for each thing that GGUF says ---- */

enum { LAYERS = 4, HEAD_DIM = 16 };

typedef struct {
    const char *name, *architecture, *written; /* as which it should be */
    llama_config add;
    rope_rule rope[2];           /* turning 0: HEAD_DIM; kind -1: the random table that a model has */
    int second, window, pattern; /* of each second layers the last rotates by rope[1]; with pattern it has no window */
    int experts;                 /* in all layers */
    float query_factor;          /* 0: 1 */
} shape;

#define NO_TABLE ((rope_kind)-1)
#define QWEN3 LLAMA_HEAD_NORM
#define GEMMA (LLAMA_POST_NORM | LLAMA_GELU)
static const float long_factors[] = {1, 1.5f, 2, 3, 5, 8, 13, 21}, short_factors[] = {1, 1, 1, 1.25f, 1.5f, 2, 2, 3};

static const shape shapes[] = {
    {.name = "Llama", .architecture = "", .written = "llama"},
    {.name = "a family without a name in GGUF", .architecture = "mistral", .written = "llama", .window = 9},
    {.name = "Llama with biases, tied",
     .written = "llama",
     .add = {.extras = LLAMA_QKV_BIAS | LLAMA_O_BIAS, .shared_classifier = 1}},
    {.name = "Llama with any frequencies", .architecture = "llama", .written = "llama", .rope = {{.kind = NO_TABLE}}},
    {.name = "Llama 3.1",
     .architecture = "llama",
     .written = "llama",
     .rope = {{.kind = ROPE_LLAMA3, .theta = 5e5, .factor = 8, .original = 64, .low = 1, .high = 4}}},
    {.name = "Llama, linear scaling",
     .architecture = "llama",
     .written = "llama",
     .rope = {{.kind = ROPE_LINEAR, .theta = 1e4, .factor = 2.5}}},
    {.name = "Llama by another base than its header says",
     .architecture = "llama",
     .written = "llama",
     .add = {.rope_theta = 4},
     .rope = {{.theta = 777777}}},
    {.name = "Llama with a scale of its own",
     .architecture = "llama",
     .written = "llama",
     .add = {.attention_scale = 0.3f},
     .query_factor = (float)(0.3f * 4.0)},
    {.name = "a mixture",
     .architecture = "llama",
     .written = "llama",
     .experts = 1,
     .add = {.extras = LLAMA_RENORMALISE, .n_experts = 3, .n_experts_used = 2, .expert_dim = 96}},
    {.name = "Qwen 2", .architecture = "qwen2", .written = "qwen2", .add = {.extras = LLAMA_QKV_BIAS}},
    {.name = "Qwen 2, YaRN",
     .architecture = "qwen2",
     .written = "qwen2",
     .add = {.extras = LLAMA_QKV_BIAS},
     .rope = {{.kind = ROPE_YARN,
               .theta = 1e6,
               .factor = 4,
               .original = 64,
               .fast = 32,
               .slow = 1,
               .truncate = 1,
               .amplitude = 1.138629436111989}}},
    {.name = "Qwen 2 with frequencies that only llama can say",
     .architecture = "qwen2",
     .written = "llama",
     .add = {.extras = LLAMA_QKV_BIAS},
     .rope = {{.kind = ROPE_FACTORS, .theta = 1e4, .factors = long_factors, .amplitude = 1.25}}},
    {.name = "Qwen 3", .architecture = "qwen3", .written = "qwen3", .add = {.extras = QWEN3 | LLAMA_O_BIAS}},
    {.name = "Qwen 3, a scale of its own in the norm",
     .architecture = "qwen3",
     .written = "qwen3",
     .add = {.extras = QWEN3, .attention_scale = 0.5f},
     .query_factor = 2},
    {.name = "Qwen 3, a mixture",
     .architecture = "qwen3moe",
     .written = "qwen3moe",
     .experts = 1,
     .add = {.extras = QWEN3 | LLAMA_RENORMALISE, .n_experts = 5, .n_experts_used = 2, .expert_dim = 32}},
    {.name = "Gemma 2",
     .architecture = "gemma2",
     .written = "gemma2",
     .window = 7,
     .second = 2,
     .pattern = 1,
     .add = {.extras = GEMMA, .embedding_scale = 8, .score_cap = 20, .logit_cap = 15, .shared_classifier = 1}},
    {.name = "Gemma 2 without a window",
     .architecture = "gemma2",
     .written = "gemma2",
     .add = {.extras = GEMMA, .embedding_scale = 8, .score_cap = 20, .logit_cap = 15, .shared_classifier = 1}},
    {.name = "Gemma 3, of each three",
     .architecture = "gemma3",
     .written = "gemma3",
     .window = 7,
     .second = 3,
     .pattern = 1,
     .rope = {{.kind = ROPE_LINEAR, .theta = 1e6, .factor = 8}, {.theta = 12345}},
     .add = {.extras = GEMMA | QWEN3, .embedding_scale = 8, .shared_classifier = 1, .attention_scale = 0.125f},
     .query_factor = 0.5f},
    {.name = "Gemma 3 without a window",
     .architecture = "gemma3",
     .written = "gemma3",
     .add = {.extras = GEMMA | QWEN3, .embedding_scale = 8, .logit_cap = 3}},
    {.name = "Phi 3", .architecture = "phi3", .written = "phi3", .window = 12},
    {.name = "Phi 4 mini: longrope, and a part turns",
     .architecture = "phi3",
     .written = "phi3",
     .add = {.rope_short = 16, .shared_classifier = 1},
     .rope = {{.kind = ROPE_FACTORS, .theta = 1e4, .turning = 12, .factors = short_factors, .amplitude = 1.19},
              {.kind = ROPE_FACTORS, .theta = 1e4, .turning = 12, .factors = long_factors, .amplitude = 1.19}}},
    {.name = "Granite",
     .architecture = "granite",
     .written = "granite",
     .add = {.attention_scale = 0.01f, .embedding_scale = 12, .extras = LLAMA_O_BIAS | LLAMA_QKV_BIAS}},
    {.name = "MiniCPM", .architecture = "minicpm", .written = "minicpm", .add = {.embedding_scale = 11.5f}},
    {.name = "InternLM 2", .architecture = "internlm2", .written = "internlm2"},
    {.name = "InternLM 2 with biases",
     .architecture = "internlm2",
     .written = "llama",
     .add = {.extras = LLAMA_QKV_BIAS}},
    {.name = "OLMo 2",
     .architecture = "olmo2",
     .written = "olmo2",
     .add = {.extras = LLAMA_WIDE_NORM | LLAMA_POST_NORM | LLAMA_NO_PRE_NORM}},
    {.name = "SmolLM 3",
     .architecture = "smollm3",
     .written = "smollm3",
     .second = 4,
     .rope = {{.theta = 2e6}, {.theta = 2e6, .turning = -1}}},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static model *make(const shape *s, int type, int dim, int hidden, uint64_t seed) {
    llama_layer_kind kinds[LAYERS];
    llama_config f = s->add;
    f.dim = dim, f.hidden_dim = hidden, f.n_layers = LAYERS, f.n_heads = 4, f.n_kv_heads = 2, f.head_dim = HEAD_DIM;
    f.vocab_size = 37, f.seq_len = 64, f.norm_eps = 2e-5f, f.layers = kinds;
    if (!(f.rope_theta > 0)) f.rope_theta = s->rope[0].theta > 0 ? (float)s->rope[0].theta : 10000;
    if (f.embedding_scale == 8) f.embedding_scale = (float)sqrt(dim); /* Gemma's */
    if (s->architecture) snprintf(f.architecture, sizeof f.architecture, "%s", s->architecture);
    f.n_ropes = s->second ? 2 : 0;
    for (int l = 0; l < LAYERS; l++) {
        const int last = s->second && (l + 1) % s->second == 0;
        /* with a pattern the last has the first table and no window */
        kinds[l].rope = s->second ? (s->pattern ? !last : last) : 0;
        kinds[l].window = s->pattern && last ? 0 : s->window;
        kinds[l].experts = s->experts;
    }
    if (s->second && !(s->rope[1].theta > 0)) f.n_ropes = 0;
    for (int l = 0; l < LAYERS && !f.n_ropes; l++) kinds[l].rope = 0;
    if (s->rope[0].amplitude > 0) f.extras |= LLAMA_ROPE_AMPLITUDES;
    model *m = model_make(&f, type, seed);
    for (int i = 0; i < (f.n_ropes || f.rope_short ? 2 : 1) && s->rope[0].kind != NO_TABLE; i++) {
        rope_rule r = s->rope[i];
        float *a = m->weights[TENSOR_ROPE_AMPLITUDES][0];
        r.turning = r.turning < 0 ? 0 : r.turning ? r.turning : HEAD_DIM;
        if (!(r.theta > 0)) r.theta = (double)f.rope_theta;
        rope_table(&r, HEAD_DIM, m->weights[TENSOR_ROPE][0] + i * HEAD_DIM / 2, a ? a + i * HEAD_DIM / 2 : NULL);
    }
    return m;
}

static void check_made(const shape *s, int stored, int dim, int hidden) {
    static const char *const types[] = {NULL, "f32", "f16", "bf16", "q8_0", "q4_0"};
    static const char *const own[] = {"f32", "bf16", "q8_0", "q4_0", "f16"};
    model *m = make(s, INSIDE_F32 + stored, dim, hidden, (uint64_t)(3 * stored + dim));
    loaded l = load_made(m);
    export_report report;
    for (int i = 0; i < 6; i++) {
        const char *type = types[i] ? types[i] : own[stored];
        const float factor = s->query_factor > 0 ? s->query_factor : 1;
        /* q4_0's integers fit Q8_0's blocks too; of what is not quantised only the own type and f32 lose nothing */
        const int exact = (stored == 2 && !strcmp(type, "q8_0")) || (stored == 3 && i != 2 && i != 3 && i != 1);
        llama_source *back = write_and_open(&l, types[i], &report);
        CHECK_TEXT(report.architecture, s->written);
        CHECK_TEXT(back->config.architecture, s->written);
        CHECK(!strcmp(report.format, "GGUF") && strlen(report.type) == strlen(type));
        CHECK(same_config(llama_get_config(l.model), &back->config));
        CHECK(other_layers(&l, back) == 0);
        CHECK(other_rows(&l, back, type, exact, factor) == 0);
        CHECK((strstr(report.note, "F16") != NULL) == (type[0] == 'q' && (dim % 32 || hidden % 32)));
        CHECK(strstr(report.note, "no tokenizer") != NULL);
        CHECK((strstr(report.note, "window") != NULL) == (s->window && !s->pattern));
        CHECK((strstr(report.note, "queries") != NULL) == (factor != 1 && strcmp(type, "f32") != 0));
        if (i == 0 && stored < 4 && !strstr(report.note, "F16") && (factor == 1 || !stored)) {
            const int tokens[] = {1, 5, 9, 2, 36, 0, 7, 7, 12, 30, 4, 19, 3, 3, 25, 11, 8, 16, 21, 33};
            loaded again = load_source(back, INSIDE_F32 + stored);
            const double worst = other_logits(l.model, again.model, tokens, 20);
            if (!CHECK(worst <= 1e-4)) printf("  %g\n", worst);
            unload(&again);
        }
        back->close(back);
    }
    unload(&l);
    model_free(m);
}

static void test_shapes(void) {
    for (int i = 0; i < N_SHAPES; i++)
        TEST(shapes[i].name) {
            for (int stored = 0; stored < 5; stored++)
                if (TAKEN(i + stored)) check_made(&shapes[i], stored, 64, 96);
            if (TAKEN(i + 2)) check_made(&shapes[i], 2, 48, 80); /* no whole blocks */
        }
}

/* ---- What cannot be said ---- */

static void test_refused(void) {
    static const struct {
        shape s;
        const char *why;
    } refused[] = {
        {{.architecture = "gemma2", .add = {.extras = GEMMA, .embedding_scale = 8, .score_cap = 1}},
         "as GGUF's gemma2 it cannot say: a model without caps; as llama: norms behind attention"},
        {{.architecture = "llama", .add = {.extras = LLAMA_HEAD_NORM}},
         "as GGUF's llama it cannot say: norms of each head"},
        {{.add = {.extras = LLAMA_GELU}}, "cannot say: GELU"},
        {{.add = {.embedding_scale = 3}}, "cannot say: an embedding that is multiplied"},
        {{.add = {.score_cap = 3}}, "cannot say: a cap of q . k"},
        {{.add = {.logit_cap = 3}}, "cannot say: a cap of logits"},
        {{.architecture = "qwen3", .add = {.extras = QWEN3}, .window = 4}, "cannot say: a window"},
        {{.architecture = "qwen3", .add = {.extras = QWEN3}, .rope = {{.kind = NO_TABLE}}},
         "cannot say: its rotary freq"},
        {{.architecture = "qwen3", .add = {.extras = 0}, .rope = {{.theta = 1e4, .turning = 8}}},
         "a model without norms of each head; as llama: heads of which a part turns"},
        {{.add = {.extras = 0}, .second = 2, .rope = {{.theta = 1e4}, {.theta = 1e5}}}, "layers that turn differently"},
        {{.architecture = "smollm3", .second = 2, .rope = {{.theta = 1e4}, {.theta = 1e4, .turning = -1}}},
         "layers that turn differently"},
        {{.add = {.n_experts = 2, .n_experts_used = 1, .expert_dim = 32}, .experts = 1}, "do not sum to 1"},
        {{.architecture = "qwen2",
          .add = {.extras = LLAMA_QKV_BIAS | LLAMA_RENORMALISE, .n_experts = 2, .n_experts_used = 1, .expert_dim = 32}},
         "as GGUF's qwen2 it cannot say: a mixture of experts; as llama: layers without experts"},
        {{.add = {.extras = 0}, .rope = {{.theta = 1e4, .turning = -1}}}, "layers without rotation"},
        {{.architecture = "gemma3",
          .window = 5,
          .second = 2,
          .rope = {{.theta = 1e4}, {.kind = ROPE_LINEAR, .theta = 1e4, .factor = 2}},
          .pattern = 1,
          .add = {.extras = GEMMA | QWEN3, .embedding_scale = 8}},
         "layers with a window that turn by more than a base"},
        {{.architecture = "llama", .second = 2, .window = 5, .pattern = 1}, "a window in some layers only"},
        {{.architecture = "qwen2",
          .add = {.extras = LLAMA_QKV_BIAS | LLAMA_WIDE_NORM, .rope_short = 16},
          .rope = {{.theta = 1e4}, {.theta = 2e4}}},
         "norms of all heads side by side"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        TEST(refused[i].why) {
            model *m = make(&refused[i].s, INSIDE_F32, 64, 96, 9);
            loaded l = load_made(m);
            const export_input in = {.model = l.model};
            remove(path);
            CHECK(export_gguf(&in, path, NULL, &err) == -1);
            if (!CHECK(strstr(err.text, refused[i].why) && strstr(err.text, path))) printf("  %s\n", err.text);
            CHECK(!exists(path) && !exists(part));
            unload(&l);
            model_free(m);
        }
}

/* ---- Failures ---- */

static loaded load_austen(void) {
    size_t size;
    char *bytes = file_read("tools/model/austen.llama", (size_t)1 << 30, &size, &err);
    if (!bytes) exit((puts(err.text), 1));
    return load(bytes, size);
}

static int countdown, calls;
static uint64_t last_done, last_total;
static int count_down(void *user, uint64_t done, uint64_t total) {
    (void)user;
    calls++;
    CHECK(done >= last_done && done <= total && (!last_total || total == last_total));
    last_done = done, last_total = total;
    return countdown && !--countdown;
}

static void fails(const export_input *in, const char *to, const char *why) {
    CHECK(export_gguf(in, to, NULL, &err) == -1);
    if (!CHECK(strstr(err.text, why) != NULL)) printf("  %s\n", err.text);
    if (!CHECK(strstr(err.text, to) != NULL)) printf("  %s\n", err.text);
    CHECK(!exists(part));
}

static void test_failures(void) {
    loaded l = load_austen();
    export_input in = {.model = l.model, .tokenizer = l.tokens, .progress = count_down};
    remove(path);
    TEST("another type, another vocabulary, no such directory") {
        in.type = "q5_k";
        fails(&in, path, "type q5_k: GGUF files are written as f32, f16, bf16, q8_0 or q4_0");
        in.type = NULL;
        fails(&in, "no/such/directory.gguf", "cannot open");
        model *m = make(&shapes[0], INSIDE_F32, 64, 96, 1);
        loaded other = load_made(m);
        in.model = other.model;
        fails(&in, path, "pieces, the model a vocabulary of 37");
        in.model = l.model;
        unload(&other);
        model_free(m);
        CHECK(!exists(path));
    }
    TEST("numbers that a type cannot hold") {
        static const struct {
            const char *type, *why;
            float end;
            int cols; /* 80: no whole blocks, so F16 */
        } types[] = {
            {"f16", "blk.1.ffn_down.weight has numbers beyond 65504, which F16 cannot hold; --type f32", 65520, 96},
            {"bf16", "blk.1.ffn_down.weight has numbers beyond 3.38953e+38, which BF16 cannot", 0x1.FFp127f, 96},
            {"q8_0", "blk.1.ffn_down.weight has numbers beyond 8.31901e+06, which Q8_0 cannot", 8321040, 96},
            {"q4_0", "blk.1.ffn_down.weight has numbers beyond 524032, which Q4_0 cannot", 524160, 96},
            {"q8_0", "blk.1.ffn_down.weight has numbers beyond 65504, which F16 cannot", 65520, 80},
            {"f32", NULL, 3.4e38f, 96}};
        for (size_t i = 0; i < 2 * sizeof types / sizeof *types; i++) { /* at the end, and before it */
            const float end = types[i / 2].end;
            model *m = make(&shapes[0], INSIDE_F32, 64, types[i / 2].cols, 1);
            m->weights[TENSOR_W2][1][3] = i % 2 ? nextafterf(-end, 0) : -end;
            m->weights[TENSOR_W2][1][70] = INFINITY; /* in another block: it stays what it is */
            loaded large = load_made(m);
            const export_input to = {.model = large.model, .type = types[i / 2].type};
            if (i % 2 || !types[i / 2].why) {
                export_report report;
                llama_source *back = write_and_open(&large, types[i / 2].type, &report);
                float row[96];
                CHECK(!back->rows(back, TENSOR_W2, 1, 0, 1, row, &err) && fabsf(row[3] / end + 1) < 0.01f);
                back->close(back);
                remove(path);
            } else fails(&to, path, types[i / 2].why);
            unload(&large);
            model_free(m);
        }
    }
    TEST("cancelled at any call: what was there stays") {
        FILE *f = fopen(path, "wb");
        CHECK(f && fputs("before", f) >= 0 && !fclose(f));
        calls = countdown = 0, last_done = last_total = 0;
        for (int all = 1, i = 1; i <= all; i++) {
            countdown = i == 1 ? 0 : i - 1, last_done = last_total = calls = 0;
            if (i == 1) { /* to count them */
                CHECK(!export_gguf(&in, "tests/bin/writer2.gguf", NULL, &err) && last_done == last_total);
                all = calls + 1;
                remove("tests/bin/writer2.gguf");
            } else fails(&in, path, "cancelled");
        }
        size_t size;
        char *kept = file_read(path, 100, &size, &err);
        CHECK(kept && size == 6 && !memcmp(kept, "before", 6));
        free(kept);
        remove(path);
    }
    in.progress = NULL;
    TEST("each allocation that fails") {
        llama_error why;
        allocations = fail_at = 0;
        CHECK(!export_gguf(&in, path, NULL, &why));
        const long all = allocations;
        remove(path);
        CHECK(all > 10);
        for (fail_at = 1; fail_at <= all; fail_at++) {
            allocations = 0;
            fails(&in, path, "no memory");
            CHECK(!exists(path));
        }
        fail_at = 0;
    }
#ifdef HAVE_POSIX
    if (!exists("/dev/full") || symlink("/dev/full", part) != 0) SKIP("a full disk", "no /dev/full");
    else TEST("a full disk") {
        fails(&in, path, "cannot write: No space left");
        CHECK(!exists(path));
    }
#endif
    unload(&l);
}

/* ---- Tokenizers ---- */

/* The ids that two tokenizers make of a text: the same? */
static int same_ids(const tokenizer *a, const tokenizer *b, const char *text, size_t size, int flags) {
    static int x[1 << 16], y[1 << 16];
    const ptrdiff_t n = tokenizer_encode(a, text, size, flags, x, 1 << 16, NULL),
                    m = tokenizer_encode(b, text, size, flags, y, 1 << 16, NULL);
    return n == m && n >= 0 && !memcmp(x, y, (size_t)n * sizeof *x);
}

/* Where the value of a key stands in a file, which begins with its type; NULL: there is no such key. */
static const unsigned char *find_value(const char *file, size_t size, const char *key) {
    const size_t n = strlen(key);
    for (size_t i = 8; i + n + 24 < size; i++)
        if (get_uint((const unsigned char *)file + i - 8, 8) == n && !memcmp(file + i, key, n))
            return (const unsigned char *)file + i + n;
    return NULL;
}

/* What our reader does not need, or settles from something else, others take from the file. */
static void check_for_others(const tokenizer *t) {
    static const struct {
        const char *key;
        uint32_t value;
    } keys[] = {{"general.file_type", 7},
                {"general.quantization_version", 2},
                {"general.alignment", 32},
                {"llama.vocab_size", 2048},
                {"llama.attention.key_length", 32},
                {"llama.attention.value_length", 32},
                {"tokenizer.ggml.unknown_token_id", 0},
                {"tokenizer.ggml.bos_token_id", 1},
                {"tokenizer.ggml.eos_token_id", 2}};
    size_t size;
    char *file = file_read(path, (size_t)1 << 30, &size, &err);
    for (size_t i = 0; CHECK(file) && i < sizeof keys / sizeof *keys; i++) {
        const unsigned char *v = find_value(file, size, keys[i].key);
        if (!CHECK(v && get_uint(v, 4) == GGUF_U32 && get_uint(v + 4, 4) == keys[i].value)) puts(keys[i].key);
    }
    const unsigned char *types = file ? find_value(file, size, GGUF_TOKEN_TYPE) : NULL;
    const unsigned char *scores = file ? find_value(file, size, GGUF_SCORES) : NULL;
    tokenizer_piece p;
    for (int id = 0; CHECK(types && scores) && tokenizer_get_piece(t, id, &p); id++)
        CHECK((int)get_uint(types + 16 + 4 * id, 4) == p.type && get_f32(scores + 16 + 4 * id) == p.score);
    free(file);
}

static void test_austen(void) {
    TEST("austen.llama and its tokenizer, there and back") {
        static const char *const texts[] = {"It is a truth", " two  spaces ", "\xF0\x9F\x98\x80\n\n9", ""};
        loaded l = load_austen();
        export_report report;
        llama_source *s = write_and_open(&l, NULL, &report);
        CHECK_TEXT(report.type, "Q8_0");
        tokenizer *t = s->tokenizer ? tokenizer_load_memory(s->tokenizer, s->tokenizer_size, 0, NULL, NULL) : NULL;
        CHECK(t && other_rows(&l, s, "q8_0", 1, 1) == 0 && other_layers(&l, s) == 0);
        for (int i = 0; i < 4 && t; i++) CHECK(same_ids(l.tokens, t, texts[i], strlen(texts[i]), TOKENIZER_BOS));
        CHECK(is_rebuilt(l.tokens));
        tokenizer_free(t);
        s->close(s);
        check_for_others(l.tokens);
        unload(&l);
        remove(path);
    }
}

/* A byte-level tokenizer of the bytes, a few pieces and merges, in a model of their number. */
static void test_byte_level(void) {
    static const char *const more[] = {"ab", " a", "abb", "<|x|>", "<|endoftext|>", "<|im_end|>", "", "", "[PAD262]"};
    static const int merges[][2] = {{'a', 'b'}, {' ', 'a'}, {256, 'b'}}, ends[] = {259, 261, 260, 'q', 'r', 's'};
    enum { N = 265 };
    TEST("byte-level: alphabet, merges, ends, what only fills up") {
        tokenizer_piece pieces[N];
        char bytes[256];
        for (int i = 0; i < N; i++) {
            bytes[i & 255] = i < 256 ? (char)i : bytes[i & 255];
            pieces[i] = (tokenizer_piece){i < 256 ? &bytes[i] : more[i - 256], i < 256 ? 1 : strlen(more[i - 256]), 0,
                                          i < 259   ? TOKENIZER_NORMAL
                                          : i < 262 ? TOKENIZER_CONTROL
                                                    : TOKENIZER_UNUSED,
                                          0};
        }
        pieces[259].flags = TOKENIZER_LSTRIP;
        for (int flags = 0; flags < 16; flags++) {
            if (!TAKEN(flags)) continue;
            tokenizer_parts parts = {.kind = TOKENIZER_BYTE_LEVEL,
                                     .pieces = pieces,
                                     .n_pieces = N,
                                     .merges = merges,
                                     .n_merges = 3,
                                     .bos = flags & 1 ? 260 : -1,
                                     .add_bos = 1,
                                     .ends = ends,
                                     .n_ends = flags & 2 ? 6 : 2,
                                     .split = flags % 8,
                                     .nfc = flags >> 3,
                                     .ignore_merges = flags == 0 || flags == 7};
            shape s = shapes[0];
            s.architecture = "llama";
            model *m = make(&s, INSIDE_F32, 64, 96, 5);
            m->in.config.vocab_size = N;
            free(m->weights[TENSOR_EMBEDDING][0]), free(m->weights[TENSOR_CLASSIFIER][0]);
            for (int id = TENSOR_EMBEDDING; id <= TENSOR_CLASSIFIER; id++) {
                m->weights[id][0] = xmalloc(N * 64 * sizeof(float));
                for (int i = 0; i < N * 64; i++) m->weights[id][0][i] = (float)i;
            }
            loaded l = load_made(m);
            l.tokens = tokenizer_create(&parts, NULL, NULL);
            export_report report;
            llama_source *back = write_and_open(&l, NULL, &report);
            if (!CHECK(back->tokenizer)) exit((puts(back->tokenizer_error.text), 1));
            tokenizer *t = tokenizer_load_memory(back->tokenizer, back->tokenizer_size, 0, NULL, NULL);
            tokenizer_parts got;
            tokenizer_get_parts(t, &got);
            CHECK(got.split == parts.split && got.n_merges == 3);
            CHECK((got.ignore_merges != parts.ignore_merges) == (strstr(report.note, "words") != NULL));
            CHECK(got.ignore_merges == (flags == 0 || parts.split == TOKENIZER_SPLIT_TEKKEN));
            CHECK(got.bos == parts.bos && got.add_bos == (parts.bos >= 0) && got.n_ends >= 2 && got.ends[0] == 259);
            for (int i = 0; i < (parts.n_ends < 4 ? parts.n_ends : 5); i++) CHECK(tokenizer_is_end(t, ends[i]));
            CHECK((strstr(report.note, "1 more tokens end a text") != NULL) == (parts.n_ends == 6));
            CHECK(strstr(report.note, "white space beside tokens") && (!parts.nfc || strstr(report.note, "NFC")));
            static const char text[] = " abb ab\xFF\n12345 a\xCC\x81 it's<|x|> b";
            CHECK(parts.nfc || same_ids(l.tokens, t, text, sizeof text - 1, TOKENIZER_BOS));
            tokenizer_free(t);
            back->close(back);
            unload(&l);
            model_free(m);
        }
    }
    remove(path);
}

/* ---- Families ---- */

static const struct {
    const char *folder, *written; /* or why it cannot be */
    int other_ids;                /* texts of which GGUF makes other ids */
} families[] = {
    {"qwen2", "qwen2", 2},
    {"qwen2-yarn", "qwen2", 2},
    {"qwen3", "qwen3", 2},
    {"qwen3_moe", "qwen3moe", 2},
    {"smollm3", "smollm3", 0},
    {"smollm3-irregular", "layers that turn differently", 0},
    {"gemma2", "gemma2", 1},
    {"gemma3", "gemma3", 1},
    {"gemma3-mm", "windows in layers that follow no period", 0},
    {"phi3", "phi3", 0},
    {"phi3-4k", "phi3", 0},
    {"phi4-mini", "phi3", 0},
    {"granite", "granite", 0},
    {"granite-untied", "granite", 0},
    {"minicpm", "minicpm", 0},
    {"olmo2", "olmo2", 0},
    {"internlm2", "internlm2", 0},
    {"mistral-sw", "llama", 0},
    {"mixtral", "llama", 0},
    {"llama-v5", "llama", 0},
    {"llama-null", "llama", 6},
};

/* How many of the texts of tokens.jsonl get other ids. */
static int other_texts(const tokenizer *a, const tokenizer *b, const char *name) {
    size_t size;
    char *all = file_read(name, (size_t)1 << 24, &size, &err);
    int n = 0;
    for (char *line = all, *next; line && *line; line = next) {
        json_text j;
        next = line + strcspn(line, "\n");
        if (*next) *next++ = 0;
        if (json_parse(&j, line, strlen(line), name, &err)) return -1;
        const json_node *text = json_get(j.nodes, "text");
        const int other = !same_ids(a, b, text->text, text->size, TOKENIZER_BOS | TOKENIZER_SPECIAL);
        if (other && getenv("VERBOSE")) printf("  %s: %s\n", name, line);
        n += other;
        json_free(&j);
    }
    free(all);
    return all ? n : -1;
}

/* The same template, as data? What comes after a system's text counts if that has a place. */
static int same_form(const tokenizer *a, const tokenizer *b) {
    const tokenizer_form *x = tokenizer_get_form(a, 0), *y = tokenizer_get_form(b, 0);
    if (!x || !y) return x == y;
    int same = x->flags == y->flags && !memcmp(x->trim, y->trim, sizeof x->trim);
    for (int i = 0; i < 16; i++) {
        const char *p = x->between[i / 4][i % 4], *q = y->between[i / 4][i % 4];
        if (i / 4 == TOKENIZER_SYSTEM && !x->between[0][1] && !x->between[2][1] && !x->between[3][1]) continue;
        same = same && (p && q ? !strcmp(p, q) : p == q);
    }
    return same;
}

static void check_family(const char *data, const char *folder, const char *written, int other_ids) {
    char name[1000];
    export_report report;
    snprintf(name, sizeof name, "%s/families/%s", data, folder);
    llama_source *s = source_open_hf(name, NULL, &err);
    if (!CHECK(s != NULL)) exit((puts(err.text), 1));
    loaded l = load_source(s, INSIDE_F32);
    s->close(s);
    if (strchr(written, ' ')) {
        const export_input in = {.model = l.model, .tokenizer = l.tokens};
        fails(&in, path, written);
        unload(&l);
        return;
    }
    llama_source *back = write_and_open(&l, "f32", &report);
    loaded again = load_source(back, INSIDE_F32);
    CHECK_TEXT(report.architecture, written);
    CHECK(same_config(llama_get_config(l.model), &back->config) && other_layers(&l, back) == 0);
    const llama_config *c = llama_get_config(l.model);
    const int folded = c->attention_scale > 0 && !(back->config.attention_scale > 0) &&
                       !near(c->attention_scale, (float)(1 / sqrt(c->head_dim)));
    CHECK(other_rows(&l, back, "f32", 1, folded ? (float)((double)c->attention_scale * sqrt(c->head_dim)) : 1) == 0);
    int tokens[40];
    for (int i = 0; i < 40; i++) tokens[i] = (i * i * 31 + 7) % c->vocab_size;
    const double worst = other_logits(l.model, again.model, tokens, 40);
    if (!CHECK(worst <= 1e-4)) printf("  logits differ by %g\n", worst);
    CHECK(is_rebuilt(l.tokens));
    if (again.tokens && !CHECK(same_form(l.tokens, again.tokens))) printf("  %s\n", back->template_error.text);
    snprintf(name, sizeof name, "%s/families/%s/tokens.jsonl", data, folder);
    const int others = again.tokens ? other_texts(l.tokens, again.tokens, name) : -1;
    if (!CHECK(others == other_ids))
        printf("  %s: %d texts: %s; %s\n", folder, others, report.note, back->tokenizer_error.text);
    if (getenv("VERBOSE")) printf("  %s: logits %g, %d ids; %s\n", folder, worst, others, report.note);
    back->close(back);
    unload(&again);
    unload(&l);
}

static void test_families(void) {
    const char *data = getenv("LLAMA_TEST_DATA");
    char name[1000];
    if (!data) data = "../shared/data";
    snprintf(name, sizeof name, "%s/families/README.md", data);
    if (!exists(name)) {
        SKIP("families", "no LLAMA_TEST_DATA and no ../shared/data");
        return;
    }
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        TEST(families[i].folder) check_family(data, families[i].folder, families[i].written, families[i].other_ids);
    remove(path);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    writer_threads(1);
    test_shapes();
    test_refused();
    test_austen();
    test_byte_level();
    test_failures();
    test_families();
    return test_end();
}
