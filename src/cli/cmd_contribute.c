/* cmd_contribute.c - what this computer knows as one file, and the check of such a file. */
#include "cli/cli.h"

#include <ctype.h>
#include <math.h>
#include <pwd.h>
#include <time.h>

static const struct cli_option contribute_options[] = {
    CLI_REQUEST_OPTIONS,
    {"checkout", "DIR", "apply: the checkout of gfxbridge (default: this directory)"},
    {"about", "TEXT", "what the computer is: \"Mini computer with Radeon 8060S, 128 GB\""},
    {"yes", NULL, "save without asking"},
    {NULL, NULL, NULL},
};

/* A contribution while it is made. */
struct making {
    struct cli *cli;
    char name[64], source[96], day[16];
    char login[64], host[64];
    struct buf part[CONTRIBUTION_PARTS];
};

/* ---- words without personal data ---- */

/* A name as a whole word. Short ones, and root, are also words. */
static bool has_word(struct str line, const char *name)
{
    struct str word = str_from(name);
    for (struct str rest = line; word.n >= 3 && !str_is(word, "root") && rest.n >= word.n;
         rest = str_skip(rest, 1)) {
        bool begins = rest.p == line.p || !isalnum((unsigned char)rest.p[-1]);
        bool ends = rest.n == word.n || !isalnum((unsigned char)rest.p[word.n]);
        if (begins && ends && str_starts_nocase(rest, word))
            return true;
    }
    return false;
}

/* One line of plain characters: places of this user get other names, and a line that still seems to
 * hold something personal is left out. */
static void add_clean(const struct making *k, struct str line, struct buf *ret)
{
    const struct {
        const char *place, *name;
    } places[] = {{k->cli->data_dir, "DATA"}, {k->cli->runtime_dir, "RUN"}, {cli_home(), "HOME"}};
    struct buf CLEAN_BUF clean = BUF_INIT(1 << 16);
    while (line.n) {
        size_t skip = 1;
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && skip == 1; i++) {
            struct str place = str_from(places[i].place);
            if (place.n > 1 && str_starts(line, place)) {
                buf_add_text(&clean, places[i].name);
                skip = place.n;
            }
        }
        if (skip == 1)
            buf_add_char(&clean, line.p[0] >= ' ' && line.p[0] <= '~' ? line.p[0]
                                 : line.p[0] == '\t'                  ? ' '
                                                                      : '?');
        line = str_skip(line, skip);
    }
    struct str text = str_trim(buf_view(&clean));
    bool hidden = contribution_private(text) || has_word(text, k->login) || has_word(text, k->host);
    buf_add_str(ret, hidden ? STR("(left out: it may be personal)") : text);
}

/* ---- outcomes ---- */

/* The choice's package as the tables name it. */
static char *choice_package(const struct making *k, const struct plan_choice *c)
{
    if (c->package && gfx_package_find(k->cli->tables, c->package))
        return xstrdup(c->package);
    return xasprintf("%.*s:%s", STR_ARG(c->engine), plan_backend_name(c->backend));
}

static void add_rung(struct making *k, const struct plan_choice *c, const char *rung, enum tri ok,
                     const char *detail)
{
    struct buf *to = &k->part[CONTRIBUTION_OUTCOMES];
    char *CLEAN_FREE package = choice_package(k, c);
    if (!to->n)
        buf_add_text(to, "package\tgpu\trung\tok\tdetail\n");
    buf_addf(to, "%s\t%s\t%s\t%s\t", package, c->gpu->pci[0] ? c->gpu->pci : "-", rung,
             ok == TRI_YES  ? "yes"
             : ok == TRI_NO ? "no"
                            : "unknown");
    add_clean(k, str_from(detail && detail[0] ? detail : "-"), to);
    buf_add_char(to, '\n');
}

static void add_evidence(struct making *k, const struct plan_choice *c)
{
    for (size_t i = 0; i < c->n_evidence; i++) {
        if (c->evidence[i].rung <= PLAN_E2)
            add_rung(k, c, plan_rung_name(c->evidence[i].rung), c->evidence[i].ok,
                     c->evidence[i].detail);
    }
}

/* "amdgpu", with the version of one that is not the kernel's own; for Vulkan the driver behind it.
 */
