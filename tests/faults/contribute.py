#!/usr/bin/env python3
"""contribute.py GFXBRIDGE DOUBLE: `contribute` on three described computers as this one - a card that is proven by the
double, one whose engine computes wrongly, one that no table knows - then `check`, and `apply` in a clone, whose machine
tests pass with the new computers. What is forged, personal or hostile is refused, and a killed apply goes on."""
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import live  # noqa: E402
import tap  # noqa: E402
from gfxbridge import PROGRAM, SOURCE, answer, call, machine, temporary  # noqa: E402

DOUBLE = os.path.abspath(sys.argv[2])
TOP = temporary("gfxbridge-contribute-")
os.chmod(TOP, 0o755)
CLONE = os.path.join(TOP, "clone")
LIST = "Available devices:\n  ROCm0: AMD Radeon RX 7900 XTX (24560 MiB, 24510 MiB free)\n"
LOG = """0.00.1.1 I llama_model_loader: loaded meta data with 20 key-value pairs from /home/someone/models/x
0.00.1.2 I llama_prepare_model_devices: using device %D (AMD Radeon RX 7900 XTX) (0000:03:00.0) - 24510 MiB free
0.00.1.3 I load_tensors:      CPU_Mapped model buffer size =     0.20 MiB
0.00.1.3 I load_tensors:      %D model buffer size =     1.50 MiB
0.00.1.4 I load_tensors: offloaded 5/5 layers to GPU
0.00.1.5 I srv  llama_server: model loaded
"""
with open(os.path.join(SOURCE, "data", "packages.tsv"), encoding="utf-8") as table:
    TARGETS = next(line.split("\t")[6] for line in table if line.startswith("debian-rocm\t"))
UNKNOWN = "7ffe"  # a device id that no table has


def write(path, text, mode="w"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, mode, **({} if "b" in mode else {"encoding": "utf-8"})) as f:
        f.write(text)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def double(data, behaviour, gfx=TARGETS):
    """The double as debian-rocm in the store."""
    package, elsewhere = os.path.join(data, "packages", "1" * 64), os.path.join(data, "elsewhere")
    for name in ("lib/libamdhip64.so.7", "lib/librocblas.so.5"):
        write(os.path.join(package, name), b"\0" * 4096, "wb")
    write(os.path.join(elsewhere, "libhsa-runtime64.so.1"), b"\0" * 4096, "wb")
    for name, source in (("answers", "canary"), ("seeded", "seeded")):
        shutil.copy(os.path.join(SOURCE, "data", source + ".tsv"), os.path.join(package, name))
    write(os.path.join(package, "devices"), LIST)
    write(os.path.join(package, "said"), "")
    write(os.path.join(package, "log"), LOG)
    write(os.path.join(package, "behaviour"),
          "map lib/libamdhip64.so.7\nmap lib/librocblas.so.5\n" + behaviour +
          f"answers answers\nseeded seeded\ndevices devices\nsaid said\nlog log\nelsewhere {elsewhere}\n")
    write(os.path.join(package, "package.manifest"),
          f"gfxbridge-package 1\nid debian-rocm\nprovider debian\nbackend rocm\ndigest {'1' * 64}\nversion 1\n"
          f"executable {DOUBLE}\nlibrary-path {elsewhere}\nbackend-dir .\nbytes 1\ninstalled 1\ngfx {gfx}\nblas gfx1100\n")


def contribute(name, behaviour="", capture=None, gfx=TARGETS):
    """The file that this computer gives, made in a namespace where it is this computer."""
    place = os.path.join(TOP, name)
    double(os.path.join(place, "data"), behaviour, gfx)
    done = live.run(capture or machine("rx7900xtx-raphael"), [
        "sh", "-c", f"cd '{place}' && exec '{PROGRAM}' --data-dir '{place}/data' --no-network contribute {name} --yes"],
        user=False, network=False, timeout=300)
    assert done.returncode == 0, (done.returncode, done.stderr)
    text = read(os.path.join(place, name + ".contribution"))
    assert text == done.stdout, "what was shown is not what was saved"
    return text


def part(text, name):
    """The rows of one part of a contribution."""
    found = re.search(rf"^file /contribution/{re.escape(name)}(?: (.*)|((?:\n    .*)*))$", text, re.M)
    if not found:
        return []
    return [found[1]] if found[1] else [line[4:] for line in found[2].split("\n")[1:]]


