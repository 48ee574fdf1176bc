/* node_private.h - what the files of node/ share: messages, TLS, names of files. */
#ifndef NODE_PRIVATE_H
#define NODE_PRIVATE_H

#include "base/xalloc.h"
#include "node/node.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/ssl.h>
#include <sys/types.h>

/* ---- message.c: the words between two nodes, a length and one JSON object each ---- */

#define NODE_FRAME_HEAD  4     /* bytes of the length, most significant first */
#define NODE_MESSAGE_MAX 32768 /* bytes of the JSON */

enum node_say {
    SAY_STATUS, /* what are you? */
    SAY_IS,     /* the answer: status */
    SAY_OPEN,   /* start your worker for me: want */
    SAY_OPENED, /* the answer: worker, a number to be named by SAY_JOIN */
    SAY_JOIN,   /* this connection is for that worker: worker */
    SAY_JOINED, /* the answer; from here on all bytes are the worker's */
    SAY_PING,
    SAY_PONG,
    SAY_MEASURE, /* send bytes for a moment, then close */
    SAY_REFUSED, /* instead of any answer, and instead of a pong when the worker ended */
    SAY_COMMIT,  /* pairing: value */
    SAY_NONCE,   /* pairing: value */
    SAY_YES,     /* pairing: a person said yes; name */
    SAYS
};

struct node_message {
    enum node_say say;
    uint64_t worker;
    struct node_want want;
    char name[NODE_NAME];
    char value[DIGEST_HEX];
    struct node_status status; /* SAY_REFUSED: its code and reason */
};

/* How many bytes a frame that begins so still lacks, as far as is known; 0: it is whole, its JSON
 * begins after NODE_FRAME_HEAD. -EBADMSG. */
ssize_t node_frame_missing(struct str bytes);
/* -GFXB_E_NODE_VERSION: another language; -EBADMSG: none of ours, to the last member. */
int node_message_read(struct str json, struct node_message *ret_message);
/* The whole frame. Characters that no text may have become '?'. */
void node_message_write(const struct node_message *message, struct buf *ret_frame);
/* One entry of nodes.json, strictly. -EBADMSG. */
int node_peer_read(const json_t *object, struct node_peer *ret_peer);
json_t *node_peer_write(const struct node_peer *peer);

#define PEERS_NO_NAME "no node is called %s: gfxbridge node list shows them"

/* ---- dial.c ---- */

#define NODE_LISTENERS 8

/* A point in time of the monotonic clock. */
int64_t node_until(int deadline_ms);
/* Waits for events on fd, not beyond until. 1, 0 in time not, or -errno. */
int node_wait(int fd, short events, int64_t until);
/* A non-blocking TCP connection to the address of a peer. */
int node_dial(const struct node_peer *peer, int64_t until, int *ret_fd, struct gfxb_error *err);
/* Listening sockets on "ADDRESS[:PORT]", or with NULL on all addresses. Their number or -code. */
int node_listen(const char *address, unsigned port, int ret_fds[static NODE_LISTENERS],
                struct gfxb_error *err);
/* "ADDRESS:PORT" of a socket's own end, or of the other one's. */
void node_socket_address(int fd, bool other, char *ret_text, size_t size);

/* ---- tls.c ---- */

struct tls {
    SSL *ssl;
    int fd;               /* non-blocking */
    char key[DIGEST_HEX]; /* of the other end's certificate */
    struct buf in;        /* the message that is being read */
    /* Whose certificate is accepted: this key; or the peers of this directory; or, both NULL,
     * anybody, for pairing. */
    const char *expected, *config_dir;
    bool is_stranger; /* that was another one */
};

#define TLS_NONE ((struct tls){.fd = -1, .in = BUF_INIT(NODE_FRAME_HEAD + NODE_MESSAGE_MAX)})

/* OpenSSL's, of every context. */
int tls_verify(X509_STORE_CTX *store, void *context);
/* The handshake; expected or config_dir are set before. Takes fd over. On failure the other end
 * got an alert. -ETIMEDOUT, -ECONNRESET, -GFXB_E_NODE_IDENTITY. */
int tls_begin(struct tls *tls, const struct node_identity *identity, int fd, bool is_server,
              int64_t until);
/* Dials the peer and greets it; tells why not. */
int tls_dial(struct tls *tls, const struct node_identity *identity, const struct node_peer *peer,
             int64_t until, struct gfxb_error *err);
/* More than 0 bytes; 0: the other end closed; -EAGAIN: nothing now; else as tls_hear. */
ssize_t tls_read(struct tls *tls, void *bytes, size_t n);
ssize_t tls_write(struct tls *tls, const void *bytes, size_t n);
/* A whole message each. -ETIMEDOUT: not in time, which may be asked again; -ECONNRESET, -EBADMSG,
 * -GFXB_E_NODE_VERSION, -GFXB_E_NODE_IDENTITY: the other end refused our certificate. */
int tls_say(struct tls *tls, const struct node_message *message, int64_t until);
int tls_hear(struct tls *tls, struct node_message *ret_message, int64_t until);
/* Says *message, which becomes the answer: the wanted one, or it is an error. */
int tls_ask(struct tls *tls, struct node_message *message, enum node_say wanted, int64_t until,
            struct gfxb_error *err);
/* Carries bytes both ways between the link and fd, which becomes non-blocking, until one of them
 * ends: true when it was the link. */
bool tls_bridge(struct tls *tls, int fd);
/* 32 bytes that both ends of this connection, and nobody else, can compute. 0 or -EIO. */
int tls_export(const struct tls *tls, unsigned char ret_bytes[static 32]);
/* Fine when it is closed, or never was opened. */
void tls_close(struct tls *tls);

/* ---- link.c ---- */

enum { MEASURE_BYTES = 4 << 20, MEASURE_MS = 200 };

/* ---- identity.c ---- */

SSL_CTX *node_identity_context(const struct node_identity *identity);
/* SHA-256 of a certificate. */
int node_certificate_key(X509 *certificate, char ret_key[static DIGEST_HEX]);
/* The lock under which the files of the config directory are written. */
int node_lock(const char *config_dir, int *ret_fd, struct gfxb_error *err);
#endif
