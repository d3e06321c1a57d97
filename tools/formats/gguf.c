/* gguf.c - GGUF files, versions 2 and 3, as input of tools/convert. Contract in source.h.
 *
 * All numbers are little-endian; a string is a u64 length and that many bytes. A file is, without gaps:
 *
 *     "GGUF", u32 version, u64 number of tensors, u64 number of metadata
 *     metadata   string key, u32 value type (gguf_head.c), then the value. An array (9) is a u32 type and a u64
 *                count of its elements, and these.
 *     tensors    string name, u32 number of dimensions, a u64 each (the first is the length of a row), u32 weight
 *                type (gguf_types.c), u64 offset
 *     data       from the next multiple of general.alignment (default 32) on; offsets count from here
 *
 * What a model computes follows from general.architecture, which gguf_architectures knows, and from metadata under
 * its name. Metadata that nothing here asks for is skipped: files are full of it (authors, sampling hints); what is
 * known to change the arithmetic in a way that llama.c does not compute is refused. A tensor that nothing here asks
 * for is an error, since it would take part.
 *
 * The rooms: metadata; configuration; tensors; layers; rotation; source.
 */
#include "gguf.h"
#include "../shared/inside.h"
#include "../shared/files.h"
#include "../shared/numbers.h"
#include "rope.h"
#include "source.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GGUF_MAX_SIZE (1 << 28) /* of any dimension, as in llama.c */
#define GGUF_MAX_LAYERS (1 << 24)
#define GGUF_MAX_EXPERTS 65535
#define GGUF_SCRATCH ((size_t)1 << 20)

typedef struct {
    uint64_t rows, cols, experts;
    uint64_t offset, size; /* in the file; size is 0 for a tensor that the file does not have */
    const gguf_type *type;
} gguf_tensor;

typedef struct {
    llama_source source; /* first, so that a pointer to it is one to the whole */
    gguf_head head;
    const gguf_architecture *architecture;
    int turning;       /* numbers of a head that turn */
    float logit_scale; /* what logits are divided by */
    int alignment;
    gguf_tensor *tensors; /* (n_tensors) by slot, see gguf_slot */
    size_t n_tensors;
    unsigned char *scratch; /* (scratch_size) rows as the file has them */
    size_t scratch_size;
} gguf;

static int gguf_read_architecture(gguf *g) {
    gguf_head *h = &g->head;
    const char *name, *key = GGUF_ARCHITECTURE;
    size_t size, n = 0;
    char known[160] = "";
    const gguf_architecture *a;
    if (!gguf_text(h, key, &name, &size)) return 0;
    if (!name) return gguf_fail(h, "%s is missing", key);
    for (int i = 0; (a = gguf_architecture_at(i)); i++) {
        if (gguf_same(name, size, a->name)) g->architecture = a;
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", a->name);
    }
    if (!g->architecture) return gguf_fail(h, "%s is \"%.*s\", none of %s", key, gguf_shown(size), name, known);
    snprintf(h->architecture, sizeof h->architecture, "%s", g->architecture->name);
    snprintf(g->source.config.architecture, sizeof g->source.config.architecture, "%s", g->architecture->name);
    return 1;
}

/* What llama.c does not compute, or not in all architectures. Values from low to high mean that it is switched off. */
static const struct {
    const char *key;
    double low, high;
    int feature; /* an architecture that has it reads the key */
} gguf_refused[] = {
    {".attention.causal", 1, 1, 0},
    {".attention.clamp_kqv", 0, 0, 0},
    {".attention.max_alibi_bias", 0, 0, 0},
    {".attention.output_scale", 1, 1, 0},
    {GGUF_ATTENTION_SCALE, 0, 0, GGUF_SCALES},
    {".attention.shared_kv_layers", 0, 0, 0},
    {GGUF_SLIDING_WINDOW, 0, 0, GGUF_WINDOW},
    {GGUF_SLIDING_WINDOW_PATTERN, 0, 0, GGUF_PATTERN},
    {".attention.temperature_scale", 0, 0, 0},
    {".attention.value_scale", 1, 1, 0},
    {GGUF_SCORE_CAP, 0, 0, GGUF_CAPS},
    {GGUF_EMBEDDING_SCALE, 1, 1, GGUF_SCALES},
    {GGUF_EXPERT_COUNT, 0, 0, GGUF_EXPERTS},
    {".expert_gating_func", 1, 1, 0}, /* softmax */
    {".expert_group_count", 0, 1, 0},
    {".expert_shared_count", 0, 0, 0},
    {".expert_shared_feed_forward_length", 0, 0, 0},
    {".expert_weights_scale", 1, 1, 0},
    {GGUF_LOGIT_CAP, 0, 0, GGUF_CAPS},
    {".interleave_moe_layer_step", 0, 1, 0},
    {".leading_dense_block_count", 0, 0, 0},
    {GGUF_LOGIT_SCALE, 1, 1, GGUF_SCALES},
    {".moe_every_n_layers", 0, 1, 0},
    {".nextn_predict_layers", 0, 0, 0},
    {GGUF_RESIDUAL_SCALE, 1, 1, GGUF_SCALES},
    {".rope.dimension_sections", 0, 0, 0},
    {GGUF_ROPE_BASE_LOCAL, 0, 0, GGUF_LOCAL},
    {".rope.scaling.alpha", 0, 0, 0},
    {".rope.scaling.yarn_attn_factor", 1, 1, 0},
    {".rope.scaling.yarn_ext_factor", 1, 1, 0},
    {".rope.scaling.yarn_log_multiplier", 0, 0, 0},
    {".router_logit_softcapping", 0, 0, 0},
    {".swin_norm", 0, 0, 0},
    {".use_parallel_residual", 0, 0, 0},
    {"granite.rope.scaling.finetuned", 1, 1, 0}, /* 0: no rotation. Elsewhere it means nothing. */
    {"split.count", 0, 1, 0},                    /* the file holds a part of the tensors */
};

