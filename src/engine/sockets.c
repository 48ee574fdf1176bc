/*
 * sockets.c - sockets for an engine without a network: what it takes for TCP connections to workers
 * (or from them) are unix sockets that a thread of ours puts in their place.
 *
 * llama.cpp's RPC knows TCP only. The filter passes socket, connect and bind to this thread
 * (seccomp user notification) and the kernel never runs them: socket gives a unix socket,
 * connect to 127.0.0.1:N one that is connected to the N-th remote, bind the one that a worker
 * listens on. The thread reads the engine's memory once and acts on its own copy.
 */
#include "engine/engine_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

struct sockets {
    pthread_t thread;
    int listener;                 /* seccomp's */
    int stop;                     /* an eventfd; readable: the thread ends */
    int bound;                    /* for a worker; -1 */
    struct engine_remote *remote; /* owned copy; names and contexts are lent */
    size_t n_remotes;
    bool runs; /* the thread */
};

int engine_remotes_possible(bool off, struct gfxb_error *err)
{
    unsigned action = SECCOMP_RET_USER_NOTIF;
    if (off)
        return error_set(err, GFXB_E_POLICY,
                         "models over several computers need the engine's sandbox, which is "
                         "switched off by GFXBRIDGE_SANDBOX");
    if (!sandbox_has_filter() || syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
        return error_set(err, GFXB_E_KERNEL_QUIRK,
                         "models over several computers need seccomp user notification (Linux 5.9 "
                         "or newer), which this kernel does not offer");
    return 0;
}

/* ---- the listener's way out of the child ---- */

union sockets_control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int sockets_send(int channel, int fd)
{
    union sockets_control control = {.bytes = {0}};
    struct iovec byte = {.iov_base = "", .iov_len = 1};
    struct msghdr message = {.msg_iov = &byte,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    control.header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    return sendmsg(channel, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* A descriptor, or -errno. */
static int sockets_receive(int channel)
{
    union sockets_control control = {.bytes = {0}};
    char byte;
    struct iovec place = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &place,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    int fd;
    ssize_t n = recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_RIGHTS || (message.msg_flags & MSG_CTRUNC))
        return -EMFILE;
    memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    return fd;
}

/* ---- one call of the engine's ---- */

/* Give the engine a copy of fd, at this number of its own (-1: the next free one). The number, or
 * -errno. */
static int sockets_give(const struct sockets *s, uint64_t id, int fd, int number, bool cloexec)
{
    struct seccomp_notif_addfd give = {
        .id = id,
        .flags = number >= 0 ? SECCOMP_ADDFD_FLAG_SETFD : 0,
        .srcfd = (unsigned)fd,
        .newfd = number >= 0 ? (unsigned)number : 0,
        .newfd_flags = cloexec ? O_CLOEXEC : 0,
    };
    int given = ioctl(s->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &give);
    return given < 0 ? -errno : given;
}

/* Which remote does the address name? It may be of any family, and at any place. */
static const struct engine_remote *sockets_remote(const struct sockets *s,
                                                  const struct seccomp_notif *call)
{
    struct sockaddr_in to = {.sin_family = AF_UNSPEC};
    char path[64];
    snprintf(path, sizeof(path), "/proc/%u/mem", call->pid);
    int CLEAN_CLOSE memory = open(path, O_RDONLY | O_CLOEXEC);
    /* The thread is still the one that called: its memory is the engine's. */
    if (memory < 0 || seccomp_notify_id_valid(s->listener, call->id) != 0 ||
        call->data.args[2] < sizeof(to) ||
        pread(memory, &to, sizeof(to), (off_t)call->data.args[1]) != sizeof(to))
        return NULL;
    size_t port = ntohs(to.sin_port);
    bool known = to.sin_family == AF_INET && to.sin_addr.s_addr == htonl(INADDR_LOOPBACK) &&
                 port >= 1 && port <= s->n_remotes;
    return known ? &s->remote[port - 1] : NULL;
}

/* 0 or the value, or -errno, of the call. */
static int sockets_answer(const struct sockets *s, const struct seccomp_notif *call)
{
    int number = (int)call->data.args[0]; /* of connect and bind */
    if (call->data.nr == SCMP_SYS(socket)) {
        int type = (int)call->data.args[1];
        int CLEAN_CLOSE fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        return fd < 0 ? -errno : sockets_give(s, call->id, fd, -1, type & SOCK_CLOEXEC);
    }
    if (number < 0)
        return -EBADF;
    if (call->data.nr == SCMP_SYS(bind))
        return s->bound >= 0 && sockets_give(s, call->id, s->bound, number, true) >= 0 ? 0
                                                                                       : -EACCES;
    const struct engine_remote *remote = sockets_remote(s, call);
    int CLEAN_CLOSE fd = remote ? remote->connect(remote->context) : -ECONNREFUSED;
    if (fd < 0)
        return fd;
    int given = sockets_give(s, call->id, fd, number, true);
    return given < 0 ? given : 0;
}

static void *sockets_thread(void *context)
{
    const struct sockets *s = context;
    struct seccomp_notif *call = NULL;
    struct seccomp_notif_resp *reply = NULL;
    struct pollfd poller[] = {{s->listener, POLLIN, 0}, {s->stop, POLLIN, 0}};
    if (seccomp_notify_alloc(&call, &reply) != 0)
        return NULL;
    for (;;) {
        int ready = poll(poller, 2, -1);
        if (ready < 0 && errno == EINTR)
            continue;
        /* Without POLLIN: nobody is left who could call. */
        if (ready < 0 || poller[1].revents || !(poller[0].revents & POLLIN))
            break;
        memset(call, 0, sizeof(*call));
        if (seccomp_notify_receive(s->listener, call) != 0)
            continue; /* it has ended meanwhile */
        int value = sockets_answer(s, call);
        memset(reply, 0, sizeof(*reply));
        reply->id = call->id;
        reply->val = value < 0 ? 0 : value;
        reply->error = value < 0 ? value : 0;
        seccomp_notify_respond(s->listener, reply);
    }
    seccomp_notify_free(call, reply);
    return NULL;
}

/* ---- start and stop ---- */

/* A unix socket at this path; the worker's own listen makes it answer. A descriptor or -errno. */
static int sockets_bind(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path); /* of a rundir: it fits */
    if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    int code = -errno;
    close(fd);
    return code;
}

/* Does the kernel put descriptors into other processes (Linux 5.9)? It says ENOENT: no call has
 * this number. */
static bool sockets_can_give(const struct sockets *s)
{
    return sockets_give(s, UINT64_MAX, s->stop, -1, true) == -ENOENT;
}

void sockets_close(struct sockets *s)
{
    if (!s)
        return;
    if (s->runs && eventfd_write(s->stop, 1) == 0)
        pthread_join(s->thread, NULL);
    for (size_t i = 0; i < 3; i++) {
        int fd = (const int[]){s->listener, s->stop, s->bound}[i];
        if (fd >= 0)
            close(fd);
    }
    free(s->remote);
    free(s);
}

int sockets_start(int channel, const struct engine_spec *spec, const char *bind_at,
                  struct sockets **ret_sockets, struct gfxb_error *err)
{
    struct sockets *s = xmalloc(sizeof(*s));
    *s = (struct sockets){.listener = sockets_receive(channel), .stop = -1, .bound = -1};
    s->remote = xreallocarray(NULL, spec->n_remotes + 1, sizeof(s->remote[0]));
    for (size_t i = 0; i < spec->n_remotes; i++)
        s->remote[s->n_remotes++] = spec->remote[i];
    int code = s->listener < 0 ? s->listener : 0;
    if (code == 0 && (s->stop = eventfd(0, EFD_CLOEXEC)) < 0)
        code = -errno;
    if (code == 0 && bind_at && (s->bound = sockets_bind(bind_at)) < 0)
        code = s->bound;
    if (code == 0 && !sockets_can_give(s)) {
        sockets_close(s);
        return error_set(err, GFXB_E_KERNEL_QUIRK,
                         "models over several computers need Linux 5.9 or newer");
    }
    if (code == 0) {
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        code = -pthread_create(&s->thread, NULL, sockets_thread, s);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    s->runs = code == 0;
    if (code == 0) {
        *ret_sockets = s;
        return 0;
    }
    sockets_close(s);
    return error_set(err, -code, "cannot give the engine its sockets: %s", error_errno_text(-code));
}
