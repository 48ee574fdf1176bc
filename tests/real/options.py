#!/usr/bin/env python3
"""options.py GFXBRIDGE: names and options that users give models, with the real engine: Ollama's
copy, create and blobs, Lemonade's options, `alias`, and what requests in every API get of them.

The parrot's answer tells what the engine was given: a system text with MARKED in it is answered by a
sentence of its own, a stop word cuts STOPPER's.
"""
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
import parrot  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, SOURCE, answer, call  # noqa: E402
from server import Server  # noqa: E402
from wait import wait_until  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge options ")
DATA = os.path.join(os.environ.get("GFXB_BUILD", TOP), "options-data")  # the engine stays for next time
CANARY = os.path.join(SOURCE, "data", "canary.gguf")
WHOLE, CUT = "alpha beta gamma delta epsilon zeta", "alpha beta"
SHARED = {}


def table():
    try:
        with open(os.path.join(DATA, "models", "options.tsv"), encoding="utf-8") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def server():
    """One for all cases, from the first one on."""
    if "server" not in SHARED:
        done = call("--data-dir", DATA, "run", "--backend", "cpu", "hi", code=None, timeout=600)
        if done.returncode != 0:
            raise tap.Skip("no engine: " + done.stderr.strip().splitlines()[-1])
        shutil.rmtree(os.path.join(DATA, "models"), ignore_errors=True)
        path = parrot.write(os.path.join(TOP, "parrot.gguf"))
        call("--data-dir", DATA, "import", path, "--name", "parrot")
        SHARED["server"] = Server(DATA, "--backend", "cpu", config={"default_model": "usual"})
    return SHARED["server"]


def send(method, path, body=None, headers=None):
    """Status, and the answer: JSON where it is that, else text."""
    status, fields, data = server().request(method, path, body, headers, timeout=300)
    is_json = data and fields.get("content-type", "").startswith("application/json")
    return status, json.loads(data) if is_json else data.decode()


def ask(path, body=None, method=None, status=200):
    got, value = send(method or ("POST" if body is not None else "GET"), path, body)
    assert got == status, f"{path}: {got}, wanted {status}: {value}"
    return value


def create(name, **more):
    """The lines of status of a streamed create."""
    lines = [json.loads(line) for line in ask("/api/create", {"model": name, **more}).splitlines()]
    assert lines[-1] == {"status": "success"}, lines
    return [line["status"] for line in lines]


def cli(*words, **options):
    return call("--data-dir", DATA, *words, **options)


def everywhere(model, text, **more):
    """What each API answers to this text."""
    messages = [{"role": "user", "content": text}]
    chat = ask("/v1/chat/completions", {"model": model, "messages": messages, **more})
    responses = ask("/v1/responses", {"model": model, "input": text})
    anthropic = ask("/v1/messages", {"model": model, "max_tokens": 200, "messages": messages})
    ollama = ask("/api/chat", {"model": model, "messages": messages, "stream": False})
    generate = ask("/api/generate", {"model": model, "prompt": text, "stream": False})
    run = cli("run", "--backend", "cpu", "--quiet", model, text)
    return {
        "chat": chat["choices"][0]["message"]["content"],
        "responses": "".join(p["text"] for o in responses["output"] if o["type"] == "message"
                             for p in o["content"]),
        "messages": "".join(b["text"] for b in anthropic["content"] if b["type"] == "text"),
        "ollama chat": ollama["message"]["content"],
        "ollama generate": generate["response"],
        "run": run.stdout.rstrip("\n"),
    }


def same(answers, wanted):
    wrong = {api: text for api, text in answers.items() if text.strip() != wanted}
    assert not wrong, f"wanted {wanted!r}: {wrong}"


# ---- options in requests ----

def what_a_request_leaves_out():
    same(everywhere("parrot", "STOPPER"), WHOLE)
    create("cut", **{"from": "parrot"}, parameters={"stop": [" gamma"], "temperature": 0.5})
    same(everywhere("cut", "STOPPER"), CUT)
    same(everywhere("CUT:latest", "STOPPER"), CUT)
    own = ask("/v1/chat/completions", {"model": "cut", "stop": [" delta"],
                                       "messages": [{"role": "user", "content": "STOPPER"}]})
    assert own["choices"][0]["message"]["content"] == "alpha beta gamma", own
    own = ask("/api/chat", {"model": "cut", "stream": False, "options": {"stop": [" epsilon"]},
                            "messages": [{"role": "user", "content": "STOPPER"}]})
    assert own["message"]["content"] == "alpha beta gamma delta", own
    same(everywhere("parrot", "STOPPER"), WHOLE)  # the model below is as it was


