/* bench - how fast a model runs here, and how fast it could.
 *
 * Each round measures, one after the other, prompts of some lengths, before each what the machine can do at best now
 * (the peaks of its arithmetic units), and some decode steps with plain reads of the same weights between them, so that
 * the shares hold even where the machine's speed drifts. Medians over the rounds are printed.
 *
 * With --compare each round runs this program and another build of it as children, one after the other, and their
 * ratio is taken in each round, so that the drift cancels.
 *
 * What was tried, so that nobody need try it twice (Zen 5, EPYC family 26, 2 threads, tinyllama-1.1b unless it says
 * otherwise; Gop/s are of one core). Shares are of an int8 loop that reached 1,400 Gop/s; peak.c's, unrolled by hand,
 * reaches 1,650 to 1,750 on that machine.
 *
 *   predicted                                            measured
 *   pairs of tiles halve the loads: +15% q8, q4          +15 to 19% in the kernel; whole q8 prompt 68 -> 78%
 *   fetching the next pair ahead, prompt of 16: +20%     q4 53 -> 66%, q8 45 -> 56% of the int8 peak
 *   sums in memory, 2 x 8 to 2 x 12 tokens: more chains  q8, q4 -12 to -25%: the compiler spills more than them
 *   the same in every block of a long prompt: nothing    -3% for q8: only the last three blocks do it
 *   12 tokens a block for q8: fewer passes               72% where 8 had 82%: out of the first-level cache
 *   blocks over columns, for the caches: +5%             0 to 1%: the second-level cache feeds the kernels
 *   dealing tiles out as threads come: ends together     prompt on 2 threads 1.7 -> 1.9 times one
 *   equal pieces of 1/8 in decode: ends together         q4 -8%: memory likes long stretches; so 3/8 first, then less
 *   software prefetch in decode, 1 to 8 KB ahead: +10%   q4 -3 to -12%, every distance and level
 *   two chains of sums in q4 decode: hides latency       0%: it waits for misses, not for sums
 *   loads ahead of q4's, each line or one of nine: +10%  -20%, -3%: the hardware's prefetch is better left alone
 *   scales times the sum, not each other first: nothing  a group's end 30 -> 18 cycles alone; whole prompt 1 to 2%
 *   q8, q4 to unsigned bytes once, not in each block     0%: that runs beside the dot products
 *   one activation scale for two groups: +4%             q8 +4%, q4 +6% in the kernel; not done, less exact
 *   norm, SwiGLU and packing while in the cache: +3%     1%, and 2 MB less memory
 *   AVX-VNNI in place of AVX2: twice                     q8 116 -> 267 tokens/s, q4 182 -> 266
 *   huge pages for the weights                           0 to 2% with 2 threads
 *   -O3 in place of -O2                                  0%
 *   int8 pairs, a variable a token, no arrays: no spills clang 200-370 -> 680-765 Gop/s of a peak of 900-930, gcc
 *                                                        650-680 -> 700-765 (q8), 504-555 -> 590-680 (q4)
 *   sums started at the bits of 1.5 x 2^23: no           1 to 3%
 *   conversion at a group's end
 *   a tile x 12 tokens, broadcast as operand: less work  72-79%, pairs 82-87%: it is still a load; Intel 84-86%, 72%
 *   fetching evenly by the last blocks, not by three     matrix from memory 64 -> 73-79% of the peak (prototype)
 *   one chain of sums for 1 or 2 tokens, f32 and bf16    same bits however a sequence is cut; decode unchanged
 *   two tiles at once in decode: two chains of sums      110M f32 +20%, bf16 -5 to -15%: two short streams of memory
 *   one tile, lines asked for 8 KB before, past its end  f32, bf16 decode +3 to 17%; q8 -2%; q4 135M +10%, 1.1B -8%:
 *                                                        for f32 and bf16 only
 *
 * Models of known shapes are laid out in memory as the writer would lay them out in a file.
 */
#include "../llama.h"
#include "formats/json.h"
#include "formats/writer.h"
#include "shared/clock.h"
#include "shared/inside.h"
#include "shared/numbers.h"
#include "shared/options.h"
#include "shared/peak.h"
#include "shared/process.h"
#include "shared/terminal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name;
    int dim, hidden_dim, n_layers, n_heads, n_kv_heads, head_dim, vocab_size, seq_len, shared_classifier;
    /* Of Llama's relatives. In layers whose number from 1 on is a multiple of `every` the second rotary table turns,
     * and no window bounds attention. */
    int extras, n_experts, n_experts_used, expert_dim, every, window;
} shape;

