/* sandbox.c - which files an engine reaches (Landlock), and entering the whole of the sandbox. */
#include "engine/engine_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* What the build's headers may be too old to have; the kernel is asked for its ABI anyway. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ull << 13) /* ABI 2 */
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ull << 14) /* ABI 3 */
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ull << 15) /* ABI 5 */
#endif
#define SANDBOX_ABI_1   (LANDLOCK_ACCESS_FS_REFER - 1) /* every right before it */
#define SANDBOX_NET_TCP 3ull                           /* bind and connect: ABI 4 */
#define SANDBOX_SCOPES  3ull                           /* abstract unix sockets, signals: ABI 6 */
/* The rights that a file can have; the others are a directory's. */
#define SANDBOX_OF_FILE                                                                            \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |   \
     LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV)

#define SANDBOX_READ_FILE LANDLOCK_ACCESS_FS_READ_FILE
#define SANDBOX_READ                                                                               \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define SANDBOX_DEVICE                                                                             \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR |  \
     LANDLOCK_ACCESS_FS_IOCTL_DEV)
#define SANDBOX_WORK                                                                               \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_DIR |  \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                              \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |    \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER |       \
     LANDLOCK_ACCESS_FS_TRUNCATE)

#define SANDBOX_FILES_MAX 4096 /* open files; an engine has some hundreds */
#define SANDBOX_PARTS_MAX 1000 /* of a split model */

/* struct landlock_ruleset_attr of ABI 6; older kernels take the longer one when its end is 0. */
struct sandbox_ruleset {
    uint64_t files, network, scopes;
};

/* Programs, libraries and drivers of the system, what describes the computer, and the few files of
 * /etc that loaders and drivers ask for. Nothing of a person is in any of them. */
static const char sandbox_system[] =
    "/usr /lib /lib64 /lib32 /bin /sbin /opt /nix/store /gnu/store /run/opengl-driver "
    "/run/current-system /app /snap /var/lib/snapd/lib /proc /sys "
    "/etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d /etc/ld.so.preload /etc/vulkan /etc/OpenCL "
    "/etc/amd /etc/nvidia /etc/drirc /etc/glvnd /etc/localtime /etc/os-release /etc/nsswitch.conf "
    "/etc/ssl/openssl.cnf /etc/pki/tls/openssl.cnf";

/* A directory of the package and what belongs beside it: bin needs ../lib, ROCm's lib its ../.kpack
 * and the names of cards. */
static const char sandbox_package[] = ". ../lib ../lib64 ../.kpack ../share/libdrm";
static const char sandbox_devices[] = "/dev/null /dev/zero /dev/full /dev/random /dev/urandom";
/* lavapipe shares memory through udmabuf. */
static const char sandbox_gpus[] = "/dev/kfd /dev/dri /dev/dxg /dev/udmabuf";

int sandbox_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static uint64_t sandbox_handled(int abi)
{
    return SANDBOX_ABI_1 | (abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) |
           (abi >= 3 ? LANDLOCK_ACCESS_FS_TRUNCATE : 0) |
           (abi >= 5 ? LANDLOCK_ACCESS_FS_IOCTL_DEV : 0);
}

/* ---- the rules ---- */

struct sandbox_making {
    int ruleset;
    uint64_t handled;
    char *home; /* this user's directory, without links; NULL unknown */
    int failed; /* the errno of what this process lacked: a rule may be missing */
};

/* What is not there needs no rule. */
static void sandbox_missed(struct sandbox_making *m, int code)
{
    if (error_is_ours(code))
        m->failed = code;
}

