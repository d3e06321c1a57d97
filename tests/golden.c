/* golden.c - golden MODEL.llama GOLDEN.json [short] - compares what a model computes with a file of values that a
 * reference gave for it:
 *
 *     ids                      a text; the other values follow from it
 *     perplexity, nll          of all of them but the first; of each, in natural logarithms
 *     argmax                   the likeliest token after each of them
 *     last_logits              {id: value} after the last one, some of them; last_sum and last_l2 of all
 *     greedy                   how the text goes on
 *
 * "short": the object of that name in the file has the values. Those that are missing are not compared. Prints the
 * perplexity, then a line for each value that is another; ends with 1 if there is one.
 */
#include "../llama.h"
#include "../tools/formats/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 };
static const double LOGIT = 1e-4, SHARE = 1e-5; /* as far off as a float32 engine may be; shares of a value */

static int n_wrong;

static void compare(const char *what, int i, double got, double want, double allowed) {
    if (fabs(got - want) <= allowed) return;
    printf("%s %d is %.9g, not %.9g\n", what, i, got, want);
    n_wrong++;
}

static void quit(const char *why) {
    printf("%s\n", why);
    exit(1);
}

static int read_ids(const json_node *array, int *out, int vocab_size) {
    int n = 0;
    if (!json_is(array, JSON_ARRAY) || array->size > MOST) quit("no ids, or too many");
    JSON_EACH(id, array) {
        if (!(id->number >= 0 && id->number < vocab_size)) quit("an id is none of the vocabulary");
        out[n++] = (int)id->number;
    }
    return n;
}

/* Of the largest logits, where two are as good as equal either is right. */
static void compare_best(const char *what, int i, const float *logits, int vocab_size, int want) {
    int best = 0;
    for (int id = 1; id < vocab_size; id++) best = logits[id] > logits[best] ? id : best;
    if ((double)logits[best] - (double)logits[want] > 2 * LOGIT) compare(what, i, best, want, 0);
}

static void compare_last(const json_node *golden, const float *logits, int vocab_size) {
    const json_node *some = json_get(golden, "last_logits"), *sum = json_get(golden, "last_sum"),
                    *l2 = json_get(golden, "last_l2");
    double all = 0, squares = 0;
    for (int id = 0; id < vocab_size; id++)
        all += (double)logits[id], squares += (double)logits[id] * (double)logits[id];
    if (sum) compare("sum of logits", 0, all, sum->number, LOGIT * vocab_size / 4);
    if (l2) compare("length of logits", 0, sqrt(squares), l2->number, LOGIT * sqrt(vocab_size));
    if (!json_is(some, JSON_OBJECT)) quit("no last_logits");
    JSON_EACH(key, some) {
        const int id = atoi(key->text);
        if (id < 0 || id >= vocab_size) quit("a logit is of none of the vocabulary");
        compare("logit", id, (double)logits[id], key[1].number, LOGIT);
    }
}

/* Token by token, so that all positions are seen. */
static void compare_steps(const json_node *golden, llama_context *c, const int *ids, int n, int vocab_size) {
    static int argmax[MOST], greedy[MOST];
    const json_node *best = json_get(golden, "argmax"), *more = json_get(golden, "greedy");
    const int n_best = best ? read_ids(best, argmax, vocab_size) : 0,
              n_more = more ? read_ids(more, greedy, vocab_size) : 0;
    const float *logits = NULL;
    llama_rewind(c, 0);
    for (int i = 0; i < n; i++) {
        logits = llama_forward(c, ids + i, 1, NULL);
        if (logits && i < n_best) compare_best("argmax", i, logits, vocab_size, argmax[i]);
    }
    for (int i = 0; i < n_more && logits; i++) {
        compare_best("greedy", i, logits, vocab_size, greedy[i]);
        logits = llama_forward(c, greedy + i, 1, NULL);
    }
}

int main(int argc, char **argv) {
    static int ids[MOST];
    static float logprobs[MOST];
    llama_error err;
    json_text json;
    if (argc < 3) quit("usage: golden MODEL.llama GOLDEN.json [short]");
    llama_model *m = llama_load(argv[1], NULL, &err);
    if (!m || json_load(&json, argv[2], &err)) quit(err.text);
    const json_node *golden = argc > 3 ? json_get(json.nodes, argv[3]) : json.nodes, *each = json_get(golden, "nll");
    const int vocab_size = llama_get_config(m)->vocab_size, n = read_ids(json_get(golden, "ids"), ids, vocab_size);
    const llama_options o = {.n_ctx = n + 8, .n_threads = 1};
    llama_context *c = llama_context_create(m, &o, &err);
    if (!c || llama_score(c, ids, n, logprobs, &err)) quit(err.text);
    double nll = 0;
    for (int i = 0; i < n - 1; i++) nll -= (double)logprobs[i] / (n - 1);
    const json_node *perplexity = json_get(golden, "perplexity");
    printf("perplexity %.9g\n", exp(nll));
    if (perplexity) compare("perplexity", 0, exp(nll), perplexity->number, SHARE * perplexity->number);
    compare_last(golden, llama_logits(c), vocab_size);
    int i = 0;
    if (each)
        JSON_EACH(x, each) {
            if (i < n - 1) compare("nll", i, -(double)logprobs[i], x->number, LOGIT);
            i++;
        }
    compare_steps(golden, c, ids, n, vocab_size);
    llama_context_free(c);
    llama_free(m);
    json_free(&json);
    return n_wrong != 0;
}