static int gguf_check_refused(gguf *g) {
    gguf_head *h = &g->head;
    for (size_t i = 0; i < sizeof gguf_refused / sizeof *gguf_refused; i++) {
        char full[GGUF_KEY];
        const gguf_entry *e = gguf_find(h, gguf_refused[i].key, full);
        if (!e || g->architecture->features & gguf_refused[i].feature) continue;
        if (e->is_array || e->type == GGUF_STRING) return gguf_wrong_type(h, full, e, "a number");
        const double value = gguf_element(h, e, 0);
        if (!(value >= gguf_refused[i].low && value <= gguf_refused[i].high))
            return gguf_fail(h, "%s is %g, which is not supported", full, value);
    }
    return 1;
}

/* ---------------------------------------------------------------------------------------------------
 * Configuration
 * ------------------------------------------------------------------------------------------------- */

/* The vocabulary's size comes with the embedding. */
static int gguf_read_sizes(gguf *g) {
    llama_config *c = &g->source.config;
    gguf_head *h = &g->head;
    if (!gguf_int(h, GGUF_BLOCK_COUNT, 1, GGUF_MAX_LAYERS, 1, &c->n_layers) ||
        !gguf_int(h, GGUF_EMBEDDING_LENGTH, 1, GGUF_MAX_SIZE, 1, &c->dim) ||
        !gguf_int(h, GGUF_CONTEXT_LENGTH, 1, GGUF_MAX_SIZE, 1, &c->seq_len) ||
        !gguf_layers_int(h, GGUF_FEED_FORWARD_LENGTH, c->n_layers, GGUF_MAX_SIZE, 1, &c->hidden_dim) ||
        !gguf_layers_int(h, GGUF_HEAD_COUNT, c->n_layers, GGUF_MAX_SIZE, 1, &c->n_heads) ||
        !gguf_float(h, GGUF_NORM_EPSILON, 1, &c->norm_eps))
        return 0;
    c->n_kv_heads = c->n_heads;
    c->rope_theta = 10000;
    return gguf_layers_int(h, GGUF_HEAD_COUNT_KV, c->n_layers, GGUF_MAX_SIZE, 0, &c->n_kv_heads) &&
           gguf_float(h, GGUF_ROPE_BASE, g->architecture->features & GGUF_LOCAL, &c->rope_theta);
}

static int gguf_read_heads(gguf *g) {
    llama_config *c = &g->source.config;
    gguf_head *h = &g->head;
    const char *a = h->architecture;
    if (c->n_heads % c->n_kv_heads)
        return gguf_fail(h, "%s.attention.head_count %d is no multiple of head_count_kv %d", a, c->n_heads,
                         c->n_kv_heads);
    if (!gguf_int(h, GGUF_KEY_LENGTH, 1, GGUF_MAX_SIZE, 0, &c->head_dim)) return 0;
    if (!c->head_dim && c->dim % c->n_heads)
        return gguf_fail(h, "%s.embedding_length %d is no multiple of head_count %d, and there is no key_length", a,
                         c->dim, c->n_heads);
    if (!c->head_dim) c->head_dim = c->dim / c->n_heads;
    if (c->head_dim > GGUF_MAX_SIZE / c->n_heads)
        return gguf_fail(h, "%s.attention.head_count %d is too much for heads of %d", a, c->n_heads, c->head_dim);
    if (c->head_dim % 2) return gguf_fail(h, "%s.attention.key_length is %d, an odd number", a, c->head_dim);
    int value = g->turning = c->head_dim;
    if (!gguf_int(h, GGUF_VALUE_LENGTH, 1, GGUF_MAX_SIZE, 0, &value) ||
        !gguf_int(h, GGUF_ROPE_DIMENSIONS, 1, GGUF_MAX_SIZE, 0, &g->turning))
        return 0;
    if (value != c->head_dim)
        return gguf_fail(h, "%s.attention.value_length is %d, but heads have %d: they must agree", a, value,
                         c->head_dim);
    if (g->turning > c->head_dim || g->turning % 2)
        return gguf_fail(h, "%s.rope.dimension_count is %d, not an even number up to %d", a, g->turning, c->head_dim);
    return 1;
}

/* Weights of the experts used: softmax over all of them, then made to sum to 1, unless a key says that they are not. */
static int gguf_read_experts(gguf *g) {
    llama_config *c = &g->source.config;
    gguf_head *h = &g->head;
    int renormalise = 1;
    if (!gguf_int(h, GGUF_EXPERT_COUNT, 0, GGUF_MAX_EXPERTS, 0, &c->n_experts)) return 0;
    if (!c->n_experts) return 1;
    c->expert_dim = c->hidden_dim;
    if (!gguf_int(h, GGUF_EXPERT_USED_COUNT, 1, c->n_experts, 1, &c->n_experts_used) ||
        !gguf_layers_int(h, GGUF_EXPERT_LENGTH, c->n_layers, GGUF_MAX_SIZE, 0, &c->expert_dim) ||
        !gguf_bool(h, GGUF_EXPERT_WEIGHTS_NORM, &renormalise))
        return 0;
    if (renormalise) c->extras |= LLAMA_RENORMALISE;
    if ((c->dim > c->expert_dim ? c->dim : c->expert_dim) > GGUF_MAX_SIZE / c->n_experts)
        return gguf_fail(h, "%s.expert_count %d is too much for experts of %d x %d", h->architecture, c->n_experts,
                         c->expert_dim, c->dim);
    return 1;
}

