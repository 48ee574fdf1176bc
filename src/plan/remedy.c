/* ways.c - what a person types or writes on this distribution, or for this kind of container: the
 * rows of data/distros.tsv and data/containers.tsv. */
#include "plan/plan.h"

extern const char plan_data_distros[], plan_data_distros_end[];
extern const char plan_data_containers[], plan_data_containers_end[];

enum { DISTRO_ID, DISTRO_INSTALL, DISTRO_VULKAN, DISTRO_LOADER, DISTRO_ARGUMENT, DISTRO_AWAY };
enum { CONTAINER_NAME, CONTAINER_LEAVE, CONTAINER_PASS, CONTAINER_JOIN };

#define GROUP_NOBODY 65534 /* what the kernel shows for a group outside of the user namespace */

static void remedy_open_distros(struct table *t)
{
    static const char *const columns[] = {"id",       "install", "vulkan", "loader",
                                          "argument", "away",    "source", NULL};
    size_t n = (size_t)(plan_data_distros_end - plan_data_distros);
    table_init(t, "data/distros.tsv", (struct str){plan_data_distros, n}, columns);
}

static void remedy_open_containers(struct table *t)
{
    static const char *const columns[] = {"name", "leave", "pass", "join", "source", NULL};
    size_t n = (size_t)(plan_data_containers_end - plan_data_containers);
    table_init(t, "data/containers.tsv", (struct str){plan_data_containers, n}, columns);
}

static bool remedy_find_distro(const struct machine *m, struct table_row *ret_row)
{
    struct table t;
    struct table_row row;
    bool found = false;
    remedy_open_distros(&t);
    while (table_next(&t, &row, NULL) == 1) {
        bool own = str_is(row.field[DISTRO_ID], m->host.distro_id);
        if (own || (!found && str_list_has(str_from(m->host.distro_like), row.field[DISTRO_ID]))) {
            *ret_row = row;
            found = true;
        }
        if (own)
            return true;
    }
    return found;
}

/* False outside of a container. */
static bool remedy_find_container(const struct machine *m, struct table_row *ret_row)
{
    struct table t;
    remedy_open_containers(&t);
    while (m->host.container[0] && table_next(&t, ret_row, NULL) == 1) {
        struct str name = ret_row->field[CONTAINER_NAME];
        if (str_is(name, "*") || str_starts(str_from(m->host.container), name))
            return true;
    }
    return false;
}

/* The text with value for its mark. */
static void remedy_fill(struct buf *ret, struct str text, const char *mark, const char *value)
{
    const size_t n = strlen(mark);
    const char *at = text.n ? memmem(text.p, text.n, mark, n) : NULL;
    size_t before = at ? (size_t)(at - text.p) : text.n;
    buf_add_str(ret, (struct str){text.p, before});
    if (!at)
        return;
    buf_add_text(ret, value);
    buf_add_str(ret, (struct str){at + n, text.n - before - n});
}

/* ---- distributions ---- */

bool plan_way_to_install(const struct machine *m, enum plan_thing thing, struct buf *ret)
{
    struct str leave = plan_container_leave(m);
    struct table_row row;
    if (leave.n) {
        buf_add_str(ret, leave);
        return true;
    }
    if (!remedy_find_distro(m, &row))
        return false;
    buf_add_str(ret, row.field[DISTRO_INSTALL]);
    buf_add_text(ret, " ");
    buf_add_str(ret, row.field[thing == PLAN_VULKAN_LOADER ? DISTRO_LOADER : DISTRO_VULKAN]);
    return true;
}

bool plan_way_to_boot(const struct machine *m, const char *argument, bool away, struct buf *ret)
{
    struct table_row row;
    bool found = remedy_find_distro(m, &row);
    if (found)
        remedy_fill(ret, row.field[away ? DISTRO_AWAY : DISTRO_ARGUMENT], "ARG", argument);
    return found;
}

/* ---- containers ---- */

struct str plan_container_leave(const struct machine *m)
{
    struct table_row row;
    return remedy_find_container(m, &row) ? row.field[CONTAINER_LEAVE] : STR_NONE;
}

void plan_container_pass(const struct machine *m, const char *node, struct buf *ret)
{
    struct table_row row;
    if (!remedy_find_container(m, &row))
        return;
    buf_add_str(ret, row.field[CONTAINER_LEAVE]);
    remedy_fill(ret, row.field[CONTAINER_PASS], "NODE", node);
}

void plan_container_join(const struct machine *m, const char *node, unsigned gid, struct buf *ret)
{
    struct buf CLEAN_BUF group = BUF_INIT(200);
    struct table_row row;
    if (!remedy_find_container(m, &row))
        return;
    if (gid && gid != GROUP_NOBODY)
        buf_addf(&group, "%u", gid);
    else
        buf_addf(&group, "N (stat -c %%g %s prints it on the host)", node);
    buf_add_str(ret, row.field[CONTAINER_LEAVE]);
    remedy_fill(ret, row.field[CONTAINER_JOIN], "GID", buf_text(&group));
}

/* ---- the tables ---- */

static int remedy_check(struct table *t, struct gfxb_error *err)
{
    struct table_row row;
    int more;
    while ((more = table_next(t, &row, err)) > 0) {
        if (row.field[row.n - 1].n == 0)
            return table_error(t, &row, row.n - 1, err, "a fact needs a source");
    }
    return more;
}

int plan_remedy_check(struct gfxb_error *err)
{
    struct table t;
    remedy_open_distros(&t);
    int result = remedy_check(&t, err);
    remedy_open_containers(&t);
    return result < 0 ? result : remedy_check(&t, err);
}
