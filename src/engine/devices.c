/* devices.c - which devices an engine lists. */
#include "engine/engine_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DEVICES_DEADLINE_MS 30000
#define DEVICES_OUTPUT_MAX  (1u << 20)

static void devices_copy(char *to, size_t size, struct str from)
{
    snprintf(to, size, "%.*s", STR_ARG(from));
}

/* "24105 MiB" */
static bool devices_mib(struct str text, struct str unit, uint64_t *ret_mib)
{
    text = str_trim(text);
    if (!str_ends(text, unit))
        return false;
    text.n -= unit.n;
    return str_to_u64(str_trim(text), 10, ret_mib) == 0;
}

/* "  Vulkan0: llvmpipe (LLVM 22.1.8, 256 bits) (24105 MiB, 23347 MiB free)": the description may
 * hold parentheses and colons, so the name ends at the first colon and the sizes are in the last
 * pair. */
static bool devices_parse_line(struct str line, struct engine_device *ret_device)
{
    struct str name, rest = line, total, spare;
    struct engine_device device = {.name = ""};
    if (!str_starts(line, STR("  ")) || memchr(line.p, '\0', line.n))
        return false;
    line = rest = str_trim(line);
    if (!str_cut(&rest, ':', &name) || name.n == 0 || name.n >= sizeof(device.name) ||
        memchr(name.p, ' ', name.n) || !str_ends(rest, STR(")")))
        return false;
    const char *open = memrchr(rest.p, '(', rest.n);
    if (!open)
        return false;
    struct str description = {rest.p, (size_t)(open - rest.p)};
    spare = (struct str){open + 1, rest.n - description.n - 2};
    if (!str_cut(&spare, ',', &total) || !devices_mib(total, STR("MiB"), &device.total_mib) ||
        !devices_mib(spare, STR("MiB free"), &device.free_mib))
        return false;
    devices_copy(device.name, sizeof(device.name), name);
    devices_copy(device.description, sizeof(device.description), str_trim(description));
    *ret_device = device;
    return true;
}

int devices_parse(struct str text, struct engine_devices *ret_devices)
{
    struct engine_device *item = calloc(DEVICES_MAX, sizeof(item[0]));
    struct str line;
    size_t n = 0;
    if (!item)
        return -ENOMEM;
    while (n < DEVICES_MAX && str_cut(&text, '\n', &line)) {
        if (devices_parse_line(line, &item[n]))
            n++;
    }
    ret_devices->item = item;
    ret_devices->n = n;
    return 0;
}

static int devices_collect(const struct child_result *result, int deadline_ms,
                           struct engine_devices *ret_devices, struct gfxb_error *err)
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
        return diagnose_explain(result->status, buf_view(&said), "while listing its devices", err);
    }
    devices.said = strdup(buf_text(&result->err));
    int code = devices.said ? devices_parse(buf_view(&result->out), &devices) : -ENOMEM;
    if (code < 0) {
        engine_devices_done(&devices);
        return error_set(err, -code, "out of memory");
    }
    *ret_devices = devices;
    return 0;
}

int engine_list_devices(const struct engine_spec *spec, int deadline_ms,
                        struct engine_devices *ret_devices, struct gfxb_error *err)
{
    struct rundir rundir = RUNDIR_NONE;
    struct launch launch;
    struct child_result result;
    deadline_ms = deadline_ms > 0 ? deadline_ms : DEVICES_DEADLINE_MS;
    int code = rundir_open(spec->runtime_dir, spec->cancel, &rundir, err);
    if (code < 0)
        return code;
    code = launch_new(spec, rundir.path, NULL, &launch, err);
    if (code == 0) {
        struct child_spec child = launch_child(&launch);
        child.deadline_ms = deadline_ms;
        child.max_output = DEVICES_OUTPUT_MAX;
        code = child_run(&child, &result, err);
        launch_done(&launch);
        if (code == 0) {
            code = devices_collect(&result, deadline_ms, ret_devices, err);
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
