/* test_unpack.c - unpacking: what a good archive becomes, and that nothing of a hostile one is
 * obeyed. The archives are made here with libarchive's writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "package/unpack/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- a place of one's own for each test ---- */

struct place {
    char dir[64];    /* removed at the end */
    char dest[80];   /* where archives are unpacked */
    char file[80];   /* the archive */
    char victim[80]; /* a file beside dest that no archive may touch */
};

static int place_setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    snprintf(p->dir, sizeof(p->dir), "/tmp/gfxbridge-unpack-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->dest, sizeof(p->dest), "%s/dest", p->dir);
    snprintf(p->file, sizeof(p->file), "%s/archive", p->dir);
    snprintf(p->victim, sizeof(p->victim), "%s/victim", p->dir);
    assert_int_equal(mkdir(p->dest, 0700), 0);
    assert_int_equal(fs_write(p->victim, "safe", 4, 0644, NULL), 0);
    *state = p;
    return 0;
}

static int place_teardown(void **state)
{
    struct place *p = *state;
    assert_int_equal(fs_remove_tree(p->dir), 0);
    free(p);
    return 0;
}

/* ---- making archives ---- */

enum format { TAR_GZ, TAR_ZST, TAR_XZ, ZIP, FORMATS };

/* One entry. type 0 is a file. */
struct member {
    const char *name;
    unsigned type;
    const char *content;
    const char *link; /* symlink target, or with hard: hard link target */
    bool hard;
    unsigned mode;
    size_t size; /* of the content, where it is not text */
};

static void write_member(struct archive *a, const struct member *m)
{
    struct archive_entry *e = archive_entry_new();
    size_t size = m->content ? (m->size ? m->size : strlen(m->content)) : 0;
    archive_entry_set_pathname(e, m->name);
    archive_entry_set_filetype(e, m->type ? m->type : AE_IFREG);
    archive_entry_set_perm(e, (mode_t)(m->mode ? m->mode : 0644));
    if (m->hard)
        archive_entry_set_hardlink(e, m->link);
    else if (m->link)
        archive_entry_set_symlink(e, m->link);
    if (!m->hard && (m->type == 0 || m->type == AE_IFREG))
        archive_entry_set_size(e, (la_int64_t)size);
    if (m->type == AE_IFCHR || m->type == AE_IFBLK)
        archive_entry_set_rdev(e, 0x0103);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    if (size && !m->hard)
        assert_int_equal(archive_write_data(a, m->content, size), (la_ssize_t)size);
    archive_entry_free(e);
}

