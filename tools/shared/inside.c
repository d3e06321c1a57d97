/* inside.c - llama.c, and what inside.h shows of it. Whoever changes a name in llama.c finds here all that used it. */
#include "../../llama.c"

#include "inside.h"

/* A negative size does not compile: inside.h has said what llama.c says. */
#define SAME(name, of_llama_c) typedef char inside_same_##name[(int)INSIDE_##name == (int)(of_llama_c) ? 1 : -1]
SAME(HEADER, LL_HEADER);
SAME(KIND, LL_KIND);
SAME(ENTRY, LL_ENTRY);
SAME(VECTOR, LL_F32_ROWS);
SAME(F32, LL_F32);
SAME(BF16, LL_BF16);
SAME(Q8, LL_Q8);
SAME(Q4_0, LL_Q4_0);
SAME(Q4, LL_Q4);
SAME(Q6, LL_Q6);
SAME(TILE, LL_TILE);
SAME(LINE, LL_LINE);
SAME(Q8_GROUP, LL_Q8_GROUP);
SAME(Q4_GROUP, LL_Q4_GROUP);
SAME(BLOCK, LL_BLOCK);
#undef SAME
typedef char inside_same_tensors
    [(int)TENSORS == (int)LL_TENSORS && (int)TENSOR_WQ == (int)LL_WQ && (int)TENSOR_Q_BIAS == (int)LL_Q_BIAS ? 1 : -1];

/* ---- The layout ---- */

const char *inside_magic(void) { return ll_magic; }

size_t inside_tensor_count(const llama_config *f) {
    size_t n = 0;
    for (int l = 0; l < f->n_layers; l++)
        for (int id = l ? LL_OF_LAYER : 0; id < LL_TENSORS; id++) n += ll_tensor_of(f, id, l).rows > 0;
    return n;
}

inside_tensor inside_tensor_of(const llama_config *f, enum tensor id, int layer) {
    const ll_tensor t = ll_tensor_of(f, (int)id, layer);
    inside_tensor out = {t.name, t.rows, t.cols, t.vector, 0, 0};
    if (f->layers && id > TENSOR_ROUTER && f->layers[layer].experts)
        out.experts = f->n_experts, out.expert_rows = id == TENSOR_W2 ? f->dim : f->expert_dim;
    return out;
}

const char *tensor_name(enum tensor id) {
    static const llama_config any;
    return inside_tensor_of(&any, id, 0).name;
}

int tensor_shape(const llama_config *f, enum tensor id, int layer, int *rows, int *cols) {
    const inside_tensor t = inside_tensor_of(f, id, layer);
    *rows = t.experts ? t.experts * t.expert_rows : t.rows, *cols = t.cols;
    return *rows;
}

int tensor_is_vector(enum tensor id) { return id != TENSOR_EMBEDDING && id != TENSOR_CLASSIFIER && id < TENSOR_WQ; }

size_t inside_tile_bytes(int type, int cols) { return ll_tile_bytes((ll_type)type, cols); }
size_t inside_matrix_bytes(int type, int rows, int cols) { return ll_matrix_bytes((ll_type)type, rows, cols); }

uint64_t inside_hash(uint64_t hash, const unsigned char *p, size_t size) { return ll_hash(hash, p, size); }

const signed char *inside_q4_values(void) { return ll_q4_values; }

uint16_t inside_to_f16(float f) { return ll_to_f16(f); }
uint16_t inside_to_bf16(float f) { return ll_to_bf16(f); }

void inside_decode_tile(int type, const unsigned char *tile, int r, int cols, float *out) {
    ll_unpack_tiled((ll_type)type, tile, r, cols, out);
}

int inside_check_config(const llama_config *f, const char *name, llama_error *err) {
    return ll_check_config(f, name, err);
}

/* ---- A loaded model ---- */

void inside_rows(const llama_model *m, enum tensor id, int layer, int first, int count, float *out) {
    llama_model copy = *m; /* only the addresses of its fields are asked for */
    const inside_tensor t = inside_tensor_of(&m->config, id, layer);
    if (t.vector) memcpy(out, *(const float **)ll_tensor_at(&copy, (int)id, layer), (size_t)t.cols * sizeof *out);
    for (int row = first; !t.vector && row < first + count; row++, out += t.cols) {
        const int at = t.experts ? row / t.expert_rows * (int)ll_pad(t.expert_rows) + row % t.expert_rows : row;
        ll_unpack_row((const ll_matrix *)ll_tensor_at(&copy, (int)id, layer), at, out);
    }
}

/* The matrix and in *row its own number of a row, as inside_rows has them; NULL: a vector. */
static const ll_matrix *inside_matrix(const llama_model *m, enum tensor id, int layer, int *row) {
    llama_model *unchanged = (llama_model *)m; /* as ll_tensor_at is for those who fill in a model */
    const inside_tensor t = inside_tensor_of(&m->config, id, layer);
    if (t.vector) return NULL;
    if (t.experts) *row = *row / t.expert_rows * (int)ll_pad(t.expert_rows) + *row % t.expert_rows;
    return (const ll_matrix *)ll_tensor_at(unchanged, (int)id, layer);
}

