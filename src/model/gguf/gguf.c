/* gguf.c - reads the header of a file, or of all parts of a split one, and says what it is. */
#include "model/gguf/header.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define FIRST_BYTES ((size_t)1 << 20)
#define MOST_BYTES  ((size_t)256 << 20) /* of a header: 20 times that of the largest vocabulary */

void gguf_done(struct gguf *gguf)
{
    free(gguf->architecture);
    free(gguf->name);
    free(gguf->licence);
    free(gguf->template);
    free(gguf->tokenizer);
    free(gguf->layer);
    *gguf = (struct gguf){.kind = GGUF_OTHER};
}

/* Everything that one header says. */
static int from_header(const struct gguf_header *header, struct gguf *ret_gguf,
                       struct gfxb_error *err)
{
    struct gguf gguf = {
        .bytes = header->size, .parameters = header->parameters, .tensors = header->n_tensors};
    int result = gguf_facts_read(header, &gguf, err);
    if (result == 0 && gguf.kind == GGUF_MODEL && gguf.part == 0)
        result = gguf_layers_add(header, &gguf, err);
    if (result < 0) {
        gguf_done(&gguf);
        return result;
    }
    *ret_gguf = gguf;
    return 0;
}

/* A model of one part, or of all: is there something in every layer? */
static int check_whole(const char *what, const struct gguf *gguf, struct gfxb_error *err)
{
    if (gguf->kind != GGUF_MODEL)
        return 0;
    if (gguf->parts_tensors && gguf->parts_tensors != gguf->tensors)
        return gguf_refuse(what, err, "is damaged: its parts have %llu tensors and should have %u",
                           (unsigned long long)gguf->tensors, gguf->parts_tensors);
    if (gguf->input_bytes == 0)
        return gguf_refuse(what, err, "is damaged: it has no token embeddings");
    for (uint32_t i = 0; i < gguf->layers; i++) {
        if (gguf->layer[i].bytes == 0)
            return gguf_refuse(what, err, "is damaged: its layer %u of %u has no tensors", i + 1,
                               gguf->layers);
    }
    return 0;
}

int gguf_read_bytes(const char *what, const void *bytes, size_t n, uint64_t size,
                    struct gguf *ret_gguf, struct gfxb_error *err)
{
    struct gguf_header header;
    struct gguf gguf;
    int result = gguf_header_parse(what, bytes, n, size, &header, err);
    if (result < 0)
        return result;
    result = from_header(&header, &gguf, err);
    gguf_header_done(&header);
    if (result < 0)
        return result;
    result = gguf.parts == 1 ? check_whole(what, &gguf, err) : 0;
    if (result < 0)
        gguf_done(&gguf);
    else
        *ret_gguf = gguf;
    return result;
}

/* One file's header and the bytes that it lends from. */
struct header_file {
    int fd;
    uint64_t size;
    struct buf bytes;
    struct gguf_header header;
};

static void file_done(struct header_file *file)
{
    gguf_header_done(&file->header);
    buf_done(&file->bytes);
    if (file->fd >= 0)
        close(file->fd);
}

/* The file up to n bytes, or to its end. */
static int file_fill(struct header_file *file, const char *path, size_t n, struct gfxb_error *err)
{
    while (file->bytes.n < n && file->bytes.n < file->size) {
        char *room = buf_room(&file->bytes, n - file->bytes.n);
        if (!room)
            return error_set(err, ENOMEM, "out of memory for the header of %s", path);
        ssize_t got = pread(file->fd, room, n - file->bytes.n, (off_t)file->bytes.n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fs_error(err, errno, "read", path);
        if (got == 0)
            return gguf_refuse(path, err, "is becoming shorter while it is read");
        buf_grew(&file->bytes, (size_t)got);
    }
    return 0;
}

static int file_open(struct header_file *file, const char *path, struct gfxb_error *err)
{
    struct stat st;
    file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file->fd < 0 || fstat(file->fd, &st) < 0)
        return fs_error(err, errno, "read the model", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "the model %s is no file: give a GGUF file", path);
    file->size = (uint64_t)st.st_size;
    return 0;
}

static int file_parse(struct header_file *file, const char *path, struct gfxb_error *err)
{
    int result = -EAGAIN;
    for (size_t n = FIRST_BYTES; result == -EAGAIN; n *= 4) {
        if (n > MOST_BYTES)
            return gguf_refuse(path, err, "has a header of more than %zu MiB: no model has that",
                               MOST_BYTES >> 20);
        result = file_fill(file, path, n, err);
        if (result == 0)
            result = gguf_header_parse(path, file->bytes.p ? file->bytes.p : "", file->bytes.n,
                                       file->size, &file->header, err);
    }
    return result;
}

