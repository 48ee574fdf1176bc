"""The installed engine package, started by hand as its manifest says: what ours is compared with."""
import json
import os
import subprocess


def data_dir():
    """Where gfxbridge keeps what it installs."""
    return os.environ.get("GFXBRIDGE_DATA_DIR") or os.path.join(
        os.environ.get("XDG_DATA_HOME", os.path.expanduser("~/.local/share")), "gfxbridge")


def directory(digest):
    """Of an installed package."""
    return os.path.join(data_dir(), "packages", digest)


def package(gfxbridge, backend):
    """The newest installed package of a backend, installing it when there is none."""
    name = "vulkan" if backend == "vulkan-software" else backend
    for attempt in range(2):
        listed = json.loads(subprocess.run([gfxbridge, "backends", "list", "--json"], check=True,
                                           capture_output=True, text=True).stdout)
        found = [p for p in listed["packages"] if p["backend"] == name]
        if found:
            return found[0]
        subprocess.run([gfxbridge, "backends", "install", f"llamacpp:{backend}", "--quiet"],
                       check=True, stdout=subprocess.DEVNULL)
    raise SystemExit(f"no package of {backend} can be had")


def manifest(package_dir):
    """The package's manifest as a dictionary of its first values."""
    facts = {}
    with open(os.path.join(package_dir, "package.manifest"), encoding="utf-8") as f:
        for line in f:
            key, _, value = line.rstrip("\n").partition(" ")
            facts.setdefault(key, value)
    return facts


def argv(package_dir):
    """(argv prefix, working directory) that start llama-server from a package directory."""
    facts = manifest(package_dir)

    def path(value):
        return value if value.startswith("/") else os.path.join(package_dir, value)
    prefix = []
    if facts.get("loader"):
        library_path = ":".join(path(p) for p in facts["library-path"].split(":"))
        prefix = [path(facts["loader"]), "--library-path", library_path, "--argv0", "llama-server"]
    return prefix + [path(facts["executable"])], path(facts["backend-dir"])
