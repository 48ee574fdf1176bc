#!/usr/bin/env python3
"""support.py GFXBRIDGE: the page that `table --html` writes, in Chromium: it finds what `explain` finds, and
what is misspelled. GFXB_PICTURES=DIR writes the picture of the documents there."""
import http.server
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import npm  # noqa: E402
from gfxbridge import PROGRAM, call, machine  # noqa: E402


def handler(text):
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text if self.path == "/" else b"")

        def log_message(self, *_):
            pass
    return Page


def main():
    modules = npm.for_browser()
    page = call("table", "--html").stdout.encode()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(page))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {**os.environ, "GFXB_NODE_MODULES": modules, "GFXB_PROGRAM": PROGRAM,
           "GFXB_MACHINE": machine("docker-no-group"),
           "GFXB_BASE": f"http://127.0.0.1:{server.server_port}"}
    return subprocess.call(["node", os.path.join(os.path.dirname(os.path.abspath(__file__)), "support.mjs")],
                           env=env)


sys.exit(main())
