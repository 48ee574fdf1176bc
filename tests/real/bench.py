#!/usr/bin/env python3
"""bench.py GFXBRIDGE: what `bench` measures on the distribution's engine, and what it makes of it.

Speeds are not judged: what counts is that the engine's own counts are told, that a failure is, and
that the policy "fastest" goes by the figures exactly as long as they are of this computer.
"""
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import gguf  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, SOURCE, answer, call, processes_of  # noqa: E402
from wait import wait_until  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge bench ")
DATA = os.path.join(TOP, "data")


def prepare():
    done = call("--data-dir", DATA, "backends", "install", "llamacpp:cpu", code=None, timeout=600)
    if done.returncode != 0 and not os.path.isdir(os.path.join(DATA, "packages")):
        raise tap.Skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr


def bench(*arguments, data=DATA, **options):
    if not os.path.isdir(os.path.join(data, "packages")):
        raise tap.Skip("no engine is installed")
    return answer("--data-dir", data, "bench", *arguments, **options)


def figures():
    """The stored proofs without what they cover: a model's needs are tested before it is measured."""
    return [line for line in proof_text().splitlines() if not line.startswith("covers")]


def proof_text(data=DATA):
    texts = []
    for path in glob.glob(os.path.join(data, "proofs", "*.proof")):
        with open(path, encoding="utf-8") as f:
            texts.append(f.read())
    return "".join(texts)


def plan(*arguments):
    """The first choice of the policy "fastest"."""
    return answer("--data-dir", DATA, "plan", "--policy", "fastest", *arguments)["choices"][0]


def counts_are_the_engines():
    got = bench()
    assert got["fastest"] == "cpu" and got["model"] == "canary" and got["failed"] == [], got
    assert got["context"] == 4096 and got["applied"] is False
    (one,) = got["results"]
    assert one["short"]["prompt_tokens"] == 64 and one["long"]["prompt_tokens"] == 4096 - 128, one
    for figures in (one["short"], one["long"]):
        assert figures["answer_tokens"] == 64 and 1 <= figures["runs"] <= 3, figures
        assert figures["prompt_per_second"] > 0 and figures["tokens_per_second"] > 0, figures
    assert f"fingerprint {one['fingerprint']}\n" in proof_text()
    # The canary fits into caches: memory does not bound it.
    assert one["bandwidth_bytes_per_second"] is None and "small" in one["bandwidth_unknown"], one
    assert one["depths"] == [one["short"], one["long"]]
    assert one["short"]["limit_tokens_per_second"] is None and one["short"]["share_of_limit"] is None
    assert one["device"] == "CPU" and one["package"].endswith("-cpu")


def nothing_is_stored_unasked():
    bench("--backend", "cpu")
    assert "bench-" not in proof_text()
    assert "in bench" not in plan()["reason"]


def words_for_people():
    if not os.path.isdir(os.path.join(DATA, "packages")):
        raise tap.Skip("no engine is installed")
    lines = call("--data-dir", DATA, "bench").stdout.splitlines()
    assert re.match(r"fastest: cpu with \S+-cpu, [\d.]+ tokens/s with canary$", lines[0]), lines
    assert [line.split()[:2] for line in lines[2:4]] == [["cpu", "64"], ["cpu", "3968"]], lines
    assert lines[2].split()[4] == "unknown" and "small" in lines[4], lines
    assert "4096 tokens" in lines[5] and len(lines) == 6, lines


def a_model_of_the_users():
    path = os.path.join(TOP, "my model.gguf")
    shutil.copy(os.path.join(SOURCE, "data", "canary.gguf"), path)
    got = bench("--model", path)
    assert got["model"] != "canary" and got["results"][0]["long"]["prompt_tokens"] > 0, got
    done = call("--data-dir", DATA, "bench", "--model", os.path.join(TOP, "none.gguf"), code=1)
    assert "none.gguf" in done.stderr and done.stdout == ""


