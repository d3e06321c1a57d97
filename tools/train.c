/* train.c - makes a model of a text: a tokenizer, then a Llama, trained from nothing or from another model.
 *
 * Here are the options, the loop and what is printed. The parts: bpe.c learns the tokenizer, corpus.c holds text out
 * and says what is learned when, grad.c is the model and the optimiser, compute.c its arithmetic, state.c keeps a run
 * on disk, weights.c reads and writes models.
 *
 * Exit status: 0 done, 1 failed (one line on stderr), 2 wrong usage, 130 stopped by Ctrl-C, all saved.
 */
#include "../llama.h"
#include "../tokenizer.h"
#include "formats/rope.h"
#include "formats/writer.h"
#include "shared/clock.h"
#include "shared/files.h"
#include "shared/inside.h"
#include "shared/options.h"
#include "shared/peak.h"
#include "shared/terminal.h"
#include "training/bpe.h"
#include "training/corpus.h"
#include "training/grad.h"
#include "shared/numbers.h"
#include "training/state.h"
#include "training/weights.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_LIMIT = 1 << 30 }; /* bytes: token counts must fit an int */
enum { SAVE_SECONDS = 120, LINE_SECONDS = 10, QUICK_TOKENS = 1 << 15, SAMPLE_TOKENS = 64 };
enum { COLUMNS = 79 }; /* of a line: a terminal of 80 may wrap after the last */

static struct { /* what the command line asks for */
    const char *text, *output, *tokenizer, *init, *held_out, *type_name;
    int vocab, dim, layers, heads, kv_heads, hidden, context, tie;
    int batch, accumulate, steps, warmup, seed, hold_out, freeze, keep_best, type;
    double epochs, rate, min_rate, decay, clip, dropout;
    int threads, eval_every, sample_every, save_every, resume;
    int model_context; /* seq_len of the file that is written: that of --init, or context */
} arg = {.vocab = 2048,
         .dim = 192,
         .layers = 6,
         .heads = 6,
         .kv_heads = 3,
         .hidden = 512,
         .context = 256,
         .tie = 1,
         .batch = 8,
         .accumulate = 1,
         .epochs = 10,
         .rate = 2e-3,
         .min_rate = 2e-4,
         .warmup = 100,
         .decay = 0.1,
         .clip = 1,
         .hold_out = 10,
         .sample_every = -1}; /* as eval_every */

static struct { /* what the program holds */
    char *text, *state_path;
    void *state_file; /* what state points into, with --resume */
    train_state state;
    corpus parts;
    tokenizer *tokens;
    int *learn, *held;     /* ids */
    unsigned char *begins; /* (n_learn) 1: a paragraph begins there */
    size_t n_learn, n_held;
    windows learned, scored;
    model_weights model; /* what is saved; values are those of grad */
    compute *threads;
    grad *grad;
    float *moment1, *moment2;
    int *batch, *next; /* (batch, context) */
} run;

static struct { /* of the run that is going on */
    uint64_t step;
    double mean;         /* of the losses of steps, of the last 50 or so: an average that forgets */
    double held, lowest; /* held-out loss: the last, the lowest */
    double start, saved, shown;
    uint64_t saved_step;
    double length; /* of the last gradient */
    /* What this process has done, and the seconds it took: steps, held-out windows, samples. */
    double steps, windows, samples, stepping, scoring, sampling;
    double peak; /* GFLOP/s: the highest found so far */
} now;

static void *allocate(size_t count, size_t size) {
    void *p = count <= SIZE_MAX / size ? calloc(count ? count : 1, size) : NULL;
    if (!p) fail("out of memory");
    return p;
}

static void *copy(const void *data, size_t size) {
    void *p = allocate(size, 1);
    if (size) memcpy(p, data, size);
    return p;
}

/* ---- Arguments ---- */

/* In the state: a run that goes on must have the same; or it has the same unless told otherwise, as no loss depends on
 * it. */
enum { SAVED = 1, KEPT };

