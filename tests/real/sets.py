#!/usr/bin/env python3
"""sets.py GFXBRIDGE RANDOM_MODEL: a model that none of three computers holds alone is served by all of them, and
whatever becomes of a computer, no answer is wrong and none is lost.

The computers are those of nodes.py, their memory is limited by cgroups (version 1). Needs root.
"""
import atexit
import ctypes
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

MODEL = os.path.abspath(sys.argv[2])
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nodes  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, processes_of  # noqa: E402
from nodes import Computer, end, pair, sh  # noqa: E402
from server import ANSWER, chat, text_of  # noqa: E402

LIMIT = 480 << 20  # the model needs some 380 MiB, and a part of a computer's memory is left to others
PORT = 18734       # in a namespace where nobody else listens
ANSWERS = 500
CERTAIN = 0.5      # between the likeliest token and the next, in logarithms: more than any rounding moves
GROUPS = "/sys/fs/cgroup/memory"
CLONE_NEWNET = 0x40000000
# `ip netns exec` mounts a /sys of its own, without cgroups.
SEE_GROUPS = ('mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory && '
              'mount -t cgroup -o memory none /sys/fs/cgroup/memory && exec "$@"')


class Small(Computer):
    """A computer whose memory can be limited."""
    limit = 0

    def command(self, *words):
        if not self.limit:
            return super().command(*words)
        group = f"{GROUPS}/{self.space}"
        if not os.path.isdir(group):
            os.mkdir(group)
            atexit.register(sh, f"rmdir {group}", check=False)
        with open(f"{group}/memory.limit_in_bytes", "w", encoding="ascii") as f:
            f.write(str(self.limit))
        return ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh",
                *super().command("sh", "-c", SEE_GROUPS, "sh", *words)]


class Service:
    """`gfxbridge serve` on desk."""

    def __init__(self, *options):
        self.log = os.path.join(nodes.TOP, f"serve{time.monotonic_ns()}.log")
        models = os.path.join(nodes.TOP, "models")
        os.makedirs(models, exist_ok=True)
        if not os.path.exists(os.path.join(models, "random.gguf")):
            os.symlink(MODEL, os.path.join(models, "random.gguf"))
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                desk.command(PROGRAM, "serve", "--backend", "cpu", "--no-network", "--port", str(PORT), *options),
                env={**desk.environment(), "LLAMA_CACHE": models}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        atexit.register(self.process.kill)
        self.wait_for("listening on")

    def said(self):
        with open(self.log, encoding="utf-8") as f:
            return f.read()

    def wait_for(self, text, since=0):
        until = time.monotonic() + 120
        while text not in self.said()[since:]:
            assert time.monotonic() < until and self.process.poll() is None, self.said()
            time.sleep(0.05)

    def end(self):
        self.process.terminate()
        assert self.process.wait(60) == 0, self.said()


def inside(function, *arguments):
    """Calls it in desk's network; what it gives."""
    given = []

    def enter():
        space = os.open(f"/run/netns/{desk.space}", os.O_RDONLY)
        assert ctypes.CDLL(None).setns(space, CLONE_NEWNET) == 0
        os.close(space)
        given.append(function(*arguments))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert given, "it failed"
    return given[0]


def post(path, body):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=300)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def complete(prompt, **more):
    return post("/v1/completions", {"model": "random", "prompt": prompt, "max_tokens": 2, "temperature": 0, **more})


def certain(tokens):
    """Is each token far likelier than any other?"""
    for token in tokens:
        first, second = sorted((t["logprob"] for t in token["top_logprobs"]), reverse=True)[:2]
        if first - second < CERTAIN:
            return False
    return True


class Load:
    """Clients that ask without a pause until `goal` answers were right."""

    def __init__(self, ask, clients=4):
        self.ask, self.right, self.wrong, self.stop = ask, 0, [], False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=inside, args=(self.run, i)) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        while not self.stop:
            try:
                wrong = self.ask(number)
            except Exception as error:  # a connection that broke is an answer that was lost
                wrong = repr(error)
            number += 1
            with self.lock:
                self.right += not wrong
                self.wrong += [wrong] if wrong else []
        return True

    def wait(self, more):
        goal, until = self.right + more, time.monotonic() + 300
        while self.right < goal and not self.wrong:
            assert time.monotonic() < until, f"{self.right} answers"
            time.sleep(0.05)
        assert not self.wrong, self.wrong[:2]

    def end(self):
        self.stop = True
        for thread in self.threads:
            thread.join()
        assert not self.wrong, self.wrong[:2]
        return self.right


