/* pair.c - two computers get to know each other's key, while people see that nobody is between. */
#include "node/node_private.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

enum {
    PAIR_GREETING_MS = 5000, /* a stranger who says nothing keeps others waiting so long */
    PAIR_DIAL_MS = 15000,    /* for the one that waits, which may be busy with a stranger */
    PAIR_LOOK_MS = 250,      /* between two looks at cancel */
    PAIR_LISTEN_MS = 30000,  /* for the other person, when one has said yes */
    PAIR_CODE = 15,          /* "ABCD-EFGH-JKMN" and its NUL */
};

static int pair_hear(struct tls *tls, enum node_say wanted, char ret_value[static DIGEST_HEX],
                     int64_t until)
{
    struct node_message *CLEAN_FREE m = xcalloc(1, sizeof(*m));
    int result = tls_hear(tls, m, until);
    if (result == 0 && (m->say != wanted || !m->value[0]))
        result = -EBADMSG;
    memcpy(ret_value, m->value, DIGEST_HEX);
    return result;
}

static int pair_say(struct tls *tls, enum node_say say, const char *value, int64_t until)
{
    struct node_message *CLEAN_FREE m = xcalloc(1, sizeof(*m));
    m->say = say;
    memcpy(m->value, value, DIGEST_HEX);
    return tls_say(tls, m, until);
}

/* A random number as hex, and its digest. */
static int pair_random(char ret_number[static DIGEST_HEX], char ret_digest[static DIGEST_HEX])
{
    unsigned char bytes[32];
    int result = RAND_bytes(bytes, sizeof(bytes)) == 1 ? 0 : -EIO;
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(ret_number + 2 * i, 3, "%02x", bytes[i]);
    return result < 0 ? result : digest_bytes(ret_number, DIGEST_HEX - 1, ret_digest);
}

/*
 * A number of each side: the one that asks commits itself to its own before it hears the other.
 * Certificates and exporter alone would leave somebody in the middle 2^30 tries on each side to
 * find two connections with one code. With these a connection is one try of 2^60.
 */
static int pair_numbers(struct tls *tls, bool waits, char ret_numbers[static 2][DIGEST_HEX],
                        int64_t until)
{
    char own[DIGEST_HEX], digest[DIGEST_HEX], promised[DIGEST_HEX];
    char *asks = ret_numbers[0], *waited = ret_numbers[1];
    int result = pair_random(own, digest);
    memcpy(ret_numbers[waits], own, DIGEST_HEX);
    if (!waits) {
        result = result < 0 ? result : pair_say(tls, SAY_COMMIT, digest, until);
        result = result < 0 ? result : pair_hear(tls, SAY_NONCE, waited, until);
        return result < 0 ? result : pair_say(tls, SAY_NONCE, own, until);
    }
    result = result < 0 ? result : pair_hear(tls, SAY_COMMIT, promised, until);
    result = result < 0 ? result : pair_say(tls, SAY_NONCE, own, until);
    result = result < 0 ? result : pair_hear(tls, SAY_NONCE, asks, until);
    result = result < 0 ? result : digest_bytes(asks, DIGEST_HEX - 1, digest);
    return result < 0 ? result : strcmp(digest, promised) == 0 ? 0 : -EBADMSG;
}

/* 60 bits of a digest, without letters that look alike. */
static int pair_code(struct tls *tls, const char *asking_key, const char *waiting_key,
                     const char numbers[static 2][DIGEST_HEX], char ret_code[static PAIR_CODE])
{
    static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    struct buf CLEAN_BUF all = BUF_INIT(4096);
    unsigned char exported[32];
    char digest[DIGEST_HEX], *code = ret_code;
    uint64_t bits = 0;
    int result = tls_export(tls, exported);
    buf_addf(&all, "gfxbridge pair %s %s %s %s ", asking_key, waiting_key, numbers[0], numbers[1]);
    buf_add(&all, exported, sizeof(exported));
    if (result == 0)
        result = digest_bytes(all.p, all.n, digest);
    OPENSSL_cleanse(exported, sizeof(exported));
    OPENSSL_cleanse(all.p, all.n);
    if (result < 0)
        return result;
    str_to_u64((struct str){digest, 15}, 16, &bits);
    for (int i = 0; i < 12; i++) {
        if (i == 4 || i == 8)
            *code++ = '-';
        *code++ = letters[bits >> (55 - 5 * i) & 31];
    }
    *code = '\0';
    return 0;
}

/* A connection over which both have the same code, unless somebody is between. */
static int pair_greet(const struct node_pair_request *request, struct tls *tls, int fd,
                      int64_t until, char ret_code[static PAIR_CODE])
{
    bool waits = !request->address;
    const char *own = node_identity_key(request->identity);
    char numbers[2][DIGEST_HEX];
    *tls = TLS_NONE;
    int result = tls_begin(tls, request->identity, fd, waits, until);
    if (result == 0)
        result = pair_numbers(tls, waits, numbers, until);
    if (result == 0)
        result = pair_code(tls, waits ? tls->key : own, waits ? own : tls->key,
                           (const char(*)[DIGEST_HEX])numbers, ret_code);
    if (result == 0 && strcmp(tls->key, own) == 0)
        result = -EEXIST;
    if (result < 0)
        tls_close(tls);
    return result;
}

