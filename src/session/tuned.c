/* tuned.c - settings that tune found for a model on a choice: stored, read again, used. */
#include "base/digest.h"
#include "base/xalloc.h"
#include "session/session_private.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define TUNED_DIR "tuned" /* below the data directory */

enum { TUNED_FILE_MAX = 1 << 20 };

char *tuned_path(const struct session_request *r, const char *of, const char *suffix)
{
    char hex[DIGEST_HEX];
    char *CLEAN_FREE text = xasprintf("%s|%s", of, r->model ? r->model : "");
    if (digest_bytes(text, strlen(text), hex) < 0)
        xalloc_die();
    return xasprintf("%s/" TUNED_DIR "/%s%s", r->data_dir, hex, suffix);
}

int tuned_write(const struct session_request *r, const char *path, const json_t *object,
                struct gfxb_error *err)
{
    char *CLEAN_FREE text = json_dumps(object, JSON_INDENT(1));
    char *CLEAN_FREE dir = xstr_dup(fs_dir(path));
    if (!text)
        return error_set(err, EINVAL, "the settings are not text");
    return proof_store_write(dir, fs_name(path), text, strlen(text), r->cancel, err);
}

json_t *tuned_read(const char *path)
{
    struct buf CLEAN_BUF text = BUF_INIT(2 * TUNED_FILE_MAX);
    return fs_read(path, TUNED_FILE_MAX, &text) == 0 ? json_loadb(buf_text(&text), text.n, 0, NULL)
                                                     : NULL;
}

/* Are they settings that the engine has? */
static bool tuned_is_sound(const struct engine_kind *kind, const json_t *object)
{
    const json_t *settings = json_object_get(object, "settings"), *one;
    size_t i;
    if (!json_is_array(settings) || json_array_size(settings) > TUNE_KNOBS)
        return false;
    json_array_foreach(settings, i, one)
    {
        const char *text = json_string_value(one);
        if (!text || !engine_knob_of(kind, text))
            return false;
    }
    return true;
}

/* Call this for each stored object of the request's model, whatever its state. */
static void tuned_each(const struct session_request *r,
                       void (*use)(void *context, const char *path, json_t *object), void *context)
{
    char *CLEAN_FREE dir_path = xfs_join(r->data_dir, TUNED_DIR);
    DIR *CLEAN_DIR dir = opendir(dir_path);
    const char *name;
    while (dir && (name = fs_next(dir))) {
        if (!str_ends(str_from(name), STR(".json")))
            continue;
        char *CLEAN_FREE path = xfs_join(dir_path, name);
        json_t *object = tuned_read(path);
        const char *file = json_string_value(json_object_get(object, "file"));
        if (file && strcmp(file, r->model) == 0)
            use(context, path, object);
        json_decref(object);
    }
}

struct tuned_reading {
    const struct engine_kind *kind;
    const char *state;
    json_t *list;
};

static void tuned_take(void *context, const char *path, json_t *object)
{
    struct tuned_reading *reading = context;
    const char *state = json_string_value(json_object_get(object, "state"));
    if (state && strcmp(state, reading->state) == 0 && tuned_is_sound(reading->kind, object))
        json_array_append(reading->list, object);
}

/* The newest that was found best among several backends. */
static const char *tuned_preferred(const json_t *list)
{
    const char *fingerprint = NULL;
    json_int_t newest = 0;
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one)
    {
        json_int_t at = json_integer_value(json_object_get(one, "time"));
        if (json_is_true(json_object_get(one, "preferred")) && at >= newest) {
            newest = at;
            fingerprint = json_string_value(json_object_get(one, "fingerprint"));
        }
    }
    return fingerprint;
}

void session_read_tuned(const struct session_request *r, struct session *session)
{
    char *CLEAN_FREE state = r->data_dir ? session_model_state(r, session) : NULL;
    struct tuned_reading reading = {session_kind(r), state, NULL};
    json_decref(session->tuned);
    session->tuned = NULL;
    if (!state)
        return;
    reading.list = session->tuned = json_array();
    tuned_each(r, tuned_take, &reading);
    const char *preferred = tuned_preferred(session->tuned);
    for (size_t i = session->n_failures; i < session->n_proofs && preferred; i++)
        session->proof[i].preferred = strcmp(session->proof[i].fingerprint, preferred) == 0;
}

const json_t *session_tuned_for(const struct session *session, const char *fingerprint)
{
    const json_t *one;
    size_t i;
    json_array_foreach(session->tuned, i, one)
    {
        const char *own = json_string_value(json_object_get(one, "fingerprint"));
        if (own && strcmp(own, fingerprint) == 0)
            return json_object_get(one, "settings");
    }
    return NULL;
}

unsigned session_tuned_slots(const struct session *session)
{
    unsigned slots = 0;
    const json_t *one, *setting;
    size_t i, k;
    json_array_foreach(session->trial ? NULL : session->tuned, i, one)
    {
        json_array_foreach(json_object_get(one, "settings"), k, setting)
            sscanf(json_string_value(setting), "slots=%u", &slots);
    }
    return slots <= 256 ? slots : 0;
}

enum blame_loss session_loss(struct session *session, bool broke)
{
    bool settings = broke && session->with_settings;
    session->untuned |= settings;
    return broke && !settings ? BLAME_BROKE : BLAME_KILLED;
}

struct tuned_removal {
    const char *but;  /* path that stays; NULL none */
    const json_t *of; /* fingerprints; NULL all */
    unsigned n;
    int code;
};

static void tuned_remove(void *context, const char *path, json_t *object)
{
    struct tuned_removal *removal = context;
    json_t *own = json_object_get(object, "fingerprint"), *one;
    bool meant = !removal->of;
    size_t i;
    json_array_foreach(removal->of, i, one) meant |= json_equal(one, own);
    if (!meant || (removal->but && strcmp(removal->but, path) == 0))
        return;
    if (unlink(path) < 0 && errno != ENOENT)
        removal->code = -errno;
    else
        removal->n++;
}

int tuned_remove_all(const struct session_request *r, const json_t *of, const char *but,
                     unsigned *ret_n, struct gfxb_error *err)
{
    struct tuned_removal removal = {.but = but, .of = of};
    tuned_each(r, tuned_remove, &removal);
    *ret_n = removal.n;
    return removal.code < 0 ? error_set(err, -removal.code, "cannot remove the settings: %s",
                                        error_errno_text(-removal.code))
                            : 0;
}

int session_tune_reset(const struct session_request *r, unsigned *ret_n, struct gfxb_error *err)
{
    char *CLEAN_FREE journal = tuned_path(r, "journal", ".part");
    if (r->model)
        unlink(journal);
    *ret_n = 0;
    return r->model ? tuned_remove_all(r, NULL, NULL, ret_n, err) : 0;
}
