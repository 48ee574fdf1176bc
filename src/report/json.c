/* json.c - what the rooms below know, as JSON: for --json and for the server. */
#include "report/report.h"

#include "base/xalloc.h"

#include <time.h>

/* ---- values ---- */

/* A larger one is somebody's request or a long answer: jansson reports that there is no memory for
 * it. */
#define JSON_SMALL_MAX (1u << 20)

static void *json_allocate(size_t n)
{
    return n > JSON_SMALL_MAX ? malloc(n) : xmalloc(n);
}

void report_json_init(void)
{
    json_set_alloc_funcs(json_allocate, free);
}

/* Bytes that are no UTF-8 become '?'. */
static json_t *json_clean(struct str s)
{
    json_t *value = json_stringn(s.p, s.n);
    if (value)
        return value;
    char *CLEAN_FREE copy = xstr_dup(s);
    for (size_t i = 0, n; i < s.n; i += n ? n : 1) {
        n = utf8_length((struct str){s.p + i, s.n - i});
        if (n == 0)
            copy[i] = '?';
    }
    return json_stringn(copy, s.n);
}

json_t *report_json_string(const char *text)
{
    return json_clean(str_from(text ? text : ""));
}

json_t *report_json_str(struct str s)
{
    return s.n ? json_clean(s) : json_null();
}

json_t *report_json_text(const char *text)
{
    return report_json_str(str_from(text));
}

json_t *report_json_bytes(uint64_t bytes)
{
    return bytes && bytes <= INT64_MAX ? json_integer((json_int_t)bytes) : json_null();
}

json_t *report_json_tri(enum tri value)
{
    return value == TRI_UNKNOWN ? json_null() : json_boolean(value == TRI_YES);
}

json_t *report_json_words(struct str list)
{
    json_t *array = json_array();
    struct str word;
    while (str_word(&list, &word))
        json_array_append_new(array, report_json_str(word));
    return array;
}

json_t *report_json_strings(char *const *list)
{
    json_t *array = json_array();
    for (; list && *list; list++)
        json_array_append_new(array, report_json_text(*list));
    return array;
}

json_t *report_json_number(int64_t number)
{
    return number < 0 ? json_null() : json_integer(number);
}

struct report_size report_bytes(uint64_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    struct report_size size;
    size_t i = 0;
    double value = (double)bytes;
    for (; value >= 1024 && i < 4; i++)
        value /= 1024;
    snprintf(size.text, sizeof(size.text), i ? "%.1f %s" : "%.0f %s", value, unit[i]);
    return size;
}

struct report_size report_known_bytes(uint64_t bytes)
{
    return bytes ? report_bytes(bytes) : (struct report_size){"unknown"};
}

/* ---- models ---- */

static json_t *json_time(int64_t seconds)
{
    time_t when = (time_t)seconds;
    struct tm tm;
    char text[32] = "";
    if (gmtime_r(&when, &tm))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return report_json_text(text);
}

json_t *report_json_model(const struct model *m)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:s, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "name", report_json_text(model_shown(m)), "alias_of",
                     report_json_text(m->alias ? m->name : NULL), "path", report_json_text(m->path),
                     "mmproj", report_json_text(m->mmproj), "origin", model_origin_name(m->origin),
                     "ours", (int)m->ours, "task", model_task_name(m->task), "labels",
                     report_json_words(str_from(m->labels)), "bytes", report_json_bytes(m->bytes),
                     "modified", json_time(m->modified), "sha256", report_json_text(m->digest),
                     "repository", report_json_text(m->repository), "revision",
                     report_json_text(m->revision), "licence", report_json_text(m->licence));
}

json_t *report_json_known(const struct model_known *row)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "name", report_json_str(row->name),
                     "repository", report_json_str(row->repository), "file",
                     report_json_str(row->file), "mmproj", report_json_str(row->mmproj), "task",
                     model_task_name(row->task), "labels", report_json_words(row->labels), "bytes",
                     report_json_bytes(row->bytes), "licence", report_json_str(row->licence));
}

/* ---- plans, packages, proofs ---- */

static json_t *json_rung(enum plan_rung rung, enum tri ok, const char *detail)
{
    return json_pack("{s:s, s:o, s:o}", "rung", plan_rung_name(rung), "ok", report_json_tri(ok),
                     "detail", report_json_text(detail));
}

/* {"NAME": "text"} from "NAME=text" */
static json_t *json_env(char *const *env)
{
    json_t *object = json_object();
    for (; *env; env++) {
        struct str rest = str_from(*env), name;
        if (str_cut(&rest, '=', &name))
            json_object_setn_new(object, name.p, name.n,
                                 json_stringn(rest.p ? rest.p : "", rest.n));
    }
    return object;
}

static json_t *json_positive(double value)
{
    return value > 0 ? json_real(value) : json_null();
}

