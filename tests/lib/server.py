"""A running `gfxbridge serve`, and raw HTTP to it."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

from gfxbridge import PROGRAM

QUESTION = "Which gfx is the Radeon RX 7900 XT?"
ANSWER = "The Radeon RX 7900 XT is gfx1100."


def chat(stream=False, model="canary", **more):
    return {"model": model, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0,
            "stream": stream, **more}


def text_of(body):
    return json.loads(body)["choices"][0]["message"]["content"]


def events_of(body):
    return [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]


def streamed_text(body):
    events = events_of(body)
    assert events[-1] == "[DONE]", events[-3:]
    deltas = [json.loads(e)["choices"] for e in events[:-1]]
    return "".join(d[0]["delta"].get("content") or "" for d in deltas if d)


def outcome_of(stream, reply):
    """Of a chat whose engine may have been killed: "whole", "stream", or "broken stream" when it had
    begun and says so at its end. Anything else is a failure."""
    status, _, body = reply
    assert status == 200, (status, body)
    if not stream:
        assert text_of(body) == ANSWER, body
        return "whole"
    events = events_of(body)
    if events[-1] == "[DONE]" and "error" not in json.loads(events[-2]):
        assert streamed_text(body) == ANSWER
        return "stream"
    assert any('"error"' in e for e in events[-2:]), body[-400:]
    return "broken stream"


class Server:
    """The program, on a port that was free, with a runtime directory of its own."""

    def __init__(self, data, *options, env=None, config=None, port="0", before=None, **popen):
        self.data = data
        self.home = tempfile.mkdtemp(prefix="gfxbridge-serve-")
        self.env = {**os.environ, "XDG_RUNTIME_DIR": self.home, "XDG_CONFIG_HOME": self.home,
                    **(env or {})}
        if config is not None:
            os.makedirs(os.path.join(self.home, "gfxbridge"), exist_ok=True)
            with open(os.path.join(self.home, "gfxbridge", "config.json"), "w") as f:
                json.dump(config, f)
        self.log = open(os.path.join(self.home, "log"), "w+")
        words = [PROGRAM, "--data-dir", data, "serve", *options]
        if port is not None:
            words += ["--port", port]
        self.process = subprocess.Popen(before(words) if before else words, env=self.env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=self.log, **popen)
        if port is not None:
            self.port = self.wait_port()

    def said(self):
        with open(self.log.name) as f:
            return f.read()

    def wait_port(self, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(r"listening on http://\S+:(\d+)", self.said())
            if found:
                return int(found.group(1))
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"it does not listen: {self.said()}")

    def command(self, *words, code=0):
        done = subprocess.run([PROGRAM, "--data-dir", self.data, *words], env=self.env, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done

    def status(self):
        return json.loads(self.command("--json", "status").stdout)

    def request(self, method, path, body=None, headers=None, timeout=60):
        """Status, headers, bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        fields = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            fields.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body, fields)
            reply = connection.getresponse()
            return reply.status, dict((k.lower(), v) for k, v in reply.getheaders()), reply.read()
        finally:
            connection.close()

    def ask(self, body, path="/v1/chat/completions", **more):
        return self.request("POST", path, body, **more)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def raw(self, data, half_close=False):
        """What comes back for these bytes until the server closes."""
        with self.connect() as s:
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            got = b""
            try:
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        return got
                    got += piece
            except ConnectionResetError:
                return got

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def children(self):
        return subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True,
                              text=True).stdout.split()

    def engine_pid(self):
        """The llama-server below this server; None when there is none."""
        children = self.children()
        return int(children[0]) if children else None

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        if code:
            print(self.said(), file=sys.stderr)  # a sanitizer's report among it
        self.log.close()
        return code
