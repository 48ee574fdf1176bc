/* guard.c - who may ask: the names that the server answers to, web pages' origins, and keys. */
#include "http/private.h"

#include "base/digest.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>

void guard_init(struct guard *guard, const struct http_server_config *config)
{
    guard->keys = config->keys;
    guard->hosts = config->allowed_hosts;
    guard->origins = config->allowed_origins;
    if (gethostname(guard->own_name, sizeof(guard->own_name) - 1) < 0)
        guard->own_name[0] = '\0';
}

static bool guard_in_list(const char *const *list, struct str value)
{
    for (; list && *list; list++) {
        if (strcmp(*list, "*") == 0 || str_eq_nocase(value, str_from(*list)))
            return true;
    }
    return false;
}

/* "name:port", "[::1]:port" -> the name, without brackets. False when it is neither. */
static bool guard_split(struct str host, struct str *ret_name, bool *ret_v6)
{
    uint64_t port;
    *ret_v6 = str_strip(&host, STR("["));
    const char *end = host.n ? memchr(host.p, *ret_v6 ? ']' : ':', host.n) : NULL;
    if (*ret_v6 && !end)
        return false;
    *ret_name = (struct str){host.p, end ? (size_t)(end - host.p) : host.n};
    host = str_skip(host, ret_name->n + *ret_v6);
    return ret_name->n > 0 && (!host.n || (str_strip(&host, STR(":")) &&
                                           str_to_u64(host, 10, &port) == 0 && port <= 65535));
}

static bool guard_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq_nocase(str_skip(s, s.n - suffix.n), suffix);
}

static bool guard_is_address(struct str name, bool v6)
{
    char text[64];
    unsigned char address[16];
    if (name.n >= sizeof(text))
        return false;
    memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    return inet_pton(v6 ? AF_INET6 : AF_INET, text, address) == 1;
}

static bool guard_is_localhost(struct str name)
{
    return str_eq_nocase(name, STR("localhost")) ||
           (name.p[0] != '.' && guard_ends(name, STR(".localhost")));
}

bool guard_host_ok(const struct guard *guard, struct str host)
{
    struct str name;
    bool v6;
    if (!guard_split(host, &name, &v6))
        return false;
    return guard_is_address(name, v6) ||
           (!v6 && (guard_is_localhost(name) || guard_in_list(guard->hosts, name) ||
                    (guard->own_name[0] && str_eq_nocase(name, str_from(guard->own_name)))));
}

static bool guard_is_loopback(struct str name, bool v6)
{
    return v6 ? str_is(name, "::1")
              : str_starts(name, STR("127.")) && guard_is_address(name, false);
}

/* A program's own pages: app, tauri, vscode-webview, file (as Electron sends it; a browser says
 * "null" of a page that was opened from a file). An extension of a browser is no such program. */
static bool guard_is_program(struct str scheme)
{
    return http_is_token(scheme) && !guard_ends(scheme, STR("extension"));
}

bool guard_origin_ok(const struct guard *guard, struct str origin)
{
    const char *mark = origin.n ? memmem(origin.p, origin.n, "://", 3) : NULL;
    if (guard_in_list(guard->origins, origin))
        return true;
    if (!mark || mark == origin.p)
        return false; /* "null" too: a sandboxed page, or a file's */
    struct str scheme = {origin.p, (size_t)(mark - origin.p)};
    struct str host = str_skip(origin, scheme.n + 3), name;
    bool v6;
    if (!str_eq_nocase(scheme, STR("http")) && !str_eq_nocase(scheme, STR("https")) &&
        !str_eq_nocase(scheme, STR("ws")) && !str_eq_nocase(scheme, STR("wss")))
        return guard_is_program(scheme);
    return guard_split(host, &name, &v6) &&
           (guard_is_loopback(name, v6) || (!v6 && guard_is_localhost(name)));
}

bool guard_has_keys(const struct guard *guard)
{
    return guard->keys && guard->keys[0];
}

/* Digests are compared, so that the time tells neither a key's beginning nor its length. */
static bool guard_is_key(const struct guard *guard, struct str given)
{
    char ours[DIGEST_HEX], theirs[DIGEST_HEX];
    bool found = false;
    if (!given.n || digest_bytes(given.p, given.n, theirs) < 0)
        return false;
    for (const char *const *key = guard->keys; *key; key++)
        found |= digest_bytes(*key, strlen(*key), ours) == 0 &&
                 CRYPTO_memcmp(ours, theirs, sizeof(ours)) == 0;
    return found;
}

bool guard_key_ok(const struct guard *guard, struct str authorization, struct str api_key)
{
    struct str bearer = STR_NONE;
    if (authorization.n > 7 && str_eq_nocase((struct str){authorization.p, 7}, STR("Bearer ")))
        bearer = str_trim(str_skip(authorization, 7));
    return !guard_has_keys(guard) || guard_is_key(guard, bearer) || guard_is_key(guard, api_key);
}

bool guard_type_is_json(struct str type)
{
    struct str kind;
    return str_cut(&type, ';', &kind) && str_eq_nocase(str_trim(kind), STR("application/json"));
}
