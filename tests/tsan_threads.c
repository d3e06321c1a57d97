/* tsan_threads.c - what llama.c needs of OpenMP, on pthreads: for ThreadSanitizer, which sees their creation and end
 * but not what GNU's runtime, which is not built for it, does instead, and calls every pair of accesses across it a
 * race.
 *
 * Linked into a program it takes the place of the runtime's functions of these names; all others stay the runtime's. A
 * region that does not say how many threads it wants gets one, so its loops, which the runtime hands out, are whole.
 */
#include <pthread.h>
#include <stdlib.h>

static __thread int number, team = 1; /* of the calling thread: its place in its team, the team's size */

typedef struct {
    void (*run)(void *);
    void *data;
    pthread_t thread;
    int number, team;
} member;

static void *work(void *argument) {
    const member *m = argument;
    const int number_before = number, team_before = team;
    number = m->number, team = m->team;
    m->run(m->data);
    number = number_before, team = team_before;
    return NULL;
}

/* What gcc makes of `#pragma omp parallel`. */
void GOMP_parallel(void (*run)(void *), void *data, unsigned n_threads, unsigned flags);
void GOMP_parallel(void (*run)(void *), void *data, unsigned n_threads, unsigned flags) {
    const int n = n_threads ? (int)n_threads : 1;
    member *members = malloc((size_t)n * sizeof *members);
    (void)flags;
    if (!members) abort();
    for (int i = n - 1; i >= 0; i--) {
        members[i].run = run, members[i].data = data, members[i].number = i, members[i].team = n;
        if (!i) work(members);
        else if (pthread_create(&members[i].thread, NULL, work, &members[i])) abort();
    }
    for (int i = 1; i < n; i++) pthread_join(members[i].thread, NULL);
    free(members);
}

int omp_get_thread_num(void);
int omp_get_thread_num(void) { return number; }

int omp_get_num_threads(void);
int omp_get_num_threads(void) { return team; }