def check(text, code=0, name="planted"):
    path = os.path.join(TOP, name + ".contribution")
    write(path, text)
    done = call("contribute", "check", path, code=code)
    return done.stdout if done.returncode == 0 else done.stderr


TEXTS = {}


def proven():
    text = TEXTS["proven"] = contribute("proven", gfx=TARGETS + " gfx1103")
    (row,) = part(text, "proofs.tsv")
    fields = row.split("\t")
    assert fields[:4] == ["1002:744c", "gfx1100", "hardware", "debian-rocm"], row
    assert fields[4] == os.uname().release and fields[5].startswith("amdgpu"), row
    assert fields[7] == "proven" and int(fields[8]) > 0 and fields[9] == "contribution:proven", row
    rungs = [line.split("\t") for line in part(text, "outcomes.tsv")]
    tested = {r[2]: r[3] for r in rungs if r[:2] == ["debian-rocm", "0000:03:00.0"]}
    assert tested == {"E0": "yes", "E1": "yes", "E2": "yes", "E3": "yes", "E4": "yes", "E5": tested["E5"],
                      "outcome": "yes"}, tested
    assert any("offloaded 5/5" in line for line in part(text, "log.txt")), part(text, "log.txt")
    assert "2 Which gfx?      gfx1100" in part(text, "answers"), part(text, "answers")
    assert not part(text, "quirks.tsv") and not part(text, "cards.tsv")
    # The double's files hold one target more than its row says.
    (row,) = part(text, "packages.tsv")
    assert row.split("\t")[6] == TARGETS + " gfx1103" and row.endswith(";contribution:proven"), row
    for hidden in ("/home/", TOP):
        assert hidden not in text, hidden
    assert "left out: it may be personal" in text
    assert "1 row for proofs.tsv" in check(text)


def failing():
    text = TEXTS["failing"] = contribute("failing", "say byte\n")
    (row,) = part(text, "proofs.tsv")
    assert row.split("\t")[7:] == ["canary-mismatch", "-", "contribution:failing"], row
    (quirk,) = part(text, "quirks.tsv")
    fields = quirk.split("\t")
    assert fields[:4] == ["failing-debian-rocm", "gfx1100", "backend=rocm package=debian-rocm", "warn"], quirk
    assert "canary-mismatch" in fields[6] and fields[8] == "low", quirk
    outcome = [line for line in part(text, "outcomes.tsv") if line.startswith("debian-rocm\t0000:03:00.0\toutcome")]
    assert outcome and "\tno\tcanary-mismatch: " in outcome[0], outcome
    assert "1 row for quirks.tsv" in check(text)


def unknown():
    capture = os.path.join(TOP, "unknown.machine")
    write(capture, read(machine("rx7900xtx-raphael")).replace("0x744c", "0x" + UNKNOWN).replace("744C", UNKNOWN.upper())
          .replace("device_id 29772", "device_id %d" % int(UNKNOWN, 16)))
    text = TEXTS["unknown"] = contribute("unknown", capture=capture)
    (card,) = part(text, "cards.tsv")
    assert card.split("\t") == [UNKNOWN, "*", "AMD Radeon Graphics", "-", "gfx1100", "RDNA3", "discrete", "single",
                                "contribution:unknown"], card
    said = check(text)
    assert f"1002:{UNKNOWN} is not in cards.tsv" in said and "1 row for cards.tsv" in said, said
    value = answer("contribute", "check", os.path.join(TOP, "planted.contribution"))
    assert value["rows"]["cards.tsv"] == 1 and value["differences"] and value["made"].startswith("captured "), value


