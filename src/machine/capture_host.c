/*
 * capture_host.c - the parts of a capture that are not copies: facts that no file holds, and files
 * that hold more than others should see, rewritten from what we understood of them.
 */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static void capture_facts(struct machine_capture *c, const struct machine *m)
{
    char text[160];
    machine_capture_add_fact(c, MACHINE_FACTS "/glibc", m->host.glibc);
    machine_capture_add_fact(c, MACHINE_FACTS "/arch", m->host.arch);
    machine_capture_add_fact(c, MACHINE_FACTS "/container", m->host.container);
    machine_capture_add_fact(c, MACHINE_FACTS "/vm", m->host.vm);
    if (m->host.override_set) { /* be it empty */
        struct buf line = BUF_INIT(400);
        root_write_file(&line, MACHINE_FACTS "/override_gfx", str_from(m->host.override_gfx));
        machine_capture_add(c, MACHINE_FACTS "/override_gfx", &line);
    }
    uint64_t page = 4096;
    if (m->live)
        page = (uint64_t)sysconf(_SC_PAGESIZE);
    else
        machine_read_number(c->root, &page, MACHINE_FACTS "/page_size");
    if (page != 4096) {
        snprintf(text, sizeof(text), "%" PRIu64, page);
        machine_capture_add_fact(c, MACHINE_FACTS "/page_size", text);
    }
    if (m->host.cpu[0]) { /* the file itself holds serial numbers on some boards */
        snprintf(text, sizeof(text), "model name\t: %s", m->host.cpu);
        machine_capture_add_fact(c, "/proc/cpuinfo", text);
    }
    if (m->host.cgroup_limit_bytes) { /* a cgroup's path holds names of users and services */
        machine_capture_add_fact(c, "/proc/self/cgroup", "0::/");
        snprintf(text, sizeof(text), "%" PRIu64, m->host.cgroup_limit_bytes);
        machine_capture_add_fact(c, "/sys/fs/cgroup/memory.max", text);
    }
}

static void capture_group(const struct root *root, const char *node, struct buf *text)
{
    struct root_stat st;
    char name[32] = "", line[64];
    if (root_stat(root, node, &st) < 0)
        return;
    machine_read_group(root, (unsigned)st.gid, name);
    snprintf(line, sizeof(line), "%s:x:%u:\n", name, (unsigned)st.gid);
    if (name[0] && !str_has(buf_view(text), str_from(line)))
        buf_add_text(text, line);
}

/* Of /etc/group only the names of the groups that own our device nodes, without their members. */
static void capture_groups(struct machine_capture *c)
{
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    struct buf line = BUF_INIT(8192);
    struct root_names nodes;
    capture_group(c->root, "/dev/kfd", &text);
    capture_group(c->root, "/dev/dxg", &text);
    if (root_list(c->root, "/dev/dri", &nodes) == 0) {
        for (size_t i = 0; i < nodes.n; i++) {
            char path[MACHINE_PATH_MAX];
            snprintf(path, sizeof(path), "/dev/dri/%s", nodes.name[i]);
            if (str_starts(str_from(nodes.name[i]), STR("renderD")))
                capture_group(c->root, path, &text);
        }
        root_names_done(&nodes);
    }
    if (text.n)
        root_write_file(&line, "/etc/group", buf_view(&text));
    machine_capture_add(c, "/etc/group", &line);
}

/* "/home/NAME/lib.so" -> "/home/user/lib.so" */
static void capture_hide_home(char *path, size_t size)
{
    char hidden[MACHINE_PATH_MAX];
    if (strncmp(path, "/home/", 6) != 0)
        return;
    const char *rest = strchr(path + 6, '/');
    snprintf(hidden, sizeof(hidden), "/home/user%s", rest ? rest : "");
    snprintf(path, size, "%s", hidden);
}

/* Without "//", "/./" and "/../", as text. */
static void capture_simplify(char *path)
{
    size_t n = 0;
    struct str rest = str_from(path), part;
    while (str_cut(&rest, '/', &part)) {
        if (part.n == 0 || str_is(part, "."))
            continue;
        if (str_is(part, "..")) {
            while (n > 0 && path[--n] != '/')
                continue;
            continue;
        }
        path[n] = '/';
        memmove(path + n + 1, part.p, part.n);
        n += 1 + part.n;
    }
    path[n] = '\0';
}

