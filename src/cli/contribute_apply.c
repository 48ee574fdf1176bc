/* contribute_apply.c - a contribution into a checkout of this project: the computer, what detection
 * makes of it, and the tables' rows; each file as a whole, and all of them again after a kill. */
#include "cli/cli.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/wait.h>

enum { TABLE_MAX = 16 << 20, OUTPUT_SHOWN = 4096 };

struct apply {
    struct cli *cli;
    const char *dir; /* the checkout, absolute */
    struct buf table[GFX_TABLES];
    const char *path[GFX_TABLES];
};

/* The checkout's directory, which must look like one. */
static const char *apply_checkout(struct cli *cli, const char *given)
{
    struct buf CLEAN_BUF build = BUF_INIT(1 << 20);
    char *CLEAN_FREE dir = realpath(given ? given : ".", NULL);
    char *CLEAN_FREE file = dir ? xfs_join(dir, "meson.build") : NULL;
    if (!file || fs_read(file, 1 << 20, &build) < 0 ||
        !str_starts(buf_view(&build), STR("project('gfxbridge',")))
        cli_die(cli, GFXB_E_USAGE,
                "%s is not a checkout of gfxbridge: its meson.build is missing or another "
                "project's; --checkout DIR names one",
                given ? given : "this directory");
    return cli_keep(cli, xstrdup(dir));
}

static const char *apply_path(const struct apply *a, const char *folder, struct str name,
                              const char *end)
{
    return cli_keep(a->cli, xasprintf("%s/%s/%.*s%s", a->dir, folder, STR_ARG(name), end));
}

static void apply_read_tables(struct apply *a, struct contribution_tables *tables)
{
    for (unsigned i = 0; i < GFX_TABLES; i++) {
        const char *name = gfx_table_name((enum gfx_table)i);
        a->path[i] = apply_path(a, "data", str_from(name), ".tsv");
        a->table[i] = BUF_INIT(TABLE_MAX);
        cli_read_file(a->cli, a->path[i], false, &a->table[i]);
        tables->source[i] =
            (struct gfx_table_source){(enum gfx_table)i, a->path[i], buf_view(&a->table[i])};
        tables->bytes[i] = BUF_INIT(0);
    }
}

/* tests/machines/NAME.machine: the computer alone, with a line that says what it is. */
static void apply_machine(struct apply *a, const struct contribution *c, const char *path)
{
    struct cli *cli = a->cli;
    struct buf CLEAN_BUF text = BUF_INIT(CONTRIBUTION_MAX), CLEAN_BUF old = BUF_INIT(TABLE_MAX);
    struct str about = contribution_part(c, CONTRIBUTION_ABOUT);
    root_write_header(&text);
    buf_addf(&text, "# %.*s%s(%.*s)\n", STR_ARG(about), about.n ? " " : "",
             STR_ARG(contribution_part(c, CONTRIBUTION_MADE)));
    cli_check(cli, contribution_machine(c, &text, &cli->err));
    bool there = cli_read_file(cli, path, true, &old);
    if (there && !str_eq(buf_view(&old), buf_view(&text)))
        cli_die(cli, EEXIST, "%s is another computer: the contribution needs another name", path);
    if (!there)
        cli_check(cli, fs_write(path, text.p, text.n, 0644, &cli->err));
}

static void apply_show(FILE *output)
{
    char tail[OUTPUT_SHOWN];
    long size = ftell(output);
    fseek(output, size > OUTPUT_SHOWN ? size - OUTPUT_SHOWN : 0, SEEK_SET);
    size_t n = fread(tail, 1, sizeof(tail), output);
    fwrite(tail, 1, n, stderr);
}

