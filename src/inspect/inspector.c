/* inspector.c - an inspection while it grows, whether its files lie in a directory or come out of
 * an archive. */
#include "inspect/inspect_private.h"

#include <errno.h>

void inspector_done(struct inspector *in)
{
    inspection_done(&in->found);
    for (size_t i = 0; i < BLAS_LIBRARIES; i++) {
        names_done(&in->blas[i].kernels);
        names_done(&in->blas[i].indexed);
    }
    kpack_index_done(&in->kpack);
    for (size_t i = 0; i < in->n_refs; i++)
        kpack_ref_done(&in->ref[i].ref);
    free(in->ref);
    *in = (struct inspector){0};
}

bool inspector_wants(const unsigned char *bytes, size_t n)
{
    return elf_is_known(bytes, n) || kpack_begins(bytes, n) || bundle_begins(bytes, n) ||
           pe_begins(bytes, n);
}

bool inspector_note_path(struct inspector *in, const char *path)
{
    struct blas_file file = blas_classify(str_from(path));
    if (file.library == BLAS_NONE)
        return false;
    names_add_gfx(&in->blas[file.library].kernels, file.gfx);
    if (file.index)
        names_add_gfx(&in->blas[file.library].indexed, file.gfx);
    return true;
}

/* Files of an engine itself, as its builds name them on any system: Windows has no "lib". */
static bool inspector_is_engine(const char *path)
{
    struct str name = str_from(fs_name(path)), word;
    struct gfx_engine engine;
    for (size_t i = 0; gfx_engine_at(i, &engine); i++) {
        struct str rest = engine.libraries;
        if (str_starts(name, engine.programs) || gfx_engine_owns_file(&engine, name))
            return true;
        while (str_word(&rest, &word)) {
            if (str_starts(word, STR("lib")) &&
                str_starts(name, (struct str){word.p + 3, word.n - 3}))
                return true;
        }
    }
    return false;
}

/* A bit for each kind whose program this is. */
static unsigned inspector_program_of(struct str name)
{
    unsigned kinds = 0;
    struct gfx_engine engine;
    for (unsigned i = 0; i < INSPECT_ENGINES_MAX && gfx_engine_at(i, &engine); i++) {
        struct str stem = name;
        if (stem.n > 4 && str_eq_nocase((struct str){stem.p + stem.n - 4, 4}, STR(".exe")))
            stem.n -= 4;
        if (str_eq_nocase(stem, engine.program))
            kinds |= 1u << i;
    }
    return kinds;
}

/* Take over what was found in a file; *code and *ref are emptied. ref NULL: no split-off code. */
static void inspector_add_code(struct inspector *in, const char *path, struct inspection_code *code,
                               struct kpack_ref *ref)
{
    if (!code->gfx.n && !code->plain && !code->compressed && !ref)
        return;
    code->path = xstrdup(path);
    code->kpack = ref ? 1 : 0;
    in->found.code = xreallocarray(in->found.code, in->found.n_code + 1, sizeof(*in->found.code));
    in->found.code[in->found.n_code++] = *code;
    *code = (struct inspection_code){0};
    if (!ref)
        return;
    in->ref = xreallocarray(in->ref, in->n_refs + 1, sizeof(*in->ref));
    in->ref[in->n_refs++] = (struct inspector_ref){in->found.n_code - 1, *ref};
    *ref = (struct kpack_ref){0};
}

/* Bundles in the .hip_fatbin sections (a linked file has one), and where the code went that was
 * split off: then the section is there but zero, and there is no point in walking through it. */
static int inspector_add_sections(struct inspector *in, const char *path, const struct image *image,
                                  struct gfxb_error *err)
{
    struct extent fatbin[8], ref_at;
    size_t n_fatbin = 0, n_ref = 0, n;
    struct inspection_code code = {0};
    struct kpack_ref ref = {0};
    int r = elf_find_sections(image, ".hip_fatbin", fatbin, 8, &n_fatbin, err);
    r = r ?: elf_find_sections(image, ".rocm_kpack_ref", &ref_at, 1, &n_ref, err);
    for (size_t i = 0; r == 0 && i < n_fatbin; i++) {
        unsigned char head[24];
        bool is_empty = n_ref && (image_read_head(image, fatbin[i], head, sizeof(head), &n) < 0 ||
                                  !bundle_begins(head, n));
        r = is_empty ? 0 : bundle_walk(image, fatbin[i], &code, err);
    }
    if (r == 0 && n_ref)
        r = kpack_ref_read(image, ref_at, &ref, err);
    if (r == 0)
        inspector_add_code(in, path, &code, n_ref ? &ref : NULL);
    kpack_ref_done(&ref);
    names_done(&code.gfx);
    return r;
}

/* A code object by itself: its target is a number in the header. */
static int inspector_add_code_object(struct inspector *in, const char *path,
                                     const struct elf_facts *elf, struct gfxb_error *err)
{
    const struct gfx_tables *tables = in->tables;
    unsigned mach = elf->flags & 0xff; /* EF_AMDGPU_MACH */
    struct inspection_code code = {0};
    bool named = false;
    for (size_t i = 0; tables && i < tables->n_targets && !named; i++) {
        named = tables->target[i].elf_mach == mach;
        if (named)
            names_add_gfx(&code.gfx, tables->target[i].gfx);
    }
    inspector_add_code(in, path, &code, NULL);
    if (tables && !named)
        return error_set(err, ENOTSUP,
                         "this code object is for a GPU that the tables do not know (machine 0x%x)",
                         mach);
    return 0;
}

