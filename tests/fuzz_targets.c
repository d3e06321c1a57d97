/* fuzz_targets.c - what reads strangers' bytes, as targets for a fuzzer. See fuzz.h.
 *
 * Our own fuzzer is fuzz.c (make fuzz). For libFuzzer or AFL++, from the project's root, TARGET being one of
 * the names in the table at the end, without quotes:
 *
 *   clang -DFUZZ_TARGET=gguf -g -O1 -fsanitize=fuzzer,address,undefined -o fuzz-gguf tests/fuzz_targets.c -lm
 *   afl-clang-fast -DFUZZ_TARGET=gguf -g -O1 -fsanitize=fuzzer,address,undefined -o fuzz-gguf tests/fuzz_targets.c -lm
 *
 * and seeds for them: .build/fuzz/fuzz -w DIRECTORY gguf.
 *
 * To add a target: a function that reads data, one that gives seeds, and a line in the table.
 *
 * All that is tested is included here, for three reasons: files are opened in memory, allocations are counted, and
 * run.c's statics can be reached. Kernels are the plain ones, which compile in seconds: what is tested is how
 * files are read. (-DFUZZ_SIMD: the processor's.)
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L /* fmemopen, fseeko */
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include "fuzz.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* ---------------------------------------------------------------------------------------------------
 * Checks
 * ------------------------------------------------------------------------------------------------- */

void (*fuzz_on_refusal)(const char *text);

static struct {
    size_t asked, limit; /* bytes asked for since fuzz_allow, and how many may be */
    long blocks, files;  /* not yet given back */
    long calls, fail_at; /* allocations; which one of them fails */
    int failed;          /* one has */
} fuzz_memory;

static void fuzz_assert(int ok, const char *what, int line) {
    if (ok) return;
    fprintf(stderr, "tests/fuzz_targets.c:%d: failed: %s\n", line, what);
    abort();
}

#define FUZZ_SPACE "\xE2\x96\x81" /* U+2581, SentencePiece's space */

#define FUZZ_CHECK(condition) fuzz_assert((condition) != 0, #condition, __LINE__)
/* What holds unless an allocation failed. */
#define FUZZ_MUST(condition) fuzz_assert((condition) != 0 || fuzz_memory.failed, #condition, __LINE__)

/* One line, without control characters. */
static void fuzz_check_line(const char *text) {
    for (const char *p = text; *p; p++) FUZZ_CHECK((unsigned char)*p >= 32 && *p != 127);
}

/* A message is one line, and not empty. */
static int fuzz_refused(const char *text) {
    FUZZ_CHECK(*text);
    fuzz_check_line(text);
    if (fuzz_on_refusal) fuzz_on_refusal(text);
    return 0;
}

/* ---------------------------------------------------------------------------------------------------
 * Memory: counted, bounded, and refused when told to
 * ------------------------------------------------------------------------------------------------- */

/* From here on factor * size + constant bytes may be asked for. What is freed still counts. */
static void fuzz_allow(size_t size, size_t factor, size_t constant) {
    fuzz_memory.asked = 0;
    fuzz_memory.limit = factor * size + constant;
}

static void *fuzz_allocate(void *old, size_t size, int clear) {
    if (++fuzz_memory.calls == fuzz_memory.fail_at) return fuzz_memory.failed = 1, NULL;
    const int bounded = size <= fuzz_memory.limit - fuzz_memory.asked;
    if (!bounded)
        fprintf(stderr, "%zu bytes asked for after %zu, allowed are %zu\n", size, fuzz_memory.asked, fuzz_memory.limit);
    FUZZ_CHECK(bounded);
    fuzz_memory.asked += size;
    void *p = clear ? calloc(1, size) : realloc(old, size);
    if (p && !old) fuzz_memory.blocks++;
    return p;
}

static void *fuzz_malloc(size_t size) { return fuzz_allocate(NULL, size, 0); }
static void *fuzz_calloc(size_t n, size_t size) { return fuzz_allocate(NULL, n * size, 1); }
static void *fuzz_realloc(void *p, size_t size) { return fuzz_allocate(p, size, 0); }

static void fuzz_free(void *p) {
    if (p) fuzz_memory.blocks--;
    free(p);
}

/* ---------------------------------------------------------------------------------------------------
 * Files in memory. Directories have names that end in a slash: "hf/config.json" is one of the few files.
 * ------------------------------------------------------------------------------------------------- */

static struct {
    char path[48];
    const unsigned char *data;
    size_t size;
} fuzz_files[12];
static int fuzz_n_files;

static void fuzz_put_file(const char *path, const unsigned char *data, size_t size) {
    int i = 0;
    while (i < fuzz_n_files && strcmp(fuzz_files[i].path, path)) i++; /* the last of a name counts */
    if (i == fuzz_n_files) fuzz_n_files++;
    snprintf(fuzz_files[i].path, sizeof fuzz_files[i].path, "%s", path);
    fuzz_files[i].data = data;
    fuzz_files[i].size = size;
}

/* What is written: it stays until fuzz_forget_written, unless who wrote it removes it. */
typedef struct {
    char path[64], *data; /* path "": none */
    size_t size;
} fuzz_output;
static fuzz_output fuzz_written[12];
static int fuzz_directories; /* made and neither removed nor renamed */

static fuzz_output *fuzz_find_written(const char *path) {
    size_t i = 0;
    while (i < sizeof fuzz_written / sizeof *fuzz_written && strcmp(fuzz_written[i].path, path)) i++;
    return i < sizeof fuzz_written / sizeof *fuzz_written ? &fuzz_written[i] : NULL;
}

static void fuzz_forget(fuzz_output *o) {
    free(o->data);
    memset(o, 0, sizeof *o);
}

static int fuzz_count_written(void) {
    int n = 0;
    for (size_t i = 0; i < sizeof fuzz_written / sizeof *fuzz_written; i++) n += *fuzz_written[i].path != 0;
    return n;
}

static void fuzz_forget_written(void) {
    for (size_t i = 0; i < sizeof fuzz_written / sizeof *fuzz_written; i++) fuzz_forget(&fuzz_written[i]);
    fuzz_directories = 0;
}

static int fuzz_remove(const char *path) {
    fuzz_output *o = fuzz_find_written(path);
    if (o) fuzz_forget(o);
    return o ? 0 : -1;
}

/* A file takes the place of another, a directory its files along. */
static int fuzz_rename(const char *from, const char *to) {
    const size_t n = strlen(from);
    fuzz_output *o = fuzz_find_written(from);
    if (o) fuzz_remove(to);
    else fuzz_directories--;
    for (size_t i = 0; i < sizeof fuzz_written / sizeof *fuzz_written; i++) {
        char rest[sizeof o->path];
        fuzz_output *f = &fuzz_written[i];
        if (f != o && (strncmp(f->path, from, n) || f->path[n] != '/')) continue;
        strcpy(rest, f->path + n);
        snprintf(f->path, sizeof f->path, "%s%s", to, rest);
    }
    return 0;
}

static int fuzz_mkdir(const char *path) { return (void)path, fuzz_directories++, 0; }
static int fuzz_rmdir(const char *path) { return (void)path, fuzz_directories--, 0; }

