/* test_checkpoint.c - files that are no checkpoints, or damaged ones, or made to do harm: each is refused with a
 * message that names the file, the field and the value, and none is read outside of its bytes.
 */
#if defined(__unix__) || defined(__APPLE__)
#define HAVE_POSIX
#define _XOPEN_SOURCE 700 /* pipe, stat */
#endif

#include "../llama.h"
#include "test.h"

#include "checkpoint.c"
#include "reference.c"

#include <limits.h>

#ifdef HAVE_POSIX
#include <sys/stat.h>
#include <unistd.h>
#endif

static const checkpoint_shape small = {0, 4, 6, 2, 2, 1, 5, 3, 0, 2}; /* version and shared as a test wants them */

static checkpoint make(int version, int shared) {
    checkpoint_shape s = small;
    s.version = version, s.shared = shared;
    return checkpoint_make(s, 1);
}

/* The bytes in a block of exactly their size: a sanitizer sees every read beyond the end. */
static unsigned char *exact_copy(const void *data, size_t size) {
    unsigned char *p = xmalloc(size);
    if (size) memcpy(p, data, size);
    return p;
}

/* An allocator that remembers the largest request: a file's claims must not decide what is allocated. */
static size_t largest;
static void *watched_alloc(void *user, size_t size) {
    (void)user;
    if (size > largest) largest = size;
    return size > 1 << 28 ? NULL : malloc(size);
}
static void watched_free(void *user, void *p) { (void)user, free(p); }

/* Loads size bytes from memory, and from a file too if that is asked for. Both must fail with a message that holds the
 * two texts (NULL: any), the second one with the file's name in it. */
static void refused(const void *data, size_t size, const char *what, const char *value, int from_file) {
    unsigned char *bytes = exact_copy(data, size);
    for (int way = 0; way < (from_file ? 3 : 1); way++) {
        char path[64] = "";
        llama_error err;
        llama_options o = {0};
        llama_model *m;
        memset(&err, 0, sizeof err);
        o.copy = way == 2;
        if (way) {
            snprintf(path, sizeof path, "%s", temporary_path());
            if (!CHECK(write_file(path, bytes, size))) break;
            m = llama_load(path, &o, &err);
            CHECK(llama_load(path, &o, NULL) == NULL);
            remove(path);
        } else {
            o.alloc = watched_alloc, o.release = watched_free;
            largest = 0;
            m = llama_load_memory(bytes, size, &o, &err);
            CHECK(llama_load_memory(bytes, size, NULL, NULL) == NULL);
            CHECK(largest <= size + 4096);
        }
        int ok = CHECK(m == NULL) & CHECK(err.code == LLAMA_BAD_FILE) & CHECK(err.text[0] != 0) &
                 CHECK(memchr(err.text, 0, sizeof err.text) != NULL);
        ok &= CHECK(!strchr(err.text, '\n')) & CHECK(!way || strstr(err.text, path));
        ok &= CHECK(!what || strstr(err.text, what)) & CHECK(!value || strstr(err.text, value));
        if (!ok) printf("  wanted %s %s, got: %s\n", what ? what : "-", value ? value : "-", err.text);
        llama_free(m);
    }
    free(bytes);
}

/* A header of the caller's making; the rest of p is left alone. */
static void put_fields(unsigned char *p, int version, const int fields[7], int shared, int group_size) {
    memset(p, 0, version ? 256 : 28);
    if (version) checkpoint_put_int(p, 0x616b3432), checkpoint_put_int(p + 4, version);
    if (version) p[OFFSET_SHARED] = (unsigned char)shared;
    if (version == 2) checkpoint_put_int(p + OFFSET_GROUP_SIZE, group_size);
    for (int i = 0; i < 7; i++) checkpoint_put_int(p + checkpoint_field(version, i), fields[i]);
}

/* ---- One field at a time ---- */

static const char *const field_names[] = {"dim",        "hidden_dim", "n_layers", "n_heads",
                                          "n_kv_heads", "vocab_size", "seq_len"};

