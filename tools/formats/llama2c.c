/* llama2c.c - a llama2.c checkpoint, of any version, as an input of tools/convert. Contract in source.h.
 *
 * llama.c reads these files already: the weights are taken from the loaded model. Rows are in llama.c's rotary order,
 * which is that of llama2.c. For the same reason a .llama file is an input too, to make a smaller one of it.
 */
#include "../shared/inside.h"
#include "../shared/messages.h"
#include "source.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    llama_source base; /* first: the caller's pointer is ours */
    llama_model *model;
} llama2c_source;

static int llama2c_rows(llama_source *base, enum tensor tensor, int layer, int first, int count, float *out,
                        llama_error *err) {
    (void)err; /* a mapped file has nothing left to fail */
    inside_rows(((llama2c_source *)base)->model, tensor, layer, first, count, out);
    return 0;
}

static void llama2c_close(llama_source *base) {
    llama2c_source *s = (llama2c_source *)base;
    llama_free(s->model);
    source_release(base);
    free(s);
}

/* The rotary tables. -1: no memory. */
static int llama2c_ropes(llama_source *s, const llama_model *model) {
    float **const table[] = {&s->rope_frequencies, &s->rope_amplitudes};
    for (int i = 0, rows, cols; i < 2; i++) {
        if (!tensor_shape(&s->config, (enum tensor)(TENSOR_ROPE + i), 0, &rows, &cols)) continue;
        *table[i] = malloc((size_t)cols * sizeof(float));
        if (!*table[i]) return -1;
        inside_rows(model, (enum tensor)(TENSOR_ROPE + i), 0, 0, 1, *table[i]);
    }
    return 0;
}

/* Of llama2.c, the tokenizer is a file of its own, which the caller finds. */
llama_source *source_open_llama2c(const char *path, llama_error *err) {
    llama_model *model = llama_load(path, NULL, err);
    if (!model) return NULL;
    llama2c_source *s = calloc(1, sizeof *s);
    if (!s) return llama_free(model), set_error(err, "%.120s: no memory", path), NULL;
    s->base.config = *llama_get_config(model);
    s->base.rows = llama2c_rows;
    s->base.close = llama2c_close;
    s->model = model;
    const void *tokenizer = llama_get_tokenizer(model, &s->base.tokenizer_size);
    if (tokenizer) s->base.tokenizer = malloc(s->base.tokenizer_size);
    if (llama2c_ropes(&s->base, model) || (tokenizer && !s->base.tokenizer)) {
        llama2c_close(&s->base);
        return set_error(err, "%.120s: no memory", path), NULL;
    }
    if (tokenizer) memcpy(s->base.tokenizer, tokenizer, s->base.tokenizer_size);
    return &s->base;
}
