/* test_onnx.c - ONNX files: protocol buffers byte by byte; the graphs of models of every kind, which onnx_run.c reads
 * and runs, against llama.c and reference.c, as a prompt at once, step by step with the cache and cut at random places;
 * a second file for the weights; everything that can fail.
 */
#define _DEFAULT_SOURCE 1 /* symlink */

#include "test.h"

#include "checkpoint.c"
#include "models.c"
#include "kinds.c"
#include "onnx_run.c"
#include "reference.c"

#include "../tools/formats/onnx.h"
#include "../tools/formats/protobuf.h"
#include "../tools/shared/messages.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/stat.h>
#include <unistd.h>
#define HAVE_POSIX 1
#endif

static llama_error err;

/* The names that a file may have: its own, the second one's, and both before they are done. */
enum { ROOM = 30000 }; /* bytes: enough for a graph, too little for its weights */
enum { OWN, DATA, PART, DATA_PART, NAMES };
static char names[NAMES][300];
static void find_names(void) {
    static const char *const endings[NAMES] = {"", ".data", ".part", ".data.part"};
    const char *path = temporary_path();
    for (int i = 0; i < NAMES; i++) snprintf(names[i], sizeof names[i], "%s%s", path, endings[i]);
}
static void remove_all(void) {
    for (int i = 0; i < NAMES; i++) remove(names[i]);
}

/* ---- Protocol buffers ---- */

/* Compares what was written with bytes in hexadecimal, and empties it. */
static void written(protobuf *p, const char *want) {
    char got[1024] = "";
    for (size_t i = 0; i < p->size && 3 * i + 4 < sizeof got; i++) sprintf(got + 3 * i, "%02x ", (unsigned)p->data[i]);
    if (*got) got[strlen(got) - 1] = 0;
    CHECK(!p->failed);
    CHECK_TEXT(got, want);
    protobuf_free(p);
}

static void test_protobuf(void) {
    protobuf p = {NULL, 0, 0, 0};
    TEST("protobuf: numbers") {
        protobuf_uint(&p, 1, 150); /* as in the specification's first example */
        written(&p, "08 96 01");
        protobuf_uint(&p, 2, 0);
        protobuf_uint(&p, 15, 127);
        protobuf_uint(&p, 16, 128); /* a tag of two bytes */
        written(&p, "10 00 78 7f 80 01 80 01");
        protobuf_uint(&p, 1, UINT64_MAX); /* -1 */
        written(&p, "08 ff ff ff ff ff ff ff ff ff 01");
        protobuf_float(&p, 3, -1.5f);
        written(&p, "1d 00 00 c0 bf");
    }
    TEST("protobuf: texts and bytes") {
        protobuf_text(&p, 2, "testing");
        written(&p, "12 07 74 65 73 74 69 6e 67");
        protobuf_text(&p, 2, "");
        protobuf_bytes(&p, 1, "\0\377", 2);
        written(&p, "12 00 0a 02 00 ff");
        protobuf_announce(&p, 9, 300);
        protobuf_append(&p, "a", 1);
        written(&p, "4a ac 02 61");
        protobuf_announce(&p, 7, UINT64_C(1) << 40);
        written(&p, "3a 80 80 80 80 80 20");
    }
    TEST("protobuf: messages in messages") {
        const size_t outer = protobuf_open(&p, 3), inner = protobuf_open(&p, 1);
        protobuf_uint(&p, 1, 150);
        protobuf_close(&p, inner);
        protobuf_close(&p, protobuf_open(&p, 2));
        protobuf_close(&p, outer);
        written(&p, "1a 07 0a 03 08 96 01 12 00");
    }
    TEST("protobuf: messages whose length has two bytes and more") {
        static const size_t sizes[] = {127, 128, 16383, 16384, 3000000};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            char *text = xmalloc(sizes[i]);
            for (size_t k = 0; k < sizes[i]; k++) text[k] = (char)(k % 101);
            protobuf_uint(&p, 1, 1);
            const size_t at = protobuf_open(&p, 4);
            protobuf_append(&p, text, sizes[i]);
            protobuf_close(&p, at);
            run_bytes all = {p.data, p.data + p.size};
            run_graph g = {.values = NULL};
            run_field f;
            CHECK(run_next(&g, &all, &f) && f.number == 1 && run_next(&g, &all, &f) && f.number == 4 &&
                  all.p == all.end);
            CHECK(f.value == sizes[i] && !memcmp(f.bytes.p, text, sizes[i]));
            protobuf_free(&p), free(text);
        }
    }
}