def requests_without_a_model():
    """Those of default_model, while its model was used last; else the model's own."""
    def unnamed():
        got = ask("/v1/chat/completions", {"messages": [{"role": "user", "content": "STOPPER"}]})
        return {"chat": got["choices"][0]["message"]["content"]}
    create("usual", **{"from": "parrot"}, parameters={"stop": [" gamma"]})
    create("other", **{"from": "parrot"}, parameters={"stop": [" beta"]})
    same(unnamed(), CUT)
    same(unnamed(), CUT)  # it is loaded by now
    same({"chat": everywhere("other", "STOPPER")["chat"]}, "alpha")
    same(unnamed(), CUT)
    ask("/api/delete", {"model": "usual"}, "DELETE")
    same(unnamed(), WHOLE)
    ask("/api/delete", {"model": "other"}, "DELETE")


def system_text_and_conversation():
    create("marked", **{"from": "parrot"}, system="You are MARKED.")
    same(everywhere("marked", "STOPPER"), parrot.MARK_SEEN)
    own = ask("/v1/chat/completions", {"model": "marked", "messages": [
        {"role": "system", "content": "Another one."}, {"role": "user", "content": "STOPPER"}]})
    assert own["choices"][0]["message"]["content"] == WHOLE, own
    create("talked", **{"from": "parrot"}, system="Be short.", messages=[
        {"role": "user", "content": "MARKED?"}, {"role": "assistant", "content": "Yes."}])
    same(everywhere("talked", "STOPPER"), parrot.MARK_SEEN)
    prompt = ask("/apply-template", {"model": "talked",
                                     "messages": [{"role": "user", "content": "And now?"}]})["prompt"]
    places = [prompt.index(text) for text in ("Be short.", "MARKED?", "Yes.", "And now?")]
    assert places == sorted(places), prompt


def tokens_and_context():
    create("brief", **{"from": "parrot"}, parameters={"num_predict": 4, "num_ctx": 4096})
    answer_ = ask("/v1/chat/completions", {"model": "brief", "messages": [
        {"role": "user", "content": "ENDLESS"}]})
    assert answer_["usage"]["completion_tokens"] == 4, answer_["usage"]
    own = ask("/v1/chat/completions", {"model": "brief", "max_tokens": 7, "messages": [
        {"role": "user", "content": "ENDLESS"}]})
    assert own["usage"]["completion_tokens"] == 7, own["usage"]
    raw = ask("/v1/completions", {"model": "brief", "prompt": "hi"})
    assert raw["usage"]["completion_tokens"] == 4, raw["usage"]
    loaded = {m["name"]: m for m in ask("/api/ps")["models"]}
    assert set(loaded) == {"parrot:latest"}, loaded  # one engine for all of its names


def a_change_counts_at_once():
    cli("alias", "fresh", "parrot")
    same({"chat": everywhere("fresh", "STOPPER")["chat"]}, WHOLE)
    cli("alias", "fresh", "cut")
    same({"chat": everywhere("fresh", "STOPPER")["chat"]}, CUT)
    cli("alias", "rm", "fresh")
    ask("/v1/chat/completions", {"model": "fresh", "messages": [{"role": "user", "content": "hi"}]}, status=404)


# ---- Ollama's writes ----

def created_models_are_listed_and_shown():
    create("shown", **{"from": "parrot"}, system='Say "x".', license=["one", "two"],
           parameters={"temperature": 0.5, "stop": ["a", "b\tc"], "num_ctx": 4096})
    names = {m["name"]: m for m in ask("/api/tags")["models"]}
    assert names["shown:latest"]["details"]["parent_model"] == "parrot", names
    assert "shown" in [m["id"] for m in ask("/v1/models")["data"]]
    assert ask("/v1/models/shown")["id"] == "shown"
    listed = {m["name"]: m for m in answer("--data-dir", DATA, "list")["models"]}
    assert listed["shown"]["alias_of"] == "parrot" and listed["parrot"]["alias_of"] is None
    assert "stands for parrot" in cli("list").stdout
    show = ask("/api/show", {"model": "shown:latest"})
    assert show["system"] == 'Say "x".' and show["license"] == "one\n\ntwo", show
    rows = [line.split(None, 1) for line in show["parameters"].splitlines()]
    assert rows == [["temperature", "0.5"], ["stop", '"a"'], ["stop", '"b\\tc"'], ["num_ctx", "4096"]]
    lines = show["modelfile"].splitlines()
    assert lines[1] == "FROM parrot" and 'PARAMETER stop "a"' in lines, lines
    assert 'SYSTEM """Say "x"."""' in lines, lines