/* The small checkpoint with one field changed. */
static void field_refused(int version, int field, int value, const char *what) {
    checkpoint c = make(version, 1);
    char text[32];
    snprintf(text, sizeof text, "%d", value);
    checkpoint_put_int(c.bytes + checkpoint_field(version, field), value);
    refused(c.bytes, c.size, what, text, 1);
    checkpoint_free(&c);
}

static void test_fields(void) {
    static char name[7][64];
    for (int field = FIELD_DIM; field <= FIELD_SEQ_LEN; field++) {
        snprintf(name[field], sizeof name[field], "%s: zero, negative, absurd", field_names[field]);
        TEST(name[field]) {
            for (int version = 0; version <= 2; version++) {
                static const int values[] = {0, -1, -4, INT_MIN, INT_MIN + 1, INT_MAX, INT_MAX - 1, 1 << 30};
                for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
                    /* In version 0 a negative vocabulary means a separate classifier: it is the size that is wrong. */
                    int separate = version == 0 && field == FIELD_VOCAB_SIZE && values[i] < 0 && values[i] >= -4;
                    if (!separate) field_refused(version, field, values[i], field_names[field]);
                }
            }
        }
    }
    TEST("heads that do not divide dim, an odd head_dim, kv heads that do not divide heads") {
        for (int version = 0; version <= 2; version++) {
            field_refused(version, FIELD_N_HEADS, 3, "n_heads");
            field_refused(version, FIELD_N_HEADS, 8, "n_heads"); /* more heads than dim */
            field_refused(version, FIELD_DIM, 5, "dim");
            field_refused(version, FIELD_N_KV_HEADS, 3, "n_kv_heads");
            field_refused(version, FIELD_N_KV_HEADS, 4, "n_kv_heads");
            checkpoint c = make(version, 1);
            checkpoint_put_int(c.bytes + checkpoint_field(version, FIELD_N_HEADS), 4);
            refused(c.bytes, c.size, "head_dim", "1", 1);
            checkpoint_put_int(c.bytes + checkpoint_field(version, FIELD_DIM), 12);
            refused(c.bytes, c.size, "head_dim", "3", 1);
            checkpoint_free(&c);
        }
    }
    TEST("a version that is not known") {
        static const int versions[] = {0, 3, -1, INT_MIN, INT_MAX};
        for (int i = 0; i < 5; i++) {
            checkpoint c = make(1, 1);
            char text[32];
            snprintf(text, sizeof text, "%d", versions[i]);
            checkpoint_put_int(c.bytes + 4, versions[i]);
            refused(c.bytes, c.size, "version", text, 1);
            checkpoint_free(&c);
        }
    }
    TEST("a flag that is neither 0 nor 1") {
        for (int version = 1; version <= 2; version++) {
            for (int flag = 2; flag < 256; flag += 11) {
                checkpoint c = make(version, 1);
                char text[32];
                snprintf(text, sizeof text, "%d", flag);
                c.bytes[OFFSET_SHARED] = (unsigned char)flag;
                refused(c.bytes, c.size, "shared", text, flag == 2);
                checkpoint_free(&c);
            }
        }
    }
    TEST("a group size that is zero, negative, or does not divide") {
        static const int sizes[] = {0, -1, -2, INT_MIN, 3, 7, 64, INT_MAX};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            checkpoint c = make(2, 1);
            char text[32];
            snprintf(text, sizeof text, "%d", sizes[i]);
            checkpoint_put_int(c.bytes + OFFSET_GROUP_SIZE, sizes[i]);
            refused(c.bytes, c.size, "group", text, 1);
            checkpoint_free(&c);
        }
    }
}

/* ---- The file's size ---- */

