/* net.h - how this user's packages are fetched: from the environment, with progress on a terminal.
 */
#ifndef CLI_NET_H
#define CLI_NET_H

#include "cli/cli.h"
#include "package/package.h"

/*
 * GFXBRIDGE_MIRROR, GFXBRIDGE_CA_FILE, GFXBRIDGE_GITHUB, GFXBRIDGE_GITHUB_API, GFXBRIDGE_THEROCK
 * and GITHUB_TOKEN (else GH_TOKEN); an empty one counts as not set. Lends from the environment and
 * cli.
 */
struct package_net cli_package_net(struct cli *cli);

#endif
