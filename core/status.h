/*
 * Error codes, exit statuses, and the message that goes with them.
 *
 * A fallible function returns 0 or a negative `enum status`. Whoever detects the fault
 * calls ERR(code, fmt, ...), which stores one message for the calling thread and
 * evaluates to the code; callers pass the code up with TRY. `main` prints the message
 * once and exits with status_exit(code). CHECK states invariants: it prints place and
 * values and aborts the process (under MPI the launcher then ends all ranks).
 */
#ifndef CORE_STATUS_H
#define CORE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, exit status, meaning) */
#define STATUS_LIST(X)                                                                 \
    X(ERR_USAGE, -1, 2, "usage")                                                       \
    X(ERR_CONFIG, -2, 2, "configuration")                                              \
    X(ERR_INPUT, -3, 3, "bad input file")                                              \
    X(ERR_IO, -4, 3, "file system")                                                    \
    X(ERR_NUMERIC, -5, 70, "not finite")                                               \
    X(ERR_INTERNAL, -6, 70, "internal fault")                                          \
    X(ERR_MEMORY, -7, 75, "out of memory")                                             \
    X(ERR_DEVICE, -8, 75, "device")                                                    \
    X(ERR_COMM, -9, 75, "communication")                                               \
    X(ERR_REQUEUE, -10, 85, "checkpointed on request")                                 \
    X(ERR_NO_RETRY, -11, 93, "do not retry")

enum status {
    STATUS_OK = 0,
#define X(name, value, exit_status, meaning) name = (value),
    STATUS_LIST(X)
#undef X
};

#define WARN_UNUSED __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_arg, first_arg)                                                \
    __attribute__((format(printf, fmt_arg, first_arg)))
#define ARRAY_LEN(a) ((int64_t)(sizeof(a) / sizeof((a)[0])))

/* Store the message (at most 1023 bytes) for this thread; returns `code`. */
int status_set(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Put "prefix: " before the stored message, for callers who know the file or line. */
int status_prefix(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *status_message(void);     /* this thread's last message; "" at first */
const char *status_name(int code);    /* "ERR_INPUT" */
const char *status_meaning(int code); /* "bad input file" */
int status_exit(int code);            /* the program's exit status for a code */

/* The second argument again, so that the compiler sees which value a failing path
 * returns and does not warn of outputs "maybe uninitialized" behind TRY. */
static inline int status_known(int stored, int code)
{
    (void)stored;
    return code;
}
#define ERR(code, ...) status_known(status_set((code), __VA_ARGS__), (code))
#define TRY(call)                                                                      \
    do {                                                                               \
        const int try_status_ = (call);                                                \
        if (try_status_ != STATUS_OK)                                                  \
            return try_status_;                                                        \
    } while (0)
/* For functions with an `out:` label; needs a local `int status`. */
#define TRY_OUT(call)                                                                  \
    do {                                                                               \
        status = (call);                                                               \
        if (status != STATUS_OK)                                                       \
            goto out;                                                                  \
    } while (0)

void check_failed(const char *file, int line, const char *cond, const char *fmt, ...)
    __attribute__((noreturn)) PRINTF_LIKE(4, 5);
#define CHECK(cond, ...)                                                               \
    do {                                                                               \
        if (!(cond))                                                                   \
            check_failed(__FILE__, __LINE__, #cond, __VA_ARGS__);                      \
    } while (0)
#ifdef DEBUG
#define DCHECK(cond, ...) CHECK(cond, __VA_ARGS__)
#else
#define DCHECK(cond, ...) ((void)0)
#endif

#ifdef __cplusplus
}
#endif
#endif
