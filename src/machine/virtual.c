/* virtual.c - is this a virtual machine, and of which kind? The rows of data/virtual.tsv. */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <stdio.h>

extern const char machine_data_virtual[], machine_data_virtual_end[];

void machine_virtual_open(struct table *t)
{
    TABLE_OPEN(t, "data/virtual.tsv", machine_data_virtual, "where", "text", "name", "gpu",
               "source");
}

/* The processor's own word; only the beginning of the file, which is long. */
static bool virtual_has_flag(const struct root *root)
{
    struct buf CLEAN_BUF text = BUF_INIT(4096);
    char name[sizeof(((struct machine *)0)->host.vm)];
    return machine_read_line(root, name, sizeof(name), MACHINE_FACTS "/vm") == 0 ||
           (root_read(root, "/proc/cpuinfo", 4096, &text) == 0 &&
            str_has(buf_view(&text), STR(" hypervisor")));
}

void machine_read_virtual(const struct root *root, struct machine *m)
{
    char vendor[64] = "", product[64] = "";
    struct table t;
    struct table_row row;
    machine_read_line(root, vendor, sizeof(vendor), "/sys/class/dmi/id/sys_vendor");
    machine_read_line(root, product, sizeof(product), "/sys/class/dmi/id/product_name");
    const char *flag = virtual_has_flag(root) ? "hypervisor" : "";
    machine_virtual_open(&t);
    while (table_next(&t, &row, NULL) == 1) {
        struct str where = row.field[VIRTUAL_WHERE];
        const char *text = str_is(where, "kernel")   ? m->host.kernel
                           : str_is(where, "cpu")    ? m->host.cpu
                           : str_is(where, "vendor") ? vendor
                           : str_is(where, "flag")   ? flag
                                                     : product;
        if (!str_has(str_from(text), row.field[VIRTUAL_TEXT]))
            continue;
        snprintf(m->host.vm, sizeof(m->host.vm), "%.*s", STR_ARG(row.field[VIRTUAL_NAME]));
        return;
    }
}
