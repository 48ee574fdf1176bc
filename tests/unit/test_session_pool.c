/*
 * test_session_pool.c - the pool with engines that follow a script: no process, no socket. The test
 * plays the worker (what an engine comes to) and the relay (what an answer comes to).
 */
#include "base/xalloc.h"
#include "session/session_private.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define GPU  "vulkan|0000:03:00.0|..."
#define GPU2 "vulkan|0000:18:00.0|..."
#define CPU  "cpu|..."

enum { WAIT_MS = 10000, ENGINES = 8, HISTORY_MAX = 512 };

/* ---- the script ---- */

/* One engine, and what the pool has asked of it. */
struct script {
    struct pool_model *model; /* NULL: closed, or never opened */
    unsigned closed, bring_ups, proves, ends, rejects;
    unsigned keeps;                               /* ends that keep what its slots hold */
    struct pool_options options;                  /* of the last bring-up */
    char avoid[HISTORY_MAX], failed[HISTORY_MAX]; /* of the last bring-up; "" nothing */
    bool served;
    char rejected[HISTORY_MAX]; /* the last one */
    struct gfxb_error why;
    unsigned requests; /* under way, as it was told */
};

static struct script script[ENGINES]; /* by order of opening */
static size_t n_scripts;
static int open_fails; /* errno value; 0: it works */

static int script_open(struct pool_model *m, void **ret_engine, struct gfxb_error *err)
{
    if (open_fails)
        return error_set(err, open_fails, "no thread: %s", error_errno_text(open_fails));
    assert_true(n_scripts < ENGINES);
    struct script *s = &script[n_scripts++];
    *s = (struct script){.model = m};
    *ret_engine = s;
    return 0;
}

static void script_bring_up(struct script *s, const struct session_order *order)
{
    struct session_history h = order->history;
    s->bring_ups++;
    s->options = order->options;
    s->served = h.served;
    snprintf(s->avoid, sizeof(s->avoid), "%s", h.n_avoid ? h.avoid[0] : "");
    snprintf(s->failed, sizeof(s->failed), "%s", h.n_failed ? h.failed[0].fingerprint : "");
    session_history_done(&h);
}

static void script_order(void *engine, const struct session_order *order)
{
    struct script *s = engine;
    if (order->kind == SESSION_BRING_UP)
        script_bring_up(s, order);
    s->proves += order->kind == SESSION_PROVE;
    s->ends += order->kind == SESSION_END;
    s->keeps += order->kind == SESSION_END && order->keep;
    if (order->kind != SESSION_REJECT)
        return;
    s->rejects++;
    s->why = order->why;
    snprintf(s->rejected, sizeof(s->rejected), "%s", order->fingerprint);
    free(order->fingerprint);
}

static void script_traffic(void *engine, unsigned requests, bool answered)
{
    (void)answered;
    ((struct script *)engine)->requests = requests;
}

static void script_close(void *engine)
{
    struct script *s = engine;
    assert_non_null(s->model);
    s->closed++;
    s->model = NULL;
}

static const struct session_engines script_engines = {script_open, script_order, script_traffic,
                                                      script_close};

/* ---- the worker's part ---- */

/* What an engine of the script has when nobody asks for more. */
enum { MODEL_CONTEXT = 2048 };

static void up(struct script *s, const char *fingerprint)
{
    struct session_news news = {.event = SESSION_EV_UP,
                                .socket = "/nonexistent/e.sock",
                                .fingerprint = fingerprint,
                                .last_resort = strcmp(fingerprint, CPU) == 0};
    news.endpoint.context = s->options.context < MODEL_CONTEXT ? MODEL_CONTEXT : s->options.context;
    news.endpoint.slots = 2;
    snprintf(news.endpoint.backend, sizeof(news.endpoint.backend), "%.*s",
             (int)strcspn(fingerprint, "|"), fingerprint);
    pool_news(s->model, &news);
}

static void lose(struct script *s, enum blame_loss loss, int code)
{
    struct session_news news = {.event = SESSION_EV_LOST, .loss = loss};
    error_set(&news.why, code, "the engine was lost");
    pool_news(s->model, &news);
}

static void crash(struct script *s)
{
    lose(s, BLAME_BROKE, GFXB_E_ENGINE_CRASH);
}

static void tell(struct script *s, enum session_event event, int code)
{
    struct session_news news = {.event = event};
    if (code)
        error_set(&news.why, code, "%s", code < 1024 ? error_errno_text(code) : "nothing works");
    pool_news(s->model, &news);
}

static void judge(struct script *s, bool passed)
{
    pool_news(s->model, &(struct session_news){.event = SESSION_EV_JUDGED, .passed = passed});
}

/* ---- the pool, and the relay's part ---- */

struct bed {
    struct loop *loop;
    struct work *work;
    struct pool *pool;
    struct loop_timer tick;
    const unsigned *awaited; /* until it has this value */
    unsigned value;
    int64_t until;
    unsigned ended;
};

/* A request; its owner in the server would be a relay. */
struct client {
    struct pool_waiter waiter;
    unsigned ready, failed;
    char backend[24]; /* that it was last given to */
    struct gfxb_error why;
};

static void client_ready(struct pool_waiter *w)
{
    struct client *c = container_of(w, struct client, waiter);
    c->ready++;
    if (!w->load_only)
        snprintf(c->backend, sizeof(c->backend), "%s", w->endpoint->backend);
}

