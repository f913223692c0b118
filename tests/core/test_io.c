/*
 * Files and directories: contents, errors that name the path, and that failures leave
 * nothing behind. A size limit on files and a full device show late write errors;
 * signals during a slow pipe show interrupted calls.
 */
#include "core/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/core/tmp_dir.h"

static void assert_content(const char *path, const void *data, size_t len)
{
    struct buf b = {0};
    assert_int_equal(io_read_file(&b, path, SIZE_MAX / 2), 0);
    assert_int_equal(b.len, len);
    assert_memory_equal(b.data, data, len);
    assert_int_equal(b.data[len], 0);
    buf_release(&b);
}

static int64_t n_names(const char *path)
{
    char **names;
    int64_t n;
    assert_int_equal(io_list(path, &names, &n), 0);
    io_list_free(names, n);
    return n;
}

static void test_map(void **state)
{
    (void)state;
    struct io_map m;
    assert_int_equal(io_map_open(&m, tmp_text("map", "hello")), 0);
    assert_int_equal(m.size, 5);
    assert_memory_equal(m.data, "hello", 5);
    io_map_done(&m, 0, 5);
    assert_memory_equal(m.data, "hello", 5); /* comes back when read again */
    io_map_done(&m, 3, SIZE_MAX);
    io_map_done(&m, 6, 1);
    io_map_close(&m);
    io_map_close(&m);
    io_map_close(NULL);
    assert_int_equal(io_map_open(&m, tmp_text("empty", "")), 0);
    assert_int_equal(m.size, 0);
    assert_string_equal((const char *)m.data, "");
    io_map_close(&m);
    m.size = 99;
    assert_int_equal(io_map_open(&m, tmp_path("absent")), ERR_INPUT);
    assert_message("absent", NULL);
    assert_int_equal(io_map_open(&m, "/tmp"), ERR_INPUT);
    assert_message("/tmp", "directory", NULL);
    assert_int_equal(io_map_open(&m, "/dev/null"), ERR_INPUT);
    assert_int_equal(io_map_open(&m, tmp_path("empty/below")), ERR_INPUT);
    assert_int_equal(m.size, 99);
}

static void test_read_file(void **state)
{
    (void)state;
    struct buf b = {0};
    const char *const path = tmp_file("nul", "a\0b", 3);
    assert_int_equal(io_read_file(&b, path, 3), 0);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.data, "a\0b", 4);
    assert_int_equal(io_read_file(&b, path, 2), ERR_INPUT);
    assert_message(path, "2 bytes", NULL);
    assert_int_equal(io_read_file(&b, tmp_path("absent"), 9), ERR_INPUT);
    assert_int_equal(b.len, 3); /* as it was */
    assert_int_equal(io_read_file(&b, tmp_text("empty", ""), 0), 0);
    assert_string_equal(b.data, "");
    assert_int_equal(io_read_file(&b, "/tmp", 9), ERR_INPUT);
    buf_release(&b);
}

static void test_write_atomic(void **state)
{
    (void)state;
    assert_int_equal(io_mkdirs(tmp_path("atomic")), 0);
    const char *const path = tmp_path("atomic/file");
    assert_int_equal(io_write_atomic(path, "first", 5), 0);
    assert_content(path, "first", 5);
    assert_int_equal(io_write_atomic(path, "", 0), 0);
    assert_content(path, "", 0);
    assert_int_equal(n_names(tmp_path("atomic")), 1);
    assert_int_equal(io_write_atomic(tmp_path("no/such/dir"), "x", 1), ERR_IO);
    assert_message("no/such/dir", NULL);
    /* the name is taken by a directory: the temporary file goes again */
    assert_int_equal(io_mkdirs(tmp_path("atomic/dir/sub")), 0);
    assert_int_equal(io_write_atomic(tmp_path("atomic/dir"), "x", 1), ERR_IO);
    assert_int_equal(n_names(tmp_path("atomic")), 2);
    const mode_t mask = umask(0);
    umask(mask);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
}

