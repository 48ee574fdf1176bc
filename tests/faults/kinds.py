#!/usr/bin/env python3
"""kinds.py GFXBRIDGE DOUBLE: what `backends verify` says when some kinds of model fail on an engine."""
import atexit
import glob
import os
import shutil
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import SOURCE, answer, call  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge-kinds-")
atexit.register(shutil.rmtree, TOP, ignore_errors=True)
HERE = ("--data-dir", os.path.join(TOP, "data"), "--no-network")
BEHAVIOUR = "answers answers\nseeded seeded\nlog log\n"
LOG = """0.00.1.1 I llama_model_loader: loaded meta data with 20 key-value pairs
0.00.1.3 I load_tensors:       CPU_Mapped model buffer size =     1.70 MiB
0.00.1.5 I srv  llama_server: model loaded
"""


def install():
    tree = os.path.join(TOP, "double", "llama-t1")
    os.makedirs(tree)
    shutil.copy(os.path.abspath(sys.argv[2]), os.path.join(tree, "llama-server"))
    for name in ("canary", "seeded"):
        shutil.copy(os.path.join(SOURCE, "data", name + ".tsv"),
                    os.path.join(tree, {"canary": "answers"}.get(name, name)))
    for name, text in (("behaviour", BEHAVIOUR), ("log", LOG)):
        with open(os.path.join(tree, name), "w", encoding="utf-8") as f:
            f.write(text)
    archive = os.path.join(TOP, "double.tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tree, "llama-t1")
    call(*HERE, "backends", "install", archive)


def behave(more):
    (path,) = glob.glob(os.path.join(TOP, "data", "packages", "*", "**", "behaviour"), recursive=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(BEHAVIOUR + more)


def verify(code):
    (result,) = answer(*HERE, "backends", "verify", code=code)["results"]
    return result["passed"], result["covers"]


def all_kinds_pass():
    behave("")
    passed, covers = verify(0)
    assert passed and covers["failed"] == [] and covers["skipped"] == [], covers
    assert "IQ3_S" in covers["types"] and covers["failed_reason"] is None, covers


def one_fails():
    behave("wrong IQ3_S\n")
    passed, covers = verify(1)
    assert passed and covers["failed"] == ["IQ3_S"] and "IQ3_S" not in covers["types"], covers
    assert "IQ3_S" in covers["failed_reason"], covers
    said = call(*HERE, "backends", "verify", code=1).stderr
    assert "models of these kinds" in said and "IQ3_S" in said, said


def what_every_proof_asks_fails():
    behave("wrong mixed\n")
    passed, _ = verify(4)
    assert not passed


def one_is_not_known():
    behave("unknown seeded-NVFP4\n")
    passed, covers = verify(0)
    assert passed and covers["skipped"] == ["NVFP4"] and "NVFP4" not in covers["types"], covers


tap.run([("the double is installed", install),
         ("all kinds of model pass: exit code 0", all_kinds_pass),
         ("one kind fails: exit code 1, and which is told", one_fails),
         ("what every proof asks fails: exit code 4", what_every_proof_asks_fails),
         ("a kind that the engine does not know is no failure", one_is_not_known)])
