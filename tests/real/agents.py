#!/usr/bin/env python3
"""agents.py GFXBRIDGE [AGENT...]: coding agents from npm against the server and the real engine, in a network
namespace that has nothing but loopback.

Each agent on each model says hello, runs a tool that its model asks for and answers with its result, and goes on
with that session in another process; on the first model it also says hello when `gfxbridge launch` starts it. The
models are parrots (tests/lib/parrot.py) with a call of each agent's own tool. A run of all agents compares its outcome
with the table in docs/clients.md; GFXB_WRITE_TABLE=1 writes it.
"""
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
import npm  # noqa: E402
import parrot  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, SOURCE, call, need_engine  # noqa: E402
from server import Server  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge-agents-")
DATA = os.path.join(os.environ.get("GFXB_BUILD", TOP), "clients-data")  # that of clients.py
TABLE = os.path.join(SOURCE, "docs", "clients.md")
MODELS = {  # name: kind of parrot, context, what the table says
    "plain": ("short", 32768, "plain model"),
    "late": ("strict-short", 32768, "template refuses late system messages"),
    "large": ("counted", 65536, "real token counts"),
}
STEPS = ("hello", "tool", "resume")
READY = ("node node_modules/@anthropic-ai/claude-code/install.cjs; "
         "node node_modules/opencode-ai/postinstall.mjs")
# The word that the model answers for is only in the tool's result.
SHELL = "printf MARK; echo ED; touch executed"


class Agent:
    """How one is called. {m} is the model, {u} the server, {h} the agent's home."""

    def __init__(self, title, package, words, resume, tool, env=None, file=None):
        self.title, self.package, self.words, self.resume = title, package, words.split(), resume.split()
        self.tool, self.env, self.file = tool, env or {}, file


def shell(name, member="command", **more):
    return parrot.call(name, {member: SHELL, **more})


COPILOT = {"COPILOT_OFFLINE": "true", "COPILOT_PROVIDER_API_KEY": "any", "COPILOT_MODEL": "{m}"}
AGENTS = {
    "codex": Agent(
        "Codex CLI", "@openai/codex",
        "codex exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox -m {m}", "resume --last",
        shell("exec_command", "cmd"), file=(".codex/config.toml", 'model_provider = "gfxbridge"\n'
        '[model_providers.gfxbridge]\nname = "gfxbridge"\nbase_url = "{u}/v1"\nwire_api = "responses"\n')),
    "claude": Agent(
        "Claude Code", "@anthropic-ai/claude-code", "claude --dangerously-skip-permissions -p", "-c",
        shell("Bash", description="x"),
        {"ANTHROPIC_BASE_URL": "{u}", "ANTHROPIC_AUTH_TOKEN": "any", "ANTHROPIC_MODEL": "{m}",
         "ANTHROPIC_DEFAULT_HAIKU_MODEL": "{m}", "IS_SANDBOX": "1"}),
    "opencode": Agent(
        "opencode", "opencode-ai", "opencode run -m gfxbridge/{m}", "-c", shell("bash"),
        file=(".config/opencode/opencode.json", json.dumps({
            "autoupdate": False, "share": "disabled", "small_model": "gfxbridge/{m}", "permission": {"bash": "allow"},
            "provider": {"gfxbridge": {"npm": "@ai-sdk/openai-compatible", "models": {"{m}": {}},
                                       "options": {"baseURL": "{u}/v1", "apiKey": "any"}}}}))),
    "qwen": Agent(
        "qwen-code", "@qwen-code/qwen-code", "qwen --auth-type openai -y", "-c",
        shell("run_shell_command", is_background=False),
        {"OPENAI_BASE_URL": "{u}/v1", "OPENAI_API_KEY": "any", "OPENAI_MODEL": "{m}"}),
    "copilot": Agent(
        "Copilot CLI", "@github/copilot", "copilot --allow-all-tools", "--continue", shell("bash", description="x"),
        {**COPILOT, "COPILOT_PROVIDER_BASE_URL": "{u}/v1"}),
    "copilot-responses": Agent(
        "Copilot CLI, Responses", "@github/copilot", "copilot --allow-all-tools", "--continue",
        shell("bash", description="x"),
        {**COPILOT, "COPILOT_PROVIDER_BASE_URL": "{u}/v1", "COPILOT_PROVIDER_WIRE_API": "responses"}),
    "copilot-anthropic": Agent(
        "Copilot CLI, Anthropic", "@github/copilot", "copilot --allow-all-tools", "--continue",
        shell("bash", description="x"),
        {**COPILOT, "COPILOT_PROVIDER_BASE_URL": "{u}", "COPILOT_PROVIDER_TYPE": "anthropic"}),
    "continue": Agent(
        "Continue CLI", "@continuedev/cli", "cn --auto --config {h}/config.yaml -p", "--resume", shell("Bash"),
        {"CONTINUE_TELEMETRY_ENABLED": "0"},
        ("config.yaml", "name: local\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: gfxbridge\n    provider: openai\n"
                        "    model: {m}\n    apiBase: {u}/v1\n    apiKey: any\n    roles: [chat]\n")),
}
PROMPT_FLAG = {"qwen", "copilot", "copilot-responses", "copilot-anthropic"}  # "-p" stands before the prompt
LAUNCH = {  # for one prompt, behind `gfxbridge launch AGENT --`
    "codex": "exec --skip-git-repo-check", "claude": "-p", "opencode": "run", "qwen": "-p",
    "copilot": "--allow-all-tools -p", "continue": "--auto -p",
}
SHARED, OUTCOME = {}, {}