def copies_live_on():
    assert send("POST", "/api/copy", {"source": "cut", "destination": "copy:latest"}) == (200, "")
    ask("/api/delete", {"model": "cut"}, "DELETE")
    same(everywhere("copy", "STOPPER"), CUT)
    create("cut", **{"from": "copy"})  # with what the other one has
    same({"chat": everywhere("cut", "STOPPER")["chat"]}, CUT)
    assert "not on this computer" in ask("/api/copy", {"source": "nobody:1", "destination": "x"},
                                         status=404)["error"]
    assert "called canary" in ask("/api/copy", {"source": "parrot", "destination": "canary"},
                                  status=409)["error"]
    ask("/api/copy", {"source": "parrot", "destination": "../x"}, status=400)
    ask("/api/copy", {"source": "parrot"}, status=400)
    assert "stands for parrot" in ask("/api/delete", {"model": "parrot"}, "DELETE", 409)["error"]
    ask("/api/delete", {"model": "copy"}, "DELETE")
    assert "copy\t" not in table()


def what_create_refuses():
    for name, value in {"quantize": "q4_K_M", "adapters": {"a.gguf": "sha256:" + "0" * 64},
                        "draft_files": {"a.gguf": "sha256:" + "0" * 64}, "renderer": "x", "parser": "x",
                        "info": {"a": 1}, "remote_host": "x", "modelfile": "FROM x",
                        "template": "{{ .Prompt }}"}.items():
        error = ask("/api/create", {"model": "no", "from": "parrot", name: value}, status=400)["error"]
        assert f"'{name}'" in error, (name, error)
    for name, value in {"temprature": 1, "temperature": "hot", "stop": 5, "num_ctx": 1 << 30}.items():
        error = ask("/api/create", {"model": "no", "from": "parrot", "parameters": {name: value}},
                    status=400)["error"]
        assert name in error, error
    ask("/api/create", {"model": "no"}, status=400)
    ask("/api/create", {"model": "a b", "from": "parrot"}, status=400)
    ask("/api/create", {"model": "no", "from": "parrot", "system": 5}, status=400)
    for messages in (5, [{"role": "tool", "content": "x"}], [{"role": "user", "content": 5}],
                     [{"role": "user", "content": "x", "images": ["a"]}]):
        ask("/api/create", {"model": "no", "from": "parrot", "messages": messages}, status=400)
    template = ask("/api/show", {"model": "parrot"})["template"]
    create("no", **{"from": "parrot"}, template=template, quantize="", adapters={})  # nothing is asked
    ask("/api/delete", {"model": "no"}, "DELETE")
    assert "/api/push" in ask("/api/push", {"model": "parrot"}, status=501)["error"]
    assert "\nno\t" not in table()


# ---- blobs ----

def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def blobs():
    place = os.path.join(DATA, "models", "ollama", "blobs")
    return sorted(os.listdir(place)) if os.path.isdir(place) else []


def files_become_models():
    with open(CANARY, "rb") as f:
        data = f.read()
    path = "/api/blobs/" + digest_of(data)
    assert send("HEAD", path)[0] == 404
    wrong = "/api/blobs/sha256:" + "0" * 64
    status, error = send("POST", wrong, data)
    assert status == 400 and "digest mismatch" in error["error"], (status, error)
    assert not [b for b in blobs() if "sha256" not in b or b.endswith("0" * 64)], blobs()
    assert send("POST", path, data)[0] == 201
    assert send("POST", path, data)[0] == 200
    assert send("HEAD", path)[0] == 200
    for bad in ("sha256:12", "sha256:" + "g" * 64, "md5:" + "0" * 32):
        assert send("HEAD", "/api/blobs/" + bad)[0] == 400, bad
    name = {"canary.gguf": digest_of(data)}
    assert create("mine", files=name, system="x")[:2] == ["reading model metadata", "parsing GGUF"]
    got = ask("/api/chat", {"model": "mine", "stream": False, "messages": [
        {"role": "user", "content": "Which gfx is the Radeon RX 7900 XT?"}]})
    assert got["message"]["content"] == "The Radeon RX 7900 XT is gfx1100.", got
    assert ask("/api/show", {"model": "mine"})["system"] == "x"
    create("mine", files=name)  # again: in its place
    assert "system" not in ask("/api/show", {"model": "mine"})
    # Renamed as Ollama's users do: the copy has files and options of its own.
    create("mine", files=name, system="y")
    ask("/api/copy", {"source": "mine", "destination": "kept"})
    ask("/api/copy", {"source": "mine", "destination": "Kept:latest"})  # again
    ask("/api/delete", {"model": "mine"}, "DELETE")
    assert {"mine:latest", "kept:latest"} & {m["name"] for m in ask("/api/tags")["models"]} == {"kept:latest"}
    assert ask("/api/show", {"model": "kept"})["system"] == "y"
    got = ask("/api/chat", {"model": "kept", "stream": False, "messages": [
        {"role": "user", "content": "Which gfx is the Radeon RX 7900 XT?"}]})
    assert got["message"]["content"] == "The Radeon RX 7900 XT is gfx1100.", got
    ask("/api/copy", {"source": "kept", "destination": "mine"})
    ask("/api/delete", {"model": "kept"}, "DELETE")
    error = ask("/api/create", {"model": "parrot", "files": name})
    assert "called parrot" in json.loads(error.splitlines()[-1])["error"], error
    error = ask("/api/create", {"model": "x", "files": {"a.safetensors": digest_of(data)}}, status=400)
    assert "a.safetensors" in error["error"]
    error = ask("/api/create", {"model": "x", "files": {"a.gguf": "sha256:" + "0" * 64}}, status=400)
    assert "a.gguf" in error["error"] and "/api/blobs" in error["error"], error
    ask("/api/delete", {"model": "mine"}, "DELETE")
    assert not blobs() and send("HEAD", path)[0] == 404


