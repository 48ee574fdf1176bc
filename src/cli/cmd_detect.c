#include "cli/cli.h"

static json_t *detect_host(const struct machine *m)
{
    json_t *host = json_object();
    json_object_set_new(host, "os", cli_json_text(m->host.os));
    json_object_set_new(host, "kernel", cli_json_text(m->host.kernel));
    json_object_set_new(host, "distribution", cli_json_text(m->host.distribution));
    json_object_set_new(host, "glibc", cli_json_text(m->host.glibc));
    json_object_set_new(host, "cpu", cli_json_text(m->host.cpu));
    json_object_set_new(host, "memory_bytes", cli_json_bytes(m->host.memory_bytes));
    json_object_set_new(host, "container", cli_json_text(m->host.container));
    json_object_set_new(host, "wsl", json_boolean(m->host.wsl));
    json_object_set_new(host, "cpus", cli_json_bytes(m->host.cpus));
    json_object_set_new(host, "arch", cli_json_text(m->host.arch));
    json_object_set_new(host, "ttm_limit_bytes", cli_json_bytes(m->host.ttm_limit_bytes));
    return host;
}

static json_t *detect_kfd(const struct machine *m)
{
    const struct machine_node *kfd = &m->kfd;
    json_t *object = json_object();
    json_object_set_new(object, "present", cli_json_tri(kfd->present));
    json_object_set_new(object, "openable", cli_json_tri(kfd->openable));
    const char *reason = NULL;
    if (kfd->present == TRI_NO)
        reason = "/dev/kfd is not there";
    else if (kfd->openable == TRI_NO)
        reason = error_errno_text(kfd->open_errno);
    json_object_set_new(object, "reason", cli_json_text(reason));
    return object;
}

static json_t *detect_vulkan(const struct machine *m)
{
    json_t *drivers = json_array();
    for (size_t i = 0; i < m->vulkan.n_drivers; i++) {
        const struct machine_vulkan_driver *d = &m->vulkan.driver[i];
        json_t *driver = json_object();
        json_object_set_new(driver, "name", cli_json_text(d->name));
        json_object_set_new(driver, "icd", cli_json_text(d->icd));
        json_object_set_new(driver, "software", json_boolean(d->software));
        json_array_append_new(drivers, driver);
    }
    json_t *vulkan = json_object();
    json_object_set_new(vulkan, "loader", cli_json_tri(m->vulkan.loader));
    json_object_set_new(vulkan, "drivers", drivers);
    return vulkan;
}

static json_t *detect_hex(int value, int digits)
{
    return value < 0 ? json_null() : json_sprintf("%0*x", digits, (unsigned)value);
}