static void test_sizes(void) {
    TEST("every truncation, every version, shared or not") {
        for (int i = 0; i < 6; i++) {
            checkpoint c = make(i / 2, i % 2);
            char have[32], want[32];
            snprintf(want, sizeof want, "%lu", (unsigned long)c.size);
            for (size_t size = 0; size < c.size; size++) {
                int body = size >= c.header_size; /* shorter, the header cannot tell */
                snprintf(have, sizeof have, "%lu", (unsigned long)size);
                refused(c.bytes, size, have, body ? want : NULL, size % 61 == 0 || size < 2);
            }
            checkpoint_free(&c);
        }
    }
    TEST("bytes behind the end") {
        for (int i = 0; i < 6; i++) {
            checkpoint c = make(i / 2, i % 2);
            for (size_t more = 1; more < 10000; more = more * 3 + 1) {
                unsigned char *longer = xmalloc(c.size + more);
                char have[32], want[32];
                memset(longer, 0, c.size + more);
                memcpy(longer, c.bytes, c.size);
                snprintf(want, sizeof want, "%lu", (unsigned long)c.size);
                snprintf(have, sizeof have, "%lu", (unsigned long)(c.size + more));
                refused(longer, c.size + more, have, want, more == 1);
                free(longer);
            }
            checkpoint_free(&c);
        }
    }
    TEST("a shared classifier that is there, a separate one that is not") {
        for (int i = 0; i < 6; i++) {
            int version = i / 2;
            checkpoint c = make(version, i % 2);
            char have[32];
            snprintf(have, sizeof have, "%lu", (unsigned long)c.size);
            if (version) c.bytes[OFFSET_SHARED] ^= 1;
            else checkpoint_put_int(c.bytes + checkpoint_field(0, FIELD_VOCAB_SIZE), c.shape.shared ? -5 : 5);
            refused(c.bytes, c.size, have, NULL, 1);
            checkpoint_free(&c);
        }
    }
    TEST("sizes that wrap 32 bits to exactly the file's") {
        /* With dim 65536 every matrix is a multiple of 4 GiB, so that 32 bits see the embedding and the norms only. */
        for (int version = 0; version <= 1; version++) {
            size_t header = version ? 256 : 28, floats = 65536 * (version ? 4 : 5); /* 3 norms, a row; a rotary table */
            size_t size = header + 4 * floats;
            unsigned char *p = xmalloc(size);
            static const int fields[] = {65536, 65536, 1, 1, 1, 1, 1};
            char have[32];
            memset(p, 0, size);
            put_fields(p, version, fields, 1, 0);
            snprintf(have, sizeof have, "%lu", (unsigned long)size);
            refused(p, size, sizeof(size_t) > 4 ? have : NULL, "header implies", 1);
            free(p);
        }
    }
    TEST("sizes that wrap 64 bits") {
        /* dim^2 floats are 2^58 bytes; 64 layers of them are 2^64. */
        for (int version = 0; version <= 2; version++) {
            for (int layers = 1; layers <= 256; layers *= 2) {
                unsigned char p[1 << 15] = {0};
                int fields[] = {1 << 28, 1 << 28, layers, 1, 1, 1 << 28, 1};
                put_fields(p, version, fields, 1, 1);
                refused(p, sizeof p, "header implies", NULL, layers == 64);
            }
        }
    }
    TEST("a header's claims are not believed before the file is as long") {
        /* As many layers as might seem to fit into a megabyte; refused() watches what is allocated. */
        size_t size = 1 << 20;
        unsigned char *p = xmalloc(size);
        memset(p, 0, size);
        for (int version = 0; version <= 2; version++) {
            for (int layers = 1000; layers < 1 << 28; layers *= 2) {
                int fields[] = {2, 1, 0, 1, 1, 1, 1};
                fields[FIELD_N_LAYERS] = layers;
                put_fields(p, version, fields, 1, 1);
                refused(p, size, NULL, NULL, 0);
            }
        }
        free(p);
    }
}

/* ---- What is no checkpoint at all ---- */

static void path_refused(const char *path, const char *what) {
    for (int copy = 0; copy < 2; copy++) {
        llama_error err;
        llama_options o = {0};
        memset(&err, 0, sizeof err);
        o.copy = copy;
        llama_model *m = llama_load(path, &o, &err);
        int ok = CHECK(m == NULL) & CHECK(memchr(err.text, 0, sizeof err.text) != NULL);
        ok &= CHECK(!strchr(err.text, '\n')) & CHECK(strstr(err.text, what));
        if (!ok) printf("  wanted %s, got: %s\n", what, err.text);
        CHECK(llama_load(path, &o, NULL) == NULL);
        llama_free(m);
    }
}