/* clang-format off */
static const option options[] = {
    {'z', "tokenizer", "FILE", TEXT, &arg.tokenizer, 0, 0, 0, "a tokenizer to use instead of learning one"},
    {0, "vocab", "N", WHOLE, &arg.vocab, 1, 1 << 20, SAVED, "pieces of the tokenizer that is learned (2048)"},
    {0, "dim", "N", WHOLE, &arg.dim, 1, 1 << 16, SAVED, "width (192)"},
    {0, "layers", "N", WHOLE, &arg.layers, 1, 1024, SAVED, "layers (6)"},
    {0, "heads", "N", WHOLE, &arg.heads, 1, 1 << 12, SAVED, "query heads; must divide the width (6)"},
    {0, "kv-heads", "N", WHOLE, &arg.kv_heads, 1, 1 << 12, SAVED,
     "key and value heads; must divide the query heads (3)"},
    {0, "hidden", "N", WHOLE, &arg.hidden, 1, 1 << 18, SAVED, "width of the feed-forward layer (512)"},
    {'c', "ctx", "N", WHOLE, &arg.context, 2, 1 << 16, SAVED, "context in tokens (256)"},
    {0, "seq", "N", WHOLE, &arg.context, 2, 1 << 16, SAVED, NULL},
    {0, "tie", NULL, FLAG, &arg.tie, 0, 1, SAVED, "the classifier is the embedding (--untie: it is not)"},
    {0, "untie", NULL, OFF, &arg.tie, 0, 1, SAVED, NULL},
    {0, "init", "MODEL", TEXT, &arg.init, 0, 0, 0, "start from a model, with its shape and tokenizer"},
    {0, "freeze-embeddings", NULL, FLAG, &arg.freeze, 0, 1, SAVED, "leave the embedding as it is"},
    {0, "batch", "N", WHOLE, &arg.batch, 1, 1 << 16, SAVED, "windows of the context's length at a time (8)"},
    {0, "accumulate", "N", WHOLE, &arg.accumulate, 1, 1 << 16, SAVED, "batches to a step (1)"},
    {0, "epochs", "X", REAL, &arg.epochs, 1e-3, 1e6, SAVED, "how often the text is seen (10)"},
    {0, "steps", "N", WHOLE, &arg.steps, 1, INT_MAX, SAVED, "or how many steps are made"},
    {0, "lr", "X", REAL, &arg.rate, 1e-12, 1e3, SAVED, "learning rate after the warm-up (0.002)"},
    {0, "min-lr", "X", REAL, &arg.min_rate, 0, 1e3, SAVED, "and at the end (a tenth)"},
    {0, "warmup", "N", WHOLE, &arg.warmup, 0, INT_MAX, SAVED, "steps up to it (100, or a tenth of few steps)"},
    {0, "decay", "X", REAL, &arg.decay, 0, 1e3, SAVED, "weight decay (0.1)"},
    {0, "clip", "X", REAL, &arg.clip, 0, 1e9, SAVED, "longest gradient (1; 0: any)"},
    {0, "dropout", "P", REAL, &arg.dropout, 0, 0.99, SAVED, "share of the values that each branch loses (0)"},
    {'s', "seed", "N", WHOLE, &arg.seed, 0, INT_MAX, SAVED, "of all that is random (0)"},
    {0, "hold-out", "N", WHOLE, &arg.hold_out, 0, 1 << 20, SAVED, "hold out every Nth chapter (10; 0: none)"},
    {0, "held-out", "FILE", TEXT, &arg.held_out, 0, 0, 0, "write what is held out there, for run --perplexity"},
    {0, "keep-best", NULL, FLAG, &arg.keep_best, 0, 1, SAVED, "write the model of the lowest held-out loss"},
    {0, "type", "TYPE", TEXT, &arg.type_name, 0, 0, 0, "of OUT's weights: f32 (default), bf16, q8, q6, q4"},
    {0, "eval-every", "N", WHOLE, &arg.eval_every, 1, INT_MAX, SAVED, "steps between held-out losses (a 20th of all)"},
    {0, "sample-every", "N", WHOLE, &arg.sample_every, 0, INT_MAX, KEPT, "steps between samples (the same; 0: none)"},
    {0, "save-every", "N", WHOLE, &arg.save_every, 1, INT_MAX, KEPT, "steps between saves (two minutes)"},
    {0, "resume", NULL, FLAG, &arg.resume, 0, 1, 0, "go on from OUT.llama.state, with the options there"},
    {'j', "threads", "N", WHOLE, &arg.threads, 1, 1024, KEPT, "threads (one per core)"},
    {'h', "help", NULL, HELP, NULL, 0, 0, 0, "print this"},
    {0, "version", NULL, VERSION, NULL, 0, 0, 0, "print the version"},
};
/* clang-format on */
enum { N_OPTIONS = sizeof options / sizeof options[0] };

static const command_line line = {
    .program = "train",
    .hint = "\nusage: train TEXT OUT.llama [options], see train --help",
    .help = "usage: train TEXT OUT.llama [options]\n"
            "Makes a model of a text. Ctrl-C stops it and saves. Two losses are printed, and\n"
            "do not compare: mean50, the mean of about the last 50 steps, with dropout; and\n"
            "held-out, that of the model as it is, of text that it does not learn from.\n\n",
    .options = options,
    .n_options = N_OPTIONS,
    .names = {&arg.text, &arg.output},
};

static void check_arguments(void) {
    if (!arg.text) misuse("no TEXT");
    if (!arg.output) misuse("no OUT.llama");
    if (arg.resume && (arg.init || arg.tokenizer))
        misuse("--resume takes neither --init nor --tokenizer: OUT has its own");
    if (arg.init && arg.tokenizer) misuse("--init has its own tokenizer: no --tokenizer");
    if (option_was_given(&arg.epochs) && option_was_given(&arg.steps))
        misuse("--epochs and --steps exclude each other");
    arg.type = writer_type(arg.type_name ? arg.type_name : "f32");
    if (arg.type < 0) misuse("--type %.40s: expected " WRITER_TYPES, arg.type_name);
}

/* ---- Files ---- */

/* What is there is replaced only if it is a model that this program could have written, so that a slip does not cost
 * a text; and a directory that cannot be written to is found now, not when there is something to save. */
