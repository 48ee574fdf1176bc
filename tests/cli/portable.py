#!/usr/bin/env python3
"""portable.py GFXBRIDGE: the portable archive of this build, unpacked, started in a root where there is
nothing else, installed and removed. tests/real/portable.py starts it on other systems."""
import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import SOURCE, temporary  # noqa: E402

# A blank, and the character that separates folders in LD_LIBRARY_PATH.
TOP = os.path.join(temporary("gfxbridge-portable-"), "a folder: mine")
HOME = os.path.join(TOP, "home of mine")
LEAKS = {"ASAN_OPTIONS": "detect_leaks=0"}  # the leak checker needs /proc


def release():
    """The build that people get, where it is here; what it is made of is the same in any."""
    build = os.environ["GFXB_BUILD"]
    run = os.path.join(os.path.dirname(build), "run")
    return run if os.path.exists(os.path.join(run, "src/cli/gfxbridge")) else build


def start(*words, code=0, **options):
    env = {**os.environ, **LEAKS, "HOME": HOME, **options.pop("env", {})}
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env=env, **options)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def folder():
    found = glob.glob(os.path.join(TOP, "gfxbridge-*-linux-*/"))
    if not found:
        raise tap.Skip("it was not made")
    return found[0].rstrip("/")


def is_made():
    os.makedirs(HOME)
    said = start(os.path.join(SOURCE, "tools", "make-portable"), release(), TOP,
                 env={"XZ_OPT": "-0"})
    start("tar", "-xJf", said.splitlines()[-1], "-C", TOP)
    assert os.path.exists(os.path.join(folder(), "licences", "libc6.txt"))


def starts_from_any_folder():
    program = os.path.join(folder(), "gfxbridge")
    link = os.path.join(TOP, "link")
    os.symlink(program, link)
    for words in ([program], [link], ["./gfxbridge"]):
        assert "gfx1100" in start(*words, "explain", "RX 7900 XTX", cwd=folder())
    assert start(program, "no-such-command", code=2) == ""
    used = start(program, env={"LD_TRACE_LOADED_OBJECTS": "1"})
    outside = [line for line in used.splitlines() if "=> /" in line and
               folder() not in line]
    assert "libc.so.6" in used and not outside, used


def starts_itself():
    """`launch` starts a server, which is the program again: not the loader."""
    agent = os.path.join(temporary("gfxbridge-agents-"), "claude")  # PATH takes no colon, which TOP has
    with open(agent, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\nexit 7\n")
    os.chmod(agent, 0o755)
    env = {"PATH": os.path.dirname(agent) + ":" + os.environ["PATH"], "GFXBRIDGE_PORT": "0",
           "HOME": temporary("gfxbridge-home-"), "XDG_RUNTIME_DIR": temporary("gfxbridge-run-")}
    start(os.path.join(folder(), "gfxbridge"), "launch", "claude", "--model", "canary", code=7, env=env)


def needs_nothing_else():
    if os.geteuid() != 0:
        raise tap.Skip("only root may chroot")
    said = start("chroot", folder(), "/gfxbridge", "explain", "8060s")
    assert "gfx1151" in said, said


def licences_are_whole():
    """Every library's package has its licence, and every text that a licence refers to is there."""
    texts = os.path.join(folder(), "licences")
    with open(os.path.join(texts, "README.txt"), encoding="utf-8") as f:
        packages = re.findall(r"^(\S+) \S+, source", f.read(), re.M)
    assert len(packages) > 10, packages
    names = set(os.listdir(texts))
    assert {p + ".txt" for p in packages} <= names
    for name in names:
        with open(os.path.join(texts, name), encoding="utf-8", errors="replace") as f:
            wanted = set(re.findall(r"/usr/share/common-licenses/([A-Z][\w.-]*\d)", f.read()))
        assert wanted <= names, (name, wanted - names)


def installs_and_goes():
    before = sorted(os.listdir(HOME))
    install = os.path.join(folder(), "install")
    for _ in range(2):  # the second one replaces the first
        said = start(install)
    assert "is not in your PATH yet" in said, said
    local = os.path.join(HOME, ".local")
    program = os.path.join(local, "bin/gfxbridge")
    assert start(program, "--version").startswith("gfxbridge ")
    with open(os.path.join(local, "share/systemd/user/gfxbridge.service"), encoding="utf-8") as f:
        assert f'ExecStart="{program}" serve\n' in f.read()
    for name in ("bash-completion/completions/gfxbridge", "zsh/site-functions/_gfxbridge",
                 "fish/vendor_completions.d/gfxbridge.fish", "man/man1/gfxbridge.1"):
        assert os.path.getsize(os.path.join(local, "share", name)) > 0
    start(os.path.join(local, "lib/gfxbridge/install"), "--remove")
    assert not [f for _, _, files in os.walk(HOME) for f in files]
    start(install, "--remove", code=1)
    assert sorted(set(os.listdir(HOME)) - {".local"}) == before


def spares_another_program():
    bin_folder = os.path.join(HOME, "other", "bin")
    os.makedirs(bin_folder)
    with open(os.path.join(bin_folder, "gfxbridge"), "w", encoding="utf-8") as f:
        f.write("theirs")
    start(os.path.join(folder(), "install"), code=1, env={"PREFIX": os.path.dirname(bin_folder)})
    with open(os.path.join(bin_folder, "gfxbridge"), encoding="utf-8") as f:
        assert f.read() == "theirs"
    lib_folder = os.path.join(HOME, "another", "lib", "gfxbridge")
    os.makedirs(lib_folder)
    start(os.path.join(folder(), "install"), code=1, env={"PREFIX": os.path.join(HOME, "another")})
    assert os.listdir(lib_folder) == []


def installed_copy_stays():
    """Also where PREFIX is reached by a link: it must not remove the folder that it installs from."""
    real, linked = os.path.join(HOME, "real"), os.path.join(HOME, "linked")
    os.makedirs(real)
    os.symlink(real, linked)
    start(os.path.join(folder(), "install"), env={"PREFIX": linked})
    start(os.path.join(linked, "lib/gfxbridge/install"), code=1, env={"PREFIX": linked})
    assert start(os.path.join(linked, "bin/gfxbridge"), "--version").startswith("gfxbridge ")


def interrupted_is_replaced():
    """What an interrupted installation left is no other program's."""
    prefix = os.path.join(HOME, "interrupted")
    start(os.path.join(folder(), "install"), env={"PREFIX": prefix})
    with open(os.path.join(prefix, "lib/gfxbridge/installed"), "w", encoding="utf-8") as f:
        f.write("bin/gfxbridge\n")
    start(os.path.join(folder(), "install"), env={"PREFIX": prefix})
    start(os.path.join(folder(), "install"), "--remove", env={"PREFIX": prefix})
    assert not [f for _, _, files in os.walk(prefix) for f in files]


tap.run([
    ("the archive is made and unpacked", is_made),
    ("it starts from any folder, through a link, with its own libraries", starts_from_any_folder),
    ("it can start itself, as launch does", starts_itself),
    ("it needs nothing of the system", needs_nothing_else),
    ("every library's licence is inside", licences_are_whole),
    ("it is installed for one user and removed", installs_and_goes),
    ("another program of its name stays", spares_another_program),
    ("the installed copy does not remove itself", installed_copy_stays),
    ("an interrupted installation is replaced", interrupted_is_replaced),
])
