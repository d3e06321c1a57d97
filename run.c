/* run.c - the command line of llama.c: arguments, the sampling loop, text to stdout.
 *
 * stdout carries the text and one final newline, byte for byte, and nothing else; statistics and
 * progress go to stderr. Exit status: 0 done, 1 failed (one line on stderr), 2 wrong usage; an
 * interrupted run ends by SIGINT itself, which a shell reports as 130.
 *
 * It uses only what llama.h and tokenizer.h declare. Unlike the library it may exit wherever something
 * fails: all that it holds hangs on the static structs below.
 */
#if defined(__unix__) || defined(__APPLE__)
#define RUN_POSIX 1
#define _POSIX_C_SOURCE 200112L /* isatty, fileno, fstat, poll, clock_gettime, which -std=c99 hides */
#endif

#include "llama.h"
#include "tokenizer.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(RUN_POSIX)
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>
#elif defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#endif

enum { STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_INTERRUPTED = 130 };
enum { CHAT_CONTEXT = 4096 }; /* tokens, unless -c says otherwise or the model has fewer */
enum { MOST_STOPS = 32, MOST_BEAMS = 255 };
enum { LOOK_AHEAD = 11 };      /* tokens: with the one before them they fill the kernels' blocks */
enum { SCORED_AT_ONCE = 256 }; /* tokens: what an interrupted score may lose */
enum { TEXT_LIMIT = 1 << 30 }; /* bytes of a prompt or a text to score: token counts must fit an int */

static const char *program = "run"; /* the name it was started under */

static struct { /* what the command line asks for */
    const char *model, *tokenizer, *prompt, *file, *perplexity, *system, *template, *kv_type, *draft;
    const char *drawing; /* the last option that was given of how tokens are drawn */
    const char *stop[MOST_STOPS];
    int n_stops;
    int n_predict, n_ctx, n_threads; /* -1, 0, 0: for the program to choose */
    int chat, quiet, verbose, no_mmap, help, version, seeded, n_given, lookup, beams; /* beams 0: tokens are drawn */
    float length_penalty;                                                             /* -1: not given */
    llama_sampling sampling;
} arg = {.n_predict = -1, .length_penalty = -1};

static struct { /* what the program holds, to its end */
    llama_model *model, *draft;
    tokenizer *tokens;
    llama_context *context;
    llama_sampler *sampler;
    llama_speculator *ahead;
    char *text;      /* the prompt, or the text to score, when it was read from a file */
    int *ids, n_ids; /* of the text, with room for all that the context holds */
    llama_beam *beams;
    int n_beams;
} run;

static struct {                         /* a conversation */
    int template, end_of_turn, changes; /* changes: a turn may change what was said before */
    tokenizer_message *messages;        /* (n of room for capacity), their texts malloc'ed */
    int n, whole;                       /* 1: the text has to be made anew from all messages */
    int *next;                          /* (next_capacity) ids to go on with */
    int answer_at;                      /* where the answer begins in run.ids */
    size_t capacity, next_capacity;
} chat;

static struct { /* what the model says */
    char *text; /* (size of room for capacity); shown bytes of it are printed or left out */
    size_t size, capacity, shown;
    int begun, trim; /* 1: not white space only; 1: white space at its end is left out */
    int stopped;     /* 1: a stop string came, which is not part of the text */
} said;

static struct { /* for the statistics: tokens evaluated and drawn, seconds */
    int n_prompt, n_decoded, n_drawn;
    double load, prompt, decode;
} spent;

static struct { /* the long work that is going on; what is NULL when there is none to show */
    const char *what;
    int total, before, now; /* tokens in all, done by earlier calls, in this call */
    int width;              /* of the line that is on the screen */
    double start, drawn;    /* seconds */
} progress;

static volatile sig_atomic_t interrupted;

/* ---- The platform: each with a plain C99 way ---- */

/* kind_of: what is at path, or with NULL what standard input is: 'd' a directory, 'f' a file or a pipe, 0 something
 * else. binary_streams: no "\r\n" for "\n". */
#if defined(RUN_POSIX)
static int is_terminal(FILE *file) { return isatty(fileno(file)); }
static void binary_streams(void) {}

static int kind_of(const char *path) {
    struct stat s;
    if (path ? stat(path, &s) : fstat(0, &s)) return 0;
    return S_ISDIR(s.st_mode) ? 'd' : S_ISREG(s.st_mode) || S_ISFIFO(s.st_mode) ? 'f' : 0;
}

static int has_no_input_after(int milliseconds) {
    struct pollfd p = {0, POLLIN, 0};
    return poll(&p, 1, milliseconds) == 0;
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
#else
#if defined(_WIN32)
static int is_terminal(FILE *file) { return _isatty(_fileno(file)); }
static void binary_streams(void) { _setmode(_fileno(stdin), _O_BINARY), _setmode(_fileno(stdout), _O_BINARY); }
#else
static int is_terminal(FILE *file) { return (void)file, 0; }
static void binary_streams(void) {}
#endif
static int kind_of(const char *path) { return (void)path, 0; }
static int has_no_input_after(int milliseconds) { return (void)milliseconds, 0; }
/* Real time on Windows, processor time elsewhere. */
static double seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }
#endif

static void on_interrupt(int number) {
    interrupted = 1;
    signal(number, SIG_DFL); /* the second Ctrl-C kills */
}

static void catch_interrupt(void) {
    if (signal(SIGINT, on_interrupt) == SIG_IGN) signal(SIGINT, SIG_IGN); /* started with nohup or & */
}

/* ---- Messages: all that goes to stderr ---- */

static void erase_progress(void) {
    if (progress.width) fprintf(stderr, "\r%*s\r", progress.width, "");
    progress.width = 0;
}

/* One line, of limited length and without control characters: file names and the strings of files are anybody's. */
static void say(const char *prefix, const char *format, ...) {
    char text[600];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127) *c = '?';
    erase_progress();
    fprintf(stderr, "%s%s%s\n", prefix, *prefix ? ": " : "", text);
}

/* Macros, because a compiler knows of exit that no path goes on behind it. What warn says the user should know though
 * nothing failed, and even if nobody watches. */
#define note(...) say("", __VA_ARGS__)
#define warn(...) say(program, __VA_ARGS__)
#define fail(...) (say(program, __VA_ARGS__), exit(STATUS_FAILED))
#define misuse(...)                                                                                                    \
    (say(program, __VA_ARGS__), say("usage", "%s [MODEL] [options], see %s --help", program, program),                 \
     exit(STATUS_USAGE))

static const char *reason(void) { return errno ? strerror(errno) : "input or output error"; }

