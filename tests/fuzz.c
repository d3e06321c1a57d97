/* fuzz.c - a fuzzer: damages valid inputs in ways that the formats suggest, and keeps what leads somewhere new.
 *
 *   make fuzz SECONDS=60                      all targets, under the address and undefined-behaviour sanitizers
 *   .build/fuzz/fuzz [options] [TARGET...]    the same by hand; without a TARGET all of them, in turn
 *   .build/fuzz/fuzz TARGET FILE...           only these inputs, such as one that failed
 *
 *   -t SECONDS   how long (10)               -s SEED       of the random numbers (1); the same inputs for the same seed
 *   -n N         so many inputs a target     -a N          with a FILE: its N-th allocation fails
 *   -o DIR       failing inputs go there     -w DIR        write the seeds of the targets there, and end
 *
 * A run that fails writes its input and prints the command that repeats it: on a crash, a sanitizer's report, a broken
 * promise (fuzz_targets.c), or an input that takes seconds.
 *
 * "Somewhere new" is an edge between two places in the code (or its 2nd, 4th.. passage) that no input took before, if
 * fuzz_targets.c was compiled with -fsanitize-coverage=trace-pc: then __sanitizer_cov_trace_pc is called from every
 * place. This file must be compiled without. Else it is a message with new words in it. Targets are in fuzz_targets.c,
 * which also says how to use libFuzzer or AFL++ instead.
 *
 * The rooms: the input and its window; ways to damage it; what is new; failures; running; arguments.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 600 /* setitimer */
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include "fuzz.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    FUZZ_ROOM = 1 << 17, /* bytes of an input */
    FUZZ_KEPT = 4096,    /* inputs that a target keeps */
    FUZZ_MAP = 1 << 16,  /* edges, by hash */
    FUZZ_TARGETS = 32,
    FUZZ_PATIENCE = 8 /* seconds of processor time that an input may take */
};

/* ---------------------------------------------------------------------------------------------------
 * The input and its window: what lies in a length-prefixed part is damaged in a window of its own, so that the
 * length can be put right afterwards.
 * ------------------------------------------------------------------------------------------------- */

static struct {
    unsigned char p[FUZZ_ROOM];
    size_t n;
    size_t begin, end; /* the window: only there are bytes changed; it grows and shrinks with them */
} fuzz_in;

static uint64_t fuzz_state; /* of the random numbers: SplitMix64 */