static void add_driver(const struct making *k, const struct plan_choice *c, struct buf *ret)
{
    const struct machine *m = k->cli->machine;
    buf_add_text(ret, c->gpu->driver);
    if (m->host.amdgpu_version[0])
        buf_addf(ret, " %s", m->host.amdgpu_version);
    for (size_t i = 0; c->backend == PLAN_VULKAN && i < m->vulkan.n_drivers; i++) {
        const struct machine_vulkan_driver *icd = &m->vulkan.driver[i];
        if (icd->amd != (c->gpu->vendor == 0x1002) || icd->software || icd->library_found == TRI_NO)
            continue;
        buf_addf(ret, ", %s%s%s", icd->name, icd->mesa[0] ? " Mesa " : "", icd->mesa);
        return;
    }
}

static void add_proof(struct making *k, const struct plan_choice *c,
                      const struct engine_proof *proof)
{
    struct buf CLEAN_BUF driver = BUF_INIT(400), CLEAN_BUF clean = BUF_INIT(800);
    char *CLEAN_FREE package = choice_package(k, c);
    bool speed = proof->passed && proof->tokens_per_second >= 1;
    add_driver(k, c, &driver);
    add_clean(k, buf_view(&driver), &clean);
    buf_addf(&k->part[CONTRIBUTION_PROOFS], "%04x:%04x\t%s\thardware\t%s\t%s\t%s\t%s\t%s\t",
             c->gpu->vendor, (unsigned)c->gpu->device & 0xffff, c->gfx ? c->gfx : "-", package,
             k->cli->machine->host.kernel, clean.n ? buf_text(&clean) : "-", k->day,
             proof->passed ? "proven" : gfxb_code_name(proof->code));
    if (speed)
        buf_addf(&k->part[CONTRIBUTION_PROOFS], "%.0f", round(proof->tokens_per_second));
    buf_addf(&k->part[CONTRIBUTION_PROOFS], "%s\t%s\n", speed ? "" : "-", k->source);
}

/* A failure of the engine itself, which the next owner of such a GPU should hear of. */
static bool is_engines_fault(int code)
{
    static const int codes[] = {GFXB_E_CANARY_MISMATCH, GFXB_E_ENGINE_CRASH,
                                GFXB_E_ENGINE_HANG,     GFXB_E_ENGINE_EXIT,
                                GFXB_E_NOT_ON_DEVICE,   GFXB_E_DEVICE_NOT_LISTED,
                                GFXB_E_TOO_SLOW,        GFXB_E_BLAS_KERNELS_MISSING};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (codes[i] == code)
            return true;
    }
    return false;
}

static void add_quirk(struct making *k, const struct plan_choice *c,
                      const struct engine_proof *proof)
{
    if (proof->passed || !is_engines_fault(proof->code) || !c->gfx ||
        !gfx_package_find(k->cli->tables, c->package))
        return;
    char *CLEAN_FREE id = xasprintf("%s-%s\t", k->name, c->package);
    if (!str_has(buf_view(&k->part[CONTRIBUTION_QUIRKS]), str_from(id))) /* of two such GPUs one */
        buf_addf(&k->part[CONTRIBUTION_QUIRKS],
                 "%s%s\tbackend=%s package=%s\twarn\t-\t-\t%s failed its test on %s elsewhere "
                 "(%s).\t-\tlow\t%s\n",
                 id, c->gfx, plan_backend_name(c->backend), c->package, c->package, c->gfx,
                 gfxb_code_name(proof->code), k->source);
}

/* The row of a package whose files hold other targets than it says. */
static void add_package(struct making *k, const struct plan_choice *c)
{
    enum { GFX = 6, UNCONFIRMED = 7 };
    const struct gfx_package *row = gfx_package_find(k->cli->tables, c->package);
    const char *measured = c->installed ? c->installed->gfx : NULL;
    struct buf *to = &k->part[CONTRIBUTION_PACKAGES];
    struct buf CLEAN_BUF rest = BUF_INIT(4096);
    if (!row || !measured || !measured[0] || str_is(row->gfx, measured))
        return;
    bool differs = false;
    struct str list = row->gfx, word;
    while (str_word(&list, &word))
        differs |= !str_list_has(str_from(measured), word);
    list = str_from(measured);
    while (str_word(&list, &word))
        differs |= !str_list_has(row->gfx, word);
    list = row->unconfirmed;
    while (str_word(&list, &word)) {
        if (!str_list_has(str_from(measured), word))
            buf_addf(&rest, "%s%.*s", rest.n ? " " : "", STR_ARG(word));
    }
    char *CLEAN_FREE id = xasprintf("%.*s\t", STR_ARG(row->id));
    if (!differs || str_has(buf_view(to), str_from(id)))
        return;
    struct str old = {row->id.p, (size_t)(row->source.p + row->source.n - row->id.p)}, field;
    for (unsigned i = 0; old.n && str_cut(&old, '\t', &field); i++)
        buf_addf(to, "%s%.*s", i ? "\t" : "",
                 STR_ARG(i == GFX           ? str_from(measured)
                         : i == UNCONFIRMED ? rest.n ? buf_view(&rest) : STR("-")
                                            : field));
    buf_addf(to, ";%s\n", k->source);
}

