/* build_id.c - which build of a library a file is, from the note that linkers leave near its
 * beginning (GNU build id; the layout is in the gABI's chapter on notes). */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <stdio.h>

#define HEAD_MAX 4096 /* the note stands behind the program headers, on the first page */
#define ID_BYTES 8    /* that are shown, of usually 20 */

static const char note_name[] = {3, 0, 0, 0, 'G', 'N', 'U', 0}; /* NT_GNU_BUILD_ID, owner */

static bool is_number(const char *at, unsigned char value)
{
    return (unsigned char)at[0] == value && !at[1] && !at[2] && !at[3];
}

void machine_read_build_id(const struct root *root, const char *path,
                           char ret_id[static MACHINE_BUILD_ID_MAX])
{
    struct buf CLEAN_BUF head = BUF_INIT(HEAD_MAX);
    ret_id[0] = '\0';
    if (root_read(root, path, HEAD_MAX, &head) < 0 || head.n < 4 ||
        memcmp(head.p, "\177ELF", 4) != 0)
        return;
    for (size_t i = 8; i + sizeof(note_name) + ID_BYTES <= head.n; i += 4) {
        const char *note = head.p + i;
        if (memcmp(note, note_name, sizeof(note_name)) != 0 || !is_number(note - 8, 4) ||
            (!is_number(note - 4, 20) && !is_number(note - 4, 16)))
            continue;
        for (size_t k = 0; k < ID_BYTES; k++)
            snprintf(ret_id + 2 * k, 3, "%02x", (unsigned char)note[sizeof(note_name) + k]);
        return;
    }
}
