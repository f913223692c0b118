/*
 * The report: a page that is balanced markup and loads nothing, shows what a run holds
 * and leaves out what it does not, escapes what models write, survives cut and odd
 * files; axes with round ticks; heat maps that decode to the loads they show.
 */
#include "grpo/report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/io.h"
#include "core/json.h"
#include "grpo/report_axis.h"
#include "grpo/report_data.h"
#include "grpo/report_heat.h"
#include "grpo/report_svg.h"

static char root[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/test_report_XXXXXX");
    return mkdtemp(root) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    return io_remove_tree(root);
}

static void put_file(const char *run, const char *name, const char *text)
{
    char *const dir = io_join(root, run), *const path = io_join(dir, name);
    assert_int_equal(io_mkdirs(dir), 0);
    assert_int_equal(io_write_atomic(path, text, strlen(text)), 0);
    mem_free(path);
    mem_free(dir);
}

/* The page about the named runs, "a" or "a b"; mem_free. */
static char *page_of(const char *names)
{
    const char *dirs[8];
    int64_t n = 0;
    char *const words = mem_strdup(names), *save = NULL;
    for (char *w = strtok_r(words, " ", &save); w != NULL;
         w = strtok_r(NULL, " ", &save))
        dirs[n++] = io_join(root, w);
    char *const out = io_join(root, "report.html");
    const int status = report_write(out, dirs, n);
    if (status != STATUS_OK)
        print_error("%s\n", status_message());
    assert_int_equal(status, STATUS_OK);
    struct buf page = {0};
    assert_int_equal(io_read_file(&page, out, 1 << 26), 0);
    for (int64_t i = 0; i < n; i++)
        mem_free((void *)(uintptr_t)dirs[i]);
    mem_free(words);
    mem_free(out);
    return page.data;
}

static bool is_void_tag(const char *name)
{
    return strcmp(name, "meta") == 0 || strcmp(name, "!DOCTYPE") == 0;
}

/* Every tag closes in order, every attribute is quoted, no stray '<' or bare '&'. */
static void assert_balanced(const char *page)
{
    char stack[64][16];
    int depth = 0;
    for (const char *p = page; *p != 0; p++) {
        if (*p == '&')
            assert_true(strcspn(p, "; <") < 9 && p[strcspn(p, "; <")] == ';');
        if (*p != '<')
            continue;
        const bool is_end = p[1] == '/';
        char name[16];
        assert_int_equal(sscanf(p + 1 + is_end, "%15[A-Za-z0-9!]", name), 1);
        bool is_quoted = false;
        for (p++; *p != 0 && (*p != '>' || is_quoted); p++) {
            is_quoted ^= *p == '"';
            assert_true(is_quoted || *p != '<');
        }
        assert_int_equal(*p, '>');
        if (is_end) {
            assert_true(depth > 0);
            assert_string_equal(stack[--depth], name);
        } else if (p[-1] != '/' && !is_void_tag(name)) {
            assert_true(depth < 64);
            strcpy(stack[depth++], name);
        }
        /* raw text up to its end tag */
        if (!is_end && strcmp(name, "style") == 0)
            p = strstr(p, "</style>") - 1;
        if (!is_end && strcmp(name, "script") == 0)
            p = strstr(p, "</script>") - 1;
    }
    assert_int_equal(depth, 0);
}

static void assert_alone(const char *page)
{
    static const char *const outside[] = {"http:",   "https:", "src=", "<link",
                                          "@import", "url(",   "//"};
    for (int64_t i = 0; i < ARRAY_LEN(outside); i++) {
        const char *at = strstr(page, outside[i]);
        /* base64 may hold slashes */
        while (at != NULL && strcmp(outside[i], "//") == 0 && at > page &&
               strchr(" '\"", at[-1]) == NULL)
            at = strstr(at + 2, outside[i]);
        if (at != NULL)
            print_error("%.60s\n", at);
        assert_null(at);
    }
    assert_non_null(strstr(page, "name=\"viewport\""));
    assert_non_null(strstr(page, "prefers-color-scheme:dark"));
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = strstr(text, what); p != NULL; p = strstr(p + 1, what))
        n++;
    return n;
}

