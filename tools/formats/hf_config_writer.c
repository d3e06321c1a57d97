/* hf_config_writer.c - contract in hf_config_writer.h.
 *
 * Whether a family can say a model is not decided key by key: its file is written, read again as any other, and what
 * comes of it compared with the model. The first difference is why a family cannot.
 *
 * A model has rotary tables and not what they came from. That is found by trying: the ways to stretch a context that
 * files can name, with the numbers that the table suggests and those that are usual.
 */
#include "hf_config_writer.h"
#include "../shared/inside.h"
#include "rope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Rotary tables ---- */

#define HF_NEAR 4e-7 /* as far off as a table may be, in shares: some files have factors in float32 */

typedef struct { /* the tables of a model, and which of them its layers take */
    const llama_config *f;
    float *frequencies, *amplitudes; /* (halves, tables, pairs) */
    int pairs, tables;
    int full, sliding; /* of layers without a window, and with one; tables that turn, if there are any */
} hf_ropes;

typedef struct {
    rope_rule rule;
    double off;        /* by how much the table is another, in shares */
    float *factors[2]; /* FACTORS: (turning / 2) of each half */
} hf_said_rope;

static const float *hf_table(const hf_ropes *r, int half, int table) {
    return r->frequencies + ((size_t)half * (size_t)r->tables + (size_t)table) * (size_t)r->pairs;
}

static float hf_amplitude_of(const hf_ropes *r, int half, int table, int pair) {
    const size_t at = ((size_t)half * (size_t)r->tables + (size_t)table) * (size_t)r->pairs + (size_t)pair;
    return r->amplitudes ? r->amplitudes[at] : 1;
}

/* Numbers of a head that a table turns. */
static int hf_turns(const hf_ropes *r, int table) {
    int n = r->pairs;
    while (n && hf_table(r, 0, table)[n - 1] == 0) n--;
    return 2 * n;
}

static void hf_choose_tables(hf_ropes *r) {
    int sliding = -1, full = -1;
    for (int l = 0; l < r->f->n_layers && r->f->layers; l++) {
        const llama_layer_kind *kind = &r->f->layers[l];
        int *table = kind->window ? &sliding : &full;
        if (*table < 0 && hf_turns(r, kind->rope)) *table = kind->rope;
    }
    for (int i = 0; i < r->tables && full < 0; i++)
        if (i != sliding && hf_turns(r, i)) full = i;
    r->full = full >= 0 ? full : sliding >= 0 ? sliding : 0;
    r->sliding = sliding >= 0 ? sliding : r->full;
}

static void hf_free_ropes(hf_ropes *r) { free(r->frequencies), free(r->amplitudes); }

static int hf_get_ropes(hf_ropes *r, const llama_model *m) {
    int rows, n;
    r->f = llama_get_config(m);
    r->pairs = r->f->head_dim / 2, r->tables = r->f->n_ropes ? r->f->n_ropes : 1;
    tensor_shape(r->f, TENSOR_ROPE, 0, &rows, &n);
    const int stretched = r->f->extras & LLAMA_ROPE_AMPLITUDES;
    r->frequencies = malloc((size_t)n * sizeof(float));
    r->amplitudes = stretched ? malloc((size_t)n * sizeof(float)) : NULL;
    if (!r->frequencies || (stretched && !r->amplitudes)) return -1;
    inside_rows(m, TENSOR_ROPE, 0, 0, 1, r->frequencies);
    if (stretched) inside_rows(m, TENSOR_ROPE_AMPLITUDES, 0, 0, 1, r->amplitudes);
    hf_choose_tables(r);
    return 0;
}

/* The largest share by which two tables differ. */
static double hf_difference(const float *a, const float *b, int n) {
    double most = 0;
    for (int i = 0; i < n; i++) {
        const double x = (double)a[i], y = (double)b[i], share = x == y ? 0 : y == 0 ? 1 : fabs(x / y - 1);
        if (!(share <= most)) most = share;
    }
    return most;
}

/* ---- What they came from ---- */

typedef struct {
    const float *table;
    float *tried; /* (pairs) */
    int pairs;
    hf_said_rope *best;
} hf_search;

