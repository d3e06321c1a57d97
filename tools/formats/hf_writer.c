/* hf_writer.c - a model of ours as a Hugging Face directory: weights, and all files together. hf_config_writer.c and
 * hf_tokenizer_writer.c write what is said of them; the format of safetensors is described in hf.c.
 *
 * Tensors have the family's names and its order of rows: hf.c's tables, read backwards. Matrices are all of one type.
 * A vector that this type would round is F32, so that nothing is lost where it costs nothing. As the reference
 * implementation has it, what has larger values comes first in a file, so that all are aligned.
 *
 * No file has its own name before all of them are on the disk.
 */
#include "hf_writer.h"
#include "../shared/files.h"
#include "../shared/inside.h"
#include "../shared/messages.h"
#include "../shared/numbers.h"
#include "hf.h"
#include "hf_config_writer.h"
#include "hf_tokenizer_writer.h"
#include "json.h"
#include "overflow.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HF_CHUNK = 1 << 20 }; /* values in memory at a time, unless a row has more */

typedef enum { HF_F32, HF_F16, HF_BF16 } hf_type;

static const struct {
    const char *option, *name, *torch; /* in export_input, in safetensors, in config.json */
    int bytes;
} hf_types[] = {{"f32", "F32", "float32", 4}, {"f16", "F16", "float16", 2}, {"bf16", "BF16", "bfloat16", 2}};

typedef struct { /* a tensor of a file */
    const hf_name *name;
    int layer, expert, rows, cols, is_vector;
    hf_type type;
    int shard;
    uint64_t begin, bytes; /* in the data of its file */
} hf_out_tensor;

typedef struct { /* where a row of a file's tensor is from */
    enum tensor tensor;
    int row;
} hf_origin;

typedef struct {
    const export_input *in;
    const llama_config *f;
    const char *directory;
    llama_error *err;
    hf_config_choice choice;
    hf_type type;
    int n_wide; /* vectors in F32 that would be of another type */
    hf_out_tensor *tensors;
    size_t n_tensors;
    int n_shards;
    uint64_t *shard_bytes; /* (n_shards) of data */
    uint64_t done, total;  /* of data */
    uint64_t written;      /* of all files */
} hf_writer;

static int hf_fail(const hf_writer *w, const char *what) { return set_error(w->err, "%.150s: %s", w->directory, what); }

static int hf_report_progress(const hf_writer *w) {
    if (!w->in->progress || !w->in->progress(w->in->user, w->done, w->total)) return 0;
    hf_fail(w, "cancelled");
    if (w->err) w->err->code = LLAMA_CANCELLED;
    return -1;
}

/* ---- Values ---- */

static float hf_round(hf_type type, float x) {
    return type == HF_F16 ? float_of_f16(inside_to_f16(x)) : type == HF_BF16 ? float_of_bf16(inside_to_bf16(x)) : x;
}

static void hf_encode(hf_type type, const float *x, int n, unsigned char *out) {
    for (int i = 0; i < n && type == HF_F32; i++) put_f32(out + 4 * (size_t)i, x[i]);
    for (int i = 0; i < n && type != HF_F32; i++)
        put_uint(out + 2 * (size_t)i, type == HF_F16 ? inside_to_f16(x[i]) : inside_to_bf16(x[i]), 2);
}

/* Where each row of a tensor is from, malloc'ed: of several parts, or in another order. A vector's values are rows. */
static hf_origin *hf_origins(const hf_writer *w, const hf_out_tensor *t) {
    hf_origin *origins = malloc((size_t)(t->is_vector ? t->cols : t->rows) * sizeof *origins);
    int base = 0;
    for (int i = 0; i < t->name->parts && origins; i++) {
        const enum tensor tensor = (enum tensor)((int)t->name->tensor + i);
        int rows, cols;
        hf_shape(w->f, tensor, t->layer, &rows, &cols);
        const int n = t->is_vector ? cols : rows;
        for (int row = 0; row < n; row++) {
            const int at = hf_is_of_heads(tensor) ? hf_row(w->f, &w->choice.form, tensor, row) : row;
            origins[base + at] = (hf_origin){tensor, row + t->expert * n};
        }
        if (!(w->choice.form.names & HF_INTERNLM)) base += n;
    }
    return origins;
}