static FILE *fuzz_create(const char *path) {
    fuzz_output *o = fuzz_find_written(path);
    if (!o) o = fuzz_find_written("");
    FUZZ_CHECK(o && strlen(path) < sizeof o->path);
    fuzz_forget(o);
    strcpy(o->path, path);
    FILE *file = open_memstream(&o->data, &o->size);
    if (file) fuzz_memory.files++;
    return file;
}

static FILE *fuzz_fopen(const char *path, const char *mode) {
    FILE *file = NULL;
    int i = 0;
    if (*mode == 'w') return fuzz_create(path);
    while (i < fuzz_n_files && strcmp(fuzz_files[i].path, path)) i++;
    errno = ENOENT;
    if (i < fuzz_n_files && fuzz_files[i].size)
        file = fmemopen((void *)(uintptr_t)fuzz_files[i].data, fuzz_files[i].size, mode);
    else if (i < fuzz_n_files) file = fopen("/dev/null", mode); /* fmemopen may refuse an empty file */
    if (file) fuzz_memory.files++;
    return file;
}

static int fuzz_fclose(FILE *file) {
    fuzz_memory.files--;
    return fclose(file);
}

/* ---------------------------------------------------------------------------------------------------
 * What is tested
 * ------------------------------------------------------------------------------------------------- */

#define malloc(size) fuzz_malloc(size)
#define calloc(n, size) fuzz_calloc(n, size)
#define realloc(p, size) fuzz_realloc(p, size)
#define free(p) fuzz_free(p)
#define fopen(path, mode) fuzz_fopen(path, mode)
#define fclose(file) fuzz_fclose(file)
#define rename(from, to) fuzz_rename(from, to)
#define remove(path) fuzz_remove(path)
#define mkdir(path, mode) fuzz_mkdir(path)
#define rmdir(path) fuzz_rmdir(path)
#define fsync(file) 0

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" /* so much of it is inlined that gcc loses track */
#endif

#ifndef FUZZ_SIMD
#undef LLAMA_NO_SIMD
#define LLAMA_NO_SIMD
#endif
#undef LLAMA_NO_MMAP
#define LLAMA_NO_MMAP
#define LLAMA_API static inline
#define TOKENIZER_API static inline

#include "../tools/shared/inside.c" /* with llama.c */
#include "../tokenizer.c"
#undef _POSIX_C_SOURCE
#include "../tools/shared/files.c"
#include "../tools/shared/messages.c"

#include "../tools/formats/encode.c"
#include "../tools/formats/gguf.c"
#include "../tools/formats/gguf_head.c"
#include "../tools/formats/gguf_metadata.c"
#include "../tools/formats/gguf_names.c"
#include "../tools/formats/gguf_plan.c"
#include "../tools/formats/gguf_tokenizer.c"
#include "../tools/formats/gguf_types.c"
#include "../tools/formats/gguf_writer.c"
#include "../tools/formats/hf.c"
#include "../tools/formats/hf_config.c"
#include "../tools/formats/hf_config_writer.c"
#include "../tools/formats/hf_tokenizer.c"
#include "../tools/formats/hf_tokenizer_writer.c"
#include "../tools/formats/hf_writer.c"
#include "../tools/formats/jinja_filters.c"
#include "../tools/formats/jinja_lex.c"
#include "../tools/formats/jinja_methods.c"
#include "../tools/formats/jinja_parse.c"
#include "../tools/formats/jinja_run.c"
#include "../tools/formats/jinja_values.c"
#include "../tools/formats/json.c"
#include "../tools/formats/json_writer.c"
#include "../tools/formats/llama2c.c"
#include "../tools/formats/llama2c_writer.c"
#include "../tools/formats/onnx.c"
#include "../tools/formats/overflow.c"
#include "../tools/formats/protobuf.c"
#include "../tools/formats/rope.c"
#include "../tools/formats/source.c"
#define template_tokenizer fuzz_template_tokenizer
#include "../tools/formats/template.c"
#undef template_tokenizer
#include "../tools/formats/template_writer.c"
#include "../tools/formats/vocabulary.c"
#include "../tools/formats/writer.c"

/* run.c has kinds of options of the same names */
#define FLAG OPTION_FLAG
#define TEXT OPTION_TEXT
#define WHOLE OPTION_WHOLE
#define REAL OPTION_REAL
#define VERSION OPTION_VERSION
#include "../tools/batching/request.c"
#undef FLAG
#undef TEXT
#undef WHOLE
#undef REAL
#undef VERSION

#include "../tools/shared/compute.c"
#include "../tools/training/grad.c"
#include "../tools/training/state.c"
#include "../tools/training/weights.c"

#include "checkpoint.c"
#include "models.c"
#include "reference.c"

/* What some hundred renderings ask for does not count: each of them has limits of its own. */
tokenizer *template_tokenizer(const tokenizer_parts *parts, const template_source *source, llama_source *s,
                              tokenizer_error *err) {
    const size_t asked = fuzz_memory.asked, limit = fuzz_memory.limit;
    if (source->jinja) fuzz_memory.limit = SIZE_MAX / 2;
    tokenizer *t = fuzz_template_tokenizer(parts, source, s, err);
    if (source->jinja) fuzz_memory.asked = asked, fuzz_memory.limit = limit;
    return t;
}

static jmp_buf fuzz_exit_to;
static int fuzz_status; /* that the program ended with */
static FILE *fuzz_null; /* where it prints */

__attribute__((noreturn)) static void fuzz_exit(int status) {
    fuzz_status = status;
    longjmp(fuzz_exit_to, 1);
}

#pragma push_macro("stdout")
#pragma push_macro("stderr")
#undef stdout
#undef stderr
#define stdout fuzz_null
#define stderr fuzz_null
#define printf(...) fprintf(fuzz_null, __VA_ARGS__)
#define exit(status) fuzz_exit(status)
#define main fuzz_run_main
#undef _POSIX_C_SOURCE
#include "../run.c"
#undef main
#undef exit
#undef printf
#undef stderr
#undef stdout
#pragma pop_macro("stderr")
#pragma pop_macro("stdout")

/* ---------------------------------------------------------------------------------------------------
 * Tokenizers: what has been loaded must encode and decode anything
 * ------------------------------------------------------------------------------------------------- */

/* Whether tokenizer.h promises that decoding gives back what was encoded. A vocabulary without a piece for the
 * space has no way to tell it from the character that stands for one; where BOS is a piece of text, the space after
 * such a piece looks as if encoding had put it there; and what stands behind an added piece gets a space of its own. */