static void test_strangers(void) {
    TEST("an empty file") { refused("", 0, "0 bytes", NULL, 1); }
    TEST("a web page, and other files that are often saved by mistake") {
        char page[2000];
        memset(page, ' ', sizeof page);
        memcpy(page, "<!DOCTYPE html>\n<html lang=\"en\">", 32);
        refused(page, sizeof page, "web page", NULL, 1);
        refused(page, 100, "web page", NULL, 1);
        memcpy(page, "version https://git-lfs.github.com/spec/v1", 42);
        refused(page, 130, "LFS", NULL, 1);
        memcpy(page, "GGUF\3\0\0\0", 8);
        refused(page, sizeof page, "GGUF", NULL, 1);
        memcpy(page, "PK\3\4", 4);
        refused(page, sizeof page, "zip", NULL, 1);
    }
    TEST("a checkpoint that begins like another format is still one") {
        static const int dims[] = {60, 316, 124}; /* their first bytes are those of "<", "<" and "|" */
        for (int i = 0; i < 3; i++) {
            checkpoint_shape s = {0, 0, 3, 1, 2, 1, 5, 2, 1, 2};
            llama_error err;
            s.dim = dims[i];
            checkpoint c = checkpoint_make(s, 1);
            llama_model *m = llama_load_memory(c.bytes, c.size, NULL, &err);
            if (!CHECK(m)) printf("  dim %d: %s\n", s.dim, err.text);
            llama_free(m);
            checkpoint_free(&c);
        }
    }
    TEST("bytes of one value, and random ones") {
        unsigned char p[1000];
        uint64_t seed = 9;
        for (int value = 0; value < 256; value++) {
            memset(p, value, sizeof p);
            refused(p, sizeof p, NULL, NULL, value % 64 == 0);
        }
        for (int i = 0; i < 300; i++) {
            for (size_t k = 0; k < sizeof p; k++) p[k] = (unsigned char)random_next(&seed);
            if (i % 2) checkpoint_put_int(p, 0x616b3432), checkpoint_put_int(p + 4, 1 + i / 2 % 2);
            refused(p, sizeof p, NULL, NULL, 0);
        }
    }
    TEST("a file that is not there") {
        path_refused("tests/there-is-no-such-file.bin", "tests/there-is-no-such-file.bin");
        path_refused("", "");                                       /* nothing to name */
        path_refused("tests/100%s%n%d.bin", "tests/100%s%n%d.bin"); /* a name is no format */
        path_refused("two\nlines", "lines");
    }
#ifdef HAVE_POSIX
    TEST("a directory") { path_refused("/", "/"); }
    TEST("a pipe is read to its end") {
        for (int version = 0; version <= 2; version++) {
            checkpoint c = make(version, 0);
            int fd[2];
            char path[32];
            llama_error err;
            if (!CHECK(pipe(fd) == 0)) break;
            CHECK(write(fd[1], c.bytes, c.size) == (ssize_t)c.size);
            close(fd[1]);
            snprintf(path, sizeof path, "/dev/fd/%d", fd[0]);
            llama_model *m = llama_load(path, NULL, &err);
            if (!CHECK(m)) printf("  %s\n", err.text);
            llama_free(m);
            close(fd[0]);
            checkpoint_free(&c);
        }
    }
#endif
    TEST("a very long name leaves room for what is wrong") {
        /* "./" hundreds of times before a file's name is the same file. */
        char path[1000] = "";
        checkpoint c = make(1, 1);
        const char *name = temporary_path();
        for (int i = 0; i < 400; i++) strcat(path, "./");
        strcat(path, name);
        checkpoint_put_int(c.bytes + 4, 33);
        if (CHECK(write_file(name, c.bytes, c.size))) path_refused(path, "version is 33");
        for (size_t n = 119; n <= 122; n++) { /* of a long one the last 120 bytes are shown */
            char slashes[200], shown[300];
            llama_error err = {0, ""};
            snprintf(slashes, sizeof slashes, ".%0*d%s", (int)(n - 1 - strlen(name)), 0, name);
            for (char *z = slashes + 1; z < slashes + n - strlen(name); z++) *z = '/';
            snprintf(shown, sizeof shown, "%s%s: ", n > 120 ? "..." : "", n > 120 ? slashes + n - 120 : slashes);
            CHECK(!llama_load(slashes, NULL, &err) && strncmp(err.text, shown, strlen(shown)) == 0);
        }
        remove(name);
        path_refused(path, "./");
        checkpoint_free(&c);
    }
}

