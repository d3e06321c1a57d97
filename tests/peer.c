/* peer.c - peer MODEL OUT.gguf [TOKENIZER [N]] - for a comparison with another engine: writes a model as an F32 GGUF,
 * continues the text on stdin with it, greedily by N tokens, as that file has it, in float32, and prints
 *
 *     {"prompt": [ids, bos included], "tokens": [ids], "logprobs": [of each, in natural logarithms]}
 */
#include "../tools/formats/export.h"
#include "../tools/formats/source.h"
#include "../tools/formats/vocabulary.h"
#include "../tools/formats/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 };

static void quit(const char *why) {
    fprintf(stderr, "peer: %s\n", why);
    exit(1);
}

static int rows(void *user, enum tensor tensor, int layer, int first, int count, float *out, llama_error *err) {
    llama_source *s = user;
    return s->rows(s, tensor, layer, first, count, out, err);
}

/* What the file says, as a model with weights in float32. */
static llama_model *read_back(const char *path) {
    llama_error err;
    void *data;
    size_t size;
    llama_source *s = source_open_gguf(path, NULL, &err);
    if (!s) quit(err.text);
    const writer_input in = {.config = s->config,
                             .rope_frequencies = s->rope_frequencies,
                             .rope_amplitudes = s->rope_amplitudes,
                             .type = writer_type("f32"),
                             .rows = rows,
                             .user = s};
    if (writer_build(&in, &data, &size, NULL, &err)) quit(err.text);
    llama_model *m = llama_load_memory(data, size, NULL, &err);
    if (!m) quit(err.text);
    s->close(s);
    return m;
}

static void print_ids(const char *name, const int *ids, int n) {
    printf("\"%s\": [", name);
    for (int i = 0; i < n; i++) printf("%s%d", i ? ", " : "", ids[i]);
    printf("], ");
}

static void run(llama_model *m, const int *ids, int n, int more) {
    static int tokens[MOST];
    static float logprobs[MOST];
    llama_error err;
    const llama_options options = {.n_ctx = n + more};
    const int vocab_size = llama_get_config(m)->vocab_size;
    llama_context *c = llama_context_create(m, &options, &err);
    const float *logits = c ? llama_forward(c, ids, n, &err) : NULL;
    for (int i = 0; i < more; i++) {
        int best = 0;
        for (int k = 0; logits && k < vocab_size; k++)
            if (logits[k] > logits[best]) best = k;
        if (!logits) quit(err.text);
        tokens[i] = best;
        logprobs[i] = llama_logprob(logits, vocab_size, best);
        logits = llama_forward(c, &best, 1, &err);
    }
    printf("{");
    print_ids("prompt", ids, n);
    print_ids("tokens", tokens, more);
    printf("\"logprobs\": [");
    for (int i = 0; i < more; i++) printf("%s%.7g", i ? ", " : "", (double)logprobs[i]);
    printf("]}\n");
    llama_context_free(c);
}

int main(int argc, char **argv) {
    static char text[MOST];
    static int ids[MOST];
    llama_error err;
    tokenizer_error why;
    export_report report;
    if (argc < 3) quit("usage: peer MODEL OUT.gguf [TOKENIZER [N]]");
    const int more = argc > 4 ? atoi(argv[4]) : 100;
    llama_model *m = llama_load(argv[1], NULL, &err);
    if (!m) quit(err.text);
    tokenizer *t = tokenizer_load(argc > 3 ? argv[3] : argv[1], llama_get_config(m)->vocab_size, NULL, &why);
    if (!t) quit(why.text);
    const export_input in = {.model = m, .tokenizer = t, .type = "f32"};
    if (export_gguf(&in, argv[2], &report, &err)) quit(err.text);
    llama_free(m);
    const size_t size = fread(text, 1, sizeof text, stdin);
    const ptrdiff_t n = tokenizer_encode(t, text, size, TOKENIZER_BOS, ids, MOST, &why);
    if (n < 1 || more < 1 || n + more > MOST) quit("a text too long, or none");
    m = read_back(argv[2]);
    run(m, ids, (int)n, more);
    tokenizer_free(t);
    llama_free(m);
    return 0;
}