/* x / r in the place of the residual stream x, where what a layer adds is multiplied by r, saves that multiplication:
 * norms do not see the difference if their epsilon, which is added to the mean of x^2, is divided by r^2. */
static int gguf_divide_stream(gguf *g, float r) {
    llama_config *c = &g->source.config;
    const double eps = (double)c->norm_eps / ((double)r * (double)r);
    if (!(eps <= 1))
        return gguf_fail(&g->head, "%s.residual_scale is %g, too small for layer_norm_rms_epsilon %g",
                         g->head.architecture, (double)r, (double)c->norm_eps);
    c->norm_eps = (float)eps;
    c->embedding_scale = (float)((double)c->embedding_scale / (double)r);
    if (!isfinite(c->embedding_scale))
        return gguf_fail(&g->head, "%s.embedding_scale is too large for residual_scale %g", g->head.architecture,
                         (double)r);
    return 1;
}

static int gguf_read_scales(gguf *g) {
    llama_config *c = &g->source.config;
    gguf_head *h = &g->head;
    const gguf_architecture *a = g->architecture;
    float residual = 1;
    g->logit_scale = 1;
    if (a->features & GGUF_ROOT) c->embedding_scale = (float)sqrt(c->dim);
    if (a->features & GGUF_SCALES) c->embedding_scale = 1;
    if (c->n_layers == a->large) c->attention_scale = (float)sqrt((double)c->n_heads / c->dim);
    if (a->features & GGUF_MINICPM) {
        c->embedding_scale = 12;
        residual = (float)(1.4 / sqrt(c->n_layers));
        g->logit_scale = (float)c->dim / 256;
    }
    if (!(a->features & GGUF_SCALES)) return 1;
    return gguf_float(h, GGUF_EMBEDDING_SCALE, 0, &c->embedding_scale) &&
           gguf_float(h, GGUF_RESIDUAL_SCALE, 0, &residual) && gguf_float(h, GGUF_LOGIT_SCALE, 0, &g->logit_scale) &&
           gguf_float(h, GGUF_ATTENTION_SCALE, 0, &c->attention_scale) && gguf_divide_stream(g, residual);
}

/* Of a key that may be 0. */
static int gguf_read_cap(gguf *g, const char *key, float *cap) {
    char full[GGUF_KEY];
    const gguf_entry *e = gguf_find(&g->head, key, full);
    if (e && !e->is_array && e->type != GGUF_STRING && gguf_element(&g->head, e, 0) == 0) return *cap = 0, 1;
    return gguf_float(&g->head, key, 0, cap);
}

static int gguf_read_config(gguf *g) {
    llama_config *c = &g->source.config;
    const gguf_architecture *a = g->architecture;
    c->extras = a->extras;
    c->score_cap = a->caps[0];
    c->logit_cap = a->caps[1];
    if (!gguf_read_sizes(g) || !gguf_read_heads(g) || !gguf_read_scales(g)) return 0;
    if (a->features & GGUF_EXPERTS && !gguf_read_experts(g)) return 0;
    return !(a->features & GGUF_CAPS) ||
           (gguf_read_cap(g, GGUF_SCORE_CAP, &c->score_cap) && gguf_read_cap(g, GGUF_LOGIT_CAP, &c->logit_cap));
}

/* ---------------------------------------------------------------------------------------------------
 * Tensors
 * ------------------------------------------------------------------------------------------------- */

/* The slot of a name, or n_tensors. */
static size_t gguf_find_slot(const gguf *g, const char *name) {
    int layer = 0, n = 0, first = 0, last = GGUF_MODEL_NAMES;
    if (strncmp(name, "blk.", 4) == 0) {
        for (name += 4; *name >= '0' && *name <= '9' && n < 9; name++, n++) layer = 10 * layer + (*name - '0');
        /* "blk.00." would be a second name for layer 0 */
        if (n == 0 || (n > 1 && name[-n] == '0') || *name++ != '.' || layer >= g->source.config.n_layers)
            return g->n_tensors;
        first = GGUF_MODEL_NAMES;
        last = GGUF_N_NAMES;
    }
    for (int i = first; i < last; i++)
        if (strcmp(name, gguf_names[i].name) == 0) return (size_t)layer * GGUF_LAYER_NAMES + (size_t)i;
    return g->n_tensors;
}

static gguf_tensor *gguf_tensor_of(const gguf *g, int tensor, int layer) {
    return &g->tensors[gguf_slot(&g->source.config, tensor, layer)];
}

static int gguf_shape_of(const gguf *g, int name, int layer, int *rows, int *cols) {
    return gguf_shape(g->architecture, &g->source.config, g->turning, name, layer, rows, cols);
}

/* ---- The table ---- */

