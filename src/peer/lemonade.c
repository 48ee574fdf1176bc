/* lemonade.c - the sources of Lemonade: recipes' lists of targets, and rules for cards' names. */
#include "peer/private.h"

#include <fcntl.h>

#define LEMONADE_BACKENDS "src/cpp/include/lemon/backends"

#define NAMES_FUNCTION "std::string identify_rocm_arch_from_name(const std::string& device_name) {"

enum { LIST_MAX = 64, GATES_MAX = 32, CHANNELS_MAX = 4, BACKENDS_MAX = 1024 };

struct list {
    struct str item[LIST_MAX];
    size_t n;
};

/* A target, or family, that fewer systems or channels have than the row. Empty: all of them. */
struct gate {
    struct str gfx;
    struct list os, channels;
};

/* The row {"rocm", {os...}, {{"amd_gpu", {gfx...}}}, "summary", {gates...}} of a recipe. */
struct recipe {
    struct str name;
    struct list os, gfx, channels; /* gfx empty: every target */
    struct gate gate[GATES_MAX];
    size_t n_gates;
    struct str gfx_bytes;   /* "{...}" of gfx */
    struct str gates_bytes; /* "{...}" of the gates; n 0: none, p is where they would stand */
};

/* ---- reading ---- */

/* "{" "a", "b" "}" */
static int read_list(struct peer_scan *s, struct list *ret)
{
    ret->n = 0;
    int r = peer_scan_need(s, "{", NULL);
    while (r == 0 && !peer_scan_take(s, "}")) {
        struct str item = STR_NONE;
        r = peer_scan_need(s, "$", &item);
        if (r == 0 && ret->n == LIST_MAX)
            r = peer_unknown(s->p, s->text, item.p, "the list is too long");
        if (r == 0)
            ret->item[ret->n++] = item;
        if (r == 0 && !peer_scan_take(s, ",") && !peer_scan_is(s, "}"))
            r = peer_scan_need(s, "}", NULL);
    }
    return r;
}

/* {{"gfx950", {{"linux"}, {"stable"}}}, ...} */
static int read_gates(struct peer_scan *s, struct recipe *recipe)
{
    const char *from = s->token.p;
    int r = peer_scan_need(s, "{", NULL);
    while (r == 0 && !peer_scan_take(s, "}")) {
        struct gate *gate = &recipe->gate[recipe->n_gates];
        if (recipe->n_gates++ == GATES_MAX)
            return peer_unknown(s->p, s->text, s->token.p, "there are too many gates");
        r = peer_scan_need(s, "{ $ , {", &gate->gfx);
        if (r == 0)
            r = read_list(s, &gate->os);
        if (r == 0)
            r = peer_scan_need(s, ",", NULL);
        if (r == 0)
            r = read_list(s, &gate->channels);
        if (r == 0)
            r = peer_scan_need(s, "} }", NULL);
        (void)(r == 0 && peer_scan_take(s, ","));
    }
    recipe->gates_bytes = (struct str){from, (size_t)(s->end - from)};
    return r;
}

/* One row of the support list; *ret_rocm: it is the ROCm one, and in *recipe. */
static int read_row(struct peer_scan *s, struct recipe *recipe, bool *ret_rocm)
{
    struct str backend, device;
    struct list os, gfx;
    int r = peer_scan_need(s, "{ $ ,", &backend);
    if (r == 0)
        r = read_list(s, &os);
    if (r == 0)
        r = peer_scan_need(s, ", {", NULL);
    *ret_rocm = false;
    while (r == 0 && !peer_scan_take(s, "}")) {
        r = peer_scan_need(s, "{ $ ,", &device);
        const char *from = s->token.p;
        if (r == 0)
            r = read_list(s, &gfx);
        if (r == 0 && str_is(backend, "rocm") && str_is(device, "amd_gpu")) {
            *ret_rocm = true;
            recipe->os = os;
            recipe->gfx = gfx;
            recipe->gfx_bytes = (struct str){from, (size_t)(s->end - from)};
        }
        if (r == 0)
            r = peer_scan_need(s, "}", NULL);
        (void)(r == 0 && peer_scan_take(s, ","));
    }
    if (r == 0 && peer_scan_take(s, ","))
        r = peer_scan_need(s, "$", NULL);
    if (r == 0 && *ret_rocm)
        recipe->gates_bytes = (struct str){s->end, 0};
    if (r == 0 && peer_scan_take(s, ",")) {
        struct recipe other = {.n_gates = 0};
        r = read_gates(s, *ret_rocm ? recipe : &other);
    }
    if (r == 0)
        r = peer_scan_need(s, "}", NULL);
    (void)(r == 0 && peer_scan_take(s, ","));
    return r;
}

