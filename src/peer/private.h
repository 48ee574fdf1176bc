/* private.h - what the drivers share: the judge, texts with their mends, a scanner. */
#ifndef PEER_PRIVATE_H
#define PEER_PRIVATE_H

#include "base/xalloc.h"
#include "peer/peer.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

enum { PEER_TEXT_MAX = 4 << 20, PEER_RULES_MAX = 4096, PEER_MISTAKES_MAX = 4096 };

/* A replacement of bytes [from, to) of a text. */
struct peer_mend {
    size_t from, to;
    char *text;
};

/* A file of the peer, and what mends it; mends are in the order of their places, none in another.
 */
struct peer_text {
    char *path; /* below the checkout */
    struct buf bytes;
    struct peer_mend *mend;
    size_t n_mends, mends_capacity;
    bool overlap; /* one was left out, because it changed what another one did */
};

/* A file that a peer may install: a row of peers.tsv, or of packages.tsv that such a row names. */
struct peer_row {
    struct str peer, table;
    int os;      /* of enum gfx_os; -1 any */
    char *asset; /* with * for any characters; NULL: nothing is known of it */
    struct str gfx, unconfirmed, source;
    const struct gfx_package *package; /* NULL: a row of peers.tsv alone */
    unsigned line;
};

struct peer_rows {
    struct peer_row *row;
    size_t n, capacity;
};

struct peer {
    const struct gfx_tables *tables;
    struct peer_rows rows; /* of all peers */
    const struct peer_request *request;
    struct peer_result *result;
    struct peer_text **text;
    size_t n_texts, texts_capacity, text_bytes;
    const struct peer *before; /* the reading whose mended texts this one reads; NULL: from disk */
    struct gfxb_error *err;
};

struct peer_driver {
    const char *name;
    int (*read_url)(struct peer *p);
    int (*read_dir)(struct peer *p);
};

extern const struct peer_driver peer_lemonade, peer_llamacpp_rocm, peer_ollama, peer_rocm_cli;
int peer_lemonade_ask(struct peer *p);
int peer_mapping_read(struct peer *p);

/* ---- rows.c ---- */

int peer_rows_read(const struct gfx_tables *tables, struct peer_rows *ret_rows,
                   struct gfxb_error *err);
void peer_rows_done(struct peer_rows *rows);

/* ---- judge.c ---- */

/* Where a claim stands and what it is about. */
struct peer_claim {
    const char *path; /* or what was asked */
    unsigned line;    /* 0: path says all */
    struct str table; /* of peers.tsv */
    enum gfx_os os;
    struct str asset; /* the file that the peer takes; empty: any of the table */
};

enum peer_truth { PEER_NO, PEER_YES, PEER_OPEN };

/* Does the package of the claim hold code for the target? ret_right and ret_source (may be NULL):
 * a sentence and where it is from, as for a mistake. */
enum peer_truth peer_holds(const struct peer *p, const struct peer_claim *claim,
                           const struct gfx_target *target, struct buf *ret_right,
                           struct buf *ret_source);
/* Judge "the package holds, or does not hold, code for this target". True: it is a mistake. */
bool peer_judge_package(struct peer *p, const struct peer_claim *claim,
                        const struct gfx_target *target, bool says);
/* A claim of which our rows say neither yes nor no. */
void peer_judge_open(struct peer *p);
/* Judge "this card has this target, or one of this family (gfx110X)"; cards of which the tables
 * know no target are open. */
bool peer_judge_card(struct peer *p, const struct peer_claim *claim, const struct gfx_card *card,
                     struct str gfx);
void peer_mistake_done(struct peer_mistake *mistake);
/* A mistake of any other kind; subject, says and right are sentences. */
void peer_mistake(struct peer *p, const struct peer_claim *claim, struct str subject,
                  const char *says, const char *right, const char *source);
/* Is gfx ("gfx1100", or a family "gfx110X") what stands for this target? */
bool peer_is_family_of(struct str gfx, struct str target);
/* A row of this table that holds the target; NULL none. */
const struct peer_row *peer_row_of(const struct peer *p, struct str table,
                                   const struct gfx_target *target);
/* * stands for any characters. */
bool peer_glob(struct str pattern, struct str name);
/* A chip's own target, no generic one. */
bool peer_is_chip(const struct gfx_target *target);

/* ---- compare.c ---- */

/* Nothing more is to be read or judged: the user has had enough, or there are too many mistakes. A
 * loop that sees it ends as if there were nothing left; peer_compare has the error. */
bool peer_stopped(const struct peer *p);
/* What the peer says of itself, in plain characters; empty stays unknown. */
void peer_set_version(struct peer *p, struct str version);
/* The commit of a checkout as its version, where it is one of git's. */
void peer_set_commit(struct peer *p);

/* ---- text.c ---- */

/* A file of the checkout, which the peer owns; NULL with *p->err: it cannot be read. */
struct peer_text *peer_open(struct peer *p, const char *path);
unsigned peer_line(const struct peer_text *text, const char *at);
/* "path:line: the layout is not the one that gfxbridge knows: WHAT"; returns -GFXB_E_TABLE. */
int peer_unknown(struct peer *p, const struct peer_text *text, const char *at, const char *what);
/* Replace these bytes, and keep the order; takes over *by. */
void peer_mend(struct peer_text *text, struct str bytes, struct buf *by);
void peer_mended(const struct peer_text *text, struct buf *ret);
void peer_diff(const struct peer_text *text, struct buf *ret);
void peer_texts_done(struct peer *p);

/* A scanner for C++, Rust, Go and JSON: words, numbers, "strings" (without their quotes) and single
 * characters; white space and comments are passed over. */
struct peer_scan {
    struct peer *p;
    const struct peer_text *text;
    struct str rest;
    struct str token; /* n 0 and p NULL: the end */
    bool is_string;
    const char *end; /* of what was taken last */
};

/* From here on; the first token is ready. */
void peer_scan_init(struct peer_scan *s, struct peer *p, const struct peer_text *text,
                    const char *from);
void peer_scan_next(struct peer_scan *s);
bool peer_scan_is(const struct peer_scan *s, const char *token);
/* Take this token if it is there. */
bool peer_scan_take(struct peer_scan *s, const char *token);
/* Take these tokens, separated by blanks ("$" stands for any string, put into *ret_string). 0, or
 * peer_unknown. */
int peer_scan_need(struct peer_scan *s, const char *tokens, struct str *ret_string);
/* The scanner behind the first occurrence of these bytes, else peer_unknown. */
int peer_scan_find(struct peer_scan *s, struct peer *p, const struct peer_text *text,
                   const char *mark);

/* ---- names.c: rules that tell a target by what a card is called ---- */

struct peer_rule {
    struct str literal[32]; /* lower case; the name has one of them */
    size_t n;
    struct str gfx;
    struct str bytes; /* of the whole rule */
    unsigned line;
};

struct peer_rules {
    const struct peer_text *text;
    struct peer_rule guard; /* names with none of its literals come to no rule; n 0: all do */
    struct peer_rule *rule; /* the first that fits counts */
    size_t n, capacity;
    bool words;          /* a literal fits whole words alone, and punctuation does not count */
    const char *between; /* two rules of the project */
    /* How the project writes a rule. */
    void (*write)(const struct peer_rule *rule, struct buf *ret);
};

/* Judge what the rules say of every name of every card, and mend the rules that are wrong or name
 * a family. */
void peer_judge_names(struct peer *p, struct peer_text *text, const struct peer_rules *rules);

#endif