/* Dimensions, of which there are four at most; the third counts experts, the last is 1. */
static int gguf_take_dimensions(gguf *g, gguf_tensor *t, int experts) {
    gguf_head *h = &g->head;
    uint64_t n, ne[4] = {1, 1, 1, 1};
    if (!gguf_take_number(h, 4, &n)) return 0;
    if (n < 1 || n > 4) return gguf_fail(h, "%s: %" PRIu64 " dimensions, not 1..4", h->what, n);
    for (unsigned i = 0; i < n; i++) {
        if (!gguf_take_number(h, 8, &ne[i])) return 0;
        const uint64_t most = i < 2 ? INT32_MAX : i == 2 && experts ? GGUF_MAX_EXPERTS : 1;
        if (ne[i] < 1 || ne[i] > most)
            return gguf_fail(h, "%s: dimension %u is %" PRIu64 ", not 1..%" PRIu64, h->what, i, ne[i], most);
    }
    t->cols = ne[0];
    t->rows = ne[1];
    t->experts = ne[2];
    return 1;
}

/* The weight type, and with it the size. */
static int gguf_take_tensor_type(gguf *g, gguf_tensor *t) {
    gguf_head *h = &g->head;
    uint64_t number;
    if (!gguf_take_number(h, 4, &number)) return 0;
    const gguf_type *type = gguf_find_type(number);
    if (!type) return gguf_fail(h, "%s: unknown weight type %" PRIu64, h->what, number);
    if (!type->decode) return gguf_fail(h, "%s: weight type %s is not supported", h->what, type->name);
    if (t->cols % (uint64_t)type->block)
        return gguf_fail(h, "%s: rows of %" PRIu64 " weights are no multiple of %d, %s's block", h->what, t->cols,
                         type->block, type->name);
    t->type = type;
    t->size = mul_size(mul_size(t->cols / (uint64_t)type->block, (uint64_t)type->bytes), t->rows * t->experts);
    return 1;
}

static int gguf_take_tensor(gguf *g, uint64_t i) {
    gguf_head *h = &g->head;
    gguf_string s;
    char name[GGUF_MAX_NAME + 1];
    snprintf(h->what, sizeof h->what, "tensor %" PRIu64, i);
    if (!gguf_take_string(h, &s)) return 0;
    if (s.size > GGUF_MAX_NAME)
        return gguf_fail(h, "%s: a name of %zu bytes, more than %d", h->what, s.size, GGUF_MAX_NAME);
    memcpy(name, h->bytes + s.at, s.size);
    name[s.size] = 0;
    snprintf(h->what, sizeof h->what, "%s", name);
    const size_t slot = strlen(name) == s.size ? gguf_find_slot(g, name) : g->n_tensors;
    if (slot == g->n_tensors)
        return gguf_fail(h, "tensor %" PRIu64 ", %s, is none of architecture %s with %d layers", i, name,
                         h->architecture, g->source.config.n_layers);
    gguf_tensor *t = &g->tensors[slot];
    if (t->size) return gguf_fail(h, "%s is there twice", name);
    if (!gguf_take_dimensions(g, t, gguf_names[gguf_slot_name(slot)].experts) || !gguf_take_tensor_type(g, t) ||
        !gguf_take_number(h, 8, &t->offset))
        return 0;
    if (t->offset % (uint64_t)g->alignment)
        return gguf_fail(h, "%s: offset %" PRIu64 " is no multiple of the alignment %d", name, t->offset, g->alignment);
    return 1;
}

/* Of the tensors of a model, those that must be there. */
static uint64_t gguf_needed(const gguf *g) {
    const llama_layer_kind kind = {.experts = g->source.config.n_experts > 0};
    gguf any = *g; /* of one layer, of any vocabulary */
    uint64_t model = 0, layer = 0;
    any.source.config.vocab_size = 1;
    any.source.config.layers = &kind;
    for (int i = 0; i < GGUF_N_NAMES; i++) {
        int rows, cols;
        if (gguf_shape_of(&any, i, 0, &rows, &cols)) ++*(i < GGUF_MODEL_NAMES ? &model : &layer);
    }
    return model + layer * (uint64_t)g->source.config.n_layers;
}

/* Memory for as many layers as the file has tensors for. */
static int gguf_take_tensors(gguf *g, uint64_t count) {
    gguf_head *h = &g->head;
    const int n_layers = g->source.config.n_layers;
    const uint64_t least = 8 + 4 + 8 + 4 + 8, room = (h->file_size - h->at) / least, needed = gguf_needed(g);
    if (count > room)
        return gguf_fail(h, "number of tensors is %" PRIu64 ", but the file has room for %" PRIu64, count, room);
    if (count < needed)
        return gguf_fail(h, "number of tensors is %" PRIu64 ", but %s.block_count %d needs %" PRIu64, count,
                         h->architecture, n_layers, needed);
    g->n_tensors = gguf_slots(n_layers);
    g->tensors = calloc(g->n_tensors, sizeof *g->tensors);
    if (!g->tensors) return gguf_fail(h, "no memory for %zu tensors", g->n_tensors);
    for (uint64_t i = 0; i < count; i++)
        if (!gguf_take_tensor(g, i)) return 0;
    return 1;
}

/* ---- What has been taken ---- */

static int gguf_compare_offsets(const void *a, const void *b) {
    const gguf_tensor *p = *(gguf_tensor *const *)a, *q = *(gguf_tensor *const *)b;
    return (p->offset > q->offset) - (p->offset < q->offset);
}

