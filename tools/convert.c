/* convert.c - makes a .llama file of a Hugging Face directory, a GGUF file or a llama2.c checkpoint, and these of that.
 *
 * Each kind of input is opened by a file of its own (hf.c, gguf.c, llama2c.c), which offers what source.h describes;
 * writer.c encodes and writes it, after calibrate.c if that is asked for. For the way back each kind of output is a
 * file too, behind export.h. Here are the arguments, the choice of the input and of the direction, the progress and the
 * report.
 *
 * Exit status: 0 done, 1 failed (one line on stderr), 2 wrong usage, 130 interrupted. Unless it is 0, OUTPUT is as it
 * was before.
 */
#include "../llama.h"
#include "../tokenizer.h"
#include "formats/calibrate.h"
#include "formats/export.h"
#include "formats/source.h"
#include "formats/vocabulary.h"
#include "formats/writer.h"
#include "shared/clock.h"
#include "shared/files.h"
#include "shared/messages.h"
#include "shared/options.h"
#include "shared/terminal.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef _OPENMP
#include <omp.h>
#endif

static const char help[] = "usage: convert INPUT OUTPUT [options]\n"
                           "Makes a .llama file, for run, of a Llama model or one of its relatives. INPUT is\n"
                           "  a Hugging Face directory   config.json, *.safetensors, tokenizer.*\n"
                           "  a GGUF file\n"
                           "  a llama2.c checkpoint      with tokenizer.bin or .model beside it\n"
                           "  a .llama file              to make a smaller one\n"
                           "Or, of a .llama file or a llama2.c checkpoint, what runs elsewhere, if OUTPUT is\n"
                           "  NAME.gguf   a GGUF file, --type f32, f16, bf16, q8_0 or q4_0\n"
                           "  NAME/       a Hugging Face directory, f32, f16 or bf16\n"
                           "  NAME.onnx   an ONNX graph, f32 or f16\n"
                           "  NAME.bin    a llama2.c checkpoint, f32, and tokenizer.bin beside it\n"
                           "\n"
                           "  --type TYPE           f32, bf16, q8 (default; 8.25 bits each), q6, q4 (4.25)\n"
                           "  --embedding TYPE      of embedding and classifier (the same; q6 for q4)\n"
                           "  --calibrate           q4 by what goes through the model as it writes: better\n"
                           "  --calibrate-text FILE the same, as it reads a text\n"
                           "  --check               tell how much of what the model says is changed\n"
                           "  -z, --tokenizer FILE  a tokenizer.bin or SentencePiece .model to use instead\n"
                           "      --no-tokenizer    none, if the input's own is not understood, say\n"
                           "      --date YYYY-MM-DD today, for chat templates that write it (today)\n"
                           "  -j, --threads N       threads; one per core\n"
                           "  -q, --quiet           no report\n"
                           "  -h, --help            print this\n"
                           "      --version         print the version\n";

static struct { /* what the command line asks for */
    const char *input, *output, *type, *tokenizer, *embedding, *text;
    int threads, quiet, no_tokenizer, calibrate, check;
    source_date today;
    const char *date;
} arg;

static const option options[] = {
    {'z', "tokenizer", "FILE", TEXT, &arg.tokenizer, 0, 0, 0, NULL},
    {0, "no-tokenizer", NULL, FLAG, &arg.no_tokenizer, 0, 1, 0, NULL},
    {0, "date", "YYYY-MM-DD", TEXT, &arg.date, 0, 0, 0, NULL},
    {0, "type", "TYPE", TEXT, &arg.type, 0, 0, 0, NULL},
    {0, "embedding", "TYPE", TEXT, &arg.embedding, 0, 0, 0, NULL},
    {0, "calibrate", NULL, FLAG, &arg.calibrate, 0, 1, 0, NULL},
    {0, "calibrate-text", "FILE", TEXT, &arg.text, 0, 0, 0, NULL},
    {0, "check", NULL, FLAG, &arg.check, 0, 1, 0, NULL},
    {'j', "threads", "N", WHOLE, &arg.threads, 1, 1024, 0, NULL},
    {'q', "quiet", NULL, FLAG, &arg.quiet, 0, 1, 0, NULL},
    {'h', "help", NULL, HELP, NULL, 0, 0, 0, NULL},
    {0, "version", NULL, VERSION, NULL, 0, 0, 0, NULL},
};

