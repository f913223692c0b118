/*
 * The watchdog: neither MPI nor a batch system notices a rank that is stopped, spinning
 * or waiting for ever, so each process has a thread that counts the time since the last
 * beat. It makes no MPI call: the launcher ends the other ranks when this one leaves.
 *
 * Time is counted in ticks and no tick counts for more than two: a process that was
 * stopped (Ctrl-Z, a debugger, a suspended laptop) does not die on waking up.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "dist/comm.h"

/* One per process, like the thread that it describes: beats come from code that has no
 * handle to pass. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool is_running, is_stopping;
    int rank, size;
    double deadline_s, silent_s;
    char phase[64];
} dog = {.lock = PTHREAD_MUTEX_INITIALIZER};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void bite(void)
{
    /* a full pipe on stderr may be what everything waits for: die of the alarm then */
    signal(SIGALRM, SIG_DFL);
    alarm(10);
    log_error("watchdog: no progress in phase \"%s\" for %.1f s (run.watchdog_s = "
              "%.1f): rank %d of %d is stuck or waits for one that is; ending the job",
              dog.phase, dog.silent_s, dog.deadline_s, dog.rank, dog.size);
    _exit(status_exit(ERR_INTERNAL));
}

static void sleep_locked(double seconds)
{
    const double end = now_s() + seconds;
    const time_t whole = (time_t)end;
    const struct timespec t = {.tv_sec = whole,
                               .tv_nsec = (long)((end - (double)whole) * 1e9)};
    (void)pthread_cond_timedwait(&dog.changed, &dog.lock, &t);
}

static void *watch(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&dog.lock);
    const double tick_s = dog.deadline_s > 8.0 ? 1.0 : dog.deadline_s / 8.0;
    double last_s = now_s();
    while (!dog.is_stopping) {
        sleep_locked(tick_s);
        const double time_s = now_s(), passed_s = time_s - last_s;
        last_s = time_s;
        dog.silent_s += passed_s < 2.0 * tick_s ? passed_s : 2.0 * tick_s;
        if (dog.silent_s > dog.deadline_s && !dog.is_stopping)
            bite();
    }
    pthread_mutex_unlock(&dog.lock);
    return NULL;
}

static int start_thread(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&dog.changed, &attr);
    pthread_condattr_destroy(&attr);
    /* signals belong to the main thread: they must interrupt its sleeps */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int code = pthread_create(&dog.thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code == 0)
        return STATUS_OK;
    pthread_cond_destroy(&dog.changed);
    return ERR(ERR_MEMORY, "watchdog thread: %s", strerror(code));
}

int watchdog_start(struct comm *world, double seconds)
{
    CHECK(!dog.is_running, "the watchdog runs already");
    if (!(seconds > 0.0))
        return STATUS_OK;
    dog.rank = comm_rank(world);
    dog.size = comm_size(world);
    dog.deadline_s = seconds;
    dog.silent_s = 0.0;
    dog.is_stopping = false;
    strcpy(dog.phase, "start");
    TRY(start_thread());
    dog.is_running = true;
    return STATUS_OK;
}

void watchdog_beat(const char *phase)
{
    pthread_mutex_lock(&dog.lock);
    dog.silent_s = 0.0;
    dog.phase[0] = 0;
    strncat(dog.phase, phase, sizeof(dog.phase) - 1);
    pthread_mutex_unlock(&dog.lock);
}

void watchdog_stop(void)
{
    if (!dog.is_running)
        return;
    pthread_mutex_lock(&dog.lock);
    dog.is_stopping = true;
    pthread_cond_signal(&dog.changed);
    pthread_mutex_unlock(&dog.lock);
    pthread_join(dog.thread, NULL);
    pthread_cond_destroy(&dog.changed);
    dog.is_running = false;
}
