/*
 * test_root.c - sysroot/: the three kinds of roots. That nothing outside a root is ever read, that
 * nothing blocks, that absence is told from ignorance, and that a .machine text says what it was
 * written from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct root *parse(const char *text)
{
    struct root *root = NULL;
    struct gfxb_error err = {0};
    int r = root_new_text("test", str_from(text), &root, &err);
    if (r < 0)
        fail_msg("%s", err.text);
    return root;
}

static void assert_read(const struct root *root, const char *path, const char *bytes, size_t n)
{
    struct buf CLEAN_BUF b = BUF_INIT(1 << 20);
    assert_int_equal(root_read(root, path, 1 << 20, &b), 0);
    assert_int_equal(b.n, n);
    assert_memory_equal(buf_text(&b), bytes, n);
}

static int read_result(const struct root *root, const char *path)
{
    struct buf CLEAN_BUF b = BUF_INIT(1 << 20);
    return root_read(root, path, 1 << 20, &b);
}

static void assert_list(const struct root *root, const char *path, const char *expected)
{
    struct root_names names = {NULL, 0};
    struct buf CLEAN_BUF b = BUF_INIT(4096);
    assert_int_equal(root_list(root, path, &names), 0);
    for (size_t i = 0; i < names.n; i++)
        buf_addf(&b, "%s ", names.name[i]);
    root_names_done(&names);
    assert_string_equal(buf_text(&b), expected);
}

/* ---- the .machine format ---- */

static void text_gives_what_its_lines_say(void **state)
{
    struct root *root = parse("gfxbridge machine 1\n"
                              "# a comment\n"
                              "\n"
                              "file /one 0x1002\n"
                              "file /blanks  two blanks \r\n"
                              "file /empty\n"
                              "file /block\n"
                              "    first\n"
                              "\n"
                              "\tthird\r\n"
                              "\n"
                              "hex /bytes 00ff\n"
                              "hex /more\n"
                              "    41 42\n"
                              "    43\n"
                              "link /there one\n"
                              "file /odd%20name%25 x\n"
                              "file /last y");
    assert_read(root, "/one", "0x1002\n", 7);
    assert_read(root, "/blanks", " two blanks \n", 13);
    assert_read(root, "/empty", "", 0);
    assert_read(root, "/block", "first\n\nthird\n", 13);
    assert_read(root, "/bytes", "\0\377", 2);
    assert_read(root, "/more", "ABC", 3);
    assert_read(root, "/there", "0x1002\n", 7);
    assert_read(root, "/odd name%", "x\n", 2);
    assert_read(root, "/last", "y\n", 2);
    assert_false(root_is_live(root));
    root_free(root);
}

static void malformed_text_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "test:1: the first line"},
        {"gfxbridge machine 2\n", "test:1: the first line"},
        {"gfxbridge machine 1\nfoo /a\n", "test:2: 'foo' is none of"},
        {"gfxbridge machine 1\nfile\n", "test:2: a path is missing"},
        {"gfxbridge machine 1\n\nfile a b\n", "test:3: 'a' is not an absolute path"},
        {"gfxbridge machine 1\nfile /a/../b c\n", "test:2: a path may not hold"},
        {"gfxbridge machine 1\nfile /a//b c\n", "test:2: a path may not hold"},
        {"gfxbridge machine 1\nfile /a/ c\n", "test:2: a path may not hold"},
        {"gfxbridge machine 1\nfile /a%0 c\n", "test:2: '%' must be followed"},
        {"gfxbridge machine 1\nfile /a%00 c\n", "test:2: '%' must be followed"},
        {"gfxbridge machine 1\nfile /a b\nfile /a c\n",
         "test:3: /a was recorded before, in line 2"},
        {"gfxbridge machine 1\nfile /a b\nfile /a/b c\n", "test:3: /a/b lies below line 2"},
        {"gfxbridge machine 1\nabsent /a\nfile /a/b c\n", "lies below line 2"},
        {"gfxbridge machine 1\n    stray\n", "test:2: an indented line"},
        {"gfxbridge machine 1\nfile /a b\n    c\n", "test:3: an indented line"},
        {"gfxbridge machine 1\nlink /a\n", "test:2: a link has one target"},
        {"gfxbridge machine 1\nlink /a b c\n", "test:2: a link has one target"},
        {"gfxbridge machine 1\nhex /a 0\n", "test:2: half a byte"},
        {"gfxbridge machine 1\nhex /a 0g\n", "test:2: not a hex digit"},
        {"gfxbridge machine 1\nhex /a\n    zz\n", "test:2: not a hex digit"},
        {"gfxbridge machine 1\nchar /a\n", "test:2: a device node needs"},
        {"gfxbridge machine 1\nchar /a 0660 0\n", "test:2: a device node needs"},
        {"gfxbridge machine 1\nchar /a 0860 0 0\n", "test:2: a device node needs"},
        {"gfxbridge machine 1\nchar /a 0660 0 99999999999\n", "test:2: a device node needs"},
        {"gfxbridge machine 1\nchar /a 0660 0 0 open=EWHAT\n", "test:2: 'open=' needs"},
        {"gfxbridge machine 1\nchar /a 0660 0 0 open=ok more\n", "test:2: words behind"},
        {"gfxbridge machine 1\ndir /a b\n", "test:2: words behind"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct root *root = NULL;
        struct gfxb_error err = {0};
        assert_int_equal(root_new_text("test", str_from(cases[i].text), &root, &err), -EINVAL);
        assert_null(root);
        if (!strstr(err.text, cases[i].part))
            fail_msg("case %zu: '%s' lacks '%s'", i, err.text, cases[i].part);
    }
}

