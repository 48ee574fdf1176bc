#!/usr/bin/env python3
"""odd.py GFXBRIDGE: models that change or vanish while they are loaded, names over HTTP, and files
that no engine runs, each with its cause and a status that no client tries again.

The server with the real engine; the models are parrots (tests/lib/parrot.py) in the folders of other
programs.
"""
import json
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import gguf  # noqa: E402
import parrot  # noqa: E402
import tap  # noqa: E402
from gfxbridge import call  # noqa: E402
from server import Server, chat, text_of  # noqa: E402
from wait import wait_until  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge-odd-")
DATA = os.environ.get("GFXB_TEST_DATA") or os.path.join(TOP, "data")
FOLDER = os.path.join(TOP, "llama.cpp")
HUB = os.path.join(TOP, "hub")
OLLAMA = os.path.join(TOP, "ollama")
SHARED = {}


def server():
    if not SHARED:
        call("--data-dir", DATA, "run", "Hello", timeout=300)
        SHARED["server"] = Server(DATA, env={"HOME": TOP, "LLAMA_CACHE": FOLDER, "HF_HUB_CACHE": HUB,
                                             "OLLAMA_MODELS": OLLAMA})
    return SHARED["server"]


def put(path, hello, kind="plain"):
    """A parrot whose word WHO is answered so, in place of what is there."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    parrot.write(path + ".new", kind, {"WHO": hello})
    os.rename(path + ".new", path)
    return path


def who(model):
    status, _, body = server().ask(chat(model=model, messages=[{"role": "user", "content": "WHO"}]))
    assert status == 200, (model, status, body)
    return text_of(body)


def refused(model, status, *words, path="/v1/chat/completions"):
    got, _, body = server().ask(chat(model=model, max_tokens=9), path=path)
    assert got == status, (model, got, body)
    for word in words:
        assert word in body.decode(), (word, body)


# ---- models that change ----

def replaced_while_loaded():
    path = put(os.path.join(FOLDER, "fresh.gguf"), "The first one.")
    assert who("fresh") == "The first one."
    put(path, "The second one.")
    assert who("fresh") == "The second one."
    wait_until(lambda: [m["name"] for m in server().status()["models"]] == ["fresh"],
               lambda: str(server().status()["models"]))


def removed_while_loaded():
    path = put(os.path.join(FOLDER, "going.gguf"), "Here.")
    assert who("going") == "Here."
    os.unlink(path)
    refused("going", 404, "going")
    wait_until(lambda: "going" not in [m["name"] for m in server().status()["models"]],
               lambda: str(server().status()["models"]))
    put(path, "Here again.")
    assert who("going") == "Here again.", "at once"
    os.unlink(path)


def snapshot(repo, commit, text):
    top = os.path.join(HUB, "models--" + repo.replace("/", "--"))
    put(os.path.join(top, "snapshots", commit, "m-Q8_0.gguf"), text)
    os.makedirs(os.path.join(top, "refs"), exist_ok=True)
    with open(os.path.join(top, "refs", "main"), "w") as f:
        f.write(commit)


def pulled_anew_while_loaded():
    """The old file stays where it is; the name means another one."""
    snapshot("org/moving", "1" * 40, "Commit one.")
    assert who("org/moving:Q8_0") == "Commit one."
    snapshot("org/moving", "2" * 40, "Commit two.")
    assert who("org/moving") == "Commit two."
    assert who("ORG/moving:q8_0") == "Commit two."


def alias_moved_while_loaded():
    """Every spelling of a name of one's own reaches the model that it stands for now."""
    for name, hello in (("one", "The one."), ("other", "The other.")):
        put(os.path.join(FOLDER, name + ".gguf"), hello)
    env = {"HOME": TOP, "LLAMA_CACHE": FOLDER}
    for name, hello in (("one", "The one."), ("other", "The other."), ("one", "The one.")):
        call("--data-dir", DATA, "alias", "pointer", name, env=env)
        for word in ("pointer", "POINTER", "pointer:latest", "user.pointer"):
            assert who(word) == hello, (name, word)
    call("--data-dir", DATA, "alias", "rm", "pointer", env=env)
    refused("pointer", 404, "pointer")


# ---- names ----

