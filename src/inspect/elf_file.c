/*
 * elf_file.c - what an ELF file needs and holds, from its headers and its dynamic section.
 *
 * Layouts from the System V ABI (ELF-64) and the GNU symbol versioning of the LSB. Every size is
 * bounded by the file and by a fixed maximum.
 */
#include "inspect/inspect_private.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>

/* Maxima far above anything real, so that a hostile file costs little. */
#define ELF_SECTIONS_MAX 65536
#define ELF_SEGMENTS_MAX 1024
#define ELF_DYNAMIC_MAX  65536 /* entries */
#define ELF_VERSIONS_MAX 16384 /* symbol versions needed */
#define ELF_TEXT_MAX     4096  /* a soname or a run path */

bool elf_begins(const unsigned char *bytes, size_t n)
{
    return n >= SELFMAG && memcmp(bytes, ELFMAG, SELFMAG) == 0;
}

bool elf_is_known(const unsigned char *bytes, size_t n)
{
    return elf_begins(bytes, n) && n > EI_DATA && bytes[EI_CLASS] == ELFCLASS64 &&
           bytes[EI_DATA] == ELFDATA2LSB;
}

static int elf_fail(struct gfxb_error *err, int code, const char *what)
{
    return error_set(err, code, "this ELF file's %s", what);
}

static int elf_read_header(const struct image *image, Elf64_Ehdr *ret_header,
                           struct gfxb_error *err)
{
    unsigned char ident[EI_NIDENT];
    if (image_read(image, 0, ident, sizeof(ident)) < 0 || !elf_begins(ident, sizeof(ident)))
        return elf_fail(err, EBADMSG, "header is cut off");
    if (!elf_is_known(ident, sizeof(ident)))
        return elf_fail(err, ENOTSUP, "kind is not 64-bit little-endian");
    if (image_read(image, 0, ret_header, sizeof(*ret_header)) < 0)
        return elf_fail(err, EBADMSG, "header is cut off");
    return 0;
}

/* The file as the dynamic loader sees it: the segments that are mapped, and the dynamic section. */
struct elf_view {
    const struct image *image;
    Elf64_Phdr *segment; /* owned */
    size_t n_segments;
    Elf64_Dyn *dynamic; /* owned; ends with a DT_NULL; NULL none */
};

static void elf_view_done(struct elf_view *view)
{
    free(view->segment);
    free(view->dynamic);
}

/* n entries at this offset, and a zero one behind them; NULL: they lie outside of the file. */
static void *elf_read_table(const struct image *image, uint64_t offset, size_t n, size_t size)
{
    void *table = xcalloc(n + 1, size);
    if (image_read(image, offset, table, n * size) == 0)
        return table;
    free(table);
    return NULL;
}

static int elf_view_segments(struct elf_view *view, const Elf64_Ehdr *header,
                             struct gfxb_error *err)
{
    if (!header->e_phnum)
        return 0;
    if (header->e_phnum > ELF_SEGMENTS_MAX || header->e_phentsize != sizeof(Elf64_Phdr))
        return elf_fail(err, EBADMSG, "program headers are not of a known form");
    view->segment =
        elf_read_table(view->image, header->e_phoff, header->e_phnum, sizeof(*view->segment));
    view->n_segments = view->segment ? header->e_phnum : 0;
    return view->segment ? 0 : elf_fail(err, EBADMSG, "program headers lie outside of the file");
}

static int elf_view_dynamic(struct elf_view *view, struct gfxb_error *err)
{
    const Elf64_Phdr *found = NULL;
    for (size_t i = 0; i < view->n_segments && !found; i++) {
        if (view->segment[i].p_type == PT_DYNAMIC)
            found = &view->segment[i];
    }
    /* Separate debug files keep the header of a dynamic section without its bytes. */
    if (!found || found->p_filesz == 0)
        return 0;
    size_t n = found->p_filesz / sizeof(Elf64_Dyn);
    if (n > ELF_DYNAMIC_MAX)
        return elf_fail(err, EBADMSG, "dynamic section is too large");
    view->dynamic = elf_read_table(view->image, found->p_offset, n, sizeof(*view->dynamic));
    return view->dynamic ? 0 : elf_fail(err, EBADMSG, "dynamic section lies outside of the file");
}

/* The value of the first entry with this tag. */
static bool elf_dynamic_value(const struct elf_view *view, Elf64_Sxword tag, uint64_t *ret_value)
{
    const Elf64_Dyn *entry = view->dynamic;
    while (entry->d_tag != DT_NULL && entry->d_tag != tag)
        entry++;
    if (entry->d_tag == DT_NULL)
        return false;
    *ret_value = entry->d_un.d_val;
    return true;
}

/* Where an address is in the file. */
static bool elf_address_offset(const struct elf_view *view, uint64_t address, uint64_t *ret_offset)
{
    for (size_t i = 0; i < view->n_segments; i++) {
        const Elf64_Phdr *s = &view->segment[i];
        if (s->p_type == PT_LOAD && address >= s->p_vaddr && address - s->p_vaddr < s->p_filesz &&
            s->p_offset <= view->image->size) {
            *ret_offset = s->p_offset + (address - s->p_vaddr);
            return true;
        }
    }
    return false;
}

