#!/usr/bin/env python3
"""offline.py GFXBRIDGE: installed packages as one file, and that file on a computer without the
network: the same packages, or one clear sentence and nothing."""
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import live  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, answer, call, machine  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge offline ")
ONE, OTHER = os.path.join(TOP, "one"), os.path.join(TOP, "the other")
BUNDLE = os.path.join(TOP, "my packages.gfxb")
QUESTION, ANSWER = "Which gfx is the Radeon RX 7900 XT?", "The Radeon RX 7900 XT is gfx1100."
DEAD = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "all_proxy")}
HEAD = "gfxbridge-bundle"


def packages(data):
    folder = os.path.join(data, "packages")
    names = sorted(set(os.listdir(folder)) - {"pins"}) if os.path.isdir(folder) else []
    assert all(re.fullmatch("[0-9a-f]{64}", name) for name in names), f"left behind: {names}"
    return names


def install(data, file, code=0):
    return call("--data-dir", data, "--no-network", "backends", "install", "--from", file, code=code,
                env=DEAD)


def prepare():
    done = call("--data-dir", ONE, "run", "--backend", "cpu", QUESTION, code=None, timeout=600)
    if done.returncode == 3:
        raise tap.Skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    said = answer("--data-dir", ONE, "backends", "bundle", BUNDLE)
    assert said["packages"] == 1 and os.path.getsize(BUNDLE) > 1 << 20
    assert not [n for n in os.listdir(TOP) if n.startswith("my packages.gfxb.")]


def need_bundle():
    if not os.path.exists(BUNDLE):
        raise tap.Skip("no bundle was made")


def same_packages_on_another_computer():
    need_bundle()
    assert "cpu" in install(OTHER, BUNDLE).stdout
    assert packages(OTHER) == packages(ONE)
    manifest = "packages/" + packages(ONE)[0] + "/package.manifest"
    with open(os.path.join(ONE, manifest), encoding="utf-8") as a, \
            open(os.path.join(OTHER, manifest), encoding="utf-8") as b:
        own, theirs = a.read(), b.read()
    assert re.findall("(?m)^(?:part|origin) .*", own) == re.findall("(?m)^(?:part|origin) .*",
                                                                    theirs) != []
    done = call("--data-dir", OTHER, "--no-network", "run", QUESTION, env=DEAD)
    assert done.stdout.strip() == ANSWER
    before = os.stat(os.path.join(OTHER, manifest))
    install(OTHER, BUNDLE)  # again: what is there stays
    after = os.stat(os.path.join(OTHER, manifest))
    assert packages(OTHER) == packages(ONE)
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def words_in_either_order():
    need_bundle()
    file = os.path.join(TOP, "ordered.gfxb")
    for words in ((file, "llamacpp:cpu"), ("llamacpp:cpu", file)):
        assert answer("--data-dir", ONE, "backends", "bundle", *words)["path"] == file
        os.remove(file)
    for words in (["llamacpp:cpu"], ["llamacpp:cpu", "llamacpp:vulkan"], [file, file + "2"]):
        said = call("--data-dir", ONE, "backends", "bundle", *words, code=2).stderr
        assert "name of a file" in said or "no such backend" in said, said
    assert not [n for n in os.listdir(TOP) if n.startswith("ordered") or ":" in n]
    said = call("--data-dir", ONE, "backends", "list", "--for", machine("no-gpu-vm"), code=2).stderr
    assert "--for is an option of backends bundle" in said, said