static void check_output(void) {
    const char *ending = foreign_ending(arg.output);
    if (ending)
        fail("%.200s: what is written is a .llama file, whatever its name: tools/train \"%.120s\" \"%.*s.llama\"",
             arg.output, arg.text, (int)(ending - arg.output), arg.output);
    if (is_special(arg.output)) fail("%.200s: not a file; name one to write", arg.output);
    if (!file_may_be_replaced(arg.output)) fail("%.200s: exists and is not a .llama file; not replaced", arg.output);
    const size_t length = strlen(arg.output);
    run.state_path = allocate(length + 12, 1);
    snprintf(run.state_path, length + 12, "%s.part", arg.output);
    errno = 0;
    FILE *file = fopen(run.state_path, "wb");
    if (!file) fail("%.200s: cannot write there: %s", arg.output, strerror(errno));
    fclose(file);
    remove(run.state_path);
    snprintf(run.state_path, length + 12, "%s.state", arg.output);
}

static char *read_file(const char *path, size_t limit, size_t *size) {
    llama_error err;
    char *data = is_special(path) ? NULL : file_read(path, limit, size, &err);
    if (!data) fail("%s", is_special(path) ? "TEXT is not a file" : err.text);
    return data;
}

/* ---- A run that goes on ---- */

static int is_setting(const option *o, int mark) { return o->mark == mark && o->help && o->kind != OFF; }

/* One of them between an option and the state. */
static void exchange_setting(const option *o, double *setting, int load) {
    const int unset = o->mark == KEPT && *setting == 0; /* left to the program */
    if (!load) *setting = option_value(o);
    else if (!option_allows(o, *setting) && !unset) fail("%.200s: --%s is %g there", run.state_path, o->name, *setting);
    else if (o->mark == SAVED || !option_was_given(o->to)) option_store(o, *setting);
}

/* All options that losses depend on, two values that are none, and the other options, which older states do not have.
 * New ones go to the end. */
static int exchange_settings(double *settings, int load) {
    const char *version = "%.200s: it has settings of another version of this program";
    const int last = load ? run.state.n_settings : STATE_SETTINGS;
    int *const more[] = {&arg.type, &arg.model_context};
    int n = 0;
    for (int i = 0; i < N_OPTIONS && n < last; i++)
        if (is_setting(&options[i], SAVED)) exchange_setting(&options[i], &settings[n++], load);
    for (int i = 0; i < 2; i++, n++) {
        if (n >= last) fail(version, run.state_path);
        if (!load) settings[n] = *more[i];
        else if (settings[n] >= 1 && settings[n] <= 1 << 28) *more[i] = (int)settings[n];
        else fail(version, run.state_path);
    }
    if (n == last) return n;
    for (int i = 0; i < N_OPTIONS && n < last; i++)
        if (is_setting(&options[i], KEPT)) exchange_setting(&options[i], &settings[n++], load);
    return n;
}

/* Options come from the state; those that were given must say the same. */
static void load_settings(void) {
    double asked[N_OPTIONS];
    const int type = arg.type;
    for (int i = 0; i < N_OPTIONS; i++) asked[i] = options[i].mark == SAVED ? option_value(&options[i]) : 0;
    if (exchange_settings(run.state.settings, 1) != run.state.n_settings)
        fail("%.200s: it has settings of another version of this program", run.state_path);
    for (int i = 0; i < N_OPTIONS; i++)
        if (options[i].mark == SAVED && option_was_given(options[i].to) && asked[i] != option_value(&options[i]))
            fail("%.200s: its run has --%s %g, not %g", run.state_path,
                 options[i].kind == OFF ? "tie" : options[i].name, option_value(&options[i]), asked[i]);
    if (arg.type_name && type != arg.type) arg.type = type; /* of the output only: no loss depends on it */
    const llama_config *f = &run.state.config;
    const int wrong = f->dim != arg.dim || f->n_layers != arg.layers || f->n_heads != arg.heads ||
                      f->n_kv_heads != arg.kv_heads || f->hidden_dim != arg.hidden || f->vocab_size != arg.vocab ||
                      f->seq_len != arg.context || f->shared_classifier != arg.tie || arg.steps < 1;
    if (wrong) fail("%.200s: its settings and its model do not fit together", run.state_path);
}

static void load_state(void) {
    llama_error err;
    size_t size;
    run.state_file = file_read(run.state_path, SIZE_MAX / 2, &size, &err);
    if (!run.state_file) fail("--resume: %s", err.text);
    if (state_read(run.state_file, size, run.state_path, &run.state, &err)) fail("%s", err.text);
    load_settings();
    if (run.state.text_hash != state_hash(run.text, strlen(run.text), 0))
        fail("%.120s: its run learned from another text than %.80s", run.state_path, arg.text);
    if (run.state.step > (uint64_t)arg.steps) fail("%.200s: it has made more steps than its run has", run.state_path);
    now.step = run.state.step, now.mean = run.state.mean, now.lowest = run.state.lowest;
}

