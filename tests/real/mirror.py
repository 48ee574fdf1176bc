#!/usr/bin/env python3
"""mirror.py GFXBRIDGE MIRROR_TOOL: packages from release archives, from a GitHub on loopback.

nginx with TLS plays GitHub, its API, its storage, TheRock's index and a mirror (mirror_world.py).
Every case ends in a package that can be started, or in one clear sentence and nothing half-done.
"""
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
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tap  # noqa: E402
import mirror_world as mw  # noqa: E402
from gfxbridge import SOURCE, answer, call  # noqa: E402
from wait import wait_until  # noqa: E402

TOOL = os.path.abspath(sys.argv[2])
TOP = tempfile.mkdtemp(prefix="gfxbridge mirror ")  # with a blank, as users have them
TABLES = os.path.join(TOP, "tables")
RUNTIME_URL = "https://repo.amd.com/rocm/tarball-multi-arch/"
SEED = int(os.environ.get("GFXB_TEST_SEED", "0")) or random.randrange(1 << 30)
RANDOM = random.Random(SEED)
WORLD = None
ROWS = {}     # id -> dict of columns
COLUMNS = []


# ---- tables ----

def read_rows():
    with open(os.path.join(SOURCE, "data", "packages.tsv"), encoding="utf-8") as f:
        lines = [line.rstrip("\n") for line in f if line.strip() and not line.startswith("#")]
    COLUMNS.extend(lines[0].split("\t"))
    for line in lines[1:]:
        row = dict(zip(COLUMNS, line.split("\t")))
        ROWS[row["id"]] = row


def write_rows():
    os.makedirs(TABLES, exist_ok=True)
    with open(os.path.join(TABLES, "packages.tsv"), "w", encoding="utf-8") as f:
        f.write("\t".join(COLUMNS) + "\n")
        for row in ROWS.values():
            f.write("\t".join(row[c] for c in COLUMNS) + "\n")


def lock(identity, path):
    ROWS[identity]["sha256"] = mw.sha256(path)
    ROWS[identity]["size"] = str(os.path.getsize(path))


def unlock(identity):
    ROWS[identity]["sha256"] = ROWS[identity]["size"] = "-"


def add_row(identity, url, backend="cpu", gfx="-", runtime="none", path=None):
    ROWS[identity] = {c: "-" for c in COLUMNS}
    ROWS[identity].update(id=identity, provider="github", engine="llamacpp", backend=backend, os="linux",
                          arch=os.uname().machine, gfx=gfx, runtime=runtime, locate=url, tag="t1",
                          installable="yes", source="TEST")
    if path:
        lock(identity, path)


# ---- calls ----

def environment(**settings):
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    env.update(TOOL_GITHUB=WORLD.github, TOOL_API=WORLD.api, TOOL_THEROCK=WORLD.therock,
               TOOL_CA=WORLD.ca)
    env.update({"TOOL_" + k.upper(): v for k, v in settings.items() if v is not None})
    for k in [k for k, v in settings.items() if v is None]:
        env.pop("TOOL_" + k.upper(), None)
    return env


def start(data, *words, prefix=(), **settings):
    return subprocess.Popen([*prefix, TOOL, data, TABLES, *words], env=environment(**settings),
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, cwd="/")


def tool(data, *words, **settings):
    """(exit code, stdout, stderr)"""
    process = start(data, *words, **settings)
    out, said = process.communicate(timeout=300)
    assert process.returncode in (0, 1), f"{words}: ended with {process.returncode}\n{said}"
    return process.returncode, out, said


def fresh():
    return tempfile.mkdtemp(prefix="data ", dir=TOP)


def packages(data):
    names = ("digest", "id", "provider", "backend", "version", "executable", "backend_dir",
             "library_path", "gfx", "blas")
    code, out, said = tool(data, "list")
    assert code == 0, said
    return [dict(zip(names, line.split("\t"))) for line in out.splitlines()]


def leftovers(data):
    """What in the data directory is neither a complete package nor the cache for resuming."""
    found = []
    store = os.path.join(data, "packages")
    for name in os.listdir(store) if os.path.isdir(store) else []:
        complete = os.path.exists(os.path.join(store, name, "package.manifest"))
        if not (re.fullmatch("[0-9a-f]{64}", name) and complete):
            found.append(name)
    return found


