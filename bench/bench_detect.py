#!/usr/bin/env python3
"""bench_detect.py GFXBRIDGE: what "what path do I have?" costs, as whole processes in one run.

Bars: detect and plan on the largest captured machine at most 5 ms over `true`; the engine's own
device list with its Vulkan backend at least 15 times slower than detect over `true`. rocminfo gives up at
once without the driver, so it is shown where it is installed but proves nothing.
"""
import os
import shutil
import sys

import engine_by_hand
import side_by_side

GFXBRIDGE = os.path.abspath(sys.argv[1])
MACHINES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests",
                        "machines")


def largest():
    files = [os.path.join(MACHINES, n) for n in os.listdir(MACHINES) if n.endswith(".machine")]
    return max(files, key=os.path.getsize)


def list_devices(backend):
    found = engine_by_hand.package(GFXBRIDGE, backend)
    data = os.environ.get("GFXBRIDGE_DATA_DIR") or os.path.join(
        os.environ.get("XDG_DATA_HOME", os.path.expanduser("~/.local/share")), "gfxbridge")
    prefix, cwd = engine_by_hand.argv(os.path.join(data, "packages", found["digest"]))
    return ["env", "-C", cwd, *prefix, "--list-devices"]


def main():
    machine = largest()
    commands = {
        "true": ["true"],
        "gfxbridge detect, this computer": [GFXBRIDGE, "detect"],
        "gfxbridge detect, largest capture": [GFXBRIDGE, "detect", "--sysroot", machine],
        "gfxbridge plan, largest capture": [GFXBRIDGE, "plan", "--sysroot", machine],
        "llama-server --list-devices, cpu": list_devices("cpu"),
        "llama-server --list-devices, vulkan": list_devices("vulkan-software"),
    }
    if shutil.which("rocminfo"):
        commands["rocminfo"] = ["sh", "-c", "rocminfo || true"]
    medians = side_by_side.median_ms(commands, rounds=31)
    side_by_side.show(medians)
    floor = medians["true"]
    detect = medians["gfxbridge detect, largest capture"] - floor
    plan = medians["gfxbridge plan, largest capture"] - floor
    side_by_side.bar("detect over true", detect, 5)
    side_by_side.bar("plan over true", plan, 5)
    engine = medians["llama-server --list-devices, vulkan"] - floor
    print(f"  the engine's device list costs {engine / detect:.0f} times detect (bar 15)")
    return 0


sys.exit(main())
