/* onnx_run.c - see onnx_run.h. First the file, then operators. */
#include "onnx_run.h"
#include "../tools/shared/files.h"
#include "../tools/shared/numbers.h"
#include "checkpoint.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_wrong(run_graph *g, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (!*g->error) vsnprintf(g->error, sizeof g->error, format, args);
    va_end(args);
    return 0;
}

/* ---- Protocol buffers ---- */

typedef struct {
    const unsigned char *p, *end;
} run_bytes;

typedef struct {
    int number, written_as; /* 0: value is a whole number; 2: bytes */
    uint64_t value;
    run_bytes bytes;
} run_field;

static int run_varint(run_bytes *b, uint64_t *out) {
    *out = 0;
    for (int shift = 0; shift < 64 && b->p < b->end; shift += 7) {
        const unsigned char byte = *b->p++;
        *out |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return 1;
    }
    return 0;
}

/* 0 at the end, or where something is wrong. */
static int run_next(run_graph *g, run_bytes *b, run_field *f) {
    uint64_t tag;
    if (b->p == b->end) return 0;
    if (!run_varint(b, &tag)) return run_wrong(g, "a tag is cut off");
    f->number = (int)(tag >> 3), f->written_as = (int)(tag & 7);
    if (f->written_as != 0 && f->written_as != 2)
        return run_wrong(g, "field %d is written as %d", f->number, f->written_as);
    if (!run_varint(b, &f->value)) return run_wrong(g, "field %d is cut off", f->number);
    if (f->written_as == 0) return 1;
    if (f->value > (uint64_t)(b->end - b->p)) return run_wrong(g, "field %d is longer than what it is in", f->number);
    f->bytes = (run_bytes){b->p, b->p + f->value};
    b->p += f->value;
    return 1;
}

static void run_text(run_graph *g, const run_field *f, char *out, size_t size) {
    const size_t n = (size_t)(f->bytes.end - f->bytes.p);
    if (f->written_as != 2 || n >= size || !n || memchr(f->bytes.p, 0, n))
        run_wrong(g, "field %d is no name", f->number);
    else memcpy(out, f->bytes.p, n), out[n] = 0;
}

static void run_unknown(run_graph *g, const char *what, const run_field *f) {
    run_wrong(g, "field %d of %s is not one that it has here", f->number, what);
}

/* ---- The graph in the file ---- */

run_value *run_find(run_graph *g, const char *name) {
    for (int i = 0; i < g->n_values; i++)
        if (!strcmp(g->values[i].name, name)) return &g->values[i];
    return NULL;
}

static int run_new_value(run_graph *g, const run_value *v) {
    if (run_find(g, v->name)) run_wrong(g, "%s is there twice", v->name);
    g->values = realloc(g->values, (size_t)(g->n_values + 1) * sizeof *g->values);
    if (!g->values) exit(1);
    g->values[g->n_values] = *v;
    return g->n_values++;
}

static size_t run_count(const run_value *v) {
    size_t n = 1;
    for (int i = 0; i < v->rank; i++) n *= (size_t)v->dims[i];
    return n;
}

static size_t run_size(int type) { return type == RUN_INT64 ? 8 : type == RUN_FLOAT ? 4 : type == RUN_FLOAT16 ? 2 : 0; }

static void run_numbers(run_value *v, const unsigned char *p) {
    const size_t n = run_count(v), size = run_size(v->type);
    v->x = xmalloc((n + 1) * sizeof *v->x);
    for (size_t i = 0; i < n; i++, p += size)
        v->x[i] = v->type == RUN_INT64   ? (double)(int64_t)get_uint(p, 8)
                  : v->type == RUN_FLOAT ? (double)get_f32(p)
                                         : (double)float_of_f16((uint16_t)get_uint(p, 2));
}

/* Where the bytes of an initializer are, in a second file: key and value. */
static void run_read_entry(run_graph *g, run_bytes b, run_value *v) {
    char key[16] = "", value[80] = "";
    run_field f;
    while (run_next(g, &b, &f))
        if (f.number == 1) run_text(g, &f, key, sizeof key);
        else if (f.number == 2) run_text(g, &f, value, sizeof value);
        else run_unknown(g, "an entry", &f);
    if (!strcmp(key, "offset")) v->offset = strtoull(value, NULL, 10);
    else if (!strcmp(key, "length")) v->outside = strtoull(value, NULL, 10);
    else if (strcmp(key, "location")) run_wrong(g, "%s is told of %s", key, v->name);
    else if (*g->location && strcmp(g->location, value)) run_wrong(g, "%s and %s", g->location, value);
    else strcpy(g->location, value);
}

