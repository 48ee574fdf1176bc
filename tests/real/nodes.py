#!/usr/bin/env python3
"""nodes.py GFXBRIDGE: several computers, each a network namespace with its own address, home and boot,
on one switch with links of 1 Gbit/s: they are paired, asked, and nobody else gets anything.

Needs root, ip and tc. The kernel here has no netem, so no delay is added to the links.
"""
import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import gguf  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, need_engine, temporary  # noqa: E402

TOP = temporary("gfxbridge-nodes-")
DATA = os.environ.get("GFXB_TEST_DATA") or os.path.join(TOP, "data")
OWN_BOOT = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'


def sh(line, check=True):
    return subprocess.run(line, shell=True, check=check, capture_output=True, text=True)


class Computer:
    """A namespace on the switch, with the address 10.77.0.N and fd77::N."""
    switch = None

    def __init__(self, name, number):
        self.name, self.space = name, f"gfxb{os.getpid()}-{name}"
        self.address, self.address6 = f"10.77.0.{number}", f"fd77::{number}"
        self.home = os.path.join(TOP, name)
        self.boot = os.path.join(TOP, name + ".boot")
        self.running, self.data = [], DATA
        os.makedirs(os.path.join(self.home, "run"), mode=0o700)
        with open(self.boot, "w", encoding="ascii") as f:
            f.write(f"{uuid.uuid4()}\n")
        if not Computer.switch:
            Computer.switch = f"gfxb{os.getpid()}-switch"
            make_space(Computer.switch)
            sh(f"ip -n {Computer.switch} link add br0 type bridge && ip -n {Computer.switch} link set br0 up")
        make_space(self.space)
        sh(f"ip link add v{number} netns {Computer.switch} type veth peer name eth0 netns {self.space}")
        sh(f"ip -n {Computer.switch} link set v{number} master br0 up")
        sh(f"ip -n {self.space} link set lo up; ip -n {self.space} link set eth0 up")
        sh(f"ip -n {self.space} addr add {self.address}/24 dev eth0")
        sh(f"ip -n {self.space} addr add {self.address6}/64 dev eth0 nodad")
        for space, device in ((self.space, "eth0"), (Computer.switch, f"v{number}")):
            sh(f"tc -n {space} qdisc add dev {device} root tbf rate 1gbit burst 128kb latency 50ms")

    def command(self, *words):
        return ["ip", "netns", "exec", self.space, "sh", "-c", OWN_BOOT, self.boot, *words]

    def environment(self):
        return {**os.environ, "HOME": self.home, "XDG_CONFIG_HOME": self.home, "GFXBRIDGE_DATA_DIR": self.data,
                "XDG_RUNTIME_DIR": os.path.join(self.home, "run")}

    def start(self, *words):
        process = subprocess.Popen(self.command(PROGRAM, *words), env=self.environment(), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.running.append(process)
        atexit.register(process.kill)
        return process

    def call(self, *words, code=0):
        done = subprocess.run(self.command(PROGRAM, *words), env=self.environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done

    def answer(self, *words, code=0):
        return json.loads(self.call(*words, "--json", code=code).stdout)

    def serve(self):
        """The process of node serve, which listens."""
        process = self.start("node", "serve", "--backend", "cpu", "--no-network")
        line = read_until(process, "paired computers reach this one")
        assert "13306" in line, line
        return process

    def status(self, name, code=0):
        found = self.answer("node", "status", name, code=code)["nodes"]
        assert len(found) == 1, found
        return found[0]


def make_space(name):
    sh(f"ip netns add {name}")
    atexit.register(sh, f"ip netns del {name}", check=False)


def read_until(process, text):
    """The line of stderr that has this text."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return line
    raise AssertionError("".join(lines))


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    process.communicate(timeout=30)
    return process.returncode


def pair(helper, asking, answers=(None, None)):
    """Both processes and both codes; answers: what the two people type, None for the code."""
    waits = helper.start("node", "pair")
    read_until(waits, "waiting at")
    asks = asking.start("node", "pair", helper.address)
    codes = [re.search(r"\w{4}-\w{4}-\w{4}", read_until(p, "-")).group() for p in (asks, waits)]
    for process, line, code in zip((asks, waits), answers, reversed(codes)):
        process.stdin.write((line or code) + "\n")
        process.stdin.flush()
    for process in (asks, waits):
        process.communicate(timeout=60)
    return asks, waits, codes


def set_up():
    """box helps, desk asks, guest is paired with nobody."""
    global box, desk, guest
    if os.getuid() != 0 or not (shutil.which("ip") and shutil.which("tc")):
        raise tap.Skip("needs root, ip and tc")
    made = sh(f"ip netns add gfxb{os.getpid()}-try && ip netns del gfxb{os.getpid()}-try", check=False)
    if made.returncode:
        raise tap.Skip("no network namespaces here: " + made.stderr.strip())
    need_engine(DATA)
    box, desk, guest = Computer("box", 1), Computer("desk", 2), Computer("guest", 3)


def two_say_no():
    for typed in (("no", None), (None, "no"), ("yes", "yes")):
        asks, waits, codes = pair(box, desk, typed)
        assert codes[0] == codes[1], codes
        assert asks.returncode == 1 and waits.returncode == 1, (asks.returncode, waits.returncode)
    assert box.answer("node", "list")["nodes"] == desk.answer("node", "list")["nodes"] == []


def two_are_paired():
    asks, waits, codes = pair(box, desk)
    assert codes[0] == codes[1], codes
    assert asks.returncode == 0 and waits.returncode == 0, (asks.returncode, waits.returncode)
    here, there = desk.answer("node", "list"), box.answer("node", "list")
    assert here["nodes"][0]["key"] == there["key"] and there["nodes"][0]["key"] == here["key"], (here, there)
    assert here["nodes"][0]["address"] == box.address and there["nodes"][0]["address"] is None, (here, there)
    name = here["nodes"][0]["name"]
    desk.call("node", "remove", name)
    desk.call("node", "add", "box", box.address, "--key", there["key"])
    for computer in (box, desk):
        for file in ("node.pem", "nodes.json"):
            mode = os.stat(os.path.join(computer.home, "gfxbridge", file)).st_mode & 0o777
            assert mode == 0o600, (file, oct(mode))


def a_second_one_cannot_wait():
    waits = box.start("node", "pair")
    read_until(waits, "waiting at")
    done = box.call("node", "pair", code=1)
    assert "13307" in done.stderr and "Address already in use" in done.stderr, done.stderr
    assert end(waits) == 130, waits.returncode


def status_is_told():
    assert desk.status("box", code=1)["code"] == "node-unreachable"
    server = box.serve()
    told = desk.status("box")
    assert told["code"] == "ok" and told["backend"] == "cpu" and told["protocol"], told
    assert told["bytes_per_second"] > 0 and told["round_trip_us"] > 0, told
    print(f"# over 1 Gbit/s: {told['bytes_per_second'] / 1e6:.0f} MB/s, {told['round_trip_us']:.0f} us")
    desk.call("node", "add", "box", f"[{box.address6}]:13306")
    assert desk.status("box")["code"] == "ok"
    desk.call("node", "add", "box", box.address)
    assert end(server) == 0


STRANGER = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
plain = socket.create_connection((sys.argv[1], 13306), timeout=20)
try:
    link = context.wrap_socket(plain)
    link.sendall(b'\\0\\0\\0\\x1b{"node":1,"say":"status"}   ')
    print("answer:", link.recv(100))
except OSError as error:
    print("refused:", error)
"""


def strangers_get_nothing():
    """A key that is not paired, no key at all; and no port but the one is open, a worker or not."""
    server = box.serve()
    guest.call("node", "add", "box", box.address, "--key", desk.answer("node", "list")["nodes"][0]["key"])
    told = guest.status("box", code=1)
    assert told["code"] == "node-identity" and told["version"] is None, told
    done = subprocess.run(guest.command(sys.executable, "-c", STRANGER, box.address), capture_output=True, text=True,
                          timeout=60)
    assert "alert certificate required" in done.stdout, (done.stdout, done.stderr)
    listening = subprocess.run(box.command("cat", "/proc/net/tcp", "/proc/net/tcp6"), capture_output=True, text=True)
    ports = {int(line.split()[1].split(":")[1], 16) for line in listening.stdout.splitlines()
             if " 0A " in line}
    assert ports == {13306}, ports
    assert end(server) == 0


def an_impostor_is_found():
    """Another computer takes the address of box, with a key of its own."""
    impostor = guest.serve()
    sh(f"ip -n {box.space} addr del {box.address}/24 dev eth0; ip -n {guest.space} addr add {box.address}/24 dev eth0")
    sh(f"ip -n {desk.space} neigh flush all", check=False)
    try:
        told = desk.status("box", code=1)
        assert told["code"] == "node-identity" and "another key" in told["reason"], told
    finally:
        sh(f"ip -n {guest.space} addr del {box.address}/24 dev eth0; ip -n {box.space} addr add {box.address}/24 dev eth0")
        sh(f"ip -n {desk.space} neigh flush all", check=False)
    assert end(impostor) == 0


def planned(model, code=0):
    """The plan of desk with its nodes, and the choices that name box."""
    plan = desk.answer("plan", "--nodes", "--backend", "cpu", "--no-network", "--model", model, code=code)
    return plan, [c for c in plan["choices"] if [n["name"] for n in c["nodes"]] == ["box"]]


def plan_has_nodes():
    """A set with its layers and its cost while box answers; once it is away it is unknown, not absent."""
    model = gguf.dense().write(os.path.join(TOP, "dense.gguf"))
    server = box.serve()
    plan, (choice,) = planned(model)
    assert plan["choices"][plan["chosen"]] == choice, plan
    node, link = choice["nodes"][0], choice["link"]
    assert node["layers"] == choice["gpu_layers"] and 0 < node["layers"] < 7, choice
    assert 0 < node["need_bytes"] < node["have_bytes"], node
    # three widths and a vocabulary of numbers, the mask, and 3 to 4 KB of questions and graph
    least = 4 * (3 * 1024 + 151936) + 2 * choice["context"]
    assert least + 3000 < link["token_bytes"] < least + 4096, (link, least)
    assert 5 < link["token_ms"] < 100, link
    assert end(server) == 0
    plan, (choice,) = planned(model)
    assert choice["state"] == "rejected" and choice["code"] == "node-unreachable", choice
    assert {"rung": "E2", "ok": None, "detail": "what node box has: it did not answer"} in choice["evidence"], choice
    assert plan["choices"][plan["chosen"]]["nodes"] == [], plan
    alone = desk.answer("plan", "--backend", "cpu", "--no-network", "--model", model)
    assert all(c["nodes"] == [] for c in alone["choices"]), alone


def another_version_is_rejected():
    """A package of another digest and version on box: the plan says so, and nothing is loaded."""
    other = os.path.join(box.home, "other")
    shutil.copytree(DATA, other, symlinks=True, ignore=shutil.ignore_patterns("cache", "run", "proofs"))
    for package in os.listdir(os.path.join(other, "packages")):
        path = os.path.join(other, "packages", package)
        manifest = os.path.join(path, "package.manifest")
        changed = package[:-4] + "0000"
        with open(manifest, encoding="utf-8") as f:
            text = f.read().replace(f"digest {package}", f"digest {changed}")
        with open(manifest, "w", encoding="utf-8") as f:
            f.write(re.sub(r"(?m)^version .*$", "version 0.0.1", text))
        os.rename(path, os.path.join(other, "packages", changed))
    box.data = other
    server = box.serve()
    plan, (choice,) = planned(os.path.join(TOP, "dense.gguf"))
    assert choice["state"] == "rejected" and choice["code"] == "node-version", choice
    assert "0.0.1 with protocol" in choice["reason"], choice
    assert plan["choices"][plan["chosen"]]["nodes"] == [], plan
    assert end(server) == 0
    box.data = DATA


def killed_and_back():
    """Nothing half-written is left, and the next start serves."""
    end(box.serve(), signal.SIGKILL)
    assert desk.status("box", code=1)["code"] == "node-unreachable"
    server = box.serve()
    assert desk.status("box")["code"] == "ok"
    names = set(os.listdir(os.path.join(box.home, "gfxbridge")))
    assert not [n for n in names if "tmp" in n], names
    box.call("node", "remove", box.answer("node", "list")["nodes"][0]["name"])
    assert desk.status("box", code=1)["code"] == "node-identity"
    assert end(server) == 0


if __name__ == "__main__":
    tap.run([
        ("three computers on one switch", set_up),
        ("without two yes nothing is stored", two_say_no),
        ("two computers are paired, with files that nobody else reads", two_are_paired),
        ("two pairings at once: the second one says why not", a_second_one_cannot_wait),
        ("status over IPv4 and IPv6, with the speed of the link", status_is_told),
        ("strangers get nothing, and no other port is open", strangers_get_nothing),
        ("another key at the address is found out", an_impostor_is_found),
        ("a plan with a node, and once it is away", plan_has_nodes),
        ("another version there is rejected before any model is loaded", another_version_is_rejected),
        ("kill -9 leaves nothing, and a removed computer is out", killed_and_back),
    ])
