/* hf.c - a Hugging Face directory as an input of tools/convert: safetensors. hf_config.c reads config.json.
 *
 * A safetensors file is a little-endian uint64, that many bytes of JSON, and data. The JSON is an object with an
 * entry for each tensor: {"dtype": "BF16", "shape": [rows, cols], "data_offsets": [begin, end]}, offsets counted from
 * the first byte of data. As the format demands, the tensors fill the data without overlap or gap, so a file cut short
 * shows at once. A model may be spread over several such files, which model.safetensors.index.json names.
 *
 * Three things differ from what source.h promises, and are settled row by row as weights are read:
 *   - Hugging Face turns number i of a head together with number i + turning / 2, llama.c turns neighbours: the rows of
 *     queries and keys, and their biases and norms, are put in that order;
 *   - several matrices may be one tensor, of which each is a part;
 *   - experts are a tensor each.
 */
#include "hf.h"
#include "../shared/inside.h"
#include "../shared/files.h"
#include "../shared/messages.h"
#include "../shared/numbers.h"
#include "hf_tokenizer.h"
#include "json.h"
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HF_MAX_SHARDS 10000
#define HF_MAX_HEADER ((uint64_t)100000000) /* as in the reference implementation */
#define HF_LAYER_TENSORS (TENSORS - TENSOR_OF_LAYER)
#define HF_EXPERT_TENSORS 3 /* TENSOR_W1 and the two behind it */

typedef struct {
    uint64_t offset; /* in the file */
    int shard;       /* index of its file, -1: not found yet */
    short size;      /* bytes of a value: 4 is F32, 2 is F16 or BF16 */
    short is_bf16;
} hf_tensor;

typedef struct {
    llama_source base; /* first: the caller's pointer is ours */
    hf_form form;
    char **shards; /* (n_shards) paths */
    int n_shards;
    json_text index; /* model.safetensors.index.json, and its weight_map, while the directory is opened */
    json_index map;
    hf_tensor *tensors; /* see hf_find */
    int n_vision;       /* tensors skipped */
    FILE *file;         /* the shard read last; only one is open, since there may be more than a process may open */
    int open_shard;
} hf_source;

/* ---- Names of tensors ---- */

enum { HF_ALL = HF_LLAMA | HF_PHI | HF_INTERNLM };
#define HF_L "model.layers.#."