static uint64_t fuzz_random(void) {
    uint64_t z = (fuzz_state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static size_t fuzz_below(size_t n) { return n ? (size_t)(fuzz_random() % n) : 0; }

/* Often small, sometimes as large as can be. */
static size_t fuzz_length(size_t most) {
    const size_t limit = (size_t)1 << fuzz_below(12);
    return 1 + fuzz_below(most < limit ? most : limit);
}

static size_t fuzz_window(void) { return fuzz_in.end - fuzz_in.begin; }
static size_t fuzz_place(void) { return fuzz_in.begin + fuzz_below(fuzz_window()); }

/* Bytes [at, at + n) of the window become size others, which may lie in the input themselves. */
static void fuzz_replace(size_t at, size_t n, const void *with, size_t size) {
    static unsigned char copy[FUZZ_ROOM];
    if (at < fuzz_in.begin || at > fuzz_in.end || n > fuzz_in.end - at) return;
    if (size > FUZZ_ROOM - (fuzz_in.n - n)) return;
    if (size) memcpy(copy, with, size);
    memmove(fuzz_in.p + at + size, fuzz_in.p + at + n, fuzz_in.n - at - n);
    if (size) memcpy(fuzz_in.p + at, copy, size);
    fuzz_in.n = fuzz_in.n - n + size;
    fuzz_in.end = fuzz_in.end - n + size;
}

/* ---------------------------------------------------------------------------------------------------
 * Ways to damage it: any format
 * ------------------------------------------------------------------------------------------------- */

typedef struct fuzz_corpus fuzz_corpus; /* see "running" */
static const fuzz_target *fuzz_now;     /* the target at work */
static fuzz_corpus *fuzz_kept;          /* its corpus */
static const unsigned char *fuzz_other(size_t *size);
static long fuzz_corpus_runs(void);

static void fuzz_flip(void) {
    if (fuzz_window()) fuzz_in.p[fuzz_place()] ^= (unsigned char)(1u << fuzz_below(8));
}

static void fuzz_set(void) {
    if (fuzz_window()) fuzz_in.p[fuzz_place()] = (unsigned char)fuzz_random();
}

static void fuzz_delete(void) {
    const size_t at = fuzz_place();
    fuzz_replace(at, fuzz_length(fuzz_in.end - at), NULL, 0);
}

static void fuzz_cut(void) { /* off the end */
    const size_t n = fuzz_window() ? fuzz_length(fuzz_window()) : 0;
    fuzz_replace(fuzz_in.end - n, n, NULL, 0);
}

static void fuzz_copy(void) { /* a part over another, or in between */
    if (!fuzz_window()) return;
    const size_t from = fuzz_place(), n = fuzz_length(fuzz_in.end - from), to = fuzz_place();
    const size_t over = fuzz_below(2) ? 0 : n < fuzz_in.end - to ? n : fuzz_in.end - to;
    fuzz_replace(to, over, fuzz_in.p + from, n);
}

static void fuzz_fill(void) {
    unsigned char bytes[64];
    const size_t n = fuzz_length(sizeof bytes);
    memset(bytes, fuzz_below(2) ? 0 : (int)fuzz_below(256), n);
    fuzz_replace(fuzz_place(), 0, bytes, n);
}

static void fuzz_splice(void) { /* a part of another input */
    size_t size;
    const unsigned char *other = fuzz_other(&size);
    if (!size) return;
    const size_t from = fuzz_below(size), at = fuzz_place();
    const size_t n = fuzz_below(4) ? fuzz_length(size - from) : size - from, left = fuzz_in.end - at;
    fuzz_replace(at, fuzz_below(2) ? left : fuzz_below(2) ? fuzz_length(left) : 0, other + from, n);
}

/* ---------------------------------------------------------------------------------------------------
 * Ways to damage it: binary formats
 * ------------------------------------------------------------------------------------------------- */

static uint64_t fuzz_get(size_t at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value |= (uint64_t)fuzz_in.p[at + i] << 8 * i;
    return value;
}

static void fuzz_put_at(size_t at, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++) fuzz_in.p[at + i] = (unsigned char)(value >> 8 * i);
}

/* Numbers at which something changes: limits of types and of llama.c, infinity and nan, sizes near the file's. */
static uint64_t fuzz_interesting(uint64_t old) {
    /* clang-format off */
    static const uint64_t values[] = {
        0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 1000, 0x7FFF, 0x8000, 0xFFFF,
        0x10000, 0xFFFFFF, 0x1000000, 0x1000001, 0x10000000, 0x10000001, 0x3FFFFFFF, 0x40000000, 0x7FFFFFFF, 0x80000000,
        0xFFFFFFFE, 0xFFFFFFFF, 0x100000000, 0x1FFFFFFFFFFFFFFF, 0x2000000000000000, 0x4000000000000000,
        0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFC0, 0xFFFFFFFFFFFFFFFF,
        0x7F800000, 0xFF800000, 0x7FC00000, 0x3F800000, 0x7F7FFFFF, 0x00000001, 0x7FF0000000000000};
    /* clang-format on */
    switch (fuzz_below(8)) {
    case 0: return old + 1 + fuzz_below(32);
    case 1: return old - 1 - fuzz_below(32);
    case 2: return fuzz_below(2) ? old * 2 : old / 2;
    case 3: return 0 - old;
    case 4: return fuzz_in.n + 8 - fuzz_below(17);
    case 5: return (uint64_t)fuzz_below(fuzz_in.n + 1) / 64 * 64;
    default: return values[fuzz_below(sizeof values / sizeof *values)];
    }
}

/* A number: mostly at a multiple of its size, mostly near the beginning. */
static void fuzz_number(void) {
    const size_t size = fuzz_below(8) ? (size_t)4 << fuzz_below(2) : (size_t)1 << fuzz_below(2);
    if (fuzz_window() < size) return;
    const size_t begin = fuzz_below(2) ? 128 : 512; /* a .llama file's header has 256, its layers' kinds follow */
    const size_t room = fuzz_window() - size + 1, near = fuzz_below(4) ? begin : room;
    size_t offset = fuzz_below(near < room ? near : room);
    if (fuzz_below(4)) offset -= offset % (size < 4 ? size : 4);
    const size_t at = fuzz_in.begin + offset;
    const uint64_t value = fuzz_below(6) ? fuzz_interesting(fuzz_get(at, size)) /* or that of another field */
                                         : fuzz_get(fuzz_in.begin + fuzz_below(room) / size * size, size);
    fuzz_put_at(at, value, size);
}

static void fuzz_damage(void);

/* Damages what lies in [begin, end), and returns how much longer that has become. */
static size_t fuzz_inside(size_t begin, size_t end) {
    const size_t old_begin = fuzz_in.begin, old_end = fuzz_in.end, n = fuzz_in.n;
    fuzz_in.begin = begin, fuzz_in.end = end;
    fuzz_damage();
    fuzz_in.begin = old_begin, fuzz_in.end = old_end + (fuzz_in.n - n);
    return fuzz_in.n - n;
}

/* A part behind its length, which is kept true: a safetensors header, a GGUF string, a piece of a tokenizer.bin. */
static void fuzz_measured(void) {
    const size_t size = fuzz_below(2) ? 8 : 4;
    size_t at = fuzz_below(4) ? fuzz_place() : fuzz_in.begin;
    for (int i = 0; i < 400 && at + size < fuzz_in.end; i++, at++) {
        const uint64_t length = fuzz_get(at, size);
        if (!length || length > fuzz_in.end - at - size || (length > 255 && fuzz_below(4))) continue;
        fuzz_put_at(at, length + fuzz_inside(at + size, at + size + (size_t)length), size);
        return;
    }
}

/* A varint at p, of at most n bytes: how many it has, 0 if it does not end. */
static size_t fuzz_varint(size_t at, size_t end, uint64_t *value) {
    *value = 0;
    for (size_t i = 0; i < 10 && at + i < end; i++) {
        *value |= (uint64_t)(fuzz_in.p[at + i] & 127) << 7 * i;
        if (fuzz_in.p[at + i] < 128) return i + 1;
    }
    return 0;
}

static size_t fuzz_encode_varint(uint64_t value, unsigned char out[10]) {
    size_t n = 0;
    for (; value > 127; value >>= 7) out[n++] = (unsigned char)(value | 128);
    out[n++] = (unsigned char)value;
    return n;
}

/* Where in the window's fields, if it is a protocol buffer, one of them begins: all are as likely. Sets what follows
 * its tag: a number, or a length before bytes. */
static int fuzz_find_field(int *wire, size_t *at, size_t *n, uint64_t *value) {
    int found = 0;
    for (size_t p = fuzz_in.begin; p < fuzz_in.end;) {
        uint64_t tag, x;
        const size_t n_tag = fuzz_varint(p, fuzz_in.end, &tag);
        const size_t n_value = n_tag ? fuzz_varint(p + n_tag, fuzz_in.end, &x) : 0;
        if (!n_tag || ((tag & 7) != 1 && (tag & 7) != 5 && !n_value)) break;
        if (((tag & 7) == 0 || (tag & 7) == 2) && fuzz_below((size_t)++found) == 0)
            *wire = (int)(tag & 7), *at = p + n_tag, *n = n_value, *value = x;
        p += n_tag;
        if ((tag & 7) == 1 || (tag & 7) == 5) p += (tag & 7) == 1 ? 8 : 4;
        else p += n_value + ((tag & 7) == 2 && x <= fuzz_in.end - p ? (size_t)x : 0);
    }
    return found > 0;
}

/* A field of a protocol buffer: another number; or other bytes, and their length true. */
static void fuzz_field(void) {
    unsigned char bytes[10];
    size_t at = 0, n = 0;
    uint64_t value = 0;
    int wire = 0;
    if (!fuzz_find_field(&wire, &at, &n, &value)) return;
    const size_t end = at + n + (size_t)value;
    if (wire == 2 && value <= fuzz_in.end - at - n) value += fuzz_inside(at + n, end);
    else value = fuzz_interesting(value);
    const size_t size = fuzz_encode_varint(value, bytes);
    fuzz_replace(at, n, bytes, size);
}

/* ---------------------------------------------------------------------------------------------------
 * Ways to damage it: texts
 * ------------------------------------------------------------------------------------------------- */

/* A place in a text. Where there are brackets there is structure, but a vocabulary is most of the bytes. */
static size_t fuzz_text_place(void) {
    size_t at = fuzz_place();
    if (fuzz_below(3) == 0) return at;
    for (size_t brackets = 1 + fuzz_below(6); at < fuzz_in.end && brackets; at++)
        brackets -= memchr("{[]}", fuzz_in.p[at], 4) != NULL;
    at += fuzz_below(24);
    return at < fuzz_in.end ? at : fuzz_place();
}

/* One of the target's words. */
static void fuzz_word(void) {
    const char *word = fuzz_now->words;
    size_t lines = 1, n;
    for (const char *p = word; *p; p++) lines += *p == '\n';
    for (size_t line = fuzz_below(lines); line; line--) word = strchr(word, '\n') + 1;
    n = strcspn(word, "\n");
    const size_t at = fuzz_text_place(), left = fuzz_in.end - at;
    if (n) fuzz_replace(at, fuzz_below(2) ? 0 : left < n ? left : n, word, n);
}

static int fuzz_is_digit(size_t at) { return fuzz_in.p[at] >= '0' && fuzz_in.p[at] <= '9'; }

/* A number written in digits. */
static void fuzz_digits(void) {
    /* clang-format off */
    static const char *const numbers[] = {
        "0", "1", "-1", "2", "3", "7", "255", "256", "65536", "65537", "134217728", "268435456", "268435457",
        "2147483647", "2147483648", "4294967295", "4294967296", "9007199254740991", "9007199254740992",
        "18446744073709551616", "1e30", "1e308", "1e999", "0.5", "1e-320", "-0", "1e-46", "3.5e38",
        "99999999999999999999999"};
    /* clang-format on */
    size_t at = fuzz_text_place(), n = 0;
    while (at < fuzz_in.end && !fuzz_is_digit(at)) at++;
    while (at + n < fuzz_in.end && fuzz_is_digit(at + n)) n++;
    if (!n) return;
    char text[32];
    if (n < 9 && fuzz_below(2)) {
        long value = 0;
        for (size_t i = 0; i < n; i++) value = 10 * value + (fuzz_in.p[at + i] - '0');
        snprintf(text, sizeof text, "%ld", value + (long)fuzz_below(9) - 4);
    } else {
        snprintf(text, sizeof text, "%s", numbers[fuzz_below(sizeof numbers / sizeof *numbers)]);
    }
    fuzz_replace(at, n, text, strlen(text));
}

/* A value of a JSON text that begins behind a place: its beginning, and its size in *n. */
static size_t fuzz_find_value(size_t *n) {
    size_t at = fuzz_text_place();
    int depth = 0, quoted = 0;
    while (at < fuzz_in.end && !memchr("{[\"", fuzz_in.p[at], 3) && !fuzz_is_digit(at)) at++;
    *n = 0;
    for (size_t p = at; p < fuzz_in.end; p++) {
        const unsigned char c = fuzz_in.p[p];
        if (c == '"') quoted = !quoted;
        if (!quoted) depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
        *n = p + 1 - at;
        if (depth <= 0 && !quoted && (p + 1 == fuzz_in.end || !fuzz_is_digit(p + 1))) break;
    }
    return at;
}

/* A value instead of another, with the comma behind it or not; or none. */
static void fuzz_value(void) {
    size_t n_from, n_to;
    const size_t from = fuzz_find_value(&n_from);
    if (fuzz_below(2) && from + n_from < fuzz_in.end) n_from++;
    const size_t to = fuzz_find_value(&n_to);
    if (n_from > 4096) return;
    switch (fuzz_below(3)) {
    case 0: fuzz_replace(to, n_to, fuzz_in.p + from, n_from); break;
    case 1: fuzz_replace(to, 0, fuzz_in.p + from, n_from); break;
    default: fuzz_replace(from, n_from, NULL, 0); break;
    }
}

/* One change. Where there are words there is text; but among it may be numbers in binary. */
static void fuzz_damage(void) {
    static void (*const any[])(void) = {fuzz_flip, fuzz_set, fuzz_delete, fuzz_cut, fuzz_copy, fuzz_fill, fuzz_splice};
    static void (*const binary[])(void) = {fuzz_number, fuzz_number, fuzz_number, fuzz_measured, fuzz_field};
    static void (*const text[])(void) = {fuzz_word, fuzz_word, fuzz_digits, fuzz_value, fuzz_measured};
    if (fuzz_below(8) < 3) any[fuzz_below(sizeof any / sizeof *any)]();
    else if (*fuzz_now->words && fuzz_below(3)) text[fuzz_below(sizeof text / sizeof *text)]();
    else binary[fuzz_below(sizeof binary / sizeof *binary)]();
}

/* ---------------------------------------------------------------------------------------------------
 * What is new
 * ------------------------------------------------------------------------------------------------- */

static unsigned char fuzz_map[FUZZ_MAP]; /* how often each edge was taken by the input */
static uintptr_t fuzz_before;            /* the place before this one */
static int fuzz_traced;                  /* 1: places are reported */

#ifdef __GNUC__
/* Called a lot. */
void __sanitizer_cov_trace_pc(void) __attribute__((no_sanitize_address, no_sanitize_undefined));
void __sanitizer_cov_trace_pc(void) {
    const uintptr_t at = (uintptr_t)__builtin_return_address(0) - (uintptr_t)fuzz_targets; /* the same in every run */
    const uintptr_t place = (at * 0x9E3779B1u & 0xFFFFFFFFu) >> 16;
    fuzz_map[(place ^ fuzz_before) % FUZZ_MAP]++;
    fuzz_before = place >> 1;
    fuzz_traced = 1;
}
#endif

/* Words outside quotation marks, up to the twelfth, count as a place. */
static void fuzz_on_words(const char *text) {
    uint32_t hash = 2166136261u;
    int quoted = 0, words = 0;
    for (; *text && words < 12; text++) {
        const int is_letter = (*text >= 'a' && *text <= 'z') || *text == '_';
        quoted ^= *text == '"';
        words += *text == ' ';
        if (is_letter && !quoted) hash = (hash ^ (unsigned char)*text) * 16777619u;
    }
    fuzz_map[(hash ^ hash >> 16) % FUZZ_MAP] = 1;
}

/* Counts by powers of two: a bit for each. */
static unsigned char fuzz_bit(unsigned char count) {
    unsigned char bit = 1;
    for (unsigned c = count; c > 1 && bit < 128; c >>= 1) bit = (unsigned char)(bit << 1);
    return bit;
}

/* Adds the map to what was seen, and clears it. Returns how many of its bits are new; *edges counts the new edges. */
static int fuzz_news(unsigned char *seen, long *edges) {
    int news = 0;
    for (size_t i = 0; i < FUZZ_MAP; i += 8) {
        uint64_t some;
        memcpy(&some, fuzz_map + i, 8);
        if (!some) continue;
        for (size_t k = i; k < i + 8; k++) {
            const unsigned char bit = fuzz_map[k] ? fuzz_bit(fuzz_map[k]) : 0;
            if (!(bit & ~seen[k])) continue;
            *edges += !seen[k];
            seen[k] |= bit;
            news++;
        }
        memset(fuzz_map + i, 0, 8);
    }
    fuzz_before = 0;
    return news;
}

/* ---------------------------------------------------------------------------------------------------
 * Failures: the input at work is written where nothing but system calls is sure to work
 * ------------------------------------------------------------------------------------------------- */

static const char *fuzz_program = "fuzz", *fuzz_directory = ".";
static char fuzz_path[300];     /* of the input that fails */
static long fuzz_fail_at;       /* the allocation that fails */
static volatile long fuzz_runs; /* inputs tried, of all targets */
static int fuzz_saving;         /* 1: an input of our own making is at work */

static void fuzz_say(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

static void fuzz_say_number(long number) {
    char digits[24], *p = digits + sizeof digits - 1;
    *p = 0;
    do *--p = (char)('0' + number % 10);
    while (number /= 10);
    fuzz_say(p);
}

static void fuzz_save_input(void) {
    if (!fuzz_saving) return;
    fuzz_saving = 0;
    const int file = open(fuzz_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    size_t done = 0;
    for (ssize_t n; file >= 0 && done < fuzz_in.n; done += (size_t)n)
        if ((n = write(file, fuzz_in.p + done, fuzz_in.n - done)) <= 0) break;
    if (file >= 0) close(file);
    fuzz_say("\nFAILED: "), fuzz_say(fuzz_now->name), fuzz_say(", input "), fuzz_say_number(fuzz_corpus_runs());
    fuzz_say(". To repeat: "), fuzz_say(fuzz_program);
    if (fuzz_fail_at) fuzz_say(" -a "), fuzz_say_number(fuzz_fail_at);
    fuzz_say(" "), fuzz_say(fuzz_now->name), fuzz_say(" "), fuzz_say(fuzz_path), fuzz_say("\n");
}

static void fuzz_on_signal(int number) {
    fuzz_save_input();
    signal(number, SIG_DFL);
    raise(number);
}

/* Once a second of processor time. */
static void fuzz_on_tick(int number) {
    static long runs, ticks;
    ticks = runs == fuzz_runs ? ticks + 1 : 0;
    runs = fuzz_runs;
    if (ticks < FUZZ_PATIENCE) return;
    fuzz_say("an input takes too long\n");
    fuzz_on_signal(number == SIGPROF ? SIGABRT : number);
}

#ifdef __GNUC__
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));
#endif

static void fuzz_handle(int number, void (*handler)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigaction(number, &action, NULL);
}

static void fuzz_catch(void) {
    static const int numbers[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    size_t n = sizeof numbers / sizeof *numbers;
#ifdef __GNUC__
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(fuzz_save_input);
        n = 1; /* the sanitizer reports on the others */
    }
#endif
    for (size_t i = 0; i < n; i++) fuzz_handle(numbers[i], fuzz_on_signal);
    fuzz_handle(SIGPROF, fuzz_on_tick);
    const struct itimerval second = {{1, 0}, {1, 0}};
    setitimer(ITIMER_PROF, &second, NULL);
}

/* ---------------------------------------------------------------------------------------------------
 * Running
 * ------------------------------------------------------------------------------------------------- */

struct fuzz_corpus {
    struct {
        unsigned char *p;
        size_t n;
    } kept[FUZZ_KEPT];
    size_t n, n_seeds;
    long runs, accepted, edges;
    uint64_t state; /* random numbers of its own, so that the same inputs come whatever the other targets do */
    unsigned char seen[FUZZ_MAP];
};

static const unsigned char *fuzz_other(size_t *size) {
    const size_t i = fuzz_below(fuzz_kept->n);
    *size = fuzz_kept->kept[i].n;
    return fuzz_kept->kept[i].p;
}

static long fuzz_corpus_runs(void) { return fuzz_kept->runs; }

static double fuzz_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fuzz_keep(fuzz_corpus *c, const void *data, size_t size) {
    size_t i = c->n;
    if (i < FUZZ_KEPT) c->n++;
    else i = c->n_seeds + fuzz_below(FUZZ_KEPT - c->n_seeds), free(c->kept[i].p);
    c->kept[i].p = malloc(size ? size : 1);
    if (!c->kept[i].p) exit(1);
    if (size) memcpy(c->kept[i].p, data, size);
    c->kept[i].n = size;
}

/* Gives the input at work to the target, and keeps it if it led somewhere new. */
static int fuzz_try(fuzz_corpus *c) {
    fuzz_saving = 1;
    const int accepted = fuzz_run(fuzz_now, fuzz_in.p, fuzz_in.n, fuzz_fail_at);
    fuzz_saving = 0;
    fuzz_runs++;
    c->runs++;
    c->accepted += accepted;
    if (fuzz_news(c->seen, &c->edges) && !fuzz_fail_at && c->runs > (long)c->n_seeds)
        fuzz_keep(c, fuzz_in.p, fuzz_in.n);
    return accepted;
}

static void fuzz_load(const void *data, size_t size) {
    fuzz_in.n = size < FUZZ_ROOM ? size : FUZZ_ROOM;
    if (size) memcpy(fuzz_in.p, data, fuzz_in.n);
    fuzz_in.begin = 0;
    fuzz_in.end = fuzz_in.n;
}

static void fuzz_add_seed(void *user, const void *data, size_t size) {
    fuzz_keep(user, data, size);
    ((fuzz_corpus *)user)->n_seeds++;
}

/* One input: a kept one, of late ones more often, with some changes. One in 32 runs out of memory on the way. */
static void fuzz_step(fuzz_corpus *c) {
    const size_t recent = c->n < 64 ? c->n : 64, i = fuzz_below(2) ? fuzz_below(c->n) : c->n - 1 - fuzz_below(recent);
    fuzz_load(c->kept[i].p, c->kept[i].n);
    for (size_t changes = (size_t)1 << fuzz_below(4); changes; changes--) fuzz_damage();
    fuzz_fail_at = fuzz_below(32) ? 0 : 1 + (long)fuzz_below(60);
    fuzz_try(c);
    fuzz_fail_at = 0;
}

/* Makes c the corpus at work, with the seeds in it. Returns how many of them are not accepted. */
static int fuzz_begin(fuzz_corpus *c, const fuzz_target *target, uint64_t seed) {
    int refused = 0;
    snprintf(fuzz_path, sizeof fuzz_path, "%s/fuzz-%s-%08lx", fuzz_directory, target->name,
             (unsigned long)(time(NULL) ^ (long)getpid() << 16) & 0xFFFFFFFF);
    fuzz_now = target;
    fuzz_kept = c;
    if (!c->n) {
        for (const char *p = target->name; *p; p++) seed = seed * 31 + (unsigned char)*p;
        c->state = seed;
        fuzz_seeds(target, fuzz_add_seed, c);
        for (size_t i = 0, n = c->n; i < n; i++) {
            fuzz_load(c->kept[i].p, c->kept[i].n);
            refused += !fuzz_try(c);
        }
    }
    fuzz_state = c->state;
    return refused;
}

/* Tries inputs for some time, or as many as are left of some number. */
static void fuzz_slice(fuzz_corpus *c, double seconds, long runs) {
    const double end = fuzz_seconds() + seconds;
    fuzz_on_refusal = fuzz_traced ? NULL : fuzz_on_words;
    while (c->runs < runs) {
        fuzz_step(c);
        if (c->runs % 16 == 0 && fuzz_seconds() > end) break;
    }
    c->state = fuzz_state;
}

static void fuzz_end(fuzz_corpus *c) {
    for (size_t i = 0; i < c->n; i++) free(c->kept[i].p);
    free(c);
}

/* ---------------------------------------------------------------------------------------------------
 * Arguments
 * ------------------------------------------------------------------------------------------------- */

#ifndef FUZZ_NO_MAIN

static struct {
    double seconds;
    long runs;
    uint64_t seed;
    const char *seeds_to;
    int chosen[FUZZ_TARGETS], n_chosen;
    char **files;
    int n_files;
} fuzz_arg = {.seconds = 10, .runs = -1, .seed = 1};

static int fuzz_usage(const char *why, const char *what) {
    fprintf(stderr, "%s: %s%s\n", fuzz_program, why, what);
    fprintf(stderr, "usage: %s [-t SECONDS] [-n INPUTS] [-s SEED] [-a N] [-o DIR] [-w DIR] [TARGET...] [FILE...]\n",
            fuzz_program);
    fprintf(stderr, "targets:");
    for (const fuzz_target *t = fuzz_targets; t->name; t++) fprintf(stderr, " %s", t->name);
    fprintf(stderr, "\n");
    return 2;
}

/* A name that is no target's is a file's, and so are all after it. */
static int fuzz_parse(int argc, char **argv) {
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!value || !argv[i][1] || argv[i][2]) return fuzz_usage("unknown option or no value: ", argv[i]);
        switch (argv[i][1]) {
        case 't': fuzz_arg.seconds = atof(value); break;
        case 'n': fuzz_arg.runs = atol(value); break;
        case 's': fuzz_arg.seed = strtoull(value, NULL, 10); break;
        case 'a': fuzz_fail_at = atol(value); break;
        case 'o': fuzz_directory = value; break;
        case 'w': fuzz_arg.seeds_to = value; break;
        default: return fuzz_usage("unknown option: ", argv[i]);
        }
    }
    for (; i < argc; i++) {
        int t = 0;
        while (fuzz_targets[t].name && strcmp(fuzz_targets[t].name, argv[i])) t++;
        if (!fuzz_targets[t].name) break;
        if (fuzz_arg.n_chosen < FUZZ_TARGETS) fuzz_arg.chosen[fuzz_arg.n_chosen++] = t;
    }
    fuzz_arg.files = argv + i, fuzz_arg.n_files = argc - i;
    if (fuzz_arg.n_files && !fuzz_arg.n_chosen) return fuzz_usage("no target: ", argv[i]);
    return 0;
}

