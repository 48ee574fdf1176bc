/*
 * test_plans.c - runs every tests/plans/NAME.plan: a machine and a request in a few words, and what
 * the plan must say. tests/plans/README.md describes the words. Files are found at run time.
 */
#include "plan/plan.h"

#include <dirent.h>
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>

#define WORDS_MAX   24
#define GPUS_MAX    80
#define ROWS_MAX    24
#define CHECKS_MAX  80
#define SMALL_MAX   16
#define CASES_LEAST 60
#define LAYERS_MAX  128

struct proof_spec {
    struct plan_proof proof;
    const char *backend, *pci, *package, *kernel, *canary;
};

struct check {
    unsigned line, n;
    char *word[WORDS_MAX];
};

/* One case. Strings point into text, which is cut up in place. */
struct scene {
    const char *name;
    char *text;
    unsigned line;
    bool live_kfd; /* give nodes to the GPUs at the end */
    struct gfx_tables *real, tables;
    struct machine m;
    struct machine_gpu gpu[GPUS_MAX];
    bool no_node[GPUS_MAX];
    struct machine_vulkan_driver icd[SMALL_MAX];
    struct gfx_package package[ROWS_MAX];
    struct gfx_quirk quirk[ROWS_MAX];
    struct plan_installed installed[SMALL_MAX];
    struct plan_provider unusable[SMALL_MAX];
    struct plan_node node[SMALL_MAX];
    struct proof_spec spec[SMALL_MAX];
    struct plan_proof proof[SMALL_MAX];
    char *fingerprint[SMALL_MAX];
    size_t n_packages, n_quirks, n_installed, n_unusable, n_nodes, n_specs;
    struct plan_request request;
    struct fit_model model;
    struct fit_layer layer[LAYERS_MAX];
    struct check expect[CHECKS_MAX], check[CHECKS_MAX];
    size_t n_expect, n_checks;
};

static void stop(const struct scene *s, const char *what, const char *word)
{
    fail_msg("%s.plan:%u: %s '%s'", s->name, s->line, what, word);
}

/* ---- words ---- */

/* Cut a line into words; "double quotes" hold blanks together. */
static unsigned cut(struct scene *s, char *line, char *word[WORDS_MAX])
{
    unsigned n = 0;
    while (*line) {
        while (*line == ' ' || *line == '\t')
            line++;
        if (!*line)
            break;
        if (n == WORDS_MAX)
            stop(s, "too many words at", line);
        char *out = line;
        word[n++] = out;
        for (bool quoted = false; *line && (quoted || (*line != ' ' && *line != '\t')); line++) {
            if (*line == '"')
                quoted = !quoted;
            else
                *out++ = *line;
        }
        if (*line)
            line++;
        *out = '\0';
    }
    return n;
}

static uint64_t number(struct scene *s, const char *text, unsigned base)
{
    uint64_t value = 0;
    if (str_to_u64(str_from(text), base, &value) < 0)
        stop(s, "no number:", text);
    return value;
}

/* "24G", "512M" */
static uint64_t bytes(struct scene *s, const char *text)
{
    struct str view = str_from(text);
    unsigned shift = 0;
    if (str_ends(view, STR("G")))
        shift = 30;
    else if (str_ends(view, STR("M")))
        shift = 20;
    else
        stop(s, "no size:", text);
    uint64_t value = 0;
    view.n--;
    if (str_to_u64(view, 10, &value) < 0)
        stop(s, "no size:", text);
    return value << shift;
}

/* The value of KEY=VALUE, or NULL when word has another key. */
static char *value_of(char *word, const char *key)
{
    size_t n = strlen(key);
    return strncmp(word, key, n) == 0 && word[n] == '=' ? word + n + 1 : NULL;
}

/* A comma-separated list as a table has it: blanks. */
static char *list_of(char *value)
{
    for (char *p = value; *p; p++) {
        if (*p == ',')
            *p = ' ';
    }
    return value;
}

static void copy(struct scene *s, char *target, size_t size, const char *text)
{
    size_t n = strlen(text);
    if (n >= size)
        stop(s, "too long:", text);
    memcpy(target, text, n + 1);
}

static enum tri tri_of(struct scene *s, const char *text)
{
    if (strcmp(text, "yes") == 0)
        return TRI_YES;
    if (strcmp(text, "no") == 0)
        return TRI_NO;
    if (strcmp(text, "unknown") != 0)
        stop(s, "yes, no or unknown, not", text);
    return TRI_UNKNOWN;
}

static int code_of(struct scene *s, const char *name)
{
    int code = error_code_number(str_from(name));
    if (code >= 0)
        return code;
    stop(s, "no such code:", name);
    return 0;
}

/* ---- the machine ---- */

static void gpu_set_render(struct scene *s, struct machine_gpu *gpu, const char *text)
{
    gpu->render_openable = strcmp(text, "ok") == 0 ? TRI_YES : TRI_NO;
    if (strcmp(text, "eacces") == 0) {
        gpu->render_errno = EACCES;
        gpu->render_gid = 39; /* another one than KFD's */
        snprintf(gpu->render_group, sizeof(gpu->render_group), "video");
    } else if (strcmp(text, "enoent") == 0)
        gpu->render_errno = ENOENT;
    else if (strcmp(text, "unknown") == 0)
        gpu->render_openable = TRI_UNKNOWN;
    else if (strcmp(text, "ok") != 0)
        stop(s, "render=ok|eacces|enoent|unknown, not", text);
}

static enum gfx_kind kind_of(struct scene *s, const char *text)
{
    if (strcmp(text, "discrete") == 0)
        return GFX_DISCRETE;
    if (strcmp(text, "integrated") == 0)
        return GFX_INTEGRATED;
    if (strcmp(text, "accelerator") == 0)
        return GFX_ACCELERATOR;
    if (strcmp(text, "unknown") != 0)
        stop(s, "no such kind:", text);
    return GFX_KIND_UNKNOWN;
}

