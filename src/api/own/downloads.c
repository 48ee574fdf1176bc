/* downloads.c - pulls, installs and proofs that go on without their client, and their routes. */
#include "api/serve.h"

#include <pthread.h>
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
    struct http_exchange *x; /* whose handler does the work */
    char *id, *name;
    const char *type;
    enum download_state state; /* as the user wants it, or as it ended */
    bool running;              /* the work has not ended */
    bool removing;             /* remove it from the list once it has ended */
    int64_t ended_at;
    char *error;       /* why it failed; NULL it has not */
    json_t *result;    /* NULL none */
    atomic_int cancel; /* set in the loop, read by the work */
    struct log log;
    pthread_mutex_t lock; /* of what follows */
    char step[DOWNLOAD_TEXT], file[DOWNLOAD_TEXT];
    struct model_progress at; /* its texts are not valid */
};

struct downloads {
    struct loop *loop;
    TAILQ_HEAD(, download) all; /* the oldest first */
    size_t n, running;
};

struct downloads *downloads_new(struct loop *loop)
{
    struct downloads *list = xcalloc(1, sizeof(*list));
    list->loop = loop;
    TAILQ_INIT(&list->all);
    return list;
}

static void downloads_drop(struct downloads *list, struct download *d)
{
    TAILQ_REMOVE(&list->all, d, link);
    list->n--;
    json_decref(d->result);
    pthread_mutex_destroy(&d->lock);
    free(d->error);
    free(d->id);
    free(d->name);
    free(d);
}

void downloads_free(struct downloads *list)
{
    if (!list)
        return;
    while (!TAILQ_EMPTY(&list->all))
        downloads_drop(list, TAILQ_FIRST(&list->all));
    free(list);
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

/* ---- what the work tells, on its thread ---- */

static void download_write(void *context, enum log_level level, const char *line)
{
    struct download *d = context;
    if (level == LOG_INFO) {
        pthread_mutex_lock(&d->lock);
        dialect_copy(d->step, sizeof(d->step), line);
        pthread_mutex_unlock(&d->lock);
    }
    log_at(log_ring_log(serve_of(d->x)->log), level, "%s", line);
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

/* The same of one file: struct package_net's progress. */
static void download_tell_file(void *context, const char *file, const struct fetch_progress *p)
{
    download_tell(context,
                  &(struct model_progress){
                      .file = file, .n = 1, .at = *p, .bytes = p->bytes, .total = p->total});
}

struct session_request download_request(struct download *d)
{
    struct session_request r = serve_of(d->x)->request;
    r.log = &d->log;
    r.cancel = &d->cancel;
    r.net.progress = download_tell_file;
    r.net.context = d;
    return r;
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
    int64_t now = loop_now(list->loop);
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
    json_t *error = d->state == DOWNLOAD_ERROR ? report_json_text(d->error) : NULL;
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
        "error", error, "result", d->result);
    pthread_mutex_unlock(&d->lock);
    return object;
}

/* ---- the beginning and the end, in the loop ---- */

struct download_news {
    struct http_exchange *x;
    const char *type, *name;
    struct download *d;
    int code;
    const struct gfxb_error *err;
    json_t *result;
};

static struct download *download_new(struct downloads *list, const struct download_news *news)
{
    struct download *d = xcalloc(1, sizeof(*d));
    *d = (struct download){.x = news->x,
                           .id = xasprintf("%s:%s", news->type, news->name),
                           .name = xstrdup(news->name),
                           .type = news->type,
                           .running = true,
                           .log = {download_write, d}};
    pthread_mutex_init(&d->lock, NULL);
    TAILQ_INSERT_TAIL(&list->all, d, link);
    list->n++;
    list->running++;
    return d;
}

static void download_on_begin(void *context)
{
    struct download_news *news = context;
    struct downloads *list = serve_of(news->x)->downloads;
    char *CLEAN_FREE id = xasprintf("%s:%s", news->type, news->name);
    downloads_tidy(list);
    struct download *d = downloads_find(list, id);
    if (d && d->running && d->cancel) {
        http_fail(news->x, 409, "busy", NULL, "%s is stopping. Try again in a moment.", news->name);
        return;
    }
    if (d && d->running) {
        dialect_reply_json(news->x, 200, download_json(d));
        return;
    }
    if (list->running == DOWNLOADS_RUNNING_MAX) {
        http_fail(news->x, 503, "busy", NULL,
                  "%d downloads and tests are running. Try again when one has finished.",
                  DOWNLOADS_RUNNING_MAX);
        return;
    }
    if (d)
        downloads_drop(list, d);
    news->d = download_new(list, news);
    dialect_reply_json(news->x, 200, download_json(news->d));
}

struct download *download_begin(struct http_exchange *x, const char *type, const char *name)
{
    struct download_news news = {.x = x, .type = type, .name = name};
    http_in_loop(x, download_on_begin, &news);
    return news.d;
}

/* Work that succeeded despite a stop is completed. */
static void download_on_end(void *context)
{
    const struct download_news *news = context;
    struct download *d = news->d;
    struct downloads *list = serve_of(d->x)->downloads;
    d->running = false;
    d->ended_at = loop_now(list->loop);
    d->result = news->result;
    list->running--;
    if (news->code == 0)
        d->state = DOWNLOAD_COMPLETED;
    else
        d->error = xstrdup(news->err->text);
    if (news->code && d->state == DOWNLOAD_RUNNING)
        d->state = DOWNLOAD_ERROR;
    if (d->removing)
        downloads_drop(list, d);
}

void download_end(struct download *d, int code, const struct gfxb_error *err, json_t *result)
{
    struct download_news news = {.d = d, .code = code, .err = err, .result = result};
    http_in_loop(d->x, download_on_end, &news);
}

void download_pull(struct http_exchange *x, const char *name)
{
    struct model_env env = serve_of(x)->models;
    struct model model = {.name = NULL};
    struct gfxb_error err = {.code = 0};
    struct download *d = download_begin(x, "model", name);
    if (!d)
        return;
    env.log = &d->log;
    env.cancel = &d->cancel;
    env.progress = download_tell;
    env.context = d;
    int code = engine_model_pull(&env, name, &model, &err);
    download_end(d, code, &err,
                 code ? NULL : json_pack("{s:o}", "model_name", report_json_text(model.name)));
    model_done(&model);
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
static void downloads_remove(struct downloads *list, struct download *d)
{
    if (d && d->running) {
        download_stop(d, DOWNLOAD_CANCELLED);
        d->removing = true;
    } else if (d) {
        downloads_drop(list, d);
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
    struct downloads *list = serve_of(x)->downloads;
    struct download *d = downloads_find(list, id);
    bool pause = strcmp(action, "pause") == 0, cancel = strcmp(action, "cancel") == 0;
    if (strcmp(action, "remove") == 0) {
        downloads_remove(list, d);
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
