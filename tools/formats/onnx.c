/* onnx.c - a model as an ONNX graph: contract in export.h.
 *
 * The file is a protocol buffer (onnx.proto of github.com/onnx/onnx): a list of nodes, each an operator with the names
 * of what it reads and what it gives, and of initializers, which are constants and weights. Operators are those of
 * opset 17 (onnx/docs/Operators.md). What goes in and out, named as Hugging Face's optimum does:
 *
 *     input_ids                     int64 (1, n) tokens
 *     position                      int64 (1) of the first of them
 *     past_key_values.L.key, .value (1, n_kv_heads, past, head_dim) of each layer: 0 tokens at first, then what was
 *     present.L.key, .value         (1, n_kv_heads, past + n, head_dim) the call before
 *     logits                        (1, n, vocab_size)
 *
 * position turns queries and keys; who sees whom follows from how many are past. So who keeps all has position = past,
 * and where all layers have windows the oldest may be dropped.
 *
 * Matrices stay (rows, cols), as Gemm with transB reads them. Query and key rows of a head are permuted from pairs
 * (2i, 2i + 1) to (i, i + head_dim / 2): halves can be split and joined by one operator each.
 */
#include "onnx.h"
#include "../shared/files.h"
#include "../shared/inside.h"
#include "../shared/messages.h"
#include "../shared/numbers.h"
#include "overflow.h"
#include "protobuf.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { ONNX_IR = 8, ONNX_OPSET = 17 };
enum { ONNX_FLOAT = 1, ONNX_INT64 = 7, ONNX_FLOAT16 = 10 }; /* TensorProto.DataType */
enum { ONNX_PAGE = 4096, ONNX_SMALL = 1024 }; /* data in a second file begins at pages, to be mapped; less stays here */

/* Fields of onnx.proto's messages. */
enum { MODEL_IR = 1, MODEL_PRODUCER, MODEL_PRODUCER_VERSION, MODEL_GRAPH = 7, MODEL_OPSET, MODEL_METADATA = 14 };
enum { OPSET_VERSION = 2 };
enum { ENTRY_KEY = 1, ENTRY_VALUE };
enum { GRAPH_NODE = 1, GRAPH_NAME, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT };
enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_NAME, NODE_OPERATOR, NODE_ATTRIBUTE };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_INT = 3, ATTRIBUTE_INTS = 8, ATTRIBUTE_TYPE = 20 };
enum { ATTRIBUTE_IS_INT = 2, ATTRIBUTE_IS_INTS = 7 }; /* of ATTRIBUTE_TYPE */
enum { INITIALIZER_DIMS = 1, INITIALIZER_TYPE, INITIALIZER_NAME = 8, INITIALIZER_RAW };
enum { INITIALIZER_EXTERNAL = 13, INITIALIZER_LOCATION };
enum { VALUE_NAME = 1, VALUE_TYPE };
enum { TYPE_TENSOR = 1, TYPE_ELEMENT = 1, TYPE_SHAPE, SHAPE_DIM = 1, DIM_VALUE = 1, DIM_PARAM };

/* ---- The graph ---- */

typedef struct {
    char name[80];
} onnx_value; /* what a node gives, or an initializer */

typedef enum { ONNX_CONSTANT, ONNX_WEIGHT, ONNX_COSINES, ONNX_SINES } onnx_kind;

typedef struct { /* an initializer */
    onnx_value value;
    onnx_kind kind;
    int type, n_dims;
    int64_t dims[3];
    int rows, cols;             /* dims as a matrix */
    int id, layer;              /* WEIGHT: an enum tensor, and where; COSINES, SINES: id is the rotary table */
    unsigned char constant[32]; /* CONSTANT: its bytes */
    uint64_t bytes, offset;     /* offset: in the second file */
    int outside;                /* 1: it is there */
} onnx_tensor;

typedef struct {
    const llama_model *model;
    const llama_config *config;
    int matrices;  /* their type */
    protobuf body; /* of the graph: all but its initializers */
    onnx_tensor *tensors;
    size_t n_tensors, room;
    char scope[32], as[40]; /* names of nodes begin with scope; the next value is called `as`, unless that is empty */
    int nodes, failed;      /* so many; 1: no memory */
    float *frequencies, *amplitudes; /* (rotary tables, head_dim / 2); amplitudes may be NULL */
} onnx_graph;

typedef struct {
    const char *name; /* NULL: none */
    int count;        /* of values; 0: it is one number, not a list */
    int64_t values[4];
} onnx_attribute;

static onnx_value onnx_name(const char *format, ...) PRINTF_LIKE(1, 2);
static onnx_value onnx_name(const char *format, ...) {
    onnx_value v;
    va_list args;
    va_start(args, format);
    vsnprintf(v.name, sizeof v.name, format, args);
    va_end(args);
    return v;
}

static void onnx_put_attribute(protobuf *p, const onnx_attribute *a) {
    const size_t opened = protobuf_open(p, NODE_ATTRIBUTE);
    protobuf_text(p, ATTRIBUTE_NAME, a->name);
    if (!a->count) protobuf_uint(p, ATTRIBUTE_INT, (uint64_t)a->values[0]);
    for (int i = 0; i < a->count; i++) protobuf_uint(p, ATTRIBUTE_INTS, (uint64_t)a->values[i]);
    protobuf_uint(p, ATTRIBUTE_TYPE, a->count ? ATTRIBUTE_IS_INTS : ATTRIBUTE_IS_INT);
    protobuf_close(p, opened);
}

/* Adds a node of n inputs; out: where its outputs' names go. */
static void onnx_node(onnx_graph *g, const char *operator, const onnx_value * in, int n, onnx_value *out, int outputs,
                      const onnx_attribute *attribute) {
    protobuf *p = &g->body;
    const onnx_value node = onnx_name("%s/%s_%d", g->scope, operator, g->nodes++);
    const size_t opened = protobuf_open(p, GRAPH_NODE);
    for (int i = 0; i < n; i++) protobuf_text(p, NODE_INPUT, in[i].name);
    for (int i = 0; i < outputs; i++) {
        out[i] = *g->as ? onnx_name("%s", g->as) : outputs > 1 ? onnx_name("%.70s:%d", node.name, i) : node;
        protobuf_text(p, NODE_OUTPUT, out[i].name);
    }
    protobuf_text(p, NODE_NAME, node.name);
    protobuf_text(p, NODE_OPERATOR, operator);
    if (attribute && attribute->name) onnx_put_attribute(p, attribute);
    protobuf_close(p, opened);
    *g->as = 0;
}

