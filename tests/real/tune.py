#!/usr/bin/env python3
"""tune.py GFXBRIDGE: what `tune` measures on the distribution's engine, what it stores, and what starts with that.

Which settings are faster here is not judged, only that a winner is one and that the default stays otherwise; the
search itself is test_search's. GFXB_TEST_DATA names a data directory with the engine, to save the installation.
"""
import atexit
import glob
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import gguf  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, answer, call, processes_of  # noqa: E402
from wait import wait_until  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge-tune-")
atexit.register(shutil.rmtree, TOP, ignore_errors=True)
DATA = os.path.join(TOP, "data")
MODEL = os.path.join(TOP, "random.gguf")
HERE = ("--data-dir", DATA, "--no-network", "--backend", "cpu")
TUNE = ("tune", *HERE, MODEL, "--minutes", "1")
SEED = random.randrange(1 << 30)


def prepare():
    if os.environ.get("GFXB_TEST_DATA"):
        shutil.copytree(os.environ["GFXB_TEST_DATA"], DATA, symlinks=True, ignore=shutil.ignore_patterns("run", "tuned"))
    done = call("--data-dir", DATA, "backends", "install", "llamacpp:cpu", code=None, timeout=600)
    if done.returncode != 0:
        raise tap.Skip(done.stderr.strip().splitlines()[-1])
    gguf.random_model(MODEL, layers=2, width=256, ff=512, heads=4, heads_kv=2)


def stored():
    """{path: bytes} of the settings on disk."""
    found = {}
    for path in glob.glob(os.path.join(DATA, "tuned", "*.json")):
        with open(path, "rb") as f:
            found[path] = f.read()
    return found


def journal():
    """What was measured, which has the state of the model too."""
    (path,) = glob.glob(os.path.join(DATA, "tuned", "*.part"))
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def store(*settings):
    """Settings as a tune of this model would store them; (path, bytes)."""
    head = journal()["head"]
    fingerprint = head["choices"][0]
    name = hashlib.sha256(f"{fingerprint}|{MODEL}".encode()).hexdigest()
    path = os.path.join(DATA, "tuned", name + ".json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"file": MODEL, "state": head["state"], "fingerprint": fingerprint, "time": 1, "preferred": False,
                   "settings": list(settings)}, f)
    with open(path, "rb") as f:
        return path, f.read()


def started(*words):
    """Does the model's engine have these words on its command line? And what the run says."""
    run = subprocess.Popen([PROGRAM, "run", *HERE, MODEL, "Hello", "--max-tokens", "3000"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: processes_of(DATA, "llama-server", MODEL, *words) or run.poll() is not None, "an engine")
        return run.poll() is None
    finally:
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)


def figures_are_told_and_nothing_is_stored():
    got = answer(*TUNE, timeout=600)
    assert got["for"] == "chat" and got["backend"] == "cpu" and got["preferred"] is False, got
    assert got["applied"] is False and got["interrupted"] is False and "state" not in got, got
    depths = got["before"]["depths"]
    assert [d["prompt_tokens"] for d in depths[:2]] == [64, 512], depths
    for d in depths:
        assert d["prompt_per_second"] > 0 and d["tokens_per_second"] > 0 and d["first_token_ms"] > 0, d
    start = got["before"]["start"]
    assert start["warm_ms"] > 0 and (start["cold_ms"] is None or start["read_ms"] is not None), start
    assert got["before"]["host_bytes"] > 0 and got["tried"] > 5, got
    if got["better"]:
        assert got["settings"] and (got["gain"] or got["start_gain"]) > 1.0 and got["after"]["depths"], got
        assert got["check"]["prompts"] >= 4 and got["check"]["greatest"] < got["check"]["allowed"], got
    else:
        assert got["settings"] == [] and got["gain"] is None and got["start_gain"] is None, got
    assert stored() == {} and journal()["done"] is True


def what_was_measured_is_applied():
    """At once, from the finished journal: the same winner, or the default still."""
    entries = journal()["entries"]
    done = call(*TUNE, "--apply", "--verbose", timeout=300)
    assert "what was measured before is applied" in done.stderr, done.stderr
    assert "going on" not in done.stderr and len(entries) > 10
    assert len(stored()) == ("Not used yet" not in done.stdout and "use it from now on" in done.stdout), done.stdout
    assert not glob.glob(os.path.join(DATA, "tuned", "*.part"))


