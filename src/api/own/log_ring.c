/* log_ring.c - the last lines of the log, and the route that shows them. */
#include "api/serve.h"

#include <pthread.h>
#include <time.h>

enum {
    LOG_RING_LINES = 512,
    LOG_RING_LINE_MAX = 1024, /* bytes of a line that are stored */
};

struct log_ring_line {
    char *text; /* owned; NULL not used yet */
    enum log_level level;
    double time; /* seconds since 1970 */
};

struct log_ring {
    struct log log;
    const struct log *next;
    pthread_mutex_t lock; /* of what follows */
    uint64_t count;       /* of all lines ever; line n (from 1) is at (n - 1) % LOG_RING_LINES */
    struct log_ring_line line[LOG_RING_LINES];
};

static void log_ring_write(void *context, enum log_level level, const char *line)
{
    struct log_ring *ring = context;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char *text = xstr_dup(utf8_cut(str_from(line), LOG_RING_LINE_MAX));
    pthread_mutex_lock(&ring->lock);
    struct log_ring_line *at = &ring->line[ring->count++ % LOG_RING_LINES];
    free(at->text);
    *at = (struct log_ring_line){text, level, (double)now.tv_sec + (double)now.tv_nsec / 1e9};
    pthread_mutex_unlock(&ring->lock);
    log_at(ring->next, level, "%s", line);
}

struct log_ring *log_ring_new(const struct log *next)
{
    struct log_ring *ring = xcalloc(1, sizeof(*ring));
    ring->log = (struct log){log_ring_write, ring};
    ring->next = next;
    pthread_mutex_init(&ring->lock, NULL);
    return ring;
}

void log_ring_free(struct log_ring *ring)
{
    if (!ring)
        return;
    for (size_t i = 0; i < LOG_RING_LINES; i++)
        free(ring->line[i].text);
    pthread_mutex_destroy(&ring->lock);
    free(ring);
}

const struct log *log_ring_log(const struct log_ring *ring)
{
    return &ring->log;
}

static const char *const log_ring_levels[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARNING] = "warning",
};

static json_t *log_ring_json(struct log_ring *ring, uint64_t after)
{
    json_t *lines = json_array();
    pthread_mutex_lock(&ring->lock);
    uint64_t oldest = ring->count > LOG_RING_LINES ? ring->count - LOG_RING_LINES : 0;
    uint64_t next = ring->count;
    /* A number beyond these lines is from an earlier server: every line is new. */
    for (uint64_t n = after > next || after < oldest ? oldest : after; n < next; n++) {
        const struct log_ring_line *at = &ring->line[n % LOG_RING_LINES];
        json_array_append_new(lines,
                              json_pack("{s:I, s:f, s:s, s:o}", "n", (json_int_t)n + 1, "time",
                                        at->time, "level", log_ring_levels[at->level], "text",
                                        report_json_text(at->text)));
    }
    pthread_mutex_unlock(&ring->lock);
    return json_pack("{s:i, s:I, s:o}", "schema", 1, "next", (json_int_t)next, "lines", lines);
}

static void log_ring_get(struct http_exchange *x)
{
    char text[24] = "";
    uint64_t after = 0;
    if (dialect_query(http_request(x)->query, "after", text, sizeof(text)) &&
        str_to_u64(str_from(text), 10, &after) < 0) {
        http_fail(x, 400, NULL, "after",
                  "'after' must be the number of the last line that you have.");
        return;
    }
    dialect_reply_json(x, 200, log_ring_json(serve_of(x)->log, after));
}

const struct http_route log_routes[] = {
    {HTTP_GET, "/gfxbridge/log", log_ring_get, 0, 0},
    {0},
};
