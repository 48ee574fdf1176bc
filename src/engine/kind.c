/* kind.c - the kinds of engine that this program can run, and words for their command lines. */
#include "engine/engine_private.h"

#include <stdio.h>

static const struct engine_kind *const kinds[] = {
    &engine_kind_llama,
};

const struct engine_kind *engine_kind_find(struct str name)
{
    struct gfx_engine row;
    if (!gfx_engine_find(name, &row))
        return NULL;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (str_is(row.name, kinds[i]->name))
            return kinds[i];
    }
    return NULL;
}

const struct engine_kind *engine_kind_of_model(const struct model_known *known)
{
    const struct engine_kind *kind = known ? engine_kind_find(known->engine) : NULL;
    return kind ? kind : kinds[0];
}

const struct engine_kind *engine_kind_of(const char *name, struct gfxb_error *err)
{
    const struct engine_kind *kind = engine_kind_find(str_from(name));
    if (!kind)
        error_set(err, GFXB_E_NO_PACKAGE, "this gfxbridge cannot run an engine '%s'", name);
    return kind;
}

void engine_words_add(struct engine_words *words, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        xalloc_die();
    words->word = xreallocarray(words->word, words->n + 2, sizeof(words->word[0]));
    words->word[words->n++] = text;
    words->word[words->n] = NULL;
}

void engine_words_done(struct engine_words *words)
{
    for (size_t i = 0; i < words->n; i++)
        free(words->word[i]);
    free(words->word);
    *words = (struct engine_words){.word = NULL};
}
