#!/usr/bin/env python3
"""docs.py GFXBRIDGE: what the documents and --help say agrees with the program."""
import glob
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, SOURCE, call  # noqa: E402


def read(*parts):
    with open(os.path.join(SOURCE, *parts), encoding="utf-8") as f:
        return f.read()


def reasons():
    header = set(re.findall(r'X\(\w+, \d+, "([a-z-]+)"\)', read("include", "gfxbridge.h")))
    every, doctors = (set(re.findall(r"^\| `([a-z-]+)` \|", part, re.M))
                      for part in read("docs", "reasons.md").split("## What only doctor tells"))
    assert len(header) > 30, header
    assert header == every, header ^ every
    folder = os.path.join(SOURCE, "src", "report")
    source = "".join(read("src", "report", n) for n in os.listdir(folder) if n.startswith("doctor"))
    told = set(re.findall(r'doctor_tell\(\s*c,\s*"([a-z-]+)"', source))
    assert len(told) > 10, told
    assert told == doctors, told ^ doctors


def commands():
    done = call("--help")
    return re.findall(r"^  ([a-z]+) +\S", done.stdout.split("Options")[0], re.M)


def every_command_has_help():
    names = commands()
    assert len(names) >= 10, names
    for name in names:
        done = call(name, "--help")
        assert done.stdout.startswith(f"Usage: gfxbridge {name}"), done.stdout
        assert done.stderr == ""


def readme_names_every_command():
    text = read("README.md")
    missing = [n for n in commands() if f"`{n}" not in text and f"gfxbridge {n}" not in text]
    assert not missing, missing


def every_command_has_a_page():
    with open(os.path.join(SOURCE, "src", "cli", "meson.build"), encoding="utf-8") as f:
        listed = f.read().split("manual_pages = [")[1].split("]")[0]
    pages = re.findall(r"'gfxbridge-([a-z]+)'", listed)
    assert pages == commands(), set(pages) ^ set(commands())


def every_route_is_written_down():
    """The rows of the tables of routes, each in a table of docs/http.md with its method."""
    folder, routes = os.path.join(SOURCE, "src", "api"), set()
    for path in glob.glob("**/*.c", root_dir=folder, recursive=True):
        routes |= set(re.findall(r'\{\w+_(GET|POST|DELETE), "([^"]+)"', read("src", "api", path)))
    assert len(routes) > 40, routes
    lines = [line.split("|") for line in read("docs", "http.md").splitlines() if line.startswith("| ")]
    written = {(method, path) for cells in lines if len(cells) > 3
               for method in cells[1].replace(",", " ").split()
               for path in re.findall(r"`([^`?]+)`", cells[2])}

    def is_written(method, path):
        """A "*" is a name, and what stands behind it."""
        return any(method == m and (p == path or path.endswith("*") and p.startswith(path[:-1]))
                   for m, p in written)
    missing = [route for route in routes if not is_written(*route)]
    assert not missing, missing


def version_is_one():
    version = call("--version").stdout.split()[1]
    assert re.search(rf"version: '{re.escape(version)}'", read("meson.build")), version
    assert f"## {version}" in read("CHANGELOG.md"), version


def no_dead_links():
    for folder in (".", "docs"):
        for name in os.listdir(os.path.join(SOURCE, folder)):
            if not name.endswith(".md"):
                continue
            for target in re.findall(r"\]\(([^)#:]+)\)", read(folder, name)):
                path = os.path.join(SOURCE, folder, target)
                assert os.path.exists(path), f"{folder}/{name} links to {target}"


def support_table_is_current():
    import subprocess
    done = subprocess.run([os.path.join(SOURCE, "tools", "support-table"), PROGRAM, "--check"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


tap.run([
    ("docs/reasons.md has exactly the codes of the header and of doctor", reasons),
    ("every command has its own --help", every_command_has_help),
    ("every command has a manual page", every_command_has_a_page),
    ("README names every command", readme_names_every_command),
    ("docs/http.md has every route", every_route_is_written_down),
    ("one version everywhere", version_is_one),
    ("docs/support.md has the table of data/", support_table_is_current),
    ("no dead links in the documents", no_dead_links),
])
