#!/usr/bin/env python3
"""real.py GFXBRIDGE [WORDS]: the web page in Chromium, on the real server with the real engine.

The engine comes from the distribution's archive, installed and proven by a click; the model that is
pulled comes from a hub on loopback. WORDS: only cases with these in their names.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS = sys.argv[2:]
for folder in ("lib", "real"):
    sys.path.insert(0, os.path.join(os.path.dirname(HERE), folder))
import hub_world as hw  # noqa: E402
import npm  # noqa: E402
import server  # noqa: E402
from gfxbridge import SOURCE  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge page ")
REPOSITORY = "example/canary"


def world():
    """A hub that has the canary under another name, padded and slow enough to be watched."""
    hub = hw.World(tempfile.mkdtemp(prefix="gfxbridge-hub-"))
    hub.rate = "limit_rate 700k;"
    hub.start()
    with open(os.path.join(SOURCE, "data", "canary.gguf"), "rb") as f:
        hub.publish(REPOSITORY, {"canary-Q8_0.gguf": f.read() + os.urandom(4000000)})
    return hub


def main():
    modules = npm.for_browser()
    hub = world()
    home = {"HOME": TOP, "HF_ENDPOINT": hub.hub, "GFXBRIDGE_CA_FILE": hub.ca}
    data = os.path.join(TOP, "data")
    servers = [server.Server(data, env=home),
               server.Server(data, env={**home, "GFXBRIDGE_API_KEY": "secret"})]
    addresses = dict(zip(("open", "locked"), (f"http://127.0.0.1:{s.port}" for s in servers)))
    try:
        env = {**os.environ, "GFXB_SERVERS": json.dumps(addresses), "GFXB_NODE_MODULES": modules,
               "GFXB_REPOSITORY": REPOSITORY, "GFXB_SERVER_PID": str(servers[0].process.pid)}
        status = subprocess.call(["node", os.path.join(HERE, "real.mjs"), *WORDS], env=env)
    finally:
        codes = [s.stop() for s in servers]
        hub.stop()
    if status or any(codes):
        print(f"# exit codes of the servers: {codes}")
        print("\n".join("# " + line for line in servers[0].said().splitlines()[-40:]))
    shutil.rmtree(TOP, ignore_errors=True)
    return status or int(any(codes))


sys.exit(main())
