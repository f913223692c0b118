/*
 * Messages, exit statuses, CHECK's end and log lines. What ends a process or goes to
 * stderr is run in a child whose stderr is caught.
 */
#include "core/status.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/core/tmp_dir.h"

/* Runs fn in a child; its stderr goes to out, the wait status is returned. */
static int run_child(void (*fn)(void), char *out, size_t room)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        fn();
        _exit(0);
    }
    close(fds[1]);
    size_t len = 0;
    for (ssize_t n; (n = read(fds[0], out + len, room - 1 - len)) > 0;)
        len += (size_t)n;
    out[len] = 0;
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_message(void **state)
{
    (void)state;
    assert_string_equal(status_message(), "");
    assert_int_equal(ERR(ERR_INPUT, "%s:%d: bad", "a.json", 3), ERR_INPUT);
    assert_string_equal(status_message(), "a.json:3: bad");
    assert_int_equal(status_prefix(ERR_INPUT, "model %d", 7), ERR_INPUT);
    assert_string_equal(status_message(), "model 7: a.json:3: bad");
    /* the old message as an argument of the new one */
    (void)ERR(ERR_IO, "again: %s", status_message());
    assert_string_equal(status_message(), "again: model 7: a.json:3: bad");
}

static void test_long_message(void **state)
{
    (void)state;
    char text[3000];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 0;
    (void)ERR(ERR_IO, "%s", text);
    assert_int_equal(strlen(status_message()), 1023);
    (void)status_prefix(ERR_IO, "where");
    assert_int_equal(strlen(status_message()), 1023);
    assert_memory_equal(status_message(), "where: xxx", 10);
    (void)status_prefix(ERR_IO, "%s", text);
    assert_true(strlen(status_message()) <= 1023);
    (void)ERR(ERR_IO, "short");
    assert_string_equal(status_message(), "short");
}

static int try_it(int inner, int *n_after)
{
    TRY(inner);
    ++*n_after;
    return STATUS_OK;
}

static int try_out(int inner, int *n_after)
{
    int status;
    TRY_OUT(inner);
    ++*n_after;
out:
    return status;
}

static void test_try(void **state)
{
    (void)state;
    int n = 0;
    assert_int_equal(try_it(ERR_COMM, &n), ERR_COMM);
    assert_int_equal(try_out(ERR_COMM, &n), ERR_COMM);
    assert_int_equal(n, 0);
    assert_int_equal(try_it(STATUS_OK, &n), 0);
    assert_int_equal(try_out(STATUS_OK, &n), 0);
    assert_int_equal(n, 2);
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        int code, exit_status;
        const char *name;
    } rows[] = {
        {0, 0, "STATUS_OK"},
        {ERR_USAGE, 2, "ERR_USAGE"},
        {ERR_CONFIG, 2, "ERR_CONFIG"},
        {ERR_INPUT, 3, "ERR_INPUT"},
        {ERR_MEMORY, 75, "ERR_MEMORY"},
        {ERR_REQUEUE, 85, "ERR_REQUEUE"},
        {ERR_NO_RETRY, 93, "ERR_NO_RETRY"},
        {ERR_INTERNAL, 70, "ERR_INTERNAL"},
        {-99, 70, "unknown status"},
    };
    for (int64_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(status_exit(rows[i].code), rows[i].exit_status);
        assert_string_equal(status_name(rows[i].code), rows[i].name);
    }
    assert_string_equal(status_meaning(ERR_INPUT), "bad input file");
}

static void *other_thread(void *arg)
{
    (void)arg;
    const bool was_empty = status_message()[0] == 0;
    (void)ERR(ERR_IO, "theirs");
    return was_empty ? (void *)1 : NULL;
}

static void test_message_per_thread(void **state)
{
    (void)state;
    (void)ERR(ERR_IO, "mine");
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_non_null(result);
    assert_string_equal(status_message(), "mine");
}

static void break_invariant(void)
{
    log_set_level(LOG_OFF);
    log_set_rank(3, 4);
    const int n = 5;
    CHECK(n == 4, "n is %d", n);
}

static void keep_invariant(void) { CHECK(1 + 1 == 2, "arithmetic"); }

static void test_check(void **state)
{
    (void)state;
    char out[4096];
    int status = run_child(break_invariant, out, sizeof(out));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(out, "[3]"));
    assert_non_null(strstr(out, "test_status.c:"));
    assert_non_null(strstr(out, "n == 4"));
    assert_non_null(strstr(out, "n is 5"));
    status = run_child(keep_invariant, out, sizeof(out));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_string_equal(out, "");
}

static void write_lines(void)
{
    log_debug("dropped");
    log_info("one %d", 1);
    log_set_level(LOG_WARN);
    log_info("dropped");
    log_warn("two");
    log_set_rank(1, 2);
    log_error("three");
    log_set_level(LOG_OFF);
    log_error("dropped");
}

static void write_long_line(void)
{
    char text[9000];
    memset(text, 'y', sizeof(text));
    text[sizeof(text) - 1] = 0;
    log_info("%s", text);
    log_info("next");
}

static void test_log_lines(void **state)
{
    (void)state;
    char out[16384];
    assert_int_equal(run_child(write_lines, out, sizeof(out)), 0);
    assert_null(strstr(out, "dropped"));
    int h, m, s, n = -1;
    assert_int_equal(sscanf(out, "%2d:%2d:%2d %n", &h, &m, &s, &n), 3);
    assert_int_equal(n, 9);
    assert_memory_equal(out + 9, "one 1\n", 6);
    assert_non_null(strstr(out, " warning: two\n"));
    assert_non_null(strstr(out, " [1] error: three\n"));
    assert_int_equal(run_child(write_long_line, out, sizeof(out)), 0);
    const char *const end = strchr(out, '\n');
    assert_non_null(end);
    assert_true(end - out >= 4000 && end - out < 4096);
    assert_non_null(strstr(end, "next\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message),
        cmocka_unit_test(test_long_message),
        cmocka_unit_test(test_try),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_message_per_thread),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_log_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
