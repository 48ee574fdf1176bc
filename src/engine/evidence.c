/* evidence.c - which devices an engine lists, and whether this very start did what was asked of it.
 */
#include "engine/engine_private.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define DEVICES_DEADLINE_MS 30000
#define DEVICES_OUTPUT_MAX  (1u << 20)
#define VERIFY_CANARY       2 /* GPUs that its two layers and its output are enough for, at least */
#define VERIFY_CANARY_PARTS 3 /* that can be on computers of their own: all of these */
#define VERIFY_LOG_MAX      (64u << 20)
#define VERIFY_MAPS_MAX     (16u << 20)
#define VERIFY_SETTLE_MS    500 /* the engine's log is written by a thread of its own */
#define BLAS_FILES_MAX      6
#define VERIFY_QUIET_MS     50 /* an engine that words it otherwise has told all after this */

/* ---- the list of its devices ---- */

static int devices_collect(const struct engine_kind *kind, const struct child_result *result,
                           int deadline_ms, struct engine_devices *ret_devices,
                           struct gfxb_error *err)
{
    struct engine_devices devices = {.n = 0};
    if (result->timed_out)
        return error_set(err, GFXB_E_ENGINE_HANG,
                         "the engine did not list its devices within %.1f s and was ended",
                         deadline_ms / 1000.0);
    if (!child_result_ok(result)) {
        struct buf CLEAN_BUF said = BUF_INIT(2 * DEVICES_OUTPUT_MAX + 2);
        buf_add_str(&said, buf_view(&result->out));
        buf_add_char(&said, '\n');
        buf_add_str(&said, buf_view(&result->err));
        return diagnose_explain(kind, result->status, buf_view(&said), "while listing its devices",
                                err);
    }
    devices.said = xstrdup(buf_text(&result->err));
    kind->read_devices(buf_view(&result->out), &devices);
    *ret_devices = devices;
    return 0;
}

int engine_list_devices(const struct engine_spec *spec, int deadline_ms,
                        struct engine_devices *ret_devices, struct gfxb_error *err)
{
    const struct engine_kind *kind = engine_kind_of(spec->package->engine, err);
    struct rundir rundir = RUNDIR_NONE;
    struct launch launch;
    struct child_result result;
    deadline_ms = deadline_ms > 0 ? deadline_ms : DEVICES_DEADLINE_MS;
    int code =
        kind ? rundir_open(spec->runtime_dir, spec->cancel, &rundir, err) : -GFXB_E_NO_PACKAGE;
    if (code < 0)
        return code;
    code = launch_new(kind, spec, rundir.path, NULL, &launch, err);
    if (code == 0) {
        struct child_spec child = launch_child(&launch);
        child.deadline_ms = deadline_ms;
        child.max_output = DEVICES_OUTPUT_MAX;
        code = child_run(&child, &result, err);
        launch_done(&launch);
        if (code == 0) {
            code = devices_collect(kind, &result, deadline_ms, ret_devices, err);
            child_result_done(&result);
        }
    }
    rundir_close(&rundir);
    return code;
}

void engine_devices_done(struct engine_devices *devices)
{
    free(devices->item);
    free(devices->said);
    *devices = (struct engine_devices){.n = 0};
}

/* ---- which ROCm libraries it has loaded ---- */

/* The user-space libraries of ROCm that must be of one release: HIP and what it loads, and what
 * the engine's own HIP backend needs (the NEEDED entries of Debian's and of TheRock's libraries).
 */
static const char *const maps_rocm_names[] = {
    "libamdhip64.so",       "libhiprtc.so",
    "libhsa-runtime64.so",  "libamd_comgr.so",
    "libhsakmt.so",         "librocblas.so",
    "libhipblas.so",        "libhipblaslt.so",
    "librocsolver.so",      "librocsparse.so",
    "libhipsparse.so",      "librocroller.so",
    "librocm_kpack.so",     "librocprofiler-register.so",
    "libhipblas-common.so",
};

static bool maps_is_rocm(struct str name)
{
    for (size_t i = 0; i < sizeof(maps_rocm_names) / sizeof(maps_rocm_names[0]); i++) {
        struct str known = str_from(maps_rocm_names[i]);
        if (str_starts(name, known) && (name.n == known.n || name.p[known.n] == '.'))
            return true;
    }
    return false;
}

