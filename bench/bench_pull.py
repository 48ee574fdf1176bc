#!/usr/bin/env python3
"""bench_pull.py GFXBRIDGE: 1 GiB from a TLS server on loopback into the hub cache (fetched, hashed,
forced to disk), against curl to a file from the same server, in the same run, in turns.

Bars: 70 % of curl's rate (aim 85 %), in under 40 MB of memory. curl leaves the disk to the kernel
and computes no digest: curl followed by sync is shown apart. Beside other work the seconds of CPU say
more than the time.
"""
import os
import shutil
import statistics
import sys
import tempfile

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tests", "lib"))
sys.path.insert(0, os.path.join(SOURCE, "tests", "real"))
import hub_world as hw  # noqa: E402
import mirror_world as mw  # noqa: E402
from side_by_side import run  # noqa: E402

GFXBRIDGE = os.path.abspath(sys.argv[1])
SIZE = 1 << 30
ROUNDS = int(os.environ.get("GFXB_BENCH_ROUNDS", "5"))


def publish(top, world):
    """The canary with 1 GiB of noise behind its tensors."""
    path = os.path.join(top, "big.gguf")
    shutil.copy(os.path.join(SOURCE, "data", "canary.gguf"), path)
    noise = os.urandom(1 << 24)
    with open(path, "ab") as f:
        while f.tell() < SIZE:
            f.write(noise[:SIZE - f.tell()])
    digest = world.store_file(path)
    world.repos["org/big"] = {"commit": hw.COMMIT, "files": {"big-Q4_K_M.gguf": {
        "size": SIZE, "lfs": True, "git": "0" * 40, "sha256": digest, "data": None}}}
    return digest


def once(top, world, digest, times, memory, cpu):
    env = {**os.environ, "HOME": top, "HF_HUB_CACHE": os.path.join(top, "hub"),
           "GFXBRIDGE_DATA_DIR": os.path.join(top, "data"), "HF_ENDPOINT": world.hub,
           "GFXBRIDGE_CA_FILE": world.ca}
    steps = {
        "curl to a file": ["curl", "-sSf", "--cacert", world.ca, "-o", os.path.join(top, "out"),
                           f"{world.storage}/files/{digest}"],
        "sync after curl": ["sync", "-f", top],
        "gfxbridge pull": [GFXBRIDGE, "pull", "--quiet", "--force", "org/big"],
    }
    for name, argv in steps.items():
        if name != "sync after curl":
            for place in ("hub", "data", "out"):
                path = os.path.join(top, place)
                shutil.rmtree(path) if os.path.isdir(path) else \
                    os.path.exists(path) and os.remove(path)
            os.sync()
        seconds, peak, busy = run(argv, env=env)
        times.setdefault(name, []).append(seconds)
        cpu.setdefault(name, []).append(busy)
        memory[name] = max(memory.get(name, 0), peak)


def main():
    if not mw.NGINX or not shutil.which("curl"):
        print("  skipped: nginx or curl is not here")
        return 0
    top = tempfile.mkdtemp(prefix="gfxbridge-bench-")
    os.chmod(top, 0o755)
    world = hw.World(os.path.join(top, "world"))
    times, memory, cpu = {}, {}, {}
    try:
        digest = publish(top, world)
        world.start()
        for _ in range(ROUNDS):
            once(top, world, digest, times, memory, cpu)
    finally:
        world.stop()
        shutil.rmtree(top, ignore_errors=True)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"  {name:<20} {value:7.2f} s   {memory[name]:6.1f} MB   "
              f"{statistics.median(cpu[name]):5.2f} s of CPU")
    curl, ours = medians["curl to a file"], medians["gfxbridge pull"]
    peak = memory["gfxbridge pull"]
    print(f"  of curl's rate: {100 * curl / ours:.0f} % (bar 70 %, aim 85 %) "
          f"{'kept' if curl >= 0.7 * ours else 'MISSED'}")
    print(f"  with curl's bytes on disk: {100 * (curl + medians['sync after curl']) / ours:.0f} %")
    print(f"  memory: {peak:.1f} MB (bar 40) {'kept' if peak <= 40 else 'MISSED'}")
    return 0


sys.exit(main())
