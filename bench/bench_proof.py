#!/usr/bin/env python3
"""bench_proof.py GFXBRIDGE: what proving a backend costs, and what looking at a stored proof costs.

The whole `backends verify`. Bars:
the CPU under 1 s, the Vulkan software device under 4 s, and under 20 s while the driver has compiled
no shader yet; a stored proof, as the difference of two plans, under 5 ms.
"""
import os
import shutil
import sys
import tempfile

import engine_by_hand
import side_by_side

GFXBRIDGE = os.path.abspath(sys.argv[1])
SOFTWARE = "vulkan-software"


def place(parent, name):
    """A data directory that lends the installed packages and knows nothing else."""
    path = os.path.join(parent, name)
    os.mkdir(path)
    os.symlink(os.path.join(engine_by_hand.data_dir(), "packages"), os.path.join(path, "packages"))
    return path


def command(data, *words):
    return [GFXBRIDGE, *words, "--data-dir", data, "--no-network"]


def verify(data, backend):
    return command(data, "backends", "verify", "--backend", backend)


def main():
    for backend in ("cpu", SOFTWARE):
        engine_by_hand.package(GFXBRIDGE, backend)
    parent = tempfile.mkdtemp(prefix="gfxbridge-bench-proof-")
    try:
        proven, unproven = place(parent, "proven"), place(parent, "unproven")
        cold = [side_by_side.run(verify(place(parent, f"cold-{n}"), SOFTWARE))[0] * 1000
                for n in range(2)]
        medians = side_by_side.median_ms({"cpu": verify(proven, "cpu"),
                                          SOFTWARE: verify(proven, SOFTWARE)}, rounds=5, warmup=1)
        medians |= side_by_side.median_ms({
            "plan, nothing is proven": command(unproven, "plan", "--json"),
            "plan, with stored proofs": command(proven, "plan", "--json")}, rounds=41)
    finally:
        shutil.rmtree(parent, ignore_errors=True)
    side_by_side.show(medians)
    side_by_side.bar("proving cpu", medians["cpu"], 1000)
    side_by_side.bar(f"proving {SOFTWARE}", medians[SOFTWARE], 4000)
    side_by_side.bar(f"proving {SOFTWARE}, no shader compiled", min(cold), 20000)
    side_by_side.bar("looking at the stored proofs", medians["plan, with stored proofs"] -
                     medians["plan, nothing is proven"], 5)
    return 0


sys.exit(main())
