/* doctor.c - every check of doctor, one function each: the table at the end lists them. */
#include "report/report.h"

#include "base/xalloc.h"
#include "http/http.h"
#include "sysroot/sysroot.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

void doctor_tell(struct doctor_case *c, const char *code, enum doctor_severity severity,
                 const char *what, const char *why, const char *remedy)
{
    static const char *const names[] = {"block", "warn", "info"};
    json_array_append_new(
        c->findings, json_pack("{s:o, s:s, s:o, s:o, s:o}", "code", report_json_text(code),
                               "severity", names[severity], "what", report_json_text(what), "why",
                               report_json_text(why), "remedy", report_json_text(remedy)));
    c->problem |= severity != DOCTOR_INFO;
}

/* Is there a GPU that an engine could use? */
static bool doctor_has_gpu(const struct machine *m)
{
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (m->gpu[i].target)
            return true;
    }
    return false;
}

/* ---- reason code -> what helps on this computer ---- */

/* Is this user in the group by the system's files, so that only the login is older than that? */
static bool remedy_is_member(const char *group)
{
    const struct passwd *user = getpwuid(getuid());
    const struct group *entry = group[0] ? getgrnam(group) : NULL;
    for (char **member = entry ? entry->gr_mem : NULL; user && member && *member; member++) {
        if (strcmp(*member, user->pw_name) == 0)
            return true;
    }
    return false;
}

/* A member of the group whose login is older than that has only to log in again. */
static void remedy_permission(const struct doctor_case *c, const struct plan_choice *choice,
                              struct buf *out)
{
    const struct machine_gpu *gpu = choice->gpu;
    const char *group = choice->code == GFXB_E_KFD_PERMISSION ? c->machine->kfd.group
                        : gpu                                 ? gpu->render_group
                                                              : "";
    if (c->machine->live && !c->machine->host.container[0] && remedy_is_member(group))
        buf_addf(out, "log out and in again: you are in the group %s, but this login is older",
                 group);
    else if (choice->remedy)
        buf_add_text(out, choice->remedy);
}

static void remedy_driver_not_amdgpu(const struct doctor_case *c, const struct plan_choice *choice,
                                     struct buf *out)
{
    const struct machine_gpu *gpu = choice->gpu;
    if (gpu && strcmp(gpu->driver, "vfio-pci") == 0)
        buf_addf(out, "give it back from the virtual machine: sudo driverctl unset-override %s",
                 gpu->pci);
    else
        plan_way_to_boot(c->machine,
                         "amdgpu.si_support=1 radeon.si_support=0 amdgpu.cik_support=1 "
                         "radeon.cik_support=0",
                         false, out);
}

/* What is written, and where the text ends with a blank the choice's KIND:BACKEND behind it. */
static const struct remedy_row {
    int code;
    const char *text;
    void (*write)(const struct doctor_case *c, const struct plan_choice *choice, struct buf *out);
} remedy_rows[] = {
    {GFXB_E_KFD_PERMISSION, NULL, remedy_permission},
    {GFXB_E_RENDER_PERMISSION, NULL, remedy_permission},
    {GFXB_E_DRIVER_NOT_AMDGPU, NULL, remedy_driver_not_amdgpu},
    {GFXB_E_FAILED_BEFORE, "gfxbridge backends verify ", NULL},
    {GFXB_E_OFFLINE, "gfxbridge backends install ", NULL},
    {GFXB_E_GFX_UNKNOWN, "gfxbridge contribute  # and send the file, see docs/adding-a-card.md",
     NULL},
    {GFXB_E_KERNEL_QUIRK, "gfxbridge run --backend vulkan  # until the kernel is newer", NULL},
    {GFXB_E_FIRMWARE_QUIRK, "gfxbridge run --backend vulkan  # until linux-firmware is another one",
     NULL},
};

/* The remedy for a rejected choice, as a command where one helps; nothing when none does. The
 * plan's own comes first, but for rights, where a new login may be enough. */
static void doctor_remedy(const struct doctor_case *c, const struct plan_choice *choice,
                          struct buf *out)
{
    const struct remedy_row *row = NULL;
    for (size_t i = 0; i < sizeof(remedy_rows) / sizeof(remedy_rows[0]); i++) {
        if (remedy_rows[i].code == choice->code)
            row = &remedy_rows[i];
    }
    if (row && row->write && (!choice->remedy || row->write == remedy_permission))
        row->write(c, choice, out);
    else if (choice->remedy)
        buf_add_text(out, choice->remedy);
    else if (row)
        buf_add_text(out, row->text);
    if (row && row->text && !choice->remedy && str_ends(str_from(row->text), STR(" ")))
        buf_addf(out, "%.*s:%s", STR_ARG(choice->engine), plan_backend_name(choice->backend));
}

