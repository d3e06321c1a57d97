/* process.h - this process and others, as far as the system tells of them: POSIX does. */
#ifndef PROCESS_H
#define PROCESS_H

#include "../../llama.h"

/* Runs a program, found as a shell finds it, without standard input, and keeps what it prints, messages too: out
 * becomes a text of less than size bytes. Returns its exit status, 128 and more for a signal; -1 with a message if it
 * could not be run or printed more. */
int process_output(char *const argv[], char *out, size_t size, llama_error *err);

/* Most memory that this process has had at a time, in bytes, pages of mapped files included; on Linux no less than what
 * the process that started it had. 0: the system does not say. */
uint64_t process_peak_memory(void);

#endif