static void capture_mark_library(struct machine_capture *c, const char *path, enum tri state)
{
    char simple[MACHINE_PATH_MAX + 1];
    snprintf(simple, sizeof(simple), "%s", path);
    capture_simplify(simple);
    capture_hide_home(simple, sizeof(simple));
    char mesa[MACHINE_MESA_MAX], text[MACHINE_MESA_MAX + 8];
    if (state == TRI_YES)
        machine_read_mesa(c->root, path, mesa);
    if (state == TRI_YES && mesa[0] && simple[0]) { /* its version stands for the whole file */
        snprintf(text, sizeof(text), "Mesa %s", mesa);
        machine_capture_add_fact(c, simple, text);
    } else if (simple[0]) {
        machine_capture_mark(c, simple, state);
    }
}

static void capture_library(struct machine_capture *c, const char *arch, const char *dir,
                            char *library, size_t size)
{
    char path[MACHINE_PATH_MAX];
    if (library[0] == '/') {
        capture_mark_library(c, library, machine_library_state(c->root, arch, library));
        capture_simplify(library);
        capture_hide_home(library, size);
        return;
    }
    if (strchr(library, '/')) {
        int n = snprintf(path, sizeof(path), "%s/%s", dir, library);
        if (n > 0 && n < MACHINE_PATH_MAX)
            capture_mark_library(c, path, machine_library_state(c->root, arch, path));
        return;
    }
    for (size_t i = 0; machine_library_dirs[i]; i++) {
        int n = snprintf(path, sizeof(path), "%s/%s", machine_library_dirs[i], library);
        if (n > 0 && n < MACHINE_PATH_MAX && machine_library_state(c->root, arch, path) == TRI_YES)
            capture_mark_library(c, path, TRI_YES);
    }
}

static void capture_manifest(struct machine_capture *c, const char *arch, const char *dir,
                             const char *name)
{
    char path[MACHINE_PATH_MAX], library[MACHINE_PATH_MAX], library_arch[16];
    struct buf CLEAN_BUF json = BUF_INIT(64 << 10);
    struct buf line = BUF_INIT(8192);
    int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (n < 0 || n >= MACHINE_PATH_MAX || !str_ends(str_from(name), STR(".json")) ||
        root_read(c->root, path, 64 << 10, &json) < 0)
        return;
    if (machine_parse_manifest(buf_view(&json), library, sizeof(library), library_arch,
                               sizeof(library_arch)) < 0 ||
        strpbrk(library, "\"\\") || strpbrk(library_arch, "\"\\")) {
        root_write_file(&line, path, STR_NONE);
        machine_capture_add(c, path, &line);
        return;
    }
    capture_library(c, arch, dir, library, sizeof(library));
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    buf_addf(&text, "{\"ICD\": {\"library_path\": \"%s\"", library);
    if (library_arch[0])
        buf_addf(&text, ", \"library_arch\": \"%s\"", library_arch);
    buf_add_text(&text, "}}");
    root_write_file(&line, path, buf_view(&text));
    machine_capture_add(c, path, &line);
}

/* Where the loader was found, or that it was not. */
static void capture_loader(struct machine_capture *c, const char *arch)
{
    char path[MACHINE_PATH_MAX];
    bool found = false;
    for (int pass = 0; pass < 2 && !found; pass++) {
        for (size_t i = 0; machine_library_dirs[i] && !found; i++) {
            snprintf(path, sizeof(path), "%s/libvulkan.so.1", machine_library_dirs[i]);
            enum tri state = machine_library_state(c->root, arch, path);
            found = state == TRI_YES;
            if (found || pass == 1)
                machine_capture_mark(c, path, state);
        }
    }
}

void machine_capture_vulkan(struct machine_capture *c, const char *arch)
{
    capture_loader(c, arch);
    for (size_t i = 0; machine_manifest_dirs[i]; i++) {
        const char *dir = machine_manifest_dirs[i];
        struct root_names names = {NULL, 0};
        struct buf line = BUF_INIT(MACHINE_PATH_MAX);
        int r = root_list(c->root, dir, &names);
        if (r == 0)
            root_write_mark(&line, "dir", dir);
        else if (r == -ENOENT)
            root_write_mark(&line, "absent", dir);
        machine_capture_add(c, dir, &line);
        for (size_t k = 0; k < names.n; k++)
            capture_manifest(c, arch, dir, names.name[k]);
        root_names_done(&names);
    }
}

void machine_capture_host(struct machine_capture *c)
{
    struct machine m = {.live = root_is_live(c->root)};
    machine_read_host(c->root, &m);
    machine_read_memory(c->root, &m);
    machine_read_container(c->root, &m);
    machine_read_virtual(c->root, &m);
    capture_facts(c, &m);
    capture_groups(c);
    machine_capture_boot(c);
    machine_capture_vulkan(c, m.host.arch);
}
