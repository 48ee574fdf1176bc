/* test_inspect.c - inspection: code-object bundles, code objects, kpack, BLAS kernel files, and
 * what ELF files need. Bundles and files are built here byte by byte; where a tool that makes or
 * reads the real thing is on this computer (clang-offload-bundler, objdump) it is asked too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "elf_builder.h"
#include "inspect/inspect_private.h"

#include <archive.h>
#include <archive_entry.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

static struct image as_image(const struct buf *b)
{
    return image_from_bytes(b->p, b->n);
}

static void assert_names(const struct names *names, const char *expected)
{
    struct buf b = BUF_INIT(65536);
    for (size_t i = 0; i < names->n; i++) {
        if (i)
            buf_add_char(&b, ' ');
        buf_add_text(&b, names->name[i]);
    }
    assert_string_equal(buf_text(&b), expected);
    buf_done(&b);
}

/* ---- bundles ---- */

/* Ids with their code; blank-separated. An id that ends with '!' gets no code. */
static void add_bundle(struct buf *b, const char *ids)
{
    size_t start = b->n, n = 0;
    struct str list = str_from(ids), id;
    while (str_word(&list, &id))
        n++;
    size_t at = (32 + n * 64 + 4095) / 4096 * 4096; /* the first code, behind the table */
    buf_add_text(b, "__CLANG_OFFLOAD_BUNDLE__");
    add_number(b, n, 8);
    list = str_from(ids);
    while (str_word(&list, &id)) {
        bool empty = str_ends(id, STR("!"));
        id.n -= empty;
        add_number(b, at, 8);
        add_number(b, empty ? 0 : 100, 8);
        add_number(b, id.n, 8);
        buf_add_str(b, id);
        at += empty ? 0 : 4096;
    }
    while (b->n - start < at)
        buf_add_char(b, (char)0xcc);
}

#define HOST   "host-x86_64-unknown-linux-gnu-!"
#define DEVICE "hipv4-amdgcn-amd-amdhsa--"

/* A compressed bundle of the given version. */
static void add_compressed(struct buf *b, unsigned version, bool zstd, const struct buf *plain)
{
    size_t room = ZSTD_compressBound(plain->n) + compressBound(plain->n);
    char *packed = malloc(room);
    size_t n;
    if (zstd) {
        n = ZSTD_compress(packed, room, plain->p, plain->n, 3);
    } else {
        uLongf length = room;
        assert_int_equal(compress((Bytef *)packed, &length, (const Bytef *)plain->p, plain->n),
                         Z_OK);
        n = length;
    }
    static const size_t header[] = {0, 20, 24, 32};
    buf_add_text(b, "CCOB");
    add_number(b, version, 2);
    add_number(b, zstd, 2);
    if (version > 1)
        add_number(b, header[version] + n, version == 2 ? 4 : 8);
    add_number(b, plain->n, version == 3 ? 8 : 4);
    add_number(b, 0x1122334455667788, 8);
    buf_add(b, packed, n);
    free(packed);
}

static void facts_done(struct inspection_code *facts)
{
    names_done(&facts->gfx);
    *facts = (struct inspection_code){0};
}

static int walk(const struct buf *b, struct inspection_code *facts, struct gfxb_error *err)
{
    struct image image = as_image(b);
    return bundle_walk(&image, (struct extent){0, b->n}, facts, err);
}

static void assert_walk(const struct buf *b, unsigned plain, unsigned compressed, const char *gfx)
{
    struct inspection_code facts = {0};
    struct gfxb_error err = {0};
    if (walk(b, &facts, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(facts.plain, plain);
    assert_int_equal(facts.compressed, compressed);
    assert_names(&facts.gfx, gfx);
    facts_done(&facts);
}

static void assert_walk_fails(const struct buf *b, int code)
{
    struct inspection_code facts = {0};
    struct gfxb_error err = {0};
    assert_int_equal(walk(b, &facts, &err), -code);
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.text, "bundle at byte"));
    facts_done(&facts);
}

