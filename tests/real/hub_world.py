"""A loopback Hugging Face hub and Ollama registry: nginx with TLS, its storage another origin.

What the hub says (JSON, redirects with linked etags, refusals) comes from a small server behind
nginx; what the storage sends (ranges, 206, 416) is nginx's own.
"""
import hashlib
import http.server
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
import urllib.parse

import mirror_world as mw

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GGUF_SCALAR = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


# ---- a split model ----

class Gguf:
    """Just enough of the format to cut a file in parts: keys and tensor entries as raw bytes."""

    def __init__(self, data):
        self.data, self.at = data, 8
        tensors, keys = self.number("<Q"), self.number("<Q")
        self.keys, self.tensors = [], []
        for _ in range(keys):
            start = self.at
            name = self.text()
            self.skip(self.number("<I"))
            self.keys.append((name, data[start:self.at]))
        for _ in range(tensors):
            start = self.at
            self.text()
            dimensions = self.number("<I")
            self.at += 8 * dimensions + 4
            self.tensors.append((data[start:self.at], self.number("<Q")))
        self.start = self.at + -self.at % 32

    def number(self, form):
        value, = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self):
        n = self.number("<Q")
        self.at += n
        return self.data[self.at - n:self.at]

    def skip(self, kind):
        if kind == 8:
            self.text()
        elif kind == 9:
            inner, n = self.number("<I"), self.number("<Q")
            for _ in range(n):
                self.skip(inner)
        else:
            self.at += GGUF_SCALAR[kind]


def key(name, kind, form, value):
    return struct.pack("<Q", len(name)) + name + struct.pack("<I" + form, kind, value)