/* The library calls this once a layer or more often. Short work shows nothing. */
static int on_progress(void *user, float done) {
    (void)user;
    if (interrupted || !progress.what) return interrupted;
    const double now = seconds(), elapsed = now - progress.start;
    const double share = (progress.before + (double)done * progress.now) / progress.total;
    if (elapsed <= 1 || now - progress.drawn <= 0.2 || share <= 0) return 0;
    erase_progress();
    const double rate = share * progress.total / elapsed;
    const int width = fprintf(stderr, "%s: %d%% of %d tokens, %.*f tokens/s, %.0f s left", progress.what,
                              (int)(share * 100), progress.total, rate < 10, rate, elapsed / share - elapsed);
    progress.width = width > 0 ? width : 0, progress.drawn = now;
    return 0;
}

static void start_progress(const char *what, int total) {
    progress.what = is_terminal(stderr) ? what : NULL;
    progress.total = progress.now = total;
    progress.before = 0;
    progress.start = progress.drawn = seconds();
}

/* Returns the seconds since the start. */
static double end_progress(void) {
    erase_progress();
    progress.what = NULL;
    return seconds() - progress.start;
}

/* ---- stdout ---- */

/* Writes and flushes. A reader that has closed the pipe wants no more and no message either. */
static void put(const char *bytes, size_t size) {
    errno = 0;
    if (fwrite(bytes, 1, size, stdout) == size && fflush(stdout) == 0 && !ferror(stdout)) return;
#ifdef EPIPE
    if (errno == EPIPE) exit(STATUS_FAILED);
#endif
    fail("cannot write to standard output: %s", reason());
}

/* ---- Arguments ---- */

typedef enum { FLAG, STRING, STOP, WHOLE, REAL, POSITIVE, SEED } value_kind; /* POSITIVE: a REAL above low */

static const struct option {
    char letter; /* 0: none */
    const char *name;
    const char *value; /* what the help calls it; NULL: the option takes none */
    value_kind kind;
    void *to;         /* an int, const char *, int, float, float or uint64_t */
    double low, high; /* of WHOLE and REAL */
    const char *help; /* NULL: told with the option before it */
} options[] = {
    {'p', "prompt", "TEXT", STRING, &arg.prompt, 0, 0, "text to continue (default: none)"},
    {'i', "prompt", "TEXT", STRING, &arg.prompt, 0, 0, NULL},
    {'f', "file", "FILE", STRING, &arg.file, 0, 0, "the same from a file, - for standard input"},
    {'n', "n-predict", "N", WHOLE, &arg.n_predict, 0, INT_MAX, "tokens to generate (256; in a chat no limit)"},
    {'t', "temp", "T", REAL, &arg.sampling.temperature, 0, 1000, "temperature (0.8; 0: always the likeliest token)"},
    {'k', "top-k", "N", WHOLE, &arg.sampling.top_k, 0, INT_MAX, "choose among the N likeliest (40; 0: off)"},
    {0, "top-p", "P", POSITIVE, &arg.sampling.top_p, 0, 1, "and the fewest that sum to P (0.95; 1: off)"},
    {0, "min-p", "P", REAL, &arg.sampling.min_p, 0, 1, "and those at least P times the likeliest (0: off)"},
    {0, "repeat-penalty", "R", POSITIVE, &arg.sampling.repeat_penalty, 0, 1000, "on the last 64 tokens (1: off)"},
    {0, "stop", "TEXT", STOP, NULL, 0, 0, "end before this text; may be given several times"},
    {'s', "seed", "SEED", SEED, &arg.sampling.seed, 0, 0, "the same seed gives the same text (from the clock)"},
    {'c', "ctx-size", "N", WHOLE, &arg.n_ctx, 1, INT_MAX, "context in tokens (as needed, up to the model's)"},
    {0, "kv-type", "TYPE", STRING, &arg.kv_type, 0, 0, "of the kv cache: f32, f16, or q8, half of f16 (f16)"},
    {'j', "threads", "N", WHOLE, &arg.n_threads, 1, 1024, "threads (one per core)"},
    {'z', "tokenizer", "FILE", STRING, &arg.tokenizer, 0, 0, "tokenizer (MODEL's own, or one beside it)"},
    {0, "chat", NULL, FLAG, &arg.chat, 0, 0, "talk: a line of standard input, an answer, and so on"},
    {0, "system", "TEXT", STRING, &arg.system, 0, 0, "what the model is told before the chat"},
    {0, "template", "NAME", STRING, &arg.template, 0, 0, "how it was taught to chat (as MODEL says)"},
    {0, "lookup", NULL, FLAG, &arg.lookup, 0, 0, "the same text sooner, where it repeats itself"},
    {0, "draft", "MODEL", STRING, &arg.draft, 0, 0, "the same text sooner, guessed by a smaller model"},
    {0, "beams", "N", WHOLE, &arg.beams, 1, MOST_BEAMS, "search a likely text with N at once, draw nothing"},
    {0, "length-penalty", "A", REAL, &arg.length_penalty, 0, 10, "how much longer ones are favoured (1)"},
    {'q', "quiet", NULL, FLAG, &arg.quiet, 0, 0, "print only what follows the prompt"},
    {'v', "verbose", NULL, FLAG, &arg.verbose, 0, 0, "statistics even if stderr is no terminal"},
    {0, "no-mmap", NULL, FLAG, &arg.no_mmap, 0, 0, "read MODEL whole: it may then change or go"},
    {0, "perplexity", "FILE", STRING, &arg.perplexity, 0, 0, "score a text instead: one line of figures"},
    {'h', "help", NULL, FLAG, &arg.help, 0, 0, "print this; --version: the version"},
    {0, "version", NULL, FLAG, &arg.version, 0, 0, NULL},
};
enum { N_OPTIONS = sizeof options / sizeof options[0] };

static void print_help(void) {
    printf("usage: %s [MODEL] [options]\n", program);
    printf("Continues a text with a Llama model, or with one that writes like Jane Austen.\n\n");
    for (int i = 0; i < N_OPTIONS; i++) {
        const struct option *o = &options[i];
        char letter[8] = "   ";
        if (!o->help) continue;
        if (o->letter) snprintf(letter, sizeof letter, "-%c,", o->letter);
        printf(" %s --%s %-*s %s\n", letter, o->name, 18 - (int)strlen(o->name), o->value ? o->value : "", o->help);
    }
    put("", 0);
}

/* The option that the argument names; *value becomes what follows its letter or its '=', or NULL. */
static const struct option *find_option(const char *argument, const char **value) {
    const char *equals = strchr(argument, '=');
    size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    *value = NULL;
    for (int i = 0; i < N_OPTIONS; i++) {
        const struct option *o = &options[i];
        if (o->letter && argument[1] == o->letter && (!argument[2] || o->value)) {
            if (argument[2]) *value = argument + 2;
            return o;
        }
        if (argument[1] != '-' || length - 2 != strlen(o->name) || strncmp(argument + 2, o->name, length - 2)) continue;
        if (equals) *value = equals + 1;
        return o;
    }
    misuse("unknown option %.80s", argument);
}

