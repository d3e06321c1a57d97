// header_only.cpp - both libraries in one C++ source file, which runs a model. The Makefile builds it as C++98 and as
// C++20. Run from the project's root.
#define LLAMA_IMPLEMENTATION
#include "../llama.h"
#define TOKENIZER_IMPLEMENTATION
#include "../tokenizer.h"

#include "test.h"

static void run(const llama_model *model, const tokenizer *tokens) {
    static const char text[] = "It is a truth universally acknowledged", rest[] = ", that a man of large fortune";
    llama_error err;
    int ids[100];
    float logprobs[100];
    double sum = 0;
    ptrdiff_t n = tokenizer_encode(tokens, text, sizeof text - 1, TOKENIZER_BOS, ids, 50, NULL);
    n += tokenizer_encode(tokens, rest, sizeof rest - 1, TOKENIZER_CONTINUE, ids + n, 50, NULL);
    llama_context *context = llama_context_create(model, NULL, &err);
    if (!CHECK(n > 10 && n < 100 && context)) return;
    CHECK(llama_score(context, ids, (int)n, logprobs, &err) == 0);
    for (int i = 0; i < (int)n - 1; i++) sum += (double)logprobs[i];
    CHECK_NEAR(sum / (double)(n - 1), -2.9558, 0.02);

    llama_sampling greedy = llama_sampling_default();
    greedy.temperature = 0;
    llama_sampler *sampler = llama_sampler_create(model, &greedy, NULL, &err);
    int id = sampler ? llama_sample(sampler, llama_logits(context), &err) : -1, best = 0;
    for (int i = 0; i < tokenizer_vocab_size(tokens); i++)
        if (llama_logits(context)[i] > llama_logits(context)[best]) best = i;
    CHECK(id >= 0 && id == best);
    llama_sampler_free(sampler);
    llama_context_free(context);
}

int main() {
    TEST("a model and its tokenizer from one C++ file") {
        const char *path = "tools/model/austen.llama";
        llama_error err;
        tokenizer_error terr;
        llama_model *model = llama_load(path, NULL, &err);
        tokenizer *tokens = tokenizer_load(path, 0, NULL, &terr);
        if (CHECK(model && tokens)) run(model, tokens);
        tokenizer_free(tokens);
        llama_free(model);
        CHECK(!llama_load("no such file", NULL, &err) && err.code == LLAMA_BAD_FILE);
        CHECK(!tokenizer_load("no such file", 0, NULL, &terr) && terr.code == TOKENIZER_BAD_FILE);
    }
    return test_end();
}