static void client_failed(struct pool_waiter *w, const struct gfxb_error *why)
{
    struct client *c = container_of(w, struct client, waiter);
    c->failed++;
    c->why = *why;
}

static const char *file = "/dev/null"; /* of all models; NULL: there are none */

/* "a" and "b" are models; "a:latest" is "a" too; "nosuch..." is none. */
static int find(void *context, const char *name, struct pool_found *ret_found,
                struct gfxb_error *err)
{
    (void)context;
    if (!file || strncmp(name, "nosuch", 6) == 0)
        return error_set(err, GFXB_E_MODEL_UNKNOWN, "there is no model %s", name);
    *ret_found = (struct pool_found){
        .name = strndup(name, strcspn(name, ":")), .path = strdup(file), .bytes = 100};
    return 0;
}

static void bed_tick(struct loop_timer *timer)
{
    struct bed *bed = container_of(timer, struct bed, tick);
    if (*bed->awaited >= bed->value)
        loop_stop(bed->loop);
    else if (clock_now_ms() > bed->until)
        fail_msg("it does not come to that");
    else
        loop_timer_set(bed->loop, timer, 2);
}

/* Let time go on until something has happened so often. */
static void await(struct bed *bed, const unsigned *what, unsigned times)
{
    bed->awaited = what;
    bed->value = times;
    bed->until = clock_now_ms() + WAIT_MS;
    bed->tick.due = bed_tick;
    loop_timer_set(bed->loop, &bed->tick, 0);
    loop_run(bed->loop);
}

static void bed_make_pool(struct bed *bed, const struct pool_config *own)
{
    struct pool_config config = *own;
    struct gfxb_error err = {.text = ""};
    config.loop = bed->loop;
    config.find = find;
    config.engines = &script_engines;
    config.default_model = "a";
    config.keep_alive = POOL_KEEP_FOREVER;
    config.slots = 4;
    config.engine_requests = config.engine_requests ? config.engine_requests : 8;
    config.queue = config.queue ? config.queue : 256;
    if (work_new(bed->loop, 2, 1, &bed->work, &err) < 0)
        fail_msg("%s", err.text);
    config.work = bed->work;
    bed->pool = pool_new(&config);
}

static struct bed *bed_new(const struct pool_config *own)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    struct gfxb_error err = {.text = ""};
    memset(script, 0, sizeof(script));
    n_scripts = 0;
    open_fails = 0;
    if (loop_new(&bed->loop, &err) < 0)
        fail_msg("%s", err.text);
    bed_make_pool(bed, own ? own : &(struct pool_config){.queue = 0});
    return bed;
}

static void bed_ended(void *context)
{
    ((struct bed *)context)->ended = 1;
}

/* Everything is unloaded; nothing of it is left. */
static void bed_done(struct bed *bed)
{
    pool_end(bed->pool, bed_ended, bed);
    for (size_t i = 0; i < n_scripts; i++) {
        if (script[i].model && script[i].ends)
            tell(&script[i], SESSION_EV_ENDED, 0);
    }
    await(bed, &bed->ended, 1);
    for (size_t i = 0; i < n_scripts; i++)
        assert_int_equal(script[i].closed, 1);
    assert_int_equal(pool_waiting(bed->pool), 0);
    pool_free(bed->pool);
    work_free(bed->work);
    loop_timer_clear(bed->loop, &bed->tick);
    loop_free(bed->loop);
    free(bed);
}

static const struct pool_options as_it_is = {
    .keep_alive = POOL_KEEP_DEFAULT, .pin = -1, .backend = -1};

static void ask_for(struct bed *bed, struct client *c, const char *name,
                    const struct pool_options *options)
{
    c->waiter.ready = client_ready;
    c->waiter.failed = client_failed;
    pool_wait(bed->pool, str_from(name), options, &c->waiter);
}

static void ask(struct bed *bed, struct client *c)
{
    ask_for(bed, c, "a", &as_it_is);
}

/* The model "a" with this choice's engine, and n requests under way in it. */
static struct script *serving(struct bed *bed, const char *fingerprint, struct client *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ask(bed, &c[i]);
    await(bed, &script[0].bring_ups, 1);
    assert_false(script[0].served);
    up(&script[0], fingerprint);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(c[i].ready, 1);
    assert_int_equal(script[0].requests, n);
    return &script[0];
}

/* It has answered before: one crash of it may be an accident. */
static struct script *that_worked(struct bed *bed, const char *fingerprint, struct client *c,
                                  size_t n)
{
    struct client first = {.ready = 0};
    struct script *s = serving(bed, fingerprint, &first, 1);
    pool_done(&first.waiter, POOL_OK);
    for (size_t i = 0; i < n; i++)
        ask(bed, &c[i]);
    return s;
}

/* Another client is answered at once, by this backend. */
static void check_serves(struct bed *bed, const char *backend)
{
    struct client other = {.ready = 0};
    ask(bed, &other);
    assert_int_equal(other.ready, 1);
    assert_string_equal(other.backend, backend);
    pool_done(&other.waiter, POOL_OK);
}

static enum pool_state state_of_first(const struct bed *bed)
{
    struct pool_status status;
    assert_true(pool_at(bed->pool, 0, &status));
    return status.state;
}

/* ---- from the beginning to the end ---- */

