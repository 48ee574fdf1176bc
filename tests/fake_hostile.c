/*
 * fake_hostile.c - what a hostile engine would try: lines "try KIND ARGUMENT" of the double's
 * behaviour. Each is tried at once and its outcome is told on stderr, "try KIND: done" or the
 * errno's text, so that a test sees the same attempt with the sandbox and without.
 *
 *   write FILE, read FILE, list DIR, cut FILE, mode FILE, move FILE (into the working directory),
 *   link FILE (a hard link to it, there)
 *   tcp PORT, udp PORT, unix PATH                connect
 *   kill PID                                     signal 0
 *   spawn -                                      a child in a session of its own
 *   stay -                                       outlive the parent; "stays PID" tells who would
 */
#include "fake_hostile.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
    return fd;
}

static int try_write(const char *path)
{
    return try_open(path, O_WRONLY | O_CREAT);
}

static int try_read(const char *path)
{
    return try_open(path, O_RDONLY);
}

static int try_list(const char *path)
{
    DIR *dir = opendir(path);
    if (dir)
        closedir(dir);
    return dir ? 0 : -1;
}

static int try_cut(const char *path)
{
    return truncate(path, 0);
}

static int try_mode(const char *path)
{
    return chmod(path, 0777);
}

static int try_move(const char *path)
{
    return rename(path, "moved");
}

static int try_link(const char *path)
{
    return link(path, "linked");
}

static int try_inet(const char *port, int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)strtoul(port, NULL, 10)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    int result = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof(address));
    if (fd >= 0)
        close(fd);
    return result;
}

static int try_tcp(const char *port)
{
    return try_inet(port, SOCK_STREAM);
}

static int try_udp(const char *port)
{
    return try_inet(port, SOCK_DGRAM);
}

static int try_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int result = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof(address));
    if (fd >= 0)
        close(fd);
    return result;
}

static int try_kill(const char *pid)
{
    return kill((pid_t)strtol(pid, NULL, 10), 0);
}

static int try_spawn(const char *nothing)
{
    (void)nothing;
    pid_t pid = fork();
    if (pid == 0)
        _exit(setsid() < 0);
    return pid < 0 ? -1 : waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

/* Give up everything that ends this process with its parent, and leave a grandchild in a session of
 * its own. Tells who stays when the parent is killed. */
static int try_stay(const char *nothing)
{
    (void)nothing;
    prctl(PR_SET_PDEATHSIG, 0);
    setpgid(0, getpgid(getppid()));
    pid_t pid = fork();
    for (int i = 0; pid == 0 && (i > 0 || setsid() > 0) && i < 60; i++)
        sleep(1);
    if (pid == 0)
        _exit(0);
    int code = errno;
    fprintf(stderr, "stays %d\n", (int)(pid < 0 ? getpid() : pid));
    errno = code;
    return pid < 0 ? -1 : 0;
}

void hostile_try(const char *line)
{
    static const struct {
        const char *kind;
        int (*act)(const char *argument);
    } kinds[] = {
        {"write", try_write}, {"read", try_read}, {"list", try_list}, {"cut", try_cut},
        {"mode", try_mode},   {"move", try_move}, {"link", try_link}, {"tcp", try_tcp},
        {"udp", try_udp},     {"unix", try_unix}, {"kill", try_kill}, {"spawn", try_spawn},
        {"stay", try_stay},
    };
    size_t n = strcspn(line, " ");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strlen(kinds[i].kind) != n || strncmp(kinds[i].kind, line, n) != 0)
            continue;
        errno = 0;
        int result = kinds[i].act(line[n] ? line + n + 1 : "");
        fprintf(stderr, "try %s: %s\n", kinds[i].kind, result < 0 ? strerror(errno) : "done");
    }
}
