/* progress.h - how a pull goes, for a person at a terminal, for a log file, or for a program. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli/cli.h"
#include "model/model.h"

struct cli_progress {
    const struct cli *cli;
    const char *model; /* as the user said it */
    bool json;         /* one object a line on stdout, for a program */
    bool drawn;        /* a terminal's line is unfinished */
    int64_t shown;     /* when the last line was written, in ms */
    size_t file;       /* whose line it was */
};

/* model_env's progress callback; context is the struct cli_progress. */
void cli_progress_show(void *context, const struct model_progress *at);

/* End the terminal's line, so that other words begin on their own. */
void cli_progress_end(struct cli_progress *p);

/* A line for programs: {"schema": 1, "event": EVENT, "model": ..., ...}; takes more over. */
void cli_progress_event(const struct cli_progress *p, const char *event, json_t *more);

#endif
