#!/usr/bin/env python3
"""clients.py GFXBRIDGE: the client libraries that programs use, against the server and the real
engine of the distribution; and Lemonade's calls as its command line makes them.

The canary model proves that what arrives is what the engine said; a larger model without sense
proves tools and formats, which need a template and a grammar.
"""
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.path.insert(0, HERE)
import gguf  # noqa: E402
import hub_world  # noqa: E402
import npm  # noqa: E402
import parrot  # noqa: E402
import tap  # noqa: E402
from gfxbridge import SOURCE, call, need_engine, temporary  # noqa: E402
from server import ANSWER, Server  # noqa: E402
from wait import wait_until  # noqa: E402

CLIENTS = os.path.join(os.path.dirname(HERE), "npm", "clients.mjs")
KITS = os.path.join(os.path.dirname(HERE), "npm", "kits.mjs")
PARROTS = {"parrot": "plain", "strict": "strict", "thinker": "think"}  # the names in kits.mjs
TOP = temporary("gfxbridge clients ")
DATA = os.path.join(os.environ.get("GFXB_BUILD", TOP), "clients-data")  # the engine stays for next time

# ChatML with Hermes' way of calling tools.
TEMPLATE = """{%- if tools %}{{- '<|im_start|>system\\n# Tools\\n<tools>' }}{%- for tool in tools %}{{- '\\n' }}\
{{- tool | tojson }}{%- endfor %}{{- '\\n</tools>\\nFor each call return a json object within <tool_call></tool_call> \
tags:\\n<tool_call>\\n{"name": <name>, "arguments": <object>}\\n</tool_call><|im_end|>\\n' }}{%- endif %}\
{%- for message in messages %}{%- if message.role == 'tool' %}{{- '<|im_start|>user\\n<tool_response>\\n' + \
message.content + '\\n</tool_response><|im_end|>\\n' }}{%- elif message.role == 'assistant' and message.tool_calls %}\
{{- '<|im_start|>assistant' }}{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}\
{%- for tool_call in message.tool_calls %}{{- '\\n<tool_call>\\n{"name": "' }}{{- tool_call.function.name }}\
{{- '", "arguments": ' }}{{- tool_call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}{%- endfor %}\
{{- '<|im_end|>\\n' }}{%- else %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\
{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""


def talker(path):
    """About 50 million parameters without sense; every token is as likely as any other."""
    width, layers = 768, 8
    f = gguf.start("llama", layers=layers, width=width, context=4096, heads=12, heads_kv=4, ff=2048,
                   vocabulary=2048)
    f.own(attention__layer_norm_rms_epsilon=1e-5, rope__dimension_count=64, vocab_size=2048)
    # One token that begins a call of a tool: 259 in clients.mjs.
    f.keys["tokenizer.ggml.tokens"].items[259] = "<tool_call>\n"
    f.keys["tokenizer.ggml.add_space_prefix"] = (gguf.BOOL, False)
    f.keys["tokenizer.chat_template"] = (gguf.STRING, TEMPLATE)
    f.tensor("output_norm.weight", width)
    for i in range(layers):
        gguf.norms(f, i, width, "attn_norm", "ffn_norm")
        gguf.attention(f, i, width, 12, 4, 64)
        gguf.mlp(f, i, width, 2048)
    return f.write(path)


SHARED = {}


def bring(name, write=talker):
    """A model under this name, the larger one; what an earlier run left of it is removed."""
    call("--data-dir", DATA, "rm", name, code=None)
    path = write(os.path.join(TOP, name + ".gguf"))
    call("--data-dir", DATA, "import", path, "--name", name)


def hub():
    """A hub with the canary's file as a model of its own; the variables that lead to it."""
    world = hub_world.World(temporary("gfxbridge-clients-"))
    world.start()
    SHARED["world"] = world
    with open(os.path.join(SOURCE, "data", "canary.gguf"), "rb") as f:
        world.publish("tests/tiny-GGUF", {"tiny-Q4_K_M.gguf": f.read()})
        f.seek(0)
        # 255 bytes of this name end in the middle of a character.
        world.publish("tests/long-GGUF", {"ü" * 100 + "b/" + "ü" * 40 + "-Q4_K_M.gguf": f.read()})
    return {"HF_ENDPOINT": world.hub, "GFXBRIDGE_OLLAMA_REGISTRY": world.registry,
            "GFXBRIDGE_CA_FILE": world.ca, "HF_HOME": os.path.join(TOP, "hf")}