static int gguf_check_overlap(gguf *g) {
    gguf_tensor **order = malloc(g->n_tensors * sizeof *order);
    if (!order) return gguf_fail(&g->head, "no memory for %zu tensors", g->n_tensors);
    size_t n = 0, i = 1;
    for (size_t slot = 0; slot < g->n_tensors; slot++)
        if (g->tensors[slot].size) order[n++] = &g->tensors[slot];
    qsort(order, n, sizeof *order, gguf_compare_offsets);
    while (i < n && order[i]->offset - order[i - 1]->offset >= order[i - 1]->size) i++;
    if (i < n) {
        char a[GGUF_MAX_NAME + 1], b[GGUF_MAX_NAME + 1];
        gguf_spell((size_t)(order[i - 1] - g->tensors), a);
        gguf_spell((size_t)(order[i] - g->tensors), b);
        gguf_fail(&g->head, "%s and %s overlap at byte %" PRIu64, a, b, order[i]->offset);
    }
    free(order);
    return i >= n;
}

/* Its shape, and its place in the file, where data begin at start. */
static int gguf_check_tensor(gguf *g, size_t slot, uint64_t start) {
    gguf_head *h = &g->head;
    gguf_tensor *t = &g->tensors[slot];
    const int i = gguf_slot_name(slot), experts = gguf_names[i].experts ? g->source.config.n_experts : 1;
    char name[GGUF_MAX_NAME + 1];
    int rows, cols;
    const int needed = gguf_shape_of(g, i, gguf_slot_layer(slot), &rows, &cols);
    if (t->size == 0 && !needed) return 1;
    gguf_spell(slot, name);
    if (t->size == 0) return gguf_fail(h, "%s is missing", name);
    if (rows == 0)
        return gguf_fail(h, "%s is none of architecture %s with %d layers", name, h->architecture,
                         g->source.config.n_layers);
    if (t->rows != (uint64_t)rows || t->cols != (uint64_t)cols)
        return gguf_fail(h, "%s is %" PRIu64 " rows of %" PRIu64 ", not %d of %d", name, t->rows, t->cols, rows, cols);
    if (t->experts != (uint64_t)experts)
        return gguf_fail(h, "%s is of %" PRIu64 " experts, not %d", name, t->experts, experts);
    if (start > h->file_size || t->offset > h->file_size - start || t->size > h->file_size - start - t->offset)
        return gguf_fail(h, "%s: %" PRIu64 " bytes at %" PRIu64 " + %" PRIu64 ", but the file ends at %" PRIu64, name,
                         t->size, start, t->offset, h->file_size);
    t->rows *= t->experts;
    t->offset += start;
    return 1;
}

/* Some rows of one tensor as another, which is returned. */
static gguf_tensor *gguf_part(const gguf_tensor *whole, uint64_t first, uint64_t rows, gguf_tensor *part) {
    const uint64_t row_size = whole->size / whole->rows;
    const gguf_tensor t = {rows, whole->cols, 1, whole->offset + first * row_size, rows * row_size, whole->type};
    *part = t;
    return part;
}

static void gguf_split(gguf *g, int layer) {
    const llama_config *c = &g->source.config;
    const uint64_t q = (uint64_t)c->n_heads * (uint64_t)c->head_dim,
                   kv = (uint64_t)c->n_kv_heads * (uint64_t)c->head_dim;
    const uint64_t hidden = (uint64_t)c->hidden_dim;
    gguf_tensor *qkv = gguf_tensor_of(g, GGUF_QKV, layer), *up = gguf_tensor_of(g, TENSOR_W3, layer);
    gguf_part(qkv, 0, q, gguf_tensor_of(g, TENSOR_WQ, layer));
    gguf_part(qkv, q, kv, gguf_tensor_of(g, TENSOR_WK, layer));
    gguf_part(qkv, q + kv, kv, gguf_tensor_of(g, TENSOR_WV, layer));
    gguf_part(up, 0, hidden, gguf_tensor_of(g, TENSOR_W1, layer));
    gguf_part(up, hidden, hidden, up);
    qkv->size = 0;
}

/* What of the configuration follows from the tensors that are there; then all of them are checked against it. */
static int gguf_check_tensors(gguf *g) {
    llama_config *c = &g->source.config;
    const uint64_t alignment = (uint64_t)g->alignment;
    const uint64_t start = ((uint64_t)g->head.at + alignment - 1) / alignment * alignment;
    const gguf_tensor *embedding = gguf_tensor_of(g, TENSOR_EMBEDDING, 0);
    c->vocab_size = embedding->size ? (int)embedding->rows : 1; /* that it is missing is said below */
    c->shared_classifier = gguf_tensor_of(g, TENSOR_CLASSIFIER, 0)->size == 0;
    if (gguf_tensor_of(g, TENSOR_Q_BIAS, 0)->size) c->extras |= g->architecture->optional & LLAMA_QKV_BIAS;
    if (gguf_tensor_of(g, TENSOR_O_BIAS, 0)->size) c->extras |= g->architecture->optional & LLAMA_O_BIAS;
    for (size_t slot = 0; slot < g->n_tensors; slot++)
        if (!gguf_check_tensor(g, slot, start)) return 0;
    if (!gguf_check_overlap(g)) return 0;
    for (int layer = 0; g->architecture->features & GGUF_FUSED && layer < c->n_layers; layer++) gguf_split(g, layer);
    return 1;
}

/* ---------------------------------------------------------------------------------------------------
 * Layers
 * ------------------------------------------------------------------------------------------------- */

