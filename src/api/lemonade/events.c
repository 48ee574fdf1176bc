/* events.c - the progress of Lemonade's long calls, as server-sent events. */
#include "api/lemonade/lemonade.h"

/* A person looks at the progress: more events than this cost time and show nothing. */
#define EVENTS_GAP_MS 200

static void events_send(struct lemonade_events *events, const char *name, json_t *data)
{
    struct buf CLEAN_BUF piece = BUF_INIT(1 << 20);
    char *CLEAN_FREE text = json_dumps(data, JSON_COMPACT);
    json_decref(data);
    buf_addf(&piece, "event: %s\ndata: %s\n\n", name, text);
    http_job_send(events->job, buf_view(&piece));
}

void lemonade_events_begin(struct lemonade_events *events)
{
    if (events->stream)
        http_job_begin(events->job, "text/event-stream");
}

void lemonade_events_progress(void *context, const struct model_progress *p)
{
    struct lemonade_events *events = context;
    int64_t now = clock_now_ms();
    bool whole = p->at.total && p->at.bytes >= p->at.total;
    if (!events->stream || (!whole && now - events->told_at < EVENTS_GAP_MS))
        return;
    events->told_at = now;
    double percent = p->total ? 100.0 * (double)p->bytes / (double)p->total : 0.0;
    events_send(events, "progress",
                json_pack("{s:o, s:i, s:i, s:I, s:I, s:I, s:I, s:i}", "file",
                          report_json_string(p->file), "file_index", (int)p->index + 1,
                          "total_files", (int)p->n, "bytes_downloaded", (json_int_t)p->at.bytes,
                          "bytes_total", (json_int_t)p->at.total, "cumulative_bytes_downloaded",
                          (json_int_t)p->bytes, "total_download_size", (json_int_t)p->total,
                          "percent", (int)percent));
}

void lemonade_events_file(void *context, const char *file, const struct fetch_progress *p)
{
    lemonade_events_progress(
        context, &(struct model_progress){
                     .file = file, .n = 1, .at = *p, .bytes = p->bytes, .total = p->total});
}

void lemonade_events_step(void *context, enum log_level level, const char *line)
{
    struct lemonade_events *events = context;
    if (events->stream && level >= LOG_INFO)
        events_send(events, "progress",
                    json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:o}", "file", "", "file_index", 1,
                              "total_files", 1, "bytes_downloaded", 0, "bytes_total", 0, "percent",
                              0, "step", report_json_text(line)));
}

void lemonade_events_complete(struct lemonade_events *events, json_t *answer)
{
    if (!events->stream) {
        dialect_job_json(events->job, 200, answer);
        return;
    }
    json_t *data = json_pack("{s:i, s:i, s:i}", "file_index", 1, "total_files", 1, "percent", 100);
    json_object_update(data, answer);
    json_decref(answer);
    events_send(events, "complete", data);
}

void lemonade_events_failed(struct lemonade_events *events, int status, json_t *answer,
                            const char *message)
{
    if (!events->stream) {
        dialect_job_json(events->job, status, answer);
        return;
    }
    json_decref(answer);
    events_send(events, "error", json_pack("{s:o}", "error", report_json_text(message)));
}