/* ---- the plan ---- */

/* Is this reason a fact, which nothing on this computer can change, and not a problem? */
static bool doctor_is_fact(const struct plan_choice *choice)
{
    enum plan_rung rung =
        choice->n_evidence ? choice->evidence[choice->n_evidence - 1].rung : PLAN_E5;
    switch (choice->code) {
    case GFXB_E_GFX_NOT_IN_PACKAGE:
    case GFXB_E_NO_PACKAGE:
        return true;
    case GFXB_E_GFX_UNKNOWN: /* a card that is in no table can be reported */
        return choice->gpu && choice->gpu->card;
    default:
        return rung == PLAN_E0;
    }
}

static void doctor_tell_choice(struct doctor_case *c, const struct plan_choice *choice,
                               enum doctor_severity severity, const char *what)
{
    struct buf CLEAN_BUF remedy = BUF_INIT(1000);
    bool fact = doctor_is_fact(choice);
    if (!fact)
        doctor_remedy(c, choice, &remedy);
    doctor_tell(c, gfxb_code_name(choice->code), fact ? DOCTOR_INFO : severity, what,
                choice->reason, buf_text(&remedy));
}

/* The rejected choice that says why no engine can use this GPU: one that can be changed before one
 * that cannot. NULL: an engine can use it, or there is no choice for it. */
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

/* GPUs of AMD that cannot be used, though the backends can use another one. */
static void doctor_check_gpus(struct doctor_case *c,
                              const struct plan_choice *const told[static PLAN_BACKENDS])
{
    for (size_t i = 0; i < c->machine->n_gpus; i++) {
        const struct machine_gpu *gpu = &c->machine->gpu[i];
        const struct plan_choice *why = doctor_find_rejected(c->plan, gpu);
        if (!why || gpu->vendor != 0x1002 ||
            (told[why->backend] && strcmp(told[why->backend]->reason, why->reason) == 0))
            continue;
        char *CLEAN_FREE what = xasprintf("the GPU at %s cannot be used",
                                          gpu->pci[0] ? gpu->pci : "an unknown address");
        doctor_tell_choice(c, why, DOCTOR_WARN, what);
    }
}

/* Backends whose best choice is rejected: why, and what would change that. Without an AMD GPU a
 * backend that needs one is a fact, not a problem. */
static void doctor_check_backends(struct doctor_case *c)
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
        char *CLEAN_FREE what = xasprintf("%s cannot be used", plan_backend_name(choice->backend));
        enum doctor_severity severity = choice->backend == PLAN_CPU      ? DOCTOR_BLOCK
                                        : !doctor_has_gpu(c->machine)    ? DOCTOR_INFO
                                        : choice->backend == PLAN_VULKAN ? DOCTOR_WARN
                                                                         : DOCTOR_BLOCK;
        doctor_tell_choice(c, choice, severity, what);
        told[choice->backend] = choice;
    }
    doctor_check_gpus(c, told);
}

static void doctor_check_warnings(struct doctor_case *c)
{
    if (c->plan->chosen < 0)
        return;
    const struct plan_choice *choice = &c->plan->choice[c->plan->chosen];
    for (char *const *w = choice->warning; *w; w++) /* the override has a finding of its own */
        if (!str_starts(str_from(*w), STR("HSA_OVERRIDE_GFX_VERSION")))
            doctor_tell(c, "quirk", DOCTOR_WARN, "the chosen backend has a known problem", *w, "");
}

static void doctor_check_override(struct doctor_case *c)
{
    const struct machine *m = c->machine;
    const struct gfx_target *target = NULL;
    struct buf CLEAN_BUF why = BUF_INIT(600);
    for (size_t i = 0; !target && i < m->n_gpus; i++)
        target = m->gpu[i].target;
    if (!plan_override_tell(m, c->tables, target, &why))
        return;
    buf_add_text(&why, " gfxbridge does not pass it on; other programs that inherit it do.");
    doctor_tell(c, "override-set", DOCTOR_WARN,
                m->host.override_gfx[0] ? "HSA_OVERRIDE_GFX_VERSION is set in your environment"
                                        : "HSA_OVERRIDE_GFX_VERSION is defined and empty",
                buf_text(&why),
                "unset HSA_OVERRIDE_GFX_VERSION  # and take it out of the compose or unit file");
}