static void add_log(struct making *k, const struct plan_choice *c, const struct engine_proof *proof)
{
    enum { LINES = 30 };
    struct buf *to = &k->part[CONTRIBUTION_LOG];
    struct str line, log = str_trim(str_from(proof->log_tail)), rest = log;
    size_t n = 0;
    while (rest.n && str_cut(&rest, '\n', &line))
        n++;
    if (n)
        buf_addf(to, "== %s on %s ==\n", c->package, c->gpu->pci);
    for (; log.n && str_cut(&log, '\n', &line); n--) {
        if (n > LINES || !str_trim(line).n)
            continue;
        add_clean(k, line, to);
        buf_add_char(to, '\n');
    }
}

/* Test every installed package on its GPU, so that the engine's log is here too. */
static size_t make_tested(struct making *k, const struct plan *plan)
{
    struct cli *cli = k->cli;
    size_t n = 0;
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        struct engine_proof proof;
        if (!c->gpu || !c->gpu_pci[0] || c->gpu_pci[1] || !session_can_prove(c))
            continue;
        text_print(stderr, "gfxbridge: testing %s on %s ...", c->package, c->gpu->pci);
        cli_check(cli, session_prove(&cli->request, &cli->session, i, &proof, &cli->err));
        add_evidence(k, c);
        for (size_t r = 0; r < ENGINE_RUNGS; r++)
            add_rung(k, c, plan_rung_name(proof.rung[r].rung), proof.rung[r].ok,
                     proof.rung[r].detail);
        char *CLEAN_FREE outcome =
            xasprintf("%s%s%s", proof.passed ? "proven" : gfxb_code_name(proof.code),
                      proof.passed ? "" : ": ", proof.passed ? "" : proof.sentence);
        add_rung(k, c, "outcome", proof.passed ? TRI_YES : TRI_NO, outcome);
        add_proof(k, c, &proof);
        add_quirk(k, c, &proof);
        add_package(k, c);
        add_log(k, c, &proof);
        engine_proof_done(&proof);
        n++;
    }
    return n;
}

/* Of each backend on each GPU that nothing was tested for: how far the best choice comes. */
static void make_untested(struct making *k, const struct plan *plan)
{
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *c = &plan->choice[i];
        bool told = !c->gpu || c->backend == PLAN_VULKAN_SOFTWARE;
        for (size_t b = 0; !told && b < plan->n_choices; b++) {
            const struct plan_choice *other = &plan->choice[b];
            told = other->gpu == c->gpu && other->backend == c->backend &&
                   (b < i || (k->cli->machine->live && session_can_prove(other)));
        }
        if (told)
            continue;
        char *CLEAN_FREE why = xasprintf("%s: %s", c->code ? gfxb_code_name(c->code) : "not tested",
                                         c->reason ? c->reason : "");
        add_evidence(k, c);
        add_rung(k, c, "outcome", c->code ? TRI_NO : TRI_UNKNOWN, why);
    }
}

/* ---- cards ---- */