/* out (cols) = a vector as the file has it; part has as much room. What Gemma's weights lack is taken away again: the
 * difference is exact for all that adding it can give. */
static void hf_vector(const hf_writer *w, const hf_out_tensor *t, const hf_origin *origins, float *part, float *out) {
    const float offset = hf_norm_offset(&w->choice.form, t->name->tensor);
    enum tensor read = TENSORS;
    for (int i = 0; i < t->name->parts; i++) {
        read = (enum tensor)((int)t->name->tensor + i);
        inside_rows(w->in->model, read, t->layer, 0, 1, part);
        for (int k = 0; k < t->cols; k++)
            if (origins[k].tensor == read) out[k] = part[origins[k].row] - offset;
    }
}

/* ---- The list of tensors ---- */

/* Without a type that was asked for: the one that the weights have, or else the half that loses less. */
static int hf_fits_f16(hf_writer *w) {
    float *row = NULL;
    int fits = 1, result = 0;
    for (int id = TENSOR_EMBEDDING; id < TENSORS && fits && !result; id++)
        for (int l = 0, rows, cols; l < (id < TENSOR_OF_LAYER ? 1 : w->f->n_layers) && fits && !result; l++) {
            if (tensor_is_vector((enum tensor)id) || !tensor_shape(w->f, (enum tensor)id, l, &rows, &cols)) continue;
            float *wider = realloc(row, (size_t)cols * sizeof *row);
            if (!wider) return free(row), hf_fail(w, "no memory");
            row = wider;
            for (int i = 0; i < rows && fits; i++) {
                inside_rows(w->in->model, (enum tensor)id, l, i, 1, row);
                fits = !overflow_count(overflow_end("F16"), row, (size_t)cols);
            }
            result = hf_report_progress(w);
        }
    free(row);
    return result ? result : fits;
}

static int hf_choose_type(hf_writer *w) {
    const char *wanted = w->in->type;
    const char *own = w->f->weight_type;
    for (int i = 0; i < 3; i++) {
        w->type = (hf_type)i;
        if (!strcmp(wanted ? wanted : own && strcmp(own, "f16") ? own : "", hf_types[i].option)) return 0;
    }
    if (wanted)
        return set_error(w->err, "%.120s: type %.40s: a Hugging Face directory has f32, f16 or bf16", w->directory,
                         wanted);
    const int fits = hf_fits_f16(w);
    w->type = fits ? HF_F16 : HF_BF16;
    return fits < 0 ? -1 : 0;
}

/* F32 for a vector that would be rounded. */
static int hf_choose_vector_type(hf_writer *w, hf_out_tensor *t) {
    hf_origin *origins = hf_origins(w, t);
    float *values = calloc(2 * (size_t)t->cols, sizeof *values);
    if (origins && values) {
        hf_vector(w, t, origins, values + t->cols, values);
        for (int i = 0; i < t->cols; i++)
            if (hf_round(t->type, values[i]) != values[i]) t->type = HF_F32;
        w->n_wide += t->type != w->type;
    }
    free(origins), free(values);
    return origins && values ? 0 : hf_fail(w, "no memory");
}

