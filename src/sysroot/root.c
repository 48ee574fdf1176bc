/* root.c - chooses between the live computer, a directory and a captured machine. */
#include "sysroot/root_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct root *root_alloc(enum root_source source)
{
    struct root *root = calloc(1, sizeof(*root));
    if (root) {
        root->source = source;
        root->fd = -1;
    }
    return root;
}

static int root_new_parsed(const char *name, char *text, size_t size, struct root **ret_root,
                           struct gfxb_error *err)
{
    struct root_capture *capture;
    int r = root_format_parse(name, text, size, &capture, err);
    if (r < 0)
        return r;
    struct root *root = root_alloc(ROOT_SOURCE_CAPTURE);
    if (!root) {
        root_capture_free(capture);
        return error_set(err, ENOMEM, "out of memory");
    }
    root->capture = capture;
    *ret_root = root;
    return 0;
}

int root_new_text(const char *name, struct str text, struct root **ret_root, struct gfxb_error *err)
{
    if (text.n > ROOT_TEXT_MAX)
        return error_set(err, EFBIG, "%s: larger than a .machine file may be", name);
    char *copy = malloc(text.n + 1);
    if (!copy)
        return error_set(err, ENOMEM, "out of memory");
    if (text.n)
        memcpy(copy, text.p, text.n);
    return root_new_parsed(name, copy, text.n, ret_root, err);
}

static int root_new_file(const char *path, struct root **ret_root, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(ROOT_TEXT_MAX);
    int r = fs_read(path, ROOT_TEXT_MAX, &text);
    if (r < 0)
        return error_set(err, -r, "cannot read %s: %s", path, error_errno_text(-r));
    size_t size = text.n;
    char *taken = buf_take(&text);
    if (!taken)
        return error_set(err, ENOMEM, "out of memory");
    return root_new_parsed(path, taken, size, ret_root, err);
}

static int root_new_directory(const char *path, struct root **ret_root, struct gfxb_error *err)
{
    struct root *root = root_alloc(ROOT_SOURCE_DIRECTORY);
    if (!root)
        return error_set(err, ENOMEM, "out of memory");
    root->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root->fd < 0) {
        int code = errno;
        root_free(root);
        return error_set(err, code, "cannot open %s: %s", path, error_errno_text(code));
    }
    struct root_stat st;
    int r = root_dir_stat(root, "/", &st);
    if (r == -ENOSYS || r == -EPERM) {
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
    if (!path || strcmp(path, "/") == 0) {
        struct root *root = root_alloc(ROOT_SOURCE_LIVE);
        if (!root)
            return error_set(err, ENOMEM, "out of memory");
        *ret_root = root;
        return 0;
    }
    struct stat st;
    if (stat(path, &st) < 0) {
        int code = errno;
        return error_set(err, code, "cannot read %s: %s", path, error_errno_text(code));
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
    root_capture_free(root->capture);
    free(root);
}

bool root_is_live(const struct root *root)
{
    return root->source == ROOT_SOURCE_LIVE;
}

/* In a directory, -ENOENT is only said where absence means something. */
static int root_dir_result(const struct root *root, const char *path, int r)
{
    if (r == -ENOTDIR)
        r = -ENOENT;
    return r == -ENOENT && !root_dir_knows(root, path) ? -ENODATA : r;
}

int root_read(const struct root *root, const char *path, size_t max, struct buf *ret)
{
    if (root->capture)
        return root_capture_read(root->capture, path, max, ret);
    return root_dir_result(root, path, root_dir_read(root, path, max, ret));
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
    if (root->capture)
        return root_capture_readlink(root->capture, path, ret_target, size);
    return root_dir_result(root, path, root_dir_readlink(root, path, ret_target, size));
}

int root_stat(const struct root *root, const char *path, struct root_stat *ret_stat)
{
    if (root->capture)
        return root_capture_stat(root->capture, path, ret_stat);
    return root_dir_result(root, path, root_dir_stat(root, path, ret_stat));
}

int root_list(const struct root *root, const char *path, struct root_names *ret_names)
{
    if (root->capture)
        return root_capture_list(root->capture, path, ret_names);
    int r = root_dir_list(root, path, ret_names);
    return r == -ENOTDIR ? r : root_dir_result(root, path, r);
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
    if (names->n == *capacity) {
        size_t more = *capacity ? *capacity * 2 : 16;
        char **grown = reallocarray(names->name, more, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        names->name = grown;
        *capacity = more;
    }
    char *copy = str_dup(name);
    if (!copy)
        return -ENOMEM;
    names->name[names->n++] = copy;
    return 0;
}

int root_try_open(const struct root *root, const char *path)
{
    if (root->capture)
        return root_capture_try_open(root->capture, path);
    return root_dir_result(root, path, root_dir_try_open(root, path));
}

bool root_knows(const struct root *root, const char *path)
{
    if (root->capture)
        return root_capture_knows(root->capture, path);
    return root_dir_knows(root, path);
}
