/* fuzz_archive_names.c - any bytes as an archive entry's name and, behind the first NUL, as the
 * target of a link there. What is let through must stay inside: checked here in another way than
 * the code under test does it. */
#include "package/unpack/unpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_clean(struct str path)
{
    struct str part, rest = path;
    if (path.n && (path.p[0] == '/' || path.p[path.n - 1] == '/'))
        __builtin_trap();
    if (path.n > ENTRY_PATH_MAX || memchr(path.p ? path.p : "", '\\', path.n))
        __builtin_trap();
    for (size_t i = 0; i < path.n; i++) {
        if ((unsigned char)path.p[i] < 0x20 || path.p[i] == 0x7f)
            __builtin_trap();
    }
    while (path.n && str_cut(&rest, '/', &part)) {
        if (!part.n || part.n > ENTRY_NAME_MAX || str_is(part, ".") || str_is(part, ".."))
            __builtin_trap();
    }
}

/* Walk from the link's directory along its target: never above the top, and never up after down,
 * where a link in between could make it more than it looks. */
static void check_link(struct str path, struct str target)
{
    long depth = 0;
    bool down = false;
    struct str part;
    for (size_t i = 0; i < path.n; i++)
        depth += path.p[i] == '/';
    if (target.p[0] == '/')
        __builtin_trap();
    while (str_cut(&target, '/', &part)) {
        bool up = str_is(part, "..");
        if (up && (down || --depth < 0))
            __builtin_trap();
        down = down || (!up && part.n && !str_is(part, "."));
    }
}

static void check_shown(struct str name)
{
    char text[64];
    entry_path_show(name, text, sizeof(text));
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
            __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str name = {(const char *)data, size}, target = STR_NONE;
    const char *nul = size ? memchr(data, '\0', size) : NULL;
    struct buf path = BUF_INIT(ENTRY_PATH_MAX + 1);
    if (nul) {
        name.n = (size_t)(nul - name.p);
        target = (struct str){nul + 1, size - name.n - 1};
    }
    check_shown(name);
    if (!entry_path_clean(name, &path)) {
        struct entry_set set = {0};
        check_clean(buf_view(&path));
        if (path.n && !entry_link_problem(buf_view(&path), target))
            check_link(buf_view(&path), target);
        /* No file comes twice; a clean path is its own clean form. */
        struct buf again = BUF_INIT(ENTRY_PATH_MAX + 1);
        if (path.n && (entry_path_clean(buf_view(&path), &again) ||
                       !str_eq(buf_view(&path), buf_view(&again))))
            __builtin_trap();
        buf_done(&again);
        if (path.n && (entry_set_add(&set, buf_text(&path), false) ||
                       !entry_set_add(&set, buf_text(&path), false)))
            __builtin_trap();
        entry_set_done(&set);
    }
    buf_done(&path);
    return 0;
}
