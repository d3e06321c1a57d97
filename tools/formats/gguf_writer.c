/* gguf_writer.c - a model of ours as a GGUF file, version 3. Contract in export.h; gguf.c says how a file is laid out.
 *
 * Tensors come in the order of gguf_names, some rows at a time. A matrix is of the type that is asked for, or F16 if
 * its rows are no whole blocks of that; vectors, biases and routers are F32. What is stored as q8 or q4 goes code by
 * code to Q8_0 and Q4_0, whose blocks of 32 are our groups or halves of them, so that nothing is lost.
 */
#include "gguf_writer.h"
#include "../shared/files.h"
#include "../shared/inside.h"
#include "../shared/numbers.h"
#include "overflow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- Bytes ---- */

void gguf_put(gguf_writer *w, const void *bytes, size_t size) {
    if (w->file && !w->failed && size && fwrite(bytes, 1, size, w->file) != size) w->failed = errno ? errno : EIO;
    w->at += size;
}

void gguf_put_number(gguf_writer *w, uint64_t x, int bytes) {
    unsigned char p[8];
    put_uint(p, x, bytes);
    gguf_put(w, p, (size_t)bytes);
}

void gguf_put_string(gguf_writer *w, const char *text, size_t size) {
    gguf_put_number(w, size, 8);
    gguf_put(w, text, size);
}

static void gguf_align(gguf_writer *w) {
    static const unsigned char zeros[GGUF_WRITTEN_ALIGNMENT];
    gguf_put(w, zeros, (size_t)(-w->at % GGUF_WRITTEN_ALIGNMENT));
}

/* What has been put so far is in the file, and the caller does not want to stop. */
static int gguf_go_on(gguf_writer *w) {
    if (w->failed) return set_error(w->err, "%.120s: cannot write: %s", w->path, strerror(w->failed)), 0;
    if (w->in->progress && w->in->progress(w->in->user, w->at, w->total))
        return set_error(w->err, "%.120s: cancelled", w->path), 0;
    return 1;
}

/* ---- Tensors ---- */

typedef struct {
    int name, layer, tensor; /* index of gguf_names */
    int rows, cols, experts; /* of each expert; experts 0: it is no mixture */
    int type;
    size_t slot;
    uint64_t bytes;
} gguf_output;

/* What stands in a slot; 0: nothing. */
static int gguf_output_of(const gguf_writer *w, size_t slot, gguf_output *o) {
    const gguf_plan *p = &w->plan;
    o->slot = slot, o->name = gguf_slot_name(slot), o->layer = gguf_slot_layer(slot),
    o->tensor = gguf_names[o->name].tensor;
    gguf_shape(p->architecture, w->config, p->turning, o->name, o->layer, &o->rows, &o->cols);
    if (o->tensor >= GGUF_FREQS && o->tensor <= GGUF_SHORT && !gguf_divisors(p, o->tensor)) return 0;
    if (!o->rows) return 0;
    o->experts = gguf_names[o->name].experts ? w->config->n_experts : 0;
    const int vector = o->tensor < TENSORS ? tensor_is_vector((enum tensor)o->tensor) : o->tensor != GGUF_QKV;
    o->type = vector || o->tensor == TENSOR_ROUTER ? GGUF_TYPE_F32 : w->type;
    if (o->cols % gguf_find_type((uint64_t)o->type)->block) o->type = GGUF_TYPE_F16;
    const gguf_type *type = gguf_find_type((uint64_t)o->type);
    const uint64_t rows = mul_size((uint64_t)o->rows, o->experts ? (uint64_t)o->experts : 1);
    o->bytes = mul_size(rows, (uint64_t)(o->cols / type->block) * (uint64_t)type->bytes);
    return vector ? 1 : 2;
}