static const hf_name hf_names[] = {
    /* clang-format off */
    {"model.embed_tokens.weight",                  TENSOR_EMBEDDING,           1, HF_LLAMA | HF_PHI},
    {"model.tok_embeddings.weight",                TENSOR_EMBEDDING,           1, HF_INTERNLM},
    {"lm_head.weight",                             TENSOR_CLASSIFIER,          1, HF_LLAMA | HF_PHI},
    {"output.weight",                              TENSOR_CLASSIFIER,          1, HF_INTERNLM},
    {"model.norm.weight",                          TENSOR_FINAL_NORM,          1, HF_ALL},
    {HF_L "input_layernorm.weight",                TENSOR_ATTENTION_NORM,      1, HF_LLAMA | HF_PHI},
    {HF_L "post_attention_layernorm.weight",       TENSOR_FFN_NORM,            1, HF_TWO_NORMS},
    {HF_L "post_attention_layernorm.weight",       TENSOR_ATTENTION_POST_NORM, 1, HF_FOUR_NORMS},
    {HF_L "pre_feedforward_layernorm.weight",      TENSOR_FFN_NORM,            1, HF_FOUR_NORMS},
    {HF_L "post_feedforward_layernorm.weight",     TENSOR_FFN_POST_NORM,       1, HF_FOUR_NORMS},
    {HF_L "attention_norm.weight",                 TENSOR_ATTENTION_NORM,      1, HF_INTERNLM},
    {HF_L "ffn_norm.weight",                       TENSOR_FFN_NORM,            1, HF_INTERNLM},
    {HF_L "self_attn.q_proj.bias",                 TENSOR_Q_BIAS,              1, HF_LLAMA},
    {HF_L "self_attn.k_proj.bias",                 TENSOR_K_BIAS,              1, HF_LLAMA},
    {HF_L "self_attn.v_proj.bias",                 TENSOR_V_BIAS,              1, HF_LLAMA},
    {HF_L "self_attn.o_proj.bias",                 TENSOR_O_BIAS,              1, HF_LLAMA},
    {HF_L "attention.wqkv.bias",                   TENSOR_Q_BIAS,              3, HF_INTERNLM},
    {HF_L "attention.wo.bias",                     TENSOR_O_BIAS,              1, HF_INTERNLM},
    {HF_L "self_attn.q_norm.weight",               TENSOR_Q_NORM,              1, HF_LLAMA},
    {HF_L "self_attn.k_norm.weight",               TENSOR_K_NORM,              1, HF_LLAMA},
    {HF_L "self_attn.q_proj.weight",               TENSOR_WQ,                  1, HF_LLAMA},
    {HF_L "self_attn.k_proj.weight",               TENSOR_WK,                  1, HF_LLAMA},
    {HF_L "self_attn.v_proj.weight",               TENSOR_WV,                  1, HF_LLAMA},
    {HF_L "self_attn.qkv_proj.weight",             TENSOR_WQ,                  3, HF_PHI},
    {HF_L "attention.wqkv.weight",                 TENSOR_WQ,                  3, HF_INTERNLM},
    {HF_L "self_attn.o_proj.weight",               TENSOR_WO,                  1, HF_LLAMA | HF_PHI},
    {HF_L "attention.wo.weight",                   TENSOR_WO,                  1, HF_INTERNLM},
    {HF_L "mlp.gate_proj.weight",                  TENSOR_W1,                  1, HF_LLAMA},
    {HF_L "mlp.up_proj.weight",                    TENSOR_W3,                  1, HF_LLAMA},
    {HF_L "mlp.gate_up_proj.weight",               TENSOR_W1,                  2, HF_PHI},
    {HF_L "mlp.down_proj.weight",                  TENSOR_W2,                  1, HF_LLAMA | HF_PHI},
    {HF_L "feed_forward.w1.weight",                TENSOR_W1,                  1, HF_INTERNLM},
    {HF_L "feed_forward.w3.weight",                TENSOR_W3,                  1, HF_INTERNLM},
    {HF_L "feed_forward.w2.weight",                TENSOR_W2,                  1, HF_INTERNLM},
    {HF_L "block_sparse_moe.gate.weight",          TENSOR_ROUTER,              1, HF_MIXTRAL},
    {HF_L "block_sparse_moe.experts.#.w1.weight",  TENSOR_W1,                  1, HF_MIXTRAL},
    {HF_L "block_sparse_moe.experts.#.w3.weight",  TENSOR_W3,                  1, HF_MIXTRAL},
    {HF_L "block_sparse_moe.experts.#.w2.weight",  TENSOR_W2,                  1, HF_MIXTRAL},
    {HF_L "mlp.gate.weight",                       TENSOR_ROUTER,              1, HF_QWEN_MOE},
    {HF_L "mlp.experts.#.gate_proj.weight",        TENSOR_W1,                  1, HF_QWEN_MOE},
    {HF_L "mlp.experts.#.up_proj.weight",          TENSOR_W3,                  1, HF_QWEN_MOE},
    {HF_L "mlp.experts.#.down_proj.weight",        TENSOR_W2,                  1, HF_QWEN_MOE},
    /* clang-format on */
};
enum { HF_N_NAMES = sizeof hf_names / sizeof *hf_names };

typedef struct { /* what a name stands for */
    enum tensor tensor;
    int parts, layer, expert;
} hf_place;

static int hf_is_expert(const llama_config *f, enum tensor tensor, int layer) {
    return tensor >= TENSOR_W1 && f->layers && f->layers[layer].experts;
}

const hf_name *hf_name_at(int i) { return i < HF_N_NAMES ? &hf_names[i] : NULL; }

int hf_shape(const llama_config *f, enum tensor tensor, int layer, int *rows, int *cols) {
    tensor_shape(f, tensor, layer, rows, cols);
    if (tensor == TENSOR_CLASSIFIER) *rows = f->vocab_size;
    if (hf_is_expert(f, tensor, layer)) *rows /= f->n_experts;
    return *rows;
}

/* Where a tensor is: of the model, then of each layer all but its experts, then those of its first expert, ... */
static hf_tensor *hf_find(const hf_source *s, enum tensor tensor, int layer, int expert) {
    const size_t of_layer = HF_LAYER_TENSORS + HF_EXPERT_TENSORS * (size_t)s->base.config.n_experts;
    if (tensor < TENSOR_OF_LAYER) return &s->tensors[tensor];
    hf_tensor *first = s->tensors + TENSOR_OF_LAYER + (size_t)layer * of_layer;
    if (!hf_is_expert(&s->base.config, tensor, layer)) return &first[tensor - TENSOR_OF_LAYER];
    return &first[HF_LAYER_TENSORS + HF_EXPERT_TENSORS * (size_t)expert + (size_t)(tensor - TENSOR_W1)];
}