static const command_line line = {
    .program = "convert",
    .hint = "\nusage: convert INPUT OUTPUT [options], see convert --help",
    .help = help,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .names = {&arg.input, &arg.output},
};

typedef int exporter(const export_input *in, const char *path, export_report *report, llama_error *err);

/* What writes OUTPUT, where that is no .llama file. A GGUF file shows what it is, and may be replaced by another. */
static exporter *find_exporter(void) {
    static const struct {
        const char *ending;
        exporter *write;
    } formats[] = {{".gguf", export_gguf}, {".onnx", export_onnx}, {".bin", export_llama2c}, {"/", export_hf}};
    const size_t n = strlen(arg.output);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const size_t m = strlen(formats[i].ending);
        if (n > m && !strcmp(arg.output + n - m, formats[i].ending)) return formats[i].write;
    }
    return is_directory(arg.output) ? export_hf : NULL;
}

/* What is there is replaced only if it is a model: the input may have the same name, or be a directory with it. */
static void check_output(exporter *write) {
    const char *ending = foreign_ending(arg.output);
    char start[4];
    if (write == export_hf) return; /* which looks at what is in the directory */
    if (write) {
        const int n = file_start(arg.output, start, sizeof start), is_gguf = n == 4 && !memcmp(start, "GGUF", 4);
        if (is_directory(arg.output)) fail("%.200s: is a directory", arg.output);
        if (n > 0 && !(write == export_gguf && is_gguf)) fail("%.200s: exists; not replaced", arg.output);
        return;
    }
    if (ending)
        fail("%.200s: what is written is a .llama file, whatever its name: tools/convert \"%.120s\" \"%.*s.llama\"",
             arg.output, arg.input, (int)(ending - arg.output), arg.output);
    if (is_directory(arg.output)) fail("%.200s: is a directory; name a file to write", arg.output);
    if (!file_may_be_replaced(arg.output)) fail("%.200s: exists and is not a .llama file; not replaced", arg.output);
}

/* ---- Input ---- */

/* --date, or the day that it is. */
static void choose_date(void) {
    const time_t now = time(NULL);
    const struct tm *day = localtime(&now);
    source_date *d = &arg.today;
    char rest;
    if (day) *d = (source_date){day->tm_year + 1900, day->tm_mon + 1, day->tm_mday};
    if (arg.date && (strlen(arg.date) != 10 || strspn(arg.date, "0123456789-") != 10 ||
                     sscanf(arg.date, "%4d-%2d-%2d%c", &d->year, &d->month, &d->day, &rest) != 3 || d->year < 1 ||
                     d->month < 1 || d->month > 12 || d->day < 1 || d->day > 31))
        misuse("--date %.40s: expected a day as 2024-07-26", arg.date);
}

/* A file of a Hugging Face directory: it is the directory that makes a model. */
static void refuse_part(int json, llama_error *err) {
    const char *slash = strrchr(arg.input, '/');
    const int n = slash ? (int)(slash - arg.input) : 0;
    set_error(err, "%.80s seems to be %s; name the directory that it is in: tools/convert \"%.*s\" \"%.80s\"",
              arg.input, json ? "JSON" : "safetensors", slash ? n + !n : 1, slash ? arg.input : ".", arg.output);
}

static llama_source *open_source(llama_error *err) {
    char start[9] = "";
    if (is_directory(arg.input)) return source_open_hf(arg.input, &arg.today, err);
    const int n = file_start(arg.input, start, sizeof start);
    if (n < 0) return set_error(err, "%.120s: cannot open: %s", arg.input, strerror(errno)), NULL;
    if (n >= 4 && !memcmp(start, "GGUF", 4)) return source_open_gguf(arg.input, &arg.today, err);
    if ((n == sizeof start && start[8] == '{') || start[0] == '{') return refuse_part(start[0] == '{', err), NULL;
    return source_open_llama2c(arg.input, err);
}

/* Replaces the tokenizer by the one in a file. */
static int load_tokenizer(llama_source *s, const char *path, llama_error *err) {
    tokenizer_error why;
    tokenizer *t = tokenizer_load(path, s->config.vocab_size, NULL, &why);
    if (!t) return set_error(err, "%s", why.text);
    free(s->tokenizer);
    s->tokenizer = vocabulary_save(t, &s->tokenizer_size);
    tokenizer_free(t);
    return s->tokenizer ? 0 : set_error(err, "%.120s: no memory for the tokenizer", path);
}

