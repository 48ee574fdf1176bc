#!/usr/bin/env python3
"""packaging.py GFXBRIDGE: tools/packages.tsv and tools/install-deps with every package manager (here they
are scripts that write down what they were asked for), and the recipes of dist/packages by their linters."""
import fnmatch
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import SOURCE, temporary  # noqa: E402

TOOLS = os.path.join(SOURCE, "tools")
RECIPES = os.path.join(SOURCE, "dist", "packages")
PLAIN = "sh grep sed tr cut dirname env".split()
# manager: (its command, what asks whether a package is there, the beginning of an installation)
MANAGERS = {
    "apt": ("apt-get", "dpkg-query", "install -y"),
    "dnf": ("dnf", "rpm", "install -y"),
    "pacman": ("pacman", "pacman", "-S --needed"),
    "zypper": ("zypper", "rpm", "--non-interactive"),
    "apk": ("apk", "apk", "add"),
}


def text(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as f:
        return f.read()


def rows():
    lines = [line for line in text("tools", "packages.tsv").splitlines() if line[:1] != "#"]
    return lines[0].split("\t"), [line.split("\t") for line in lines[1:]]


def table_is_whole():
    head, body = rows()
    assert head == ["for", *MANAGERS], head
    for row in body:
        assert len(row) == len(head), row
        assert row[0] in ("build", "check", "heavy"), row
        assert all(re.fullmatch(r"-|[\w.+-]+( [\w.+-]+)*", cell) for cell in row), row
        assert row[0] != "build" or "-" not in row, f"{row}: make run needs it everywhere"
    names = [row[1] for row in body]
    assert len(set(names)) == len(names), "a package stands there twice"


def script(path, body):
    with open(path, "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\n" + body + "\n")
    os.chmod(path, 0o755)


def install_deps(manager, installed):
    """What the manager of this name is asked to install, and what install-deps says."""
    place = temporary("gfxbridge-deps-")
    for name in PLAIN:
        os.symlink(shutil.which(name), os.path.join(place, name))
    script(os.path.join(place, "id"), "echo 0")
    asked = os.path.join(place, "asked")
    if manager:
        command, query, _ = MANAGERS[manager]
        there = "echo install ok installed; exit 0" if installed else "exit 1"
        for name in {command, query}:
            script(os.path.join(place, name), f'case "$1" in -T | info | -W | -q) {there} ;; esac\n'
                                              f'echo "$@" >>"{asked}"')
    done = subprocess.run(["sh", os.path.join(TOOLS, "install-deps"), "build"], env={"PATH": place},
                          capture_output=True, text=True, timeout=60)
    calls = []
    if os.path.exists(asked):
        with open(asked, encoding="utf-8") as f:
            calls = f.read().splitlines()
    return done, calls


def manager_installs(manager):
    head, body = rows()
    wanted = [word for row in body if row[0] == "build"
              for word in row[head.index(manager)].split(" ")]
    done, calls = install_deps(manager, installed=False)
    assert done.returncode == 0, done.stderr
    assert len(calls) == 1 and calls[0].startswith(MANAGERS[manager][2]), calls
    assert calls[0].endswith(" " + " ".join(wanted)), (calls, wanted)
    done, calls = install_deps(manager, installed=True)
    assert (done.returncode, calls, done.stderr) == (0, [], ""), (done, calls)


def no_manager():
    done, _ = install_deps(None, installed=False)
    assert done.returncode == 1 and "libjansson-dev" in done.stderr, done


def need(program):
    if not shutil.which(program):
        raise tap.Skip(program + " is not installed")


def linted(program, *words):
    need(program)
    done = subprocess.run([program, *words], capture_output=True, text=True, cwd=SOURCE, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def spec():
    linted("rpmspec", "-q", os.path.join(RECIPES, "gfxbridge.spec"))
    said = linted("rpmlint", os.path.join(RECIPES, "gfxbridge.spec"))
    assert " 0 errors" in said, said


def shell_scripts():
    scripts = ["dist/portable/install", *(os.path.join("tools", name) for name in (
        "install-deps", "make-deb", "make-portable"))]
    linted("shellcheck", "-S", "warning", *scripts)


def recipes_agree():
    """Version and libraries of every recipe are those of meson.build."""
    meson = text("meson.build")
    version = re.search(r"version: '([\d.]+)'", meson).group(1)
    needs = set(re.findall(r"dependency\('(\w+)'\)", meson)) - {"threads"}
    assert set(re.findall(r"pkgconfig\((\w+)\)", text("dist/packages/gfxbridge.spec"))) == needs
    names = {"libcrypto": "openssl", "libssl": "openssl", "libcurl": "curl", "libzstd": "zstd"}
    for recipe in ("PKGBUILD", "default.nix", "gfxbridge.rb"):
        said = text("dist/packages", recipe)
        assert set(re.findall(r"\b\d+\.\d+\.\d+\b", said)) == {version}, recipe
        for name in needs:
            assert re.search(rf"\b{names.get(name, name)}\b", said), (recipe, name)
    assert f"Version:        {version}\n" in text("dist/packages/gfxbridge.spec")


def spec_has_every_unit():
    """rpmbuild fails on a file that %files does not name."""
    listed = re.findall(r"^%{_prefix}/lib/systemd/user/(\S+)$", text("dist/packages/gfxbridge.spec"), re.M)
    for name in os.listdir(os.path.join(SOURCE, "dist", "systemd")):
        unit = name.removesuffix(".in")
        assert any(fnmatch.fnmatch(unit, pattern) for pattern in listed), unit


tap.run([("every need has a package in every column", table_is_whole)] +
        [(f"install-deps asks {m} for what is missing, and only then", lambda m=m: manager_installs(m))
         for m in MANAGERS] +
        [("without a package manager it names the packages", no_manager),
         ("rpmlint finds no error", spec),
         ("the RPM spec names every unit", spec_has_every_unit),
         ("the Nix expression is one", lambda: linted("nix-instantiate", "--parse",
                                                      "dist/packages/default.nix")),
         ("the Homebrew formula is Ruby", lambda: linted("ruby", "-c", "dist/packages/gfxbridge.rb")),
         ("shellcheck finds nothing in PKGBUILD", lambda: linted(
             "shellcheck", "-s", "bash", "-e", "SC2034,SC2154,SC2164", "dist/packages/PKGBUILD")),
         ("shellcheck finds nothing in the scripts", shell_scripts),
         ("version and libraries are the same everywhere", recipes_agree)])