static int gguf_read_windows(gguf *g, llama_layer_kind *kinds) {
    static const char key[] = GGUF_SLIDING_WINDOW_PATTERN;
    const gguf_architecture *a = g->architecture;
    const int n = g->source.config.n_layers;
    gguf_head *h = &g->head;
    char full[GGUF_KEY];
    const gguf_entry *e = gguf_find(h, key, full), *each = e && e->is_array ? e : NULL;
    int window = a->window, period = a->period;
    if (!gguf_int(h, GGUF_SLIDING_WINDOW, 0, GGUF_MAX_SIZE, 0, &window)) return 0;
    if (each && !gguf_is_integer(each) && each->type != GGUF_BOOL)
        return gguf_wrong_type(h, full, each, "integers or bools");
    if (each && each->count != (uint64_t)n)
        return gguf_fail(h, "%s has %" PRIu64 " elements for %d layers", full, each->count, n);
    if (a->features & GGUF_PATTERN && !each && !gguf_int(h, key, 0, GGUF_MAX_SIZE, 0, &period)) return 0;
    for (int l = 0; l < n; l++) {
        const int has = each ? gguf_element(h, each, (uint64_t)l) != 0 : !period || l % period < period - 1;
        if (!window || !has) continue;
        kinds[l].window = window;
        kinds[l].rope = !!(a->features & GGUF_LOCAL);
    }
    return 1;
}

static int gguf_read_layers(gguf *g) {
    llama_config *c = &g->source.config;
    const gguf_architecture *a = g->architecture;
    llama_layer_kind *kinds = g->source.kinds = calloc((size_t)c->n_layers, sizeof *kinds);
    if (!kinds) return gguf_fail(&g->head, "no memory for %d layers", c->n_layers);
    c->layers = kinds;
    if (a->features & GGUF_WINDOW && !gguf_read_windows(g, kinds)) return 0;
    for (int l = 0; l < c->n_layers; l++) {
        if (a->unturned) kinds[l].rope = (l + 1) % a->unturned == 0;
        kinds[l].experts = c->n_experts > 0;
        if (kinds[l].rope) c->n_ropes = 2;
    }
    return 1;
}

/* ---------------------------------------------------------------------------------------------------
 * Rotation
 * ------------------------------------------------------------------------------------------------- */

static int gguf_read_yarn(gguf *g, rope_rule *r) {
    gguf_head *h = &g->head;
    int original = g->source.config.seq_len;
    float fast = 32, slow = 1;
    if (!gguf_int(h, GGUF_ROPE_ORIGINAL, 1, GGUF_MAX_SIZE, 0, &original) || !gguf_float(h, GGUF_YARN_FAST, 0, &fast) ||
        !gguf_float(h, GGUF_YARN_SLOW, 0, &slow))
        return 0;
    r->kind = ROPE_YARN;
    r->original = original;
    r->fast = (double)fast;
    r->slow = (double)slow;
    r->truncate = 1;
    r->amplitude *= rope_yarn_amplitude(r->factor, 1);
    return 1;
}

/* How all frequencies are scaled. attn_factor is the amplitude, in YaRN a factor of what YaRN itself asks for. */
static int gguf_read_scaling(gguf *g, rope_rule *r) {
    gguf_head *h = &g->head;
    const char *type, *key = GGUF_ROPE_SCALING;
    size_t size;
    float factor = 1, amplitude = 1;
    if (!gguf_text(h, key, &type, &size)) return 0;
    const int is_yarn = gguf_same(type, size, "yarn"), is_none = gguf_same(type, size, "none");
    if (type && !is_yarn && !is_none && !gguf_same(type, size, "linear") && !gguf_same(type, size, "longrope"))
        return gguf_fail(h, "%s%s is \"%.*s\", not none, linear, yarn or longrope", h->architecture, key,
                         gguf_shown(size), type);
    if (!gguf_float(h, GGUF_ROPE_AMPLITUDE, 0, &amplitude) ||
        !gguf_float(h, ".rope.scale_linear", 0, &factor) || /* the newer key wins */
        !gguf_float(h, GGUF_ROPE_FACTOR, is_yarn, &factor))
        return 0;
    r->kind = is_none ? ROPE_PLAIN : ROPE_LINEAR;
    r->factor = (double)factor;
    r->amplitude = (double)amplitude;
    if (gguf_same(type, size, "longrope") && !gguf_tensor_of(g, GGUF_LONG, 0)->size)
        return gguf_fail(h, "rope_factors_long.weight is missing");
    return !is_yarn || gguf_read_yarn(g, r);
}

/* Divides frequency (turning / 2) by the numbers of a tensor, if it is there: how the scaling of Llama 3.1 is stored,
 * and longrope. */
static int gguf_divide(gguf *g, int tensor, float *frequency) {
    gguf_head *h = &g->head;
    const gguf_tensor *t = gguf_tensor_of(g, tensor, 0);
    const char *name = gguf_names[gguf_slot(&g->source.config, tensor, 0)].name;
    if (!t->size) return 1;
    if (t->type != gguf_find_type(GGUF_TYPE_F32))
        return gguf_fail(h, "%s has weight type %s, not F32", name, t->type->name);
    if (file_read_at(h->file, t->offset, g->scratch, (size_t)t->size)) return gguf_fail(h, "cannot read %s", name);
    for (int i = 0; i < g->turning / 2; i++) {
        const float divisor = get_f32(g->scratch + 4 * (size_t)i);
        if (!(divisor > 0 && isfinite(divisor)))
            return gguf_fail(h, "%s: number %d is %g, not positive and finite", name, i, (double)divisor);
        frequency[i] /= divisor;
    }
    return 1;
}

