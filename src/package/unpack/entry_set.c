/* entry_set.c - what an archive has brought so far. A balanced tree, so that no choice of names
 * makes it slow. */
#include "package/unpack/unpack.h"

#include <search.h>

struct entry_node {
    bool directory;
    char path[];
};

/* ASCII capitals count as small letters: on some file systems they are the same file. */
static int entry_node_compare(const void *a, const void *b)
{
    const char *one = ((const struct entry_node *)a)->path;
    const char *other = ((const struct entry_node *)b)->path;
    for (; *one && str_lower(*one) == str_lower(*other); one++)
        other++;
    return (unsigned char)str_lower(*one) - (unsigned char)str_lower(*other);
}

/* `implied`: a directory above an entry; these may be met any number of times. */
static const char *entry_set_add_one(struct entry_set *set, struct str path, bool directory,
                                     bool implied)
{
    struct entry_node *node = xmalloc(sizeof(*node) + path.n + 1);
    node->directory = directory;
    memcpy(node->path, path.p, path.n);
    node->path[path.n] = '\0';
    struct entry_node **found = tsearch(node, &set->tree, entry_node_compare);
    if (!found)
        xalloc_die();
    if (*found == node)
        return NULL;
    const char *problem = NULL;
    if (strcmp((*found)->path, node->path) != 0)
        problem = "differs from another entry only in capital letters";
    else if (implied && !(*found)->directory)
        problem = "lies below an entry that is not a directory";
    else if (!directory || !(*found)->directory)
        problem = "is there twice";
    free(node);
    return problem;
}

const char *entry_set_add(struct entry_set *set, const char *path, bool directory)
{
    const char *problem = NULL;
    for (const char *slash = strchr(path, '/'); slash && !problem; slash = strchr(slash + 1, '/'))
        problem = entry_set_add_one(set, (struct str){path, (size_t)(slash - path)}, true, true);
    return problem ? problem : entry_set_add_one(set, str_from(path), directory, false);
}

void entry_set_done(struct entry_set *set)
{
    tdestroy(set->tree, free);
    set->tree = NULL;
}