/* "/opt/rocm-7.2.0" of "/opt/rocm-7.2.0/lib/x.so": everything before the first directory that is
 * called lib, lib32 or lib64. The file's own directory where there is none. */
static struct str maps_tree_of(struct str path, struct str package_dir)
{
    if (package_dir.n && str_starts(path, package_dir) && path.n > package_dir.n &&
        path.p[package_dir.n] == '/')
        return package_dir;
    size_t last = 0;
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] != '/')
            continue;
        struct str rest = {path.p + i + 1, path.n - i - 1};
        if (str_starts(rest, STR("lib/")) || str_starts(rest, STR("lib64/")) ||
            str_starts(rest, STR("lib32/")))
            return (struct str){path.p, i};
        last = i;
    }
    return (struct str){path.p, last};
}

static bool maps_has(const struct maps *maps, struct str path)
{
    for (size_t i = 0; i < maps->n; i++) {
        if (str_eq(maps->item[i].path, path))
            return true;
    }
    return false;
}

void maps_parse(struct str text, struct str package_dir, struct maps *ret_maps)
{
    struct maps maps = {.n = 0};
    struct str line;
    while (maps.n < MAPS_LIBRARIES_MAX && str_cut(&text, '\n', &line)) {
        const char *slash = line.n ? memchr(line.p, '/', line.n) : NULL;
        if (!slash)
            continue;
        struct str path = {slash, line.n - (size_t)(slash - line.p)};
        if (str_ends(path, STR(" (deleted)")))
            path.n -= strlen(" (deleted)");
        const char *base = memrchr(path.p, '/', path.n);
        struct str name = {base + 1, path.n - (size_t)(base + 1 - path.p)};
        if (!maps_is_rocm(name) || maps_has(&maps, path))
            continue;
        maps.item[maps.n++] = (struct maps_library){path, name, maps_tree_of(path, package_dir)};
    }
    *ret_maps = maps;
}

bool maps_are_mixed(const struct maps *maps, const struct maps_library **ret_a,
                    const struct maps_library **ret_b)
{
    for (size_t i = 1; i < maps->n; i++) {
        if (!str_eq(maps->item[i].tree, maps->item[0].tree)) {
            *ret_a = &maps->item[0];
            *ret_b = &maps->item[i];
            return true;
        }
    }
    return false;
}

/* ---- this very start ---- */

double placement_device_share(const struct engine_placement *placement)
{
    double devices = placement->gpu_mib + placement->remote_mib;
    return devices > 0.0 ? devices / (devices + placement->cpu_mib) : 0.0;
}

bool placement_names(const struct engine_share *share, const char *devices)
{
    struct str rest = str_from(devices), name;
    while (str_cut(&rest, ',', &name)) {
        if (str_is(name, share->device))
            return true;
    }
    return false;
}

void engine_placement_text(const struct engine_placement *placement, char *ret_text, size_t size)
{
    struct buf CLEAN_BUF text = BUF_INIT(8192);
    for (size_t i = 0; i < placement->n; i++) {
        const struct engine_share *share = &placement->item[i];
        if ((!share->gpu && !share->remote) || share->model_mib <= 0.0)
            continue;
        buf_addf(&text, "%s%s", text.n ? ", " : "",
                 share->remote ? share->description : share->device);
        if (share->description[0] && !share->remote)
            buf_addf(&text, " (%s)", share->description);
    }
    bool cpu = placement->gpu_mib <= 0.0 && (placement->cpu_mib > 0.0 || text.n == 0);
    snprintf(ret_text, size, "%s%s%s", buf_text(&text), cpu && text.n ? ", " : "",
             cpu ? "CPU" : "");
}