/* The text at this index of the dynamic string table. */
static int elf_string(const struct elf_view *view, uint64_t index, char *ret_text, size_t size)
{
    uint64_t address, offset, length;
    size_t n;
    if (!elf_dynamic_value(view, DT_STRTAB, &address) ||
        !elf_dynamic_value(view, DT_STRSZ, &length) || index >= length ||
        !elf_address_offset(view, address, &offset) || offset + index < offset)
        return -EBADMSG;
    int r = image_read_some(view->image, offset + index, ret_text, size, &n);
    return r < 0 || memchr(ret_text, '\0', n) ? r : -EBADMSG; /* it does not end */
}

/* 0: it is none. */
static uint64_t elf_version_parse(struct str text)
{
    uint64_t version = 0, value;
    struct str piece;
    unsigned n = 0;
    for (; str_cut(&text, '.', &piece); n++) {
        if (n == 3 || str_to_u64(piece, 10, &value) < 0 || value > 9999)
            return 0;
        version = version * 10000 + value;
    }
    return n < 2 ? 0 : n == 2 ? version * 10000 : version;
}

void elf_version_text(uint64_t version, char *ret_text, size_t size)
{
    unsigned major = (unsigned)(version / ELF_VERSION(1, 0, 0));
    unsigned minor = (unsigned)(version / ELF_VERSION(0, 1, 0) % 10000);
    unsigned patch = (unsigned)(version % 10000);
    if (patch)
        snprintf(ret_text, size, "%u.%u.%u", major, minor, patch);
    else
        snprintf(ret_text, size, version ? "%u.%u" : "", major, minor);
}

static void elf_note_version(struct elf_facts *facts, struct str name)
{
    uint64_t *highest = NULL, version = 0;
    if (str_strip(&name, STR("GLIBC_")))
        highest = &facts->glibc;
    else if (str_strip(&name, STR("GLIBCXX_")))
        highest = &facts->glibcxx;
    else
        return;
    /* Packed relocations: the loader of glibc 2.36. */
    version = str_is(name, "ABI_DT_RELR") ? ELF_VERSION(2, 36, 0) : elf_version_parse(name);
    if (version > *highest)
        *highest = version;
}

/* The versions needed of one library: a chain of `count` entries at offset. */
static int elf_read_version_chain(const struct elf_view *view, uint64_t offset, unsigned count,
                                  unsigned *budget, struct elf_facts *facts)
{
    for (unsigned i = 0; i < count; i++) {
        Elf64_Vernaux aux;
        char name[128];
        if (++*budget > ELF_VERSIONS_MAX || image_read(view->image, offset, &aux, sizeof(aux)) < 0)
            return -EBADMSG;
        /* A weak one may be absent: the loader goes on without. */
        if (!(aux.vna_flags & VER_FLG_WEAK) &&
            elf_string(view, aux.vna_name, name, sizeof(name)) == 0)
            elf_note_version(facts, str_from(name));
        if (!aux.vna_next)
            break;
        offset += aux.vna_next;
    }
    return 0;
}

static int elf_read_versions(const struct elf_view *view, struct elf_facts *facts)
{
    uint64_t address, offset, count;
    if (!elf_dynamic_value(view, DT_VERNEED, &address) ||
        !elf_dynamic_value(view, DT_VERNEEDNUM, &count))
        return 0;
    if (!elf_address_offset(view, address, &offset))
        return -EBADMSG;
    unsigned budget = 0;
    for (uint64_t i = 0; i < count; i++) {
        Elf64_Verneed need;
        if (++budget > ELF_VERSIONS_MAX || image_read(view->image, offset, &need, sizeof(need)) < 0)
            return -EBADMSG;
        int r = elf_read_version_chain(view, offset + need.vn_aux, need.vn_cnt, &budget, facts);
        if (r < 0 || !need.vn_next)
            return r;
        offset += need.vn_next;
    }
    return 0;
}

static int elf_copy_string(const struct elf_view *view, uint64_t index, char **ret_text)
{
    char text[ELF_TEXT_MAX];
    int r = elf_string(view, index, text, sizeof(text));
    if (r < 0)
        return r;
    free(*ret_text);
    *ret_text = xstrdup(text);
    return 0;
}

static int elf_read_needed(const struct elf_view *view, struct elf_facts *facts)
{
    int r = 0;
    for (const Elf64_Dyn *d = view->dynamic; d->d_tag != DT_NULL && r == 0; d++) {
        char name[ELF_TEXT_MAX];
        if (d->d_tag != DT_NEEDED)
            continue;
        r = elf_string(view, d->d_un.d_val, name, sizeof(name));
        if (r == 0)
            names_add(&facts->needed, str_from(name));
    }
    return facts->needed.n == NAMES_MAX ? -EBADMSG : r;
}

