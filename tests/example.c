#include "llama.h"
#include "tokenizer.h"
#include <stdio.h>
#include <string.h>

enum { MAX_PROMPT = 1000, MAX_NEW = 100 };

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4) return fprintf(stderr, "usage: example MODEL [TOKENIZER] PROMPT\n"), 2;
    const char *prompt = argv[argc - 1];

    /* A model and its tokenizer may be shared by threads; a context is one conversation's memory. */
    llama_error err;
    tokenizer_error terr;
    llama_model *model = llama_load(argv[1], NULL, &err);
    if (!model) return fprintf(stderr, "%s\n", err.text), 1;
    /* Without TOKENIZER argv[argc - 2] is MODEL: a .llama file holds its own. */
    tokenizer *tokens = tokenizer_load(argv[argc - 2], llama_get_config(model)->vocab_size, NULL, &terr);
    if (!tokens) return fprintf(stderr, "%s\n", terr.text), 1;
    llama_context *context = llama_context_create(model, NULL, &err);
    llama_sampler *sampler = llama_sampler_create(model, NULL, NULL, &err);
    if (!context || !sampler) return fprintf(stderr, "%s\n", err.text), 1;

    /* Text to ids. The count may be more than there was room for. */
    int ids[MAX_PROMPT];
    ptrdiff_t n = tokenizer_encode(tokens, prompt, strlen(prompt), TOKENIZER_BOS, ids, MAX_PROMPT, &terr);
    if (n < 1 || n > MAX_PROMPT) return fprintf(stderr, "the prompt does not fit\n"), 1;

    /* The whole prompt at once, then one token after the other. */
    int previous = ids[n - 1];
    const float *logits = llama_forward(context, ids, (int)n, &err);
    for (int i = 0; logits && i < MAX_NEW; i++) {
        int id = llama_sample(sampler, logits, &err);
        if (id < 0 || tokenizer_is_end(tokens, id) || id == tokenizer_bos(tokens)) break;
        size_t size;
        const char *bytes = tokenizer_decode(tokens, previous, id, &size);
        fwrite(bytes, 1, size, stdout);
        previous = id;
        logits = llama_forward(context, &id, 1, &err); /* NULL when the context is full */
    }
    putchar('\n');

    llama_sampler_free(sampler);
    llama_context_free(context);
    tokenizer_free(tokens);
    llama_free(model);
    return 0;
}