static void inspector_note_program(struct inspector *in, const char *path)
{
    in->found.engines |= inspector_program_of(str_from(fs_name(path)));
    names_add(&in->found.executables, str_from(path));
}

/* Needs and offers of an ELF file for the computer. */
static void inspector_add_host_code(struct inspector *in, const char *path,
                                    const struct elf_facts *facts)
{
    in->glibc = facts->glibc > in->glibc ? facts->glibc : in->glibc;
    in->glibcxx = facts->glibcxx > in->glibcxx ? facts->glibcxx : in->glibcxx;
    if (facts->soname && strcmp(facts->soname, "libc.so.6") == 0)
        in->found.own_libc = true;
    if (elf_is_program(facts))
        inspector_note_program(in, path);
    for (size_t i = 0; i < facts->needed.n; i++)
        names_add(&in->found.needed, str_from(facts->needed.name[i]));
    names_add(&in->found.elf, str_from(path));
}

static int inspector_add_elf(struct inspector *in, const char *path, const struct image *image,
                             struct gfxb_error *err)
{
    struct elf_facts facts;
    int r = elf_read(image, &facts, err);
    if (r < 0)
        return r;
    if (facts.machine == ELF_MACHINE_AMDGPU) {
        r = inspector_add_code_object(in, path, &facts, err);
    } else {
        r = inspector_add_sections(in, path, image, err);
        inspector_add_host_code(in, path, &facts);
    }
    elf_facts_done(&facts);
    return r;
}

static int inspector_add_extent(struct inspector *in, const char *path, const struct image *image,
                                struct extent where, struct gfxb_error *err)
{
    struct inspection_code code = {0};
    int r = bundle_walk(image, where, &code, err);
    if (r == 0)
        inspector_add_code(in, path, &code, NULL);
    names_done(&code.gfx);
    return r;
}

static int inspector_add_pe(struct inspector *in, const char *path, const struct image *image,
                            struct gfxb_error *err)
{
    struct extent fatbin;
    bool program;
    if (pe_read(image, &fatbin, &program) < 0)
        return error_set(err, EBADMSG, "this Windows program is damaged or cut off");
    if (program)
        inspector_note_program(in, path);
    return fatbin.size ? inspector_add_extent(in, path, image, fatbin, err) : 0;
}

int inspector_add(struct inspector *in, const char *path, const struct image *image,
                  struct gfxb_error *err)
{
    unsigned char head[64];
    size_t n;
    int r = image_read_some(image, 0, head, sizeof(head), &n);
    if (r < 0)
        return error_set(err, -r, "%s", error_errno_text(-r));
    if (elf_begins(head, n))
        return inspector_add_elf(in, path, image, err);
    if (bundle_begins(head, n))
        return inspector_add_extent(in, path, image, (struct extent){0, image->size}, err);
    if (pe_begins(head, n))
        return inspector_add_pe(in, path, image, err);
    if (!kpack_begins(head, n))
        return 0;
    in->found.bundles.kpack++;
    return kpack_index_add(&in->kpack, image, err);
}

int inspector_try(struct inspector *in, const char *path, const struct image *image,
                  struct gfxb_error *err)
{
    struct gfxb_error why = {0};
    int r = inspector_add(in, path, image, &why);
    if (r != -EBADMSG && r != -ENOTSUP) {
        if (r < 0 && err)
            *err = why;
        return r;
    }
    struct buf CLEAN_BUF line = BUF_INIT(8192);
    buf_addf(&line, "%s: %s", path, why.text);
    names_add(&in->found.problems, buf_view(&line));
    return 0;
}

/* The sums over all files, now that all .kpack files are known. */
static void inspector_sum_code(struct inspector *in)
{
    struct names engine = {0}, all = {0};
    bool engine_code = false;
    for (size_t i = 0; i < in->n_refs; i++)
        kpack_index_find(&in->kpack, in->ref[i].ref.kernel_name,
                         &in->found.code[in->ref[i].code].gfx);
    names_add_all_gfx(&all, &in->kpack.gfx);
    for (size_t i = 0; i < in->found.n_code; i++) {
        const struct inspection_code *code = &in->found.code[i];
        in->found.bundles.plain += code->plain;
        in->found.bundles.compressed += code->compressed;
        in->found.bundles.kpack += code->kpack;
        names_add_all_gfx(&all, &code->gfx);
        if (!inspector_is_engine(code->path))
            continue;
        engine_code = true;
        names_add_all_gfx(&engine, &code->gfx);
    }
    in->found.gfx = engine_code ? engine : all;
    names_done(engine_code ? &all : &engine);
}

/* What counts: targets that the index names; libraries from before there was an index have none,
 * there all kernels count. */
static void inspector_sum_blas(const struct inspector *in, enum blas_library library,
                               struct names *gfx)
{
    const struct names *indexed = &in->blas[library].indexed;
    names_add_all_gfx(gfx, indexed->n ? indexed : &in->blas[library].kernels);
}

void inspector_finish(struct inspector *in, struct inspection *ret_inspection)
{
    inspector_sum_code(in);
    inspector_sum_blas(in, BLAS_ROCBLAS, &in->found.blas.rocblas);
    inspector_sum_blas(in, BLAS_HIPBLASLT, &in->found.blas.hipblaslt);
    elf_version_text(in->glibc, in->found.glibc, sizeof(in->found.glibc));
    elf_version_text(in->glibcxx, in->found.glibcxx, sizeof(in->found.glibcxx));
    *ret_inspection = in->found;
    in->found = (struct inspection){0};
}
