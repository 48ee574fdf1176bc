#!/usr/bin/env python3
"""bench_gateway.py GFXBRIDGE [ROUNDS [REQUESTS]]: what the server adds to an engine, beside nginx.

Direct, ours and nginx take turns within each round, on an engine that answers at once, so that what is
left is the gateway's own cost: 1, 8 and 64 clients, whole answers and streams. Then 500 idle
connections, 1,000 open streams, and the resident memory. Then the whole server before the real engine
with the canary, beside that engine by hand and its own router where that starts. lemonade-server's figures on the same double
are those of issue 7: it takes 325 to 404 microseconds of CPU for a request.
"""
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import engine_by_hand

GFXBRIDGE = os.path.abspath(sys.argv[1])
CANARY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data",
                      "canary.gguf")
BUILD = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[1]))))
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 11
REQUESTS = int(sys.argv[3]) if len(sys.argv) > 3 else 2000
TOP = tempfile.mkdtemp(prefix="gfxbridge-gateway-")
STARTED = []

NGINX = """
%(user)s
worker_processes 1; daemon off; pid %(top)s/nginx.pid; error_log %(top)s/nginx.err;
events { worker_connections 8192; }
http { access_log off;
  client_body_temp_path %(top)s/b; proxy_temp_path %(top)s/p; fastcgi_temp_path %(top)s/f;
  uwsgi_temp_path %(top)s/u; scgi_temp_path %(top)s/s; keepalive_requests 100000000;
  upstream engine { server unix:%(engine)s; keepalive 64; keepalive_requests 100000000; }
  server { listen 127.0.0.1:%(port)d;
    location / { proxy_pass http://engine; proxy_buffering off; proxy_http_version 1.1;
                 proxy_set_header Connection ""; } } }
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(*words, **options):
    STARTED.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL, **options))
    return STARTED[-1]


def tool(name):
    return os.path.join(BUILD, "bench", name)


def wait_for(address):
    for _ in range(200):
        try:
            with socket.socket(socket.AF_UNIX if address[0] == "/" else socket.AF_INET) as s:
                s.connect(address if address[0] == "/" else ("127.0.0.1", int(address.split(":")[1])))
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on {address}")


def cpu_us(pid):
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1000


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1]) / 1024


def load(target, clients, requests, kind):
    done = subprocess.run([tool("gateway_load"), target, str(clients), str(requests), kind],
                          capture_output=True, text=True)
    return json.loads(done.stdout)


def bar(text, value, limit, unit):
    print(f"  {text}: {value:.3f} {unit} (bar {limit:.3f} {unit}) "
          f"{'kept' if value <= limit else 'MISSED'}", flush=True)


def measure(targets, crowds=(1, 8, 64), requests=REQUESTS):
    """{(kind, clients, name): [result of each round]}"""
    results = {}
    for _ in range(ROUNDS):
        for kind in ("whole", "stream"):
            for clients in crowds:
                for name, (address, pid) in targets.items():
                    before = cpu_us(pid) if pid else 0
                    one = load(address, clients, requests, kind)
                    one["cpu"] = (cpu_us(pid) - before) / requests if pid else 0
                    results.setdefault((kind, clients, name), []).append(one)
    return results


def show(results, targets, crowds=(1, 8, 64)):
    print(f"  {'':22} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'first ms':>8} "
          f"{'CPU us':>7} failed")
    for kind in ("whole", "stream"):
        for clients in crowds:
            for name in targets:
                m = {k: statistics.median(r[k] for r in results[kind, clients, name])
                     for k in ("rate", "p50", "p99", "first50", "cpu")}
                failed = sum(r["failed"] for r in results[kind, clients, name])
                print(f"  {kind:6} {clients:3} {name:10} {m['rate']:10.0f} {m['p50']:8.3f} "
                      f"{m['p99']:8.2f} {m['first50']:8.3f} {m['cpu']:7.1f} {failed}", flush=True)


def judge(results):
    def median(kind, clients, name, field):
        return statistics.median(r[field] for r in results[kind, clients, name])

    def quiet(kind, clients, name, field):
        """The quarter of the rounds that neighbours disturbed least: their noise only adds."""
        values = sorted(r[field] for r in results[kind, clients, name])
        return values[len(values) // 4]

    def added(kind, clients, name, field):
        return quiet(kind, clients, name, field) - quiet(kind, clients, "direct", field)

    bar("added p50, 1 client, whole", added("whole", 1, "ours", "p50"),
        2 * added("whole", 1, "nginx", "p50"), "ms")
    bar("p99 at 64 clients, whole", median("whole", 64, "ours", "p99"),
        median("whole", 64, "nginx", "p99"), "ms")
    bar("nginx's rate over ours, 64 clients", median("whole", 64, "nginx", "rate") /
        median("whole", 64, "ours", "rate"), 1 / 0.7, "times (aim 1)")
    bar("first token, 64 streams", quiet("stream", 64, "ours", "first50"),
        2 * quiet("stream", 64, "nginx", "first50"), "ms")
    for kind in ("whole", "stream"):
        bar(f"CPU of a request, 64 clients, {kind}, over nginx's", median(kind, 64, "ours", "cpu") /
            median(kind, 64, "nginx", "cpu"), 1.5, "times")
    bar("failed", sum(r["failed"] for key, rounds in results.items() if key[2] == "ours"
                      for r in rounds), 0, "answers")


def idle_connections(port):
    kept = [socket.create_connection(("127.0.0.1", port)) for _ in range(500)]
    times = []
    for _ in range(50):
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            s.recv(4096)
        times.append((time.perf_counter() - began) * 1000)
    bar("a new client beside 500 idle ones", statistics.median(times), 5, "ms")
    for s in kept:
        s.close()


def open_streams(runtime):
    """1,000 streams that get an event each 100 ms: the memory, and that all of them end well."""
    engine, port = os.path.join(TOP, "slow.sock"), free_port()
    start(tool("gateway_engine"), engine, "60", "100")
    server = start(tool("gateway_serve"), str(port), engine, "2000", runtime)
    wait_for(engine)
    wait_for(f"127.0.0.1:{port}")
    clients = subprocess.Popen([tool("gateway_load"), f"127.0.0.1:{port}", "1000", "1000", "stream"],
                               stdout=subprocess.PIPE, text=True)
    most = 0
    while clients.poll() is None:
        most = max(most, resident_mib(server.pid))
        time.sleep(0.1)
    done = json.loads(clients.stdout.read())
    bar("resident with 1,000 open streams", most, 24, "MiB")
    bar("of them failed", done["failed"] + 1000 - done["answered"], 0, "streams")


def answers(address, seconds=30):
    """Has the model been loaded there, and answered?"""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if load(address, 1, 1, "whole")["failed"] == 0:
                return True
        except ValueError:  # nobody listens yet
            pass
        time.sleep(0.2)
    return False


def real_engine():
    """Most of the time is the engine's here: what a user notices of what stands before it."""
    crowds, requests = (1, 8), max(REQUESTS // 20, 20)
    found = engine_by_hand.package(GFXBRIDGE, "cpu")
    prefix, cwd = engine_by_hand.argv(engine_by_hand.directory(found["digest"]))
    models = os.path.join(TOP, "models")
    os.makedirs(models)
    os.symlink(CANARY, os.path.join(models, "canary.gguf"))
    targets = {}
    for name, words in {
            "direct": [*prefix, "-m", CANARY, "--alias", "canary", "-np", "4"],
            "ours": [GFXBRIDGE, "serve"],
            "its router": [*prefix, "--models-dir", models]}.items():
        port = free_port()
        process = start(*words, "--port", str(port), cwd=cwd)
        if answers(f"127.0.0.1:{port}"):
            targets[name] = (f"127.0.0.1:{port}", process.pid if name == "ours" else None)
        else:
            print(f"  {name}: did not answer, left out")
    print("the real engine")
    results = measure(targets, crowds, requests)
    show(results, targets, crowds)
    bar("failed", sum(r["failed"] for key, rounds in results.items() if key[2] == "ours"
                      for r in rounds), 0, "answers")


def main():
    subprocess.run(["ninja", "-C", BUILD, "--quiet", "bench/gateway_engine", "bench/gateway_load",
                    "bench/gateway_serve"], check=True)
    engine, ours, nginx = os.path.join(TOP, "e.sock"), free_port(), free_port()
    start(tool("gateway_engine"), engine)
    server = start(tool("gateway_serve"), str(ours), engine, "64", os.path.join(TOP, "run"))
    targets = {"direct": (engine, None), "ours": (f"127.0.0.1:{ours}", server.pid)}
    if shutil.which("nginx"):
        with open(os.path.join(TOP, "nginx.conf"), "w") as f:
            f.write(NGINX % {"top": TOP, "engine": engine, "port": nginx,
                             "user": "user root;" if os.getuid() == 0 else ""})
        start("nginx", "-c", os.path.join(TOP, "nginx.conf"))
        wait_for(f"127.0.0.1:{nginx}")
        with open(os.path.join(TOP, "nginx.pid")) as f:
            master = f.read().strip()
        worker = subprocess.check_output(["pgrep", "-P", master], text=True).split()[0]
        targets["nginx"] = (f"127.0.0.1:{nginx}", int(worker))
    wait_for(f"127.0.0.1:{ours}")
    bar("resident, idle (the gateway alone)", resident_mib(server.pid), 14, "MiB")
    results = measure(targets)
    show(results, targets)
    if "nginx" in targets:
        judge(results)
    idle_connections(ours)
    open_streams(os.path.join(TOP, "run2"))
    real_engine()


try:
    main()
finally:
    for process in reversed(STARTED):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    shutil.rmtree(TOP, ignore_errors=True)
