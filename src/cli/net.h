/* net.h - how this user's packages are fetched: from the environment, with progress on a terminal.
 */
#ifndef CLI_NET_H
#define CLI_NET_H

#include "cli/cli.h"
#include "package/package.h"

/*
 * GFXBRIDGE_MIRROR, GFXBRIDGE_CA_FILE and the settings that sources of packages ask for; an empty
 * one counts as not set. Lends from the environment and cli.
 */
struct package_net cli_package_net(struct cli *cli);

#endif
