#!/usr/bin/env python3
"""rocm.py GFXBRIDGE PACKAGE_TOOL: the distribution's real ROCm package (about 480 MB to fetch, 6 GB on
disk), installed and inspected; what the plan makes of it on captured machines; and what becomes of a run
with it where the card of its computer is not really there."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import live  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, answer, machine  # noqa: E402

TOOL = os.path.abspath(sys.argv[2])
DATA = tempfile.mkdtemp(prefix="gfxbridge rocm ")
TARGETS = {"gfx803", "gfx900", "gfx906", "gfx908", "gfx90a", "gfx1010", "gfx1030", "gfx1100", "gfx1101",
           "gfx1102"}


def installs():
    done = subprocess.run([TOOL, DATA, "install", "debian-rocm", "rocm",
                           "llama.cpp-tools libggml0-backend-hip"], capture_output=True, text=True, timeout=1500,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-2000:]


def package():
    found = [p for p in answer("backends", "list", "--data-dir", DATA)["packages"]
             if p["id"] == "debian-rocm"]
    assert len(found) == 1, found
    return found[0]


def holds_ten_targets():
    assert set(package()["gfx"]) == TARGETS, package()["gfx"]
    value = answer("inspect", os.path.join(DATA, "packages", package()["digest"]))
    assert set(value["gfx"]) == TARGETS and set(value["blas"]["rocblas"]) == TARGETS, value["gfx"]
    assert value["unresolved"] == [], value["unresolved"]


def plan(name):
    return answer("plan", "--sysroot", machine(name), "--data-dir", DATA, "--no-network", code=(0, 3))


def preferred_when_nothing_else_can_be_had():
    value = plan("rx7900xtx-raphael")
    chosen = value["choices"][value["chosen"]]
    assert (chosen["backend"], chosen["package"]) == ("rocm", "debian-rocm"), chosen


def rejected_where_it_holds_no_code():
    value = plan("rx9070xt-graniteridge")
    own = [c for c in value["choices"] if c["package"] == "debian-rocm" and c["gfx"] == "gfx1201"]
    assert own and {c["code"] for c in own} == {"gfx-not-in-package"}, own


def falls_back_with_the_cause():
    """KFD's nodes say RX 7900 XTX, and behind /dev/kfd is nothing: the real HIP backend is tried."""
    answer("backends", "install", "llamacpp:cpu", "--data-dir", DATA, timeout=900)
    capture, words = machine("rx7900xtx-raphael"), ["--data-dir", DATA, "--no-network", "--json"]
    began = time.monotonic()
    done = live.run(capture, [PROGRAM, "run", *words, "Which gfx is the Radeon RX 7900 XT?"], user=False)
    seconds = time.monotonic() - began
    print(f"# the run took {seconds:.1f} s")
    value = json.loads(done.stdout)
    assert value["backend"] == "cpu" and "gfx1100" in value["text"], (value, done.stderr)
    plan = json.loads(live.run(capture, [PROGRAM, "plan", *words], user=False).stdout)
    rocm = [c for c in plan["choices"] if c["package"] == "debian-rocm" and c["gfx"] == "gfx1100"]
    assert [(c["state"], c["code"]) for c in rocm] == [("rejected", "failed-before")], rocm
    print("#", rocm[0]["reason"])
    assert "HIP runtime finds no GPU" in rocm[0]["reason"], rocm


def bundled_for_a_computer_that_has_the_card():
    """This computer has no such card and no ROCm. On the described one, without any network, the real HIP
    backend starts its proof and lacks nothing but the card."""
    with tempfile.TemporaryDirectory(prefix="gfxbridge rocm ") as top:
        file, there, capture = os.path.join(top, "rocm.gfxb"), os.path.join(top, "data"), \
            machine("rx7900xtx-raphael")
        dead = {"GFXBRIDGE_GITHUB": "http://127.0.0.1:9", "GFXBRIDGE_GITHUB_API": "http://127.0.0.1:9",
                "GFXBRIDGE_THEROCK": "http://127.0.0.1:9"}
        value = answer("backends", "bundle", "--data-dir", DATA, "--for", capture, "llamacpp:rocm", file,
                       env=dead, timeout=900)
        assert value["packages"] == 1, value
        done = live.run(capture, [PROGRAM, "backends", "install", "--from", file, "--data-dir", there,
                                  "--json"], user=False, network=False, timeout=900)
        assert done.returncode == 4, (done.returncode, done.stderr)
        results = json.loads(done.stdout)["results"]
        assert {r["backend"] for r in results} == {"rocm"}, results
        assert all("HIP runtime finds no GPU" in r["reason"] for r in results), results


try:
    tap.run([
        ("installs", installs),
        ("holds exactly ten targets, with BLAS kernels, nothing unresolved", holds_ten_targets),
        ("RX 7900 XTX without GitHub: preferred", preferred_when_nothing_else_can_be_had),
        ("RX 9070 XT: gfx-not-in-package", rejected_where_it_holds_no_code),
        ("bundled for a computer that has the card", bundled_for_a_computer_that_has_the_card),
        ("without the card: the real backend is tried, its cause is told, the CPU answers", falls_back_with_the_cause),
    ])
finally:
    shutil.rmtree(DATA, ignore_errors=True)
