#!/usr/bin/env python3
"""dialects.py GFXBRIDGE: what each API promises, with the real engine on the CPU and parrots, whose
answer the request chooses (tests/lib/parrot.py)."""
import json
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
import parrot  # noqa: E402
import tap  # noqa: E402
from gfxbridge import call  # noqa: E402
from server import Server  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge dialects ")
DATA = os.path.join(os.environ.get("GFXB_BUILD", TOP), "dialects-data")  # the engine stays for next time
SHARED = {}


def server():
    """One for all cases, from the first one on."""
    if "server" not in SHARED:
        done = call("--data-dir", DATA, "run", "--backend", "cpu", "hi", code=None, timeout=600)
        if done.returncode != 0:
            raise tap.Skip("no engine: " + done.stderr.strip().splitlines()[-1])
        for kind in ("plain", "think", "strict", "deaf", "bare"):
            bring(kind, parrot.write(os.path.join(TOP, kind + ".gguf"), kind))
        bring("embedder", parrot.write_embedder(os.path.join(TOP, "embedder.gguf")))
        SHARED["server"] = Server(DATA, "--backend", "cpu", config={"default_model": "plain"})
    return SHARED["server"]


def bring(name, path):
    """The model under this name; what an earlier run left of it is removed."""
    call("--data-dir", DATA, "rm", name, code=None)
    call("--data-dir", DATA, "import", path, "--name", name)


def ask(path, body, status=200, headers=None):
    """The JSON of an answer."""
    got, _, data = server().ask(body, path, headers=headers, timeout=120)
    assert got == status, f"{path}: {got}, wanted {status}: {data[:600]}"
    return json.loads(data)


def said(text):
    return [{"role": "user", "content": text}]


# ---- any of them ----

def a_model_without_a_template_writes():
    """It once ended the engine: a model that answers needs a pooling of its own beside embeddings."""
    answer = ask("/v1/chat/completions", {"model": "bare", "messages": said("hi")})
    assert answer["choices"][0]["message"]["content"] == parrot.HELLO, answer


CASES = [
    ("a model without a template writes", a_model_without_a_template_writes),
]

if __name__ == "__main__":
    try:
        tap.run(CASES)
    finally:
        if "server" in SHARED:
            SHARED["server"].stop()