def set_up():
    global box, desk, attic, helper
    nodes.Computer = Small
    nodes.set_up()
    if not os.path.exists(f"{GROUPS}/memory.limit_in_bytes"):
        raise tap.Skip("no cgroups of version 1")
    box, desk, attic = nodes.box, nodes.desk, nodes.guest
    for computer in (box, attic):
        pair(computer, desk)
    helper = {computer.name: computer.serve() for computer in (box, attic)}


def a_large_model_is_served_by_all():
    """Single: on desk without a limit. Only prompts with a certain answer count: workers and this computer's CPU
    may use other kernels, which round otherwise."""
    service, wanted = Service(), {}
    for number in range(200):
        prompt = f"{number} {chr(97 + number % 26)}"
        status, body = inside(lambda p=prompt: complete(p, logprobs=2))
        assert status == 200, body
        choice = json.loads(body)["choices"][0]
        if certain(choice["logprobs"]["content"]):
            wanted[prompt] = choice["text"]
        if len(wanted) == 10:
            break
    assert len(wanted) == 10, len(wanted)
    service.end()
    for server in helper.values():
        assert end(server) == 0
    for computer in (box, desk, attic):
        computer.limit = LIMIT
    helper.update({computer.name: computer.serve() for computer in (box, attic)})
    alone = desk.call("plan", "--backend", "cpu", "--model", MODEL, code=3)
    assert "memory-too-small" in alone.stdout, alone.stdout
    service, prompts = Service(), list(wanted)

    def ask(number):
        status, body = complete(prompts[number % len(prompts)])
        right = status == 200 and json.loads(body)["choices"][0]["text"] == wanted[prompts[number % len(prompts)]]
        return None if right else (status, body)

    load = Load(ask)
    load.wait(ANSWERS)
    print(f"# {load.end()} answers, {re.findall('random runs on .*', service.said())[-1]}")
    service.end()


def worker_of(computer):
    space = os.readlink(f"/proc/{helper[computer.name].pid}/ns/net")
    return [pid for pid in processes_of("ggml-rpc-server") if os.readlink(f"/proc/{pid}/ns/net") == space]


def user():
    """The computer whose worker is in use."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for computer in (box, attic):
            if worker_of(computer):
                return computer
        time.sleep(0.05)
    raise AssertionError("no worker runs")


def kill(computer):
    for pid in worker_of(computer):
        os.kill(pid, signal.SIGKILL)
    return lambda: None


def cut_off(computer):
    sh(f"ip -n {computer.space} link set eth0 down")
    return lambda: sh(f"ip -n {computer.space} link set eth0 up")


def stop(computer):
    stopped = [helper[computer.name].pid, *worker_of(computer)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    return lambda: [os.kill(pid, signal.SIGCONT) for pid in stopped if os.path.exists(f"/proc/{pid}")]


def replace(computer):
    """Its program ends, and one with another key answers at the same address."""
    end(helper[computer.name], signal.SIGKILL)
    home, computer.home = computer.home, computer.home + "-impostor"
    os.makedirs(os.path.join(computer.home, "run"), mode=0o700)
    impostor = computer.serve()
    computer.home = home

    def undo():
        assert end(impostor) == 0
        helper[computer.name] = computer.serve()
    return undo


def whatever_becomes_of_a_computer():
    """The set is one of two: desk and box or attic, the other one takes over."""
    for computer in (box, desk, attic):
        computer.limit = 0
    for server in helper.values():
        assert end(server) == 0
    helper.update({computer.name: computer.serve() for computer in (box, attic)})
    service = Service("--nodes")

    def ask(_):
        status, body = post("/v1/chat/completions", chat())
        return None if status == 200 and text_of(body) == ANSWER else (status, body)

    load = Load(ask)
    load.wait(50)
    # Of a killed worker the end of its connection may be noticed first, and so of a program that ended.
    for harm, told in ((kill, "canary: node "), (cut_off, "no sign of life"), (stop, "no sign of life"),
                       (replace, "canary: node ")):
        since = len(service.said())
        undo = harm(user())
        service.wait_for(told, since)
        service.wait_for("canary runs on", since)
        load.wait(50)
        undo()
        load.wait(50)
        reason = re.search(f"warning: .*{told}.*", service.said()[since:])
        print(f"# {harm.__name__}: {reason.group()[:200]}")
    print(f"# {load.end()} answers")
    service.end()
    for server in helper.values():
        end(server)


tap.run([
    ("three computers, two of them paired with the third", set_up),
    ("a model that none holds alone: 500 answers equal to those of a single computer", a_large_model_is_served_by_all),
    ("killed, cut off, stopped, replaced: no wrong and no lost answer, and the reason told",
     whatever_becomes_of_a_computer),
])
