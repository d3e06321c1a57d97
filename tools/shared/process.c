/* process.c - contract in process.h. */
#if defined(__unix__) || defined(__APPLE__)
#define PROCESS_POSIX 1
#define _POSIX_C_SOURCE 200809L /* posix_spawnp, waitpid */
#define _DARWIN_C_SOURCE 1      /* macOS hides ru_maxrss otherwise */
#endif

#include "process.h"
#include "messages.h"

#ifdef PROCESS_POSIX
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Starts a program that writes into the pipe; 0, or an errno. */
static int start(char *const argv[], const int ends[2], pid_t *child) {
    posix_spawn_file_actions_t todo;
    int failed = posix_spawn_file_actions_init(&todo);
    if (failed) return failed;
    failed = posix_spawn_file_actions_addopen(&todo, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!failed) failed = posix_spawn_file_actions_adddup2(&todo, ends[1], STDOUT_FILENO);
    if (!failed) failed = posix_spawn_file_actions_adddup2(&todo, ends[1], STDERR_FILENO);
    if (!failed) failed = posix_spawnp(child, argv[0], &todo, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&todo);
    return failed;
}

/* All that comes, as a text; -1 if that is size bytes or more. */
static int read_all(int from, char *out, size_t size) {
    size_t have = 0;
    while (have < size) {
        const ssize_t n = read(from, out + have, size - have);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return out[have] = 0;
        have += (size_t)n;
    }
    return -1;
}

int process_output(char *const argv[], char *out, size_t size, llama_error *err) {
    int ends[2], status;
    pid_t child;
    if (pipe(ends)) return set_error(err, "no pipe: %s", strerror(errno));
    const int failed = start(argv, ends, &child);
    close(ends[1]);
    const int too_long = !failed && read_all(ends[0], out, size);
    close(ends[0]);
    if (failed) return set_error(err, "%.120s: cannot run: %s", argv[0], strerror(failed));
    if (too_long) kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return set_error(err, "%.120s: lost: %s", argv[0], strerror(errno));
    if (too_long) return set_error(err, "%.120s: printed more than %zu bytes", argv[0], size);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

uint64_t process_peak_memory(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) || usage.ru_maxrss < 0) return 0;
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss << 10;
#endif
}

#else

int process_output(char *const argv[], char *out, size_t size, llama_error *err) {
    (void)out, (void)size;
    return set_error(err, "%.120s: programs can run others only where there is POSIX", argv[0]);
}

uint64_t process_peak_memory(void) { return 0; }
#endif
