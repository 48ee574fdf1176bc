/*
 * kind.h - what an engine is: a row for each program that can serve models, with everything that is
 * its own. Part of engine/engine.h.
 *
 * A row is one file of engine/ and its line in kind.c; data/engines.tsv has what the rooms below
 * must know of it (names of files, arguments of the plan and of models' recipes). No other file
 * knows its arguments, its words, its paths or its bugs.
 */
#ifndef ENGINE_KIND_H
#define ENGINE_KIND_H

#include "model/model.h"
#include "plan/plan.h"

#include <jansson.h>

/* What an engine can be asked, each at a path of its own. The bodies of the first ones are
 * OpenAI's.
 */
enum engine_call {
    ENGINE_CALL_CHAT,
    ENGINE_CALL_COMPLETIONS,
    ENGINE_CALL_EMBEDDINGS,
    ENGINE_CALL_RERANK,
    ENGINE_CALL_COUNT_TOKENS, /* of a chat */
    ENGINE_CALL_TOKENIZE,
    ENGINE_CALL_DETOKENIZE,
    ENGINE_CALL_TEMPLATE, /* a chat as the text that the model reads */
    ENGINE_CALL_INFILL,
    ENGINE_CALL_COMPLETION,     /* the engine's own form of completions */
    ENGINE_CALL_TRANSCRIPTIONS, /* OpenAI's: a form with a sound */
    ENGINE_CALLS
};

struct engine_chat;
struct engine_devices;
struct engine_placement;
struct engine_reply;
struct engine_spec;
struct engine;

/* Owned strings, NULL-terminated from the first one on. */
struct engine_words {
    char **word;
    size_t n;
};

/* What a serving engine is given beside its spec. */
struct engine_serving {
    const char *socket; /* NULL: it is a worker */
    const char *key;
    unsigned threads;
    bool is_canary;
};

/* One event of a streamed answer. */
struct engine_chunk {
    json_t *json;                                /* owned: what the views below point into */
    struct str text, thinking;                   /* empty: none */
    bool finished;                               /* the answer ends with this one */
    bool cut;                                    /* at the limit of tokens */
    int64_t tokens, prompt_tokens;               /* -1 not told */
    double least_probability;                    /* of its tokens; -1 not told */
    double tokens_per_second, prompt_per_second; /* 0 not told */
    char refusal[400];                           /* the engine's error; "" none */
};

/* What an engine counted of an answer. 0: not told. */
struct engine_timings {
    unsigned prompt_tokens; /* that were computed, not taken from a cache */
    unsigned tokens;        /* generated */
    double prompt_per_second, tokens_per_second;
};

/* What a proof reached, each a list of words separated by blanks; "" nothing told. */
struct engine_covers {
    char types[400];    /* tensor types: "Q4_K Q6_K" */
    char shapes[64];    /* "dense experts window" */
    char lengths[64];   /* tokens of prompts: "6 24 200" */
    uint64_t sequences; /* prompts at the same time; 0 not told */
    char canaries[600]; /* seeded canaries that answered right: "mixed window IQ3_S" */
    char skipped[200];  /* those that the engine does not know, or leaves to the CPU */
    char fails[200];    /* those that failed: no model of their kind is served */
    char why[400];      /* how the first of them failed */
};

/* What a model is made of, as above. */
struct engine_need {
    char types[400], shapes[64];
    char attention[100]; /* arguments that choose its kernels: "-x=q8_0,-y=on"; "" none */
};

/* A prompt as tokens. */
struct engine_tokens {
    uint32_t *id;
    size_t n;
};

/* One token of an answer: which was taken, and which the model held most likely, the likeliest
 * first, with the logarithms of their probabilities. */
struct engine_step {
    uint32_t token;
    size_t n; /* at least one */
    struct {
        uint32_t token;
        double log;
    } likely[40];
};

struct engine_steps {
    struct engine_step step[16];
    size_t n;
};

