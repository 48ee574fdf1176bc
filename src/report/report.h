/*
 * report.h - the outward header of report/: what the rooms below know -> JSON and findings, for the
 * command line and the server alike. Nothing here prints.
 *
 * JSON values are new references.
 */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "base/base.h"
#include "engine/engine.h"
#include "model/model.h"
#include "session/session.h"

#include <jansson.h>

/* ---- JSON ---- */

/* Call once, before the first value is made: from then on a small allocation of jansson's that
 * fails ends the program, as xmalloc does. Only values above 1 MiB can be NULL. */
void report_json_init(void);

/* Values of views and texts: null where empty or NULL; a byte that is no UTF-8 becomes '?'. */
json_t *report_json_str(struct str s);
json_t *report_json_text(const char *text);
json_t *report_json_string(const char *text); /* the same, but "" where empty or NULL */
json_t *report_json_bytes(uint64_t bytes);    /* null for 0 */
json_t *report_json_number(int64_t number);   /* null below 0 */
json_t *report_json_tri(enum tri value);
json_t *report_json_words(struct str list);     /* blank-separated -> array */
json_t *report_json_strings(char *const *list); /* NULL-terminated -> array */

/* The answers of `detect --json` and `plan --json`, without "schema". */
json_t *report_json_machine(const struct machine *m);
json_t *report_json_plan(const struct plan *plan);
/* One choice of a plan, with its evidence. */
json_t *report_json_choice(const struct plan_choice *choice);
/* An installed package; `backends list --json` (the plan and all of them), without "schema"; what
 * install and verify tell of a proof. */
json_t *report_json_package(const struct package *package);
json_t *report_json_backends(const struct session *session);
/* {prompt_tokens, types, shapes}: what a proof reached. */
json_t *report_json_covers(const struct engine_covers *covers);
json_t *report_json_proof(const struct plan_choice *choice, const struct engine_proof *proof);

/* A model on this disk, as `list --json` shows it. */
json_t *report_json_model(const struct model *model);
/* A row of the short list, on this disk or not. */
json_t *report_json_known(const struct model_known *row);

/* "24.0 GiB", for people: printf("%s", report_bytes(n).text). */
struct report_size {
    char text[32];
};
struct report_size report_bytes(uint64_t bytes);
struct report_size report_known_bytes(uint64_t bytes); /* "unknown" for 0 */

/*
 * ---- contributions: what one computer knows, as one text that people read ----
 *
 * A .machine text (docs/adding-a-card.md) with the parts below as files beside the computer's own.
 */

enum contribution_part {
    CONTRIBUTION_NAME,  /* small letters, digits and hyphens */
    CONTRIBUTION_ABOUT, /* what the computer is, in the owner's words */
    CONTRIBUTION_MADE,  /* "captured 2026-11-30 gfxbridge 0.1.0", or "described" */
    CONTRIBUTION_ANSWERS,
    CONTRIBUTION_OUTCOMES, /* a table: package, gpu, rung, ok, detail */
    CONTRIBUTION_LOG,      /* the end of the engines' */
    /* Rows for data/NAME.tsv, as they stand there. */
    CONTRIBUTION_CARDS,
    CONTRIBUTION_PACKAGES,
    CONTRIBUTION_QUIRKS,
    CONTRIBUTION_PROOFS,
    CONTRIBUTION_PARTS
};

enum { CONTRIBUTION_MAX = 4 << 20 }; /* bytes of the text */

struct contribution {
    char *part[CONTRIBUTION_PARTS]; /* owned; NULL: it has none */
    const struct root *root;        /* the computer; lent, or own_root */
    struct root *own_root;
};

/* "name", "about" ... "cards.tsv" ... */
extern const char *const contribution_part_names[CONTRIBUTION_PARTS];

void contribution_done(struct contribution *c);
/* Without newlines at its end; empty: there is none. */
struct str contribution_part(const struct contribution *c, enum contribution_part part);
/* The source of its rows is "contribution:NAME". */
bool contribution_name_is_good(struct str name);

int contribution_write(const struct contribution *c, struct buf *ret, struct gfxb_error *err);
/* The lines of its computer alone. */
int contribution_machine(const struct contribution *c, struct buf *ret, struct gfxb_error *err);
/* name is for messages. Strict: the text must be, byte by byte, what contribution_write makes of
 * it, and hold no personal data. EINVAL with file and line. The caller frees *ret in every case. */
int contribution_read(const char *name, struct str text, struct contribution *ret,
                      struct gfxb_error *err);
/* What personal data a line seems to hold ("a home directory"); NULL: none is seen. */
const char *contribution_private(struct str line);

/*
 * Tables with a contribution's rows in them. source: in the texts of all tables, out those that
 * have new rows, which are in bytes; changed says which they are. A row that is there already is
 * no change.
 */
struct contribution_tables {
    struct gfx_table_source source[GFX_TABLES];
    struct buf bytes[GFX_TABLES];
    bool changed[GFX_TABLES];
    struct gfx_tables *before, *after;
};

int contribution_merge(const struct contribution *c, struct contribution_tables *tables,
                       struct gfxb_error *err);
void contribution_tables_done(struct contribution_tables *tables);
/* Are its rows about this computer, and its outcomes what its rungs say? EINVAL. differences: an
 * array, to which a sentence is added for each fact that the tables have otherwise. */
int contribution_judge(const struct contribution *c, const struct contribution_tables *tables,
                       json_t *differences, struct gfxb_error *err);

/* ---- doctor: problems that were found, each with its remedy as a command to copy ---- */

enum doctor_severity { DOCTOR_BLOCK, DOCTOR_WARN, DOCTOR_INFO };

/* Everything that the checks read, and what they found. */
struct doctor_case {
    bool live;            /* this computer, not a described one: directories can be checked */
    const char *data_dir; /* NULL none */
    const char *runtime_dir;
    bool unconfined;         /* engines are started without the sandbox */
    unsigned port;           /* the server's; 0: not checked */
    const struct root *root; /* what the machine was read from; NULL: files are not checked */
    const struct machine *machine;
    const struct plan *plan;
    const struct gfx_tables *tables;
    /* The caller's array, to which findings are added: {code, severity: "block", "warn" or "info",
     * what, why, remedy: null where nothing helps}. */
    json_t *findings;
    bool problem; /* one of them blocks or warns */
};

/* Adds a finding. code: a reason code, or a name of the check's own; remedy may be "". */
void doctor_tell(struct doctor_case *c, const char *code, enum doctor_severity severity,
                 const char *what, const char *why, const char *remedy);

/* Tables of this user that are ignored or broken: one finding each. broken is the error of the one
 * that stopped the reading; NULL none. */
void doctor_check_tables(struct doctor_case *c, const char *config_dir, const char *broken);

/* The data directory and the runtime directory of the live computer. */
void doctor_check_places(struct doctor_case *c);

/* Adds a finding that says why there is no plan. */
void doctor_tell_no_plan(struct doctor_case *c, const char *why);

/* Runs every check, in the order of the table. */
void doctor_examine(struct doctor_case *c);

#endif
