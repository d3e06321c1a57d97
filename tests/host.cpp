// host.cpp MODEL TOKENIZER - a C++ caller, the libraries compiled as C: prints the greedy text of the model.
#include "../llama.h"
#include "../tokenizer.h"
#include "../llama.h" // a second time is harmless

#include <stdio.h>

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    llama_error err;
    llama_model *model = llama_load(argv[1], NULL, &err);
    tokenizer *tokens = tokenizer_load(argv[2], 0, NULL, NULL);
    if (!model || !tokens) return 1;
    llama_context *context = llama_context_create(model, NULL, &err);
    llama_sampling greedy = llama_sampling_default();
    greedy.temperature = 0;
    llama_sampler *sampler = llama_sampler_create(model, &greedy, NULL, &err);
    if (!context || !sampler) return 1;

    int id = tokenizer_bos(tokens);
    const float *logits = llama_forward(context, &id, 1, &err);
    while (logits) {
        int previous = id;
        id = llama_sample(sampler, logits, &err);
        if (id < 0 || tokenizer_is_end(tokens, id)) break;
        size_t size;
        const char *bytes = tokenizer_decode(tokens, previous, id, &size);
        fwrite(bytes, 1, size, stdout);
        logits = llama_forward(context, &id, 1, &err);
    }
    putchar('\n');

    llama_sampler_free(sampler);
    llama_context_free(context);
    tokenizer_free(tokens);
    llama_free(model);
    return 0;
}
