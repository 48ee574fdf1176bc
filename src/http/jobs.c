/* jobs.c - what blocks in the answer to a request, on a thread. */
#include "http/private.h"

#include "base/xalloc.h"

#include <errno.h>
#include <pthread.h>

enum { JOB_PENDING_MAX = 262144 }; /* bytes under way to a slow reader before the job waits */

struct http_job {
    struct http_job *next, *previous;
    struct http_server *server;
    void (*fn)(struct http_job *job, void *context);
    void *context;
    void (*free_context)(void *context);
    /* The loop's thread alone: */
    struct http_exchange *x; /* NULL: the client has left, or it is answered */
    size_t unread;           /* bytes that the client has not taken yet */
    /* Both, under the lock: */
    pthread_mutex_t lock;
    pthread_cond_t news;
    size_t pending;
    atomic_int cancelled; /* also read without it */
};

/* One thing that a job wants done in the loop. */
struct job_message {
    struct http_job *job;
    int status; /* 0: a piece of a stream */
    char *type; /* owned; NULL as it is */
    char *bytes;
    size_t n;
    char *code, *param; /* owned: of a failure; NULL */
    bool failure;
};

static void job_message_free(struct job_message *m)
{
    free(m->type);
    free(m->bytes);
    free(m->code);
    free(m->param);
    free(m);
}

/* ---- in the loop ---- */

static void job_acknowledge(struct http_job *job, size_t n)
{
    pthread_mutex_lock(&job->lock);
    job->pending -= n;
    pthread_cond_broadcast(&job->news);
    pthread_mutex_unlock(&job->lock);
}

static void job_set_cancelled(struct http_job *job)
{
    pthread_mutex_lock(&job->lock);
    job->cancelled = 1;
    pthread_cond_broadcast(&job->news);
    pthread_mutex_unlock(&job->lock);
}

static void job_cancel_worker(void *worker)
{
    struct http_job *job = worker;
    job->x = NULL;
    job_set_cancelled(job);
}

static void job_writable(void *worker)
{
    struct http_job *job = worker;
    size_t n = job->unread;
    job->unread = 0;
    job_acknowledge(job, n);
}

static const struct http_worker_ops job_worker_ops = {job_cancel_worker, job_writable};

/* The exchange may be gone afterwards: the job is told by job_cancel_worker. */
static void job_kick(struct http_job *job, bool ended)
{
    struct http_exchange *x = job->x;
    if (ended)
        job->x = NULL;
    http_flush(x);
}

static void job_take_message(void *context)
{
    struct job_message *m = context;
    struct http_job *job = m->job;
    struct str bytes = {m->bytes, m->n};
    size_t n = m->n;
    if (job->x && m->failure) {
        http_put_fail(job->x, m->status, m->code, m->param, m->bytes);
        job_kick(job, true);
    } else if (job->x && m->status) {
        http_put_reply(job->x, m->status, m->type, bytes, NULL);
        job_kick(job, true);
    } else if (job->x) {
        if (m->type && !job->x->began)
            http_begin(job->x, 200, m->type, -1);
        http_send(job->x, bytes);
        job_kick(job, false);
    }
    if (job->x && http_pending(job->x) > HTTP_HIGH_WATER)
        job->unread += n;
    else
        job_acknowledge(job, n);
    job_message_free(m);
}

static void job_free(struct http_job *job)
{
    pthread_mutex_destroy(&job->lock);
    pthread_cond_destroy(&job->news);
    free(job);
}

static void job_done(void *context)
{
    struct http_job *job = context;
    struct http_server *s = job->server;
    if (job->x && !job->x->began) {
        http_put_fail(job->x, 500, "no_answer", NULL, "this call has ended without an answer");
        job_kick(job, true);
    } else if (job->x) {
        http_end(job->x);
        job_kick(job, true);
    }
    *(job->previous ? &job->previous->next : &s->jobs) = job->next;
    if (job->next)
        job->next->previous = job->previous;
    s->n_jobs--;
    job_free(job);
    http_server_check_drained(s);
}

