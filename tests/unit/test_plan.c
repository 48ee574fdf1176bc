/* test_plan.c - plan/ by itself: names, terms of conditions, fingerprints, order of GPUs, and what
 * must hold for any machine and any request. Whole cases are in tests/plans/. */
#include "plan/condition.h"
#include "plan/device.h"
#include "plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>

#define GIB (UINT64_C(1) << 30)

static int tables_setup(void **state)
{
    struct gfxb_error err;
    struct gfx_tables *tables = NULL;
    if (gfx_tables_new(NULL, &tables, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    *state = tables;
    return 0;
}

static int tables_teardown(void **state)
{
    gfx_tables_free(*state);
    return 0;
}

/* A card on a computer of which nothing but the GPU is known. */
static struct machine_gpu gpu_make(const struct gfx_tables *t, const char *pci, uint16_t device)
{
    struct machine_gpu gpu = {.vendor = 0x1002,
                              .device = device,
                              .revision = 0xc8,
                              .driver = "amdgpu",
                              .render_minor = -1,
                              .render_openable = TRI_UNKNOWN,
                              .kfd_node = -1,
                              .kfd_ordinal = -1,
                              .kfd_cwsr = TRI_UNKNOWN};
    snprintf(gpu.pci, sizeof(gpu.pci), "%s", pci);
    gpu.card = gfx_card_find(t, device, 0xc8);
    assert_non_null(gpu.card);
    gpu.target = gfx_target_find(t, gfx_card_gfx(gpu.card));
    gpu.kind = gpu.card->kind;
    return gpu;
}

static struct machine machine_make(struct machine_gpu *gpu, size_t n)
{
    struct machine m = {.gpu = gpu, .n_gpus = n};
    m.kfd.present = m.kfd.openable = m.amdgpu_loaded = TRI_UNKNOWN;
    m.vulkan.known = m.vulkan.loader = TRI_UNKNOWN;
    snprintf(m.host.arch, sizeof(m.host.arch), "x86_64");
    snprintf(m.host.kernel, sizeof(m.host.kernel), "6.12.107+deb13-amd64");
    return m;
}

static struct plan *plan_make(const struct machine *m, const struct gfx_tables *t,
                              const struct plan_request *request)
{
    struct plan *p = NULL;
    struct gfxb_error err;
    if (plan_new(m, t, request, &p, &err) < 0)
        fail_msg("%s", err.text);
    return p;
}

static const struct plan_choice *choice_of(const struct plan *p, enum plan_backend backend,
                                           const char *package)
{
    for (size_t i = 0; i < p->n_choices; i++) {
        const struct plan_choice *c = &p->choice[i];
        if (c->backend == backend && c->package && strcmp(c->package, package) == 0)
            return c;
    }
    fail_msg("no choice %s", package);
    return NULL;
}

/* ---- what is known elsewhere ---- */

/* An outcome elsewhere is told, and orders packages that are equal otherwise; it proves nothing
 * here, and comes behind what is installed. */
static void known_elsewhere_is_a_tie_break(void **state)
{
    static const char proofs[] =
        "card\tgfx\ton\tpackage\tkernel\tdriver\tdate\toutcome\ttokens_per_second\tsource\n"
        "1002:744c\tgfx1100\temulated\tdebian-rocm\t-\te\t2026-11-30\tproven\t-\tS\n"
        "1002:744c\tgfx1100\thardware\tdebian-vulkan\t6.1\tk\t2026-11-30\tcanary-mismatch\t-\tS\n"
        "1002:744c\tgfx1100\thardware\tggml-rocm-10.0-linux\t6.1\tk\t2026-11-30\tproven\t9\tS\n";
    struct gfxb_error err;
    struct gfx_tables *t = NULL;
    struct gfx_table_source source = {GFX_PROOFS, "proofs.tsv", str_from(proofs)};
    if (gfx_tables_from(&source, 1, &t, &err) < 0)
        fail_msg("%s", err.text);
    struct machine_gpu gpu = gpu_make(t, "0000:03:00.0", 0x744c);
    struct machine m = machine_make(&gpu, 1);
    struct plan_request request = {.backend = -1};
    struct plan *p = plan_make(&m, t, &request);
    const struct plan_choice *first = &p->choice[0];
    assert_string_equal(first->package, "ggml-rocm-10.0-linux");
    assert_int_equal(first->state, PLAN_USABLE);
    assert_non_null(strstr(first->evidence[1].detail, "elsewhere on such a GPU: proven by 1"));
    const struct plan_choice *failed = choice_of(p, PLAN_VULKAN, "debian-vulkan");
    assert_int_equal(failed->state, PLAN_USABLE);
    assert_true(choice_of(p, PLAN_VULKAN, "ggml-vulkan-linux-x86_64")->rank < failed->rank);
    assert_non_null(strstr(failed->evidence[1].detail, "failed for 1"));
    assert_null(strstr(choice_of(p, PLAN_ROCM, "debian-rocm")->evidence[1].detail, "elsewhere"));
    plan_free(p);
    struct plan_installed installed = {
        .id = "debian-rocm", .backend = "rocm", .digest = "d", .gfx = "gfx1100", .blas = "gfx1100"};
    request.installed = &installed;
    request.n_installed = 1;
    p = plan_make(&m, t, &request);
    assert_string_equal(p->choice[0].package, "debian-rocm");
    plan_free(p);
    gfx_tables_free(t);
}

/* ---- names ---- */

static void names_go_both_ways(void **state)
{
    (void)state;
    for (int i = 0; i < PLAN_BACKENDS; i++)
        assert_int_equal(plan_backend_from_name(plan_backend_name((enum plan_backend)i)), i);
    for (int i = PLAN_ROCM_FIRST; i <= PLAN_CPU_ONLY; i++)
        assert_int_equal(plan_policy_from_name(plan_policy_name((enum plan_policy)i)), i);
    assert_string_equal(plan_backend_name(PLAN_VULKAN_SOFTWARE), "vulkan-software");
    assert_string_equal(plan_policy_name(PLAN_ROCM_FIRST), "rocm-first");
    assert_string_equal(plan_state_name(PLAN_REJECTED), "rejected");
    assert_string_equal(plan_rung_name(PLAN_E5), "E5");
    assert_int_equal(plan_backend_from_name("ROCm"), -1);
    assert_int_equal(plan_backend_from_name(""), -1);
    assert_int_equal(plan_backend_from_name(NULL), -1);
    static const char *const bad[] = {
        "", "vulkan", ":vulkan", "llamacpp:", "llamacpp:cuda", "other:cpu", "llamacpp:vulkan:x"};
    struct str engine;
    enum plan_backend backend;
    struct buf CLEAN_BUF all = BUF_INIT(1024);
    assert_int_equal(plan_backend_read("llamacpp:vulkan-software", &engine, &backend), 0);
    assert_true(str_is(engine, "llamacpp") && backend == PLAN_VULKAN_SOFTWARE);
    for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++)
        assert_int_equal(plan_backend_read(bad[k], &engine, &backend), -EINVAL);
    plan_backend_list(&all);
    assert_string_equal(buf_text(&all), "llamacpp:rocm, llamacpp:vulkan and llamacpp:cpu");
    assert_int_equal(plan_policy_from_name(NULL), -1);
    assert_string_equal(plan_backend_name((enum plan_backend)99), "?");
}

/* ---- conditions ---- */

static void terms_are_known(void **state)
{
    static const char *const good[] = {
        "",
        "   ",
        "backend=rocm os=linux kind=integrated driver=amdgpu kernel<6.18.4 kfd-lacks=cwsr",
        "mec-firmware<509 mec-firmware<0x1fd mes-firmware=131 dkms wsl container gpus>1",
        "beside-discrete package=ggml runtime=therock override-set holds=gfx1030 lacks-own never",
        "!wsl !kernel<6.10.90 !backend=cpu",
    };
    static const char *const bad[] = {
        "backend=cuda",
        "backend=",
        "backend",
        "os=macos",
        "kind=dgpu",
        "kernel<",
        "kernel<six",
        "kernel<6",
        "kernel<6.1-rc1",
        "kernel>6.1",
        "kernel<.1",
        "kernel<99999999999999999999.1",
        "kfd-lacks=x",
        "mec-firmware<",
        "mec-firmware<0x",
        "mec-firmware<5000000000",
        "mes-firmware<1",
        "gpus>",
        "gpus>many",
        "package=",
        "driver=",
        "runtime=none",
        "holds=1030",
        "holds=gfx",
        "wsl=yes",
        "Wsl",
        "!",
        "!!wsl",
        "never!",
        "lacks-own=gfx1030",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct str bad_term = STR_NONE;
        if (!plan_condition_known(str_from(good[i]), &bad_term))
            fail_msg("'%.*s' is a term", STR_ARG(bad_term));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (plan_condition_known(str_from(bad[i]), NULL))
            fail_msg("'%s' is no term", bad[i]);
    }
    struct str which = STR_NONE;
    assert_false(plan_condition_known(STR("wsl !os=beos never"), &which));
    assert_true(str_is(which, "!os=beos"));
}

static void tables_hold_known_terms_only(void **state)
{
    const struct gfx_tables *t = *state;
    struct str bad = STR_NONE;
    assert_true(t->n_quirks > 50);
    for (size_t i = 0; i < t->n_quirks; i++) {
        if (!plan_condition_known(t->quirk[i].condition, &bad))
            fail_msg("%.*s: '%.*s'", STR_ARG(t->quirk[i].id), STR_ARG(bad));
    }
}

static bool holds(const char *condition, const struct condition_facts *facts)
{
    return plan_condition_holds(str_from(condition), facts);
}

static void kernels_compare_as_numbers(void **state)
{
    static const struct {
        const char *here, *limit;
        bool older, newer; /* older: the term holds; newer: its negation does */
    } cases[] = {
        {"6.12.107+deb13-amd64", "6.12.48", false, true},
        {"6.12.9-200.fc41.x86_64", "6.12.48", true, false},
        {"6.12.48", "6.12.48", false, true},
        {"6.12.47", "6.12.48", true, false},
        {"6.2", "6.12", true, false},
        {"6.18-rc3", "6.18.4", true, false},
        {"7.2.13", "6.18.4", false, true},
        {"5.15.0-91-generic", "6.1", true, false},
        {"10.0.1", "9.9.9", false, true},
        {"", "6.1", false, false},
        {"six", "6.1", false, false},
        {"6", "6.1", false, false},
        {"999999999999999.1.1", "6.1", false, false},
    };
    struct machine m = machine_make(NULL, 0);
    struct condition_facts facts = {.m = &m};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char term[40], negated[44];
        snprintf(m.host.kernel, sizeof(m.host.kernel), "%s", cases[i].here);
        snprintf(term, sizeof(term), "kernel<%s", cases[i].limit);
        snprintf(negated, sizeof(negated), "!%s", term);
        if (holds(term, &facts) != cases[i].older || holds(negated, &facts) != cases[i].newer)
            fail_msg("%s on %s", term, cases[i].here);
    }
    snprintf(m.host.kernel, sizeof(m.host.kernel), "6.1.0");
    facts.os = GFX_WINDOWS; /* the kernel of this computer says nothing about another system */
    assert_false(holds("kernel<6.18", &facts) || holds("!kernel<6.18", &facts));
}