static onnx_value onnx_1(onnx_graph *g, const char *operator, onnx_value a, onnx_attribute attribute) {
    onnx_value out;
    onnx_node(g, operator, & a, 1, &out, 1, &attribute);
    return out;
}

static onnx_value onnx_2(onnx_graph *g, const char *operator, onnx_value a, onnx_value b, onnx_attribute attribute) {
    const onnx_value in[] = {a, b};
    onnx_value out;
    onnx_node(g, operator, in, 2, &out, 1, &attribute);
    return out;
}

static onnx_value onnx_3(onnx_graph *g, const char *operator, onnx_value a, onnx_value b, onnx_value c,
                         onnx_attribute attribute) {
    const onnx_value in[] = {a, b, c};
    onnx_value out;
    onnx_node(g, operator, in, 3, &out, 1, &attribute);
    return out;
}

static const onnx_attribute none = {NULL, 0, {0}}, axis_0 = {"axis", 0, {0}}, axis_1 = {"axis", 0, {1}},
                            axis_2 = {"axis", 0, {2}}, last_axis = {"axis", 0, {-1}};

static onnx_value onnx_add(onnx_graph *g, onnx_value a, onnx_value b) { return onnx_2(g, "Add", a, b, none); }
static onnx_value onnx_mul(onnx_graph *g, onnx_value a, onnx_value b) { return onnx_2(g, "Mul", a, b, none); }

/* ---- Initializers ---- */

static onnx_value onnx_add_tensor(onnx_graph *g, const onnx_tensor *t) {
    if (g->n_tensors == g->room) {
        const size_t room = 2 * g->room + 64;
        onnx_tensor *tensors = realloc(g->tensors, room * sizeof *tensors);
        if (!tensors) return g->failed = 1, t->value;
        g->tensors = tensors, g->room = room;
    }
    onnx_tensor *to = &g->tensors[g->n_tensors++];
    *to = *t;
    to->bytes = to->type == ONNX_INT64 ? 8 : to->type == ONNX_FLOAT16 ? 2 : 4;
    for (int i = 0; i < to->n_dims; i++) to->bytes *= (uint64_t)to->dims[i];
    return to->value;
}

/* The one that has these bytes already, or a new one. */
static onnx_value onnx_constant(onnx_graph *g, onnx_tensor *t) {
    int constants = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const onnx_tensor *have = &g->tensors[i];
        if (have->kind != ONNX_CONSTANT) continue;
        constants++;
        if (have->type == t->type && have->n_dims == t->n_dims && have->dims[0] == t->dims[0] &&
            !memcmp(have->constant, t->constant, sizeof t->constant))
            return have->value;
    }
    t->kind = ONNX_CONSTANT;
    t->value = onnx_name("constant.%d", constants);
    return onnx_add_tensor(g, t);
}

static onnx_value onnx_scalar(onnx_graph *g, float value) {
    onnx_tensor t = {.type = ONNX_FLOAT};
    put_f32(t.constant, value);
    return onnx_constant(g, &t);
}

static onnx_value onnx_int(onnx_graph *g, int64_t value) {
    onnx_tensor t = {.type = ONNX_INT64};
    put_uint(t.constant, (uint64_t)value, 8);
    return onnx_constant(g, &t);
}

static onnx_value onnx_ints(onnx_graph *g, int n, int64_t a, int64_t b, int64_t c, int64_t d) {
    const int64_t values[] = {a, b, c, d};
    onnx_tensor t = {.type = ONNX_INT64, .n_dims = 1, .dims = {n}};
    for (int i = 0; i < n; i++) put_uint(t.constant + 8 * i, (uint64_t)values[i], 8);
    return onnx_constant(g, &t);
}

/* As Hugging Face's checkpoints have it: a model's file says at a glance what is what. */
static onnx_value onnx_weight_name(const onnx_graph *g, enum tensor id, int layer) {
    static const char *const names[TENSORS] = {
        [TENSOR_ATTENTION_NORM] = "input_layernorm.weight",
        [TENSOR_FFN_NORM] = "pre_feedforward_layernorm.weight",
        [TENSOR_Q_BIAS] = "self_attn.q_proj.bias",
        [TENSOR_K_BIAS] = "self_attn.k_proj.bias",
        [TENSOR_V_BIAS] = "self_attn.v_proj.bias",
        [TENSOR_O_BIAS] = "self_attn.o_proj.bias",
        [TENSOR_Q_NORM] = "self_attn.q_norm.weight",
        [TENSOR_K_NORM] = "self_attn.k_norm.weight",
        [TENSOR_ATTENTION_POST_NORM] = "post_attention_layernorm.weight",
        [TENSOR_FFN_POST_NORM] = "post_feedforward_layernorm.weight",
        [TENSOR_WQ] = "self_attn.q_proj.weight",
        [TENSOR_WK] = "self_attn.k_proj.weight",
        [TENSOR_WV] = "self_attn.v_proj.weight",
        [TENSOR_WO] = "self_attn.o_proj.weight",
        [TENSOR_ROUTER] = "mlp.gate.weight",
        [TENSOR_W1] = "mlp.gate_proj.weight",
        [TENSOR_W3] = "mlp.up_proj.weight",
        [TENSOR_W2] = "mlp.down_proj.weight",
    };
    const char *name = names[id];
    if (id == TENSOR_EMBEDDING) return onnx_name("model.embed_tokens.weight");
    if (id == TENSOR_CLASSIFIER) return onnx_name("lm_head.weight");
    if (id == TENSOR_FINAL_NORM) return onnx_name("model.norm.weight");
    if (id == TENSOR_FFN_NORM && !(g->config->extras & LLAMA_POST_NORM)) name = names[TENSOR_ATTENTION_POST_NORM];
    return onnx_name("model.layers.%d.%s", layer, name);
}