/* strtol and its kin take leading space, signs and trailing text; here the whole argument is the number. */
static int set_number(const struct option *o, const char *text) {
    char *end;
    if (!isdigit((unsigned char)text[0]) && (o->kind == SEED || !strchr("+-.", text[0]))) return 0;
    errno = 0;
    if (o->kind == SEED) {
        unsigned long long seed = strtoull(text, &end, 10);
        if (*end || errno || seed > UINT64_MAX) return 0;
        *(uint64_t *)o->to = seed;
    } else if (o->kind == WHOLE) {
        long n = strtol(text, &end, 10);
        if (end == text || *end || errno || (double)n < o->low || (double)n > o->high) return 0;
        *(int *)o->to = (int)n;
    } else {
        double x = strtod(text, &end);
        if (end == text || *end || !(x >= o->low && x <= o->high)) return 0; /* nan fails both */
        if (o->kind == POSITIVE && x < FLT_MIN) return 0;
        *(float *)o->to = (float)x;
    }
    return 1;
}

static void set_option(const struct option *o, const char *text) {
    if (o->kind == FLAG) *(int *)o->to = 1;
    else if (o->kind == STRING) *(const char **)o->to = text;
    else if (o->kind == STOP) {
        if (!*text) misuse("--stop needs a text that is not empty");
        if (arg.n_stops == MOST_STOPS) misuse("--stop may be given %d times", MOST_STOPS);
        arg.stop[arg.n_stops++] = text;
    } else if (!set_number(o, text)) {
        if (o->kind == SEED) misuse("--%s %.40s: expected a whole number from 0 to 2^64 - 1", o->name, text);
        if (o->kind == POSITIVE) misuse("--%s %.40s: expected a number above 0, up to %.10g", o->name, text, o->high);
        misuse("--%s %.40s: expected a %snumber from %.10g to %.10g", o->name, text, o->kind == WHOLE ? "whole " : "",
               o->low, o->high);
    }
    if (o->kind == SEED) arg.seeded = 1;
    if ((char *)o->to >= (char *)&arg.sampling && (char *)o->to < (char *)(&arg.sampling + 1)) arg.drawing = o->name;
}

static void parse_arguments(int argc, char **argv) {
    int only_names = 0;
    for (int i = 1; i < argc; i++) {
        const char *value;
        if (only_names || argv[i][0] != '-' || !argv[i][1]) {
            if (arg.model) misuse("two models: %.80s and %.80s (a prompt goes after -p)", arg.model, argv[i]);
            arg.model = argv[i];
        } else if (!strcmp(argv[i], "--")) {
            only_names = 1;
        } else {
            const struct option *o = find_option(argv[i], &value);
            if (!o->value && value) misuse("--%s takes no value", o->name);
            if (o->value && !value && i + 1 == argc) misuse("%.80s needs a value: %s", argv[i], o->value);
            set_option(o, o->value && !value ? argv[++i] : value);
        }
    }
}

static const char *template_names(void) { /* in one list */
    static char list[128];
    const char *name;
    list[0] = 0;
    for (int i = 1; (name = tokenizer_template_name(i)); i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i == 1 ? "" : ", ", name);
    return list;
}

static void check_arguments(void) {
    if (arg.help) print_help(), exit(0);
    if (arg.version) put("llama.c " LLAMA_VERSION "\n", sizeof "llama.c " LLAMA_VERSION), exit(0);
    if ((arg.prompt != NULL) + (arg.file != NULL) + (arg.perplexity != NULL) > 1)
        misuse("--prompt, --file and --perplexity exclude each other");
    if ((arg.n_stops || arg.lookup || arg.draft || arg.beams) && arg.perplexity)
        misuse("--stop, --lookup, --draft and --beams are for texts that are generated");
    if (arg.beams && (arg.chat || arg.lookup || arg.draft)) misuse("--beams excludes --chat, --lookup and --draft");
    if (arg.beams && arg.drawing) misuse("--beams draws nothing, so --%s has no meaning", arg.drawing);
    if (arg.length_penalty >= 0 && !arg.beams) misuse("--length-penalty is for --beams");
    if (arg.length_penalty < 0) arg.length_penalty = 1;
    if (arg.chat && (arg.prompt || arg.file || arg.perplexity))
        misuse("--chat reads standard input, and takes no --prompt, --file or --perplexity");
    if ((arg.system || arg.template) && !arg.chat) misuse("--system and --template are for --chat");
    if (arg.kv_type && strcmp(arg.kv_type, "f32") && strcmp(arg.kv_type, "f16") && strcmp(arg.kv_type, "q8"))
        misuse("--kv-type %.40s: expected f32, f16 or q8", arg.kv_type);
    if (arg.template && !tokenizer_template_find(arg.template))
        misuse("--template %.40s: expected %s", arg.template, template_names());
    arg.n_given = arg.n_predict >= 0;
    if (arg.n_predict < 0) arg.n_predict = arg.chat ? INT_MAX : 256;
    if (!arg.seeded) /* short enough to be typed again */
        arg.sampling.seed = ((uint64_t)time(NULL) * 1000000u + (uint64_t)fmod(seconds() * 1e6, 1e6)) % 1000000000u;
}

/* ---- Input ---- */

static void *allocate(size_t count, size_t size) {
    void *p = count <= SIZE_MAX / size ? malloc(count ? count * size : 1) : NULL;
    if (!p) fail("out of memory");
    return p;
}

static void *copy_of(const char *bytes, size_t size) { return memcpy(allocate(size, 1), size ? bytes : "", size); }

/* Room for n items of that size: p, or where it has moved to, malloc'ed. */
static void *grow(void *p, size_t n, size_t size, size_t *capacity) {
    if (n <= *capacity) return p;
    *capacity = n < 128 ? 256 : 2 * n;
    p = *capacity <= SIZE_MAX / size ? realloc(p, *capacity * size) : NULL;
    if (!p) fail("out of memory for a text of %.0f bytes", (double)*capacity * (double)size);
    return p;
}

/* Reads the bytes of a file as they are into run.text, - for standard input. Returns their number. */
static size_t read_file(const char *path) {
    errno = 0;
    FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    size_t size = 0, capacity = 0, got = 1;
    if (!file) fail("cannot open %.200s: %s", path, reason());
    for (; got > 0 && !feof(file); size += got) { /* on a terminal more might follow the end, but nobody means that */
        run.text = grow(run.text, size + 1, 1, &capacity);
        got = fread(run.text + size, 1, capacity - size, file);
        if (got > TEXT_LIMIT - size) fail("%.200s is longer than %d bytes", path, (int)TEXT_LIMIT);
    }
    if (ferror(file)) fail("cannot read %.200s: %s", path, reason());
    if (file != stdin) fclose(file);
    return size;
}

