/* doctor_checks.c - the checks, one function each, in one visible table. */
#include "report/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

void doctor_tell(const struct doctor_case *c, const char *code, enum doctor_severity severity,
                 const char *what, const char *why, const char *remedy)
{
    struct doctor_finding finding = {code, severity, what, why, remedy};
    c->sink(c->context, &finding);
}

bool doctor_has_gpu(const struct machine *m)
{
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (m->gpu[i].target)
            return true;
    }
    return false;
}

/* Nobody can change it on this computer: a fact, not a problem. */
static bool doctor_is_fact(const struct plan_choice *choice)
{
    enum plan_rung rung =
        choice->n_evidence ? choice->evidence[choice->n_evidence - 1].rung : PLAN_E5;
    switch (choice->code) {
    case GFXB_E_GFX_NOT_IN_PACKAGE:
    case GFXB_E_NO_PACKAGE:
        return true;
    case GFXB_E_GFX_UNKNOWN: /* one that no table knows can be reported */
        return choice->gpu && choice->gpu->card;
    default:
        return rung == PLAN_E0;
    }
}

static void doctor_tell_choice(const struct doctor_case *c, const struct plan_choice *choice,
                               enum doctor_severity severity, const char *what)
{
    struct buf CLEAN_BUF remedy = BUF_INIT(1000);
    bool fact = doctor_is_fact(choice);
    if (!fact)
        doctor_remedy(c, choice, &remedy);
    doctor_tell(c, gfxb_code_name(choice->code), fact ? DOCTOR_INFO : severity, what,
                choice->reason, buf_text(&remedy));
}

/* Why no engine can use this GPU, by the choice that most can be done about. NULL: one can, or none
 * was looked at. */
static const struct plan_choice *doctor_find_rejected(const struct plan *plan,
                                                      const struct machine_gpu *gpu)
{
    const struct plan_choice *found = NULL;
    for (size_t i = 0; i < plan->n_choices; i++) {
        const struct plan_choice *choice = &plan->choice[i];
        if (choice->gpu != gpu || choice->code == GFXB_E_POLICY)
            continue;
        if (choice->state != PLAN_REJECTED)
            return NULL;
        if (!found || (doctor_is_fact(found) && !doctor_is_fact(choice)))
            found = choice;
    }
    return found;
}

/* AMD's GPUs that cannot be used although the backends can, by another one. */
static void doctor_check_gpus(const struct doctor_case *c,
                              const struct plan_choice *const told[static PLAN_BACKENDS])
{
    for (size_t i = 0; i < c->machine->n_gpus; i++) {
        const struct machine_gpu *gpu = &c->machine->gpu[i];
        const struct plan_choice *why = doctor_find_rejected(c->plan, gpu);
        char what[64];
        if (!why || gpu->vendor != 0x1002 ||
            (told[why->backend] && strcmp(told[why->backend]->reason, why->reason) == 0))
            continue;
        snprintf(what, sizeof(what), "the GPU at %s cannot be used",
                 gpu->pci[0] ? gpu->pci : "an unknown address");
        doctor_tell_choice(c, why, DOCTOR_WARN, what);
    }
}

/* Each backend's best choice, when it is a rejected one: why not, and what would change that. On a
 * computer without an AMD GPU a missing GPU path is a fact, not a problem. */
static void doctor_check_backends(const struct doctor_case *c)
{
    bool seen[PLAN_BACKENDS] = {false};
    const struct plan_choice *told[PLAN_BACKENDS] = {NULL};
    for (size_t i = 0; i < c->plan->n_choices; i++) {
        const struct plan_choice *choice = &c->plan->choice[i];
        if (seen[choice->backend])
            continue;
        seen[choice->backend] = true;
        if (choice->state != PLAN_REJECTED || choice->code == GFXB_E_POLICY)
            continue;
        char what[64];
        snprintf(what, sizeof(what), "%s cannot be used", plan_backend_name(choice->backend));
        enum doctor_severity severity = choice->backend == PLAN_CPU      ? DOCTOR_BLOCK
                                        : !doctor_has_gpu(c->machine)    ? DOCTOR_INFO
                                        : choice->backend == PLAN_VULKAN ? DOCTOR_WARN
                                                                         : DOCTOR_BLOCK;
        doctor_tell_choice(c, choice, severity, what);
        told[choice->backend] = choice;
    }
    doctor_check_gpus(c, told);
}

