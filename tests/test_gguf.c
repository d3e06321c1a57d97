/* test_gguf.c - the GGUF reader of tools/: every weight type against a plain formula of its bits, what of the metadata
 * reaches the configuration and the tokenizer, and every kind of damage with the words that refuse it.
 *
 * Files are made here from a recipe: a list of lines, one for each metadata ("KEY TYPE VALUE", "KEY TYPE[] A|B|C") and
 * tensor ("@NAME TYPE DIMENSIONS"), which a test edits before they become bytes.
 */
#include "../tokenizer.h"
#include "../tools/formats/source.h"
#include "../tools/shared/inside.h"
#include "../tools/shared/numbers.h"
#include "reference.c"
#include "checkpoint.c"
#include "templates.h"
#include "test.h"

/* ---------------------------------------------------------------------------------------------------
 * Making files
 * ------------------------------------------------------------------------------------------------- */

typedef struct {
    unsigned char *p;
    size_t n, room;
} bytes;

static void put(bytes *b, const void *data, size_t size) {
    if (b->n + size > b->room && !(b->p = realloc(b->p, b->room = 2 * (b->n + size)))) exit(1);
    if (size) memcpy(b->p + b->n, data, size);
    b->n += size;
}

static void put_number(bytes *b, uint64_t value, int size) {
    for (int i = 0; i < size; i++) put(b, &(unsigned char){(unsigned char)(value >> 8 * i)}, 1);
}

static void put_string(bytes *b, const char *text, size_t size) {
    put_number(b, size, 8);
    put(b, text, size);
}

static void put_padding(bytes *b, size_t to) {
    while (b->n % to) put(b, "", 1);
}

/* One value of a type, written as text; in a string \1 is "|", which separates elements. */
static void put_value(bytes *b, const char *type, const char *text, size_t size) {
    float f = strtof(text, NULL);
    double d = strtod(text, NULL);
    uint32_t f_bits;
    uint64_t d_bits;
    memcpy(&f_bits, &f, 4);
    memcpy(&d_bits, &d, 8);
    if (!strcmp(type, "string")) {
        put_string(b, text, size);
        for (char *p; (p = size ? memchr(b->p + b->n - size, 1, size) : NULL);) *p = '|';
    } else if (!strcmp(type, "f32")) put_number(b, f_bits, 4);
    else if (!strcmp(type, "f64")) put_number(b, d_bits, 8);
    else if (!strcmp(type, "bool")) put_number(b, strtoull(text, NULL, 10), 1);
    else put_number(b, *text == '-' ? 0 - strtoull(text + 1, NULL, 10) : strtoull(text, NULL, 10), atoi(type + 1) / 8);
}

static char architecture[40]; /* of the file under way */

/* "KEY TYPE VALUE"; an array is "KEY TYPE[] A|B", or TYPE[COUNT] with a count that need not be true. A key that begins
 * with a dot is one of the architecture. */
static void put_metadata(bytes *b, const char *line) {
    static const char *const names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "string", "array", "u64", "i64", "f64"};
    char key[80], type[40];
    int n = 0;
    if (sscanf(line, "%79s %39s%n", key, type, &n) != 2) exit(1);
    const char *value = line + n + (line[n] == ' ');
    char *array = strchr(type, '[');
    if (array) *array++ = 0;
    uint64_t number = 0;
    while (strcmp(names[number], type)) number++;
    char full[120];
    snprintf(full, sizeof full, "%s%s", *key == '.' ? architecture : "", key);
    put_string(b, full, strlen(full));
    if (!array) {
        put_number(b, number, 4);
        put_value(b, type, value, strlen(value));
        return;
    }
    uint64_t count = *value != 0;
    for (const char *p = value; *p; p++) count += *p == '|';
    put_number(b, 9, 4);
    put_number(b, number, 4);
    put_number(b, *array == ']' ? count : strtoull(array, NULL, 10), 8);
    for (; count; count--, value += strcspn(value, "|") + 1) put_value(b, type, value, strcspn(value, "|"));
}

/* The weight types, by the number that files have, and of each block the high bytes of its f16 fields: with the top bit
 * of their exponents cleared random bytes are finite numbers. hash is FNV-1a of the 1024 float32 that the random
 * bytes of test_types make, computed with a NumPy decoder. */
static const struct {
    const char *name;
    int number, block, bytes, high[2];
    uint64_t hash;
} types[] = {
    {"F32", 0, 1, 4, {3}, 0xd52499dfd3ce9873},           {"F16", 1, 1, 2, {1}, 0x7c5090bf0d22b7a4},
    {"BF16", 30, 1, 2, {1}, 0x07c76f8651c7e700},         {"Q4_0", 2, 32, 18, {1}, 0xa8a07b3dd7ae638f},
    {"Q4_1", 3, 32, 20, {1, 3}, 0x2fea2f0dc1296295},     {"Q5_0", 6, 32, 22, {1}, 0x1107618deb577532},
    {"Q5_1", 7, 32, 24, {1, 3}, 0x81d0e18887a648fb},     {"Q8_0", 8, 32, 34, {1}, 0x7e369976bdfe6dd3},
    {"Q2_K", 10, 256, 84, {81, 83}, 0x37b543074df774e6}, {"Q3_K", 11, 256, 110, {109}, 0xc8e03283042eafb9},
    {"Q4_K", 12, 256, 144, {1, 3}, 0xb3a825c21c765187},  {"Q5_K", 13, 256, 176, {1, 3}, 0xd456fe953792f80a},
    {"Q6_K", 14, 256, 210, {209}, 0x7047dbdf8f86551e},   {"IQ4_NL", 20, 32, 18, {1}, 0x0ac0987096a40a58},
    {"IQ4_XS", 23, 256, 136, {1}, 0xf477eb717f42123b},
};
enum { N_TYPES = sizeof types / sizeof *types };

static int find_type(int number) {
    int i = 0;
    while (i < N_TYPES - 1 && types[i].number != number) i++;
    return i; /* the last for those that the reader refuses anyway */
}

static void put_weights(bytes *b, int type, size_t n, uint64_t seed) {
    const size_t start = b->n, size = n / (size_t)types[type].block * (size_t)types[type].bytes;
    for (size_t i = 0; i < size; i++) put(b, &(unsigned char){(unsigned char)random_next(&seed)}, 1);
    for (size_t i = start; i < b->n; i += (size_t)types[type].bytes)
        for (int k = 0; k < 2 && types[type].high[k]; k++) b->p[i + (size_t)types[type].high[k]] &= 0xBF;
}

/* "@NAME TYPE DIMENSIONS": its entry in the table and its data. */
static void put_entry(bytes *table, bytes *data, const char *line) {
    char name[80];
    int number, n = 0, n_dims = 0;
    uint64_t ne[5] = {0};
    if (sscanf(line, "@%79s %d%n", name, &number, &n) != 2) exit(1);
    size_t weights = 1;
    for (const char *p = line + n; *p && n_dims < 5; n_dims++) {
        char *end;
        weights *= (size_t)(ne[n_dims] = strtoull(p, &end, 10));
        p = end;
    }
    put_string(table, name, strlen(name));
    put_number(table, (uint64_t)n_dims, 4);
    for (int i = 0; i < n_dims; i++) put_number(table, ne[i], 8);
    put_number(table, (uint64_t)number, 4);
    put_number(table, data->n, 8);
    put_weights(data, find_type(number), weights, (uint64_t)number + !strcmp(name, "rope_factors_long.weight"));
    for (size_t i = 0; !strncmp(name, "rope_", 5) && i < weights; i++)
        data->p[data->n - 4 * i - 1] = 0x3F; /* 0.5 to 2 */
    put_padding(data, 64);
}

typedef struct {
    char *lines[1000];
    int n;
} recipe;

static int layers = 2; /* of the files made */

static size_t word(const char *line) { return strcspn(line, " "); }

static void recipe_add(recipe *r, const char *line, size_t size) {
    char *copy = xmalloc(size + 1);
    memcpy(copy, line, size);
    copy[size] = 0;
    r->lines[r->n++] = copy;
}

static void recipe_remove(recipe *r, int i) {
    free(r->lines[i]);
    memmove(&r->lines[i], &r->lines[i + 1], (size_t)(--r->n - i) * sizeof *r->lines);
}

/* An edit of the recipe; "llama." at the start is that of any architecture. */
static void recipe_edit_line(recipe *r, const char *edit, size_t size) {
    const char *line = edit + (*edit == '-' || *edit == '+');
    if (!strncmp(line, "llama.", 6)) line += 5;
    const size_t n = size - (size_t)(line - edit), key = word(line) < n ? word(line) : n;
    int i = 0;
    while (i < r->n && (word(r->lines[i]) != key || memcmp(r->lines[i], line, key))) i++;
    if (*edit != '+' && i < r->n) recipe_remove(r, i);
    if (*edit != '-') recipe_add(r, line, n);
}

/* Edits are lines: "-NAME" removes, "+LINE" adds whatever is there; a plain line replaces the one of its name, or is
 * added. "blk.*." stands for all layers. Those with "!" are for patch. */
static void recipe_edit(recipe *r, const char *edits) {
    for (size_t size; *edits; edits += size + (edits[size] != 0)) {
        char line[200];
        size = strcspn(edits, "\n");
        const char *star = strstr(edits, "blk.*.");
        if (*edits == '!') continue;
        if (!star || star > edits + size) recipe_edit_line(r, edits, size);
        for (int i = 0; star && star < edits + size && i < layers; i++) {
            const int n = snprintf(line, sizeof line, "%.*sblk.%d%.*s", (int)(star - edits), edits, i,
                                   (int)(edits + size - star) - 5, star + 5);
            recipe_edit_line(r, line, (size_t)n);
        }
    }
}

/* "!TEXT OFFSET SIZE VALUE" overwrites a number, counted from where TEXT begins. */
static void patch(bytes *b, const char *edits) {
    for (size_t size; *edits; edits += size + (edits[size] != 0)) {
        char text[80];
        long offset;
        int n;
        unsigned long long value;
        size = strcspn(edits, "\n");
        if (*edits != '!' || sscanf(edits, "!%79s %ld %d %llu", text, &offset, &n, &value) != 4) continue;
        size_t at = 0;
        while (at + strlen(text) < b->n && memcmp(b->p + at, text, strlen(text))) at++;
        for (int i = 0; i < n; i++) b->p[at + (size_t)(offset + i)] = (unsigned char)(value >> 8 * i);
    }
}

static const char base[] = "general.architecture string llama\n"
                           "general.name string a name that nothing asks for\n"
                           "llama.embedding_length u32 8\n"
                           "llama.context_length u32 64\n"
                           "llama.feed_forward_length u32 12\n"
                           "llama.attention.head_count u32 4\n"
                           "llama.attention.head_count_kv u32 2\n"
                           "llama.attention.layer_norm_rms_epsilon f32 0.001\n"
                           "tokenizer.ggml.model string llama\n"
                           "tokenizer.ggml.tokens string[] <unk>|<s>|</s>|a|b|ab|\xE2\x96\x81|c\n"
                           "tokenizer.ggml.scores f32[] 0|0|0|-2|-3|-1|-4|-5\n"
                           "tokenizer.ggml.token_type i32[] 2|3|3|1|1|1|1|1\n"
                           "@token_embd.weight 0 8 8\n"
                           "@output_norm.weight 0 8\n"
                           "@output.weight 0 8 8";

