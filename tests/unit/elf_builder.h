/* elf_builder.h - ELF files made byte by byte, for tests of what reads them. */
#ifndef TESTS_UNIT_ELF_BUILDER_H
#define TESTS_UNIT_ELF_BUILDER_H

#include "base/base.h"

#define BYTES_MAX ((size_t)64 << 20)

struct buf bytes_new(void);
void add_number(struct buf *b, uint64_t value, size_t n); /* little-endian, n bytes */
void add_zeros(struct buf *b, size_t n);
void pad_to(struct buf *b, size_t align);
void set_number(struct buf *b, size_t at, uint64_t value, size_t n);

struct elf_spec {
    unsigned type, machine, flags;
    const char *needed; /* blank-separated */
    const char *soname;
    const char *run_path;
    const char *versions; /* blank-separated; one that ends with '?' is weak */
    bool interpreted;
    const struct buf *fatbin;
    const struct buf *kpack_ref;
};

/* The whole file onto the end of *b: header, 4 segments, strings, versions, dynamic section,
 * sections. */
void build_elf(struct buf *b, const struct elf_spec *spec);

#endif