/* 1 if name is pattern with numbers in the place of #, which go to number, without zeros in front. */
static int hf_match(const char *pattern, const char *name, int number[2]) {
    for (int n = 0; *pattern; pattern++) {
        if (*pattern != '#') {
            if (*pattern != *name++) return 0;
            continue;
        }
        if (*name < '0' || *name > '9' || (*name == '0' && name[1] >= '0' && name[1] <= '9')) return 0;
        for (number[n] = 0; *name >= '0' && *name <= '9'; name++)
            number[n] = number[n] < 100000 ? 10 * number[n] + *name - '0' : 1000000;
        n++;
    }
    return !*name;
}

static int hf_starts(const char *text, const char *start) { return !strncmp(text, start, strlen(start)); }

static int hf_numbers(const char *pattern) { return *pattern ? (*pattern == '#') + hf_numbers(pattern + 1) : 0; }

int hf_has(const llama_config *f, const hf_form *form, const hf_name *name, int layer, int expert) {
    int rows, cols;
    if (!(name->names & form->names) || layer >= f->n_layers) return 0;
    const int is_expert = hf_is_expert(f, name->tensor, layer);
    if (is_expert != (hf_numbers(name->name) == 2) || expert >= (is_expert ? f->n_experts : 1)) return 0;
    return hf_shape(f, name->tensor, layer, &rows, &cols) > 0;
}

void hf_write_name(const char *pattern, int layer, int expert, char *name, size_t size) {
    size_t n = 0;
    for (int number = 0; *pattern && n + 12 < size; pattern++)
        if (*pattern != '#') name[n++] = *pattern;
        else n += (size_t)snprintf(name + n, size - n, "%d", number++ ? expert : layer);
    name[n] = 0;
}

/* The name as a model without vision has it; NULL: of the part for images. Two forms are about. */
static const char *hf_text_name(const hf_source *s, const char *name) {
    static const char old[] = "language_model.", new[] = "model.language_model.";
    if (!s->form.vision) return name;
    if (hf_starts(name, old)) return name + sizeof old - 1;
    if (hf_starts(name, new)) return name + sizeof new - sizeof "model.";
    if (hf_starts(name, "model.")) name += sizeof "model." - 1;
    return hf_starts(name, "vision_tower.") || hf_starts(name, "multi_modal_projector.") ? NULL : name;
}

/* Which tensor a name means. 1: found; 0: one that is not needed; -1: unknown. */
static int hf_parse_name(hf_source *s, const json_node *name, hf_place *place) {
    static const char unneeded[] = "rotary_emb.inv_freq";
    const size_t size = strlen(name->text), n = sizeof unneeded - 1;
    const char *text = hf_text_name(s, name->text);
    if (size != name->size) return -1; /* a zero byte inside */
    if (!text) return s->n_vision++, 0;
    for (int i = 0; i < HF_N_NAMES; i++) {
        int number[2] = {0, 0};
        if (!hf_match(hf_names[i].name, text, number) ||
            !hf_has(&s->base.config, &s->form, &hf_names[i], number[0], number[1]))
            continue;
        *place = (hf_place){hf_names[i].tensor, hf_names[i].parts, number[0], number[1]};
        return 1;
    }
    return size >= n && !strcmp(name->text + size - n, unneeded) ? 0 : -1;
}

/* ---- safetensors ---- */

typedef struct { /* one entry of a header */
    const json_node *name;
    uint64_t begin, end; /* data_offsets */
} hf_entry;

typedef struct { /* a header that is being read */
    hf_source *s;
    const char *path;
    int shard;
    uint64_t data, data_size; /* where the data begins, and its size */
    llama_error *err;
} hf_header;

static int hf_bad_tensor(const hf_header *h, const json_node *name, const char *what) {
    return set_error(h->err, "%.80s: tensor %.70s: %s", h->path, name->text, what);
}

static int hf_read_offsets(const hf_header *h, hf_entry *e) {
    const json_node *offsets = json_get(e->name + 1, "data_offsets");
    if (!json_is(offsets, JSON_ARRAY) || offsets->size != 2 || offsets->skip != 3 ||
        !json_whole(offsets + 1, &e->begin) || !json_whole(offsets + 2, &e->end))
        return hf_bad_tensor(h, e->name, "data_offsets is not two whole numbers");
    char what[120];
    snprintf(what, sizeof what, "data_offsets are %llu and %llu, the file has %llu bytes of data",
             (unsigned long long)e->begin, (unsigned long long)e->end, (unsigned long long)h->data_size);
    return e->begin <= e->end && e->end <= h->data_size ? 0 : hf_bad_tensor(h, e->name, what);
}