static int fuzz_is_lossless(const tokenizer *t) {
    const tk_list *cuts = &t->lists[TK_ADDED];
    for (int list = 0; list < 2; list++)
        for (int32_t i = 0; i < cuts[list].n; i++)
            if (t->pieces[cuts[list].ids[i]].flags & (TOKENIZER_LSTRIP | TOKENIZER_RSTRIP)) return 0;
    if (t->kind == TOKENIZER_BYTE_LEVEL) return !t->nfc;
    if (t->prefix == TOKENIZER_PREFIX_MISSING || t->prefix == TOKENIZER_PREFIX_FIRST ||
        (t->prefix == TOKENIZER_PREFIX_EACH && (cuts[0].n || cuts[1].n)))
        return 0;
    const tk_piece *bos = t->bos < 0 ? NULL : &t->pieces[t->bos];
    return t->byte_fallback && !t->map_size && !t->remove_extra_spaces && t->escape_spaces && !t->space_is_suffix &&
           tk_find(t, FUZZ_SPACE, 3, 0) >= 0 && (!bos || tk_is_reserved(t, bos) || bos->type == TOKENIZER_UNUSED);
}

/* Spaces for U+2581, which is what SentencePiece makes of it. Returns the new size. */
static size_t fuzz_plain_spaces(unsigned char *p, size_t n) {
    size_t out = 0;
    for (size_t i = 0; i < n; out++) {
        const int space = n - i >= 3 && !memcmp(p + i, FUZZ_SPACE, 3);
        p[out] = space ? ' ' : p[i];
        i += space ? 3 : 1;
    }
    return out;
}

/* before: what stands before the first id, or -1. */
static void fuzz_check_decoded(const tokenizer *t, int before, const int *ids, size_t n_ids, const unsigned char *text,
                               size_t n) {
    size_t total = 0, size, capacity = 1;
    for (size_t i = 0; i < n_ids; i++) tokenizer_decode(t, i ? ids[i - 1] : before, ids[i], &size), capacity += size;
    fuzz_allow(capacity + n, 2, 64);
    unsigned char *decoded = malloc(capacity), *wanted = malloc(n + 1);
    for (size_t i = 0; decoded && i < n_ids; i++) {
        const char *p = tokenizer_decode(t, i ? ids[i - 1] : before, ids[i], &size);
        memcpy(decoded + total, p, size);
        total += size;
    }
    if (decoded) FUZZ_CHECK(tokenizer_whole((const char *)decoded, total) + 3 >= total);
    if (decoded && wanted && fuzz_is_lossless(t)) {
        memcpy(wanted, text, n);
        if (t->kind == TOKENIZER_SENTENCEPIECE) {
            n = fuzz_plain_spaces(wanted, n);
            total = fuzz_plain_spaces(decoded, total);
        }
        FUZZ_CHECK(total == n && !memcmp(decoded, wanted, n));
    }
    free(decoded);
    free(wanted);
}

static int fuzz_are_ids(const tokenizer *t, const int *ids, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= tokenizer_vocab_size(t)) return 0;
    return 1;
}

/* Room for what encoding asks for: symbols and pairs, at most for each byte of the normalised text, twice over since
 * their room grows; and a number for each piece. */
static void fuzz_allow_encoding(const tokenizer *t, size_t size) {
    fuzz_allow(tokenizer_bound(t, size), 256, 1 << 14);
    fuzz_memory.limit += 16 * (size_t)tokenizer_vocab_size(t);
}

static void fuzz_encode(const tokenizer *t, const unsigned char *text, size_t n, int flags) {
    const char *p = (const char *)text;
    tokenizer_error why = {0, ""};
    fuzz_allow_encoding(t, n);
    const ptrdiff_t count = tokenizer_encode(t, p, n, flags, NULL, 0, &why);
    FUZZ_MUST(count >= 0);
    if (count < 0) {
        fuzz_refused(why.text);
        return;
    }
    FUZZ_CHECK((size_t)count <= tokenizer_bound(t, n));
    fuzz_allow_encoding(t, n);
    int *ids = malloc((size_t)count * sizeof *ids);
    if (ids) {
        const ptrdiff_t again = tokenizer_encode(t, p, n, flags, ids, (size_t)count, &why);
        FUZZ_MUST(again == count && fuzz_are_ids(t, ids, count));
        if (again == count && !(flags & TOKENIZER_SPECIAL)) {
            const int bos = count && (flags & TOKENIZER_BOS) && t->add_bos && ids[0] == tokenizer_bos(t);
            const int before = flags & TOKENIZER_CONTINUE ? tokenizer_bos(t) + 1 : -1; /* any but bos */
            fuzz_check_decoded(t, before, ids + bos, (size_t)(count - bos), text, n);
        }
    }
    free(ids);
}

/* A conversation of texts cut from one. */
static void fuzz_encode_chat(const tokenizer *t, const unsigned char *text, size_t n) {
    tokenizer_message messages[4];
    int ids[64];
    const int system = n % 2 != 0;
    for (int i = 0; i < 4; i++) {
        const size_t begin = n * (size_t)i / 4, end = n * (size_t)(i + 1) / 4;
        messages[i] = (tokenizer_message){(i + !system) % 2 ? TOKENIZER_USER : TOKENIZER_ASSISTANT,
                                          (const char *)text + begin, end - begin};
    }
    if (system) messages[0].role = TOKENIZER_SYSTEM;
    const int template = (int)(n / 2 % (TOKENIZER_MISTRAL + 1)); /* 0: the tokenizer's own */
    const tokenizer_form *form = tokenizer_get_form(t, template);
    size_t longest = 100;
    for (int i = 0; i < 16 && form; i++) {
        const char *text = form->between[i / 4][i % 4];
        if (text && strlen(text) > longest) longest = strlen(text);
    }
    for (int first = 0; first < 4; first++) {
        tokenizer_error why = {0, ""};
        fuzz_allow_encoding(t, n + 4 * longest);
        const ptrdiff_t count = tokenizer_encode_chat(t, template, messages, 3 + !system, first, ids, 64, &why);
        if (count < 0) fuzz_refused(why.text);
        FUZZ_CHECK(fuzz_are_ids(t, ids, count < 64 ? count : 64));
        FUZZ_CHECK(tokenizer_end_of_turn(t, template) < tokenizer_vocab_size(t));
    }
}

static void *fuzz_save(const tokenizer *t, size_t *size) {
    *size = tokenizer_save(t, NULL, 0);
    fuzz_allow(*size, 1, 64);
    void *saved = malloc(*size);
    if (saved) FUZZ_CHECK(tokenizer_save(t, saved, *size) == *size);
    return saved;
}

/* What is saved loads, and is saved as the same bytes. */
static void fuzz_save_again(const tokenizer *t) {
    size_t size, size_again;
    tokenizer_error why = {0, ""};
    void *saved = fuzz_save(t, &size);
    fuzz_allow(size, 64, 1 << 17);
    tokenizer *loaded = saved ? tokenizer_load_memory(saved, size, tokenizer_vocab_size(t), NULL, &why) : NULL;
    FUZZ_MUST(loaded);
    if (loaded) {
        void *again = fuzz_save(loaded, &size_again);
        FUZZ_MUST(again && size == size_again && !memcmp(saved, again, size));
        free(again);
    }
    tokenizer_free(loaded);
    free(saved);
}

