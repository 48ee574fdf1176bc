#!/usr/bin/env python3
"""debian.py PACKAGE_TOOL: engine packages of the distribution's archive, installed for real.

The package room alone (tests/real/package_tool.c), with the archive that this computer's apt is set
up for. Every case is skipped where that is out of reach.
"""
import glob
import hashlib
import http.server
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import processes_of  # noqa: E402
from wait import wait_until  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge debian ")  # with a blank, as users have them
os.chmod(TOP, 0o755)
TOOL = os.path.join(TOP, "package_tool")  # where an ordinary user can start it
TOOLS = "llama.cpp-tools llama.cpp-tools-extra libggml0-backend-rpc"
ROOTS = {"cpu": TOOLS, "vulkan": TOOLS + " libggml0-backend-vulkan"}
DEAD_PROXY = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}


def at(name):
    return os.path.join(TOP, name)


def start(data, *arguments, env=None, prefix=()):
    return subprocess.Popen([*prefix, TOOL, data, *arguments], env={**os.environ, **(env or {})},
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, cwd="/")


def tool(data, *arguments, code=0, **options):
    process = start(data, *arguments, **options)
    out, said = process.communicate(timeout=600)
    if re.search(r"^error: (offline|no-package):", said, re.M) and code == 0:
        raise tap.Skip(said.strip().splitlines()[-1])
    assert process.returncode == code, f"{arguments}: exit code {process.returncode}\n{said}"
    return out, said


def install(data, backend, **options):
    return tool(data, "install", backend + "-id", backend, ROOTS[backend], **options)


def packages(data):
    return [line.split() for line in tool(data, "list")[0].splitlines()]


def check_store(data):
    """Complete packages and the caches that the store says it keeps: nothing else."""
    store = os.path.join(data, "packages")
    for name in os.listdir(store) if os.path.isdir(store) else []:
        path = os.path.join(store, name)
        assert re.fullmatch("[0-9a-f]{64}", name), f"left behind: {path}"
        assert os.path.exists(os.path.join(path, "package.manifest")), f"no manifest: {path}"
    cache = os.path.join(data, "cache")
    assert set(os.listdir(cache) if os.path.isdir(cache) else []) <= {"debian", "debian.lock"}
    assert set(os.listdir(data) if os.path.isdir(data) else []) <= {"packages", "cache"}


def command(data, backend):
    lines = tool(data, "command", backend + "-id")[0].splitlines()
    return lines[0], lines[1:]