static int verify_read_placement(const struct engine *engine,
                                 struct engine_placement *ret_placement, struct gfxb_error *err)
{
    int64_t until = clock_now_ms() + VERIFY_SETTLE_MS, grew = clock_now_ms();
    size_t size = 0;
    for (;;) {
        struct buf CLEAN_BUF log = BUF_INIT(VERIFY_LOG_MAX + (1u << 18));
        int code = instance_read_log(engine, 0, VERIFY_LOG_MAX, &log);
        if (code < 0)
            return error_set(err, -code, "cannot read the engine's log: %s",
                             error_errno_text(-code));
        engine->kind->read_placement(buf_view(&log), ret_placement);
        int64_t now = clock_now_ms();
        if (log.n != size)
            grew = now;
        size = log.n;
        if (ret_placement->loaded || now >= until ||
            (ret_placement->n && now - grew >= VERIFY_QUIET_MS))
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
}

/* Every address of the set has weights, as far as the model goes round, and no weights are on a
 * card outside of it. A driver that tells no address neither proves nor disproves anything. */
static int verify_cards(const struct engine *engine, const struct engine_placement *placement,
                        struct gfxb_error *err)
{
    size_t wanted = engine->gpu_pci.n, untold = 0, without = 0, first = 0;
    if (wanted == 0 || !engine->gpu_pci.word[0][0])
        return 0;
    for (size_t i = 0; i < placement->n; i++) {
        const struct engine_share *share = &placement->item[i];
        if (!share->gpu || share->model_mib <= 0.0)
            continue;
        bool in_set = !share->pci[0];
        untold += !share->pci[0];
        for (size_t k = 0; k < wanted; k++)
            in_set = in_set || strcmp(engine->gpu_pci.word[k], share->pci) == 0;
        if (!in_set)
            return error_set(err, GFXB_E_NOT_ON_DEVICE,
                             "the weights are on another card: %s is the GPU at %s, not at %s",
                             share->device, share->pci, engine->gpu_pci.word[0]);
    }
    for (size_t k = 0; k < wanted && untold == 0; k++) {
        bool found = false;
        for (size_t i = 0; i < placement->n; i++)
            found = found || (placement->item[i].gpu && placement->item[i].model_mib > 0.0 &&
                              strcmp(placement->item[i].pci, engine->gpu_pci.word[k]) == 0);
        if (!found && without++ == 0)
            first = k;
    }
    size_t spared = engine->is_canary && wanted > VERIFY_CANARY ? wanted - VERIFY_CANARY : 0;
    if (without <= spared)
        return 0;
    return error_set(err, GFXB_E_NOT_ON_DEVICE, "no weights are on the GPU at %s",
                     engine->gpu_pci.word[first]);
}

static int verify_gpu(const struct engine *engine, const struct engine_placement *placement,
                      struct gfxb_error *err)
{
    const char *prefix = engine->kind->device_prefix[engine->backend];
    if (placement->gpu_mib <= 0.0)
        return error_set(err, GFXB_E_NOT_ON_DEVICE,
                         "the engine runs, but all its weights (%.1f MiB) are on the CPU",
                         placement->cpu_mib);
    for (size_t i = 0; i < placement->n; i++) {
        const struct engine_share *share = &placement->item[i];
        if (!share->gpu || share->model_mib <= 0.0)
            continue;
        if (!str_starts(str_from(share->device), str_from(prefix)) ||
            (engine->device && !placement_names(share, engine->device)))
            return error_set(err, GFXB_E_NOT_ON_DEVICE,
                             "the weights are on %s, not on the device that was asked for (%s)",
                             share->device, engine->device ? engine->device : prefix);
    }
    return verify_cards(engine, placement, err);
}

/* Every worker has weights, as far as the model goes round, and is called by its name from here on.
 */
static int verify_remotes(const struct engine *engine, struct engine_placement *placement,
                          struct gfxb_error *err)
{
    size_t without = 0, first = 0;
    for (size_t k = 0; k < engine->remotes.n; k++) {
        bool found = false;
        for (size_t i = 0; i < placement->n; i++) {
            struct engine_share *share = &placement->item[i];
            if (share->remote != k + 1)
                continue;
            snprintf(share->description, sizeof(share->description), "%s", engine->remotes.word[k]);
            found = found || share->model_mib > 0.0;
        }
        if (!found && without++ == 0)
            first = k;
    }
    size_t all = engine->remotes.n + (engine->backend != PLAN_CPU);
    size_t spared = engine->is_canary && all > VERIFY_CANARY_PARTS ? all - VERIFY_CANARY_PARTS : 0;
    if (without <= spared)
        return 0;
    return error_set(err, GFXB_E_NOT_ON_DEVICE, "no weights are on %s",
                     engine->remotes.word[first]);
}

static int verify_cpu(const struct engine_placement *placement, struct gfxb_error *err)
{
    if (placement->gpu_mib > 0.0)
        return error_set(err, GFXB_E_NOT_ON_DEVICE,
                         "%.1f MiB of weights are on a GPU although the CPU was asked for",
                         placement->gpu_mib);
    if (placement->cpu_mib <= 0.0 && placement->remote_mib <= 0.0)
        return error_set(err, GFXB_E_NOT_ON_DEVICE,
                         "the engine's log does not say where its weights are");
    return 0;
}

/* The text of its /proc/PID/maps. */
static int evidence_read_maps(const struct engine *engine, struct buf *text, struct gfxb_error *err)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)engine->child.pid);
    int code = fs_read(path, VERIFY_MAPS_MAX, text);
    return code < 0 ? fs_error(err, -code, "read", path) : 0;
}