/* Also one of 128 bytes, of which nothing was shown once. */
static void a_bad_path_is_shown_in_the_message(void **state)
{
    (void)state;
    for (size_t n = 100; n <= 300; n++) {
        struct buf CLEAN_BUF text = BUF_INIT(1000);
        struct root *root = NULL;
        struct gfxb_error err = {0};
        buf_add_text(&text, "gfxbridge machine 1\nfile ");
        for (size_t i = 0; i < n; i++)
            buf_add_char(&text, 'a');
        buf_add_text(&text, " x\n");
        assert_int_equal(root_new_text("test", buf_view(&text), &root, &err), -EINVAL);
        assert_non_null(strstr(err.text, "test:2: 'aaaaaaaaaa"));
    }
}

static void links_are_followed_inside_a_capture(void **state)
{
    struct root *root = parse("gfxbridge machine 1\n"
                              "link /sys/class/drm/card0 ../../devices/pci/0000:03:00.0/drm/card0\n"
                              "link /sys/devices/pci/0000:03:00.0/drm/card0/device ../..\n"
                              "file /sys/devices/pci/0000:03:00.0/vendor 0x1002\n"
                              "link /absolute /sys/devices\n"
                              "link /out ../../../../sys/devices/pci/0000:03:00.0/vendor\n"
                              "link /dangling nothing/here\n"
                              "link /ring1 ring2\n"
                              "link /ring2 ring1\n"
                              "link /self/again ..\n");
    char target[64];
    struct root_stat st;
    assert_read(root, "/sys/class/drm/card0/device/vendor", "0x1002\n", 7);
    assert_read(root, "/absolute/pci/0000:03:00.0/vendor", "0x1002\n", 7);
    assert_read(root, "/out", "0x1002\n", 7);
    assert_read(root, "/self/again/out", "0x1002\n", 7);
    assert_int_equal(root_readlink(root, "/sys/class/drm/card0/device", target, sizeof(target)), 0);
    assert_string_equal(target, "../..");
    assert_int_equal(root_readlink(root, "/sys/class", target, sizeof(target)), -EINVAL);
    assert_int_equal(root_readlink(root, "/sys/class/drm/card0", target, 5), -E2BIG);
    assert_int_equal(read_result(root, "/ring1"), -ELOOP);
    assert_int_equal(read_result(root, "/dangling"), -ENODATA);
    assert_int_equal(root_stat(root, "/dangling", &st), 0);
    assert_int_equal(st.kind, ROOT_LINK);
    assert_int_equal(root_stat(root, "/absolute", &st), 0);
    assert_int_equal(st.kind, ROOT_DIR);
    assert_false(root_knows(root, "/dangling"));
    root_free(root);
}

