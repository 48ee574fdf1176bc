#!/usr/bin/env python3
"""context.py GFXBRIDGE: one request may use the whole context that is told of a model, whatever else
runs; what is longer is refused with the command that raises it. The real engine, on the CPU.
GFXB_TEST_DATA names a data directory with the engine, to save the installation.
"""
import concurrent.futures
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import parrot  # noqa: E402
import tap  # noqa: E402
from gfxbridge import call, need_engine, temporary  # noqa: E402
from server import Server  # noqa: E402

TOP = temporary("gfxbridge-context-")
DATA = os.environ.get("GFXB_TEST_DATA") or os.path.join(os.environ.get("GFXB_BUILD", TOP),
                                                        "dialects-data")  # the engine stays for next time
SERVER = []
TRAINED = 16384
HEADERS = {"Content-Type": "application/json", "anthropic-version": "2023-06-01"}


def server():
    if not SERVER:
        need_engine(DATA)
        for name, context in (("long", TRAINED), ("short", 2048)):
            path = parrot.write(os.path.join(TOP, f"{name}.gguf"), context=context)
            call("--data-dir", DATA, "rm", name, code=None)
            call("--data-dir", DATA, "import", path, "--name", name)
        SERVER.append(Server(DATA, "--backend", "cpu"))
    return SERVER[0]


def post(path, body):
    status, _, answer = server().request("POST", path, json.dumps(body), HEADERS, timeout=300)
    return status, json.loads(answer)


def chat(letters, word="", model="long", **more):
    """A letter is a token. With the words of the template around them."""
    return post("/v1/chat/completions",
                {"model": model, "messages": [{"role": "user", "content": "z" * letters + word}], **more})


def told():
    """What each place tells of the loaded model."""
    ps = json.loads(server().request("GET", "/api/ps")[2])["models"]
    health = json.loads(server().request("GET", "/v1/health")[2])["all_models_loaded"]
    return {"ps": [m["context_length"] for m in ps if m["name"].startswith("long")],
            "health": [m["recipe_options"]["ctx_size"] for m in health if m["model_name"] == "long"]}


def listed(name):
    return json.loads(server().request("GET", f"/v1/models/{name}")[2])


def what_is_told_can_be_used():
    assert listed("long")["context_length"] == TRAINED  # not loaded yet
    plan = json.loads(server().command("--json", "plan", "--model", "long").stdout)
    choice = plan["choices"][plan["chosen"]]
    assert choice["context"] == TRAINED and choice["slots"] == 4, choice
    status, answer = chat(TRAINED - 200, max_tokens=8)
    assert status == 200 and answer["usage"]["prompt_tokens"] > TRAINED - 200, answer
    assert told() == {"ps": [TRAINED], "health": [TRAINED]}, told()
    assert listed("long")["context_length"] == TRAINED
    shown = server().command("show", "long").stdout
    assert f"context {TRAINED}, requests at a time 4" in shown, shown


def several_at_once():
    """More long requests than slots, with answers that go on until the context is full: each is
    answered as if it were alone."""
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(chat, TRAINED - 500 - i, " ENDLESS") for i in range(6)]
    for job in jobs:
        status, answer = job.result()
        assert status == 200 and answer["choices"][0]["finish_reason"] == "length", answer
        assert answer["usage"]["total_tokens"] >= TRAINED - 1, answer["usage"]
    state = server().status()
    assert "failovers" not in json.dumps(state) or json.dumps(state).count('"failovers": 0') > 0, state


def too_long():
    """Each dialect's own shape; the command does what it says."""
    server().command("load", "long", "--context", "4096")  # it has more: nothing changes
    assert told()["ps"] == [TRAINED]
    server().command("unload", "long")
    server().command("load", "long", "--context", "4096")
    assert told()["ps"] == [4096], told()
    status, answer = chat(6000)
    assert status == 400 and answer["error"]["code"] == "context_length_exceeded", answer
    assert answer["error"]["type"] == "invalid_request_error"
    words = re.search(r"gfxbridge (load long --context \d+)", answer["error"]["message"])
    assert words and "> 4096, the maximum context length of long" in answer["error"]["message"], answer
    message = [{"role": "user", "content": "z" * 6000}]
    status, answer = post("/v1/messages", {"model": "long", "max_tokens": 9, "messages": message})
    assert status == 400 and answer["error"]["type"] == "invalid_request_error", answer
    assert answer["error"]["message"].startswith("prompt is too long: "), answer
    status, answer = post("/api/chat", {"model": "long", "messages": message})
    assert status == 400 and answer["error"].startswith("prompt is too long: "), answer
    status, answer = post("/v1/responses", {"model": "long", "input": "z" * 6000})
    assert status == 400 and answer["error"]["code"] == "context_length_exceeded", answer
    server().command(*words.group(1).split())
    status, answer = chat(6000)
    assert status == 200, answer


def num_ctx():
    """Of one request; more than it was trained for is not given, and loads it once."""
    server().command("unload", "long")
    pid = []
    for context, had in ((3000, 3000), (2048, 3000), (5000, 5000), (99999, TRAINED), (99999, TRAINED)):
        status, answer = post("/api/generate", {"model": "long", "prompt": "hi", "stream": False,
                                                "options": {"num_ctx": context}})
        assert status == 200 and answer["response"], answer
        assert told()["ps"] == [had], (context, told())
        pid.append(server().engine_pid())
    assert len(set(pid)) == 3 and pid[0] == pid[1] and pid[3] == pid[4], pid


def no_more_than_trained():
    status, answer = chat(3000, model="short")
    assert status == 400 and "which was trained for 2048" in answer["error"]["message"], answer


def main():
    cases = [("the context that is told can be used by one request", what_is_told_can_be_used),
             ("several long requests at once wait, and none fails", several_at_once),
             ("a longer one is refused in each dialect, with the command that helps", too_long),
             ("num_ctx is the context of one request", num_ctx),
             ("what a model was trained for is the most", no_more_than_trained)]
    try:
        tap.run(cases)
    finally:
        if SERVER:
            assert SERVER[0].stop() == 0


main()