/* A line of standard input without its end, malloc'ed; NULL when there are no more. */
static char *read_line(size_t *size) {
    char *line = NULL;
    size_t capacity = 0;
    int c;
    errno = 0;
    for (*size = 0; (c = getc(stdin)) != EOF && c != '\n'; line[(*size)++] = (char)c) {
        if (*size > TEXT_LIMIT / 2) fail("a line of standard input is longer than %d bytes", (int)TEXT_LIMIT / 2);
        line = grow(line, *size + 1, 1, &capacity);
    }
    if (ferror(stdin)) fail("cannot read standard input: %s", reason());
    if (c == EOF && *size == 0) return free(line), NULL;
    if (*size && line[*size - 1] == '\r') --*size;
    return line ? line : allocate(1, 1);
}

static int can_open(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file) fclose(file);
    return file != NULL;
}

/* Bytes of path up to its last separator, that included. */
static size_t directory_of(const char *path) {
    size_t n = strlen(path);
    while (n && path[n - 1] != '/'
#if defined(_WIN32)
           && path[n - 1] != '\\' && path[n - 1] != ':'
#endif
    )
        n--;
    return n;
}

/* The first of names that can be opened in a directory, given as the first bytes of path; NULL if none can. */
static char *find_beside(const char *path, size_t directory, const char *const *names) {
    for (; *names; names++) {
        char *found = allocate(directory + strlen(*names) + 1, 1);
        memcpy(found, path, directory);
        strcpy(found + directory, *names);
        if (can_open(found)) return found;
        free(found);
    }
    return NULL;
}

/* The model that comes with the program: beside it, in its source tree, or where make install puts both. */
static char *find_own_model(const char *started_as) {
    static const char *const names[] = {"austen.llama", "tools/model/austen.llama", "../share/llama.c/austen.llama",
                                        NULL};
    const size_t directory = directory_of(started_as);
    if (directory) return find_beside(started_as, directory, names);
#if defined(RUN_POSIX)
    /* Found by the shell: where it looks, in the same order. */
    for (const char *at = getenv("PATH"); at && *at; at += strcspn(at, ":"), at += *at == ':') {
        const size_t n = strcspn(at, ":");
        char *file = allocate(n + strlen(started_as) + 2, 1), *found;
        sprintf(file, "%.*s/%s", (int)n, at, started_as);
        found = n < INT_MAX && can_open(file) ? find_beside(file, n + 1, names) : NULL;
        free(file);
        if (found) return found;
    }
#endif
    return find_beside("", 0, names);
}

/* Ends with the command that makes a model of what is at path, or of the directory that its first bytes name. */
static void advise_to_convert(const char *path, const char *what, size_t length) {
    const char *from = path;
    while (length > 1 && from[length - 1] == '/') length--;
    if (!length) from = ".", length = 1;
    size_t begin = length, end = length > 5 && !strncmp(from + length - 5, ".gguf", 5) ? length - 5 : length;
    while (begin && from[begin - 1] != '/') begin--;
    const int named = from[begin] != '.'; /* . and .. give no name to the new file */
    fail("%.150s is %s; this makes a model of it: tools/convert \"%.*s\" \"%.*s.llama\"", path, what, (int)length, from,
         named ? (int)(end - begin) : 5, named ? from + begin : "model");
}

/* What was named as a model and is none: what it is, if that can be told, and what to do with it. */
static void refuse_model(const char *path, const char *why) {
    static const char *const config[] = {"config.json", NULL};
    static const char *const others[][2] = {
        {"PK\3\4", "a zip archive, perhaps of PyTorch weights; get the model as safetensors or GGUF for tools/convert"},
        {"\200\2\212\12", "old PyTorch weights; get the model as safetensors or GGUF for tools/convert"},
        {"\37\213\10", "packed by gzip; unpack it and name what was in it"}};
    char start[9] = "";
    FILE *file = fopen(path, "rb");
    const size_t n = file ? fread(start, 1, sizeof start, file) : 0;
    char *found = find_beside(path, directory_of(path), config);
    const int beside = found != NULL;
    free(found);
    if (kind_of(path) == 'd') advise_to_convert(path, "a directory, perhaps from Hugging Face", strlen(path));
    if (!file && path == arg.model && (strchr(path, ' ') || !path[strcspn(path, "./")]))
        fail("no file is named \"%.200s\"; a prompt goes after -p: %s -p \"%.200s\"", path, program, path);
    if (file) fclose(file);
    if (strstr(why, ": 0 bytes ")) fail("%.200s is empty; get the model again, or name another", path);
    if (n >= 4 && !memcmp(start, "GGUF", 4)) advise_to_convert(path, "a GGUF file", strlen(path));
    if (n == 9 && start[8] == '{') {
        const char *what = "a safetensors file, part of a directory";
        if (beside) advise_to_convert(path, what, directory_of(path));
        fail("%.200s is %s; get the rest of it, config.json first, for tools/convert", path, what);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strncmp(start, others[i][0], strlen(others[i][0]))) fail("%.200s is %s", path, others[i][1]);
    tokenizer *t = tokenizer_load(path, 0, NULL, NULL);
    tokenizer_free(t);
    if (t) fail("%.200s is a tokenizer, not a model; it goes after -z: %s MODEL -z \"%.200s\"", path, program, path);
    if (start[0] == '{' && beside) advise_to_convert(path, "JSON text, part of a directory", directory_of(path));
    if (start[0] == '{') fail("%.200s is JSON text, not a model; tools/batch takes lines of JSON", path);
    fail("%s", why);
}

static llama_model *load_model(const char *path) {
    llama_error err;
    llama_model *model = llama_load(path, &(llama_options){.copy = arg.no_mmap}, &err);
    if (!model) refuse_model(path, err.text);
    return model;
}

/* The one that was named, the model's own, which a draft's is anyway, or one in its directory. */
static tokenizer *load_tokenizer(const char *path, const llama_model *model) {
    static const char *const names[] = {"tokenizer.bin", "tokenizer.model", NULL};
    tokenizer_error err;
    size_t size, directory = directory_of(path);
    const int vocab_size = llama_get_config(model)->vocab_size, shown = directory < 150 ? (int)directory : 150;
    const void *own = llama_get_tokenizer(model, &size);
    if (arg.tokenizer && model == run.model) own = NULL;
    char *beside = own || arg.tokenizer ? NULL : find_beside(path, directory, names);
    if (!own && !arg.tokenizer && !beside)
        fail("no tokenizer: neither %.*stokenizer.bin nor %.*stokenizer.model can be opened; give one with -z FILE",
             shown, path, shown, path);
    tokenizer *t = own ? tokenizer_load_memory(own, size, vocab_size, NULL, &err)
                       : tokenizer_load(beside ? beside : arg.tokenizer, vocab_size, NULL, &err);
    free(beside);
    if (!t) fail("%.200s%s%s", own ? path : "", own ? ": its tokenizer: " : "", err.text);
    return t;
}

