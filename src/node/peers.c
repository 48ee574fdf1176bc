/* peers.c - the paired nodes, in nodes.json of the config directory. */
#include "node/node_private.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

enum { PEERS_FILE_MAX = 1 << 17 };

static int peers_parse(const char *path, struct str bytes, struct node_peers *ret_peers,
                       struct gfxb_error *err)
{
    json_error_t problem = {.text = "this is no list of nodes"};
    json_t *file = json_loadb(bytes.p, bytes.n, JSON_REJECT_DUPLICATES, &problem), *item;
    json_t *list = json_object_get(file, "nodes");
    struct node_peers *peers = xcalloc(1, sizeof(*peers));
    size_t i;
    int result = json_is_array(list) ? 0 : error_set(err, EINVAL, "%s: %s", path, problem.text);
    if (result == 0 && json_array_size(list) > NODE_PEERS_MAX)
        result = error_set(err, E2BIG, "%s: more than %d nodes", path, NODE_PEERS_MAX);
    json_array_foreach(list, i, item)
    {
        if (result == 0 && node_peer_read(item, &peers->peer[peers->n++]) < 0)
            result =
                error_set(err, EINVAL, "%s: entry %zu is no node: name, address, port, key and day",
                          path, i + 1);
    }
    if (result == 0)
        *ret_peers = *peers;
    json_decref(file);
    free(peers);
    return result;
}

int node_peers_read(const char *config_dir, struct node_peers *ret_peers, struct gfxb_error *err)
{
    struct buf CLEAN_BUF text = BUF_INIT(PEERS_FILE_MAX + 1);
    char *CLEAN_FREE path = config_dir ? xfs_join(config_dir, "nodes.json") : NULL;
    int result = path ? fs_read(path, PEERS_FILE_MAX, &text) : -ENOENT;
    if (result == -ENOENT) {
        ret_peers->n = 0;
        return 0;
    }
    return result < 0 ? fs_error(err, -result, "read", path)
                      : peers_parse(path, buf_view(&text), ret_peers, err);
}

static int peers_write(const char *config_dir, const struct node_peers *peers,
                       struct gfxb_error *err)
{
    char *CLEAN_FREE path = xfs_join(config_dir, "nodes.json");
    json_t *list = json_array();
    for (size_t i = 0; i < peers->n; i++)
        json_array_append_new(list, node_peer_write(&peers->peer[i]));
    json_t *file = json_pack("{s:i, s:o}", "schema", 1, "nodes", list);
    char *CLEAN_FREE text = json_dumps(file, JSON_INDENT(2));
    json_decref(file);
    if (!text)
        xalloc_die();
    fs_sweep_writes(path);
    return fs_write(path, text, strlen(text), 0600, err);
}

const struct node_peer *node_peers_find(const struct node_peers *peers, const char *name_or_key)
{
    for (size_t i = 0; i < peers->n; i++) {
        const struct node_peer *peer = &peers->peer[i];
        if (strcmp(peer->name, name_or_key) == 0 || strcmp(peer->key, name_or_key) == 0)
            return peer;
    }
    return NULL;
}

/* Names differ, also from every key. */
static void peers_name(const struct node_peers *peers, struct node_peer *peer)
{
    char wanted[NODE_NAME];
    const struct node_peer *other;
    memcpy(wanted, peer->name, sizeof(wanted));
    for (unsigned i = 2;
         (other = node_peers_find(peers, peer->name)) && strcmp(other->key, peer->key) != 0; i++)
        snprintf(peer->name, sizeof(peer->name), "%.*s-%u", NODE_NAME - 5, wanted, i);
}

int node_peers_put(const char *config_dir, struct node_peer *peer, struct gfxb_error *err)
{
    int CLEAN_CLOSE lock = -1;
    struct node_peers *CLEAN_FREE peers = xcalloc(1, sizeof(*peers));
    time_t now = time(NULL);
    struct tm tm;
    int result = node_lock(config_dir, &lock, err);
    if (result == 0)
        result = node_peers_read(config_dir, peers, err);
    if (result < 0)
        return result;
    peers_name(peers, peer);
    struct node_peer *old = (struct node_peer *)node_peers_find(peers, peer->key);
    if (!old && peers->n == NODE_PEERS_MAX)
        return error_set(err, E2BIG, "there are %d nodes already: remove one first",
                         NODE_PEERS_MAX);
    if (!old)
        old = &peers->peer[peers->n++];
    else if (!peer->address[0]) {
        memcpy(peer->address, old->address, sizeof(peer->address));
        peer->port = old->port;
    }
    if (gmtime_r(&now, &tm))
        strftime(peer->day, sizeof(peer->day), "%Y-%m-%d", &tm);
    *old = *peer;
    return peers_write(config_dir, peers, err);
}

int node_peers_remove(const char *config_dir, const char *name, struct gfxb_error *err)
{
    int CLEAN_CLOSE lock = -1;
    struct node_peers *CLEAN_FREE peers = xcalloc(1, sizeof(*peers));
    int result = node_lock(config_dir, &lock, err);
    if (result == 0)
        result = node_peers_read(config_dir, peers, err);
    if (result < 0)
        return result;
    struct node_peer *peer = (struct node_peer *)node_peers_find(peers, name);
    if (!peer)
        return error_set(err, ENOENT, PEERS_NO_NAME, name);
    size_t after = --peers->n - (size_t)(peer - peers->peer);
    memmove(peer, peer + 1, after * sizeof(*peer));
    return peers_write(config_dir, peers, err);
}

int node_peer_set_address(struct node_peer *peer, const char *text, unsigned default_port,
                          struct gfxb_error *err)
{
    struct str all = str_from(text), host = all, port = STR_NONE;
    const char *colon = strchr(text, ':');
    const char *bracket = text[0] == '[' ? strchr(text, ']') : NULL;
    uint64_t number = default_port;
    bool ok = true, has_port = false;
    if (bracket) { /* [IPv6] or [IPv6]:PORT */
        host = (struct str){text + 1, (size_t)(bracket - text) - 1};
        port = str_skip(all, host.n + 2);
        has_port = str_strip(&port, STR(":"));
        ok = has_port || port.n == 0;
    } else if (colon && !strchr(colon + 1, ':')) { /* HOST:PORT; with more colons IPv6 */
        host.n = (size_t)(colon - text);
        port = str_skip(all, host.n + 1);
        has_port = true;
    }
    if (has_port)
        ok = ok && str_to_u64(port, 10, &number) == 0 && number > 0 && number <= 65535;
    for (size_t i = 0; i < host.n; i++)
        ok = ok && host.p[i] > 0x20 && host.p[i] < 0x7f && host.p[i] != '/' && host.p[i] != '[';
    if (!ok || host.n == 0 || host.n >= NODE_ADDRESS)
        return error_set(err, GFXB_E_USAGE,
                         "'%s' is no address: write HOST, HOST:PORT, an IPv6 address or "
                         "[IPv6]:PORT",
                         text);
    memset(peer->address, 0, sizeof(peer->address));
    memcpy(peer->address, host.p, host.n);
    peer->port = (unsigned)number;
    return 0;
}
