/*
 * sandbox_filter.c - which system calls an engine may make: a list of those that it never needs and
 * that lead out of the sandbox.
 *
 * Landlock says which files are reached. It leaves to this filter: the network other than TCP,
 * connections to other programs' unix sockets (the session bus starts programs on request), a
 * file's mode, owner and times, other processes, and staying behind when gfxbridge ends.
 */
#include "engine/engine_private.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#else
#error "the system calls of this architecture are not known here"
#endif

#define FILTER_X32 0x40000000u /* x86-64's second table of the same calls begins there */
#define FILTER_MAX 256         /* instructions */

/* Never needed by an engine. A call that this architecture does not have is left out. */
static const int filter_refused[] = {
/* another process, or leaving the process group and the parent's death signal behind */
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
#endif
    SYS_setsid,
    SYS_setpgid,
    SYS_unshare,
    SYS_setns,
    SYS_setuid,
    SYS_setgid,
    SYS_setreuid,
    SYS_setregid,
    SYS_setresuid,
    SYS_setresgid,
    SYS_setfsuid,
    SYS_setfsgid,
    SYS_setgroups,
    /* other processes */
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_tkill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_pidfd_getfd,
    /* other programs' sockets; io_uring would do all of this past the filter */
    SYS_connect,
    SYS_io_uring_setup,
/* what a file is besides its content: Landlock does not look at it */
#ifdef SYS_chmod
    SYS_chmod,
    SYS_chown,
    SYS_lchown,
    SYS_utime,
    SYS_utimes,
    SYS_futimesat,
#endif
    SYS_truncate,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fchownat,
    SYS_utimensat,
    SYS_setxattr,
    SYS_lsetxattr,
    SYS_fsetxattr,
    SYS_removexattr,
    SYS_lremovexattr,
    SYS_fremovexattr,
    452, /* fchmodat2, Linux 6.6; the same number everywhere */
    463, /* setxattrat, Linux 6.13 */
    466, /* removexattrat, Linux 6.13 */
    /* the kernel itself */
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_open_by_handle_at,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
};

struct filter {
    struct sock_filter code[FILTER_MAX];
    unsigned short n;
};

static void filter_add(struct filter *f, unsigned code, unsigned k, unsigned yes, unsigned no)
{
    if (f->n < FILTER_MAX)
        f->code[f->n++] =
            (struct sock_filter){(uint16_t)code, (uint8_t)yes, (uint8_t)no, (uint32_t)k};
}

static void filter_load(struct filter *f, size_t offset)
{
    filter_add(f, BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

static void filter_refuse(struct filter *f, int error)
{
    filter_add(f, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error, 0, 0);
}

static void filter_allow(struct filter *f)
{
    filter_add(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
}

/* The number of the call is loaded: refuse it when it is this one. */
static void filter_refuse_call(struct filter *f, int call, int error)
{
    filter_add(f, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1);
    filter_refuse(f, error);
}

/* Allow this call when the low half of its first argument, and'ed with mask, is value or other. */
static void filter_allow_only(struct filter *f, int call, unsigned mask, unsigned value,
                              unsigned other, int error)
{
    filter_add(f, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 6);
    filter_load(f, offsetof(struct seccomp_data, args[0]));
    filter_add(f, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    filter_add(f, BPF_JMP | BPF_JEQ | BPF_K, value, 2, 0);
    filter_add(f, BPF_JMP | BPF_JEQ | BPF_K, other, 1, 0);
    filter_refuse(f, error);
    filter_allow(f);
}

/* One option of prctl is refused. */
static void filter_refuse_option(struct filter *f, int call, unsigned option)
{
    filter_add(f, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 4);
    filter_load(f, offsetof(struct seccomp_data, args[0]));
    filter_add(f, BPF_JMP | BPF_JEQ | BPF_K, option, 0, 1);
    filter_refuse(f, EPERM);
    filter_allow(f);
}

static void filter_write(struct filter *f)
{
    unsigned self = (unsigned)getpid();
    filter_load(f, offsetof(struct seccomp_data, arch));
    filter_add(f, BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0);
    filter_refuse(f, EPERM); /* a table of calls with other numbers */
    filter_load(f, offsetof(struct seccomp_data, nr));
#if defined(__x86_64__)
    filter_add(f, BPF_JMP | BPF_JGE | BPF_K, FILTER_X32, 0, 1);
    filter_refuse(f, EPERM);
#endif
    for (size_t i = 0; i < sizeof(filter_refused) / sizeof(filter_refused[0]); i++)
        filter_refuse_call(f, filter_refused[i], EPERM);
    /* Its flags are in memory, where a filter cannot look: the C library then takes clone. */
    filter_refuse_call(f, SYS_clone3, ENOSYS);
    filter_allow_only(f, SYS_clone, CLONE_THREAD, CLONE_THREAD, CLONE_THREAD, EPERM);
    filter_allow_only(f, SYS_socket, ~0u, AF_UNIX, AF_UNIX, EACCES);
    filter_allow_only(f, SYS_kill, ~0u, self, self, EPERM);
    filter_allow_only(f, SYS_tgkill, ~0u, self, self, EPERM);
    filter_allow_only(f, SYS_prlimit64, ~0u, self, 0, EPERM);
    filter_refuse_option(f, SYS_prctl, PR_SET_PDEATHSIG);
    filter_allow(f);
}

bool sandbox_has_filter(void)
{
    unsigned action = SECCOMP_RET_ERRNO;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

int sandbox_filter(void)
{
    struct filter filter = {.n = 0};
    filter_write(&filter);
    if (filter.n == FILTER_MAX)
        return -E2BIG;
    struct sock_fprog program = {filter.n, filter.code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
