/* test_install.c - the one transaction by which packages come into the store: with a source of this
 * test's own, and with archives of the local disk. What the sources do with real archives and
 * servers is in tests/real/{debian,mirror}.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "elf_builder.h"
#include "package/package_private.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- a data directory for each test ---- */

struct place {
    char dir[64];
    char data[80];
    char file[80]; /* a local archive */
    struct gfx_tables *tables;
    struct root *root;
    struct package_env env;
};

static int place_setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    snprintf(p->dir, sizeof(p->dir), "/tmp/gfxbridge-install-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->data, sizeof(p->data), "%s/data", p->dir);
    snprintf(p->file, sizeof(p->file), "%s/engine.tar.gz", p->dir);
    assert_int_equal(mkdir(p->data, 0755), 0);
    assert_int_equal(gfx_tables_new(NULL, &p->tables, NULL), 0);
    assert_int_equal(root_new("/", &p->root, NULL), 0);
    p->env = (struct package_env){.data_dir = p->data, .tables = p->tables, .root = p->root};
    *state = p;
    return 0;
}

static int place_teardown(void **state)
{
    struct place *p = *state;
    gfx_tables_free(p->tables);
    root_free(p->root);
    assert_int_equal(fs_remove_tree(p->dir), 0);
    free(p);
    return 0;
}

/* Entries of a directory but "." and ".."; an absent one has none. */
static unsigned count_entries(const char *above, const char *below)
{
    char *CLEAN_FREE path = fs_join(above, below);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    unsigned n = 0;
    while (dir && (entry = readdir(dir)))
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (dir)
        closedir(dir);
    return n;
}

static struct buf a_program(void)
{
    struct buf b = bytes_new();
    struct elf_spec spec = {.type = ET_DYN, .machine = EM_X86_64, .interpreted = true};
    build_elf(&b, &spec);
    return b;
}

/* ---- a source that does as it is told ---- */

static struct {
    char calls[64];    /* a letter a call */
    char fails;        /* the step that fails, once or ever */
    unsigned failures; /* how often it still does */
    bool may_again;
    int result; /* what finish was told */
} told;

static int step(char letter, struct gfxb_error *err)
{
    size_t n = strlen(told.calls);
    told.calls[n] = letter;
    told.calls[n + 1] = '\0';
    if (told.fails != letter || told.failures == 0)
        return 0;
    told.failures--;
    return error_set(err, GFXB_E_PACKAGE_UNAVAILABLE, "step %c failed", letter);
}

static int fake_decide(struct install *in, struct gfxb_error *err)
{
    in->need = 4096;
    return step('d', err);
}

static int fake_bring(struct install *in, struct gfxb_error *err)
{
    struct buf program = a_program();
    char *CLEAN_FREE path = fs_join(in->stage.dir, "llama-server");
    if (told.fails != 'f') /* nothing that could be found */
        assert_int_equal(fs_write(path, program.p, program.n, 0755, NULL), 0);
    buf_done(&program);
    buf_add_text(&in->identity, "fake 1\n");
    buf_add_text(&in->facts, "part engine fake\n");
    return step('b', err);
}

static bool fake_again(struct install *in, int r)
{
    step('a', NULL);
    return told.may_again;
}

static void fake_finish(struct install *in, int r)
{
    step('e', NULL);
    told.result = r;
    if (in->job) /* it is ours until here */
        *(int *)in->job = r;
}

static const struct package_source fake = {
    .name = "fake",
    .has_cache = true,
    .job_size = sizeof(int),
    .decide = fake_decide,
    .bring = fake_bring,
    .again = fake_again,
    .finish = fake_finish,
};

static const struct gfx_package fake_row = {
    .id = {"fake-id", 7}, .provider = {"fake", 4}, .backend = {"cpu", 3}, .tag = {"t1", 2}};

static int fake_install(const struct place *p, const char *calls)
{
    struct install in = {.env = &p->env, .source = &fake, .row = &fake_row};
    struct gfxb_error err = {0};
    char digest[DIGEST_HEX] = "";
    told.calls[0] = '\0';
    int r = install_run(&in, digest, &err);
    assert_string_equal(told.calls, calls);
    assert_int_equal(told.result, r);
    assert_int_equal(err.code, -r);
    if (r == 0 && strchr(calls, 'b')) {
        char hex[DIGEST_HEX];
        assert_int_equal(digest_bytes("fake 1\n", 7, hex), 0);
        assert_string_equal(digest, hex);
    }
    return r;
}