static void run_read_initializer(run_graph *g, run_bytes b) {
    run_value v = {.given = 1};
    run_field f, raw = {.bytes = {NULL, NULL}};
    int elsewhere = 0;
    while (run_next(g, &b, &f))
        if (f.number == 1 && v.rank < RUN_DIMS) v.dims[v.rank++] = (int64_t)f.value;
        else if (f.number == 2) v.type = (int)f.value;
        else if (f.number == 8) run_text(g, &f, v.name, sizeof v.name);
        else if (f.number == 9) raw = f;
        else if (f.number == 13) run_read_entry(g, f.bytes, &v);
        else if (f.number == 14) elsewhere = (int)f.value;
        else run_unknown(g, "an initializer", &f);
    const size_t bytes = run_count(&v) * run_size(v.type);
    const uint64_t have = elsewhere ? v.outside : (uint64_t)(raw.bytes.end - raw.bytes.p);
    if (!bytes || have != bytes || elsewhere != (v.outside > 0) || (elsewhere && raw.bytes.p))
        run_wrong(g, "%s has %llu bytes, not %zu", v.name, (unsigned long long)have, bytes);
    else if (elsewhere) g->outside += bytes;
    else run_numbers(&v, raw.bytes.p), g->inside += bytes;
    run_new_value(g, &v);
}

/* An input or output of the graph; dims that are only named are -1. */
static void run_read_value(run_graph *g, run_bytes b, int output) {
    run_value v = {.given = !output, .output = output};
    run_field f, type = {0}, tensor = {0}, shape = {0};
    while (run_next(g, &b, &f))
        if (f.number == 1) run_text(g, &f, v.name, sizeof v.name);
        else if (f.number == 2) type = f;
        else run_unknown(g, "a value", &f);
    while (run_next(g, &type.bytes, &f))
        if (f.number == 1) tensor = f;
        else run_unknown(g, "a type", &f);
    while (run_next(g, &tensor.bytes, &f))
        if (f.number == 1) v.type = (int)f.value;
        else if (f.number == 2) shape = f;
        else run_unknown(g, "a tensor's type", &f);
    while (run_next(g, &shape.bytes, &f)) {
        run_field dim = {0};
        if (f.number != 1 || v.rank == RUN_DIMS) run_unknown(g, "a shape", &f);
        else if (!run_next(g, &f.bytes, &dim) || dim.number > 2) run_unknown(g, "a dimension", &dim);
        else v.dims[v.rank++] = dim.number == 1 ? (int64_t)dim.value : -1;
    }
    v.declared_type = v.type, v.declared_rank = v.rank;
    memcpy(v.declared, v.dims, sizeof v.declared);
    run_new_value(g, &v);
}

static void run_read_attribute(run_graph *g, run_bytes b, run_node *node) {
    run_field f;
    int type = 0;
    if (*node->attribute) run_wrong(g, "%s has two attributes", node->name);
    while (run_next(g, &b, &f))
        if (f.number == 1) run_text(g, &f, node->attribute, sizeof node->attribute);
        else if ((f.number == 3 || f.number == 8) && node->n_ints < RUN_DIMS)
            node->ints[node->n_ints++] = (int64_t)f.value;
        else if (f.number == 20) type = (int)f.value;
        else run_unknown(g, "an attribute", &f);
    const int list = !strcmp(node->attribute, "perm") || !strcmp(node->attribute, "axes");
    if (type != (list ? 7 : 2) || (!list && node->n_ints != 1)) run_wrong(g, "%s is of type %d", node->attribute, type);
}

/* Inputs must be there; outputs must not, but for what the graph was said to give. */
static void run_read_node(run_graph *g, run_bytes b) {
    run_node n = {.n_in = 0};
    run_field f;
    while (run_next(g, &b, &f)) {
        char name[80] = "";
        if (f.number == 1 || f.number == 2) run_text(g, &f, name, sizeof name);
        run_value *v = run_find(g, name);
        if (f.number == 1 && n.n_in < RUN_INPUTS) {
            if (!v || (v->output && !v->used)) run_wrong(g, "%s is used before it is there", name);
            else v->used = 1, n.in[n.n_in++] = (int)(v - g->values);
        } else if (f.number == 2 && n.n_out < RUN_OUTPUTS) {
            run_value made = {.given = 0};
            strcpy(made.name, name);
            if (v && v->output && !v->used) v->used = 1, n.out[n.n_out++] = (int)(v - g->values);
            else n.out[n.n_out++] = run_new_value(g, &made);
        } else if (f.number == 3) run_text(g, &f, n.name, sizeof n.name);
        else if (f.number == 4) run_text(g, &f, n.operator, sizeof n.operator);
        else if (f.number == 5) run_read_attribute(g, f.bytes, &n);
        else run_unknown(g, "a node", &f);
    }
    for (int i = 0; i < g->n_nodes; i++)
        if (!strcmp(g->nodes[i].name, n.name)) run_wrong(g, "two nodes are %s", n.name);
    g->nodes = realloc(g->nodes, (size_t)(g->n_nodes + 1) * sizeof *g->nodes);
    if (!g->nodes) exit(1);
    g->nodes[g->n_nodes++] = n;
}

