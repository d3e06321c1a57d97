/* steps.c - steps MODEL N ID ... - the tokens ID ... and, of those that follow, the likeliest each time, N in all. For
 * each of them standard output gets its id as an int32 and the logits after it as float32, as this machine has them.
 */
#include "../llama.h"

#include <stdio.h>
#include <stdlib.h>

static int quit(const char *why) {
    fprintf(stderr, "steps: %s\n", why);
    return 1;
}

int main(int argc, char **argv) {
    llama_error err;
    if (argc < 4) return quit("usage: steps MODEL N ID ...");
    llama_model *m = llama_load(argv[1], NULL, &err);
    if (!m) return quit(err.text);
    const int vocab_size = llama_get_config(m)->vocab_size, n = atoi(argv[2]);
    llama_context *c = llama_context_create(m, NULL, &err);
    int best = 0;
    for (int i = 0; c && i < n; i++) {
        const int id = i + 3 < argc ? atoi(argv[i + 3]) : best;
        const float *logits = llama_forward(c, &id, 1, &err);
        if (!logits) return quit(err.text);
        best = 0;
        for (int t = 1; t < vocab_size; t++) best = logits[t] > logits[best] ? t : best;
        fwrite(&id, sizeof id, 1, stdout);
        fwrite(logits, sizeof *logits, (size_t)vocab_size, stdout);
    }
    if (!c) return quit(err.text);
    llama_context_free(c);
    llama_free(m);
    return fflush(stdout) ? quit("cannot write") : 0;
}
