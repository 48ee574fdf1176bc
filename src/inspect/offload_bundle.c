/*
 * offload_bundle.c - which gfx targets code-object bundles hold code for.
 *
 * Layouts (little-endian), as in LLVM's ClangOffloadBundler documentation and sources:
 * plain: "__CLANG_OFFLOAD_BUNDLE__", u64 n, n times {u64 offset, u64 size, u64 length, id};
 * compressed: "CCOB", u16 version, u16 method, then 32-bit sizes (64-bit in version 3): of all
 * (not in version 1), and of what is inside, a plain bundle.
 */
#include "inspect/inspect_private.h"

#include <errno.h>
#include <zlib.h>
#include <zstd.h>

#define BUNDLE_MAGIC       "__CLANG_OFFLOAD_BUNDLE__"
#define BUNDLE_MAGIC_SIZE  24
#define CCOB_MAGIC         "CCOB"
#define BUNDLE_ALIGN       4096
#define BUNDLE_TABLE_FIRST 4096 /* enough for the table of some 60 targets */
#define BUNDLE_TABLE_MAX   (1 << 20)
#define BUNDLE_ENTRIES_MAX 4096
#define BUNDLE_ID_MAX      1024
/* Both bound the work on a hostile file: real libraries hold some hundred bundles and hardly a gap.
 * A step passes over BUNDLE_ALIGN bytes without a bundle: 16 GiB in all. */
#define BUNDLE_COUNT_MAX 16384
#define BUNDLE_STEPS_MAX (1u << 22)

bool bundle_begins(const unsigned char *bytes, size_t n)
{
    return (n >= BUNDLE_MAGIC_SIZE && memcmp(bytes, BUNDLE_MAGIC, BUNDLE_MAGIC_SIZE) == 0) ||
           (n >= 4 && memcmp(bytes, CCOB_MAGIC, 4) == 0);
}

struct str bundle_entry_target(struct str id)
{
    for (size_t at = id.n; at >= 4; at--) {
        struct str tail = {id.p + at - 4, id.n - at + 4};
        if (str_starts(tail, STR("-gfx")))
            return (struct str){tail.p + 1, tail.n - 1};
    }
    return STR_NONE;
}

/* ---- compressed ones ---- */

#define CCOB_HEADER_MAX 32
#define CCOB_PIECE      65536

enum ccob_method { CCOB_ZLIB = 0, CCOB_ZSTD = 1 };

struct ccob {
    enum ccob_method method;
    size_t header;         /* bytes before the compressed data */
    uint64_t total;        /* header and data; 0: not said (version 1) */
    uint64_t uncompressed; /* bytes */
};

