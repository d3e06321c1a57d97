/* source.c - what all inputs share. */
#include "source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void source_release(llama_source *s) {
    free(s->kinds), free(s->rope_frequencies), free(s->rope_amplitudes), free(s->tokenizer);
}

/* Adds to a text of size bytes. */
static void add_part(char *text, size_t size, const char *format, va_list args) {
    const size_t n = strlen(text);
    if (n + 3 > size) return;
    if (n) strcpy(text + n, ", ");
    vsnprintf(text + strlen(text), size - strlen(text), format, args);
    mask_controls(text);
}

void source_skip(llama_source *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_part(s->skipped, sizeof s->skipped, format, args);
    va_end(args);
}

void source_note(llama_source *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_part(s->note, sizeof s->note, format, args);
    va_end(args);
}
