/*
 * Style and script of the report's page, as text.
 */
#ifndef GRPO_REPORT_STYLE_H
#define GRPO_REPORT_STYLE_H

extern const char *const report_css;
/* Shows the values under the pointer; the page is complete without it. */
extern const char *const report_js;

#endif
