#!/usr/bin/env python3
"""verify.py GFXBRIDGE: a model beside the CPU, on the distribution's engine: what is told, stored and acted on.

That a device which computes otherwise is found is lies' to show (test_lies.c); here a stored difference
is written by hand. GFXB_TEST_DATA names a data directory with the engine, to save the installation.
"""
import atexit
import glob
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import gguf  # noqa: E402
import tap  # noqa: E402
from gfxbridge import answer, call  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge-verify-")
atexit.register(shutil.rmtree, TOP, ignore_errors=True)
DATA = os.environ.get("GFXB_TEST_DATA") or os.path.join(TOP, "data")
MODEL = os.path.join(TOP, "random.gguf")
HERE = ("--data-dir", DATA, "--no-network", "--backend", "cpu")


def prepare():
    done = call("--data-dir", DATA, "backends", "install", "llamacpp:cpu", code=None, timeout=600)
    if done.returncode != 0:
        raise tap.Skip(done.stderr.strip().splitlines()[-1])
    gguf.random_model(MODEL, layers=2, width=256, ff=512, heads=4, heads_kv=2)


def verify(model=MODEL, **options):
    return answer("verify", *HERE, model, **options)["results"]


def choice(*arguments):
    """The installed CPU's in the plan."""
    plan = answer("plan", *HERE, *arguments, code=(0, 3))
    return next(c for c in plan["choices"] if c["installed"])


def rewrite(mark, change):
    """The stored proofs that hold this, changed line by line."""
    n = 0
    for path in glob.glob(os.path.join(DATA, "proofs", "*.proof")):
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
        if any(mark in line for line in lines):
            with open(path, "w", encoding="utf-8") as f:
                f.write("\n".join(change.get(line.split(" ")[0], line) for line in lines) + "\n")
            n += 1
    assert n, f"nothing is stored with {mark}"


def differs():
    rewrite("|model=", {"passed": "passed no", "code": "code model-mismatch",
                        "sentence": "sentence 3 of 6 prompts begin otherwise"})


def it_passes_and_is_told():
    assert choice("--model", MODEL)["model_check"] is None
    (result,) = verify()
    assert result["result"] == "same" and result["code"] == "ok" and result["backend"] == "cpu", result
    assert result["prompts"] == 6 and result["greatest"] < result["allowed"], result
    c = choice("--model", MODEL)
    assert c["model_check"].startswith("passed on "), c
    assert any(e["rung"] == "E4" and "computes as on the CPU" in e["detail"] for e in c["evidence"]), c
    assert "passed on" in call("show", *HERE, MODEL).stdout
    assert choice()["model_check"] is None, "told of no model in particular"


def a_difference_leads_on_for_this_model_alone():
    differs()
    c = choice("--model", MODEL)
    assert (c["state"], c["code"]) == ("rejected", "model-mismatch"), c
    assert "3 of 6 prompts begin otherwise" in c["reason"] and "gfxbridge verify" in c["reason"], c
    done = call("run", *HERE, MODEL, "Hello", code=3)
    assert "3 of 6 prompts begin otherwise" in done.stderr, done.stderr
    assert choice()["state"] == "proven", "another model is none of its business"


def passing_again_undoes_it():
    differs()
    (result,) = verify()
    assert result["result"] == "same", result
    assert choice("--model", MODEL)["state"] == "proven"


def another_file_is_another_model():
    verify()
    os.utime(MODEL, (1, 1))
    assert choice("--model", MODEL)["model_check"] is None


def a_kind_that_failed_is_rejected_before_it_is_started():
    proof = "fails Q6_K"
    rewrite("--device none", {"covers-canaries": "covers-canaries mixed\n" + proof})
    c = choice("--model", MODEL)
    assert (c["state"], c["code"]) == ("rejected", "canary-mismatch") and "Q6_K" in c["reason"], c
    assert choice()["state"] == "proven"
    rewrite(proof, {"fails": "fails-why"})
    assert choice("--model", MODEL)["state"] == "proven"


def what_cannot_be_compared_is_no_difference():
    path = gguf.embedding().write(os.path.join(TOP, "embedding.gguf"))
    (result,) = verify(path, code=1)
    assert result["result"] == "unknown" and "write text" in result["reason"], result
    assert choice("--model", path)["state"] == "proven"


def main():
    cases = [("the engine is installed", prepare),
             ("a model that computes as on the CPU passes, and plan and show tell it", it_passes_and_is_told),
             ("a stored difference rejects the choice for this model alone", a_difference_leads_on_for_this_model_alone),
             ("verify passing again undoes it", passing_again_undoes_it),
             ("a file that has changed was not compared", another_file_is_another_model),
             ("plan rejects a choice for a kind of model that failed on it",
              a_kind_that_failed_is_rejected_before_it_is_started),
             ("a model that writes no text is not compared, and served", what_cannot_be_compared_is_no_difference)]
    tap.run(cases)


main()