static const shape shapes[] = {
    {"stories260k", 64, 172, 5, 8, 4, 8, 512, 512, 1, 0, 0, 0, 0, 0, 0},
    {"stories15m", 288, 768, 6, 6, 6, 48, 32000, 256, 1, 0, 0, 0, 0, 0, 0},
    {"stories110m", 768, 2048, 12, 12, 12, 64, 32000, 1024, 1, 0, 0, 0, 0, 0, 0},
    {"smollm2-135m", 576, 1536, 30, 9, 3, 64, 49152, 8192, 1, 0, 0, 0, 0, 0, 0},
    {"smollm2-1.7b", 2048, 8192, 24, 32, 32, 64, 49152, 8192, 1, 0, 0, 0, 0, 0, 0},
    {"smollm3-3b", 2048, 11008, 36, 16, 4, 128, 128256, 65536, 1, 0, 0, 0, 0, 4, 0},
    {"tinyllama-1.1b", 2048, 5632, 22, 32, 4, 64, 32000, 2048, 0, 0, 0, 0, 0, 0, 0},
    {"llama-3.2-1b", 2048, 8192, 16, 32, 8, 64, 128256, 131072, 1, 0, 0, 0, 0, 0, 0},
    {"llama-3.2-3b", 3072, 8192, 28, 24, 8, 128, 128256, 131072, 1, 0, 0, 0, 0, 0, 0},
    {"llama-2-7b", 4096, 11008, 32, 32, 32, 128, 32000, 4096, 0, 0, 0, 0, 0, 0, 0},
    {"llama-3.1-8b", 4096, 14336, 32, 32, 8, 128, 128256, 131072, 0, 0, 0, 0, 0, 0, 0},
    {"qwen3-0.6b", 1024, 3072, 28, 16, 8, 128, 151936, 40960, 1, LLAMA_HEAD_NORM, 0, 0, 0, 0, 0},
    {"qwen3-1.7b", 2048, 6144, 28, 16, 8, 128, 151936, 40960, 1, LLAMA_HEAD_NORM, 0, 0, 0, 0, 0},
    {"qwen3-4b", 2560, 9728, 36, 32, 8, 128, 151936, 40960, 1, LLAMA_HEAD_NORM, 0, 0, 0, 0, 0},
    {"qwen3-30b-a3b", 2048, 6144, 48, 32, 4, 128, 151936, 40960, 0, LLAMA_HEAD_NORM | LLAMA_RENORMALISE, 128, 8, 768, 0,
     0},
    {"gemma-3-1b", 1152, 6912, 26, 4, 1, 256, 262144, 32768, 1, LLAMA_HEAD_NORM | LLAMA_POST_NORM | LLAMA_GELU, 0, 0, 0,
     6, 512},
    {"phi-4-mini", 3072, 8192, 32, 24, 8, 128, 200064, 131072, 1, LLAMA_ROPE_AMPLITUDES, 0, 0, 0, 0, 0},
};

static struct { /* what the command line asks for */
    const char *model, *shape, *type, *kernels, *kv_type, *prompts;
    const char *other; /* of --compare */
    int decode, threads, rounds, position, layers, json, sequences;
} arg = {.type = "q8", .prompts = "256", .decode = 64, .rounds = 5, .sequences = 1};

enum {
    PAGE = 4096,
    MOST_ROUNDS = 100,
    MOST_LENGTHS = 16,
    MOST_TOKENS = 1 << 20,
    READ_EVERY = 8,
    MOST_SEQUENCES = 1024
};
static size_t vocab_size;

static struct { /* of the prompts, as in arg.prompts */
    int n, of[MOST_LENGTHS], longest;
} lengths;

enum { READ, INT8, BF16, F32, LOAD, DECODE, DECODE_SHARE, PROMPT };
enum { PROMPT_SHARE = PROMPT + MOST_LENGTHS, FIGURES = PROMPT_SHARE + MOST_LENGTHS };
typedef double figures[FIGURES][MOST_ROUNDS];

