/* downloads.c - pulls, installs and proofs that go on without their client, and their routes. */
#include "api/serve.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/queue.h>

enum {
    DOWNLOADS_RUNNING_MAX = 8,
    DOWNLOADS_KEPT_MAX = 64,
    DOWNLOADS_DONE_MS = 60000, /* how long a completed one is shown */
    DOWNLOAD_TEXT = 256,
};

enum download_state {
    DOWNLOAD_RUNNING,
    DOWNLOAD_PAUSED,
    DOWNLOAD_CANCELLED,
    DOWNLOAD_COMPLETED,
    DOWNLOAD_ERROR,
};

static const char *const download_states[] = {
    [DOWNLOAD_RUNNING] = "downloading", [DOWNLOAD_PAUSED] = "paused",
    [DOWNLOAD_CANCELLED] = "cancelled", [DOWNLOAD_COMPLETED] = "completed",
    [DOWNLOAD_ERROR] = "error",
};

struct download {
    TAILQ_ENTRY(download) link;
    struct downloads *list;
    char *id, *name;
    const char *type;
    struct download_work work;
    struct log log;
    atomic_int cancel;         /* set in the loop, read by the work */
    enum download_state state; /* as the user wants it, or as it ended */
    bool running;              /* its thread has not ended */
    bool removing;             /* remove it from the list once it has ended */
    int64_t ended_at;
    int result; /* written by the work until it has ended */
    struct gfxb_error error;
    pthread_mutex_t lock; /* of what follows */
    char step[DOWNLOAD_TEXT], file[DOWNLOAD_TEXT];
    struct model_progress at; /* its texts are not valid */
    json_t *answer;
};

struct downloads {
    struct serve *serve;
    TAILQ_HEAD(, download) all; /* the oldest first */
    size_t n, running;
};

struct downloads *downloads_new(struct serve *s)
{
    struct downloads *list = xcalloc(1, sizeof(*list));
    list->serve = s;
    TAILQ_INIT(&list->all);
    return list;
}

static void download_free(struct download *d)
{
    if (d->work.free)
        d->work.free(d->work.context);
    json_decref(d->answer);
    pthread_mutex_destroy(&d->lock);
    free(d->id);
    free(d->name);
    free(d);
}

static void downloads_drop(struct downloads *list, struct download *d)
{
    TAILQ_REMOVE(&list->all, d, link);
    list->n--;
    download_free(d);
}

void downloads_free(struct downloads *list)
{
    if (!list)
        return;
    while (!TAILQ_EMPTY(&list->all))
        downloads_drop(list, TAILQ_FIRST(&list->all));
    free(list);
}

size_t downloads_count(const struct downloads *list)
{
    return list->running;
}

static void download_stop(struct download *d, enum download_state state)
{
    if (!d->running)
        return;
    d->cancel = 1;
    d->state = state;
}

void downloads_cancel(struct downloads *list)
{
    struct download *d;
    TAILQ_FOREACH(d, &list->all, link)
    {
        download_stop(d, DOWNLOAD_CANCELLED);
    }
}

/* ---- the work's side ---- */

static void download_write(void *context, enum log_level level, const char *line)
{
    struct download *d = context;
    if (level == LOG_INFO) {
        pthread_mutex_lock(&d->lock);
        dialect_copy(d->step, sizeof(d->step), line);
        pthread_mutex_unlock(&d->lock);
    }
    log_at(log_ring_log(d->list->serve->log), level, "%s", line);
}

/* struct model_env's progress. */
static void download_tell(void *context, const struct model_progress *progress)
{
    struct download *d = context;
    pthread_mutex_lock(&d->lock);
    d->at = *progress;
    dialect_copy(d->file, sizeof(d->file), progress->file ? progress->file : "");
    pthread_mutex_unlock(&d->lock);
}

void download_set_result(struct download *d, json_t *result)
{
    pthread_mutex_lock(&d->lock);
    json_decref(d->answer);
    d->answer = result;
    pthread_mutex_unlock(&d->lock);
}

