/*
 * vulkan.c - the Vulkan loader and the drivers that its manifests name, from files alone: a driver
 * loaded into our process could crash it.
 */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <stdio.h>

/* Where programs of this computer find libraries without help. */
const char *const machine_library_dirs[] = {
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/lib64",
    "/lib",
    "/usr/local/lib64",
    "/usr/local/lib",
    "/run/opengl-driver/lib",
    "/run/current-system/sw/lib",
    NULL,
};

/* The loader's system directories, in its order, then NixOS's and flatpak's. */
const char *const machine_manifest_dirs[] = {
    "/etc/xdg/vulkan/icd.d",
    "/usr/local/etc/vulkan/icd.d",
    "/etc/vulkan/icd.d",
    "/usr/local/share/vulkan/icd.d",
    "/usr/share/vulkan/icd.d",
    "/run/opengl-driver/share/vulkan/icd.d",
    "/usr/lib/x86_64-linux-gnu/GL/vulkan/icd.d",
    NULL,
};

/* Drivers by the name in their manifest's file name. */
static const struct vulkan_kind {
    const char *file, *name;
    bool amd, software;
} vulkan_kinds[] = {
    {"radeon", "radeon", true, false},
    {"amd", "amdvlk", true, false},
    {"amdvlk", "amdvlk", true, false},
    {"amd_pro", "amd_pro", true, false},
    {"lvp", "lvp", false, true},
    {"vk_swiftshader", "swiftshader", false, true},
    {"swiftshader", "swiftshader", false, true},
};

extern const char machine_data_releases[], machine_data_releases_end[];

void machine_releases_open(struct table *t)
{
    TABLE_OPEN(t, "data/releases.tsv", machine_data_releases, "id", "version", "mesa", "source");
}

/* ELF class and e_machine; 0 0 when it is no ELF file (a capture holds empty ones). */
static void vulkan_read_elf(const struct root *root, const char *path, unsigned *ret_class,
                            unsigned *ret_machine)
{
    struct buf CLEAN_BUF head = BUF_INIT(20);
    *ret_class = *ret_machine = 0;
    if (root_read(root, path, 20, &head) < 0 || head.n < 20 || memcmp(head.p, "\177ELF", 4) != 0)
        return;
    *ret_class = (unsigned char)head.p[4];
    *ret_machine = (unsigned)(unsigned char)head.p[18] | (unsigned)(unsigned char)head.p[19] << 8;
}

enum tri machine_library_state(const struct root *root, const char *arch, const char *path)
{
    enum tri state = machine_path_state(root, path);
    if (state != TRI_YES)
        return state;
    unsigned class, machine;
    vulkan_read_elf(root, path, &class, &machine);
    if (class == 1)
        return TRI_NO;
    if ((strcmp(arch, "x86_64") == 0 && machine && machine != 62) ||
        (strcmp(arch, "aarch64") == 0 && machine && machine != 183))
        return TRI_NO;
    return TRI_YES;
}

/* A library looked up by its bare name; ret_path is where it is when the answer is yes. */
static enum tri vulkan_find_library(const struct root *root, const char *arch, const char *name,
                                    char ret_path[static MACHINE_PATH_MAX])
{
    enum tri result = TRI_UNKNOWN;
    for (size_t i = 0; machine_library_dirs[i]; i++) {
        int n = snprintf(ret_path, MACHINE_PATH_MAX, "%s/%s", machine_library_dirs[i], name);
        if (n < 0 || n >= MACHINE_PATH_MAX)
            return TRI_UNKNOWN;
        enum tri state = machine_library_state(root, arch, ret_path);
        if (state == TRI_YES)
            return TRI_YES;
        if (state == TRI_NO)
            result = TRI_NO;
    }
    return result;
}

/* A manifest's library: an absolute path, one relative to the manifest, or a bare name. */
static enum tri vulkan_find_driver(const struct root *root, const char *arch, const char *dir,
                                   const char *library, char ret_path[static MACHINE_PATH_MAX])
{
    if (!strchr(library, '/')) {
        /* The system may have more library directories than we look into. */
        enum tri found = vulkan_find_library(root, arch, library, ret_path);
        return found == TRI_NO ? TRI_UNKNOWN : found;
    }
    bool absolute = library[0] == '/';
    int n = snprintf(ret_path, MACHINE_PATH_MAX, "%s%s%s", absolute ? "" : dir, absolute ? "" : "/",
                     library);
    return n < 0 || n >= MACHINE_PATH_MAX ? TRI_UNKNOWN
                                          : machine_library_state(root, arch, ret_path);
}

/*
 * "radeon_icd.x86_64.json" -> "radeon" and "x86_64"; "amd_icd64.json" -> "amd" and "64". false when
 * it is no manifest.
 */
static bool vulkan_split_name(struct str file, struct str *ret_name, struct str *ret_arch)
{
    *ret_arch = STR_NONE;
    if (!str_ends(file, STR(".json")) || file.n == 5)
        return false;
    file.n -= 5;
    const char *dot = memrchr(file.p, '.', file.n);
    if (dot) {
        *ret_arch = (struct str){dot + 1, file.n - (size_t)(dot + 1 - file.p)};
        file.n = (size_t)(dot - file.p);
    } else if (str_ends(file, STR("64")) || str_ends(file, STR("32"))) {
        *ret_arch = (struct str){file.p + file.n - 2, 2};
        file.n -= 2;
    }
    if (str_ends(file, STR("_icd")) && file.n > 4)
        file.n -= 4;
    *ret_name = file;
    return file.n > 0;
}

