#!/usr/bin/env python3
"""pretend.py GFXBRIDGE MACHINE [OPTION...]: the server's answers on a computer that is not here.

A computer without a GPU cannot show "proven on ROCm" or a card whose device node may not be
opened. Here `detect`, `plan` and `doctor` are what the real program says of a captured machine;
what no captured machine has (proofs, models, an engine) is made up. Tests of the page that need
none of this run against the real server.

  --proven BACKEND   the first choice of this backend counts as installed and proven
  --key KEY          answers need it
  --port PORT        default: any; the address is printed when it listens

POST /pretend/hold makes answers and jobs stop halfway, POST /pretend/go lets them go on: a test
that wants to see something under way must not depend on how fast the computer is.
"""
import argparse
import datetime
import json
import mimetypes
import os
import re
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
WEB = os.path.join(SOURCE, "src", "api", "page", "web")
BUILT = os.path.join(os.environ["GFXB_BUILD"], "src", "api")  # index.html as the program has it
with open(os.path.join(BUILT, "policy.txt"), encoding="utf-8") as built:
    POLICY = built.read()
TODAY = datetime.date.today().isoformat()
GB = 10 ** 9

MODELS = [
    # name, here, bytes, labels, task, licence, origin, fit
    ("canary", True, 2_000_000, ["chat"], "chat", "MIT", "builtin", None),
    ("Qwen3-4B-Instruct-2507-GGUF", True, 2_497_281_120, ["chat", "tool-calling"], "chat", "Apache-2.0",
     "hub", None),
    ("gemma-3-12b-it-GGUF", True, 8_150_000_000, ["chat", "vision"], "chat", "Gemma", "ollama",
     None),
    ("gpt-oss-20b-GGUF", False, 12_110_000_000, ["chat", "reasoning", "tool-calling"], "chat",
     "Apache-2.0", None, ("gpu", 13.1)),
    ("Qwen3-Coder-30B-A3B-Instruct-GGUF", False, 18_630_000_000, ["chat", "coding", "tool-calling"],
     "chat", "Apache-2.0", None, ("gpu", 20.2)),
    ("Llama-3.3-70B-Instruct-GGUF", False, 42_520_000_000, ["chat", "tool-calling"], "chat", "Llama 3.3",
     None, ("part", 43.0)),
    ("gpt-oss-120b-GGUF", False, 63_390_000_000, ["chat", "reasoning", "tool-calling"], "chat",
     "Apache-2.0", None, ("no", 66.8)),
    ("nomic-embed-text-v1.5-GGUF", False, 146_000_000, ["embeddings"], "embedding", "Apache-2.0",
     None, ("gpu", 0.3)),
]

ANSWER = """## Three lines on ROCm

**ROCm** is AMD's stack for computing on its cards. It needs *three* things that fit together:

1. the `amdgpu` driver, which offers `/dev/kfd`
2. a runtime, such as `libamdhip64.so.7`
3. code for **exactly** this chip

| card | target | memory |
|---|---|---:|
| RX 7900 XTX | gfx1100 | 24 GB |
| RX 7800 XT | gfx1101 | 16 GB |

```sh
gfxbridge plan   # says what is taken, and why
```

More at https://rocm.docs.amd.com. <b>This is no HTML.</b>
"""