static void gpu_set(struct scene *s, struct machine_gpu *gpu, char *word)
{
    char *v;
    if ((v = value_of(word, "vram")))
        gpu->vram_bytes = bytes(s, v);
    else if ((v = value_of(word, "vram-used")))
        gpu->vram_used_bytes = bytes(s, v);
    else if ((v = value_of(word, "gtt")))
        gpu->gtt_bytes = bytes(s, v);
    else if ((v = value_of(word, "driver")))
        copy(s, gpu->driver, sizeof(gpu->driver), strcmp(v, "none") == 0 ? "" : v);
    else if ((v = value_of(word, "render")))
        gpu_set_render(s, gpu, v);
    else if ((v = value_of(word, "kind")))
        gpu->kind = kind_of(s, v);
    else if ((v = value_of(word, "simd")))
        gpu->simd_count = (unsigned)number(s, v, 10);
    else if ((v = value_of(word, "cwsr")))
        gpu->kfd_cwsr = tri_of(s, v);
    else if ((v = value_of(word, "mec")))
        gpu->mec_firmware = (uint32_t)number(s, v, 10);
    else if ((v = value_of(word, "mes")))
        gpu->mes_firmware = (uint32_t)number(s, v, 10);
    else if ((v = value_of(word, "partitions")))
        gpu->partitions = (unsigned)number(s, v, 10);
    else if ((v = value_of(word, "kfd")))
        gpu->kfd_version = (uint32_t)number(s, v, 10);
    else if (strcmp(word, "nokfd") == 0)
        s->no_node[gpu - s->gpu] = true;
    else
        stop(s, "no such property:", word);
}

/* gpu ADDRESS VENDOR:DEVICE[:REVISION] [property ...] */
static void read_gpu(struct scene *s, unsigned n, char **word)
{
    if (n < 3 || s->m.n_gpus == GPUS_MAX)
        stop(s, "gpu ADDRESS VENDOR:DEVICE[:REVISION] ..., not", word[0]);
    struct machine_gpu *gpu = &s->gpu[s->m.n_gpus++];
    struct str rest = str_from(word[2]), part = STR_NONE;
    uint64_t id[3] = {0, 0, 0};
    unsigned ids = 0;
    while (ids < 3 && str_cut(&rest, ':', &part) && str_to_u64(part, 16, &id[ids]) == 0)
        ids++;
    if (ids < 2)
        stop(s, "no PCI id:", word[2]);
    *gpu = (struct machine_gpu){
        .vendor = (uint16_t)id[0],
        .device = (int)id[1],
        .revision = ids == 3 ? (int)id[2] : -1,
        .driver = "amdgpu",
        .render_minor = 127 + (int)s->m.n_gpus,
        .render_openable = TRI_YES,
        .kfd_node = -1,
        .kfd_ordinal = -1,
        .kfd_cwsr = TRI_UNKNOWN,
        .sources = MACHINE_PCI,
    };
    copy(s, gpu->pci, sizeof(gpu->pci), strcmp(word[1], "-") == 0 ? "" : word[1]);
    if (gpu->vendor == 0x1002)
        gpu->card = gfx_card_find(s->real, (uint16_t)gpu->device, gpu->revision);
    if (gpu->card) {
        gpu->target = gfx_target_find(s->real, gfx_card_gfx(gpu->card));
        gpu->kind = gpu->card->kind;
        if (gpu->kind == GFX_KIND_UNKNOWN && gpu->target)
            gpu->kind = gpu->target->kind;
    }
    for (unsigned i = 3; i < n; i++)
        gpu_set(s, gpu, word[i]);
}

/* kfd ok|absent|eacces|eio|unknown [group=NAME] [gid=N] */
static void read_kfd(struct scene *s, unsigned n, char **word)
{
    struct machine_node *kfd = &s->m.kfd;
    const char *how = n > 1 ? word[1] : "";
    *kfd = (struct machine_node){0};
    s->live_kfd = strcmp(how, "ok") == 0 || how[0] == 'e';
    kfd->present = s->live_kfd ? TRI_YES : strcmp(how, "absent") == 0 ? TRI_NO : TRI_UNKNOWN;
    kfd->openable = strcmp(how, "ok") == 0 ? TRI_YES : s->live_kfd ? TRI_NO : TRI_UNKNOWN;
    kfd->open_errno = strcmp(how, "eacces") == 0 ? EACCES : strcmp(how, "eio") == 0 ? EIO : 0;
    for (unsigned i = 2; i < n; i++) {
        char *v;
        if ((v = value_of(word[i], "group")))
            copy(s, kfd->group, sizeof(kfd->group), v);
        else if ((v = value_of(word[i], "gid")))
            kfd->gid = (unsigned)number(s, v, 10);
        else
            stop(s, "no such property:", word[i]);
    }
}

/* vulkan none|DRIVER... ("-" before a name: its library is missing) */
static void read_vulkan(struct scene *s, unsigned n, char **word)
{
    s->m.vulkan.known = TRI_YES;
    if (s->m.vulkan.loader == TRI_UNKNOWN)
        s->m.vulkan.loader = TRI_YES;
    for (unsigned i = 1; i < n; i++) {
        const char *name = word[i];
        if (strcmp(name, "none") == 0)
            continue;
        struct machine_vulkan_driver *icd = &s->icd[s->m.vulkan.n_drivers++];
        icd->library_found = name[0] == '-' ? TRI_NO : TRI_YES;
        name += name[0] == '-';
        copy(s, icd->name, sizeof(icd->name), name);
        icd->software = strcmp(name, "lvp") == 0;
        icd->amd = strcmp(name, "radeon") == 0 || strcmp(name, "amdvlk") == 0;
        if (asprintf(&icd->icd, "/usr/share/vulkan/icd.d/%s_icd.json", name) < 0 ||
            asprintf(&icd->library, "libvulkan_%s.so", name) < 0)
            stop(s, "out of memory at", name);
    }
}

