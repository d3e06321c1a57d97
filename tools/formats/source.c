/* source.c - what all inputs share. */
#include "source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void source_release(llama_source *s) {
    free(s->kinds), free(s->rope_frequencies), free(s->rope_amplitudes), free(s->tokenizer);
}

void source_skip(llama_source *s, const char *format, ...) {
    const size_t n = strlen(s->skipped);
    va_list args;
    if (n + 3 > sizeof s->skipped) return;
    if (n) strcpy(s->skipped + n, ", ");
    va_start(args, format);
    vsnprintf(s->skipped + strlen(s->skipped), sizeof s->skipped - strlen(s->skipped), format, args);
    va_end(args);
    mask_controls(s->skipped);
}
