/* options.c - what the user gave models of this disk: other names, and options of their requests.
 */
#include "model/model_private.h"

#include <errno.h>

#define OPTIONS_FILE "options.tsv"
#define OPTIONS_HEAD                                                                               \
    "# Names and options of models. Each value is JSON. The key \"model\" makes its name an "      \
    "alias.\n"
enum { OPTIONS_MAX = 8 << 20, OPTIONS_STEPS = 8 };

static const char *const options_columns[] = {"name", "key", "value", NULL};

/* ---- the table ---- */

static int options_add(const struct table *t, const struct table_row *row, json_t *all,
                       struct gfxb_error *err)
{
    struct str value = row->field[2];
    json_t *parsed = json_loadb(value.p, value.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    char *CLEAN_FREE name = xstr_dup(row->field[0]);
    char *CLEAN_FREE key = xstr_dup(row->field[1]);
    json_t *own = json_object_get(all, name);
    bool is_name = strcmp(key, MODEL_OPTION_MODEL) != 0 || json_is_string(parsed);
    if (!own) {
        own = json_object();
        json_object_set_new(all, name, own);
    }
    if (parsed && is_name && json_object_set(own, key, parsed) == 0) {
        json_decref(parsed);
        return 0;
    }
    json_decref(parsed);
    return table_error(t, row, 2, err, "this is no JSON value that can be used");
}

int model_options_read(const struct model_env *env, json_t **ret_all, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(OPTIONS_MAX + 1);
    char *CLEAN_FREE path = model_options_path(env);
    struct table t;
    struct table_row row;
    int r = path ? fs_read(path, OPTIONS_MAX, &text) : -ENOENT;
    json_t *all = json_object();
    if (r < 0 && r != -ENOENT) {
        json_decref(all);
        return fs_error(err, -r, "read", path);
    }
    table_init(&t, path, buf_view(&text), options_columns);
    while (text.n && (r = table_next(&t, &row, err)) > 0) {
        r = options_add(&t, &row, all, err);
        if (r < 0)
            break;
    }
    if (text.n && r < 0)
        json_decref(all);
    else
        *ret_all = all;
    return text.n && r < 0 ? r : 0;
}

char *model_options_path(const struct model_env *env)
{
    return env->data_dir ? stock_path(env, OPTIONS_FILE) : NULL;
}

static void options_print(json_t *all, struct buf *ret)
{
    const char *name, *key;
    json_t *own, *value;
    void *next;
    buf_add_text(ret, OPTIONS_HEAD "name\tkey\tvalue\n");
    json_object_foreach_safe(all, next, name, own)
    {
        json_object_foreach(own, key, value)
        {
            /* Tabs and newlines in texts are escapes in JSON. */
            char *CLEAN_FREE text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
            buf_addf(ret, "%s\t%s\t%s\n", name, key, text ? text : "null");
        }
    }
}

int model_options_write(const struct model_env *env, const char *name, json_t *options,
                        struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(OPTIONS_MAX);
    char *CLEAN_FREE dir = NULL;
    json_t *all = NULL;
    int CLEAN_CLOSE lock = -1;
    int r = stock_make(env, "", &dir, err);
    if (r < 0)
        return r;
    char *CLEAN_FREE path = model_options_path(env);
    char *CLEAN_FREE lock_path = xasprintf("%s.lock", path);
    r = fs_lock(lock_path, true, env->cancel, &lock, err) ?: model_options_read(env, &all, err);
    if (r < 0)
        return r;
    fs_sweep_writes(path);
    /* One row for a name, whatever its case: the one that is there. */
    const char *row = model_options_name(all, name);
    char *CLEAN_FREE key = xstrdup(row ? row : name);
    if (json_object_size(options))
        json_object_set(all, key, options);
    else
        json_object_del(all, key);
    options_print(all, &text);
    json_decref(all);
    if (!buf_ok(&text))
        return error_set(err, EFBIG, "the options of all models are larger than %d MiB together",
                         OPTIONS_MAX >> 20);
    return fs_write(path, text.p, text.n, 0600, err);
}

/* ---- one name ---- */

const char *model_options_name(const json_t *all, const char *name)
{
    const char *key, *found = NULL;
    json_t *own;
    if (json_object_get(all, name))
        return name;
    json_object_foreach((json_t *)all, key, own)
    {
        if (model_name_same(str_from(key), str_from(name)))
            found = key;
    }
    if (!found && strncmp(name, "user.", 5) == 0) /* as Lemonade's clients say it */
        return model_options_name(all, name + 5);
    return found;
}

int model_options_follow(const json_t *all, const char *name, const char **ret_model,
                         json_t **ret_options, struct gfxb_error *err)
{
    json_t *options = json_object();
    const char *at = name, *next = name;
    for (unsigned steps = 0; next; steps++) {
        const char *own_name = model_options_name(all, next);
        json_t *own = own_name ? json_object_get(all, own_name) : NULL;
        at = next;
        next = json_string_value(json_object_get(own, MODEL_OPTION_MODEL));
        json_object_update_missing(options, own);
        if (next && steps == OPTIONS_STEPS) {
            json_decref(options);
            return error_set(err, ELOOP,
                             "the name %s leads through more than %d others and to no model: "
                             "gfxbridge alias lists them",
                             name, OPTIONS_STEPS);
        }
    }
    json_object_del(options, MODEL_OPTION_MODEL);
    *ret_model = at;
    *ret_options = options;
    return 0;
}
