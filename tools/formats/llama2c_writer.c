/* llama2c_writer.c - llama2.c's checkpoint, version 0, with tokenizer.bin beside it. Contract in export.h.
 *
 *     int32  dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative: there is a classifier), seq_len
 *     float  embedding, attention norms of all layers, then wq, wk, wv, wo, ffn norms, w1, w2, w3, each of all layers,
 *            final norm, (2, seq_len, head_dim / 2) that nobody reads any more, and the classifier
 *
 * in rows, little-endian. What else a model is made of llama2.c takes for granted; a model of which that is not true is
 * refused. tokenizer.bin: int32 longest, then of each piece float score, int32 size, and its bytes, spaces as spaces.
 */
#include "export.h"

#include "../shared/files.h"
#include "../shared/inside.h"
#include "../shared/messages.h"
#include "../shared/numbers.h"
#include "rope.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    FILE *file;
    const export_input *in;
    uint64_t at, total;
    llama_error *err;
} llama2c_sink;

/* What llama2.c does not have. */
static int llama2c_check(const export_input *in, const char *path, llama_error *err) {
    const llama_config *f = llama_get_config(in->model);
    const char *what = NULL;
    int plain = f->n_ropes <= 1 && !f->rope_short;
    float *table = malloc((size_t)f->head_dim / 2 * sizeof *table);
    if (!table) return set_error(err, "%.120s: no memory", path);
    if (plain) inside_rows(in->model, TENSOR_ROPE, 0, 0, 1, table);
    for (int i = 0; i < f->head_dim / 2 && plain; i++)
        plain = fabs((double)table[i] * pow(10000, 2.0 * i / f->head_dim) - 1) < 1e-5;
    free(table);
    for (int l = 0; l < f->n_layers; l++)
        if (f->layers[l].window || f->layers[l].experts) what = f->layers[l].window ? "windows" : "experts";
    if (f->extras) what = "what Llama's relatives add";
    if (f->attention_scale != 0 || f->embedding_scale != 0 || f->score_cap != 0 || f->logit_cap != 0)
        what = "scales and caps";
    if (f->head_dim * f->n_heads != f->dim) what = "heads that are not dim wide together";
    if (!plain) what = "rotation that is not its own (theta 10000, unscaled)";
    if (fabsf(f->norm_eps - 1e-5f) > 1e-9f) what = "epsilon of norms but 1e-5";
    if (in->type && strcmp(in->type, "f32")) return set_error(err, "%.120s: type %.40s: expected f32", path, in->type);
    return what ? set_error(err, "%.120s: llama2.c has no %s", path, what) : 0;
}

static int llama2c_put(llama2c_sink *s, const void *data, size_t size) {
    if (fwrite(data, 1, size, s->file) != size) return set_error(s->err, "cannot write: %s", strerror(errno));
    s->at += size;
    if (s->in->progress && s->in->progress(s->in->user, s->at, s->total)) return set_error(s->err, "cancelled");
    return 0;
}

/* A tensor of each layer, or of the model, some rows at a time. */
static int llama2c_put_tensor(llama2c_sink *s, enum tensor id) {
    const llama_config *f = llama_get_config(s->in->model);
    int result = 0, rows, cols;
    tensor_shape(f, id, 0, &rows, &cols);
    const int step = (1 << 20) / cols + 1, most = step < rows ? step : rows;
    float *out = malloc((size_t)most * (size_t)cols * sizeof *out);
    if (!out) return set_error(s->err, "no memory for %d rows", most);
    for (int l = 0; l < (id < TENSOR_OF_LAYER ? 1 : f->n_layers) && !result; l++)
        for (int first = 0, n; first < rows && !result; first += n) {
            n = rows - first < most ? rows - first : most;
            inside_rows(s->in->model, id, l, first, n, out);
            const size_t count = (size_t)n * (size_t)cols;
            for (size_t i = 0; i < count; i++) { /* in place: a float becomes its four bytes */
                const float x = out[i];
                put_f32((unsigned char *)(out + i), x);
            }
            result = llama2c_put(s, out, count * sizeof *out);
        }
    free(out);
    return result;
}

