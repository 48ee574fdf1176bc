/*
 * node.h - the outward header of node/: computers that trust each other, and the link between them.
 *
 * A node is another computer of the same owner that runs `gfxbridge node serve`. Both ends have a
 * key of their own, and each knows the SHA-256 of the other's certificate since they were paired.
 * All bytes between them go through TLS 1.3 with both certificates; the certificates' dates count
 * for nothing, so a wrong clock breaks nothing. Knows no engine: a worker is a stream of bytes.
 *
 * Every text that comes from a node is printable ASCII of bounded length, or the message is
 * refused: it can be printed and logged as it is. All functions may be called from any thread;
 * deadlines are milliseconds for the whole call.
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "base/base.h"
#include "base/digest.h"

enum {
    NODE_PORT = 13306,      /* of `node serve` */
    NODE_PAIR_PORT = 13307, /* of `node pair`, open only while it waits */
    NODE_NAME = 64,         /* bytes of a name, its NUL included: letters, digits, . _ - */
    NODE_TEXT = 128,        /* bytes of any other text */
    NODE_ADDRESS = 256,     /* of a host name or an IP address */
    NODE_CARDS_MAX = 16,
    NODE_PEERS_MAX = 64,
};

/* ---- identity.c: the key of this computer ---- */

struct node_identity;

/* Reads node.pem in the config directory; makes it (mode 0600) when there is none. Several
 * processes may do so at once: all get the same. */
int node_identity_open(const char *config_dir, struct node_identity **ret_identity,
                       struct gfxb_error *err);
void node_identity_free(struct node_identity *identity);
/* SHA-256 of the certificate, as other nodes know this computer. Lent. */
const char *node_identity_key(const struct node_identity *identity);

/* ---- peers.c: the paired nodes, in nodes.json of the config directory ---- */

struct node_peer {
    char name[NODE_NAME];
    char address[NODE_ADDRESS]; /* "": it may use this computer, and is never asked itself */
    unsigned port;
    char key[DIGEST_HEX]; /* SHA-256 of its certificate */
    char day[11];         /* of the pairing, "2026-11-30" */
};

struct node_peers {
    struct node_peer peer[NODE_PEERS_MAX];
    size_t n;
};

/* No file is no peers. */
int node_peers_read(const char *config_dir, struct node_peers *ret_peers, struct gfxb_error *err);
/* The peer of this name, or of this key. NULL none. */
const struct node_peer *node_peers_find(const struct node_peers *peers, const char *name_or_key);
/* Adds it, or changes the one of the same key: an empty address leaves the one that is stored. A
 * name that another key has gets "-2" and so on behind it, which *peer tells. */
int node_peers_put(const char *config_dir, struct node_peer *peer, struct gfxb_error *err);
/* -ENOENT: no such name. */
int node_peers_remove(const char *config_dir, const char *name, struct gfxb_error *err);
/* "HOST", "HOST:PORT", "IPv6" or "[IPv6]:PORT" into address and port of *peer. */
int node_peer_set_address(struct node_peer *peer, const char *text, unsigned default_port,
                          struct gfxb_error *err);
bool node_is_name(struct str text);
/* A SHA-256 in lower-case hex. */
bool node_is_key(struct str text);

/* ---- status.c: what a node says about itself ---- */

struct node_card {
    char name[NODE_TEXT], gfx[NODE_TEXT], pci[NODE_TEXT];
    uint64_t total, free; /* bytes of memory; 0 unknown */
};

struct node_status {
    char computer[DIGEST_HEX]; /* node_computer there */
    char version[NODE_TEXT];   /* of gfxbridge */
    char os[NODE_TEXT], arch[NODE_TEXT];
    struct node_card card[NODE_CARDS_MAX];
    size_t n_cards;
    bool busy; /* somebody uses its worker */
    /* Its best proven choice that has a worker; code and reason say why there is none. */
    int code; /* 0, or GFXB_E_ (positive) */
    char reason[NODE_TEXT * 4];
    char device[NODE_TEXT], gfx[NODE_TEXT], backend[NODE_TEXT]; /* gfx "": it has none */
    char package[NODE_TEXT], package_digest[DIGEST_HEX];
    char fingerprint[DIGEST_HEX];                /* SHA-256 of plan_choice.fingerprint */
    char engine[NODE_TEXT], protocol[NODE_TEXT]; /* versions of the engine and of its RPC */
    uint64_t total, free;                        /* bytes of memory that the worker may use */
    /* Measured by the asking side; 0: not measured. */
    double bytes_per_second, round_trip_us;
};

/* A number of this computer until it starts again, so that one computer with two keys counts once.
 * "": not known. */
void node_computer(char ret_computer[static DIGEST_HEX]);

