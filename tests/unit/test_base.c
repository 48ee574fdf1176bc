/* test_base.c - text, buffers, tables, writing, locks, children and digests. */
#include "base/base.h"
#include "base/digest.h"
#include "base/xalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <cmocka.h>

static char *scratch_dir(void)
{
    char *dir = strdup("/tmp/gfxbridge-base-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

/* ---- allocations that end the program ---- */

/* Exit code and words of a child that runs this. */
static void assert_dies_of_memory(void (*run)(void))
{
    int out[2], status = 0;
    char words[256] = "";
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDERR_FILENO);
        run();
        _exit(0);
    }
    close(out[1]);
    assert_true(read(out[0], words, sizeof(words) - 1) > 0);
    close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_string_equal(words, "gfxbridge: out of memory. Close other programs and try again.\n");
}

static void take_a_failed_buffer(void)
{
    struct buf b = BUF_INIT(2);
    buf_add_text(&b, "abc");
    free(xbuf_take(&b));
}

static void small_allocations_end_the_program(void **state)
{
    (void)state;
    assert_dies_of_memory(xalloc_die);
    assert_dies_of_memory(take_a_failed_buffer);
    struct buf b = BUF_INIT(10);
    char *text = xbuf_take(&b);
    assert_string_equal(text, "");
    free(text);
    assert_null(xstrdup_or_null(NULL));
    text = xasprintf("%s-%d", "a", 7);
    assert_string_equal(text, "a-7");
    free(text);
    /* A path that no file can have is the kernel's to refuse: it says more than "out of memory". */
    char *name = xasprintf("%08000d", 7);
    text = xfs_join("/d", name);
    assert_int_equal(strlen(text), 8003);
    assert_int_equal(fs_write(text, "", 0, 0600, NULL), -ENAMETOOLONG);
    free(text);
    free(name);
}

/* ---- str ---- */

static void str_numbers_are_strict(void **state)
{
    (void)state;
    uint64_t n = 7;
    assert_int_equal(str_to_u64(STR("110000"), 10, &n), 0);
    assert_int_equal(n, 110000);
    assert_int_equal(str_to_u64(STR("0x744C"), 16, &n), 0);
    assert_int_equal(n, 0x744c);
    assert_int_equal(str_to_u64(STR("18446744073709551615"), 10, &n), 0);
    assert_true(n == UINT64_MAX);
    assert_int_equal(str_to_u64(STR("18446744073709551616"), 10, &n), -ERANGE);
    static const char *const bad[] = {"", " 1", "1 ", "-1", "+1", "0x", "12a", "1.0", "٣"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        n = 7;
        assert_int_equal(str_to_u64(str_from(bad[i]), 10, &n), -EINVAL);
        assert_int_equal(n, 7);
    }
}

static void str_cut_gives_every_piece(void **state)
{
    (void)state;
    struct str rest = STR("a,,b,"), piece;
    const char *const want[] = {"a", "", "b", ""};
    for (size_t i = 0; i < 4; i++) {
        assert_true(str_cut(&rest, ',', &piece));
        assert_true(str_is(piece, want[i]));
    }
    assert_false(str_cut(&rest, ',', &piece));
}

static void str_lists_match_whole_words(void **state)
{
    (void)state;
    assert_true(str_list_has(STR("gfx1030 gfx1100"), STR("gfx1100")));
    assert_false(str_list_has(STR("gfx1030 gfx1100"), STR("gfx110")));
    assert_false(str_list_has(STR_NONE, STR("gfx110")));
    assert_true(str_has_nocase(STR("AMD Radeon"), STR("radeon")));
    assert_true(str_compare(STR("gfx90a"), STR("gfx90c")) < 0);
    assert_true(str_compare(STR("gfx9"), STR("gfx90a")) < 0);
}

/* ---- buf ---- */