/* Initializers, inputs and outputs first, wherever they stand: nodes need them. */
static void run_read_graph(run_graph *g, run_bytes all) {
    char name[80] = "";
    run_field f;
    for (run_bytes b = all; run_next(g, &b, &f);)
        if (f.number == 5) run_read_initializer(g, f.bytes);
        else if (f.number == 11 || f.number == 12) run_read_value(g, f.bytes, f.number == 12);
        else if (f.number == 2) run_text(g, &f, name, sizeof name);
        else if (f.number != 1) run_unknown(g, "a graph", &f);
    for (run_bytes b = all; !*g->error && run_next(g, &b, &f);)
        if (f.number == 1) run_read_node(g, f.bytes);
    if (!*name) run_wrong(g, "the graph has no name");
    for (int i = 0; i < g->n_values; i++)
        if ((g->values[i].given || g->values[i].output) && !g->values[i].used)
            run_wrong(g, "%s is not used, or not given", g->values[i].name);
}

static void run_read_model(run_graph *g, run_bytes b) {
    run_field f, graph = {0}, opset = {0};
    int ir = 0, version = 0;
    while (run_next(g, &b, &f))
        if (f.number == 1) ir = (int)f.value;
        else if (f.number == 7 && !graph.number) graph = f;
        else if (f.number == 8 && !opset.number) opset = f;
        else if (f.number != 2 && f.number != 3 && f.number != 14) run_unknown(g, "a model", &f);
    while (run_next(g, &opset.bytes, &f))
        if (f.number == 2) version = (int)f.value; /* no domain: ONNX's own */
        else run_unknown(g, "an opset", &f);
    if (ir != 8 || version != 17) run_wrong(g, "IR %d, opset %d", ir, version);
    if (!*g->error) run_read_graph(g, graph.bytes);
}

/* The second file: every initializer at a page of its own, in its order, and nothing behind the last. */
static void run_read_outside(run_graph *g, const char *path) {
    char name[400];
    const char *slash = strrchr(path, '/');
    size_t size = 0;
    uint64_t at = 0;
    snprintf(name, sizeof name, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, g->location);
    unsigned char *bytes = (unsigned char *)file_read(name, SIZE_MAX / 2, &size, NULL);
    if (!bytes) run_wrong(g, "no %s", name);
    for (int i = 0; bytes && i < g->n_values; i++) {
        run_value *v = &g->values[i];
        if (!v->outside) continue;
        if (v->offset != (at + 4095) / 4096 * 4096 || v->offset + v->outside > size)
            run_wrong(g, "%s is not there", v->name);
        else run_numbers(v, bytes + v->offset);
        at = v->offset + v->outside;
    }
    if (at != size) run_wrong(g, "%s has %zu bytes", name, size);
    free(bytes);
}

run_graph run_read(const char *path) {
    run_graph g = {.values = NULL};
    size_t size = 0;
    unsigned char *bytes = (unsigned char *)file_read(path, SIZE_MAX / 2, &size, NULL);
    if (bytes) run_read_model(&g, (run_bytes){bytes, bytes + size});
    else run_wrong(&g, "no %s", path);
    if (!*g.error && *g.location) run_read_outside(&g, path);
    free(bytes);
    return g;
}

void run_free(run_graph *g) {
    for (int i = 0; i < g->n_values; i++) free(g->values[i].x);
    free(g->values), free(g->nodes);
    memset(g, 0, sizeof *g);
}

/* ---- Operators ---- */

typedef struct { /* a node that is computed */
    run_graph *g;
    const run_node *node;
    run_value *out[RUN_OUTPUTS];
    const run_value *in[RUN_INPUTS];
} run_call;

/* Room for an output. */
static double *run_make(run_value *v, int type, int rank, const int64_t *dims) {
    free(v->x);
    v->type = type, v->rank = rank;
    for (int i = 0; i < rank; i++) v->dims[i] = dims[i];
    v->x = xmalloc((run_count(v) + 1) * sizeof *v->x);
    return v->x;
}

