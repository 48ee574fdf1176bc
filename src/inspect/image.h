/*
 * image.h - bytes of a file at any offset, by pread: nothing is mapped, so that a file of gigabytes
 * costs no memory and one that shrinks while it is read costs no SIGBUS. Private to inspect/.
 */
#ifndef INSPECT_IMAGE_H
#define INSPECT_IMAGE_H

#include "base/base.h"

struct image {
    const unsigned char *bytes; /* a copy in memory instead of a file; NULL: fd. Lent. */
    int fd;                     /* lent */
    uint64_t size;
};

/* Part of an image. */
struct extent {
    uint64_t offset;
    uint64_t size;
};

/* -EINVAL when fd is not a regular file. */
int image_from_fd(int fd, struct image *ret_image);
struct image image_from_bytes(const void *bytes, size_t n);

/* Exactly n bytes; -ENODATA when they are not all inside the file, else -errno. */
int image_read(const struct image *image, uint64_t offset, void *ret_bytes, size_t n);

/* Up to n bytes: how many there were goes into *ret_n. */
int image_read_some(const struct image *image, uint64_t offset, void *ret_bytes, size_t n,
                    size_t *ret_n);

/* A NUL-terminated text shorter than size, with its NUL. -EBADMSG when it does not end before. */
int image_read_text(const struct image *image, uint64_t offset, char *ret_text, size_t size);

bool image_holds(const struct image *image, struct extent where);

/* Little-endian numbers. */
uint16_t image_u16(const unsigned char *p);
uint32_t image_u32(const unsigned char *p);
uint64_t image_u64(const unsigned char *p);

#endif