/* The two tables of cosines and sines: zeros, which are skipped. */
static int llama2c_put_tables(llama2c_sink *s) {
    const llama_config *f = llama_get_config(s->in->model);
    static const float zeros[1024];
    uint64_t left = (uint64_t)f->seq_len * (uint64_t)f->head_dim;
    int result = 0;
    for (uint64_t n; left && !result; left -= n) {
        n = left < 1024 ? left : 1024;
        result = llama2c_put(s, zeros, (size_t)n * sizeof *zeros);
    }
    return result;
}

static uint64_t llama2c_bytes(const llama_config *f) {
    uint64_t floats = (uint64_t)f->seq_len * (uint64_t)f->head_dim;
    int rows, cols;
    for (int id = TENSOR_FINAL_NORM; id < TENSORS; id++)
        if (tensor_shape(f, (enum tensor)id, 0, &rows, &cols))
            floats += (uint64_t)rows * (uint64_t)cols * (uint64_t)(id < TENSOR_OF_LAYER ? 1 : f->n_layers);
    return 28 + 4 * floats;
}

static int llama2c_emit(llama2c_sink *s) {
    static const enum tensor order[] = {TENSOR_EMBEDDING, TENSOR_ATTENTION_NORM, TENSOR_WQ, TENSOR_WK, TENSOR_WV,
                                        TENSOR_WO,        TENSOR_FFN_NORM,       TENSOR_W1, TENSOR_W2, TENSOR_W3,
                                        TENSOR_FINAL_NORM};
    const llama_config *f = llama_get_config(s->in->model);
    const int field[] = {f->dim,     f->hidden_dim, f->n_layers,
                         f->n_heads, f->n_kv_heads, f->shared_classifier ? f->vocab_size : -f->vocab_size,
                         f->seq_len};
    unsigned char header[28];
    for (int i = 0; i < 7; i++) put_uint(header + 4 * i, (uint32_t)field[i], 4);
    int result = llama2c_put(s, header, sizeof header);
    for (size_t i = 0; i < sizeof order / sizeof *order && !result; i++) result = llama2c_put_tensor(s, order[i]);
    if (!result) result = llama2c_put_tables(s);
    return result || f->shared_classifier ? result : llama2c_put_tensor(s, TENSOR_CLASSIFIER);
}

/* ---- tokenizer.bin ---- */

/* Whether both have the same pieces and rules; a chat template is none. */
static int llama2c_same_tokenizer(const tokenizer *a, const tokenizer *b) {
    tokenizer_parts p, q;
    tokenizer_get_parts(a, &p), tokenizer_get_parts(b, &q);
    if (p.kind != q.kind || p.n_pieces != q.n_pieces || p.bos != q.bos || p.add_bos != q.add_bos ||
        p.n_ends != q.n_ends || p.ends[0] != q.ends[0] || p.add_dummy_prefix != q.add_dummy_prefix ||
        p.remove_extra_whitespaces != q.remove_extra_whitespaces || p.n_merges != q.n_merges)
        return 0;
    for (int id = 0; id < p.n_pieces; id++) {
        tokenizer_piece x, y;
        tokenizer_get_piece(a, id, &x), tokenizer_get_piece(b, id, &y);
        if (x.size != y.size || x.type != y.type || x.flags != y.flags || memcmp(x.text, y.text, x.size) ||
            bits_of_float(x.score) != bits_of_float(y.score))
            return 0;
    }
    return 1;
}

/* The bytes of the file, malloc'ed. With out NULL only counts. */
static size_t llama2c_write_pieces(const tokenizer *t, unsigned char *out) {
    static const char space[] = "\xE2\x96\x81", *const names[] = {NULL, "\n<s>\n", "\n</s>\n"};
    const int n = tokenizer_vocab_size(t);
    size_t at = 4, longest = 0;
    for (int id = 0; id < n; id++) {
        tokenizer_piece p;
        tokenizer_get_piece(t, id, &p);
        if (id == 1 || id == 2) p.text = names[id], p.size = strlen(names[id]);
        const size_t head = at;
        at += 8;
        for (size_t i = 0, size; i < p.size; i += size) {
            const int is_space = p.size - i >= 3 && !memcmp(p.text + i, space, 3);
            size = is_space ? 3 : 1;
            if (out) out[at] = is_space ? ' ' : (unsigned char)p.text[i];
            at++;
        }
        if (at - head - 8 > longest) longest = at - head - 8;
        if (out) put_f32(out + head, p.score), put_uint(out + head + 4, at - head - 8, 4);
    }
    if (out) put_uint(out, longest, 4);
    return at;
}