static int run_bad(const run_call *c, const char *why) { return run_wrong(c->g, "%s: %s", c->node->name, why); }

/* The axis that an attribute or a number names, of so many; -1: none. */
static int run_axis(int64_t axis, int rank) {
    if (axis < 0) axis += rank;
    return axis >= 0 && axis < rank ? (int)axis : -1;
}

/* How many numbers stand behind, and before, one step along an axis. */
static size_t run_inner(const run_value *v, int axis) {
    size_t n = 1;
    for (int i = axis + 1; i < v->rank; i++) n *= (size_t)v->dims[i];
    return n;
}
static size_t run_outer(const run_value *v, int axis) {
    size_t n = 1;
    for (int i = 0; i < axis; i++) n *= (size_t)v->dims[i];
    return n;
}

/* Number at of an output of these dims comes from this number of v, whose dims of 1 are stretched. */
static size_t run_stretched(const run_value *v, const run_value *out, size_t at) {
    size_t from = 0, step = 1;
    for (int i = 1; i <= out->rank; i++) {
        const size_t size = (size_t)out->dims[out->rank - i], here = at % size;
        at /= size;
        if (i > v->rank) continue;
        if (v->dims[v->rank - i] != 1) from += here * step;
        step *= (size_t)v->dims[v->rank - i];
    }
    return from;
}

/* The dims that n inputs are stretched to. */
static int run_stretch(const run_call *c, int n, int type) {
    int64_t dims[RUN_DIMS];
    int rank = 0;
    for (int i = 0; i < n; i++) rank = c->in[i]->rank > rank ? c->in[i]->rank : rank;
    for (int k = 1; k <= rank; k++) {
        int64_t size = 1;
        for (int i = 0; i < n; i++) {
            const int64_t have = k <= c->in[i]->rank ? c->in[i]->dims[c->in[i]->rank - k] : 1;
            if (have != 1 && size != 1 && have != size) return run_bad(c, "inputs do not fit");
            if (have != 1) size = have;
        }
        dims[rank - k] = size;
    }
    run_make(c->out[0], type, rank, dims);
    return 1;
}

static double run_of_two(int operator, double a, double b) {
    switch (operator) {
    case '+': return a + b;
    case '-': return a - b;
    case '*': return a * b;
    case '/': return a / b;
    case '^': return pow(a, b);
    case '>': return a > b;
    case '<': return a <= b;
    default: return a != 0 || b != 0;
    }
}

static int run_two(const run_call *c, int operator) {
    const int type = c->in[0]->type, truth = strchr("><|", operator) != NULL;
    if (type != c->in[1]->type || (operator== '|') != (type == RUN_BOOL)) return run_bad(c, "types");
    if (type != RUN_FLOAT && strchr("*/^", operator)) return run_bad(c, "types");
    if (!run_stretch(c, 2, truth ? RUN_BOOL : type)) return 0;
    run_value *out = c->out[0];
    for (size_t i = 0, n = run_count(out); i < n; i++)
        out->x[i] = run_of_two(operator, c->in[0]->x[run_stretched(c->in[0], out, i)],
                               c->in[1]->x[run_stretched(c->in[1], out, i)]);
    return 1;
}

static int run_where(const run_call *c) {
    if (c->in[0]->type != RUN_BOOL || c->in[1]->type != c->in[2]->type) return run_bad(c, "types");
    if (!run_stretch(c, 3, c->in[1]->type)) return 0;
    run_value *out = c->out[0];
    for (size_t i = 0, n = run_count(out); i < n; i++) {
        const run_value *from = c->in[0]->x[run_stretched(c->in[0], out, i)] != 0 ? c->in[1] : c->in[2];
        out->x[i] = from->x[run_stretched(from, out, i)];
    }
    return 1;
}

static int run_one(const run_call *c, int operator) {
    const run_value *in = c->in[0];
    if (in->type != RUN_FLOAT) return run_bad(c, "types");
    double *out = run_make(c->out[0], RUN_FLOAT, in->rank, in->dims);
    for (size_t i = 0, n = run_count(in); i < n; i++) {
        const double x = in->x[i];
        out[i] = operator== 'r' ? sqrt(x) : operator== '-' ? -x : operator== 't' ? tanh(x) : 1 /(1 + exp(-x));
    }
    return 1;
}

static int run_cast(const run_call *c) {
    if (c->in[0]->type != RUN_FLOAT16 || c->node->ints[0] != RUN_FLOAT) return run_bad(c, "types");
    memcpy(run_make(c->out[0], RUN_FLOAT, c->in[0]->rank, c->in[0]->dims), c->in[0]->x,
           run_count(c->in[0]) * sizeof(double));
    return 1;
}

