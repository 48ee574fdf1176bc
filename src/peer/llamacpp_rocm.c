/* llamacpp_rocm.c - the sources of lemonade-sdk/llamacpp-rocm: the targets that each of its
 * families is built for, on each system. */
#include "peer/private.h"

#define WORKFLOW ".github/workflows/build-llamacpp-rocm.yml"

enum { FAMILIES_MAX = 64 };

/* One system's map from families to targets. */
struct map {
    enum gfx_os os;
    const char *test, *behind; /* around a family's name, where the map asks for it */
    const char *set, *end;     /* around its targets */
    struct str family[FAMILIES_MAX], targets[FAMILIES_MAX]; /* "gfx1200;gfx1201" */
    size_t n;
};

/* The next "BEFORE...AFTER" of a line; rest goes behind it. False: there is none. */
static bool map_between(struct str *rest, const char *before, const char *after, struct str *ret)
{
    const char *from = rest->n ? memmem(rest->p, rest->n, before, strlen(before)) : NULL;
    if (!from)
        return false;
    from += strlen(before);
    struct str behind = {from, (size_t)(rest->p + rest->n - from)};
    const char *to = memmem(behind.p, behind.n, after, strlen(after));
    if (!to)
        return false;
    *ret = (struct str){from, (size_t)(to - from)};
    *rest = str_skip(behind, ret->n + strlen(after));
    return true;
}

/* Every family's test is followed by what sets its targets, in the next line. */
static int read_map(struct peer *p, const struct peer_text *text, struct map *map)
{
    struct str rest = buf_view(&text->bytes), family;
    while (map_between(&rest, map->test, map->behind, &family)) {
        struct str line, targets;
        str_cut(&rest, '\n', &line);
        str_cut(&rest, '\n', &line);
        if (!map_between(&line, map->set, map->end, &targets) || map->n == FAMILIES_MAX)
            return peer_unknown(p, text, family.p, "no targets are set for this family");
        map->family[map->n] = family;
        map->targets[map->n++] = targets;
    }
    if (map->n == 0)
        return peer_unknown(p, text, text->bytes.p, "it maps no family to targets");
    return 0;
}

/* The families that are built: the last list in quotes of the line GFX_TARGETS. */
static int read_families(struct peer *p, const struct peer_text *text, struct str *ret)
{
    struct str rest = buf_view(&text->bytes), line, list;
    if (!map_between(&rest, "\n  GFX_TARGETS: ", "\n", &line))
        return peer_unknown(p, text, text->bytes.p, "it has no GFX_TARGETS");
    *ret = STR_NONE;
    while (map_between(&line, "'", "'", &list))
        *ret = list;
    return ret->n ? 0 : peer_unknown(p, text, line.p, "GFX_TARGETS has no list in quotes");
}

static bool list_has(struct str list, char separator, struct str word)
{
    struct str piece;
    while (str_cut(&list, separator, &piece)) {
        if (str_eq(piece, word))
            return true;
    }
    return false;
}

/* "gfx103X" of the asset "llama-*-ubuntu-rocm-gfx103X-x64.zip". */
static struct str row_family(const struct peer_row *row)
{
    struct str asset = str_from(row->asset), family = STR_NONE;
    map_between(&asset, "-rocm-", "-x64", &family);
    return family;
}

/* The targets that the map sets for a family; one that it leaves out is built for itself. */
static struct str map_targets(const struct map *map, struct str family, size_t *ret_index)
{
    for (*ret_index = 0; *ret_index < map->n; (*ret_index)++) {
        if (str_eq(map->family[*ret_index], family))
            return map->targets[*ret_index];
    }
    return family;
}

static void mend_targets(struct peer *p, struct peer_text *text, struct str targets, struct str gfx)
{
    struct buf by = BUF_INIT(4096);
    struct str word;
    while (str_word(&gfx, &word))
        buf_addf(&by, "%s%.*s", by.n ? ";" : "", STR_ARG(word));
    peer_mend(text, targets, &by);
}

