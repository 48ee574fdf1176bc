#!/usr/bin/env python3
"""permission.py GFXBRIDGE: an ordinary user whose device nodes may not be opened, and the remedy.

In a mount namespace of its own: /sys and /dev are those of a captured machine with a Radeon RX 7800
XT, with real device nodes that belong to root and the group render, and /etc/group is the test's.
The program runs live there, as a user without rights.
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import live  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, machine  # noqa: E402


def run(*arguments, **options):
    """gfxbridge as that user (lib/live.py says which)."""
    done = live.run(machine("rx7800xt"), [PROGRAM, *arguments, "--json", "--data-dir", "HOME/data"],
                    **options)
    assert done.stdout.startswith("{"), (done.returncode, done.stderr)
    return json.loads(done.stdout)


def rocm(plan):
    return next(c for c in plan["choices"] if c["backend"] == "rocm")


def rung(choice, name):
    return next(e for e in choice["evidence"] if e["rung"] == name)


def without_the_group():
    choice = rocm(run("plan"))
    assert choice["state"] == "rejected" and choice["code"] == "kfd-permission", choice
    assert f"render ({live.RENDER})" in choice["reason"], choice
    assert not rung(choice, "E2")["ok"], choice
    value = run("detect")
    assert value["kfd"]["present"] and not value["kfd"]["openable"], value["kfd"]
    assert value["gpus"][0]["render_openable"] is False, value["gpus"][0]


def doctor_gives_the_remedy():
    found = {f["code"]: f for f in run("doctor")["findings"]}
    assert f"render ({live.RENDER})" in found["kfd-permission"]["why"], found
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


tap.run([
    ("without the group: the code, the group's name and gid", without_the_group),
    ("doctor: the remedy as a command", doctor_gives_the_remedy),
    ("in the group, but the login is older", the_login_is_older_than_the_group),
    ("after the remedy the rung passes", after_the_remedy_the_rung_passes),
])
