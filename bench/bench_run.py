#!/usr/bin/env python3
"""bench_run.py GFXBRIDGE: the whole warm `run` beside the same llama-server started by hand on the
same model, asked the same question and stopped. Bar: at most 150 ms more."""
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import engine_by_hand
import side_by_side

GFXBRIDGE = os.path.abspath(sys.argv[1])
QUESTION = "Which gfx is the Radeon RX 7900 XT?"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def get(path, method="GET", target="/health", body=None):
    connection = UnixConnection(path)
    connection.request(method, target, body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    return reply.status, reply.read()


def by_hand(package_dir, model):
    """Start, wait for readiness, ask, stop: what a person's script would do."""
    prefix, cwd = engine_by_hand.argv(package_dir)
    with tempfile.TemporaryDirectory(prefix="bench") as top:
        path = os.path.join(top, "s.sock")
        engine = subprocess.Popen([*prefix, "-m", model, "--host", path, "--device", "none", "-c",
                                   "512", "-np", "1", "--no-webui", "--threads", "1"], cwd=cwd,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  env={"PATH": os.environ["PATH"]})
        while True:
            try:
                if get(path)[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.002)
        body = '{"temperature":0,"messages":[{"role":"user","content":"%s"}]}' % QUESTION
        assert b"gfx1100" in get(path, "POST", "/v1/chat/completions", body)[1]
        engine.send_signal(signal.SIGTERM)
        engine.wait()


def main():
    found = engine_by_hand.package(GFXBRIDGE, "cpu")
    package_dir = engine_by_hand.directory(found["digest"])
    models = os.path.join(engine_by_hand.data_dir(), "canary")
    model = os.path.join(models, next(n for n in os.listdir(models) if n.endswith(".gguf")))
    if len(sys.argv) > 2:
        return by_hand(sys.argv[2], sys.argv[3])
    medians = side_by_side.median_ms({
        "python3 that does nothing": [sys.executable, "-c", "import http.client, subprocess"],
        "llama-server by hand (from python3)": [sys.executable, __file__, GFXBRIDGE, package_dir,
                                                model],
        "gfxbridge run, warm": [GFXBRIDGE, "run", "--backend", "cpu", "--quiet", QUESTION],
    })
    side_by_side.show(medians)
    names = list(medians)
    hand = medians[names[1]] - medians[names[0]]
    side_by_side.bar("gfxbridge run over the engine by hand", medians[names[2]] - hand, 150)
    return 0


sys.exit(main())
