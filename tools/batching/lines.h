/* lines.h - a file or a pipe line by line, of which a line that is too long is not held in memory. */
#ifndef LINES_H
#define LINES_H

#include "../../llama.h"

#include <stdio.h>

enum { LINES_LONGEST = 1 << 22 }; /* bytes: as JSON such a line takes some hundred MB at worst */

typedef struct {
    FILE *file;
    const char *path; /* for messages */
    char *buffer;     /* (capacity) what was read and not yet given: (size) from begin on */
    size_t capacity, begin, size;
    size_t searched; /* bytes of it in which there is no line's end */
    int ended, skipping;
    uint64_t number; /* of the last line, from 1 */
    uint64_t offset; /* where it ended: bytes from the beginning of the file */
} lines;

typedef struct {
    /* (size) without the line's end and the mark of UTF-8 at the file's beginning, valid until the next; NULL: it is
     * longer than LINES_LONGEST */
    const char *text;
    size_t size;
    int whole; /* 0: the file ended before the line did */
} one_line;

/* path NULL: standard input. 0, or -1 with a message. */
int lines_open(lines *l, const char *path, llama_error *err);
void lines_close(lines *l);
int lines_are_typed(const lines *l); /* 1: they come from a terminal */

/* 1: there is a line; 0: the file has ended; -1: it cannot be read; 2: nothing has come yet, and the caller did not
 * want to wait, or was interrupted. */
int lines_next(lines *l, one_line *line, int wait, llama_error *err);

int line_is_blank(const one_line *line); /* 1: nothing but space, tabs and the CR of a CRLF */

#endif
