/* batch.c - many prompts at once: lines of JSON in, lines of JSON out.
 *
 * Here are the options, the loop, the order of results and what is printed. The parts: request.c reads a line, engine.c
 * evaluates many at once, output.c writes results and goes on with those of an earlier run.
 *
 * Exit status: 0 done, errors of lines included unless every line is one; 1 failed (one line on stderr), 2 wrong usage,
 * 130 stopped by Ctrl-C.
 */
#include "../llama.h"
#include "../tokenizer.h"
#include "batching/engine.h"
#include "batching/ids.h"
#include "batching/lines.h"
#include "batching/output.h"
#include "batching/request.h"
#include "formats/vocabulary.h"
#include "formats/writer.h"
#include "shared/clock.h"
#include "shared/files.h"
#include "shared/options.h"
#include "shared/terminal.h"
#include "training/weights.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { AHEAD = 4096 }; /* lines: how far --ordered reads on while the first is not done */

static struct { /* what the command line asks for */
    const char *model, *input, *output, *tokenizer, *template, *stop, *kv_type;
    int embed, score, last, raw, sequences, n_ctx, threads, ordered, resume, retry, quiet;
    request_settings settings;
} arg = {.sequences = 32,
         .settings = {.n = 256,
                      .temperature = 0.8,
                      .top_k = 40,
                      .top_p = 0.95,
                      .repeat_penalty = 1,
                      .repeat_window = 64,
                      .dry_base = 1.75,
                      .dry_allowed_length = 2,
                      .xtc_threshold = 0.1}};

static struct { /* what the program holds */
    llama_model *model;
    void *model_data; /* what it lies in, if it was made here */
    tokenizer *tokens;
    engine *engine;
    lines in;
    output out;
    resumed before;
    ids seen; /* ids of the input's lines */
    request next;
    int has_next; /* 1: it waits for room */
} run;

static struct {         /* results that wait for their turn, with --ordered */
    char *text[AHEAD];  /* by line, modulo AHEAD */
    size_t size[AHEAD]; /* its bytes */
    char state[AHEAD];  /* 0: not done, 1: there is a result, 2: there is none to be written */
    uint64_t next_line; /* which is to be written next */
} waiting = {.next_line = 1};

static struct { /* of the run that is going on */
    double start;
    uint64_t done, failed, blank, size; /* lines; bytes of the input, 0: not known */
    double written;                     /* when the last result was */
    int to_special;                     /* results go to no file, but perhaps to a terminal */
    char error[200];                    /* the first result that is one */
} now;