static int onnx_has(const onnx_graph *g, enum tensor id, int layer) {
    int rows, cols;
    return tensor_shape(g->config, id, layer, &rows, &cols) > 0;
}

/* The experts of a layer are one wide feed-forward part: their w2 (n_experts, dim, expert_dim) stand side by side, as
 * (dim, n_experts * expert_dim). */
static int onnx_is_side_by_side(const onnx_graph *g, enum tensor id, int layer) {
    return id == TENSOR_W2 && inside_tensor_of(g->config, id, layer).experts;
}

/* Vectors stay float32: they are small, and norms of 1 + something lose most by rounding. */
static onnx_value onnx_weight(onnx_graph *g, enum tensor id, int layer) {
    onnx_tensor t = {.value = onnx_weight_name(g, id, layer), .kind = ONNX_WEIGHT, .id = (int)id, .layer = layer};
    tensor_shape(g->config, id, layer, &t.rows, &t.cols);
    if (onnx_is_side_by_side(g, id, layer)) t.rows = g->config->dim, t.cols *= g->config->n_experts;
    const int vector = tensor_is_vector(id);
    t.type = vector ? ONNX_FLOAT : g->matrices;
    t.n_dims = vector ? 1 : 2;
    t.dims[0] = vector ? t.cols : t.rows, t.dims[1] = t.cols;
    return onnx_add_tensor(g, &t);
}

/* What was read as float16 is computed with as float32. */
static onnx_value onnx_to_float(onnx_graph *g, onnx_value v) {
    const onnx_attribute to = {"to", 0, {ONNX_FLOAT}};
    return g->matrices == ONNX_FLOAT ? v : onnx_1(g, "Cast", v, to);
}

/* ---- Operators that a model is made of ---- */

/* weight . x + bias, for x (n, cols); bias_id TENSORS: none. */
static onnx_value onnx_linear(onnx_graph *g, onnx_value x, onnx_value weight, enum tensor bias_id, int layer) {
    const onnx_attribute transposed = {"transB", 0, {1}};
    if (bias_id == TENSORS || !onnx_has(g, bias_id, layer)) return onnx_2(g, "Gemm", x, weight, transposed);
    return onnx_3(g, "Gemm", x, weight, onnx_weight(g, bias_id, layer), transposed);
}

static onnx_value onnx_product(onnx_graph *g, onnx_value x, enum tensor id, enum tensor bias_id, int layer) {
    return onnx_linear(g, x, onnx_to_float(g, onnx_weight(g, id, layer)), bias_id, layer);
}

/* weight * x / sqrt(mean(x^2) + eps), by the operators that runtimes know as RMSNorm; x if the model has none here. */
static onnx_value onnx_norm(onnx_graph *g, onnx_value x, enum tensor id, int layer) {
    const onnx_attribute axes = {"axes", 1, {-1}};
    if (!onnx_has(g, id, layer)) return x;
    const onnx_value square = onnx_2(g, "Pow", x, onnx_scalar(g, 2), none),
                     mean = onnx_1(g, "ReduceMean", square, axes);
    const onnx_value root = onnx_1(g, "Sqrt", onnx_add(g, mean, onnx_scalar(g, g->config->norm_eps)), none);
    return onnx_mul(g, onnx_2(g, "Div", x, root, none), onnx_weight(g, id, layer));
}

static onnx_value onnx_cap(onnx_graph *g, onnx_value x, float cap) {
    if (!(cap > 0)) return x;
    const onnx_value limit = onnx_scalar(g, cap);
    return onnx_mul(g, onnx_1(g, "Tanh", onnx_2(g, "Div", x, limit, none), none), limit);
}

/* x / (1 + e^-x), or x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
static onnx_value onnx_activation(onnx_graph *g, onnx_value x) {
    if (!(g->config->extras & LLAMA_GELU)) return onnx_mul(g, x, onnx_1(g, "Sigmoid", x, none));
    const onnx_value cube = onnx_mul(g, x, onnx_mul(g, x, x));
    const onnx_value inner = onnx_add(g, x, onnx_mul(g, cube, onnx_scalar(g, 0.044715f)));
    const onnx_value curve = onnx_1(g, "Tanh", onnx_mul(g, inner, onnx_scalar(g, 0.79788456f)), none);
    return onnx_mul(g, onnx_mul(g, x, onnx_scalar(g, 0.5f)), onnx_add(g, curve, onnx_scalar(g, 1)));
}

static onnx_value onnx_reshape(onnx_graph *g, onnx_value x, int n, int64_t a, int64_t b, int64_t c, int64_t d) {
    return onnx_2(g, "Reshape", x, onnx_ints(g, n, a, b, c, d), none);
}

/* ---- Once for all layers: positions, rotations, masks ---- */

/* The table of a layer, of those for a context of seq_len tokens; -1: it turns nothing. */
static int onnx_rotary_table(const onnx_graph *g, int layer) {
    const llama_config *f = g->config;
    const int tables = f->n_ropes ? f->n_ropes : 1, half = f->head_dim / 2;
    const int table =
        (f->layers ? f->layers[layer].rope : 0) + (f->rope_short && f->seq_len > f->rope_short ? tables : 0);
    for (int i = table * half; i < (table + 1) * half; i++)
        if (g->frequencies[i] != 0 || (g->amplitudes && g->amplitudes[i] != 1)) return table;
    return -1;
}

/* "rotary.T.cosines" and "rotary.T.sines" (n, head_dim), those of a half behind those of the other. */
static void onnx_rotations(onnx_graph *g, int table) {
    const int half = g->config->head_dim / 2;
    for (int sines = 0; sines < 2; sines++) {
        const char *name = sines ? "sine" : "cosine";
        onnx_tensor t = {.value = onnx_name("rotary.%d.%s_table", table, name),
                         .kind = sines ? ONNX_SINES : ONNX_COSINES,
                         .type = ONNX_FLOAT,
                         .n_dims = 2,
                         .dims = {g->config->seq_len, half},
                         .rows = g->config->seq_len,
                         .cols = half,
                         .id = table};
        const onnx_value right = onnx_2(g, "Gather", onnx_add_tensor(g, &t), onnx_name("positions"), axis_0);
        const onnx_value left = sines ? onnx_1(g, "Neg", right, none) : right;
        snprintf(g->as, sizeof g->as, "rotary.%d.%ss", table, name);
        onnx_2(g, "Concat", left, right, last_axis);
    }
}