static void assert_page(const char *page)
{
    assert_balanced(page);
    assert_alone(page);
    assert_int_equal(count(page, "nan"), 0);
    assert_int_equal(count(page, "inf "), 0);
    assert_int_equal(count(page, "<script>"), 1);
    assert_int_equal(count(page, "role=\"img\"><title>"), count(page, "role=\"img\""));
}

/* A run with everything in it. */
static void put_full_run(const char *name, int64_t n_steps, double gain)
{
    struct buf m = {0};
    for (int64_t t = 0; t <= n_steps; t++) {
        const double x = (double)t / (double)n_steps;
        buf_printf(&m, "{\"schema\":1,\"step\":%lld", (long long)t);
        if (t > 0)
            buf_printf(&m,
                       ",\"reward_mean\":%.17g,\"share_correct\":%.17g,\"entropy\":%s,"
                       "\"grad_norm\":0.5,\"lr\":1e-06,\"rss_bytes\":4294967296,"
                       "\"time_rollout_s\":2,\"time_learn_s\":1.5,\"time_step_s\":3.5,"
                       "\"logp_diff_max\":0,\"kl_ref\":0.01,"
                       "\"expert_load\":[[30,10,0,0],[10,10,10,10]]",
                       0.25 + gain * x, gain * x, t % 7 == 3 ? "null" : "0.75");
        if (t % 10 == 0)
            buf_printf(&m, ",\"eval_accuracy\":%.17g,\"eval_lo\":0.05,\"eval_hi\":0.9",
                       0.1 + gain * x);
        buf_puts(&m, "}\n");
    }
    put_file(name, "metrics.jsonl", m.data);
    buf_release(&m);
    put_file(name, "samples.jsonl",
             "{\"step\":1,\"problem\":\"2+2 & <b>\",\"completion\":\"</pre><script>x()"
             "</script> \\u0001\",\"reward\":0,\"reason\":\"wrong\",\"gold\":\"4\"}\n"
             "{\"step\":5,\"problem\":\"midway\",\"completion\":\"midway\"}\n"
             "{\"step\":9,\"problem\":\"other\",\"response\":\"o\"}\n"
             "{\"step\":9,\"problem\":\"2+2 & <b>\",\"completion\":\"#### 4\","
             "\"reward\":1,\"reason\":\"correct\"}\nnot json\n{\"step\":");
    put_file(name, "summary.json",
             "{\"before\":{\"accuracy\":0.1},\"after\":null,\"wall_s\":12.5}");
}

static void test_full(void **state)
{
    (void)state;
    put_full_run("full", 40, 0.5);
    put_file("full", "config.ini",
             "# comment\n[grpo]\nsteps = 40\n[optim]\nlr = 1e-6\nodd=\"<&\xFF\"\n");
    char *const page = page_of("full/");
    assert_page(page);
    assert_non_null(strstr(page, "<h1>full</h1>"));
    static const char *const present[] = {"<b>Reward</b>",
                                          "<b>Evaluation accuracy</b>",
                                          "<b>Entropy</b>",
                                          "<b>Step time</b>",
                                          "<b>Memory</b>",
                                          "<b>Layer 1</b>",
                                          "grpo.steps",
                                          "optim.lr",
                                          "before.accuracy",
                                          "wall_s",
                                          "Samples before and after",
                                          "2+2 &amp; &lt;b&gt;",
                                          "&lt;script&gt;x()",
                                          "#### 4",
                                          "10.0 %</span> <i>&rarr;</i> <b>60.0 %</b>",
                                          "5.0 %&ndash;90.0 %",
                                          "&quot;&lt;&amp;\xEF\xBF\xBD&quot;"};
    for (int64_t i = 0; i < ARRAY_LEN(present); i++) {
        if (strstr(page, present[i]) == NULL)
            print_error("missing: %s\n", present[i]);
        assert_non_null(strstr(page, present[i]));
    }
    static const char *const absent[] = {"<b>Clip fraction</b>", "<b>Throughput</b>",
                                         "Router losses",        "midway",
                                         "</pre><script>",       "unreadable"};
    for (int64_t i = 0; i < ARRAY_LEN(absent); i++)
        assert_null(strstr(page, absent[i]));
    /* the same problem is paired although another one comes first at the last step */
    const char *const before = strstr(page, "x()"), *const after = strstr(page,
                                                                          "#### 4");
    assert_true(before < after && after - before < 600);
    mem_free(page);
}