static void buf_stops_at_its_maximum(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(10);
    buf_add_text(&b, "12345");
    buf_addf(&b, "%s", "67890");
    assert_true(buf_ok(&b));
    assert_string_equal(buf_text(&b), "1234567890");
    buf_add_char(&b, 'x');
    assert_false(buf_ok(&b));
    assert_string_equal(buf_text(&b), "1234567890");
    assert_null(buf_take(&b));
    char *empty = buf_take(&b);
    assert_string_equal(empty, "");
    free(empty);
}

/* ---- error ---- */

static void utf8_length_takes_only_well_formed_characters(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
    } cases[] = {
        {"", 0},
        {"a", 1},
        {"\x7f", 1},
        {"\xc3\xbc", 2},
        {"\xe2\x82\xac and more", 3},
        {"\xf0\x9f\x98\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\xc3", 0},             /* cut off */
        {"\xe2\x82", 0},         /* cut off */
        {"\xbc", 0},             /* a continuation */
        {"\xc0\x80", 0},         /* overlong */
        {"\xe0\x80\x80", 0},     /* overlong */
        {"\xf0\x80\x80\x80", 0}, /* overlong */
        {"\xed\xa0\x80", 0},     /* a surrogate */
        {"\xf4\x90\x80\x80", 0}, /* beyond U+10FFFF */
        {"\xff", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(utf8_length(str_from(cases[i].text)), cases[i].length);
}

static void utf8_is_cut_between_characters(void **state)
{
    (void)state;
    struct str text = STR("a\xe2\x82\xac\x62");
    static const size_t left[] = {0, 1, 1, 1, 4, 5, 5};
    for (size_t max = 0; max < sizeof(left) / sizeof(left[0]); max++)
        assert_int_equal(utf8_cut(text, max).n, left[max]);
    for (size_t n = 0; n <= text.n; n++)
        assert_int_equal(utf8_whole((struct str){text.p, n}).n, left[n]);
}

static void error_code_number_is_the_inverse_of_its_name(void **state)
{
    (void)state;
#define CODE_BACK(id, number, name) assert_int_equal(error_code_number(STR(name)), number);
    GFXB_CODE_MAP(CODE_BACK)
#undef CODE_BACK
    assert_int_equal(error_code_number(STR("io-error")), -EINVAL);
    assert_int_equal(error_code_number(STR_NONE), -EINVAL);
}

static void error_text_is_cut_at_a_character(void **state)
{
    (void)state;
    struct gfxb_error err;
    char long_text[2 * sizeof(err.text)];
    for (size_t i = 0; i + 2 < sizeof(long_text); i += 2)
        memcpy(long_text + i, "ü", 2);
    long_text[sizeof(long_text) - 2] = '\0';
    assert_int_equal(error_set(&err, GFXB_E_OFFLINE, "x%s", long_text), -GFXB_E_OFFLINE);
    size_t n = strlen(err.text);
    assert_true(n >= sizeof(err.text) - 3);
    assert_int_equal(n % 2, 1);
    error_prefix(&err, "installing: ");
    assert_int_equal(err.code, GFXB_E_OFFLINE);
    assert_int_equal(error_set(NULL, EIO, "nobody reads it"), -EIO);
    assert_string_equal(gfxb_code_name(GFXB_E_OFFLINE), "offline");
    assert_string_equal(gfxb_code_name(EIO), "io-error");
}

/* ---- table ---- */

static const char *const columns[] = {"id", "value", NULL};

static void table_gives_rows_and_empty_fields(void **state)
{
    (void)state;
    struct table t;
    struct table_row row;
    table_init(&t, "t.tsv", STR("# comment\n\nid\tvalue\r\na\t-\nb\tc d"), columns);
    assert_int_equal(table_next(&t, &row, NULL), 1);
    assert_true(str_is(row.field[0], "a") && row.field[1].n == 0);
    assert_int_equal(row.line, 4);
    assert_int_equal(table_next(&t, &row, NULL), 1);
    assert_true(str_is(row.field[1], "c d"));
    assert_int_equal(table_next(&t, &row, NULL), 0);
}

static void table_errors_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *begins;
    } bad[] = {
        {"", "t.tsv:"},
        {"id\n", "t.tsv:1:2 (value)"},
        {"id\tother\n", "t.tsv:1:2 (value)"},
        {"id\tvalue\na\n", "t.tsv:2:2 (value)"},
        {"id\tvalue\na\tb\tc\n", "t.tsv:2:2 (value)"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct table t;
        struct table_row row;
        struct gfxb_error err;
        table_init(&t, "t.tsv", str_from(bad[i].bytes), columns);
        assert_int_equal(table_next(&t, &row, &err), -GFXB_E_TABLE);
        assert_memory_equal(err.text, bad[i].begins, strlen(bad[i].begins));
    }
}

