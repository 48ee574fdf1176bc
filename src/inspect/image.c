/* image.c - bytes of a file at any offset. */
#include "inspect/inspect_private.h"

#include <errno.h>
#include <sys/stat.h>

int image_from_fd(int fd, struct image *ret_image)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size < 0)
        return -EINVAL;
    *ret_image = (struct image){NULL, fd, (uint64_t)st.st_size};
    return 0;
}

struct image image_from_bytes(const void *bytes, size_t n)
{
    return (struct image){n ? bytes : (const void *)"", -1, n};
}

bool image_holds(const struct image *image, struct extent where)
{
    return where.offset <= image->size && where.size <= image->size - where.offset;
}

int image_read_some(const struct image *image, uint64_t offset, void *ret_bytes, size_t n,
                    size_t *ret_n)
{
    uint64_t left = offset < image->size ? image->size - offset : 0;
    size_t wanted = left < n ? (size_t)left : n;
    size_t done = 0;
    if (image->bytes && wanted) {
        memcpy(ret_bytes, image->bytes + offset, wanted);
        done = wanted;
    }
    while (done < wanted) {
        ssize_t got =
            pread(image->fd, (char *)ret_bytes + done, wanted - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break; /* the file shrank meanwhile */
        done += (size_t)got;
    }
    *ret_n = done;
    return 0;
}

int image_read_head(const struct image *image, struct extent where, void *ret_bytes, size_t n,
                    size_t *ret_n)
{
    size_t most = where.size < n ? (size_t)where.size : n;
    return image_read_some(image, where.offset, ret_bytes, most, ret_n);
}

int image_read(const struct image *image, uint64_t offset, void *ret_bytes, size_t n)
{
    if (!image_holds(image, (struct extent){offset, n}))
        return -ENODATA;
    size_t got = 0;
    int r = image_read_some(image, offset, ret_bytes, n, &got);
    if (r < 0)
        return r;
    return got == n ? 0 : -ENODATA;
}

uint16_t image_u16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t image_u32(const unsigned char *p)
{
    return (uint32_t)image_u16(p) | (uint32_t)image_u16(p + 2) << 16;
}

uint64_t image_u64(const unsigned char *p)
{
    return (uint64_t)image_u32(p) | (uint64_t)image_u32(p + 4) << 32;
}
