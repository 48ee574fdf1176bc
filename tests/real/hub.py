#!/usr/bin/env python3
"""hub.py GFXBRIDGE: models pulled from a Hugging Face hub and an Ollama registry on loopback, into
the caches that other programs share; and those of other programs used where they are.

nginx with TLS plays hub, registry and storage (hub_world.py). Every case ends in a model that is
complete and whole, or in one clear sentence and nothing that looks like a model.
"""
import contextlib
import errno
import fcntl
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
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap  # noqa: E402
import hub_world as hw  # noqa: E402
import mirror_world as mw  # noqa: E402
from gfxbridge import PROGRAM, SOURCE, call  # noqa: E402
from wait import wait_until  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge hub ")  # with a blank, as users have them
ENGINE = os.environ.get("GFXB_TEST_DATA") or os.path.join(TOP, "engine data")
SEED = int(os.environ.get("GFXB_TEST_SEED", "0")) or random.randrange(1 << 30)
RANDOM = random.Random(SEED)
QUESTION, ANSWER = "Which gfx is the Radeon RX 7900 XT?", "gfx1100"
WORLD = None
with open(os.path.join(SOURCE, "data", "canary.gguf"), "rb") as canary:
    CANARY = canary.read()
BIG = CANARY + os.urandom(6000000)  # what follows the tensors is nobody's business


# ---- homes and calls ----

class Home:
    """One user: a home directory, a data directory, a hub cache."""

    def __init__(self, **settings):
        self.top = tempfile.mkdtemp(prefix="home ", dir=TOP)
        self.data = os.path.join(self.top, "data")
        self.hub = os.path.join(self.top, ".cache", "huggingface", "hub")
        self.env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and
                    not k.startswith(("HF_", "HUGGINGFACE_", "OLLAMA_", "LLAMA_"))}
        self.env.update(HOME=self.top, HF_ENDPOINT=WORLD.hub + "/", GFXBRIDGE_DATA_DIR=self.data,
                        GFXBRIDGE_OLLAMA_REGISTRY=WORLD.registry, GFXBRIDGE_CA_FILE=WORLD.ca,
                        OLLAMA_MODELS=self.path("ollama"), **settings)

    def path(self, *parts):
        return os.path.join(self.top, *parts)

    def call(self, *words, code=0, **settings):
        return subprocess_call(words, code, {**self.env, **settings})

    def pull(self, *words, code=0, **settings):
        return self.call("pull", *words, code=code, **settings)

    def start(self, *words, **settings):
        return subprocess.Popen([PROGRAM, *words], env={**self.env, **settings},
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, cwd="/")

    def refused(self, code_name, *words, command="pull", says=(), **settings):
        """One sentence with these words in it, and the code of the JSON form."""
        if command == "pull":
            done = self.call("pull", "--progress", "json", *words, code=1, **settings)
            last = json.loads(done.stdout.splitlines()[-1])
            assert last["event"] == "error" and last["code"] == code_name, last
            text = last["message"]
        else:
            text = self.call(command, *words, code=1, **settings).stderr
        for word in says:
            assert word in text, (word, text)
        return text

    def list(self, **settings):
        """What is on the disk: without the canary, which is always there."""
        done = self.call("list", "--json", **settings)
        return {m["name"]: m for m in json.loads(done.stdout)["models"] if m["origin"] != "builtin"}

    def repo(self, name, *parts):
        return os.path.join(self.hub, "models--" + name.replace("/", "--"), *parts)

    def answers(self, model):
        """The real engine loads it and says what it has learned."""
        done = subprocess_call(("run", "--backend", "cpu", model, QUESTION), 0,
                               {**self.env, "GFXBRIDGE_DATA_DIR": ENGINE})
        assert ANSWER in done.stdout, done.stdout


def subprocess_call(words, code, env):
    done = subprocess.run([PROGRAM, *words], env=env, stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=300, cwd="/")
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Sanitizer" not in done.stderr, done.stderr
    return done


def write(path, content=b""):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content)
    return path


def read(path):
    with open(path, "rb") as f:
        return f.read()


