/* gguf_plan.c - contract in gguf_plan.h. What a model has is compared with what an architecture has, or may have; what
 * a rotary table says is compared, bit by bit, with what the reader would make of keys. */
#include "gguf_plan.h"
#include "../shared/inside.h"
#include "rope.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    gguf_plan *p;
    const llama_config *c;
    const gguf_architecture *a;
    const float *frequencies, *amplitudes; /* (halves, ropes, pairs); amplitudes NULL: 1 */
    float *made;                           /* (pairs) room for a table */
    int pairs, ropes;                      /* of a head; tables of a half */
    char why[100];                         /* what this architecture cannot say */
} gguf_planner;

/* Returns 0, for the caller to return. */
static int gguf_cannot(gguf_planner *g, const char *what) {
    snprintf(g->why, sizeof g->why, "%s", what);
    return 0;
}

static const llama_layer_kind *gguf_kind(const gguf_planner *g, int layer) {
    static const llama_layer_kind plain;
    return g->c->layers ? &g->c->layers[layer] : &plain;
}

/* ---- Layers ---- */

static int gguf_plan_extras(gguf_planner *g) {
    static const struct {
        int extra;
        const char *name;
    } names[] = {{LLAMA_QKV_BIAS, "biases of queries, keys and values"},
                 {LLAMA_O_BIAS, "biases of what attention adds"},
                 {LLAMA_HEAD_NORM, "norms of each head"},
                 {LLAMA_WIDE_NORM, "norms of all heads side by side"},
                 {LLAMA_POST_NORM, "norms behind attention"},
                 {LLAMA_NO_PRE_NORM, "layers without norms of what they read"},
                 {LLAMA_GELU, "GELU"}};
    const int has = g->c->extras, may = g->a->extras | g->a->optional;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char what[80];
        snprintf(what, sizeof what, "a model without %s", names[i].name);
        if (has & ~may & names[i].extra) return gguf_cannot(g, names[i].name);
        if (g->a->extras & ~has & names[i].extra) return gguf_cannot(g, what);
    }
    return 1;
}

static int gguf_plan_experts(gguf_planner *g) {
    const llama_config *c = g->c;
    int layers = 0;
    for (int l = 0; l < c->n_layers; l++) layers += gguf_kind(g, l)->experts != 0;
    if (!c->n_experts) return 1;
    if (!(g->a->features & GGUF_EXPERTS)) return gguf_cannot(g, "a mixture of experts");
    if (layers < c->n_layers) return gguf_cannot(g, "layers without experts beside those that have them");
    if (!(c->extras & LLAMA_RENORMALISE)) return gguf_cannot(g, "weights of experts that do not sum to 1");
    return 1;
}

static int gguf_is_near(double a, double b) { return fabs(a - b) <= 1e-6 * fabs(b); }

/* Gemma 2 has caps always, Gemma 3 of logits only. */
static int gguf_plan_scales(gguf_planner *g) {
    const llama_config *c = g->c;
    const int features = g->a->features, keyed = features & GGUF_SCALES && !(features & GGUF_MINICPM);
    const double usual = c->n_layers == g->a->large ? sqrt((double)c->n_heads / c->dim) : 1 / sqrt(c->head_dim);
    const double scale = c->attention_scale > 0 ? (double)c->attention_scale : 1 / sqrt(c->head_dim);
    const double embedding = c->embedding_scale > 0 ? (double)c->embedding_scale : 1;
    const int caps = features & GGUF_CAPS, both = g->a->caps[0] > 0;
    if (!keyed && !gguf_is_near(scale, usual)) g->p->query_factor = (float)(scale / usual);
    if (!(features & GGUF_SCALES) && !gguf_is_near(embedding, features & GGUF_ROOT ? sqrt(c->dim) : 1))
        return gguf_cannot(g, features & GGUF_ROOT ? "an embedding that is not multiplied by the root of its width"
                                                   : "an embedding that is multiplied");
    if (caps && both && !(c->score_cap > 0 && c->logit_cap > 0)) return gguf_cannot(g, "a model without caps");
    if (!(caps && both) && c->score_cap > 0) return gguf_cannot(g, "a cap of q . k");
    if (!caps && c->logit_cap > 0) return gguf_cannot(g, "a cap of logits");
    return 1;
}

/* Whether of each so many layers all but the last have a window. */
static int gguf_has_period(const gguf_planner *g, int period) {
    int l = 0;
    while (l < g->c->n_layers && (gguf_kind(g, l)->window > 0) == (l % period < period - 1)) l++;
    return l == g->c->n_layers;
}

