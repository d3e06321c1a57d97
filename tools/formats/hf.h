/* hf.h - the tensors of a Hugging Face directory: their names, and where in them our rows are. For hf.c, which reads
 * them, and hf_writer.c.
 */
#ifndef HF_H
#define HF_H

#include "../shared/tensors.h"
#include "hf_config.h"

/* What a tensor is called. # is a number: of the layer, then of the expert. */
typedef struct {
    const char *name;
    enum tensor tensor;
    int parts; /* how many of ours it is: tensor and those that follow it */
    int names; /* of which models, see hf_config.h */
} hf_name;

const hf_name *hf_name_at(int i); /* NULL behind the last */

/* pattern with its numbers; name has room for size bytes. */
void hf_write_name(const char *pattern, int layer, int expert, char *name, size_t size);

/* 1 if a model has this tensor in this layer, and so many experts there. f->n_layers and f->layers count. */
int hf_has(const llama_config *f, const hf_form *form, const hf_name *name, int layer, int expert);

/* The (rows, cols) of a tensor, of one expert; of the classifier too where it is shared: it may be there all the same.
 * Returns rows, 0 if this model has it not. */
int hf_shape(const llama_config *f, enum tensor tensor, int layer, int *rows, int *cols);

/* 1 for queries, keys, values, their biases and norms: their rows have another order there. */
int hf_is_of_heads(enum tensor tensor);

/* The row of the file's tensor that is row of one of those, counted from where its part begins; InternLM 2's parts
 * all begin in the same place. */
int hf_row(const llama_config *f, const hf_form *form, enum tensor tensor, int row);

/* What a vector's weights lack. */
float hf_norm_offset(const hf_form *form, enum tensor tensor);

#endif
