/*
 * nolinks.c - a preloaded library with which a file system has no links, as exFAT and CIFS.
 *
 * GFXB_NOLINKS is "SYMLINK LINK COPY": the errno with which symlink, link and copy_file_range
 * fail; 0: they work.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum call { SYMLINK, LINK, COPY, CALLS };

/* Shall it fail? errno is set then. */
static int fails(enum call call)
{
    int code[CALLS] = {0};
    const char *text = getenv("GFXB_NOLINKS");
    if (!text || sscanf(text, "%d %d %d", &code[SYMLINK], &code[LINK], &code[COPY]) != CALLS)
        abort();
    errno = code[call] ? code[call] : errno;
    return code[call] != 0;
}

int symlinkat(const char *target, int dir, const char *path)
{
    return fails(SYMLINK) ? -1 : (int)syscall(SYS_symlinkat, target, dir, path);
}

int symlink(const char *target, const char *path)
{
    return symlinkat(target, AT_FDCWD, path);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return fails(LINK) ? -1 : (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags)
{
    return fails(COPY) ? -1 : syscall(SYS_copy_file_range, in, in_at, out, out_at, n, flags);
}
