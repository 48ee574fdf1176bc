/* build_id.c - which build of a library a file is: the note that linkers leave near its beginning
 * (GNU build id; the layout is in the gABI's chapter on notes), and Mesa's version. */
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

static bool mesa_is_part(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr(".+~-", c));
}

/* Behind "Mesa " in these bytes. */
static bool mesa_find(struct str text, char ret_version[static MACHINE_MESA_MAX])
{
    static const char word[] = "Mesa ";
    const size_t word_n = sizeof(word) - 1;
    const char *at, *end = text.p + text.n;
    while ((at = text.n ? memmem(text.p, text.n, word, word_n) : NULL)) {
        size_t n = 0;
        for (at += word_n; at + n < end && n < MACHINE_MESA_MAX - 1 && mesa_is_part(at[n]); n++)
            ret_version[n] = at[n];
        ret_version[n] = '\0';
        if (ret_version[0] >= '0' && ret_version[0] <= '9')
            return true;
        text = (struct str){at, (size_t)(end - at)};
    }
    ret_version[0] = '\0';
    return false;
}

void machine_read_mesa(const struct root *root, const char *path,
                       char ret_version[static MACHINE_MESA_MAX])
{
    enum { PIECE = 256 << 10, OVERLAP = 64, PIECES_MAX = 512 };
    ret_version[0] = '\0';
    for (uint64_t i = 0; i < PIECES_MAX; i++) {
        struct buf CLEAN_BUF text = BUF_INIT(PIECE + 1);
        if (root_read_at(root, path, i * (PIECE - OVERLAP), PIECE, &text) < 0 || !text.n ||
            mesa_find(buf_view(&text), ret_version) || text.n < PIECE)
            return;
    }
}