/* The part of the page that is the chart of this title. */
static char *chart_of(const char *page, const char *title)
{
    char head[64];
    snprintf(head, sizeof(head), "<figcaption><b>%s</b>", title);
    const char *const start = strstr(page, head);
    assert_non_null(start);
    return mem_strndup(start, (size_t)(strstr(start, "</figure>") - start));
}

static void test_gaps(void **state)
{
    (void)state;
    put_file("gaps", "metrics.jsonl",
             "{\"step\":1,\"entropy\":1,\"eval_accuracy\":0.5}\n"
             "{\"step\":2,\"entropy\":2}\n"
             "{\"step\":3,\"entropy\":null}\n"
             "{\"step\":4,\"entropy\":3,\"eval_accuracy\":0.75}\n"
             "{\"step\":5,\"entropy\":null,\"kl_ref\":null}\n");
    char *const page = page_of("gaps");
    assert_page(page);
    char *const entropy = chart_of(page, "Entropy");
    const char *const line = strstr(entropy, "class=\"line c0 d0\" d=\"");
    char *const path = mem_strndup(line, strcspn(line, ">"));
    assert_int_equal(count(path, "M"), 2); /* null lifts the pen */
    assert_int_equal(count(path, "L"), 1);
    assert_int_equal(count(path, "h0"), 1); /* step 4 stands alone */
    assert_int_equal(count(entropy, "<circle"), 3);
    char *const accuracy = chart_of(page, "Evaluation accuracy");
    /* steps without an evaluation do not: one stroke from step 1 to 4 */
    assert_non_null(strstr(accuracy, "1,50.0 %;"));
    assert_non_null(strstr(accuracy, "4,75.0 %;"));
    const char *const stroke = strstr(accuracy, "class=\"line c0 d0\" d=\"M");
    assert_non_null(stroke);
    assert_int_equal(strcspn(stroke + 24, "L") < strcspn(stroke + 24, "\""), 1);
    assert_null(strstr(page, "KL divergence")); /* only null: no chart */
    mem_free(path);
    mem_free(entropy);
    mem_free(accuracy);
    mem_free(page);
}

static void test_thinning(void **state)
{
    (void)state;
    struct buf m = {0};
    enum { N = 20000 };
    for (int i = 1; i <= N; i++)
        buf_printf(&m, "{\"step\":%d,\"grad_norm\":%.4f,\"reward_mean\":0.5}\n", i,
                   i == 12345 ? 7.25
                   : i == 777 ? 0.0625
                              : 1 + 0.001 * (i % 10));
    put_file("long", "metrics.jsonl", m.data);
    char *const page = page_of("long");
    assert_page(page);
    char *const chart = chart_of(page, "Gradient norm");
    const int n_points = count(chart, ";");
    assert_in_range(n_points, PLOT_MAX_POINTS / 2, PLOT_MAX_POINTS);
    assert_non_null(strstr(chart, ",12345,7.25;")); /* both extremes survive */
    assert_non_null(strstr(chart, ",777,0.0625;"));
    assert_true(strlen(page) < 200000);
    mem_free(chart);
    mem_free(page);
    buf_release(&m);
}