/* ---- fs ---- */

static void fs_writes_whole_files(void **state)
{
    (void)state;
    struct gfxb_error err;
    char *dir = scratch_dir(), *deep = fs_join(dir, "a b/c"), *file = fs_join(deep, "f");
    assert_int_equal(fs_make_dirs(deep, 0755, &err), 0);
    assert_int_equal(fs_write(file, "one", 3, 0600, &err), 0);
    assert_int_equal(fs_write(file, "two!", 4, 0640, &err), 0);
    struct buf b = BUF_INIT(100);
    assert_int_equal(fs_read(file, 100, &b), 0);
    assert_string_equal(buf_text(&b), "two!");
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    buf_clear(&b);
    assert_int_equal(fs_read(file, 3, &b), -EFBIG);
    buf_done(&b);
    char *under_file = fs_join(file, "x");
    assert_int_equal(fs_write(under_file, "", 0, 0600, &err), -ENOTDIR);
    assert_int_equal(fs_make_dirs(under_file, 0755, &err), -ENOTDIR);
    assert_int_equal(fs_remove_tree(dir), 0);
    assert_int_equal(access(dir, F_OK), -1);
    assert_int_equal(fs_remove_tree(dir), 0);
    free(under_file);
    free(file);
    free(deep);
    free(dir);
}

/* What a kill left of a write goes; the file and its neighbours stay. */
static void fs_sweeps_killed_writes(void **state)
{
    (void)state;
    static const char *const name[] = {"f", "f.tmp-aB3xYz", "f.tmp", "ff.tmp-aB3xYz", "g"};
    struct gfxb_error err;
    char *dir = scratch_dir(), *file = fs_join(dir, name[0]);
    for (size_t i = 0; i < 5; i++) {
        char *path = fs_join(dir, name[i]);
        assert_int_equal(fs_write(path, "x", 1, 0644, &err), 0);
        free(path);
    }
    fs_sweep_writes(file);
    for (size_t i = 0; i < 5; i++) {
        char *path = fs_join(dir, name[i]);
        assert_int_equal(access(path, F_OK), i == 1 ? -1 : 0);
        free(path);
    }
    char *all = fs_join(dir, "");
    fs_sweep_writes(all); /* the directory's */
    for (size_t i = 0; i < 5; i++) {
        char *path = fs_join(dir, name[i]);
        assert_int_equal(access(path, F_OK), i == 1 || i == 3 ? -1 : 0);
        free(path);
    }
    assert_int_equal(fs_remove_tree(dir), 0);
    fs_sweep_writes(file); /* nothing is there: nothing happens */
    fs_sweep_writes(all);
    free(all);
    free(file);
    free(dir);
}

/* Bytes from one file to another; by read and write where the kernel refuses (here: into a pipe).
 */