/* "mask.W" (n, past + n), W the window: 0, or next to -infinity where query i must not see key j. A query sees itself,
 * so no row is without a 0. */
static void onnx_mask(onnx_graph *g, int window) {
    const onnx_value query = onnx_name("queries"), key = onnx_name("keys");
    onnx_value hidden = onnx_2(g, "Greater", key, query, none);
    if (window) {
        const onnx_value before = onnx_2(g, "Sub", query, onnx_int(g, window), none);
        hidden = onnx_2(g, "Or", hidden, onnx_2(g, "LessOrEqual", key, before, none), none);
    }
    snprintf(g->as, sizeof g->as, "mask.%d", window);
    onnx_3(g, "Where", hidden, onnx_scalar(g, -FLT_MAX), onnx_scalar(g, 0), none);
}

/* "positions" (n) of the tokens; "queries" (n, 1) and "keys" (past + n): how many tokens stand before each. */
static void onnx_positions(onnx_graph *g) {
    const onnx_value zero = onnx_int(g, 0), one = onnx_int(g, 1);
    const onnx_value n = onnx_2(g, "Gather", onnx_1(g, "Shape", onnx_name("input_ids"), none), one, axis_0);
    const onnx_value shape = onnx_1(g, "Shape", onnx_name("past_key_values.0.key"), none);
    const onnx_value past = onnx_2(g, "Gather", shape, onnx_int(g, 2), axis_0);
    const onnx_value tokens = onnx_3(g, "Range", zero, n, one, none);
    strcpy(g->as, "positions");
    onnx_add(g, tokens, onnx_name("position"));
    const onnx_value rows = onnx_add(g, tokens, past);
    strcpy(g->as, "queries");
    onnx_2(g, "Unsqueeze", rows, onnx_ints(g, 1, 1, 0, 0, 0), none);
    const onnx_value end = onnx_add(g, past, n);
    strcpy(g->as, "keys");
    onnx_3(g, "Range", zero, end, one, none);
}

static int onnx_window(const onnx_graph *g, int layer) {
    return g->config->layers ? g->config->layers[layer].window : 0;
}

/* What a layer needs and none before it did. */
static void onnx_prepare(onnx_graph *g, int layer) {
    const int table = onnx_rotary_table(g, layer), window = onnx_window(g, layer);
    int new_table = table >= 0, new_window = 1;
    for (int l = 0; l < layer && (new_table || new_window); l++) {
        if (new_table && onnx_rotary_table(g, l) == table) new_table = 0;
        if (onnx_window(g, l) == window) new_window = 0;
    }
    if (new_table) onnx_rotations(g, table);
    if (new_window) onnx_mask(g, window);
}

/* ---- A layer ---- */

/* Queries or keys (n, heads * head_dim), normalised, as (heads, n, head_dim), turned: the halves a and b of a head
 * become a cos - b sin and b cos + a sin. */
static onnx_value onnx_turned_heads(onnx_graph *g, onnx_value x, enum tensor norm, int heads, int layer) {
    const onnx_attribute heads_first = {"perm", 3, {1, 0, 2}};
    const int wide = g->config->extras & LLAMA_WIDE_NORM, table = onnx_rotary_table(g, layer);
    onnx_value half[2];
    if (wide) x = onnx_norm(g, x, norm, layer);
    x = onnx_reshape(g, x, 3, -1, heads, g->config->head_dim, 0);
    if (!wide) x = onnx_norm(g, x, norm, layer);
    x = onnx_1(g, "Transpose", x, heads_first);
    if (table < 0) return x;
    onnx_node(g, "Split", &x, 1, half, 2, &last_axis);
    const onnx_value turned = onnx_2(g, "Concat", half[1], half[0], last_axis);
    return onnx_add(g, onnx_mul(g, x, onnx_name("rotary.%d.cosines", table)),
                    onnx_mul(g, turned, onnx_name("rotary.%d.sines", table)));
}

/* Keys or values (n_kv_heads, n, head_dim) behind those of the past: (1, n_kv_heads, past + n, head_dim). */
static onnx_value onnx_remember(onnx_graph *g, onnx_value heads, const char *what, int layer) {
    const onnx_value now = onnx_2(g, "Unsqueeze", heads, onnx_ints(g, 1, 0, 0, 0, 0), none);
    snprintf(g->as, sizeof g->as, "present.%d.%s", layer, what);
    return onnx_2(g, "Concat", onnx_name("past_key_values.%d.%s", layer, what), now, axis_2);
}

/* What attention adds, of x (n, dim). Queries that share a kv head stand one behind the other, as if they were of more
 * tokens: one product for each kv head, and its keys and values need not be repeated. Only the mask is by token. */