/* ---- Graphs that run ---- */

enum { TOKENS = 40, CONTEXT = 64 };

/* A model of which all is known. */
typedef struct {
    model *m;
    file bytes;
    llama_model *loaded;
    double *weights; /* of the reference */
    int tokens[TOKENS];
    double *want; /* (TOKENS, vocab_size) */
    double worst; /* difference of a logit from the reference's, as a share of the largest */
} subject;

/* Numbers that a half has, so that an F16 file is no further off; norms and biases stay F32. */
static void round_matrices(model *m) {
    const llama_config *f = &m->in.config;
    for (int id = 0; id < TENSORS; id++)
        for (int l = 0, rows, cols; l < (id < TENSOR_OF_LAYER ? 1 : f->n_layers); l++)
            if (!tensor_is_vector((enum tensor)id) && tensor_shape(f, (enum tensor)id, l, &rows, &cols))
                for (int i = 0; i < rows * cols; i++) {
                    float *x = &m->weights[id][l][i];
                    *x = float_of_f16(inside_to_f16(*x));
                }
}

static int still_table; /* a rotary table that turns nothing; 0: none */

static subject subject_make(const llama_config *f, int halves, uint64_t seed) {
    subject s = {.m = model_make(f, INSIDE_F32, seed)};
    double margins[TOKENS];
    stop_some(s.m, &seed);
    for (int i = 0; i < f->head_dim / 2 && still_table; i++)
        s.m->weights[TENSOR_ROPE][0][still_table * f->head_dim / 2 + i] = 0;
    if (halves) round_matrices(s.m);
    s.bytes = model_file(s.m, NULL);
    s.loaded = llama_load_memory(s.bytes.bytes, s.bytes.size, NULL, &err);
    if (!s.loaded) printf("test: %s\n", err.text), exit(1);
    s.want = xmalloc(TOKENS * (size_t)f->vocab_size * sizeof *s.want);
    const reference_model r = model_reference(s.loaded, f->seq_len, &s.weights);
    for (int tries = 0, clear = 0; !clear && tries < 200; tries++) { /* none leaves the router in doubt */
        for (int i = 0; i < TOKENS; i++) s.tokens[i] = random_int(&seed, 0, f->vocab_size - 1);
        reference_forward(&r, s.tokens, TOKENS, s.want, margins);
        clear = 1;
        for (int i = 0; i < TOKENS; i++) clear &= margins[i] > 1e-4;
    }
    return s;
}

static void subject_free(subject *s) {
    llama_free(s->loaded);
    free(s->bytes.bytes), free(s->weights), free(s->want);
    model_free(s->m);
}

/* The cache as it is before anything. */
static void feed_nothing(run_graph *g, const llama_config *f) {
    const int64_t dims[] = {1, f->n_kv_heads, 0, f->head_dim};
    const double x = 0;
    for (int i = 0; i < 2 * f->n_layers; i++) {
        char name[40];
        snprintf(name, sizeof name, "past_key_values.%d.%s", i / 2, i % 2 ? "value" : "key");
        run_feed(g, name, 4, dims, &x);
    }
}