static int pair_cancelled(const struct node_pair_request *request, struct gfxb_error *err)
{
    return request->cancel && *request->cancel
               ? error_set(err, GFXB_E_INTERRUPTED, "interrupted; nothing was paired")
               : 0;
}

/* The first one that greets. */
static int pair_wait(const struct node_pair_request *request, struct tls *tls, int64_t until,
                     char ret_code[static PAIR_CODE], struct gfxb_error *err)
{
    int fds[NODE_LISTENERS];
    struct pollfd polled[NODE_LISTENERS];
    int n = node_listen(request->listen, NODE_PAIR_PORT, fds, err), result = -ETIMEDOUT;
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++) {
        char address[NODE_ADDRESS];
        polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        node_socket_address(fds[i], false, address, sizeof(address));
        if (request->on_wait)
            request->on_wait(request->context, address);
    }
    while (result != 0 && clock_now_ms() < until && pair_cancelled(request, NULL) == 0) {
        poll(polled, (nfds_t)n, PAIR_LOOK_MS);
        for (int i = 0; i < n && result != 0; i++) {
            int fd = accept4(fds[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (fd >= 0)
                result = pair_greet(request, tls, fd, node_until(PAIR_GREETING_MS), ret_code);
        }
    }
    while (n)
        close(fds[--n]);
    if (result == 0 || (result = pair_cancelled(request, err)) < 0)
        return result;
    return error_set(err, GFXB_E_NODE_UNREACHABLE, "no computer came to be paired");
}

static int pair_ask(const struct node_pair_request *request, const struct node_peer *peer,
                    struct tls *tls, char ret_code[static PAIR_CODE], struct gfxb_error *err)
{
    struct gfxb_error why;
    int64_t soon = node_until(PAIR_DIAL_MS);
    int fd, result = node_dial(peer, soon, &fd, &why);
    if (result < 0)
        return error_set(err, why.code, "%s; type gfxbridge node pair there first", why.text);
    result = pair_greet(request, tls, fd, soon, ret_code);
    if (result == -EEXIST)
        return error_set(err, GFXB_E_USAGE, "%s is this computer itself", request->address);
    return result == 0 ? 0
                       : error_set(err, GFXB_E_NODE_UNREACHABLE,
                                   "no gfxbridge waits to be paired at %s port %u: type gfxbridge "
                                   "node pair there first",
                                   peer->address, peer->port);
}

/* Both people: ours, then the other one, whose yes brings the name. */
static int pair_agree(const struct node_pair_request *request, struct tls *tls, const char *code,
                      int64_t until, struct node_peer *peer, struct gfxb_error *err)
{
    struct node_message *CLEAN_FREE m = xcalloc(1, sizeof(*m));
    int64_t left = until - clock_now_ms();
    int result = request->confirm(request->context, code, left > 0 ? (int)left : 0, err);
    if (result < 0)
        return result;
    m->say = SAY_YES;
    snprintf(m->name, sizeof(m->name), "%s", request->name);
    until = until > node_until(PAIR_LISTEN_MS) ? until : node_until(PAIR_LISTEN_MS);
    tls_say(tls, m, node_until(PAIR_LISTEN_MS));
    do {
        if ((result = pair_cancelled(request, err)) < 0)
            return result;
        result = tls_hear(tls, m, node_until(PAIR_LOOK_MS));
    } while (result == -ETIMEDOUT && clock_now_ms() < until);
    if (result < 0 || m->say != SAY_YES)
        return error_set(err, GFXB_E_NODE_IDENTITY,
                         "nobody said yes on the other computer: nothing was paired");
    memcpy(peer->name, m->name, sizeof(peer->name));
    memcpy(peer->key, tls->key, sizeof(peer->key));
    return 0;
}

int node_pair(const struct node_pair_request *request, struct node_peer *ret_peer,
              struct gfxb_error *err)
{
    int64_t until = node_until(request->deadline_ms);
    struct node_peer peer = {.name = "?", .port = NODE_PORT};
    struct tls tls = TLS_NONE;
    char code[PAIR_CODE];
    int result = 0;
    if (request->address)
        result = node_peer_set_address(&peer, request->address, NODE_PAIR_PORT, err);
    if (result == 0)
        result = request->address ? pair_ask(request, &peer, &tls, code, err)
                                  : pair_wait(request, &tls, until, code, err);
    if (result == 0)
        result = pair_agree(request, &tls, code, until, &peer, err);
    tls_close(&tls);
    peer.port = NODE_PORT; /* not that of the pairing */
    if (result == 0)
        result = node_peers_put(request->config_dir, &peer, err);
    if (result == 0)
        *ret_peer = peer;
    return result;
}
