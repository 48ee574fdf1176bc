#!/usr/bin/env python3
"""library.py GFXBRIDGE: libgfxbridge as another program sees it. Needs GFXB_BUILD, the build folder."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import SOURCE, machine  # noqa: E402

BUILD = os.environ["GFXB_BUILD"]
LIBRARY = os.path.join(BUILD, "src", "lib", "libgfxbridge.so")
EMBED = os.path.join(BUILD, "examples", "embed")
INCLUDE = os.path.join(SOURCE, "include")


def run(*argv, **options):
    return subprocess.run(argv, capture_output=True, text=True, check=True, **options).stdout


def compiles(compiler, standard, language):
    run(compiler, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", INCLUDE,
        "-fsyntax-only", "-x", language, "-", input="#include <gfxbridge.h>\n")


def header_alone():
    compiles("cc", "c11", "c")
    compiles("cc", "c17", "c")
    compiles("c++", "c++17", "c++")


def exports():
    listed = re.findall(r"^    (gfxb_\w+);", open(
        os.path.join(SOURCE, "src/lib/gfxbridge.sym"), encoding="utf-8").read(), re.M)
    symbols = sorted(line.split()[-1].split("@")[0] for line in run(
        "nm", "-D", "--defined-only", LIBRARY).splitlines() if " A " not in line)
    assert symbols == sorted(listed), set(symbols) ^ set(listed)
    header = open(os.path.join(INCLUDE, "gfxbridge.h"), encoding="utf-8").read()
    declared = re.findall(r"^GFXB_API[^(]*?(gfxb_\w+)\(", header, re.M)
    assert sorted(declared) == sorted(listed), set(declared) ^ set(listed)


def libc_alone():
    needed = re.findall(r"NEEDED.*\[(.+)\]", run("readelf", "-d", LIBRARY))
    # The sanitizer build adds its own run-time libraries.
    ours = [n for n in needed if not n.startswith(("libasan", "libubsan", "libclang_rt"))]
    assert set(ours) <= {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}, needed


def embedded():
    out = run(EMBED, machine("rx7900xtx-raphael"))
    assert out.startswith("rocm with "), out


tap.run([
    ("the header compiles alone as C11, C17 and C++17", header_alone),
    ("exports exactly what is listed and declared", exports),
    ("needs libc alone", libc_alone),
    ("examples/embed.c answers for a captured machine", embedded),
])
