#!/usr/bin/env python3
"""emulated.py GFXBRIDGE PACKAGE_TOOL: the distribution's real ROCm engine on an emulated Radeon card.

AMD's emulator rocjitsu executes gfx code on the CPU and answers the calls to /dev/kfd, from a library that
is preloaded into the engine. It is not part of this project. These variables name it:

    GFXB_ROCJITSU_LIBRARY   its interposer, librocjitsu_kmd.so
    GFXB_ROCJITSU_CONFIG    the description of the card that it emulates: a gfx1100 at 0000:03:00.0
    GFXB_TEST_DATA          a data directory that is kept: the ROCm package is large

Its arithmetic may be wrong: then the proof must reject it, and the CPU must answer.
"""
import glob
import mmap
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import live  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, answer, machine  # noqa: E402
from server import ANSWER, QUESTION, Server, chat, text_of  # noqa: E402

TOOL = os.path.abspath(sys.argv[2])
DATA = os.environ.get("GFXB_TEST_DATA") or ""
REJECTED = {"canary-mismatch", "engine-crash", "engine-hang"}
SECONDS = 3600


# ---- outside: the package, the emulator in it, and the computer ----

def package():
    """The installed package's directory."""
    for path in glob.glob(os.path.join(DATA, "packages", "*", "package.manifest")):
        with open(path, encoding="utf-8") as f:
            if "id debian-rocm\n" in f:
                return os.path.dirname(path)
    raise AssertionError("the ROCm package is not installed")


def install():
    done = subprocess.run([TOOL, DATA, "install", "debian-rocm", "rocm",
                           "llama.cpp-tools libggml0-backend-hip"], capture_output=True, text=True,
                          timeout=1500, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-2000:]
    answer("backends", "install", "llamacpp:cpu", "--data-dir", DATA, timeout=900)


def preload(library, config):
    """The package is started by a script that has its loader load the emulator first. All of it is in the
    package's directory, which the engine's sandbox lets it read."""
    top = package()
    place, manifest = os.path.join(top, "emulator"), os.path.join(top, "package.manifest")
    with open(manifest, encoding="utf-8") as f:
        text = f.read()
    if "\nloader emulator/loader\n" in text:
        return
    os.mkdir(place)
    for path in glob.glob(os.path.join(os.path.dirname(library), "librocjitsu*.so*")):
        shutil.copy(path, place)
    shutil.copy(config, os.path.join(place, "config.json"))
    with open(os.path.join(place, "config_path"), "w", encoding="utf-8") as f:
        f.write(os.path.join(place, "config.json") + "\n")
    loader = os.path.join(top, re.search(r"\nloader (.*)\n", text).group(1))
    with open(os.path.join(place, "loader"), "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\nexport ROCJITSU_RUNTIME_DIR='{place}'\n"
                f"exec '{loader}' --preload '{place}/{os.path.basename(library)}' \"$@\"\n")
    os.chmod(os.path.join(place, "loader"), 0o755)
    with open(manifest, "w", encoding="utf-8") as f:
        f.write(re.sub(r"\nloader .*\n", "\nloader emulator/loader\n", text))


def outside():
    global DATA
    library, config = (os.environ.get("GFXB_ROCJITSU_" + n) for n in ("LIBRARY", "CONFIG"))
    if not library or not config:
        def skipped():
            raise tap.Skip("GFXB_ROCJITSU_LIBRARY and GFXB_ROCJITSU_CONFIG do not name AMD's emulator")
        tap.run([("ROCm on an emulated card", skipped)])
    DATA, own = DATA or tempfile.mkdtemp(prefix="gfxbridge-emulated-"), not DATA
    try:
        install()
        preload(os.path.abspath(library), os.path.abspath(config))
        done = live.run(machine("rx7900xtx-raphael"),
                        ["env", "GFXB_TEST_DATA=" + DATA, sys.executable, os.path.abspath(__file__),
                         PROGRAM, TOOL, "inside"], user=False, timeout=SECONDS)
        print(done.stdout, end="")
        print(done.stderr, end="", file=sys.stderr)
        sys.exit(done.returncode)
    except tap.Skip as reason:
        print(f"1..1\nok 1 - ROCm on an emulated card # SKIP {reason}")
    finally:
        if own:
            shutil.rmtree(DATA, ignore_errors=True)


