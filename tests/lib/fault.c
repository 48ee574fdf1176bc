/*
 * fault.c - a preloaded library that counts the calls of one process and makes the n-th of a kind
 * fail, as curl's torture tests do.
 *
 * GFXB_FAULT_STATE names a file of sizeof(struct fault_state) zero bytes, where counts, call sites
 * and what failed are kept, so that they outlast any end of the process. GFXB_FAULT is "KIND N
 * ERRNO", or "KIND N ERRNO on" for the n-th and every later call; without it calls are only
 * counted, each with its call site. fault.py is the other side of both.
 *
 * Which calls count: those that the program's own code makes, and the system calls of libuv, which
 * is its event loop. Not epoll_ctl, which the program leaves to libuv, and not the one pipe that
 * libuv makes: it aborts when the kernel refuses these. Calls inside other libraries, the C library
 * and the sanitizer's run time do not count: they are other people's code. Neither do calls of
 * children, so that an engine is never touched, nor writes to anything but a regular file: a
 * failing write to a terminal or a pipe would hide the very sentence that a test looks for.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <unwind.h>

#define KINDS(X)                                                                                   \
    X(memory)                                                                                      \
    X(thread)                                                                                      \
    X(fork)                                                                                        \
    X(socket)                                                                                      \
    X(open)                                                                                        \
    X(write)                                                                                       \
    X(sync)                                                                                        \
    X(name)                                                                                        \
    X(map)
#define KIND_ENUM(name) KIND_##name,
#define KIND_NAME(name) #name,

enum kind { KINDS(KIND_ENUM) N_KINDS };

#define SITES_MAX  (1 << 17) /* calls of a kind whose sites are kept */
#define SITE_DEPTH 5         /* frames of the program that make a call site */
#define TRACE_MAX  16

/* fault.py reads this with the same offsets. */
struct fault_state {
    _Atomic uint64_t owner; /* the process whose calls count: the first of the program */
    _Atomic uint64_t count[N_KINDS];
    _Atomic uint64_t failed;   /* calls that were made to fail */
    uint64_t trace[TRACE_MAX]; /* where the first of them came from: offsets in the program */
    uint32_t site[N_KINDS][SITES_MAX];
};

static const char *const kind_names[] = {KINDS(KIND_NAME)};
static const char program[] = "gfxbridge"; /* what the name of the executable begins with */

/* Text of the program and of libuv. */
static struct {
    uintptr_t base, begin, end;
} own, loop;

static struct fault_state *state;
static pid_t owner;
static struct {
    bool set, on;
    enum kind kind;
    uint64_t n;
    int code;
} order;

static int object_find(struct dl_phdr_info *info, size_t size, void *unused)
{
    bool is_loop = strstr(info->dlpi_name, "/libuv.so") != NULL;
    if (info->dlpi_name[0] && !is_loop)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
            continue;
        uintptr_t begin = info->dlpi_addr + part->p_vaddr;
        if (is_loop && !loop.end) {
            loop.begin = begin, loop.end = begin + part->p_memsz;
        } else if (!is_loop && !own.end) {
            own.base = info->dlpi_addr, own.begin = begin, own.end = begin + part->p_memsz;
        }
    }
    return 0;
}

static bool is_own(const void *address)
{
    return (uintptr_t)address >= own.begin && (uintptr_t)address < own.end;
}

static bool is_loop(const void *address)
{
    return (uintptr_t)address >= loop.begin && (uintptr_t)address < loop.end;
}

struct trace {
    uint64_t *at;
    int n, max;
};

static _Unwind_Reason_Code trace_step(struct _Unwind_Context *frame, void *context)
{
    struct trace *trace = context;
    uintptr_t address = _Unwind_GetIP(frame);
    if (is_own((void *)address))
        trace->at[trace->n++] = address - own.base;
    return trace->n < trace->max ? _URC_NO_REASON : _URC_END_OF_STACK;
}

/* The innermost frames of the program, as offsets in it; the number of them. Not with backtrace(),
 * which loads a library at its first call. */
static int trace_take(uint64_t *ret_trace, int max)
{
    struct trace trace = {ret_trace, 0, max};
    _Unwind_Backtrace(trace_step, &trace);
    return trace.n;
}

static uint32_t site_hash(void)
{
    uint64_t trace[SITE_DEPTH], hash = 0xcbf29ce484222325u;
    int n = trace_take(trace, SITE_DEPTH);
    for (int i = 0; i < n; i++)
        hash = (hash ^ trace[i]) * 0x100000001b3u;
    return (uint32_t)(hash ^ hash >> 32);
}

/* Counts a call. true: it is the one that fails, and errno says how. */
static bool hit(enum kind kind, const void *caller)
{
    if (!state || getpid() != owner ||
        !(is_own(caller) || (kind != KIND_memory && is_loop(caller))))
        return false;
    int saved = errno;
    uint64_t n = atomic_fetch_add(&state->count[kind], 1) + 1;
    if (!order.set && n <= SITES_MAX)
        state->site[kind][n - 1] = site_hash();
    errno = saved;
    if (!order.set || kind != order.kind || n < order.n || (n > order.n && !order.on))
        return false;
    if (atomic_fetch_add(&state->failed, 1) == 0)
        trace_take(state->trace, TRACE_MAX);
    errno = order.code;
    return true;
}

