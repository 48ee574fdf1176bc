/* machine.c - runs the sources of evidence in order and makes one plain value of what they found.
 */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <errno.h>

static int machine_compare_found(const void *a, const void *b)
{
    const struct machine_found *x = a, *y = b;
    if (x->place != y->place) /* MACHINE_NO_PLACE is the largest number */
        return (x->place > y->place) - (x->place < y->place);
    return (x->gpu.kfd_node > y->gpu.kfd_node) - (x->gpu.kfd_node < y->gpu.kfd_node);
}

static int machine_read_gpus(struct machine_scan *s)
{
    int r = machine_read_pci(s);
    if (r == 0)
        r = machine_read_drm(s);
    if (r == 0)
        r = machine_read_kfd(s);
    if (r < 0)
        return r;
    for (size_t i = 0; i < s->n; i++) {
        machine_identify(s, &s->found[i]);
        machine_read_render_node(s->root, &s->found[i].gpu);
    }
    if (s->n == 0)
        return 0;
    qsort(s->found, s->n, sizeof(*s->found), machine_compare_found);
    s->m->gpu = calloc(s->n, sizeof(*s->m->gpu));
    if (!s->m->gpu)
        return -ENOMEM;
    s->m->n_gpus = s->n;
    for (size_t i = 0; i < s->n; i++)
        s->m->gpu[i] = s->found[i].gpu;
    s->n = 0; /* their notes are the machine's now */
    return 0;
}

static void machine_free_notes(char *note[static MACHINE_NOTES_MAX], unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        free(note[i]);
}

static void machine_scan_done(struct machine_scan *s)
{
    for (size_t i = 0; i < s->n; i++)
        machine_free_notes(s->found[i].gpu.note, s->found[i].gpu.n_notes);
    free(s->found);
    root_names_done(&s->pci_names);
}

int machine_new(const struct root *root, const struct gfx_tables *tables,
                struct machine **ret_machine, struct gfxb_error *err)
{
    struct machine *m = calloc(1, sizeof(*m));
    if (!m)
        return error_set(err, ENOMEM, "out of memory");
    m->live = root_is_live(root);
    root_take_error(root);
    machine_read_host(root, m);
    machine_read_memory(root, m);
    machine_read_container(root, m);
    machine_read_virtual(root, m);
    machine_read_boot(root, m);
    machine_read_nodes(root, m);
    struct machine_scan scan = {.root = root, .tables = tables, .m = m};
    int r = machine_read_gpus(&scan);
    machine_scan_done(&scan);
    if (r == 0)
        r = machine_read_vulkan(root, m);
    int lacked = root_take_error(root);
    if (r == 0)
        r = lacked;
    if (r < 0) {
        machine_free(m);
        return r == -ENOMEM
                   ? error_set(err, ENOMEM, "out of memory")
                   : error_set(err, -r, "cannot read this computer: %s", error_errno_text(-r));
    }
    *ret_machine = m;
    return 0;
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n_gpus; i++)
        machine_free_notes(m->gpu[i].note, m->gpu[i].n_notes);
    machine_free_notes(m->note, m->n_notes);
    for (size_t i = 0; i < m->vulkan.n_drivers; i++) {
        free(m->vulkan.driver[i].icd);
        free(m->vulkan.driver[i].library);
    }
    free(m->vulkan.driver);
    free(m->gpu);
    free(m);
}
