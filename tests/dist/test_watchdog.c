/*
 * The watchdog in child processes: it ends a silent one with status 70 and a message
 * that names the phase, and leaves the others alone.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/mem.h"
#include "dist/dist_private.h"

static void sleep_ms(long ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

struct child {
    pid_t pid;
    int log_fd;
};

/* The child's stderr comes back through a pipe; cmocka never runs in it. */
static struct child start(void (*body)(struct comm *c))
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        close(fds[0]);
        close(fds[1]);
        alarm(20);
        struct comm *c;
        if (self_create(&c) != STATUS_OK)
            _exit(99);
        body(c);
        _exit(0);
    }
    close(fds[1]);
    return (struct child){pid, fds[0]};
}

static int finish(struct child child, char *log, size_t size)
{
    size_t len = 0;
    ssize_t n;
    while (len < size - 1 && (n = read(child.log_fd, log + len, size - 1 - len)) > 0)
        len += (size_t)n;
    log[len] = 0;
    close(child.log_fd);
    int status;
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void silent(struct comm *c)
{
    if (watchdog_start(c, 0.2) != STATUS_OK)
        _exit(98);
    watchdog_beat("load");
    watchdog_beat("generate answers");
    sleep_ms(15000);
}

static void test_bites(void **state)
{
    (void)state;
    char log[1000];
    assert_int_equal(finish(start(silent), log, sizeof(log)), 70);
    assert_non_null(strstr(log, "\"generate answers\""));
    assert_non_null(strstr(log, "watchdog"));
    assert_null(strstr(log, "\"load\""));
}

static void beating(struct comm *c)
{
    if (watchdog_start(c, 0.4) != STATUS_OK)
        _exit(98);
    for (int i = 0; i < 24; i++) {
        watchdog_beat("step");
        sleep_ms(50);
    }
    watchdog_stop();
    sleep_ms(600); /* stopped: silence is fine */
    if (watchdog_start(c, 10.0) != STATUS_OK)
        _exit(97);
    watchdog_stop();
    watchdog_stop();
}

static void test_leaves_the_busy_alone(void **state)
{
    (void)state;
    char log[1000];
    assert_int_equal(finish(start(beating), log, sizeof(log)), 0);
    assert_string_equal(log, "");
}

static void off(struct comm *c)
{
    if (watchdog_start(c, 0.0) != STATUS_OK)
        _exit(98);
    watchdog_beat("anything");
    sleep_ms(50);
    watchdog_stop();
}

static void test_off(void **state)
{
    (void)state;
    char log[1000];
    assert_int_equal(finish(start(off), log, sizeof(log)), 0);
    assert_string_equal(log, "");
}

static void slow(struct comm *c)
{
    if (watchdog_start(c, 0.8) != STATUS_OK)
        _exit(98);
    watchdog_beat("step");
    raise(SIGSTOP);
    sleep_ms(200);
    watchdog_stop();
}

/* A process that was stopped for longer than the deadline goes on when continued. */
static void test_stopped_process_survives(void **state)
{
    (void)state;
    char log[1000];
    const struct child child = start(slow);
    int status;
    assert_int_equal(waitpid(child.pid, &status, WUNTRACED), child.pid);
    assert_true(WIFSTOPPED(status));
    sleep_ms(1200);
    kill(child.pid, SIGCONT);
    assert_int_equal(finish(child, log, sizeof(log)), 0);
    assert_string_equal(log, "");
}

static void aborting(struct comm *c) { comm_abort(c, 75); }

static void test_abort(void **state)
{
    (void)state;
    char log[1000];
    assert_int_equal(finish(start(aborting), log, sizeof(log)), 75);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bites), cmocka_unit_test(test_leaves_the_busy_alone),
        cmocka_unit_test(test_off),   cmocka_unit_test(test_stopped_process_survives),
        cmocka_unit_test(test_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
