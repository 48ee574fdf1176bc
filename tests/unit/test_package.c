/* test_package.c - the package room's store, its manifests, and how it reads what Debian's tools
 * write. What apt does for real is in tests/real/debian.py. */
#include "package/apt/apt.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* ---- a scratch directory for each test ---- */

struct scratch {
    char dir[64];
    struct package_env env;
};

static int scratch_setup(void **state)
{
    struct scratch *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    snprintf(s->dir, sizeof(s->dir), "/tmp/gfxb-package-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    s->env.data_dir = s->dir;
    *state = s;
    return 0;
}

static int scratch_teardown(void **state)
{
    struct scratch *s = *state;
    fs_remove_tree(s->dir);
    free(s);
    return 0;
}

static void put(const struct scratch *s, const char *path, const char *text)
{
    struct gfxb_error err = {0};
    char *whole = fs_join(s->dir, path);
    char *parent = strdup(whole);
    assert_non_null(parent);
    *strrchr(parent, '/') = '\0';
    assert_int_equal(fs_make_dirs(parent, 0755, &err), 0);
    assert_int_equal(fs_write(whole, text, strlen(text), 0755, &err), 0);
    free(parent);
    free(whole);
}

static bool there(const struct scratch *s, const char *path)
{
    char *whole = fs_join(s->dir, path);
    bool yes = access(whole, F_OK) == 0;
    free(whole);
    return yes;
}

static unsigned count_stages(const struct scratch *s)
{
    char command[200];
    struct gfxb_error err = {0};
    struct child_result result;
    snprintf(command, sizeof(command), "ls -A %s/packages | grep -c '^\\.stage-'", s->dir);
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    struct child_spec spec = {.argv = argv,
                              .env = env,
                              .max_output = 64,
                              .out_fd = -1,
                              .err_fd = -1,
                              .deadline_ms = 10000};
    assert_int_equal(child_run(&spec, &result, &err), 0);
    uint64_t n = 99;
    str_to_u64(str_trim(buf_view(&result.out)), 10, &n);
    child_result_done(&result);
    return (unsigned)n;
}

/* ---- deb822 ---- */

static void deb822_reads_fields(void **state)
{
    (void)state;
    struct str rest = STR("\n \nPackage: one\nDepends: a,\n b\n c\nEmpty:\nLast: x\n\t\n\n"
                          "package: two\r\nSize:  7 \r\n");
    struct str stanza;
    assert_true(deb822_stanza(&rest, &stanza));
    assert_true(str_is(deb822_field(stanza, "package"), "one"));
    assert_true(str_is(deb822_field(stanza, "Depends"), "a,\n b\n c"));
    assert_true(str_is(deb822_field(stanza, "Empty"), ""));
    assert_true(str_is(deb822_field(stanza, "Last"), "x"));
    assert_int_equal(deb822_field(stanza, "Absent").n, 0);
    assert_true(deb822_stanza(&rest, &stanza));
    assert_true(str_is(deb822_field(stanza, "Package"), "two"));
    assert_true(str_is(deb822_field(stanza, "Size"), "7"));
    assert_false(deb822_stanza(&rest, &stanza));
}

/* ---- sources ---- */

/* Every entry as "uris|suites|components|signed-by;" */
static void entries(const char *text, bool deb822, struct buf *ret)
{
    struct buf plain = BUF_INIT(65536);
    struct debian_entry e;
    deb822_strip_comments(str_from(text), &plain);
    struct debian_reader reader = {buf_view(&plain), deb822};
    while (debian_reader_next(&reader, &e))
        buf_addf(ret, "%.*s|%.*s|%.*s|%.*s;", STR_ARG(e.uris), STR_ARG(e.suites),
                 STR_ARG(e.components), STR_ARG(e.signed_by));
    buf_done(&plain);
}

static void check_entries(const char *text, bool deb822, const char *expected)
{
    struct buf got = BUF_INIT(65536);
    entries(text, deb822, &got);
    assert_string_equal(buf_text(&got), expected);
    buf_done(&got);
}

static void sources_one_line(void **state)
{
    (void)state;
    check_entries("# a comment\n"
                  "deb http://a/debian bookworm main contrib # trailing\n"
                  "  deb\t[arch=amd64 signed-by=/k.gpg,/l.gpg]  https://b/debian sid main\n"
                  "deb [ Signed-By=/m.gpg ] http://c/d stable/updates main\n"
                  "deb-src http://a/debian bookworm main\n"
                  "#deb http://off/debian bookworm main\n"
                  "deb [arch=amd64 http://never-closed bookworm main\n"
                  "deb http://no-suite\n"
                  "deb cdrom:[Debian 12]/ bookworm main\n"
                  "rpm http://what is this\n",
                  false,
                  "http://a/debian|bookworm|main contrib|;"
                  "https://b/debian|sid|main|/k.gpg,/l.gpg;"
                  "http://c/d|stable/updates|main|/m.gpg;"
                  "cdrom:[Debian|12]/|bookworm main|;");
}

static void sources_deb822(void **state)
{
    (void)state;
    check_entries("Types: deb deb-src\n"
                  "# a comment inside\n"
                  "URIs: http://a/debian http://b/debian\n"
                  "Suites: bookworm bookworm-updates\n"
                  "Components: main\n"
                  "Signed-By: /usr/share/keyrings/k.gpg\n"
                  "\n"
                  "Types: deb\nEnabled: no\nURIs: http://off\nSuites: x\nComponents: main\n"
                  "\n\n"
                  "Types: deb-src\nURIs: http://src\nSuites: x\nComponents: main\n"
                  "\n"
                  "types: deb\nenabled: yes\nuris:\n http://c/debian\n http://d/debian\n"
                  "suites: sid\ncomponents: main\nsigned-by:\n"
                  " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
                  " -----END PGP PUBLIC KEY BLOCK-----\n"
                  "\n"
                  "Types: deb\nURIs: http://no-suites\n",
                  true,
                  "http://a/debian http://b/debian|bookworm bookworm-updates|main|"
                  "/usr/share/keyrings/k.gpg;"
                  "http://c/debian\n http://d/debian|sid|main|"
                  "-----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
                  " -----END PGP PUBLIC KEY BLOCK-----;");
}

static int read_host(const struct scratch *s, struct debian_host *host, struct gfxb_error *err)
{
    struct root *root = NULL;
    assert_int_equal(root_new(s->dir, &root, err), 0);
    int r = debian_host_new(root, host, err);
    root_free(root);
    return r;
}

/* A third party that uses the release's name comes after the distribution's own archive, and the
 * additions to a release are no archives of their own. */
static void host_orders_archives(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    struct debian_host host;
    put(s, "etc/os-release", "ID=debian\nVERSION_CODENAME=bookworm\n");
    put(s, "etc/apt/sources.list.d/a-tool.list",
        "deb [signed-by=/tool.gpg] https://apt.tool.example bookworm main\n");
    put(s, "etc/apt/sources.list.d/debian.sources",
        "Types: deb\nURIs: http://m/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
        "Signed-By: /d.gpg\n\nTypes: deb\nURIs: http://m/debian-security\n"
        "Suites: bookworm-security\nComponents: main\nSigned-By: /d.gpg\n");
    put(s, "etc/apt/sources.list.d/old.list.save", "deb http://saved/debian bookworm main\n");
    put(s, "etc/apt/sources.list", "deb http://n/node nodistro main\n");
    assert_int_equal(read_host(s, &host, &err), 0);
    assert_string_equal(host.distribution->id, "debian");
    assert_int_equal(host.n_archives, 2);
    assert_string_equal(host.archive[0].uris, "http://m/debian");
    assert_string_equal(host.archive[0].signed_by, "/d.gpg");
    assert_string_equal(host.archive[1].uris, "https://apt.tool.example");
    debian_host_done(&host);
}

static void host_of_a_derivative(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    struct debian_host host;
    put(s, "etc/os-release",
        "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_CODENAME=wilma\n"
        "UBUNTU_CODENAME=noble\n");
    put(s, "etc/apt/sources.list",
        "deb http://packages.mint/ wilma main\n"
        "deb http://archive.example/ubuntu/ noble main universe\n");
    assert_int_equal(read_host(s, &host, &err), 0);
    assert_string_equal(host.distribution->id, "ubuntu");
    assert_string_equal(host.codename, "noble");
    assert_int_equal(host.n_archives, 1);
    assert_string_equal(host.archive[0].uris, "http://archive.example/ubuntu/");
    debian_host_done(&host);
}

static void host_that_is_neither(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    struct debian_host host;
    put(s, "etc/os-release", "ID=fedora\nVERSION_ID=43\n");
    assert_int_equal(read_host(s, &host, &err), -GFXB_E_NO_PACKAGE);
    assert_non_null(strstr(err.text, "neither Debian nor Ubuntu"));
    put(s, "etc/os-release", "ID=debian\nVERSION_CODENAME=bookworm\n");
    put(s, "etc/apt/sources.list", "deb http://x/ubuntu noble main\n");
    assert_int_equal(read_host(s, &host, &err), -GFXB_E_NO_PACKAGE);
    assert_non_null(strstr(err.text, "name no Debian archive"));
}

/* ---- parts ---- */

#define SHA_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define SHA_2 "2222222222222222222222222222222222222222222222222222222222222222"

static void parts_are_read(void **state)
{
    (void)state;
    struct gfxb_error err = {0};
    struct debian_parts parts;
    struct str text = STR("Reading package lists...\n"
                          "'http://m/pool/x.deb' x_1%3a2.0+b~1-2_amd64.deb 100 SHA256:" SHA_2 "\n"
                          "'http://m/pool/libc6.deb' libc6_2.43-7_amd64.deb 20 SHA256:" SHA_1 "\n");
    assert_int_equal(debian_parts_parse(text, &parts, &err), 0);
    assert_int_equal(parts.n, 2);
    assert_string_equal(parts.part[0].name, "x");
    assert_string_equal(parts.part[0].version, "1:2.0+b~1-2");
    assert_string_equal(parts.part[0].file, "x_1%3a2.0+b~1-2_amd64.deb");
    assert_string_equal(parts.part[1].sha256, SHA_1);
    assert_int_equal(parts.download_bytes, 120);
    struct str stanzas = STR("Package: x\nInstalled-Size: 3\n\nPackage: other\n"
                             "Installed-Size: 9\nX-Rocm-Gpu-Architecture: gfx1\n\nPackage: libc6\n"
                             "Installed-Size: 1\nX-Rocm-Gpu-Architecture: gfx900 gfx1100\n");
    debian_parts_add_facts(&parts, stanzas);
    assert_string_equal(parts.gfx, "gfx900 gfx1100");
    assert_int_equal(parts.installed_bytes, 4096);
    debian_parts_done(&parts);
}

static void parts_refuses(const char *line, int code)
{
    struct gfxb_error err = {0};
    struct debian_parts parts;
    assert_int_equal(debian_parts_parse(str_from(line), &parts, &err), -code);
    assert_true(err.text[0]);
}

static void parts_that_are_wrong(void **state)
{
    (void)state;
    parts_refuses("", EBADMSG);
    parts_refuses("'http://m/x' x_1_amd64.deb 100 MD5Sum:" SHA_1, GFXB_E_DIGEST_MISSING);
    parts_refuses("'http://m/x' x_1_amd64.deb 100", GFXB_E_DIGEST_MISSING);
    parts_refuses("'http://m/x' x_1_amd64.deb 100 SHA256:abc", GFXB_E_DIGEST_MISSING);
    parts_refuses("'http://m/x' ../x_1_amd64.deb 100 SHA256:" SHA_1, EBADMSG);
    parts_refuses("'http://m/x' x_1_amd64.deb -1 SHA256:" SHA_1, EBADMSG);
    parts_refuses("'http://m/x' x.deb 100 SHA256:" SHA_1, EBADMSG);
    parts_refuses("'http://m/x' x_1%2f_amd64.deb 100 SHA256:" SHA_1, EBADMSG);
}

static void assert_identities(struct str one, unsigned one_recipe, struct str other,
                              unsigned other_recipe, bool same)
{
    struct debian_parts parts;
    struct buf a = BUF_INIT(4096), b = BUF_INIT(4096);
    assert_int_equal(debian_parts_parse(one, &parts, NULL), 0);
    debian_parts_identity(&parts, one_recipe, &a);
    debian_parts_done(&parts);
    assert_int_equal(debian_parts_parse(other, &parts, NULL), 0);
    debian_parts_identity(&parts, other_recipe, &b);
    debian_parts_done(&parts);
    assert_true(str_eq(buf_view(&a), buf_view(&b)) == same);
    buf_done(&a);
    buf_done(&b);
}

/* The same parts in another order are the same package; another recipe or part is another. */
static void identity_is_that_of_the_content(void **state)
{
    (void)state;
    struct str x = STR("'u' x_1_amd64.deb 1 SHA256:" SHA_1 "\n'u' y_1_amd64.deb 1 SHA256:" SHA_2);
    struct str y = STR("'u' y_1_amd64.deb 1 SHA256:" SHA_2 "\n'u' x_1_amd64.deb 1 SHA256:" SHA_1);
    struct str z = STR("'u' x_1_amd64.deb 1 SHA256:" SHA_1);
    assert_identities(x, 1, y, 1, true);
    assert_identities(x, 1, y, 2, false);
    assert_identities(x, 1, z, 1, false);
}

static void versions_compare(void **state)
{
    (void)state;
    assert_true(package_version_below("2.36-9+deb12u10", "2.43"));
    assert_true(package_version_below("2.9-1", "2.36"));
    assert_false(package_version_below("2.43-7", "2.43"));
    assert_false(package_version_below("3.0-1", "2.43"));
    assert_false(package_version_below("what", "2.43"));
    assert_false(package_version_below("2.43-7", ""));
}

/* ---- what a package serves ---- */

static void packages_for_another_gpu_are_refused(void **state)
{
    (void)state;
    struct gfxb_error err = {0};
    struct gfx_tables *tables = NULL;
    assert_int_equal(gfx_tables_new(NULL, &tables, &err), 0);
    struct package_env env = {.tables = tables, .gfx = "gfx1101"};
    assert_int_equal(contents_check_gfx(&env, STR("it"), STR("gfx1030 gfx1101"), &err), 0);
    assert_int_equal(contents_check_gfx(&env, STR("it"), STR("gfx1200"), &err),
                     -GFXB_E_GFX_NOT_IN_PACKAGE);
    assert_string_equal(err.text, "it holds code for gfx1200 and none that serves gfx1101");
    env.gfx = NULL;
    assert_int_equal(contents_check_gfx(&env, STR("it"), STR("gfx1200"), &err), 0);
    gfx_tables_free(tables);
}

/* ---- recipe ---- */

#define LIB "usr/lib/x86_64-linux-gnu"

static void put_engine(const struct scratch *s)
{
    put(s, "usr/bin/llama-server", "x");
    put(s, LIB "/libc.so.6", "x");
    put(s, LIB "/ld-linux-x86-64.so.2", "x");
    put(s, LIB "/llama/libllama-server-impl.so", "x");
    put(s, LIB "/gconv/libGB.so", "x");
    put(s, "usr/share/man/man1/x.1", "x");
    put(s, "usr/share/doc/x/copyright", "x");
    put(s, LIB "/ggml/backends0/libggml-cpu-x64.so", "x");
    put(s, LIB "/libggml.so.0.27.0", "head /usr/lib/x86_64-linux-gnu/ggml/b tail");
    char *link = fs_join(s->dir, LIB "/libggml.so.0");
    assert_int_equal(symlink("libggml.so.0.27.0", link), 0);
    free(link);
}

static void recipe_finds_its_way(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    struct package package = {0};
    struct buf library = BUF_INIT(1u << 20);
    put_engine(s);
    assert_int_equal(debian_recipe_apply(s->dir, &package, &err), 0);
    assert_string_equal(package.executable, "usr/bin/llama-server");
    assert_string_equal(package.loader, LIB "/ld-linux-x86-64.so.2");
    assert_string_equal(package.library_path, LIB ":" LIB "/llama");
    assert_string_equal(package.backend_dir, LIB "/ggml/backends0");
    assert_false(there(s, LIB "/gconv") || there(s, "usr/share/man"));
    assert_true(there(s, "usr/share/doc/x/copyright"));
    char *path = fs_join(s->dir, LIB "/libggml.so.0");
    assert_int_equal(fs_read(path, 1000, &library), 0);
    assert_string_equal(buf_text(&library), "head /dev/null/86_64-linux-gnu/ggml/b tail");
    free(path);
    buf_done(&library);
    manifest_package_done(&package);
}

static void recipe_says_what_is_missing(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    struct package package = {0};
    put_engine(s);
    char *path = fs_join(s->dir, LIB "/ggml/backends0/libggml-cpu-x64.so");
    assert_int_equal(unlink(path), 0);
    free(path);
    assert_int_equal(debian_recipe_apply(s->dir, &package, &err), -GFXB_E_PACKAGE_UNAVAILABLE);
    assert_non_null(strstr(err.text, "a CPU backend"));
    manifest_package_done(&package);
}

/* ---- apt's complaints ---- */

extern const char package_data_complaints[];

/* A row that cannot be read would hide those behind it. */
static void complaints_are_whole(void **state)
{
    (void)state;
    static const char *const columns[] = {"phrase", "code", "sentence", NULL};
    struct gfxb_error err = {0};
    struct table table;
    struct table_row row;
    size_t n = 0;
    int r;
    table_init(&table, "complaints.tsv", str_from(package_data_complaints), columns);
    for (; (r = table_next(&table, &row, &err)) == 1; n++)
        assert_true(row.field[0].n && error_code_number(row.field[1]) > 0 && row.field[2].n);
    assert_int_equal(r, 0);
    assert_true(n >= 15);
}

/* ---- manifest ---- */

static struct package example(char *digest, char *id)
{
    return (struct package){
        .id = id,
        .provider = (char *)(uintptr_t) "debian",
        .backend = (char *)(uintptr_t) "cpu",
        .digest = digest,
        .version = (char *)(uintptr_t) "1:0.7 with blanks",
        .executable = (char *)(uintptr_t) "usr/bin/llama-server",
        .backend_dir = (char *)(uintptr_t) "usr/lib",
    };
}

static void manifest_round_trip(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    struct package back = {0};
    struct package package = example((char *)(uintptr_t)DIGEST_A, (char *)(uintptr_t) "the-id");
    package.bytes = 12345678901;
    package.installed = 1795457857;
    package.gfx = (char *)(uintptr_t) "gfx1100 gfx1101";
    package.facts = (char *)(uintptr_t) "part x 1 2\nfuture key\n";
    assert_int_equal(manifest_write(s->dir, &package, &err), 0);
    assert_int_equal(manifest_read(s->dir, &back), 0);
    assert_string_equal(back.dir, s->dir);
    assert_string_equal(back.id, "the-id");
    assert_string_equal(back.version, "1:0.7 with blanks");
    assert_string_equal(back.gfx, "gfx1100 gfx1101");
    assert_string_equal(back.facts, "part x 1 2\nfuture key\n");
    assert_null(back.loader);
    assert_null(back.blas);
    assert_true(back.bytes == 12345678901 && back.installed == 1795457857);
    manifest_package_done(&back);
}

static void manifest_refuses_bad_values(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    struct package back = {0};
    struct package package = example((char *)(uintptr_t)DIGEST_A, (char *)(uintptr_t) "two\nlines");
    assert_int_equal(manifest_write(s->dir, &package, &err), -EINVAL);
    package.id = NULL;
    assert_int_equal(manifest_write(s->dir, &package, &err), -EINVAL);
    assert_int_equal(manifest_read(s->dir, &back), -ENOENT);
    put(s, MANIFEST_NAME, "gfxbridge-package 2\nid x\n");
    assert_int_equal(manifest_read(s->dir, &back), -EBADMSG);
    put(s, MANIFEST_NAME, "gfxbridge-package 1\nid x\n");
    assert_int_equal(manifest_read(s->dir, &back), -EBADMSG);
}

/* ---- store ---- */

static void install_example(struct scratch *s, const char *digest, const char *id)
{
    struct gfxb_error err = {0};
    struct store_stage stage = STORE_STAGE_NONE;
    struct package package = example((char *)(uintptr_t)digest, (char *)(uintptr_t)id);
    assert_int_equal(store_stage_new(&s->env, 4096, &stage, &err), 0);
    char *file = fs_join(stage.dir, "file");
    assert_int_equal(fs_write(file, "content", 7, 0644, &err), 0);
    free(file);
    assert_int_equal(store_publish(&s->env, &stage, &package, &err), 0);
    store_stage_done(&stage);
}

static const struct package *find_package(const struct package_list *list, const char *id)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->item[i].id, id) == 0)
            return &list->item[i];
    }
    return NULL;
}