/* The table of most layers, with the factors of contexts up to the model's first length, or of longer ones. */
static int gguf_make_table(gguf *g, const rope_rule *r, int is_long, float *frequency, float *amplitude) {
    rope_table(r, g->source.config.head_dim, frequency, amplitude);
    if (!gguf_divide(g, GGUF_FREQS, frequency) || !gguf_divide(g, is_long ? GGUF_LONG : GGUF_SHORT, frequency))
        return 0;
    for (int i = 0; i < g->turning / 2; i++)
        if (!(frequency[i] > 0 && isfinite(frequency[i])))
            return gguf_fail(&g->head, "rotary frequency %d is %g: base %g, factor %g", i, (double)frequency[i],
                             r->theta, r->factor);
    return 1;
}

/* The table of layers that differ: those with a window, or those that do not rotate. */
static int gguf_make_second_table(gguf *g, float *frequency, float *amplitude) {
    float base = 10000;
    rope_rule r = {.kind = ROPE_PLAIN, .turning = g->architecture->unturned ? 0 : g->turning};
    if (!gguf_float(&g->head, GGUF_ROPE_BASE_LOCAL, 0, &base)) return 0;
    r.theta = (double)base;
    rope_table(&r, g->source.config.head_dim, frequency, amplitude);
    return 1;
}

/* Whether there are two halves of tables, for short contexts and for long ones. */
static int gguf_read_longrope(gguf *g, const rope_rule *r) {
    llama_config *c = &g->source.config;
    gguf_head *h = &g->head;
    const int is_long = gguf_tensor_of(g, GGUF_LONG, 0)->size > 0;
    const int is_short = gguf_tensor_of(g, GGUF_SHORT, 0)->size > 0;
    if (is_long != is_short) return gguf_fail(h, "rope_factors_%s.weight is missing", is_long ? "short" : "long");
    if (!is_long) return 1;
    if (r->factor != 1)
        return gguf_fail(h, "%s.rope.scaling.factor is %g beside rope_factors_long.weight, which is not supported",
                         h->architecture, r->factor);
    if (gguf_tensor_of(g, GGUF_FREQS, 0)->size)
        return gguf_fail(h, "rope_freqs.weight beside rope_factors_long.weight is not supported");
    c->rope_short = c->seq_len;
    return gguf_int(h, GGUF_ROPE_ORIGINAL, 1, GGUF_MAX_SIZE, 0, &c->rope_short);
}

static int gguf_read_rope(gguf *g) {
    llama_config *c = &g->source.config;
    rope_rule r = {.theta = (double)c->rope_theta, .turning = g->turning};
    if (!gguf_read_scaling(g, &r) || !gguf_read_longrope(g, &r)) return 0;
    const int n = c->n_ropes ? c->n_ropes : 1, halves = c->rope_short ? 2 : 1, pairs = c->head_dim / 2;
    const size_t bytes = (size_t)n * (size_t)halves * (size_t)pairs * sizeof(float);
    const int has_amplitudes = (float)r.amplitude != 1;
    float *f = g->source.rope_frequencies = malloc(bytes), *a = NULL;
    if (has_amplitudes) a = g->source.rope_amplitudes = malloc(bytes);
    if (!f || (has_amplitudes && !a)) return gguf_fail(&g->head, "no memory for rotary tables of %zu bytes", bytes);
    if (has_amplitudes) c->extras |= LLAMA_ROPE_AMPLITUDES;
    for (int i = 0; i < n * halves; i++, f += pairs, a = a ? a + pairs : NULL)
        if (!(i % n ? gguf_make_second_table(g, f, a) : gguf_make_table(g, &r, i / n, f, a))) return 0;
    return 1;
}

/* ---------------------------------------------------------------------------------------------------
 * Source
 * ------------------------------------------------------------------------------------------------- */

static int gguf_place_of(const gguf *g, int i) {
    return gguf_place(g->architecture, g->source.config.head_dim, g->turning, i);
}

/* out (count, cols) = rows of a tensor in the order of the file. */
static int gguf_read_rows(gguf *g, const gguf_tensor *t, int first, int count, float *out) {
    const size_t row_size = (size_t)(t->size / t->rows), most = g->scratch_size / row_size;
    uint64_t offset = t->offset + (uint64_t)first * row_size;
    for (size_t left = (size_t)count; left;) {
        const size_t n = left < most ? left : most;
        if (file_read_at(g->head.file, offset, g->scratch, n * row_size)) {
            char name[GGUF_MAX_NAME + 1];
            gguf_spell((size_t)(t - g->tensors), name);
            return gguf_fail(&g->head, "%s: cannot read %zu bytes at byte %" PRIu64, name, n * row_size, offset);
        }
        t->type->decode(t->type, g->scratch, n * row_size / (size_t)t->type->bytes, out);
        out += n * (size_t)t->cols;
        offset += n * row_size;
        left -= n;
    }
    return 1;
}

/* Puts the numbers of a vector's heads in llama.c's order. */
static void gguf_turn_vector(gguf *g, float *x, int n) {
    const int head_dim = g->source.config.head_dim;
    float *head = (float *)(void *)g->scratch;
    for (; n > 0; n -= head_dim, x += head_dim) {
        memcpy(head, x, (size_t)head_dim * sizeof *x);
        for (int i = 0; i < head_dim; i++) x[i] = head[gguf_place_of(g, i)];
    }
}

/* One by one, since rows that are neighbours here lie far apart in the file. */
static int gguf_read_turned_rows(gguf *g, const gguf_tensor *t, int first, int count, float *out) {
    for (int i = 0; i < count; i++, out += t->cols)
        if (!gguf_read_rows(g, t, gguf_place_of(g, first + i), 1, out)) return 0;
    return 1;
}