/* Run a program of the build to its end; what it says is shown when it fails. */
static void apply_run(struct apply *a, const char *what, const char *update,
                      const char *const *argv)
{
    struct cli *cli = a->cli;
    FILE *output = tmpfile();
    struct child child = CHILD_NONE;
    const char **CLEAN_FREE env = NULL;
    size_t n = 0;
    int status = -1, ended = 0;
    while (environ[n])
        n++;
    env = xcalloc(n + 3, sizeof(*env));
    memcpy(env, environ, n * sizeof(*env));
    env[n++] = cli_keep(cli, xasprintf("GFXB_TEST_SOURCE=%s", a->dir));
    if (update)
        env[n] = cli_keep(cli, xasprintf("GFXB_UPDATE=%s", update));
    const struct child_spec spec = {.argv = argv,
                                    .env = env,
                                    .out_fd = output ? fileno(output) : -1,
                                    .err_fd = output ? fileno(output) : -1};
    text_print(stderr, "gfxbridge: %s ...", what);
    int r = child_start(&spec, &child, &cli->err);
    while (r == 0 && !ended && !cli_cancelled)
        ended = child_wait(&child, 200, &status);
    if (r == 0 && !ended) {
        child_end(&child, 2000, NULL);
        r = error_set(&cli->err, GFXB_E_INTERRUPTED,
                      "interrupted: the files are in the checkout, and apply again goes on");
    }
    if (r == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        if (output && fseek(output, 0, SEEK_END) == 0)
            apply_show(output);
        r = error_set(&cli->err, GFXB_E_TABLE,
                      "%s failed: the files are in the checkout, for git diff to show", what);
    }
    if (output)
        fclose(output);
    cli_check(cli, r);
}

/* Build the machine tests, let them write what they expect of the new machine, and run them all. */
static void apply_test(struct apply *a, const char *name)
{
    const char *build = cli_keep(a->cli, xfs_join(a->dir, "build/contribute"));
    const char *ninja = cli_keep(a->cli, xfs_join(build, "build.ninja"));
    const char *test = cli_keep(a->cli, xfs_join(build, "tests/test_machines"));
    if (access(ninja, F_OK) < 0)
        apply_run(a, "meson setup", NULL,
                  (const char *const[]){"meson", "setup", build, a->dir, NULL});
    apply_run(a, "building the machine tests", NULL,
              (const char *const[]){"ninja", "-C", build, "tests/test_machines", NULL});
    apply_run(a, "writing the expected result", name, (const char *const[]){test, NULL});
    apply_run(a, "the machine tests", NULL, (const char *const[]){test, NULL});
}

int contribute_apply(struct cli *cli, const struct cli_args *args)
{
    struct apply a = {.cli = cli};
    struct contribution c;
    struct contribution_tables tables = {.before = NULL};
    json_t *differences;
    int CLEAN_CLOSE lock = -1;
    a.dir = apply_checkout(cli, args->value[CONTRIBUTE_CHECKOUT]);
    const char *file = cli_keep(cli, xfs_join(a.dir, "meson.build"));
    cli_check(cli, fs_lock(file, true, &cli_cancelled, &lock, &cli->err));
    fs_sweep_writes(apply_path(&a, "data", STR_NONE, ""));
    fs_sweep_writes(apply_path(&a, "tests/machines", STR_NONE, ""));
    apply_read_tables(&a, &tables);
    contribute_read(cli, args->word[1], &c, &tables, &differences);
    char *CLEAN_FREE name = xstr_dup(contribution_part(&c, CONTRIBUTION_NAME));
    const char *machine = apply_path(&a, "tests/machines", str_from(name), ".machine");
    apply_machine(&a, &c, machine);
    for (unsigned i = 0; i < GFX_TABLES; i++) {
        if (tables.changed[i])
            cli_check(cli,
                      fs_write(a.path[i], tables.bytes[i].p, tables.bytes[i].n, 0644, &cli->err));
    }
    apply_test(&a, name);
    if (!cli->json)
        text_print(stdout, "%s, its .expect and its rows are in %s, and the machine tests pass.",
                   fs_name(machine), a.dir);
    contribute_tell(cli, &c, differences, json_pack("{s:s, s:b}", "machine", machine, "tested", 1));
    contribution_done(&c);
    contribution_tables_done(&tables);
    for (size_t i = 0; i < GFX_TABLES; i++)
        buf_done(&a.table[i]);
    return CLI_DONE;
}