/* A write cut by the file size limit must fail and keep the old content. */
static void test_write_atomic_keeps_old(void **state)
{
    (void)state;
    assert_int_equal(io_mkdirs(tmp_path("limit")), 0);
    const char *const path = tmp_path("limit/file");
    assert_int_equal(io_write_atomic(path, "old", 3), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct rlimit limit = {1000, 1000};
        signal(SIGXFSZ, SIG_IGN);
        char *const data = calloc(1, 5000);
        if (data == NULL || setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(1);
        const int status = io_write_atomic(path, data, 5000);
        _exit(status == ERR_IO && strstr(status_message(), path) != NULL ? 0 : 2);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_content(path, "old", 3);
    assert_int_equal(n_names(tmp_path("limit")), 1);
}

static void test_create_append(void **state)
{
    (void)state;
    const char *const path = tmp_path("stream");
    struct io_file f;
    struct buf want = {0};
    assert_int_equal(io_create(&f, path), 0);
    for (int i = 0; i < 300000; i++) { /* crosses the 1 MiB buffer */
        char line[16];
        const int n = snprintf(line, sizeof(line), "%d\n", i);
        assert_int_equal(io_write(&f, line, (size_t)n), 0);
        buf_append(&want, line, (size_t)n);
    }
    char *const big = mem_alloc(3 << 20);
    memset(big, 'b', 3 << 20);
    assert_int_equal(io_write(&f, big, 3 << 20), 0); /* larger than the buffer */
    buf_append(&want, big, 3 << 20);
    assert_int_equal(io_write(&f, NULL, 0), 0);
    assert_int_equal(f.size, want.len);
    assert_int_equal(io_close(&f, true), 0);
    assert_null(f.path);
    assert_content(path, want.data, want.len);
    assert_int_equal(io_append(&f, path), 0);
    assert_int_equal(f.size, want.len);
    assert_int_equal(io_write(&f, "end", 3), 0);
    assert_int_equal(io_flush(&f), 0);
    buf_puts(&want, "end");
    assert_content(path, want.data, want.len); /* before the close */
    assert_int_equal(io_close(&f, false), 0);
    assert_int_equal(io_create(&f, path), 0);
    assert_int_equal(io_close(&f, false), 0);
    assert_content(path, "", 0);
    mem_free(big);
    buf_release(&want);
}

static void test_write_errors(void **state)
{
    (void)state;
    struct io_file f = {0};
    assert_int_equal(io_create(&f, tmp_path("absent/file")), ERR_IO);
    assert_message("absent/file", NULL);
    io_abandon(&f); /* zeroed: must not close descriptor 0 */
    assert_true(fcntl(0, F_GETFD) >= 0 || errno == EBADF);
    io_abandon(NULL);
    if (!io_exists("/dev/full"))
        skip();
    /* what the buffer held back comes out as an error of close or flush */
    assert_int_equal(io_append(&f, "/dev/full"), 0);
    assert_int_equal(io_write(&f, "x", 1), 0);
    assert_int_equal(io_close(&f, false), ERR_IO);
    assert_message("/dev/full", NULL);
    assert_null(f.path);
    assert_int_equal(io_append(&f, "/dev/full"), 0);
    assert_int_equal(io_write(&f, "x", 1), 0);
    assert_int_equal(io_flush(&f), ERR_IO);
    io_abandon(&f);
}

static void on_alarm(int signal_number) { (void)signal_number; }

/* A reader drains a pipe slowly while a timer interrupts the writer: short writes and
 * EINTR at every turn, and no byte is lost. */
static void test_interrupted_writes(void **state)
{
    (void)state;
    enum { N = 600000 };
    const char *const path = tmp_path("fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct buf got = {0};
        const int fd = open(path, O_RDONLY);
        char chunk[20000];
        for (ssize_t n; (n = read(fd, chunk, sizeof(chunk))) > 0; usleep(2000))
            buf_append(&got, chunk, (size_t)n);
        bool is_equal = got.len == N;
        for (size_t i = 0; i < got.len && is_equal; i++)
            is_equal = (unsigned char)got.data[i] == (i * 7 & 0xFF);
        _exit(is_equal ? 0 : 1);
    }
    const struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
    struct sigaction old;
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &often, NULL);
    struct io_file f;
    char *const data = mem_alloc(N);
    for (size_t i = 0; i < N; i++)
        data[i] = (char)(i * 7 & 0xFF);
    assert_int_equal(io_append(&f, path), 0);
    assert_int_equal(io_write(&f, data, N), 0);
    assert_int_equal(io_close(&f, false), 0);
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &old, NULL);
    assert_int_equal(status, 0);
    mem_free(data);
}