static int run_gather(const run_call *c) {
    const run_value *data = c->in[0], *index = c->in[1];
    int64_t dims[RUN_DIMS];
    const int rank = data->rank - 1 + index->rank;
    if (c->node->ints[0] || index->type != RUN_INT64 || !data->rank || rank > RUN_DIMS)
        return run_bad(c, "axis or types");
    for (int i = 0; i < index->rank; i++) dims[i] = index->dims[i];
    for (int i = 1; i < data->rank; i++) dims[index->rank + i - 1] = data->dims[i];
    double *out = run_make(c->out[0], data->type, rank, dims);
    const size_t row = run_inner(data, 0);
    for (size_t i = 0, n = run_count(index); i < n; i++, out += row) {
        if (!(index->x[i] >= 0 && index->x[i] < (double)data->dims[0])) return run_bad(c, "an index is out of range");
        memcpy(out, data->x + (size_t)index->x[i] * row, row * sizeof *out);
    }
    return 1;
}

/* a . b, or a . b^T with a step of 1 to b's next column's row. */
static void run_multiply(double *out, const double *a, const double *b, size_t rows, size_t inner, size_t cols,
                         int transposed) {
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < cols; k++) {
            double sum = 0;
            for (size_t i = 0; i < inner; i++)
                sum += a[r * inner + i] * (transposed ? b[k * inner + i] : b[i * cols + k]);
            out[r * cols + k] = sum;
        }
}

static int run_gemm(const run_call *c) {
    const run_value *a = c->in[0], *b = c->in[1], *bias = c->node->n_in > 2 ? c->in[2] : NULL;
    if (a->rank != 2 || b->rank != 2 || a->dims[1] != b->dims[1] || c->node->ints[0] != 1) return run_bad(c, "shapes");
    if (a->type != RUN_FLOAT || b->type != RUN_FLOAT || (bias && bias->type != RUN_FLOAT)) return run_bad(c, "types");
    if (bias && (bias->rank != 1 || bias->dims[0] != b->dims[0])) return run_bad(c, "bias");
    const size_t rows = (size_t)a->dims[0], inner = (size_t)a->dims[1], cols = (size_t)b->dims[0];
    double *out = run_make(c->out[0], RUN_FLOAT, 2, (int64_t[]){a->dims[0], b->dims[0]});
    run_multiply(out, a->x, b->x, rows, inner, cols, 1);
    for (size_t i = 0; bias && i < rows * cols; i++) out[i] += bias->x[i % cols];
    return 1;
}

static int run_matmul(const run_call *c) {
    const run_value *a = c->in[0], *b = c->in[1];
    if (a->rank != 4 || b->rank != 4 || a->dims[0] != b->dims[0] || a->dims[1] != b->dims[1] ||
        a->dims[3] != b->dims[2])
        return run_bad(c, "shapes");
    if (a->type != RUN_FLOAT || b->type != RUN_FLOAT) return run_bad(c, "types");
    const size_t rows = (size_t)a->dims[2], inner = (size_t)a->dims[3], cols = (size_t)b->dims[3];
    double *out = run_make(c->out[0], RUN_FLOAT, 4, (int64_t[]){a->dims[0], a->dims[1], a->dims[2], b->dims[3]});
    for (size_t i = 0, n = (size_t)(a->dims[0] * a->dims[1]); i < n; i++)
        run_multiply(out + i * rows * cols, a->x + i * rows * inner, b->x + i * inner * cols, rows, inner, cols, 0);
    return 1;
}

/* Over the last axis, which stays, as 1. */
static int run_reduce(const run_call *c, int mean) {
    const run_value *in = c->in[0];
    const int64_t axis = mean ? c->node->ints[0] : (int64_t)c->in[1]->x[0];
    if (in->type != RUN_FLOAT || in->rank < 1 || run_axis(axis, in->rank) != in->rank - 1)
        return run_bad(c, "axis or types");
    if (c->node->n_in != (mean ? 1 : 2)) return run_bad(c, "inputs");
    int64_t dims[RUN_DIMS];
    memcpy(dims, in->dims, sizeof dims);
    dims[in->rank - 1] = 1;
    const size_t n = (size_t)in->dims[in->rank - 1];
    double *out = run_make(c->out[0], RUN_FLOAT, in->rank, dims);
    for (size_t r = 0, rows = run_count(c->out[0]); r < rows; r++) {
        out[r] = 0;
        for (size_t i = 0; i < n; i++) out[r] += in->x[r * n + i] / (mean ? (double)n : 1);
    }
    return 1;
}

