/* slots.c - what an engine's slots hold, kept on disk while its model makes room for another. */
#include "base/xalloc.h"
#include "session/session_private.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
    SLOTS_LEAST = 512, /* tokens: fewer are computed again as soon */
    SLOTS_DIGITS = 16,
};
#define SLOTS_BYTES_MAX (UINT64_C(8) << 30) /* of all models together */
#define SLOTS_DISK_PART 4                   /* of what is free, for one slot at most */

static void slots_digest(const char *text, char ret_hex[static DIGEST_HEX])
{
    if (digest_bytes(text, strlen(text), ret_hex) < 0)
        xalloc_die();
}

/* Is there a file in it? Those of models that run are empty. */
static bool slots_holds(const char *path)
{
    DIR *CLEAN_DIR dir = opendir(path);
    return fs_next(dir) != NULL;
}

/* The directory that was filled first; NULL none. To be freed. */
static char *slots_oldest(const char *kept)
{
    DIR *CLEAN_DIR dir = opendir(kept);
    char *oldest = NULL;
    struct timespec at = {0};
    const char *name;
    while ((name = fs_next(dir))) {
        char *path = xfs_join(kept, name);
        struct stat st;
        bool older = lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && slots_holds(path) &&
                     (!oldest || st.st_mtim.tv_sec < at.tv_sec ||
                      (st.st_mtim.tv_sec == at.tv_sec && st.st_mtim.tv_nsec < at.tv_nsec));
        if (older)
            at = st.st_mtim;
        free(older ? oldest : path);
        oldest = older ? path : oldest;
    }
    return oldest;
}

/* Is there room on disk for `need` more bytes? What was kept first goes for it, but not of own. */
static bool slots_make_room(const char *kept, const char *own, uint64_t need)
{
    for (;;) {
        uint64_t space = 0, used = 0;
        if (fs_free_bytes(kept, &space) < 0 || fs_tree_bytes(kept, &used) < 0)
            return false;
        if (used + need <= SLOTS_BYTES_MAX && need <= space / SLOTS_DISK_PART)
            return true;
        char *CLEAN_FREE oldest = slots_oldest(kept);
        if (!oldest || strcmp(oldest, own) == 0)
            return false;
        fs_remove_tree(oldest);
    }
}

/* At most, of this many tokens in one slot. */
static uint64_t slots_bytes(const struct fit_model *shape, unsigned tokens)
{
    uint64_t bytes = 1 << 20;
    for (size_t i = 0; i < shape->n_layers; i++)
        bytes += shape->layer[i].cache * tokens + shape->layer[i].state;
    return bytes;
}

void session_slots_open(const struct session_request *r, struct session *session,
                        const char *fingerprint)
{
    char model[DIGEST_HEX], state[DIGEST_HEX], name[2 * SLOTS_DIGITS + 2];
    free(session->slots_dir);
    session->slots_dir = NULL;
    if (!fingerprint || !r->slots_dir || !session->model_state || !session->use)
        return;
    char *CLEAN_FREE whole = xasprintf("%s\n%s", fingerprint, session->model_state);
    slots_digest(session->model, model);
    slots_digest(whole, state);
    snprintf(name, sizeof(name), "%.*s-%.*s", SLOTS_DIGITS, model, SLOTS_DIGITS, state);
    DIR *CLEAN_DIR dir = opendir(r->slots_dir);
    for (const char *other; (other = fs_next(dir));) {
        char *CLEAN_FREE path = xfs_join(r->slots_dir, other);
        if (strncmp(other, name, SLOTS_DIGITS + 1) == 0 && strcmp(other, name) != 0)
            fs_remove_tree(path); /* of the file before it was replaced, or of another choice */
    }
    char *path = xfs_join(r->slots_dir, name);
    if (fs_make_dirs(path, 0700, NULL) == 0)
        session->slots_dir = path;
    else
        free(path);
}

void session_slots_restore(const struct session_request *r, struct session *session)
{
    struct gfxb_error why;
    DIR *CLEAN_DIR dir = session->slots_dir ? opendir(session->slots_dir) : NULL;
    for (const char *name; (name = fs_next(dir));) {
        uint64_t slot = 0;
        char *CLEAN_FREE path = xfs_join(session->slots_dir, name);
        if (str_to_u64(str_from(name), 10, &slot) == 0 && slot < session->slots &&
            engine_slot_restore(session->engine, (unsigned)slot, r->cancel, &why) < 0)
            log_at(r->log, LOG_DEBUG, "a kept prompt is read again: %s", why.text);
        unlink(path);
    }
}

void session_slots_save(const struct session_request *r, struct session *session)
{
    struct gfxb_error why;
    unsigned tokens[ENGINE_SLOTS_MAX];
    size_t n = 0;
    int result = session->slots_dir && session->engine
                     ? engine_slots_read(session->engine, r->cancel, tokens, &n, &why)
                     : 0;
    for (size_t i = 0; result == 0 && i < n; i++) {
        if (tokens[i] >= SLOTS_LEAST &&
            slots_make_room(r->slots_dir, session->slots_dir,
                            slots_bytes(&session->use->shape, tokens[i])))
            result = engine_slot_save(session->engine, (unsigned)i, r->cancel, &why);
    }
    if (result < 0)
        log_at(r->log, LOG_DEBUG, "prompts of %s are not kept: %s", session->model, why.text);
}

void session_slots_forget(struct session *session)
{
    if (session->slots_dir)
        fs_remove_tree(session->slots_dir);
}
