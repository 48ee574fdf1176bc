"""A loopback GitHub: archives in the layouts of the real releases, served by nginx with TLS.

Engines are real ELF programs and libraries, made here by the C compiler: small, but linked to each
other, to ROCm's sonames and to kernel files as the real ones are. Storage is another origin than
GitHub, as in reality; what must go wrong goes wrong in a small HTTP server behind nginx.
"""
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import tarfile
import threading
import time
import zipfile

from wait import wait_until

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
RUNTIME_LIBRARIES = ["libamdhip64.so.7", "librocblas.so.5", "libhipblas.so.3"]


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


# ---- engines ----

def compile_to(path, source, *options):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    subprocess.run(["cc", "-x", "c", "-", "-o", path, "-O1", *options], input=source, text=True,
                   check=True, capture_output=True)


def library(directory, name, needs=(), extra=()):
    """libNAME: a shared library with that soname that needs the others of the directory."""
    links = [f"-L{directory}", "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined"]
    links += [f"-l:{n}" for n in needs]
    symbol = re.sub(r"\W", "_", name)
    compile_to(os.path.join(directory, name), f"int {symbol}(void) {{ return 1; }}\n", "-shared",
               "-fPIC", f"-Wl,-soname,{name}", "-Wl,-rpath,$ORIGIN", *links, *extra)


def code_object(target):
    """The least that is an AMDGPU ELF header; enough for lists of targets."""
    head = b"\x7fELF\x02\x01\x01\x40\x02" + bytes(7) + struct.pack("<HHIQQQIHHHHHH", 3, 224, 1, 0, 0,
                                                                    0, 0, 64, 0, 0, 0, 0, 0)
    return head + target.encode()


def hip_fatbin(targets):
    """A plain code-object bundle as clang-offload-bundler lays it out."""
    parts = [("host-x86_64-unknown-linux-gnu-", b"")]
    parts += [(f"hipv4-amdgcn-amd-amdhsa--{t}", code_object(t)) for t in targets]
    head = b"__CLANG_OFFLOAD_BUNDLE__" + struct.pack("<Q", len(parts))
    offset = 4096
    body = b""
    for name, code in parts:
        head += struct.pack("<QQQ", offset + len(body), len(code), len(name)) + name.encode()
        body += code + bytes(-len(code) % 4096)
    return head + bytes(offset - len(head)) + body


def runtime(lib, targets, hip="libamdhip64.so.7"):
    """ROCm's libraries and rocBLAS' kernel files for these targets."""
    library(lib, hip)
    library(lib, "librocblas.so.5", [hip])
    library(lib, "libhipblas.so.3", ["librocblas.so.5"])
    kernels = os.path.join(lib, "rocblas", "library")
    os.makedirs(kernels)
    for target in targets:
        for name in (f"TensileLibrary_lazy_{target}.dat", f"Kernels.so-000-{target}.hsaco"):
            with open(os.path.join(kernels, name), "wb") as f:
                f.write(code_object(target))