static void doctor_check_warnings(const struct doctor_case *c)
{
    if (c->plan->chosen < 0)
        return;
    const struct plan_choice *choice = &c->plan->choice[c->plan->chosen];
    for (char *const *w = choice->warning; *w; w++)
        doctor_tell(c, "quirk", DOCTOR_WARN, "the chosen path has a known weakness", *w, "");
}

static void doctor_check_override(const struct doctor_case *c)
{
    const char *value = c->machine->host.override_gfx;
    if (!value[0])
        return;
    char what[128];
    snprintf(what, sizeof(what), "HSA_OVERRIDE_GFX_VERSION is set to %s in your environment",
             value);
    doctor_tell(c, "override-set", DOCTOR_WARN, what,
                "it makes ROCm take the card for another one; programs that inherit it may hang or "
                "compute nonsense, and gfxbridge does not pass it on",
                "unset HSA_OVERRIDE_GFX_VERSION");
}

static void doctor_check_notes(const struct doctor_case *c)
{
    for (size_t i = 0; i < c->machine->n_gpus; i++) {
        const struct machine_gpu *gpu = &c->machine->gpu[i];
        for (unsigned k = 0; k < gpu->n_notes; k++)
            doctor_tell(c, "detect-note", DOCTOR_INFO, gpu->pci[0] ? gpu->pci : "a GPU",
                        gpu->note[k], "");
    }
}

/* An APU whose GPU may use half of the memory although the computer has much more. */
static void doctor_check_ttm(const struct doctor_case *c)
{
    const struct machine *m = c->machine;
    for (size_t i = 0; i < m->n_gpus; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        uint64_t wanted = m->host.memory_bytes / 4 * 3;
        if (!gpu->target || gpu->kind != GFX_INTEGRATED || !gpu->gtt_bytes ||
            m->host.memory_bytes < (uint64_t)24 << 30 || gpu->gtt_bytes >= wanted / 10 * 9)
            continue;
        char have[32], total[32], why[200], argument[64];
        struct buf CLEAN_BUF remedy = BUF_INIT(400);
        report_bytes_text(gpu->gtt_bytes, have, sizeof(have));
        report_bytes_text(m->host.memory_bytes, total, sizeof(total));
        snprintf(why, sizeof(why), "the integrated GPU may use %s of %s: larger models do not fit",
                 have, total);
        /* Three quarters, in pages; amdgpu's DKMS package brings a TTM of its own. */
        snprintf(argument, sizeof(argument), "%s.pages_limit=%llu",
                 m->host.amdgpu_version[0] ? "amdttm" : "ttm", (unsigned long long)(wanted / 4096));
        doctor_kernel_argument(c, argument, false, &remedy);
        doctor_tell(c, "ttm-limit", DOCTOR_INFO, "the GPU's share of memory can be raised", why,
                    buf_text(&remedy));
    }
}

/* The directory itself, or the nearest one above it that exists. To be freed; NULL: out of memory.
 */
static char *doctor_nearest(const char *path)
{
    char *at = strdup(path);
    struct stat st;
    while (at && lstat(at, &st) < 0 && errno == ENOENT) {
        char *slash = strrchr(at, '/');
        if (!slash)
            break;
        slash[slash == at] = '\0';
    }
    return at;
}

/* 0, or the errno with which making something below this place will fail. */
static int doctor_try_write(const char *path)
{
    char *CLEAN_FREE at = doctor_nearest(path);
    struct stat st;
    if (!at)
        return ENOMEM;
    if (stat(at, &st) < 0)
        return errno;
    if (!S_ISDIR(st.st_mode))
        return ENOTDIR;
    return access(at, W_OK | X_OK) < 0 ? errno : 0;
}

static void doctor_check_data_dir(const struct doctor_case *c)
{
    const char *dir = c->data_dir;
    if (!c->live || !dir)
        return;
    int code = doctor_try_write(dir);
    char *CLEAN_FREE at = doctor_nearest(dir);
    struct statvfs vfs;
    char why[160];
    snprintf(why, sizeof(why), "packages and proofs cannot be written there: %s",
             error_errno_text(code));
    if (code)
        doctor_tell(c, "data-dir-unwritable", DOCTOR_BLOCK, dir, why,
                    "choose another place with --data-dir DIR or GFXBRIDGE_DATA_DIR");
    if (at && statvfs(at, &vfs) == 0 && (vfs.f_flag & ST_NOEXEC))
        doctor_tell(c, "data-dir-noexec", DOCTOR_BLOCK, dir,
                    "its file system is mounted noexec, so no engine can be started from there",
                    "choose another place with --data-dir DIR or GFXBRIDGE_DATA_DIR");
}

