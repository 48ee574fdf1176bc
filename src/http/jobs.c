/* jobs.c - handlers that block: each runs on a thread, and what it does to its exchange is done in
 * the loop. */
#include "http/private.h"

#include "base/xalloc.h"

#include <errno.h>
#include <pthread.h>

struct job {
    LIST_ENTRY(job) link;
    struct http_exchange *x;
    bool answered; /* its thread ends soon */
    pthread_mutex_t lock;
    pthread_cond_t news;  /* slow or cancelled has changed, or a call is done */
    bool slow;            /* with the lock: the client has to read before more is sent */
    atomic_int cancelled; /* set with the lock, read without it */
    struct buf body;      /* with the lock: what its handler has not received yet */
    bool whole;           /* with the lock: nothing comes behind that */
};

enum { JOB_BODY_ENOUGH = 1 << 20 };

/* The job that the calling thread is of; NULL: it is the loop's. */
static __thread struct job *job_here;

/* ---- in the loop ---- */

void job_tell(struct job *job, bool slow, bool cancelled)
{
    pthread_mutex_lock(&job->lock);
    job->slow = slow;
    job->cancelled |= cancelled;
    pthread_cond_broadcast(&job->news);
    pthread_mutex_unlock(&job->lock);
}

static void job_cancel(void *worker)
{
    job_tell(worker, false, true);
}

static void job_writable(void *worker)
{
    job_tell(worker, false, false);
}

static const struct http_worker_ops job_worker_ops = {job_cancel, job_writable};

void job_answered(struct job *job)
{
    job->x->server->n_open_jobs -= !job->answered;
    job->answered = true;
}

bool job_feed(struct job *job, struct str bytes, bool whole)
{
    pthread_mutex_lock(&job->lock);
    buf_add_str(&job->body, bytes);
    job->whole = whole;
    bool enough = job->body.n >= JOB_BODY_ENOUGH;
    pthread_cond_broadcast(&job->news);
    pthread_mutex_unlock(&job->lock);
    return enough;
}

static void job_free(struct job *job)
{
    buf_done(&job->body);
    pthread_mutex_destroy(&job->lock);
    pthread_cond_destroy(&job->news);
    free(job);
}

static void job_done(void *context)
{
    struct job *job = context;
    struct http_exchange *x = job->x;
    struct http_server *s = x->server;
    if (x->connection && !x->began && s->draining)
        http_fail(x, 503, NULL, NULL, "the server is shutting down");
    else if (x->connection && !x->began)
        http_fail(x, 500, "no_answer", NULL, "this call has ended without an answer");
    else if (x->connection && !x->ended)
        http_end(x);
    job_answered(job);
    LIST_REMOVE(job, link);
    s->n_jobs--;
    job_free(job);
    x->job = NULL;
    if (!x->connection)
        exchange_free(x);
    server_check_drained(s);
}

static void job_thread(void *context)
{
    struct job *job = job_here = context;
    job->x->route->handle(job->x);
    job_here = NULL;
}

void job_start(struct http_exchange *x)
{
    struct http_server *s = x->server;
    struct job *job = x->job = xcalloc(1, sizeof(*job));
    job->x = x;
    job->body = BUF_INIT(2 * JOB_BODY_ENOUGH);
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->news, NULL);
    if (s->n_open_jobs >= HTTP_JOBS_MAX || work_run(s->work, job_thread, job_done, job) < 0) {
        job_free(job);
        x->job = NULL;
        http_fail(x, 503, "overloaded", NULL, "too many calls of this kind run already");
        return;
    }
    LIST_INSERT_HEAD(&s->jobs, job, link);
    s->n_jobs++;
    s->n_open_jobs++;
    http_set_worker(x, &job_worker_ops, job);
}

void jobs_cancel(struct http_server *s)
{
    struct job *job;
    LIST_FOREACH(job, &s->jobs, link)
    {
        job_tell(job, job->slow, true);
    }
}

/* ---- on the job's thread ---- */

struct job_call {
    struct job *job;
    void (*fn)(void *context);
    void *context;
    bool done;
};

static void job_call(void *context)
{
    struct job_call *call = context;
    struct job *job = call->job;
    call->fn(call->context);
    pthread_mutex_lock(&job->lock);
    call->done = true;
    pthread_cond_broadcast(&job->news);
    pthread_mutex_unlock(&job->lock);
}

void http_in_loop(struct http_exchange *x, void (*fn)(void *context), void *context)
{
    struct job_call call = {job_here, fn, context, false};
    if (!job_here) {
        fn(context);
        return;
    }
    loop_post(x->server->loop, job_call, &call);
    pthread_mutex_lock(&job_here->lock);
    while (!call.done)
        pthread_cond_wait(&job_here->news, &job_here->lock);
    pthread_mutex_unlock(&job_here->lock);
}

int job_wait_for_reader(void)
{
    if (!job_here)
        return 0;
    pthread_mutex_lock(&job_here->lock);
    while (job_here->slow && !job_here->cancelled)
        pthread_cond_wait(&job_here->news, &job_here->lock);
    pthread_mutex_unlock(&job_here->lock);
    return job_here->cancelled ? -ECANCELED : 0;
}

static void job_resume(void *context)
{
    const struct http_exchange *x = context;
    if (!x->connection)
        return;
    x->connection->fed = false;
    connection_run_later(x->connection);
}

int http_receive(struct http_exchange *x, struct buf *ret)
{
    struct job *job = x->job;
    buf_done(ret);
    pthread_mutex_lock(&job->lock);
    while (!job->body.n && !job->whole && !job->cancelled)
        pthread_cond_wait(&job->news, &job->lock);
    *ret = job->body;
    job->body = BUF_INIT(ret->max);
    pthread_mutex_unlock(&job->lock);
    if (ret->n >= JOB_BODY_ENOUGH)
        http_in_loop(x, job_resume, x);
    return job->cancelled ? -ECANCELED : ret->n > 0;
}

uint64_t http_body_length(const struct http_exchange *x)
{
    return x->head.length;
}

const atomic_int *http_cancelled(const struct http_exchange *x)
{
    return &x->job->cancelled;
}
