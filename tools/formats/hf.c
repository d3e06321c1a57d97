/* hf.c - a Hugging Face directory as an input of tools/convert: config.json and safetensors.
 *
 * A safetensors file is a little-endian uint64, that many bytes of JSON, and data. The JSON is an object with an
 * entry for each tensor: {"dtype": "BF16", "shape": [rows, cols], "data_offsets": [begin, end]}, offsets counted from
 * the first byte of data. As the format demands, the tensors fill the data without overlap or gap, so a file cut short
 * shows at once. A model may be spread over several such files, which model.safetensors.index.json names.
 *
 * Hugging Face turns element i of a head together with element i + head_dim / 2, llama.c turns neighbours: the rows of
 * q_proj and k_proj are put in that order as they are read.
 */
#include "../shared/files.h"
#include "../shared/messages.h"
#include "../shared/numbers.h"
#include "hf_tokenizer.h"
#include "json.h"
#include "source.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HF_MAX_SIZE (1 << 28) /* of any dimension, as in llama.c */
#define HF_MAX_LAYERS 65536   /* a table is allocated for what config.json only claims */
#define HF_MAX_SHARDS 10000
#define HF_MAX_HEADER ((uint64_t)100000000) /* as in the reference implementation */
#define HF_LAYER_TENSORS (TENSORS - TENSOR_OF_LAYER)

typedef struct {
    int shard; /* index of its file, -1: not found yet */
    int size;  /* bytes of a value: 4 is F32, 2 is F16 or BF16 */
    int is_bf16;
    uint64_t offset; /* in the file */
} hf_tensor;

typedef struct {
    llama_source base; /* first: the caller's pointer is ours */
    char **shards;     /* (n_shards) paths */
    int n_shards;
    hf_tensor *tensors; /* (TENSOR_OF_LAYER + HF_LAYER_TENSORS * n_layers) see hf_find */
    FILE *file;         /* the shard read last; only one is open, since there may be more than a process may open */
    int open_shard;
} hf_source;

/* ---- config.json ---- */

/* Reads fields of an object. The first bad one leaves its message and sets failed; null is as good as missing. */
typedef struct {
    const char *path;
    llama_error *err;
    int failed;
} hf_reader;

static void hf_bad(hf_reader *r, const char *key, const json_node *value, const char *wanted) {
    char shown[80];
    if (json_is(value, JSON_NUMBER)) snprintf(shown, sizeof shown, "%.17g", value->number);
    else if (json_is(value, JSON_STRING)) snprintf(shown, sizeof shown, "\"%.60s\"", value->text);
    else snprintf(shown, sizeof shown, "%s", json_type_name(value));
    if (!r->failed) set_error(r->err, "%.120s: %s is %s%s%s", r->path, key, shown, *wanted ? ", not " : "", wanted);
    r->failed = 1;
}

static const json_node *hf_field(const json_node *object, const char *key) {
    const json_node *value = json_get(object, key);
    return json_is(value, JSON_NULL) ? NULL : value;
}

/* Between 1 and HF_MAX_SIZE; fallback if it is missing, where 0 means that it must not be. */
static int hf_int(hf_reader *r, const json_node *object, const char *key, int fallback) {
    const json_node *value = hf_field(object, key);
    uint64_t n = 0;
    if (!value && fallback) return fallback;
    if (json_whole(value, &n) && n >= 1 && n <= HF_MAX_SIZE) return (int)n;
    hf_bad(r, key, value, "a whole number from 1 to 268435456");
    return 1;
}

/* Above 0; fallback as above. */
static double hf_number(hf_reader *r, const json_node *object, const char *key, double fallback) {
    const json_node *value = hf_field(object, key);
    if (!value && fallback > 0) return fallback;
    if (json_is(value, JSON_NUMBER) && value->number > 0 && value->number < 1e30) return value->number;
    hf_bad(r, key, value, "a number above 0");
    return 1;
}

static int hf_is_true(hf_reader *r, const json_node *object, const char *key) {
    const json_node *value = hf_field(object, key);
    if (value && value->type != JSON_TRUE && value->type != JSON_FALSE) hf_bad(r, key, value, "true or false");
    return json_is(value, JSON_TRUE);
}