static int run_softmax(const run_call *c) {
    const run_value *in = c->in[0];
    if (in->type != RUN_FLOAT || run_axis(c->node->ints[0], in->rank) != in->rank - 1)
        return run_bad(c, "axis or types");
    const size_t n = (size_t)in->dims[in->rank - 1];
    double *out = run_make(c->out[0], RUN_FLOAT, in->rank, in->dims);
    for (size_t at = 0, end = run_count(in); at < end; at += n) {
        double max = -INFINITY, sum = 0;
        for (size_t i = 0; i < n; i++) max = fmax(max, in->x[at + i]);
        for (size_t i = 0; i < n; i++) sum += out[at + i] = exp(in->x[at + i] - max);
        for (size_t i = 0; i < n; i++) out[at + i] /= sum;
    }
    return 1;
}

/* 0: as it is; one -1: what is left. */
static int run_reshape(const run_call *c) {
    const run_value *in = c->in[0], *shape = c->in[1];
    int64_t dims[RUN_DIMS] = {0}, known = 1;
    int open = -1;
    if (shape->type != RUN_INT64 || shape->rank != 1 || shape->dims[0] > RUN_DIMS) return run_bad(c, "shape");
    const int rank = (int)shape->dims[0];
    for (int i = 0; i < rank; i++) {
        dims[i] = (int64_t)shape->x[i];
        if (dims[i] == 0 && i < in->rank) dims[i] = in->dims[i];
        if (dims[i] == -1 && open < 0) open = i;
        else known *= dims[i];
    }
    if (open >= 0 && known > 0) dims[open] = (int64_t)run_count(in) / known;
    run_make(c->out[0], in->type, rank, dims);
    if (known < 0 || run_count(c->out[0]) != run_count(in)) return run_bad(c, "it does not fit");
    memcpy(c->out[0]->x, in->x, run_count(in) * sizeof(double));
    return 1;
}

static int run_unsqueeze(const run_call *c) {
    const run_value *in = c->in[0], *axes = c->in[1];
    int64_t dims[RUN_DIMS];
    if (axes->type != RUN_INT64 || axes->rank != 1 || axes->dims[0] != 1 || in->rank == RUN_DIMS)
        return run_bad(c, "axes");
    const int axis = run_axis((int64_t)axes->x[0], in->rank + 1);
    if (axis < 0) return run_bad(c, "axes");
    for (int i = 0; i <= in->rank; i++) dims[i] = i == axis ? 1 : in->dims[i - (i > axis)];
    memcpy(run_make(c->out[0], in->type, in->rank + 1, dims), in->x, run_count(in) * sizeof(double));
    return 1;
}

static int run_transpose(const run_call *c) {
    const run_value *in = c->in[0];
    int64_t dims[RUN_DIMS];
    size_t steps[RUN_DIMS];
    if (c->node->n_ints != in->rank) return run_bad(c, "perm");
    for (int i = 0; i < in->rank; i++) {
        const int from = run_axis(c->node->ints[i], in->rank);
        if (from < 0) return run_bad(c, "perm");
        dims[i] = in->dims[from], steps[i] = run_inner(in, from);
    }
    double *out = run_make(c->out[0], in->type, in->rank, dims);
    for (size_t i = 0, n = run_count(in); i < n; i++) {
        size_t left = i, from = 0;
        for (int k = in->rank - 1; k >= 0; left /= (size_t)dims[k--]) from += left % (size_t)dims[k] * steps[k];
        out[i] = in->x[from];
    }
    return 1;
}

static int run_concat(const run_call *c) {
    const run_value *a = c->in[0], *b = c->in[1];
    int64_t dims[RUN_DIMS];
    const int axis = run_axis(c->node->ints[0], a->rank);
    if (axis < 0 || c->node->n_in != 2 || a->rank != b->rank || a->type != b->type) return run_bad(c, "inputs");
    for (int i = 0; i < a->rank; i++) {
        dims[i] = a->dims[i];
        if (i == axis) dims[i] += b->dims[i];
        else if (a->dims[i] != b->dims[i]) return run_bad(c, "inputs do not fit");
    }
    const size_t left = (size_t)a->dims[axis] * run_inner(a, axis), right = (size_t)b->dims[axis] * run_inner(b, axis);
    double *out = run_make(c->out[0], a->type, a->rank, dims);
    for (size_t i = 0, n = run_outer(a, axis); i < n; i++, out += left + right) {
        memcpy(out, a->x + i * left, left * sizeof *out);
        memcpy(out + left, b->x + i * right, right * sizeof *out);
    }
    return 1;
}