static int hf_add_tensor(hf_writer *w, const hf_name *name, int layer, int expert) {
    hf_out_tensor t = {.name = name, .layer = layer, .expert = expert, .type = w->type};
    t.is_vector = tensor_is_vector(name->tensor);
    for (int i = 0, rows; i < name->parts; i++) {
        const int before = t.cols;
        hf_shape(w->f, (enum tensor)((int)name->tensor + i), layer, &rows, &t.cols);
        if (t.is_vector) t.cols += before;
        else t.rows += rows;
    }
    if (t.is_vector) t.rows = 1;
    if (t.is_vector && hf_choose_vector_type(w, &t)) return -1;
    t.bytes = mul_size(mul_size((uint64_t)t.rows, (uint64_t)t.cols), (uint64_t)hf_types[t.type].bytes);
    if (!(w->n_tensors & (w->n_tensors - 1))) { /* the list grows by doubling */
        hf_out_tensor *more = realloc(w->tensors, (w->n_tensors ? 2 * w->n_tensors : 1) * sizeof *more);
        if (!more) return hf_fail(w, "no memory");
        w->tensors = more;
    }
    w->tensors[w->n_tensors++] = t;
    return 0;
}

static int hf_list_tensors(hf_writer *w) {
    for (int layer = 0; layer < w->f->n_layers; layer++)
        for (int i = 0; hf_name_at(i); i++) {
            const hf_name *name = hf_name_at(i);
            if ((layer && !strchr(name->name, '#')) || (name->tensor == TENSOR_CLASSIFIER && w->f->shared_classifier))
                continue;
            for (int expert = 0; hf_has(w->f, &w->choice.form, name, layer, expert); expert++)
                if (hf_add_tensor(w, name, layer, expert)) return -1;
        }
    return 0;
}

/* A tensor goes into the next file if it does not fit into this one. */
static int hf_fill_shards(hf_writer *w, uint64_t limit) {
    w->shard_bytes = calloc(w->n_tensors + 1, sizeof *w->shard_bytes);
    if (!w->shard_bytes) return hf_fail(w, "no memory");
    int shard = 0;
    for (size_t i = 0; i < w->n_tensors; i++) {
        hf_out_tensor *t = &w->tensors[i];
        if (w->shard_bytes[shard] && w->shard_bytes[shard] + t->bytes > limit) shard++;
        t->shard = shard;
        w->shard_bytes[shard] += t->bytes;
        w->total += t->bytes;
    }
    w->n_shards = shard + 1;
    uint64_t *at = calloc((size_t)w->n_shards, sizeof *at);
    for (int bytes = 4; bytes >= 2 && at; bytes -= 2)
        for (size_t i = 0; i < w->n_tensors; i++) {
            hf_out_tensor *t = &w->tensors[i];
            if (hf_types[t->type].bytes == bytes) t->begin = at[t->shard], at[t->shard] += t->bytes;
        }
    free(at);
    return at ? 0 : hf_fail(w, "no memory");
}

/* ---- The files ---- */

enum { HF_NAME = 60 }; /* room for the name of a file */

static void hf_shard_name(const hf_writer *w, int shard, char *name) {
    if (w->n_shards == 1) snprintf(name, HF_NAME, "model.safetensors");
    else snprintf(name, HF_NAME, "model-%05d-of-%05d.safetensors", shard + 1, w->n_shards);
}

static const char hf_index_name[] = "model.safetensors.index.json";

static const char *const hf_files[] = {"config.json", "generation_config.json", "tokenizer.json",
                                       "tokenizer_config.json"};
enum { HF_CONFIG, HF_GENERATION, HF_TOKENIZER, HF_TOKENIZER_CONFIG, HF_FILES };

/* 1 for the name of a file that could be written here, also while it is. */
static int hf_may_be_ours(const char *name) {
    static const char part[] = ".part";
    char plain[HF_NAME];
    size_t n = strlen(name), digits = 0;
    if (n > sizeof part && !strcmp(name + n - (sizeof part - 1), part)) n -= sizeof part - 1;
    if (n >= sizeof plain) return 0;
    memcpy(plain, name, n);
    plain[n] = 0;
    for (int i = 0; i < HF_FILES; i++)
        if (!strcmp(plain, hf_files[i])) return 1;
    if (!strcmp(plain, hf_index_name) || !strcmp(plain, "model.safetensors")) return 1;
    int a, b, end = 0;
    for (size_t i = 0; i < n; i++) digits += plain[i] >= '0' && plain[i] <= '9';
    return digits >= 10 && sscanf(plain, "model-%d-of-%d.safetensors%n", &a, &b, &end) == 2 && (size_t)end == n;
}