static struct archive *open_writer(const char *path, enum format format)
{
    struct archive *a = archive_write_new();
    assert_int_equal(format == ZIP ? archive_write_set_format_zip(a)
                                   : archive_write_set_format_pax_restricted(a),
                     ARCHIVE_OK);
    if (format == TAR_GZ)
        archive_write_add_filter_gzip(a);
    else if (format == TAR_ZST)
        archive_write_add_filter_zstd(a);
    else if (format == TAR_XZ)
        archive_write_add_filter_xz(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    return a;
}

static void make_archive(const char *path, enum format format, const struct member *member,
                         size_t n)
{
    struct archive *a = open_writer(path, format);
    /* The writer converts names by the locale; the reader under test is left with the C locale. */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = uselocale(utf8);
    for (size_t i = 0; i < n; i++)
        write_member(a, &member[i]);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    uselocale(before);
    freelocale(utf8);
    archive_write_free(a);
}

#define MAKE(place, format, ...)                                                                   \
    do {                                                                                           \
        const struct member list_[] = {__VA_ARGS__};                                               \
        make_archive((place)->file, (format), list_, sizeof(list_) / sizeof(list_[0]));            \
    } while (0)

/* ---- looking at results ---- */

static char *in_dest(const struct place *p, const char *name)
{
    char *path = fs_join(p->dest, name);
    assert_non_null(path);
    return path;
}

static void assert_content(const struct place *p, const char *name, const char *content)
{
    char *path = in_dest(p, name);
    struct buf b = BUF_INIT(1 << 20);
    assert_int_equal(fs_read(path, 1 << 20, &b), 0);
    assert_string_equal(buf_text(&b), content);
    buf_done(&b);
    free(path);
}

static unsigned mode_of(const struct place *p, const char *name)
{
    char *path = in_dest(p, name);
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    free(path);
    return st.st_mode & 07777;
}

static void assert_link(const struct place *p, const char *name, const char *target)
{
    char *path = in_dest(p, name);
    char text[256] = "";
    assert_true(readlink(path, text, sizeof(text) - 1) > 0);
    assert_string_equal(text, target);
    free(path);
}

static void assert_victim_safe(const struct place *p)
{
    struct buf b = BUF_INIT(64);
    assert_int_equal(fs_read(p->victim, 64, &b), 0);
    assert_string_equal(buf_text(&b), "safe");
    buf_done(&b);
}

static const struct unpack_options plain = {0};

/* ---- good archives ---- */

static const struct member good[] = {
    {.name = "./"},
    {.name = "./top/", .type = AE_IFDIR, .mode = 0700},
    {.name = "./top/lib/libx.so.1.2", .content = "library"},
    {.name = "./top/lib/libx.so.1", .type = AE_IFLNK, .link = "libx.so.1.2"},
    {.name = "./top/bin//llama-server", .content = "program", .mode = 0755},
    {.name = "./top/share/./name with blanks \xc3\xa4", .content = "text"},
    {.name = "./top/empty", .content = ""},
    {.name = "./top/up/link", .type = AE_IFLNK, .link = "../lib/libx.so.1"},
};

struct watched {
    uint64_t last, total;
    unsigned whole;
};

static void watch_progress(void *context, uint64_t bytes, uint64_t total)
{
    struct watched *w = context;
    assert_true(bytes <= total);
    w->whole += bytes == total;
    w->last = bytes;
    w->total = total;
}

/* Every format gives the same tree, and tells once that it is whole, at the end. */
static void test_formats(void **state)
{
    struct place *p = *state;
    for (enum format f = 0; f < FORMATS; f++) {
        struct member list[8];
        memcpy(list, good, sizeof(list));
        list[0] = (struct member){.name = "./", .type = AE_IFDIR, .mode = 0755};
        make_archive(p->file, f, list, 8);
        struct gfxb_error err = {0};
        struct watched watched = {.last = 0};
        const struct unpack_options watching = {.progress = watch_progress, .context = &watched};
        assert_int_equal(unpack_file(p->file, p->dest, &watching, &err), 0);
        assert_int_equal(watched.whole, 1);
        assert_int_equal(watched.last, watched.total);
        assert_content(p, "top/lib/libx.so.1.2", "library");
        assert_content(p, "top/lib/libx.so.1", "library");
        assert_content(p, "top/up/link", "library");
        assert_content(p, "top/share/name with blanks \xc3\xa4", "text");
        assert_content(p, "top/empty", "");
        assert_int_equal(mode_of(p, "top"), 0755);
        assert_int_equal(mode_of(p, "top/lib"), 0755);
        assert_int_equal(mode_of(p, "top/bin/llama-server"), 0755);
        assert_int_equal(mode_of(p, "top/lib/libx.so.1.2"), 0644);
        assert_link(p, "top/lib/libx.so.1", "libx.so.1.2");
        assert_int_equal(fs_remove_tree(p->dest), 0);
        assert_int_equal(mkdir(p->dest, 0700), 0);
    }
}

/* What reading the file says comes back, and in the sentence. */
static void test_unreadable(void **state)
{
    struct place *p = *state;
    struct gfxb_error err = {0};
    assert_int_equal(unpack_file(p->dir, p->dest, &plain, &err), -EISDIR);
    assert_non_null(strstr(err.text, "cannot be read"));
}

/* A link may lead to the archive's top, and no further. */
static void test_link_to_the_top(void **state)
{
    struct place *p = *state;
    struct gfxb_error err = {0};
    MAKE(p, TAR_GZ, {.name = "t/link", .type = AE_IFLNK, .link = "../victim"});
    assert_int_equal(unpack_file(p->file, p->dest, &plain, &err), 0);
    MAKE(p, TAR_GZ, {.name = "t/other", .type = AE_IFLNK, .link = "../../victim"});
    assert_int_equal(unpack_file(p->file, p->dest, &plain, &err), -GFXB_E_ARCHIVE_UNSAFE);
    assert_victim_safe(p);
}

/* zip archives of build artifacts: no executable bits, sonames as full copies. */
static void test_artifact_zip(void **state)
{
    struct place *p = *state;
    struct buf self = BUF_INIT((size_t)64 << 20);
    assert_int_equal(fs_read("/proc/self/exe", (size_t)64 << 20, &self), 0);
    struct unpack_options options = {.link_copies = true};
    MAKE(p, ZIP, {.name = "tool", .content = self.p, .size = self.n},
         {.name = "llama-cli", .content = "not ELF"}, {.name = "llama-notes.txt", .content = "t"},
         {.name = "libggml-hip.so", .content = "same content"},
         {.name = "libggml-hip.so.0", .content = "same content"},
         {.name = "libggml-hip.so.0.9", .content = "same content"},
         {.name = "libggml-hip.so.1", .content = "other content"},
         {.name = "libother.so", .content = "same content"},
         {.name = "rocblas/library/libz.so.1", .content = "z"},
         {.name = "rocblas/library/libz.so.1.2.11", .content = "z"});
    assert_int_equal(unpack_file(p->file, p->dest, &options, NULL), 0);
    assert_int_equal(mode_of(p, "tool"), 0755);
    assert_int_equal(mode_of(p, "llama-cli"), 0755);
    assert_int_equal(mode_of(p, "llama-notes.txt"), 0644);
    assert_int_equal(mode_of(p, "libggml-hip.so.0.9"), 0644);
    assert_link(p, "libggml-hip.so", "libggml-hip.so.0.9");
    assert_link(p, "libggml-hip.so.0", "libggml-hip.so.0.9");
    assert_link(p, "rocblas/library/libz.so.1", "libz.so.1.2.11");
    assert_content(p, "libggml-hip.so", "same content");
    assert_content(p, "libggml-hip.so.1", "other content");
    char *path = in_dest(p, "libother.so");
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode)); /* another library: no link */
    free(path);
    buf_done(&self);
}

