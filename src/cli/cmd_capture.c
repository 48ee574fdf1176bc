/* cmd_capture.c - this computer as one .machine text. */
#include "cli/cli.h"
#include "sysroot/sysroot.h"

#include <sys/stat.h>

/* Into what is there already: a pipe, a device, or what a link will lead to. */
static int capture_write_into(const char *path, const struct buf *text, struct gfxb_error *err)
{
    FILE *file = fopen(path, "we");
    int code = file ? 0 : errno;
    if (file && fwrite(text->p, 1, text->n, file) != text->n)
        code = errno;
    if (file && fclose(file) != 0 && code == 0)
        code = errno;
    return code ? fs_error(err, code, "write the capture to", path) : 0;
}

/* A file is replaced as a whole, where a link leads to it there; nothing else is replaced. */
static int capture_write(const char *path, const struct buf *text, struct gfxb_error *err)
{
    struct stat st;
    if (stat(path, &st) == 0) {
        char *CLEAN_FREE real = S_ISREG(st.st_mode) ? realpath(path, NULL) : NULL;
        return real ? fs_write(real, text->p, text->n, st.st_mode & 0777, err)
                    : capture_write_into(path, text, err);
    }
    if (lstat(path, &st) == 0)
        return capture_write_into(path, text, err);
    return fs_write(path, text->p, text->n, 0644, err);
}

static int capture_run(struct cli *cli, const struct cli_args *args)
{
    struct buf CLEAN_BUF text = BUF_INIT(64 << 20);
    cli_check(cli, machine_capture(cli_root(cli), &text, &cli->err));
    if (args->n_words && strcmp(args->word[0], "-") != 0)
        cli_check(cli, capture_write(args->word[0], &text, &cli->err));
    else if (fwrite(text.p, 1, text.n, stdout) != text.n)
        cli_die(cli, EIO, "cannot write the capture to stdout");
    return CLI_DONE;
}

const struct cli_command cli_command_capture = {
    .name = "capture",
    .words = "[FILE]",
    .summary = "this computer as one text file",
    .about = "Writes what detection reads of this computer as one .machine text: for a bug report, "
             "or as the test of a new card (which gfxbridge contribute makes complete). Only an "
             "allow-list of paths is read; no serial number, unique id, host name or MAC address "
             "is among them. Without FILE, or with -, it goes to stdout.",
    .run = capture_run,
};