static void sandbox_allow(struct sandbox_making *m, const char *path, uint64_t rights)
{
    int CLEAN_CLOSE fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        sandbox_missed(m, errno);
        return;
    }
    rights &= m->handled & (S_ISDIR(st.st_mode) ? ~0ull : SANDBOX_OF_FILE);
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    /* A file system that takes no rules (a pipe's) stays closed: the engine will say so. */
    syscall(SYS_landlock_add_rule, m->ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

/* Is this directory the home directory or one above it? Then it is not given as a whole. */
static bool sandbox_holds_home(struct sandbox_making *m, const char *dir)
{
    char *CLEAN_FREE real = realpath(dir, NULL);
    if (!real)
        sandbox_missed(m, errno);
    size_t n = real ? strlen(real) : 0;
    return n == 1 || (n && m->home && strncmp(m->home, real, n) == 0 &&
                      (m->home[n] == '\0' || m->home[n] == '/'));
}

/* To be freed; NULL unknown. */
static char *sandbox_home(void)
{
    char text[4096];
    struct passwd entry, *found = NULL;
    const char *home = getenv("HOME");
    if ((!home || home[0] != '/') &&
        getpwuid_r(geteuid(), &entry, text, sizeof(text), &found) == 0 && found)
        home = found->pw_dir;
    return home ? realpath(home, NULL) : NULL;
}

/* What is in a directory under names that hold this: of files the directories are not meant. */
static void sandbox_allow_in(struct sandbox_making *m, const char *path, const char *part,
                             uint64_t rights)
{
    DIR *CLEAN_DIR dir = opendir(path);
    const char *name;
    struct stat st;
    if (!dir)
        sandbox_missed(m, errno);
    while ((name = fs_next(dir))) {
        char *CLEAN_FREE file = strstr(name, part) ? xfs_join(path, name) : NULL;
        if (file && stat(file, &st) == 0 && (rights == SANDBOX_DEVICE || S_ISREG(st.st_mode)))
            sandbox_allow(m, file, rights);
    }
}

static void sandbox_allow_dir(struct sandbox_making *m, const char *path)
{
    if (sandbox_holds_home(m, path))
        sandbox_allow_in(m, path, ".so", SANDBOX_READ); /* its libraries */
    else
        sandbox_allow(m, path, SANDBOX_READ);
}

/* Paths separated by blanks, the relative ones below dir. */
static void sandbox_allow_dirs(struct sandbox_making *m, const char *dir, const char *paths)
{
    struct str rest = str_from(paths), path;
    while (str_word(&rest, &path)) {
        char *CLEAN_FREE one =
            path.p[0] == '/' ? xstr_dup(path) : xasprintf("%s/%.*s", dir, STR_ARG(path));
        sandbox_allow_dir(m, one);
    }
}

/* A part of the package's manifest that stands outside of the package's own directory. */
static void sandbox_allow_part(struct sandbox_making *m, struct str part, bool is_file)
{
    char *CLEAN_FREE path = part.n && part.p[0] == '/' ? xstr_dup(part) : NULL;
    char *slash = path ? strrchr(path, '/') : NULL;
    if (!slash)
        return;
    if (is_file) {
        sandbox_allow(m, path, SANDBOX_READ);
        *slash = '\0';
    }
    sandbox_allow_dirs(m, path, sandbox_package);
}

static void sandbox_allow_package(struct sandbox_making *m, const struct package *package)
{
    struct str rest = str_from(package->library_path), entry;
    sandbox_allow(m, package->dir, SANDBOX_READ);
    sandbox_allow_part(m, str_from(package->executable), true);
    sandbox_allow_part(m, str_from(package->loader), true);
    sandbox_allow_part(m, str_from(package->backend_dir), false);
    while (str_cut(&rest, ':', &entry))
        sandbox_allow_part(m, entry, false);
}

/* "x-00001-of-00003.gguf" needs the other parts too. */
static void sandbox_allow_model(struct sandbox_making *m, const char *model)
{
    static const char tail[] = "-00001-of-00001.gguf";
    struct str name = str_from(model), number;
    uint64_t parts = 0;
    sandbox_allow(m, model, SANDBOX_READ_FILE);
    if (name.n <= sizeof(tail) - 1 || !str_ends(name, STR(".gguf")))
        return;
    name.n -= sizeof(tail) - 1;
    number = (struct str){name.p + name.n + STR("-00001-of-").n, 5};
    if (name.p[name.n] != '-' || str_to_u64(number, 10, &parts) < 0 || parts > SANDBOX_PARTS_MAX)
        return;
    for (unsigned i = 1; i <= parts; i++) {
        char *CLEAN_FREE part =
            xasprintf("%.*s-%05u-of-%05u.gguf", STR_ARG(name), i, (unsigned)parts);
        sandbox_allow(m, part, SANDBOX_READ_FILE);
    }
}

/* Arguments and variables of the choice may name files (a projector, a driver's manifest). */
static void sandbox_allow_named(struct sandbox_making *m, const char *const *words)
{
    for (size_t i = 0; words && words[i]; i++) {
        struct stat st;
        const char *equals = strchr(words[i], '=');
        const char *path = words[i][0] != '/' && equals ? equals + 1 : words[i];
        struct str rest = path[0] == '/' ? str_from(path) : STR_NONE, one;
        while (str_cut(&rest, ':', &one)) {
            char *CLEAN_FREE file = xstr_dup(one);
            if (stat(file, &st) == 0 && S_ISREG(st.st_mode))
                sandbox_allow(m, file, SANDBOX_READ_FILE);
        }
    }
}

static void sandbox_allow_devices(struct sandbox_making *m, const char *paths)
{
    struct str rest = str_from(paths), path;
    while (str_word(&rest, &path)) {
        char *CLEAN_FREE one = xstr_dup(path);
        sandbox_allow(m, one, SANDBOX_DEVICE);
    }
}

static void sandbox_allow_all(struct sandbox_making *m, const struct engine_spec *spec,
                              const char *scratch, const char *cache)
{
    sandbox_allow_dirs(m, "", sandbox_system);
    sandbox_allow_devices(m, sandbox_devices);
    if (spec->backend != PLAN_CPU) {
        sandbox_allow_devices(m, sandbox_gpus);
        sandbox_allow_in(m, "/dev", "nvidia", SANDBOX_DEVICE);
    }
    sandbox_allow_package(m, spec->package);
    if (spec->model)
        sandbox_allow_model(m, spec->model);
    sandbox_allow_named(m, spec->args);
    sandbox_allow_named(m, spec->env);
    sandbox_allow(m, scratch, SANDBOX_WORK);
    sandbox_allow(m, cache, SANDBOX_WORK);
    if (spec->slots_dir)
        sandbox_allow(m, spec->slots_dir, SANDBOX_WORK);
}

/* Landlock's ruleset, where the kernel has it. */
static int sandbox_rules_new(const struct engine_spec *spec, const char *scratch, const char *cache,
                             struct sandbox *ret_sandbox)
{
    int abi = sandbox_landlock_abi();
    if (abi == 0)
        return 0;
    struct sandbox_ruleset wanted = {
        .files = sandbox_handled(abi),
        .network = abi >= 4 ? SANDBOX_NET_TCP : 0,
        .scopes = abi >= 6 ? SANDBOX_SCOPES : 0,
    };
    struct sandbox_making m = {.handled = wanted.files};
    m.ruleset = (int)syscall(SYS_landlock_create_ruleset, &wanted, sizeof(wanted), 0);
    if (m.ruleset < 0)
        return -errno;
    errno = 0;
    m.home = sandbox_home();
    if (!m.home)
        sandbox_missed(&m, errno);
    sandbox_allow_all(&m, spec, scratch, cache);
    free(m.home);
    ret_sandbox->ruleset = m.ruleset;
    return -m.failed;
}

int sandbox_new(const struct engine_spec *spec, enum sandbox_sockets sockets, const char *scratch,
                const char *cache, struct sandbox *ret_sandbox, struct gfxb_error *err)
{
    struct sandbox sandbox = SANDBOX_NONE;
    int code = sandbox_rules_new(spec, scratch, cache, &sandbox);
    if (code == 0)
        code = sandbox_filter_new(sockets, &sandbox);
    if (code < 0) {
        sandbox_done(&sandbox);
        return error_set(err, -code, "cannot make the engine's sandbox: %s",
                         error_errno_text(-code));
    }
    *ret_sandbox = sandbox;
    return 0;
}

void sandbox_done(struct sandbox *sandbox)
{
    if (sandbox->ruleset >= 0)
        close(sandbox->ruleset);
    free(sandbox->filter);
    *sandbox = SANDBOX_NONE;
}

/* ---- in the child ---- */

/* No core file, which would hold prompts; no more open files than an engine can have use for. */
static void sandbox_set_limits(uint64_t bytes)
{
    struct rlimit core = {0, 0}, files, memory = {bytes, bytes};
    setrlimit(RLIMIT_CORE, &core);
    if (bytes)
        setrlimit(RLIMIT_DATA, &memory);
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    if (files.rlim_max == RLIM_INFINITY || files.rlim_max > SANDBOX_FILES_MAX)
        files.rlim_max = SANDBOX_FILES_MAX;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* Started by root an engine keeps the rights over files, which Landlock bounds, and what pins
 * memory and sets priorities. For anybody else these calls fail, and there is nothing to drop. */
static void sandbox_drop_capabilities(void)
{
    for (int capability = 0; capability < 64; capability++) {
        if (capability != CAP_DAC_OVERRIDE && capability != CAP_DAC_READ_SEARCH &&
            capability != CAP_IPC_LOCK && capability != CAP_SYS_NICE)
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
}

int sandbox_enter(void *context)
{
    struct sandbox *sandbox = context;
    umask(077); /* saved slots hold prompts */
    sandbox_set_limits(sandbox->memory);
    sandbox_drop_capabilities();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    if (sandbox->ruleset >= 0 && syscall(SYS_landlock_restrict_self, sandbox->ruleset, 0) < 0)
        return -errno;
    return sandbox_filter_enter(sandbox);
}

/* ---- what is in force ---- */

void engine_sandbox_state(bool off, struct engine_sandbox *ret_sandbox)
{
    int abi = off ? 0 : sandbox_landlock_abi();
    bool filter = !off && sandbox_has_filter();
    struct engine_sandbox s = {
        .off = off,
        .landlock = abi,
        .files = abi >= 1,
        .rename = abi >= 2,
        .cut = abi >= 3 || filter,
        .network = filter,
        .devices = abi >= 5,
        .signals = filter || abi >= 6,
        .alone = filter,
    };
    size_t n = 0;
    if (off) {
        s.note[n++] = "the sandbox is switched off by GFXBRIDGE_SANDBOX";
        *ret_sandbox = s;
        return;
    }
    if (abi == 0)
        s.note[n++] = "this kernel offers no Landlock (Linux 5.13 and newer, with landlock among "
                      "the security modules): an engine reaches every file that you reach";
    else if (abi < 2)
        s.note[n++] = "Landlock of this kernel (before Linux 5.19) lets no file be moved between "
                      "directories";
    if (abi > 0 && abi < 5)
        s.note[n++] = "Landlock of this kernel (before Linux 6.10) does not look at device "
                      "commands on files that are open already";
    if (!filter && abi < 4)
        s.note[n++] = "without a seccomp filter and before Linux 6.7 an engine may use the network";
    if (!filter)
        s.note[n++] =
            "there is no seccomp filter for this kernel or processor: an engine may start "
            "other programs and leave them behind";
    *ret_sandbox = s;
}