static void test_truncate(void **state)
{
    (void)state;
    const char *const path = tmp_text("cut", "0123456789");
    assert_int_equal(io_truncate(path, 4), 0);
    assert_content(path, "0123", 4);
    assert_int_equal(io_truncate(path, 4), 0);
    assert_int_equal(io_truncate(path, 5), ERR_INPUT); /* it never invents bytes */
    assert_message(path, "4 bytes", NULL);
    assert_content(path, "0123", 4);
    assert_int_equal(io_truncate(tmp_path("absent"), 0), ERR_INPUT);
    assert_int_equal(io_truncate(path, -1), ERR_INPUT);
}

static void test_directories(void **state)
{
    (void)state;
    assert_int_equal(io_mkdirs(tmp_path("d//e/f/")), 0);
    assert_int_equal(io_mkdirs(tmp_path("d/e/f")), 0);
    assert_true(io_is_dir(tmp_path("d/e/f")));
    (void)tmp_text("d/file", "1");
    (void)tmp_text("d/B", "2");
    assert_false(io_is_dir(tmp_path("d/file")));
    assert_true(io_exists(tmp_path("d/file")));
    assert_false(io_exists(tmp_path("d/none")));
    assert_int_equal(io_mkdirs(tmp_path("d/file/x")), ERR_IO);
    assert_message("d/file", "in the way", NULL);
    char **names;
    int64_t n;
    assert_int_equal(io_list(tmp_path("d"), &names, &n), 0);
    assert_int_equal(n, 3);
    assert_string_equal(names[0], "B");
    assert_string_equal(names[1], "e");
    assert_string_equal(names[2], "file");
    io_list_free(names, n);
    assert_int_equal(io_list(tmp_path("d/e/f"), &names, &n), 0);
    assert_int_equal(n, 0);
    io_list_free(names, n);
    assert_int_equal(io_list(tmp_path("none"), &names, &n), ERR_INPUT);
    assert_true(io_free_bytes(tmp_path("d")) > 0);
    assert_int_equal(io_free_bytes(tmp_path("none")), -1);
    char *const joined = io_join("a/b", "c");
    assert_string_equal(joined, "a/b/c");
    mem_free(joined);
}

static void test_rename_and_remove(void **state)
{
    (void)state;
    assert_int_equal(io_mkdirs(tmp_path("from/sub")), 0);
    assert_int_equal(io_mkdirs(tmp_path("outside")), 0);
    (void)tmp_text("from/sub/a", "content");
    (void)tmp_text("outside/kept", "x");
    assert_int_equal(symlink(tmp_path("outside"), tmp_path("from/link")), 0);
    assert_int_equal(symlink("nowhere", tmp_path("from/sub/dangling")), 0);
    assert_int_equal(io_rename_dir(tmp_path("from"), tmp_path("to")), 0);
    assert_false(io_exists(tmp_path("from")));
    assert_content(tmp_path("to/sub/a"), "content", 7);
    assert_int_equal(io_rename_dir(tmp_path("from"), tmp_path("to")), ERR_IO);
    assert_int_equal(io_mkdirs(tmp_path("third")), 0);
    assert_int_equal(io_rename_dir(tmp_path("third"), tmp_path("to")), ERR_IO);
    assert_message("third", "to", NULL);
    assert_int_equal(io_remove_tree(tmp_path("to")), 0);
    assert_false(io_exists(tmp_path("to")));
    assert_true(io_exists(tmp_path("outside/kept"))); /* behind a link */
    assert_int_equal(io_remove_tree(tmp_path("to")), 0);
    assert_int_equal(io_remove_tree(tmp_text("single", "x")), 0);
    assert_false(io_exists(tmp_path("single")));
}