/* The table: names, shapes, types and places. Says in the note which matrices are of another type than most. */
static uint64_t gguf_put_table(gguf_writer *w) {
    uint64_t n = 0, offset = 0;
    int others = 0;
    gguf_output o;
    for (size_t slot = 0; slot < gguf_slots(w->config->n_layers); slot++) {
        char name[GGUF_MAX_NAME + 1];
        const int dimensions = gguf_output_of(w, slot, &o);
        if (!dimensions) continue;
        others += dimensions > 1 && o.type != w->type && o.tensor != TENSOR_ROUTER;
        gguf_spell(slot, name);
        gguf_put_string(w, name, strlen(name));
        gguf_put_number(w, (uint64_t)(dimensions + (o.experts > 0)), 4);
        gguf_put_number(w, (uint64_t)o.cols, 8);
        if (dimensions > 1) gguf_put_number(w, (uint64_t)o.rows, 8);
        if (o.experts) gguf_put_number(w, (uint64_t)o.experts, 8);
        gguf_put_number(w, (uint64_t)o.type, 4);
        gguf_put_number(w, offset, 8);
        offset += o.bytes + -o.bytes % GGUF_WRITTEN_ALIGNMENT;
        n++;
    }
    if (others)
        gguf_note(w, "%d matrices are F16: their rows are no multiple of %d, %s's block", others,
                  gguf_find_type((uint64_t)w->type)->block, gguf_find_type((uint64_t)w->type)->name);
    return n;
}

/* ---- Rows ---- */

/* Rows of one of llama.c's tensors, as they stand in the file. */
typedef struct {
    gguf_writer *w;
    enum tensor tensor;
    int layer, cols, type;
    int turned;   /* rows, or the numbers of a vector, are in the file's order of heads */
    float factor; /* of all its numbers */
    float end;    /* from here on the type has infinity */
    int exact;    /* they go code by code */
    size_t slot;  /* of the file's tensor */
} gguf_section;

static gguf_section gguf_section_of(gguf_writer *w, const gguf_output *o, enum tensor tensor) {
    const int stored = tensor_is_vector(tensor) ? INSIDE_VECTOR : inside_type(w->in->model, tensor, o->layer);
    const int type = o->type;
    const int normed = w->config->extras & (LLAMA_HEAD_NORM | LLAMA_WIDE_NORM);
    const int queries = normed ? tensor == TENSOR_Q_NORM : tensor == TENSOR_WQ || tensor == TENSOR_Q_BIAS;
    gguf_section p = {.w = w, .tensor = tensor, .layer = o->layer, .cols = o->cols, .type = type, .slot = o->slot};
    p.end = overflow_end(gguf_find_type((uint64_t)type)->name);
    p.turned = gguf_is_of_heads((int)tensor);
    p.factor = queries ? w->plan.query_factor : 1;
    p.exact = p.factor == 1 && ((stored == INSIDE_Q8 && type == GGUF_TYPE_Q8_0) ||
                                (stored == INSIDE_Q4_0 && (type == GGUF_TYPE_Q8_0 || type == GGUF_TYPE_Q4_0)));
    return p;
}

static size_t gguf_row_bytes(const gguf_section *p) {
    const gguf_type *type = gguf_find_type((uint64_t)p->type);
    return (size_t)(p->cols / type->block) * (size_t)type->bytes;
}

/* Which number in the file's order is which in llama.c's. */
static int gguf_from(const gguf_section *p, int i) {
    const gguf_plan *plan = &p->w->plan;
    return p->turned ? gguf_unplace(plan->architecture, p->w->config->head_dim, plan->turning, i) : i;
}

/* Scales of a group of 64 serve two blocks. Room for them is what a row takes as float32. */
static void gguf_copy_row(const gguf_section *p, int row, float *room, unsigned char *out) {
    const llama_model *m = p->w->in->model;
    const int blocks = p->cols / 32, shared = inside_type(m, p->tensor, p->layer) == INSIDE_Q8 ? 2 : 1;
    uint16_t *scales = (uint16_t *)(void *)room;
    signed char *codes = (signed char *)(scales + (blocks + 1) / shared);
    inside_codes(m, p->tensor, p->layer, row, codes, scales);
    for (int b = 0; b < blocks; b++, codes += 32)
        if (p->type == GGUF_TYPE_Q8_0) gguf_pack_q8_0(codes, scales[b / shared], out + 34 * (size_t)b);
        else gguf_pack_q4_0(codes, scales[b / shared], out + 18 * (size_t)b);
}