/* Every term that looks at evidence: absent evidence satisfies neither it nor its negation. */
static void unknown_holds_neither_way(void **state)
{
    static const char *const terms[] = {
        "kind=discrete",  "driver=amdgpu", "kernel<6.1",      "kfd-lacks=cwsr", "mec-firmware<9",
        "mes-firmware=1", "dkms",          "beside-discrete", "package=x",      "runtime=system",
        "override-set",   "holds=gfx1030", "lacks-own",
    };
    struct machine_gpu gpu = {.driver = "?", .kfd_cwsr = TRI_UNKNOWN};
    struct machine m = machine_make(&gpu, 1);
    struct condition_facts facts = {.m = &m, .gpu = &gpu};
    (void)state;
    m.host.kernel[0] = '\0';
    for (size_t i = 0; i < sizeof(terms) / sizeof(terms[0]); i++) {
        char negated[40];
        snprintf(negated, sizeof(negated), "!%s", terms[i]);
        if (holds(terms[i], &facts) || holds(negated, &facts))
            fail_msg("%s holds without evidence", terms[i]);
        facts.gpu = NULL;
        if (holds(terms[i], &facts) || holds(negated, &facts))
            fail_msg("%s holds without a GPU", terms[i]);
        facts.gpu = &gpu;
    }
    assert_false(holds("no-such-term", &facts) || holds("!no-such-term", &facts));
    assert_true(holds("", &facts) && holds("!never", &facts) && !holds("never", &facts));
}