/* In two even parts of the last axis. */
static int run_split(const run_call *c) {
    const run_value *in = c->in[0];
    int64_t dims[RUN_DIMS];
    if (c->node->n_in != 1 || c->node->n_out != 2 || in->rank < 1 || in->dims[in->rank - 1] % 2 ||
        run_axis(c->node->ints[0], in->rank) != in->rank - 1)
        return run_bad(c, "inputs");
    memcpy(dims, in->dims, sizeof dims);
    dims[in->rank - 1] /= 2;
    const size_t half = (size_t)dims[in->rank - 1];
    for (int k = 0; k < 2; k++) {
        double *out = run_make(c->out[k], in->type, in->rank, dims);
        for (size_t i = 0, n = run_count(c->out[k]); i < n; i++)
            out[i] = in->x[i / half * 2 * half + (size_t)k * half + i % half];
    }
    return 1;
}

static int run_shape(const run_call *c) {
    const int64_t rank = c->in[0]->rank;
    double *out = run_make(c->out[0], RUN_INT64, 1, &rank);
    for (int i = 0; i < rank; i++) out[i] = (double)c->in[0]->dims[i];
    return 1;
}

static int run_range(const run_call *c) {
    for (int i = 0; i < 3; i++)
        if (c->in[i]->rank || c->in[i]->type != RUN_INT64) return run_bad(c, "types");
    const double from = c->in[0]->x[0], to = c->in[1]->x[0], step = c->in[2]->x[0];
    const int64_t n = (int64_t)fmax(ceil((to - from) / step), 0);
    double *out = run_make(c->out[0], RUN_INT64, 1, &n);
    for (int64_t i = 0; i < n; i++) out[i] = from + (double)i * step;
    return 1;
}

static int run_zeros(const run_call *c) {
    const run_value *shape = c->in[0];
    int64_t dims[RUN_DIMS];
    if (shape->type != RUN_INT64 || shape->rank != 1 || shape->dims[0] > RUN_DIMS) return run_bad(c, "shape");
    for (int i = 0; i < shape->dims[0]; i++) dims[i] = (int64_t)shape->x[i];
    double *out = run_make(c->out[0], RUN_FLOAT, (int)shape->dims[0], dims);
    for (size_t i = 0, n = run_count(c->out[0]); i < n; i++) out[i] = 0;
    return 1;
}

/* The k largest of each row, the largest first, of equal ones the first; values and where they were. */
static int run_topk(const run_call *c) {
    const run_value *in = c->in[0], *k = c->in[1];
    if (in->rank != 2 || in->type != RUN_FLOAT || k->type != RUN_INT64 || k->rank != 1 ||
        run_axis(c->node->ints[0], 2) != 1 || c->node->n_out != 2)
        return run_bad(c, "inputs");
    const int n = (int)in->dims[1], best = (int)k->x[0];
    if (best < 1 || best > n) return run_bad(c, "k");
    const int64_t dims[] = {in->dims[0], best};
    double *value = run_make(c->out[0], RUN_FLOAT, 2, dims), *index = run_make(c->out[1], RUN_INT64, 2, dims);
    for (int r = 0; r < in->dims[0]; r++)
        for (int i = 0; i < n; i++) {
            const double *row = in->x + (size_t)r * (size_t)n;
            int rank = 0;
            for (int j = 0; j < n; j++) rank += row[j] > row[i] || (row[j] == row[i] && j < i);
            if (rank < best) value[r * best + rank] = row[i], index[r * best + rank] = i;
        }
    return 1;
}

static int run_scatter(const run_call *c) {
    const run_value *data = c->in[0], *index = c->in[1], *from = c->in[2];
    if (data->rank != 2 || index->rank != 2 || from->rank != 2 || c->node->ints[0] != 1 || index->type != RUN_INT64 ||
        data->type != from->type || index->dims[1] != from->dims[1] || index->dims[0] != from->dims[0])
        return run_bad(c, "inputs");
    double *out = run_make(c->out[0], data->type, 2, data->dims);
    memcpy(out, data->x, run_count(data) * sizeof *out);
    for (size_t i = 0, n = run_count(index), cols = (size_t)index->dims[1]; i < n; i++) {
        if (!(index->x[i] >= 0 && index->x[i] < (double)data->dims[1])) return run_bad(c, "an index is out of range");
        out[i / cols * (size_t)data->dims[1] + (size_t)index->x[i]] = from->x[i];
    }
    return 1;
}

/* ---- Running ---- */

