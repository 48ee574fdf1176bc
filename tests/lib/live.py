"""A captured machine as this computer: the program runs live on its /sys and device nodes."""
import os
import shutil
import subprocess
import tempfile

import tap
from unpack import unpack

USER, GROUP, RENDER = 4321, 4321, 992

# A root of its own, so that no mark of a container is in it; the program and the data are where they
# are outside. The nodes are real ones, with /dev/null behind them. $1 is the tree, $2 the folders
# that are empty there, then the command.
SCRIPT = f"""
set -e
top=$1 hidden=$2 root=$1/root; shift 2
mount --make-rprivate /
mkdir "$root" && mount -t tmpfs none "$root"
for entry in /*; do
    if [ -L "$entry" ]; then cp -a "$entry" "$root$entry"
    elif [ -d "$entry" ]; then mkdir "$root$entry"
    fi
done
for entry in /*; do
    case $entry in /dev|/sys) continue;; esac
    if [ -d "$entry" ] && [ ! -L "$entry" ]; then mount --rbind "$entry" "$root$entry"; fi
done
cp -a "$top/sys/." "$root/sys/"
mkdir "$root/dev/dri"
for node in null zero full random urandom; do cp -a /dev/$node "$root/dev/$node"; done
for node in kfd dri/renderD128; do
    mknod -m 0660 "$root/dev/$node" c 1 3 && chown 0:{RENDER} "$root/dev/$node"
done
for folder in $hidden; do
    if [ -d "$root$folder" ]; then mount -t tmpfs none "$root$folder"; fi
done
mount --bind "$top/group" "$root/etc/group"
mount --bind "$top/passwd" "$root/etc/passwd"
exec chroot "$root" "$@"
"""
AS_USER = ["setpriv", "--reuid", str(USER), "--regid", str(GROUP), "--inh-caps=-all",
           "--bounding-set=-all"]


def run(capture, command, *, user=True, member=False, in_group=False, hidden=(), network=True,
        timeout=120):
    """The command on that computer, as an ordinary user or as root, and what came of it.

    member: the user's login has the group render; in_group: /etc/group says so; hidden: folders that
    are empty there; network: False for none at all. "HOME" in the command stands for the user's home.
    """
    if os.geteuid() != 0:
        raise tap.Skip("needs root, to make device nodes in a mount namespace")
    top = tempfile.mkdtemp(prefix="gfxbridge-live-")
    try:
        probe = 'mount -t tmpfs none "$0" && mknod "$0/node" c 1 3 && : > "$0/node"'
        made = subprocess.run(["unshare", "-m", "sh", "-c", probe, top], capture_output=True,
                              text=True, check=False)
        if made.returncode != 0:
            raise tap.Skip("no mount namespace with device nodes here: " + made.stderr.strip())
        os.chmod(top, 0o755)
        unpack(capture, top)
        home = os.path.join(top, "home")
        os.makedirs(home)
        os.chown(home, USER, GROUP)
        plain = "plain" if in_group else ""
        with open(os.path.join(top, "group"), "w", encoding="utf-8") as f:
            f.write(f"root:x:0:\nplain:x:{GROUP}:\nrender:x:{RENDER}:{plain}\n")
        with open(os.path.join(top, "passwd"), "w", encoding="utf-8") as f:
            f.write("root:x:0:0:root:/root:/bin/sh\n"
                    f"plain:x:{USER}:{GROUP}:plain:{home}:/bin/sh\n")
        groups = [f"--groups={RENDER}" if member else "--clear-groups"]
        return subprocess.run(["unshare", "-m" if network else "-mn", "sh", "-c", SCRIPT, "sh", top,
                               " ".join(hidden),
                               *(AS_USER + groups if user else []),
                               *(word.replace("HOME", home) for word in command)],
                              env={"HOME": home, "PATH": os.environ["PATH"]}, capture_output=True,
                              text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    finally:
        shutil.rmtree(top, ignore_errors=True)
