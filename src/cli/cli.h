/*
 * cli.h - the outward header of cli/: a command line -> calls of the folders below, and words for
 * people.
 *
 * One file a command, one row in the table of commands.c. JSON goes to stdout and nothing else
 * there; progress and people's words about it go to stderr.
 *
 * A command is a short program: an error ends it (cli_check, cli_die), and cli_exit frees what it
 * has made. So functions of a command return what they find, and hand no errors up.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/xalloc.h"
#include "engine/engine.h"
#include "gfx/gfx.h"
#include "machine/machine.h"
#include "model/model.h"
#include "package/package.h"
#include "plan/plan.h"
#include "report/report.h"
#include "session/session.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>

enum cli_code {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOTHING_USABLE = 3,
    CLI_PROOF_FAILED = 4,
    CLI_INTERRUPTED = 130,
};

/* The process's settings, and what its command has made. All of it is freed by cli_exit. */
struct cli {
    const char *sysroot; /* NULL: the live computer */
    enum gfx_os os;
    bool json, quiet, verbose, no_network, help, version;
    /* XDG places or as given; NULL where this user has no home. */
    const char *data_dir, *config_dir, *runtime_dir;
    bool data_dir_given;
    struct log log;
    struct gfxb_error err; /* of the call that cli_check looks at */
    char **kept;           /* texts of cli_keep */
    size_t n_kept;
    /* Made on first use by the functions of the same names below. */
    struct root *root;
    struct gfx_tables *tables;
    struct machine *machine;
    struct model_env models;
    const char *socket; /* of control_ask */
    json_t *answer;     /* of the server, or what the command builds */
    /* For the command. All zero at its start. */
    struct session_request request;
    struct session session;
    struct model model;
    json_t *options; /* that are stored for it */
};

#define CLI_OPTIONS_MAX 12

struct cli_option {
    const char *name;  /* without "--" */
    const char *value; /* what the value is called in help; NULL: a flag */
    const char *help;
};

/* The words of one call: value[i] belongs to option i of the command ("" for a flag that is set).
 */
struct cli_args {
    const char *value[CLI_OPTIONS_MAX];
    const char *const *word;
    size_t n_words;
};

struct cli_command {
    const char *name;
    const char *words;                /* "MODEL [PROMPT...]"; NULL none */
    const char *summary;              /* one line */
    const char *about;                /* for --help and the manual page: a line is a paragraph, with
                                         TEXT_HANG one of a list */
    const struct cli_option *options; /* ends with a NULL name; NULL none */
    bool any_os; /* answers from the tables, also for the other system (--os) */
    bool live;   /* starts engines: refuses --sysroot */
    int (*run)(struct cli *cli, const struct cli_args *args); /* its exit code */
};

extern const struct cli_command cli_command_alias, cli_command_backends, cli_command_bench,
    cli_command_capture, cli_command_complete, cli_command_contribute, cli_command_demo,
    cli_command_detect, cli_command_doctor, cli_command_env, cli_command_explain,
    cli_command_import, cli_command_inspect, cli_command_launch, cli_command_list, cli_command_load,
    cli_command_logs, cli_command_node, cli_command_overview, cli_command_plan, cli_command_pull,
    cli_command_rm, cli_command_run, cli_command_serve, cli_command_show, cli_command_status,
    cli_command_stop, cli_command_storage, cli_command_table, cli_command_tune, cli_command_unload,
    cli_command_update, cli_command_verify;

/* All commands for people, ending with a NULL. */
extern const struct cli_command *const cli_commands[];
/* A command by its name, one for programs too; NULL none. */
const struct cli_command *cli_find_command(const char *name);

/* ---- options.c ---- */

/* The options that every command takes, ending with a NULL name. */
extern const struct cli_option cli_globals[];
/* The command of these words, with its own. Help and version are answered here. */
const struct cli_command *cli_parse(struct cli *cli, int argc, char **argv,
                                    struct cli_args *ret_args);
/* The value of an option that is a number, in these bounds. */
unsigned cli_number(struct cli *cli, const char *option, const char *value, unsigned least,
                    unsigned most);

/* ---- program.c: how a command ends, and what several commands use ---- */

/* Frees all that cli owns and ends the program; a stdout that cannot be written is an error. */
void cli_exit(struct cli *cli, int code) __attribute__((noreturn));
/* Ends it with the sentence of cli->err and the exit code that its code has. Free before what is
 * neither in cli nor in a variable whose address another function has: the leak checker finds it.
 */
