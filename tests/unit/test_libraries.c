/* test_libraries.c - what the engine of a package asks for and does not find, as the dynamic loader
 * would look. The ELF files are built here byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "elf_builder.h"
#include "package/package_private.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>

/* ---- a place with files ---- */

struct place {
    char dir[64];
    char pkg[80];
    struct root *root;
    struct package_env env;
};

static int place_setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    snprintf(p->dir, sizeof(p->dir), "/tmp/gfxbridge-libraries-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->pkg, sizeof(p->pkg), "%s/pkg", p->dir);
    assert_int_equal(root_new("/", &p->root, NULL), 0);
    p->env.root = p->root;
    *state = p;
    return 0;
}

static int place_teardown(void **state)
{
    struct place *p = *state;
    root_free(p->root);
    assert_int_equal(fs_remove_tree(p->dir), 0);
    free(p);
    return 0;
}

static void put_bytes(const struct place *p, const char *name, struct str bytes)
{
    char *path = fs_join(p->dir, name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_int_equal(fs_make_dirs(path, 0755, NULL), 0);
    *slash = '/';
    assert_int_equal(fs_write(path, bytes.p ? bytes.p : "", bytes.n, 0644, NULL), 0);
    free(path);
}

/* A library that asks for others. */
static void put_library(const struct place *p, const char *name, const char *needed,
                        const char *run_path)
{
    struct buf b = bytes_new();
    struct elf_spec spec = {
        .type = ET_DYN, .machine = EM_X86_64, .needed = needed, .run_path = run_path};
    build_elf(&b, &spec);
    put_bytes(p, name, buf_view(&b));
    buf_done(&b);
}

static void put_program(const struct place *p, const char *name, const char *needed,
                        const char *run_path)
{
    struct buf b = bytes_new();
    struct elf_spec spec = {.type = ET_DYN,
                            .machine = EM_X86_64,
                            .needed = needed,
                            .run_path = run_path,
                            .interpreted = true};
    build_elf(&b, &spec);
    put_bytes(p, name, buf_view(&b));
    buf_done(&b);
}

/* ---- of everything that was inspected ---- */

/* The missing sonames, blank-separated; "?" when they are not known. */
static void assert_missing(const struct place *p, const char *path, const char *expected)
{
    struct inspection found;
    struct names missing = {0};
    struct buf text = bytes_new();
    char *full = fs_join(p->dir, path);
    assert_int_equal(inspect_path(full, NULL, false, &found, NULL), 0);
    if (!package_find_missing(p->env.root, full, &found, &missing))
        buf_add_text(&text, "?");
    for (size_t i = 0; i < missing.n; i++)
        buf_addf(&text, "%s%s", i ? " " : "", missing.name[i]);
    assert_string_equal(buf_text(&text), expected);
    inspection_done(&found);
    names_done(&missing);
    buf_done(&text);
    free(full);
}

static void put_package(const struct place *p)
{
    put_program(p, "pkg/bin/llama-server", "libggml.so.0 libc.so.6", "$ORIGIN");
    put_library(p, "pkg/bin/libggml.so.0", "libggml-hip.so libc.so.6", "$ORIGIN/hip");
    put_library(p, "pkg/bin/hip/libggml-hip.so", "librocblas.so.5 libgfxbridge-nowhere.so.9",
                "${ORIGIN}/../../lib");
    put_library(p, "pkg/lib/librocblas.so.5", "", NULL);
}

static void package_as_a_whole(void **state)
{
    const struct place *p = *state;
    put_package(p);
    assert_missing(p, "pkg", "libgfxbridge-nowhere.so.9");
    /* Of a single file only what it asks for itself counts. */
    assert_missing(p, "pkg/bin/llama-server", "");
    assert_missing(p, "pkg/bin/hip/libggml-hip.so", "libgfxbridge-nowhere.so.9");
}

/* A library in a directory where nothing looks is missing; with a manifest that says that the
 * engine is started with that directory, or with a run path to it, it is not. */
static void directories_that_are_looked_in(void **state)
{
    const struct place *p = *state;
    put_library(p, "pkg/lib/libuser.so", "libodd.so.1", NULL);
    put_library(p, "pkg/odd/place/libodd.so.1", "", NULL);
    assert_missing(p, "pkg", "libodd.so.1");
    put_bytes(p, "pkg/package.manifest",
              STR("gfxbridge-package 1\nid x\nprovider x\nbackend cpu\ndigest x\nversion x\n"
                  "executable x\nbackend-dir x\nlibrary-path lib:odd/place\n"));
    assert_missing(p, "pkg", "");
    put_bytes(p, "pkg/package.manifest", STR("no manifest"));
    assert_missing(p, "pkg", "libodd.so.1");
    /* A distribution's package has its own root. */
    put_library(p, "pkg/lib/libuser.so", "libodd.so.1", "/nowhere:/odd/place");
    assert_missing(p, "pkg", "");
}

/* An archive is not unpacked, and a capture may not hold the computer's libraries. */
static void what_is_not_known(void **state)
{
    struct place *p = *state;
    struct inspection archive = {.kind = INSPECT_ARCHIVE};
    struct root *capture = NULL;
    struct names missing = {0};
    assert_false(package_find_missing(p->root, p->dir, &archive, &missing));
    put_package(p);
    assert_int_equal(root_new_text("x.machine", STR("gfxbridge machine 1\n"), &capture, NULL), 0);
    p->env.root = capture;
    assert_missing(p, "pkg", "?");
    p->env.root = p->root;
    root_free(capture);
}

/* ---- of what an engine is started with ---- */

static void assert_check(const struct place *p, const char *library_path, const char *word)
{
    struct names roots = {0};
    struct gfxb_error err = {0};
    names_add(&roots, STR("bin/llama-server"));
    int r = libraries_check(&p->env, p->pkg, &roots, str_from(library_path), STR("it"), &err);
    assert_int_equal(r, word ? -GFXB_E_LIBRARY_MISSING : 0);
    if (word)
        assert_non_null(strstr(err.text, word));
    names_done(&roots);
}

/* From the program on, through the libraries of the package, and no further. */
static void libraries_are_followed(void **state)
{
    struct place *p = *state;
    put_package(p);
    put_library(p, "pkg/lib/libaside.so", "libalso-nowhere.so.1", NULL);
    assert_check(p, NULL, "it needs libgfxbridge-nowhere.so.9, which is neither");
    put_library(p, "pkg/lib/libgfxbridge-nowhere.so.9", "", NULL);
    assert_check(p, NULL, NULL);
}

/* A run path that leads back to where it began must not be walked for ever. */
static void circles_end(void **state)
{
    struct place *p = *state;
    put_program(p, "pkg/bin/llama-server", "liba.so", "$ORIGIN/../lib");
    put_library(p, "pkg/lib/liba.so", "libb.so", "$ORIGIN/../bin");
    put_library(p, "pkg/bin/libb.so", "liba.so libc-nowhere.so", "$ORIGIN/../lib");
    assert_check(p, NULL, "libc-nowhere.so");
}

/* The ROCm of the computer, which is not followed, and one of another version. */
static void runtime_beside_the_package(void **state)
{
    struct place *p = *state;
    char path[128];
    put_program(p, "pkg/bin/llama-server", "libamdhip64.so.7", NULL);
    assert_check(p, NULL, "libamdhip64.so.7");
    snprintf(path, sizeof(path), "lib:%s/rocm", p->dir);
    put_library(p, "rocm/libamdhip64.so.6", "", NULL);
    assert_check(p, path, "brings libamdhip64.so.6");
    put_library(p, "rocm/libamdhip64.so.7", "libnowhere.so.3", NULL);
    assert_check(p, path, NULL);
}

/* ---- the computer's libraries ---- */

static void test_library_cache(void **state)
{
    const struct place *p = *state;
    struct buf cache = BUF_INIT(8 << 20);
    static const char header[] = "glibc-ld.so.cache1.1";
    assert_int_equal(ldcache_find(STR("glibc-ld.so.cache1.1"), 62, STR("libc.so.6")).n, 0);
    buf_add(&cache, header, sizeof(header) - 1);
    add_number(&cache, 2, 4);
    add_zeros(&cache, 24);
    for (unsigned i = 0; i < 2; i++) {
        add_number(&cache, i ? 0x0303 : 0x0003, 4); /* a 32-bit one first */
        add_number(&cache, 96, 4);
        add_number(&cache, i ? 113 : 102, 4);
        add_zeros(&cache, 12);
    }
    buf_add(&cache, "liba\0", 6);
    buf_add(&cache, "/32/liba.so", 11);
    buf_add(&cache, "/64/liba", 9);
    struct str found = ldcache_find(buf_view(&cache), ELF_MACHINE_X86_64, STR("liba"));
    assert_true(str_is(found, "/64/liba"));
    for (size_t n = 0; n < cache.n; n++)
        assert_true(ldcache_find((struct str){cache.p, n}, 62, STR("liba")).n == 0);
    buf_clear(&cache);
    if (root_read(p->env.root, "/etc/ld.so.cache", 8 << 20, &cache) == 0) {
        struct elf_facts self;
        int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        assert_int_equal(elf_read_file(fd, &self, NULL), 0);
        assert_true(ldcache_find(buf_view(&cache), self.machine, STR("libc.so.6")).n > 0);
        elf_facts_done(&self);
        close(fd);
    }
    buf_done(&cache);
}

static void test_remedies(void **state)
{
    (void)state;
    static const char *const row[][4] = {
        {"libgomp.so.1", "debian", "", "apt install libgomp1"},
        {"libgomp.so.1", "linuxmint", "ubuntu debian", "apt install libgomp1"},
        {"libunheard.so.1", "debian", "", "apt-file search libunheard.so.1"},
        {"libgomp.so.1", "fedora", "", "dnf install 'libgomp.so.1()(64bit)'"},
        {"libgomp.so.1", "opensuse-tumbleweed", "opensuse suse",
         "zypper install 'libgomp.so.1()(64bit)'"},
        {"libgomp.so.1", "cachyos", "arch", "pacman -F libgomp.so.1"},
        {"libgomp.so.1", "void", "", ""},
        {"lib;reboot", "debian", "", ""},
        {"-rf", "debian", "", ""},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        char command[128];
        package_library_remedy(row[i][0], str_from(row[i][1]), str_from(row[i][2]), command,
                               sizeof(command));
        assert_string_equal(command, row[i][3]);
    }
}

#define T(function) cmocka_unit_test_setup_teardown(function, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(package_as_a_whole), T(directories_that_are_looked_in),
        T(what_is_not_known),  T(libraries_are_followed),
        T(circles_end),        T(runtime_beside_the_package),
        T(test_library_cache), cmocka_unit_test(test_remedies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
