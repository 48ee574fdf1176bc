/* boot.c - which boot loader gives the kernel its command line: the first row of data/boot.tsv
 * whose files are on the disk. */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <stdio.h>

/* What the boot loader called itself: 4 bytes of attributes, then UTF-16. */
#define BOOT_LOADER_INFO "/sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

extern const char machine_data_boot[], machine_data_boot_end[];

void machine_boot_open(struct table *t)
{
    TABLE_OPEN(t, "data/boot.tsv", machine_data_boot, "id", "marks", "loader", "add", "remove",
               "install", "source");
}

static void boot_read_loader(const struct root *root, char ret_name[static 48])
{
    struct buf CLEAN_BUF text = BUF_INIT(256);
    ret_name[0] = '\0';
    if (!root_is_live(root) &&
        machine_read_line(root, ret_name, 48, MACHINE_FACTS "/boot_loader") == 0)
        return;
    if (root_read(root, BOOT_LOADER_INFO, 128, &text) < 0)
        return;
    size_t n = 0;
    for (size_t i = 4; i + 1 < text.n && n < 47 && text.p[i] >= ' ' && !text.p[i + 1]; i += 2)
        ret_name[n++] = text.p[i];
    ret_name[n] = '\0';
}

static bool boot_has_path(const struct root *root, struct str path)
{
    char text[MACHINE_PATH_MAX];
    snprintf(text, sizeof(text), "%.*s", STR_ARG(path));
    return machine_has_path(root, text);
}

static bool boot_has_marks(const struct root *root, struct str marks)
{
    struct str group, path;
    while (str_word(&marks, &group)) {
        bool wanted = group.p[0] != '!', found = false;
        if (!wanted)
            group = (struct str){group.p + 1, group.n - 1};
        while (!found && str_cut(&group, '|', &path))
            found = boot_has_path(root, path);
        if (found != wanted)
            return false;
    }
    return true;
}

void machine_read_boot(const struct root *root, struct machine *m)
{
    char loader[48];
    struct table t;
    struct table_row row;
    boot_read_loader(root, loader);
    machine_boot_open(&t);
    while (table_next(&t, &row, NULL) == 1) {
        if ((loader[0] && row.field[BOOT_LOADER].n &&
             !str_starts(str_from(loader), row.field[BOOT_LOADER])) ||
            !boot_has_marks(root, row.field[BOOT_MARKS]))
            continue;
        snprintf(m->host.boot, sizeof(m->host.boot), "%.*s", STR_ARG(row.field[BOOT_ID]));
        return;
    }
}

void machine_capture_boot(struct machine_capture *c)
{
    char loader[48];
    struct table t;
    struct table_row row;
    boot_read_loader(c->root, loader);
    machine_capture_add_fact(c, MACHINE_FACTS "/boot_loader", loader);
    machine_boot_open(&t);
    while (table_next(&t, &row, NULL) == 1) {
        struct str marks = row.field[BOOT_MARKS], group, path;
        while (str_word(&marks, &group)) {
            while (str_cut(&group, '|', &path)) {
                char text[MACHINE_PATH_MAX];
                snprintf(text, sizeof(text), "%.*s", STR_ARG(path));
                if (text[0] == '/' && machine_has_path(c->root, text))
                    machine_capture_mark(c, text, TRI_YES);
            }
        }
    }
}
