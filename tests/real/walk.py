#!/usr/bin/env python3
"""walk.py GFXBRIDGE: from nothing to an answered prompt, with the real engine of the distribution.

Needs apt and the distribution's archive. Everything is real here: the packages, the loader, the
engine, lavapipe as the Vulkan device.
"""
import glob
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import live  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, answer, call, machine, processes_of  # noqa: E402
from wait import wait_until  # noqa: E402

QUESTION = "Which gfx is the Radeon RX 7900 XT?"
TOP = tempfile.mkdtemp(prefix="gfxbridge walk ")  # with spaces, as users have them
DATA = os.path.join(TOP, "data dir")


def engines(data=DATA):
    """Processes whose command line names the data directory."""
    return [line for line in processes_of(data).values() if b"walk.py" not in line]


def listing(*parts):
    path = os.path.join(*parts)
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def half_done(data):
    """What in a data directory is not on the list of what a finished run leaves there."""
    wrong = [n for n in listing(data) if n not in ("cache", "canary", "packages", "proofs", "run")]
    for name in listing(data, "packages"):
        place = os.path.join(data, "packages", name)
        whole = os.path.isfile(os.path.join(place, "package.manifest"))
        if name != "pins" and not (re.fullmatch("[0-9a-f]{64}", name) and whole):
            wrong.append("packages/" + name)
    wrong += ["run/" + n for n in listing(data, "run") if n.startswith("engine-")]
    for folder in ("canary", "proofs", "cache"):  # fs_write's temporary names
        wrong += [f"{folder}/{n}" for n in listing(data, folder) if ".tmp-" in n]
    return wrong


def ask(*options, data=DATA, code=0, env=None, timeout=300):
    return answer("run", "--data-dir", data, *options, QUESTION, code=code, env=env,
                  timeout=timeout)


def first_run_without_anything():
    done = call("run", "--data-dir", DATA, "--no-network", QUESTION, code=3)
    lines = [line for line in done.stderr.splitlines() if line.startswith("gfxbridge: ")]
    assert len(lines) == 1, f"not one sentence: {done.stderr}"
    assert "network" in lines[0], lines[0]
    assert done.stdout == ""


def no_network_at_all():
    done = subprocess.run(["unshare", "-rn", PROGRAM, "run", "--data-dir", DATA, QUESTION],
                          capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    if "unshare" in done.stderr:
        raise tap.Skip("no user namespaces here")
    assert done.returncode == 3, (done.returncode, done.stderr)
    assert half_done(DATA) == []


def host_without_apt():
    if os.geteuid() != 0:
        raise tap.Skip("needs root, to hide apt-get in a mount namespace")
    hide = 'for f in "$(command -v apt-get)" "$(command -v apt)"; do mount --bind /dev/null "$f"; done;'
    done = subprocess.run(["unshare", "-m", "sh", "-c", hide + ' exec "$0" run --data-dir "$1" hello',
                           PROGRAM, os.path.join(TOP, "bare")],
                          capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    # The next source is taken: GitHub, which is or is not to be reached from here.
    assert done.returncode in (0, 3), (done.returncode, done.stderr)
    assert "ggml-cpu" in done.stderr, done.stderr
    if done.returncode == 3:
        assert "github" in done.stderr.splitlines()[-1], done.stderr


def killed_ten_times():
    data = os.path.join(TOP, "killed")
    chance = random.Random(20261123)
    for _ in range(10):
        child = subprocess.Popen([PROGRAM, "run", "--data-dir", data, QUESTION],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 stdin=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.05, 6.0))
        child.send_signal(signal.SIGKILL)
        child.wait()
        wait_until(lambda: engines(data) == [], lambda: f"the end of {engines(data)}")
    text = ask(data=data)["text"]
    assert "gfx1100" in text, text
    assert half_done(data) == [], half_done(data)
    assert engines(data) == []
    shutil.rmtree(data)


def two_at_once():
    data = os.path.join(TOP, "two")
    both = [subprocess.Popen([PROGRAM, "run", "--json", "--data-dir", data, QUESTION],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             stdin=subprocess.DEVNULL) for _ in range(2)]
    for child in both:
        out, err = child.communicate(timeout=300)
        assert child.returncode == 0, err
        assert "gfx1100" in out
    packages = os.listdir(os.path.join(data, "packages"))
    assert len([p for p in packages if not p.startswith(".")]) == 1, packages
    shutil.rmtree(data)


def disk_full():
    if os.geteuid() != 0:
        raise tap.Skip("needs root, to mount a small tmpfs")
    script = ('mount -t tmpfs -o size=24m none "$1" && "$0" run --data-dir "$1/d" hello; code=$?; '
              'find "$1" -type f | head -5; exit $code')
    place = os.path.join(TOP, "small")
    os.mkdir(place)
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, PROGRAM, place],
                          capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 3, (done.returncode, done.stderr)
    assert "free" in done.stderr, done.stderr