def planted_things_are_refused():
    """Each on a line of its own, below a path that a capture has, in a value, in a comment, in the free texts."""
    text = TEXTS["proven"]
    for more in ("file /etc/hostname mybox\n", "file /sys/class/dmi/id/product_serial PF3K2ABC\n",
                 "file /home/jane/notes x\n", "# of jane\n", "file /contribution/extra x\n", "dir /contribution\n",
                 "hex /etc/os-release 4d\n", "file /proc/cmdline root=UUID=1 quiet\n", "   \n"):
        assert "does not belong here" in check(text + more, 1) or "recorded before" in check(text + more, 1), more
    kfd = "    gfx_target_version 110000\n"
    assert "does not belong here" in check(text.replace(kfd, kfd + "    unique_id 16301245912\n"), 1)
    for personal in ("my home is /home/jane", "the serial number is PF3K2ABC", "S/N serial: 123", "on host name mybox",
                     "jane@mybox", "it is mybox.local", "10.0.0.17 answers", "at 00:1a:2b:3c:4d:5e",
                     "id 123e4567-e89b-12d3-a456-426614174000", "C:\\Users\\jane", "hostname=mybox", "/run/user/1000/x"):
        for where in ("about", "log.txt"):
            old = f"file /contribution/{where}"
            at = text.index(old) + len(old)
            new = text[:at] + " " + personal + text[text.index("\nfile /contribution/", at):]
            said = check(new, 1)
            assert "no personal data" in said and "planted.contribution:" in said, (personal, where, said)


def forged_rows_are_refused():
    text, failing_text = TEXTS["proven"], TEXTS["failing"]
    (proof,) = part(text, "proofs.tsv")
    day = proof.split("\t")[6]
    for old, new, why in (
            ("gfx1100\thardware", "gfx1101\thardware", "says that the card"),
            ("1002:744c\tgfx1100\thardware", "1002:73bf\tgfx1030\thardware", "no such GPU"),
            ("\tdebian-rocm\t" + os.uname().release, "\tdebian-rocm\t9.9.9", "another kernel"),
            ("hardware\tdebian-rocm\t", "hardware\tdebian-vulkan\t", "no such rungs"),
            ("hardware\tdebian-rocm\t", "emulated\tdebian-rocm\t", "another kernel"),
            (f"\t{day}\tproven", "\t2126-01-01\tproven", "yet to come"),
            ("\tproven\t", "\tengine-crash\t", "no speed"),
            ("contribution:proven", "contribution:other", "have the source"),
            ("file /contribution/made captured", "file /contribution/made described", "was not captured")):
        forged = proof.replace(old, new) if old in proof else None
        changed = text.replace(proof, forged) if forged else text.replace(old, new)
        assert changed != text, old
        said = check(changed, 1)
        assert why in said, (old, said)
    assert "no such rungs" in check(text.replace("0000:03:00.0\tE4\tyes", "0000:03:00.0\tE4\tno"), 1)
    assert "no such rungs" in check(failing_text.replace("\tcanary-mismatch\t-", "\tproven\t9"), 1)
    (quirk,) = part(failing_text, "quirks.tsv")
    for old, new, why in (("\twarn\t-\t-", "\tenv\t-\tLD_PRELOAD=/tmp/x", "has an effect"),
                          ("\twarn\t-", "\tblock\tkernel-quirk", "has an effect"),
                          ("\tgfx1100\t", "\tgfx1201\t", "does not have"), ("\tgfx1100\t", "\t-\t", "does not have"),
                          ("backend=rocm", "moon=full", "not known")):
        assert why in check(failing_text.replace(quirk, quirk.replace(old, new)), 1), new
    (package,) = part(text, "packages.tsv")
    for old, new in (("llama.cpp-tools", "evil-tools"), ("\tyes\t", "\tno\t"), ("debian-rocm\tdebian", "debian-rocm\tgithub"),
                     ("debian-rocm\t", "debian-new\t")):
        said = check(text.replace(package, package.replace(old, new, 1)), 1)
        assert "changes more than its targets" in said or "has no row" in said, (new, said)
    (card,) = part(TEXTS["unknown"], "cards.tsv")
    for old, new in (("gfx1100", "gfx1201"), (UNKNOWN, "7ffd"), (UNKNOWN + "\t*", "744c\t*")):
        check(TEXTS["unknown"].replace(card, card.replace(old, new)), 1)