static int elf_read_dynamic(const struct elf_view *view, struct elf_facts *facts,
                            struct gfxb_error *err)
{
    uint64_t index, flags;
    int r = elf_read_needed(view, facts);
    facts->pie = elf_dynamic_value(view, DT_FLAGS_1, &flags) && (flags & DF_1_PIE);
    if (r == 0 && elf_dynamic_value(view, DT_SONAME, &index))
        r = elf_copy_string(view, index, &facts->soname);
    /* Where both are there the loader ignores DT_RPATH. */
    if (r == 0 &&
        (elf_dynamic_value(view, DT_RUNPATH, &index) || elf_dynamic_value(view, DT_RPATH, &index)))
        r = elf_copy_string(view, index, &facts->run_path);
    r = r ?: elf_read_versions(view, facts);
    if (r == -EBADMSG)
        return elf_fail(err, EBADMSG, "dynamic section contradicts itself or is cut off");
    return r < 0 ? error_set(err, -r, "%s", error_errno_text(-r)) : 0;
}

int elf_read(const struct image *image, struct elf_facts *ret_facts, struct gfxb_error *err)
{
    Elf64_Ehdr header;
    int r = elf_read_header(image, &header, err);
    if (r < 0)
        return r;
    struct elf_facts facts = {
        .type = header.e_type, .machine = header.e_machine, .flags = header.e_flags};
    struct elf_view view = {.image = image};
    r = elf_view_segments(&view, &header, err);
    for (size_t i = 0; r == 0 && i < view.n_segments; i++) {
        if (view.segment[i].p_type == PT_INTERP)
            facts.interpreted = true;
    }
    r = r ?: elf_view_dynamic(&view, err);
    if (r == 0 && view.dynamic)
        r = elf_read_dynamic(&view, &facts, err);
    elf_view_done(&view);
    if (r < 0)
        elf_facts_done(&facts);
    else
        *ret_facts = facts;
    return r;
}

int elf_read_file(int fd, struct elf_facts *ret_facts, struct gfxb_error *err)
{
    struct image image;
    if (image_from_fd(fd, &image) < 0)
        return elf_fail(err, EBADMSG, "header is cut off");
    return elf_read(&image, ret_facts, err);
}

void elf_facts_done(struct elf_facts *facts)
{
    free(facts->soname);
    free(facts->run_path);
    names_done(&facts->needed);
    *facts = (struct elf_facts){0};
}

bool elf_is_program(const struct elf_facts *facts)
{
    return facts->machine != ELF_MACHINE_AMDGPU &&
           (facts->type == ET_EXEC || facts->pie || (facts->interpreted && !facts->soname));
}

static int elf_read_section(const struct image *image, const Elf64_Ehdr *header, size_t i,
                            Elf64_Shdr *ret_section)
{
    return image_read(image, header->e_shoff + i * sizeof(*ret_section), ret_section,
                      sizeof(*ret_section));
}

/* How many sections there are and which holds their names: in the header, or, where the numbers do
 * not fit there, in section 0. */
static int elf_count_sections(const struct image *image, const Elf64_Ehdr *header,
                              size_t *ret_count, size_t *ret_names)
{
    Elf64_Shdr zero;
    if (header->e_shentsize != sizeof(zero) || elf_read_section(image, header, 0, &zero) < 0)
        return -EBADMSG;
    uint64_t count = header->e_shnum ? header->e_shnum : zero.sh_size;
    uint64_t names = header->e_shstrndx == SHN_XINDEX ? zero.sh_link : header->e_shstrndx;
    if (count > ELF_SECTIONS_MAX || names >= count)
        return -EBADMSG;
    *ret_count = (size_t)count;
    *ret_names = (size_t)names;
    return 0;
}

int elf_find_sections(const struct image *image, const char *name, struct extent *ret_where,
                      size_t max, size_t *ret_n, struct gfxb_error *err)
{
    Elf64_Ehdr header;
    Elf64_Shdr names, section;
    size_t count, index, n;
    *ret_n = 0;
    int r = elf_read_header(image, &header, err);
    if (r < 0 || header.e_shoff == 0)
        return r;
    if (header.e_shoff > image->size || elf_count_sections(image, &header, &count, &index) < 0 ||
        elf_read_section(image, &header, index, &names) < 0)
        return elf_fail(err, EBADMSG, "section headers lie outside of the file");
    for (size_t i = 1; i < count; i++) {
        char own[32] = "";
        if (elf_read_section(image, &header, i, &section) < 0)
            return elf_fail(err, EBADMSG, "section headers lie outside of the file");
        if (section.sh_type == SHT_NOBITS || section.sh_type == SHT_NULL ||
            section.sh_name >= names.sh_size || names.sh_offset > image->size)
            continue;
        r = image_read_some(image, names.sh_offset + section.sh_name, own, sizeof(own) - 1, &n);
        if (r < 0)
            return elf_fail(err, -r, "section names cannot be read");
        if (strcmp(own, name) == 0 && *ret_n < max)
            ret_where[(*ret_n)++] = (struct extent){section.sh_offset, section.sh_size};
    }
    return 0;
}