/* The same of one file: struct package_net's progress. */
static void download_tell_file(void *context, const char *file, const struct fetch_progress *p)
{
    download_tell(context,
                  &(struct model_progress){
                      .file = file, .n = 1, .at = *p, .bytes = p->bytes, .total = p->total});
}

struct session_request download_request(struct download *d)
{
    struct session_request r = d->list->serve->request;
    r.log = &d->log;
    r.cancel = &d->cancel;
    r.net.progress = download_tell_file;
    r.net.context = d;
    return r;
}

static void download_work(void *context)
{
    struct download *d = context;
    d->result = d->work.run(d, d->work.context, &d->error);
}

/* Runs in the loop. Work that succeeded despite a stop is completed. */
static void download_done(void *context)
{
    struct download *d = context;
    struct downloads *list = d->list;
    d->running = false;
    d->ended_at = loop_now(list->serve->loop);
    list->running--;
    if (d->result == 0)
        d->state = DOWNLOAD_COMPLETED;
    else if (d->state == DOWNLOAD_RUNNING)
        d->state = DOWNLOAD_ERROR;
    if (d->removing)
        downloads_drop(list, d);
    http_server_check_drained(list->serve->http);
}

/* ---- the list ---- */

static struct download *downloads_find(struct downloads *list, const char *id)
{
    struct download *d = TAILQ_FIRST(&list->all);
    while (d && strcmp(d->id, id) != 0)
        d = TAILQ_NEXT(d, link);
    return d;
}

/* Removes completed downloads after a while, and the oldest ended ones when there are too many. */
static void downloads_tidy(struct downloads *list)
{
    int64_t now = loop_now(list->serve->loop);
    for (struct download *d = TAILQ_FIRST(&list->all), *next; d; d = next) {
        bool old = d->state == DOWNLOAD_COMPLETED && now - d->ended_at > DOWNLOADS_DONE_MS;
        next = TAILQ_NEXT(d, link);
        if (!d->running && (old || list->n > DOWNLOADS_KEPT_MAX))
            downloads_drop(list, d);
    }
}

static json_t *download_json(struct download *d)
{
    pthread_mutex_lock(&d->lock);
    const struct model_progress *p = &d->at;
    json_int_t percent = p->at.total ? (json_int_t)(p->at.bytes * 100 / p->at.total) : 0;
    json_t *error = d->state == DOWNLOAD_ERROR ? report_json_text(d->error.text) : NULL;
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o*, "
        "s:O*}",
        "id", d->id, "type", d->type, "model_name", d->name, "status", download_states[d->state],
        "running", d->running, "step", report_json_string(d->step), "file",
        report_json_string(d->file), "file_index", (json_int_t)(p->n ? p->index + 1 : 0),
        "total_files", (json_int_t)p->n, "bytes_downloaded", (json_int_t)p->at.bytes, "bytes_total",
        (json_int_t)p->at.total, "total_download_size", (json_int_t)p->total,
        "cumulative_bytes_downloaded", (json_int_t)p->bytes, "overall_bytes_downloaded",
        (json_int_t)p->bytes, "percent", percent, "complete", d->state == DOWNLOAD_COMPLETED,
        "error", error, "result", d->answer);
    pthread_mutex_unlock(&d->lock);
    return object;
}

/* Starts a download on its thread, at the end of the list. NULL: too many run, or there is no
 * thread. Takes the context over. */
static struct download *downloads_start(struct downloads *list, const struct download_work *work)
{
    struct download *d = xcalloc(1, sizeof(*d));
    *d = (struct download){.list = list,
                           .id = xasprintf("%s:%s", work->type, work->name),
                           .name = xstrdup(work->name),
                           .type = work->type,
                           .work = *work,
                           .running = true,
                           .log = {download_write, d}};
    pthread_mutex_init(&d->lock, NULL);
    if (list->running == DOWNLOADS_RUNNING_MAX ||
        work_run(list->serve->work, download_work, download_done, d) < 0) {
        download_free(d);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&list->all, d, link);
    list->n++;
    list->running++;
    return d;
}