static void hf_try(hf_search *s, rope_rule rule) {
    if (s->best->off == 0 || !(rule.theta > 0) || !(rule.theta < 1e30)) return;
    if (rule.kind != ROPE_PLAIN && !(rule.factor > 1e-5 && rule.factor < 1e9)) return;
    rope_table(&rule, 2 * s->pairs, s->tried, NULL);
    const double off = hf_difference(s->tried, s->table, s->pairs);
    if (off < s->best->off) s->best->rule = rule, s->best->off = off;
}

/* x, first with few digits: what people write. */
enum { HF_ROUNDINGS = 8 };
static double hf_rounded(double x, int i) {
    char text[40];
    snprintf(text, sizeof text, "%.*g", i < HF_ROUNDINGS - 1 ? i + 1 : 17, x);
    return strtod(text, NULL);
}

/* Llama 3 blends by how often a pair turns: two pairs that are blended give the line, but for its scale, which low = 1
 * settles. */
static void hf_try_line(hf_search *s, rope_rule rule) {
    double x[2] = {0, 0}, y[2] = {0, 0};
    int n = 0;
    for (int i = 0; i < rule.turning / 2 && n < 2; i++) {
        const double plain = pow(rule.theta, -2.0 * i / rule.turning), share = (double)s->table[i] / plain;
        const double keep = (share - 1 / rule.factor) / (1 - 1 / rule.factor);
        if (keep > 0.001 && keep < 0.999) x[n] = plain, y[n++] = keep;
    }
    if (n < 2 || x[0] == x[1]) return;
    const double slope = (y[1] - y[0]) / (x[1] - x[0]), zero = y[0] - slope * x[0];
    rule.low = 1;
    for (int i = 0; i < HF_ROUNDINGS; i++) {
        rule.high = hf_rounded(1 - 1 / zero, i);
        rule.original = floor(slope * 2 * acos(-1) * (rule.high - 1) + 0.5);
        if (rule.high > 1 && rule.original >= 1) hf_try(s, rule);
    }
}

/* All that stretches with a factor. */
static void hf_try_stretched(hf_search *s, rope_rule rule, double seq_len) {
    rule.low = 1, rule.high = 4, rule.fast = 32, rule.slow = 1, rule.truncate = 1;
    for (int k = 3; k < 25; k++) {
        rule.original = k == 3 ? floor(seq_len / rule.factor + 0.5) : ldexp(1, k);
        if (rule.original < 1) continue;
        rule.kind = ROPE_LLAMA3;
        hf_try(s, rule);
        for (rule.kind = ROPE_YARN, rule.truncate = 2; rule.truncate-- > 0 && rule.theta > 1;) hf_try(s, rule);
    }
    rule.kind = ROPE_LLAMA3;
    hf_try_line(s, rule);
}

static void hf_try_theta(hf_search *s, double theta, int turning, double seq_len) {
    rope_rule rule = {.kind = ROPE_PLAIN, .theta = theta, .turning = turning};
    const int last = turning / 2 - 1;
    hf_try(s, rule);
    for (int i = 0; i < HF_ROUNDINGS && s->best->off > 0; i++) {
        rule.kind = ROPE_LINEAR;
        rule.factor = hf_rounded(1 / (double)s->table[0], i);
        hf_try(s, rule);
        rule.factor = hf_rounded(pow(theta, -2.0 * last / turning) / (double)s->table[last], i);
        if (rule.factor > 1) hf_try_stretched(s, rule, seq_len);
    }
}

/* The parameters of a table: those of theta as it is known, or as the table suggests it by its first pairs or by
 * all. */
static int hf_find_rule(const hf_ropes *r, int table, hf_said_rope *out) {
    float *tried = malloc((size_t)r->pairs * sizeof *tried);
    const float *t = hf_table(r, 0, table);
    const int turning = hf_turns(r, table), last = turning / 2 - 1;
    if (!tried) return -1;
    hf_search s = {t, tried, r->pairs, out};
    out->off = 1;
    out->rule = (rope_rule){.kind = ROPE_PLAIN, .theta = (double)r->f->rope_theta, .turning = turning};
    for (int i = 0; i < HF_ROUNDINGS && turning && out->off > 0; i++) {
        const double theta = hf_rounded((double)r->f->rope_theta, i);
        if ((float)theta == r->f->rope_theta) hf_try_theta(&s, theta, turning, r->f->seq_len);
    }
    for (int i = 0; i < 2 * HF_ROUNDINGS && last > 0 && out->off > 0; i++) {
        const int pair = i < HF_ROUNDINGS ? last : 1;
        const double theta = pow((double)t[0] / (double)t[pair], turning / 2.0 / pair);
        hf_try_theta(&s, hf_rounded(theta, i % HF_ROUNDINGS), turning, r->f->seq_len);
    }
    out->rule.amplitude = (double)hf_amplitude_of(r, 0, table, 0);
    free(tried);
    return 0;
}