def default_path():
    value = ask()
    assert "gfx1100" in value["text"], value["text"]
    for key in ("text", "backend", "device", "package", "model", "proof", "timings"):
        assert key in value, key
    assert set(value["timings"]) >= {"load_ms", "first_token_ms", "tokens_per_second", "tokens"}
    rungs = {r["rung"]: r["ok"] for r in value["proof"]["rungs"]}
    assert rungs["E3"] and rungs["E4"], rungs
    assert engines() == [], engines()


def the_built_in_model():
    listed = [m["name"] for m in answer("list", "--data-dir", DATA)["models"]]
    assert listed[0] == "canary", listed
    shown = answer("show", "canary", "--data-dir", DATA)
    assert shown["model"]["origin"] == "builtin" and shown["launch"], shown
    for words in (["run", "--no-network", "canary", QUESTION], ["plan", "--model", "canary"],
                  ["pull", "canary"]):
        call("--data-dir", DATA, *words)
    assert "is part of gfxbridge" in call("--data-dir", DATA, "rm", "canary", code=1).stderr


def why_not_better():
    done = call("run", "--data-dir", DATA, QUESTION)
    assert "gfx1100" in done.stdout
    lines = done.stderr.splitlines()
    assert any(line.startswith("path: ") for line in lines), done.stderr
    if any(line.startswith("path: cpu") for line in lines):
        assert any(line.startswith("not rocm: ") for line in lines), done.stderr
        assert any(line.startswith("not vulkan: ") for line in lines), done.stderr


def again_without_network():
    assert "gfx1100" in ask("--no-network")["text"]


def cpu_by_name():
    value = ask("--backend", "cpu")
    assert value["backend"] == "cpu" and value["device"] == "CPU", value


def software_vulkan_by_name():
    # The first start compiles every shader with LLVM: minutes on a loaded machine.
    value = ask("--backend", "vulkan-software", timeout=900)
    assert value["backend"] == "vulkan-software" and "Vulkan0" in value["device"], value
    assert value["text"] == ask("--backend", "cpu")["text"]
    detail = " ".join(r["detail"] for r in value["proof"]["rungs"] if r["rung"] == "E4")
    assert "Vulkan0" in detail, detail


def engines_have_homes_of_their_own():
    """What an engine writes to its home no other package's engine reads."""
    homes = listing(DATA, "cache", "driver")
    packages = [name for name in listing(DATA, "packages") if len(name) == 64]
    assert len(homes) == 2 and homes == sorted(name[:16] for name in packages), (homes, packages)


def software_vulkan_is_no_gpu():
    plan = answer("plan", "--data-dir", DATA, "--backend", "vulkan", code=(0, 3))
    state = {c["backend"]: c["code"] for c in plan["choices"]}
    if plan["chosen"] is None:
        assert state["vulkan"] in ("vulkan-software-only", "no-gpu"), state


def on_a_card(hidden):
    """What the plan says of Vulkan after a run on a computer with an RX 7900 XTX, and the run."""
    words = ["--data-dir", DATA, "--no-network", "--json"]
    done = live.run(machine("rx7900xtx-raphael"), [PROGRAM, "run", *words, QUESTION], user=False,
                    hidden=hidden)
    value = json.loads(done.stdout)
    assert value["backend"] == "cpu" and "gfx1100" in value["text"], (value, done.stderr)
    done = live.run(machine("rx7900xtx-raphael"), [PROGRAM, "plan", *words], user=False,
                    hidden=hidden)
    return next(c for c in json.loads(done.stdout)["choices"] if c["backend"] == "vulkan")


def a_card_whose_driver_does_not_work():
    vulkan = on_a_card(())  # Mesa is here, but no card is behind the node
    assert (vulkan["state"], vulkan["code"]) == ("rejected", "failed-before"), vulkan
    assert "lists no vulkan device" in vulkan["reason"], vulkan