static bool has_id(const struct scratch *s, const char *id)
{
    struct package_list list;
    assert_int_equal(package_list_new(&s->env, &list, NULL), 0);
    bool found = find_package(&list, id) != NULL;
    package_list_done(&list);
    return found;
}

static void store_publishes_whole_packages(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    struct package_list list;
    assert_int_equal(package_list_new(&s->env, &list, &err), 0);
    assert_int_equal(list.n, 0);
    install_example(s, DIGEST_A, "one");
    install_example(s, DIGEST_A, "one"); /* somebody was first: no error, no second copy */
    assert_true(has_id(s, "one"));
    assert_false(has_id(s, "two"));
    assert_true(there(s, "packages/" DIGEST_A "/file"));
    assert_int_equal(package_list_new(&s->env, &list, &err), 0);
    assert_int_equal(list.n, 1);
    assert_true(list.item[0].bytes > 0 && list.item[0].installed > 0);
    assert_non_null(find_package(&list, "one"));
    package_list_done(&list);
    assert_int_equal(count_stages(s), 0);
}

/* A stage is kept while its maker lives, and goes with the next listing after it was killed. */
static void store_sweeps_what_the_killed_left(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    struct package_list list;
    int pipes[2];
    char byte = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct store_stage stage = STORE_STAGE_NONE;
        bool ok = store_stage_new(&s->env, 0, &stage, &err) == 0 && write(pipes[1], "x", 1) == 1;
        while (ok)
            pause();
        _exit(1);
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_int_equal(package_list_new(&s->env, &list, &err), 0);
    assert_int_equal(count_stages(s), 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(package_list_new(&s->env, &list, &err), 0);
    assert_int_equal(count_stages(s), 0);
    close(pipes[0]);
    close(pipes[1]);
}

static void store_replaces_damaged_packages(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    struct package_list list;
    put(s, "packages/" DIGEST_A "/half", "no manifest");
    assert_int_equal(package_list_new(&s->env, &list, &err), 0);
    assert_int_equal(list.n, 0);
    install_example(s, DIGEST_A, "one");
    assert_true(has_id(s, "one"));
    assert_false(there(s, "packages/" DIGEST_A "/half"));
}

static void store_refuses_a_full_disk(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    struct store_stage stage = STORE_STAGE_NONE;
    assert_int_equal(store_stage_new(&s->env, UINT64_MAX / 4, &stage, &err), -GFXB_E_DISK_FULL);
    assert_non_null(strstr(err.text, "MB are free"));
    assert_null(stage.dir);
}

static void packages_are_pinned_and_removed(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    struct package_list list;
    install_example(s, DIGEST_A, "one");
    install_example(s, DIGEST_B, "two");
    assert_int_equal(
        package_use(&s->env, (struct package_backend){STR_NONE, "cpu"}, DIGEST_B, &err), 0);
    assert_int_equal(
        package_use(&s->env, (struct package_backend){STR_NONE, "cpu"}, DIGEST_A, &err), 0);
    assert_int_equal(
        package_use(&s->env, (struct package_backend){STR_NONE, "rocm"}, DIGEST_A, &err), -ENOENT);
    assert_int_equal(package_list_new(&s->env, &list, &err), 0);
    assert_int_equal(list.n, 2);
    assert_true(find_package(&list, "one")->pinned);
    assert_false(find_package(&list, "two")->pinned);
    package_list_done(&list);
    assert_int_equal(package_remove(&s->env, DIGEST_A, &err), 0);
    assert_int_equal(package_remove(&s->env, DIGEST_A, &err), -ENOENT);
    assert_int_equal(package_remove(&s->env, "../../etc", &err), -ENOENT);
    install_example(s, DIGEST_A, "one");
    assert_int_equal(package_list_new(&s->env, &list, &err), 0);
    assert_false(find_package(&list, "one")->pinned);
    package_list_done(&list);
    assert_int_equal(count_stages(s), 0);
}

/* An old cache goes, a used one and a young one stay. */
static void caches_go_when_they_are_old(void **state)
{
    struct scratch *s = *state;
    struct gfxb_error err = {0};
    char *dir = NULL;
    int fd = -1;
    const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(store_cache_open(&s->env, "debian", &dir, &fd, &err), 0);
    put(s, "cache/debian/index", "x");
    store_sweep_cache(&s->env, "debian");
    assert_true(there(s, "cache/debian/index"));
    assert_int_equal(utimensat(AT_FDCWD, dir, old, 0), 0);
    store_sweep_cache(&s->env, "debian"); /* old, but in use */
    assert_true(there(s, "cache/debian/index"));
    static const atomic_int cancel = 1;
    const struct package_net net = {.fetch = {.cancel = &cancel}};
    struct package_env waiting = s->env;
    char *none = NULL;
    int no_fd = -1;
    waiting.net = &net;
    assert_int_equal(store_cache_open(&waiting, "debian", &none, &no_fd, &err),
                     -GFXB_E_INTERRUPTED);
    assert_null(none);
    close(fd);
    store_sweep_cache(&s->env, "debian");
    assert_false(there(s, "cache/debian"));
    assert_false(there(s, "cache/debian.lock"));
    free(dir);
}

/* ---- install: what is refused before anything is fetched ---- */

static void install_refuses(struct package_env *env, const struct gfx_package *row, int code)
{
    struct gfxb_error err = {0};
    assert_int_equal(package_install(env, row, &err), -code);
    assert_true(err.text[0]);
}

static void install_checks_the_row(void **state)
{
    struct scratch *s = *state;
    struct gfx_package row = {.id = STR("x"),
                              .provider = STR("debian"),
                              .backend = STR("cpu"),
                              .arch = STR("not-a-cpu"),
                              .locate = STR("x")};
    struct gfxb_error err = {0};
    struct root *root = NULL;
    put(s, "etc/os-release", "ID=fedora\n");
    assert_int_equal(root_new(s->dir, &root, &err), 0);
    s->env.root = root;
    install_refuses(&s->env, &row, GFXB_E_NO_PACKAGE);
    row.arch = STR_NONE;
    install_refuses(&s->env, &row, GFXB_E_NO_PACKAGE); /* not a Debian */
    row.os = GFX_WINDOWS;
    install_refuses(&s->env, &row, GFXB_E_NO_PACKAGE);
    row.os = GFX_LINUX;
    s->env.no_network = true;
    install_refuses(&s->env, &row, GFXB_E_OFFLINE);
    row.provider = STR("nobody");
    install_refuses(&s->env, &row, GFXB_E_NO_PACKAGE);
    row.provider = STR("debian");
    install_example(s, DIGEST_A, "x"); /* what is installed needs no network */
    assert_int_equal(package_install(&s->env, &row, &err), 0);
    root_free(root);
}

int main(void)
{
#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deb822_reads_fields),
        cmocka_unit_test(sources_one_line),
        cmocka_unit_test(sources_deb822),
        SCRATCH_TEST(host_orders_archives),
        SCRATCH_TEST(host_of_a_derivative),
        SCRATCH_TEST(host_that_is_neither),
        cmocka_unit_test(parts_are_read),
        cmocka_unit_test(parts_that_are_wrong),
        cmocka_unit_test(identity_is_that_of_the_content),
        cmocka_unit_test(versions_compare),
        cmocka_unit_test(packages_for_another_gpu_are_refused),
        SCRATCH_TEST(recipe_finds_its_way),
        SCRATCH_TEST(recipe_says_what_is_missing),
        cmocka_unit_test(complaints_are_whole),
        SCRATCH_TEST(manifest_round_trip),
        SCRATCH_TEST(manifest_refuses_bad_values),
        SCRATCH_TEST(store_publishes_whole_packages),
        SCRATCH_TEST(store_sweeps_what_the_killed_left),
        SCRATCH_TEST(store_replaces_damaged_packages),
        SCRATCH_TEST(store_refuses_a_full_disk),
        SCRATCH_TEST(packages_are_pinned_and_removed),
        SCRATCH_TEST(caches_go_when_they_are_old),
        SCRATCH_TEST(install_checks_the_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
