#include "inspect/inspect_sources.h"
#include "inspect/offload_bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#define INSPECT_PIECE 262144

void package_inspection_done(struct inspection *inspection)
{
    names_done(&inspection->gfx);
    names_done(&inspection->blas.rocblas);
    names_done(&inspection->blas.hipblaslt);
    names_done(&inspection->needed);
    names_done(&inspection->unresolved);
    names_done(&inspection->executables);
    names_done(&inspection->problems);
    for (size_t i = 0; i < inspection->n_code; i++) {
        free(inspection->code[i].path);
        names_done(&inspection->code[i].gfx);
    }
    free(inspection->code);
    *inspection = (struct inspection){0};
}

const char *package_inspect_kind_name(enum inspect_kind kind)
{
    static const char *const name[] = {
        [INSPECT_ELF] = "elf",
        [INSPECT_BUNDLE] = "bundle",
        [INSPECT_ARCHIVE] = "archive",
        [INSPECT_PACKAGE] = "package",
    };
    return name[kind];
}

/* Of the open file, so that what is measured is what was inspected. */
static int inspect_digest(int fd, char ret_hex[static DIGEST_HEX], struct gfxb_error *err)
{
    char *CLEAN_FREE piece = malloc(INSPECT_PIECE);
    struct digest *digest;
    if (!piece)
        return inspector_nomem(err);
    int r = digest_new(&digest, err);
    if (r < 0)
        return r;
    for (off_t at = 0; r == 0;) {
        ssize_t n = pread(fd, piece, INSPECT_PIECE, at);
        if (n < 0 && errno != EINTR)
            r = error_set(err, errno, "%s", error_errno_text(errno));
        if (n == 0)
            break;
        if (n > 0) {
            digest_add(digest, piece, (size_t)n);
            at += n;
        }
    }
    if (r == 0)
        r = digest_end(digest, ret_hex, err);
    digest_free(digest);
    return r;
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
                          enum inspect_kind kind, struct inspection *ret_inspection,
                          struct gfxb_error *err)
{
    const char *slash = strrchr(path, '/');
    char *CLEAN_FREE directory = inspect_directory(path);
    in->found.kind = kind;
    int r = inspector_add(in, slash ? slash + 1 : path, image, err);
    if (r == 0 && directory)
        r = inspect_beside(in, directory, err);
    return r == 0 ? inspector_finish(in, directory, ret_inspection, err) : r;
}

static int inspect_file(struct inspector *in, const char *path, int fd,
                        struct inspection *ret_inspection, struct gfxb_error *err)
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
    if (in->options->digest) {
        r = inspect_digest(fd, in->found.sha256, err);
        if (r < 0)
            return r;
    }
    if (bundle_begins(head, n) || kpack_begins(head, n))
        return inspect_single(in, path, &image, INSPECT_BUNDLE, ret_inspection, err);
    if (elf_begins(head, n) || inspector_wants(head, n))
        return inspect_single(in, path, &image, INSPECT_ELF, ret_inspection, err);
    in->found.kind = INSPECT_ARCHIVE;
    r = inspect_archive(in, fd, err);
    return r == 0 ? inspector_finish(in, NULL, ret_inspection, err) : r;
}

static int inspect_directory_tree(struct inspector *in, const char *path,
                                  struct inspection *ret_inspection, struct gfxb_error *err)
{
    char *CLEAN_FREE real = realpath(path, NULL);
    if (!real)
        return error_set(err, errno, "%s", error_errno_text(errno));
    in->found.kind = INSPECT_PACKAGE;
    int r = inspect_tree(in, real, err);
    return r == 0 ? inspector_finish(in, real, ret_inspection, err) : r;
}

int package_inspect(const char *path, const struct inspect_options *options,
                    struct inspection *ret_inspection, struct gfxb_error *err)
{
    struct stat st;
    struct inspector in = {.options = options};
    int r;
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        r = error_set(err, errno, "%s", error_errno_text(errno));
    else if (S_ISDIR(st.st_mode))
        r = inspect_directory_tree(&in, path, ret_inspection, err);
    else
        r = inspect_file(&in, path, fd, ret_inspection, err);
    inspector_done(&in);
    if (r < 0)
        error_prefix(err, "%s: ", path);
    return r;
}
