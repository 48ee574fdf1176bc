/*
 * flip_machines.c - damage: flip_machines ROUNDS [SEED]. In each round, of every captured machine
 * (tests/machines, and the dumps beside the project where they are) a random 1 % of the bytes that
 * its files hold is changed, and the machine is read. Proven: no crash, no hang, no error, and no
 * GPU that was not there before. GFXB_FINDING=FILE keeps the last text that went wrong.
 *
 * Names are left alone: a changed name of a directory is another machine, not a damaged one; links'
 * targets are changed where there is a PCI tree to compare with. "Not there before" means: where
 * addresses are names of directories or texts of links (as on every live computer), no GPU stands
 * at an address that had none. Some dumps have KFD or DRM alone, where the address is nothing but a
 * number in one file: it may move there, and a partition may seem a card, but every GPU stands on a
 * KFD node or card of its own that was a GPU's before.
 */
#include "machine/machine_private.h"
#include "sysroot/sysroot.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>

#define TEXT_MAX (16 << 20)

struct file {
    char *path;
    struct buf bytes;
};

struct specimen {
    char name[256];
    struct buf rest; /* the lines that are no files and no links */
    struct file *file, *link;
    size_t n_files, n_links;
    struct machine *before;
    bool has_pci;       /* a PCI tree */
    bool has_addresses; /* in names or links */
    uint64_t *kfd_node; /* numbers of the GPU nodes */
    size_t n_kfd_nodes;
    size_t n_cards; /* DRM cards */
};

struct herd {
    struct specimen *specimen;
    size_t n;
    const struct gfx_tables *tables;
    uint64_t random;
    unsigned long flips, reads;
};

static uint32_t next_random(struct herd *h)
{
    h->random ^= h->random << 13;
    h->random ^= h->random >> 7;
    h->random ^= h->random << 17;
    return (uint32_t)(h->random >> 32);
}

static void die(const char *name, const char *what)
{
    fprintf(stderr, "%s: %s\n", name, what);
    exit(1);
}

static void *grow(void *old, size_t n, size_t size)
{
    void *grown = reallocarray(old, n, size);
    if (!grown)
        die("flip_machines", "out of memory");
    return grown;
}

static void flip(struct herd *h, struct str bytes, struct buf *out)
{
    buf_clear(out);
    buf_add_str(out, bytes);
    for (size_t i = 0; i < out->n; i++) {
        uint32_t r = next_random(h);
        if (r % 100 != 0)
            continue;
        h->flips++;
        /* One bit, or any other byte. */
        if (r & 0x10000)
            out->p[i] = (char)(out->p[i] ^ 1 << (r >> 20 & 7));
        else
            out->p[i] = (char)(r >> 24);
    }
}

/* The specimen as .machine text, damaged with h's randomness or (NULL) as it was. */
static void put_together(struct herd *h, const struct specimen *s, struct buf *text)
{
    struct buf CLEAN_BUF bytes = BUF_INIT(1 << 20);
    buf_clear(text);
    root_write_header(text);
    buf_add_str(text, buf_view(&s->rest));
    for (size_t i = 0; i < s->n_links; i++) {
        const struct buf *target = &s->link[i].bytes;
        if (h && s->has_pci)
            flip(h, buf_view(target), &bytes);
        bool whole = h && s->has_pci && bytes.n && !memchr(bytes.p, '\0', bytes.n);
        root_write_link(text, s->link[i].path, whole ? buf_text(&bytes) : buf_text(target));
    }
    for (size_t i = 0; i < s->n_files; i++) {
        if (h)
            flip(h, buf_view(&s->file[i].bytes), &bytes);
        root_write_file(text, s->file[i].path, h ? buf_view(&bytes) : buf_view(&s->file[i].bytes));
    }
}

static void add_file(struct specimen *s, const struct root *root, const char *path)
{
    s->file = grow(s->file, s->n_files + 1, sizeof(*s->file));
    struct file *f = &s->file[s->n_files++];
    *f = (struct file){str_dup(str_from(path)), BUF_INIT(1 << 20)};
    if (!f->path || root_read(root, path, 1 << 20, &f->bytes) < 0)
        die(s->name, path);
}

static void add_link(struct specimen *s, const char *path, const char *target)
{
    s->link = grow(s->link, s->n_links + 1, sizeof(*s->link));
    struct file *f = &s->link[s->n_links++];
    *f = (struct file){str_dup(str_from(path)), BUF_INIT(1 << 16)};
    buf_add_text(&f->bytes, target);
    if (!f->path || !buf_ok(&f->bytes))
        die(s->name, path);
}

