/* start.c - starts the portable archive's program with the loader and libraries beside it, whatever
 * the computer has. Static, so that it needs nothing itself; no variable of the environment is set,
 * so that engines get the loader and libraries that are right for them. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* Where this file is, with links resolved. Without /proc: what the kernel was asked to start. */
static char *start_path(void)
{
    char *path = realpath("/proc/self/exe", NULL);
    const char *asked = (const char *)getauxval(AT_EXECFN);
    return path || !asked ? path : realpath(asked, NULL);
}

int main(int argc, char **argv)
{
    char loader[PATH_MAX], program[PATH_MAX];
    char *self = start_path(), **words = calloc((size_t)argc + 6, sizeof(*words));
    char *slash = self ? strrchr(self, '/') : NULL;
    int folder = slash ? (int)(slash - self) : 0;
    if (!words || !slash ||
        snprintf(loader, sizeof(loader), "%.*s/lib/ld-linux.so", folder, self) >=
            (int)sizeof(loader) ||
        snprintf(program, sizeof(program), "%.*s/lib/gfxbridge", folder, self) >=
            (int)sizeof(program)) {
        fputs("gfxbridge: cannot find the folder it was unpacked to\n", stderr);
        return 1;
    }
    /* The libraries are found by the program's own DT_RPATH, $ORIGIN. */
    char *const before[] = {loader, "--inhibit-cache", "--argv0", self, program};
    memcpy(words, before, sizeof(before));
    for (int i = 1; i < argc; i++)
        words[4 + i] = argv[i];
    execv(loader, words);
    perror(loader);
    return 1;
}
