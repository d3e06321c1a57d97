#include "llama.h"
#include "tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWERS = 3, MAX_PROMPT = 1000, LENGTH = 12 };

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: forks MODEL PROMPT\n"), 2;
    llama_error err;
    llama_model *model = llama_load(argv[1], NULL, &err);
    if (!model) return fprintf(stderr, "%s\n", err.text), 1;
    const int vocab_size = llama_get_config(model)->vocab_size;
    tokenizer *tokens = tokenizer_load(argv[1], vocab_size, NULL, NULL);

    /* Room for so many texts of up to the model's length, in pages that they share. */
    llama_options options = {0};
    options.n_sequences = ANSWERS + 1, options.n_ctx = 2 * llama_get_config(model)->seq_len;
    llama_context *context = llama_context_create(model, &options, &err);
    float *logits = malloc((ANSWERS + 1) * (size_t)vocab_size * sizeof *logits);
    int ids[MAX_PROMPT], text[ANSWERS][LENGTH];
    ptrdiff_t n = tokens ? tokenizer_encode(tokens, argv[2], strlen(argv[2]), TOKENIZER_BOS, ids, MAX_PROMPT, NULL) : 0;
    if (!context || !logits || n < 1 || n > MAX_PROMPT) return fprintf(stderr, "no room, or no prompt\n"), 1;

    /* The prompt is read once, as sequence 0, and kept: as bytes for another day, and for three texts to begin with. */
    llama_item prompt = {0, (int)n, ids, NULL, logits, NULL, 0}, item[ANSWERS];
    llama_sampler *sampler[ANSWERS];
    if (llama_evaluate(context, &prompt, 1, &err)) return fprintf(stderr, "%s\n", err.text), 1;
    const size_t size = llama_state_bytes(context, 0);
    void *saved = malloc(size);
    if (!saved || llama_save(context, 0, saved, size, &err)) return fprintf(stderr, "%s\n", err.text), 1;
    for (int i = 0; i < ANSWERS; i++) {
        llama_sampling sampling = llama_sampling_default();
        sampling.seed = (uint64_t)i + 1;
        sampler[i] = llama_sampler_create(model, &sampling, NULL, &err);
        llama_fork(context, i + 1, 0, (int)n, &err);
        memcpy(logits + (i + 1) * vocab_size, logits, (size_t)vocab_size * sizeof *logits);
    }

    /* Each step reads the weights once for all of them. */
    for (int t = 0; t < LENGTH; t++) {
        for (int i = 0; i < ANSWERS; i++) {
            float *own = logits + (i + 1) * vocab_size;
            text[i][t] = llama_sample(sampler[i], own, &err);
            item[i] = (llama_item){i + 1, 1, &text[i][t], NULL, own, NULL, 0};
        }
        if (llama_evaluate(context, item, ANSWERS, &err)) return fprintf(stderr, "%s\n", err.text), 1;
    }
    for (int i = 0; i < ANSWERS; i++) {
        for (int t = 0; t < LENGTH; t++) {
            size_t bytes;
            const char *piece = tokenizer_decode(tokens, t ? text[i][t - 1] : ids[n - 1], text[i][t], &bytes);
            fwrite(piece, 1, bytes, stdout);
        }
        putchar('\n');
        llama_sampler_free(sampler[i]);
    }

    /* And the saved prompt is there again, in microseconds instead of being evaluated. */
    if (llama_restore(context, 0, saved, size, &err)) return fprintf(stderr, "%s\n", err.text), 1;
    printf("%d tokens, %zu bytes, %d pages free\n", llama_length(context, 0), size, llama_free_pages(context));

    free(saved), free(logits), llama_context_free(context), tokenizer_free(tokens), llama_free(model);
    return 0;
}
