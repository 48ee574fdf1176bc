/* place.c - PCI addresses as numbers: domain, bus, device, function. Domains may have more than 16
 * bits (Intel VMD and some hypervisors). */
#include "machine/machine_private.h"

#include <errno.h>
#include <stdio.h>

static int place_hex(struct str *rest, char separator, size_t least, size_t most, uint64_t *ret)
{
    struct str piece;
    if (!str_cut(rest, separator, &piece) || piece.n < least || piece.n > most)
        return -EINVAL;
    if (piece.n > 1 && (piece.p[1] == 'x' || piece.p[1] == 'X'))
        return -EINVAL;
    return str_to_u64(piece, 16, ret);
}

int machine_place_parse(struct str text, uint64_t *ret_place)
{
    uint64_t domain, bus, device, function;
    if (place_hex(&text, ':', 4, 8, &domain) < 0 || place_hex(&text, ':', 2, 2, &bus) < 0 ||
        place_hex(&text, '.', 2, 2, &device) < 0 || place_hex(&text, '\0', 1, 1, &function) < 0 ||
        text.p || device > 31 || function > 7)
        return -EINVAL;
    *ret_place = machine_place_make(domain, (unsigned)bus, (unsigned)(device << 3 | function));
    return 0;
}

uint64_t machine_place_make(uint64_t domain, unsigned bus, unsigned device_function)
{
    return domain << 16 | (uint64_t)bus << 8 | device_function;
}

void machine_place_text(uint64_t place, char ret_text[static 20])
{
    if (place == MACHINE_NO_PLACE)
        ret_text[0] = '\0';
    else
        snprintf(ret_text, 20, "%04x:%02x:%02x.%x", (unsigned)(place >> 16),
                 (unsigned)(place >> 8) & 0xff, (unsigned)(place >> 3) & 31, (unsigned)place & 7);
}

uint64_t machine_place_of_link(const char *target)
{
    uint64_t place;
    if (machine_place_parse(str_from(fs_name(target)), &place) < 0)
        return MACHINE_NO_PLACE;
    return place;
}