/* -z, or what the input holds, or the file beside it. A model without is converted too: run then needs -z. But one
 * whose tokenizer is not understood is not, unless that is asked for: who converts it wants to type text. */
static int choose_tokenizer(llama_source *s, llama_error *err) {
    if (arg.no_tokenizer || arg.tokenizer) *s->note = 0;
    if (arg.no_tokenizer) return free(s->tokenizer), s->tokenizer = NULL, s->tokenizer_size = 0, 0;
    if (arg.tokenizer) return load_tokenizer(s, arg.tokenizer, err);
    if (*s->tokenizer_error.text)
        return set_error(err, "%.200s (--no-tokenizer converts without)", s->tokenizer_error.text);
    char *beside = s->tokenizer || is_directory(arg.input) ? NULL : vocabulary_beside(arg.input);
    const int result = beside ? load_tokenizer(s, beside, err) : 0;
    free(beside);
    return result;
}

/* ---- Output ---- */

/* ---- Calibration ---- */

static const char *doing; /* what takes the time */

static int on_step(void *user, double done, double total) {
    const double elapsed = interrupted || done <= 0 ? 0 : progress_due(), share = done / total;
    const double *start = user, spent = clock_seconds() - *start;
    if (elapsed > 0) {
        const double left = share < 1 ? spent / share - spent : 0;
        progress_draw("%s: %.1f%%, %.0f %s left", doing, share * 100, left > 120 ? left / 60 : left,
                      left > 120 ? "min" : "s");
    }
    return interrupted != 0;
}

/* How many samples: tokens beyond some thousands make little difference, and large models take long. */
static samples plan_samples(const llama_config *f, int *held) {
    const double weights = 12.0 * f->n_layers * f->dim * f->dim;
    samples s = {0, f->seq_len < 256 ? f->seq_len : 256, NULL};
    *held = 2048 / s.length;
    s.count = *held + (arg.calibrate || arg.text ? (weights < 1e8 ? 16384 : 8192) / s.length : 0);
    return s;
}

/* Says what a long calibration will take, and refuses what there is no memory for. */
static int announce(const calibrate_input *given, llama_error *err) {
    uint64_t bytes;
    double seconds;
    calibrate_predict(given, &bytes, &seconds);
    void *all = bytes < SIZE_MAX ? malloc((size_t)bytes) : NULL;
    const int there = all != NULL;
    free(all);
    if (!there) return set_error(err, "%s: no memory: %s needs %.1f GB", arg.input, doing, (double)bytes * 1e-9);
    if (seconds > 60 && !arg.quiet)
        fprintf(stderr, "convert: %s needs %.1f GB of memory and, after its samples, about %.0f minutes\n", doing,
                (double)bytes * 1e-9, seconds / 60 + 0.5);
    return 0;
}

/* What --calibrate and --check ask for. */
static int calibrate_model(writer_input *in, calibration **c, calibrate_report *report, int *learned,
                           llama_error *err) {
    calibrate_input given = {.in = in, .rounded = arg.calibrate || arg.text, .threads = arg.threads};
    samples s = plan_samples(&in->config, &given.held);
    const int count = s.count;
    double start = clock_seconds();
    given.texts = &s, given.progress = on_step, given.user = &start;
    doing = given.rounded ? "calibration" : "check";
    if (announce(&given, err)) return -1;
    const char *then = doing;
    doing = "samples";
    int result = arg.text ? samples_read(&s, in, arg.text, count, s.length, err)
                          : samples_write(&s, in, count, s.length, arg.threads, on_step, &start, err);
    if (s.count < count) given.held = given.rounded ? s.count / 8 + 1 : s.count;
    *learned = (s.count - given.held) * s.length;
    doing = then, start = clock_seconds();
    if (!result) *c = calibrate(&given, report, err);
    free(s.tokens);
    if (!*c) return -1;
    in->encoded = calibrate_encoded, in->from = *c;
    return 0;
}

static void print_calibration(const calibrate_report *r, int learned) {
    if (r->matrices) {
        printf("calibrated  on %d tokens", learned);
        if (arg.text) printf(" of %s\n", arg.text);
        else printf(" that the model wrote\n");
    }
    if (r->nearest)
        printf("note        %d of %d matrices are rounded to nearest: nothing came to them, or no numbers\n",
               r->nearest, r->matrices);
    if (r->measured)
        printf("change      KL %.3g, perplexity %.3f to %.3f, on %d tokens%s\n", r->kl, exp(r->source), exp(r->result),
               r->measured, r->matrices ? " more" : "");
}

