/* convert.c - makes a .llama file of a Hugging Face directory, a GGUF file or a llama2.c checkpoint.
 *
 * Each kind of input is opened by a file of its own (hf.c, gguf.c, llama2c.c), which offers what source.h describes;
 * writer.h encodes and writes it. Here are the arguments, the choice of the input, the progress and the report.
 *
 * Exit status: 0 done, 1 failed (one line on stderr), 2 wrong usage, 130 interrupted. Unless it is 0, OUTPUT is as it
 * was before.
 */
#if defined(__unix__) || defined(__APPLE__)
#define CONVERT_POSIX 1
#define _POSIX_C_SOURCE 200809L /* isatty, fileno, stat, and fsync in writer.h */
#define _FILE_OFFSET_BITS 64
#endif

#define LLAMA_API static inline /* what is not called, the kernels above all, is not compiled */
#include "writer.h" /* with all of llama.c */

#include "../tokenizer.h"
#include "clock.h"
#include "source.h"

#include <signal.h>

#ifdef CONVERT_POSIX
#include <sys/stat.h>
#include <unistd.h>
#endif

enum { STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_INTERRUPTED = 128 /* and the signal's number: 130 for Ctrl-C */ };

static const char usage[] =
    "usage: convert INPUT OUTPUT.llama [options]\n"
    "Makes a .llama file, for run, of a Llama or Mistral model. INPUT is one of\n"
    "  a Hugging Face directory   config.json, *.safetensors, tokenizer.*\n"
    "  a GGUF file\n"
    "  a llama2.c checkpoint      with tokenizer.bin or .model beside it\n"
    "  a .llama file              to make a smaller one\n"
    "\n"
    "  --type TYPE           f32, bf16, q8 (default; 8.25 bits a weight) or q4 (4.5)\n"
    "  -z, --tokenizer FILE  a tokenizer.bin or SentencePiece .model to use instead\n"
    "  -j, --threads N       threads; one per core\n"
    "  -q, --quiet           no report\n"
    "  -h, --help            print this\n"
    "      --version         print the version\n";

static struct { /* what the command line asks for */
    const char *input, *output, *type, *tokenizer, *threads;
    int quiet;
} arg;

static struct { /* the line on a terminal; width 0: none */
    double start, drawn; /* seconds */
    int on, width;
} progress;

static volatile sig_atomic_t interrupted; /* the signal's number */

/* ---- The platform: each with a plain C99 way ---- */

static int is_terminal(FILE *file) {
#ifdef CONVERT_POSIX
    return isatty(fileno(file));
#else
    return (void)file, 0;
#endif
}

static int is_directory(const char *path) {
#ifdef CONVERT_POSIX
    struct stat s;
    return !stat(path, &s) && S_ISDIR(s.st_mode);
#else
    char file[1024];
    snprintf(file, sizeof file, "%s/config.json", path);
    FILE *config = fopen(file, "rb");
    if (config) fclose(config);
    return config != NULL;
#endif
}

static int is_special(const char *path) { /* a device, a pipe: not to be replaced by a file */
#ifdef CONVERT_POSIX
    struct stat s;
    return !stat(path, &s) && !S_ISREG(s.st_mode);
#else
    return (void)path, 0;
#endif
}

static void on_interrupt(int number) { interrupted = number; }

/* Not for a signal that the program was started without (nohup, &). The handler stays, so that an impatient second
 * Ctrl-C does not leave half a file: the first ends the program within some milliseconds anyway. */
static void catch_signal(int number) {
#ifdef CONVERT_POSIX
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = SA_RESTART;
    if (!sigaction(number, NULL, &before) && before.sa_handler != SIG_IGN) sigaction(number, &action, NULL);
#else
    if (signal(number, on_interrupt) == SIG_IGN) signal(number, SIG_IGN);
#endif
}

/* ---- Messages ---- */

static void erase_progress(void) {
    if (progress.width) fprintf(stderr, "\r%*s\r", progress.width, "");
    progress.width = 0;
}

/* One line, without control characters, since file names are anybody's. Returns status. */
static int fail(int status, const char *format, ...) {
    char text[600];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127) *c = '?';
    erase_progress();
    fprintf(stderr, "convert: %s\n", text);
    if (status == STATUS_USAGE) fprintf(stderr, "usage: convert INPUT OUTPUT.llama [options], see convert --help\n");
    return status;
}

/* Called for every piece that is written, a few MB at most. Short work shows nothing. */
static int on_progress(void *user, uint64_t done, uint64_t total) {
    const double now = clock_seconds(), elapsed = now - progress.start, share = (double)done / (double)total;
    (void)user;
    if (!interrupted && progress.on && done && elapsed > 1 && now - progress.drawn > 0.2) {
        erase_progress();
        const int width = fprintf(stderr, "%d%% of %.2f GB, %.0f MB/s, %.0f s left", (int)(share * 100),
                                  (double)total * 1e-9, (double)done * 1e-6 / elapsed, elapsed / share - elapsed);
        progress.width = width > 0 ? width : 0;
        progress.drawn = now;
    }
    return interrupted != 0;
}

