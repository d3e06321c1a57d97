/* inside.c - llama.c, and what inside.h shows of it. Whoever changes a name in llama.c finds here all that used it. */
#include "../../llama.c"

#include "inside.h"

/* A negative size does not compile: inside.h has said what llama.c says. */
#define SAME(name, of_llama_c) typedef char inside_same_##name[(int)INSIDE_##name == (int)(of_llama_c) ? 1 : -1]
SAME(HEADER, LL_HEADER);
SAME(ENTRY, LL_ENTRY);
SAME(VECTOR, LL_F32_ROWS);
SAME(F32, LL_F32);
SAME(BF16, LL_BF16);
SAME(Q8, LL_Q8);
SAME(Q4, LL_Q4);
SAME(TILE, LL_TILE);
SAME(LINE, LL_LINE);
SAME(Q8_GROUP, LL_Q8_GROUP);
SAME(Q4_GROUP, LL_Q4_GROUP);
SAME(BLOCK, LL_BLOCK);
#undef SAME

/* ---- The layout ---- */

const char *inside_magic(void) { return ll_magic; }

int inside_tensor_count(const llama_config *f) { return ll_tensor_count(f); }

inside_tensor inside_tensor_at(const llama_config *f, int i) {
    const ll_tensor t = ll_tensor_at(f, i);
    inside_tensor out = {.rows = t.rows, .cols = t.cols, .vector = t.vector};
    const char *dot = strrchr(t.name, '.'); /* "layers.3.wq" */
    int id = 0;
    memcpy(out.name, t.name, sizeof out.name);
    if (dot) out.layer = (int)strtol(t.name + strlen("layers."), NULL, 10);
    while (strcmp(tensor_name((enum tensor)id), dot ? dot + 1 : t.name)) id++;
    out.id = (enum tensor)id;
    return out;
}

size_t inside_tile_bytes(int type, int cols) { return ll_tile_bytes((ll_type)type, cols); }
size_t inside_matrix_bytes(int type, int rows, int cols) { return ll_matrix_bytes((ll_type)type, rows, cols); }

uint16_t inside_to_f16(float f) { return ll_to_f16(f); }
uint16_t inside_to_bf16(float f) { return ll_to_bf16(f); }

void inside_decode_tile(int type, const unsigned char *tile, int r, int cols, float *out) {
    ll_unpack_tiled((ll_type)type, tile, r, cols, out);
}

int inside_check_config(const llama_config *f, const char *name, llama_error *err) {
    return ll_check_config(f, name, err);
}

/* ---- A loaded model ---- */

static const ll_matrix *matrix_of(const llama_model *m, enum tensor id, int layer) {
    const ll_layer *w = &m->layers[layer];
    switch (id) {
    case TENSOR_EMBEDDING: return &m->embedding;
    case TENSOR_CLASSIFIER: return &m->classifier;
    case TENSOR_WQ: return &w->wq;
    case TENSOR_WK: return &w->wk;
    case TENSOR_WV: return &w->wv;
    case TENSOR_WO: return &w->wo;
    case TENSOR_W1: return &w->w1;
    case TENSOR_W2: return &w->w2;
    case TENSOR_W3: return &w->w3;
    default: return NULL;
    }
}

static const float *vector_of(const llama_model *m, enum tensor id, int layer) {
    switch (id) {
    case TENSOR_ROPE: return m->rope_frequencies;
    case TENSOR_FINAL_NORM: return m->final_norm;
    case TENSOR_ATTENTION_NORM: return m->layers[layer].attention_norm;
    case TENSOR_FFN_NORM: return m->layers[layer].ffn_norm;
    default: return NULL;
    }
}

void inside_rows(const llama_model *m, enum tensor id, int layer, int first, int count, float *out) {
    const ll_matrix *matrix = matrix_of(m, id, layer);
    const int size = id == TENSOR_ROPE ? m->config.head_dim / 2 : m->config.dim;
    if (!matrix) memcpy(out, vector_of(m, id, layer), (size_t)size * sizeof *out);
    for (int row = first; matrix && row < first + count; row++, out += matrix->cols) ll_unpack_row(matrix, row, out);
}

const void *inside_file(const llama_model *m, size_t *size) {
    *size = m->file_size;
    return m->file;
}

int inside_kv_bytes(const llama_context *c) { return (int)ll_kv_bytes(c); }

/* ---- Arithmetic ---- */

inside_kernels inside_find_kernels(void) {
    const ll_kernels *k = ll_find_kernels(NULL);
    const inside_kernels out = {.block = k->type[LL_F32].block,
                                .pack = k->type[LL_F32].pack,
                                .tile = k->type[LL_F32].tile,
                                .pair = k->type[LL_F32].tiles == 2 ? k->type[LL_F32].prompt : NULL,
                                .softmax = k->softmax,
                                .swiglu = k->swiglu};
    return out;
}

int inside_cores(void) {
#ifdef _OPENMP
    return ll_cores();
#else
    return 1;
#endif
}