/* A run that goes on though all its steps are made: its model is written if it is asked for in a type, or is gone. */
static void finish_again(void) {
    llama_error err;
    const train_state *s = &run.state;
    FILE *file = fopen(arg.output, "rb");
    if (file) fclose(file);
    const int write = arg.type_name || !file;
    if (write && arg.keep_best)
        fail("%.120s: its run kept the model of the lowest held-out loss, which is not in it, but in %.120s; "
             "tools/convert makes other types of that",
             run.state_path, arg.output);
    if (write) {
        model_weights m = {.config = s->config, .tokenizer_size = s->tokenizer_size};
        m.config.seq_len = arg.model_context;
        m.rope = copy(s->rope, (size_t)(s->config.head_dim / 2) * sizeof(float));
        m.tokenizer = copy(s->tokenizer, s->tokenizer_size);
        m.values = copy(s->weights, s->count * sizeof(float));
        if (weights_save(&m, arg.type, arg.output, &err)) fail("%s", err.text);
        weights_free(&m);
    }
    printf("finished   all %d steps were made before; %s %s\n", arg.steps, arg.output,
           write ? "is written again" : "stays as it is");
}

/* A run that is not finished is not started again by a slip. */
static void check_unfinished(void) {
    train_state s;
    size_t size;
    void *data = file_read(run.state_path, SIZE_MAX / 2, &size, NULL);
    const int n = N_OPTIONS;
    if (data && !state_read(data, size, run.state_path, &s, NULL) && s.n_settings <= n) {
        int k = 0;
        for (int i = 0; i < N_OPTIONS && options[i].to != &arg.steps; i++) k += is_setting(&options[i], SAVED);
        if (k < s.n_settings && (double)s.step < s.settings[k])
            fail("%.120s: a run that was stopped at step %.0f of %.0f: --resume goes on; remove the file to start anew",
                 run.state_path, (double)s.step, s.settings[k]);
    }
    free(data);
}

static void diverged(uint64_t step) {
    fail("the loss is not a number at step %.0f: a lower --lr may help", (double)step);
}

/* The last update is not yet seen in any loss. */
static void check_weights(void) {
    int bad = 0;
    const float *w = run.model.values;
    for (size_t i = 0, n = grad_count(&run.model.config); i < n; i++) bad |= w[i] - w[i] != 0;
    if (bad) diverged(now.step);
}

static void save(int with_model) {
    llama_error err;
    train_state s = {.config = run.model.config,
                     .step = now.step,
                     .lowest = now.lowest,
                     .mean = now.mean,
                     .count = grad_count(&run.model.config),
                     .rope = run.model.rope,
                     .tokenizer = run.model.tokenizer,
                     .tokenizer_size = run.model.tokenizer_size,
                     .weights = run.model.values,
                     .moment1 = run.moment1,
                     .moment2 = run.moment2,
                     .text_hash = state_hash(run.text, strlen(run.text), 0)};
    s.n_settings = exchange_settings(s.settings, 0);
    if (state_write(&s, run.state_path, &err)) fail("%s", err.text);
    model_weights m = run.model;
    m.config.seq_len = arg.model_context;
    if (with_model && weights_save(&m, arg.type, arg.output, &err)) fail("%s", err.text);
    now.saved = clock_seconds(), now.saved_step = now.step;
}

/* ---- Tokenizer and ids ---- */

static void encode(const char *text, size_t size, int **ids, size_t *n) {
    tokenizer_error err;
    const size_t room = tokenizer_bound(run.tokens, size);
    *ids = allocate(room == SIZE_MAX ? room : room + 1, sizeof **ids);
    const ptrdiff_t got = tokenizer_encode(run.tokens, text, size, 0, *ids, room, &err);
    if (got < 0) fail("%.200s: %s", arg.text, err.text);
    *n = (size_t)got;
    int *less = realloc(*ids, (*n + 1) * sizeof *less);
    if (less) *ids = less;
}

/* Marks the tokens that begin a paragraph: the first that writes something, and those after an empty line. */
static unsigned char *mark_paragraphs(const int *ids, size_t n) {
    unsigned char *begins = allocate(n, 1);
    int breaks = 2; /* line breaks since the last byte that is seen */
    for (size_t i = 0, size; i < n; i++) {
        const char *bytes = tokenizer_decode(run.tokens, i ? ids[i - 1] : -1, ids[i], &size);
        for (size_t k = 0; k < size; k++) {
            if (bytes[k] == '\n') breaks += breaks < 2;
            else if (!strchr(" \t\r", bytes[k])) begins[i] |= breaks == 2, breaks = 0;
        }
    }
    return begins;
}

/* A tokenizer as bytes, which the model and the state hold. */
static void keep_tokenizer(void) {
    run.model.tokenizer_size = tokenizer_save(run.tokens, NULL, 0);
    run.model.tokenizer = allocate(run.model.tokenizer_size, 1);
    tokenizer_save(run.tokens, run.model.tokenizer, run.model.tokenizer_size);
}

static void print_learned(double seconds) {
    const int others = arg.vocab - BPE_FIRST;
    printf("tokenizer  %d pieces learned in %.1f s\n", arg.vocab, seconds);
    if (others < 256) printf("           256 are bytes, which spell what the other %d cannot: see --vocab\n", others);
}

static void open_tokenizer(void) {
    tokenizer_error err;
    const int vocab = option_was_given(&arg.vocab) ? arg.vocab : 0;
    if (run.model.tokenizer) /* of --init or --resume */
        run.tokens = tokenizer_load_memory(run.model.tokenizer, run.model.tokenizer_size, run.model.config.vocab_size,
                                           NULL, &err);
    else if (arg.tokenizer) run.tokens = tokenizer_load(arg.tokenizer, vocab, NULL, &err);
    else {
        const double start = clock_seconds();
        llama_error why;
        run.tokens = bpe_learn(run.parts.learn, run.parts.learn_size, arg.vocab, NULL, &why);
        if (!run.tokens) fail("%s", why.text);
        print_learned(clock_seconds() - start);
    }
    if (!run.tokens) fail("%s", err.text);
    if (tokenizer_bos(run.tokens) < 0) fail("this tokenizer has no token that begins a text");
    if (!run.model.tokenizer) keep_tokenizer();
    arg.vocab = tokenizer_vocab_size(run.tokens);
}