/* Runs the targets on files. */
static int fuzz_repeat(void) {
    for (int i = 0; i < fuzz_arg.n_files; i++) {
        FILE *file = fopen(fuzz_arg.files[i], "rb");
        if (!file) return perror(fuzz_arg.files[i]), 1;
        fuzz_in.n = fread(fuzz_in.p, 1, FUZZ_ROOM, file);
        fclose(file);
        for (int t = 0; t < fuzz_arg.n_chosen; t++) {
            fuzz_now = &fuzz_targets[fuzz_arg.chosen[t]];
            const int accepted = fuzz_run(fuzz_now, fuzz_in.p, fuzz_in.n, fuzz_fail_at);
            printf("%s: %s: %s\n", fuzz_now->name, fuzz_arg.files[i], accepted ? "accepted" : "refused");
        }
    }
    return 0;
}

static void fuzz_write_seed(void *user, const void *data, size_t size) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s-%d", fuzz_arg.seeds_to, fuzz_now->name, (*(int *)user)++);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file)) exit((perror(path), 1));
}

static void fuzz_report(fuzz_corpus **corpora, double seconds) {
    long runs = 0;
    printf("%-14s %12s %12s %8s %8s\n", "target", "inputs", "accepted", "kept", "edges");
    for (int i = 0; i < fuzz_arg.n_chosen; i++) {
        const fuzz_corpus *c = corpora[i];
        printf("%-14s %12ld %12ld %8zu %8ld\n", fuzz_targets[fuzz_arg.chosen[i]].name, c->runs, c->accepted, c->n,
               c->edges);
        runs += c->runs;
    }
    printf("%-14s %12ld in %.0f s\n", "all", runs, seconds);
    fflush(stdout);
}

