/*
 * A pool of threads that sleep until there is a job. They are made as jobs ask for them
 * and live as long as the program. A job that no thread has taken up when its owner is
 * done is withdrawn, so nobody waits for a thread that does not exist (after a fork).
 */
#include "emulator/workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { MAX_WORKERS = 256 };

struct job {
    struct job *next;
    workers_fn fn;
    void *argument;
    int32_t n_wanted;  /* helpers that have not come yet */
    int32_t n_running; /* helpers at work */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t has_job, is_done;
    struct job *first; /* jobs that want helpers */
    int32_t n_threads;
    int32_t n_asked; /* helpers of all jobs under way */
} pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .has_job = PTHREAD_COND_INITIALIZER,
    .is_done = PTHREAD_COND_INITIALIZER,
};

/* The lock is held in the functions below. */

static void withdraw(const struct job *j)
{
    for (struct job **at = &pool.first; *at != NULL; at = &(*at)->next) {
        if (*at != j)
            continue;
        *at = j->next;
        return;
    }
}

static void help(struct job *j)
{
    j->n_running++;
    if (--j->n_wanted == 0)
        withdraw(j);
    pthread_mutex_unlock(&pool.lock);
    j->fn(j->argument);
    pthread_mutex_lock(&pool.lock);
    if (--j->n_running == 0)
        pthread_cond_broadcast(&pool.is_done);
}

static void *live(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (pool.first == NULL)
            pthread_cond_wait(&pool.has_job, &pool.lock);
        help(pool.first);
    }
    return NULL;
}

/* Fewer helpers than wanted only make the job slower. */
static void add_threads(void)
{
    while (pool.n_threads < pool.n_asked && pool.n_threads < MAX_WORKERS) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, live, NULL) != 0)
            return;
        pthread_detach(thread);
        pool.n_threads++;
    }
}

void workers_run(workers_fn fn, void *argument, int32_t n_helpers)
{
    struct job j = {.fn = fn, .argument = argument, .n_wanted = n_helpers};
    if (n_helpers > 0) {
        pthread_mutex_lock(&pool.lock);
        pool.n_asked += n_helpers;
        add_threads();
        j.next = pool.first;
        pool.first = &j;
        pthread_cond_broadcast(&pool.has_job);
        pthread_mutex_unlock(&pool.lock);
    }
    fn(argument);
    if (n_helpers <= 0)
        return;
    pthread_mutex_lock(&pool.lock);
    if (j.n_wanted > 0)
        withdraw(&j);
    while (j.n_running > 0)
        pthread_cond_wait(&pool.is_done, &pool.lock);
    pool.n_asked -= n_helpers;
    pthread_mutex_unlock(&pool.lock);
}