/* -ENOTSUP for a version or method that is not known. */
static int ccob_read_header(const unsigned char *bytes, size_t n, struct ccob *ret_ccob)
{
    static const size_t header[] = {[1] = 20, [2] = 24, [3] = CCOB_HEADER_MAX};
    if (n < 8)
        return -EBADMSG;
    unsigned version = image_u16(bytes + 4), method = image_u16(bytes + 6);
    if (version < 1 || version > 3 || method > CCOB_ZSTD)
        return -ENOTSUP;
    struct ccob c = {.method = (enum ccob_method)method, .header = header[version]};
    if (n < c.header)
        return -EBADMSG;
    if (version == 3) {
        c.total = image_u64(bytes + 8);
        c.uncompressed = image_u64(bytes + 16);
    } else {
        c.total = version == 2 ? image_u32(bytes + 8) : 0;
        c.uncompressed = image_u32(bytes + (version == 2 ? 12 : 8));
    }
    if (version > 1 && c.total <= c.header)
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
    *ret_n = 0;
    int r = image_read_head(in->image, in->rest, in->piece, CCOB_PIECE, ret_n);
    in->rest.offset += *ret_n;
    in->rest.size -= *ret_n;
    return r;
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
    if (image_read_head(in->image, in->rest, head, sizeof(head), &n) < 0)
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

/* Decompress the first `size` bytes of what is in `data` (or all there is). -EBADMSG for damaged
 * data, or when the data itself states another size than the header. */
static int ccob_peek(const struct image *image, struct extent data, const struct ccob *ccob,
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

/* ---- plain ones ---- */

/* One entry at *at of the table: -EAGAIN when the n bytes end before it does. */
static int bundle_read_entry(const unsigned char *table, size_t n, size_t *at, uint64_t limit,
                             struct names *gfx, uint64_t *end)
{
    if (n - *at < 24)
        return -EAGAIN;
    uint64_t offset = image_u64(table + *at);
    uint64_t size = image_u64(table + *at + 8);
    uint64_t length = image_u64(table + *at + 16);
    *at += 24;
    if (length == 0 || length > BUNDLE_ID_MAX || offset > limit || size > limit - offset)
        return -EBADMSG;
    if (n - *at < length)
        return -EAGAIN;
    struct str id = {(const char *)table + *at, (size_t)length};
    *at += (size_t)length;
    if (offset + size > *end)
        *end = offset + size;
    struct str target = bundle_entry_target(id);
    if (!target.n || size == 0) /* the host's entry, SPIR-V, or a target that was left empty */
        return 0;
    return names_add_gfx(gfx, target) ? 0 : -EBADMSG;
}

/* The table at the beginning of a bundle of at most `limit` bytes, of which n were read.
 * *ret_end: where the last code object or the table ends. */
static int bundle_read_table(const unsigned char *table, size_t n, uint64_t limit,
                             struct names *gfx, uint64_t *ret_end)
{
    if (n < BUNDLE_MAGIC_SIZE + 8)
        return -EAGAIN;
    if (memcmp(table, BUNDLE_MAGIC, BUNDLE_MAGIC_SIZE) != 0)
        return -EBADMSG;
    uint64_t entries = image_u64(table + BUNDLE_MAGIC_SIZE);
    if (entries > BUNDLE_ENTRIES_MAX)
        return -EBADMSG;
    size_t at = BUNDLE_MAGIC_SIZE + 8;
    uint64_t end = at;
    int r = 0;
    for (uint64_t i = 0; i < entries && r == 0; i++)
        r = bundle_read_entry(table, n, &at, limit, gfx, &end);
    if (r == 0 && at > end)
        end = at;
    if (r == 0 && end > limit)
        r = -EBADMSG;
    if (r == 0)
        *ret_end = end;
    return r;
}

/* Read the table with as little as possible; most fit in the first attempt. where: the bundle, or
 * the compressed data of one with this header (NULL: plain). */
static int bundle_read(const struct image *image, struct extent where, const struct ccob *ccob,
                       uint64_t limit, struct names *gfx, uint64_t *ret_end)
{
    int r = -EAGAIN;
    for (size_t size = BUNDLE_TABLE_FIRST; size <= BUNDLE_TABLE_MAX && r == -EAGAIN; size *= 16) {
        unsigned char *CLEAN_FREE bytes = xmalloc(size);
        size_t n = 0;
        r = ccob ? ccob_peek(image, where, ccob, bytes, size, &n)
                 : image_read_head(image, where, bytes, size, &n);
        r = r ?: bundle_read_table(bytes, n, limit, gfx, ret_end);
        if (r == -EAGAIN && n < size)
            r = -EBADMSG; /* there is no more */
    }
    return r == -EAGAIN ? -EBADMSG : r;
}

/* The bundle at where.offset: 1 and its length (0: it does not say how long it is), 0 when there is
 * none. */
static int bundle_read_one(const struct image *image, struct extent where,
                           struct inspection_code *code, uint64_t *ret_used)
{
    unsigned char head[CCOB_HEADER_MAX];
    struct ccob ccob;
    struct extent data = where;
    uint64_t end;
    size_t n;
    int r = image_read_head(image, where, head, sizeof(head), &n);
    if (r < 0 || !bundle_begins(head, n))
        return r;
    bool is_plain = memcmp(head, CCOB_MAGIC, 4) != 0;
    if (is_plain) {
        r = bundle_read(image, where, NULL, where.size, &code->gfx, ret_used);
    } else {
        r = ccob_read_header(head, n, &ccob);
        if (r == 0 && (ccob.total > where.size || ccob.header > where.size))
            r = -EBADMSG;
        if (r < 0)
            return r;
        data.offset += ccob.header;
        data.size = (ccob.total ? ccob.total : where.size) - ccob.header;
        r = bundle_read(image, data, &ccob, ccob.uncompressed, &code->gfx, &end);
        *ret_used = r == 0 ? ccob.total : 0;
    }
    code->plain += r == 0 && is_plain;
    code->compressed += r == 0 && !is_plain;
    return r < 0 ? r : 1;
}

static int bundle_fail(int r, uint64_t offset, struct gfxb_error *err)
{
    const char *what = "cannot be read";
    if (r == -EBADMSG)
        what = "is damaged or cut off";
    else if (r == -ENOTSUP)
        what = "is of a version or compression that this program does not know";
    else if (r == -EFBIG)
        what = "is one of too many, or followed by too much empty space";
    return error_set(err, -r, "the code-object bundle at byte %llu %s", (unsigned long long)offset,
                     what);
}

/* Where to look for the next bundle: at once behind one that was put there without alignment, else
 * at the next multiple of the alignment. */
static uint64_t bundle_next(const struct image *image, struct extent where, uint64_t at,
                            uint64_t used)
{
    uint64_t next = at + (used ? used : 1);
    unsigned char head[BUNDLE_MAGIC_SIZE];
    size_t n = 0;
    if (used && next < where.size &&
        image_read_some(image, where.offset + next, head, sizeof(head), &n) == 0 &&
        bundle_begins(head, n))
        return next;
    uint64_t over = next % BUNDLE_ALIGN;
    return over ? next + BUNDLE_ALIGN - over : next;
}

int bundle_walk(const struct image *image, struct extent where, struct inspection_code *code,
                struct gfxb_error *err)
{
    if (!image_holds(image, where))
        return bundle_fail(-EBADMSG, where.offset, err);
    uint64_t at = 0;
    bool inside_data = false; /* behind a bundle of unknown length: its own data may follow */
    unsigned bundles = 0, steps = 0;
    while (at <= where.size && where.size - at >= BUNDLE_MAGIC_SIZE) {
        uint64_t used = 0;
        struct extent rest = {where.offset + at, where.size - at};
        int r = bundle_read_one(image, rest, code, &used);
        /* Compressed data may look like a header by chance. */
        if (inside_data && (r == -EBADMSG || r == -ENOTSUP))
            r = 0;
        if ((r == 0 && ++steps > BUNDLE_STEPS_MAX) || (r == 1 && ++bundles > BUNDLE_COUNT_MAX))
            r = -EFBIG;
        if (r < 0)
            return bundle_fail(r, rest.offset, err);
        if (r == 1)
            inside_data = used == 0;
        at = bundle_next(image, where, at, used);
    }
    return 0;
}