def server():
    """One for all cases, from the first one on."""
    if "server" not in SHARED:
        need_engine(DATA)
        bring("talker")
        bring("embedder", parrot.write_embedder)
        for name, kind in PARROTS.items():
            bring(name, lambda path, kind=kind: parrot.write(path, kind))
        SHARED["server"] = Server(DATA, "--backend", "cpu", env=hub())
    return SHARED["server"]


def ask(path, body=None, method=None, status=200):
    """One request; the JSON of its answer (text of anything else)."""
    got, fields, data = server().request(method or ("POST" if body is not None else "GET"), path, body,
                                         timeout=300)
    assert got == status, f"{path}: {got}, wanted {status}: {data[:500]}"
    return json.loads(data) if data and fields["content-type"].startswith("application/json") else data.decode()


# ---- libraries ----

def library(name):
    def run():
        modules, url = npm.modules(), f"http://127.0.0.1:{server().port}"
        done = subprocess.run(["node", CLIENTS, name, url], capture_output=True, text=True, timeout=300,
                              env={**os.environ, "MODULES": modules})
        assert done.returncode == 0, done.stderr[-2000:] + "\n-- server:\n" + server().said()[-2000:]
    return run


def kit(name):
    """All of them in one call of node, at the first case: to load the libraries takes longer than to run them."""
    def run():
        modules, url = npm.modules(), f"http://127.0.0.1:{server().port}"
        if "kits" not in SHARED:
            done = subprocess.run(["node", KITS, "", url], capture_output=True, text=True, timeout=600,
                                  env={**os.environ, "MODULES": modules})
            assert done.returncode == 0, done.stderr[-2000:]
            SHARED["kits"] = json.loads(done.stdout.splitlines()[-1])
        assert name not in SHARED["kits"], SHARED["kits"][name] + "\n-- server:\n" + server().said()[-1000:]
    return run


def names(script):
    try:
        done = subprocess.run(["node", script, "--list"], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "MODULES": "/"})
        return json.loads(done.stdout)
    except (OSError, ValueError):
        return ["libraries of npm"]  # skipped by npm.modules()


# ---- Lemonade ----

def live_and_health():
    assert ask("/live") == {"status": "ok"}
    ask("/api/v1/unload", {})
    ask("/api/v1/load", {"model_name": "canary"})
    for prefix in ("/v1", "/api/v1", "/v0", "/api/v0"):
        health = ask(prefix + "/health")
        assert health["status"] == "ok" and health["model_loaded"] == "canary", health
        loaded = {m["model_name"]: m for m in health["all_models_loaded"]}["canary"]
        assert loaded["recipe"] == "llamacpp" and loaded["device"] == "cpu" and loaded["pid"] > 1
        assert loaded["backend"] == "cpu" and loaded["status"] == "ready"


def load_and_unload():
    loaded = ask("/api/v1/load", {"model_name": "talker", "ctx_size": 2048, "pinned": False})
    assert loaded["status"] == "success" and loaded["model_name"] == "talker", loaded
    assert loaded["recipe"] == "llamacpp"
    unloaded = ask("/api/v1/unload", {"model_name": "talker"})
    assert unloaded["status"] == "success" and unloaded["model_name"] == "talker"
    missing = ask("/api/v1/load", {"model_name": "nobody"}, status=404)["error"]
    assert missing["code"] == "model_not_found" and missing["requested_model"] == "nobody"
    assert "nobody" in ask("/api/v1/unload", {"model_name": "nobody"}, status=404)["error"]
    refused = ask("/api/v1/load", {"model_name": "canary", "llamacpp_args": "--port 1"}, status=400)
    assert "llamacpp_args" in refused["error"]


def models_and_all_of_them():
    here = {m["id"]: m for m in ask("/api/v1/models")["data"]}
    assert here["canary"]["downloaded"] and here["canary"]["recipe"] == "llamacpp"
    everything = {m["id"]: m for m in ask("/api/v1/models?show_all=true")["data"]}
    assert set(here) < set(everything) and not all(m["downloaded"] for m in everything.values())
    assert ask("/api/v1/models/canary")["id"] == "canary"
    assert ask("/api/v1/models/nobody", status=404)["error"]["code"] == "model_not_found"
    assert ask("/api/v1/nosuch", status=404)["error"] == {
        "message": "no such path", "path": "/api/v1/nosuch", "type": "not_found"}
    assert ask("/api/nosuch", status=404) == {"error": "no such path"}
    assert ask("/api/v1/models/canary")["source"] == "builtin"


