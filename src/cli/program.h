/*
 * program.h - gfxbridge is several programs with one command line. Each is linked with one table of
 * commands; what is not in it is done by the next. Private to cli/.
 */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

#include "cli/cli.h"

struct cli_program {
    const struct cli_command *const *commands; /* ends with a NULL */
    const struct cli_command *const *hidden;   /* likewise; not in --help */
    const char *next; /* the program beside this one that has the others; NULL: none has */
};

/* Of the program that this is. */
extern const struct cli_program cli_program;

/*
 * Become the next program, called with the same words. It lies beside this one (a build tree), or
 * in libexec/gfxbridge of the same installation. Returns only when that failed: -errno.
 */
int program_become_next(char **argv, struct gfxb_error *err);

#endif