static void fuzz_use_tokenizer(const tokenizer *t, const unsigned char *text, size_t n) {
    static const unsigned char fixed[] = " a ab  abc\n\xE2\x96\x81\xFF\xE2\x96<s>123<|eot_id|> \xF0\x9F\x98\x80'll the"
                                         " e\xCC\x81 <x> <y> c_c<tool> a b\xE3\x82\xA0\nAb!";
    size_t size;
    const int vocab_size = tokenizer_vocab_size(t);
    FUZZ_CHECK(vocab_size > 0 && tokenizer_bos(t) >= -1 && tokenizer_bos(t) < vocab_size);
    FUZZ_CHECK(!tokenizer_is_end(t, -1) && !tokenizer_is_end(t, vocab_size));
    for (int flags = 0; flags <= (TOKENIZER_BOS | TOKENIZER_SPECIAL | TOKENIZER_CONTINUE); flags++) {
        fuzz_encode(t, fixed, sizeof fixed - 1, flags);
        fuzz_encode(t, text, n, flags);
    }
    fuzz_encode_chat(t, text, n);
    for (int id = -1; id <= vocab_size; id++) {
        const char *p = tokenizer_decode(t, id % 3 ? -1 : id, id, &size);
        for (size_t i = 0; i < size; i++) (void)*(const volatile char *)(p + i);
        tokenizer_piece piece;
        const int found = tokenizer_get_piece(t, id, &piece);
        FUZZ_CHECK(found == (id >= 0 && id < vocab_size));
        if (found && piece.size) FUZZ_CHECK(tokenizer_find(t, piece.text, piece.size) >= 0);
    }
    tokenizer_parts parts;
    tokenizer_get_parts(t, &parts);
    FUZZ_CHECK(parts.n_pieces == vocab_size && tokenizer_get_merges(t, NULL) <= parts.n_merges);
    fuzz_save_again(t);
}

static int fuzz_tokenizer(const unsigned char *data, size_t size) {
    tokenizer_error why = {0, ""};
    fuzz_allow(size, 64, 1 << 17);
    tokenizer *t = tokenizer_load_memory(data, size, 0, NULL, &why);
    if (!t) return fuzz_refused(why.text);
    const size_t n = size < 200 ? size : 200; /* the end of a file is mostly pieces: a text that is full of them */
    fuzz_use_tokenizer(t, data + size - n, n);
    tokenizer_free(t);
    return 1;
}

/* ---------------------------------------------------------------------------------------------------
 * Models: what has been loaded must run
 * ------------------------------------------------------------------------------------------------- */

static void fuzz_forward(const llama_model *m, size_t size) {
    const llama_options o = {.n_ctx = 12, .n_batch = 6, .n_threads = 1};
    const int vocab_size = llama_get_config(m)->vocab_size, last = vocab_size - 1;
    const int tokens[7] = {0, last, 1 % vocab_size, last / 2, last, 0, last};
    float logprobs[2];
    llama_error why = {0, ""};
    llama_sampling sampling = llama_sampling_default();
    sampling.repeat_penalty = 1.1f, sampling.repeat_window = 4;
    fuzz_allow(size, 4096, 1 << 20);
    llama_context *c = llama_context_create(m, &o, &why);
    llama_sampler *s = c ? llama_sampler_create(m, &sampling, NULL, &why) : NULL;
    FUZZ_MUST(s);
    if (!s) fuzz_refused(why.text);
    const float *logits = s ? llama_forward(c, tokens, 7, &why) : NULL;
    if (logits) {
        const int id = llama_sample(s, logits, &why);
        FUZZ_CHECK(id >= -1 && id < vocab_size && llama_position(c) == 7);
        if (id < 0) fuzz_refused(why.text);
        FUZZ_CHECK(llama_forward(c, &last, 1, &why) && llama_position(c) == 8);
        FUZZ_CHECK(!llama_forward(c, &vocab_size, 1, &why) && !llama_forward(c, tokens, 5, &why));
        FUZZ_CHECK(!llama_score(c, tokens, 3, logprobs, &why) && llama_position(c) == 11);
    }
    llama_sampler_free(s);
    llama_context_free(c);
}

typedef void fuzz_use(const llama_model *m, const void *data, size_t size);

static void fuzz_use_model(const llama_model *m, const void *data, size_t size) {
    size_t n;
    const void *own = llama_get_tokenizer(m, &n);
    tokenizer_error why = {0, ""};
    fuzz_forward(m, size);
    fuzz_allow(n, 64, 1 << 17);
    tokenizer *t = own ? tokenizer_load_memory(own, n, llama_get_config(m)->vocab_size, NULL, &why) : NULL;
    if (own && !t) fuzz_refused(why.text);
    if (t) fuzz_use_tokenizer(t, data, size < 20 ? size : 20);
    tokenizer_free(t);
}

static struct { /* made once */
    int done;
    tokenizer *tokenizers[7];
    checkpoint checkpoint;
    llama_model *model;
} fuzz_ready;

/* A saved sequence, into a context that holds another: as it comes, and with the hashes that it should have. What is
 * refused changes nothing; what is taken comes out again as the same bytes, and can be gone on with. */
static int fuzz_sequence(const unsigned char *data, size_t size) {
    const int bytes = size < LL_STATE ? 4 : data[28]; /* of a number, as it says itself */
    const llama_options o = {.kv_type = bytes == 1   ? "q8"
                                        : bytes == 2 ? "f16"
                                                     : "f32",
                             .n_ctx = 3 * LLAMA_PAGE,
                             .n_sequences = 2,
                             .n_batch = 6,
                             .n_threads = 1};
    const int tokens[2] = {1, 0};
    llama_error why = {0, ""};
    int taken = 0;
    fuzz_allow(size, 8, 1 << 20);
    llama_context *c = llama_context_create(fuzz_ready.model, &o, &why);
    unsigned char *copy = malloc(size ? size : 1), *again = malloc(size ? size : 1);
    if (c && copy && again && !llama_forward(c, tokens, 2, &why)) FUZZ_CHECK(0);
    for (int fixed = 0; c && copy && again && fixed < 2 && !taken; fixed++) {
        if (size) memcpy(copy, data, size);
        if (fixed && size >= LL_STATE) {
            ll_put(copy + 36, ll_model_hash(c), 8);
            ll_put(copy + 44, ll_hash(2, copy + LL_STATE, size - LL_STATE), 8);
        }
        taken = !llama_restore(c, 0, copy, size, &why);
        if (taken) FUZZ_CHECK(llama_state_bytes(c, 0) == size);
        else fuzz_refused(why.text), FUZZ_CHECK(llama_length(c, 0) == 2 && llama_free_pages(c) == 2);
    }
    if (taken) {
        FUZZ_CHECK(!llama_save(c, 0, again, size, &why));
        const llama_item item = {0, 2, tokens, NULL, NULL, NULL, 0};
        if (llama_evaluate(c, &item, 1, &why)) fuzz_refused(why.text);
    }
    free(copy), free(again), llama_context_free(c);
    return taken;
}

static int fuzz_rows(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *err) {
    llama_source *s = user;
    return s->rows(s, tensor, layer, first, count, out, err);
}

