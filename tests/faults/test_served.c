/*
 * test_served.c - the whole server before engines that fail: what its clients are told, what is
 * stored, and that everybody else goes on.
 */
#include "api/api.h"
#include "faults.h"
#include "session/session.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_MAX = 65536, CLIENTS = 60 };

static const char openai_path[] = "/v1/chat/completions";
static const char ollama_path[] = "/api/chat"; /* the engine's answer is taken apart */

/* A computer with a Vulkan and a CPU engine, both proven, and a server in a process of its own. */
struct gateway {
    struct world world;
    pid_t pid;
    unsigned port;
    int said;          /* what it logs; open as long as it runs */
    struct buf proofs; /* as they were when it started */
};

static void say_to(void *context, enum log_level level, const char *line)
{
    const int *fd = context;
    (void)level;
    dprintf(*fd, "%s\n", line);
}

static int gateway_serve(const struct world *w, int backend, int fd)
{
    const struct log log = {say_to, &fd};
    struct gfxb_error err = {.text = ""};
    struct session_request request = w->request;
    struct model_env models = {.data_dir = w->stage.data, .no_network = true};
    request.request.backend = backend;
    struct serve_config config = {
        .http = {.runtime_dir = w->stage.run}, .request = &request, .models = &models, .log = &log};
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

/* The stored proofs, one behind the other. */
static void read_proofs(const struct world *w, struct buf *ret)
{
    char *CLEAN_FREE dir = stage_join(w->stage.data, "proofs");
    struct dirent **entry;
    int n = scandir(dir, &entry, NULL, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        if (strstr(entry[i]->d_name, ".proof")) {
            char *CLEAN_FREE path = stage_join(dir, entry[i]->d_name);
            assert_int_equal(fs_read(path, 1u << 16, ret), 0);
        }
        free(entry[i]);
    }
    free(entry);
}

static void behave(const struct world *w, const char *dir, enum plan_backend backend,
                   const char *behaviour)
{
    struct fault f = {.name = "", .backend = backend, .behaviour = behaviour};
    stage_behave(&w->stage, dir, backend, &f);
}

/* backend: the only one that it may use, or -1. descriptors: that it may have; 0 as many as we. */
static struct gateway gateway_new(const char *vulkan, const char *cpu, int backend,
                                  rlim_t descriptors)
{
    struct gateway g = {.world = world_new("rx7900gre", -1, 0), .proofs = BUF_INIT(1u << 20)};
    int said[2];
    char *CLEAN_FREE cpu_dir = stage_install(&g.world.stage, "debian-cpu", PLAN_CPU, NULL);
    world_prove(&g.world, PLAN_CPU);
    char *CLEAN_FREE dir = stage_install(&g.world.stage, "debian-vulkan", PLAN_VULKAN, NULL);
    world_prove(&g.world, PLAN_VULKAN);
    behave(&g.world, dir, PLAN_VULKAN, vulkan);
    behave(&g.world, cpu_dir, PLAN_CPU, cpu);
    read_proofs(&g.world, &g.proofs);
    assert_int_equal(pipe(said), 0);
    fflush(NULL);
    g.pid = fork();
    assert_true(g.pid >= 0);
    if (g.pid == 0) {
        const struct rlimit limit = {descriptors, descriptors};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(said[0]);
        if (descriptors && setrlimit(RLIMIT_NOFILE, &limit) < 0)
            _exit(2);
        _exit(gateway_serve(&g.world, backend, said[1]));
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
    buf_done(&g->proofs);
    world_done(&g->world);
}

static void check_proofs_are_as_before(const struct gateway *g)
{
    struct buf CLEAN_BUF now = BUF_INIT(1u << 20);
    read_proofs(&g->world, &now);
    assert_string_equal(buf_text(&now), buf_text(&g->proofs));
}

/* ---- a client ---- */

static int client_connect(const struct gateway *g)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)g->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void client_ask(int fd, const char *path, const char *prompt)
{
    char body[512];
    snprintf(body, sizeof(body),
             "{\"model\":\"canary\",\"stream\":%s,\"messages\":[{\"role\":\"user\","
             "\"content\":\"%s\"}]}",
             strcmp(path, ollama_path) == 0 ? "false" : "true", prompt);
    dprintf(fd,
            "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
            path, strlen(body), body);
}

/* The status, and the whole answer as text; 0 when there is none. */
static int client_read(int fd, char ret_answer[ANSWER_MAX])
{
    size_t n = 0;
    int status = 0;
    while (n + 1 < ANSWER_MAX) {
        ssize_t got = read(fd, ret_answer + n, ANSWER_MAX - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    ret_answer[n] = '\0';
    sscanf(ret_answer, "HTTP/1.1 %d", &status);
    return status;
}

static int gateway_ask(const struct gateway *g, const char *path, const char *prompt,
                       char ret_answer[ANSWER_MAX])
{
    int CLEAN_CLOSE fd = client_connect(g);
    client_ask(fd, path, prompt);
    return client_read(fd, ret_answer);
}

static void check_answered_by(const struct gateway *g, const char *backend)
{
    static char answer[ANSWER_MAX];
    char header[64];
    snprintf(header, sizeof(header), "x-gfxbridge-backend: %s\r\n", backend);
    assert_int_equal(gateway_ask(g, openai_path, "What is proof?", answer), 200);
    assert_non_null(strstr(answer, header));
    assert_non_null(strstr(answer, "proven"));
}

/* A figure of /metrics. */
static unsigned gateway_figure(const struct gateway *g, const char *name)
{
    static char answer[ANSWER_MAX];
    int CLEAN_CLOSE fd = client_connect(g);
    dprintf(fd, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_int_equal(client_read(fd, answer), 200);
    char line[64];
    snprintf(line, sizeof(line), "\n%s", name);
    const char *found = strstr(answer, line);
    assert_non_null(found);
    found += strcspn(found + 1, " \n") + 1;
    return (unsigned)strtoul(found, NULL, 10);
}

/* ---- poison ---- */

/* One request that ends (or silences) every engine it is given to. kept: the proofs are not even
 * renewed. */
static void one_poison_request(const char *behaviour, int backend, unsigned engines, bool kept)
{
    static char answer[ANSWER_MAX];
    struct gateway g = gateway_new(behaviour, behaviour, backend, 0);
    check_answered_by(&g, "vulkan");
    assert_int_equal(gateway_ask(&g, openai_path, "POISON", answer), 422);
    assert_non_null(strstr(answer, "request-poison"));
    check_answered_by(&g, "vulkan");
    if (kept)
        check_proofs_are_as_before(&g);
    assert_int_equal(world_state(&g.world, PLAN_VULKAN), PLAN_PROVEN);
    assert_int_equal(world_state(&g.world, PLAN_CPU), PLAN_PROVEN);
    assert_int_equal(gateway_figure(&g, "gfxbridge_failovers_total"), engines);
    gateway_done(&g);
}

/* Review 1, poison.sh. */
static void poison_that_ends_both_engines(void **state)
{
    (void)state;
    one_poison_request("word POISON abort\n", -1, 2, true);
}

/* Review 1, poison2.sh: there is no other choice. */
static void poison_that_ends_the_only_engine_twice(void **state)
{
    (void)state;
    one_poison_request("word POISON abort\n", PLAN_VULKAN, 2, true);
}

/* Review 1, poison3.sh: nothing is ended, but the connection is closed without a byte. */
static void poison_that_gets_no_answer(void **state)
{
    (void)state;
    one_poison_request("word POISON close\n", -1, 1, false);
}

static void poison_again_and_again(void **state)
{
    static char answer[ANSWER_MAX];
    struct gateway g = gateway_new("word POISON abort\n", "word POISON abort\n", -1, 0);
    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(gateway_ask(&g, ollama_path, "POISON", answer), 422);
        check_answered_by(&g, "vulkan");
    }
    check_proofs_are_as_before(&g);
    gateway_done(&g);
}

static void poison_among_innocents(void **state)
{
    static char answer[ANSWER_MAX];
    enum { INNOCENTS = 5 };
    struct gateway g = gateway_new("word POISON abort\n", "word POISON abort\n", -1, 0);
    int fd[INNOCENTS + 1];
    (void)state;
    check_answered_by(&g, "vulkan");
    /* The double answers one request at a time: those behind the poison wait in it. */
    for (size_t i = 0; i <= INNOCENTS; i++) {
        fd[i] = client_connect(&g);
        client_ask(fd[i], ollama_path, i == 1 ? "POISON" : "What is proof?");
    }
    for (size_t i = 0; i <= INNOCENTS; i++) {
        assert_int_equal(client_read(fd[i], answer), i == 1 ? 422 : 200);
        close(fd[i]);
    }
    check_answered_by(&g, "vulkan");
    check_proofs_are_as_before(&g);
    gateway_done(&g);
}

/* ---- a choice at fault ---- */

static void what_another_choice_answers_rejects_the_first(void **state)
{
    struct gateway g = gateway_new("word proof abort\n", NULL, -1, 0);
    (void)state;
    check_answered_by(&g, "cpu");
    for (int i = 0; i < 1000 && world_state(&g.world, PLAN_VULKAN) != PLAN_REJECTED; i++)
        poll(NULL, 0, 10); /* it is stored behind the answer */
    assert_int_equal(world_state(&g.world, PLAN_VULKAN), PLAN_REJECTED);
    assert_int_equal(world_state(&g.world, PLAN_CPU), PLAN_PROVEN);
    check_answered_by(&g, "cpu");
    assert_int_equal(gateway_figure(&g, "gfxbridge_failovers_total"), 1);
    gateway_done(&g);
}

static void nonsense_inside_sound_http_leads_to_a_proof(void **state)
{
    static char answer[ANSWER_MAX];
    struct gateway g = gateway_new("say garbled\n", NULL, -1, 0);
    (void)state;
    assert_int_equal(gateway_ask(&g, ollama_path, "What is proof?", answer), 200);
    assert_non_null(strstr(answer, "x-gfxbridge-backend: cpu"));
    assert_non_null(strstr(answer, "A choice is proven when"));
    assert_int_equal(world_state(&g.world, PLAN_VULKAN), PLAN_REJECTED); /* by the canary */
    gateway_done(&g);
}

/* ---- nobody's fault ---- */

static void a_client_that_leaves_rejects_nobody(void **state)
{
    struct gateway g = gateway_new("pause 20\n", NULL, -1, 0);
    (void)state;
    for (int i = 0; i < 6; i++) {
        int CLEAN_CLOSE fd = client_connect(&g);
        client_ask(fd, ollama_path, "What is proof?");
        poll(NULL, 0, 50);
    }
    check_answered_by(&g, "vulkan");
    check_proofs_are_as_before(&g);
    gateway_done(&g);
}

/* Review 3, emfile2.sh: more clients than this process has descriptors for. */
static void without_descriptors_the_engine_runs_on(void **state)
{
    static char answer[ANSWER_MAX];
    struct gateway g = gateway_new("pause 2\n", NULL, -1, 64);
    int fd[CLIENTS];
    (void)state;
    check_answered_by(&g, "vulkan");
    for (size_t i = 0; i < CLIENTS; i++) {
        fd[i] = client_connect(&g);
        client_ask(fd[i], openai_path, "What is proof?");
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        int status = client_read(fd[i], answer);
        if (status != 200)
            assert_int_equal(status, 503);
        close(fd[i]);
    }
    check_answered_by(&g, "vulkan");
    assert_int_equal(gateway_figure(&g, "gfxbridge_failovers_total"), 0);
    check_proofs_are_as_before(&g);
    gateway_done(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poison_that_ends_both_engines),
        cmocka_unit_test(poison_that_ends_the_only_engine_twice),
        cmocka_unit_test(poison_that_gets_no_answer),
        cmocka_unit_test(poison_again_and_again),
        cmocka_unit_test(poison_among_innocents),
        cmocka_unit_test(what_another_choice_answers_rejects_the_first),
        cmocka_unit_test(nonsense_inside_sound_http_leads_to_a_proof),
        cmocka_unit_test(a_client_that_leaves_rejects_nobody),
        cmocka_unit_test(without_descriptors_the_engine_runs_on),
    };
    return cmocka_run_group_tests(tests, stage_set_up, stage_tear_down);
}