static void hf_read_architecture(hf_reader *r, const json_node *root) {
    const json_node *list = hf_field(root, "architectures");
    const json_node *name = json_is(list, JSON_ARRAY) && list->size ? list + 1 : list;
    if (!json_is_text(name, "LlamaForCausalLM") && !json_is_text(name, "MistralForCausalLM"))
        hf_bad(r, "architectures", name, "LlamaForCausalLM or MistralForCausalLM");
    const json_node *activation = hf_field(root, "hidden_act");
    if (activation && !json_is_text(activation, "silu")) hf_bad(r, "hidden_act", activation, "silu");
    if (hf_is_true(r, root, "attention_bias")) hf_bad(r, "attention_bias", hf_field(root, "attention_bias"), "false");
    if (hf_is_true(r, root, "mlp_bias")) hf_bad(r, "mlp_bias", hf_field(root, "mlp_bias"), "false");
    if (hf_field(root, "quantization_config"))
        hf_bad(r, "quantization_config", hf_field(root, "quantization_config"),
               "null: quantised weights are not supported");
}

static void hf_read_sizes(hf_reader *r, const json_node *root, llama_config *f) {
    f->dim = hf_int(r, root, "hidden_size", 0);
    f->hidden_dim = hf_int(r, root, "intermediate_size", 0);
    f->n_layers = hf_int(r, root, "num_hidden_layers", 0);
    f->n_heads = hf_int(r, root, "num_attention_heads", 0);
    f->n_kv_heads = hf_int(r, root, "num_key_value_heads", f->n_heads);
    f->vocab_size = hf_int(r, root, "vocab_size", 0);
    f->seq_len = hf_int(r, root, "max_position_embeddings", 0);
    f->norm_eps = (float)hf_number(r, root, "rms_norm_eps", 1e-6);
    f->shared_classifier = hf_is_true(r, root, "tie_word_embeddings");
    if (!hf_field(root, "head_dim") && f->dim % f->n_heads)
        hf_bad(r, "hidden_size", hf_field(root, "hidden_size"), "a multiple of num_attention_heads");
    f->head_dim = hf_int(r, root, "head_dim", f->dim >= f->n_heads ? f->dim / f->n_heads : 1);
    /* Mistral 7B v0.1 attends to the last 4096 tokens only. llama.c attends to all, which is the same as
     * long as there are no more: so the window becomes the length of the context. */
    const int window = hf_int(r, root, "sliding_window", f->seq_len);
    if (window < f->seq_len) f->seq_len = window;
    if (f->n_layers > HF_MAX_LAYERS)
        hf_bad(r, "num_hidden_layers", hf_field(root, "num_hidden_layers"), "65536 or less");
    if (f->head_dim % 2) hf_bad(r, "head_dim", hf_field(root, "head_dim"), "even");
    if (f->n_heads % f->n_kv_heads)
        hf_bad(r, "num_attention_heads", hf_field(root, "num_attention_heads"), "a multiple of num_key_value_heads");
    if ((int64_t)f->n_heads * f->head_dim > HF_MAX_SIZE)
        hf_bad(r, "num_attention_heads", hf_field(root, "num_attention_heads"), "268435456 / head_dim or less");
}

/* Llama 3.1 was trained on a short context first. Pairs that turn often within it stay as they are, pairs that
 * have not turned once by its end are slowed by factor, and those in between are blended. */
static void hf_scale_llama3(hf_reader *r, const json_node *scaling, float *frequencies, int n) {
    const double factor = hf_number(r, scaling, "factor", 0), low = hf_number(r, scaling, "low_freq_factor", 0);
    const double high = hf_number(r, scaling, "high_freq_factor", 0);
    const double context = hf_int(r, scaling, "original_max_position_embeddings", 0);
    if (high <= low) hf_bad(r, "high_freq_factor", hf_field(scaling, "high_freq_factor"), "above low_freq_factor");
    for (int i = 0; i < n; i++) {
        const double turns = context * frequencies[i] / (2 * acos(-1));
        const double keep = turns >= high ? 1 : turns <= low ? 0 : (turns - low) / (high - low);
        frequencies[i] = (float)(frequencies[i] * (keep + (1 - keep) / factor));
    }
}

