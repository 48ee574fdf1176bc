/*
 * root_private.h - the sources behind struct root. The kernel resolves paths of the live computer.
 * A directory and a capture say what is at a path without links; walk.c follows links in both.
 */
#ifndef SYSROOT_ROOT_PRIVATE_H
#define SYSROOT_ROOT_PRIVATE_H

#include "base/base.h"
#include "sysroot/sysroot.h"
#include <stdatomic.h>

#define ROOT_PATH_MAX  4096
#define ROOT_NAMES_MAX 65536      /* names read from one directory */
#define ROOT_TEXT_MAX  (64 << 20) /* bytes of a .machine file */

enum root_source { ROOT_SOURCE_LIVE, ROOT_SOURCE_DIRECTORY, ROOT_SOURCE_CAPTURE };

enum root_entry_kind {
    ROOT_ENTRY_NONE,   /* not recorded itself */
    ROOT_ENTRY_FILE,   /* content: its bytes (in a capture) */
    ROOT_ENTRY_DIR,    /* recorded with all that matters in it */
    ROOT_ENTRY_LINK,   /* content: its target */
    ROOT_ENTRY_CHAR,   /* mode, uid, gid, open_result */
    ROOT_ENTRY_OTHER,  /* a FIFO, a socket: never opened */
    ROOT_ENTRY_ABSENT, /* recorded as not there */
    ROOT_ENTRY_DENIED, /* there, but reading it gives -EACCES */
};

struct root_entry {
    struct str path; /* "" is "/" */
    enum root_entry_kind kind;
    struct str content;
    unsigned mode, uid, gid;
    int open_result; /* 0, -errno; -ENODATA not recorded */
    unsigned line;
};

/* What is at a path without links. */
struct root_place {
    struct root_entry entry;
    bool is_dir; /* recorded so, or something below it was recorded */
};

struct root_capture {
    char *text;               /* what the views point into */
    struct root_entry *entry; /* sorted by root_path_compare */
    size_t n, capacity;
};

struct root {
    enum root_source source;
    int fd;                      /* of the directory; -1 otherwise */
    struct root_capture capture; /* empty otherwise */
    atomic_int lacked;           /* for root_take_error: what this process lacked, negative; 0 */
};

/* Note r when it is a lack of this process's own, not something about the file. Returns r. */
int root_result(const struct root *root, int r);

/* ---- format.c ---- */

/* The entries of capture->text: size bytes, changed in place, and one more to write to. On failure
 * the caller still frees the capture. */
int root_format_parse(const char *name, size_t size, struct root_capture *capture,
                      struct gfxb_error *err);

/* ---- capture.c ---- */

void root_capture_done(struct root_capture *capture);
/* Bytewise, with '/' before everything else: a directory's tree follows it without a gap. */
int root_path_compare(struct str a, struct str b);
/* Does path lie below directory dir ("" is "/")? */
bool root_path_is_below(struct str path, struct str dir);
struct root_place root_capture_find(const struct root_capture *c, struct str path);
/* The same for any path, when nothing that ends a path or is a link stands above it. */
bool root_capture_find_at_once(const struct root_capture *c, struct str path,
                               struct root_place *ret_place);
int root_capture_list(const struct root_capture *c, struct str dir, struct root_names *names);

/* ---- directory.c ---- */

/* What the kernel says is at path; nothing there is ROOT_ENTRY_NONE. follow: also a link at its
 * end, on the live computer alone. A link's target is put into target, which the place lends. */
int root_dir_find(const struct root *root, const char *path, bool follow,
                  char target[ROOT_PATH_MAX], struct root_place *ret_place);
int root_dir_read(const struct root *root, const char *path, uint64_t offset, size_t max,
                  struct buf *ret);
int root_dir_list(const struct root *root, const char *path, struct root_names *names);
int root_dir_try_open(const char *path); /* of the live computer */

/* ---- walk.c ---- */

/* A path being resolved: what is done (without links) and what is left to do. */
struct root_walk {
    char done[ROOT_PATH_MAX];
    size_t n;
    char rest[ROOT_PATH_MAX];
    size_t own; /* bytes at the end of rest that were in the path, and in no link's target */
    unsigned links;
    bool in_target; /* the last step was taken in a link's target */
    char target[ROOT_PATH_MAX];
    struct root_place place; /* of done */
};

/*
 * Resolve path; w->place says what is there. follow: also a link at its end. 0; -ENOENT absent;
 * -ENODATA not recorded (w->done is then the place where it stopped); or -errno.
 */
int root_walk(const struct root *root, const char *path, bool follow, struct root_walk *w);

/* ---- root.c ---- */

/* Add a copy of name, at most ROOT_NAMES_MAX: 0, -ENOMEM or -E2BIG. */
int root_names_add(struct root_names *names, size_t *capacity, struct str name);

#endif
