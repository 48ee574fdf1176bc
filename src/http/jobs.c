#include "http/jobs.h"

#include "base/xalloc.h"
#include "http/http.h"
#include "http/server.h"

#include <errno.h>
#include <pthread.h>

enum { JOB_PENDING_MAX = 262144 }; /* bytes under way to a slow reader before the job waits */

struct jobs {
    struct serve *serve;
    struct http_job *first;
    size_t n;
};

struct http_job {
    struct http_job *next, *previous;
    struct jobs *jobs;
    struct serve *serve;
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

static void job_done(void *context)
{
    struct http_job *job = context;
    struct jobs *jobs = job->jobs;
    if (job->x && !job->x->began) {
        http_put_fail(job->x, 500, "no_answer", NULL, "this call has ended without an answer");
        job_kick(job, true);
    } else if (job->x) {
        http_end(job->x);
        job_kick(job, true);
    }
    *(job->previous ? &job->previous->next : &jobs->first) = job->next;
    if (job->next)
        job->next->previous = job->previous;
    jobs->n--;
    pthread_mutex_destroy(&job->lock);
    pthread_cond_destroy(&job->news);
    free(job);
    if (jobs->serve->draining)
        server_check_drained(jobs->serve);
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
    struct jobs *jobs = x->serve->jobs;
    struct http_job *job = jobs->n < HTTP_JOBS_MAX ? calloc(1, sizeof(*job)) : NULL;
    if (!job)
        goto refuse;
    *job = (struct http_job){.jobs = jobs,
                             .serve = x->serve,
                             .fn = fn,
                             .context = context,
                             .free_context = free_context,
                             .x = x};
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->news, NULL);
    if (work_run(x->serve->loop, job_thread, job_done, job) < 0) {
        free(job);
        goto refuse;
    }
    job->next = jobs->first;
    if (job->next)
        job->next->previous = job;
    jobs->first = job;
    jobs->n++;
    http_set_worker(x, &job_worker_ops, job);
    return;
refuse:
    if (free_context)
        free_context(context);
    http_fail(x, 503, "overloaded", NULL, "too many calls of this kind run already");
}

size_t jobs_count(const struct jobs *jobs)
{
    return jobs->n;
}

void jobs_cancel(struct jobs *jobs)
{
    for (struct http_job *job = jobs->first; job; job = job->next)
        job_set_cancelled(job);
}

int jobs_new(struct serve *s, struct jobs **ret_jobs, struct gfxb_error *err)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));
    if (!jobs)
        return error_set(err, ENOMEM, "out of memory");
    jobs->serve = s;
    *ret_jobs = jobs;
    return 0;
}

void jobs_free(struct jobs *jobs)
{
    free(jobs);
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
    loop_post(job->serve->loop, job_take_message, m);
    return job->cancelled ? -ECANCELED : 0;
}

void http_job_reply(struct http_job *job, int status, const char *type, struct str body)
{
    struct job_message m = {.status = status, .type = type ? strdup(type) : NULL};
    job_post(job, &m, body);
}

void http_job_fail(struct http_job *job, int status, const char *code, const char *param,
                   const char *text)
{
    struct job_message m = {.status = status,
                            .failure = true,
                            .code = code ? strdup(code) : NULL,
                            .param = param ? strdup(param) : NULL};
    job_post(job, &m, str_from(text));
}

void http_job_begin(struct http_job *job, const char *type)
{
    struct job_message m = {.type = strdup(type)};
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

struct serve *job_serve(const struct http_job *job)
{
    return job->serve;
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
    call->fn(job->serve, call->context);
    pthread_mutex_lock(&job->lock);
    call->done = true;
    pthread_cond_broadcast(&job->news);
    pthread_mutex_unlock(&job->lock);
}

void http_job_in_loop(struct http_job *job, void (*fn)(void *user, void *context), void *context)
{
    struct job_call call = {job, fn, context, false};
    loop_post(job->serve->loop, job_call_in_loop, &call);
    pthread_mutex_lock(&job->lock);
    while (!call.done)
        pthread_cond_wait(&job->news, &job->lock);
    pthread_mutex_unlock(&job->lock);
}
