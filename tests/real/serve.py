#!/usr/bin/env python3
"""serve.py GFXBRIDGE: the server with the real engine: answers, attacks, fail-over, its life.

Needs the distribution's engine, which is installed once for all cases.
"""
import concurrent.futures
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, call  # noqa: E402
from server import (ANSWER, QUESTION, Server, chat, events_of, outcome_of,  # noqa: E402
                    streamed_text, text_of)
from wait import wait_until  # noqa: E402

DATA = os.environ.get("GFXB_TEST_DATA") or tempfile.mkdtemp(prefix="gfxbridge-serve-data-")
SHARED = {}
SEED = int(os.environ.get("GFXB_TEST_SEED", "0")) or random.randrange(1 << 30)
RANDOM = random.Random(SEED)


def server():
    """One for all cases that leave it as it was."""
    if "server" not in SHARED or SHARED["server"].process.poll() is not None:
        SHARED["server"] = Server(DATA)
    return SHARED["server"]


def untouched(what):
    """Run it; no engine may have heard of it, and the server answers afterwards as before."""
    s = server()
    assert text_of(s.ask(chat())[2]) == ANSWER
    before = s.status()["models"][0]
    what(s)
    after = s.status()["models"][0]
    for name in ("answered", "refused", "failed", "prompt_tokens"):
        assert before[name] == after[name], (name, before, after)
    assert after["active"] == after["waiting"] == 0, after
    assert text_of(s.ask(chat())[2]) == ANSWER


# ---- answers ----

def answers_and_says_how():
    call("--data-dir", DATA, "run", QUESTION, timeout=300)
    status, headers, body = server().ask(chat())
    assert status == 200 and text_of(body) == ANSWER, (status, body)
    assert headers["x-gfxbridge-backend"] == "cpu" and headers["x-gfxbridge-device"] == "CPU"
    assert json.loads(body)["model"] == "canary"


def streams():
    status, headers, body = server().ask(chat(stream=True))
    assert status == 200 and headers["content-type"].startswith("text/event-stream"), headers
    assert streamed_text(body) == ANSWER
    assert headers["x-gfxbridge-backend"] == "cpu"


def also_below_api_v1():
    assert text_of(server().ask(chat(), path="/api/v1/chat/completions")[2]) == ANSWER


def many_at_once():
    s = server()
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(lambda i: s.ask(chat(stream=i % 2 == 1)), range(128)))
    for i, (status, _, body) in enumerate(replies):
        assert status == 200, (status, body)
        assert (streamed_text(body) if i % 2 else text_of(body)) == ANSWER


def unknown_model_is_404():
    status, _, body = server().ask(chat(model="nobody/has-this"))
    assert status == 404 and "nobody/has-this" in json.loads(body)["error"]["message"], body


def half_closed_clients_are_answered():
    body = json.dumps(chat()).encode()
    got = server().raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                       b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                       + body, half_close=True)
    assert ANSWER.encode() in got, got


