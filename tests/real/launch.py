#!/usr/bin/env python3
"""launch.py GFXBRIDGE: `launch` with the real server and engine. The agent here is a script that
writes down what it was given and asks the server itself: what the real agents make of it is
tests/real/agents.py's.
"""
import atexit
import http.server
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, answer, call, need_engine, processes_of, temporary  # noqa: E402
from server import Server  # noqa: E402
from wait import wait_until  # noqa: E402

TOP = temporary("gfxbridge launch ")
DATA = os.path.join(os.environ.get("GFXB_BUILD", TOP), "launch-data")  # the engine stays for next time
RUN, BIN, SEEN, TOLD = (os.path.join(TOP, name) for name in ("run", "bin", "seen.json", "told"))
AGENTS = ["claude", "codex", "continue", "copilot", "opencode", "qwen"]
SHARED = {}
AGENT = """#!%s
import json, os, re, signal, sys, time, urllib.request
told = []
def end(*_):  # the last signal that it waits for
    told.append(1)
    open(%r, "a").write(".")
    if len(told) >= sys.argv.count("wait"):
        sys.exit(7)
signal.signal(signal.SIGTERM, end)  # before anybody can know that this runs
words, env = sys.argv, dict(os.environ)
file = next((w for w in words + list(env.values()) if w.startswith(%r) and os.path.isfile(w)), None)
text = open(file, encoding="utf-8").read() if file else None
given = "\\n".join([*words, *env.values(), text or ""])
reply = None
if "ask" in words:
    url = re.search("http://127[.]0[.]0[.]1:[0-9]+", given).group(0)
    request = urllib.request.Request(url + "/v1/chat/completions",
        json.dumps({"model": "canary", "messages": [{"role": "user", "content":
                    "Which gfx is the Radeon RX 7900 XT?"}]}).encode(), {"Content-Type": "application/json"})
    reply = json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
json.dump({"words": words[1:], "env": env, "file": file, "text": text, "reply": reply, "given": given,
           "pid": os.getpid()}, open(%r + ".part", "w"))
os.rename(%r + ".part", %r)
while "wait" in words:
    time.sleep(0.1)
if "killed" in words:
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(3 if "fail" in words else 0)
""" % (sys.executable, TOLD, RUN, SEEN, SEEN, SEEN)


def prepare():
    if "ready" not in SHARED:
        need_engine(DATA)
        for place in (RUN, BIN):
            os.makedirs(place, mode=0o700)
        for row in answer("launch")["agents"]:
            path = os.path.join(BIN, row["program"])
            with open(path, "w", encoding="utf-8") as f:
                f.write(AGENT)
            os.chmod(path, 0o755)
        SHARED["ready"] = True
    return {"XDG_RUNTIME_DIR": RUN, "GFXBRIDGE_PORT": "0", "PATH": BIN + ":" + os.environ["PATH"]}


def launch(*words, code=0, env=None):
    """Run it; what the agent saw."""
    if os.path.exists(SEEN):
        os.unlink(SEEN)
    done = call("--data-dir", DATA, "launch", *words, code=code, env={**prepare(), **(env or {})})
    place = os.path.join(RUN, "gfxbridge")
    left = [n for n in os.listdir(place) if n[:7] == "launch-" and n[7:].isdigit()
            and not os.path.exists("/proc/" + n[7:])] if os.path.isdir(place) else []
    assert not left, left
    if os.path.exists(SEEN):
        with open(SEEN, encoding="utf-8") as f:
            return json.load(f)
    return done


def servers():
    return processes_of(DATA, "\0serve")  # not its engines


def agents_are_listed():
    none = answer("launch", env={"PATH": "/usr/bin:/bin"})["agents"]
    assert [row["agent"] for row in none] == AGENTS
    for row in none:
        assert row["install"].startswith("npm install -g ") and row["program"], row
    done = call("launch", "codex", env={"PATH": TOP}, code=1)
    assert "codex is not installed: npm install -g @openai/codex installs it" in done.stderr
    assert "they are claude, codex" in call("launch", "nobody", code=2).stderr
    here = answer("launch", env=prepare())["agents"]
    assert all(row["path"] == os.path.join(BIN, row["program"]) for row in here), here


def each_agent_gets_an_answer():
    for agent in AGENTS:
        seen = launch(agent, "--model", "canary", "--", "ask", "--own-option", "a b")
        assert seen["words"][-3:] == ["ask", "--own-option", "a b"], seen["words"]
        assert seen["reply"] == "The Radeon RX 7900 XT is gfx1100.", (agent, seen["reply"])
        assert "canary" in seen["given"], agent
    no_server()