/* What the last call gave becomes the past of the next, but for the first `dropped` tokens. */
static void feed_present(run_graph *g, const llama_config *f, int dropped) {
    for (int i = 0; i < 2 * f->n_layers; i++) {
        char name[40];
        snprintf(name, sizeof name, "present.%d.%s", i / 2, i % 2 ? "value" : "key");
        const run_value *v = run_find(g, name);
        if (!CHECK(v && v->rank == 4 && v->dims[1] == f->n_kv_heads && v->dims[3] == f->head_dim)) return;
        const size_t width = (size_t)f->head_dim, all = (size_t)v->dims[2], gone = (size_t)dropped;
        const int64_t dims[] = {1, v->dims[1], v->dims[2] - dropped, v->dims[3]};
        double *x = xmalloc(((all - gone) * width * (size_t)v->dims[1] + 1) * sizeof *x);
        for (size_t h = 0; h < (size_t)v->dims[1]; h++)
            memcpy(x + h * (all - gone) * width, v->x + (h * all + gone) * width, (all - gone) * width * sizeof *x);
        snprintf(name, sizeof name, "past_key_values.%d.%s", i / 2, i % 2 ? "value" : "key");
        run_feed(g, name, 4, dims, x);
        free(x);
    }
}

/* Runs n tokens from position on; 0: it failed. */
static int run_tokens(run_graph *g, subject *s, const llama_config *f, int position, int n) {
    double ids[TOKENS];
    const double at = position;
    for (int i = 0; i < n; i++) ids[i] = s->tokens[position + i];
    run_feed(g, "input_ids", 2, (int64_t[]){1, n}, ids);
    run_feed(g, "position", 1, (int64_t[]){1}, &at);
    if (!CHECK(run_run(g))) return printf("  %s\n", g->error), 0;
    const run_value *logits = run_find(g, "logits");
    if (!CHECK(logits && logits->rank == 3 && logits->dims[1] == n && logits->dims[2] == f->vocab_size)) return 0;
    const double *want = s->want + (size_t)position * (size_t)f->vocab_size;
    double largest = 1, worst = 0;
    for (int i = 0; i < n * f->vocab_size; i++) {
        const double off = fabs(logits->x[i] - want[i]);
        largest = fmax(largest, fabs(want[i]));
        worst = off <= worst ? worst : off; /* a nan stays */
    }
    s->worst = worst / largest <= s->worst ? s->worst : worst / largest;
    return 1;
}

/* The whole text in calls of at most cut tokens; 0: all at once. keep: of the past at most so many; 0: all. */
static void run_text_of(run_graph *g, subject *s, const llama_config *f, int cut, int keep, uint64_t *seed) {
    feed_nothing(g, f);
    for (int at = 0, some, past = 0; at < TOKENS; at += some) {
        some = cut ? random_int(seed, 1, cut) : TOKENS;
        if (some > TOKENS - at) some = TOKENS - at;
        if (!run_tokens(g, s, f, at, some)) return;
        past += some;
        const int dropped = keep && past > keep ? past - keep : 0;
        feed_present(g, f, dropped);
        past -= dropped;
    }
}

/* llama.c's logits are as near to the reference's. */
static double off_by_llama(const subject *s, const llama_config *f) {
    const llama_options o = {.n_threads = 1};
    llama_context *c = llama_context_create(s->loaded, &o, &err);
    difference d = {0};
    for (int t = 0; c && t < TOKENS; t++) {
        const float *logits = llama_forward(c, s->tokens + t, 1, &err);
        if (!CHECK(logits)) break;
        difference_add(&d, logits, s->want + (size_t)t * (size_t)f->vocab_size, f->vocab_size);
    }
    llama_context_free(c);
    return difference_worst(&d);
}

static int write_onnx(const subject *s, const char *type, uint64_t in_one, export_report *report) {
    const export_input in = {.model = s->loaded, .type = type};
    const int result = onnx_write(&in, names[OWN], in_one, report, &err);
    if (!CHECK(result == 0)) printf("  %s\n", err.text);
    return result == 0;
}

/* The graph computes in double precision here, with rotary tables and constants of float32. Measured: 3e-6 at most. */
static const double allowed = 1e-5;