static void print_text(void) {
    const double bytes = (double)run.parts.learn_size, held = (double)run.parts.held_size;
    printf("text       %.0f bytes to learn, %zu tokens of %.2f bytes\n", bytes, run.n_learn,
           bytes / (double)run.n_learn);
    if (!run.n_held) return;
    printf("held out   %.0f bytes, %zu tokens", held, run.n_held);
    if (run.parts.chapters) printf(", every %d. of %d chapters", arg.hold_out, run.parts.chapters);
    putchar('\n');
}

static void write_held_out(void) {
    FILE *file = fopen(arg.held_out, "wb");
    errno = file ? 0 : errno;
    int bad = !file || fwrite(run.parts.held, 1, run.parts.held_size, file) != run.parts.held_size;
    if (file && fclose(file)) bad = 1;
    if (bad) fail("%.200s: cannot write: %s", arg.held_out, strerror(errno));
}

static void open_text(void) {
    llama_error err;
    if (corpus_split(&run.parts, run.text, strlen(run.text), arg.hold_out, &err)) fail("%s", err.text);
    if (arg.held_out) write_held_out();
    open_tokenizer();
    encode(run.parts.learn, run.parts.learn_size, &run.learn, &run.n_learn);
    encode(run.parts.held, run.parts.held_size, &run.held, &run.n_held);
    const double step = (double)arg.batch * arg.accumulate * arg.context;
    if ((double)run.n_learn < step)
        fail("%.120s: %zu tokens to learn from are fewer than a step's %.0f: batch %d x accumulate %d x ctx %d",
             arg.text, run.n_learn, step, arg.batch, arg.accumulate, arg.context);
    print_text();
    const int bos = tokenizer_bos(run.tokens);
    run.begins = mark_paragraphs(run.learn, run.n_learn);
    windows_open(&run.learned, run.learn, run.begins, run.n_learn, arg.context, bos, (uint64_t)arg.seed);
    windows_open(&run.scored, run.held, NULL, run.n_held, arg.context, bos, 0);
    if (arg.hold_out && !run.scored.count) printf("held out   less than a window: no held-out loss\n");
    if (arg.keep_best && !run.scored.count) fail("--keep-best needs a held-out loss");
}

/* ---- The model ---- */

/* Options for the shape are those of a model that is there already, unless they say otherwise. */
static void take_shape(void) {
    const llama_config *f = &run.model.config;
    /* clang-format off */
    const struct { int *option, value; const char *name; } shape[] = {
        {&arg.dim, f->dim, "dim"}, {&arg.layers, f->n_layers, "layers"}, {&arg.heads, f->n_heads, "heads"},
        {&arg.kv_heads, f->n_kv_heads, "kv-heads"}, {&arg.hidden, f->hidden_dim, "hidden"},
        {&arg.vocab, f->vocab_size, "vocab"}, {&arg.tie, f->shared_classifier, "tie"}};
    /* clang-format on */
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        if (option_was_given(shape[i].option) && *shape[i].option != shape[i].value)
            fail("--%s %d: %.120s has %d", shape[i].name, *shape[i].option, arg.init, shape[i].value);
        *shape[i].option = shape[i].value;
    }
    arg.model_context = f->seq_len > arg.context ? f->seq_len : arg.context;
    if (!option_was_given(&arg.context) && arg.context > f->seq_len) arg.context = arg.model_context = f->seq_len;
}

static void load_init(void) {
    llama_error err;
    if (weights_load(&run.model, arg.init, &err)) fail("%s", err.text);
    if (!run.model.tokenizer) fail("%.200s holds no tokenizer; tools/convert puts one into it", arg.init);
    take_shape();
}

static void shape_model(void) { /* of the options */
    llama_config *f = &run.model.config;
    const llama_config shape = {.dim = arg.dim,
                                .hidden_dim = arg.hidden,
                                .n_layers = arg.layers,
                                .n_heads = arg.heads,
                                .n_kv_heads = arg.kv_heads,
                                .head_dim = arg.dim / arg.heads,
                                .vocab_size = arg.vocab,
                                .seq_len = arg.context,
                                .shared_classifier = arg.tie,
                                .norm_eps = 1e-5f,
                                .rope_theta = 10000};
    if (arg.dim % arg.heads) fail("--heads %d does not divide --dim %d", arg.heads, arg.dim);
    *f = shape;
    run.model.rope = f->head_dim % 2 ? NULL : malloc((size_t)f->head_dim / 2 * sizeof *run.model.rope);
    if (run.model.rope) {
        const rope_rule rule = {.kind = ROPE_PLAIN, .theta = (double)f->rope_theta, .turning = f->head_dim};
        rope_table(&rule, f->head_dim, run.model.rope, NULL);
    }
    arg.model_context = arg.context;
}