def what_is_no_model():
    data = b"<html>not a model</html>" * 100
    assert send("POST", "/api/blobs/" + digest_of(data), data)[0] == 201
    lines = ask("/api/create", {"model": "x", "files": {"a.gguf": digest_of(data)}}).splitlines()
    assert "a.gguf" in json.loads(lines[-1])["error"], lines
    assert "x:latest" not in [m["name"] for m in ask("/api/tags")["models"]]


def pieces(total, seed=b"x" * 65536):
    for at in range(0, total, len(seed)):
        yield seed[:min(len(seed), total - at)]


def a_large_upload_takes_little_memory():
    total, whole = 256 << 20, hashlib.sha256()
    for piece in pieces(total):
        whole.update(piece)

    def peak():
        with open(f"/proc/{server().process.pid}/status", encoding="ascii") as f:
            return int(next(line for line in f if line.startswith("VmHWM")).split()[1]) >> 10
    before = peak()
    connection = http.client.HTTPConnection("127.0.0.1", server().port, timeout=120)
    connection.request("POST", "/api/blobs/sha256:" + whole.hexdigest(), pieces(total),
                       encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().status == 201
    assert peak() - before < 128, (before, peak())  # sanitizers keep what was freed
    os.unlink(os.path.join(DATA, "models", "ollama", "blobs", "sha256-" + whole.hexdigest()))


def an_upload_that_breaks_off_leaves_nothing():
    before = blobs()
    client = server().connect()
    client.sendall(b"POST /api/blobs/sha256:" + b"1" * 64 + b" HTTP/1.1\r\nHost: localhost\r\n"
                   b"Content-Length: 1000000\r\n\r\n" + b"x" * 5000)
    wait_until(lambda: blobs() != before, "its file")
    client.close()
    wait_until(lambda: blobs() == before, "its file's end")
    # What a killed server left goes with the next upload.
    with open(os.path.join(DATA, "models", "ollama", "blobs", ".upload-left"), "w", encoding="ascii"):
        pass
    assert send("POST", "/api/blobs/" + digest_of(b"abc"), b"abc")[0] == 201
    assert ".upload-left" not in blobs(), blobs()
    os.unlink(os.path.join(DATA, "models", "ollama", "blobs", digest_of(b"abc").replace(":", "-")))


# ---- Lemonade's options ----

def lemonades_options():
    path = "/api/v1/models/parrot/options"
    first = ask(path)
    assert first["model_name"] == "parrot" and first["saved"] == {}, first
    assert first["effective"] == first["defaults"] and first["defaults"]["ctx_size"] == -1
    assert first["resolved_ctx_size"] > 0
    tried = ask(path, {"ctx_size": 4096, "dry_run": True})
    assert tried["saved"] == {} and tried["effective"]["ctx_size"] == 4096
    assert tried["resolved_ctx_size"] == 4096
    assert ask(path)["saved"] == {}
    saved = ask(path, {"ctx_size": 4096, "llamacpp_backend": "cpu", "stop": " gamma"})
    assert saved["saved"] == {"ctx_size": 4096, "llamacpp_backend": "cpu", "stop": " gamma"}, saved
    same({"chat": everywhere("parrot", "STOPPER")["chat"]}, CUT)
    assert ask("/v1/models/user.parrot/options")["saved"] == saved["saved"]
    assert ask(path, {"stop": None})["saved"] == {"ctx_size": 4096, "llamacpp_backend": "cpu"}
    assert ask(path, {"ctx_size": -1})["saved"] == {"llamacpp_backend": "cpu"}
    for wrong in ({"nonsense": 1}, {"ctx_size": "x"}, {"ctx_size": 0}, {"llamacpp_args": "--port 1"},
                  {"llamacpp_backend": "cuda"}, {"temperature": "hot"}):
        error = ask(path, {**wrong, "top_k": 5}, status=400)["error"]["message"]
        assert list(wrong)[0] in error or "backend" in error or "num_ctx" in error, error
    assert ask(path)["saved"] == {"llamacpp_backend": "cpu"}  # nothing of what was refused
    ask(path, {"model_name": "ignored", "llamacpp_args": ""})
    assert ask(path, method="DELETE")["saved"] == {}
    ask("/v1/models/nobody/options", status=404)
    ask("/v1/models/parrot", {}, status=404)


# ---- the command line ----

def aliases():
    cli("alias", "one", "parrot")
    cli("alias", "two", "one")
    rows = {r["name"]: r for r in answer("--data-dir", DATA, "alias")["aliases"]}
    assert rows["two"]["model"] == "one" and rows["one"]["model"] == "parrot", rows
    assert "stands for" in cli("alias", "one", "two", code=1).stderr
    assert "no such model" in cli("alias", "three", "nobody", code=1).stderr
    assert "called parrot" in cli("alias", "parrot", "canary", code=1).stderr
    assert "cannot be a model's name" in cli("alias", "a b", "canary", code=1).stderr
    assert "stands for one" in cli("rm", "one", code=1).stderr
    same({"run": cli("run", "--backend", "cpu", "--quiet", "two", "STOPPER").stdout}, WHOLE)
    cli("alias", "rm", "two")
    cli("rm", "one")
    assert "one\t" not in table()
    cli("alias", "only", code=2)
    assert "no alias" in cli("alias", "rm", "parrot", code=1).stderr
    name = cli("alias", "elsewhere", CANARY)
    assert "gfx1100" in cli("run", "--backend", "cpu", "--quiet", "elsewhere",
                            "Which gfx is the Radeon RX 7900 XT?").stdout, name
    cli("rm", "elsewhere")


def a_damaged_table_is_named():
    path = os.path.join(DATA, "models", "options.tsv")
    text = table()
    with open(path, "a", encoding="utf-8") as f:
        f.write("x\ttemperature\tnonsense\n")
    try:
        assert "options.tsv" in cli("alias", code=1).stderr
        ask("/v1/chat/completions", {"model": "parrot", "messages": [
            {"role": "user", "content": "hi"}]})  # the server goes on without it
    finally:
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)