static void terms_see_their_evidence(void **state)
{
    const struct gfx_tables *t = *state;
    struct machine_gpu gpu[2] = {gpu_make(t, "0000:03:00.0", 0x744c),
                                 gpu_make(t, "0000:0f:00.0", 0x164e)};
    struct machine m = machine_make(gpu, 2);
    struct condition_facts facts = {.m = &m,
                                    .gpu = &gpu[1],
                                    .target = gpu[1].target,
                                    .package = STR("ggml-rocm-10.0-linux"),
                                    .runtime = STR("system"),
                                    .gfx = STR("gfx1030 gfx90a:sramecc+:xnack-"),
                                    .gfx_known = true};
    gpu[1].kfd_cwsr = TRI_NO;
    gpu[1].mec_firmware = 100;
    gpu[1].mes_firmware = 131;
    m.live = true;
    m.amdgpu_loaded = TRI_YES;
    assert_true(holds("backend=rocm !backend=vulkan !backend=cpu os=linux", &facts));
    assert_true(holds("kind=integrated !kind=discrete beside-discrete gpus>1 !gpus>2", &facts));
    assert_true(holds("kfd-lacks=cwsr mec-firmware<101 !mec-firmware<100", &facts));
    assert_true(holds("mes-firmware=0x83 !mes-firmware=128", &facts));
    assert_true(holds("package=ggml-rocm-10.0 !package=ggml-rocm-7", &facts));
    assert_true(holds("holds=gfx1030 holds=gfx90a !holds=gfx1036 lacks-own", &facts));
    assert_true(holds("!dkms !wsl !container !override-set runtime=system", &facts));
    facts.gfx = STR("gfx1030 gfx1036");
    assert_true(holds("!lacks-own", &facts));
    facts.gpu = &gpu[0];
    facts.target = gpu[0].target;
    assert_true(holds("kind=discrete !beside-discrete lacks-own", &facts));
    facts.backend = PLAN_VULKAN_SOFTWARE;
    assert_false(holds("backend=vulkan", &facts)); /* rows about Vulkan mean a GPU */
    m.host.wsl = true;
    snprintf(m.host.container, sizeof(m.host.container), "docker");
    snprintf(m.host.amdgpu_version, sizeof(m.host.amdgpu_version), "6.16");
    snprintf(m.host.override_gfx, sizeof(m.host.override_gfx), "11.0.0");
    assert_true(holds("dkms wsl container override-set", &facts));
}

/* ---- the order of GPUs ---- */

static void order_is(const struct machine *m, uint64_t need, const char *wanted)
{
    const struct machine_gpu *place[8];
    struct buf CLEAN_BUF b = BUF_INIT(400);
    assert_true(m->n_gpus <= 8);
    plan_device_sort(m, need, place);
    for (size_t i = 0; i < m->n_gpus; i++)
        buf_addf(&b, "%s%s", i ? " " : "", place[i]->pci);
    assert_string_equal(buf_text(&b), wanted);
}

static void gpus_have_an_order(void **state)
{
    const struct gfx_tables *t = *state;
    struct machine_gpu gpu[4] = {gpu_make(t, "nvidia", 0x744c), gpu_make(t, "halo", 0x1586),
                                 gpu_make(t, "small", 0x73df), gpu_make(t, "large", 0x744c)};
    struct machine m = machine_make(gpu, 4);
    gpu[0].vendor = 0x10de;
    gpu[0].card = NULL;
    gpu[0].target = NULL;
    gpu[0].vram_bytes = 96 * GIB;
    gpu[1].vram_bytes = GIB;
    gpu[1].gtt_bytes = 90 * GIB;
    gpu[2].vram_bytes = 12 * GIB;
    gpu[3].vram_bytes = 24 * GIB;
    order_is(&m, 0, "large small halo nvidia");        /* AMD's, cards before iGPUs, memory */
    order_is(&m, 8 * GIB, "large small halo nvidia");  /* all of them fit */
    order_is(&m, 20 * GIB, "large halo small nvidia"); /* one card does not */
    order_is(&m, 60 * GIB, "halo large small nvidia"); /* the iGPU alone does */
    gpu[3].vram_bytes = 0;
    order_is(&m, 60 * GIB,
             "halo large small nvidia"); /* unknown: after what fits, before the rest */
    gpu[3] = gpu[2];
    snprintf(gpu[3].pci, sizeof(gpu[3].pci), "same");
    gpu[2].simd_count = 80;
    order_is(&m, 0, "small same halo nvidia"); /* compute units */
    gpu[3].simd_count = 160;
    order_is(&m, 0, "same small halo nvidia");
    gpu[2].simd_count = gpu[3].simd_count = 0;
    order_is(&m, 0, "same small halo nvidia"); /* at last the address */
    /* Of unknown kinds, one on the root bus is taken for the processor's own. */
    m.n_gpus = 2;
    gpu[0] = (struct machine_gpu){.vendor = 0x8086, .pci = "0000:00:02.0"};
    gpu[1] = (struct machine_gpu){.vendor = 0x10de, .pci = "0000:01:00.0"};
    order_is(&m, 0, "0000:01:00.0 0000:00:02.0");
}