def cached(data):
    cache = os.path.join(data, "cache", "github")
    return os.listdir(cache) if os.path.isdir(cache) else []


def installs(identity, *words, data=None, **settings):
    data = data or fresh()
    code, _, said = tool(data, "install", identity, *words, **settings)
    assert code == 0, said
    assert leftovers(data) == [], leftovers(data)
    found = [p for p in packages(data) if p["id"] == identity]
    assert found, f"{identity} is not in the store\n{said}"
    package = found[0]
    program = os.path.join(data, "packages", package["digest"], package["executable"])
    assert subprocess.run([program], timeout=20, env={"LD_LIBRARY_PATH": ":".join(
        os.path.join(data, "packages", package["digest"], d)
        for d in package["library_path"].split(":"))}).returncode == 0, "the engine does not start"
    return package, said


def refuses(identity, code, word, *words, data=None, **settings):
    """One sentence with this code and word, and nothing in the store."""
    data = data or fresh()
    status, _, said = tool(data, "install", identity, *words, **settings)
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert status == 1 and len(errors) == 1, said
    assert errors[0].startswith(f"error: {code}: "), f"wanted {code}: {errors[0]}"
    assert word in errors[0], f"wanted {word!r}: {errors[0]}"
    assert leftovers(data) == [], leftovers(data)
    assert packages(data) == []
    return said


# ---- the world's archives ----

def build_tree(name, **options):
    directory = os.path.join(TOP, "trees", name)
    os.makedirs(directory)
    runtime = options.pop("bundled", None)
    if runtime:
        mw.runtime(directory, runtime)
    mw.engine(directory, **options)
    return directory


def build_archives():
    """Every layout that the table names, with the URL's own names."""
    os.makedirs(os.path.join(TOP, "archives"))
    for family, targets in {"gfx103X": ["gfx1030", "gfx1031", "gfx1032", "gfx1034"],
                            "gfx110X": ["gfx1100", "gfx1101", "gfx1102", "gfx1103"],
                            "gfx1151": ["gfx1151"], "gfx120X": ["gfx1200", "gfx1201"]}.items():
        identity = f"llamacpp-rocm-{family}-linux"
        tree = build_tree(identity, backend="rocm", targets=targets, bundled=targets,
                          plugins=False)
        path = os.path.join(TOP, "archives", identity + ".zip")
        mw.zip_flat(path, tree)
        WORLD.publish(ROWS[identity]["locate"], path)
        lock(identity, path)
    row = ROWS["lemonade-rocm-7.14-linux"]
    tree = build_tree("lemonade", backend="rocm", targets=row["gfx"].split())
    path = os.path.join(TOP, "archives", "lemonade.tar.gz")
    mw.tar_gz(path, tree, "llama-" + row["tag"])
    WORLD.publish(row["locate"], path)
    lock(row["id"], path)
    build_runtimes()
    for identity, backend in (("ggml-cpu-linux-x86_64", "cpu"),
                              ("ggml-vulkan-linux-x86_64", "vulkan")):
        tree = build_tree(identity, backend=backend)
        path = os.path.join(TOP, "archives", identity + ".tar.gz")
        mw.tar_gz(path, tree, "llama-" + ROWS[identity]["tag"])
        WORLD.publish(ROWS[identity]["locate"], path)
        lock(identity, path)
    tree = build_tree("faulty", payload=3000000)
    WORLD.faulty_archive = os.path.join(TOP, "archives", "faulty.tar.gz")
    mw.tar_gz(WORLD.faulty_archive, tree, "llama-t1")


def build_runtimes():
    for row in [r for r in ROWS.values() if r["backend"] == "runtime" and r["os"] == "linux" and
                r["installable"] == "yes"]:
        top = os.path.join(TOP, "trees", row["id"])
        mw.runtime(os.path.join(top, "lib"), row["gfx"].split())
        for name in ("include/hip", ".kpack", ".info"):
            os.makedirs(os.path.join(top, name))
        with open(os.path.join(top, ".info", "version"), "w") as f:
            f.write(row["tag"] + "\n")
        path = os.path.join(WORLD.therock_files, os.path.basename(row["locate"]))
        mw.tar_gz(path, top, ".")
        lock(row["id"], path)


