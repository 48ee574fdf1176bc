"""The packages of tests/npm, installed once a build directory and lock file."""
import fcntl
import hashlib
import os
import shutil
import subprocess

import tap

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = [os.path.join(os.path.dirname(HERE), "npm", name)
         for name in ("package.json", "package-lock.json")]


def modules():
    """Path of a directory with node_modules in it. Skips where npm or its registry is not there."""
    if not shutil.which("npm"):
        raise tap.Skip("npm is not installed")
    digest = hashlib.sha256()
    for path in FILES:
        with open(path, "rb") as f:
            digest.update(f.read())
    place = os.path.join(os.environ.get("GFXB_BUILD", os.path.join(HERE, "..", "..", "build")), "npm")
    os.makedirs(place, exist_ok=True)
    stamp = os.path.join(place, "installed")
    with open(os.path.join(place, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two tests may come here at once
        if os.path.exists(stamp):
            with open(stamp, encoding="utf-8") as f:
                if f.read() == digest.hexdigest():
                    return place
        for path in FILES:
            shutil.copy(path, place)
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                              cwd=place, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise tap.Skip("npm ci: " + done.stderr.strip().splitlines()[-1])
        with open(stamp, "w", encoding="utf-8") as f:
            f.write(digest.hexdigest())
    return place
