/*
 * test_node.c - two computers in one process: keys, pairing, status, a worker over the link, and
 * everything that may go wrong on the way; strangers get an alert and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/node_private.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- two computers ---- */

static char base[64], dir_a[80], dir_b[80], dir_c[80];
static struct node_identity *a, *b, *c; /* c is paired with nobody */
static char address[32];                /* of B, this process's own in 127.0.0.0/8 */

static int set_up(void **state)
{
    unsigned pid = (unsigned)getpid();
    snprintf(base, sizeof(base), "/tmp/test_node-XXXXXX");
    assert_non_null(mkdtemp(base));
    snprintf(dir_a, sizeof(dir_a), "%s/a", base);
    snprintf(dir_b, sizeof(dir_b), "%s/b", base);
    snprintf(dir_c, sizeof(dir_c), "%s/c", base);
    snprintf(address, sizeof(address), "127.%u.%u.%u", 1 + (pid >> 14) % 200, pid >> 7 & 127,
             1 + (pid & 127));
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(node_identity_open(dir_a, &a, NULL), 0);
    assert_int_equal(node_identity_open(dir_b, &b, NULL), 0);
    assert_int_equal(node_identity_open(dir_c, &c, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    node_identity_free(a);
    node_identity_free(b);
    node_identity_free(c);
    return fs_remove_tree(base);
}

static struct node_peer peer_of(const char *name, const struct node_identity *identity)
{
    struct node_peer peer = {.port = NODE_PORT};
    snprintf(peer.name, sizeof(peer.name), "%s", name);
    snprintf(peer.address, sizeof(peer.address), "%s", address);
    snprintf(peer.key, sizeof(peer.key), "%s", node_identity_key(identity));
    return peer;
}

/* ---- B, serving with a worker that sends back what it gets ---- */

static struct {
    pthread_t thread, echo;
    struct node_server server;
    atomic_int cancel, listens, started, stopped, broken, connected, full;
    int fd; /* of the echo; -1 */
} node_b;

static void *echo_thread(void *context)
{
    int fd = (int)(intptr_t)context;
    char bytes[4096];
    ssize_t n;
    while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
        for (ssize_t done = 0, m; done < n; done += m) {
            if ((m = send(fd, bytes + done, (size_t)(n - done), MSG_NOSIGNAL)) <= 0)
                break;
        }
    }
    close(fd);
    return NULL;
}

static void b_describe(void *context, struct node_status *ret_status)
{
    *ret_status = (struct node_status){.os = "linux",
                                       .backend = "cpu",
                                       .package = "llamacpp",
                                       .engine = "b1",
                                       .protocol = "8.0.0",
                                       .total = 64,
                                       .free = 32,
                                       .n_cards = 1,
                                       .version = "1\x1b[2J\xc3\xa9"};
    snprintf(ret_status->card[0].name, NODE_TEXT, "Radeon");
    memset(ret_status->package_digest, 'a', DIGEST_HEX - 1);
    memset(ret_status->fingerprint, 'f', DIGEST_HEX - 1);
}

static int b_start(void *context, const struct node_want *want, struct gfxb_error *err)
{
    node_b.started++;
    return 0;
}

static int b_connect(void *context)
{
    int ends[2];
    pthread_t thread;
    if (node_b.full > 0 && node_b.full--)
        return -EAGAIN;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    node_b.connected++;
    assert_int_equal(pthread_create(&thread, NULL, echo_thread, (void *)(intptr_t)ends[1]), 0);
    pthread_detach(thread);
    return ends[0];
}

static int b_check(void *context, struct gfxb_error *err)
{
    return node_b.broken ? error_set(err, GFXB_E_ENGINE_CRASH, "its worker ended: signal 9") : 0;
}

static void b_stop(void *context)
{
    node_b.stopped++;
}

static void b_log(void *context, enum log_level level, const char *line)
{
    node_b.listens = 1; /* the first line says where */
}

static void *b_thread(void *context)
{
    struct gfxb_error err = {0};
    if (node_serve(&node_b.server, &err) < 0)
        fail_msg("%s", err.text);
    return NULL;
}

static const struct log log_b = {b_log, NULL};

static void serve_as(const char *dir, const struct node_identity *identity)
{
    memset(&node_b, 0, sizeof(node_b));
    node_b.server = (struct node_server){.config_dir = dir,
                                         .identity = identity,
                                         .listen = address,
                                         .cancel = &node_b.cancel,
                                         .log = &log_b,
                                         .describe = b_describe,
                                         .start = b_start,
                                         .connect = b_connect,
                                         .check = b_check,
                                         .stop = b_stop};
    assert_int_equal(pthread_create(&node_b.thread, NULL, b_thread, NULL), 0);
    while (!node_b.listens)
        poll(NULL, 0, 5);
}

static void end_b(void)
{
    node_b.cancel = 1;
    pthread_join(node_b.thread, NULL);
}

static int serve_b(void **state)
{
    struct node_peer peer = peer_of("a", a);
    assert_int_equal(node_peers_put(dir_b, &peer, NULL), 0);
    serve_as(dir_b, b);
    return 0;
}

static int end_serve_b(void **state)
{
    end_b();
    return 0;
}

/* ---- keys and peers ---- */

static void identity_is_made_once(void **state)
{
    struct node_identity *again;
    struct stat st;
    char path[128];
    snprintf(path, sizeof(path), "%s/node.pem", dir_a);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(node_identity_open(dir_a, &again, NULL), 0);
    assert_string_equal(node_identity_key(a), node_identity_key(again));
    assert_string_not_equal(node_identity_key(a), node_identity_key(b));
    node_identity_free(again);
}

/* Several processes make it at once: one key is left. */
static void identity_of_many_at_once(void **state)
{
    char dir[80], path[128];
    struct node_identity *identity;
    snprintf(dir, sizeof(dir), "%s/many", base);
    for (int i = 0; i < 4; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            if (node_identity_open(dir, &identity, NULL) < 0)
                _exit(1);
            snprintf(path, sizeof(path), "%s/%d", base, i);
            _exit(fs_write(path, node_identity_key(identity), 64, 0600, NULL) < 0);
        }
    }
    for (int i = 0, status; i < 4; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(node_identity_open(dir, &identity, NULL), 0);
    for (int i = 0; i < 4; i++) {
        struct buf CLEAN_BUF text = BUF_INIT(100);
        snprintf(path, sizeof(path), "%s/%d", base, i);
        assert_int_equal(fs_read(path, 100, &text), 0);
        assert_string_equal(buf_text(&text), node_identity_key(identity));
    }
    node_identity_free(identity);
}

/* A key that others could have read is no key; nor is a file of something else. */
static void identity_is_refused(void **state)
{
    char dir[80], path[128];
    struct node_identity *identity = NULL;
    struct gfxb_error err;
    snprintf(dir, sizeof(dir), "%s/open", base);
    assert_int_equal(node_identity_open(dir, &identity, NULL), 0);
    node_identity_free(identity);
    snprintf(path, sizeof(path), "%s/node.pem", dir);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(node_identity_open(dir, &identity, &err), -EPERM);
    assert_non_null(strstr(err.text, "chmod 600"));
    assert_int_equal(fs_write(path, "nonsense", 8, 0600, NULL), 0);
    assert_int_equal(node_identity_open(dir, &identity, &err), -EINVAL);
    assert_int_equal(node_identity_open(NULL, &identity, &err), -ENOENT);
}

/* The certificate names nobody, and no clock is outside of its dates. */
static void certificate_says_nothing(void **state)
{
    char path[128], name[256];
    snprintf(path, sizeof(path), "%s/node.pem", dir_a);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    X509 *x = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(x);
    X509_NAME_oneline(X509_get_subject_name(x), name, sizeof(name));
    assert_string_equal(name, "/CN=node");
    time_t far = (time_t)200 * 365 * 86400, begin = 1;
    assert_true(X509_cmp_time(X509_get0_notBefore(x), &begin) < 0);
    assert_true(X509_cmp_time(X509_get0_notAfter(x), &far) > 0);
    X509_free(x);
}

static void peers_are_kept(void **state)
{
    char dir[80], path[128];
    struct node_peers peers;
    struct gfxb_error err;
    snprintf(dir, sizeof(dir), "%s/peers", base);
    struct node_peer one = peer_of("box", a), two = peer_of("box", b), change = peer_of("box", a);
    assert_int_equal(node_peers_read(dir, &peers, NULL), 0);
    assert_int_equal(peers.n, 0);
    assert_int_equal(node_peers_put(dir, &one, NULL), 0);
    assert_int_equal(node_peers_put(dir, &two, NULL), 0);
    assert_string_equal(two.name, "box-2");
    change.address[0] = '\0';
    assert_int_equal(node_peers_put(dir, &change, NULL), 0);
    assert_int_equal(node_peers_read(dir, &peers, NULL), 0);
    assert_int_equal(peers.n, 2);
    assert_string_equal(node_peers_find(&peers, "box")->address, address);
    assert_string_equal(node_peers_find(&peers, node_identity_key(b))->name, "box-2");
    assert_int_equal(node_peers_remove(dir, "box", NULL), 0);
    assert_int_equal(node_peers_remove(dir, "box", &err), -ENOENT);
    assert_int_equal(node_peers_read(dir, &peers, NULL), 0);
    assert_int_equal(peers.n, 1);
    snprintf(path, sizeof(path), "%s/nodes.json", dir);
    assert_int_equal(fs_write(path, "{\"nodes\":[{\"name\":\"../x\"}]}", 27, 0600, NULL), 0);
    assert_int_equal(node_peers_read(dir, &peers, &err), -EINVAL);
    assert_non_null(strstr(err.text, "entry 1"));
    assert_int_equal(fs_write(path, "", 0, 0600, NULL), 0);
    assert_int_equal(node_peers_put(dir, &one, &err), -EINVAL);
}

static void addresses_are_read(void **state)
{
    static const struct {
        const char *text, *address;
        unsigned port; /* 0: refused */
    } cases[] = {
        {"box", "box", 7},
        {"box.local:80", "box.local", 80},
        {"10.0.0.2:65535", "10.0.0.2", 65535},
        {"::1", "::1", 7},
        {"fe80::1%eth0", "fe80::1%eth0", 7},
        {"[::1]", "::1", 7},
        {"[::1]:9", "::1", 9},
        {"", NULL, 0},
        {":9", NULL, 0},
        {"box:", NULL, 0},
        {"box:0", NULL, 0},
        {"box:65536", NULL, 0},
        {"box:9x", NULL, 0},
        {"[::1]9", NULL, 0},
        {"[::1", NULL, 0},
        {"a b", NULL, 0},
        {"http://box", NULL, 0},
        {"b\xc3\xb6x", NULL, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct node_peer peer = {0};
        int result = node_peer_set_address(&peer, cases[i].text, 7, NULL);
        assert_int_equal(result, cases[i].port ? 0 : -GFXB_E_USAGE);
        assert_int_equal(peer.port, cases[i].port);
        assert_string_equal(peer.address, cases[i].address ? cases[i].address : "");
    }
}

/* ---- messages ---- */

static int read_text(const char *text, struct node_message *ret)
{
    return node_message_read(str_from(text), ret);
}

static void messages_are_strict(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"node\":1}",
        "{\"node\":1,\"say\":\"nothing\"}",
        "{\"node\":1,\"say\":\"ping\",\"more\":1}",
        "{\"node\":1,\"say\":\"ping\",\"say\":\"ping\"}",
        "{\"node\":\"1\",\"say\":\"ping\"}",
        "{\"node\":1,\"say\":\"join\"}",
        "{\"node\":1,\"say\":\"join\",\"worker\":-1}",
        "{\"node\":1,\"say\":\"join\",\"worker\":1.5}",
        "{\"node\":1,\"say\":\"yes\",\"name\":\"\"}",
        "{\"node\":1,\"say\":\"yes\",\"name\":\"a b\"}",
        "{\"node\":1,\"say\":\"yes\",\"name\":\"-x\"}",
        "{\"node\":1,\"say\":\"yes\",\"name\":\"..\\u001b[2J\"}",
        "{\"node\":1,\"say\":\"commit\",\"value\":\"abc\"}",
        "{\"node\":1,\"say\":\"refused\",\"code\":\"no-such-code\",\"reason\":\"\"}",
        "{\"node\":1,\"say\":\"refused\",\"code\":\"node-busy\",\"reason\":\"\\u001b[31m\"}",
        "{\"node\":1,\"say\":\"refused\",\"code\":\"node-busy\",\"reason\":\"\\u202e\"}",
        "{\"node\":1,\"say\":\"refused\",\"code\":\"node-busy\",\"reason\":\"a\\u0000b\"}",
    };
    struct node_message m;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(read_text(bad[i], &m), -EBADMSG);
    assert_int_equal(read_text("{\"node\":2,\"say\":\"what\"}", &m), -GFXB_E_NODE_VERSION);
    assert_int_equal(read_text("{\"say\":\"join\",\"worker\":7,\"node\":1}", &m), 0);
    assert_int_equal(m.worker, 7);
}

/* Characters that could do harm on a terminal do not leave the computer that has them. */
static void messages_are_printable(void **state)
{
    struct node_message m = {.say = SAY_IS}, back;
    struct buf CLEAN_BUF frame = BUF_INIT(NODE_FRAME_HEAD + NODE_MESSAGE_MAX);
    b_describe(NULL, &m.status);
    node_message_write(&m, &frame);
    assert_int_equal(node_frame_missing(buf_view(&frame)), 0);
    assert_int_equal(node_message_read(str_skip(buf_view(&frame), NODE_FRAME_HEAD), &back), 0);
    assert_string_equal(back.status.version, "1?[2J??");
    assert_string_equal(back.status.card[0].name, "Radeon");
    assert_int_equal(back.status.free, 32);
}

/* The largest status there can be is still a message. */
static void messages_fit(void **state)
{
    struct node_message m = {.say = SAY_IS}, back;
    struct buf CLEAN_BUF frame = BUF_INIT(NODE_FRAME_HEAD + NODE_MESSAGE_MAX);
    memset(&m.status, '"', sizeof(m.status));
    m.status.n_cards = NODE_CARDS_MAX;
    m.status.code = 0;
    m.status.busy = false;
    m.status.total = m.status.free = INT64_MAX;
    for (size_t i = 0; i < NODE_CARDS_MAX; i++)
        m.status.card[i].total = m.status.card[i].free = INT64_MAX;
    m.status.computer[0] = m.status.package_digest[0] = m.status.fingerprint[0] = '\0';
    node_message_write(&m, &frame);
    assert_true(buf_ok(&frame));
    assert_int_equal(node_message_read(str_skip(buf_view(&frame), NODE_FRAME_HEAD), &back), 0);
}

static void frames_are_bounded(void **state)
{
    assert_int_equal(node_frame_missing(STR("")), 4);
    assert_int_equal(node_frame_missing(STR("\0\0\0")), 1);
    assert_int_equal(node_frame_missing(STR("\0\0\0\2{")), 1);
    assert_int_equal(node_frame_missing(STR("\0\0\0\0")), -EBADMSG);
    assert_int_equal(node_frame_missing(STR("\0\0\x80\1")), -EBADMSG);
    assert_int_equal(node_frame_missing(STR("\xff\xff\xff\xff")), -EBADMSG);
}

/* ---- pairing ---- */

static struct pairing {
    struct node_pair_request request;
    pthread_t thread;
    struct node_peer peer;
    struct gfxb_error err;
    char code[32];
    atomic_int waits, cancel;
    int result, answer;
} pairings[2];

static int pair_confirm(void *context, const char *code, int deadline_ms, struct gfxb_error *err)
{
    struct pairing *p = context;
    snprintf(p->code, sizeof(p->code), "%s", code);
    return p->answer ? error_set(err, -p->answer, "no") : 0;
}

static void pair_waits(void *context, const char *where)
{
    ((struct pairing *)context)->waits = 1;
}

static void *pair_thread(void *context)
{
    struct pairing *p = context;
    p->result = node_pair(&p->request, &p->peer, &p->err);
    return NULL;
}

static void pair_begin(struct pairing *p, const char *dir, const struct node_identity *identity,
                       const char *name, const char *at, int answer)
{
    *p = (struct pairing){.answer = answer};
    p->request = (struct node_pair_request){.config_dir = dir,
                                            .identity = identity,
                                            .name = name,
                                            .address = at,
                                            .listen = address,
                                            .deadline_ms = 20000,
                                            .cancel = &p->cancel,
                                            .on_wait = pair_waits,
                                            .confirm = pair_confirm,
                                            .context = p};
    assert_int_equal(pthread_create(&p->thread, NULL, pair_thread, p), 0);
}

static void pair_both(const struct node_identity *first, int answer_first,
                      const struct node_identity *second, int answer_second)
{
    char dir[2][96];
    snprintf(dir[0], sizeof(dir[0]), "%s/pair-waits", base);
    snprintf(dir[1], sizeof(dir[1]), "%s/pair-asks", base);
    fs_remove_tree(dir[0]);
    fs_remove_tree(dir[1]);
    pair_begin(&pairings[0], dir[0], first, "waits", NULL, answer_first);
    while (!pairings[0].waits)
        poll(NULL, 0, 5);
    pair_begin(&pairings[1], dir[1], second, "asks", address, answer_second);
    pthread_join(pairings[1].thread, NULL);
    pthread_join(pairings[0].thread, NULL);
}

static size_t pair_stored(const char *name)
{
    char dir[96];
    struct node_peers peers;
    snprintf(dir, sizeof(dir), "%s/pair-%s", base, name);
    assert_int_equal(node_peers_read(dir, &peers, NULL), 0);
    return peers.n;
}

/* Both see one code, another one each time; the one that asked knows where the other one is. */
static void pairing_needs_two(void **state)
{
    char code[32];
    pair_both(b, 0, a, 0);
    assert_int_equal(pairings[0].result, 0);
    assert_int_equal(pairings[1].result, 0);
    assert_int_equal(strlen(pairings[0].code), 14);
    assert_string_equal(pairings[0].code, pairings[1].code);
    assert_string_equal(pairings[0].peer.name, "asks");
    assert_string_equal(pairings[0].peer.key, node_identity_key(a));
    assert_string_equal(pairings[0].peer.address, "");
    assert_string_equal(pairings[1].peer.name, "waits");
    assert_string_equal(pairings[1].peer.address, address);
    assert_int_equal(pairings[1].peer.port, NODE_PORT);
    assert_int_equal(pair_stored("waits") + pair_stored("asks"), 2);
    snprintf(code, sizeof(code), "%s", pairings[0].code);
    pair_both(b, 0, a, 0);
    assert_string_not_equal(pairings[0].code, code);
}

static void pairing_with_one_no(void **state)
{
    for (int who = 0; who < 2; who++) {
        pair_both(b, who ? 0 : -GFXB_E_NODE_IDENTITY, a, who ? -GFXB_E_NODE_IDENTITY : 0);
        assert_int_equal(pairings[0].result, -GFXB_E_NODE_IDENTITY);
        assert_int_equal(pairings[1].result, -GFXB_E_NODE_IDENTITY);
        assert_int_equal(pair_stored("waits") + pair_stored("asks"), 0);
    }
}

static void pairing_with_oneself(void **state)
{
    char dir[96];
    snprintf(dir, sizeof(dir), "%s/pair-waits", base);
    fs_remove_tree(dir);
    pair_begin(&pairings[0], dir, a, "waits", NULL, 0);
    while (!pairings[0].waits)
        poll(NULL, 0, 5);
    pair_begin(&pairings[1], dir, a, "asks", address, 0);
    pthread_join(pairings[1].thread, NULL);
    assert_int_equal(pairings[1].result, -GFXB_E_USAGE);
    pairings[0].cancel = 1;
    pthread_join(pairings[0].thread, NULL);
    assert_int_equal(pairings[0].result, -GFXB_E_INTERRUPTED);
}

static void pairing_where_nobody_waits(void **state)
{
    pair_begin(&pairings[1], dir_c, c, "asks", address, 0);
    pthread_join(pairings[1].thread, NULL);
    assert_int_equal(pairings[1].result, -GFXB_E_NODE_UNREACHABLE);
}

/* ---- the link ---- */

static void status_is_told(void **state)
{
    struct node_peer peer = peer_of("b", b);
    struct node_status is;
    char computer[DIGEST_HEX];
    assert_int_equal(node_ask(a, &peer, 5000, true, &is, NULL), 0);
    node_computer(computer);
    assert_string_equal(is.computer, computer);
    assert_string_equal(is.protocol, "8.0.0");
    assert_int_equal(is.n_cards, 1);
    assert_false(is.busy);
    assert_true(is.round_trip_us > 0 && is.bytes_per_second > 0);
}

/* All at once: who has no address is not asked, who does not answer has a reason. */
static void all_are_asked(void **state)
{
    struct node_peer here = peer_of("b", b), gone = peer_of("gone", c), silent = peer_of("x", a);
    struct node_answer *answers;
    size_t n;
    struct gfxb_error err;
    gone.port = 9;
    silent.address[0] = '\0';
    memset(silent.key, '0', DIGEST_HEX - 1);
    assert_int_equal(node_ask_all(dir_a, NULL, 2000, false, &answers, &n, NULL), 0);
    assert_int_equal(n, 0);
    free(answers);
    assert_int_equal(node_peers_put(dir_a, &here, NULL), 0);
    assert_int_equal(node_peers_put(dir_a, &gone, NULL), 0);
    assert_int_equal(node_peers_put(dir_a, &silent, NULL), 0);
    assert_int_equal(node_ask_all(dir_a, NULL, 2000, false, &answers, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(answers[0].err.code, 0);
    assert_string_equal(answers[0].status.engine, "b1");
    assert_int_equal(answers[1].err.code, GFXB_E_NODE_UNREACHABLE);
    assert_null(strstr(answers[1].err.text, "gone"));
    free(answers);
    assert_int_equal(node_ask_all(dir_a, "none", 2000, false, &answers, &n, &err), -ENOENT);
}

/* Not one byte of an answer for a key that is not paired, for no key, and for no TLS. */
static void strangers_get_nothing(void **state)
{
    struct node_peer peer = peer_of("b", b);
    struct node_status is;
    struct gfxb_error err;
    struct node_link *link;
    assert_int_equal(node_ask(c, &peer, 5000, false, &is, &err), -GFXB_E_NODE_IDENTITY);
    assert_non_null(strstr(err.text, "does not know this computer"));
    assert_int_equal(node_link_open(c, &peer, &(struct node_want){0}, 5000, &link, &err),
                     -GFXB_E_NODE_IDENTITY);
    assert_int_equal(node_b.started, 0);
    static const char *const words[] = {"GET / HTTP/1.1\r\n\r\n",
                                        "\0\0\0\2{}......................"};
    for (size_t i = 0; i < 2; i++) {
        int fd;
        char bytes[512];
        assert_int_equal(node_dial(&peer, node_until(2000), &fd, NULL), 0);
        assert_true(write(fd, words[i], 18) == 18);
        size_t n = 0;
        for (ssize_t got; node_wait(fd, POLLIN, node_until(7000)) > 0 &&
                          (got = read(fd, bytes, sizeof(bytes))) > 0;)
            n += (size_t)got;
        assert_true(n <= 7); /* a TLS alert */
        close(fd);
    }
}

/* Another computer at the address of B: found out by this side, whatever it serves. */
static void impostors_are_found(void **state)
{
    struct node_peer peer = peer_of("b", c);
    struct node_status is;
    struct gfxb_error err;
    assert_int_equal(node_ask(a, &peer, 5000, false, &is, &err), -GFXB_E_NODE_IDENTITY);
    assert_non_null(strstr(err.text, "another key"));
}

static void nobody_is_unreachable(void **state)
{
    struct node_peer peer = peer_of("b", b);
    struct node_status is;
    peer.port = 9;
    assert_int_equal(node_ask(a, &peer, 2000, false, &is, NULL), -GFXB_E_NODE_UNREACHABLE);
    snprintf(peer.address, sizeof(peer.address), "no-such-host.invalid");
    assert_int_equal(node_ask(a, &peer, 2000, false, &is, NULL), -GFXB_E_NODE_UNREACHABLE);
}

/* A server that takes the connection and says nothing costs the deadline, and no more. */
static void silence_ends(void **state)
{
    struct node_peer peer = peer_of("b", b);
    struct node_status is;
    struct gfxb_error err;
    int fds[NODE_LISTENERS];
    char where[64];
    snprintf(where, sizeof(where), "%s:13399", address);
    int n = node_listen(where, 1, fds, NULL);
    assert_int_equal(n, 1);
    peer.port = 13399;
    assert_int_equal(node_ask(a, &peer, 300, false, &is, &err), -GFXB_E_NODE_UNREACHABLE);
    assert_non_null(strstr(err.text, "in time"));
    close(fds[0]);
}

static struct node_link *open_b(const struct node_want *want)
{
    struct node_peer peer = peer_of("b", b);
    struct gfxb_error err = {0};
    struct node_link *link = NULL;
    if (node_link_open(a, &peer, want, 5000, &link, &err) < 0)
        fail_msg("%s", err.text);
    return link;
}

/* What is sent comes back, 8 MiB of it, also on connections one after the other and side by side.
 */
static void check_echo(int fd, size_t size)
{
    char *sent = malloc(size), *got = malloc(size);
    size_t out = 0, in = 0;
    assert_non_null(sent);
    assert_non_null(got);
    for (size_t i = 0; i < size; i++)
        sent[i] = (char)(i * 2654435761u >> 13);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (in < size) {
        ssize_t n = out < size ? write(fd, sent + out, size - out) : 0;
        out += n > 0 ? (size_t)n : 0;
        n = read(fd, got + in, size - in);
        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        in += n > 0 ? (size_t)n : 0;
        if (n < 0)
            node_wait(fd, out < size ? POLLIN | POLLOUT : POLLIN, node_until(5000));
    }
    assert_memory_equal(sent, got, size);
    free(sent);
    free(got);
}

static void worker_carries_bytes(void **state)
{
    struct node_want want = {.protocol = "8.0.0", .memory = 32};
    struct node_link *link = open_b(&want);
    for (int i = 0; i < 20; i++) {
        int fd = node_link_connect(link), second = node_link_connect(link);
        assert_true(fd >= 0 && second >= 0);
        check_echo(fd, i ? 100 : 8 << 20);
        check_echo(second, 1000);
        close(fd);
        close(second);
    }
    assert_int_equal(node_link_state(link, NULL), 0);
    node_link_close(link);
    while (!node_b.stopped)
        poll(NULL, 0, 5);
    assert_int_equal(node_b.started, 1);
    assert_int_equal(node_b.connected, 40);
}

static void worker_is_for_one(void **state)
{
    struct node_link *link = open_b(&(struct node_want){0}), *second;
    struct node_peer peer = peer_of("b", b);
    struct node_status is;
    struct gfxb_error err;
    assert_int_equal(node_link_open(a, &peer, &(struct node_want){0}, 5000, &second, &err),
                     -GFXB_E_NODE_BUSY);
    assert_non_null(strstr(err.text, "node b: "));
    assert_int_equal(node_ask(a, &peer, 5000, false, &is, NULL), 0);
    assert_true(is.busy);
    node_link_close(link);
    while (node_ask(a, &peer, 5000, false, &is, NULL) == 0 && is.busy)
        poll(NULL, 0, 5);
    node_link_close(open_b(&(struct node_want){0}));
}

/* Another package, protocol or proof than was planned with, or too little memory: no worker. */
static void worker_must_match(void **state)
{
    struct node_want wants[4] = {
        {.package_digest = "b"}, {.protocol = "7.0.0"}, {.fingerprint = "e"}, {.memory = 33}};
    const int codes[4] = {GFXB_E_NODE_VERSION, GFXB_E_NODE_VERSION, GFXB_E_NODE_UNPROVEN,
                          GFXB_E_MEMORY_TOO_SMALL};
    struct node_peer peer = peer_of("b", b);
    struct node_link *link;
    memset(wants[0].package_digest, 'b', DIGEST_HEX - 1);
    memset(wants[2].fingerprint, 'e', DIGEST_HEX - 1);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(node_link_open(a, &peer, &wants[i], 5000, &link, NULL), -codes[i]);
    assert_int_equal(node_b.started, 0);
}

static int wait_lost(struct node_link *link, struct gfxb_error *err)
{
    int result;
    for (int i = 0; (result = node_link_state(link, err)) == 0 && i < 3000; i++)
        poll(NULL, 0, 10);
    return result;
}

/* The engine's connection ends with the link, and the reason is the node's own. */
static void worker_that_ends_is_told(void **state)
{
    struct node_link *link = open_b(&(struct node_want){0});
    struct gfxb_error err;
    char byte;
    int fd = node_link_connect(link);
    assert_true(fd >= 0);
    node_b.broken = 1;
    assert_int_equal(wait_lost(link, &err), -GFXB_E_NODE_LOST);
    assert_int_equal(node_wait(fd, POLLIN, node_until(5000)), 1);
    assert_true(read(fd, &byte, 1) <= 0);
    assert_string_equal(err.text, "node b: its worker ended: signal 9");
    assert_int_equal(node_link_connect(link), -ECONNREFUSED);
    close(fd);
    node_link_close(link);
}

/* A worker that takes no connection for a while only delays, and keeps nobody else waiting. */
static void full_workers_are_waited_for(void **state)
{
    struct node_link *link = open_b(&(struct node_want){0});
    node_b.full = 3;
    int fd = node_link_connect(link);
    assert_true(fd >= 0);
    assert_int_equal(node_b.full, 0);
    check_echo(fd, 1000);
    close(fd);
    node_b.full = 1 << 30;
    struct gfxb_error err;
    assert_int_equal(node_link_connect(link), -ECONNREFUSED);
    assert_int_equal(node_link_state(link, &err), -GFXB_E_NODE_LOST);
    assert_string_equal(err.text, "node b: its worker takes no connection");
    node_link_close(link);
}

/* A connection from before it was removed from B's list opens no worker. */
static void removed_peers_open_nothing(void **state)
{
    struct node_peer peer = peer_of("b", b);
    struct node_message *m = calloc(1, sizeof(*m));
    struct tls tls;
    assert_non_null(m);
    assert_int_equal(tls_dial(&tls, a, &peer, node_until(5000), NULL), 0);
    m->say = SAY_STATUS;
    assert_int_equal(tls_ask(&tls, m, SAY_IS, node_until(5000), NULL), 0);
    assert_int_equal(node_peers_remove(dir_b, "a", NULL), 0);
    *m = (struct node_message){.say = SAY_OPEN};
    assert_int_equal(tls_ask(&tls, m, SAY_OPENED, node_until(5000), NULL), -GFXB_E_NODE_LOST);
    assert_int_equal(node_b.started, 0);
    tls_close(&tls);
    free(m);
}

/* Removed from B's list while it uses B's worker: out at the next sign of life. */
static void removed_peers_are_out(void **state)
{
    struct node_link *link = open_b(&(struct node_want){0});
    struct gfxb_error err;
    assert_int_equal(node_peers_remove(dir_b, "a", NULL), 0);
    assert_int_equal(wait_lost(link, &err), -GFXB_E_NODE_LOST);
    node_link_close(link);
}

/* B ends, and another key takes its place: new connections do not reach it. */
static void servers_that_end_are_lost(void **state)
{
    struct node_link *link = open_b(&(struct node_want){0});
    struct gfxb_error err;
    int fd = node_link_connect(link);
    assert_true(fd >= 0);
    end_b();
    assert_int_equal(wait_lost(link, &err), -GFXB_E_NODE_LOST);
    close(fd);
    node_link_close(link);
    serve_b(NULL);
}

/* A hundred who only connect: a paired computer still gets its answer. */
static void crowds_keep_nobody_out(void **state)
{
    struct node_peer peer = peer_of("b", b);
    struct node_status is;
    int fds[100];
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(node_dial(&peer, node_until(2000), &fds[i], NULL), 0);
    int result = 0;
    for (int i = 0; i < 20 && (result = node_ask(a, &peer, 5000, false, &is, NULL)) < 0; i++)
        poll(NULL, 0, 50);
    assert_int_equal(result, 0);
    for (size_t i = 0; i < 100; i++)
        close(fds[i]);
}

/* Words that do not fit here, from somebody with a key. */
static void nonsense_ends_a_connection(void **state)
{
    struct node_peer peer = peer_of("b", b);
    const enum node_say says[] = {SAY_JOIN, SAY_JOINED, SAY_IS, SAY_REFUSED, SAY_NONCE};
    for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
        struct node_message *m = calloc(1, sizeof(*m));
        struct tls tls;
        assert_int_equal(tls_dial(&tls, a, &peer, node_until(2000), NULL), 0);
        assert_non_null(m);
        m->say = says[i];
        m->worker = 1;
        assert_int_equal(tls_ask(&tls, m, SAY_JOINED, node_until(5000), NULL), -GFXB_E_NODE_LOST);
        tls_close(&tls);
        free(m);
    }
    assert_int_equal(node_b.connected, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_is_made_once),
        cmocka_unit_test(identity_of_many_at_once),
        cmocka_unit_test(identity_is_refused),
        cmocka_unit_test(certificate_says_nothing),
        cmocka_unit_test(peers_are_kept),
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(messages_are_strict),
        cmocka_unit_test(messages_are_printable),
        cmocka_unit_test(messages_fit),
        cmocka_unit_test(frames_are_bounded),
        cmocka_unit_test(pairing_needs_two),
        cmocka_unit_test(pairing_with_one_no),
        cmocka_unit_test(pairing_with_oneself),
        cmocka_unit_test(pairing_where_nobody_waits),
        cmocka_unit_test_setup_teardown(status_is_told, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(all_are_asked, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(strangers_get_nothing, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(impostors_are_found, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(nobody_is_unreachable, serve_b, end_serve_b),
        cmocka_unit_test(silence_ends),
        cmocka_unit_test_setup_teardown(worker_carries_bytes, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(worker_is_for_one, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(worker_must_match, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(worker_that_ends_is_told, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(full_workers_are_waited_for, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(removed_peers_open_nothing, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(removed_peers_are_out, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(servers_that_end_are_lost, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(crowds_keep_nobody_out, serve_b, end_serve_b),
        cmocka_unit_test_setup_teardown(nonsense_ends_a_connection, serve_b, end_serve_b),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