/* All targets in turn, some time each, so that a run that is ended early has looked at all of them. */
static int fuzz_all(void) {
    fuzz_corpus *corpora[FUZZ_TARGETS];
    const long runs = fuzz_arg.runs < 0 ? 0x7FFFFFFF : fuzz_arg.runs;
    const double start = fuzz_seconds(), share = fuzz_arg.seconds / fuzz_arg.n_chosen;
    double reported = start;
    int refused = 0, left = fuzz_arg.n_chosen;
    for (int i = 0; i < fuzz_arg.n_chosen; i++)
        if (!(corpora[i] = calloc(1, sizeof *corpora[i]))) return 1;
    while (left && (fuzz_arg.runs >= 0 || fuzz_seconds() - start < fuzz_arg.seconds)) {
        left = 0;
        for (int i = 0; i < fuzz_arg.n_chosen; i++) {
            fuzz_corpus *c = corpora[i];
            const int bad = fuzz_begin(c, &fuzz_targets[fuzz_arg.chosen[i]], fuzz_arg.seed);
            if (bad) fprintf(stderr, "%s: %d seeds are refused\n", fuzz_now->name, bad);
            refused += bad;
            fuzz_slice(c, share < 1 ? share : 1, runs);
            left += c->runs < runs;
        }
        if (fuzz_seconds() - reported > 300) fuzz_report(corpora, (reported = fuzz_seconds()) - start);
    }
    fuzz_report(corpora, fuzz_seconds() - start);
    for (int i = 0; i < fuzz_arg.n_chosen; i++) fuzz_end(corpora[i]);
    return refused != 0;
}

int main(int argc, char **argv) {
    if (argc) fuzz_program = argv[0];
    const int wrong = fuzz_parse(argc, argv);
    if (wrong) return wrong;
    if (fuzz_arg.n_files) return fuzz_repeat();
    if (!fuzz_arg.n_chosen)
        for (; fuzz_targets[fuzz_arg.n_chosen].name && fuzz_arg.n_chosen < FUZZ_TARGETS; fuzz_arg.n_chosen++)
            fuzz_arg.chosen[fuzz_arg.n_chosen] = fuzz_arg.n_chosen;
    for (int i = 0; fuzz_arg.seeds_to && i < fuzz_arg.n_chosen; i++) {
        int n = 0;
        fuzz_now = &fuzz_targets[fuzz_arg.chosen[i]];
        fuzz_seeds(fuzz_now, fuzz_write_seed, &n);
    }
    if (fuzz_arg.seeds_to) return 0;
    fuzz_catch();
    return fuzz_all();
}
#endif
