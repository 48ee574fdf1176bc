/* cmd_doctor.c - every problem found, each with its remedy. */
#include "api/api.h"
#include "cli/cli.h"

/* Where findings go: a JSON array, or lines. */
struct doctor_report {
    json_t *findings; /* NULL: print */
    bool ok;          /* no finding blocks or warns */
};

static void doctor_report_finding(void *context, const struct doctor_finding *f)
{
    static const char *const styles[] = {TEXT_BAD, TEXT_WARN, ""};
    struct doctor_report *report = context;
    report->ok &= f->severity == DOCTOR_INFO;
    if (report->findings) {
        json_array_append_new(report->findings, report_json_finding(f));
        return;
    }
    text_print(stdout, "%s%-5s" TEXT_END " " TEXT_HANG "%s [%s]\n      %s", styles[f->severity],
               doctor_severity_name(f->severity), f->what, f->code, f->why);
    if (f->remedy[0])
        text_print(stdout, "      remedy: " TEXT_HANG TEXT_STRONG "%s" TEXT_END, f->remedy);
}

/* What keeps engines in their place, for scripts: {"landlock", "files", "network" ...}. */
static json_t *doctor_sandbox(void)
{
    struct engine_sandbox s;
    json_t *notes = json_array();
    engine_sandbox_state(cli_is_unconfined(), &s);
    for (size_t i = 0; i < ENGINE_SANDBOX_NOTES && s.note[i]; i++)
        json_array_append_new(notes, json_string(s.note[i]));
    return json_pack("{s:i, s:b, s:b, s:b, s:b, s:b, s:o}", "landlock", s.landlock, "files",
                     s.files, "network", s.network, "devices", s.devices, "signals", s.signals,
                     "alone", s.alone, "notes", notes);
}

/* With one more member, unless value is NULL. */
static int doctor_finish(struct cli *cli, const struct doctor_report *report, const char *name,
                         json_t *value)
{
    if (report->findings)
        cli_print_json(cli, json_pack("{s:b, s:o, s:o*}", "ok", (int)report->ok, "findings",
                                      report->findings, name, value));
    else
        json_decref(value);
    return report->ok ? CLI_DONE : CLI_FAILED;
}

/* doctor TEXT: the causes that a pasted message is known for. */
static int doctor_text(struct cli *cli, const struct cli_args *args)
{
    enum { CAUSES_MAX = 8, TEXT_MIB = 1 };
    struct buf CLEAN_BUF text = BUF_INIT(TEXT_MIB << 20);
    struct doctor_report report = {cli->json ? json_array() : NULL, true};
    struct engine_cause cause[CAUSES_MAX];
    if (args->n_words == 1 && strcmp(args->word[0], "-") == 0)
        cli_read_stdin(cli, "text", &text);
    else
        cli_join_words(args, 0, &text);
    if (!buf_ok(&text))
        cli_die(cli, GFXB_E_USAGE, "the text is larger than %d MiB", TEXT_MIB);
    size_t n = engine_cause_find(buf_view(&text), cause, CAUSES_MAX);
    for (size_t i = 0; i < n; i++) {
        char *CLEAN_FREE what = xstr_dup(cause[i].program);
        char *CLEAN_FREE why = xstr_dup(cause[i].text);
        char *CLEAN_FREE remedy = xstr_dup(cause[i].remedy);
        struct doctor_finding f = {
            gfxb_code_name(cause[i].code),
            cause[i].code == GFXB_E_OK ? DOCTOR_INFO : DOCTOR_WARN,
            what,
            why,
            remedy,
        };
        doctor_report_finding(&report, &f);
    }
    if (n == 0 && !report.findings)
        text_print(stdout, "No known cause fits this message. gfxbridge doctor without a text "
                           "examines this computer.");
    return doctor_finish(cli, &report, "recognised", json_boolean(n > 0));
}

/* Falls back to the built-in tables when this person's own cannot be read: doctor says so instead
 * of ending there like every other command. */
static void doctor_check_own_tables(struct cli *cli, const struct doctor_case *c)
{
    uint64_t version;
    const char *const dirs[] = {cli->config_dir, cli_newest_tables(cli, &version)};
    struct gfxb_error broken = {.text = ""};
    if (gfx_tables_layered(dirs, 2, &cli->tables, &broken) < 0)
        cli_check(cli, gfx_tables_layered(dirs + 1, 1, &cli->tables, &cli->err));
    doctor_check_tables(c, cli->config_dir, broken.text[0] ? broken.text : NULL);
}

static void doctor_examine_plan(struct cli *cli, struct doctor_case *c)
{
    cli_read_request(cli, &(struct cli_args){.n_words = 0});
    doctor_check_places(c);
    if (session_plan(&cli->request, &cli->session, &cli->err) < 0) {
        doctor_tell_no_plan(c, cli->err.text); /* as of a data directory that is a file */
        return;
    }
    c->machine = cli->machine;
    c->tables = cli->tables;
    c->root = cli->root;
    c->plan = cli->session.plan;
    doctor_examine(c);
}

/* The port that `gfxbridge serve` takes when none is given. */
static unsigned doctor_port(void)
{
    const char *text = getenv("GFXBRIDGE_PORT");
    uint64_t port = 0;
    return text && str_to_u64(str_from(text), 10, &port) == 0 && port > 0 && port < 65535
               ? (unsigned)port
               : SERVE_PORT;
}

static int doctor_computer(struct cli *cli)
{
    struct doctor_report report = {cli->json ? json_array() : NULL, true};
    struct doctor_case c = {.live = !cli->sysroot,
                            .data_dir = cli->data_dir,
                            .runtime_dir = cli->runtime_dir,
                            .unconfined = cli_is_unconfined(),
                            .port = doctor_port(),
                            .sink = doctor_report_finding,
                            .context = &report};
    doctor_check_own_tables(cli, &c);
    doctor_examine_plan(cli, &c);
    if (!report.findings && report.ok)
        text_print(stdout, TEXT_GOOD "Nothing stands in the way." TEXT_END);
    return doctor_finish(cli, &report, "sandbox", c.live ? doctor_sandbox() : NULL);
}

static int doctor_run(struct cli *cli, const struct cli_args *args)
{
    return args->n_words ? doctor_text(cli, args) : doctor_computer(cli);
}

const struct cli_command cli_command_doctor = {
    .name = "doctor",
    .words = "[TEXT...]",
    .summary = "every problem found, each with its remedy",
    .about = "Examines this computer (or --sysroot) and tells what stands in the way of each "
             "backend, with the remedy as a command to copy. With TEXT, an error message pasted "
             "from any program of this field (- reads it from standard input), its known causes "
             "and remedies. Exit code 1 when a finding blocks or warns, 0 when none does: also for "
             "a TEXT that is not recognised.",
    .run = doctor_run,
};