/* clang-format off */
static const option options[] = {
    {'o', "output", "FILE", TEXT, &arg.output, 0, 0, 0, "where results go (standard output)"},
    {'n', "n", "N", WHOLE, &arg.settings.n, 1, INT_MAX, REQUEST_KEY, "tokens to generate (256)"},
    {0, "n-predict", "N", WHOLE, &arg.settings.n, 1, INT_MAX, 0, NULL},
    {'t', "temperature", "T", REAL, &arg.settings.temperature, 0, 1000, REQUEST_KEY,
     "0: always the likeliest token (0.8)"},
    {0, "temp", "T", REAL, &arg.settings.temperature, 0, 1000, 0, NULL},
    {'k', "top-k", "N", WHOLE, &arg.settings.top_k, 0, INT_MAX, REQUEST_KEY,
     "choose among the N likeliest (40; 0: off)"},
    {0, "top-p", "P", REAL, &arg.settings.top_p, 1e-6, 1, REQUEST_KEY, "and the fewest that sum to P (0.95; 1: off)"},
    {0, "min-p", "P", REAL, &arg.settings.min_p, 0, 1, REQUEST_KEY,
     "and those at least P times the likeliest (0: off)"},
    {0, "top-n-sigma", "X", REAL, &arg.settings.top_n_sigma, 0, 1000, REQUEST_KEY,
     "and X standard deviations from it at most (0: off)"},
    {0, "repeat-penalty", "R", REAL, &arg.settings.repeat_penalty, 1e-3, 1000, REQUEST_KEY,
     "on tokens of the window (1: off)"},
    {0, "repeat-window", "N", WHOLE, &arg.settings.repeat_window, 0, 1 << 20, REQUEST_KEY, "tokens (64)"},
    {0, "dry-multiplier", "X", REAL, &arg.settings.dry_multiplier, 0, 100, REQUEST_KEY,
     "DRY's penalty on repetitions (0: off; 0.8 is usual), with\n                           --dry-base (1.75), --dry-allowed-length (2), --dry-range (0: all)"},
    {0, "dry-base", "X", REAL, &arg.settings.dry_base, 1, 100, REQUEST_KEY, NULL},
    {0, "dry-allowed-length", "N", WHOLE, &arg.settings.dry_allowed_length, 1, 1 << 20, REQUEST_KEY, NULL},
    {0, "dry-range", "N", WHOLE, &arg.settings.dry_range, 0, INT_MAX, REQUEST_KEY, NULL},
    {0, "xtc-probability", "P", REAL, &arg.settings.xtc_probability, 0, 1, REQUEST_KEY,
     "how often XTC excludes the top choices above\n                           --xtc-threshold (0.1; probability 0: off)"},
    {0, "xtc-threshold", "P", REAL, &arg.settings.xtc_threshold, 0, 1, REQUEST_KEY, NULL},
    {'s', "seed", "N", WHOLE, &arg.settings.seed, 0, INT_MAX, REQUEST_KEY,
     "of each line (0): the same line gives the same text"},
    {0, "stop", "TEXT", TEXT, &arg.stop, 0, 0, 0, "end before this text"},
    {0, "logprobs", NULL, FLAG, &arg.settings.logprobs, 0, 1, REQUEST_KEY, "with each token's log-probability"},
    {0, "template", "NAME", TEXT, &arg.template, 0, 0, 0, "for messages (as MODEL says)"},
    {0, "embed", NULL, FLAG, &arg.embed, 0, 1, 0, "vectors of texts instead: the mean over tokens, of length 1;\n                           --last: of the last token, --raw: as long as it is"},
    {0, "last", NULL, FLAG, &arg.last, 0, 1, 0, NULL},
    {0, "raw", NULL, FLAG, &arg.raw, 0, 1, 0, NULL},
    {0, "score", NULL, FLAG, &arg.score, 0, 1, 0, "log-probabilities of given answers instead"},
    {0, "ordered", NULL, FLAG, &arg.ordered, 0, 1, 0, "results in the order of lines, not as they end"},
    {0, "resume", NULL, FLAG, &arg.resume, 0, 1, 0, "go on with FILE: what is in it is not done again. Of IN's lines ids are\n"
     "                           compared (or numbers, where there are none), not texts"},
    {0, "retry", NULL, FLAG, &arg.retry, 0, 1, 0, "with --resume: but errors are"},
    {0, "sequences", "N", WHOLE, &arg.sequences, 1, 1024, 0, "lines at once (32)"},
    {'c', "ctx-size", "N", WHOLE, &arg.n_ctx, 1, 1 << 28, 0, "tokens of all lines at once (as many as fit 1 GB)"},
    {0, "kv-type", "TYPE", TEXT, &arg.kv_type, 0, 0, 0, "of the kv cache: f32, f16, or q8, half of f16 (f16)"},
    {'j', "threads", "N", WHOLE, &arg.threads, 1, 1024, 0, "threads (one per core)"},
    {'z', "tokenizer", "FILE", TEXT, &arg.tokenizer, 0, 0, 0, "tokenizer (MODEL's own, or one beside it)"},
    {'q', "quiet", NULL, FLAG, &arg.quiet, 0, 1, 0, "no summary"},
    {'h', "help", NULL, HELP, NULL, 0, 0, 0, "print this; --version: the version"},
    {0, "version", NULL, VERSION, NULL, 0, 0, 0, NULL},
};
/* clang-format on */

static const command_line line = {
    .program = "batch",
    .hint = "\nusage: batch MODEL [IN] [-o OUT] [options], see batch --help",
    .help =
        "usage: batch MODEL [IN] [-o OUT] [options]\n"
        "Many prompts at once, each a line of JSON in IN or standard input:\n"
        "  {\"id\": .., \"prompt\": ..}             to {\"id\": .., \"text\": .., \"tokens\": .., \"stopped\": ..}\n"
        "  {\"id\": .., \"messages\": [{\"role\": .., \"content\": ..}, ..]}   the same, as a chat\n"
        "  {\"id\": .., \"text\": ..}               --embed: to {\"id\": .., \"embedding\": [..], ..}\n"
        "  {\"id\": .., \"prompt\": .., \"answers\": [..]}   --score: to {\"id\": .., \"scores\": [..]}\n"
        "A line may have n, temperature, top_k and so on: options without a value here are\n"
        "true or false there; stop may be an array, and so is dry_breakers. A line that\n"
        "cannot be done gives {\"id\": .., \"line\": .., \"error\": ..}, and stops no other.\n"
        "The same line gives the same text whoever is beside it.\n\n",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .names = {&arg.model, &arg.input},
};

