/* name.h - retail names as people write them: comparable forms. */
#ifndef GFX_NAME_H
#define GFX_NAME_H

#include "base/base.h"

#define GFX_NAME_BYTES 128 /* ours have at most 80; what is longer is cut */

/* Lower-case words, separated by single blanks, without what says nothing ("AMD", "(TM)"). */
struct gfx_name {
    char text[GFX_NAME_BYTES];
    size_t n;
};

/* split: also part letters from digits ("rx7900xtx": "rx 7900 xtx"), for queries. */
void gfx_name_normalise(struct str raw, bool split, struct gfx_name *ret_name);

/* The same words, wherever the blanks are: "rx7900 xt" is "rx 7900 xt". */
bool gfx_name_equal(const struct gfx_name *a, const struct gfx_name *b);

/* Every word of `part` is a word of `name`; false when part has none. */
bool gfx_name_has_words(const struct gfx_name *name, const struct gfx_name *part);

/* As above, but a word whose number ends with two or more zeros stands for its series: "hd 6900"
 * for "hd 6950" and "hd 6970". At least one word must do so. */
bool gfx_name_is_of_series(const struct gfx_name *name, const struct gfx_name *series);

/* Edits between the two without their blanks; at most `limit` + 1, which stands for "more". Names
 * that do not begin alike are never near: an HD is not a slip for an RX. */
unsigned gfx_name_distance(const struct gfx_name *a, const struct gfx_name *b, unsigned limit);

/* What stands before the first bracket, behind a label: "AMD Radeon RX 6800" of "deviceName = AMD
 * Radeon RX 6800 (RADV NAVI21)". */
struct str gfx_name_head(struct str text);

/* The pieces of a line that may be a name by themselves: in brackets from the last on, behind "w/",
 * "with" and a label's colon. False: there is none with this number. */
bool gfx_name_phrase(struct str text, unsigned number, struct str *ret_phrase);

#endif