/* Names in the JSON object that an engine ends its answers with; NULL: it does not tell. Times in
 * ms, speeds in tokens a second. */
struct engine_figures {
    const char *object;
    const char *prompt, *cached, *tokens; /* prompt: without the cached ones */
    const char *prompt_ms, *tokens_ms, *prompt_per_second, *tokens_per_second;
};

/* The built-in model that a kind is proven with. */
struct engine_canary {
    const char *suffix;              /* of its file's name */
    const char *bytes, *end;         /* embedded */
    const char *sha256;              /* of them, as text */
    unsigned context;                /* tokens that it was trained for */
    const char *table, *table_end;   /* its questions with their answers, as data/canary.tsv */
    struct engine_covers covers;     /* what its questions reach */
    const char *seeded, *seeded_end; /* those of models of random weights, as data/seeded.tsv */
    const char *seeded_sha256;       /* of these, as text */
};

/* What tune may try: settings of one thing beside the engine's own default. */
struct engine_knob {
    const char *title;
    const char *const *names; /* of its arguments: where a recipe or the user gives one it is left
                                 alone; NULL-terminated */
    /* Each: arguments and values, separated by blanks, or "NAME=value" for the environment, with
     * "{n}" for a number; "slots={n}" is not the engine's. NULL-terminated. */
    const char *const *settings;
    enum {
        ENGINE_NUMBER_NONE,
        ENGINE_NUMBER_THREADS,
        ENGINE_NUMBER_LAYERS,  /* on the GPU, of a model that is there in part */
        ENGINE_NUMBER_EXPERTS, /* layers whose experts are on the CPU, likewise */
        ENGINE_NUMBER_SLOTS,   /* where answers at the same time are measured */
    } number;
    unsigned backends; /* 1 << PLAN_ROCM and so on; 0: all */
    bool start;        /* how the model's file is read */
};

struct engine_kind {
    const char *name; /* its row of data/engines.tsv */

    /* ---- how it is started ---- */
    void (*add_arguments)(const struct engine_spec *spec, const struct engine_serving *serving,
                          struct engine_words *argv);
    const char *const *variables; /* always in its environment; NULL-terminated */
    const char *key_variable;     /* gives it the key that it must be asked with */
    const char *list_argument;    /* makes it list its devices and end */
    /* The arguments of the package's worker; NULL: the kind has none. */
    void (*add_worker_arguments)(const struct engine_spec *spec,
                                 const struct engine_serving *serving, struct engine_words *argv);
    /* The version of the protocol in a worker's log; false: it does not say yet. */
    bool (*read_protocol)(struct str log, char *ret_version, size_t size);
    const char *device_argument; /* before the device */
    const char *layers_argument; /* before the number of layers on the GPU */
    const char *no_device;       /* the device that keeps it on the CPU */
    /* With a value behind each: they choose the kernels of attention; NULL-terminated. */
    const char *const *attention_arguments;
    const struct engine_knob *knobs;   /* end with a NULL title */
    const char *const *own_arguments;  /* never a choice's to give; NULL-terminated, as below */
    const char *const *own_variables;  /* beginnings of names, likewise */
    const char *const *free_variables; /* beginnings that a choice may still give */
    const char *name_argument;         /* before what answers call the model */
    /* Those of a spec that is plain; likewise. */
    const char *const *plain_variables;

    /* ---- its signs of life ---- */
    const char *ready_path; /* GET gives 200 once the model is loaded */
    const char *alive_path; /* answered by the thread that computes, between two batches */

    /* ---- what its output says ---- */
    const char
        *device_prefix[PLAN_BACKENDS]; /* of the names of a backend's devices; NULL: the CPU */
    /* Lines that are no device are passed over; ret_devices->item is owned by the caller. */
    void (*read_devices)(struct str text, struct engine_devices *ret_devices);
    /* A whole log. Of several loads in it the last counts. */
    void (*read_placement)(struct str log, struct engine_placement *ret_placement);
    /* Cut its time stamp and level off a line of its log; false: there are none. ret_error: does
     * the level say that something went wrong? */
    bool (*cut_stamp)(struct str *line, bool *ret_error);

