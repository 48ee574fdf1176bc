/* support.c - the support table: which packages have code for which target, for people and
 * programs, and as a page of its own. */
#include "cli/cli.h"

extern const char cli_data_support[], cli_data_support_end[];

/* Publishers of packages with code for exactly this target, once each: an id up to its family or
 * system. */
static json_t *support_publishers(const struct gfx_tables *t, const struct gfx_target *target,
                                  enum gfx_os os)
{
    json_t *seen = json_object();
    for (size_t i = 0; i < t->n_packages; i++) {
        const struct gfx_package *row = &t->package[i];
        char name[128], *end;
        if (!str_is(row->backend, "rocm") || row->os != os || !row->installable ||
            gfx_covers(t, target, row->gfx, NULL) != GFX_VIA_EXACT)
            continue;
        snprintf(name, sizeof(name), "%.*s", STR_ARG(row->id));
        end = strstr(name, "-gfx");
        if (!end)
            end = strstr(name, os == GFX_WINDOWS ? "-windows" : "-linux");
        if (end)
            *end = '\0';
        json_object_set_new(seen, name, json_null());
    }
    json_t *names = json_array();
    const char *key;
    json_t *nothing;
    json_object_foreach(seen, key, nothing) json_array_append_new(names, json_string(key));
    json_decref(seen);
    return names;
}

/* "proven by 2"; null: nothing is published for it. */
static json_t *support_known(const struct gfx_tables *t, const struct gfx_target *target,
                             const char *backend, bool published)
{
    struct buf CLEAN_BUF text = BUF_INIT(100);
    struct gfx_known known = gfx_known_of(t, target, NULL, backend, STR_NONE);
    if (!published && !known.proven && !known.failed)
        return json_null();
    gfx_known_write(&known, &text);
    return json_string(buf_text(&text));
}

json_t *support_of(const struct gfx_tables *t, const struct gfx_target *target)
{
    json_t *linux_names = support_publishers(t, target, GFX_LINUX);
    bool published = json_array_size(linux_names) > 0;
    return json_pack("{s:{s:o, s:o}, s:{s:o, s:o}}", "packages", "linux", linux_names, "windows",
                     support_publishers(t, target, GFX_WINDOWS), "known", "rocm",
                     support_known(t, target, "rocm", published), "vulkan",
                     support_known(t, target, "vulkan", !str_is(target->vulkan, "no")));
}

/* [[name, gfx, [id ...]] ...]: a name once for each of its targets. */
static json_t *support_cards(const struct gfx_tables *t)
{
    json_t *rows = json_array(), *place = json_object();
    for (size_t i = 0; i < t->n_cards; i++) {
        const struct gfx_card *card = &t->card[i];
        struct str name = gfx_card_name(card), gfx = gfx_card_gfx(card);
        char key[300], id[8];
        snprintf(key, sizeof(key), "%.*s/%.*s", STR_ARG(name), STR_ARG(gfx));
        snprintf(id, sizeof(id), "%04x", card->device);
        json_t *ids = json_object_get(place, key);
        if (!ids) {
            ids = json_array();
            json_object_set_new(place, key, ids);
            json_array_append_new(
                rows, json_pack("[o, o, O]", report_json_str(name), report_json_str(gfx), ids));
        }
        const char *last = json_string_value(json_array_get(ids, json_array_size(ids) - 1));
        if (!last || strcmp(last, id) != 0)
            json_array_append_new(ids, json_string(id));
    }
    json_decref(place);
    return rows;
}

void support_page(const struct gfx_tables *t, json_t *targets)
{
    static const char mark[] = "@DATA@";
    json_t *noise = json_array();
    for (size_t i = 0; gfx_noise_words[i]; i++)
        json_array_append_new(noise, json_string(gfx_noise_words[i]));
    json_t *data = json_pack("{s:s, s:O, s:o, s:o}", "version", GFXB_VERSION, "targets", targets,
                             "cards", support_cards(t), "noise", noise);
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
    const char *place = strstr(cli_data_support, mark);
    if (!text || !place)
        xalloc_die();
    fwrite(cli_data_support, 1, (size_t)(place - cli_data_support), stdout);
    for (const char *c = text; *c; c++) { /* a table of the user's may hold a tag */
        if (*c == '<')
            fputs("\\u003c", stdout);
        else
            putchar(*c);
    }
    place += strlen(mark);
    fwrite(place, 1, (size_t)(cli_data_support_end - place), stdout);
    free(text);
    json_decref(data);
}