void cli_fail(struct cli *cli) __attribute__((noreturn));
/* The same with a sentence of the command's own. code: positive, errno or GFXB_E_. */
void cli_die(struct cli *cli, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
/* What a call that fills cli->err gave; cli_fail when it is negative. */
int cli_check(struct cli *cli, int result);

/* Not 0 once the user wants us to end: the number of the signal. Written by the handler alone. */
extern atomic_int cli_cancelled;
/* From here on SIGINT, SIGTERM and SIGHUP only set cli_cancelled: for commands that look at it. */
void cli_catch_signals(void);

/* Takes a text over and lends it until the program ends. NULL stays NULL. */
const char *cli_keep(struct cli *cli, char *text);
/* Of the environment; an empty one counts as not set: NULL. */
const char *cli_setting(const char *name);
/* $HOME, or what the user database says; NULL when neither is an absolute path. */
const char *cli_home(void);
/* Finds the directories that the user has not given. */
void cli_find_dirs(struct cli *cli);
/* The directory for data, which must be there. */
const char *cli_need_data_dir(struct cli *cli);
/* A whole file into *ret. False: there is none, which optional allows. */
bool cli_read_file(struct cli *cli, const char *path, bool optional, struct buf *ret);
/* Stdin until its end; what: the name of what is read, for the sentence of an error. */
void cli_read_stdin(struct cli *cli, const char *what, struct buf *ret);
/* The words from this one on, with blanks between them. */
void cli_join_words(const struct cli_args *args, size_t first, struct buf *ret);

/* From --sysroot or the live computer. */
const struct root *cli_root(struct cli *cli);
const struct gfx_tables *cli_tables(struct cli *cli);
const struct machine *cli_machine(struct cli *cli);

/* Every rule of `table check` that is about these. */
int cli_table_check(const struct gfx_tables *tables, struct gfxb_error *err);
/* The directory of the newest set of tables below the data directory that is newer than the
 * built-in ones; NULL none. ret_version: its version, or theirs. */
const char *cli_newest_tables(struct cli *cli, uint64_t *ret_version);

/* A text of a JSON object, lent; "" where there is none of this name. */
const char *cli_json_text(const json_t *object, const char *name);
/* Print one JSON object with "schema": 1 first, and take over the reference. */
void cli_print_json(struct cli *cli, json_t *object);

/* ---- compare.c ---- */

/* `table compare`, with the options of `table`; its exit code. */
int cli_table_compare(struct cli *cli, const struct cli_args *args);

/* ---- diagram.c: rows of steps as an SVG ---- */

struct diagram {
    struct buf body; /* all zero but for its maximum at the start; freed by diagram_print */
    unsigned y;
};
struct diagram_step {
    const char *name, *value;
    enum tri ok; /* unknown: not reached */
};
/* One more row: a heading, its steps from left to right, and sentences below them. */
void diagram_row(struct diagram *d, const char *heading, const char *note,
                 const struct diagram_step *step, size_t n);
/* All of it to stdout. */
void diagram_print(struct diagram *d, const char *title);

/* ---- support.c ---- */

/* {packages: {linux, windows}, known: {rocm, vulkan}}: who has code for this target, and what is
 * known to work on its cards. */
json_t *support_of(const struct gfx_tables *tables, const struct gfx_target *target);
/* The support table as one HTML page with a search, to stdout. targets: those of `table --json`. */
void support_page(const struct gfx_tables *tables, json_t *targets);

/* ---- request.c: from options, environment and directories to what the folders below are asked
 * ----
 */

/*
 * GFXBRIDGE_MIRROR, GFXBRIDGE_CA_FILE and the settings that sources of packages ask for. Lends from
 * the environment and cli.
 */
struct package_net cli_package_net(struct cli *cli);

/* "WHAT: 1.2 of 3.4 MB (35 %), 5.6 MB/s, 0:42 left" to stderr, without a newline. */
void cli_progress_line(const char *what, const struct fetch_progress *p, int64_t seconds);

/*
 * Where this user's models are: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME;
 * HF_ENDPOINT; HF_TOKEN, HF_TOKEN_PATH; HF_HUB_OFFLINE; OLLAMA_MODELS; LLAMA_CACHE;
 * GFXBRIDGE_OLLAMA_REGISTRY. machine stays NULL: whether a model fits is not asked unless the
 * caller sets it.
 */
struct model_env *cli_models(struct cli *cli);

/* The first options of a command that plans, in this order; its own follow. */
#define CLI_REQUEST_OPTIONS                                                                        \
    {"backend", "rocm|vulkan|cpu|vulkan-software", "only this backend"},                           \
        {"policy", "rocm-first|fastest|vulkan|cpu", "how to rank them (default rocm-first)"},      \
        {"gpu", "PCI", "only this GPU, by its PCI address"},                                       \
        {"nodes", NULL, "with paired computers, even where this one would do"},                    \
    {                                                                                              \
        "allow-override", NULL, "also code objects of an equal target, once proven"                \
    }
enum {
    CLI_REQUEST_BACKEND,
    CLI_REQUEST_POLICY,
    CLI_REQUEST_GPU,
    CLI_REQUEST_NODES,
    CLI_REQUEST_OVERRIDE,
    CLI_REQUEST_NEXT
};

/* cli->request but for the model: the machine, the tables, the places, the request. For a captured
 * machine nothing counts as installed or proven, unless --data-dir names what does. */
struct session_request *cli_read_request(struct cli *cli, const struct cli_args *args);
/* This model in cli->request; lends from it. */
void cli_request_model(struct cli *cli, const struct model *model);
/* Plan for as many requests at a time as the server answers, to tell what it will do. */
void cli_request_served(struct cli *cli);
/* What is stored for the model of this name, in cli->options, and in cli->request as far as it says
 * nothing itself. */
void cli_request_options(struct cli *cli, const char *name);
/* The beginning of a request for the engine: the stored options, and the stored "messages". */
json_t *cli_engine_request(const struct cli *cli);
/* cli->session: the plan for cli->request, from what is on disk now. */
const struct plan *cli_plan(struct cli *cli);

/* GFXBRIDGE_SANDBOX=off: engines are started without the sandbox. */
bool cli_is_unconfined(void);

/* The choice that an engine runs on, its reasons and its notes, to stderr. */
void cli_tell_choice(const struct session *session);

/* As cli_check, of a bring-up: one that ended nowhere has an exit code of its own, and with
 * --verbose tells every backend's reason. */
void cli_check_bring_up(struct cli *cli, int result);

/* ---- chat.c ---- */

/*
 * A conversation on the terminal: ask and answer until the user ends it. Line editing with a
 * history that is kept in the data directory, several lines between """ and """, /help for the
 * rest. SIGINT stops the answer, not the program. A model samples as it says, the canary greedily.
 * cli->session has been brought up for cli->request; when its engine breaks it becomes the next
 * choice's.
 */
void chat_run(struct cli *cli, unsigned max_tokens);

/* ---- cmd_explain.c ---- */

/* The five answers for every AMD GPU of cli_machine, as lines. */
void explain_this_machine(struct cli *cli, FILE *out);

/* ---- cmd_contribute.c, contribute_apply.c ---- */

enum { CONTRIBUTE_CHECKOUT = CLI_REQUEST_NEXT, CONTRIBUTE_ABOUT, CONTRIBUTE_YES };

/* A contribution's file, read and held against the tables whose texts are in *tables. differences:
 * a new array of sentences. */
void contribute_read(struct cli *cli, const char *path, struct contribution *ret,
                     struct contribution_tables *tables, json_t **ret_differences);
/* What was found, to stdout; more: members that JSON has besides. Takes over both. */
void contribute_tell(struct cli *cli, const struct contribution *c, json_t *differences,
                     json_t *more);
/* `contribute apply FILE`; its exit code. */
int contribute_apply(struct cli *cli, const struct cli_args *args);

/* ---- cmd_launch.c ---- */

/* The index-th agent that launch knows, and its program; false behind the last one. */
bool launch_agent_at(struct cli *cli, size_t index, struct str *ret_agent, struct str *ret_program);

/* ---- control.c ---- */

/* Does a server of this user run, and answer? */
bool control_runs(struct cli *cli);
/* Asks the running server of this user; body is taken over (NULL: GET). The JSON of a good answer,
 * lent until the next call: a refusal is an error with the server's own words. */
json_t *control_ask(struct cli *cli, const char *path, json_t *body);

/* ---- plot.c ---- */

enum { PLOT_POINTS = ENGINE_BENCH_PROMPTS };

struct plot_line {
    const char *name;
    size_t n;
    double x[PLOT_POINTS], y[PLOT_POINTS], limit[PLOT_POINTS]; /* y and limit: 0 unknown */
};

struct plot {
    const char *title, *x_name, *y_name;
    const char *limit_name; /* of the dashed lines */
    const struct plot_line *line;
    size_t n_lines;
};

/* As an SVG that needs nothing else, and is legible on light and on dark; appended. */
void plot_print(const struct plot *plot, struct buf *ret);
/* Text as XML takes it: no control characters, nothing that is not UTF-8. */
void plot_text(struct buf *out, const char *text);
/* A text element; anchor: "start", "middle" or "end". */
void plot_words(struct buf *out, double x, double y, const char *anchor, const char *text);

/*
 * ---- text.c: lines for people ----
 *
 * Wrapped to the terminal's width, in colour where that helps, in the characters that the locale
 * has. On no terminal lines are never wrapped and never coloured, so that other programs get one
 * line for each. Colour is left out too with NO_COLOR set (no-color.org) and on TERM=dumb.
 */

/* Marks inside a line; they take no column. */
#define TEXT_HANG   "\x1f" /* continuation lines begin in this column */
#define TEXT_GOOD   "\x11" /* green: proven */
#define TEXT_WARN   "\x12" /* yellow: a warning */
#define TEXT_BAD    "\x13" /* red: a problem */
#define TEXT_STRONG "\x14" /* bold: the answer */
#define TEXT_FAINT  "\x15" /* grey: evidence */
#define TEXT_END    "\x16" /* back to plain */

/* Columns of the terminal that out is; without one COLUMNS where it is set, else 0: endless. */
size_t text_width(FILE *out);

/*
 * Print whole lines with marks. Without TEXT_HANG continuation lines begin where the line's text
 * does. Control characters of foreign text become '?'. Write errors stay in the stream's flag.
 */
void text_print(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, wrapped to this many columns, whatever out is; 0: endless. */
void text_wrap(FILE *out, size_t width, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Bytes of the control character at the start of a text, also of a C1 one in UTF-8; 0: none. */
size_t text_control(const char *text);

/* Switch to the style of a mark, for text that is written directly. */
void text_style(FILE *out, const char *mark);

#endif
