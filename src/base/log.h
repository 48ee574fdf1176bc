/* log.h - library code never prints: it tells a caller's function, or nobody. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level {
    LOG_DEBUG,   /* for --verbose */
    LOG_INFO,    /* a step that a person waits for */
    LOG_WARNING, /* something a person should know */
};

/* Where lines go. write gets one line without a newline. A NULL struct log drops everything. */
struct log {
    void (*write)(void *context, enum log_level level, const char *line);
    void *context;
};

void log_at(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