static json_t *detect_number(int value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *detect_sources(unsigned sources)
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

static void detect_identity(json_t *object, const struct machine_gpu *gpu)
{
    const struct gfx_card *card = gpu->card;
    const struct gfx_target *target = gpu->target;
    json_object_set_new(object, "pci", cli_json_text(gpu->pci));
    json_object_set_new(object, "vendor_id", detect_hex(gpu->vendor ? gpu->vendor : -1, 4));
    json_object_set_new(object, "device_id", detect_hex(gpu->device, 4));
    json_object_set_new(object, "revision", detect_hex(gpu->revision, 2));
    json_object_set_new(object, "name", cli_json_str(card ? card->name : STR_NONE));
    json_object_set_new(object, "asic", cli_json_str(card ? card->asic : STR_NONE));
    json_object_set_new(object, "gfx", cli_json_str(target ? target->gfx : STR_NONE));
    struct str generation = target ? target->generation : card ? card->generation : STR_NONE;
    json_object_set_new(object, "generation", cli_json_str(generation));
    json_object_set_new(object, "kind", cli_json_text(machine_kind_name(gpu->kind)));
}

static json_t *detect_gpu(const struct machine_gpu *gpu, size_t index)
{
    json_t *object = json_object();
    json_object_set_new(object, "index", json_integer((json_int_t)index));
    detect_identity(object, gpu);
    const char *driver = strcmp(gpu->driver, "?") == 0 ? NULL : gpu->driver;
    json_object_set_new(object, "driver", cli_json_text(driver));
    json_object_set_new(object, "vram_bytes", cli_json_bytes(gpu->vram_bytes));
    json_object_set_new(object, "gtt_bytes", cli_json_bytes(gpu->gtt_bytes));
    json_object_set_new(object, "render_node",
                        gpu->render_minor < 0
                            ? json_null()
                            : json_sprintf("/dev/dri/renderD%d", gpu->render_minor));
    json_object_set_new(object, "kfd_node", detect_number(gpu->kfd_node));
    json_object_set_new(object, "render_openable", cli_json_tri(gpu->render_openable));
    json_object_set_new(object, "partitions", json_integer(gpu->partitions));
    json_object_set_new(object, "sources", detect_sources(gpu->sources));
    json_t *notes = json_array();
    for (unsigned i = 0; i < gpu->n_notes; i++)
        json_array_append_new(notes, cli_json_text(gpu->note[i]));
    json_object_set_new(object, "notes", notes);
    return object;
}

static int detect_json(const struct machine *m, struct gfxb_error *err)
{
    json_t *gpus = json_array();
    for (size_t i = 0; i < m->n_gpus; i++) {
        json_t *gpu = detect_gpu(&m->gpu[i], i);
        /* /dev/kfd is one node for all: a GPU without a KFD node has no way through it. */
        json_object_set_new(gpu, "kfd_openable",
                            m->gpu[i].kfd_node < 0 ? json_null() : cli_json_tri(m->kfd.openable));
        json_array_append_new(gpus, gpu);
    }
    json_t *answer = json_object();
    json_object_set_new(answer, "host", detect_host(m));
    json_object_set_new(answer, "kfd", detect_kfd(m));
    json_object_set_new(answer, "vulkan", detect_vulkan(m));
    json_object_set_new(answer, "gpus", gpus);
    return cli_print_json(answer, err);
}

static void detect_gpu_text(const struct machine *m, const struct machine_gpu *gpu)
{
    char vram[32], gtt[32];
    struct str name = gpu->card ? gpu->card->name : STR_NONE;
    printf("%-13s", gpu->pci[0] ? gpu->pci : "(no address)");
    if (gpu->target)
        printf("%-9.*s", STR_ARG(gpu->target->gfx));
    else
        printf("%-9s", "-");
    if (name.n)
        printf("%.*s", STR_ARG(name));
    else
        printf("%04x:%04x", gpu->vendor, gpu->device < 0 ? 0 : (unsigned)gpu->device);
    const char *kind = machine_kind_name(gpu->kind);
    printf("\n             %s", kind ? kind : "kind unknown");
    cli_bytes_text(gpu->vram_bytes, vram, sizeof(vram));
    cli_bytes_text(gpu->gtt_bytes, gtt, sizeof(gtt));
    if (gpu->vram_bytes)
        printf(", VRAM %s", vram);
    if (gpu->gtt_bytes)
        printf(", GTT %s", gtt);
    if (strcmp(gpu->driver, "?") != 0)
        printf(", driver %s", gpu->driver[0] ? gpu->driver : "none");
    if (gpu->partitions > 1)
        printf(", %u partitions", gpu->partitions);
    if (gpu->kfd_node >= 0 && m->kfd.openable == TRI_NO)
        printf(", /dev/kfd: %s", error_errno_text(m->kfd.open_errno));
    if (gpu->render_openable == TRI_NO)
        printf(", render node: %s", error_errno_text(gpu->render_errno));
    putchar('\n');
    for (unsigned i = 0; i < gpu->n_notes; i++)
        printf("             note: %s\n", gpu->note[i]);
}

static void detect_text(const struct machine *m)
{
    if (m->n_gpus == 0)
        printf("No GPU found.\n");
    for (size_t i = 0; i < m->n_gpus; i++)
        detect_gpu_text(m, &m->gpu[i]);
    printf("\nHost: %s, kernel %s, glibc %s\n",
           m->host.distribution[0] ? m->host.distribution : "unknown distribution",
           m->host.kernel[0] ? m->host.kernel : "unknown", m->host.glibc[0] ? m->host.glibc : "?");
    char memory[32];
    cli_bytes_text(m->host.memory_bytes, memory, sizeof(memory));
    printf("      %s, memory %s%s%s%s\n", m->host.cpu[0] ? m->host.cpu : "unknown processor",
           memory, m->host.container[0] ? ", in a container: " : "", m->host.container,
           m->host.wsl ? ", WSL2" : "");
    printf("Vulkan drivers:");
    for (size_t i = 0; i < m->vulkan.n_drivers; i++)
        printf(" %s%s", m->vulkan.driver[i].name,
               m->vulkan.driver[i].software ? " (software)" : "");
    printf("%s\n", m->vulkan.n_drivers ? "" : m->vulkan.known == TRI_YES ? " none" : " unknown");
}

static int detect_run(struct cli *cli, const struct cli_args *args, struct gfxb_error *err)
{
    const struct machine *m;
    int result = cli_machine(cli, &m, err);
    if (result < 0)
        return result;
    if (cli->json)
        return detect_json(m, err);
    detect_text(m);
    return CLI_DONE;
}

const struct cli_command cli_command_detect = {
    .name = "detect",
    .words = "",
    .summary = "what is in this computer",
    .about = "Shows every GPU with its PCI address, gfx target, memory, driver and access rights,\n"
             "the host and its Vulkan drivers. Reads files only: no driver is loaded, no process\n"
             "started, no network used.",
    .run = detect_run,
};