/* Row i of the file's order, encoded. room (2 cols). Returns how many of its numbers the type cannot hold. */
static int gguf_encode_row(const gguf_section *p, int i, float *room, unsigned char *out) {
    const gguf_type *type = gguf_find_type((uint64_t)p->type);
    float *x = room;
    if (p->exact) {
        gguf_copy_row(p, gguf_from(p, i), room, out);
        return 0;
    }
    if (tensor_is_vector(p->tensor)) {
        inside_rows(p->w->in->model, p->tensor, p->layer, 0, 1, room);
        x = room + p->cols;
        for (int k = 0; k < p->cols; k++) x[k] = room[gguf_from(p, k)];
    } else {
        inside_rows(p->w->in->model, p->tensor, p->layer, gguf_from(p, i), 1, x);
    }
    for (int k = 0; k < p->cols && p->factor != 1; k++) x[k] *= p->factor;
    type->encode(x, (size_t)(p->cols / type->block), out);
    return overflow_count(p->end, x, (size_t)p->cols);
}

static int gguf_overflow(const gguf_section *p) {
    char name[GGUF_MAX_NAME + 1];
    gguf_spell(p->slot, name);
    return overflow_refuse(p->w->err, p->w->path, name, gguf_find_type((uint64_t)p->type)->name), 0;
}

/* rows of a tensor from first on, some at a time: about 4 MB of them, so that all threads have work. One copies
 * codes as fast. */
static int gguf_put_rows(const gguf_section *p, int first, int rows) {
    gguf_writer *w = p->w;
    const size_t bytes = gguf_row_bytes(p), cols = (size_t)p->cols;
    const int some = (int)(((size_t)1 << 20) / cols) + 1, step = some < rows ? some : rows;
    float *room = malloc((size_t)step * 2 * cols * sizeof *room);
    unsigned char *out = malloc((size_t)step * bytes);
    int ok = room && out;
    if (!ok) set_error(w->err, "%.120s: no memory for %d rows of %s", w->path, step, tensor_name(p->tensor));
    for (int row = first; row < first + rows && ok; row += step) {
        const int n = first + rows - row < step ? first + rows - row : step;
        int overflows = 0;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, INSIDE_TILE) reduction(+ : overflows) if (n > 1 && !p->exact)
#endif
        for (int i = 0; i < n; i++)
            overflows += gguf_encode_row(p, row + i, room + (size_t)i * 2 * cols, out + (size_t)i * bytes);
        gguf_put(w, out, (size_t)n * bytes);
        ok = overflows ? gguf_overflow(p) : gguf_go_on(w);
    }
    free(room), free(out);
    return ok;
}

static int gguf_put_part(gguf_writer *w, const gguf_output *o, enum tensor tensor, int rows) {
    const gguf_section p = gguf_section_of(w, o, tensor);
    return gguf_put_rows(&p, 0, rows);
}

/* Those of a .llama file that a tensor holds, one below the other. */
static int gguf_put_tensor(gguf_writer *w, const gguf_output *o) {
    const int q = w->config->n_heads * w->config->head_dim, kv = w->config->n_kv_heads * w->config->head_dim;
    gguf_align(w);
    if (o->tensor >= GGUF_FREQS && o->tensor <= GGUF_SHORT) {
        for (int i = 0; i < o->cols; i++) gguf_put_number(w, bits_of_float(gguf_divisors(&w->plan, o->tensor)[i]), 4);
        return gguf_go_on(w);
    }
    if (o->tensor == GGUF_QKV)
        return gguf_put_part(w, o, TENSOR_WQ, q) && gguf_put_part(w, o, TENSOR_WK, kv) &&
               gguf_put_part(w, o, TENSOR_WV, kv);
    if (o->tensor == TENSOR_W3 && w->plan.architecture->features & GGUF_FUSED)
        return gguf_put_part(w, o, TENSOR_W1, o->rows / 2) && gguf_put_part(w, o, TENSOR_W3, o->rows / 2);
    return gguf_put_part(w, o, (enum tensor)o->tensor, o->rows * (o->experts ? o->experts : 1));
}

/* ---- The file ---- */

/* "GGUF", the version, and the counts that the first time told. */
static int gguf_put_head(gguf_writer *w, uint64_t *n_tensors) {
    const uint64_t n_keys = w->n_keys;
    w->at = w->n_keys = 0;
    gguf_put(w, "GGUF", 4);
    gguf_put_number(w, 3, 4);
    gguf_put_number(w, *n_tensors, 8);
    gguf_put_number(w, n_keys, 8);
    if (!gguf_put_metadata(w)) return 0;
    *n_tensors = gguf_put_table(w);
    gguf_align(w);
    return 1;
}