static void test_small_and_odd(void **state)
{
    (void)state;
    put_file("one", "metrics.jsonl",
             "{\"step\":1,\"reward_mean\":0.5,\"loss\":0,"
             "\"kl_ref\":1e-300,\"grad_norm\":1e300}\n");
    char *page = page_of("one");
    assert_page(page);
    mem_free(page);
    /* no known series at all; a wrong shape of loads; a line cut by a crash */
    put_file(
        "odd", "metrics.jsonl",
        "{\"step\":0,\"x\":1,\"expert_load\":[[1,2],[3]]}\n"
        "{\"step\":1,\"expert_load\":[]}\n[1]\n{\"reward_mean\":1}\n\n{\"step\":2,");
    put_file("odd", "summary.json", "{\"cut");
    page = page_of("odd");
    assert_page(page);
    assert_non_null(strstr(page, "2 lines of metrics, 4 unreadable"));
    assert_null(strstr(page, "Expert load by layer"));
    assert_null(strstr(page, "Configuration</h2>"));
    mem_free(page);
    /* constant, negative, huge and tiny series */
    put_file("range", "metrics.jsonl",
             "{\"step\":10,\"reward_mean\":-3,\"loss\":-1e9,\"entropy\":1e-12,"
             "\"lr\":0,\"grad_norm\":1e-8}\n"
             "{\"step\":20,\"reward_mean\":-3,\"loss\":1e9,\"entropy\":1e-12,"
             "\"lr\":0,\"grad_norm\":1e8}\n");
    page = page_of("range");
    assert_page(page);
    assert_non_null(strstr(page, "logarithmic"));
    mem_free(page);
}

static void test_several(void **state)
{
    (void)state;
    put_full_run("a", 12, 0.25);
    put_full_run("b<i>", 40, 0.5);
    put_file("a", "config.ini", "[grpo]\nsteps = 12\nprompts = 8\n");
    put_file("b<i>", "config.ini", "[grpo]\nsteps = 40\nprompts = 8\nextra = 1\n");
    char *const page = page_of("a b<i>");
    assert_page(page);
    assert_non_null(strstr(page, "Comparison of 2 runs"));
    assert_non_null(strstr(page, "b&lt;i&gt;"));
    assert_null(strstr(page, "b<i>"));
    assert_int_equal(count(page, "<tr class=\"differs\">"), 2);
    assert_int_equal(count(page, "<b>Layer 0</b>"), 2);
    char *const chart = chart_of(page, "Step time");
    assert_int_equal(count(chart, "data-p="), 2); /* whole steps, not phases */
    assert_null(strstr(chart, "class=\"band"));
    mem_free(chart);
    mem_free(page);
    /* many runs: lines are capped, the page stays whole */
    char *const many = page_of("a a a a a a a a");
    assert_page(many);
    mem_free(many);
}

static void test_errors(void **state)
{
    (void)state;
    char *const out = io_join(root, "none.html");
    const char *const missing[] = {"/nonexistent/run"};
    assert_int_equal(report_write(out, missing, 1), ERR_INPUT);
    assert_int_equal(report_write(out, missing, 0), ERR_USAGE);
    put_file("empty", "metrics.jsonl", "");
    char *const empty = io_join(root, "empty");
    const char *const dirs[] = {empty};
    assert_int_equal(report_write(out, dirs, 1), ERR_INPUT);
    assert_non_null(strstr(status_message(), "metrics.jsonl"));
    assert_false(io_exists(out));
    mem_free(empty);
    mem_free(out);
}