/* Called for every piece that is written, a few MB at most. */
static int on_progress(void *user, uint64_t done, uint64_t total) {
    const double elapsed = interrupted || !done ? 0 : progress_due(), share = (double)done / (double)total;
    (void)user;
    if (elapsed > 0)
        progress_draw("%d%% of %.2f GB, %.0f MB/s, %.0f s left", (int)(share * 100), (double)total * 1e-9,
                      (double)done * 1e-6 / elapsed, elapsed / share - elapsed);
    return interrupted != 0;
}

static int read_rows(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *err) {
    llama_source *s = user;
    return s->rows(s, tensor, layer, first, count, out, err);
}

static void print_report(const llama_source *s, const writer_report *r, const calibrate_report *c, int learned,
                         double elapsed) {
    const llama_config *f = &s->config;
    tokenizer *t =
        s->tokenizer ? tokenizer_load_memory(s->tokenizer, s->tokenizer_size, f->vocab_size, NULL, NULL) : NULL;
    const char *template = tokenizer_template_name(t ? tokenizer_template(t) : 0);
    if (t && tokenizer_template(t) == TOKENIZER_OWN) template = "its own";
    /* Only a byte-level vocabulary has a piece for half a character. */
    const char *kind = t && tokenizer_find(t, "\x80", 1) >= 0 ? "byte-level" : "SentencePiece";
    const double mb = (double)r->bytes * 1e-6;
    printf("input       %s, %s%s%s, %s\n", arg.input, f->format, *f->architecture ? ", " : "", f->architecture,
           f->weight_type ? f->weight_type : "?");
    printf("output      %s, %.1f MB\n", arg.output, mb);
    printf("shape       %d layers, dim %d, hidden %d, %d heads and %d kv heads of %d, vocabulary %d, context %d\n",
           f->n_layers, f->dim, f->hidden_dim, f->n_heads, f->n_kv_heads, f->head_dim, f->vocab_size, f->seq_len);
    if (f->n_experts)
        printf("experts     %d of %d, of which a token needs %d\n", f->n_experts, f->expert_dim, f->n_experts_used);
    printf("weights     %.4g million, classifier %s\n", (double)r->weights * 1e-6,
           f->shared_classifier ? "shared with the embedding" : "of its own");
    if (*s->skipped) printf("skipped     %s\n", s->skipped);
    if (t) printf("tokenizer   %s, chat template %s\n", kind, template ? template : "none");
    else printf("tokenizer   none: run will need one after -z\n");
    if (*s->template_error.text && !arg.tokenizer && !arg.no_tokenizer)
        printf("note        %s\n", s->template_error.text);
    printf("type        %s%s, %.2f bits a weight\n", arg.type ? arg.type : "q8", arg.type ? "" : " (the default)",
           r->bits_per_weight);
    printf("error       mean square %.3g, %.2g%% of the weights'\n", r->mse,
           r->signal > 0 ? 100 * r->mse / r->signal : 0);
    print_calibration(c, learned);
    printf("time        %.1f s, %.0f MB/s\n", elapsed, mb / elapsed);
    tokenizer_free(t);
}

static tokenizer *exported_tokenizer(const llama_model *m) {
    tokenizer_error why = {0};
    tokenizer *t = arg.no_tokenizer ? NULL : vocabulary_of_model(m, arg.input, arg.tokenizer, &why);
    if (why.code) fail("%s", why.text);
    return t;
}

static void print_export(const llama_model *m, const tokenizer *t, const export_report *r, double elapsed) {
    const double mb = (double)r->bytes * 1e-6;
    const llama_config *f = llama_get_config(m);
    printf("input       %s, %s, %s\n", arg.input, f->format, f->weight_type);
    printf("output      %s, %s, %.1f MB\n", arg.output, r->format, mb);
    printf("type        %s%s\n", r->type, arg.type ? "" : " (the default)");
    if (*r->architecture) printf("as          %s\n", r->architecture);
    if (!t) printf("tokenizer   none\n");
    if (*r->note) printf("note        %s\n", r->note);
    printf("time        %.1f s, %.0f MB/s\n", elapsed, mb / elapsed);
}

