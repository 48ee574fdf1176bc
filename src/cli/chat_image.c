#include "cli/chat_image.h"

#include <errno.h>
#include <openssl/evp.h>

enum { IMAGE_MAX = 20 << 20 };

/* By the first bytes, as the engine's own decoder does; NULL: no picture that it reads. */
static const char *image_type(struct str bytes)
{
    static const struct {
        struct str magic;
        size_t at;
        const char *type;
    } types[] = {
        {{"\x89PNG\r\n\x1a\n", 8}, 0, "image/png"},
        {{"\xff\xd8\xff", 3}, 0, "image/jpeg"},
        {{"WEBP", 4}, 8, "image/webp"},
        {{"GIF8", 4}, 0, "image/gif"},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct str magic = types[i].magic;
        if (bytes.n >= types[i].at + magic.n &&
            memcmp(bytes.p + types[i].at, magic.p, magic.n) == 0)
            return types[i].type;
    }
    return NULL;
}

int chat_image_read(const char *file, json_t **ret_part, struct gfxb_error *err)
{
    struct buf CLEAN_BUF bytes = BUF_INIT(IMAGE_MAX), url = BUF_INIT(2 * IMAGE_MAX);
    int result = fs_read(file, IMAGE_MAX, &bytes);
    if (result < 0)
        return error_set(err, -result, "cannot read the picture %s: %s", file,
                         result == -EFBIG ? "it is larger than 20 MiB" : error_errno_text(-result));
    const char *type = image_type(buf_view(&bytes));
    if (!type)
        return error_set(err, EINVAL, "%s is no PNG, JPEG, WebP or GIF picture", file);
    buf_addf(&url, "data:%s;base64,", type);
    size_t n = (bytes.n + 2) / 3 * 4;
    char *room = buf_room(&url, n + 1); /* EVP_EncodeBlock ends it with a NUL */
    if (!room)
        return error_set(err, ENOMEM, "out of memory");
    EVP_EncodeBlock((unsigned char *)room, (const unsigned char *)bytes.p, (int)bytes.n);
    buf_grew(&url, n);
    *ret_part = json_pack("{s:s, s:{s:s%}}", "type", "image_url", "image_url", "url", url.p, url.n);
    return *ret_part ? 0 : error_set(err, ENOMEM, "out of memory");
}