static void fs_copies(void **state)
{
    (void)state;
    static char bytes[50000], came[sizeof(bytes)];
    atomic_int cancel = 0;
    int pipes[2];
    char *dir = scratch_dir(), *from = fs_join(dir, "from"), *to = fs_join(dir, "to");
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(fs_write(from, bytes, sizeof(bytes), 0644, NULL), 0);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fs_copy(in, out, sizeof(bytes), &cancel), 0);
    assert_int_equal(pread(out, came, sizeof(came), 0), sizeof(bytes));
    assert_memory_equal(came, bytes, sizeof(bytes));
    assert_int_equal(fs_copy(in, out, 1, NULL), -EIO); /* it has no more */
    assert_int_equal(lseek(in, 0, SEEK_SET), 0);
    cancel = 1;
    assert_int_equal(fs_copy(in, out, sizeof(bytes), &cancel), -ECANCELED);
    assert_int_equal(lseek(in, 0, SEEK_SET), 0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    memset(came, 0, sizeof(came));
    assert_int_equal(fs_copy(in, pipes[1], sizeof(bytes), NULL), 0);
    assert_int_equal(read(pipes[0], came, sizeof(came)), sizeof(bytes));
    assert_memory_equal(came, bytes, sizeof(bytes));
    close(pipes[0]);
    close(pipes[1]);
    close(in);
    close(out);
    assert_int_equal(fs_remove_tree(dir), 0);
    free(to);
    free(from);
    free(dir);
}

/* The next openat of this name fails with EACCES, and a link to outside stands there afterwards: as
 * somebody who swaps a directory that we are about to remove would have it. */
static const char *swap_name, *swap_outside;

int openat(int dir, const char *name, int flags, ...)
{
    if (swap_name && strcmp(name, swap_name) == 0) {
        char away[64];
        snprintf(away, sizeof(away), "%s.away", name);
        swap_name = NULL;
        assert_int_equal(renameat(dir, name, dir, away), 0);
        assert_int_equal(symlinkat(swap_outside, dir, name), 0);
        errno = EACCES;
        return -1;
    }
    va_list args;
    va_start(args, flags);
    unsigned mode = flags & O_CREAT ? va_arg(args, unsigned) : 0;
    va_end(args);
    return (int)syscall(SYS_openat, dir, name, flags, mode);
}

static void fs_remove_tree_never_opens_up_what_a_link_leads_to(void **state)
{
    (void)state;
    char *dir = scratch_dir(), *outside = scratch_dir(), *closed = fs_join(dir, "closed");
    assert_int_equal(mkdir(closed, 0000), 0);
    assert_int_equal(chmod(outside, 0711), 0);
    swap_name = "closed";
    swap_outside = outside;
    assert_true(fs_remove_tree(dir) < 0); /* its neighbour changed under it */
    assert_null(swap_name);
    struct stat st;
    assert_int_equal(stat(outside, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0711);
    assert_int_equal(fs_remove_tree(dir), 0);
    assert_int_equal(fs_remove_tree(outside), 0);
    free(closed);
    free(outside);
    free(dir);
}

static void fs_publishes_once(void **state)
{
    (void)state;
    struct gfxb_error err;
    char *dir = scratch_dir(), *stage = fs_join(dir, "stage"), *final = fs_join(dir, "final");
    char *file = fs_join(stage, "sub/f");
    char *sub = fs_join(stage, "sub");
    assert_int_equal(fs_make_dirs(sub, 0755, &err), 0);
    assert_int_equal(fs_write(file, "x", 1, 0444, &err), 0);
    assert_int_equal(chmod(sub, 0555), 0);
    assert_int_equal(fs_publish_tree(stage, final, &err), 0);
    assert_int_equal(access(stage, F_OK), -1);
    assert_int_equal(fs_make_dirs(stage, 0755, &err), 0);
    assert_int_equal(fs_publish_tree(stage, final, &err), -EEXIST);
    assert_int_equal(access(stage, F_OK), 0);
    uint64_t bytes = 0;
    assert_int_equal(fs_tree_bytes(dir, &bytes), 0);
    assert_true(bytes >= 4096);
    assert_int_equal(fs_remove_tree(dir), 0);
    free(sub);
    free(file);
    free(final);
    free(stage);
    free(dir);
}

static void fs_lock_is_exclusive(void **state)
{
    (void)state;
    char *dir = scratch_dir(), *path = fs_join(dir, "lock");
    int first = -1, second = -1;
    assert_int_equal(fs_lock(path, true, NULL, &first, NULL), 0);
    assert_int_equal(fs_lock(path, false, NULL, &second, NULL), -EWOULDBLOCK);
    /* Removed by its holder: the next one must not lock the dead file. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(fs_lock(path, false, NULL, &second, NULL), 0);
    close(first);
    close(second);
    assert_int_equal(fs_remove_tree(dir), 0);
    free(path);
    free(dir);
}

static atomic_int cancelled;

static void cancel_now(int number)
{
    (void)number;
    cancelled = 1;
}

static void fs_lock_waits_until_it_is_free_or_cancelled(void **state)
{
    (void)state;
    char *dir = scratch_dir(), *path = fs_join(dir, "lock");
    struct gfxb_error err = {.code = 0};
    const struct itimerval soon = {.it_value = {.tv_usec = 100000}};
    int first = -1, second = -1, ready[2];
    assert_int_equal(fs_lock(path, true, NULL, &first, NULL), 0);
    cancelled = 0;
    signal(SIGALRM, cancel_now); /* SA_RESTART: flock itself would go on sleeping */
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    assert_int_equal(fs_lock(path, true, &cancelled, &second, &err), -GFXB_E_INTERRUPTED);
    assert_int_equal(err.code, GFXB_E_INTERRUPTED);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(second, -1);
    close(first);
    /* A free lock needs no waiting. */
    assert_int_equal(fs_lock(path, true, &cancelled, &second, NULL), 0);
    close(second);
    signal(SIGALRM, SIG_DFL);

    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (fs_lock(path, true, NULL, &first, NULL) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        usleep(100000);
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &(char){0}, 1), 1);
    cancelled = 0;
    assert_int_equal(fs_lock(path, true, &cancelled, &second, NULL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ready[0]);
    close(second);
    assert_int_equal(fs_remove_tree(dir), 0);
    free(path);
    free(dir);
}

/* ---- child ---- */

static int run(const char *script, int deadline_ms, struct child_result *ret)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    const char *const env[] = {"PATH=/usr/bin:/bin", "A=b c", NULL};
    struct child_spec spec = {.argv = argv,
                              .env = env,
                              .out_fd = -1,
                              .err_fd = -1,
                              .deadline_ms = deadline_ms,
                              .max_output = 1000};
    return child_run(&spec, ret, NULL);
}