static void read_lengths(void) {
    const char *p = arg.prompts;
    do {
        char *end = NULL;
        const long n = strspn(p, "0123456789") ? strtol(p, &end, 10) : 0;
        if (n < 1 || n > MOST_TOKENS || (*end && *end != ',') || lengths.n == MOST_LENGTHS)
            misuse("-p %.40s: expected at most %d whole numbers from 1 to %d with commas between them", arg.prompts,
                   MOST_LENGTHS, MOST_TOKENS);
        lengths.of[lengths.n++] = (int)n;
        if (n > lengths.longest) lengths.longest = (int)n;
        p = *end ? end + 1 : NULL;
    } while (p);
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of a figure in all rounds, which are in ascending order then. */
static double median(double *figure) {
    const int n = arg.rounds;
    qsort(figure, (size_t)n, sizeof *figure, ascending);
    return n % 2 ? figure[n / 2] : (figure[n / 2 - 1] + figure[n / 2]) / 2;
}

/* ---- The model ---- */

/* Bytes of memory that are free to take; 0 if the system does not say. */
static uint64_t available_memory(void) {
    unsigned long long kib = 0;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) break;
    if (file) fclose(file);
    return (uint64_t)kib << 10;
}

/* Random numbers in the place of a matrix: small, so that nothing overflows in many layers. */
static void fill_matrix(unsigned char *p, int type, int rows, int cols) {
    const size_t tile_bytes = inside_tile_bytes(type, cols);
    const int tiles = (rows + INSIDE_TILE - 1) / INSIDE_TILE;
#ifdef _OPENMP
#pragma omp parallel for
#endif
    for (int i = 0; i < tiles; i++) {
        unsigned char *tile = p + (size_t)i * tile_bytes;
        uint64_t state = (uint64_t)i * 7919 + 1;
        for (size_t at = 0; at < tile_bytes; at += 4) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            const float x = ((float)(state >> 40) / 16777216.0f - 0.5f) * 0.04f;
            const uint32_t half = bits_of_float(x) >> 16;
            uint32_t word = (uint32_t)(state >> 32);
            if (type == INSIDE_F32) word = bits_of_float(x);
            if (type == INSIDE_BF16) word = half | (half ^ 0x8000) << 16; /* x and -x */
            put_uint(tile + at, word, 4);
        }
        const size_t pair = INSIDE_LINE * (type == INSIDE_Q8 ? 33 : 9); /* a line of scales, then two groups */
        for (size_t at = 0; type >= INSIDE_Q8 && at < tile_bytes; at += pair)
            for (size_t k = 0; k < INSIDE_LINE; k += 2)
                put_uint(tile + at + k, inside_to_f16(type == INSIDE_Q8 ? 1.5e-4f : 2.5e-3f), 2);
    }
}

/* All tensors of a model whose header and table are in memory already. */
static void fill_tensors(const llama_config *f, unsigned char *memory) {
    const unsigned char *e = memory + INSIDE_HEADER + (size_t)f->n_layers * INSIDE_KIND;
    for (size_t i = 0; i < inside_tensor_count(f); i++, e += INSIDE_ENTRY) {
        unsigned char *p = memory + get_uint(e + 48, 8);
        const int type = (int)get_uint(e + 32, 4), rows = (int)get_uint(e + 36, 4), cols = (int)get_uint(e + 40, 4);
        if (type != INSIDE_VECTOR) fill_matrix(p, type, rows, cols);
        for (int k = 0; type == INSIDE_VECTOR && k < cols; k++)
            put_f32(p + 4 * (size_t)k, i ? 1.0f : (float)pow(10000, -2.0 * (k % (f->head_dim / 2)) / f->head_dim));
    }
}

static llama_config config_of(const shape *s) {
    llama_config f = {.dim = s->dim,
                      .hidden_dim = s->hidden_dim,
                      .n_layers = arg.layers && arg.layers < s->n_layers ? arg.layers : s->n_layers,
                      .n_heads = s->n_heads,
                      .n_kv_heads = s->n_kv_heads,
                      .head_dim = s->head_dim,
                      .vocab_size = s->vocab_size,
                      .seq_len = s->seq_len,
                      .shared_classifier = s->shared_classifier,
                      .norm_eps = 1e-5f,
                      .rope_theta = 10000,
                      .extras = s->extras,
                      .n_experts = s->n_experts,
                      .n_experts_used = s->n_experts_used,
                      .expert_dim = s->expert_dim,
                      .n_ropes = s->every ? 2 : 1};
    llama_layer_kind *kinds = calloc((size_t)f.n_layers, sizeof *kinds); /* kept to the end of the program */
    if (!kinds) fail("no memory");
    for (int l = 0; l < f.n_layers; l++) {
        const int second = s->every && (l + 1) % s->every == 0;
        kinds[l] = (llama_layer_kind){.rope = second, .window = second ? 0 : s->window, .experts = s->n_experts > 0};
    }
    f.layers = kinds;
    return f;
}

