#!/usr/bin/env python3
"""siege.py GFXBRIDGE: a server under fire: killed, stopped, out of descriptors, out of disk, not alone.

Every request ends in the right answer or in an error that says what it was; nothing on the disk changes,
and once the fault is over the next request is answered as before, without anybody's help.
"""
import concurrent.futures
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, answer, call, processes_of  # noqa: E402
from server import ANSWER, QUESTION, Server, chat, outcome_of, text_of  # noqa: E402
from wait import wait_until  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge it's a siege ")  # blanks and a quote, as users have them
DATA = os.environ.get("GFXB_TEST_DATA") or os.path.join(TOP, "data")
SEED = int(os.environ.get("GFXB_TEST_SEED", "0")) or random.randrange(1 << 30)
RANDOM = random.Random(SEED)


def prepare():
    print(f"# seed {SEED}", flush=True)
    done = call("--data-dir", DATA, "run", QUESTION, code=None, timeout=600)
    if done.returncode == 3:
        raise tap.Skip(done.stderr.strip().splitlines()[-1])
    assert done.stdout.strip() == ANSWER, done.stderr


def need_engine():
    if not os.path.isdir(os.path.join(DATA, "proofs")):
        raise tap.Skip("no engine is installed")


def on_disk(data=None):
    """{path: bytes} of the proofs, and the names of everything else that lasts."""
    found = {}
    for where, _, names in os.walk(data or DATA):
        for name in names:
            path = os.path.join(where, name)
            if "/run/" in path + "/" or name.endswith("lock"):
                continue
            with open(path, "rb") as f:
                found[path] = f.read() if name.endswith(".proof") else b""
    return found


def attempt(s, stream):
    """How a request ended: outcome_of's words, "refused" with an error that says why, "cut" where the
    server itself was killed."""
    try:
        reply = s.ask(chat(stream=stream), timeout=300)
    except OSError:
        return "cut"
    except Exception as error:  # http.client's: the answer ended in the middle
        assert type(error).__module__ == "http.client", error
        return "cut"
    if reply[0] == 200:
        return outcome_of(stream, reply)
    assert reply[0] in (500, 502, 503), reply
    assert json.loads(reply[2])["error"]["message"], reply
    return "refused"


def at_work(s, clients, stop):
    """Futures of so many clients that ask without a pause until they are told to stop."""
    pool = concurrent.futures.ThreadPoolExecutor(clients)

    def client(number):
        ends = []
        while not stop.is_set():
            ends.append(attempt(s, (number + len(ends)) % 2 == 1))
            if ends[-1] == "cut":
                break
        return ends

    futures = [pool.submit(client, i) for i in range(clients)]
    pool.shutdown(wait=False)
    return futures


def server_killed_at_any_moment():
    """kill -9 of the server with requests under way: its engine ends with it, and the next server has
    nothing to clear up but what it clears up itself."""
    need_engine()
    before = on_disk()
    home = None
    for _ in range(8):
        stop = threading.Event()
        s = Server(DATA, env={"XDG_RUNTIME_DIR": home} if home else None)
        home = home or s.env["XDG_RUNTIME_DIR"]
        futures = at_work(s, 6, stop)
        time.sleep(RANDOM.uniform(0, 0.6))
        s.process.kill()
        s.process.wait()
        stop.set()
        for future in futures:
            future.result()
        wait_until(lambda: not processes_of(home), lambda: f"the end of {processes_of(home)}")
    s = Server(DATA, env={"XDG_RUNTIME_DIR": home})
    assert text_of(s.ask(chat())[2]) == ANSWER
    runs = [name for _, names, _ in os.walk(home) for name in names if name.startswith("engine-")]
    assert len(runs) == 1, runs
    assert s.stop() == 0
    assert on_disk() == before, set(on_disk()) ^ set(before)


def engine_is_stopped_for_a_while():
    """SIGSTOP is no death: the answers come when it goes on, from the same engine."""
    need_engine()
    s = Server(DATA)
    assert text_of(s.ask(chat())[2]) == ANSWER
    engine = s.engine_pid()
    os.kill(engine, signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(attempt, s, i % 2 == 1) for i in range(8)]
            wait_until(lambda: s.status()["models"][0]["active"] + s.status()["waiting"] > 0, s.status)
            assert s.request("GET", "/live")[0] == 200  # the server itself goes on
            os.kill(engine, signal.SIGCONT)
            assert {future.result() for future in futures} <= {"whole", "stream"}
    finally:
        os.kill(engine, signal.SIGCONT)
    assert s.engine_pid() == engine
    assert s.stop() == 0


