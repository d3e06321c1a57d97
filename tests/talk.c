/* talk.c - talk MODEL N [SYSTEM] - what run --chat -t 0 -n N should say: each line of standard input is a turn, and the
 * whole conversation is encoded and evaluated anew for each answer. */
#include "../llama.h"
#include "../tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64, LINE = 1000, IDS = 4000 };

static char texts[MOST][LINE];
static tokenizer_message messages[MOST];
static int n_messages;

static void quit(const char *why) {
    fprintf(stderr, "talk: %s\n", why);
    exit(1);
}

static void add(int role, size_t size) {
    messages[n_messages] = (tokenizer_message){role, texts[n_messages], size};
    if (++n_messages == MOST) quit("too many messages");
}

static int likeliest(const float *logits, int n) {
    int best = 0;
    for (int i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

int main(int argc, char **argv) {
    static int ids[IDS];
    llama_error err = {.text = "usage: talk MODEL N [SYSTEM]"};
    llama_model *m = argc > 2 ? llama_load(argv[1], NULL, &err) : NULL;
    llama_context *c = m ? llama_context_create(m, NULL, &err) : NULL;
    if (!c) quit(err.text);
    size_t size;
    const void *file = llama_get_tokenizer(m, &size);
    tokenizer *t = tokenizer_load_memory(file, size, 0, NULL, NULL);
    if (!t) quit("no tokenizer");
    if (argc > 3) add(TOKENIZER_SYSTEM, strlen(strcpy(texts[0], argv[3])));
    while (fgets(texts[n_messages], LINE, stdin)) {
        add(TOKENIZER_USER, strcspn(texts[n_messages], "\n"));
        const ptrdiff_t n = tokenizer_encode_chat(t, 0, messages, n_messages, 0, ids, IDS, NULL);
        llama_rewind(c, 0);
        const float *logits = n > 0 && n <= IDS ? llama_forward(c, ids, (int)n, &err) : NULL;
        char *answer = texts[n_messages];
        size = 0;
        for (int i = 0, last = n > 0 ? ids[n - 1] : 0; i < atoi(argv[2]) && logits; i++) {
            const int id = likeliest(logits, tokenizer_vocab_size(t));
            size_t more;
            if (tokenizer_is_end(t, id) || id == tokenizer_end_of_turn(t, 0) || id == tokenizer_bos(t)) break;
            const char *p = tokenizer_decode(t, last, id, &more);
            memcpy(answer + size, p, more), size += more, last = id;
            logits = llama_forward(c, &id, 1, &err);
        }
        if (!logits) quit(err.text);
        printf("%.*s\n", (int)size, answer);
        add(TOKENIZER_ASSISTANT, size);
    }
    tokenizer_free(t), llama_context_free(c), llama_free(m);
    return 0;
}