typedef struct { /* a directory in the making */
    char *final; /* as it was named, without slashes behind */
    char *made;  /* where the files are until they are complete; NULL: final is there, and they go into it */
    int is_made; /* 1: of our making, and not yet renamed */
    struct hf_out_file {
        replacement r;
        char *path;
        int is_ended;
    } * files;
    int n;
} hf_output;

static int hf_refuse_foreign(void *user, const char *name) {
    const hf_writer *w = user;
    if (hf_may_be_ours(name)) return 0;
    return set_error(w->err, "%.100s: exists and has the file %.80s, which was not written here; not replaced",
                     w->directory, name);
}

/* Is what is there of our making? Files of such names alone have many directories. */
static int hf_check_made_here(const hf_writer *w) {
    char *path = path_join(w->directory, hf_files[HF_CONFIG], w->err), *text = NULL;
    size_t size;
    int result = path ? 0 : -1;
    if (path && file_is_in(w->directory, hf_files[HF_CONFIG])) {
        text = file_read(path, (size_t)1 << 24, &size, NULL);
        if (!text || !strstr(text, HF_WRITTEN_BY))
            result = hf_fail(w, "exists and is a model that was not written here; not replaced");
    } else if (path && file_is_in(w->directory, "model.safetensors")) {
        result = hf_fail(w, "exists and has a model.safetensors; not replaced");
    }
    free(text), free(path);
    return result;
}

typedef struct {
    const hf_output *o;
    const char *directory;
} hf_cleaning;

/* Removes a file of ours unless it is among those that were just written. */
static int hf_clean(void *user, const char *name) {
    const hf_cleaning *c = user;
    for (int i = 0; c->o && i < c->o->n; i++) {
        const char *path = c->o->files[i].path, *slash = strrchr(path, '/');
        if (!strcmp(slash ? slash + 1 : path, name)) return 0;
    }
    char *path = hf_may_be_ours(name) ? path_join(c->directory, name, NULL) : NULL;
    if (path) remove(path);
    free(path);
    return 0;
}

/* A directory that is not there is made under another name; what an interrupted run left there goes. */
static int hf_open_output(hf_writer *w, hf_output *o) {
    size_t n = strlen(w->directory);
    while (n > 1 && w->directory[n - 1] == '/') n--;
    o->final = malloc(n + 1);
    o->made = malloc(n + sizeof ".part");
    o->files = calloc((size_t)w->n_shards + HF_FILES + 1, sizeof *o->files);
    if (!o->final || !o->made || !o->files) return hf_fail(w, "no memory");
    snprintf(o->final, n + 1, "%s", w->directory);
    snprintf(o->made, n + sizeof ".part", "%.*s.part", (int)n, w->directory);
    if (is_directory(o->final)) {
        free(o->made);
        o->made = NULL;
        return directory_each(o->final, hf_refuse_foreign, w, w->err) ? -1 : hf_check_made_here(w);
    }
    if (file_start(o->final, &(char){0}, 1) >= 0) return hf_fail(w, "exists and is no directory; not replaced");
    if (is_directory(o->made)) {
        directory_each(o->made, hf_clean, &(hf_cleaning){NULL, o->made}, NULL);
        directory_remove(o->made);
    }
    if (directory_make(o->made, w->err)) return -1;
    o->is_made = 1;
    return 0;
}

/* The file to write to; NULL with a message. */
static FILE *hf_open_file(hf_writer *w, hf_output *o, const char *name) {
    struct hf_out_file *file = &o->files[o->n];
    file->path = path_join(o->made ? o->made : o->final, name, w->err);
    if (!file->path || replacement_open(&file->r, file->path, w->err)) return free(file->path), NULL;
    o->n++;
    return file->r.file;
}