def the_limit_of_memory():
    """A model that no cache holds, with a context so short that it is measured soon: what a token reads is what
    its tensors weigh, and the share is the quotient."""
    path = os.path.join(TOP, "large.gguf")
    gguf.random_model(path, layers=4, width=2048, ff=8192, context=256, types=(gguf.F16,))
    got = bench("--model", path, "--backend", "cpu")
    (one,) = got["results"]
    speed, figures = one["bandwidth_bytes_per_second"], one["short"]
    assert speed > 1e8 and one["bandwidth_unknown"] is None, one
    read, size = speed / figures["limit_tokens_per_second"], os.path.getsize(path)
    assert size * 0.97 < read < size * 1.03, (read, size)
    share = figures["tokens_per_second"] / figures["limit_tokens_per_second"]
    assert abs(share - figures["share_of_limit"]) < 1e-6, figures
    assert figures["limit_tokens_per_second"] > one["long"]["limit_tokens_per_second"]


def a_plot():
    """Well-formed whatever the model is called, with a point for each depth, and nothing from elsewhere."""
    if not os.path.isdir(os.path.join(DATA, "packages")):
        raise tap.Skip("no engine is installed")
    path = os.path.join(os.fsencode(TOP), b'a <b> & "c" \xff\x01.gguf')
    shutil.copy(os.path.join(SOURCE, "data", "canary.gguf"), path)
    file = os.path.join(TOP, "plot.svg")
    call("--data-dir", DATA, "bench", "--model", path, "--plot", file, errors="replace")
    root = xml.etree.ElementTree.parse(file).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == space + "svg" and "<b>" in root.find(space + "title").text
    assert len(root.findall(space + "circle")) == 5
    with open(file, encoding="utf-8") as f:
        text = f.read().replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text and "prefers-color-scheme: dark" in text
    got = bench("--plot", file)
    assert [f["prompt_tokens"] for f in got["results"][0]["depths"]] == [64, 496, 992, 1984, 3968], got
    done = call("--data-dir", DATA, "bench", "--plot", os.path.join(TOP, "none", "p.svg"), code=1)
    assert "none/p.svg" in done.stderr, done.stderr


def one_that_cannot_be_measured():
    """A model that only embeds: all that is proven refuses to answer with it. Nothing is applied."""
    path = os.path.join(TOP, "embeds.gguf")
    gguf.embedding().write(path)
    before = figures()
    got = bench("--model", path, "--apply", code=1)
    assert got["fastest"] is None and got["results"] == [] and not got["applied"], got
    (one,) = got["failed"]
    assert one["backend"] == "cpu" and one["reason"] and one["fingerprint"], one
    assert figures() == before


def fastest_goes_by_it():
    got = bench("--apply")
    assert got["applied"] is True
    text, speed = proof_text(), got["results"][0]["long"]["tokens_per_second"]
    stored = float(re.search(r"^bench-tokens-per-second ([\d.]+)$", text, re.M).group(1))
    assert abs(stored - speed) < 0.01, (stored, speed)
    assert "bench-with canary, 4096 tokens\n" in text
    first = plan()
    assert first["backend"] == "cpu" and first["state"] == "proven", first
    assert f"{speed:.1f} tokens/s in bench with canary, 4096 tokens" in first["reason"], first


def another_kernel_has_no_figures():
    """This computer as a file, as it is and with another kernel."""
    if "bench-with" not in proof_text():
        raise tap.Skip("no engine is installed")
    same, other = os.path.join(TOP, "same.machine"), os.path.join(TOP, "other.machine")
    call("capture", same)
    with open(same, encoding="utf-8") as f:
        text = f.read()
    with open(other, "w", encoding="utf-8") as f:
        f.write(re.sub(r"^(file /proc/sys/kernel/osrelease ).*", r"\g<1>6.99.1", text, flags=re.M))
    assert "in bench" in plan("--sysroot", same)["reason"]
    first = plan("--sysroot", other)
    assert first["state"] == "usable" and "in bench" not in first["reason"], first


