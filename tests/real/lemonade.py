#!/usr/bin/env python3
"""lemonade.py GFXBRIDGE: `table compare` against Debian's own lemonade-server, unpacked into a root of its own and
started in a network namespace that has nothing but its loopback. The server knows no GPU and installs nothing."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, answer  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge-lemonade-")
ROOT = os.path.join(TOP, "root")
PORT = 13305
VERSION = "2026.39.1-2"  # the one whose answers are below

CONF = "".join(f'{name} "{value}";\n' for name, value in {
    "Dir::State": f"{TOP}/state", "Dir::State::status": f"{TOP}/status", "Dir::Cache": f"{TOP}/cache",
    "Dir::Etc::sourcelist": f"{TOP}/sources", "Dir::Etc::sourceparts": "-", "APT::Install-Recommends": "false",
    "APT::Sandbox::User": "", "Acquire::Languages": "none", "Acquire::Retries": "0"}.items())

# In the namespace: loopback up, the server in its root, the question, the end of the server.
INSIDE = """
PATH=/usr/sbin:/usr/bin:/sbin:/bin
python3 -c "
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 0x41))" || exit 9
mount --rbind /dev "$1/dev" && mount --rbind /proc "$1/proc" || exit 9
HOME=/root chroot "$1" /usr/bin/lemond --host 127.0.0.1 --port "$2" --no-broadcast >"$1/log" 2>&1 &
server=$!
python3 -c "
import socket, sys, time
for _ in range(600):
    try:
        sys.exit(socket.create_connection(('127.0.0.1', $2)).close())
    except OSError:
        time.sleep(0.1)
sys.exit(1)" || exit 8
"$3" table compare lemonade --url "http://127.0.0.1:$2" --json
code=$?
kill $server
wait $server
exit $code
"""

FOUR = "gfx1030 gfx1100 gfx1151 gfx1201".split()
BUILT = ("gfx1030 gfx1031 gfx1032 gfx1033 gfx1034 gfx1035 gfx1036 gfx1100 gfx1101 gfx1102 gfx1103 gfx1150 gfx1151 gfx1152 "
         "gfx1200 gfx1201").split()
OTHERS = [gfx for gfx in BUILT if gfx not in FOUR]
# Said to be supported, without code in the file; None: every other target.
WRONG = {
    "llamacpp:rocm-nightly": "gfx942 gfx1033 gfx1035 gfx1036 gfx1152".split(),
    "whispercpp:rocm": ["gfx1103"],
    "thinksound:rocm": OTHERS,
    "acestep:rocm": OTHERS,
    "openmoss:rocm": None,
    "trellis:rocm": "gfx1033 gfx1034 gfx1035 gfx1036".split(),
    "thenoise:rocm": [gfx for gfx in BUILT if gfx[-1] != "0" and not gfx.startswith("gfx115")],
}
# Refused, although the code and its runtime are published.
MISSED = {
    "llamacpp:rocm-stable": "gfx1010 gfx1011 gfx1012".split(),
    "sd-cpp:rocm": "gfx908 gfx90a gfx942 gfx950 gfx1010 gfx1011 gfx1012 gfx1153".split(),
}


def apt(*words):
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "APT_CONFIG": f"{TOP}/apt.conf"},
                          timeout=600, check=False)
    if done.returncode != 0:
        raise tap.Skip(f"{' '.join(words)}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return done.stdout


def archive():
    """A line of sources for unstable, on the mirror that this computer's apt uses."""
    done = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"],
                          capture_output=True, text=True, check=False)
    for uri in done.stdout.splitlines():
        if "security" not in uri:
            return f"deb {uri} sid main\n"
    raise tap.Skip("this computer's apt knows no archive of Debian's")


def unpack():
    """The server and all that it needs, in ROOT."""
    for program in ("apt-get", "dpkg-deb", "unshare", "chroot"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise tap.Skip(f"{program} is not installed")
    suite = archive()
    for name in ("state/lists/partial", "cache/archives/partial", "root/proc", "root/dev", "root/tmp", "root/root"):
        os.makedirs(os.path.join(TOP, name))
    for name, text in (("apt.conf", CONF), ("status", ""), ("sources", suite)):
        with open(os.path.join(TOP, name), "w", encoding="utf-8") as f:
            f.write(text)
    apt("apt-get", "update", "--error-on=any")
    apt("apt-get", "install", "--download-only", "-y", "lemonade-server")
    archives = os.path.join(TOP, "cache", "archives")
    for name in sorted(os.listdir(archives)):
        if name.endswith(".deb"):
            subprocess.run(["dpkg-deb", "-x", os.path.join(archives, name), ROOT], check=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if not os.path.exists(os.path.join(ROOT, name)):
            os.symlink("usr/" + name, os.path.join(ROOT, name))


ANSWER = {}


def real_server_is_judged():
    unpack()
    done = subprocess.run(["unshare", "-rmn", "--fork", "sh", "-c", INSIDE, "sh", ROOT, str(PORT), PROGRAM],
                          capture_output=True, text=True, timeout=600, check=False)
    if done.returncode == 9 or "unshare" in done.stderr:
        raise tap.Skip(f"no namespace can be made here: {done.stderr.strip()}")
    assert done.returncode == 1, (done.returncode, done.stderr)
    ANSWER.update(json.loads(done.stdout))
    assert ANSWER["claims"] >= 507, ANSWER["claims"]
    assert ANSWER["claims"] == ANSWER["right"] + ANSWER["wrong"] + ANSWER["open"], ANSWER
    if ANSWER["version"] != VERSION:
        raise tap.Skip(f"the archive has {ANSWER['version']} now; the expected mistakes are those of {VERSION}")


def every_mistake_and_no_other():
    if ANSWER.get("version") != VERSION:
        raise tap.Skip(f"lemonade-server {VERSION} has not answered")
    wrong, missed = {}, {}
    for m in ANSWER["mistakes"]:
        kind = missed if m["says"] == "not supported" else wrong
        kind.setdefault(m["table"], []).extend(m["subjects"].split(", "))
    every = {t["gfx"] for t in answer("table")["targets"]}
    expected = {k: sorted(v or every - set(FOUR)) for k, v in WRONG.items()}
    assert {k: sorted(v) for k, v in wrong.items()} == expected, wrong
    assert {k: sorted(v) for k, v in missed.items()} == {k: sorted(v) for k, v in MISSED.items()}, missed


if __name__ == "__main__":
    try:
        tap.run([
            ("Debian's server answers for every pair of recipe and target", real_server_is_judged),
            ("its mistakes are found, all of them and no other", every_mistake_and_no_other),
        ])
    finally:
        shutil.rmtree(TOP, ignore_errors=True)
