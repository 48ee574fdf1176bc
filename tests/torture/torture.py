#!/usr/bin/env python3
"""torture.py GFXBRIDGE FAULT.SO DOUBLE TARGET...: one call of a run fails, for many calls or for all.

However a call fails - no memory, no thread, no descriptor, no disk - the run ends in the right answer
or in one sentence and an exit code from 1 to 4; no signal, no hang, no leak, and on the disk every file
is as it was or as it is after a good run. GFXB_TORTURE=full takes every call, otherwise a sample of the
call sites with a fixed seed; GFXB_TORTURE="KIND N ERRNO [on]" that one fault, as a failed case shows it.
"""
import atexit
import difflib
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "lib"), os.path.join(TESTS, "real")]
import fault  # noqa: E402
import hub_world  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, SOURCE, machine, processes_of  # noqa: E402
from server import ANSWER, QUESTION, chat, streamed_text, text_of  # noqa: E402

LIBRARY, DOUBLE = os.path.abspath(sys.argv[2]), os.path.abspath(sys.argv[3])
HOW = os.environ.get("GFXB_TORTURE", "sample")
LIMIT = {"memory": 24}  # faults of a sample, by kind; 12 of the others
DEADLINE = 60  # seconds after which a run hangs
TOP = tempfile.mkdtemp(prefix="gfxbridge-torture-")
os.chmod(TOP, 0o755)  # nginx serves as another user
SENTENCE = re.compile(r"gfxbridge: .*\S")
SANITIZER = re.compile(r"Sanitizer|runtime error:")
# A run of the double: what it prints at a load, and how it lists its devices.
LOG = """0.00.1.1 I llama_model_loader: loaded meta data with 20 key-value pairs
0.00.1.3 I load_tensors:       CPU_Mapped model buffer size =     1.70 MiB
0.00.1.5 I srv  llama_server: model loaded
"""


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def archive():
    """The double as a package that somebody has on the disk."""
    tree = os.path.join(TOP, "double", "llama-t1")
    shutil.copytree(os.path.dirname(DOUBLE), tree, ignore=lambda _, names: names)
    shutil.copy(DOUBLE, os.path.join(tree, "llama-server"))
    shutil.copy(os.path.join(SOURCE, "data", "canary.tsv"), os.path.join(tree, "answers"))
    shutil.copy(os.path.join(SOURCE, "data", "seeded.tsv"), os.path.join(tree, "seeded"))
    write(os.path.join(tree, "log"), LOG)
    write(os.path.join(tree, "devices"), "Available devices:\n  (none)\n")
    write(os.path.join(tree, "said"), "")
    write(os.path.join(tree, "behaviour"),
          "answers answers\nseeded seeded\ndevices devices\nsaid said\nlog log\n")
    path = os.path.join(TOP, "double.tar.gz")
    with tarfile.open(path, "w:gz") as tar:
        tar.add(tree, "llama-t1")
    return path


def content(path):
    """What a file says, without times and inodes."""
    kind = os.lstat(path).st_mode
    if stat.S_ISLNK(kind):
        return "link " + os.readlink(path)
    if not stat.S_ISREG(kind):
        return "no file"
    with open(path, "rb") as f:
        data = f.read()
    if path.endswith(".json"):
        data = re.sub(rb'"(?:inode|modified)": ?[0-9]+', b"", data)
    if path.endswith("package.manifest"):
        data = re.sub(rb"(?m)^installed .*", b"", data)
    if path.endswith(".proof"):
        data = b"\n".join(re.findall(rb"(?m)^(?:fingerprint|passed|code) .*", data))
    return hashlib.sha256(data).hexdigest()


def files(top):
    """{path below top: content} of all that is no directory and no lock."""
    found = {}
    for where, _, names in os.walk(top):
        for name in names:
            path = os.path.join(where, name)
            if not name.endswith(".lock"):
                found[os.path.relpath(path, top)] = content(path)
    return found