/* ---- More than 4 GiB ---- */

#if defined(HAVE_POSIX) && !defined(LLAMA_NO_MMAP) && LONG_MAX > 0x7fffffff
/* 1 if a hole in a file takes no room. */
static int holes_are_free(const char *path) {
    struct stat st;
    FILE *f = fopen(path, "wb");
    if (!f) return 0;
    int ok = fseek(f, 64L << 20, SEEK_SET) == 0 && fputc(1, f) == 1;
    return fclose(f) == 0 && ok && stat(path, &st) == 0 && (long)st.st_blocks * 512 < 1L << 20;
}

/* A version 0 checkpoint whose rotary tables are a hole of 5 GiB: what lies behind it, the classifier, must still be
 * found. The tables are skipped, so that the logits are those of the same weights with short ones. */
static void test_huge(void) {
    const char *name = "a file of more than 4 GiB";
    checkpoint_shape s = {0, 256, 6, 2, 1, 1, 9, 3, 0, 2};
    const long seq_len = 5L << 20, position_bytes = 256 * 4;
    char path[64];
    snprintf(path, sizeof path, "%s", temporary_path());
    if (!holes_are_free(path)) {
        remove(path);
        SKIP(name, "no sparse files here");
        return;
    }
    TEST(name) {
        checkpoint c = checkpoint_make(s, 8);
        size_t tail = (size_t)(s.vocab_size * s.dim) * 4, head = c.size - tail - (size_t)(s.seq_len * position_bytes);
        checkpoint_put_int(c.bytes + checkpoint_field(0, FIELD_SEQ_LEN), (int)seq_len);
        FILE *f = fopen(path, "wb");
        int ok = f && fwrite(c.bytes, 1, head, f) == head;
        ok = ok && fseek(f, (long)head + seq_len * position_bytes, SEEK_SET) == 0;
        ok = ok && fwrite(c.bytes + c.size - tail, 1, tail, f) == tail;
        if (f) ok &= fclose(f) == 0;
        CHECK(ok);

        static const int tokens[] = {1, 8, 3, 0, 5};
        double want[5 * 9];
        llama_error err;
        llama_options o = {0};
        memset(&err, 0, sizeof err);
        o.n_ctx = 5;
        llama_model *m = llama_load(path, NULL, &err);
        llama_context *context = m ? llama_context_create(m, &o, &err) : NULL;
        const float *logits = context ? llama_forward(context, tokens, 5, &err) : NULL;
        if (!CHECK(logits)) printf("  %s\n", err.text);
        reference_forward(&c.model, tokens, 5, want, NULL);
        for (int i = 0; logits && i < 9; i++) CHECK_NEAR(logits[i], want[4 * 9 + i], 1e-3);
        llama_context_free(context);
        llama_free(m);

        /* One byte less: both sizes need more than 32 bits. */
        char have[32];
        snprintf(have, sizeof have, "%ld", (long)c.size + (seq_len - s.seq_len) * position_bytes - 1);
        if (CHECK(truncate(path, (off_t)c.size + (seq_len - s.seq_len) * position_bytes - 1) == 0)) {
            CHECK(llama_load(path, NULL, &err) == NULL);
            if (!CHECK(strstr(err.text, have))) printf("  %s\n", err.text);
        }
        checkpoint_free(&c);
    }
    remove(path);
}
#else
static void test_huge(void) { SKIP("a file of more than 4 GiB", "no mmap, or 32 bits"); }
#endif

/* ---- Mutations ---- */