static void absence_is_told_from_ignorance(void **state)
{
    struct root *root = parse("gfxbridge machine 1\n"
                              "dir /dev\n"
                              "absent /sys/class/kfd\n"
                              "file /etc/os-release x\n"
                              "denied /secret\n");
    struct root_stat st;
    assert_int_equal(root_stat(root, "/dev/kfd", &st), -ENOENT);
    assert_int_equal(root_stat(root, "/dev/dri/renderD128", &st), -ENOENT);
    assert_int_equal(root_stat(root, "/sys/class/kfd", &st), -ENOENT);
    assert_int_equal(read_result(root, "/sys/class/kfd/kfd/topology/x"), -ENOENT);
    assert_int_equal(root_stat(root, "/sys/class/drm", &st), -ENODATA);
    assert_int_equal(read_result(root, "/etc/group"), -ENODATA);
    assert_int_equal(root_try_open(root, "/dev/kfd"), -ENOENT);
    assert_int_equal(root_try_open(root, "/nothing"), -ENODATA);
    assert_int_equal(read_result(root, "/secret"), -EACCES);
    assert_int_equal(read_result(root, "/secret/inside"), -EACCES);
    assert_true(root_knows(root, "/dev/kfd"));
    assert_true(root_knows(root, "/sys/class/kfd/kfd"));
    assert_true(root_knows(root, "/etc/os-release"));
    assert_false(root_knows(root, "/etc/group"));
    assert_false(root_knows(root, "/usr"));
    root_free(root);
}

static void device_nodes_open_as_recorded(void **state)
{
    struct root *root = parse("gfxbridge machine 1\n"
                              "char /dev/kfd 0660 0 992 open=EACCES\n"
                              "char /dev/null 0666 0 0 open=ok\n"
                              "char /dev/dxg 0666 0 0\n"
                              "file /dev/file x\n");
    struct root_stat st;
    assert_int_equal(root_try_open(root, "/dev/kfd"), -EACCES);
    assert_int_equal(root_try_open(root, "/dev/null"), 0);
    assert_int_equal(root_try_open(root, "/dev/dxg"), -ENODATA);
    assert_int_equal(root_try_open(root, "/dev/file"), -ENODEV);
    assert_int_equal(root_stat(root, "/dev/kfd", &st), 0);
    assert_int_equal(st.kind, ROOT_CHAR);
    assert_int_equal(st.mode, 0660);
    assert_int_equal(st.gid, 992);
    assert_int_equal(read_result(root, "/dev/kfd"), -EINVAL);
    root_free(root);
}

static void listings_are_sorted_and_hold_every_name_once(void **state)
{
    struct root *root = parse("gfxbridge machine 1\n"
                              "file /d/card1-HDMI x\n"
                              "file /d/card1/b x\n"
                              "file /d/card1/a x\n"
                              "file /d/card1.old x\n"
                              "file /d/card10 x\n"
                              "absent /d/gone\n"
                              "link /d/link card1\n"
                              "dir /d/void\n");
    assert_list(root, "/d", "card1 card1-HDMI card1.old card10 link void ");
    assert_list(root, "/d/link", "a b ");
    assert_list(root, "/d/void", "");
    assert_list(root, "/", "d ");
    struct root_names names;
    assert_int_equal(root_list(root, "/d/card10", &names), -ENOTDIR);
    assert_int_equal(root_list(root, "/e", &names), -ENODATA);
    assert_int_equal(read_result(root, "/d"), -EISDIR);
    root_free(root);
}

