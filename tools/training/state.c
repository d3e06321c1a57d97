/* state.c - reads and writes the state of a training run. Contract and format in state.h. */
#include "state.h"
#include "../shared/files.h"
#include "../shared/inside.h"
#include "../shared/messages.h"
#include "../shared/numbers.h"
#include "grad.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char magic[] = "llamatr\n";
enum { VERSION = 1, HASH_AT = 104 };

/* ---- Bytes ---- */

static double get_number(const unsigned char *p) {
    const uint64_t bits = get_uint(p, 8);
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static void put_number(unsigned char *p, double d) {
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    put_uint(p, bits, 8);
}

uint64_t state_hash(const void *data, size_t size, uint64_t before) {
    const unsigned char *p = data;
    uint64_t h = before;
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        h = (h ^ word) * 0x9E3779B97F4A7C15u;
        h ^= h >> 32;
    }
    return size ? (h ^ get_uint(p, (int)size) ^ (uint64_t)size << 60) * 0x9E3779B97F4A7C15u : h;
}

/* ---- The header ---- */

static void config_fields(llama_config *f, int *field[8]) {
    int *const fields[] = {&f->dim,        &f->hidden_dim, &f->n_layers,   &f->n_heads,
                           &f->n_kv_heads, &f->head_dim,   &f->vocab_size, &f->seq_len};
    memcpy(field, fields, sizeof fields);
}

static void write_header(const train_state *s, unsigned char p[STATE_HEADER]) {
    llama_config f = s->config;
    int *field[8];
    config_fields(&f, field);
    memset(p, 0, STATE_HEADER);
    memcpy(p, magic, 8);
    put_uint(p + 8, VERSION, 4), put_uint(p + 12, (uint64_t)s->n_settings, 4);
    for (int i = 0; i < 8; i++) put_uint(p + 16 + 4 * i, (uint64_t)*field[i], 4);
    put_uint(p + 48, (uint64_t)f.shared_classifier, 4);
    put_f32(p + 52, f.norm_eps), put_f32(p + 56, f.rope_theta);
    put_uint(p + 64, s->step, 8), put_uint(p + 72, s->text_hash, 8), put_number(p + 80, s->lowest);
    put_uint(p + 88, s->tokenizer_size, 8), put_number(p + 96, s->mean);
}

static int read_header(train_state *s, const unsigned char *p, size_t size, const char *name, llama_error *err) {
    int *field[8];
    memset(s, 0, sizeof *s);
    config_fields(&s->config, field);
    if (size < STATE_HEADER)
        return set_error(err, "%.120s: %zu bytes, not the state of a run, or cut short", name, size);
    if (memcmp(p, magic, 8)) return set_error(err, "%.120s: not the state of a training run", name);
    const uint64_t version = get_uint(p + 8, 4), n_settings = get_uint(p + 12, 4);
    if (version != VERSION)
        return set_error(err, "%.120s: version %" PRIu64 " of the format, known is %d", name, version, VERSION);
    if (n_settings > STATE_SETTINGS)
        return set_error(err, "%.120s: %" PRIu64 " settings, more than %d", name, n_settings, STATE_SETTINGS);
    for (int i = 0; i < 8; i++) {
        const uint64_t value = get_uint(p + 16 + 4 * i, 4);
        *field[i] = value > INT32_MAX ? -1 : (int)value;
    }
    if (get_uint(p + 48, 4) > 1) return set_error(err, "%.120s: shared_classifier is not 0 or 1", name);
    s->config.shared_classifier = (int)get_uint(p + 48, 4);
    s->config.norm_eps = get_f32(p + 52), s->config.rope_theta = get_f32(p + 56);
    s->n_settings = (int)n_settings;
    s->step = get_uint(p + 64, 8), s->text_hash = get_uint(p + 72, 8);
    s->lowest = get_number(p + 80), s->mean = get_number(p + 96);
    if (s->lowest != s->lowest || s->mean != s->mean)
        return set_error(err, "%.120s: a loss in it is not a number", name);
    return inside_check_config(&s->config, name, err);
}