/* "shape" must be what the configuration says. */
static int hf_check_shape(const hf_header *h, const json_node *name, int is_vector, int rows, int cols) {
    const json_node *shape = json_get(name + 1, "shape");
    const uint32_t n = is_vector ? 1 : 2;
    uint64_t d[2] = {1, 0};
    if (json_is(shape, JSON_ARRAY) && shape->size == n && shape->skip == n + 1 && json_whole(shape + 1, &d[2 - n]) &&
        json_whole(shape + n, &d[1]) && d[0] == (uint64_t)rows && d[1] == (uint64_t)cols)
        return 0;
    char what[120], text[60] = "";
    if (json_is(shape, JSON_ARRAY)) {
        size_t at = 0;
        JSON_EACH(item, shape)
            if (at < sizeof text - 20)
                at += (size_t)snprintf(text + at, sizeof text - at, at ? ", %.12g" : "%.12g", item->number);
    }
    if (is_vector) snprintf(what, sizeof what, "shape is [%s], config.json implies [%d]", text, cols);
    else snprintf(what, sizeof what, "shape is [%s], config.json implies [%d, %d]", text, rows, cols);
    return hf_bad_tensor(h, name, what);
}

static int hf_read_type(const hf_header *h, const json_node *name, hf_tensor *t) {
    const json_node *type = json_get(name + 1, "dtype");
    char what[80];
    t->is_bf16 = (short)json_is_text(type, "BF16");
    t->size = json_is_text(type, "F32") ? 4 : json_is_text(type, "F16") || t->is_bf16 ? 2 : 0;
    snprintf(what, sizeof what, "dtype is %.20s, not F32, F16 or BF16",
             json_is(type, JSON_STRING) ? type->text : json_type_name(type));
    return t->size ? 0 : hf_bad_tensor(h, name, what);
}

/* 1 if a tensor that another file has too is to be taken from this one: the index says so. -1: it does not say. */
static int hf_is_meant(const hf_header *h, const json_node *name, int other) {
    const json_node *file = json_find(&h->s->map, name->text, name->size);
    for (int i = 0; i < 2 && json_is(file, JSON_STRING); i++) {
        const char *path = h->s->shards[i ? other : h->shard];
        const size_t size = strlen(path);
        if (size > file->size && path[size - file->size - 1] == '/' && !strcmp(path + size - file->size, file->text))
            return !i;
    }
    return hf_bad_tensor(h, name, "is in another file too, and the index does not say which is meant");
}

/* The parts of a tensor that has several lie one behind the other, or, for InternLM 2, begin in the same place: see
 * hf_row. */
static int hf_place_parts(const hf_header *h, const hf_entry *e, const hf_place *place) {
    hf_source *s = h->s;
    const int is_vector = tensor_is_vector(place->tensor);
    hf_tensor t = {.shard = h->shard, .offset = h->data + e->begin};
    int all_rows = 0, rows, cols = 0;
    char what[120];
    for (int i = 0; i < place->parts; i++) {
        hf_shape(&s->base.config, (enum tensor)((int)place->tensor + i), place->layer, &rows, &cols);
        all_rows += is_vector ? cols : rows;
    }
    if (is_vector) cols = 1;
    if (hf_read_type(h, e->name, &t)) return -1;
    if (hf_check_shape(h, e->name, is_vector, is_vector ? 1 : all_rows, is_vector ? all_rows : cols)) return -1;
    const uint64_t row = mul_size((uint64_t)cols, (uint64_t)t.size), size = mul_size((uint64_t)all_rows, row);
    snprintf(what, sizeof what, "data_offsets span %llu bytes, its shape and dtype %llu",
             (unsigned long long)(e->end - e->begin), (unsigned long long)size);
    if (e->end - e->begin != size) return hf_bad_tensor(h, e->name, what);
    for (int i = 0; i < place->parts; i++) {
        const enum tensor tensor = (enum tensor)((int)place->tensor + i);
        *hf_find(s, tensor, place->layer, place->expert) = t;
        hf_shape(&s->base.config, tensor, place->layer, &rows, &cols);
        if (!(s->form.names & HF_INTERNLM)) t.offset += (uint64_t)(is_vector ? cols : rows) * row;
    }
    return 0;
}

