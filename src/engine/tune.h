/*
 * tune.h - the search for an engine's fastest settings on this computer with one model. Part of
 * engine/engine.h.
 *
 * An engine kind names its knobs (struct engine_knob in kind.h). A point is one setting of each;
 * the search measures points beside the default, and takes one only when it is faster by more than
 * the noise. It knows nothing of engines: its callbacks do.
 */
#ifndef ENGINE_TUNE_H
#define ENGINE_TUNE_H

#include "engine/instance.h"
#include "engine/kind.h"

#define TUNE_KNOBS 16

/* A setting of each knob; 0: the default. */
struct tune_point {
    unsigned char at[TUNE_KNOBS];
};

/* What is measured: the work of a chat in three lengths, or a start. */
enum tune_level { TUNE_SHORT, TUNE_MIDDLE, TUNE_LONG, TUNE_START, TUNE_LEVELS };

struct tune_search {
    size_t n_knobs;
    unsigned char settings[TUNE_KNOBS]; /* of each knob, beside the default */
    bool start[TUNE_KNOBS];             /* the knob is about the start too */
    bool first; /* knob 0 is decided before the others (the backend): they depend on it */
    int64_t budget_ms;
    unsigned left; /* measurements that are still expected; kept by the search */
    void *context;
    /* The seconds of one measurement. 0; 1: the engine cannot do it with this point, which is out;
     * negative: the search ends with this code. */
    int (*measure)(void *context, const struct tune_point *point, enum tune_level level,
                   double *ret_seconds, struct gfxb_error *err);
    /* Does it compute the same? Results as above. Only such points win. */
    int (*check)(void *context, const struct tune_point *point, struct gfxb_error *err);
    /* A point has won: it is the best so far. Negative: the search ends. */
    int (*won)(void *context, const struct tune_point *point, double gain, double spread,
               struct gfxb_error *err);
    int64_t (*spent_ms)(void *context); /* of the budget */
};

struct tune_outcome {
    struct tune_point best; /* all 0: the default stays */
    double gain, spread;    /* how many times as fast as the default, and its standard error */
    double start_gain;      /* the same of the start, of a setting that was taken for it; 0 none */
    unsigned tried, failed, wrong; /* points; that could not be measured; that failed the check */
};

/* 0, or the negative result of a callback; *ret_outcome is filled in either case, with what has won
 * so far. -EPROTO: the default itself cannot be measured. */
int engine_tune(struct tune_search *search, struct tune_outcome *ret_outcome,
                struct gfxb_error *err);

bool tune_is_default(const struct tune_point *point);

/* ---- settings as an engine takes them ---- */

/* What numbers stand for "{n}" here. */
struct engine_numbers {
    unsigned threads, processors; /* the default's; all that there are */
    unsigned layers, gpu_layers;  /* of the model; on the GPU, when that is a part */
    unsigned slots, usual_slots;  /* that memory allows, at most; the default's */
    bool experts;
};

/* The settings of a knob with these numbers: each a text as in the knob's row. Appended to *ret. */
void engine_knob_settings(const struct engine_knob *knob, const struct engine_numbers *numbers,
                          struct engine_words *ret);

/* The knob that has this setting; NULL: it is none of this kind's. */
const struct engine_knob *engine_knob_of(const struct engine_kind *kind, const char *setting);
/* Add what it means to a command line or an environment, or fill in the slots. */
void engine_setting_take(const char *setting, struct engine_words *args, struct engine_words *env,
                         unsigned *ret_slots);

/* ---- what is measured ---- */

enum tune_for { TUNE_CHAT, TUNE_AGENTS, TUNE_BATCH, TUNE_FORS };
const char *tune_for_name(enum tune_for work); /* "chat" */
int tune_for_from_name(const char *name);      /* -1 unknown */

/* Seconds of this work by the speeds of a running engine whose answers have so much context; ms:
 * when to give up. The codes are engine_chat's. */
int engine_tune_measure(struct engine *engine, enum tune_for work, enum tune_level level,
                        unsigned context, int64_t ms, const atomic_int *cancel, double *ret_seconds,
                        struct gfxb_error *err);

#define TUNE_DEPTHS 4

struct tune_depth {
    unsigned prompt_tokens;
    double prompt_per_second, tokens_per_second; /* medians; 0 not told */
    double first_token_ms;
};

/* How fast it is behind prompts of several lengths; those that would take longer than ms together
 * are left out. */
int engine_tune_report(struct engine *engine, unsigned context, int64_t ms,
                       const atomic_int *cancel, struct tune_depth ret_depth[TUNE_DEPTHS],
                       size_t *ret_n, struct gfxb_error *err);

#endif