static json_t *json_members(const struct plan_choice *c)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < c->n_members; i++) {
        const struct plan_member *m = &c->member[i];
        json_array_append_new(
            nodes,
            json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", m->node->name,
                      "device", report_json_text(m->node->card), "gfx",
                      report_json_text(m->node->gfx), "backend", report_json_text(m->node->backend),
                      "package", report_json_text(m->node->package), "layers",
                      report_json_bytes(m->layers), "need_bytes", report_json_bytes(m->need_bytes),
                      "have_bytes", report_json_bytes(m->have_bytes), "bytes_per_second",
                      json_positive(m->node->bytes_per_second), "round_trip_us",
                      json_positive(m->node->round_trip_us)));
    }
    return nodes;
}

json_t *report_json_choice(const struct plan_choice *c)
{
    json_t *evidence = json_array();
    for (size_t i = 0; i < c->n_evidence; i++)
        json_array_append_new(
            evidence, json_rung(c->evidence[i].rung, c->evidence[i].ok, c->evidence[i].detail));
    return json_pack(
        "{s:i, s:o, s:s, s:o, s:o, s:o, s:o, s:b, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o}}",
        "rank", (int)c->rank, "engine", report_json_str(c->engine), "backend",
        plan_backend_name(c->backend), "gpus", report_json_strings(c->gpu_pci), "gfx",
        report_json_text(c->gfx), "package", report_json_text(c->package), "source",
        report_json_text(c->provider), "installed", c->installed != NULL, "state",
        plan_state_name(c->state), "code", gfxb_code_name(c->code), "reason",
        report_json_text(c->reason), "remedy", report_json_text(c->remedy), "evidence", evidence,
        "need_bytes", report_json_bytes(c->need_bytes), "have_bytes",
        report_json_bytes(c->have_bytes), "host_bytes", report_json_bytes(c->host_bytes), "context",
        report_json_bytes(c->context), "slots", report_json_bytes(c->slots), "gpu_layers",
        report_json_bytes(c->gpu_layers), "layers", report_json_bytes(c->layers), "env",
        json_env(c->env), "args", report_json_strings(c->args), "warnings",
        report_json_strings(c->warning), "model_check", report_json_text(c->model_check), "nodes",
        json_members(c), "link", "token_bytes", report_json_bytes(c->link_bytes), "token_ms",
        json_positive(c->link_ms));
}

json_t *report_json_plan(const struct plan *plan)
{
    json_t *choices = json_array();
    for (size_t i = 0; i < plan->n_choices; i++)
        json_array_append_new(choices, report_json_choice(&plan->choice[i]));
    return json_pack("{s:s, s:o, s:o, s:o}", "policy", plan_policy_name(plan->policy), "choices",
                     choices, "chosen", report_json_number(plan->chosen), "left_out",
                     report_json_number(plan->left_out));
}

json_t *report_json_package(const struct package *p)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "id", report_json_text(p->id),
                     "backend", report_json_text(p->backend), "source",
                     report_json_text(p->provider), "version", report_json_text(p->version),
                     "digest", report_json_text(p->digest), "gfx",
                     report_json_words(str_from(p->gfx)), "bytes", report_json_bytes(p->bytes),
                     "pinned", (int)p->pinned);
}

json_t *report_json_backends(const struct session *session)
{
    json_t *packages = json_array();
    for (size_t i = 0; i < session->packages.n; i++)
        json_array_append_new(packages, report_json_package(&session->packages.item[i]));
    json_t *answer = report_json_plan(session->plan);
    json_object_set_new(answer, "packages", packages);
    return answer;
}

static json_t *json_numbers(struct str list)
{
    json_t *array = json_array();
    struct str word;
    uint64_t number;
    while (str_word(&list, &word)) {
        if (str_to_u64(word, 10, &number) == 0)
            json_array_append_new(array, json_integer((json_int_t)number));
    }
    return array;
}

/* "-ctk=q8_0,-fa=on" of each word "attention:..." of what was asked. */
static json_t *json_attention(struct str canaries)
{
    json_t *array = json_array();
    const struct str mark = STR("attention:");
    struct str word;
    while (str_word(&canaries, &word)) {
        if (str_starts(word, mark))
            json_array_append_new(array,
                                  report_json_str((struct str){word.p + mark.n, word.n - mark.n}));
    }
    return array;
}

json_t *report_json_covers(const struct engine_covers *covers)
{
    return json_pack(
        "{s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "prompt_tokens",
        json_numbers(str_from(covers->lengths)), "sequences", (json_int_t)covers->sequences,
        "types", report_json_words(str_from(covers->types)), "shapes",
        report_json_words(str_from(covers->shapes)), "failed",
        report_json_words(str_from(covers->fails)), "failed_reason", report_json_text(covers->why),
        "skipped", report_json_words(str_from(covers->skipped)), "attention",
        json_attention(str_from(covers->canaries)));
}

