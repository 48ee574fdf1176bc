#!/usr/bin/env python3
"""permission.py GFXBRIDGE: an ordinary user whose device nodes may not be opened, and the remedy.

In a mount namespace of its own: /sys and /dev are those of a captured machine with a Radeon RX 7800
XT, with real device nodes that belong to root and the group render, and /etc/group is the test's.
The program runs live there, as a user without rights.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, machine  # noqa: E402
from unpack import unpack  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge-permission-")
USER, GROUP, RENDER = 4321, 4321, 992

# A root of its own, so that no mark of a container is in it; the program and the data are where they
# are outside. The nodes are real ones, with /dev/null behind them: opening is what is asked. $1 is
# the tree, $2 the user's other groups, then the command.
SCRIPT = f"""
set -e
top=$1 groups=$2 root=$1/root; shift 2
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
mount --bind "$top/group" "$root/etc/group"
mount --bind "$top/passwd" "$root/etc/passwd"
exec chroot "$root" setpriv --reuid {USER} --regid {GROUP} $groups --inh-caps=-all \\
    --bounding-set=-all "$@"
"""


def run(*arguments, member=False, in_group=False):
    """gfxbridge as that user. member: the login has the group; in_group: /etc/group says so."""
    if os.geteuid() != 0:
        raise tap.Skip("needs root, to make device nodes in a mount namespace")
    probe = 'mount -t tmpfs none "$0" && mknod "$0/node" c 1 3 && : > "$0/node"'
    made = subprocess.run(["unshare", "-m", "sh", "-c", probe, TOP], capture_output=True, text=True,
                          check=False)
    if made.returncode != 0:
        raise tap.Skip("no mount namespace with device nodes here: " + made.stderr.strip())
    top = tempfile.mkdtemp(dir=TOP)
    os.chmod(top, 0o755)
    unpack(machine("rx7800xt"), top)
    home = os.path.join(top, "home")
    os.makedirs(home)
    os.chown(home, USER, GROUP)
    with open(os.path.join(top, "group"), "w", encoding="utf-8") as f:
        f.write(f"root:x:0:\nplain:x:{GROUP}:\nrender:x:{RENDER}:{'plain' if in_group else ''}\n")
    with open(os.path.join(top, "passwd"), "w", encoding="utf-8") as f:
        f.write(f"root:x:0:0:root:/root:/bin/sh\nplain:x:{USER}:{GROUP}:plain:{home}:/bin/sh\n")
    groups = f"--groups={RENDER}" if member else "--clear-groups"
    done = subprocess.run(["unshare", "-m", "sh", "-c", SCRIPT, "sh", top, groups, PROGRAM,
                           *arguments, "--json", "--data-dir", os.path.join(home, "data")],
                          env={"HOME": home, "PATH": os.environ["PATH"]}, capture_output=True,
                          text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.stdout.startswith("{"), (done.returncode, done.stderr)
    return json.loads(done.stdout)


def rocm(plan):
    return next(c for c in plan["choices"] if c["backend"] == "rocm")


def rung(choice, name):
    return next(e for e in choice["evidence"] if e["rung"] == name)


def without_the_group():
    choice = rocm(run("plan"))
    assert choice["state"] == "rejected" and choice["code"] == "kfd-permission", choice
    assert f"render ({RENDER})" in choice["reason"], choice
    assert not rung(choice, "E2")["ok"], choice
    value = run("detect")
    assert value["kfd"]["present"] and not value["kfd"]["openable"], value["kfd"]
    assert value["gpus"][0]["render_openable"] is False, value["gpus"][0]


def doctor_gives_the_remedy():
    found = {f["code"]: f for f in run("doctor")["findings"]}
    assert f"render ({RENDER})" in found["kfd-permission"]["why"], found
    for code in ("kfd-permission", "render-permission"):
        assert found[code]["remedy"].startswith('sudo usermod -aG render "$USER"'), found[code]


def the_login_is_older_than_the_group():
    found = {f["code"]: f for f in run("doctor", in_group=True)["findings"]}
    assert found["kfd-permission"]["remedy"].startswith("log out and in again"), found
    assert "in the group render" in found["kfd-permission"]["remedy"], found


def after_the_remedy_the_rung_passes():
    choice = rocm(run("plan", member=True, in_group=True))
    assert choice["state"] == "usable" or choice["code"] not in ("kfd-permission",
                                                                 "render-permission"), choice
    assert rung(choice, "E2")["ok"], choice
    value = run("detect", member=True, in_group=True)
    assert value["kfd"]["openable"] and value["gpus"][0]["render_openable"], value
    codes = {f["code"] for f in run("doctor", member=True, in_group=True)["findings"]}
    assert not codes & {"kfd-permission", "render-permission"}, codes


os.chmod(TOP, 0o755)
try:
    tap.run([
        ("without the group: the code, the group's name and gid", without_the_group),
        ("doctor: the remedy as a command", doctor_gives_the_remedy),
        ("in the group, but the login is older", the_login_is_older_than_the_group),
        ("after the remedy the rung passes", after_the_remedy_the_rung_passes),
    ])
finally:
    shutil.rmtree(TOP, ignore_errors=True)
