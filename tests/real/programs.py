#!/usr/bin/env python3
"""programs.py GFXBRIDGE: `env --for` makes other programs use the proven engine: its llama-server is
started as such a program would, and answers."""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, SOURCE, answer, call  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge it's ")  # a blank and a quote, as users have them
DATA = os.path.join(TOP, "data")


def nothing_proven_is_a_sentence():
    said = call("--data-dir", DATA, "env", "--for", "llama.cpp", code=1).stderr
    assert "gfxbridge run" in said, said
    call("env", "--for", "something", code=2)
    call("env", code=2)


def prepare():
    done = call("--data-dir", DATA, "run", "--backend", "cpu", "Hello?", code=None, timeout=600)
    if done.returncode == 3:
        raise tap.Skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(port):
    for _ in range(300):
        try:
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/chat/completions", headers={
                    "Content-Type": "application/json"},
                data=json.dumps({"temperature": 0, "messages": [
                    {"role": "user", "content": "Which gfx is the Radeon RX 7900 XT?"}]}).encode())
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.load(reply)["choices"][0]["message"]["content"]
        except OSError:
            time.sleep(0.1)
    raise AssertionError("no answer")


def starts(script, where):
    """A shell as a person has it, in a folder of theirs, with a model named relative to it."""
    os.makedirs(where, exist_ok=True)
    shutil.copy(os.path.join(SOURCE, "data", "canary.gguf"), os.path.join(where, "a model.gguf"))
    port = free_port()
    shell = subprocess.Popen(["sh", "-c", script + f' -m "a model.gguf" --port {port}'], cwd=where,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "GFXBRIDGE": PROGRAM, "DATA": DATA})
    try:
        assert ask(port) == "The Radeon RX 7900 XT is gfx1100."
    finally:
        shell.terminate()
        shell.communicate(timeout=30)


def need_engine():
    if not os.path.isdir(os.path.join(DATA, "packages")):
        raise tap.Skip("no engine is installed")


def llama_cpp():
    need_engine()
    starts('eval "$("$GFXBRIDGE" --data-dir "$DATA" env --backend cpu --for llama.cpp 2>/dev/null)";'
           ' exec llama-server', os.path.join(TOP, "somebody's models"))


def lemonade():
    need_engine()
    told = answer("--data-dir", DATA, "env", "--backend", "cpu", "--for", "lemonade")
    program = told["env"]["LEMONADE_LLAMACPP_CPU_BIN"]
    assert os.access(program, os.X_OK) and "CPU" in told["how"]
    # The words that Lemonade starts its llama-server with.
    starts(f'exec "{program}" --ctx-size 2048 --jinja --metrics', os.path.join(TOP, "models"))


def ramalama():
    """Without a container it starts the llama-server that stands first in PATH."""
    need_engine()
    told = answer("--data-dir", DATA, "env", "--backend", "cpu", "--for", "ramalama")["env"]
    assert told["RAMALAMA_IN_CONTAINER"] == "false", told
    assert shutil.which("llama-server", path=told["PATH"]) == os.path.join(DATA, "bin", "llama-server"), told


def own_engines():
    """The environment of the proof, and nothing else."""
    need_engine()
    proven = {v.split("=", 1)[0] for v in answer("--data-dir", DATA, "plan", "--backend", "cpu")["choices"][0]["env"]}
    for program in ("jan", "koboldcpp", "lm-studio", "localai", "text-generation-webui"):
        told = answer("--data-dir", DATA, "env", "--backend", "cpu", "--for", program)
        assert set(told["env"]) == proven, (program, told)
        assert told["how"].startswith("Nothing has to be set") == (not proven), (program, told)


def ollama():
    assert answer("env", "--for", "ollama")["env"]["OLLAMA_HOST"] == "127.0.0.1:13305"


try:
    tap.run([
        ("without a proof it is a sentence", nothing_proven_is_a_sentence),
        ("an engine is installed and proven", prepare),
        ("llama.cpp: llama-server in a shell is the proven engine", llama_cpp),
        ("lemonade: its variable names a program that it can start", lemonade),
        ("ramalama: it finds the proven engine and uses no container", ramalama),
        ("programs with engines of their own get the environment of the proof", own_engines),
        ("ollama: its programs are pointed at the server", ollama),
    ])
finally:
    shutil.rmtree(TOP, ignore_errors=True)
