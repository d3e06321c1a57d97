/* fuzz_seeds.c - small valid inputs of every format, and words of the texts among them, for fuzz_targets.c, which
 * includes this file and of which it uses the statics.
 */

/* ---------------------------------------------------------------------------------------------------
 * What is written
 * ------------------------------------------------------------------------------------------------- */

typedef struct {
    unsigned char p[1 << 16];
    size_t n;
} fuzz_bytes;

static void fuzz_put(fuzz_bytes *b, const void *data, size_t size) {
    FUZZ_CHECK(size <= sizeof b->p - b->n);
    if (size) memcpy(b->p + b->n, data, size);
    b->n += size;
}

static void fuzz_put_text(fuzz_bytes *b, const char *text) { fuzz_put(b, text, strlen(text)); }

static void fuzz_put_int(fuzz_bytes *b, uint64_t value, int size) {
    for (int i = 0; i < size; i++) fuzz_put(b, &(unsigned char){(unsigned char)(value >> 8 * i)}, 1);
}

static void fuzz_put_float(fuzz_bytes *b, float value) { fuzz_put_int(b, tk_bits(value), 4); }

static void fuzz_print(fuzz_bytes *b, const char *format, ...) {
    char text[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fuzz_put_text(b, text);
}

/* Small positive numbers in every format that is made of floats, halves and integers. */
static void fuzz_put_weights(fuzz_bytes *b, size_t size) {
    for (size_t i = 0; i < size; i++) fuzz_put_int(b, (i * 29 + size) & 63, 1);
}

/* ---------------------------------------------------------------------------------------------------
 * Tokenizers
 * ------------------------------------------------------------------------------------------------- */

static const tokenizer_piece fuzz_pieces[] = {
    {"<unk>", 5, 0, TOKENIZER_UNKNOWN, 0},    {"<s>", 3, 0, TOKENIZER_CONTROL, 0},
    {"</s>", 4, 0, TOKENIZER_CONTROL, 0},     {FUZZ_SPACE, 3, -9, TOKENIZER_NORMAL, 0},
    {"a", 1, -9, TOKENIZER_NORMAL, 0},        {"b", 1, -9, TOKENIZER_NORMAL, 0},
    {"ab", 2, -2, TOKENIZER_NORMAL, 0},       {FUZZ_SPACE "a", 4, -1, TOKENIZER_NORMAL, 0},
    {"\xC3\xA9", 2, -9, TOKENIZER_NORMAL, 0}, {"[INST]", 6, 0, TOKENIZER_USER_DEFINED, 0},
    {"bb", 2, -3, TOKENIZER_UNUSED, 0},       {"bba", 3, -4, TOKENIZER_NORMAL, 0}};
enum { FUZZ_PIECES = sizeof fuzz_pieces / sizeof *fuzz_pieces };

/* llama2.c's, where types are not written, and BOS and EOS have newlines around them. */
static void fuzz_make_bin(fuzz_bytes *b, int with_bytes) {
    b->n = 0;
    fuzz_put_int(b, 8, 4);
    for (int i = 0; i < FUZZ_PIECES + (with_bytes ? 256 : 0); i++) {
        char text[16], plain[16] = " ";
        if (i < FUZZ_PIECES) snprintf(text, sizeof text, i == 1 || i == 2 ? "\n%s\n" : "%s", fuzz_pieces[i].text);
        else snprintf(text, sizeof text, "<0x%02X>", (unsigned)(i - FUZZ_PIECES) & 255);
        if (strncmp(text, FUZZ_SPACE, 3)) strcpy(plain, text);
        else strcpy(plain + 1, text + 3);
        fuzz_put_float(b, i < FUZZ_PIECES ? fuzz_pieces[i].score : 0);
        fuzz_put_int(b, strlen(plain), 4);
        fuzz_put_text(b, plain);
    }
}

static void fuzz_put_varint(fuzz_bytes *b, uint64_t x) {
    for (; x > 127; x >>= 7) fuzz_put_int(b, x | 128, 1);
    fuzz_put_int(b, x, 1);
}

static void fuzz_put_field(fuzz_bytes *b, unsigned number, const void *data, size_t size) {
    fuzz_put_varint(b, number << 3 | 2);
    fuzz_put_varint(b, size);
    fuzz_put(b, data, size);
}

static void fuzz_put_number_field(fuzz_bytes *b, unsigned number, uint64_t x) {
    fuzz_put_varint(b, number << 3);
    fuzz_put_varint(b, x);
}

static void fuzz_put_model_piece(fuzz_bytes *b, const char *text, float score, int type) {
    static fuzz_bytes m;
    m.n = 0;
    fuzz_put_field(&m, 1, text, strlen(text));
    fuzz_put_varint(&m, 2 << 3 | 5), fuzz_put_float(&m, score);
    fuzz_put_number_field(&m, 3, (uint64_t)type);
    fuzz_put_field(b, 1, m.p, m.n);
}

/* Rules of one: "A" becomes "a b". A double array whose root's children are at 64 ^ byte. */
static void fuzz_put_rules(fuzz_bytes *b) {
    fuzz_put_int(b, 128 * 4, 4);
    for (uint32_t i = 0; i < 128; i++)
        fuzz_put_int(b,
                     i == 0                  ? 64u << 10
                     : i == (64 ^ 'A')       ? 1u << 10 | 0x100 | 'A'
                     : i == ((64 ^ 'A') ^ 1) ? 0x80000000u | 1
                                             : 0x80000000u,
                     4);
    fuzz_put(b, "\0a b", 5);
}

/* SentencePiece's. With bytes, or with rules of normalisation. */
static void fuzz_make_model(fuzz_bytes *b, int with_bytes, int with_rules) {
    static fuzz_bytes trainer, normalizer, rules;
    b->n = trainer.n = normalizer.n = rules.n = 0;
    for (int i = 0; i < FUZZ_PIECES; i++)
        fuzz_put_model_piece(b, fuzz_pieces[i].text, fuzz_pieces[i].score, fuzz_pieces[i].type);
    for (int i = 0; with_bytes && i < 256; i++) {
        char text[16];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)i);
        fuzz_put_model_piece(b, text, 0, TOKENIZER_BYTE);
    }
    fuzz_put_number_field(&trainer, 3, 2);
    fuzz_put_number_field(&trainer, 35, (uint64_t)with_bytes);
    fuzz_put_field(&trainer, 44, " ? ", 3);
    fuzz_put_rules(&rules);
    if (with_rules) fuzz_put_field(&normalizer, 2, rules.p, rules.n);
    fuzz_put_number_field(&normalizer, 4, (uint64_t)with_rules);
    fuzz_put_field(b, 2, trainer.p, trainer.n);
    fuzz_put_field(b, 3, normalizer.p, normalizer.n);
}

static void fuzz_make_flat(fuzz_bytes *b, tokenizer *t) {
    FUZZ_CHECK(t);
    b->n = tokenizer_save(t, b->p, sizeof b->p);
    FUZZ_CHECK(b->n <= sizeof b->p);
    tokenizer_free(t);
}

/* A text gets spaces by the rule of that number, and is cut at added pieces, with each flag. */
static tokenizer *fuzz_added_pieces(int prefix) {
    enum { CUTS = TOKENIZER_SEGMENT | TOKENIZER_ADDED };
    static const tokenizer_piece added[] = {
        {"<x>", 3, 0, TOKENIZER_USER_DEFINED, CUTS | TOKENIZER_LSTRIP},
        {"<y>", 3, 0, TOKENIZER_USER_DEFINED, CUTS | TOKENIZER_RSTRIP},
        {"c", 1, 0, TOKENIZER_USER_DEFINED, CUTS | TOKENIZER_SINGLE_WORD},
        {"a b", 3, 0, TOKENIZER_USER_DEFINED, CUTS | TOKENIZER_NORMALIZED},
        {"<z>", 3, 0, TOKENIZER_CONTROL, TOKENIZER_LSTRIP | TOKENIZER_RSTRIP | TOKENIZER_SINGLE_WORD},
        {"<think>", 7, 0, TOKENIZER_CONTROL, TOKENIZER_NORMALIZED | TOKENIZER_SHOWN}};
    enum { ADDED = sizeof added / sizeof *added };
    static const int merges[][2] = {{4, 5}, {3, 4}}; /* of fuzz_pieces */
    tokenizer_piece pieces[FUZZ_PIECES + ADDED];
    memcpy(pieces, fuzz_pieces, sizeof fuzz_pieces);
    memcpy(pieces + FUZZ_PIECES, added, sizeof added);
    const tokenizer_parts parts = {.kind = TOKENIZER_SENTENCEPIECE,
                                   .pieces = pieces,
                                   .n_pieces = FUZZ_PIECES + ADDED,
                                   .merges = prefix % 2 ? merges : NULL,
                                   .n_merges = prefix % 2 ? 2 : 0,
                                   .bos = 1,
                                   .add_dummy_prefix = prefix};
    return tokenizer_create(&parts, NULL, NULL);
}

