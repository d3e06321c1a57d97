/* output.h - where results go: a line at a time, each whole and at once, so that whatever ends the program the file is
 * whole lines and perhaps a part of one, and can be gone on with.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include "ids.h"
#include "request.h"

#include <stdio.h>

typedef struct {
    FILE *file;
    const char *path;
} output;

/* What is done already, by ids as JSON writes them and lines that ended in an error, and all that there is to do. */
typedef struct {
    ids done;        /* states: OUTPUT_.. below */
    int retry;       /* 1: errors are not done */
    uint64_t lines;  /* in the input */
    uint64_t left;   /* of them: to be done */
    uint64_t failed; /* of those that are done: errors */
} resumed;
enum { OUTPUT_RESULT = 1, OUTPUT_ERROR, OUTPUT_SEEN = 4, OUTPUT_LENGTH = 8, OUTPUT_LOGPROBS = 16 };

/* path NULL: standard output. A file that is there and not empty is refused. 0, or -1 with a message. */
int output_open(output *o, const char *path, llama_error *err);

/* The same for a file that an earlier run has left, which must be one of the input's at `input`: each id is one of its,
 * and a result is as long as `n` lets it be, with logprobs if they are asked for, with as many scores as there are
 * answers. (Texts are not compared: results do not have the prompts.) Then a part of a line at its end is
 * cut off, with retry errors are taken out, and what comes goes behind the rest. If it is refused it stays as it is. If
 * there is none it is begun. */
int output_resume(output *o, const char *path, const char *input, const request_rules *rules, int retry, resumed *r,
                  llama_error *err);
int resumed_has(const resumed *r, const char *id, uint64_t line); /* 1: it is done; id NULL: there is none */
void resumed_free(resumed *r);

int output_line(output *o, const char *text, size_t size, llama_error *err); /* 0, or -1 with a message */
int output_close(output *o, llama_error *err);

#endif