static int gguf_rows(llama_source *s, enum tensor tensor, int layer, int first, int count, float *out,
                     llama_error *err) {
    gguf *g = (gguf *)s;
    gguf_head *h = &g->head;
    h->err = err;
    if (tensor < TENSOR_FINAL_NORM) return gguf_fail(h, "%s is no tensor of the file", tensor_name(tensor)), -1;
    const gguf_tensor *t = gguf_tensor_of(g, (int)tensor, layer);
    const int turned = gguf_is_of_heads((int)tensor) && g->architecture->features & GGUF_HALVES;
    char name[GGUF_MAX_NAME + 1];
    gguf_spell((size_t)(t - g->tensors), name);
    if (t->size == 0) return gguf_fail(h, "%s is missing", name), -1;
    if (first < 0 || count < 0 || (uint64_t)first + (uint64_t)count > t->rows)
        return gguf_fail(h, "%s has no rows %d + %d", name, first, count), -1;
    if (turned && !tensor_is_vector(tensor)) return gguf_read_turned_rows(g, t, first, count, out) ? 0 : -1;
    if (!gguf_read_rows(g, t, first, count, out)) return -1;
    const int n = count * (tensor_is_vector(tensor) ? (int)t->cols : 0);
    if (turned) gguf_turn_vector(g, out, n);
    if (tensor == TENSOR_FINAL_NORM)
        for (int i = 0; i < n; i++) out[i] /= g->logit_scale;
    return 0;
}

static void gguf_close(llama_source *s) {
    gguf *g = (gguf *)s;
    if (g->head.file) fclose(g->head.file);
    source_release(s);
    gguf_free_bytes(&g->head);
    free(g->tensors);
    free(g->scratch);
    free(g);
}

/* Magic, version and counts, then all of the head. */
static int gguf_read_head(gguf *g) {
    gguf_head *h = &g->head;
    uint64_t version, n_tensors, n_entries;
    size_t at = 0;
    snprintf(h->what, sizeof h->what, "header");
    if (!gguf_take(h, 4, &at)) return 0;
    if (memcmp(h->bytes, "GGUF", 4)) return gguf_fail(h, "does not begin with GGUF");
    if (!gguf_take_number(h, 4, &version)) return 0;
    if (version != 2 && version != 3)
        return gguf_fail(h, "version is %" PRIu64 ", not 2 or 3%s", version,
                         version & 0xFFFF ? "" : ": a big-endian file");
    g->source.config.format = version == 2 ? "GGUF version 2" : "GGUF version 3";
    if (!gguf_take_number(h, 8, &n_tensors) || !gguf_take_number(h, 8, &n_entries) || !gguf_take_metadata(h, n_entries))
        return 0;
    g->alignment = 32;
    if (!gguf_read_architecture(g) || !gguf_check_refused(g) ||
        !gguf_int(h, GGUF_ALIGNMENT, 8, 1 << 20, 0, &g->alignment))
        return 0;
    if (g->alignment & (g->alignment - 1))
        return gguf_fail(h, "general.alignment is %d, no power of two", g->alignment);
    return gguf_read_config(g) && gguf_take_tensors(g, n_tensors) && gguf_read_layers(g) && gguf_check_tensors(g);
}

/* Room for rows and heads, and what a token reads. */
static int gguf_survey(gguf *g) {
    llama_config *c = &g->source.config;
    uint64_t largest = GGUF_SCRATCH;
    const uint64_t head = (uint64_t)c->head_dim * sizeof(float);
    if (head > largest) largest = head;
    c->weight_type = gguf_tensor_of(g, TENSOR_W1, 0)->type->name;
    for (size_t slot = 0; slot < g->n_tensors; slot++) {
        const gguf_tensor *t = &g->tensors[slot];
        const int name = gguf_slot_name(slot), tensor = gguf_names[name].tensor;
        if (!t->size) continue;
        if (t->size / t->rows > largest) largest = t->size / t->rows;
        if (tensor >= TENSORS || (tensor == TENSOR_EMBEDDING && !c->shared_classifier)) continue;
        c->weight_bytes +=
            gguf_names[name].experts ? t->size / (uint64_t)c->n_experts * (uint64_t)c->n_experts_used : t->size;
    }
    g->scratch_size = (size_t)largest;
    g->scratch = largest <= SIZE_MAX ? malloc(g->scratch_size) : NULL;
    return g->scratch ? 1 : gguf_fail(&g->head, "no memory for a row of %" PRIu64 " bytes", largest);
}

static int gguf_open(gguf *g, const char *path) {
    llama_source *s = &g->source;
    if (!gguf_open_file(&g->head, path) || !gguf_read_head(g) || !gguf_survey(g) || !gguf_read_rope(g)) return 0;
    g->head.err = &s->tokenizer_error; /* without its tokenizer too a model is one */
    gguf_read_tokenizer(&g->head, s);
    gguf_free_bytes(&g->head);
    return 1;
}

llama_source *source_open_gguf(const char *path, const source_date *today, llama_error *err) {
    gguf *g = calloc(1, sizeof *g);
    if (!g) return set_error(err, "%s: no memory", path), NULL;
    g->head.err = err;
    g->source.rows = gguf_rows;
    g->source.close = gguf_close;
    if (today) g->source.today = *today;
    if (gguf_open(g, path)) return &g->source;
    gguf_close(&g->source);
    return NULL;
}