static void a_model_is_loaded_serves_and_is_unloaded(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0}, load = {.waiter = {.load_only = true}};
    (void)state;
    ask(bed, &c);
    ask(bed, &load);
    await(bed, &script[0].bring_ups, 1);
    assert_int_equal(state_of_first(bed), POOL_LOADING);
    tell(&script[0], SESSION_EV_LOADS, 0);
    assert_int_equal(state_of_first(bed), POOL_LOADING);
    assert_int_equal(c.ready + load.ready, 0);
    up(&script[0], GPU);
    assert_int_equal(state_of_first(bed), POOL_READY);
    assert_int_equal(c.ready, 1);
    assert_int_equal(load.ready, 1);
    assert_null(load.waiter.model);
    assert_int_equal(script[0].requests, 1);
    pool_done(&c.waiter, POOL_OK);
    assert_int_equal(script[0].requests, 0);
    assert_int_equal(pool_unload(bed->pool, STR("a"), NULL), 0);
    assert_int_equal(script[0].ends, 1);
    assert_int_equal(script[0].keeps, 0); /* who unloads it wants nothing of it to stay */
    assert_int_equal(state_of_first(bed), POOL_UNLOADING);
    ask(bed, &c); /* and it is wanted again before it has ended */
    tell(&script[0], SESSION_EV_ENDED, 0);
    assert_int_equal(script[0].bring_ups, 2);
    up(&script[0], GPU);
    assert_int_equal(c.ready, 2);
    pool_done(&c.waiter, POOL_OK);
    pool_unload(bed->pool, STR(""), NULL);
    tell(&script[0], SESSION_EV_ENDED, 0);
    assert_int_equal(pool_count(bed->pool), 0);
    bed_done(bed);
}

static void a_name_that_nobody_knows_is_told(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0}, again = {.ready = 0};
    (void)state;
    ask_for(bed, &c, "nosuch", &as_it_is);
    await(bed, &c.failed, 1);
    assert_int_equal(c.why.code, GFXB_E_MODEL_UNKNOWN);
    ask_for(bed, &again, "nosuch", &as_it_is);
    await(bed, &again.failed, 1);
    bed_done(bed);
    /* It comes: nobody hears of the failure any more. */
    bed = bed_new(NULL);
    c = again = (struct client){.ready = 0};
    file = NULL;
    ask(bed, &c);
    await(bed, &c.failed, 1);
    file = "/dev/null";
    ask(bed, &again);
    await(bed, &script[0].bring_ups, 1);
    up(&script[0], GPU);
    assert_int_equal(again.ready, 1);
    pool_done(&again.waiter, POOL_OK);
    bed_done(bed);
}

/* A model's file, and what another program does to it. */
static void put_file(const char *path, const char *text)
{
    char *CLEAN_FREE temporary = xasprintf("%s.new", path);
    assert_int_equal(fs_write(temporary, text, strlen(text), 0600, NULL), 0);
    assert_int_equal(rename(temporary, path), 0);
}

/* The next request gets the new file; the one under way ends with the old one. */
static void expect_new_model(const char *path, const char *replaced)
{
    struct client c = {.ready = 0}, next = {.ready = 0}, last = {.ready = 0};
    file = path;
    struct bed *bed = bed_new(NULL);
    serving(bed, GPU, &c, 1);
    put_file(replaced, "another model");
    ask(bed, &next);
    await(bed, &script[1].bring_ups, 1);
    up(&script[1], GPU);
    assert_int_equal(next.ready, 1);
    assert_int_equal(script[0].ends, 0);
    assert_int_equal(c.failed, 0);
    pool_done(&c.waiter, POOL_OK);
    assert_int_equal(script[0].ends, 1);
    tell(&script[0], SESSION_EV_ENDED, 0);
    pool_done(&next.waiter, POOL_OK);
    assert_int_equal(pool_count(bed->pool), 1);
    ask(bed, &last); /* nothing has changed since */
    assert_int_equal(last.ready, 1);
    pool_done(&last.waiter, POOL_OK);
    bed_done(bed);
    file = "/dev/null";
}

static void a_replaced_model_is_loaded_anew(void **state)
{
    char path[] = "/tmp/gfxb-pool-XXXXXX";
    (void)state;
    close(mkstemp(path));
    expect_new_model(path, path);
    unlink(path);
}

static void a_model_with_a_replaced_part_is_loaded_anew(void **state)
{
    char dir[] = "/tmp/gfxb-pool-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(dir));
    char *CLEAN_FREE first = xfs_join(dir, "m-00001-of-00002.gguf");
    char *CLEAN_FREE second = xfs_join(dir, "m-00002-of-00002.gguf");
    put_file(first, "one");
    put_file(second, "two");
    expect_new_model(first, second);
    assert_int_equal(fs_remove_tree(dir), 0);
}

static void a_removed_model_is_gone(void **state)
{
    char path[] = "/tmp/gfxb-pool-XXXXXX";
    struct pool_status status;
    struct client c = {.ready = 0}, next = {.ready = 0};
    (void)state;
    close(mkstemp(path));
    file = path;
    struct bed *bed = bed_new(NULL);
    serving(bed, GPU, &c, 1);
    pool_done(&c.waiter, POOL_OK);
    unlink(path);
    file = NULL;
    ask(bed, &next);
    await(bed, &next.failed, 1);
    assert_int_equal(next.why.code, GFXB_E_MODEL_UNKNOWN);
    assert_int_equal(script[0].ends, 1);
    tell(&script[0], SESSION_EV_ENDED, 0);
    assert_false(pool_at(bed->pool, 0, &status));
    bed_done(bed);
    file = "/dev/null";
}