def add_faulty_rows():
    for name in dir(mw.Faulty):
        if name.startswith("fault_"):
            kind = name[6:]
            add_row("faulty-" + kind, f"https://github.com/faulty/{kind}/releases/download/t1/x.tar.gz",
                    path=WORLD.faulty_archive)


def set_up():
    global WORLD
    WORLD = mw.World(tempfile.mkdtemp(prefix="gfxbridge-world-"))  # nginx wants no blanks
    read_rows()
    build_archives()
    add_faulty_rows()
    write_rows()
    WORLD.start()


# ---- the right archive for each card ----

def walk(gfx):
    """As the program does: the table's order, the next choice when one cannot be had."""
    listed = answer("explain", gfx)["answers"][0]["packages"]
    reasons = []
    for entry in listed:
        row = ROWS[entry["id"]]
        if row["provider"] != "github" or row["installable"] != "yes" or not entry["holds_exactly"]:
            continue
        data = fresh()
        code, _, said = tool(data, "install", row["id"], gfx)
        assert leftovers(data) == []
        if code == 0:
            return packages(data)[0], data, reasons
        reasons.append((row["id"], re.search("^error: (.*)", said, re.M).group(1)))
    return None, None, reasons


def bundled_archive_for(gfx, identity):
    def case():
        package, data, reasons = walk(gfx)
        assert package and package["id"] == identity, (package, reasons)
        assert gfx in package["gfx"].split() and gfx in package["blas"].split(), package
        where = os.path.join(data, "packages", package["digest"])
        assert os.access(os.path.join(where, package["executable"]), os.X_OK), "not executable"
        assert package["library_path"] == "engine", package
    return case


def runtime_for(gfx, runtime):
    def case():
        package, data, reasons = walk(gfx)
        assert package and package["id"] == "lemonade-rocm-7.14-linux", (package, reasons)
        assert gfx in package["gfx"].split() and gfx in package["blas"].split(), package
        assert package["library_path"] == package["backend_dir"] + ":rocm/lib", package
        where = os.path.join(data, "packages", package["digest"])
        assert os.path.isdir(os.path.join(where, "rocm", ".kpack")), "kpack is not beside lib"
        with open(os.path.join(where, "package.manifest")) as f:
            assert os.path.basename(ROWS[runtime]["locate"]) in f.read()
    return case


def no_archive_for(gfx, code):
    def case():
        package, _, reasons = walk(gfx)
        assert package is None, package
        assert all(r.startswith(code) and gfx in r for _, r in reasons), reasons
        if code == "no-package" and gfx == "gfx906":
            assert reasons, "nothing was tried"
    return case


def vulkan_and_cpu():
    for identity in ("ggml-vulkan-linux-x86_64", "ggml-cpu-linux-x86_64"):
        package, _ = installs(identity)
        assert package["library_path"] == "-", package


def another_card_gets_another_runtime():
    data = fresh()
    for gfx in ("gfx942", "gfx1010", "gfx942"):
        code, _, said = tool(data, "install", "lemonade-rocm-7.14-linux", gfx)
        assert code == 0, said
    found = packages(data)
    assert len(found) == 2 and found[0]["digest"] != found[1]["digest"], found
    call("storage", "prune", "--data-dir", data)  # both are in use
    assert len(packages(data)) == 2


# ---- digests ----

def digest_from_the_release():
    identity = "llamacpp-rocm-gfx1151-linux"
    kept = dict(ROWS[identity])
    unlock(identity)
    write_rows()
    before = len(WORLD.requests())
    data = fresh()
    package, _ = installs(identity, "gfx1151", data=data, token="s3cret")
    seen = WORLD.requests()[before:]
    ROWS[identity] = kept
    write_rows()
    api = [r for r in seen if r[2].startswith("/api/")]
    assert len(api) == 1 and api[0][6] == "Bearer s3cret", api
    others = [r for r in seen if not r[2].startswith("/api/")]
    assert others and all(r[6] == "-" for r in others), "the token went further than the API"
    manifest = os.path.join(data, "packages", package["digest"], "package.manifest")
    with open(manifest) as f:
        assert f"{kept['sha256']} {kept['size']} release" in f.read()


def api_faults(kind, code, word, token=None):
    def case():
        identity = "faulty-api-" + kind
        add_row(identity, f"https://github.com/faulty/{kind}/releases/download/t1/x.tar.gz")
        write_rows()
        refuses(identity, code, word, token=token)
    return case


