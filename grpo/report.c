/*
 * Loads the runs, puts the parts of the page in order, and writes it in one piece.
 */
#include "grpo/report.h"

#include "core/io.h"
#include "grpo/report_charts.h"
#include "grpo/report_data.h"
#include "grpo/report_heat.h"
#include "grpo/report_page.h"
#include "grpo/report_svg.h"

static void put_heat(struct buf *out, const struct report_run *runs, int64_t n_runs)
{
    for (int64_t r = 0; r < n_runs; r++) {
        if (runs[r].load.n_cols == 0)
            continue;
        buf_puts(out, "<h2>Expert load by layer");
        if (n_runs > 1) {
            buf_puts(out, ", ");
            html_puts(out, runs[r].name);
        }
        buf_puts(out, "</h2>\n");
        report_heat(out, &runs[r].load);
    }
}

static void put_page(struct buf *out, const struct report_run *runs, int64_t n_runs)
{
    page_begin(out, runs, n_runs);
    report_headline(out, runs, n_runs);
    buf_puts(out, "<h2>Over the steps</h2>\n<div class=\"cards\">\n");
    report_charts(out, runs, n_runs);
    buf_puts(out, "</div>\n");
    put_heat(out, runs, n_runs);
    for (int64_t r = 0; r < n_runs; r++) {
        if (n_runs > 1) {
            buf_puts(out, "<h2>");
            html_puts(out, runs[r].name);
            buf_puts(out, "</h2>\n");
        }
        page_samples(out, &runs[r]);
    }
    const size_t before = out->len;
    buf_puts(out, "<h2>Configuration</h2>\n");
    const size_t heading_end = out->len;
    for (int64_t r = 0; r < n_runs; r++)
        page_summary(out, &runs[r]);
    page_config(out, runs, n_runs);
    if (out->len == heading_end)
        out->len = before; /* nothing came under it */
    page_end(out);
}

int report_write(const char *out_path, const char *const *run_dirs, int64_t n_runs)
{
    if (n_runs < 1)
        return ERR(ERR_USAGE, "report: no run directory given");
    struct report_run *const runs = mem_alloc((size_t)n_runs * sizeof(*runs));
    struct buf page = {0};
    int status = STATUS_OK;
    for (int64_t r = 0; r < n_runs; r++)
        TRY_OUT(report_run_load(&runs[r], run_dirs[r]));
    put_page(&page, runs, n_runs);
    status = io_write_atomic(out_path, page.data, page.len);
out:
    for (int64_t r = 0; r < n_runs; r++)
        report_run_release(&runs[r]);
    mem_free(runs);
    buf_release(&page);
    return status;
}