static onnx_value onnx_attention(onnx_graph *g, onnx_value x, int layer) {
    const llama_config *f = g->config;
    const onnx_attribute heads_first = {"perm", 3, {1, 0, 2}}, keys_last = {"perm", 4, {0, 1, 3, 2}};
    const int kv_heads = f->n_kv_heads, group = f->n_heads / kv_heads, width = f->head_dim;
    const float scale = f->attention_scale > 0 ? f->attention_scale : 1.0f / sqrtf((float)width);
    onnx_value q = onnx_product(g, x, TENSOR_WQ, TENSOR_Q_BIAS, layer);
    onnx_value k = onnx_product(g, x, TENSOR_WK, TENSOR_K_BIAS, layer);
    onnx_value v = onnx_product(g, x, TENSOR_WV, TENSOR_V_BIAS, layer);
    q = onnx_turned_heads(g, q, TENSOR_Q_NORM, f->n_heads, layer);
    k = onnx_turned_heads(g, k, TENSOR_K_NORM, kv_heads, layer);
    v = onnx_1(g, "Transpose", onnx_reshape(g, v, 3, -1, kv_heads, width, 0), heads_first);
    k = onnx_remember(g, k, "key", layer);
    v = onnx_remember(g, v, "value", layer);
    q = onnx_mul(g, onnx_reshape(g, q, 4, 1, kv_heads, -1, width), onnx_scalar(g, scale));
    onnx_value scores = onnx_2(g, "MatMul", q, onnx_1(g, "Transpose", k, keys_last), none);
    scores = onnx_reshape(g, onnx_cap(g, scores, f->score_cap), 4, kv_heads, group, -1, 0); /* 0: as it is */
    scores = onnx_add(g, scores, onnx_name("mask.%d", onnx_window(g, layer)));
    scores = onnx_reshape(g, onnx_1(g, "Softmax", scores, last_axis), 4, 1, kv_heads, -1, 0);
    x = onnx_reshape(g, onnx_2(g, "MatMul", scores, v, none), 3, f->n_heads, -1, width, 0);
    x = onnx_reshape(g, onnx_1(g, "Transpose", x, heads_first), 2, -1, f->n_heads * width, 0, 0);
    return onnx_product(g, x, TENSOR_WO, TENSOR_O_BIAS, layer);
}

/* (n, n_experts, 1) how much of each expert a token gets: of the likeliest ones, of equal ones the first, what the
 * router says, of all others 0. */
static onnx_value onnx_router(onnx_graph *g, onnx_value x, int layer) {
    const onnx_value scores = onnx_product(g, x, TENSOR_ROUTER, TENSORS, layer);
    const onnx_value all[] = {onnx_1(g, "Softmax", scores, last_axis),
                              onnx_ints(g, 1, g->config->n_experts_used, 0, 0, 0)};
    onnx_value best[2]; /* how likely, and which */
    onnx_node(g, "TopK", all, 2, best, 2, &last_axis);
    if (g->config->extras & LLAMA_RENORMALISE) {
        const onnx_value sum = onnx_2(g, "ReduceSum", best[0], onnx_ints(g, 1, -1, 0, 0, 0), none);
        best[0] = onnx_2(g, "Div", best[0], sum, none);
    }
    const onnx_value zeros = onnx_1(g, "ConstantOfShape", onnx_1(g, "Shape", all[0], none), none);
    const onnx_value shares = onnx_3(g, "ScatterElements", zeros, best[1], best[0], axis_1);
    return onnx_2(g, "Unsqueeze", shares, onnx_ints(g, 1, 2, 0, 0, 0), none);
}

/* w2 . (act(w1 . x) * (w3 . x)). A mixture computes all its experts, as one part so many times as wide, in which each
 * expert's share is multiplied in before w2 sums them up: no operator leaves products out by what comes in. */
static onnx_value onnx_feed_forward(onnx_graph *g, onnx_value x, int layer) {
    const llama_config *f = g->config;
    const onnx_value gate = onnx_product(g, x, TENSOR_W1, TENSORS, layer),
                     up = onnx_product(g, x, TENSOR_W3, TENSORS, layer);
    onnx_value inner = onnx_mul(g, onnx_activation(g, gate), up);
    if (f->layers && f->layers[layer].experts) {
        const onnx_value experts = onnx_reshape(g, inner, 3, -1, f->n_experts, f->expert_dim, 0);
        inner = onnx_mul(g, experts, onnx_router(g, x, layer));
        inner = onnx_reshape(g, inner, 2, -1, (int64_t)f->n_experts * f->expert_dim, 0, 0);
    }
    return onnx_product(g, inner, TENSOR_W2, TENSORS, layer);
}

static onnx_value onnx_layer(onnx_graph *g, onnx_value x, int layer) {
    snprintf(g->scope, sizeof g->scope, "layers.%d.self_attn", layer);
    const onnx_value heads = onnx_attention(g, onnx_norm(g, x, TENSOR_ATTENTION_NORM, layer), layer);
    x = onnx_add(g, x, onnx_norm(g, heads, TENSOR_ATTENTION_POST_NORM, layer));
    snprintf(g->scope, sizeof g->scope, "layers.%d.mlp", layer);
    const onnx_value inner = onnx_feed_forward(g, onnx_norm(g, x, TENSOR_FFN_NORM, layer), layer);
    return onnx_add(g, x, onnx_norm(g, inner, TENSOR_FFN_POST_NORM, layer));
}

/* ---- The whole ---- */

typedef struct {
    int64_t value;    /* 0: it is not known yet, */
    const char *name; /* but has this name */
} onnx_dim;

static void onnx_declare(onnx_graph *g, int field, const char *name, int type, const onnx_dim *dims, int n) {
    protobuf *p = &g->body;
    const size_t value = protobuf_open(p, field);
    protobuf_text(p, VALUE_NAME, name);
    const size_t outer = protobuf_open(p, VALUE_TYPE), tensor = protobuf_open(p, TYPE_TENSOR);
    protobuf_uint(p, TYPE_ELEMENT, (uint64_t)type);
    const size_t shape = protobuf_open(p, TYPE_SHAPE);
    for (int i = 0; i < n; i++) {
        const size_t dim = protobuf_open(p, SHAPE_DIM);
        if (dims[i].name) protobuf_text(p, DIM_PARAM, dims[i].name);
        else protobuf_uint(p, DIM_VALUE, (uint64_t)dims[i].value);
        protobuf_close(p, dim);
    }
    protobuf_close(p, shape), protobuf_close(p, tensor), protobuf_close(p, outer), protobuf_close(p, value);
}

