/*
 * The text of a fault: kernel, line, instruction, block, thread, and what was wrong.
 * The first of a launch is kept; later ones, of blocks that run side by side, are
 * dropped.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "emulator/scheduler.h"

static void append(char *text, size_t bytes, size_t *used, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void append(char *text, size_t bytes, size_t *used, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text + *used, bytes - *used, fmt, args);
    va_end(args);
    if (n > 0)
        *used += (size_t)n < bytes - *used ? (size_t)n : bytes - *used - 1;
}

static struct machine_dim thread_of(const struct machine_warp *w, int32_t lane)
{
    const struct machine_dim n = w->block->launch->block;
    const int32_t t = w->id * PTX_LANES + lane;
    return (struct machine_dim){t % n.x, t / n.x % n.y, t / n.x / n.y};
}

static size_t put_place(char *text, size_t bytes, const struct machine_warp *w,
                        const struct ptx_insn *i, int32_t lane)
{
    const struct machine_block *const b = w->block;
    char name[128];
    size_t used = 0;
    text[0] = 0;
    append(text, bytes, &used, "%s", b->launch->kernel->name);
    if (i != NULL)
        append(text, bytes, &used, ", PTX line %d, %s", i->line,
               ptx_mnemonic(i, name, sizeof(name)));
    append(text, bytes, &used, ", block (%d, %d, %d), ", b->id.x, b->id.y, b->id.z);
    if (lane >= 0) {
        const struct machine_dim t = thread_of(w, lane);
        append(text, bytes, &used, "thread (%d, %d, %d)", t.x, t.y, t.z);
    } else {
        append(text, bytes, &used, "warp %d", w->id);
    }
    append(text, bytes, &used, ": ");
    return used;
}

/* Whether this is the launch's first fault. */
static bool keep(struct machine_state *s, const char *text)
{
    pthread_mutex_lock(&s->lock);
    const bool is_first = !atomic_load(&s->is_stopped);
    if (is_first) {
        snprintf(s->text, sizeof(s->text), "%s", text);
        atomic_store(&s->is_stopped, true);
    }
    pthread_mutex_unlock(&s->lock);
    return is_first;
}

enum machine_next machine_fault(struct machine_warp *w, const struct ptx_insn *i,
                                int32_t lane, const char *fmt, ...)
{
    char text[MACHINE_TEXT];
    const size_t used = put_place(text, sizeof(text), w, i, lane);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + used, sizeof(text) - used, fmt, args);
    va_end(args);
    w->block->has_fault = true;
    if (w->block->state == NULL)
        (void)status_set(ERR_DEVICE, "%s", text);
    else if (keep(w->block->state, text))
        log_error("%s", text);
    return MACHINE_FAULT;
}