static unsigned threads(void)
{
    struct buf CLEAN_BUF text = BUF_INIT(1u << 18);
    assert_int_equal(fs_read("/proc/self/status", 1u << 16, &text), 0);
    const char *found = strstr(buf_text(&text), "Threads:");
    assert_non_null(found);
    return (unsigned)strtoul(found + 8, NULL, 10);
}

/* Review 7: a queue, not a thread for each. */
static void many_unknown_names_are_one_thread_and_few_failures(void **state)
{
    enum { MANY = 200 };
    static struct client c[MANY];
    struct bed *bed = bed_new(NULL);
    unsigned before = threads();
    (void)state;
    memset(c, 0, sizeof(c));
    for (size_t i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof(name), "nosuch%zu", i);
        ask_for(bed, &c[i], name, &as_it_is);
        /* One more of the two that it may have; those that are ending still count. */
        assert_true(threads() <= before + 4);
    }
    for (size_t i = 0; i < MANY; i++)
        await(bed, &c[i].failed, 1);
    assert_true(pool_count(bed->pool) <= 64);
    bed_done(bed);
}

/* Review 9: what was asked for under the second name of a loaded model counts. */
static void a_second_name_keeps_what_it_asks_for(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0}, other = {.waiter = {.load_only = true}};
    struct pool_options wish = {.context = 4096, .keep_alive = 7, .pin = 1, .backend = PLAN_VULKAN};
    struct pool_status status;
    (void)state;
    struct script *s = serving(bed, CPU, &c, 1);
    pool_done(&c.waiter, POOL_OK);
    ask_for(bed, &other, "a:latest", &wish);
    await(bed, &s->ends, 1); /* it is to be loaded in another way */
    assert_int_equal(pool_count(bed->pool), 1);
    assert_int_equal(other.ready, 0);
    tell(s, SESSION_EV_ENDED, 0);
    assert_int_equal(s->options.backend, PLAN_VULKAN);
    assert_int_equal(s->options.context, 4096);
    up(s, GPU);
    assert_int_equal(other.ready, 1);
    assert_true(pool_at(bed->pool, 0, &status));
    assert_true(status.pinned);
    assert_int_equal(status.context, 4096);
    assert_int_equal(status.slots, 2);
    ask_for(bed, &c, "a:latest", &as_it_is); /* known by now */
    assert_int_equal(c.ready, 2);
    pool_done(&c.waiter, POOL_OK);
    bed_done(bed);
}

/* Ollama's clients send num_ctx with every request: only one that the engine has no room for loads
 * the model again, and only once, though the model takes no more. */
static void the_context_grows_only_when_it_must(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    struct pool_options wish = {.keep_alive = POOL_KEEP_DEFAULT, .pin = -1, .backend = -1};
    (void)state;
    struct script *s = serving(bed, CPU, &c, 1);
    pool_done(&c.waiter, POOL_OK);
    wish.context = MODEL_CONTEXT;
    ask_for(bed, &c, "a", &wish); /* it has so much, though nobody asked for it */
    assert_int_equal(c.ready, 2);
    pool_done(&c.waiter, POOL_OK);
    wish.context = 8192;
    ask_for(bed, &c, "a", &wish);
    await(bed, &s->ends, 1);
    tell(s, SESSION_EV_ENDED, 0);
    assert_int_equal(s->options.context, 8192);
    s->options.context = 0; /* trained for less */
    up(s, CPU);
    assert_int_equal(c.ready, 3);
    pool_done(&c.waiter, POOL_OK);
    ask_for(bed, &c, "a", &wish);
    assert_int_equal(c.ready, 4);
    pool_done(&c.waiter, POOL_OK);
    assert_int_equal(s->ends, 1);
    bed_done(bed);
}

/* The same from clients that send num_ctx with every request. */
static void a_context_that_cannot_be_had_is_asked_for_once(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    struct pool_options wish = {
        .context = 8192, .keep_alive = POOL_KEEP_DEFAULT, .pin = -1, .backend = -1};
    (void)state;
    struct script *s = serving(bed, CPU, &c, 1);
    pool_done(&c.waiter, POOL_OK);
    ask_for(bed, &c, "a", &wish);
    tell(s, SESSION_EV_ENDED, 0);
    tell(s, SESSION_EV_NOTHING_WORKS, GFXB_E_MEMORY_TOO_SMALL);
    await(bed, &s->bring_ups, 3);
    up(s, CPU);
    assert_int_equal(c.ready, 2);
    pool_done(&c.waiter, POOL_OK);
    ask_for(bed, &c, "a", &wish);
    assert_int_equal(c.ready, 3);
    pool_done(&c.waiter, POOL_OK);
    assert_int_equal(s->ends, 1);
    /* What is above the trained context is no wish for more. */
    s->model->found.context = 4096;
    s->model->endpoint->context = 4096;
    s->model->too_large = 0;
    s->model->asked.context = s->model->options.context = 4096;
    ask_for(bed, &c, "a", &wish);
    assert_int_equal(c.ready, 4);
    assert_int_equal(s->model->options.context, 4096);
    pool_done(&c.waiter, POOL_OK);
    bed_done(bed);
}