def for_another_computer():
    """A bundle for a card that is not here, fetched with the distribution's real packages. On the
    described computer, without any network, the proof starts, and the card is all that it lacks."""
    data, there, file = (os.path.join(TOP, n) for n in ("for", "there", "for another.gfxb"))
    words = ["--data-dir", data, "backends", "bundle", "--for", machine("rx7900xtx-raphael")]
    done = call(*words, "--no-network", file, code=1)
    assert "network" in done.stderr and not os.path.exists(file), done.stderr
    said = call(*words, "llamacpp:vulkan", file, "--json", timeout=900)
    assert json.loads(said.stdout)["packages"] == 1, said.stdout
    assert [p["id"] for p in answer("--data-dir", data, "backends", "list")["packages"]] == ["debian-vulkan"]
    assert call(*words[:-1], os.path.join(TOP, "absent.machine"), file, code=1).stderr
    done = live.run(machine("rx7900xtx-raphael"),
                    [PROGRAM, "--data-dir", there, "backends", "install", "--from", file, "--json"],
                    user=False, network=False)
    assert done.returncode == 4, (done.returncode, done.stderr)
    assert packages(there) == packages(data)
    results = json.loads(done.stdout)["results"]
    assert results and {r["backend"] for r in results} == {"vulkan"}, done.stderr
    assert {r["code"] for r in results} <= {"vulkan-driver-missing", "device-not-listed"}, results
    assert all(r["rungs"][0]["rung"] == "E3" for r in results), results  # an engine ran and said so


def what_cannot_be_used_here_is_told():
    """Installed from a bundle, and no GPU of this computer can use it."""
    file = os.path.join(TOP, "for another.gfxb")
    if not os.path.exists(file):
        raise tap.Skip("no bundle was made")
    data = os.path.join(TOP, "no card")
    done = live.run(machine("no-gpu-vm"), [PROGRAM, "--data-dir", data, "--no-network", "backends",
                                           "install", "--from", file], user=False, network=False)
    said = [line for line in done.stderr.splitlines() if line.startswith("gfxbridge: ")]
    assert done.returncode == 1 and len(said) == 1, done.stderr
    assert "debian-vulkan is installed and cannot be used here: " in said[0], said
    assert len(packages(data)) == 1


