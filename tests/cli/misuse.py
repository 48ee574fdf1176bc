#!/usr/bin/env python3
"""misuse.py GFXBRIDGE: odd calls and odd surroundings end with one sentence, and harm nothing."""
import contextlib
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, answer, call, machine  # noqa: E402
from server import Server  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge misuse ")
GPU_MACHINE = machine("rx7900xtx-raphael")


def place(*parts):
    return os.path.join(TOP, *parts)


def write(path, content=b""):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content)
    return path


def sentence(done):
    """The only line on stderr."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("gfxbridge: "), (done.args, done.stderr)
    return lines[0]


def tree(top):
    return sorted(os.path.relpath(os.path.join(folder, name), top)
                  for folder, folders, files in os.walk(top) for name in folders + files)


def without(*names):
    return {k: v for k, v in os.environ.items() if k not in names}


@contextlib.contextmanager
def locked(path):
    with open(path, "wb") as f:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


# ---- capture ----

def capture_keeps_what_is_no_file():
    text = call("capture", "--sysroot", GPU_MACHINE).stdout
    assert call("capture", "-", "--sysroot", GPU_MACHINE).stdout == text
    assert not os.path.exists("-")
    fifo = place("fifo")
    os.mkfifo(fifo)
    reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE, text=True)
    call("capture", fifo, "--sysroot", GPU_MACHINE, timeout=20)
    assert reader.communicate(timeout=20)[0] == text
    assert stat.S_ISFIFO(os.stat(fifo).st_mode)
    call("capture", "/dev/null", "--sysroot", GPU_MACHINE)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert "/dev/full" in sentence(call("capture", "/dev/full", "--sysroot", GPU_MACHINE, code=1))
    assert TOP in sentence(call("capture", TOP, "--sysroot", GPU_MACHINE, code=1))


def capture_follows_links():
    text = call("capture", "--sysroot", GPU_MACHINE).stdout
    target = write(place("links", "target"), b"old")
    os.chmod(target, 0o600)
    os.symlink("target", place("links", "link"))
    os.symlink("made later", place("links", "dangling"))
    for name, becomes in (("link", "target"), ("dangling", "made later"), ("new", "new")):
        call("capture", place("links", name), "--sysroot", GPU_MACHINE)
        assert os.path.islink(place("links", name)) == (name != "new"), name
        with open(place("links", becomes), encoding="utf-8") as f:
            assert f.read() == text, name
    assert stat.S_IMODE(os.stat(target).st_mode) == 0o600


# ---- storage ----

def prune_takes_ours_alone():
    data = place("storage")
    foreign = ["cache/notes/mine", "cache/driver-old", "photos/one", "letter"]
    for name in foreign + ["cache/driver/mesa/x", "cache/debian/deb", "cache/github/part",
                           "cache/debian.lock", "proofs/p", "canary/c"]:
        write(os.path.join(data, name), b"x")
    value = answer("storage", "--data-dir", data)
    named = {os.path.relpath(i["name"], data) for i in value["items"] if i["kind"] == "foreign"}
    assert named == {"cache/notes", "cache/driver-old", "photos", "letter"}, named
    assert "all of it" not in call("storage", "--data-dir", data).stdout
    with locked(os.path.join(data, "cache/github.lock")):
        done = call("storage", "prune", "--data-dir", data)
        assert done.stderr.count("cache/github stays") == 1, done.stderr
    left = tree(data)
    assert "cache/github/part" in left, left
    assert not any(n.startswith(("cache/driver/", "cache/debian")) for n in left), left
    call("storage", "prune", "--data-dir", data)
    left = tree(data)
    assert not any(n.startswith("cache/github") for n in left), left
    assert set(left) >= set(foreign) | {"proofs/p", "canary/c"}, left


def prune_takes_uploads_that_nothing_has():
    data = place("uploads")
    store = os.path.join(data, "models", "ollama")
    old, new, used = (f"blobs/sha256-{digit * 64}" for digit in "abc")
    for name in (old, new, used, "blobs/notes"):
        write(os.path.join(store, name), b"x" * 5000)
    for name in (old, used, "blobs/notes"):
        os.utime(os.path.join(store, name), (1, 1))
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + "c" * 64, "size": 5000}
    write(os.path.join(store, "manifests/registry.ollama.ai/library/m/latest"),
          json.dumps({"schemaVersion": 2, "config": layer, "layers": [layer]}).encode())
    items = [i for i in answer("storage", "--data-dir", data)["items"] if i["kind"] == "uploads"]
    assert len(items) == 1 and items[0]["bytes"] >= 5000 and not items[0]["in_use"], items
    assert "removing" in call("storage", "prune", "--data-dir", data).stderr
    left = tree(data)
    assert {"models/ollama/" + n for n in (new, used, "blobs/notes")} <= set(left), left
    assert "models/ollama/" + old not in left, left
    assert not [i for i in answer("storage", "--data-dir", data)["items"] if i["kind"] == "uploads"]


def prune_does_not_follow_links():
    write(place("elsewhere", "precious"), b"x")
    os.makedirs(place("linked", "cache"))
    os.symlink(place("elsewhere"), place("linked", "cache", "debian"))
    call("storage", "prune", "--data-dir", place("linked"))
    assert os.path.exists(place("elsewhere", "precious"))
    assert not os.path.lexists(place("linked", "cache", "debian"))


# ---- doctor ----

def codes(value):
    return {f["code"]: f for f in value["findings"]}


def doctor_sees_bad_places():
    file = write(place("a file"))
    os.symlink("nowhere", place("a link"))
    for data in (file, os.path.join(file, "below", "it"), place("a link"), place("a link", "below")):
        found = codes(answer("doctor", "--data-dir", data, code=1))
        assert found["data-dir-unwritable"]["severity"] == "block", (data, found)
    found = codes(answer("doctor", "--data-dir", place("not yet", "there"), code=(0, 1)))
    assert not {c for c in found if c.startswith(("data-dir", "runtime-dir"))}, found
    assert not os.path.exists(place("not yet"))
    runtime = place("session")
    os.makedirs(runtime, mode=0o700)
    write(os.path.join(runtime, "gfxbridge"))
    found = codes(answer("doctor", env={"XDG_RUNTIME_DIR": runtime}, code=1))
    assert "runtime-dir-unwritable" in found, found


def doctor_sees_noexec():
    os.makedirs(place("noexec"))
    script = 'mount -t tmpfs -o noexec,size=1m none "$1" && exec "$0" doctor --json --data-dir "$1/d"'
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, PROGRAM, place("noexec")],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    if "unshare" in done.stderr or "mount" in done.stderr:
        raise tap.Skip("no mount namespaces here")
    assert done.returncode == 1 and "data-dir-noexec" in done.stdout, (done.stdout, done.stderr)


def doctor_as_a_stranger():
    if os.geteuid() != 0:
        raise tap.Skip("needs root, to become somebody without a home")
    done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                           PROGRAM, "doctor"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "HOME": "/nonexistent"}, stdin=subprocess.DEVNULL)
    if done.returncode > 125:
        raise tap.Skip("the program is where others cannot reach it")
    assert done.returncode == 1 and "Nothing stands" not in done.stdout, done.stdout
    assert "data-dir-unwritable" in done.stdout, done.stdout


def doctor_without_gpu_installs_no_lavapipe():
    with open(machine("no-gpu-vm"), encoding="utf-8") as f:
        text = f.read()
    library = "/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so"
    text = text.replace("absent /usr/lib/x86_64-linux-gnu/libvulkan.so.1",
                        f"file /usr/lib/x86_64-linux-gnu/libvulkan.so.1\nfile {library}")
    text += ("file /usr/share/vulkan/icd.d/lvp_icd.x86_64.json "
             f'{{"ICD": {{"library_path": "{library}"}}}}\n')
    path = write(place("lavapipe.machine"), text.encode())
    found = codes(answer("doctor", "--sysroot", path))["vulkan-software-only"]
    assert not found["remedy"] and found["severity"] == "info", found
    found = codes(answer("doctor", "--sysroot", machine("lavapipe-only"), code=1))
    assert "mesa" in found["vulkan-software-only"]["remedy"], found


def doctor_recognises():
    known = "error while loading shared libraries: libvulkan.so.1: cannot open shared object file"
    value = answer("doctor", known, code=1)
    assert value["recognised"] is True and value["findings"], value
    value = answer("doctor", "the cat sat on the mat")
    assert value["recognised"] is False and value["findings"] == [], value
    done = subprocess.run([PROGRAM, "doctor", "-"], input=known, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 1 and "vulkan-loader-missing" in done.stdout, done
    assert "recognised" not in answer("doctor", code=(0, 1))
    # The exit code of a Windows program: a number, no option.
    value = answer("doctor", "-1073740791", "--quiet", code=1)
    assert [f["code"] for f in value["findings"]] == ["engine-crash"], value
    assert "no such option: -x" in call("doctor", "-x", code=2).stderr


def doctor_looks_at_tables():
    config = place("config", "gfxbridge")
    os.makedirs(config)
    env = {"XDG_CONFIG_HOME": place("config")}
    os.symlink("gone", os.path.join(config, "cards.tsv"))
    write(os.path.join(config, "card.tsv"))
    write(os.path.join(config, "README"))
    found = answer("doctor", env=env, code=1)["findings"]
    about = {os.path.basename(f["what"]): f["code"] for f in found if f["code"].startswith("table")}
    assert about == {"cards.tsv": "table-dangling", "card.tsv": "table-unknown"}, about
    write(os.path.join(config, "quirks.tsv"), b"nonsense\n")
    sentence(call("detect", env=env, code=1))
    found = codes(answer("doctor", env=env, code=1))
    assert "quirks.tsv:1" in found["table-broken"]["why"], found
    assert "no-gpu" in found or len(found) > 3, "the rest was not examined"


# ---- options and surroundings ----

def home_unset():
    for words in (("detect",), ("explain", "gfx1100"), ("inspect", PROGRAM), ("table", "check")):
        done = subprocess.run([PROGRAM, *words], env=without("HOME"), capture_output=True,
                              text=True, timeout=120, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, (words, done.stderr)


def empty_data_dir():
    for command in ("plan", "storage", "doctor"):
        assert "--data-dir" in sentence(call(command, "--data-dir", "", code=2))


def gpu_that_is_not_there():
    for address in ("0000:99:00.0", "nonsense", ""):
        assert "gfxbridge detect" in sentence(
            call("plan", "--sysroot", GPU_MACHINE, "--gpu", address, code=2))
    call("plan", "--gpu", "0000:99:00.0", code=2)


def model_that_is_missing():
    assert "missing.gguf" in sentence(call("run", "missing.gguf", "hi", code=1))
    assert "none.gguf" in sentence(call("run", place("none.gguf"), "hi", code=1))
    assert "Qwen3-0.6B-GGUF" in sentence(call("run", "qwen3-0.6b", "hi", code=1))
    data = ("--data-dir", place("no-models"))
    for command in ("show", "rm"):
        said = sentence(call(command, "nosuch", *data, code=1))
        assert "no such model: nosuch" in said and "list --available" in said, said
        assert "pull nosuch" not in said, said
        assert "Qwen3-4B-GGUF" in sentence(call(command, "qwn3-4b-gguf", *data, code=1))
        for name in ("org/repo", "qwen3:8b"):
            assert f"pull {name} brings it" in sentence(call(command, name, *data, code=1))


def nothing_to_prefer():
    data = ("--data-dir", place("no-packages"))
    said = sentence(call("backends", "use", "llamacpp:rocm", *data, code=1))
    assert "no package of llamacpp:rocm is installed" in said, said
    done = call("backends", "use", "llamacpp:rocm", "none", *data)
    assert "no package of llamacpp:rocm is preferred" in done.stdout, done.stdout


def nul_in_prompt():
    done = subprocess.run([PROGRAM, "run", "--no-network", "--data-dir", place("nul")],
                          input=b"what is\0this", capture_output=True, timeout=60)
    assert done.returncode == 2 and b"NUL" in done.stderr, (done.returncode, done.stderr)


def stale_runtime_dir():
    for runtime in (place("gone", "session"), "relative", "", write(place("no directory"))):
        env = {"XDG_RUNTIME_DIR": runtime}
        call("detect", env=env)
        call("doctor", env=env, code=(0, 1))
        sentence(call("run", "--no-network", "--data-dir", place("stale"), "hi", env=env, code=3))


def interrupted_while_reading():
    for number in (signal.SIGINT, signal.SIGTERM):
        child = subprocess.Popen([PROGRAM, "run", "--no-network", "--data-dir", place("int")],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        try:
            wait_for_read(child.pid)
            child.send_signal(number)
            child.wait(timeout=20)
        finally:
            child.kill()
        text = child.stderr.read()
        assert child.returncode == 130 and "interrupted" in text, (child.returncode, text)
        for pipe in (child.stdin, child.stdout, child.stderr):
            pipe.close()


def wait_for_read(pid):
    """Until the process sleeps in its read of stdin: before, nobody catches the signal."""
    for _ in range(400):
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            state = f.read().rsplit(")", 1)[1].split()[0]
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
            caught = next(line for line in f if line.startswith("SigCgt")).split()[1]
        if state == "S" and int(caught, 16) & 1 << (signal.SIGINT - 1):
            return
        time.sleep(0.02)
    raise AssertionError("it does not wait for stdin")


def odd_sysroots():
    odd = place("odd")
    os.makedirs(odd)
    files = {"empty.machine": b"", "binary.machine": bytes(range(256)) * 64, "binary": b"\x7fELF\0\0",
             "header.machine": b"gfxbridge machine 1\n\0\xff\n",
             "indented.machine": b"gfxbridge machine 1\n    alone\n"}
    for name, content in files.items():
        write(os.path.join(odd, name), content)
    os.mkfifo(os.path.join(odd, "fifo"))
    os.symlink("self", os.path.join(odd, "self"))
    for path in [*files, "fifo", "self", "absent"]:
        for command in ("detect", "plan", "doctor", "capture"):
            done = call(command, "--sysroot", os.path.join(odd, path), code=1, timeout=20)
            assert path in sentence(done), done.stderr
    for path in ("/dev/zero", "/dev/null"):
        sentence(call("detect", "--sysroot", path, code=1, timeout=20))


def directory_loops():
    loop = place("loop")
    for name, target in (("sys/class/drm", "."), ("sys/bus/pci/devices", ".."),
                         ("sys/class/kfd/kfd/topology/nodes", "nodes"), ("etc", "."),
                         ("proc", "proc")):
        os.makedirs(os.path.dirname(os.path.join(loop, name)), exist_ok=True)
        os.symlink(target, os.path.join(loop, name))
    os.mkfifo(os.path.join(loop, "etc-fifo"))
    for command in ("detect", "plan", "doctor", "capture"):
        call(command, "--sysroot", loop, code=(0, 1, 3), timeout=60)


def closed_descriptors():
    """No file of ours may take the number of a closed stream and get the answer or the log."""
    data = place("closed")
    call("run", "--no-network", "--data-dir", data, "hi", code=3)
    with_streams = tree(data)
    for redirections in ("<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"):
        shutil.rmtree(data, ignore_errors=True)
        done = subprocess.run(["sh", "-c", f'exec "$0" "$@" {redirections}', PROGRAM, "run",
                               "--no-network", "--data-dir", data, "hi"],
                              capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 3, (redirections, done.returncode, done.stderr)
        assert tree(data) == with_streams, (redirections, tree(data), with_streams)
        for name in tree(data):
            path = os.path.join(data, name)
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    assert b"gfxbridge: " not in f.read(), (redirections, name)
    done = subprocess.run(["sh", "-c", 'exec "$0" run --no-network --data-dir "$1" <&-', PROGRAM,
                           data], capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2) and done.stderr.startswith("gfxbridge: "), done


def stopped_server():
    """A server that is stopped accepts connections and never answers: each command says so and
    ends; afterwards the server goes on as if nothing had been."""
    server = Server(place("stopped"))
    try:
        assert server.status()["models"] == []
        server.process.send_signal(signal.SIGSTOP)
        asked = {words: subprocess.Popen([PROGRAM, "--data-dir", server.data, *words],
                                         env=server.env, text=True, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                 for words in (("status",), ("status", "--json"), ("load", "no-such"), ("unload",))}
        for words, process in asked.items():
            out, err = process.communicate(timeout=100)
            assert process.returncode == 1 and out == "", (words, process.returncode, out, err)
            assert err.startswith("gfxbridge: ") and err.count("\n") == 1, (words, err)
            assert "does not answer" in err, (words, err)
        server.process.send_signal(signal.SIGCONT)
        assert server.status()["models"] == []
        server.command("stop")
        assert server.process.wait(60) == 0
    finally:
        server.process.kill()
        server.process.wait()


CASES = [
    ("capture into a pipe, a device, stdout", capture_keeps_what_is_no_file),
    ("capture through links", capture_follows_links),
    ("storage prune takes known names only, and no cache in use", prune_takes_ours_alone),
    ("storage prune takes old uploads that no model has", prune_takes_uploads_that_nothing_has),
    ("storage prune does not follow links", prune_does_not_follow_links),
    ("doctor: a data or runtime directory that cannot be written", doctor_sees_bad_places),
    ("doctor: a data directory mounted noexec", doctor_sees_noexec),
    ("doctor: a user without a home", doctor_as_a_stranger),
    ("doctor: no GPU, no advice to install its drivers", doctor_without_gpu_installs_no_lavapipe),
    ("doctor TEXT and doctor -: recognised or not", doctor_recognises),
    ("doctor: tables that are broken, dangling, misspelt", doctor_looks_at_tables),
    ("HOME unset", home_unset),
    ("an empty --data-dir", empty_data_dir),
    ("--gpu names none of this computer", gpu_that_is_not_there),
    ("a model that is missing", model_that_is_missing),
    ("backends use: nothing is installed", nothing_to_prefer),
    ("a NUL byte in a prompt on stdin", nul_in_prompt),
    ("a stale XDG_RUNTIME_DIR", stale_runtime_dir),
    ("interrupted while waiting for stdin: 130", interrupted_while_reading),
    ("odd --sysroot files end with one sentence", odd_sysroots),
    ("loops in a --sysroot directory end", directory_loops),
    ("closed stdin, stdout, stderr", closed_descriptors),
    ("status, load and unload of a server that is stopped", stopped_server),
]

try:
    tap.run(CASES)
finally:
    shutil.rmtree(TOP, ignore_errors=True)
