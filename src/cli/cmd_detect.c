#include "cli/cli.h"

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
    report_bytes_text(gpu->vram_bytes, vram, sizeof(vram));
    report_bytes_text(gpu->gtt_bytes, gtt, sizeof(gtt));
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
    report_bytes_text(m->host.memory_bytes, memory, sizeof(memory));
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
        return cli_print_json(report_json_machine(m), err);
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