static void make_cards(struct making *k)
{
    const struct machine *m = k->cli->machine;
    for (size_t i = 0; i < m->n_gpus; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        const char *kind = machine_kind_name(gpu->kind);
        char id[8], gfx[16];
        if (gpu->vendor != 0x1002 || gpu->device < 0 || gpu->card)
            continue;
        snprintf(id, sizeof(id), "%04x\t", (unsigned)gpu->device & 0xffff);
        if (str_has(buf_view(&k->part[CONTRIBUTION_CARDS]), str_from(id)))
            continue;
        if (gpu->kfd_version && gpu->target)
            buf_addf(&k->part[CONTRIBUTION_CARDS],
                     "%s*\tAMD Radeon Graphics\t-\t%.*s\t%.*s\t%s\tsingle\t%s\n", id,
                     STR_ARG(gpu->target->gfx), STR_ARG(gpu->target->generation),
                     kind ? kind : "unknown", k->source);
        else
            text_print(
                stderr,
                "gfxbridge: 1002:%.4s is in no table, and %s%s: data/targets.tsv or a source "
                "of its target is needed first",
                id,
                gpu->kfd_version ? "no row has the target "
                                 : "no KFD node tells its "
                                   "target",
                gpu->kfd_version && gfx_kfd_name(gpu->kfd_version, gfx, sizeof(gfx)) == 0 ? gfx
                                                                                          : "");
    }
}

/* ---- the whole ---- */

/* "radeon-rx-7900-xtx" */
static void make_name(struct making *k, const char *word)
{
    const struct machine *m = k->cli->machine;
    struct str text = STR("computer");
    size_t n = 0;
    for (size_t i = m->n_gpus; i-- > 0;) {
        if (m->gpu[i].card || m->gpu[i].target)
            text = m->gpu[i].card ? gfx_card_name(m->gpu[i].card) : m->gpu[i].target->gfx;
    }
    for (size_t i = 0; !word && i < text.n && n + 2 < sizeof(k->name); i++) {
        char c = str_lower(text.p[i]);
        if (isalnum((unsigned char)c))
            k->name[n++] = c;
        else if (n && k->name[n - 1] != '-')
            k->name[n++] = '-';
    }
    while (n && k->name[n - 1] == '-')
        n--;
    k->name[n] = '\0';
    if (word)
        snprintf(k->name, sizeof(k->name), "%s", word);
    if (!contribution_name_is_good(str_from(k->name)) || (word && strcmp(word, k->name) != 0))
        cli_die(k->cli, GFXB_E_USAGE,
                "a contribution's name is made of small letters, digits and hyphens, such as "
                "rx7900xtx-desktop");
    snprintf(k->source, sizeof(k->source), "contribution:%s", k->name);
}

static void make_facts(struct making *k, const char *about)
{
    struct cli *cli = k->cli;
    char *CLEAN_FREE answers = NULL;
    size_t n = 0;
    const struct machine *m = cli->machine;
    buf_addf(&k->part[CONTRIBUTION_NAME], "%s", k->name);
    if (about)
        add_clean(k, str_from(about), &k->part[CONTRIBUTION_ABOUT]);
    else if (m->host.cpu[0])
        add_clean(k, str_from(m->host.cpu), &k->part[CONTRIBUTION_ABOUT]);
    buf_addf(&k->part[CONTRIBUTION_MADE], "%s %s gfxbridge %s",
             cli->sysroot ? "described" : "captured", k->day, GFXB_VERSION);
    FILE *out = open_memstream(&answers, &n);
    if (!out)
        cli_die(cli, errno, "out of memory");
    explain_this_machine(cli, out);
    fclose(out);
    struct str rest = {answers, n}, line;
    while (rest.n && str_cut(&rest, '\n', &line)) {
        size_t blanks = 0; /* which continue a list; add_clean cuts them off */
        while (blanks < line.n && line.p[blanks] == ' ')
            blanks++;
        buf_addf(&k->part[CONTRIBUTION_ANSWERS], "%.*s", (int)blanks, line.p);
        add_clean(k, line, &k->part[CONTRIBUTION_ANSWERS]);
        buf_add_char(&k->part[CONTRIBUTION_ANSWERS], '\n');
    }
}

static void make_init(struct making *k, struct cli *cli, const char *word)
{
    const struct passwd *user = getpwuid(getuid());
    time_t now = time(NULL);
    struct tm parts;
    *k = (struct making){.cli = cli};
    for (size_t i = 0; i < CONTRIBUTION_PARTS; i++)
        k->part[i] = BUF_INIT(1 << 20);
    snprintf(k->login, sizeof(k->login), "%s", user ? user->pw_name : "");
    if (gethostname(k->host, sizeof(k->host) - 1) == 0)
        k->host[strcspn(k->host, ".")] = '\0';
    if (gmtime_r(&now, &parts))
        strftime(k->day, sizeof(k->day), "%Y-%m-%d", &parts);
    make_name(k, word);
}

/* On this computer: install the best package and test it, as `run` does, unless one for a GPU is
 * here. That nothing works is an outcome too. */
