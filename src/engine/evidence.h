/*
 * evidence.h - what an engine says about itself: its devices, where its weights are, why it failed.
 * Part of engine/engine.h.
 */
#ifndef ENGINE_EVIDENCE_H
#define ENGINE_EVIDENCE_H

#include "engine/instance.h"

struct engine_device {
    char name[32];         /* "Vulkan0", "ROCm0" */
    char description[160]; /* "AMD Radeon RX 7900 XTX (RADV NAVI31)" */
    uint64_t total_mib, free_mib;
};

struct engine_devices {
    struct engine_device *item; /* owned */
    size_t n;
    char *said; /* owned: what the engine wrote to stderr */
};

/* The devices that the engine lists in a child with this deadline, in the environment in
 * which the spec's engine will serve. An empty list is a success: see said. */
int engine_list_devices(const struct engine_spec *spec, int deadline_ms,
                        struct engine_devices *ret_devices, struct gfxb_error *err);
void engine_devices_done(struct engine_devices *devices);

#define ENGINE_PLACEMENT_MAX 24

/* Where one start put its weights, by its own log. */
struct engine_share {
    /* "Vulkan0", "CPU" (kinds like CPU_Mapped are added up), "RPC0[127.0.0.1:1]" */
    char device[32];
    char description[160]; /* "" for the CPU */
    char pci[20];          /* "0000:03:00.0"; "" not told */
    bool gpu;              /* not the CPU, not a host buffer, not BLAS, not a remote's */
    unsigned remote;       /* from 1: of engine_spec.remote, whose name is the description; 0 */
    double model_mib;      /* weights; negative: none */
    double other_mib;      /* KV cache and compute buffers; negative: none */
};

struct engine_placement {
    struct engine_share item[ENGINE_PLACEMENT_MAX];
    size_t n;
    double gpu_mib, cpu_mib, remote_mib; /* weights; gpu and cpu: of this computer */
    bool loaded;                         /* the log says that loading has ended */
};

/*
 * Judge this very start: are the weights where spec->backend, device and gpu_pci wanted them, has
 * every remote some, did every ROCm library come from one tree? Milliseconds: for every start,
 * proven or not. Codes: not-on-device, library-missing. ret_placement is filled on success and on
 * not-on-device.
 */
int engine_verify(struct engine *engine, struct engine_placement *ret_placement,
                  struct gfxb_error *err);

/* "ROCm0, ROCm1" and their descriptions, or "CPU": for people and for JSON. */
void engine_placement_text(const struct engine_placement *placement, char *ret_text, size_t size);

/* ---- causes: data/causes.tsv ---- */

struct engine_cause {
    int code;             /* GFXB_E_ */
    bool effect;          /* only follows from something: says that it ended, not why */
    struct str text;      /* one sentence: what it means */
    struct str remedy;    /* what to do; may be empty */
    struct str program;   /* whose message it is */
    struct str line;      /* of the text, the first with this message; lent by it */
    unsigned line_number; /* from 1 */
};

/*
 * The known messages in a text, the root first: causes, then what follows from them, then what is
 * harmless, each in the order of the text. One for each line; the telling rows stand first in the
 * table. Returns how many were filled in, at most max.
 */
size_t engine_cause_find(struct str text, struct engine_cause *ret_causes, size_t max);
/* It explains no engine's end. */
bool engine_cause_is_harmless(const struct engine_cause *cause);

/* data/programs.tsv: whose words a text is made of. */
struct engine_speaker {
    struct str program;
    struct str send; /* what somebody who helps needs of it */
};

/* The first row that the text has words of; false: none. */
bool engine_speaker_find(struct str text, struct engine_speaker *ret_speaker);

/* Is every row of both tables whole and its code known? For `table check`. */
int engine_causes_check(struct gfxb_error *err);
/* The same for data/drivers.tsv: Vulkan drivers, and what they open by themselves. */
int engine_drivers_check(struct gfxb_error *err);

#endif
