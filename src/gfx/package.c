/* package.c - data/packages.tsv: engine packages and ROCm runtimes. */
#include "gfx/rows.h"

enum { ID, GFX = 6, UNCONFIRMED, RUNTIME, SHA256 = 12 }; /* columns with rules of their own */

static const char *const backend_words[] = {"rocm", "vulkan", "cpu", "runtime", NULL};
static const char *const arch_words[] = {"x86_64", "aarch64", NULL};
static const char *const runtime_words[] = {"", "bundled", "therock", "system", "none", NULL};
static const char *const yes_words[] = {"no", "yes", NULL};

#define COLUMN(title, field, member) GFX_COLUMN(title, field, struct gfx_package, member)

static const struct gfx_column package_columns[] = {
    {COLUMN("id", REQUIRED, id)},
    {COLUMN("provider", REQUIRED, provider)},
    {COLUMN("engine", TEXT, engine)},
    {COLUMN("backend", ONE_OF, backend), .words = backend_words},
    {COLUMN("os", WORD, os), .words = gfx_os_words},
    {COLUMN("arch", ONE_OF, arch), .words = arch_words},
    {COLUMN("gfx", TARGETS, gfx)},
    {COLUMN("unconfirmed", TARGETS, unconfirmed)},
    {COLUMN("runtime", OTHER, runtime)},
    {COLUMN("glibc", TEXT, glibc)},
    {COLUMN("locate", REQUIRED, locate)},
    {COLUMN("tag", TEXT, tag)},
    {COLUMN("sha256", TEXT, sha256)},
    {COLUMN("size", NUMBER, size), .max = UINT64_MAX},
    {COLUMN("installable", WORD, installable), .words = yes_words},
    {COLUMN("notes", TEXT, notes)},
    {COLUMN("source", REQUIRED, source)},
    {.title = NULL},
};

static int package_check_id(const struct gfx_cursor *at, struct gfxb_error *err)
{
    struct str id = at->row->field[ID];
    const struct gfx_package *package = (const void *)at->rows->p;
    for (size_t i = 0; i + 1 < at->rows->n; i++) {
        if (str_eq(package[i].id, id))
            return GFX_BAD(at, ID, "'%.*s' is listed twice, first in line %u", STR_ARG(id),
                           package[i].line);
    }
    return 0;
}

/* What runs on ROCm holds code for gfx targets, and nothing else does. */
static int package_check_gfx(const struct gfx_cursor *at, const struct gfx_package *package,
                             struct gfxb_error *err)
{
    if (str_is(package->backend, "rocm") || str_is(package->backend, "runtime"))
        return gfx_field_required(at, GFX, err);
    if (package->gfx.n || package->unconfirmed.n)
        return GFX_BAD(at, GFX, "a package of this backend holds no code for gfx targets");
    return 0;
}

/* 64 lower-case hexadecimal digits, or empty. */
static int package_check_digest(const struct gfx_cursor *at, struct gfxb_error *err)
{
    struct str digest = at->row->field[SHA256];
    bool good = digest.n == 0 || digest.n == 64;
    for (size_t i = 0; good && i < digest.n; i++) {
        char c = digest.p[i];
        good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    }
    if (good)
        return 0;
    return GFX_BAD(at, SHA256, "'%.*s' is not 64 lower-case hexadecimal digits", STR_ARG(digest));
}

/* "therock", or "therock 10.0 7.14" with the releases that the package runs on, best first. */
static int package_read_runtime(const struct gfx_cursor *at, struct gfx_package *package,
                                struct gfxb_error *err)
{
    struct str rest = at->row->field[RUNTIME], word = STR_NONE;
    unsigned i = 0;
    (void)str_word(&rest, &word);
    while (runtime_words[i] && !str_is(word, runtime_words[i]))
        i++;
    package->runtime = word;
    package->releases = str_trim(rest);
    if (runtime_words[i] && (!package->releases.n || str_is(word, "therock")))
        return 0;
    return GFX_BAD(at, RUNTIME, "'%.*s' is none of: bundled, therock (with releases), system, none",
                   STR_ARG(at->row->field[RUNTIME]));
}

static int package_check(const struct gfx_cursor *at, void *item, struct gfxb_error *err)
{
    struct gfx_package *package = item;
    package->line = at->row->line;
    return package_check_id(at, err) ?: package_read_runtime(at, package, err)
               ?: package_check_gfx(at, package, err) ?: package_check_digest(at, err);
}

const struct gfx_reader gfx_package_reader = {package_columns, sizeof(struct gfx_package), 4096,
                                              package_check};

const struct gfx_package *gfx_package_find(const struct gfx_tables *t, const char *id)
{
    for (size_t i = 0; i < t->n_packages; i++) {
        if (str_is(t->package[i].id, id))
            return &t->package[i];
    }
    return NULL;
}

/* Is this runtime of the release ("10.0" of "10.0.0"), or is any wanted? */
static bool runtime_is_of(const struct gfx_package *runtime, struct str release)
{
    return release.n == 0 || (str_starts(runtime->tag, release) &&
                              (runtime->tag.n == release.n || runtime->tag.p[release.n] == '.'));
}

const struct gfx_package *gfx_runtime_find(const struct gfx_tables *t,
                                           const struct gfx_package *engine, struct str gfx,
                                           bool installable)
{
    struct str releases = engine->releases, release = STR_NONE;
    while (str_word(&releases, &release) || engine->releases.n == 0) {
        for (size_t i = 0; i < t->n_packages; i++) {
            const struct gfx_package *row = &t->package[i];
            if (str_is(row->backend, "runtime") && row->os == engine->os &&
                str_eq(row->arch, engine->arch) && (row->installable || !installable) &&
                runtime_is_of(row, release) &&
                (str_list_has(row->gfx, gfx) ||
                 (!installable && str_list_has(row->unconfirmed, gfx))))
                return row;
        }
        if (engine->releases.n == 0)
            break;
    }
    return NULL;
}