static void test_hard_link(void **state)
{
    struct place *p = *state;
    MAKE(p, TAR_GZ, {.name = "a/file", .content = "once"},
         {.name = "b/again", .hard = true, .link = "./a/file"});
    assert_int_equal(unpack_file(p->file, p->dest, &plain, NULL), 0);
    assert_content(p, "b/again", "once");
}

/* A hole at the end of a sparse file is part of its size. */
static void test_sparse(void **state)
{
    struct place *p = *state;
    struct archive *a = open_writer(p->file, TAR_GZ);
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, "sparse");
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_size(e, 1 << 20);
    archive_entry_sparse_add_entry(e, 4096, 4096);
    char *content = calloc(1, 1 << 20);
    memset(content + 4096, 'x', 4096);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, content, 1 << 20), 1 << 20);
    archive_entry_free(e);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    assert_int_equal(unpack_file(p->file, p->dest, &plain, NULL), 0);
    struct buf b = BUF_INIT((1 << 20) + 1);
    char *path = in_dest(p, "sparse");
    assert_int_equal(fs_read(path, 1 << 20, &b), 0);
    assert_int_equal(b.n, 1 << 20);
    assert_memory_equal(b.p, content, 1 << 20);
    buf_done(&b);
    free(path);
    free(content);
}