/* The model, and a draft, which has to mean the same by each token. */
static void load(void) {
    run.model = load_model(arg.model);
    run.tokens = load_tokenizer(arg.model, run.model);
    if (!arg.draft) return;
    run.draft = load_model(arg.draft);
    const int n = llama_get_config(run.model)->vocab_size, other = llama_get_config(run.draft)->vocab_size;
    if (n != other) fail("%.200s cannot be the draft: its vocabulary has %d tokens, not %d", arg.draft, other, n);
    tokenizer *t = load_tokenizer(arg.draft, run.draft);
    for (int id = 0; id < n; id++) {
        tokenizer_piece a, b;
        const int known = tokenizer_get_piece(run.tokens, id, &a);
        if (known != tokenizer_get_piece(t, id, &b) || (known && (a.size != b.size || memcmp(a.text, b.text, a.size))))
            fail("%.200s cannot be the draft: its tokenizer is another, of token %d for one", arg.draft, id);
    }
    tokenizer_free(t);
}

/* Ids of the text, with BOS first: to score a text, whether or not the tokenizer adds it on its own. */
static void encode(const char *text, size_t size) {
    tokenizer_error err;
    const int bos = tokenizer_bos(run.tokens), first = arg.perplexity && bos >= 0;
    const size_t capacity = tokenizer_bound(run.tokens, size);
    run.ids = allocate(capacity, sizeof run.ids[0]);
    if (first) run.ids[0] = bos;
    const ptrdiff_t count = tokenizer_encode(run.tokens, text, size, first ? 0 : TOKENIZER_BOS, run.ids + first,
                                             capacity - (size_t)first, &err);
    if (count < 0) fail("%s", err.text);
    if (count >= INT_MAX) fail("the text has more than %d tokens", INT_MAX);
    run.n_ids = (int)count + first;
}

/* The context, with room for what is needed, as far as the model allows, and what draws a text. It runs up to the
 * length that it was trained for. Files are often modest about that: a number of tokens that the user names gets up to
 * twice as much. */
static void create_context(long long needed) {
    llama_error err;
    llama_options o = {.n_threads = arg.n_threads, .kv_type = arg.kv_type, .progress = on_progress};
    const long long trained = llama_get_config(run.model)->seq_len;
    const long long most = arg.n_given && !arg.chat && run.n_ids <= trained ? 2 * trained : trained;
    const long long length = arg.n_ctx ? arg.n_ctx : needed < most ? needed : most < INT_MAX ? most : INT_MAX;
    o.n_ctx = o.n_ctx_sequence = (int)length;
    if (arg.beams && run.n_ids <= length) { /* they share the prompt; each fills pages of its own from there on */
        const long long all = length + arg.beams * (length - run.n_ids + 2LL * LLAMA_PAGE);
        o.n_sequences = arg.beams, o.n_ctx = all < INT_MAX ? (int)all : INT_MAX;
    }
    if (!(run.context = llama_context_create(run.model, &o, &err))) fail("%s", err.text);
    if (!(run.sampler = llama_sampler_create(run.model, &arg.sampling, NULL, &err))) fail("%s", err.text);
    run.ahead = llama_speculator_create(run.context, run.draft, run.sampler, arg.lookup || arg.draft ? LOOK_AHEAD : 0,
                                        &o, &err);
    if (!run.ahead) fail("%s", err.text);
    size_t room = (size_t)run.n_ids;
    run.ids = grow(run.ids, (size_t)length + 1, sizeof *run.ids, &room);
}

/* ---- Continuing and scoring ---- */

static void print_speed(const char *what, int count, double time, const char *remark) {
    if (count)
        note("%-8s %d %s in %.3f s, %.1f tokens/s%s", what, count, count == 1 ? "token" : "tokens", time,
             time > 0 ? count / time : 0, remark);
}

static void print_statistics(const char *why) {
    const llama_config *c = llama_get_config(run.model);
    if (!arg.verbose) return;
    if (is_terminal(stdout)) note("");
    note("model    %.200s", arg.model);
    note("         %s, %s, %d layers, dim %d, vocabulary %d, %.1f MB read per token", c->format, c->weight_type,
         c->n_layers, c->dim, c->vocab_size, (double)c->weight_bytes / 1e6);
    note("load     %.1f ms; context %d, trained for %d; threads %d", spent.load * 1e3,
         llama_context_length(run.context), c->seq_len, llama_context_threads(run.context));
    if (llama_position(run.context) > c->seq_len)
        note("warning  a text of %d tokens is longer than the model was trained for: its end may make less sense",
             llama_position(run.context));
    print_speed("prompt", spent.n_prompt, spent.prompt, "");
    print_speed("decode", spent.n_decoded, spent.decode,
                spent.n_drawn == spent.n_decoded + 1 ? " (the first came with the prompt)" : "");
    if (arg.lookup || arg.draft) {
        const llama_speculation s = llama_speculated(run.ahead);
        note("guesses  %.0f of %.0f were right", (double)s.accepted, (double)s.proposed);
    }
    if (!arg.perplexity && arg.sampling.temperature > 0 && !arg.beams)
        note("seed     %llu", (unsigned long long)arg.sampling.seed);
    note("stopped  %s", why);
}

static void begin_saying(int begun, int trim) {
    said.size = said.shown = 0;
    said.begun = begun, said.trim = trim, said.stopped = 0;
}

/* Where the text ends that can be printed: before a stop string, or before what may become one. */
static size_t sayable(size_t from) {
    size_t end = said.size, hold = 0;
    for (int i = 0; i < arg.n_stops; i++) {
        const size_t n = strlen(arg.stop[i]);
        for (size_t at = from < n ? 0 : from - n; at < end && at + n <= said.size; at++)
            if (!memcmp(said.text + at, arg.stop[i], n)) end = at, said.stopped = 1;
    }
    if (said.stopped) return said.size = end;
    for (int i = 0; i < arg.n_stops; i++)
        for (size_t n = strlen(arg.stop[i]) - 1; n > hold; n--)
            if (n <= end && !memcmp(said.text + end - n, arg.stop[i], n)) hold = n;
    return end - hold;
}

/* Prints what is new up to end. White space at the beginning is left out, and at the end waits for what follows it. */
static void show(size_t end) {
    size_t start = said.shown;
    while (said.trim && end > start && isspace((unsigned char)said.text[end - 1])) end--;
    while (!said.begun && start < end && isspace((unsigned char)said.text[start])) start++;
    if (end <= start) return;
    put(said.text + start, end - start);
    said.begun = 1;
    said.shown = end;
}

