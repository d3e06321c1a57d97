/* kinds.c - configurations with each of what Llama's relatives add, alone and in random company. A test compiles it in
 * behind checkpoint.c and models.c.
 */
/* Numbers of nothing in particular: heads of 6, and no width that is a multiple of 16. */
static llama_config plain(void) {
    const llama_config f = {.dim = 38,
                            .hidden_dim = 44,
                            .n_layers = 2,
                            .n_heads = 4,
                            .n_kv_heads = 2,
                            .head_dim = 6,
                            .vocab_size = 50,
                            .seq_len = 64,
                            .norm_eps = 1e-5f,
                            .rope_theta = 10000};
    return f;
}

typedef struct {
    const char *name;
    llama_config add; /* what of plain() is another: all fields that are not 0 */
    llama_layer_kind kinds[3];
} feature;

/* clang-format off */
static const feature features[] = {
    {"plain", {0}, {{0}}},
    {"biases of q, k and v", {.extras = LLAMA_QKV_BIAS}, {{0}}},
    {"bias of o", {.extras = LLAMA_O_BIAS}, {{0}}},
    {"norms of heads", {.extras = LLAMA_HEAD_NORM}, {{0}}},
    {"norms of all heads side by side", {.extras = LLAMA_WIDE_NORM}, {{0}}},
    {"norms of what is added too", {.extras = LLAMA_POST_NORM}, {{0}}},
    {"norms of what is added only", {.extras = LLAMA_POST_NORM | LLAMA_NO_PRE_NORM}, {{0}}},
    {"no norms but the last", {.extras = LLAMA_NO_PRE_NORM}, {{0}}},
    {"GELU", {.extras = LLAMA_GELU}, {{0}}},
    {"attention scale", {.attention_scale = 0.7f}, {{0}}},
    {"embedding scale", {.embedding_scale = 12}, {{0}}},
    {"cap of scores", {.score_cap = 1.5f}, {{0}}},
    {"cap of scores, scaled", {.score_cap = 1.5f, .attention_scale = 0.9f}, {{0}}},
    {"cap of logits", {.logit_cap = 2}, {{0}}},
    {"amplitudes", {.extras = LLAMA_ROPE_AMPLITUDES}, {{0}}},
    {"three rotary tables", {.n_ropes = 3, .n_layers = 3}, {{2, 0, 0}, {0, 0, 0}, {1, 0, 0}}},
    {"a short context", {.rope_short = 64}, {{0}}},
    {"a long context", {.rope_short = 63}, {{0}}},
    {"a long context of two tables with amplitudes",
     {.rope_short = 40, .n_ropes = 2, .extras = LLAMA_ROPE_AMPLITUDES}, {{1, 0, 0}, {0, 0, 0}}},
    {"a short context of two tables with amplitudes",
     {.rope_short = 4096, .n_ropes = 2, .extras = LLAMA_ROPE_AMPLITUDES}, {{1, 0, 0}, {0, 0, 0}}},
    {"windows of 1, 2 and none", {.n_layers = 3}, {{0, 1, 0}, {0, 2, 0}, {0, 0, 0}}},
    {"windows of 15, 16 and 17", {.n_layers = 3}, {{0, 15, 0}, {0, 16, 0}, {0, 17, 0}}},
    {"windows longer than the context", {.n_layers = 3}, {{0, 64, 0}, {0, 65, 0}, {0, 1 << 28, 0}}},
    {"experts, 2 of 8", {.n_experts = 8, .n_experts_used = 2, .expert_dim = 20}, {{0, 0, 1}, {0, 0, 1}}},
    {"experts, 2 of 8, their weights summing to 1",
     {.n_experts = 8, .n_experts_used = 2, .expert_dim = 20, .extras = LLAMA_RENORMALISE}, {{0, 0, 1}, {0, 0, 1}}},
    {"experts, 1 of 5, wider than the feed-forward part beside them",
     {.n_experts = 5, .n_experts_used = 1, .expert_dim = 67}, {{0, 0, 0}, {0, 0, 1}}},
    {"experts, 1 of 5, its weight 1",
     {.n_experts = 5, .n_experts_used = 1, .expert_dim = 16, .extras = LLAMA_RENORMALISE}, {{0, 0, 1}, {0, 0, 0}}},
    {"experts, all of 3", {.n_experts = 3, .n_experts_used = 3, .expert_dim = 9}, {{0, 0, 1}, {0, 0, 1}}},
    {"experts, all of 17, of width 1",
     {.n_experts = 17, .n_experts_used = 17, .expert_dim = 1}, {{0, 0, 1}, {0, 0, 1}}},
    {"one expert", {.n_experts = 1, .n_experts_used = 1, .expert_dim = 33}, {{0, 0, 1}, {0, 0, 1}}},
    {"experts, 3 of 33, with GELU and norms of what is added",
     {.n_experts = 33, .n_experts_used = 3, .expert_dim = 8,
      .extras = LLAMA_GELU | LLAMA_POST_NORM | LLAMA_RENORMALISE},
     {{0, 0, 1}, {0, 0, 1}}},
    {"experts that read x as it is",
     {.n_experts = 4, .n_experts_used = 2, .expert_dim = 12, .extras = LLAMA_NO_PRE_NORM | LLAMA_POST_NORM},
     {{0, 0, 1}, {0, 0, 1}}},
    {"everything",
     {.extras = LLAMA_QKV_BIAS | LLAMA_O_BIAS | LLAMA_HEAD_NORM | LLAMA_POST_NORM | LLAMA_GELU | LLAMA_RENORMALISE |
                LLAMA_ROPE_AMPLITUDES, .n_experts = 6, .n_experts_used = 2, .expert_dim = 30, .n_ropes = 2,
      .rope_short = 32, .attention_scale = 0.3f, .embedding_scale = 5, .score_cap = 3, .logit_cap = 7, .n_layers = 3},
     {{0, 5, 1}, {1, 0, 0}, {0, 18, 1}}},
};
/* clang-format on */
enum { N_FEATURES = sizeof features / sizeof *features };