/* Llama 3's kind: the bytes, some merges, special tokens. With other splits <tool> has flags, and there is NFC; with
 * GPT-2's a chat template of its own. */
static tokenizer *fuzz_byte_level(int split) {
    static const int merges[][2] = {{'t', 'h'}, {256, 'e'}, {' ', 257}, {'1', '2'}};
    static const int ends[] = {261, 262};
    const int own = split == TOKENIZER_SPLIT_GPT2;
    /* clang-format off */
    static const char *const more[] = {"th", "the", " the", "12", "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>",
                                       "<|start_header_id|>", "<|end_header_id|>", "<tool>"};
    /* clang-format on */
    static char bytes[256];
    tokenizer_piece pieces[266];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i, pieces[i] = (tokenizer_piece){bytes + i, 1, 0, TOKENIZER_NORMAL, 0};
    for (int i = 256; i < 266; i++) {
        const int type = i < 260 ? TOKENIZER_NORMAL : i < 265 ? TOKENIZER_CONTROL : TOKENIZER_USER_DEFINED;
        pieces[i] = (tokenizer_piece){more[i - 256], strlen(more[i - 256]), 0, type, 0};
    }
    static const tokenizer_form form = {{{"<assistant>", "[", "\1<user>", NULL},
                                         {NULL, NULL, "]<user>", NULL},
                                         {"\5<|eot_id|>\4", NULL, NULL, "<|eot_id|>"},
                                         {"\2", "[", "\2\3<user>", NULL}},
                                        {TOKENIZER_TRIM, 0, TOKENIZER_TRIM_LEFT, TOKENIZER_TRIM | TOKENIZER_TRIM_LINES},
                                        TOKENIZER_FORM_JOINED | TOKENIZER_FORM_SPOKEN | TOKENIZER_FORM_KEEPS_THOUGHT};
    if (split != TOKENIZER_SPLIT_LLAMA3)
        pieces[265].flags = TOKENIZER_ADDED | TOKENIZER_NORMALIZED | TOKENIZER_LSTRIP << split % 3;
    const tokenizer_parts parts = {.kind = TOKENIZER_BYTE_LEVEL,
                                   .pieces = pieces,
                                   .n_pieces = 266,
                                   .merges = merges,
                                   .n_merges = 4,
                                   .bos = 260,
                                   .add_bos = 1,
                                   .ends = ends,
                                   .n_ends = 2,
                                   .chat_template = own ? TOKENIZER_OWN : TOKENIZER_LLAMA3,
                                   .form = own ? &form : NULL,
                                   .ignore_merges = 1,
                                   .split = split,
                                   .nfc = split == TOKENIZER_SPLIT_QWEN2 || split == TOKENIZER_SPLIT_QWEN35};
    return tokenizer_create(&parts, NULL, NULL);
}

static void fuzz_bin_seeds(fuzz_add *add, void *user) {
    static fuzz_bytes b;
    for (int i = 0; i < 2; i++) fuzz_make_bin(&b, i), add(user, b.p, b.n);
}

static void fuzz_model_seeds(fuzz_add *add, void *user) {
    static fuzz_bytes b;
    for (int i = 0; i < 3; i++) fuzz_make_model(&b, i > 0, i != 1), add(user, b.p, b.n);
}

static void fuzz_flat_seeds(fuzz_add *add, void *user) {
    static fuzz_bytes b;
    for (int i = 0; i < 3; i++) {
        if (i < 2) fuzz_make_model(&b, i, !i);
        fuzz_make_flat(&b, i < 2 ? tokenizer_load_memory(b.p, b.n, 0, NULL, NULL) : fuzz_byte_level(0));
        add(user, b.p, b.n);
        if (i == 1) { /* and inside a .llama file, of which a tokenizer needs only this much */
            memmove(b.p + 72, b.p, b.n), memset(b.p, 0, 72), memcpy(b.p, "llama.c\n", 8);
            b.p[56] = 72, b.p[64] = (unsigned char)b.n, b.p[65] = (unsigned char)(b.n >> 8);
            add(user, b.p, b.n + 72);
        }
    }
    for (int prefix = 0; prefix <= TOKENIZER_PREFIX_NONE; prefix++)
        fuzz_make_flat(&b, fuzz_added_pieces(prefix)), add(user, b.p, b.n);
    for (int split = 1; split < TK_N_SPLITS; split++) fuzz_make_flat(&b, fuzz_byte_level(split)), add(user, b.p, b.n);
}

/* ---------------------------------------------------------------------------------------------------
 * Checkpoints
 * ------------------------------------------------------------------------------------------------- */

static checkpoint fuzz_make_checkpoint(int version, int variant) {
    const checkpoint_shape shapes[] = {{0, 8, 12, 2, 4, 2, FUZZ_PIECES, 9, 1, 4},
                                       {0, 4, 6, 1, 1, 1, FUZZ_PIECES, 5, 0, 8}};
    checkpoint_shape s = shapes[variant];
    s.version = version;
    return checkpoint_make(s, 1);
}

static void fuzz_checkpoint_seeds(int version, fuzz_add *add, void *user) {
    for (int variant = 0; variant < 2; variant++) {
        checkpoint c = fuzz_make_checkpoint(version, variant);
        add(user, c.bytes, c.size);
        checkpoint_free(&c);
    }
}

static void fuzz_v0_seeds(fuzz_add *add, void *user) { fuzz_checkpoint_seeds(0, add, user); }
static void fuzz_v1_seeds(fuzz_add *add, void *user) { fuzz_checkpoint_seeds(1, add, user); }
static void fuzz_v2_seeds(fuzz_add *add, void *user) { fuzz_checkpoint_seeds(2, add, user); }

/* Relatives of Llama: between them they have every field and every tensor of a .llama file. */
static const llama_layer_kind fuzz_kinds[][3] = {
    {{1, 3, 1}, {0, 0, 0}}, {{2, 0, 1}, {0, 300, 1}, {1, 1, 1}}, {{0, 5, 0}, {0, 0, 0}}};
static const llama_config fuzz_relatives[] = {
    {.extras = LLAMA_QKV_BIAS | LLAMA_O_BIAS | LLAMA_HEAD_NORM | LLAMA_POST_NORM | LLAMA_GELU | LLAMA_ROPE_AMPLITUDES,
     .n_layers = 2,
     .attention_scale = 0.5f,
     .embedding_scale = 3,
     .score_cap = 5,
     .logit_cap = 6,
     .n_experts = 3,
     .n_experts_used = 2,
     .expert_dim = 5,
     .n_ropes = 2,
     .rope_short = 6,
     .layers = fuzz_kinds[0],
     .architecture = "relative"},
    {.extras = LLAMA_WIDE_NORM | LLAMA_RENORMALISE,
     .n_layers = 3,
     .n_experts = 2,
     .n_experts_used = 1,
     .expert_dim = 17,
     .n_ropes = 3,
     .rope_short = 60,
     .shared_classifier = 1,
     .layers = fuzz_kinds[1]},
    {.extras = LLAMA_NO_PRE_NORM | LLAMA_POST_NORM | LLAMA_WIDE_NORM | LLAMA_O_BIAS,
     .n_layers = 2,
     .layers = fuzz_kinds[2]}};
enum { FUZZ_RELATIVES = sizeof fuzz_relatives / sizeof *fuzz_relatives };

static file fuzz_make_relative(int i, int type) {
    llama_config f = fuzz_relatives[i];
    f.dim = 8, f.hidden_dim = 6, f.n_heads = 2, f.n_kv_heads = 1, f.head_dim = 4, f.vocab_size = FUZZ_PIECES;
    f.seq_len = 9, f.norm_eps = 1e-5f, f.rope_theta = 10000;
    model *m = model_make(&f, type, (uint64_t)i);
    const file made = model_file(m, NULL);
    model_free(m);
    return made;
}