static void gpus_are_found_by_address(void **state)
{
    struct machine_gpu gpu = {.pci = "0000:0f:00.0"};
    (void)state;
    assert_true(plan_device_is_at(&gpu, "0000:0F:00.0"));
    assert_true(plan_device_is_at(&gpu, "0f:00.0"));
    assert_false(plan_device_is_at(&gpu, "f:00.0"));
    assert_false(plan_device_is_at(&gpu, "0001:0f:00.0"));
    assert_false(plan_device_is_at(&gpu, ""));
    gpu.pci[0] = '\0';
    assert_false(plan_device_is_at(&gpu, ""));
    assert_false(plan_device_is_at(&gpu, "0000:0f:00.0"));
}

static void sizes_are_readable(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 MiB"},
        {1, "1 MiB"},
        {GIB / 1024, "1 MiB"},
        {GIB / 1024 + 1, "2 MiB"},
        {GIB - 1, "1024 MiB"},
        {GIB, "1.0 GiB"},
        {GIB + GIB / 2, "1.5 GiB"},
        {24 * GIB - 1, "23.9 GiB"},
        {UINT64_MAX, "17179869183.9 GiB"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[DEVICE_SIZE_MAX];
        plan_device_size(cases[i].bytes, text);
        assert_string_equal(text, cases[i].text);
    }
}

/* Numbers for ROCR_VISIBLE_DEVICES: KFD's own, else guessed for a capture, else none. */
static void numbers_are_guessed_for_captures_only(void **state)
{
    const struct gfx_tables *t = *state;
    struct machine_gpu gpu[4] = {gpu_make(t, "0000:07:00.0", 0x744c),
                                 gpu_make(t, "0000:03:00.0", 0x74a1),
                                 gpu_make(t, "0000:01:00.0", 0x6798), gpu_make(t, "", 0x744c)};
    struct machine m = machine_make(gpu, 4);
    bool guessed = false;
    gpu[1].partitions = 8;
    assert_int_equal(plan_device_count_hip(&m), 3); /* KFD knows no gfx600 */
    for (size_t i = 0; i < 4; i++)                  /* one GPU's place is not known */
        assert_int_equal(plan_device_rocr_number(&m, &gpu[i], &guessed), -1);
    m.n_gpus = 3;
    assert_int_equal(plan_device_rocr_number(&m, &gpu[1], &guessed), 0);
    assert_true(guessed);
    assert_int_equal(plan_device_rocr_number(&m, &gpu[2], &guessed), -1);
    assert_int_equal(plan_device_rocr_number(&m, &gpu[0], &guessed), 8);
    m.live = true;
    assert_int_equal(plan_device_rocr_number(&m, &gpu[0], &guessed), -1);
    m.live = false;
    gpu[1].kfd_ordinal = 5;
    assert_int_equal(plan_device_rocr_number(&m, &gpu[1], &guessed), 5);
    assert_false(guessed);
    assert_int_equal(plan_device_rocr_number(&m, &gpu[0], &guessed), -1);
    assert_false(guessed);
}

/* ---- fingerprints ---- */

struct fingerprint_case {
    const struct gfx_tables *t;
    struct machine_gpu gpu[2];
    struct machine m;
    struct machine_vulkan_driver icd;
    struct plan_installed installed[2];
    struct plan_request request;
};

static void fingerprint_setup(struct fingerprint_case *f, const struct gfx_tables *t)
{
    *f = (struct fingerprint_case){.t = t};
    f->gpu[0] = gpu_make(t, "0000:03:00.0", 0x744c);
    f->gpu[1] = gpu_make(t, "0000:0f:00.0", 0x164e);
    f->m = machine_make(f->gpu, 1);
    f->icd = (struct machine_vulkan_driver){.name = "radeon",
                                            .icd = (char *)"/usr/share/vulkan/icd.d/radeon.json",
                                            .library = (char *)"libvulkan_radeon.so",
                                            .amd = true,
                                            .library_found = TRI_YES};
    f->m.vulkan.driver = &f->icd;
    f->m.vulkan.n_drivers = 1;
    f->m.vulkan.known = TRI_YES;
    f->installed[0] = (struct plan_installed){
        .id = "llamacpp-rocm-gfx110X-linux", .backend = "rocm", .digest = "d1"};
    f->installed[1] =
        (struct plan_installed){.id = "debian-vulkan", .backend = "vulkan", .digest = "d2"};
    f->request = (struct plan_request){
        .backend = -1, .canary_version = "canary-1", .installed = f->installed, .n_installed = 2};
}

static char *fingerprint_of(const struct fingerprint_case *f, enum plan_backend backend)
{
    struct plan *p = plan_make(&f->m, f->t, &f->request);
    const char *package = backend == PLAN_ROCM ? "llamacpp-rocm-gfx110X-linux" : "debian-vulkan";
    char *copy = strdup(choice_of(p, backend, package)->fingerprint);
    assert_non_null(copy);
    plan_free(p);
    return copy;
}

static void fingerprint_is_readable(void **state)
{
    struct fingerprint_case f;
    fingerprint_setup(&f, *state);
    char *rocm = fingerprint_of(&f, PLAN_ROCM), *vulkan = fingerprint_of(&f, PLAN_VULKAN);
    assert_string_equal(rocm,
                        "rocm|0000:03:00.0|1002:744c:c8|gfx1100|6.12.107+deb13-amd64|amdgpu|-|"
                        "llamacpp-rocm-gfx110X-linux@d1|bundled|canary-1|-");
    assert_string_equal(vulkan,
                        "vulkan|0000:03:00.0|1002:744c:c8|gfx1100|6.12.107+deb13-amd64|amdgpu|"
                        "radeon=libvulkan_radeon.so@-|debian-vulkan@d2|none|canary-1|-");
    free(rocm);
    free(vulkan);
}