static void one_package_comes_once(void **state)
{
    struct place *p = *state;
    struct package_list list;
    memset(&told, 0, sizeof(told));
    assert_int_equal(fake_install(p, "dbe"), 0);
    assert_int_equal(fake_install(p, "e"), 0); /* as when another process was first */
    assert_int_equal(package_list_new(&p->env, &list, NULL), 0);
    assert_int_equal(list.n, 1);
    const struct package *package = &list.item[0];
    assert_string_equal(package->id, "fake-id");
    assert_string_equal(package->provider, "fake");
    assert_string_equal(package->version, "t1");
    assert_string_equal(package->executable, "llama-server");
    package_list_done(&list);
    assert_int_equal(count_entries(p->data, "packages"), 1);
}

/* Whatever fails, the source hears of it and nothing is left in the store. */
static void failures_leave_nothing(void **state)
{
    static const struct {
        char fails;
        const char *calls;
    } cases[] = {{'d', "dae"}, {'b', "dbae"}, {'f', "dbae"}};
    struct place *p = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        memset(&told, 0, sizeof(told));
        told.fails = cases[i].fails;
        told.failures = 9;
        assert_int_equal(fake_install(p, cases[i].calls), -GFXB_E_PACKAGE_UNAVAILABLE);
        assert_int_equal(count_entries(p->data, "packages"), 0);
    }
}

static void a_source_may_try_once_more(void **state)
{
    struct place *p = *state;
    memset(&told, 0, sizeof(told));
    told.may_again = true;
    told.fails = 'b';
    told.failures = 2;
    assert_int_equal(fake_install(p, "dbadbe"), -GFXB_E_PACKAGE_UNAVAILABLE);
    told.failures = 1;
    assert_int_equal(fake_install(p, "dbadbe"), 0);
    assert_int_equal(count_entries(p->data, "packages"), 1);
}

/* ---- archives of the local disk ---- */

/* An archive with a program, and with a file of so many bytes. */
static void make_archive(const char *path, const char *version, size_t bytes)
{
    struct buf program = a_program();
    struct buf more = bytes_new();
    struct archive *a = archive_write_new();
    archive_write_set_format_pax_restricted(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    buf_add_text(&more, version);
    while (more.n < bytes)
        buf_add_char(&more, 'x');
    const struct buf *const content[] = {&program, &more};
    const char *const name[] = {"top/llama-server", "top/VERSION"};
    for (size_t i = 0; i < 2; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, name[i]);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0755);
        archive_entry_set_size(e, (la_int64_t)content[i]->n);
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        assert_int_equal(archive_write_data(a, content[i]->p, content[i]->n),
                         (la_ssize_t)content[i]->n);
        archive_entry_free(e);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    buf_done(&program);
    buf_done(&more);
}

static int install_local(const struct place *p, const char *sha256, struct gfxb_error *err)
{
    struct package_local request = {.path = p->file, .sha256 = sha256};
    char digest[DIGEST_HEX];
    return package_install_local(&p->env, &request, digest, err);
}

static const char *installed_version(const struct place *p, struct buf *ret)
{
    struct package_list list;
    assert_int_equal(package_list_new(&p->env, &list, NULL), 0);
    assert_int_equal(list.n, 1);
    char *CLEAN_FREE path = fs_join(list.item[0].dir, "engine/top/VERSION");
    assert_int_equal(fs_read(path, 1 << 20, ret), 0);
    package_list_done(&list);
    return buf_text(ret);
}

/* What happens to the archive when the stage's directory for it is made: after hashing, before
 * unpacking. */
static void (*meanwhile)(const struct place *p);
static const struct place *meanwhile_place;

/* The program's own, in place of the C library's. */
int mkdir(const char *path, mode_t mode)
{
    if (meanwhile && str_ends(str_from(path), STR("/engine")))
        meanwhile(meanwhile_place);
    return mkdirat(AT_FDCWD, path, mode);
}

static void replace_archive(const struct place *p)
{
    char *CLEAN_FREE other = fs_join(p->dir, "other");
    make_archive(other, "another", 0);
    assert_int_equal(rename(other, p->file), 0);
}

static void rewrite_archive(const struct place *p)
{
    make_archive(p->file, "another", 0);
}