/* longrope says any table: the factor of each pair, which was a float32. */
static int hf_find_factors(const hf_ropes *r, int table, hf_said_rope *out) {
    const int turning = hf_turns(r, table);
    out->rule = (rope_rule){.kind = ROPE_FACTORS,
                            .theta = (double)r->f->rope_theta,
                            .turning = turning,
                            .original = r->f->rope_short,
                            .amplitude = (double)hf_amplitude_of(r, 0, table, 0)};
    for (int half = 0; half < 2; half++) {
        float *factors = out->factors[half] = malloc(((size_t)turning / 2 + 1) * sizeof *factors);
        if (!factors) return -1;
        for (int i = 0; i < turning / 2; i++) {
            const double plain = pow(out->rule.theta, -2.0 * i / turning), f = (double)hf_table(r, half, table)[i];
            factors[i] = (float)(plain / f);
            if ((float)(plain / (double)factors[i]) < (float)f) factors[i] = nextafterf(factors[i], 0);
            else if ((float)(plain / (double)factors[i]) > (float)f) factors[i] = nextafterf(factors[i], INFINITY);
        }
    }
    return 0;
}

/* ---- Writing ---- */

typedef struct {
    const hf_config_input *in;
    const llama_config *f;
    const hf_family *family;
    hf_ropes ropes;
    hf_said_rope full, sliding;
    json_out *out;
} hf_config_writer;

static int hf_window(const hf_config_writer *w, int layer) { return w->f->layers ? w->f->layers[layer].window : 0; }

/* The window of those layers that have one. */
static int hf_any_window(const hf_config_writer *w) {
    int window = 0;
    for (int l = 0; l < w->f->n_layers && !window; l++) window = hf_window(w, l);
    return window;
}

static int hf_layer_slides(const hf_config_writer *w, int layer) {
    return hf_window(w, layer) || (w->ropes.sliding != w->ropes.full && w->f->layers[layer].rope == w->ropes.sliding);
}

static void hf_put_factors(json_out *j, const char *key, const float *factors, int n) {
    json_key(j, 2, key);
    json_put(j, "[");
    for (int i = 0; i < n; i++) {
        if (i) json_put(j, ", ");
        json_put_number(j, (double)factors[i], 1);
    }
    json_put(j, "]");
}

/* Only an amplitude that is not the usual one. */
static void hf_put_amplitude(json_out *j, const rope_rule *rule, double usual) {
    if ((float)usual != (float)rule->amplitude) json_key_number(j, 2, "attention_factor", rule->amplitude, 1);
}

static void hf_put_longrope(hf_config_writer *w) {
    const rope_rule *rule = &w->full.rule;
    json_out *j = w->out;
    hf_put_factors(j, "short_factor", w->full.factors[0], rule->turning / 2);
    hf_put_factors(j, "long_factor", w->full.factors[1], rule->turning / 2);
    if (rule->original > 1) hf_put_amplitude(j, rule, rope_long_amplitude(w->f->seq_len, rule->original));
}

static void hf_put_stretch(hf_config_writer *w) {
    const rope_rule *rule = &w->full.rule;
    json_out *j = w->out;
    json_key_number(j, 2, "factor", rule->factor, 0);
    if (rule->kind == ROPE_LINEAR) return;
    json_key_int(j, 2, "original_max_position_embeddings", (int)rule->original);
    if (rule->kind == ROPE_LLAMA3) {
        json_key_number(j, 2, "low_freq_factor", rule->low, 0);
        json_key_number(j, 2, "high_freq_factor", rule->high, 0);
    } else {
        json_key_number(j, 2, "beta_fast", rule->fast, 0);
        json_key_number(j, 2, "beta_slow", rule->slow, 0);
        if (!rule->truncate) json_key_flag(j, 2, "truncate", 0);
        hf_put_amplitude(j, rule, rope_yarn_amplitude(rule->factor, 1));
    }
}