def hostile_files_are_refused():
    text = TEXTS["proven"]
    for hostile in ("", "\n", "gfxbridge machine 1\n", "gfxbridge machine 2\n" + text, text[:500], text.replace("\n", "\r\n"),
                    text.replace("file /contribution/name proven", "file /contribution/name ../../etc/x"),
                    text.replace("file /contribution/name proven", "file /contribution/name"),
                    text.replace("file /contribution/answers", "hex /contribution/answers"),
                    text.replace("file /contribution/about", "link /contribution/about"),
                    text + text, text.replace("gfxbridge machine 1", "gfxbridge machine 1\x1b[2J"),
                    text.replace("\tdetail\n", "\tdetail\n" + "x" * 70000 + "\n"), "x" * (5 << 20)):
        said = check(hostile, None)
        assert said.startswith("gfxbridge: "), hostile[:300]
        assert said.count("\n") == 1 and "\x1b" not in said, said
    call("contribute", "check", TOP, code=1)
    call("contribute", "check", os.path.join(TOP, "none"), code=1)
    for words in (("check",), ("apply",), ("NAME",), ("a", "b"), ("../x",), ("-",), ("x" * 65,)):
        call("contribute", *words, "--sysroot", machine("intel-only"), code=2)


def clone():
    subprocess.run(["git", "clone", "-q", SOURCE, CLONE], check=True)
    # What is not committed yet is part of what is tested.
    changed = subprocess.run(["git", "ls-files", "-mo", "--exclude-standard"], cwd=SOURCE, check=True, text=True,
                             capture_output=True).stdout.split("\n")
    for name in filter(None, changed):
        os.makedirs(os.path.dirname(os.path.join(CLONE, name)), exist_ok=True)
        shutil.copy(os.path.join(SOURCE, name), os.path.join(CLONE, name))
    subprocess.run("git add -A && git -c user.name=t -c user.email=t@t commit -qm state --allow-empty", shell=True, check=True,
                   cwd=CLONE)


def changed():
    done = subprocess.run(["git", "status", "--porcelain", "-uall"], cwd=CLONE, check=True, text=True, capture_output=True)
    return {line[3:]: line[:2].strip() for line in done.stdout.splitlines() if not line[3:].startswith("build/")}


def applies():
    for name in ("proven", "unknown"):
        path = os.path.join(TOP, name, name + ".contribution")
        done = call("contribute", "apply", path, "--checkout", CLONE, timeout=1500)
        assert "the machine tests pass" in done.stdout, done.stdout
    new = changed()
    assert set(new) == {"data/proofs.tsv", "data/packages.tsv", "data/cards.tsv",
                        *(f"tests/machines/{n}.{e}" for n in ("proven", "unknown") for e in ("machine", "expect"))}, new
    expect = read(os.path.join(CLONE, "tests/machines/unknown.expect"))
    assert f"1002:{UNKNOWN}:c8 gfx1100 discrete driver=amdgpu" in expect, expect
    assert "/contribution" not in read(os.path.join(CLONE, "tests/machines/proven.machine"))
    rows = read(os.path.join(CLONE, "data/proofs.tsv"))
    assert "contribution:proven" in rows and "contribution:unknown" in rows, rows
    for table in ("cards", "packages", "quirks", "proofs"):
        call("table", os.path.join(CLONE, "data", table + ".tsv"), code=(0, 1))