/* *ret_rocm: this recipe has a row for ROCm. */
static int read_recipe(struct peer *p, const struct peer_text *text, struct recipe *ret,
                       bool *ret_rocm)
{
    struct peer_scan s;
    *ret = (struct recipe){.n_gates = 0};
    *ret_rocm = false;
    int r = peer_scan_find(&s, p, text, "/*recipe*/");
    if (r == 0)
        r = peer_scan_need(&s, "$", &ret->name);
    if (r == 0)
        r = peer_scan_find(&s, p, text, "/*support*/");
    if (r == 0)
        r = peer_scan_need(&s, "{", NULL);
    while (r == 0 && !peer_scan_take(&s, "}")) {
        bool rocm;
        struct recipe row = *ret;
        r = read_row(&s, &row, &rocm);
        if (r == 0 && rocm) {
            *ret = row;
            *ret_rocm = true;
        }
    }
    if (r == 0 && *ret_rocm)
        r = peer_scan_find(&s, p, text, "/*rocm_channels*/");
    if (r == 0 && *ret_rocm)
        r = read_list(&s, &ret->channels);
    if (r == 0 && ret->channels.n > CHANNELS_MAX)
        r = peer_unknown(p, text, text->bytes.p, "it has too many ROCm channels");
    return r;
}

/* ---- judging ---- */

static bool list_has(const struct list *list, struct str gfx)
{
    for (size_t i = 0; i < list->n; i++) {
        if (peer_is_family_of(list->item[i], gfx))
            return true;
    }
    return list->n == 0;
}

/* The program's own rule: an exact gate first, then one of its family. */
static bool recipe_allows(const struct recipe *r, struct str gfx, struct str os, struct str channel)
{
    const struct gate *gate = NULL;
    for (size_t i = 0; i < r->n_gates; i++) {
        bool exact = str_eq(r->gate[i].gfx, gfx);
        if (exact || (!gate && peer_is_family_of(r->gate[i].gfx, gfx)))
            gate = &r->gate[i];
        if (exact)
            break;
    }
    return list_has(&r->gfx, gfx) &&
           (!gate ||
            (list_has(&gate->os, os) && (channel.n == 0 || list_has(&gate->channels, channel))));
}

/* What should be said of one target: right[os][channel]. */
struct matrix {
    bool right[LIST_MAX][CHANNELS_MAX];
    bool any, all;
};

/* Judges one target in every system and channel of the row; returns the number of mistakes. */
static size_t judge_target(struct peer *p, const struct peer_text *text,
                           const struct recipe *recipe, const struct gfx_target *target,
                           struct matrix *ret)
{
    size_t mistakes = 0;
    *ret = (struct matrix){.all = true};
    for (size_t o = 0; o < recipe->os.n; o++) {
        for (size_t c = 0; c < (recipe->channels.n ? recipe->channels.n : 1); c++) {
            struct str os = recipe->os.item[o];
            struct str channel = recipe->channels.n ? recipe->channels.item[c] : STR_NONE;
            bool says = recipe_allows(recipe, target->gfx, os, channel);
            /* A single channel has no name in the backend's. */
            char *CLEAN_FREE table = xasprintf(
                "%.*s:rocm%s%.*s", STR_ARG(recipe->name), recipe->channels.n > 1 ? "-" : "",
                recipe->channels.n > 1 ? (int)channel.n : 0, channel.p ? channel.p : "");
            struct peer_claim claim = {
                .path = text->path,
                .line = peer_line(text, recipe->gfx_bytes.p),
                .table = str_from(table),
                .os = str_is(os, "windows") ? GFX_WINDOWS : GFX_LINUX,
            };
            bool wrong = peer_judge_package(p, &claim, target, says);
            mistakes += wrong;
            ret->right[o][c] = says != wrong;
            ret->any |= ret->right[o][c];
            ret->all &= ret->right[o][c];
        }
    }
    return mistakes;
}

/* ---- mending ---- */

/* Names of a list that are right for a target; all of them: "{}". */
static void mend_names(const struct list *list, const bool *right, struct buf *by)
{
    bool all = true, first = true;
    for (size_t i = 0; i < list->n; i++)
        all &= right[i];
    buf_add_char(by, '{');
    for (size_t i = 0; i < list->n && !all; i++) {
        if (right[i])
            buf_addf(by, "%s\"%.*s\"", first ? "" : ", ", STR_ARG(list->item[i]));
        first &= !right[i];
    }
    buf_add_char(by, '}');
}