def interrupted_it_goes_on():
    process = subprocess.Popen([PROGRAM, *TUNE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    call("tune", *HERE, MODEL, "--reset")
    wait_until(lambda: glob.glob(os.path.join(DATA, "tuned", "*.part")) and len(journal()["entries"]) > 3, "figures")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and "interrupted" in err, (out, err)
    assert not processes_of(DATA, "llama-server") and stored() == {}
    before = journal()["entries"]
    process = subprocess.Popen([PROGRAM, *TUNE, "--verbose"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(journal()["entries"]) > len(before) + 1, "more figures")
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert "going on with what was measured before" in err, err
    assert journal()["entries"][:len(before)] == before


def two_at_once():
    process = subprocess.Popen([PROGRAM, *TUNE], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: processes_of(DATA, "llama-server", MODEL), "an engine")
        done = call(*TUNE, code=1)
        assert "another gfxbridge tune runs here" in done.stderr, done.stderr
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def stored_settings_are_used():
    store("-ub 128", "-fa off")
    assert started("-ub\x00128\x00-fa\x00off\x00"), "not with the stored settings"
    assert "-ub=128,-fa=off" in "".join(open(p, encoding="utf-8").read()
                                        for p in glob.glob(os.path.join(DATA, "proofs", "*.proof"))), "not tested"


def what_is_no_setting_is_not_used():
    """A file that somebody wrote, one that is damaged, one of another state of the model."""
    path, good = store("-ub 128")
    for bad in (good.replace(b"-ub 128", b"--rpc localhost:1"), good[:-20], good.replace(b'"state": "', b'"state": "0'),
                b"", b"[1]", good.replace(b'["-ub 128"]', b'[["-ub 128"]]')):
        with open(path, "wb") as f:
            f.write(bad)
        done = call("run", *HERE, MODEL, "Hello", "--max-tokens", "4", "--verbose")
        assert "own settings" not in done.stderr, done.stderr
        assert started() and not processes_of(DATA, "--rpc")


def settings_that_do_not_start_are_left_out():
    store("-t 9999999")
    done = call("run", *HERE, MODEL, "Hello", "--max-tokens", "4")
    assert "starting with the engine's own settings" in done.stderr, done.stderr


def reset_forgets():
    store("-ub 128")
    got = answer("tune", *HERE, MODEL, "--reset")
    assert got["removed"] == 1 and stored() == {}, got
    assert answer("tune", *HERE, MODEL, "--reset")["removed"] == 0


def killed_at_any_moment():
    """Twenty times, the last ones near the end of a tune that goes on: the old settings or new ones."""
    dice = random.Random(SEED)
    process = subprocess.Popen([PROGRAM, *TUNE], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    wait_until(lambda: glob.glob(os.path.join(DATA, "tuned", "*.part")), "a journal")
    process.kill()
    process.wait()
    path, old = store("-ub 128")
    for i in range(20):
        process = subprocess.Popen([PROGRAM, *TUNE, "--apply"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=dice.uniform(0.05, 5.0))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        for name, text in stored().items():
            value = json.loads(text)
            assert (name == path and text == old) or value["better"] is True, f"seed {SEED}, kill {i}: {text!r}"
        wait_until(lambda: not processes_of(DATA, "llama-server"), "the engine's end")
        started()


def no_room():
    """A file system with room for the old settings alone: the journal is given up, and what cannot be stored leaves the
    old ones."""
    call("tune", *HERE, MODEL, "--reset")
    tuned = os.path.join(DATA, "tuned")
    script = (f"mount -t tmpfs -o size=4k none '{tuned}' && "
              f"printf '%s' old > '{tuned}/kept' && exec \"$@\"")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", PROGRAM, *TUNE, "--apply"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        raise tap.Skip("no file system can be mounted here")
    assert done.returncode in (0, 1), done
    assert "an interrupted search cannot go on later" in done.stderr, done.stderr
    assert "is full; free some space" in done.stderr, done.stderr
    assert done.returncode == 0 or re.search(r"gfxbridge: .*is full", done.stderr), done.stderr


def usage():
    assert "they are chat, agents and batch" in call(*TUNE, "--for", "talk", code=2).stderr
    assert "--reset measures nothing" in call(*TUNE, "--reset", code=2).stderr
    assert "too small to be tuned" in call("tune", *HERE, "canary", code=1).stderr


if __name__ == "__main__":
    try:
        prepare()
    except tap.Skip as reason:
        print(f"1..0 # SKIP {reason}")
        sys.exit(0)
    tap.run([("usage", usage),
             ("figures are told, and nothing is stored", figures_are_told_and_nothing_is_stored),
             ("what was measured is applied", what_was_measured_is_applied),
             ("interrupted, it goes on", interrupted_it_goes_on),
             ("two at once", two_at_once),
             ("stored settings are used, and tested first", stored_settings_are_used),
             ("what is no setting is not used", what_is_no_setting_is_not_used),
             ("settings that do not start are left out", settings_that_do_not_start_are_left_out),
             ("reset forgets", reset_forgets),
             ("killed at any moment", killed_at_any_moment),
             ("no room on the disk", no_room)])
