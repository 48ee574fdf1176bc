/* root.c - chooses between the live computer, a directory and a captured machine. */
#include "sysroot/root_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static int root_alloc(enum root_source source, struct root **ret_root, struct gfxb_error *err)
{
    struct root *root = calloc(1, sizeof(*root));
    if (!root)
        return error_set(err, ENOMEM, "out of memory");
    root->source = source;
    root->fd = -1;
    *ret_root = root;
    return 0;
}

/* Takes text over, of size bytes and a NUL; NULL: there was no memory for it. */
static int root_new_parsed(const char *name, char *text, size_t size, struct root **ret_root,
                           struct gfxb_error *err)
{
    struct root *root = NULL;
    int r = text ? root_alloc(ROOT_SOURCE_CAPTURE, &root, err)
                 : error_set(err, ENOMEM, "out of memory");
    if (r < 0) {
        free(text);
        return r;
    }
    root->capture.text = text;
    r = root_format_parse(name, size, &root->capture, err);
    if (r < 0)
        root_free(root);
    else
        *ret_root = root;
    return r;
}

int root_new_text(const char *name, struct str text, struct root **ret_root, struct gfxb_error *err)
{
    if (text.n > ROOT_TEXT_MAX)
        return error_set(err, EFBIG, "%s: larger than a .machine file may be", name);
    return root_new_parsed(name, str_dup(text), text.n, ret_root, err);
}

static int root_new_file(const char *path, struct root **ret_root, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(ROOT_TEXT_MAX);
    int r = fs_read(path, ROOT_TEXT_MAX, &text);
    if (r < 0)
        return fs_error(err, -r, "read", path);
    size_t size = text.n;
    return root_new_parsed(path, buf_take(&text), size, ret_root, err);
}

static int root_new_directory(const char *path, struct root **ret_root, struct gfxb_error *err)
{
    struct root *root = NULL;
    int r = root_alloc(ROOT_SOURCE_DIRECTORY, &root, err);
    if (r < 0)
        return r;
    root->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root->fd < 0) {
        int code = errno;
        root_free(root);
        return fs_error(err, code, "open", path);
    }
    char target[ROOT_PATH_MAX];
    struct root_place place;
    r = root_dir_find(root, "/", false, target, &place);
    if (r < 0) {
        root_free(root);
        return error_set(err, -r,
                         "this kernel does not let us stay inside %s (openat2: %s): use a "
                         ".machine file instead",
                         path, error_errno_text(-r));
    }
    *ret_root = root;
    return 0;
}

int root_new(const char *path, struct root **ret_root, struct gfxb_error *err)
{
    if (!path || strcmp(path, "/") == 0)
        return root_alloc(ROOT_SOURCE_LIVE, ret_root, err);
    struct stat st;
    if (stat(path, &st) < 0) {
        int code = errno;
        return fs_error(err, code, "read", path);
    }
    if (S_ISDIR(st.st_mode))
        return root_new_directory(path, ret_root, err);
    if (S_ISREG(st.st_mode))
        return root_new_file(path, ret_root, err);
    return error_set(err, EINVAL, "%s is neither a directory nor a .machine file", path);
}

void root_free(struct root *root)
{
    if (!root)
        return;
    if (root->fd >= 0)
        close(root->fd);
    root_capture_done(&root->capture);
    free(root);
}

/* A root that is only read from is const, and still keeps this note. */
static atomic_int *root_note(const struct root *root)
{
    return &((struct root *)(uintptr_t)root)->lacked;
}

int root_result(const struct root *root, int r)
{
    if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
        atomic_store(root_note(root), r);
    return r;
}

int root_take_error(const struct root *root)
{
    return atomic_exchange(root_note(root), 0);
}

bool root_is_live(const struct root *root)
{
    return root->source == ROOT_SOURCE_LIVE;
}

int root_read_at(const struct root *root, const char *path, uint64_t offset, size_t max,
                 struct buf *ret)
{
    if (root_is_live(root)) { /* a file in the path's way: what is below it is absent */
        int live = root_dir_read(root, path, offset, max, ret);
        return live == -ENOTDIR ? -ENOENT : live;
    }
    struct root_walk w;
    int r = root_walk(root, path, true, &w);
    if (r < 0)
        return r;
    if (w.place.is_dir)
        return -EISDIR;
    if (w.place.entry.kind == ROOT_ENTRY_DENIED)
        return -EACCES;
    if (w.place.entry.kind != ROOT_ENTRY_FILE)
        return -EINVAL;
    if (root->source == ROOT_SOURCE_DIRECTORY)
        return root_dir_read(root, w.done, offset, max, ret);
    struct str content = w.place.entry.content;
    size_t skip = offset < content.n ? (size_t)offset : content.n;
    content = (struct str){content.p + skip, content.n - skip};
    buf_add(ret, content.p, content.n < max ? content.n : max);
    return buf_ok(ret) ? 0 : root_result(root, -ENOMEM);
}

int root_read(const struct root *root, const char *path, size_t max, struct buf *ret)
{
    return root_read_at(root, path, 0, max, ret);
}

