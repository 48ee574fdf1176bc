/* walk.c - follows the links of a path inside a directory or a capture, one component at a time. */
#include "sysroot/root_private.h"

#include <errno.h>

#define WALK_LINKS_MAX 40 /* as in the kernel */

/* What is at w->done, into w->place. */
static int walk_find(const struct root *root, struct root_walk *w)
{
    if (root->source == ROOT_SOURCE_CAPTURE) {
        w->place = root_capture_find(&root->capture, (struct str){w->done, w->n});
        return 0;
    }
    w->done[w->n] = '\0';
    return root_dir_find(root, w->n ? w->done : "/", false, w->target, &w->place);
}

static bool walk_found(const struct root_walk *w)
{
    return w->place.is_dir || w->place.entry.kind != ROOT_ENTRY_NONE;
}

static void walk_up(struct root_walk *w)
{
    const char *slash = memrchr(w->done, '/', w->n);
    w->n = slash ? (size_t)(slash - w->done) : 0;
}

/* Go on with a link's target and then with rest, which may point into w->rest. */
static int walk_set_rest(struct root_walk *w, struct str target, const char *rest)
{
    size_t n = strlen(rest);
    if (target.n + 1 + n + 1 > sizeof(w->rest))
        return -ENAMETOOLONG;
    memmove(w->rest + target.n + 1, rest, n + 1);
    memcpy(w->rest, target.p, target.n);
    w->rest[target.n] = '/';
    if (target.n && target.p[0] == '/')
        w->n = 0;
    if (w->own > n)
        w->own = n;
    return 0;
}

static int walk_add(struct root_walk *w, const char *name, size_t n)
{
    if (n == 2 && memcmp(name, "..", 2) == 0) {
        walk_up(w);
    } else if (n != 1 || name[0] != '.') {
        if (w->n + 1 + n >= sizeof(w->done))
            return -ENAMETOOLONG;
        w->done[w->n] = '/';
        memcpy(w->done + w->n + 1, name, n);
        w->n += 1 + n;
    }
    return 0;
}

/* One component more. 1 done, 0 end of the path, or -errno. */
static int walk_step(const struct root *root, struct root_walk *w, bool follow)
{
    const char *p = w->rest + strspn(w->rest, "/");
    size_t n = strcspn(p, "/");
    if (n == 0)
        return walk_find(root, w);
    const char *after = p + n;
    bool last = after[strspn(after, "/")] == '\0';
    w->in_target = strlen(p) > w->own;
    int r = walk_add(w, p, n);
    if (r == 0)
        r = walk_find(root, w);
    if (r < 0)
        return r;
    enum root_entry_kind kind = w->place.entry.kind;
    if (kind == ROOT_ENTRY_LINK && (follow || !last)) {
        if (++w->links > WALK_LINKS_MAX)
            return -ELOOP;
        walk_up(w);
        r = walk_set_rest(w, w->place.entry.content, after);
        return r < 0 ? r : 1;
    }
    memmove(w->rest, after, strlen(after) + 1);
    if (w->place.is_dir)
        return last ? 0 : 1;
    if (last)
        return kind == ROOT_ENTRY_NONE ? -ENOENT : 0;
    return kind == ROOT_ENTRY_DENIED ? -EACCES : -ENOENT;
}

/* "/a/b", with nothing in it that resolving would take out? */
static bool walk_is_plain(const char *path, size_t n)
{
    return n > 0 && path[0] == '/' && path[n - 1] != '/' && !strstr(path, "//") &&
           !strstr(path, "/.");
}

/* The short way for most paths of a capture. */
static bool walk_at_once(const struct root *root, struct str path, bool follow, struct root_walk *w)
{
    if (root->source != ROOT_SOURCE_CAPTURE || !walk_is_plain(path.p, path.n) ||
        !root_capture_find_at_once(&root->capture, path, &w->place) ||
        (follow && w->place.entry.kind == ROOT_ENTRY_LINK))
        return false;
    memcpy(w->done, path.p, path.n);
    w->n = path.n;
    return true;
}

static int walk_run(const struct root *root, const char *path, bool follow, struct root_walk *w)
{
    size_t n = strlen(path);
    if (n >= sizeof(w->rest))
        return -ENAMETOOLONG;
    int r = 0;
    if (walk_at_once(root, (struct str){path, n}, follow, w)) {
        r = walk_found(w) ? 0 : -ENOENT;
    } else {
        memcpy(w->rest, path, n + 1);
        w->n = 0;
        w->own = n;
        w->links = 0;
        w->in_target = false;
        do
            r = walk_step(root, w, follow);
        while (r > 0);
    }
    return r == 0 && w->place.entry.kind == ROOT_ENTRY_ABSENT ? -ENOENT : r;
}

/* Does the absence at the place where a walk stopped mean anything? */
static bool walk_knows_absent(const struct root *root, struct root_walk *w)
{
    if (root->source == ROOT_SOURCE_DIRECTORY && w->in_target)
        return false; /* what a link leads to was not copied */
    for (;;) {
        if (walk_find(root, w) < 0)
            return false;
        enum root_entry_kind kind = w->place.entry.kind;
        if (kind != ROOT_ENTRY_NONE)
            return kind != ROOT_ENTRY_LINK && kind != ROOT_ENTRY_DENIED;
        if (w->place.is_dir || w->n == 0)
            return false;
        walk_up(w);
    }
}

int root_walk(const struct root *root, const char *path, bool follow, struct root_walk *w)
{
    if (root_is_live(root)) {
        int live = root_dir_find(root, path, follow, w->target, &w->place);
        return live < 0 || walk_found(w) ? live : -ENOENT;
    }
    int r = walk_run(root, path, follow, w);
    return r == -ENOENT && !walk_knows_absent(root, w) ? -ENODATA : r;
}