def proven_again_it_has_none():
    if "bench-with" not in proof_text():
        raise tap.Skip("no engine is installed")
    call("--data-dir", DATA, "backends", "verify")
    assert "bench-" not in proof_text()


def usage():
    for option in (("--backend", "cpu"), ("--policy", "cpu"), ("--gpu", "0000:03:00.0")):
        done = call("--data-dir", DATA, "bench", "--apply", *option, code=2)
        assert "--apply compares all" in done.stderr, done.stderr
    empty = os.path.join(TOP, "empty")
    done = call("--data-dir", empty, "bench", code=1)
    assert "backends install llamacpp:cpu" in done.stderr, done.stderr


def interrupted():
    """Ctrl-C while an engine works: 130, no engine is left, nothing is stored."""
    if not os.path.isdir(os.path.join(DATA, "packages")):
        raise tap.Skip("no engine is installed")
    before = proof_text()
    process = subprocess.Popen([PROGRAM, "--data-dir", DATA, "bench", "--apply", "--plot",
                                os.path.join(TOP, "never.svg")],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    wait_until(lambda: processes_of(DATA, "llama-server"), "an engine")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and "interrupted" in err, (out, err)
    assert not processes_of(DATA, "llama-server")
    assert [n for n in os.listdir(os.path.join(DATA, "run")) if n != ".lock"] == []
    assert proof_text() == before and not os.path.exists(os.path.join(TOP, "never.svg"))


def broken_package():
    """A data directory whose engine is a program that only fails, and that was never proven."""
    data = os.path.join(TOP, "broken")
    shutil.copytree(DATA, data, symlinks=True, ignore=shutil.ignore_patterns("proofs", "cache"))
    for path in glob.glob(os.path.join(data, "packages", "*", "package.manifest")):
        with open(path, encoding="utf-8") as f:
            name = re.search(r"^executable (.+)$", f.read(), re.M).group(1)
        engine = os.path.join(os.path.dirname(path), name)
        os.unlink(engine)
        shutil.copy("/bin/false", engine)
    return data


def a_proof_that_fails_is_told():
    if not os.path.isdir(os.path.join(DATA, "packages")):
        raise tap.Skip("no engine is installed")
    data = broken_package()
    got = bench("--apply", data=data, code=4)
    assert got["fastest"] is None and got["results"] == [] and not got["applied"], got
    (one,) = got["failed"]
    assert one["backend"] == "cpu" and one["code"] == "engine-exit" and one["reason"], one
    assert "bench-" not in proof_text(data)
    # It is not tried again, and that is no failure of now; but nothing could be measured.
    again = bench(data=data, code=1)
    assert again["failed"][0]["code"] == "failed-before", again
    done = call("--data-dir", data, "bench", code=1)
    assert "cpu with" in done.stderr and "failed-before" in done.stderr, done.stderr


def clean_up():
    shutil.rmtree(TOP, ignore_errors=True)


tap.run([
    ("the distribution's engine is installed", prepare),
    ("what is counted is the engine's count, and the long prompt fills the context",
     counts_are_the_engines),
    ("without --apply nothing is stored", nothing_is_stored_unasked),
    ("people get a table", words_for_people),
    ("a model of the user's", a_model_of_the_users),
    ("how fast memory lets a model answer", the_limit_of_memory),
    ("a plot", a_plot),
    ("a model that cannot answer is told, and nothing is applied", one_that_cannot_be_measured),
    ("--apply: the policy fastest goes by it", fastest_goes_by_it),
    ("on another kernel the figures do not count", another_kernel_has_no_figures),
    ("what is proven again has no figures", proven_again_it_has_none),
    ("usage", usage),
    ("Ctrl-C ends it in order", interrupted),
    ("a proof that fails on the way is told", a_proof_that_fails_is_told),
    ("clean up", clean_up),
])
