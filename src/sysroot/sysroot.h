/*
 * sysroot.h - reading the system below a root: the live computer, a captured machine in one text
 * file (NAME.machine, see docs/adding-a-card.md), or a directory that holds a copy of one.
 *
 * Paths are absolute inside the root ("/sys/class/drm"). Links never lead out of it. Results: 0 or
 * -errno; -ENOENT absent; -ENODATA not recorded, so that nothing may be concluded from it. Nothing
 * blocks: only regular files are read.
 *
 * What absence means (root_knows):
 * - live computer: what is not there is absent.
 * - .machine file: absent when the path or a directory above it has an `absent` line, or when the
 *   nearest directory above it that was recorded has its own `dir` line, which says "what matters
 *   in here was recorded"; unknown otherwise.
 * - directory: a copy seldom holds more than parts of the directories that many things share ("/",
 *   "/sys", "/sys/class", "/usr/share" ...). Absent when the nearest directory above the path that
 *   exists is another one: /dev without kfd says that there is none. Unknown otherwise, and where a
 *   link leads to what was not copied.
 *
 * Links in a directory may have become small files that hold "../TARGET" and no newline (a checkout
 * on a file system without links): they are followed like links. sysfs has no such file.
 */
#ifndef SYSROOT_SYSROOT_H
#define SYSROOT_SYSROOT_H

#include "base/base.h"

struct root;

enum root_kind { ROOT_FILE, ROOT_DIR, ROOT_LINK, ROOT_CHAR, ROOT_OTHER };

struct root_stat {
    enum root_kind kind; /* links are followed: ROOT_LINK only for a dangling one */
    mode_t mode;         /* permission bits */
    uid_t uid;
    gid_t gid;
};

/* Sorted names of a directory, "." and ".." left out. */
struct root_names {
    char **name;
    size_t n;
};

/* path NULL or "/" is the live computer; a directory, or a file in the .machine format. */
int root_new(const char *path, struct root **ret_root, struct gfxb_error *err);

/* The same from .machine text in memory (copied); name is for error messages. A malformed line is
 * -EINVAL with "name:line: sentence". */
int root_new_text(const char *name, struct str text, struct root **ret_root,
                  struct gfxb_error *err);
void root_free(struct root *root);

/* The live computer, where what is absent is absent and device nodes may really be opened? */
bool root_is_live(const struct root *root);

/*
 * Append at most max bytes of a file to *ret (binary safe; the rest is cut off without an error:
 * sysfs files say nothing true about their size).
 */
int root_read(const struct root *root, const char *path, size_t max, struct buf *ret);

/* The same from byte `offset` on, for large files. Nothing is appended behind the end. */
int root_read_at(const struct root *root, const char *path, uint64_t offset, size_t max,
                 struct buf *ret);

/* The first line of a small file, trimmed, into ret_line[size], always NUL-terminated on success.
 * -EINVAL when it holds a NUL byte, -E2BIG when it does not fit. */
int root_read_line(const struct root *root, const char *path, char *ret_line, size_t size);

/* A file that holds one number, decimal or 0x hexadecimal. -EINVAL when it holds anything else. */
int root_read_u64(const struct root *root, const char *path, uint64_t *ret_value);

/* The text of a link, NUL-terminated; -EINVAL when it is no link, -E2BIG when it does not fit. */
int root_readlink(const struct root *root, const char *path, char *ret_target, size_t size);

int root_stat(const struct root *root, const char *path, struct root_stat *ret_stat);
int root_list(const struct root *root, const char *path, struct root_names *ret_names);
void root_names_done(struct root_names *names);

/*
 * Can this process open the device node for reading and writing? Really opened (and closed) on the
 * live computer; in a capture, what the capture recorded. 0 yes, -EACCES, -ENOENT, -ENODATA ...
 */
int root_try_open(const struct root *root, const char *path);

/*
 * What this process lacked (-ENOMEM, -EMFILE, -ENFILE) in a read since the last call, 0 nothing:
 * then something may have been taken for unknown that is known. Readers that live with what cannot
 * be read ask this once, at their end, and call it at their beginning to forget what was before.
 */
int root_take_error(const struct root *root);

/* Is this path there, or does its absence mean anything? See the rules at the top. */
bool root_knows(const struct root *root, const char *path);

/*
 * Writing a .machine text, line by line: first root_write_header, then what there is. Paths and
 * contents may hold any bytes: they are escaped where the format needs it.
 */
void root_write_header(struct buf *b);
/* A regular file with its bytes; a missing newline at the end is added to text. */
void root_write_file(struct buf *b, const char *path, struct str content);
void root_write_link(struct buf *b, const char *path, const char *target);
/* word is "dir" (recorded with all that matters in it), "absent" (recorded as not there) or
 * "denied" (there, but reading gives -EACCES). */
void root_write_mark(struct buf *b, const char *word, const char *path);
/* A device node; open_result as root_try_open gives it, -ENODATA unknown. */
void root_write_char(struct buf *b, const char *path, const struct root_stat *st, int open_result);

#endif