def pipelined_requests_are_answered_in_order():
    head = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    got = server().raw(head * 3 + head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert got.count(b"HTTP/1.1 200") == 4, got


def leaving_stops_the_work():
    s = server()
    body = json.dumps(chat(stream=True, max_tokens=100000, ignore_eos=True)).encode()
    with s.connect() as c:
        c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                  b"application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert b"200" in c.recv(4096)
    wait_until(lambda: s.status()["models"][0]["active"] == 0, "the end of the answer")


# ---- attacks ----

def post(path=b"/v1/chat/completions", host=b"localhost", fields=b"", body=None, length=None):
    body = json.dumps(chat()).encode() if body is None else body
    length = len(body) if length is None else length
    return (b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n%s\r\n" % (path, host, length, fields)) + body


def status_of(reply):
    return int(reply.split(b" ", 2)[1]) if reply.startswith(b"HTTP/1.1 ") else None


def foreign_host_names():
    def attack(s):
        for host in (b"evil.example", b"evil.example:80", b"localhost.evil.example", b"", b"a b",
                     b"127.0.0.1.evil.example", b"localhost:99999", b"[::1", b"localhost@evil"):
            got = s.raw(post(host=host))
            assert status_of(got) in (400, 403), (host, got)
    untouched(attack)
    for host in ("localhost", "127.0.0.1:1", "[::1]:80", "app.localhost", "192.168.1.7"):
        assert server().ask(chat(), headers={"Host": host})[0] == 200, host


def foreign_origins():
    def attack(s):
        for origin in ("http://evil.example", "https://localhost.evil.example", "null", "http://",
                       "https://evil.example:13305", "http://127.0.0.1.evil.example",
                       "chrome-extension://abcdefgh", "moz-extension://1-2", "Safari-Web-Extension://x"):
            status, headers, _ = s.ask(chat(), headers={"Origin": origin})
            assert status == 403 and "access-control-allow-origin" not in headers, origin
            assert s.request("OPTIONS", "/v1/chat/completions",
                             headers={"Origin": origin})[0] == 403
    untouched(attack)
    for origin in ("http://localhost:3000", "https://127.0.0.1", "tauri://localhost", "app://x",
                   "file://"):
        status, headers, _ = server().ask(chat(), headers={"Origin": origin})
        assert status == 200 and headers["access-control-allow-origin"] == origin, headers
        status, headers, _ = server().request("OPTIONS", "/api/v1/chat/completions",
                                              headers={"Origin": origin})
        assert status == 204 and "POST" in headers["access-control-allow-methods"], headers


def other_content_types():
    """A page may send anything but JSON to any address without asking first."""
    def attack(s):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                     "application/jsonx", ""):
            for page in ({"Origin": "http://localhost"}, {"Sec-Fetch-Mode": "no-cors"}):
                status = s.request("POST", "/v1/chat/completions", json.dumps(chat()),
                                   {"Content-Type": kind, **page})[0]
                assert status == 415, (kind, status)
    untouched(attack)
    assert server().ask(chat(), headers={"Content-Type": "Application/JSON; charset=utf-8"})[0] == 200


def http_of_all_kinds_of_clients():
    body = json.dumps(chat()).encode()
    url = b"http://localhost:%d/v1/chat/completions" % server().port
    chunked = post(body=b"", length=0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    shapes = [
        post(path=url, host=b"proxy.example"),
        b"\r\n" + post(),
        post(fields=b"X: %s\r\n" % (b"a" * 60000)),
        post(fields=b"X: a\r\n" * 2000),
        chunked + b"%x;a=b;c=\"d;e\"\r\n%s\r\n0;f\r\nDigest: x\r\n\r\n" % (len(body), body),
        post().replace(b"Content-Type: application/json\r\n", b""),
        post().replace(b"application/json", b"application/x-www-form-urlencoded"),
        post(fields=b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
    ]
    for shape in shapes:
        got = server().raw(shape, half_close=True)
        assert b"HTTP/1.1 200 OK\r\n" in got and ANSWER.encode() in got, (shape[:300], got)
    for path in ("/chat/completions", "/v1/v1/chat/completions", "//v1/chat/completions", "/v1/chat/completions/"):
        status, _, got = server().ask(chat(), path)
        assert status == 404 and "use /v1/chat/completions " in json.loads(got)["error"]["message"], (path, got)
    status, _, got = server().ask(chat(), "/v1/v1/messages")
    assert status == 404 and json.loads(got)["type"] == "error", got
    status, fields, got = server().request("HEAD", "/v1/models")
    assert status == 200 and int(fields["content-length"]) > 0 and not got, fields
    status, fields, _ = server().request("OPTIONS", "/v1/messages", headers={
        "Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "anthropic-dangerous-direct-browser-access,x-stainless-os"})
    assert status == 204 and "x-stainless-os" in fields["access-control-allow-headers"], fields


def large_and_deep_bodies():
    def attack(s):
        assert status_of(s.raw(post(body=b"", length=1 << 40))) == 413
        deep = b"[" * 100000
        for body in (deep, b'{"messages":' + deep, b'{"a":' * 5000 + b"1" + b"}" * 5000,
                     b"{" * 100, b"", b"{}x", b'{"messages":\xff}', b"\x00" * 64):
            status, _, got = s.request("POST", "/v1/chat/completions", body,
                                       {"Content-Type": "application/json"})
            assert status == 400, (status, body[:40], got)
    untouched(attack)


def smuggling_shapes():
    ok = b"GET /live HTTP/1.1\r\nHost: localhost\r\n"
    chunked = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" \
              b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    shapes = [
        post(fields=b"Transfer-Encoding: chunked\r\n"),
        post(fields=b"Content-Length: 3\r\n"),
        post(fields=b"Transfer-Encoding: identity\r\n"),
        post(fields=b"Transfer-Encoding : chunked\r\n"),
        post(fields=b"X: a\r\n b\r\n"),
        post(fields=b"X: a\rY: b\r\n"),
        post(fields=b"X: a\nY: b\r\n"),
        post(fields=b"X: \x00\r\n"),
        post(fields=b"Host: evil.example\r\n"),
        post(fields=b"no colon\r\n"),
        post(fields=b": empty\r\n"),
        post(path=b"http://evil.example/v1/chat/completions"),
        post(path=b"http://localhost@evil/v1/chat/completions"),
        post(path=b"/v1/../v1/chat/completions"),
        post(path=b"/v1/chat%00completions%zz"),
        post(length=0).replace(b"Content-Length: 0", b"Content-Length: +5"),
        post(length=0).replace(b"Content-Length: 0", b"Content-Length: 0x10"),
        post(length=0).replace(b"Content-Length: 0", b"Content-Length: 5, 5"),
        chunked + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        chunked + b"\r\n5;ext=1\r\n{...}\r\n0\r\n\r\n",
        chunked + b"\r\n-5\r\n{...}\r\n0\r\n\r\n",
        chunked + b"\r\n5\n{...}\n0\n\n",
        chunked + b"\r\nFFFFFFFFFF\r\n{...}\r\n0\r\n\r\n",
        chunked + b"\r\n2\r\n{}\r\n0\r\nX trailer\r\n\r\n",
        ok.replace(b"HTTP/1.1", b"HTTP/1.9") + b"\r\n",
        ok.replace(b"HTTP/1.1", b"http/1.1") + b"\r\n",
        ok.replace(b" /live", b"  /live") + b"\r\n",
        ok.replace(b"Host: localhost\r\n", b"") + b"\r\n",
        ok.replace(b"\r\n", b"\n") + b"\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\r\n\r\n" + ok + b"\r\n",
    ]

    def attack(s):
        for shape in shapes:
            got = s.raw(shape + b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert status_of(got) in (400, 403, 417, 431, 501, 505), (shape[:200], got[:200])
            assert got.count(b"\r\nDate: ") == 1, ("answered what was smuggled in", shape, got)
    untouched(attack)


def header_limits_and_injection():
    def attack(s):
        assert status_of(s.raw(post(fields=b"X: " + b"a" * 66000 + b"\r\n"))) == 431
        for name in ("x%0d%0aSet-Cookie:%20a=b", "%00", "..%2f..%2fetc%2fpasswd", "%2e%2e/x"):
            status, headers, _ = s.request("GET", "/v1/models/" + name)
            assert status in (400, 404) and "set-cookie" not in headers, (name, status)
    untouched(attack)


def path_tricks_in_model_names():
    def attack(s):
        for name in ("../../etc/passwd", "/etc/passwd", "a/../../b", "a\u0000b", "-m", "a b",
                     "x" * 5000, "a\r\nb", "~root", "file:///etc/passwd", "$(id)", "..", "."):
            status, _, body = s.ask(chat(model=name))
            assert status in (400, 404), (name, status, body)
        status, _, body = s.ask(chat(messages_path="/etc/passwd", slot_save_path="/tmp/x",
                                     model=17))
        assert status == 400, (status, body)
    untouched(attack)


def numbers_out_of_range():
    def attack(s):
        for more in ({"max_tokens": 1 << 40}, {"max_tokens": -5}, {"n_discard": -1},
                     {"temperature": 1e400}, {"top_k": 1 << 33}, {"n_predict": -2147483649},
                     {"seed": "x"}, {"max_tokens": 1.5}, {"n_keep": -(1 << 50)},
                     {"repeat_last_n": 1 << 31}):
            body = json.dumps(chat(**more)).replace("Infinity", "1e400")
            status, _, got = s.request("POST", "/v1/chat/completions", body,
                                       {"Content-Type": "application/json"})
            assert status == 400, (more, status, got)
    untouched(attack)


def slow_and_silent_clients():
    s = server()
    silent = [s.connect() for _ in range(500)]
    slow = [s.connect() for _ in range(50)]
    for c in slow:
        c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHo")
    assert s.request("GET", "/live")[0] == 200
    assert text_of(s.ask(chat())[2]) == ANSWER
    for c in slow:  # the head's time is up: closed
        c.settimeout(60)
        assert c.recv(4096) == b"" or True
        c.close()
    for c in silent:
        c.close()


def ten_thousand_connections():
    s = server()
    kept = []
    try:
        for _ in range(10000):
            c = socket.socket()
            c.settimeout(20)
            c.connect(("127.0.0.1", s.port))
            kept.append(c)
    except OSError as e:
        if len(kept) < 1000:
            raise tap.Skip(f"only {len(kept)} connections can be made here: {e}") from e
    assert text_of(s.ask(chat())[2]) == ANSWER
    for c in kept:
        c.close()


def early_disconnects_by_the_thousand():
    s = server()
    whole = post()
    print(f"# seed {SEED}", flush=True)
    for i in range(2000):
        c = s.connect()
        c.sendall(whole[:RANDOM.randrange(len(whole) + 1)])
        if i % 3 == 0:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.close()
    def nothing_is_left():
        state = s.status()
        return state["models"][0]["active"] == 0 and state["waiting"] == 0

    wait_until(nothing_is_left, s.status)
    assert text_of(s.ask(chat())[2]) == ANSWER


def control_is_not_for_clients():
    s = server()
    for method, path in (("GET", "/internal/status"), ("POST", "/internal/stop")):
        status = s.request(method, path, {} if method == "POST" else None)[0]
        assert status == 404, (path, status)


def keys():
    s = Server(DATA, env={"GFXBRIDGE_API_KEY": "secret-key"})
    try:
        for headers in ({}, {"Authorization": "Bearer secret-ke"}, {"X-Api-Key": "secret-key1"},
                        {"Authorization": "secret-key"}, {"Authorization": "Basic secret-key"}):
            status, fields, body = s.ask(chat(), headers=headers)
            assert status == 401 and "www-authenticate" in fields, (headers, status)
        assert s.request("GET", "/live")[0] == 200
        for headers in ({"Authorization": "Bearer secret-key"}, {"X-Api-Key": "secret-key"}):
            assert s.ask(chat(), headers=headers)[0] == 200, headers
        assert s.status()["pid"] == s.process.pid  # this user's socket needs none
    finally:
        s.stop()


def other_computers_need_a_key():
    done = call("--data-dir", DATA, "serve", "--host", "0.0.0.0", "--port", "0", code=1,
                env={"XDG_RUNTIME_DIR": tempfile.mkdtemp()})
    assert "key" in done.stderr, done.stderr


# ---- engines come and go ----

def keep_alive_and_unload():
    s = server()
    assert text_of(s.ask(chat())[2]) == ANSWER
    s.command("unload", "canary")
    wait_until(lambda: s.status()["models"] == [] and s.engine_pid() is None, s.status)
    s.command("load", "canary", "--pin")
    assert s.status()["models"][0]["pinned"] is True
    s.command("unload")


def a_load_that_fails_leaves_what_works():
    s = Server(DATA)
    load = {"model_name": "canary", "llamacpp_backend": "vulkan"}
    assert s.ask(load, path="/api/v1/load")[0] == 500  # no GPU here, and nothing worked yet
    assert text_of(s.ask(chat())[2]) == ANSWER  # which wished for no backend
    assert s.ask(load, path="/api/v1/load")[0] == 500
    status, headers, body = s.ask(chat())
    assert status == 200 and text_of(body) == ANSWER, body
    assert headers["x-gfxbridge-backend"] == "cpu", headers
    assert s.stop() == 0


def a_pin_that_cannot_be_is_told():
    s = Server(DATA, "--pin", "nosuch")
    wait_until(lambda: "cannot load nosuch at the start" in s.said(), s.said)
    assert s.stop() == 0


def fail_over_under_load():
    """500 mixed requests, the engine killed 20 times: every whole answer is right, and a stream that
    had begun either ends as it should or says that it cannot."""
    s = server()
    print(f"# seed {SEED}", flush=True)
    assert text_of(s.ask(chat())[2]) == ANSWER
    killed = []
    stop = threading.Event()

    def killer():
        while len(killed) < 20 and not stop.is_set():
            pid = s.engine_pid()
            models = s.status()["models"]
            if pid and pid not in killed and models and models[0]["state"] == "ready":
                time.sleep(RANDOM.uniform(0, 0.15))
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)

    thread = threading.Thread(target=killer)
    thread.start()
    outcomes = {"whole": 0, "stream": 0, "broken stream": 0}

    def one(i):
        return outcome_of(i % 2 == 1, s.ask(chat(stream=i % 2 == 1), timeout=120))

    try:
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            n = 0
            while n < 500 or len(killed) < 20:
                for kind in pool.map(one, range(n, n + 100)):
                    outcomes[kind] += 1
                n += 100
    finally:
        stop.set()
        thread.join()
    print(f"# {len(killed)} engines killed, {outcomes}")
    assert len(killed) == 20
    assert s.status()["totals"]["failovers"] >= 10


# ---- its life ----

def term_lets_answers_finish():
    s = Server(DATA)
    assert text_of(s.ask(chat())[2]) == ANSWER
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        replies = [pool.submit(s.ask, chat(stream=True, max_tokens=2000, ignore_eos=True))
                   for _ in range(3)]
        wait_until(lambda: s.status()["models"][0]["active"] == 3 or replies[0].done(), s.status)
        s.process.send_signal(signal.SIGTERM)
        for reply in replies:
            status, _, body = reply.result()
            assert status == 200 and events_of(body)[-1] == "[DONE]", body[-200:]
    assert s.stop() == 0
    assert s.engine_pid() is None


def stop_ends_it():
    s = Server(DATA)
    s.command("stop")
    assert s.process.wait(30) == 0
    assert "no server" in s.command("status", code=1).stderr


def second_serve_names_the_first():
    s = server()
    done = s.command("serve", "--port", "0", code=1)
    assert f"process {s.process.pid}" in done.stderr and str(s.port) in done.stderr, done.stderr
    other = call("--data-dir", DATA, "serve", "--port", str(s.port), code=1,
                 env={"XDG_RUNTIME_DIR": tempfile.mkdtemp()})
    assert f"process {s.process.pid}" in other.stderr and "gfxbridge" in other.stderr, other.stderr


def socket_activation():
    """As systemd does it: a listening socket as descriptor 3, LISTEN_PID of the program itself, and
    READY=1 on NOTIFY_SOCKET once it serves."""
    with socket.socket() as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        place = os.path.join(tempfile.mkdtemp(), "notify")
        notify.bind(place)
        notify.settimeout(30)
        early = socket.create_connection(listener.getsockname())  # before it is started
        early.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        number = listener.fileno()

        def in_shell(words):
            return ["sh", "-c", 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&%d' % number, "sh",
                    *words]

        s = Server(DATA, port=None, before=in_shell, env={"NOTIFY_SOCKET": place},
                   pass_fds=(number,))
        said = notify.recv(4096).decode()
        assert said.startswith("READY=1"), said
        assert b"HTTP/1.1 200" in early.recv(4096)
        s.port = listener.getsockname()[1]
        assert s.request("GET", "/live")[0] == 200
        s.process.send_signal(signal.SIGTERM)
        assert notify.recv(4096) == b"STOPPING=1"
        assert s.stop() == 0


def settings_are_checked():
    s = Server(DATA, config={"keep_alive": "1h", "allowed_hosts": ["box.example"]})
    assert s.ask(chat(), headers={"Host": "box.example"})[0] == 200
    s.stop()
    home = tempfile.mkdtemp()
    os.makedirs(os.path.join(home, "gfxbridge"))
    with open(os.path.join(home, "gfxbridge", "config.json"), "w") as f:
        f.write('{"prot": 1}')
    done = call("--data-dir", DATA, "serve", code=1, env={"XDG_CONFIG_HOME": home,
                                                          "XDG_RUNTIME_DIR": home})
    assert '"prot"' in done.stderr, done.stderr


def status_watches_the_gpus():
    """What amdgpu's files say at that moment, beside what the server does."""
    with tempfile.TemporaryDirectory() as top:
        card = os.path.join(top, "sys/bus/pci/devices/0000:03:00.0")
        os.makedirs(os.path.join(card, "hwmon/hwmon5"))
        for name, text in {"vendor": "0x1002", "device": "0x744c", "revision": "0xc8",
                           "class": "0x030000", "gpu_busy_percent": "97",
                           "mem_info_vram_used": str(6 << 30),
                           "hwmon/hwmon5/power1_average": "287000000"}.items():
            with open(os.path.join(card, name), "w") as f:
                f.write(text + "\n")
        watch = subprocess.Popen([PROGRAM, "--data-dir", DATA, "--sysroot", top, "status",
                                  "--watch"], env=server().env, stdout=subprocess.PIPE, text=True)
        lines = []
        while not lines or "W" not in lines[-1]:
            lines.append(watch.stdout.readline())
            assert lines[-1], lines
        watch.send_signal(signal.SIGINT)
        assert watch.wait(30) == 130
        watch.stdout.close()
    assert lines[0].startswith("gfxbridge "), lines
    assert "97 % busy, VRAM 6.0 GiB, 287 W" in lines[-1], lines


def ends_in_order():
    assert SHARED["server"].stop() == 0
    assert "ERROR: " not in SHARED["server"].said(), SHARED["server"].said()
    if "GFXB_TEST_DATA" not in os.environ:
        shutil.rmtree(DATA)


CASES = [
    answers_and_says_how, streams, also_below_api_v1, many_at_once, unknown_model_is_404,
    half_closed_clients_are_answered, pipelined_requests_are_answered_in_order,
    leaving_stops_the_work, foreign_host_names, foreign_origins, other_content_types,
    http_of_all_kinds_of_clients,
    large_and_deep_bodies, smuggling_shapes, header_limits_and_injection,
    path_tricks_in_model_names, numbers_out_of_range, slow_and_silent_clients,
    ten_thousand_connections, early_disconnects_by_the_thousand, control_is_not_for_clients, keys,
    other_computers_need_a_key, keep_alive_and_unload,
    a_load_that_fails_leaves_what_works, a_pin_that_cannot_be_is_told, fail_over_under_load,
    term_lets_answers_finish, stop_ends_it, second_serve_names_the_first, socket_activation,
    settings_are_checked, status_watches_the_gpus, ends_in_order,
]

tap.run((f.__name__.replace("_", " "), f) for f in CASES)