/* A model of a known shape in memory; *size becomes its bytes. */
static unsigned char *build_shape(size_t *size) {
    const shape *s = NULL;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!strcmp(arg.shape, shapes[i].name)) s = &shapes[i];
    if (!s) fail("no shape %s; see --help", arg.shape);
    writer_input in = {0};
    const llama_config f = config_of(s);
    uint64_t total;
    in.config = f, in.type = writer_type(arg.type);
    const size_t header = writer_header(&in, NULL, &total);
    const uint64_t have = available_memory();
    const double need = (double)total * 1.1 / 1e9;
    if (have && total + total / 10 > have)
        fail("the model needs %.2f GB of memory, %.2f GB are available", need, (double)have / 1e9);
    unsigned char *memory = total > SIZE_MAX - PAGE ? NULL : malloc((size_t)total + PAGE);
    if (!memory) fail("no memory: the model needs %.2f GB", need);
    memory += (PAGE - (uintptr_t)memory % PAGE) % PAGE; /* as a mapped file begins; kept to the end of the program */
    memset(memory, 0, header);
    writer_header(&in, memory, &total);
    fill_tensors(&f, memory);
    *size = (size_t)total;
    return memory;
}

/* Operations of a prompt: two for each parameter of the layers and token, of experts those that a token needs, and the
 * classifier once. */
static double prompt_operations(const llama_model *m, int n) {
    const llama_config *f = llama_get_config(m);
    const double q = (double)f->n_heads * f->head_dim, kv = (double)f->n_kv_heads * f->head_dim;
    double sum = 0;
    for (int l = 0; l < f->n_layers; l++) {
        const double hidden = f->layers[l].experts ? (double)f->n_experts_used * f->expert_dim : f->hidden_dim;
        sum += f->dim * (2 * q + 2 * kv + 3 * hidden + (f->layers[l].experts ? f->n_experts : 0));
    }
    return 2 * (sum * n + (double)f->vocab_size * f->dim);
}

/* ---- Measuring ---- */

static float *logits; /* (sequences, vocab_size) with more than one */

/* The tokens, of each sequence. */
static void run_tokens(llama_context *c, const int *tokens, int n, llama_error *err) {
    static llama_item items[MOST_SEQUENCES];
    for (int i = 0; i < arg.sequences; i++) {
        const llama_item item = {i, n, tokens, NULL, logits ? logits + (size_t)i * vocab_size : NULL, NULL, 0};
        items[i] = item;
    }
    const int failed = logits ? llama_evaluate(c, items, arg.sequences, err) : !llama_forward(c, tokens, n, err);
    if (failed) fail("%s", err->text);
}

/* Speeds of decode and of a plain read of the same weights, in turns: bandwidth drifts within a second. */
static void decode(const llama_model *m, llama_context *c, const int *tokens, double *tokens_s, double *read_gbs) {
    llama_error err;
    double decoding = 0, reading = 0;
    int reads = 0;
    size_t size;
    const void *file = inside_file(m, &size);
    for (int i = 0; i < arg.decode; i++) {
        if (i % READ_EVERY == 0) reading += 1 / peak_read(file, size, llama_context_threads(c)), reads++;
        const double begin = clock_seconds();
        run_tokens(c, tokens + i, 1, &err);
        decoding += clock_seconds() - begin;
    }
    *tokens_s = arg.sequences * arg.decode / decoding;
    *read_gbs = reads / reading;
}

static void measure_peaks(figures f, int r, int threads) {
    f[INT8][r] = peak_int8(threads), f[BF16][r] = peak_bf16(threads), f[F32][r] = peak_f32(threads);
}

/* Seconds from llama_load to the first logits. A round before the first brings the file into the system's cache. */
static void measure_load(const llama_options *o, figures f) {
    const int token = 0;
    llama_error err;
    for (int r = -1; r < arg.rounds; r++) {
        const double begin = clock_seconds();
        llama_model *m = llama_load(arg.model, NULL, &err);
        llama_context *c = m ? llama_context_create(m, o, &err) : NULL;
        if (!c) fail("%s", err.text);
        run_tokens(c, &token, 1, &err);
        if (r >= 0) f[LOAD][r] = clock_seconds() - begin;
        llama_context_free(c);
        llama_free(m);
    }
}