int root_read_line(const struct root *root, const char *path, char *ret_line, size_t size)
{
    struct buf CLEAN_BUF text = BUF_INIT(size + 1);
    int r = root_read(root, path, size + 1, &text);
    if (r < 0)
        return r;
    struct str rest = buf_view(&text);
    struct str line = STR_NONE;
    bool whole = str_cut(&rest, '\n', &line) && rest.p != NULL;
    if (line.n && memchr(line.p, '\0', line.n))
        return -EINVAL;
    /* Blanks at the ends do not count, unless the line was cut off in the middle of them. */
    if (!whole && text.n == size + 1)
        return -E2BIG;
    line = str_trim(line);
    if (line.n >= size)
        return -E2BIG;
    if (line.n)
        memcpy(ret_line, line.p, line.n);
    ret_line[line.n] = '\0';
    return 0;
}

int root_read_u64(const struct root *root, const char *path, uint64_t *ret_value)
{
    char line[40];
    int r = root_read_line(root, path, line, sizeof(line));
    if (r < 0)
        return r == -E2BIG ? -EINVAL : r;
    struct str text = str_from(line);
    unsigned base = str_starts(text, STR("0x")) || str_starts(text, STR("0X")) ? 16 : 10;
    return str_to_u64(text, base, ret_value) < 0 ? -EINVAL : 0;
}

int root_readlink(const struct root *root, const char *path, char *ret_target, size_t size)
{
    struct root_walk w;
    int r = root_walk(root, path, false, &w);
    if (r < 0)
        return r;
    struct str target = w.place.entry.content;
    if (w.place.entry.kind != ROOT_ENTRY_LINK)
        return -EINVAL;
    if (target.n >= size)
        return -E2BIG;
    memcpy(ret_target, target.p, target.n);
    ret_target[target.n] = '\0';
    return 0;
}

int root_stat(const struct root *root, const char *path, struct root_stat *ret_stat)
{
    static const enum root_kind kinds[] = {
        [ROOT_ENTRY_FILE] = ROOT_FILE,   [ROOT_ENTRY_DIR] = ROOT_DIR,
        [ROOT_ENTRY_LINK] = ROOT_LINK,   [ROOT_ENTRY_CHAR] = ROOT_CHAR,
        [ROOT_ENTRY_OTHER] = ROOT_OTHER, [ROOT_ENTRY_DENIED] = ROOT_FILE,
    };
    struct root_walk w;
    int r = root_walk(root, path, true, &w);
    if (r == -ENOENT || r == -ENODATA || r == -ELOOP) {
        /* There as a link that leads to nothing? */
        int seen = root_walk(root, path, false, &w);
        if (seen < 0 || w.place.entry.kind != ROOT_ENTRY_LINK)
            return r;
    } else if (r < 0) {
        return r;
    }
    const struct root_entry *entry = &w.place.entry;
    *ret_stat = (struct root_stat){
        .kind = w.place.is_dir ? ROOT_DIR : kinds[entry->kind],
        .mode = entry->mode,
        .uid = entry->uid,
        .gid = entry->gid,
    };
    return 0;
}

static int root_compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int root_list(const struct root *root, const char *path, struct root_names *ret_names)
{
    struct root_names names = {NULL, 0};
    struct root_walk w;
    int r = root_walk(root, path, true, &w);
    if (r < 0)
        return r;
    if (!w.place.is_dir)
        r = w.place.entry.kind == ROOT_ENTRY_DENIED ? -EACCES : -ENOTDIR;
    else if (root->source == ROOT_SOURCE_CAPTURE)
        r = root_capture_list(&root->capture, (struct str){w.done, w.n}, &names);
    else
        r = root_dir_list(root, root_is_live(root) ? path : w.n ? w.done : "/", &names);
    if (r < 0) {
        root_names_done(&names);
        return root_result(root, r);
    }
    if (names.n)
        qsort(names.name, names.n, sizeof(*names.name), root_compare_names);
    *ret_names = names;
    return 0;
}

void root_names_done(struct root_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->name[i]);
    free(names->name);
    *names = (struct root_names){NULL, 0};
}

int root_names_add(struct root_names *names, size_t *capacity, struct str name)
{
    if (names->n >= ROOT_NAMES_MAX)
        return -E2BIG;
    char *copy =
        array_grow(&names->name, names->n, capacity, sizeof(*names->name)) ? str_dup(name) : NULL;
    if (!copy)
        return -ENOMEM;
    names->name[names->n++] = copy;
    return 0;
}

int root_try_open(const struct root *root, const char *path)
{
    struct root_walk w;
    int r = root_walk(root, path, true, &w);
    if (r < 0)
        return r;
    if (root->source == ROOT_SOURCE_DIRECTORY)
        return -ENODATA; /* a copy of a device node opens nothing */
    if (w.place.entry.kind != ROOT_ENTRY_CHAR)
        return -ENODEV;
    return root_is_live(root) ? root_result(root, root_dir_try_open(path))
                              : w.place.entry.open_result;
}

bool root_knows(const struct root *root, const char *path)
{
    struct root_walk w;
    int r = root_walk(root, path, true, &w);
    return root_is_live(root) || r == 0 || r == -EACCES || r == -ENOENT;
}