static int gguf_plan_windows(gguf_planner *g) {
    const int n = g->c->n_layers;
    int window = 0, layers = 0, period = g->a->period;
    for (int l = 0; l < n; l++) {
        const int w = gguf_kind(g, l)->window;
        if (!w) continue;
        if (window && w != window) return gguf_cannot(g, "windows of different lengths");
        window = w, layers++;
    }
    g->p->window = window;
    if (!window && !(g->a->features & GGUF_PATTERN)) return 1;
    if (!(g->a->features & GGUF_WINDOW)) return gguf_cannot(g, "a window");
    if (!(g->a->features & GGUF_PATTERN)) {
        g->p->ignored_window = 1;
        return layers == n || gguf_cannot(g, "a window in some layers only");
    }
    if (!window) { /* Gemma 2 has always one: in the layers of a period of one, which are none */
        if (!(g->a->features & GGUF_LOCAL)) g->p->window = g->a->window, g->p->period = 1;
        return 1;
    }
    if (!gguf_has_period(g, period))
        for (period = 2; period <= n && !gguf_has_period(g, period);) period++;
    g->p->period = period;
    return gguf_has_period(g, period) || gguf_cannot(g, "windows in layers that follow no period");
}

/* ---- Rotary tables ---- */

static const float *gguf_table(const gguf_planner *g, const float *tables, int half, int rope) {
    return tables ? tables + (size_t)(half * g->ropes + rope) * (size_t)g->pairs : NULL;
}

/* Layers that differ by their kind: those with a window, or those that do not turn. */
static int gguf_is_second(const gguf_planner *g, int layer) {
    if (g->a->features & GGUF_LOCAL) return gguf_kind(g, layer)->window > 0;
    return g->a->unturned && (layer + 1) % g->a->unturned == 0;
}

static int gguf_same_table(const gguf_planner *g, int half, int a, int b) {
    const size_t bytes = (size_t)g->pairs * sizeof(float);
    return a == b || (!memcmp(gguf_table(g, g->frequencies, half, a), gguf_table(g, g->frequencies, half, b), bytes) &&
                      (!g->amplitudes ||
                       !memcmp(gguf_table(g, g->amplitudes, half, a), gguf_table(g, g->amplitudes, half, b), bytes)));
}

/* rope[0] = the table of most layers, rope[1] = that of the others; -1: there are none. */
static int gguf_find_tables(gguf_planner *g, int rope[2]) {
    rope[0] = rope[1] = -1;
    for (int l = 0; l < g->c->n_layers; l++) {
        const int second = gguf_is_second(g, l), table = gguf_kind(g, l)->rope;
        if (rope[second] < 0) rope[second] = table;
        for (int half = 0; half < (g->c->rope_short ? 2 : 1); half++)
            if (!gguf_same_table(g, half, table, rope[second]))
                return gguf_cannot(g, "layers that turn differently, other than by its own rule");
    }
    return 1;
}

/* How many numbers of a head turn: the first ones. *amplitude = that of all of them. 0: it is no such table. */
static int gguf_turning_of(gguf_planner *g, int half, int rope, float *amplitude) {
    const float *f = gguf_table(g, g->frequencies, half, rope), *a = gguf_table(g, g->amplitudes, half, rope);
    int n = 0;
    while (n < g->pairs && f[n] > 0 && f[n] <= 3e38f) n++;
    *amplitude = a ? a[0] : 1;
    for (int i = 0; i < g->pairs; i++) {
        if (i >= n && f[i] != 0) return gguf_cannot(g, "rotary frequencies that are not positive");
        if (a && a[i] != (i < n ? *amplitude : 1)) return gguf_cannot(g, "rotation that stretches pairs differently");
    }
    return 2 * n;
}

/* Does a rule, as the reader applies it, make these frequencies? */
static int gguf_makes(gguf_planner *g, const rope_rule *r, const float *f) {
    rope_table(r, 2 * g->pairs, g->made, NULL);
    return !memcmp(g->made, f, (size_t)g->pairs * sizeof *f);
}

/* *base = that of a table without scaling: as it is, or what its last pair says, give or take a few roundings. */
static int gguf_find_base(gguf_planner *g, const float *f, float *base) {
    const int last = g->p->turning / 2 - 1;
    rope_rule r = {.kind = ROPE_PLAIN, .theta = (double)*base, .turning = g->p->turning};
    if (gguf_makes(g, &r, f)) return 1;
    if (!last) return 0;
    const double found = pow((double)f[last], -0.5 * g->p->turning / last);
    if (!(found > 0 && found < 3e38)) return 0;
    float tries[20] = {(float)floor(found + 0.5), (float)found};
    for (int i = 2; i < 20; i++) tries[i] = nextafterf(i == 2 || i == 11 ? tries[1] : tries[i - 1], i < 11 ? 0 : 3e38f);
    for (int i = 0; i < 20; i++) {
        r.theta = (double)tries[i];
        if (tries[i] > 0 && gguf_makes(g, &r, f)) return *base = tries[i], 1;
    }
    return 0;
}

