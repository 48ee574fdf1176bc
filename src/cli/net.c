#include "cli/net.h"

#include <inttypes.h>

static const char *net_setting(void *context, const char *name)
{
    (void)context;
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* One line on a terminal, written over itself. */
static void net_show(void *context, const char *what, const struct fetch_progress *p)
{
    const struct cli *cli = context;
    if (cli->quiet || !isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K%s: %.1f", what, (double)p->bytes / 1e6);
    if (p->total)
        fprintf(stderr, " of %.1f", (double)p->total / 1e6);
    fprintf(stderr, " MB");
    if (p->bytes_per_second)
        fprintf(stderr, ", %.1f MB/s", (double)p->bytes_per_second / 1e6);
    if (p->bytes < p->total && p->remaining_seconds >= 0)
        fprintf(stderr, ", %" PRId64 ":%02" PRId64 " left", p->remaining_seconds / 60,
                p->remaining_seconds % 60);
    if (p->total && p->bytes >= p->total)
        fputc('\n', stderr);
}

struct package_net cli_package_net(struct cli *cli)
{
    return (struct package_net){
        .fetch = {.mirror = net_setting(NULL, "GFXBRIDGE_MIRROR"),
                  .ca_file = net_setting(NULL, "GFXBRIDGE_CA_FILE")},
        .setting = net_setting,
        .progress = net_show,
        .context = cli,
    };
}