def bad_token_is_left_out():
    identity = "faulty-badtoken"
    unlock(identity)
    write_rows()
    _, said = installs(identity, token="bad")
    assert "without it" in said, said


def maintainer_locks_the_table():
    """tools/lock-packages fills what is missing, and notices a file that was replaced."""
    good, replaced = "llamacpp-rocm-gfx110X-linux", "llamacpp-rocm-gfx1151-linux"
    table = os.path.join(TOP, "to-lock.tsv")
    with open(os.path.join(TABLES, "packages.tsv"), encoding="utf-8") as f:
        text = "# a comment stays\n" + f.read()
    wanted = text.replace(ROWS[replaced]["sha256"], "f" * 64)
    open_row = wanted.replace(f"{ROWS[good]['sha256']}\t{ROWS[good]['size']}", "-\t-")
    assert open_row != wanted != text
    with open(table, "w", encoding="utf-8") as f:
        f.write(open_row)
    done = subprocess.run([os.path.join(SOURCE, "tools", "lock-packages"), "--table", table,
                           "--api", WORLD.api, good, replaced], capture_output=True, text=True,
                          env={**os.environ, "SSL_CERT_FILE": WORLD.ca}, timeout=60)
    assert done.returncode == 1 and f"{replaced}: its sha256 was ffff" in done.stderr, done.stderr
    assert done.stdout == f"{good}: sha256, size\n", done.stdout
    with open(table, encoding="utf-8") as f:
        assert f.read() == wanted


# ---- faults ----

def ends_well(kind, extra=None):
    def case():
        before = WORLD.faulty_bytes
        installs("faulty-" + kind)
        if extra is not None:
            size = os.path.getsize(WORLD.faulty_archive)
            sent = WORLD.faulty_bytes - before
            assert sent <= size + extra, f"{sent} bytes were sent for a file of {size}"
    return case


def ends_clearly(kind, code, word):
    def case():
        data = fresh()
        refuses("faulty-" + kind, code, word, data=data)
        if code == "digest-mismatch":
            assert cached(data) == [], cached(data)
    return case


