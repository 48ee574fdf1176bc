/*
 * cli.h - the outward header of cli/: a command line -> calls of the rooms, and words for people.
 *
 * One file a command, one row in the table of commands.c. JSON goes to stdout and nothing else
 * there; progress and people's words about it go to stderr.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/xalloc.h"
#include "gfx/gfx.h"
#include "machine/machine.h"
#include "plan/plan.h"
#include "report/report.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>

enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOTHING_USABLE = 3,
    CLI_PROOF_FAILED = 4,
    CLI_INTERRUPTED = 130,
};

/* The process's settings and what commands share, made on first use. */
struct cli {
    const char *sysroot; /* NULL: the live computer */
    enum gfx_os os;
    bool json, quiet, verbose, no_network, data_dir_given;
    /* Owned; XDG places or as given; NULL where this user has no home. */
    char *data_dir, *config_dir, *runtime_dir;
    struct log log;
    struct root *root; /* these three are owned, made on first use */
    struct gfx_tables *tables;
    struct machine *machine;
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
    const char *words; /* "[QUERY]"; "" none */
    size_t min_words, max_words;
    const char *summary;              /* one line */
    const char *about;                /* for --help and the manual page: a line is a paragraph, with
                                         TEXT_HANG one of a list */
    const struct cli_option *options; /* ends with a NULL name */
    bool any_os; /* answers from the tables, also for the other system (--os) */
    bool live;   /* starts engines: refuses --sysroot */
    /* An exit code, or a negative error with *err filled. */
    int (*run)(struct cli *cli, const struct cli_args *args, struct gfxb_error *err);
};

extern const struct cli_command cli_command_backends, cli_command_bench, cli_command_capture,
    cli_command_complete, cli_command_detect, cli_command_doctor, cli_command_env,
    cli_command_explain, cli_command_import, cli_command_inspect, cli_command_list,
    cli_command_load, cli_command_plan, cli_command_pull, cli_command_rm, cli_command_run,
    cli_command_serve, cli_command_show, cli_command_status, cli_command_stop, cli_command_storage,
    cli_command_table, cli_command_unload, cli_command_update;

/* Not 0 once the user wants us to end: the number of the signal. Written by the handler alone. */
extern atomic_int cli_cancelled;
/* From here on SIGINT, SIGTERM and SIGHUP only set cli_cancelled: for commands that look at it. */
void cli_catch_signals(void);

/* The whole program. */
int cli_main(int argc, char **argv);

/* A command by its name; NULL none. */
const struct cli_command *cli_find_command(const char *name);
/* All commands for people, ending with a NULL. */
const struct cli_command *const *cli_commands(void);

/* Parse options and words of a command: CLI_DONE, or -GFXB_E_USAGE. */
int cli_parse(struct cli *cli, const struct cli_command *command, int argc, char **argv,
              struct cli_args *ret_args, bool *ret_help, struct gfxb_error *err);
/* Global options in front of the command; *ret_next is the index of the first other word. */
int cli_parse_global(struct cli *cli, int argc, char **argv, int *ret_next, bool *ret_help,
                     bool *ret_version, struct gfxb_error *err);
/* The options that every command takes, ending with a NULL name. */
const struct cli_option *cli_global_options(void);
void cli_help(FILE *out);
void cli_command_help(const struct cli_command *command, FILE *out);

/* -GFXB_E_USAGE where this user has no directory for data and named none. */
int cli_need_data_dir(const struct cli *cli, struct gfxb_error *err);

/* $HOME, or what the user database says; NULL when neither is an absolute path. */
const char *cli_home(void);

/* Lent by cli: made on first use, from --sysroot or the live computer. */
int cli_root(struct cli *cli, const struct root **ret_root, struct gfxb_error *err);
int cli_tables(struct cli *cli, const struct gfx_tables **ret_tables, struct gfxb_error *err);
int cli_machine(struct cli *cli, const struct machine **ret_machine, struct gfxb_error *err);

/* Every rule of `table check`. */
int cli_table_check(const struct gfx_tables *tables, struct gfxb_error *err);

/* Print one JSON object with "schema": 1 first, and take over the reference. */
int cli_print_json(json_t *object, struct gfxb_error *err);

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
#define TEXT_BAD    "\x13" /* red: what stands in the way */
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
/* The same to so many columns, whatever out is; 0: endless. */
void text_wrap(FILE *out, size_t width, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Switch to the style of a mark, for text that is written directly. */
void text_style(FILE *out, const char *mark);

#endif
