/*
 * TensorBoard event files: scalars only, written by hand.
 *
 * A file is a chain of TFRecord frames (u64 length, masked CRC-32C of the length,
 * payload, masked CRC-32C of the payload; little-endian), the payload a protobuf
 * Event {1: double wall_time, 2: int64 step, 3: string file_version, 5: Summary,
 * 7: SessionLog}; a Summary repeats 1: Value {1: string tag, 2: float simple_value}.
 * (tensorflow/core/util/event.proto, framework/summary.proto.)
 */
#ifndef GRPO_EVENTS_H
#define GRPO_EVENTS_H

#include <stdint.h>

#include "core/io.h"
#include "core/mem.h"
#include "core/status.h"

struct events {
    struct io_file file;
    struct buf summary, event; /* reused: no allocation per step after the first */
};

/* Creates <dir>/events.out.tfevents.<unix seconds>.<host>. next_step > 0: the run
 * resumes there, and readers are told to forget what earlier files hold from that step
 * on. */
int events_create(struct events *e, const char *dir, int64_t next_step) WARN_UNUSED;
/* Adds a scalar to the next event. Not-finite values are stored as they are. */
void events_put(struct events *e, const char *tag, double value);
/* Writes the scalars put since the last call as one event, and flushes. Without any
 * nothing is written. */
int events_write(struct events *e, int64_t step) WARN_UNUSED;
int events_close(struct events *e) WARN_UNUSED;
void events_abandon(struct events *e); /* after an error; accepts a zeroed object */

#endif
