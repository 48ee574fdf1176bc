/* cmd_inspect.c - what an archive, a package or an ELF file really holds. */
#include "cli/cli.h"
#include "package/package.h"

enum inspect_option { INSPECT_NO_DIGEST };

static const struct cli_option inspect_options_table[] = {
    [INSPECT_NO_DIGEST] = {"no-digest", NULL, "do not read the whole file for its sha256"},
    {NULL, NULL, NULL},
};

static json_t *inspect_names(const struct names *names)
{
    json_t *array = json_array();
    for (size_t i = 0; i < names->n; i++)
        json_array_append_new(array, report_json_text(names->name[i]));
    return array;
}

static json_t *inspect_code(const struct inspection *found)
{
    json_t *array = json_array();
    for (size_t i = 0; i < found->n_code; i++) {
        const struct inspection_code *code = &found->code[i];
        json_t *object = json_object();
        json_object_set_new(object, "path", report_json_text(code->path));
        json_object_set_new(object, "gfx", inspect_names(&code->gfx));
        json_object_set_new(object, "plain", json_integer(code->plain));
        json_object_set_new(object, "compressed", json_integer(code->compressed));
        json_object_set_new(object, "kpack", json_integer(code->kpack));
        json_array_append_new(array, object);
    }
    return array;
}

static void inspect_remedy(const struct machine *m, const char *soname, char *ret_text, size_t size)
{
    package_library_remedy(soname, str_from(m->host.distro_id), str_from(m->host.distro_like),
                           ret_text, size);
}

static json_t *inspect_remedies(const struct machine *m, const struct names *missing)
{
    json_t *object = json_object();
    for (size_t i = 0; i < missing->n; i++) {
        char command[256];
        inspect_remedy(m, missing->name[i], command, sizeof(command));
        json_object_set_new(object, missing->name[i], report_json_text(command));
    }
    return object;
}

/* "has_PROGRAM" for every kind of engine. */
static void inspect_add_engines(json_t *object, const struct inspection *found)
{
    struct gfx_engine engine;
    for (unsigned i = 0; i < INSPECT_ENGINES_MAX && gfx_engine_at(i, &engine); i++) {
        char name[64];
        snprintf(name, sizeof(name), "has_%.*s", STR_ARG(engine.program));
        for (char *c = name; *c; c++)
            *c = *c == '-' ? '_' : *c;
        json_object_set_new(object, name, json_boolean(found->engines >> i & 1));
    }
}

/* missing NULL: it is not known. */
static int inspect_print_json(const struct machine *m, const char *path,
                              const struct inspection *found, const struct names *missing,
                              struct gfxb_error *err)
{
    json_t *o = json_object();
    json_object_set_new(o, "path", report_json_text(path));
    json_object_set_new(o, "kind", json_string(inspect_kind_name(found->kind)));
    json_object_set_new(o, "sha256", report_json_text(found->sha256));
    json_object_set_new(o, "size", json_integer((json_int_t)found->size));
    json_object_set_new(o, "gfx", inspect_names(&found->gfx));
    json_object_set_new(o, "bundles",
                        json_pack("{s:i, s:i, s:i}", "plain", (int)found->bundles.plain,
                                  "compressed", (int)found->bundles.compressed, "kpack",
                                  (int)found->bundles.kpack));
    json_object_set_new(o, "blas",
                        json_pack("{s:o, s:o}", "rocblas", inspect_names(&found->blas.rocblas),
                                  "hipblaslt", inspect_names(&found->blas.hipblaslt)));
    json_object_set_new(o, "glibc", report_json_text(found->glibc));
    json_object_set_new(o, "glibcxx", report_json_text(found->glibcxx));
    json_object_set_new(o, "own_libc", json_boolean(found->own_libc));
    json_object_set_new(o, "needed", inspect_names(&found->needed));
    json_object_set_new(o, "unresolved", missing ? inspect_names(missing) : json_null());
    json_object_set_new(o, "remedies", missing ? inspect_remedies(m, missing) : json_object());
    json_object_set_new(o, "executables", inspect_names(&found->executables));
    inspect_add_engines(o, found);
    json_object_set_new(o, "code", inspect_code(found));
    json_object_set_new(o, "problems", inspect_names(&found->problems));
    return cli_print_json(o, err);
}