static void child_collects_both_streams(void **state)
{
    (void)state;
    struct child_result r;
    assert_int_equal(run("echo \"$A\"; echo err >&2; env | wc -l; exit 3", 5000, &r), 0);
    assert_int_equal(WEXITSTATUS(r.status), 3);
    assert_false(child_result_ok(&r));
    assert_memory_equal(buf_text(&r.out), "b c\n", 4);
    assert_string_equal(buf_text(&r.err), "err\n");
    child_result_done(&r);
}

static void child_output_is_bounded(void **state)
{
    (void)state;
    struct child_result r;
    assert_int_equal(run("yes | head -c 5000000", 20000, &r), 0);
    assert_true(child_result_ok(&r));
    assert_int_equal(r.out.n, 1000);
    child_result_done(&r);
}

/* The grandchild whose number is in dir/pid does not live. */
static void assert_grandchild_is_gone(const char *dir)
{
    char *path = fs_join(dir, "pid");
    struct buf b = BUF_INIT(100);
    uint64_t pid = 0;
    assert_int_equal(fs_read(path, 100, &b), 0);
    assert_int_equal(str_to_u64(str_trim(buf_view(&b)), 10, &pid), 0);
    /* The grandchild was killed; it may be a zombie of init's for a moment. */
    for (int i = 0; i < 200 && kill((pid_t)pid, 0) == 0; i++) {
        char proc[64], line[400] = "";
        snprintf(proc, sizeof(proc), "/proc/%d/stat", (int)pid);
        FILE *f = fopen(proc, "r");
        if (f && fgets(line, sizeof(line), f) && strstr(line, ") Z")) {
            fclose(f);
            break;
        }
        if (f)
            fclose(f);
        usleep(10000);
        assert_int_not_equal(i, 199);
    }
    buf_done(&b);
    free(path);
}

