/*
 * One line that tells a person where a run is: "train 12/100  3.2 s/step  ETA 4m41s
 * reward 0.41". On a terminal it is redrawn in place at most ten times a second;
 * elsewhere (a batch log) plain lines come at most every 10 seconds, and always at the
 * last step.
 */
#ifndef GRPO_PROGRESS_H
#define GRPO_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef double (*progress_clock_fn)(void); /* monotonic seconds */

struct progress {
    FILE *out;
    const char *label; /* borrowed */
    bool is_tty;
    int64_t first, n; /* done before the start (a resumed run), and in all */
    double start_s, drawn_s;
    int drawn_len; /* characters on the terminal's line; 0: clean */
    progress_clock_fn clock;
};

/* `out` NULL: stderr; whether it is a terminal is asked of its descriptor. */
void progress_start(struct progress *p, FILE *out, const char *label, int64_t first,
                    int64_t n);
/* `done` steps of n are complete; `tail` (may be "") ends the line. */
void progress_update(struct progress *p, int64_t done, const char *tail);
/* Before other output goes to the terminal: wipes the line, which the next update
 * draws again. */
void progress_clear(struct progress *p);
void progress_end(struct progress *p); /* leaves the last line standing */

#endif
