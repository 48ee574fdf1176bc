/* remedy.c - what a person types or writes, and where: on this distribution, for this boot loader,
 * in or outside of this kind of container. Rows of data/distros.tsv, boot.tsv, containers.tsv,
 * access.tsv and virtual.tsv. */
#include "plan/access.h"

#include <stdio.h>
#include <string.h>

extern const char plan_data_access[], plan_data_access_end[];
extern const char plan_data_containers[], plan_data_containers_end[];
extern const char plan_data_distros[], plan_data_distros_end[];

enum { DISTRO_ID, DISTRO_INSTALL, DISTRO_THINGS }; /* then one each of enum plan_thing */
enum { CONTAINER_NAME, CONTAINER_LEAVE, CONTAINER_PASS, CONTAINER_JOIN, CONTAINER_HOST };
enum {
    ACCESS_NODE,
    ACCESS_ERRNO,
    ACCESS_MODE,
    ACCESS_OWNER,
    ACCESS_PLACE,
    ACCESS_CODE,
    ACCESS_CAUSE,
    ACCESS_REMEDY
};

#define GROUP_NOBODY 65534 /* what the kernel shows for a group outside of the user namespace */
#define MODE_OTHERS  06    /* everybody may read and write */

static void remedy_open_distros(struct table *t)
{
    TABLE_OPEN(t, "data/distros.tsv", plan_data_distros, "id", "install", "amd", "intel", "nvidia",
               "loader", "source");
}

static void remedy_open_containers(struct table *t)
{
    TABLE_OPEN(t, "data/containers.tsv", plan_data_containers, "name", "leave", "pass", "join",
               "host", "source");
}

