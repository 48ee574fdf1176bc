"""Calls of the gfxbridge under test (argv[1] of every test script)."""
import atexit
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import tap

PROGRAM = os.path.abspath(sys.argv[1])
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.path.join(os.path.dirname(SOURCE), "shared")
FIXTURES = os.path.join(SHARED, "fixtures")
THEIRS = {"HSA_OVERRIDE_GFX_VERSION", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "OLLAMA_MODELS",
          "LLAMA_CACHE"}


def temporary(prefix):
    """A directory that goes with this process."""
    place = tempfile.mkdtemp(prefix=prefix)
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def scrub():
    """Nothing of this person's gets in: a home of our own, no XDG places, no settings, no models."""
    for name in list(os.environ):
        if name.startswith(("XDG_", "GFXBRIDGE_")) or name in THEIRS:
            del os.environ[name]
    os.environ["HOME"] = temporary("gfxbridge-home-")


scrub()


def call(*arguments, code=0, env=None, **options):
    """Run it; code: the exit code (or a tuple of them) that must come back; None takes any."""
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("timeout", 300)
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, **options)
    wanted = code if isinstance(code, tuple) else (code,)
    assert code is None or done.returncode in wanted, (
        f"{arguments}: exit code {done.returncode}, wanted {code}\n{done.stderr[-2000:]}")
    return done


def answer(*arguments, **options):
    """Run it with --json and give the object, which must be the only thing on stdout."""
    done = call(*arguments, "--json", **options)
    value = json.loads(done.stdout)
    assert value["schema"] == 1, "schema is not 1"
    return value


def need_engine(data):
    """Debian's CPU engine in this data directory. Skips where the network is missing that it comes from; every other
    failure is one of the test."""
    done = call("--data-dir", data, "run", "--backend", "cpu", "hi", code=None, timeout=600)
    if done.returncode and re.search(r"is this computer online|the proxy of the \*_PROXY", done.stderr):
        raise tap.Skip("no engine: " + done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, f"the engine does not run: exit code {done.returncode}\n{done.stderr[-2000:]}"


def processes_of(place, *parts):
    """{pid: command line} of the processes whose command line names the place, and all the parts."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                line = f.read()
        except OSError:
            continue
        if all(os.fsencode(part) in line for part in (place, *parts)):
            found[int(path.split("/")[2])] = line.replace(b"\0", b" ")
    return found


def machine(name):
    """Path of one of the project's own captured machines."""
    return os.path.join(SOURCE, "tests", "machines", name + ".machine")