static void job_thread(void *context)
{
    struct http_job *job = context;
    job->fn(job, job->context);
    if (job->free_context)
        job->free_context(job->context);
}

void http_job_start(struct http_exchange *x, void (*fn)(struct http_job *job, void *context),
                    void *context, void (*free_context)(void *context))
{
    struct http_server *s = x->server;
    struct http_job *job = xmalloc(sizeof(*job));
    *job = (struct http_job){
        .server = s, .fn = fn, .context = context, .free_context = free_context, .x = x};
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->news, NULL);
    if (s->n_jobs >= HTTP_JOBS_MAX || work_run(s->work, job_thread, job_done, job) < 0) {
        job_free(job);
        if (free_context)
            free_context(context);
        http_fail(x, 503, "overloaded", NULL, "too many calls of this kind run already");
        return;
    }
    job->next = s->jobs;
    if (job->next)
        job->next->previous = job;
    s->jobs = job;
    s->n_jobs++;
    http_set_worker(x, &job_worker_ops, job);
}

void jobs_cancel(struct http_server *s)
{
    for (struct http_job *job = s->jobs; job; job = job->next)
        job_set_cancelled(job);
}

/* ---- on the job's thread ---- */

static int job_post(struct http_job *job, const struct job_message *what, struct str bytes)
{
    struct job_message *m = xmalloc(sizeof(*m));
    *m = *what;
    m->job = job;
    m->bytes = xstr_dup(bytes);
    m->n = bytes.n;
    pthread_mutex_lock(&job->lock);
    while (job->pending > JOB_PENDING_MAX && !job->cancelled)
        pthread_cond_wait(&job->news, &job->lock);
    job->pending += bytes.n;
    pthread_mutex_unlock(&job->lock);
    loop_post(job->server->loop, job_take_message, m);
    return job->cancelled ? -ECANCELED : 0;
}

void http_job_reply(struct http_job *job, int status, const char *type, struct str body)
{
    struct job_message m = {.status = status, .type = xstrdup_or_null(type)};
    job_post(job, &m, body);
}

void http_job_fail(struct http_job *job, int status, const char *code, const char *param,
                   const char *text)
{
    struct job_message m = {.status = status,
                            .failure = true,
                            .code = xstrdup_or_null(code),
                            .param = xstrdup_or_null(param)};
    job_post(job, &m, str_from(text));
}

void http_job_begin(struct http_job *job, const char *type)
{
    struct job_message m = {.type = xstrdup(type)};
    job_post(job, &m, STR_NONE);
}

int http_job_send(struct http_job *job, struct str piece)
{
    struct job_message m = {0};
    return job_post(job, &m, piece);
}

bool http_job_cancelled(const struct http_job *job)
{
    return job->cancelled != 0;
}

const atomic_int *http_job_cancel(const struct http_job *job)
{
    return &job->cancelled;
}

void *http_job_user(const struct http_job *job)
{
    return job->server->config.user;
}

struct job_call {
    struct http_job *job;
    void (*fn)(void *user, void *context);
    void *context;
    bool done;
};

static void job_call_in_loop(void *context)
{
    struct job_call *call = context;
    struct http_job *job = call->job;
    call->fn(job->server->config.user, call->context);
    pthread_mutex_lock(&job->lock);
    call->done = true;
    pthread_cond_broadcast(&job->news);
    pthread_mutex_unlock(&job->lock);
}

void http_job_in_loop(struct http_job *job, void (*fn)(void *user, void *context), void *context)
{
    struct job_call call = {job, fn, context, false};
    loop_post(job->server->loop, job_call_in_loop, &call);
    pthread_mutex_lock(&job->lock);
    while (!call.done)
        pthread_cond_wait(&job->news, &job->lock);
    pthread_mutex_unlock(&job->lock);
}
