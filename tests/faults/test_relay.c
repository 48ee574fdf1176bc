/*
 * test_relay.c - the whole server before an engine that answers over sound HTTP with what is no
 * answer: the client is told, and again and again the next choice takes over.
 */
#include "api/api.h"
#include "faults.h"
#include "session/session.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MAX = 65536, TRIES = 40 };

static const char chat_path[] = "/api/chat"; /* Ollama's: the engine's answer is taken apart */
static const char chat_body[] = "{\"model\":\"canary\",\"stream\":false,\"messages\":"
                                "[{\"role\":\"user\",\"content\":\"What is proof?\"}]}";

/* A computer with a Vulkan and a CPU engine, both proven, and a server in a process of its own. */
struct gateway {
    struct world world;
    pid_t pid;
    unsigned port;
    int said; /* what it logs; open as long as it runs */
};

static void say_to(void *context, enum log_level level, const char *line)
{
    const int *fd = context;
    (void)level;
    dprintf(*fd, "%s\n", line);
}

static int gateway_serve(const struct world *w, int fd)
{
    const struct log log = {say_to, &fd};
    struct gfxb_error err = {.text = ""};
    struct session_request path = w->request;
    struct model_env models = {.data_dir = w->stage.data, .no_network = true};
    path.request.backend = -1;
    struct serve_config config = {
        .path = &path, .models = &models, .runtime_dir = w->stage.run, .log = &log};
    int result = serve_run(&config, &err);
    if (result < 0)
        dprintf(fd, "ended: %s\n", err.text);
    return result < 0;
}

static unsigned gateway_read_port(int fd)
{
    char text[ANSWER_MAX];
    size_t n = 0;
    unsigned port = 0;
    while (port == 0 && n + 1 < sizeof(text)) {
        ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
        text[n] = '\0';
        const char *found = strstr(text, "listening on http://127.0.0.1:");
        if (found && strchr(found, '\n'))
            port = (unsigned)strtoul(strrchr(found, ':') + 1, NULL, 10);
    }
    if (port == 0)
        fail_msg("the server does not listen: %.*s", (int)n, text);
    return port;
}

static struct gateway gateway_new(const char *behaviour)
{
    struct gateway g = {.world = world_new(NULL, -1, 0)};
    struct fault f = {.name = "", .backend = PLAN_VULKAN, .behaviour = behaviour};
    int said[2];
    world_install(&g.world, "debian-cpu", PLAN_CPU, NULL);
    world_prove(&g.world, PLAN_CPU);
    char *CLEAN_FREE dir = stage_install(&g.world.stage, "debian-vulkan", PLAN_VULKAN, NULL);
    world_prove(&g.world, PLAN_VULKAN);
    stage_behave(&g.world.stage, dir, PLAN_VULKAN, &f);
    assert_int_equal(pipe(said), 0);
    fflush(NULL);
    g.pid = fork();
    assert_true(g.pid >= 0);
    if (g.pid == 0) {
        close(said[0]);
        _exit(gateway_serve(&g.world, said[1]));
    }
    close(said[1]);
    g.said = said[0];
    g.port = gateway_read_port(g.said);
    return g;
}

static void gateway_done(struct gateway *g)
{
    int status = -1;
    kill(g->pid, SIGTERM);
    assert_int_equal(waitpid(g->pid, &status, 0), g->pid);
    assert_int_equal(status, 0);
    close(g->said);
    world_done(&g->world);
}

/* One request; the status, and the whole answer as text. */
static int gateway_ask(const struct gateway *g, const char *path, const char *body,
                       char ret_answer[ANSWER_MAX])
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)g->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int CLEAN_CLOSE fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t n = 0;
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    dprintf(fd,
            "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
            path, strlen(body), body);
    while (n + 1 < ANSWER_MAX) {
        ssize_t got = read(fd, ret_answer + n, ANSWER_MAX - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    ret_answer[n] = '\0';
    int status = 0;
    assert_int_equal(sscanf(ret_answer, "HTTP/1.1 %d", &status), 1);
    return status;
}

static void nonsense_inside_sound_http_again_and_again(void **state)
{
    static char answer[ANSWER_MAX];
    struct gateway g = gateway_new("say garbled\n");
    int refused = 0, status = 0;
    (void)state;
    for (int i = 0; i < TRIES && status != 200; i++) {
        status = gateway_ask(&g, chat_path, chat_body, answer);
        if (status == 200)
            break;
        assert_int_equal(status, 502);
        assert_non_null(strstr(answer, "makes no sense"));
        assert_non_null(strstr(answer, "x-gfxbridge-backend: vulkan"));
        refused++;
    }
    assert_int_equal(status, 200);
    assert_non_null(strstr(answer, "x-gfxbridge-backend: cpu"));
    assert_non_null(strstr(answer, "A choice is proven when"));
    /* Three condemn it; those that came while it was being left may add to them. */
    assert_true(refused >= 3 && refused < TRIES);
    /* It has to prove itself anew. */
    struct session path = {0};
    assert_int_equal(session_plan(&g.world.request, &path, NULL), 0);
    for (size_t i = 0; i < path.plan->n_choices; i++) {
        const struct plan_choice *c = &path.plan->choice[i];
        assert_true(c->backend != PLAN_VULKAN || c->state != PLAN_PROVEN);
    }
    session_done(&path);
    gateway_done(&g);
}

static void a_client_that_leaves_condemns_nobody(void **state)
{
    static char answer[ANSWER_MAX];
    struct gateway g = gateway_new("pause 20\n");
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)g.port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int CLEAN_CLOSE fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
        dprintf(fd,
                "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                "Content-Length: %zu\r\n\r\n%s",
                chat_path, strlen(chat_body), chat_body);
        poll(NULL, 0, 50);
    }
    assert_int_equal(gateway_ask(&g, chat_path, chat_body, answer), 200);
    assert_non_null(strstr(answer, "x-gfxbridge-backend: vulkan"));
    gateway_done(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nonsense_inside_sound_http_again_and_again),
        cmocka_unit_test(a_client_that_leaves_condemns_nobody),
    };
    return cmocka_run_group_tests(tests, stage_set_up, stage_tear_down);
}
