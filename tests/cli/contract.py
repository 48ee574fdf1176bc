#!/usr/bin/env python3
"""contract.py GFXBRIDGE: JSON shapes, exit codes and error sentences that scripts rely on."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import SOURCE, answer, call, machine  # noqa: E402

GPU = set("index pci vendor_id device_id revision name asic gfx generation kind driver vram_bytes "
          "gtt_bytes render_node kfd_node kfd_openable render_openable partitions sources "
          "notes".split())
CHOICE = set("rank backend gpus gfx package source state code reason evidence need_bytes have_bytes "
             "env args".split())
MACHINES = sorted(n[:-len(".machine")] for n in os.listdir(os.path.join(SOURCE, "tests/machines"))
                  if n.endswith(".machine"))


def one_sentence(done):
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("gfxbridge: "), done.stderr
    assert done.stdout == "", done.stdout


def detect_shapes():
    assert len(MACHINES) >= 50, len(MACHINES)
    for name in MACHINES:
        value = answer("detect", "--sysroot", machine(name))
        assert set(value) >= {"host", "kfd", "vulkan", "gpus"}, name
        for gpu in value["gpus"]:
            assert set(gpu) >= GPU, (name, GPU - set(gpu))
            assert gpu["gfx"] is None or gpu["vendor_id"] == "1002", (name, gpu)


def plan_shapes():
    for name in MACHINES:
        value = answer("plan", "--sysroot", machine(name), code=(0, 3))
        assert set(value) >= {"policy", "model", "choices", "chosen"}, name
        assert {c["backend"] for c in value["choices"]} >= {"rocm", "vulkan", "cpu"}, name
        for choice in value["choices"]:
            assert set(choice) >= CHOICE, (name, CHOICE - set(choice))
            assert choice["reason"], (name, choice)
            assert (choice["state"] == "rejected") == (choice["code"] != "ok"), (name, choice)
        ranks = [c["rank"] for c in value["choices"]]
        assert ranks == list(range(1, len(ranks) + 1)), (name, ranks)
        states = [c["state"] == "rejected" for c in value["choices"]]
        assert states == sorted(states), f"{name}: a rejected choice before a usable one"
        first = next((i for i, r in enumerate(states) if not r), None)
        assert value["chosen"] == first, (name, value["chosen"], first)


def live_computer():
    assert set(answer("detect")["host"]) >= {"os", "kernel", "distribution", "glibc", "cpu",
                                             "memory_bytes", "container", "wsl"}
    answer("plan", code=(0, 3))
    assert set(answer("doctor", code=(0, 1))) >= {"ok", "findings"}


def explain_queries():
    def gfx(query, *options):
        return sorted(str(a["gfx"]) for a in answer("explain", query, *options)["answers"])
    assert gfx("1002:744c:cc") == ["gfx1100"]
    assert gfx("1002:744c") == ["gfx1100"]
    assert gfx("gfx1101") == ["gfx1101"]
    assert gfx("gfx906:sramecc+:xnack-") == ["gfx906"]
    assert gfx("gfx110X") == ["gfx1100", "gfx1101", "gfx1102", "gfx1103"]
    assert gfx("AMD Radeon RX 7800 XT") == ["gfx1101"]
    assert gfx("Radeon 840M") == ["gfx1152", "gfx1153"]
    assert answer("explain", "Radeon 840M")["ambiguous"] is True
    assert gfx("1002:6798") == ["gfx600"]
    assert gfx("AMD Radeon HD 6900 Series") == ["None"]
    assert gfx("RX 7900 XT") == ["gfx1100"]
    packages = {p["id"]: p for p in answer("explain", "gfx1100")["answers"][0]["packages"]}
    assert packages["debian-rocm"]["proofs"]["emulated"] > 0, packages["debian-rocm"]
    assert set(packages["debian-rocm"]["proofs"]) == {"proven", "failed", "emulated"}
    assert "debian-rocm (holds gfx1100, runtime bundled): published, proven on an emulator" in call("explain", "gfx1100").stdout
    windows = answer("explain", "gfx1100", "--os", "windows")["answers"][0]["packages"]
    assert windows and all(p["os"] == "windows" for p in windows), windows


def env_programs():
    """--help names the programs of data/env.tsv; wheels are those of the GPU's own family."""
    with open(os.path.join(SOURCE, "data", "env.tsv"), encoding="utf-8") as f:
        rows = [line.split("\t") for line in f if line[0] != "#"][1:]
    programs = [p for i, p in enumerate(r[0] for r in rows) if i == 0 or p != rows[i - 1][0]]
    assert programs == sorted(set(programs)) and all(len(r) == 5 for r in rows), programs
    said = call("env", "--for", "something", code=2).stderr
    assert "|".join(programs) in said, said
    for name, family in (("rx7900xtx-raphael", "gfx110X-all"), ("mi300x-x8", "gfx94X-dcgpu"), ("krackan-860m", "gfx1152")):
        for program in ("pytorch", "comfyui"):
            value = answer("env", "--for", program, "--sysroot", machine(name))
            url = value["env"]["PIP_INDEX_URL"]
            assert url.endswith(f"/{family}/") and family in value["how"], (name, value)
    one_sentence(call("env", "--for", "pytorch", "--sysroot", machine("intel-only"), code=None))
    one_sentence(call("env", "--for", "ramalama", "--sysroot", machine("rx7900xtx-raphael"), code=2))