static void lines_and_numbers_are_strict(void **state)
{
    struct root *root = parse("gfxbridge machine 1\n"
                              "file /dec 1002\n"
                              "file /hex 0x1002\n"
                              "file /bad 12 34\n"
                              "file /minus -1\n"
                              "file /huge 99999999999999999999\n"
                              "file /empty\n"
                              "file /long 0123456789\n"
                              "hex /nul 3100320a\n"
                              "hex /late 310a00\n"
                              "file /lines\n"
                              "      one  \n"
                              "    two\n");
    uint64_t value = 7;
    char line[10];
    assert_int_equal(root_read_u64(root, "/dec", &value), 0);
    assert_int_equal(value, 1002);
    assert_int_equal(root_read_u64(root, "/hex", &value), 0);
    assert_int_equal(value, 0x1002);
    assert_int_equal(root_read_u64(root, "/late", &value), 0);
    assert_int_equal(value, 1);
    static const char *const bad[] = {"/bad", "/minus", "/huge", "/empty", "/nul"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(root_read_u64(root, bad[i], &value), -EINVAL);
    assert_int_equal(value, 1);
    assert_int_equal(root_read_line(root, "/long", line, sizeof(line)), -E2BIG);
    assert_int_equal(root_read_line(root, "/nul", line, sizeof(line)), -EINVAL);
    assert_int_equal(root_read_line(root, "/lines", line, sizeof(line)), 0);
    assert_string_equal(line, "one");
    assert_int_equal(root_read_line(root, "/empty", line, sizeof(line)), 0);
    assert_string_equal(line, "");
    struct buf CLEAN_BUF b = BUF_INIT(100);
    assert_int_equal(root_read(root, "/long", 4, &b), 0);
    assert_string_equal(buf_text(&b), "0123");
    root_free(root);
}

static void what_is_written_is_read_back(void **state)
{
    static const struct {
        const char *path;
        struct str bytes;
    } files[] = {
        {"/plain", STR("0x1002\n")},  {"/lines", STR("a\nb\n")},
        {"/inner", STR("a\n\nb\n")},  {"/leading", STR("\n\na\n")},
        {"/trailing", STR("a\n\n")},  {"/newline", STR("\n")},
        {"/blanks", STR("  a  \n")},  {"/indented", STR("\tx\n    y\n")},
        {"/empty", STR("")},          {"/binary", STR("a\0b\377\r\n")},
        {"/utf8", STR("\303\251\n")}, {"/na me%/with\tall", STR("x\n")},
    };
    struct buf CLEAN_BUF text = BUF_INIT(1 << 16);
    struct root_stat node = {ROOT_CHAR, 0640, 3, 44};
    root_write_header(&text);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        root_write_file(&text, files[i].path, files[i].bytes);
    root_write_link(&text, "/link", "../to here");
    root_write_mark(&text, "dir", "/dir");
    root_write_mark(&text, "absent", "/absent");
    root_write_mark(&text, "denied", "/denied");
    root_write_char(&text, "/dev/a", &node, -EACCES);
    root_write_char(&text, "/dev/b", &node, 0);
    root_write_char(&text, "/dev/c", &node, -ENODATA);
    assert_true(buf_ok(&text));
    struct root *root = parse(buf_text(&text));
    char target[64];
    struct root_stat st;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        assert_read(root, files[i].path, files[i].bytes.p, files[i].bytes.n);
    assert_int_equal(root_readlink(root, "/link", target, sizeof(target)), 0);
    assert_string_equal(target, "../to here");
    assert_list(root, "/dir", "");
    assert_int_equal(root_stat(root, "/absent", &st), -ENOENT);
    assert_int_equal(read_result(root, "/denied"), -EACCES);
    assert_int_equal(root_try_open(root, "/dev/a"), -EACCES);
    assert_int_equal(root_try_open(root, "/dev/b"), 0);
    assert_int_equal(root_try_open(root, "/dev/c"), -ENODATA);
    assert_int_equal(root_stat(root, "/dev/a", &st), 0);
    assert_int_equal(st.mode, 0640);
    assert_int_equal(st.uid, 3);
    assert_int_equal(st.gid, 44);
    root_free(root);
}

/* ---- directories ---- */

struct place {
    char dir[64];
    struct root *root;
};

static void put(const struct place *p, const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof(full), "%s%s", p->dir, path);
    for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0755);
        *slash = '/';
    }
    int fd = open(full, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void put_link(const struct place *p, const char *path, const char *target)
{
    char full[256];
    snprintf(full, sizeof(full), "%s%s", p->dir, path);
    assert_int_equal(symlink(target, full), 0);
}

static int place_setup(void **state)
{
    static struct place p;
    struct gfxb_error err = {0};
    snprintf(p.dir, sizeof(p.dir), "%s", "/tmp/test_root.XXXXXX");
    if (!mkdtemp(p.dir))
        return -1;
    int r = root_new(p.dir, &p.root, &err);
    if (r < 0)
        print_error("%s\n", err.text);
    *state = &p;
    return r;
}

static int place_teardown(void **state)
{
    struct place *p = *state;
    root_free(p->root);
    return fs_remove_tree(p->dir);
}

static void links_never_lead_out_of_a_directory(void **state)
{
    const struct place *p = *state;
    put(p, "/etc/inside", "inside\n");
    put_link(p, "/absolute", "/etc/inside");
    put_link(p, "/up", "../../../../../../etc/inside");
    put_link(p, "/passwd", "/etc/passwd");
    put_link(p, "/proc", "/proc/self/root");
    assert_read(p->root, "/absolute", "inside\n", 7);
    assert_read(p->root, "/up", "inside\n", 7);
    assert_read(p->root, "/../../etc/inside", "inside\n", 7);
    struct root_stat st;
    assert_true(read_result(p->root, "/passwd") < 0);
    assert_true(read_result(p->root, "/proc/etc/passwd") < 0);
    assert_int_equal(root_stat(p->root, "/passwd", &st), 0);
    assert_int_equal(st.kind, ROOT_LINK);
}

static void only_regular_files_are_read_and_nothing_blocks(void **state)
{
    const struct place *p = *state;
    char fifo[128];
    put(p, "/sys/file", "x");
    snprintf(fifo, sizeof(fifo), "%s/sys/fifo", p->dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(read_result(p->root, "/sys/fifo"), -EINVAL);
    assert_int_equal(read_result(p->root, "/sys"), -EISDIR);
    struct root_names names;
    assert_int_equal(root_list(p->root, "/sys/fifo", &names), -ENOTDIR);
    assert_int_equal(root_list(p->root, "/sys/file", &names), -ENOTDIR);
    /* A copied device node says nothing about opening the real one. */
    assert_int_equal(root_try_open(p->root, "/sys/file"), -ENODATA);
}

static void links_that_became_files_are_followed(void **state)
{
    const struct place *p = *state;
    put(p, "/sys/devices/pci/0000:03:00.0/vendor", "0x1002\n");
    put(p, "/sys/devices/pci/0000:03:00.0/driver", "../../../bus/pci/drivers/amdgpu");
    put(p, "/sys/devices/pci/0000:03:00.0/drm/card0/device", "../../../0000:03:00.0");
    put(p, "/sys/class/drm/card0", "../../devices/pci/0000:03:00.0/drm/card0");
    put(p, "/sys/class/drm/text", "../starts like one but ends in a newline\n");
    put(p, "/sys/class/drm/ring", "../drm/ring");
    char target[64];
    struct root_stat st;
    assert_read(p->root, "/sys/class/drm/card0/device/vendor", "0x1002\n", 7);
    assert_list(p->root, "/sys/class/drm/card0", "device ");
    assert_list(p->root, "/sys/class/drm/card0/device", "driver drm vendor ");
    assert_int_equal(
        root_readlink(p->root, "/sys/class/drm/card0/device/driver", target, sizeof(target)), 0);
    assert_string_equal(target, "../../../bus/pci/drivers/amdgpu");
    assert_int_equal(root_readlink(p->root, "/sys/class/drm/card0", target, sizeof(target)), 0);
    assert_int_equal(root_stat(p->root, "/sys/class/drm/card0", &st), 0);
    assert_int_equal(st.kind, ROOT_DIR);
    assert_int_equal(root_stat(p->root, "/sys/class/drm/card0/device/driver", &st), 0);
    assert_int_equal(st.kind, ROOT_LINK);
    assert_true(root_stat(p->root, "/sys/class/drm/card0/device/nothing", &st) < 0);
    assert_true(root_stat(p->root, "/sys/class/drm/card0/nothing/more", &st) < 0);
    assert_int_equal(root_stat(p->root, "/sys/class/drm/text", &st), 0);
    assert_int_equal(st.kind, ROOT_FILE);
    assert_int_equal(root_readlink(p->root, "/sys/class/drm/text", target, sizeof(target)),
                     -EINVAL);
    assert_true(read_result(p->root, "/sys/class/drm/ring") < 0);
}

static void a_partial_copy_claims_little(void **state)
{
    const struct place *p = *state;
    put(p, "/sys/class/drm/card0/device/vendor", "0x1002\n");
    put(p, "/dev/null", "");
    put_link(p, "/sys/class/drm/card9", "../../devices/not/copied");
    put(p, "/sys/bus/pci/drivers/other/uevent", "");
    put_link(p, "/sys/class/drm/card0/device/driver", "../../../../bus/pci/drivers/amdgpu");
    struct root_stat st;
    assert_int_equal(root_stat(p->root, "/dev/kfd", &st), -ENOENT);
    assert_int_equal(root_stat(p->root, "/sys/class/kfd/kfd", &st), -ENODATA);
    assert_int_equal(root_stat(p->root, "/usr/share/vulkan/icd.d", &st), -ENODATA);
    assert_int_equal(read_result(p->root, "/sys/class/drm/card0/device/revision"), -ENOENT);
    assert_int_equal(read_result(p->root, "/sys/class/drm/card9/device/vendor"), -ENODATA);
    /* Next to what the link leads to something was copied: that is no reason either. */
    assert_int_equal(read_result(p->root, "/sys/class/drm/card0/device/driver/module/version"),
                     -ENODATA);
    assert_int_equal(read_result(p->root, "/sys/bus/pci/drivers/amdgpu/uevent"), -ENOENT);
    assert_false(root_knows(p->root, "/proc/meminfo"));
    assert_true(root_knows(p->root, "/dev/kfd"));
}

/* ---- the live computer, and what is no root ---- */

static void the_live_computer_is_read_and_its_nodes_opened(void **state)
{
    struct root *root = NULL;
    struct gfxb_error err = {0};
    char line[128];
    assert_int_equal(root_new(NULL, &root, &err), 0);
    assert_true(root_is_live(root));
    assert_int_equal(root_read_line(root, "/proc/sys/kernel/ostype", line, sizeof(line)), 0);
    assert_string_equal(line, "Linux");
    assert_int_equal(root_try_open(root, "/dev/null"), 0);
    assert_int_equal(root_try_open(root, "/dev/no-such-node"), -ENOENT);
    assert_int_equal(root_try_open(root, "/proc/version"), -ENODEV);
    assert_true(root_knows(root, "/dev/no-such-node"));
    struct root_stat st;
    assert_int_equal(root_readlink(root, "/proc/self/fd/0/x", line, sizeof(line)), -ENOENT);
    assert_int_equal(root_readlink(root, "/proc/mounts", line, sizeof(line)), 0);
    assert_string_equal(line, "self/mounts");
    assert_int_equal(root_readlink(root, "/proc/mounts", line, 11), -E2BIG);
    assert_int_equal(root_stat(root, "/proc/version/x", &st), -ENOENT);
    assert_int_equal(read_result(root, "/proc/version/x"), -ENOENT);
    assert_int_equal(root_stat(root, "/dev/null", &st), 0);
    assert_true(st.kind == ROOT_CHAR && st.mode == 0666);
    root_free(root);
    root_free(NULL);
}

static void what_is_no_root_is_refused(void **state)
{
    struct root *root = NULL;
    struct gfxb_error err = {0};
    assert_int_equal(root_new("/no/such/place", &root, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/no/such/place"));
    assert_int_equal(root_new("/dev/null", &root, &err), -EINVAL);
    assert_int_equal(root_new("/proc/version", &root, &err), -EINVAL);
    assert_null(root);
}

int main(void)
{
#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, place_setup, place_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_gives_what_its_lines_say),
        cmocka_unit_test(malformed_text_is_refused_with_its_line),
        cmocka_unit_test(a_bad_path_is_shown_in_the_message),
        cmocka_unit_test(links_are_followed_inside_a_capture),
        cmocka_unit_test(absence_is_told_from_ignorance),
        cmocka_unit_test(device_nodes_open_as_recorded),
        cmocka_unit_test(listings_are_sorted_and_hold_every_name_once),
        cmocka_unit_test(lines_and_numbers_are_strict),
        cmocka_unit_test(what_is_written_is_read_back),
        WITH_PLACE(links_never_lead_out_of_a_directory),
        WITH_PLACE(only_regular_files_are_read_and_nothing_blocks),
        WITH_PLACE(links_that_became_files_are_followed),
        WITH_PLACE(a_partial_copy_claims_little),
        cmocka_unit_test(the_live_computer_is_read_and_its_nodes_opened),
        cmocka_unit_test(what_is_no_root_is_refused),
    };
    return cmocka_run_group_tests_name("root", tests, NULL, NULL);
}
