/*
 * The one message per thread, the error table, and the end of the program on a broken
 * invariant.
 */
#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"

enum { MESSAGE_BYTES = 1024 };

static _Thread_local char message[MESSAGE_BYTES];

int status_set(int code, const char *fmt, ...)
{
    /* An argument may be status_message() itself, so format beside it. */
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    memcpy(message, text, sizeof(text));
    return code;
}

int status_prefix(int code, const char *fmt, ...)
{
    char prefix[MESSAGE_BYTES];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(prefix, sizeof(prefix), fmt, args);
    va_end(args);
    if (n < 0)
        return code;
    /* The prefix says where, so it survives; a long message loses its end. */
    char text[MESSAGE_BYTES];
    const size_t used = strnlen(prefix, MESSAGE_BYTES - 3);
    memcpy(text, prefix, used);
    memcpy(text + used, ": ", 2);
    const size_t kept = strnlen(message, MESSAGE_BYTES - 1 - used - 2);
    memcpy(text + used + 2, message, kept);
    text[used + 2 + kept] = 0;
    memcpy(message, text, used + 2 + kept + 1);
    return code;
}

const char *status_message(void) { return message; }

const char *status_name(int code)
{
    switch (code) {
    case STATUS_OK:
        return "STATUS_OK";
#define X(name, value, exit_status, meaning)                                           \
    case name:                                                                         \
        return #name;
        STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

const char *status_meaning(int code)
{
    switch (code) {
    case STATUS_OK:
        return "done";
#define X(name, value, exit_status, meaning)                                           \
    case name:                                                                         \
        return meaning;
        STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

int status_exit(int code)
{
    switch (code) {
    case STATUS_OK:
        return 0;
#define X(name, value, exit_status, meaning)                                           \
    case name:                                                                         \
        return exit_status;
        STATUS_LIST(X)
#undef X
    }
    return 70; /* a code nobody listed is a fault of ours */
}

void check_failed(const char *file, int line, const char *cond, const char *fmt, ...)
{
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    /* LOG_OFF as a line's level: no setting drops it. */
    log_write(LOG_OFF, "%s:%d: check failed: %s: %s", file, line, cond, text);
    abort();
}
