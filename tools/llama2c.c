/* llama2c.c - a llama2.c checkpoint, of any version, as an input of tools/convert. Contract in source.h.
 *
 * llama.c reads these files already, so it is included here, with all of its functions private: the weights are
 * taken from the loaded model. Rows are in llama.c's rotary order, which is that of llama2.c. For the same
 * reason a .llama file is an input too, to make a smaller one of it.
 */
#define LLAMA_API static inline
#include "../llama.c"

#include "source.h"

typedef struct {
    llama_source base; /* first: the caller's pointer is ours */
    llama_model *model;
} llama2c_source;

static const float *llama2c_norm(const llama_model *m, enum source_tensor tensor, int layer) {
    if (tensor == SOURCE_FINAL_NORM) return m->final_norm;
    return tensor == SOURCE_ATTENTION_NORM ? m->layers[layer].attention_norm : m->layers[layer].ffn_norm;
}

static const ll_matrix *llama2c_matrix(const llama_model *m, enum source_tensor tensor, int layer) {
    const ll_layer *w = &m->layers[layer];
    switch (tensor) {
    case SOURCE_EMBEDDING: return &m->embedding;
    case SOURCE_CLASSIFIER: return &m->classifier;
    case SOURCE_WQ: return &w->wq;
    case SOURCE_WK: return &w->wk;
    case SOURCE_WV: return &w->wv;
    case SOURCE_WO: return &w->wo;
    case SOURCE_W1: return &w->w1;
    case SOURCE_W2: return &w->w2;
    case SOURCE_W3: return &w->w3;
    default: return NULL; /* a norm */
    }
}

static int llama2c_rows(llama_source *base, enum source_tensor tensor, int layer, int first, int count, float *out,
                        llama_error *err) {
    const llama_model *m = ((llama2c_source *)base)->model;
    const ll_matrix *matrix = llama2c_matrix(m, tensor, layer);
    (void)err; /* a mapped file has nothing left to fail */
    if (!matrix) memcpy(out, llama2c_norm(m, tensor, layer), (size_t)base->config.dim * sizeof *out);
    for (int row = first; matrix && row < first + count; row++, out += matrix->cols) ll_unpack_row(matrix, row, out);
    return 0;
}

static void llama2c_close(llama_source *base) {
    llama2c_source *s = (llama2c_source *)base;
    llama_free(s->model);
    free(base->rope_frequencies);
    free(base->tokenizer);
    free(s);
}

static void *llama2c_copy(const void *data, size_t size) {
    void *p = malloc(size ? size : 1);
    if (p && size) memcpy(p, data, size);
    return p;
}

/* Of llama2.c, the tokenizer is a file of its own, which the caller finds. */
llama_source *source_open_llama2c(const char *path, llama_error *err) {
    llama_model *model = llama_load(path, NULL, err);
    if (!model) return NULL;
    llama2c_source *s = calloc(1, sizeof *s);
    if (!s) return llama_free(model), source_fail(err, "%.120s: no memory", path), NULL;
    s->base.config = model->config;
    s->base.rows = llama2c_rows;
    s->base.close = llama2c_close;
    s->model = model;
    const void *tokenizer = llama_get_tokenizer(model, &s->base.tokenizer_size);
    s->base.rope_frequencies =
        llama2c_copy(model->rope_frequencies, (size_t)model->config.head_dim / 2 * sizeof(float));
    if (tokenizer) s->base.tokenizer = llama2c_copy(tokenizer, s->base.tokenizer_size);
    if (s->base.rope_frequencies && (!tokenizer || s->base.tokenizer)) return &s->base;
    llama2c_close(&s->base);
    return source_fail(err, "%.120s: no memory", path), NULL;
}