static bytes make_file(const char *edits) {
    static const struct {
        const char *name;
        int rows, cols;
    } layer[] = {{"attn_norm", 0, 8},   {"attn_q", 8, 8},    {"attn_k", 4, 8},  {"attn_v", 4, 8},   {"ffn_norm", 0, 8},
                 {"attn_output", 8, 8}, {"ffn_gate", 12, 8}, {"ffn_up", 12, 8}, {"ffn_down", 8, 12}};
    recipe r = {.n = 0};
    char line[80];
    recipe_edit(&r, base);
    snprintf(line, sizeof line, ".block_count u32 %d", layers);
    recipe_edit(&r, line);
    for (int i = 0; i < 9 * layers; i++) {
        int n = snprintf(line, sizeof line, "@blk.%d.%s.weight 0 %d", i / 9, layer[i % 9].name, layer[i % 9].cols);
        if (layer[i % 9].rows) snprintf(line + n, sizeof line - (size_t)n, " %d", layer[i % 9].rows);
        recipe_edit(&r, line);
    }
    recipe_edit(&r, edits);

    bytes b = {0}, table = {0}, data = {0};
    uint64_t n_tensors = 0;
    snprintf(architecture, sizeof architecture, "llama");
    for (int i = 0; i < r.n; i++) sscanf(r.lines[i], "general.architecture string %39s", architecture);
    for (int i = 0; i < r.n; i++)
        if (*r.lines[i] == '@') put_entry(&table, &data, r.lines[i]), n_tensors++;
    put(&b, "GGUF", 4);
    put_number(&b, 3, 4);
    put_number(&b, n_tensors, 8);
    put_number(&b, (uint64_t)r.n - n_tensors, 8);
    for (int i = 0; i < r.n; i++)
        if (*r.lines[i] != '@') put_metadata(&b, r.lines[i]);
    put(&b, table.p, table.n);
    put_padding(&b, strstr(edits, "general.alignment u32 64") ? 64 : 32);
    put(&b, data.p, data.n);
    patch(&b, edits);
    while (r.n) recipe_remove(&r, 0);
    free(table.p);
    free(data.p);
    return b;
}

static const char *path; /* of the file that tests write */
static llama_error err;

static llama_source *open_bytes(const bytes *b) {
    err.text[0] = 0;
    remove(path); /* some file systems wait for the disk when a file is overwritten */
    return write_file(path, b->p, b->n) ? source_open_gguf(path, NULL, &err) : NULL;
}

static llama_source *open_edited(const char *edits) {
    bytes b = make_file(edits);
    llama_source *s = open_bytes(&b);
    free(b.p);
    return s;
}

/* The message, behind the file's name, with which an edited file is refused, or its tokenizer. */
static const char *refusal(const char *edits) {
    llama_source *s = open_edited(edits);
    if (s) err = s->tokenizer_error, s->close(s);
    if (!*err.text) return "(opened)";
    const size_t n = strlen(path);
    return strncmp(err.text, path, n) == 0 && strncmp(err.text + n, ": ", 2) == 0 ? err.text + n + 2 : "(no file name)";
}

/* ---------------------------------------------------------------------------------------------------
 * Weight types
 * ------------------------------------------------------------------------------------------------- */

/* n bits from bit on, counted from the lowest of byte 0. */
static int field(const unsigned char *p, int bit, int n) {
    int value = 0;
    for (int i = 0; i < n; i++) value |= (p[(bit + i) / 8] >> (bit + i) % 8 & 1) << i;
    return value;
}

static int field_signed(const unsigned char *p, int bit, int n) {
    int value = field(p, bit, n);
    return value >> (n - 1) ? value - (1 << n) : value;
}

static double half(const unsigned char *p, int byte) {
    const int m = field(p, 8 * byte, 10), e = field(p, 8 * byte + 10, 5), sign = field(p, 8 * byte + 15, 1);
    const double value = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return sign ? -value : value;
}

static double single(const unsigned char *p, int e_bits, int m_bits) {
    const int m = field(p, 0, m_bits), e = field(p, m_bits, e_bits);
    const double value = e ? ldexp((1 << m_bits) + m, e - 127 - m_bits) : ldexp(m, -126 - m_bits);
    return field(p, e_bits + m_bits, 1) ? -value : value;
}

/* Weight i of a block: each type as positions of bits. */
static double plain(const char *type, const unsigned char *p, int i) {
    static const int levels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    const int nibble = 8 * (i % 16) + 4 * (i / 16 % 2);                /* 32 weights in 16 bytes */
    const int pair = 8 * (32 * (i / 128) + i % 32) + 2 * (i / 32 % 4); /* 256 weights in 64 bytes */
    const int k = i / 16, s = i / 32;
    if (!strcmp(type, "F32")) return single(p, 8, 23);
    if (!strcmp(type, "BF16")) return single(p, 8, 7);
    if (!strcmp(type, "F16")) return half(p, 0);
    if (!strcmp(type, "Q8_0")) return half(p, 0) * field_signed(p, 16 + 8 * i, 8);
    if (!strcmp(type, "Q4_0")) return half(p, 0) * (field(p, 16 + nibble, 4) - 8);
    if (!strcmp(type, "Q4_1")) return half(p, 0) * field(p, 32 + nibble, 4) + half(p, 2);
    if (!strcmp(type, "Q5_0")) return half(p, 0) * (field(p, 48 + nibble, 4) + 16 * field(p, 16 + i, 1) - 16);
    if (!strcmp(type, "Q5_1")) return half(p, 0) * (field(p, 64 + nibble, 4) + 16 * field(p, 32 + i, 1)) + half(p, 2);
    if (!strcmp(type, "IQ4_NL")) return half(p, 0) * levels[field(p, 16 + nibble, 4)];
    if (!strcmp(type, "IQ4_XS"))
        return half(p, 0) * (field(p, 32 + 4 * s, 4) + 16 * field(p, 16 + 2 * s, 2) - 32) *
               levels[field(p, 64 + 128 * s + nibble, 4)];
    if (!strcmp(type, "Q2_K"))
        return half(p, 80) * field(p, 8 * k, 4) * field(p, 128 + pair, 2) - half(p, 82) * field(p, 8 * k + 4, 4);
    if (!strcmp(type, "Q3_K"))
        return half(p, 108) *
               (field(p, 768 + 8 * (k % 8) + 4 * (k / 8), 4) + 16 * field(p, 832 + 8 * (k % 4) + 2 * (k / 4), 2) - 32) *
               (field(p, 256 + pair, 2) + 4 * field(p, 8 * (i % 32) + s, 1) - 4);
    if (!strcmp(type, "Q6_K"))
        return half(p, 208) * field_signed(p, 8 * (192 + k), 8) *
               (field(p, 8 * (64 * (i / 128) + i % 64) + 4 * (i / 64 % 2), 4) + 16 * field(p, 1024 + pair, 2) - 32);
    /* Q4_K, Q5_K */
    const int q5 = type[1] == '5', low = 8 * (q5 ? 48 : 16) + 256 * (s / 2) + 8 * (i % 32) + 4 * (s % 2);
    const int scale = s < 4 ? field(p, 32 + 8 * s, 6) : field(p, 64 + 8 * s, 4) + 16 * field(p, 8 * s + 6, 2);
    const int min = s < 4 ? field(p, 64 + 8 * s, 6) : field(p, 68 + 8 * s, 4) + 16 * field(p, 32 + 8 * s + 6, 2);
    const int q = field(p, low, 4) + (q5 ? 16 * field(p, 128 + 8 * (i % 32) + s, 1) : 0);
    return half(p, 0) * scale * q - half(p, 2) * min;
}

static uint64_t hash_floats(const float *f, size_t n) {
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &(float){f[i] + 0}, 4); /* one zero */
        for (int k = 0; k < 4; k++) hash = (hash ^ (bits >> 8 * k & 255)) * 0x100000001b3;
    }
    return hash;
}

/* blk.1.ffn_up.weight of 2 rows of 512 in each type. */
static void test_types(void) {
    for (int t = 0; t < N_TYPES; t++) {
        char name[40], edits[1200];
        snprintf(name, sizeof name, "weight type %s", types[t].name);
        snprintf(edits, sizeof edits,
                 "llama.embedding_length u32 512\nllama.feed_forward_length u32 2\nllama.attention.key_length u32 2\n"
                 "@token_embd.weight 0 512 8\n@output.weight 0 512 8\n@output_norm.weight 0 512\n"
                 "@blk.0.attn_norm.weight 0 512\n@blk.0.ffn_norm.weight 0 512\n@blk.0.attn_q.weight 0 512 8\n"
                 "@blk.0.attn_k.weight 0 512 4\n@blk.0.attn_v.weight 0 512 4\n@blk.0.attn_output.weight 0 8 512\n"
                 "@blk.0.ffn_gate.weight 0 512 2\n@blk.0.ffn_down.weight 0 2 512\n@blk.0.ffn_up.weight 0 512 2\n"
                 "@blk.1.attn_norm.weight 0 512\n@blk.1.ffn_norm.weight 0 512\n@blk.1.attn_q.weight 0 512 8\n"
                 "@blk.1.attn_k.weight 0 512 4\n@blk.1.attn_v.weight 0 512 4\n@blk.1.attn_output.weight 0 8 512\n"
                 "@blk.1.ffn_gate.weight 0 512 2\n@blk.1.ffn_down.weight 0 2 512\n@blk.1.ffn_up.weight %d 512 2",
                 types[t].number);
        TEST(name) {
            bytes block = {0};
            float *out = xmalloc(1024 * sizeof *out);
            put_weights(&block, t, 1024, (uint64_t)types[t].number);
            llama_source *s = open_edited(edits);
            CHECK_TEXT(err.text, "");
            for (int row = 0; s && row < 2; row++) CHECK(!s->rows(s, TENSOR_W3, 1, row, 1, out + 512 * row, &err));
            int differ = 0;
            for (int i = 0; s && i < 1024; i++) {
                const unsigned char *p = block.p + i / types[t].block * types[t].bytes;
                differ += out[i] != (float)plain(types[t].name, p, i % types[t].block);
            }
            CHECK(differ == 0);
            CHECK(s && hash_floats(out, 1024) == types[t].hash);
            if (s) s->close(s);
            free(block.p);
            free(out);
        }
    }
}

/* ---------------------------------------------------------------------------------------------------
 * What is read
 * ------------------------------------------------------------------------------------------------- */

static float value_at(llama_source *s, enum tensor tensor, int layer, int row, int col) {
    float out[64];
    return s->rows(s, tensor, layer, row, 1, out, &err) ? -1 : out[col];
}

static void test_config(void) {
    TEST("configuration") {
        llama_source *s = open_edited("");
        if (CHECK(s)) {
            const llama_config *c = &s->config;
            CHECK(c->dim == 8 && c->hidden_dim == 12 && c->n_layers == 2 && c->n_heads == 4 && c->n_kv_heads == 2);
            CHECK(c->head_dim == 2 && c->vocab_size == 8 && c->seq_len == 64 && c->shared_classifier == 0);
            CHECK(c->norm_eps == (float)0.001 && c->rope_theta == 10000);
            CHECK_TEXT(c->format, "GGUF version 3");
            CHECK_TEXT(c->weight_type, "F32");
            CHECK(c->weight_bytes == 4 * (8 + 64 + 2 * (16 + 64 + 32 + 32 + 64 + 3 * 96)));
            CHECK(s->rope_frequencies[0] == 1);
            s->close(s);
        }
    }
    TEST("version 2, keys of other types, no kv heads, tied") {
        llama_source *s = open_edited("!GGUF 4 4 2\n-llama.attention.head_count_kv\n-@output.weight\n"
                                      "llama.block_count u64 2\nllama.embedding_length i32 8\n"
                                      "llama.context_length u8 64\n"
                                      "llama.attention.layer_norm_rms_epsilon f64 0.25\nllama.rope.freq_base f32 500\n"
                                      "@blk.0.attn_k.weight 0 8 8\n@blk.0.attn_v.weight 0 8 8\n"
                                      "@blk.1.attn_k.weight 0 8 8\n@blk.1.attn_v.weight 0 8 8 1 1");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            CHECK(s->config.n_kv_heads == 4 && s->config.shared_classifier == 1 && s->config.norm_eps == 0.25f);
            CHECK(s->config.rope_theta == 500);
            CHECK_TEXT(s->config.format, "GGUF version 2");
            CHECK(value_at(s, TENSOR_CLASSIFIER, 0, 0, 0) == -1 && strstr(err.text, "output.weight is missing"));
            s->close(s);
        }
    }
    TEST("sizes per layer, head_dim of its own, alignment") {
        llama_source *s = open_edited("llama.attention.head_count_kv u32[] 1|1\nllama.attention.head_count i32[] 2|2\n"
                                      "llama.attention.key_length u32 4\nllama.attention.value_length u32 4\n"
                                      "llama.rope.dimension_count u32 4\ngeneral.alignment u32 64\n"
                                      "llama.expert_count u32 0\nllama.attention.causal bool 1");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            CHECK(s->config.n_heads == 2 && s->config.n_kv_heads == 1 && s->config.head_dim == 4);
            CHECK_NEAR(s->rope_frequencies[1], 0.01, 1e-9);
            s->close(s);
        }
    }
    TEST("rows are those of the file, however many at once") {
        enum { ROWS = 40000 }; /* more than the reader takes at once */
        bytes want = {0};
        llama_source *s = open_edited("tokenizer.ggml.model string none\n-@output.weight\n"
                                      "@token_embd.weight 0 8 40000");
        float all[96], one[8], *many = xmalloc(ROWS * sizeof one);
        put_weights(&want, 0, 8 * ROWS, 0);
        if (CHECK(s)) {
            CHECK(!s->rows(s, TENSOR_W1, 1, 0, 12, all, &err));
            for (int i = 0; i < 96; i++) CHECK(all[i] == (float)plain("F32", want.p + 4 * i, 0));
            CHECK(!s->rows(s, TENSOR_W1, 1, 11, 1, one, &err) && !memcmp(one, all + 88, sizeof one));
            CHECK(s->rows(s, TENSOR_W1, 1, 11, 2, all, &err));
            CHECK(strstr(err.text, "blk.1.ffn_gate.weight has no rows 11 + 2"));
            CHECK(s->rows(s, TENSOR_W1, 1, -1, 1, all, &err));
            CHECK(!s->rows(s, TENSOR_EMBEDDING, 0, 0, ROWS, many, &err));
            int differ = 0;
            for (int i = 0; i < 8 * ROWS; i++) differ += many[i] != (float)plain("F32", want.p + 4 * i, 0);
            CHECK(differ == 0);
            s->close(s);
        }
        free(many);
        free(want.p);
    }
}

