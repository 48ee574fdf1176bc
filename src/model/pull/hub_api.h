/*
 * hub_api.h - what the Hugging Face hub's API says about a repository. Nothing here asks the
 * network: any bytes may come in. Private to model/.
 */
#ifndef MODEL_PULL_HUB_API_H
#define MODEL_PULL_HUB_API_H

#include "base/base.h"
#include "base/digest.h"

#define HUB_COMMIT 41 /* 40 hex digits and a NUL */

struct hub_file {
    char *path;            /* in the repository; safe to make below a directory of ours; owned */
    char etag[DIGEST_HEX]; /* the blob's name: sha256 of an LFS file, else git's sha1 */
    bool lfs;
    uint64_t size;
    char xet[DIGEST_HEX]; /* its name in a store that repositories share; "" none */
};

/* The GGUF files of one commit, sorted by path. */
struct hub_tree {
    char commit[HUB_COMMIT];
    struct hub_file *file;
    size_t n;
    size_t refused; /* paths that lead elsewhere, entries without a usable digest */
};

void hub_tree_done(struct hub_tree *tree);

/* 40 or 64 lower-case hex digits, as many as digits says? */
bool hub_is_hex(const char *text, size_t digits);

/* The commit of "/api/models/REPO". */
int hub_info_parse(struct str json, char ret_commit[static HUB_COMMIT], struct gfxb_error *err);

/* Add one page of ".../tree/COMMIT?recursive=true" to the tree. */
int hub_tree_add(struct hub_tree *tree, struct str json, struct gfxb_error *err);
/* After the last page. */
void hub_tree_sort(struct hub_tree *tree);

/*
 * The next page in a Link header's value, to be freed by the caller; NULL when there is none.
 * Always below the base URL, whatever host the header names: the token goes there.
 */
char *hub_next_page(struct str link, const char *base);

/* An ETag without its quotes and "W/" into ret_etag; "" when it does not fit. */
void hub_etag_plain(struct str value, char *ret_etag, size_t size);

/* Add a repository's path to a URL, percent-encoded where it must be. */
void hub_add_path(struct buf *url, const char *path);

#endif
