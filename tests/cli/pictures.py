#!/usr/bin/env python3
"""pictures.py GFXBRIDGE: `detect --svg` and `plan --svg` of every captured machine are XML, and show the
same rungs and reasons as the JSON."""
import os
import sys
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import SOURCE, answer, call  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
MACHINES = [os.path.join(SOURCE, "tests", "machines", name)
            for name in sorted(os.listdir(os.path.join(SOURCE, "tests", "machines")))
            if name.endswith(".machine")]


def drawn(*words):
    svg = ElementTree.fromstring(call(*words, "--svg", code=(0, 3)).stdout)
    assert svg.tag == SVG + "svg", svg.tag
    texts = [text.text or "" for text in svg.iter(SVG + "text")]
    marks = [rect.get("class") for rect in svg.iter(SVG + "rect")]
    return texts, marks


def detects():
    for path in MACHINES:
        gpus = answer("detect", "--sysroot", path)["gpus"]
        texts, marks = drawn("detect", "--sysroot", path)
        assert len(marks) == 1 + 5 * len(gpus), path
        for gpu in gpus:
            assert gpu["gfx"] is None or gpu["gfx"] in texts, (path, gpu["gfx"])


def plans():
    """The first way of each backend and set of GPUs: its rungs, and the sentence of its reason."""
    stopped = 0
    for path in MACHINES:
        plan = answer("plan", "--sysroot", path, code=(0, 3))
        texts, marks = drawn("plan", "--sysroot", path)
        said = " ".join(texts)
        assert (len(marks) - 1) % 6 == 0 and len(marks) > 1, path
        chosen = [text for text in texts if text.startswith("→ ")]
        best = plan["choices"][0]
        assert len(chosen) == (best["state"] != "rejected"), (path, chosen)
        assert " ".join(best["reason"].split()) in said, (path, best["reason"])
        failing = any(e["ok"] is False for e in best["evidence"])
        stopped += failing
        assert not failing or "bad" in marks, path
    assert stopped > 0, "no machine stops on a rung"


def table_has_columns():
    """A line has six columns of its target, and nothing of the row behind them."""
    targets = {t["gfx"]: t for t in answer("table")["targets"]}
    for line in call("table").stdout.splitlines()[1:]:
        t = targets[line.split()[0]]
        words = [t["gfx"], *t["generation"].split(), t["family"], str(t["cards"]), t["rocm"], t["vulkan"]]
        assert line.split() == words, line


def refuses():
    for words in (("table", "check", "--html"), ("table", "--html", "--json")):
        call(*words, code=2)


tap.run([
    ("detect --svg of every machine shows its GPUs", detects),
    ("plan --svg of every machine shows where it stopped, and why", plans),
    ("table's lines are the JSON's targets", table_has_columns),
    ("table --html stands alone", refuses),
])
