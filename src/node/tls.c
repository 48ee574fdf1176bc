/* tls.c - the link: TLS 1.3 with both certificates, messages, and bytes carried both ways. */
#include "node/node_private.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>

enum {
    TLS_PIECE = 65536,     /* bytes that a bridge takes at a time */
    TLS_GOODBYE_MS = 1000, /* so long an alert may travel before a reset could take it away */
};

/* ---- whose certificate ---- */

static bool tls_trusts(const struct tls *tls)
{
    if (tls->expected)
        return strcmp(tls->key, tls->expected) == 0;
    if (!tls->config_dir)
        return true;
    struct node_peers *CLEAN_FREE peers = xcalloc(1, sizeof(*peers));
    return node_peers_read(tls->config_dir, peers, NULL) == 0 && node_peers_find(peers, tls->key);
}

/* Instead of a chain: the digest is all that counts, and no date. That the other end has the key
 * is proven by TLS itself. */
int tls_verify(X509_STORE_CTX *store, void *context)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *tls = SSL_get_app_data(ssl);
    tls->is_stranger =
        node_certificate_key(X509_STORE_CTX_get0_cert(store), tls->key) < 0 || !tls_trusts(tls);
    X509_STORE_CTX_set_error(store, tls->is_stranger ? X509_V_ERR_CERT_REJECTED : X509_V_OK);
    return !tls->is_stranger;
}

/* ---- one connection ---- */

/* After a call of OpenSSL that did not succeed: -EAGAIN when it waits for *ret_events; 0: the other
 * end closed; -GFXB_E_NODE_IDENTITY, -ECONNRESET. */