static void check_arguments(void) {
    if (!arg.model) misuse("no MODEL");
    if (arg.input && !strcmp(arg.input, "-")) arg.input = NULL;
    if (arg.output && !strcmp(arg.output, "-")) arg.output = NULL;
    if (arg.input && arg.output && !strcmp(arg.input, arg.output)) misuse("-o %.200s: that is IN", arg.output);
    if (arg.embed && arg.score) misuse("--embed and --score exclude each other");
    if ((arg.last || arg.raw) && !arg.embed) misuse("--last and --raw are for --embed");
    if (arg.resume && (!arg.output || !arg.input)) misuse("--resume needs IN and -o OUT: both are read again");
    if (arg.retry && !arg.resume) misuse("--retry is for --resume");
    if (arg.stop && !*arg.stop) misuse("--stop needs a text that is not empty");
    if (arg.template && !tokenizer_template_find(arg.template))
        misuse("--template %.40s: expected llama2, llama3, chatml, zephyr or mistral", arg.template);
}

static request_rules rules_of_lines(void) {
    return (request_rules){.kind = arg.embed   ? REQUEST_EMBED
                                   : arg.score ? REQUEST_SCORE
                                               : REQUEST_TEXT,
                           .options = options,
                           .n_options = sizeof options / sizeof *options,
                           .defaults = &arg.settings,
                           .stop = arg.stop};
}

/* ---- Results ---- */

static void write_result(const char *text, size_t size) {
    llama_error err;
    if (now.to_special) progress_end(); /* results may go to the same terminal */
    if (output_line(&run.out, text, size, &err)) fail("%s", err.text);
    now.written = clock_seconds();
}

/* The line is done; text NULL: without a result, which an earlier run has written. */
static void give_result(uint64_t number, const char *text, size_t size) {
    const size_t at = (size_t)(number % AHEAD);
    if (!arg.ordered) {
        if (text) write_result(text, size);
        return;
    }
    waiting.state[at] = text ? 1 : 2;
    if (text) {
        waiting.size[at] = size;
        if (!(waiting.text[at] = malloc(size + 1))) fail("no memory for results that wait for their turn");
        memcpy(waiting.text[at], text, size);
    }
    for (size_t k; waiting.state[k = (size_t)(waiting.next_line % AHEAD)]; waiting.next_line++) {
        if (waiting.state[k] == 1) write_result(waiting.text[k], waiting.size[k]), free(waiting.text[k]);
        waiting.state[k] = 0, waiting.text[k] = NULL;
    }
}

static void on_done(void *user, uint64_t number, const json_out *result, int failed) {
    (void)user;
    if (result->failed) fail("out of memory");
    if (failed && !now.failed) snprintf(now.error, sizeof now.error, "%s", result->text);
    now.done++, now.failed += (uint64_t)failed;
    give_result(number, result->text, result->size);
}

static void refuse_line(const char *id, uint64_t number, const char *why) {
    json_out out = {NULL, 0, 0, 0};
    engine_error(&out, id, number, why);
    on_done(NULL, number, &out, 1);
    json_out_free(&out);
}

/* ---- Lines ---- */

/* Notes the id. 1: an earlier line has it, whose number is *first. */
static int seen_before(const char *id, uint64_t number, uint64_t *first) {
    ids_entry *e = ids_add(&run.seen, id);
    if (!e) fail("no memory for the ids of lines");
    *first = e->line;
    if (!e->line) e->line = number;
    return *first != 0;
}

/* A line becomes run.next, if it is to be done and can be. */
static void read_request(const one_line *text, uint64_t number) {
    const request_rules rules = rules_of_lines();
    llama_error err = {0, ""};
    request *r = &run.next;
    uint64_t first;
    char why[sizeof err.text];
    *r = (request){.line = number};
    if (line_is_blank(text)) {
        now.blank++, give_result(number, NULL, 0);
        return;
    }
    int bad = text->text ? request_parse(r, text->text, text->size, number, &rules, &err)
                         : (snprintf(err.text, sizeof err.text, "longer than %d bytes", (int)LINES_LONGEST), -1);
    snprintf(why, sizeof why, "%s", err.text);
    const int again = r->id && seen_before(r->id, number, &first);
    if (again) snprintf(why, sizeof why, "line %llu has this id too", (unsigned long long)first), bad = 1;
    if (arg.resume && resumed_has(&run.before, again ? NULL : r->id, number)) give_result(number, NULL, 0);
    else if (bad) refuse_line(r->id, number, why);
    else run.has_next = 1;
    if (!run.has_next) request_free(r);
}

