/* import.c - takes a file of the user's own in: linked, cloned or copied, whole or not at all. */
#include "model/pull/pull.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static int import_clone(const struct pull *p, const char *from, const char *to,
                        struct gfxb_error *err)
{
    struct stat st;
    int CLEAN_CLOSE in = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int CLEAN_CLOSE out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (in < 0 || out < 0 || fstat(in, &st) < 0)
        return error_set(err, errno, "cannot copy %s to %s: %s", from, to, error_errno_text(errno));
    if (ioctl(out, FICLONE, in) == 0)
        return 0;
    int r = pull_check_room(p, to, (uint64_t)st.st_size, err);
    if (r < 0)
        return r;
    log_at(p->env->log, LOG_INFO, "copying %s: it is on another file system", from);
    r = fs_copy(in, out, (uint64_t)st.st_size, p->env->cancel);
    if (r == -ECANCELED)
        return error_set(err, GFXB_E_INTERRUPTED, "interrupted");
    return r < 0 ? fs_error(err, -r, "copy the model to", to) : 0;
}

/* One file into the stage under this name. */
static int import_file(const struct pull *p, const char *from, const char *stage, const char *name,
                       struct gfxb_error *err)
{
    char *CLEAN_FREE real = realpath(from, NULL);
    char *CLEAN_FREE to = xfs_join(stage, name);
    if (!real)
        return fs_error(err, errno, "read", from);
    return link(real, to) == 0 ? 0 : import_clone(p, real, to, err);
}

/* All parts of a split model, which lie beside each other. */
static int import_parts(const struct pull *p, const char *file, const char *as, const char *stage,
                        struct gfxb_error *err)
{
    struct pick_split split;
    int r = 0;
    if (!pick_take_apart(str_from(file), &split))
        return error_set(err, EINVAL, "%s is no GGUF file: its name ends in .gguf", file);
    for (unsigned i = 1; r == 0 && i <= split.count; i++) {
        char *CLEAN_FREE part = pick_part(file, i);
        r = import_file(p, part, stage, as ? as : fs_name(part), err);
    }
    return r;
}

/* The projector must be told from the model by its name, also by other programs. */
static int import_projector(const struct pull *p, const char *mmproj, const char *stage,
                            struct gfxb_error *err)
{
    struct gguf gguf;
    if (!mmproj)
        return 0;
    int r = gguf_read(mmproj, &gguf, err);
    if (r < 0)
        return r;
    bool is_projector = gguf.kind == GGUF_PROJECTOR;
    gguf_done(&gguf);
    if (!is_projector || !strstr(fs_name(mmproj), "mmproj"))
        return error_set(err, GFXB_E_MODEL_UNUSABLE,
                         "%s is no projector: its header says so, or \"mmproj\" is not in its name",
                         mmproj);
    return import_file(p, mmproj, stage, fs_name(mmproj), err);
}

int import_local(const struct pull *p, const struct import *what, struct gfxb_error *err)
{
    char *CLEAN_FREE stage = NULL;
    int CLEAN_CLOSE lock = -1;
    int r = stock_stage(p->env, &stage, &lock, err);
    if (r < 0)
        return r;
    r = import_parts(p, what->file, what->as, stage, err)
            ?: import_projector(p, what->mmproj, stage, err)
            ?: stock_write_about(stage, p->name, p->sha256, err)
            ?: stock_publish(p->env, stage, what->name, err);
    if (r < 0)
        fs_remove_tree(stage);
    return r;
}

/* The name of a file without its part's number and ending, or the one that was asked for. */
static int import_name(const char *file, const char *wanted, char **ret_name,
                       struct gfxb_error *err)
{
    struct pick_split split = {.prefix = str_from(fs_name(file))};
    pick_take_apart(split.prefix, &split);
    char *CLEAN_FREE name = wanted ? xstrdup(wanted) : xstr_dup(split.prefix);
    if (strchr(name, '/') || strchr(name, ':') || name[0] == '.' || !model_name_is_plain(name))
        return error_set(err, EINVAL,
                         "\"%s\" cannot be a model's name: letters, digits and -._; give one with "
                         "--name",
                         name);
    *ret_name = name;
    name = NULL;
    return 0;
}

int model_import(const struct model_env *env, const char *file, const char *mmproj,
                 const char *name, struct model *ret_model, struct gfxb_error *err)
{
    struct pull p = {.env = env, .name = file, .sha256 = ""};
    char *CLEAN_FREE own = NULL;
    char *CLEAN_FREE first = pick_part(file, 1); /* whichever part was named */
    struct import what = {.file = first, .mmproj = mmproj};
    int r = import_name(file, name, &own, err) ?: pull_check_file(first, err);
    what.name = own;
    r = r ?: import_local(&p, &what, err);
    if (r < 0)
        return r;
    char *CLEAN_FREE path =
        xasprintf("%s/models/" STOCK_LOCAL "/%s/%s", env->data_dir, own, fs_name(first));
    return list_find_path(env, path, ret_model, err);
}
