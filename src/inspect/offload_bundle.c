/*
 * offload_bundle.c - which gfx targets code-object bundles hold code for.
 *
 * Layouts (little-endian), as in LLVM's ClangOffloadBundler documentation and sources:
 * plain: "__CLANG_OFFLOAD_BUNDLE__", u64 n, n times {u64 offset, u64 size, u64 length, id};
 * compressed: see ccob.c; inside is a plain bundle.
 */
#include "inspect/inspect_private.h"

#include <errno.h>

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

void bundle_facts_done(struct bundle_facts *facts)
{
    names_done(&facts->gfx);
    *facts = (struct bundle_facts){0};
}

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

/* Where the first n bytes of a plain bundle come from: the file, or a compressed bundle. */
struct bundle_source {
    const struct image *image;
    struct extent where;     /* the bundle, or the compressed data */
    const struct ccob *ccob; /* NULL: plain */
};

static int bundle_fetch(const struct bundle_source *source, unsigned char *bytes, size_t size,
                        size_t *ret_n)
{
    if (source->ccob)
        return ccob_peek(source->image, source->where, source->ccob, bytes, size, ret_n);
    uint64_t left = source->where.size;
    return image_read_some(source->image, source->where.offset, bytes,
                           left < size ? (size_t)left : size, ret_n);
}

/* Read the table with as little as possible; most fit in the first attempt. */
static int bundle_read(const struct bundle_source *source, uint64_t limit, struct names *gfx,
                       uint64_t *ret_end)
{
    int r = -EAGAIN;
    for (size_t size = BUNDLE_TABLE_FIRST; size <= BUNDLE_TABLE_MAX && r == -EAGAIN; size *= 16) {
        unsigned char *CLEAN_FREE bytes = xmalloc(size);
        size_t n = 0;
        r = bundle_fetch(source, bytes, size, &n);
        if (r == 0)
            r = bundle_read_table(bytes, n, limit, gfx, ret_end);
        if (r == -EAGAIN && n < size)
            r = -EBADMSG; /* there is no more */
    }
    return r == -EAGAIN ? -EBADMSG : r;
}

/* *ret_used 0: the bundle does not say how long it is. */
static int bundle_read_compressed(const struct image *image, struct extent where,
                                  const unsigned char *head, size_t n, struct bundle_facts *facts,
                                  uint64_t *ret_used)
{
    struct ccob ccob;
    int r = ccob_read_header(head, n, &ccob);
    if (r < 0)
        return r == -EAGAIN ? -EBADMSG : r;
    if (ccob.total > where.size || ccob.header > where.size)
        return -EBADMSG;
    struct extent data = {where.offset + ccob.header,
                          (ccob.total ? ccob.total : where.size) - ccob.header};
    struct bundle_source source = {image, data, &ccob};
    uint64_t end;
    r = bundle_read(&source, ccob.uncompressed, &facts->gfx, &end);
    if (r < 0)
        return r;
    facts->compressed++;
    *ret_used = ccob.total;
    return 0;
}

/* The bundle at where.offset: 1 and its length, 0 when there is none. */
static int bundle_read_one(const struct image *image, struct extent where,
                           struct bundle_facts *facts, uint64_t *ret_used)
{
    unsigned char head[CCOB_HEADER_MAX];
    size_t n;
    int r = image_read_some(image, where.offset, head,
                            where.size < sizeof(head) ? (size_t)where.size : sizeof(head), &n);
    if (r < 0 || !bundle_begins(head, n))
        return r;
    if (memcmp(head, CCOB_MAGIC, 4) == 0) {
        r = bundle_read_compressed(image, where, head, n, facts, ret_used);
        return r < 0 ? r : 1;
    }
    struct bundle_source source = {image, where, NULL};
    r = bundle_read(&source, where.size, &facts->gfx, ret_used);
    if (r < 0)
        return r;
    facts->plain++;
    return 1;
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

int bundle_walk(const struct image *image, struct extent where, struct bundle_facts *facts,
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
        int r = bundle_read_one(image, rest, facts, &used);
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