/* One published file against the map; *missing collects families that are not built. */
static void judge_row(struct peer *p, struct peer_text *text, const struct map *map,
                      const struct peer_row *row, struct str families)
{
    size_t index;
    struct str family = row_family(row), targets = map_targets(map, family, &index);
    bool built = list_has(families, ',', family), wrong = false;
    struct peer_claim claim = {
        .path = text->path,
        .line = peer_line(text, built && index < map->n ? targets.p : families.p),
        .table = STR("rocm"),
        .os = map->os,
        .asset = str_from(row->asset),
    };
    for (size_t i = 0; i < p->tables->n_targets; i++) {
        const struct gfx_target *target = &p->tables->target[i];
        if (peer_is_chip(target))
            wrong |=
                peer_judge_package(p, &claim, target, built && list_has(targets, ';', target->gfx));
    }
    if (wrong && index < map->n)
        mend_targets(p, text, targets, row->gfx);
}

/* Families that are built without a published file, and published ones that are not built. */
static void judge_families(struct peer *p, struct peer_text *text, struct str families)
{
    struct buf by = BUF_INIT(4096);
    struct str rest = families, family;
    bool wrong = false;
    while (!peer_stopped(p) && str_cut(&rest, ',', &family)) {
        bool published = false;
        for (size_t i = 0; i < p->rows.n && !published; i++)
            published = str_is(p->rows.row[i].peer, p->request->name) &&
                        str_eq(row_family(&p->rows.row[i]), family);
        wrong |= !published;
        p->result->claims++;
        p->result->right += published;
        if (published)
            buf_addf(&by, "%s%.*s", by.n ? "," : "", STR_ARG(family));
        else
            peer_mistake(p,
                         &(struct peer_claim){.path = text->path,
                                              .line = peer_line(text, families.p),
                                              .table = STR("rocm")},
                         family, "built", "no file of this family is published", "peers.tsv");
    }
    for (size_t i = 0; i < p->rows.n; i++) {
        const struct peer_row *row = &p->rows.row[i];
        family = str_is(row->peer, p->request->name) ? row_family(row) : STR_NONE;
        if (family.n == 0 || list_has(families, ',', family) ||
            list_has(buf_view(&by), ',', family))
            continue;
        buf_addf(&by, "%s%.*s", by.n ? "," : "", STR_ARG(family));
        wrong = true;
    }
    if (wrong)
        peer_mend(text, families, &by);
    else
        buf_done(&by);
}

static int llamacpp_rocm_read(struct peer *p)
{
    struct map map[] = {
        {GFX_WINDOWS, "\"%current_target%\"==\"", "\" (", "set \"mapped_target=", "\"", .n = 0},
        {GFX_LINUX, "if [ \"$current_target\" = \"", "\" ]; then", "mapped_target=\"", "\"",
         .n = 0},
    };
    struct str families = STR_NONE;
    struct peer_text *text = peer_open(p, WORKFLOW);
    int r = text ? read_families(p, text, &families) : -p->err->code;
    if (r == 0)
        judge_families(p, text, families);
    for (size_t m = 0; r == 0 && m < sizeof(map) / sizeof(map[0]); m++) {
        r = read_map(p, text, &map[m]);
        for (size_t f = 0; r == 0 && f <= map[m].n; f++) {
            for (size_t i = 0; i < p->rows.n; i++) {
                const struct peer_row *row = &p->rows.row[i];
                size_t index;
                if (!str_is(row->peer, p->request->name) || row->os != (int)map[m].os)
                    continue;
                map_targets(&map[m], row_family(row), &index);
                if (index == f)
                    judge_row(p, text, &map[m], row, families);
            }
        }
    }
    peer_set_commit(p);
    return r;
}

const struct peer_driver peer_llamacpp_rocm = {"llamacpp-rocm", NULL, llamacpp_rocm_read};