static const struct plan *make_plan(struct cli *cli)
{
    const struct plan *plan = cli_plan(cli);
    for (size_t i = 0; i < plan->n_choices; i++) {
        if (plan->choice[i].gpu && session_can_prove(&plan->choice[i]))
            return plan;
    }
    if (plan->chosen < 0 || !plan->choice[plan->chosen].gpu)
        return plan;
    int r = session_bring_up(&cli->request, NULL, &cli->session, &cli->err);
    if (r == -GFXB_E_INTERRUPTED || (r < 0 && session_is_ours(-r)))
        cli_fail(cli);
    session_stop_engine(&cli->session);
    return cli_plan(cli);
}

static bool make_asks(const char *path)
{
    char *CLEAN_FREE line = NULL;
    size_t size = 0;
    if (!isatty(STDIN_FILENO))
        return false;
    fprintf(stderr, "Save this as %s? [y/N] ", path);
    return getline(&line, &size, stdin) > 0 && str_lower(line[0]) == 'y';
}

static void make_save(struct cli *cli, const char *name, const struct buf *text, bool yes)
{
    char *CLEAN_FREE path = xasprintf("%s.contribution", name);
    if (access(path, F_OK) == 0)
        cli_die(cli, EEXIST, "%s is there already: give another name, or remove it", path);
    if (!cli->json && fwrite(text->p, 1, text->n, stdout) != text->n)
        cli_die(cli, EIO, "cannot write the contribution to stdout");
    fflush(stdout);
    bool save = yes || (!cli->json && make_asks(path));
    if (save)
        cli_check(cli, fs_write(path, text->p, text->n, 0644, &cli->err));
    if (cli->json)
        cli_print_json(cli, json_pack("{s:s, s:s, s:b, s:s}", "name", name, "path", path, "saved",
                                      save, "text", buf_text(text)));
    else
        text_print(stderr,
                   save ? "gfxbridge: %s is saved. Send it to the project; gfxbridge contribute "
                          "check %s checks it."
                        : "gfxbridge: not saved: --yes saves it as %s",
                   path, path);
}

static int contribute_make(struct cli *cli, const struct cli_args *args)
{
    struct making k;
    struct contribution c = {.root = cli_root(cli)}, again;
    struct buf CLEAN_BUF text = BUF_INIT(CONTRIBUTION_MAX);
    cli_read_request(cli, args);
    make_init(&k, cli, args->n_words ? args->word[0] : NULL);
    const struct plan *plan = cli->sysroot ? cli_plan(cli) : make_plan(cli);
    if (!cli->sysroot)
        make_tested(&k, plan);
    make_untested(&k, plan);
    make_cards(&k);
    make_facts(&k, args->value[CONTRIBUTE_ABOUT]);
    for (size_t i = 0; i < CONTRIBUTION_PARTS; i++)
        c.part[i] = k.part[i].n ? xbuf_take(&k.part[i]) : NULL;
    int r = contribution_write(&c, &text, &cli->err);
    contribution_done(&c);
    cli_check(cli, r);
    r = contribution_read(k.name, buf_view(&text), &again, &cli->err);
    contribution_done(&again);
    cli_check(cli, r);
    make_save(cli, k.name, &text, args->value[CONTRIBUTE_YES] != NULL);
    return CLI_DONE;
}

/* ---- check ---- */

void contribute_read(struct cli *cli, const char *path, struct contribution *ret,
                     struct contribution_tables *tables, json_t **ret_differences)
{
    struct buf CLEAN_BUF text = BUF_INIT(CONTRIBUTION_MAX);
    cli_read_file(cli, path, false, &text);
    *ret_differences = json_array();
    int r = contribution_read(path, buf_view(&text), ret, &cli->err);
    if (r == 0)
        r = contribution_merge(ret, tables, &cli->err);
    if (r == 0)
        r = cli_table_check(tables->after, &cli->err);
    if (r == 0)
        r = contribution_judge(ret, tables, *ret_differences, &cli->err);
    if (r == 0)
        return;
    json_decref(*ret_differences);
    contribution_done(ret);
    contribution_tables_done(tables);
    buf_done(&text);
    cli_fail(cli);
}

static size_t tell_rows(const struct contribution *c, enum contribution_part part)
{
    struct str rows = contribution_part(c, part), row;
    size_t n = 0;
    while (rows.n && str_cut(&rows, '\n', &row))
        n++;
    return n;
}