/*
 * Asks a node, which takes no longer than the deadline. measure: bandwidth and round trip too, with
 * at most 4 MiB or 200 ms. -GFXB_E_NODE_UNREACHABLE: no answer, which says nothing about the node;
 * -GFXB_E_NODE_IDENTITY: another key is there, or it does not know ours; -GFXB_E_NODE_VERSION: a
 * gfxbridge that speaks another language; -GFXB_E_NODE_LOST: it broke off or talks nonsense. The
 * sentence does not name the node.
 */
int node_ask(const struct node_identity *identity, const struct node_peer *peer, int deadline_ms,
             bool measure, struct node_status *ret_status, struct gfxb_error *err);

/* What one peer gave. */
struct node_answer {
    struct node_peer peer;
    struct node_status status; /* where err.code is 0; it may have a code of its own */
    struct gfxb_error err;     /* of node_ask */
};

/* Asks all peers that have an address at the same time; only: this one, NULL all. In the order of
 * nodes.json; *ret_answers must be freed. Without peers no key is made. -ENOENT: no such name. */
int node_ask_all(const char *config_dir, const char *only, int deadline_ms, bool measure,
                 struct node_answer **ret_answers, size_t *ret_n, struct gfxb_error *err);

/* ---- link.c: a node's worker, used from here ---- */

struct node_link;

/* What the worker must be. "" asks for nothing. */
struct node_want {
    char package_digest[DIGEST_HEX], fingerprint[DIGEST_HEX], protocol[NODE_TEXT];
    uint64_t memory; /* bytes that the worker will need */
};

/*
 * Has the node start its worker for us. Codes of node_ask, -GFXB_E_NODE_BUSY: somebody else uses
 * it, -GFXB_E_NODE_VERSION: its package, engine or protocol is another one, -GFXB_E_NODE_UNPROVEN:
 * its choice is not proven, or not the one wanted, and whatever starting a worker gives there.
 */
int node_link_open(const struct node_identity *identity, const struct node_peer *peer,
                   const struct node_want *want, int deadline_ms, struct node_link **ret_link,
                   struct gfxb_error *err);
/* A connected stream socket to the worker; its ownership passes. Or -errno. One call at a time, and
 * none during node_link_close. In this form for struct engine_remote: context is the link. */
int node_link_connect(void *link);
/* 0: the node answers, and its worker runs. Else the negative code of why the link was lost, with
 * the node's name in the sentence; that is found within some seconds of any loss, also of a node
 * that is stopped. A lost link stays lost, and its sockets are closed. */
int node_link_state(struct node_link *link, struct gfxb_error *err);
/* Ends the worker and all connections. NULL is fine. */
void node_link_close(struct node_link *link);

/* ---- pair.c ---- */

struct node_pair_request {
    const char *config_dir;
    const struct node_identity *identity;
    const char *name;    /* that we tell the other computer */
    const char *address; /* of the computer that waits; NULL: this one waits */
    const char *listen;  /* ADDRESS[:PORT]; NULL: all addresses */
    int deadline_ms;
    const atomic_int *cancel; /* not 0: give up with "interrupted" */
    /* Waits on this address; NULL not told. */
    void (*on_wait)(void *context, const char *address);
    /* Does the other computer show this code, does a person say? 0, -GFXB_E_INTERRUPTED, or
     * -GFXB_E_NODE_IDENTITY. Blocks, not longer than deadline_ms. */
    int (*confirm)(void *context, const char *code, int deadline_ms, struct gfxb_error *err);
    void *context;
};

/*
 * Pairs with one other computer. Both show the same code, made from both certificates, the TLS
 * exporter and a number of each that the other one cannot choose to match (docs/nodes.md). Only
 * when a person said yes on both sides does each store the other. *ret_peer: what was stored.
 */
int node_pair(const struct node_pair_request *request, struct node_peer *ret_peer,
              struct gfxb_error *err);

/* ---- serve.c ---- */

/* Lent until node_serve ends. The calls below are made from several threads; start and stop never
 * at the same time, check and connect only between them. */
struct node_server {
    const char *config_dir;
    const struct node_identity *identity;
    const char *listen; /* ADDRESS[:PORT]; NULL: all addresses, NODE_PORT */
    const struct log *log;
    const atomic_int *cancel; /* not 0: end */
    void *context;
    /* What is true now, but for busy and what the asking side measures. */
    void (*describe)(void *context, struct node_status *ret_status);
    /* Start the worker of the choice that describe tells. 0 or -code. */
    int (*start)(void *context, const struct node_want *want, struct gfxb_error *err);
    /* A connected stream socket to it, or -errno; never waits: -EAGAIN is asked again. */
    int (*connect)(void *context);
    int (*check)(void *context, struct gfxb_error *err); /* 0: it runs; else -code of its end */
    void (*stop)(void *context);
};

/* Serves paired nodes until cancel. 0, or why it could not begin. */
int node_serve(const struct node_server *server, struct gfxb_error *err);

#endif
