#include "cli/cli.h"

#include <errno.h>

static int capture_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    const struct root *root;
    struct buf CLEAN_BUF text = BUF_INIT(64 << 20);
    int result = cli_root(cli, &root, err);
    if (result == 0)
        result = machine_capture(root, &text, err);
    if (result < 0)
        return result;
    if (args->n_words)
        return fs_write(args->word[0], text.p, text.n, 0644, err);
    if (fwrite(text.p, 1, text.n, stdout) != text.n)
        return error_set(err, EIO, "cannot write the capture to stdout");
    return CLI_DONE;
}

const struct cli_command cli_command_capture = {
    .name = "capture",
    .words = "[FILE]",
    .max_words = 1,
    .summary = "this computer as one text file",
    .about =
        "Writes what detection reads of this computer as one .machine text: for a bug report,\n"
        "or as the test of a new card (docs/adding-a-card.md). Only an allow-list of paths is\n"
        "read; no serial number, unique id, host name or MAC address is among them. Without\n"
        "FILE it goes to stdout.",
    .run = capture_run,
};
