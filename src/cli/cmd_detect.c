/* cmd_detect.c - what is in this computer, or in a captured one. */
#include "cli/cli.h"

/* What an engine meets at this GPU beside its memory: driver, partitions, rights. */
static void detect_gpu_state(const struct machine *m, const struct machine_gpu *gpu,
                             struct buf *line)
{
    if (strcmp(gpu->driver, "?") != 0)
        buf_addf(line, ", driver %s", gpu->driver[0] ? gpu->driver : "none");
    if (gpu->partitions > 1)
        buf_addf(line, ", %u partitions", gpu->partitions);
    if (gpu->kfd_node >= 0 && m->kfd.openable == TRI_NO)
        buf_addf(line, ", " TEXT_BAD "/dev/kfd: %s" TEXT_END, error_errno_text(m->kfd.open_errno));
    if (gpu->render_openable == TRI_NO)
        buf_addf(line, ", " TEXT_BAD "render node: %s" TEXT_END,
                 error_errno_text(gpu->render_errno));
}

static void detect_gpu_text(const struct machine *m, const struct machine_gpu *gpu)
{
    struct buf CLEAN_BUF name = BUF_INIT(400), state = BUF_INIT(4000);
    const char *kind = machine_kind_name(gpu->kind);
    buf_add_str(&name, gfx_card_name(gpu->card));
    if (!name.n)
        buf_addf(&name, "%04x:%04x", gpu->vendor, gpu->device < 0 ? 0 : (unsigned)gpu->device);
    if (gpu->vram_bytes)
        buf_addf(&state, ", VRAM %s", report_bytes(gpu->vram_bytes).text);
    if (gpu->gtt_bytes)
        buf_addf(&state, ", GTT %s", report_bytes(gpu->gtt_bytes).text);
    detect_gpu_state(m, gpu, &state);
    text_print(stdout, "%-12s " TEXT_STRONG "%-8.*s" TEXT_END " " TEXT_HANG "%s\n             %s%s",
               gpu->pci[0] ? gpu->pci : "(no address)",
               STR_ARG(gpu->target ? gpu->target->gfx : STR("-")), buf_text(&name),
               kind ? kind : "kind unknown", buf_text(&state));
    for (unsigned i = 0; i < gpu->n_notes; i++)
        text_print(stdout, "             " TEXT_FAINT "note: %s" TEXT_END, gpu->note[i]);
}

static void detect_vulkan_text(const struct machine *m)
{
    struct buf CLEAN_BUF line = BUF_INIT(4000);
    for (size_t i = 0; i < m->vulkan.n_drivers; i++)
        buf_addf(&line, " %s%s", m->vulkan.driver[i].name,
                 m->vulkan.driver[i].software ? " (software)" : "");
    if (!m->vulkan.n_drivers)
        buf_add_text(&line, m->vulkan.known == TRI_YES ? " none" : " unknown");
    text_print(stdout, "Vulkan drivers:" TEXT_HANG "%s", buf_text(&line));
}

static void detect_text(const struct machine *m)
{
    if (m->n_gpus == 0)
        text_print(stdout, "No GPU found.");
    for (size_t i = 0; i < m->n_gpus; i++)
        detect_gpu_text(m, &m->gpu[i]);
    text_print(stdout, "\nHost: %s, kernel %s, glibc %s\n      %s, memory %s%s%s%s",
               m->host.distribution[0] ? m->host.distribution : "unknown distribution",
               m->host.kernel[0] ? m->host.kernel : "unknown",
               m->host.glibc[0] ? m->host.glibc : "?",
               m->host.cpu[0] ? m->host.cpu : "unknown processor",
               report_known_bytes(m->host.memory_bytes).text,
               m->host.container[0] ? ", in a container: " : "", m->host.container,
               m->host.wsl ? ", WSL2" : "");
    detect_vulkan_text(m);
}

static const char *detect_openable(enum tri openable)
{
    return openable == TRI_YES ? "can be opened" : openable == TRI_NO ? "no rights" : "not there";
}

/* From the slot to what a program may open, for each GPU. */
static void detect_svg(const struct machine *m)
{
    struct diagram d = {.body = BUF_INIT(4 << 20)};
    for (size_t i = 0; i < m->n_gpus; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        struct buf CLEAN_BUF name = BUF_INIT(400), note = BUF_INIT(4000), gfx = BUF_INIT(40);
        const char *kind = machine_kind_name(gpu->kind);
        buf_add_str(&name, gfx_card_name(gpu->card));
        buf_add_str(&gfx, gpu->target ? gpu->target->gfx : STR("none"));
        buf_addf(&note, "%s", kind ? kind : "kind unknown");
        if (gpu->vram_bytes)
            buf_addf(&note, ", VRAM %s", report_bytes(gpu->vram_bytes).text);
        bool driven = gpu->driver[0] && strcmp(gpu->driver, "?") != 0;
        enum tri kfd = gpu->kfd_node < 0 ? TRI_UNKNOWN : m->kfd.openable;
        const struct diagram_step steps[] = {
            {"PCI address", gpu->pci[0] ? gpu->pci : "unknown",
             gpu->pci[0] ? TRI_YES : TRI_UNKNOWN},
            {"gfx target", buf_text(&gfx), gpu->target ? TRI_YES : TRI_NO},
            {"driver", driven ? gpu->driver : "none", driven ? TRI_YES : TRI_NO},
            {"/dev/kfd, for ROCm", detect_openable(kfd), kfd},
            {"render node", detect_openable(gpu->render_openable), gpu->render_openable},
        };
        diagram_row(&d, name.n ? buf_text(&name) : "GPU without a known name", buf_text(&note),
                    steps, sizeof(steps) / sizeof(steps[0]));
    }
    if (!m->n_gpus)
        diagram_row(&d, "No GPU found. The CPU can run models.", m->host.cpu, NULL, 0);
    diagram_print(&d, "GPUs of this computer");
}

static const struct cli_option detect_options[] = {
    {"svg", NULL, "a picture of it, to standard output"},
    {NULL, NULL, NULL},
};

static int detect_run(struct cli *cli, const struct cli_args *args)
{
    if (cli->json)
        cli_print_json(cli, report_json_machine(cli_machine(cli)));
    else if (args->value[0])
        detect_svg(cli_machine(cli));
    else
        detect_text(cli_machine(cli));
    return CLI_DONE;
}

const struct cli_command cli_command_detect = {
    .name = "detect",
    .summary = "what is in this computer",
    .about = "Shows every GPU with its PCI address, gfx target, memory, driver and access rights, "
             "the host and its Vulkan drivers. Reads files only: no driver is loaded, no process "
             "started, no network used.",
    .options = detect_options,
    .run = detect_run,
};