static void inspect_print_names(const char *label, const struct names *names)
{
    struct buf CLEAN_BUF line = BUF_INIT(1 << 20);
    for (size_t i = 0; i < names->n; i++)
        buf_addf(&line, " %s", names->name[i]);
    if (names->n)
        text_print(stdout, "%-12s" TEXT_HANG "%s", label, buf_text(&line));
}

static void inspect_print_missing(const struct machine *m, const struct names *missing)
{
    for (size_t i = 0; missing && i < missing->n; i++) {
        char command[256];
        inspect_remedy(m, missing->name[i], command, sizeof(command));
        text_print(stdout, "missing      " TEXT_HANG "%s%s%s", missing->name[i],
                   command[0] ? ": " : "", command);
    }
}

static void inspect_print_text(const struct machine *m, const char *path,
                               const struct inspection *found, const struct names *missing)
{
    char size[32];
    report_bytes_text(found->size, size, sizeof(size));
    text_print(stdout, "%s: %s, %s", path, inspect_kind_name(found->kind), size);
    if (found->sha256[0])
        text_print(stdout, "sha256       %s", found->sha256);
    inspect_print_names("gfx", &found->gfx);
    if (found->n_code || found->bundles.kpack)
        text_print(stdout, "bundles      %u plain, %u compressed, %u split off",
                   found->bundles.plain, found->bundles.compressed, found->bundles.kpack);
    inspect_print_names("rocBLAS", &found->blas.rocblas);
    inspect_print_names("hipBLASLt", &found->blas.hipblaslt);
    if (found->glibc[0])
        text_print(stdout, "glibc        %s%s", found->glibc,
                   found->own_libc ? " (brings its own)" : "");
    if (found->glibcxx[0])
        text_print(stdout, "GLIBCXX      %s", found->glibcxx);
    inspect_print_names("needs", &found->needed);
    inspect_print_missing(m, missing);
    inspect_print_names("programs", &found->executables);
    for (size_t i = 0; i < found->problems.n; i++)
        text_print(stdout, "problem      " TEXT_HANG "%s", found->problems.name[i]);
}

static int inspect_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    const char *path = args->word[0];
    const struct root *root;
    const struct gfx_tables *tables;
    const struct machine *machine;
    struct inspection found;
    struct names missing = {0};
    int r = cli_root(cli, &root, err);
    if (r == 0)
        r = cli_tables(cli, &tables, err);
    if (r == 0)
        r = cli_machine(cli, &machine, err);
    if (r == 0)
        r = inspect_path(path, tables, !args->value[INSPECT_NO_DIGEST], &found, err);
    if (r < 0)
        return r;
    bool is_known = package_find_missing(root, path, &found, &missing);
    if (cli->json)
        r = inspect_print_json(machine, path, &found, is_known ? &missing : NULL, err);
    else
        inspect_print_text(machine, path, &found, is_known ? &missing : NULL);
    names_done(&missing);
    inspection_done(&found);
    return r;
}

const struct cli_command cli_command_inspect = {
    .name = "inspect",
    .words = "PATH",
    .min_words = 1,
    .max_words = 1,
    .summary = "what is really inside a package",
    .about = "Reads an archive (tar.gz, tar.zst, tar.xz, zip), a package directory or an ELF file "
             "and says which gfx targets it holds code for, which C library and other libraries it "
             "needs, what it can start, its size and its sha256. Nothing of it is run or "
             "installed.",
    .options = inspect_options_table,
    .run = inspect_run,
};