static void what_cannot_be_had_otherwise_comes_back_as_it_was(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0}, load = {.waiter = {.load_only = true}};
    struct pool_options wish = {.keep_alive = POOL_KEEP_DEFAULT, .pin = -1, .backend = PLAN_ROCM};
    (void)state;
    struct script *s = serving(bed, CPU, &c, 1);
    pool_done(&c.waiter, POOL_OK);
    ask_for(bed, &load, "a", &wish);
    tell(s, SESSION_EV_ENDED, 0);
    assert_int_equal(s->options.backend, PLAN_ROCM);
    tell(s, SESSION_EV_NOTHING_WORKS, GFXB_E_NO_GPU);
    assert_int_equal(load.failed, 1);
    assert_int_equal(load.why.code, GFXB_E_NO_GPU);
    ask(bed, &c);
    await(bed, &s->bring_ups, 3);
    assert_int_equal(s->options.backend, -1);
    up(s, CPU);
    assert_int_equal(c.ready, 2);
    pool_done(&c.waiter, POOL_OK);
    bed_done(bed);
}

static void the_least_used_model_makes_room(void **state)
{
    struct bed *bed = bed_new(&(struct pool_config){.max_models = 1});
    struct client c = {.ready = 0}, other = {.ready = 0};
    unsigned n = 0;
    (void)state;
    struct script *s = serving(bed, GPU, &c, 1);
    ask_for(bed, &other, "b", &as_it_is);
    while (bed->pool->models->state != SESSION_WAITING) /* the first one is at work */
        await(bed, &n, 0);
    assert_int_equal(s->ends, 0);
    assert_int_equal(n_scripts, 1);
    pool_done(&c.waiter, POOL_OK);
    await(bed, &s->ends, 1);
    assert_int_equal(s->keeps, 1);
    assert_int_equal(n_scripts, 1); /* not before it is gone */
    tell(s, SESSION_EV_ENDED, 0);
    assert_int_equal(s->closed, 1);
    assert_int_equal(script[1].bring_ups, 1);
    up(&script[1], GPU);
    assert_int_equal(other.ready, 1);
    pool_done(&other.waiter, POOL_OK);
    bed_done(bed);
}

static void an_end_in_the_middle_of_a_load_ends_it(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    ask(bed, &c);
    await(bed, &script[0].bring_ups, 1);
    pool_leave(&c.waiter); /* as all clients have when a server ends */
    pool_end(bed->pool, bed_ended, bed);
    assert_int_equal(script[0].ends, 1);
    assert_int_equal(bed->ended, 0);
    tell(&script[0], SESSION_EV_NOTHING_WORKS, GFXB_E_INTERRUPTED);
    tell(&script[0], SESSION_EV_ENDED, 0);
    assert_int_equal(bed->ended, 1);
    bed_done(bed);
}

/* ---- this process is at fault ---- */

/* Review 2. */
static void without_a_thread_the_request_is_told_and_nothing_is_left(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    open_fails = EAGAIN;
    ask(bed, &c);
    await(bed, &c.failed, 1);
    assert_int_equal(c.why.code, EAGAIN);
    open_fails = 0;
    while (pool_count(bed->pool))
        await(bed, &c.failed, 1);
    ask(bed, &c);
    await(bed, &script[0].bring_ups, 1);
    up(&script[0], GPU);
    assert_int_equal(c.ready, 1);
    pool_done(&c.waiter, POOL_OK);
    bed_done(bed);
}

/* Review 3: the relay has no descriptor for its connection. */
static void without_a_descriptor_the_engine_runs_on(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c[4] = {{.ready = 0}};
    (void)state;
    struct script *s = serving(bed, GPU, c, 4);
    for (size_t i = 0; i < 4; i++)
        pool_done(&c[i].waiter, POOL_CANCELLED);
    check_serves(bed, "vulkan");
    assert_int_equal(s->bring_ups, 1);
    assert_int_equal(s->proves + s->ends + s->rejects, 0);
    bed_done(bed);
}

static void check_ours(int code, int told)
{
    struct bed *bed = bed_new(NULL);
    struct client c[2] = {{.ready = 0}};
    struct script *s = that_worked(bed, GPU, c, 1);
    lose(s, BLAME_KILLED, GFXB_E_ENGINE_CRASH);
    pool_again(&c[0].waiter, POOL_BROKEN);
    tell(s, SESSION_EV_NOTHING_WORKS, code); /* it cannot be started again */
    assert_int_equal(c[0].failed, 1);
    assert_int_equal(c[0].why.code, told);
    assert_int_equal(s->rejects, 0);
    bed_done(bed);
}

static void a_full_disk_is_told_and_nothing_is_stored(void **state)
{
    (void)state;
    check_ours(ENOSPC, EAGAIN);
    check_ours(EMFILE, EMFILE);
    check_ours(ENOMEM, ENOMEM);
}

/* ---- an engine is lost ---- */

/* Review 1: one request, two engines, and everybody else goes on. */
static void poison_costs_two_engines_and_nobody_else_notices(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    struct script *s = serving(bed, GPU, &c, 1);
    crash(s);
    pool_again(&c.waiter, POOL_BROKEN);
    assert_int_equal(state_of_first(bed), POOL_FAILING_OVER);
    assert_string_equal(s->avoid, GPU);
    assert_true(s->served);
    up(s, CPU);
    assert_int_equal(c.ready, 2);
    assert_string_equal(c.backend, "cpu");
    crash(s);
    pool_again(&c.waiter, POOL_BROKEN);
    assert_int_equal(c.failed, 1);
    assert_int_equal(c.why.code, GFXB_E_REQUEST_POISON);
    assert_non_null(strstr(c.why.text, "ended the engine twice"));
    assert_int_equal(s->bring_ups, 3);
    assert_string_equal(s->avoid, "");
    assert_string_equal(s->failed, "");
    up(s, GPU);
    check_serves(bed, "vulkan");
    assert_int_equal(s->rejects + s->proves, 0);
    bed_done(bed);
}