static int gguf_put_file(gguf_writer *w, uint64_t n_tensors) {
    gguf_output o;
    if (!gguf_put_head(w, &n_tensors) || !gguf_go_on(w)) return 0;
    for (size_t slot = 0; slot < gguf_slots(w->config->n_layers); slot++)
        if (gguf_output_of(w, slot, &o) && !gguf_put_tensor(w, &o)) return 0;
    gguf_align(w); /* as ggml's own, which pads the last one too */
    return gguf_go_on(w);
}

/* The size of all of it: the head, and tensors of which each begins at a multiple. */
static int gguf_count(gguf_writer *w, uint64_t *n_tensors) {
    gguf_output o;
    *n_tensors = 0;
    if (!gguf_put_head(w, n_tensors)) return 0;
    w->total = w->at;
    for (size_t slot = 0; slot < gguf_slots(w->config->n_layers); slot++)
        if (gguf_output_of(w, slot, &o)) w->total += o.bytes + -o.bytes % GGUF_WRITTEN_ALIGNMENT;
    return 1;
}

/* By name, or what loses least of the model's own. */
static int gguf_choose_type(gguf_writer *w) {
    static const struct {
        const char *own, *name;
        int type;
    } types[] = {{"f32", "f32", GGUF_TYPE_F32},    {"bf16", "bf16", GGUF_TYPE_BF16}, {"q8", "q8_0", GGUF_TYPE_Q8_0},
                 {"q4_0", "q4_0", GGUF_TYPE_Q4_0}, {"int8", "q8_0", GGUF_TYPE_Q8_0}, {"q4", "f16", GGUF_TYPE_F16},
                 {"q6", "f16", GGUF_TYPE_F16}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(w->in->type ? w->in->type : w->config->weight_type, w->in->type ? types[i].name : types[i].own))
            return w->type = types[i].type, 1;
    set_error(w->err, "%.120s: type %.40s: GGUF files are written as f32, f16, bf16, q8_0 or q4_0", w->path,
              w->in->type ? w->in->type : w->config->weight_type);
    return 0;
}

static int gguf_check_vocabulary(gguf_writer *w) {
    const int n = w->in->tokenizer ? tokenizer_vocab_size(w->in->tokenizer) : w->config->vocab_size;
    if (n == w->config->vocab_size) return 1;
    set_error(w->err, "%.120s: the tokenizer has %d pieces, the model a vocabulary of %d", w->path, n,
              w->config->vocab_size);
    return 0;
}

static int gguf_write(gguf_writer *w) {
    uint64_t n_tensors;
    replacement out;
    if (w->plan.ignored_window)
        gguf_note(w, "llama.cpp does not apply the window of %d tokens to architecture %s", w->plan.window,
                  w->plan.architecture->name);
    if (w->plan.query_factor != 1 && w->type != GGUF_TYPE_F32)
        gguf_note(w, "queries are multiplied by %g, since no key says so", (double)w->plan.query_factor);
    if (!gguf_count(w, &n_tensors)) return -1;
    if (replacement_open(&out, w->path, w->err)) return -1;
    w->file = out.file;
    if (gguf_put_file(w, n_tensors)) return replacement_end(&out, w->err);
    replacement_drop(&out);
    return -1;
}

int export_gguf(const export_input *in, const char *path, export_report *report, llama_error *err) {
    gguf_writer w = {.in = in, .config = llama_get_config(in->model), .path = path, .err = err};
    if (!gguf_choose_type(&w) || !gguf_check_vocabulary(&w)) return -1;
    if (gguf_make_plan(&w.plan, in->model, path, err)) return -1;
    const int result = gguf_write(&w);
    if (!result && report) {
        const export_report r = {.bytes = w.total, .format = "GGUF"};
        *report = r;
        snprintf(report->type, sizeof report->type, "%s", gguf_find_type((uint64_t)w.type)->name);
        snprintf(report->architecture, sizeof report->architecture, "%s", w.plan.architecture->name);
        snprintf(report->note, sizeof report->note, "%s", w.note);
    }
    gguf_free_plan(&w.plan);
    return result;
}
