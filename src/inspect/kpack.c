/*
 * kpack.c - device code that was split off from its library: where it went, and for which targets.
 *
 * Layouts as the kpack loader of ROCm (rocm-systems, shared/kpack) reads them. A .kpack file:
 * "KPAK", u32 version, u64 offset of the table of contents (little-endian), code, then the table up
 * to the end: a MessagePack map {gfx_arches: [target], toc: {"kernel name#index": {target: {...}}},
 * zstd_offset, zstd_size, ...}.
 */
#include "inspect/inspect_private.h"

#include <errno.h>

#define KPACK_MAGIC       "KPAK"
#define KPACK_HEADER      16
#define KPACK_TABLE_MAX   (16u << 20)
#define KPACK_REF_MAX     65536 /* as much as ROCm's loader reads */
#define KPACK_PLACEHOLDER STR("@GFXARCH@")

static int kpack_fail(struct gfxb_error *err, const char *what)
{
    return error_set(err, EBADMSG, "%s", what);
}

static int kpack_read_search(struct msgpack *m, struct names *search)
{
    struct msgpack_item list, item;
    int r = msgpack_expect(m, MSGPACK_ARRAY, &list);
    for (uint64_t i = 0; r == 0 && i < list.value; i++) {
        r = msgpack_expect(m, MSGPACK_TEXT, &item);
        if (r == 0)
            names_add(search, item.text);
    }
    return r;
}

static int kpack_parse_ref(struct msgpack *m, struct kpack_ref *ref)
{
    struct msgpack_item map, key, item;
    int r = msgpack_expect(m, MSGPACK_MAP, &map);
    for (uint64_t i = 0; r == 0 && i < map.value; i++) {
        r = msgpack_expect(m, MSGPACK_TEXT, &key);
        if (r < 0)
            break;
        if (str_is(key.text, "kernel_name") && !ref->kernel_name) {
            r = msgpack_expect(m, MSGPACK_TEXT, &item);
            if (r == 0)
                ref->kernel_name = xstr_dup(item.text);
        } else if (str_is(key.text, "kpack_search_paths")) {
            r = kpack_read_search(m, &ref->search);
        } else {
            r = msgpack_skip(m);
        }
    }
    if (r == 0 && (!ref->kernel_name || !ref->search.n))
        r = -EBADMSG;
    return r;
}

int kpack_ref_read(const struct image *image, struct extent section, struct kpack_ref *ret_ref,
                   struct gfxb_error *err)
{
    size_t n = section.size < KPACK_REF_MAX ? (size_t)section.size : KPACK_REF_MAX;
    unsigned char *CLEAN_FREE bytes = xmalloc(n);
    int r = image_read(image, section.offset, bytes, n);
    struct kpack_ref ref = {0};
    r = r ?: kpack_parse_ref(&(struct msgpack){bytes, n}, &ref);
    if (r < 0) {
        kpack_ref_done(&ref);
        return kpack_fail(err, "the section .rocm_kpack_ref cannot be read");
    }
    *ret_ref = ref;
    return 0;
}

void kpack_ref_done(struct kpack_ref *ref)
{
    free(ref->kernel_name);
    names_done(&ref->search);
    *ref = (struct kpack_ref){0};
}

bool kpack_begins(const unsigned char *bytes, size_t n)
{
    return n >= KPACK_HEADER && memcmp(bytes, KPACK_MAGIC, 4) == 0;
}

/* "lib/librocblas.so.5#0" is the first code object of lib/librocblas.so.5. */
static struct str kpack_without_index(struct str key)
{
    size_t n = key.n;
    while (n > 0 && key.p[n - 1] >= '0' && key.p[n - 1] <= '9')
        n--;
    if (n > 0 && n < key.n && key.p[n - 1] == '#')
        return (struct str){key.p, n - 1};
    return key;
}

static int kpack_add_code(struct kpack_index *index, struct str key, struct str target)
{
    struct buf CLEAN_BUF line = BUF_INIT(8192);
    buf_add_str(&line, kpack_without_index(key));
    buf_add_char(&line, '\t');
    buf_add_str(&line, target);
    if (!buf_ok(&line) || index->code.n == NAMES_MAX || !names_add_gfx(&index->gfx, target))
        return -EBADMSG;
    names_add(&index->code, buf_view(&line));
    return 0;
}