static int tls_problem(struct tls *tls, int result, short *ret_events)
{
    int problem = SSL_get_error(tls->ssl, result);
    unsigned long code = ERR_get_error();
    ERR_clear_error();
    *ret_events = problem == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
    if (problem == SSL_ERROR_WANT_READ || problem == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    if (problem == SSL_ERROR_ZERO_RETURN)
        return 0;
    bool is_alert = problem == SSL_ERROR_SSL && ERR_GET_LIB(code) == ERR_LIB_SSL &&
                    ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET;
    return is_alert || tls->is_stranger ? -GFXB_E_NODE_IDENTITY : -ECONNRESET;
}

static ssize_t tls_move(struct tls *tls, void *into, const void *from, size_t n, short *ret_events)
{
    int most = (int)(n < TLS_PIECE ? n : TLS_PIECE);
    int result = into ? SSL_read(tls->ssl, into, most) : SSL_write(tls->ssl, from, most);
    return result > 0 ? result : tls_problem(tls, result, ret_events);
}

ssize_t tls_read(struct tls *tls, void *bytes, size_t n)
{
    short events;
    return tls_move(tls, bytes, NULL, n, &events);
}

ssize_t tls_write(struct tls *tls, const void *bytes, size_t n)
{
    short events;
    return tls_move(tls, NULL, bytes, n, &events);
}

/* The other end may still be writing: closing now would reset the connection, and it would lose
 * the alert that tells it why. */
static void tls_linger(int fd)
{
    char bytes[4096];
    int64_t until = node_until(TLS_GOODBYE_MS);
    shutdown(fd, SHUT_WR);
    while (node_wait(fd, POLLIN, until) > 0 && read(fd, bytes, sizeof(bytes)) > 0)
        ;
}

int tls_begin(struct tls *tls, const struct node_identity *identity, int fd, bool is_server,
              int64_t until)
{
    int result, code = -EAGAIN;
    short events;
    tls->fd = fd;
    tls->ssl = SSL_new(node_identity_context(identity));
    if (!tls->ssl || SSL_set_fd(tls->ssl, fd) != 1)
        xalloc_die();
    SSL_set_app_data(tls->ssl, tls);
    if (is_server)
        SSL_set_accept_state(tls->ssl);
    else
        SSL_set_connect_state(tls->ssl);
    while (code == -EAGAIN && (result = SSL_do_handshake(tls->ssl)) != 1) {
        code = tls_problem(tls, result, &events);
        if (code == -EAGAIN && node_wait(fd, events, until) <= 0)
            code = -ETIMEDOUT;
    }
    if (SSL_is_init_finished(tls->ssl))
        return 0;
    if (is_server && code != -ETIMEDOUT)
        tls_linger(fd);
    return code ? code : -ECONNRESET;
}

void tls_close(struct tls *tls)
{
    if (tls->ssl && SSL_is_init_finished(tls->ssl))
        SSL_shutdown(tls->ssl);
    SSL_free(tls->ssl);
    ERR_clear_error();
    if (tls->fd >= 0)
        close(tls->fd);
    buf_done(&tls->in);
    *tls = TLS_NONE;
}

int tls_export(const struct tls *tls, unsigned char ret_bytes[static 32])
{
    static const char label[] = "EXPORTER-gfxbridge-pair";
    return SSL_export_keying_material(tls->ssl, ret_bytes, 32, label, sizeof(label) - 1, NULL, 0,
                                      0) == 1
               ? 0
               : -EIO;
}

/* ---- messages ---- */

int tls_say(struct tls *tls, const struct node_message *message, int64_t until)
{
    struct buf CLEAN_BUF frame = BUF_INIT(NODE_FRAME_HEAD + NODE_MESSAGE_MAX);
    node_message_write(message, &frame);
    struct str rest = buf_view(&frame);
    while (rest.n) {
        short events;
        ssize_t n = tls_move(tls, NULL, rest.p, rest.n, &events);
        if (n > 0)
            rest = str_skip(rest, (size_t)n);
        else if (n != -EAGAIN)
            return n ? (int)n : -ECONNRESET;
        else if (node_wait(tls->fd, events, until) <= 0)
            return -ETIMEDOUT;
    }
    return 0;
}

int tls_hear(struct tls *tls, struct node_message *ret_message, int64_t until)
{
    ssize_t missing;
    while ((missing = node_frame_missing(buf_view(&tls->in))) > 0) {
        short events;
        char *room = buf_room(&tls->in, (size_t)missing);
        if (!room)
            xalloc_die();
        ssize_t n = tls_move(tls, room, NULL, (size_t)missing, &events);
        if (n > 0)
            buf_grew(&tls->in, (size_t)n);
        else if (n != -EAGAIN)
            return n ? (int)n : -ECONNRESET;
        else if (node_wait(tls->fd, events, until) <= 0)
            return -ETIMEDOUT;
    }
    if (missing < 0)
        return (int)missing;
    int result = node_message_read(str_skip(buf_view(&tls->in), NODE_FRAME_HEAD), ret_message);
    buf_clear(&tls->in);
    return result;
}

int tls_ask(struct tls *tls, struct node_message *message, enum node_say wanted, int64_t until,
            struct gfxb_error *err)
{
    tls_say(tls, message, until); /* when that fails, the other end's alert says why */
    int result = tls_hear(tls, message, until);
    if (result == 0 && message->say == wanted)
        return 0;
    if (result == 0 && message->say == SAY_REFUSED && message->status.code)
        return error_set(err, message->status.code, "%s", message->status.reason);
    if (result == -GFXB_E_NODE_IDENTITY)
        return error_set(err, GFXB_E_NODE_IDENTITY,
                         "it does not know this computer: pair them again (gfxbridge node pair, on "
                         "both)");
    if (result == -GFXB_E_NODE_VERSION)
        return error_set(err, GFXB_E_NODE_VERSION,
                         "its gfxbridge and this one do not understand each other: install the "
                         "same version on both");
    return error_set(err, GFXB_E_NODE_LOST, "it %s",
                     result == -ETIMEDOUT    ? "gave no sign of life in time"
                     : result == -ECONNRESET ? "broke off the connection"
                                             : "gave an answer that makes no sense");
}

int tls_dial(struct tls *tls, const struct node_identity *identity, const struct node_peer *peer,
             int64_t until, struct gfxb_error *err)
{
    int fd, result = node_dial(peer, until, &fd, err);
    *tls = TLS_NONE;
    tls->expected = peer->key;
    if (result < 0)
        return result;
    result = tls_begin(tls, identity, fd, false, until);
    if (result == 0)
        return 0;
    bool is_stranger = tls->is_stranger;
    tls_close(tls);
    if (is_stranger)
        return error_set(err, GFXB_E_NODE_IDENTITY,
                         "another key than the paired one answers at %s port %u: if gfxbridge was "
                         "installed again there, pair it again; else somebody is in between",
                         peer->address, peer->port);
    return error_set(err, GFXB_E_NODE_UNREACHABLE, "%s at %s port %u",
                     result == -ETIMEDOUT ? "no answer in time" : "no gfxbridge node answers",
                     peer->address, peer->port);
}

/* ---- a bridge ---- */

/* Bytes on their way in one direction. */
struct pipe {
    char *bytes;
    size_t begin, end;
    bool ended, moved; /* its source; the last step took something from it */
};

static void pipe_took(struct pipe *p, ssize_t n)
{
    p->begin = 0;
    p->end = n > 0 ? (size_t)n : 0;
    p->ended = n <= 0 && n != -EAGAIN;
    p->moved = n > 0;
}

/* False: the sink is gone. */
static bool pipe_gave(struct pipe *p, ssize_t n)
{
    p->begin += n > 0 ? (size_t)n : 0;
    return n > 0 || n == -EAGAIN;
}

static ssize_t pipe_result(ssize_t n)
{
    return n >= 0 ? n : errno == EINTR ? -EAGAIN : -errno;
}

enum bridge { BRIDGE_GOES_ON, BRIDGE_LINK_ENDED, BRIDGE_FD_ENDED };

/* One step in each direction. */
static enum bridge bridge_step(struct tls *tls, int fd, struct pipe *in, struct pipe *out)
{
    in->moved = out->moved = false;
    if (in->begin == in->end && !in->ended)
        pipe_took(in, tls_read(tls, in->bytes, TLS_PIECE));
    if (out->begin == out->end && !out->ended)
        pipe_took(out, pipe_result(read(fd, out->bytes, TLS_PIECE)));
    if (in->begin < in->end && !pipe_gave(in, pipe_result(send(fd, in->bytes + in->begin,
                                                               in->end - in->begin, MSG_NOSIGNAL))))
        return BRIDGE_FD_ENDED;
    if (out->begin < out->end &&
        !pipe_gave(out, tls_write(tls, out->bytes + out->begin, out->end - out->begin)))
        return BRIDGE_LINK_ENDED;
    if (in->ended && in->begin == in->end)
        return BRIDGE_LINK_ENDED;
    return out->ended && out->begin == out->end ? BRIDGE_FD_ENDED : BRIDGE_GOES_ON;
}

bool tls_bridge(struct tls *tls, int fd)
{
    char *CLEAN_FREE bytes = xmalloc(2 * TLS_PIECE);
    struct pipe in = {.bytes = bytes}, out = {.bytes = bytes + TLS_PIECE};
    enum bridge state;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while ((state = bridge_step(tls, fd, &in, &out)) == BRIDGE_GOES_ON) {
        bool in_waits = in.begin < in.end, out_waits = out.begin < out.end;
        short far = (short)((in_waits || in.ended ? 0 : POLLIN) | (out_waits ? POLLOUT : 0));
        short near = (short)((out_waits || out.ended ? 0 : POLLIN) | (in_waits ? POLLOUT : 0));
        struct pollfd fds[] = {{far ? tls->fd : -1, far, 0}, {near ? fd : -1, near, 0}};
        if (!in.moved && !out.moved) /* a record may be left inside OpenSSL: ask it first */
            poll(fds, 2, -1);
    }
    return state == BRIDGE_LINK_ENDED;
}