def engine(directory, backend="cpu", targets=(), payload=0, plugins=True):
    """llama-server and its libraries. plugins: backends are loaded by name, not linked."""
    library(directory, "libggml-base.so.0")
    needs = ["libggml-base.so.0"]
    if backend == "rocm":
        blob = os.path.join(directory, "fatbin")
        with open(blob, "wb") as f:
            f.write(hip_fatbin(targets))
        stubs = os.path.join(directory, "stubs")  # to link with; what runs comes from elsewhere
        runtime_missing = not os.path.exists(os.path.join(directory, RUNTIME_LIBRARIES[0]))
        if runtime_missing:
            runtime(stubs, [])
        library(directory, "libggml-hip.so", ["libggml-base.so.0"],
                [f"-L{stubs}", *[f"-l:{n}" for n in RUNTIME_LIBRARIES],
                 f"-Wl,-rpath-link,{stubs}"])
        subprocess.run(["objcopy", "--add-section", f".hip_fatbin={blob}",
                        os.path.join(directory, "libggml-hip.so")], check=True)
        os.remove(blob)
        shutil.rmtree(stubs, ignore_errors=True)
        if not plugins:
            needs.append("libggml-hip.so")
    if backend == "vulkan":
        library(directory, "libggml-vulkan.so", ["libggml-base.so.0"])
    library(directory, "libggml-cpu-x64.so", ["libggml-base.so.0"])
    library(directory, "libggml.so.0", needs)
    library(directory, "libllama.so.0", ["libggml.so.0"])
    compile_to(os.path.join(directory, "llama-server"), "int main(void) { return 0; }\n",
               f"-L{directory}", "-Wl,--no-as-needed", "-l:libllama.so.0", "-Wl,-rpath,$ORIGIN",
               "-Wl,--allow-shlib-undefined")
    os.symlink("libllama.so.0", os.path.join(directory, "libllama.so"))
    with open(os.path.join(directory, "LICENSE"), "w") as f:
        f.write("as the release has it\n")
    if payload:
        with open(os.path.join(directory, "libpayload.bin"), "wb") as f:
            f.write(os.urandom(payload))


def tar_gz(path, directory, top):
    """As ggml-org and lemonade-sdk/llama.cpp: one top directory; TheRock: "./" and none."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.add(directory, arcname=top)


def zip_flat(path, directory):
    """As lemonade-sdk/llamacpp-rocm: flat, no modes, sonames as full copies."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for where, _, names in os.walk(directory):
            for name in names:
                full = os.path.join(where, name)
                entry = zipfile.ZipInfo(os.path.relpath(full, directory))
                entry.compress_type = zipfile.ZIP_DEFLATED
                with open(full, "rb") as f:
                    archive.writestr(entry, f.read())


# ---- the faulty server ----