/* Changes one thing each; the fingerprint of the backend must change, or must not. */
static void change_kernel(struct fingerprint_case *f)
{
    snprintf(f->m.host.kernel, sizeof(f->m.host.kernel), "6.13.0");
}
static void change_slot(struct fingerprint_case *f)
{
    snprintf(f->gpu[0].pci, sizeof(f->gpu[0].pci), "0000:04:00.0");
}
static void change_revision(struct fingerprint_case *f)
{
    f->gpu[0].revision = 0xcc;
}
static void change_dkms(struct fingerprint_case *f)
{
    snprintf(f->m.host.amdgpu_version, sizeof(f->m.host.amdgpu_version), "6.16.6");
}
static void change_firmware(struct fingerprint_case *f)
{
    f->gpu[0].mes_firmware = 131;
}
static void change_digest(struct fingerprint_case *f)
{
    f->installed[0].digest = f->installed[1].digest = "d9";
}
static void change_canary(struct fingerprint_case *f)
{
    f->request.canary_version = "canary-2";
}
static void change_icd(struct fingerprint_case *f)
{
    f->icd.library = (char *)"libvulkan_radeon2.so";
}
static void change_icd_build(struct fingerprint_case *f)
{
    snprintf(f->icd.build_id, sizeof(f->icd.build_id), "0123456789abcdef");
}
static void change_igpu(struct fingerprint_case *f)
{
    f->m.n_gpus = 2;
}
/* A model that fits in part: how many layers are on the GPU follows from what is free. */
static void change_layers(struct fingerprint_case *f)
{
    static struct fit_layer layers[40];
    static const struct fit_model model = {
        .layer = layers, .n_layers = 40, .width = 4096, .live = 65536, .context_most = 4096};
    for (size_t i = 0; i < 40; i++)
        layers[i].weights = GIB;
    f->gpu[0].vram_bytes = 24 * GIB;
    f->m.host.memory_bytes = 64 * GIB;
    f->request.model = &model;
}

static void change_memory(struct fingerprint_case *f)
{
    f->request.need_bytes = GIB;
    f->m.host.memory_bytes = 64 * GIB;
}

static void fingerprint_changes_with_what_matters(void **state)
{
    static const struct {
        void (*change)(struct fingerprint_case *f);
        const char *what;
        bool rocm, vulkan; /* must differ afterwards */
    } cases[] = {
        {change_kernel, "kernel", true, true},          {change_slot, "slot", true, true},
        {change_revision, "revision", true, true},      {change_dkms, "driver", true, true},
        {change_firmware, "firmware", true, true},      {change_digest, "digest", true, true},
        {change_canary, "canary", true, true},          {change_icd, "ICD", false, true},
        {change_icd_build, "Mesa update", false, true}, {change_layers, "layers", false, false},
        {change_igpu, "another GPU", false, false},     {change_memory, "memory", false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fingerprint_case f;
        fingerprint_setup(&f, *state);
        char *rocm = fingerprint_of(&f, PLAN_ROCM), *vulkan = fingerprint_of(&f, PLAN_VULKAN);
        cases[i].change(&f);
        char *rocm2 = fingerprint_of(&f, PLAN_ROCM), *vulkan2 = fingerprint_of(&f, PLAN_VULKAN);
        if ((strcmp(rocm, rocm2) != 0) != cases[i].rocm ||
            (strcmp(vulkan, vulkan2) != 0) != cases[i].vulkan)
            fail_msg("%s\n%s\n%s\n%s\n%s", cases[i].what, rocm, rocm2, vulkan, vulkan2);
        free(rocm);
        free(rocm2);
        free(vulkan);
        free(vulkan2);
    }
}

/* What tells two drivers apart may stand far behind. */
static void fingerprint_is_not_cut(void **state)
{
    struct fingerprint_case f;
    char library[2000];
    memset(library, 'x', sizeof(library) - 1);
    library[sizeof(library) - 1] = '\0';
    fingerprint_setup(&f, *state);
    f.icd.library = library;
    char *one = fingerprint_of(&f, PLAN_VULKAN);
    library[sizeof(library) - 2] = 'y';
    char *other = fingerprint_of(&f, PLAN_VULKAN);
    assert_string_not_equal(one, other);
    free(one);
    free(other);
}

/* Strings from elsewhere cannot forge a field: separators and control characters are replaced. */
static void fingerprint_cannot_be_forged(void **state)
{
    struct fingerprint_case f;
    fingerprint_setup(&f, *state);
    f.request.canary_version = "1|x\n\x7f";
    snprintf(f.m.host.kernel, sizeof(f.m.host.kernel), "6|1\t2");
    char *rocm = fingerprint_of(&f, PLAN_ROCM);
    assert_non_null(strstr(rocm, "|6_1_2|"));
    assert_non_null(strstr(rocm, "|1_x__|"));
    free(rocm);
}

/* ---- what must hold for any machine and any request ---- */

struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *d, unsigned sides)
{
    d->state ^= d->state << 13;
    d->state ^= d->state >> 7;
    d->state ^= d->state << 17;
    return (unsigned)((d->state >> 33) % sides);
}

static enum tri roll_tri(struct dice *d)
{
    return (enum tri)((int)roll(d, 3) - 1);
}

static uint64_t roll_bytes(struct dice *d)
{
    return roll(d, 4) ? (uint64_t)roll(d, 200) << 30 : roll(d, 2) ? 0 : UINT64_MAX - roll(d, 9);
}