/* Which attribute an operator has here, how many inputs, and what computes it. */
static const struct {
    const char *name, *attribute;
    int least, most; /* inputs */
    int (*run)(const run_call *c);
    int (*run_as)(const run_call *c, int kind);
    int kind;
} run_operators[] = {
    {"Add", "", 2, 2, NULL, run_two, '+'},
    {"Sub", "", 2, 2, NULL, run_two, '-'},
    {"Mul", "", 2, 2, NULL, run_two, '*'},
    {"Div", "", 2, 2, NULL, run_two, '/'},
    {"Pow", "", 2, 2, NULL, run_two, '^'},
    {"Greater", "", 2, 2, NULL, run_two, '>'},
    {"LessOrEqual", "", 2, 2, NULL, run_two, '<'},
    {"Or", "", 2, 2, NULL, run_two, '|'},
    {"Where", "", 3, 3, run_where, NULL, 0},
    {"Sqrt", "", 1, 1, NULL, run_one, 'r'},
    {"Neg", "", 1, 1, NULL, run_one, '-'},
    {"Tanh", "", 1, 1, NULL, run_one, 't'},
    {"Sigmoid", "", 1, 1, NULL, run_one, 's'},
    {"Cast", "to", 1, 1, run_cast, NULL, 0},
    {"Gather", "axis", 2, 2, run_gather, NULL, 0},
    {"Gemm", "transB", 2, 3, run_gemm, NULL, 0},
    {"MatMul", "", 2, 2, run_matmul, NULL, 0},
    {"ReduceMean", "axes", 1, 1, NULL, run_reduce, 1},
    {"ReduceSum", "", 2, 2, NULL, run_reduce, 0},
    {"Softmax", "axis", 1, 1, run_softmax, NULL, 0},
    {"Reshape", "", 2, 2, run_reshape, NULL, 0},
    {"Unsqueeze", "", 2, 2, run_unsqueeze, NULL, 0},
    {"Transpose", "perm", 1, 1, run_transpose, NULL, 0},
    {"Concat", "axis", 2, 2, run_concat, NULL, 0},
    {"Split", "axis", 1, 1, run_split, NULL, 0},
    {"Shape", "", 1, 1, run_shape, NULL, 0},
    {"Range", "", 3, 3, run_range, NULL, 0},
    {"ConstantOfShape", "", 1, 1, run_zeros, NULL, 0},
    {"TopK", "axis", 2, 2, run_topk, NULL, 0},
    {"ScatterElements", "axis", 3, 3, run_scatter, NULL, 0},
};

void run_feed(run_graph *g, const char *name, int rank, const int64_t *dims, const double *x) {
    run_value *v = run_find(g, name);
    if (!v || !v->given) {
        run_wrong(g, "%s is no input", name);
        return;
    }
    int fits = v->rank == rank; /* as it was declared, or fed before */
    for (int i = 0; fits && i < rank; i++) fits = v->dims[i] == dims[i] || v->dims[i] == -1 || v->x;
    if (!fits) run_wrong(g, "%s has another shape", name);
    double *to = fits ? run_make(v, v->type, rank, dims) : NULL;
    if (to) memcpy(to, x, run_count(v) * sizeof *x);
}

/* Outputs are what the graph says of them. */
static void run_check_outputs(run_graph *g) {
    for (int i = 0; i < g->n_values; i++) {
        const run_value *v = &g->values[i];
        int fits = v->type == v->declared_type && v->rank == v->declared_rank;
        for (int d = 0; fits && d < v->rank; d++) fits = v->declared[d] == -1 || v->declared[d] == v->dims[d];
        if (v->output && !fits) run_wrong(g, "%s is not what was declared", v->name);
    }
}

int run_run(run_graph *g) {
    const int n = (int)(sizeof run_operators / sizeof *run_operators);
    for (int i = 0; i < g->n_nodes && !*g->error; i++) {
        run_call c = {.g = g, .node = &g->nodes[i]};
        int k = 0;
        while (k < n && strcmp(run_operators[k].name, c.node->operator)) k++;
        if (k == n || strcmp(run_operators[k].attribute, c.node->attribute)) return run_bad(&c, "no such operator");
        if (c.node->n_in < run_operators[k].least || c.node->n_in > run_operators[k].most) return run_bad(&c, "inputs");
        for (int j = 0; j < c.node->n_in; j++) {
            c.in[j] = &g->values[c.node->in[j]];
            if (!c.in[j]->x) return run_bad(&c, "an input was not fed");
        }
        for (int j = 0; j < c.node->n_out; j++) c.out[j] = &g->values[c.node->out[j]];
        if (run_operators[k].run) run_operators[k].run(&c);
        else run_operators[k].run_as(&c, run_operators[k].kind);
    }
    if (!*g->error) run_check_outputs(g);
    return !*g->error;
}