static void poison_among_innocents_is_found_one_at_a_time(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c[4] = {{.ready = 0}}, other = {.ready = 0};
    (void)state;
    struct script *s = that_worked(bed, GPU, c, 3);
    crash(s);
    for (size_t i = 0; i < 3; i++)
        pool_again(&c[i].waiter, POOL_BROKEN);
    ask(bed, &other); /* who had nothing to do with it waits until the suspects are done */
    up(s, CPU);
    assert_int_equal(s->requests, 1);
    assert_int_equal(c[2].ready, 2);
    pool_done(&c[2].waiter, POOL_OK);
    assert_int_equal(s->requests, 1);
    assert_int_equal(c[1].ready, 2);
    assert_int_equal(other.ready, 0);
    crash(s); /* it was the second */
    pool_again(&c[1].waiter, POOL_BROKEN);
    assert_int_equal(c[1].why.code, GFXB_E_REQUEST_POISON);
    assert_string_equal(s->avoid, GPU);
    up(s, CPU);
    assert_int_equal(c[0].ready, 2);
    pool_done(&c[0].waiter, POOL_OK);
    assert_int_equal(s->ends, 1); /* back to where it was */
    tell(s, SESSION_EV_ENDED, 0);
    assert_string_equal(s->avoid, "");
    up(s, GPU);
    assert_int_equal(other.ready, 1);
    assert_string_equal(other.backend, "vulkan");
    pool_done(&other.waiter, POOL_OK);
    assert_int_equal(s->rejects + s->proves, 0);
    bed_done(bed);
}

static void a_choice_that_fails_what_another_one_answers_is_rejected(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c[2] = {{.ready = 0}};
    (void)state;
    struct script *s = serving(bed, GPU, c, 2);
    crash(s);
    pool_again(&c[0].waiter, POOL_BROKEN);
    pool_again(&c[1].waiter, POOL_BROKEN);
    up(s, GPU2);
    pool_done(&c[1].waiter, POOL_OK);
    assert_int_equal(s->rejects, 0);
    pool_done(&c[0].waiter, POOL_OK);
    assert_int_equal(s->rejects, 1);
    assert_string_equal(s->rejected, GPU);
    assert_int_equal(s->why.code, GFXB_E_ENGINE_CRASH);
    check_serves(bed, "vulkan");
    assert_int_equal(s->ends, 0); /* the second GPU stays */
    bed_done(bed);
}

static void one_accident_of_a_choice_that_works_is_forgiven(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    struct script *s = that_worked(bed, GPU, &c, 1);
    crash(s);
    pool_again(&c.waiter, POOL_BROKEN);
    up(s, CPU);
    pool_done(&c.waiter, POOL_OK);
    assert_int_equal(s->rejects, 0);
    assert_int_equal(s->ends, 1);
    tell(s, SESSION_EV_ENDED, 0);
    up(s, GPU);
    ask(bed, &c);
    crash(s);
    pool_again(&c.waiter, POOL_BROKEN);
    up(s, CPU);
    pool_done(&c.waiter, POOL_OK);
    assert_string_equal(s->rejected, GPU); /* twice is no accident */
    bed_done(bed);
}

static void a_hang_is_judged_like_a_crash(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    struct script *s = serving(bed, GPU, &c, 1);
    lose(s, BLAME_BROKE, GFXB_E_ENGINE_HANG);
    pool_again(&c.waiter, POOL_BROKEN);
    up(s, CPU);
    pool_done(&c.waiter, POOL_OK);
    assert_string_equal(s->rejected, GPU);
    assert_int_equal(s->why.code, GFXB_E_ENGINE_HANG);
    bed_done(bed);
}

/* The connection breaks a moment before the death is seen. */
static void a_connection_that_broke_just_before_counts(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    struct script *s = serving(bed, GPU, &c, 1);
    pool_again(&c.waiter, POOL_BROKEN);
    assert_int_equal(c.ready, 1); /* not sent to a dying engine */
    crash(s);
    assert_string_equal(s->avoid, GPU);
    up(s, CPU);
    assert_int_equal(c.ready, 2);
    pool_again(&c.waiter, POOL_BROKEN);
    crash(s);
    assert_int_equal(c.why.code, GFXB_E_REQUEST_POISON);
    bed_done(bed);
}

static void kills_from_outside_restart_it_and_then_rest_it(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c[2] = {{.ready = 0}};
    (void)state;
    struct script *s = that_worked(bed, GPU, c, 2);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(s->avoid, "");
        assert_string_equal(s->failed, "");
        assert_int_equal(s->requests, 2); /* all of them, at once */
        lose(s, BLAME_KILLED, GFXB_E_ENGINE_CRASH);
        pool_again(&c[0].waiter, POOL_BROKEN);
        pool_again(&c[1].waiter, POOL_BROKEN);
        assert_int_equal(c[0].failed + c[1].failed, 0);
        if (i < 2)
            up(s, GPU);
    }
    assert_string_equal(s->failed, GPU);
    up(s, CPU);
    pool_done(&c[0].waiter, POOL_OK);
    pool_done(&c[1].waiter, POOL_OK);
    assert_int_equal(s->rejects, 0);
    bed_done(bed);
}