static void child_ends_at_its_deadline_with_its_group(void **state)
{
    (void)state;
    struct child_result r;
    char *dir = scratch_dir();
    char script[200];
    snprintf(script, sizeof(script), "sleep 60 & echo $! > %s/pid; wait", dir);
    assert_int_equal(run(script, 300, &r), 0);
    assert_true(r.timed_out);
    child_result_done(&r);
    assert_grandchild_is_gone(dir);
    assert_int_equal(fs_remove_tree(dir), 0);
    free(dir);
}

/* Ends by itself and leaves a grandchild behind. */
static struct child start_leaving(const char *dir)
{
    char script[200];
    snprintf(script, sizeof(script), "sleep 60 & echo $! > %s/pid", dir);
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    struct child_spec spec = {.argv = argv, .env = env, .out_fd = -1, .err_fd = -1};
    struct child child = CHILD_NONE;
    assert_int_equal(child_start(&spec, &child, NULL), 0);
    return child;
}

static void child_that_ends_takes_its_group_along(void **state)
{
    (void)state;
    char *dir = scratch_dir();
    struct child child = start_leaving(dir);
    int status = -1;
    assert_int_equal(child_wait(&child, -1, &status), 1);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(child.pid, -1);
    assert_grandchild_is_gone(dir);
    assert_int_equal(fs_remove_tree(dir), 0);
    free(dir);
}

static void child_that_is_stopped_is_seen(void **state)
{
    (void)state;
    const char *const argv[] = {"/bin/sleep", "60", NULL};
    struct child_spec spec = {.argv = argv, .out_fd = -1, .err_fd = -1};
    struct child child = CHILD_NONE;
    siginfo_t info;
    int status = 0;
    assert_int_equal(child_start(&spec, &child, NULL), 0);
    assert_false(child_is_stopped(&child));
    kill(child.pid, SIGSTOP);
    assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WSTOPPED | WNOWAIT), 0);
    assert_true(child_is_stopped(&child));
    assert_true(child_is_stopped(&child)); /* to look does not change it */
    assert_int_equal(child_wait(&child, 0, NULL), 0);
    kill(child.pid, SIGCONT);
    assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WCONTINUED), 0);
    assert_false(child_is_stopped(&child));
    kill(child.pid, SIGSTOP);
    assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WSTOPPED | WNOWAIT), 0);
    child_end(&child, 60000, &status);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM); /* it is let go on, and ends */
    assert_false(child_is_stopped(&child));
}

static void child_that_another_has_reaped_is_ended_all_the_same(void **state)
{
    (void)state;
    char *dir = scratch_dir();
    struct child child = start_leaving(dir);
    int pidfd = child.pidfd, status = 7;
    assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
    assert_int_equal(child_wait(&child, 1000, &status), -ECHILD);
    child_end(&child, 1000, &status);
    assert_int_equal(status, 7); /* nobody knows */
    assert_int_equal(child.pid, -1);
    assert_int_equal(fcntl(pidfd, F_GETFD), -1);
    assert_grandchild_is_gone(dir);
    assert_int_equal(fs_remove_tree(dir), 0);
    free(dir);
}

static int refuse(void *context)
{
    return *(const int *)context;
}

static void child_whose_preparation_fails_is_not_started(void **state)
{
    (void)state;
    const char *const argv[] = {"/bin/true", NULL};
    int verdict = -EKEYREJECTED;
    struct child_spec spec = {.argv = argv,
                              .out_fd = -1,
                              .err_fd = -1,
                              .max_output = 10,
                              .before_exec = refuse,
                              .context = &verdict};
    struct child child = CHILD_NONE;
    struct child_result r;
    struct gfxb_error err = {.code = 0};
    assert_int_equal(child_start(&spec, &child, &err), -EKEYREJECTED);
    assert_int_equal(err.code, EKEYREJECTED);
    assert_non_null(strstr(err.text, "/bin/true"));
    assert_int_equal(child.pid, -1);
    assert_int_equal(child_run(&spec, &r, &err), -EKEYREJECTED);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left to be reaped */
    verdict = 0;
    assert_int_equal(child_run(&spec, &r, &err), 0);
    assert_true(child_result_ok(&r));
    child_result_done(&r);
}

