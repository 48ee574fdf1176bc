/* host.c - kernel, distribution, C library, processor. */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <dlfcn.h>
#include <stdio.h>
#include <sys/utsname.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

static void host_copy(char *ret, size_t size, struct str s)
{
    snprintf(ret, size, "%.*s", STR_ARG(s));
}

/* NAME=value, 'value' or "value" of os-release(5); escapes are left as they are. */
static void host_read_distribution(const struct root *root, struct machine *m)
{
    struct buf CLEAN_BUF text = BUF_INIT(16 << 10);
    if (root_read(root, "/etc/os-release", 16 << 10, &text) < 0 &&
        root_read(root, "/usr/lib/os-release", 16 << 10, &text) < 0)
        return;
    const struct {
        const char *name;
        char *to;
        size_t size;
    } wanted[] = {
#define WANTED(name, member) {name, m->host.member, sizeof(m->host.member)}
        WANTED("PRETTY_NAME", distribution),
        WANTED("ID", distro_id),
        WANTED("ID_LIKE", distro_like),
        WANTED("VERSION_ID", distro_version),
        WANTED("VERSION_CODENAME", distro_codename),
#undef WANTED
    };
    struct str rest = buf_view(&text), name, value;
    while (str_pair(&rest, '=', &name, &value)) {
        if (value.n >= 2 && strchr("\"'", value.p[0]) && value.p[value.n - 1] == value.p[0])
            value = (struct str){value.p + 1, value.n - 2};
        for (size_t i = 0; value.n && i < sizeof(wanted) / sizeof(wanted[0]); i++) {
            if (str_is(name, wanted[i].name))
                host_copy(wanted[i].to, wanted[i].size, value);
        }
    }
}

/* On a described or captured computer: apt's program, else whether the distribution is of Debian's
 * kind. */
static void host_read_apt(const struct root *root, struct machine *m)
{
    struct str id = str_from(m->host.distro_id), like = str_from(m->host.distro_like);
    enum tri apt = machine_path_state(root, "/usr/bin/apt-get");
    bool debian = str_is(id, "debian") || str_is(id, "ubuntu") ||
                  str_list_has(like, STR("debian")) || str_list_has(like, STR("ubuntu"));
    m->host.no_apt = !m->live && id.n && !debian && apt != TRI_YES;
}

/* The version in the C library's own banner, for a copy of a computer: "... version 2.36." */
static void host_read_libc(const struct root *root, const char *path, struct machine *m)
{
    struct buf CLEAN_BUF text = BUF_INIT(8 << 20);
    if (root_read(root, path, 8 << 20, &text) < 0)
        return;
    static const char banner[] = "GNU C Library ", word[] = "version ";
    const char *p = text.n ? memmem(text.p, text.n, banner, sizeof(banner) - 1) : NULL;
    if (!p)
        return;
    size_t left = text.n - (size_t)(p - text.p);
    const char *found = memmem(p, left < 200 ? left : 200, word, sizeof(word) - 1);
    if (!found)
        return;
    struct str version = {found + sizeof(word) - 1, 0};
    const char *end = text.p + text.n;
    while (version.p + version.n < end && strchr("0123456789.", version.p[version.n]) &&
           version.p[version.n] != '\0')
        version.n++;
    while (version.n && version.p[version.n - 1] == '.')
        version.n--;
    host_copy(m->host.glibc, sizeof(m->host.glibc), version);
}

/* The C library that this program runs with; NULL: not glibc. ret_is_system: it is this computer's.
 * A portable archive brings one of its own, which says nothing about the computer. */
static const char *host_own_glibc(bool *ret_is_system)
{
    *ret_is_system = false;
#ifdef __GLIBC__
    Dl_info library;
    if (dladdr((const void *)(uintptr_t)gnu_get_libc_version, &library) && library.dli_fname)
        *ret_is_system = strncmp(library.dli_fname, "/lib", 4) == 0 ||
                         strncmp(library.dli_fname, "/usr/lib", 8) == 0;
    return gnu_get_libc_version();
#else
    return NULL;
#endif
}

static void host_read_glibc(const struct root *root, struct machine *m)
{
    static const char *const libraries[] = {
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib/aarch64-linux-gnu/libc.so.6",
        "/lib64/libc.so.6",
        "/usr/lib/libc.so.6",
    };
    bool is_system = false;
    const char *own = m->live ? host_own_glibc(&is_system) : NULL;
    if (own && is_system) {
        host_copy(m->host.glibc, sizeof(m->host.glibc), str_from(own));
        return;
    }
    machine_read_line(root, m->host.glibc, sizeof(m->host.glibc), MACHINE_FACTS "/glibc");
    for (size_t i = 0; i < 4 && !m->host.glibc[0]; i++)
        host_read_libc(root, libraries[i], m);
    if (own && !m->host.glibc[0])
        host_copy(m->host.glibc, sizeof(m->host.glibc), str_from(own));
}

static void host_read_arch(const struct root *root, struct machine *m)
{
    static const char *const loaders[][2] = {
        {"/lib64/ld-linux-x86-64.so.2", "x86_64"},
        {"/lib/ld-linux-aarch64.so.1", "aarch64"},
    };
    struct utsname name;
    if (m->live && uname(&name) == 0) {
        host_copy(m->host.arch, sizeof(m->host.arch), str_from(name.machine));
        return;
    }
    machine_read_line(root, m->host.arch, sizeof(m->host.arch), MACHINE_FACTS "/arch");
    for (size_t i = 0; i < 2 && !m->host.arch[0]; i++) {
        if (machine_has_path(root, loaders[i][0]))
            host_copy(m->host.arch, sizeof(m->host.arch), str_from(loaders[i][1]));
    }
}

/* Only the beginning: with hundreds of processors the whole file takes the kernel milliseconds. */
static void host_read_cpu(const struct root *root, struct machine *m)
{
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    if (root_read(root, "/proc/cpuinfo", 4096, &text) < 0)
        return;
    struct str rest = buf_view(&text), name, value;
    while (str_pair(&rest, ':', &name, &value)) {
        if (str_is(name, "model name") || str_is(name, "Model") || str_is(name, "cpu")) {
            host_copy(m->host.cpu, sizeof(m->host.cpu), value);
            return;
        }
    }
}

/* "0-15,32-47" */
static unsigned host_count_list(struct str list)
{
    uint64_t count = 0;
    struct str range;
    while (str_cut(&list, ',', &range)) {
        struct str first;
        uint64_t low, high;
        if (!str_cut(&range, '-', &first) || str_to_u64(first, 10, &low) < 0)
            return 0;
        high = low;
        if ((range.p && str_to_u64(range, 10, &high) < 0) || high < low || high > 1 << 20)
            return 0;
        count += high - low + 1;
    }
    return count <= 1 << 20 ? (unsigned)count : 0;
}

void machine_read_host(const struct root *root, struct machine *m)
{
    host_copy(m->host.os, sizeof(m->host.os), STR("linux"));
    machine_read_line(root, m->host.kernel, sizeof(m->host.kernel), "/proc/sys/kernel/osrelease");
    host_read_distribution(root, m);
    host_read_apt(root, m);
    host_read_glibc(root, m);
    host_read_arch(root, m);
    host_read_cpu(root, m);
    char online[256];
    if (machine_read_line(root, online, sizeof(online), "/sys/devices/system/cpu/online") == 0)
        m->host.cpus = host_count_list(str_from(online));
    machine_read_line(root, m->host.amdgpu_version, sizeof(m->host.amdgpu_version),
                      "/sys/module/amdgpu/version");
}
