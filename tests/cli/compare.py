#!/usr/bin/env python3
"""compare.py GFXBRIDGE: `table compare` on small checkouts, written here in the layouts of the projects, with mistakes
planted: each is found with its file and line, and the patch leaves none."""
import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, answer, call  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge compare ")

LEMONADE = {
    "CMakeLists.txt": "cmake_minimum_required(VERSION 3.20)\nproject(lemon_cpp VERSION 1.2.3)\n",
    "src/cpp/include/lemon/backends/base.h": "// no recipe\n",
    "src/cpp/include/lemon/backends/whispercpp/whispercpp.h": """\
inline const BackendDescriptor descriptor = {
    /*recipe*/ "whispercpp",
    /*support*/ {
        // "rocm" is the last
        {"cpu", {"linux"}, {{"cpu", {"x86_64"}}}, "CPU"},
        {"rocm", {"windows", "linux"},
         {{"amd_gpu", {"gfx1151", "gfx110X"}}}, "some AMD GPUs"},
    },
    /*rocm_channels*/ {},
};
""",
    "src/cpp/include/lemon/backends/llamacpp/llamacpp.h": """\
inline const BackendDescriptor descriptor = {
    /*recipe*/ "llamacpp",
    /*support*/ {
        {"rocm", {"windows", "linux"}, {{"amd_gpu", {"gfx103X", "gfx110X", "gfx1150", "gfx1151", "gfx120X"}}}, "AMD GPUs",
         {{"gfx1152", {/*os*/ {"linux"}, /*channels*/ {"stable"}}}}},
        {"vulkan", {"linux"}, {{"cpu", {}}, {"amd_gpu", {}}}, "GPUs"},
    },
    /*rocm_channels*/ {"stable", "nightly"},
};
""",
    "src/cpp/include/lemon/backends/kokoro/kokoro.h": """\
inline const BackendDescriptor descriptor = {
    /*recipe*/ "kokoro",
    /*support*/ {
        {"cpu", {"linux"}, {{"cpu", {"x86_64"}}}, "CPU"},
    },
};
""",
    "src/cpp/server/system_info.cpp": """\
std::string identify_rocm_arch_from_name(const std::string& device_name);

std::string identify_rocm_arch_from_name(const std::string& device_name) {
    std::string device_lower = lower(device_name);
    if (device_lower.empty()) {
        return "";
    }
    if (device_lower.find("radeon") == std::string::npos && device_lower.find("amd") == std::string::npos) {
        return "";
    }
    if (device_lower.find("8060s") != std::string::npos) {
        return "gfx1151";
    }
    if (device_lower.find("840m") != std::string::npos ||
        device_lower.find("860m") != std::string::npos) {
        return "gfx1152";
    }
    // both
    if (device_lower.find("7800") != std::string::npos ||
        device_lower.find("7900") != std::string::npos) {
        return "gfx110X";
    }
    return "";
}
""",
}

ROCM_CLI = {"crates/rocm-core/src/lib.rs": """\
pub fn normalize_therock_family(value: &str) -> Option<String> {
    let target = value.to_ascii_lowercase();
    match target.as_str() {
        "gfx103x-dgpu" => Some("gfx103X-dgpu".to_owned()),
        value if value.starts_with("gfx103") => Some("gfx103X-dgpu".to_owned()),
        "gfx1100" | "gfx1101" | "gfx1102" | "gfx1103" => Some("gfx110X-all".to_owned()),
        value
            if value.starts_with("gfx120")
                || value.starts_with("gfx12-") =>
        {
            Some("gfx120X-all".to_owned())
        }
        _ => None,
    }
}

fn gfx_target_from_amd_pci_device_id(device_id: &str) -> Option<&'static str> {
    match device_id.to_ascii_lowercase().as_str() {
        // Navi 31
        "744c" | "7448" => Some("gfx1100"),
        "73bf" | "73df" => Some("gfx1030"),
        _ => None,
    }
}

const AMD_MARKETING_GFX_TARGETS: &[AmdMarketingGfxTarget] = &[
    AmdMarketingGfxTarget {
        pattern: "rx 7900",
        gfx_target: "gfx1100",
    },
    AmdMarketingGfxTarget {
        pattern: "840m",
        gfx_target: "gfx1152",
    },
];
"""}