/* A computer on which everything works. */
static void read_healthy(struct scene *s)
{
    char *kfd[] = {"kfd", "ok", "group=render", "gid=105"}, *vulkan[] = {"vulkan", "radeon"};
    copy(s, s->m.host.kernel, sizeof(s->m.host.kernel), "6.18.9-amd64");
    copy(s, s->m.host.glibc, sizeof(s->m.host.glibc), "2.41");
    copy(s, s->m.host.distro_id, sizeof(s->m.host.distro_id), "debian");
    copy(s, s->m.host.cpu, sizeof(s->m.host.cpu), "Some Processor");
    s->m.host.memory_bytes = UINT64_C(64) << 30;
    s->m.host.memory_free_bytes = UINT64_C(60) << 30;
    s->m.amdgpu_loaded = TRI_YES;
    s->m.live = true;
    read_kfd(s, 4, kfd);
    read_vulkan(s, 2, vulkan);
}

static bool read_host(struct scene *s, unsigned n, char **word)
{
    const char *v = n > 1 ? word[1] : "";
    if (strcmp(word[0], "kernel") == 0)
        copy(s, s->m.host.kernel, sizeof(s->m.host.kernel), v);
    else if (strcmp(word[0], "glibc") == 0)
        copy(s, s->m.host.glibc, sizeof(s->m.host.glibc), v);
    else if (strcmp(word[0], "distro") == 0)
        copy(s, s->m.host.distro_id, sizeof(s->m.host.distro_id), v);
    else if (strcmp(word[0], "distro-like") == 0)
        copy(s, s->m.host.distro_like, sizeof(s->m.host.distro_like), v);
    else if (strcmp(word[0], "arch") == 0)
        copy(s, s->m.host.arch, sizeof(s->m.host.arch), v);
    else if (strcmp(word[0], "cpu") == 0)
        copy(s, s->m.host.cpu, sizeof(s->m.host.cpu), v);
    else if (strcmp(word[0], "container") == 0)
        copy(s, s->m.host.container, sizeof(s->m.host.container), v);
    else if (strcmp(word[0], "dkms") == 0)
        copy(s, s->m.host.amdgpu_version, sizeof(s->m.host.amdgpu_version), v);
    else if (strcmp(word[0], "override-set") == 0)
        copy(s, s->m.host.override_gfx, sizeof(s->m.host.override_gfx), v);
    else if (strcmp(word[0], "memory") == 0)
        s->m.host.memory_bytes = s->m.host.memory_free_bytes = bytes(s, v);
    else if (strcmp(word[0], "memory-free") == 0)
        s->m.host.memory_free_bytes = bytes(s, v);
    else if (strcmp(word[0], "cgroup") == 0)
        s->m.host.cgroup_limit_bytes = bytes(s, v);
    else if (strcmp(word[0], "amdgpu-loaded") == 0)
        s->m.amdgpu_loaded = tri_of(s, v);
    else if (strcmp(word[0], "vulkan-loader") == 0)
        s->m.vulkan.loader = tri_of(s, v);
    else if (strcmp(word[0], "wsl") == 0)
        s->m.host.wsl = true;
    else if (strcmp(word[0], "captured") == 0)
        s->m.live = false;
    else
        return false;
    return true;
}

/* ---- tables of the case's own ---- */

/* package ID backend [key=value ...] [knowledge]: replaces packages.tsv by what is given */
static void read_package(struct scene *s, unsigned n, char **word)
{
    if (n < 3 || s->n_packages == ROWS_MAX)
        stop(s, "package ID BACKEND ..., not", word[0]);
    struct gfx_package *row = &s->package[s->n_packages++];
    *row = (struct gfx_package){.id = str_from(word[1]),
                                .backend = str_from(word[2]),
                                .provider = STR("github"),
                                .arch = STR("x86_64"),
                                .runtime = STR("bundled"),
                                .installable = true};
    for (unsigned i = 3; i < n; i++) {
        char *v;
        if ((v = value_of(word[i], "gfx")))
            row->gfx = str_from(list_of(v));
        else if ((v = value_of(word[i], "unconfirmed")))
            row->unconfirmed = str_from(list_of(v));
        else if ((v = value_of(word[i], "engine")))
            row->engine = str_from(v);
        else if ((v = value_of(word[i], "provider")))
            row->provider = str_from(v);
        else if ((v = value_of(word[i], "arch")))
            row->arch = str_from(v);
        else if ((v = value_of(word[i], "runtime")))
            row->runtime = str_from(v);
        else if ((v = value_of(word[i], "glibc")))
            row->glibc = str_from(v);
        else if ((v = value_of(word[i], "size")))
            row->size = bytes(s, v);
        else if ((v = value_of(word[i], "os")))
            row->os = strcmp(v, "windows") == 0 ? GFX_WINDOWS : GFX_LINUX;
        else if (strcmp(word[i], "knowledge") == 0)
            row->installable = false;
        else
            stop(s, "no such column:", word[i]);
    }
    s->tables.package = s->package;
    s->tables.n_packages = s->n_packages;
}

static enum gfx_effect effect_of(struct scene *s, const char *name)
{
    static const char *const names[] = {"block", "warn", "env", "arg", "override", "note"};
    for (unsigned i = 0; i < 6; i++) {
        if (strcmp(names[i], name) == 0)
            return (enum gfx_effect)i;
    }
    stop(s, "no such effect:", name);
    return GFX_NOTE;
}

/* quirk ID EFFECT [key=value ...]: replaces quirks.tsv by what is given; "quirk none" by nothing */
static void read_quirk(struct scene *s, unsigned n, char **word)
{
    s->tables.quirk = s->quirk;
    s->tables.n_quirks = s->n_quirks;
    if (n == 2 && strcmp(word[1], "none") == 0)
        return;
    if (n < 3 || s->n_quirks == ROWS_MAX)
        stop(s, "quirk ID EFFECT ..., not", word[0]);
    struct gfx_quirk *row = &s->quirk[s->n_quirks++];
    *row = (struct gfx_quirk){.id = str_from(word[1]), .effect = effect_of(s, word[2])};
    for (unsigned i = 3; i < n; i++) {
        char *v;
        if ((v = value_of(word[i], "gfx")))
            row->gfx = str_from(list_of(v));
        else if ((v = value_of(word[i], "if")))
            row->condition = str_from(v);
        else if ((v = value_of(word[i], "code")))
            row->code = code_of(s, v);
        else if ((v = value_of(word[i], "value")))
            row->value = str_from(v);
        else if ((v = value_of(word[i], "text")))
            row->text = str_from(v);
        else if ((v = value_of(word[i], "remedy")))
            row->remedy = str_from(v);
        else
            stop(s, "no such column:", word[i]);
    }
    struct str bad;
    if (!plan_condition_known(row->condition, &bad))
        stop(s, "not a term in", word[1]);
    s->tables.n_quirks = s->n_quirks;
}