static void doctor_check_notes(struct doctor_case *c)
{
    for (size_t i = 0; i < c->machine->n_gpus; i++) {
        const struct machine_gpu *gpu = &c->machine->gpu[i];
        for (unsigned k = 0; k < gpu->n_notes; k++)
            doctor_tell(c, "detect-note", DOCTOR_INFO, gpu->pci[0] ? gpu->pci : "a GPU",
                        gpu->note[k], "");
    }
}

/* An APU whose GPU may use less than it could of a large memory, or less than the size that was set
 * for it. What is lent counts only where the carve-out is smaller. */
static void doctor_check_ttm(struct doctor_case *c)
{
    const struct machine *m = c->machine;
    const uint64_t wanted = m->host.memory_bytes / 4 * 3, limit = m->host.ttm_limit_bytes;
    for (size_t i = 0; i < m->n_gpus; i++) {
        const struct machine_gpu *gpu = &m->gpu[i];
        bool below = limit && limit < gpu->gtt_bytes / 10 * 9;
        bool little =
            m->host.memory_bytes >= (uint64_t)24 << 30 && gpu->gtt_bytes < wanted / 10 * 9;
        if (!gpu->target || gpu->kind != GFX_INTEGRATED || !gpu->gtt_bytes ||
            wanted <= gpu->vram_bytes || (!below && !little))
            continue;
        struct buf CLEAN_BUF remedy = BUF_INIT(600);
        char *CLEAN_FREE why =
            below ? xasprintf("ttm.pages_limit is %llu, which is %s: the integrated GPU gets no "
                              "more, although its size (GTT) is set to %s",
                              (unsigned long long)(limit / 4096), report_bytes(limit).text,
                              report_bytes(gpu->gtt_bytes).text)
                  : xasprintf("the integrated GPU can use %s of %s, so larger models do not fit",
                              report_bytes(gpu->gtt_bytes).text,
                              report_bytes(m->host.memory_bytes).text);
        /* Three quarters, in pages; amdgpu's DKMS package brings a TTM of its own. */
        char *CLEAN_FREE argument =
            xasprintf("%s.pages_limit=%llu", m->host.amdgpu_version[0] ? "amdttm" : "ttm",
                      (unsigned long long)(wanted / 4096));
        plan_way_to_boot(m, argument, false, &remedy);
        doctor_tell(c, "ttm-limit", below ? DOCTOR_WARN : DOCTOR_INFO,
                    below ? "the kernel's limit is below the GPU's share of memory"
                          : "the GPU can get more of the memory",
                    why, buf_text(&remedy));
    }
}

/* The directory itself, or the nearest one above it that exists. To be freed. */
static char *doctor_nearest(const char *path)
{
    char *at = xstrdup(path);
    struct stat st;
    while (lstat(at, &st) < 0 && errno == ENOENT) {
        char *slash = strrchr(at, '/');
        if (!slash)
            break;
        slash[slash == at] = '\0';
    }
    return at;
}

/* 0, or the errno with which creating a file there would fail. */
static int doctor_try_write(const char *path)
{
    char *CLEAN_FREE at = doctor_nearest(path);
    struct stat st;
    if (stat(at, &st) < 0)
        return errno;
    if (!S_ISDIR(st.st_mode))
        return ENOTDIR;
    return access(at, W_OK | X_OK) < 0 ? errno : 0;
}

#define DOCTOR_OTHER_DIR "use another directory: --data-dir DIR or GFXBRIDGE_DATA_DIR=DIR"

static void doctor_check_data_dir(struct doctor_case *c)
{
    const char *dir = c->data_dir;
    if (!c->live || !dir)
        return;
    int code = doctor_try_write(dir);
    char *CLEAN_FREE at = doctor_nearest(dir);
    struct statvfs vfs;
    char *CLEAN_FREE why =
        xasprintf("packages and proofs cannot be written there: %s", error_errno_text(code));
    if (code)
        doctor_tell(c, "data-dir-unwritable", DOCTOR_BLOCK, dir, why, DOCTOR_OTHER_DIR);
    if (statvfs(at, &vfs) == 0 && (vfs.f_flag & ST_NOEXEC))
        doctor_tell(c, "data-dir-noexec", DOCTOR_BLOCK, dir,
                    "its file system is mounted noexec, so no engine can be started from there",
                    DOCTOR_OTHER_DIR);
}

