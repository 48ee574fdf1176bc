/*
 * pe.c - where the device code of a Windows program or library is.
 *
 * Layout from Microsoft's PE format specification: DOS header, COFF header, optional header,
 * section table of 40-byte entries. Section names have 8 bytes, so .hip_fatbin is ".hip_fat".
 */
#include "inspect/inspect_private.h"

#include <errno.h>

#define PE_SECTION       40
#define PE_SECTIONS_MAX  96 /* as many as Windows loads */
#define PE_CHARACTER_DLL 0x2000

bool pe_begins(const unsigned char *bytes, size_t n)
{
    return n >= 2 && bytes[0] == 'M' && bytes[1] == 'Z';
}

int pe_read(const struct image *image, struct extent *ret_fatbin, bool *ret_program)
{
    unsigned char dos[64], coff[24], section[PE_SECTION];
    if (image_read(image, 0, dos, sizeof(dos)) < 0 || !pe_begins(dos, sizeof(dos)))
        return -EBADMSG;
    uint64_t at = image_u32(dos + 60);
    if (image_read(image, at, coff, sizeof(coff)) < 0 || memcmp(coff, "PE\0", 4) != 0)
        return -EBADMSG;
    unsigned sections = image_u16(coff + 6);
    if (sections > PE_SECTIONS_MAX)
        return -EBADMSG;
    struct extent fatbin = {0, 0};
    at += sizeof(coff) + image_u16(coff + 20);
    for (unsigned i = 0; i < sections; i++, at += PE_SECTION) {
        if (image_read(image, at, section, sizeof(section)) < 0)
            return -EBADMSG;
        if (memcmp(section, ".hip_fat", 8) != 0)
            continue;
        /* The rest of the raw data is padding up to the file alignment. */
        uint32_t used = image_u32(section + 8), raw = image_u32(section + 16);
        fatbin = (struct extent){image_u32(section + 20), used < raw ? used : raw};
    }
    *ret_fatbin = fatbin;
    *ret_program = !(image_u16(coff + 22) & PE_CHARACTER_DLL);
    return 0;
}