/* ---- what is installed and proven, and the request ---- */

/* installed ID BACKEND [digest=X] [gfx=a,b] [blas=a,b] [provider=P] [pinned] */
static void read_installed(struct scene *s, unsigned n, char **word)
{
    if (n < 3 || s->n_installed == SMALL_MAX)
        stop(s, "installed ID BACKEND ..., not", word[0]);
    struct plan_installed *item = &s->installed[s->n_installed++];
    *item = (struct plan_installed){.id = word[1], .backend = word[2], .digest = "d1"};
    for (unsigned i = 3; i < n; i++) {
        char *v;
        if ((v = value_of(word[i], "digest")))
            item->digest = v;
        else if ((v = value_of(word[i], "gfx")))
            item->gfx = list_of(v);
        else if ((v = value_of(word[i], "blas")))
            item->blas = list_of(v);
        else if ((v = value_of(word[i], "provider")))
            item->provider = v;
        else if ((v = value_of(word[i], "version")))
            item->version = v;
        else if ((v = value_of(word[i], "protocol")))
            item->protocol = v;
        else if (strcmp(word[i], "pinned") == 0)
            item->pinned = true;
        else
            stop(s, "no such property:", word[i]);
    }
}

/* node NAME [KEY=VALUE ...]: another computer, of a debian-cpu that fits 24 GiB unless told */
static void read_node(struct scene *s, unsigned n, char **word)
{
    if (n < 2 || s->n_nodes == SMALL_MAX)
        stop(s, "node NAME ..., not", word[0]);
    struct plan_node *node = &s->node[s->n_nodes++];
    *node = (struct plan_node){.name = word[1],
                               .identity = word[1],
                               .backend = "cpu",
                               .package = "debian-cpu",
                               .digest = "d1",
                               .fingerprint = "f1",
                               .total_bytes = UINT64_C(24) << 30,
                               .free_bytes = UINT64_C(24) << 30};
    const struct {
        const char *key, **text;
    } texts[] = {{"identity", &node->identity}, {"computer", &node->computer},
                 {"reason", &node->reason},     {"package", &node->package},
                 {"digest", &node->digest},     {"version", &node->version},
                 {"protocol", &node->protocol}, {"fingerprint", &node->fingerprint}};
    for (unsigned i = 2; i < n; i++) {
        char *v;
        size_t k = 0;
        while (k < sizeof(texts) / sizeof(texts[0]) && !(v = value_of(word[i], texts[k].key)))
            k++;
        if (k < sizeof(texts) / sizeof(texts[0]))
            *texts[k].text = v;
        else if ((v = value_of(word[i], "code")))
            node->code = code_of(s, v);
        else if ((v = value_of(word[i], "memory")))
            node->total_bytes = node->free_bytes = bytes(s, v);
        else if ((v = value_of(word[i], "free")))
            node->free_bytes = bytes(s, v);
        else if ((v = value_of(word[i], "bandwidth")))
            node->bytes_per_second = (double)bytes(s, v);
        else if ((v = value_of(word[i], "round-trip")))
            node->round_trip_us = (double)number(s, v, 10);
        else
            stop(s, "no such property:", word[i]);
    }
}

/* proof pass|CODE BACKEND PCI PACKAGE [day=] [tps=] [bench= with=] [detail=] [device=SIZE]
 * [model=same|CODE what= when=]: what is known of the model on it
 * [kernel=] [canary=]: stored for that choice, on a machine with another kernel or canary where one
 * is named. */
static void read_proof(struct scene *s, unsigned n, char **word)
{
    if (n < 5 || s->n_specs == SMALL_MAX)
        stop(s, "proof pass|CODE BACKEND PCI PACKAGE ..., not", word[0]);
    struct proof_spec *spec = &s->spec[s->n_specs++];
    bool passed = strcmp(word[1], "pass") == 0;
    *spec = (struct proof_spec){.backend = word[2], .pci = word[3], .package = word[4]};
    spec->proof = (struct plan_proof){
        .passed = passed, .code = passed ? 0 : code_of(s, word[1]), .day = "2026-11-20"};
    for (unsigned i = 5; i < n; i++) {
        char *v;
        if ((v = value_of(word[i], "day")))
            spec->proof.day = v;
        else if ((v = value_of(word[i], "tps")))
            spec->proof.tokens_per_second = (double)number(s, v, 10);
        else if ((v = value_of(word[i], "bench")))
            spec->proof.bench_speed = (double)number(s, v, 10);
        else if ((v = value_of(word[i], "with")))
            spec->proof.bench_with = v;
        else if ((v = value_of(word[i], "detail")))
            spec->proof.detail = v;
        else if ((v = value_of(word[i], "device")))
            spec->proof.device_bytes = bytes(s, v);
        else if ((v = value_of(word[i], "model")))
            spec->proof.model_code = strcmp(v, "same") == 0 ? 0 : code_of(s, v);
        else if ((v = value_of(word[i], "what")))
            spec->proof.model_what = str_from(v);
        else if ((v = value_of(word[i], "when")))
            spec->proof.model_day = v;
        else if ((v = value_of(word[i], "kernel")))
            spec->kernel = v;
        else if ((v = value_of(word[i], "canary")))
            spec->canary = v;
        else
            stop(s, "no such property:", word[i]);
    }
}

