/* system.c - system-info and system-stats: the machine and the plan as Lemonade's clients
 * read them, with our reasons beside. */
#include "api/lemonade/lemonade.h"
#include "sysroot/sysroot.h"

#include <math.h>
#include <sys/statvfs.h>
#include <time.h>

#define SYSTEM_GIB       1073741824.0
#define SYSTEM_SAMPLE_MS 100 /* between the two looks that a CPU's load needs */

static json_t *system_gib(uint64_t bytes)
{
    return bytes ? json_real(round((double)bytes / SYSTEM_GIB * 100.0) / 100.0) : json_null();
}

/* ---- devices ---- */

static json_t *system_gpu(const struct machine *m, const struct machine_gpu *gpu)
{
    struct str family = gpu->target ? gpu->target->gfx : STR_NONE;
    return json_pack("{s:o, s:o, s:b, s:o, s:o, s:o}", "name",
                     report_json_str(gfx_card_name(gpu->card)), "vram_gb",
                     system_gib(gpu->vram_bytes), "available", gpu->render_openable == TRI_YES,
                     "family", report_json_str(family), "pci", report_json_text(gpu->pci),
                     "usable_gb", system_gib(machine_gpu_memory(m, gpu)));
}

static json_t *system_devices(const struct machine *m)
{
    enum { AMD = 0x1002, NVIDIA = 0x10de };
    json_t *amd = json_array(), *nvidia = json_array();
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (m->gpu[i].vendor == AMD || m->gpu[i].vendor == NVIDIA)
            json_array_append_new(m->gpu[i].vendor == AMD ? amd : nvidia,
                                  system_gpu(m, &m->gpu[i]));
    }
    json_t *cpu = json_pack("{s:o, s:I, s:I, s:b, s:o}", "name", report_json_text(m->host.cpu),
                            "cores", (json_int_t)m->host.cpus, "threads", (json_int_t)m->host.cpus,
                            "available", 1, "family", report_json_text(m->host.arch));
    return json_pack("{s:o, s:o, s:{s:s, s:b, s:s}, s:o}", "cpu", cpu, "amd_gpu", amd, "amd_npu",
                     "name", "", "available", 0, "error", "gfxbridge uses no NPU", "nvidia_gpu",
                     nvidia);
}

/* ---- recipes ---- */

static const struct package *system_package(const struct session *session,
                                            const struct plan_choice *c)
{
    for (size_t i = 0; c->installed && i < session->packages.n; i++) {
        if (strcmp(session->packages.item[i].digest, c->installed->digest) == 0)
            return &session->packages.item[i];
    }
    return NULL;
}

static json_t *system_backend(const struct session *session, const struct plan_choice *c)
{
    const struct package *p = system_package(session, c);
    bool usable = c->state != PLAN_REJECTED;
    const char *device = c->gpu ? "amd_gpu" : c->backend == PLAN_CPU ? "cpu" : NULL;
    json_t *action = usable && !p ? json_sprintf("gfxbridge backends install %.*s:%s",
                                                 STR_ARG(c->engine), plan_backend_name(c->backend))
                                  : json_string("");
    return json_pack("{s:s, s:o, s:o, s:[s*], s:b, s:o*, s:o}", "state",
                     p        ? "installed"
                     : usable ? "installable"
                              : "unsupported",
                     "message", report_json_text(c->reason), "action", action, "devices", device,
                     "can_uninstall", p != NULL, "version", p ? report_json_text(p->version) : NULL,
                     "gfxbridge", report_json_choice(c)); /* proof, code, evidence */
}

static json_t *system_support(const char *backend, const char *device, json_t *families)
{
    return json_pack("{s:s, s:s, s:[s], s:[{s:s, s:o}]}", "backend", backend, "device_summary",
                     device, "os", "linux", "devices", "device", device, "families", families);
}

static json_t *system_recipe(const struct session *session)
{
    json_t *backends = json_object(), *families = json_array();
    const struct plan *plan = session->plan;
    const struct plan_choice *chosen = plan->chosen < 0 ? NULL : &plan->choice[plan->chosen];
    for (size_t i = 0; i < plan->n_choices; i++) { /* the best one of a backend comes first */
        const struct plan_choice *c = &plan->choice[i];
        const char *name = plan_backend_name(c->backend);
        if (!json_object_get(backends, name))
            json_object_set_new(backends, name, system_backend(session, c));
        if (c->backend == PLAN_ROCM && c->gfx)
            json_array_append_new(families, json_string(c->gfx));
    }
    return json_pack("{s:s?, s:s, s:b, s:s, s:i, s:b, s:s, s:b, s:s, s:[], s:[o, o, o], s:o}",
                     "default_backend", chosen ? plan_backend_name(chosen->backend) : NULL,
                     "display_name", "llama.cpp", "experimental", 0, "modality", "llm", "order", 0,
                     "selectable_backend", 1, "slot_policy", "memory", "uses_ctx_size", 1,
                     "web_display_name", "llama.cpp", "options", "support",
                     system_support("rocm", "amd_gpu", families),
                     system_support("vulkan", "amd_gpu", json_array()),
                     system_support("cpu", "cpu", json_array()), "backends", backends);
}

