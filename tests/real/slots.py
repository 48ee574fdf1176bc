#!/usr/bin/env python3
"""slots.py GFXBRIDGE: an agent's later turns do not read its prompt again, with the real engine.

A conversation of 20,000 tokens goes on at once, and after its model had to go for another one. What is kept for
that on disk is private, and gone when it is used or no longer of use.
"""
import glob
import json
import os
import shutil
import stat
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import parrot  # noqa: E402
import tap  # noqa: E402
from gfxbridge import call, need_engine  # noqa: E402
from server import Server, chat  # noqa: E402
from wait import wait_until  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge-slots-")
DATA = os.path.join(TOP, "data")
KEPT = os.path.join(DATA, "cache", "slots")
MOST = 0.05  # of the prompt's tokens that a later turn reads again


def prepare():
    need_engine(DATA)
    for name in ("agent", "other"):
        path = parrot.write(os.path.join(TOP, name + ".gguf"))
        call("--data-dir", DATA, "import", path, "--name", name)


class Conversation:
    def __init__(self, server):
        self.server = server
        self.messages = [{"role": "system", "content": "one word " * 3330}]

    def turn(self):
        """The share of the prompt's tokens that was read."""
        self.messages.append({"role": "user", "content": "HELLO"})
        status, _, body = self.server.ask({"model": "agent", "messages": self.messages, "temperature": 0},
                                          timeout=300)
        assert status == 200, body
        body = json.loads(body)
        usage = body["usage"]
        self.messages.append(body["choices"][0]["message"])
        assert usage["prompt_tokens"] > 19000, usage
        return 1 - usage["prompt_tokens_details"]["cached_tokens"] / usage["prompt_tokens"]


def files():
    return [p for p in glob.glob(os.path.join(KEPT, "engine-*", "*", "*")) if os.path.isfile(p)]


def serve(**config):
    if not os.path.isdir(os.path.join(DATA, "packages")):
        raise tap.Skip("no engine is installed")
    return Server(DATA, config={"max_models": 1, **config})


def put_aside(server):
    """Another model takes the place of the agent's."""
    status, _, body = server.ask(chat(model="other"))
    assert status == 200, body


def later_turns():
    server = serve()
    try:
        agent = Conversation(server)
        assert agent.turn() > 0.9
        shares = [agent.turn()]
        assert not files()
        put_aside(server)
        kept = files()
        assert kept, os.listdir(KEPT)
        for path in kept:
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, path
            assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700, path
        assert stat.S_IMODE(os.stat(KEPT).st_mode) == 0o700
        shares.append(agent.turn())
        print("# read again: " + ", ".join(f"{100 * s:.2f} %" for s in shares), flush=True)
        assert max(shares) <= MOST, shares
        assert not [p for p in files() if p in kept], "what was restored stays on disk"
        put_aside(server)
        assert files()
    finally:
        server.stop()
    assert not files() and not glob.glob(os.path.join(KEPT, "engine-*"))


def unloaded_by_a_user():
    server = serve()
    try:
        Conversation(server).turn()
        server.command("unload", "agent")
        wait_until(lambda: not server.status()["models"], "the model to go")
        assert not files()
    finally:
        server.stop()


def a_server_that_was_killed():
    server = serve()
    try:
        Conversation(server).turn()
        put_aside(server)
        assert files()
    finally:
        server.process.kill()
        server.process.wait()
    assert files()
    server = serve()
    try:
        assert not files()
    finally:
        server.stop()


def another_file_of_the_same_name():
    """What was kept of the file before says nothing about the one that stands there now."""
    server = serve()
    try:
        agent = Conversation(server)
        agent.turn()
        put_aside(server)
        old = files()
        path = [p for p in glob.glob(os.path.join(DATA, "models", "**", "agent*.gguf"), recursive=True)][0]
        os.utime(path, (1, 1))
        assert agent.turn() > 0.9
        assert not [p for p in old if os.path.exists(p)]
    finally:
        server.stop()


tap.run([
    ("the distribution's engine and two models", prepare),
    ("a conversation of 20,000 tokens goes on, also after another model", later_turns),
    ("a model that a user unloads leaves nothing", unloaded_by_a_user),
    ("what a killed server left goes with the next one", a_server_that_was_killed),
    ("a model that was changed starts afresh", another_file_of_the_same_name),
    ("clean up", lambda: shutil.rmtree(TOP, ignore_errors=True)),
])