/* A prompt once, or as often as it takes to be more than the clock's and the threads' whims. */
static double prompt(llama_context *c, const int *tokens, int n) {
    const double begin = clock_seconds();
    double times = 0, seconds;
    llama_error err;
    do {
        for (int i = 0; i < arg.sequences; i++) llama_fork(c, i, i, arg.position, &err);
        run_tokens(c, tokens, n, &err);
        times++, seconds = clock_seconds() - begin;
    } while (seconds < 0.01);
    return arg.sequences * n * times / seconds;
}

static void measure(const llama_model *m, llama_context *c, int *tokens, figures f) {
    const llama_config *config = llama_get_config(m);
    const int threads = llama_context_threads(c), bf16 = !strcmp(config->weight_type, "bf16");
    const int integer = *config->weight_type == 'q';
    llama_error err;
    if (arg.position) run_tokens(c, tokens, arg.position, &err);
    run_tokens(c, tokens, lengths.longest, &err); /* touches all memory once */
    for (int r = 0; r < arg.rounds; r++) {
        for (int i = 0; i < lengths.n; i++) {
            measure_peaks(f, r, threads);
            const int n = lengths.of[i];
            const double speed = prompt(c, tokens, n), ops = prompt_operations(m, n) / n * speed / 1e9;
            double unit = f[F32][r];
            if (integer && f[INT8][r] > 0) unit = f[INT8][r];
            if (bf16 && f[BF16][r] > 0) unit = f[BF16][r];
            f[PROMPT + i][r] = speed, f[PROMPT_SHARE + i][r] = unit > 0 ? ops / unit : 0;
        }
        const double kv = arg.sequences * inside_kv_bytes(c) * (llama_position(c) + arg.decode / 2.0);
        decode(m, c, tokens, &f[DECODE][r], &f[READ][r]);
        f[DECODE_SHARE][r] = ((double)config->weight_bytes + kv) * f[DECODE][r] / arg.sequences / 1e9 / f[READ][r];
    }
}

/* ---- Printing ---- */

/* Where decode begins: behind the last prompt. */
static int decode_position(void) { return arg.position + lengths.of[lengths.n - 1]; }

static void print_json(const llama_model *m, const llama_context *c, const double *mid, figures f, size_t context) {
    const llama_config *config = llama_get_config(m);
    const int last = arg.rounds - 1;
    printf("{\"model\": \"%s\", \"type\": \"%s\", \"kernels\": \"%s\", \"threads\": %d, \"prompt\": %d, "
           "\"decode\": %d, \"rounds\": %d, "
           "\"prompt_tok_s\": %.3f, \"decode_tok_s\": %.3f, \"prompt_share\": %.4f, \"decode_share\": %.4f, "
           "\"read_gbs\": %.2f, "
           "\"i8_gops\": %.1f, \"bf16_gflops\": %.1f, \"f32_gflops\": %.1f, \"weight_bytes\": %" PRIu64 ", ",
           arg.shape ? arg.shape : "file", config->weight_type, llama_context_kernels(c), llama_context_threads(c),
           lengths.of[0], arg.decode, arg.rounds, mid[PROMPT], mid[DECODE], mid[PROMPT_SHARE], mid[DECODE_SHARE],
           mid[READ], mid[INT8], mid[BF16], mid[F32], config->weight_bytes);
    printf("\"prompts\": [");
    for (int i = 0; i < lengths.n; i++)
        printf("%s{\"tokens\": %d, \"tok_s\": %.3f, \"min\": %.3f, \"max\": %.3f, \"share\": %.4f}", i ? ", " : "",
               lengths.of[i], mid[PROMPT + i], f[PROMPT + i][0], f[PROMPT + i][last], mid[PROMPT_SHARE + i]);
    printf("], \"decode_min\": %.3f, \"decode_max\": %.3f, \"decode_position\": %d, ", f[DECODE][0], f[DECODE][last],
           decode_position());
    if (arg.shape) printf("\"load_s\": null, "); /* there is no file */
    else printf("\"load_s\": %.6f, ", mid[LOAD]);
    printf("\"peak_bytes\": %" PRIu64 ", \"context_bytes\": %zu}\n", process_peak_memory(), context);
}

static void print_row(const char *name, const double *figure, double mid, double share) {
    printf("%-20s %10.1f %10.1f %10.1f %9.1f%%\n", name, mid, figure[0], figure[arg.rounds - 1], 100 * share);
}