/* HIP, its runtime and the BLAS libraries must be of one release: a mixed set crashes, or finds no
 * device and leaves the work to the CPU. */
static int verify_libraries(const struct engine *engine, struct gfxb_error *err)
{
    struct maps maps;
    const struct maps_library *a, *b;
    struct buf CLEAN_BUF text = BUF_INIT(VERIFY_MAPS_MAX + (1u << 18));
    int code = evidence_read_maps(engine, &text, err);
    if (code < 0)
        return code;
    maps_parse(buf_view(&text), str_from(engine->package_dir), &maps);
    if (maps_are_mixed(&maps, &a, &b))
        return error_set(err, GFXB_E_LIBRARY_MISSING,
                         "ROCm libraries of two installations are mixed in the engine: %.*s and "
                         "%.*s; remove the other one from the library search path",
                         STR_ARG(a->path), STR_ARG(b->path));
    if (engine->backend == PLAN_ROCM && maps.n == 0)
        return error_set(err, GFXB_E_NOT_ON_DEVICE, "the engine has not loaded any ROCm library");
    return 0;
}

/* A file of kernels that a BLAS library has opened, or the library itself? */
static bool blas_is_file(struct str path, struct str name)
{
    static const char *const kernels[] = {".co", ".hsaco", ".dat"};
    bool blas = str_has(path, STR("rocblas")) || str_has(path, STR("hipblaslt"));
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        if (blas && str_ends(name, str_from(kernels[i])))
            return true;
    }
    return str_starts(name, STR("librocblas.so")) || str_starts(name, STR("libhipblaslt.so"));
}

void maps_blas_text(struct str text, struct buf *ret)
{
    struct str line, last = STR_NONE;
    size_t n = 0;
    while (str_cut(&text, '\n', &line)) {
        const char *slash = line.n ? memchr(line.p, '/', line.n) : NULL;
        const char *base = slash ? memrchr(line.p, '/', line.n) : NULL;
        if (!base)
            continue;
        struct str path = {slash, line.n - (size_t)(slash - line.p)};
        struct str name = {base + 1, line.n - (size_t)(base + 1 - line.p)};
        if (str_eq(path, last) || !blas_is_file(path, name))
            continue;
        last = path;
        if (n++ < BLAS_FILES_MAX)
            buf_addf(ret, "%s%.*s", n > 1 ? ", " : "", STR_ARG(name));
    }
    if (n > BLAS_FILES_MAX)
        buf_addf(ret, " and %zu more", n - BLAS_FILES_MAX);
}

void evidence_blas(const struct engine *engine, struct buf *ret)
{
    struct buf CLEAN_BUF text = BUF_INIT(VERIFY_MAPS_MAX + (1u << 18));
    if (engine->backend == PLAN_ROCM && evidence_read_maps(engine, &text, NULL) == 0)
        maps_blas_text(buf_view(&text), ret);
}

int engine_verify(struct engine *engine, struct engine_placement *ret_placement,
                  struct gfxb_error *err)
{
    struct engine_placement placement = engine->placement;
    if (engine->ended)
        return engine_check(engine, err);
    int code = placement.n ? 0 : verify_read_placement(engine, &placement, err);
    if (code < 0)
        return code;
    code = verify_remotes(engine, &placement, err);
    engine->placement = placement;
    if (code == 0)
        code = engine->backend == PLAN_CPU ? verify_cpu(&placement, err)
                                           : verify_gpu(engine, &placement, err);
    if (code == 0)
        code = verify_libraries(engine, err);
    if (code == 0 || code == -GFXB_E_NOT_ON_DEVICE)
        *ret_placement = placement;
    return code;
}