static void roll_gpu(struct dice *d, const struct gfx_tables *t, struct machine_gpu *gpu)
{
    static const char *const drivers[] = {"amdgpu", "amdgpu", "amdgpu", "radeon", "vfio-pci",
                                          "",       "?",      "nvidia", "i915"};
    static const uint16_t vendors[] = {0x1002, 0x1002, 0x1002, 0x10de, 0x8086, 0x1a03, 0};
    const struct gfx_card *card = &t->card[roll(d, (unsigned)t->n_cards)];
    *gpu = (struct machine_gpu){.vendor = vendors[roll(d, 7)],
                                .device = roll(d, 20) ? card->device : -1,
                                .revision = (int)roll(d, 257) - 1,
                                .kind = (enum gfx_kind)roll(d, 4),
                                .vram_bytes = roll_bytes(d),
                                .gtt_bytes = roll_bytes(d),
                                .render_minor = (int)roll(d, 70) - 1,
                                .render_openable = roll_tri(d),
                                .render_errno = roll(d, 2) ? EACCES : (int)roll(d, 140),
                                .kfd_node = (int)roll(d, 9) - 1,
                                .kfd_ordinal = (int)roll(d, 9) - 1,
                                .partitions = roll(d, 9),
                                .simd_count = roll(d, 500),
                                .kfd_cwsr = roll_tri(d),
                                .kfd_version = roll(d, 3) ? 0 : roll(d, 200000),
                                .mec_firmware = roll(d, 600),
                                .mes_firmware = roll(d, 2) ? 131 : 0};
    if (roll(d, 12))
        snprintf(gpu->pci, sizeof(gpu->pci), "%04x:%02x:00.0", roll(d, 3), roll(d, 256));
    snprintf(gpu->driver, sizeof(gpu->driver), "%s", drivers[roll(d, 9)]);
    if (gpu->vendor == 0x1002 && gpu->device >= 0 && roll(d, 10)) {
        gpu->card = card;
        gpu->target = gfx_target_find(t, gfx_card_gfx(card));
    }
    if (gpu->vendor == 0x1002 && roll(d, 12) == 0)
        gpu->target = &t->target[roll(d, (unsigned)t->n_targets)]; /* generic ones among them */
}

static void roll_machine(struct dice *d, const struct gfx_tables *t, struct machine *m,
                         struct machine_gpu gpu[8], struct machine_vulkan_driver icd[5])
{
    static const char *const names[] = {"radeon", "amdvlk", "lvp", "nvidia", "radeon"};
    static const char *const kernels[] = {"", "6.1.0", "6.18.9-amd64", "x", "7"};
    static const char *const containers[] = {"", "", "docker", "snap", "lxc"};
    *m = machine_make(gpu, roll(d, 9));
    for (size_t i = 0; i < m->n_gpus; i++)
        roll_gpu(d, t, &gpu[i]);
    for (size_t i = 0; i < 5; i++) {
        icd[i] = (struct machine_vulkan_driver){.icd = roll(d, 5) ? (char *)"/icd.json" : NULL,
                                                .library = roll(d, 5) ? (char *)"lib.so" : NULL,
                                                .software = i == 2,
                                                .amd = i != 2 && i != 3,
                                                .library_found = roll_tri(d)};
        snprintf(icd[i].name, sizeof(icd[i].name), "%s", names[i]);
    }
    m->live = roll(d, 2);
    m->vulkan.driver = icd;
    m->vulkan.n_drivers = roll(d, 6);
    m->vulkan.known = roll_tri(d);
    m->vulkan.loader = roll_tri(d);
    m->amdgpu_loaded = roll_tri(d);
    m->kfd = (struct machine_node){.present = roll_tri(d),
                                   .openable = roll_tri(d),
                                   .open_errno = roll(d, 2) ? EACCES : (int)roll(d, 140),
                                   .gid = roll(d, 70000)};
    m->host.memory_bytes = roll_bytes(d);
    m->host.memory_free_bytes = roll_bytes(d);
    m->host.cgroup_limit_bytes = roll(d, 3) ? 0 : roll_bytes(d);
    m->host.wsl = roll(d, 8) == 0;
    snprintf(m->host.kernel, sizeof(m->host.kernel), "%s", kernels[roll(d, 5)]);
    snprintf(m->host.container, sizeof(m->host.container), "%s", containers[roll(d, 5)]);
    snprintf(m->host.glibc, sizeof(m->host.glibc), "%s", roll(d, 2) ? "2.36" : "");
    snprintf(m->host.arch, sizeof(m->host.arch), "%s", roll(d, 6) ? "x86_64" : "aarch64");
}

static void roll_request(struct dice *d, const struct gfx_tables *t, struct plan_request *request,
                         struct plan_installed installed[6])
{
    static const char *const lists[] = {
        NULL, "", "gfx1100", " : gfx gfx1100: ", "gfx11-generic", "gfx1030 gfx90a:xnack- gfx1201"};
    static const char *const pins[] = {NULL, NULL, NULL, "0000:03:00.0", "", "nonsense"};
    *request = (struct plan_request){.policy = (enum plan_policy)roll(d, 4),
                                     .backend = roll(d, 3) ? -1 : (int)roll(d, PLAN_BACKENDS),
                                     .os = roll(d, 6) ? GFX_LINUX : GFX_WINDOWS,
                                     .allow_override = roll(d, 2),
                                     .no_network = roll(d, 4) == 0,
                                     .gpu = pins[roll(d, 6)],
                                     .need_bytes = roll(d, 2) ? 0 : roll_bytes(d),
                                     .canary_version = roll(d, 4) ? "c" : NULL,
                                     .installed = installed,
                                     .n_installed = roll(d, 7)};
    static const char *const ids[] = {"debian-vulkan", "debian-cpu", "llamacpp-rocm-gfx110X-linux",
                                      "debian-rocm",   "own",        "own"};
    static const char *const backends[] = {"vulkan", "cpu", "rocm", "rocm", "rocm", "cpu"};
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    static struct plan_node node[10];
    (void)t;
    request->node = node;
    request->n_nodes = roll(d, 2) ? roll(d, 11) : 0;
    request->want_set = roll(d, 3) == 0;
    request->computer = roll(d, 2) ? "0" : NULL;
    for (unsigned i = 0; i < 10; i++)
        node[i] = (struct plan_node){.name = names[i],
                                     .computer = roll(d, 3) ? NULL : names[roll(d, 10)],
                                     .code = roll(d, 4) ? 0 : GFXB_E_NODE_UNREACHABLE,
                                     .package = roll(d, 3) ? NULL : ids[roll(d, 6)],
                                     .version = roll(d, 3) ? NULL : "1",
                                     .total_bytes = roll_bytes(d),
                                     .free_bytes = roll_bytes(d),
                                     .bytes_per_second = roll(d, 3) * 1e8,
                                     .round_trip_us = roll(d, 3) * 1e2};
    for (unsigned i = 0; i < 6; i++)
        installed[i] = (struct plan_installed){.id = ids[i],
                                               .backend = backends[i],
                                               .digest = roll(d, 5) ? "d" : NULL,
                                               .gfx = lists[roll(d, 6)],
                                               .blas = lists[roll(d, 6)],
                                               .pinned = roll(d, 8) == 0};
}