static uint64_t hash_file(const unsigned char *p, size_t size) {
    unsigned char header[STATE_HEADER];
    memcpy(header, p, STATE_HEADER);
    put_uint(header + HASH_AT, 0, 8);
    return state_hash(p + STATE_HEADER, size - STATE_HEADER, state_hash(header, STATE_HEADER, 0));
}

int state_read(const void *data, size_t size, const char *name, train_state *s, llama_error *err) {
    const unsigned char *p = data;
    if (read_header(s, p, size, name, err)) return -1;
    s->count = grad_count(&s->config);
    /* Each is far below 2^64: count is below 2^60, or else it is SIZE_MAX. */
    const uint64_t settings = 8 * (uint64_t)s->n_settings, rope = 4 * (uint64_t)(s->config.head_dim / 2);
    const uint64_t array = mul_size(s->count, 4), tokenizer = get_uint(p + 88, 8);
    const uint64_t rest = size - STATE_HEADER, fixed = settings + rope;
    if (rest < fixed || tokenizer > rest - fixed || array > (rest - fixed - tokenizer) / 3 ||
        3 * array != rest - fixed - tokenizer)
        return set_error(err, "%.120s: %zu bytes are not what its header implies: cut short?", name, size);
    if (hash_file(p, size) != get_uint(p + HASH_AT, 8))
        return set_error(err, "%.120s: damaged: its checksum is wrong", name);
    p += STATE_HEADER;
    for (int i = 0; i < s->n_settings; i++) s->settings[i] = get_number(p + 8 * i);
    s->rope = p + settings;
    s->tokenizer = p + fixed, s->tokenizer_size = (size_t)tokenizer;
    s->weights = p + fixed + tokenizer;
    s->moment1 = p + fixed + tokenizer + array, s->moment2 = p + fixed + tokenizer + 2 * array;
    return 0;
}

/* ---- Writing ---- */

typedef struct {
    FILE *file;
    unsigned char rest[8]; /* the hash takes eight bytes at a time */
    size_t n_rest;
    uint64_t hash;
    int failed;
} sink;

/* Counts bytes into the hash only, or writes them too if there is a file. */
static void emit(sink *o, const void *data, size_t size) {
    const unsigned char *p = data;
    if (o->file && fwrite(data, 1, size, o->file) != size) o->failed = 1;
    while (size && o->n_rest) {
        o->rest[o->n_rest++] = *p++, size--;
        if (o->n_rest == 8) o->hash = state_hash(o->rest, 8, o->hash), o->n_rest = 0;
    }
    o->hash = state_hash(p, size / 8 * 8, o->hash);
    for (p += size / 8 * 8, size %= 8; size; size--) o->rest[o->n_rest++] = *p++;
}

static void emit_all(sink *o, const train_state *s, const unsigned char header[STATE_HEADER]) {
    unsigned char setting[8];
    emit(o, header, STATE_HEADER);
    for (int i = 0; i < s->n_settings; i++) put_number(setting, s->settings[i]), emit(o, setting, 8);
    emit(o, s->rope, (size_t)(s->config.head_dim / 2) * 4);
    emit(o, s->tokenizer, s->tokenizer_size);
    emit(o, s->weights, s->count * 4), emit(o, s->moment1, s->count * 4), emit(o, s->moment2, s->count * 4);
    if (o->n_rest) o->hash = state_hash(o->rest, o->n_rest, o->hash);
}

/* The file's hash stands in its header: all is hashed first, then written. */
static int write_state(const train_state *s, FILE *file) {
    unsigned char header[STATE_HEADER];
    sink count = {0}, out = {0};
    write_header(s, header);
    emit_all(&count, s, header);
    put_uint(header + HASH_AT, count.hash, 8);
    out.file = file;
    emit_all(&out, s, header);
    return out.failed ? -1 : 0;
}

int state_write(const train_state *s, const char *path, llama_error *err) {
    replacement out;
    if (replacement_open(&out, path, err)) return -1;
    if (write_state(s, out.file)) {
        const int why = errno;
        replacement_drop(&out);
        return set_error(err, "%.120s: cannot write: %s", path, strerror(why));
    }
    return replacement_end(&out, err);
}
