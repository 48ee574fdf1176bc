#!/usr/bin/env python3
"""bench_detect.py GFXBRIDGE: what "what path do I have?" costs, as whole processes in one run.

Bars: detect and plan on the largest captured machine at most 10 ms over `true`; the engine's own
device list, the quickest of its Vulkan and HIP backends, at least 5 times slower than detect over
`true`. The HIP one is measured where its package is installed (470 MB to fetch, 6 GB on disk: it is
not fetched for this). rocminfo gives up at once without the driver, so it is shown where it is
installed but proves nothing.
"""
import json
import os
import shutil
import subprocess
import sys

import engine_by_hand
import side_by_side

GFXBRIDGE = os.path.abspath(sys.argv[1])
MACHINES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests",
                        "machines")


def largest():
    files = [os.path.join(MACHINES, n) for n in os.listdir(MACHINES) if n.endswith(".machine")]
    return max(files, key=os.path.getsize)


def list_devices(digest):
    prefix, cwd = engine_by_hand.argv(engine_by_hand.directory(digest))
    return ["env", "-C", cwd, *prefix, "--list-devices"]


def installed(backend):
    """The digest of an installed package of the backend, None where there is none."""
    listed = subprocess.run([GFXBRIDGE, "backends", "list", "--json"], check=True,
                            capture_output=True, text=True).stdout
    return next((p["digest"] for p in json.loads(listed)["packages"] if p["backend"] == backend),
                None)


def engines():
    """{backend: argv} of the engine's device lists that can be measured here."""
    vulkan = engine_by_hand.package(GFXBRIDGE, "vulkan-software")["digest"]
    found = {"vulkan": list_devices(vulkan)}
    hip = installed("rocm")
    if hip:
        found["hip"] = list_devices(hip)
    else:
        print("  no ROCm package is installed: the engine's Vulkan backend alone is compared")
    return found


def main():
    machine = largest()
    lists = {f"llama-server --list-devices, {b}": argv for b, argv in engines().items()}
    commands = {
        "true": ["true"],
        "gfxbridge detect, this computer": [GFXBRIDGE, "detect"],
        "gfxbridge plan, this computer": [GFXBRIDGE, "plan"],
        "gfxbridge detect, largest capture": [GFXBRIDGE, "detect", "--sysroot", machine],
        "gfxbridge plan, largest capture": [GFXBRIDGE, "plan", "--sysroot", machine],
        **lists,
    }
    if shutil.which("rocminfo"):
        commands["rocminfo"] = ["sh", "-c", "rocminfo || true"]
    medians = side_by_side.median_ms(commands, rounds=31)
    side_by_side.show(medians)
    floor = medians["true"]
    detect = medians["gfxbridge detect, largest capture"] - floor
    plan = medians["gfxbridge plan, largest capture"] - floor
    side_by_side.bar("detect over true", detect, 10)
    side_by_side.bar("plan over true", plan, 10)
    ratio = (min(medians[name] for name in lists) - floor) / detect
    print(f"  the engine's device list costs {ratio:.0f} times detect (bar 5) "
          f"{'kept' if ratio >= 5 else 'MISSED'}")
    return 0


sys.exit(main())