def pull_and_delete_say_what_is_wrong():
    wrong = ask("/api/v1/pull", {"model_name": "no such name"}, status=400)
    assert wrong["error"]
    events = ask("/api/v1/pull", {"model_name": "./x/y", "stream": True}, status=400)
    assert events["error"]
    assert ask("/api/v1/delete", {"model_name": "nobody"}, status=422) == {"error": "Model not found: nobody"}
    assert "part of gfxbridge" in ask("/api/v1/delete", {"model_name": "canary"}, status=403)["error"]


def a_model_of_ours_can_be_deleted():
    bring("gone")
    ask("/api/v1/load", {"model_name": "gone"})
    assert ask("/api/v1/delete", {"model_name": "gone"})["status"] == "success"
    assert "gone" not in [m["id"] for m in ask("/api/v1/models")["data"]]
    wait_until(lambda: "gone" not in [m["model_name"] for m in
                                      ask("/v1/health")["all_models_loaded"]], "its engine's end")
    ask("/v1/chat/completions", {"model": "gone", "messages": [{"role": "user", "content": "hi"}]}, status=404)


def dry_run_knows_every_target():
    for arch, file in (("gfx1100", "llama-b1342-ubuntu-rocm-gfx110X-x64.zip"),
                       ("gfx1151", "llama-b1342-ubuntu-rocm-gfx1151-x64.zip"),
                       ("gfx942", "llama-b10820-bin-ubuntu-rocm-7.14-x64.tar.gz")):
        answer = ask("/api/v1/install/dry-run", {"recipe": "llamacpp", "backend": "rocm", "arch": arch})
        assert answer["supported"] and answer["filename"] == file, answer
        assert answer["url"].endswith(f"{answer['repo']}/releases/download/{answer['version']}/{file}")
    none = ask("/api/v1/install/dry-run", {"recipe": "llamacpp", "backend": "rocm", "arch": "gfx700"})
    assert none["supported"] is False and none["url"] is None
    vulkan = ask("/api/v1/install/dry-run", {"recipe": "llamacpp", "backend": "vulkan", "arch": ""})
    assert vulkan["supported"] and "vulkan" in vulkan["filename"]
    ask("/api/v1/install/dry-run", {"recipe": "vllm", "backend": "rocm"}, status=400)


def install_streams_its_steps():
    for path in ("install", "uninstall"):
        none = ask(f"/api/v1/{path}", {"recipe": "foo", "backend": "cpu"}, status=500)
        assert list(none) == ["error"] and "'foo'" in none["error"], none
    done = ask("/api/v1/install", {"recipe": "llamacpp", "backend": "cpu"})
    assert done["status"] == "success" and done["backend"] == "cpu"
    text = ask("/api/v1/install", {"recipe": "llamacpp", "backend": "cpu", "stream": True})
    assert text.rstrip().split("\n\n")[-1].startswith("event: complete\ndata: {")
    failed = ask("/api/v1/install", {"recipe": "llamacpp", "backend": "rocm", "stream": True})
    assert "event: error\ndata: {" in failed  # no GPU here
    none = ask("/api/v1/uninstall", {"recipe": "llamacpp", "backend": "rocm"}, status=404)
    assert none["recipe"] == "llamacpp" and none["backend"] == "rocm" and none["error"]
    busy = ask("/api/v1/uninstall", {"recipe": "llamacpp", "backend": "cpu"}, status=503)
    assert "unload it first" in busy["error"]
    busy = ask("/gfxbridge/backends/remove", {"backend": "llamacpp:cpu"}, status=503)
    assert "unload it first" in busy["error"]["message"]


def system_says_what_runs_where():
    info = ask("/api/v1/system-info")
    assert info["Processor"] and info["Physical Memory"].endswith(" GB")
    backends = info["recipes"]["llamacpp"]["backends"]
    assert backends["cpu"]["state"] == "installed" and backends["cpu"]["version"]
    assert backends["rocm"]["state"] in ("installed", "installable", "unsupported")
    assert backends["rocm"]["gfxbridge"]["code"] and backends["rocm"]["message"]
    assert info["recipes"]["llamacpp"]["default_backend"]
    stats = ask("/api/v1/system-stats")
    assert stats["memory_gb"] > 0 and 0 <= stats["cpu_percent"] <= 100
    ask("/v1/chat/completions", {"model": "canary", "messages": [{"role": "user", "content": "hi"}]})
    figures = ask("/api/v1/stats")
    assert figures["tokens_per_second"] > 0 and figures["output_tokens_total"] > 0