def split_gguf(data, parts):
    """The files that llama.cpp's splitter makes: all keys in the first, tensors in turn."""
    whole = Gguf(data)
    ends = [offset for _, offset in whole.tensors[1:]] + [len(data) - whole.start]
    per_part = -(-len(whole.tensors) // parts)
    out = []
    for number in range(parts):
        mine = range(number * per_part, min((number + 1) * per_part, len(whole.tensors)))
        keys = [raw for name, raw in whole.keys if number == 0 or name == b"general.architecture"]
        keys += [key(b"split.no", 2, "H", number), key(b"split.count", 2, "H", parts),
                 key(b"split.tensors.count", 5, "i", len(whole.tensors))]
        infos, body = b"", b""
        for i in mine:
            entry, offset = whole.tensors[i]
            infos += entry + struct.pack("<Q", len(body))
            body += data[whole.start + offset:whole.start + ends[i]]
            body += bytes(-len(body) % 32)
        head = b"GGUF" + struct.pack("<IQQ", 3, len(mine), len(keys)) + b"".join(keys) + infos
        out.append(head + bytes(-len(head) % 32) + body)
    return out


# ---- the server behind nginx ----

class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world = None

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        world = self.world
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        with world.lock:
            world.asked.append((path, {k.lower(): v for k, v in self.headers.items()}))
        for pattern, method in ROUTES:
            match = re.fullmatch(pattern, path)
            if match:
                return method(self, query, *match.groups())
        return self.reply(404, b"Not Found")

    def reply(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply_json(self, value, status=200, headers=()):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.reply(status, body, [("Content-Type", "application/json"), *headers])

    def refuse(self, status, code, message):
        self.reply_json({"error": message}, status,
                        [("X-Error-Code", code), ("X-Error-Message", message)])

    # the hub

    def repository(self, name):
        """The repository, or None once it was refused or sent on."""
        world = self.world
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        repo = world.repos.get(name)
        for other in world.repos if repo is None else ():
            if other.lower() == name.lower():  # the hub takes any case
                self.reply(307, headers=[("Location", self.path.replace(name, other))])
                return None
        if token and token not in world.tokens:
            self.refuse(401, "", "Invalid credentials in Authorization header")
            return None
        if repo is None or (repo.get("private") and token not in world.tokens):
            self.refuse(404 if token else 401, "RepoNotFound", "Repository not found")
            return None
        if "moved" in repo:
            self.reply(307, headers=[("Location", self.path.replace(name, repo["moved"]))])
            return None
        if repo.get("limited"):
            self.reply(429, b"slow down", repo["limited"])
            return None
        return repo

    def info(self, query, name):
        repo = self.repository(name)
        if repo is not None:
            self.reply_json({"id": name, "sha": repo["commit"], "private": False, "gated": False})

    def entries(self, name, repo):
        for path, file in sorted(repo["files"].items()):
            entry = {"type": "file", "path": path, "size": file["size"], "oid": file["git"]}
            if file["lfs"]:
                entry["oid"] = "f" * 40
                entry["lfs"] = {"oid": file["sha256"], "size": file["size"], "pointerSize": 135}
                if file.get("xet"):
                    entry["xetHash"] = file["xet"]
            yield entry
        yield from repo.get("extra", [])

    def tree(self, query, name, revision):
        repo = self.repository(name)
        if repo is None:
            return None
        if "answer" in repo:
            return self.reply_json(repo["answer"])
        if revision != repo["commit"]:
            return self.refuse(404, "RevisionNotFound", "Invalid rev id")
        listed = list(self.entries(name, repo))
        size = repo.get("page", 1000)
        start = int(query.get("cursor", "0"))
        headers = []
        if start + size < len(listed):
            base = repo.get("link_base", self.world.hub)
            headers = [("Link", f'<{base}/api/models/{name}/tree/{revision}?recursive=true&cursor='
                                f'{start + size}>; rel="next"')]
        return self.reply_json(listed[start:start + size], headers=headers)

    def resolve(self, query, name, revision, path):
        world = self.world
        repo = self.repository(name)
        if repo is None:
            return None
        file = repo["files"].get(path)
        token = self.headers.get("Authorization")
        if repo.get("gated") and token not in {f"Bearer {t}" for t in world.granted}:
            return self.refuse(403 if token else 401, "GatedRepo",
                               f"Access to model {name} is restricted")
        if file is None:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        common = [("X-Repo-Commit", repo["commit"])]
        if not file["lfs"]:
            return self.reply(200, file["data"], [*common, ("ETag", f'"{file["git"]}"')])
        with world.lock:
            count = world.counts[name + path] = world.counts.get(name + path, 0) + 1
        kind = repo.get("storage", "files")
        if kind == "expiring":
            kind = "expired" if count == 1 else "files"
        headers = [*common, ("ETag", '"another-one"'),
                   ("X-Linked-ETag", f'"{repo.get("linked", file["sha256"])}"'),
                   ("X-Linked-Size", str(file["size"])), ("X-Xet-Hash", "0" * 64),
                   ("Location", f'{world.storage}/{kind}/{file["sha256"]}?sig={count}')]
        return self.reply(302, headers=headers)

    # the registry

    def manifest(self, query, name, tag):
        model = self.world.models.get(f"{name}:{tag}")
        wanted = "application/vnd.docker.distribution.manifest.v2+json"
        if model is None:
            return self.reply_json({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, 404)
        if model == "private":
            return self.reply_json({}, 401, [("WWW-Authenticate", 'Bearer realm="x",service="y"')])
        if isinstance(model, tuple):
            return self.reply(*model)
        if self.headers.get("Accept") != wanted:
            return self.reply(406)
        return self.reply(200, model, [("Content-Type", wanted)])

    def blob(self, query, name, digest):
        return self.reply(307, headers=[("Location", f"{self.world.storage}/files/{digest}?sig=1")])


ROUTES = [
    (r"/api/models/([^/]+/[^/]+)", Backend.info),
    (r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", Backend.tree),
    (r"/v2/(.+)/manifests/([^/]+)", Backend.manifest),
    (r"/v2/(.+)/blobs/sha256:([0-9a-f]{64})", Backend.blob),
    (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", Backend.resolve),
]


# ---- the whole world ----

class World:
    """hub and registry: https://localhost:PORT; storage: https://127.0.0.1:PORT."""

    def __init__(self, top):
        self.top = top
        self.lock = threading.Lock()
        self.asked = []    # (path, headers) of the server behind nginx
        self.counts = {}
        self.repos = {}    # "org/name" -> {"commit", "files": {path: file}, ...}
        self.models = {}   # "library/name:tag" -> bytes of the manifest
        self.tokens = set()
        self.granted = set()
        self.files = os.path.join(top, "storage", "files")
        os.makedirs(self.files)
        os.makedirs(os.path.join(top, "nginx"))
        os.chmod(top, 0o755)  # nginx serves as another user
        self.hub_port, self.storage_port, self.backend_port = (mw.free_port() for _ in range(3))
        self.hub = self.registry = f"https://localhost:{self.hub_port}"
        self.storage = f"https://127.0.0.1:{self.storage_port}"
        self.ca = os.path.join(top, "ca.pem")
        self.log = os.path.join(top, "nginx", "access.log")
        self.nginx = None
        self.markers = 0
        self.rate = ""

    def configuration(self):
        return f"""
daemon off; worker_processes 1; pid {self.top}/nginx/pid; error_log {self.top}/nginx/error.log;
events {{ worker_connections 256; }}
http {{
  client_body_temp_path {self.top}/nginx/a; proxy_temp_path {self.top}/nginx/b;
  fastcgi_temp_path {self.top}/nginx/c; uwsgi_temp_path {self.top}/nginx/d;
  scgi_temp_path {self.top}/nginx/e;
  log_format all '$server_port $request_method $request_uri $status $body_bytes_sent "$http_range" "$http_authorization"';
  access_log {self.log} all;
  sendfile on; types {{ }} default_type application/octet-stream;
  ssl_certificate {self.top}/server.pem; ssl_certificate_key {self.top}/server.key;
  proxy_buffering off; proxy_http_version 1.1; proxy_set_header Host $http_host;
  server {{
    listen 127.0.0.1:{self.hub_port} ssl;
    location / {{ proxy_pass http://127.0.0.1:{self.backend_port}; }}
  }}
  server {{
    listen 127.0.0.1:{self.storage_port} ssl sndbuf=128k;
    root {self.top}/storage;
    location /files/ {{ {self.rate} }}
    location /expired/ {{ return 403; }}
    location /no-ranges/ {{ alias {self.files}/; max_ranges 0; }}
    location /out-of-range/ {{
      alias {self.files}/;
      if ($http_range) {{ return 416; }}
    }}
  }}
}}
"""

    def start(self):
        mw.World.make_certificates(self)
        Backend.world = self
        self.backend = http.server.ThreadingHTTPServer(("127.0.0.1", self.backend_port), Backend)
        self.backend.daemon_threads = True
        threading.Thread(target=self.backend.serve_forever, daemon=True).start()
        self.start_nginx()

    def start_nginx(self):
        path = os.path.join(self.top, "nginx", "conf")
        with open(path, "w") as f:
            f.write(self.configuration())
        self.nginx = subprocess.Popen([mw.NGINX, "-c", path, "-p", self.top, "-e",
                                       f"{self.top}/nginx/error.log"],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.storage_port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("nginx does not start")

    def set_rate(self, rate):
        """Limit storage's bytes a second ("4m"), or "" for none."""
        self.rate = f"limit_rate {rate};" if rate else ""
        self.stop_nginx()
        self.start_nginx()

    def stop_nginx(self):
        if self.nginx:
            self.nginx.terminate()
            self.nginx.wait(10)
            self.nginx = None

    def stop(self):
        self.stop_nginx()
        self.backend.shutdown()

    # what is published

    def store(self, data):
        """Into the storage, under its digest."""
        digest = sha256(data)
        with open(os.path.join(self.files, digest), "wb") as f:
            f.write(data)
        return digest

    def store_file(self, path):
        digest = mw.sha256(path)
        os.link(path, os.path.join(self.files, digest))
        return digest

    def file(self, data, lfs=True, **more):
        file = {"size": len(data), "lfs": lfs, "git": git_sha1(data), "sha256": sha256(data),
                "data": None if lfs else data, **more}
        if lfs:
            self.store(data)
        return file

    def publish(self, name, files, commit=COMMIT, **more):
        """A repository; files: {path: bytes} for LFS files, or what file() gives."""
        self.repos[name] = {"commit": commit, **more, "files": {
            path: self.file(f) if isinstance(f, bytes) else f for path, f in files.items()}}

    def publish_model(self, name, layers, config=b'{"model_format": "gguf"}'):
        """In the registry; layers: [(kind, bytes)]."""
        def layer(kind, data):
            media = "application/vnd.docker.container.image.v1+json" if kind == "config" else \
                f"application/vnd.ollama.image.{kind}"
            return {"mediaType": media, "digest": "sha256:" + self.store(data), "size": len(data)}
        manifest = {"schemaVersion": 2,
                    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                    "config": layer("config", config),
                    "layers": [layer(kind, data) for kind, data in layers]}
        self.models[name] = json.dumps(manifest).encode()

    def requests(self):
        """Of nginx so far: (port, method, uri, status, bytes, range, authorization)."""
        return mw.World.requests(self)