class World:
    """What the pretended server knows; methods hold the lock."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.go = threading.Event()  # cleared by /pretend/hold: then all stop halfway
        self.go.set()
        self.loaded = {}
        self.jobs = {}
        self.here = {m[0] for m in MODELS if m[1]}
        self.tokens = 0
        self.log = []
        self.say("info", f"listening on 127.0.0.1, {options.machine}")
        self.detect = self.ask("detect")
        self.plan = self.ask("plan")
        self.doctor = self.ask("doctor")
        self.plan["packages"] = []
        if options.proven:
            self.prove(options.proven)

    def ask(self, command):
        path = os.path.join(SOURCE, "tests", "machines", self.options.machine + ".machine")
        done = subprocess.run([self.options.gfxbridge, command, "--json", "--sysroot", path,
                               "--data-dir", "/nonexistent"], capture_output=True, text=True)
        return json.loads(done.stdout)

    def wait(self, ended):
        """Halfway, until the test lets it go on, or nobody wants the rest."""
        while not self.go.wait(0.1) and not ended():
            pass

    def say(self, level, text):
        self.log.append({"n": len(self.log) + 1, "level": level, "text": text,
                         "time": time.time()})

    def prove(self, backend):
        index, choice = next((i, c) for i, c in enumerate(self.plan["choices"])
                             if c["backend"] == backend and c["state"] != "rejected")
        device = {"rocm": "ROCm0", "vulkan": "Vulkan0"}.get(backend, "CPU")
        choice.update(state="proven", installed=True, code="ok",
                      reason=f"Proven on this computer on {TODAY}, 12841.7 tokens/s measured.")
        choice["evidence"] += [
            {"rung": "E3", "ok": True, "detail": f"the engine listed the device on {TODAY}: {device}"},
            {"rung": "E4", "ok": True, "detail": "the canary's answers matched to the byte on "
             f"{TODAY}, with the weights on {device}"},
            {"rung": "E5", "ok": True, "detail": "12841.7 tokens/s measured"}]
        self.plan["chosen"] = index
        self.plan["packages"] = [{
            "id": choice["package"], "backend": backend, "source": choice["source"],
            "version": "b1234", "digest": "5f" * 32, "gfx": [choice["gfx"] or "-"],
            "bytes": 371_000_000, "pinned": False}]

    def models(self):
        have = max([g["vram_bytes"] or 0 for g in self.detect["gpus"]] or [0]) or 16 << 30
        return {"object": "list", "data": [
            {"id": name, "downloaded": name in self.here, "size": round(size / GB, 2),
             "labels": labels, "task": task, "licence": licence, "origin": origin,
             "ours": origin in (None, "hub", "builtin"),
             "fit": fit and {"ok": fit[0] != "no", "where": fit[0] if fit[0] != "no" else None,
                             "need_bytes": int(fit[1] * 2 ** 30),
                             "have_bytes": have + (31 << 30 if fit[0] == "no" else 0)}}
            for name, _, size, labels, task, licence, origin, fit in MODELS]}

    def health(self):
        return {"status": "ok", "version": "0.1.0", "all_models_loaded": list(self.loaded.values())}

    def load(self, name):
        choice = self.plan["choices"][self.plan["chosen"] or 0]
        gpu = next((g["name"] for g in self.detect["gpus"] if g["pci"] in choice["gpus"]), "CPU")
        self.loaded[name] = {"model_name": name, "status": "ready", "device": "gpu",
                             "backend": choice["backend"], "device_name": gpu, "is_busy": False}
        self.say("info", f"{name}: ready on {choice['backend']}, {gpu}")

    def start_job(self, key, kind, name, total, steps, then):
        with self.lock:
            job = {"id": key, "type": kind, "model_name": name, "status": "downloading",
                   "running": True, "file": "", "file_index": 1, "total_files": 1,
                   "bytes_downloaded": 0, "bytes_total": total, "total_download_size": total,
                   "overall_bytes_downloaded": 0, "percent": 0, "complete": False}
            self.jobs[key] = job
        threading.Thread(target=self.work, args=(job, steps, then), daemon=True).start()
        return job

    def work(self, job, steps, then):
        for step in range(steps):
            time.sleep(0.25)
            if step == steps // 2:
                self.wait(lambda: job["status"] != "downloading")
            with self.lock:
                if job["status"] != "downloading":
                    job["running"] = False
                    return
                share = (step + 1) / steps
                done = int(job["total_download_size"] * share)
                job.update(bytes_downloaded=done, overall_bytes_downloaded=done,
                           percent=int(100 * share))
        with self.lock:
            job.update(status="completed", running=False, complete=True)
            then()


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world = None

    def log_message(self, *words):
        pass

    def give(self, status, body, kind="application/json", headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status, text):
        self.give(status, {"error": {"message": text, "type": "invalid_request_error"}})

    def allowed(self):
        key = self.world.options.key
        if not key or self.headers.get("Authorization") == f"Bearer {key}":
            return True
        self.refuse(401, "Invalid or missing API key")
        return False

    def page(self, path):
        """The files as src/api/page/page.c gives them, under the policy that stands there."""
        name = "index.html" if path == "/" else path[len("/page/"):]
        kind = mimetypes.guess_type(name)[0]
        with open(os.path.join(BUILT if path == "/" else WEB, name), "rb") as f:
            self.give(200, f.read(), kind, [("Content-Security-Policy", POLICY)])

    def do_GET(self):
        path, _, query = self.path.partition("?")
        world = self.world
        if path == "/" or path.startswith("/page/"):
            self.page(path)
            return
        if not self.allowed():
            return
        if path == "/gfxbridge/log":
            after = int(re.search(r"after=(\d+)", query).group(1))
            self.give(200, {"schema": 1, "next": len(world.log), "lines": world.log[after:]})
            return
        with world.lock:
            answer = {
                "/gfxbridge/detect": lambda: world.detect,
                "/gfxbridge/plan": lambda: world.plan,
                "/gfxbridge/backends": lambda: world.plan,
                "/gfxbridge/doctor": lambda: world.doctor,
                "/api/v1/models": world.models,
                "/api/v1/health": world.health,
                "/api/v1/downloads": lambda: list(world.jobs.values()),
                "/api/v1/stats": lambda: {"output_tokens_total": world.tokens},
                "/api/v1/system-stats": lambda: self.system_stats(),
            }.get(path)
            value = answer() if answer else None
        if answer:
            self.give(200, value)
        else:
            self.refuse(404, "not found")

    def system_stats(self):
        wave = abs(time.time() / 7 % 2 - 1)
        busy = bool(self.world.loaded)
        return {"cpu_percent": 6 + 9 * wave, "memory_gb": 9.2 + wave / 2,
                "gpu_percent": 88 - 9 * wave if busy else 2.0, "vram_gb": 5.1 if busy else 0.9,
                "npu_percent": None}

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        if self.path in ("/pretend/hold", "/pretend/go"):
            (self.world.go.clear if self.path.endswith("hold") else self.world.go.set)()
            self.give(200, {})
            return
        if not self.allowed():
            return
        handler = {
            "/v1/chat/completions": self.chat,
            "/api/v1/pull": self.pull,
            "/api/v1/load": self.load,
            "/api/v1/unload": self.unload,
            "/api/v1/delete": self.delete,
            "/api/v1/downloads/control": self.control,
            "/gfxbridge/backends/install": self.install,
            "/gfxbridge/backends/verify": self.install,
            "/gfxbridge/backends/use": self.use,
            "/gfxbridge/backends/remove": self.remove_backend,
        }.get(self.path)
        if handler:
            handler(body)
        else:
            self.refuse(404, "not found")

    def pull(self, body):
        name = body["model_name"]
        row = next((m for m in MODELS if m[0] == name), None)
        if row is None:
            self.refuse(404, f"There is no model called {name}. The nearest is gpt-oss-20b-GGUF.")
            return
        self.give(200, self.world.start_job(f"model:{name}", "model", name, row[2], 24,
                                            lambda: self.world.here.add(name)))

    def install(self, body):
        backend = body["backend"].split(":")[1]
        job = self.world.start_job(f"backend:{body['backend']}", "backend", body["backend"],
                                   371_000_000, 12, lambda: self.world.prove(backend))
        job["step"] = f"proving {backend}" if self.path.endswith("verify") else f"installing {backend}"
        self.give(200, job)

    def use(self, body):
        for package in self.world.plan["packages"]:
            package["pinned"] = body.get("digest") != "none"
        self.give(200, {"schema": 1})

    def remove_backend(self, body):
        self.world.plan["packages"] = []
        self.give(200, {"schema": 1})

    def control(self, body):
        with self.world.lock:
            job = self.world.jobs.get(body["id"])
            if body["action"] == "remove":
                self.world.jobs.pop(body["id"], None)
                job = {"status": "ok"}
            elif job:
                job["status"] = {"pause": "paused", "cancel": "cancelled"}[body["action"]]
        self.give(200, job or {"status": "ok"})

    def load(self, body):
        self.world.load(body["model_name"])
        self.give(200, {"status": "success", "model_name": body["model_name"]})

    def unload(self, body):
        self.world.loaded.pop(body.get("model_name"), None)
        self.give(200, {"status": "success"})

    def delete(self, body):
        self.world.here.discard(body["model_name"])
        self.give(200, {"status": "success"})

    def chat(self, body):
        name = body["model"]
        if name not in self.world.loaded:
            self.world.load(name)
        state = self.world.loaded[name]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("x-gfxbridge-backend", state["backend"])
        self.send_header("x-gfxbridge-device", state["device_name"])
        self.send_header("Connection", "close")
        self.end_headers()
        question = body["messages"][-1]["content"]
        text = ANSWER if "ROCm" in str(question) else "word " * 2000
        pieces = re.findall(r"\s*\S+\s?", text)
        try:
            self.event({"choices": [{"delta": {"role": "assistant", "content": None}}]})
            for index, piece in enumerate(pieces):
                if index == len(pieces) // 2:
                    self.world.wait(lambda: False)
                self.event({"choices": [{"delta": {"content": piece}}]})
                self.world.tokens += 1
                time.sleep(0.01)
            self.event({"choices": [], "usage": {"completion_tokens": len(pieces)},
                        "timings": {"predicted_n": len(pieces), "predicted_per_second": 97.3}})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.world.say("info", f"{name}: the client left")

    def event(self, value):
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gfxbridge")
    parser.add_argument("machine")
    parser.add_argument("--proven")
    parser.add_argument("--key")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    Answers.world = World(options)
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Answers)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # clients that leave
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


main()