def engine(data, backend, *arguments, prefix=()):
    directory, words = command(data, backend)
    done = subprocess.run([*prefix, *words, *arguments], cwd=directory, capture_output=True,
                          text=True, timeout=120, env={"GGML_VK_VISIBLE_DEVICES": "0",
                                                       "PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def check_engine(data, backend):
    assert re.search(r"^version: ", engine(data, backend, "--version"), re.M)


def installs_both():
    install(at("data"), "cpu")
    install(at("data"), "vulkan")
    assert sorted(p[2] for p in packages(at("data"))) == ["cpu", "vulkan"]
    check_store(at("data"))
    check_engine(at("data"), "cpu")
    check_engine(at("data"), "vulkan")


def host_driver_works_in_the_package():
    """The host's older Vulkan driver inside the package's newer libc."""
    if not glob.glob("/usr/share/vulkan/icd.d/lvp_icd*.json"):
        raise tap.Skip("lavapipe is not installed")
    assert "Vulkan0: llvmpipe" in engine(at("data"), "vulkan", "--list-devices")


def host_plugins_are_not_looked_for():
    if not shutil.which("strace"):
        raise tap.Skip("strace is not installed")
    trace = at("trace")
    engine(at("data"), "cpu", "--list-devices",
           prefix=("strace", "-f", "-o", trace, "-e", "trace=openat"))
    with open(trace) as f:
        text = f.read()
    assert "/ggml/" in text, "nothing was traced"
    assert not re.search('"/usr/[^"]*/ggml', text), "the host's plugin directory was searched"


def installed_needs_no_network():
    install(at("data"), "cpu", env=DEAD_PROXY)


def no_network_is_a_sentence():
    if subprocess.run(["apt-config", "shell", "p", "Acquire::http::Proxy"], capture_output=True,
                      text=True).stdout:
        raise tap.Skip("apt's own configuration names a proxy")
    said = install(at("off"), "cpu", env=DEAD_PROXY, code=1)[1]
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and errors[0].startswith("error: offline: "), said
    assert "proxy" in errors[0]
    assert packages(at("off")) == []
    check_store(at("off"))


def unknown_package_is_a_sentence():
    said = tool(at("data"), "install", "x", "cpu", "no-such-package-anywhere", code=1)[1]
    if "error: offline:" in said:
        raise tap.Skip("the archive is out of reach")
    assert "error: package-unavailable: " in said, said
    said = tool(at("data"), "install", "x", "cpu", "--allow-unauthenticated", code=1)[1]
    assert "is not a package name" in said, said


def wrong_gpu_is_refused_before_the_download():
    said = tool(at("data"), "install", "rocm-id", "rocm", TOOLS + " libggml0-backend-hip",
                code=1, env={"TOOL_GFX": "gfx1201"})[1]
    if "error: offline:" in said:
        raise tap.Skip("the archive is out of reach")
    assert "error: gfx-not-in-package: " in said and "gfx1201" in said, said
    assert "fetching" not in said, said


class Mirror(http.server.BaseHTTPRequestHandler):
    """/HOST/PATH is at http://HOST/PATH."""
    seen = []

    def do_GET(self):
        self.seen.append(self.path)
        self.send_response(302)
        self.send_header("Location", "http:/" + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


def mirror_stands_for_every_host():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    said = tool(at("mirrored"), "install", "x", "cpu", "no-such-package", code=1,
                env={"TOOL_MIRROR": base})[1]
    server.shutdown()
    if "error: offline:" in said:
        raise tap.Skip("the archive does not take redirected requests")
    assert "error: package-unavailable: " in said, said
    assert any(re.match(r"/[^/]+\.[^/]+/.*/InRelease$", path) for path in Mirror.seen), Mirror.seen


def cancel_is_obeyed():
    """SIGINT as soon as it says that it reads the index, and that it fetches."""
    for step in ("reading the package index", "fetching "):
        process = start(at("cancelled"), "install", "cpu-id", "cpu", ROOTS["cpu"])
        said = ""
        while step not in said:
            line = process.stderr.readline()
            said += line
            if not line:
                break
        process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=120)[1]
        if "error: offline:" in said:
            raise tap.Skip("the archive is out of reach")
        assert "error: interrupted: " in said, said
        assert packages(at("cancelled")) == []
        check_store(at("cancelled"))


def two_at_once_make_one():
    both = [start(at("two"), "install", "cpu-id", "cpu", ROOTS["cpu"]) for _ in range(2)]
    said = [process.communicate(timeout=600)[1] for process in both]
    if any("error: offline:" in s for s in said):
        raise tap.Skip("the archive is out of reach")
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("waiting" in s for s in said) == 1, said
    assert len(packages(at("two"))) == 1
    check_store(at("two"))
    check_engine(at("two"), "cpu")


def kill_at_any_moment():
    """SIGKILL after each step that the program tells of, and between them."""
    data = at("killed")
    for seconds in (0.2, 0.9, 1.7, 2.4, 3.0, 3.6, 4.2, 4.8, 5.4):
        process = start(data, "install", "cpu-id", "cpu", ROOTS["cpu"])
        time.sleep(seconds)
        process.kill()
        process.communicate()
        wait_until(lambda: not processes_of(data), lambda: f"the end of {processes_of(data)}")
        packages(data)
        check_store(data)
    install(data, "cpu")
    check_store(data)
    check_engine(data, "cpu")


def damaged_download_is_noticed():
    data = at("killed")
    if not packages(data):
        raise tap.Skip("nothing was installed before")
    deb, = glob.glob(data + "/cache/debian/*/archives/libllama0_*.deb")
    with open(deb, "r+b") as f:
        f.seek(100000)
        old = f.read(1)
        f.seek(100000)
        f.write(bytes([old[0] ^ 1]))
    tool(data, "remove", packages(data)[0][0])
    assert packages(data) == []
    install(data, "cpu")
    check_store(data)
    check_engine(data, "cpu")


def on_a_small_disk(options, code):
    """Install on a file system of its own, in a mount namespace of its own."""
    where = at("mount")
    os.makedirs(where, exist_ok=True)
    script = 'mount -t tmpfs -o "$1" none "$2" && "$3" "$2/data" install cpu-id cpu "$4"; ' \
             'code=$?; find "$2/data" -mindepth 2 >&2; exit $code'
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
        raise tap.Skip("no mount namespace can be made here")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", options, where, TOOL,
                           ROOTS["cpu"]], capture_output=True, text=True, timeout=600)
    if "error: offline:" in done.stderr:
        raise tap.Skip("the archive is out of reach")
    assert f"error: {code}: " in done.stderr, done.stderr
    return done.stderr


