#include "report/report.h"

static json_t *machine_json_host(const struct machine *m)
{
    json_t *host = json_object();
    json_object_set_new(host, "os", report_json_text(m->host.os));
    json_object_set_new(host, "kernel", report_json_text(m->host.kernel));
    json_object_set_new(host, "distribution", report_json_text(m->host.distribution));
    json_object_set_new(host, "glibc", report_json_text(m->host.glibc));
    json_object_set_new(host, "cpu", report_json_text(m->host.cpu));
    json_object_set_new(host, "memory_bytes", report_json_bytes(m->host.memory_bytes));
    json_object_set_new(host, "container", report_json_text(m->host.container));
    json_object_set_new(host, "wsl", json_boolean(m->host.wsl));
    json_object_set_new(host, "cpus", report_json_bytes(m->host.cpus));
    json_object_set_new(host, "arch", report_json_text(m->host.arch));
    json_object_set_new(host, "ttm_limit_bytes", report_json_bytes(m->host.ttm_limit_bytes));
    return host;
}

static json_t *machine_json_kfd(const struct machine *m)
{
    const struct machine_node *kfd = &m->kfd;
    json_t *object = json_object();
    json_object_set_new(object, "present", report_json_tri(kfd->present));
    json_object_set_new(object, "openable", report_json_tri(kfd->openable));
    const char *reason = NULL;
    if (kfd->present == TRI_NO)
        reason = "/dev/kfd is not there";
    else if (kfd->openable == TRI_NO)
        reason = error_errno_text(kfd->open_errno);
    json_object_set_new(object, "reason", report_json_text(reason));
    return object;
}

static json_t *machine_json_vulkan(const struct machine *m)
{
    json_t *drivers = json_array();
    for (size_t i = 0; i < m->vulkan.n_drivers; i++) {
        const struct machine_vulkan_driver *d = &m->vulkan.driver[i];
        json_t *driver = json_object();
        json_object_set_new(driver, "name", report_json_text(d->name));
        json_object_set_new(driver, "icd", report_json_text(d->icd));
        json_object_set_new(driver, "software", json_boolean(d->software));
        json_array_append_new(drivers, driver);
    }
    json_t *vulkan = json_object();
    json_object_set_new(vulkan, "loader", report_json_tri(m->vulkan.loader));
    json_object_set_new(vulkan, "drivers", drivers);
    return vulkan;
}

static json_t *machine_json_hex(int value, int digits)
{
    return value < 0 ? json_null() : json_sprintf("%0*x", digits, (unsigned)value);
}

static json_t *machine_json_number(int value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *machine_json_sources(unsigned sources)
{
    json_t *array = json_array();
    if (sources & MACHINE_KFD)
        json_array_append_new(array, json_string("kfd"));
    if (sources & MACHINE_DRM)
        json_array_append_new(array, json_string("drm"));
    if (sources & MACHINE_PCI)
        json_array_append_new(array, json_string("pci"));
    return array;
}

static void machine_json_identity(json_t *object, const struct machine_gpu *gpu)
{
    const struct gfx_card *card = gpu->card;
    const struct gfx_target *target = gpu->target;
    json_object_set_new(object, "pci", report_json_text(gpu->pci));
    json_object_set_new(object, "vendor_id", machine_json_hex(gpu->vendor ? gpu->vendor : -1, 4));
    json_object_set_new(object, "device_id", machine_json_hex(gpu->device, 4));
    json_object_set_new(object, "revision", machine_json_hex(gpu->revision, 2));
    json_object_set_new(object, "name", report_json_str(gfx_card_name(card)));
    json_object_set_new(object, "asic", report_json_str(gfx_card_asic(card)));
    json_object_set_new(object, "gfx", report_json_str(target ? target->gfx : STR_NONE));
    struct str generation = target ? target->generation : gfx_card_generation(card);
    json_object_set_new(object, "generation", report_json_str(generation));
    json_object_set_new(object, "kind", report_json_text(machine_kind_name(gpu->kind)));
}

static json_t *machine_json_gpu(const struct machine_gpu *gpu, size_t index)
{
    json_t *object = json_object();
    json_object_set_new(object, "index", json_integer((json_int_t)index));
    machine_json_identity(object, gpu);
    const char *driver = strcmp(gpu->driver, "?") == 0 ? NULL : gpu->driver;
    json_object_set_new(object, "driver", report_json_text(driver));
    json_object_set_new(object, "vram_bytes", report_json_bytes(gpu->vram_bytes));
    json_object_set_new(object, "gtt_bytes", report_json_bytes(gpu->gtt_bytes));
    json_object_set_new(object, "render_node",
                        gpu->render_minor < 0
                            ? json_null()
                            : json_sprintf("/dev/dri/renderD%d", gpu->render_minor));
    json_object_set_new(object, "kfd_node", machine_json_number(gpu->kfd_node));
    json_object_set_new(object, "render_openable", report_json_tri(gpu->render_openable));
    json_object_set_new(object, "partitions", json_integer(gpu->partitions));
    json_object_set_new(object, "sources", machine_json_sources(gpu->sources));
    json_t *notes = json_array();
    for (unsigned i = 0; i < gpu->n_notes; i++)
        json_array_append_new(notes, report_json_text(gpu->note[i]));
    json_object_set_new(object, "notes", notes);
    return object;
}

json_t *report_json_machine(const struct machine *m)
{
    json_t *gpus = json_array();
    for (size_t i = 0; i < m->n_gpus; i++) {
        json_t *gpu = machine_json_gpu(&m->gpu[i], i);
        /* /dev/kfd is one node for all: a GPU without a KFD node has no way through it. */
        json_object_set_new(gpu, "kfd_openable",
                            m->gpu[i].kfd_node < 0 ? json_null()
                                                   : report_json_tri(m->kfd.openable));
        json_array_append_new(gpus, gpu);
    }
    json_t *object = json_object();
    json_object_set_new(object, "host", machine_json_host(m));
    json_object_set_new(object, "kfd", machine_json_kfd(m));
    json_object_set_new(object, "vulkan", machine_json_vulkan(m));
    json_object_set_new(object, "gpus", gpus);
    return object;
}
