/* gguf_writer.h - what the parts of the GGUF writer share. The head is written twice: once to count its keys and bytes,
 * and once to the file.
 *
 * Functions that can fail return 0 then, with the message in w->err, and 1 if not.
 */
#ifndef GGUF_WRITER_H
#define GGUF_WRITER_H

#include "export.h"
#include "gguf_plan.h"

#include <stdio.h>

enum { GGUF_WRITTEN_ALIGNMENT = 32 }; /* what readers take where no key says it */

typedef struct {
    const export_input *in;
    const llama_config *config;
    const char *path;
    llama_error *err;
    gguf_plan plan;
    int type;   /* of matrices, a GGUF_TYPE_.. */
    FILE *file; /* NULL: what is put is only counted */
    uint64_t at, total, n_keys;
    int failed;     /* errno of what could not be put */
    char note[200]; /* for the report */
} gguf_writer;

void gguf_put(gguf_writer *w, const void *bytes, size_t size);
void gguf_put_number(gguf_writer *w, uint64_t x, int bytes);
void gguf_put_string(gguf_writer *w, const char *text, size_t size);

/* ---- Keys and their values: gguf_metadata.c. As in reading, one that begins with a dot is the architecture's ---- */

int gguf_put_metadata(gguf_writer *w);

/* Adds to the note. */
void gguf_note(gguf_writer *w, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
