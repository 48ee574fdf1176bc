/*
 * root_private.h - the three sources behind struct root. root.c chooses; root_dir.c reads the live
 * computer and directories; root_capture.c looks things up in a parsed .machine text, which
 * root_format.c parses.
 */
#ifndef SYSROOT_ROOT_PRIVATE_H
#define SYSROOT_ROOT_PRIVATE_H

#include "base/base.h"
#include "sysroot/sysroot.h"

#define ROOT_PATH_MAX  4096
#define ROOT_LINKS_MAX 40         /* links followed for one path, as in the kernel */
#define ROOT_NAMES_MAX 65536      /* names read from one directory */
#define ROOT_TEXT_MAX  (64 << 20) /* bytes of a .machine file */

enum root_source { ROOT_SOURCE_LIVE, ROOT_SOURCE_DIRECTORY, ROOT_SOURCE_CAPTURE };

struct root {
    enum root_source source;
    int fd;                       /* of the directory; -1 otherwise */
    struct root_capture *capture; /* NULL otherwise */
};

int root_dir_read(const struct root *root, const char *path, size_t max, struct buf *ret);
int root_dir_readlink(const struct root *root, const char *path, char *ret_target, size_t size);
int root_dir_stat(const struct root *root, const char *path, struct root_stat *ret_stat);
int root_dir_list(const struct root *root, const char *path, struct root_names *ret_names);
int root_dir_try_open(const struct root *root, const char *path);
bool root_dir_knows(const struct root *root, const char *path);

/* Add a copy of name, at most ROOT_NAMES_MAX: 0, -ENOMEM or -E2BIG. */
int root_names_add(struct root_names *names, size_t *capacity, struct str name);

enum root_entry_kind {
    ROOT_ENTRY_FILE,   /* content: its bytes */
    ROOT_ENTRY_DIR,    /* recorded with all that matters in it */
    ROOT_ENTRY_LINK,   /* content: its target */
    ROOT_ENTRY_CHAR,   /* mode, uid, gid, open_result */
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

struct root_capture {
    char *text;               /* what the views point into */
    struct root_entry *entry; /* sorted by root_path_compare */
    size_t n, capacity;
};

/* Takes text over (size bytes and one more to write to), also on failure. */
int root_format_parse(const char *name, char *text, size_t size, struct root_capture **ret_capture,
                      struct gfxb_error *err);
void root_capture_free(struct root_capture *capture);

/* Bytewise, with '/' before everything else: a directory's tree follows it without a gap. */
int root_path_compare(struct str a, struct str b);
/* Does path lie below directory dir ("" is "/")? */
bool root_path_is_below(struct str path, struct str dir);

int root_capture_read(const struct root_capture *c, const char *path, size_t max, struct buf *ret);
int root_capture_readlink(const struct root_capture *c, const char *path, char *ret_target,
                          size_t size);
int root_capture_stat(const struct root_capture *c, const char *path, struct root_stat *ret_stat);
int root_capture_list(const struct root_capture *c, const char *path, struct root_names *ret_names);
int root_capture_try_open(const struct root_capture *c, const char *path);
bool root_capture_knows(const struct root_capture *c, const char *path);

#endif
