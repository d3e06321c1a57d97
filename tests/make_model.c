/* make_model.c - writes DIRECTORY/tiny.bin and DIRECTORY/tokenizer.bin: a model whose text is known by construction.
 *
 * A llama2.c checkpoint, version 0, in which attention and feed-forward add nothing (wo and w2 are zero), so that the
 * logits depend on the last token alone. Embeddings lie on a circle; the classifier row of a token's successor points
 * where that token lies, 1e5 times as far. So a greedy run says, from BOS: a space, which decoding takes off again,
 * "abcdefghijklmnopqrstuvwxyz", end of text. Digits go round for ever, "A" is followed by BOS, "N" by a zero byte and
 * then "M", and after "X", whose embedding is nan, nothing can be chosen.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { UNKNOWN, BOS, EOS, BYTES, PIECES = BYTES + 256, DIM = 4, SEQ_LEN = 64, NONE = -1 };
static const char pieces[] = " abcdefghijklmnopqrstuvwxyz0123456789AMNX";
enum { VOCAB = PIECES + sizeof pieces - 1 };

static int id_of(char c) { return PIECES + (int)(strchr(pieces, c) - pieces); }

static void put_int(FILE *f, int32_t value) { /* little-endian, whatever the machine */
    for (int i = 0; i < 4; i++) fputc((int)((uint32_t)value >> 8 * i & 255), f);
}

static void put_float(FILE *f, double value) {
    float x = (float)value;
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_int(f, bits);
}

static void put_floats(FILE *f, int count, double value) {
    while (count--) put_float(f, value);
}

static void put_point(FILE *f, int id, double radius) { /* (DIM), the place of a token on the circle */
    double angle = 6.283185307179586 * id / VOCAB;
    put_float(f, radius * cos(angle));
    put_float(f, radius * sin(angle));
    put_floats(f, DIM - 2, 0);
}

static int predecessor(int id) {
    if (id == BOS) return id_of('A');
    if (id == EOS) return id_of('z');
    if (id == BYTES) return id_of('N');
    if (id == id_of(' ')) return BOS;
    if (id == id_of('M')) return BYTES;
    if (id == id_of('0')) return id_of('9');
    return id > PIECES && id < id_of('A') ? id - 1 : NONE;
}

static void write_model(FILE *f) {
    /* dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative: a classifier of its own), seq_len */
    const int header[] = {DIM, DIM, 1, 2, 1, -(int)VOCAB, SEQ_LEN};
    for (int i = 0; i < 7; i++) put_int(f, header[i]);
    for (int id = 0; id < VOCAB; id++) put_point(f, id, id == id_of('X') ? NAN : 1);
    put_floats(f, DIM, 1);                     /* attention norm */
    put_floats(f, DIM * DIM + DIM * DIM, 0.5); /* wq; wk and wv of one head together */
    put_floats(f, DIM * DIM, 0);               /* wo */
    put_floats(f, DIM, 1);                     /* ffn norm */
    put_floats(f, DIM * DIM, 0.5);             /* w1 */
    put_floats(f, DIM * DIM, 0);               /* w2 */
    put_floats(f, DIM * DIM, 0.5);             /* w3 */
    put_floats(f, DIM, 1);                     /* final norm */
    put_floats(f, SEQ_LEN * (DIM / 2), 0);     /* two rotary tables of half a head, unused */
    for (int id = 0; id < VOCAB; id++) put_point(f, predecessor(id), predecessor(id) == NONE ? 0 : 1e5);
}

static void put_piece(FILE *f, double score, const char *piece) {
    put_float(f, score);
    put_int(f, (int32_t)strlen(piece));
    fputs(piece, f);
}

static void write_tokenizer(FILE *f) {
    put_int(f, 7); /* longest piece */
    put_piece(f, 0, "<unk>");
    put_piece(f, 0, "\n<s>\n");
    put_piece(f, 0, "\n</s>\n");
    for (int i = 0; i < 256; i++) {
        char piece[8];
        snprintf(piece, sizeof piece, "<0x%02X>", (unsigned)i);
        put_piece(f, 0, piece);
    }
    for (int i = 0; pieces[i]; i++) {
        char piece[2] = {pieces[i], 0};
        put_piece(f, -i, piece);
    }
}

static int write_file(const char *directory, const char *name, void (*write)(FILE *)) {
    char path[1024];
    FILE *f;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    f = fopen(path, "wb");
    if (!f) return perror(path), 1;
    write(f);
    if (fclose(f)) return perror(path), 1;
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]), 2;
    return write_file(argv[1], "tiny.bin", write_model) || write_file(argv[1], "tokenizer.bin", write_tokenizer);
}