def two_at_once_make_one():
    need_bundle()
    data = os.path.join(TOP, "twice")
    both = [subprocess.Popen([PROGRAM, "--data-dir", data, "--no-network", "backends", "install",
                              "--from", BUNDLE], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert packages(data) == packages(ONE)


def kill_leaves_nothing_half_done():
    need_bundle()
    data = os.path.join(TOP, "killed")
    for n in range(10):
        process = subprocess.Popen([PROGRAM, "--data-dir", data, "--no-network", "backends",
                                    "install", "--from", BUNDLE], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.05 + 0.12 * n)
        process.send_signal(signal.SIGKILL)
        process.wait()
        call("--data-dir", data, "backends", "list")  # sweeps what nobody holds
        assert set(packages(data)) <= set(packages(ONE))
    install(data, BUNDLE)
    assert packages(data) == packages(ONE)


def ctrl_c_is_obeyed():
    """SIGINT at several moments, while it writes and while it installs."""
    need_bundle()
    data, half = os.path.join(TOP, "stopped"), os.path.join(TOP, "half.gfxb")
    for words in (["--data-dir", ONE, "backends", "bundle", half],
                  ["--data-dir", data, "--no-network", "backends", "install", "--from", BUNDLE]):
        for seconds in (0.1, 0.4):
            process = subprocess.Popen([PROGRAM, *words], stdin=subprocess.DEVNULL, text=True,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            time.sleep(seconds)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[1]
            if process.returncode == 0:  # it was done before
                break
            # Or the signal came before the program was ready for it.
            assert process.returncode in (-signal.SIGINT, 128 + signal.SIGINT), said
            assert process.returncode < 0 or "interrupted" in said, said
            assert set(packages(data)) <= set(packages(ONE))  # while it proves, it is there
            assert not [n for n in os.listdir(TOP) if n.startswith("half.gfxb")]


def refused(file, *words):
    data = tempfile.mkdtemp(dir=TOP)
    said = install(data, file, code=1).stderr
    error = [line for line in said.splitlines() if line.startswith("gfxbridge: ")]
    assert len(error) == 1 and all(word in error[0] for word in words), said
    assert packages(data) == [], "something was installed"
    shutil.rmtree(data)
    return error[0]


def damage_anywhere_is_noticed():
    """A flipped byte or a cut at random places of the compressed file, and inside the tar."""
    need_bundle()
    dice = random.Random(7)
    with open(BUNDLE, "rb") as f:
        good = f.read()
    path = os.path.join(TOP, "damaged")
    for n in range(60):
        at = dice.randrange(len(good))
        bad = good[:at] if n % 2 else good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1:]
        with open(path, "wb") as f:
            f.write(bad)
        refused(path)


def entries():
    """The bundle's tar as a list of (TarInfo, bytes)."""
    raw = subprocess.run(["bsdtar", "-cf", "-", "@" + BUNDLE], capture_output=True, check=True).stdout \
        if shutil.which("bsdtar") else \
        subprocess.run(["zstd", "-dc", BUNDLE], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return [(m, tar.extractfile(m).read() if m.isfile() else None) for m in tar]


def rebuilt(content):
    path = os.path.join(TOP, "rebuilt.tar")
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in content:
            if data is not None:
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data) if data is not None else None)
    return path


def need_entries():
    need_bundle()
    if not (shutil.which("bsdtar") or shutil.which("zstd")):
        raise tap.Skip("neither bsdtar nor zstd is installed")


def tree_digest(content, prefix):
    """What the bundle's last file says about one of its packages."""
    found = []
    for member, data in content:
        if not member.name.startswith(prefix + "/"):
            continue
        path = os.fsencode(member.name.rstrip("/")[len(prefix) + 1:])
        kind, rest = (b"file", hashlib.sha256(data).hexdigest().encode()) if data is not None else \
            (b"dir", b"") if member.isdir() else (b"link", os.fsencode(member.linkname))
        found.append((path.split(b"/"), b"\0".join((kind, path, rest, b""))))
    return hashlib.sha256(b"".join(line for _, line in sorted(found))).hexdigest()


def with_manifest(content, old, new):
    """The same package with a changed manifest, and the digest that fits it."""
    digest, changed = packages(ONE)[0], list(content)
    for i, (member, data) in enumerate(content):
        if member.name == digest + "/package.manifest":
            assert old in data
            changed[i] = (member, data.replace(old, new))
    text = changed[-1][1].decode().replace(tree_digest(content, digest),
                                           tree_digest(changed, digest))
    assert text != content[-1][1].decode()
    changed[-1] = (changed[-1][0], text.encode())
    return changed


def doubled(content, damage):
    """A bundle of two packages, the second with another digest."""
    digest, other = packages(ONE)[0], hashlib.sha256(b"another package").hexdigest()
    more = []
    for member, data in content[:-1]:
        if data is not None and member.name == digest + "/package.manifest":
            data = data.replace(digest.encode(), other.encode())
        copy = tarfile.TarInfo(member.name.replace(digest, other))
        copy.type, copy.mode, copy.linkname = member.type, member.mode, member.linkname
        more.append((copy, data))
    text = content[-1][1] + f"package {other} {tree_digest(more, other)}\n".encode()
    if damage:
        more = [(m, d + b"X" if m.name.endswith("/llama-server") and d else d) for m, d in more]
    return content[:-1] + more + [(content[-1][0], text)]


def all_or_nothing():
    """One damaged package keeps the others out too, and none is named twice."""
    need_entries()
    content, data = entries(), tempfile.mkdtemp(dir=TOP)
    install(data, rebuilt(doubled(content, False)))
    assert len(packages(data)) == 2
    refused(rebuilt(doubled(content, True)), "damaged")
    line = content[-1][1].splitlines(keepends=True)[-1]
    refused(rebuilt(content[:-1] + [(content[-1][0], content[-1][1] + line)]), "twice")


def back_to_the_one_before():
    """Of two packages of one backend any can be the one that is used; prune keeps that."""
    need_entries()
    data = tempfile.mkdtemp(dir=TOP)
    install(data, rebuilt(doubled(entries(), False)))
    both = packages(data)
    for digest, other in (both, both[::-1]):
        done = call("--data-dir", data, "backends", "use", "llamacpp:cpu", digest[:12])
        assert digest[:12] in done.stdout, done.stdout
        listed = answer("--data-dir", data, "--no-network", "backends", "list")["packages"]
        assert {p["digest"]: p["pinned"] for p in listed} == {digest: True, other: False}, listed
        unused = os.path.join(data, "packages", other, "usr/bin/llama-server")
        os.rename(unused, unused + ".away")  # whoever started that one would fail
        done = call("--data-dir", data, "--no-network", "run", QUESTION, env=DEAD)
        assert done.stdout.strip() == ANSWER
        os.rename(unused + ".away", unused)
    said = call("--data-dir", data, "backends", "use", "llamacpp:cpu", "f" * 12, code=1).stderr
    assert "no installed package" in said, said
    call("--data-dir", data, "storage", "prune")
    assert both[1] in packages(data), "what is pinned is gone"
    call("--data-dir", data, "backends", "use", "llamacpp:cpu", "none")
    call("--data-dir", data, "storage", "prune")
    assert len(packages(data)) == 1


def no_engine_of_this_computer_is_named():
    """A manifest may name what is in its package alone, even where every digest fits."""
    need_entries()
    content = entries()
    for path in (b"/bin/sh", b"../../../../../bin/sh", b"usr/../../x"):
        refused(rebuilt(with_manifest(content, b"executable usr/bin/llama-server",
                                      b"executable " + path)), "is not in it")
    refused(rebuilt(with_manifest(content, b"library-path ", b"library-path /tmp:")), "/tmp")


def what_is_installed_elsewhere_is_not_bundled():
    """An engine that stays where it is: refused by name, left out of a bundle of everything. Its
    package is a manifest alone."""
    need_bundle()
    data, file = os.path.join(TOP, "linked"), os.path.join(TOP, "linked.gfxb")
    own, its = (os.path.join(top, "packages", packages(ONE)[0]) for top in (ONE, data))
    os.makedirs(its)
    with open(os.path.join(own, "package.manifest"), encoding="utf-8") as f:
        manifest = f.read()
    for old, new in (("executable usr/", "executable /usr/"),
                     ("library-path ", "library-path /opt/rocm/lib:")):
        with open(os.path.join(its, "package.manifest"), "w", encoding="utf-8") as f:
            f.write(manifest.replace(old, new))
        said = call("--data-dir", data, "backends", "bundle", file, "llamacpp:cpu", code=1).stderr
        assert "cannot be bundled" in said and new.split()[1].split(":")[0] in said, said
        said = call("--data-dir", data, "backends", "bundle", file, code=1).stderr
        assert "nothing is installed that could be bundled" in said, said
    assert not [n for n in os.listdir(TOP) if n.startswith("linked.gfxb")]


def tampering_is_noticed():
    need_entries()
    content = entries()
    assert content[-1][0].name == HEAD, content[-1][0].name
    assert packages(ONE)[0] in content[-1][1].decode()
    data = tempfile.mkdtemp(dir=TOP)
    install(data, rebuilt(content))  # the same in another wrapping is the same
    assert packages(data) == packages(ONE)
    victim = next(i for i, (m, d) in enumerate(content) if d and m.name.endswith("llama-server"))
    swapped = list(content)
    swapped[victim] = (content[victim][0], content[victim][1][:-1] + b"X")
    refused(rebuilt(swapped), "damaged")
    refused(rebuilt(content[:victim] + content[victim + 1:]), "damaged")
    refused(rebuilt(content[:-1]), "cut short")
    other = content[-1][1].replace(b"arch x86_64", b"arch riscv64").replace(b"arch aarch64",
                                                                            b"arch riscv64")
    refused(rebuilt(content[:-1] + [(content[-1][0], other)]), "riscv64")
    newer = content[-1][1].replace(b"gfxbridge-bundle 1", b"gfxbridge-bundle 2")
    refused(rebuilt(content[:-1] + [(content[-1][0], newer)]), "newer")


def hostile_entries_are_refused():
    need_entries()
    content = entries()
    digest = packages(ONE)[0]

    def entry(name, kind=tarfile.REGTYPE, target="", mode=0o644):
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.mode = kind, target, mode
        return member, b"x" if kind == tarfile.REGTYPE else None

    for bad in (entry("/etc/evil"), entry("../evil"), entry(f"{digest}/../../evil"),
                entry(f"{digest}/out", tarfile.SYMTYPE, "/etc"),
                entry(f"{digest}/out", tarfile.SYMTYPE, "../../../.."),
                entry(f"{digest}/out", tarfile.LNKTYPE, "/etc/passwd"),
                entry(f"{digest}/device", tarfile.CHRTYPE),
                entry(f"{digest}/suid", mode=0o4755)):
        refused(rebuilt([bad] + content))


def no_bundle_at_all():
    path = os.path.join(TOP, "text")
    with open(path, "w", encoding="utf-8") as f:
        f.write("this is not a bundle\n" * 100)
    refused(path)
    refused(os.path.join(TOP, "absent"))


def nothing_to_bundle_is_a_sentence():
    said = call("--data-dir", os.path.join(TOP, "empty"), "backends", "bundle",
                os.path.join(TOP, "none.gfxb"), code=1).stderr
    assert "nothing is installed" in said, said
    assert not os.path.exists(os.path.join(TOP, "none.gfxb"))


def full_disk_is_a_sentence():
    need_bundle()
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
        raise tap.Skip("no mount namespace can be made here")
    where = os.path.join(TOP, "small")
    os.mkdir(where)
    script = ('mount -t tmpfs -o size=40m none "$1" && "$2" --data-dir "$1/data" --no-network '
              'backends install --from "$3"; code=$?; ls -A "$1/data/packages" >&2; exit $code')
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", where, PROGRAM, BUNDLE],
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1 and "gfxbridge: " in done.stderr, done.stderr
    assert not re.search("^[0-9a-f]{64}$|stage", done.stderr, re.M), done.stderr
    assert "no room" in done.stderr or "full" in done.stderr, done.stderr


try:
    tap.run([
        ("what is installed becomes one file", prepare),
        ("another computer has the same packages, and answers", same_packages_on_another_computer),
        ("bundle takes its words in either order", words_in_either_order),
        ("a bundle for another computer proves there", for_another_computer),
        ("what cannot be used here is told", what_cannot_be_used_here_is_told),
        ("two at once make one package", two_at_once_make_one),
        ("kill -9 leaves nothing half-done", kill_leaves_nothing_half_done),
        ("Ctrl-C is obeyed and leaves nothing", ctrl_c_is_obeyed),
        ("damage anywhere is noticed", damage_anywhere_is_noticed),
        ("what was tampered with, cut or made for others is refused", tampering_is_noticed),
        ("one damaged package keeps all out", all_or_nothing),
        ("back to the one before", back_to_the_one_before),
        ("no engine outside the bundle is named", no_engine_of_this_computer_is_named),
        ("an engine that stays where it is is not bundled",
         what_is_installed_elsewhere_is_not_bundled),
        ("hostile entries are refused", hostile_entries_are_refused),
        ("what is no bundle is refused", no_bundle_at_all),
        ("nothing to bundle is a sentence", nothing_to_bundle_is_a_sentence),
        ("a full disk is a sentence and leaves nothing", full_disk_is_a_sentence),
    ])
finally:
    shutil.rmtree(TOP, ignore_errors=True)