static void print_table(const llama_model *m, const llama_context *c, const double *mid, figures f, size_t context) {
    const llama_config *config = llama_get_config(m);
    const double peak = (double)process_peak_memory() / 1e6;
    char name[48];
    printf("model    %s, %s, %.1f MB read per token\n", arg.shape ? arg.shape : arg.model, config->weight_type,
           (double)config->weight_bytes / 1e6);
    printf("machine  %d threads, %s: read %.1f GB/s, int8 %.0f Gop/s, bf16 %.0f, f32 %.0f GFLOP/s\n",
           llama_context_threads(c), llama_context_kernels(c), mid[READ], mid[INT8], mid[BF16], mid[F32]);
    if (peak > 0) printf("memory   %.1f MB at most, %.1f MB of it the context's\n", peak, (double)context / 1e6);
    else printf("memory   %.1f MB the context's\n", (double)context / 1e6);
    if (arg.shape) printf("start    not measured: there is no file to load\n\n");
    else
        printf("start    %.1f ms from load to first logits (%.1f to %.1f), the file being in the cache\n\n",
               1e3 * mid[LOAD], 1e3 * f[LOAD][0], 1e3 * f[LOAD][arg.rounds - 1]);
    printf("%-20s %10s %10s %10s %10s\n", "tokens/s", "median", "min", "max", "of limit");
    for (int i = 0; i < lengths.n; i++) {
        snprintf(name, sizeof name, arg.position ? "prompt %d at %d" : "prompt %d", lengths.of[i], arg.position);
        print_row(name, f[PROMPT + i], mid[PROMPT + i], mid[PROMPT_SHARE + i]);
    }
    snprintf(name, sizeof name, "decode %d at %d", arg.decode, decode_position());
    print_row(name, f[DECODE], mid[DECODE], mid[DECODE_SHARE]);
}

/* ---- Two builds ---- */

enum { MOST_COMPARED = MOST_LENGTHS + 3 };              /* prompts, decode, start, memory */
typedef double compared[3][MOST_COMPARED][MOST_ROUNDS]; /* this build's, the other's, their ratio */
enum { THIS, OTHER, RATIO };

/* A figure that a program printed; 0 if there is none that can be one. */
static double figure_of(const json_node *n) {
    return json_is(n, JSON_NUMBER) && n->number > 1e-9 && n->number < 1e18 ? n->number : 0;
}

/* What a build printed: a figure each in round r. An older one has no list of prompts, start and memory. */
static void read_figures(const char *program, const char *text, double (*f)[MOST_ROUNDS], int r) {
    json_text j;
    llama_error err;
    const char *begin = strchr(text, '{'); /* behind messages */
    if (!begin || json_parse(&j, begin, strlen(begin), program, &err))
        fail("%.120s: printed something else than bench --json does", program);
    int i = 0, n = lengths.n;
    const json_node *prompts = json_get(j.nodes, "prompts");
    for (int k = 0; k < MOST_COMPARED; k++) f[k][r] = 0;
    f[0][r] = figure_of(json_get(j.nodes, "prompt_tok_s"));
    if (json_is(prompts, JSON_ARRAY) && prompts->size == (uint32_t)n)
        JSON_EACH(item, prompts) f[i++][r] = figure_of(json_get(item, "tok_s"));
    f[n][r] = figure_of(json_get(j.nodes, "decode_tok_s"));
    f[n + 1][r] = 1e3 * figure_of(json_get(j.nodes, "load_s"));
    f[n + 2][r] = figure_of(json_get(j.nodes, "peak_bytes")) / 1e6;
    json_free(&j);
    for (int k = 0; k <= n; k++)
        if (f[k][r] <= 0) fail("%.120s: printed no speed of %s", program, k < n ? "a prompt" : "decode");
}