/* ---- the answer ---- */

static json_t *system_json(const struct machine *m, const struct session *session)
{
    json_t *memory = m->host.memory_bytes
                         ? json_sprintf("%.2f GB", (double)m->host.memory_bytes / SYSTEM_GIB)
                         : json_null();
    bool kernel = m->host.kernel[0] != '\0';
    char *CLEAN_FREE system = xasprintf("%s%s%s%s", m->host.distribution, kernel ? " (Linux " : "",
                                        m->host.kernel, kernel ? ")" : "");
    return json_pack("{s:o, s:o, s:o, s:o, s:{s:o}, s:b, s:[], s:{s:[]}, s:o}", "OS Version",
                     report_json_text(system), "Processor", report_json_text(m->host.cpu),
                     "Physical Memory", memory, "devices", system_devices(m), "recipes",
                     LEMONADE_RECIPE, system_recipe(session), "no_fetch_executables", 0,
                     "unavailable_recipes", "cloud", "providers", "gfxbridge",
                     report_json_plan(session->plan));
}

static json_t *system_storage(const struct session_request *r)
{
    struct statvfs fs;
    uint64_t total = 0, available = 0;
    if (r->data_dir && statvfs(r->data_dir, &fs) == 0) {
        total = (uint64_t)fs.f_blocks * fs.f_frsize;
        available = (uint64_t)fs.f_bavail * fs.f_frsize;
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "path", report_json_text(r->data_dir), "used_bytes",
                     report_json_bytes(total > available ? total - available : 0), "total_bytes",
                     report_json_bytes(total), "free_bytes", report_json_bytes(available));
}

static void system_info(struct http_exchange *x)
{
    const struct session_request *r = &serve_of(x)->request;
    struct session session = {.plan = NULL};
    struct gfxb_error err = {.code = 0};
    if (session_plan(r, &session, &err) < 0) {
        dialect_reply_failure(x, &err);
        return;
    }
    json_t *answer = system_json(r->machine, &session);
    json_object_set_new(answer, "model_storage", system_storage(r));
    dialect_reply_json(x, 200, answer);
    session_done(&session);
}

/* ---- stats ---- */

/* Time that all processors were busy, and all of it, in ticks: the first line of /proc/stat. */
static bool system_cpu(const struct root *root, uint64_t *ret_busy, uint64_t *ret_all)
{
    enum { IDLE = 3, IOWAIT = 4, GUEST = 8 }; /* guest time is in user's already */
    char line[512];
    struct str rest, word;
    if (root_read_line(root, "/proc/stat", line, sizeof(line)) < 0)
        return false;
    rest = str_from(line);
    str_word(&rest, &word);
    *ret_busy = *ret_all = 0;
    for (int i = 0; i < GUEST && str_word(&rest, &word); i++) {
        uint64_t ticks = 0;
        if (str_to_u64(word, 10, &ticks) < 0)
            return false;
        *ret_all += ticks;
        *ret_busy += i == IDLE || i == IOWAIT ? 0 : ticks;
    }
    return true;
}

/* Part of each processor's time that was busy during a short sample. */
static json_t *system_cpu_percent(const struct root *root)
{
    const struct timespec gap = {.tv_nsec = SYSTEM_SAMPLE_MS * 1000000L};
    uint64_t busy[2], all[2];
    if (!system_cpu(root, &busy[0], &all[0]) || nanosleep(&gap, NULL) < 0 ||
        !system_cpu(root, &busy[1], &all[1]) || all[1] <= all[0])
        return json_null();
    return json_real(100.0 * (double)(busy[1] - busy[0]) / (double)(all[1] - all[0]));
}

static void system_stats(struct http_exchange *x)
{
    const struct session_request *r = &serve_of(x)->request;
    uint64_t memory = 0, available = 0, vram = 0, vram_total = 0;
    bool vram_known = false;
    int busy = -1;
    machine_memory(r->root, &memory, &available);
    for (size_t i = 0; i < r->machine->n_gpus; i++) {
        struct machine_load load;
        machine_gpu_load(r->root, &r->machine->gpu[i], &load);
        busy = load.busy_percent > busy ? load.busy_percent : busy;
        vram += load.vram_used_bytes;
        vram_known |= load.vram_known;
        vram_total += r->machine->gpu[i].vram_bytes;
    }
    dialect_reply_json(x, 200,
                       json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:n}", "cpu_percent",
                                 system_cpu_percent(r->root), "memory_gb",
                                 system_gib(memory > available ? memory - available : 0),
                                 "memory_total_gb", system_gib(memory), "gpu_percent",
                                 busy >= 0 ? json_integer(busy) : json_null(), "vram_gb",
                                 vram_known ? json_real((double)vram / SYSTEM_GIB) : json_null(),
                                 "vram_total_gb", system_gib(vram_total), "npu_percent"));
}

const struct http_route lemonade_system_routes[] = {
    {HTTP_GET, "/v1/system-info", system_info, HTTP_BLOCKS, 0},
    {HTTP_GET, "/v1/system-stats", system_stats, HTTP_BLOCKS, 0},
    {0},
};