class Faulty(http.server.BaseHTTPRequestHandler):
    """Behind nginx: /faulty/FAULT/... and what goes with it. world is set on the class."""
    protocol_version = "HTTP/1.1"
    world = None

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        world = self.world
        with world.lock:
            world.faulty_requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            count = world.counts[self.path.split("?")[0]] = \
                world.counts.get(self.path.split("?")[0], 0) + 1
        match = re.match(r"/(faulty|api/repos/faulty)/([a-z0-9-]+)/", self.path)
        kind = match.group(2) if match else self.path.split("/")[1]
        method = getattr(self, "fault_" + kind.replace("-", "_"), None)
        if not method:
            return self.reply(500)
        if match and match.group(1).startswith("api"):
            kind = "api"
        return method(count)

    def reply(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def archive(self):
        with open(self.world.faulty_archive, "rb") as f:
            return f.read()

    def send_file(self, most=None, etag='"good"', pause=0, ranges=True):
        """The archive from where it is asked for; only `most` bytes of it are really sent."""
        body = self.archive()
        start = 0
        asked = self.headers.get("Range")
        if asked and ranges and self.headers.get("If-Range", etag) == etag:
            start = int(re.match(r"bytes=(\d+)-", asked).group(1))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        part = body[start:] if most is None else body[start:start + most]
        self.wfile.write(part)
        self.wfile.flush()
        with self.world.lock:
            self.world.faulty_bytes += len(part)
        time.sleep(pause)

    def half(self):
        return os.path.getsize(self.world.faulty_archive) // 2

    def fault_gone(self, count):
        self.reply(404, b"Not Found")

    def fault_errors(self, count):
        if count <= 2:
            return self.reply(500 if count == 1 else 502, b"oops")
        return self.send_file()

    def fault_always500(self, count):
        self.reply(503, b"oops")

    def fault_cut(self, count):
        self.send_file(most=self.half() if count == 1 else None)

    def fault_cuts(self, count):
        self.send_file(most=1200000)

    def fault_stall(self, count):
        self.send_file(most=self.half() if count == 1 else None, pause=4 if count == 1 else 0)

    def fault_longer(self, count):
        self.reply(200, self.archive() + b"more")

    def fault_shorter(self, count):
        self.reply(200, self.archive()[:-1000])

    def fault_other(self, count):
        body = bytearray(self.archive())
        body[len(body) // 2] ^= 1
        self.reply(200, bytes(body))

    def fault_html(self, count):
        self.reply(200, b"<!DOCTYPE html><html><title>Please sign in</title></html>",
                   [("Content-Type", "text/html; charset=utf-8")])

    def fault_loop(self, count):
        self.reply(302, headers=[("Location", self.path.split("?")[0] + f"?{count}")])

    def fault_downgrade(self, count):
        self.reply(302, headers=[("Location", f"http://127.0.0.1:{self.world.plain_port}/x")])

    def fault_truncated(self, count):
        self.reply(200, self.archive()[:self.half()])

    def fault_expiring(self, count):
        self.reply(302, headers=[("Location", f"{self.world.storage}/signed/{count}")])

    def fault_signed(self, count):
        """Link 1 breaks half way, link 2 has expired, link 3 works."""
        link = int(self.path.split("/")[2])
        if link == 2:
            return self.reply(403, b"<Error><Code>AuthenticationFailed</Code></Error>")
        return self.send_file(most=self.half() if link == 1 else None)

    def fault_limited(self, count):
        self.reply(403, b'{"message": "API rate limit exceeded"}',
                   [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", str(int(time.time()) + 1800))])

    def fault_badtoken(self, count):
        if not self.path.startswith("/api/"):
            return self.send_file()
        if self.headers.get("Authorization"):
            return self.reply(401, b'{"message": "Bad credentials"}')
        asset = self.world.api_asset(self.world.faulty_archive, "x.tar.gz")
        return self.reply(200, json.dumps({"assets": [asset]}).encode())

    def fault_nodigest(self, count):
        asset = self.world.api_asset(self.world.faulty_archive, "x.tar.gz")
        asset["digest"] = None
        self.reply(200, json.dumps({"assets": [asset]}).encode())

    def fault_notlisted(self, count):
        asset = self.world.api_asset(self.world.faulty_archive, "y.tar.gz")
        self.reply(200, json.dumps({"assets": [asset]}).encode())

    def fault_nonsense(self, count):
        self.reply(200, b'{"assets": [[[[{')


# ---- the whole world ----

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class World:
    """GitHub (with its API), its storage, TheRock's index and a mirror, on loopback."""

    def __init__(self, top):
        self.top = top
        self.lock = threading.Lock()
        self.counts = {}
        self.faulty_requests = []
        self.faulty_bytes = 0
        self.faulty_archive = None
        self.files = os.path.join(top, "files")       # of GitHub's storage: O/R/TAG/NAME
        self.therock_files = os.path.join(top, "therock")
        self.mirror_files = os.path.join(top, "mirror")
        self.api_files = os.path.join(top, "api")
        for directory in (self.files, self.therock_files, self.mirror_files, self.api_files,
                          os.path.join(top, "nginx")):
            os.makedirs(directory)
        os.chmod(top, 0o755)  # nginx serves as another user
        ports = [free_port() for _ in range(4)]
        self.github_port, self.storage_port, self.plain_port, self.faulty_port = ports
        self.github = f"https://localhost:{self.github_port}"
        self.storage = f"https://127.0.0.1:{self.storage_port}"
        self.api = self.github + "/api"
        self.therock = self.github + "/therock"
        self.mirror = self.github + "/mirror"
        self.ca = os.path.join(top, "ca.pem")
        self.log = os.path.join(top, "nginx", "access.log")
        self.nginx = None
        self.markers = 0
        self.rate = ""

    # certificates

    def make_certificates(self):
        def run(*words):
            subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.top)
        run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
            "-days", "2", "-subj", "/CN=test authority")
        run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr",
            "-subj", "/CN=localhost")
        with open(os.path.join(self.top, "names"), "w") as f:
            f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "2", "-out", "server.pem", "-extfile", "names")

    # servers

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
  proxy_buffering off; proxy_http_version 1.1; proxy_read_timeout 10s;
  proxy_set_header Host $http_host;
  server {{
    listen 127.0.0.1:{self.github_port} ssl;
    location ~ ^/faulty/ {{ proxy_pass http://127.0.0.1:{self.faulty_port}; }}
    location ~ ^/api/repos/faulty/ {{ proxy_pass http://127.0.0.1:{self.faulty_port}; }}
    location ~ ^/api/ {{ root {self.top}; }}
    location ~ ^/therock/ {{ root {self.top}; }}
    location ~ ^/mirror/ {{ root {self.top}; }}
    location ~ ^/([^/]+)/([^/]+)/releases/download/([^/]+)/(.+)$ {{
      if (!-f {self.files}/$1/$2/$3/$4) {{ return 404; }}
      return 302 {self.storage}/$1/$2/$3/$4?sig=secret;
    }}
    location / {{ return 404; }}
  }}
  server {{
    listen 127.0.0.1:{self.storage_port} ssl;
    location ~ ^/signed/ {{ proxy_pass http://127.0.0.1:{self.faulty_port}; }}
    location / {{ root {self.files}; {self.rate} }}
  }}
}}
"""

    def start(self):
        self.make_certificates()
        Faulty.world = self
        self.faulty = http.server.ThreadingHTTPServer(("127.0.0.1", self.faulty_port), Faulty)
        self.faulty.daemon_threads = True
        threading.Thread(target=self.faulty.serve_forever, daemon=True).start()
        self.start_nginx()

    def start_nginx(self):
        path = os.path.join(self.top, "nginx", "conf")
        with open(path, "w") as f:
            f.write(self.configuration())
        self.nginx = subprocess.Popen([NGINX, "-c", path, "-p", self.top, "-e",
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
        self.faulty.shutdown()

    # what is published

    def api_asset(self, path, name):
        return {"name": name, "state": "uploaded", "size": os.path.getsize(path),
                "digest": "sha256:" + sha256(path), "content_type": "application/octet-stream"}

    def publish(self, url, path):
        """Put a file where its GitHub URL says, and into the release's JSON."""
        owner, repository, _, _, tag, name = url.split("/")[3:9]
        place = os.path.join(self.files, owner, repository, tag)
        os.makedirs(place, exist_ok=True)
        shutil.copy(path, os.path.join(place, name))
        release = os.path.join(self.api_files, "repos", owner, repository, "releases", "tags", tag)
        os.makedirs(os.path.dirname(release), exist_ok=True)
        listed = {"tag_name": tag, "assets": []}
        if os.path.exists(release):
            with open(release) as f:
                listed = json.load(f)
        listed["assets"] = [a for a in listed["assets"] if a["name"] != name]
        listed["assets"].append(self.api_asset(path, name))
        with open(release, "w") as f:
            json.dump(listed, f)

    def requests(self):
        """Of nginx so far: (port, method, uri, status, bytes, range, authorization)."""
        # nginx writes a line once the answer is out, one after the other: when the line of a request
        # of our own is there, all before it are.
        self.markers += 1
        marker = f"/marker-{self.markers}"
        connection = http.client.HTTPSConnection("127.0.0.1", self.storage_port, timeout=60,
                                                 context=ssl._create_unverified_context())
        connection.request("GET", marker)
        connection.getresponse().read()
        connection.close()

        def lines():
            with open(self.log) as f:
                return f.read().splitlines()

        wait_until(lambda: any(marker + " " in line for line in lines()), "nginx's log")
        return [re.match(r'(\d+) (\S+) (\S+) (\d+) (\d+) "(.*?)" "(.*?)"$', line).groups()
                for line in lines() if "/marker-" not in line]