static void say_more(const char *bytes, size_t size) {
    if (!size) return;
    said.text = grow(said.text, said.size + size, 1, &said.capacity);
    const size_t before = said.size;
    memcpy(said.text + before, bytes, size);
    said.size += size;
    show(sayable(before));
}

static const char context_full[] = "because the context is full";
static const float *drop_turns(int n_answer);

/* Says what a token stands for that comes behind run.ids, or returns why it ends the text. */
static const char *say_token(int id) {
    size_t size;
    if (tokenizer_is_end(run.tokens, id) || (arg.chat && id == chat.end_of_turn)) return "at the end of the text";
    if (id == tokenizer_bos(run.tokens)) return "where another text begins"; /* llama2.c's training data */
    const char *bytes = tokenizer_decode(run.tokens, run.ids[run.n_ids - 1], id, &size);
    say_more(bytes, size);
    spent.n_drawn++;
    return said.stopped ? "at a stop string" : NULL;
}

/* Samples and prints from the logits after run.ids on. Returns why it stopped, or NULL and err. A token is evaluated
 * only if the one after it is wanted; in a chat another turn may follow it. */
static const char *decode(const float *logits, llama_error *err) {
    for (int left = arg.n_predict; left > 0; left--) {
        if (interrupted) return "by Ctrl-C";
        const int id = llama_sample(run.sampler, logits, err);
        if (id < 0) return NULL;
        const char *why = say_token(id);
        llama_sampler_rewind(run.sampler, 1); /* until it is in run.ids too */
        if (why) return why;
        if (left == 1 && !arg.chat) break;
        if (run.n_ids == llama_context_length(run.context) && !(arg.chat && drop_turns(run.n_ids - chat.answer_at)))
            return interrupted ? "by Ctrl-C" : context_full;
        llama_sampler_accept(run.sampler, run.ids[run.n_ids++] = id);
        logits = llama_speculate(run.ahead, run.ids, run.n_ids, err);
        if (!logits) return interrupted ? "by Ctrl-C" : NULL;
        spent.n_decoded++;
    }
    return "after the number of tokens asked for";
}

static int ends_text(void *user, int id) {
    (void)user;
    return tokenizer_is_end(run.tokens, id) || id == tokenizer_bos(run.tokens);
}

/* The same of the best text that beams find. */
static const char *search(llama_error *err) {
    const int room = llama_context_length(run.context) - run.n_ids + 1; /* the last token is not evaluated */
    const int most = arg.n_predict < room ? arg.n_predict : room;
    const llama_beaming how = {arg.beams, most, arg.length_penalty, ends_text, NULL};
    const char *why = NULL;
    if (!most) return "after the number of tokens asked for";
    run.beams = allocate((size_t)arg.beams, sizeof *run.beams);
    for (int i = 0; i < arg.beams; i++) run.beams[i].tokens = allocate((size_t)most, sizeof(int));
    run.n_beams = llama_beam_search(run.context, &how, run.beams, NULL, err);
    if (run.n_beams < 0) return interrupted ? "by Ctrl-C" : NULL;
    for (int i = 0; i < run.beams->n && !why; i++) {
        why = say_token(run.beams->tokens[i]);
        if (!why) run.ids[run.n_ids++] = run.beams->tokens[i], spent.n_decoded++;
    }
    return why ? why : most < arg.n_predict ? context_full : "after the number of tokens asked for";
}

/* All that beams found, each with its beginning. */
static void print_beams(void) {
    for (llama_beam *b = run.beams; b < run.beams + run.n_beams; b++) {
        char text[400];
        size_t size, used = 0;
        for (int i = 0, last = run.ids[spent.n_prompt - 1]; i < b->n; last = b->tokens[i++]) {
            const char *bytes = tokenizer_decode(run.tokens, last, b->tokens[i], &size);
            for (size_t j = 0; j < size && used < sizeof text; j++)
                text[used++] = bytes[j] == '\n' || !bytes[j] ? ' ' : bytes[j];
        }
        note("beam     score %.4f, sum %.4f, %d tokens%s: %.*s", b->score, b->sum, b->n, b->ended ? ", ended" : "",
             (int)used, text);
    }
}

/* The prompt is printed from the caller's bytes: decoding its tokens need not give them back (a
 * tokenizer may drop spaces). It waits until it is evaluated, so that progress has the line to itself. */
static void generate(const char *text, size_t size) {
    llama_error err;
    const char *why = "by Ctrl-C";
    if (!run.n_ids) fail("the prompt is empty, and this tokenizer has no token that begins a text");
    create_context((long long)run.n_ids + arg.n_predict);
    const int length = llama_context_length(run.context);
    if (run.n_ids > length) fail("the prompt has %d tokens, the context only %d (see -c)", run.n_ids, length);
    for (int i = 0; i < run.n_ids; i++) llama_sampler_accept(run.sampler, run.ids[i]);

    start_progress("prompt", run.n_ids);
    const float *logits = llama_forward(run.context, run.ids, run.n_ids, &err);
    spent.prompt = end_progress();
    const double start = seconds();
    if (logits) {
        spent.n_prompt = run.n_ids;
        if (!arg.quiet) put(text, size);
        begin_saying(run.n_ids > 1, 0); /* what begins with nothing, not even a prompt, begins where it can be seen */
        why = arg.beams ? search(&err) : decode(logits, &err);
        show(said.size);
    } else if (!interrupted) fail("%s", err.text);
    put("\n", 1);
    if (!why) fail("%s", err.text);
    spent.decode = seconds() - start;
    if (arg.verbose) print_beams();
    print_statistics(why);
    if (why == context_full)
        warn("ended after %d of %d tokens: the context of %d is full (trained for %d; -c N sets it)", spent.n_drawn,
             arg.n_predict, length, llama_get_config(run.model)->seq_len);
}

/* The sum of the negative log-probabilities of the tokens after BOS; returns how many were scored, all unless Ctrl-C
 * stopped it. Windows of the context's length; the BOS of each is written over the last token of the one before, which
 * is done with. A window is scored in pieces; the first token of a piece by the logits after the one before. */