static void with_nothing_left_it_is_tried_again_after_a_pause(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    struct script *s = that_worked(bed, CPU, &c, 1);
    for (int i = 0; i < 3; i++) {
        lose(s, BLAME_KILLED, GFXB_E_ENGINE_CRASH);
        pool_again(&c.waiter, POOL_BROKEN);
        if (i < 2)
            up(s, CPU);
    }
    assert_string_equal(s->failed, CPU);
    unsigned before = s->bring_ups;
    tell(s, SESSION_EV_NOTHING_WORKS, GFXB_E_NO_PACKAGE);
    assert_int_equal(c.failed, 0);
    await(bed, &s->bring_ups, before + 1);
    assert_string_equal(s->failed, "");
    up(s, CPU);
    pool_done(&c.waiter, POOL_OK);
    bed_done(bed);
}

static void nothing_that_works_is_told(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    ask(bed, &c);
    await(bed, &script[0].bring_ups, 1);
    tell(&script[0], SESSION_EV_NOTHING_WORKS, GFXB_E_NO_PACKAGE);
    assert_int_equal(c.failed, 1);
    assert_int_equal(c.why.code, GFXB_E_NO_PACKAGE);
    ask(bed, &c); /* the same is told at once */
    assert_int_equal(c.failed, 2);
    struct pool_options wish = {.keep_alive = POOL_KEEP_DEFAULT, .pin = -1, .backend = PLAN_CPU};
    ask_for(bed, &c, "a", &wish); /* but not to who asks for something else */
    assert_int_equal(script[0].bring_ups, 2);
    up(&script[0], CPU);
    assert_int_equal(c.ready, 1);
    pool_done(&c.waiter, POOL_OK);
    bed_done(bed);
}

static void an_answer_that_was_cut_leaves_the_question_open(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c[2] = {{.ready = 0}};
    (void)state;
    struct script *s = serving(bed, GPU, c, 2);
    pool_done(&c[0].waiter, POOL_BROKEN); /* its answer had begun: it is not tried again */
    crash(s);
    pool_again(&c[1].waiter, POOL_BROKEN);
    up(s, CPU);
    pool_done(&c[1].waiter, POOL_OK);
    assert_int_equal(s->rejects, 0); /* it may have been the other one */
    bed_done(bed);
}

static void a_suspect_that_does_no_harm_is_not_alone_for_ever(void **state)
{
    struct bed *bed = bed_new(&(struct pool_config){.alone_ms = 30});
    struct client c[2] = {{.ready = 0}}, other = {.ready = 0};
    (void)state;
    struct script *s = serving(bed, GPU, c, 2);
    crash(s);
    pool_again(&c[1].waiter, POOL_BROKEN);
    pool_again(&c[0].waiter, POOL_BROKEN);
    ask(bed, &other);
    up(s, CPU);
    assert_int_equal(s->requests, 1);
    await(bed, &c[1].ready, 2);
    await(bed, &other.ready, 1);
    assert_int_equal(s->requests, 3);
    crash(s);
    pool_again(&other.waiter, POOL_BROKEN);
    pool_again(&c[0].waiter, POOL_BROKEN);
    pool_again(&c[1].waiter, POOL_BROKEN);
    /* Nobody was alone: no poison is named, and who was there twice is not tried again. */
    assert_int_equal(c[0].why.code, GFXB_E_ENGINE_CRASH);
    assert_int_equal(c[1].why.code, GFXB_E_ENGINE_CRASH);
    assert_int_equal(other.failed, 0);
    up(s, GPU);
    pool_done(&other.waiter, POOL_OK);
    assert_int_equal(s->rejects, 0);
    bed_done(bed);
}

/* ---- an engine that runs and gives no answers ---- */

static void no_answer_once_is_tried_again_on_the_same_engine(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    struct script *s = serving(bed, GPU, &c, 1);
    pool_again(&c.waiter, POOL_BROKEN);
    await(bed, &c.ready, 2);
    pool_done(&c.waiter, POOL_OK);
    assert_int_equal(s->proves + s->rejects + s->ends, 0);
    assert_int_equal(s->bring_ups, 1);
    bed_done(bed);
}

static void a_request_without_an_answer_beside_others_ends_nothing(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c[2] = {{.ready = 0}};
    (void)state;
    struct script *s = serving(bed, GPU, c, 2);
    pool_again(&c[0].waiter, POOL_BROKEN);
    await(bed, &c[0].ready, 2);
    pool_again(&c[0].waiter, POOL_BROKEN);
    assert_int_equal(c[0].failed, 1);
    assert_int_equal(c[0].why.code, GFXB_E_REQUEST_POISON);
    pool_done(&c[1].waiter, POOL_OK);
    assert_int_equal(s->proves + s->rejects + s->ends, 0);
    bed_done(bed);
}

/* Review, poison3.sh: closed connections lead to a proof, and only its failure is stored. */
static void alone_without_an_answer_the_choice_proves_itself_again(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    struct script *s = that_worked(bed, GPU, &c, 1);
    pool_again(&c.waiter, POOL_BROKEN);
    await(bed, &c.ready, 2);
    pool_again(&c.waiter, POOL_BROKEN);
    await(bed, &s->proves, 1);
    judge(s, true); /* it computes rightly: then the request is tried elsewhere */
    assert_string_equal(s->avoid, GPU);
    up(s, CPU);
    assert_string_equal(c.backend, "cpu");
    pool_again(&c.waiter, POOL_BROKEN);
    await(bed, &c.ready, 4);
    pool_again(&c.waiter, POOL_BROKEN);
    assert_int_equal(c.why.code, GFXB_E_REQUEST_POISON);
    assert_int_equal(s->proves, 1);
    await(bed, &s->ends, 1);
    tell(s, SESSION_EV_ENDED, 0);
    assert_string_equal(s->avoid, "");
    assert_string_equal(s->failed, "");
    pool_leave(&c.waiter);
    bed_done(bed);
}