/* ---- hostile archives ---- */

static const struct {
    const char *what;
    struct member member[3];
    const char *named;  /* part of the sentence: the entry */
    const char *reason; /* part of the sentence */
    bool tar_only;
} hostile[] = {
    {"absolute",
     {{.name = "/tmp/gfxbridge-evil", .content = "x"}},
     "/tmp/gfxbridge-evil",
     "absolute",
     false},
    {"up", {{.name = "../victim", .content = "x"}}, "../victim", "'..'", false},
    {"up inside", {{.name = "a/b/../../../victim", .content = "x"}}, "victim", "'..'", false},
    {"up at the end", {{.name = "a/..", .type = AE_IFDIR, .mode = 0755}}, "a/..", "'..'", false},
    {"up harmless", {{.name = "a/../b", .content = "x"}}, "a/../b", "'..'", false},
    {"link absolute",
     {{.name = "l", .type = AE_IFLNK, .link = "/etc/passwd"}},
     "'l'",
     "absolute",
     false},
    {"link up", {{.name = "l", .type = AE_IFLNK, .link = "../victim"}}, "'l'", "leads out", false},
    {"link up deep",
     {{.name = "a/b/l", .type = AE_IFLNK, .link = "../../../victim"}},
     "a/b/l",
     "leads out",
     false},
    {"link up behind a link",
     {{.name = "a/b/c/x", .content = "x"},
      {.name = "a/b/c/up", .type = AE_IFLNK, .link = "../../.."},
      {.name = "q", .type = AE_IFLNK, .link = "a/b/c/up/../victim"}},
     "'q'",
     "goes up again",
     false},
    {"write through a link",
     {{.name = "d/x", .content = "x"},
      {.name = "l", .type = AE_IFLNK, .link = "d"},
      {.name = "l/y", .content = "y"}},
     "l/y",
     "not a directory",
     false},
    {"link replaced by a file",
     {{.name = "d/x", .content = "x"},
      {.name = "l", .type = AE_IFLNK, .link = "d/x"},
      {.name = "l", .content = "overwritten"}},
     "'l'",
     "twice",
     false},
    {"hard link out", {{.name = "h", .hard = true, .link = "../victim"}}, "'h'", "hard link", true},
    {"hard link absolute",
     {{.name = "h", .hard = true, .link = "/etc/passwd"}},
     "'h'",
     "hard link",
     true},
    {"hard link to nothing",
     {{.name = "h", .hard = true, .link = "none"}},
     "'h'",
     "hard link",
     true},
    {"hard link to a link",
     {{.name = "x", .content = "x"},
      {.name = "l", .type = AE_IFLNK, .link = "x"},
      {.name = "h", .hard = true, .link = "l"}},
     "'h'",
     "hard link",
     true},
    {"character device", {{.name = "dev", .type = AE_IFCHR}}, "'dev'", "device", true},
    {"block device", {{.name = "dev", .type = AE_IFBLK}}, "'dev'", "device", true},
    {"fifo", {{.name = "pipe", .type = AE_IFIFO}}, "'pipe'", "FIFO", true},
    {"set-user-id", {{.name = "su", .content = "x", .mode = 04755}}, "'su'", "set-user-id", false},
    {"set-group-id",
     {{.name = "sg", .content = "x", .mode = 02755}},
     "'sg'",
     "set-group-id",
     false},
    {"twice",
     {{.name = "f", .content = "1"}, {.name = "./f", .content = "2"}},
     "'f'",
     "twice",
     false},
    {"capitals",
     {{.name = "File", .content = "1"}, {.name = "fILE", .content = "2"}},
     "'fILE'",
     "capital",
     false},
    {"capitals above",
     {{.name = "Lib/a", .content = "1"}, {.name = "lib/b", .content = "2"}},
     "lib/b",
     "capital",
     false},
    {"file as directory",
     {{.name = "f", .content = "1"}, {.name = "f/g", .content = "2"}},
     "f/g",
     "not a directory",
     false},
    {"directory as file",
     {{.name = "f/g", .content = "1"}, {.name = "f", .content = "2"}},
     "'f'",
     "twice",
     false},
    {"newline", {{.name = "a\nb", .content = "x"}}, "a\\x0ab", "control", false},
    {"escape", {{.name = "a\033[31mb", .content = "x"}}, "a\\x1b[31mb", "control", false},
    {"backslash", {{.name = "..\\victim", .content = "x"}}, "..\\x5cvictim", "backslash", true},
    {"top as a link", {{.name = "./", .type = AE_IFLNK, .link = "x"}}, "", "top itself", true},
};