/* Converts what a reader has opened, in memory, and loads that. Returns 1 if the reader has, and so frees s. */
static int fuzz_convert(llama_source *s, const unsigned char *input, size_t size, const llama_error *why) {
    llama_error err = {0, ""};
    void *data;
    size_t n;
    if (!s) return fuzz_refused(why->text);
    const writer_input in = {.config = s->config,
                             .rope_frequencies = s->rope_frequencies,
                             .rope_amplitudes = s->rope_amplitudes,
                             .tokenizer = s->tokenizer,
                             .tokenizer_size = s->tokenizer_size,
                             .type = INSIDE_F32 + (int)(size % 6),
                             .rows = fuzz_rows,
                             .user = s};
    fuzz_allow(size, 4096, 1 << 22);
    if (writer_build(&in, &data, &n, NULL, &err)) return s->close(s), fuzz_refused(err.text);
    fuzz_allow(size, 64, 1 << 16);
    llama_model *m = llama_load_memory(data, n, NULL, &err);
    FUZZ_MUST(m);
    if (m) {
        FUZZ_CHECK(!s->tokenizer == !m->tokenizer_size);
        fuzz_use_model(m, input, n);
    }
    llama_free(m);
    free(data);
    s->close(s);
    return 1;
}

/* The fields of a .llama file's header. */
static void fuzz_read_header(llama_config *f, const unsigned char *p) {
    int *const field[] = {&f->dim,        &f->hidden_dim, &f->n_layers,   &f->n_heads,
                          &f->n_kv_heads, &f->head_dim,   &f->vocab_size, &f->seq_len};
    int *const more[] = {&f->n_experts, &f->n_experts_used, &f->expert_dim, &f->n_ropes, &f->rope_short};
    float *const scale[] = {&f->attention_scale, &f->embedding_scale, &f->score_cap, &f->logit_cap};
    for (int i = 0; i < 8; i++) *field[i] = ll_i32(p + 16 + 4 * i);
    for (int i = 0; i < 5; i++) *more[i] = ll_i32(p + 96 + 4 * i);
    for (int i = 0; i < 4; i++) *scale[i] = ll_f32(p + 80 + 4 * i);
    f->norm_eps = ll_f32(p + 48), f->rope_theta = ll_f32(p + 52);
    f->extras = ll_i32(p + 76);
    f->shared_classifier = p[12] & 1;
}

static int fuzz_checkpoint(const unsigned char *data, size_t size) {
    llama_error why = {0, ""};
    fuzz_allow(size, 16, 1 << 13);
    llama_model *m = llama_load_memory(data, size, NULL, &why);
    if (!m) return fuzz_refused(why.text);
    fuzz_use_model(m, data, size);
    llama_free(m);
    fuzz_put_file("model", data, size);
    fuzz_allow(size, 64, 1 << 21); /* a copy of the file, in a buffer that may begin with a megabyte */
    llama_source *s = source_open_llama2c("model", &why);
    FUZZ_MUST(s);
    return fuzz_convert(s, data, size, &why);
}

/* What a header and kinds of layers say, in a file that is otherwise as they imply: the fields meet the arithmetic in
 * company that no damaged file has. Its weights are the input's bytes over and over, made small. */
static int fuzz_relative_for(fuzz_use *use, const unsigned char *data, size_t size) {
    enum { LAYERS = 4 };
    unsigned char header[INSIDE_HEADER + LAYERS * INSIDE_KIND] = {0};
    llama_layer_kind kinds[LAYERS];
    llama_config f = {.layers = kinds};
    llama_error why = {0, ""};
    uint64_t end = 0;
    if (size) memcpy(header, data, size < sizeof header ? size : sizeof header);
    fuzz_read_header(&f, header);
    for (int l = 0; l < LAYERS; l++) {
        const unsigned char *p = header + INSIDE_HEADER + l * INSIDE_KIND;
        kinds[l] = (llama_layer_kind){ll_i32(p), ll_i32(p + 4), ll_i32(p + 8)};
    }
    if (f.n_layers > LAYERS) return 0;
    if (inside_check_config(&f, "model", &why)) return fuzz_refused(why.text);
    const writer_input in = {.config = f, .type = INSIDE_F32 + (int)(size % 6)};
    const size_t table = writer_header(&in, NULL, &end);
    if (end > 1 << 18) return 0;
    fuzz_allow((size_t)end, 1, 64);
    unsigned char *bytes = calloc(1, (size_t)end);
    if (!bytes) return 0;
    writer_header(&in, bytes, &end);
    for (size_t i = table; i < end; i++) bytes[i] = data[i % size] & 63;
    fuzz_allow((size_t)end, 16, 1 << 13);
    llama_model *m = llama_load_memory(bytes, (size_t)end, NULL, &why);
    if (m) use(m, data, (size_t)end);
    else fuzz_refused(why.text); /* kinds of layers that are none */
    llama_free(m);
    free(bytes);
    return m != NULL;
}

static int fuzz_relative(const unsigned char *data, size_t size) {
    return fuzz_relative_for(fuzz_use_model, data, size);
}

static int fuzz_gguf(const unsigned char *data, size_t size) {
    llama_error why = {0, ""};
    fuzz_put_file("model.gguf", data, size);
    fuzz_allow(size, 64, 1 << 21);
    return fuzz_convert(source_open_gguf("model.gguf", NULL, &why), data, size, &why);
}

/* ---------------------------------------------------------------------------------------------------
 * Models in the formats of others: what has been loaded is written or refused, and nothing is left of what is refused
 * ------------------------------------------------------------------------------------------------- */

typedef int fuzz_exporter(const export_input *in, const char *path, export_report *report, llama_error *err);

/* What is JSON by its name, is. */
static void fuzz_check_written(void) {
    for (size_t i = 0; i < sizeof fuzz_written / sizeof *fuzz_written; i++) {
        const fuzz_output *o = &fuzz_written[i];
        const size_t n = strlen(o->path);
        llama_error why = {0, ""};
        json_text j;
        FUZZ_CHECK(!strstr(o->path, ".part"));
        if (n < 5 || strcmp(o->path + n - 5, ".json")) continue;
        fuzz_allow(o->size, 256, 1 << 14);
        const int result = json_parse(&j, o->data, o->size, o->path, &why);
        FUZZ_MUST(!result);
        if (!result) json_free(&j);
    }
}

/* choice: which of the format's types, or none. */
static void fuzz_export_as(fuzz_exporter *write, const char *path, const char *const *types, size_t choice,
                           const llama_model *m, const tokenizer *t, size_t size) {
    size_t n = 0;
    while (types[n]) n++;
    const export_input in = {.model = m, .tokenizer = t, .type = types[choice % (n + 1)]};
    export_report report = {0};
    llama_error why = {0, ""};
    fuzz_allow(size, 4096, 1 << 24);
    if (write(&in, path, &report, &why)) {
        fuzz_refused(why.text);
        FUZZ_CHECK(strstr(why.text, path) && !fuzz_count_written());
    } else {
        uint64_t bytes = 0;
        for (size_t i = 0; i < sizeof fuzz_written / sizeof *fuzz_written; i++) bytes += fuzz_written[i].size;
        FUZZ_CHECK(bytes && bytes == report.bytes);
        fuzz_check_line(report.note), fuzz_check_line(report.architecture);
        fuzz_check_written();
    }
    FUZZ_CHECK(fuzz_directories == 0);
    fuzz_forget_written();
}