static void remedy_open_access(struct table *t)
{
    TABLE_OPEN(t, "data/access.tsv", plan_data_access, "node", "errno", "mode", "owner", "place",
               "code", "cause", "remedy", "source");
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

static bool remedy_find_boot(const struct machine *m, struct table_row *ret_row)
{
    struct table t;
    machine_boot_open(&t);
    while (m->host.boot[0] && table_next(&t, ret_row, NULL) == 1) {
        if (str_is(ret_row->field[BOOT_ID], m->host.boot))
            return true;
    }
    return false;
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

struct remedy_word {
    const char *mark, *value;
};

/* The text with values for its marks, of which the first that fits counts. */
static void remedy_fill(struct buf *ret, struct str text, const struct remedy_word *word, size_t n)
{
    while (text.n) {
        size_t i = 0;
        while (i < n && !str_starts(text, str_from(word[i].mark)))
            i++;
        size_t taken = i < n ? strlen(word[i].mark) : 1;
        if (i < n)
            buf_add_text(ret, word[i].value);
        else
            buf_add_char(ret, text.p[0]);
        text = (struct str){text.p + taken, text.n - taken};
    }
}

/* ---- distributions and boot loaders ---- */

bool plan_way_to_install(const struct machine *m, enum plan_thing thing, struct buf *ret)
{
    struct str leave = plan_container_leave(m);
    struct table_row row, boot;
    if (leave.n) {
        buf_add_str(ret, leave);
        return true;
    }
    if (!remedy_find_distro(m, &row) || !row.field[DISTRO_THINGS + thing].n)
        return false;
    bool own = !m->host.container[0] && remedy_find_boot(m, &boot) && boot.field[BOOT_INSTALL].n;
    buf_add_str(ret, own ? boot.field[BOOT_INSTALL] : row.field[DISTRO_INSTALL]);
    buf_add_text(ret, " ");
    buf_add_str(ret, row.field[DISTRO_THINGS + thing]);
    return true;
}

/* ARG is the argument; what stands in braces is there once for each word of it. */
static void remedy_fill_argument(struct buf *ret, struct str text, const char *argument)
{
    struct str outside, inside = STR_NONE;
    while (str_cut(&text, '{', &outside)) {
        struct str words = str_from(argument), word;
        remedy_fill(ret, outside, &(struct remedy_word){"ARG", argument}, 1);
        if (!text.p || !str_cut(&text, '}', &inside))
            return;
        while (str_word(&words, &word)) {
            char one[200];
            snprintf(one, sizeof(one), "%.*s", STR_ARG(word));
            remedy_fill(ret, inside, &(struct remedy_word){"ARG", one}, 1);
        }
    }
}

void plan_way_to_boot(const struct machine *m, const char *argument, bool away, struct buf *ret)
{
    struct table_row row;
    const char *verb = away ? "take" : "add", *to = away ? "off" : "to";
    if (m->host.wsl) {
        buf_addf(ret,
                 "%s %s %s kernelCommandLine below [wsl2] in %%UserProfile%%\\.wslconfig, then run "
                 "wsl --shutdown in Windows",
                 verb, argument, to);
    } else if (remedy_find_container(m, &row)) {
        buf_addf(ret,
                 "%.*s, whose kernel it is: %s %s %s the kernel command line there and restart",
                 STR_ARG(row.field[CONTAINER_HOST]), verb, argument, to);
    } else if (remedy_find_boot(m, &row)) {
        struct str text = row.field[away ? BOOT_REMOVE : BOOT_ADD];
        remedy_fill_argument(ret, text, argument);
        buf_add_text(ret, str_starts(text, STR("#")) ? "; then restart" : "  # then restart");
    } else {
        buf_addf(ret,
                 "%s %s %s the kernel command line, in the boot loader's configuration, and "
                 "restart",
                 verb, argument, to);
    }
}

/* ---- containers ---- */

struct str plan_container_leave(const struct machine *m)
{
    struct table_row row;
    return remedy_find_container(m, &row) ? row.field[CONTAINER_LEAVE] : STR_NONE;
}

void plan_container_host(const struct machine *m, struct buf *ret)
{
    struct table_row row;
    if (!remedy_find_container(m, &row))
        return;
    buf_add_str(ret, row.field[CONTAINER_HOST]);
    buf_add_text(ret, ": ");
}

void plan_container_pass(const struct machine *m, const char *node, struct buf *ret)
{
    struct table_row row;
    if (!remedy_find_container(m, &row))
        return;
    buf_add_str(ret, row.field[CONTAINER_LEAVE]);
    remedy_fill(ret, row.field[CONTAINER_PASS], &(struct remedy_word){"NODE", node}, 1);
}

static void container_join(const struct machine *m, const char *node, unsigned gid, struct buf *ret)
{
    struct buf CLEAN_BUF group = BUF_INIT(200);
    struct table_row row;
    if (!remedy_find_container(m, &row))
        return;
    if (gid && gid != GROUP_NOBODY)
        buf_addf(&group, "%u", gid);
    else
        buf_addf(&group, "N (stat -c %%g %s prints it on the host)", node);
    const struct remedy_word words[] = {{"NODE", node}, {"GID", buf_text(&group)}};
    buf_add_str(ret, row.field[CONTAINER_LEAVE]);
    remedy_fill(ret, row.field[CONTAINER_JOIN], words, 2);
}

bool plan_virtual_gpu(const struct machine *m, struct str *ret_words)
{
    struct table t;
    struct table_row row;
    machine_virtual_open(&t);
    while (m->host.vm[0] && table_next(&t, &row, NULL) == 1) {
        if (!str_is(row.field[VIRTUAL_NAME], m->host.vm))
            continue;
        *ret_words = row.field[VIRTUAL_GPU];
        return true;
    }
    return false;
}

/* ---- device nodes that do not open ---- */

static bool access_is_owner(struct str owner, const struct plan_device_node *node)
{
    const char *is = node->gid == 0              ? "root"
                     : node->gid == GROUP_NOBODY ? "nobody"
                     : node->group[0]            ? "named"
                                                 : "unnamed";
    return str_is(owner, "*") || str_is(owner, is);
}

static bool access_is_place(struct str place, const struct machine *m)
{
    if (str_is(place, "*"))
        return true;
    if (str_is(place, "container"))
        return m->host.container[0] != '\0';
    if (str_is(place, "confined"))
        return plan_container_leave(m).n > 0;
    return m->host.container[0] && str_starts(str_from(m->host.container), place);
}

static bool access_fits(const struct table_row *row, const struct machine *m,
                        const struct plan_device_node *node)
{
    const struct str *field = row->field;
    const char *name = strerrorname_np(node->code);
    bool kfd = strcmp(node->path, "/dev/kfd") == 0;
    bool open = (node->mode & MODE_OTHERS) == MODE_OTHERS;
    return (str_is(field[ACCESS_NODE], "*") ||
            str_is(field[ACCESS_NODE], kfd ? "kfd" : "render")) &&
           (str_is(field[ACCESS_ERRNO], "*") || str_is(field[ACCESS_ERRNO], name ? name : "")) &&
           (str_is(field[ACCESS_MODE], "*") ||
            str_is(field[ACCESS_MODE], open ? "open" : "closed")) &&
           access_is_owner(field[ACCESS_OWNER], node) && access_is_place(field[ACCESS_PLACE], m);
}

enum plan_access plan_remedy_access(const struct machine *m, const struct plan_device_node *node,
                                    struct buf *ret_cause, struct buf *ret_remedy)
{
    struct buf CLEAN_BUF pass = BUF_INIT(600), join = BUF_INIT(600), udev = BUF_INIT(600);
    char gid[16], mode[16], both[64];
    struct table t;
    struct table_row row;
    remedy_open_access(&t);
    do { /* the last row fits everything */
        if (table_next(&t, &row, NULL) != 1)
            return PLAN_ACCESS_MISSING;
    } while (!access_fits(&row, m, node));
    plan_container_pass(m, node->path, &pass);
    container_join(m, node->path, node->gid, &join);
    buf_addf(&udev,
             "echo 'KERNEL==\"%s\", GROUP=\"render\", MODE=\"0660\"' | sudo tee -a "
             "/etc/udev/rules.d/70-gpu.rules && sudo udevadm trigger && sudo usermod -aG render "
             "\"$USER\"  # then log in again",
             strcmp(node->path, "/dev/kfd") == 0 ? "kfd" : "renderD*");
    snprintf(gid, sizeof(gid), "%u", node->gid);
    snprintf(mode, sizeof(mode), "%04o", node->mode);
    snprintf(both, sizeof(both), node->group[0] ? "%u (%s)" : "%u", node->gid, node->group);
    const struct remedy_word words[] = {
        {"NODE", node->path},
        {"GIDNAME", both},
        {"GID", gid},
        {"GROUP", node->group[0] ? node->group : "unknown"},
        {"MODE", mode},
        {"CONTAINER", m->host.container},
        {"ERROR", error_errno_text(node->code)},
        {"PASS", buf_text(&pass)},
        {"JOIN", buf_text(&join)},
        {"UDEV", buf_text(&udev)},
    };
    const size_t n = sizeof(words) / sizeof(words[0]);
    remedy_fill(ret_cause, row.field[ACCESS_CAUSE], words, n);
    remedy_fill(ret_remedy, row.field[ACCESS_REMEDY], words, n);
    return str_is(row.field[ACCESS_CODE], "absent")   ? PLAN_ACCESS_ABSENT
           : str_is(row.field[ACCESS_CODE], "denied") ? PLAN_ACCESS_DENIED
                                                      : PLAN_ACCESS_MISSING;
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
    static void (*const tables[])(struct table * t) = {
        remedy_open_distros, remedy_open_containers, remedy_open_access,
        machine_boot_open,   machine_virtual_open,   machine_releases_open,
    };
    int result = 0;
    for (size_t i = 0; result == 0 && i < sizeof(tables) / sizeof(tables[0]); i++) {
        struct table t;
        tables[i](&t);
        result = remedy_check(&t, err);
    }
    return result;
}
