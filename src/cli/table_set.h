/*
 * table_set.h - newer tables than the built-in ones: one signed file, and where its content lives.
 * Private to cli/.
 *
 * The file: the line "gfxbridge-tables 1", the line "signature BASE64", and what the signature is
 * over: "version NUMBER", a line "table NAME.tsv BYTES" for each, an empty line, and the tables
 * one behind the other. tools/sign-tables writes it. Its tables are kept in DATA/tables/NUMBER/.
 */
#ifndef CLI_TABLE_SET_H
#define CLI_TABLE_SET_H

#include "cli/cli.h"

#define TABLE_SET_DIR "tables" /* below the data directory */

enum { TABLE_SET_MAX = 64 << 20 };

struct table_set {
    uint64_t version;
    struct gfx_table_source source[GFX_TABLES]; /* views into the file's bytes */
    size_t n;
};

/* Take a file apart after its signature was checked with this key (PEM). Codes: table (malformed),
 * digest-mismatch (the signature). */
int table_set_read(struct str bytes, struct str key, struct table_set *ret_set,
                   struct gfxb_error *err);

/* Make it the newest below data_dir, and remove older ones. */
int table_set_publish(const char *data_dir, const struct table_set *set, struct gfxb_error *err);

/* The directory of the newest set below data_dir that is newer than the built-in tables, to be
 * freed; NULL: none. */
char *table_set_newest(const char *data_dir, uint64_t *ret_version);

#endif