static void test_axis(void **state)
{
    (void)state;
    static const double ranges[][2] = {{0, 1},           {0.11, 0.47},     {-3, 5},
                                       {0, 0},           {5, 5},           {-2, -2},
                                       {1e-300, 1e-299}, {-1e300, 1e300},  {0, 1e-6},
                                       {1e9, 1e9 + 1},   {0.1, 0.1000001}, {17, 23}};
    for (int64_t i = 0; i < ARRAY_LEN(ranges); i++) {
        for (int is_integer = 0; is_integer < 2; is_integer++) {
            struct axis a;
            axis_init(&a, ranges[i][0], ranges[i][1], 4, is_integer == 1);
            assert_true(a.lo < a.hi && a.lo <= ranges[i][0] && a.hi >= ranges[i][1]);
            assert_in_range(a.n_ticks, 1, 9);
            a.px_lo = 100;
            a.px_hi = 0;
            const double lead = a.step / pow(10, floor(log10(a.step) + 1e-9));
            assert_true(fabs(lead - 1) < 1e-6 || fabs(lead - 2) < 1e-6 ||
                        fabs(lead - 5) < 1e-6);
            for (int64_t k = 0; k < a.n_ticks; k++) {
                const double px = axis_px(&a, a.tick[k]);
                assert_true(px >= -1e-3 && px <= 100 + 1e-3);
                if (is_integer == 1)
                    assert_true(a.tick[k] == rint(a.tick[k]));
                if (k > 0)
                    assert_true(a.tick[k] > a.tick[k - 1]);
            }
        }
    }
    struct axis a;
    axis_init(&a, 0, 0.52, 5, false);
    assert_int_equal(a.n_ticks, 6);
    assert_true(fabs(a.tick[5] - 0.5) < 1e-15);
    axis_init_log(&a, 0.5, 2000);
    assert_int_equal(a.n_ticks, 4);
    assert_true(a.tick[0] == 1 && a.tick[3] == 1000);
    a.px_lo = 0;
    a.px_hi = 1;
    assert_true(fabs(axis_px(&a, sqrt(1000)) - 0.5) < 1e-12);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        double v;
        enum plot_format format;
        const char *text;
    } cases[] = {
        {0, PLOT_PLAIN, "0"},
        {0.41, PLOT_PLAIN, "0.41"},
        {-12.5, PLOT_PLAIN, "-12.5"},
        {9999, PLOT_PLAIN, "9999"},
        {12345, PLOT_PLAIN, "12.3k"},
        {4.1e6, PLOT_PLAIN, "4.1M"},
        {2e-6, PLOT_PLAIN, "2.00e-06"},
        {0.123, PLOT_PERCENT, "12.3 %"},
        {0.0002, PLOT_PERCENT, "0.02 %"},
        {0, PLOT_PERCENT, "0.0 %"},
        {3221225472.0, PLOT_GIB, "3 GiB"},
    };
    char text[48];
    for (int64_t i = 0; i < ARRAY_LEN(cases); i++) {
        plot_value(text, sizeof(text), cases[i].v, cases[i].format);
        assert_string_equal(text, cases[i].text);
    }
    struct buf b = {0};
    html_put(&b, "a<\xC3\xA9\xFF\0\n\xE2\x82", 9);
    assert_string_equal(b.data, "a&lt;\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\n\xEF\xBF\xBD"
                                "\xEF\xBF\xBD");
    buf_release(&b);
}

static int base64_digit(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *const at = c == 0 ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits);
}

/* Bytes of the n-th PNG of the text. */
static void decode(struct buf *png, const char *text, int n)
{
    const char *p = text;
    for (int i = 0; i <= n; i++)
        p = strstr(p, "base64,") + 7;
    uint32_t bits = 0;
    int n_bits = 0;
    buf_reset(png);
    for (; base64_digit(*p) >= 0; p++) {
        bits = bits << 6 | (uint32_t)base64_digit(*p);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            const char byte = (char)(bits >> n_bits & 255);
            buf_append(png, &byte, 1);
        }
    }
}

