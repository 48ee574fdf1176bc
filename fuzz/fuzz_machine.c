/*
 * fuzz_machine.c - a .machine text from anywhere: the format's parser, then the whole detection on
 * it, then its capture, which must be readable and find as many GPUs of AMD's. Anything goes but a
 * crash, a hang, or an error without a sentence.
 */
#include "machine/machine.h"
#include "sysroot/sysroot.h"

static void require(bool good)
{
    if (!good)
        abort();
}

static const struct gfx_tables *fuzz_tables(void)
{
    static struct gfx_tables *t; /* once for all executions */
    if (!t)
        require(gfx_tables_new(NULL, &t, NULL) == 0);
    return t;
}

static void check_gpu(const struct machine *m, const struct machine_gpu *gpu)
{
    require(gpu->target == NULL || gpu->vendor == 0x1002);
    require(gpu->card == NULL || gpu->vendor == 0x1002);
    require(memchr(gpu->pci, '\0', sizeof(gpu->pci)) != NULL);
    require(memchr(gpu->driver, '\0', sizeof(gpu->driver)) != NULL);
    require((gpu->kfd_node >= 0) == (gpu->partitions > 0));
    require((gpu->kfd_node >= 0) == (gpu->kfd_ordinal >= 0));
    require(gpu->n_notes <= MACHINE_NOTES_MAX);
    (void)machine_gpu_memory(m, gpu);
    (void)machine_kind_name(gpu->kind);
}

static size_t count_gpus(const struct root *root)
{
    struct machine *m = NULL;
    struct gfxb_error err = {0};
    require(machine_new(root, fuzz_tables(), &m, &err) == 0);
    size_t n = m->n_gpus;
    for (size_t i = 0; i < n; i++) {
        check_gpu(m, &m->gpu[i]);
        /* One GPU an address. */
        for (size_t k = 0; k < i; k++)
            require(!m->gpu[i].pci[0] || strcmp(m->gpu[i].pci, m->gpu[k].pci) != 0);
    }
    machine_free(m);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gfxb_error err = {0};
    struct root *root = NULL, *copy = NULL;
    struct str text = {(const char *)data, size};
    if (root_new_text("fuzz", size ? text : STR_NONE, &root, &err) < 0) {
        require(root == NULL && err.code != 0 && err.text[0] != '\0');
        return 0;
    }
    (void)count_gpus(root);
    struct buf capture = BUF_INIT(16 << 20);
    require(machine_capture(root, &capture, &err) == 0);
    require(root_new_text("capture", buf_view(&capture), &copy, &err) == 0);
    (void)count_gpus(copy);
    root_free(copy);
    root_free(root);
    buf_done(&capture);
    return 0;
}