/* The systems that have the target at all, and the channels that every one of these has. */
static void mend_gate(const struct recipe *recipe, struct str gfx, const struct matrix *m,
                      struct buf *by)
{
    bool os[LIST_MAX] = {false}, channel[CHANNELS_MAX];
    memset(channel, true, sizeof(channel));
    for (size_t o = 0; o < recipe->os.n; o++) {
        for (size_t c = 0; c < recipe->channels.n || c == 0; c++)
            os[o] |= m->right[o][c];
        for (size_t c = 0; c < recipe->channels.n && os[o]; c++)
            channel[c] &= m->right[o][c];
    }
    buf_addf(by, "%s{\"%.*s\", {/*os*/ ", by->n > 1 ? ",\n          " : "", STR_ARG(gfx));
    mend_names(&recipe->os, os, by);
    buf_add_text(by, ", /*channels*/ ");
    mend_names(&recipe->channels, channel, by);
    buf_add_text(by, "}}");
}

/* An exact list for all that is right somewhere, with a gate where it is not right everywhere. */
static void judge_recipe(struct peer *p, struct peer_text *text, const struct recipe *recipe)
{
    struct buf list = BUF_INIT(1 << 16), gates = BUF_INIT(1 << 16);
    size_t mistakes = 0;
    buf_add_char(&list, '{');
    buf_add_char(&gates, '{');
    for (size_t i = 0; i < p->tables->n_targets; i++) {
        const struct gfx_target *target = &p->tables->target[i];
        struct matrix m;
        if (!peer_is_chip(target))
            continue;
        mistakes += judge_target(p, text, recipe, target, &m);
        if (m.any)
            buf_addf(&list, "%s\"%.*s\"", list.n > 1 ? ", " : "", STR_ARG(target->gfx));
        if (m.any && !m.all)
            mend_gate(recipe, target->gfx, &m, &gates);
    }
    if (mistakes) {
        bool none = gates.n == 1;
        buf_add_char(&list, '}');
        buf_add_char(&gates, '}');
        peer_mend(text, recipe->gfx_bytes, &list);
        if (recipe->gates_bytes.n || !none) {
            struct buf by = BUF_INIT(1 << 16);
            buf_addf(&by, "%s%s", recipe->gates_bytes.n ? "" : ",\n         ", buf_text(&gates));
            peer_mend(text, recipe->gates_bytes, &by);
        }
    }
    buf_done(&list);
    buf_done(&gates);
}

/* ---- names ---- */

static void write_name_rule(const struct peer_rule *rule, struct buf *ret)
{
    buf_add_text(ret, "if (");
    for (size_t i = 0; i < rule->n; i++)
        buf_addf(ret, "%sdevice_lower.find(\"%.*s\") != std::string::npos",
                 i ? " ||\n        " : "", STR_ARG(rule->literal[i]));
    buf_addf(ret, ") {\n        return \"%.*s\";\n    }", STR_ARG(rule->gfx));
}

/* if (X.find("a") != std::string::npos || ...) { return "gfx"; }; one with == and && is a guard. */
static int read_name_rule(struct peer_scan *s, struct peer_rules *rules)
{
    struct peer_rule rule = {.line = peer_line(s->text, s->end)};
    bool guard = false;
    int r;
    do {
        if (rule.n == sizeof(rule.literal) / sizeof(rule.literal[0]))
            return peer_unknown(s->p, s->text, s->end, "a rule has too many names");
        r = peer_scan_need(s, "device_lower . find ( $ )", &rule.literal[rule.n++]);
        guard |= r == 0 && peer_scan_is(s, "=");
        if (r == 0)
            r = peer_scan_need(
                s, guard ? "= = std : : string : : npos" : "! = std : : string : : npos", NULL);
    } while (r == 0 && peer_scan_take(s, guard ? "&" : "|") &&
             (r = peer_scan_need(s, guard ? "&" : "|", NULL)) == 0);
    if (r == 0)
        r = peer_scan_need(s, ") { return $ ; }", &rule.gfx);
    if (guard && rules->n + rules->guard.n)
        return peer_unknown(s->p, s->text, s->end,
                            "a second condition is before or among the rules");
    if (guard)
        rules->guard = rule;
    if (r == 0 && rules->n == PEER_RULES_MAX)
        r = peer_unknown(s->p, s->text, s->end, "there are too many rules");
    if (r < 0 || guard)
        return r;
    if (!array_grow(&rules->rule, rules->n, &rules->capacity, sizeof(rule)))
        xalloc_die();
    rules->rule[rules->n++] = rule;
    return 0;
}