static uint32_t be32(const char *p)
{
    const unsigned char *const u = (const unsigned char *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static uint32_t slow_crc32(const char *p, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n * 8; i++) {
        const uint32_t bit = (crc ^ (uint32_t)(unsigned char)p[i / 8] >> i % 8) & 1;
        crc = crc >> 1 ^ (bit != 0 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

/* Walks the chunks, checks every sum, and returns the pixels' rows (filter bytes in).
 */
static void unpack(struct buf *rows, const struct buf *png, uint32_t *width)
{
    assert_memory_equal(png->data, "\x89PNG\r\n\x1A\n", 8);
    buf_reset(rows);
    for (size_t off = 8; off < png->len;) {
        const uint32_t len = be32(png->data + off);
        const char *const type = png->data + off + 4, *const data = type + 4;
        assert_int_equal(be32(data + len), slow_crc32(type, len + 4));
        if (memcmp(type, "IHDR", 4) == 0)
            *width = be32(data);
        if (memcmp(type, "IDAT", 4) == 0) {
            size_t at = 2; /* after the zlib head */
            assert_int_equal(
                (((unsigned char)data[0] << 8) + (unsigned char)data[1]) % 31, 0);
            for (bool is_last = false; !is_last;) {
                const unsigned char *const h = (const unsigned char *)data + at;
                const size_t n = (size_t)(h[1] | h[2] << 8);
                assert_int_equal(n ^ (size_t)(h[3] | h[4] << 8), 0xFFFF);
                is_last = h[0] == 1;
                buf_append(rows, data + at + 5, n);
                at += 5 + n;
            }
            uint32_t a = 1, b = 0;
            for (size_t i = 0; i < rows->len; i++) {
                a = (a + (unsigned char)rows->data[i]) % 65521;
                b = (b + a) % 65521;
            }
            assert_int_equal(be32(data + at), b << 16 | a);
            assert_int_equal(at + 4, len);
        }
        off += 12 + len;
    }
}

static void test_heat(void **state)
{
    (void)state;
    put_full_run("heat", 20, 0.5); /* layer 0: loads 3, 1, 0, 0; layer 1: even */
    struct report_run run;
    char *const dir = io_join(root, "heat");
    assert_int_equal(report_run_load(&run, dir), 0);
    assert_int_equal(run.load.n_cols, 20);
    struct buf html = {0}, png = {0}, rows = {0};
    report_heat(&html, &run.load);
    assert_non_null(strstr(html.data, "0.00 to 3.00 times"));
    assert_non_null(strstr(html.data, "1.00 to 1.00 times"));
    uint32_t width = 0;
    decode(&png, html.data, 0);
    unpack(&rows, &png, &width);
    assert_int_equal(width, 20);
    assert_int_equal(rows.len, 4 * 21);
    /* log2(3) / 2 of the way from the middle level, 15, to the last, 30 */
    assert_int_equal(rows.data[1], 27);
    assert_int_equal(rows.data[20], 27);
    assert_int_equal(rows.data[21 + 5], 15);
    assert_int_equal(rows.data[42 + 5], 0);
    decode(&png, html.data, 1);
    unpack(&rows, &png, &width);
    for (int e = 0; e < 4; e++)
        assert_int_equal(rows.data[e * 21 + 1], 15);
    buf_release(&html);
    buf_release(&png);
    buf_release(&rows);
    report_run_release(&run);
    mem_free(dir);
}

/* Columns average whole groups of steps: weights add up to the steps, and the total
 * load of each column is that of its steps, at every length around the doublings. */
static void test_load_columns(void **state)
{
    (void)state;
    static const int lengths[] = {1, 255, 256, 257, 258, 511, 512, 513, 1025, 1300};
    for (int64_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct buf m = {0};
        for (int t = 1; t <= lengths[i]; t++)
            buf_printf(&m, "{\"step\":%d,\"expert_load\":[[%d,%d]]}\n", t, t, 2 * t);
        put_file("columns", "metrics.jsonl", m.data);
        buf_release(&m);
        struct report_run run;
        char *const dir = io_join(root, "columns");
        assert_int_equal(report_run_load(&run, dir), 0);
        mem_free(dir);
        const struct report_load *const load = &run.load;
        assert_in_range(load->n_cols, 1, REPORT_LOAD_COLS);
        int64_t n_steps = 0;
        for (int64_t c = 0; c < load->n_cols; c++) {
            const int64_t w = report_load_weight(load, c);
            n_steps += w;
            assert_true(fabs((double)load->sum[2 * c] / (double)w - 2.0 / 3) < 1e-5);
            assert_true(fabs((double)load->sum[2 * c + 1] / (double)w - 4.0 / 3) <
                        1e-5);
        }
        assert_int_equal(n_steps, lengths[i]);
        assert_true(load->first_step == 1 && load->last_step == lengths[i]);
        report_run_release(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),     cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_thinning), cmocka_unit_test(test_small_and_odd),
        cmocka_unit_test(test_several),  cmocka_unit_test(test_errors),
        cmocka_unit_test(test_axis),     cmocka_unit_test(test_values),
        cmocka_unit_test(test_heat),     cmocka_unit_test(test_load_columns),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