    /* ---- how it is asked ---- */
    const char *path[ENGINE_CALLS]; /* NULL: it has no such call */
    /* The body of a streamed chat, to be freed; NULL with *err filled. */
    char *(*chat_request)(const struct engine_chat *chat, struct gfxb_error *err);
    /* field is "data" or "error", as of an event stream. 0; 1 for the mark behind the last event;
     * or -EPROTO when it is none of its. */
    int (*read_chunk)(struct str field, struct str value, struct engine_chunk *ret_chunk);
    /* The error in the body of an answer that is no success. */
    void (*read_refusal)(struct str body, char *ret_text, size_t size);
    /* The same: is it that the request has more tokens than the engine takes? ret_most: that it
     * would take. */
    bool (*read_excess)(struct str body, uint64_t *ret_tokens, uint64_t *ret_most);
    /* Beginnings of its errors that are called its own and are the request's fault;
     * NULL-terminated. */
    const char *const *request_faults;
    /* Words in its errors that say that a model's chat template refuses the messages;
     * NULL-terminated. */
    const char *const *template_faults;
    const struct engine_figures *figures; /* NULL: it tells none */
    /* For bench: a body whose answer tells the ids of some words' tokens (a new reference, at least
     * one), and one with a prompt of this many tokens, made of these again and again, and an answer
     * of this many whatever the model would rather say (to be freed). 0 or -EPROTO. */
    /* For seeded canaries: a body with prompts that are answered at the same time (to be freed),
     * and the i-th one's greedy answer from what it gives (at most size bytes with the NUL). 0 or
     * -EPROTO. */
    char *(*tokens_request)(const struct engine_tokens *prompt, size_t n, unsigned answer_tokens);
    int (*read_answer)(struct str body, size_t i, char *ret_text, size_t size);
    /* To compare two devices: a body with a text that is gone on with for `tokens` tokens,
     * greedily in this slot, with the `likely` likeliest ones of each (to be freed), and these. 0
     * or -EPROTO. */
    char *(*steps_request)(const char *prompt, unsigned tokens, unsigned likely, unsigned slot);
    int (*read_steps)(struct str body, struct engine_steps *ret_steps);
    /* What its slots hold: an argument before the directory that they are saved in; the path and
     * the body (both to be freed) to save a slot to the file of its number there, or to restore it;
     * and from what alive_path gives, the tokens of each: how many there are, or -EPROTO. */
    const char *slots_argument;
    char *(*slot_path)(unsigned slot, bool save);
    char *(*slot_request)(unsigned slot);
    int (*read_slots)(struct str body, unsigned *ret_tokens, size_t most);
    const char *words_request;
    int (*read_ids)(struct str body, json_t **ret_ids);
    char *(*timed_request)(const json_t *ids, unsigned prompt_tokens, unsigned answer_tokens);
    int (*read_timings)(struct str body, struct engine_timings *ret_timings);

    /* ---- how it is proven ---- */
    const struct engine_canary *canary;
};

/* The kind of a row of data/engines.tsv; an empty name is the first row's. NULL: this program
 * cannot run it. */
const struct engine_kind *engine_kind_find(struct str name);
/* The kind that runs a model, by its row of the list (NULL: not listed, then the first). Never
 * NULL: of a kind that this program cannot run no plan has a choice. */
const struct engine_kind *engine_kind_of_model(const struct model_known *known);
/* The kind that a package is of; NULL with *err filled. */
const struct engine_kind *engine_kind_of(const char *name, struct gfxb_error *err);

__attribute__((format(printf, 2, 3))) void engine_words_add(struct engine_words *words,
                                                            const char *format, ...);
void engine_words_done(struct engine_words *words);

#endif