json_t *report_json_proof(const struct plan_choice *choice, const struct engine_proof *proof)
{
    json_t *rungs = json_array();
    for (size_t i = 0; i < ENGINE_RUNGS; i++)
        json_array_append_new(
            rungs, json_rung(proof->rung[i].rung, proof->rung[i].ok, proof->rung[i].detail));
    return json_pack("{s:s, s:o, s:b, s:s, s:o, s:o, s:o, s:o}", "backend",
                     plan_backend_name(choice->backend), "package",
                     report_json_text(choice->package), "passed", (int)proof->passed, "code",
                     gfxb_code_name(proof->code), "reason", report_json_text(proof->sentence),
                     "device", report_json_text(proof->shown), "rungs", rungs, "covers",
                     report_json_covers(&proof->covers));
}

/* ---- machines ---- */

static json_t *json_host(const struct machine *m)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o}", "os",
                     report_json_text(m->host.os), "kernel", report_json_text(m->host.kernel),
                     "distribution", report_json_text(m->host.distribution), "glibc",
                     report_json_text(m->host.glibc), "cpu", report_json_text(m->host.cpu),
                     "memory_bytes", report_json_bytes(m->host.memory_bytes), "container",
                     report_json_text(m->host.container), "wsl", (int)m->host.wsl, "cpus",
                     report_json_bytes(m->host.cpus), "arch", report_json_text(m->host.arch),
                     "ttm_limit_bytes", report_json_bytes(m->host.ttm_limit_bytes));
}

static json_t *json_kfd(const struct machine_node *kfd)
{
    const char *reason = kfd->present == TRI_NO    ? "/dev/kfd does not exist"
                         : kfd->openable == TRI_NO ? error_errno_text(kfd->open_errno)
                                                   : NULL;
    return json_pack("{s:o, s:o, s:o}", "present", report_json_tri(kfd->present), "openable",
                     report_json_tri(kfd->openable), "reason", report_json_text(reason));
}

static json_t *json_vulkan(const struct machine *m)
{
    json_t *drivers = json_array();
    for (size_t i = 0; i < m->vulkan.n_drivers; i++) {
        const struct machine_vulkan_driver *d = &m->vulkan.driver[i];
        json_array_append_new(drivers,
                              json_pack("{s:o, s:o, s:b}", "name", report_json_text(d->name), "icd",
                                        report_json_text(d->icd), "software", (int)d->software));
    }
    return json_pack("{s:o, s:o}", "loader", report_json_tri(m->vulkan.loader), "drivers", drivers);
}

static json_t *json_hex(int value, int digits)
{
    return value < 0 ? json_null() : json_sprintf("%0*x", digits, (unsigned)value);
}

static json_t *json_sources(unsigned sources)
{
    static const struct {
        unsigned source;
        const char *name;
    } rows[] = {{MACHINE_KFD, "kfd"}, {MACHINE_DRM, "drm"}, {MACHINE_PCI, "pci"}};
    json_t *array = json_array();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (sources & rows[i].source)
            json_array_append_new(array, json_string(rows[i].name));
    }
    return array;
}

/* /dev/kfd is one node for all GPUs: one without a KFD node cannot be reached through it. */
static json_t *json_gpu(const struct machine *m, const struct machine_gpu *gpu, size_t index)
{
    const struct gfx_target *target = gpu->target;
    struct str generation = target ? target->generation : gfx_card_generation(gpu->card);
    json_t *notes = json_array();
    for (unsigned i = 0; i < gpu->n_notes; i++)
        json_array_append_new(notes, report_json_text(gpu->note[i]));
    return json_pack(
        "{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, "
        "s:o, s:o, s:o}",
        "index", (json_int_t)index, "pci", report_json_text(gpu->pci), "vendor_id",
        json_hex(gpu->vendor ? gpu->vendor : -1, 4), "device_id", json_hex(gpu->device, 4),
        "revision", json_hex(gpu->revision, 2), "name", report_json_str(gfx_card_name(gpu->card)),
        "asic", report_json_str(gfx_card_asic(gpu->card)), "gfx",
        report_json_str(target ? target->gfx : STR_NONE), "generation", report_json_str(generation),
        "kind", report_json_text(machine_kind_name(gpu->kind)), "driver",
        report_json_text(strcmp(gpu->driver, "?") == 0 ? NULL : gpu->driver), "vram_bytes",
        report_json_bytes(gpu->vram_bytes), "gtt_bytes", report_json_bytes(gpu->gtt_bytes),
        "render_node",
        gpu->render_minor < 0 ? json_null() : json_sprintf("/dev/dri/renderD%d", gpu->render_minor),
        "kfd_node", report_json_number(gpu->kfd_node), "render_openable",
        report_json_tri(gpu->render_openable), "partitions", (int)gpu->partitions, "sources",
        json_sources(gpu->sources), "notes", notes, "kfd_openable",
        gpu->kfd_node < 0 ? json_null() : report_json_tri(m->kfd.openable));
}

json_t *report_json_machine(const struct machine *m)
{
    json_t *gpus = json_array();
    for (size_t i = 0; i < m->n_gpus; i++)
        json_array_append_new(gpus, json_gpu(m, &m->gpu[i], i));
    return json_pack("{s:o, s:o, s:o, s:o}", "host", json_host(m), "kfd", json_kfd(&m->kfd),
                     "vulkan", json_vulkan(m), "gpus", gpus);
}