/* {"kernel name#index": {target: {...}}} */
static int kpack_parse_contents(struct msgpack *m, struct kpack_index *index)
{
    struct msgpack_item map, key, targets, target;
    int r = msgpack_expect(m, MSGPACK_MAP, &map);
    for (uint64_t i = 0; r == 0 && i < map.value; i++) {
        r = msgpack_expect(m, MSGPACK_TEXT, &key) ?: msgpack_expect(m, MSGPACK_MAP, &targets);
        for (uint64_t j = 0; r == 0 && j < targets.value; j++) {
            r = msgpack_expect(m, MSGPACK_TEXT, &target);
            r = r ?: kpack_add_code(index, key.text, target.text) ?: msgpack_skip(m);
        }
    }
    return r;
}

/* *area: where the code is. */
static int kpack_parse_table(struct msgpack *m, struct kpack_index *index, struct extent *area)
{
    struct msgpack_item map, key, number = {0};
    int r = msgpack_expect(m, MSGPACK_MAP, &map);
    for (uint64_t i = 0; r == 0 && i < map.value; i++) {
        r = msgpack_expect(m, MSGPACK_TEXT, &key);
        if (r < 0)
            break;
        bool is_offset = str_is(key.text, "zstd_offset"), is_size = str_is(key.text, "zstd_size");
        if (str_is(key.text, "toc"))
            r = kpack_parse_contents(m, index);
        else if (is_offset || is_size)
            r = msgpack_expect(m, MSGPACK_UINT, &number);
        else
            r = msgpack_skip(m);
        area->offset = is_offset ? number.value : area->offset;
        area->size = is_size ? number.value : area->size;
    }
    return r;
}

int kpack_index_add(struct kpack_index *index, const struct image *image, struct gfxb_error *err)
{
    unsigned char header[KPACK_HEADER];
    if (image_read(image, 0, header, sizeof(header)) < 0 || !kpack_begins(header, sizeof(header)))
        return kpack_fail(err, "this .kpack file's header is cut off");
    uint64_t at = image_u64(header + 8);
    if (at < KPACK_HEADER || at >= image->size || image->size - at > KPACK_TABLE_MAX)
        return kpack_fail(err, "this .kpack file's table of contents is not inside the file");
    size_t n = (size_t)(image->size - at);
    unsigned char *CLEAN_FREE bytes = xmalloc(n);
    struct extent area = {0, 0};
    int r = image_read(image, at, bytes, n);
    r = r ?: kpack_parse_table(&(struct msgpack){bytes, n}, index, &area);
    /* The code must be inside the file: a cut-off one that kept its table is not believed. */
    if (r == 0 && (area.offset > at || area.size > at - area.offset))
        r = -EBADMSG;
    return r < 0 ? kpack_fail(err, "this .kpack file's table of contents is damaged") : 0;
}

void kpack_index_done(struct kpack_index *index)
{
    names_done(&index->code);
    names_done(&index->gfx);
}

void kpack_index_find(const struct kpack_index *index, const char *kernel_name, struct names *gfx)
{
    for (size_t i = 0; i < index->code.n; i++) {
        struct str rest = str_from(index->code.name[i]);
        struct str name;
        if (str_cut(&rest, '\t', &name) && str_is(name, kernel_name))
            names_add_gfx(gfx, rest);
    }
}

bool kpack_name_fits(struct str pattern, struct str name)
{
    for (size_t i = 0; i + KPACK_PLACEHOLDER.n <= pattern.n; i++) {
        struct str head = {pattern.p, i};
        struct str tail = {pattern.p + i, pattern.n - i};
        if (!str_starts(tail, KPACK_PLACEHOLDER))
            continue;
        tail = (struct str){tail.p + KPACK_PLACEHOLDER.n, tail.n - KPACK_PLACEHOLDER.n};
        return name.n > head.n + tail.n && str_starts(name, head) && str_ends(name, tail);
    }
    return str_eq(pattern, name);
}