#define CLOSED_SCRIPT "echo out; echo err >&2; if read x; then echo input; fi"

/* In a process of which some of 0-2 are closed. 0 or the number of what is wrong. */
static int use_children_without(unsigned closed, const char *out_path, const char *err_path)
{
    const char *const argv[] = {"/bin/sh", "-c", CLOSED_SCRIPT, NULL};
    struct child_spec spec = {.argv = argv, .max_output = 100};
    struct child child = CHILD_NONE;
    struct child_result r;
    for (int fd = 0; fd < 3; fd++) {
        if (closed & (1u << fd))
            close(fd);
    }
    /* They land on what was closed, in this order. */
    spec.err_fd = open(err_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    spec.out_fd = open(out_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (child_start(&spec, &child, NULL) < 0 || child_wait(&child, -1, NULL) != 1)
        return 1;
    /* Still the caller's. */
    if (write(spec.out_fd, "mine", 4) != 4 || write(spec.err_fd, "mine", 4) != 4)
        return 2;
    spec.err_fd = -1;
    if (child_start(&spec, &child, NULL) < 0 || child_wait(&child, -1, NULL) != 1)
        return 3;
    if (child_run(&spec, &r, NULL) < 0 || !str_is(buf_view(&r.out), "out\n") ||
        !str_is(buf_view(&r.err), "err\n"))
        return 4;
    return 0;
}

static void assert_file_is(const char *path, const char *text)
{
    struct buf b = BUF_INIT(200);
    assert_int_equal(fs_read(path, 100, &b), 0);
    assert_string_equal(buf_text(&b), text);
    buf_done(&b);
}

static void child_streams_are_right_where_ours_are_closed(void **state)
{
    (void)state;
    char *dir = scratch_dir(), *out = fs_join(dir, "out"), *errors = fs_join(dir, "err");
    for (unsigned closed = 0; closed < 8; closed++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(use_children_without(closed, out, errors));
        int status = -1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_file_is(out, "out\nmineout\n");
        assert_file_is(errors, "err\nmine");
    }
    assert_int_equal(fs_remove_tree(dir), 0);
    free(errors);
    free(out);
    free(dir);
}

static int open_what_is_closed(unsigned closed)
{
    char byte = 0;
    for (int fd = 0; fd < 3; fd++) {
        if (closed & (1u << fd))
            close(fd);
    }
    if (child_open_standard_fds() != 0)
        return 1;
    for (int fd = 0; fd < 3; fd++) {
        ssize_t n = fd == 0 ? read(fd, &byte, 1) : write(fd, "", 0);
        if (fcntl(fd, F_GETFD) < 0)
            return 2;
        if ((closed & (1u << fd)) && (n >= 0 || errno != EBADF))
            return 3;
    }
    return open("/dev/null", O_RDONLY) > 2 ? 0 : 4;
}

static void closed_standard_streams_are_taken(void **state)
{
    (void)state;
    for (unsigned closed = 0; closed < 8; closed++) {
        pid_t pid = fork();
        if (pid == 0) {
            int null = open("/dev/null", O_RDWR); /* whatever the tests were started with */
            for (int fd = 0; fd < 3; fd++)
                dup2(null, fd);
            _exit(open_what_is_closed(closed));
        }
        int status = -1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

static void child_that_is_not_there(void **state)
{
    (void)state;
    const char *const argv[] = {"/nonexistent/program", NULL};
    struct child_spec spec = {.argv = argv, .max_output = 10};
    struct child_result r;
    struct gfxb_error err;
    assert_int_equal(child_run(&spec, &r, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/program"));
}

static void child_gets_nothing_of_ours(void **state)
{
    (void)state;
    int leak = open("/dev/null", O_RDONLY); /* no O_CLOEXEC, as a careless library would */
    struct child_result r;
    setenv("LLAMA_ARG_MODEL", "x", 1);
    assert_int_equal(run("ls /proc/self/fd | wc -l; env | grep -c LLAMA", 5000, &r), 0);
    /* 0, 1, 2 and the directory that ls reads */
    assert_string_equal(buf_text(&r.out), "4\n0\n");
    child_result_done(&r);
    close(leak);
}

static void child_reads_its_input(void **state)
{
    (void)state;
    const char *const argv[] = {"/bin/cat", NULL};
    struct child_spec spec = {
        .argv = argv, .input = "hello", .max_output = 10, .deadline_ms = 5000};
    struct child_result r;
    assert_int_equal(child_run(&spec, &r, NULL), 0);
    assert_string_equal(buf_text(&r.out), "hello");
    child_result_done(&r);
}

static void child_orderly_end(void **state)
{
    (void)state;
    const char *const argv[] = {"/bin/sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.01; done",
                                NULL};
    struct child_spec spec = {.argv = argv, .out_fd = -1, .err_fd = -1};
    struct child child = CHILD_NONE;
    int status = 0;
    assert_int_equal(child_start(&spec, &child, NULL), 0);
    assert_int_equal(child_wait(&child, 200, &status), 0);
    child_end(&child, 5000, &status);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_int_equal(child.pid, -1);
    child_end(&child, 5000, NULL);
}

/* ---- digest ---- */

static void digest_known_answers(void **state)
{
    (void)state;
    char hex[DIGEST_HEX];
    assert_int_equal(digest_bytes("abc", 3, hex), 0);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    char *dir = scratch_dir(), *file = fs_join(dir, "f");
    assert_int_equal(fs_write(file, "", 0, 0600, NULL), 0);
    assert_int_equal(digest_file(file, hex, NULL), 0);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(digest_file("/nonexistent", hex, NULL), -ENOENT);
    assert_int_equal(fs_remove_tree(dir), 0);
    free(file);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_allocations_end_the_program),
        cmocka_unit_test(str_numbers_are_strict),
        cmocka_unit_test(str_cut_gives_every_piece),
        cmocka_unit_test(str_lists_match_whole_words),
        cmocka_unit_test(buf_stops_at_its_maximum),
        cmocka_unit_test(utf8_length_takes_only_well_formed_characters),
        cmocka_unit_test(utf8_is_cut_between_characters),
        cmocka_unit_test(error_code_number_is_the_inverse_of_its_name),
        cmocka_unit_test(error_text_is_cut_at_a_character),
        cmocka_unit_test(table_gives_rows_and_empty_fields),
        cmocka_unit_test(table_errors_name_the_place),
        cmocka_unit_test(fs_writes_whole_files),
        cmocka_unit_test(fs_sweeps_killed_writes),
        cmocka_unit_test(fs_copies),
        cmocka_unit_test(fs_remove_tree_never_opens_up_what_a_link_leads_to),
        cmocka_unit_test(fs_publishes_once),
        cmocka_unit_test(fs_lock_is_exclusive),
        cmocka_unit_test(fs_lock_waits_until_it_is_free_or_cancelled),
        cmocka_unit_test(child_collects_both_streams),
        cmocka_unit_test(child_output_is_bounded),
        cmocka_unit_test(child_ends_at_its_deadline_with_its_group),
        cmocka_unit_test(child_that_ends_takes_its_group_along),
        cmocka_unit_test(child_that_is_stopped_is_seen),
        cmocka_unit_test(child_that_another_has_reaped_is_ended_all_the_same),
        cmocka_unit_test(child_whose_preparation_fails_is_not_started),
        cmocka_unit_test(child_streams_are_right_where_ours_are_closed),
        cmocka_unit_test(closed_standard_streams_are_taken),
        cmocka_unit_test(child_that_is_not_there),
        cmocka_unit_test(child_gets_nothing_of_ours),
        cmocka_unit_test(child_reads_its_input),
        cmocka_unit_test(child_orderly_end),
        cmocka_unit_test(digest_known_answers),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