def compare_shape():
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as f:
        f.write("id\tpackage\n1002:744c\tgfx1100\n1002:1902\tgfx1152\n1002:744c\tsomething\n")
        f.flush()
        value = answer("table", "compare", "mine", "--file", f.name, code=1)
    assert {k: type(v) for k, v in value.items()} == {
        "schema": int, "peer": str, "version": type(None), "claims": int, "right": int, "wrong": int, "open": int,
        "mistakes": list}, value
    assert (value["claims"], value["right"], value["wrong"], value["open"]) == (3, 1, 1, 1), value
    mistake, = value["mistakes"]
    assert set(mistake) == {"place", "table", "subjects", "says", "right", "source", "claims"}, mistake
    assert mistake["place"].endswith(".tsv:3") and mistake["right"] == "gfx1153", mistake
    assert mistake["source"].startswith("cards.tsv:"), mistake


def chips_without_a_target():
    """Too old, and unknown, are two answers."""
    def reasons(query):
        one = answer("explain", query)["answers"][0]
        assert one["gfx"] is None and one["vulkan"]["works"] is False, one
        return one["reason"], one["vulkan"]["reason"]
    assert ["before GCN" in r or "older than GCN" in r for r in reasons("1002:6718")] == [True, True]
    assert ["no source says" in r for r in reasons("1002:154c")] == [True, True]


def overrides_are_the_last_resort():
    """Told where no package holds the target itself, and as the option that exists."""
    def told(query):
        return [q for a in answer("explain", query)["answers"] for q in a["quirks"]
                if q["kind"] == "override"]
    for query in ("RX 6700 XT", "gfx1035", "gfx1036", "gfx1012"):
        assert not told(query), query
        assert "OVERRIDE_GFX_VERSION=" not in call("explain", query).stdout, query
    assert all("--allow-override" in q["remedy"] for q in told("gfx1153")) and told("gfx1153")