static void check_shape(void) {
    llama_error err;
    const llama_config *f = &run.model.config;
    if (inside_check_config(f, "the model", &err)) fail("%s", err.text);
    if ((double)arg.batch * f->seq_len * (f->dim + 2.0 * f->hidden_dim) > 1e15 || grad_count(f) == SIZE_MAX)
        fail("the model is too large");
    if ((double)arg.batch * f->seq_len > INT_MAX)
        fail("--batch %d x --ctx %d tokens are too many", arg.batch, f->seq_len);
}

static void create_model(void) {
    llama_error err;
    run.model.config.seq_len = arg.context; /* of a window, from here on */
    check_shape();
    run.threads = compute_create(arg.threads);
    if (!run.threads) fail("out of memory");
    const size_t count = grad_count(&run.model.config), tokens = (size_t)arg.batch * (size_t)arg.context;
    run.grad = grad_create(&run.model.config, run.model.rope, arg.batch, run.threads, &err);
    if (!run.grad) fail("%s", err.text);
    run.moment1 = allocate(count, sizeof(float)), run.moment2 = allocate(count, sizeof(float));
    run.batch = allocate(tokens, sizeof(int)), run.next = allocate(tokens, sizeof(int));
    if (run.model.values) memcpy(grad_weights(run.grad), run.model.values, count * sizeof(float));
    else if (arg.resume) {
        memcpy(grad_weights(run.grad), run.state.weights, count * sizeof(float));
        memcpy(run.moment1, run.state.moment1, count * sizeof(float));
        memcpy(run.moment2, run.state.moment2, count * sizeof(float));
    } else grad_initialise(run.grad, (uint64_t)arg.seed);
    free(run.model.values), free(run.state_file);
    run.model.values = grad_weights(run.grad), run.state_file = NULL;
    printf("model      %.3f million weights, vocabulary %d%s\n", (double)count * 1e-6, arg.vocab,
           arg.tie ? ", tied" : "");
    printf("shape      %d layers, dim %d, hidden %d, %d heads and %d kv heads of %d\n", arg.layers, arg.dim, arg.hidden,
           arg.heads, arg.kv_heads, run.model.config.head_dim);
}

/* What is left to the program to choose. */
static void choose_schedule(void) {
    const double step = (double)arg.batch * arg.accumulate;
    if (!arg.resume && !arg.steps) { /* --resume: chosen already */
        const double steps = ceil(arg.epochs * (double)run.learned.count / step);
        if (steps > INT_MAX) fail("--epochs %g are more than %d steps", arg.epochs, INT_MAX);
        arg.steps = steps < 1 ? 1 : (int)steps;
    }
    if (!arg.resume && !option_was_given(&arg.warmup) && arg.warmup > arg.steps / 10) arg.warmup = arg.steps / 10;
    if (!arg.resume && !option_was_given(&arg.min_rate)) arg.min_rate = arg.rate / 10;
    if (!arg.eval_every) arg.eval_every = (arg.steps + 19) / 20;
    if (arg.sample_every < 0) arg.sample_every = arg.eval_every; /* states of older programs do not say */
}

/* ---- Training ---- */

static double schedule(uint64_t step) { /* linear up, then half a cosine down */
    const double pi = 3.14159265358979323846;
    if (step <= (uint64_t)arg.warmup) return arg.rate * (double)step / arg.warmup;
    const double done = (double)(step - (uint64_t)arg.warmup) / (double)(arg.steps - arg.warmup);
    return arg.min_rate + (arg.rate - arg.min_rate) * 0.5 * (1 + cos(pi * done));
}

/* One step; returns its loss. */
static double make_step(void) {
    double loss = 0;
    const size_t length = (size_t)arg.context;
    for (int a = 0; a < arg.accumulate; a++) {
        const uint64_t turn = now.step * (uint64_t)arg.accumulate + (uint64_t)a;
        const uint64_t seed = mix_bits((uint64_t)arg.seed ^ mix_bits(turn + 1));
        const grad_pass pass = {1, 1.0 / arg.accumulate, arg.dropout, seed};
        for (int i = 0; i < arg.batch; i++)
            if (windows_take(&run.learned, turn * (uint64_t)arg.batch + (uint64_t)i, run.batch + (size_t)i * length,
                             run.next + (size_t)i * length))
                fail("out of memory");
        loss += grad_run(run.grad, run.batch, run.next, arg.batch, &pass) / arg.accumulate;
    }
    const adamw o = {.rate = schedule(now.step + 1),
                     .beta1 = 0.9,
                     .beta2 = 0.95,
                     .epsilon = 1e-8,
                     .decay = arg.decay,
                     .clip = arg.clip,
                     .freeze_embedding = arg.freeze,
                     .step = now.step + 1};
    if (loss - loss == 0) now.length = adamw_step(run.grad, &o, run.moment1, run.moment2);
    if (loss - loss != 0 || now.length - now.length != 0) diverged(now.step + 1); /* infinity too */
    now.step++;
    return loss;
}

/* How many held-out windows are scored: all, or some that are spread evenly, so many tokens. */
static size_t windows_of(size_t most_tokens) {
    const size_t most = most_tokens / (size_t)arg.context + 1;
    return run.scored.count < most ? run.scored.count : most;
}

