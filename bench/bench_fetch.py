#!/usr/bin/env python3
"""bench_fetch.py GFXBRIDGE: a package of 400 MB from a TLS server on loopback to a published
directory (fetched, verified, unpacked, inspected, forced to disk), against its parts by themselves:
curl to /dev/null, and unpacking with the distribution's tar. All in one run, in turns.

Bars: at most 1.6 times the slower part (aim 1.25), in under 64 MB of memory. What is forced to disk
is shown apart: tar leaves it to the kernel.
"""
import os
import shutil
import statistics
import sys
import tempfile

GFXBRIDGE = os.path.abspath(sys.argv[1])
BUILD = os.environ.get("GFXB_BUILD", os.path.join(os.path.dirname(GFXBRIDGE), "..", ".."))
SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tests", "lib"))
sys.path.insert(0, os.path.join(SOURCE, "tests", "real"))
import mirror_world as mw  # noqa: E402
from side_by_side import run  # noqa: E402

ARCHIVE_MB = 400
ROUNDS = int(os.environ.get("GFXB_BENCH_ROUNDS", "5"))
COLUMNS = ("id provider engine backend os arch gfx unconfirmed runtime glibc locate tag sha256 size "
           "installable notes source").split()


def big_files():
    """What a release is made of: programs and libraries, the largest of this computer first."""
    found = []
    for top in ("/usr/lib", "/usr/bin"):
        for where, _, names in os.walk(top):
            for name in names:
                path = os.path.join(where, name)
                if not os.path.islink(path) and os.path.isfile(path):
                    found.append((os.path.getsize(path), path))
    return [path for _, path in sorted(found, reverse=True)]


def fill(tree):
    """Enough of them that the archive has its size: gzip -1 leaves about two fifths."""
    want = ARCHIVE_MB * 1000000 * 5 // 2
    files = big_files()
    number = 0
    while want > 0:
        path = files[number % len(files)]
        with open(path, "rb") as f, open(os.path.join(tree, f"part-{number}.bin"), "wb") as out:
            shutil.copyfileobj(f, out, 1 << 20)
            want -= out.tell()
        number += 1


def build(top, world):
    tree = os.path.join(top, "tree")
    os.makedirs(tree)
    mw.engine(tree)
    fill(tree)
    path = os.path.join(top, "bench.tar.gz")
    mw.tar_gz(path, tree, "llama-t1")
    shutil.rmtree(tree)
    url = "https://github.com/o/bench/releases/download/t1/bench.tar.gz"
    world.publish(url, path)
    row = dict.fromkeys(COLUMNS, "-")
    row.update(id="bench", provider="github", engine="llamacpp", backend="cpu", os="linux", arch=os.uname().machine,
               runtime="none", locate=url, tag="t1", sha256=mw.sha256(path),
               size=str(os.path.getsize(path)), installable="yes", source="BENCH")
    os.makedirs(os.path.join(top, "tables"))
    with open(os.path.join(top, "tables", "packages.tsv"), "w") as f:
        f.write("\t".join(COLUMNS) + "\n" + "\t".join(row[c] for c in COLUMNS) + "\n")
    return path


def once(top, world, archive, times, memory):
    for place in ("data", "local", "out"):
        shutil.rmtree(os.path.join(top, place), ignore_errors=True)
    os.makedirs(os.path.join(top, "out"))
    os.sync()
    env = {**os.environ, "TOOL_GITHUB": world.github, "TOOL_API": world.api, "TOOL_CA": world.ca}
    url = f"{world.github}/o/bench/releases/download/t1/bench.tar.gz"
    tool = os.path.join(BUILD, "tests", "mirror_tool")
    tables = os.path.join(top, "tables")
    steps = {
        "curl to /dev/null": ["curl", "-sSfL", "--cacert", world.ca, "-o", "/dev/null", url],
        "tar -xzf alone": ["tar", "-xzf", archive, "-C", os.path.join(top, "out")],
        "sync after tar": ["sync", "-f", os.path.join(top, "out")],
        "gfxbridge installs it": [tool, os.path.join(top, "data"), tables, "install", "bench"],
        "the same from the disk": [tool, os.path.join(top, "local"), tables, "local", archive],
    }
    for name, argv in steps.items():
        seconds, peak, _ = run(argv, env=env)
        times.setdefault(name, []).append(seconds)
        memory[name] = max(memory.get(name, 0), peak)


def main():
    if not mw.NGINX:
        print("  skipped: nginx is not here")
        return 0
    top = tempfile.mkdtemp(prefix="gfxbridge-bench-")
    world = mw.World(os.path.join(top, "world"))
    os.chmod(top, 0o755)
    times, memory = {}, {}
    try:
        archive = build(top, world)
        world.start()
        for _ in range(ROUNDS):
            once(top, world, archive, times, memory)
        size = os.path.getsize(archive)
    finally:
        world.stop_nginx()
        shutil.rmtree(top, ignore_errors=True)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"  archive of {size / 1e6:.0f} MB")
    for name, value in medians.items():
        print(f"  {name:<28} {value:7.2f} s   {memory[name]:6.1f} MB")
    slower = max(medians["curl to /dev/null"], medians["tar -xzf alone"])
    synced = max(medians["curl to /dev/null"],
                 medians["tar -xzf alone"] + medians["sync after tar"])
    ours = medians["gfxbridge installs it"]
    peak = memory["gfxbridge installs it"]
    print(f"  against the slower part: {ours / slower:.2f} (bar 1.6) "
          f"{'kept' if ours <= 1.6 * slower else 'MISSED'}")
    print(f"  against the slower part with its bytes on disk: {ours / synced:.2f}")
    print(f"  against the same without the network: "
          f"{ours / medians['the same from the disk']:.2f}")
    print(f"  memory: {peak:.1f} MB (bar 64) {'kept' if peak <= 64 else 'MISSED'}")
    return 0


sys.exit(main())