/* model LAYERS LAYER-SIZE OUTPUT-SIZE CACHE-BYTES-A-TOKEN: every layer alike; width 4096 */
static void read_model(struct scene *s, unsigned n, char **word)
{
    if (n != 5)
        stop(s, "model LAYERS LAYER OUTPUT CACHE, not", word[0]);
    size_t layers = (size_t)number(s, word[1], 10);
    if (layers == 0 || layers > LAYERS_MAX)
        stop(s, "no number of layers:", word[1]);
    for (size_t i = 0; i < layers; i++)
        s->layer[i] =
            (struct fit_layer){.weights = bytes(s, word[2]), .cache = number(s, word[4], 10)};
    s->model = (struct fit_model){.layer = s->layer,
                                  .n_layers = layers,
                                  .input_weights = bytes(s, word[3]),
                                  .output_weights = bytes(s, word[3]),
                                  .context_most = 131072,
                                  .width = 4096,
                                  .live = 65536,
                                  .vocabulary = 128000,
                                  .cached = true};
    s->request.model = &s->model;
}

static bool read_request(struct scene *s, unsigned n, char **word)
{
    const char *v = n > 1 ? word[1] : "";
    if (strcmp(word[0], "policy") == 0)
        s->request.policy = (enum plan_policy)plan_policy_from_name(v);
    else if (strcmp(word[0], "backend") == 0)
        s->request.backend = plan_backend_from_name(v);
    else if (strcmp(word[0], "os") == 0)
        s->request.os = strcmp(v, "windows") == 0 ? GFX_WINDOWS : GFX_LINUX;
    else if (strcmp(word[0], "need") == 0)
        s->request.need_bytes = bytes(s, v);
    else if (strcmp(word[0], "model") == 0)
        read_model(s, n, word);
    else if (strcmp(word[0], "context") == 0)
        s->request.use.context = (uint32_t)number(s, v, 10);
    else if (strcmp(word[0], "slots") == 0)
        s->request.use.slots = (uint32_t)number(s, v, 10);
    else if (strcmp(word[0], "pin") == 0)
        s->request.gpu = v;
    else if (strcmp(word[0], "allow-override") == 0)
        s->request.allow_override = true;
    else if (strcmp(word[0], "no-network") == 0)
        s->request.no_network = true;
    else if (strcmp(word[0], "want-set") == 0)
        s->request.want_set = true;
    else if (strcmp(word[0], "computer") == 0)
        s->request.computer = v;
    else if (strcmp(word[0], "unusable") == 0 && n == 4)
        s->unusable[s->n_unusable++] = (struct plan_provider){v, code_of(s, word[2]), word[3]};
    else
        return false;
    if ((int)s->request.policy < 0 || (strcmp(word[0], "backend") == 0 && s->request.backend < 0))
        stop(s, "no such name:", v);
    return true;
}

/* ---- reading a case ---- */

static bool is_check(const char *word)
{
    static const char *const words[] = {"chosen",  "reason", "evidence", "env",        "noenv",
                                        "warning", "args",   "count",    "noreason",   "nowarning",
                                        "have",    "fit",    "members",  "fingerprint"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(words[i], word) == 0)
            return true;
    }
    return false;
}

static void keep(struct scene *s, struct check *list, size_t *n_list, unsigned n, char **word)
{
    if (*n_list == CHECKS_MAX)
        stop(s, "too many expectations at", word[0]);
    struct check *check = &list[(*n_list)++];
    check->line = s->line;
    check->n = n;
    memcpy(check->word, word, n * sizeof(word[0]));
}

static void read_line(struct scene *s, char *line)
{
    char *word[WORDS_MAX];
    unsigned n = cut(s, line, word);
    if (n == 0 || word[0][0] == '#' || strcmp(word[0], "about") == 0)
        return;
    if (strcmp(word[0], "healthy") == 0)
        read_healthy(s);
    else if (strcmp(word[0], "gpu") == 0)
        read_gpu(s, n, word);
    else if (strcmp(word[0], "kfd") == 0)
        read_kfd(s, n, word);
    else if (strcmp(word[0], "vulkan") == 0) {
        for (size_t i = 0; i < s->m.vulkan.n_drivers; i++) {
            free(s->icd[i].icd);
            free(s->icd[i].library);
        }
        s->m.vulkan.n_drivers = 0;
        read_vulkan(s, n, word);
    } else if (strcmp(word[0], "package") == 0)
        read_package(s, n, word);
    else if (strcmp(word[0], "quirk") == 0)
        read_quirk(s, n, word);
    else if (strcmp(word[0], "installed") == 0)
        read_installed(s, n, word);
    else if (strcmp(word[0], "proof") == 0)
        read_proof(s, n, word);
    else if (strcmp(word[0], "node") == 0)
        read_node(s, n, word);
    else if (strcmp(word[0], ">") == 0)
        keep(s, s->expect, &s->n_expect, n - 1, word + 1);
    else if (is_check(word[0]))
        keep(s, s->check, &s->n_checks, n, word);
    else if (!read_host(s, n, word) && !read_request(s, n, word))
        stop(s, "no such word:", word[0]);
}

/* The kernel's compute driver numbers the cards that it knows by their addresses. */
static void give_nodes(struct scene *s)
{
    int ordinal = 0;
    for (size_t i = 0; s->live_kfd && i < s->m.n_gpus; i++) {
        struct machine_gpu *gpu = &s->gpu[i];
        if (s->no_node[i] || !gpu->target || !gpu->target->kfd ||
            strcmp(gpu->driver, "amdgpu") != 0)
            continue;
        if (gpu->partitions == 0)
            gpu->partitions = 1;
        gpu->kfd_ordinal = ordinal;
        gpu->kfd_node = ordinal + 1; /* node 0 is the processor */
        gpu->kfd_version = gpu->target->kfd;
        gpu->sources |= MACHINE_KFD;
        ordinal += (int)gpu->partitions;
    }
}

