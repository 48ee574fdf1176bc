/*
 * settings.h - how the server is to be: flags, then environment, then config.json, then defaults.
 * Private to cli/.
 */
#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

#include "api/api.h"
#include "cli/cli.h"

enum { SETTINGS_LIST_MAX = 32 };

/* What a struct serve_config lends from. */
struct settings {
    json_t *file; /* config.json; owned */
    const char *keys[SETTINGS_LIST_MAX + 1], *hosts[SETTINGS_LIST_MAX + 1];
    const char *origins[SETTINGS_LIST_MAX + 1], *pinned[SETTINGS_LIST_MAX + 1];
    struct serve_config serve;
};

/*
 * Reads $XDG_CONFIG_HOME/gfxbridge/config.json, where there is one, then GFXBRIDGE_HOST, _PORT and
 * _API_KEY. A member that is unknown or of the wrong kind is -EINVAL with its name.
 */
int settings_read(const struct cli *cli, struct settings *ret_settings, struct gfxb_error *err);
void settings_done(struct settings *settings);

/* "13305": 0 to 65535. name is what it is called in the sentence. */
int settings_port(const char *text, const char *name, unsigned *ret_port, struct gfxb_error *err);
/* "5m", "90s", "2h", "300" (seconds), "-1" (for ever), "0" (unload at once: kept for a second). */
int settings_duration(const char *text, int64_t *ret_seconds, struct gfxb_error *err);

#endif
