/* Models in a Hugging Face hub cache: those of each repository's main first. */
#include "model/cache/caches.h"
#include "model/cache/hub_cache.h"
#include "model/cache/stock.h"

#include <errno.h>
#include <sys/stat.h>

#define HUB_DEPTH 4 /* of directories in a repository */

struct caches_hub {
    enum model_origin origin;
    char *repository; /* owned */
    char main[HUB_COMMIT];
    bool is_main; /* this round takes the main one alone, the next all others */
};

/* Lemonade's mark that files in here are still being written; links into blobs are complete. */
static bool caches_is_unfinished(const char *snapshot)
{
    struct stat st;
    char *CLEAN_FREE path = fs_join(snapshot, ".download_manifest.json");
    return path && lstat(path, &st) == 0;
}

static int caches_visit_snapshot(struct caches *c, const char *dir, const char *name, void *context)
{
    const struct caches_hub *hub = context;
    if ((strcmp(name, hub->main) == 0) != hub->is_main)
        return 0;
    size_t before = c->n;
    struct cache_group group = {.origin = hub->origin,
                                .top = dir,
                                .repository = hub->repository,
                                .revision = name,
                                .depth = HUB_DEPTH,
                                .skip_real = caches_is_unfinished(dir)};
    int r = caches_add_group(c, &group);
    for (size_t i = before; r == 0 && i < c->n; i++)
        c->item[i].ours = stock_is_ours(c->env, c->item[i].path);
    return r;
}

static int caches_visit_repository(struct caches *c, const char *dir, const char *name,
                                   void *context)
{
    struct caches_hub hub = {.origin = *(enum model_origin *)context};
    struct buf CLEAN_BUF commit = BUF_INIT(65536);
    char *CLEAN_FREE main = fs_join(dir, "refs/main");
    char *CLEAN_FREE snapshots = fs_join(dir, "snapshots");
    hub.repository = hub_cache_repository(name);
    if (!hub.repository)
        return 0;
    int r = main && snapshots ? 0 : -ENOMEM;
    if (r == 0 && fs_read(main, HUB_COMMIT, &commit) == 0 &&
        hub_is_hex(buf_text(&commit), HUB_COMMIT - 1))
        memcpy(hub.main, buf_text(&commit), HUB_COMMIT);
    for (int round = 0; r == 0 && round < 2; round++) {
        hub.is_main = round == 0;
        r = caches_each_dir(c, snapshots, caches_visit_snapshot, &hub);
    }
    free(hub.repository);
    return r;
}

int caches_scan_hub(struct caches *c, const char *hub, enum model_origin origin)
{
    return hub ? caches_each_dir(c, hub, caches_visit_repository, &origin) : 0;
}