static void a_choice_that_fails_its_proof_is_left_and_the_request_answered(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    struct script *s = that_worked(bed, GPU, &c, 1);
    for (unsigned i = 0; i < 2; i++) {
        await(bed, &c.ready, i + 1);
        pool_again(&c.waiter, POOL_BROKEN);
    }
    await(bed, &s->proves, 1);
    judge(s, false); /* the worker has stored it */
    assert_string_equal(s->avoid, "");
    up(s, CPU);
    pool_done(&c.waiter, POOL_OK);
    assert_int_equal(s->rejects, 0);
    bed_done(bed);
}

static void a_doubt_that_cannot_be_cleared_is_told(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    struct script *s = that_worked(bed, GPU, &c, 1);
    for (unsigned i = 0; i < 2; i++) {
        await(bed, &c.ready, i + 1);
        pool_again(&c.waiter, POOL_BROKEN);
    }
    await(bed, &s->proves, 1);
    tell(s, SESSION_EV_NOTHING_WORKS, EMFILE);
    assert_int_equal(c.why.code, EMFILE);
    assert_int_equal(s->rejects, 0);
    bed_done(bed);
}

static void an_engine_that_refuses_connections_is_waited_for(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    struct script *s = serving(bed, GPU, &c, 1);
    for (unsigned i = 1; i < 5; i++) { /* it takes long to die */
        await(bed, &c.ready, i);
        pool_again(&c.waiter, POOL_REFUSED);
    }
    lose(s, BLAME_KILLED, GFXB_E_ENGINE_CRASH);
    up(s, GPU);
    assert_int_equal(c.ready, 5);
    pool_done(&c.waiter, POOL_OK);
    assert_int_equal(s->proves, 0);
    bed_done(bed);
}

static void a_refusal_in_words_is_no_answer_and_no_fault(void **state)
{
    struct bed *bed = bed_new(NULL);
    struct client c = {.ready = 0};
    (void)state;
    struct script *s = serving(bed, GPU, &c, 1);
    crash(s);
    pool_again(&c.waiter, POOL_BROKEN);
    up(s, CPU);
    pool_done(&c.waiter,
              POOL_DECLINED); /* the CPU refuses it: the GPU may have been right to die */
    assert_int_equal(s->rejects, 0);
    bed_done(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_loaded_serves_and_is_unloaded),
        cmocka_unit_test(a_name_that_nobody_knows_is_told),
        cmocka_unit_test(many_unknown_names_are_one_thread_and_few_failures),
        cmocka_unit_test(a_replaced_model_is_loaded_anew),
        cmocka_unit_test(a_model_with_a_replaced_part_is_loaded_anew),
        cmocka_unit_test(a_removed_model_is_gone),
        cmocka_unit_test(a_second_name_keeps_what_it_asks_for),
        cmocka_unit_test(the_context_grows_only_when_it_must),
        cmocka_unit_test(a_context_that_cannot_be_had_is_asked_for_once),
        cmocka_unit_test(what_cannot_be_had_otherwise_comes_back_as_it_was),
        cmocka_unit_test(the_least_used_model_makes_room),
        cmocka_unit_test(an_end_in_the_middle_of_a_load_ends_it),
        cmocka_unit_test(without_a_thread_the_request_is_told_and_nothing_is_left),
        cmocka_unit_test(without_a_descriptor_the_engine_runs_on),
        cmocka_unit_test(a_full_disk_is_told_and_nothing_is_stored),
        cmocka_unit_test(poison_costs_two_engines_and_nobody_else_notices),
        cmocka_unit_test(poison_among_innocents_is_found_one_at_a_time),
        cmocka_unit_test(a_choice_that_fails_what_another_one_answers_is_rejected),
        cmocka_unit_test(one_accident_of_a_choice_that_works_is_forgiven),
        cmocka_unit_test(a_hang_is_judged_like_a_crash),
        cmocka_unit_test(a_connection_that_broke_just_before_counts),
        cmocka_unit_test(kills_from_outside_restart_it_and_then_rest_it),
        cmocka_unit_test(with_nothing_left_it_is_tried_again_after_a_pause),
        cmocka_unit_test(nothing_that_works_is_told),
        cmocka_unit_test(an_answer_that_was_cut_leaves_the_question_open),
        cmocka_unit_test(a_suspect_that_does_no_harm_is_not_alone_for_ever),
        cmocka_unit_test(no_answer_once_is_tried_again_on_the_same_engine),
        cmocka_unit_test(a_request_without_an_answer_beside_others_ends_nothing),
        cmocka_unit_test(alone_without_an_answer_the_choice_proves_itself_again),
        cmocka_unit_test(a_choice_that_fails_its_proof_is_left_and_the_request_answered),
        cmocka_unit_test(a_doubt_that_cannot_be_cleared_is_told),
        cmocka_unit_test(an_engine_that_refuses_connections_is_waited_for),
        cmocka_unit_test(a_refusal_in_words_is_no_answer_and_no_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
