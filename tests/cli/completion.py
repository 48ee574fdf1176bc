#!/usr/bin/env python3
"""completion.py GFXBRIDGE: the shells themselves complete commands, options, values, addresses."""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, SOURCE, call, machine  # noqa: E402

SCRIPTS = os.path.join(SOURCE, "dist", "completion")
ENV = {**os.environ, "PATH": os.path.dirname(PROGRAM) + ":" + os.environ["PATH"]}
TWO_CARDS = machine("rx7900xtx-raphael")


def candidates(*words):
    return [line.split("\t")[0] for line in call("complete", "--", *words).stdout.splitlines()]


def shell(name, *arguments, text):
    if not shutil.which(name):
        raise tap.Skip(f"{name} is not installed")
    done = subprocess.run([name, *arguments], input=text, capture_output=True, text=True, env=ENV,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def bash(*words):
    quoted = " ".join(f"'{word}'" for word in ("gfxbridge",) + words)
    return shell("bash", "--norc", text=f"""
source '{SCRIPTS}/gfxbridge.bash'
COMP_WORDS=({quoted}) COMP_CWORD={len(words)}
_gfxbridge
printf '%s\\n' "${{COMPREPLY[@]}}" """).split()


def fish(line):
    out = shell("fish", "--no-config",
                text=f"source '{SCRIPTS}/gfxbridge.fish'; complete -C '{line}'")
    return [word.split("\t")[0] for word in out.splitlines()]




def every_command_and_option():
    """Nothing that --help names is unknown to the completion."""
    shown = [line.split()[0] for line in call("--help").stdout.split("Options")[0].splitlines()
             if line.startswith("  ") and line[2] != " "]
    assert candidates("") == shown, (candidates(""), shown)
    for name in shown:
        text = call(name, "--help").stdout
        options = re.findall(r"^  (--[a-z-]+)", text, re.M)
        assert set(options) <= set(candidates(name, "--")), name


def values():
    assert candidates("plan", "--policy", "f") == ["fastest"]
    assert candidates("--os", "") == ["linux", "windows"]
    assert "install" in candidates("backends", "")
    assert "llamacpp:vulkan" in candidates("backends", "verify", "llama")
    assert ":file" in candidates("inspect", "")
    assert ":dir" in candidates("--data-dir", "")
    assert candidates("launch", "c") == ["claude", "codex", "continue", "copilot"]
    assert candidates("alias", "") == ["rm"] and candidates("alias", "x", "can") == ["canary"]
    assert candidates("nonsense", "") == []


def models():
    assert candidates("run", "can") == ["canary", ":file"]
    assert candidates("load", "can") == candidates("serve", "--pin", "can") == ["canary"]
    offered = candidates("pull", "")
    assert len(offered) >= 40 and "canary" not in offered, offered
    assert set(offered) < set(candidates("show", "")) and "canary" in candidates("show", "")
    assert candidates("pull", "a", "Gemma-4-12B") == ["Gemma-4-12B-it-GGUF"]
    assert candidates("rm", "Gemma-4-12B") == []


def addresses():
    found = call("--sysroot", TWO_CARDS, "complete", "--", "run", "--gpu", "0000:").stdout
    assert found == "0000:03:00.0\tAMD Radeon RX 7900 XTX\n0000:18:00.0\tRadeon 610M\n", found


def in_bash():
    assert bash("det") == ["detect"]
    assert bash("plan", "--policy", "v") == ["vulkan"]
    assert bash("table", "che") == ["check"]


def in_fish():
    assert fish("gfxbridge det") == ["detect"]
    assert fish("gfxbridge plan --policy v") == ["vulkan"]


def in_zsh():
    shell("zsh", "-f", "-n", f"{SCRIPTS}/_gfxbridge", text="")
    out = shell("zsh", "-f", text=f"""
_describe() {{ print -l -- ${{(P)2}}; }}
_gfxbridge_load() {{ source '{SCRIPTS}/_gfxbridge'; }}
words=(gfxbridge plan --policy v) CURRENT=4
source '{SCRIPTS}/_gfxbridge'
""")
    assert out.strip().split(":")[0] == "vulkan", out


tap.run([
    ("every command and option of --help is offered", every_command_and_option),
    ("values of options and words", values),
    ("models that are here and that can be pulled", models),
    ("PCI addresses of this computer with the cards' names", addresses),
    ("in bash", in_bash),
    ("in fish", in_fish),
    ("in zsh", in_zsh),
])