static int score(double *total) {
    llama_error err;
    float logprobs[SCORED_AT_ONCE];
    const int step = llama_context_length(run.context) - 1, bos = tokenizer_bos(run.tokens);
    const int vocab_size = llama_get_config(run.model)->vocab_size, all = run.n_ids - 1;
    *total = 0;
    for (int first = 0; first < all; first += step) {
        const int end = all - first < step ? all : first + step; /* the last token of this window */
        run.ids[first] = bos;
        llama_rewind(run.context, 0);
        for (int at = first, n; at <= end; at += n) {
            n = end + 1 - at < SCORED_AT_ONCE ? end + 1 - at : SCORED_AT_ONCE;
            progress.before = at, progress.now = n;
            if (at > first) *total -= (double)llama_logprob(llama_logits(run.context), vocab_size, run.ids[at]);
            if (llama_score(run.context, run.ids + at, n, logprobs, &err) != 0) {
                if (interrupted) return at > first ? at : first;
                fail("%s", err.text);
            }
            for (int i = 0; i < n - 1; i++) *total -= (double)logprobs[i];
        }
    }
    return all;
}

static void perplexity(size_t bytes) {
    char line[200], part[64] = "";
    double total, length = (double)bytes;
    const int all = run.n_ids - 1;
    if (!bytes) fail("%.200s is empty", arg.perplexity);
    if (tokenizer_bos(run.tokens) < 0) fail("this tokenizer has no token that begins a text, so nothing can be scored");
    if (all < 1) fail("%.200s holds no token", arg.perplexity);
    create_context(run.n_ids);
    if (llama_context_length(run.context) < 2) fail("a context of 1 token has no room for a token to score (see -c)");

    start_progress("perplexity", all);
    const int scored = spent.n_prompt = score(&total);
    spent.prompt = end_progress();
    if (scored < all) {
        snprintf(part, sizeof part, " partial %.1f%% of %d tokens", 100.0 * scored / all, all);
        length = 0;
        for (int i = 1; i <= scored; i++) /* the bytes that were scored */
            tokenizer_decode(run.tokens, i > 1 ? run.ids[i - 1] : -1, run.ids[i], &bytes), length += (double)bytes;
    }
    if (scored && isnan(total)) fail("the model's probabilities are not numbers");
    snprintf(line, sizeof line, "tokens %d nll %.6f perplexity %.6f bits_per_byte %.6f%s\n", scored, total / scored,
             exp(total / scored), total / log(2) / length, part);
    if (scored) put(line, strlen(line));
    print_statistics(scored == all ? "at the end of the file" : "by Ctrl-C");
}

/* ---- Chat ---- */

static void add_message(int role, char *text, size_t size) { /* which now belongs to the conversation */
    chat.messages = grow(chat.messages, (size_t)chat.n + 1, sizeof *chat.messages, &chat.capacity);
    chat.messages[chat.n++] = (tokenizer_message){role, text, size};
}

static void drop_messages(int first, int n) {
    for (int i = first; i < first + n; i++) free((char *)chat.messages[i].text);
    memmove(chat.messages + first, chat.messages + first + n, (size_t)(chat.n - first - n) * sizeof *chat.messages);
    chat.n -= n;
}

/* Puts the ids of the messages from first on into chat.next. Returns their number. */
static int encode_messages(int first) {
    tokenizer_error err;
    for (;;) {
        const ptrdiff_t n = tokenizer_encode_chat(run.tokens, chat.template, chat.messages, chat.n, first, chat.next,
                                                  chat.next_capacity, &err);
        if (n < 0) fail("%s", err.text);
        if (n > INT_MAX / 2) fail("the conversation has more than %d tokens", INT_MAX / 2);
        if ((size_t)n <= chat.next_capacity) return (int)n;
        chat.next = grow(chat.next, (size_t)n, sizeof *chat.next, &chat.next_capacity);
    }
}

/* Puts the `count` ids of chat.next into the text from position `from` on, and behind them the last n_answer ids that
 * it had; and evaluates it, but for what it begins with anyway, the system's say. NULL if Ctrl-C stops it. */
static const float *evaluate(int from, int count, int n_answer) {
    llama_error err;
    const int end = from + count, n = end + n_answer, answer_at = run.n_ids - n_answer;
    int keep = from;
    while (keep < end && keep < n - 1 && keep < answer_at && chat.next[keep - from] == run.ids[keep]) keep++;
    llama_rewind(run.context, keep); /* what was guessed behind it may be right, but was not evaluated with the rest */
    llama_sampler_rewind(run.sampler, run.n_ids - keep);
    memmove(run.ids + end, run.ids + answer_at, (size_t)n_answer * sizeof *run.ids);
    memcpy(run.ids + from, chat.next, (size_t)count * sizeof *run.ids);
    for (int i = keep; i < n; i++) llama_sampler_accept(run.sampler, run.ids[i]);
    run.n_ids = n, chat.answer_at = end, chat.whole = 1; /* until it is done */
    start_progress("prompt", n - keep);
    const float *logits = llama_speculate(run.ahead, run.ids, n, &err);
    spent.prompt += end_progress();
    if (!logits && !interrupted) fail("%s", err.text);
    if (!logits) return NULL;
    chat.whole = chat.changes, spent.n_prompt += n - keep;
    return logits;
}

/* Drops the oldest turns until a quarter of the context is free, and makes the text anew. NULL if that cannot be done,
 * or Ctrl-C stops it. */
static const float *drop_turns(int n_answer) {
    int length = llama_context_length(run.context), system = arg.system != NULL, dropped = 0, count = INT_MAX / 2;
    for (; chat.n - system > 1 && count + n_answer > length / 4 * 3; dropped++) {
        drop_messages(system, 2);
        count = encode_messages(0);
    }
    if (!dropped) return NULL;
    chat.whole = 1;
    if (said.shown) put("\n", 1);
    note("(the context of %d tokens is full: the oldest %s forgotten)", length, dropped == 1 ? "turn is" : "turns are");
    return count + n_answer < length ? evaluate(0, count, n_answer) : NULL;
}

/* Evaluates what the user said. NULL if there is no room for it, or if Ctrl-C stops it. */
static const float *listen(void) {
    const int from = chat.whole ? 0 : run.n_ids, count = encode_messages(chat.whole ? 0 : chat.n - 1);
    return from + count > llama_context_length(run.context) ? drop_turns(0) : evaluate(from, count, 0);
}

static void answer(const float *logits) {
    llama_error err;
    const double start = seconds(), prompt = spent.prompt;
    const char *why = decode(logits, &err);
    if (!why) fail("%s", err.text);
    if (why == context_full) note("%s(the context is full; see -c)", is_terminal(stdout) ? "\n" : "");
    show(said.size);
    spent.decode += seconds() - start - (spent.prompt - prompt);
}

/* One turn: what the user said is in line. */
static void take_turn(char *line, size_t size) {
    add_message(TOKENIZER_USER, line, size);
    begin_saying(0, 1);
    catch_interrupt();
    const float *logits = listen();
    if (logits) answer(logits);
    else if (!interrupted) note("(too long for the context of %d tokens; see -c)", llama_context_length(run.context));
    put("\n", 1);
    if (!logits) drop_messages(chat.n - 1, 1);
    else add_message(TOKENIZER_ASSISTANT, copy_of(said.text, said.size), said.size);
}