OLLAMA = {
    "llama/server/CMakePresets.json": """\
{"configurePresets": [
  {"name": "rocm_v7_linux", "inherits": ["rocm_base"],
   "cacheVariables": {"AMDGPU_TARGETS": "gfx908:xnack-;gfx90a:xnack+;gfx90a:xnack-;gfx942;gfx950;gfx1030;gfx1100;gfx1101;gfx1102;gfx1103;gfx1150;gfx1151;gfx1200;gfx1201"}}
]}
""",
    "discover/runner.go": """\
var defaultIntegratedROCmGFXTargets = map[string]struct{}{
\t// a comment that stays
\t"gfx1151": {},
\t"gfx1103": {},
}
""",
    "docs/gpu.mdx": """\
# GPUs

### Linux Support

| Family | Cards |
| ------ | ----- |
| AMD Radeon RX | `9070` `9060` `7900 XTX` `7800 XT` `7600` `6800` |
| AMD Ryzen AI | `Ryzen AI Max+ 395` `Ryzen AI 9 HX 375` |
| AMD Instinct | `MI350X` `MI300X` `MI210` `MI100` |

### Windows Support

| Family | Cards |
| ------ | ----- |
| AMD Radeon RX | `7900 XTX` `7800 XT` `7600` `6800` `5700 XT` |

| **LLVM Target** | **An Example GPU** |
|---|---|
""" + "".join(f"| {gfx} | {name} |\n" for gfx, name in (
        ("gfx908", "Radeon Instinct MI100"), ("gfx90a", "Radeon Instinct MI210"), ("gfx942", "Radeon Instinct MI300X"),
        ("gfx1030", "Radeon RX 6800"), ("gfx1031", "Radeon RX 6700 XT"), ("gfx1100", "Radeon RX 7900 XTX"),
        ("gfx1101", "Radeon RX 7800 XT"), ("gfx1102", "Radeon RX 7600"), ("gfx1150", "Ryzen AI 9 HX 375"),
        ("gfx1151", "Ryzen AI Max+ 395"), ("gfx1200", "Radeon RX 9070"), ("gfx1201", "Radeon RX 9070 XT"))) + "\nThe end\n",
}

LLAMACPP_ROCM = {".github/workflows/build-llamacpp-rocm.yml": """\
env:
  OPERATING_SYSTEMS: ${{ inputs.os || 'windows,ubuntu' }}
  GFX_TARGETS: ${{ inputs.gfx_target || 'gfx1151,gfx1150,gfx120X,gfx110X,gfx103X,gfx90a,gfx1152' }}
jobs:
  windows:
        if "%current_target%"=="gfx110X" (
          set "mapped_target=gfx1100;gfx1101;gfx1102;gfx1103"
        ) else if "%current_target%"=="gfx103X" (
          set "mapped_target=gfx1030;gfx1031;gfx1032;gfx1034"
        ) else if "%current_target%"=="gfx120X" (
          set "mapped_target=gfx1200;gfx1201"
        )
  ubuntu:
        if [ "$current_target" = "gfx110X" ]; then
          mapped_target="gfx1100;gfx1101;gfx1102"
        elif [ "$current_target" = "gfx103X" ]; then
          mapped_target="gfx1030;gfx1031;gfx1032;gfx1034;gfx1036"
        elif [ "$current_target" = "gfx120X" ]; then
          mapped_target="gfx1200;gfx1201"
        fi
"""}


