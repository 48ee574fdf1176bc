/* address.h - what of a URL decides: its origin, its mirror. Private to fetch/. */
#ifndef FETCH_ADDRESS_H
#define FETCH_ADDRESS_H

#include "fetch/fetch.h"

struct address {
    char *scheme; /* "https", "http", "file" */
    char *host;   /* "" for file */
    char *port;   /* always a number, the scheme's own when none was written; "" for file */
    char *name;   /* the last part of the path, percent signs decoded; "" none */
};

/* -EINVAL: no URL, or of another scheme than the three. */
int address_parse(const char *url, struct address *ret_address, struct gfxb_error *err);
void address_done(struct address *a);

/* Same scheme, host and port? What a secret may not leave. */
bool address_same_origin(const struct address *a, const struct address *b);
/* May a secret be sent there at all: TLS, or this computer itself? */
bool address_takes_secret(const struct address *a);
/* May a redirect lead from one to the other? Not to another protocol, not from TLS to none. */
bool address_may_lead_to(const struct address *from, const struct address *to);

/* The URL to ask for: below the mirror when there is one. To be freed by the caller. */
int address_rewrite(const struct fetch_config *config, const char *url, char **ret_url,
                    struct gfxb_error *err);

#endif
