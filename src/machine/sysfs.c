/* sysfs.c - small files whose path is put together. */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static int __attribute__((format(printf, 2, 0)))
sysfs_path(char ret_path[static MACHINE_PATH_MAX], const char *format, va_list args)
{
    int n = vsnprintf(ret_path, MACHINE_PATH_MAX, format, args);
    return n < 0 || n >= MACHINE_PATH_MAX ? -ENAMETOOLONG : 0;
}

int machine_read_line(const struct root *root, char *ret_line, size_t size, const char *format, ...)
{
    char path[MACHINE_PATH_MAX];
    va_list args;
    va_start(args, format);
    int r = sysfs_path(path, format, args);
    va_end(args);
    return r < 0 ? r : root_read_line(root, path, ret_line, size);
}

int machine_read_number(const struct root *root, uint64_t *ret_value, const char *format, ...)
{
    char path[MACHINE_PATH_MAX];
    va_list args;
    va_start(args, format);
    int r = sysfs_path(path, format, args);
    va_end(args);
    return r < 0 ? r : root_read_u64(root, path, ret_value);
}

bool machine_has_path(const struct root *root, const char *path)
{
    struct root_stat st;
    return root_stat(root, path, &st) == 0 && st.kind != ROOT_LINK;
}

enum tri machine_path_state(const struct root *root, const char *path)
{
    struct root_stat st;
    int r = root_stat(root, path, &st);
    if (r == 0 && st.kind == ROOT_LINK) /* dangling: a copy may have left its target out */
        return root_is_live(root) ? TRI_NO : TRI_UNKNOWN;
    if (r == 0)
        return TRI_YES;
    return r == -ENOENT ? TRI_NO : TRI_UNKNOWN;
}