/* Fills the engine with lines, as far as there are and there is room. Waits for one if it has nothing to do. Returns 0
 * at the end of the input. */
static int fill(void) {
    llama_error err;
    one_line text;
    for (;;) {
        if (run.has_next && !engine_take(run.engine, &run.next)) return 1;
        run.has_next = 0;
        if (interrupted || (arg.ordered && run.in.number + 1 >= waiting.next_line + AHEAD)) return 1;
        const int got = lines_next(&run.in, &text, !engine_busy(run.engine), &err);
        if (got < 0) fail("%s", err.text);
        if (got != 1) return got;
        read_request(&text, run.in.number);
    }
}

/* ---- What is printed ---- */

/* 0: nobody knows. */
static double lines_in_all(void) {
    if (arg.resume) return (double)run.before.left;
    if (!now.size || !run.in.offset) return 0;
    return (double)(run.in.number - now.blank) * ((double)now.size / (double)run.in.offset);
}

/* Where results go to a terminal, perhaps through a pipe, the line waits until they have come there. */
static void show_progress(void) {
    const double elapsed = progress_due(), all = lines_in_all(), done = (double)now.done;
    const double part = done + engine_part(run.engine);
    const engine_counts c = engine_count(run.engine);
    if (elapsed <= 0 || (now.to_special && clock_seconds() - now.written < 0.2)) return;
    const double rate = (double)(arg.embed || arg.score ? c.prompt : c.drawn) / elapsed;
    const char *about = arg.resume || run.in.offset == now.size ? "" : "about ";
    if (all > 0 && part > 0)
        progress_draw("%.0f of %s%.0f lines, %.*f tokens/s, %s left", done, about, all, rate < 10, rate,
                      clock_text(all > part ? elapsed * (all - part) / part : 0));
    else progress_draw("%.0f %s, %.*f tokens/s", done, done == 1 ? "line" : "lines", rate < 10, rate);
}

static const char *lines_text(double n) {
    static char text[40];
    snprintf(text, sizeof text, "%.0f line%s", n, n == 1 ? "" : "s");
    return text;
}

static void print_summary(void) {
    const engine_counts c = engine_count(run.engine);
    const double elapsed = clock_seconds() - now.start, tokens = (double)(c.prompt + c.drawn);
    const double failed = (double)now.failed, before = (double)run.before.failed;
    if (arg.quiet) return;
    fprintf(stderr, "batch: %s in %.1f s", lines_text((double)now.done), elapsed);
    if (now.failed) fprintf(stderr, ", %.0f of them %s", failed, now.failed == 1 ? "an error" : "errors");
    if (arg.resume) fprintf(stderr, ", %.0f done before", (double)(run.before.lines - run.before.left));
    if (run.before.failed)
        fprintf(stderr, ", %.0f of those %s (--retry does %s again)", before, before > 1 ? "errors" : "an error",
                before > 1 ? "them" : "it");
    if (tokens > 0) fprintf(stderr, "; %.0f tokens of prompts", (double)c.prompt);
    if (c.shared) fprintf(stderr, " and %.0f in common", (double)c.shared);
    if (tokens > 0 && !arg.embed && !arg.score) fprintf(stderr, ", %.0f drawn", (double)c.drawn);
    if (tokens > 0 && elapsed > 0) fprintf(stderr, ", %.0f tokens/s", tokens / elapsed);
    fprintf(stderr, "%s\n", interrupted ? "; interrupted" : "");
}

/* Nothing but errors, now and before, is no success: a wrong key in every line, say. */
static void fail_if_all_failed(void) {
    const double failed = (double)(now.failed + run.before.failed);
    const double all = (double)(now.done + run.before.lines - run.before.left);
    if (interrupted || failed < 1 || failed < all) return;
    if (now.failed) fail("every line is an error, as this: %s", now.error);
    fail("every line is an error, from before; --retry does them again");
}

/* ---- The whole ---- */

static int on_progress(void *user, float done) { return (void)user, (void)done, interrupted != 0; }

