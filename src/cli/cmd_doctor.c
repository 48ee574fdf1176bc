/* cmd_doctor.c - every problem found, each with its remedy. */
#include "api/api.h"
#include "cli/cli.h"

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

static void doctor_print(const json_t *finding)
{
    const char *severity = cli_json_text(finding, "severity");
    const char *remedy = cli_json_text(finding, "remedy");
    text_print(stdout, "%s%-5s" TEXT_END " " TEXT_HANG "%s [%s]\n      %s",
               strcmp(severity, "block") == 0  ? TEXT_BAD
               : strcmp(severity, "warn") == 0 ? TEXT_WARN
                                               : "",
               severity, cli_json_text(finding, "what"), cli_json_text(finding, "code"),
               cli_json_text(finding, "why"));
    if (remedy[0])
        text_print(stdout, "      remedy: " TEXT_HANG TEXT_STRONG "%s" TEXT_END, remedy);
}

/* Tells the findings; where there are none that matter, people are told this sentence. name and
 * value: one more member of the JSON; value NULL: none. */
static int doctor_finish(struct cli *cli, const struct doctor_case *c, const char *fine,
                         const char *name, json_t *value)
{
    json_t *answer =
        json_pack("{s:b, s:o, s:o*}", "ok", !c->problem, "findings", c->findings, name, value);
    for (size_t i = 0; !cli->json && i < json_array_size(c->findings); i++)
        doctor_print(json_array_get(c->findings, i));
    if (!cli->json && !c->problem && fine)
        text_print(stdout, "%s", fine);
    if (cli->json)
        cli_print_json(cli, answer);
    else
        json_decref(answer);
    return c->problem ? CLI_FAILED : CLI_DONE;
}

/* Of a paste the line is shown: it may be one of thousands. */
static void doctor_tell_cause(struct cli *cli, struct doctor_case *c,
                              const struct engine_cause *cause, bool follows, bool paste)
{
    enum { LINE_SHOWN = 200 };
    struct buf CLEAN_BUF what = BUF_INIT(600);
    buf_addf(&what, "%s%.*s", follows ? "follows from it: " : "", STR_ARG(cause->program));
    if (paste)
        buf_addf(&what, ", line %u: %.*s", cause->line_number,
                 STR_ARG(utf8_cut(cause->line, LINE_SHOWN)));
    for (size_t i = 0; i < what.n; i++) /* no escape sequence from a paste to a terminal */
        what.p[i] = (unsigned char)what.p[i] < ' ' ? ' ' : what.p[i];
    doctor_tell(c, gfxb_code_name(cause->code),
                engine_cause_is_harmless(cause) || follows ? DOCTOR_INFO : DOCTOR_WARN,
                buf_text(&what), cli_keep(cli, xstr_dup(cause->text)),
                cli_keep(cli, xstr_dup(cause->remedy)));
}

static void doctor_word_unknown(struct str text, struct buf *ret)
{
    struct engine_speaker speaker = {STR_NONE, STR_NONE};
    bool known = engine_speaker_find(text, &speaker);
    buf_addf(ret,
             "No known cause fits this message%s%.*s. A person who helps needs %s%.*s. gfxbridge "
             "doctor without a text examines this computer.",
             known ? ". These are words of " : ", and no program is known by it",
             STR_ARG(speaker.program),
             known ? "" : "the program's name and version and what it wrote from its start on",
             STR_ARG(speaker.send));
}

/* doctor TEXT: the causes that a pasted message or log is known for, the root first. */
static int doctor_text(struct cli *cli, const struct cli_args *args)
{
    enum { CAUSES_MAX = 8, TEXT_MIB = 1 };
    struct buf CLEAN_BUF buf = BUF_INIT(TEXT_MIB << 20), unknown = BUF_INIT(2000);
    struct engine_cause cause[CAUSES_MAX];
    if (args->n_words == 1 && strcmp(args->word[0], "-") == 0)
        cli_read_stdin(cli, "text", &buf);
    else
        cli_join_words(args, 0, &buf);
    if (!buf_ok(&buf))
        cli_die(cli, GFXB_E_USAGE, "the text is larger than %d MiB", TEXT_MIB);
    struct doctor_case c = {.findings = json_array()};
    struct str text = str_trim(buf_view(&buf));
    size_t n = engine_cause_find(text, cause, CAUSES_MAX);
    for (size_t i = 0; i < n; i++)
        doctor_tell_cause(cli, &c, &cause[i], i > 0 && cause[i].effect,
                          memchr(text.p, '\n', text.n));
    if (n == 0)
        doctor_word_unknown(text, &unknown);
    return doctor_finish(cli, &c, n ? NULL : buf_text(&unknown), "recognised", json_boolean(n > 0));
}

/* Falls back to the built-in tables when this person's own cannot be read: doctor says so instead
 * of ending there like every other command. */
static void doctor_check_own_tables(struct cli *cli, struct doctor_case *c)
{
    uint64_t version;
    const char *const dirs[] = {cli->config_dir, cli_newest_tables(cli, &version)};
    struct gfxb_error broken = {.text = ""};
    if (cli->tables) /* `demo` has read them */
        return;
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

static int doctor_run(struct cli *cli, const struct cli_args *args)
{
    if (args->n_words)
        return doctor_text(cli, args);
    struct doctor_case c = {.live = !cli->sysroot,
                            .data_dir = cli->data_dir,
                            .runtime_dir = cli->runtime_dir,
                            .unconfined = cli_is_unconfined(),
                            .port = doctor_port(),
                            .findings = json_array()};
    doctor_check_own_tables(cli, &c);
    doctor_examine_plan(cli, &c);
    return doctor_finish(cli, &c, TEXT_GOOD "No problems found." TEXT_END, "sandbox",
                         c.live ? doctor_sandbox() : NULL);
}

const struct cli_command cli_command_doctor = {
    .name = "doctor",
    .words = "[TEXT...]",
    .summary = "every problem found, each with its remedy",
    .about = "Examines this computer (or --sysroot) and tells what keeps each backend "
             "from working, with the remedy as a command to copy. With TEXT, an error message or a "
             "whole log pasted from any program of this field (- reads it from standard input), "
             "the known causes in it and their remedies: first the root, then what follows from "
             "it, then what is harmless. For a TEXT without a known cause, which program speaks "
             "and what somebody who helps needs. Exit code 1 when a finding blocks or warns, 0 "
             "when none does: also for a TEXT that is not recognised.",
    .run = doctor_run,
};