static void check_plan(const struct plan *p, enum gfx_os os, uint64_t most, unsigned round)
{
    bool seen[PLAN_BACKENDS] = {false};
    int first = -1;
    for (size_t i = 0; i < p->n_choices; i++) {
        const struct plan_choice *c = &p->choice[i];
        bool rejected = c->state == PLAN_REJECTED;
        bool fine = c->rank == i + 1 && rejected == (c->code != GFXB_E_OK) && c->reason &&
                    c->reason[0] && c->fingerprint && c->fingerprint[0] && c->env && c->args &&
                    c->warning && c->gpu_pci;
        if (!fine || (rejected ? 0 : first >= 0 && p->choice[i - 1].state == PLAN_REJECTED))
            fail_msg("round %u, choice %zu: %s", round, i, c->reason ? c->reason : "(no reason)");
        if (!rejected && first < 0)
            first = (int)i;
        if (os == GFX_LINUX && !rejected && !c->n_members && c->have_bytes && most &&
            c->need_bytes > most)
            fail_msg("round %u: more memory needed than there is", round);
        if (c->backend == PLAN_ROCM && !rejected && c->gpu->vendor != 0x1002)
            fail_msg("round %u: ROCm on another vendor's GPU", round);
        seen[c->backend] = true;
    }
    assert_int_equal(p->chosen, first);
    assert_true(seen[PLAN_ROCM] && seen[PLAN_VULKAN] && seen[PLAN_CPU]);
}

/* Every usable choice is stored as a failure: the next plan must not offer one of them again. That
 * no choice of this computer alone is left is when its nodes are asked. */
static void check_failures(const struct machine *m, const struct gfx_tables *t,
                           const struct plan_request *request, const struct plan *p, unsigned round)
{
    struct plan_proof *proof = calloc(p->n_choices + 1, sizeof(*proof));
    struct plan_request again = *request;
    assert_non_null(proof);
    for (size_t i = 0; i < p->n_choices; i++)
        proof[i] = (struct plan_proof){.fingerprint = p->choice[i].fingerprint,
                                       .code = GFXB_E_ENGINE_CRASH,
                                       .day = "2026-11-23"};
    again.proof = proof;
    again.n_proofs = p->n_choices;
    struct plan *after = plan_make(m, t, &again);
    check_plan(after, request->os, plan_memory_most(m), round);
    if (after->chosen >= 0 && (!request->n_nodes || !after->choice[after->chosen].n_members))
        fail_msg("round %u: a failed combination is offered again", round);
    plan_free(after);
    for (size_t i = 0; i < p->n_choices; i++)
        proof[i].passed = true;
    after = plan_make(m, t, &again);
    check_plan(after, request->os, plan_memory_most(m), round);
    for (size_t i = 0; i < after->n_choices; i++) {
        if (after->choice[i].state == PLAN_USABLE)
            fail_msg("round %u: a proven combination is not proven", round);
    }
    assert_true((after->chosen >= 0) == (p->chosen >= 0));
    plan_free(after);
    free(proof);
}

static void any_machine_gives_a_sound_plan(void **state)
{
    const struct gfx_tables *t = *state;
    struct dice d = {UINT64_C(0x9e3779b97f4a7c15)};
    struct machine_gpu gpu[8];
    struct machine_vulkan_driver icd[5];
    struct plan_installed installed[6];
    unsigned chosen = 0, rejected_all = 0;
    for (unsigned round = 0; round < 1500; round++) {
        struct machine m;
        struct plan_request request;
        roll_machine(&d, t, &m, gpu, icd);
        roll_request(&d, t, &request, installed);
        struct plan *p = plan_make(&m, t, &request);
        check_plan(p, request.os, plan_memory_most(&m), round);
        check_failures(&m, t, &request, p, round);
        chosen += p->chosen >= 0;
        rejected_all += p->chosen < 0;
        plan_free(p);
    }
    assert_true(chosen > 300 && rejected_all > 100); /* the dice reach both */
}

/* ---- hostile text ---- */

static bool is_utf8(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        unsigned more = *p < 0x80 ? 0 : *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 9;
        if (more == 9)
            return false;
        for (p++; more; more--, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
        }
    }
    return true;
}

/* Sentences of any length end up cut at a whole character. */
static void long_text_is_cut_whole(void **state)
{
    struct fingerprint_case f;
    char text[4000];
    fingerprint_setup(&f, *state);
    f.request.n_installed = 0;
    for (size_t offset = 0; offset < 4; offset++) {
        size_t n = offset;
        memset(text, 'x', offset);
        while (n + 4 < sizeof(text)) {
            memcpy(text + n, "\xe2\x82\xac", 3); /* the euro sign */
            n += 3;
        }
        text[n] = '\0';
        struct plan_provider provider = {"debian", GFXB_E_PACKAGE_UNAVAILABLE, text};
        f.request.unusable = &provider;
        f.request.n_unusable = 1;
        struct plan *p = plan_make(&f.m, f.t, &f.request);
        const struct plan_choice *c = choice_of(p, PLAN_VULKAN, "debian-vulkan");
        assert_int_equal(c->code, GFXB_E_PACKAGE_UNAVAILABLE);
        assert_true(strlen(c->reason) > 900 && strlen(c->reason) < 1000 && is_utf8(c->reason));
        plan_free(p);
    }
}

static void nothing_is_freed_twice(void **state)
{
    (void)state;
    plan_free(NULL);
}

static void a_cpu_proof_of_another_computer_is_not_this_ones(void **state)
{
    static const struct machine here = {.host.cpu = "AMD Ryzen 7"},
                                other = {.host.cpu = "AMD Ryzen"};
    static const char proof[] = "cpu|-|AMD Ryzen 7|-|6.12.107-amd64|-|-|p@d|none|c|-";
    (void)state;
    assert_true(plan_is_own_cpu(&here, proof));
    assert_false(plan_is_own_cpu(&other, proof));
    assert_false(plan_is_own_cpu(&here, "vulkan|-|AMD Ryzen 7|-|"));
}

