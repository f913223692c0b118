/*
 * Log lines on stderr: "12:03:04 [rank] message". Levels below the set one are dropped.
 * The rank is shown when the world has more than one. Thread-safe: one write(2) per
 * line.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_rank(int rank, int size); /* for the prefix and for CHECK's report */
void log_write(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