int inside_type(const llama_model *m, enum tensor id, int layer) {
    int row = 0;
    const ll_matrix *w = inside_matrix(m, id, layer, &row);
    return w && w->type < LL_Q8_ROWS ? (int)w->type : INSIDE_VECTOR;
}

void inside_codes(const llama_model *m, enum tensor id, int layer, int row, signed char *codes, uint16_t *scales) {
    const ll_matrix *w = inside_matrix(m, id, layer, &row);
    const int q8 = w->type == LL_Q8, group = q8 ? LL_Q8_GROUP : LL_Q4_GROUP, step = q8 ? 4 : 8; /* columns of a line */
    const size_t tile = (size_t)(row / LL_TILE) * ll_tile_bytes(w->type, w->cols), r = (size_t)(row % LL_TILE);
    const unsigned char *line = (const unsigned char *)w->data + tile;
    for (int k = 0; k < w->cols; k += step, line += LL_LINE) {
        if (k % (2 * group) == 0) { /* the scales of two groups, of which the second may not be there */
            for (int i = 0; i < 2 && k + i * group < w->cols; i++) *scales++ = ll_u16(line + 32 * (size_t)i + 2 * r);
            line += LL_LINE;
        }
        const unsigned char *q = line + 4 * r;
        for (int j = 0; j < step && k + j < w->cols; j++)
            *codes++ = (signed char)(q8 ? (signed char)q[j] : (q[j % 4] >> j / 4 * 4 & 15) - 8);
    }
}

const void *inside_file(const llama_model *m, size_t *size) {
    *size = m->file_size;
    return m->file;
}

double inside_kv_bytes(const llama_context *c) {
    return (double)(ll_state_bytes(c, LLAMA_PAGE) - LL_STATE) / LLAMA_PAGE;
}

/* ---- Arithmetic ---- */

inside_kernels inside_find_kernels(void) {
    const ll_kernels *k = ll_find_kernels(NULL);
    const inside_kernels out = {.block = k->type[LL_F32].block,
                                .pack = k->type[LL_F32].pack,
                                .tile = k->type[LL_F32].tile,
                                .pair = k->type[LL_F32].tiles == 2 ? k->type[LL_F32].prompt : NULL,
                                .softmax = k->softmax,
                                .swiglu = k->gate[0]};
    return out;
}

int inside_cores(void) {
#ifdef _OPENMP
    return ll_cores();
#else
    return 1;
#endif
}

/* ---- One layer by itself ---- */

struct inside_layer {
    llama_model model; /* of this layer alone */
    ll_layer layer;
    llama_layer_kind kind;
    llama_context *context;
    float *zeros; /* (dim) */
};

static void inside_one_layer(const llama_config *f, int layer, llama_model *m, llama_layer_kind *kind) {
    const llama_layer_kind plain = {0, 0, 0};
    memset(m, 0, sizeof *m);
    *kind = f->layers ? f->layers[layer] : plain;
    m->config = *f, m->config.layers = kind, m->kinds = kind;
    m->config.n_layers = 1, m->config.vocab_size = 1;
    m->allocator = ll_allocator_of(NULL);
}

static const llama_options *inside_layer_options(llama_options *o, int n_ctx) {
    memset(o, 0, sizeof *o);
    o->n_ctx = o->n_batch = n_ctx, o->n_threads = 1;
    return o;
}

size_t inside_layer_bytes(const llama_config *f, int layer, int n_ctx) {
    inside_layer l;
    llama_options o;
    memset(&l, 0, sizeof l);
    inside_one_layer(f, layer, &l.model, &l.kind);
    l.model.layers = &l.layer;
    return ll_add(llama_context_bytes(&l.model, inside_layer_options(&o, n_ctx)),
                  sizeof l + (size_t)f->dim * sizeof(float));
}

inside_layer *inside_layer_open(const llama_config *f, int layer, const float *rope_frequencies,
                                const float *rope_amplitudes, float *const tensor[TENSORS], int n_ctx) {
    inside_layer *l = (inside_layer *)calloc(1, sizeof *l);
    llama_options o;
    if (!l) return NULL;
    inside_one_layer(f, layer, &l->model, &l->kind);
    l->model.layers = &l->layer;
    l->model.rope_frequencies = rope_frequencies, l->model.rope_amplitudes = rope_amplitudes;
    for (int id = LL_OF_LAYER; id < LL_TENSORS; id++) {
        const ll_tensor t = ll_tensor_of(&l->model.config, id, 0);
        const ll_matrix m = {tensor[id], NULL, 0, t.rows, t.cols, LL_F32_ROWS};
        if (!t.rows) continue;
        if (t.vector) *(const float **)ll_tensor_at(&l->model, id, 0) = tensor[id];
        else *(ll_matrix *)ll_tensor_at(&l->model, id, 0) = m;
    }
    l->zeros = (float *)calloc((size_t)f->dim, sizeof *l->zeros);
    l->context = llama_context_create(&l->model, inside_layer_options(&o, n_ctx), NULL);
    if (!l->zeros || !l->context) return inside_layer_close(l), NULL;
    ll_prepare_rope(l->context, l->context->n_ctx);
    return l;
}