static void hf_put_rope(hf_config_writer *w) {
    static const char *const names[] = {"default", "linear", "llama3", "yarn", "longrope"};
    const rope_rule *rule = &w->full.rule;
    json_out *j = w->out;
    json_key_number(j, 1, "rope_theta", rule->theta, 0);
    if (w->family->traits & HF_LOCAL_ROPE) json_key_number(j, 1, "rope_local_base_freq", w->sliding.rule.theta, 0);
    if (rule->turning && rule->turning != w->f->head_dim)
        json_key_number(j, 1, "partial_rotary_factor", (double)rule->turning / w->f->head_dim, 0);
    if (rule->kind == ROPE_FACTORS) json_key_int(j, 1, "original_max_position_embeddings", w->f->rope_short);
    json_key(j, 1, "rope_scaling");
    if (rule->kind == ROPE_PLAIN) {
        json_put(j, "null");
        return;
    }
    json_put(j, "{");
    json_key_text(j, 2, "rope_type", names[rule->kind]);
    json_key_text(j, 2, "type", names[rule->kind]); /* as older code has it */
    if (rule->kind == ROPE_FACTORS) hf_put_longrope(w);
    else hf_put_stretch(w);
    json_end(j, 1, '{');
}

static void hf_put_sizes(hf_config_writer *w) {
    const llama_config *f = w->f;
    json_out *j = w->out;
    json_key_int(j, 1, "hidden_size", f->dim);
    json_key_int(j, 1, "intermediate_size", w->family->traits & HF_EXPERTS ? f->expert_dim : f->hidden_dim);
    json_key_int(j, 1, "num_hidden_layers", f->n_layers);
    json_key_int(j, 1, "num_attention_heads", f->n_heads);
    json_key_int(j, 1, "num_key_value_heads", f->n_kv_heads);
    json_key_int(j, 1, "head_dim", f->head_dim);
    json_key_int(j, 1, "vocab_size", f->vocab_size);
    json_key_int(j, 1, "max_position_embeddings", f->seq_len);
    json_key_number(j, 1, "rms_norm_eps", (double)f->norm_eps, 1);
    json_key_flag(j, 1, "tie_word_embeddings", f->shared_classifier);
    json_key_text(j, 1, w->family->traits & HF_GEMMA ? "hidden_activation" : "hidden_act",
                  w->family->extras & LLAMA_GELU ? "gelu_pytorch_tanh" : "silu");
    if (w->family->traits & HF_ATTENTION_BIAS) json_key_flag(j, 1, "attention_bias", !!(f->extras & LLAMA_O_BIAS));
    if (w->family->traits & HF_BIAS) json_key_flag(j, 1, "bias", !!(f->extras & LLAMA_O_BIAS));
}

/* A list with an item for each layer. */
static void hf_put_layers(hf_config_writer *w, const char *key, const char *(*item)(hf_config_writer *w, int layer)) {
    json_key(w->out, 1, key);
    for (int l = 0; l < w->f->n_layers; l++) json_put(w->out, l ? ", %s" : "[%s", item(w, l));
    json_put(w->out, "]");
}

static const char *hf_layer_type(hf_config_writer *w, int layer) {
    return hf_layer_slides(w, layer) ? "\"sliding_attention\"" : "\"full_attention\"";
}

static const char *hf_layer_turns(hf_config_writer *w, int layer) {
    return w->f->layers && !hf_turns(&w->ropes, w->f->layers[layer].rope) ? "0" : "1";
}

/* The n for which each n-th layer does not slide; 0: there is none. */
static int hf_pattern(const hf_config_writer *w) {
    for (int n = 2; n <= w->f->n_layers; n++) {
        int l = 0;
        while (l < w->f->n_layers && hf_layer_slides(w, l) == ((l + 1) % n != 0)) l++;
        if (l == w->f->n_layers) return n;
    }
    return 0;
}

