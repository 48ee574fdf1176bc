#!/usr/bin/env python3
"""deb.py GFXBRIDGE: the .deb of this tree, checked by lintian, installed, run and removed in Debian
13 made anew by debootstrap, from the archive that this computer's apt is set up for; then the tree
itself is built and run there by the README's first command."""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from chroot import Root, run  # noqa: E402
from gfxbridge import SOURCE  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge-deb-")
DEBIAN = Root(os.path.join(TOP, "root"))
ROOT = DEBIAN.path
QUESTION = "Which gfx is the Radeon RX 7900 XT?"
BUILT = []
inside = DEBIAN.inside


def files():
    """Every path of the root but what changes by itself."""
    skip = ("/proc", "/sys", "/dev", "/tmp", "/root", "/var/cache", "/var/lib/apt", "/var/log",
            "/var/lib/dpkg", "/etc/ld.so.cache", "/run", "/etc/resolv.conf")
    found = set()
    for directory, names, plain in os.walk(ROOT):
        inner = directory[len(ROOT):] or "/"
        names[:] = [n for n in names if not os.path.join(inner, n).startswith(skip)]
        found |= {os.path.join(inner, n) for n in plain}
    return {path for path in found if not path.startswith(skip)}


def builds():
    out = run(os.path.join(SOURCE, "tools", "make-deb"), TOP)
    BUILT.append(out.split()[-1])
    assert os.path.getsize(BUILT[0]) > 100000


def package():
    if not BUILT:
        raise tap.Skip("it was not built")
    return BUILT[0]


def lintian_has_no_error():
    out = subprocess.run(["lintian", "--fail-on", "error", package()], capture_output=True,
                         text=True)
    assert out.returncode == 0, out.stdout


def debian_13_is_made():
    DEBIAN.debootstrap("trixie")
    DEBIAN.reach_the_archive()


def need_root():
    if not os.path.exists(os.path.join(ROOT, "usr/bin/apt-get")):
        raise tap.Skip("there is no Debian 13 to install in")


def installs_and_runs():
    need_root()
    shutil.copy(package(), os.path.join(ROOT, "tmp/gfxbridge.deb"))
    inside("apt-get", "install", "-y", "-qq", "--no-install-recommends", "ca-certificates")
    BUILT.append(files())
    said = inside("apt-get", "install", "-y", "-qq", "--no-install-recommends",
                  "/tmp/gfxbridge.deb")
    assert "gfxbridge doctor" in said, said
    assert "gfx1100" in inside("gfxbridge", "explain", "Radeon RX 7900 XTX")
    inside("gfxbridge", "table", "check")
    assert inside("gfxbridge", "run", QUESTION).strip() == "The Radeon RX 7900 XT is gfx1100."


def removes_cleanly():
    need_root()
    inside("apt-get", "purge", "-y", "-qq", "gfxbridge")
    inside("apt-get", "autoremove", "-y", "-qq")
    left = {path for path in files() - BUILT[1] if "gfxbridge" in path}
    assert not left, left


def tree_builds_there():
    need_root()
    tree = os.path.join(ROOT, "root/gfxbridge")
    os.makedirs(tree)
    archive = subprocess.run(["git", "-C", SOURCE, "archive", "HEAD"], capture_output=True,
                             check=True).stdout
    subprocess.run(["tar", "-x", "-C", tree], input=archive, check=True)
    inside("apt-get", "install", "-y", "-qq", "--no-install-recommends", "make")
    said = inside("make", "-s", "-C", "/root/gfxbridge", "run")
    assert "The Radeon RX 7900 XT is gfx1100." in said, said


try:
    tap.run([
        ("the package is built from the tree", builds),
        ("lintian finds no error", lintian_has_no_error),
        ("Debian 13 is made by debootstrap", debian_13_is_made),
        ("it is installed there and answers", installs_and_runs),
        ("it is removed and nothing of it is left", removes_cleanly),
        ("the tree is built and run there", tree_builds_there),
    ])
finally:
    DEBIAN.remove()
    shutil.rmtree(TOP, ignore_errors=True)