def size_of(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def tree(top):
    """Every path below, as a sorted list."""
    return sorted(os.path.relpath(os.path.join(where, name), top)
                  for where, folders, files in os.walk(top) for name in folders + files)


def storage_requests(since=0):
    return [r for r in WORLD.requests()[since:] if r[0] == str(WORLD.storage_port)]


def unique(size=100):
    """A model like no other: the canary and some bytes behind it."""
    return CANARY + os.urandom(size)


def check_repository(home, name, files, commit=hw.COMMIT):
    """Exactly what huggingface_hub documents: blobs by etag, relative links, main without newline.
    files: {path: bytes}."""
    wanted = {"blobs", "refs", "refs/main", "snapshots", f"snapshots/{commit}"}
    for path, data in files.items():
        etag = hw.sha256(data)
        blob = home.repo(name, "blobs", etag)
        link = home.repo(name, "snapshots", commit, path)
        assert os.path.islink(link), link
        up = "../" * (2 + path.count("/"))
        assert os.readlink(link) == f"{up}blobs/{etag}", os.readlink(link)
        assert not os.path.islink(blob) and read(blob) == data, blob
        assert os.path.exists(os.path.join(home.hub, ".locks", "models--" + name.replace("/", "--"),
                                           etag + ".lock"))
        wanted |= {f"blobs/{etag}", f"snapshots/{commit}/{path}"}
        folder = os.path.dirname(path)
        if folder:
            wanted.add(f"snapshots/{commit}/{folder}")
    assert read(home.repo(name, "refs", "main")) == commit.encode()
    assert set(tree(home.repo(name))) == wanted, set(tree(home.repo(name))) ^ wanted


# ---- the hub ----

def default_quantisation():
    data = {p: unique() for p in ("m-Q2_K.gguf", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "README.md")}
    WORLD.publish("org/default", data)
    home = Home()
    done = home.pull("org/default")
    assert "org/default:Q4_K_M is here" in done.stderr, done.stderr
    check_repository(home, "org/default", {"m-Q4_K_M.gguf": data["m-Q4_K_M.gguf"]})
    model = home.list()["org/default:Q4_K_M"]
    assert model["origin"] == "hub" and model["ours"] is True, model
    assert model["sha256"] is None or model["sha256"] == hw.sha256(data["m-Q4_K_M.gguf"])
    assert model["revision"] == hw.COMMIT and model["bytes"] == len(data["m-Q4_K_M.gguf"]), model
    since = len(WORLD.requests())
    home.pull("org/default:q8_0")
    check_repository(home, "org/default", {p: data[p] for p in ("m-Q4_K_M.gguf", "m-Q8_0.gguf")})
    home.pull("org/default")
    assert len(storage_requests(since)) == 1, "a file that is here was fetched again"
    home.answers("org/default:Q8_0")


def named_file_in_a_folder():
    data = unique()
    WORLD.publish("org/folder", {"sub dir/model with blank.gguf": data, "b.gguf": unique()})
    home = Home()
    home.pull("org/folder")
    home.pull("--quiet", "org/folder/b.gguf")
    listed = home.list()
    assert "org/folder/b.gguf" in listed, listed
    path = os.path.join("sub dir", "model with blank.gguf")
    assert any(m["path"].endswith(path) for m in listed.values()) or \
        not os.path.exists(home.repo("org/folder", "snapshots", hw.COMMIT, path))


def wrong_quantisation_names_the_others():
    WORLD.publish("org/some", {"m-Q4_0.gguf": unique(), "m-IQ2_XS.gguf": unique()})
    WORLD.publish("org/none", {"model.safetensors": b"x" * 100})
    home = Home()
    home.refused("model-unknown", "org/some:Q9_9", says=("Q9_9", "Q4_0", "IQ2_XS"))
    home.refused("model-unusable", "org/none", says=("no GGUF", "-GGUF"))
    home.refused("model-unknown", "org/some/other.gguf", says=("other.gguf", "Q4_0"))
    assert not os.path.exists(home.hub) or tree(home.hub) == []


def token_stays_at_the_hub():
    WORLD.publish("org/private", {"m-Q8_0.gguf": unique()}, private=True)
    WORLD.tokens.add("hf_good")
    home = Home()
    home.refused("model-unknown", "org/private", says=("org/private", "private", "HF_TOKEN"))
    since = len(WORLD.requests())
    home.pull("org/private", HF_TOKEN="hf_good")
    asked = WORLD.requests()[since:]
    at_hub = [r for r in asked if r[0] == str(WORLD.hub_port)]
    assert at_hub and all(r[6] == "Bearer hf_good" for r in at_hub), at_hub
    at_storage = storage_requests(since)
    assert at_storage and all(r[6] == "-" for r in at_storage), at_storage


def token_from_the_file():
    WORLD.publish("org/private2", {"m-Q8_0.gguf": unique()}, private=True)
    WORLD.tokens.add("hf_file")
    home = Home()
    write(home.path(".cache", "huggingface", "token"), b"hf_file\n")
    home.pull("org/private2")
    other = Home()
    write(other.path("elsewhere"), b"hf_file")
    other.pull("org/private2", HF_TOKEN_PATH=other.path("elsewhere"))


def refused_token_is_left_out():
    WORLD.publish("org/public", {"m-Q8_0.gguf": unique()})
    home = Home()
    done = home.pull("org/public", HF_TOKEN="hf_expired")
    assert "not accepted" in done.stderr, done.stderr
    assert "hf_expired" not in done.stderr


def gated_in_words():
    WORLD.publish("org/gated", {"m-Q8_0.gguf": unique()}, gated=True)
    WORLD.tokens.update({"hf_other", "hf_granted"})
    WORLD.granted.add("hf_granted")
    home = Home()
    home.refused("model-gated", "org/gated", says=("gated", WORLD.hub + "/org/gated", "HF_TOKEN"))
    home.refused("model-gated", "org/gated", says=("gated", "org/gated"), HF_TOKEN="hf_other")
    assert home.list() == {}
    home.pull("org/gated", HF_TOKEN="hf_granted")


def renamed_repository():
    data = unique()
    WORLD.publish("org/new-name", {"m-Q8_0.gguf": data}, private=True)
    WORLD.repos["org/old-name"] = {"moved": "org/new-name", "files": {}, "commit": hw.COMMIT}
    WORLD.tokens.add("hf_good")
    home = Home()
    home.pull("org/old-name", HF_TOKEN="hf_good")
    check_repository(home, "org/old-name", {"m-Q8_0.gguf": data})


def pages_of_a_long_list():
    files = {f"m-{i:03}-Q2_K.gguf": unique() for i in range(7)}
    files["z-Q4_K_M.gguf"] = unique()
    WORLD.publish("org/pages", files, page=3)
    home = Home()
    home.pull("org/pages")
    check_repository(home, "org/pages", {"z-Q4_K_M.gguf": files["z-Q4_K_M.gguf"]})


def next_page_elsewhere_is_asked_here():
    """A Link to another host must not get the token, nor be believed."""
    files = {"a-Q2_K.gguf": unique(), "z-Q4_K_M.gguf": unique()}
    WORLD.publish("org/lured", files, page=1, link_base=WORLD.storage)
    WORLD.tokens.add("hf_good")
    since = len(WORLD.requests())
    home = Home()
    home.pull("org/lured", HF_TOKEN="hf_good")
    assert all(r[6] == "-" and "/api/" not in r[2] for r in storage_requests(since))
    assert "org/lured:Q4_K_M" in home.list()


def limited():
    """Who takes no more requests, until when, and which token helps: the hub's for the hub, none for
    the registry. What was pulled before is used meanwhile."""
    data = unique()
    WORLD.publish("org/limited", {"m-Q8_0.gguf": data})
    home, other = Home(), Home()
    home.pull("org/limited")
    for header in (("Retry-After", "3600"), ("RateLimit", '"api";r=0;t=3600')):
        WORLD.repos["org/limited"]["limited"] = [header]
        until = time.strftime("%Y-%m-%d %H:", time.gmtime(time.time() + 3590))
        text = other.refused("rate-limited", "org/limited", says=("HF_TOKEN", until, "UTC"))
        assert "GITHUB" not in text, text
        text = other.refused("rate-limited", "org/limited", HF_TOKEN="hf_good")
        assert "HF_TOKEN" not in text, text
    WORLD.models["library/limited:latest"] = 429, b"slow down", [("Retry-After", "3600")]
    text = other.refused("rate-limited", "limited", says=(until,))
    assert "TOKEN" not in text, text
    assert "as it was pulled before" in home.pull("org/limited").stderr
    home.answers(home.list()["org/limited:Q8_0"]["path"])
    WORLD.repos["org/limited"]["limited"] = [("Retry-After", "1")]
    threading.Timer(0.5, WORLD.repos["org/limited"].pop, ["limited"]).start()
    other.pull("org/limited")  # a second is waited for


# ---- names ----

def names_in_any_case():
    """One model whatever the case, with ":latest" or without, in every command; those that differ in
    case only are told apart by the very name."""
    WORLD.publish("org/Cased-GGUF", {"m-Q8_0.gguf": unique()})
    WORLD.publish_model("library/cased:latest", [("model", unique())])
    home = Home()
    home.pull("ORG/cased-gguf:q8_0")
    since = len(WORLD.requests())
    home.pull("org/CASED-GGUF:latest")
    assert not storage_requests(since), "it is here already"
    home.pull("CASED:Latest")
    home.call("import", home.list()["org/Cased-GGUF:Q8_0"]["path"], "--name", "Mine")
    assert set(home.list()) == {"org/Cased-GGUF:Q8_0", "cased:latest", "Mine"}
    for name, words in (("org/Cased-GGUF:Q8_0", ("ORG/CASED-gguf", "org/cased-gguf:LATEST",
                                                 "HF.CO/org/cased-gguf:q8_0",
                                                 "org/cased-gguf:M-q8_0.gguf")),
                        ("cased:latest", ("CASED", "cased:LATEST", "Cased",
                                          "Registry.Ollama.AI/library/CASED")),
                        ("Mine", ("mine", "MINE:latest", "user.mine")),
                        ("canary", ("Canary", "CANARY:latest"))):
        for word in words:
            done = json.loads(home.call("show", "--json", word).stdout)
            assert done["model"]["name"] == name, (word, done["model"]["name"])
    path = write(home.path("own.gguf"), CANARY)
    done = home.call("import", path, "--name", "mINE", code=1)
    assert "Mine already" in done.stderr, done.stderr
    for name in ("twin", "Twin"):  # another program's
        write(home.path(".cache", "llama.cpp", name + ".gguf"), unique())
    for name in ("twin", "Twin"):
        done = json.loads(home.call("show", "--json", name).stdout)
        assert done["model"]["name"] == name, done["model"]
    done = home.call("show", "TWIN", code=1)
    assert "Twin, twin" in done.stderr, done.stderr
    home.call("rm", "MINE:latest")
    home.call("rm", "CASED")
    home.call("rm", "ORG/CASED-GGUF:LATEST")
    assert set(home.list()) == {"twin", "Twin"}


def files_and_pages():
    """A file as tag, with its folder or without, and the addresses that a browser shows."""
    files = {"a-Q4_K_M.gguf": unique(), "Q8_0/a-Q8_0.gguf": unique(), "own name (1).gguf": unique()}
    WORLD.publish("org/files", files)
    WORLD.publish_model("library/paged:1b", [("model", unique())])
    page = "https://huggingface.co/org/files"
    for word, wanted in (("org/files:a-q4_k_m.GGUF".replace("GGUF", "gguf"), "a-Q4_K_M.gguf"),
                         ("hf.co/org/files:Q8_0/a-Q8_0.gguf", "Q8_0/a-Q8_0.gguf"),
                         ("org/files:a-Q8_0.gguf", "Q8_0/a-Q8_0.gguf"),
                         ("org/files/a-Q8_0.gguf", "Q8_0/a-Q8_0.gguf"),
                         (page, "a-Q4_K_M.gguf"),
                         (page + "/tree/main/Q8_0", "Q8_0/a-Q8_0.gguf"),
                         (page + "/blob/main/own%20name%20(1).gguf", "own name (1).gguf"),
                         (page + "/resolve/main/a-Q4_K_M.gguf?download=true", "a-Q4_K_M.gguf"),
                         (page[8:] + "?show_file_info=Q8_0%2Fa-Q8_0.gguf", "Q8_0/a-Q8_0.gguf")):
        home = Home()
        home.pull(word)
        model, = home.list().values()
        assert model["path"].endswith(f"/{hw.COMMIT}/{wanted}"), (word, model["path"])
        assert json.loads(home.call("show", "--json", word).stdout)["model"]["name"], word
    home = Home()
    home.pull("https://ollama.com/library/paged:1b")
    home.pull("ollama run paged:1b")
    assert set(home.list()) == {"paged:1b"}
    for word in (page + "/tree/v2", page + "/blob/main/README.txt/x", "https://huggingface.co/org"):
        done = home.pull(word, code=1)
        assert "branch main" in done.stderr, done.stderr
    done = home.pull("org/files:b-Q4_K_M.gguf", code=1)
    assert "a-Q4_K_M" in done.stderr or "Q4_K_M" in done.stderr, done.stderr


def models_of_ollama_users():
    """A user's model of the Ollama registry, where the hub has no such repository; else both say no."""
    WORLD.publish_model("library/okay:latest", [("model", unique())])
    WORLD.publish_model("user/own:latest", [("model", unique())])
    WORLD.publish_model("user/own:7b", [("model", unique())])
    WORLD.publish("user/both", {"m-Q8_0.gguf": unique()})
    WORLD.publish_model("user/both:latest", [("model", unique())])
    home = Home()
    home.pull("registry.ollama.ai/library/okay", "User/own", "ollama run user/own:7b",
              "user/both")
    assert set(home.list()) == {"okay:latest", "user/own:latest", "user/own:7b", "user/both:Q8_0"}
    for word, name in (("registry.ollama.ai/user/own", "user/own:latest"),
                       ("USER/OWN:latest", "user/own:latest"), ("user/own", "user/own:latest")):
        done = json.loads(home.call("show", "--json", word).stdout)
        assert done["model"]["name"] == name, (word, done["model"])
    home.refused("model-unknown", "user/none", says=("no repository user/none", WORLD.hub,
                                                     "Ollama registry has no model user/none"))
    text = home.refused("model-unknown", "hf.co/user/own", says=("no repository",))
    assert "Ollama" not in text, text
    text = home.refused("model-unknown", "ollama.com/user/none", says=("Ollama",))
    assert "repository" not in text, text
    text = home.refused("model-unknown", "user/both:Q2_K", says=("user/both has no Q2_K",))
    home.call("rm", "user/own")
    assert "user/own:latest" not in home.list()


def split_model():
    parts = hw.split_gguf(CANARY, 3)
    files = {f"Q4_K_M/m-Q4_K_M-{i + 1:05}-of-00003.gguf": p for i, p in enumerate(parts)}
    WORLD.publish("org/split", {**files, "m-Q8_0-00001-of-00002.gguf": parts[0]})
    home = Home()
    home.pull("org/split")
    check_repository(home, "org/split", files)
    model = home.list()["org/split:Q4_K_M"]
    assert model["bytes"] == sum(len(p) for p in parts), model
    assert model["path"].endswith("-00001-of-00003.gguf"), model
    home.refused("model-unavailable", "org/split:Q8_0", says=("part 2 of 2",))
    home.answers("org/split")
    os.remove(home.repo("org/split", "blobs", hw.sha256(parts[1])))
    assert home.list() == {}, "a model with a missing part is listed"


def projector_beside_it():
    files = {"m-Q4_K_M.gguf": unique(), "mmproj-F32.gguf": unique(), "mmproj-F16.gguf": unique(),
             "q8/mmproj-Q8_0.gguf": unique(), "imatrix.gguf": unique(), "mtp-m-Q4_K_M.gguf": unique()}
    WORLD.publish("org/vision", files)
    home = Home()
    home.pull("org/vision")
    check_repository(home, "org/vision", {p: files[p] for p in ("m-Q4_K_M.gguf", "mmproj-F16.gguf")})
    model = home.list()["org/vision:Q4_K_M"]
    assert model["mmproj"].endswith("/mmproj-F16.gguf") and "vision" in model["labels"], model


def llama_cpp_finds_it_too():
    """The engine itself, offline, by the repository's name alone: it reads the cache that we wrote."""
    files = {f"m-Q4_K_M-{i + 1:05}-of-00002.gguf": part
             for i, part in enumerate(hw.split_gguf(CANARY, 2))}
    WORLD.publish("org/forothers", files)
    home = Home()
    home.pull("org/forothers")
    home.answers("org/forothers")  # installs the engine where it is not here yet
    manifest = glob.glob(os.path.join(ENGINE, "packages", "*", "package.manifest"))[0]
    place = os.path.dirname(manifest)
    facts = dict(line.split(" ", 1) for line in read(manifest).decode().splitlines()
                 if not line.startswith("part "))
    path = ":".join(os.path.join(place, p) for p in facts["library-path"].split(":"))
    port = mw.free_port()
    server = subprocess.Popen(
        [os.path.join(place, facts["loader"]), "--library-path", path,
         os.path.join(place, facts["executable"]), "-hf", "org/forothers:Q4_K_M", "--offline",
         "--port", str(port)], cwd=os.path.join(place, facts["backend-dir"]),
        env={**home.env, "HF_HUB_CACHE": home.hub}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    said = []
    try:
        for line in server.stderr:
            said.append(line)
            if "listening" in line or "all slots are idle" in line:
                return
    finally:
        server.kill()
        server.communicate()
    raise AssertionError("".join(said[-15:]))


def file_that_git_holds():
    data = unique()
    WORLD.publish("org/small", {"m-Q8_0.gguf": WORLD.file(data, lfs=False)})
    wrong = WORLD.file(data, lfs=False)
    wrong["data"] = data[:-1] + b"x"
    WORLD.publish("org/small-wrong", {"m-Q8_0.gguf": wrong})
    home = Home()
    home.pull("org/small")
    assert read(home.repo("org/small", "blobs", hw.git_sha1(data))) == data
    home.refused("digest-mismatch", "org/small-wrong", says=("git",))
    assert list(home.list()) == ["org/small:Q8_0"]


def damaged_storage():
    data = unique(5000)
    WORLD.publish("org/damaged", {"m-Q8_0.gguf": data})
    write(os.path.join(WORLD.files, hw.sha256(data)), data[:-1] + bytes([data[-1] ^ 1]))
    home = Home()
    home.refused("digest-mismatch", "org/damaged", says=("sha256",))
    assert home.list() == {} and os.listdir(home.repo("org/damaged", "blobs")) == []


def another_file_than_listed():
    WORLD.publish("org/changed", {"m-Q8_0.gguf": unique()}, linked="e" * 64)
    since = len(WORLD.requests())
    home = Home()
    home.refused("digest-mismatch", "org/changed", says=("pull again",))
    sent = sum(int(r[4]) for r in storage_requests(since))
    assert sent <= 1 << 20, f"{sent} bytes of a file that is not the listed one"


def answers_that_make_no_sense():
    home = Home()
    for number, value in enumerate((b"{", b"[[[[", {"error": "no"}, [1, None, "x", {"type": 5}],
                                    [{"type": "file", "path": "m.gguf", "size": -1}])):
        WORLD.publish(f"org/nonsense{number}", {}, answer=value)
        name = "model-unusable" if isinstance(value, list) else "model-unavailable"
        home.refused(name, f"org/nonsense{number}")


def signed_link_that_expired():
    data = unique()
    WORLD.publish("org/expiring", {"m-Q8_0.gguf": data}, storage="expiring")
    home = Home()
    home.pull("org/expiring")
    check_repository(home, "org/expiring", {"m-Q8_0.gguf": data})


def begin(home, name, data, n):
    """As a pull that was cut leaves it, ours or huggingface_hub's."""
    return write(home.repo(name, "blobs", hw.sha256(data) + ".incomplete"), data[:n])


def continued_beginning(storage, wants):
    def case():
        name = f"org/continue-{storage}"
        data = unique(2000000)
        WORLD.publish(name, {"m-Q8_0.gguf": data}, storage=storage)
        home = Home()
        begin(home, name, data, 1500000)
        since = len(WORLD.requests())
        home.pull(name)
        check_repository(home, name, {"m-Q8_0.gguf": data})
        sent = [(r[3], r[5]) for r in storage_requests(since)]
        assert sent == wants, sent
    return case


def wrong_beginning():
    """A beginning of something else: found out by the digest, then begun anew."""
    data = unique(2000000)
    WORLD.publish("org/wrong-begin", {"m-Q8_0.gguf": data})
    home = Home()
    begin(home, "org/wrong-begin", data, 0)
    write(home.repo("org/wrong-begin", "blobs", hw.sha256(data) + ".incomplete"), os.urandom(70000))
    home.pull("org/wrong-begin")
    check_repository(home, "org/wrong-begin", {"m-Q8_0.gguf": data})


def large_file_killed():
    """More than what is forced to the disk at a time while it comes, killed in the middle of that."""
    data = CANARY + os.urandom(96 << 20)
    WORLD.publish("org/forced", {"m-Q8_0.gguf": data})
    home = Home()
    part = home.repo("org/forced", "blobs", hw.sha256(data) + ".incomplete")
    WORLD.set_rate("50m")
    try:
        process = home.start("pull", "org/forced")
        wait_until(lambda: size_of(part) > 56 << 20, "more than 56 MiB")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        have = os.path.getsize(part)
    finally:
        WORLD.set_rate("")
    since = len(WORLD.requests())
    home.pull("org/forced")
    check_repository(home, "org/forced", {"m-Q8_0.gguf": data})
    assert [r[5] for r in storage_requests(since)] == [f"bytes={have}-"]


def killed_thirty_times():
    """No byte is fetched twice, beyond what was on its way at each kill."""
    print(f"# seed {SEED}", flush=True)
    WORLD.publish("org/killed", {"m-Q4_K_M.gguf": BIG})
    home = Home()
    blob = home.repo("org/killed", "blobs", hw.sha256(BIG))
    part = blob + ".incomplete"
    WORLD.set_rate("1m")
    since, twice = len(WORLD.requests()), 0
    try:
        for number in range(30):
            have = size_of(part)
            process = home.start("pull", "org/killed")
            if number % 3:  # two times of three while bytes come, else at any time
                wait_until(lambda: process.poll() is not None or size_of(part) > have, "bytes")
            time.sleep(RANDOM.uniform(0, 0.2))
            before = len(WORLD.requests())
            process.send_signal(signal.SIGKILL)
            process.communicate()
            listed = home.list()
            assert os.path.exists(blob) or listed == {}, listed
            for r in storage_requests(before)[-1:]:
                asked_from = re.match(r"bytes=(\d+)-", r[5])
                twice = max(twice, have - int(asked_from.group(1) if asked_from else 0))
    finally:
        WORLD.set_rate("")
    home.pull("org/killed")
    check_repository(home, "org/killed", {"m-Q4_K_M.gguf": BIG})
    assert home.list()["org/killed:Q4_K_M"]["ours"] is True
    asked = storage_requests(since)
    sent = sum(int(r[4]) for r in asked)
    print(f"# {len(asked)} ranges, {sent - len(BIG)} bytes sent more than once", flush=True)
    assert 0 <= twice <= 1 << 20, f"{twice} bytes that were here are asked for again"
    assert sent - len(BIG) <= len(asked) << 20, f"{sent} bytes were sent for {len(BIG)}"
    home.answers("org/killed")


def two_at_once():
    data = unique(3000000)
    WORLD.publish("org/both", {"m-Q8_0.gguf": data})
    home = Home()
    WORLD.set_rate("3m")
    since = len(WORLD.requests())
    try:
        both = [home.start("pull", "org/both") for _ in range(2)]
        said = [p.communicate(timeout=60)[1] for p in both]
    finally:
        WORLD.set_rate("")
    assert [p.returncode for p in both] == [0, 0], said
    assert any("waiting" in s for s in said), said
    assert sum(int(r[4]) for r in storage_requests(since)) == len(data)
    check_repository(home, "org/both", {"m-Q8_0.gguf": data})


def another_program_holds_the_lock():
    """huggingface_hub's lock of this file: it fetches, we wait, and find it done."""
    data = unique()
    WORLD.publish("org/locked", {"m-Q8_0.gguf": data})
    home = Home()
    etag = hw.sha256(data)
    lock = write(os.path.join(home.hub, ".locks", "models--org--locked", etag + ".lock"))
    since = len(WORLD.requests())
    with open(lock, "wb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        process = home.start("pull", "org/locked")
        assert any("waiting" in line for line in process.stderr)
        write(home.repo("org/locked", "blobs", etag), data)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0, said
    assert storage_requests(since) == []
    check_repository(home, "org/locked", {"m-Q8_0.gguf": data})


def offline():
    data = unique()
    WORLD.publish("org/offline", {"m-Q8_0.gguf": data})
    home = Home()
    home.refused("offline", "org/offline", says=("HF_HUB_OFFLINE",), HF_HUB_OFFLINE="1")
    home.pull("org/offline")
    since = len(WORLD.requests())
    home.pull("org/offline", HF_HUB_OFFLINE="1")
    home.pull("--no-network", "org/offline:Q8_0")
    assert len(WORLD.requests()) == since
    done = home.pull("org/offline", HF_ENDPOINT="https://localhost:1")
    assert "pulled before" in done.stderr, done.stderr


def disk_too_small():
    WORLD.publish("org/large", {"m-Q8_0.gguf": BIG})
    home = Home()
    place = home.path("disk")
    os.makedirs(place)
    script = ('mount -t tmpfs -o size=70m tmpfs "$1" || exit 77; shift; exec "$@"')
    flags = ["-m"] if os.geteuid() == 0 else ["-Urm"]
    since = len(WORLD.requests())
    done = subprocess.run(["unshare", *flags, "sh", "-c", script, "sh", place, PROGRAM, "pull",
                           "--progress", "json", "org/large"], env={**home.env, "HF_HUB_CACHE": place},
                          capture_output=True, text=True, timeout=60)
    if done.returncode not in (0, 1):
        raise tap.Skip("no tmpfs can be mounted here")
    last = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1 and last["code"] == "disk-full", done.stdout
    assert storage_requests(since) == [], "bytes were fetched that there is no room for"


# ---- file systems without links ----

def no_links(symlink=errno.EPERM, link=errno.EPERM, copy=0):
    """The environment in which these calls fail; 0: they do not."""
    library = os.path.join(os.environ.get("GFXB_BUILD", ""), "tests", "nolinks.so")
    if not os.path.exists(library):
        raise tap.Skip("GFXB_BUILD does not lead to tests/nolinks.so")
    return {"LD_PRELOAD": library, "GFXB_NOLINKS": f"{symlink} {link} {copy}",
            "ASAN_OPTIONS": "verify_asan_link_order=0"}


def listed_as(home, name, ours, origin="hub"):
    model = home.list()[name]
    assert model["ours"] is ours and model["origin"] == origin, model
    return model["path"]


def hard_links_in_place_of_symlinks():
    data = unique()
    WORLD.publish("org/hard", {"m-Q8_0.gguf": data})
    for code in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
        home = Home(**no_links(symlink=code, link=0))
        home.pull("org/hard")
        path = listed_as(home, "org/hard:Q8_0", True)
        assert os.path.samefile(path, home.repo("org/hard", "blobs", hw.sha256(data)))
        assert not os.path.islink(path) and read(path) == data
        assert "gfxbridge rm deletes it" in home.call("show", "--backend", "cpu", "org/hard").stdout
        assert json.loads(home.call("rm", "--json", "org/hard").stdout)["freed_bytes"] == len(data)
        assert home.list() == {} and tree(home.hub) == [".locks", ".locks/models--org--hard"] + [
            f".locks/models--org--hard/{hw.sha256(data)}.lock"], tree(home.hub)


def a_blob_is_moved_where_there_are_no_links():
    """As huggingface_hub does. Nothing is fetched twice, and rm takes what it made."""
    files = {"sub/m-Q8_0-00001-of-00002.gguf": b"", "sub/m-Q8_0-00002-of-00002.gguf": b""}
    for path, data in zip(files, hw.split_gguf(CANARY, 2)):
        files[path] = data
    WORLD.publish("org/moved", files)
    home = Home(**no_links())
    home.pull("org/moved")
    for path, data in files.items():
        place = home.repo("org/moved", "snapshots", hw.COMMIT, path)
        assert not os.path.islink(place) and read(place) == data, place
    assert os.listdir(home.repo("org/moved", "blobs")) == []
    assert read(home.repo("org/moved", "refs", "main")) == hw.COMMIT.encode()
    listed_as(home, "org/moved:Q8_0", True)
    since = len(WORLD.requests())
    home.pull("org/moved")
    assert storage_requests(since) == []
    home.answers(listed_as(home, "org/moved:Q8_0", True))
    # Inode numbers of some file systems change, and times are kept to two seconds.
    for path, data in files.items():
        place = home.repo("org/moved", "snapshots", hw.COMMIT, path)
        seen = os.stat(place)
        write(place + ".new", data)
        os.utime(place + ".new", (0, seen.st_mtime // 2 * 2))
        os.rename(place + ".new", place)
    listed_as(home, "org/moved:Q8_0", True)
    total = json.loads(home.call("storage", "--json").stdout)["total_bytes"]
    ours = sum(map(len, files.values()))
    assert json.loads(home.call("rm", "--json", "org/moved").stdout)["freed_bytes"] == ours
    less = total - json.loads(home.call("storage", "--json").stdout)["total_bytes"]
    assert less >= ours, (less, ours)
    assert home.list() == {} and not os.path.exists(home.repo("org/moved"))


def no_links_and_the_files_of_others():
    """A blob that was there is copied and stays; a file that was replaced is no longer ours; a file
    that stands in a snapshot is used."""
    mine, theirs, whole = unique(), unique(9000000), unique()
    WORLD.publish("org/both", {"m-Q8_0.gguf": mine, "m-Q4_0.gguf": theirs, "m-Q2_K.gguf": whole})
    home = Home(**no_links(copy=errno.EXDEV))
    blob = write(home.repo("org/both", "blobs", hw.sha256(theirs)), theirs)
    os.utime(blob, (1000000000, 1000000000))
    write(home.repo("org/both", "snapshots", hw.COMMIT, "m-Q2_K.gguf"), whole)
    killed = write(home.repo("org/both", "snapshots", hw.COMMIT, "m-Q4_0.gguf.tmp-1"), b"a copy")
    since = len(WORLD.requests())
    home.pull("org/both:Q4_0")
    assert not os.path.exists(killed)
    home.pull("org/both:Q2_K")
    assert storage_requests(since) == []
    copy = listed_as(home, "org/both:Q4_0", True)
    assert read(copy) == theirs and read(blob) == theirs and not os.path.samefile(copy, blob)
    listed_as(home, "org/both:Q2_K", False, "lemonade")
    write(killed, b"a copy")
    assert json.loads(home.call("rm", "--json", "org/both:Q4_0").stdout)["freed_bytes"] == len(theirs)
    assert read(blob) == theirs and not os.path.exists(copy) and not os.path.exists(killed)
    home.call("rm", "org/both:Q2_K", code=1)
    home.pull("org/both:Q8_0")
    place = listed_as(home, "org/both:Q8_0", True)
    os.utime(place, (1000000000, 1000000000))
    listed_as(home, "org/both:Q8_0", False, "lemonade")
    home.call("rm", "org/both:Q8_0", code=1)
    assert read(place) == mine
    # A new commit with the same file: it is compared, not fetched.
    WORLD.publish("org/both", {"m-Q8_0.gguf": mine, "README.md": b"new"}, commit="e" * 40)
    since = len(WORLD.requests())
    home.pull("org/both:Q8_0")
    assert storage_requests(since) == []


def no_links_and_no_room():
    """A copy of a blob that is there needs room; a blob that is moved needs none."""
    data = CANARY + bytes(12000000)
    WORLD.publish("org/room", {"m-Q8_0.gguf": data})
    home = Home(**no_links())
    blob = write(home.path("blob"), data)
    place = home.path("disk")
    os.makedirs(place)
    script = ('mount -t tmpfs -o size="$1" tmpfs "$2" || exit 77; blobs=$2/models--org--room/blobs; '
              'mkdir -p "$blobs"; [ -z "$3" ] || cp "$3" "$blobs/$4" || exit 77; shift 4; exec "$@"')
    flags = ["-m"] if os.geteuid() == 0 else ["-Urm"]
    since = len(WORLD.requests())
    for size, there, code in (("86m", blob, 1), ("86m", "", 0), ("110m", blob, 0)):
        done = subprocess.run(
            ["unshare", *flags, "sh", "-c", script, "sh", size, place, there, hw.sha256(data),
             PROGRAM, "pull", "--progress", "json", "org/room"], capture_output=True, text=True,
            env={**home.env, "HF_HUB_CACHE": place}, timeout=60)
        if done.returncode not in (0, 1):
            raise tap.Skip("no tmpfs can be mounted here")
        last = json.loads(done.stdout.splitlines()[-1])
        assert done.returncode == code, done.stdout + done.stderr
        assert code == 0 or last["code"] == "disk-full", last
        assert code == 0 or storage_requests(since) == []
        shutil.rmtree(home.data, ignore_errors=True)


def too_large_for_this_computer():
    """Refused before the first byte, with the largest one that can run."""
    files = {f"m-{q}.gguf": WORLD.file(unique()) for q in ("IQ1_S", "Q4_K_M", "Q8_0")}
    files["m-Q2_K.gguf"] = WORLD.file(unique(5000))
    files["m-Q4_K_M.gguf"]["size"], files["m-Q8_0.gguf"]["size"] = 5 << 40, 9 << 40
    WORLD.publish("org/huge", files)
    home = Home()
    since = len(WORLD.requests())
    home.refused("memory-too-small", "org/huge", says=("5120", "Q2_K"))
    assert storage_requests(since) == [] and not os.path.exists(home.repo("org/huge"))
    home.refused("disk-full", "--force", "org/huge")
    home.pull("org/huge:Q2_K")
    assert list(home.list()) == ["org/huge:Q2_K"]


def names_that_lead_elsewhere():
    """Nothing from the hub's JSON leaves the cache."""
    evil = ["../../evil.gguf", "../evil.gguf", "/tmp/evil.gguf", "a/../../../evil.gguf", "./x.gguf",
            "a//b.gguf", ".hidden/x.gguf", "a\\..\\x.gguf", "a/..", "a\nb.gguf", "x" * 500 + ".gguf",
            "a/\u0001.gguf"]
    data = unique()
    oid = WORLD.store(data)
    extra = [{"type": "file", "path": p, "size": len(data), "oid": "a" * 40,
              "lfs": {"oid": oid, "size": len(data), "pointerSize": 1}} for p in evil]
    extra += [{"type": "file", "path": "bad-oid.gguf", "size": 5, "oid": "../../../x",
               "lfs": {"oid": "../" + "a" * 61, "size": 5}},
              {"type": "file", "path": "bad-git.gguf", "size": 5, "oid": "../../../../etc/passwd"}]
    WORLD.publish("org/evil", {"good-Q8_0.gguf": data}, extra=extra)
    home = Home()
    done = home.pull("org/evil")
    assert "not usable" in done.stderr, done.stderr
    check_repository(home, "org/evil", {"good-Q8_0.gguf": data})
    for path in evil:
        if "\n" not in path:
            home.pull(f"org/evil/{path}", code=1)
    WORLD.publish("org/evil-commit", {"m-Q8_0.gguf": data}, commit="../../../../x")
    home.refused("model-unavailable", "org/evil-commit")
    assert not os.path.exists("/tmp/evil.gguf")
    found = [p for p in tree(home.top) if "evil" in p and "models--org--evil" not in p]
    assert found == [], found


def names_on_the_command_line():
    home = Home()
    for name in ("../x/y", "org/../x", "/..", "org/re po", "org/repo:../x", "-x/y", "org/.x",
                 "org/a--b", "org//x", "org/x/", "org/x/../../y.gguf", "a:b:c", "org/x:", "\u00e4/b",
                 "x" * 500):
        done = home.pull("--", name, code=1)
        assert done.stderr.count("\n") == 1, (name, done.stderr)
    assert not os.path.exists(home.hub) or tree(home.hub) == []


def links_are_not_followed_when_writing():
    data = unique()
    WORLD.publish("org/linked", {"sub/m-Q8_0.gguf": data})
    for where in ("snapshots", f"snapshots/{hw.COMMIT}", f"snapshots/{hw.COMMIT}/sub", "blobs", "refs"):
        home = Home()
        outside = home.path("outside")
        os.makedirs(outside)
        os.makedirs(os.path.dirname(home.repo("org/linked", where)), exist_ok=True)
        os.symlink(outside, home.repo("org/linked", where))
        home.pull("org/linked", code=1)
        assert os.listdir(outside) == [], where


def update_of_a_repository():
    """A new commit: main moves once all of it is here, the old snapshot stays as it is."""
    old, new = unique(), unique(1000000)
    WORLD.publish("org/moving", {"m-Q8_0.gguf": old})
    home = Home()
    part = home.repo("org/moving", "blobs", hw.sha256(new) + ".incomplete")
    home.pull("org/moving")
    second = "f" * 40
    WORLD.publish("org/moving", {"m-Q8_0.gguf": new}, commit=second)
    WORLD.set_rate("500k")
    try:
        process = home.start("pull", "org/moving")
        wait_until(lambda: size_of(part) > 0, "bytes of the new file")
        assert read(home.repo("org/moving", "refs", "main")) == hw.COMMIT.encode()
        assert home.list()["org/moving:Q8_0"]["bytes"] == len(old)
    finally:
        process.kill()
        process.communicate()
        WORLD.set_rate("")
    home.pull("org/moving")
    assert read(home.repo("org/moving", "refs", "main")) == second.encode()
    assert home.list()["org/moving:Q8_0"]["bytes"] == len(new)
    home.call("rm", "org/moving")
    assert not os.path.exists(home.repo("org/moving")), tree(home.repo("org/moving"))


def several_in_one_call():
    for name in ("one", "two"):
        WORLD.publish(f"org/{name}", {"m-Q8_0.gguf": unique()})
    home = Home()
    done = home.pull("--json", "org/one", "org/missing", "org/two", code=1)
    answer = json.loads(done.stdout)
    assert answer["schema"] == 1
    assert [m["name"] for m in answer["models"]] == ["org/one:Q8_0", "org/two:Q8_0"], answer
    assert "org/missing" in done.stderr


def progress_for_programs():
    data = unique(3000000)
    parts = {f"m-Q4_K_M-{i + 1:05}-of-00002.gguf": p
             for i, p in enumerate(hw.split_gguf(CANARY, 2))}
    parts["m-Q4_K_M-00002-of-00002.gguf"] += data
    WORLD.publish("org/progress", parts)
    home = Home()
    WORLD.set_rate("2m")
    try:
        lines = home.pull("--progress", "json", "org/progress").stdout.splitlines()
    finally:
        WORLD.set_rate("")
    events = [json.loads(line) for line in lines]
    assert all(e["schema"] == 1 and e["model"] == "org/progress" for e in events)
    assert [e["event"] for e in events if e["event"] != "progress"] == ["start", "done"], events
    steps = [e for e in events if e["event"] == "progress"]
    total = sum(len(p) for p in parts.values())
    assert all(e["total"] == total and e["files"] == 2 for e in steps)
    assert [e["bytes"] for e in steps] == sorted(e["bytes"] for e in steps)
    assert steps[-1]["bytes"] == total
    assert any(e["remaining_seconds"] is not None and e["bytes_per_second"] for e in steps)
    assert events[-1]["result"]["name"] == "org/progress:Q4_K_M"


def plain_lines_in_a_log():
    WORLD.publish("org/log", {"m-Q8_0.gguf": unique()})
    done = Home().pull("org/log")
    assert "\r" not in done.stderr and "\033" not in done.stderr
    assert "(100 %)" in done.stderr, done.stderr


# ---- the caches of others ----

def lay_out(home):
    """What other programs leave on a disk; {name in the list: (path, origin)}."""
    found = {}

    def add(name, origin, *parts):
        found[name] = (write(home.path(*parts), unique()), origin)
    commit, data = "a" * 40, unique()
    repo = home.repo("theirs/hf")
    blob = write(os.path.join(repo, "blobs", hw.sha256(data)), data)
    write(os.path.join(repo, "refs", "main"), commit.encode())
    os.makedirs(os.path.join(repo, "snapshots", commit))
    os.symlink(f"../../blobs/{hw.sha256(data)}", os.path.join(repo, "snapshots", commit, "x-Q6_K.gguf"))
    found["theirs/hf:Q6_K"] = (blob, "hub")
    add("theirs/lemonade:Q5_K_M", "lemonade", ".cache/huggingface/hub/models--theirs--lemonade",
        "snapshots", commit, "y-Q5_K_M.gguf")
    write(home.repo("theirs/lemonade", "refs", "main"), commit.encode())
    add("pub/lm:Q4_K_S", "lmstudio", ".lmstudio/models/pub/lm", "lm-Q4_K_S.gguf")
    add("org_repo_flat-Q8_0", "llamacpp", ".cache/llama.cpp", "org_repo_flat-Q8_0.gguf")
    add("extra", "lemonade", "extra", "deep", "extra.gguf")
    write(home.path(".config", "lemonade", "config.json"),
          json.dumps({"extra_models_dir": home.path("extra")}).encode())
    data = unique()
    blob = write(home.path("ollama", "blobs", "sha256-" + hw.sha256(data)), data)
    layer = {"mediaType": "application/vnd.ollama.image.model", "size": len(data),
             "digest": "sha256:" + hw.sha256(data)}
    manifest = {"schemaVersion": 2, "config": {**layer, "mediaType": "x"}, "layers": [layer]}
    for place, name in (("registry.ollama.ai/library/tiny/1b", "tiny:1b"),
                        ("hf.co/org/q/Q4_0", "hf.co/org/q:Q4_0")):
        write(home.path("ollama", "manifests", *place.split("/")), json.dumps(manifest).encode())
        found[name] = (blob, "ollama")
    return found


def theirs_is_used_where_it_is():
    home = Home()
    found = lay_out(home)
    before = {p: (os.stat(p).st_ino, os.stat(p).st_mtime_ns, os.stat(p).st_nlink)
              for p, _ in found.values()}
    listed = home.list()
    assert set(listed) == set(found), set(listed) ^ set(found)
    for name, (path, origin) in found.items():
        model = listed[name]
        assert model["origin"] == origin and model["ours"] is False, model
        assert os.stat(model["path"]).st_ino == before[path][0]
        said = home.call("rm", name, code=1).stderr
        assert name in said and "stays" in said, said
    for name in ("theirs/hf:Q6_K", "pub/lm", "tiny:1b"):
        home.answers(name)
    after = {p: (os.stat(p).st_ino, os.stat(p).st_mtime_ns, os.stat(p).st_nlink)
             for p, _ in found.values()}
    assert before == after
    assert not os.path.exists(home.data) or tree(home.data) == []


def unfinished_is_not_listed():
    home = Home()
    commit = "b" * 40
    snapshot = home.repo("un/finished", "snapshots", commit)
    write(os.path.join(snapshot, "a-Q8_0.gguf"), unique())
    write(os.path.join(snapshot, ".download_manifest.json"), b"{}")
    write(home.repo("un/linked", "refs", "main"), commit.encode())
    os.makedirs(home.repo("un/linked", "snapshots", commit))
    os.symlink("../../blobs/none", home.repo("un/linked", "snapshots", commit, "b-Q8_0.gguf"))
    write(home.repo("un/linked", "blobs", "x.incomplete"), unique())
    write(home.path(".lmstudio/models/p/m/c-00001-of-00002.gguf"), hw.split_gguf(CANARY, 2)[0])
    write(home.path(".cache/llama.cpp/d.gguf.downloadInProgress"), unique())
    write(home.path(".cache/llama.cpp/cut.gguf"), CANARY[:len(CANARY) // 2])
    write(home.path(".cache/llama.cpp/empty.gguf"))
    write(home.path(".cache/llama.cpp/text.gguf"), b"<!DOCTYPE html>")
    digest = hw.sha256(CANARY)
    write(home.path("ollama", "blobs", f"sha256-{digest}-partial"), CANARY)
    layer = {"mediaType": "application/vnd.ollama.image.model", "size": len(CANARY),
             "digest": "sha256:" + digest}
    write(home.path("ollama", "manifests", "registry.ollama.ai", "library", "half", "latest"),
          json.dumps({"config": layer, "layers": [layer]}).encode())
    for number, bad in enumerate((b"{", b"[]", b'{"layers": [{"digest": "sha256:../../x"}]}')):
        write(home.path("ollama", "manifests", "h", "n", "bad", str(number)), bad)
    assert home.list() == {}, home.list()


def lmstudio_has_it_already():
    data = unique()
    WORLD.publish("pub/shared", {"s-Q4_K_M.gguf": data})
    home = Home()
    path = write(home.path(".lmstudio/models/pub/shared/s-Q4_K_M.gguf"), data)
    since = len(WORLD.requests())
    home.pull("pub/shared")
    assert storage_requests(since) == []
    assert home.list()["pub/shared:Q4_K_M"]["path"] == path


def blobs_that_repositories_share():
    """huggingface_hub's store of 2026: linked to, listed among its users, never deleted."""
    data, xet = unique(), "c" * 64
    WORLD.publish("org/shares", {"m-Q8_0.gguf": WORLD.file(data, xet=xet)})
    home = Home()
    entry = write(os.path.join(home.hub, "blobs", xet[:2], xet), data)
    os.chmod(entry, 0o444)
    write(os.path.join(home.hub, "blobs", ".huggingface-shared-blobs"), b"1\n")
    since = len(WORLD.requests())
    home.pull("org/shares")
    assert storage_requests(since) == []
    blob = home.repo("org/shares", "blobs", hw.sha256(data))
    assert os.readlink(blob) == f"../../blobs/{xet[:2]}/{xet}"
    users = read(entry + ".refs").decode()
    assert users == f"models--org--shares/blobs/{hw.sha256(data)}\n", users
    assert "org/shares:Q8_0" in home.list()
    home.call("rm", "org/shares")
    assert read(entry) == data and home.list() == {}
    unmarked = Home()
    write(os.path.join(unmarked.hub, "blobs", xet[:2], xet), data)
    unmarked.pull("org/shares")
    assert not os.path.islink(unmarked.repo("org/shares", "blobs", hw.sha256(data)))


def remove_takes_ours_alone():
    mine, theirs = unique(), unique()
    WORLD.publish("org/mixed", {"m-Q8_0.gguf": mine, "m-Q4_0.gguf": theirs})
    home = Home()
    blob = write(home.repo("org/mixed", "blobs", hw.sha256(theirs)), theirs)
    link = home.repo("org/mixed", "snapshots", hw.COMMIT, "m-Q4_0.gguf")
    os.makedirs(os.path.dirname(link))
    os.symlink(f"../../blobs/{hw.sha256(theirs)}", link)
    write(home.repo("org/mixed", "refs", "main"), hw.COMMIT.encode())
    home.pull("org/mixed:Q8_0")
    home.pull("org/mixed:Q4_0")
    listed = home.list()
    assert listed["org/mixed:Q8_0"]["ours"] and not listed["org/mixed:Q4_0"]["ours"], listed
    done = home.call("rm", "--json", "org/mixed:Q8_0")
    assert json.loads(done.stdout)["freed_bytes"] == len(mine)
    home.call("rm", "org/mixed:Q4_0", code=1)
    assert list(home.list()) == ["org/mixed:Q4_0"] and os.path.exists(blob)
    # A blob of ours that another program has linked since stays.
    home.pull("org/mixed:Q8_0")
    other = home.repo("org/mixed", "snapshots", "d" * 40, "renamed-Q8_0.gguf")
    os.makedirs(os.path.dirname(other))
    os.symlink(f"../../blobs/{hw.sha256(mine)}", other)
    home.call("rm", "org/mixed:Q8_0")
    assert read(other) == mine


def remove_of_what_was_never_finished():
    WORLD.publish("org/never", {"m-Q8_0.gguf": BIG})
    home = Home()
    WORLD.set_rate("2m")
    try:
        process = home.start("pull", "org/never")
        part = home.repo("org/never", "blobs", hw.sha256(BIG) + ".incomplete")
        wait_until(lambda: size_of(part) > 0, "bytes")
        process.kill()
        process.communicate()
    finally:
        WORLD.set_rate("")
    done = home.call("rm", "--json", "org/never")
    assert json.loads(done.stdout)["freed_bytes"] > 0
    assert not os.path.exists(home.repo("org/never")), tree(home.repo("org/never"))
    home.call("rm", "org/never", code=1)


# ---- the registry ----

def ollama_model():
    data = unique(1000000)
    WORLD.publish_model("library/tiny:latest", [("model", data), ("template", b"{{ .Prompt }}"),
                                                ("license", b"MIT"), ("params", b"{}")])
    home = Home()
    done = home.pull("tiny")
    assert "tiny:latest is here" in done.stderr, done.stderr
    store = os.path.join(home.data, "models", "ollama")
    manifest = os.path.join(store, "manifests", "registry.ollama.ai", "library", "tiny", "latest")
    assert read(manifest) == WORLD.models["library/tiny:latest"]
    for layer in json.loads(read(manifest))["layers"]:
        blob = os.path.join(store, "blobs", layer["digest"].replace(":", "-"))
        assert hw.sha256(read(blob)) == layer["digest"][7:]
    model = home.list()["tiny:latest"]
    assert model["origin"] == "ollama" and model["ours"] and model["sha256"] == hw.sha256(data)
    home.answers(model["path"])
    home.call("rm", "tiny")
    assert home.list() == {} and os.listdir(os.path.join(store, "blobs")) == []


def ollama_shares_blobs():
    data, licence = unique(), os.urandom(50)
    for tag in ("a", "b"):
        WORLD.publish_model(f"library/sharing:{tag}", [("model", data), ("license", licence),
                                                       ("system", tag.encode())])
    home = Home()
    home.pull("sharing:a", "sharing:b")
    home.call("rm", "sharing:a")
    path = home.list()["sharing:b"]["path"]
    assert read(path) == data


def ollama_resumes():
    WORLD.publish_model("library/large:1", [("model", BIG)])
    home = Home()
    WORLD.set_rate("3m")
    since = len(WORLD.requests())
    try:
        process = home.start("pull", "large:1")
        part = os.path.join(home.data, "models", "ollama", "blobs",
                            f"sha256-{hw.sha256(BIG)}.part")
        wait_until(lambda: size_of(part) > 0, "bytes")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        have = os.path.getsize(part)
        assert have > 0 and home.list() == {}
    finally:
        WORLD.set_rate("")
    home.pull("large:1")
    seen = [r for r in storage_requests(since) if r[3] == "206"]
    again = have - int(re.match(r"bytes=(\d+)-", seen[0][5]).group(1))
    assert 0 <= again <= 1 << 20, again
    assert read(home.list()["large:1"]["path"]) == BIG


def ollama_in_its_own_store():
    data = unique()
    WORLD.publish_model("library/own:1", [("model", data)])
    home = Home()
    blob = write(home.path("ollama", "blobs", "sha256-" + hw.sha256(data)), data)
    since = len(WORLD.requests())
    home.pull("own:1")  # the blob is there, under no manifest: a second name for it
    assert all(hw.sha256(data) not in r[2] for r in storage_requests(since))
    assert os.stat(home.list()["own:1"]["path"]).st_ino == os.stat(blob).st_ino


def ollama_refusals():
    home = Home()
    WORLD.models["library/secret:latest"] = "private"
    WORLD.publish_model("library/mlx:latest", [("tensor", b"x"), ("json", b"{}")])
    WORLD.publish_model("library/lora:latest", [("model", unique()), ("adapter", b"x")])
    WORLD.publish_model("library/bad:latest", [("model", b"no GGUF at all" * 100)])
    WORLD.models["library/nonsense:latest"] = b'{"layers": [{"digest": "sha256:../../../x"}]}'
    WORLD.models["library/newer:latest"] = 412, b'{"errors": [{"code": "PRECONDITION_FAILED"}]}', []
    home.refused("model-unusable", "newer", says=("newer version of Ollama", "gguf".upper()))
    home.refused("model-unknown", "absent", says=("absent", "org/name"))
    home.refused("model-gated", "secret", says=("owner",))
    home.refused("model-unusable", "mlx", says=("tensors",))
    home.refused("model-unusable", "lora", says=("adapter",))
    home.refused("model-damaged", "bad")
    home.refused("model-unavailable", "nonsense")
    assert home.list() == {}


# ---- plain URLs and files ----

def url_with_a_digest():
    data = unique(500000)
    WORLD.store(data)
    path = os.path.join(WORLD.files, "plain-Q8_0.gguf")
    write(path, data)
    url = f"{WORLD.storage}/files/plain-Q8_0.gguf"
    home = Home()
    home.pull(url, code=1)
    home.refused("digest-mismatch", f"{url}#sha256={'0' * 64}")
    assert home.list() == {}
    home.pull(f"{url}#sha256={hw.sha256(data)}")
    model = home.list()["plain-Q8_0"]
    assert model["ours"] and model["sha256"] == hw.sha256(data) and read(model["path"]) == data
    since = len(WORLD.requests())
    home.pull(f"{url}#sha256={hw.sha256(data)}")
    assert storage_requests(since) == []
    write(path, unique())
    home.pull(f"{url}#sha256={hw.sha256(read(path))}", code=1)  # the name is taken
    home.answers(model["path"])
    home.call("rm", "plain-Q8_0")
    assert home.list() == {}


def imported_file():
    home = Home()
    path = write(home.path("downloads", "my model.gguf"), unique())
    home.call("import", path, code=1)
    home.call("import", path, "--name", "a/b", code=1)
    done = home.call("import", "--json", path, "--name", "mine")
    model = json.loads(done.stdout)["model"]
    assert model["name"] == "mine" and model["origin"] == "local" and model["ours"], model
    assert os.stat(model["path"]).st_ino == os.stat(path).st_ino, "it was copied"
    assert "called mine already" in home.call("import", path, "--name", "mine", code=1).stderr
    home.answers(model["path"])
    home.call("rm", "mine")
    assert os.path.exists(path) and home.list() == {}
    home.refused(None, write(home.path("x.gguf"), b"GGUFnonsense"), command="import", says=("x.gguf",))
    home.refused(None, home.path("absent.gguf"), command="import", says=("absent.gguf",))


def imported_parts():
    home = Home()
    parts = hw.split_gguf(CANARY, 2)
    for i, part in enumerate(parts):
        path = write(home.path("in", f"s-{i + 1:05}-of-00002.gguf"), part)
    home.call("import", path)
    model = home.list()["s"]
    assert model["path"].endswith("s-00001-of-00002.gguf") and model["bytes"] == sum(map(len, parts))
    home.answers(model["path"])
    os.remove(home.path("in", "s-00001-of-00002.gguf"))
    home.call("import", path, "--name", "other", code=1)
    assert [n for n in os.listdir(os.path.join(home.data, "models", "local"))
            if n not in ("s", ".lock")] == []


# ---- using them ----

def run_of_what_is_not_here():
    home = Home()
    done = home.call("run", "org/absent:Q4_K_M", "hello", code=1)
    assert "gfxbridge pull org/absent:Q4_K_M" in done.stderr, done.stderr


def show_says_whose():
    WORLD.publish("org/shown", {"m-Q8_0.gguf": unique()})
    home = Home()
    home.pull("org/shown")
    answer = json.loads(home.call("show", "--json", "--backend", "cpu", "org/shown").stdout)
    assert answer["model"]["name"] == "org/shown:Q8_0", answer
    assert answer["header"]["architecture"] == "llama" and answer["header"]["layers"] > 0
    assert answer["launch"]["choice"]["backend"] == "cpu", answer["launch"]
    assert answer["launch"]["command_line"], answer["launch"]
    text = home.call("show", "--backend", "cpu", "org/shown").stdout
    assert "gfxbridge rm deletes it" in text, text
    home.call("show", "org/other", code=1)


CASES = [
    ("the usual quantisation, in the hub's own layout", default_quantisation),
    ("a file by its name", named_file_in_a_folder),
    ("a quantisation that is not there", wrong_quantisation_names_the_others),
    ("a token stays at the hub", token_stays_at_the_hub),
    ("a token from the file", token_from_the_file),
    ("a refused token is left out", refused_token_is_left_out),
    ("a gated repository", gated_in_words),
    ("a renamed repository", renamed_repository),
    ("pages of a long list", pages_of_a_long_list),
    ("a next page elsewhere is asked here", next_page_elsewhere_is_asked_here),
    ("a used-up limit", limited),
    ("names in any case", names_in_any_case),
    ("files as tags, addresses of pages", files_and_pages),
    ("models of Ollama's users", models_of_ollama_users),
    ("a split model", split_model),
    ("the projector beside it", projector_beside_it),
    ("llama.cpp finds it too", llama_cpp_finds_it_too),
    ("a file that git itself holds", file_that_git_holds),
    ("a damaged file", damaged_storage),
    ("another file than listed", another_file_than_listed),
    ("answers that make no sense", answers_that_make_no_sense),
    ("a signed link that has expired", signed_link_that_expired),
    ("a beginning is continued", continued_beginning("files", [("206", "bytes=1500000-")])),
    ("a beginning at a storage without ranges",
     continued_beginning("no-ranges", [("200", "bytes=1500000-")])),
    ("a beginning that the storage refuses (416)",
     continued_beginning("out-of-range", [("416", "bytes=1500000-"), ("200", "-")])),
    ("a wrong beginning", wrong_beginning),
    ("killed at 30 random moments", killed_thirty_times),
    ("a large file, killed while it is forced to the disk", large_file_killed),
    ("two at once", two_at_once),
    ("another program holds the lock", another_program_holds_the_lock),
    ("offline", offline),
    ("a disk that is too small", disk_too_small),
    ("no symbolic links: hard links", hard_links_in_place_of_symlinks),
    ("no links: a blob is moved", a_blob_is_moved_where_there_are_no_links),
    ("no links: files of others", no_links_and_the_files_of_others),
    ("no links: no room", no_links_and_no_room),
    ("a model that is too large for this computer", too_large_for_this_computer),
    ("names from the hub that lead elsewhere", names_that_lead_elsewhere),
    ("names on the command line", names_on_the_command_line),
    ("links are not followed when writing", links_are_not_followed_when_writing),
    ("an update of a repository", update_of_a_repository),
    ("several in one call", several_in_one_call),
    ("progress for programs", progress_for_programs),
    ("plain lines in a log", plain_lines_in_a_log),
    ("what others have is used where it is", theirs_is_used_where_it_is),
    ("what is unfinished is not listed", unfinished_is_not_listed),
    ("LM Studio has it already", lmstudio_has_it_already),
    ("blobs that repositories share", blobs_that_repositories_share),
    ("rm takes ours alone", remove_takes_ours_alone),
    ("rm of what was never finished", remove_of_what_was_never_finished),
    ("a model of the Ollama registry", ollama_model),
    ("Ollama models share blobs", ollama_shares_blobs),
    ("an Ollama pull resumes", ollama_resumes),
    ("a blob in Ollama's own store", ollama_in_its_own_store),
    ("what the registry refuses", ollama_refusals),
    ("a URL with a digest", url_with_a_digest),
    ("an imported file", imported_file),
    ("an imported split model", imported_parts),
    ("run of what is not here", run_of_what_is_not_here),
    ("show says whose it is", show_says_whose),
]


def main():
    global WORLD
    for program in ("nginx", "openssl"):
        if not (shutil.which(program) or (program == "nginx" and mw.NGINX)):
            print(f"1..0 # SKIP {program} is not here")
            return
    wanted = sys.argv[2:]
    cases = [c for c in CASES if not wanted or any(w in c[0] for w in wanted)]
    WORLD = hw.World(tempfile.mkdtemp(prefix="gfxbridge-hub-"))
    try:
        WORLD.start()
        tap.run(cases)
    finally:
        WORLD.stop()
        shutil.rmtree(WORLD.top, ignore_errors=True)
        shutil.rmtree(TOP, ignore_errors=True)


if __name__ == "__main__":
    main()
