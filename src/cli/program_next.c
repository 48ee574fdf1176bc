#include "cli/program.h"

#include <errno.h>

/* The directory of the running program, to be freed; NULL unknown (no /proc). */
static char *program_dir(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n <= 0)
        return NULL;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    return slash ? str_dup((struct str){path, (size_t)(slash - path)}) : NULL;
}

int program_become_next(char **argv, struct gfxb_error *err)
{
    static const char *const places[] = {"", "../libexec/gfxbridge/"};
    char *CLEAN_FREE dir = program_dir();
    for (size_t i = 0; dir && i < sizeof(places) / sizeof(places[0]); i++) {
        char *CLEAN_FREE path = NULL;
        if (asprintf(&path, "%s/%s%s", dir, places[i], cli_program.next) < 0) {
            path = NULL;
            continue;
        }
        execv(path, argv);
        if (errno != ENOENT && errno != ENOTDIR)
            return error_set(err, errno, "cannot start %s: %s", path, error_errno_text(errno));
    }
    char *CLEAN_FREE installed = fs_join(GFXB_LIBEXEC_DIR, cli_program.next);
    if (installed)
        execv(installed, argv);
    return error_set(err, ENOENT, "%s is not beside this program nor in %s: install gfxbridge anew",
                     cli_program.next, GFXB_LIBEXEC_DIR);
}