static void hf_put_windows(hf_config_writer *w) {
    const int traits = w->family->traits, window = hf_any_window(w);
    json_out *j = w->out;
    int first = 0;
    if (!(traits & (HF_WINDOW | HF_SWITCHED_WINDOW | HF_PATTERN_WINDOW))) return;
    if (traits & HF_SWITCHED_WINDOW) json_key_flag(j, 1, "use_sliding_window", window > 0);
    json_key(j, 1, "sliding_window");
    json_put(j, window ? "%d" : "null", window);
    if (traits & HF_WINDOW) return;
    while (first < w->f->n_layers && !hf_layer_slides(w, first)) first++;
    if (traits & HF_SWITCHED_WINDOW) json_key_int(j, 1, "max_window_layers", first);
    if (traits & HF_PATTERN_WINDOW && hf_pattern(w)) json_key_int(j, 1, "sliding_window_pattern", hf_pattern(w));
    hf_put_layers(w, "layer_types", hf_layer_type);
}

static void hf_put_experts(hf_config_writer *w) {
    const llama_config *f = w->f;
    const int sparse = w->family->traits & HF_SPARSE_EXPERTS;
    json_out *j = w->out;
    if (!sparse && !(w->family->traits & HF_EXPERTS)) return;
    json_key_int(j, 1, sparse ? "num_experts" : "num_local_experts", f->n_experts);
    json_key_int(j, 1, "num_experts_per_tok", f->n_experts_used);
    if (!sparse) return;
    json_key_int(j, 1, "moe_intermediate_size", f->expert_dim);
    json_key_flag(j, 1, "norm_topk_prob", !!(f->extras & LLAMA_RENORMALISE));
    json_key_int(j, 1, "decoder_sparse_step", 1);
    json_key(j, 1, "mlp_only_layers");
    json_put(j, "[");
    for (int l = 0, n = 0; l < f->n_layers; l++)
        if (!f->layers || !f->layers[l].experts) json_put(j, n++ ? ", %d" : "%d", l);
    json_put(j, "]");
}

static float hf_embedding_scale(const llama_config *f) { return f->embedding_scale > 0 ? f->embedding_scale : 1; }

static float hf_attention_scale(const llama_config *f) { /* as llama.c, room 4 */
    return f->attention_scale > 0 ? f->attention_scale : 1.0f / sqrtf((float)f->head_dim);
}

static void hf_put_cap(json_out *j, const char *key, float cap) {
    if (cap > 0) json_key_number(j, 1, key, (double)cap, 1);
    else json_key_text(j, 1, key, NULL);
}

/* What was divided out of the residual stream stays so. */
static void hf_put_scales(hf_config_writer *w) {
    const llama_config *f = w->f;
    const double embedding = (double)hf_embedding_scale(f), attention = (double)hf_attention_scale(f);
    const int traits = w->family->traits;
    json_out *j = w->out;
    if (traits & HF_GRANITE) {
        json_key_number(j, 1, "embedding_multiplier", embedding, 1);
        json_key_number(j, 1, "attention_multiplier", attention, 1);
        json_key_number(j, 1, "residual_multiplier", 1, 0);
        json_key_number(j, 1, "logits_scaling", 1, 0);
    }
    if (traits & HF_MINICPM) {
        json_key_number(j, 1, "scale_emb", embedding, 1);
        json_key_number(j, 1, "scale_depth", sqrt(f->n_layers), 0);
        json_key_int(j, 1, "dim_model_base", f->dim);
    }
    if (traits & HF_GEMMA) {
        double scalar = 1 / (attention * attention);
        for (int i = 0; i < HF_ROUNDINGS; i++)
            if ((float)(1 / sqrt(hf_rounded(scalar, i))) == (float)attention) {
                scalar = hf_rounded(scalar, i);
                break;
            }
        json_key_number(j, 1, "query_pre_attn_scalar", scalar, 0);
        hf_put_cap(j, "attn_logit_softcapping", f->score_cap);
        hf_put_cap(j, "final_logit_softcapping", f->logit_cap);
    }
}

void hf_write_token_ids(json_out *out, const tokenizer_parts *tokens) {
    if (!tokens) return;
    if (tokens->bos >= 0) json_key_int(out, 1, "bos_token_id", tokens->bos);
    else json_key_text(out, 1, "bos_token_id", NULL);
    json_key(out, 1, "eos_token_id");
    if (tokens->n_ends != 1) json_put(out, tokens->n_ends ? "[" : "null");
    for (int i = 0; i < tokens->n_ends; i++) json_put(out, i ? ", %d" : "%d", tokens->ends[i]);
    if (tokens->n_ends > 1) json_put(out, "]");
}

