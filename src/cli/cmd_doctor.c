#include "cli/doctor.h"
#include "cli/wish.h"

static const char *const doctor_severities[] = {
    [DOCTOR_BLOCK] = "block",
    [DOCTOR_WARN] = "warn",
    [DOCTOR_INFO] = "info",
};

/* Where findings go: a JSON array, or lines. */
struct doctor_report {
    json_t *findings; /* NULL: print */
    bool ok;          /* no finding blocks or warns */
};

static void doctor_report_finding(void *context, const struct doctor_finding *f)
{
    struct doctor_report *report = context;
    report->ok &= f->severity == DOCTOR_INFO;
    if (!report->findings) {
        printf("%-5s %s [%s]\n      %s\n", doctor_severities[f->severity], f->what, f->code,
               f->why);
        if (f->remedy[0])
            printf("      remedy: %s\n", f->remedy);
        return;
    }
    json_t *object = json_object();
    json_object_set_new(object, "code", cli_json_text(f->code));
    json_object_set_new(object, "severity", json_string(doctor_severities[f->severity]));
    json_object_set_new(object, "what", cli_json_text(f->what));
    json_object_set_new(object, "why", cli_json_text(f->why));
    json_object_set_new(object, "remedy", cli_json_text(f->remedy));
    json_array_append_new(report->findings, object);
}

static int doctor_finish(struct doctor_report *report, bool any, struct gfxb_error *err)
{
    if (report->findings) {
        int result = cli_print_json(
            json_pack("{s:b, s:o}", "ok", report->ok, "findings", report->findings), err);
        if (result < 0)
            return result;
    } else if (!any) {
        printf("Nothing stands in the way.\n");
    }
    return report->ok ? CLI_DONE : CLI_FAILED;
}

/* doctor TEXT: the causes that a pasted message is known for. */
static int doctor_text(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    enum { CAUSES_MAX = 8 };
    struct buf CLEAN_BUF text = BUF_INIT(1 << 20);
    struct engine_cause cause[CAUSES_MAX];
    for (size_t i = 0; i < args->n_words; i++)
        buf_addf(&text, "%s%s", i ? " " : "", args->word[i]);
    size_t n = engine_cause_find(buf_view(&text), cause, CAUSES_MAX);
    struct doctor_report report = {.findings = cli->json ? json_array() : NULL, .ok = true};
    for (size_t i = 0; i < n; i++) {
        char *CLEAN_FREE what = str_dup(cause[i].program);
        char *CLEAN_FREE why = str_dup(cause[i].text);
        char *CLEAN_FREE remedy = str_dup(cause[i].remedy);
        struct doctor_finding f = {gfxb_code_name(cause[i].code), DOCTOR_WARN, what ? what : "",
                                   why ? why : "", remedy ? remedy : ""};
        doctor_report_finding(&report, &f);
    }
    if (n == 0 && !report.findings)
        printf("No known cause fits this message. gfxbridge doctor without a text examines this "
               "computer.\n");
    return doctor_finish(&report, true, err);
}

static int doctor_computer(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    struct path_request request;
    struct path path = {0};
    struct cli_args none = {0};
    int result = cli_path_request(cli, &none, &request, err);
    if (result == 0)
        result = path_plan(&request, &path, err);
    if (result < 0)
        return result;
    struct doctor_report report = {.findings = cli->json ? json_array() : NULL, .ok = true};
    struct doctor_case c = {.cli = cli,
                            .machine = request.machine,
                            .plan = path.plan,
                            .sink = doctor_report_finding,
                            .context = &report};
    doctor_examine(&c);
    result = doctor_finish(&report, !report.ok, err);
    path_done(&path);
    return result;
}

static int doctor_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    return args->n_words ? doctor_text(cli, args, err) : doctor_computer(cli, args, err);
}

const struct cli_command cli_command_doctor = {
    .name = "doctor",
    .words = "[TEXT...]",
    .max_words = SIZE_MAX,
    .summary = "every problem found, each with its remedy",
    .about = "Examines this computer (or --sysroot) and tells what stands in the way of each\n"
             "backend, with the remedy as a command to copy. With TEXT, an error message pasted\n"
             "from any program of this field, its known causes and remedies. Exit code 1 when a\n"
             "finding blocks or warns.",
    .run = doctor_run,
};
