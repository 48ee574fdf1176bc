/* elf_builder.c - ELF files of the kinds that a test wants, whole and right. */
#include "elf_builder.h"

#include <elf.h>

struct buf bytes_new(void)
{
    return BUF_INIT(BYTES_MAX);
}

void add_number(struct buf *b, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_add_char(b, (char)(value >> (8 * i)));
}

void add_zeros(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_add_char(b, '\0');
}

void pad_to(struct buf *b, size_t align)
{
    while (b->n % align)
        buf_add_char(b, '\0');
}

void set_number(struct buf *b, size_t at, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        b->p[at + i] = (char)(value >> (8 * i));
}

static uint64_t add_string(struct buf *strings, struct str s)
{
    uint64_t at = strings->n;
    buf_add_str(strings, s);
    buf_add_char(strings, '\0');
    return at;
}

static void add_dynamic(struct buf *dynamic, int64_t tag, uint64_t value)
{
    add_number(dynamic, (uint64_t)tag, 8);
    add_number(dynamic, value, 8);
}

/* One Verneed with an aux entry for each version; *ret_n is how many. */
static void add_versions(struct buf *needs, struct buf *strings, const char *versions)
{
    struct str list = str_from(versions), word;
    unsigned n = 0;
    while (str_word(&list, &word))
        n++;
    add_number(needs, 1, 2);
    add_number(needs, n, 2);
    add_number(needs, 0, 4);
    add_number(needs, 16, 4);
    add_number(needs, 0, 4);
    list = str_from(versions);
    while (str_word(&list, &word)) {
        bool weak = str_ends(word, STR("?"));
        word.n -= weak;
        add_number(needs, 0, 4);
        add_number(needs, weak ? VER_FLG_WEAK : 0, 2);
        add_number(needs, 0, 2);
        add_number(needs, add_string(strings, word), 4);
        add_number(needs, --n ? 16 : 0, 4);
    }
}

static void add_section(struct buf *table, unsigned name, unsigned type, uint64_t offset,
                        uint64_t size)
{
    add_number(table, name, 4);
    add_number(table, type, 4);
    add_zeros(table, 16);
    add_number(table, offset, 8);
    add_number(table, size, 8);
    add_zeros(table, 24);
}

static void add_segment(struct buf *b, unsigned type, uint64_t offset, uint64_t size)
{
    add_number(b, type, 4);
    add_number(b, 0, 4);
    add_number(b, offset, 8);
    add_number(b, offset, 8); /* addresses are offsets */
    add_number(b, offset, 8);
    add_number(b, size, 8);
    add_number(b, size, 8);
    add_number(b, 1, 8);
}

#define NAMES "\0.hip_fatbin\0.rocm_kpack_ref\0.shstrtab"

void build_elf(struct buf *b, const struct elf_spec *spec)
{
    struct buf strings = bytes_new(), needs = bytes_new(), dynamic = bytes_new();
    struct buf table = bytes_new();
    struct str list = str_from(spec->needed), word;
    buf_add_char(&strings, '\0');
    while (str_word(&list, &word))
        add_dynamic(&dynamic, DT_NEEDED, add_string(&strings, word));
    if (spec->soname)
        add_dynamic(&dynamic, DT_SONAME, add_string(&strings, str_from(spec->soname)));
    if (spec->run_path)
        add_dynamic(&dynamic, DT_RUNPATH, add_string(&strings, str_from(spec->run_path)));
    if (spec->versions)
        add_versions(&needs, &strings, spec->versions);
    size_t strings_at = 64 + 4 * 56, needs_at = strings_at + strings.n;
    size_t dynamic_at = needs_at + needs.n;
    add_dynamic(&dynamic, DT_STRTAB, strings_at);
    add_dynamic(&dynamic, DT_STRSZ, strings.n);
    if (spec->versions) {
        add_dynamic(&dynamic, DT_VERNEED, needs_at);
        add_dynamic(&dynamic, DT_VERNEEDNUM, 1);
    }
    add_dynamic(&dynamic, DT_NULL, 0);
    buf_add(b,
            "\x7f"
            "ELF\2\1\1\0\0\0\0\0\0\0\0\0",
            16);
    add_number(b, spec->type, 2);
    add_number(b, spec->machine, 2);
    add_number(b, 1, 4);
    add_number(b, 0, 8);
    add_number(b, 64, 8);
    add_number(b, 0, 8); /* section headers: filled in below */
    add_number(b, spec->flags, 4);
    add_number(b, 64, 2);
    add_number(b, 56, 2);
    add_number(b, 4, 2);
    add_number(b, 64, 2);
    add_number(b, 0, 2);
    add_number(b, 0, 2);
    add_segment(b, PT_LOAD, 0, dynamic_at + dynamic.n);
    add_segment(b, PT_DYNAMIC, dynamic_at, dynamic.n);
    add_segment(b, spec->interpreted ? PT_INTERP : PT_NULL, 0, 1);
    add_segment(b, PT_NULL, 0, 0);
    buf_add_str(b, buf_view(&strings));
    buf_add_str(b, buf_view(&needs));
    buf_add_str(b, buf_view(&dynamic));
    add_section(&table, 0, SHT_NULL, 0, 0);
    if (spec->fatbin) {
        pad_to(b, 4096);
        add_section(&table, 1, SHT_PROGBITS, b->n, spec->fatbin->n);
        buf_add_str(b, buf_view(spec->fatbin));
    }
    if (spec->kpack_ref) {
        add_section(&table, 13, SHT_PROGBITS, b->n, spec->kpack_ref->n);
        buf_add_str(b, buf_view(spec->kpack_ref));
    }
    add_section(&table, 29, SHT_STRTAB, b->n, sizeof(NAMES));
    buf_add(b, NAMES, sizeof(NAMES));
    size_t sections = table.n / 64;
    set_number(b, 40, b->n, 8);
    set_number(b, 60, sections, 2);
    set_number(b, 62, sections - 1, 2);
    buf_add_str(b, buf_view(&table));
    buf_done(&strings);
    buf_done(&needs);
    buf_done(&dynamic);
    buf_done(&table);
}