def enter_loopback():
    """Go on in a network namespace of our own, in which only loopback is up."""
    if os.environ.get("GFXB_LOOPBACK") != "1":
        words = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
        for place in (TOP, os.environ["HOME"]):  # the next one makes its own
            shutil.rmtree(place)
        os.execvpe(words[0], [*words, sys.executable, *sys.argv], {**os.environ, "GFXB_LOOPBACK": "1"})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x49))  # SIOCSIFFLAGS: up, loopback, running


def prepare():
    """What needs the network, and the models."""
    modules = npm.modules("npm/agents", READY)
    need_engine(DATA)
    answers = {"RUN" + name.upper().replace("-", ""): agent.tool for name, agent in AGENTS.items()
               if not name.startswith("copilot-")}
    for name, (kind, context, _) in MODELS.items():
        path = parrot.write(os.path.join(TOP, name + ".gguf"), kind, answers, context=context)
        call("--data-dir", DATA, "rm", name, code=None)
        call("--data-dir", DATA, "import", path, "--name", name)
    return modules


def server():
    if "server" not in SHARED:
        SHARED["server"] = Server(DATA, "--backend", "cpu")
    return SHARED["server"]


def version(package):
    with open(os.path.join(SOURCE, "tests", "npm", "agents", "package.json"), encoding="utf-8") as f:
        return json.load(f)["dependencies"][package]


def place(name, model):
    """Home and project of this agent on this model; its configuration is written."""
    agent, top = AGENTS[name], os.path.join(TOP, f"{name} {model}")
    home, project = os.path.join(top, "home"), os.path.join(top, "project")
    words = {"m": model, "u": f"http://127.0.0.1:{server().port}", "h": home}

    def fill(text):
        for key, value in words.items():
            text = text.replace("{" + key + "}", value)
        return text

    if not os.path.exists(top):
        os.makedirs(home)
        os.makedirs(project)
        subprocess.run(["git", "init", "-q", project], check=True)
        if agent.file:
            path = os.path.join(home, agent.file[0])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(fill(agent.file[1]))
    return home, project, fill


def says(name, model, prompt, more=()):
    """One call of the agent: all that it prints."""
    agent, (home, project, fill) = AGENTS[name], place(name, model)
    words = [fill(word) for word in agent.words]
    words += [*more, "-p", prompt] if name in PROMPT_FLAG else [*more, prompt]
    return prints(words, home, project, {key: fill(value) for key, value in agent.env.items()})


