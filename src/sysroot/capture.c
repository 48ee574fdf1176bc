/* capture.c - the entries of a .machine text: paths looked up in a sorted array. */
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

void root_capture_done(struct root_capture *capture)
{
    free(capture->entry);
    free(capture->text);
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

/* At path, whose lower bound is i. */
static struct root_place capture_place_at(const struct root_capture *c, size_t i, struct str path)
{
    struct root_place place = {.entry = {.mode = 0755}, .is_dir = path.n == 0};
    if (i < c->n && str_eq(c->entry[i].path, path)) {
        place.entry = c->entry[i];
        place.is_dir |= place.entry.kind == ROOT_ENTRY_DIR;
        i++;
    }
    place.is_dir |= i < c->n && root_path_is_below(c->entry[i].path, path);
    return place;
}

struct root_place root_capture_find(const struct root_capture *c, struct str path)
{
    return capture_place_at(c, capture_lower_bound(c, path), path);
}

/* An entry that ends a path has nothing below it, so it would stand right before path. */
bool root_capture_find_at_once(const struct root_capture *c, struct str path,
                               struct root_place *ret_place)
{
    size_t i = capture_lower_bound(c, path);
    if (i > 0 && c->entry[i - 1].kind != ROOT_ENTRY_DIR &&
        root_path_is_below(path, c->entry[i - 1].path))
        return false;
    *ret_place = capture_place_at(c, i, path);
    return true;
}

/* The names right below directory dir; what has an `absent` line is not there. */
int root_capture_list(const struct root_capture *c, struct str dir, struct root_names *names)
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
