/* xalloc.c - what an allocation does that nobody can go on without. */
#include "base/xalloc.h"

#include <stdarg.h>
#include <stdio.h>

/* Neither stdio's buffers nor exit handlers: both may want memory. */
void xalloc_die(void)
{
    static const char text[] = "gfxbridge: out of memory. Close other programs and try again.\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    _exit(1);
}

static void *xalloc_checked(void *p)
{
    if (!p)
        xalloc_die();
    return p;
}

void *xmalloc(size_t n)
{
    return xalloc_checked(malloc(n ? n : 1));
}

void *xcalloc(size_t n, size_t size)
{
    return xalloc_checked(calloc(n ? n : 1, size ? size : 1));
}

void *xreallocarray(void *old, size_t n, size_t size)
{
    return xalloc_checked(reallocarray(old, n ? n : 1, size ? size : 1));
}

char *xstrdup(const char *text)
{
    return xalloc_checked(strdup(text));
}

char *xstrdup_or_null(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

char *xasprintf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        xalloc_die();
    va_end(args);
    return text;
}

char *xstr_dup(struct str s)
{
    return xalloc_checked(str_dup(s));
}

char *xfs_join(const char *dir, const char *name)
{
    return xalloc_checked(fs_join(dir, name));
}

char *xbuf_take(struct buf *b)
{
    if (!b->p && !b->failed)
        return xstrdup("");
    return xalloc_checked(buf_take(b));
}