static void hf_put_config(hf_config_writer *w) {
    json_out *j = w->out;
    json_put(j, "{");
    json_key(j, 1, "architectures");
    json_put(j, "[\"%s\"]", w->family->architecture);
    json_key_text(j, 1, "model_type", w->family->model_type);
    hf_put_sizes(w);
    hf_put_scales(w);
    hf_put_rope(w);
    hf_put_windows(w);
    if (w->family->traits & HF_NOPE) hf_put_layers(w, "no_rope_layers", hf_layer_turns);
    hf_put_experts(w);
    hf_write_token_ids(j, w->in->tokens);
    /* Of some families transformers takes one beyond a small vocabulary, and then does not load: Phi 3, SmolLM 3. */
    json_key_text(j, 1, "pad_token_id", NULL);
    json_key_text(j, 1, "torch_dtype", w->in->dtype);
    json_next(j, 1);
    json_put(j, HF_WRITTEN_BY " " LLAMA_VERSION "\"");
    json_end(j, 0, '{');
    json_put(j, "\n");
}

/* ---- Reading it again ---- */

static const char *hf_differing_extra(int a, int b) {
    static const struct {
        int bit;
        const char *name;
    } names[] = {{LLAMA_QKV_BIAS, "biases of queries, keys and values"},
                 {LLAMA_O_BIAS, "biases of what attention adds"},
                 {LLAMA_HEAD_NORM, "norms of each head"},
                 {LLAMA_WIDE_NORM, "norms of all heads"},
                 {LLAMA_POST_NORM, "norms of what layers add"},
                 {LLAMA_NO_PRE_NORM, "norms of what layers read"},
                 {LLAMA_GELU, "the activation"},
                 {LLAMA_RENORMALISE, "the sum of experts' weights"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((a ^ b) & names[i].bit) return names[i].name;
    return NULL;
}

static int hf_has_dense_layer(const llama_config *f) {
    for (int l = 0; l < f->n_layers; l++)
        if (!f->layers || !f->layers[l].experts) return 1;
    return 0;
}

/* What of a layer's rotation is another in what was read. */
static const char *hf_differing_rope(const hf_ropes *ours, const llama_source *s, int layer) {
    const llama_config *f = &s->config;
    const hf_ropes theirs = {f, s->rope_frequencies, s->rope_amplitudes, ours->pairs, f->n_ropes, 0, 0};
    const int a = ours->f->layers ? ours->f->layers[layer].rope : 0, b = f->layers[layer].rope;
    if (f->rope_short != ours->f->rope_short) return "rotary tables that depend on the context's length";
    for (int half = 0; half < (f->rope_short ? 2 : 1); half++) {
        const float *x = hf_table(ours, half, a), *y = hf_table(&theirs, half, b);
        if ((x[0] == 0) != (y[0] == 0)) return "a layer without rotation";
        if (hf_difference(y, x, ours->pairs) > HF_NEAR)
            return a ? "the rotary table of some layers" : "the rotary table";
        for (int i = 0; i < ours->pairs; i++)
            if (x[i] != 0 && hf_amplitude_of(ours, half, a, i) != hf_amplitude_of(&theirs, half, b, i))
                return "amplitudes of the rotary table";
    }
    return NULL;
}

static const char *hf_differing_layer(const hf_ropes *ours, const llama_source *s) {
    static const llama_layer_kind plain;
    for (int l = 0; l < s->config.n_layers; l++) {
        const llama_layer_kind *a = ours->f->layers ? &ours->f->layers[l] : &plain, *b = &s->config.layers[l];
        if (a->window != b->window) return "windows as these layers have them";
        if (a->experts != b->experts) return "experts as these layers have them";
        const char *rope = hf_differing_rope(ours, s, l);
        if (rope) return rope;
    }
    return NULL;
}

/* What of a model is another in what was read; NULL: nothing. */
static const char *hf_differing(const hf_ropes *ours, const llama_source *s) {
    const llama_config *a = ours->f, *b = &s->config;
    const char *extra = hf_differing_extra(a->extras, b->extras);
    if (extra) return extra;
    if (a->dim != b->dim || a->n_layers != b->n_layers || a->n_heads != b->n_heads || a->n_kv_heads != b->n_kv_heads ||
        a->head_dim != b->head_dim || a->vocab_size != b->vocab_size || a->seq_len != b->seq_len ||
        a->shared_classifier != b->shared_classifier || (hf_has_dense_layer(a) && a->hidden_dim != b->hidden_dim))
        return "these sizes";
    if (a->n_experts != b->n_experts || a->n_experts_used != b->n_experts_used || a->expert_dim != b->expert_dim)
        return "these experts";
    if (a->norm_eps != b->norm_eps) return "this epsilon of norms";
    if (hf_embedding_scale(a) != hf_embedding_scale(b)) return "a factor of the embedding";
    if (hf_attention_scale(a) != hf_attention_scale(b)) return "a factor of attention's scores";
    if (a->score_cap != b->score_cap || a->logit_cap != b->logit_cap) return "caps of scores and logits";
    return hf_differing_layer(ours, s);
}

/* What the classes themselves have not, although their files are read here. */
static const char *hf_beyond_class(const hf_config_writer *w) {
    const int own_code = w->family->traits & (HF_MINICPM | HF_BIAS);
    if (own_code && w->f->head_dim * w->f->n_heads != w->f->dim) return "heads of this width";
    if (w->full.rule.turning && w->full.rule.turning != w->f->head_dim && !(w->family->names & HF_PHI))
        return "heads that turn in part";
    return NULL;
}

/* Writes the file of a family. why is empty if it says the model, else what the family has not. */
static void hf_say(hf_config_writer *w, hf_form *form, char *why, size_t size) {
    static const char name[] = "config.json";
    llama_source s = {.note = ""};
    llama_error err = {0, ""};
    json_text json;
    json_out_free(w->out);
    hf_put_config(w);
    const char *what = hf_beyond_class(w);
    if (w->out->failed || !w->out->text) what = "the memory that is here";
    if (!what && json_parse(&json, w->out->text, w->out->size, name, &err)) what = err.text;
    else if (!what) {
        memset(form, 0, sizeof *form);
        if (hf_read_config(&s, form, name, json.nodes, &err) || hf_read_ropes(&s, form, name, json.nodes, &err))
            what = err.text;
        else what = hf_differing(&w->ropes, &s);
        json_free(&json);
    }
    snprintf(why, size, "%.*s", (int)size - 1, what ? what : "");
    source_release(&s);
}

/* The families in order: first those of the name that the model remembers. */
static const hf_family *hf_candidate(const llama_config *f, int i) {
    for (int named = 1; named >= 0; named--)
        for (int k = 0; hf_family_at(k); k++) {
            const hf_family *family = hf_family_at(k);
            if (named == !strcmp(family->name, f->architecture) && !(family->traits & HF_VISION) && !i--) return family;
        }
    return NULL;
}

static int hf_choose_family(hf_config_writer *w, const char *name, hf_config_choice *choice, llama_error *err) {
    char why[150], first[150] = "";
    for (int i = 0; (w->family = hf_candidate(w->f, i)); i++) {
        hf_say(w, &choice->form, why, sizeof why);
        choice->family = w->family;
        if (!*why) return 0;
        if (!i) snprintf(first, sizeof first, "%s", why);
    }
    json_out_free(w->out);
    return set_error(err, "%.80s: no class can say this model; %s differs in %.100s", name,
                     hf_candidate(w->f, 0)->architecture, first);
}

int hf_write_config(const hf_config_input *in, const char *name, json_out *out, hf_config_choice *choice,
                    llama_error *err) {
    hf_config_writer w = {.in = in, .f = llama_get_config(in->model), .out = out};
    int failed = hf_get_ropes(&w.ropes, in->model);
    if (!failed) {
        failed = w.f->rope_short ? hf_find_factors(&w.ropes, w.ropes.full, &w.full)
                                 : hf_find_rule(&w.ropes, w.ropes.full, &w.full);
        failed = failed || hf_find_rule(&w.ropes, w.ropes.sliding, &w.sliding);
    }
    const int result = failed ? set_error(err, "%.120s: no memory", name) : hf_choose_family(&w, name, choice, err);
    choice->is_near = !w.f->rope_short && w.full.off > 0;
    hf_free_ropes(&w.ropes);
    for (int half = 0; half < 2; half++) free(w.full.factors[half]);
    return result;
}