static void onnx_inputs_and_outputs(onnx_graph *g) {
    const llama_config *f = g->config;
    const onnx_dim one = {1, NULL}, n = {0, "sequence_length"}, past = {0, "past_sequence_length"};
    const onnx_dim both = {0, "past_sequence_length + sequence_length"}, heads = {f->n_kv_heads, NULL},
                   width = {f->head_dim, NULL}, vocabulary = {f->vocab_size, NULL};
    const onnx_dim ids[] = {one, n}, before[] = {one, heads, past, width}, after[] = {one, heads, both, width},
                   logits[] = {one, n, vocabulary};
    onnx_declare(g, GRAPH_INPUT, "input_ids", ONNX_INT64, ids, 2);
    onnx_declare(g, GRAPH_INPUT, "position", ONNX_INT64, &one, 1);
    onnx_declare(g, GRAPH_OUTPUT, "logits", ONNX_FLOAT, logits, 3);
    for (int i = 0; i < 2 * f->n_layers; i++) {
        const char *what = i % 2 ? "value" : "key";
        onnx_declare(g, GRAPH_INPUT, onnx_name("past_key_values.%d.%s", i / 2, what).name, ONNX_FLOAT, before, 4);
        onnx_declare(g, GRAPH_OUTPUT, onnx_name("present.%d.%s", i / 2, what).name, ONNX_FLOAT, after, 4);
    }
}

static void onnx_build(onnx_graph *g) {
    const llama_config *f = g->config;
    protobuf_text(&g->body, GRAPH_NAME, "llama");
    onnx_inputs_and_outputs(g);
    strcpy(g->scope, "model");
    onnx_positions(g);
    for (int l = 0; l < f->n_layers; l++) onnx_prepare(g, l);
    const onnx_value embedding = onnx_weight(g, TENSOR_EMBEDDING, 0);
    const onnx_value ids = onnx_reshape(g, onnx_name("input_ids"), 1, -1, 0, 0, 0);
    onnx_value x = onnx_to_float(g, onnx_2(g, "Gather", embedding, ids, axis_0));
    if (f->embedding_scale > 0) x = onnx_mul(g, x, onnx_scalar(g, f->embedding_scale));
    for (int l = 0; l < f->n_layers; l++) x = onnx_layer(g, x, l);
    strcpy(g->scope, "lm_head");
    x = onnx_norm(g, x, TENSOR_FINAL_NORM, 0);
    const onnx_value classifier = f->shared_classifier ? embedding : onnx_weight(g, TENSOR_CLASSIFIER, 0);
    x = onnx_cap(g, onnx_linear(g, x, onnx_to_float(g, classifier), TENSORS, 0), f->logit_cap);
    strcpy(g->as, "logits");
    onnx_2(g, "Unsqueeze", x, onnx_ints(g, 1, 0, 0, 0, 0), none);
}

/* ---- Weights, row by row ---- */

/* Where number i of queries or keys, in the order of halves, stands in ours. */
static int onnx_neighbour(const llama_config *f, int i) {
    const int at = i % f->head_dim, half = f->head_dim / 2;
    return i - at + (at < half ? 2 * at : 2 * (at - half) + 1);
}

static int onnx_is_turned(int id) {
    return id == TENSOR_WQ || id == TENSOR_WK || id == TENSOR_Q_BIAS || id == TENSOR_K_BIAS || id == TENSOR_Q_NORM ||
           id == TENSOR_K_NORM;
}

/* As llama.c computes it, in double precision: at position 100,000 float32 would be off by a hundredth of a turn. */
static void onnx_rotary_row(const onnx_graph *g, const onnx_tensor *t, int position, float *out) {
    for (int i = 0; i < t->cols; i++) {
        const int at = t->id * t->cols + i;
        const double angle = (double)position * (double)g->frequencies[at];
        const double amplitude = g->amplitudes ? (double)g->amplitudes[at] : 1;
        out[i] = (float)((t->kind == ONNX_COSINES ? cos(angle) : sin(angle)) * amplitude);
    }
}

/* out (cols) = a row. other: room for as many. */
static void onnx_row(const onnx_graph *g, const onnx_tensor *t, int row, float *out, float *other) {
    const llama_config *f = g->config;
    const enum tensor id = (enum tensor)t->id;
    if (t->kind != ONNX_WEIGHT) {
        onnx_rotary_row(g, t, row, out);
    } else if (onnx_is_side_by_side(g, id, t->layer)) {
        for (int e = 0; e < f->n_experts; e++)
            inside_rows(g->model, id, t->layer, e * f->dim + row, 1, out + (size_t)e * (size_t)f->expert_dim);
    } else if (t->n_dims == 1 && onnx_is_turned(t->id)) {
        inside_rows(g->model, id, t->layer, 0, 1, other);
        for (int i = 0; i < t->cols; i++) out[i] = other[onnx_neighbour(f, i)];
    } else {
        inside_rows(g->model, id, t->layer, onnx_is_turned(t->id) ? onnx_neighbour(f, row) : row, 1, out);
    }
}

static void onnx_encode(int type, const float *x, int n, unsigned char *out) {
    for (int i = 0; type == ONNX_FLOAT && i < n; i++) put_f32(out + 4 * (size_t)i, x[i]);
    for (int i = 0; type == ONNX_FLOAT16 && i < n; i++) put_uint(out + 2 * (size_t)i, inside_to_f16(x[i]), 2);
}

/* ---- Files ---- */

typedef struct {
    const export_input *in;
    FILE *file;
    uint64_t done, total; /* bytes */
    llama_error *err;     /* what is written there gets the file's name before it */
} onnx_sink;

static int onnx_put(onnx_sink *s, const void *data, size_t size) {
    if (fwrite(data, 1, size, s->file) != size) return set_error(s->err, "cannot write: %s", strerror(errno));
    s->done += size;
    if (s->in->progress && s->in->progress(s->in->user, s->done, s->total)) return set_error(s->err, "cancelled");
    return 0;
}