static void fuzz_export_model(const llama_model *m, const void *data, size_t size) {
    static const char *const gguf[] = {"f16", "f32", "bf16", "q8_0", "q4_0", NULL},
                             *const hf[] = {"f16", "f32", "bf16", NULL}, *const onnx[] = {"f16", "f32", NULL},
                             *const llama2c[] = {"f32", NULL};
    const llama_config *f = llama_get_config(m);
    size_t n;
    const unsigned char *file = inside_file(m, &n);
    const size_t choice = n + file[n / 2];
    const void *own = llama_get_tokenizer(m, &n);
    tokenizer_error why = {0, ""};
    (void)data; /* it is all in the model */
    fuzz_allow(n, 64, 1 << 17);
    tokenizer *t = own ? tokenizer_load_memory(own, n, f->vocab_size, NULL, &why) : NULL;
    if (own && !t) fuzz_refused(why.text);
    fuzz_export_as(export_gguf, "fuzz.gguf", gguf, choice, m, t, size);
    fuzz_export_as(export_hf, "fuzz-hf", hf, choice, m, t, size);
    if (f->seq_len <= 1024) { /* both have a table of as many rows */
        fuzz_export_as(export_onnx, "fuzz.onnx", onnx, choice, m, t, size);
        fuzz_export_as(export_llama2c, "fuzz.bin", llama2c, choice, m, t, size);
    }
    tokenizer_free(t);
}

static int fuzz_export(const unsigned char *data, size_t size) {
    llama_error why = {0, ""};
    fuzz_allow(size, 16, 1 << 13);
    llama_model *m = llama_load_memory(data, size, NULL, &why);
    if (!m) return fuzz_refused(why.text);
    fuzz_export_model(m, data, size);
    llama_free(m);
    return 1;
}

static int fuzz_export_relative(const unsigned char *data, size_t size) {
    return fuzz_relative_for(fuzz_export_model, data, size);
}

/* ---------------------------------------------------------------------------------------------------
 * JSON, and Hugging Face directories
 * ------------------------------------------------------------------------------------------------- */

/* A container's items are as many as it says, and end where it does. */
static void fuzz_check_nodes(const json_text *j) {
    for (size_t i = 0; i < j->count; i++) {
        const json_node *n = &j->nodes[i];
        uint32_t items = 0;
        FUZZ_CHECK(n->skip >= 1 && n->skip <= j->count - i);
        if (n->type == JSON_STRING) FUZZ_CHECK(n->text[n->size] == 0);
        if (n->type != JSON_ARRAY && n->type != JSON_OBJECT) continue;
        JSON_EACH(item, n) {
            FUZZ_CHECK(item->skip <= (uint32_t)(n + n->skip - item));
            if (n->type == JSON_OBJECT) FUZZ_CHECK(item->type == JSON_STRING && item->skip == 1 + item[1].skip);
            if (items < 8 && n->type == JSON_OBJECT && strlen(item->text) == item->size)
                FUZZ_CHECK(json_get(n, item->text) == item + 1);
            items++;
        }
        FUZZ_CHECK(items == n->size);
    }
}

static int fuzz_json(const unsigned char *data, size_t size) {
    llama_error why = {0, ""};
    json_text j;
    json_index index;
    fuzz_allow(size, 256, 1 << 14);
    if (json_parse(&j, (const char *)data, size, "text", &why)) return fuzz_refused(why.text);
    fuzz_check_nodes(&j);
    if (j.nodes->type == JSON_OBJECT && !json_index_make(&index, j.nodes)) {
        JSON_EACH(key, j.nodes) FUZZ_CHECK(json_find(&index, key->text, key->size) == key + 1);
        json_index_free(&index);
    }
    json_free(&j);
    return 1;
}

/* A line of tools/batch; the first byte says of which kind of run. What is read is within the bounds of its options. */
static int fuzz_request(const unsigned char *data, size_t size) {
    static request_settings defaults = {.n = 256, .top_p = 1};
    static const option options[] = {
        {0, "n", "N", OPTION_WHOLE, &defaults.n, 1, 1000, REQUEST_KEY, NULL},
        {0, "top-p", "P", OPTION_REAL, &defaults.top_p, 0.5, 1, REQUEST_KEY, NULL},
        {0, "seed", "N", OPTION_WHOLE, &defaults.seed, 0, 9, REQUEST_KEY, NULL},
        {0, "logprobs", NULL, OPTION_FLAG, &defaults.logprobs, 0, 1, REQUEST_KEY, NULL},
    };
    const request_rules rules = {.kind = (request_kind)(size ? data[0] % 3 : 0),
                                 .options = options,
                                 .n_options = 4,
                                 .defaults = &defaults,
                                 .stop = "end"};
    llama_error why = {0, ""};
    request r;
    fuzz_allow(size, 512, 1 << 14);
    const int result = request_parse(&r, (const char *)data + (size > 0), size - (size > 0), 7, &rules, &why);
    if (r.id) {
        json_text id;
        FUZZ_MUST(!json_parse(&id, r.id, strlen(r.id), "id", &why) && id.count == 1);
        json_free(&id);
    }
    if (!result) {
        FUZZ_CHECK(r.id && (r.prompt.text != NULL) != (r.messages != NULL));
        FUZZ_CHECK(r.settings.n >= 1 && r.settings.n <= 1000 && r.settings.top_p >= 0.5 && r.settings.top_p <= 1);
        for (int i = 0; i < r.n_stops; i++) FUZZ_CHECK(r.stops[i].size && !r.stops[i].text[r.stops[i].size]);
        for (int i = 0; i < r.n_answers; i++) FUZZ_CHECK(r.answers[i].size);
        for (int i = 0; i < r.n_messages; i++) FUZZ_CHECK(r.messages[i].role && r.messages[i].text);
    }
    request_free(&r);
    return result ? fuzz_refused(why.text) : 1;
}

/* A directory is one input: each file behind a mark, which is "\xFF@@" and a digit. */
static const char *const fuzz_names[] = {
    "hf/config.json",     "hf/model.safetensors",  "hf/model.safetensors.index.json", "hf/a.safetensors",
    "hf/b.safetensors",   "hf/tokenizer.json",     "hf/tokenizer_config.json",        "hf/generation_config.json",
    "hf/tokenizer.model", "hf/chat_template.jinja"};

static void fuzz_open_directory(const unsigned char *data, size_t size) {
    const unsigned char *end = data + size, *p = data, *begin = NULL;
    int name = 0;
    for (; p < end; p++) {
        if (end - p < 4 || memcmp(p, "\xFF@@", 3) || p[3] < '0' || p[3] > '9') continue;
        if (begin) fuzz_put_file(fuzz_names[name], begin, (size_t)(p - begin));
        name = p[3] - '0';
        begin = p + 4;
    }
    if (begin) fuzz_put_file(fuzz_names[name], begin, (size_t)(p - begin));
}

/* hf.c has room for 10000 names of files, and for a table of 65536 layers and 262144 experts. */
enum { FUZZ_HF_CONSTANT = 3 << 24 };

