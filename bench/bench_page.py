#!/usr/bin/env python3
"""bench_page.py GFXBRIDGE [ROUNDS]: what a first visitor of the page waits for until the first paint.

The real server's page in a Chromium that is already open, its cache empty, beside a page that is one
heading, in turns. Bar: the first contentful paint under 200 ms.
"""
import http.server
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading

import side_by_side

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "lib"))
import npm  # noqa: E402
import server  # noqa: E402

ROUNDS = sys.argv[2] if len(sys.argv) > 2 else "21"


class Heading(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<!doctype html><title>gfxbridge</title><link rel=icon href=data:,><h1>gfxbridge</h1>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


def main():
    top = tempfile.mkdtemp(prefix="gfxbridge-bench-page-")
    heading = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Heading)
    threading.Thread(target=heading.serve_forever, daemon=True).start()
    ours = server.Server(os.path.join(top, "data"), "--no-network", env={"HOME": top})
    try:
        env = {**os.environ, "GFXB_NODE_MODULES": npm.modules(), "GFXB_ROUNDS": ROUNDS,
               "GFXB_ADDRESSES": json.dumps({"a heading": f"http://127.0.0.1:{heading.server_port}/",
                                             "the page": f"http://127.0.0.1:{ours.port}/"})}
        paints = json.loads(subprocess.run(["node", os.path.join(HERE, "page.mjs")], env=env,
                                           stdout=subprocess.PIPE, check=True).stdout)
    finally:
        ours.stop()
        heading.shutdown()
        shutil.rmtree(top, ignore_errors=True)
    for name, values in paints.items():
        print(f"  {name:<12} {min(values):.0f} to {max(values):.0f} ms")
    medians = {name: statistics.median(values) for name, values in paints.items()}
    side_by_side.show(medians)
    side_by_side.bar("first paint", medians["the page"], 200)
    return 0


sys.exit(main())