/* The same converted, one with a tokenizer and one as version 1; and relatives. */
static void fuzz_llama_seeds(int type, fuzz_add *add, void *user) {
    static fuzz_bytes flat;
    llama_error err = {0, ""};
    fuzz_make_bin(&flat, 0);
    fuzz_make_flat(&flat, tokenizer_load_memory(flat.p, flat.n, 0, NULL, NULL));
    for (int variant = 0; variant < 2; variant++) {
        checkpoint c = fuzz_make_checkpoint(0, variant);
        void *data = NULL;
        size_t size = 0;
        fuzz_put_file("model", c.bytes, c.size);
        llama_source *s = source_open_llama2c("model", &err);
        FUZZ_CHECK(s);
        const writer_input in = {.config = s->config,
                                 .rope_frequencies = s->rope_frequencies,
                                 .type = type,
                                 .tokenizer = variant ? flat.p : NULL,
                                 .tokenizer_size = variant ? flat.n : 0,
                                 .rows = fuzz_rows,
                                 .user = s};
        FUZZ_CHECK(!writer_build(&in, &data, &size, NULL, &err));
        add(user, data, size);
        if (variant) {
            const file two = {data, size}, one = model_version_1(&two);
            add(user, one.bytes, one.size);
            free(one.bytes);
        }
        s->close(s);
        free(data);
        checkpoint_free(&c);
    }
    for (int i = 0; i < FUZZ_RELATIVES; i++) {
        const file f = fuzz_make_relative(i, type);
        add(user, f.bytes, f.size);
        free(f.bytes);
    }
}

static void fuzz_sequence_seeds(fuzz_add *add, void *user) {
    static const int lengths[] = {0, 1, 17, LLAMA_PAGE, LLAMA_PAGE + 3};
    static const char *const kv_types[] = {"f32", "f16", "q8"};
    for (size_t i = 0; i < 3 * sizeof lengths / sizeof *lengths; i++) {
        const llama_options o = {.kv_type = kv_types[i % 3], .n_ctx = 2 * LLAMA_PAGE, .n_threads = 1};
        llama_context *c = llama_context_create(fuzz_ready.model, &o, NULL);
        const int tokens[2 * LLAMA_PAGE] = {1, 0, 1};
        if (lengths[i / 3]) FUZZ_CHECK(llama_forward(c, tokens, lengths[i / 3], NULL));
        const size_t size = llama_state_bytes(c, 0);
        unsigned char *state = malloc(size);
        FUZZ_CHECK(state && !llama_save(c, 0, state, size, NULL));
        add(user, state, size);
        free(state), llama_context_free(c);
    }
}

/* Headers and kinds of layers only; and some more, so that there are bytes for weights of all types. */
static void fuzz_relative_seeds(fuzz_add *add, void *user) {
    for (int i = 0; i < 4 * FUZZ_RELATIVES; i++) {
        const file f = fuzz_make_relative(i / 4, INSIDE_F32);
        add(user, f.bytes, INSIDE_HEADER + 3 * INSIDE_KIND + (size_t)(i % 4) + 100);
        free(f.bytes);
    }
}

/* With tokenizers of all kinds, in models plain enough that every format can say them; and a relative. */
static tokenizer *fuzz_exported_tokenizer(int i) {
    static fuzz_bytes b;
    if (i == 2) return fuzz_added_pieces(TOKENIZER_PREFIX_FIRST);
    if (i > 2) return fuzz_byte_level(i == 3 ? TOKENIZER_SPLIT_GPT2 : i == 4 ? TOKENIZER_SPLIT_QWEN2 : 0);
    if (i) fuzz_make_model(&b, 1, 0);
    else fuzz_make_bin(&b, 1);
    return tokenizer_load_memory(b.p, b.n, 0, NULL, NULL);
}

static void fuzz_export_seeds(fuzz_add *add, void *user) {
    static fuzz_bytes flat;
    for (int i = 0; i < 6; i++) {
        tokenizer *t = fuzz_exported_tokenizer(i);
        FUZZ_CHECK(t);
        llama_config f = {.dim = 32,
                          .hidden_dim = 64,
                          .n_layers = 2,
                          .n_heads = 4,
                          .n_kv_heads = 2,
                          .head_dim = 8,
                          .vocab_size = tokenizer_vocab_size(t),
                          .seq_len = 9,
                          .shared_classifier = i != 1,
                          .n_ropes = 1,
                          .norm_eps = 1e-5f,
                          .rope_theta = 10000};
        fuzz_make_flat(&flat, t);
        model *m = model_make(&f, INSIDE_F32 + i % 4, (uint64_t)i);
        const rope_rule plain = {.kind = ROPE_PLAIN, .theta = 10000, .turning = f.head_dim};
        rope_table(&plain, f.head_dim, m->weights[TENSOR_ROPE][0], NULL);
        m->in.tokenizer = flat.p, m->in.tokenizer_size = flat.n;
        const file made = model_file(m, NULL);
        add(user, made.bytes, made.size);
        free(made.bytes), model_free(m);
    }
    const file relative = fuzz_make_relative(0, INSIDE_Q8);
    add(user, relative.bytes, relative.size);
    free(relative.bytes);
    fuzz_v0_seeds(add, user);
}

static void fuzz_f32_seeds(fuzz_add *add, void *user) { fuzz_llama_seeds(INSIDE_F32, add, user); }
static void fuzz_bf16_seeds(fuzz_add *add, void *user) { fuzz_llama_seeds(INSIDE_BF16, add, user); }
static void fuzz_q8_seeds(fuzz_add *add, void *user) { fuzz_llama_seeds(INSIDE_Q8, add, user); }
static void fuzz_q4_0_seeds(fuzz_add *add, void *user) { fuzz_llama_seeds(INSIDE_Q4_0, add, user); }
static void fuzz_q4_seeds(fuzz_add *add, void *user) { fuzz_llama_seeds(INSIDE_Q4, add, user); }
static void fuzz_q6_seeds(fuzz_add *add, void *user) { fuzz_llama_seeds(INSIDE_Q6, add, user); }

/* ---------------------------------------------------------------------------------------------------
 * GGUF
 * ------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *architecture, *keys; /* keys: more of them, a line each: a type's letter, the key, its value */
    llama_config config;
    int types[TENSORS]; /* 0: F32 */
    int vocabulary;     /* 0 none, else a kind */
    int factors;        /* of rotation, in the file: rope_freqs, or those of longrope */
} fuzz_gguf_shape;

/* Among them all weight types, of which the K types need rows of 256; and all architectures. */
/* clang-format off */
#define FUZZ_SIZES(layers_, dim_, hidden, heads, kv, width, rows) \
    .n_layers = layers_, .dim = dim_, .hidden_dim = hidden, .n_heads = heads, .n_kv_heads = kv, .head_dim = width,     \
    .vocab_size = rows
static const fuzz_gguf_shape fuzz_gguf_shapes[] = {
    {"llama", "srope.scaling.type linear\ndrope.scaling.factor 2", {FUZZ_SIZES(1, 8, 6, 4, 2, 2, FUZZ_PIECES)},
     {[TENSOR_WQ] = 1, [TENSOR_WK] = 30}, TOKENIZER_SENTENCEPIECE, GGUF_FREQS},
    {"llama", "frope.scale_linear 2", {FUZZ_SIZES(1, 2, 2, 1, 1, 2, 266)},
     {[TENSOR_EMBEDDING] = 1, [TENSOR_CLASSIFIER] = 1}, TOKENIZER_BYTE_LEVEL, 0},
    {"llama", "iattention.sliding_window 4", {FUZZ_SIZES(1, 32, 32, 2, 1, 16, 4)},
     {[TENSOR_EMBEDDING] = 2, [TENSOR_CLASSIFIER] = 3, [TENSOR_WQ] = 6, [TENSOR_WK] = 7, [TENSOR_WV] = 8,
      [TENSOR_WO] = 20, [TENSOR_W1] = 2, [TENSOR_W2] = 8, [TENSOR_W3] = 3}, 0, 0},
    {"llama", "", {FUZZ_SIZES(1, 256, 2, 1, 1, 2, 3)},
     {[TENSOR_EMBEDDING] = 14, [TENSOR_CLASSIFIER] = 23, [TENSOR_WQ] = 10, [TENSOR_WK] = 11, [TENSOR_WV] = 12,
      [TENSOR_WO] = 1, [TENSOR_W1] = 13, [TENSOR_W2] = 1, [TENSOR_W3] = 14}, 0, 0},
    {"llama", "iexpert_count 3\niexpert_used_count 2",
     {FUZZ_SIZES(1, 8, 6, 2, 1, 4, 5), .n_experts = 3, .expert_dim = 6}, {0}, 0, 0},
    {"qwen2", "srope.scaling.type yarn\nfrope.scaling.factor 4\nirope.scaling.original_context_length 8",
     {FUZZ_SIZES(1, 8, 6, 2, 1, 4, 5), .extras = LLAMA_QKV_BIAS}, {[TENSOR_W1] = 1}, 0, 0},
    {"qwen3", "", {FUZZ_SIZES(1, 8, 6, 2, 1, 6, 5), .extras = LLAMA_HEAD_NORM}, {[TENSOR_WQ] = 1}, 0, 0},
    {"qwen3moe", "iexpert_count 4\niexpert_used_count 1\niexpert_feed_forward_length 5\nbexpert_weights_norm 0",
     {FUZZ_SIZES(1, 8, 6, 2, 1, 4, 5), .extras = LLAMA_HEAD_NORM, .n_experts = 4, .expert_dim = 5},
     {[TENSOR_W1] = 1}, 0, 0},
    {"gemma2", "iattention.sliding_window 3\nfattn_logit_softcapping 50\nffinal_logit_softcapping 30",
     {FUZZ_SIZES(1, 8, 6, 2, 1, 4, 5), .extras = GGUF_SANDWICH}, {0}, 0, 0},
    {"gemma3", "iattention.sliding_window 3\nfrope.freq_base 1000000\nfrope.freq_base_swa 10000",
     {FUZZ_SIZES(1, 8, 6, 2, 1, 4, 5), .extras = GGUF_SANDWICH | LLAMA_HEAD_NORM}, {0}, 0, 0},
    {"phi3", "irope.dimension_count 4\nirope.scaling.original_context_length 6\nfrope.scaling.attn_factor 1.2",
     {FUZZ_SIZES(1, 8, 6, 2, 1, 8, 5)}, {[TENSOR_W3] = 1}, 0, GGUF_LONG},
    {"granite", "fembedding_scale 12\nfresidual_scale 0.25\nflogit_scale 8\nfattention.scale 0.1",
     {FUZZ_SIZES(1, 8, 6, 2, 1, 4, 5)}, {0}, 0, 0},
    {"minicpm", "", {FUZZ_SIZES(1, 8, 6, 2, 1, 4, 5)}, {0}, 0, 0},
    {"internlm2", "", {FUZZ_SIZES(1, 8, 6, 2, 1, 4, 5)}, {0}, 0, 0},
    {"olmo2", "", {FUZZ_SIZES(1, 8, 6, 2, 1, 4, 5), .extras = LLAMA_WIDE_NORM | LLAMA_POST_NORM | LLAMA_NO_PRE_NORM},
     {0}, 0, 0},
    {"smollm3", "", {FUZZ_SIZES(4, 8, 6, 2, 1, 4, 5)}, {0}, 0, 0}};