static int hf_close_file(hf_writer *w, hf_output *o) { return replacement_close(&o->files[o->n - 1].r, w->err); }

/* All files get their names, then the directory its own. */
static int hf_complete(hf_writer *w, hf_output *o) {
    for (int i = 0; i < o->n; i++) {
        o->files[i].is_ended = 1;
        if (replacement_end(&o->files[i].r, w->err)) return -1;
    }
    if (!o->made) return directory_each(o->final, hf_clean, &(hf_cleaning){o, o->final}, w->err);
    if (rename(o->made, o->final))
        return set_error(w->err, "%.150s: cannot rename %.60s: %s", w->directory, o->made, strerror(errno));
    o->is_made = 0;
    return 0;
}

/* Unless it was completed nothing stays. */
static void hf_drop_output(hf_output *o) {
    for (int i = 0; i < o->n; i++) {
        if (!o->files[i].is_ended) replacement_drop(&o->files[i].r);
        if (o->is_made) remove(o->files[i].path);
        free(o->files[i].path);
    }
    if (o->is_made) directory_remove(o->made);
    free(o->files), free(o->made), free(o->final);
}

/* ---- Writing ---- */

static int hf_put(hf_writer *w, FILE *file, const void *data, size_t size) {
    errno = 0;
    w->written += size;
    if (fwrite(data, 1, size, file) == size) return 0;
    return set_error(w->err, "%.150s: cannot write: %s", w->directory, errno ? strerror(errno) : "no reason is known");
}

static void hf_put_entry(const hf_out_tensor *t, json_out *header) {
    char name[100];
    hf_write_name(t->name->name, t->layer, t->expert, name, sizeof name);
    json_put(header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", name, hf_types[t->type].name);
    if (!t->is_vector) json_put(header, "%d,", t->rows);
    json_put(header, "%d],\"data_offsets\":[%llu,%llu]}", t->cols, (unsigned long long)t->begin,
             (unsigned long long)(t->begin + t->bytes));
}

/* The tensors of a file in the order of their data: larger values first. 0, or what visit returned. */
static int hf_each_in(hf_writer *w, int shard, int (*visit)(hf_writer *w, const hf_out_tensor *t, void *user),
                      void *user) {
    int result = 0;
    for (int bytes = 4; bytes >= 2; bytes -= 2)
        for (size_t i = 0; i < w->n_tensors && !result; i++)
            if (w->tensors[i].shard == shard && hf_types[w->tensors[i].type].bytes == bytes)
                result = visit(w, &w->tensors[i], user);
    return result;
}

static int hf_visit_entry(hf_writer *w, const hf_out_tensor *t, void *header) {
    (void)w;
    hf_put_entry(t, header);
    return 0;
}

/* Filled up with spaces, so that data begins at a multiple of 8. */
static int hf_put_header(hf_writer *w, FILE *file, int shard) {
    json_out header = {NULL, 0, 0, 0};
    unsigned char size[8];
    json_put(&header, "{\"__metadata__\":{\"format\":\"pt\"}");
    hf_each_in(w, shard, hf_visit_entry, &header);
    json_put(&header, "}");
    while (header.size % 8 && !header.failed) json_put(&header, " ");
    put_uint(size, header.size, 8);
    int result = header.failed ? hf_fail(w, "no memory") : 0;
    if (!result) result = hf_put(w, file, size, 8);
    if (!result) result = hf_put(w, file, header.text, header.size);
    json_out_free(&header);
    return result;
}

static int hf_bad_value(const hf_writer *w, const hf_out_tensor *t) {
    char name[100];
    hf_write_name(t->name->name, t->layer, t->expert, name, sizeof name);
    return overflow_refuse(w->err, w->directory, name, hf_types[t->type].name);
}

typedef struct { /* what a tensor is written with */
    FILE *file;
    float *values;
    unsigned char *bytes;
    hf_origin *origins;
} hf_room;

static int hf_put_bytes(hf_writer *w, const hf_room *room, size_t size) {
    if (hf_put(w, room->file, room->bytes, size)) return -1;
    w->done += size;
    return hf_report_progress(w);
}

static int hf_put_matrix(hf_writer *w, const hf_out_tensor *t, const hf_room *room, int chunk) {
    const size_t row = (size_t)t->cols * (size_t)hf_types[t->type].bytes;
    const float end = overflow_end(hf_types[t->type].name);
    for (int first = 0, n; first < t->rows; first += n) {
        int overflows = 0;
        n = t->rows - first < chunk ? t->rows - first : chunk;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) reduction(+ : overflows)
#endif
        for (int i = 0; i < n; i++) {
            const hf_origin from = room->origins[first + i];
            float *values = room->values + (size_t)i * (size_t)t->cols;
            inside_rows(w->in->model, from.tensor, t->layer, from.row, 1, values);
            hf_encode(t->type, values, t->cols, room->bytes + (size_t)i * row);
            overflows += overflow_count(end, values, (size_t)t->cols);
        }
        if (overflows) return hf_bad_value(w, t);
        if (hf_put_bytes(w, room, (size_t)n * row)) return -1;
    }
    return 0;
}