# ---- inside: on that computer ----

def proofs(backend):
    """The stored proofs of a backend: path and text."""
    for path in glob.glob(os.path.join(DATA, "proofs", "*.proof")):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        if f"\nfingerprint {backend}|" in text:
            yield path, text


def code_of_rocm():
    """What came of the one proof of ROCm: "ok", or why it was rejected."""
    codes = [re.search(r"\ncode (\S+)\n", text).group(1) for _, text in proofs("rocm")]
    assert len(codes) == 1, codes
    return codes[0]


def run(*words):
    return answer("run", "--data-dir", DATA, "--no-network", *words, QUESTION, code=(0, 4), timeout=SECONDS)


def detects():
    gpu = answer("detect")["gpus"][0]
    assert gpu["gfx"] == "gfx1100", gpu


def the_speed_of_this_cpu_does_not_count():
    """An emulated card is a thousand times slower than the CPU: by its stored proof the CPU is slow."""
    assert run("--backend", "cpu")["text"] == ANSWER
    for path, text in list(proofs("cpu")):
        with open(path, "w", encoding="utf-8") as f:
            f.write(re.sub(r"\ntokens-per-second .*\n", "\ntokens-per-second 1.000\n", text))


def is_proven_or_rejected():
    value = run()
    assert value["text"] == ANSWER, value
    code = code_of_rocm()
    print("#", code, "by", value["backend"])
    assert (value["backend"] == "rocm") == (code == "ok"), (value, code)
    assert code == "ok" or code in REJECTED, code


def serves_and_outlives_a_kill():
    server = Server(DATA, "--no-network")
    try:
        for _ in range(2):
            assert text_of(server.ask(chat(), timeout=SECONDS)[2]) == ANSWER
            os.kill(server.engine_pid(), signal.SIGKILL)
        assert text_of(server.ask(chat(), timeout=SECONDS)[2]) == ANSWER
    finally:
        server.stop()


def code_objects(library, target):
    """(offset, size) of each code object for the target in a library of HIP kernels: a bundle is a magic,
    the number of its entries, then for each its place in the bundle and its name."""
    magic = b"__CLANG_OFFLOAD_BUNDLE__"
    at = library.find(magic)
    while at >= 0:
        place = at + len(magic)
        count, place = struct.unpack_from("<Q", library, place)[0], place + 8
        for _ in range(count):
            offset, size, length = struct.unpack_from("<QQQ", library, place)
            name = library[place + 24:place + 24 + length].decode()
            if name.endswith(target):
                yield at + offset, size
            place += 24 + length
        at = library.find(magic, at + len(magic))


def falsify(path):
    """Every exponential (v_exp_f32) of gfx1100 becomes a copy (v_mov_b32); how many."""
    changed = 0
    with open(path, "r+b") as f, mmap.mmap(f.fileno(), 0) as library:
        for offset, size in code_objects(library, "gfx1100"):
            for at in range(offset, offset + size - 3, 4):
                word = struct.unpack_from("<I", library, at)[0]
                if word & 0xfe01fe00 == 0x7e004a00:
                    struct.pack_into("<I", library, at, word & ~0x1fe00 | 0x00200)
                    changed += 1
    return changed


def a_lie_is_caught():
    if code_of_rocm() != "ok":
        raise tap.Skip("the emulator computes wrongly without a lie")
    path = glob.glob(os.path.join(package(), "**", "libggml-hip.so"), recursive=True)[0]
    for proof, _ in list(proofs("rocm")):
        os.remove(proof)
    shutil.copy(path, path + ".true")
    try:
        assert falsify(path) > 0, "no exponential found: compressed code?"
        value = run()
        assert (value["text"], value["backend"]) == (ANSWER, "cpu"), value
        assert code_of_rocm() == "canary-mismatch", code_of_rocm()
    finally:
        os.replace(path + ".true", path)


if sys.argv[3:] != ["inside"]:
    outside()
tap.run([
    ("detect: the card is a gfx1100", detects),
    ("the CPU answers, and its speed does not count", the_speed_of_this_cpu_does_not_count),
    ("first run: proven, or rejected and answered by the CPU", is_proven_or_rejected),
    ("serve: answers, and answers again when its engine is killed", serves_and_outlives_a_kill),
    ("a falsified exponential is caught, the CPU answers", a_lie_is_caught),
])
