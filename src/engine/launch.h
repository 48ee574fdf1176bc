/* launch.h - the exact argv, environment and working directory of an engine. Private to engine/. */
#ifndef ENGINE_LAUNCH_H
#define ENGINE_LAUNCH_H

#include "engine/sandbox_private.h"

#define LAUNCH_WORDS_MAX 256

/* NULL-terminated owned strings. */
struct launch_words {
    char *word[LAUNCH_WORDS_MAX + 1];
    size_t n;
    bool failed; /* out of memory, or more words than fit */
};

void launch_words_done(struct launch_words *words);

/* The package's llama-server as argv, with its own loader where it has one, and the variables that
 * this needs. -EINVAL: a directory whose name the dynamic loader cannot take. */
int launch_program(const struct package *package, struct launch_words *argv,
                   struct launch_words *env);

struct launch {
    struct launch_words argv, env;
    char *cwd; /* owned */
    struct sandbox sandbox;
    bool confined; /* the child enters the sandbox */
};

/* What only a serving engine has. NULL for a mere `--list-devices`. */
struct launch_serving {
    const char *socket;
    const char *key;
};

/*
 * scratch: a directory of this run for temporary files, also the shader cache when the spec has
 * none. An argument or variable of the choice that gfxbridge sets itself is refused with -EINVAL.
 * Makes the spec's cache_dir and the sandbox, the same one for every use of the spec.
 */
int launch_new(const struct engine_spec *spec, const char *scratch,
               const struct launch_serving *serving, struct launch *ret_launch,
               struct gfxb_error *err);
void launch_done(struct launch *launch);

/* The --device text that this spec leads to; NULL: none is given. */
const char *launch_device(const struct engine_spec *spec);

/* A child_spec that runs it; lends from it. */
struct child_spec launch_child(struct launch *launch);

#endif