static int hf_read_entry(const hf_header *h, hf_entry *e) {
    hf_place place = {TENSOR_EMBEDDING, 1, 0, 0}; /* at -O1 gcc does not follow what sets it */
    if (!json_is(e->name + 1, JSON_OBJECT)) return hf_bad_tensor(h, e->name, "its entry is not an object");
    if (hf_read_offsets(h, e)) return -1;
    const int known = hf_parse_name(h->s, e->name, &place);
    if (known < 0) {
        const size_t n = strlen(e->name->text);
        return hf_bad_tensor(h, e->name,
                             n > 5 && !strcmp(e->name->text + n - 5, ".bias")
                                 ? "config.json implies no such bias"
                                 : "unknown, or of a layer or an expert beyond config.json's");
    }
    if (!known) return 0;
    const int other = hf_find(h->s, place.tensor, place.layer, place.expert)->shard;
    const int meant = other < 0 ? 1 : hf_is_meant(h, e->name, other);
    return meant > 0 ? hf_place_parts(h, e, &place) : meant;
}

static int hf_compare_entries(const void *a, const void *b) {
    const hf_entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* The tensors must follow each other from the first byte to the last. */
static int hf_check_cover(const hf_header *h, hf_entry *entries, size_t n) {
    uint64_t at = 0;
    char what[120];
    qsort(entries, n, sizeof *entries, hf_compare_entries);
    for (size_t i = 0; i < n; at = entries[i++].end) {
        snprintf(what, sizeof what, "data_offsets begin at %llu, the tensor before ends at %llu",
                 (unsigned long long)entries[i].begin, (unsigned long long)at);
        if (entries[i].begin != at) return hf_bad_tensor(h, entries[i].name, what);
    }
    if (at != h->data_size)
        return set_error(h->err, "%.120s: %llu bytes of data, but its tensors end at %llu", h->path,
                         (unsigned long long)h->data_size, (unsigned long long)at);
    return 0;
}

static int hf_read_entries(const hf_header *h, const json_node *root) {
    if (!json_is(root, JSON_OBJECT)) return set_error(h->err, "%.120s: the header is not an object", h->path);
    hf_entry *entries = malloc(((size_t)root->size + 1) * sizeof *entries);
    if (!entries) return set_error(h->err, "%.120s: no memory for %lu tensors", h->path, (unsigned long)root->size);
    size_t n = 0;
    int result = 0;
    JSON_EACH(name, root) {
        if (json_is_text(name, "__metadata__")) continue;
        entries[n].name = name;
        if ((result = hf_read_entry(h, &entries[n++]))) break;
    }
    if (!result) result = hf_check_cover(h, entries, n);
    free(entries);
    return result;
}

static int hf_open_shard(hf_source *s, int shard, llama_error *err) {
    if (s->open_shard == shard) return 0;
    if (s->file) fclose(s->file);
    s->open_shard = -1;
    s->file = fopen(s->shards[shard], "rb");
    if (!s->file) return set_error(err, "%.120s: cannot open: %s", s->shards[shard], strerror(errno));
    setvbuf(s->file, NULL, _IONBF, 0); /* rows are large and read once: do not copy them through a buffer */
    s->open_shard = shard;
    return 0;
}

static int hf_read_header(hf_source *s, int shard, llama_error *err) {
    const char *path = s->shards[shard];
    unsigned char bytes[8];
    uint64_t size = 0, header = 0;
    if (hf_open_shard(s, shard, err)) return -1;
    if (file_size(s->file, &size)) return set_error(err, "%.120s: not a file", path);
    if (size < 8) return set_error(err, "%.120s: %llu bytes, too few for safetensors", path, (unsigned long long)size);
    if (file_read_at(s->file, 0, bytes, 8)) return set_error(err, "%.120s: cannot read: %s", path, strerror(errno));
    for (int i = 8; i--;) header = header << 8 | bytes[i];
    if (header > size - 8 || header > HF_MAX_HEADER)
        return set_error(err, "%.120s: the header has %llu bytes in a file of %llu: not safetensors, or cut short",
                         path, (unsigned long long)header, (unsigned long long)size);
    char *text = malloc((size_t)header + 1);
    json_text json = {NULL, 0, NULL};
    int result = -1;
    if (!text) set_error(err, "%.120s: no memory for a header of %llu bytes", path, (unsigned long long)header);
    else if (file_read_at(s->file, 8, text, (size_t)header))
        set_error(err, "%.120s: cannot read: %s", path, strerror(errno));
    else if (!json_parse(&json, text, (size_t)header, path, err))
        result = hf_read_entries(&(hf_header){s, path, shard, 8 + header, size - 8 - header, err}, json.nodes);
    json_free(&json);
    free(text);
    return result;
}

/* ---- The files of a model ---- */

static int hf_add_shard(hf_source *s, const char *directory, const json_node *name, const char *index,
                        llama_error *err) {
    if (!json_is(name, JSON_STRING) || !name->size || strlen(name->text) != name->size || strpbrk(name->text, "/\\:") ||
        !strcmp(name->text, "..") || !strcmp(name->text, "."))
        return set_error(err, "%.120s: weight_map names the file \"%.60s\", which is no plain name", index,
                         json_is(name, JSON_STRING) ? name->text : json_type_name(name));
    const size_t skip = strlen(directory) + 1;
    for (int i = s->n_shards; i--;) /* from the last: neighbours in the map are mostly in the same file */
        if (!strcmp(s->shards[i] + skip, name->text)) return 0;
    if (s->n_shards == HF_MAX_SHARDS) return set_error(err, "%.120s: more than %d files", index, HF_MAX_SHARDS);
    s->shards[s->n_shards] = path_join(directory, name->text, err);
    return s->shards[s->n_shards] ? s->n_shards++, 0 : -1;
}

/* The index names the files, and says which is meant where two have the same tensor. What is in them, they say
 * themselves. */
static int hf_list_shards(hf_source *s, const char *directory, llama_error *err) {
    static const char single[] = "model.safetensors", index[] = "model.safetensors.index.json";
    s->shards = calloc(HF_MAX_SHARDS, sizeof *s->shards);
    if (!s->shards) return set_error(err, "%.120s: no memory", directory);
    if (file_is_in(directory, single))
        return (s->shards[0] = path_join(directory, single, err)) ? s->n_shards = 1, 0 : -1;
    if (!file_is_in(directory, index))
        return set_error(err, "%.120s: neither %s nor %s is there", directory, single, index);
    char *path = path_join(directory, index, err);
    if (!path || json_load(&s->index, path, err)) return free(path), -1;
    const json_node *map = json_get(s->index.nodes, "weight_map");
    int result = 0;
    if (!json_is(map, JSON_OBJECT) || !map->size)
        result = set_error(err, "%.120s: weight_map is %s, not an object of tensors", path,
                           json_is(map, JSON_OBJECT) ? "empty" : json_type_name(map));
    else if (json_index_make(&s->map, map)) result = set_error(err, "%.120s: no memory", path);
    else
        JSON_EACH(name, map)
            if ((result = hf_add_shard(s, directory, name + 1, path, err))) break;
    free(path);
    return result;
}

static int hf_missing(const char *directory, const char *pattern, int layer, int expert, llama_error *err) {
    char name[100];
    hf_write_name(pattern, layer, expert, name, sizeof name);
    return set_error(err, "%.120s: tensor %s is missing", directory, name);
}

static int hf_check_complete(const hf_source *s, const char *directory, llama_error *err) {
    const llama_config *f = &s->base.config;
    for (int layer = 0; layer < f->n_layers; layer++)
        for (int i = 0; i < HF_N_NAMES; i++) {
            const enum tensor tensor = hf_names[i].tensor;
            if (tensor == TENSOR_CLASSIFIER && f->shared_classifier) continue;
            for (int expert = 0; hf_has(f, &s->form, &hf_names[i], layer, expert); expert++)
                if (hf_find(s, tensor, layer, expert)->shard < 0)
                    return hf_missing(directory, hf_names[i].name, layer, expert, err);
        }
    return 0;
}

static int hf_rows(llama_source *base, enum tensor tensor, int layer, int first, int count, float *out,
                   llama_error *err);

/* Some files of models that share the embedding have it twice. If the two differ, it is not clear which is meant. */
static int hf_check_tied(hf_source *s, llama_error *err) {
    const llama_config *f = &s->base.config;
    if (!f->shared_classifier || hf_find(s, TENSOR_CLASSIFIER, 0, 0)->shard < 0) return 0;
    float *a = malloc(2 * (size_t)f->dim * sizeof *a);
    if (!a) return set_error(err, "no memory for two rows of the embedding");
    int result = 0;
    for (int row = 0; row < f->vocab_size && !result; row++) {
        result = hf_rows(&s->base, TENSOR_EMBEDDING, 0, row, 1, a, err) ||
                         hf_rows(&s->base, TENSOR_CLASSIFIER, 0, row, 1, a + f->dim, err)
                     ? -1
                     : 0;
        if (!result && memcmp(a, a + f->dim, (size_t)f->dim * sizeof *a))
            result = set_error(err,
                               "config.json: tie_word_embeddings is true, but lm_head.weight differs from "
                               "model.embed_tokens.weight in row %d",
                               row);
    }
    free(a);
    return result;
}

/* ---- The source ---- */

/* n values at p, as the file has them, to out. The two may overlap: p is at the end of where out will be, so that each
 * value is written no later than where those still to be read begin. */
static void hf_widen(const hf_tensor *t, const unsigned char *p, size_t n, float *out) {
    if (t->size == 4)
        for (size_t i = 0; i < n; i++, p += 4)
            out[i] = float_of_bits((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    else if (t->is_bf16)
        for (size_t i = 0; i < n; i++, p += 2) out[i] = float_of_bf16((uint16_t)(p[0] | p[1] << 8));
    else
        for (size_t i = 0; i < n; i++, p += 2) out[i] = float_of_f16((uint16_t)(p[0] | p[1] << 8));
}

/* out (rows, cols) as they lie in the file. */
static int hf_read_rows(hf_source *s, const hf_tensor *t, int first, int rows, int cols, float *out, llama_error *err) {
    const size_t n = (size_t)rows * (size_t)cols, size = (size_t)t->size;
    unsigned char *end = (unsigned char *)(out + n) - n * size;
    const uint64_t offset = t->offset + (uint64_t)first * (uint64_t)cols * size;
    if (hf_open_shard(s, t->shard, err)) return -1;
    errno = 0;
    if (file_read_at(s->file, offset, end, n * size))
        return set_error(err, "%.120s: cannot read %zu bytes at %llu: %s", s->shards[t->shard], n * size,
                         (unsigned long long)offset, errno ? strerror(errno) : "the file has become shorter");
    hf_widen(t, end, n, out);
    return 0;
}

int hf_row(const llama_config *f, const hf_form *form, enum tensor tensor, int row) {
    const int is_q = tensor == TENSOR_WQ || tensor == TENSOR_Q_BIAS || tensor == TENSOR_Q_NORM;
    const int is_v = tensor == TENSOR_WV || tensor == TENSOR_V_BIAS, share = f->n_heads / f->n_kv_heads;
    int head = row / f->head_dim, i = row % f->head_dim;
    if (!is_v && i < form->turning) i = i / 2 + i % 2 * (form->turning / 2);
    if (form->names & HF_INTERNLM) /* of each head of keys: its heads of queries, it, and its values */
        head = is_q ? head / share * (share + 2) + head % share : head * (share + 2) + share + is_v;
    return head * f->head_dim + i;
}

int hf_is_of_heads(enum tensor tensor) {
    return tensor == TENSOR_WQ || tensor == TENSOR_WK || tensor == TENSOR_WV ||
           (tensor >= TENSOR_Q_BIAS && tensor <= TENSOR_K_NORM && tensor != TENSOR_O_BIAS);
}

float hf_norm_offset(const hf_form *form, enum tensor tensor) {
    return tensor >= TENSOR_Q_BIAS && tensor <= TENSOR_O_BIAS ? 0 : (float)form->norm_offset;
}

/* out (n), which is not in the file's order. A head's numbers lie together. */
static int hf_read_heads(hf_source *s, const hf_tensor *t, enum tensor tensor, int n, float *out, llama_error *err) {
    const int head_dim = s->base.config.head_dim;
    float *head = malloc((size_t)head_dim * sizeof *head);
    int result = head ? 0 : set_error(err, "no memory for %d numbers", head_dim);
    for (int at = 0; at < n && !result; at += head_dim) {
        const int from = hf_row(&s->base.config, &s->form, tensor, at);
        result = hf_read_rows(s, t, from, head_dim, 1, head, err);
        for (int i = 0; i < head_dim && !result; i++)
            out[at + i] = head[hf_row(&s->base.config, &s->form, tensor, at + i) - from];
    }
    free(head);
    return result;
}

static int hf_read_vector(hf_source *s, enum tensor tensor, int layer, int n, float *out, llama_error *err) {
    const hf_tensor *t = hf_find(s, tensor, layer, 0);
    const float offset = hf_norm_offset(&s->form, tensor);
    const float factor = tensor == TENSOR_FINAL_NORM ? (float)s->form.final_factor : 1;
    if (hf_is_of_heads(tensor) ? hf_read_heads(s, t, tensor, n, out, err) : hf_read_rows(s, t, 0, 1, n, out, err))
        return -1;
    for (int i = 0; i < n; i++) out[i] = (out[i] + offset) * factor;
    return 0;
}

/* Rows that follow each other in the file too are read at once. */
static int hf_rows(llama_source *base, enum tensor tensor, int layer, int first, int count, float *out,
                   llama_error *err) {
    hf_source *s = (hf_source *)base;
    const int of_heads = hf_is_of_heads(tensor);
    int rows, cols;
    hf_shape(&s->base.config, tensor, layer, &rows, &cols);
    if (tensor_is_vector(tensor)) return hf_read_vector(s, tensor, layer, cols, out, err);
    for (int n; count; first += n, count -= n, out += (size_t)n * (size_t)cols) {
        const int expert = first / rows, row = first % rows,
                  from = of_heads ? hf_row(&s->base.config, &s->form, tensor, row) : row;
        n = count < rows - row ? count : rows - row;
        for (int i = 1; of_heads && i < n; i++)
            if (hf_row(&s->base.config, &s->form, tensor, row + i) != from + i) n = i;
        if (hf_read_rows(s, hf_find(s, tensor, layer, expert), from, n, cols, out, err)) return -1;
    }
    return 0;
}

/* What is of use while the directory is opened, and no longer. */
static void hf_drop_index(hf_source *s) {
    json_index_free(&s->map);
    json_free(&s->index);
}

static void hf_close(llama_source *base) {
    hf_source *s = (hf_source *)base;
    if (s->file) fclose(s->file);
    for (int i = 0; i < s->n_shards; i++) free(s->shards[i]);
    free(s->shards);
    free(s->tensors);
    hf_drop_index(s);
    source_release(base);
    free(s);
}

static int hf_open_weights(hf_source *s, const char *directory, llama_error *err) {
    const llama_config *f = &s->base.config;
    const size_t of_layer = HF_LAYER_TENSORS + HF_EXPERT_TENSORS * (size_t)f->n_experts; /* see hf_config.c's limits */
    const size_t n = TENSOR_OF_LAYER + (size_t)f->n_layers * of_layer;
    s->tensors = malloc(n * sizeof *s->tensors);
    if (!s->tensors) return set_error(err, "%.120s: no memory for %zu tensors", directory, n);
    for (size_t i = 0; i < n; i++) s->tensors[i] = (hf_tensor){.shard = -1};
    if (hf_list_shards(s, directory, err)) return -1;
    for (int i = 0; i < s->n_shards; i++)
        if (hf_read_header(s, i, err)) return -1;
    hf_drop_index(s);
    if (hf_check_complete(s, directory, err) || hf_check_tied(s, err)) return -1;
    const hf_tensor *embedding = hf_find(s, TENSOR_EMBEDDING, 0, 0);
    s->base.config.weight_type = embedding->size == 4 ? "f32" : embedding->is_bf16 ? "bf16" : "f16";
    if (s->n_vision) source_skip(&s->base, "vision tensors: %d", s->n_vision);
    return 0;
}

/* Whoever wants the model may have a tokenizer for it, or need none: that this one is not understood is no failure. */
static void hf_try_tokenizer(llama_source *s, const char *directory, const json_node *config) {
    if (!hf_read_tokenizer(s, directory, config, &s->tokenizer_error)) s->tokenizer_error.text[0] = 0;
}

llama_source *source_open_hf(const char *directory, const source_date *today, llama_error *err) {
    json_text config;
    char *path = path_join(directory, "config.json", err);
    hf_source *s = path ? calloc(1, sizeof *s) : NULL;
    if (!s) return free(path), set_error(err, "%.120s: no memory", directory), NULL;
    s->base.rows = hf_rows;
    s->base.close = hf_close;
    if (today) s->base.today = *today;
    s->open_shard = -1;
    int result = json_load(&config, path, err);
    if (!result) {
        result = hf_read_config(&s->base, &s->form, path, config.nodes, err) || hf_open_weights(s, directory, err) ||
                 hf_read_ropes(&s->base, &s->form, path, config.nodes, err);
        if (!result) hf_try_tokenizer(&s->base, directory, config.nodes);
        json_free(&config);
    }
    free(path);
    if (result) return hf_close(&s->base), NULL;
    return &s->base;
}