/* The directory of the engines' sockets. Below the data directory the same finding is enough. */
static void doctor_check_runtime_dir(struct doctor_case *c)
{
    const char *dir = c->runtime_dir, *data = c->data_dir;
    int code = !c->live || !dir ? 0 : doctor_try_write(dir);
    if (code == 0 ||
        (data && str_starts(str_from(dir), str_from(data)) && doctor_try_write(data) == code))
        return;
    char *CLEAN_FREE why =
        xasprintf("engines cannot create their sockets there: %s", error_errno_text(code));
    doctor_tell(c, "runtime-dir-unwritable", DOCTOR_BLOCK, dir, why,
                "set XDG_RUNTIME_DIR to a directory that you can write to");
}

void doctor_check_places(struct doctor_case *c)
{
    doctor_check_data_dir(c);
    doctor_check_runtime_dir(c);
}

void doctor_tell_no_plan(struct doctor_case *c, const char *why)
{
    doctor_tell(c, "no-plan", DOCTOR_BLOCK, "the backends could not be checked", why, "");
}

/* Is the file a table, by its name? ret_names: those that are. */
static bool doctor_is_table(const char *file, struct buf *ret_names)
{
    bool found = false;
    for (int i = 0; i < GFX_TABLES; i++) {
        char *CLEAN_FREE name = xasprintf("%s.tsv", gfx_table_name((enum gfx_table)i));
        found |= strcmp(file, name) == 0;
        buf_addf(ret_names, " %s", name);
    }
    return found;
}

static void doctor_check_table(struct doctor_case *c, const char *dir, const char *file)
{
    char *CLEAN_FREE path = xfs_join(dir, file);
    struct buf CLEAN_BUF remedy = BUF_INIT(1000);
    struct stat st;
    if (!str_ends(str_from(file), STR(".tsv")))
        return;
    buf_add_text(&remedy, "rename or remove it; the tables are");
    if (!doctor_is_table(file, &remedy))
        doctor_tell(c, "table-unknown", DOCTOR_WARN, path,
                    "no table has this name, so the file is ignored", buf_text(&remedy));
    else if (stat(path, &st) < 0 && errno == ENOENT)
        doctor_tell(c, "table-dangling", DOCTOR_WARN, path,
                    "this link points to a missing file, so the built-in table is used",
                    "repair or remove the link");
}

void doctor_check_tables(struct doctor_case *c, const char *config_dir, const char *broken)
{
    if (broken)
        doctor_tell(c, "table-broken", DOCTOR_BLOCK, config_dir ? config_dir : "the tables", broken,
                    "correct or remove this file: until then no other command works");
    DIR *CLEAN_DIR list = config_dir ? opendir(config_dir) : NULL;
    const char *entry;
    while ((entry = fs_next(list)))
        doctor_check_table(c, config_dir, entry);
}

static void doctor_check_disk(struct doctor_case *c)
{
    enum { LEAST_MIB = 512 };
    uint64_t bytes = 0;
    if (!c->live || fs_free_bytes(c->data_dir, &bytes) < 0 || bytes >= (uint64_t)LEAST_MIB << 20)
        return;
    char *CLEAN_FREE why = xasprintf("%s free where packages are stored; an engine needs %d MiB",
                                     report_bytes(bytes).text, LEAST_MIB);
    doctor_tell(c, gfxb_code_name(GFXB_E_DISK_FULL), DOCTOR_WARN, c->data_dir, why,
                "gfxbridge storage prune");
}

/* ---- the computer around the engines: sandbox, driver, port ---- */

/* EFI variables are attributes (4 bytes), then the value. */
#define HOST_SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

static void doctor_check_sandbox(struct doctor_case *c)
{
    struct engine_sandbox s;
    struct buf CLEAN_BUF what = BUF_INIT(400);
    struct buf CLEAN_BUF why = BUF_INIT(2000);
    if (!c->live)
        return;
    engine_sandbox_state(c->unconfined, &s);
    buf_add_text(&what, s.off ? "engines run without a sandbox" : "engines run in a sandbox");
    if (s.landlock)
        buf_addf(&what, " (Landlock ABI %d%s)", s.landlock, s.alone ? ", seccomp" : "");
    if (s.files)
        buf_add_text(&why, "an engine reads its package, its model, system libraries and GPU "
                           "devices, and writes its run directory and the driver's shader cache");
    if (s.network)
        buf_addf(&why, "%sopens no network connection", why.n ? "; it " : "an engine ");
    if (s.alone)
        buf_addf(&why, "%sstarts no other process and ends with gfxbridge",
                 why.n ? "; it " : "an engine ");
    for (size_t i = 0; i < ENGINE_SANDBOX_NOTES && s.note[i]; i++)
        buf_addf(&why, "%s%s", why.n ? "; but " : "", s.note[i]);
    bool open = !s.off && !s.files;
    doctor_tell(c, "sandbox", s.off || open ? DOCTOR_WARN : DOCTOR_INFO, buf_text(&what),
                buf_text(&why),
                s.off  ? "unset GFXBRIDGE_SANDBOX"
                : open ? "cat /sys/kernel/security/lsm  # add landlock to this list with lsm= on "
                         "the kernel command line"
                       : "");
}

