/*
 * A process that saves is killed, at system calls spread over a whole save (ptrace) and
 * at random moments: what it had reported saved, or something newer, must be found
 * whole afterwards, and the next save must work.
 */
#include "tests/model/checkpoint_fixture.h"

#include <errno.h>
#include <omp.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

enum { N_KILL_POINTS = 120, N_RANDOM_KILLS = 40 };

/* In the child: a first version of step 1 exists; save step 2, then step 2 again. */
static void save_twice(struct fixture *f, int64_t salt)
{
    if (fixture_save(f, 2, salt) != STATUS_OK ||
        fixture_save(f, 2, salt + 1) != STATUS_OK)
        _exit(9);
    _exit(0);
}

/* Runs `save_twice` and kills it at its n-th system call stop (-1: never). Returns the
 * stops seen, or -1 where ptrace is not allowed. */
static int64_t run_and_kill(struct fixture *f, int64_t kill_at)
{
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(8);
        raise(SIGSTOP);
        save_twice(f, 0);
    }
    int status = 0;
    int64_t n = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        return -1;
    for (;;) {
        if (n == kill_at)
            kill(pid, SIGKILL);
        if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) != 0)
            assert_int_equal(errno, ESRCH); /* killed already */
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSTOPPED(status))
            break;
        n++;
    }
    if (kill_at < 0)
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    else
        assert_true(WIFSIGNALED(status) || n < kill_at);
    return n;
}

static void test_kill_at_system_calls(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_create(&f);
    assert_int_equal(fixture_save(&f, 1, 7), STATUS_OK);
    const int64_t n = run_and_kill(&f, -1);
    if (n < 0) {
        fixture_release(&f);
        skip();
    }
    int64_t n_by_step[3] = {0};
    for (int64_t i = 0; i < N_KILL_POINTS; i++) {
        char *const checkpoints = io_join(f.run, "checkpoints");
        assert_int_equal(io_remove_tree(checkpoints), STATUS_OK);
        mem_free(checkpoints);
        assert_int_equal(fixture_save(&f, 1, 7), STATUS_OK);
        run_and_kill(&f, i * n / N_KILL_POINTS);
        char *dir;
        int64_t step;
        assert_int_equal(checkpoint_find_latest(f.run, &dir, &step), STATUS_OK);
        assert_in_range(step, 1, 2);
        const int64_t salt = fixture_expect(&f, dir, step);
        assert_true(step == 1 ? salt == 7 : salt == 0 || salt == 1);
        n_by_step[step]++;
        mem_free(dir);
        assert_int_equal(fixture_save(&f, 3, 0), STATUS_OK); /* and it goes on */
        fixture_expect_latest(&f, 3);
    }
    /* the points fell before and after the first rename */
    assert_true(n_by_step[1] > 5 && n_by_step[2] > 5);
    fixture_release(&f);
}

/* Saves steps first, first + 1, ..., each twice, reporting each finished one. */
static void save_for_ever(struct fixture *f, int64_t first, int report_fd)
{
    for (int64_t step = first;; step++)
        for (int64_t salt = 0; salt < 2; salt++)
            if (fixture_save(f, step, salt) != STATUS_OK ||
                write(report_fd, &step, sizeof(step)) != sizeof(step))
                _exit(9);
}

static void test_kill_at_random(void **unused)
{
    (void)unused;
    struct fixture f;
    fixture_create(&f);
    int64_t latest = 0;
    assert_int_equal(fixture_save(&f, 0, 0), STATUS_OK);
    for (int i = 0; i < N_RANDOM_KILLS; i++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            save_for_ever(&f, latest + 1, fds[1]);
        close(fds[1]);
        usleep(1000 + rng_below(3, RNG_TEST, 40000, (uint32_t)i, 0, 0, 0));
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status)); /* it had not failed */
        int64_t reported = latest, step;
        while (read(fds[0], &step, sizeof(step)) == sizeof(step))
            reported = step;
        close(fds[0]);
        char *dir;
        assert_int_equal(checkpoint_find_latest(f.run, &dir, &latest), STATUS_OK);
        assert_in_range(latest, reported, reported + 1);
        fixture_expect(&f, dir, latest);
        mem_free(dir);
    }
    assert_true(latest > 3); /* the child got somewhere */
    fixture_release(&f);
}

int main(void)
{
    omp_set_num_threads(1); /* a forked child has none of its parent's threads */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_at_system_calls),
        cmocka_unit_test(test_kill_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
