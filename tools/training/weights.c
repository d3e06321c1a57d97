/* weights.c - between model files and the weights of grad.h. Contract in weights.h. */
#include "weights.h"
#include "../formats/writer.h"
#include "../shared/inside.h"
#include "../shared/messages.h"
#include "grad.h"

#include <stdlib.h>
#include <string.h>

void weights_free(model_weights *m) {
    free(m->rope), free(m->values), free(m->tokenizer);
    memset(m, 0, sizeof *m);
}

/* All that m holds of a loaded model. */
static int take_model(model_weights *m, const llama_model *model, llama_error *err) {
    const void *tokenizer = llama_get_tokenizer(model, &m->tokenizer_size);
    m->config = *llama_get_config(model);
    m->config.format = m->config.weight_type = NULL, m->config.layers = NULL; /* they go with the model */
    m->config.hash = 0;
    const size_t count = grad_count(&m->config);
    m->rope = malloc((size_t)m->config.head_dim / 2 * sizeof(float));
    m->values = count <= SIZE_MAX / sizeof(float) ? malloc(count * sizeof(float)) : NULL;
    if (tokenizer) m->tokenizer = malloc(m->tokenizer_size);
    if (!m->rope || !m->values || (tokenizer && !m->tokenizer))
        return set_error(err, "no memory for %zu weights", count);
    if (tokenizer) memcpy(m->tokenizer, tokenizer, m->tokenizer_size);
    inside_rows(model, TENSOR_ROPE, 0, 0, 1, m->rope);
    for (int i = 0; i < grad_tensor_count(&m->config); i++) {
        const grad_tensor t = grad_tensor_at(&m->config, i);
        inside_rows(model, t.id, t.layer, 0, t.rows, m->values + t.offset);
    }
    return 0;
}

/* 1 if the gradients of grad.c are those of such a model. */
static int is_plain_llama(const llama_config *f) {
    for (int l = 0; l < f->n_layers; l++)
        if (f->layers[l].rope || f->layers[l].window || f->layers[l].experts) return 0;
    return !f->extras && !(f->attention_scale > 0) && !(f->embedding_scale > 0) && !(f->score_cap > 0) &&
           !(f->logit_cap > 0) && f->n_ropes <= 1 && !f->rope_short;
}

int weights_load(model_weights *m, const char *path, llama_error *err) {
    llama_model *model = llama_load(path, NULL, err);
    memset(m, 0, sizeof *m);
    if (!model) return -1;
    const llama_config *f = llama_get_config(model);
    const int result = is_plain_llama(f)
                           ? take_model(m, model, err)
                           : set_error(err, "%.120s: made from %s, which is more than a Llama: only those are trained",
                                       path, *f->architecture ? f->architecture : "a relative");
    llama_free(model);
    if (result) weights_free(m);
    return result;
}

static int give_rows(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *err) {
    const model_weights *m = user;
    const grad_tensor t = grad_find_tensor(&m->config, tensor, layer);
    (void)err;
    memcpy(out, m->values + t.offset + (size_t)first * (size_t)t.cols, (size_t)count * (size_t)t.cols * sizeof *out);
    return 0;
}

static writer_input input_of(const model_weights *m, int type) {
    const writer_input in = {.config = m->config,
                             .rope_frequencies = m->rope,
                             .type = type,
                             .tokenizer = m->tokenizer,
                             .tokenizer_size = m->tokenizer_size,
                             .rows = give_rows,
                             .user = (void *)(uintptr_t)m}; /* not written to */
    return in;
}

int weights_save(const model_weights *m, int type, const char *path, llama_error *err) {
    const writer_input in = input_of(m, type);
    return writer_write(&in, path, NULL, err);
}

int weights_build(const model_weights *m, int type, void **data, size_t *size, llama_error *err) {
    const writer_input in = input_of(m, type);
    return writer_build(&in, data, size, NULL, err);
}