static void check_model(const llama_config *f, const char *type, uint64_t seed) {
    subject s = subject_make(f, 1, seed);
    export_report report;
    if (write_onnx(&s, type, INT32_MAX, &report)) {
        run_graph g = run_read(names[OWN]);
        if (!CHECK(!*g.error)) printf("  %s\n", g.error);
        for (int cut = 0; cut < 9 && !*g.error; cut = 4 * cut + 1) run_text_of(&g, &s, f, cut, 0, &seed);
        const double llama = off_by_llama(&s, f);
        if (!CHECK(s.worst <= allowed && llama <= 1e-4)) printf("  off by %g, llama.c by %g\n", s.worst, llama);
        CHECK_TEXT(report.type, !type || !strcmp(type, "f32") ? "F32" : "F16");
        run_free(&g);
    }
    remove(names[OWN]);
    subject_free(&s);
}

static void test_kinds(void) {
    static char title[N_FEATURES + 40][100];
    for (int i = 0; i < N_FEATURES; i++) {
        snprintf(title[i], sizeof title[i], "onnx: %s", features[i].name);
        TEST(title[i]) {
            const llama_config f = with(&features[i]);
            check_model(&f, NULL, 300u + (unsigned)i);
            check_model(&f, "f16", 400u + (unsigned)i);
        }
    }
    uint64_t seed = 19;
    for (int i = N_FEATURES; i < N_FEATURES + 40; i++) {
        snprintf(title[i], sizeof title[i], "onnx: random combination %d", i - N_FEATURES);
        TEST(title[i]) {
            llama_layer_kind kinds[3] = {{0, 0, 0}};
            llama_config f = any(kinds, &seed);
            if (i % 4 < 2) f.norm_eps = 1e-3f;
            check_model(&f, i % 2 ? "f32" : "f16", seed);
        }
    }
}

/* A layer whose heads do not turn has no rotation in the graph, unless that changes their lengths. */
static void test_no_rotation(void) {
    for (int amplitudes = 0; amplitudes < 2; amplitudes++)
        TEST(amplitudes ? "onnx: tables that only change lengths" : "onnx: layers without rotation") {
            static const llama_layer_kind kinds[] = {{1, 0, 0}, {0, 0, 0}};
            uint64_t seed = 7;
            llama_config f = plain();
            f.layers = kinds, f.n_ropes = 2, f.extras = amplitudes ? LLAMA_ROPE_AMPLITUDES : 0;
            still_table = 1;
            subject s = subject_make(&f, 0, 29);
            still_table = 0;
            if (write_onnx(&s, "f32", INT32_MAX, NULL)) {
                run_graph g = run_read(names[OWN]);
                run_text_of(&g, &s, &f, 3, 0, &seed);
                if (!CHECK(s.worst <= allowed)) printf("  off by %g\n", s.worst);
                CHECK((run_find(&g, "rotary.1.cosines") != NULL) == amplitudes && run_find(&g, "rotary.0.cosines"));
                run_free(&g);
            }
            remove(names[OWN]);
            subject_free(&s);
        }
}

/* Where every layer has a window, what no token sees any more may be dropped. */
static void test_dropping(void) {
    TEST("onnx: the oldest tokens of a cache dropped") {
        static const llama_layer_kind kinds[] = {{0, 5, 0}, {0, 7, 0}};
        uint64_t seed = 5;
        llama_config f = plain();
        f.layers = kinds;
        subject s = subject_make(&f, 0, 23);
        if (write_onnx(&s, "f32", INT32_MAX, NULL)) {
            run_graph g = run_read(names[OWN]);
            run_text_of(&g, &s, &f, 3, 6, &seed);
            if (!CHECK(s.worst <= allowed)) printf("  off by %g\n", s.worst);
            run_text_of(&g, &s, &f, 3, 5, &seed); /* one too many */
            CHECK(s.worst > 1e-3);
            run_free(&g);
        }
        remove(names[OWN]);
        subject_free(&s);
    }
}

/* ---- Files ---- */

static int exists(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f != NULL;
}

static int holds(const char *path, const char *text) {
    size_t size;
    char *data = file_read(path, 1 << 20, &size, NULL);
    const int same = data && !strcmp(data, text);
    free(data);
    return same;
}

