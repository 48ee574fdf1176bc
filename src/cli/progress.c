#include "cli/progress.h"

#include <inttypes.h>

#define PROGRESS_LOG_MS  5000 /* between two lines of one file in a log */
#define PROGRESS_JSON_MS 250

void cli_progress_event(const struct cli_progress *p, const char *event, json_t *more)
{
    json_t *line = json_pack("{s:i, s:s, s:s}", "schema", 1, "event", event, "model", p->model);
    if (line && more)
        json_object_update(line, more);
    if (line) {
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
    }
    json_decref(line);
    json_decref(more);
}

static json_t *progress_seconds(int64_t seconds)
{
    return seconds < 0 ? json_null() : json_integer(seconds);
}

static void progress_json(const struct cli_progress *p, const struct model_progress *at)
{
    json_t *more = json_object();
    json_object_set_new(more, "file", report_json_text(at->file));
    json_object_set_new(more, "sha256", report_json_text(at->sha256));
    json_object_set_new(more, "file_index", json_integer((json_int_t)at->index + 1));
    json_object_set_new(more, "files", json_integer((json_int_t)at->n));
    json_object_set_new(more, "file_bytes", json_integer((json_int_t)at->at.bytes));
    json_object_set_new(more, "file_total", report_json_bytes(at->at.total));
    json_object_set_new(more, "bytes", json_integer((json_int_t)at->bytes));
    json_object_set_new(more, "total", report_json_bytes(at->total));
    json_object_set_new(more, "bytes_per_second", report_json_bytes(at->at.bytes_per_second));
    json_object_set_new(more, "remaining_seconds", progress_seconds(at->remaining_seconds));
    cli_progress_event(p, "progress", more);
}

static void progress_text(const struct model_progress *at)
{
    if (at->n > 1)
        fprintf(stderr, "[%zu/%zu] ", at->index + 1, at->n);
    fprintf(stderr, "%s: %.1f", at->file, (double)at->at.bytes / 1e6);
    if (at->at.total)
        fprintf(stderr, " of %.1f MB (%.0f %%)", (double)at->at.total / 1e6,
                100.0 * (double)at->at.bytes / (double)at->at.total);
    else
        fputs(" MB", stderr);
    if (at->at.bytes_per_second)
        fprintf(stderr, ", %.1f MB/s", (double)at->at.bytes_per_second / 1e6);
    if (at->at.bytes < at->at.total && at->remaining_seconds >= 0)
        fprintf(stderr, ", %" PRId64 ":%02" PRId64 " left", at->remaining_seconds / 60,
                at->remaining_seconds % 60);
}

void cli_progress_show(void *context, const struct model_progress *at)
{
    struct cli_progress *p = context;
    bool is_whole = at->at.total && at->at.bytes >= at->at.total;
    int64_t now = clock_now_ms();
    bool is_terminal = !p->json && isatty(STDERR_FILENO);
    int64_t pause = is_terminal ? 0 : p->json ? PROGRESS_JSON_MS : PROGRESS_LOG_MS;
    if (!is_whole && at->index == p->file && now - p->shown < pause)
        return;
    if (p->cli->quiet && !p->json)
        return;
    if (is_whole && at->index < p->file)
        return; /* said already */
    p->shown = now;
    p->file = is_whole ? at->index + 1 : at->index;
    if (p->json) {
        progress_json(p, at);
        return;
    }
    if (is_terminal)
        fputs("\r\033[K", stderr);
    progress_text(at);
    p->drawn = is_terminal && !is_whole;
    if (!p->drawn)
        fputc('\n', stderr);
}

void cli_progress_end(struct cli_progress *p)
{
    if (p->drawn)
        fputc('\n', stderr);
    p->drawn = false;
}