static int gguf_plan_linear(gguf_planner *g, const float *f) {
    const float factor = 1 / f[0];
    const rope_rule r = {
        .kind = ROPE_LINEAR, .theta = (double)g->p->base, .turning = g->p->turning, .factor = (double)factor};
    if (!(factor > 0 && factor < 3e38f) || !gguf_makes(g, &r, f)) return 0;
    g->p->scaling = "linear", g->p->factor = factor;
    return 1;
}

/* The last pair is slowed by the whole factor. The length before may have been any, but most often it is the context's
 * or that divided by the factor; both bounds are the usual ones. */
static int gguf_plan_yarn(gguf_planner *g, const float *f) {
    gguf_plan *p = g->p;
    const int last = p->turning / 2 - 1;
    rope_rule r = {.kind = ROPE_YARN, .theta = (double)p->base, .turning = p->turning, .fast = 32, .slow = 1};
    r.truncate = 1;
    const double exact = pow(r.theta, -2.0 * last / r.turning) / (double)f[last];
    if (!(exact > 1 && exact < 1e6) || !(r.theta > 1)) return 0;
    for (int i = 0; i < 4; i++) {
        p->factor = (float)(i % 2 ? exact : floor(exact * 64 + 0.5) / 64);
        r.factor = (double)p->factor;
        r.original = i / 2 ? floor(g->c->seq_len / r.factor + 0.5) : g->c->seq_len;
        if (!(r.factor > 1 && r.original >= 1) || !gguf_makes(g, &r, f)) continue;
        const double usual = rope_yarn_amplitude(r.factor, 1);
        p->scaling = "yarn", p->original = (int)r.original;
        p->amplitude = gguf_is_near((double)p->amplitude, usual) ? 1 : (float)((double)p->amplitude / usual);
        return 1;
    }
    p->factor = 0;
    return 0;
}

/* What the plain frequencies are to be divided by to give these: the reader's division rounds, so a neighbour may do
 * what the nearest number does not. */
static int gguf_plan_divisors(gguf_planner *g, int tensor, const float *f) {
    const int n = g->p->turning / 2;
    const rope_rule r = {.kind = ROPE_PLAIN, .theta = (double)g->p->base, .turning = g->p->turning};
    float *d = g->p->divisors[tensor - GGUF_FREQS] = malloc((size_t)n * sizeof *d);
    if (!d) return gguf_cannot(g, ""); /* no memory */
    rope_table(&r, 2 * g->pairs, g->made, NULL);
    for (int i = 0; i < n; i++) {
        const float near = (float)((double)g->made[i] / (double)f[i]);
        const float tries[] = {near, nextafterf(near, 0), nextafterf(near, 3e38f)};
        d[i] = near;
        for (int k = 2; k >= 0; k--)
            if (g->made[i] / tries[k] == f[i]) d[i] = tries[k];
        if (!(d[i] > 0 && d[i] < 3e38f)) return gguf_cannot(g, "its rotary frequencies");
    }
    return 1;
}

static int gguf_plan_longrope(gguf_planner *g, int rope) {
    gguf_plan *p = g->p;
    float amplitude;
    if (!(g->a->features & GGUF_FACTORS))
        return gguf_cannot(g, "rotary frequencies that depend on the context's length");
    if (gguf_turning_of(g, 1, rope, &amplitude) != p->turning || amplitude != p->amplitude)
        return gguf_cannot(g, "rotation of long contexts that differs by more than frequencies");
    p->scaling = "longrope", p->original = g->c->rope_short;
    return gguf_plan_divisors(g, GGUF_SHORT, gguf_table(g, g->frequencies, 0, rope)) &&
           gguf_plan_divisors(g, GGUF_LONG, gguf_table(g, g->frequencies, 1, rope));
}

/* The table of layers that differ: those with a window turn by a base alone, the others not at all. */
static int gguf_plan_second(gguf_planner *g, int rope) {
    const float *f = gguf_table(g, g->frequencies, 0, rope);
    float amplitude;
    const int turning = gguf_turning_of(g, 0, rope, &amplitude);
    if (*g->why) return 0;
    if (g->c->rope_short) return gguf_cannot(g, "rotary frequencies that depend on the context's length");
    if (amplitude != 1) return gguf_cannot(g, "layers of a second kind whose rotation stretches");
    if (g->a->unturned) return !turning || gguf_cannot(g, "a layer that turns where it has one that does not");
    if (turning == g->p->turning && gguf_find_base(g, f, &g->p->local)) return 1;
    return gguf_cannot(g, "layers with a window that turn by more than a base");
}

