/* terminal.c - contract in terminal.h. */
#if defined(__unix__) || defined(__APPLE__)
#define TERMINAL_POSIX 1
#define _POSIX_C_SOURCE 200809L /* isatty, fileno, sigaction */
#endif

#include "terminal.h"
#include "clock.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#ifdef TERMINAL_POSIX
#include <unistd.h>
#endif

static struct {
    const char *program, *hint;
    double start, drawn; /* seconds */
    int shown, width;    /* shown: there is a terminal; width: of the line that stands there */
} terminal = {"tool", "", 0, 0, 0, 0};

/* ---- Messages ---- */

void terminal_begin(const char *program, const char *hint) { terminal.program = program, terminal.hint = hint; }

static void print_message(const char *format, va_list values, const char *behind) {
    char text[600];
    vsnprintf(text, sizeof text, format, values);
    mask_controls(text);
    progress_end();
    fflush(stdout);
    fprintf(stderr, "%s: %s%s\n", terminal.program, text, behind);
}

void fail(const char *format, ...) {
    va_list values;
    va_start(values, format);
    print_message(format, values, "");
    va_end(values);
    exit(STATUS_FAILED);
}

void misuse(const char *format, ...) {
    va_list values;
    va_start(values, format);
    print_message(format, values, terminal.hint);
    va_end(values);
    exit(STATUS_USAGE);
}

void fail_with(int status, const char *format, ...) {
    va_list values;
    va_start(values, format);
    print_message(format, values, "");
    va_end(values);
    exit(status);
}

/* ---- Progress ---- */

void progress_begin(void) {
#ifdef TERMINAL_POSIX
    terminal.shown = isatty(fileno(stderr));
#endif
    terminal.start = terminal.drawn = clock_seconds();
}

double progress_due(void) {
    const double now = clock_seconds(), elapsed = now - terminal.start;
    return terminal.shown && elapsed > 1 && now - terminal.drawn > 0.2 ? elapsed : 0;
}

void progress_draw(const char *format, ...) {
    va_list values;
    progress_end();
    va_start(values, format);
    const int width = vfprintf(stderr, format, values);
    va_end(values);
    terminal.width = width > 0 ? width : 0;
    terminal.drawn = clock_seconds();
}

void progress_end(void) {
    if (terminal.width) fprintf(stderr, "\r%*s\r", terminal.width, "");
    terminal.width = 0;
}

/* ---- Signals ---- */

volatile sig_atomic_t interrupted;
static volatile sig_atomic_t only_once;

static void on_interrupt(int number) {
    interrupted = number;
    if (only_once) signal(number, SIG_DFL);
}

static void catch_signal(int number) {
#ifdef TERMINAL_POSIX
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = SA_RESTART;
    if (!sigaction(number, NULL, &before) && before.sa_handler != SIG_IGN) sigaction(number, &action, NULL);
#else
    if (signal(number, on_interrupt) == SIG_IGN) signal(number, SIG_IGN);
#endif
}

void catch_interrupts(int second_kills) {
    only_once = second_kills;
    catch_signal(SIGINT), catch_signal(SIGTERM);
}