static void test_copy(void **state)
{
    (void)state;
    const size_t n = (2 << 20) + 5;
    char *const data = mem_alloc(n);
    for (size_t i = 0; i < n; i++)
        data[i] = (char)(i >> 7);
    const char *const from = tmp_file("from", data, n), *const to = tmp_path("to");
    assert_int_equal(io_copy_file(to, from), 0);
    assert_content(to, data, n);
    assert_int_equal(io_copy_file(from, from), ERR_INPUT);
    assert_content(from, data, n); /* not emptied */
    assert_int_equal(io_copy_file(to, tmp_text("small", "s")), 0);
    assert_content(to, "s", 1);
    assert_int_equal(io_copy_file(to, tmp_path("absent")), ERR_INPUT);
    assert_content(to, "s", 1);
    assert_int_equal(io_copy_file(tmp_path("absent/x"), from), ERR_IO);
    assert_true(io_is_same(from, tmp_path("./from")));
    assert_false(io_is_same(from, to));
    assert_false(io_is_same(tmp_path("absent"), tmp_path("absent")));
    mem_free(data);
}

static void check_lines(const char *text, size_t len, const char *const *want,
                        int64_t n)
{
    struct io_lines r;
    const char *line;
    size_t line_len;
    assert_int_equal(io_lines_open(&r, tmp_file("lines", text, len)), 0);
    for (int64_t i = 0; i < n; i++) {
        assert_true(io_lines_next(&r, &line, &line_len));
        assert_string_equal(line, want[i]);
        assert_int_equal(line_len, strlen(want[i]));
        assert_int_equal(r.number, i + 1);
    }
    for (int i = 0; i < 2; i++) {
        assert_false(io_lines_next(&r, &line, &line_len));
        assert_null(line);
    }
    io_lines_close(&r);
    io_lines_close(&r);
}

#define LINES(text, ...)                                                               \
    do {                                                                               \
        static const char *const want[] = {__VA_ARGS__};                               \
        check_lines(text, sizeof(text) - 1, want, ARRAY_LEN(want));                    \
    } while (0)

static void test_lines(void **state)
{
    (void)state;
    check_lines("", 0, NULL, 0);
    LINES("\n", "");
    LINES("a", "a");
    LINES("a\n", "a");
    LINES("a\n\n", "a", "");
    LINES("a\r\nbc\r\n", "a", "bc");
    LINES("a\r\nb\r", "a", "b");
    LINES("\r\n\r\n", "", "");
    LINES("a\rb\nc\r\r\n", "a\rb", "c\r");
    struct io_lines r;
    const char *line;
    size_t len;
    assert_int_equal(io_lines_open(&r, tmp_file("lines", "x\0y\nz", 5)), 0);
    assert_true(io_lines_next(&r, &line, &len));
    assert_int_equal(len, 3);
    assert_memory_equal(line, "x\0y", 4);
    assert_true(io_lines_next(&r, &line, NULL));
    assert_string_equal(line, "z");
    io_lines_close(&r);
    io_lines_close(NULL);
    assert_int_equal(io_lines_open(&r, tmp_path("absent")), ERR_INPUT);
    assert_message("absent", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_read_file),
        cmocka_unit_test(test_write_atomic),
        cmocka_unit_test(test_write_atomic_keeps_old),
        cmocka_unit_test(test_create_append),
        cmocka_unit_test(test_write_errors),
        cmocka_unit_test(test_interrupted_writes),
        cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_directories),
        cmocka_unit_test(test_rename_and_remove),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, tmp_dir_make, tmp_dir_remove);
}