def exit_codes():
    call("explain", "no such card at all", code=(1, 3))
    one_sentence(call("frobnicate", code=2))
    one_sentence(call("detect", "--no-such-option", code=2))
    one_sentence(call("detect", "word", code=2))
    one_sentence(call("plan", "--backend", "cuda", code=2))
    one_sentence(call("plan", "--policy", "luck", code=2))
    one_sentence(call("detect", "--os", "beos", code=2))
    for words in (["detect"], ["run", "hello"], ["serve"], ["doctor"], ["pull", "x"],
                  ["backends", "install", "llamacpp:cpu"]):
        done = call(*words, "--os", "windows", code=2)
        one_sentence(done)
        assert "--os windows is for explain, plan and table" in done.stderr, done.stderr
        assert call("--os", "windows", *words, code=2).stderr == done.stderr
    call("--os", "linux", "detect")
    one_sentence(call("detect", "--sysroot", "/nonexistent/x.machine", code=1))
    one_sentence(call("inspect", "/nonexistent", code=1))
    one_sentence(call("run", "--sysroot", machine(MACHINES[0]), "hello", code=2))
    one_sentence(call("--os", "windows", code=2))
    assert call("--version").stdout.startswith("gfxbridge ")


def no_command_shows_the_computer():
    for name in MACHINES[::9]:
        shown = answer("--sysroot", machine(name))
        assert shown["gpus"] == answer("detect", "--sysroot", machine(name))["gpus"], name
        plan = answer("plan", "--sysroot", machine(name), code=(0, 3))
        best = plan["choices"][plan["chosen"]] if plan["chosen"] is not None else None
        assert shown["chosen"] == best and shown["next"].startswith("gfxbridge "), name
    assert call().stdout.startswith("Computer ")


def full_stdout_is_an_error():
    with open("/dev/full", "w", encoding="ascii") as full:
        import subprocess
        from gfxbridge import PROGRAM
        done = subprocess.run([PROGRAM, "table"], stdout=full, stderr=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and "write" in done.stderr, (done.returncode, done.stderr)


def capture_round_trip():
    for name in MACHINES[::7]:
        text = call("capture", "--sysroot", machine(name)).stdout
        path = f"/tmp/gfxbridge-contract-{os.getpid()}.machine"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        try:
            before = answer("detect", "--sysroot", machine(name))
            after = answer("detect", "--sysroot", path)
            assert before == after, name
        finally:
            os.unlink(path)


def names_and_agents():
    """alias, launch and logs: their JSON, and one sentence where there is nothing to show."""
    with tempfile.TemporaryDirectory() as data:
        place = ("--data-dir", data)
        assert answer(*place, "alias")["aliases"] == []
        call(*place, "alias", "mine", "canary")
        assert answer(*place, "alias")["aliases"] == [{"name": "mine", "model": "canary", "options": {}}]
        listed = {m["name"]: m["alias_of"] for m in answer(*place, "list")["models"]}
        assert listed["mine"] == "canary" and listed["canary"] is None, listed
        for words, code in ((["alias", "mine"], 2), (["alias", "rm", "canary"], 1), (["alias", "x", "nobody"], 1),
                            (["alias", "canary", "mine"], 1), (["logs"], 1), (["launch", "nobody"], 2),
                            (["logs", "--follow", "--json"], 2)):
            one_sentence(call(*place, *words, code=code))
        call(*place, "alias", "rm", "mine")
        assert answer(*place, "alias")["aliases"] == []
        assert answer(*place, "logs", "--engine")["logs"] == []
    place = machine("amdgpu-dkms")
    assert call("--sysroot", place, "demo").stdout == call("demo", place).stdout != call("demo").stdout
    for row in answer("launch")["agents"]:
        assert set(row) >= {"agent", "program", "path", "install"}, row


tap.run([
    ("detect: every field, every captured machine", detect_shapes),
    ("plan: every field, every captured machine", plan_shapes),
    ("detect, plan and doctor on this computer", live_computer),
    ("explain: ids, targets, families, names", explain_queries),
    ("explain: too old, and unknown", chips_without_a_target),
    ("env --for knows the programs of its table", env_programs),
    ("table compare --json has its fields", compare_shape),
    ("explain: overrides are the last resort", overrides_are_the_last_resort),
    ("exit codes and one sentence", exit_codes),
    ("alias, launch and logs", names_and_agents),
    ("without a command: this computer", no_command_shows_the_computer),
    ("a full stdout is an error", full_stdout_is_an_error),
    ("capture of a capture is the same machine", capture_round_trip),
])