/* Runs a build with the options that this one was given. */
static void run_build(const char *program, double (*f)[MOST_ROUNDS], int r) {
    static char text[1 << 16];
    char decode_tokens[16], threads[16], position[16], sequences[16];
    const char *argv[24] = {program, "--json", "-r", "1", "-p", arg.prompts, "-n", decode_tokens};
    int n = 8, status;
    llama_error err;
    snprintf(decode_tokens, sizeof decode_tokens, "%d", arg.decode);
    snprintf(threads, sizeof threads, "%d", arg.threads);
    snprintf(position, sizeof position, "%d", arg.position);
    snprintf(sequences, sizeof sequences, "%d", arg.sequences);
    if (arg.threads) argv[n++] = "-j", argv[n++] = threads;
    if (arg.position) argv[n++] = "--position", argv[n++] = position;
    if (arg.sequences > 1) argv[n++] = "--sequences", argv[n++] = sequences;
    if (arg.kernels) argv[n++] = "--kernels", argv[n++] = arg.kernels;
    if (arg.kv_type) argv[n++] = "--kv-type", argv[n++] = arg.kv_type;
    if (arg.shape) argv[n++] = "--type", argv[n++] = arg.type, argv[n++] = "--shape", argv[n++] = arg.shape;
    else argv[n++] = "--", argv[n++] = arg.model;
    if ((status = process_output((char *const *)argv, text, sizeof text, &err)) < 0) fail("%s", err.text);
    if (status) {
        text[strcspn(text, "\n")] = 0;
        fail("%.120s: ended with status %d: %.300s", program, status, *text ? text : "without a word");
    }
    read_figures(program, text, f, r);
}

static const char *compared_name(int i) {
    static char name[32];
    if (i < lengths.n) snprintf(name, sizeof name, "prompt %d", lengths.of[i]);
    else if (i == lengths.n) snprintf(name, sizeof name, "decode %d", arg.decode);
    else snprintf(name, sizeof name, i == lengths.n + 1 ? "start, ms" : "memory, MB");
    return name;
}

static void print_ratios(compared f) {
    const int last = arg.rounds - 1;
    if (arg.json) printf("{\"rounds\": %d, \"ratios\": [", arg.rounds);
    else printf("%-20s %10s %10s %10s %10s %10s\n", "this / other", "median", "min", "max", "this", "other");
    for (int i = 0; i < lengths.n + 3; i++) {
        const double ours = median(f[THIS][i]), others = median(f[OTHER][i]), ratio = median(f[RATIO][i]);
        const double low = f[RATIO][i][0], high = f[RATIO][i][last];
        if (low <= 0) continue; /* one of them does not tell */
        if (arg.json)
            printf("%s{\"figure\": \"%s\", \"median\": %.4f, \"min\": %.4f, \"max\": %.4f, \"this\": %.3f, "
                   "\"other\": %.3f}",
                   i ? ", " : "", compared_name(i), ratio, low, high, ours, others);
        else printf("%-20s %10.3f %10.3f %10.3f %10.1f %10.1f\n", compared_name(i), ratio, low, high, ours, others);
    }
    if (arg.json) printf("]}\n");
}

static void compare(const char *program) {
    static compared f;
    progress_begin();
    for (int r = 0; r < arg.rounds; r++) {
        if (progress_due() > 0) progress_draw("round %d of %d", r + 1, arg.rounds);
        run_build(program, f[THIS], r);
        run_build(arg.other, f[OTHER], r);
        for (int i = 0; i < lengths.n + 3; i++)
            f[RATIO][i][r] = f[OTHER][i][r] > 0 ? f[THIS][i][r] / f[OTHER][i][r] : 0;
    }
    progress_end();
    print_ratios(f);
}

/* ---- The command line ---- */

static const char help[] = "usage: bench MODEL | --shape NAME [options]\n"
                           "Measures prompt and decode speed, and the limits of the machine beside them.\n\n"
                           "  --shape NAME    random weights of a known shape instead of a file:\n"
                           "                  stories260k stories15m stories110m smollm2-135m\n"
                           "                  smollm2-1.7b smollm3-3b tinyllama-1.1b llama-3.2-1b\n"
                           "                  llama-3.2-3b llama-2-7b llama-3.1-8b qwen3-0.6b\n"
                           "                  qwen3-1.7b qwen3-4b qwen3-30b-a3b gemma-3-1b phi-4-mini\n"
                           "  --layers N      no more than the first N layers of it\n"
                           "  --type T        of those weights: f32 bf16 q8 q6 q4 q4_0 (q8)\n"
                           "  -p N,N,...      tokens of a prompt, or of several, each measured (256)\n"
                           "  -n N            tokens of decode after the last of them (64)\n"
                           "  -r N            rounds (5)\n"
                           "  -j N            threads (one per core)\n"
                           "  --position N    tokens in the context before a prompt (0)\n"
                           "  --sequences N   that many texts at once, each as long; speeds are of all (1)\n"
                           "  --kv-type T     of the kv cache: f32 f16 q8 (f16; f32 with weights of f32)\n"
                           "  --kernels SET   plain avx2 avxvnni avx512 avx512wide avx512bf16\n"
                           "                  avx512bf16wide neon neondot (the fastest)\n"
                           "  --compare BENCH another build of this program: runs both in turns, round by\n"
                           "                  round, and prints the ratios, this one's by the other's\n"
                           "  --json          one JSON object instead of the table\n"
                           "  -h, --help      print this\n"
                           "  --version       print the version\n";