static int has_bytes(const char *path, const char *bytes) {
    size_t size, n = strlen(bytes);
    char *data = file_read(path, 1 << 24, &size, NULL);
    size_t i = 0;
    while (data && i + n <= size && memcmp(data + i, bytes, n)) i++;
    free(data);
    return data && i + n <= size;
}

static uint64_t bytes_of(const char *path) {
    size_t size = 0;
    free(file_read(path, SIZE_MAX / 2, &size, NULL));
    return size;
}

static subject some_model(void) {
    static const llama_layer_kind kinds[] = {{0, 0, 1}, {0, 9, 0}};
    llama_config f = plain();
    f.layers = kinds, f.n_experts = 5, f.n_experts_used = 2, f.expert_dim = 11;
    strcpy(f.architecture, "some");
    return subject_make(&f, 0, 41);
}

static void test_second_file(void) {
    subject s = some_model();
    const llama_config *f = llama_get_config(s.loaded);
    uint64_t seed = 3;
    export_report report;
    TEST("onnx: what does not fit in one file gets a second one") {
        if (write_onnx(&s, "f32", INT32_MAX, &report)) {
            CHECK(!exists(names[DATA]) && report.bytes == bytes_of(names[OWN]));
            CHECK_TEXT(report.format, "ONNX");
            CHECK_TEXT(report.architecture, "some");
            CHECK_TEXT(report.note, "without a tokenizer; all 5 experts are computed for each token");
            CHECK(has_bytes(names[OWN], "\12\7context\22\00264") && has_bytes(names[OWN], "\12\11made_from\22\4some"));
        }
        const uint64_t whole = report.bytes;
        if (write_onnx(&s, "f32", whole, &report)) CHECK(!exists(names[DATA])); /* it just fits */
        if (write_onnx(&s, "f32", whole - 1, &report)) {                        /* in the place of that */
            run_graph g = run_read(names[OWN]);
            if (!CHECK(!*g.error)) printf("  %s\n", g.error);
            CHECK(g.outside > 4 * g.inside && report.bytes == bytes_of(names[OWN]) + bytes_of(names[DATA]));
            const char *slash = strrchr(names[DATA], '/');
            CHECK_TEXT(g.location, slash ? slash + 1 : names[DATA]);
            CHECK(strstr(report.note, "beside it"));
            run_text_of(&g, &s, f, 7, 0, &seed);
            CHECK(s.worst <= allowed);
            run_free(&g);
        }
        CHECK(!exists(names[PART]) && !exists(names[DATA_PART]));
        remove_all();
    }
    TEST("onnx: what is there under the second file's name stays, and nothing is written beside it") {
        const export_input in = {.model = s.loaded, .type = "f32"};
        for (int i = 0; i < 6; i++) { /* one file or two; of the second name an empty file, or one; a graph, or none */
            const int graph = i > 1, data = i % 3 ? 4 : 0;
            CHECK(write_file(names[DATA], "data", (size_t)data) && (!graph || write_file(names[OWN], "graph", 5)));
            CHECK(onnx_write(&in, names[OWN], i % 2 ? ROOM : INT32_MAX, NULL, &err) == -1);
            CHECK(strstr(err.text, names[DATA]) && strstr(err.text, "exists, weights of another graph; not replaced"));
            CHECK(holds(names[DATA], data ? "data" : "") && (graph ? holds(names[OWN], "graph") : !exists(names[OWN])));
            CHECK(!exists(names[PART]) && !exists(names[DATA_PART]));
            remove_all();
        }
    }
    TEST("onnx: a graph that is too large without weights") {
        const export_input in = {.model = s.loaded, .type = "f32"};
        CHECK(onnx_write(&in, names[OWN], 5000, NULL, &err) == -1);
        CHECK(strstr(err.text, names[OWN]) && strstr(err.text, "beyond the 5000 that ONNX allows"));
        for (int i = 0; i < NAMES; i++) CHECK(!exists(names[i]));
    }
    subject_free(&s);
}

/* ---- What fails ---- */