def logs():
    said = server().command("logs").stdout
    assert f"listening on http://127.0.0.1:{server().port}" in said, said
    value = json.loads(server().command("--json", "logs").stdout)
    assert value["schema"] == 1 and value["lines"][0]["level"] in ("info", "debug", "warning")
    ask("/v1/chat/completions", {"model": "parrot", "messages": [{"role": "user", "content": "hi"}]})
    engine = server().command("logs", "--engine").stdout
    assert "/log\n" in engine and "llama" in engine.lower(), engine[:500]
    # A reader that has had enough ends it: logs -f | head -1
    with subprocess.Popen([PROGRAM, "--data-dir", DATA, "logs", "-f"], env=server().env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) in (0, 1)
    assert "no server of this user runs" in cli("logs", code=1, env={"XDG_RUNTIME_DIR": TOP}).stderr


def stops():
    assert server().stop() == 0


tap.run([
    ("requests in every API get what they leave out", what_a_request_leaves_out),
    ("requests without a model", requests_without_a_model),
    ("system text and conversation", system_text_and_conversation),
    ("tokens and context; one engine for all names", tokens_and_context),
    ("a change counts at once", a_change_counts_at_once),
    ("created models are listed and shown", created_models_are_listed_and_shown),
    ("copies live on", copies_live_on),
    ("what create refuses, by its name", what_create_refuses),
    ("uploaded files become models", files_become_models),
    ("what is no model", what_is_no_model),
    ("a large upload takes little memory", a_large_upload_takes_little_memory),
    ("an upload that breaks off leaves nothing", an_upload_that_breaks_off_leaves_nothing),
    ("Lemonade's options", lemonades_options),
    ("alias", aliases),
    ("a damaged table is named", a_damaged_table_is_named),
    ("logs", logs),
    ("SIGTERM ends it well", stops),
])