static void test_rope(void) {
    static const struct {
        const char *edits;
        double divided; /* by what */
    } cases[] = {
        {"llama.rope.freq_base f32 10000", 1},
        {"llama.rope.scaling.type string linear\nllama.rope.scaling.factor f32 4", 4},
        {"llama.rope.scaling.factor f32 4\nllama.rope.scale_linear f32 3", 4},
        {"llama.rope.scale_linear f32 3", 3},
        {"llama.rope.scaling.type string none\nllama.rope.scaling.factor f32 4", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        TEST("rope scaling") {
            char edits[300];
            snprintf(edits, sizeof edits, "llama.attention.head_count u32 2\nllama.attention.head_count_kv u32 1\n%s",
                     cases[i].edits);
            llama_source *s = open_edited(edits);
            CHECK_TEXT(err.text, "");
            for (int k = 0; s && k < 2; k++)
                CHECK_NEAR(s->rope_frequencies[k], pow(10000, -2 * k / 4.0) / cases[i].divided, 1e-7);
            if (s) s->close(s);
        }
    TEST("rope_freqs.weight divides each pair") {
        bytes want = {0};
        put_weights(&want, 0, 1, 0);
        want.p[3] = 0x3F;
        llama_source *s = open_edited("@rope_freqs.weight 0 1\nllama.rope.scale_linear f32 3");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) CHECK_NEAR(s->rope_frequencies[0] * plain("F32", want.p, 0), 1 / 3.0, 1e-7);
        if (s) s->close(s);
        free(want.p);
    }
    TEST("rope_freqs.weight holds nothing to divide by") {
        bytes b = make_file("@rope_freqs.weight 0 1");
        memset(b.p + b.n - 64, 0, 4); /* the last tensor, and padding */
        CHECK(!open_bytes(&b) && strstr(err.text, "rope_freqs.weight: number 0 is 0, not positive and finite"));
        free(b.p);
    }
#define ONE_HEAD "llama.attention.head_count u32 1\nllama.attention.head_count_kv u32 1\n@blk.*.attn_k.weight 0 8 8\n"
#define YARN                                                                                                           \
    ONE_HEAD "@blk.*.attn_v.weight 0 8 8\nllama.rope.scaling.type string yarn\nllama.rope.scaling.factor f32 4\n"
    static const struct {
        const char *edits;
        double amplitude, divided[4];
    } yarn[] = {
        /* Pair log10(positions / 2 pi n) turns n times: 32 times pair -0.5, 1 time pair 1.01; of 6400 positions
         * pairs 1.5 and 3.01; 0.001 times pair 4.01. Bounds are whole numbers outside of these, at least 0. */
        {YARN, 1 + 0.1 * 1.3862943611, {1, 1 / 0.625, 4, 4}},
        {YARN "llama.rope.scaling.attn_factor f32 0.5", 0.5 + 0.05 * 1.3862943611, {1, 1 / 0.625, 4, 4}},
        {YARN "llama.rope.scaling.original_context_length u32 6400", 1 + 0.1 * 1.3862943611, {1, 1, 1 / 0.75, 1 / 0.5}},
        {YARN "llama.rope.scaling.yarn_beta_slow f32 0.001", 1 + 0.1 * 1.3862943611, {1, 1 / 0.85, 1 / 0.7, 1 / 0.55}},
    };
    for (size_t i = 0; i < sizeof yarn / sizeof *yarn; i++)
        TEST("YaRN") {
            llama_source *s = open_edited(yarn[i].edits);
            CHECK_TEXT(err.text, "");
            CHECK(s && s->rope_amplitudes);
            for (int k = 0; s && s->rope_amplitudes && k < 4; k++) {
                CHECK_NEAR(s->rope_frequencies[k], pow(10, -k) / yarn[i].divided[k], 1e-7);
                CHECK_NEAR(s->rope_amplitudes[k], yarn[i].amplitude, 1e-6);
            }
            if (s) s->close(s);
        }
}

/* ---------------------------------------------------------------------------------------------------
 * Architectures
 * ------------------------------------------------------------------------------------------------- */

/* Number i of every F32 tensor: all are made of the same random bytes. */
static float stored(size_t i) {
    static bytes b;
    if (!b.n) put_weights(&b, 0, 4096, 0);
    return (float)plain("F32", b.p + 4 * i, 0);
}

/* The same of rope_factors_short, or of rope_factors_long. */
static double factor(int is_long, int i) {
    unsigned char p[4];
    bytes b = {0};
    put_weights(&b, 0, (size_t)i + 1, (uint64_t)is_long);
    memcpy(p, b.p + 4 * i, 4);
    p[3] = 0x3F;
    free(b.p);
    return plain("F32", p, 0);
}

/* Whether a vector is, number by number, those of the file that order names. */
static int vector_is(llama_source *s, enum tensor tensor, const int *order, int n) {
    float out[64];
    if (s->rows(s, tensor, 1, 0, 1, out, &err)) return printf("  got    %s\n", err.text), 0;
    for (int i = 0; i < n; i++)
        if (out[i] != stored((size_t)order[i])) return 0;
    return 1;
}

/* The same of a matrix's rows; in two calls, the second of one row. */
static int matrix_is(llama_source *s, enum tensor tensor, const int *order, int rows) {
    float out[512];
    int real_rows, cols;
    tensor_shape(&s->config, tensor, 1, &real_rows, &cols);
    if (real_rows != rows || s->rows(s, tensor, 1, 0, rows - 1, out, &err) ||
        s->rows(s, tensor, 1, rows - 1, 1, out + (rows - 1) * cols, &err))
        return printf("  got    %s, %d rows\n", err.text, real_rows), 0;
    for (int i = 0; i < rows * cols; i++)
        if (out[i] != stored((size_t)(order[i / cols] * cols + i % cols))) return 0;
    return 1;
}

static const int in_order[64] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

/* Two heads of 4, kv heads one; halves of a head are interleaved. */
#define TWO_HEADS "llama.attention.head_count u32 2\nllama.attention.head_count_kv u32 1\n"
static const int turned[] = {0, 2, 1, 3, 4, 6, 5, 7};

#define BIASES "@blk.*.attn_q.bias 0 8\n@blk.*.attn_k.bias 0 4\n@blk.*.attn_v.bias 0 4\n"

static void test_biases(void) {
    TEST("Qwen 2: biases, and heads in halves") {
        llama_source *s = open_edited("general.architecture string qwen2\n" TWO_HEADS BIASES);
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            CHECK_TEXT(s->config.architecture, "qwen2");
            CHECK(s->config.extras == LLAMA_QKV_BIAS && !s->rope_amplitudes);
            CHECK(vector_is(s, TENSOR_Q_BIAS, turned, 8) && vector_is(s, TENSOR_K_BIAS, turned, 4));
            CHECK(vector_is(s, TENSOR_V_BIAS, in_order, 4));
            CHECK(matrix_is(s, TENSOR_WQ, turned, 8) && matrix_is(s, TENSOR_WK, turned, 4));
            CHECK(matrix_is(s, TENSOR_WV, in_order, 4) && matrix_is(s, TENSOR_WO, in_order, 8));
            s->close(s);
        }
    }
    TEST("Llama: biases if the file has them; heads as they are") {
        llama_source *s = open_edited(TWO_HEADS BIASES "@blk.*.attn_output.bias 0 8");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            CHECK_TEXT(s->config.architecture, "llama");
            CHECK(s->config.extras == (LLAMA_QKV_BIAS | LLAMA_O_BIAS));
            CHECK(vector_is(s, TENSOR_Q_BIAS, in_order, 8) && vector_is(s, TENSOR_O_BIAS, in_order, 8));
            CHECK(matrix_is(s, TENSOR_WQ, in_order, 8));
            s->close(s);
        }
    }
}

static void test_head_norms(void) {
    TEST("Qwen 3: norms of heads") {
        llama_source *s = open_edited("general.architecture string qwen3\n" TWO_HEADS
                                      "@blk.*.attn_q_norm.weight 0 4\n@blk.*.attn_k_norm.weight 0 4");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            CHECK(s->config.extras == LLAMA_HEAD_NORM);
            CHECK(vector_is(s, TENSOR_Q_NORM, turned, 4) && vector_is(s, TENSOR_K_NORM, turned, 4));
            CHECK(vector_is(s, TENSOR_ATTENTION_NORM, in_order, 8));
            s->close(s);
        }
    }
    TEST("OLMo 2: wide norms, norms behind and none before") {
        llama_source *s = open_edited("general.architecture string olmo2\n" TWO_HEADS
                                      "@blk.*.attn_q_norm.weight 0 8\n@blk.*.attn_k_norm.weight 0 4\n"
                                      "@blk.*.post_attention_norm.weight 0 8\n@blk.*.post_ffw_norm.weight 0 8\n"
                                      "-@blk.*.attn_norm.weight\n-@blk.*.ffn_norm.weight");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            CHECK(s->config.extras == (LLAMA_WIDE_NORM | LLAMA_POST_NORM | LLAMA_NO_PRE_NORM));
            CHECK(vector_is(s, TENSOR_Q_NORM, turned, 8) && vector_is(s, TENSOR_K_NORM, turned, 4));
            CHECK(vector_is(s, TENSOR_FFN_POST_NORM, in_order, 8));
            s->close(s);
        }
    }
}

#define PHI3                                                                                                           \
    "general.architecture string phi3\nllama.attention.head_count u32 1\nllama.attention.head_count_kv u32 1\n"        \
    "-@blk.*.attn_q.weight\n-@blk.*.attn_k.weight\n-@blk.*.attn_v.weight\n-@blk.*.ffn_gate.weight\n"                   \
    "@blk.*.attn_qkv.weight 0 8 24\n@blk.*.ffn_up.weight 0 8 24\n"