/* tokenizer.bin beside path, malloc'ed. */
static char *llama2c_tokenizer_path(const char *path, llama_error *err) {
    const char *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    char *out = malloc(n + sizeof "tokenizer.bin");
    if (!out) return set_error(err, "%.120s: no memory", path), NULL;
    memcpy(out, path, n);
    strcpy(out + n, "tokenizer.bin");
    return out;
}

/* 1: path holds these bytes; 0: there is no such file; -1: it holds others. */
static int llama2c_is_there(const char *path, const unsigned char *bytes, size_t size) {
    size_t n;
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    fclose(file);
    char *there = file_read(path, size, &n, NULL);
    const int same = there && n == size && !memcmp(there, bytes, size);
    free(there);
    return same ? 1 : -1;
}

static int llama2c_write_file(const char *path, const unsigned char *bytes, size_t size, llama_error *err) {
    replacement out;
    if (replacement_open(&out, path, err)) return -1;
    if (fwrite(bytes, 1, size, out.file) == size) return replacement_end(&out, err);
    const int why = errno;
    replacement_drop(&out);
    return set_error(err, "%.120s: cannot write: %s", path, strerror(why));
}

/* What tokenizer.bin holds, malloc'ed, if a reader of it gets the same tokenizer. */
static unsigned char *llama2c_tokenizer(const export_input *in, const char *path, size_t *size, llama_error *err) {
    *size = llama2c_write_pieces(in->tokenizer, NULL);
    unsigned char *bytes = malloc(*size);
    if (!bytes) return set_error(err, "%.120s: no memory for the tokenizer", path), NULL;
    llama2c_write_pieces(in->tokenizer, bytes);
    tokenizer *again = tokenizer_load_memory(bytes, *size, tokenizer_vocab_size(in->tokenizer), NULL, NULL);
    const int same = again && llama2c_same_tokenizer(in->tokenizer, again);
    tokenizer_free(again);
    if (same) return bytes;
    free(bytes);
    set_error(err, "%.120s: tokenizer.bin cannot say this tokenizer (--no-tokenizer leaves it out)", path);
    return NULL;
}

/* ---- All of it ---- */

static int llama2c_write_model(const export_input *in, const char *path, uint64_t total, llama_error *err) {
    replacement out;
    llama_error why = {0};
    if (replacement_open(&out, path, err)) return -1;
    llama2c_sink s = {out.file, in, 0, total, &why};
    if (!llama2c_emit(&s)) return replacement_end(&out, err);
    replacement_drop(&out);
    return set_error(err, "%.120s: %s", path, why.text);
}

int export_llama2c(const export_input *in, const char *path, export_report *report, llama_error *err) {
    const uint64_t total = llama2c_bytes(llama_get_config(in->model));
    size_t size = 0;
    memset(report, 0, sizeof *report);
    if (llama2c_check(in, path, err)) return -1;
    unsigned char *bytes = in->tokenizer ? llama2c_tokenizer(in, path, &size, err) : NULL;
    char *beside = llama2c_tokenizer_path(path, err);
    const int there = bytes && beside ? llama2c_is_there(beside, bytes, size) : 0;
    int result = !beside || (in->tokenizer && !bytes) ? -1 : 0;
    if (there < 0) result = set_error(err, "%.120s: there is another one already", beside);
    if (!result) result = llama2c_write_model(in, path, total, err);
    if (!result && bytes && !there) result = llama2c_write_file(beside, bytes, size, err);
    report->bytes = total + size, report->format = "llama2.c version 0";
    strcpy(report->type, "f32"), strcpy(report->architecture, "llama");
    if (!result && in->tokenizer) snprintf(report->note, sizeof report->note, "%.180s goes with it", beside);
    if (!result && in->tokenizer && tokenizer_template(in->tokenizer))
        snprintf(report->note, sizeof report->note, "%.120s goes with it, without the chat template", beside);
    free(bytes), free(beside);
    return result;
}
