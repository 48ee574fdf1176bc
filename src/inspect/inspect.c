/* inspect.c - a file, an archive or a directory, and what is really inside. */
#include "inspect/inspect_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

void inspection_done(struct inspection *inspection)
{
    names_done(&inspection->gfx);
    names_done(&inspection->blas.rocblas);
    names_done(&inspection->blas.hipblaslt);
    names_done(&inspection->elf);
    names_done(&inspection->needed);
    names_done(&inspection->executables);
    names_done(&inspection->problems);
    for (size_t i = 0; i < inspection->n_code; i++) {
        free(inspection->code[i].path);
        names_done(&inspection->code[i].gfx);
    }
    free(inspection->code);
    *inspection = (struct inspection){0};
}

const char *inspect_kind_name(enum inspect_kind kind)
{
    static const char *const name[] = {
        [INSPECT_ELF] = "elf",
        [INSPECT_BUNDLE] = "bundle",
        [INSPECT_ARCHIVE] = "archive",
        [INSPECT_PACKAGE] = "package",
    };
    return name[kind];
}

/* The directory of a file, links followed. */
static char *inspect_directory(const char *path)
{
    char *real = realpath(path, NULL);
    char *slash = real ? strrchr(real, '/') : NULL;
    if (slash)
        slash[slash == real ? 1 : 0] = '\0';
    return real;
}

/* One ELF file, bundle or .kpack file. */
static int inspect_single(struct inspector *in, const char *path, const struct image *image,
                          struct gfxb_error *err)
{
    char *CLEAN_FREE directory = inspect_directory(path);
    int r = inspector_add(in, fs_name(path), image, err);
    return r == 0 && directory ? inspect_beside(in, directory, err) : r;
}

static int inspect_file(struct inspector *in, const char *path, int fd, bool digest,
                        struct gfxb_error *err)
{
    struct image image;
    unsigned char head[64];
    size_t n;
    if (image_from_fd(fd, &image) < 0)
        return error_set(err, EINVAL, "neither a file nor a directory");
    int r = image_read_some(&image, 0, head, sizeof(head), &n);
    if (r < 0)
        return error_set(err, -r, "%s", error_errno_text(-r));
    in->found.size = image.size;
    if (digest) /* of the open file, so that what is measured is what is inspected */
        r = digest_fd(fd, in->found.sha256, err);
    if (r < 0)
        return r;
    in->found.kind = INSPECT_ARCHIVE;
    if (bundle_begins(head, n) || kpack_begins(head, n))
        in->found.kind = INSPECT_BUNDLE;
    else if (elf_begins(head, n) || inspector_wants(head, n))
        in->found.kind = INSPECT_ELF;
    return in->found.kind == INSPECT_ARCHIVE ? inspect_archive(in, fd, err)
                                             : inspect_single(in, path, &image, err);
}

int inspect_path(const char *path, const struct gfx_tables *tables, bool digest,
                 struct inspection *ret_inspection, struct gfxb_error *err)
{
    struct stat st;
    struct inspector in = {.tables = tables};
    int r;
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        r = error_set(err, errno, "%s", error_errno_text(errno));
    } else if (S_ISDIR(st.st_mode)) {
        in.found.kind = INSPECT_PACKAGE;
        r = inspect_tree(&in, path, err);
    } else {
        r = inspect_file(&in, path, fd, digest, err);
    }
    if (r == 0)
        inspector_finish(&in, ret_inspection);
    else
        error_prefix(err, "%s: ", path);
    inspector_done(&in);
    return r;
}
