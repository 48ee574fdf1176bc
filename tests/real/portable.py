#!/usr/bin/env python3
"""portable.py GFXBRIDGE: the portable archive of this build on other systems: Debian 11, 12, 13 and sid
made by debootstrap, and a folder with the C library and the core utilities alone. On each it installs
an engine from a bundle, proves it and answers, as a user without rights where the system has users."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from chroot import Root, run  # noqa: E402
from gfxbridge import SOURCE, call, need_engine, temporary  # noqa: E402

TOP = temporary("gfxbridge-portable-")
DATA = os.path.join(TOP, "data")
BUNDLE = os.path.join(TOP, "engine.bundle")
QUESTION = "Which gfx is the Radeon RX 7900 XT?"
MADE = []
PLACE = "/tmp/a folder/gfxbridge"


def is_made():
    build = os.environ["GFXB_BUILD"]
    release = os.path.join(os.path.dirname(build), "run")
    said = run(os.path.join(SOURCE, "tools", "make-portable"),
               release if os.path.exists(release) else build, TOP, env={**os.environ, "XZ_OPT": "-0"})
    need_engine(DATA)
    call("--data-dir", DATA, "backends", "bundle", BUNDLE, "llamacpp:cpu", timeout=600)
    MADE.append(said.splitlines()[-1])


def unpack(root):
    os.makedirs(root.at(PLACE))
    run("tar", "-xJf", MADE[0], "--strip-components=1", "-C", root.at(PLACE))
    shutil.copy(BUNDLE, root.at("tmp/engine.bundle"))
    os.makedirs(root.at("tmp/home"))
    os.chown(root.at("tmp/home"), 65534, 65534)


def answers(inside, program):
    assert "gfx1151" in inside(program, "explain", "8060s")
    assert "gfx1100" in inside(program, "demo")
    inside(program, "table", "check")
    inside(program, "--no-network", "backends", "install", "--from", "/tmp/engine.bundle")
    said = inside(program, "--no-network", "run", QUESTION)
    assert said.strip() == "The Radeon RX 7900 XT is gfx1100.", said


def system(release):
    if not MADE:
        raise tap.Skip("it was not made")
    if os.geteuid() != 0:
        raise tap.Skip("only root may chroot")
    root = Root(os.path.join(TOP, release))
    try:
        if release == "bare":
            folder = os.path.join(TOP, "packages")
            os.makedirs(folder)
            root.unpack(folder, "libc6", "coreutils", "libacl1", "libattr1", "libgmp10",
                        "libselinux1", "libpcre2-8-0")
            unpack(root)
            assert not os.path.exists(root.at("bin/sh"))
            answers(root.inside, PLACE + "/gfxbridge")
            return
        root.debootstrap(release)
        unpack(root)

        def inside(*words):
            return root.inside(*words, user="nobody", home="/tmp/home")
        inside(PLACE + "/install")
        answers(inside, "/tmp/home/.local/bin/gfxbridge")
        inside("/tmp/home/.local/lib/gfxbridge/install", "--remove")
        assert not os.path.exists(root.at("tmp/home/.local/bin/gfxbridge"))
    finally:
        root.remove()


os.umask(0o022)
tap.run([("the archive and a bundle are made", is_made)] +
        [(f"it installs, proves an engine and answers in {name}", lambda r=r: system(r))
         for name, r in (("a bare folder", "bare"), ("Debian 11", "bullseye"),
                         ("Debian 12", "bookworm"), ("Debian 13", "trixie"),
                         ("Debian sid", "sid"))])