/* Where engines have their sockets; below the data directory there is nothing to add. */
static void doctor_check_runtime_dir(const struct doctor_case *c)
{
    const char *dir = c->runtime_dir, *data = c->data_dir;
    int code = !c->live || !dir ? 0 : doctor_try_write(dir);
    if (code == 0 ||
        (data && str_starts(str_from(dir), str_from(data)) && doctor_try_write(data) == code))
        return;
    char why[160];
    snprintf(why, sizeof(why), "engines cannot have their sockets there: %s",
             error_errno_text(code));
    doctor_tell(c, "runtime-dir-unwritable", DOCTOR_BLOCK, dir, why,
                "set XDG_RUNTIME_DIR to a directory of yours");
}

void doctor_check_places(const struct doctor_case *c)
{
    doctor_check_data_dir(c);
    doctor_check_runtime_dir(c);
}

void doctor_tell_no_plan(const struct doctor_case *c, const char *why)
{
    doctor_tell(c, "no-plan", DOCTOR_BLOCK, "the backends cannot be looked at", why, "");
}

static bool doctor_is_table(const char *file)
{
    struct str name = str_from(file);
    name.n -= STR(".tsv").n;
    for (unsigned i = 0; i < GFX_TABLES; i++) {
        if (str_is(name, gfx_table_name((enum gfx_table)i)))
            return true;
    }
    return false;
}

static void doctor_check_table(const struct doctor_case *c, const char *dir, const char *file)
{
    char *CLEAN_FREE path = fs_join(dir, file);
    struct stat st;
    if (!path || !str_ends(str_from(file), STR(".tsv")))
        return;
    if (!doctor_is_table(file))
        doctor_tell(c, "table-unknown", DOCTOR_WARN, path,
                    "no table has this name, so the file is not read; they are targets.tsv, "
                    "cards.tsv, packages.tsv and quirks.tsv",
                    "rename it");
    else if (stat(path, &st) < 0 && errno == ENOENT)
        doctor_tell(c, "table-dangling", DOCTOR_WARN, path,
                    "this link leads nowhere, so the built-in table is used", "repair the link");
}

void doctor_check_tables(const struct doctor_case *c, const char *config_dir, const char *broken)
{
    if (broken)
        doctor_tell(c, "table-broken", DOCTOR_BLOCK, config_dir ? config_dir : "the tables", broken,
                    "correct or remove that file: until then every command but this one ends "
                    "there");
    DIR *list = config_dir ? opendir(config_dir) : NULL;
    const struct dirent *entry;
    while (list && (entry = readdir(list)))
        doctor_check_table(c, config_dir, entry->d_name);
    if (list)
        closedir(list);
}

static void doctor_check_disk(const struct doctor_case *c)
{
    enum { LEAST_MIB = 512 };
    uint64_t bytes = 0;
    if (!c->live || fs_free_bytes(c->data_dir, &bytes) < 0 || bytes >= (uint64_t)LEAST_MIB << 20)
        return;
    char free_text[32], why[160];
    report_bytes_text(bytes, free_text, sizeof(free_text));
    snprintf(why, sizeof(why), "%s are free where packages are kept; an engine needs %d MiB",
             bytes ? free_text : "0 B", LEAST_MIB);
    doctor_tell(c, gfxb_code_name(GFXB_E_DISK_FULL), DOCTOR_WARN, c->data_dir, why,
                "gfxbridge storage prune");
}

static void (*const doctor_checks[])(const struct doctor_case *c) = {
    doctor_check_backends, doctor_check_warnings, doctor_check_override,
    doctor_check_driver,   doctor_check_ttm,      doctor_check_disk,
    doctor_check_port,     doctor_check_notes,    doctor_check_sandbox,
};

void doctor_examine(const struct doctor_case *c)
{
    for (size_t i = 0; i < sizeof(doctor_checks) / sizeof(doctor_checks[0]); i++)
        doctor_checks[i](c);
}
