#include "inspect/inspect.h"

#include <stdio.h>

/* Made by the build from data/libraries.tsv (tools/embed.py). */
extern const char package_data_libraries[], package_data_libraries_end[];

static struct str libraries_debian_package(struct str soname)
{
    static const char *const columns[] = {"soname", "debian", "source", NULL};
    struct table table;
    struct table_row row;
    struct str bytes = {package_data_libraries,
                        (size_t)(package_data_libraries_end - package_data_libraries)};
    table_init(&table, "libraries.tsv", bytes, columns);
    while (table_next(&table, &row, NULL) == 1) {
        if (str_eq(row.field[0], soname))
            return row.field[1];
    }
    return STR_NONE;
}

static bool libraries_is(struct str distribution, struct str like, struct str name)
{
    return str_eq(distribution, name) || str_list_has(like, name);
}

/* A soname goes into a command for a shell: only what needs no quoting there is taken. */
static bool libraries_plain(struct str soname)
{
    for (size_t i = 0; i < soname.n; i++) {
        char c = soname.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr("._+-", c))))
            return false;
    }
    return soname.n > 0 && soname.p[0] != '-';
}

void package_library_remedy(const char *soname, struct str distribution, struct str like,
                            char *ret_command, size_t size)
{
    struct str name = str_from(soname);
    ret_command[0] = '\0';
    if (!libraries_plain(name))
        return;
    if (libraries_is(distribution, like, STR("debian"))) {
        struct str package = libraries_debian_package(name);
        if (package.n)
            snprintf(ret_command, size, "apt install %.*s", STR_ARG(package));
        else
            snprintf(ret_command, size, "apt-file search %s", soname);
    } else if (libraries_is(distribution, like, STR("fedora"))) {
        snprintf(ret_command, size, "dnf install '%s()(64bit)'", soname);
    } else if (libraries_is(distribution, like, STR("suse"))) {
        snprintf(ret_command, size, "zypper install '%s()(64bit)'", soname);
    } else if (libraries_is(distribution, like, STR("arch"))) {
        snprintf(ret_command, size, "pacman -F %s", soname);
    }
}
