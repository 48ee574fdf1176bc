/* ccob.c - a compressed code-object bundle: its header, and the beginning of what is in it. */
#include "inspect/inspect_private.h"

#include <errno.h>
#include <zlib.h>
#include <zstd.h>

#define CCOB_PIECE 65536

int ccob_read_header(const unsigned char *bytes, size_t n, struct ccob *ret_ccob)
{
    static const size_t header[] = {[1] = 20, [2] = 24, [3] = 32};
    if (n < 8)
        return -EAGAIN;
    struct ccob c = {.version = image_u16(bytes + 4)};
    unsigned method = image_u16(bytes + 6);
    if (c.version < 1 || c.version > 3 || method > CCOB_ZSTD)
        return -ENOTSUP;
    c.method = method == CCOB_ZSTD ? CCOB_ZSTD : CCOB_ZLIB;
    c.header = header[c.version];
    if (n < c.header)
        return -EAGAIN;
    if (c.version == 1) {
        c.uncompressed = image_u32(bytes + 8);
    } else if (c.version == 2) {
        c.total = image_u32(bytes + 8);
        c.uncompressed = image_u32(bytes + 12);
    } else {
        c.total = image_u64(bytes + 8);
        c.uncompressed = image_u64(bytes + 16);
    }
    if (c.version > 1 && c.total <= c.header)
        return -EBADMSG;
    *ret_ccob = c;
    return 0;
}

/* Compressed bytes, a piece at a time. */
struct ccob_input {
    const struct image *image;
    struct extent rest;
    unsigned char piece[CCOB_PIECE];
};

static int ccob_next_piece(struct ccob_input *in, size_t *ret_n)
{
    size_t wanted = in->rest.size < CCOB_PIECE ? (size_t)in->rest.size : CCOB_PIECE;
    int r = image_read(in->image, in->rest.offset, in->piece, wanted);
    if (r < 0)
        return r;
    in->rest.offset += wanted;
    in->rest.size -= wanted;
    *ret_n = wanted;
    return 0;
}

static int ccob_peek_zlib(struct ccob_input *in, unsigned char *ret_bytes, size_t size,
                          size_t *ret_n)
{
    z_stream z = {.next_out = ret_bytes, .avail_out = (uInt)size};
    /* 32: a zlib or a gzip header, whichever is there. */
    if (inflateInit2(&z, 15 + 32) != Z_OK)
        xalloc_die();
    int r = 0;
    int state = Z_OK;
    while (r == 0 && z.avail_out && state == Z_OK) {
        if (!z.avail_in) {
            size_t n = 0;
            r = ccob_next_piece(in, &n);
            if (r == 0 && n == 0)
                break;
            z.next_in = in->piece;
            z.avail_in = (uInt)n;
        }
        if (r == 0)
            state = inflate(&z, Z_NO_FLUSH);
    }
    if (r == 0 && state != Z_OK && state != Z_STREAM_END)
        r = -EBADMSG;
    *ret_n = size - z.avail_out;
    inflateEnd(&z);
    return r;
}

/* Does the frame state the size that the bundle's header states, where it states one? */
static bool ccob_frame_agrees(const struct ccob_input *in, const struct ccob *ccob)
{
    unsigned char head[18]; /* the longest zstd frame header */
    size_t n;
    uint64_t left = in->rest.size;
    if (image_read_some(in->image, in->rest.offset, head,
                        left < sizeof(head) ? (size_t)left : sizeof(head), &n) < 0)
        return false;
    unsigned long long size = ZSTD_getFrameContentSize(head, n);
    return size == ZSTD_CONTENTSIZE_UNKNOWN || size == ccob->uncompressed;
}

static int ccob_peek_zstd(struct ccob_input *in, unsigned char *ret_bytes, size_t size,
                          size_t *ret_n)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (!stream)
        xalloc_die();
    ZSTD_inBuffer input = {in->piece, 0, 0};
    ZSTD_outBuffer output = {ret_bytes, size, 0};
    int r = 0;
    size_t state = 1;
    while (r == 0 && output.pos < size && state != 0) {
        if (input.pos == input.size) {
            input.pos = 0;
            r = ccob_next_piece(in, &input.size);
            if (r < 0 || input.size == 0)
                break;
        }
        state = ZSTD_decompressStream(stream, &output, &input);
        if (ZSTD_isError(state))
            r = -EBADMSG;
    }
    *ret_n = output.pos;
    ZSTD_freeDStream(stream);
    return r;
}

int ccob_peek(const struct image *image, struct extent data, const struct ccob *ccob,
              unsigned char *ret_bytes, size_t size, size_t *ret_n)
{
    struct ccob_input *CLEAN_FREE in = xmalloc(sizeof(*in));
    in->image = image;
    in->rest = data;
    if (ccob->method == CCOB_ZLIB)
        return ccob_peek_zlib(in, ret_bytes, size, ret_n);
    if (!ccob_frame_agrees(in, ccob))
        return -EBADMSG;
    return ccob_peek_zstd(in, ret_bytes, size, ret_n);
}
