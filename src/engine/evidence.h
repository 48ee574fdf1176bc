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
    char device[32];       /* "Vulkan0", "CPU" (kinds like CPU_Mapped are added up) */
    char description[160]; /* "" for the CPU */
    char pci[20];          /* "0000:03:00.0"; "" not told */
    bool gpu;              /* not the CPU, not a host buffer, not BLAS */
    double model_mib;      /* weights; negative: none */
    double other_mib;      /* KV cache and compute buffers; negative: none */
};

struct engine_placement {
    struct engine_share item[ENGINE_PLACEMENT_MAX];
    size_t n;
    double gpu_mib, cpu_mib; /* weights */
    bool loaded;             /* the log says that loading has ended */
};

/*
 * Judge this very start: are the weights where spec->backend, device and gpu_pci wanted them, did
 * every ROCm library come from one tree? Milliseconds: for every start, proven or not. Codes:
 * not-on-device, library-missing. ret_placement is filled on success and on not-on-device.
 */
int engine_verify(struct engine *engine, struct engine_placement *ret_placement,
                  struct gfxb_error *err);

/* "ROCm0, ROCm1" and their descriptions, or "CPU": for people and for JSON. */
void engine_placement_text(const struct engine_placement *placement, char *ret_text, size_t size);

/* ---- causes: data/causes.tsv ---- */

struct engine_cause {
    struct str pattern; /* what the message holds; '*' stands for anything within a line */
    int code;           /* GFXB_E_ */
    struct str text;    /* one sentence: what it means */
    struct str remedy;  /* what to do; may be empty */
    struct str program; /* whose message it is */
    struct str source;
};

/* The rows whose pattern is found in a text, most telling first. Returns how many were filled in;
 * the strings live as long as the program. */
size_t engine_cause_find(struct str text, struct engine_cause *ret_causes, size_t max);
/* Every row parses, has a known code, a sentence and a source? For `table check`. */
int engine_causes_check(struct gfxb_error *err);
/* The same for data/drivers.tsv: Vulkan drivers, and what they open by themselves. */
int engine_drivers_check(struct gfxb_error *err);

#endif