static const option options[] = {
    {0, "shape", "NAME", TEXT, &arg.shape, 0, 0, 0, NULL},
    {0, "type", "T", TEXT, &arg.type, 0, 0, 0, NULL},
    {'p', NULL, "N", TEXT, &arg.prompts, 0, 0, 0, NULL},
    {'n', NULL, "N", WHOLE, &arg.decode, 1, MOST_TOKENS, 0, NULL},
    {'r', NULL, "N", WHOLE, &arg.rounds, 1, MOST_ROUNDS, 0, NULL},
    {'j', NULL, "N", WHOLE, &arg.threads, 1, 1024, 0, NULL},
    {0, "layers", "N", WHOLE, &arg.layers, 1, 1 << 24, 0, NULL},
    {0, "position", "N", WHOLE, &arg.position, 0, MOST_TOKENS, 0, NULL},
    {0, "sequences", "N", WHOLE, &arg.sequences, 1, MOST_SEQUENCES, 0, NULL},
    {0, "kernels", "SET", TEXT, &arg.kernels, 0, 0, 0, NULL},
    {0, "kv-type", "T", TEXT, &arg.kv_type, 0, 0, 0, NULL},
    {0, "compare", "BENCH", TEXT, &arg.other, 0, 0, 0, NULL},
    {0, "json", NULL, FLAG, &arg.json, 0, 1, 0, NULL},
    {'h', "help", NULL, HELP, NULL, 0, 0, 0, NULL},
    {0, "version", NULL, VERSION, NULL, 0, 0, 0, NULL},
};

static const command_line line = {
    .program = "bench",
    .hint = "\nusage: bench MODEL | --shape NAME [options], see bench --help",
    .help = help,
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .names = {&arg.model},
};

static void bench(void) {
    static figures f;
    static unsigned char *memory;
    double mid[FIGURES];
    llama_error err;
    size_t size = 0;
    llama_options o = {0};
    const int each = arg.position + lengths.longest + arg.decode;
    const int64_t all = (int64_t)arg.sequences * ((each + LLAMA_PAGE - 1) / LLAMA_PAGE * LLAMA_PAGE);
    if (all > 1 << 28) fail("%d sequences of %d tokens are too long", arg.sequences, each);
    o.n_ctx = arg.sequences > 1 ? (int)all : each, o.n_ctx_sequence = each, o.n_sequences = arg.sequences;
    o.n_threads = arg.threads, o.kernels = arg.kernels, o.kv_type = arg.kv_type;
    if (arg.model) measure_load(&o, f);
    if (arg.shape) memory = build_shape(&size);
    llama_model *m = memory ? llama_load_memory(memory, size, NULL, &err) : llama_load(arg.model, NULL, &err);
    if (!m) fail("%s", err.text);
    llama_context *c = llama_context_create(m, &o, &err);
    if (!c) fail("%s", err.text);
    vocab_size = (size_t)llama_get_config(m)->vocab_size;
    int *ids = malloc((size_t)each * sizeof *ids);
    if (arg.sequences > 1) logits = malloc((size_t)arg.sequences * vocab_size * sizeof *logits);
    if (!ids || (arg.sequences > 1 && !logits)) fail("no memory");
    for (int i = 0; i < each; i++) ids[i] = (int)((unsigned)i * 2654435761u % (unsigned)vocab_size);
    measure(m, c, ids, f);
    for (int i = 0; i < FIGURES; i++) mid[i] = median(f[i]);
    (arg.json ? print_json : print_table)(m, c, mid, f, llama_context_bytes(m, &o));
    free(ids), free(logits);
    llama_context_free(c);
    llama_free(m);
}

int main(int argc, char **argv) {
    options_parse(&line, argc, argv);
    if (writer_type(arg.type) < 0) misuse("--type %.40s: expected " WRITER_TYPES, arg.type);
    if (!arg.model == !arg.shape) misuse("give a model or --shape");
    read_lengths();
    if (arg.other) compare(argv[0]);
    else bench();
    return 0;
}
