/* scan.h - what a text says of GPUs by number: PCI ids, gfx targets and how programs spell them. */
#ifndef GFX_SCAN_H
#define GFX_SCAN_H

#include "gfx/gfx.h"

#define GFX_SCAN_MAX 32 /* more GPUs are in no computer */

struct gfx_scan {
    const struct gfx_card *card[GFX_SCAN_MAX]; /* of the ids, in order */
    size_t n_cards;
    const struct gfx_target *target[GFX_SCAN_MAX]; /* of gfx names and versions, each once */
    size_t n_targets;
    int unknown;  /* an AMD device id that no row has; -1 none */
    int revision; /* of the last line, "(rev c8)"; -1 none */
    bool foreign; /* there is an id of another vendor */
};

/* Look through lines of lspci, sysfs, dmesg, Windows, rocminfo, clinfo, vulkaninfo, llama.cpp and
 * the like. */
void gfx_scan_text(const struct gfx_tables *tables, struct str text, struct gfx_scan *ret_scan);

#endif