/* Their mean loss. */
static double score_held_out(size_t most_tokens) {
    const size_t length = (size_t)arg.context, n = windows_of(most_tokens);
    const grad_pass pass = {0, 1, 0, 0};
    const double start = clock_seconds();
    double sum = 0;
    for (size_t i = 0; i < n;) {
        int some = 0;
        for (; some < arg.batch && i < n; some++, i++)
            windows_at(&run.scored, i * run.scored.count / n * length, run.batch + (size_t)some * length,
                       run.next + (size_t)some * length);
        sum += grad_run(run.grad, run.batch, run.next, some, &pass) * some;
    }
    now.windows += (double)n, now.scoring += clock_seconds() - start;
    return sum / (double)n;
}

static double bits_per_byte(double loss) { return loss / log(2) * (double)run.n_held / (double)run.parts.held_size; }

/* ---- What is printed ---- */

/* How many multiples of every there are after this step and before the last one. */
static double times_left(int every) {
    return every ? floor((arg.steps - 1.0) / every) - floor((double)now.step / every) : 0;
}

/* Until the end, if steps take so many seconds: steps, held-out losses and samples, the last of each, which is longer
 * for the loss. A window that is scored takes what such windows took so far, or, as long as there was none, a third of
 * one that is learned. */
static double seconds_left(double step_seconds) {
    const double window =
        now.windows > 0 ? now.scoring / now.windows : step_seconds / ((double)arg.batch * arg.accumulate * 3);
    const double quick = (double)windows_of(QUICK_TOKENS), last = arg.keep_best ? quick : (double)run.scored.count;
    const double sample = now.samples > 0 ? now.sampling / now.samples : 0;
    const double samples = arg.sample_every ? times_left(arg.sample_every) + 1 : 0;
    return step_seconds * (arg.steps - (double)now.step) + window * (quick * times_left(arg.eval_every) + last) +
           sample * samples;
}

/* Puts more behind a line if it fits. */
PRINTF_LIKE(2, 3) static void append(char text[COLUMNS + 1], const char *format, ...) {
    char more[COLUMNS + 1];
    va_list values;
    va_start(values, format);
    const int n = vsnprintf(more, sizeof more, format, values);
    va_end(values);
    if (n >= 0 && strlen(text) + (size_t)n <= COLUMNS) strcat(text, more);
}

/* tokens/s and what share that is of what the cores could do, of so many steps in so many seconds. */
static double speed_of(double steps, double seconds, double *share) {
    const double speed = (double)arg.batch * arg.accumulate * arg.context * steps / seconds;
    now.peak = fmax(now.peak, peak_f32(compute_threads(run.threads))); /* one time, others may have had the cores */
    *share = now.peak > 0 ? speed * grad_operations(&run.model.config, 1) * 1e-9 / now.peak : 0;
    return speed;
}

static void print_line(int evaluated, double rate, double spent, uint64_t steps) {
    char text[COLUMNS + 1] = "";
    double share = 0;
    const double speed = steps ? speed_of((double)steps, spent, &share) : 0;
    append(text, "step %5.0f/%d  mean50 %.4f", (double)now.step, arg.steps, now.mean);
    if (evaluated) append(text, "  held-out %.4f, %.3f bits/byte", now.held, bits_per_byte(now.held));
    if (steps && now.step < (uint64_t)arg.steps)
        append(text, "  %s left", clock_text(seconds_left(spent / (double)steps)));
    if (share > 0) append(text, "  %.0f tokens/s, %.0f%% of peak", speed, 100 * share);
    else if (steps) append(text, "  %.0f tokens/s", speed);
    append(text, "  |g| %.2f", now.length);
    append(text, "  lr %.1e", rate);
    puts(text);
    fflush(stdout);
}

/* The last lines. */
static void print_result(void) {
    double share = 0;
    const double speed = now.steps > 0 ? speed_of(now.steps, now.stepping, &share) : 0;
    if (speed > 0)
        printf("speed      %.0f tokens/s, %.1f GFLOP/s", speed, speed * grad_operations(&run.model.config, 1) * 1e-9);
    if (share > 0) printf(", %.0f%% of the f32 peak", 100 * share);
    if (speed > 0) putchar('\n');
    printf("done       %s, mean50 %.6f", clock_text(clock_seconds() - now.start), now.mean);
    const double held = arg.keep_best ? now.lowest : now.held;
    if (run.scored.count)
        printf(", %sheld-out %.6f, %.4f bits/byte", arg.keep_best ? "lowest " : "", held, bits_per_byte(held));
    putchar('\n');
}