def what_agents_get():
    seen = launch("continue", "--model", "canary")
    config = json.loads(seen["text"])
    assert config["models"][0]["model"] == "canary" and not os.path.exists(seen["file"])
    assert config["models"][0]["apiBase"].startswith("http://127.0.0.1:")
    seen = launch("opencode", "--model", "canary", env={"GFXBRIDGE_API_KEY": "secret"})
    config = json.loads(seen["env"]["OPENCODE_CONFIG_CONTENT"])
    assert config["model"] == "gfxbridge/canary" and config["enabled_providers"] == ["gfxbridge"]
    assert config["provider"]["gfxbridge"]["options"]["apiKey"] == "secret"
    limit = config["provider"]["gfxbridge"]["models"]["canary"]["limit"]
    seen = launch("copilot", "--model", "canary", env={"COPILOT_PROVIDER_BEARER_TOKEN": "theirs"})
    assert "theirs" not in seen["given"]  # it would go to the server instead of the key
    assert int(seen["env"]["COPILOT_PROVIDER_MAX_OUTPUT_TOKENS"]) == limit["output"]
    assert int(seen["env"]["COPILOT_PROVIDER_MAX_PROMPT_TOKENS"]) == limit["context"] - limit["output"]
    seen = launch("qwen", "--model", "canary")
    model = json.loads(seen["text"])["modelProviders"]["openai"][0]
    assert model["id"] == "canary" and model["baseUrl"] == seen["env"]["OPENAI_BASE_URL"]
    assert model["generationConfig"]["contextWindowSize"] == limit["context"]
    assert seen["env"]["QWEN_CODE_SYSTEM_SETTINGS_PATH"] == seen["file"]


def claude_ignores_other_settings():
    """Claude Code takes variables of the user's settings before those of its environment, and those of --settings
    before both."""
    theirs = {"ANTHROPIC_BASE_URL": "http://192.0.2.1", "ANTHROPIC_MODEL": "theirs", "CLAUDE_CODE_USE_BEDROCK": "1",
              "ANTHROPIC_CUSTOM_HEADERS": "X-Key: theirs", "ANTHROPIC_API_KEY": "theirs", "NO_PROXY": "theirs"}
    seen = launch("claude", "--model", "canary", env={**theirs, "CLAUDE_CODE_USE_VERTEX": "1"})
    assert seen["words"][:2] == ["--settings", seen["file"]], seen["words"]
    settings = json.loads(seen["text"])
    used = {**seen["env"], **theirs, **settings["env"]}
    assert used["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:") and used["ANTHROPIC_MODEL"] == "canary"
    for name in ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_API_KEY"):
        assert used[name] == "", name
    assert settings["apiKeyHelper"] == "" and "127.0.0.1" in used["NO_PROXY"].split(",")
    assert int(used["CLAUDE_CODE_MAX_CONTEXT_TOKENS"]) > int(used["CLAUDE_CODE_MAX_OUTPUT_TOKENS"]) > 0


def no_proxy_sees_the_server():
    proxy = {"HTTP_PROXY": "http://192.0.2.1:1", "http_proxy": "http://192.0.2.1:1", "no_proxy": "example.org"}
    for agent in AGENTS:
        seen = launch(agent, "--model", "canary", "--", "ask", env=proxy)
        for name in ("NO_PROXY", "no_proxy"):
            assert seen["env"][name] == "example.org,127.0.0.1,localhost,127.0.0.1", seen["env"][name]
        assert seen["reply"] and (agent != "qwen" or not seen["env"]["HTTP_PROXY"]), agent


def exit_codes_are_the_agents():
    launch("qwen", "--model", "canary", "--", "fail", code=3)
    launch("qwen", "--model", "canary", "--", "killed", code=128 + signal.SIGKILL)
    assert "no such model" in launch("qwen", "--model", "nobody", code=1).stderr
    if not os.path.isdir("/usr/share/ollama"):  # whose models count as here
        assert "no model is here" in launch("qwen", code=2).stderr


def start(*words, options=(), signals=1):
    """A launch whose agent waits for so many signals; what the agent saw."""
    if os.path.exists(SEEN):
        os.unlink(SEEN)
    process = subprocess.Popen([PROGRAM, "--data-dir", DATA, *options, "launch", *words, "--model", "canary", "--",
                                *["wait"] * signals], env={**os.environ, **prepare()}, stdin=subprocess.DEVNULL)
    atexit.register(process.terminate)  # where the case fails
    wait_until(lambda: os.path.exists(SEEN), "the agent")
    with open(SEEN, encoding="utf-8") as f:
        return process, json.load(f)


def no_server():
    wait_until(lambda: not servers(), "the end of the servers")


def a_signal_ends_all_of_it():
    process, seen = start("continue")
    assert os.path.exists(seen["file"]) and servers()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 7  # the agent's own answer to it
    assert not os.path.exists(seen["file"])
    no_server()
    # What a killed one left goes with the next.
    os.makedirs(os.path.join(RUN, "gfxbridge", "launch-4194305"))
    launch("qwen", "--model", "canary")


def killed_it_takes_its_agent_along():
    process, seen = start("qwen")
    process.kill()
    process.wait(60)
    wait_until(lambda: not os.path.exists(f"/proc/{seen['pid']}"), "the end of the agent")
    no_server()