def checkout(files, **changes):
    """A directory with these files; changes: {part of a path: (old, new)} by its last name."""
    top = tempfile.mkdtemp(dir=TOP)
    for path, text in files.items():
        old, new = changes.get(os.path.basename(path).split(".")[0].replace("-", "_"), ("", ""))
        assert old in text, (path, old)
        os.makedirs(os.path.join(top, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(top, path), "w", encoding="utf-8") as f:
            f.write(text.replace(old, new, 1))
    return top


def compare(peer, top, code=1):
    return answer("table", "compare", peer, "--source", top, code=code)


def found(value):
    """{(file's name, line, what is judged): {subject}}"""
    out = {}
    for m in value["mistakes"]:
        path, line = m["place"].rsplit(":", 1)
        out.setdefault((os.path.basename(path), int(line), m["table"]), set()).update(m["subjects"].split(", "))
    return out


def mended(peer, top):
    """The patch applies with two programs that know nothing of ours, and what it makes has no mistake."""
    done = call("table", "compare", peer, "--source", top, "--patch", code=1)
    assert "wrong" in done.stderr and done.stdout.startswith("--- a/"), done
    git = subprocess.run(["git", "apply", "-p1"], input=done.stdout, text=True, cwd=top, capture_output=True,
                         env={**os.environ, "GIT_CEILING_DIRECTORIES": os.path.dirname(top)}, check=False)
    assert git.returncode == 0, git.stderr + done.stdout
    value = compare(peer, top, code=0)
    assert value["mistakes"] == [] and value["wrong"] == 0 and value["right"] > 0, value
    again = call("table", "compare", peer, "--source", top, "--patch", code=0)
    assert again.stdout == "", again.stdout
    return done.stdout


def read(top, name):
    for directory, _, files in os.walk(top):
        if name in files:
            with open(os.path.join(directory, name), encoding="utf-8") as f:
                return f.read()
    raise AssertionError(name)


def lemonade():
    top = checkout(LEMONADE)
    value = compare("lemonade", top)
    assert value["version"] == "1.2.3", value
    got = found(value)
    whisper, llama, names = "whispercpp.h", "llamacpp.h", "system_info.cpp"
    assert got.pop((whisper, 7, "whispercpp:rocm")) == {"gfx1103", "gfx1150", "gfx1200", "gfx1201"}, got
    assert got.pop((llama, 4, "llamacpp:rocm-nightly")) == {"gfx908", "gfx90a", "gfx1033", "gfx1035", "gfx1036"}, got
    stable = got.pop((llama, 4, "llamacpp:rocm-stable"))
    assert stable == {"gfx908", "gfx90a", "gfx942", "gfx950", "gfx1010", "gfx1011", "gfx1012", "gfx1152"}, stable
    assert any("840M" in s for s in got.pop((names, 14, "names of cards"))), got
    old = got.pop((names, 19, "names of cards"))
    assert "1002:679a AMD Radeon HD 7900 Series" in old and not any(" RX " in s for s in old), old
    assert not got, got
    mended("lemonade", top)
    assert '{"amd_gpu", {"gfx1100", "gfx1101", "gfx1102", "gfx1150", "gfx1151", "gfx1200", "gfx1201"}}' in read(top, whisper)
    assert '{"gfx1033", {/*os*/ {}, /*channels*/ {"stable"}}}' in read(top, llama), read(top, llama)
    text = read(top, names)
    assert '"840m"' not in text and "gfx110X" not in text and '"rx 7900"' in text and '"8060s"' in text, text
    assert "    // both\n" in text and text.endswith('    return "";\n}\n'), text


def rocm_cli():
    top = checkout(ROCM_CLI)
    got = found(compare("rocm-cli", top))
    assert got.pop(("lib.rs", 5, "therock")) == {"gfx1033", "gfx1035", "gfx1036"}, got
    assert [s[:9] for s in got.pop(("lib.rs", 21, "PCI ids"))] == ["1002:73df"], got
    assert any("840M" in s for s in got.pop(("lib.rs", 31, "names of cards"))), got
    assert not got, got
    mended("rocm-cli", top)
    text = read(top, "lib.rs")
    assert '"73bf" => Some("gfx1030"),\n        "73df" => Some("gfx1031"),\n' in text, text
    assert '"gfx1036" => Some("gfx103X-all".to_owned()),\n' in text and '"840m"' not in text, text
    assert 'if value.starts_with("gfx120")' in text, "a right arm stays as it is"


def ollama():
    top = checkout(OLLAMA)
    got = found(compare("ollama", top))
    assert got.pop(("CMakePresets.json", 3, "rocm")) == {"gfx1103"}, got
    assert got.pop(("runner.go", 4, "rocm")) == {"gfx1103"}, got
    assert got.pop(("runner.go", 1, "rocm")) == {"gfx1150"}, got
    assert got.pop(("gpu.mdx", 13, "rocm")) == {"gfx1150", "gfx1151", "gfx1200", "gfx1201"}, got
    assert got.pop(("gpu.mdx", 15, "rocm")) == {"AMD Radeon RX 5700 XT"}, got
    assert got.pop(("gpu.mdx", 17, "rocm")) == {"gfx950"}, got
    assert got.pop(("gpu.mdx", 23, "rocm")) == {"gfx1031"}, got
    assert got.pop(("gpu.mdx", 29, "rocm")) == {"Radeon RX 9070"}, got
    assert not got, got
    mended("ollama", top)
    runner, page = read(top, "runner.go"), read(top, "gpu.mdx")
    assert "a comment that stays" in runner and '\t"gfx1150": {},\n}' in runner and "gfx1103" not in runner, runner
    assert "| gfx1031 |" not in page and "`5700 XT`" not in page and page.endswith("\nThe end\n"), page


def llamacpp_rocm():
    top = checkout(LLAMACPP_ROCM)
    got = found(compare("llamacpp-rocm", top))
    name = "build-llamacpp-rocm.yml"
    assert got.pop((name, 3, "rocm")) == {"gfx1152", "gfx908"}, got
    assert got.pop((name, 15, "rocm")) == {"gfx1103"} and got.pop((name, 17, "rocm")) == {"gfx1036"}, got
    assert not got, got
    mended("llamacpp-rocm", top)
    text = read(top, name)
    assert "gfx90a,gfx908' }}" in text and "gfx1034;gfx1036" not in text and '"gfx1100;gfx1101;gfx1102;gfx1103"' in text, text


def order_of_mends():
    """Mistakes are mended in whatever order the parts stand; two changes of one place are refused."""
    name = ".github/workflows/build-llamacpp-rocm.yml"
    head, rest = LLAMACPP_ROCM[name].split("  windows:\n")
    windows, ubuntu = rest.split("  ubuntu:\n")
    mended("llamacpp-rocm", checkout({name: head + "  ubuntu:\n" + ubuntu + "  windows:\n" + windows}))
    page = OLLAMA["docs/gpu.mdx"]
    one, two = page.index("| Family"), page.index("### Windows")
    done = call("table", "compare", "ollama", "--source", checkout({**OLLAMA, "docs/gpu.mdx": page[:one] + page[two:]}),
                "--patch", code=1)
    assert "gpu.mdx" in done.stderr and not done.stdout, done


def preset():
    """Single targets come and go; order, options and what is not judged stay."""
    top = checkout(OLLAMA, CMakePresets=("gfx908:xnack-;", "gfx9999;"))
    text = OLLAMA["llama/server/CMakePresets.json"]
    mended("ollama", top)
    assert read(top, "CMakePresets.json") == text.replace("gfx908:xnack-;", "gfx9999;").replace(
        "gfx1103;", "").replace('gfx1201"', 'gfx1201;gfx908:xnack-"'), read(top, "CMakePresets.json")


def changed_layouts():
    """Each is an error that names file and line, never a guess."""
    cases = [
        ("lemonade", LEMONADE, {"whispercpp": ('{"amd_gpu", {"gfx1151"', '{"amd_gpu", {GFX1151')}, "whispercpp.h:7"),
        ("lemonade", LEMONADE, {"whispercpp": ("/*support*/", "/*rows*/")}, "whispercpp.h:1"),
        ("lemonade", LEMONADE, {"llamacpp": ("/*channels*/ {", "/*channels*/ {{")}, "llamacpp.h:5"),
        ("lemonade", LEMONADE, {"system_info": ('find("840m")', 'starts("840m")')}, "system_info.cpp:"),
        ("lemonade", LEMONADE, {"system_info": ('return "gfx1152"', 'return Arch::gfx1152')}, "system_info.cpp:16"),
        ("lemonade", LEMONADE, {"CMakeLists": ("lemon_cpp", "citrus")}, "CMakeLists.txt:1"),
        ("rocm-cli", ROCM_CLI, {"lib": ("starts_with(\"gfx103\")", "contains(\"gfx103\")")}, "lib.rs:5"),
        ("rocm-cli", ROCM_CLI, {"lib": ('"744c"', '"navi31"')}, "lib.rs:20"),
        ("rocm-cli", ROCM_CLI, {"lib": ('pattern: "840m"', 'model: "840m"')}, "lib.rs:3"),
        ("ollama", OLLAMA, {"CMakePresets": ("AMDGPU_TARGETS", "GPUS")}, "CMakePresets.json:1"),
        ("ollama", OLLAMA, {"runner": ('"gfx1151": {}', '"gfx1151": true')}, "runner.go:3"),
        ("ollama", OLLAMA, {"gpu": ("| **LLVM Target**", "| Target")}, "gpu.mdx:1"),
        ("ollama", OLLAMA, {"gpu": ("| Radeon Instinct MI100 |", "| Radeon Instinct MI100 | 32 GB |")}, "gpu.mdx:19"),
        ("ollama", OLLAMA, {"gpu": ("`MI100` |", "`MI100` | ROCm 7 |")}, "gpu.mdx:9"),
        ("ollama", OLLAMA, {"gpu": ("| Family | Cards |", "| Family | Cards | Notes |")}, "gpu.mdx:5"),
        ("ollama", OLLAMA, {"gpu": ("| gfx908 |", "| MI100 |")}, "gpu.mdx:19"),
        ("llamacpp-rocm", LLAMACPP_ROCM, {"build_llamacpp_rocm": ('mapped_target="gfx1200', 'targets="gfx1200')},
         "build-llamacpp-rocm.yml:18"),
        ("llamacpp-rocm", LLAMACPP_ROCM, {"build_llamacpp_rocm": ("GFX_TARGETS", "TARGETS")}, "build-llamacpp-rocm.yml:1"),
    ]
    for peer, files, changes, place in cases:
        done = call("table", "compare", peer, "--source", checkout(files, **changes), code=1)
        assert place in done.stderr and "layout" in done.stderr and not done.stdout, (peer, changes, done)
    done = call("table", "compare", "ollama", "--source", checkout({"a": "b"}), code=1)
    assert "CMakePresets.json" in done.stderr, done


def nothing_outside_the_checkout():
    """A link in a checkout is not followed, wherever it leads; neither is a reference of git's that leads out of .git."""
    outside = os.path.join(TOP, "outside")
    shutil.copytree(checkout(OLLAMA), outside)
    for path in ("discover", "discover/runner.go", "docs/gpu.mdx", "llama"):
        top = checkout(OLLAMA)
        place = os.path.join(top, path)
        shutil.rmtree(place) if os.path.isdir(place) else os.remove(place)
        os.symlink(os.path.join(outside, path), place)
        done = call("table", "compare", "ollama", "--source", top, "--patch", code=1)
        assert os.strerror(40) in done.stderr and path in done.stderr and not done.stdout, (path, done)
    top = checkout(LEMONADE)
    backends = os.path.join(top, "src/cpp/include/lemon/backends")
    os.rename(os.path.join(backends, "whispercpp"), os.path.join(TOP, "whispercpp"))
    os.symlink(os.path.join(TOP, "whispercpp"), os.path.join(backends, "whispercpp"))
    assert "whispercpp" in call("table", "compare", "lemonade", "--source", top, code=1).stderr
    os.rename(backends, backends + "2")
    os.symlink("backends2", backends)
    assert "backends" in call("table", "compare", "lemonade", "--source", top, code=1).stderr

    commit, other = "0123456789abcdef" * 2 + "01234567", "f" * 40
    for name, text in (("digest", commit), ("words", "my password is this and it is long enou")):
        with open(os.path.join(TOP, name), "w", encoding="utf-8") as f:
            f.write(text + "\n")
    for head, version in ((commit, commit), ("ref: refs/heads/main", other), ("ref: ../../digest", None), ("ref: digest", None),
                          ("ref: refs/../../../digest", None), ("ref: refs/heads/link", None), ("ref: refs/heads/words", None),
                          ("ref: refs/heads/packed", other), ("ref: packed", None), ("ref: refs/heads/pack", None)):
        top = checkout({**OLLAMA, ".git/HEAD": head + "\n", ".git/refs/heads/main": other + "\n", ".git/digest": commit,
                        ".git/packed-refs": f"# pack-refs with: peeled\n{commit} refs/heads/main\n{other} refs/heads/packed\n^{commit}\n",
                        ".git/refs/heads/words": "my password is this and it is long enou"})
        os.symlink(os.path.join(TOP, "digest"), os.path.join(top, ".git/refs/heads/link"))
        assert compare("ollama", top)["version"] == version, head


def unusual_files():
    """Bytes and names that a patch cannot carry are refused."""
    done = call("table", "compare", "ollama", "--source", checkout(OLLAMA, runner=("// a comment", "// \0")), "--patch", code=1)
    assert "runner.go" in done.stderr and not done.stdout, done
    whisper = LEMONADE["src/cpp/include/lemon/backends/whispercpp/whispercpp.h"]
    for name in ("a\n+++ b", "a b", "\x1b[2J", "ä", '"'):
        top = checkout({**LEMONADE, f"src/cpp/include/lemon/backends/{name}/{name}.h": whisper})
        done = call("table", "compare", "lemonade", "--source", top, "--patch", code=1)
        assert "unusual name" in done.stderr and not done.stdout and "\x1b" not in done.stderr, (name, done)


def too_much():
    """What is larger than any project's tables is an error, and what takes long ends with Ctrl-C."""
    top = checkout({**OLLAMA, "discover/runner.go": OLLAMA["discover/runner.go"] + "// more\n" * (1 << 20)})
    assert "runner.go" in call("table", "compare", "ollama", "--source", top, code=1).stderr
    rule = 'AmdMarketingGfxTarget { pattern: "%s", gfx_target: "gfx1100" },\n'
    end = ROCM_CLI["crates/rocm-core/src/lib.rs"].rindex("];")
    text = ROCM_CLI["crates/rocm-core/src/lib.rs"][:end]
    top = checkout({"crates/rocm-core/src/lib.rs": text + rule % "x" * 4100 + "];\n"})
    assert "too many rules" in call("table", "compare", "rocm-cli", "--source", top, code=1).stderr
    path = os.path.join(TOP, "mapping.tsv")
    with open(path, "w", encoding="utf-8") as f:
        f.write("id\tpackage\n" + "1002:744c\tgfx1030\n" * 5000)
    assert "mistakes" in call("table", "compare", "somebody", "--file", path, code=1).stderr

    names = " || ".join(f'device_lower.find("no card {n}") != std::string::npos' for n in range(32))
    system = LEMONADE["src/cpp/server/system_info.cpp"]
    rules = f'    if ({names}) {{ return "gfx110X"; }}\n' * 1500
    at = system.index("    // both")
    top = checkout({**LEMONADE, "src/cpp/server/system_info.cpp": system[:at] + rules + system[at:]})
    with subprocess.Popen([PROGRAM, "table", "compare", "lemonade", "--source", top], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as child:
        try:
            ticks = 0
            while child.poll() is None and ticks < os.sysconf("SC_CLK_TCK"):
                with open(f"/proc/{child.pid}/stat", encoding="utf-8") as f:
                    ticks = int(f.read().rsplit(")", 1)[1].split()[11])
            child.send_signal(signal.SIGINT)
            _, told = child.communicate(timeout=60)
        finally:
            child.kill()
    assert "interrupted" in told and child.returncode not in (0, -signal.SIGINT), (child.returncode, told)


def cut_short():
    """Half a file ends in a sentence, wherever it is cut."""
    for peer, files in (("lemonade", LEMONADE), ("rocm-cli", ROCM_CLI), ("ollama", OLLAMA), ("llamacpp-rocm", LLAMACPP_ROCM)):
        for path, text in files.items():
            for part in range(1, 8):
                top = checkout({**files, path: text[:len(text) * part // 8]})
                done = call("table", "compare", peer, "--source", top, code=(0, 1))
                assert done.returncode == 1 or not done.stderr, (peer, path, part, done)


def a_patch_that_would_leave_mistakes():
    """A rule that the reader cannot mend (the family's own name says it) is not printed as mended."""
    top = checkout(ROCM_CLI, lib=('"gfx1100" | "gfx1101" | "gfx1102" | "gfx1103" => Some("gfx110X-all"',
                                  '"gfx1100" | "gfx1101" | "gfx1102" | "gfx1103" => Some("gfx110X-none"'))
    value = compare("rocm-cli", top)
    assert any("no file gfx110X-none is published" in m["right"] for m in value["mistakes"]), value
    assert '=> Some("gfx110X-all".to_owned())' in mended("rocm-cli", top)


def mapping():
    path = os.path.join(TOP, "mapping.tsv")
    with open(path, "w", encoding="utf-8") as f:
        f.write("# ours\nid\tpackage\n1002:744c\tllamacpp-rocm-gfx110X-linux\n1002:1681\tllamacpp-rocm-gfx103X-linux\n"
                "1002:1902\tgfx1152\n1002:744c\tgfx110X\n1002:744c\tsome-other-package\nnonsense\tgfx1100\n")
    value = answer("table", "compare", "somebody", "--file", path, code=1)
    assert [(m["place"].rsplit(":", 1)[1], m["subjects"]) for m in value["mistakes"]] == [("4", "1002:1681"), ("5", "1002:1902")]
    assert (value["claims"], value["right"], value["wrong"], value["open"]) == (6, 2, 2, 2), value
    for text, place in (("gfx\tpackage\nonly one field\n", ":2:"), ("card\tpackage\n", ":1:"), ("# nothing\n", "empty")):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        assert place in call("table", "compare", "somebody", "--file", path, code=1).stderr


class Lemond(http.server.BaseHTTPRequestHandler):
    """Answers a dry run as Lemonade does, which refuses with 500: right but for one file without code and one refusal. It
    does not know most recipes; of two it never decides."""
    asked = []
    lies = True
    long = ""
    version = "9.9"

    def log_message(self, *arguments):
        pass

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        good = self.path == "/v1/health"
        self.reply(200 if good else 404, {"status": "ok", "version": self.version} if good else {})

    def do_POST(self):
        assert self.path == "/v1/install/dry-run", self.path
        q = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((q["recipe"], q["backend"], q["arch"]))
        if (q["recipe"], q["backend"]) == ("trellis", "rocm"):
            yes = re.fullmatch("gfx(103[012]|110[0123]|115[012]|120[01])", q["arch"]) is not None
            if self.lies:
                yes = (yes or q["arch"] == "gfx1036") and q["arch"] != "gfx1201"
            return self.reply(200, {"supported": yes, "filename": "trellis-rocm-linux-x64.tar.gz" + self.long})
        if q["recipe"] == "ds4" and q["arch"] == "gfx1151":
            return self.reply(200, {"supported": True, "filename": "ds4-b1-linux-rocm-gfx1151-x64.tar.gz"})
        if q["recipe"] == "thinksound":  # gfx1030 is refused, though it is published; of the rest nothing is known
            refused = {"gfx1030": 500, "gfx1100": 401, "gfx1201": 429}.get(q["arch"], 503)
            decided = {"supported": True, "filename": "thinksound-rocm-linux-x64.tar.gz"}
            return self.reply(200, decided) if q["arch"] == "gfx1151" else self.reply(refused, {"error": "no"})
        if q["recipe"] == "acestep":
            return self.reply(200, {"filename": "acestep-rocm-linux-x64.tar.gz"})
        return self.reply(500, {"error": "Unknown recipe", "arch": q["arch"]})


@contextlib.contextmanager
def lemond():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lemond)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def running_server():
    with lemond() as url:
        value = answer("table", "compare", "lemonade", "--url", url, code=1)
    assert value["version"] == "9.9" and len(set(Lemond.asked)) == len(Lemond.asked) == value["claims"] >= 507, value
    assert [(m["table"], m["subjects"], m["says"]) for m in value["mistakes"]] == [
        ("thinksound:rocm", "gfx1030", "not supported"),
        ("trellis:rocm", "gfx1036", "supported, by trellis-rocm-linux-x64.tar.gz"),
        ("trellis:rocm", "gfx1201", "not supported")], value["mistakes"]
    assert value["claims"] == value["right"] + value["wrong"] + value["open"], value
    with lemond() as url:
        Lemond.long = "x" * 300
        done = call("table", "compare", "lemonade", "--url", url, code=1)
        Lemond.long = ""
    assert "names a file that no system could store" in done.stderr, done
    done = call("table", "compare", "lemonade", "--url", "http://127.0.0.1:9", code=1)
    assert "offline" in done.stderr or "127.0.0.1" in done.stderr, done


def report_for_an_issue():
    done = call("table", "compare", "ollama", "--source", checkout(OLLAMA), "--report", code=1)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ollama: ") and lines[2].startswith("| place |"), lines[:3]
    rows = [line for line in lines[4:] if line]
    assert len(rows) >= 8 and all(line.startswith("| ") and line.endswith(" |") for line in rows), rows
    assert any("discover/runner.go:4" in line for line in rows), rows


def hostile_server():
    """What a server says of itself forges no row of the report and no escape sequence, C1 ones included."""
    forged = "1.0\n| a | b | c | d | e | f |\n\x1b[2J\u009b2J`" + "9" * 500
    try:
        Lemond.version, Lemond.long = forged, "\\|\u009b2J\x1b[2J"
        with lemond() as url:
            report = call("table", "compare", "lemonade", "--url", url, "--report", code=1).stdout
            text = call("table", "compare", "lemonade", "--url", url, code=1).stdout
            asked = len(Lemond.asked)
            offline = call("table", "compare", "lemonade", "--url", url, "--no-network", code=1)
            assert "network" in offline.stderr and not offline.stdout and len(Lemond.asked) == asked, offline
    finally:
        Lemond.version, Lemond.long = "9.9", ""
    lines = report.splitlines()
    assert "lemonade 1.0???a???b" in lines[0] and len(lines[0]) < 200 and lines[1] == "", lines[:3]
    assert all(len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 7 for line in lines[2:] if line), report
    for shown in (report, text):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown), shown


def patch_on_a_terminal():
    """A patch with an escape sequence in it is not printed on a terminal, but goes to a file."""
    top = checkout(OLLAMA, runner=("a comment", "\x1b[2J a comment"))
    assert "\x1b[2J" in call("table", "compare", "ollama", "--source", top, "--patch", code=1).stdout
    ours, theirs = os.openpty()
    child = subprocess.run([PROGRAM, "table", "compare", "ollama", "--source", top, "--patch"], stdout=theirs,
                           stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    os.write(theirs, b"end")
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    os.close(theirs)
    assert shown == b"end" and child.returncode and "control characters" in child.stderr, (shown, child)


def usage():
    top = checkout(OLLAMA)
    for words in (("table", "compare"), ("table", "compare", "ollama"), ("table", "check", "--patch"),
                  ("table", "compare", "ollama", "--url", "http://127.0.0.1:9"), ("table", "check", "ollama"),
                  ("table", "compare", "jan", "--source", top), ("table", "compare", "lemonade", "--url", "x", "--source", top),
                  ("table", "compare", "ollama", "--source", top, "--patch", "--json")):
        call(*words, code=2)


try:
    tap.run([
        ("lemonade: every planted mistake with its line, and a patch", lemonade),
        ("rocm-cli: every planted mistake with its line, and a patch", rocm_cli),
        ("ollama: every planted mistake with its line, and a patch", ollama),
        ("llamacpp-rocm: every planted mistake with its line, and a patch", llamacpp_rocm),
        ("mends in any order", order_of_mends),
        ("a list of targets is changed target by target", preset),
        ("a layout that is not known is an error with file and line", changed_layouts),
        ("nothing outside the checkout is read", nothing_outside_the_checkout),
        ("files that a patch cannot carry are refused", unusual_files),
        ("too large a table is an error, and Ctrl-C ends a long comparison", too_much),
        ("a file that is cut short is no crash", cut_short),
        ("a family that nobody publishes is mended too", a_patch_that_would_leave_mistakes),
        ("anybody's mapping in a file", mapping),
        ("a running server is asked for every pair, once", running_server),
        ("the report is a Markdown table", report_for_an_issue),
        ("a server that forges rows and escape sequences", hostile_server),
        ("a patch with control characters is not for a terminal", patch_on_a_terminal),
        ("usage", usage),
    ])
finally:
    shutil.rmtree(TOP, ignore_errors=True)
