/* request.h - a line of tools/batch's input: what is asked for. Lines are JSON objects, and anybody's. */
#ifndef REQUEST_H
#define REQUEST_H

#include "../../llama.h"
#include "../../tokenizer.h"
#include "../formats/json.h"
#include "../formats/json_writer.h"
#include "../shared/options.h"

typedef enum {
    REQUEST_TEXT,  /* a prompt, or messages, to go on with */
    REQUEST_EMBED, /* a text whose vector is asked for */
    REQUEST_SCORE  /* a prompt and answers that are to be judged */
} request_kind;

/* What a line may say, and otherwise the command line does; of the types that options.h has. The seed of a line may be
 * larger. */
typedef struct {
    int n, top_k, repeat_window, seed, logprobs, dry_allowed_length, dry_range;
    double temperature, top_p, min_p, top_n_sigma, repeat_penalty;
    double dry_multiplier, dry_base, xtc_probability, xtc_threshold;
} request_settings;

typedef struct {
    const char *text;
    size_t size;
} request_text;

/* What lines are read by. Options whose mark is REQUEST_KEY are keys too: --top-k is "top_k". */
enum { REQUEST_KEY = 1 };
typedef struct {
    request_kind kind;
    const option *options; /* (n_options) those that are keys point into *defaults */
    int n_options;
    const request_settings *defaults;
    const char *stop; /* NULL: none */
} request_rules;

typedef struct {
    uint64_t line; /* its number, from 1 */
    char *id;      /* as JSON writes it: "a" with its quotes, or 7; NULL: the line could not be read */
    request_text prompt;
    tokenizer_message *messages; /* (n_messages) NULL: there is a prompt */
    int n_messages;
    request_text *stops, *answers, *breakers; /* breakers NULL: the usual ones */
    int n_stops, n_answers, n_breakers;
    request_settings settings;
    uint64_t seed;
    json_text json; /* what texts lie in */
} request;

enum { REQUEST_LONGEST_ID = 1000, REQUEST_MOST_TEXTS = 256 /* to stop at, or to break repetitions */ };

/* Reads a line. 0, or -1 with a message; the id is there as far as it could be read. Either way request_free. */
int request_parse(request *r, const char *line, size_t size, uint64_t number, const request_rules *rules,
                  llama_error *err);
void request_free(request *r);

/* "a", 7 or, if there is no such key, the number: as JSON writes it, malloc'ed; NULL with a message. */
char *request_id(const json_node *object, uint64_t number, llama_error *err);

#endif