static struct scene *scene_new(const char *path, const char *name)
{
    struct scene *s = calloc(1, sizeof(*s));
    struct gfxb_error err;
    struct buf b = BUF_INIT(1 << 18);
    assert_non_null(s);
    s->name = name;
    if (gfx_tables_new(NULL, &s->real, &err) < 0)
        fail_msg("%s", err.text);
    if (fs_read(path, 1 << 16, &b) < 0)
        fail_msg("%s cannot be read", path);
    s->text = buf_take(&b);
    assert_non_null(s->text);
    s->tables = *s->real;
    s->m.kfd.present = s->m.kfd.openable = TRI_UNKNOWN;
    s->m.amdgpu_loaded = s->m.vulkan.known = s->m.vulkan.loader = TRI_UNKNOWN;
    s->m.gpu = s->gpu;
    s->m.vulkan.driver = s->icd;
    copy(s, s->m.host.os, sizeof(s->m.host.os), "linux");
    copy(s, s->m.host.arch, sizeof(s->m.host.arch), "x86_64");
    s->request.backend = -1;
    s->request.canary_version = "canary-1";
    char *line = s->text;
    while (line) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        s->line++;
        read_line(s, line);
        line = end ? end + 1 : NULL;
    }
    give_nodes(s);
    s->request.installed = s->installed;
    s->request.n_installed = s->n_installed;
    s->request.unusable = s->unusable;
    s->request.n_unusable = s->n_unusable;
    s->request.node = s->node;
    s->request.n_nodes = s->n_nodes;
    return s;
}

static void scene_free(struct scene *s)
{
    for (size_t i = 0; i < s->m.vulkan.n_drivers; i++) {
        free(s->icd[i].icd);
        free(s->icd[i].library);
    }
    for (size_t i = 0; i < s->n_specs; i++)
        free(s->fingerprint[i]);
    gfx_tables_free(s->real);
    free(s->text);
    free(s);
}

/* ---- the plan ---- */

static struct plan *make_plan(const struct scene *s, const struct machine *m,
                              const struct plan_request *request)
{
    struct plan *p = NULL;
    struct gfxb_error err;
    if (plan_new(m, &s->tables, request, &p, &err) < 0)
        fail_msg("%s.plan: %s", s->name, err.text);
    return p;
}

/* Lent until the next call; a set's addresses with "+" between them, other computers behind "@". */
static const char *pci_of(const struct plan_choice *c)
{
    static char text[400];
    size_t n = 0;
    snprintf(text, sizeof(text), "-");
    for (size_t i = 0; c->gpu_pci[i] && n < sizeof(text); i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? "+" : "", c->gpu_pci[i]);
    n = strlen(text);
    for (size_t i = 0; i < c->n_members && n < sizeof(text); i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? "+" : "@",
                              c->member[i].node->name);
    return text;
}

static const char *package_of(const struct plan_choice *c)
{
    return c->package ? c->package : "-";
}

static bool fits(const struct plan_choice *c, const char *backend, const char *pci,
                 const char *package)
{
    return strcmp(plan_backend_name(c->backend), backend) == 0 && fnmatch(pci, pci_of(c), 0) == 0 &&
           fnmatch(package, package_of(c), 0) == 0;
}

static const struct plan_choice *find(const struct plan *p, const char *backend, const char *pci,
                                      const char *package)
{
    for (size_t i = 0; i < p->n_choices; i++) {
        if (fits(&p->choice[i], backend, pci, package))
            return &p->choice[i];
    }
    return NULL;
}

/* Fingerprints are the program's own: asked from a plan without proofs. */
static void store_proofs(struct scene *s)
{
    for (size_t i = 0; i < s->n_specs; i++) {
        const struct proof_spec *spec = &s->spec[i];
        struct machine m = s->m;
        struct plan_request request = s->request;
        if (spec->kernel)
            copy(s, m.host.kernel, sizeof(m.host.kernel), spec->kernel);
        if (spec->canary)
            request.canary_version = spec->canary;
        struct plan *p = make_plan(s, &m, &request);
        const struct plan_choice *c = find(p, spec->backend, spec->pci, spec->package);
        if (!c)
            fail_msg("%s.plan: no choice %s %s %s to prove", s->name, spec->backend, spec->pci,
                     spec->package);
        s->fingerprint[i] = strdup(c->fingerprint);
        s->proof[i] = spec->proof;
        s->proof[i].fingerprint = s->fingerprint[i];
        s->proof[i].gpu_bytes = c->gpu_bytes;
        plan_free(p);
    }
    s->request.proof = s->proof;
    s->request.n_proofs = s->n_specs;
}

static void print_list(struct buf *b, const char *title, char **list)
{
    for (size_t i = 0; list[i]; i++)
        buf_addf(b, "      %s %s\n", title, list[i]);
}

/* Everything in a plan as text: for failures, and to compare two plans. */
static void print_plan(const struct plan *p, struct buf *b)
{
    for (size_t i = 0; i < p->n_choices; i++) {
        const struct plan_choice *c = &p->choice[i];
        buf_addf(b, "> %s %s %s %s %s%s\n      %s\n      %s\n", plan_backend_name(c->backend),
                 pci_of(c), package_of(c), plan_state_name(c->state), gfxb_code_name(c->code),
                 (int)i == p->chosen ? "   <- chosen" : "", c->reason ? c->reason : "(null)",
                 c->fingerprint);
        for (size_t k = 0; k < c->n_evidence; k++)
            buf_addf(b, "      %s %d %s\n", plan_rung_name(c->evidence[k].rung),
                     (int)c->evidence[k].ok, c->evidence[k].detail);
        print_list(b, "env", c->env);
        print_list(b, "arg", c->args);
        print_list(b, "warning", c->warning);
        if (c->context)
            buf_addf(b, "      fit %u %zu %u\n", c->context, c->gpu_layers, c->slots);
        for (size_t k = 0; k < c->n_members; k++)
            buf_addf(b, "      node %s %zu %llu %llu\n", c->member[k].node->name,
                     c->member[k].layers, (unsigned long long)c->member[k].need_bytes,
                     (unsigned long long)c->member[k].have_bytes);
    }
}

static void refuse(const struct scene *s, const struct plan *p, unsigned line, const char *what)
{
    struct buf b = BUF_INIT(1 << 20);
    print_plan(p, &b);
    fprintf(stderr, "%s", buf_text(&b));
    buf_done(&b);
    fail_msg("%s.plan:%u: %s", s->name, line, what);
}

/* ---- what must hold for every plan ---- */