void inside_layer_close(inside_layer *l) {
    if (!l) return;
    llama_context_free(l->context);
    free(l->zeros), free(l);
}

static void inside_copy_rows(float *out, size_t out_stride, const float *x, size_t stride, int rows, int cols) {
    for (int i = 0; i < rows; i++, out += out_stride, x += stride) memcpy(out, x, (size_t)cols * sizeof *out);
}

/* The layer up to a part: the products from there on have no rows, so that nothing is computed or written; and what was
 * in branch before is not added once more. */
static void inside_run_before(inside_layer *l, ll_team team, enum inside_part part, int n) {
    const ll_layer whole = l->layer;
    const int experts = l->kind.experts;
    l->layer.w1.rows = part <= INSIDE_GATE_UP ? 0 : whole.w1.rows;
    l->layer.w3.rows = part <= INSIDE_GATE_UP ? 0 : whole.w3.rows;
    l->layer.w2.rows = part <= INSIDE_DOWN && !(experts && part == INSIDE_DOWN) ? 0 : whole.w2.rows;
    if (part == INSIDE_O) l->layer.wo.rows = 0;
    if (part <= INSIDE_DOWN && whole.ffn_post_norm) l->layer.ffn_post_norm = l->zeros;
    if (part <= INSIDE_GATE_UP) l->kind.experts = 0;
    llama_context *c = l->context;
    const llama_item item = {0, n, NULL, NULL, NULL, NULL, 0};
    c->at = c->done = 0, c->cancelled = 1; /* as if that ended it: nothing is kept */
    ll_make_room(c, &item), ll_begin_chunk(c, &item, n);
    ll_forward_layer(team, c, 0, n);
    ll_end_item(c, &item);
    l->layer = whole, l->kind.experts = experts;
}

/* Which rows are whose: sorting has moved each expert's begin to its end. */
static void inside_copy_routes(const inside_layer *l, int n, inside_routes *routes) {
    const llama_config *f = &l->model.config;
    const ll_mixture *m = &l->context->mixture;
    memcpy(routes->token, m->token, (size_t)n * (size_t)f->n_experts_used * sizeof *m->token);
    routes->begin[0] = 0;
    for (int e = 0; e < f->n_experts; e++) routes->begin[e + 1] = m->begin[e];
}

/* As ll_mix_experts begins. */
static void inside_route(inside_layer *l, ll_team team, int n, inside_routes *routes) {
    llama_context *c = l->context;
    const ll_product router = {l->layer.router, c->mixture.scores, c->router_stride, 0, NULL, c->packed, n};
    ll_norm(team, c, c->x, l->layer.ffn_norm, &l->layer.router, n);
    ll_multiply(team, c, &router, 1);
    ll_choose_experts(team, c, n);
    ll_sort_by_expert(c, &l->layer, n);
    inside_copy_routes(l, n, routes);
}

void inside_layer_run(inside_layer *l, float *x, int n, enum inside_part part, float *out, inside_routes *routes) {
    llama_context *c = l->context;
    const llama_config *f = &l->model.config;
    const ll_layer *w = &l->layer;
    const float *norm = part == INSIDE_QKV ? w->attention_norm : w->ffn_norm;
    const int mixture = l->kind.experts, q = f->n_heads * f->head_dim, dim = f->dim;
    ll_sync sync = {0, 0, 0, 0, 0, 0, 0, 0};
    const ll_team team = {0, 1, &sync};
    inside_copy_rows(c->x, c->dim_stride, x, (size_t)dim, n, dim);
    if (part > INSIDE_QKV) inside_run_before(l, team, part, n);
    inside_copy_rows(x, (size_t)dim, c->x, c->dim_stride, n, dim);
    if (part == INSIDE_O) inside_copy_rows(out, (size_t)q, c->heads, c->q_stride, n, q);
    if (part == INSIDE_QKV || part == INSIDE_GATE_UP)
        for (int t = 0; t < n; t++) {
            float *to = out + (size_t)t * (size_t)dim;
            if (norm) ll_rms_norm(to, x + (size_t)t * (size_t)dim, norm, dim, f->norm_eps);
            else memcpy(to, x + (size_t)t * (size_t)dim, (size_t)dim * sizeof *to);
        }
    if (mixture && part == INSIDE_GATE_UP) inside_route(l, team, n, routes);
    if (mixture && part == INSIDE_DOWN) inside_copy_routes(l, n, routes);
    if (part == INSIDE_DOWN)
        inside_copy_rows(out, (size_t)w->w2.cols, c->gate, c->hidden_stride, mixture ? n * f->n_experts_used : n,
                         w->w2.cols);
}

void inside_norm(float *out, const float *x, const float *weight, int dim, float eps) {
    ll_rms_norm(out, x, weight, dim, eps);
}

void inside_cap(float *x, int n, float cap) { ll_cap(x, n, cap); }
