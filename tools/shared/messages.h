/* messages.h - why something failed, in one line. */
#ifndef MESSAGES_H
#define MESSAGES_H

#include "../../llama.h"

/* Lets the compiler check a format against what follows it. With -std=c99 MinGW's printf is C99's, but its compiler
 * takes it for Microsoft's. */
#if defined(__MINGW32__)
#define PRINTF_LIKE(format_at, first) __attribute__((format(gnu_printf, format_at, first)))
#elif defined(__GNUC__)
#define PRINTF_LIKE(format_at, first) __attribute__((format(printf, format_at, first)))
#else
#define PRINTF_LIKE(format_at, first)
#endif

/* So that no path is searched for faults, or warned of, that none takes. */
#ifdef _MSC_VER
#define NORETURN __declspec(noreturn)
#else
#define NORETURN __attribute__((noreturn))
#endif

/* Control characters become question marks: names of files and what stands in them are anybody's. */
void mask_controls(char *text);

/* Writes a line to err, if it is not NULL, with control characters masked. Returns -1. */
int set_error(llama_error *err, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
