#!/usr/bin/env python3
"""bench_proof.py GFXBRIDGE: what the first proof of a backend costs, and what looking at a stored proof costs.

The first proof is the difference of two `run`: one that finds no proof, and one that finds it. Bars: the
CPU 600 ms, the Vulkan software device 6 s. Its first `run` while no shader is compiled yet: 20 s. A stored
proof, as the difference of two plans: 5 ms.
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


def ask(data, backend):
    return command(data, "run", "--backend", backend, "Which gfx is the Radeon RX 7900 XT?")


def ask_unproven(data, backend):
    return ["sh", "-c", 'rm -rf "$0" && exec "$@"', os.path.join(data, "proofs"), *ask(data, backend)]


def main():
    for backend in ("cpu", SOFTWARE):
        engine_by_hand.package(GFXBRIDGE, backend)
    parent = tempfile.mkdtemp(prefix="gfxbridge-bench-proof-")
    try:
        proven, unproven = place(parent, "proven"), place(parent, "unproven")
        cold = [side_by_side.run(ask(place(parent, f"cold-{n}"), SOFTWARE))[0] * 1000
                for n in range(2)]
        medians = {}
        for backend in ("cpu", SOFTWARE):
            medians |= side_by_side.median_ms({f"run, {backend}, no proof": ask_unproven(proven, backend),
                                               f"run, {backend}, proven": ask(proven, backend)}, rounds=5, warmup=1)
        medians |= side_by_side.median_ms({
            "plan, nothing is proven": command(unproven, "plan", "--json"),
            "plan, with stored proofs": command(proven, "plan", "--json")}, rounds=41)
    finally:
        shutil.rmtree(parent, ignore_errors=True)
    side_by_side.show(medians)
    for backend, most in (("cpu", 600), (SOFTWARE, 6000)):
        side_by_side.bar(f"first proof, {backend}", medians[f"run, {backend}, no proof"] -
                         medians[f"run, {backend}, proven"], most)
    side_by_side.bar(f"first run, {SOFTWARE}, no shader compiled", min(cold), 20000)
    side_by_side.bar("looking at the stored proofs", medians["plan, with stored proofs"] -
                     medians["plan, nothing is proven"], 5)
    return 0


sys.exit(main())