/* Take a .machine text apart: files with their bytes as `root` reads them, and everything else. */
static void take_apart(struct specimen *s, const struct root *root, struct str text)
{
    struct str line;
    char path[512], target[512];
    while (str_cut(&text, '\n', &line)) {
        bool is_file = str_starts(line, STR("file ")) || str_starts(line, STR("hex "));
        if (line.n == 0 || line.p[0] == ' ' || line.p[0] == '#' ||
            str_starts(line, STR("gfxbridge ")))
            continue;
        struct str all = line, word, name;
        str_word(&line, &word);
        str_word(&line, &name);
        snprintf(path, sizeof(path), "%.*s", STR_ARG(name));
        if (is_file)
            add_file(s, root, path);
        else if (str_is(word, "link") && root_readlink(root, path, target, sizeof(target)) == 0)
            add_link(s, path, target);
        else
            buf_addf(&s->rest, "%.*s\n", STR_ARG(all));
    }
}

/* The same from a directory: everything in it, also what a capture would leave out. */
static void walk(struct specimen *s, const struct root *root, const char *dir, int depth)
{
    struct root_names names = {NULL, 0};
    if (depth > 24 || root_list(root, dir, &names) < 0)
        return;
    for (size_t i = 0; i < names.n; i++) {
        char path[512], target[512];
        struct root_stat st;
        snprintf(path, sizeof(path), "%s/%s", dir, names.name[i]);
        if (root_readlink(root, path, target, sizeof(target)) == 0)
            add_link(s, path, target);
        else if (root_stat(root, path, &st) == 0 && st.kind == ROOT_DIR)
            walk(s, root, path, depth + 1);
        else if (st.kind == ROOT_FILE)
            add_file(s, root, path);
    }
    root_names_done(&names);
}

static void find_addresses(struct specimen *s, const struct root *root)
{
    struct root_names names = {NULL, 0};
    if (root_list(root, "/sys/bus/pci/devices", &names) == 0) {
        s->has_pci = s->has_addresses = names.n > 0;
        root_names_done(&names);
    }
    if (root_list(root, "/sys/class/drm", &names) < 0)
        return;
    for (size_t i = 0; i < names.n; i++) {
        char path[512], target[512];
        snprintf(path, sizeof(path), "/sys/class/drm/%s/device", names.name[i]);
        s->has_addresses |= root_readlink(root, path, target, sizeof(target)) == 0;
    }
    root_names_done(&names);
}

/* What was a GPU's before: KFD nodes with compute units, cards with a device. */
static void count_evidence(struct specimen *s, const struct root *root)
{
    struct root_names names = {NULL, 0};
    char path[512];
    if (root_list(root, "/sys/class/kfd/kfd/topology/nodes", &names) == 0) {
        s->kfd_node = grow(NULL, names.n + 1, sizeof(*s->kfd_node));
        for (size_t i = 0; i < names.n; i++) {
            struct buf CLEAN_BUF text = BUF_INIT(1 << 20);
            struct kfd_properties p;
            snprintf(path, sizeof(path), "/sys/class/kfd/kfd/topology/nodes/%s/properties",
                     names.name[i]);
            if (root_read(root, path, 1 << 20, &text) < 0)
                continue;
            machine_parse_kfd(buf_view(&text), &p);
            if (p.simd_count > 0 &&
                str_to_u64(str_from(names.name[i]), 10, &s->kfd_node[s->n_kfd_nodes]) == 0)
                s->n_kfd_nodes++;
        }
        root_names_done(&names);
    }
    if (root_list(root, "/sys/class/drm", &names) == 0) {
        for (size_t i = 0; i < names.n; i++)
            s->n_cards += str_starts(str_from(names.name[i]), STR("card"));
        root_names_done(&names);
    }
}

static void add_specimen(struct herd *h, const char *dir, const char *name)
{
    char path[1024];
    struct gfxb_error err = {0};
    struct root *root = NULL, *copy = NULL;
    struct buf CLEAN_BUF text = BUF_INIT(TEXT_MAX);
    h->specimen = grow(h->specimen, h->n + 1, sizeof(*h->specimen));
    struct specimen *s = &h->specimen[h->n++];
    *s = (struct specimen){.rest = BUF_INIT(TEXT_MAX)};
    snprintf(s->name, sizeof(s->name), "%s", name);
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (root_new(path, &root, &err) < 0)
        die(name, err.text);
    if (str_ends(str_from(name), STR(".machine"))) {
        if (fs_read(path, TEXT_MAX, &text) < 0)
            die(name, "cannot be read");
        take_apart(s, root, buf_view(&text));
    } else {
        walk(s, root, "/sys", 0);
    }
    put_together(NULL, s, &text);
    if (root_new_text(name, buf_view(&text), &copy, &err) < 0 ||
        machine_new(copy, h->tables, &s->before, &err) < 0)
        die(name, err.text);
    find_addresses(s, copy);
    count_evidence(s, copy);
    root_free(copy);
    root_free(root);
}