/* What is named as MODEL and is none. */
static void refuse_model(const char *why) {
    char start[8] = "";
    const int n = file_start(arg.model, start, (int)sizeof start - 1);
    const char *at = n > 2 && !memcmp(start, "\xEF\xBB\xBF", 3) ? start + 3 : start;
    char name[256];
    llama_name(arg.model, name, sizeof name);
    at += strspn(at, " \t\r\n");
    if (!is_directory(arg.model) && n > 0 && *at == '{')
        misuse("%.200s has lines of JSON, but %s", arg.model, arg.input ? "MODEL comes first" : "there is no MODEL");
    if (is_directory(arg.model) || (n >= 4 && !memcmp(start, "GGUF", 4)))
        fail("%.150s is a %s; this makes a model of it: tools/convert \"%.150s\" \"%.100s\"", arg.model,
             is_directory(arg.model) ? "directory, perhaps from Hugging Face" : "GGUF file", arg.model, name);
    fail("%s", why);
}

/* With rows as they lie in llama2.c's files, results depend a little on who is evaluated beside them. So such a model
 * is made one of a .llama file's form, in memory, in float32. */
static void load_model(void) {
    llama_error err;
    model_weights w;
    size_t size;
    run.model = llama_load(arg.model, NULL, &err);
    if (!run.model) refuse_model(err.text);
    if (strncmp(llama_get_config(run.model)->format, "llama2.c", 8) != 0) return;
    llama_free(run.model);
    if (weights_load(&w, arg.model, &err)) fail("%s", err.text);
    const int failed = weights_build(&w, writer_type("f32"), &run.model_data, &size, &err);
    weights_free(&w);
    run.model = failed ? NULL : llama_load_memory(run.model_data, size, NULL, &err);
    if (!run.model) fail("%s", err.text);
}

static void load(void) {
    llama_error err;
    tokenizer_error why = {0, ""};
    load_model();
    run.tokens = vocabulary_of_model(run.model, arg.model, arg.tokenizer, &why);
    if (why.code) fail("%s", why.text);
    if (!run.tokens) fail("%.200s has no tokenizer; give one with -z FILE", arg.model);
    const engine_options o = {.model = run.model,
                              .tokens = run.tokens,
                              .kind = rules_of_lines().kind,
                              .template = tokenizer_template_find(arg.template),
                              .n_sequences = arg.sequences,
                              .n_ctx = arg.n_ctx,
                              .n_threads = arg.threads,
                              .kv_type = arg.kv_type,
                              .last = arg.last,
                              .raw = arg.raw,
                              .progress = on_progress,
                              .done = on_done};
    run.engine = engine_create(&o, &err);
    if (!run.engine) fail("%s", err.text);
}

static void open_files(void) {
    llama_error err;
    const request_rules rules = rules_of_lines();
    FILE *file = arg.input && !is_special(arg.input) ? fopen(arg.input, "rb") : NULL;
    if (file && file_size(file, &now.size)) now.size = 0;
    if (file) fclose(file);
    if (lines_open(&run.in, arg.input, &err)) fail("%s", err.text);
    if (arg.resume ? output_resume(&run.out, arg.output, arg.input, &rules, arg.retry, &run.before, &err)
                   : output_open(&run.out, arg.output, &err))
        fail("%s", err.text);
    now.to_special = file_is_special(run.out.file);
    if (lines_are_typed(&run.in) && !arg.quiet)
        fprintf(stderr, "batch: reads lines of JSON from the terminal; Ctrl-D ends them\n");
}

static void close_all(void) {
    llama_error err;
    const int bad = output_close(&run.out, &err);
    for (int i = 0; i < AHEAD; i++) free(waiting.text[i]);
    if (run.has_next) request_free(&run.next);
    lines_close(&run.in), resumed_free(&run.before), ids_free(&run.seen);
    engine_free(run.engine), tokenizer_free(run.tokens), llama_free(run.model), free(run.model_data);
    if (bad) fail("%s", err.text);
}

int main(int argc, char **argv) {
    llama_error err;
    options_parse(&line, argc, argv);
    check_arguments();
    load();
    open_files();
    catch_interrupts(1); /* each result is written whole, and what is written stays */
    now.start = clock_seconds();
    progress_begin();
    for (int more = 1; !interrupted && (more || engine_busy(run.engine));) {
        if (more) more = fill();
        if (engine_step(run.engine, &err) && !interrupted) fail("%s", err.text);
        show_progress();
    }
    progress_end();
    print_summary();
    close_all();
    fail_if_all_failed();
    return interrupted ? STATUS_INTERRUPTED + interrupted : 0;
}