void downloads_begin(struct http_exchange *x, const struct download_work *work)
{
    struct downloads *list = serve_of(x)->downloads;
    char *CLEAN_FREE id = xasprintf("%s:%s", work->type, work->name);
    downloads_tidy(list);
    struct download *d = downloads_find(list, id);
    if (d && !d->running) {
        downloads_drop(list, d);
        d = NULL;
    }
    if (!d)
        d = downloads_start(list, work);
    else if (work->free)
        work->free(work->context);
    if (!d)
        http_fail(x, 503, "busy", NULL,
                  "%d downloads and tests are running. Try again when one has finished.",
                  DOWNLOADS_RUNNING_MAX);
    else if (d->cancel)
        http_fail(x, 409, "busy", NULL, "%s is stopping. Try again in a moment.", work->name);
    else
        dialect_reply_json(x, 200, download_json(d));
}

/* ---- pulls ---- */

static int pull_run(struct download *d, void *context, struct gfxb_error *err)
{
    struct model_env env = d->list->serve->models;
    struct model model = {.name = NULL};
    env.log = &d->log;
    env.cancel = &d->cancel;
    env.progress = download_tell;
    env.context = d;
    int result = engine_model_pull(&env, context, &model, err);
    if (result == 0)
        download_set_result(d, json_pack("{s:o}", "model_name", report_json_text(model.name)));
    model_done(&model);
    return result;
}

void downloads_start_pull(struct http_exchange *x, const char *name)
{
    downloads_begin(x, &(struct download_work){"model", name, pull_run, xstrdup(name), free});
}

/* ---- routes ---- */

static void downloads_get(struct http_exchange *x)
{
    struct downloads *list = serve_of(x)->downloads;
    json_t *array = json_array();
    downloads_tidy(list);
    struct download *d;
    TAILQ_FOREACH(d, &list->all, link)
    {
        json_array_append_new(array, download_json(d));
    }
    dialect_reply_json(x, 200, array);
}

/* NULL: it is gone already. */
static void downloads_remove(struct download *d)
{
    if (d && d->running) {
        download_stop(d, DOWNLOAD_CANCELLED);
        d->removing = true;
    } else if (d) {
        downloads_drop(d->list, d);
    }
}

static void downloads_control(struct http_exchange *x)
{
    struct dialect_body body;
    char id[DOWNLOAD_TEXT], action[16];
    dialect_body_read(http_request(x)->body, &body);
    dialect_body_text(&body, "id", id, sizeof(id));
    dialect_body_text(&body, "action", action, sizeof(action));
    if (dialect_refuse(x, &body.error))
        return;
    struct download *d = downloads_find(serve_of(x)->downloads, id);
    bool pause = strcmp(action, "pause") == 0, cancel = strcmp(action, "cancel") == 0;
    if (strcmp(action, "remove") == 0) {
        downloads_remove(d);
        dialect_reply_json(
            x, 200, json_pack("{s:s, s:o*}", "status", "ok", "missing", d ? NULL : json_true()));
    } else if (!pause && !cancel) {
        http_fail(x, 400, NULL, "action", "'action' must be pause, cancel or remove.");
    } else if (!d) {
        http_fail(x, 404, NULL, "id", "There is no download '%s'.", id);
    } else {
        download_stop(d, pause ? DOWNLOAD_PAUSED : DOWNLOAD_CANCELLED);
        dialect_reply_json(x, 200, download_json(d));
    }
}

const struct http_route download_routes[] = {
    {HTTP_GET, "/v1/downloads", downloads_get, 0, 0},
    {HTTP_POST, "/v1/downloads/control", downloads_control, 0, 0},
    {0},
};