void contribute_tell(struct cli *cli, const struct contribution *c, json_t *differences,
                     json_t *more)
{
    struct str name = contribution_part(c, CONTRIBUTION_NAME);
    struct str made = contribution_part(c, CONTRIBUTION_MADE);
    if (cli->json) {
        json_t *rows = json_object();
        for (size_t i = CONTRIBUTION_CARDS; i < CONTRIBUTION_PARTS; i++)
            json_object_set_new(rows, contribution_part_names[i],
                                json_integer((json_int_t)tell_rows(c, (enum contribution_part)i)));
        json_t *all = json_pack("{s:o, s:o, s:o, s:o}", "name", report_json_str(name), "made",
                                report_json_str(made), "rows", rows, "differences", differences);
        json_object_update(all, more);
        json_decref(more);
        cli_print_json(cli, all);
        return;
    }
    text_print(stdout, "%.*s, %.*s", STR_ARG(name), STR_ARG(made));
    for (size_t i = CONTRIBUTION_CARDS; i < CONTRIBUTION_PARTS; i++) {
        size_t n = tell_rows(c, (enum contribution_part)i);
        if (n)
            text_print(stdout, "%zu row%s for %s", n, n == 1 ? "" : "s",
                       contribution_part_names[i]);
    }
    for (size_t i = 0; i < json_array_size(differences); i++)
        text_print(stdout, "differs from the tables: " TEXT_HANG "%s",
                   json_string_value(json_array_get(differences, i)));
    if (!json_array_size(differences))
        text_print(stdout, "Its facts agree with the tables.");
    json_decref(differences);
    json_decref(more);
}

static int contribute_check(struct cli *cli, const struct cli_args *args)
{
    struct contribution c;
    struct contribution_tables tables = {.before = NULL};
    json_t *differences;
    static char file[GFX_TABLES][32];
    for (unsigned i = 0; i < GFX_TABLES; i++) {
        const char *name = gfx_table_name((enum gfx_table)i);
        snprintf(file[i], sizeof(file[i]), "%s.tsv", name);
        tables.source[i] =
            (struct gfx_table_source){(enum gfx_table)i, file[i], gfx_table_bytes(name)};
        tables.bytes[i] = BUF_INIT(0);
    }
    contribute_read(cli, args->word[1], &c, &tables, &differences);
    contribute_tell(cli, &c, differences, json_object());
    contribution_done(&c);
    contribution_tables_done(&tables);
    return CLI_DONE;
}

static int contribute_run(struct cli *cli, const struct cli_args *args)
{
    const char *word = args->n_words ? args->word[0] : "";
    bool check = strcmp(word, "check") == 0, apply = strcmp(word, "apply") == 0;
    cli_catch_signals();
    if ((check || apply) != (args->n_words > 1))
        cli_die(cli, GFXB_E_USAGE,
                args->n_words > 1 ? "contribute does not take '%s' behind '%s'"
                                  : "contribute %.0s%s needs a FILE.contribution",
                args->n_words > 1 ? args->word[1] : "", word);
    if (args->value[CONTRIBUTE_CHECKOUT] && !apply)
        cli_die(cli, GFXB_E_USAGE, "--checkout is for contribute apply");
    return check   ? contribute_check(cli, args)
           : apply ? contribute_apply(cli, args)
                   : contribute_make(cli, args);
}

const struct cli_command cli_command_contribute = {
    .name = "contribute",
    .words = "[NAME|check|apply] [FILE]",
    .summary = "what this computer knows as one file for the project; check and apply one",
    .about =
        "Without a word, or with a NAME: captures this computer, tests what is installed on its "
        "GPUs (or the best package, which is installed first), answers the five questions, writes "
        "the rows for the tables that would have helped, and shows all of it. It is saved as "
        "NAME.contribution once you say so. It holds no serial number, host or user name, address "
        "or home directory.\n"
        "check      " TEXT_HANG
        "is FILE whole, without personal data, and of one mind with its own computer and rungs? "
        "Where it differs from the tables is told\n"
        "apply      " TEXT_HANG
        "for developers, in a checkout of gfxbridge: adds the computer to tests/machines, its "
        "expected result and its rows, proves the tables, and builds and runs the machine tests",
    .options = contribute_options,
    .run = contribute_run,
};