/* A text between quotes, as JSON has it. What is no UTF-8, half a character say, becomes U+FFFD. */
static void write_json(FILE *file, const char *text, size_t size) {
    const unsigned char *p = (const unsigned char *)text, *end = p + size;
    for (ptrdiff_t n; p < end; p += n) {
        const ptrdiff_t want = *p < 0xC2 || *p > 0xF4 ? 1 : *p < 0xE0 ? 2 : *p < 0xF0 ? 3 : 4;
        for (n = 1; n < want && n < end - p && (p[n] & 0xC0) == 0x80;) n++;
        if (*p == '"' || *p == '\\') fprintf(file, "\\%c", *p);
        else if (*p < 32 || *p == 127) fprintf(file, "\\u%04x", *p);
        else if (n < want || (*p >= 0x80 && want == 1)) fputs("\\ufffd", file);
        else fwrite(p, 1, (size_t)n, file);
    }
}

/* The conversation as lines of JSON, one a message. */
static void save_chat(const char *path) {
    static const char *const roles[] = {"system", "user", "assistant"};
    errno = EEXIST;
    FILE *file = !*path || can_open(path) ? NULL : fopen(path, "wb");
    if (!*path) note("(/save needs the name of a file)");
    else if (!file) note("(cannot write %.200s: %s)", path, reason());
    if (!file) return;
    for (int i = 0; i < chat.n; i++) {
        const tokenizer_message *m = &chat.messages[i];
        fprintf(file, "{\"role\": \"%s\", \"content\": \"", roles[m->role - 1]);
        write_json(file, m->text, m->size);
        fputs("\"}\n", file);
    }
    const int bad = ferror(file);
    if (fclose(file) || bad) note("(cannot write %.200s: %s)", path, reason());
    else note("(%d messages in %.200s)", chat.n, path);
}

static const char chat_help[] = "(/retry      another answer to the last question\n"
                                " /clear      forget what was said\n"
                                " /save FILE  write the conversation as lines of JSON\n"
                                " /exit       leave, as Ctrl-D does; Ctrl-C stops an answer\n"
                                " anything else is said; rlwrap run ... gives the line a history)\n";

/* A line that was typed: 1 if it was a command, 0 if it is to be said, -1 to leave. */
static int obey(const char *line, size_t size) {
    const int system = arg.system != NULL;
    char text[600];
    snprintf(text, sizeof text, "%.*s", size < sizeof text ? (int)size : 0, line);
    if (!strcmp(text, "/exit")) return -1;
    if (!strcmp(text, "/help")) fputs(chat_help, stderr);
    else if (!strncmp(text, "/save", 5) && (!text[5] || text[5] == ' ')) save_chat(text + 5 + strspn(text + 5, " "));
    else if (!strcmp(text, "/clear")) drop_messages(system, chat.n - system), chat.whole = 1, note("(forgotten)");
    else if (!strcmp(text, "/retry") && chat.n < system + 2) note("(nothing was answered yet)");
    else if (!strcmp(text, "/retry")) {
        const tokenizer_message asked = chat.messages[chat.n - 2];
        char *again = copy_of(asked.text, asked.size);
        drop_messages(chat.n - 2, 2);
        chat.whole = 1; /* what has not changed is not evaluated again */
        take_turn(again, asked.size);
    } else return 0;
    return 1;
}

static void converse(void) {
    const int typed = is_terminal(stdin);
    size_t size;
    chat.template = arg.template ? tokenizer_template_find(arg.template) : tokenizer_template(run.tokens);
    if (!chat.template)
        fail("%.200s has no chat template: -p TEXT continues a text, --template NAME chats all the same", arg.model);
    chat.end_of_turn = tokenizer_end_of_turn(run.tokens, chat.template);
    chat.changes = !tokenizer_chat_grows(run.tokens, chat.template);
    if (arg.system && !tokenizer_get_form(run.tokens, chat.template)->between[0][TOKENIZER_SYSTEM])
        fail("the template of %.200s has no place for a system's text", arg.model);
    const char *name = tokenizer_template_name(chat.template);
    create_context(CHAT_CONTEXT);
    chat.whole = 1;
    if (arg.system) add_message(TOKENIZER_SYSTEM, copy_of(arg.system, strlen(arg.system)), strlen(arg.system));
    if (typed)
        note("chat with %.200s, template %s; /help lists commands, Ctrl-D leaves", arg.model, name ? name : "its own");
    for (int obeyed = 0; obeyed >= 0;) {
        if (signal(SIGINT, SIG_DFL) == SIG_IGN) signal(SIGINT, SIG_IGN);
        if (typed) fputs("> ", stderr);
        char *line = read_line(&size);
        if (!line) break;
        obeyed = !typed || size == 0 ? size == 0 && typed : obey(line, size);
        if (obeyed) free(line);
        else take_turn(line, size);
        if (interrupted && !typed) break; /* a script is to end, an answer typed for only to stop */
        interrupted = 0;
    }
    if (typed) fputs("\n", stderr);
    print_statistics("at the end of the conversation");
}

/* Finds the text, and continues or scores it. */
static void read_text(void) {
    if (!arg.prompt && !arg.file && !arg.perplexity && kind_of(NULL) == 'f') {
        arg.file = "-";
        if (has_no_input_after(1000))
            warn("waiting for a prompt on standard input; -p TEXT gives one, </dev/null none");
    }
    const char *path = arg.file ? arg.file : arg.perplexity, *prompt = arg.prompt ? arg.prompt : "";
    const size_t size = path ? read_file(path) : strlen(prompt);
    const char *text = path ? run.text : prompt;
    catch_interrupt();
    encode(text, size);
    if (arg.perplexity) perplexity(size);
    else generate(text, size);
}

int main(int argc, char **argv) {
    const double start = seconds();
    const char *started_as = argc > 0 && argv[0] ? argv[0] : program, *slash = strrchr(started_as, '/');
    program = slash ? slash + 1 : started_as;
    arg.sampling = llama_sampling_default();
    binary_streams();
    parse_arguments(argc, argv);
    check_arguments();
    if (!arg.model) arg.model = find_own_model(started_as);
    if (!arg.model)
        misuse("no model given, and austen.llama is not beside the program; get one, stories15M.bin say, from "
               "https://huggingface.co/karpathy/tinyllamas and its tokenizer.bin from "
               "https://github.com/karpathy/llama2.c");
    if (is_terminal(stderr)) arg.verbose = 1;

    load(); /* before the text is read, which someone may be typing */
    spent.load = seconds() - start;
    if (arg.chat) converse();
    else read_text();
    if (interrupted) raise(SIGINT); /* so that a loop in a shell ends too */
    return interrupted ? STATUS_INTERRUPTED : 0;
}