def its_own_machine_tests_pass():
    """With the new computers: those of `make check`, in the clone."""
    tests = os.path.join(CLONE, "build/contribute/tests/test_machines")
    done = subprocess.run([tests], env={**os.environ, "GFXB_TEST_SOURCE": CLONE}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    for name in ("proven", "capture of proven", "unknown", "capture of unknown", "outcomes have their computers"):
        assert re.search(rf"\[       OK \] {name}$", done.stdout + done.stderr, re.M), name
    # A row whose computer is not there, or is another one, fails them.
    path = os.path.join(CLONE, "tests/machines/proven.machine")
    text = read(path)
    write(path, text.replace("0x744c", "0x73bf").replace("744C", "73BF"))
    bad = subprocess.run([tests], env={**os.environ, "GFXB_TEST_SOURCE": CLONE}, capture_output=True, text=True)
    write(path, text)
    assert bad.returncode != 0 and "contribution:proven" in bad.stdout + bad.stderr, bad.stdout[-2000:]


def applying_again_changes_nothing():
    before = {name: read(os.path.join(CLONE, name)) for name in changed()}
    call("contribute", "apply", os.path.join(TOP, "proven", "proven.contribution"), "--checkout", CLONE, timeout=1500)
    assert {name: read(os.path.join(CLONE, name)) for name in changed()} == before
    other = TEXTS["failing"].replace("file /contribution/name failing", "file /contribution/name proven") \
        .replace("contribution:failing", "contribution:proven").replace("failing-debian", "proven-debian") \
        .replace("MemTotal:       65095598 kB", "MemTotal:       32095598 kB")
    write(os.path.join(TOP, "other.contribution"), other)
    call("contribute", "apply", os.path.join(TOP, "other.contribution"), "--checkout", CLONE, code=1)
    assert {name: read(os.path.join(CLONE, name)) for name in changed()} == before


def contradictions_stop_it():
    """The same card, kernel, driver and day, and another outcome: nothing is written."""
    before = changed()
    said = call("contribute", "apply", os.path.join(TOP, "failing", "failing.contribution"), "--checkout", CLONE, code=1)
    assert "contradicts" in said.stderr and "data/proofs.tsv:" in said.stderr, said.stderr
    assert changed() == before


def killed_it_goes_on():
    """kill -9 at any moment leaves whole files, and the next apply ends what was begun."""
    subprocess.run("git stash -uq && git stash drop -q", shell=True, cwd=CLONE, check=True)
    path = os.path.join(TOP, "unknown", "unknown.contribution")
    words = [PROGRAM, "contribute", "apply", path, "--checkout", CLONE]
    tables = {name: read(os.path.join(CLONE, "data", name)) for name in ("cards.tsv", "proofs.tsv")}
    for ms in range(0, 60, 6):
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(ms / 1000)
        child.send_signal(signal.SIGKILL)
        child.wait()
        for name, old in tables.items():
            lines = read(os.path.join(CLONE, "data", name)).splitlines()
            assert len(lines) - len(old.splitlines()) in (0, 1), name
    call(*words[1:], timeout=1500)
    assert not glob.glob(os.path.join(CLONE, "data", "*.tmp*")) and not glob.glob(os.path.join(CLONE, "data", ".*")), \
        os.listdir(os.path.join(CLONE, "data"))
    assert set(changed()) >= {"data/cards.tsv", "data/proofs.tsv", "tests/machines/unknown.machine",
                              "tests/machines/unknown.expect"}, changed()


def two_at_once():
    subprocess.run("git stash -uq && git stash drop -q", shell=True, cwd=CLONE, check=True)
    both = [subprocess.Popen([PROGRAM, "contribute", "apply", os.path.join(TOP, n, n + ".contribution"), "--checkout", CLONE],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for n in ("failing", "unknown")]
    said = [child.communicate(timeout=1500)[1] for child in both]
    assert [child.returncode for child in both] == [0, 0], said
    rows = read(os.path.join(CLONE, "data/proofs.tsv"))
    assert "contribution:failing" in rows and "contribution:unknown" in rows, rows


def where_it_cannot_write():
    path = os.path.join(TOP, "proven", "proven.contribution")
    with tempfile.TemporaryDirectory() as elsewhere:
        said = call("contribute", "apply", path, cwd=elsewhere, code=2).stderr
        assert "not a checkout" in said, said
        write(os.path.join(elsewhere, "meson.build"), "project('other')\n")
        call("contribute", "apply", path, cwd=elsewhere, code=2)
        call("contribute", "apply", path, "--checkout", os.path.join(elsewhere, "none"), code=2)
        write(os.path.join(elsewhere, "meson.build"), "project('gfxbridge', 'c')\n")
        call("contribute", "apply", path, cwd=elsewhere, code=1)
    if os.geteuid() == 0:
        done = subprocess.run(["setpriv", "--reuid", "4321", "--regid", "4321", "--clear-groups", PROGRAM, "contribute",
                               "apply", path, "--checkout", CLONE], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "Permission denied" in done.stderr, done


tap.run([("a computer whose card is proven", proven),
         ("one whose engine computes wrongly", failing),
         ("one whose card no table knows", unknown),
         ("a planted serial number, home path or host name is refused", planted_things_are_refused),
         ("forged rows are refused", forged_rows_are_refused),
         ("hostile files are refused with one sentence", hostile_files_are_refused),
         ("a clone", clone),
         ("apply adds computer, expected result and rows, and its machine tests pass", applies),
         ("the clone's machine tests hold the new computers", its_own_machine_tests_pass),
         ("applying again changes nothing, and another computer of the name is refused", applying_again_changes_nothing),
         ("a contradictory outcome stops it", contradictions_stop_it),
         ("killed, it goes on", killed_it_goes_on),
         ("two at once", two_at_once),
         ("no checkout, no rights", where_it_cannot_write)])
