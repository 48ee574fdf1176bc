/* cmd_inspect.c - what an archive, a package or an ELF file really holds. */
#include "cli/cli.h"

enum { INSPECT_NO_DIGEST };

static const struct cli_option inspect_options[] = {
    {"no-digest", NULL, "do not read the whole file for its sha256"},
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
        json_array_append_new(
            array, json_pack("{s:o, s:o, s:i, s:i, s:i}", "path", report_json_text(code->path),
                             "gfx", inspect_names(&code->gfx), "plain", (int)code->plain,
                             "compressed", (int)code->compressed, "kpack", (int)code->kpack));
    }
    return array;
}

/* How a person gets a library that is missing; "" when that is not known. */
struct inspect_remedy {
    char command[256];
};

static struct inspect_remedy inspect_remedy(const struct machine *m, const char *soname)
{
    struct inspect_remedy remedy;
    package_library_remedy(soname, str_from(m->host.distro_id), str_from(m->host.distro_like),
                           remedy.command, sizeof(remedy.command));
    return remedy;
}

static json_t *inspect_remedies(const struct machine *m, const struct names *missing)
{
    json_t *object = json_object();
    for (size_t i = 0; missing && i < missing->n; i++)
        json_object_set_new(object, missing->name[i],
                            report_json_text(inspect_remedy(m, missing->name[i]).command));
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
static json_t *inspect_json(const struct machine *m, const char *path,
                            const struct inspection *found, const struct names *missing)
{
    json_t *object = json_pack(
        "{s:o, s:s, s:o, s:I, s:o, s:{s:i, s:i, s:i}, s:{s:o, s:o}, s:o, s:o, s:b, s:o, s:o, s:o, "
        "s:o, s:o, s:o}",
        "path", report_json_text(path), "kind", inspect_kind_name(found->kind), "sha256",
        report_json_text(found->sha256), "size", (json_int_t)found->size, "gfx",
        inspect_names(&found->gfx), "bundles", "plain", (int)found->bundles.plain, "compressed",
        (int)found->bundles.compressed, "kpack", (int)found->bundles.kpack, "blas", "rocblas",
        inspect_names(&found->blas.rocblas), "hipblaslt", inspect_names(&found->blas.hipblaslt),
        "glibc", report_json_text(found->glibc), "glibcxx", report_json_text(found->glibcxx),
        "own_libc", (int)found->own_libc, "needed", inspect_names(&found->needed), "unresolved",
        missing ? inspect_names(missing) : json_null(), "remedies", inspect_remedies(m, missing),
        "executables", inspect_names(&found->executables), "code", inspect_code(found), "problems",
        inspect_names(&found->problems));
    inspect_add_engines(object, found);
    return object;
}

static void inspect_print_names(const char *label, const struct names *names)
{
    struct buf CLEAN_BUF line = BUF_INIT(1 << 20);
    for (size_t i = 0; i < names->n; i++)
        buf_addf(&line, " %s", names->name[i]);
    if (names->n)
        text_print(stdout, "%-12s" TEXT_HANG "%s", label, buf_text(&line));
}

static void inspect_text(const struct machine *m, const char *path, const struct inspection *found,
                         const struct names *missing)
{
    text_print(stdout, "%s: %s, %s", path, inspect_kind_name(found->kind),
               report_known_bytes(found->size).text);
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
    for (size_t i = 0; missing && i < missing->n; i++) {
        struct inspect_remedy remedy = inspect_remedy(m, missing->name[i]);
        text_print(stdout, "missing      " TEXT_HANG "%s%s%s", missing->name[i],
                   remedy.command[0] ? ": " : "", remedy.command);
    }
    inspect_print_names("programs", &found->executables);
    for (size_t i = 0; i < found->problems.n; i++)
        text_print(stdout, "problem      " TEXT_HANG "%s", found->problems.name[i]);
}

static int inspect_run(struct cli *cli, const struct cli_args *args)
{
    const char *path = args->word[0];
    const struct machine *machine = cli_machine(cli);
    struct inspection found;
    struct names missing = {0};
    cli_check(cli, inspect_path(path, cli_tables(cli), !args->value[INSPECT_NO_DIGEST], &found,
                                &cli->err));
    bool is_known = package_find_missing(cli_root(cli), path, &found, &missing);
    if (cli->json)
        cli_print_json(cli, inspect_json(machine, path, &found, is_known ? &missing : NULL));
    else
        inspect_text(machine, path, &found, is_known ? &missing : NULL);
    names_done(&missing);
    inspection_done(&found);
    return CLI_DONE;
}

const struct cli_command cli_command_inspect = {
    .name = "inspect",
    .words = "PATH",
    .summary = "what is really inside a package",
    .about = "Reads an archive (tar.gz, tar.zst, tar.xz, zip), a package directory or an ELF file "
             "and says which gfx targets it holds code for, which C library and other libraries it "
             "needs, what it can start, its size and its sha256. Nothing of it is run or "
             "installed.",
    .options = inspect_options,
    .run = inspect_run,
};