/* The way back: a model of ours in another format. */
static void export_model(exporter *write) {
    llama_error err = {0};
    export_report report;
    char start[4] = "", output[4096];
    const int n = is_directory(arg.input) ? 0 : file_start(arg.input, start, sizeof start);
    if (is_directory(arg.input) || (n == 4 && !memcmp(start, "GGUF", 4)))
        fail("%.200s: make a .llama file of it first: tools/convert \"%.120s\" NAME.llama", arg.input, arg.input);
    if (strlen(arg.output) >= sizeof output) fail("%.200s: a name of %zu bytes", arg.output, strlen(arg.output));
    strcpy(output, arg.output); /* of a directory, without the slash */
    llama_model *m = llama_load(arg.input, NULL, &err);
    if (!m) fail("%s", err.text);
    tokenizer *t = exported_tokenizer(m);
    const export_input in = {m, t, arg.type, on_progress, NULL};
    const double begin = clock_seconds();
    for (char *end = output + strlen(output); write == export_hf && end > output + 1 && end[-1] == '/';) *--end = 0;
    progress_begin();
    const int result = write(&in, output, &report, &err);
    progress_end();
    if (!result && !arg.quiet) print_export(m, t, &report, clock_seconds() - begin);
    tokenizer_free(t), llama_free(m);
    if (result && interrupted) fail_with(STATUS_INTERRUPTED + interrupted, "interrupted, nothing written");
    if (result) fail("%s", err.text);
}

static void convert(int type) {
    llama_error err = {0};
    writer_report report;
    calibrate_report changed = {0};
    calibration *known = NULL;
    int learned = 0;
    llama_source *s = open_source(&err);
    if (!s) fail("%s", err.text);
    int result = choose_tokenizer(s, &err);
    const double start = clock_seconds();
    progress_begin();
    if (!result) {
        writer_input in = {.config = s->config,
                           .rope_frequencies = s->rope_frequencies,
                           .rope_amplitudes = s->rope_amplitudes,
                           .type = type,
                           .embedding_type = arg.embedding ? writer_type(arg.embedding) : 0,
                           .tokenizer = s->tokenizer,
                           .tokenizer_size = s->tokenizer_size,
                           .rows = read_rows,
                           .progress = on_progress,
                           .user = s};
        if (arg.calibrate || arg.text || arg.check) result = calibrate_model(&in, &known, &changed, &learned, &err);
        in.progress = on_progress;
        if (!result) result = writer_write(&in, arg.output, &report, &err);
    }
    progress_end();
    calibrate_free(known);
    if (!result && !arg.quiet && *s->note) fprintf(stderr, "convert: tokenizer: %s\n", s->note);
    if (!result && !arg.quiet) print_report(s, &report, &changed, learned, clock_seconds() - start);
    s->close(s);
    if (result && interrupted) fail_with(STATUS_INTERRUPTED + interrupted, "interrupted, nothing written");
    if (result) fail("%s", err.text);
}

/* What options say together. */
static void check_options(int type, int exports) {
    const int calibrates = arg.calibrate || arg.text;
    if (arg.tokenizer && arg.no_tokenizer) misuse("-z and --no-tokenizer");
    if (type < 0 && !exports) misuse("--type %.40s: expected " WRITER_TYPES, arg.type);
    if (arg.embedding && writer_type(arg.embedding) < 0)
        misuse("--embedding %.40s: expected " WRITER_TYPES, arg.embedding);
    if (calibrates && (exports || type != writer_type("q4"))) misuse("--calibrate is for --type q4");
    if (exports && (arg.embedding || arg.check)) misuse("--embedding and --check are for .llama files");
    if (arg.calibrate && arg.text) misuse("--calibrate and --calibrate-text");
}

int main(int argc, char **argv) {
    options_parse(&line, argc, argv);
    if (!arg.output) misuse(arg.input ? "no OUTPUT" : "no INPUT");
    exporter *write = find_exporter();
    const int type = writer_type(arg.type ? arg.type : "q8");
    check_options(type, write != NULL);
#ifdef _OPENMP
    if (arg.threads) omp_set_num_threads(arg.threads);
#endif
    choose_date();
    check_output(write);
    catch_interrupts(0); /* a second Ctrl-C must not leave half a file; the first ends this within milliseconds */
    if (write) export_model(write);
    else convert(type);
    if (fflush(stdout)) fail("cannot write to standard output: %s", strerror(errno));
    return 0;
}
