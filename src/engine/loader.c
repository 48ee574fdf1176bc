/* loader.c - why the Vulkan loader offers no device: what its debug output says of a driver that it
 * could not use, and of the library that this driver lacks. */
#include "engine/engine_private.h"

#include <stdio.h>

extern const char engine_data_drivers_tsv[], engine_data_drivers_tsv_end[];

enum { DRIVER_LIBRARY, DRIVER_VENDOR, DRIVER_NAME, DRIVER_OPENS, DRIVER_SOURCE };

static void loader_open(struct table *table)
{
    TABLE_OPEN(table, "data/drivers.tsv", engine_data_drivers_tsv, "library", "vendor", "name",
               "opens", "source");
}

/* A driver that the loader gave up. */
struct loader_fault {
    struct str library; /* as its manifest names it */
    struct str missing; /* what the dynamic loader did not find; empty: it does not say */
    struct str name, opens;
};

/* The word behind the mark; false when the line has no such mark. */
static bool loader_word(struct str line, const char *mark, struct str *ret_word)
{
    const char *at = line.n ? memmem(line.p, line.n, mark, strlen(mark)) : NULL;
    if (!at)
        return false;
    at += strlen(mark);
    line = (struct str){at, line.n - (size_t)(at - line.p)};
    if (!str_word(&line, ret_word))
        return false;
    *ret_word = str_trim_end(*ret_word, '.');
    return true;
}

/* "ERROR: libX.so.1: cannot open shared object file: ..." */
static void loader_read_missing(struct str line, struct str *missing)
{
    static const char mark[] = ": cannot open shared object file";
    const char *at = line.n ? memmem(line.p, line.n, mark, sizeof(mark) - 1) : NULL;
    struct str before = {line.p, at ? (size_t)(at - line.p) : 0}, word;
    while (str_word(&before, &word))
        *missing = word;
}

/* Does the driver serve GPUs of this vendor? One that no row names may. */
static bool loader_knows(struct loader_fault *fault, unsigned vendor)
{
    struct table table;
    struct table_row row;
    char *CLEAN_FREE path = xstr_dup(fault->library);
    struct str file = str_from(fs_name(path));
    uint64_t of = vendor;
    loader_open(&table);
    fault->name = STR("the Vulkan driver");
    while (table_next(&table, &row, NULL) == 1) {
        if (!str_starts(file, row.field[DRIVER_LIBRARY]))
            continue;
        fault->name = row.field[DRIVER_NAME];
        fault->opens = row.field[DRIVER_OPENS];
        (void)str_to_u64(row.field[DRIVER_VENDOR], 16, &of);
        break;
    }
    return of == vendor;
}

/* What the loader says of each driver comes after what the dynamic loader said of it. */
static bool loader_find(struct str said, unsigned vendor, struct loader_fault *ret_fault)
{
    struct str line, missing = STR_NONE;
    while (str_cut(&said, '\n', &line)) {
        struct loader_fault fault = {.missing = missing};
        loader_read_missing(line, &missing);
        if (!loader_word(line, "associated with ICD JSON ", &fault.library) &&
            !loader_word(line, "for ICD ", &fault.library) &&
            !loader_word(line, "from ICD ", &fault.library))
            continue;
        missing = STR_NONE;
        if (loader_knows(&fault, vendor)) {
            *ret_fault = fault;
            return true;
        }
    }
    return false;
}

/* Of the libraries that a driver opens by itself, the first that this computer lacks. */
static bool loader_lacks(const struct root *root, struct str opens, struct str *ret_soname)
{
    while (str_word(&opens, ret_soname)) {
        char *CLEAN_FREE soname = xstr_dup(*ret_soname);
        if (package_lacks_library(root, soname))
            return true;
    }
    return false;
}

static bool loader_is_driver(const struct loader_fault *fault)
{
    char *CLEAN_FREE path = xstr_dup(fault->library);
    return str_is(fault->missing, path) || str_is(fault->missing, fs_name(path));
}

int loader_explain(const struct root *root, struct str said, unsigned vendor,
                   struct gfxb_error *err)
{
    struct loader_fault fault;
    char remedy[256];
    if (!loader_find(said, vendor, &fault))
        return 0;
    bool alone = fault.missing.n && loader_is_driver(&fault);
    bool opens = !fault.missing.n && loader_lacks(root, fault.opens, &fault.missing);
    if (!fault.missing.n)
        return error_set(err, GFXB_E_VULKAN_DRIVER_MISSING,
                         "%.*s (%.*s) is there and does not start: install it again, all parts "
                         "of it in one version",
                         STR_ARG(fault.name), STR_ARG(fault.library));
    char *CLEAN_FREE soname = xstr_dup(fault.missing);
    package_library_command(root, soname, remedy, sizeof(remedy));
    return error_set(err, alone ? GFXB_E_VULKAN_DRIVER_MISSING : GFXB_E_LIBRARY_MISSING,
                     "%.*s %s%s%s%s%s", STR_ARG(fault.name),
                     alone   ? "has a manifest, but its library "
                     : opens ? "opens "
                             : "needs ",
                     soname, alone ? " is missing" : ", which is missing", remedy[0] ? ": " : "",
                     remedy);
}

int engine_drivers_check(struct gfxb_error *err)
{
    struct table table;
    struct table_row row;
    uint64_t vendor;
    int more;
    loader_open(&table);
    while ((more = table_next(&table, &row, err)) > 0) {
        if (str_to_u64(row.field[DRIVER_VENDOR], 16, &vendor) < 0 || vendor > 0xffff)
            return table_error(&table, &row, DRIVER_VENDOR, err, "not a PCI vendor");
        if (!row.field[DRIVER_NAME].n || !row.field[DRIVER_SOURCE].n)
            return table_error(&table, &row, DRIVER_SOURCE, err,
                               "the name or the source is missing");
    }
    return more;
}