def page_calls_are_the_command_lines():
    for word, member in (("detect", "gpus"), ("plan", "choices"), ("backends", "packages"),
                         ("doctor", "findings"), ("proofs", "proofs")):
        answer = ask("/gfxbridge/" + word)
        assert answer["schema"] == 1 and member in answer, answer
    assert ask("/gfxbridge/detect").keys() == json.loads(call("detect", "--json").stdout).keys()


def metrics_can_be_scraped():
    ask("/v1/chat/completions", {"model": "canary", "messages": [{"role": "user", "content": "hi"}]})
    seen = {}
    for line in ask("/metrics").splitlines():
        if line.startswith("# TYPE "):
            seen[line.split()[2]] = 0
            continue
        found = re.fullmatch(r'(gfxbridge_\w+)(\{(\w+="[^"]*",?)+\})? (\S+)', line)
        assert found or line.startswith("# HELP "), line
        if found:
            assert found.group(1) in seen, line
            float(found.group(4))
            seen[found.group(1)] += 1
    assert seen["gfxbridge_model_ready"] >= 1 and seen["gfxbridge_requests_total"] == 6, seen


def ollama_lines_on_the_wire():
    body = {"model": "canary", "messages": [{"role": "user", "content": "hi"}]}
    lines = ask("/api/chat", body).splitlines()
    assert all(json.loads(line)["model"] == "canary" for line in lines)
    assert [json.loads(line)["done"] for line in lines].count(True) == 1
    assert ask("/api/chat", {"model": "x y"}, status=400).keys() == {"error"}


def pull_streams_its_progress():
    text = ask("/api/v1/pull", {"model_name": "tests/tiny-GGUF", "stream": True})
    events = [event.split("\n") for event in text.strip().split("\n\n")]
    assert events[-1][0] == "event: complete", text
    assert {event[0] for event in events[:-1]} <= {"event: progress"}
    whole = ask("/api/v1/pull", {"model_name": "tests/tiny-GGUF"})
    assert whole["status"] == "success" and whole["model_name"], whole
    answer = ask("/v1/chat/completions", {"model": whole["model_name"], "messages": [
        {"role": "user", "content": "Which gfx is the Radeon RX 7900 XT?"}]})
    assert answer["choices"][0]["message"]["content"] == ANSWER and answer["model"] == whole["model_name"]
    assert ask("/api/v1/delete", {"model_name": whole["model_name"]})["status"] == "success"
    missing = ask("/api/v1/pull", {"model_name": "tests/nothing-GGUF", "stream": True})
    assert missing.strip().split("\n\n")[-1].startswith("event: error\ndata: {")


def a_download_with_a_long_name_is_listed():
    ask("/api/v1/pull", {"model_name": "tests/long-GGUF", "stream": True, "subscribe": False})
    found = []

    def is_complete():
        found[:] = [d for d in ask("/api/v1/downloads") if d["id"] == "model:tests/long-GGUF"]
        assert found, "it is missing in the list"
        assert found[0]["status"] in ("downloading", "completed"), found
        return found[0]["status"] == "completed"

    wait_until(is_complete, "the download's end")
    assert found[0]["file"].startswith("ü" * 100), found
    assert ask("/api/v1/delete", {"model_name": found[0]["result"]["model_name"]})["status"] == "success"


def stops():
    running = server()
    SHARED["world"].stop()
    assert running.stop() == 0


CASES = [("npm, " + name, library(name)) for name in names(CLIENTS)] + [
    ("npm, " + name, kit(name)) for name in names(KITS)] + [
    ("Lemonade: live and health, under all prefixes", live_and_health),
    ("Lemonade: load and unload", load_and_unload),
    ("Lemonade: models, and all that could be here", models_and_all_of_them),
    ("Lemonade: pull and delete say what is wrong", pull_and_delete_say_what_is_wrong),
    ("Lemonade: pull streams its progress", pull_streams_its_progress),
    ("a download of a file with a long name is listed", a_download_with_a_long_name_is_listed),
    ("Lemonade: a loaded model of ours can be deleted", a_model_of_ours_can_be_deleted),
    ("Lemonade: dry-run answers for every target", dry_run_knows_every_target),
    ("Lemonade: install streams its steps, uninstall refuses what is in use", install_streams_its_steps),
    ("Lemonade: system-info, system-stats, stats", system_says_what_runs_where),
    ("the page's calls are the command line's answers", page_calls_are_the_command_lines),
    ("metrics can be scraped", metrics_can_be_scraped),
    ("Ollama's lines on the wire", ollama_lines_on_the_wire),
    ("SIGTERM ends it well", stops),
]

tap.run(CASES)