class Ended:
    """How a run ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


class Target:
    """A command of the program, in a home directory of its own."""

    name, words, kinds = "", (), ("memory", "open")
    VARIES = re.compile(r'(?m)^ *"have_bytes".*$')  # what is free, which is another number each time

    def __init__(self):
        self.top = os.path.join(TOP, self.name.replace(" ", "-"))
        self.home, self.before = os.path.join(self.top, "home"), os.path.join(self.top, "before")
        self.data = os.path.join(self.home, "data")
        os.makedirs(self.home)
        self.faults = fault.Faults(LIBRARY, os.path.join(self.top, "state"))
        self.env = {"PATH": os.environ["PATH"], "HOME": self.home, "LANG": "C.UTF-8",
                    "TMPDIR": self.directory("tmp"), "XDG_RUNTIME_DIR": self.directory("runtime"),
                    "GFXBRIDGE_DATA_DIR": self.data,
                    "ASAN_OPTIONS": "verify_asan_link_order=0:exitcode=86"}
        self.prepare()
        shutil.copytree(self.home, self.before, symlinks=True)
        self.files_before = files(self.home)
        self.good = self.run(self.faults.environment())
        assert self.good.code == 0, (self.good.code, self.good.err)
        self.counts, self.sites = self.faults.read()[0], self.faults.sites()
        self.check_right(self.good)
        self.check_ended(self.good)
        self.files_after = files(self.home)
        self.restore()

    def directory(self, name):
        path = os.path.join(self.home, name)
        os.makedirs(path, mode=0o700, exist_ok=True)
        return path

    def command(self, *words, env=None):
        done = subprocess.run([PROGRAM, *words], env={**self.env, **(env or {})},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/",
                              timeout=DEADLINE, check=False)
        return Ended(done.returncode, done.stdout, done.stderr)

    def install(self):
        done = self.command("--no-network", "backends", "install", ARCHIVE)
        assert done.code == 0, done.err

    def restore(self):
        shutil.rmtree(self.home)
        shutil.copytree(self.before, self.home, symlinks=True)

    # what a target does in its own way

    def prepare(self):
        """What is there before the run."""

    def run(self, env):
        return self.command(*self.words, env=env)

    def check_right(self, ended):
        """The answer of a run that ended well."""
        good, got = (self.VARIES.sub("", text).splitlines() for text in (self.good.out, ended.out))
        assert got == good, "another answer: " + "\n".join(difflib.unified_diff(good, got, n=1))[:600]

    # one fault

    def check_ended(self, ended):
        assert not SANITIZER.search(ended.err), ended.err[-6000:]
        assert 0 <= ended.code <= 4, f"exit code {ended.code}\n{ended.err[-2000:]}"
        if ended.code != 0:
            said = [line for line in ended.err.splitlines() if SENTENCE.match(line)]
            assert len(said) == 1, f"exit code {ended.code} with {len(said)} sentences\n{ended.err}"
        end = time.monotonic() + DEADLINE  # the kernel kills an engine soon after its parent's end
        while processes_of(self.home) and time.monotonic() < end:
            time.sleep(0.01)
        left = processes_of(self.home)
        assert not left, f"left running: {left}"

    def check_files(self):
        """Each file is as before or as after a good run; and the next run finishes what is left."""
        found = files(self.home)
        if found in (self.files_before, self.files_after):
            return
        ended = self.run({})
        assert ended.code == 0, f"the next run fails: {ended.err}"
        self.check_right(ended)
        now = files(self.home)
        wrong = sorted(set(now.items()) ^ set(self.files_after.items()))
        assert not wrong, f"left after the next run: {wrong}; after the fault: {sorted(found)}"

    def inject(self, order):
        """true: the call was made, and failed."""
        try:
            ended = self.run(self.faults.environment(order))
            self.check_ended(ended)
            if ended.code == 0:
                self.check_right(ended)
            failed = self.faults.read()[1]
            self.check_files()
            return failed > 0
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"it hangs: {(error.stderr or b'')[-2000:]}") from error
        finally:
            self.restore()

    def torture(self, kind):
        assert self.counts[kind], f"no {kind} call of this run is counted"
        limit = None if HOW == "full" else LIMIT.get(kind, 12)
        done, missed, wrong = 0, 0, []
        for order in fault.orders(kind, self.sites[kind], limit):
            done += 1
            try:
                missed += not self.inject(order)
            except AssertionError as error:
                where = " < ".join(self.faults.where(PROGRAM)[:6])
                wrong.append(f"{fault.order_text(order)}: GFXB_TORTURE=\"{order.kind} {order.n} "
                             f"{order.code}{' on' if order.on else ''}\"\n at {where}\n {error}")
        print(f"# {done} of {self.counts[kind]} {kind} calls at {len(set(self.sites[kind]))} sites "
              f"fail, {missed} of them were not reached", flush=True)
        assert not wrong, f"{len(wrong)} of {done}:\n" + "\n".join(wrong)
        assert missed <= done / 2, f"{missed} of {done} calls were not made"


class Detect(Target):
    name, words = "detect", ("--sysroot", machine("rx7900xtx-raphael"), "detect", "--json")


class DetectHere(Target):
    name, words = "detect here", ("detect", "--json")


class Plan(Target):
    name, words = "plan", ("--sysroot", machine("rx7900xtx-raphael"), "plan", "--json")


class PlanHere(Target):
    name, words = "plan here", ("plan", "--json")

    def prepare(self):
        self.install()


class Install(Target):
    name, kinds = "install", ("memory", "fork", "open", "write", "sync", "name")

    def prepare(self):
        self.words = ("--no-network", "backends", "install", ARCHIVE)


class Run(Target):
    name, words = "run", ("--no-network", "run", QUESTION)
    kinds = ("memory", "fork", "open", "name")

    def prepare(self):
        self.install()


class Prove(Run):
    """An installed package whose proof is gone is proven again."""
    name, kinds = "prove", ("memory", "fork", "open", "write", "sync", "name")

    def prepare(self):
        self.install()
        shutil.rmtree(os.path.join(self.data, "proofs"))


class Pull(Target):
    """A model of a hub on loopback."""
    name, words = "pull", ("pull", "org/model")
    kinds = ("memory", "open", "write", "sync", "name")

    def prepare(self):
        world = hub_world.World(os.path.join(TOP, "hub"))
        world.start()
        atexit.register(world.stop)
        with open(os.path.join(SOURCE, "data", "canary.gguf"), "rb") as f:
            world.publish("org/model", {"m-Q8_0.gguf": f.read(), "README.md": b"no model"})
        self.env.update(HF_ENDPOINT=world.hub, GFXBRIDGE_CA_FILE=world.ca)


class Serve(Target):
    """A server that is asked three times and stopped. The fault may cost an answer or end the server with
    one sentence; after a fault that comes once, what is asked next is answered."""
    name, words = "serve", ("--no-network", "serve", "--port", "0")
    kinds = ("memory", "thread", "fork", "socket", "open", "write", "name")

    def prepare(self):
        self.install()

    def run(self, env):
        order = env.get("GFXB_FAULT", "on")
        once = not order.endswith("on")
        # A server that can never accept again leaves the next client waiting: so it should.
        self.patience = 5 if order.startswith("socket") and not once else DEADLINE
        with open(os.path.join(self.top, "log"), "w+", encoding="utf-8") as log:
            server = subprocess.Popen([PROGRAM, *self.words], env={**self.env, **env}, cwd="/",
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=log)
            try:
                answers = [self.ask(server, log.name, stream) for stream in (True, False)]
                end = time.monotonic() + 30  # what failed for want of something is tried again
                while answers[-1].startswith("error") and once and time.monotonic() < end:
                    time.sleep(0.2)
                    answers.append(self.ask(server, log.name, True))
                server.send_signal(signal.SIGTERM)
                code = server.wait(DEADLINE)
            finally:
                server.kill()
                server.wait()
            log.seek(0)
            said = log.read()
        ended = Ended(code, "\n".join(answers), said)
        if code == 0:
            # Without memory for good it may have none for a connection: it closes it.
            assert "nothing" not in answers or order.startswith("memory") and not once, f"no answer, and it goes on: {answers}\n{said}"
            assert not once or answers[-1] == ANSWER, f"it does not recover: {answers}\n{said}"
        return ended

    def ask(self, server, log, stream):
        """The answer's text, an error's, or "nothing": it is no longer there, or it closes."""
        end = time.monotonic() + DEADLINE
        while server.poll() is None:
            with open(log, encoding="utf-8") as f:
                port = re.search(r"listening on http://\S+:(\d+)", f.read())
            if port:
                break
            assert time.monotonic() < end, "it does not listen"
            time.sleep(0.01)
        else:
            return "nothing"
        connection = http.client.HTTPConnection("127.0.0.1", int(port.group(1)), timeout=self.patience)
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(chat(stream)),
                               {"Content-Type": "application/json"})
            reply = connection.getresponse()
            body = reply.read()
        except (ConnectionError, http.client.HTTPException):
            return "nothing"
        except TimeoutError as error:
            if self.patience < DEADLINE:
                return "error: it waits for descriptors"
            raise AssertionError("a request hangs") from error
        finally:
            connection.close()
        if reply.status == 200 and not stream:
            return text_of(body)
        if reply.status == 200 and b"[DONE]" in body:
            return streamed_text(body)
        return "error: " + re.search(rb'"message": ?"((?:[^"\\\\]|\\\\.)*)"', body).group(1).decode()

    def check_right(self, ended):
        wrong = [a for a in ended.out.split("\n") if a != ANSWER and not a.startswith("error: ")]
        assert not wrong, ended.out


TARGETS = {t.name: t for t in (Detect, DetectHere, Plan, PlanHere, Install, Run, Prove, Pull, Serve)}


def cases(name):
    made = []

    def target():
        if not made:
            made.append(None)
            made[0] = TARGETS[name]()
        assert made[0], "not prepared: see the first case"
        return made[0]

    def one_kind(kind):
        return lambda: target().torture(kind)

    return [(f"{name}: {kind} calls fail", one_kind(kind)) for kind in TARGETS[name].kinds]


def one_order(text):
    kind, n, code = text.split()[:3]
    return fault.Order(kind, int(n), int(code), text.endswith(" on"))


try:
    ARCHIVE = archive()
    if HOW not in ("full", "sample"):
        tap.run([(f"{name}: {HOW}", lambda name=name: TARGETS[name]().inject(one_order(HOW)))
                 for name in sys.argv[4:]])
    tap.run([case for name in sys.argv[4:] for case in cases(name)])
finally:
    shutil.rmtree(TOP, ignore_errors=True)