static void test_phi3(void) {
    TEST("Phi 3: fused tensors, part of a head, short and long factors, amplitude, window") {
        static const int q[] = {0, 2, 1, 3, 4, 5, 6, 7}, k[] = {8, 10, 9, 11, 12, 13, 14, 15};
        static const int other[] = {16, 17, 18, 19, 20, 21, 22, 23};
        static const int up[] = {12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23};
        llama_source *s = open_edited(PHI3 "llama.rope.dimension_count u32 4\n@rope_factors_long.weight 0 2\n"
                                           "@rope_factors_short.weight 0 2\nllama.rope.scaling.attn_factor f32 1.25\n"
                                           "llama.rope.scaling.original_context_length u32 16\n"
                                           "llama.attention.sliding_window u32 20");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            const llama_config *c = &s->config;
            CHECK(matrix_is(s, TENSOR_WQ, q, 8) && matrix_is(s, TENSOR_WK, k, 8) && matrix_is(s, TENSOR_WV, other, 8));
            CHECK(matrix_is(s, TENSOR_W1, in_order, 12) && matrix_is(s, TENSOR_W3, up, 12));
            CHECK(c->weight_bytes == 4 * (8 + 64 + 2 * (16 + 3 * 64 + 64 + 3 * 96)));
            CHECK(c->extras == LLAMA_ROPE_AMPLITUDES && c->n_ropes == 0 && c->rope_short == 16);
            CHECK(c->layers == s->kinds && c->layers[0].window == 20 && c->layers[1].window == 20);
            for (int i = 0; s->rope_amplitudes && i < 8; i++) {
                const int pair = i % 4;
                const double want = pair < 2 ? pow(10000, -2 * pair / 4.0) / factor(i / 4, pair) : 0;
                CHECK_NEAR(s->rope_frequencies[i], want, 1e-7);
                CHECK(s->rope_amplitudes[i] == (pair < 2 ? 1.25f : 1));
            }
            s->close(s);
        }
    }
}

static void test_longrope(void) {
    TEST("longrope: no key says what is long") {
        llama_source *s = open_edited("@rope_factors_long.weight 0 1\n@rope_factors_short.weight 0 1\n"
                                      "llama.rope.scaling.type string longrope\nllama.rope.scaling.factor f32 1");
        CHECK(s && s->config.rope_short == 64 && s->config.extras == 0 && !s->rope_amplitudes);
        if (s) CHECK_NEAR(s->rope_frequencies[1] * factor(1, 0), 1, 1e-6);
        if (s) s->close(s);
    }
}

static void test_experts(void) {
#define EXPERTS                                                                                                        \
    "llama.expert_count u32 3\nllama.expert_used_count u32 2\n-@blk.*.ffn_gate.weight\n-@blk.*.ffn_up.weight\n"        \
    "-@blk.*.ffn_down.weight\n@blk.*.ffn_gate_inp.weight 0 8 3\n"
#define OF_WIDTH_12                                                                                                    \
    "@blk.*.ffn_gate_exps.weight 0 8 12 3\n@blk.*.ffn_up_exps.weight 0 8 12 3\n@blk.*.ffn_down_exps.weight 0 12 8 3\n"
    TEST("Mixtral: a mixture in every layer") {
        float row[12];
        llama_source *s = open_edited(EXPERTS OF_WIDTH_12);
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            const llama_config *c = &s->config;
            CHECK(c->n_experts == 3 && c->n_experts_used == 2 && c->expert_dim == 12 && c->hidden_dim == 12);
            CHECK(c->extras == LLAMA_RENORMALISE && c->layers[0].experts && c->layers[1].experts);
            CHECK(c->weight_bytes == 4 * (8 + 64 + 2 * (16 + 64 + 32 + 32 + 64 + 24 + 2 * 3 * 96)));
            CHECK_TEXT(c->weight_type, "F32");
            CHECK(matrix_is(s, TENSOR_ROUTER, in_order, 3));
            CHECK(!s->rows(s, TENSOR_W1, 1, 2 * 12 + 3, 1, row, &err) && row[5] == stored((2 * 12 + 3) * 8 + 5));
            CHECK(!s->rows(s, TENSOR_W2, 1, 2 * 8 + 7, 1, row, &err) && row[11] == stored((2 * 8 + 7) * 12 + 11));
            CHECK(s->rows(s, TENSOR_W2, 1, 24, 1, row, &err));
            CHECK(strstr(err.text, "blk.1.ffn_down_exps.weight has no rows 24 + 1"));
            s->close(s);
        }
    }
    TEST("Qwen 3 MoE: experts of a width of their own; weights as the softmax has them") {
        llama_source *s = open_edited("general.architecture string qwen3moe\n" TWO_HEADS
                                      "@blk.*.attn_q_norm.weight 0 4\n@blk.*.attn_k_norm.weight 0 4\n" EXPERTS
                                      "llama.expert_feed_forward_length u32 4\nllama.expert_weights_norm bool 0\n"
                                      "llama.expert_gating_func u32 1\nllama.expert_weights_scale f32 1\n"
                                      "@blk.*.ffn_gate_exps.weight 0 8 4 3\n@blk.*.ffn_up_exps.weight 0 8 4 3\n"
                                      "@blk.*.ffn_down_exps.weight 0 4 8 3");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            CHECK(s->config.expert_dim == 4 && s->config.extras == LLAMA_HEAD_NORM);
            s->close(s);
        }
    }
}

#define GEMMA TWO_HEADS "@blk.*.post_attention_norm.weight 0 8\n@blk.*.post_ffw_norm.weight 0 8\n-@output.weight\n"
#define GEMMA2 "general.architecture string gemma2\n" GEMMA
#define GEMMA3                                                                                                         \
    "general.architecture string gemma3\n" GEMMA                                                                       \
    "@blk.*.attn_q_norm.weight 0 4\n@blk.*.attn_k_norm.weight 0 4\nllama.rope.freq_base f32 50000\n"

/* The layers that have a window, as bits; -1 if one has another, or another rotary table. */
static int windows(const llama_source *s, int window, int has_table) {
    int bits = 0;
    for (int l = 0; l < s->config.n_layers; l++) {
        const llama_layer_kind *k = &s->config.layers[l];
        if (k->window && k->window != window) return -1;
        if (k->rope != (has_table && k->window)) return -1;
        if (k->window) bits |= 1 << l;
    }
    return bits;
}

static void test_gemma(void) {
    layers = 7;
    TEST("Gemma 2: what no key says") {
        llama_source *s = open_edited(GEMMA2);
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            const llama_config *c = &s->config;
            CHECK(c->extras == (LLAMA_POST_NORM | LLAMA_GELU) && c->shared_classifier && c->n_ropes == 0);
            CHECK(c->score_cap == 50 && c->logit_cap == 30 && c->attention_scale == 0);
            CHECK_NEAR(c->embedding_scale, sqrt(8), 1e-6);
            CHECK(windows(s, 4096, 0) == 0x55);
            CHECK(matrix_is(s, TENSOR_WQ, turned, 8));
            s->close(s);
        }
    }
    TEST("Gemma 2: keys") {
        llama_source *s = open_edited(GEMMA2 "llama.attn_logit_softcapping f32 5\nllama.final_logit_softcapping f32 0\n"
                                             "llama.attention.sliding_window u32 9\n"
                                             "llama.attention.sliding_window_pattern u32 3");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            CHECK(s->config.score_cap == 5 && s->config.logit_cap == 0 && windows(s, 9, 0) == 0x5B);
            s->close(s);
        }
    }
    TEST("Gemma 3: two rotations, the scaled one for layers without a window") {
        llama_source *s = open_edited(GEMMA3 "llama.attention.sliding_window u32 12\n"
                                             "llama.rope.scaling.type string linear\nllama.rope.scaling.factor f32 8");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            const llama_config *c = &s->config;
            CHECK(c->extras == (LLAMA_POST_NORM | LLAMA_GELU | LLAMA_HEAD_NORM) && c->n_ropes == 2);
            CHECK(c->score_cap == 0 && c->logit_cap == 0 && windows(s, 12, 1) == 0x5F);
            CHECK_NEAR(s->rope_frequencies[0], 1 / 8.0, 1e-8);
            CHECK_NEAR(s->rope_frequencies[1], pow(50000, -0.5) / 8, 1e-8);
            CHECK_NEAR(s->rope_frequencies[2], 1, 1e-8);
            CHECK_NEAR(s->rope_frequencies[3], 0.01, 1e-8);
            s->close(s);
        }
    }
    static const struct {
        const char *edits;
        int windows;
        double second; /* frequency of the second table; 0: there is one table */
    } cases[] = {
        {"", 0, 0}, /* no window */
        {"llama.attention.sliding_window u32 0", 0, 0},
        {"llama.attention.sliding_window u32 12\nllama.attention.sliding_window_pattern u32 1", 0, 0},
        {"llama.attention.sliding_window u32 12\nllama.attention.sliding_window_pattern u32 0", 0x7F, 0.01},
        {"llama.attention.sliding_window u32 12\nllama.attention.sliding_window_pattern bool[] 1|0|0|1|1|0|1", 0x59,
         0.01},
        {"llama.attention.sliding_window u32 12\nllama.attention.sliding_window_pattern i32[] 0|0|0|0|0|0|1", 0x40,
         0.01},
        {"llama.attention.sliding_window u32 12\nllama.rope.freq_base_swa f32 400", 0x5F, 0.05},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        TEST("Gemma 3: windows") {
            char edits[1000];
            snprintf(edits, sizeof edits, GEMMA3 "%s", cases[i].edits);
            llama_source *s = open_edited(edits);
            CHECK_TEXT(err.text, "");
            if (!CHECK(s)) continue;
            CHECK(windows(s, 12, 1) == cases[i].windows && s->config.n_ropes == (cases[i].second > 0 ? 2 : 0));
            if (cases[i].second > 0) CHECK_NEAR(s->rope_frequencies[3], cases[i].second, 1e-8);
            s->close(s);
        }
    static const struct {
        const char *edits;
        int layers, dim_per_head; /* 0: q . k is divided by sqrt(head_dim), as usual */
    } sizes[] = {{GEMMA2 "llama.attention.key_length u32 8\n@blk.*.attn_q.weight 0 8 16\n@blk.*.attn_k.weight 0 8 8\n"
                         "@blk.*.attn_v.weight 0 8 8\n@blk.*.attn_output.weight 0 16 8",
                  46, 4},
                 {GEMMA3, 62, 4},
                 {GEMMA3, 46, 0},
                 {GEMMA2, 62, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        TEST("the largest Gemma divides scores by another root") {
            layers = sizes[i].layers;
            llama_source *s = open_edited(sizes[i].edits);
            CHECK_TEXT(err.text, "");
            const int d = sizes[i].dim_per_head;
            if (s) CHECK_NEAR(s->config.attention_scale, d ? 1 / sqrt(d) : 0, 1e-7);
            if (s) s->close(s);
        }
    layers = 2;
}

static void test_scales(void) {
    TEST("Granite: scales move to where they cost nothing") {
        llama_source *s = open_edited("general.architecture string granite\n" TWO_HEADS
                                      "llama.embedding_scale f32 12\nllama.residual_scale f32 0.25\n"
                                      "llama.logit_scale f32 8\nllama.attention.scale f32 0.125");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            const llama_config *c = &s->config;
            CHECK(c->embedding_scale == 48 && c->attention_scale == 0.125f);
            CHECK_NEAR(c->norm_eps, 0.016, 1e-8);
            CHECK(value_at(s, TENSOR_FINAL_NORM, 0, 0, 3) == stored(3) / 8);
            CHECK(value_at(s, TENSOR_ATTENTION_NORM, 1, 0, 3) == stored(3));
            CHECK(matrix_is(s, TENSOR_WQ, in_order, 8));
            s->close(s);
        }
    }
    TEST("Granite without scales is a Llama") {
        llama_source *s = open_edited("general.architecture string granite");
        CHECK(s && s->config.embedding_scale == 1 && s->config.norm_eps == 0.001f && s->config.attention_scale == 0);
        CHECK(s && value_at(s, TENSOR_FINAL_NORM, 0, 0, 3) == stored(3));
        if (s) s->close(s);
    }
    TEST("MiniCPM: scales of older files") {
        llama_source *s = open_edited("general.architecture string minicpm");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            CHECK_NEAR(s->config.embedding_scale, 12 * sqrt(2) / 1.4, 1e-5);
            CHECK_NEAR(s->config.norm_eps, 0.001 * 2 / (1.4 * 1.4), 1e-9);
            CHECK_NEAR(value_at(s, TENSOR_FINAL_NORM, 0, 0, 3), (double)stored(3) * 256 / 8, 1e-4);
            s->close(s);
        }
    }
    TEST("MiniCPM: scales by keys") {
        llama_source *s = open_edited("general.architecture string minicpm\nllama.embedding_scale f32 6\n"
                                      "llama.residual_scale f32 0.5\nllama.logit_scale f32 4");
        CHECK(s && s->config.embedding_scale == 12 && value_at(s, TENSOR_FINAL_NORM, 0, 0, 3) == stored(3) / 4);
        if (s) s->close(s);
    }
}