/* The first and the last rung that a code may be the answer to. */
static bool rung_fits(int code, enum plan_rung rung)
{
    switch (code) {
    case GFXB_E_NO_GPU:
    case GFXB_E_NOT_AMD:
    case GFXB_E_GFX_UNKNOWN:
        return rung == PLAN_E0;
    case GFXB_E_GFX_NOT_IN_PACKAGE:
    case GFXB_E_NO_PACKAGE:
    case GFXB_E_BLAS_KERNELS_MISSING:
        return rung == PLAN_E1;
    case GFXB_E_VULKAN_DRIVER_MISSING:
    case GFXB_E_VULKAN_SOFTWARE_ONLY:
        return rung == PLAN_E0 || rung == PLAN_E2;
    case GFXB_E_FAILED_BEFORE:
        return rung >= PLAN_E3;
    case GFXB_E_CANARY_MISMATCH:
    case GFXB_E_MODEL_MISMATCH:
        return rung == PLAN_E4;
    default:
        return rung == PLAN_E2;
    }
}

static void check_choice(const struct scene *s, const struct plan *p, size_t i)
{
    const struct plan_choice *c = &p->choice[i];
    bool rejected = c->state == PLAN_REJECTED;
    if (c->rank != i + 1)
        refuse(s, p, 0, "ranks do not count from 1");
    if (rejected == (c->code == GFXB_E_OK))
        refuse(s, p, 0, "a code without a rejection, or a rejection without a code");
    if (!c->reason || strlen(c->reason) < 10 || c->reason[strlen(c->reason) - 1] != '.')
        refuse(s, p, 0, "a reason is no sentence");
    if (!c->fingerprint || !c->fingerprint[0] || !c->env || !c->args || !c->warning)
        refuse(s, p, 0, "something is NULL that never is");
    if (c->code != GFXB_E_POLICY && c->n_evidence == 0)
        refuse(s, p, 0, "a choice without evidence");
    for (size_t k = 0; k + 1 < c->n_evidence; k++) {
        if (c->evidence[k].rung > c->evidence[k + 1].rung)
            refuse(s, p, 0, "evidence out of order");
    }
    if (rejected && c->n_evidence > 0 && c->evidence[c->n_evidence - 1].ok != TRI_NO)
        refuse(s, p, 0, "a rejected choice whose last evidence is good");
    if (rejected && c->n_evidence > 0 && !rung_fits(c->code, c->evidence[c->n_evidence - 1].rung))
        refuse(s, p, 0, "a code that is no answer to its rung's question");
    if (!rejected && (c->n_evidence < 3 || c->evidence[2].rung != PLAN_E2))
        refuse(s, p, 0, "a choice without evidence of E0 to E2");
    for (size_t k = 0; !rejected && k < c->n_evidence; k++) {
        if (c->evidence[k].ok == TRI_NO)
            refuse(s, p, 0, "a choice with bad evidence that is not rejected");
    }
    for (size_t k = 0; !rejected && s->request.model && k < c->n_members; k++) {
        const struct plan_member *member = &c->member[k];
        if (!member->layers || !member->need_bytes ||
            member->need_bytes > member->node->total_bytes)
            refuse(s, p, 0, "a member with nothing to do, or with more than it can hold");
    }
    if (i > 0 && p->choice[i - 1].state == PLAN_REJECTED && !rejected)
        refuse(s, p, 0, "a rejected choice before one that is not");
}

static void check_always(const struct scene *s, const struct plan *p)
{
    static const char *const backends[] = {"rocm", "vulkan", "cpu"};
    int chosen = -1;
    for (size_t i = 0; i < p->n_choices; i++) {
        check_choice(s, p, i);
        if (chosen < 0 && p->choice[i].state != PLAN_REJECTED)
            chosen = (int)i;
    }
    if (chosen != p->chosen)
        refuse(s, p, 0, "the chosen one is not the first that is not rejected");
    for (size_t i = 0; i < 3; i++) {
        if (!find(p, backends[i], "*", "*"))
            refuse(s, p, 0, "a backend without a choice");
    }
}

/* The same inputs give the same plan, to the byte. */
static void check_again(const struct scene *s, const struct plan *p)
{
    struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);
    struct plan *again = make_plan(s, &s->m, &s->request);
    print_plan(p, &a);
    print_plan(again, &b);
    assert_true(buf_ok(&a) && buf_ok(&b));
    if (!str_eq(buf_view(&a), buf_view(&b)))
        refuse(s, again, 0, "a second plan differs");
    plan_free(again);
    buf_done(&a);
    buf_done(&b);
}

/* ---- what the case expects ---- */

static bool matches(const struct plan_choice *c, const struct check *e)
{
    return e->n == 5 && fits(c, e->word[0], e->word[1], e->word[2]) &&
           strcmp(plan_state_name(c->state), e->word[3]) == 0 &&
           strcmp(gfxb_code_name(c->code), e->word[4]) == 0;
}

/* Expected lines in order; "..." stands for any number of choices. Fills the deepest line reached.
 */
static bool match_from(const struct scene *s, const struct plan *p, size_t i, size_t k,
                       size_t *ret_deepest)
{
    if (k > *ret_deepest)
        *ret_deepest = k;
    if (k == s->n_expect)
        return i == p->n_choices;
    const struct check *e = &s->expect[k];
    if (e->n == 1 && strcmp(e->word[0], "...") == 0) {
        for (size_t next = i; next <= p->n_choices; next++) {
            if (match_from(s, p, next, k + 1, ret_deepest))
                return true;
        }
        return false;
    }
    return i < p->n_choices && matches(&p->choice[i], e) &&
           match_from(s, p, i + 1, k + 1, ret_deepest);
}

static void check_choices(const struct scene *s, const struct plan *p)
{
    size_t deepest = 0;
    if (s->n_expect == 0 || match_from(s, p, 0, 0, &deepest))
        return;
    refuse(s, p, deepest < s->n_expect ? s->expect[deepest].line : 0,
           "the choices are others than expected (see the list)");
}

static bool list_has(char **list, const char *pattern)
{
    for (size_t i = 0; list[i]; i++) {
        if (fnmatch(pattern, list[i], 0) == 0)
            return true;
    }
    return false;
}