/* The path may lead to another file by then: what was hashed is what is unpacked. */
static void archive_is_replaced_meanwhile(void **state)
{
    struct place *p = *state;
    struct buf CLEAN_BUF version = BUF_INIT(1 << 20);
    char sha256[DIGEST_HEX];
    make_archive(p->file, "right", 0);
    assert_int_equal(digest_file(p->file, sha256, NULL), 0);
    meanwhile_place = p;
    meanwhile = replace_archive;
    assert_int_equal(install_local(p, sha256, NULL), 0);
    meanwhile = NULL;
    assert_string_equal(installed_version(p, &version), "right");
    struct gfxb_error err = {0};
    assert_int_equal(install_local(p, sha256, &err), -GFXB_E_DIGEST_MISMATCH);
}

/* The same file with other bytes, as when a download still writes it. */
static void archive_is_rewritten_meanwhile(void **state)
{
    struct place *p = *state;
    struct gfxb_error err = {0};
    make_archive(p->file, "right", 0);
    meanwhile_place = p;
    meanwhile = rewrite_archive;
    assert_int_equal(install_local(p, NULL, &err), -GFXB_E_DIGEST_MISMATCH);
    meanwhile = NULL;
    assert_non_null(strstr(err.text, "changed while it was unpacked"));
    assert_int_equal(count_entries(p->data, "packages"), 0);
}

/* ---- disks that do not take it ---- */

/* A mount namespace of our own, as root or as an unprivileged user. */
static bool own_mounts(void)
{
    char map[64];
    unsigned uid = geteuid(), gid = getegid();
    if (unshare(CLONE_NEWNS) == 0)
        return true;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return false;
    const char *const path[] = {"/proc/self/setgroups", "/proc/self/uid_map", "/proc/self/gid_map"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(map, sizeof(map), i == 0 ? "deny" : "0 %u 1", i == 1 ? uid : gid);
        int CLEAN_CLOSE fd = open(path[i], O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, map, strlen(map)) < 0)
            return false;
    }
    return true;
}

/* Install with a file system of its own as the data directory, in a child. 0: it failed with this
 * code and word, and left nothing in the store; 77: no such file system can be had here. */
static int on_a_disk(const struct place *p, const char *options, unsigned long flags, int code,
                     const char *word)
{
    struct gfxb_error err = {0};
    if (!own_mounts())
        return 77;
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mount("none", p->data, "tmpfs", flags, options) < 0)
        return 77;
    int r = install_local(p, NULL, &err);
    if (r != -code || !strstr(err.text, word)) {
        print_message("%d: %s\n", r, err.text);
        return 1;
    }
    return count_entries(p->data, "packages") == 0 ? 0 : 2;
}

static void assert_on_a_disk(const struct place *p, const char *options, unsigned long flags,
                             int code, const char *word)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(on_a_disk(p, options, flags, code, word));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

/* Full from the beginning, and full in the middle of unpacking: it unpacks to far more than the
 * archive let expect. */
static void full_disk(void **state)
{
    struct place *p = *state;
    make_archive(p->file, "1", 1 << 20);
    assert_on_a_disk(p, "size=1m", 0, GFXB_E_DISK_FULL, "MB are free");
}

static void disk_that_fills_up(void **state)
{
    struct place *p = *state;
    make_archive(p->file, "1", 4 << 10);
    assert_on_a_disk(p, "size=68m,nr_inodes=6", 0, GFXB_E_DISK_FULL, "file system is full");
}

static void read_only_directory(void **state)
{
    struct place *p = *state;
    make_archive(p->file, "1", 0);
    assert_on_a_disk(p, "", MS_RDONLY, EROFS, "/data/packages");
}

/* A fifth took twenty seconds: the rest takes eighty, and never less than half or more than twice.
 */
static void progress_estimates(void **state)
{
    struct fetch_progress p = package_progress(20000000, 100000000, clock_now_ms() - 20000);
    assert_in_range(p.remaining_seconds, 40, 160);
    p = package_progress(0, 100, clock_now_ms());
    assert_int_equal(p.remaining_seconds, -1);
    p = package_progress(200, 100, clock_now_ms() - 1000); /* more than was said */
    assert_int_equal(p.remaining_seconds, -1);
}

#define T(function) cmocka_unit_test_setup_teardown(function, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(one_package_comes_once),
        T(failures_leave_nothing),
        T(a_source_may_try_once_more),
        T(archive_is_replaced_meanwhile),
        T(archive_is_rewritten_meanwhile),
        T(full_disk),
        T(disk_that_fills_up),
        T(read_only_directory),
        cmocka_unit_test(progress_estimates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