/* Each is refused with its name in the sentence, and nothing outside changes. */
static void test_hostile(void **state)
{
    struct place *p = *state;
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        for (enum format f = TAR_GZ; f <= ZIP; f += ZIP - TAR_GZ) {
            if (f == ZIP && hostile[i].tar_only)
                continue;
            size_t n = 1;
            while (n < 3 && hostile[i].member[n].name)
                n++;
            make_archive(p->file, f, hostile[i].member, n);
            struct gfxb_error err = {0};
            int r = unpack_file(p->file, p->dest, &plain, &err);
            if (r != -GFXB_E_ARCHIVE_UNSAFE || !strstr(err.text, hostile[i].named) ||
                !strstr(err.text, hostile[i].reason))
                fail_msg("%s (format %d): result %d, \"%s\"", hostile[i].what, f, r, err.text);
            assert_int_equal(err.code, GFXB_E_ARCHIVE_UNSAFE);
            assert_victim_safe(p);
            assert_int_equal(fs_remove_tree(p->dest), 0);
            assert_int_equal(mkdir(p->dest, 0700), 0);
        }
    }
    assert_int_not_equal(access("/tmp/gfxbridge-evil", F_OK), 0);
}

/* A name of 5,000 bytes, one of 300 in one piece, 200 directories: refused, not cut. */
static void test_long_names(void **state)
{
    struct place *p = *state;
    char name[5001];
    const struct {
        size_t n;
        unsigned slash_every;
    } shape[] = {{5000, 100}, {300, 1000}, {400, 2}};
    for (size_t i = 0; i < 3; i++) {
        memset(name, 'x', shape[i].n);
        for (size_t k = 1; k < shape[i].n; k++) {
            if (k % shape[i].slash_every == shape[i].slash_every - 1)
                name[k] = '/';
        }
        name[shape[i].n] = '\0';
        name[shape[i].n - 1] = 'x';
        MAKE(p, TAR_GZ, {.name = name, .content = "x"});
        struct gfxb_error err = {0};
        assert_int_equal(unpack_file(p->file, p->dest, &plain, &err), -GFXB_E_ARCHIVE_UNSAFE);
        assert_true(strlen(err.text) < 500);
    }
}

/* A link that stands in the destination before is not followed. */
static void test_link_in_the_way(void **state)
{
    struct place *p = *state;
    char *path = in_dest(p, "lib");
    assert_int_equal(symlink(p->dir, path), 0);
    struct gfxb_error err = {0};
    MAKE(p, TAR_GZ, {.name = "lib/victim", .content = "evil"});
    assert_int_equal(unpack_file(p->file, p->dest, &plain, &err), -GFXB_E_ARCHIVE_UNSAFE);
    assert_victim_safe(p);
    free(path);
}

/* What is there already is never overwritten. */
static void test_file_in_the_way(void **state)
{
    struct place *p = *state;
    char *path = in_dest(p, "f");
    assert_int_equal(fs_write(path, "mine", 4, 0644, NULL), 0);
    MAKE(p, TAR_GZ, {.name = "f", .content = "theirs"});
    assert_int_equal(unpack_file(p->file, p->dest, &plain, NULL), -GFXB_E_ARCHIVE_UNSAFE);
    assert_content(p, "f", "mine");
    free(path);
}