def prints(words, home, project, env):
    env = {"HOME": home, "PATH": os.path.join(SHARED["modules"], "node_modules", ".bin") + ":" + os.environ["PATH"],
           "LANG": "C.UTF-8", "TERM": "dumb", **env}
    done = subprocess.run(words, cwd=project, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=600)
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"exit code {done.returncode}: {said[-1500:]}\n-- server:\n{server().said()[-1000:]}"
    return said


def step(name, model, what):
    def run():
        OUTCOME[name, model, what] = False
        project = place(name, model)[1]
        if what == "hello":
            said, wanted = says(name, model, "Say HELLO."), parrot.HELLO
        elif what == "tool":
            trigger = "RUN" + name.split("-")[0].upper()
            said, wanted = says(name, model, f"Do {trigger} now."), parrot.MARK_SEEN
            assert os.path.exists(os.path.join(project, "executed")), f"the tool did not run: {said[-1500:]}"
        elif what == "launch":  # in a home without settings, which stays so
            home, runtime = tempfile.mkdtemp(dir=TOP), server().home
            words = [PROGRAM, "--data-dir", DATA, "launch", name, "--model", model, "--", *LAUNCH[name].split()]
            said = prints([*words, "Say HELLO."], home, project, {"XDG_RUNTIME_DIR": runtime})
            wanted, left = parrot.HELLO, os.listdir(os.path.join(runtime, "gfxbridge"))
            assert not any(file.startswith("launch") for file in left), left
        else:  # only the history holds the mark
            said, wanted = says(name, model, "And now?", AGENTS[name].resume), parrot.MARK_SEEN
        assert wanted in said, said[-1500:]
        OUTCOME[name, model, what] = True
    return run


def steps(name, model):
    return STEPS + ("launch",) * (name in LAUNCH and model == "plain")


def rows():
    """The table of docs/clients.md."""
    lines = ["| client | version | " + " | ".join(title for _, _, title in MODELS.values()) + " |",
             "|---|---" + "|---" * len(MODELS) + "|"]
    for name, agent in AGENTS.items():
        cells = [", ".join(what if OUTCOME.get((name, model, what)) else f"~~{what}~~" for what in steps(name, model))
                 for model in MODELS]
        lines.append("| " + " | ".join([agent.title, version(agent.package), *cells]) + " |")
    return "\n".join(lines)


def table_is_true():
    begin, end = "<!-- made by tests/real/agents.py -->\n", "\n<!-- end -->"
    with open(TABLE, encoding="utf-8") as f:
        before, rest = f.read().split(begin)
    told, after = rest.split(end)
    if os.environ.get("GFXB_WRITE_TABLE") and told != rows():
        with open(TABLE, "w", encoding="utf-8") as f:
            f.write(before + begin + rows() + end + after)
    else:
        assert told == rows(), "it says:\n" + told + "\nand this run:\n" + rows()


def stops():
    assert server().stop() == 0


def cases(names):
    for name in names:
        for model in MODELS:
            for what in steps(name, model):
                yield f"{AGENTS[name].title}, {MODELS[model][2]}: {what}", step(name, model, what)
    if set(names) == set(AGENTS):
        yield "the table in docs/clients.md says the same", table_is_true
    yield "SIGTERM ends it well", stops


def main():
    try:
        if os.environ.get("GFXB_LOOPBACK") != "1":
            npm.modules("npm/agents", READY)
            need_engine(DATA)
        enter_loopback()
        SHARED["modules"] = prepare()
    except (tap.Skip, OSError) as reason:
        print(f"1..0 # SKIP {reason}")
        return
    tap.run(cases(sys.argv[2:] or list(AGENTS)))


try:
    main()
finally:
    if "server" in SHARED:
        SHARED["server"].stop()
    shutil.rmtree(TOP, ignore_errors=True)