def truncated_archive():
    """One that was published damaged: its digest is right, and it is still no good."""
    path = os.path.join(TOP, "archives", "truncated.tar.gz")
    with open(WORLD.faulty_archive, "rb") as f:
        content = f.read()
    with open(path, "wb") as f:
        f.write(content[:len(content) // 2])
    lock("faulty-truncated", path)
    write_rows()
    data = fresh()
    refuses("faulty-truncated", "package-unavailable", "x.tar.gz", data=data)
    assert cached(data) == [], cached(data)


def hostile_archive():
    url = "https://github.com/hostile/h/releases/download/t1/h.tar.gz"
    path = os.path.join(TOP, "archives", "hostile.tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("../../outside")
        archive.addfile(entry)
    add_row("hostile", url, path=path)
    write_rows()
    WORLD.publish(url, path)
    refuses("hostile", "archive-unsafe", "..")
    assert not os.path.exists(os.path.join(TOP, "outside"))


def untrusted_certificate():
    refuses("ggml-cpu-linux-x86_64", "package-unavailable", "GFXBRIDGE_CA_FILE", ca=None)


def nobody_there():
    dead = f"https://localhost:{mw.free_port()}"
    refuses("ggml-cpu-linux-x86_64", "offline", "localhost", github=dead)


def runtime_missing_at_the_index():
    """The engine is not even fetched when its runtime is not there."""
    before = len(WORLD.requests())
    refuses("lemonade-rocm-7.14-linux", "package-unavailable", "404", "gfx942",
            therock=WORLD.github + "/nothing")
    assert not [r for r in WORLD.requests()[before:] if "lemonade" in r[2]]


def runtime_of_another_version():
    top = os.path.join(TOP, "trees", "old-runtime")
    mw.runtime(os.path.join(top, "lib"), ["gfx942"], hip="libamdhip64.so.6")
    name = os.path.basename(ROWS["therock-gfx94X-linux"]["locate"])
    kept = dict(ROWS["therock-gfx94X-linux"])
    place = os.path.join(WORLD.top, "therock", "old")
    os.makedirs(place)
    mw.tar_gz(os.path.join(place, name), top, ".")
    lock("therock-gfx94X-linux", os.path.join(place, name))
    write_rows()
    refuses("lemonade-rocm-7.14-linux", "library-missing", "libamdhip64.so.6", "gfx942",
            therock=WORLD.therock + "/old")
    ROWS["therock-gfx94X-linux"] = kept
    write_rows()


def name_that_promises_too_much():
    """An archive of a family whose build left out one of its targets."""
    tree = build_tree("promising", backend="rocm", targets=["gfx1200"], bundled=["gfx1200"])
    path = os.path.join(TOP, "archives", "promising.zip")
    mw.zip_flat(path, tree)
    url = "https://github.com/o/promising/releases/download/t1/llama-t1-gfx120X.zip"
    add_row("promising", url, backend="rocm", gfx="gfx1200 gfx1201", runtime="bundled", path=path)
    write_rows()
    WORLD.publish(url, path)
    data = fresh()
    refuses("promising", "gfx-not-in-package", "gfx1201", "gfx1201", data=data)
    assert cached(data) == [], cached(data)
    package, said = installs("promising", "gfx1200")
    assert package["gfx"] == "gfx1200" and "not for gfx1201 as its table row says" in said, said


def library_that_nobody_has():
    tree = build_tree("lacking")
    mw.library(tree, "libnowhere.so.3")
    mw.library(tree, "libggml-cpu-x64.so", ["libggml-base.so.0", "libnowhere.so.3"])
    os.remove(os.path.join(tree, "libnowhere.so.3"))
    path = os.path.join(TOP, "archives", "lacking.tar.gz")
    mw.tar_gz(path, tree, "llama-t1")
    url = "https://github.com/o/lacking/releases/download/t1/lacking.tar.gz"
    add_row("lacking", url, path=path)
    write_rows()
    WORLD.publish(url, path)
    data = fresh()
    refuses("lacking", "library-missing", "libnowhere.so.3", data=data)
    before = len(WORLD.requests())
    refuses("lacking", "library-missing", "libnowhere.so.3", data=data)  # now from the cache
    assert not WORLD.requests()[before:], "it was fetched again"


def real_engine():
    """Real binaries: the distribution's newer llama.cpp as a release archive. This computer's C
    library decides whether it can run here, and nothing else."""
    data = fresh()
    done = call("backends", "install", "llamacpp:cpu", "--data-dir", data, code=None, timeout=600)
    if not packages(data):
        raise tap.Skip("the distribution's engine is out of reach: " +
                       (done.stderr.strip().splitlines() or ["?"])[-1])
    tree = os.path.join(TOP, "trees", "real")
    os.makedirs(tree)
    wanted = re.compile(r"llama-server$|lib(llama|ggml|mtmd)[^/]*\.so[.0-9]*$")
    for where, _, names in os.walk(os.path.join(data, "packages")):
        for name in names:
            if wanted.match(name) and "/share/" not in where:
                shutil.copy(os.path.join(where, name), tree, follow_symlinks=True)
    assert os.path.exists(os.path.join(tree, "llama-server")), os.listdir(tree)
    path = os.path.join(TOP, "archives", "real.tar.gz")
    mw.tar_gz(path, tree, "llama-t1")
    url = "https://github.com/o/real/releases/download/t1/real.tar.gz"
    add_row("real", url, path=path)
    write_rows()
    WORLD.publish(url, path)
    seen = answer("inspect", path)
    assert seen["has_llama_server"], seen
    have = os.confstr("CS_GNU_LIBC_VERSION").split()[1]
    newer = [int(n) for n in seen["glibc"].split(".")] > [int(n) for n in have.split(".")]
    data = fresh()
    code, _, said = tool(data, "install", "real")
    if newer:
        assert code == 1 and f"error: glibc-too-old: real.tar.gz needs glibc {seen['glibc']}" in said
        assert leftovers(data) == [] and packages(data) == []
    else:
        assert code == 0 or "error: library-missing: " in said, said


def real_engine_from_a_local_file():
    """The distribution's engine with its own C library, as an archive of this computer's disk:
    installed, proven and asked by the program itself, without the network."""
    data = fresh()
    done = call("backends", "install", "llamacpp:cpu", "--data-dir", data, code=None, timeout=600)
    if not packages(data):
        raise tap.Skip("the distribution's engine is out of reach: " +
                       (done.stderr.strip().splitlines() or ["?"])[-1])
    tree = os.path.join(TOP, "trees", "real with libc")
    os.makedirs(tree)
    wanted = re.compile(r"llama-server$|(lib|ld-linux)[^/]*\.so[.0-9]*$")
    for where, _, names in os.walk(os.path.join(data, "packages")):
        for name in names:
            if wanted.match(name) and "/share/" not in where:
                shutil.copy(os.path.join(where, name), tree, follow_symlinks=True)
    path = os.path.join(TOP, "archives", "real with libc.tar.gz")
    mw.tar_gz(path, tree, "llama-t1")
    data = fresh()
    value = answer("backends", "install", path, "--data-dir", data, "--no-network", timeout=600)
    assert value["passed"] and value["backend"] == "cpu", value
    package, = packages(data)
    assert package["provider"] == "file", package
    assert package["library_path"] == package["backend_dir"], package
    value = answer("run", "--data-dir", data, "--no-network", "Which gfx is the Radeon RX 7900 XT?")
    assert "gfx1100" in value["text"] and value["package"] == package["id"], value
    again = answer("backends", "install", "llamacpp:cpu", path, "--data-dir", data, "--no-network")
    assert again["passed"], again
    said = call("backends", "install", "llamacpp:rocm", path, "--data-dir", data, "--no-network",
                code=1).stderr
    assert "no rocm backend" in said, said
    value = answer("backends", "install", tree, "--data-dir", data, "--no-network")
    assert value["passed"] and value["package"] == "system-real_with_libc", value
    assert leftovers(data) == []


# ---- disk, kills, company ----

def on_small_disk(megabytes, *words):
    """Run the tool with its data on a tmpfs of that size; (exit code, stderr, what is left)."""
    place = tempfile.mkdtemp(prefix="disk ", dir=TOP)
    script = ('mount -t tmpfs -o size="$1"m tmpfs "$2" || exit 77; mkdir "$2/data"; tool="$3"; '
              'place="$2"; shift 3; "$tool" "$place/data" "$@"; code=$?; '
              'find "$place/data" -type f | grep -v "lock$"; exit $code')
    flags = ["-m"] if os.geteuid() == 0 else ["-Urm"]
    done = subprocess.run(["unshare", *flags, "sh", "-c", script, "sh", str(megabytes), place, TOOL,
                           TABLES, *words], env=environment(), capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=120)
    if done.returncode not in (0, 1):
        raise tap.Skip("no tmpfs can be mounted here")
    return done.returncode, done.stderr, done.stdout.split("\n")[:-1]


def disk_too_small_from_the_start():
    before = WORLD.faulty_bytes
    code, said, left = on_small_disk(5, "install", "faulty-cut")
    assert code == 1 and "error: disk-full: " in said, said
    assert left == [], left
    assert WORLD.faulty_bytes == before, "bytes were fetched that there is no room for"


def disk_full_while_unpacking():
    """Content that nobody can foresee from the archive's size."""
    tree = build_tree("growing")
    with open(os.path.join(tree, "zeros"), "wb") as f:
        f.write(bytes(30000000))
    path = os.path.join(TOP, "archives", "growing.tar.gz")
    mw.tar_gz(path, tree, "llama-t1")
    url = "https://github.com/o/growing/releases/download/t1/growing.tar.gz"
    add_row("growing", url, path=path)
    write_rows()
    WORLD.publish(url, path)
    code, said, left = on_small_disk(8, "install", "growing")
    assert code == 1 and "error: disk-full: " in said, said
    assert left == [], left


def big_release():
    """A package that takes a while to come, on a storage that is slowed down for it."""
    identity = "big"
    if identity not in ROWS:
        tree = build_tree(identity, payload=6000000)
        path = os.path.join(TOP, "archives", identity + ".tar.gz")
        mw.tar_gz(path, tree, "llama-t1")
        url = "https://github.com/o/big/releases/download/t1/big.tar.gz"
        add_row(identity, url, path=path)
        write_rows()
        WORLD.publish(url, path)
    return identity, int(ROWS[identity]["size"])


def sent_of(name, since):
    return sum(int(r[4]) for r in WORLD.requests()[since:]
               if r[2].startswith("/o/") and name in r[2] and r[0] == str(WORLD.storage_port))


def killed_thirty_times():
    identity, size = big_release()
    print(f"# seed {SEED}", flush=True)
    WORLD.set_rate("8m")
    try:
        data = fresh()
        done = 0
        for _ in range(30):
            process = start(data, "install", identity)
            time.sleep(RANDOM.uniform(0, 1.1))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            listed = packages(data)  # also sweeps what the dead left behind
            assert leftovers(data) == [], leftovers(data)
            if listed:
                done += 1
                shutil.rmtree(os.path.join(data, "packages"))
    finally:
        WORLD.set_rate("")
    installs(identity, data=data)
    assert cached(data) == [], cached(data)


def killed_once_resumes():
    """What a killed run had fetched is not fetched again by the next."""
    identity, size = big_release()
    WORLD.set_rate("4m")
    try:
        data = fresh()
        since = len(WORLD.requests())
        process = start(data, "install", identity)

        def half_a_part():
            for name in cached(data):
                path = os.path.join(data, "cache", "github", name)
                if name.endswith(".part") and os.path.getsize(path) > size // 2:
                    return path
            return None

        path = wait_until(half_a_part, "half of the file")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        have = os.path.getsize(path)
        installs(identity, data=data)
        seen = [r for r in WORLD.requests()[since:] if "big.tar.gz" in r[2] and
                r[0] == str(WORLD.storage_port) and r[3] == "206"]
    finally:
        WORLD.set_rate("")
    assert len(seen) == 1, seen
    again = have - int(re.match(r"bytes=(\d+)-", seen[0][5]).group(1))
    assert 0 <= again <= 1 << 20, f"{again} bytes were fetched twice"


def two_at_once():
    identity, size = big_release()
    WORLD.set_rate("20m")
    try:
        data = fresh()
        since = len(WORLD.requests())
        both = [start(data, "install", identity) for _ in range(2)]
        said = [p.communicate(timeout=60)[1] for p in both]
    finally:
        WORLD.set_rate("")
    assert [p.returncode for p in both] == [0, 0], said
    assert len(packages(data)) == 1
    assert sent_of("big.tar.gz", since) == size, "it was fetched more than once"
    assert leftovers(data) == [] and cached(data) == []


# ---- mirrors and local files ----

def mirror_serves_every_host():
    identity = "ggml-cpu-linux-x86_64"
    place = os.path.join(WORLD.mirror_files, ROWS[identity]["locate"].split("://")[1])
    os.makedirs(os.path.dirname(place))
    shutil.copy(os.path.join(TOP, "archives", identity + ".tar.gz"), place)
    installs(identity, mirror=WORLD.mirror, github=None)
    installs(identity, mirror="file://" + WORLD.mirror_files, github=None)
    refuses("ggml-vulkan-linux-x86_64", "package-unavailable", "404", mirror=WORLD.mirror,
            github=None)


def local_archive_becomes_its_row():
    data = fresh()
    path = os.path.join(TOP, "archives", "llamacpp-rocm-gfx110X-linux.zip")
    code, _, said = tool(data, "local", path)
    assert code == 0, said
    package = packages(data)[0]
    assert package["id"] == "llamacpp-rocm-gfx110X-linux" and package["backend"] == "rocm"
    assert package["gfx"] == "gfx1100 gfx1101 gfx1102 gfx1103", package


def local_directory_stays_in_place():
    data = fresh()
    tree = os.path.join(TOP, "trees", "ggml-vulkan-linux-x86_64")
    code, _, said = tool(data, "local", tree)
    assert code == 0, said
    package = packages(data)[0]
    assert package["executable"] == os.path.join(tree, "llama-server"), package
    assert package["backend"] == "vulkan" and package["backend_dir"] == tree, package
    code, _, said = tool(data, "local", os.path.join(tree, "llama-server"), "cpu")
    assert code == 0, said
    assert sorted(p["backend"] for p in packages(data)) == ["cpu", "vulkan"]


def local_nonsense():
    data = fresh()
    for path, word in ((os.path.join(TOP, "none"), "No such file"), (TABLES, "no llama-server"),
                       (os.path.join(TABLES, "packages.tsv"), "packages.tsv")):
        code, _, said = tool(data, "local", path)
        assert code == 1 and word in said, said
    assert packages(data) == [] and leftovers(data) == []


FAULTS = [
    ("404", ends_clearly("gone", "package-unavailable", "404")),
    ("500 twice, then good", ends_well("errors")),
    ("500 for ever", ends_clearly("always500", "package-unavailable", "503")),
    ("cut in the middle", ends_well("cut", extra=1 << 20)),
    ("cut again and again", ends_well("cuts", extra=1 << 20)),
    ("stall", ends_well("stall", extra=1 << 20)),
    ("too long", ends_clearly("longer", "digest-mismatch", "bytes")),
    ("too short", ends_clearly("shorter", "digest-mismatch", "bytes")),
    ("wrong digest", ends_clearly("other", "digest-mismatch", "sha256")),
    ("a web page with status 200", ends_clearly("html", "package-unavailable", "web page")),
    ("redirect loop", ends_clearly("loop", "package-unavailable", "without end")),
    ("redirect to http", ends_clearly("downgrade", "package-unavailable", "not safe")),
    ("link that expired before the rest was asked for", ends_well("expiring", extra=1 << 20)),
    ("truncated archive", truncated_archive),
    ("archive with a name that leads out", hostile_archive),
    ("certificate that is not trusted", untrusted_certificate),
    ("nobody there", nobody_there),
]

API_FAULTS = [
    ("rate limit", api_faults("limited", "package-unavailable", "UTC")),
    ("rate limit with a token", api_faults("limited", "package-unavailable", "UTC", token="s3cret")),
    ("release without a digest", api_faults("nodigest", "digest-missing", "sha256")),
    ("release without the file", api_faults("notlisted", "package-unavailable", "x.tar.gz")),
    ("JSON that is none", api_faults("nonsense", "package-unavailable", "API")),
]

CASES = [
    ("gfx1030 gets its archive", bundled_archive_for("gfx1030", "llamacpp-rocm-gfx103X-linux")),
    ("gfx1100 gets its archive", bundled_archive_for("gfx1100", "llamacpp-rocm-gfx110X-linux")),
    ("gfx1151 gets its archive", bundled_archive_for("gfx1151", "llamacpp-rocm-gfx1151-linux")),
    ("gfx1201 gets its archive", bundled_archive_for("gfx1201", "llamacpp-rocm-gfx120X-linux")),
    ("gfx942 gets engine and runtime", runtime_for("gfx942", "therock-gfx94X-linux")),
    ("gfx1010 gets engine and runtime", runtime_for("gfx1010", "therock-gfx101X-linux")),
    ("gfx906 has no runtime", no_archive_for("gfx906", "no-package")),
    ("gfx1153 has no confirmed archive", no_archive_for("gfx1153", "no-package")),
    ("Vulkan and CPU archives", vulkan_and_cpu),
    ("another card gets another runtime", another_card_gets_another_runtime),
    ("the digest comes from the release", digest_from_the_release),
    ("a refused token is left out", bad_token_is_left_out),
    ("a maintainer locks the table", maintainer_locks_the_table),
    *API_FAULTS,
    *FAULTS,
    ("the distribution's engine in a release's layout", real_engine),
    ("the same with its C library, from a local file", real_engine_from_a_local_file),
    ("runtime that is not at the index", runtime_missing_at_the_index),
    ("runtime of another version", runtime_of_another_version),
    ("name that promises too much", name_that_promises_too_much),
    ("library that nobody has", library_that_nobody_has),
    ("disk too small from the start", disk_too_small_from_the_start),
    ("disk full while unpacking", disk_full_while_unpacking),
    ("killed once, it resumes", killed_once_resumes),
    ("killed at 30 random moments", killed_thirty_times),
    ("two at once", two_at_once),
    ("a mirror serves every host", mirror_serves_every_host),
    ("a local archive becomes its row", local_archive_becomes_its_row),
    ("a local directory stays in place", local_directory_stays_in_place),
    ("what is no engine is refused", local_nonsense),
]


def main():
    for program in ("nginx", "openssl", "cc", "objcopy"):
        if not (shutil.which(program) or (program == "nginx" and mw.NGINX)):
            print(f"1..0 # SKIP {program} is not here")
            return
    try:
        set_up()
        tap.run(CASES)
    finally:
        if WORLD:
            WORLD.stop()
            shutil.rmtree(WORLD.top, ignore_errors=True)
        shutil.rmtree(TOP, ignore_errors=True)


if __name__ == "__main__":
    main()