/* clang-format on */

static int fuzz_n_keys; /* metadata written */

static void fuzz_put_string(fuzz_bytes *b, const char *text, size_t size) {
    fuzz_put_int(b, size, 8);
    fuzz_put(b, text, size);
}

static void fuzz_put_key(fuzz_bytes *b, const char *key, int type) {
    fuzz_put_string(b, key, strlen(key));
    fuzz_put_int(b, (uint64_t)type, 4);
    fuzz_n_keys++;
}

static void fuzz_put_key_int(fuzz_bytes *b, const char *key, int value) {
    fuzz_put_key(b, key, 4);
    fuzz_put_int(b, (uint64_t)value, 4);
}

static void fuzz_put_key_text(fuzz_bytes *b, const char *key, const char *text) {
    fuzz_put_key(b, key, GGUF_STRING);
    fuzz_put_string(b, text, strlen(text));
}

static void fuzz_put_key_array(fuzz_bytes *b, const char *key, int type, size_t count) {
    fuzz_put_key(b, key, GGUF_ARRAY);
    fuzz_put_int(b, (uint64_t)type, 4);
    fuzz_put_int(b, count, 8);
}

static void fuzz_put_gguf_vocabulary(fuzz_bytes *b, const tokenizer *t) {
    const size_t n = (size_t)t->n_pieces;
    const int is_bytes = t->kind == TOKENIZER_BYTE_LEVEL;
    char text[64];
    fuzz_put_key_text(b, "tokenizer.ggml.model", is_bytes ? "gpt2" : "llama");
    if (is_bytes) fuzz_put_key_text(b, "tokenizer.ggml.pre", "llama-bpe");
    fuzz_put_key_array(b, "tokenizer.ggml.tokens", GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) {
        const tk_piece *p = &t->pieces[i];
        const int is_text = is_bytes && p->type == TOKENIZER_NORMAL;
        if (is_text) fuzz_put_string(b, text, vocabulary_encode_bytes(p->text, (size_t)p->size, text));
        else fuzz_put_string(b, p->text, (size_t)p->size);
    }
    fuzz_put_key_array(b, "tokenizer.ggml.token_type", GGUF_I32, n);
    for (size_t i = 0; i < n; i++) fuzz_put_int(b, (uint64_t)t->pieces[i].type, 4);
    if (!is_bytes) fuzz_put_key_array(b, "tokenizer.ggml.scores", GGUF_F32, n);
    for (size_t i = 0; !is_bytes && i < n; i++) fuzz_put_float(b, t->pieces[i].score);
    if (is_bytes) {
        static const char *const merges[] = {"t h", "th e", "\xC4\xA0 the"};
        fuzz_put_key_array(b, "tokenizer.ggml.merges", GGUF_STRING, 3);
        for (int i = 0; i < 3; i++) fuzz_put_string(b, merges[i], strlen(merges[i]));
        fuzz_put_key_text(b, "tokenizer.chat_template", TEMPLATE_LLAMA3);
    }
    fuzz_put_key_int(b, "tokenizer.ggml.bos_token_id", is_bytes ? 260 : 1);
    fuzz_put_key_int(b, "tokenizer.ggml.eos_token_id", is_bytes ? 261 : 2);
    fuzz_put_key(b, "tokenizer.ggml.add_bos_token", GGUF_BOOL);
    fuzz_put_int(b, 1, 1);
}

/* A line of fuzz_gguf_shape's keys. */
static void fuzz_put_gguf_line(fuzz_bytes *b, const char *architecture, const char *line) {
    char key[80], name[120], value[40] = "";
    sscanf(line + 1, "%79s %39s", key, value);
    snprintf(name, sizeof name, "%s.%s", architecture, key);
    if (*line == 's') fuzz_put_key_text(b, name, value);
    else if (*line == 'i') fuzz_put_key_int(b, name, atoi(value));
    else if (*line == 'b') fuzz_put_key(b, name, GGUF_BOOL), fuzz_put_int(b, (uint64_t)atoi(value), 1);
    else if (*line == 'f') fuzz_put_key(b, name, GGUF_F32), fuzz_put_float(b, (float)atof(value));
    else fuzz_put_key(b, name, GGUF_F64), fuzz_put_int(b, UINT64_C(0x4000000000000000), 8); /* 2 */
}

static void fuzz_put_gguf_config(fuzz_bytes *b, const fuzz_gguf_shape *s) {
    static const char *const keys = "iembedding_length %d\nicontext_length 16\niblock_count %d\n"
                                    "iattention.head_count_kv %d\niattention.key_length %d\n"
                                    "iattention.value_length %d\nifeed_forward_length %d\n"
                                    "fattention.layer_norm_rms_epsilon 1e-5\n%s";
    const llama_config *f = &s->config;
    char lines[1000], name[80];
    fuzz_put_key_text(b, "general.architecture", s->architecture);
    fuzz_put_key_int(b, "general.alignment", 32);
    snprintf(lines, sizeof lines, keys, f->dim, f->n_layers, f->n_kv_heads, f->head_dim, f->head_dim, f->hidden_dim,
             s->keys);
    for (char *line = lines, *next; *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next) *next++ = 0;
        fuzz_put_gguf_line(b, s->architecture, line);
    }
    snprintf(name, sizeof name, "%s.attention.head_count", s->architecture);
    fuzz_put_key_array(b, name, GGUF_I32, (size_t)f->n_layers);
    for (int i = 0; i < f->n_layers; i++) fuzz_put_int(b, (uint64_t)f->n_heads, 4);
}

/* The entry of a tensor, and its data, if the model has it. */
static int fuzz_put_gguf_tensor(fuzz_bytes *table, fuzz_bytes *data, const fuzz_gguf_shape *s, const gguf *g, int i,
                                int layer) {
    char name[80];
    int rows, cols;
    const int tensor = gguf_names[i].tensor, type = tensor < TENSORS ? s->types[tensor] : 0;
    const int experts = gguf_names[i].experts ? s->config.n_experts : 1;
    const int wanted = gguf_shape_of(g, i, layer, &rows, &cols) || tensor == TENSOR_CLASSIFIER;
    if (tensor > TENSORS - 1 && tensor != GGUF_QKV ? !s->factors || (tensor == GGUF_FREQS) != (s->factors == GGUF_FREQS)
                                                   : !wanted || !rows)
        return 0;
    snprintf(name, sizeof name, i < GGUF_MODEL_NAMES ? "%.0d%s" : "blk.%d.%s", layer, gguf_names[i].name);
    fuzz_put_string(table, name, strlen(name));
    fuzz_put_int(table, experts > 1 ? 3 : rows > 1 ? 2 : 1, 4);
    fuzz_put_int(table, (uint64_t)cols, 8);
    if (rows > 1 || experts > 1) fuzz_put_int(table, (uint64_t)rows, 8);
    if (experts > 1) fuzz_put_int(table, (uint64_t)experts, 8);
    fuzz_put_int(table, (uint64_t)type, 4);
    fuzz_put_int(table, data->n, 8);
    const gguf_type *t = gguf_find_type((uint64_t)type);
    if (tensor >= TENSORS && tensor != GGUF_QKV)
        for (int k = 0; k < cols; k++) fuzz_put_float(data, 1 + (float)k);
    else fuzz_put_weights(data, (size_t)rows * (size_t)experts * (size_t)(cols / t->block) * (size_t)t->bytes);
    while (data->n % 32) fuzz_put_int(data, 0, 1);
    return 1;
}