typedef struct {
    int calls, cancel_at;
    uint64_t done, total;
    int order; /* 1: done never fell, and total stayed */
} watch;

static int watching(void *user, uint64_t done, uint64_t total) {
    watch *w = user;
    if (done < w->done || done > total || (w->total && total != w->total)) w->order = 0;
    w->done = done, w->total = total;
    return ++w->calls == w->cancel_at;
}

static void test_cancelling(void) {
    subject s = some_model();
    watch w = {.order = 1};
    const export_input in = {.model = s.loaded, .type = "f16", .progress = watching, .user = &w};
    for (int two = 0; two < 2; two++)
        TEST(two ? "onnx: two files, cancelled at any call" : "onnx: cancelled at any call") {
            export_report report;
            const uint64_t in_one = two ? ROOM : INT32_MAX;
            w = (watch){.order = 1};
            CHECK(onnx_write(&in, names[OWN], in_one, &report, &err) == 0 && exists(names[DATA]) == two);
            CHECK(w.order && w.done == w.total && w.total == report.bytes && w.calls > 20);
            remove_all();
            CHECK(write_file(names[OWN], "graph", 5));
            for (int at = 1, calls = w.calls; at <= calls; at++) {
                w = (watch){.order = 1, .cancel_at = at};
                if (!CHECK(onnx_write(&in, names[OWN], in_one, NULL, &err) == -1 && w.calls == at)) break;
                if (!CHECK(strstr(err.text, ": cancelled") && strstr(err.text, names[OWN]))) break;
                if (!CHECK(holds(names[OWN], "graph") && !exists(names[DATA]))) break;
                if (!CHECK(!exists(names[PART]) && !exists(names[DATA_PART]))) break;
            }
            remove_all();
        }
    subject_free(&s);
}

/* It fails, with a message that says why; there is nothing but what was there. */
static void refused(const export_input *in, const char *path, uint64_t in_one, const char *why) {
    CHECK(onnx_write(in, path, in_one, NULL, &err) == -1);
    if (!CHECK(strstr(err.text, why) && strstr(err.text, path))) printf("  %s\n", err.text);
    for (int i = 0; i < NAMES; i++) CHECK(!exists(names[i]));
}

static void test_refusing(void) {
    subject s = some_model();
    export_input in = {.model = s.loaded};
    TEST("onnx: types that it has not") {
        in.type = "q8_0";
        refused(&in, names[OWN], INT32_MAX, "written as f32 or f16, not as q8_0");
        in.type = "F32";
        refused(&in, names[OWN], INT32_MAX, "not as F32");
        in.type = NULL;
    }
    TEST("onnx: a directory that is not there") {
        refused(&in, "tests/nowhere/x.onnx", INT32_MAX, "cannot open");
        refused(&in, "tests/nowhere/x.onnx", ROOM, "cannot open");
    }
    TEST("onnx: numbers that float16 cannot hold") {
        const llama_config f = plain();
        model *m = model_make(&f, INSIDE_F32, 3);
        m->weights[TENSOR_W2][1][17] = -70000;
        const file made = model_file(m, NULL);
        llama_model *large = llama_load_memory(made.bytes, made.size, NULL, &err);
        const export_input to = {.model = large, .type = "f16"};
        refused(&to, names[OWN], INT32_MAX,
                "model.layers.1.mlp.down_proj.weight has numbers beyond 65504, which F16 cannot");
        refused(&to, names[OWN], ROOM,
                "model.layers.1.mlp.down_proj.weight has numbers beyond 65504, which F16 cannot");
        llama_free(large), free(made.bytes), model_free(m);
    }
    subject_free(&s);
}

