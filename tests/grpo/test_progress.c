/*
 * The progress line under a clock of the test's own: how often it is drawn, on a
 * terminal and off one, and what it says.
 */
#include "grpo/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static double now;

static double test_clock(void) { return now; }

struct screen {
    FILE *file;
    char *text;
    size_t len;
};

static void screen_open(struct screen *s, struct progress *p, bool is_tty,
                        int64_t first, int64_t n)
{
    *s = (struct screen){0};
    s->file = open_memstream(&s->text, &s->len);
    progress_start(p, s->file, "train", first, n);
    assert_false(p->is_tty); /* a memory stream is no terminal */
    p->is_tty = is_tty;
    p->clock = test_clock;
    now = 1000;
    p->start_s = p->drawn_s = now;
}

static int count(const char *text, char c)
{
    int n = 0;
    for (; *text != 0; text++)
        n += *text == c;
    return n;
}

static void test_lines(void **state)
{
    (void)state;
    struct screen s;
    struct progress p;
    screen_open(&s, &p, false, 0, 100);
    for (int i = 1; i <= 100; i++) {
        now += 2; /* 200 s: a line each 10 s */
        progress_update(&p, i, "reward 0.41");
    }
    progress_end(&p);
    fclose(s.file);
    assert_int_equal(count(s.text, '\n'), 20);
    assert_int_equal(count(s.text, '\r'), 0);
    assert_memory_equal(s.text, "train 5/100  2.0 s/step  ETA 3m10s  reward 0.41\n",
                        48);
    assert_non_null(strstr(s.text, "train 100/100  2.0 s/step  ETA 0s"));
    free(s.text);
}

static void test_terminal(void **state)
{
    (void)state;
    struct screen s;
    struct progress p;
    screen_open(&s, &p, true, 40, 1040);
    for (int i = 41; i <= 1040; i++) {
        now += 0.01; /* 10 s: at most 100 draws and the last */
        progress_update(&p, i, "");
    }
    fflush(s.file);
    assert_in_range(count(s.text, '\r'), 80, 101);
    assert_int_equal(count(s.text, '\n'), 0);
    /* 100 steps/s of its own, although 40 were done before */
    assert_non_null(strstr(s.text, "train 1040/1040  100.0 steps/s  ETA 0s\033[K"));
    progress_end(&p);
    fflush(s.file);
    assert_int_equal(s.text[s.len - 1], '\n');
    progress_clear(&p); /* nothing is drawn: nothing to wipe */
    fclose(s.file);
    assert_int_equal(s.text[s.len - 1], '\n');
    free(s.text);
}

static void test_clear_and_width(void **state)
{
    (void)state;
    struct screen s;
    struct progress p;
    screen_open(&s, &p, true, 0, 10);
    char tail[900];
    for (int i = 0; i < 898; i += 2)
        memcpy(tail + i, "\xC3\xA9", 2); /* two bytes, one column */
    tail[898] = 0;
    now += 90000;
    progress_update(&p, 1, tail);
    fflush(s.file);
    int columns = 0;
    for (size_t i = 1; i < s.len - 3; i++)
        columns += ((unsigned char)s.text[i] & 0xC0) != 0x80;
    assert_int_equal(columns, 79);
    assert_non_null(strstr(s.text, "ETA 9d09h"));
    progress_clear(&p);
    fflush(s.file);
    assert_string_equal(s.text + s.len - 4, "\r\033[K");
    const size_t before = s.len;
    progress_update(&p, 1, "now"); /* draws at once after a clear */
    fflush(s.file);
    assert_true(s.len > before);
    const size_t drawn = s.len;
    progress_update(&p, 2, "too soon");
    fflush(s.file);
    assert_int_equal(s.len, drawn);
    progress_end(&p);
    fclose(s.file);
    free(s.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_clear_and_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
