/* compare.c - the drivers, and how a peer is read, judged, mended and judged again. */
#include "peer/private.h"

#include <ctype.h>

static const struct peer_driver *const drivers[] = {
    &peer_lemonade,
    &peer_rocm_cli,
    &peer_ollama,
    &peer_llamacpp_rocm,
};

enum { DRIVERS = sizeof(drivers) / sizeof(drivers[0]), VERSION_MAX = 64 };

void peer_mistake_done(struct peer_mistake *mistake)
{
    free(mistake->place);
    free(mistake->table);
    free(mistake->subjects);
    free(mistake->says);
    free(mistake->right);
    free(mistake->source);
}

void peer_result_done(struct peer_result *result)
{
    for (size_t i = 0; i < result->n; i++)
        peer_mistake_done(&result->mistake[i]);
    free(result->mistake);
    free(result->version);
    free(result->patch);
    *result = (struct peer_result){.n = 0};
}

void peer_set_version(struct peer *p, struct str version)
{
    if (version.n == 0)
        return;
    version.n = version.n < VERSION_MAX ? version.n : VERSION_MAX;
    free(p->result->version);
    p->result->version = xstr_dup(version);
    for (char *c = p->result->version; *c; c++)
        *c = (unsigned char)*c < 0x80 && (isalnum((unsigned char)*c) || strchr(".-+_~", *c)) ? *c
                                                                                             : '?';
}

/* A file of the checkout's .git, trimmed; empty: there is none. */
static struct str compare_git(const struct peer *p, struct str name, struct buf *ret)
{
    char *CLEAN_FREE path = xasprintf(".git/%.*s", STR_ARG(name));
    return fs_read_below(p->request->dir, path, ret->max, ret) < 0 ? STR_NONE
                                                                   : str_trim(buf_view(ret));
}

/* What git's packed references say of one: "COMMIT NAME" in a line of its own; empty: nothing. */
static struct str compare_packed(const struct peer *p, struct str name, struct buf *ret)
{
    struct str rest = compare_git(p, STR("packed-refs"), ret), line, commit;
    while (rest.n && str_cut(&rest, '\n', &line)) {
        if (str_cut(&line, ' ', &commit) && str_eq(line, name))
            return commit;
    }
    return STR_NONE;
}

void peer_set_commit(struct peer *p)
{
    struct buf CLEAN_BUF packed = BUF_INIT(PEER_TEXT_MAX);
    struct buf CLEAN_BUF head = BUF_INIT(4096), CLEAN_BUF commit = BUF_INIT(4096);
    struct str name = compare_git(p, STR("HEAD"), &head);
    size_t digits = 0;
    if (str_strip(&name, STR("ref: "))) {
        bool below = str_starts(name, STR("refs/"));
        struct str loose = below ? compare_git(p, name, &commit) : STR_NONE;
        name = below && !loose.n ? compare_packed(p, name, &packed) : loose;
    }
    while (digits < name.n && str_hex_digit(name.p[digits]) >= 0)
        digits++;
    if (digits == name.n && (digits == 40 || digits == 64)) /* SHA-1, SHA-256 */
        peer_set_version(p, name);
}

/* The function that reads what the request names; NULL with *err. */
static int (*compare_reader(const struct peer_request *request,
                            struct gfxb_error *err))(struct peer *)
{
    struct buf CLEAN_BUF names = BUF_INIT(400);
    if (request->file)
        return peer_mapping_read;
    for (size_t i = 0; i < DRIVERS; i++) {
        bool is = strcmp(drivers[i]->name, request->name) == 0;
        int (*read)(struct peer *) = request->url ? drivers[i]->read_url : drivers[i]->read_dir;
        if (is && read)
            return read;
        if (read)
            buf_addf(&names, "%s%s", names.n ? ", " : "", drivers[i]->name);
    }
    error_set(err, GFXB_E_USAGE, "%s of '%s' cannot be read; those of these can: %s",
              request->url ? "a server" : "the sources", request->name, buf_text(&names));
    return NULL;
}

/* The mended texts must have no mistake left. */
static int compare_again(const struct peer *p, int (*read)(struct peer *))
{
    struct peer_result result = {.n = 0};
    struct peer again = {
        .tables = p->tables,
        .rows = p->rows,
        .request = p->request,
        .result = &result,
        .before = p,
        .err = p->err,
    };
    int r = read(&again);
    if (r == 0 && result.n)
        r = error_set(p->err, GFXB_E_TABLE,
                      "no patch is written: it would leave %zu mistakes, the first in %s (%s: it "
                      "says %s, right is %s)",
                      result.n, result.mistake[0].place, result.mistake[0].subjects,
                      result.mistake[0].says, result.mistake[0].right);
    peer_texts_done(&again);
    peer_result_done(&result);
    return r;
}

static int compare_patch(struct peer *p, int (*read)(struct peer *))
{
    struct buf CLEAN_BUF patch = BUF_INIT(64 << 20);
    for (size_t i = 0; i < p->n_texts; i++) {
        if (p->text[i]->overlap)
            return error_set(p->err, GFXB_E_TABLE,
                             "no patch is written: two changes of %s are at the same place",
                             p->text[i]->path);
    }
    int r = p->result->n && !peer_stopped(p) ? compare_again(p, read) : 0;
    if (r < 0 || p->result->n == 0)
        return r;
    for (size_t i = 0; i < p->n_texts && !peer_stopped(p); i++)
        peer_diff(p->text[i], &patch);
    p->result->patch = buf_take(&patch);
    return p->result->patch ? 0 : error_set(p->err, ENOMEM, "out of memory");
}

static bool compare_cancelled(const struct peer *p)
{
    return p->request->cancel && *p->request->cancel;
}

bool peer_stopped(const struct peer *p)
{
    return p->result->n >= PEER_MISTAKES_MAX || compare_cancelled(p);
}

int peer_compare(const struct gfx_tables *tables, const struct peer_request *request, bool patch,
                 struct peer_result *ret_result, struct gfxb_error *err)
{
    struct peer p = {
        .tables = tables,
        .request = request,
        .result = ret_result,
        .err = err,
    };
    *ret_result = (struct peer_result){.version = xstrdup("")};
    int (*read)(struct peer *) = compare_reader(request, err);
    int r = read ? peer_rows_read(tables, &p.rows, err) : -GFXB_E_USAGE;
    if (r == 0)
        r = read(&p);
    if (r == 0 && patch)
        r = compare_patch(&p, read);
    if (compare_cancelled(&p))
        r = error_set(err, GFXB_E_INTERRUPTED, "interrupted");
    else if (peer_stopped(&p))
        r = error_set(err, GFXB_E_TABLE, "there are more than %d mistakes", PEER_MISTAKES_MAX);
    peer_texts_done(&p);
    peer_rows_done(&p.rows);
    return r;
}