static int fuzz_hf(const unsigned char *data, size_t size) {
    llama_error why = {0, ""};
    fuzz_open_directory(data, size);
    fuzz_allow(size, 256, FUZZ_HF_CONSTANT);
    return fuzz_convert(source_open_hf("hf", NULL, &why), data, size, &why);
}

/* The tokenizer alone, for as many rows as config.json says, but no more than a small file's embedding has. */
static int fuzz_hf_tokenizer(const unsigned char *data, size_t size) {
    llama_error why = {0, ""};
    tokenizer_error token_why = {0, ""};
    llama_source s = {.config = {.vocab_size = 0}};
    json_text config;
    uint64_t rows = 0;
    fuzz_open_directory(data, size);
    fuzz_allow(size, 256, 1 << 20);
    if (json_load(&config, "hf/config.json", &why)) return fuzz_refused(why.text);
    s.config.vocab_size = json_whole(json_get(config.nodes, "vocab_size"), &rows) && rows - 1 < 999 ? (int)rows : 270;
    const int result = hf_read_tokenizer(&s, "hf", config.nodes, &why);
    json_free(&config);
    if (result) return fuzz_refused(why.text);
    fuzz_allow(s.tokenizer_size, 64, 1 << 17);
    tokenizer *t = NULL;
    if (s.tokenizer) t = tokenizer_load_memory(s.tokenizer, s.tokenizer_size, s.config.vocab_size, NULL, &token_why);
    FUZZ_MUST(!t == !s.tokenizer);
    if (t) fuzz_use_tokenizer(t, data, size < 100 ? size : 100);
    tokenizer_free(t);
    free(s.tokenizer);
    return t != NULL;
}

/* ---------------------------------------------------------------------------------------------------
 * The options of run: one argument a line
 * ------------------------------------------------------------------------------------------------- */

static llama_model *fuzz_small_model(void);

static int fuzz_options(const unsigned char *data, size_t size) {
    fuzz_allow(size, 1, 1 << 13);
    char *volatile text = malloc(size + 1), *argv[64] = {"run"};
    llama_error why = {0, ""};
    int argc = 1;
    if (!text) return 0;
    if (size) memcpy(text, data, size);
    text[size] = 0;
    for (char *p = text; *p && argc < 63; *p ? *p++ = 0 : 0) {
        argv[argc++] = p;
        p += strcspn(p, "\n");
    }
    memset(&arg, 0, sizeof arg);
    arg.n_predict = -1, arg.length_penalty = -1;
    arg.sampling = llama_sampling_default();
    if (setjmp(fuzz_exit_to)) {
        free(text);
        FUZZ_CHECK(fuzz_status >= 0 && fuzz_status <= STATUS_USAGE);
        return fuzz_status == 0;
    }
    parse_arguments(argc, argv);
    check_arguments();
    FUZZ_CHECK(arg.n_predict >= 0 && arg.n_ctx >= 0 && arg.n_threads >= 0 && arg.n_threads <= 1024);
    llama_sampler *s = llama_sampler_create(fuzz_small_model(), &arg.sampling, NULL, &why);
    FUZZ_MUST(s); /* what the command line takes, the library takes */
    llama_sampler_free(s);
    free(text);
    return 1;
}

/* ---------------------------------------------------------------------------------------------------
 * The state of a training run, its checksum made right: without that nothing behind it would be reached
 * ------------------------------------------------------------------------------------------------- */

static int fuzz_train_state(const unsigned char *data, size_t size) {
    llama_error why = {0, ""};
    train_state s;
    fuzz_allow(size, 1, 1 << 10);
    unsigned char *copy = malloc(size + 1);
    if (!copy) return 0;
    if (size) memcpy(copy, data, size);
    if (size >= STATE_HEADER) put_uint(copy + HASH_AT, hash_file(copy, size), 8);
    if (state_read(copy, size, "state", &s, &why)) {
        free(copy);
        return fuzz_refused(why.text);
    }
    FUZZ_CHECK(s.n_settings >= 0 && s.n_settings <= STATE_SETTINGS);
    const unsigned char *end = (const unsigned char *)s.moment2 + 4 * s.count;
    FUZZ_CHECK(end == copy + size && (const unsigned char *)s.tokenizer + s.tokenizer_size == s.weights);
    free(copy);
    return 1;
}

#include "templates.h"
#include "fuzz_seeds.c"

/* ---------------------------------------------------------------------------------------------------
 * Texts, for tokenizers that are given: a digit that says which, then the text
 * ------------------------------------------------------------------------------------------------- */

static llama_model *fuzz_small_model(void) { return fuzz_ready.model; }

static void fuzz_prepare(void) {
    static fuzz_bytes b;
    if (fuzz_ready.done) return;
    fuzz_allow(0, 0, SIZE_MAX / 2);
    for (int i = 0; i < 4; i++) {
        if (i < 2) fuzz_make_bin(&b, i);
        else fuzz_make_model(&b, i == 3, i == 2);
        fuzz_ready.tokenizers[i] = tokenizer_load_memory(b.p, b.n, 0, NULL, NULL);
    }
    fuzz_ready.tokenizers[4] = fuzz_byte_level(0);
    fuzz_ready.tokenizers[5] = fuzz_byte_level(TOKENIZER_SPLIT_QWEN2);
    fuzz_ready.tokenizers[6] = fuzz_added_pieces(TOKENIZER_PREFIX_FIRST);
    fuzz_ready.checkpoint = fuzz_make_checkpoint(0, 0);
    fuzz_ready.model = llama_load_memory(fuzz_ready.checkpoint.bytes, fuzz_ready.checkpoint.size, NULL, NULL);
    for (int i = 0; i < 7; i++) FUZZ_CHECK(fuzz_ready.tokenizers[i]);
    FUZZ_CHECK(fuzz_ready.model);
    fuzz_null = (fopen)("/dev/null", "w");
    FUZZ_CHECK(fuzz_null);
#ifdef _OPENMP
    omp_set_num_threads(1); /* files are small, and one thread at a time is what a fuzzer can follow */
#endif
    fuzz_ready.done = 1;
}

static int fuzz_text(const unsigned char *data, size_t size) {
    if (!size) return 0;
    const tokenizer *t = fuzz_ready.tokenizers[*data % 7];
    for (int flags = 0; flags <= (TOKENIZER_BOS | TOKENIZER_SPECIAL); flags++)
        fuzz_encode(t, data + 1, size - 1, flags);
    fuzz_encode_chat(t, data + 1, size - 1);
    for (size_t i = 1; i + 3 < size; i += 2) { /* as ids, of which many are none */
        size_t n;
        const int previous = data[i] + 2 * data[i + 1] - 300, id = data[i + 2] + 2 * data[i + 3] - 300;
        const char *p = tokenizer_decode(t, previous, id, &n);
        for (size_t k = 0; k < n; k++) (void)*(const volatile char *)(p + k);
    }
    return 1;
}

/* ---------------------------------------------------------------------------------------------------
 * Chat templates
 * ------------------------------------------------------------------------------------------------- */

