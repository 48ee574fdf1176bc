/*
 * part.h - PATH.part, the beginning of a file that is being fetched, and PATH.part.from, where it
 * is from: one "key value" a line. The part is locked while a process works on it. Private to
 * fetch/.
 */
#ifndef FETCH_PART_H
#define FETCH_PART_H

#include "fetch/fetch.h"

/* Where the bytes of a part are from; texts are owned, NULL or "" unknown. */
struct part_origin {
    char *url;
    char *validator; /* for If-Range */
    char *sha256;    /* that was asked for */
    uint64_t total;  /* 0 unknown */
};

void part_origin_done(struct part_origin *origin);

struct part {
    int fd;     /* -1: there is none */
    char *path; /* PATH.part */
    char *from; /* PATH.part.from; NULL none is kept */
    uint64_t n; /* bytes in it, those that are held included */
    char *held; /* the last of them, to be written together; NULL: none were yet */
    size_t n_held;
    bool waited;             /* another process had it before us */
    bool durable;            /* will be forced to disk; set by the caller once it is open */
    struct flusher *flusher; /* while much is being added; NULL: none */
};

#define PART_NONE ((struct part){.fd = -1})

/* Make or find it, and wait for its lock. name: the part's own name; NULL: PATH.part, with an
 * origin beside it. */
int part_open(const struct fetch_config *config, const char *path, const char *name,
              struct part *ret_part, struct gfxb_error *err);
/* Close it. An empty part and its origin are removed, another stays for the next run. */
void part_done(struct part *part);

/* Only where one is kept. -ENOENT: nothing is known about the bytes that are there. */
int part_load_origin(const struct part *part, struct part_origin *ret_origin);
/* Without effect where none is kept. */
int part_save_origin(const struct part *part, const struct part_origin *origin,
                     struct gfxb_error *err);

/* Empty it. */
int part_clear(struct part *part, struct gfxb_error *err);
/* Add to its end. disk-full when there is no room. A killed process loses what is held: 128 KiB. */
int part_add(struct part *part, const void *bytes, size_t n, struct gfxb_error *err);
/* All of it is in the file afterwards, or n says how much. */
int part_settle(struct part *part, struct gfxb_error *err);
/* Make it the file. durable: survives a power cut. */
int part_publish(struct part *part, const char *path, bool durable, struct gfxb_error *err);

#endif
