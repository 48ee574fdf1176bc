/* events.c - the progress of Lemonade's long calls, as server-sent events. */
#include "api/lemonade/lemonade.h"

enum { EVENTS_GAP_MS = 200 };

void lemonade_begin(const struct dialect_stream *stream)
{
    if (stream->on)
        http_begin(stream->x, "text/event-stream");
}

void lemonade_progress(void *context, const struct model_progress *p)
{
    struct dialect_stream *stream = context;
    if (!dialect_stream_is_due(stream, p, EVENTS_GAP_MS))
        return;
    double percent = p->total ? 100.0 * (double)p->bytes / (double)p->total : 0.0;
    dialect_stream_json(
        stream, "event: progress\ndata: ",
        json_pack("{s:o, s:i, s:i, s:I, s:I, s:I, s:I, s:i}", "file", report_json_string(p->file),
                  "file_index", (int)p->index + 1, "total_files", (int)p->n, "bytes_downloaded",
                  (json_int_t)p->at.bytes, "bytes_total", (json_int_t)p->at.total,
                  "cumulative_bytes_downloaded", (json_int_t)p->bytes, "total_download_size",
                  (json_int_t)p->total, "percent", (int)percent),
        "\n\n");
}

void lemonade_progress_file(void *context, const char *file, const struct fetch_progress *p)
{
    lemonade_progress(context,
                      &(struct model_progress){
                          .file = file, .n = 1, .at = *p, .bytes = p->bytes, .total = p->total});
}

void lemonade_step(void *context, enum log_level level, const char *line)
{
    const struct dialect_stream *stream = context;
    if (stream->on && level >= LOG_INFO)
        dialect_stream_json(stream, "event: progress\ndata: ",
                            json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:o}", "file", "",
                                      "file_index", 1, "total_files", 1, "bytes_downloaded", 0,
                                      "bytes_total", 0, "percent", 0, "step",
                                      report_json_text(line)),
                            "\n\n");
}

void lemonade_end(const struct dialect_stream *stream, int status, json_t *answer)
{
    if (!stream->on) {
        dialect_reply_json(stream->x, status, answer);
        return;
    }
    bool good = status == 200;
    json_t *data =
        good ? json_pack("{s:i, s:i, s:i}", "file_index", 1, "total_files", 1, "percent", 100)
             : json_pack("{s:O}", "error", json_object_get(answer, "error"));
    if (good)
        json_object_update(data, answer);
    json_decref(answer);
    dialect_stream_json(stream, good ? "event: complete\ndata: " : "event: error\ndata: ", data,
                        "\n\n");
}