static bool evidence_has(const struct plan_choice *c, const struct check *check)
{
    static const char *const oks[] = {"unknown", "no", "yes"};
    for (size_t i = 0; i < c->n_evidence; i++) {
        const struct plan_evidence *e = &c->evidence[i];
        if (strcmp(plan_rung_name(e->rung), check->word[4]) == 0 &&
            strcmp(oks[e->ok + 1], check->word[5]) == 0 && strstr(e->detail, check->word[6]))
            return true;
    }
    return false;
}

static bool args_are(char **args, const char *wanted)
{
    struct buf CLEAN_BUF b = BUF_INIT(1000);
    for (size_t i = 0; args[i]; i++)
        buf_addf(&b, "%s%s", i ? " " : "", args[i]);
    return strcmp(buf_text(&b), wanted) == 0;
}

/* "a:20 b:9" */
static bool members_are(const struct plan_choice *c, const char *wanted)
{
    struct buf CLEAN_BUF b = BUF_INIT(1000);
    for (size_t i = 0; i < c->n_members; i++)
        buf_addf(&b, "%s%s:%zu", i ? " " : "", c->member[i].node->name, c->member[i].layers);
    return strcmp(buf_text(&b), wanted) == 0;
}

/* evidence BACKEND PCI PACKAGE RUNG yes|no|unknown TEXT, and the like with one word behind */
static bool check_one(struct scene *s, const struct plan_choice *c, const struct check *check)
{
    const char *what = check->word[0];
    if (strcmp(what, "evidence") == 0)
        return check->n == 7 && evidence_has(c, check);
    if (strcmp(what, "fit") == 0)
        return (check->n == 6 || check->n == 7) && c->context == number(s, check->word[4], 10) &&
               c->gpu_layers == number(s, check->word[5], 10) &&
               c->slots == (check->n == 7 ? number(s, check->word[6], 10) : 1);
    if (check->n != 5)
        return false;
    if (strcmp(what, "reason") == 0)
        return strstr(c->reason, check->word[4]) != NULL;
    if (strcmp(what, "have") == 0)
        return c->have_bytes == bytes(s, check->word[4]) &&
               (s->request.model || c->need_bytes == s->request.need_bytes);
    if (strcmp(what, "noreason") == 0)
        return strstr(c->reason, check->word[4]) == NULL;
    if (strcmp(what, "nowarning") == 0)
        return !list_has(c->warning, check->word[4]);
    if (strcmp(what, "env") == 0)
        return list_has(c->env, check->word[4]);
    if (strcmp(what, "noenv") == 0)
        return !list_has(c->env, check->word[4]);
    if (strcmp(what, "warning") == 0)
        return list_has(c->warning, check->word[4]);
    if (strcmp(what, "members") == 0)
        return members_are(c, check->word[4]);
    if (strcmp(what, "fingerprint") == 0)
        return fnmatch(check->word[4], c->fingerprint, 0) == 0;
    return args_are(c->args, check->word[4]);
}

static void check_rest(struct scene *s, const struct plan *p)
{
    for (size_t i = 0; i < s->n_checks; i++) {
        const struct check *check = &s->check[i];
        s->line = check->line;
        if (strcmp(check->word[0], "count") == 0) {
            if (check->n != 2 || number(s, check->word[1], 10) != p->n_choices)
                refuse(s, p, check->line, "another number of choices");
        } else if (strcmp(check->word[0], "chosen") == 0 && check->n == 2) {
            if (p->chosen >= 0)
                refuse(s, p, check->line, "something is chosen");
        } else if (check->n < 4) {
            stop(s, "words are missing behind", check->word[0]);
        } else if (strcmp(check->word[0], "chosen") == 0) {
            if (p->chosen < 0 ||
                !fits(&p->choice[p->chosen], check->word[1], check->word[2], check->word[3]))
                refuse(s, p, check->line, "another choice is chosen");
        } else {
            const struct plan_choice *c = find(p, check->word[1], check->word[2], check->word[3]);
            if (!c)
                refuse(s, p, check->line, "there is no such choice");
            else if (!check_one(s, c, check))
                refuse(s, p, check->line, "does not hold");
        }
    }
}

static void run_case(void **state)
{
    const char *path = *state;
    const char *base = strrchr(path, '/') + 1;
    char name[128];
    snprintf(name, sizeof(name), "%.*s", (int)(strlen(base) - strlen(".plan")), base);
    struct scene *s = scene_new(path, name);
    if (s->n_expect + s->n_checks == 0)
        fail_msg("%s.plan expects nothing", name);
    store_proofs(s);
    struct plan *p = make_plan(s, &s->m, &s->request);
    check_always(s, p);
    check_again(s, p);
    check_choices(s, p);
    check_rest(s, p);
    plan_free(p);
    scene_free(s);
}

/* ---- finding the cases ---- */

static int is_case(const struct dirent *entry)
{
    return fnmatch("*.plan", entry->d_name, 0) == 0;
}

static void enough_cases(void **state)
{
    assert_true(*(int *)*state >= CASES_LEAST);
}

int main(void)
{
    const char *source = getenv("GFXB_TEST_SOURCE");
    char dir[4096];
    struct dirent **entry = NULL;
    snprintf(dir, sizeof(dir), "%s/tests/plans", source ? source : ".");
    int n = scandir(dir, &entry, is_case, alphasort);
    if (n < 0) {
        fprintf(stderr, "%s: no such directory\n", dir);
        return 1;
    }
    struct CMUnitTest *tests = calloc((size_t)n + 1, sizeof(*tests));
    if (!tests)
        return 1;
    for (int i = 0; i < n; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s/%s", dir, entry[i]->d_name) < 0)
            return 1;
        tests[i] = (struct CMUnitTest){
            .name = entry[i]->d_name, .test_func = run_case, .initial_state = path};
    }
    tests[n] = (struct CMUnitTest){
        .name = "at least 60 cases were found", .test_func = enough_cases, .initial_state = &n};
    int failed = _cmocka_run_group_tests("plans", tests, (size_t)n + 1, NULL, NULL);
    for (int i = 0; i < n; i++) {
        free(tests[i].initial_state);
        free(entry[i]);
    }
    free(entry);
    free(tests);
    return failed;
}
