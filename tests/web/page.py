#!/usr/bin/env python3
"""page.py GFXBRIDGE [WORDS]: the web page in Chromium, as owners of computers that are not here see it.

WORDS: only cases with these in their names.
GFXB_PICTURES=DIR writes the pictures of the documents there. GFXB_SLOW=MS delays each answer to the
page by up to so many milliseconds: a case that does not wait for what it asks about fails then.
"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
import npm  # noqa: E402

SERVERS = {
    "proven": ["rx7900xtx-raphael", "--proven", "rocm"],
    "denied": ["kfd-eacces"],
    "locked": ["rx7900xtx-raphael", "--proven", "rocm", "--key", "secret"],
}


def main():
    modules = npm.for_browser()
    started, addresses = [], {}
    try:
        for name, options in SERVERS.items():
            server = subprocess.Popen([sys.executable, os.path.join(HERE, "pretend.py"),
                                       sys.argv[1], *options], stdout=subprocess.PIPE, text=True)
            started.append(server)
            addresses[name] = server.stdout.readline().strip()
        env = {**os.environ, "GFXB_SERVERS": json.dumps(addresses), "GFXB_NODE_MODULES": modules}
        return subprocess.call(["node", os.path.join(HERE, "page.mjs"), *sys.argv[2:]], env=env)
    finally:
        for server in started:
            server.kill()
            server.wait()


sys.exit(main())