/* Zeros compress a thousandfold: stopped by each of the limits, before they are on the disk. */
static void test_bombs(void **state)
{
    struct place *p = *state;
    size_t size = 8 << 20;
    char *zeros = calloc(1, size);
    const struct archive_limits limits[] = {
        {.max_bytes = 1 << 20},
        {.max_ratio = 100, .ratio_free = 1 << 20},
        {.max_entries = 1},
    };
    for (enum format f = TAR_GZ; f <= ZIP; f += ZIP - TAR_GZ) {
        for (size_t i = 0; i < 3; i++) {
            struct unpack_options options = {.limits = &limits[i]};
            struct gfxb_error err = {0};
            MAKE(p, f, {.name = "zeros", .content = zeros, .size = size},
                 {.name = "more", .content = zeros, .size = size});
            assert_int_equal(unpack_file(p->file, p->dest, &options, &err), -GFXB_E_ARCHIVE_UNSAFE);
            struct stat st = {0};
            char *path = in_dest(p, "zeros");
            assert_int_equal(stat(path, &st), 0);
            assert_true(i == 2 || (size_t)st.st_size < size);
            free(path);
            assert_int_equal(fs_remove_tree(p->dest), 0);
            assert_int_equal(mkdir(p->dest, 0700), 0);
        }
    }
    free(zeros);
}

/* Cut off anywhere, or with a byte changed, an archive is never taken for a good one: either it is
 * an error, or what came out is all there (a change behind the last entry). */
static void test_damaged(void **state)
{
    struct place *p = *state;
    char text[4000];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i * i % 26);
    for (enum format f = 0; f < FORMATS; f++) {
        struct buf whole = BUF_INIT(1 << 20);
        MAKE(p, f, {.name = "one", .content = text, .size = sizeof(text)},
             {.name = "two", .content = text, .size = sizeof(text)});
        assert_int_equal(fs_read(p->file, 1 << 20, &whole), 0);
        for (size_t n = 0; n < whole.n; n += 1 + whole.n / 60) {
            assert_int_equal(fs_write(p->file, whole.p, n, 0644, NULL), 0);
            struct gfxb_error err = {0};
            int r = unpack_file(p->file, p->dest, &plain, &err);
            struct stat st = {0};
            char *path = in_dest(p, "two");
            bool complete = stat(path, &st) == 0 && st.st_size == sizeof(text);
            assert_true(r < 0 ? err.text[0] != '\0' : complete);
            free(path);
            assert_int_equal(fs_remove_tree(p->dest), 0);
            assert_int_equal(mkdir(p->dest, 0700), 0);
        }
        buf_done(&whole);
    }
}

/* An error page that was served in an archive's place. */
static void test_not_an_archive(void **state)
{
    struct place *p = *state;
    static const char html[] = "<!DOCTYPE html><html><body>Not Found</body></html>";
    struct gfxb_error err = {0};
    assert_int_equal(fs_write(p->file, html, sizeof(html) - 1, 0644, NULL), 0);
    assert_int_equal(unpack_file(p->file, p->dest, &plain, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "a web page"));
    assert_int_equal(fs_write(p->file, "", 0, 0644, NULL), 0);
    assert_int_equal(unpack_file(p->file, p->dest, &plain, &err), -EBADMSG);
}

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
        int fd = open(path[i], O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, map, strlen(map)) < 0)
            return false;
        close(fd);
    }
    return true;
}

/* In a child with a file system of 1 MiB mounted over the destination. 0 as expected, 77 when such
 * a file system cannot be had here. */