/* ---- Arguments ---- */

static const struct option {
    char letter;
    const char *name;
    const char **value; /* NULL: a flag */
} options[] = {{0, "type", &arg.type}, {'z', "tokenizer", &arg.tokenizer}, {'j', "threads", &arg.threads},
               {'q', "quiet", NULL}, {'h', "help", NULL}, {0, "version", NULL}};

static const struct option *find_option(const char *argument, size_t length) {
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const struct option *o = &options[i];
        if (o->letter && argument[1] == o->letter && length == 2) return o;
        if (argument[1] == '-' && length == strlen(o->name) + 2 && !strncmp(argument + 2, o->name, length - 2))
            return o;
    }
    return NULL;
}

/* -1 to go on, or the status to end with. */
static int parse_arguments(int argc, char **argv) {
    int only_names = 0;
    for (int i = 1; i < argc; i++) {
        const char *equals = !strncmp(argv[i], "--", 2) ? strchr(argv[i], '=') : NULL;
        if (only_names || argv[i][0] != '-' || !argv[i][1]) {
            const char **name = !arg.input ? &arg.input : &arg.output;
            if (*name) return fail(STATUS_USAGE, "one name too many: %.80s", argv[i]);
            *name = argv[i];
        } else if (!strcmp(argv[i], "--")) {
            only_names = 1;
        } else {
            const struct option *o = find_option(argv[i], equals ? (size_t)(equals - argv[i]) : strlen(argv[i]));
            if (!o) return fail(STATUS_USAGE, "unknown option %.80s", argv[i]);
            if (!o->value && equals) return fail(STATUS_USAGE, "--%s takes no value", o->name);
            if (o->value && !equals && i + 1 == argc) return fail(STATUS_USAGE, "%.80s needs a value", argv[i]);
            if (o->value) *o->value = equals ? equals + 1 : argv[++i];
            else if (o->letter == 'q') arg.quiet = 1;
            else return fputs(o->letter ? usage : "llama.c " LLAMA_VERSION "\n", stdout) < 0 || fflush(stdout);
        }
    }
    return -1;
}

static int set_threads(void) {
    char *end;
    const long n = strtol(arg.threads, &end, 10);
    if (*arg.threads < '0' || *arg.threads > '9' || *end || n < 1 || n > 1024)
        return fail(STATUS_USAGE, "--threads %.40s: expected a whole number from 1 to 1024", arg.threads);
#ifdef _OPENMP
    omp_set_num_threads((int)n);
#endif
    return -1;
}

/* What is there is replaced only if it is a model that this program could have written, so that a slip does not
 * cost an input, whose name is the same or a part of a directory. */
static int check_output(void) {
    char magic[8];
    if (is_directory(arg.output))
        return fail(STATUS_FAILED, "%.200s: is a directory; name a file to write", arg.output);
    FILE *file = is_special(arg.output) ? NULL : fopen(arg.output, "rb");
    if (!file && !is_special(arg.output)) return -1;
    const size_t n = file ? fread(magic, 1, sizeof magic, file) : 1;
    if (file) fclose(file);
    if (n == 0 || (n == sizeof magic && !memcmp(magic, ll_magic, sizeof magic))) return -1;
    return fail(STATUS_FAILED, "%.200s: exists and is not a .llama file; not replaced", arg.output);
}

/* ---- Input ---- */

static llama_source *open_source(llama_error *err) {
    char start[9] = "";
    errno = 0;
    if (is_directory(arg.input)) return source_open_hf(arg.input, err);
    FILE *file = fopen(arg.input, "rb");
    if (!file) return source_fail(err, "%.120s: cannot open: %s", arg.input, strerror(errno)), NULL;
    const size_t n = fread(start, 1, sizeof start, file);
    fclose(file);
    if (n >= 4 && !memcmp(start, "GGUF", 4)) return source_open_gguf(arg.input, err);
    if (n == sizeof start && start[8] == '{')
        return source_fail(err, "%.120s: seems to be safetensors; name the directory that it is in", arg.input), NULL;
    return source_open_llama2c(arg.input, err);
}

/* tokenizer.bin or tokenizer.model in the input's directory, malloc'ed; NULL if there is none. */
static char *find_tokenizer(void) {
    static const char *const names[] = {"tokenizer.bin", "tokenizer.model"};
    const char *slash = strrchr(arg.input, '/');
    const size_t directory = slash ? (size_t)(slash - arg.input) + 1 : 0;
    char *path = malloc(directory + sizeof "tokenizer.model");
    for (int i = 0; path && i < 2; i++) {
        memcpy(path, arg.input, directory);
        strcpy(path + directory, names[i]);
        FILE *file = fopen(path, "rb");
        if (!file) continue;
        fclose(file);
        return path;
    }
    free(path);
    return NULL;
}