static void hf_read_rope(hf_reader *r, const json_node *root, llama_config *f, float **frequencies) {
    /* Newer files have all of it in rope_parameters, older ones the base outside. */
    const json_node *scaling = hf_field(root, "rope_parameters");
    if (!scaling) scaling = hf_field(root, "rope_scaling");
    if (scaling && scaling->type != JSON_OBJECT) hf_bad(r, "rope_scaling", scaling, "an object");
    f->rope_theta = (float)hf_number(r, hf_field(scaling, "rope_theta") ? scaling : root, "rope_theta", 10000);
    if (hf_number(r, root, "partial_rotary_factor", 1) != 1)
        hf_bad(r, "partial_rotary_factor", hf_field(root, "partial_rotary_factor"), "1");
    if (r->failed) return;
    *frequencies = rope_frequencies(f->head_dim, f->rope_theta);
    if (!*frequencies) {
        r->failed = 1;
        set_error(r->err, "%.120s: no memory", r->path);
        return;
    }
    const json_node *kind = hf_field(scaling, "rope_type");
    if (!kind) kind = hf_field(scaling, "type");
    if (json_is_text(kind, "llama3")) {
        hf_scale_llama3(r, scaling, *frequencies, f->head_dim / 2);
    } else if (json_is_text(kind, "linear")) {
        const double factor = hf_number(r, scaling, "factor", 0);
        for (int i = 0; i < f->head_dim / 2; i++) (*frequencies)[i] = (float)((*frequencies)[i] / factor);
    } else if (kind ? !json_is_text(kind, "default") : hf_field(scaling, "factor") != NULL) {
        hf_bad(r, "rope_scaling's rope_type", kind, "default, linear or llama3");
    }
}

static int hf_read_config(llama_source *s, const char *path, const json_node *root, llama_error *err) {
    hf_reader r = {path, err, 0};
    llama_config *f = &s->config;
    if (!json_is(root, JSON_OBJECT)) return set_error(err, "%.120s: %s, not an object", path, json_type_name(root));
    f->format = "Hugging Face";
    hf_read_architecture(&r, root);
    hf_read_sizes(&r, root, f);
    return r.failed ? -1 : 0;
}

/* Only when the weights have shown that heads are as wide as config.json claims: the frequencies take memory. */
static int hf_read_frequencies(llama_source *s, const char *path, const json_node *root, llama_error *err) {
    hf_reader r = {path, err, 0};
    hf_read_rope(&r, root, &s->config, &s->rope_frequencies);
    return r.failed ? -1 : 0;
}

/* ---- Names of tensors ---- */

/* clang-format off */
static const struct { const char *name; enum tensor tensor; } hf_names[] = {
    {"model.embed_tokens.weight", TENSOR_EMBEDDING}, {"lm_head.weight", TENSOR_CLASSIFIER},
    {"model.norm.weight", TENSOR_FINAL_NORM},
    /* behind "model.layers.N.": */
    {"input_layernorm.weight", TENSOR_ATTENTION_NORM}, {"post_attention_layernorm.weight", TENSOR_FFN_NORM},
    {"self_attn.q_proj.weight", TENSOR_WQ}, {"self_attn.k_proj.weight", TENSOR_WK},
    {"self_attn.v_proj.weight", TENSOR_WV}, {"self_attn.o_proj.weight", TENSOR_WO},
    {"mlp.gate_proj.weight", TENSOR_W1}, {"mlp.down_proj.weight", TENSOR_W2}, {"mlp.up_proj.weight", TENSOR_W3}};
/* clang-format on */

static hf_tensor *hf_find(const hf_source *s, enum tensor tensor, int layer) {
    return &s->tensors[(int)tensor + (tensor < TENSOR_OF_LAYER ? 0 : layer * HF_LAYER_TENSORS)];
}