static int hf_put_tensor(hf_writer *w, const hf_out_tensor *t, void *file) {
    const int chunk = t->cols < HF_CHUNK ? HF_CHUNK / t->cols : 1;
    const size_t n = (size_t)t->cols * (size_t)(chunk < t->rows ? chunk : t->rows) + (size_t)t->cols;
    hf_room room = {file, malloc(n * sizeof(float)), malloc(4 * n), hf_origins(w, t)};
    int result = -1;
    if (!room.values || !room.bytes || !room.origins) {
        hf_fail(w, "no memory");
    } else if (t->is_vector) {
        hf_vector(w, t, room.origins, room.values + t->cols, room.values);
        hf_encode(t->type, room.values, t->cols, room.bytes);
        result = hf_put_bytes(w, &room, t->bytes);
    } else {
        result = hf_put_matrix(w, t, &room, chunk);
    }
    free(room.values), free(room.bytes), free(room.origins);
    return result;
}

static int hf_put_shard(hf_writer *w, hf_output *o, int shard) {
    char name[HF_NAME];
    hf_shard_name(w, shard, name);
    FILE *file = hf_open_file(w, o, name);
    if (!file || hf_put_header(w, file, shard) || hf_each_in(w, shard, hf_put_tensor, file)) return -1;
    return hf_close_file(w, o);
}

static int hf_put_text(hf_writer *w, hf_output *o, const char *name, const json_out *text) {
    FILE *file = hf_open_file(w, o, name);
    return file && !hf_put(w, file, text->text, text->size) ? hf_close_file(w, o) : -1;
}

static int hf_put_index(hf_writer *w, hf_output *o) {
    json_out j = {NULL, 0, 0, 0};
    char name[100], file[HF_NAME];
    json_put(&j, "{\n  \"metadata\": {\"total_size\": %llu},\n  \"weight_map\": {", (unsigned long long)w->total);
    for (size_t i = 0; i < w->n_tensors; i++) {
        hf_write_name(w->tensors[i].name->name, w->tensors[i].layer, w->tensors[i].expert, name, sizeof name);
        hf_shard_name(w, w->tensors[i].shard, file);
        json_key_text(&j, 2, name, file);
    }
    json_end(&j, 1, '{');
    json_end(&j, 0, '{');
    json_put(&j, "\n");
    const int result = j.failed ? hf_fail(w, "no memory") : hf_put_text(w, o, hf_index_name, &j);
    json_out_free(&j);
    return result;
}

/* ---- All of it ---- */

typedef struct {
    json_out file[HF_FILES]; /* without text: not to be written */
    char note[120];
} hf_texts;