/* May a driver of this architecture serve this computer? Words that are no architecture may. */
static bool vulkan_arch_fits(struct str arch, const char *host)
{
    static const char *const others[] = {"i686",   "i386", "i586",    "32",    "x86",
                                         "armv7l", "arm",  "ppc64le", "s390x", "riscv64"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (str_is(arch, others[i]))
            return strcmp(host, others[i]) == 0;
    }
    if (host[0] && (str_is(arch, "x86_64") || str_is(arch, "aarch64")))
        return str_is(arch, host);
    return true;
}

static void vulkan_classify(struct machine_vulkan_driver *driver, struct str name)
{
    snprintf(driver->name, sizeof(driver->name), "%.*s", STR_ARG(name));
    /* The proprietary driver comes with AMDVLK's manifest name in its own directory. */
    if (driver->library &&
        (strstr(driver->library, "amdgpu-pro") || strstr(driver->library, "amdvlkpro")))
        name = STR("amd_pro");
    for (size_t i = 0; i < sizeof(vulkan_kinds) / sizeof(vulkan_kinds[0]); i++) {
        if (!str_is(name, vulkan_kinds[i].file))
            continue;
        snprintf(driver->name, sizeof(driver->name), "%s", vulkan_kinds[i].name);
        driver->amd = vulkan_kinds[i].amd;
        driver->software = vulkan_kinds[i].software;
    }
}

/* Of the driver's file; on a captured computer, else the newest of its release. */
static void vulkan_read_mesa(const struct root *root, const struct machine *m, const char *path,
                             struct machine_vulkan_driver *driver)
{
    enum { RELEASE_ID, RELEASE_VERSION, RELEASE_MESA };
    struct table t;
    struct table_row row;
    machine_read_mesa(root, path, driver->mesa);
    if (driver->mesa[0] || m->live)
        return;
    machine_releases_open(&t);
    while (table_next(&t, &row, NULL) == 1) {
        if (!str_is(row.field[RELEASE_ID], m->host.distro_id) ||
            !str_is(row.field[RELEASE_VERSION], m->host.distro_version))
            continue;
        snprintf(driver->mesa, sizeof(driver->mesa), "%.*s", STR_ARG(row.field[RELEASE_MESA]));
        driver->mesa_of_release = true;
    }
}

static int vulkan_add(struct machine *m, struct machine_vulkan_driver *driver)
{
    size_t n = m->vulkan.n_drivers;
    struct machine_vulkan_driver *grown = reallocarray(m->vulkan.driver, n + 1, sizeof(*grown));
    if (!grown || !driver->icd) {
        if (grown)
            m->vulkan.driver = grown;
        free(driver->icd);
        free(driver->library);
        return -ENOMEM;
    }
    grown[n] = *driver;
    m->vulkan.driver = grown;
    m->vulkan.n_drivers = n + 1;
    return 0;
}

static int vulkan_read_manifest(const struct root *root, struct machine *m, const char *dir,
                                const char *file)
{
    struct str name, arch;
    char path[MACHINE_PATH_MAX], library[MACHINE_PATH_MAX], library_arch[16];
    char path_of[MACHINE_PATH_MAX];
    if (!vulkan_split_name(str_from(file), &name, &arch) || !vulkan_arch_fits(arch, m->host.arch))
        return 0;
    int n = snprintf(path, sizeof(path), "%s/%s", dir, file);
    struct buf CLEAN_BUF json = BUF_INIT(64 << 10);
    if (n < 0 || n >= MACHINE_PATH_MAX || root_read(root, path, 64 << 10, &json) < 0)
        return 0;
    struct machine_vulkan_driver driver = {.library_found = TRI_UNKNOWN};
    if (machine_parse_manifest(buf_view(&json), library, sizeof(library), library_arch,
                               sizeof(library_arch)) == 0) {
        if (!vulkan_arch_fits(str_from(library_arch), m->host.arch))
            return 0;
        driver.library_found = vulkan_find_driver(root, m->host.arch, dir, library, path_of);
        if (driver.library_found == TRI_YES) {
            machine_read_build_id(root, path_of, driver.build_id);
            if (str_is(name, "radeon"))
                vulkan_read_mesa(root, m, path_of, &driver);
        }
        driver.library = str_dup(str_from(library));
    }
    driver.icd = str_dup(str_from(path));
    vulkan_classify(&driver, name);
    return vulkan_add(m, &driver);
}

static int vulkan_read_dir(const struct root *root, struct machine *m, const char *dir)
{
    struct root_names names = {NULL, 0};
    int r = root_list(root, dir, &names);
    if (r == 0 || r == -ENOENT)
        m->vulkan.known = TRI_YES;
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    r = 0;
    for (size_t i = 0; r == 0 && i < names.n && m->vulkan.n_drivers < 64; i++)
        r = vulkan_read_manifest(root, m, dir, names.name[i]);
    root_names_done(&names);
    return r;
}

int machine_read_vulkan(const struct root *root, struct machine *m)
{
    m->vulkan.known = TRI_UNKNOWN;
    char path[MACHINE_PATH_MAX];
    m->vulkan.loader = vulkan_find_library(root, m->host.arch, "libvulkan.so.1", path);
    int r = 0;
    for (size_t i = 0; r == 0 && machine_manifest_dirs[i]; i++)
        r = vulkan_read_dir(root, m, machine_manifest_dirs[i]);
    return r;
}
