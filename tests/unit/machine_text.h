/* machine_text.h - a struct machine as text to compare: every field that is known, a line a thing.
 */
#ifndef TESTS_MACHINE_TEXT_H
#define TESTS_MACHINE_TEXT_H

#include "machine/machine.h"

#include <inttypes.h>

static const char *text_tri(enum tri value)
{
    return value == TRI_YES ? "yes" : value == TRI_NO ? "no" : "unknown";
}

static void text_word(struct buf *b, const char *name, const char *value)
{
    if (value[0])
        buf_addf(b, " %s=\"%s\"", name, value);
}

static void text_number(struct buf *b, const char *name, uint64_t value)
{
    if (value)
        buf_addf(b, " %s=%" PRIu64, name, value);
}

static void text_errno(struct buf *b, int code)
{
    const char *name = code ? strerrorname_np(code) : NULL;
    if (name)
        buf_addf(b, "(%s)", name);
}

static void text_node(struct buf *b, const char *name, const struct machine_node *node)
{
    if (node->present == TRI_UNKNOWN)
        return;
    buf_addf(b, "%s: present=%s openable=%s", name, text_tri(node->present),
             text_tri(node->openable));
    text_errno(b, node->open_errno);
    if (node->present == TRI_YES)
        buf_addf(b, " %04o %u:%u", node->mode, node->uid, node->gid);
    text_word(b, "group", node->group);
    buf_add_char(b, '\n');
}

static void text_gpu_kfd(struct buf *b, const struct machine_gpu *gpu)
{
    if (gpu->kfd_node < 0)
        return;
    buf_addf(b, "    kfd node=%d ordinal=%d partitions=%u cwsr=%s", gpu->kfd_node, gpu->kfd_ordinal,
             gpu->partitions, text_tri(gpu->kfd_cwsr));
    text_number(b, "simds", gpu->simd_count);
    text_number(b, "version", gpu->kfd_version);
    buf_add_char(b, '\n');
}

static void text_gpu_memory(struct buf *b, const struct machine *m, const struct machine_gpu *gpu)
{
    size_t before = b->n;
    text_number(b, "vram", gpu->vram_bytes);
    text_number(b, "visible", gpu->visible_vram_bytes);
    text_number(b, "gtt", gpu->gtt_bytes);
    text_number(b, "vram_used", gpu->vram_used_bytes);
    text_number(b, "gtt_used", gpu->gtt_used_bytes);
    text_number(b, "usable", machine_gpu_memory(m, gpu));
    text_number(b, "mec", gpu->mec_firmware);
    text_number(b, "mes", gpu->mes_firmware);
    text_number(b, "sdma", gpu->sdma_firmware);
    if (b->n > before)
        buf_add_char(b, '\n');
}

static void text_gpu(struct buf *b, const struct machine *m, const struct machine_gpu *gpu)
{
    const char *kind = machine_kind_name(gpu->kind);
    buf_addf(b, "gpu %s ", gpu->pci[0] ? gpu->pci : "-");
    buf_addf(b, gpu->vendor ? "%04x" : "?", gpu->vendor);
    buf_addf(b, gpu->device >= 0 ? ":%04x" : ":?", (unsigned)gpu->device);
    buf_addf(b, gpu->revision >= 0 ? ":%02x" : ":?", (unsigned)gpu->revision);
    if (gpu->target)
        buf_addf(b, " %.*s", STR_ARG(gpu->target->gfx));
    else
        buf_add_text(b, " -");
    buf_addf(b, " %s driver=%s from=%s%s%s\n", kind ? kind : "unknown",
             gpu->driver[0] ? gpu->driver : "none", gpu->sources & MACHINE_KFD ? "k" : "",
             gpu->sources & MACHINE_DRM ? "d" : "", gpu->sources & MACHINE_PCI ? "p" : "");
    size_t before = b->n;
    text_gpu_memory(b, m, gpu);
    if (b->n > before) { /* indent what was added */
        struct buf CLEAN_BUF line = BUF_INIT(4096);
        buf_addf(&line, "   %s", b->p + before);
        b->n = before;
        buf_add_str(b, buf_view(&line));
    }
    if (gpu->render_minor >= 0) {
        buf_addf(b, "    render=%d openable=%s", gpu->render_minor, text_tri(gpu->render_openable));
        text_errno(b, gpu->render_errno);
        buf_add_char(b, '\n');
    }
    if (gpu->no_render)
        buf_add_text(b, "    no render node\n");
    text_gpu_kfd(b, gpu);
    for (unsigned i = 0; i < gpu->n_notes; i++)
        buf_addf(b, "    note %s\n", gpu->note[i]);
}

static void text_host(struct buf *b, const struct machine *m)
{
    buf_addf(b, "host:");
    text_word(b, "kernel", m->host.kernel);
    text_word(b, "distribution", m->host.distribution);
    text_word(b, "id", m->host.distro_id);
    text_word(b, "like", m->host.distro_like);
    text_word(b, "codename", m->host.distro_codename);
    buf_add_text(b, m->host.no_apt ? " no-apt" : "");
    text_word(b, "glibc", m->host.glibc);
    text_word(b, "arch", m->host.arch);
    text_word(b, "cpu", m->host.cpu);
    text_number(b, "cpus", m->host.cpus);
    text_number(b, "memory", m->host.memory_bytes);
    text_number(b, "free", m->host.memory_free_bytes);
    text_number(b, "cgroup", m->host.cgroup_limit_bytes);
    text_number(b, "ttm", m->host.ttm_limit_bytes);
    text_word(b, "container", m->host.container);
    text_word(b, "vm", m->host.vm);
    text_word(b, "boot", m->host.boot);
    text_word(b, "amdgpu", m->host.amdgpu_version);
    text_word(b, "override", m->host.override_gfx);
    buf_add_text(b, m->host.override_set && !m->host.override_gfx[0] ? " override=empty" : "");
    buf_addf(b, "%s\n", m->host.wsl ? " wsl" : "");
}

static void text_vulkan(struct buf *b, const struct machine *m)
{
    if (m->vulkan.loader == TRI_UNKNOWN && m->vulkan.known == TRI_UNKNOWN)
        return;
    buf_addf(b, "vulkan: loader=%s known=%s\n", text_tri(m->vulkan.loader),
             text_tri(m->vulkan.known));
    for (size_t i = 0; i < m->vulkan.n_drivers; i++) {
        const struct machine_vulkan_driver *d = &m->vulkan.driver[i];
        buf_addf(b, "    driver %s%s%s library=%s found=%s %s", d->name, d->amd ? " amd" : "",
                 d->software ? " software" : "", d->library ? d->library : "-",
                 text_tri(d->library_found), d->icd);
        text_word(b, d->mesa_of_release ? "newest-mesa" : "mesa", d->mesa);
        buf_add_char(b, '\n');
    }
}

static void text_machine(struct buf *b, const struct machine *m)
{
    text_host(b, m);
    text_node(b, "/dev/kfd", &m->kfd);
    text_node(b, "/dev/dxg", &m->dxg);
    if (!m->kfd_listed)
        buf_add_text(b, "kfd: its nodes were not recorded\n");
    if (m->amdgpu_loaded != TRI_UNKNOWN)
        buf_addf(b, "amdgpu: loaded=%s\n", text_tri(m->amdgpu_loaded));
    text_vulkan(b, m);
    for (size_t i = 0; i < m->n_gpus; i++)
        text_gpu(b, m, &m->gpu[i]);
    for (unsigned i = 0; i < m->n_notes; i++)
        buf_addf(b, "note %s\n", m->note[i]);
}

#endif
