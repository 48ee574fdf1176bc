/* cmd_doctor.c - every problem found, each with its remedy. */
#include "api/api.h"
#include "cli/request.h"
#include "session/session.h"

#include <errno.h>

#define DOCTOR_TEXT_MAX ((size_t)1 << 20)

static const char *const doctor_styles[] = {
    [DOCTOR_BLOCK] = TEXT_BAD,
    [DOCTOR_WARN] = TEXT_WARN,
    [DOCTOR_INFO] = "",
};

/* Where findings go: a JSON array, or lines. */
struct doctor_report {
    json_t *findings;       /* NULL: print */
    bool ok;                /* no finding blocks or warns */
    bool live;              /* of this computer: the sandbox is told too */
    const bool *recognised; /* of a pasted text: was it? NULL: none was given */
};

static void doctor_report_finding(void *context, const struct doctor_finding *f)
{
    struct doctor_report *report = context;
    report->ok &= f->severity == DOCTOR_INFO;
    if (!report->findings) {
        text_print(stdout, "%s%-5s" TEXT_END " " TEXT_HANG "%s [%s]\n      %s",
                   doctor_styles[f->severity], doctor_severity_name(f->severity), f->what, f->code,
                   f->why);
        if (f->remedy[0])
            text_print(stdout, "      remedy: " TEXT_HANG TEXT_STRONG "%s" TEXT_END, f->remedy);
        return;
    }
    json_array_append_new(report->findings, report_json_finding(f));
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

static int doctor_finish(const struct doctor_report *report, struct gfxb_error *err)
{
    if (report->findings) {
        json_t *object = json_pack("{s:b, s:o}", "ok", report->ok, "findings", report->findings);
        if (object && report->live)
            json_object_set_new(object, "sandbox", doctor_sandbox());
        if (object && report->recognised)
            json_object_set_new(object, "recognised", json_boolean(*report->recognised));
        int result = cli_print_json(object, err);
        if (result < 0)
            return result;
    }
    return report->ok ? CLI_DONE : CLI_FAILED;
}

static int doctor_read_stdin(struct buf *text, struct gfxb_error *err)
{
    for (;;) {
        char *room = buf_room(text, 65536);
        ssize_t n = room ? read(STDIN_FILENO, room, 65536) : 0;
        if (!room)
            return error_set(err, GFXB_E_USAGE, "the text on standard input is larger than 1 MiB");
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, errno, "cannot read the text: %s", error_errno_text(errno));
        if (n == 0)
            return 0;
        buf_grew(text, (size_t)n);
    }
}

static int doctor_read_words(const struct cli_args *args, struct buf *text, struct gfxb_error *err)
{
    if (args->n_words == 1 && strcmp(args->word[0], "-") == 0)
        return doctor_read_stdin(text, err);
    for (size_t i = 0; i < args->n_words; i++)
        buf_addf(text, "%s%s", i ? " " : "", args->word[i]);
    return buf_ok(text) ? 0 : error_set(err, GFXB_E_USAGE, "the text is larger than 1 MiB");
}

/* doctor TEXT: the causes that a pasted message is known for. */
static int doctor_text(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    enum { CAUSES_MAX = 8 };
    struct buf CLEAN_BUF text = BUF_INIT(DOCTOR_TEXT_MAX);
    struct engine_cause cause[CAUSES_MAX];
    int result = doctor_read_words(args, &text, err);
    if (result < 0)
        return result;
    size_t n = engine_cause_find(buf_view(&text), cause, CAUSES_MAX);
    bool recognised = n > 0;
    struct doctor_report report = {
        .findings = cli->json ? json_array() : NULL, .ok = true, .recognised = &recognised};
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
    return doctor_finish(&report, err);
}

/* Fall back to the built-in tables when this person's own cannot be read: doctor says so instead of
 * ending there like every other command. *ret_broken: their sentence, or untouched. */
static int doctor_tables(struct cli *cli, struct gfxb_error *ret_broken, struct gfxb_error *err)
{
    const struct gfx_tables *tables;
    struct gfxb_error broken = {0};
    if (cli_tables(cli, &tables, &broken) == 0)
        return 0;
    char *config_dir = cli->config_dir;
    cli->config_dir = NULL;
    int result = cli_tables(cli, &tables, err);
    cli->config_dir = config_dir;
    if (result == 0)
        *ret_broken = broken;
    return result;
}

static int doctor_examine_plan(struct cli *cli, struct doctor_case *c, struct gfxb_error *err)
{
    struct session_request request;
    struct session session = {0};
    const struct cli_args none = {0};
    int result = cli_session_request(cli, &none, &request, err);
    if (result < 0)
        return result;
    doctor_check_places(c);
    struct gfxb_error why = {0};
    if (session_plan(&request, &session, &why) < 0) { /* as of a data directory that is a file */
        doctor_tell_no_plan(c, why.text);
        return 0;
    }
    c->machine = request.machine;
    c->tables = request.tables;
    c->root = request.root;
    c->plan = session.plan;
    doctor_examine(c);
    session_done(&session);
    return 0;
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

static int doctor_computer(struct cli *cli, struct gfxb_error *err)
{
    struct gfxb_error broken = {0};
    int result = doctor_tables(cli, &broken, err);
    if (result < 0)
        return result;
    struct doctor_report report = {
        .findings = cli->json ? json_array() : NULL, .ok = true, .live = !cli->sysroot};
    struct doctor_case c = {.live = !cli->sysroot,
                            .data_dir = cli->data_dir,
                            .runtime_dir = cli->runtime_dir,
                            .unconfined = cli_is_unconfined(),
                            .port = doctor_port(),
                            .sink = doctor_report_finding,
                            .context = &report};
    doctor_check_tables(&c, cli->config_dir, broken.text[0] ? broken.text : NULL);
    result = doctor_examine_plan(cli, &c, err);
    if (result < 0) {
        json_decref(report.findings);
        return result;
    }
    if (!report.findings && report.ok)
        text_print(stdout, TEXT_GOOD "Nothing stands in the way." TEXT_END);
    return doctor_finish(&report, err);
}

static int doctor_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    return args->n_words ? doctor_text(cli, args, err) : doctor_computer(cli, err);
}

const struct cli_command cli_command_doctor = {
    .name = "doctor",
    .words = "[TEXT...]",
    .max_words = SIZE_MAX,
    .summary = "every problem found, each with its remedy",
    .about = "Examines this computer (or --sysroot) and tells what stands in the way of each "
             "backend, with the remedy as a command to copy. With TEXT, an error message pasted "
             "from any program of this field (- reads it from standard input), its known causes "
             "and remedies. Exit code 1 when a finding blocks or warns, 0 when none does: also for "
             "a TEXT that is not recognised.",
    .run = doctor_run,
};
