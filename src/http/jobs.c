/* jobs.c - what blocks in the answer to a request, on a thread. */
#include "http/private.h"

#include "base/xalloc.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

struct http_job {
    struct http_job *next, *previous;
    struct http_server *server;
    void (*fn)(struct http_job *job, void *context);
    void *context;
    void (*free_context)(void *context);
    struct http_exchange *x; /* loop's thread; NULL: the client has left, or it is answered */
    bool answered;           /* loop's thread; its thread ends soon */
    pthread_mutex_t lock;
    pthread_cond_t news;  /* slow or cancelled has changed, or a call is done */
    bool slow;            /* with the lock: the client has to read before more is sent */
    atomic_int cancelled; /* set with the lock, read without it */
};

/* ---- in the loop ---- */

static void job_tell(struct http_job *job, bool slow, bool cancelled)
{
    pthread_mutex_lock(&job->lock);
    job->slow = slow;
    job->cancelled |= cancelled;
    pthread_cond_broadcast(&job->news);
    pthread_mutex_unlock(&job->lock);
}

static void job_cancel_worker(void *worker)
{
    struct http_job *job = worker;
    job->x = NULL;
    job_tell(job, false, true);
}

static void job_writable(void *worker)
{
    job_tell(worker, false, false);
}

static const struct http_worker_ops job_worker_ops = {job_cancel_worker, job_writable};

/* The exchange, which is answered now: the job lets go of it. */
static struct http_exchange *job_take_exchange(struct http_job *job)
{
    struct http_exchange *x = job->x;
    job->x = NULL;
    job->server->n_open_jobs -= !job->answered;
    job->answered = true;
    return x;
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
    struct http_exchange *x = job_take_exchange(job);
    if (x && !x->began) {
        http_fail(x, 500, "no_answer", NULL, "this call has ended without an answer");
    } else if (x) {
        http_end(x);
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
    struct http_job *job = xcalloc(1, sizeof(*job));
    *job = (struct http_job){
        .server = s, .fn = fn, .context = context, .free_context = free_context, .x = x};
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->news, NULL);
    if (s->n_open_jobs >= HTTP_JOBS_MAX || work_run(s->work, job_thread, job_done, job) < 0) {
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
    s->n_open_jobs++;
    http_set_worker(x, &job_worker_ops, job);
}

void jobs_cancel(struct http_server *s)
{
    for (struct http_job *job = s->jobs; job; job = job->next)
        job_tell(job, job->slow, true);
}

/* ---- on the job's thread: each call is made in the loop, and waited for ---- */

struct job_call {
    struct http_job *job;
    void (*fn)(struct http_job *job, void *context);
    void *context;
    bool done;
};

static void job_call_in_loop(void *context)
{
    struct job_call *call = context;
    struct http_job *job = call->job;
    call->fn(job, call->context);
    pthread_mutex_lock(&job->lock);
    call->done = true;
    pthread_cond_broadcast(&job->news);
    pthread_mutex_unlock(&job->lock);
}

static void job_call(struct http_job *job, void (*fn)(struct http_job *job, void *context),
                     void *context)
{
    struct job_call call = {job, fn, context, false};
    loop_post(job->server->loop, job_call_in_loop, &call);
    pthread_mutex_lock(&job->lock);
    while (!call.done)
        pthread_cond_wait(&job->news, &job->lock);
    pthread_mutex_unlock(&job->lock);
}

/* Something for the client. */
struct job_answer {
    int status;
    const char *type, *code, *param, *text;
    struct str bytes;
};

static void job_reply(struct http_job *job, void *context)
{
    const struct job_answer *a = context;
    if (job->x)
        http_reply(job_take_exchange(job), a->status, a->type, a->bytes, NULL);
}

void http_job_reply(struct http_job *job, int status, const char *type, struct str body)
{
    job_call(job, job_reply, &(struct job_answer){.status = status, .type = type, .bytes = body});
}

static void job_fail(struct http_job *job, void *context)
{
    const struct job_answer *a = context;
    if (job->x)
        http_fail(job_take_exchange(job), a->status, a->code, a->param, "%s", a->text);
}

void http_job_fail(struct http_job *job, int status, const char *code, const char *param,
                   const char *text)
{
    job_call(job, job_fail,
             &(struct job_answer){.status = status, .code = code, .param = param, .text = text});
}

static void job_send(struct http_job *job, void *context)
{
    const struct job_answer *a = context;
    if (!job->x)
        return;
    if (a->type && !job->x->began)
        http_begin(job->x, 200, a->type, -1);
    http_send(job->x, a->bytes);
    job->slow = http_pending(job->x) > HTTP_HIGH_WATER;
}

void http_job_begin(struct http_job *job, const char *type)
{
    job_call(job, job_send, &(struct job_answer){.type = type});
}

int http_job_send(struct http_job *job, struct str piece)
{
    job_call(job, job_send, &(struct job_answer){.bytes = piece});
    pthread_mutex_lock(&job->lock);
    while (job->slow && !job->cancelled)
        pthread_cond_wait(&job->news, &job->lock);
    pthread_mutex_unlock(&job->lock);
    return job->cancelled ? -ECANCELED : 0;
}

const atomic_int *http_job_cancel(const struct http_job *job)
{
    return &job->cancelled;
}

void *http_job_user(const struct http_job *job)
{
    return job->server->config.user;
}

struct job_user_call {
    void (*fn)(void *user, void *context);
    void *context;
};

static void job_call_user(struct http_job *job, void *context)
{
    const struct job_user_call *call = context;
    call->fn(job->server->config.user, call->context);
}

void http_job_in_loop(struct http_job *job, void (*fn)(void *user, void *context), void *context)
{
    job_call(job, job_call_user, &(struct job_user_call){fn, context});
}