static void hf_put_generation(json_out *j, const tokenizer_parts *tokens) {
    json_put(j, "{");
    hf_write_token_ids(j, tokens);
    json_end(j, 0, '{');
    json_put(j, "\n");
}

/* What is said of the weights, before any are written: most that is refused is refused here. */
static int hf_make_texts(hf_writer *w, hf_texts *texts) {
    const tokenizer *t = w->in->tokenizer;
    tokenizer_parts parts;
    if (t) tokenizer_get_parts(t, &parts);
    const hf_config_input in = {w->in->model, t ? &parts : NULL, hf_types[w->type].torch};
    if (hf_write_config(&in, w->directory, &texts->file[HF_CONFIG], &w->choice, w->err)) return -1;
    if (t) hf_put_generation(&texts->file[HF_GENERATION], &parts);
    if (t && hf_write_tokenizer(t, w->f->seq_len, w->directory, &texts->file[HF_TOKENIZER],
                                &texts->file[HF_TOKENIZER_CONFIG], texts->note, sizeof texts->note, w->err))
        return -1;
    for (int i = 0; i < HF_FILES; i++)
        if (texts->file[i].failed) return hf_fail(w, "no memory");
    return 0;
}

static int hf_write_files(hf_writer *w, hf_output *o, const hf_texts *texts) {
    if (hf_open_output(w, o)) return -1;
    for (int i = 0; i < w->n_shards; i++)
        if (hf_put_shard(w, o, i)) return -1;
    if (w->n_shards > 1 && hf_put_index(w, o)) return -1;
    for (int i = 0; i < HF_FILES; i++)
        if (texts->file[i].text && hf_put_text(w, o, hf_files[i], &texts->file[i])) return -1;
    return hf_complete(w, o);
}

static void hf_add_note(export_report *report, const char *text) {
    const size_t n = strlen(report->note);
    snprintf(report->note + n, sizeof report->note - n, "%s%s", n ? "; " : "", text);
}

static void hf_fill_report(const hf_writer *w, const hf_texts *texts, export_report *report) {
    char text[80];
    memset(report, 0, sizeof *report);
    report->format = "Hugging Face";
    report->bytes = w->written;
    snprintf(report->type, sizeof report->type, "%s", hf_types[w->type].name);
    snprintf(report->architecture, sizeof report->architecture, "%s", w->choice.family->architecture);
    if (!w->in->tokenizer) hf_add_note(report, "without a tokenizer");
    if (*texts->note) hf_add_note(report, texts->note);
    if (w->n_wide) {
        snprintf(text, sizeof text, "%d vectors in F32, which %s would round", w->n_wide, hf_types[w->type].name);
        hf_add_note(report, text);
    }
    if (w->choice.is_near) hf_add_note(report, "the rotary table is its parameters' but for the last bits");
    if (w->choice.family->traits & (HF_MINICPM | HF_BIAS))
        hf_add_note(report, "transformers needs this model's own code");
}

int hf_write_directory(const export_input *in, const char *directory, uint64_t shard_bytes, export_report *report,
                       llama_error *err) {
    hf_writer w = {.in = in, .f = llama_get_config(in->model), .directory = directory, .err = err};
    hf_output output = {.n = 0};
    hf_texts texts = {.note = ""};
    int result = -1;
    if (!hf_choose_type(&w) && !hf_make_texts(&w, &texts) && !hf_list_tensors(&w) && !hf_fill_shards(&w, shard_bytes))
        result = hf_write_files(&w, &output, &texts);
    if (!result && report) hf_fill_report(&w, &texts, report);
    hf_drop_output(&output);
    for (int i = 0; i < HF_FILES; i++) json_out_free(&texts.file[i]);
    free(w.tensors), free(w.shard_bytes);
    return result;
}

int export_hf(const export_input *in, const char *directory, export_report *report, llama_error *err) {
    return hf_write_directory(in, directory, HF_SHARD_BYTES, report, err);
}