static void add_folder(struct herd *h, const char *dir, const char *ending)
{
    struct dirent **entry = NULL;
    int n = scandir(dir, &entry, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char below[1024];
        snprintf(below, sizeof(below), "%s/%s/sys", dir, entry[i]->d_name);
        bool wanted = ending ? str_ends(str_from(entry[i]->d_name), str_from(ending))
                             : entry[i]->d_name[0] != '.' && access(below, R_OK) == 0;
        if (wanted)
            add_specimen(h, dir, entry[i]->d_name);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
}

static bool is_gpu_node(const struct specimen *s, int node)
{
    for (size_t i = 0; i < s->n_kfd_nodes; i++) {
        if (s->kfd_node[i] == (uint64_t)node)
            return true;
    }
    return false;
}

static bool was_there(const struct specimen *s, const struct machine_gpu *gpu)
{
    if (!s->has_addresses)
        return gpu->kfd_node < 0 || is_gpu_node(s, gpu->kfd_node);
    for (size_t i = 0; i < s->before->n_gpus; i++) {
        if (strcmp(s->before->gpu[i].pci, gpu->pci) == 0)
            return true;
    }
    return false;
}

static bool is_sane(const struct specimen *s, const struct machine *m)
{
    size_t cards = 0;
    for (size_t i = 0; i < m->n_gpus; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        cards += gpu->kfd_node < 0;
        if (!was_there(s, gpu)) {
            printf("%s: a GPU at '%s' (%04x:%04x, KFD node %d) that was not there\n", s->name,
                   gpu->pci, gpu->vendor, (unsigned)gpu->device & 0xffff, gpu->kfd_node);
            return false;
        }
        if (gpu->target && gpu->vendor != MACHINE_AMD) {
            printf("%s: a gfx target on vendor %04x\n", s->name, gpu->vendor);
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            if (gpu->kfd_node >= 0 && m->gpu[k].kfd_node == gpu->kfd_node) {
                printf("%s: KFD node %d twice\n", s->name, gpu->kfd_node);
                return false;
            }
        }
    }
    if (s->has_addresses ? m->n_gpus > s->before->n_gpus : cards > s->n_cards) {
        printf("%s: %zu GPUs, %zu before\n", s->name, m->n_gpus, s->before->n_gpus);
        return false;
    }
    return true;
}

static bool try_specimen(struct herd *h, const struct specimen *s)
{
    struct gfxb_error err = {0};
    struct buf CLEAN_BUF text = BUF_INIT(TEXT_MAX);
    put_together(h, s, &text);
    struct root *root = NULL;
    struct machine *m = NULL;
    bool sane = false;
    if (!buf_ok(&text) || root_new_text(s->name, buf_view(&text), &root, &err) < 0 ||
        machine_new(root, h->tables, &m, &err) < 0)
        printf("%s: %s\n", s->name, err.text);
    else
        sane = is_sane(s, m);
    if (!sane) {
        const char *path = getenv("GFXB_FINDING");
        FILE *f = path ? fopen(path, "w") : NULL;
        if (f) {
            fwrite(text.p, 1, text.n, f);
            fclose(f);
        }
    }
    h->reads++;
    machine_free(m);
    root_free(root);
    return sane;
}

int main(int argc, char **argv)
{
    const char *source = getenv("GFXB_TEST_SOURCE");
    uint64_t rounds = 10, seed = 20261123;
    struct gfx_tables *tables = NULL;
    struct gfxb_error err = {0};
    char dir[1024];
    if ((argc > 1 && str_to_u64(str_from(argv[1]), 10, &rounds) < 0) ||
        (argc > 2 && str_to_u64(str_from(argv[2]), 10, &seed) < 0) || seed == 0)
        die("usage", "flip_machines [ROUNDS [SEED]]");
    if (gfx_tables_new(NULL, &tables, &err) < 0)
        die("tables", err.text);
    struct herd h = {.tables = tables, .random = seed * UINT64_C(0x9e3779b97f4a7c15)};
    snprintf(dir, sizeof(dir), "%s/tests/machines", source ? source : ".");
    add_folder(&h, dir, ".machine");
    snprintf(dir, sizeof(dir), "%s/../shared/fixtures", source ? source : ".");
    add_folder(&h, dir, NULL);
    if (h.n < 50)
        die(dir, "no captured machines");
    unsigned long bad = 0;
    for (uint64_t round = 0; round < rounds && bad < 20; round++) {
        for (size_t i = 0; i < h.n; i++)
            bad += !try_specimen(&h, &h.specimen[i]);
    }
    printf("%zu machines, %" PRIu64 " rounds, %lu machines read, %lu bytes changed, %lu bad\n", h.n,
           rounds, h.reads, h.flips, bad);
    for (size_t i = 0; i < h.n; i++) {
        struct specimen *s = &h.specimen[i];
        for (size_t k = 0; k < s->n_files; k++) {
            free(s->file[k].path);
            buf_done(&s->file[k].bytes);
        }
        for (size_t k = 0; k < s->n_links; k++) {
            free(s->link[k].path);
            buf_done(&s->link[k].bytes);
        }
        free(s->file);
        free(s->link);
        free(s->kfd_node);
        buf_done(&s->rest);
        machine_free(s->before);
    }
    free(h.specimen);
    gfx_tables_free(tables);
    return bad != 0;
}