/* Loads what may be a checkpoint; if it is one, three tokens go through it. All is well that no sanitizer minds. */
static int survives(const unsigned char *data, size_t size) {
    unsigned char *bytes = exact_copy(data, size);
    llama_error err;
    llama_options o = {0};
    memset(&err, 0, sizeof err);
    o.n_ctx = 3, o.n_threads = 1;
    o.alloc = watched_alloc, o.release = watched_free;
    llama_model *m = llama_load_memory(bytes, size, &o, &err);
    if (m) {
        int tokens[3] = {0, 0, 0};
        tokens[1] = llama_get_config(m)->vocab_size - 1;
        llama_context *c = llama_context_create(m, &o, &err);
        if (c) CHECK(llama_forward(c, tokens, 3, &err));
        else CHECK(err.text[0]);
        llama_context_free(c);
        llama_free(m);
    } else CHECK(err.text[0]);
    free(bytes);
    return m != NULL;
}

static void test_mutations(void) {
    TEST("random mutations do no harm") {
        uint64_t seed = 4242;
        int loaded = 0;
        for (int i = 0; i < 6; i++) {
            checkpoint c = make(i / 2, i % 2);
            for (int round = 0; round < 1500; round++) {
                unsigned char *p = exact_copy(c.bytes, c.size);
                size_t fields = c.shape.version ? 41 : 28, size = c.size;
                for (int k = random_int(&seed, 1, 6); k > 0; k--) {
                    size_t at = (size_t)random_int(&seed, 0, (int)(random_int(&seed, 0, 2) ? fields : c.size) - 1);
                    switch (random_int(&seed, 0, 3)) {
                    case 0: p[at] ^= (unsigned char)(1 << random_int(&seed, 0, 7)); break;
                    case 1: p[at] = (unsigned char)random_int(&seed, 0, 255); break;
                    case 2: /* one field becomes another small number, or an extreme one */
                        if (at + 4 <= c.size) {
                            int extreme = random_int(&seed, 0, 3) == 0, shift = random_int(&seed, 0, 30);
                            int value = extreme ? -(INT_MAX >> shift) : random_int(&seed, -8, 16);
                            checkpoint_put_int(p + at / 4 * 4, value);
                        }
                        break;
                    case 3: size = (size_t)random_int(&seed, 0, (int)c.size); break;
                    }
                    if (round % 3 && size < c.size) size = c.size;
                }
                loaded += survives(p, size);
                free(p);
            }
            checkpoint_free(&c);
        }
        CHECK(loaded > 500); /* weights of any bits are weights */
    }
    TEST("headers of small numbers, the file as long as they say") {
        /* All that passes the checks must also run: heads of every kind, groups of every kind. */
        uint64_t seed = 77;
        int loaded = 0;
        static unsigned char p[100000];
        for (size_t k = 0; k < sizeof p; k++) p[k] = (unsigned char)random_next(&seed);
        for (int i = 0; i < 2000; i++) {
            int version = i % 3, fields[7];
            for (int k = 0; k < 7; k++) fields[k] = random_int(&seed, 1, k == FIELD_DIM ? 24 : 8);
            if (i % 4) { /* most of them with heads that fit */
                fields[FIELD_N_HEADS] = fields[FIELD_N_KV_HEADS] * random_int(&seed, 1, 3);
                fields[FIELD_DIM] = fields[FIELD_N_HEADS] * 2 * random_int(&seed, 1, 3);
            }
            put_fields(p, version, fields, i / 3 % 2, random_int(&seed, 1, 9));
            /* The message says how long the file should be. */
            llama_error err;
            memset(&err, 0, sizeof err);
            llama_model *m = llama_load_memory(p, sizeof p, NULL, &err);
            CHECK(!m);
            const char *implied = strstr(err.text, "header implies ");
            unsigned long size = implied ? strtoul(implied + 15, NULL, 10) : 0;
            if (size && size < sizeof p) CHECK(survives(p, size)), loaded++;
        }
        CHECK(loaded > 500);
    }
}

int main(void) {
    test_fields();
    test_sizes();
    test_strangers();
    test_huge();
    test_mutations();
    return test_end();
}