static void order_read(const char *text)
{
    char kind[16], on[4] = "";
    unsigned long long n;
    int code;
    if (!text || sscanf(text, "%15s %llu %d %3s", kind, &n, &code, on) < 3)
        return;
    for (int i = 0; i < N_KINDS; i++) {
        if (strcmp(kind, kind_names[i]) == 0) {
            order.kind = (enum kind)i;
            order.set = true;
        }
    }
    order.n = n;
    order.code = code;
    order.on = on[0] != '\0';
}

/* An exec of the same process, from one program to the next, goes on counting. */
__attribute__((constructor)) static void fault_start(void)
{
    const char *path = getenv("GFXB_FAULT_STATE");
    if (!path || strncmp(program_invocation_short_name, program, sizeof(program) - 1) != 0)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *p =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        perror("fault.c: GFXB_FAULT_STATE");
        _exit(99);
    }
    close(fd);
    dl_iterate_phdr(object_find, NULL);
    order_read(getenv("GFXB_FAULT"));
    struct fault_state *s = p;
    uint64_t none = 0;
    owner = getpid();
    if (atomic_compare_exchange_strong(&s->owner, &none, (uint64_t)owner) ||
        none == (uint64_t)owner)
        state = s;
}

/* ---- the calls ---- */

/* They are defined under names of their own with the C library's as symbols: its headers rename
 * open to open64 and so on, and declare what we do not want to repeat. */
#define SYMBOL(name) __asm__(name) __attribute__((visibility("default")))