def stop_while_the_engine_is_stopped():
    """SIGTERM ends the server though its engine neither answers nor obeys."""
    need_engine()
    s = Server(DATA)
    assert text_of(s.ask(chat())[2]) == ANSWER
    engine = s.engine_pid()
    os.kill(engine, signal.SIGSTOP)
    s.process.send_signal(signal.SIGTERM)
    assert s.process.wait(120) == 0, s.said()
    wait_until(lambda: not os.path.exists(f"/proc/{engine}"), "the engine's end")


def limit(pid, n):
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (n, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def no_descriptor_is_left():
    """Not one more descriptor for a while: who is connected waits or is told, the engine is not blamed,
    and when there are some again everybody is answered, without a new client's arrival."""
    need_engine()
    before = on_disk()
    s = Server(DATA)
    assert text_of(s.ask(chat())[2]) == ANSWER
    engine = s.engine_pid()
    usual = s.descriptors()
    for spare in (0, 1, 2, 5):
        limit(s.process.pid, max(int(n) for n in os.listdir(f"/proc/{s.process.pid}/fd")) + 1 + spare)
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            futures = [pool.submit(attempt, s, i % 2 == 1) for i in range(12)]
            concurrent.futures.wait(futures, timeout=RANDOM.uniform(0.2, 1))
            limit(s.process.pid, 1024)
            ends = [future.result() for future in futures]
        assert set(ends) <= {"whole", "stream", "refused"}, ends
        assert text_of(s.ask(chat())[2]) == ANSWER
    assert s.engine_pid() == engine, "the engine was ended for the server's own want"
    wait_until(lambda: s.descriptors() <= usual + 4, lambda: f"{s.descriptors()} of {usual} descriptors")
    assert s.stop() == 0
    assert on_disk() == before


def few_descriptors_from_the_start():
    """A limit that a service may have: many clients at once are answered or told, one after another."""
    need_engine()
    s = Server(DATA, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)))
    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        ends = list(pool.map(lambda i: attempt(s, i % 2 == 1), range(120)))
    assert set(ends) <= {"whole", "stream", "refused"}, set(ends)
    assert ends.count("whole") + ends.count("stream") > 0, ends
    assert text_of(s.ask(chat())[2]) == ANSWER
    assert s.stop() == 0