/* A text that the model continues from nothing, as run would print it, but on one line. */
static void print_sample(void) {
    llama_error err = {0};
    void *data = NULL;
    size_t size;
    llama_sampling how = llama_sampling_default();
    how.seed = now.step;
    const double start = clock_seconds();
    const llama_options o = {.n_ctx = SAMPLE_TOKENS, .n_threads = compute_threads(run.threads)};
    llama_model *m = weights_build(&run.model, writer_type("f32"), &data, &size, &err)
                         ? NULL
                         : llama_load_memory(data, size, NULL, &err);
    llama_context *c = m ? llama_context_create(m, &o, &err) : NULL;
    llama_sampler *s = c ? llama_sampler_create(m, &how, NULL, &err) : NULL;
    int id = tokenizer_bos(run.tokens), previous = -1;
    fputs(s ? "  > " : "", stdout);
    for (int i = 0; s && i < SAMPLE_TOKENS - 1; i++) {
        const float *logits = llama_forward(c, &id, 1, &err);
        previous = id;
        id = logits ? llama_sample(s, logits, &err) : -1;
        if (id < 0 || tokenizer_is_end(run.tokens, id)) break;
        const char *text = tokenizer_decode(run.tokens, previous, id, &size);
        for (size_t k = 0; k < size; k++) putchar((unsigned char)text[k] < 32 || text[k] == 127 ? ' ' : text[k]);
    }
    if (s) putchar('\n');
    fflush(stdout);
    llama_sampler_free(s), llama_context_free(c), llama_free(m), free(data);
    if (err.text[0]) printf("  (no sample: %s)\n", err.text);
    now.samples++, now.sampling += clock_seconds() - start;
}

/* ---- The loop ---- */

/* After a step: what is due is printed and saved. Times leave out what this does. */
static void look_around(double rate, double *spent, uint64_t *steps) {
    const int last = now.step == (uint64_t)arg.steps;
    const int evaluate = (now.step % (uint64_t)arg.eval_every == 0 || last) && run.scored.count;
    const uint64_t sample = (uint64_t)arg.sample_every;
    const int due =
        arg.save_every ? now.step % (uint64_t)arg.save_every == 0 : clock_seconds() - now.saved > SAVE_SECONDS;
    int improved = 0;
    if (evaluate || due || last || interrupted) check_weights();
    if (evaluate) {
        now.held = score_held_out(last && !arg.keep_best ? SIZE_MAX / 2 : QUICK_TOKENS);
        if (now.held - now.held != 0) diverged(now.step);
        improved = now.held < now.lowest;
        if (improved) now.lowest = now.held;
    }
    if (evaluate || last || clock_seconds() - now.shown > LINE_SECONDS) {
        print_line(evaluate, rate, *spent, *steps);
        now.shown = clock_seconds(), *spent = 0, *steps = 0;
    }
    if (sample && (now.step % sample == 0 || last)) check_weights(), print_sample();
    if (due || last || interrupted || (improved && arg.keep_best)) save(arg.keep_best ? improved : 1);
}

static void train(void) {
    double spent = 0;
    uint64_t steps = 0;
    now.start = now.saved = now.shown = clock_seconds();
    if (now.step) printf("resumed    at step %.0f of %d\n", (double)now.step, arg.steps);
    fflush(stdout);
    now.saved_step = now.step;
    while (now.step < (uint64_t)arg.steps && !interrupted) {
        const double begin = clock_seconds(), rate = schedule(now.step + 1), loss = make_step();
        now.mean += (loss - now.mean) * (now.step < 50 ? 1.0 / (double)now.step : 0.02);
        const double took = clock_seconds() - begin;
        spent += took, steps++;
        now.stepping += took, now.steps++;
        look_around(rate, &spent, &steps);
    }
    const int stopped = now.step < (uint64_t)arg.steps;
    if (stopped && now.saved_step != now.step) check_weights(), save(!arg.keep_best); /* Ctrl-C came after the save */
    if (stopped) printf("stopped    at step %.0f of %d; --resume goes on\n", (double)now.step, arg.steps);
    else print_result();
}

static void close_all(void) {
    run.model.values = NULL; /* grad's */
    weights_free(&run.model);
    corpus_free(&run.parts), windows_free(&run.learned), windows_free(&run.scored), tokenizer_free(run.tokens);
    grad_free(run.grad), compute_free(run.threads);
    free(run.text), free(run.state_path), free(run.state_file), free(run.learn), free(run.held), free(run.begins);
    free(run.moment1), free(run.moment2), free(run.batch), free(run.next);
}

static int end(int status) {
    const int failed = fflush(stdout) || ferror(stdout);
    close_all();
    if (failed) fail("cannot write to standard output");
    return status;
}

int main(int argc, char **argv) {
    size_t size;
    options_parse(&line, argc, argv);
    check_arguments();
    now.lowest = INFINITY;
    run.text = read_file(arg.text, TEXT_LIMIT, &size);
    if (!size) fail("%.200s is empty", arg.text);
    if (strlen(run.text) != size) fail("%.200s holds zero bytes: not a text", arg.text);
    check_output();
    if (arg.resume) {
        load_state();
        if (now.step == (uint64_t)arg.steps) return finish_again(), end(0);
        run.model.config = run.state.config;
        run.model.rope = copy(run.state.rope, (size_t)(run.state.config.head_dim / 2) * sizeof(float));
        run.model.tokenizer = copy(run.state.tokenizer, run.state.tokenizer_size);
        run.model.tokenizer_size = run.state.tokenizer_size;
    } else {
        check_unfinished();
        if (arg.init) load_init();
        else shape_model(), check_shape();
    }
    open_text();
    run.model.config.vocab_size = arg.vocab;
    choose_schedule();
    create_model();
    catch_interrupts(1); /* what was saved stays whole */
    train();
    return end(now.step < (uint64_t)arg.steps ? STATUS_INTERRUPTED + interrupted : 0);
}