static int read_name_rules(struct peer_scan *s, struct peer_rules *rules)
{
    int r = 0;
    for (unsigned depth = 1; r == 0 && depth;) {
        const char *from = s->token.p;
        if (!from)
            return peer_unknown(s->p, s->text, s->end, "the function does not end");
        depth += peer_scan_is(s, "{");
        depth -= peer_scan_is(s, "}");
        bool condition = peer_scan_take(s, "if") && peer_scan_take(s, "(");
        if (condition && peer_scan_is(s, "device_lower") && str_starts(s->rest, STR(".find("))) {
            size_t before = rules->n;
            r = read_name_rule(s, rules);
            if (rules->n > before)
                rules->rule[before].bytes = (struct str){from, (size_t)(s->end - from)};
        } else if (condition && rules->guard.n) {
            return peer_unknown(s->p, s->text, from, "a condition is no rule for a name");
        } else if (depth && !condition) {
            peer_scan_next(s);
        }
    }
    return r == 0 && rules->n == 0
               ? peer_unknown(s->p, s->text, s->end, "the function has no rule for a name")
               : r;
}

static int read_names(struct peer *p)
{
    struct peer_text *text = peer_open(p, "src/cpp/server/system_info.cpp");
    struct peer_rules rules = {.text = text, .between = "\n    ", .write = write_name_rule};
    struct peer_scan s;
    int r = text ? peer_scan_find(&s, p, text, NAMES_FUNCTION) : -p->err->code;
    if (r == 0)
        r = read_name_rules(&s, &rules);
    if (r == 0)
        peer_judge_names(p, text, &rules);
    free(rules.rule);
    return r;
}

/* ---- the checkout ---- */

static int read_backend(struct peer *p, const char *name)
{
    char *CLEAN_FREE path = xasprintf(LEMONADE_BACKENDS "/%s/%s.h", name, name);
    struct recipe recipe;
    bool rocm = false;
    struct peer_text *text = peer_open(p, path);
    /* A file beside the directories, or a directory without a recipe. */
    if (!text && (p->err->code == ENOENT || p->err->code == ENOTDIR))
        return 0;
    int r = text ? read_recipe(p, text, &recipe, &rocm) : -p->err->code;
    if (r == 0 && rocm)
        judge_recipe(p, text, &recipe);
    return r;
}

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_backends(struct peer *p)
{
    char *CLEAN_FREE path = xfs_join(p->request->dir, LEMONADE_BACKENDS);
    int fd = fs_open_below(p->request->dir, LEMONADE_BACKENDS, O_RDONLY | O_DIRECTORY);
    DIR *CLEAN_DIR dir = fd < 0 ? NULL : fdopendir(fd);
    char **names = NULL;
    size_t n = 0, capacity = 0;
    const char *name;
    int r = dir ? 0 : fs_error(p->err, fd < 0 ? -fd : errno, "read", path);
    while (n < BACKENDS_MAX && (name = fs_next(dir))) {
        if (!array_grow(&names, n, &capacity, sizeof(*names)))
            xalloc_die();
        names[n++] = xstrdup(name);
    }
    if (n)
        qsort(names, n, sizeof(*names), name_compare);
    for (size_t i = 0; i < n; i++) {
        r = r == 0 && !peer_stopped(p) ? read_backend(p, names[i]) : r;
        free(names[i]);
    }
    free(names);
    return r;
}

static int lemonade_read(struct peer *p)
{
    struct peer_scan s;
    struct peer_text *text = peer_open(p, "CMakeLists.txt");
    int r = text ? peer_scan_find(&s, p, text, "project(lemon_cpp VERSION ") : -p->err->code;
    if (r < 0)
        return r;
    struct str rest = {s.end, (size_t)(text->bytes.p + text->bytes.n - s.end)}, version,
               first = STR_NONE;
    str_cut(&rest, ')', &version);
    str_word(&version, &first);
    peer_set_version(p, first);
    r = read_backends(p);
    return r == 0 ? read_names(p) : r;
}

const struct peer_driver peer_lemonade = {"lemonade", peer_lemonade_ask, lemonade_read};
