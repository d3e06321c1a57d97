/* messages.c - contract in messages.h. */
#include "messages.h"

#include <stdarg.h>
#include <stdio.h>

void mask_controls(char *text) {
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127) *p = '?';
}

int set_error(llama_error *err, const char *format, ...) {
    if (!err) return -1;
    va_list args;
    err->code = LLAMA_BAD_FILE; /* what fails in tools/ is most often a file, and no one there asks */
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    mask_controls(err->text);
    return -1;
}