def full_disk_is_a_sentence():
    said = on_a_small_disk("size=150m", "disk-full")  # the index fits, the package does not
    assert re.search(r"needs [0-9.]+ MB .* MB are free", said), said
    said = on_a_small_disk("size=40m", "disk-full")   # not even the index does
    assert "/cache/debian/" not in said, f"the disk stays full of our cache: {said}"


def noexec_mount_is_a_sentence():
    said = on_a_small_disk("size=150m,noexec", "package-unavailable")
    assert "noexec" in said, said


def ordinary_user_installs():
    if os.getuid() != 0 or not shutil.which("runuser"):
        raise tap.Skip("not root, so every other case ran as an ordinary user")
    nobody = pwd.getpwnam("nobody").pw_uid
    home = at("nobody's home")
    os.mkdir(home)
    os.chown(home, nobody, -1)
    install(home + "/data", "cpu", prefix=("runuser", "-u", "nobody", "--"))
    for directory, names, files in os.walk(home):
        for name in names + files:
            assert os.lstat(os.path.join(directory, name)).st_uid == nobody, name


def system_state():
    """What apt and dpkg know about the system itself."""
    with open("/var/lib/dpkg/status", "rb") as f:
        state = [hashlib.sha256(f.read()).hexdigest()]
    for name in sorted(os.listdir("/var/lib/apt/lists")):
        path = os.path.join("/var/lib/apt/lists", name)
        state.append((name, os.stat(path).st_mtime_ns if os.path.isfile(path) else 0))
    return state


BEFORE = system_state() if os.path.exists("/var/lib/dpkg/status") else None


def system_is_as_it_was():
    if not BEFORE:
        raise tap.Skip("no dpkg here")
    assert system_state() == BEFORE


if __name__ == "__main__":
    shutil.copy(sys.argv[1], TOOL)
    try:
        tap.run([
            ("cpu and vulkan are installed and their engines start", installs_both),
            ("the host's Vulkan driver works in the package", host_driver_works_in_the_package),
            ("the host's ggml plugins are not looked for", host_plugins_are_not_looked_for),
            ("what is installed needs no network", installed_needs_no_network),
            ("no network is one sentence with the code offline", no_network_is_a_sentence),
            ("an unknown package is package-unavailable", unknown_package_is_a_sentence),
            ("a package for other GPUs is refused before it is fetched",
             wrong_gpu_is_refused_before_the_download),
            ("a mirror stands for every host", mirror_stands_for_every_host),
            ("a cancel is obeyed and leaves nothing", cancel_is_obeyed),
            ("two installs at once make one package", two_at_once_make_one),
            ("kill -9 at any moment leaves nothing half-done", kill_at_any_moment),
            ("a damaged download is noticed and fetched again", damaged_download_is_noticed),
            ("a full disk is one sentence and is not left full", full_disk_is_a_sentence),
            ("a noexec mount is one sentence", noexec_mount_is_a_sentence),
            ("an ordinary user installs without any rights", ordinary_user_installs),
            ("the system's apt and dpkg state is as it was", system_is_as_it_was),
        ])
    finally:
        shutil.rmtree(TOP, ignore_errors=True)