def each_signal_is_handed_on():
    process, _ = start("qwen", signals=2)
    before = os.path.getsize(TOLD) if os.path.exists(TOLD) else 0
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: os.path.exists(TOLD) and os.path.getsize(TOLD) > before, "the first signal")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 7


def a_server_serves_all_launches():
    no_server()
    first, alone = start("qwen", options=["--no-network"])
    (server, line), = servers().items()
    assert b"--no-network" in line, line
    second, seen = start("claude")
    assert set(servers()) == {server}
    first.kill()  # says nothing to anybody
    first.wait(60)
    os.kill(alone["pid"], signal.SIGKILL)
    for _ in range(3):
        assert launch("qwen", "--model", "canary", "--", "ask")["env"]["OPENAI_BASE_URL"] == \
            seen["env"]["ANTHROPIC_BASE_URL"] + "/v1"
    assert set(servers()) == {server}
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 7
    no_server()


def another_program_has_the_port():
    no_server()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        port = str(other.server_address[1])
        seen = launch("qwen", "--model", "canary", "--", "ask", env={"GFXBRIDGE_PORT": port})
        assert seen["reply"] and ":" + port not in seen["env"]["OPENAI_BASE_URL"]
        other.shutdown()


def a_socket_unit_is_asked():
    """systemd holds the port, and starts the server when somebody asks."""
    no_server()
    with socket.create_server(("127.0.0.1", 0)) as unit:
        port = unit.getsockname()[1]
        env, started = {**os.environ, **prepare()}, []

        def activate():
            select.select([unit], [], [])
            started.append(subprocess.Popen(
                ["sh", "-c", 'eval "exec 3<&$3"; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$1" --data-dir "$2" serve',
                 "sh", PROGRAM, DATA, str(unit.fileno())], env=env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                pass_fds=[unit.fileno()]))
        thread = threading.Thread(target=activate)
        thread.start()
        try:
            seen = launch("qwen", "--model", "canary", "--", "ask", env={"GFXBRIDGE_PORT": str(port)})
            thread.join(60)
            assert f"127.0.0.1:{port}/" in seen["env"]["OPENAI_BASE_URL"] and seen["reply"]
            assert list(servers()) == [started[0].pid]  # and it stays
        finally:
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join(60)
            started[0].terminate()
            started[0].wait(60)


def paths_are_refused():
    for name in ("./x.gguf", "/x.gguf"):
        done = launch("qwen", "--model", name, code=2)
        assert f"gfxbridge import {name}" in done.stderr, done.stderr
    assert not servers()


def a_running_server_is_used():
    running = Server(DATA, "--backend", "cpu")
    try:
        seen = launch("qwen", "--model", "canary",
                      env={"XDG_RUNTIME_DIR": running.home, "XDG_CONFIG_HOME": running.home})
        assert seen["env"]["OPENAI_BASE_URL"] == f"http://127.0.0.1:{running.port}/v1"
        assert running.process.poll() is None
    finally:
        assert running.stop() == 0


def print_starts_nothing():
    no_server()
    done = call("--data-dir", DATA, "launch", "codex", "--model", "canary", "--print", "--", "it's",
                env=prepare())
    assert "export GFXBRIDGE_LAUNCH_KEY='gfxbridge'" in done.stdout, done.stdout
    assert "'model_provider=\"gfxbridge\"'" in done.stdout and done.stdout.rstrip().endswith("'it'\\''s'")
    assert not servers()
    # The shell can do what it prints, the file of the agent included.
    done = call("--data-dir", DATA, "launch", "continue", "--model", "canary", "--print", env=prepare())
    assert not os.path.exists(os.path.join(RUN, "gfxbridge", "print"))
    subprocess.run(["sh", "-ec", done.stdout], env={**os.environ, **prepare()}, check=True)
    with open(SEEN, encoding="utf-8") as f:
        seen = json.load(f)
    assert json.loads(seen["text"])["models"][0]["model"] == "canary"
    assert os.stat(seen["file"]).st_mode & 0o077 == 0


tap.run([
    ("agents are listed, and how to install them", agents_are_listed),
    ("each agent gets an answer", each_agent_gets_an_answer),
    ("what agents get", what_agents_get),
    ("claude ignores other settings", claude_ignores_other_settings),
    ("no proxy sees the server", no_proxy_sees_the_server),
    ("exit codes are the agent's", exit_codes_are_the_agents),
    ("a signal ends all of it", a_signal_ends_all_of_it),
    ("an agent ends with a launch that is killed", killed_it_takes_its_agent_along),
    ("each signal is handed on", each_signal_is_handed_on),
    ("a server serves all launches", a_server_serves_all_launches),
    ("another program has the port", another_program_has_the_port),
    ("a socket unit is asked", a_socket_unit_is_asked),
    ("paths are refused", paths_are_refused),
    ("a running server is used", a_running_server_is_used),
    ("--print starts nothing", print_starts_nothing),
])