#define HEADER_FILE_INIT                                                                           \
    ((struct header_file){.fd = -1, .bytes = BUF_INIT(MOST_BYTES + 1), .header = {.what = NULL}})

/* path's "-00001-of-00003.gguf" with this number; NULL when it is not named like that. */
static char *part_path(const char *path, uint32_t part, uint32_t parts)
{
    char *CLEAN_FREE own = xasprintf("-00001-of-%05u.gguf", parts);
    struct str stem = str_from(path);
    if (!str_ends(stem, str_from(own)))
        return NULL;
    stem.n -= strlen(own);
    return xasprintf("%.*s-%05u-of-%05u.gguf", STR_ARG(stem), part + 1, parts);
}

static int add_part(struct gguf *gguf, const char *path, uint32_t part, struct gfxb_error *err)
{
    struct header_file file = HEADER_FILE_INIT;
    struct gguf own = {.part = 0};
    int result = file_open(&file, path, err);
    if (result == 0)
        result = file_parse(&file, path, err);
    if (result == 0)
        result = gguf_facts_read(&file.header, &own, err);
    if (result == 0 && (own.part != part || own.parts != gguf->parts))
        result = gguf_refuse(path, err, "is damaged: it should be part %u of %u and says %u of %u",
                             part + 1, gguf->parts, own.part + 1, own.parts);
    if (result == 0)
        result = gguf_layers_add(&file.header, gguf, err);
    if (result == 0) {
        gguf->bytes += file.size;
        gguf->parameters += file.header.parameters;
        gguf->tensors += file.header.n_tensors;
    }
    gguf_done(&own);
    file_done(&file);
    return result;
}

static int add_parts(struct gguf *gguf, const char *path, struct gfxb_error *err)
{
    for (uint32_t part = 1; part < gguf->parts; part++) {
        char *CLEAN_FREE name = part_path(path, part, gguf->parts);
        if (!name)
            return gguf_refuse(path, err,
                               "is part 1 of %u, and is not named NAME-00001-of-%05u.gguf: the "
                               "others cannot be found",
                               gguf->parts, gguf->parts);
        int result = add_part(gguf, name, part, err);
        if (result < 0)
            return result;
    }
    return 0;
}

static int read_file(struct header_file *file, const char *path, struct gguf *gguf,
                     struct gfxb_error *err)
{
    int result = file_open(file, path, err);
    if (result == 0)
        result = file_parse(file, path, err);
    if (result == 0)
        result = from_header(&file->header, gguf, err);
    if (result < 0)
        return result;
    if (gguf->part > 0)
        return error_set(err, GFXB_E_MODEL_UNUSABLE,
                         "%s is part %u of %u of a model: give the first part's name", path,
                         gguf->part + 1, gguf->parts);
    if (gguf->kind == GGUF_MODEL)
        result = add_parts(gguf, path, err);
    return result < 0 ? result : check_whole(path, gguf, err);
}

int gguf_read(const char *path, struct gguf *ret_gguf, struct gfxb_error *err)
{
    struct header_file file = HEADER_FILE_INIT;
    struct gguf gguf = {.part = 0};
    int result = read_file(&file, path, &gguf, err);
    file_done(&file);
    if (result < 0) {
        gguf_done(&gguf);
        return result;
    }
    *ret_gguf = gguf;
    return 0;
}

int gguf_require_model(const struct gguf *gguf, const char *what, struct gfxb_error *err)
{
    static const char *const why[] = {
        [GGUF_PROJECTOR] = "is a projector, which lets a model see or hear: name the model that it "
                           "belongs to, and keep it beside that one",
        [GGUF_ADAPTER] = "is an adapter, which changes another model and is none itself",
        [GGUF_VOCABULARY] = "holds a vocabulary and no weights",
        [GGUF_OTHER] = "is no language model",
    };
    if (gguf->kind == GGUF_MODEL)
        return 0;
    return error_set(err, GFXB_E_MODEL_UNUSABLE, "%s %s%s%s%s", what, why[gguf->kind],
                     gguf->kind == GGUF_OTHER && gguf->architecture[0] ? " (" : "",
                     gguf->kind == GGUF_OTHER ? gguf->architecture : "",
                     gguf->kind == GGUF_OTHER && gguf->architecture[0] ? ")" : "");
}