static void test_layers(void) {
    layers = 9;
    TEST("SmolLM 3: every fourth layer does not rotate") {
        llama_source *s = open_edited("general.architecture string smollm3\n" TWO_HEADS
                                      "llama.rope.scaling.type string yarn\nllama.rope.scaling.factor f32 4");
        CHECK_TEXT(err.text, "");
        if (CHECK(s)) {
            CHECK(s->config.n_ropes == 2 && s->config.extras == LLAMA_ROPE_AMPLITUDES);
            for (int l = 0; l < 9; l++) CHECK(s->config.layers[l].rope == (l == 3 || l == 7));
            CHECK(s->rope_frequencies[0] == 1 && s->rope_frequencies[2] == 0 && s->rope_frequencies[3] == 0);
            CHECK(s->rope_amplitudes && s->rope_amplitudes[0] > 1 && s->rope_amplitudes[2] == 1 &&
                  s->rope_amplitudes[3] == 1);
            s->close(s);
        }
    }
    layers = 2;
    TEST("Mistral: a window in every layer") {
        llama_source *s = open_edited("llama.attention.sliding_window u32 7");
        CHECK(s && windows(s, 7, 0) == 3 && s->config.extras == 0 && s->config.n_ropes == 0);
        if (s) s->close(s);
    }
    TEST("InternLM 2") {
        llama_source *s = open_edited("general.architecture string internlm2");
        CHECK(s && s->config.extras == 0 && matrix_is(s, TENSOR_WQ, in_order, 8));
        if (s) s->close(s);
    }
}

/* --- Tokenizers --- */

static tokenizer *load_tokenizer(const llama_source *s) {
    tokenizer_error why = {0, ""};
    tokenizer *t = s && s->tokenizer
                       ? tokenizer_load_memory(s->tokenizer, s->tokenizer_size, s->config.vocab_size, NULL, &why)
                       : NULL;
    CHECK_TEXT(why.text, "");
    return t;
}

/* The ids of a text, as text. */
static const char *ids_of(const tokenizer *t, const char *text) {
    static char out[100];
    int ids[16], n = 0;
    const ptrdiff_t count = t ? tokenizer_encode(t, text, strlen(text), TOKENIZER_BOS, ids, 16, NULL) : 0;
    *out = 0;
    for (ptrdiff_t i = 0; i < count; i++) n += snprintf(out + n, sizeof out - (size_t)n, "%s%d", i ? " " : "", ids[i]);
    return out;
}