static int gguf_plan_ropes(gguf_planner *g) {
    gguf_plan *p = g->p;
    int rope[2];
    p->base = g->c->rope_theta, p->local = 10000, p->amplitude = 1;
    if (!gguf_find_tables(g, rope)) return 0;
    const int one = rope[0] >= 0 ? rope[0] : rope[1];
    const float *f = gguf_table(g, g->frequencies, 0, one);
    p->turning = gguf_turning_of(g, 0, one, &p->amplitude);
    if (*g->why) return 0;
    if (!p->turning) return gguf_cannot(g, "layers without rotation");
    /* llama.cpp refuses it of that one alone */
    if (p->turning < 2 * g->pairs && !strcmp(g->a->name, "llama")) return gguf_cannot(g, "heads of which a part turns");
    if (rope[1] >= 0 && !gguf_plan_second(g, rope[1])) return 0;
    if (rope[0] < 0) return p->amplitude = 1, 1; /* no layer asks for the other table */
    if (g->c->rope_short) return gguf_plan_longrope(g, rope[0]);
    if (gguf_find_base(g, f, &p->base) || gguf_plan_linear(g, f) || gguf_plan_yarn(g, f)) return 1;
    return g->a->features & GGUF_FACTORS ? gguf_plan_divisors(g, GGUF_FREQS, f)
                                         : gguf_cannot(g, "its rotary frequencies");
}

/* ---- Choosing ---- */

static int gguf_try(gguf_planner *g, const gguf_architecture *a) {
    gguf_free_plan(g->p);
    const gguf_plan none = {.architecture = a, .query_factor = 1};
    *g->p = none;
    g->a = a;
    *g->why = 0;
    return gguf_plan_extras(g) && gguf_plan_experts(g) && gguf_plan_scales(g) && gguf_plan_windows(g) &&
           gguf_plan_ropes(g);
}

static const gguf_architecture *gguf_named(const char *name) {
    const gguf_architecture *a = NULL;
    for (int i = 0; (a = gguf_architecture_at(i)) && strcmp(a->name, name) != 0;) i++;
    return a;
}

static int gguf_choose(gguf_planner *g, const char *name, llama_error *err) {
    const gguf_architecture *own = gguf_named(g->c->architecture), *llama = gguf_named("llama");
    char first[sizeof g->why] = "";
    if (own && gguf_try(g, own)) return 0;
    if (own && !*g->why) return set_error(err, "%.120s: no memory", name);
    if (own) snprintf(first, sizeof first, "%s", g->why);
    if (own != llama && gguf_try(g, llama)) return 0;
    if (!*g->why) return set_error(err, "%.120s: no memory", name);
    if (!own || own == llama) return set_error(err, "%.120s: as GGUF's llama it cannot say: %s", name, g->why);
    return set_error(err, "%.80s: as GGUF's %s it cannot say: %.60s; as llama: %.60s", name, own->name, first, g->why);
}

/* frequencies (tables, pairs), amplitudes behind them, and room for a table. */
static float *gguf_load_tables(gguf_planner *g, const llama_model *m) {
    int rows, n;
    tensor_shape(g->c, TENSOR_ROPE, 0, &rows, &n);
    float *all = malloc((2 * (size_t)n + (size_t)g->pairs) * sizeof *all);
    if (!all) return NULL;
    inside_rows(m, TENSOR_ROPE, 0, 0, 1, all);
    g->frequencies = all, g->made = all + 2 * (size_t)n;
    if (!(g->c->extras & LLAMA_ROPE_AMPLITUDES)) return all;
    inside_rows(m, TENSOR_ROPE_AMPLITUDES, 0, 0, 1, all + n);
    g->amplitudes = all + n;
    return all;
}

int gguf_make_plan(gguf_plan *p, const llama_model *m, const char *name, llama_error *err) {
    const gguf_plan none = {.architecture = NULL};
    const llama_config *c = llama_get_config(m);
    gguf_planner g = {.p = p, .c = c, .pairs = c->head_dim / 2, .ropes = c->n_ropes ? c->n_ropes : 1};
    *p = none;
    float *tables = gguf_load_tables(&g, m);
    const int result = tables ? gguf_choose(&g, name, err) : set_error(err, "%.120s: no memory", name);
    free(tables);
    if (result) gguf_free_plan(p);
    return result;
}

void gguf_free_plan(gguf_plan *p) {
    for (int i = 0; i < 3; i++) free(p->divisors[i]), p->divisors[i] = NULL;
}

const float *gguf_divisors(const gguf_plan *p, int tensor) { return p->divisors[tensor - GGUF_FREQS]; }
