#include "http/notify.h"

#include "base/base.h"

#include <sys/socket.h>
#include <sys/un.h>

void notify_manager(const char *state)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = name ? strlen(name) : 0;
    if (n < 2 || n >= sizeof(address.sun_path) || (name[0] != '/' && name[0] != '@'))
        return;
    memcpy(address.sun_path, name, n);
    if (name[0] == '@') /* not in the file system */
        address.sun_path[0] = '\0';
    int CLEAN_CLOSE fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

long notify_interval_ms(void)
{
    const char *wanted = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t number, own;
    if (!wanted || str_to_u64(str_from(wanted), 10, &number) < 0 || number > INT32_MAX)
        return 0;
    if (pid && (str_to_u64(str_from(pid), 10, &own) < 0 || (int)own != getpid()))
        return 0;
    return (long)(number / 2000);
}