static int fuzz_jinja(const unsigned char *data, size_t size) {
    static const char variables[] =
        "{\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},{\"role\":\"user\",\"content\":\" a b\\nc\"}],"
        "\"add_generation_prompt\":true,\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"a\":{\"b\":[1,2.5,null]}}";
    static const jinja_limits limits = {.max_steps = 20000, .max_memory = 1 << 20, .max_output = 1 << 16};
    llama_error why = {0, ""};
    json_text v;
    char *out = NULL;
    size_t n = 0;
    fuzz_allow(size, 1000, 1 << 22);
    jinja_program *p = jinja_parse((const char *)data, size, "template", &why);
    if (!p) return fuzz_refused(why.text);
    jinja_result result = JINJA_LIMIT;
    if (!json_parse(&v, variables, sizeof variables - 1, "variables", &why)) {
        result = jinja_render(p, v.nodes, &limits, &out, &n, &why);
        json_free(&v);
    }
    jinja_free(p);
    FUZZ_CHECK((result == JINJA_DONE) == (out != NULL) && n <= limits.max_output);
    if (out) FUZZ_CHECK(!out[n]);
    free(out);
    return result == JINJA_DONE ? 1 : fuzz_refused(why.text);
}

/* What is taken down of a template is a form that a file can hold, and that says something. */
static int fuzz_template(const unsigned char *data, size_t size) {
    static const int eos = 257;
    static char texts[256];
    static tokenizer_piece pieces[258] = {[256] = {"<s>", 3, 0, TOKENIZER_CONTROL, 0},
                                          [257] = {"<|im_end|>", 10, 0, TOKENIZER_CONTROL, TOKENIZER_RSTRIP}};
    const tokenizer_parts parts = {.kind = TOKENIZER_BYTE_LEVEL,
                                   .pieces = pieces,
                                   .n_pieces = 258,
                                   .bos = 256,
                                   .add_bos = size % 2,
                                   .ends = &eos,
                                   .n_ends = 1};
    const template_source jinja = {(const char *)data, size, {"<s>", 3}, {"<|im_end|>", 10}, {2026, 1, 2}};
    llama_source s = {.tokenizer = NULL};
    tokenizer_error why = {0, ""};
    for (int i = 0; i < 256; i++)
        texts[i] = (char)i, pieces[i] = (tokenizer_piece){texts + i, 1, 0, TOKENIZER_NORMAL, 0};
    fuzz_allow(size, 256, 1 << 18);
    tokenizer *t = template_tokenizer(&parts, &jinja, &s, &why);
    FUZZ_MUST(t);
    if (!t) return fuzz_refused(why.text);
    const int template = tokenizer_template(t);
    FUZZ_MUST(template || *s.template_error.text);
    if (template) fuzz_use_tokenizer(t, data, size < 20 ? size : 20);
    tokenizer_free(t);
    return template || fuzz_memory.failed ? 1 : fuzz_refused(s.template_error.text);
}

/* ---------------------------------------------------------------------------------------------------
 * The targets
 * ------------------------------------------------------------------------------------------------- */

const fuzz_target fuzz_targets[] = {
    {"v0", fuzz_checkpoint, fuzz_v0_seeds, ""},
    {"v1", fuzz_checkpoint, fuzz_v1_seeds, ""},
    {"v2", fuzz_checkpoint, fuzz_v2_seeds, ""},
    {"f32", fuzz_checkpoint, fuzz_f32_seeds, ""},
    {"bf16", fuzz_checkpoint, fuzz_bf16_seeds, ""},
    {"q8", fuzz_checkpoint, fuzz_q8_seeds, ""},
    {"q4_0", fuzz_checkpoint, fuzz_q4_0_seeds, ""},
    {"q4", fuzz_checkpoint, fuzz_q4_seeds, ""},
    {"q6", fuzz_checkpoint, fuzz_q6_seeds, ""},
    {"relative", fuzz_relative, fuzz_relative_seeds, ""},
    {"export", fuzz_export, fuzz_export_seeds, ""},
    {"export_relative", fuzz_export_relative, fuzz_relative_seeds, ""},
    {"bin", fuzz_tokenizer, fuzz_bin_seeds, "<0x41>\n<s>\n</s>\n \nab"},
    {"model", fuzz_tokenizer, fuzz_model_seeds, "<0x41>\n<s>\n\xE2\x96\x81\nab"},
    {"flat", fuzz_tokenizer, fuzz_flat_seeds, "<0x41>\n<s>\n\xE2\x96\x81\nab\n<|eot_id|>"},
    {"text", fuzz_text, fuzz_text_seeds, fuzz_text_words},
    {"gguf", fuzz_gguf, fuzz_gguf_seeds, fuzz_gguf_words},
    {"json", fuzz_json, fuzz_json_seeds, fuzz_json_words},
    {"request", fuzz_request, fuzz_request_seeds, fuzz_request_words},
    {"jinja", fuzz_jinja, fuzz_jinja_seeds, fuzz_jinja_words},
    {"template", fuzz_template, fuzz_template_seeds, fuzz_jinja_words},
    {"hf", fuzz_hf, fuzz_hf_seeds, fuzz_hf_words},
    {"hf_tokenizer", fuzz_hf_tokenizer, fuzz_hf_tokenizer_seeds, fuzz_hf_words},
    {"options", fuzz_options, fuzz_options_seeds, fuzz_options_words},
    {"state", fuzz_train_state, fuzz_state_seeds, ""},
    {"sequence", fuzz_sequence, fuzz_sequence_seeds, ""},
    {NULL, NULL, NULL, NULL}};

void fuzz_seeds(const fuzz_target *target, fuzz_add *add, void *user) {
    fuzz_prepare();
    fuzz_allow(0, 0, SIZE_MAX / 2);
    target->seeds(add, user);
}

int fuzz_run(const fuzz_target *target, const void *data, size_t size, long fail_at) {
    fuzz_prepare();
    fuzz_memory.failed = 0;
    fuzz_memory.calls = 0, fuzz_memory.fail_at = fail_at;
    fuzz_n_files = 0;
    fuzz_allow(0, 0, 0);
    const long blocks = fuzz_memory.blocks;
    unsigned char *copy = (malloc)(size); /* not ours: of exactly the size, so that a sanitizer sees a step beyond */
    if (!copy && size) return 0;
    if (size) memcpy(copy, data, size);
    const int result = target->run(copy, size);
    (free)(copy);
    fuzz_memory.fail_at = 0;
    FUZZ_CHECK(fuzz_memory.blocks == blocks && fuzz_memory.files == 0); /* nothing leaked */
    return result;
}

#undef malloc
#undef calloc
#undef realloc
#undef free
#undef fopen
#undef fclose
#undef rename
#undef remove
#undef mkdir
#undef rmdir
#undef fsync

#ifdef FUZZ_TARGET
#define FUZZ_STRING(x) #x
#define FUZZ_NAME(x) FUZZ_STRING(x)
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const fuzz_target *t = fuzz_targets;
    while (strcmp(t->name, FUZZ_NAME(FUZZ_TARGET))) t++;
    fuzz_run(t, data, size, 0);
    return 0;
}
#endif
