#!/usr/bin/env python3
"""soak.py GFXBRIDGE [SECONDS]: mixed load on one server, and whether anything grows.

Whole answers, streams, embeddings, Ollama's chat, clients that leave in the middle, refused requests,
models unloaded and engines killed. Memory, descriptors, threads and processes of the last quarter are
compared with those of the second: an hour by `make soak`, shorter elsewhere.
"""
import concurrent.futures
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import parrot  # noqa: E402
from gfxbridge import call  # noqa: E402
from server import ANSWER, QUESTION, Server, chat  # noqa: E402

SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 3600
DATA = os.environ.get("GFXB_TEST_DATA") or tempfile.mkdtemp(prefix="gfxbridge-soak-")


def whole(s):
    began = time.monotonic()
    status, _, body = s.ask(chat())
    assert status == 200 and json.loads(body)["choices"][0]["message"]["content"] == ANSWER, body
    return time.monotonic() - began


def stream(s):
    status, _, body = s.ask(chat(stream=True))
    assert status == 200 and (b"[DONE]" in body or b'"error"' in body), body[-300:]


def embeddings(s):
    status, _, body = s.ask({"model": "embedder", "input": "x"}, path="/v1/embeddings")
    assert status == 200 and json.loads(body)["data"], body


def ollama(s):
    body = {"model": "canary", "messages": [{"role": "user", "content": QUESTION}]}
    status, _, got = s.ask(body, path="/api/chat")
    assert status == 200 and (b'"done":true' in got or b'"error"' in got), got[-300:]


def leave(s):
    body = json.dumps(chat(stream=True, max_tokens=5000, ignore_eos=True)).encode()
    with s.connect() as c:
        c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                  b"application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        c.recv(random.choice((1, 100, 4096)))


def refused(s):
    assert s.ask(chat(), headers={"Host": "evil.example"})[0] == 403
    assert s.ask(chat(max_tokens=-9))[0] == 400
    assert s.ask(chat(model="no/such"))[0] == 404


def lists(s):
    for path in ("/v1/models", "/api/tags", "/api/ps", "/metrics", "/api/v1/health"):
        assert s.request("GET", path)[0] == 200, path


KINDS = [whole] * 4 + [stream] * 4 + [embeddings, ollama, leave, refused, lists]


def sample(pid):
    with open(f"/proc/{pid}/status") as f:
        fields = dict(line.split(":", 1) for line in f)
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    return {"anonymous KiB": int(fields["RssAnon"].split()[0]),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": int(fields["Threads"]), "processes": len(children.split())}


def disturb(s, stop):
    while not stop.wait(random.uniform(5, 15)):
        pid, models = s.engine_pid(), s.status()["models"]
        ready = models and models[0]["state"] == "ready"
        if pid and ready and random.random() < 0.5:
            os.kill(pid, signal.SIGKILL)
        else:
            s.command("unload")


def main():
    call("--data-dir", DATA, "run", QUESTION, timeout=600)
    call("--data-dir", DATA, "rm", "embedder", code=None)
    with tempfile.TemporaryDirectory() as top:
        call("--data-dir", DATA, "import", parrot.write_embedder(os.path.join(top, "e.gguf")), "--name", "embedder")
    s = Server(DATA)
    whole(s)
    stop, samples, waits, done, failures = threading.Event(), [], [], 0, []
    disturber = threading.Thread(target=disturb, args=(s, stop))
    disturber.start()
    end, next_sample = time.monotonic() + SECONDS, 0.0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        while time.monotonic() < end:
            for future in [pool.submit(random.choice(KINDS), s) for _ in range(64)]:
                try:
                    wait = future.result()
                    waits += [wait] if wait else []
                    done += 1
                except Exception as error:  # counted, shown, and a failure of the run at its end
                    failures.append(repr(error)[:300])
            if time.monotonic() >= next_sample:
                samples.append(sample(s.process.pid))
                next_sample = time.monotonic() + SECONDS / 40
    stop.set()
    disturber.join()
    status = s.status()
    code = s.stop()
    n, bad = len(samples), []
    print(f"{done} calls, {len(failures)} failed, {status['totals']['failovers']} fail-overs, "
          f"exit {code}")
    for name in samples[0]:
        early = statistics.median(x[name] for x in samples[n // 4:n // 2] or samples)
        late = statistics.median(x[name] for x in samples[3 * n // 4:])
        slack = 2048 if name == "anonymous KiB" else 8
        print(f"{name}: {early:.0f} in the second quarter, {late:.0f} in the last; all the while",
              *(x[name] for x in samples))
        if late > early * 1.1 + slack:
            bad.append(name)
    m = len(waits)
    print(f"median of a whole answer: {statistics.median(waits[:m // 2]) * 1000:.1f} ms in the first "
          f"half, {statistics.median(waits[m // 2:]) * 1000:.1f} ms in the second")
    for text in failures[:5]:
        print("failed:", text)
    if bad:
        print("GREW:", ", ".join(bad))
    sys.exit(1 if bad or failures or code else 0)


main()