#define NEXT(name)                                                                                 \
    static __typeof__(fault_##name) *next;                                                         \
    if (!next)                                                                                     \
    next = (__typeof__(next))dlsym(RTLD_NEXT, #name)

/* One whose arguments are passed on as they are. RETURN: what a failing call returns. */
#define CALL(kind, RETURN, result, name, parameters, arguments)                                    \
    result fault_##name parameters SYMBOL(#name);                                                  \
    result fault_##name parameters                                                                 \
    {                                                                                              \
        NEXT(name);                                                                                \
        if (hit(KIND_##kind, __builtin_return_address(0)))                                         \
            return RETURN;                                                                         \
        return next arguments;                                                                     \
    }

CALL(memory, NULL, void *, malloc, (size_t n), (n))
CALL(memory, NULL, void *, calloc, (size_t n, size_t size), (n, size))
CALL(memory, NULL, void *, realloc, (void *p, size_t n), (p, n))
CALL(memory, NULL, void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size))
CALL(memory, NULL, char *, strdup, (const char *s), (s))
CALL(memory, NULL, char *, strndup, (const char *s, size_t n), (s, n))
CALL(memory, -1, int, vasprintf, (char **ret, const char *format, va_list args),
     (ret, format, args))

int fault_asprintf(char **ret, const char *format, ...) SYMBOL("asprintf");
int fault_asprintf(char **ret, const char *format, ...)
{
    NEXT(vasprintf);
    if (hit(KIND_memory, __builtin_return_address(0)))
        return -1;
    va_list args;
    va_start(args, format);
    int n = next(ret, format, args);
    va_end(args);
    return n;
}

/* It returns its error. */
CALL(thread, errno, int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attr, void *(*run)(void *), void *argument),
     (thread, attr, run, argument))
CALL(fork, -1, pid_t, fork, (void), ())
CALL(socket, -1, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
CALL(socket, -1, int, socketpair, (int domain, int type, int protocol, int pair[2]),
     (domain, type, protocol, pair))
CALL(socket, -1, int, accept, (int fd, struct sockaddr *address, socklen_t *n), (fd, address, n))
CALL(socket, -1, int, accept4, (int fd, struct sockaddr *address, socklen_t *n, int flags),
     (fd, address, n, flags))

/* All that make a descriptor that is no socket. */
#define OPEN(name)                                                                                 \
    int fault_##name(const char *path, int flags, mode_t mode) SYMBOL(#name);                      \
    int fault_##name(const char *path, int flags, mode_t mode)                                     \
    {                                                                                              \
        NEXT(name);                                                                                \
        return hit(KIND_open, __builtin_return_address(0)) ? -1 : next(path, flags, mode);         \
    }
#define OPENAT(name)                                                                               \
    int fault_##name(int dir, const char *path, int flags, mode_t mode) SYMBOL(#name);             \
    int fault_##name(int dir, const char *path, int flags, mode_t mode)                            \
    {                                                                                              \
        NEXT(name);                                                                                \
        return hit(KIND_open, __builtin_return_address(0)) ? -1 : next(dir, path, flags, mode);    \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
CALL(open, NULL, DIR *, opendir, (const char *path), (path))
CALL(open, NULL, DIR *, fdopendir, (int fd), (fd))
CALL(open, NULL, FILE *, fopen, (const char *path, const char *mode), (path, mode))
CALL(open, NULL, FILE *, fopen64, (const char *path, const char *mode), (path, mode))
CALL(open, NULL, FILE *, fdopen, (int fd, const char *mode), (fd, mode))
CALL(open, -1, int, mkostemp, (char *path, int flags), (path, flags))
CALL(open, -1, int, mkostemp64, (char *path, int flags), (path, flags))
CALL(open, -1, int, memfd_create, (const char *name, unsigned flags), (name, flags))
CALL(open, -1, int, eventfd, (unsigned count, int flags), (count, flags))
CALL(open, -1, int, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags))
CALL(open, -1, int, timerfd_create, (int clock, int flags), (clock, flags))
CALL(open, -1, int, epoll_create1, (int flags), (flags))
CALL(open, -1, int, dup, (int fd), (fd))

int fault_pipe2(int pair[2], int flags) SYMBOL("pipe2");
int fault_pipe2(int pair[2], int flags)
{
    NEXT(pipe2);
    const void *caller = __builtin_return_address(0);
    return is_own(caller) && hit(KIND_open, caller) ? -1 : next(pair, flags);
}

#define FCNTL(name)                                                                                \
    int fault_##name(int fd, int command, void *argument) SYMBOL(#name);                           \
    int fault_##name(int fd, int command, void *argument)                                          \
    {                                                                                              \
        NEXT(name);                                                                                \
        bool makes_one = command == F_DUPFD || command == F_DUPFD_CLOEXEC;                         \
        if (makes_one && hit(KIND_open, __builtin_return_address(0)))                              \
            return -1;                                                                             \
        return next(fd, command, argument);                                                        \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* Those that glibc of Debian 12 has no function for. */
long fault_syscall(long number, long a, long b, long c, long d, long e, long f) SYMBOL("syscall");
long fault_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    NEXT(syscall);
    bool makes_one = number == SYS_openat2 || number == SYS_pidfd_open;
    if (makes_one && hit(KIND_open, __builtin_return_address(0)))
        return -1;
    return next(number, a, b, c, d, e, f);
}

static bool is_file(int fd)
{
    struct stat st;
    return state && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* fd is the first argument of all of them. */
#define WRITE(RETURN, result, name, parameters, arguments)                                         \
    result fault_##name parameters SYMBOL(#name);                                                  \
    result fault_##name parameters                                                                 \
    {                                                                                              \
        NEXT(name);                                                                                \
        if (is_file(fd) && hit(KIND_write, __builtin_return_address(0)))                           \
            return RETURN;                                                                         \
        return next arguments;                                                                     \
    }
WRITE(-1, ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
WRITE(-1, ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n))
WRITE(-1, ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
WRITE(-1, ssize_t, pwrite64, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
WRITE(-1, int, ftruncate, (int fd, off_t size), (fd, size))
WRITE(-1, int, ftruncate64, (int fd, off_t size), (fd, size))
WRITE(-1, int, fallocate, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n))
WRITE(-1, int, fallocate64, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n))
WRITE(errno, int, posix_fallocate, (int fd, off_t at, off_t n), (fd, at, n))
WRITE(errno, int, posix_fallocate64, (int fd, off_t at, off_t n), (fd, at, n))

CALL(write, -1, ssize_t, copy_file_range,
     (int in, off_t *in_at, int out, off_t *out_at, size_t n, unsigned flags),
     (in, in_at, out, out_at, n, flags))

CALL(sync, -1, int, fsync, (int fd), (fd))
CALL(sync, -1, int, fdatasync, (int fd), (fd))
CALL(sync, -1, int, syncfs, (int fd), (fd))
CALL(sync, -1, int, sync_file_range, (int fd, off_t at, off_t n, unsigned flags),
     (fd, at, n, flags))

CALL(name, -1, int, rename, (const char *from, const char *to), (from, to))
CALL(name, -1, int, renameat, (int d1, const char *from, int d2, const char *to),
     (d1, from, d2, to))
CALL(name, -1, int, renameat2, (int d1, const char *from, int d2, const char *to, unsigned flags),
     (d1, from, d2, to, flags))
CALL(name, -1, int, link, (const char *from, const char *to), (from, to))
CALL(name, -1, int, linkat, (int d1, const char *from, int d2, const char *to, int flags),
     (d1, from, d2, to, flags))
CALL(name, -1, int, symlink, (const char *to, const char *path), (to, path))
CALL(name, -1, int, symlinkat, (const char *to, int dir, const char *path), (to, dir, path))
CALL(name, -1, int, mkdir, (const char *path, mode_t mode), (path, mode))
CALL(name, -1, int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode))
CALL(name, NULL, char *, mkdtemp, (char *path), (path))

CALL(map, MAP_FAILED, void *, mmap, (void *p, size_t n, int prot, int flags, int fd, off_t at),
     (p, n, prot, flags, fd, at))
CALL(map, MAP_FAILED, void *, mmap64, (void *p, size_t n, int prot, int flags, int fd, off_t at),
     (p, n, prot, flags, fd, at))
