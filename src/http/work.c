#include "http/http.h"

#include <errno.h>
#include <pthread.h>

enum { WORK_STACK = 1 << 20 };

struct work {
    struct loop *loop;
    void (*fn)(void *context);
    void (*done)(void *context);
    void *context;
};

static void *work_thread(void *argument)
{
    struct work *work = argument;
    work->fn(work->context);
    loop_post(work->loop, work->done, work->context);
    free(work);
    return NULL;
}

int work_run(struct loop *loop, void (*fn)(void *context), void (*done)(void *context),
             void *context)
{
    struct work *work = malloc(sizeof(*work));
    pthread_attr_t attributes;
    pthread_t thread;
    if (!work)
        return -EAGAIN;
    *work = (struct work){loop, fn, done, context};
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, WORK_STACK);
    int result = pthread_create(&thread, &attributes, work_thread, work);
    pthread_attr_destroy(&attributes);
    if (result == 0)
        return 0;
    free(work);
    return -EAGAIN;
}