static int disk_full_child(const struct place *p)
{
    if (!own_mounts())
        return 77;
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mount("none", p->dest, "tmpfs", 0, "size=1m") < 0)
        return 77;
    struct gfxb_error err = {0};
    int r = unpack_file(p->file, p->dest, &plain, &err);
    return r == -GFXB_E_DISK_FULL && strstr(err.text, "big") ? 0 : 1;
}

static void test_disk_full(void **state)
{
    struct place *p = *state;
    char *big = malloc(4 << 20);
    memset(big, 'x', 4 << 20);
    MAKE(p, TAR_GZ, {.name = "big", .content = big, .size = 4 << 20});
    free(big);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(disk_full_child(p));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- names and links, without files ---- */

static void test_clean_paths(void **state)
{
    (void)state;
    static const struct {
        const char *name, *clean; /* clean NULL: refused */
    } row[] = {
        {"a", "a"},
        {"./a/", "a"},
        {"a//b/./c", "a/b/c"},
        {"./", ""},
        {".", ""},
        {"...", "..."},
        {"a..b", "a..b"},
        {"", NULL},
        {"/", NULL},
        {"/a", NULL},
        {"..", NULL},
        {"a/..", NULL},
        {"a/../b", NULL},
        {"../a", NULL},
        {"a\\b", NULL},
        {"a\tb", NULL},
        {"a\x7f", NULL},
        {"\xc3\xa4", "\xc3\xa4"},
        {"\xc3", NULL},
        {"\xc0\xaf", NULL},
        {"\xed\xa0\x80", NULL},
        {"\xf4\x90\x80\x80", NULL},
        {"\xe0\x80\xaf", NULL},
        {"\xc2\x9b", NULL},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct buf b = BUF_INIT(4096);
        const char *problem = entry_path_clean(str_from(row[i].name), &b);
        if (row[i].clean) {
            assert_null(problem);
            assert_string_equal(buf_text(&b), row[i].clean);
        } else {
            assert_non_null(problem);
            assert_int_equal(b.n, 0);
        }
        buf_done(&b);
    }
    struct buf b = BUF_INIT(64);
    assert_non_null(entry_path_clean((struct str){"a\0b", 3}, &b));
    buf_done(&b);
}

static void test_link_targets(void **state)
{
    (void)state;
    static const struct {
        const char *path, *target;
        bool allowed;
    } row[] = {
        {"l", "a", true},         {"l", "a/b/c", true},       {"d/l", "../a", true},
        {"d/e/l", "../a", true},  {"d/e/l", "../../a", true}, {"d/l", "./../a", true},
        {"d/l", "..", true},      {"l", ".", true},           {"l", "..", false},
        {"d/l", "../..", false},  {"l", "/a", false},         {"l", "", false},
        {"d/l", "a/../b", false}, {"l", "a\nb", false},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        const char *problem = entry_link_problem(str_from(row[i].path), str_from(row[i].target));
        assert_int_equal(problem == NULL, row[i].allowed);
    }
}

static void test_shown_names(void **state)
{
    (void)state;
    char text[32];
    entry_path_show(STR("a\033\\\xff"), text, sizeof(text));
    assert_string_equal(text, "a\\x1b\\x5c\\xff");
    entry_path_show(STR("0123456789012345678901234567890123456789"), text, sizeof(text));
    assert_string_equal(text + strlen(text) - 3, "...");
    assert_true(strlen(text) < sizeof(text));
}

#define T(function) cmocka_unit_test_setup_teardown(function, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_formats),
        T(test_unreadable),
        T(test_link_to_the_top),
        T(test_artifact_zip),
        T(test_hard_link),
        T(test_sparse),
        T(test_hostile),
        T(test_long_names),
        T(test_link_in_the_way),
        T(test_file_in_the_way),
        T(test_bombs),
        T(test_damaged),
        T(test_not_an_archive),
        T(test_disk_full),
        cmocka_unit_test(test_clean_paths),
        cmocka_unit_test(test_link_targets),
        cmocka_unit_test(test_shown_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