def full_disk_while_serving():
    """Data and run directory on a disk that is full: who is answered needs none of it, and what does
    need it says so."""
    need_engine()
    disk = os.path.join(TOP, "a small disk")
    os.makedirs(disk)
    size = sum(os.path.getsize(os.path.join(where, name)) for where, _, names in os.walk(DATA)
               for name in names if "/cache/" not in where) + (24 << 20)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk],
                      capture_output=True, check=False).returncode != 0:
        raise tap.Skip("no tmpfs can be mounted here")
    try:
        data = os.path.join(disk, "data")
        shutil.copytree(DATA, data, symlinks=True, ignore=shutil.ignore_patterns("debian", "run"))
        s = Server(data, env={"XDG_RUNTIME_DIR": disk})
        assert text_of(s.ask(chat())[2]) == ANSWER
        before = on_disk(data)
        with open(os.path.join(disk, "filling"), "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(1 << 16))
            except OSError:
                pass
        for stream in (False, True) * 3:
            assert attempt(s, stream) in ("whole", "stream")
        os.kill(s.engine_pid(), signal.SIGKILL)
        ends = [attempt(s, stream) for stream in (False, True) * 3]
        assert set(ends) <= {"whole", "stream", "broken stream", "refused"}, ends
        os.remove(os.path.join(disk, "filling"))
        wait_until(lambda: attempt(s, False) == "whole", s.said)
        assert s.stop() == 0
        assert on_disk(data) == before, set(on_disk(data)) ^ set(before)
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def two_servers_and_a_run():
    """On one data directory: each answers, and the end of one is not the other's."""
    need_engine()
    before = on_disk()
    servers = [Server(DATA) for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(attempt, s, i % 2 == 1) for i in range(4) for s in servers]
        ran = [pool.submit(call, "--data-dir", DATA, "run", QUESTION) for _ in range(2)]
        assert {future.result() for future in asked} <= {"whole", "stream"}
        assert all(future.result().stdout.strip() == ANSWER for future in ran)
    servers[0].process.kill()
    servers[0].process.wait()
    assert text_of(servers[1].ask(chat())[2]) == ANSWER
    assert servers[1].stop() == 0
    assert on_disk() == before, set(on_disk()) ^ set(before)


def other_locales():
    """Turkish, where I is no capital i, and German, where a decimal point is a comma."""
    need_engine()
    places = os.path.join(TOP, "locales")
    os.makedirs(places, exist_ok=True)
    for language, charset in (("tr_TR", "UTF-8"), ("tr_TR", "ISO-8859-9"), ("de_DE", "UTF-8")):
        name = f"{language}.{charset}"
        if subprocess.run(["localedef", "-i", language, "-f", charset, os.path.join(places, name)],
                          capture_output=True, check=False).returncode not in (0, 1):
            raise tap.Skip("localedef cannot make a locale here")
        # glibc never frees what it makes of LOCPATH.
        env = {"LOCPATH": places, "LC_ALL": name, "ASAN_OPTIONS": "detect_leaks=0"}
        plain = answer("explain", "GFX1103", code=(0, 1))
        assert answer("explain", "GFX1103", code=(0, 1), env=env) == plain
        for query in ("RADEON RX 7900 XTX", "INSTINCT MI300X", "radeon instinct mi50"):
            assert answer("explain", query, env=env, code=(0, 1)) == answer("explain", query,
                                                                           code=(0, 1)), query
        done = call("--data-dir", DATA, "run", QUESTION, env=env)
        assert done.stdout.strip() == ANSWER, done.stderr
        s = Server(DATA, env=env)
        status, _, body = s.request("POST", "/V1/CHAT/COMPLETIONS".lower(), json.dumps(chat()),
                                    {"CONTENT-TYPE": "APPLICATION/JSON", "CONNECTION": "KEEP-ALIVE"})
        assert status == 200 and text_of(body) == ANSWER, body
        assert s.stop() == 0


def long_and_odd_directories():
    """Blanks, quotes, letters beyond ASCII, a newline. A socket's name has to be short: a run directory
    that is not is one sentence."""
    need_engine()
    for name in ("ein Verzeichnis äöü", "a'b\"c (d) & e", "x" * 150, "-n", "new\nline"):
        place = os.path.join(TOP, name)
        runtime = tempfile.mkdtemp(prefix=name[:12] + " ")
        data = os.path.join(place, "data")
        shutil.copytree(DATA, data, symlinks=True, ignore=shutil.ignore_patterns("debian", "run"))
        env = {"XDG_RUNTIME_DIR": runtime, "HOME": place}
        done = call("--data-dir", data, "run", QUESTION, env=env)
        assert done.stdout.strip() == ANSWER, (name, done.stderr)
        s = subprocess.Popen([PROGRAM, "--data-dir", data, "serve", "--port", "0"],
                             env={**os.environ, **env}, stderr=subprocess.PIPE, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        assert "listening" in s.stderr.readline(), name
        loaded = call("--data-dir", data, "load", "canary", env=env)
        assert json.loads(call("--data-dir", data, "--json", "status", env=env).stdout)["models"], loaded
        call("--data-dir", data, "stop", env=env)
        s.communicate(timeout=120)
        assert s.returncode == 0
        shutil.rmtree(place)
        shutil.rmtree(runtime)
    runtime = os.path.join(TOP, "y" * 150)
    os.makedirs(runtime, mode=0o700)
    done = call("--data-dir", DATA, "serve", "--port", "0", code=1, env={"XDG_RUNTIME_DIR": runtime})
    assert "too long" in done.stderr, done.stderr


CASES = [
    prepare, server_killed_at_any_moment, engine_is_stopped_for_a_while,
    stop_while_the_engine_is_stopped, no_descriptor_is_left, few_descriptors_from_the_start,
    full_disk_while_serving, two_servers_and_a_run, other_locales, long_and_odd_directories,
]

try:
    tap.run((f.__name__.replace("_", " "), f) for f in CASES)
finally:
    shutil.rmtree(TOP, ignore_errors=True)
