/* package.c - data/packages.tsv: engine packages and ROCm runtimes. */
#include "gfx/rows.h"

enum {
    ID,
    PROVIDER,
    ENGINE,
    BACKEND,
    OS,
    ARCH,
    GFX,
    UNCONFIRMED,
    RUNTIME,
    GLIBC,
    LOCATE,
    TAG,
    SHA256,
    SIZE,
    INSTALLABLE,
    NOTES,
    SOURCE
};

static const char *const package_columns[] = {
    "id",     "provider",    "engine",      "backend", "os",     "arch",
    "gfx",    "unconfirmed", "runtime",     "glibc",   "locate", "tag",
    "sha256", "size",        "installable", "notes",   "source", NULL,
};

static const char *const backend_words[] = {"rocm", "vulkan", "cpu", "runtime", NULL};
static const char *const arch_words[] = {"x86_64", "aarch64", NULL};
static const char *const runtime_words[] = {"", "bundled", "therock", "system", "none", NULL};
static const char *const yes_words[] = {"no", "yes", NULL};

static int package_check_id(const struct gfx_cursor *at, struct gfxb_error *err)
{
    struct str id = at->row->field[ID];
    int result = gfx_field_required(at, ID, err);
    if (result < 0)
        return result;
    const struct gfx_package *package = (const void *)at->rows->p;
    for (size_t i = 0; i + 1 < at->rows->n; i++) {
        if (str_eq(package[i].id, id))
            return table_error(at->table, at->row, ID, err,
                               "'%.*s' is listed twice, first in line %u", STR_ARG(id),
                               package[i].line);
    }
    return 0;
}

static int package_check_gfx(const struct gfx_cursor *at, bool needs_gfx, struct gfxb_error *err)
{
    int result = gfx_field_targets(at, GFX, err);
    if (result == 0)
        result = gfx_field_targets(at, UNCONFIRMED, err);
    if (result < 0)
        return result;
    const struct str *field = at->row->field;
    if (needs_gfx)
        return gfx_field_required(at, GFX, err);
    if (field[GFX].n || field[UNCONFIRMED].n)
        return table_error(at->table, at->row, GFX, err,
                           "a package of this backend holds no code for gfx targets");
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
    return table_error(at->table, at->row, SHA256, err,
                       "'%.*s' is not 64 lower-case hexadecimal digits", STR_ARG(digest));
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
    return table_error(at->table, at->row, RUNTIME, err,
                       "'%.*s' is none of: bundled, therock (with releases), system, none",
                       STR_ARG(at->row->field[RUNTIME]));
}

static int package_read_words(const struct gfx_cursor *at, struct gfx_package *package,
                              unsigned *ret_backend, struct gfxb_error *err)
{
    unsigned os, arch, installable;
    int result = gfx_field_word(at, BACKEND, backend_words, ret_backend, err);
    if (result == 0)
        result = gfx_field_word(at, OS, gfx_os_words, &os, err);
    if (result == 0)
        result = gfx_field_word(at, ARCH, arch_words, &arch, err);
    if (result == 0)
        result = package_read_runtime(at, package, err);
    if (result == 0)
        result = gfx_field_word(at, INSTALLABLE, yes_words, &installable, err);
    if (result < 0)
        return result;
    package->os = (enum gfx_os)os;
    package->installable = installable != 0;
    return 0;
}

static int package_check_rest(const struct gfx_cursor *at, unsigned backend, uint64_t *ret_size,
                              struct gfxb_error *err)
{
    bool needs_gfx = strcmp(backend_words[backend], "rocm") == 0 ||
                     strcmp(backend_words[backend], "runtime") == 0;
    int result = package_check_gfx(at, needs_gfx, err);
    if (result == 0)
        result = gfx_field_required(at, PROVIDER, err);
    if (result == 0)
        result = gfx_field_required(at, LOCATE, err);
    if (result == 0)
        result = package_check_digest(at, err);
    if (result == 0 && at->row->field[SIZE].n)
        result = gfx_field_number(at, SIZE, 10, UINT64_MAX, ret_size, err);
    if (result == 0)
        result = gfx_field_required(at, SOURCE, err);
    return result;
}

static int package_read(const struct gfx_cursor *at, void *item, struct gfxb_error *err)
{
    struct gfx_package *package = item;
    const struct str *field = at->row->field;
    unsigned backend;
    uint64_t size = 0;
    int result = package_check_id(at, err);
    if (result == 0)
        result = package_read_words(at, package, &backend, err);
    if (result == 0)
        result = package_check_rest(at, backend, &size, err);
    if (result < 0)
        return result;
    package->id = field[ID];
    package->provider = field[PROVIDER];
    package->engine = field[ENGINE];
    package->backend = field[BACKEND];
    package->arch = field[ARCH];
    package->gfx = field[GFX];
    package->unconfirmed = field[UNCONFIRMED];
    package->glibc = field[GLIBC];
    package->locate = field[LOCATE];
    package->tag = field[TAG];
    package->sha256 = field[SHA256];
    package->size = size;
    package->notes = field[NOTES];
    package->source = field[SOURCE];
    package->line = at->row->line;
    return 0;
}

const struct gfx_reader gfx_package_reader = {package_columns, sizeof(struct gfx_package), 4096,
                                              package_read};

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
