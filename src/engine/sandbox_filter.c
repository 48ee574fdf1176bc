/*
 * sandbox_filter.c - which system calls an engine may make: a list of those that it never needs and
 * that lead out of the sandbox.
 *
 * Landlock says which files are reached. It leaves to this filter: the network other than TCP,
 * messages and connections to other programs' unix sockets (the session bus starts programs on
 * request), a file's mode, owner and times, other processes, and staying behind when gfxbridge
 * ends. libseccomp makes the program, before the fork; the child only puts its own number into it.
 */
#include "engine/engine_private.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Stands in the program for the number of the process that enters it: larger than any. */
#define FILTER_SELF  0x5e1f5e1fu
#define FILTER_TYPES 16 /* what SOCK_CLOEXEC and SOCK_NONBLOCK are added to */

/* Never needed by an engine. A call that this processor does not have is left out. */
static const int filter_refused[] = {
    /* another process, or leaving the process group and the parent's death signal behind */
    SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(execveat), SCMP_SYS(setsid), SCMP_SYS(setpgid),
    SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid),
    SCMP_SYS(setregid), SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setfsuid),
    SCMP_SYS(setfsgid), SCMP_SYS(setgroups),
    /* other processes */
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(tkill),
    SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(rt_tgsigqueueinfo), SCMP_SYS(pidfd_open),
    SCMP_SYS(pidfd_send_signal), SCMP_SYS(pidfd_getfd), SCMP_SYS(shmget), SCMP_SYS(msgget),
    SCMP_SYS(semget), SCMP_SYS(mq_open),
    /* io_uring would do all of this past the filter */
    SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register),
    /* what a file is besides its content: Landlock does not look at it */
    SCMP_SYS(chmod), SCMP_SYS(chown), SCMP_SYS(lchown), SCMP_SYS(utime), SCMP_SYS(utimes),
    SCMP_SYS(futimesat), SCMP_SYS(truncate), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(fchown),
    SCMP_SYS(fchownat), SCMP_SYS(utimensat), SCMP_SYS(setxattr), SCMP_SYS(lsetxattr),
    SCMP_SYS(fsetxattr), SCMP_SYS(removexattr), SCMP_SYS(lremovexattr), SCMP_SYS(fremovexattr),
    /* fchmodat2 (Linux 6.6), setxattrat and removexattrat (6.13): the same numbers everywhere */
    452, 463, 466,
    /* the kernel itself */
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
    SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(open_by_handle_at),
    SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(add_key),
    SCMP_SYS(request_key), SCMP_SYS(keyctl), SCMP_SYS(init_module), SCMP_SYS(finit_module),
    SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(reboot), SCMP_SYS(swapon),
    SCMP_SYS(swapoff)};

/* Refused with this error where the argument compares so. */
struct filter_rule {
    int call, error;
    struct scmp_arg_cmp argument;
};

/*
 * Calls that sockets.c answers in the kernel's place, as the kernel's own sockets for IP would lead
 * out: to send with a flag connects, to listen takes a port. Options of TCP are taken and do
 * nothing. Anything that is not a stream stays refused.
 */
static int filter_add_sockets(scmp_filter_ctx filter, enum sandbox_sockets sockets)
{
    if (sockets == SANDBOX_NO_SOCKETS)
        return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(connect), 0)
                   ?: seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1,
                                       SCMP_A0(SCMP_CMP_NE, AF_UNIX));
    bool listens = sockets == SANDBOX_LISTENS;
    return seccomp_rule_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(socket), 2,
                            SCMP_A0(SCMP_CMP_EQ, AF_INET),
                            SCMP_A1(SCMP_CMP_MASKED_EQ, FILTER_TYPES - 1, SOCK_STREAM)) ?:
           seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1,
                            SCMP_A0(SCMP_CMP_LT, AF_UNIX)) ?:
           seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1,
                            SCMP_A0(SCMP_CMP_GT, AF_INET)) ?:
           seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), SCMP_SYS(setsockopt), 1,
                            SCMP_A1(SCMP_CMP_EQ, IPPROTO_TCP)) ?:
           seccomp_rule_add(filter, SCMP_ACT_NOTIFY,
                            listens ? SCMP_SYS(bind) : SCMP_SYS(connect), 0) ?:
           listens ? seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(connect), 0) : 0;
}