/* Some rows at a time, about 4 MB of them. */
static int onnx_put_rows(onnx_sink *s, const onnx_graph *g, const onnx_tensor *t) {
    const int rows = t->n_dims == 1 ? 1 : t->rows, fit = (1 << 20) / t->cols + 1, step = fit < rows ? fit : rows;
    const char *type = t->type == ONNX_FLOAT16 ? "F16" : "F32";
    const size_t cols = (size_t)t->cols, bytes = cols * (t->type == ONNX_FLOAT16 ? 2 : 4);
    float *row = calloc(2 * cols, sizeof *row);
    unsigned char *out = malloc((size_t)step * bytes);
    int result = row && out ? 0 : set_error(s->err, "no memory for %d rows of %s", step, t->value.name);
    for (int first = 0, n; first < rows && !result; first += n) {
        n = rows - first < step ? rows - first : step;
        for (int i = 0; i < n && !result; i++) {
            onnx_row(g, t, first + i, row, row + cols);
            onnx_encode(t->type, row, t->cols, out + (size_t)i * bytes);
            if (overflow_count(overflow_end(type), row, cols))
                result = overflow_refuse(s->err, NULL, t->value.name, type);
        }
        if (!result) result = onnx_put(s, out, (size_t)n * bytes);
    }
    free(row), free(out);
    return result;
}

static int onnx_put_data(onnx_sink *s, const onnx_graph *g, const onnx_tensor *t) {
    return t->kind == ONNX_CONSTANT ? onnx_put(s, t->constant, (size_t)t->bytes) : onnx_put_rows(s, g, t);
}

static void onnx_put_entry(protobuf *p, int field, const char *key, const char *value) {
    const size_t opened = protobuf_open(p, field);
    protobuf_text(p, ENTRY_KEY, key);
    protobuf_text(p, ENTRY_VALUE, value);
    protobuf_close(p, opened);
}

/* An initializer but for the bytes that follow, if it is not outside. */
static void onnx_tensor_head(protobuf *p, const onnx_tensor *t, const char *location) {
    protobuf inner = {NULL, 0, 0, 0};
    for (int i = 0; i < t->n_dims; i++) protobuf_uint(&inner, INITIALIZER_DIMS, (uint64_t)t->dims[i]);
    protobuf_uint(&inner, INITIALIZER_TYPE, (uint64_t)t->type);
    protobuf_text(&inner, INITIALIZER_NAME, t->value.name);
    if (t->outside) {
        onnx_put_entry(&inner, INITIALIZER_EXTERNAL, "location", location);
        onnx_put_entry(&inner, INITIALIZER_EXTERNAL, "offset", onnx_name("%" PRIu64, t->offset).name);
        onnx_put_entry(&inner, INITIALIZER_EXTERNAL, "length", onnx_name("%" PRIu64, t->bytes).name);
        protobuf_uint(&inner, INITIALIZER_LOCATION, 1);
    } else {
        protobuf_announce(&inner, INITIALIZER_RAW, t->bytes);
    }
    protobuf_announce(p, GRAPH_INITIALIZER, inner.size + (t->outside ? 0 : t->bytes));
    protobuf_append(p, inner.data, inner.size);
    if (inner.failed) p->failed = 1;
    protobuf_free(&inner);
}

typedef struct {                 /* how a graph is laid out */
    const char *path, *location; /* of the graph; the second file's last name */
    protobuf head;               /* what stands before the graph's body */
    uint64_t graph, data;        /* bytes of the two files; data 0: there is one */
} onnx_layout;

/* Everything before the body, for a graph of size bytes. */
static void onnx_model_head(const onnx_graph *g, protobuf *p, uint64_t size) {
    protobuf_uint(p, MODEL_IR, ONNX_IR);
    protobuf_text(p, MODEL_PRODUCER, "llama.c");
    protobuf_text(p, MODEL_PRODUCER_VERSION, LLAMA_VERSION);
    const size_t opset = protobuf_open(p, MODEL_OPSET);
    protobuf_uint(p, OPSET_VERSION, ONNX_OPSET);
    protobuf_close(p, opset);
    onnx_put_entry(p, MODEL_METADATA, "context", onnx_name("%d", g->config->seq_len).name);
    if (*g->config->architecture) onnx_put_entry(p, MODEL_METADATA, "made_from", g->config->architecture);
    protobuf_announce(p, MODEL_GRAPH, size);
}

/* Sizes and places, with all tensors but the small ones outside, or none. -1: no memory. */
static int onnx_lay_out(onnx_graph *g, onnx_layout *out, int outside) {
    uint64_t size = g->body.size;
    int failed = g->failed || g->body.failed;
    out->data = 0;
    for (size_t i = 0; i < g->n_tensors && !failed; i++) {
        onnx_tensor *t = &g->tensors[i];
        protobuf head = {NULL, 0, 0, 0};
        t->outside = outside && t->bytes >= ONNX_SMALL;
        if (t->outside)
            t->offset = (out->data + ONNX_PAGE - 1) / ONNX_PAGE * ONNX_PAGE, out->data = t->offset + t->bytes;
        onnx_tensor_head(&head, t, out->location);
        size += head.size + (t->outside ? 0 : t->bytes);
        failed = head.failed;
        protobuf_free(&head);
    }
    protobuf_free(&out->head);
    onnx_model_head(g, &out->head, size);
    out->graph = out->head.size + size;
    return failed || out->head.failed ? -1 : 0;
}

static int onnx_put_graph(onnx_sink *s, const onnx_graph *g, const onnx_layout *layout) {
    int result = onnx_put(s, layout->head.data, layout->head.size);
    if (!result) result = onnx_put(s, g->body.data, g->body.size);
    for (size_t i = 0; i < g->n_tensors && !result; i++) {
        const onnx_tensor *t = &g->tensors[i];
        protobuf head = {NULL, 0, 0, 0};
        onnx_tensor_head(&head, t, layout->location);
        result = head.failed ? set_error(s->err, "no memory") : onnx_put(s, head.data, head.size);
        if (!result && !t->outside) result = onnx_put_data(s, g, t);
        protobuf_free(&head);
    }
    return result;
}

static int onnx_put_outside(onnx_sink *s, const onnx_graph *g) {
    static const char zeros[ONNX_PAGE];
    uint64_t at = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const onnx_tensor *t = &g->tensors[i];
        if (!t->outside) continue;
        if (onnx_put(s, zeros, (size_t)(t->offset - at)) || onnx_put_data(s, g, t)) return -1;
        at = t->offset + t->bytes;
    }
    return 0;
}

/* Both files are on the disk under their temporary names, then both are renamed: the graph last, since it is what is
 * opened. Before it there were no data, so there are none again if it fails. */
