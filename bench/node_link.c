/*
 * node_link.c - tokens per second of one model whose layers are on a worker: once over the link
 * between two computers (TLS 1.3 on loopback), once with the worker's own socket.
 *
 *     node_link DATA MODEL ROUNDS   prints "plain N" and "link N" in turns
 */
#include "engine/engine.h"
#include "node/node.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#define ADDRESS "127.0.0.77"

static struct engine_spec spec;
static struct engine *worker; /* of the helping side, while it is used */
static atomic_int cancel;

static void check(int result, const struct gfxb_error *err)
{
    if (result < 0) {
        fprintf(stderr, "node_link: %s\n", err->text);
        exit(1);
    }
}

static void describe(void *context, struct node_status *ret_status)
{
    *ret_status = (struct node_status){.free = 1ull << 40};
}

static int start(void *context, const struct node_want *want, struct gfxb_error *err)
{
    return engine_start_worker(&spec, &worker, err);
}

static int connect_worker(void *context)
{
    return engine_connect(worker);
}

static int check_worker(void *context, struct gfxb_error *err)
{
    return engine_check(worker, err);
}

static void stop(void *context)
{
    engine_stop(worker);
}

static void *serve(void *context)
{
    struct gfxb_error err = {.text = ""};
    check(node_serve(context, &err), &err);
    return NULL;
}

/* The tokens per second of one answer, the whole model on the worker. */
static double measure(const char *model, int (*connect_to)(void *context), void *context)
{
    struct engine_remote remote = {.name = "box", .connect = connect_to, .context = context};
    struct engine_spec s = spec;
    struct engine_chat chat = {.prompt = "Count.", .max_tokens = 96, .fixed = true};
    struct engine_reply reply;
    struct gfxb_error err = {.text = ""};
    struct engine *engine;
    s.model = model;
    s.context = 512;
    s.remote = &remote;
    s.n_remotes = 1;
    check(engine_start(&s, &engine, &err), &err);
    for (int i = 0; i < 2; i++) { /* the first one warms up */
        if (i)
            engine_reply_done(&reply);
        check(engine_chat(engine, &chat, &reply, &err), &err);
    }
    double speed = reply.tokens_per_second;
    engine_reply_done(&reply);
    engine_stop(engine);
    return speed;
}

int main(int argc, char **argv)
{
    struct gfxb_error err = {.text = ""};
    struct gfx_tables *tables;
    struct root *root;
    struct package_list list;
    struct engine *plain;
    struct node_identity *identity;
    struct node_link *link;
    pthread_t server;
    if (argc != 4)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    check(gfx_tables_new(NULL, &tables, &err), &err);
    check(root_new(NULL, &root, &err), &err);
    struct package_env env = {.data_dir = argv[1], .tables = tables, .root = root};
    check(package_list_new(&env, &list, &err), &err);
    for (size_t i = 0; i < list.n; i++) {
        if (strcmp(list.item[i].backend, "cpu") == 0 && engine_has_worker(&list.item[i], NULL) == 0)
            spec.package = &list.item[i];
    }
    if (!spec.package)
        check(error_set(&err, ENOENT, "no package with a worker in %s", argv[1]), &err);
    char dir[] = "/tmp/node_link-XXXXXX", *runtime = mkdtemp(dir) ? fs_join(dir, "run") : NULL;
    check(runtime ? fs_make_dirs(runtime, 0700, &err) : -1, &err);
    spec.backend = PLAN_CPU;
    spec.runtime_dir = runtime;
    spec.threads = 1;
    spec.memory = 8ull << 30;
    check(node_identity_open(dir, &identity, &err), &err);
    struct node_peer peer = {.name = "box", .address = ADDRESS, .port = NODE_PORT};
    snprintf(peer.key, sizeof(peer.key), "%s", node_identity_key(identity));
    check(node_peers_put(dir, &peer, &err), &err);
    struct node_server node = {.config_dir = dir,
                               .identity = identity,
                               .listen = ADDRESS,
                               .cancel = &cancel,
                               .describe = describe,
                               .start = start,
                               .connect = connect_worker,
                               .check = check_worker,
                               .stop = stop};
    pthread_create(&server, NULL, serve, &node);
    check(engine_start_worker(&spec, &plain, &err), &err);
    check(node_link_open(identity, &peer, &(struct node_want){0}, 60000, &link, &err), &err);
    for (long i = strtol(argv[3], NULL, 10); i > 0; i--) {
        printf("plain %.2f\n", measure(argv[2], engine_connect, plain));
        printf("link %.2f\n", measure(argv[2], node_link_connect, link));
        fflush(stdout);
    }
    check(node_link_state(link, &err), &err);
    node_link_close(link);
    engine_stop(plain);
    cancel = 1;
    pthread_join(server, NULL);
    node_identity_free(identity);
    package_list_done(&list);
    root_free(root);
    gfx_tables_free(tables);
    free(runtime);
    fs_remove_tree(dir);
    return 0;
}