static int filter_add_rules(scmp_filter_ctx filter)
{
    const struct filter_rule rules[] = {
        /* A thread is no process. clone3's flags are in memory, where a filter cannot look: the C
         * library takes clone instead. */
        {SCMP_SYS(clone), EPERM, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)},
        {SCMP_SYS(socketpair), EACCES, SCMP_A0(SCMP_CMP_NE, AF_UNIX)},
        {SCMP_SYS(kill), EPERM, SCMP_A0(SCMP_CMP_NE, FILTER_SELF)},
        {SCMP_SYS(tgkill), EPERM, SCMP_A0(SCMP_CMP_NE, FILTER_SELF)},
        {SCMP_SYS(prlimit64), EPERM, SCMP_A0(SCMP_CMP_NE, 0)}, /* 0: its own */
        {SCMP_SYS(prctl), EPERM, SCMP_A0(SCMP_CMP_EQ, PR_SET_PDEATHSIG)},
    };
    int code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    for (size_t i = 0; code == 0 && i < sizeof(filter_refused) / sizeof(filter_refused[0]); i++)
        code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), filter_refused[i], 0);
    for (size_t i = 0; code == 0 && i < sizeof(rules) / sizeof(rules[0]); i++)
        code = seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)rules[i].error), rules[i].call, 1,
                                rules[i].argument);
    /* A datagram socket, also one of a pair, sends to any address without connecting. */
    for (unsigned type = 0; code == 0 && type < FILTER_TYPES; type++) {
        struct scmp_arg_cmp is = SCMP_A1(SCMP_CMP_MASKED_EQ, FILTER_TYPES - 1, type);
        if (type == SOCK_STREAM)
            continue;
        code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1, is);
        if (code == 0)
            code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socketpair), 1, is);
    }
    return code;
}

/* The program as the kernel takes it, by way of a file in memory. */
static int filter_export(scmp_filter_ctx filter, struct sandbox *ret_sandbox)
{
    int CLEAN_CLOSE fd = memfd_create("gfxbridge-filter", MFD_CLOEXEC);
    int code = fd < 0 ? -errno : seccomp_export_bpf(filter, fd);
    off_t size = code == 0 ? lseek(fd, 0, SEEK_END) : 0;
    if (code < 0 || size <= 0)
        return code < 0 ? code : -EIO;
    struct sock_filter *program = xmalloc((size_t)size);
    if (pread(fd, program, (size_t)size, 0) != size) {
        free(program);
        return -EIO;
    }
    ret_sandbox->filter = program;
    ret_sandbox->n_filter = (size_t)size / sizeof(program[0]);
    return 0;
}

bool sandbox_has_filter(void)
{
    unsigned action = SECCOMP_RET_ERRNO;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW); /* NULL: not for this processor */
    seccomp_release(filter);
    return filter && syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

int sandbox_filter_new(enum sandbox_sockets sockets, struct sandbox *ret_sandbox)
{
    if (!sandbox_has_filter())
        return 0;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int code = filter ? 0 : -ENOMEM;
    if (code == 0) /* a table of calls with other numbers */
        code = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
    if (code == 0)
        code = filter_add_rules(filter) ?: filter_add_sockets(filter, sockets);
    if (code == 0)
        code = filter_export(filter, ret_sandbox);
    seccomp_release(filter);
    return code;
}

int sandbox_filter_enter(struct sandbox *sandbox)
{
    struct sock_filter *code = sandbox->filter;
    for (size_t i = 0; i < sandbox->n_filter; i++) {
        if (BPF_CLASS(code[i].code) == BPF_JMP && code[i].k == FILTER_SELF)
            code[i].k = (unsigned)getpid();
    }
    struct sock_fprog program = {(unsigned short)sandbox->n_filter, code};
    unsigned flags = sandbox->channel >= 0 ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
    if (!code)
        return 0;
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (listener < 0)
        return -errno;
    return flags ? sockets_send(sandbox->channel, (int)listener) : 0;
}