static void test_sentencepiece(void) {
    static const struct {
        const char *edits, *text, *ids;
        int end;
    } cases[] = {
        {"", "ab ba", "1 6 5 6 4 3", 2}, /* ab has the best score */
        {"tokenizer.ggml.add_space_prefix bool 0", "ab", "1 5", 2},
        {"tokenizer.ggml.remove_extra_whitespaces bool 1", " a  b ", "1 6 3 6 4", 2},
        {"tokenizer.ggml.add_bos_token bool 0", "c", "6 7", 2},
        {"tokenizer.ggml.bos_token_id u32 4294967295", "c", "6 7", 2},
        {"tokenizer.ggml.bos_token_id u32 2\ntokenizer.ggml.eos_token_id u32 1", "c", "2 6 7", 1},
        {"tokenizer.ggml.eot_token_id u32 7", "c", "1 6 7", 7},
        {"tokenizer.ggml.tokens string[] <unk>|<s>|<\1im_end\1>|a|b|ab|\xE2\x96\x81|c\n"
         "tokenizer.ggml.eos_token_id u32 4294967295",
         "c", "1 6 7", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        TEST("vocabulary with scores") {
            llama_source *s = open_edited(cases[i].edits);
            CHECK_TEXT(err.text, "");
            tokenizer *t = load_tokenizer(s);
            CHECK_TEXT(ids_of(t, cases[i].text), cases[i].ids);
            CHECK(t && tokenizer_is_end(t, cases[i].end) && !tokenizer_is_end(t, 3));
            tokenizer_free(t);
            if (s) s->close(s);
        }
    TEST("no vocabulary") {
        llama_source *s = open_edited("tokenizer.ggml.model string none");
        CHECK(s && !s->tokenizer && s->config.vocab_size == 8);
        if (s) s->close(s);
    }
}

/* Edits for one with scores and bytes, which are of the type given: <unk>, <s>, </s>, the bytes, "_", "a", a mark. */
static const char *with_bytes(int type, int type_of_mark, const char *more) {
    static char out[8000];
    size_t n = (size_t)sprintf(out,
                               "@token_embd.weight 0 8 262\n@output.weight 0 8 262\n%stokenizer.ggml.tokens string[] "
                               "<unk>|<s>|</s>",
                               more);
    for (int i = 0; i < 256; i++) n += (size_t)sprintf(out + n, "|<0x%02X>", (unsigned)i);
    n += (size_t)sprintf(out + n, "|\xE2\x96\x81|a|<tool>\ntokenizer.ggml.token_type i32[] 2|3|3");
    for (int i = 0; i < 256; i++) n += (size_t)sprintf(out + n, "|%d", type);
    n += (size_t)sprintf(out + n, "|1|1|%d\ntokenizer.ggml.scores f32[] 0", type_of_mark);
    for (int i = 1; i < 262; i++) n += (size_t)sprintf(out + n, "|%d", -i);
    sprintf(out + n, "\n");
    return out;
}

static void test_bytes_and_marks(void) {
    TEST("pieces with names of bytes are bytes, if they are called normal too") {
        for (int type = 1; type <= 6; type += 5) {
            llama_source *s = open_edited(with_bytes(type, 1, ""));
            CHECK_TEXT(err.text, "");
            tokenizer *t = load_tokenizer(s);
            CHECK_TEXT(t ? ids_of(t, "a\n") : "", "1 259 260 13");
            size_t size = 0;
            const char *p = t ? tokenizer_decode(t, 1, 13, &size) : "";
            CHECK(size == 1 && *p == '\n');
            tokenizer_free(t);
            if (s) s->close(s);
        }
    }
    TEST("a text is cut at user-defined pieces, but not at those of a template") {
        static const char *const more[] = {"", "tokenizer.chat_template string {{ '<tool>' }}\n",
                                           "tokenizer.chat_template.tools string {{ 'a<tool>' }}\n"};
        for (int i = 0; i < 3; i++) {
            llama_source *s = open_edited(with_bytes(6, 4, more[i]));
            CHECK_TEXT(err.text, "");
            tokenizer *t = load_tokenizer(s);
            CHECK_TEXT(t ? ids_of(t, "a<tool>a") : "",
                       i ? "1 259 260 63 119 114 114 111 65 260" : "1 259 260 261 259 260");
            tokenizer_free(t);
            if (s) s->close(s);
        }
    }
}

/* Edits for a byte-level vocabulary: 256 bytes in the alphabet of such files, two merges, three special tokens, a word
 * that no merges make, and five merges by which the patterns can be told. */
static const char *byte_level(const char *more) {
    static char out[4000];
    size_t n = (size_t)sprintf(out, "@token_embd.weight 0 8 267\n@output.weight 0 8 267\n-tokenizer.ggml.scores\n"
                                    "tokenizer.ggml.model string gpt2\ntokenizer.ggml.pre string llama-bpe\n"
                                    "tokenizer.ggml.bos_token_id u32 258\ntokenizer.ggml.eos_token_id u32 260\n"
                                    "tokenizer.ggml.merges string[] a b|\xC4\xA0 ab|1 2|3 4|e \xC3\x8C|a B|! \xC4\x8A\n"
                                    "tokenizer.ggml.token_type i32[] ");
    for (int i = 0; i < 267; i++) n += (size_t)sprintf(out + n, "%s%d", i ? "|" : "", i < 258 || i >= 261 ? 1 : 3);
    n += (size_t)sprintf(out + n, "\ntokenizer.ggml.tokens string[] ");
    for (int i = 0, hidden = 256; i < 256; i++) {
        const int shown = (i > 32 && i < 127) || (i > 160 && i != 173), c = shown ? i : hidden++;
        if (i == '|') n += (size_t)sprintf(out + n, "|\1");
        else if (c < 128) n += (size_t)sprintf(out + n, "%s%c", i ? "|" : "", c);
        else n += (size_t)sprintf(out + n, "%s%c%c", i ? "|" : "", 0xC0 | c >> 6, 0x80 | (c & 63));
    }
    sprintf(out + n,
            "|ab|\xC4\xA0"
            "ab|<\1begin_of_text\1>|<\1eot_id\1>|<\1end_of_text\1>|word|12|34|e\xC3\x8C|aB|!\xC4\x8A\n%s",
            more);
    return out;
}

static void test_byte_level(void) {
    TEST("byte-level vocabulary") {
        llama_source *s = open_edited(byte_level(""));
        CHECK_TEXT(err.text, "");
        tokenizer *t = load_tokenizer(s);
        CHECK_TEXT(ids_of(t, "ab ab"), "258 256 257");
        CHECK_TEXT(ids_of(t, "word"), "258 261");
        CHECK_TEXT(ids_of(t, "b|\n\xC3\xA4"), "258 98 124 10 195 164");
        CHECK_TEXT(ids_of(t, "<|eot_id|>"), "258 60 124 101 111 116 95 105 100 124 62");
        CHECK(t && tokenizer_is_end(t, 260) && tokenizer_is_end(t, 259) && !tokenizer_is_end(t, 258));
        CHECK(t && tokenizer_template(t) == 0);
        tokenizer_free(t);
        if (s) s->close(s);
    }
    TEST("what ends a text without a key, by its name") {
        llama_source *s = open_edited(byte_level("tokenizer.ggml.eos_token_id u32 259"));
        tokenizer *t = load_tokenizer(s);
        CHECK(t && tokenizer_is_end(t, 259) && tokenizer_is_end(t, 260));
        tokenizer_free(t);
        if (s) s->close(s);
    }
    static const struct {
        const char *pres, *ids; /* names; of 1234, e and an accent of its own, aB! and a newline */
        int is_llama3;          /* texts begin with bos, and a word that is a piece is taken whole */
    } splits[] = {
        {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
         "258 262 51 52 101 204 129 265 266", 1},
        {"dbrx smaug-bpe glm4 chatglm-bpe", "262 51 52 101 204 129 265 266", 0},
        {"gpt-2 phi-2 olmo mpt exaone4 jais gigachat a.x-4.0 mellum trillion granite-docling modern-bert jina-es "
         "jina-de jina-v2-es jina-v2-de",
         "262 263 101 204 129 265 33 10", 0},
        {"starcoder refact smollm codeshell exaone minerva-7b mellum2 command-r", "49 50 51 52 101 204 129 265 33 10",
         0},
        {"qwen2 deepseek-r1-qwen f2llmv2 megrez stablelm2 kormo hunyuan solar-open grok-2 bailingmoe bailingmoe2 "
         "llada-moe",
         "49 50 51 52 101 204 129 265 266", 0},
        {"qwen35", "49 50 51 52 264 129 265 266", 0},
        {"gpt-4o llama4 kanana2 talkie minimax-m2", "262 51 52 264 129 97 66 266", 0},
        {"tekken", "258 49 50 51 52 264 129 97 66 266", 1},
        {"deepseek-v3 hunyuan-dense hy_v4 joyai-llm", "262 51 52 264 129 265 266", 0}};
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
        for (const char *pre = splits[i].pres, *next; *pre; pre = next + (*next == ' ')) {
            char edit[60];
            next = pre + strcspn(pre, " ");
            sprintf(edit, "tokenizer.ggml.pre string %.*s", (int)(next - pre), pre);
            TEST(edit) {
                llama_source *s = open_edited(byte_level(edit));
                tokenizer *t = load_tokenizer(s);
                CHECK_TEXT(ids_of(t, "1234e\xCC\x81"
                                     "aB!\n"),
                           splits[i].ids);
                CHECK_TEXT(ids_of(t, "word"), splits[i].is_llama3 ? "258 261" : "119 111 114 100");
                const int is_nfc = strstr("qwen2 qwen35 f2llmv2 megrez command-r", edit + 26) != NULL;
                CHECK(s && is_nfc == (strstr(s->note, "NFC") != NULL));
                tokenizer_free(t);
                if (s) s->close(s);
            }
        }
    static const struct {
        const char *edits, *message;
    } bad[] = {
        {"-tokenizer.ggml.merges", "tokenizer.ggml.merges is missing"},
        {"tokenizer.ggml.merges u32[] 1", "tokenizer.ggml.merges is an array of u32, not an array of string"},
        {"tokenizer.ggml.merges string[] a b|ab", "tokenizer.ggml.merges[1] \"ab\" has no space"},
        {"tokenizer.ggml.merges string[] a b|ab ac", "tokenizer.ggml.merges[1]: its right is no token"},
        {"tokenizer.ggml.merges string[] \xE2\x82\xAC b", "tokenizer.ggml.merges[0]: its left is no token"},
        {"tokenizer.ggml.merges string[] a b|a c", "tokenizer.ggml: "},
        {"tokenizer.ggml.pre string seed-coder", "tokenizer.ggml.pre is \"seed-coder\", which is not known"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        TEST(bad[i].edits) {
            const char *message = refusal(byte_level(bad[i].edits));
            if (!CHECK(strstr(message, bad[i].message))) printf("  got    %s\n", message);
        }
}

static void test_templates(void) {
    static const struct {
        const char *jinja, *name;
    } cases[] = {{TEMPLATE_LLAMA2, "llama2"},
                 {TEMPLATE_LLAMA3, "llama3"},
                 {TEMPLATE_CHATML, "own"}, /* it puts no bos */
                 {"{{ bos_token }}" TEMPLATE_CHATML, "chatml"},
                 {"{{ bos_token }}" TEMPLATE_ZEPHYR, "zephyr"},
                 {TEMPLATE_MISTRAL, "own"},
                 /* it trims answers */ {"{{ '<|im_start|>USER: ' }}", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        TEST("chat template") {
            char edits[1000];
            snprintf(edits, sizeof edits, "tokenizer.chat_template string %s", cases[i].jinja);
            llama_source *s = open_edited(edits);
            tokenizer *t = load_tokenizer(s);
            const char *name = t ? tokenizer_template_name(tokenizer_template(t)) : NULL;
            if (t && tokenizer_template(t) == TOKENIZER_OWN) name = "own";
            CHECK_TEXT(name ? name : "", cases[i].name);
            if (s) CHECK(!*s->template_error.text == (*cases[i].name != 0));
            tokenizer_free(t);
            if (s) s->close(s);
        }
}

/* ---------------------------------------------------------------------------------------------------
 * What is refused
 * ------------------------------------------------------------------------------------------------- */

static const struct {
    const char *edits, *message;
} refused[] = {
    /* header */
    {"!GGUF 0 1 103", "does not begin with GGUF"},
    {"!GGUF 4 4 1", "version is 1, not 2 or 3"},
    {"!GGUF 4 4 50331648", "version is 50331648, not 2 or 3: a big-endian file"},
    {"!GGUF 8 8 1152921504606846976", "number of tensors is 1152921504606846976, but the file has room for"},
    {"!GGUF 8 8 19", "number of tensors is 19, but llama.block_count 2 needs 20"},
    {"!GGUF 16 8 1152921504606846976", "number of metadata is 1152921504606846976, more than 4096"},
    {"!GGUF 16 8 4097", "number of metadata is 4097, more than 4096"},
    /* strings, types and arrays */
    {"!general.architecture -8 8 1152921504606846976", "metadata 0: 1152921504606846976 bytes at byte 32, but"},
    {"!general.architecture -8 8 18446744073709551615", "metadata 0: 18446744073709551615 bytes at byte 32, but"},
    {"!general.architecture -8 8 1025", "metadata 0: a key of 1025 bytes, more than 1024"},
    {"!general.architecture 20 4 13", "general.architecture: unknown value type 13"},
    {"!general.architecture 24 8 1152921504606846976", "general.architecture: 1152921504606846976 bytes at byte 64"},
    {"x u32[1152921504606846976] 1", "x: 1152921504606846976 elements at byte"},
    {"x u64[2305843009213693952] 1", "x: 2305843009213693952 elements at byte"},
    {"x string[2305843009213693952] a", "x: 2305843009213693952 elements at byte"},
    {"x string[100] a", "x: "},
    {"x array[1] ", "x: an array of arrays"},
    {"+llama.block_count u32 2", "llama.block_count: the key is there twice"},
    /* alignment */
    {"general.alignment u32 0", "general.alignment is 0, not 8..1048576"},
    {"general.alignment u32 24", "general.alignment is 24, no power of two"},
    {"general.alignment u32 2147483648", "general.alignment is 2147483648, not 8..1048576"},
    {"general.alignment i32 -32", "general.alignment is -32, not 8..1048576"},
    {"general.alignment string 32", "general.alignment is a value of type string, not an integer"},
    {"general.alignment f32 32", "general.alignment is a value of type f32, not an integer"},
    {"general.alignment u32[] 32", "general.alignment is an array of u32, not an integer"},
    /* required metadata, and its types and values */
    {"-general.architecture", "general.architecture is missing"},
    {"general.architecture string falcon", "general.architecture is \"falcon\", none of llama, qwen2, "},
    {"general.architecture u32 5", "general.architecture is a value of type u32, not a string"},
    {"-llama.block_count", "llama.block_count is missing"},
    {"llama.block_count u32 0", "llama.block_count is 0, not 1..16777216"},
    {"llama.block_count u32 16777216", "number of tensors is 21, but llama.block_count 16777216 needs 150994946"},
    {"llama.block_count u32[] 2", "llama.block_count is an array of u32, not an integer"},
    {"-llama.embedding_length", "llama.embedding_length is missing"},
    {"llama.embedding_length u64 18446744073709551615", "llama.embedding_length is 18446744073709551616, not 1.."},
    {"-llama.context_length", "llama.context_length is missing"},
    {"llama.context_length i64 -1", "llama.context_length is -1, not 1.."},
    {"-llama.feed_forward_length", "llama.feed_forward_length is missing"},
    {"llama.feed_forward_length u32[] 12|14", "llama.feed_forward_length is 12 in layer 0, 14 in layer 1"},
    {"llama.feed_forward_length u32[] 12", "llama.feed_forward_length has 1 elements for 2 layers"},
    {"llama.feed_forward_length f32[] 12|12", "llama.feed_forward_length is an array of f32, not integers"},
    {"-llama.attention.head_count", "llama.attention.head_count is missing"},
    {"llama.attention.head_count u32 0", "llama.attention.head_count is 0, not 1.."},
    {"llama.attention.head_count u32[] 0|0", "llama.attention.head_count is 0, not 1.."},
    {"llama.attention.head_count u32 3", "llama.attention.head_count 3 is no multiple of head_count_kv 2"},
    {"llama.attention.head_count u32 6", "llama.embedding_length 8 is no multiple of head_count 6, and there is no"},
    {"llama.attention.head_count_kv u32[] 2|1", "llama.attention.head_count_kv is 2 in layer 0, 1 in layer 1"},
    {"llama.attention.key_length u32 100000000", "head_count 4 is too much for heads of 100000000"},
    {"llama.attention.head_count u32 8", "llama.attention.key_length is 1, an odd number"},
    {"llama.attention.key_length u32 3", "llama.attention.key_length is 3, an odd number"},
    {"llama.attention.value_length u32 4", "llama.attention.value_length is 4, but heads have 2"},
    {"llama.rope.dimension_count u32 4", "llama.rope.dimension_count is 4, not an even number up to 2"},
    {"-llama.attention.layer_norm_rms_epsilon", "llama.attention.layer_norm_rms_epsilon is missing"},
    {"llama.attention.layer_norm_rms_epsilon f32 nan", "llama.attention.layer_norm_rms_epsilon is "},
    {"llama.attention.layer_norm_rms_epsilon f64 1e300", "llama.attention.layer_norm_rms_epsilon is inf, not positive"},
    {"llama.attention.layer_norm_rms_epsilon u32 1", "layer_norm_rms_epsilon is a value of type u32, not a float"},
    {"llama.rope.freq_base f32 -1", "llama.rope.freq_base is -1, not positive and finite"},
    {"llama.rope.scaling.type string yarn", "llama.rope.scaling.factor is missing"},
    {"llama.rope.scaling.type string longrope", "rope_factors_long.weight is missing"},
    {"llama.rope.scaling.type string ntk", "llama.rope.scaling.type is \"ntk\", not none, linear, yarn or longrope"},
    {"llama.rope.freq_base f32 1e-40\nllama.attention.head_count u32 2\nllama.attention.head_count_kv u32 1\n"
     "llama.rope.scale_linear f32 1e-30",
     "rotary frequency 1 is inf: base 9.99995e-41, factor 1e-30"},
    {"llama.rope.scaling.factor f32 0", "llama.rope.scaling.factor is 0, not positive and finite"},
    /* models of another kind */
    {"llama.attention.causal bool 0", "llama.attention.causal is 0, which is not supported"},
    {"llama.logit_scale f32 0.5", "llama.logit_scale is 0.5, which is not supported"},
    {"llama.logit_scale string x", "llama.logit_scale is a value of type string, not a number"},
    {"split.count u16 3", "split.count is 3, which is not supported"},
    {"@blk.0.attn_q_norm.weight 0 2", "blk.0.attn_q_norm.weight is none of architecture llama with 2 layers"},
    {"@blk.1.ffn_gate_inp.weight 0 8 4", "blk.1.ffn_gate_inp.weight is none of architecture llama"},
    {"@blk.2.ffn_up.weight 0 8 12", "blk.2.ffn_up.weight, is none of architecture llama"},
    {"@blk.01.ffn_up.weight 0 8 12", "blk.01.ffn_up.weight, is none of architecture llama"},
    {"@blk..ffn_up.weight 0 8 12", "blk..ffn_up.weight, is none of architecture llama"},
    {"@blk.1.output.weight 0 8 12", "blk.1.output.weight, is none of architecture llama"},
    {"@blk.99999999999.ffn_up.weight 0 8 12", "blk.99999999999.ffn_up.weight, is none of architecture llama"},
    {"@attn_q.weight 0 8 12", "attn_q.weight, is none of architecture llama"},
    /* what another architecture has */
    {"general.architecture string qwen2", "number of tensors is 21, but qwen2.block_count 2 needs 26"},
    {"general.architecture string phi3", "blk.0.attn_q.weight is none of architecture phi3"},
    {"@blk.0.attn_q.bias 0 8", "blk.0.attn_k.bias is missing"},
    {"@blk.1.attn_q.bias 0 8", "blk.1.attn_q.bias is none of architecture llama with 2 layers"},
    {"@blk.1.attn_output.bias 0 8", "blk.1.attn_output.bias is none of architecture llama with 2 layers"},
    {"general.architecture string internlm2\n@blk.*.attn_output.bias 0 8",
     "blk.0.attn_output.bias is none of architecture internlm2"},
    {"@blk.0.post_ffw_norm.weight 0 8", "blk.0.post_ffw_norm.weight is none of architecture llama"},
    {"@blk.0.attn_qkv.weight 0 8 16", "blk.0.attn_qkv.weight is none of architecture llama"},
    {PHI3 "@blk.1.attn_qkv.weight 0 8 25", "blk.1.attn_qkv.weight is 25 rows of 8, not 24 of 8"},
    {PHI3 "@blk.1.ffn_up.weight 0 8 12", "blk.1.ffn_up.weight is 12 rows of 8, not 24 of 8"},
    {PHI3 "@blk.1.attn_q.weight 0 8 8", "blk.1.attn_q.weight is none of architecture phi3"},
    {PHI3 "-@blk.1.attn_qkv.weight", "blk.1.attn_qkv.weight is missing"},
    {"@blk.0.attn_norm.bias 0 8", "tensor 21, blk.0.attn_norm.bias, is none of architecture llama"},
    {"llama.attention.scale f32 0.5", "llama.attention.scale is 0.5, which is not supported"},
    {"llama.embedding_scale f32 12", "llama.embedding_scale is 12, which is not supported"},
    {"llama.attn_logit_softcapping f32 50", "llama.attn_logit_softcapping is 50, which is not supported"},
    {"llama.attention.sliding_window_pattern u32 2", "llama.attention.sliding_window_pattern is 2, which is not"},
    {"llama.attention.temperature_scale f32 0.1", "llama.attention.temperature_scale is 0.1, which is not supported"},
    {"llama.expert_shared_count u32 1", "llama.expert_shared_count is 1, which is not supported"},
    {"llama.rope.dimension_sections i32[] 1|1", "llama.rope.dimension_sections is an array of i32, not a number"},
    {"llama.rope.freq_base_swa f32 100", "llama.rope.freq_base_swa is 100, which is not supported"},
    {"llama.rope.scaling.yarn_ext_factor f32 0.5", "llama.rope.scaling.yarn_ext_factor is 0.5, which is not supported"},
    {"general.architecture string internlm2\nllama.expert_count u32 4", "internlm2.expert_count is 4, which is not"},
    {"general.architecture string internlm2\nllama.attention.sliding_window u32 4",
     "internlm2.attention.sliding_window is 4, which is not supported"},
    {"general.architecture string granite\nllama.rope.scaling.finetuned bool 0",
     "granite.rope.scaling.finetuned is 0, which is not supported"},
    {"general.architecture string internlm2\n@rope_freqs.weight 0 1",
     "rope_freqs.weight is none of architecture internlm2"},
    /* values of what is supported */
    {"llama.expert_count u32 4", "llama.expert_used_count is missing"},
    {"llama.expert_count u32 65536", "llama.expert_count is 65536, not 0..65535"},
    {"llama.expert_count u32 4\nllama.expert_used_count u32 5", "llama.expert_used_count is 5, not 1..4"},
    {"llama.expert_count u32 65535\nllama.expert_used_count u32 5\nllama.feed_forward_length u32 5000",
     "llama.expert_count 65535 is too much for experts of 5000 x 8"},
    {EXPERTS OF_WIDTH_12 "@blk.0.ffn_gate_exps.weight 0 8 12 4", "blk.0.ffn_gate_exps.weight is of 4 experts, not 3"},
    {EXPERTS OF_WIDTH_12 "@blk.0.ffn_gate_exps.weight 0 8 36",
     "blk.0.ffn_gate_exps.weight is 36 rows of 8, not 12 of 8"},
    {EXPERTS OF_WIDTH_12 "@blk.0.ffn_gate_inp.weight 0 8 4", "blk.0.ffn_gate_inp.weight is 4 rows of 8, not 3 of 8"},
    {EXPERTS OF_WIDTH_12 "@blk.0.ffn_gate.weight 0 8 12", "blk.0.ffn_gate.weight is none of architecture llama"},
    {EXPERTS OF_WIDTH_12 "@blk.0.ffn_gate_exps.weight 0 8 12 65536", "dimension 2 is 65536, not 1..65535"},
    {"@blk.0.ffn_gate.weight 0 8 12 3", "blk.0.ffn_gate.weight: dimension 2 is 3, not 1..1"},
    {"llama.rope.dimension_count u32 1", "llama.rope.dimension_count is 1, not an even number up to 2"},
    {"general.architecture string granite\nllama.residual_scale f32 0.01",
     "granite.residual_scale is 0.01, too small for layer_norm_rms_epsilon 0.001"},
    {"general.architecture string granite\nllama.residual_scale f32 0.1\nllama.embedding_scale f32 1e38",
     "granite.embedding_scale is too large for residual_scale 0.1"},
    {"general.architecture string granite\nllama.logit_scale f32 0",
     "granite.logit_scale is 0, not positive and finite"},
    {GEMMA2 "llama.attn_logit_softcapping f32 -1", "gemma2.attn_logit_softcapping is -1, not positive and finite"},
    {GEMMA2 "llama.attn_logit_softcapping u32 5", "gemma2.attn_logit_softcapping is a value of type u32, not a float"},
    {GEMMA2 "llama.attention.sliding_window_pattern f32[] 1|0", "is an array of f32, not integers or bools"},
    {GEMMA2 "llama.attention.sliding_window_pattern u32[] 1", "sliding_window_pattern has 1 elements for 2 layers"},
    {GEMMA2 "llama.attention.sliding_window_pattern i32 -1", "sliding_window_pattern is -1, not 0..268435456"},
    {GEMMA3 "-llama.rope.freq_base", "gemma3.rope.freq_base is missing"},
    {"@rope_factors_long.weight 0 1", "rope_factors_short.weight is missing"},
    {"@rope_factors_short.weight 0 1", "rope_factors_long.weight is missing"},
    {"@rope_factors_short.weight 0 1\n@rope_factors_long.weight 0 1\n@rope_freqs.weight 0 1",
     "rope_freqs.weight beside rope_factors_long.weight is not supported"},
    {"@rope_factors_short.weight 0 1\n@rope_factors_long.weight 0 1\nllama.rope.scaling.factor f32 4",
     "llama.rope.scaling.factor is 4 beside rope_factors_long.weight, which is not supported"},
    {"llama.rope.scaling.attn_factor f32 0", "llama.rope.scaling.attn_factor is 0, not positive and finite"},
    /* tensors; behind a name stand u32 dimensions, u64 each, u32 type, u64 offset */
    {"+@output_norm.weight 0 8", "output_norm.weight is there twice"},
    {"-@token_embd.weight", "token_embd.weight is missing"},
    {"-@blk.1.ffn_up.weight", "blk.1.ffn_up.weight is missing"},
    {"!token_embd.weight -8 8 65", "tensor 0: a name of 65 bytes, more than 64"},
    {"!token_embd.weight -8 8 1152921504606846976", "tensor 0: 1152921504606846976 bytes at byte"},
    {"!token_embd.weight 5 1 0", "tensor 0, token, is none of architecture llama"},
    {"!token_embd.weight 17 4 0", "token_embd.weight: 0 dimensions, not 1..4"},
    {"!token_embd.weight 17 4 5", "token_embd.weight: 5 dimensions, not 1..4"},
    {"!token_embd.weight 21 8 0", "token_embd.weight: dimension 0 is 0, not 1..2147483647"},
    {"!token_embd.weight 29 8 0", "token_embd.weight: dimension 1 is 0, not 1..2147483647"},
    {"!token_embd.weight 29 8 1152921504606846976", "token_embd.weight: dimension 1 is 1152921504606846976, not 1.."},
    {"!token_embd.weight 29 8 2147483647", "token_embd.weight: 68719476704 bytes at"},
    {"llama.embedding_length u32 268435456\nllama.attention.key_length u32 2\n!token_embd.weight 21 8 268435456\n"
     "!token_embd.weight 29 8 2147483647",
     "token_embd.weight: 2305843008139952128 bytes at"},
    {"!token_embd.weight 37 4 99", "token_embd.weight: unknown weight type 99"},
    {"!token_embd.weight 37 4 4", "token_embd.weight: unknown weight type 4"},
    {"!token_embd.weight 37 4 16", "token_embd.weight: weight type IQ2_XXS is not supported"},
    {"!token_embd.weight 37 4 2", "token_embd.weight: rows of 8 weights are no multiple of 32, Q4_0's block"},
    {"!output_norm.weight 34 8 33", "output_norm.weight: offset 33 is no multiple of the alignment 32"},
    {"!output_norm.weight 34 8 18446744073709551584", "output_norm.weight: 32 bytes at"},
    {"!output_norm.weight 34 8 1152921504606846976", "output_norm.weight: 32 bytes at"},
    {"!output_norm.weight 34 8 0", "overlap at byte"},
    {"!output_norm.weight 34 8 32", "token_embd.weight and output_norm.weight overlap at byte"},
    {"@output_norm.weight 0 9", "output_norm.weight is 1 rows of 9, not 1 of 8"},
    {"@output_norm.weight 0 8 2", "output_norm.weight is 2 rows of 8, not 1 of 8"},
    {"@blk.0.attn_k.weight 0 8 8", "blk.0.attn_k.weight is 8 rows of 8, not 4 of 8"},
    {"@blk.0.attn_k.weight 0 4 8", "blk.0.attn_k.weight is 8 rows of 4, not 4 of 8"},
    {"@blk.0.attn_k.weight 0 8 4 1 2", "blk.0.attn_k.weight: dimension 3 is 2, not 1..1"},
    {"@output.weight 0 8 9", "output.weight is 9 rows of 8, not 8 of 8"},
    {"@rope_freqs.weight 0 2", "rope_freqs.weight is 1 rows of 2, not 1 of 1"},
    {"@rope_freqs.weight 1 1", "rope_freqs.weight has weight type F16, not F32"},
    /* tokenizer */
    {"-tokenizer.ggml.model", "tokenizer.ggml.model is missing"},
    {"tokenizer.ggml.model string bert", "tokenizer.ggml.model is \"bert\", not llama or gpt2"},
    {"tokenizer.ggml.model string gpt2", "tokenizer.ggml.pre is missing"},
    {"tokenizer.ggml.model string gpt2\ntokenizer.ggml.pre string default",
     "tokenizer.ggml.pre is \"default\", which is not known"},
    {"tokenizer.ggml.model string gpt2\ntokenizer.ggml.pre string llama3", "tokenizer.ggml.tokens[6] has a character"},
    {"-tokenizer.ggml.tokens", "tokenizer.ggml.tokens is missing"},
    {"-tokenizer.ggml.scores", "tokenizer.ggml.scores is missing"},
    {"-tokenizer.ggml.token_type", "tokenizer.ggml.token_type is missing"},
    {"tokenizer.ggml.tokens string[] a|b", "tokenizer.ggml.tokens has 2 elements, not 8"},
    {"tokenizer.ggml.scores f32[] 1|2|3", "tokenizer.ggml.scores has 3 elements, not 8"},
    {"tokenizer.ggml.tokens u32[] 1|2", "tokenizer.ggml.tokens is an array of u32, not an array of string"},
    {"tokenizer.ggml.scores u32[] 0|0|0|0|0|0|0|0", "tokenizer.ggml.scores is an array of u32, not an array of f32"},
    {"tokenizer.ggml.token_type i32[] 2|3|3|1|1|1|1|7", "tokenizer.ggml.token_type[7] is 7, not 1..6"},
    {"tokenizer.ggml.token_type i32[] 2|3|3|1|1|1|-1|1", "tokenizer.ggml.token_type[6] is -1, not 1..6"},
    {"tokenizer.ggml.tokens string[] <unk>|<s>|</s>|a|a|ab|\xE2\x96\x81|c",
     "tokenizer.ggml: piece 4, \"a\", is also piece 3"},
    {"tokenizer.ggml.tokens string[] <unk>|<s>|</s>||b|ab|\xE2\x96\x81|c", "tokenizer.ggml: piece 3 is empty"},
    {"tokenizer.ggml.scores f32[] 0|0|0|nan|-3|-1|-4|-5", "tokenizer.ggml: piece 3: the score is not a number"},
    {"tokenizer.ggml.scores f32[] 0|0|0|-2|-3|inf|-4|-5", "tokenizer.ggml: piece 5: the score is not a number"},
    {"tokenizer.ggml.tokens string[] <unk>|<s>|</s>|a|b|ab|\xE2\x96\x81|<0x41>\n"
     "tokenizer.ggml.token_type i32[] 2|3|3|1|1|1|1|6",
     "tokenizer.ggml: 1 byte pieces of 256"},
    {"tokenizer.ggml.tokens string[] <unk>|<s>|</s>|a|b|ab|\xE2\x96\x81|<0x-1>\n"
     "tokenizer.ggml.token_type i32[] 2|3|3|1|1|1|1|6",
     "tokenizer.ggml: piece 7, \"<0x-1>\", names no byte"},
    {"tokenizer.ggml.eos_token_id u64 18446744073709551615",
     "tokenizer.ggml.eos_token_id is 18446744073709551616, not 0..7"},
    {"tokenizer.ggml.bos_token_id u32 8", "tokenizer.ggml.bos_token_id is 8, not 0..7"},
    {"tokenizer.ggml.eos_token_id i32 -1", "tokenizer.ggml.eos_token_id is -1, not 0..7"},
    {"tokenizer.ggml.add_bos_token u8 1", "tokenizer.ggml.add_bos_token is a value of type u8, not a bool"},
    {"tokenizer.ggml.add_space_prefix bool 2", "tokenizer.ggml.add_space_prefix is 2, not 0 or 1"},
    {"tokenizer.chat_template u32 2", "tokenizer.chat_template is a value of type u32, not a string"},
};

static void test_refused(void) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        TEST(refused[i].edits) {
            const char *message = refusal(refused[i].edits);
            if (!CHECK(strstr(message, refused[i].message))) printf("  got    %s\n", message);
        }
    TEST("no file, a directory") {
        CHECK(!source_open_gguf("tests/no such file", NULL, &err) &&
              strstr(err.text, "tests/no such file: cannot open"));
        CHECK(!source_open_gguf("tests", NULL, &err));
        CHECK(!source_open_gguf("tests/no such file", NULL, NULL));
    }
}

/* Opens, and reads all if that works. Returns 1 if it did. */
static int read_all(const bytes *b, float *out) {
    llama_source *s = open_bytes(b);
    if (!s) return 0;
    for (int layer = 0; layer < 2; layer++)
        for (int t = TENSOR_ATTENTION_NORM; t < TENSORS; t++) s->rows(s, (enum tensor)t, layer, 0, 1, out, &err);
    s->close(s);
    return 1;
}

static void test_damage(void) {
    bytes b = make_file("@rope_freqs.weight 0 1");
    float out[64];
    const size_t whole = b.n - 60, head = b.n - 6016; /* the last tensor has 4 bytes and padding */
    TEST("every truncation of the head, many of the data") {
        CHECK(read_all(&b, out));
        int opened = 0;
        for (b.n = 0; b.n < whole; b.n += b.n < head ? 1 : 59) opened += read_all(&b, out);
        CHECK(opened == 0);
        b.n = whole - 1;
        CHECK(!read_all(&b, out));
        b.n = whole;
        CHECK(read_all(&b, out));
    }
    free(b.p);
}

static void test_mutations(void) {
    static const char *const edits[] = {
        "@rope_freqs.weight 0 1",
        PHI3 "llama.rope.dimension_count u32 4\n@rope_factors_long.weight 0 2\n@rope_factors_short.weight 0 2",
        GEMMA3 "llama.attention.sliding_window u32 12\nllama.attention.sliding_window_pattern bool[] 1|0",
        EXPERTS OF_WIDTH_12 TWO_HEADS BIASES "llama.rope.scaling.type string yarn\nllama.rope.scaling.factor f32 2",
    };
    for (size_t e = 0; e < sizeof edits / sizeof *edits; e++)
        TEST("mutations") {
            bytes b = make_file(edits[e]);
            const int head = (int)b.n - 4000; /* all of it, and some of the data */
            uint64_t random = e + 1;
            unsigned char *good = xmalloc(b.n);
            float out[64];
            int opened = 0;
            memcpy(good, b.p, b.n);
            CHECK(read_all(&b, out));
            for (int i = 0; i < 1000; i++) {
                for (int k = random_int(&random, 1, 3); k--;)
                    b.p[random_int(&random, 0, head)] = (unsigned char)(random_next(&random) & (k ? 255 : 3));
                opened += read_all(&b, out);
                memcpy(b.p, good, b.n);
            }
            CHECK(opened > 0 && opened < 1000);
            free(good);
            free(b.p);
        }
}

/* ---------------------------------------------------------------------------------------------------
 * Real files
 * ------------------------------------------------------------------------------------------------- */

/* All of a tensor, a few rows at a time; NULL if they cannot be had, or if there are none. */
static float *tensor(llama_source *s, int which, int layer, size_t *n) {
    int rows = 0, cols = 0;
    tensor_shape(&s->config, (enum tensor)which, 0, &rows, &cols);
    float *out = (*n = (size_t)rows * (size_t)cols) ? xmalloc(*n * sizeof *out) : NULL;
    for (int first = 0; first < rows; first += 7)
        if (s->rows(s, (enum tensor)which, layer, first, rows - first < 7 ? rows - first : 7,
                    out + (size_t)first * (size_t)cols, &err))
            return free(out), NULL;
    return out;
}

static void check_equal(llama_source *s, int which, int layer, const unsigned char *file, size_t *at) {
    size_t n, differ = 0;
    float *got = tensor(s, which, layer, &n);
    for (size_t i = 0; got && i < n; i++) differ += got[i] != get_f32(file + *at + 4 * i);
    CHECK(got && differ == 0);
    free(got);
    *at += 4 * n;
}

static void test_stories260K(void) {
    const char *found = data_path("stories260K.bin");
    if (!found) {
        SKIP("stories260K", "no ../shared/data");
        return;
    }
    TEST("stories260K has the weights of the llama2.c checkpoint") {
        static const int order[] = {TENSOR_ATTENTION_NORM, TENSOR_WQ, TENSOR_WK, TENSOR_WV, TENSOR_WO,
                                    TENSOR_FFN_NORM,       TENSOR_W1, TENSOR_W2, TENSOR_W3};
        unsigned char *file = xmalloc(2000000);
        FILE *f = fopen(found, "rb");
        const size_t size = f ? fread(file, 1, 2000000, f) : 0;
        if (f) fclose(f);
        llama_source *s = source_open_gguf(data_path("gguf/stories260K-f32.gguf"), NULL, &err);
        CHECK_TEXT(s ? "" : err.text, "");
        if (s && CHECK(size == 1056540)) {
            size_t at = 28;
            check_equal(s, TENSOR_EMBEDDING, 0, file, &at);
            for (int i = 0; i < 9; i++)
                for (int layer = 0; layer < 5; layer++) check_equal(s, order[i], layer, file, &at);
            check_equal(s, TENSOR_FINAL_NORM, 0, file, &at);
            at = 28;
            check_equal(s, TENSOR_CLASSIFIER, 0, file, &at);
        }
        if (s) s->close(s);
        free(file);
    }
}

static void test_quantised(void) {
    static const char *const names[] = {"F16", "Q8_0", "Q6_K", "Q4_K_M", "Q4_0"};
    double first[8 * TENSORS];
    for (int i = 0; i < 5; i++) {
        char name[60];
        snprintf(name, sizeof name, "gguf/random256-%s.gguf", names[i]);
        const char *found = data_path(name);
        if (!found) {
            SKIP(name, "no ../shared/data");
            continue;
        }
        TEST("quantised files are close to the one they come from") {
            llama_source *s = source_open_gguf(found, NULL, &err);
            CHECK_TEXT(s ? "" : err.text, "");
            for (int layer = 0; s && layer < s->config.n_layers; layer++)
                for (int t = TENSOR_FINAL_NORM; t < TENSORS && layer < 8; t++) {
                    size_t n;
                    float *got = tensor(s, t, layer, &n);
                    double sum = 0;
                    for (size_t k = 0; got && k < n; k++) sum += (double)got[k] * (double)got[k];
                    const int slot = layer * TENSORS + t;
                    if (n == 0) continue;
                    if (i == 0) first[slot] = sum;
                    CHECK(got && fabs(sum - first[slot]) < 0.02 * first[slot]);
                    free(got);
                }
            if (s) s->close(s);
        }
    }
}

/* Opens, and has what the family has; test_families.sh compares what it computes. */
static void test_families(void) {
    static const struct {
        const char *name, *architecture;
        int extras, n_ropes, rope_short, window, windows; /* bit l: layer l has it */
    } files[] = {
        {"gemma2", "gemma2", LLAMA_POST_NORM | LLAMA_GELU, 0, 0, 16, 5},
        {"gemma3", "gemma3", LLAMA_HEAD_NORM | LLAMA_POST_NORM | LLAMA_GELU, 2, 0, 12, 0x5F},
        {"granite", "granite", 0, 0, 0, 0, 0},
        {"granite-untied", "granite", 0, 0, 0, 0, 0},
        {"internlm2", "internlm2", 0, 0, 0, 0, 0},
        {"llama-null", "llama", 0, 0, 0, 0, 0},
        {"llama-v5", "llama", 0, 0, 0, 0, 0},
        {"minicpm", "minicpm", 0, 0, 0, 0, 0},
        {"mixtral", "llama", LLAMA_RENORMALISE, 0, 0, 0, 0},
        {"olmo2", "olmo2", LLAMA_WIDE_NORM | LLAMA_POST_NORM | LLAMA_NO_PRE_NORM, 0, 0, 0, 0},
        {"phi3", "phi3", LLAMA_ROPE_AMPLITUDES, 0, 64, 262144, 7},
        {"phi3-4k", "phi3", 0, 0, 0, 20, 3},
        {"phi4-mini", "phi3", LLAMA_ROPE_AMPLITUDES, 0, 64, 262144, 7},
        {"qwen2", "qwen2", LLAMA_QKV_BIAS, 0, 0, 0, 0},
        {"qwen2-yarn", "qwen2", LLAMA_QKV_BIAS | LLAMA_ROPE_AMPLITUDES, 0, 0, 0, 0},
        {"qwen3", "qwen3", LLAMA_HEAD_NORM, 0, 0, 0, 0},
        {"qwen3_moe", "qwen3moe", LLAMA_HEAD_NORM | LLAMA_RENORMALISE, 0, 0, 0, 0},
        {"smollm3", "smollm3", 0, 2, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[60];
        snprintf(name, sizeof name, "families/gguf/%s.gguf", files[i].name);
        const char *found = data_path(name);
        if (!found) {
            SKIP(name, "no ../shared/data");
            continue;
        }
        TEST(name) {
            err.text[0] = 0;
            llama_source *s = source_open_gguf(found, NULL, &err);
            CHECK_TEXT(err.text, "");
            if (!CHECK(s)) continue;
            CHECK_TEXT(s->config.architecture, files[i].architecture);
            CHECK(s->config.extras == files[i].extras && s->config.n_ropes == files[i].n_ropes);
            CHECK(s->config.rope_short == files[i].rope_short);
            if (s->config.n_ropes == 0 || files[i].window)
                CHECK(windows(s, files[i].window, s->config.n_ropes) == files[i].windows);
            for (int layer = 0; layer < s->config.n_layers; layer++)
                for (int t = TENSOR_FINAL_NORM; t < TENSORS; t++) {
                    size_t n, bad = 0;
                    float *all = tensor(s, t, layer, &n);
                    for (size_t k = 0; all && k < n; k++) bad += !(fabsf(all[k]) < 100);
                    CHECK((all || n == 0) && bad == 0);
                    free(all);
                }
            s->close(s);
        }
    }
}

int main(void) {
    char own[64];
    snprintf(own, sizeof own, "%s", temporary_path());
    path = own;
    test_types();
    test_config();
    test_rope();
    test_biases();
    test_head_norms();
    test_phi3();
    test_longrope();
    test_experts();
    test_gemma();
    test_scales();
    test_layers();
    test_sentencepiece();
    test_bytes_and_marks();
    test_byte_level();
    test_templates();
    test_refused();
    test_damage();
    test_mutations();
    test_stories260K();
    test_quantised();
    test_families();
    remove(path);
    return test_end();
}