/* ---- why amdgpu is not there ---- */

static bool host_lacks_driver(const struct machine *m)
{
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (m->gpu[i].vendor == 0x1002 && m->gpu[i].driver[0] == '\0' && m->gpu[i].target)
            return true;
    }
    return false;
}

static bool host_has_word(const struct doctor_case *c, const char *path, const char *word)
{
    struct buf CLEAN_BUF text = BUF_INIT(16384);
    return c->root && root_read(c->root, path, 8192, &text) == 0 &&
           str_list_has(str_trim(buf_view(&text)), str_from(word));
}

/* Words of the kernel command line that keep amdgpu from the card. */
static void host_check_command_line(struct doctor_case *c)
{
    static const char *const words[] = {"nomodeset", "amdgpu.modeset=0",
                                        "modprobe.blacklist=amdgpu", "module_blacklist=amdgpu"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct buf CLEAN_BUF remedy = BUF_INIT(400);
        if (!host_has_word(c, "/proc/cmdline", words[i]))
            continue;
        char *CLEAN_FREE what = xasprintf("the kernel was started with %s", words[i]);
        plan_way_to_boot(c->machine, words[i], true, &remedy);
        doctor_tell(c, "driver-disabled", DOCTOR_BLOCK, what,
                    "this keeps the amdgpu driver off the card", buf_text(&remedy));
    }
}

static bool host_has_secure_boot(const struct doctor_case *c)
{
    struct buf CLEAN_BUF value = BUF_INIT(64);
    return c->root && root_read(c->root, HOST_SECURE_BOOT, 16, &value) == 0 && value.n == 5 &&
           value.p[4] == 1;
}

/* Secure Boot, or a lockdown without it, refuses modules that no enrolled key has signed: a driver
 * that DKMS built, mostly. */
static void doctor_check_driver(struct doctor_case *c)
{
    if (!host_lacks_driver(c->machine) || c->machine->host.container[0])
        return;
    host_check_command_line(c);
    bool secure = host_has_secure_boot(c);
    bool locked = host_has_word(c, "/sys/kernel/security/lockdown", "[integrity]") ||
                  host_has_word(c, "/sys/kernel/security/lockdown", "[confidentiality]");
    if (secure || locked)
        doctor_tell(c, "secure-boot", DOCTOR_WARN,
                    secure ? "Secure Boot is on and the card has no driver"
                           : "the kernel is locked down and the card has no driver",
                    "a driver that was built on this computer (amdgpu-dkms) is refused until its "
                    "key is enrolled",
                    "sudo dmesg | grep -i 'key\\|amdgpu'; sudo mokutil --import "
                    "/var/lib/shim-signed/mok/MOK.der  # then restart and enrol it");
}

static void doctor_check_port(struct doctor_case *c)
{
    struct http_holder holder;
    if (!c->live || !c->port || !http_find_holder(c->port, &holder))
        return;
    const char *name = fs_name(holder.program);
    if (str_starts(str_from(name), STR("gfxbridge")))
        return; /* our own server: as it should be */
    struct buf CLEAN_BUF what = BUF_INIT(160), remedy = BUF_INIT(160);
    buf_addf(&what, "port %u is used by ", c->port);
    buf_addf(&remedy, "gfxbridge serve --port %u", c->port + 1);
    if (holder.pid) {
        buf_addf(&what, "%.40s (process %d)", name, holder.pid);
        buf_addf(&remedy, "  # or stop the other program: kill %d", holder.pid);
    } else {
        buf_addf(&what, "a process of user %u", holder.uid);
    }
    doctor_tell(c, "port-in-use", DOCTOR_WARN, buf_text(&what),
                "gfxbridge serve uses this port by default", buf_text(&remedy));
}

/* ---- the checks ---- */

static void (*const doctor_checks[])(struct doctor_case *c) = {
    doctor_check_backends, doctor_check_warnings, doctor_check_override,
    doctor_check_driver,   doctor_check_ttm,      doctor_check_disk,
    doctor_check_port,     doctor_check_notes,    doctor_check_sandbox,
};

void doctor_examine(struct doctor_case *c)
{
    for (size_t i = 0; i < sizeof(doctor_checks) / sizeof(doctor_checks[0]); i++)
        doctor_checks[i](c);
}
