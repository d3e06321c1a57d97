/* engine.h - many requests at once on one context: each has a sequence, all share each reading of the weights, and a
 * new one enters as soon as there is room. A request's result is the same whoever is beside it.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include "request.h"

typedef struct engine engine;

typedef struct {
    const llama_model *model;
    const tokenizer *tokens;
    request_kind kind;
    int template;                            /* for messages; 0: the tokenizer's own */
    int n_sequences;                         /* at once */
    int n_ctx;                               /* tokens in all of them; 0: the engine chooses */
    int n_threads;                           /* 0: one per core */
    const char *kv_type;                     /* as in llama_options */
    int last;                                /* REQUEST_EMBED: 1: the vector of the last token; 0: the mean over all */
    int raw;                                 /* ... as it is; 0: of length 1 */
    int (*progress)(void *user, float done); /* as in llama_options */
    /* Called for each request that has ended, in the order in which they do: result is a line of JSON without its end,
     * of an error if failed. */
    void (*done)(void *user, uint64_t line, const json_out *result, int failed);
    void *user;
} engine_options;

typedef struct {
    uint64_t prompt, shared, drawn; /* tokens evaluated of prompts, those taken from others, and drawn */
    uint64_t passes;
} engine_counts;

engine *engine_create(const engine_options *o, llama_error *err); /* NULL with a message */
void engine_free(engine *e);

/* Takes a request, which is the engine's then. One that cannot be done is done at once, as an error. 1, or 0 if there
 * is no room yet: the caller keeps it and asks again after a step. */
int engine_take(engine *e, request *r);

int engine_busy(const engine *e);    /* requests that are not done */
double engine_part(const engine *e); /* how much of them is, by tokens that there may be: 1.5 of 3, say */

/* Evaluates the next tokens of all. 0, or -1 with a message: it was cancelled, or failed for all. */
int engine_step(engine *e, llama_error *err);

engine_counts engine_count(const engine *e);
int engine_sequences(const engine *e);
int engine_context_length(const engine *e); /* the most tokens of one */

/* The result of a request that cannot be done: {"id": .., "line": .., "error": ..}, id NULL: null. */
void engine_error(json_out *out, const char *id, uint64_t line, const char *why);

#endif