static void test_quantised(void) {
    TEST("onnx: quantised weights are written as f16, unless f32 is asked for") {
        const llama_config f = plain();
        for (int type = 1; type < 4; type++) {
            model *m = model_make(&f, INSIDE_F32 + type, 5);
            const file made = model_file(m, NULL);
            llama_model *loaded = llama_load_memory(made.bytes, made.size, NULL, &err);
            const export_input in = {.model = loaded}, as_f32 = {.model = loaded, .type = "f32"};
            export_report report;
            CHECK(export_onnx(&in, names[OWN], &report, &err) == 0);
            CHECK_TEXT(report.type, "F16");
            CHECK(export_onnx(&as_f32, names[OWN], &report, &err) == 0);
            CHECK_TEXT(report.type, "F32");
            run_graph g = run_read(names[OWN]);
            const run_value *w = run_find(&g, "model.layers.1.mlp.gate_proj.weight");
            float row[38];
            inside_rows(loaded, TENSOR_W1, 1, 3, 1, row);
            for (int i = 0; w && i < f.dim; i++) CHECK(w->x[3 * f.dim + i] == (double)row[i]);
            CHECK(w != NULL);
            run_free(&g), llama_free(loaded), free(made.bytes), model_free(m);
        }
        remove_all();
    }
}

#ifdef HAVE_POSIX
/* Somebody else makes a directory of that name while it is written. */
static int in_the_way(void *user, uint64_t done, uint64_t total) {
    (void)user;
    if (done == total) CHECK(mkdir(names[OWN], 0777) == 0);
    return 0;
}

/* With either file on a disk that is full from the beginning. */
static void test_full_disk(void) {
    static const int large[] = {INT32_MAX, ROOM};
    subject s = some_model();
    const export_input in = {.model = s.loaded};
    if (!exists("/dev/full") || symlink("/dev/full", names[PART]) != 0) SKIP("onnx: a full disk", "no /dev/full");
    else TEST("onnx: a full disk") {
        for (int i = 0; i < 6; i++) { /* one file, or either of two; before them nothing, or a graph */
            const int two = i % 3 > 0, full = i % 3 == 1 ? DATA_PART : PART;
            remove_all();
            CHECK(symlink("/dev/full", names[full]) == 0);
            if (i > 2) CHECK(write_file(names[OWN], "graph", 5));
            CHECK(onnx_write(&in, names[OWN], (uint64_t)large[two], NULL, &err) == -1);
            if (!CHECK(strstr(err.text, "cannot write") && strstr(err.text, names[full == PART ? OWN : DATA])))
                printf("  %s\n", err.text);
            CHECK(!exists(names[PART]) && !exists(names[DATA_PART]));
            CHECK(i > 2 ? holds(names[OWN], "graph") : !exists(names[OWN]));
            CHECK(!exists(names[DATA]));
        }
    }
    remove_all();
    TEST("onnx: a graph that cannot get its name") {
        for (int two = 0; two < 2; two++) {
            export_input to = {.model = s.loaded, .progress = in_the_way};
            CHECK(onnx_write(&to, names[OWN], two ? ROOM : INT32_MAX, NULL, &err) == -1);
            CHECK(strstr(err.text, names[OWN]) && strstr(err.text, "cannot rename"));
            CHECK(!exists(names[PART]) && !exists(names[DATA_PART]) && !exists(names[DATA]));
            CHECK(rmdir(names[OWN]) == 0);
        }
    }
    TEST("onnx: what is not a file is not replaced") {
        for (int i = 0; i < 2; i++) {
            CHECK(mkdir(names[i], 0777) == 0);
            CHECK(onnx_write(&in, names[OWN], ROOM, NULL, &err) == -1);
            CHECK(strstr(err.text, names[i]) && strstr(err.text, i ? "exists" : "is not a file"));
            CHECK(!exists(names[PART]) && !exists(names[DATA_PART]) && !exists(names[1 - i]));
            CHECK(rmdir(names[i]) == 0);
        }
    }
    subject_free(&s);
}
#endif

int main(void) {
    writer_threads(1);
    find_names();
    test_protobuf();
    test_kinds();
    test_no_rotation();
    test_dropping();
    test_second_file();
    test_cancelling();
    test_refusing();
    test_quantised();
#ifdef HAVE_POSIX
    test_full_disk();
#else
    SKIP("onnx: a full disk", "no POSIX");
#endif
    return test_end();
}