/* Any computers: what is dealt is all layers, no member has more than its memory, none is left
 * without a layer, and a set is found where a larger one was found before. */
static void layers_are_dealt_within_every_memory(void **state)
{
    static struct fit_layer layers[60];
    struct fit_model model = {.layer = layers,
                              .input_weights = GIB,
                              .output_weights = GIB,
                              .context_most = 32768,
                              .width = 4096,
                              .live = 65536,
                              .vocabulary = 128000,
                              .cached = true};
    struct dice d = {19};
    size_t held = 0;
    (void)state;
    for (size_t round = 0; round < 2000; round++) {
        struct fit_memory memory = {.gpu = roll(&d, 2) * roll(&d, 64) * GIB,
                                    .host = (4 + roll(&d, 90)) * GIB};
        struct fit_choice fit, other;
        size_t there = 0;
        memory.n_nodes = 1 + roll(&d, FIT_NODES_MOST);
        memory.shared = memory.gpu && memory.gpu <= memory.host && roll(&d, 2);
        model.n_layers = 1 + roll(&d, 60);
        for (size_t i = 0; i < model.n_layers; i++)
            layers[i] =
                (struct fit_layer){.weights = roll(&d, 4096) << 20, .cache = roll(&d, 1 << 16)};
        for (size_t i = 0; i < memory.n_nodes; i++)
            memory.node[i] = roll(&d, 20) ? roll(&d, 100) * GIB : UINT64_MAX;
        struct fit_use use = {.gpus = (uint32_t)memory.n_nodes + (memory.gpu > 0), .slots = 4};
        if (!fit_choose(&model, &use, &memory, &fit))
            continue;
        held++;
        for (size_t i = 0; i < memory.n_nodes; i++) {
            assert_true(fit.node_layers[i] > 0);
            assert_true(fit.node_bytes[i] <= fit_usable(memory.node[i]));
            there += fit.node_layers[i];
        }
        assert_true(there <= fit.gpu_layers && fit.gpu_layers <= model.n_layers + 1);
        assert_true(memory.gpu ? there < fit.gpu_layers : there == fit.gpu_layers);
        use.gpus = 0; /* means 1: each has one's buffers */
        assert_true(fit_choose(&model, &use, &memory, &other));
        assert_int_equal(other.gpu_layers, fit.gpu_layers);
        use.gpus = (uint32_t)memory.n_nodes + (memory.gpu > 0);
        assert_true(fit.need.gpu.total <= fit_usable(memory.gpu));
        assert_true(fit.need.host.total + (memory.shared ? fit.need.gpu.total : 0) <=
                    fit_usable(memory.host));
        for (size_t i = 0; i < memory.n_nodes; i++)
            memory.node[i] += memory.node[i] < UINT64_MAX ? GIB : 0;
        assert_true(fit_choose(&model, &use, &memory, &fit));
    }
    assert_true(held > 200);
}

/* A small computer is nearly full with one layer: the others still share the rest alike. */
static void small_node_does_not_unbalance(void **state)
{
    struct fit_layer layers[24];
    const struct fit_model model = {
        .layer = layers, .n_layers = 24, .output_weights = GIB + GIB / 4, .context_most = 4096};
    const struct fit_memory memory = {.host = 64 * GIB, .node = {64 * GIB, 2 * GIB}, .n_nodes = 2};
    const struct fit_use use = {.gpus = 2};
    struct fit_choice fit;
    (void)state;
    for (size_t i = 0; i < 24; i++)
        layers[i] = (struct fit_layer){.weights = GIB + GIB / 4};
    assert_true(fit_choose(&model, &use, &memory, &fit));
    assert_int_equal(fit.node_layers[1], 1);
    assert_in_range(fit.node_layers[0], 11, 13);
}

/* Bytes a token that a proxy counted between llama-server 0.7.0 and its workers: docs/nodes.md. */
static void link_costs_no_more_than_is_told(void **state)
{
    static struct fit_layer layers[8] = {{.cache = 256}};
    const struct fit_model model = {
        .layer = layers, .n_layers = 8, .width = 512, .vocabulary = 512, .cached = true};
    const struct fit_use use = {.context = 256};
    const struct fit_choice fit = {.context = 256, .slots = 1, .gpu_layers = 9};
    const uint64_t measured[] = {12329, 18883};
    (void)state;
    for (size_t n = 1; n <= 2; n++) {
        uint64_t told = fit_link_bytes(&model, &use, &fit, n, false);
        assert_true(told >= measured[n - 1] && told < measured[n - 1] * 11 / 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cpu_proof_of_another_computer_is_not_this_ones),
        cmocka_unit_test(known_elsewhere_is_a_tie_break),
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(terms_are_known),
        cmocka_unit_test(tables_hold_known_terms_only),
        cmocka_unit_test(kernels_compare_as_numbers),
        cmocka_unit_test(unknown_holds_neither_way),
        cmocka_unit_test(terms_see_their_evidence),
        cmocka_unit_test(gpus_have_an_order),
        cmocka_unit_test(gpus_are_found_by_address),
        cmocka_unit_test(sizes_are_readable),
        cmocka_unit_test(numbers_are_guessed_for_captures_only),
        cmocka_unit_test(fingerprint_is_readable),
        cmocka_unit_test(fingerprint_changes_with_what_matters),
        cmocka_unit_test(fingerprint_is_not_cut),
        cmocka_unit_test(fingerprint_cannot_be_forged),
        cmocka_unit_test(any_machine_gives_a_sound_plan),
        cmocka_unit_test(long_text_is_cut_whole),
        cmocka_unit_test(nothing_is_freed_twice),
        cmocka_unit_test(layers_are_dealt_within_every_memory),
        cmocka_unit_test(small_node_does_not_unbalance),
        cmocka_unit_test(link_costs_no_more_than_is_told),
    };
    return cmocka_run_group_tests_name("plan", tests, tables_setup, tables_teardown);
}
