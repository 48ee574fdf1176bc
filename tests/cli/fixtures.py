#!/usr/bin/env python3
"""fixtures.py GFXBRIDGE: real machines from public dumps, and every known device id, where they lie
beside the project (../shared); they belong to their authors and are not part of it."""
import csv
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import FIXTURES, SHARED, answer, call  # noqa: E402

# Thousands of calls that differ in a number: leaks are looked for in all other tests.
NO_LEAK_CHECK = {"ASAN_OPTIONS": "detect_leaks=0"}
ACCELERATORS = ("gfx900", "gfx906", "gfx908", "gfx90a", "gfx942", "gfx950")


def plain(value):
    return None if value is None else str(value).lower().replace("0x", "")


def check_gpu(gpu, want, notes):
    assert gpu["gfx"] == want.get("gfx"), (gpu["gfx"], want.get("gfx"))
    for ours, theirs in (("vram_bytes", "vram_bytes"), ("gtt_bytes", "gtt_bytes"),
                         ("driver", "driver")):
        told = (want.get("how") or {}).get(theirs.removesuffix("_bytes"), "")
        if want.get(theirs) is not None and "not in the tree" not in told:
            assert gpu[ours] == want[theirs], (ours, gpu[ours], want[theirs])
    if want.get("kind") is not None:  # the dumps know no third kind: Instinct parts are either there
        kinds = {want["kind"]} | ({"accelerator"} if gpu["gfx"] in ACCELERATORS else set())
        assert gpu["kind"] in kinds, (gpu["gfx"], gpu["kind"], want["kind"])
    dumped = not any("revision" in n and "not in the tree" in n for n in notes)
    if want.get("revision") is not None and dumped:
        assert gpu["revision"] == plain(want["revision"]), (gpu["revision"], want["revision"])
    if isinstance(want.get("pci"), str):
        assert gpu["pci"] == want["pci"], (gpu["pci"], want["pci"])


def check_machine(name):
    with open(os.path.join(FIXTURES, name, "expected.json"), encoding="utf-8") as f:
        expected = json.load(f)
    value = answer("detect", "--sysroot", os.path.join(FIXTURES, name))
    others = {plain(o.get("device")) for o in expected.get("other_gpus", [])
              if plain(o.get("vendor")) == "1002"}
    amd = [g for g in value["gpus"] if g["vendor_id"] == "1002" and g["device_id"] not in others]
    want = expected["gpus"]
    assert len(amd) == len(want), (len(amd), len(want))
    by_pci = all(isinstance(w.get("pci"), str) for w in want)
    amd.sort(key=lambda g: (g["pci"] or "") if by_pci else (g["device_id"] or "", g["gfx"] or ""))
    want.sort(key=lambda w: w["pci"] if by_pci else (plain(w.get("device")) or "", w["gfx"] or ""))
    for gpu, wanted in zip(amd, want):
        if wanted.get("device") is not None:
            assert gpu["device_id"] == plain(wanted["device"]), (gpu, wanted)
        check_gpu(gpu, wanted, expected.get("notes", []))
    for gpu in value["gpus"]:
        assert gpu["gfx"] is None or gpu["vendor_id"] in ("1002", None), gpu


def device_rows():
    path = os.path.join(SHARED, "facts", "devices.tsv")
    if not os.path.exists(path):
        raise tap.Skip("../shared is not here")
    with open(path, encoding="utf-8", newline="") as f:
        return [r for r in csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE)
                if r and not r[0].startswith("#")]


def check_device(row):
    device, revision, gfx = row[0].lower().replace("0x", ""), row[1].lower(), row[4]
    query = f"1002:{device}" + ("" if revision == "*" else ":" + revision.replace("0x", ""))
    value = answer("explain", query, env=NO_LEAK_CHECK)
    got = {a["gfx"] for a in value["answers"]}
    want = None if gfx in ("none", "unknown") else gfx
    assert want in got and (len(got) == 1 or value["ambiguous"]), (query, got, want)
    if want is None:
        assert all(a["reason"] for a in value["answers"] if a["gfx"] is None), query


def every_device():
    rows = device_rows()
    assert len(rows) > 2000, len(rows)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(check_device, rows))


def old_names_are_never_new_chips():
    names = sorted({name for row in device_rows() for name in row[2].split(" / ")
                    if any(w in name for w in ("Radeon HD", "FirePro", "FireGL"))})
    assert len(names) > 100, len(names)

    def check(name):
        done = call("explain", "--json", name, code=(0, 1, 3), env=NO_LEAK_CHECK)
        if done.returncode == 0:
            for a in json.loads(done.stdout)["answers"]:
                assert not (a["gfx"] or "").startswith(("gfx10", "gfx11", "gfx12")), (name, a["gfx"])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(check, names))


def cases():
    names = sorted(os.listdir(FIXTURES)) if os.path.isdir(FIXTURES) else []
    for name in names:
        if os.path.isfile(os.path.join(FIXTURES, name, "expected.json")):
            yield name, lambda name=name: check_machine(name)
    yield "explain gives every device row's gfx", every_device
    yield "no Radeon HD, FirePro or FireGL name gives an RDNA target", old_names_are_never_new_chips


tap.run(cases())