static llama_config with(const feature *a) {
    llama_config f = plain();
    if (a->add.n_layers) f.n_layers = a->add.n_layers;
    f.extras = a->add.extras;
    f.attention_scale = a->add.attention_scale, f.embedding_scale = a->add.embedding_scale;
    f.score_cap = a->add.score_cap, f.logit_cap = a->add.logit_cap;
    f.n_experts = a->add.n_experts, f.n_experts_used = a->add.n_experts_used, f.expert_dim = a->add.expert_dim;
    f.n_ropes = a->add.n_ropes, f.rope_short = a->add.rope_short;
    f.layers = a->kinds;
    return f;
}

static float some_of(uint64_t *seed, double low, double high) { /* 0 as often as not */
    return random_int(seed, 0, 1) ? 0 : (float)random_real(seed, low, high);
}

/* Any shape, any of the extras. */
static llama_config any(llama_layer_kind kinds[3], uint64_t *seed) {
    static const int windows[] = {0, 0, 0, 1, 2, 7, 16, 23, 300};
    llama_config f = plain();
    f.dim = random_int(seed, 5, 70), f.hidden_dim = random_int(seed, 1, 90), f.n_layers = random_int(seed, 1, 3);
    f.n_kv_heads = random_int(seed, 1, 3), f.n_heads = f.n_kv_heads * random_int(seed, 1, 3);
    f.head_dim = 2 * random_int(seed, 1, 14), f.vocab_size = random_int(seed, 8, 100);
    f.shared_classifier = random_int(seed, 0, 1);
    f.extras = random_int(seed, 0, 2 * LLAMA_ROPE_AMPLITUDES - 1);
    if (f.extras & LLAMA_HEAD_NORM) f.extras &= ~LLAMA_WIDE_NORM;
    if (!(f.extras & LLAMA_POST_NORM)) f.extras &= ~LLAMA_NO_PRE_NORM; /* alone, it lets x grow */
    f.attention_scale = some_of(seed, 0.05, 0.6), f.embedding_scale = some_of(seed, 0.5, 20);
    f.score_cap = some_of(seed, 1, 20), f.logit_cap = some_of(seed, 2, 30);
    f.n_ropes = random_int(seed, 0, 3), f.rope_short = random_int(seed, 0, 2) * 40;
    if (random_int(seed, 0, 1)) {
        f.n_experts = random_int(seed, 1, 20),
        f.n_experts_used = random_int(seed, 1, f.n_experts < 4 ? f.n_experts : 4);
        f.expert_dim = random_int(seed, 1, 50);
    }
    for (int l = 0; l < f.n_layers; l++) {
        kinds[l].rope = random_int(seed, 0, f.n_ropes ? f.n_ropes - 1 : 0);
        kinds[l].window = windows[random_int(seed, 0, 8)];
        kinds[l].experts = f.n_experts && random_int(seed, 0, 3);
    }
    f.layers = kinds;
    return f;
}

/* Some pairs of heads do not turn. */
static void stop_some(model *m, uint64_t *seed) {
    int rows, cols;
    tensor_shape(&m->in.config, TENSOR_ROPE, 0, &rows, &cols);
    for (int i = 0; i < cols; i++)
        if (!random_int(seed, 0, 4)) m->weights[TENSOR_ROPE][0][i] = 0;
}
