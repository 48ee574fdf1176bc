#!/usr/bin/env python3
"""bench_node.py GFXBRIDGE: what the link between two computers costs.

One model of 0.25 GB, all its layers on a worker of this computer: over the link (TLS 1.3 on loopback, both
certificates) and with the worker's own unix socket, in turns. The bar is 0.95 of the tokens per second.
A token crosses the link in some round trips, so a small model that computes fast shows the cost best.
"""
import os
import statistics
import subprocess
import sys
import tempfile

import engine_by_hand

GFXBRIDGE = os.path.abspath(sys.argv[1])
BUILD = os.path.dirname(os.path.dirname(os.path.dirname(GFXBRIDGE)))
SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROUNDS = 5


def main():
    engine_by_hand.package(GFXBRIDGE, "cpu")
    subprocess.run(["ninja", "-C", BUILD, "--quiet", "bench/node_link"], check=True)
    with tempfile.TemporaryDirectory(prefix="gfxbridge-bench-node-") as top:
        model = os.path.join(top, "model.gguf")
        subprocess.run([sys.executable, os.path.join(SOURCE, "tests/lib/gguf.py"), model], check=True)
        done = subprocess.run([os.path.join(BUILD, "bench/node_link"), engine_by_hand.data_dir(), model, str(ROUNDS)],
                              check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit("the package has no worker, or it failed: gfxbridge backends install llamacpp:cpu")
    speeds = {}
    for line in done.stdout.splitlines():
        name, value = line.split()
        speeds.setdefault(name, []).append(float(value))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    for name, value in medians.items():
        print(f"  {name:<44} {value:9.2f} tokens/s")
    ratio = medians["link"] / medians["plain"]
    print(f"  tokens/s over the link, to plain: {ratio:.3f} (bar 0.95) {'kept' if ratio >= 0.95 else 'MISSED'}")
    return 0


sys.exit(main())