/* Replaces the tokenizer by the one in a file. */
static int load_tokenizer(llama_source *s, const char *path, llama_error *err) {
    tokenizer_error why;
    tokenizer *t = tokenizer_load(path, s->config.vocab_size, NULL, &why);
    if (!t) return source_fail(err, "%s", why.text);
    free(s->tokenizer);
    s->tokenizer_size = tokenizer_save(t, NULL, 0);
    s->tokenizer = malloc(s->tokenizer_size);
    if (s->tokenizer) tokenizer_save(t, s->tokenizer, s->tokenizer_size);
    tokenizer_free(t);
    return s->tokenizer ? 0 : source_fail(err, "%.120s: no memory for the tokenizer", path);
}

/* -z, or what the input holds, or the file beside it. A model without is converted too: run then needs -z. */
static int choose_tokenizer(llama_source *s, llama_error *err) {
    if (arg.tokenizer) return load_tokenizer(s, arg.tokenizer, err);
    char *beside = s->tokenizer || is_directory(arg.input) ? NULL : find_tokenizer();
    const int result = beside ? load_tokenizer(s, beside, err) : 0;
    free(beside);
    return result;
}

/* ---- Output ---- */

static int read_rows(void *user, enum source_tensor tensor, int layer, int first, int count, float *out,
                     llama_error *err) {
    llama_source *s = user;
    return s->rows(s, tensor, layer, first, count, out, err);
}

static void print_report(const llama_source *s, const writer_report *r, double elapsed) {
    const llama_config *f = &s->config;
    tokenizer *t =
        s->tokenizer ? tokenizer_load_memory(s->tokenizer, s->tokenizer_size, f->vocab_size, NULL, NULL) : NULL;
    const char *template = tokenizer_template_name(t ? tokenizer_template(t) : 0);
    /* Only a byte-level vocabulary has a piece for half a character. */
    const char *kind = t && tokenizer_find(t, "\x80", 1) >= 0 ? "byte-level" : "SentencePiece";
    const double mb = (double)r->bytes * 1e-6;
    printf("input       %s, %s, %s\n", arg.input, f->format, f->weight_type ? f->weight_type : "?");
    printf("output      %s, %.1f MB\n", arg.output, mb);
    printf("shape       %d layers, dim %d, hidden %d, %d heads and %d kv heads of %d, vocabulary %d, context %d\n",
           f->n_layers, f->dim, f->hidden_dim, f->n_heads, f->n_kv_heads, f->head_dim, f->vocab_size, f->seq_len);
    printf("weights     %.4g million, classifier %s\n", (double)r->weights * 1e-6,
           f->shared_classifier ? "shared with the embedding" : "of its own");
    if (t) printf("tokenizer   %s, chat template %s\n", kind, template ? template : "none");
    else printf("tokenizer   none: run will need one after -z\n");
    printf("type        %s%s, %.2f bits a weight\n", arg.type ? arg.type : "q8", arg.type ? "" : " (the default)",
           r->bits_per_weight);
    printf("error       mean square %.3g, %.2g%% of the weights'\n", r->mse,
           r->signal > 0 ? 100 * r->mse / r->signal : 0);
    printf("time        %.1f s, %.0f MB/s\n", elapsed, mb / elapsed);
    tokenizer_free(t);
}

static int convert(int type) {
    llama_error err = {{0}};
    writer_report report;
    llama_source *s = open_source(&err);
    if (!s) return fail(STATUS_FAILED, "%s", err.text);
    int result = choose_tokenizer(s, &err);
    progress.start = progress.drawn = clock_seconds();
    if (!result) {
        const writer_input in = {.config = s->config, .rope_frequencies = s->rope_frequencies, .type = type,
                                 .tokenizer = s->tokenizer, .tokenizer_size = s->tokenizer_size,
                                 .rows = read_rows, .progress = on_progress, .user = s};
        result = writer_write(&in, arg.output, &report, &err);
    }
    erase_progress();
    if (!result && !arg.quiet) print_report(s, &report, clock_seconds() - progress.start);
    s->close(s);
    if (result && interrupted) return fail(STATUS_INTERRUPTED + interrupted, "interrupted, nothing written");
    if (result) return fail(STATUS_FAILED, "%s", err.text);
    return 0;
}

int main(int argc, char **argv) {
    int status = parse_arguments(argc, argv);
    if (status >= 0) return status;
    if (!arg.output) return fail(STATUS_USAGE, arg.input ? "no OUTPUT" : "no INPUT");
    const int type = writer_type(arg.type ? arg.type : "q8");
    if (type < 0) return fail(STATUS_USAGE, "--type %.40s: expected f32, bf16, q8 or q4", arg.type);
    if (arg.threads && (status = set_threads()) >= 0) return status;
    if ((status = check_output()) >= 0) return status;
    catch_signal(SIGINT), catch_signal(SIGTERM);
    progress.on = is_terminal(stderr);
    status = convert(type);
    if (fflush(stdout) && !status) status = fail(STATUS_FAILED, "cannot write to standard output: %s", strerror(errno));
    return status;
}