static void fuzz_make_gguf(fuzz_bytes *b, const fuzz_gguf_shape *s, const tokenizer *t) {
    static fuzz_bytes keys, table, data;
    llama_layer_kind kinds[4] = {{0, 0, s->config.n_experts > 0}};
    gguf g = {.source.config = s->config, .architecture = gguf_architectures, .turning = s->config.head_dim};
    int n = 0;
    keys.n = table.n = data.n = b->n = 0;
    fuzz_n_keys = 0;
    while (strcmp(g.architecture->name, s->architecture)) g.architecture++;
    if (strstr(s->keys, "dimension_count 4")) g.turning = 4;
    g.source.config.layers = kinds;
    fuzz_put_gguf_config(&keys, s);
    if (t) fuzz_put_gguf_vocabulary(&keys, t);
    for (int layer = 0; layer < s->config.n_layers; layer++)
        for (int i = layer ? GGUF_MODEL_NAMES : 0; i < GGUF_N_NAMES; i++)
            n += fuzz_put_gguf_tensor(&table, &data, s, &g, i, layer);
    fuzz_put(b, "GGUF\3\0\0", 8);
    fuzz_put_int(b, (uint64_t)n, 8);
    fuzz_put_int(b, (uint64_t)fuzz_n_keys, 8);
    fuzz_put(b, keys.p, keys.n);
    fuzz_put(b, table.p, table.n);
    while (b->n % 32) fuzz_put_int(b, 0, 1);
    fuzz_put(b, data.p, data.n);
    fuzz_put_weights(b, 64); /* so that a head that grows a little does not cut the last tensor */
}

static void fuzz_gguf_seeds(fuzz_add *add, void *user) {
    static fuzz_bytes b;
    for (size_t i = 0; i < sizeof fuzz_gguf_shapes / sizeof *fuzz_gguf_shapes; i++) {
        const fuzz_gguf_shape *s = &fuzz_gguf_shapes[i];
        tokenizer *t = NULL;
        if (s->vocabulary == TOKENIZER_BYTE_LEVEL) t = fuzz_byte_level(0);
        if (s->vocabulary == TOKENIZER_SENTENCEPIECE) {
            fuzz_make_model(&b, 0, 0);
            t = tokenizer_load_memory(b.p, b.n, 0, NULL, NULL);
        }
        fuzz_make_gguf(&b, s, t);
        add(user, b.p, b.n);
        tokenizer_free(t);
    }
}

/* ---------------------------------------------------------------------------------------------------
 * The state of a training run
 * ------------------------------------------------------------------------------------------------- */

static void fuzz_state_seeds(fuzz_add *add, void *user) {
    static const llama_config shape = {.dim = 4,
                                       .hidden_dim = 3,
                                       .n_layers = 1,
                                       .n_heads = 2,
                                       .n_kv_heads = 1,
                                       .head_dim = 2,
                                       .vocab_size = 6,
                                       .seq_len = 8,
                                       .norm_eps = 1e-5f,
                                       .rope_theta = 10000};
    for (int tied = 0; tied < 2; tied++) {
        fuzz_bytes b = {.n = STATE_HEADER};
        train_state s = {.config = shape, .n_settings = 3 * tied, .step = 7, .lowest = 2.5, .mean = 3};
        s.config.shared_classifier = tied;
        s.tokenizer_size = (size_t)tied * 5;
        write_header(&s, b.p);
        fuzz_put_weights(&b, 8 * (size_t)s.n_settings + 4 + s.tokenizer_size + 12 * grad_count(&s.config));
        add(user, b.p, b.n);
    }
}

/* ---------------------------------------------------------------------------------------------------
 * JSON, Hugging Face directories, options, texts
 * ------------------------------------------------------------------------------------------------- */

static void fuzz_json_seeds(fuzz_add *add, void *user) {
    static const char *const texts[] = {
        "{\"a\":[1,-2.5e3,\"\\u00e9\\ud83d\\ude00\\n\",true,false,null],\"b\":{},\"c\":[[[]]]}",
        "{\"\":{\"a\":\"\xC3\xA9\"},\"b\":[{\"c\":0}]}",
        " [ 0 , \"\" , { \"k\" : [ ] , \"l\" : { \"k\" : 1E-7 } } ]\r\n\t", "\"text\"", "12345678901234567890"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) add(user, texts[i], strlen(texts[i]));
}