def a_card_without_a_vulkan_driver():
    vulkan = on_a_card(("/usr/share/vulkan", "/etc/vulkan"))
    assert (vulkan["state"], vulkan["code"]) == ("rejected", "vulkan-driver-missing"), vulkan
    assert "mesa-vulkan-drivers" in vulkan["reason"], vulkan


def odd_locale():
    value = ask(env={"LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE.ISO-8859-1"})
    assert "gfx1100" in value["text"]


def hostile_environment():
    value = ask(env={"LLAMA_ARG_MODEL": "/nonexistent", "LD_LIBRARY_PATH": "/nonexistent",
                     "GGML_VK_VISIBLE_DEVICES": "9", "LLAMA_ARG_PORT": "1",
                     "LLAMA_SERVER_ROUTER_PORT": "1", "GGML_BACKEND_PATH": "/dev/null"})
    assert "gfx1100" in value["text"]


def prompt_on_stdin():
    done = subprocess.run([PROGRAM, "run", "--data-dir", DATA], input=QUESTION + "\n",
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "gfx1100" in done.stdout, done.stderr


def proof_fails_and_falls_back():
    """A package whose CPU code is damaged on disk: the proof fails, and that is said."""
    data = os.path.join(TOP, "damaged")
    shutil.copytree(DATA, data, symlinks=True)
    shutil.rmtree(os.path.join(data, "proofs"), ignore_errors=True)
    for path in glob.glob(os.path.join(data, "packages", "*", "**", "libggml-cpu*.so"),
                          recursive=True):
        with open(path, "wb"):
            pass
    done = call("run", "--data-dir", data, "--no-network", "--backend", "cpu", QUESTION, code=4)
    assert len(done.stderr.strip()) > 0
    plan = answer("plan", "--data-dir", data, "--no-network", "--backend", "cpu", code=3)
    codes = {c["code"] for c in plan["choices"] if c["backend"] == "cpu"}
    assert "failed-before" in codes, codes
    shutil.rmtree(data)


def storage_and_backends():
    value = answer("storage", "--data-dir", DATA)
    assert any(i["kind"] == "package" for i in value["items"]), value
    value = answer("backends", "--data-dir", DATA)
    assert any(p["backend"] == "cpu" for p in value["packages"]), value
    value = answer("backends", "verify", "llamacpp:cpu", "--data-dir", DATA)
    assert all(r["passed"] for r in value["results"]) and value["results"], value
    covers = value["results"][0]["covers"]
    assert len(covers["types"]) >= 27 and "MXFP4" in covers["types"], covers
    assert covers["shapes"] == ["dense", "window", "experts"] and 1100 in covers["prompt_tokens"], covers
    assert not any(n.startswith("seeded") for _, _, names in os.walk(DATA) for n in names)


CASES = [
    ("nothing installed and --no-network: exit 3 and one sentence", first_run_without_anything),
    ("no network interface at all: exit 3, nothing left", no_network_at_all),
    ("a host without apt is told of the other sources", host_without_apt),
    ("a full disk is told before anything is written", disk_full),
    ("first run: installed, proven, answered", default_path),
    ("the built-in model is a model: list, show, run, plan, pull; rm refuses", the_built_in_model),
    ("the path and the reason for each better one", why_not_better),
    ("again without network", again_without_network),
    ("--backend cpu", cpu_by_name),
    ("--backend vulkan-software: weights on Vulkan0, same text", software_vulkan_by_name),
    ("engines of different packages have homes of their own", engines_have_homes_of_their_own),
    ("software Vulkan is never taken for a GPU", software_vulkan_is_no_gpu),
    ("a card whose Vulkan driver does not work: tried, told, the CPU answers",
     a_card_whose_driver_does_not_work),
    ("a card without a Vulkan driver: vulkan-driver-missing, the CPU answers",
     a_card_without_a_vulkan_driver),
    ("odd locale", odd_locale),
    ("hostile environment variables do not reach the engine", hostile_environment),
    ("a prompt on standard input", prompt_on_stdin),
    ("storage, backends list and verify", storage_and_backends),
    ("a damaged engine fails its proof, exit 4, failed-before", proof_fails_and_falls_back),
    ("two first runs at once install once", two_at_once),
    ("kill -9 at ten moments of a first run leaves nothing", killed_ten_times),
]

try:
    tap.run(CASES)
finally:
    shutil.rmtree(TOP, ignore_errors=True)