/* Which tensor a name means. 1: found; 0: one that is not needed; -1: unknown. */
static int hf_parse_name(const hf_source *s, const json_node *name, enum tensor *tensor, int *layer) {
    static const char prefix[] = "model.layers.", unneeded[] = "rotary_emb.inv_freq";
    const char *rest = name->text;
    const size_t size = strlen(name->text), n = sizeof unneeded - 1;
    int in_layer = !strncmp(rest, prefix, sizeof prefix - 1);
    *layer = 0;
    if (size != name->size) return -1; /* a zero byte inside */
    if (in_layer) {
        char *end;
        rest += sizeof prefix - 1;
        const long number =
            *rest >= '0' && *rest <= '9' && (*rest != '0' || rest[1] == '.') ? strtol(rest, &end, 10) : -1;
        if (number < 0 || number >= s->base.config.n_layers || *end != '.') return -1;
        *layer = (int)number;
        rest = end + 1;
    }
    for (size_t i = 0; i < sizeof hf_names / sizeof *hf_names; i++)
        if (!strcmp(rest, hf_names[i].name) && in_layer == (hf_names[i].tensor >= TENSOR_OF_LAYER))
            return *tensor = hf_names[i].tensor, 1;
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
static int hf_check_shape(const hf_header *h, const json_node *name, enum tensor tensor, int rows, int cols) {
    const json_node *shape = json_get(name + 1, "shape");
    const int is_norm = tensor_is_vector(tensor);
    const uint32_t n = is_norm ? 1 : 2;
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
    if (is_norm) snprintf(what, sizeof what, "shape is [%s], config.json implies [%d]", text, cols);
    else snprintf(what, sizeof what, "shape is [%s], config.json implies [%d, %d]", text, rows, cols);
    return hf_bad_tensor(h, name, what);
}

static int hf_read_type(const hf_header *h, const json_node *name, hf_tensor *t) {
    const json_node *type = json_get(name + 1, "dtype");
    char what[80];
    t->is_bf16 = json_is_text(type, "BF16");
    t->size = json_is_text(type, "F32") ? 4 : json_is_text(type, "F16") || t->is_bf16 ? 2 : 0;
    snprintf(what, sizeof what, "dtype is %.20s, not F32, F16 or BF16",
             json_is(type, JSON_STRING) ? type->text : json_type_name(type));
    return t->size ? 0 : hf_bad_tensor(h, name, what);
}

static int hf_read_entry(const hf_header *h, hf_entry *e) {
    enum tensor tensor = TENSOR_EMBEDDING; /* at -O1 gcc does not follow what sets it */
    int layer, rows, cols;
    char what[120];
    if (!json_is(e->name + 1, JSON_OBJECT)) return hf_bad_tensor(h, e->name, "its entry is not an object");
    if (hf_read_offsets(h, e)) return -1;
    const int known = hf_parse_name(h->s, e->name, &tensor, &layer);
    if (known < 0) {
        const size_t n = strlen(e->name->text);
        return hf_bad_tensor(h, e->name,
                             n > 5 && !strcmp(e->name->text + n - 5, ".bias")
                                 ? "biases are not supported"
                                 : "unknown, or of a layer beyond num_hidden_layers");
    }
    if (!known) return 0;
    hf_tensor *t = hf_find(h->s, tensor, layer);
    if (t->shard >= 0) return hf_bad_tensor(h, e->name, "is in another file too");
    tensor_shape(&h->s->base.config, tensor, layer, &rows, &cols);
    if (hf_read_type(h, e->name, t) || hf_check_shape(h, e->name, tensor, rows, cols)) return -1;
    const uint64_t size = mul_size(mul_size((uint64_t)rows, (uint64_t)cols), (uint64_t)t->size);
    snprintf(what, sizeof what, "data_offsets span %llu bytes, its shape and dtype %llu",
             (unsigned long long)(e->end - e->begin), (unsigned long long)size);
    if (e->end - e->begin != size) return hf_bad_tensor(h, e->name, what);
    t->offset = h->data + e->begin;
    t->shard = h->shard;
    return 0;
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

/* Only the names of the files are taken from the index: what is in them, they say themselves. */
static int hf_list_shards(hf_source *s, const char *directory, llama_error *err) {
    static const char single[] = "model.safetensors", index[] = "model.safetensors.index.json";
    s->shards = malloc(HF_MAX_SHARDS * sizeof *s->shards);
    if (!s->shards) return set_error(err, "%.120s: no memory", directory);
    if (file_is_in(directory, single))
        return (s->shards[0] = path_join(directory, single, err)) ? s->n_shards = 1, 0 : -1;
    if (!file_is_in(directory, index))
        return set_error(err, "%.120s: neither %s nor %s is there", directory, single, index);
    char *path = path_join(directory, index, err);
    json_text json;
    if (!path || json_load(&json, path, err)) return free(path), -1;
    const json_node *map = json_get(json.nodes, "weight_map");
    int result = 0;
    if (!json_is(map, JSON_OBJECT) || !map->size)
        result = set_error(err, "%.120s: weight_map is %s, not an object of tensors", path,
                           json_is(map, JSON_OBJECT) ? "empty" : json_type_name(map));
    else
        JSON_EACH(name, map)
            if ((result = hf_add_shard(s, directory, name + 1, path, err))) break;
    json_free(&json);
    free(path);
    return result;
}

static int hf_check_complete(const hf_source *s, const char *directory, llama_error *err) {
    for (int layer = 0; layer < s->base.config.n_layers; layer++)
        for (size_t i = 0; i < sizeof hf_names / sizeof *hf_names; i++) {
            const enum tensor tensor = hf_names[i].tensor;
            if (hf_find(s, tensor, layer)->shard >= 0) continue;
            if (tensor == TENSOR_CLASSIFIER && s->base.config.shared_classifier) continue;
            if (tensor < TENSOR_OF_LAYER)
                return set_error(err, "%.120s: tensor %s is missing", directory, hf_names[i].name);
            return set_error(err, "%.120s: tensor model.layers.%d.%s is missing", directory, layer, hf_names[i].name);
        }
    return 0;
}

static int hf_rows(llama_source *base, enum tensor tensor, int layer, int first, int count, float *out,
                   llama_error *err);

/* Some files of models that share the embedding have it twice. If the two differ, it is not clear which is meant. */
static int hf_check_tied(hf_source *s, llama_error *err) {
    const llama_config *f = &s->base.config;
    if (!f->shared_classifier || hf_find(s, TENSOR_CLASSIFIER, 0)->shard < 0) return 0;
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

static int hf_rows(llama_source *base, enum tensor tensor, int layer, int first, int count, float *out,
                   llama_error *err) {
    hf_source *s = (hf_source *)base;
    const hf_tensor *t = hf_find(s, tensor, layer);
    int rows, cols;
    tensor_shape(&base->config, tensor, layer, &rows, &cols);
    if (tensor != TENSOR_WQ && tensor != TENSOR_WK) return hf_read_rows(s, t, first, count, cols, out, err);
    for (int row = first; row < first + count; row++, out += cols) {
        const int head_dim = base->config.head_dim, i = row % head_dim; /* row 2i or 2i + 1 of the head */
        const int from = row - i + i / 2 + i % 2 * (head_dim / 2);
        if (hf_read_rows(s, t, from, 1, cols, out, err)) return -1;
    }
    return 0;
}

static void hf_close(llama_source *base) {
    hf_source *s = (hf_source *)base;
    if (s->file) fclose(s->file);
    for (int i = 0; i < s->n_shards; i++) free(s->shards[i]);
    free(s->shards);
    free(s->tensors);
    source_release(base);
    free(s);
}

static int hf_open_weights(hf_source *s, const char *directory, llama_error *err) {
    const size_t n = TENSOR_OF_LAYER + (size_t)s->base.config.n_layers * HF_LAYER_TENSORS;
    s->tensors = malloc(n * sizeof *s->tensors);
    if (!s->tensors) return set_error(err, "%.120s: no memory for %zu tensors", directory, n);
    for (size_t i = 0; i < n; i++) s->tensors[i] = (hf_tensor){.shard = -1};
    if (hf_list_shards(s, directory, err)) return -1;
    for (int i = 0; i < s->n_shards; i++)
        if (hf_read_header(s, i, err)) return -1;
    if (hf_check_complete(s, directory, err) || hf_check_tied(s, err)) return -1;
    const hf_tensor *embedding = hf_find(s, TENSOR_EMBEDDING, 0);
    s->base.config.weight_type = embedding->size == 4 ? "f32" : embedding->is_bf16 ? "bf16" : "f16";
    return 0;
}

llama_source *source_open_hf(const char *directory, llama_error *err) {
    json_text config;
    char *path = path_join(directory, "config.json", err);
    hf_source *s = path ? calloc(1, sizeof *s) : NULL;
    if (!s) return free(path), set_error(err, "%.120s: no memory", directory), NULL;
    s->base.rows = hf_rows;
    s->base.close = hf_close;
    s->open_shard = -1;
    int result = json_load(&config, path, err);
    if (!result) {
        result = hf_read_config(&s->base, path, config.nodes, err) || hf_open_weights(s, directory, err) ||
                 hf_read_frequencies(&s->base, path, config.nodes, err) ||
                 hf_read_tokenizer(&s->base, directory, config.nodes, err);
        json_free(&config);
    }
    free(path);
    if (result) return hf_close(&s->base), NULL;
    return &s->base;
}
