/* terminal.h - between a program and who runs it: failures, the progress of long work, Ctrl-C. */
#ifndef TERMINAL_H
#define TERMINAL_H

#include "messages.h"

#include <signal.h>
#include <stdio.h>

enum { STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_INTERRUPTED = 128 /* and the signal's number: 130 for Ctrl-C */ };

/* The program's name stands before its messages, and hint behind those about wrong usage. options_parse calls it. */
void terminal_begin(const char *program, const char *hint);

/* Each writes one line to standard error, with control characters masked, and ends the program. */
NORETURN void fail(const char *format, ...) PRINTF_LIKE(1, 2);   /* with STATUS_FAILED */
NORETURN void misuse(const char *format, ...) PRINTF_LIKE(1, 2); /* with STATUS_USAGE */
NORETURN void fail_with(int status, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- Progress: one line that is drawn again and again, if standard error is a terminal ---- */

void progress_begin(void);
double progress_due(void); /* seconds since then if the line should be drawn now, else 0; so short work shows none */
void progress_draw(const char *format, ...) PRINTF_LIKE(1, 2);
void progress_end(void); /* takes the line away */

/* ---- SIGINT and SIGTERM ---- */

extern volatile sig_atomic_t interrupted; /* the number of the one that came; 0: none */

/* Not if the program was started without them (nohup, &). The second one kills, or is as harmless as the first. */
void catch_interrupts(int second_kills);

#endif
