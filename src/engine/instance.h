/* instance.h - struct engine from the inside. Private to engine/. */
#ifndef ENGINE_INSTANCE_H
#define ENGINE_INSTANCE_H

#include "engine/engine.h"
#include "engine/rundir.h"

#define INSTANCE_LOG_TAIL 32768 /* bytes of a log that are searched for causes and kept */
#define INSTANCE_KEY_HEX  65    /* 32 random bytes as text */

struct engine {
    struct rundir rundir;
    struct child child;
    int log_fd; /* the engine may put anything in place of the file's name, but not of the file */
    int status; /* as waitpid gave it, once it has ended */
    bool ended;
    char key[INSTANCE_KEY_HEX];
    double load_ms;
    char *device;      /* what --device was given; NULL none */
    char *keep_log;    /* NULL none */
    char *package_dir; /* without symbolic links */
    enum plan_backend backend;
    bool is_canary;
    char **gpu_pci; /* owned, NULL-terminated: where the weights must be; NULL any */
    struct engine_placement placement; /* as the log told before it was cut; n 0 before */
};

/* After this a person is told what takes so long, and that is: */
#define INSTANCE_PATIENCE_MS 3000
const char *instance_reason(enum plan_backend backend);

/* At most max bytes of its log from this offset on, appended to *ret. 0 or -errno. */
int instance_read_log(const struct engine *engine, off_t from, size_t max, struct buf *ret);

/* The code and cause of an answer that was cut off: the engine's end, when it has ended. begun: a
 * part of the answer had come. */
int instance_cut_off(struct engine *engine, bool begun, struct gfxb_error *err);

/* engine_start; where it fails the end of the log is appended to *ret_tail (may be NULL). */
int instance_start(const struct engine_spec *spec, struct engine **ret_engine, struct buf *ret_tail,
                   struct gfxb_error *err);

#endif
