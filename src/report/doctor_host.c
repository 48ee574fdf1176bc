/* doctor_host.c - checks of the computer around the engines: sandbox, driver, port. */
#include "report/doctor.h"
#include "sysroot/sysroot.h"

#include <dirent.h>
#include <errno.h>

#define HOST_TCP_MAX (4u << 20)
#define HOST_LISTEN  0x0a /* the state of a listening socket in /proc/net/tcp */

/* EFI variables are attributes (4 bytes), then the value. */
#define HOST_SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

void doctor_check_sandbox(const struct doctor_case *c)
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
static void host_check_command_line(const struct doctor_case *c)
{
    static const char *const words[] = {"nomodeset", "amdgpu.modeset=0",
                                        "modprobe.blacklist=amdgpu", "module_blacklist=amdgpu"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct buf CLEAN_BUF remedy = BUF_INIT(400);
        char what[96];
        if (!host_has_word(c, "/proc/cmdline", words[i]))
            continue;
        snprintf(what, sizeof(what), "the kernel was started with %s", words[i]);
        doctor_kernel_argument(c, words[i], true, &remedy);
        doctor_tell(c, "driver-disabled", DOCTOR_BLOCK, what,
                    "with it the amdgpu driver does not take the card", buf_text(&remedy));
    }
}

/* 1 on, 0 off, -1 unknown. */
static int host_secure_boot(const struct doctor_case *c)
{
    struct buf CLEAN_BUF value = BUF_INIT(64);
    if (!c->root || root_read(c->root, HOST_SECURE_BOOT, 16, &value) < 0 || value.n != 5)
        return -1;
    return value.p[4] == 1;
}

/* Secure Boot, or a lockdown without it, refuses modules that no enrolled key has signed: a driver
 * that DKMS built, mostly. */
void doctor_check_driver(const struct doctor_case *c)
{
    if (!host_lacks_driver(c->machine) || c->machine->host.container[0])
        return;
    host_check_command_line(c);
    bool secure = host_secure_boot(c) == 1;
    bool locked = host_has_word(c, "/sys/kernel/security/lockdown", "[integrity]") ||
                  host_has_word(c, "/sys/kernel/security/lockdown", "[confidentiality]");
    if (secure || locked)
        doctor_tell(c, "secure-boot", DOCTOR_WARN,
                    secure ? "Secure Boot is on and no driver holds the card"
                           : "the kernel is locked down and no driver holds the card",
                    "a driver that was built on this computer (amdgpu-dkms) is refused until its "
                    "key is enrolled",
                    "sudo dmesg | grep -i 'key\\|amdgpu'; sudo mokutil --import "
                    "/var/lib/shim-signed/mok/MOK.der  # then restart and enrol it");
}

/* ---- who holds the server's port ---- */

/* A line of /proc/net/tcp: "sl local:port remote:port state ... uid timeout inode". */
static bool host_listens(struct str line, unsigned port, uint64_t *ret_uid, uint64_t *ret_inode)
{
    struct str word[10], local, hex = STR_NONE;
    uint64_t number = 0, state = 0;
    for (size_t i = 0; i < 10; i++) {
        if (!str_word(&line, &word[i]))
            return false;
    }
    local = word[1];
    while (str_cut(&local, ':', &hex))
        ;
    return str_to_u64(hex, 16, &number) == 0 && number == port &&
           str_to_u64(word[3], 16, &state) == 0 && state == HOST_LISTEN &&
           str_to_u64(word[7], 10, ret_uid) == 0 && str_to_u64(word[9], 10, ret_inode) == 0;
}

static bool host_find_listener(unsigned port, uint64_t *ret_uid, uint64_t *ret_inode)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    for (size_t i = 0; i < 2; i++) {
        struct buf CLEAN_BUF text = BUF_INIT(HOST_TCP_MAX + (1u << 16));
        struct str rest, line;
        if (fs_read(tables[i], HOST_TCP_MAX, &text) < 0)
            continue;
        rest = buf_view(&text);
        while (str_cut(&rest, '\n', &line)) {
            if (host_listens(line, port, ret_uid, ret_inode))
                return true;
        }
    }
    return false;
}

/* Does a process have this socket open? Only one's own can be looked into, or all of them by root.
 */
static bool host_has_socket(const char *pid, uint64_t inode)
{
    char path[64], wanted[48], target[64];
    bool found = false;
    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    snprintf(wanted, sizeof(wanted), "socket:[%llu]", (unsigned long long)inode);
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && !found && (entry = readdir(dir))) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
        found = n > 0 && str_is((struct str){target, (size_t)n}, wanted);
    }
    if (dir)
        closedir(dir);
    return found;
}

/* "llama-server (process 4711)", or whose it is when it cannot be looked into. */
static void host_holder(uint64_t uid, uint64_t inode, char *ret_text, size_t size, char *ret_pid,
                        size_t pid_size)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    snprintf(ret_text, size, "a process of user %llu", (unsigned long long)uid);
    ret_pid[0] = '\0';
    while (dir && !ret_pid[0] && (entry = readdir(dir))) {
        char path[64];
        struct buf CLEAN_BUF name = BUF_INIT(4096);
        if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name) ||
            !host_has_socket(entry->d_name, inode))
            continue;
        snprintf(path, sizeof(path), "/proc/%.20s/comm", entry->d_name);
        fs_read(path, 64, &name);
        snprintf(ret_pid, pid_size, "%s", entry->d_name);
        snprintf(ret_text, size, "%.*s (process %s)", STR_ARG(str_trim(buf_view(&name))), ret_pid);
    }
    if (dir)
        closedir(dir);
}

void doctor_check_port(const struct doctor_case *c)
{
    uint64_t uid = 0, inode = 0;
    char holder[96], pid[24], what[160], remedy[160];
    if (!c->live || !c->port || !host_find_listener(c->port, &uid, &inode))
        return;
    host_holder(uid, inode, holder, sizeof(holder), pid, sizeof(pid));
    if (str_starts(str_from(holder), STR("gfxbridge (")) ||
        str_starts(str_from(holder), STR("gfxbridge-full (")))
        return; /* our own server: as it should be */
    snprintf(what, sizeof(what), "port %u is held by %s", c->port, holder);
    snprintf(remedy, sizeof(remedy), "gfxbridge serve --port %u%s%s", c->port + 1,
             pid[0] ? "  # or end the other one: kill " : "", pid);
    doctor_tell(c, "port-in-use", DOCTOR_WARN, what,
                "gfxbridge serve listens there when no other port is given", remedy);
}