static int onnx_end_files(replacement *graph, replacement *data, llama_error *err) {
    if (data && (replacement_close(data, err) || replacement_close(graph, err)))
        return replacement_drop(data), replacement_drop(graph), -1;
    if (data && replacement_end(data, err)) return replacement_drop(graph), -1;
    if (!replacement_end(graph, err)) return 0;
    if (data) remove(data->path);
    return -1;
}

static int onnx_write_files(const export_input *in, const onnx_graph *g, const onnx_layout *layout,
                            const char *data_path, llama_error *err) {
    llama_error why = {0, ""};
    onnx_sink s = {in, NULL, 0, layout->graph + layout->data, &why};
    replacement graph, data;
    const int two = layout->data > 0;
    if (replacement_open(&graph, layout->path, err)) return -1;
    if (two && replacement_open(&data, data_path, err)) return replacement_drop(&graph), -1;
    s.file = graph.file;
    int result = onnx_put_graph(&s, g, layout);
    if (!result && fflush(graph.file)) result = set_error(&why, "cannot write: %s", strerror(errno));
    const char *name = result ? layout->path : data_path;
    if (!result && two) {
        s.file = data.file;
        result = onnx_put_outside(&s, g);
    }
    if (result) {
        replacement_drop(&graph);
        if (two) replacement_drop(&data);
        return set_error(err, "%.120s: %s", name, why.text);
    }
    return onnx_end_files(&graph, two ? &data : NULL, err);
}

/* ---- What export.h promises ---- */

static float *onnx_table(const llama_model *model, enum tensor id) {
    int rows, cols;
    if (!tensor_shape(llama_get_config(model), id, 0, &rows, &cols)) return NULL;
    float *x = malloc((size_t)cols * sizeof *x);
    if (x) inside_rows(model, id, 0, 0, 1, x);
    return x;
}

/* The type of the matrices; -1 with a message. */
static int onnx_type(const export_input *in, const char *path, llama_error *err) {
    const char *type = in->type;
    if (!type) type = strcmp(llama_get_config(in->model)->weight_type, "f32") ? "f16" : "f32";
    if (!strcmp(type, "f32")) return ONNX_FLOAT;
    if (!strcmp(type, "f16")) return ONNX_FLOAT16;
    return set_error(err, "%.120s: an ONNX file is written as f32 or f16, not as %.40s", path, type);
}

static void onnx_fill_report(const onnx_graph *g, const onnx_layout *layout, export_report *report) {
    const llama_config *f = g->config;
    int mixture = 0, two = f->rope_short > 0;
    for (int l = 0; f->layers && l < f->n_layers; l++) mixture |= f->layers[l].experts;
    memset(report, 0, sizeof *report);
    report->bytes = layout->graph + layout->data, report->format = "ONNX";
    strcpy(report->type, g->matrices == ONNX_FLOAT ? "F32" : "F16");
    snprintf(report->architecture, sizeof report->architecture, "%s", *f->architecture ? f->architecture : "llama");
    char *note = report->note;
    const size_t size = sizeof report->note;
    snprintf(note, size, "without a tokenizer");
    if (layout->data)
        snprintf(note + strlen(note), size - strlen(note), "; weights are in %.60s, beside it", layout->location);
    if (mixture)
        snprintf(note + strlen(note), size - strlen(note), "; all %d experts are computed for each token",
                 f->n_experts);
    if (two) snprintf(note + strlen(note), size - strlen(note), "; turns as a context of %d tokens does", f->seq_len);
}

static int onnx_write_graph(const export_input *in, onnx_graph *g, onnx_layout *layout, const char *data_path,
                            uint64_t in_one, llama_error *err) {
    const char *path = layout->path;
    if (g->config->extras & LLAMA_ROPE_AMPLITUDES) g->amplitudes = onnx_table(in->model, TENSOR_ROPE_AMPLITUDES);
    g->frequencies = onnx_table(in->model, TENSOR_ROPE);
    if (!g->frequencies || (g->config->extras & LLAMA_ROPE_AMPLITUDES && !g->amplitudes))
        return set_error(err, "%.120s: no memory", path);
    onnx_build(g);
    int failed = onnx_lay_out(g, layout, 0);
    if (!failed && layout->graph > in_one) failed = onnx_lay_out(g, layout, 1);
    if (failed) return set_error(err, "%.120s: no memory for a graph of %d nodes", path, g->nodes);
    if (layout->graph > in_one)
        return set_error(err, "%.120s: a graph of %" PRIu64 " bytes, beyond the %" PRIu64 " that ONNX allows", path,
                         layout->graph, in_one);
    return onnx_write_files(in, g, layout, data_path, err);
}

int onnx_write(const export_input *in, const char *path, uint64_t in_one, export_report *report, llama_error *err) {
    const int type = onnx_type(in, path, err);
    if (type < 0) return -1;
    if (is_special(path)) return set_error(err, "%.120s: is not a file", path);
    const size_t size = strlen(path) + sizeof ".data";
    char *data_path = malloc(size);
    if (!data_path) return set_error(err, "%.120s: no memory", path);
    snprintf(data_path, size, "%s.data", path);
    const char *slash = strrchr(data_path, '/');
    /* Another graph's: that would lose them, or who finds them beside this one takes them for its own. */
    if (file_start(data_path, &(char){0}, 1) >= 0 || is_special(data_path)) {
        set_error(err, "%.120s: exists, weights of another graph; not replaced", data_path);
        return free(data_path), -1;
    }
    onnx_graph g = {.model = in->model, .config = llama_get_config(in->model), .matrices = type};
    onnx_layout layout = {.path = path, .location = slash ? slash + 1 : data_path};
    const int result = onnx_write_graph(in, &g, &layout, data_path, in_one, err);
    if (!result && report) onnx_fill_report(&g, &layout, report);
    protobuf_free(&g.body), protobuf_free(&layout.head);
    free(g.tensors), free(g.frequencies), free(g.amplitudes), free(data_path);
    return result;
}

int export_onnx(const export_input *in, const char *path, export_report *report, llama_error *err) {
    return onnx_write(in, path, INT32_MAX, report, err);
}