def names_over_http():
    put(os.path.join(FOLDER, "Parrot.gguf"), "Polly.")
    s = server()
    words = ("Parrot", "parrot", "PARROT:latest", "parrot:LATEST", "user.parrot")
    for word in words:
        assert who(word) == "Polly.", word
        status, _, body = s.ask({"model": word}, path="/api/show")
        assert status == 200 and "Parrot" in json.loads(body)["modelfile"], (word, status, body)
        status, _, body = s.request("GET", f"/v1/models/{word}")
        assert status == 200 and json.loads(body)["id"] == "Parrot", (word, status, body)
        status, _, body = s.ask({"model_name": word}, path="/api/v1/load")
        assert status == 200, (word, body)
        s.command("unload", word)
        wait_until(lambda: "Parrot" not in [m["name"] for m in s.status()["models"]],
                   lambda: str(s.status()["models"]))
    for page in ("https://huggingface.co/org/moving", "huggingface.co/org/moving/tree/main",
                 "https://huggingface.co/org/moving/blob/main/m-Q8_0.gguf?download=true"):
        assert who(page) == "Commit two.", page
    status, _, body = s.request("DELETE", "/api/delete", {"model": "PARROT:latest"})
    assert status == 403 and "delete the file itself" in body.decode(), (status, body)


# ---- what no engine runs ----

def tiny(change):
    f = gguf.tiny()
    change(f)
    return f


def keys(**changes):
    return lambda f: f.keys.update({k.replace("__", "."): v for k, v in changes.items()})


def vision(f):
    f.tensor("v.blk.0.attn_q.weight", 64, 64)


def architecture(f):
    f.keys["general.architecture"] = (gguf.STRING, "qwen99")
    f.keys.update({k.replace(f.architecture + ".", "qwen99.", 1): v for k, v in f.keys.items()
                   if k.startswith(f.architecture + ".")})


def typed(number):
    def change(f):
        name, dims, _ = f.tensors[1]
        f.tensors[1] = (name, dims, (number, 32, 18))
    return change


ODD = [
    # file, what it is, status, words of the sentence
    ("type-31", typed(31), 400, ("Q4_0_4_4", "removed")),
    ("type-4", typed(4), 400, ("Q4_2", "removed")),
    ("type-99", typed(99), 422, ("type 99",)),
    ("vision-in-one", vision, 400, ("Ollama's own engine", "mmproj")),
    ("architecture", architecture, 400, ("qwen99", "too old")),
    ("tokenizer", keys(tokenizer__ggml__model=(gguf.STRING, "plamo99")), 400,
     ("tokenizer", "plamo99")),
    ("pre-tokenizer", keys(tokenizer__ggml__model=(gguf.STRING, "gpt2"),
                           tokenizer__ggml__pre=(gguf.STRING, "zzz-99"),
                           tokenizer__ggml__merges=gguf.Array(gguf.STRING, ["a b"])), 400,
     ("tokenizer", "zzz-99")),
    ("template-syntax", keys(tokenizer__chat_template=(gguf.STRING, "{{ bad | nosuchfilter(")), 400,
     ("chat template", "broken")),
    ("template-runtime", keys(tokenizer__chat_template=(
        gguf.STRING, "{% for m in messages %}{{ m.content.foo().bar }}{% endfor %}")), 400,
     ("chat template", "broken")),
    ("empty", b"", 422, ("empty",)),
    ("lfs-pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 +
     b"\nsize 4920739232\n", 422, ("Git LFS pointer",)),
    ("page", b"<!DOCTYPE html><html><body>401</body></html>", 422, ("web page",)),
    ("cut", "cut", 422, ("incomplete",)),
]


def each_odd_file_has_its_cause():
    os.makedirs(FOLDER, exist_ok=True)
    for name, what, status, words in ODD:
        path = os.path.join(FOLDER, name + ".gguf")
        if what == "cut":
            shutil.copy(put(os.path.join(TOP, "whole.gguf"), "Whole."), path)
            os.truncate(path, os.path.getsize(path) // 2)
        elif isinstance(what, bytes):
            with open(path, "wb") as f:
                f.write(what)
        else:
            tiny(what).write(path)
        refused(name, status, *words)
        if name in ("type-31", "tokenizer"):
            refused(name, status, *words, path="/api/chat")
            refused(name, status, *words, path="/v1/messages")
            got, _, body = server().ask({"model_name": name}, path="/api/v1/load")
            assert got == status, (name, got, body)
        os.unlink(path)


CASES = [
    ("a model that is replaced while it is loaded", replaced_while_loaded),
    ("a model that is removed while it is loaded", removed_while_loaded),
    ("a model that is pulled again while it is loaded", pulled_anew_while_loaded),
    ("an alias that is moved while its model is loaded", alias_moved_while_loaded),
    ("names over HTTP", names_over_http),
    ("each odd file has its cause", each_odd_file_has_its_cause),
]


def main():
    wanted = sys.argv[2:]
    try:
        tap.run([c for c in CASES if not wanted or any(w in c[0] for w in wanted)])
    finally:
        if SHARED:
            SHARED["server"].stop()
        shutil.rmtree(TOP, ignore_errors=True)


if __name__ == "__main__":
    main()