static void fuzz_request_seeds(fuzz_add *add, void *user) { /* the first byte says which kind */
    static const char *const texts[] = {"\3{\"id\": \"a\", \"prompt\": \"x\\u0000\", \"n\": 5, \"top_p\": 0.75, "
                                        "\"seed\": 12, \"stop\": [\"a\", \"b\"]}",
                                        "\3{\"id\": 3, \"messages\": [{\"role\": \"user\", \"content\": \"a\"}], "
                                        "\"logprobs\": true, \"dry_breakers\": [\"x\"]}",
                                        "\3{\"prompt\": \"\", \"stop\": \"x\"}", "\1{\"text\": \"a\"}",
                                        "\2{\"id\": \"\\u00e9\", \"prompt\": \"a\", \"answers\": [\"b\", \"c\"]}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) add(user, texts[i], strlen(texts[i]));
}

typedef struct {
    const char *architecture, *more; /* more: keys of config.json */
    const char *type;
    int layers, vocab_size, files, tokenizer;
} fuzz_hf_shape;

/* All architectures, and what their configurations may say. */
/* clang-format off */
static const fuzz_hf_shape fuzz_hf_shapes[] = {
    {"LlamaForCausalLM", "\"rope_scaling\":null", "F32", 1, 5, 1, 0},
    {"LlamaForCausalLM", "\"tie_word_embeddings\":true,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0,"
     "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64}", "F16", 1, 5, 2, 0},
    {"LlamaForCausalLM", "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":5000.0}", "BF16", 1, 270, 1, 1},
    {"LlamaForCausalLM", "\"attention_bias\":true,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}", "BF16", 1, 270,
     1, 2},
    {"MistralForCausalLM", "\"sliding_window\":3", "F32", 1, 5, 1, 0},
    {"MixtralForCausalLM", "\"num_local_experts\":3,\"num_experts_per_tok\":2,\"sliding_window\":null", "BF16",
     1, 5, 1, 0},
    {"Qwen2ForCausalLM", "\"use_sliding_window\":false,\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4.0,"
     "\"original_max_position_embeddings\":32}", "BF16", 1, 5, 1, 0},
    {"Qwen3ForCausalLM", "\"use_sliding_window\":true,\"max_window_layers\":1,\"sliding_window\":4", "BF16", 2, 5,
     1, 0},
    {"Qwen3MoeForCausalLM", "\"num_experts\":4,\"num_experts_per_tok\":2,\"moe_intermediate_size\":3,"
     "\"norm_topk_prob\":true,\"decoder_sparse_step\":1,\"mlp_only_layers\":[0]", "BF16", 2, 5, 1, 0},
    {"SmolLM3ForCausalLM", "\"no_rope_layers\":[1,0]", "BF16", 2, 5, 1, 0},
    {"Gemma2ForCausalLM", "\"hidden_activation\":\"gelu_pytorch_tanh\",\"query_pre_attn_scalar\":4,"
     "\"sliding_window\":3,\"attn_logit_softcapping\":50.0,\"final_logit_softcapping\":30.0", "BF16", 2, 5, 1, 0},
    {"Gemma3ForCausalLM", "\"query_pre_attn_scalar\":4,\"sliding_window\":3,\"rope_local_base_freq\":10000.0,"
     "\"layer_types\":[\"sliding_attention\",\"full_attention\"],"
     "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8}",
     "BF16", 2, 5, 1, 0},
    {"Gemma3ForCausalLM", "\"sliding_window_pattern\":2,"
     "\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1000000},"
     "\"sliding_attention\":{\"rope_theta\":10000,\"rope_type\":\"default\"}}", "BF16", 2, 5, 1, 0},
    {"Gemma3ForConditionalGeneration", "\"query_pre_attn_scalar\":4,\"sliding_window\":3", "BF16", 1, 5, 2, 0},
    {"Phi3ForCausalLM", "\"original_max_position_embeddings\":6,\"sliding_window\":null,\"partial_rotary_factor\":1.0,"
     "\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1.1],\"long_factor\":[3.5]}", "BF16", 1, 5, 1, 0},
    {"GraniteForCausalLM", "\"attention_multiplier\":0.1,\"embedding_multiplier\":12,\"residual_multiplier\":0.25,"
     "\"logits_scaling\":8", "BF16", 1, 5, 1, 0},
    {"MiniCPMForCausalLM", "\"scale_emb\":12,\"scale_depth\":1.4,\"dim_model_base\":2", "BF16", 1, 5, 1, 0},
    {"InternLM2ForCausalLM", "\"bias\":true,\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}", "BF16", 1, 5, 1, 0},
    {"Olmo2ForCausalLM", "\"clip_qkv\":null", "F32", 1, 5, 1, 0}};
/* clang-format on */
enum { FUZZ_HF_SHAPES = sizeof fuzz_hf_shapes / sizeof *fuzz_hf_shapes };

static void fuzz_put_hf_config(fuzz_bytes *b, const fuzz_hf_shape *s) {
    const int vision = !!strstr(s->architecture, "Conditional");
    fuzz_print(b, "\xFF@@0{\"architectures\":[\"%s\"],%s", s->architecture, vision ? "\"text_config\":{" : "");
    fuzz_print(b,
               "\"hidden_size\":2,\"intermediate_size\":3,\"num_hidden_layers\":%d,\"num_attention_heads\":2,"
               "\"num_key_value_heads\":1,\"head_dim\":2,\"vocab_size\":%d,\"rms_norm_eps\":1e-06,"
               "\"rope_theta\":10000.0,\"max_position_embeddings\":128,%s}%s",
               s->layers, s->vocab_size, s->more, vision ? "}" : "");
}

/* An entry of a header, and its data. */
static void fuzz_put_hf_tensor(fuzz_bytes *header, fuzz_bytes *data, const hf_source *s, const char *type, int i,
                               int layer, int expert) {
    int all = 0, rows, cols = 0;
    const size_t begin = data->n;
    const int is_vector = tensor_is_vector(hf_names[i].tensor);
    const int number[] = {layer, expert};
    for (int part = 0; part < hf_names[i].parts; part++) {
        hf_shape(&s->base.config, (enum tensor)((int)hf_names[i].tensor + part), layer, &rows, &cols);
        all += is_vector ? cols : rows;
    }
    fuzz_put_text(header, s->form.vision ? ",\"language_model." : ",\"");
    for (const char *p = hf_names[i].name, *n = p; *p; p++)
        if (*p == '#') fuzz_print(header, "%d", number[n++ != hf_names[i].name]);
        else fuzz_put(header, p, 1);
    fuzz_put_weights(data, (size_t)all * (size_t)(is_vector ? 1 : cols) * (strcmp(type, "F32") ? 2 : 4));
    fuzz_print(header, "\":{\"dtype\":\"%s\",\"shape\":[%d", type, all);
    if (!is_vector) fuzz_print(header, ",%d", cols);
    fuzz_print(header, "],\"data_offsets\":[%zu,%zu]}", begin, data->n);
}

/* The tensors [first, end) of hf_names, behind a mark. */
static void fuzz_put_safetensors(fuzz_bytes *b, int mark, const hf_source *s, const char *type, int first, int end) {
    static fuzz_bytes header, data;
    header.n = data.n = 0;
    fuzz_put_text(&header, "{\"__metadata__\":{\"format\":\"pt\"}");
    if (s->form.vision && first)
        fuzz_put_text(&header, ",\"vision_tower.x\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}");
    for (int i = first; i < end; i++)
        for (int layer = 0; layer < (hf_numbers(hf_names[i].name) ? s->base.config.n_layers : 1); layer++)
            for (int expert = 0; hf_has(&s->base.config, &s->form, &hf_names[i], layer, expert); expert++)
                if (hf_names[i].tensor != TENSOR_CLASSIFIER || !s->base.config.shared_classifier)
                    fuzz_put_hf_tensor(&header, &data, s, type, i, layer, expert);
    fuzz_put_text(&header, "} ");
    fuzz_print(b, "\xFF@@%d", mark);
    fuzz_put_int(b, header.n, 8);
    fuzz_put(b, header.p, header.n);
    fuzz_put(b, data.p, data.n);
}

static void fuzz_put_json_string(fuzz_bytes *b, const char *text) {
    fuzz_put_text(b, "\"");
    for (; *text; text++) fuzz_print(b, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    fuzz_put_text(b, "\"");
}

/* With the patterns of the split number i, and a normalizer for some. */
static void fuzz_put_byte_level_json(fuzz_bytes *b, int i) {
    fuzz_put_text(b, "\xFF@@5{\"added_tokens\":[{\"id\":259,\"content\":\"<|begin|>\",\"special\":true},"
                     "{\"id\":260,\"content\":\"<|eot_id|>\",\"special\":true,\"rstrip\":true},"
                     "{\"id\":262,\"content\":\"<tool>\",\"special\":false,\"lstrip\":true,\"normalized\":true}],"
                     "\"normalizer\":");
    fuzz_put_text(b, i % 2 ? "{\"type\":\"NFC\"}" : "null");
    fuzz_put_text(b, ",\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
    for (int k = 0; k < 3 && hf_splits[i].patterns[k]; k++) {
        fuzz_put_text(b, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
        fuzz_put_json_string(b, hf_splits[i].patterns[k]);
        fuzz_put_text(b, "},\"behavior\":\"Isolated\",\"invert\":false},");
    }
    fuzz_put_text(b, "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                     "\"use_regex\":false}]},\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":"
                     "\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<|begin|>\"}}]}]},\"model\":{"
                     "\"type\":\"BPE\",\"dropout\":null,\"ignore_merges\":true,\"vocab\":{");
    for (int byte = 0; byte < 256; byte++) {
        char text[3] = "";
        vocabulary_encode_bytes(&(char){(char)byte}, 1, text);
        fuzz_put_json_string(b, text);
        fuzz_print(b, ":%d,", byte);
    }
    fuzz_put_text(b, "\"th\":256,\"the\":257,\"\\u0120the\":258},"
                     "\"merges\":[\"t h\",[\"th\",\"e\"],\"\\u0120 the\"]}}");
}

/* With the rule of that number for the space in front of a text. */
static void fuzz_put_sentencepiece_json(fuzz_bytes *b, int prefix) {
    static const char replace[] = "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}",
                      prepend[] = "{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"},",
                      *const schemes[] = {"always", "first", "never"};
    fuzz_put_text(b, "\xFF@@5{\"added_tokens\":[{\"id\":1,\"content\":\"<s>\",\"special\":true},{\"id\":2,\"content\":"
                     "\"</s>\",\"special\":true},{\"id\":264,\"content\":\"<x>\",\"lstrip\":true,\"rstrip\":true},"
                     "{\"id\":265,\"content\":\"c\",\"single_word\":true,\"normalized\":true}],\"normalizer\":");
    if (prefix <= TOKENIZER_PREFIX_EACH)
        fuzz_print(b, "{\"type\":\"Sequence\",\"normalizers\":[%s%s]},\"pre_tokenizer\":null", prefix ? prepend : "",
                   replace);
    else
        fuzz_print(b,
                   "null,\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":"
                   "\"%s\",\"split\":false}",
                   schemes[prefix - TOKENIZER_PREFIX_MISSING]);
    fuzz_put_text(b, ",\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"byte_fallback\":true,\"vocab\":{"
                     "\"<unk>\":0,\"<s>\":1,\"</s>\":2");
    for (int byte = 0; byte < 256; byte++) fuzz_print(b, ",\"<0x%02X>\":%d", (unsigned)byte, 3 + byte);
    fuzz_put_text(b, ",\"\\u2581\":259,\"a\":260,\"b\":261,\"ab\":262,\"\\u2581ab\":263},"
                     "\"merges\":[\"a b\",\"\\u2581 ab\"]}}");
}

static void fuzz_put_tokenizer_model(fuzz_bytes *b) { /* with tokens added to it */
    static fuzz_bytes model;
    fuzz_make_model(&model, 1, 0);
    fuzz_put_text(b, "\xFF@@8");
    fuzz_put(b, model.p, model.n);
    fuzz_print(b,
               "\xFF@@5{\"added_tokens\":[{\"id\":1,\"content\":\"<s>\"},{\"id\":%d,\"content\":\"<|im_end|>\"}],"
               "\"model\":{\"type\":\"BPE\",\"byte_fallback\":true}}",
               256 + FUZZ_PIECES);
}

static void fuzz_hf_seeds(fuzz_add *add, void *user) {
    static fuzz_bytes b;
    for (int i = 0; i < FUZZ_HF_SHAPES; i++) {
        const fuzz_hf_shape *shape = &fuzz_hf_shapes[i];
        hf_source s = {.n_shards = 0};
        json_text config;
        llama_error why = {0, ""};
        b.n = 0;
        fuzz_put_hf_config(&b, shape);
        if (json_parse(&config, (const char *)b.p + 4, b.n - 4, "config.json", &why) ||
            hf_read_config(&s.base, &s.form, "config.json", config.nodes, &why))
            fprintf(stderr, "%s\n", why.text);
        if (shape->files == 2) {
            fuzz_put_text(&b, "\xFF@@2{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"b.safetensors\"}}");
            fuzz_put_safetensors(&b, 3, &s, shape->type, 0, HF_N_NAMES / 2);
            fuzz_put_safetensors(&b, 4, &s, "F16", HF_N_NAMES / 2, HF_N_NAMES);
        } else fuzz_put_safetensors(&b, 1, &s, shape->type, 0, HF_N_NAMES);
        if (shape->tokenizer == 1) fuzz_put_byte_level_json(&b, 2); /* Llama 3 */
        if (shape->tokenizer == 2) fuzz_put_tokenizer_model(&b);
        source_release(&s.base);
        json_free(&config);
        add(user, b.p, b.n);
    }
}

static void fuzz_hf_tokenizer_seeds(fuzz_add *add, void *user) {
    static fuzz_bytes b;
    enum { PREFIXES = TOKENIZER_PREFIX_NONE + 1, FIRST = PREFIXES + 1 }; /* rules for spaces, a .model, splits */
    for (int i = 0; i < FIRST + (int)(sizeof hf_splits / sizeof *hf_splits); i++) {
        b.n = 0;
        fuzz_put_text(&b, "\xFF@@0{\"vocab_size\":270,\"bos_token_id\":1,\"eos_token_id\":[2,3]}");
        if (i < PREFIXES) fuzz_put_sentencepiece_json(&b, i);
        if (i == PREFIXES) fuzz_put_tokenizer_model(&b);
        if (i >= FIRST) fuzz_put_byte_level_json(&b, i - FIRST);
        if (i >= FIRST)
            fuzz_put_text(&b, "\xFF@@6{\"bos_token\":{\"content\":\"<|begin|>\"},\"eos_token\":\"the\","
                              "\"add_bos_token\":true,"
                              "\"chat_template\":[{\"name\":\"default\",\"template\":\"{% for m in messages "
                              "%}<|im_start|>{{ m.role }}{% endfor %}\"}]}"
                              "\xFF@@7{\"bos_token_id\":1,\"eos_token_id\":5}");
        if (i == PREFIXES) fuzz_put_text(&b, "\xFF@@9" TEMPLATE_LLAMA2);
        add(user, b.p, b.n);
    }
}

static void fuzz_options_seeds(fuzz_add *add, void *user) {
    static const char *const texts[] = {
        "model.llama\n-p\nOnce upon a time\n-n\n64\n-t\n0.8\n-k\n40\n--top-p\n0.95\n--min-p\n0.05\n-s\n42",
        "--repeat-penalty=1.1\n--ctx-size=512\n-j\n4\n-z\ntokenizer.bin\n-q\n-v\n--\nm",
        "m\n--chat\n--system\nBe brief.\n--template\nllama3",
        "--help",
        "--version",
        "m\n--perplexity\n-",
        "m\n-i\nx",
        "m\n-f\n-"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) add(user, texts[i], strlen(texts[i]));
}

static void fuzz_text_seeds(fuzz_add *add, void *user) {
    static const char *const texts[] = {" a ab  bba [INST] x\n", "<s>A\xE2\x96\x81\xFF\xC3\xA9</s>",
                                        "the the 12345 it's\r\n  <|eot_id|><tool>\xF0\x9F\x98\x80 \xC2\xA0",
                                        " ab <x>\n<y> c_c a b<z> <think>e\xCC\xA3\xCC\x81\xEA\xB0\x80\xE1\x86\xA8"};
    char text[100];
    for (int i = 0; i < 28; i++) {
        snprintf(text, sizeof text, "%d%s", i % 7, texts[i / 7]);
        add(user, text, strlen(text));
    }
}

/* ---------------------------------------------------------------------------------------------------
 * Words: one a line
 * ------------------------------------------------------------------------------------------------- */

static const char fuzz_json_words[] =
    "{\n}\n[\n]\n,\n:\n\"\"\nnull\ntrue\nfalse\n0\n-1\n1e999\n0.5\n\\u0000\n\\ud800\n{}\n[]\n\"a\":1\n\xC3\xA9\n"
    "\\\"";
static const char fuzz_request_words[] =
    "{\n}\n[\n]\n,\n:\n\"\"\nnull\ntrue\n0\n-1\n1e300\n0.5\n\\u0000\n\"id\":\n\"prompt\":\n\"text\":\n\"messages\":\n"
    "\"answers\":\n\"role\":\"system\"\n\"content\":\n\"stop\":\n\"n\":\n\"top_p\":\n\"seed\":\n\"logprobs\":\n\"a\"";
static const char fuzz_hf_words[] =
    "0\n1\n2\n3\n268435456\n1e9\n-1\n0.5\nnull\ntrue\nfalse\n[]\n{}\n\"\"\n,\n:\n\"\n[\n]\n{\n}\n\"F32\"\n"
    "\"BF16\"\n\"F16\"\n\"shape\"\n\"data_offsets\"\n[0,0]\n\"model.layers.0.\n\"lm_head.weight\"\n"
    "rotary_emb.inv_freq\n\"rope_type\":\"linear\"\n\"factor\":2\n\"head_dim\":2\n\"sliding_window\":4\n"
    "\"tie_word_embeddings\":true\n\"weight_map\"\n\"rope_scaling\"\n\"rope_parameters\"\n"
    "\"layer_types\"\n\"full_attention\"\n\"sliding_attention\"\n\"longrope\"\n\"yarn\"\n\"llama3\"\n\"default\"\n"
    "\"partial_rotary_factor\":0.5\n\"num_experts\":2\n\"num_local_experts\":2\n\"num_experts_per_tok\":1\n"
    "\"no_rope_layers\":[0]\n\"original_max_position_embeddings\":4\n\"attention_bias\":true\n"
    "\"use_sliding_window\":true\n\"mlp_only_layers\":[0]\n\"text_config\"\n\"Qwen3MoeForCausalLM\"\n"
    "\"MistralForCausalLM\"\n\xFF@@0\n\xFF@@1\n\xFF@@2{\n\xFF@@3\n\xFF@@5{\n\xFF@@6{\n\xFF@@8\n\xFF@@9\n"
    "\"added_tokens\"\n\"special\":true\n\"special\":false\n\"content\"\n\"id\"\n\"merges\"\n\"vocab\"\n\"BPE\"\n"
    "\"Metaspace\"\n\"byte_fallback\":true\n\"chat_template\"\n\"eos_token\"\n\"eos_token_id\"\n\"<|eot_id|>\"\n"
    "<0x41>\n\"unk_token\"\n\"replacement\":\"\\u2581\"\n\"split\":false\n\\u2581\n\\u0120\nthe\nab\n ";
static const char fuzz_gguf_words[] =
    "llama.rope.scale_linear\ntokenizer.ggml.eot_token_id\ntokenizer.ggml.add_space_prefix\nllama.expert_count\n"
    "tokenizer.ggml.remove_extra_whitespaces\nllama.attention.value_length\nllama.rope.freq_base\n<|eot_id|>\n"
    "none\nyarn\nlongrope\nblk.1.\noutput.weight\nrope_freqs.weight\ngeneral.alignment\nqwen3moe\ngemma3\nphi3\n"
    ".expert_used_count\n.attention.sliding_window\n.attention.sliding_window_pattern\n.rope.dimension_count\n"
    ".rope.scaling.type\n.rope.scaling.attn_factor\nattn_q.bias\nattn_output.bias\nffn_gate_exps.weight";
static const char fuzz_text_words[] =
    "<s>\n</s>\n[INST]\n<tool>\n<|eot_id|>\n<|begin_of_text|>\n \n  \n\xE2\x96\x81\n\xE2\x96\na\nab\nbb\nbba\nA\n"
    "'ll\n's\n12\nthe\n\xC3\xA9\n\xFF\n\xED\xA0\x80\n\xF0\x9F\x98\x80\n\xC2\xA0\n\xE3\x80\x80\n\r\n\t\n\xC5\xBF\n"
    "<0x0A>";
static const char fuzz_options_words[] =
    "-p\n-i\n-f\n-n\n-t\n-k\n-s\n-c\n-j\n-z\n-q\n-v\n-h\n--prompt\n--file\n--n-predict\n--temp\n--top-k\n"
    "--top-p\n--min-p\n--repeat-penalty\n--seed\n--ctx-size\n--threads\n--tokenizer\n--chat\n--system\n"
    "--template\n--quiet\n--verbose\n--perplexity\n--help\n--version\n--\n-\n=\n0\n1\n-1\n1e999\nnan\ninf\n0x10\n"
    "1e-46\n2147483648\n18446744073709551616\nllama2\nchatml\n--top-p=1\n--min-p=\n99999999999999999999";
static const char fuzz_jinja_words[] =
    "{%\n%}\n{{\n}}\n{%-\n-%}\n{{-\n-}}\n{#\n#}\n{% raw %}\n{% endraw %}\n{% if \n{% elif \n{% else %}\n{% endif %}\n"
    "{% for \n in \n{% endfor %}\n{% set \n{% endset %}\n{% macro f(a, b=1) %}\n{% endmacro %}\n{{ f(\n{% call f(1) "
    "%}\n"
    "{% endcall %}\n{% filter upper %}\n{% endfilter %}\n{% with \n{% endwith %}\n{% generation %}\n{% endgeneration "
    "%}\n"
    "{% break %}\n{% continue %}\nloop.\nindex\nlength\ncycle(\nchanged(\nprevitem\nnextitem\nnamespace(\nrange(\n"
    "caller()\nvarargs\nkwargs\n is \n not \n and \n or \ndefined\nstring\n if \n else \n|\n.\n~\n**\n//\n==\n[::-1]\n"
    "[1:]\n(1, 2)\n{'a': 1}\n[1, 'b']\n'a'\n\"\\u00e9\"\n1.5\n999999999\nnone\ntrue\nmessages\n|tojson(indent=2)\n"
    "|selectattr('role', 'equalto', 'user')\n|map('upper')\n|join(', ')\n|sort\n|dictsort\n|list\n|first\n|last\n"
    "|replace('a', 'bb')\n|indent\n|trim\n|default('x')\n|int\n|round\n|safe\n|title\n|unique\n|reverse\n.split('a', "
    "1)\n"
    ".strip('x')\n.items()\n.get('a')\n.find('')\n.rfind('a')\n.title()\n.splitlines()\nraise_exception('x')\n"
    "strftime_now('%d %b')\n* 99999\n recursive %}\nloop(\nloop.depth\n|sum\n|sum(start=[])\n|batch(2, 1)\n"
    "|slice(3, 1)\n is sameas \n is escaped\n is odd\n is divisibleby 2\n.rsplit('a', 1)\n.rsplit(\n.partition('a')\n"
    ".rpartition('a')\n.index('a')\n.count(1)\n.rindex('')\n|sort(attribute='a,b')\n|map(attribute='a.b', "
    "default=1)\n"
    "|reject('odd')\n|select\n|min\n|max\n|items\n|attr('a')\n|escape\n|float\n|abs\n|string\n|length\n|count\n"
    "|capitalize\n|lower\n.lstrip()\n.rstrip('a')\n.startswith(\n.endswith(('a', 'b'))\n.replace('a', '', 1)\n"
    ".removeprefix('a')\n.removesuffix('a')\n.keys()\n.values()\n.copy()\n.append(1)\n.join(\n.isdigit()\n"
    ".isupper()\n is iterable\n is sequence\n is mapping\n is not none\n is lower\n is in \nnot in \n%}+\n+%}\n{%+ ";

static void fuzz_jinja_seeds(fuzz_add *add, void *user) {
    static const char *const texts[] = {
        TEMPLATE_LLAMA2,
        TEMPLATE_LLAMA3,
        TEMPLATE_CHATML,
        TEMPLATE_ZEPHYR,
        TEMPLATE_MISTRAL,
        "{% for m in messages if m.role != 'tool' %}{{ loop.index }}{{ loop.last }}{{ loop.nextitem is defined }}{{ "
        "m|tojson "
        "}}"
        "{% if loop.index > 2 %}{% break %}{% endif %}{% else %}none{% endfor %}{{ messages|map(attribute='role')|join "
        "}}",
        "{% macro f(a, b=[1, {'x': 2.5}]) %}{{ a }}{{ b }}{{ caller() }}{{ varargs }}{% endmacro %}{% call f(1, 2, 3) "
        "%}"
        "{{ messages[0].content.split(' ', 1)[::-1] }}{% endcall %}{% set ns = namespace(n=0) %}{% set ns.n = ns.n + 1 "
        "%}",
        "{# c #}\n  {% raw %}{{ }}{% endraw %}\n{% set x | upper %}a{% endset %}{{ x ~ 1 if x is string else none }}"
        "{{ range(3, 0, -1)|list|sort }}{{ strftime_now('%d %B %Y') }}{{ 7 // 2 ** 2 % 3 }}{{ 1 < 2 in [2] }}",
        "{% for i in [1, [2, [3]]] recursive %}{{ loop.depth }}{{ loop(i) if i is iterable else i }}{% else %}-{% "
        "endfor %}{{ a.b|batch(2, 'x')|list }}{{ a.b|slice(2)|list }}{{ [1, 2]|sum }}{{ [[1], [2]]|sum(start=[]) }}",
        "{{ messages|sort(attribute='role,content')|map(attribute='role')|unique|join(',', attribute=0) }}{{ "
        "messages|selectattr('role', 'in', ['user'])|rejectattr('content')|list }}{{ a.b|select('number')|max }}{{ "
        "a.b|reject('none')|min }}{{ a|items|list }}{{ a|dictsort(by='key') }}{{ a.b|last is sameas none }}{{ 3 is odd "
        "}}",
        "{% set t = 'a-b\\n c-d' %}{{ t.rsplit('-', 1) }}{{ t.partition('-') }}{{ t.rpartition('z') }}{{ t.index('b') "
        "}}{{ t.rindex('d') }}{{ t.find('q') }}{{ t.count('-') }}{{ [1, 1].count(1) }}{{ (1, 2).index(2) }}{{ "
        "t.splitlines() }}{{ t|indent(2, true) }}{{ t|title|replace('A', 'bb', 1)|reverse }}{{ t.endswith(('d', 'e')) "
        "}}{{ t.removeprefix('a')|trim('-')|capitalize }}{{ ('<' ~ t)|e ~ ('<'|safe) + '>' }}{{ t.append is defined }}",
        "{% with x = 1, y = [2.5, none] %}{% filter upper|trim %} {{ x }}{{ y|tojson(indent=1, separators=(',', ':')) "
        "}}{% endfilter %}{% endwith %}{% generation %}{{ {'a': {1: 2}, 'b': (1,)}|tojson(sort_keys=true) }}{% "
        "endgeneration %}{% for k, (v, w) in [(1, (2, 3))] if k -%}  {% continue %}{%+ endfor %}{{ '4.7'|int + "
        "'1e3'|float|round(1, 'ceil') - -2|abs }}{{ a.b[1:]|first|string }}{{ a['b'][-1] is defined and not 1 > 2 }}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) add(user, texts[i], strlen(texts[i]));
}

/* A template whose form has each of its flags, and the five with a name. */
static void fuzz_template_seeds(fuzz_add *add, void *user) {
#define TURNS "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}"
#define ELSE "{% else %}{{ m.content|trim }}{% endif %}<|im_end|>{% endfor %}"
#define OPEN "{% if add_generation_prompt %}<assistant>{% endif %}"
    static const char *const texts[] = {
        TEMPLATE_LLAMA2,
        TEMPLATE_LLAMA3,
        TEMPLATE_CHATML,
        TEMPLATE_ZEPHYR,
        TEMPLATE_MISTRAL,
        TURNS "{{ m.content.split('</think>')[-1].lstrip('\n') }}" ELSE OPEN,
        TURNS "{{ m.content.split('</think>', 1)[-1] }}" ELSE OPEN "<think>",
        TURNS "{{ m.content if loop.revindex < 3 else m.content.split('</think>')[-1] }}" ELSE OPEN,
        TEMPLATE_SPLIT
        "{% for m in turns %}{{ m.role ~ (system if loop.last and system is defined else '') ~ m.content }}"
        "{% endfor %}" OPEN,
        TEMPLATE_SPLIT
        "{% if system %}[{{ system }}]{% endif %}{% for m in turns %}{{ m.role ~ m.content.strip('\n') }}"
        "{{ eos_token }}{% endfor %}" OPEN "{{ strftime_now('%d') }}"};
#undef TURNS
#undef ELSE
#undef OPEN
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) add(user, texts[i], strlen(texts[i]));
}
