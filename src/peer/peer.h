/*
 * peer.h - the outward header of peer/: another program's tables -> its mistakes, and a patch that
 * mends them.
 *
 * A peer is read by its driver (compare.c), one file each. Every claim that it makes (a package has
 * code for a target; a card has a target) is judged by the rows of cards.tsv, packages.tsv and
 * peers.tsv. Readers are strict: a layout that they do not know is an error, never a guess.
 */
#ifndef PEER_PEER_H
#define PEER_PEER_H

#include "fetch/fetch.h"
#include "gfx/gfx.h"

/* Where its claims are: exactly one of the three. */
struct peer_request {
    const char *name; /* "lemonade"; with a file any name */
    const char *url;  /* a running server's base URL */
    const char *dir;  /* a checkout of its sources */
    const char *file; /* a table of two columns: docs/tables.md, "table compare" */
    enum gfx_os os;   /* that the file's packages are for */
    const struct fetch_config *net;
    const atomic_int *cancel; /* not 0: give up with "interrupted"; NULL never */
};

/* One mistake; those that a place makes for the same reason are one. */
struct peer_mistake {
    char *place;    /* "path:line" in the checkout or file, or what was asked of the server */
    char *table;    /* "trellis:rocm"; what is judged */
    char *subjects; /* targets or cards, separated by ", " */
    char *says, *right;
    char *source;  /* of what is right: "packages.tsv:68 (LLROCM)" */
    size_t claims; /* that it stands for */
};

struct peer_result {
    char *version;              /* as the peer tells it; "" unknown */
    size_t claims, right, open; /* open: our rows say neither yes nor no */
    struct peer_mistake *mistake;
    size_t n, capacity;
    char *patch; /* unified diff; NULL: not asked for, or nothing to mend */
};

/*
 * Read and judge a peer. patch: also make the diff that mends a checkout; it is judged again, and
 * one that leaves a mistake is an error. Fills *ret_result also when it fails.
 * usage: no such peer, or it has no driver of this kind; table: a layout that is not understood,
 * with file and line, or too much of it; interrupted; what fetch_get and reading files return.
 */
int peer_compare(const struct gfx_tables *tables, const struct peer_request *request, bool patch,
                 struct peer_result *ret_result, struct gfxb_error *err);
void peer_result_done(struct peer_result *result);

/* Are the rows of peers.tsv whole, and their targets and packages known? */
int peer_rows_check(const struct gfx_tables *tables, struct gfxb_error *err);

#endif
