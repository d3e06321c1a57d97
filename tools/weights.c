/* weights.c - between model files and the weights of grad.h. Contract in weights.h. */
#if defined(__unix__) || defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L /* fsync and fileno in writer.h */
#endif

#define LLAMA_API static inline /* what is not called, the kernels above all, is not compiled */
#include "writer.h"

#include "grad.h"
#include "weights.h"

int weights_check(const llama_config *f, const char *name, llama_error *err) { return ll_check_config(f, name, err); }

int weights_type(const char *name) { return writer_type(name); }

void weights_free(model_weights *m) {
    free(m->rope), free(m->values), free(m->tokenizer);
    memset(m, 0, sizeof *m);
}

static int load_values(model_weights *m, llama_source *s, llama_error *err) {
    for (int i = 0; i < grad_tensor_count(&m->config); i++) {
        const grad_tensor t = grad_tensor_at(&m->config, i);
        if (s->rows(s, t.id, t.layer, 0, t.rows, m->values + t.offset, err)) return -1;
    }
    return 0;
}

int weights_load(model_weights *m, const char *path, llama_error *err) {
    llama_source *s = source_open_llama2c(path, err);
    memset(m, 0, sizeof *m);
    if (!s) return -1;
    const size_t count = grad_count(&s->config);
    m->config = s->config;
    m->config.format = m->config.weight_type = NULL; /* they go with the source */
    m->rope = s->rope_frequencies, m->tokenizer = s->tokenizer, m->tokenizer_size = s->tokenizer_size;
    s->rope_frequencies = NULL, s->tokenizer = NULL;
    m->values = count <= SIZE_MAX / sizeof(float) ? malloc(count * sizeof(float)) : NULL;
    const int result = m->values ? load_values(m, s, err) : source_fail(err, "no memory for %zu weights", count);
    s->close(s);
    if (result) weights_free(m);
    return result;
}

static int give_rows(void *user, enum source_tensor tensor, int layer, int first, int count, float *out,
                     llama_error *err) {
    const model_weights *m = user;
    const grad_tensor t = grad_find_tensor(&m->config, tensor, layer);
    (void)err;
    memcpy(out, m->values + t.offset + (size_t)first * (size_t)t.cols, (size_t)count * (size_t)t.cols * sizeof *out);
    return 0;
}

static writer_input input_of(const model_weights *m, int type) {
    const writer_input in = {.config = m->config, .rope_frequencies = m->rope, .type = type,
                             .tokenizer = m->tokenizer, .tokenizer_size = m->tokenizer_size,
                             .rows = give_rows, .user = (void *)(uintptr_t)m}; /* not written to */
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
