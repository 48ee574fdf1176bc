/* gguf.c - reads the header of a file, or of all parts of a split one, and says what it is. */
#include "model/gguf/header.h"
#include "model/model_private.h"

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

/* Everything that one header says; for the caller to free, also after a failure. */
static int from_header(const struct gguf_header *header, struct gguf *gguf)
{
    *gguf = (struct gguf){
        .bytes = header->size, .parameters = header->parameters, .tensors = header->n_tensors};
    int result = gguf_facts_read(header, gguf);
    if (result == 0 && gguf->kind == GGUF_MODEL && gguf->part == 0)
        result = gguf_layers_add(header, gguf);
    return result;
}

/* Hands a good one over. */
static int hand_over(int result, struct gguf *gguf, struct gguf *ret_gguf)
{
    if (result < 0)
        gguf_done(gguf);
    else
        *ret_gguf = *gguf;
    return result;
}

int gguf_read_bytes(const char *what, const void *bytes, size_t n, uint64_t size,
                    struct gguf *ret_gguf, struct gfxb_error *err)
{
    struct gguf_header header;
    struct gguf gguf;
    int result = gguf_header_parse(what, bytes, n, size, &header, err);
    if (result < 0)
        return result;
    result = from_header(&header, &gguf);
    gguf_header_done(&header);
    if (result == 0 && gguf.parts == 1)
        result = check_whole(what, &gguf, err);
    return hand_over(result, &gguf, ret_gguf);
}

/* One file's header and the bytes that it lends from. */
struct header_file {
    struct buf bytes;
    struct gguf_header header;
};

#define HEADER_FILE_INIT ((struct header_file){.bytes = BUF_INIT(MOST_BYTES + 1)})

static void file_done(struct header_file *file)
{
    gguf_header_done(&file->header);
    buf_done(&file->bytes);
}

/* The file's first n bytes, or all that it has. */
static int file_fill(struct buf *bytes, int fd, const char *path, size_t n, struct gfxb_error *err)
{
    while (bytes->n < n) {
        char *room = buf_room(bytes, n - bytes->n);
        if (!room)
            return error_set(err, ENOMEM, "out of memory for the header of %s", path);
        ssize_t got = pread(fd, room, n - bytes->n, (off_t)bytes->n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fs_error(err, errno, "read", path);
        if (got == 0)
            return gguf_refuse(path, err, "is becoming shorter while it is read");
        buf_grew(bytes, (size_t)got);
    }
    return 0;
}

/* For the caller to free, also after a failure. */
static int file_read(struct header_file *file, const char *path, struct gfxb_error *err)
{
    struct stat st;
    int result = -EAGAIN;
    int CLEAN_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return fs_error(err, errno, "read the model", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, "the model %s is no file: give a GGUF file", path);
    uint64_t size = (uint64_t)st.st_size;
    for (size_t n = FIRST_BYTES; result == -EAGAIN; n *= 4) {
        if (n > MOST_BYTES)
            return gguf_refuse(path, err, "has a header of more than %zu MiB: no model has that",
                               MOST_BYTES >> 20);
        result = file_fill(&file->bytes, fd, path, n < size ? n : (size_t)size, err);
        if (result == 0)
            result = gguf_header_parse(path, buf_text(&file->bytes), file->bytes.n, size,
                                       &file->header, err);
    }
    return result;
}

static int add_part(struct gguf *gguf, const char *path, uint32_t part, struct gfxb_error *err)
{
    struct header_file file = HEADER_FILE_INIT;
    struct gguf own = {.part = 0};
    int result = file_read(&file, path, err) ?: gguf_facts_read(&file.header, &own);
    if (result == 0 && (own.part != part || own.parts != gguf->parts))
        result = gguf_refuse(path, err, "is damaged: it should be part %u of %u and says %u of %u",
                             part + 1, gguf->parts, own.part + 1, own.parts);
    if (result == 0)
        result = gguf_layers_add(&file.header, gguf);
    gguf->bytes += file.header.size;
    gguf->parameters += file.header.parameters;
    gguf->tensors += file.header.n_tensors;
    gguf_done(&own);
    file_done(&file);
    return result;
}

static int add_parts(struct gguf *gguf, const char *path, struct gfxb_error *err)
{
    struct pick_split split = {.count = 0};
    (void)pick_take_apart(str_from(path), &split);
    if (gguf->parts > 1 && (split.index != 1 || split.count != gguf->parts))
        return gguf_refuse(path, err,
                           "is part 1 of %u, and is not named NAME-00001-of-%05u.gguf: the "
                           "others cannot be found",
                           gguf->parts, gguf->parts);
    int result = 0;
    for (uint32_t part = 1; result == 0 && part < gguf->parts; part++) {
        char *CLEAN_FREE name = pick_part(path, part + 1);
        result = add_part(gguf, name, part, err);
    }
    return result;
}

int gguf_read(const char *path, struct gguf *ret_gguf, struct gfxb_error *err)
{
    struct header_file file = HEADER_FILE_INIT;
    struct gguf gguf = {.part = 0};
    int result = file_read(&file, path, err) ?: from_header(&file.header, &gguf);
    file_done(&file);
    if (result == 0 && gguf.part > 0)
        result = error_set(err, GFXB_E_MODEL_UNUSABLE,
                           "%s is part %u of %u of a model: give the first part's name", path,
                           gguf.part + 1, gguf.parts);
    if (result == 0 && gguf.kind == GGUF_MODEL)
        result = add_parts(&gguf, path, err);
    return hand_over(result ?: check_whole(path, &gguf, err), &gguf, ret_gguf);
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
    if (gguf->kind == GGUF_OTHER && gguf->architecture[0])
        return error_set(err, GFXB_E_MODEL_UNUSABLE, "%s %s (%s)", what, why[gguf->kind],
                         gguf->architecture);
    return error_set(err, GFXB_E_MODEL_UNUSABLE, "%s %s", what, why[gguf->kind]);
}
