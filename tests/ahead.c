#include "llama.h"
#include "tokenizer.h"
#include <stdio.h>
#include <string.h>

enum { MAX_TEXT = 200, BEAMS = 4, MOST = 12 };

static int is_end(void *tokens, int id) { return tokenizer_is_end(tokens, id) || id == tokenizer_bos(tokens); }

static void print(const tokenizer *tokens, const int *ids, int n, int previous) {
    for (int i = 0; i < n; previous = ids[i++]) {
        size_t size;
        const char *bytes = tokenizer_decode(tokens, previous, ids[i], &size);
        fwrite(bytes, 1, size, stdout);
    }
    putchar('\n');
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: ahead MODEL PROMPT\n"), 2;
    llama_error err;
    llama_model *model = llama_load(argv[1], NULL, &err);
    if (!model) return fprintf(stderr, "%s\n", err.text), 1;
    tokenizer *tokens = tokenizer_load(argv[1], llama_get_config(model)->vocab_size, NULL, NULL);
    llama_options options = {0};
    options.n_sequences = BEAMS, options.n_ctx = 1024, options.n_ctx_sequence = 256;
    llama_context *context = llama_context_create(model, &options, &err);
    llama_sampling greedy = llama_sampling_default();
    greedy.temperature = 0;
    llama_sampler *sampler = llama_sampler_create(model, &greedy, NULL, &err);
    llama_speculator *ahead = context ? llama_speculator_create(context, NULL, sampler, 11, NULL, &err) : NULL;
    int text[MAX_TEXT];
    ptrdiff_t n = tokens ? tokenizer_encode(tokens, argv[2], strlen(argv[2]), TOKENIZER_BOS, text, MAX_TEXT, NULL) : 0;
    if (!sampler || !ahead || n < 1 || n >= MAX_TEXT) return fprintf(stderr, "no room, or no prompt\n"), 1;
    const int begin = (int)n;

    /* The text is what it would be with llama_forward. What is given is all of it, each time. */
    const float *logits = llama_speculate(ahead, text, (int)n, &err);
    while (logits && n < MAX_TEXT && (text[n] = llama_sample(sampler, logits, &err)) >= 0 && !is_end(tokens, text[n]))
        logits = llama_speculate(ahead, text, (int)++n, &err);
    print(tokens, text + begin, (int)n - begin, text[begin - 1]);
    const llama_speculation count = llama_speculated(ahead);
    printf("%d tokens in %d passes, %d of %d guesses were right\n", (int)n - begin, (int)count.passes,
           (int)count.accepted, (int)count.proposed);

    /* Four beams go on from the prompt, which sequence 0 still begins with. */
    int found[BEAMS][MOST];
    llama_beam beams[BEAMS];
    for (int i = 0; i < BEAMS; i++) beams[i].tokens = found[i];
    llama_beaming beaming = {BEAMS, MOST, 1, is_end, tokens};
    llama_rewind(context, begin - 1);
    logits = llama_forward(context, text + begin - 1, 1, &err);
    const int best = logits ? llama_beam_search(context, &beaming, beams, NULL, &err) : -1;
    for (int i = 0; i < best; i++)
        printf("%.3f", beams[i].score), print(tokens, beams[i].tokens, beams[i].n, text[begin - 1]);

    llama_speculator_free(ahead), llama_sampler_free(sampler), llama_context_free(context);
    tokenizer_free(tokens), llama_free(model);
    return best < 0;
}
