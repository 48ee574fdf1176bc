/* root_capture.c - a captured machine: paths looked up in a sorted array, links followed in it. */
#include "sysroot/root_private.h"

#include <errno.h>

static int capture_rank(char c)
{
    return c == '/' ? 0 : (unsigned char)c + 1;
}

int root_path_compare(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    for (size_t i = 0; i < n; i++) {
        if (a.p[i] != b.p[i])
            return capture_rank(a.p[i]) - capture_rank(b.p[i]);
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

bool root_path_is_below(struct str path, struct str dir)
{
    return path.n > dir.n && path.p[dir.n] == '/' && str_starts(path, dir);
}

void root_capture_free(struct root_capture *capture)
{
    if (!capture)
        return;
    free(capture->entry);
    free(capture->text);
    free(capture);
}

/* Index of the first entry that is not before path. */
static size_t capture_lower_bound(const struct root_capture *c, struct str path)
{
    size_t low = 0, high = c->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (root_path_compare(c->entry[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What stands at a path without links. */
struct capture_place {
    const struct root_entry *entry; /* NULL: not recorded itself */
    bool is_dir;                    /* recorded so, or something below it was recorded */
};

/* At path, whose lower bound is i. */
static struct capture_place capture_place_at(const struct root_capture *c, size_t i,
                                             struct str path)
{
    struct capture_place place = {NULL, path.n == 0};
    if (i < c->n && str_eq(c->entry[i].path, path)) {
        place.entry = &c->entry[i];
        place.is_dir |= place.entry->kind == ROOT_ENTRY_DIR;
        i++;
    }
    place.is_dir |= i < c->n && root_path_is_below(c->entry[i].path, path);
    return place;
}

static struct capture_place capture_find(const struct root_capture *c, struct str path)
{
    return capture_place_at(c, capture_lower_bound(c, path), path);
}

/* A path being resolved: what is done (without links) and what is left to do. */
struct capture_walk {
    char done[ROOT_PATH_MAX];
    size_t n;
    char rest[ROOT_PATH_MAX];
    unsigned links;
    struct capture_place place; /* of done */
};

static void walk_up(struct capture_walk *w)
{
    while (w->n > 0 && w->done[w->n - 1] != '/')
        w->n--;
    if (w->n > 0)
        w->n--;
}

static int walk_set_rest(struct capture_walk *w, struct str target, const char *rest)
{
    size_t n = strlen(rest);
    if (target.n + 1 + n + 1 > sizeof(w->rest))
        return -ENAMETOOLONG;
    memmove(w->rest + target.n + 1, rest, n + 1); /* rest may point into w->rest */
    memcpy(w->rest, target.p, target.n);
    w->rest[target.n] = '/';
    if (target.n && target.p[0] == '/')
        w->n = 0;
    return 0;
}

/* One component more. 1 done, 0 end of the path, or -errno. */
static int walk_step(const struct root_capture *c, struct capture_walk *w, bool follow)
{
    const char *p = w->rest;
    while (*p == '/')
        p++;
    size_t n = strcspn(p, "/");
    if (n == 0) {
        w->place = capture_find(c, (struct str){w->done, w->n});
        return 0;
    }
    const char *after = p + n;
    bool last = after[strspn(after, "/")] == '\0';
    if (n == 2 && memcmp(p, "..", 2) == 0) {
        walk_up(w);
    } else if (n != 1 || p[0] != '.') {
        if (w->n + 1 + n >= sizeof(w->done))
            return -ENAMETOOLONG;
        w->done[w->n] = '/';
        memcpy(w->done + w->n + 1, p, n);
        w->n += 1 + n;
    }
    w->place = capture_find(c, (struct str){w->done, w->n});
    const struct root_entry *entry = w->place.entry;
    if (entry && entry->kind == ROOT_ENTRY_LINK && (follow || !last)) {
        if (++w->links > ROOT_LINKS_MAX)
            return -ELOOP;
        walk_up(w);
        return walk_set_rest(w, entry->content, after) < 0 ? -ENAMETOOLONG : 1;
    }
    memmove(w->rest, after, strlen(after) + 1);
    if (last)
        return w->place.is_dir || entry ? 0 : -ENOENT;
    if (!w->place.is_dir && entry)
        return entry->kind == ROOT_ENTRY_DENIED ? -EACCES : -ENOENT;
    return w->place.is_dir ? 1 : -ENOENT;
}

/* "/a/b", with nothing in it that resolving would take out? */
static bool walk_is_plain(const char *path, size_t n)
{
    if (n == 0 || path[0] != '/' || path[n - 1] == '/')
        return false;
    for (size_t i = 0; i < n; i++) {
        if (path[i] == '/' && (path[i + 1] == '/' || path[i + 1] == '.'))
            return false;
    }
    return true;
}

/*
 * The short way for most paths: true when no link, and no other entry that ends a path, stands
 * above this one. Such an entry has nothing below it, so it would stand right before path.
 */
static bool walk_at_once(const struct root_capture *c, const char *path, size_t n, bool follow,
                         struct capture_walk *w)
{
    struct str text = {path, n};
    size_t i = capture_lower_bound(c, text);
    if (i > 0 && c->entry[i - 1].kind != ROOT_ENTRY_DIR &&
        root_path_is_below(text, c->entry[i - 1].path))
        return false;
    w->place = capture_place_at(c, i, text);
    if (follow && w->place.entry && w->place.entry->kind == ROOT_ENTRY_LINK)
        return false;
    memcpy(w->done, path, n);
    w->n = n;
    return true;
}

/*
 * Resolve path; w->place says what is there. 0; -ENOENT when nothing was recorded there (w->done is
 * then the place where it stopped); or -errno.
 */
static int capture_walk(const struct root_capture *c, const char *path, bool follow,
                        struct capture_walk *w)
{
    size_t n = strlen(path);
    if (n >= sizeof(w->rest))
        return -ENAMETOOLONG;
    int r = 0;
    if (walk_is_plain(path, n) && walk_at_once(c, path, n, follow, w)) {
        r = w->place.entry || w->place.is_dir ? 0 : -ENOENT;
    } else {
        memcpy(w->rest, path, n + 1);
        w->n = 0;
        w->links = 0;
        w->place = capture_find(c, STR_NONE);
        do
            r = walk_step(c, w, follow);
        while (r > 0);
    }
    if (r < 0)
        return r;
    return w->place.entry && w->place.entry->kind == ROOT_ENTRY_ABSENT ? -ENOENT : 0;
}

/* Does the absence at the place where a walk stopped mean anything? */
static bool capture_knows_absent(const struct root_capture *c, const struct capture_walk *w)
{
    struct str path = {w->done, w->n};
    for (;;) {
        struct capture_place place = capture_find(c, path);
        if (place.entry)
            return place.entry->kind != ROOT_ENTRY_LINK && place.entry->kind != ROOT_ENTRY_DENIED;
        if (place.is_dir || path.n == 0)
            return false;
        while (path.n > 0 && path.p[path.n - 1] != '/')
            path.n--;
        if (path.n > 0)
            path.n--;
    }
}

/* capture_walk, where nothing recorded is -ENOENT or -ENODATA by the rules of root.h. */
static int capture_resolve(const struct root_capture *c, const char *path, bool follow,
                           struct capture_walk *w)
{
    int r = capture_walk(c, path, follow, w);
    return r == -ENOENT && !capture_knows_absent(c, w) ? -ENODATA : r;
}

int root_capture_read(const struct root_capture *c, const char *path, size_t max, struct buf *ret)
{
    struct capture_walk w;
    int r = capture_resolve(c, path, true, &w);
    if (r < 0)
        return r;
    if (w.place.is_dir)
        return -EISDIR;
    const struct root_entry *entry = w.place.entry;
    if (entry->kind == ROOT_ENTRY_DENIED)
        return -EACCES;
    if (entry->kind != ROOT_ENTRY_FILE)
        return -EINVAL;
    struct str content = entry->content;
    if (content.n > max)
        content.n = max;
    buf_add_str(ret, content);
    return buf_ok(ret) ? 0 : -ENOMEM;
}

int root_capture_readlink(const struct root_capture *c, const char *path, char *ret_target,
                          size_t size)
{
    struct capture_walk w;
    int r = capture_resolve(c, path, false, &w);
    if (r < 0)
        return r;
    const struct root_entry *entry = w.place.entry;
    if (!entry || entry->kind != ROOT_ENTRY_LINK)
        return -EINVAL;
    if (entry->content.n >= size)
        return -E2BIG;
    memcpy(ret_target, entry->content.p, entry->content.n);
    ret_target[entry->content.n] = '\0';
    return 0;
}

int root_capture_stat(const struct root_capture *c, const char *path, struct root_stat *ret_stat)
{
    struct capture_walk w;
    int r = capture_resolve(c, path, true, &w);
    if (r == -ENOENT || r == -ENODATA || r == -ELOOP) {
        /* There as a link that leads to nothing? */
        int seen = capture_walk(c, path, false, &w);
        if (seen < 0 || !w.place.entry || w.place.entry->kind != ROOT_ENTRY_LINK)
            return r;
    } else if (r < 0) {
        return r;
    }
    struct root_stat st = {.kind = ROOT_DIR, .mode = 0755, .uid = 0, .gid = 0};
    if (!w.place.is_dir) {
        const struct root_entry *entry = w.place.entry;
        st.mode = 0644;
        st.kind = ROOT_FILE;
        if (entry->kind == ROOT_ENTRY_DENIED) {
            st.mode = 0;
        } else if (entry->kind == ROOT_ENTRY_LINK) {
            st = (struct root_stat){ROOT_LINK, 0777, 0, 0};
        } else if (entry->kind == ROOT_ENTRY_CHAR) {
            st = (struct root_stat){ROOT_CHAR, entry->mode, entry->uid, entry->gid};
        }
    }
    *ret_stat = st;
    return 0;
}

/* The names right below directory dir; what has an `absent` line is not there. */
static int capture_list_names(const struct root_capture *c, struct str dir,
                              struct root_names *names)
{
    size_t capacity = 0;
    struct str last = STR_NONE;
    for (size_t i = capture_lower_bound(c, dir); i < c->n; i++) {
        struct str path = c->entry[i].path;
        if (str_eq(path, dir))
            continue;
        if (!root_path_is_below(path, dir))
            break;
        struct str name = {path.p + dir.n + 1, path.n - dir.n - 1};
        const char *slash = memchr(name.p, '/', name.n);
        if (slash)
            name.n = (size_t)(slash - name.p);
        if (c->entry[i].kind == ROOT_ENTRY_ABSENT || (last.p && str_eq(name, last)))
            continue;
        int r = root_names_add(names, &capacity, name);
        if (r < 0)
            return r;
        last = name;
    }
    return 0;
}

static int capture_compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int root_capture_list(const struct root_capture *c, const char *path, struct root_names *ret_names)
{
    struct capture_walk w;
    int r = capture_resolve(c, path, true, &w);
    if (r < 0)
        return r;
    if (!w.place.is_dir)
        return w.place.entry->kind == ROOT_ENTRY_DENIED ? -EACCES : -ENOTDIR;
    struct root_names names = {NULL, 0};
    r = capture_list_names(c, (struct str){w.done, w.n}, &names);
    if (r < 0) {
        root_names_done(&names);
        return r;
    }
    if (names.n) /* '/' sorts first in the array, but not in names */
        qsort(names.name, names.n, sizeof(*names.name), capture_compare_names);
    *ret_names = names;
    return 0;
}

int root_capture_try_open(const struct root_capture *c, const char *path)
{
    struct capture_walk w;
    int r = capture_resolve(c, path, true, &w);
    if (r < 0)
        return r;
    if (!w.place.entry || w.place.entry->kind != ROOT_ENTRY_CHAR)
        return -ENODEV;
    return w.place.entry->open_result;
}

bool root_capture_knows(const struct root_capture *c, const char *path)
{
    struct capture_walk w;
    int r = capture_walk(c, path, true, &w);
    if (r == 0 || r == -EACCES)
        return true;
    return r == -ENOENT && capture_knows_absent(c, &w);
}
