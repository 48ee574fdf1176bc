/* table_place.c - which set of tables is in force: looked at by every command, so without
 * libcrypto.
 */
#include "cli/table_set.h"

#include <dirent.h>

uint64_t table_set_builtin(void)
{
    return GFXB_TABLES_VERSION;
}

char *table_set_newest(const char *data_dir, uint64_t *ret_version)
{
    uint64_t newest = table_set_builtin(), version;
    char *CLEAN_FREE dir = data_dir ? fs_join(data_dir, TABLE_SET_DIR) : NULL;
    DIR *list = dir ? opendir(dir) : NULL;
    const struct dirent *entry;
    while (list && (entry = readdir(list))) {
        if (str_to_u64(str_from(entry->d_name), 10, &version) == 0 && version > newest)
            newest = version;
    }
    if (list)
        closedir(list);
    *ret_version = newest;
    char *path = NULL;
    if (newest == table_set_builtin() ||
        asprintf(&path, "%s/%llu", dir, (unsigned long long)newest) < 0)
        return NULL;
    return path;
}
