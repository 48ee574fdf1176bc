/*
 * elf_file.h - what an ELF file needs and holds: of the 64-bit little-endian kind that computers
 * and GPUs of this field use. Reads headers and the dynamic section only, every size bounded by the
 * file and by a fixed maximum. Private to inspect/.
 */
#ifndef INSPECT_ELF_FILE_H
#define INSPECT_ELF_FILE_H

#include "inspect/image.h"
#include "inspect/names.h"

#define ELF_MACHINE_X86_64  62
#define ELF_MACHINE_AARCH64 183
#define ELF_MACHINE_AMDGPU  224

/* A symbol version such as GLIBC_2.34 or GLIBCXX_3.4.30; all zero: none. */
struct elf_version {
    unsigned part[3];
};

struct elf_facts {
    unsigned type; /* 2 executable, 3 shared object or position-independent executable */
    unsigned machine;
    unsigned flags;           /* of an AMDGPU code object: its target and features */
    bool interpreted;         /* names a dynamic loader */
    bool pie;                 /* marked as a position-independent executable */
    char *soname;             /* owned; NULL none */
    char *run_path;           /* owned: DT_RUNPATH, else DT_RPATH; NULL none */
    struct names needed;      /* owned */
    struct elf_version glibc; /* the highest that it cannot do without */
    struct elf_version glibcxx;
};

bool elf_begins(const unsigned char *bytes, size_t n);
/* And is it of the kind that elf_read reads? */
bool elf_is_known(const unsigned char *bytes, size_t n);

/* -ENOTSUP: an ELF file, but 32-bit or big-endian. -EBADMSG: sizes or offsets that cannot be. */
int elf_read(const struct image *image, struct elf_facts *ret_facts, struct gfxb_error *err);
void elf_facts_done(struct elf_facts *facts);

/* Something that can be started by itself, not a library that merely has an entry point. */
bool elf_is_program(const struct elf_facts *facts);

/* Call visit for every section that has bytes in the file; names are cut to 31 characters. A
 * negative result of visit ends the walk and is returned. A file without section headers has none.
 */
int elf_walk_sections(const struct image *image,
                      int (*visit)(void *context, const char *name, struct extent where),
                      void *context, struct gfxb_error *err);

/* "2.34", "3.4.30"; "" for none. */
void elf_version_text(const struct elf_version *version, char *ret_text, size_t size);
/* Keep the higher one. */
void elf_version_raise(struct elf_version *version, const struct elf_version *other);

#endif
