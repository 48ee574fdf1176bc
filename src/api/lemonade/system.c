/* system.c - system-info and system-stats: the machine and the plan as Lemonade's clients
 * read them, with our reasons beside. */
#include "api/lemonade/lemonade.h"
#include "session/session.h"
#include "sysroot/sysroot.h"

#include <math.h>
#include <stdio.h>
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
    struct str name = gfx_card_name(gpu->card);
    struct str family = gpu->target ? gpu->target->gfx : STR_NONE;
    json_t *object = json_pack("{s:o, s:o, s:b, s:o}", "name", report_json_str(name), "vram_gb",
                               system_gib(gpu->vram_bytes), "available",
                               gpu->render_openable == TRI_YES, "family", report_json_str(family));
    json_object_set_new(object, "pci", report_json_text(gpu->pci));
    json_object_set_new(object, "usable_gb", system_gib(machine_gpu_memory(m, gpu)));
    return object;
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

/* The best choice of a backend: plans are in that order. */
static const struct plan_choice *system_choice(const struct plan *plan, enum plan_backend backend)
{
    for (size_t i = 0; i < plan->n_choices; i++) {
        if (plan->choice[i].backend == backend)
            return &plan->choice[i];
    }
    return NULL;
}

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
    json_t *devices = json_array();
    if (c->gpu)
        json_array_append_new(devices, json_string("amd_gpu"));
    else if (c->backend == PLAN_CPU)
        json_array_append_new(devices, json_string("cpu"));
    json_t *action = usable && !p ? json_sprintf("gfxbridge backends install %.*s:%s",
                                                 STR_ARG(c->engine), plan_backend_name(c->backend))
                                  : json_string("");
    json_t *object = json_pack("{s:s, s:o, s:o, s:o, s:b}", "state",
                               p        ? "installed"
                               : usable ? "installable"
                                        : "unsupported",
                               "message", report_json_text(c->reason), "action", action, "devices",
                               devices, "can_uninstall", p != NULL);
    if (p)
        json_object_set_new(object, "version", report_json_text(p->version));
    json_object_set_new(object, "gfxbridge", report_json_choice(c)); /* proof, code, evidence */
    return object;
}

static json_t *system_support(const char *backend, const char *device, json_t *families)
{
    return json_pack("{s:s, s:s, s:[s], s:[{s:s, s:o}]}", "backend", backend, "device_summary",
                     device, "os", "linux", "devices", "device", device, "families", families);
}

static json_t *system_recipe(const struct session *session)
{
    json_t *backends = json_object(), *support = json_array(), *families = json_array();
    const struct plan *plan = session->plan;
    for (int b = 0; b < PLAN_BACKENDS; b++) {
        const struct plan_choice *c = system_choice(plan, (enum plan_backend)b);
        if (c)
            json_object_set_new(backends, plan_backend_name(c->backend),
                                system_backend(session, c));
    }
    const struct plan_choice *chosen = plan->chosen < 0 ? NULL : &plan->choice[plan->chosen];
    for (size_t i = 0; i < plan->n_choices; i++) {
        if (plan->choice[i].backend == PLAN_ROCM && plan->choice[i].gfx)
            json_array_append_new(families, json_string(plan->choice[i].gfx));
    }
    json_array_append_new(support, system_support("rocm", "amd_gpu", families));
    json_array_append_new(support, system_support("vulkan", "amd_gpu", json_array()));
    json_array_append_new(support, system_support("cpu", "cpu", json_array()));
    return json_pack("{s:s?, s:s, s:b, s:s, s:i, s:b, s:s, s:b, s:s, s:[], s:o, s:o}",
                     "default_backend", chosen ? plan_backend_name(chosen->backend) : NULL,
                     "display_name", "llama.cpp", "experimental", 0, "modality", "llm", "order", 0,
                     "selectable_backend", 1, "slot_policy", "memory", "uses_ctx_size", 1,
                     "web_display_name", "llama.cpp", "options", "support", support, "backends",
                     backends);
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

/* A number of kB behind a name in /proc/meminfo, in bytes; 0 unknown. */
static uint64_t system_memory(struct str text, struct str name)
{
    struct str line, word;
    uint64_t kb = 0;
    while (str_cut(&text, '\n', &line)) {
        if (!str_word(&line, &word) || !str_eq(word, name) || !str_word(&line, &word))
            continue;
        return str_to_u64(word, 10, &kb) == 0 ? kb * 1024 : 0;
    }
    return 0;
}

static void system_add_gpus(const struct session_request *r, json_t *answer)
{
    uint64_t used = 0, total = 0;
    int busy = -1;
    bool used_known = false;
    for (size_t i = 0; i < r->machine->n_gpus; i++) {
        struct machine_load load;
        machine_gpu_load(r->root, &r->machine->gpu[i], &load);
        busy = load.busy_percent > busy ? load.busy_percent : busy;
        used += load.vram_used_bytes;
        used_known |= load.vram_known;
        total += r->machine->gpu[i].vram_bytes;
    }
    json_object_set_new(answer, "gpu_percent", busy >= 0 ? json_integer(busy) : json_null());
    json_object_set_new(answer, "vram_gb",
                        used_known ? json_real((double)used / SYSTEM_GIB) : json_null());
    json_object_set_new(answer, "vram_total_gb", system_gib(total));
    json_object_set_new(answer, "npu_percent", json_null());
}

static void system_stats(struct http_exchange *x)
{
    const struct session_request *r = &serve_of(x)->request;
    const struct timespec gap = {.tv_nsec = SYSTEM_SAMPLE_MS * 1000000L};
    struct buf CLEAN_BUF text = BUF_INIT(65536);
    uint64_t busy[2], all[2];
    json_t *answer = json_object(), *cpu = json_null();
    if (system_cpu(r->root, &busy[0], &all[0]) && nanosleep(&gap, NULL) == 0 &&
        system_cpu(r->root, &busy[1], &all[1]) && all[1] > all[0])
        cpu = json_real(100.0 * (double)(busy[1] - busy[0]) / (double)(all[1] - all[0]));
    root_read(r->root, "/proc/meminfo", text.max, &text);
    uint64_t total = system_memory(buf_view(&text), STR("MemTotal:"));
    uint64_t available = system_memory(buf_view(&text), STR("MemAvailable:"));
    json_object_set_new(answer, "cpu_percent", cpu);
    json_object_set_new(answer, "memory_gb", system_gib(total > available ? total - available : 0));
    json_object_set_new(answer, "memory_total_gb", system_gib(total));
    system_add_gpus(r, answer);
    dialect_reply_json(x, 200, answer);
}

const struct http_route lemonade_system_routes[] = {
    {HTTP_GET, "/v1/system-info", system_info, HTTP_BLOCKS, 0},
    {HTTP_GET, "/v1/system-stats", system_stats, HTTP_BLOCKS, 0},
    {0},
};