/* Every spelling of a target that the compilers of this field have used. */
static void test_entry_ids(void **state)
{
    (void)state;
    static const char *const row[][2] = {
        {"hipv4-amdgcn-amd-amdhsa--gfx1100", "gfx1100"},
        {"hip-amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-", "gfx90a:sramecc+:xnack-"},
        {"hip-amdgcn-amd-amdhsa-unknown-gfx1201", "gfx1201"},
        {"hipv4-amdgcn-amd-amdhsa--gfx11-generic", "gfx11-generic"},
        {"hipv4-amdgcn-amd-amdhsa--gfx9-4-generic:xnack+", "gfx9-4-generic:xnack+"},
        {"openmp-amdgcn-amd-amdhsa--gfx906", "gfx906"},
        {"host-x86_64-unknown-linux-gnu-", ""},
        {"hip-spirv64-amd-amdhsa-unknown-amdgcnspirv", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct str target = bundle_entry_target(str_from(row[i][0]));
        assert_true(str_is(target, row[i][1]));
    }
}

/* Features are cut off, generic names kept, no name twice, the tables' order. */
static void test_gfx_names(void **state)
{
    (void)state;
    struct names set = {0};
    static const char *const good[] = {"gfx1100",      "gfx90a:sramecc+:xnack-", "gfx803",
                                       "gfx90a",       "gfx9-4-generic",         "gfx11-generic",
                                       "gfx906:xnack+"};
    static const char *const bad[] = {"",         "gfx",   "gfx1100-",       "gfx11",
                                      "gfx1100 ", "sm_90", "gfx11-genericx", "gfxzz",
                                      "gfx1100\n"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(names_add_gfx(&set, str_from(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(names_add_gfx(&set, str_from(bad[i])));
    assert_names(&set, "gfx803 gfx906 gfx90a gfx1100 gfx11-generic gfx9-4-generic");
    names_done(&set);
}

/* All bundles count, not the first alone; entries without code do not. */
static void test_plain_bundles(void **state)
{
    (void)state;
    struct buf b = bytes_new();
    add_bundle(&b, HOST " " DEVICE "gfx1100 " DEVICE "gfx900! " DEVICE "gfx90a:xnack-");
    pad_to(&b, 4096);
    add_bundle(&b, HOST " " DEVICE "gfx1100");
    add_zeros(&b, 3 * 4096 + 17);
    pad_to(&b, 4096);
    add_bundle(&b, HOST " " DEVICE "gfx1030 hip-amdgcn-amd-amdhsa--gfx12-generic");
    assert_walk(&b, 3, 0, "gfx90a gfx1030 gfx1100 gfx12-generic");
    buf_done(&b);
}

/* Two that were put together without alignment. */
static void test_bundles_at_once(void **state)
{
    (void)state;
    struct buf b = bytes_new();
    struct buf inner = bytes_new();
    add_bundle(&inner, DEVICE "gfx1100");
    add_compressed(&b, 2, true, &inner);
    add_compressed(&b, 3, true, &inner);
    add_bundle(&b, DEVICE "gfx906");
    assert_walk(&b, 1, 2, "gfx906 gfx1100");
    buf_done(&inner);
    buf_done(&b);
}

/* More targets than fit into the first read of the table: 300 in 10 KiB. */
static void test_long_table(void **state)
{
    (void)state;
    struct buf ids = BUF_INIT(1 << 20);
    for (unsigned i = 0; i < 300; i++)
        buf_addf(&ids, "%s%s%04x ", i ? "" : HOST " ", DEVICE "gfx", 0x1000 + i);
    struct buf plain = bytes_new();
    struct buf packed = bytes_new();
    add_bundle(&plain, buf_text(&ids));
    struct inspection_code facts = {0};
    assert_int_equal(walk(&plain, &facts, NULL), 0);
    assert_int_equal(facts.gfx.n, 300);
    facts_done(&facts);
    add_compressed(&packed, 3, true, &plain);
    assert_int_equal(walk(&packed, &facts, NULL), 0);
    assert_int_equal(facts.gfx.n, 300);
    facts_done(&facts);
    buf_done(&ids);
    buf_done(&plain);
    buf_done(&packed);
}

/* All versions and methods; version 1 does not say how long it is, and still what follows is found.
 */
static void test_compressed_bundles(void **state)
{
    (void)state;
    struct buf inner = bytes_new();
    add_bundle(&inner, HOST " " DEVICE "gfx1151 " DEVICE "gfx942:sramecc+");
    for (unsigned version = 1; version <= 3; version++) {
        for (int zstd = 0; zstd < 2; zstd++) {
            struct buf b = bytes_new();
            add_compressed(&b, version, zstd, &inner);
            assert_walk(&b, 0, 1, "gfx942 gfx1151");
            pad_to(&b, 4096);
            add_bundle(&b, DEVICE "gfx1030");
            pad_to(&b, 4096);
            add_compressed(&b, version, !zstd, &inner);
            add_zeros(&b, 5000);
            assert_walk(&b, 1, 2, "gfx942 gfx1030 gfx1151");
            buf_done(&b);
        }
    }
    buf_done(&inner);
}

/* Each contradiction is an error, never a shorter list. */
static void test_damaged_bundles(void **state)
{
    (void)state;
    struct buf good = bytes_new();
    add_bundle(&good, HOST " " DEVICE "gfx1100");
    static const struct {
        size_t at, n;
        uint64_t value;
    } change[] = {
        {24, 8, UINT64_MAX}, /* number of entries */
        {24, 8, 5000},
        {32 + 16, 8, UINT64_MAX}, /* an id's length */
        {32 + 16, 8, 0},
        {32 + 8, 8, UINT64_MAX}, /* a size */
        {32, 8, UINT64_MAX - 5}, /* an offset */
        {24, 8, 4},              /* more entries than there are: the padding is none */
    };
    for (size_t i = 0; i < sizeof(change) / sizeof(change[0]); i++) {
        struct buf b = bytes_new();
        buf_add_str(&b, buf_view(&good));
        set_number(&b, change[i].at, change[i].value, change[i].n);
        assert_walk_fails(&b, EBADMSG);
        buf_done(&b);
    }
    for (size_t n = 32; n < 4096 + 100; n += 97) { /* cut off in the table or the code */
        struct buf b = bytes_new();
        buf_add(&b, good.p, n);
        assert_walk_fails(&b, EBADMSG);
        buf_done(&b);
    }
    buf_done(&good);
}

static void test_damaged_compressed_bundles(void **state)
{
    (void)state;
    struct buf inner = bytes_new(), noise = bytes_new(), good = bytes_new();
    add_bundle(&inner, HOST " " DEVICE "gfx1100");
    add_compressed(&good, 3, true, &inner);
    static const struct {
        size_t at, n;
        uint64_t value;
        int code;
    } change[] = {
        {4, 2, 4, ENOTSUP},                               /* version */
        {4, 2, 0, ENOTSUP},          {6, 2, 2, ENOTSUP},  /* method */
        {6, 2, 0, EBADMSG},                               /* zlib, and it is zstd */
        {8, 8, UINT64_MAX, EBADMSG},                      /* total size */
        {8, 8, 32, EBADMSG},         {16, 8, 5, EBADMSG}, /* uncompressed size: not the frame's */
        {32, 4, 0, EBADMSG},                              /* the frame's magic */
    };
    for (size_t i = 0; i < sizeof(change) / sizeof(change[0]); i++) {
        struct buf b = bytes_new();
        buf_add_str(&b, buf_view(&good));
        set_number(&b, change[i].at, change[i].value, change[i].n);
        assert_walk_fails(&b, change[i].code);
        buf_done(&b);
    }
    buf_add_text(&noise, "no bundle at all, but quite long enough to be one");
    buf_clear(&good);
    add_compressed(&good, 2, false, &noise);
    assert_walk_fails(&good, EBADMSG);
    buf_clear(&good);
    buf_add_text(&good, "CCOB\2"); /* a header of zeros */
    add_zeros(&good, 20);
    assert_walk_fails(&good, EBADMSG);
    buf_done(&inner);
    buf_done(&noise);
    buf_done(&good);
}

/* ---- a place with files ---- */

struct place {
    char dir[64];
    struct gfx_tables *tables;
    bool digest;
};

static int place_setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    struct gfxb_error err = {0};
    assert_non_null(p);
    snprintf(p->dir, sizeof(p->dir), "/tmp/gfxbridge-inspect-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    if (gfx_tables_new(NULL, &p->tables, &err) < 0)
        fail_msg("%s", err.text);
    *state = p;
    return 0;
}

static int place_teardown(void **state)
{
    struct place *p = *state;
    gfx_tables_free(p->tables);
    assert_int_equal(fs_remove_tree(p->dir), 0);
    free(p);
    return 0;
}

/* Write below the place's directory; directories are made. */
static void put(const struct place *p, const char *name, const struct buf *content)
{
    char *path = fs_join(p->dir, name);
    assert_non_null(path);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_int_equal(fs_make_dirs(path, 0755, NULL), 0);
    *slash = '/';
    assert_int_equal(fs_write(path, content->p ? content->p : "", content->n, 0644, NULL), 0);
    free(path);
}

static void put_text(const struct place *p, const char *name, const char *text)
{
    struct buf b = bytes_new();
    buf_add_text(&b, text);
    put(p, name, &b);
    buf_done(&b);
}

static int inspect(const struct place *p, const char *name, struct inspection *ret,
                   struct gfxb_error *err)
{
    char *path = fs_join(p->dir, name);
    assert_non_null(path);
    int r = inspect_path(path, p->tables, p->digest, ret, err);
    free(path);
    return r;
}

static struct inspection inspect_ok(const struct place *p, const char *name)
{
    struct inspection found;
    struct gfxb_error err = {0};
    if (inspect(p, name, &found, &err) < 0)
        fail_msg("%s", err.text);
    return found;
}

/* ---- ELF files ---- */

static void put_elf(const struct place *p, const char *name, const struct elf_spec *spec)
{
    struct buf b = bytes_new();
    build_elf(&b, spec);
    put(p, name, &b);
    buf_done(&b);
}

static const struct elf_spec library = {.type = ET_DYN, .machine = EM_X86_64};

static void test_elf_facts(void **state)
{
    (void)state;
    struct elf_spec spec = library;
    spec.needed = "libb.so.1 liba.so.6";
    spec.soname = "libx.so.2";
    spec.run_path = "$ORIGIN:/opt/lib";
    spec.versions = "GLIBC_2.2.5 GLIBC_2.34 GLIBC_2.9 GLIBC_PRIVATE GLIBC_2.99? GLIBCXX_3.4.30 "
                    "GLIBCXX_3.4.9 CXXABI_1.3";
    struct buf b = bytes_new();
    build_elf(&b, &spec);
    struct image image = as_image(&b);
    struct elf_facts facts;
    struct gfxb_error err = {0};
    char text[16];
    assert_int_equal(elf_read(&image, &facts, &err), 0);
    assert_names(&facts.needed, "liba.so.6 libb.so.1");
    assert_string_equal(facts.soname, "libx.so.2");
    assert_string_equal(facts.run_path, "$ORIGIN:/opt/lib");
    elf_version_text(facts.glibc, text, sizeof(text));
    assert_string_equal(text, "2.34");
    elf_version_text(facts.glibcxx, text, sizeof(text));
    assert_string_equal(text, "3.4.30");
    assert_false(elf_is_program(&facts));
    elf_facts_done(&facts);
    buf_done(&b);
}

/* Packed relocations need the loader of glibc 2.36, whatever the symbols say. */
static void test_elf_relr(void **state)
{
    (void)state;
    struct elf_spec spec = library;
    spec.versions = "GLIBC_2.2.5 GLIBC_ABI_DT_RELR";
    struct buf b = bytes_new();
    build_elf(&b, &spec);
    struct image image = as_image(&b);
    struct elf_facts facts;
    char text[16];
    assert_int_equal(elf_read(&image, &facts, NULL), 0);
    elf_version_text(facts.glibc, text, sizeof(text));
    assert_string_equal(text, "2.36");
    elf_facts_done(&facts);
    buf_done(&b);
}

/* The highest version among the undefined symbols that objdump shows. */
static void highest_version(struct str text, const char *prefix, uint64_t *ret)
{
    struct str line;
    *ret = 0;
    while (str_cut(&text, '\n', &line)) {
        const char *at =
            str_has(line, STR("*UND*")) ? memmem(line.p, line.n, prefix, strlen(prefix)) : NULL;
        unsigned part[3] = {0};
        if (!at || sscanf(at + strlen(prefix), "%u.%u.%u", &part[0], &part[1], &part[2]) < 2)
            continue;
        uint64_t version = ELF_VERSION(part[0], part[1], part[2]);
        *ret = version > *ret ? version : *ret;
    }
}

/* What objdump -T says of this test program and of the C++ library, where there are any. */
static void test_floor_like_objdump(void **state)
{
    (void)state;
    static const char *const path[] = {"/proc/self/exe", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
                                       "/usr/lib64/libstdc++.so.6"};
    unsigned compared = 0;
    for (size_t i = 0; i < 3; i++) {
        char *real = realpath(path[i], NULL);
        if (!real)
            continue;
        const char *const argv[] = {"objdump", "-T", real, NULL};
        const char *const env[] = {"LC_ALL=C", NULL};
        struct child_spec spec = {
            .argv = argv, .env = env, .max_output = 16 << 20, .out_fd = -1, .err_fd = -1};
        struct child_result result;
        if (child_run(&spec, &result, NULL) == 0) {
            int fd = open(real, O_RDONLY | O_CLOEXEC);
            struct image image;
            struct elf_facts facts;
            uint64_t glibc, glibcxx;
            assert_true(child_result_ok(&result));
            assert_int_equal(image_from_fd(fd, &image), 0);
            assert_int_equal(elf_read(&image, &facts, NULL), 0);
            highest_version(buf_view(&result.out), "GLIBC_", &glibc);
            highest_version(buf_view(&result.out), "GLIBCXX_", &glibcxx);
            assert_true(facts.glibc == glibc && facts.glibcxx == glibcxx);
            assert_true(glibc >= ELF_VERSION(2, 0, 0));
            assert_int_equal(elf_is_program(&facts), i == 0);
            elf_facts_done(&facts);
            close(fd);
            child_result_done(&result);
            compared++;
        }
        free(real);
    }
    if (!compared)
        skip();
}

/* A code object's number names its target: for every row of the table that has one. */
static void test_code_objects(void **state)
{
    struct place *p = *state;
    unsigned tried = 0;
    for (size_t i = 0; i < p->tables->n_targets; i++) {
        const struct gfx_target *target = &p->tables->target[i];
        if (!target->elf_mach)
            continue;
        struct elf_spec spec = {
            .type = ET_DYN, .machine = ELF_MACHINE_AMDGPU, .flags = target->elf_mach | 0x500};
        put_elf(p, "k.co", &spec);
        struct inspection found = inspect_ok(p, "k.co");
        assert_int_equal(found.kind, INSPECT_ELF);
        assert_int_equal(found.gfx.n, 1);
        assert_true(str_is(target->gfx, found.gfx.name[0]));
        inspection_done(&found);
        tried++;
    }
    assert_true(tried > 20);
    struct elf_spec unknown = {.type = ET_DYN, .machine = ELF_MACHINE_AMDGPU, .flags = 0xff};
    struct inspection found;
    put_elf(p, "k.co", &unknown);
    assert_int_equal(inspect(p, "k.co", &found, NULL), -ENOTSUP);
}

/* Sizes, offsets and counts that reach out of the file, one field of the headers after the other
 * set to extreme values: an error or an answer, in bounded time, never a crash. */
static void test_hostile_elf(void **state)
{
    struct place *p = *state;
    struct buf fatbin = bytes_new(), good = bytes_new();
    add_bundle(&fatbin, HOST " " DEVICE "gfx1100");
    struct elf_spec spec = library;
    spec.needed = "liba.so";
    spec.versions = "GLIBC_2.2.5 GLIBC_2.3";
    spec.fatbin = &fatbin;
    build_elf(&good, &spec);
    static const uint64_t extreme[] = {0,          1,
                                       0x7f,       0xff,
                                       0xffff,     0x7fffffff,
                                       0xffffffff, UINT64_C(1) << 40,
                                       INT64_MAX,  UINT64_MAX - 63,
                                       UINT64_MAX};
    size_t head = 64 + 4 * 56 + 200, answers = 0, errors = 0;
    for (size_t at = 16; at < good.n; at = at + 4 == head ? good.n - 4 * 64 : at + 4) {
        for (size_t i = 0; i < sizeof(extreme) / sizeof(extreme[0]); i++) {
            struct buf b = bytes_new();
            struct inspection found;
            struct gfxb_error err = {0};
            struct inspector in = {.tables = p->tables};
            buf_add_str(&b, buf_view(&good));
            set_number(&b, at, extreme[i], at + 8 <= b.n ? 8 : 4);
            struct image image = as_image(&b);
            int r = inspector_add(&in, "x", &image, &err);
            if (r == 0) {
                inspector_finish(&in, &found);
                inspection_done(&found);
            } else {
                assert_true(err.text[0] != '\0');
            }
            answers += r == 0;
            errors += r < 0;
            inspector_done(&in);
            buf_done(&b);
        }
    }
    assert_true(answers > 0 && errors > 0);
    buf_done(&fatbin);
    buf_done(&good);
}

/* Cut off at any length. */
static void test_cut_elf(void **state)
{
    struct place *p = *state;
    struct buf fatbin = bytes_new(), good = bytes_new();
    add_bundle(&fatbin, HOST " " DEVICE "gfx1100");
    struct elf_spec spec = library;
    spec.needed = "liba.so";
    spec.fatbin = &fatbin;
    build_elf(&good, &spec);
    for (size_t n = 4; n < good.n; n += n < 800 ? 1 : 61) {
        struct inspector in = {.tables = p->tables};
        struct gfxb_error err = {0};
        struct image image = image_from_bytes(good.p, n);
        assert_int_equal(inspector_add(&in, "x", &image, &err), -EBADMSG);
        inspector_done(&in);
    }
    buf_done(&fatbin);
    buf_done(&good);
}

static void test_other_elf(void **state)
{
    struct place *p = *state;
    struct inspection found;
    struct gfxb_error err = {0};
    put_text(p, "e32",
             "\x7f"
             "ELF\1\1\1 and so on: 32-bit, which no engine is");
    assert_int_equal(inspect(p, "e32", &found, &err), -ENOTSUP);
    assert_non_null(strstr(err.text, "64-bit"));
    found = inspect_ok(p, "."); /* in a package it is nothing to worry about */
    assert_int_equal(found.problems.n, 0);
    inspection_done(&found);
    put_text(p, "text", "neither a program nor an archive");
    assert_int_equal(inspect(p, "text", &found, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "/text: "));
    assert_int_equal(inspect(p, "absent", &found, &err), -ENOENT);
}

/* ---- kpack ---- */

static void add_text_item(struct buf *b, const char *text)
{
    size_t n = strlen(text);
    assert_true(n < 256);
    buf_add_char(b, (char)0xd9);
    buf_add_char(b, (char)n);
    buf_add_text(b, text);
}

static void build_ref(struct buf *b, const char *kernel, const char *search)
{
    buf_add_char(b, (char)0x82);
    add_text_item(b, "kpack_search_paths");
    buf_add_char(b, (char)0x91);
    add_text_item(b, search);
    add_text_item(b, "kernel_name");
    add_text_item(b, kernel);
    add_zeros(b, 100);
}

/* A .kpack file that holds the kernel's code for one target. */
static void build_kpack(struct buf *b, const char *key, const char *target)
{
    buf_add_text(b, "KPAK");
    add_number(b, 1, 4);
    add_number(b, 64 + 500, 8);
    pad_to(b, 64);
    add_zeros(b, 500);
    buf_add_char(b, (char)0x85);
    add_text_item(b, "format_version");
    buf_add_char(b, 1);
    add_text_item(b, "gfx_arches");
    buf_add_char(b, (char)0x91);
    add_text_item(b, target);
    add_text_item(b, "zstd_offset");
    buf_add_char(b, 64);
    add_text_item(b, "zstd_size");
    buf_add(b, "\xcd\x01\xf4", 3); /* 500 */
    add_text_item(b, "toc");
    buf_add_char(b, (char)0x81);
    add_text_item(b, key);
    buf_add_char(b, (char)0x81);
    add_text_item(b, target);
    buf_add_char(b, (char)0x82);
    add_text_item(b, "type");
    add_text_item(b, "hsaco");
    add_text_item(b, "ordinal");
    buf_add_char(b, 0);
}

/* The library's own section is zero; its code is where its .kpack files are. */
static void test_kpack(void **state)
{
    struct place *p = *state;
    struct buf ref = bytes_new(), zero = bytes_new(), pack = bytes_new();
    build_ref(&ref, "lib/libggml-hip.so", "../.kpack/ggml_@GFXARCH@.kpack");
    add_zeros(&zero, 64 << 10);
    struct elf_spec spec = library;
    spec.fatbin = &zero;
    spec.kpack_ref = &ref;
    put_elf(p, "pkg/lib/libggml-hip.so", &spec);
    struct inspection found = inspect_ok(p, "pkg/lib/libggml-hip.so");
    assert_int_equal(found.bundles.kpack, 1);
    assert_int_equal(found.gfx.n, 0); /* its code is nowhere */
    inspection_done(&found);

    build_kpack(&pack, "lib/libggml-hip.so#0", "gfx1100");
    put(p, "pkg/.kpack/ggml_gfx1100.kpack", &pack);
    buf_clear(&pack);
    build_kpack(&pack, "lib/libggml-hip.so#12", "gfx90a:xnack+");
    put(p, "pkg/.kpack/ggml_gfx90a:xnack+.kpack", &pack);
    buf_clear(&pack);
    build_kpack(&pack, "lib/librocblas.so.5#0", "gfx1201"); /* another library's */
    put(p, "pkg/.kpack/blas_lib_gfx1201.kpack", &pack);
    found = inspect_ok(p, "pkg/lib/libggml-hip.so");
    assert_names(&found.gfx, "gfx90a gfx1100");
    inspection_done(&found);
    found = inspect_ok(p, "pkg");
    assert_names(&found.gfx, "gfx90a gfx1100");
    assert_int_equal(found.bundles.kpack, 1 + 3);
    assert_int_equal(found.n_code, 1);
    inspection_done(&found);
    found = inspect_ok(p, "pkg/.kpack/blas_lib_gfx1201.kpack");
    assert_int_equal(found.kind, INSPECT_BUNDLE);
    assert_names(&found.gfx, "gfx1201");
    inspection_done(&found);
    buf_done(&ref);
    buf_done(&zero);
    buf_done(&pack);
}

/* Cut off or changed anywhere: an error or an answer, never a crash; without its end always an
 * error. */
static void test_damaged_kpack(void **state)
{
    (void)state;
    struct buf good = bytes_new();
    build_kpack(&good, "lib/libggml-hip.so#0", "gfx1100");
    for (size_t n = 0; n < good.n; n++) {
        struct kpack_index index = {0};
        struct image image = image_from_bytes(good.p, n);
        assert_int_equal(kpack_index_add(&index, &image, NULL), -EBADMSG);
        kpack_index_done(&index);
    }
    for (size_t at = 0; at < good.n; at++) {
        for (unsigned value = 0; value < 256; value += 5) {
            struct kpack_index index = {0};
            char old = good.p[at];
            good.p[at] = (char)value;
            struct image image = as_image(&good);
            int r = kpack_index_add(&index, &image, NULL);
            assert_true(r == 0 || r == -EBADMSG);
            kpack_index_done(&index);
            good.p[at] = old;
        }
    }
    buf_done(&good);
}

/* An area for code that reaches behind the table of contents: a file cut off in its middle. */
static void test_kpack_area(void **state)
{
    (void)state;
    struct buf b = bytes_new();
    build_kpack(&b, "lib/x#0", "gfx1100");
    char *size = memmem(b.p, b.n, "\xcd\x01\xf4", 3);
    assert_non_null(size);
    size[1] = 2;
    struct kpack_index index = {0};
    struct image image = as_image(&b);
    assert_int_equal(kpack_index_add(&index, &image, NULL), -EBADMSG);
    kpack_index_done(&index);
    buf_done(&b);
}

/* Nesting costs nothing: 100,000 arrays in each other, and a count above what follows. */
static void test_msgpack_depth(void **state)
{
    (void)state;
    struct buf b = bytes_new();
    for (unsigned i = 0; i < 100000; i++)
        buf_add_char(&b, (char)0x91);
    buf_add_char(&b, 1);
    struct msgpack m = {(const unsigned char *)b.p, b.n};
    assert_int_equal(msgpack_skip(&m), 0);
    assert_int_equal(m.n, 0);
    m = (struct msgpack){(const unsigned char *)"\xdd\xff\xff\xff\xff\1", 6};
    assert_int_equal(msgpack_skip(&m), -EBADMSG);
    m = (struct msgpack){(const unsigned char *)"\xdf\x80\0\0\0\1\1", 7};
    assert_int_equal(msgpack_skip(&m), -EBADMSG);
    m = (struct msgpack){(const unsigned char *)"\xc1", 1};
    assert_int_equal(msgpack_skip(&m), -EBADMSG);
    buf_done(&b);
}

/* One item of every form, each as long as it should be. */
static void test_msgpack_forms(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } form[] = {
        {"\0", 1},
        {"\x7f", 1},
        {"\xff", 1},
        {"\xc0", 1},
        {"\xc2", 1},
        {"\xc3", 1},
        {"\xc4\1x", 3},
        {"\xc5\0\1x", 4},
        {"\xc6\0\0\0\1x", 6},
        {"\xc7\1tx", 4},
        {"\xc8\0\1tx", 5},
        {"\xc9\0\0\0\1tx", 7},
        {"\xca"
         "1234",
         5},
        {"\xcb"
         "12345678",
         9},
        {"\xcc"
         "1",
         2},
        {"\xcd"
         "12",
         3},
        {"\xce"
         "1234",
         5},
        {"\xcf"
         "12345678",
         9},
        {"\xd0"
         "1",
         2},
        {"\xd1"
         "12",
         3},
        {"\xd2"
         "1234",
         5},
        {"\xd3"
         "12345678",
         9},
        {"\xd4t1", 3},
        {"\xd5t12", 4},
        {"\xd6t1234", 6},
        {"\xd7t12345678", 10},
        {"\xd8t1234567890123456", 18},
        {"\xd9\1x", 3},
        {"\xda\0\1x", 4},
        {"\xdb\0\0\0\1x", 6},
        {"\xdc\0\1\1", 4},
        {"\xdd\0\0\0\1\1", 6},
        {"\xde\0\1\1\2", 5},
        {"\xdf\0\0\0\1\1\2", 7},
        {"\x81\1\2", 3},
        {"\x92\1\2", 3},
        {"\xa2xy", 3},
    };
    for (size_t i = 0; i < sizeof(form) / sizeof(form[0]); i++) {
        struct msgpack m = {(const unsigned char *)form[i].bytes, form[i].n};
        assert_int_equal(msgpack_skip(&m), 0);
        assert_int_equal(m.n, 0);
        for (size_t n = 0; n < form[i].n; n++) {
            m = (struct msgpack){(const unsigned char *)form[i].bytes, n};
            assert_int_equal(msgpack_skip(&m), -EBADMSG);
        }
    }
}

static void test_kpack_names(void **state)
{
    (void)state;
    assert_true(kpack_name_fits(STR("blas_@GFXARCH@.kpack"), STR("blas_gfx1100.kpack")));
    assert_true(kpack_name_fits(STR("all.kpack"), STR("all.kpack")));
    assert_false(kpack_name_fits(STR("all.kpack"), STR("all.kpack2")));
    assert_false(kpack_name_fits(STR("blas_@GFXARCH@.kpack"), STR("blas_.kpack")));
    assert_false(kpack_name_fits(STR("blas_@GFXARCH@.kpack"), STR("fft_gfx1100.kpack")));
    assert_false(kpack_name_fits(STR("a@GFXARCH@a"), STR("a")));
}

/* ---- BLAS ---- */

static void test_blas_names(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum blas_library library;
        const char *gfx;
        bool index;
    } row[] = {
        {"lib/rocblas/library/TensileLibrary_lazy_gfx1100.dat", BLAS_ROCBLAS, "gfx1100", true},
        {"rocblas/4.4.1/library/Kernels.so-000-gfx90a-xnack-.hsaco", BLAS_ROCBLAS, "gfx90a", false},
        {"lib/rocblas/library/TensileLibrary_Type_HH_Contraction_l_Alik_Bljk_gfx1030.co",
         BLAS_ROCBLAS, "gfx1030", false},
        {"lib/rocblas/library/TensileLibrary_Type_HH_Contraction_l_Alik_fallback.dat", BLAS_ROCBLAS,
         "", false},
        {"lib/rocblas/library/gfx942-xnack+/TensileManifest.txt", BLAS_ROCBLAS, "gfx942", true},
        {"lib/rocblas/library/gfx942/TensileLibrary_Type_x.co", BLAS_ROCBLAS, "gfx942", false},
        {"hipblaslt/library/TensileLibrary_lazy_gfx1201.dat.zlib", BLAS_HIPBLASLT, "gfx1201", true},
        {"lib/hipblaslt/library/extop_gfx1151.co", BLAS_HIPBLASLT, "gfx1151", false},
        {"lib/rocblas/library/TensileLibrary_lazy_gfx11-generic.dat", BLAS_ROCBLAS, "gfx11-generic",
         true},
        {"lib/rocblas/library", BLAS_NONE, "", false},
        {"lib/librocblas.so.5", BLAS_NONE, "", false},
        {"library/rocblas_gfx1100.dat", BLAS_NONE, "", false},
        {"share/doc/rocblas/gfx1100.dat", BLAS_NONE, "", false},
    };
    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct blas_file file = blas_classify(str_from(row[i].path));
        assert_int_equal(file.library, row[i].library);
        assert_true(str_is(file.gfx, row[i].gfx));
        assert_int_equal(file.index, row[i].index);
    }
}

/* Kernels that the library cannot find are none; where nothing is indexed all count. */
static void test_blas_served(void **state)
{
    struct place *p = *state;
    put_text(p, "a/rocblas/library/TensileLibrary_lazy_gfx1100.dat", "x");
    put_text(p, "a/rocblas/library/Kernels.so-000-gfx1100.hsaco", "x");
    put_text(p, "a/rocblas/library/Kernels.so-000-gfx1030.hsaco", "x");
    struct inspection found = inspect_ok(p, "a");
    assert_names(&found.blas.rocblas, "gfx1100");
    assert_int_equal(found.blas.hipblaslt.n, 0);
    inspection_done(&found);
    put_text(p, "b/rocblas/library/Kernels.so-000-gfx1030.hsaco", "x");
    put_text(p, "b/rocblas/library/Kernels.so-000-gfx906-xnack-.hsaco", "x");
    found = inspect_ok(p, "b");
    assert_names(&found.blas.rocblas, "gfx906 gfx1030");
    inspection_done(&found);
}

/* ---- whole packages ---- */

static void put_package(const struct place *p)
{
    struct buf engine = bytes_new(), blas = bytes_new();
    add_bundle(&engine, HOST " " DEVICE "gfx1100 " DEVICE "gfx1030");
    add_bundle(&blas, HOST " " DEVICE "gfx1100 " DEVICE "gfx1201");
    struct elf_spec spec = {.type = ET_DYN,
                            .machine = EM_X86_64,
                            .interpreted = true,
                            .needed = "libggml.so.0 libc.so.6",
                            .run_path = "$ORIGIN",
                            .versions = "GLIBC_2.34"};
    put_elf(p, "pkg/bin/llama-server", &spec);
    spec = library;
    spec.soname = "libggml.so.0";
    spec.needed = "libggml-hip.so libc.so.6";
    spec.run_path = "$ORIGIN/hip";
    put_elf(p, "pkg/bin/libggml.so.0", &spec);
    spec.soname = "libggml-hip.so";
    spec.needed = "librocblas.so.5 libgfxbridge-nowhere.so.9";
    spec.versions = "GLIBC_2.29 GLIBCXX_3.4.22";
    spec.run_path = "${ORIGIN}/../../lib";
    spec.fatbin = &engine;
    put_elf(p, "pkg/bin/hip/libggml-hip.so", &spec);
    spec.soname = "librocblas.so.5";
    spec.needed = "";
    spec.fatbin = &blas;
    put_elf(p, "pkg/lib/librocblas.so.5", &spec);
    put_text(p, "pkg/lib/rocblas/library/TensileLibrary_lazy_gfx1100.dat", "x");
    put_text(p, "pkg/lib/rocblas/library/TensileLibrary_lazy_gfx1201.dat", "x");
    put_text(p, "pkg/README", "text");
    buf_done(&engine);
    buf_done(&blas);
}

static void assert_package(const struct inspection *found)
{
    assert_names(&found->gfx, "gfx1030 gfx1100"); /* not what rocBLAS has more */
    assert_int_equal(found->bundles.plain, 2);
    assert_names(&found->blas.rocblas, "gfx1100 gfx1201");
    assert_string_equal(found->glibc, "2.34");
    assert_string_equal(found->glibcxx, "3.4.22");
    assert_names(&found->needed, "libc.so.6 libgfxbridge-nowhere.so.9 libggml-hip.so libggml.so.0 "
                                 "librocblas.so.5");
    assert_int_equal(found->engines, 1);
    assert_false(found->own_libc);
    assert_int_equal(found->problems.n, 0);
    assert_int_equal(found->n_code, 2);
}

static void test_package(void **state)
{
    struct place *p = *state;
    put_package(p);
    struct inspection found = inspect_ok(p, "pkg");
    assert_int_equal(found.kind, INSPECT_PACKAGE);
    assert_package(&found);
    assert_string_equal(found.sha256, "");
    assert_names(&found.executables, "bin/llama-server");
    assert_names(&found.elf, "bin/hip/libggml-hip.so bin/libggml.so.0 bin/llama-server "
                             "lib/librocblas.so.5");
    inspection_done(&found);
}

/* Links and further names of a file are not further files. */
static void test_names_of_one_file(void **state)
{
    struct place *p = *state;
    struct buf fatbin = bytes_new();
    add_bundle(&fatbin, HOST " " DEVICE "gfx1100");
    struct elf_spec spec = library;
    spec.fatbin = &fatbin;
    put_elf(p, "pkg/libggml-hip.so.1.2", &spec);
    char *from = fs_join(p->dir, "pkg/libggml-hip.so.1.2");
    char *hard = fs_join(p->dir, "pkg/libggml-hip.so.1");
    char *soft = fs_join(p->dir, "pkg/libggml-hip.so");
    char *loop = fs_join(p->dir, "pkg/loop");
    assert_int_equal(link(from, hard), 0);
    assert_int_equal(symlink("libggml-hip.so.1", soft), 0);
    assert_int_equal(symlink(".", loop), 0);
    struct inspection found = inspect_ok(p, "pkg");
    assert_int_equal(found.bundles.plain, 1);
    inspection_done(&found);
    free(from);
    free(hard);
    free(soft);
    free(loop);
    buf_done(&fatbin);
}

/* A damaged file in a package is told, and the others are inspected nevertheless. */
static void test_damaged_file(void **state)
{
    struct place *p = *state;
    struct buf cut = bytes_new();
    struct elf_spec spec = library;
    put_package(p);
    build_elf(&cut, &spec);
    cut.n = 200;
    put(p, "pkg/lib/libcut.so", &cut);
    put_text(p, "pkg/lib/CCOB-future", "CCOB\x09 a bundle of a version to come");
    struct inspection found = inspect_ok(p, "pkg");
    assert_names(&found.gfx, "gfx1030 gfx1100");
    assert_int_equal(found.problems.n, 2);
    assert_non_null(strstr(found.problems.name[0], "lib/CCOB-future: "));
    assert_non_null(strstr(found.problems.name[1], "lib/libcut.so: "));
    inspection_done(&found);
    buf_done(&cut);
}

/* Put the package's files into an archive. */
static void archive_package(const struct place *p, const char *name, bool zip)
{
    static const char *const file[] = {
        "bin/llama-server",
        "bin/libggml.so.0",
        "bin/hip/libggml-hip.so",
        "lib/librocblas.so.5",
        "lib/rocblas/library/TensileLibrary_lazy_gfx1100.dat",
        "lib/rocblas/library/TensileLibrary_lazy_gfx1201.dat",
        "README",
    };
    char *path = fs_join(p->dir, name);
    struct archive *a = archive_write_new();
    if (zip)
        archive_write_set_format_zip(a);
    else
        archive_write_set_format_pax_restricted(a);
    if (!zip)
        archive_write_add_filter_zstd(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    for (size_t i = 0; i < sizeof(file) / sizeof(file[0]); i++) {
        char from[256], to[256];
        struct buf b = bytes_new();
        snprintf(from, sizeof(from), "%s/pkg/%s", p->dir, file[i]);
        snprintf(to, sizeof(to), "./top/%s", file[i]);
        assert_int_equal(fs_read(from, BYTES_MAX, &b), 0);
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, to);
        archive_entry_set_filetype(e, AE_IFREG);
        archive_entry_set_perm(e, 0644);
        archive_entry_set_size(e, (la_int64_t)b.n);
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        assert_int_equal(archive_write_data(a, b.p, b.n), (la_ssize_t)b.n);
        archive_entry_free(e);
        buf_done(&b);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    free(path);
}

/* An archive tells the same as the directory that was put into it, and its own digest. */
static void test_archive(void **state)
{
    struct place *p = *state;
    put_package(p);
    p->digest = true;
    for (int zip = 0; zip < 2; zip++) {
        archive_package(p, "archive", zip);
        struct inspection found = inspect_ok(p, "archive");
        assert_int_equal(found.kind, INSPECT_ARCHIVE);
        assert_package(&found);
        assert_names(&found.executables, "top/bin/llama-server");
        char hex[DIGEST_HEX];
        char *path = fs_join(p->dir, "archive");
        struct stat st;
        assert_int_equal(digest_file(path, hex, NULL), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_string_equal(found.sha256, hex);
        assert_int_equal(found.size, st.st_size);
        free(path);
        inspection_done(&found);
    }
}

static void test_empty_directory(void **state)
{
    struct place *p = *state;
    struct inspection found = inspect_ok(p, ".");
    assert_int_equal(found.gfx.n, 0);
    assert_int_equal(found.engines, 0);
    assert_int_equal(found.size, 0);
    inspection_done(&found);
}

/* ---- Windows ---- */

static void build_pe(struct buf *b, const struct buf *fatbin, bool dll)
{
    buf_add_text(b, "MZ");
    add_zeros(b, 58);
    add_number(b, 64, 4);
    buf_add(b, "PE\0\0", 4);
    add_number(b, 0x8664, 2);
    add_number(b, 1, 2);
    add_zeros(b, 12);
    add_number(b, 16, 2); /* optional header */
    add_number(b, dll ? 0x2022 : 0x22, 2);
    add_zeros(b, 16);
    buf_add(b, ".hip_fat", 8);
    add_number(b, fatbin->n, 4);
    add_number(b, 0x1000, 4);
    add_number(b, fatbin->n, 4);
    add_number(b, 4096, 4);
    add_zeros(b, 16);
    pad_to(b, 4096);
    buf_add_str(b, buf_view(fatbin));
}

static void test_windows(void **state)
{
    struct place *p = *state;
    struct buf fatbin = bytes_new(), b = bytes_new();
    add_bundle(&fatbin, "host-x86_64-pc-windows-msvc-! " DEVICE "gfx1151");
    build_pe(&b, &fatbin, true);
    put(p, "pkg/ggml-hip.dll", &b);
    buf_clear(&b);
    build_pe(&b, &fatbin, false);
    put(p, "pkg/llama-server.exe", &b);
    put_text(p, "pkg/notes.exe", "MZ but nothing more");
    struct inspection found = inspect_ok(p, "pkg");
    assert_names(&found.gfx, "gfx1151");
    assert_names(&found.executables, "llama-server.exe");
    assert_int_equal(found.engines, 1);
    assert_int_equal(found.problems.n, 1);
    inspection_done(&found);
    for (size_t n = 2; n < 4096; n += 3) { /* cut off */
        struct extent where;
        bool program;
        struct image image = image_from_bytes(b.p, n);
        assert_true(pe_read(&image, &where, &program) == (n < 64 + 24 + 16 + 40 ? -EBADMSG : 0));
    }
    buf_done(&fatbin);
    buf_done(&b);
}

/* ---- the real tool ---- */

/* A clang-offload-bundler that can compress: NULL when there is none here. */
static const char *find_bundler(void)
{
    static const char *const name[] = {"clang-offload-bundler",    "clang-offload-bundler-23",
                                       "clang-offload-bundler-22", "clang-offload-bundler-21",
                                       "clang-offload-bundler-20", "clang-offload-bundler-19",
                                       "clang-offload-bundler-18"};
    const char *given = getenv("GFXB_TEST_BUNDLER");
    for (size_t i = 0; i < sizeof(name) / sizeof(name[0]) + 1; i++) {
        const char *tool = i ? name[i - 1] : given;
        const char *const argv[] = {tool, "--help", NULL};
        const char *const env[] = {NULL};
        struct child_spec spec = {
            .argv = argv, .env = env, .max_output = 1 << 20, .out_fd = -1, .err_fd = -1};
        struct child_result result;
        if (!tool || child_run(&spec, &result, NULL) < 0)
            continue;
        bool can = str_has(buf_view(&result.out), STR("--compress "));
        child_result_done(&result);
        if (can)
            return tool;
    }
    return NULL;
}

/* Plain and compressed in each version that the tool writes: all read alike. */
static void test_real_bundler(void **state)
{
    struct place *p = *state;
    const char *tool = find_bundler();
    if (!tool)
        skip();
    struct buf code = bytes_new();
    for (unsigned i = 0; i < 30000; i++)
        buf_add_char(&code, (char)(i * i >> 7));
    put(p, "code.o", &code);
    put_text(p, "host.o", "");
    static const char *const version[] = {"2", "3", NULL};
    for (size_t i = 0; i < 3; i++) {
        char env_text[64], input[100], host[100], output[100];
        snprintf(env_text, sizeof(env_text), "COMPRESSED_BUNDLE_FORMAT_VERSION=%s",
                 version[i] ? version[i] : "2");
        snprintf(input, sizeof(input), "-input=%s/code.o", p->dir);
        snprintf(host, sizeof(host), "-input=%s/host.o", p->dir);
        snprintf(output, sizeof(output), "-output=%s/out.hipfb", p->dir);
        const char *const argv[] = {
            tool,
            "-type=o",
            "-bundle-align=4096",
            "-targets=host-x86_64-unknown-linux-gnu-,hipv4-amdgcn-amd-amdhsa--gfx1100,"
            "hip-amdgcn-amd-amdhsa-unknown-gfx90a:sramecc+:xnack-,"
            "hipv4-amdgcn-amd-amdhsa--gfx11-generic",
            host,
            input,
            input,
            input,
            output,
            version[i] ? "-compress" : NULL,
            NULL};
        const char *const env[] = {env_text, "PATH=/usr/bin:/bin", NULL};
        struct child_spec spec = {
            .argv = argv, .env = env, .max_output = 65536, .out_fd = -1, .err_fd = -1};
        struct child_result result;
        assert_int_equal(child_run(&spec, &result, NULL), 0);
        assert_true(child_result_ok(&result));
        child_result_done(&result);
        struct inspection found = inspect_ok(p, "out.hipfb");
        assert_int_equal(found.kind, INSPECT_BUNDLE);
        assert_int_equal(found.bundles.compressed, version[i] ? 1 : 0);
        assert_int_equal(found.bundles.plain, version[i] ? 0 : 1);
        assert_names(&found.gfx, "gfx90a gfx1100 gfx11-generic");
        inspection_done(&found);
    }
    buf_done(&code);
}

#define T(function) cmocka_unit_test_setup_teardown(function, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entry_ids),
        cmocka_unit_test(test_gfx_names),
        cmocka_unit_test(test_plain_bundles),
        cmocka_unit_test(test_bundles_at_once),
        cmocka_unit_test(test_long_table),
        cmocka_unit_test(test_compressed_bundles),
        cmocka_unit_test(test_damaged_bundles),
        cmocka_unit_test(test_damaged_compressed_bundles),
        cmocka_unit_test(test_elf_facts),
        cmocka_unit_test(test_elf_relr),
        cmocka_unit_test(test_floor_like_objdump),
        T(test_code_objects),
        T(test_hostile_elf),
        T(test_cut_elf),
        T(test_other_elf),
        T(test_kpack),
        cmocka_unit_test(test_damaged_kpack),
        cmocka_unit_test(test_kpack_area),
        cmocka_unit_test(test_msgpack_depth),
        cmocka_unit_test(test_msgpack_forms),
        cmocka_unit_test(test_kpack_names),
        cmocka_unit_test(test_blas_names),
        T(test_blas_served),
        T(test_package),
        T(test_names_of_one_file),
        T(test_damaged_file),
        T(test_archive),
        T(test_empty_directory),
        T(test_windows),
        T(test_real_bundler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
